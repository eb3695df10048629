//! What the kernel says of a process: /proc/PID (proc(5)).

use std::fs;
use std::path::PathBuf;

/// The namespace of a process, as `uts:[4026531838]`. Kinds: cgroup, ipc, mnt,
/// net, pid, user, uts.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn namespace(pid: i32, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}"));
    link.unwrap_or_else(|e| panic!("/proc/{pid}/ns/{kind}: {e}"))
        .display()
        .to_string()
}

/// Our own.
#[must_use]
pub fn own_namespace(kind: &str) -> String {
    namespace(std::process::id() as i32, kind)
}

/// A line of /proc/PID/status, without its name.
#[must_use]
pub fn status(pid: i32, key: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.map(|value| value.trim().to_owned())
}

/// One mount of a process (proc_pid_mountinfo(5)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountInfo {
    /// Which directory of the filesystem is its root (field 4).
    pub root: String,
    /// Where it is mounted (field 5).
    pub place: String,
    /// Its own options (field 6).
    pub options: Vec<String>,
    /// Its propagation: `shared:N` and the like (field 7).
    pub propagation: Vec<String>,
    /// The kind of filesystem (field 9).
    pub kind: String,
}

/// The mounts of a process, in the order in which they were made.
///
/// # Panics
/// When there is no such process.
#[must_use]
pub fn mounts(pid: i32) -> Vec<MountInfo> {
    let table = fs::read_to_string(format!("/proc/{pid}/mountinfo"));
    mounts_of(&table.unwrap_or_else(|e| panic!("/proc/{pid}/mountinfo: {e}")))
}

/// The mounts that a table tells of.
///
/// # Panics
/// When it is none.
#[must_use]
pub fn mounts_of(table: &str) -> Vec<MountInfo> {
    let words = |text: &str| text.split(',').map(str::to_owned).collect();
    let mount = |line: &str| {
        let (mount, filesystem) =
            line.split_once(" - ").expect("a separator in mountinfo");
        let fields: Vec<_> = mount.split(' ').collect();
        MountInfo {
            root: fields[3].to_owned(),
            place: fields[4].to_owned(),
            options: words(fields[5]),
            propagation: fields[6..]
                .iter()
                .map(|&field| field.to_owned())
                .collect(),
            kind: filesystem.split(' ').next().unwrap_or_default().to_owned(),
        }
    };
    table.lines().map(mount).collect()
}

/// The children of a process.
#[must_use]
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .unwrap_or_default();
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// Every process that we can see.
#[must_use]
pub fn all() -> Vec<i32> {
    let entries = fs::read_dir("/proc").expect("read /proc").flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// What a process executes, or `None` when it is gone or not ours to see.
#[must_use]
pub fn exe(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/exe")).ok()
}

/// Everything whose environment holds this word. A container's first process
/// has the runtime's environment until its exec, and after it what `-e` passes
/// on: a mark there finds all of a container, and nothing of anyone else's.
#[must_use]
pub fn marked(mark: &str) -> Vec<i32> {
    let is_marked = |pid: &i32| {
        let environment = fs::read(format!("/proc/{pid}/environ"));
        environment.is_ok_and(|bytes| {
            bytes.windows(mark.len()).any(|part| part == mark.as_bytes())
        })
    };
    all().into_iter().filter(is_marked).collect()
}

/// Whether it runs: a zombie does not.
#[must_use]
pub fn runs(pid: i32) -> bool {
    status(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A word that nobody can guess: facts of a test are made at random, so that
/// no program can pass it by saying what is expected.
#[must_use]
pub fn token() -> String {
    let bytes =
        fs::read("/proc/sys/kernel/random/uuid").expect("read a random uuid");
    let text: String = String::from_utf8_lossy(&bytes)
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    format!("t{}", &text[..16])
}
