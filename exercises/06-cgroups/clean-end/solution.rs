//! clean-end CGROUP MAX COMMAND ARG...
//!
//! Runs COMMAND in a cgroup of its own below CGROUP. Nothing is left of it.

use std::fs::{create_dir, read_to_string, remove_dir, write};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, exit, id};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

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
    remove(&place)?;
    exit(status.code().unwrap_or(1));
}

/// Until nobody is left: a process may have forked before it was killed.
fn remove(place: &Path) -> anyhow::Result<()> {
    loop {
        let members = read_to_string(place.join("cgroup.procs"))?;
        for pid in members.lines() {
            kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL).ok();
        }
        match remove_dir(place) {
            Err(error) if error.kind() == ErrorKind::ResourceBusy => {
                sleep(Duration::from_millis(5));
            }
            removed => return removed.context("rmdir"),
        }
    }
}

/// Joins the cgroup, and becomes the command.
fn inside(args: &[String]) -> anyhow::Result<()> {
    let [place, command, args @ ..] = args else { bail!("no COMMAND") };
    let procs = Path::new(place).join("cgroup.procs");
    write(procs, id().to_string()).context("join")?;
    Err(Command::new(command).args(args).exec().into())
}
