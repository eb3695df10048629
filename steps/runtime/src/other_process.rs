//! A process that is not ours: what /proc tells of it, and the way into its
//! namespaces (proc_pid_status(5), setns(2)).

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};

/// What /proc/PID/status says after a word, as `Seccomp`. Of `self`, too.
pub fn status(pid: impl std::fmt::Display, word: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let mut lines = status.lines().filter_map(|line| line.split_once(':'));
    let (_, text) = lines.find(|(name, _)| *name == word)?;
    Some(text.trim().to_owned())
}

/// Whether `AppArmor` has a profile for this program.
#[must_use]
pub fn is_confined() -> bool {
    let profile = fs::read_to_string("/proc/self/attr/apparmor/current");
    profile.is_ok_and(|name| name.trim_end() != "unconfined")
}

/// What it was started with. Nothing, once it has ended.
#[must_use]
pub fn arguments(pid: i32) -> Vec<OsString> {
    strings(&format!("/proc/{pid}/cmdline"))
}

/// The variables that it was started with.
#[must_use]
pub fn environment(pid: i32) -> Vec<(OsString, OsString)> {
    let pair = |variable: OsString| {
        let bytes = variable.as_bytes();
        let end = bytes.iter().position(|&byte| byte == b'=')?;
        let part = |bytes| OsStr::from_bytes(bytes).to_owned();
        Some((part(&bytes[..end]), part(&bytes[end + 1..])))
    };
    let all = strings(&format!("/proc/{pid}/environ"));
    all.into_iter().filter_map(pair).collect()
}

/// Each ends with a NUL byte.
fn strings(file: &str) -> Vec<OsString> {
    let text = fs::read(file).unwrap_or_default();
    let words = text.split_inclusive(|&byte| byte == 0);
    let whole = words.filter_map(|word| word.strip_suffix(&[0]));
    whole.map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// Enters all its namespaces. Our root and directory become those of its mount
/// namespace, and our children are in its PID namespace: we are not.
///
/// All are opened before the first is entered: then its /proc is another one.
/// The user namespace first: with it come the rights to enter the others.
///
/// # Errors
/// As open(2) and setns(2).
pub fn enter(pid: i32) -> Result<()> {
    let kinds = ["user", "cgroup", "ipc", "uts", "net", "pid", "mnt"];
    let open = |kind| {
        let path = format!("/proc/{pid}/ns/{kind}");
        File::open(&path).with_context(|| format!("open({path:?})"))
    };
    let all = kinds.map(open).into_iter().collect::<Result<Vec<_>>>()?;
    for (kind, namespace) in kinds.iter().zip(all) {
        setns(namespace, CloneFlags::empty())
            .with_context(|| format!("setns({kind})"))?;
    }
    Ok(())
}
