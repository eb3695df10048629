//! Capabilities and the filter for system calls, as a config.json has them.

use anyhow::{Context, Result, anyhow};
use least_privilege::{
    Capabilities, Chosen, SystemPaths, bounding_set, docker, find_capability,
    profile,
};
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{Capabilities as Names, Linux, Process};
use runtime::{Feature, Inside, Narrator};
use rustix::thread::{CapabilitySet, CapabilitySets};

/// All five sets. Without any, none.
///
/// # Errors
/// As prctl(2).
pub fn capabilities(process: &Process) -> Result<Capabilities> {
    let set = |names: Option<&Names>| -> Result<CapabilitySet> {
        let all = names.into_iter().flatten();
        let one = |name: String| find_capability(&name).map_err(|e| anyhow!(e));
        all.map(|name| one(name.to_string())).collect()
    };
    let sets = process.capabilities().as_ref();
    let bounding = set(sets.and_then(|it| it.bounding().as_ref()))?;
    let chosen = Chosen {
        sets: CapabilitySets {
            permitted: set(sets.and_then(|it| it.permitted().as_ref()))?,
            effective: set(sets.and_then(|it| it.effective().as_ref()))?,
            inheritable: set(sets.and_then(|it| it.inheritable().as_ref()))?,
        },
        ambient: set(sets.and_then(|it| it.ambient().as_ref()))?,
    };
    // What we do not have ourselves, nobody gets from us.
    Ok(Capabilities::chosen(bounding & bounding_set()?, chosen))
}

/// Step 09's filter, from this profile.
#[derive(Debug)]
pub struct Seccomp(least_privilege::Seccomp);

/// # Errors
/// When the profile is no good.
pub fn seccomp(process: &Process, linux: &Linux) -> Result<Option<Seccomp>> {
    let Some(mut profile) = linux.seccomp().clone() else { return Ok(None) };
    // Names of other kernels and architectures are no mistake here.
    let known: Vec<_> = profile::all_calls().map(|it| it.0).collect();
    let calls = profile.syscalls().clone().map(|all| {
        all.into_iter()
            .map(|mut it| {
                let names = it.names().iter();
                let names = names.filter(|name| known.contains(&name.as_str()));
                it.set_names(names.cloned().collect());
                it
            })
            .collect()
    });
    profile.set_syscalls(calls);
    let text = serde_json::to_vec(&profile)?;
    let filter =
        docker::read(&text, CapabilitySet::all()).context("linux.seccomp")?;
    let program = filter.program().context("linux.seccomp")?;
    Ok(Some(Seccomp(least_privilege::Seccomp {
        confined: true,
        profile: None,
        kept: CapabilitySet::all(),
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        program,
    })))
}

impl Feature for Seccomp {
    // It is compiled already.
    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        Ok(())
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        let now = !self.0.no_new_privileges;
        if now { self.0.load(container) } else { Ok(()) }
    }

    fn last(&self, container: &mut Inside) -> Result<()> {
        let now = self.0.no_new_privileges;
        if now { self.0.load(container) } else { Ok(()) }
    }
}

/// What of /proc and /sys is covered, and what is read-only.
pub fn paths(linux: &Linux) -> SystemPaths {
    let list = |of: &Option<Vec<String>>| of.clone().unwrap_or_default();
    let (masked, read_only) = (linux.masked_paths(), linux.readonly_paths());
    let chosen = Some((list(masked), list(read_only)));
    SystemPaths { unconfined: false, chosen }
}
