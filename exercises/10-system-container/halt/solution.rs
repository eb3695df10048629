//! halt COMMAND ARG...
//!
//! Number 1 of a machine: starts COMMAND, and halts at SIGRTMIN+3.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::libc;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::SignalFd;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// kill(2): every process that we may signal, but not number 1.
const EVERYBODY: Pid = Pid::from_raw(-1);

fn main() -> anyhow::Result<()> {
    let mut args = std::env::args_os().skip(1);
    let command = args.next().context("COMMAND is missing")?;
    // Elsewhere, "everybody" would be all of your own processes.
    ensure!(std::process::id() == 1, "this is for number 1 of a machine");

    // All of them, those without a name too, before there is a child.
    let all = SigSet::all();
    all.thread_block().context("block signals")?;
    let signals = SignalFd::new(&all).context("signalfd")?;

    Command::new(command).args(args).spawn()?;
    loop {
        let signal = signals.read_signal().context("read a signal")?;
        let number = signal.context("no signal")?.ssi_signo as i32;
        if number == libc::SIGRTMIN() + 3 {
            break;
        }
        // SIGTERM is no request to halt. SIGCHLD: somebody is to be buried.
        somebody_is_left();
    }

    kill(EVERYBODY, Signal::SIGTERM).ok();
    let end = Instant::now() + Duration::from_secs(1);
    while somebody_is_left() {
        if Instant::now() > end {
            kill(EVERYBODY, Signal::SIGKILL).ok();
        }
        sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// Waits for those who have ended. Says whether there are others.
fn somebody_is_left() -> bool {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return true,
            Ok(_) => {}
            Err(_) => return false, // ECHILD
        }
    }
}
