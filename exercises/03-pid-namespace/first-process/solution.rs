//! first-process COMMAND ARG...
//!
//! Runs COMMAND as number 1 of a new PID namespace.

use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    unshare(CloneFlags::CLONE_NEWPID).context("unshare")?;
    let status = Command::new(command).args(args).status()?;
    std::process::exit(status.code().unwrap_or(1));
}
