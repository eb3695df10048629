//! two-namespaces NAME COMMAND ARG...
//!
//! Becomes COMMAND, with a UTS and an IPC namespace of its own.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::sethostname;

// TODO: no call fails, and yet nothing is unshared. Why?
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().context("NAME is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    let both = CloneFlags::CLONE_NEWUTS & CloneFlags::CLONE_NEWIPC;
    unshare(both).context("unshare")?;
    sethostname(&name).context("sethostname")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
