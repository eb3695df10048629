//! init COMMAND ARG...
//!
//! Number 1 of a PID namespace: passes signals on, waits for everybody, and
//! ends as COMMAND ends.

use std::process::{Command, exit};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    // TODO: pass SIGTERM on, wait(2) for everybody, end with the command's
    // status.
    let mut child = Command::new(command).args(args).spawn()?;
    let status = child.wait().context("wait")?;
    exit(status.code().unwrap_or(1));
}
