//! Where layers are kept: each is unpacked once, for all that are made of it.
//!
//! A layer is a directory of the cache, named by what it is and what lies below
//! it (the image-spec's ChainID). It stays while an image has it, or a bundle
//! is made of it: whoever needs a new one takes away those that nobody needs.

use std::cell::RefCell;
use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid};
use overlayfs::unpack::{LaidOut, lay_out};
use overlayfs::whiteout::{is_opaque, is_whiteout};
use runtime::{CachedDirectory, Narrator, Side};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use sha2::{Digest, Sha256};

use crate::layout::{Descriptor, Layout, name_of};
use crate::media_type::packing;

/// Counts up when another directory comes of the same layer.
const RECIPE: u32 = 1;

/// Nobody says how large a layer becomes. gzip makes 1 byte of 1,000 zeros:
/// what grows by more than this, after the first of it, is no layer of files.
const GROWTH: u64 = 100;
const FREE: u64 = 64 << 20;

const FAMILY: &str = "image-";
const TREE: &str = "tree";
const LEFT_OUT: &str = "left-out";
const USERS: &str = "users";

/// A layer in the store. While this lives, nobody takes it away.
#[derive(Debug)]
pub struct Layer {
    /// Its name in the store: with another layer below, it has another one.
    chain: String,
    place: CachedDirectory,
}

/// Those of an image, the lowest first.
#[derive(Debug, Default)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Lays a layer over those that are there already.
    pub fn push(
        &mut self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &str,
        owner: Option<(Uid, Gid)>,
        runtime: &Narrator,
    ) -> Result<()> {
        let below = self.0.last().map_or("", |it| &it.chain);
        let root = owner.map_or(0, |(uid, _)| uid.as_raw());
        let mut sum = Sha256::new();
        sum.update(format!("{RECIPE} {root} {below} {diff_id}"));
        let chain = name_of(sum);
        let short = &chain["sha256:".len()..][..32];
        // Its own words: the cache's are about the place.
        let why = RefCell::new(None);
        let fill = |into: &Path| {
            let text = format!("unpack layer {diff_id} once, for all runs");
            runtime.note(Side::Host, text);
            self.fill(layout, blob, diff_id, into, owner, runtime).map_err(
                |error| {
                    let asked_to_stop = runtime.interrupted().err();
                    why.replace(Some(asked_to_stop.map_or(error, Into::into)));
                    anyhow!("")
                },
            )
        };
        let family = format!("{FAMILY}{short}");
        let place = CachedDirectory::open(runtime, &family, "1", fill);
        let place = match why.into_inner() {
            Some(error) => return Err(error),
            None => place?,
        };
        let layer = Layer { chain, place };
        layer.used_by(&layout.path_of(blob)?)?;
        self.0.push(layer);
        Ok(())
    }

    fn fill(
        &self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &str,
        into: &Path,
        owner: Option<(Uid, Gid)>,
        runtime: &Narrator,
    ) -> Result<()> {
        let tree = into.join(TREE);
        fs::create_dir(&tree)?;
        fs::set_permissions(&tree, Permissions::from_mode(0o755))?;
        give(&tree, owner)?;
        let limit = blob.size.saturating_mul(GROWTH).saturating_add(FREE);
        let tar = packing(&blob.media_type)?;
        let tar =
            tar.undone(BufReader::with_capacity(1 << 16, layout.blob(blob)?));
        let mut tar = Summed { tar: tar.take(limit + 1), sum: Sha256::new() };
        let laid_out = lay_out(&mut tar, &tree, runtime, owner);
        // A layer that is none has a sum all the same, and ends, or does not.
        let drained = io::copy(&mut tar, &mut io::sink());
        ensure!(
            tar.tar.limit() > 0,
            "unpacked it has more than {limit} bytes, {GROWTH} times its size \
             and {} MB: a bomb, or an image that nobody can use here",
            FREE >> 20
        );
        let laid_out = laid_out?;
        drained.map_err(|error| anyhow!("this is not a tar file: {error}"))?;
        let found = name_of(tar.sum);
        ensure!(
            found == diff_id,
            "unpacked it is {found}, and the configuration says {diff_id}: it \
             belongs to another image, get this one anew"
        );
        self.complete(&fs::canonicalize(tree)?, &laid_out)?;
        fs::write(into.join(LEFT_OUT), laid_out.left_out.join("\n"))?;
        fs::create_dir(into.join(USERS)).context("mkdir")
    }

    /// What a tar file alone can't know: a directory without an entry of its own
    /// is as it was below; and a whiteout is shown where nothing lies under it.
    fn complete(&self, tree: &Path, laid_out: &LaidOut) -> Result<()> {
        let mut to_look_at = vec![(tree.to_owned(), false)];
        while let Some((directory, above_is_new)) = to_look_at.pop() {
            let name = directory.strip_prefix(tree)?;
            let is_opaque = is_opaque(&directory);
            let below = if above_is_new { None } else { self.find(name) };
            let has_entry = laid_out.directories.contains_key(&directory);
            let mut like = fs::symlink_metadata(&directory)?;
            let is_new = match below {
                Some((_, below)) if below.is_dir() => {
                    if !has_entry && !is_opaque {
                        like = below;
                    }
                    is_opaque
                }
                Some((place, _)) if !has_entry => bail!(
                    "{}: it goes through what is no directory below ({}), and \
                     where that leads no layer can know: build the image anew, \
                     with an entry for each directory",
                    name.display(),
                    place.display()
                ),
                _ => true,
            };
            for entry in fs::read_dir(&directory)? {
                let (entry, there) = entry.and_then(|it| {
                    let there = it.metadata()?;
                    Ok((it.path(), there))
                })?;
                if there.is_dir() {
                    to_look_at.push((entry, is_new));
                } else if is_whiteout(&there)
                    && (is_new
                        || self.find(entry.strip_prefix(tree)?).is_none())
                {
                    fs::remove_file(entry)?;
                }
            }
            become_like(&directory, &like)?;
        }
        Ok(())
    }

    /// What all layers together have at a place, as overlayfs sees it; or what is
    /// in the way.
    pub fn find(&self, name: &Path) -> Option<(PathBuf, Metadata)> {
        for layer in self.0.iter().rev() {
            let mut place = layer.tree();
            let mut found = fs::symlink_metadata(&place).ok();
            let mut opaque = false;
            for part in name {
                opaque |= is_opaque(&place);
                place.push(part);
                found = fs::symlink_metadata(&place).ok();
                match &found {
                    Some(there) if there.is_dir() => {}
                    _ => break,
                }
            }
            match found {
                Some(there) if is_whiteout(&there) => return None,
                Some(there) => return Some((place, there)),
                None if opaque => return None,
                None => {}
            }
        }
        None
    }

    /// Their directories.
    pub fn trees(&self) -> impl DoubleEndedIterator<Item = PathBuf> {
        self.0.iter().map(Layer::tree)
    }

    /// What of the image is not there.
    pub fn left_out(&self) -> Result<Vec<String>> {
        let texts = self
            .0
            .iter()
            .map(|it| fs::read_to_string(it.place.path().join(LEFT_OUT)));
        let texts = texts.collect::<io::Result<Vec<_>>>()?;
        Ok(texts.iter().flat_map(|it| it.lines()).map(str::to_owned).collect())
    }

    /// Keeps them while there is this directory with a link to each.
    pub fn kept_for(&self, directory: &Path) -> Result<()> {
        for (number, layer) in self.0.iter().enumerate() {
            layer.used_by(&directory.join((number + 1).to_string()))?;
        }
        Ok(())
    }

    /// Takes away the layers of the store that nobody uses.
    pub fn sweep(&self) -> Result<()> {
        let Some(first) = self.0.first() else { return Ok(()) };
        let store = first.place.path().parent().context("it is in no store")?;
        for entry in fs::read_dir(store)?.flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with(FAMILY)
                || is_used(&entry.path())
            {
                continue;
            }
            let Ok(directory) = File::open(entry.path()) else { continue };
            let how = FlockArg::LockExclusiveNonblock;
            let Ok(_lock) = Flock::lock(directory, how) else { continue };
            if is_used(&entry.path()) {
                continue;
            }
            // In one step: half a layer would be taken for a whole one.
            let gone =
                tempfile::Builder::new().prefix(WASTE).tempdir_in(store)?;
            fs::rename(entry.path(), gone.path())?;
        }
        Ok(())
    }
}

/// By this name the cache knows what can go, should we be killed.
const WASTE: &str = "new-";

impl Layer {
    fn tree(&self) -> PathBuf {
        self.place.path().join(TREE)
    }

    /// Whoever uses it is named by a path, and no more when that is gone.
    fn used_by(&self, path: &Path) -> Result<()> {
        let mut sum = Sha256::new();
        sum.update(path.as_os_str().as_encoded_bytes());
        let link = self.place.path().join(USERS).join(name_of(sum));
        match symlink(path, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Ok(())
            }
            made => made.with_context(|| format!("symlink({link:?})")),
        }
    }
}

/// A user is a blob, or a link to the layer. What can't be seen may be one.
fn is_used(layer: &Path) -> bool {
    let Ok(users) = fs::read_dir(layer.join(USERS)) else { return true };
    users.flatten().any(|user| {
        let Ok(user) = fs::read_link(user.path()) else { return true };
        match fs::read_link(&user) {
            Ok(target) => target == layer.join(TREE),
            Err(_) => user.try_exists().unwrap_or(true),
        }
    })
}

fn give(path: &Path, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    owner.map_or(Ok(()), |(uid, gid)| {
        lchown(path, Some(uid.as_raw()), Some(gid.as_raw()))
    })
}

/// Gives a directory the owner, mode and time of another one.
///
/// # Errors
/// As chown(2), chmod(2) and utimensat(2).
pub fn become_like(directory: &Path, other: &Metadata) -> Result<()> {
    lchown(directory, Some(other.uid()), Some(other.gid()))?;
    let mode = Permissions::from_mode(other.mode() & 0o7777);
    fs::set_permissions(directory, mode)?;
    let time = Timespec { tv_sec: other.mtime(), tv_nsec: other.mtime_nsec() };
    let times = Timestamps { last_access: time, last_modification: time };
    utimensat(CWD, directory, &times, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(())
}

struct Summed<R> {
    tar: R,
    sum: Sha256,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.tar.read(buffer)?;
        self.sum.update(&buffer[..length]);
        Ok(length)
    }
}
