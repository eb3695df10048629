#![forbid(unsafe_code)]
//! Layers, and writes that are thrown away.
//!
//! An overlay (the kernel's Documentation/filesystems/overlayfs.rst) shows
//! several directories as one. The lower ones are never written: a file that
//! changes is copied up into the upper one first. So many containers share one
//! root directory, and none of them can poison it for the next.

pub mod host_view;
pub mod layer;
pub mod refusal;
mod scratch;
mod tar_feature;
mod tar_file;
pub mod unpack;
mod upper;
pub mod whiteout;

use std::ffi::{OsStr, OsString};

use anyhow::Result;
use mount_namespace::Mount;
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::unistd::{Gid, Uid, chdir};
use runtime::{Because, Feature, Host, Inside, Narrator, shell};

use layer::{Layer, Layers};
use scratch::Places;
use upper::Upper;

/// A root directory in layers.
#[derive(Debug, clap::Args)]
pub struct Overlayfs {
    /// Lay a directory or tar file over the root directory, the last one on top.
    /// What a tar file marks as deleted (.wh.NAME) is gone
    #[arg(long = "layer", value_name = "DIR|TAR", value_parser = layer::parser())]
    layers: Vec<Layer>,

    /// Keep in DIR what the container writes; the next run can use it as a layer
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
        container
            .call(
                format!("chdir({root:?})"),
                "`.` is the lowest layer from here on",
                shell(["cd".as_ref(), root.as_os_str()]),
                || chdir(&root),
            )
            .because(Errno::EACCES, &container.refusal)?;
        scratch::must_cover(&root)?;
        Mount::new("tmpfs", MsFlags::empty(), "mode=755").make(
            container,
            &root,
            "memory for what is written",
        )?;
        let places = Places::make(&root, self.upper.as_ref())?;
        upper::warn_without_attributes(container, &places.upper);
        self.mount(container, &places)?;
        container.scratch = Some(root);
        container.rootfs = places.merged;
        Ok(())
    }
}

impl Overlayfs {
    /// The topmost layer comes first. `userxattr`: what overlayfs notes on a
    /// file goes into attributes that a user namespace may write (Linux 5.11).
    fn mount(&self, container: &Inside, places: &Places) -> Result<()> {
        let names = self.lower.names_from_the_top(&container.layers);
        let names: Vec<_> = names.map(layer::escape).collect();
        let mut data = OsString::from("lowerdir=");
        data.push(names.join(OsStr::new(":")));
        data.push(",upperdir=");
        data.push(layer::escape(&places.upper));
        data.push(",workdir=");
        data.push(layer::escape(&places.work));
        data.push(",userxattr");
        layer::must_fit(names.len(), data.len())?;
        let overlay =
            Mount::new("overlay", MsFlags::empty(), &data).after(places.made());
        let why = "all layers as one directory";
        let mounted = overlay.make(container, &places.merged, why);
        Ok(refusal::explained(mounted)?)
    }
}
