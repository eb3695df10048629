//! upper-layer LOWER UPPER WORK MERGED COMMAND ARG...
//!
//! Becomes COMMAND, which sees LOWER in MERGED, and writes to UPPER.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::bail;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [lower, upper, work, merged, command, args @ ..] = &args[..] else {
        bail!("upper-layer LOWER UPPER WORK MERGED COMMAND ARG...");
    };
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;

    // TODO: what is written should go to upper; work is for the kernel.
    let options = format!("lowerdir={upper}:{lower}");
    println!("{work} is not used yet");

    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    mount(kind, &**merged, kind, flags, Some(&*options))?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
