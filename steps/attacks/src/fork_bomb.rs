//! Starts processes until the kernel refuses, or there are as many as asked
//! for: this bomb has an end, and takes all of them away again.

use std::io::{Read, stdin};
use std::process::{Child, Stdio};

use crate::again::{again, role};
use crate::attack::{Argument, Arguments, Attack, Outcome, StoppedBy, Try};

pub const ATTACK: Attack = Attack {
    name: "fork-bomb",
    tries: "start many processes",
    stopped: StoppedBy::Option(6, "--pids-limit"),
    rule: "fork fails once the cgroup has pids.max processes",
    source: "cgroups(7), cgroup-v2.rst: pids.max",
    arguments: &[Argument::new("NUMBER", "100", "how many")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    if role().is_some() {
        // Waits for the end of a pipe that its parent holds.
        let _ = stdin().read(&mut [0]);
        return Ok(Outcome::Done("over".into()));
    }
    let number: usize = arguments.number("NUMBER")?;
    let mut processes: Vec<Child> = Vec::new();
    let mut refused = None;
    while processes.len() < number && refused.is_none() {
        let spawned = again(ATTACK.name, "splinter")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        match spawned {
            Ok(child) => processes.push(child),
            Err(error) => refused = Some(error),
        }
    }
    let count = processes.len();
    for mut child in processes {
        let _ = child.wait();
    }
    Ok(match refused {
        Some(error) => {
            Outcome::refused(format!("fork() after {count} processes"), error)
        }
        None => Outcome::Worked(format!("{count} processes ran at once")),
    })
}
