//! loopback COMMAND ARG...
//!
//! Becomes COMMAND, in a network namespace in which lo is up.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(up.success(), "ip link set up: {up}");

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
