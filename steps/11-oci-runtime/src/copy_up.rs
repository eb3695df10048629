//! `tmpcopyup`: what lay below a new tmpfs is there again, as podman wants it.
//!
//! Whoever shares the root directory may exchange names meanwhile: a path that
//! is looked up twice could lead to the host's files. So each name is opened
//! once, without following a link, and all else is asked of what was opened.

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use anyhow::{Context, Result};
use rustix::fs::{
    AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid,
    chmodat, chownat, fstat, mkdirat, mknodat, openat, readlinkat, symlinkat,
    utimensat,
};

/// All that is in a directory, with owners, modes and times. The directory
/// itself is as it was asked for.
pub fn copy(from: impl AsFd, to: impl AsFd) -> Result<()> {
    let list = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    for entry in Dir::new(openat(&from, c".", list, Mode::empty())?)? {
        let entry = entry?;
        let name = entry.file_name();
        if ![c".", c".."].contains(&name) {
            one(&from, &to, name).with_context(|| format!("copy {name:?}"))?;
        }
    }
    Ok(())
}

fn one(from: &impl AsFd, to: &impl AsFd, name: &CStr) -> Result<()> {
    let (look, none) = (OFlags::PATH | OFlags::NOFOLLOW, Mode::empty());
    let it = openat(from, name, look | OFlags::CLOEXEC, none)?;
    let about = fstat(&it)?;
    let kind = FileType::from_raw_mode(about.st_mode);
    let mode = Mode::from_raw_mode(about.st_mode);
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU)?;
            copy(it, openat(to, name, look | OFlags::CLOEXEC, none)?)?;
        }
        FileType::RegularFile => {
            let same = format!("/proc/self/fd/{}", it.as_raw_fd());
            let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let new = openat(to, name, new | OFlags::CLOEXEC, Mode::RWXU)?;
            io::copy(&mut File::open(same)?, &mut File::from(new))?;
        }
        FileType::Symlink => {
            symlinkat(&*readlinkat(&it, c"", vec![])?, to, name)?;
        }
        _ => mknodat(to, name, kind, mode, about.st_rdev)?,
    }
    let (uid, gid) = (Uid::from_raw(about.st_uid), Gid::from_raw(about.st_gid));
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    chownat(to, name, Some(uid), Some(gid), itself)?;
    // After chown(2), which takes setuid away.
    if kind != FileType::Symlink {
        chmodat(to, name, mode, AtFlags::empty())?;
    }
    Ok(utimensat(to, name, &times(&about), itself)?)
}

fn times(about: &Stat) -> Timestamps {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec: tv_nsec as _ };
    Timestamps {
        last_access: time(about.st_atime, about.st_atime_nsec),
        last_modification: time(about.st_mtime, about.st_mtime_nsec),
    }
}
