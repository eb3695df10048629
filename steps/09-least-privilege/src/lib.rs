#![forbid(unsafe_code)]
//! No more than it needs.
//!
//! So far, root inside has all of root's powers, and more than 300 system calls
//! to try them on. The user namespace protects what belongs to the host. But
//! there is only one kernel, and its code is within reach. So what a program
//! does not need is taken away: powers
//! ([capabilities(7)](https://man7.org/linux/man-pages/man7/capabilities.7.html)),
//! the ways to get them back (no_new_privs), and system calls
//! ([seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)).
//!
//! Nothing of it can be undone, and it holds for the runtime as well. So it comes
//! last, and its order matters: to give a power up can itself take a power.

mod capability;
mod chosen;
pub mod docker;
pub mod filter;
mod keyring;
mod near;
mod options;
mod paths;
pub mod profile;
mod seccomp;

use anyhow::{Result, ensure};
use nix::unistd::{Gid, Uid};
use runtime::{Failure, Feature, Inside, Narrator};
use rustix::thread::{
    CapabilitySet, CapabilitySets, no_new_privs,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

pub use capability::{Capabilities, Chosen, KEPT, find as find_capability};
pub use capability::{bounding_set, ours as our_capabilities};
pub use keyring::SessionKeyring;
pub use options::SecurityOptions;
pub use paths::SystemPaths;
pub use seccomp::Seccomp;

impl Feature for Capabilities {
    // While we are root, because it takes CAP_SETPCAP. Whatever is not in the
    // bounding set, no program will ever get by an exec.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let dropped = capability::bounding_set()? - self.kept();
        container.call(
            format!(
                "prctl(PR_CAPBSET_DROP, …), {} times",
                dropped.iter().count()
            ),
            "no program can get these again",
            capability::setpriv("--bounding-set", self.kept()),
            || dropped.iter().try_for_each(remove_capability_from_bounding_set),
        )?;
        let left = capability::bounding_set()?;
        ensure!((left - self.kept()).is_empty(), "PR_CAPBSET_DROP did nothing");
        self.keep_over_a_change_of_ids()
    }

    // What root keeps. Any other user lost all of them with root's id.
    fn last(&self, container: &mut Inside) -> Result<()> {
        let set = capability::ours()?.permitted & self.kept();
        let inheritable = CapabilitySet::empty();
        let usual =
            CapabilitySets { effective: set, permitted: set, inheritable };
        let sets = self.chosen_of(set).unwrap_or(usual);
        container.call(
            format!("capset({} capabilities)", set.iter().count()),
            "what is left for ourselves",
            "",
            || set_capabilities(None, sets),
        )?;
        ensure!(capability::ours()? == sets, "capset() did nothing");
        self.raise_ambient()
    }
}

/// No program that we execute gives us more rights than we have: its setuid bit
/// and its file capabilities no longer count.
#[derive(Debug)]
pub struct NoNewPrivileges(pub bool);

impl Feature for NoNewPrivileges {
    fn last(&self, container: &mut Inside) -> Result<()> {
        if !self.0 {
            return Ok(());
        }
        container.call(
            "prctl(PR_SET_NO_NEW_PRIVS, 1)",
            "a setuid bit no longer counts",
            "exec setpriv --no-new-privs bash",
            || set_no_new_privs(true),
        )?;
        let holds = no_new_privs().map_err(|errno| {
            Failure::of("prctl(PR_GET_NO_NEW_PRIVS)", errno)
        })?;
        ensure!(holds, "PR_SET_NO_NEW_PRIVS did nothing");
        Ok(())
    }
}

impl Feature for Seccomp {
    // An unusable profile is reported before anything begins.
    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        self.compile()
    }

    // Without no_new_privs it takes CAP_SYS_ADMIN, or an ordinary user's filter
    // could lie to a setuid program. So: while we are still root.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if self.no_new_privileges { Ok(()) } else { self.load(container) }
    }

    fn last(&self, container: &mut Inside) -> Result<()> {
        if self.no_new_privileges { self.load(container) } else { Ok(()) }
    }
}
