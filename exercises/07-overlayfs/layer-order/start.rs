//! layer-order MERGED LAYER... -- COMMAND ARG...
//!
//! Becomes COMMAND, which sees all LAYERs in MERGED, the lowest named first.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, bail};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

// TODO: a lower layer hides what is in the higher ones. That is the wrong way
// round.
fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let end = args.iter().position(|arg| arg == "--").context("no --")?;
    let ([merged, layers @ ..], [_, command, args @ ..]) = args.split_at(end)
    else {
        bail!("layer-order MERGED LAYER... -- COMMAND ARG...");
    };
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;

    let layers: Vec<_> = layers.iter().map(String::as_str).collect();
    let options = format!("lowerdir={}", layers.join(":"));
    let (kind, flags) = (Some("overlay"), MsFlags::empty());
    mount(kind, &**merged, kind, flags, Some(&*options))?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
