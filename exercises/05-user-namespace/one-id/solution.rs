//! one-id COMMAND ARG...
//!
//! Becomes COMMAND, as root of a user namespace.

use std::fs::write;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{getgid, getuid};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;
    // Asked for now: after unshare we are nobody.
    let (uid, gid) = (getuid(), getgid());
    println!("user {uid} and group {gid} are to be 0 inside");

    unshare(CloneFlags::CLONE_NEWUSER).context("unshare")?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))
        .context("write uid_map")?;
    write("/proc/self/setgroups", "deny").context("write setgroups")?;
    write("/proc/self/gid_map", format!("0 {gid} 1"))
        .context("write gid_map")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
