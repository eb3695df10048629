//! The runtime while the container lives: it waits, and passes on.

use std::os::fd::{AsFd, BorrowedFd};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, raise};

use crate::boot::Booted;
use crate::channel::{Channel, Message};
use crate::failure::Failure;
use crate::process::{Child, Exit};
use crate::signals::Signals;
use crate::terminal::Terminal;

/// Until the command is executed, a request to end is ours to obey. `false`
/// if the first process died before that, and could not say why. `halfway` is
/// what it may ask us to do on its way.
pub fn wait_for_start(
    channel: &Channel,
    signals: &Signals,
    mut halfway: impl FnMut() -> Result<()>,
) -> Result<bool> {
    loop {
        // In this order: a signal for a command that has begun comes after
        // the word that it begins, so that word is then seen as well.
        let fds = [signals.as_fd(), channel.as_fd()];
        let ready = which_are_ready(
            &mut fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)),
            PollTimeout::NONE,
        )?;
        if ready[1] {
            match channel
                .receive()
                .context("recvmsg() from the container's first process")?
            {
                Some(Message::Starting) => return Ok(true),
                Some(Message::Halfway) => {
                    halfway()?;
                    channel.send(&Message::Go).context("sendmsg()")?;
                }
                Some(Message::Failed(status, message)) => {
                    bail!(Failure::Told { status, message })
                }
                Some(Message::Go) => {
                    bail!("the container's first process speaks out of turn")
                }
                None => return Ok(false),
            }
        }
        while let Some(number) = next(signals)? {
            let Some(signal) = Signals::end(number) else { continue };
            // It may have come while we looked at another one, for a command
            // that has begun meanwhile: then it comes once more, after that.
            let word = PollFd::new(channel.as_fd(), PollFlags::POLLIN);
            if !which_are_ready(&mut [word], PollTimeout::ZERO)?[0] {
                bail!(Failure::Interrupted(signal));
            }
            raise(signal).context("raise()")?;
            break;
        }
    }
}

/// The same, of a command that somebody else looks after.
///
/// # Errors
/// As waitpid(2) and kill(2).
pub fn accompany_plainly(child: &mut Child, signals: &Signals) -> Result<Exit> {
    accompany(child, signals, None, None, None)
}

/// While the command runs: pass signals on, carry what the terminals say, and
/// wait for its end. When `alarm` is readable, we bring it about.
pub fn accompany(
    child: &mut Child,
    signals: &Signals,
    mut alarm: Option<BorrowedFd>,
    mut terminal: Option<&mut Terminal>,
    mut booted: Option<&mut Booted>,
) -> Result<Exit> {
    match &mut terminal {
        Some(terminal) => terminal.go_raw(),
        None => signals.block_job_control().context("sigprocmask()")?,
    }
    loop {
        // Looked at first: its SIGCHLD may have been read while we waited for
        // something else.
        if let Some(exit) = child.exit().context("waitpid()")? {
            if let Some(terminal) = &mut terminal {
                terminal.finish();
            }
            return Ok(exit);
        }
        let mut timeout = terminal
            .as_mut()
            .map_or(PollTimeout::NONE, |t| t.look_for_the_foreground());
        if let Some(booted) = &mut booted {
            timeout = booted.look_after(child, &mut terminal, timeout);
        }
        let ours = [Some(signals.as_fd()), alarm].into_iter().flatten();
        let mut fds: Vec<_> =
            ours.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        fds.extend(terminal.iter().flat_map(|terminal| terminal.poll_fds()));
        let mut ready = which_are_ready(&mut fds, timeout)?.split_off(1);
        if alarm.is_some() && ready.remove(0) {
            alarm = None;
            child.signal(Signal::SIGKILL as i32).context("kill()")?;
        }
        while let Some(number) = next(signals)? {
            let ends = Signals::end(number).is_some();
            if let Some(booted) = booted.as_mut().filter(|_| ends) {
                booted.stop(child, &mut terminal).context("kill()")?;
                continue;
            }
            match (Signal::try_from(number), &mut terminal) {
                (Ok(Signal::SIGWINCH), Some(terminal)) => terminal.resize(),
                (Ok(Signal::SIGCONT), Some(terminal)) => terminal.go_raw(),
                (Ok(Signal::SIGHUP), Some(terminal)) => {
                    child.signal(number).context("kill()")?;
                    terminal.hang_up_if_gone();
                }
                _ if Signals::is_for_the_command(number) => {
                    child.signal(number).context("kill()")?
                }
                _ => {}
            }
        }
        if let Some(terminal) = &mut terminal {
            terminal.carry(&ready);
        }
    }
}

fn next(signals: &Signals) -> Result<Option<i32>> {
    signals.next().context("read(signalfd)")
}

/// Waits until something has happened, and says for each whether it was there.
fn which_are_ready(
    fds: &mut [PollFd],
    timeout: PollTimeout,
) -> Result<Vec<bool>> {
    match poll(fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        Err(errno) => bail!(Failure::of("poll()", errno)),
    }
    Ok(fds.iter().map(|fd| fd.any().unwrap_or(true)).collect())
}
