//! What the first command finds in its environment.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// What is known outside, before there is any namespace.
#[derive(Debug)]
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
            let value = std::env::var_os(name).map(PathBuf::from);
            value
                .with_context(|| format!("{name}: start scripts/playground.sh"))
        };
        let own =
            std::env::current_exe().context("readlink(/proc/self/exe)")?;
        Ok(Caller {
            checkout: path("PLAYGROUND_CHECKOUT")?,
            programs: path("WORKSHOP_BIN")?,
            own,
            directory: std::env::current_dir().unwrap_or("/".into()),
            home: std::env::home_dir()
                .filter(|it| it.is_absolute())
                .unwrap_or("/".into()),
        })
    }
}

/// Places of the host, how it speaks to you, and what systemd tells a service.
const HOSTS: [&str; 20] = [
    "TMPDIR",
    "TMP",
    "TEMP",
    "LANGUAGE",
    "XDG_",
    "DBUS_",
    "SSH_",
    "TMUX",
    "LC_",
    "SYSTEMD_",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "MANAGERPID",
    "NOTIFY_SOCKET",
    "CONTAINER_WORKSHOP_SCOPE",
    "PLAYGROUND",
    "OLDPWD",
    "PWD",
    "_",
    "SHLVL",
];

/// The caller's, without what is the host's.
pub fn inside(
    caller: &Caller,
    home: &Path,
    facts: [(&str, String); 2],
    internet: &str,
) -> BTreeMap<OsString, OsString> {
    let of_the_host = |name: &OsStr| {
        HOSTS.iter().any(|it| {
            match it.ends_with('_') && it.len() > 1
                || *it == "TMUX"
                || *it == "PLAYGROUND"
            {
                true => name.as_bytes().starts_with(it.as_bytes()),
                false => name == *it,
            }
        })
    };
    let mut all: BTreeMap<_, _> =
        std::env::vars_os().filter(|(name, _)| !of_the_host(name)).collect();
    let mut path = caller.programs.clone().into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let own = [
        ("PLAYGROUND", "1".into()),
        ("PLAYGROUND_INTERNET", internet.into()),
        ("WORKSHOP_BIN", caller.programs.clone().into()),
        ("XDG_CACHE_HOME", "/run/cache".into()),
        ("PATH", path),
        ("HOME", home.into()),
        ("USER", "root".into()),
        ("LOGNAME", "root".into()),
        ("LANG", "C.UTF-8".into()),
    ];
    let facts = facts.map(|(name, value)| (name, OsString::from(value)));
    all.extend(
        own.into_iter().chain(facts).map(|(name, value)| (name.into(), value)),
    );
    all
}
