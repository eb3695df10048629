//! The directory: who names whom, and whether it is true.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

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

pub const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
pub const MANIFESTS: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// An image in a directory.
#[derive(Debug)]
pub struct Layout<'a> {
    directory: PathBuf,
    stop: &'a AtomicUsize,
}

/// A blob that is what its descriptor says. Nothing of it is read after a
/// signal: whoever reads it can clean up then.
pub struct Blob<'a> {
    file: File,
    stop: &'a AtomicUsize,
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.stop.load(Ordering::Relaxed) {
            0 => self.file.read(buffer),
            signal => Err(io::Error::other(format!("signal {signal}"))),
        }
    }
}

impl<'a> Layout<'a> {
    /// # Errors
    /// When it is none.
    pub fn open(directory: &Path, stop: &'a AtomicUsize) -> Result<Self> {
        let shown = directory.display();
        ensure!(
            directory.is_dir(),
            "{shown}: no directory; a tar file of `docker save` becomes one by \
             `skopeo copy docker-archive:FILE oci:DIR`"
        );
        ensure!(
            directory.join("oci-layout").is_file(),
            "{shown}: no image, since it has no file oci-layout; \
             `skopeo copy docker-daemon:IMAGE oci:DIR` makes one"
        );
        Ok(Layout { directory: directory.to_owned(), stop })
    }

    /// The manifest for this machine.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub fn manifest(&self) -> Result<Descriptor> {
        let file = self.directory.join("index.json");
        let told = || format!("{}: the image's first page", file.display());
        let (mut text, opened) =
            (vec![], File::open(&file).with_context(told)?);
        opened.take(LARGEST_JSON).read_to_end(&mut text)?;
        let index: Index = serde_json::from_slice(&text).with_context(told)?;
        let mut found = one_of(index)?;
        if INDEXES.contains(&found.media_type.as_str()) {
            found = one_of(self.json(&found)?)?;
        }
        let kind = &found.media_type;
        ensure!(
            MANIFESTS.contains(&kind.as_str()),
            "{kind:?} is no manifest of an image: \
             `skopeo copy --format oci FROM oci:DIR` writes one"
        );
        Ok(found)
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

    /// The file, once it is what its descriptor says.
    ///
    /// # Errors
    /// When it is not.
    pub fn blob(&self, blob: &Descriptor) -> Result<Blob<'a>> {
        let Descriptor { digest, size, .. } = blob;
        let path = self.directory.join("blobs/sha256").join(hex(digest)?);
        let told = || format!("blob {digest}: part of the image is missing");
        // Never wait for whoever may write to a FIFO.
        ensure!(fs::metadata(&path).with_context(told)?.is_file(), told());
        let file = File::open(&path).with_context(told)?;
        let mut blob = Blob { file, stop: self.stop };
        let length = blob.file.metadata()?.len();
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
        blob.file.rewind()?;
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
