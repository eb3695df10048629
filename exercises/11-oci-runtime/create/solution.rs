//! create DIRECTORY NAME COMMAND ARG...
//!
//! Makes a container named NAME, and leaves it to whoever opens its door.

use std::ffi::OsString;
use std::fs::{File, write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, sethostname};

fn main() -> anyhow::Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    match &args[..] {
        [wait, door, command, args @ ..] if wait == "wait" => {
            first(Path::new(door), command, args)
        }
        [directory, name, command @ ..] if !command.is_empty() => {
            create(Path::new(directory), name, command)
        }
        _ => anyhow::bail!("create DIRECTORY NAME COMMAND ARG..."),
    }
}

/// All but the command.
fn create(
    directory: &Path,
    name: &OsString,
    command: &[OsString],
) -> anyhow::Result<()> {
    let door = directory.join("door");
    mkfifo(&door, Mode::S_IRWXU).context("mkfifo")?;
    unshare(CloneFlags::CLONE_NEWUTS).context("unshare")?;
    sethostname(name).context("sethostname")?;
    let mut child = Command::new("/proc/self/exe");
    let child = child.arg("wait").arg(door).args(command).spawn()?;
    write(directory.join("pid"), child.id().to_string()).context("write pid")
}

/// The first process: it waits at the door, and becomes the command.
fn first(
    door: &Path,
    command: &OsString,
    args: &[OsString],
) -> anyhow::Result<()> {
    // Returns when somebody has opened the other end.
    File::open(door).context("open the door")?;
    Err(Command::new(command).args(args).exec().into())
}
