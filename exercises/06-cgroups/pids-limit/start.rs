//! pids-limit CGROUP MAX COMMAND ARG...
//!
//! Becomes COMMAND, in CGROUP, with no more than MAX processes.

use std::fs::write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, id};

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let cgroup = args.next().context("CGROUP is missing")?;
    let max = args.next().context("MAX is missing")?;
    let command = args.next().context("COMMAND is missing")?;
    let cgroup = PathBuf::from(cgroup);
    println!("no more than {max} processes in {cgroup:?}");

    // TODO: write max to the file that limits processes.
    write(cgroup.join("cgroup.procs"), id().to_string()).context("join")?;

    // Returns only when the command can't be executed.
    Err(Command::new(command).args(args).exec().into())
}
