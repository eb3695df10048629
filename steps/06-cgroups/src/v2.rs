//! cgroup v2: one tree for all controllers
//! (the kernel's Documentation/admin-guide/cgroup-v2.rst).

pub mod scope;

use std::env;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use mount_namespace::Mount;
use nix::errno::Errno;
use nix::sys::signal::SigSet;
use nix::unistd::geteuid;
use runtime::{Because, Birthplace, Failure, Inside, Narrator, Side, shell};

use crate::handed_over::HandedOver;
use crate::limits::{Limits, PERIOD};
use crate::place::{self, PLACE};
use crate::tree::{self, Directory, Trees, write};

/// Whether the controllers of this host are here, and not in a v1 hierarchy.
pub fn has_controllers(trees: &Trees) -> Result<bool, Failure> {
    let Some((root, _)) = trees.place(None) else {
        return Ok(false);
    };
    match tree::read(root.join("cgroup.controllers")) {
        // Something else is mounted over it.
        Err(Failure::Call { errno: Errno::ENOENT, .. }) => Ok(false),
        list => Ok(list?.split_whitespace().any(|name| name == "memory")),
    }
}

/// The container's cgroup.
#[derive(Debug)]
pub struct Cgroup {
    directory: Directory,
    /// Where the first process begins, if it is root's to divide.
    inside: Option<(PathBuf, File)>,
}

impl Cgroup {
    /// Makes it, with its limits.
    pub fn make(
        runtime: &Narrator,
        trees: &Trees,
        limits: &Limits,
        handed_over: HandedOver,
    ) -> Result<Cgroup> {
        let controls = limits.any() || handed_over.is_some();
        if controls {
            ask_systemd_for_delegation(runtime)?;
        }
        let parent = parent(runtime, trees, controls)?;
        let directory = Directory::make(runtime, "CGROUP", &parent)?;
        limit(runtime, &directory, limits, handed_over.is_none())?;
        let Some(owner) = handed_over else {
            return Ok(Cgroup { directory, inside: None });
        };
        runtime.routine(|| enable(runtime, directory.path()))?;
        let path = runtime.of_newest(|| directory.hand_over(runtime, owner))?;
        let open = File::open(&path);
        let open =
            open.map_err(|e| Failure::of(format!("open({path:?})"), e))?;
        Ok(Cgroup { directory, inside: Some((path, open)) })
    }

    /// Where the container's first process begins.
    pub fn birthplace(&self) -> Birthplace<'_> {
        match &self.inside {
            None => self.directory.birthplace(),
            Some((path, open)) => Birthplace { path, directory: open.as_fd() },
        }
    }

    /// Whether the kernel killed a process for want of memory.
    pub fn was_out_of_memory(&self) -> bool {
        // In a whole machine, it was one program of many.
        self.inside.is_none()
            && self.directory.count("memory.events", "oom_kill") > 0
    }
}

/// One file kills all that live here, forks in flight included.
impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::write(self.directory.file("cgroup.kill"), "1");
    }
}

fn limit(
    runtime: &Narrator,
    directory: &Directory,
    limits: &Limits,
    all_or_none: bool,
) -> Result<(), Failure> {
    let set = |file: &str, value: String, why| {
        write(runtime, &directory.file(file), &value, why).because(
            Errno::ENOENT,
            "this controller is not delegated to you: ./scripts/doctor.sh says how to fix it",
        )
    };
    if let Some(bytes) = limits.memory() {
        set("memory.max", bytes.to_string(), "above it: the OOM killer")?;
        runtime.routine(|| {
            if directory.file("memory.swap.max").exists() {
                let why = "or else the rest goes to the disk";
                set("memory.swap.max", "0".into(), why)?;
            }
            // On a whole machine, one program is killed, as everywhere.
            if all_or_none {
                let why = "half a container is no use: kill all or none";
                set("memory.oom.group", "1".into(), why)?;
            }
            Ok::<(), Failure>(())
        })?;
    }
    if let Some(quota) = limits.quota() {
        set(
            "cpu.max",
            format!("{quota} {PERIOD}"),
            "microseconds in each period",
        )?;
    }
    if let Some(count) = limits.pids() {
        set("pids.max", count.to_string(), "then fork(2) fails with EAGAIN")?;
    }
    Ok(())
}

/// Where the container's cgroup goes. Root has all that is to be seen of the
/// tree; what an ordinary user has was delegated to them.
fn parent(
    runtime: &Narrator,
    trees: &Trees,
    controls: bool,
) -> Result<PathBuf> {
    let (top, own) = trees
        .place(None)
        .with_context(|| format!("no cgroup2 tree: {}", tree::NO_TREE))?;
    let parent = match own.parent() {
        _ if geteuid().is_root() => top,
        Some(above) if own.ends_with(LEAF) => above.to_owned(),
        _ => own,
    };
    // To be counted takes no controller, and nobody needs to move for it.
    if controls {
        runtime.routine(|| {
            make_room(runtime, &parent)?;
            enable(runtime, &parent)
        })?;
    }
    Ok(parent)
}

/// No internal processes: a cgroup that hands controllers on to those below it
/// has no processes of its own (cgroups(7)), else EBUSY. So whoever is here, us
/// too, moves to a leaf first. The machine's own top, which has no type, is
/// exempt.
fn make_room(runtime: &Narrator, parent: &Path) -> Result<()> {
    let here = fs::read_to_string(parent.join("cgroup.procs"))
        .context("read cgroup.procs")?;
    if here.is_empty() || !parent.join("cgroup.type").exists() {
        return Ok(());
    }
    let leaf = parent.join(LEAF);
    if !leaf.is_dir() {
        runtime
            .call(
                Side::Host,
                format!("mkdir({leaf:?})"),
                "a leaf for the processes in the way",
                shell(["mkdir".as_ref(), leaf.as_os_str()]),
                || fs::create_dir_all(&leaf),
            )
            .because(Errno::EACCES, tree::NOT_OURS)
            .because(Errno::EROFS, tree::READ_ONLY)?;
    }
    let procs = leaf.join("cgroup.procs");
    for pid in here.lines() {
        match write(runtime, &procs, pid, "no internal processes") {
            // It has ended meanwhile.
            Err(Failure::Call { errno: Errno::ESRCH, .. }) => {}
            moved => moved?,
        }
    }
    Ok(())
}

const LEAF: &str = "runtime";

/// A controller works below a cgroup only when it is enabled there.
fn enable(runtime: &Narrator, directory: &Path) -> Result<()> {
    let read = |file: &str| tree::read(directory.join(file));
    let (there, enabled) =
        (read("cgroup.controllers")?, read("cgroup.subtree_control")?);
    let has = |list: &str, name: &str| {
        list.split_whitespace().any(|word| word == name)
    };
    let missing: Vec<_> = ["memory", "cpu", "pids"]
        .into_iter()
        .filter(|name| has(&there, name) && !has(&enabled, name))
        .map(|name| format!("+{name}"))
        .collect();
    if !missing.is_empty() {
        let file = directory.join("cgroup.subtree_control");
        write(runtime, &file, &missing.join(" "), "controllers for the cgroups below")
            .because(
                Errno::EBUSY,
                "other processes live in this cgroup: no internal processes (cgroups(7))",
            )
            .because(Errno::EACCES, tree::NOT_OURS)
            .because(Errno::EROFS, tree::READ_ONLY)?;
    }
    Ok(())
}

/// In a login session an ordinary user owns no cgroup. Their systemd has some
/// to delegate: a transient scope, in which we begin anew (systemd.scope(5)).
fn ask_systemd_for_delegation(runtime: &Narrator) -> Result<()> {
    let bus =
        env::var_os("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("bus"));
    let reachable = bus.is_some_and(|bus| UnixStream::connect(bus).is_ok());
    if geteuid().is_root() || env::var_os(ASKED).is_some() || !reachable {
        return Ok(());
    }
    let words = scope::words("--user");
    let mut anew = scope::anew(&words, ASKED)?;
    runtime
        .call(
            Side::Host,
            "execve(\"systemd-run\", …)",
            "a cgroup that is ours to divide",
            "exec systemd-run --user --scope --property=Delegate=yes bash",
            || {
                SigSet::empty().thread_set_mask()?;
                // It only comes back if there is no systemd-run.
                Err::<(), _>(anew.exec())
            },
        )
        .because(Errno::ENOENT, "systemd is here, but not its systemd-run")?;
    Ok(())
}

/// In our environment once we have asked: not again.
const ASKED: &str = "CONTAINER_WORKSHOP_SCOPE";

/// Shows the tree inside: its root is now our own cgroup.
pub fn mount(container: &Inside, writable: bool) -> Result<()> {
    Mount::new("cgroup2", place::flags(writable), "")
        .after(["mkdir", "-p", PLACE])
        .make(container, PLACE, "shows what is counted")?;
    Ok(())
}
