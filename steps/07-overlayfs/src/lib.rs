#![forbid(unsafe_code)]
//! Layers, and writes that are thrown away.
//!
//! An overlay (the kernel's Documentation/filesystems/overlayfs.rst) shows
//! several directories as one. The lower ones are never written: a file that
//! changes is copied up into the upper one first. So many containers share one
//! root directory, and none of them can poison it for the next.

mod layer;
mod tar_feature;
mod tar_file;
mod upper;
mod whiteout;

use std::ffi::{OsStr, OsString};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mount_namespace::Mount;
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::unistd::{Gid, Uid, chdir};
use runtime::{Because, Feature, Host, Inside, Narrator, shell};
use rustix::fs::{XattrFlags, removexattr, setxattr};

use layer::{Layer, Layers};
use upper::Upper;

/// A root directory in layers.
#[derive(Debug, clap::Args)]
pub struct Overlayfs {
    /// Lay a directory or tar file over the root directory; the last on top.
    /// What a tar file marks as deleted (.wh.NAME) is gone
    #[arg(long = "layer", value_name = "DIR|TAR", value_parser = layer::parser())]
    layers: Vec<Layer>,

    /// Keep what is written here, to be a layer of the next run
    #[arg(long, value_name = "DIR", value_parser = upper::parser())]
    upper: Option<Upper>,

    #[arg(skip)]
    lower: Layers,

    /// Who is root inside, if not ourselves.
    #[arg(skip)]
    owner: Option<(Uid, Gid)>,
}

impl Feature for Overlayfs {
    fn before(
        &mut self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        self.lower = Layers::open(&self.layers, runtime, owner)?;
        self.owner = owner;
        Ok(())
    }

    fn on_host(&mut self, container: &Host) -> Result<()> {
        self.lower.must_not_overlap(container.rootfs)?;
        if let Some(upper) = &mut self.upper {
            layer::must_be_apart(upper.path(), container.rootfs)?;
            self.lower.must_not_overlap(upper.path())?;
            upper.prepare(container, self.owner)?;
        }
        Ok(())
    }

    // After the mount namespace is private, before the root is pivoted into.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let root = container.rootfs.clone();
        container.call(
            format!("chdir({root:?})"),
            "the lowest layer is `.` from here: the next mount covers its name",
            shell(["cd".as_ref(), root.as_os_str()]),
            || chdir(&root),
        )
        .because(Errno::EACCES, &container.refusal)?;
        if root == Path::new("/") {
            bail!(
                "--rootfs /: no mount covers the root that we stand on; name another directory"
            );
        }
        Mount::new("tmpfs", MsFlags::empty(), "mode=755").make(
            container,
            &root,
            "memory for what is written; gone with the last process",
        )?;
        // Its mode will be that of the container's `/`.
        let directory = |name: &str| -> Result<PathBuf> {
            let path = root.join(name);
            let made = DirBuilder::new().mode(0o755).create(&path);
            made.with_context(|| format!("mkdir {path:?}"))?;
            Ok(path)
        };
        let merged = directory("merged")?;
        let (upper, work) = match &self.upper {
            Some(upper) => (upper.path().to_owned(), upper.work()),
            None => (directory("upper")?, directory("work")?),
        };
        if !has_attributes(&upper) {
            container.note(NO_ATTRIBUTES);
        }
        self.mount(container, &upper, &work, &merged)?;
        container.scratch = Some(root);
        container.rootfs = merged;
        Ok(())
    }
}

impl Overlayfs {
    /// The topmost layer comes first. `userxattr`: what overlayfs notes on a
    /// file goes into attributes that a user namespace may write (Linux 5.11).
    fn mount(
        &self,
        container: &Inside,
        upper: &Path,
        work: &Path,
        merged: &Path,
    ) -> Result<()> {
        let names = self.lower.names_from_the_top().chain([Path::new(".")]);
        let names: Vec<_> = names.map(layer::escape).collect();
        let mut data = OsString::from("lowerdir=");
        data.push(names.join(OsStr::new(":")));
        data.push(",upperdir=");
        data.push(layer::escape(upper));
        data.push(",workdir=");
        data.push(layer::escape(work));
        data.push(",userxattr");
        layer::must_fit(names.len(), data.len())?;
        Mount::new("overlay", MsFlags::empty(), &data)
            .make(container, merged, "all layers as one directory")
            .because(Errno::EINVAL, ADVICE)
            .because(
                Errno::EPERM,
                "overlayfs in a user namespace needs Linux 5.11",
            )
            .because(
                Errno::ENODEV,
                "this kernel has no overlayfs: `sudo modprobe overlay`",
            )?;
        Ok(())
    }
}

/// Where a directory of a lower layer was removed, and another one takes its
/// name, overlayfs notes so on the upper one.
fn has_attributes(upper: &Path) -> bool {
    let name = "user.overlay.workshop";
    let set = setxattr(upper, name, b"y", XattrFlags::empty());
    set.and_then(|()| removexattr(upper, name)).is_ok()
}

const NO_ATTRIBUTES: &str = "a directory of a lower layer can't be removed \
    (EIO): the upper layer takes no user attributes, a tmpfs since Linux 6.6; \
    `--upper DIR` on a disk does";

const ADVICE: &str = "an upper directory can't lie on another overlay, as \
    everything in docker does, nor on NFS, and no more than two overlays may \
    lie over each other: use a directory on a disk or a tmpfs; nor may \
    anything be mounted below a layer: `findmnt` shows what is";
