//! What is the same on every host: limits, umask, signals, open files.

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::stat::{Mode, umask};
use runtime::process::{close_on_exec_above_stderr, default_signals_but};

/// Before anything else. Ctrl-C is for the command: we wait for its end.
pub fn begin() -> Result<()> {
    close_on_exec_above_stderr().context("close_range(3, ~0, CLOEXEC)")?;
    default_signals_but(Signal::SIGPIPE);
    [Signal::SIGINT, Signal::SIGQUIT]
        .into_iter()
        .collect::<SigSet>()
        .thread_block()?;
    umask(Mode::from_bits_truncate(0o022));
    limits()
}

/// Those of a login on any machine, as far as you may have them.
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
