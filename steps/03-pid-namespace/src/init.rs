//! A whole init: what PID 1 owes to the processes of its namespace.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::Pid;
use runtime::Signals;
use runtime::process::{Exit, reap_any, send};
use std::os::fd::AsFd;

/// Stays until the command ends. When PID 1 returns from here and exits, the
/// kernel kills whatever is left in the namespace.
pub fn run(command: Pid, signals: &Signals) -> nix::Result<Exit> {
    loop {
        if let Some(exit) = reap(command)? {
            return Ok(exit);
        }
        wait_for(signals)?;
        while let Some(signal) = signals.next()? {
            // The kernel gives PID 1 only signals that it waits for; a command
            // that is not PID 1 gets them all. That it is gone is no error.
            if Signals::is_for_the_command(signal) {
                let _ = send(command, signal);
            }
        }
    }
}

/// Takes all that have ended, and says whether the command was among them.
///
/// A thousand orphans may end before we look once, and their SIGCHLDs are one:
/// to wait for one child a signal would leave the others as zombies.
fn reap(command: Pid) -> nix::Result<Option<Exit>> {
    let mut ended = None;
    loop {
        match reap_any() {
            Ok(Some((pid, exit))) if pid == command => ended = Some(exit),
            Ok(Some(_)) => {}
            Ok(None) | Err(Errno::ECHILD) => return Ok(ended),
            Err(errno) => return Err(errno),
        }
    }
}

fn wait_for(signals: &Signals) -> nix::Result<()> {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}
