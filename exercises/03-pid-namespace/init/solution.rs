//! init COMMAND ARG...
//!
//! Number 1 of a PID namespace: passes signals on, waits for everybody, and
//! ends as COMMAND ends.

use std::process::{Command, exit};

use anyhow::Context;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    // Blocked before there is a child: nothing can be missed.
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGCHLD);
    signals.thread_block().context("block signals")?;

    let child = Command::new(command).args(args).spawn()?;
    let child = Pid::from_raw(child.id() as i32);
    loop {
        match signals.wait().context("wait for a signal")? {
            Signal::SIGCHLD => wait_for_everybody(child)?,
            // It may have ended meanwhile. Then SIGCHLD is next.
            signal => match kill(child, signal) {
                Err(Errno::ESRCH) | Ok(()) => {}
                Err(error) => return Err(error.into()),
            },
        }
    }
}

/// One SIGCHLD may stand for many children.
fn wait_for_everybody(child: Pid) -> anyhow::Result<()> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) if pid == child => exit(code),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => {
                exit(128 + signal as i32)
            }
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return Ok(()),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
