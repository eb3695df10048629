//! Files that are made up while they are read: those of /proc and of cgroups.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

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
