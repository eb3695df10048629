//! Outside: what is still the caller's, and what can only be done from there.

use std::cell::Cell;
use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::Signal;
use runtime::process::Child;
use runtime::{Channel, Host, Inside, Message, Narrator, Signals};
use user_namespace::Mapping;

use crate::cgroup::{self, Cgroups};
use crate::environment::Caller;
use crate::host;
use crate::refusal::no_user_namespace;
use crate::view::{STAGE, VIEW, View};

/// As many ids as root's playground has: three times what a container has. For
/// itself, its root's containers, and its learner's.
const IDS: u32 = 3 << 16;

/// Starts a playground, and waits for its end: the command's exit status.
pub fn start(command: Vec<OsString>) -> Result<u8> {
    cgroup::ask_systemd_for_a_scope()?;
    let caller = Caller::read()?;
    let signals = Signals::none().context("signalfd()")?;
    let quiet = Narrator::new(true, false, &signals)?;
    let rootless = !may_mount();
    // The host's root must not be root inside: uid 0 may write /proc/sys
    // without any capability, because there the kernel looks at the uid alone.
    let root = (!rootless && is_in_the_first_user_namespace())
        .then(|| Mapping::apart_from_all(IDS));

    let cgroups = Cgroups::make()?;
    let (line, janitors) = Channel::pair().context("socketpair()")?;
    let mut janitor = cgroups.start_janitor(&janitors)?;
    drop(janitors);
    cgroups.give_to(root.as_ref().and_then(|mapping| mapping.outside(0)))?;

    let flags = match rootless {
        true => CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS,
        false => CloneFlags::CLONE_NEWNS,
    };
    let gate = Gate::new()?;
    let mut child = Child::start(flags, || {
        let built = gate.pass().and_then(|()| {
            build(&caller, &cgroups, root.as_ref(), rootless, &quiet, &command)
        });
        built.unwrap_or_else(|error| crate::tell(&error))
    })
    .map_err(|errno| {
        no_user_namespace(&format!("clone({flags:?}): {errno}"))
    })?;
    if rootless {
        let notes = Narrator::new(true, false, &signals)?.of_notes();
        let host = Host::new(child.pid(), Path::new(STAGE), &notes);
        Mapping::for_us()
            .write(&host)
            .map_err(|error| no_user_namespace(&runtime::told(&error)))?;
    }
    gate.open()?;
    let exit = child.wait().context("waitpid()")?;
    drop(line);
    janitor.wait().context("waitpid()")?;
    Ok(exit.status())
}

/// In a table of mounts of its own: the view, and the process that lives in it.
fn build(
    caller: &Caller,
    cgroups: &Cgroups,
    root: Option<&Mapping>,
    rootless: bool,
    quiet: &Narrator,
    command: &[OsString],
) -> Result<u8> {
    let inside = &Inside::new(Path::new(VIEW), quiet);
    let private = Mount::change(MsFlags::MS_REC | MsFlags::MS_PRIVATE)
        .make(inside, "/", "");
    // AppArmor lets the namespace be made, and refuses what root does in it.
    private.map_err(|error| match rootless {
        true => no_user_namespace(&error.to_string()),
        false => error.into(),
    })?;
    cgroups.enter()?;
    let mut mapping =
        root.cloned().unwrap_or_else(Mapping::of_all_to_themselves);
    let home = View::new(caller, inside, rootless, &mapping)?.build()?;
    let gate = Gate::new()?;
    let count = mapping.count();
    let mut first = Child::start(host::NAMESPACES, || {
        let started = gate.pass().and_then(|()| {
            host::become_host(caller, cgroups, &home, count, quiet, command)
        });
        started.map_or_else(|error| crate::tell(&error), |never| match never {})
    })
    .map_err(|errno| {
        no_user_namespace(&format!("clone({:?}): {errno}", host::NAMESPACES))
    })?;
    mapping.write(&Host::new(first.pid(), Path::new(VIEW), quiet))?;
    cgroups.settle(first.pid())?;
    gate.open()?;
    Ok(first.wait().context("waitpid()")?.status())
}

/// Where a child waits until its parent has written its maps. It ends with its
/// parent: the kernel kills it then.
struct Gate {
    opens: Cell<Option<Channel>>,
    waits: Cell<Option<Channel>>,
}

impl Gate {
    fn new() -> Result<Gate> {
        let (ours, theirs) = Channel::pair().context("socketpair()")?;
        Ok(Gate {
            opens: Cell::new(Some(ours)),
            waits: Cell::new(Some(theirs)),
        })
    }

    /// The child's side.
    fn pass(&self) -> Result<()> {
        drop(self.opens.take());
        set_pdeathsig(Signal::SIGKILL).context("prctl(PR_SET_PDEATHSIG)")?;
        let waits = self.waits.take().context("passed once")?;
        match waits.receive().context("recvmsg()")? {
            Some(Message::Go) => Ok(()),
            _ => bail!("whoever started us is gone"),
        }
    }

    /// The parent's side.
    fn open(&self) -> Result<()> {
        drop(self.waits.take());
        let opens = self.opens.take().context("opened once")?;
        // If it is gone, it has said why.
        let _ = opens.send(&Message::Go);
        Ok(())
    }
}

/// Whether we have CAP_SYS_ADMIN, which is bit 21.
pub fn may_mount() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = line.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> 21 & 1 == 1)
}

/// Where every id there is exists.
pub fn is_in_the_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}
