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

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
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
    pub working_dir: Option<String>,
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

    /// The ids with which its command begins.
    ///
    /// # Errors
    /// When it has no such user or group.
    pub fn user(&self) -> Result<(u32, u32)> {
        let text = self.config.user.as_deref().unwrap_or_default();
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        let found = match user.parse() {
            _ if user.is_empty() => (0, 0),
            Ok(uid) => (uid, 0),
            Err(_) => self.ids(user, "etc/passwd")?,
        };
        let gid = match group.map(|it| (it, it.parse())) {
            None => found.1,
            Some((_, Ok(gid))) => gid,
            Some((name, Err(_))) => self.ids(name, "etc/group")?.0,
        };
        Ok((found.0, gid))
    }

    /// The third and fourth field of a name's line.
    fn ids(&self, name: &str, file: &str) -> Result<(u32, u32)> {
        // The image's own file, not one of the host's that a link leads to.
        let found = self.layers.find(Path::new(file));
        let Some((path, _)) = found.filter(|(_, there)| there.is_file()) else {
            bail!("the image's user {name:?} is in no file of the image")
        };
        for line in fs::read_to_string(&path)?.lines() {
            let fields: Vec<_> = line.split(':').collect();
            if let [first, _, id, rest @ ..] = &fields[..] {
                if *first == name {
                    let other = rest.first().and_then(|it| it.parse().ok());
                    return Ok((id.parse()?, other.unwrap_or(0)));
                }
            }
        }
        bail!("the image's user or group {name:?} is not in its {file}")
    }
}
