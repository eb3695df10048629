//! A /proc for attackers: the container's own or, where it has none, one that
//! is mounted nowhere (fsmount(2)), so nobody has to clean up after us.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen,
};

/// Opens a path below /proc.
pub fn open(path: &str, flags: OFlag) -> io::Result<OwnedFd> {
    Ok(openat(directory()?, path, flags | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Reads a file below /proc.
pub fn read(path: &str) -> io::Result<String> {
    io::read_to_string(std::fs::File::from(open(path, OFlag::O_RDONLY)?))
}

/// Where a link below /proc leads.
pub fn link(path: &str) -> io::Result<PathBuf> {
    Ok(readlinkat(directory()?, path)?.into())
}

fn directory() -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let own = |path| openat(AT_FDCWD, path, flags, Mode::empty());
    if own("/proc/self").is_ok() {
        return Ok(own("/proc")?);
    }
    Ok(mount()?)
}

/// A new one, mounted nowhere.
pub fn mount() -> rustix::io::Result<OwnedFd> {
    let proc = fsopen("proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&proc)?;
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&proc, FsMountFlags::FSMOUNT_CLOEXEC, quiet)
}
