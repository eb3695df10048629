//! private-mounts DIR COMMAND ARG...
//!
//! Becomes COMMAND, which has a tmpfs on DIR that the host does not see.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let dir = args.next().context("DIR is missing")?;
    let command = args.next().context("COMMAND is missing")?;
    let none = None::<&str>;

    unshare(CloneFlags::CLONE_NEWNS).context("unshare")?;
    // TODO: make / and all below it private.
    mount(Some("tmpfs"), &*dir, Some("tmpfs"), MsFlags::empty(), none)
        .context("mount a tmpfs")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
