//! A layer in a tar file, as `docker export` writes one, or a distribution its
//! minimal root: unpacked once, into the cache.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid};
use runtime::{CachedDirectory, Narrator, Side};

use crate::unpack::{Packing, lay_out};

/// Counts up when another layer comes of the same tar file.
const RECIPE: u32 = 3;

/// The directory with what the tar file holds.
pub fn unpacked(
    file: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<CachedDirectory> {
    let there = fs::metadata(file)?;
    if !there.is_file() {
        bail!("{}: neither a directory nor a tar file", file.display());
    }
    let version =
        (RECIPE, there.size(), there.mtime(), there.mtime_nsec(), there.ino());
    let family =
        format!("layer-{:08x}", hash((file, owner.map(|o| o.0.as_raw()))));
    let version = format!("{:08x}", hash(version));
    CachedDirectory::open(runtime, &family, &version, |into| {
        unpack(file, into, runtime, owner)
            .with_context(|| format!("unpack {}", file.display()))
    })
}

fn hash(of: impl Hash) -> u32 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish() as u32
}

fn unpack(
    file: &Path,
    into: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    let text = format!("unpack {} once, for all runs", file.display());
    runtime.note(Side::Host, text);
    for what in lay_out(open(file)?, into, runtime, owner)?.left_out {
        runtime.note(Side::Host, format!("left out of the layer: {what}"));
    }
    Ok(())
}

fn open(file: &Path) -> Result<Box<dyn Read>> {
    let mut opened = BufReader::new(File::open(file)?);
    let mut first = [0; 6];
    let length = opened.read(&mut first)?;
    opened.rewind()?;
    Ok(Packing::of(&first[..length])?.undone(opened))
}
