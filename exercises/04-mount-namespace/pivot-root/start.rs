//! pivot-root ROOT COMMAND ARG...
//!
//! Runs COMMAND in a mount namespace whose root is ROOT.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let root = args.next().context("ROOT is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    println!("{root:?} is to be the root of {command:?}");
    // TODO: a namespace of our own, ROOT as its root, the old root gone.

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
