//! What a blob is: the words of the OCI, and docker's own from before.

use anyhow::{Result, bail};
use overlayfs::unpack::Packing;

/// Lists of manifests, each for a kind of machine.
pub const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Manifests of an image.
pub const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// Layers, and what they are packed by.
pub const LAYERS: [(&str, Packing); 6] = [
    ("application/vnd.oci.image.layer.v1.tar", Packing::None),
    ("application/vnd.oci.image.layer.v1.tar+gzip", Packing::Gzip),
    ("application/vnd.oci.image.layer.v1.tar+zstd", Packing::Zstd),
    ("application/vnd.docker.image.rootfs.diff.tar", Packing::None),
    ("application/vnd.docker.image.rootfs.diff.tar.gzip", Packing::Gzip),
    ("application/vnd.docker.image.rootfs.diff.tar.zstd", Packing::Zstd),
];

/// What a layer is packed by.
///
/// # Errors
/// When it is no layer that can be read here.
pub fn packing(media_type: &str) -> Result<Packing> {
    match LAYERS.iter().find(|(name, _)| *name == media_type) {
        Some((_, packing)) => Ok(*packing),
        None => bail!(
            "{media_type:?} is no layer that can be read here: `skopeo copy \
             --dest-compress-format gzip oci:DIR oci:NEW` writes one that is"
        ),
    }
}
