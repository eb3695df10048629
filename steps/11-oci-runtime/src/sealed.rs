//! Our own program, where nobody can write to it.
//!
//! Whoever is in a container can have the kernel open our program: by
//! /proc/PID/exe while we are inside, or as the interpreter of a script that
//! begins with `#!/proc/self/exe`. Root inside could then write to it, and what
//! root of the host starts next is the container's (CVE-2019-5736).

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};
use runtime::process::set_read_only_recursively;
use rustix::fs::{CWD, MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::set_name;

const NAME: &std::ffi::CStr = c"11-oci-runtime";
const OURSELVES: &str = "/proc/self/exe";

/// Begins anew, from a mount of our program that is read-only and lies nowhere.
/// Whoever may not mount takes a copy in memory, which is sealed.
///
/// # Errors
/// As execve(2), and those of the copy.
pub fn begin() -> Result<()> {
    if is_sealed() {
        // By the name of a descriptor, nobody would know us.
        return set_name(NAME).context("prctl(PR_SET_NAME)");
    }
    let program = mount().or_else(|_| copy()).context("a sealed copy of us")?;
    let path = format!("/proc/self/fd/{}", program.as_raw_fd());
    let mut words = std::env::args_os();
    let mut anew = Command::new(&path);
    anew.arg0(words.next().unwrap_or_default()).args(words);
    Err(anew.exec()).with_context(|| format!("execve({path:?})"))
}

/// Of such a mount the file is the root; and of a copy, this is the name.
fn is_sealed() -> bool {
    fs::read_link(OURSELVES).is_ok_and(|it| {
        let it = it.to_string_lossy();
        it == "/" || it.starts_with("/memfd:")
    })
}

fn mount() -> Result<OwnedFd> {
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let program = open_tree(CWD, OURSELVES, flags)?;
    set_read_only_recursively(program.as_fd())?;
    Ok(program)
}

fn copy() -> Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Before Linux 6.3 nobody had to say that it is a program.
    let memory = memfd_create(NAME, flags | MemfdFlags::EXEC)
        .or_else(|_| memfd_create(NAME, flags))?;
    let mut memory = File::from(memory);
    io::copy(&mut File::open(OURSELVES)?, &mut memory)?;
    let seals = SealFlags::SEAL
        | SealFlags::SHRINK
        | SealFlags::GROW
        | SealFlags::WRITE;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory.into())
}
