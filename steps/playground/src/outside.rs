//! Outside: what is still the caller's, and what can only be done from there.

use std::ffi::OsString;
use std::path::Path;

use anyhow::{Context, Error, Result, anyhow};
use cgroups::delegation::{Delegation, ask_systemd_for_a_scope};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use runtime::process::Child;
use runtime::{Host, Inside, Line, Narrator, Signals, told};
use user_namespace::Mapping;
use user_namespace::powers::{is_the_first, may_administer, why_there_is_none};

use crate::environment::Caller;
use crate::host;
use crate::view::{self, STAGE, VIEW};

/// In our environment once systemd has given us a scope.
pub const ASKED: &str = "PLAYGROUND_DELEGATED";
/// How our cgroups' names begin.
pub const CGROUP: &str = "playground-";
/// A fork bomb ends here.
const PROCESSES: u64 = 8192;
/// As many ids as root's playground has: three times what a container has. For
/// itself, its root's containers, and its learner's.
const IDS: u32 = 3 << 16;

/// What all its processes know from the one outside.
pub struct Playground<'a> {
    pub caller: Caller,
    pub cgroups: Delegation,
    pub command: Vec<OsString>,
    /// Whether whoever starts it may not mount: they become root first.
    rootless: bool,
    /// What a step would tell, nobody wants to know here.
    pub quiet: &'a Narrator<'a>,
    /// What is left out, somebody does.
    notes: &'a Narrator<'a>,
}

/// Starts a playground, and waits for its end: the command's exit status.
pub fn start(command: Vec<OsString>) -> Result<u8> {
    ask_systemd_for_a_scope(ASKED)?;
    let signals = Signals::none().context("signalfd()")?;
    let playground = Playground {
        caller: Caller::read()?,
        cgroups: Delegation::plan(CGROUP)?,
        command,
        rootless: !may_administer(),
        quiet: &Narrator::new(true, false, &signals)?,
        notes: &Narrator::new(true, false, &signals)?.of_notes(),
    };
    let Playground { cgroups, rootless, notes, .. } = &playground;
    // The host's root must not be root inside: uid 0 may write /proc/sys
    // without any capability, because there the kernel looks at the uid alone.
    let apart = !rootless && is_the_first();
    let root = apart.then(|| Mapping::apart_from_all(IDS));
    let _janitor = cgroups.start_janitor()?;
    let owner = root.as_ref().and_then(|ids| ids.outside(0));
    cgroups.make(PROCESSES, owner)?;

    let mut flags = CloneFlags::CLONE_NEWNS;
    flags.set(CloneFlags::CLONE_NEWUSER, *rootless);
    let line = Line::new()?;
    let mut child = Child::start(flags, || {
        let built = line.wait_for_go().and_then(|()| {
            // Not before: here they are those of the new namespace.
            let same = Mapping::of_all_to_themselves;
            playground.build(root.clone().unwrap_or_else(same))
        });
        built.unwrap_or_else(|error| crate::tell(&error))
    })
    .map_err(|errno| refused(format!("clone({flags:?}): {errno}")))?;
    if *rootless {
        let host = Host::new(child.pid(), Path::new(STAGE), notes);
        let written = Mapping::for_us().write(&host);
        written.map_err(|error| refused(told(&error)))?;
    }
    let _alive = line.go()?;
    Ok(child.wait().context("waitpid()")?.status())
}

impl Playground<'_> {
    /// In a table of mounts of its own: the view, and the process that lives in
    /// it.
    fn build(&self, mut ids: Mapping) -> Result<u8> {
        let inside = Inside::new(Path::new(VIEW), self.notes);
        // AppArmor lets the namespace be made, and refuses what root does in it.
        Mount::change(MsFlags::MS_REC | MsFlags::MS_PRIVATE)
            .make(&inside, "/", "")
            .map_err(|error| refused(error.to_string()))?;
        self.cgroups.enter()?;
        let home = view::build(&self.caller, &inside, &ids, self.rootless)?;
        let (flags, count) = (host::NAMESPACES, ids.count());
        let line = Line::new()?;
        let mut first = Child::start(flags, || {
            let started = line.wait_for_go().and_then(|()| {
                host::become_host(self, &home, count, line.of_the_child())
            });
            started.map_or_else(|error| crate::tell(&error), |it| match it {})
        })
        .map_err(|errno| refused(format!("clone({flags:?}): {errno}")))?;
        ids.write(&Host::new(first.pid(), Path::new(VIEW), self.quiet))?;
        self.cgroups.settle(first.pid())?;
        let _alive = line.go()?;
        Ok(first.wait().context("waitpid()")?.status())
    }
}

/// `what` failed for want of a user namespace.
fn refused(what: String) -> Error {
    const LAB: &str = "Or use the lab, which needs none: scripts/lab.sh";
    anyhow!("{what}: {}\n{LAB}", why_there_is_none())
}
