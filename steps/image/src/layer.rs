//! One layer: what it deletes, and what it brings.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::MultiGzDecoder;
use nix::errno::Errno;
use nix::unistd::geteuid;
use rustix::fs::{AtFlags, CWD, Timestamps, XattrFlags, lsetxattr, utimensat};
use sha2::{Digest, Sha256};
use tar::{Archive, Entry, EntryType, Header};

use crate::layout::{Blob, Descriptor, Layout, name_of};

const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Nobody says how large a layer becomes. gzip makes 1 byte of 1,000 zeros:
/// what grows by more than this, after the first of it, is no layer of files.
const GROWTH: u64 = 100;
const FREE: u64 = 64 << 20;

/// What the layers so far have become.
pub struct Tree {
    root: PathBuf,
    left_out: Vec<String>,
    /// Whatever comes into a directory makes it younger: so at the end.
    times: BTreeMap<PathBuf, u64>,
    /// The first file whose owner is nobody here, and how many there are.
    orphans: Option<(String, usize)>,
}

impl Tree {
    /// An empty one, in a directory that is named without links.
    pub fn new(root: &Path) -> Tree {
        let (left_out, times) = (vec![], BTreeMap::new());
        Tree { root: root.to_owned(), left_out, times, orphans: None }
    }

    /// Lays a layer over those that are there already.
    pub fn apply(
        &mut self,
        layout: &Layout,
        blob: &Descriptor,
        diff_id: &str,
    ) -> Result<()> {
        let marks = marks(layout, blob, diff_id)?;
        // First of all: a mark means the layers below, not its own.
        for mark in marks {
            let told = || format!("whiteout {}", mark.display());
            delete(&self.root, &mark).with_context(told)?;
        }
        let mut archive = Archive::new(open(layout.blob(blob)?, blob)?);
        archive.set_preserve_permissions(true);
        for entry in archive.entries()? {
            let mut entry = entry.map_err(damaged)?;
            let name = entry.path()?.display().to_string();
            self.lay_out(&mut entry).with_context(|| name)?;
        }
        Ok(())
    }

    /// What could not be as the image says.
    pub fn done(mut self) -> Result<Vec<String>> {
        for (place, seconds) in self.times {
            let is_there = fs::symlink_metadata(&place)
                .is_ok_and(|it| it.is_dir())
                && fs::canonicalize(&place).is_ok_and(|it| it == place);
            if is_there {
                let time = rustix::fs::Timespec {
                    tv_sec: seconds.try_into()?,
                    tv_nsec: 0,
                };
                let times =
                    Timestamps { last_access: time, last_modification: time };
                utimensat(CWD, &place, &times, AtFlags::SYMLINK_NOFOLLOW)
                    .with_context(|| format!("utimensat({place:?})"))?;
            }
        }
        self.left_out.extend(self.orphans.map(|(first, count)| {
            format!(
                "the owner of {first} (files like this: {count}): this user \
                 namespace has no such id, so it is root's"
            )
        }));
        Ok(self.left_out)
    }

    fn lay_out<R: Read>(&mut self, entry: &mut Entry<R>) -> Result<()> {
        let path = entry.path()?.into_owned();
        let kind = entry.header().entry_type();
        if name(&path).starts_with(MARK) || kind.is_pax_global_extensions() {
            return Ok(());
        }
        if matches!(kind, EntryType::Char | EntryType::Block | EntryType::Fifo)
        {
            let told = format!("{}: a device or FIFO", path.display());
            self.left_out.push(told);
            return Ok(());
        }
        let attributes = attributes(entry)?;
        // What is there and of another kind goes: a link would be followed.
        if let Some(there) = place_of(&self.root, &path)? {
            let both = kind.is_dir() && !there.is_symlink() && there.is_dir();
            if !both && there != self.root {
                remove(&there)?;
            }
        }
        ensure!(entry.unpack_in(&self.root)?, "it leads out of the layer");
        let Some(place) = place_of(&self.root, &path)? else { return Ok(()) };
        // A second name of a file has its owner and mode already.
        if !kind.is_hard_link() {
            self.own(&place, entry.header())?;
        }
        if kind.is_dir() {
            self.times.insert(place.clone(), entry.header().mtime()?);
        }
        for (key, value) in attributes {
            if !geteuid().is_root() && !key.starts_with("user.") {
                self.left_out.push(format!("{}: {key}", path.display()));
                continue;
            }
            lsetxattr(&place, &key, &value, XattrFlags::empty())
                .with_context(|| format!("setxattr({place:?}, {key})"))?;
        }
        Ok(())
    }

    /// Its owner and its mode, in this order: chown(2) takes setuid away.
    fn own(&mut self, place: &Path, header: &Header) -> Result<()> {
        let mut mode = header.mode()? & 0o7777;
        if geteuid().is_root() {
            let (uid, gid) =
                (header.uid()?.try_into()?, header.gid()?.try_into()?);
            let told = || format!("lchown({place:?}, {uid}, {gid})");
            let user = lchown(place, Some(uid), None);
            let group = lchown(place, None, Some(gid));
            let is_orphan = |it: &io::Result<()>| {
                let why = it.as_ref().err().and_then(io::Error::raw_os_error);
                why == Some(Errno::EINVAL as i32)
            };
            if is_orphan(&user) || is_orphan(&group) {
                let id = |it: &_, id| if is_orphan(it) { 0 } else { id };
                let (uid, gid) = (id(&user, uid), id(&group, gid));
                lchown(place, Some(uid), Some(gid)).with_context(told)?;
                let name = place.strip_prefix(&self.root).unwrap_or(place);
                let shown = || name.display().to_string();
                let (_, count) =
                    self.orphans.get_or_insert_with(|| (shown(), 0));
                *count += 1;
            } else {
                user.and(group).with_context(told)?;
            }
        } else if header.entry_type().is_dir() {
            // An ordinary user must be able to fill it, and remove it.
            mode |= 0o700;
        }
        if !header.entry_type().is_symlink() {
            fs::set_permissions(place, Permissions::from_mode(mode))?;
        }
        Ok(())
    }
}

// Not the library's own words: they hold a page of what it read.
fn damaged(error: io::Error) -> anyhow::Error {
    match error.kind() {
        io::ErrorKind::Other => anyhow::anyhow!("this is not a tar file"),
        kind => anyhow::anyhow!("this is not a tar file: {kind}"),
    }
}

fn open<'a>(file: Blob<'a>, blob: &Descriptor) -> Result<Box<dyn Read + 'a>> {
    Ok(match blob.media_type.as_str() {
        "application/vnd.oci.image.layer.v1.tar"
        | "application/vnd.docker.image.rootfs.diff.tar" => Box::new(file),
        "application/vnd.oci.image.layer.v1.tar+gzip"
        | "application/vnd.docker.image.rootfs.diff.tar.gzip" => {
            Box::new(MultiGzDecoder::new(file))
        }
        other => bail!(
            "{other:?} is no layer that can be read here: `skopeo copy \
             --dest-compress-format gzip oci:DIR oci:NEW` writes one that is"
        ),
    })
}

/// Reads all of it, and believes nothing before the end.
fn marks(
    layout: &Layout,
    blob: &Descriptor,
    diff_id: &str,
) -> Result<Vec<PathBuf>> {
    let limit = blob.size.saturating_mul(GROWTH).saturating_add(FREE);
    let tar = open(layout.blob(blob)?, blob)?.take(limit + 1);
    let mut archive = Archive::new(Summed { tar, sum: Sha256::new() });
    let mut marks = vec![];
    let read = archive.entries()?.try_for_each(|entry| {
        let path = entry?.path()?.into_owned();
        if name(&path).starts_with(MARK) {
            marks.push(path);
        }
        Ok(())
    });
    let mut rest = archive.into_inner();
    let drained = io::copy(&mut rest, &mut io::sink());
    ensure!(
        rest.tar.limit() > 0,
        "unpacked it has more than {limit} bytes, {GROWTH} times its size \
         and {} MB: a bomb, or an image that nobody can use here",
        FREE >> 20
    );
    drained.map_err(damaged)?;
    read.map_err(damaged)?;
    let found = name_of(rest.sum);
    ensure!(
        found == diff_id,
        "unpacked it is {found}, and the configuration says {diff_id}: it \
         belongs to another image, get this one anew"
    );
    Ok(marks)
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

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_bytes()
}

/// The directory that holds this name, by its real path. None: there is none.
/// A link of a layer below may lead there, but not out.
fn directory_of(root: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let climbs = |it| matches!(it, Component::ParentDir);
    ensure!(!path.components().any(climbs), "it leads out of the layer");
    let inside = path.strip_prefix("/").unwrap_or(path);
    let place = root.join(inside.parent().unwrap_or(Path::new("")));
    let Ok(real) = fs::canonicalize(place) else { return Ok(None) };
    ensure!(real.starts_with(root), "a link leads it out of the layer");
    Ok(Some(real))
}

/// Where it is, or comes to be, by the real path of its directory.
fn place_of(root: &Path, path: &Path) -> Result<Option<PathBuf>> {
    let directory = directory_of(root, path)?;
    Ok(directory.map(|it| match path.file_name() {
        Some(last) => it.join(last),
        None => it,
    }))
}

fn delete(root: &Path, mark: &Path) -> Result<()> {
    let Some(directory) = directory_of(root, mark)? else { return Ok(()) };
    if name(mark) == OPAQUE {
        for entry in fs::read_dir(&directory)? {
            remove(&entry?.path())?;
        }
        return Ok(());
    }
    let hidden = OsStr::from_bytes(&name(mark)[MARK.len()..]);
    ensure!(
        !["", ".", ".."].map(OsStr::new).contains(&hidden)
            && !hidden.as_bytes().starts_with(MARK),
        "only the program that wrote it knows what it means: build the image anew"
    );
    remove(&directory.join(hidden))
}

fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    }
    .with_context(|| format!("remove {}", path.display()))
}

fn attributes<R: Read>(entry: &mut Entry<R>) -> Result<Vec<(String, Vec<u8>)>> {
    let mut found = vec![];
    for keyword in entry.pax_extensions()?.into_iter().flatten() {
        let keyword = keyword?;
        if let Some(key) = keyword.key()?.strip_prefix("SCHILY.xattr.") {
            found.push((key.to_owned(), keyword.value_bytes().to_vec()));
        }
    }
    Ok(found)
}
