//! Files that are made up while they are read: those of /proc and of cgroups.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

/// Reads one. It has no size before it is read, and `fs::read_to_string` would
/// feel its way from 32 bytes on: here is room for most of them at once.
///
/// # Errors
/// As open(2) and read(2).
pub fn kernel_file(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::with_capacity(4096);
    // A File would ask for the size; what is taken of one does not.
    File::open(path)?.take(u64::MAX).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes to a file below /proc, inside. Whoever made the root directory may
/// have mounted or linked something else in its place, and one letter in the
/// wrong file reboots the machine (CVE-2025-52881).
///
/// # Errors
/// `EXDEV` and `ELOOP` when it is not the kernel's own; as open(2), write(2).
pub fn write_below_proc(name: &str, text: &str) -> nix::Result<()> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let proc = open("/proc", flags | OFlag::O_NOFOLLOW, Mode::empty())?;
    if fstatfs(&proc)?.filesystem_type() != PROC_SUPER_MAGIC {
        return Err(Errno::EXDEV);
    }
    let how = OpenHow::new().flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC).resolve(
        ResolveFlag::RESOLVE_BENEATH
            | ResolveFlag::RESOLVE_NO_XDEV
            | ResolveFlag::RESOLVE_NO_SYMLINKS,
    );
    let mut file = File::from(openat2(&proc, name, how)?);
    file.write_all(text.as_bytes()).map_err(|error| {
        error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
    })
}
