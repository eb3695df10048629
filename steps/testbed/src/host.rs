//! The host before and after: what a container leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::{binary, eventually, proc};

/// All of the host that a container could have changed for good.
#[derive(Debug, PartialEq, Eq)]
pub struct Host {
    hostname: String,
    mounts: BTreeSet<String>,
    links: BTreeSet<String>,
    cgroups: BTreeSet<PathBuf>,
    cache: BTreeSet<PathBuf>,
    temporary: BTreeSet<PathBuf>,
    /// Processes that come from this workspace, or live in a root of its making.
    processes: BTreeSet<i32>,
}

impl Host {
    /// How it is now.
    #[must_use]
    pub fn now() -> Host {
        Host {
            hostname: fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default(),
            mounts: lines("/proc/self/mountinfo"),
            links: names("/sys/class/net")
                .iter()
                .map(|p| p.display().to_string())
                .collect(),
            cgroups: cgroups(),
            cache: names(cache()),
            temporary: names(std::env::temp_dir()),
            processes: proc::all()
                .into_iter()
                .filter(|&pid| is_of_a_container(pid))
                .collect(),
        }
    }

    /// Fails unless the host is, within a moment, as it was. What is new since
    /// then is told.
    ///
    /// # Panics
    /// When something is left behind.
    pub fn assert_unchanged(&self) {
        let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
        while *self != Host::now() && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(*self, Host::now(), "the host is not as it was before");
    }
}

/// Where default root directories are made.
#[must_use]
pub fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    let own = || match nix::unistd::geteuid().is_root() {
        true => Some("/var/cache".into()),
        false => variable("HOME").map(|home| home.join(".cache")),
    };
    let base = variable("XDG_CACHE_HOME")
        .or_else(own)
        .expect("HOME or XDG_CACHE_HOME");
    base.join("container-workshop")
}

/// Waits until a process is gone, zombie or not.
pub fn assert_gone(pid: i32) {
    eventually(&format!("the end of process {pid}"), || {
        (!proc::runs(pid)).then_some(())
    });
}

fn is_of_a_container(pid: i32) -> bool {
    let ours = |path: PathBuf| {
        let ours =
            [binary("01-chroot").parent().map(Path::to_owned), Some(cache())];
        ours.iter().flatten().any(|directory| path.starts_with(directory))
            && path.extension().is_none()
            && path.parent().is_none_or(|parent| !parent.ends_with("deps"))
    };
    let link = |name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    proc::runs(pid)
        && (link("exe").is_some_and(ours) || link("root").is_some_and(ours))
}

fn lines(file: &str) -> BTreeSet<String> {
    fs::read_to_string(file)
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect()
}

fn names(directory: impl AsRef<Path>) -> BTreeSet<PathBuf> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect()
}

/// Every cgroup below our own, in every hierarchy.
fn cgroups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut to_look_at: Vec<PathBuf> = vec!["/sys/fs/cgroup".into()];
    while let Some(directory) = to_look_at.pop() {
        let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
        let below =
            entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        to_look_at.extend(below.map(|entry| entry.path()));
        found.insert(directory);
    }
    found
}
