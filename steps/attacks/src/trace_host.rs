//! Stops a process of the host as a debugger would, and reads its registers:
//! whoever can do this can also write them.

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, PID, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "trace-host",
    tries: "trace a process of the host, and read its registers",
    stopped: StoppedBy::Step(3),
    rule: "what has no number in the caller's PID namespace can't be traced",
    source: "pid_namespaces(7), ptrace(2)",
    arguments: &[PID],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let pid = Pid::from_raw(arguments.pid()?);
    ptrace::seize(pid, Options::empty())
        .or_stopped(format!("ptrace(PTRACE_SEIZE, {pid})"))?;
    ptrace::interrupt(pid).or_stopped("ptrace(PTRACE_INTERRUPT)")?;
    waitpid(pid, None).or_stopped("waitpid()")?;
    let registers = ptrace::syscall_info(pid)
        .or_stopped("ptrace(PTRACE_GET_SYSCALL_INFO)")?;
    // It goes on when its tracer ends.
    Ok(Outcome::Worked(format!(
        "process {pid} stopped, its stack pointer is {:#x}",
        registers.stack_pointer
    )))
}
