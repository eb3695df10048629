//! The directory: who names whom, and whether it is true.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use runtime::Narrator;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::media_type::{INDEXES, MANIFESTS};

/// More than any manifest has.
const LARGEST_JSON: u64 = 4 << 20;

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

#[derive(Debug, Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

/// An image in a directory.
#[derive(Debug)]
pub struct Layout<'a> {
    directory: PathBuf,
    runtime: &'a Narrator<'a>,
}

/// A blob that is what its descriptor says. Nothing of it is read after a
/// signal: whoever reads it can clean up then.
pub struct Blob<'a> {
    file: File,
    runtime: &'a Narrator<'a>,
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.runtime.interrupted().map_err(io::Error::other)?;
        self.file.read(buffer)
    }
}

impl<'a> Layout<'a> {
    /// # Errors
    /// When it is none.
    pub fn open(directory: &Path, runtime: &'a Narrator) -> Result<Self> {
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
        Ok(Layout { directory: fs::canonicalize(directory)?, runtime })
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

    /// Where a blob is.
    ///
    /// # Errors
    /// When its digest is none.
    pub fn path_of(&self, blob: &Descriptor) -> Result<PathBuf> {
        Ok(self.directory.join("blobs/sha256").join(hex(&blob.digest)?))
    }

    /// The file, once it is what its descriptor says.
    ///
    /// # Errors
    /// When it is not.
    pub fn blob(&self, blob: &Descriptor) -> Result<Blob<'a>> {
        let Descriptor { digest, size, .. } = blob;
        let path = self.path_of(blob)?;
        let told = || format!("blob {digest}: part of the image is missing");
        // Never wait for whoever may write to a FIFO.
        ensure!(fs::metadata(&path).with_context(told)?.is_file(), told());
        let file = File::open(&path).with_context(told)?;
        let mut blob = Blob { file, runtime: self.runtime };
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
fn hex(digest: &str) -> Result<&str> {
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

fn sum(mut of: impl Read) -> Result<String> {
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
