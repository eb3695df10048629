//! Becomes a program under a learner's profile.

use std::convert::Infallible;
use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use anyhow::{Context, Result};
use least_privilege::docker;
use nix::unistd::execv;
use runtime::process::filter_system_calls;
use rustix::thread::{CapabilitySet, set_no_new_privs};

/// Executes `program` under `profile`, whose filter is loaded directly before:
/// what it refuses does not stop us on the way there.
///
/// # Errors
/// When the profile can't be used, or refuses execve(2).
pub fn become_under(profile: &Path, program: &Path) -> Result<Infallible> {
    let filter = docker::read(&fs::read(profile)?, CapabilitySet::empty())?;
    let filter = filter.program()?;
    let program = CString::new(program.as_os_str().as_bytes())?;
    set_no_new_privs(true).context("no_new_privs")?;
    filter_system_calls(&filter).context("seccomp")?;
    Ok(execv(&program, &[&program])?)
}
