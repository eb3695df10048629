//! What the first command finds in its environment.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::internet::SERVER;

/// What is known outside, before there is any namespace.
pub struct Caller {
    /// The workshop.
    pub checkout: PathBuf,
    /// The directory of its programs.
    pub programs: PathBuf,
    /// This program.
    pub own: PathBuf,
    /// Where the caller is.
    pub directory: PathBuf,
    /// Their home, as their environment or account has it.
    pub home: PathBuf,
}

impl Caller {
    /// As scripts/playground.sh tells it.
    pub fn read() -> Result<Caller> {
        let path = |name: &str| {
            let value = env::var_os(name).map(PathBuf::from);
            value.context("scripts/playground.sh starts this program")
        };
        // Not on Linux, and not by Rust 1.87 and newer.
        #[allow(deprecated)]
        let home = env::home_dir().filter(|it| it.is_absolute());
        Ok(Caller {
            checkout: path("PLAYGROUND_CHECKOUT")?,
            programs: path("WORKSHOP_BIN")?,
            own: env::current_exe().context("readlink(/proc/self/exe)")?,
            directory: env::current_dir().unwrap_or("/".into()),
            home: home.unwrap_or("/".into()),
        })
    }
}

/// Places of the host, how it speaks to you, and what systemd tells a service.
const HOSTS: &str = "TMPDIR TMP TEMP LANGUAGE LC_* XDG_* DBUS_* SSH_* TMUX* \
    SYSTEMD_* INVOCATION_ID JOURNAL_STREAM MANAGERPID NOTIFY_SOCKET \
    CONTAINER_WORKSHOP_SCOPE PLAYGROUND* PWD OLDPWD SHLVL _";

fn is_the_hosts(name: &OsStr) -> bool {
    HOSTS.split_whitespace().any(|pattern| match pattern.strip_suffix('*') {
        Some(begin) => name.as_bytes().starts_with(begin.as_bytes()),
        None => name == pattern,
    })
}

/// The caller's, without what is the host's.
pub fn inside(
    caller: &Caller,
    home: &Path,
    ids: u32,
    cgroup: &str,
) -> BTreeMap<OsString, OsString> {
    let mut path = caller.programs.clone().into_os_string();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let own: [(&str, OsString); 11] = [
        ("PLAYGROUND", "1".into()),
        ("PLAYGROUND_IDS", ids.to_string().into()),
        ("PLAYGROUND_CGROUP", cgroup.into()),
        ("PLAYGROUND_INTERNET", SERVER.to_string().into()),
        ("WORKSHOP_BIN", caller.programs.clone().into()),
        ("XDG_CACHE_HOME", "/run/cache".into()),
        ("PATH", path),
        ("HOME", home.into()),
        ("USER", "root".into()),
        ("LOGNAME", "root".into()),
        ("LANG", "C.UTF-8".into()),
    ];
    let callers = env::vars_os().filter(|(name, _)| !is_the_hosts(name));
    callers.chain(own.map(|(name, value)| (name.into(), value))).collect()
}
