//! The host before and after: what a container leaves behind.

use std::collections::BTreeSet;
use std::env::temp_dir;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::patience::{eventually, patience};
use crate::proc;
use crate::step::binary;

/// What of the host a container could leave behind.
#[derive(Debug)]
pub struct Host(BTreeSet<String>);

impl Host {
    /// How it is now.
    #[must_use]
    pub fn now() -> Host {
        let name = fs::read_to_string("/proc/sys/kernel/hostname");
        let mounts = proc::mounts(std::process::id() as i32);
        let places = ["/sys/class/net".into(), cache(), temp_dir()];
        let paths = places.iter().flat_map(names).chain(cgroups());
        let processes = proc::all().into_iter();
        let processes = processes.filter(|&pid| is_of_a_container(pid));
        let mut now = BTreeSet::from([format!("hostname {name:?}")]);
        now.extend(mounts.iter().map(|mount| format!("{mount:?}")));
        now.extend(paths.map(|path| path.display().to_string()));
        now.extend(processes.map(|pid| format!("process {pid}")));
        Host(now)
    }

    /// Fails unless, within a moment, nothing is new: that is told. What ended
    /// meanwhile may have been on its way out before.
    ///
    /// # Panics
    /// When something is left behind.
    pub fn assert_nothing_new(&self) {
        let end = Instant::now() + patience();
        loop {
            let Host(now) = Host::now();
            let new: Vec<_> = now.difference(&self.0).collect();
            if new.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "left on the host: {new:#?}");
            sleep(Duration::from_millis(5));
        }
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
