//! pivot-root ROOT COMMAND ARG...
//!
//! Runs COMMAND in a mount namespace whose root is ROOT.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{chdir, pivot_root};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let root = args.next().context("ROOT is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    unshare(CloneFlags::CLONE_NEWNS).context("unshare")?;
    // Nobody else hears of our mounts.
    change("/".as_ref(), MsFlags::MS_PRIVATE).context("make / private")?;
    // Only a mount point can become the root.
    mount(Some(&*root), &*root, NONE, MsFlags::MS_BIND, NONE)
        .context("bind ROOT on itself")?;
    chdir(&*root).context("chdir")?;
    // The old root now lies on top of the new one, at the same place.
    pivot_root(".", ".").context("pivot_root")?;
    umount2(".", MntFlags::MNT_DETACH).context("umount the old root")?;
    chdir("/").context("chdir")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}

const NONE: Option<&str> = None;

/// Changes the propagation of a mount and of all below it.
fn change(place: &OsStr, propagation: MsFlags) -> nix::Result<()> {
    mount(NONE, place, NONE, MsFlags::MS_REC | propagation, NONE)
}
