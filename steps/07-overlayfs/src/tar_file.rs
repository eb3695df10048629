//! A layer in a tar file, as `docker export` writes one, or a distribution its
//! minimal root: unpacked once, into the cache.

use std::fs::{self, File, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufReader, Read, Seek};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path};

use anyhow::{Context, Result, bail};
use flate2::read::MultiGzDecoder;
use nix::unistd::{Gid, Uid, geteuid};
use runtime::{CachedDirectory, Narrator, Side};
use tar::{Archive, Entry, EntryType};

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
    let mut entries = archive.entries()?.peekable();
    if entries.peek().is_none() {
        bail!("this is no tar file, or there is nothing in it");
    }
    for entry in entries {
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
        [0x1f, 0x8b, ..] => Ok(Box::new(MultiGzDecoder::new(opened))),
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

/// As many as a container has: root, and those after it.
const IDS: u64 = 65_536;

/// Id 0 of the file is root inside, whoever that is outside, and the ids after
/// it are those after root. One that no container has becomes root's. An
/// ordinary user owns all that they unpack.
fn give<R: Read>(
    entry: &Entry<R>,
    into: &Path,
    owner: Option<(Uid, Gid)>,
) -> Result<()> {
    let (kind, mode) = (entry.header().entry_type(), entry.header().mode()?);
    let mut path = into.to_owned();
    for component in entry.path()?.components() {
        // An absolute name would lead out: joined to it, `into` is lost.
        let Component::Normal(name) = component else { continue };
        path.push(name);
        // The directories on the way need no entries of their own.
        if let Some((root, wheel)) = owner
            && fs::symlink_metadata(&path)?.uid() == geteuid().as_raw()
        {
            lchown(&path, Some(root.as_raw()), Some(wheel.as_raw()))?;
        }
    }
    if let (Some((root, wheel)), false) = (owner, kind.is_hard_link()) {
        let inside = |id: u64| if id < IDS { id as u32 } else { 0 };
        let uid = root.as_raw() + inside(entry.header().uid()?);
        let gid = wheel.as_raw() + inside(entry.header().gid()?);
        lchown(&path, Some(uid), Some(gid))?;
    }
    // chown(2) took setuid away. And a directory that is closed to its owner
    // could be neither filled nor, one day, removed.
    let mode = match kind {
        EntryType::Symlink | EntryType::Link => return Ok(()),
        EntryType::Directory => mode | 0o700,
        _ => mode,
    };
    fs::set_permissions(&path, Permissions::from_mode(mode & 0o7777))?;
    Ok(())
}
