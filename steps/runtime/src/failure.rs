//! Errors that teach: the call with its arguments, the errno by its name, the
//! likely cause, and what to do.

use std::fmt;
use std::io;

use nix::errno::Errno;
use nix::sys::signal::Signal;

use crate::quote::one_line;

/// The runtime failed before the command could start (docker's convention).
pub const RUNTIME_FAILED: u8 = 125;
/// The command exists and can't be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such command.
pub const NOT_FOUND: u8 = 127;

/// What ENOSPC means where a namespace is made.
pub const NO_MORE_NAMESPACES: &str =
    "a limit in /proc/sys/user/max_*_namespaces has been reached";

/// What EINVAL and ENOSYS mean where a filter for system calls is loaded.
pub const NO_FILTERS: &str = "this kernel has no filters for system calls \
    (CONFIG_SECCOMP_FILTER); --security-opt seccomp=unconfined goes on without";

/// Why a container did not come to be.
#[derive(Debug)]
pub enum Failure {
    /// The kernel refused a call.
    Call {
        /// The call as a person would write it.
        call: String,
        /// The kernel's answer.
        errno: Errno,
        /// The likely cause, and the way out.
        advice: Option<String>,
    },
    /// The command could not be executed.
    Command {
        /// [`NOT_EXECUTABLE`] or [`NOT_FOUND`].
        status: u8,
        /// What was wrong with it.
        message: String,
    },
    /// What the first process reported before it gave up, or what a feature
    /// has to tell of the container's end.
    Told {
        /// The exit status that goes with it.
        status: u8,
        /// The whole message.
        message: String,
    },
    /// A person or a program asked us to stop.
    Interrupted(Signal),
}

impl Failure {
    /// The kernel's answer to `call`, with what usually lies behind it.
    pub fn of(call: impl fmt::Display, error: impl Into<io::Error>) -> Failure {
        let error = error.into();
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        let advice = usual_cause(errno).map(str::to_owned);
        Failure::Call { call: call.to_string(), errno, advice }
    }

    /// Whether somebody asked us to stop: then nothing goes on, not even without
    /// what has failed.
    #[must_use]
    pub fn is_interruption(error: &anyhow::Error) -> bool {
        matches!(error.downcast_ref(), Some(Failure::Interrupted(_)))
    }

    /// The exit status of a runtime that ends with this.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Failure::Call { .. } => RUNTIME_FAILED,
            Failure::Command { status, .. } | Failure::Told { status, .. } => {
                *status
            }
            Failure::Interrupted(signal) => 128 + *signal as u8,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Call { call, errno, advice } => {
                write!(f, "{call}: {errno}")?;
                advice
                    .as_ref()
                    .map_or(Ok(()), |advice| write!(f, " ({advice})"))
            }
            Failure::Command { message, .. }
            | Failure::Told { message, .. } => f.write_str(message),
            Failure::Interrupted(signal) => {
                write!(f, "interrupted by {signal}")
            }
        }
    }
}

impl std::error::Error for Failure {}

/// What usually lies behind an errno, for whoever knows nothing better.
fn usual_cause(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::EPERM => {
            "this needs a privilege that only root has; without sudo, run it in the playground: \
             ./scripts/playground.sh"
        }
        Errno::EACCES => {
            "a permission on the way to it is missing; `namei -l PATH` shows which"
        }
        Errno::ENOSYS => {
            "this kernel does not know the call; ./scripts/doctor.sh says what will work"
        }
        Errno::EINVAL => {
            "the kernel does not accept this, or not in this place; `sudo \
             dmesg | tail` might say more"
        }
        Errno::ENOSPC => {
            "a disk is full, or a limit of the machine has been reached"
        }
        Errno::EROFS => "that place is read-only",
        Errno::EMFILE | Errno::ENFILE => {
            "too many open files; `ulimit -n` shows the limit"
        }
        _ => return None,
    })
}

/// What a caller knows better than `usual_cause`.
pub trait Because<T> {
    /// If the kernel said `errno`, then for this reason.
    ///
    /// # Errors
    /// The same error, with the advice.
    fn because(
        self,
        errno: Errno,
        advice: impl Into<String>,
    ) -> Result<T, Failure>;
}

impl<T> Because<T> for Result<T, Failure> {
    fn because(
        mut self,
        expected: Errno,
        text: impl Into<String>,
    ) -> Result<T, Failure> {
        match &mut self {
            Err(Failure::Call { errno, advice, .. }) if *errno == expected => {
                *advice = Some(text.into());
            }
            _ => {}
        }
        self
    }
}

/// An error in one line, with each errno by its name.
pub fn told(error: &anyhow::Error) -> String {
    let cause = |cause: &(dyn std::error::Error + 'static)| {
        let io = cause.downcast_ref::<io::Error>();
        let rustix = cause.downcast_ref::<rustix::io::Errno>();
        let number = io.and_then(io::Error::raw_os_error);
        match number.or(rustix.map(|it| it.raw_os_error())) {
            Some(number) => Errno::from_raw(number).to_string(),
            None => cause.to_string(),
        }
    };
    one_line(error.chain().map(cause).collect::<Vec<_>>().join(": "))
}

/// The exit status for any error: the one that it carries, or 125.
#[must_use]
pub fn status_of(error: &anyhow::Error) -> u8 {
    error.downcast_ref::<Failure>().map_or(RUNTIME_FAILED, Failure::status)
}
