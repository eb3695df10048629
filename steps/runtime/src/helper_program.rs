//! A program of the host that helps: what it says, and how it ends.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};

use nix::fcntl::OFlag;
use nix::unistd::pipe2;

/// Runs it to its end. Not by `Command::output()`: that reads two pipes at
/// once, which can fail, and panics then.
///
/// # Errors
/// Where it can't be started, or what it says can't be read.
pub fn run(program: &mut Command) -> io::Result<(ExitStatus, String)> {
    let (output, theirs) = pipe2(OFlag::O_CLOEXEC)?;
    let mut child =
        program.stdout(theirs.try_clone()?).stderr(theirs).spawn()?;
    // Else we would hold the other end, and wait for ourselves.
    program.stdout(Stdio::null());
    program.stderr(Stdio::null());
    let mut said = vec![];
    File::from(output).read_to_end(&mut said)?;
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok((child.wait()?, said))
}

/// Where it is, by PATH; without links.
#[must_use]
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut places = std::env::split_paths(&path).map(|it| it.join(name));
    places.find(|it| it.is_file())?.canonicalize().ok()
}
