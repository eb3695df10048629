//! Capabilities that somebody else has chosen, for a user who need not be root.

use anyhow::Result;
use runtime::Failure;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_keep_capabilities,
};

use crate::capability::Capabilities;

impl Capabilities {
    /// Whoever stops being root loses them all (capabilities(7)), unless this
    /// was said before. The exec forgets it.
    pub(crate) fn keep_over_a_change_of_ids(&self) -> Result<()> {
        if self.chosen.is_some() {
            set_keep_capabilities(true).map_err(|errno| {
                Failure::of("prctl(PR_SET_KEEPCAPS, 1)", errno)
            })?;
        }
        Ok(())
    }

    /// Of what we have ourselves, what was chosen.
    pub(crate) fn chosen_of(
        &self,
        ours: CapabilitySet,
    ) -> Option<CapabilitySets> {
        let sets = self.chosen?.sets;
        let permitted = sets.permitted & ours;
        Some(CapabilitySets {
            permitted,
            effective: sets.effective & permitted,
            inheritable: sets.inheritable & ours,
        })
    }

    /// A program without file capabilities has these after the exec.
    pub(crate) fn raise_ambient(&self) -> Result<()> {
        let Some(chosen) = self.chosen else { return Ok(()) };
        let refused = |errno| Failure::of("prctl(PR_CAP_AMBIENT, …)", errno);
        clear_ambient_capability_set().map_err(refused)?;
        let sets = crate::capability::ours()?;
        let possible = sets.permitted & sets.inheritable;
        for one in (chosen.ambient & possible).iter() {
            configure_capability_in_ambient_set(one, true).map_err(refused)?;
        }
        Ok(())
    }
}
