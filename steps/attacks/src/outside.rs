//! The way from anywhere outside `/` to the host's `/`.
//!
//! `..` stops at the process's root directory. A process that stands beside
//! or above it never meets it, and climbs until the mount namespace ends
//! (path_resolution(7), chroot(2)).

use std::fs;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::stat::{FileStat, stat};
use nix::unistd::{chdir, chroot};

use crate::attack::{Ended, OrStopped, Outcome, Try};

/// The identity of a directory: device and inode number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place(u64, u64);

impl Place {
    /// Of this directory.
    pub fn of(path: impl AsRef<Path>) -> nix::Result<Place> {
        stat(path.as_ref()).map(Place::from)
    }
}

impl From<FileStat> for Place {
    fn from(found: FileStat) -> Place {
        Place(found.st_dev, found.st_ino)
    }
}

/// Climbs from the working directory as far as `..` leads, makes that the root
/// directory, and says whether that is other than `root`.
pub fn climb(root: Place) -> Result<bool, Ended> {
    let mut here = look(".")?;
    loop {
        chdir("..").or_stopped("chdir(\"..\")")?;
        let above = look(".")?;
        if above == here {
            break;
        }
        here = above;
    }
    chroot(".").or_stopped("chroot(\".\")")?;
    Ok(look("/")? != root)
}

/// A second chroot into a directory below: the working directory stays where
/// it is, and is now outside. Says whether that led to another `/`.
pub fn second_chroot() -> Result<bool, Ended> {
    let root = look("/")?;
    let below = directory_below_root().map_err(|e| {
        Outcome::CannotTry(format!("/ has no directory to chroot into ({e:?})"))
    })?;
    chdir("/").or_stopped("chdir(\"/\")")?;
    chroot(below.as_path()).or_stopped(format!("chroot({below:?})"))?;
    climb(root)
}

/// Any directory will do. None is made: nothing is left behind.
fn directory_below_root() -> nix::Result<std::path::PathBuf> {
    let entries = fs::read_dir("/")
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or_default()))?;
    let mut directories = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.next().map(|entry| entry.path()).ok_or(Errno::ENOENT)
}

/// What was gained: the first line of a file of the host.
pub fn read(file: impl AsRef<Path>) -> Try {
    let file = file.as_ref();
    let bytes = fs::read(file).or_stopped(format!("open({file:?})"))?;
    let line = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).replace(char::is_control, "?");
    Ok(Outcome::Worked(format!("{} of the host: {line}", file.display())))
}

/// The identity of a directory that must be there.
pub fn look(path: &str) -> Result<Place, Ended> {
    Place::of(path).or_stopped(format!("stat({path:?})"))
}
