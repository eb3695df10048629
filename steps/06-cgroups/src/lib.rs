#![forbid(unsafe_code)]
//! A limit to memory, processors and processes.
//!
//! A control group
//! ([cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html)) is a
//! directory: a process whose number is written into it is counted there, with
//! all its children to come, and held below the limits that its files name.
//! Namespaces decide what a process sees; this decides what it gets.

pub mod delegation;
mod devices;
mod handed_over;
mod hierarchy;
mod limits;
mod place;
pub mod tree;
mod v1;
mod v2;

use std::os::fd::BorrowedFd;

use anyhow::Result;
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid};
use runtime::process::Exit;
use runtime::{
    Because, Birthplace, Feature, Host, Inside, NO_MORE_NAMESPACES, Narrator,
    Side,
};

pub use devices::{DeviceRules, allow_alone};
use hierarchy::Cgroup;
pub use limits::Limits;

/// Limits, and the namespace that hides the tree above them.
#[derive(Debug, clap::Args)]
pub struct Cgroups {
    #[command(flatten)]
    limits: Limits,

    /// Which of the two this host has.
    #[arg(skip)]
    is_v2: bool,

    #[arg(skip)]
    cgroup: Option<Cgroup>,

    /// To be divided inside.
    #[arg(skip)]
    delegated: bool,
}

impl Feature for Cgroups {
    // Before there is a process: a limit that comes later finds the memory
    // already taken and the children already forked.
    fn before(
        &mut self,
        runtime: &Narrator,
        owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        match self.make(runtime, self.delegated.then_some(owner)) {
            Ok(cgroup) => self.cgroup = Some(cgroup),
            Err(error) => {
                runtime.note(Side::Host, self.limits.do_without(error)?)
            }
        }
        Ok(())
    }

    fn birthplace(&self) -> Option<Birthplace<'_>> {
        match self.cgroup.as_ref()? {
            Cgroup::V1(_) => None,
            Cgroup::V2(cgroup) => Some(cgroup.birthplace()),
        }
    }

    // In v1 nobody is born elsewhere than beside the parent.
    fn first(&self, container: &Inside) -> Result<()> {
        if let Some(Cgroup::V1(cgroup)) = &self.cgroup {
            if let Err(error) = cgroup.enter(container) {
                container.note(self.limits.do_without(error)?);
            }
        }
        Ok(())
    }

    // Not by clone(2): a cgroup namespace takes the cgroup that a process is
    // in at that moment for its root. By now we are in ours.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        container
            .call(
                "unshare(CLONE_NEWCGROUP)",
                "our cgroup becomes the root of what we see",
                "exec unshare --cgroup sh",
                || unshare(CloneFlags::CLONE_NEWCGROUP),
            )
            .because(Errno::ENOSPC, NO_MORE_NAMESPACES)?;
        // Not by looking at the tree: the host's is out of sight by now.
        container.routine(|| self.show(container))
    }

    fn alarm(&self) -> Option<BorrowedFd<'_>> {
        self.cgroup.as_ref()?.out_of_memory()
    }

    fn after(&mut self, _container: &Host, _exit: Exit) -> Result<()> {
        match &self.cgroup {
            Some(cgroup) => cgroup.tell_of_memory(&self.limits),
            None => Ok(()),
        }
    }
}
