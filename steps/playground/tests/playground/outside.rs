//! What the playground must not change: of the host, what the worst that is done
//! in there would change. Others may be at work on it meanwhile.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testbed::{checkout, eventually, host, needs, proc, token};

/// What worst.sh writes to /proc/sys: a value that nobody else would choose.
const WRITTEN: [(&str, &str); 8] = [
    ("kernel/shmmni", "777"),
    ("kernel/msgmni", "777"),
    ("kernel/pid_max", "777"),
    ("fs/mqueue/msg_default", "777"),
    ("net/ipv4/ip_forward", "7"),
    ("net/ipv4/icmp_echo_ignore_all", "7"),
    ("net/ipv4/tcp_fin_timeout", "7"),
    ("net/ipv6/conf/all/hop_limit", "7"),
];
/// The host's own devices, which a playground shows.
const DEVICES: [&str; 7] =
    ["null", "zero", "full", "random", "urandom", "tty", "net/tun"];
/// A network as a host has it: what worst.sh takes away.
const NETWORK: &str = "
    ip link set lo up
    ip link add eth0 type veth peer name eth1
    ip address add 192.0.2.77/24 dev eth0
    ip link set eth0 up; ip link set eth1 up
    until ip -brief link show eth0 | grep -q ' UP '; do sleep 0.01; done
    ip route add default via 192.0.2.1
    nft add table ip planted";

/// Files of our own making, and a process of ours.
pub struct Outside {
    pub token: String,
    pub home: String,
    pub checkout: String,
    pub places: Vec<PathBuf>,
    /// A process of ours. Root's lives in a network of its own, which stands
    /// for the host's: whatever changes in there is not of others.
    survivor: Child,
    planted: Vec<TempDir>,
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
        let mut command = Command::new("unshare");
        if needs::is_root() {
            command.arg("--net");
        }
        let survivor = command
            .args(["--", "sleep", "1000"])
            .stdin(Stdio::null())
            .spawn()
            .expect("unshare");
        let mut outside = Outside {
            token,
            home,
            checkout: checkout().display().to_string(),
            places,
            survivor,
            planted,
            before: BTreeMap::new(),
        };
        eventually("the survivor", || {
            let exe = proc::exe(outside.survivor())?;
            (!exe.ends_with("unshare")).then_some(())
        });
        outside.in_its_network(&["sh", "-c", NETWORK]);
        outside.before = outside.facts();
        outside
    }

    /// What runs its arguments in the network that stands for the host's.
    pub fn enter_network(&self) -> String {
        match needs::is_root() {
            true => {
                format!("nsenter --net=/proc/{}/ns/net --", self.survivor())
            }
            false => "env --".into(),
        }
    }

    /// What a program says in the network that is ours to look at as a whole.
    fn in_its_network(&self, program: &[&str]) -> String {
        if !needs::is_root() {
            return String::new();
        }
        let enter = self.enter_network();
        said(
            &enter
                .split(' ')
                .chain(program.iter().copied())
                .collect::<Vec<_>>(),
        )
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
        let named = everything_with_a_name();
        let ours = named.lines().filter(|it| it.contains(&self.token[..12]));
        changes.extend(ours.map(|it| format!("new: {it}")));
        for (name, value) in WRITTEN {
            let is = fs::read_to_string(Path::new("/proc/sys").join(name));
            if is.is_ok_and(|is| is.trim() == value) {
                changes.push(format!("{name} is {value}"));
            }
        }
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

    /// What nobody else changes: the files that we planted, to the last bit;
    /// whose the places are, and what is mounted there; our network.
    fn facts(&self) -> BTreeMap<String, String> {
        let mut facts = BTreeMap::new();
        let planted = self.planted.iter().map(TempDir::path);
        planted.for_each(|path| tree(path, &mut facts));
        let mounts = proc::mounts(std::process::id() as i32);
        let devices = DEVICES.map(|name| Path::new("/dev").join(name));
        let above = self.places.iter().flat_map(|place| place.ancestors());
        for path in above.chain(devices.iter().map(PathBuf::as_path)) {
            let on = mounts.iter().filter(|it| path.starts_with(&it.place));
            let on = on.max_by_key(|it| it.place.len());
            let meta = fs::symlink_metadata(path);
            let rights = meta.map(|meta| rights(&meta)).unwrap_or_default();
            facts
                .insert(path.display().to_string(), format!("{rights} {on:?}"));
        }
        for program in [
            "ip -brief link",
            "ip -brief -4 address",
            "ip -4 route show table all",
            "nft list ruleset",
            "grep -r . /proc/sys/net/ipv4/conf/eth0 /proc/sys/net/ipv4/ip_forward",
        ] {
            let words: Vec<_> = program.split(' ').collect();
            facts.insert(program.into(), self.in_its_network(&words));
        }
        facts
    }
}

/// Mounts, network devices and tables of rules of the host, and its own name:
/// that of what worst.sh makes begins with the token.
fn everything_with_a_name() -> String {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
    let host = fs::read_to_string("/proc/sys/kernel/hostname").expect("read");
    let links = said(&["ip", "-brief", "link"]);
    let tables = said(&["nft", "list", "tables"]);
    [mounts, host, links, tables].join("\n")
}

/// What a program says: nothing, where it is missing.
fn said(words: &[&str]) -> String {
    let output = Command::new(words[0]).args(&words[1..]).output();
    let output = output.map(|it| it.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).into_owned()
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

/// A fact for each file of a tree.
fn tree(path: &Path, facts: &mut BTreeMap<String, String>) {
    let Ok(meta) = fs::symlink_metadata(path) else { return };
    let content = fs::read(path).unwrap_or_default();
    let mtime = (meta.mtime(), meta.mtime_nsec());
    let fact = format!("{} {mtime:?} {content:?}", rights(&meta));
    facts.insert(path.display().to_string(), fact);
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.for_each(|entry| tree(&entry.path(), facts));
}
