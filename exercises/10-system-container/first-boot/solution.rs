//! first-boot NAME INIT ARG...
//!
//! Number 1 of a machine: makes what INIT misses, and becomes INIT.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;
use nix::mount::{MsFlags, mount};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().context("NAME is missing")?;
    let init = args.next().context("INIT is missing")?;
    println!("{} is about to boot", name.display());

    let (flags, mode) = (MsFlags::MS_NODEV, Some("mode=755"));
    mount(Some("tmpfs"), "/run", Some("tmpfs"), flags, mode)
        .context("mount /run")?;

    let mut init = Command::new(init);
    init.env("container", name);

    // Returns only when INIT can't be executed.
    Err(init.args(args).exec().into())
}
