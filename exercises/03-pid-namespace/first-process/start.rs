//! first-process COMMAND ARG...
//!
//! Runs COMMAND as number 1 of a new PID namespace.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    unshare(CloneFlags::CLONE_NEWPID).context("unshare")?;
    // TODO: this process is not in the new namespace. Its child would be.
    Err(Command::new(command).args(args).exec().into())
}
