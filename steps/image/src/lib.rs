#![forbid(unsafe_code)]
//! What an image is made of.
//!
//! An image is a directory of *blobs*: files that are named by the sum of their
//! content
//! ([image-layout](https://github.com/opencontainers/image-spec/blob/main/image-layout.md)).
//! `index.json` names a manifest, the manifest names a configuration and the
//! layers, and each layer is a tar file. Whoever names a blob says its size and
//! its digest: nothing here is used before both are found to be true.

mod layer;
mod layout;
#[cfg(feature = "pull")]
mod pull;
#[cfg(feature = "pull")]
mod registry;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::AtomicUsize;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use layer::Tree;
pub use layout::{Descriptor, Layout};
#[cfg(feature = "pull")]
pub use pull::pull;

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
    pub working_dir: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Whole {
    #[serde(default)]
    config: Option<Config>,
    rootfs: Rootfs,
}

#[derive(Debug, Deserialize)]
struct Rootfs {
    diff_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Lays out the image of a directory: its layers, one over the other, in a new
/// directory `root`. What is left out of it goes to `left_out`. Once `stop` is
/// the number of a signal, it ends.
///
/// # Errors
/// When there is no such image, or a blob is not what its digest says.
pub fn unpack(
    directory: &Path,
    root: &Path,
    stop: &AtomicUsize,
    left_out: &mut Vec<String>,
) -> Result<Config> {
    let layout = Layout::open(directory, stop)?;
    let manifest: Manifest = layout.json(&layout.manifest()?)?;
    let whole: Whole = layout.json(&manifest.config)?;
    let diff_ids = &whole.rootfs.diff_ids;
    ensure!(
        diff_ids.len() == manifest.layers.len(),
        "the manifest has {} layers, and the configuration {}: the image was \
         put together wrong, get it anew",
        manifest.layers.len(),
        diff_ids.len()
    );
    fs::create_dir(root).with_context(|| format!("mkdir({root:?})"))?;
    fs::set_permissions(root, Permissions::from_mode(0o755))?;
    let mut tree = Tree::new(&fs::canonicalize(root)?);
    for (descriptor, diff_id) in manifest.layers.iter().zip(diff_ids) {
        let digest = &descriptor.digest;
        tree.apply(&layout, descriptor, diff_id)
            .with_context(|| format!("layer {digest}"))?;
    }
    left_out.extend(tree.done()?);
    Ok(whole.config.unwrap_or_default())
}
