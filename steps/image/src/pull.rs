//! From a registry to a directory.
//!
//! A registry answers two questions
//! ([distribution-spec](https://github.com/opencontainers/distribution-spec/blob/main/spec.md)):
//! `/v2/NAME/manifests/TAG` is the first page of an image, and
//! `/v2/NAME/blobs/DIGEST` all else that it is made of. Whose hands a blob went
//! through does not matter, since its name says what it must be. Of the first
//! page nobody knows: hence HTTPS.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use nix::fcntl::{Flock, FlockArg};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::Manifest;
use crate::layout::{Descriptor, Index, LARGEST_JSON, hex, name_of, sum};
use crate::media_type::{INDEXES, MANIFESTS};
use crate::registry::{Name, Registry, header};

/// How often a blob's transfer may break off, and be taken up again.
const BREAKS: u32 = 4;

const BLOBS: &str = "blobs/sha256";
const INDEX: &str = "index.json";
const LAYOUT: &str = "oci-layout";
/// What is not whole yet.
const HALF: &str = ".pull";
/// By this, containerd and docker know an image in a layout.
const KNOWN_AS: &str = "io.containerd.image.name";

/// Gets an image from a registry into a directory: an OCI layout, once all of
/// it is there. A registry that says nothing for so long is given up.
///
/// # Errors
/// When there is no such image, or it is not what its digests say. What is left
/// then are whole blobs, which the next pull need not get.
pub fn pull(image: &str, directory: &Path, patience: Duration) -> Result<()> {
    let name = Name::parse(image)?;
    let mut registry = Registry::new(&name, patience)?;
    let place = Place::take(directory, &name)?;
    place.sweep_on_a_signal()?;
    let done = place.fill(&name, &mut registry);
    if done.is_err() {
        sweep(&place.directory, place.is_new);
    }
    done
}

/// The directory, which is ours alone for a while.
struct Place {
    directory: PathBuf,
    is_new: bool,
    _lock: Flock<File>,
}

impl Place {
    fn take(directory: &Path, name: &Name) -> Result<Place> {
        let shown = directory.display();
        let is_new = fs::symlink_metadata(directory).is_err();
        fs::create_dir_all(directory)
            .with_context(|| format!("mkdir({shown})"))?;
        let file = File::open(directory).with_context(|| shown.to_string())?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, why)| why).with_context(|| {
            format!("flock({shown}): another pull is at work there")
        })?;
        for entry in fs::read_dir(directory)? {
            let file = entry?.file_name();
            ensure!(
                ["blobs", INDEX, LAYOUT, HALF].iter().any(|it| file == *it),
                "{shown} has {file:?}, which is no image's: choose another name"
            );
        }
        if let Ok(text) = fs::read(directory.join(INDEX)) {
            let index: Value = serde_json::from_slice(&text)
                .with_context(|| format!("{shown}/{INDEX}"))?;
            for there in index["manifests"].as_array().into_iter().flatten() {
                let there = &there["annotations"][KNOWN_AS];
                ensure!(
                    *there == name.to_string(),
                    "{shown} has another image ({there}): choose another name"
                );
            }
        }
        let blobs = directory.join(BLOBS);
        fs::create_dir_all(&blobs).with_context(|| format!("{blobs:?}"))?;
        Ok(Place { directory: directory.to_owned(), is_new, _lock: lock })
    }

    fn sweep_on_a_signal(&self) -> Result<()> {
        let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
        let (directory, is_new) = (self.directory.clone(), self.is_new);
        // Whoever waits for a registry hears no signal.
        thread::spawn(move || {
            for signal in signals.forever() {
                sweep(&directory, is_new);
                let _ = emulate_default_handler(signal);
            }
        });
        Ok(())
    }

    fn fill(&self, name: &Name, registry: &mut Registry) -> Result<()> {
        let version = &name.version;
        let (mut page, mut text) = first_page(registry, version)?;
        if INDEXES.contains(&page.media_type.as_str()) {
            let index: Index = read(&page, &text)?;
            let ours = index.for_this_machine()?;
            (page, text) = first_page(registry, &ours.digest)?;
        }
        let Descriptor { media_type, digest, size, .. } = &page;
        ensure!(
            MANIFESTS.contains(&media_type.as_str()),
            "{media_type:?} is no manifest of an image that can be read here"
        );
        let Manifest { config, layers } = read(&page, &text)?;
        let blobs: Vec<_> = [&config].into_iter().chain(&layers).collect();
        let mut moving = Moving::of(blobs.iter().map(|it| it.size));
        for blob in blobs {
            if self.has(blob)? {
                moving.by(blob.size);
            } else {
                self.fetch(blob, registry, &mut moving)
                    .with_context(|| format!("blob {}", blob.digest))?;
            }
        }
        self.write(&format!("{BLOBS}/{}", hex(digest)?), &text)?;
        let index = json!({ "schemaVersion": 2, "manifests": [{
            "mediaType": media_type, "digest": digest, "size": size,
            "annotations": {
                KNOWN_AS: name.to_string(),
                "org.opencontainers.image.ref.name": version,
            },
        }] });
        self.write(LAYOUT, br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        self.write(INDEX, index.to_string().as_bytes())
    }

    fn has(&self, blob: &Descriptor) -> Result<bool> {
        let path = self.directory.join(BLOBS).join(hex(&blob.digest)?);
        // Never wait for whoever may write to a FIFO.
        let is_like = fs::symlink_metadata(&path)
            .is_ok_and(|it| it.is_file() && it.len() == blob.size);
        Ok(is_like && sum(File::open(path)?)? == blob.digest)
    }

    fn fetch(
        &self,
        blob: &Descriptor,
        registry: &mut Registry,
        moving: &mut Moving,
    ) -> Result<()> {
        let Descriptor { digest, size, .. } = blob;
        let (mut file, mut found, mut length) =
            (self.half()?, Sha256::new(), 0);
        let mut buffer = vec![0; 64 << 10];
        for breaks in 0.. {
            let answer = registry.get(&format!("blobs/{digest}"), length)?;
            if answer.status() != 206 {
                // All of it, once more.
                moving.done -= length;
                (length, found) = (0, Sha256::new());
                file.set_len(0)?;
                file.rewind()?;
            }
            let mut body = answer.into_body().into_reader();
            let broken = loop {
                let count = match body.read(&mut buffer) {
                    Ok(0) => break anyhow!("it was cut short"),
                    Ok(count) => count,
                    Err(why) => break registry.told(why.into()),
                };
                length += count as u64;
                ensure!(length <= *size, "it has more than its {size} bytes");
                found.update(&buffer[..count]);
                file.write_all(&buffer[..count]).context("write")?;
                moving.by(count as u64);
            };
            if length == *size {
                break;
            }
            ensure!(
                breaks < BREAKS,
                "{length} of its {size} bytes came: {broken:#} (whole blobs \
                 are kept, and the same pull goes on from there)"
            );
        }
        let found = name_of(found);
        ensure!(
            found == *digest,
            "what came is {found}: damaged on the way, or forged"
        );
        self.keep(&format!("{BLOBS}/{}", hex(digest)?))
    }

    fn half(&self) -> Result<File> {
        let path = self.directory.join(HALF);
        let _ = fs::remove_file(&path);
        // Never through a link that somebody has put there.
        let file = File::options().write(true).create_new(true).open(&path);
        file.with_context(|| format!("make {}", path.display()))
    }

    /// What is whole gets its name.
    fn keep(&self, name: &str) -> Result<()> {
        let half = self.directory.join(HALF);
        fs::rename(half, self.directory.join(name))
            .with_context(|| format!("rename to {name}"))
    }

    fn write(&self, name: &str, text: &[u8]) -> Result<()> {
        let written = self.half()?.write_all(text);
        written.with_context(|| format!("write {name}"))?;
        self.keep(name)
    }
}

/// Leaves nothing but what is whole.
fn sweep(directory: &Path, is_new: bool) {
    let _ = fs::remove_file(directory.join(HALF));
    // Those that are empty.
    let _ = fs::remove_dir(directory.join(BLOBS));
    let _ = fs::remove_dir(directory.join("blobs"));
    if is_new {
        let _ = fs::remove_dir(directory);
    }
}

/// A manifest, or an index of several: by a tag, or by its digest.
fn first_page(
    registry: &mut Registry,
    version: &str,
) -> Result<(Descriptor, Vec<u8>)> {
    let answer = registry.get(&format!("manifests/{version}"), 0)?;
    let media_type = header(&answer, "Content-Type");
    let media_type = media_type.split(';').next().unwrap_or_default();
    let media_type = media_type.trim().to_owned();
    let (mut text, told) = (vec![], || format!("manifest {version}"));
    let body = answer.into_body().into_reader();
    let read = body.take(LARGEST_JSON + 1).read_to_end(&mut text);
    read.map_err(|why| registry.told(why.into())).with_context(told)?;
    let (digest, size) = (sum(&*text)?, text.len() as u64);
    ensure!(
        size <= LARGEST_JSON,
        "manifest {version}: it has more than {LARGEST_JSON} bytes, and no \
         image needs so many"
    );
    ensure!(
        !version.contains(':') || version == digest,
        "manifest {version}: what came is {digest}: damaged on the way, or forged"
    );
    Ok((Descriptor { media_type, digest, size, platform: None }, text))
}

fn read<T>(page: &Descriptor, text: &[u8]) -> Result<T>
where
    T: serde::de::DeserializeOwned,
{
    let told = || format!("this is no {}", page.media_type);
    serde_json::from_slice(text).with_context(told)
}

/// How much has come: on a terminal, a line that moves.
struct Moving {
    done: u64,
    all: u64,
    shown: Option<Instant>,
}

impl Moving {
    fn of(sizes: impl Iterator<Item = u64>) -> Moving {
        let all = sizes.fold(0, u64::saturating_add);
        Moving { done: 0, all, shown: None }
    }

    fn by(&mut self, bytes: u64) {
        const OFTEN: Duration = Duration::from_millis(100);
        self.done = self.done.saturating_add(bytes);
        let is_time = self.shown.is_none_or(|it| it.elapsed() > OFTEN);
        if is_time && io::stderr().is_terminal() {
            self.shown = Some(Instant::now());
            let [done, all] = [self.done, self.all].map(|it| it as f64 / 1e6);
            let _ =
                write!(io::stderr(), "\r\x1b[Kpull: {done:.1} of {all:.1} MB");
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
