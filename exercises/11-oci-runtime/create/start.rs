//! create DIRECTORY NAME COMMAND ARG...
//!
//! Makes a container named NAME, and leaves it to whoever opens its door.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use anyhow::Context;
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::{mkfifo, sethostname};

fn main() -> anyhow::Result<()> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [directory, name, command, args @ ..] = &args[..] else {
        anyhow::bail!("create DIRECTORY NAME COMMAND ARG...");
    };
    let directory = Path::new(directory);
    mkfifo(&directory.join("door"), Mode::S_IRWXU).context("mkfifo")?;
    unshare(CloneFlags::CLONE_NEWUTS).context("unshare")?;
    sethostname(name).context("sethostname")?;

    // TODO: leave a process that waits at the door, with its number in
    // DIRECTORY/pid, and end. When somebody opens the door, COMMAND begins.
    let mut child = Command::new(command).args(args).spawn()?;
    child.wait().context("wait")?;
    Ok(())
}
