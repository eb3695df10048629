#![forbid(unsafe_code)]
//! No more than it needs.
//!
//! Until here root inside has all that a root has, and more than 300 system
//! calls to try it on. The user namespace stands before the host's things; but
//! the kernel itself is one for all. So what a program does not need is taken
//! away: powers
//! ([capabilities(7)](https://man7.org/linux/man-pages/man7/capabilities.7.html)),
//! the ways to get them back (no_new_privs), and system calls
//! ([seccomp(2)](https://man7.org/linux/man-pages/man2/seccomp.2.html)).
//!
//! All of it is for good, for us as well. So it comes last, and in this order:
//! what takes a power away goes before that power does.

mod capability;
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

pub use capability::Capabilities;
pub use keyring::SessionKeyring;
pub use options::SecurityOptions;
pub use paths::SystemPaths;
pub use seccomp::Seccomp;

impl Feature for Capabilities {
    // As root: later nobody is allowed to (CAP_SETPCAP). What is not in the
    // bounding set no program can have, whatever its file says.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        let dropped = capability::bounding_set()? - self.kept();
        container.call(
            format!(
                "prctl(PR_CAPBSET_DROP, …), {} times",
                dropped.iter().count()
            ),
            "no program inside can have these, not even one of root's",
            capability::setpriv("--bounding-set", self.kept()),
            || dropped.iter().try_for_each(remove_capability_from_bounding_set),
        )?;
        let left = capability::bounding_set()?;
        ensure!((left - self.kept()).is_empty(), "PR_CAPBSET_DROP did nothing");
        Ok(())
    }

    // Root keeps these. Another user had none since it is no longer root.
    fn last(&self, container: &mut Inside) -> Result<()> {
        let set = capability::ours()?.permitted & self.kept();
        let inheritable = CapabilitySet::empty();
        let sets =
            CapabilitySets { effective: set, permitted: set, inheritable };
        container.call(
            format!("capset({} capabilities)", set.iter().count()),
            "and we keep none but these ourselves",
            "exec setpriv --inh-caps=-all bash",
            || set_capabilities(None, sets),
        )?;
        ensure!(capability::ours()? == sets, "capset() did nothing");
        Ok(())
    }
}

/// No program gives more rights than we have: a setuid bit and a file's
/// capabilities count for nothing.
#[derive(Debug)]
pub struct NoNewPrivileges(pub bool);

impl Feature for NoNewPrivileges {
    fn last(&self, container: &mut Inside) -> Result<()> {
        if !self.0 {
            return Ok(());
        }
        container.call(
            "prctl(PR_SET_NO_NEW_PRIVS, 1)",
            "a setuid program runs, but as whoever starts it",
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
    // A profile that can't be used is told before anything begins.
    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        self.compile()
    }

    // Without no_new_privs while we still are root (CAP_SYS_ADMIN): else an
    // ordinary user's filter could lie to a setuid program.
    fn inside(&self, container: &mut Inside) -> Result<()> {
        if self.no_new_privileges { Ok(()) } else { self.load(container) }
    }

    fn last(&self, container: &mut Inside) -> Result<()> {
        if self.no_new_privileges { self.load(container) } else { Ok(()) }
    }
}
