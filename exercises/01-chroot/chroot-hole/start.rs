//! chroot-hole ROOT COMMAND ARG...
//!
//! Runs COMMAND in ROOT. It should have no way out.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::chroot;

// TODO: two things still lead to the host's files. Find them and fix them.
fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let root = args.next().context("ROOT is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    // Kept open, so that the host's / can be named in the message below.
    let host = open("/", OFlag::O_RDONLY | OFlag::O_DIRECTORY, Mode::empty())?;
    chroot(&*root).context("chroot")?;
    println!("{root:?} is /, and descriptor {} the host", host.as_raw_fd());

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
