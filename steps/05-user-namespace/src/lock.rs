//! Read-only, whatever root inside does.

use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::{CloneFlags, setns};
use nix::sys::stat::Mode;
use nix::unistd::dup2;
use runtime::process::Child;
use runtime::{Because, Feature, Inside};

/// Mounts whose flags nobody can change back.
///
/// Root inside owns the table of mounts, and so may remount what was mounted
/// in it. But when a table is copied for another user namespace, the kernel
/// locks the copies: read-only stays read-only, and a mount stays where it is
/// (mount_namespaces(7)). So we move into such a copy.
#[derive(Debug, clap::Args)]
pub struct LockedMounts {}

impl Feature for LockedMounts {
    // Last of all that mounts: what comes after it is not locked.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if !container.read_only {
            return Ok(());
        }
        let mut mounts = own_mounts().context("open(\"/proc/self/ns/mnt\")")?;
        container
            .call(
                "clone(CLONE_NEWUSER | CLONE_NEWNS | CLONE_FILES | SIGCHLD)",
                "a helper gets a copy of the mounts: locked, because it has other users",
                "unshare --user --mount sleep 1 &",
                || copy_for_another_user_namespace(&mut mounts),
            )
            .because(
                Errno::EAGAIN,
                "a read-only mount takes two processes for a moment, and a \
                 limit leaves room for only one",
            )
            .because(
                Errno::ENOSPC,
                "a limit in /proc/sys/user/max_*_namespaces has been reached",
            )?;
        container.call(
            "setns(MNT, CLONE_NEWNS)",
            "we move to that copy, and keep our own users",
            "nsenter --mount=/proc/$!/ns/mnt",
            || setns(&mounts, CloneFlags::CLONE_NEWNS),
        )?;
        Ok(())
    }
}

fn own_mounts() -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    open("/proc/self/ns/mnt", flags, Mode::empty())
}

/// The helper can open its namespace, and we can't: who has changed ids is not
/// to be looked at (PR_SET_DUMPABLE). With CLONE_FILES its descriptors are
/// ours, and the copy stays when the helper has ended.
fn copy_for_another_user_namespace(mounts: &mut OwnedFd) -> nix::Result<()> {
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWNS
        | CloneFlags::CLONE_FILES;
    let mut helper = Child::start(flags, || {
        let copied = own_mounts().and_then(|theirs| dup2(theirs, mounts));
        copied.map_or_else(|errno| errno as u8, |()| 0)
    })?;
    match helper.wait()?.status() {
        0 => Ok(()),
        errno => Err(Errno::from_raw(errno.into())),
    }
}
