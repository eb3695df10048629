//! Signals as something to read, not as something that strikes in the middle
//! of our work ([signalfd(2)](https://man7.org/linux/man-pages/man2/signalfd.2.html)).

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

/// Those that ask a program to end.
const END: [Signal; 4] =
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// By these a shell stops its jobs. Where the container has a terminal of its
/// own they are about us: the command is in no job of that shell.
const JOB_CONTROL: [Signal; 3] =
    [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

const FLAGS: SfdFlags = SfdFlags::SFD_CLOEXEC.union(SfdFlags::SFD_NONBLOCK);

/// The signals that this process reads: all that can be read, by their numbers.
/// Not SIGPIPE: it is we who wrote where nobody reads.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From here on they wait until they are read. Those of job control do as
    /// they always did.
    ///
    /// # Errors
    /// As sigprocmask(2) and signalfd(2).
    pub fn block() -> nix::Result<Signals> {
        let mut set = SigSet::all();
        set.remove(Signal::SIGPIPE);
        let signals = Signals(SignalFd::with_flags(&set, FLAGS)?);
        JOB_CONTROL.into_iter().for_each(|signal| set.remove(signal));
        set.thread_block()?;
        Ok(signals)
    }

    /// None is read, and none waits: for a program that is no runtime.
    ///
    /// # Errors
    /// As signalfd(2).
    pub fn none() -> nix::Result<Signals> {
        Ok(Signals(SignalFd::with_flags(&SigSet::empty(), FLAGS)?))
    }

    /// Those of job control, too: nobody's shell stops us by them.
    ///
    /// # Errors
    /// As sigprocmask(2).
    pub fn block_job_control(&self) -> nix::Result<()> {
        JOB_CONTROL.into_iter().collect::<SigSet>().thread_block()
    }

    /// The number of the next one that has arrived, if any.
    ///
    /// # Errors
    /// As read(2).
    pub fn next(&self) -> nix::Result<Option<i32>> {
        Ok(self.0.read_signal()?.map(|info| info.ssi_signo as i32))
    }

    /// The signal of this number, if it asks its receiver to end.
    #[must_use]
    pub fn end(number: i32) -> Option<Signal> {
        END.into_iter().find(|signal| *signal as i32 == number)
    }

    /// Whether the command shall have a signal that we got. All are its own,
    /// as with docker, but the one that says that our child has ended.
    #[must_use]
    pub fn is_for_the_command(number: i32) -> bool {
        number != Signal::SIGCHLD as i32
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
