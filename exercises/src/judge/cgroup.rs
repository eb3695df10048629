//! Cgroups for a program to use, on cgroup v1, v2, and hosts that have both.

use std::fs;
use std::path::{Path, PathBuf};

use testbed::{proc, token};

/// A new cgroup, with a name that nobody can guess, in which this controller
/// can be used.
///
/// # Panics
/// When there is none: the exercise has to list it among its needs.
pub fn make(controller: &str) -> PathBuf {
    let v1 = |kind: &str, place: &Path| {
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        kind == "cgroup" && name.split(',').any(|word| word == controller)
    };
    let v2 = |kind: &str, place: &Path| {
        kind == "cgroup2"
            && words(place, "cgroup.controllers").contains(controller)
    };
    let mounts = proc::mounts(1);
    let found = mounts.iter().find_map(|mount| {
        let place = Path::new(&mount.place);
        (v1(&mount.kind, place) || v2(&mount.kind, place)).then_some(place)
    });
    let hierarchy = found.expect("a hierarchy with this controller");
    let cgroup = hierarchy.join(token());
    fs::create_dir(&cgroup).expect("make a cgroup");
    cgroup
}

/// Lets the cgroups below it use the controller. On v2, no process can then be
/// in it.
///
/// # Panics
/// When the kernel refuses.
pub fn hand_on(cgroup: &Path, controller: &str) {
    let file = cgroup.join("cgroup.subtree_control");
    if file.exists() {
        fs::write(file, format!("+{controller}")).expect("hand it on");
    }
}

/// A file of a cgroup, without the line feed at its end. Empty if it is not
/// there.
#[must_use]
pub fn words(cgroup: &Path, file: &str) -> String {
    let text = fs::read_to_string(cgroup.join(file)).unwrap_or_default();
    text.trim_end().to_owned()
}

/// The number behind a word, as in `max 3`.
#[must_use]
pub fn count(cgroup: &Path, file: &str, word: &str) -> u64 {
    let text = words(cgroup, file);
    let mut lines = text.lines().map(|line| line.split_once(' '));
    let found = lines.find_map(|line| line.filter(|(name, _)| *name == word));
    found.and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}

/// Whether a process is in it, or below it.
#[must_use]
pub fn has(cgroup: &Path, pid: i32) -> bool {
    let name = cgroup.file_name().unwrap_or_default().to_string_lossy();
    let all = fs::read_to_string(format!("/proc/{pid}/cgroup"));
    let all = all.unwrap_or_default();
    all.split(['/', '\n']).any(|part| part == name)
}

/// The cgroups below it.
#[must_use]
pub fn below(cgroup: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(cgroup).into_iter().flatten().flatten();
    let entries = entries.map(|entry| entry.path());
    entries.filter(|path| path.is_dir()).collect()
}

/// Removes it, and what is below it. Its processes have ended.
pub fn remove(cgroup: &Path) {
    for child in below(cgroup) {
        remove(&child);
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(2);
    while fs::remove_dir(cgroup).is_err() && cgroup.exists() {
        if std::time::Instant::now() > end {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
