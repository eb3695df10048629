//! A container that boots like a machine: how the runtime looks after it.

use std::fs;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::libc;
use nix::poll::PollTimeout;
use nix::sys::signal::Signal;

use crate::container::program;
use crate::failure::Failure;
use crate::feature::{Boot, End};
use crate::narration::{Narrator, Side};
use crate::other_process::status;
use crate::process::{Child, Exit};
use crate::terminal::Terminal;

/// For so long a console may be black before we say where to look.
const SILENCE: Duration = Duration::from_secs(10);
/// An init that ends by itself so soon did not come up.
const SOON: Duration = Duration::from_secs(1);
/// How often we look whether PID 1 listens by now.
const OFTEN: u8 = 50;

/// PID 1 is the init of a whole system.
pub struct Booted<'a> {
    boot: &'a dyn Boot,
    narrator: &'a Narrator<'a>,
    began: Instant,
    /// It was told where to look, or there was something to see.
    settled: bool,
    stop: Stop,
}

/// Whether it was asked to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// By this signal, once it listens.
    Asked(i32),
    Sent,
}

impl<'a> Booted<'a> {
    /// From now on.
    pub fn new(boot: &'a dyn Boot, narrator: &'a Narrator<'a>) -> Booted<'a> {
        let began = Instant::now();
        Booted { boot, narrator, began, settled: false, stop: Stop::No }
    }

    /// Says where to look when there was no word for too long, and passes on
    /// what PID 1 could not hear before. How long to wait at most.
    pub fn look_after(
        &mut self,
        child: &Child,
        terminal: &mut Option<&mut Terminal>,
        timeout: PollTimeout,
    ) -> PollTimeout {
        if let Stop::Asked(number) = self.stop {
            if !listens(child, number) {
                return OFTEN.into();
            }
            let _ = child.signal(number);
            self.stop = Stop::Sent;
        }
        self.settled |= terminal.as_ref().is_none_or(|it| it.spoke());
        let left = SILENCE.saturating_sub(self.began.elapsed());
        if self.settled {
            return timeout;
        }
        if left.is_zero() {
            self.settled = true;
            let where_to_look = self.boot.where_to_look(child.pid());
            let text = where_to_look;
            say(terminal, || Narrator::error(&program(), &text));
            return timeout;
        }
        let left = PollTimeout::try_from(left + Duration::from_millis(1));
        let is_sooner = timeout == PollTimeout::NONE;
        left.ok().filter(|_| is_sooner).unwrap_or(timeout)
    }

    /// Somebody wants it to end. Whoever asks twice does not want to wait.
    pub fn stop(
        &mut self,
        child: &Child,
        terminal: &mut Option<&mut Terminal>,
    ) -> nix::Result<()> {
        if let Some(terminal) = terminal {
            terminal.hang_up_if_gone();
        }
        if self.stop != Stop::No {
            return match child.signal(Signal::SIGKILL as i32) {
                Err(Errno::ESRCH) => Ok(()),
                sent => sent,
            };
        }
        let number = self.boot.stop_signal(child.pid());
        self.stop = Stop::Asked(number);
        let told = "PID 1 is asked to stop; ask again, and it is killed";
        say(terminal, || self.narrator.note_now(Side::Host, told));
        Ok(())
    }

    /// What its end means. Whoever asked it to stop does not want it anew.
    ///
    /// # Errors
    /// When it can't have been a system that ended so soon, or was killed.
    pub fn end(&self, exit: Exit) -> Result<End, Failure> {
        let lived = self.began.elapsed();
        match self.boot.end(exit) {
            End::Again if self.stop != Stop::No => Ok(End::Over(Exit::Code(0))),
            End::Over(end) if end == exit && self.stop == Stop::No => {
                let killed = exit == Exit::Signal(libc::SIGKILL);
                let why = match lived < SOON {
                    true => NO_SYSTEM,
                    false if killed => KILLED,
                    false => return Ok(End::Over(end)),
                };
                Err(Failure::Told {
                    status: exit.status(),
                    message: format!(
                        "the init ended after {:.1} s, with {exit}: {why}",
                        lived.as_secs_f32()
                    ),
                })
            }
            end => Ok(end),
        }
    }
}

const NO_SYSTEM: &str = "no system came up; what it said is above, and --all \
    shows what was made for it";
const KILLED: &str = "by somebody on the host, or by the kernel, because it was \
    out of memory: -m";

/// The terminal is the person's while we say something.
fn say(terminal: &mut Option<&mut Terminal>, words: impl FnOnce()) {
    match terminal {
        Some(terminal) => terminal.meanwhile(words),
        None => words(),
    }
}

/// The kernel drops a signal for which PID 1 has no handler: an init that only
/// just began would never hear it. SIGKILL needs none.
fn listens(child: &Child, number: i32) -> bool {
    let heard = |set| {
        let mask = status(child.pid(), set).unwrap_or_default();
        let mask = u64::from_str_radix(&mask, 16).unwrap_or(u64::MAX);
        mask >> (number - 1) & 1 == 1
    };
    number == Signal::SIGKILL as i32
        || number == Signal::SIGSTOP as i32
        || heard("SigCgt")
        || heard("SigBlk")
        || waits_for_signals(child)
}

/// While busybox's init rests in sigtimedwait(2), what it waits for counts as
/// not blocked, and it has no handler: only the call that it is in says so
/// (proc_pid_syscall(5)).
fn waits_for_signals(child: &Child) -> bool {
    let call = fs::read_to_string(format!("/proc/{}/syscall", child.pid()));
    let call = call.unwrap_or_default();
    let number = call.split(' ').next().and_then(|it| it.parse().ok());
    number == Some(libc::SYS_rt_sigtimedwait)
}
