//! nested-ids FIRST COUNT COMMAND ARG...
//!
//! Runs COMMAND as root of a container in this machine, with ids that the
//! machine lends it.

use std::ffi::OsString;
use std::fs::{read_to_string, write};
use std::io::{BufRead, BufReader, Write, stdin};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio, exit};

use anyhow::{Context, ensure};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

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
        anyhow::bail!("nested-ids FIRST COUNT COMMAND ARG...");
    };
    let first: u32 = first.to_string_lossy().parse()?;
    let count = count.display();
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

    // The machine's own root is somebody else outside: who that is says the
    // second number of the machine's map.
    // TODO: the kernel refuses this map.
    let own = read_to_string("/proc/self/uid_map")?;
    let begin = own.split_whitespace().nth(1).context("no map")?;
    let first = begin.parse::<u32>()? + first;
    for map in ["uid_map", "gid_map"] {
        let file = format!("/proc/{}/{map}", child.id());
        write(file, format!("0 {first} {count}")).context(map)?;
    }

    let mut stdin = child.stdin.take().context("no pipe")?;
    writeln!(stdin, "go")?;
    exit(child.wait()?.code().unwrap_or(1));
}

/// The child: becomes the command.
fn inside(command: Vec<OsString>) -> anyhow::Result<()> {
    let (command, args) = command.split_first().context("no COMMAND")?;
    unshare(CloneFlags::CLONE_NEWUSER).context("unshare")?;
    println!("unshared");
    let mut go = String::new();
    stdin().read_line(&mut go)?;
    if go != "go\n" {
        exit(1); // the parent has failed, and has said why
    }
    let (user, group) = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[]).context("setgroups")?;
    setresgid(group, group, group).context("setresgid")?;
    setresuid(user, user, user).context("setresuid")?;
    Err(Command::new(command).args(args).exec().into())
}
