//! A layer in a tar file, as `docker export` writes one, or a distribution its
//! minimal root: unpacked once, into the cache.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::{MetadataExt, lchown};
use std::path::Path;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use nix::unistd::{Gid, Uid};
use runtime::{CachedDirectory, Narrator, Side};
use tar::{Archive, Entry, EntryType};

/// The directory with what the tar file holds.
pub fn unpacked(
    file: &Path,
    runtime: &Narrator,
    owner: Option<(Uid, Gid)>,
) -> Result<CachedDirectory> {
    let there = fs::metadata(file)?;
    let version =
        (there.size(), there.mtime(), there.mtime_nsec(), there.ino());
    let family =
        format!("layer-{:08x}", hash((file, owner.map(|o| o.0.as_raw()))));
    CachedDirectory::open(&family, &format!("{:08x}", hash(version)), |into| {
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
    let mut archive = Archive::new(open(file)?);
    archive.set_preserve_permissions(true);
    archive.set_overwrite(true);
    for entry in archive.entries()? {
        runtime.interrupted()?;
        let mut entry =
            entry.context("this is no tar file, or it is cut short")?;
        let name = entry.path()?.display().to_string();
        if !is_file(&entry) {
            runtime.note(Side::Host, format!("left out of the layer: {name}"));
            continue;
        }
        // Refuses `..`, absolute names, and a way through a link that an
        // entry before it has laid out of the directory.
        if !entry.unpack_in(into).with_context(|| name.clone())? {
            bail!("{name}: leads out of the layer");
        }
        give(&entry, into, owner).with_context(|| name)?;
    }
    Ok(())
}

/// By its first bytes, not by its name.
fn open(file: &Path) -> Result<Box<dyn Read>> {
    let mut opened = BufReader::new(File::open(file)?);
    let mut magic = [0; 6];
    let length = opened.read(&mut magic)?;
    opened.rewind()?;
    match &magic[..length] {
        [0x1f, 0x8b, ..] => Ok(Box::new(GzDecoder::new(opened))),
        b"\xfd7zXZ\0" => bail!("it is compressed by xz: `unxz --keep` first"),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            bail!("it is compressed by zstd: `unzstd` first")
        }
        _ => Ok(Box::new(opened)),
    }
}

/// No devices: an ordinary user may not make them, and /dev has its own.
fn is_file<R: Read>(entry: &Entry<R>) -> bool {
    matches!(
        entry.header().entry_type(),
        EntryType::Regular
            | EntryType::Continuous
            | EntryType::GNUSparse
            | EntryType::Directory
            | EntryType::Symlink
            | EntryType::Link
    )
}

/// Id 0 of the file is root inside, whoever that is outside, and the ids after
/// it are those after root. An ordinary user owns all that they unpack.
fn give<R: Read>(
    entry: &Entry<R>,
    into: &Path,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    let Some((root, wheel)) = owner else {
        return Ok(());
    };
    let uid = root.as_raw() + entry.header().uid()? as u32;
    let gid = wheel.as_raw() + entry.header().gid()? as u32;
    let path = into.join(entry.path()?.components().as_path());
    lchown(&path, Some(uid), Some(gid))?;
    if let (false, Ok(mode)) = (path.is_symlink(), entry.header().mode()) {
        // chown(2) takes setuid away.
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(())
}
