//! reaper COMMAND ARG...
//!
//! Number 1 of a PID namespace: runs COMMAND, and waits for whoever has ended.

use std::process::{Command, exit};

use anyhow::Context;
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::Pid;

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;

    let child = Command::new(command).args(args).spawn()?;
    let ours = Pid::from_raw(child.id() as i32);
    loop {
        match wait().context("wait")? {
            WaitStatus::Exited(pid, code) if pid == ours => exit(code),
            WaitStatus::Signaled(pid, signal, _) if pid == ours => {
                exit(128 + signal as i32)
            }
            // An orphan: to be waited for is all that it needs.
            _ => {}
        }
    }
}
