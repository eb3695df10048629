//! chroot ROOT COMMAND ARG...
//!
//! Makes ROOT the root directory, then becomes COMMAND.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let root = args.next().context("ROOT is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    println!("{root:?} is to be the root directory of {command:?}");
    // TODO: call chroot with root here.

    std::env::set_current_dir("/")?;
    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
