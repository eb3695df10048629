//! hostname NAME COMMAND ARG...
//!
//! Becomes COMMAND, for which the machine is called NAME.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().context("NAME is missing")?;
    let command = args.next().context("COMMAND is missing")?;

    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)
        .context("unshare")?;
    nix::unistd::sethostname(&name).context("sethostname")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
