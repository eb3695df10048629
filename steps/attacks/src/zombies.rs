//! Fills the process table: orphans become children of PID 1, and a process
//! that nobody waits for keeps its entry after its end.

use std::io::read_to_string;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use anyhow::Context;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::again::{again, role};
use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, STAY, StoppedBy,
    Try,
};

pub const ATTACK: Attack = Attack {
    name: "zombies",
    tries: "leave zombies that nobody waits for (start it as PID 1 itself)",
    stopped: StoppedBy::Option(3, "--init"),
    rule: "orphans belong to PID 1, and it must wait for each",
    source: "pid_namespaces(7), wait(2)",
    arguments: &[Argument::new("NUMBER", "20", "how many"), STAY],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let number: usize = arguments.number("NUMBER")?;
    match role().as_deref() {
        Some(PARENT) => leave_orphans(number),
        Some(_) => {
            sleep(Duration::from_millis(300));
            Ok(Outcome::Done("over".into()))
        }
        None => count(&orphans(number)?),
    }
}

const PARENT: &str = "parent";

/// Their parent does not wait for them, and ends first.
fn leave_orphans(number: usize) -> Try {
    for _ in 0..number {
        let orphan = again(ATTACK.name, "orphan").spawn();
        println!("{}", orphan.or_stopped("fork()")?.id());
    }
    Ok(Outcome::Done("over".into()))
}

/// Their pids, when all of them have ended: then nobody holds the pipe.
fn orphans(number: usize) -> Result<Vec<Pid>, Ended> {
    let mut parent = again(ATTACK.name, PARENT)
        .arg(number.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .or_stopped("fork()")?;
    let stdout = parent.stdout.take().context("no pipe")?;
    let said = read_to_string(stdout).context("read the orphans' pids")?;
    parent.wait().or_stopped("wait()")?;
    let pids = said.lines().filter_map(|line| line.parse().ok());
    Ok(pids.map(Pid::from_raw).collect())
}

/// A zombie still has its number; PID 1 gets a moment to wait for it.
fn count(orphans: &[Pid]) -> Try {
    let mut zombies = orphans.to_vec();
    for _ in 0..10 {
        zombies.retain(|&pid| kill(pid, None).is_ok());
        sleep(Duration::from_millis(50));
    }
    Ok(match zombies.len() {
        0 => Outcome::Stopped(format!(
            "PID 1 has waited for all {}",
            orphans.len()
        )),
        left => {
            Outcome::Worked(format!("{left} zombies are in the process table"))
        }
    })
}
