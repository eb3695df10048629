//! What was deleted: the marks of docker's and OCI's layers, and overlayfs's.
//!
//! A layer can't hold what is not there. In a tar file `.wh.NAME` says that
//! NAME was deleted, and `.wh..wh..opq` that nothing shines through its
//! directory (OCI's image-spec, layer.md). overlayfs has a device of the
//! numbers 0 and 0 for the first, and an attribute for the second.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind::{NotFound, PermissionDenied};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::stat::{Mode, SFlag, mknod};
use runtime::{Because, Failure, Narrator};
use rustix::fs::{XattrFlags, getxattr, setxattr};

const MARK: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Puts overlayfs's marks in place of the others, once all is unpacked: a mark
/// means the layers below, and not what comes before or after it in its own.
pub fn translate(layer: &Path, runtime: &Narrator) -> Result<()> {
    for mark in marks_in(layer, runtime)? {
        let told = || format!("the whiteout {}", mark.display());
        translate_one(layer, &mark).with_context(told)?;
    }
    Ok(())
}

fn translate_one(layer: &Path, mark: &Path) -> Result<()> {
    let directory = mark.parent().context("it is in no directory")?;
    let name = mark.file_name().unwrap_or_default().as_bytes();
    fs::remove_file(mark).map_err(|e| Failure::of("unlink()", e))?;
    if name == OPAQUE {
        if directory == layer {
            bail!("it would hide the whole root directory: leave it out");
        }
        return make_opaque(directory);
    }
    let hidden = OsStr::from_bytes(&name[MARK.len()..]);
    if hidden.as_bytes().starts_with(MARK)
        || ["", ".", ".."].map(OsStr::new).contains(&hidden)
    {
        bail!(
            "only the program that wrote it knows what it means: leave it out"
        );
    }
    // Deleted, and made anew: what is new is all that there is of it.
    let place = directory.join(hidden);
    match fs::symlink_metadata(&place) {
        Ok(there) if there.is_dir() => make_opaque(&place),
        Ok(_) => Ok(()),
        Err(_) => make(&place),
    }
}

/// mknod(path, S_IFCHR, makedev(0, 0)): no real device, so anybody may make
/// it (since Linux 5.8).
///
/// # Errors
/// As mknod(2).
pub fn make(path: &Path) -> Result<()> {
    mknod(path, SFlag::S_IFCHR, Mode::empty(), 0)
        .map_err(|errno| Failure::of("mknod(S_IFCHR, 0:0)", errno))?;
    Ok(())
}

/// Nothing of the layers below shines through.
///
/// # Errors
/// As setxattr(2).
pub fn make_opaque(directory: &Path) -> Result<()> {
    setxattr(directory, MARK_OF_OVERLAYFS, b"y", XattrFlags::empty())
        .map_err(|errno| Failure::of("setxattr(user.overlay.opaque)", errno))
        .because(
            Errno::EOPNOTSUPP,
            "the cache is on a file system without user attributes: \
             XDG_CACHE_HOME=DIR chooses another place, on a disk",
        )?;
    Ok(())
}

/// Whether this is such a mark.
#[must_use]
pub fn is_whiteout(there: &Metadata) -> bool {
    there.file_type().is_char_device() && there.rdev() == 0
}

/// Whether nothing of the layers below shines through.
#[must_use]
pub fn is_opaque(directory: &Path) -> bool {
    let mut value = [0; 1];
    let found = getxattr(directory, MARK_OF_OVERLAYFS, &mut value);
    found.is_ok_and(|_| &value == b"y")
}

const MARK_OF_OVERLAYFS: &str = "user.overlay.opaque";

/// A directory that is a layer as it is belongs to somebody: no mark is put
/// there. Left as they are, they would be files, and what was deleted be back.
pub fn must_have_none(layer: &Path, runtime: &Narrator) -> Result<()> {
    match marks_in(layer, runtime)?.first() {
        None => Ok(()),
        Some(mark) => bail!(
            "--layer {}: {} is a whiteout of a tar file; give the layer as \
             one: `tar -C {0} -cf layer.tar .`",
            layer.display(),
            mark.display()
        ),
    }
}

/// No link is followed, and nothing that is mounted: an overlay sees neither.
/// What we may not read, or is gone meanwhile, has no mark.
fn marks_in(layer: &Path, runtime: &Narrator) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    let mut to_look_at = vec![layer.to_owned()];
    let filesystem = fs::metadata(layer)?.dev();
    while let Some(directory) = to_look_at.pop() {
        runtime.interrupted()?;
        if !fs::symlink_metadata(&directory)
            .is_ok_and(|there| there.dev() == filesystem)
        {
            continue;
        }
        let entries = match fs::read_dir(&directory) {
            Err(e) if [PermissionDenied, NotFound].contains(&e.kind()) => {
                continue;
            }
            entries => entries.map_err(|error| {
                Failure::of(format!("opendir({directory:?})"), error)
            })?,
        };
        for entry in entries {
            let call = || format!("readdir({directory:?})");
            let entry = entry.with_context(call)?;
            let name = entry.file_name();
            if name.as_bytes().starts_with(MARK) {
                found.push(entry.path());
            } else if entry.file_type().with_context(call)?.is_dir() {
                to_look_at.push(entry.path());
            }
        }
    }
    Ok(found)
}
