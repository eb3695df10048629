//! v1 or v2: the container's cgroup in the hierarchy that this host has.

use std::os::fd::BorrowedFd;

use anyhow::{Result, bail};
use nix::sys::signal::Signal;
use runtime::{Failure, Narrator};

use crate::handed_over::HandedOver;
use crate::limits::Limits;
use crate::tree::Trees;
use crate::{v1, v2};

/// The container's cgroup.
#[derive(Debug)]
pub enum Cgroup {
    V1(v1::Cgroup),
    V2(v2::Cgroup),
}

impl Cgroup {
    /// Makes it, with its limits.
    pub fn make(
        is_v2: bool,
        runtime: &Narrator,
        trees: &Trees,
        limits: &Limits,
        handed_over: HandedOver,
    ) -> Result<Cgroup> {
        match is_v2 {
            true => v2::Cgroup::make(runtime, trees, limits, handed_over)
                .map(Cgroup::V2),
            false => v1::Cgroup::make(runtime, trees, limits, handed_over)
                .map(Cgroup::V1),
        }
    }

    /// Readable when the memory ran out.
    pub fn out_of_memory(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Cgroup::V1(cgroup) => cgroup.out_of_memory(),
            // There the kernel ends the whole group (memory.oom.group).
            Cgroup::V2(_) => None,
        }
    }

    /// # Errors
    /// When the memory ran out: that is told instead of the exit status.
    pub fn tell_of_memory(&self, limits: &Limits) -> Result<()> {
        let out_of_memory = match self {
            Cgroup::V1(cgroup) => cgroup.was_out_of_memory(),
            Cgroup::V2(cgroup) => cgroup.was_out_of_memory(),
        };
        match (out_of_memory, limits.memory_as_typed()) {
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

/// The status that a shell shows for SIGKILL. On v1 the command may have ended
/// in its own way before ours came.
const KILLED: u8 = 128 + Signal::SIGKILL as u8;
