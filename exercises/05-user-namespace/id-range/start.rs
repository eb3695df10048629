//! id-range FIRST COUNT COMMAND ARG...
//!
//! Runs COMMAND as root of a user namespace that has the ids from FIRST on.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};

use anyhow::{Context, ensure};

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1).peekable();
    match args.next_if(|first| first == "inside") {
        None => outside(args.collect()),
        Some(_) => inside(args.collect()),
    }
}

/// The parent: starts the child, and gives it ids.
fn outside(args: Vec<OsString>) -> anyhow::Result<()> {
    let [first, count, command @ ..] = &args[..] else {
        anyhow::bail!("id-range FIRST COUNT COMMAND ARG...");
    };
    let mut child = Command::new("/proc/self/exe")
        .arg("inside")
        .args(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = String::new();
    let stdout = child.stdout.take().context("no pipe")?;
    BufReader::new(stdout).read_line(&mut said)?;
    ensure!(said == "unshared\n", "the child did not get that far");

    println!("{first:?} and {count:?} for process {}", child.id());
    // TODO: write two maps here. Below, the child has to unshare, wait until
    // they are there, and become root of its namespace.

    let mut stdin = child.stdin.take().context("no pipe")?;
    writeln!(stdin, "go")?;
    exit(child.wait()?.code().unwrap_or(1));
}

/// The child: becomes the command.
fn inside(command: Vec<OsString>) -> anyhow::Result<()> {
    let (command, args) = command.split_first().context("no COMMAND")?;
    println!("unshared");
    let mut go = String::new();
    stdin().read_line(&mut go)?;
    Err(Command::new(command).args(args).exec().into())
}
