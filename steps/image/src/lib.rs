#![forbid(unsafe_code)]
//! What an image is made of.
//!
//! An image is a directory of *blobs*: files that are named by the sum of their
//! content
//! ([image-layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
//! `index.json` names a manifest, the manifest names a configuration and the
//! layers, and each layer is a tar file. Whoever names a blob says its size and
//! its digest: nothing here is used before both are found to be true.

mod from_image;
mod layout;
pub mod media_type;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "pull")]
mod registry;
mod source;
mod store;
mod user;

use std::path::Path;

use anyhow::{Context, Result, ensure};
use nix::unistd::{Gid, Uid, geteuid};
use runtime::Narrator;
use serde::Deserialize;

pub use from_image::FromImage;
use layout::Rootfs;
pub use layout::{Descriptor, Layout, Manifest};
#[cfg(feature = "pull")]
pub use pull::pull;
pub use store::{Layers, become_like};

/// How a container of this image begins.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    /// `UID[:GID]`, or names of the image's own.
    pub user: Option<String>,
    /// Variables.
    pub env: Option<Vec<String>>,
    /// The command, and what is put before it.
    pub entrypoint: Option<Vec<String>>,
    /// The command's arguments.
    pub cmd: Option<Vec<String>>,
    /// Where it begins.
    working_dir: Option<String>,
}

impl Config {
    /// Where its command begins, if it says so.
    #[must_use]
    pub fn working_dir(&self) -> Option<&str> {
        self.working_dir.as_deref().filter(|it| !it.is_empty())
    }
}

#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(default)]
    config: Option<Config>,
    rootfs: Rootfs,
}

/// An image whose layers are laid out, each in a directory of its own.
#[derive(Debug)]
pub struct Image {
    /// How a container of it begins.
    pub config: Config,
    /// The layers.
    pub layers: Layers,
}

impl Image {
    /// Lays out the image in a directory, or in a tar file of `docker save`:
    /// those of its layers that are not in the store yet. `owner` is root inside.
    ///
    /// # Errors
    /// When there is no such image, or a blob is not what its digest says.
    pub fn open(
        directory: &Path,
        owner: Option<(Uid, Gid)>,
        runtime: &Narrator,
    ) -> Result<Image> {
        let mut layout = Layout::open(directory, runtime)?;
        let manifest = layout.manifest()?;
        let whole: Whole = layout.json(&manifest.config)?;
        let diff_ids = &whole.rootfs.diff_ids;
        ensure!(
            diff_ids.len() == manifest.layers.len(),
            "the manifest has {} layers, and the configuration {}: the image \
             was put together wrong, get it anew",
            manifest.layers.len(),
            diff_ids.len()
        );
        ensure!(!diff_ids.is_empty(), "it has no layer, and so no file");
        // Root can give each file its owner; an ordinary user owns all.
        let ours = || geteuid().is_root().then_some((0.into(), 0.into()));
        let owner = owner.or_else(ours);
        let mut layers = Layers::default();
        for (blob, diff_id) in manifest.layers.iter().zip(diff_ids) {
            layers
                .push(&layout, blob, diff_id, owner, runtime)
                .with_context(|| format!("layer {}", blob.digest))?;
        }
        layers.sweep()?;
        let config = whole.config.unwrap_or_default();
        Ok(Image { config, layers })
    }
}
