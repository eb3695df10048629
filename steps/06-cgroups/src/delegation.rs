//! A part of the tree for somebody else to divide: a whole host in a container,
//! or an init that makes cgroups of its own (cgroups(7), "delegation").
//!
//! The limits of that part stay ours. What it takes to make cgroups below it
//! belongs to whoever is root inside.

use std::env;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::{AccessFlags, Pid, access, geteuid};
use runtime::process::{Child, close_above_stderr_but};
use runtime::{Channel, Inside, Line, leave_terminal};
use user_namespace::powers;

use crate::place::PLACE;
use crate::tree::{DIVIDES, Trees, put, remove_tree};
use crate::v2::scope;

/// A cgroup of each hierarchy.
#[derive(Debug)]
pub struct Delegation(Vec<Part>);

/// Whoever takes it away, and is waited for when this is dropped: our own end
/// has come.
#[derive(Debug)]
pub struct Janitor {
    alive: Option<Channel>,
    child: Child,
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.alive.take());
        let _ = self.child.wait();
    }
}

#[derive(Debug)]
struct Part {
    /// Of v1: what option mounts this hierarchy. Of v2: nothing.
    controllers: String,
    /// Where the hierarchy is mounted.
    point: PathBuf,
    directory: PathBuf,
}

impl Part {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Where processes are: a cgroup of v2 that hands controllers on has none.
    fn leaf(&self) -> PathBuf {
        self.directory.join(if self.is_v2() { "init" } else { "" })
    }
}

impl Delegation {
    /// In every hierarchy that is ours to divide. Nothing is made yet. The name
    /// carries our pid, and in whose numbers: whoever finds it later can see
    /// that we are gone, and takes it away, as this does.
    ///
    /// # Errors
    /// As read(2).
    pub fn plan(prefix: &str) -> Result<Delegation> {
        const COUNTED: [&str; 5] =
            ["memory", "cpu", "cpuacct", "pids", "freezer"];
        let namespace = "/proc/self/ns/pid";
        let numbers = fs::metadata(namespace).context(namespace)?.ino();
        let name = |pid: &str| format!("{prefix}{numbers}-{pid}");
        let trees = Trees::read()?;
        let mut parts = vec![];
        for (controllers, point, own) in trees.all() {
            let parent = match controllers {
                "" => nearest_that_hands_on(own, &point),
                _ => own,
            };
            let mut each = controllers.split(',');
            let counts =
                controllers.is_empty() || each.any(|it| COUNTED.contains(&it));
            if !counts || access(&parent, AccessFlags::W_OK).is_err() {
                continue;
            }
            remove_leftovers(&parent, &name(""));
            let directory = parent.join(name(&std::process::id().to_string()));
            let controllers = controllers.to_owned();
            parts.push(Part { controllers, point, directory });
        }
        Ok(Delegation(parts))
    }

    /// A process that outlives us, even kill -9: it takes the cgroups away when
    /// we, and all that we start, have closed the other end of its line.
    ///
    /// # Errors
    /// As socketpair(2) and clone(2).
    pub fn start_janitor(&self) -> Result<Janitor> {
        let line = Line::new()?;
        let child = Child::start(CloneFlags::empty(), || {
            let alive = line.of_the_child();
            let _ = leave_terminal();
            let _ = close_above_stderr_but(alive.as_fd());
            let _ = alive.receive();
            self.remove();
            0
        });
        let child = child.context("clone(SIGCHLD)")?;
        Ok(Janitor { alive: Some(line.of_the_parent()?), child })
    }

    /// Makes them. A fork bomb ends at `pids`, a memory hog at half of the
    /// memory: the limits stay ours. What it takes to divide the cgroup becomes
    /// that of the inner root, if that is not ourselves.
    ///
    /// # Errors
    /// As mkdir(2) and write(2).
    pub fn make(&self, pids: u64, root: Option<(u32, u32)>) -> Result<()> {
        let bytes = half_of_the_memory()?;
        for part in &self.0 {
            make_directory(&part.directory)?;
            for (limit, value) in [
                ("pids.max", pids),
                ("memory.max", bytes),
                ("memory.limit_in_bytes", bytes),
            ] {
                let file = part.directory.join(limit);
                if file.exists() {
                    write(&file, &value.to_string())?;
                }
            }
            if part.is_v2() {
                make_directory(&part.leaf())?;
            }
            let Some((uid, gid)) = root else { continue };
            for directory in [&part.directory, &part.leaf()] {
                for name in DIVIDES {
                    let _ = chown(directory.join(name), Some(uid), Some(gid));
                }
            }
        }
        Ok(())
    }

    /// We, and all that we start: a cgroup namespace that begins now has them
    /// for its roots.
    ///
    /// # Errors
    /// As write(2).
    pub fn enter(&self) -> Result<()> {
        self.0.iter().try_for_each(|part| join(&part.directory))
    }

    /// `pid` and we leave for the leaves, so that controllers can be handed on.
    ///
    /// # Errors
    /// As write(2).
    pub fn settle(&self, pid: Pid) -> Result<()> {
        for part in self.0.iter().filter(|part| part.is_v2()) {
            for pid in [pid.as_raw(), 0] {
                write(&part.leaf().join("cgroup.procs"), &pid.to_string())?;
            }
            enable_controllers(&part.directory);
        }
        Ok(())
    }

    /// Shows them inside, below the new root in which we stand: as the host has
    /// them, and to be written.
    ///
    /// # Errors
    /// As mount(2).
    pub fn mount(&self, container: &Inside) -> Result<()> {
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let top = below(Path::new(PLACE));
        let is_one_tree = |part: &Part| part.point == Path::new(PLACE);
        if !self.0.is_empty() && !self.0.iter().any(is_one_tree) {
            let why = "a place for one tree per controller";
            Mount::new("tmpfs", MsFlags::MS_NODEV, "mode=755,size=1m")
                .make(container, top, why)?;
            for link in fs::read_dir(PLACE)?.flatten() {
                if let Ok(target) = fs::read_link(link.path()) {
                    symlink(target, top.join(link.file_name()))?;
                }
            }
        }
        for part in &self.0 {
            let point = below(&part.point);
            fs::create_dir_all(point)
                .with_context(|| format!("mkdir({point:?})"))?;
            let kind = if part.is_v2() { "cgroup2" } else { "cgroup" };
            let why = "its own cgroup is the top";
            Mount::new(kind, quiet, &part.controllers)
                .make(container, point, why)?;
        }
        Ok(())
    }

    /// `v1`, `v2`, `hybrid`, or `none` when no cgroup is ours to give.
    #[must_use]
    pub fn version(&self) -> &'static str {
        let has = |v2: bool| self.0.iter().any(|part| part.is_v2() == v2);
        match (has(false), has(true)) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }

    /// The last processes may still be dying.
    fn remove(&self) {
        let all = || self.0.iter().map(|part| &part.directory);
        for directory in all() {
            let _ = put(&directory.join("cgroup.kill"), "1");
        }
        for _ in 0..2000 {
            all().for_each(|directory| drop(remove_tree(directory)));
            if !all().any(|directory| directory.exists()) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// Where a process is in each hierarchy, we go, if it is in a cgroup that a
/// [`Delegation`] of this prefix made.
///
/// # Errors
/// As read(2) and write(2).
pub fn join_those_of(pid: i32, prefix: &str) -> Result<()> {
    let trees = Trees::of(pid)?;
    let is_its = |it: &PathBuf| it.to_string_lossy().contains(prefix);
    let mut its = trees.all().map(|(.., place)| place).filter(is_its);
    its.try_for_each(|place| join(&place))
}

/// Where systemd has the tree, we begin anew in a scope of ours, and step aside
/// into a leaf. `asked` says in our environment that we have done so.
///
/// # Errors
/// As execve(2), mkdir(2) and write(2).
pub fn ask_systemd_for_a_scope(asked: &str) -> Result<()> {
    let is_v2 = Path::new(PLACE).join("cgroup.controllers").exists();
    if !is_v2 || !Path::new("/run/systemd/system").is_dir() {
        return Ok(());
    }
    if env::var_os(asked).is_some() {
        return step_aside();
    }
    let (manager, its_directory) = if powers::may_administer() {
        ("--system", None)
    } else {
        let own = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let usual = || format!("/run/user/{}", geteuid()).into();
        ("--user", Some(own.unwrap_or_else(usual)))
    };
    match &its_directory {
        // Root of a user namespace may not ask it.
        None if !powers::is_the_first() => return Ok(()),
        Some(place) if !place.join("systemd/private").exists() => return Ok(()),
        _ => {}
    }
    let mut anew = scope::anew(&scope::words(manager), asked)?;
    anew.envs(its_directory.map(|place| ("XDG_RUNTIME_DIR", place)));
    Err(anew.exec()).context("execve(systemd-run), for a cgroup that is ours")
}

fn step_aside() -> Result<()> {
    let (_, own) = Trees::read()?.place(None).context("no cgroup2 tree")?;
    let aside = own.join("outside");
    make_directory(&aside)?;
    write(&aside.join("cgroup.procs"), "0")?;
    enable_controllers(&own);
    Ok(())
}

/// For those below it. Those that are not there are not handed on.
fn enable_controllers(directory: &Path) {
    for controller in ["+cpu", "+memory", "+pids"] {
        let _ = put(&directory.join("cgroup.subtree_control"), controller);
    }
}

/// We move into a cgroup, of v1 by `tasks`: it stops nobody else's forks.
fn join(directory: &Path) -> Result<()> {
    let names = ["tasks", "cgroup.procs"];
    let mut files = names.map(|name| directory.join(name)).into_iter();
    write(&files.find(|it| it.exists()).context("no cgroup")?, "0")
}

/// The nearest cgroup, from our own upwards, that hands memory on.
fn nearest_that_hands_on(mut directory: PathBuf, top: &Path) -> PathBuf {
    let hands_on = |it: &Path| {
        fs::read_to_string(it.join("cgroup.subtree_control"))
            .is_ok_and(|it| it.contains("memory"))
    };
    while directory != top && !hands_on(&directory) && directory.pop() {}
    directory
}

/// Of those whose janitor was killed, too.
fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix(prefix);
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = remove_tree(&entry.path());
        }
    }
}

fn half_of_the_memory() -> Result<u64> {
    let file = "/proc/meminfo";
    let text = fs::read_to_string(file).context(file)?;
    let kib = text.split_whitespace().nth(1).and_then(|it| it.parse().ok());
    kib.map(|kib: u64| kib * 512).context(file)
}

/// Its name in the directory that becomes the root.
fn below(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}

fn make_directory(path: &Path) -> Result<()> {
    fs::create_dir(path).with_context(|| format!("mkdir({path:?})"))
}

fn write(file: &Path, value: &str) -> Result<()> {
    put(file, value).with_context(|| format!("write({file:?}, {value:?})"))
}
