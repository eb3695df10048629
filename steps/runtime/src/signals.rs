//! Signals as something to read, not as something that strikes in the middle
//! of our work ([signalfd(2)](https://man7.org/linux/man-pages/man2/signalfd.2.html)).

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Those that ask a program to end.
const END: [Signal; 4] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// Those that are the command's business alone.
const MESSAGES: [Signal; 2] = [Signal::SIGUSR1, Signal::SIGUSR2];
/// Those that are ours: a child ended, the window changed, we are in the foreground again.
const OURS: [Signal; 3] = [Signal::SIGCHLD, Signal::SIGWINCH, Signal::SIGCONT];

/// The signals that this process reads.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From here on they wait until they are read.
    ///
    /// # Errors
    /// As sigprocmask(2) and signalfd(2).
    pub fn block() -> nix::Result<Signals> {
        let mut set = SigSet::empty();
        for signal in END.into_iter().chain(MESSAGES).chain(OURS) {
            set.add(signal);
        }
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&set, flags)?))
    }

    /// The next one that has arrived, if any.
    ///
    /// # Errors
    /// As read(2).
    pub fn next(&self) -> nix::Result<Option<Signal>> {
        let info = self.0.read_signal()?;
        Ok(info.and_then(|info| Signal::try_from(info.ssi_signo as i32).ok()))
    }

    /// Whether a signal asks its receiver to end.
    #[must_use]
    pub fn ends(signal: Signal) -> bool {
        END.contains(&signal)
    }

    /// Whether the command shall have a signal that we got.
    #[must_use]
    pub fn is_for_the_command(signal: Signal) -> bool {
        !OURS.contains(&signal)
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
