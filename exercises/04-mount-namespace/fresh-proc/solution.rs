//! fresh-proc COMMAND ARG...
//!
//! Runs COMMAND in a PID namespace, with a /proc that shows that namespace.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, exit};

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    match args.next_if(|first| first == "inside") {
        None => outside(args.collect()),
        Some(_) => inside(args.collect()),
    }
}

fn outside(command: Vec<OsString>) -> anyhow::Result<()> {
    let none = None::<&str>;
    let flags = CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS;
    unshare(flags).context("unshare")?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
        .context("make / private")?;
    let mut again = Command::new("/proc/self/exe");
    let status = again.arg("inside").args(command).status()?;
    exit(status.code().unwrap_or(1));
}

/// Number 1 of the new namespace.
fn inside(command: Vec<OsString>) -> anyhow::Result<()> {
    let (command, args) = command.split_first().context("no COMMAND")?;
    let none = None::<&str>;
    // It shows the namespace of whoever mounts it: ours.
    mount(Some("proc"), "/proc", Some("proc"), MsFlags::empty(), none)
        .context("mount /proc")?;
    Err(Command::new(command).args(args).exec().into())
}
