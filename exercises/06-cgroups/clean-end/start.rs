//! clean-end CGROUP MAX COMMAND ARG...
//!
//! Runs COMMAND in a cgroup of its own below CGROUP. Nothing is left of it.

use std::fs::{create_dir, write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, exit, id};

use anyhow::{Context, bail};

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.first().context("CGROUP is missing")?.as_str() {
        "inside" => inside(&args[1..]),
        _ => outside(&args),
    }
}

/// Makes the cgroup, starts the child, and takes the cgroup away.
fn outside(args: &[String]) -> anyhow::Result<()> {
    let [cgroup, max, command @ ..] = args else {
        bail!("clean-end CGROUP MAX COMMAND ARG...");
    };
    let place = Path::new(cgroup).join("box");
    create_dir(&place).context("mkdir")?;
    write(place.join("pids.max"), max).context("limit")?;
    let mut again = Command::new("/proc/self/exe");
    let status = again.arg("inside").arg(&place).args(command).status()?;
    // TODO: kill whatever is left in the cgroup, and remove it.
    exit(status.code().unwrap_or(1));
}

/// Joins the cgroup, and becomes the command.
fn inside(args: &[String]) -> anyhow::Result<()> {
    let [place, command, args @ ..] = args else { bail!("no COMMAND") };
    let procs = Path::new(place).join("cgroup.procs");
    write(procs, id().to_string()).context("join")?;
    Err(Command::new(command).args(args).exec().into())
}
