//! reaper COMMAND ARG...
//!
//! Number 1 of a PID namespace: runs COMMAND, and waits for whoever has ended.

use std::process::{Command, exit};

use anyhow::Context;

// TODO: orphans of the command become our children. Nobody waits for them.
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    let mut child = Command::new(command).args(args).spawn()?;
    let status = child.wait().context("wait")?;
    exit(status.code().unwrap_or(1));
}
