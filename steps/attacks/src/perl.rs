//! System calls that have no safe binding in Rust. Perl makes them for us:
//! Debian is never without it, and its `syscall` takes any of them.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::Context;
use nix::errno::Errno;

use crate::attack::{Ended, OrStopped, Outcome};

/// Runs a script that makes one system call, and prints its errno, or 0.
pub fn syscall(
    call: &str,
    script: &str,
    arguments: &[&str],
) -> Result<(), Ended> {
    // Not with -e, for which it opens /dev/null: a container has none below
    // step 04.
    let mut command = Command::new("perl");
    command.arg("-").args(arguments).stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut perl = command.spawn().map_err(|error| {
        Outcome::CannotTry(format!("no perl to call {call} with: {error}"))
    })?;
    let mut stdin = perl.stdin.take().context("no stdin of perl")?;
    // One that ends before it has read says why itself.
    let _ = stdin.write_all(script.as_bytes());
    drop(stdin);
    let output = perl.wait_with_output().context("wait for perl")?;
    match String::from_utf8_lossy(&output.stdout).parse() {
        Ok(0) => Ok(()),
        Ok(errno) => Err(Errno::from_raw(errno)).or_stopped(call),
        Err(_) => Err(Outcome::CannotTry(format!(
            "perl did not call {call}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ))
        .into()),
    }
}
