//! Leaves a process behind that outlives the container: its end, and even that
//! of a runtime that was killed.

use std::os::unix::process::CommandExt;
use std::thread::sleep;
use std::time::Duration;

use crate::again::{again, role};
use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "outlive",
    tries: "leave a process behind that outlives its container",
    stopped: StoppedBy::Step(3),
    rule: "when PID 1 ends, the kernel kills all others of its namespace",
    source: "pid_namespaces(7), PR_SET_PDEATHSIG(2const)",
    arguments: &[
        Argument::new("TEXT", "straggler", "to find it by: pgrep -f TEXT"),
        Argument::new("SECONDS", "60", "how long it stays"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (text, seconds) =
        (arguments.text("TEXT")?, arguments.number("SECONDS")?);
    if role().is_some() {
        sleep(Duration::from_secs(seconds));
        return Ok(Outcome::Done("over".into()));
    }
    // PDEATHSIG is not inherited, and a process group of its own gets no
    // signal from the terminal.
    let straggler = again(ATTACK.name, "straggler")
        .args([text, &seconds.to_string()])
        .process_group(0)
        .spawn()
        .or_stopped("fork()")?;
    Ok(Outcome::Done(format!(
        "process {} stays. Look outside, afterwards: pgrep -f {text}",
        straggler.id()
    )))
}
