//! Kills a process of the host. Root may signal whatever has a number here.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, PID, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "kill-host",
    tries: "kill a process of the host",
    stopped: StoppedBy::Step(3),
    rule: "what has no number in the caller's PID namespace can't be signalled",
    source: "pid_namespaces(7), kill(2)",
    arguments: &[PID],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let pid = arguments.pid()?;
    let call = format!("kill({pid}, SIGKILL)");
    kill(Pid::from_raw(pid), Signal::SIGKILL).or_stopped(call)?;
    Ok(Outcome::Worked(format!("process {pid} is killed")))
}
