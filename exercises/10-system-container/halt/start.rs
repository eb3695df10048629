//! halt COMMAND ARG...
//!
//! Number 1 of a machine: starts COMMAND, and halts at SIGRTMIN+3.

use std::process::Command;

use anyhow::{Context, ensure};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;
    // Elsewhere, "everybody" would be all of your own processes.
    ensure!(std::process::id() == 1, "this is for number 1 of a machine");

    // TODO: halt at SIGRTMIN+3. Everybody is asked to end (SIGTERM); who is
    // still there after a second is killed; then number 1 ends, with status 0.
    let mut child = Command::new(command).args(args).spawn()?;
    child.wait().context("wait")?;
    Ok(())
}
