#![forbid(unsafe_code)]
//! Process ids of its own, and the duties that come with the number 1.
//!
//! In a PID namespace
//! ([pid_namespaces(7)](https://man7.org/linux/man-pages/man7/pid_namespaces.7.html))
//! numbers begin at 1 again, and what has no number there can't be signalled,
//! traced or entered. Its first process is PID 1: it inherits orphans, it gets
//! only signals that it handles, and when it dies, all die.

mod init;

use anyhow::Result;
use nix::sched::CloneFlags;
use runtime::{Feature, Inside};

/// Process ids of its own.
#[derive(Debug, clap::Args)]
pub struct PidNamespace {
    /// Keep a small init as PID 1: it reaps orphans and forwards signals
    #[arg(long)]
    init: bool,
}

impl Feature for PidNamespace {
    // unshare(2) would move only our later children: a process keeps its
    // number for life. clone(2) makes the child the namespace's first process.
    fn namespaces(&self) -> CloneFlags {
        CloneFlags::CLONE_NEWPID
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        container.init = self.init.then_some(init::run);
        Ok(())
    }
}
