//! A part of the container's cgroup that is root's inside, for an init to divide.

use anyhow::Result;
use nix::unistd::{Gid, Uid};
use runtime::{Inside, Narrator};

use crate::hierarchy::Cgroup;
use crate::tree::Trees;
use crate::{Cgroups, place, v1, v2};

/// Whether a part of the container's cgroup is root's to divide, and who root
/// is outside, if not ourselves.
pub type HandedOver = Option<Option<(Uid, Gid)>>;

impl Cgroups {
    /// In the hierarchy that this host has.
    pub(crate) fn make(
        &mut self,
        runtime: &Narrator,
        handed_over: HandedOver,
    ) -> Result<Cgroup> {
        let trees = Trees::read()?;
        self.is_v2 = v2::has_controllers(&trees)?;
        let limits = &self.limits;
        Cgroup::make(self.is_v2, runtime, &trees, limits, handed_over)
    }

    /// The same, and root inside may divide what it gets: an init does.
    #[must_use]
    pub fn delegated(self) -> Cgroups {
        Cgroups { delegated: true, ..self }
    }

    /// What is inside to be seen of the tree, and to be written if it is ours.
    pub(crate) fn show(&self, container: &Inside) -> Result<()> {
        place::show(container, |container| match &self.cgroup {
            _ if self.is_v2 => {
                v2::mount(container, self.delegated && self.cgroup.is_some())
            }
            Some(Cgroup::V1(its)) => v1::mount(container, its.handed_over()),
            _ => v1::mount(container, &[]),
        })
    }
}
