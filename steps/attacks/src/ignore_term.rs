//! Can't be stopped: the kernel gives PID 1 of a namespace only the signals
//! that it handles. So `kill` has no effect on a command that is PID 1.

use std::os::unix::process::ExitStatusExt;

use nix::sys::signal::{Signal, raise};
use nix::unistd::Pid;

use crate::again::{again, role};
use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "ignore-term",
    tries: "survive SIGTERM without a handler (start it as PID 1 itself)",
    stopped: StoppedBy::Option(3, "--init"),
    rule: "PID 1 gets only signals that it handles: an init passes them on",
    source: "pid_namespaces(7), signal(7)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    if role().is_some() || Pid::this().as_raw() == 1 {
        raise(Signal::SIGTERM).or_stopped("kill()")?;
        return Ok(Outcome::Worked(
            "SIGTERM came, and nothing happened".into(),
        ));
    }
    // Only PID 1 is special. Any other process is as good as we are, and a
    // child can die and leave somebody to report it.
    let status = again(ATTACK.name, "victim").status().or_stopped("fork()")?;
    Ok(match status.signal() {
        Some(signal) if signal == Signal::SIGTERM as i32 => {
            Outcome::Stopped("SIGTERM ended it: it is not PID 1".into())
        }
        _ => Outcome::CannotTry("the signal did not arrive".into()),
    })
}
