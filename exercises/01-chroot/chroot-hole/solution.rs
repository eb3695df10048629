//! chroot-hole ROOT COMMAND ARG...
//!
//! Runs COMMAND in ROOT. It should have no way out.

use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, chroot};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let root = args.next().context("ROOT is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    // Kept open, so that the host's / can be named in the message below. Not
    // for the command: execve closes it.
    let how = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let host = open("/", how, Mode::empty())?;
    chroot(&*root).context("chroot")?;
    chdir("/").context("chdir")?;
    println!("{root:?} is /, and descriptor {} the host", host.as_raw_fd());

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
