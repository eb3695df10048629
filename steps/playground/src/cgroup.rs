//! The playground's cgroups: one in each hierarchy, delegated to its root.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result};
use cgroups::{Trees, put};
use mount_namespace::Mount;
use nix::mount::MsFlags;
use nix::sched::CloneFlags;
use nix::unistd::{AccessFlags, Pid, access, geteuid};
use runtime::process::{Child, close_above_stderr_but};
use runtime::{Channel, Inside, leave_terminal};

use crate::outside::{is_in_the_first_user_namespace, may_mount};

/// A cgroup of the playground's.
#[derive(Debug)]
struct Place {
    /// Of v1: what option mounts this hierarchy. Of v2: nothing.
    controllers: String,
    /// Where the hierarchy is mounted.
    point: PathBuf,
    directory: PathBuf,
}

impl Place {
    fn is_v2(&self) -> bool {
        self.controllers.is_empty()
    }

    /// Where processes are: a cgroup of v2 that hands controllers on has none.
    fn leaf(&self) -> PathBuf {
        if self.is_v2() {
            self.directory.join("init")
        } else {
            self.directory.clone()
        }
    }
}

/// All of them.
#[derive(Debug)]
pub struct Cgroups(Vec<Place>);

/// In our environment once systemd has given us a scope.
const DELEGATED: &str = "PLAYGROUND_DELEGATED";

/// systemd is the one writer of its tree, and delegates a part to whoever asks.
/// We begin anew in it, and step aside into a leaf.
pub fn ask_systemd_for_a_scope() -> Result<()> {
    let tree = Path::new("/sys/fs/cgroup/cgroup.controllers");
    if !Path::new("/run/systemd/system").is_dir() || !tree.exists() {
        return Ok(());
    }
    if std::env::var_os(DELEGATED).is_some() {
        return step_aside();
    }
    let mut manager = "--system";
    let mut command_line = Command::new("systemd-run");
    if !may_mount() {
        manager = "--user";
        let directory = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        let directory = directory
            .unwrap_or_else(|| format!("/run/user/{}", geteuid()).into());
        if !directory.join("systemd/private").exists() {
            return Ok(());
        }
        command_line.env("XDG_RUNTIME_DIR", directory);
    } else if !is_in_the_first_user_namespace() {
        return Ok(()); // root of a user namespace may not ask it
    }
    let own = std::env::current_exe().context("readlink(/proc/self/exe)")?;
    command_line.args(&cgroups::scope(manager)[1..]).arg(own);
    command_line.args(std::env::args_os().skip(1)).env(DELEGATED, "1");
    Err(command_line.exec())
        .context("execve(systemd-run), for a cgroup that is ours")
}

fn step_aside() -> Result<()> {
    let trees = Trees::read()?;
    let (_, own) = trees.place(None).context("no cgroup2 tree")?;
    let aside = own.join("outside");
    fs::create_dir(&aside).with_context(|| format!("mkdir({aside:?})"))?;
    put(&aside.join("cgroup.procs"), "0").context("write(cgroup.procs)")?;
    enable_controllers(&own);
    Ok(())
}

/// For those below it. Those that are not there are not handed on.
fn enable_controllers(directory: &Path) {
    for controller in ["+cpu", "+memory", "+pids"] {
        let _ = put(&directory.join("cgroup.subtree_control"), controller);
    }
}

impl Cgroups {
    /// In every hierarchy that is ours to divide. The name carries our pid, and
    /// in whose numbers: whoever finds it later can see that we are gone.
    pub fn make() -> Result<Cgroups> {
        const COUNTED: [&str; 5] =
            ["memory", "cpu", "cpuacct", "pids", "freezer"];
        let numbers = fs::metadata("/proc/self/ns/pid")
            .context("stat(/proc/self/ns/pid)")?
            .ino();
        let name = |pid: &str| format!("playground-{numbers}-{pid}");
        let trees = Trees::read()?;
        let mut places = vec![];
        for controllers in trees.controllers() {
            let mut each = controllers.split(',');
            let first = each.clone().next().filter(|it| !it.is_empty());
            if first.is_some() && !each.any(|it| COUNTED.contains(&it)) {
                continue;
            }
            let Some((point, mut parent)) = trees.place(first) else {
                continue;
            };
            if first.is_none() {
                parent = nearest_that_hands_on(parent, &point);
            }
            if access(&parent, AccessFlags::W_OK).is_err() {
                continue;
            }
            remove_leftovers(&parent, &name(""));
            let directory = parent.join(name(&std::process::id().to_string()));
            places.push(Place {
                controllers: controllers.to_owned(),
                point,
                directory,
            });
        }
        Ok(Cgroups(places))
    }

    /// A process that outlives us, even kill -9: it takes the cgroups away when
    /// the last of us has closed the other end of its line.
    pub fn start_janitor(&self, line: &Channel) -> Result<Child> {
        let janitor = Child::start(CloneFlags::empty(), || {
            let _ = leave_terminal();
            let _ = close_above_stderr_but(line.as_fd());
            let _ = line.receive();
            self.remove();
            0
        });
        janitor.context("clone(SIGCHLD)")
    }

    /// A fork bomb or a memory hog inside ends inside. These files stay ours;
    /// what it takes to divide the cgroup becomes the inner root's.
    pub fn give_to(&self, root: Option<(u32, u32)>) -> Result<()> {
        let half = half_of_the_memory()?.to_string();
        for place in &self.0 {
            let file = |name: &str| place.directory.join(name);
            let made = fs::create_dir(&place.directory);
            made.with_context(|| format!("mkdir({:?})", place.directory))?;
            for (limit, value) in [
                ("pids.max", "8192"),
                ("memory.max", &half),
                ("memory.limit_in_bytes", &half),
            ] {
                if file(limit).exists() {
                    put(&file(limit), value)
                        .with_context(|| format!("write({limit})"))?;
                }
            }
            if place.is_v2() {
                let leaf = place.leaf();
                fs::create_dir(&leaf)
                    .with_context(|| format!("mkdir({leaf:?})"))?;
            }
            let Some((uid, gid)) = root else { continue };
            for directory in [&place.directory, &place.leaf()] {
                for name in [
                    "",
                    "cgroup.procs",
                    "cgroup.threads",
                    "cgroup.subtree_control",
                    "tasks",
                ] {
                    let _ = chown(directory.join(name), Some(uid), Some(gid));
                }
            }
        }
        Ok(())
    }

    /// We, and all that we start: the cgroup namespace of PID 1 begins here.
    pub fn enter(&self) -> Result<()> {
        self.0.iter().try_for_each(|place| join(&place.directory))
    }

    /// `pid` and we leave for the leaves, so that controllers can be handed on.
    pub fn settle(&self, pid: Pid) -> Result<()> {
        for place in self.0.iter().filter(|place| place.is_v2()) {
            let procs = place.leaf().join("cgroup.procs");
            for pid in [pid.as_raw(), 0] {
                put(&procs, &pid.to_string())
                    .with_context(|| format!("write({procs:?}, \"{pid}\")"))?;
            }
            enable_controllers(&place.directory);
        }
        Ok(())
    }

    /// Inside: as the host has them.
    pub fn mount(&self, inside: &Inside) -> Result<()> {
        let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        let top = Path::new("sys/fs/cgroup");
        let is_one_tree =
            |place: &Place| place.point == Path::new("/sys/fs/cgroup");
        if !self.0.is_empty() && !self.0.iter().any(is_one_tree) {
            Mount::new("tmpfs", MsFlags::MS_NODEV, "mode=755,size=1m").make(
                inside,
                top,
                "a place for one tree a controller",
            )?;
            for link in fs::read_dir("/sys/fs/cgroup")?.flatten() {
                if let Ok(target) = fs::read_link(link.path()) {
                    std::os::unix::fs::symlink(
                        target,
                        top.join(link.file_name()),
                    )?;
                }
            }
        }
        for place in &self.0 {
            let point = place.point.strip_prefix("/").unwrap_or(&place.point);
            fs::create_dir_all(point)
                .with_context(|| format!("mkdir({point:?})"))?;
            let kind = if place.is_v2() { "cgroup2" } else { "cgroup" };
            Mount::new(kind, quiet, &place.controllers).make(
                inside,
                point,
                "its own cgroup is the top",
            )?;
        }
        Ok(())
    }

    /// What PLAYGROUND_CGROUP says.
    pub fn version(&self) -> &'static str {
        let has = |v2: bool| self.0.iter().any(|place| place.is_v2() == v2);
        match (has(false), has(true)) {
            (true, true) => "hybrid",
            (true, false) => "v1",
            (false, true) => "v2",
            (false, false) => "none",
        }
    }

    /// The last processes may still be dying.
    fn remove(&self) {
        let all = || self.0.iter().map(|place| &place.directory);
        for directory in all() {
            let _ = put(&directory.join("cgroup.kill"), "1");
        }
        for _ in 0..2000 {
            all().for_each(|directory| remove_tree(directory));
            if !all().any(|directory| directory.exists()) {
                return;
            }
            sleep(Duration::from_millis(2));
        }
    }
}

/// Where a process is in each hierarchy, we go.
pub fn join_all_of(pid: i32) -> Result<()> {
    let trees = Trees::of(pid)?;
    for controllers in trees.controllers() {
        let first = controllers.split(',').next().filter(|it| !it.is_empty());
        let place = trees.place(first).map(|(_, place)| place);
        let is_its_own =
            |it: &PathBuf| it.to_string_lossy().contains("/playground-");
        if let Some(place) = place.filter(is_its_own) {
            join(&place)?;
        }
    }
    Ok(())
}

/// We move into a cgroup, of v1 by `tasks`: it stops nobody else's forks.
fn join(directory: &Path) -> Result<()> {
    let tasks = directory.join("tasks");
    let file =
        if tasks.exists() { tasks } else { directory.join("cgroup.procs") };
    put(&file, "0").with_context(|| format!("write({file:?}, \"0\")"))
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

fn half_of_the_memory() -> Result<u64> {
    let text =
        fs::read_to_string("/proc/meminfo").context("read(/proc/meminfo)")?;
    let kib =
        text.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok());
    Ok(kib.context("/proc/meminfo without a number")? * 512)
}

/// Of playgrounds whose janitor was killed, too.
fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name
            .strip_prefix(prefix)
            .is_some_and(|pid| !Path::new("/proc").join(pid).exists())
        {
            remove_tree(&entry.path());
        }
    }
}

/// The files of a cgroup go with it.
fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|it| it.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}
