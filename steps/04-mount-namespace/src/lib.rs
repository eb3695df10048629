#![forbid(unsafe_code)]
//! Mounts of its own, and a root without a way back.
//!
//! A mount namespace
//! ([mount_namespaces(7)](https://man7.org/linux/man-pages/man7/mount_namespaces.7.html))
//! holds the table of mounts: what is mounted inside stays inside. With such a
//! table, [pivot_root(2)](https://man7.org/linux/man-pages/man2/pivot_root.2.html)
//! can do what chroot(2) can't: take the old root away, so that no `..` and no
//! second chroot leads back to it.

pub mod dev;
mod mount;
mod new_root;
pub mod proc;
pub mod sys;
mod volume;

use anyhow::Result;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid, chdir, pivot_root};
use runtime::{Because, Feature, Inside, Narrator, shell};

pub use mount::{Mount, Mounted, Target, make_read_only, mounts, remount_with};
pub use new_root::NewRoot;

use volume::Volume;

/// A table of mounts of its own.
#[derive(Debug, clap::Args)]
pub struct MountNamespace {
    /// Which of the host's later mounts show up inside: none.
    #[arg(skip = MsFlags::MS_PRIVATE)]
    pub propagation: MsFlags,
}

impl Feature for MountNamespace {
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::CLONE_NEWNS
    }

    // The new table is a copy, and where systemd made `/` shared, copies keep
    // telling each other about new mounts. Not by the same call as any other
    // mount: MS_BIND | MS_PRIVATE would leave the propagation as it is.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        Mount::change(MsFlags::MS_REC | self.propagation).make(
            container,
            "/",
            "what is mounted from here on stays inside",
        )?;
        Ok(())
    }
}

/// Another root, with all that a program expects there, and the old one gone.
#[derive(Debug, clap::Args)]
pub struct PivotRoot {
    /// Show a file or directory of the host inside; a deeper place covers a higher one
    #[arg(short, long = "volume", value_name = "SRC:DST[:ro]", value_parser = volume::parser())]
    volumes: Vec<Volume>,

    /// Mount the root directory read-only
    #[arg(long)]
    read_only: bool,
}

impl Feature for PivotRoot {
    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        Volume::must_not_meet(&self.volumes)
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        let root = NewRoot::enter(container)?;
        proc::mount(container, &root)?;
        container.routine(|| dev::populate(container, &root))?;
        container.routine(|| sys::mount(container, &root))?;
        container.read_only |= self.read_only;
        // What the user names is mounted later, and so wins.
        for (source, destination) in &container.files {
            let place = root.place(destination, false)?;
            Mount::bind(source, MsFlags::empty()).make(
                container,
                place,
                "made for this container",
            )?;
        }
        Volume::mount_all(&self.volumes, container, &root)?;
        if self.read_only {
            mount::remount_read_only(container, ".", "--read-only")?;
        }
        pivot(container, || Ok(()))
    }
}

/// In between, the old root lies over the new one, at the same place: that is
/// what umount2(2) takes away, with everything below it. Whoever still holds
/// something open there keeps it alive; we hold nothing.
///
/// # Errors
/// As pivot_root(2) and umount2(2), and those of `between`.
pub fn pivot(c: &Inside, between: impl Fn() -> Result<()>) -> Result<()> {
    c.call(
        "pivot_root(\".\", \".\")",
        "the old root lies on top now",
        shell(["pivot_root", ".", "."]),
        || pivot_root(".", "."),
    )
    .because(Errno::EINVAL, new_root::NOTHING_TO_PIVOT)?;
    between()?;
    c.call(
        "umount2(\".\", MNT_DETACH)",
        "the host's files are gone",
        "umount -l .",
        || umount2(".", MntFlags::MNT_DETACH),
    )?;
    c.call("chdir(\"/\")", "stand in the new root", "cd /", || chdir("/"))?;
    Ok(())
}
