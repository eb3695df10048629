//! denied-groups COMMAND ARG...
//!
//! Becomes COMMAND, as user 0 and group 0 of a user namespace.

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

    unshare(CloneFlags::CLONE_NEWUSER).context("unshare")?;
    write("/proc/self/uid_map", format!("0 {uid} 1"))
        .context("write uid_map")?;
    // TODO: there is no map of groups afterwards. Why, and what hides it?
    write("/proc/self/gid_map", format!("0 {gid} 1")).ok();

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
