//! Takes memory, and touches each page of it: memory that is only asked for
//! costs nothing.

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;
use std::thread::sleep;
use std::time::Duration;

use crate::again::{again, role};
use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "hog-memory",
    tries: "take memory, and use it",
    stopped: StoppedBy::Option(6, "-m"),
    rule: "above memory.max, the kernel kills processes of the cgroup",
    source: "cgroups(7), cgroup-v2.rst: memory.max, memory.oom.group",
    arguments: &[
        Argument::new("MIB", "64", "how much"),
        Argument::new("SECONDS", "0", "how long to hold it"),
    ],
    run,
};

const PAGE: usize = 4096;

fn run(arguments: &Arguments) -> Try {
    let mib: usize = arguments.number("MIB")?;
    let seconds: u64 = arguments.number("SECONDS")?;
    if role().is_some() {
        let mut memory = vec![0_u8; mib << 20];
        memory.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
        sleep(Duration::from_secs(seconds));
        return Ok(Outcome::Done(format!("{}", black_box(memory).len())));
    }
    // A child, so that somebody is left to report its death: unless the whole
    // cgroup dies with it (memory.oom.group).
    let child = again(ATTACK.name, "hog")
        .args([mib.to_string(), seconds.to_string()])
        .status();
    Ok(match child.or_stopped("fork()")?.signal() {
        Some(signal) => {
            // On cgroup v1 the kernel kills one process, and the runtime ends
            // the others, us too: it is the one to report what happened.
            sleep(Duration::from_millis(300));
            Outcome::Stopped(format!(
                "signal {signal} ended it on its way to {mib} MiB"
            ))
        }
        None => Outcome::Worked(format!("{mib} MiB were in use")),
    })
}
