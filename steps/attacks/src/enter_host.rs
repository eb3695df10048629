//! Joins the mount namespace of a process of the host, as nsenter does. That
//! also sets the root directory: to the host's.

use nix::sched::{CloneFlags, setns};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::attack::{
    Arguments, Attack, FILE, OrStopped, Outcome, PID, StoppedBy, Try,
};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "enter-host",
    tries: "join the mount namespace of a process of the host",
    stopped: StoppedBy::Step(3),
    rule: "what has no number in the caller's PID namespace can't be joined",
    source: "pid_namespaces(7), setns(2)",
    arguments: &[PID, FILE],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let pid = arguments.pid()?;
    let process = Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH);
    let process = process.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let process = process.or_stopped(format!("pidfd_open({pid})"))?;
    let before = outside::look("/")?;
    setns(&process, CloneFlags::CLONE_NEWNS)
        .or_stopped(format!("setns({pid}, CLONE_NEWNS)"))?;
    match outside::look("/")? == before {
        false => outside::read(arguments.text("FILE")?),
        true => Ok(Outcome::Stopped(format!("process {pid} has the same /"))),
    }
}
