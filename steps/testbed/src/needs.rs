//! What a claim can't do without. Where it lacks, the claim is skipped, and
//! the reason is told.

use std::fs;
use std::panic;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::proc;

/// Thrown by a claim that can't be judged here.
pub(crate) struct Skip(pub(crate) String);

/// Ends the running claim as skipped, loudly: neither passed nor failed.
pub fn skip(reason: impl Into<String>) -> ! {
    panic::resume_unwind(Box::new(Skip(reason.into())))
}

const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Root where we are: of the host, or of the playground.
pub fn root() {
    if !is_root() {
        skip("needs root, of the host or of a playground");
    }
}

/// Root of the host itself, not of a user namespace.
pub fn host_root() {
    if !is_root() || !in_first_user_namespace() {
        skip("needs root of the host itself");
    }
}

/// Somebody without privileges.
pub fn ordinary_user() {
    if is_root() {
        skip("needs an ordinary user");
    }
}

/// A pretend host: what is broken there can be thrown away.
pub fn playground() {
    if std::env::var_os("PLAYGROUND").is_none() {
        skip("needs the playground");
    }
}

/// The lab's virtual machine: what is broken there can be thrown away.
pub fn lab() {
    if !in_the_lab() {
        skip("needs the lab");
    }
}

/// With this word lab.sh starts its kernel, and nobody else does.
pub const LAB_WORD: &str = "workshop.lab=1";

/// Whether this machine is the lab's. Not by a variable: what is done there
/// would harm any other.
#[must_use]
pub fn in_the_lab() -> bool {
    is_booted_with(LAB_WORD)
}

fn is_booted_with(word: &str) -> bool {
    let words = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    words.split_whitespace().any(|there| there == word)
}

/// Whether this machine is the lab's where QEMU has no KVM: thirty times slower
/// than another. Claims that repeat one thing for all cases try some of them
/// there, and say so: all are tried on the host, and in a lab with KVM.
#[must_use]
pub fn is_emulated() -> bool {
    is_booted_with("workshop.emulated=1")
}

/// Of many cases that are alike, every how manieth is tried here.
#[must_use]
pub fn stride() -> usize {
    if is_emulated() { 12 } else { 1 }
}

/// A processor that is there. For a claim that is about time, or about so many
/// programs that another kernel would be no reason to wait for them.
pub fn real_processor() {
    if is_emulated() {
        skip("needs a processor that is not emulated: a host, or KVM");
    }
}

/// Said to a machine that every run boots, however slow it is.
pub const SHORT_OF_TIME: &str = "SHORT_OF_TIME";

/// Whether an emulated machine leaves to others what they can judge, too.
#[must_use]
pub fn is_short_of_time() -> bool {
    is_emulated() && std::env::var_os(SHORT_OF_TIME).is_some()
}

/// Time: what takes long, and is judged on a host, or by night.
pub fn time() {
    if is_short_of_time() {
        skip("takes long without KVM: judged on a host, or with --everything");
    }
}

/// Whether all controllers are in cgroup v2, as on most machines with systemd.
#[must_use]
pub fn is_cgroup_v2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// A host that may be broken: what happens there is thrown away.
pub fn disposable_host() {
    if std::env::var_os("PLAYGROUND").is_none() && !in_the_lab() {
        skip("needs the playground, or the lab");
    }
}

/// A program on the PATH.
pub fn command(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin"), "/sbin".into()]);
    let found = found.map(|dir| dir.join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        skip(format!("needs {name} (./scripts/setup.sh installs it)"))
    })
}

/// Whether env(1) can give a signal its default again: no shell can.
#[must_use]
pub fn env_resets_signals() -> bool {
    let env = Command::new("env").args(["--default-signal", "true"]).output();
    env.is_ok_and(|it| it.status.success())
}

/// strace(1), where the kernel lets it trace.
pub fn tracer() -> PathBuf {
    let strace = command("strace");
    let works =
        Command::new(&strace).args(["-o", "/dev/null", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        skip("needs ptrace(2), which is refused here");
    }
    strace
}

/// Whether we have CAP_SYS_ADMIN in our user namespace.
#[must_use]
pub fn is_root() -> bool {
    let capabilities =
        proc::status(std::process::id() as i32, "CapEff").unwrap_or_default();
    u64::from_str_radix(&capabilities, 16).unwrap_or(0) & CAP_SYS_ADMIN != 0
}

/// The first user namespace is the one in which every id means itself.
#[must_use]
pub fn in_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
