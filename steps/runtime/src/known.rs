//! A process that begins the same, whoever starts it: what it would inherit
//! from a shell, and pass on.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};

use crate::process::{
    close_on_exec_above_stderr, default_signals_but, join_new_session_keyring,
};

/// Files, signals, umask, limits and keys: those of a login on any machine.
///
/// # Errors
/// As close_range(2) and setrlimit(2).
pub fn begin_as_known() -> Result<()> {
    close_on_exec_above_stderr().context("close_range(3, ~0, CLOEXEC)")?;
    default_signals_but(Signal::SIGPIPE);
    umask(Mode::from_bits_truncate(0o022));
    // No namespace divides keys. A kernel without them has none to pass on.
    let _ = join_new_session_keyring();
    limits()
}

/// As far as we may have them: what is beyond the hard limit is root's to give.
fn limits() -> Result<()> {
    use Resource::*;
    let most = [
        RLIMIT_AS,
        RLIMIT_CPU,
        RLIMIT_DATA,
        RLIMIT_FSIZE,
        RLIMIT_MEMLOCK,
        RLIMIT_MSGQUEUE,
        RLIMIT_NICE,
        RLIMIT_NPROC,
        RLIMIT_RSS,
        RLIMIT_RTPRIO,
        RLIMIT_SIGPENDING,
    ];
    let usual =
        [(RLIMIT_CORE, 0), (RLIMIT_NOFILE, 1024), (RLIMIT_STACK, 8 << 20)];
    let all = most.map(|it| (it, u64::MAX)).into_iter().chain(usual);
    for (resource, soft) in all {
        let (_, hard) = getrlimit(resource).context("getrlimit()")?;
        setrlimit(resource, soft.min(hard), hard).context("setrlimit()")?;
    }
    Ok(())
}
