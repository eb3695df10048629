//! What the playground must not change: the host, as far as nobody else is
//! at work on it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::{checkout, host, proc, token};

/// Numbers that the kernel changes by itself.
const COUNTERS: [&str; 10] = [
    "kernel/ns_last_pid",
    "kernel/random",
    "kernel/pty/nr",
    "fs/dentry-state",
    "fs/file-nr",
    "fs/inode-nr",
    "fs/inode-state",
    "fs/aio-nr",
    "fs/quota",
    "net/netfilter/nf_conntrack_count",
];
/// Cables and bridges of containers, which come and go on a busy host.
const OTHERS: [&str; 5] = ["veth", "br-", "docker", "virbr", "workshop"];

/// Files of our own making, and a process of ours.
pub struct Outside {
    pub token: String,
    pub home: String,
    pub checkout: String,
    pub places: Vec<PathBuf>,
    survivor: Child,
    _planted: Vec<TempDir>,
    before: BTreeMap<String, String>,
}

impl Outside {
    /// Plants, and remembers how it is now.
    pub fn now() -> Outside {
        let token = token();
        let home = std::env::var("HOME").expect("HOME");
        let mut places = vec![checkout(), checkout().join("target")];
        places.push(PathBuf::from(&home));
        places.extend(
            [
                "/etc", "/opt", "/run", "/srv", "/tmp", "/usr", "/usr/bin",
                "/var", "/var/lib", "/var/tmp", "/dev/shm", "/",
            ]
            .map(PathBuf::from),
        );
        places.retain(|place| place.is_dir());
        let plant = |place: &PathBuf| plant(place, &token).ok();
        let planted: Vec<_> = places.iter().filter_map(plant).collect();
        assert!(!planted.is_empty(), "nothing of ours to watch");
        let survivor = Command::new("sleep")
            .arg("1000")
            .stdin(Stdio::null())
            .spawn()
            .expect("sleep");
        let mut outside = Outside {
            token,
            home,
            checkout: checkout().display().to_string(),
            places,
            survivor,
            _planted: planted,
            before: BTreeMap::new(),
        };
        outside.before = outside.facts();
        outside
    }

    pub fn survivor(&self) -> i32 {
        self.survivor.id() as i32
    }

    /// Fails unless all is, within a moment, as it was.
    pub fn assert_unchanged(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let changes = self.changes();
            if changes.is_empty() {
                return;
            }
            let few = &changes[..changes.len().min(20)];
            assert!(Instant::now() < end, "the host has changed: {few:#?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What was and is not, or is otherwise; and our marks, wherever they are.
    /// Anything else that is new, somebody else has made.
    fn changes(&self) -> Vec<String> {
        let after = self.facts();
        let change = |(what, was): (&String, &String)| {
            let is = after.get(what);
            (is != Some(was)).then(|| format!("{what}: {was:?}, now {is:?}"))
        };
        let mut changes: Vec<_> =
            self.before.iter().filter_map(change).collect();
        let leaked = self.marks().filter(|mark| mark.exists());
        changes.extend(leaked.map(|mark| mark.display().to_string()));
        let is_ours = |(what, is): (&String, &String)| {
            let link = &self.token[..12];
            (what.contains(link) || is.contains(link))
                .then(|| format!("new: {what} {is}"))
        };
        let known = |what: &String| self.before.contains_key(what);
        let new = after.iter().filter(|(what, _)| !known(what));
        changes.extend(new.filter_map(is_ours));
        if !proc::runs(self.survivor()) {
            changes.push("our process on the host is dead".into());
        }
        changes
    }

    /// What worst.sh makes in every place that it can write.
    fn marks(&self) -> impl Iterator<Item = PathBuf> {
        let name = format!("{}.mark", self.token);
        self.places.iter().map(move |place| place.join(&name))
    }

    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
        for mount in mounts.lines() {
            facts.insert(format!("mount {mount}"), String::new());
        }
        for what in [
            &["-brief", "link"][..],
            &["-brief", "address"],
            &["route", "show", "table", "all"],
        ] {
            links(what, &mut facts);
        }
        for tree in ["kernel", "vm", "fs", "net"] {
            sysctls(&Path::new("/proc/sys").join(tree), &mut facts);
        }
        self.files(&mut facts);
        facts
    }

    fn files(&self, facts: &mut BTreeMap<String, String>) {
        for place in &self.places {
            // Others write here. What we planted is ours, to the last bit.
            for path in entries(place) {
                let name = path.file_name().unwrap_or_default();
                if name.to_string_lossy().starts_with(&self.token) {
                    tree(&path, facts, &|path, meta| {
                        let content = fs::read(path).unwrap_or_default();
                        let mtime = (meta.mtime(), meta.mtime_nsec());
                        format!("{} {mtime:?} {content:?}", rights(meta))
                    });
                }
            }
        }
        let same = |_: &Path, meta: &fs::Metadata| rights(meta);
        for entry in entries(&checkout()) {
            // cargo may be at work there; the names below are enough.
            let busy = entry.ends_with("target") || entry.ends_with(".git");
            if !busy && !self.is_anothers(&entry) {
                tree(&entry, facts, &same);
            }
        }
        let whole = [
            "/",
            "/etc",
            "/usr/bin",
            "/usr/sbin",
            "/opt",
            "/srv",
            "/var",
            "/var/lib",
            "/dev",
        ];
        let whole = whole.iter().map(PathBuf::from);
        let git = checkout().join(".git");
        let debug = checkout().join("target/debug");
        for place in whole.chain([git, debug]) {
            let lasting = |path: &PathBuf| {
                path.extension().is_none_or(|e| e != "lock" && e != "d")
                    && !self.is_anothers(path)
            };
            for path in entries(&place).into_iter().filter(lasting) {
                if let Ok(meta) = fs::symlink_metadata(&path) {
                    facts.insert(path.display().to_string(), rights(&meta));
                }
            }
        }
    }

    /// What another test has made: its name begins with a token that is not ours,
    /// or as tempfile's do. The host and a playground are judged at the same time,
    /// and the playground sees the host's files through its own.
    fn is_anothers(&self, path: &Path) -> bool {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_hexadecimal =
            |part: &str| part.chars().all(|c| c.is_ascii_hexdigit());
        let is_token = |rest: &str| rest.get(..16).is_some_and(is_hexadecimal);
        let by_a_test = name.starts_with(".tmp")
            || name.strip_prefix('t').is_some_and(is_token);
        by_a_test && !name.starts_with(&self.token)
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.marks().for_each(|mark| {
            // There only if the playground failed.
            let _ = fs::remove_file(mark);
        });
        let _ = self.survivor.kill();
        let _ = self.survivor.wait();
        host::assert_gone(self.survivor());
    }
}

/// A directory of a random name that everybody may enter, with two files of
/// random content: one that is ours, one that anybody may write.
fn plant(place: &Path, token: &str) -> std::io::Result<TempDir> {
    let directory = tempfile::Builder::new().prefix(token).tempdir_in(place)?;
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o777))?;
    for (name, mode) in [("ours", 0o600), ("anybodys", 0o666)] {
        let path = directory.path().join(name);
        fs::File::create_new(&path)?.write_all(testbed::token().as_bytes())?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
    }
    Ok(directory)
}

fn rights(meta: &fs::Metadata) -> String {
    format!("{:o} {}:{}", meta.mode(), meta.uid(), meta.gid())
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// A fact for each file of a tree.
fn tree(
    path: &Path,
    facts: &mut BTreeMap<String, String>,
    fact: &dyn Fn(&Path, &fs::Metadata) -> String,
) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    facts.insert(path.display().to_string(), fact(path, &meta));
    if meta.is_dir() && !path.ends_with("node_modules") {
        entries(path).iter().for_each(|entry| tree(entry, facts, fact));
    }
}

/// What ip(8) says, without what belongs to the containers of others.
fn links(what: &[&str], facts: &mut BTreeMap<String, String>) {
    let Ok(told) = Command::new("ip").args(what).output() else { return };
    for line in String::from_utf8_lossy(&told.stdout).lines() {
        if !OTHERS.iter().any(|name| line.contains(name)) {
            facts.insert(format!("ip {what:?}: {line}"), String::new());
        }
    }
}

fn sysctls(path: &Path, facts: &mut BTreeMap<String, String>) {
    let name = path.display().to_string();
    let varies = |part: &str| name.contains(&format!("/{part}"));
    if COUNTERS.iter().chain(&OTHERS).any(|part| varies(part)) {
        return;
    }
    if path.is_dir() {
        entries(path).iter().for_each(|entry| sysctls(entry, facts));
    } else if let Ok(value) = fs::read_to_string(path) {
        facts.insert(name, value);
    }
}
