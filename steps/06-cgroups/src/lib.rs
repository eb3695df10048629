#![forbid(unsafe_code)]
//! A limit to memory, processors and processes.
//!
//! A control group
//! ([cgroups(7)](https://man7.org/linux/man-pages/man7/cgroups.7.html)) is a
//! directory: a process whose number is written into it is counted there, with
//! all its children to come, and held below the limits that its files name.
//! Namespaces decide what a process sees; this decides what it gets.

mod limits;
mod tree;
mod v1;
mod v2;

use std::fs;
use std::os::fd::BorrowedFd;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mount_namespace::Mount;
use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::Signal;
use nix::unistd::{Gid, Uid};
use runtime::process::Exit;
use runtime::{
    Because, Birthplace, Failure, Feature, Host, Inside, NO_MORE_NAMESPACES,
    Narrator, Side,
};

pub use limits::Limits;
use tree::Trees;

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
}

/// The container's cgroup, in the hierarchy that this host has.
#[derive(Debug)]
enum Cgroup {
    V1(v1::Cgroup),
    V2(v2::Cgroup),
}

impl Feature for Cgroups {
    // Before there is a process: a limit that comes later finds the memory
    // already taken and the children already forked.
    fn before(
        &mut self,
        runtime: &Narrator,
        _: Option<(Uid, Gid)>,
    ) -> Result<()> {
        match self.make(runtime) {
            Ok(cgroup) => self.cgroup = Some(cgroup),
            Err(error) => runtime.note(Side::Host, self.do_without(error)?),
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
        if let Some(Cgroup::V1(cgroup)) = &self.cgroup
            && let Err(error) = cgroup.enter(container)
        {
            container.note(self.do_without(error)?);
        }
        Ok(())
    }

    // Not by clone(2): a cgroup namespace takes the cgroup that a process is
    // in at that moment for its root. By now we are in ours.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        container
            .call(
                "unshare(CLONE_NEWCGROUP)",
                "our cgroup becomes the root of all that we see",
                "unshare --cgroup",
                || unshare(CloneFlags::CLONE_NEWCGROUP),
            )
            .because(Errno::ENOSPC, NO_MORE_NAMESPACES)?;
        // Not by looking at the tree: the host's is out of sight by now.
        let made = make_place(container)?;
        match self.is_v2 {
            true => v2::mount(container)?,
            false => v1::mount(container)?,
        }
        if made { close(container, "/sys") } else { Ok(()) }
    }

    fn alarm(&self) -> Option<BorrowedFd<'_>> {
        match self.cgroup.as_ref()? {
            Cgroup::V1(cgroup) => cgroup.out_of_memory(),
            // There the kernel ends the whole group (memory.oom.group).
            Cgroup::V2(_) => None,
        }
    }

    fn after(&mut self, _container: &Host, _exit: Exit) -> Result<()> {
        let out_of_memory = match &self.cgroup {
            Some(Cgroup::V1(cgroup)) => cgroup.was_out_of_memory(),
            Some(Cgroup::V2(cgroup)) => cgroup.was_out_of_memory(),
            None => false,
        };
        match (out_of_memory, self.limits.memory_as_typed()) {
            (true, Some(limit)) => bail!(Failure::Told {
                status: KILLED,
                message: format!(
                    "the container reached its memory limit of {limit}; exit {KILLED}"
                ),
            }),
            _ => Ok(()),
        }
    }
}

impl Cgroups {
    fn make(&mut self, runtime: &Narrator) -> Result<Cgroup> {
        let trees = Trees::read()?;
        self.is_v2 = v2::has_controllers(&trees)?;
        match self.is_v2 {
            true => {
                v2::Cgroup::make(runtime, &trees, &self.limits).map(Cgroup::V2)
            }
            false => {
                v1::Cgroup::make(runtime, &trees, &self.limits).map(Cgroup::V1)
            }
        }
    }

    /// Without limits, it is enough to say that there is no cgroup.
    fn do_without(&self, error: anyhow::Error) -> Result<String> {
        match error.downcast_ref() {
            Some(Failure::Interrupted(_)) => Err(error),
            _ if self.limits.any() => Err(error),
            _ => Ok(format!("without a cgroup: {error:#}")),
        }
    }
}

/// The status that a shell shows for SIGKILL. On v1 the command may have ended
/// in its own way before ours came.
const KILLED: u8 = 128 + Signal::SIGKILL as u8;

/// Where programs look for cgroups.
const PLACE: &str = "/sys/fs/cgroup";

/// sysfs has a directory for it. Where sysfs could not be mounted, because the
/// network namespace is the host's, a tmpfs takes its place: `true`.
fn make_place(container: &Inside) -> Result<bool> {
    if Path::new(PLACE).is_dir() {
        return Ok(false);
    }
    let why = "a place for the cgroups: sysfs is not ours to mount";
    Mount::new("tmpfs", MsFlags::MS_NOSUID, "mode=755,size=64k")
        .make(container, "/sys", why)?;
    fs::create_dir_all(PLACE).with_context(|| format!("mkdir -p {PLACE}"))?;
    Ok(true)
}

/// Nothing is to be written to a tmpfs that only holds places for mounts.
fn close(container: &Inside, place: &str) -> Result<()> {
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | v2::QUIET;
    Mount::change(flags).make(container, place, "complete: read-only now")?;
    Ok(())
}
