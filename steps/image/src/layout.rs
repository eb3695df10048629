//! Who names whom, and whether it is true.

use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use runtime::Narrator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::media_type::{INDEXES, LAYERS, MANIFESTS};
use crate::source::{Part, Source};

/// More than any manifest has.
pub const LARGEST_JSON: u64 = 4 << 20;

/// What one blob says of another.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// Its name: `sha256:` and the sum of its content.
    pub digest: String,
    /// Its length.
    pub size: u64,
    /// For which machine it is.
    #[serde(default)]
    pub platform: Option<Platform>,
}

/// A kind of machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Platform {
    architecture: String,
    os: String,
}

impl Platform {
    fn is_ours(&self) -> bool {
        self.os == "linux" && self.architecture == architecture()
    }
}

/// By the name that images have for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Manifests of several images, or of one for several kinds of machines.
#[derive(Debug, Deserialize)]
pub struct Index {
    manifests: Vec<Descriptor>,
}

impl Index {
    /// The first one, as in docker.
    #[cfg(feature = "pull")]
    pub fn for_this_machine(self) -> Result<Descriptor> {
        let is_ours = |it: &Descriptor| {
            it.platform.as_ref().is_none_or(Platform::is_ours)
        };
        let ours = self.manifests.into_iter().find(is_ours);
        ours.with_context(|| {
            format!("there is none of it for linux/{}", architecture())
        })
    }
}

/// What an image consists of.
#[derive(Debug, Deserialize)]
pub struct Manifest {
    /// How a container of it begins, and what its layers are.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
}

/// The same, as `docker save` wrote it before version 25.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: PathBuf,
    layers: Vec<PathBuf>,
}

/// Of the configuration, what names the layers.
#[derive(Debug, Deserialize)]
struct Named {
    rootfs: Rootfs,
}

/// The layers once more, by the sums of what was packed.
#[derive(Debug, Deserialize)]
pub struct Rootfs {
    /// Those sums.
    pub diff_ids: Vec<String>,
}

/// An image that is at hand.
#[derive(Debug)]
pub struct Layout<'a> {
    source: Source,
    /// Blobs that have other names than their digests.
    names: HashMap<String, PathBuf>,
    runtime: &'a Narrator<'a>,
}

/// A blob that is what its descriptor says. Nothing of it is read after a
/// signal: whoever reads it can clean up then.
pub struct Blob<'a> {
    part: Part,
    runtime: &'a Narrator<'a>,
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.interrupted().map_err(io::Error::other)?;
        self.part.read(buffer)
    }
}

impl<'a> Layout<'a> {
    /// The image in a directory, or in a tar file of `docker save`.
    ///
    /// # Errors
    /// When it is none.
    pub fn open(path: &Path, runtime: &'a Narrator) -> Result<Self> {
        let source = Source::open(path)?;
        ensure!(
            source.has("oci-layout") || source.has("manifest.json"),
            "{}: no image, since it has no file oci-layout; \
             `skopeo copy docker-daemon:IMAGE oci:DIR` makes one",
            path.display()
        );
        Ok(Layout { source, names: HashMap::new(), runtime })
    }

    /// The manifest for this machine.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn manifest(&mut self) -> Result<Manifest> {
        if !self.source.has("oci-layout") {
            return self.saved();
        }
        let mut found = one_of(self.page("index.json")?)?;
        if INDEXES.contains(&found.media_type.as_str()) {
            found = one_of(self.json(&found)?)?;
        }
        let kind = &found.media_type;
        ensure!(
            MANIFESTS.contains(&kind.as_str()),
            "{kind:?} is no manifest of an image: \
             `skopeo copy --format oci FROM oci:DIR` writes one"
        );
        self.json(&found)
    }

    /// There, a layer is a tar file as it is: its sum is in the configuration,
    /// whose own sum is its name.
    fn saved(&mut self) -> Result<Manifest> {
        let mut all: Vec<Saved> = self.page("manifest.json")?;
        ensure!(
            all.len() == 1,
            "{} images in one file: `docker save IMAGE` writes one",
            all.len()
        );
        let Saved { config, layers } = all.remove(0);
        let stem = config.file_stem().unwrap_or_default().to_string_lossy();
        let digest = format!("sha256:{stem}");
        let config = self.named(digest, config, "config")?;
        let sums = self.json::<Named>(&config)?.rootfs.diff_ids;
        ensure!(
            sums.len() == layers.len(),
            "manifest.json has {} layers, and the configuration {}: the image \
             was put together wrong, get it anew",
            layers.len(),
            sums.len()
        );
        let layers = sums.into_iter().zip(layers);
        let kind = LAYERS[0].0;
        let layers = layers.map(|(sum, name)| self.named(sum, name, kind));
        Ok(Manifest { config, layers: layers.collect::<Result<_>>()? })
    }

    fn named(
        &mut self,
        digest: String,
        name: PathBuf,
        kind: &str,
    ) -> Result<Descriptor> {
        let told = || format!("{}: part of the image", name.display());
        let size = self.source.file(&name).with_context(told)?.length;
        self.names.insert(digest.clone(), name);
        Ok(Descriptor {
            media_type: kind.to_owned(),
            digest,
            size,
            platform: None,
        })
    }

    /// A file that nobody names by its sum.
    fn page<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let path = self.source.path_of(Path::new(name));
        let told = || format!("{}: the image's first page", path.display());
        let file = self.source.file(Path::new(name)).with_context(told)?;
        let mut text = vec![];
        file.take(LARGEST_JSON).read_to_end(&mut text)?;
        serde_json::from_slice(&text).with_context(told)
    }

    /// # Errors
    /// When it is not what its descriptor says.
    pub fn json<T: DeserializeOwned>(&self, blob: &Descriptor) -> Result<T> {
        let Descriptor { digest, size, .. } = blob;
        ensure!(
            *size <= LARGEST_JSON,
            "blob {digest}: a page of {size} bytes; more than \
             {LARGEST_JSON} are not read"
        );
        let mut text = vec![];
        self.blob(blob)?.take(*size).read_to_end(&mut text)?;
        // Once more, of what was read: the file may have changed meanwhile.
        ensure!(
            sum(&*text)? == *digest,
            "blob {digest} changes while it is read: copy the image first"
        );
        serde_json::from_slice(&text).with_context(|| {
            format!("blob {digest}: it is not what it must be")
        })
    }

    /// A file that goes with this blob.
    ///
    /// # Errors
    /// When its digest is none.
    pub fn path_of(&self, blob: &Descriptor) -> Result<PathBuf> {
        Ok(self.source.path_of(&self.name(blob)?))
    }

    fn name(&self, blob: &Descriptor) -> Result<PathBuf> {
        let hex = hex(&blob.digest)?;
        let named = self.names.get(&blob.digest).cloned();
        Ok(named.unwrap_or_else(|| Path::new("blobs/sha256").join(hex)))
    }

    /// The file, once it is what its descriptor says.
    ///
    /// # Errors
    /// When it is not.
    pub fn blob(&self, blob: &Descriptor) -> Result<Blob<'a>> {
        let Descriptor { digest, size, .. } = blob;
        let told = || format!("blob {digest}: part of the image is missing");
        let part = self.source.file(&self.name(blob)?).with_context(told)?;
        let length = part.length;
        let mut blob = Blob { part, runtime: self.runtime };
        ensure!(
            length == *size,
            "blob {digest} has {length} bytes, and should have {size}: \
             it was cut short or changed, get the image anew"
        );
        let found = sum(&mut blob)?;
        ensure!(
            found == *digest,
            "blob {digest} is not what its name says, but {found}: \
             it was damaged or forged, get the image anew"
        );
        blob.part.rewind()?;
        Ok(blob)
    }
}

/// A digest is a path, too: nothing but a sum may become one.
pub fn hex(digest: &str) -> Result<&str> {
    let is_hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    match digest.strip_prefix("sha256:") {
        Some(hex) if hex.len() == 64 && hex.bytes().all(is_hex) => Ok(hex),
        _ => bail!("{digest:?} is no sha256 digest: no other kind is known"),
    }
}

/// What a sum is called.
pub fn name_of(sum: Sha256) -> String {
    let bytes = sum.finalize();
    let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
    format!("sha256:{hex}")
}

pub fn sum(mut of: impl Read) -> Result<String> {
    let mut sum = Sha256::new();
    io::copy(&mut of, &mut sum)?;
    Ok(name_of(sum))
}

/// The one for this machine. Where nobody says for which it is, it is for all.
fn one_of(index: Index) -> Result<Descriptor> {
    let is_ours =
        |it: &Descriptor| it.platform.as_ref().is_none_or(Platform::is_ours);
    let mut ours: Vec<_> =
        index.manifests.into_iter().filter(is_ours).collect();
    // One image may have several names.
    ours.dedup_by(|one, other| one.digest == other.digest);
    match ours.len() {
        1 => Ok(ours.remove(0)),
        0 => bail!(
            "no image for linux/{} here: get the one for this machine",
            architecture()
        ),
        several => bail!(
            "{several} images in one directory: \
             `skopeo copy oci:DIR:NAME oci:NEW` takes one out"
        ),
    }
}
