//! veth OUTSIDE INSIDE COMMAND ARG...
//!
//! Runs COMMAND in a network namespace that a cable joins with the host.

use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};

use anyhow::{Context, bail, ensure};
use nix::sched::{CloneFlags, unshare};

fn main() -> anyhow::Result<()> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    match args.first().context("OUTSIDE is missing")?.as_str() {
        "inside" => inside(&args[1..]),
        _ => outside(&args),
    }
}

// TODO: the namespace gets no cable, and nothing could go over it. Two
// mistakes.
fn outside(args: &[String]) -> anyhow::Result<()> {
    let [outside, args @ ..] = args else { bail!("no OUTSIDE") };
    let mut child = Command::new("/proc/self/exe")
        .arg("inside")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let stdout = child.stdout.take().context("no pipe")?;
    BufReader::new(stdout).read_line(&mut said)?;
    ensure!(said == "unshared\n", "the child did not get that far");

    ip("link add cable type veth peer name box0")?;
    ip(&format!("address add {outside} dev cable"))?;

    let mut stdin = child.stdin.take().context("no pipe")?;
    writeln!(stdin, "go")?;
    exit(child.wait()?.code().unwrap_or(1));
}

/// The child: sets up its end, and becomes the command.
fn inside(args: &[String]) -> anyhow::Result<()> {
    let [inside, command, args @ ..] = args else { bail!("no COMMAND") };
    unshare(CloneFlags::CLONE_NEWNET).context("unshare")?;
    println!("unshared");
    let mut go = String::new();
    stdin().read_line(&mut go)?;
    if go != "go\n" {
        exit(1); // the parent has failed, and has said why
    }
    ip("link set lo up")?;
    ip(&format!("address add {inside} dev box0"))?;
    ip("link set box0 up")?;
    Err(Command::new(command).args(args).exec().into())
}

/// Runs ip(8) where we are.
fn ip(words: &str) -> anyhow::Result<()> {
    let status = Command::new("ip").args(words.split(' ')).status()?;
    ensure!(status.success(), "ip {words}: {status}");
    Ok(())
}
