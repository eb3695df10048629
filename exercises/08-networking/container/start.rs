//! container ROOT WORK FIRST COUNT CGROUP MAX COMMAND ARG...
//!
//! Runs COMMAND in a container.

use std::process::{Command, exit};

use anyhow::bail;

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [root, work, first, count, cgroup, max, command @ ..] = &args[..]
    else {
        bail!("container ROOT WORK FIRST COUNT CGROUP MAX COMMAND ARG...");
    };
    eprintln!("root {root}, writes below {work}, {count} ids from {first}");
    eprintln!("at most {max} processes in {cgroup}");

    // TODO: a container.
    let status = Command::new(&command[0]).args(&command[1..]).status()?;
    exit(status.code().unwrap_or(1));
}
