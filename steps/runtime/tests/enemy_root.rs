#![forbid(unsafe_code)]
//! Root directories that an enemy filled. Nothing of the host is written or
//! mounted over, nobody hangs, and the step works or says why not.
//!
//! What lies outside is open to everybody: no permission saves it.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use nix::unistd::mkfifo;
use tempfile::TempDir;
use testbed::watch::Watch;
use testbed::{Step, needs, skip, token};

testbed::main!(
    a_root_of_an_enemy_leads_04_nowhere,
    a_root_of_an_enemy_leads_05_nowhere,
    a_root_of_an_enemy_leads_06_nowhere,
    a_root_of_an_enemy_leads_07_nowhere,
    a_root_of_an_enemy_leads_08_nowhere,
    a_root_of_an_enemy_leads_09_nowhere,
    a_root_of_an_enemy_leads_10_nowhere,
    ten_thousand_directories_in_each_other_keep_nobody_waiting,
);

fn a_root_of_an_enemy_leads_04_nowhere() {
    needs::root();
    leads_nowhere("04-mount-namespace", &[]);
}

fn a_root_of_an_enemy_leads_05_nowhere() {
    leads_nowhere("05-user-namespace", &[]);
}

fn a_root_of_an_enemy_leads_06_nowhere() {
    leads_nowhere("06-cgroups", &[]);
}

fn a_root_of_an_enemy_leads_07_nowhere() {
    leads_nowhere("07-overlayfs", &[]);
}

fn a_root_of_an_enemy_leads_08_nowhere() {
    leads_nowhere("08-networking", &["--network", "none"]);
}

fn a_root_of_an_enemy_leads_09_nowhere() {
    leads_nowhere("09-least-privilege", &["--network", "none"]);
}

fn a_root_of_an_enemy_leads_10_nowhere() {
    leads_nowhere("10-system-container", &["--network", "none"]);
}

fn ten_thousand_directories_in_each_other_keep_nobody_waiting() {
    let place = a_place_in_memory();
    let root = make_root("05-user-namespace", place.path());
    nest(&root, 10_000);
    let steps = [
        "04-mount-namespace",
        "05-user-namespace",
        "06-cgroups",
        "07-overlayfs",
        "08-networking",
        "09-least-privilege",
        "10-system-container",
    ];
    for step in steps.iter().skip(usize::from(!needs::is_root())) {
        let options: &[&str] =
            if *step < "08" { &[] } else { &["--network", "none"] };
        let started = Step::new(step)
            .args(options)
            .arg("--rootfs", &root)
            .sh("echo ready");
        let (status, text) = finish(started.in_shell(PATIENT), false);
        assert_eq!((status, text.trim_end()), (0, "ready"), "{step}");
    }
    remove(&root);
}

/// Nobody waits longer.
const PATIENT: &str = "timeout --foreground --kill-after=1 30 \"$@\"";

/// What the enemy does to the root directory, and what we do then.
struct Attack {
    name: &'static str,
    /// Is given the root directory, and a directory that must not change.
    prepare: fn(&Path, &Path),
    options: &'static [&'static str],
    in_terminal: bool,
    /// A word of the only answer that is right; else it may work, too.
    refused: Option<&'static str>,
}

const fn attack(name: &'static str, prepare: fn(&Path, &Path)) -> Attack {
    Attack { name, prepare, options: &[], in_terminal: false, refused: None }
}

impl Attack {
    const fn refused(self, word: &'static str) -> Attack {
        Attack { refused: Some(word), ..self }
    }

    const fn with(self, options: &'static [&'static str]) -> Attack {
        Attack { options, ..self }
    }

    const fn in_terminal(self) -> Attack {
        Attack { in_terminal: true, ..self }
    }
}

const LINK: &str = "symbolic link";

const ATTACKS: [Attack; 34] = [
    attack("nothing", |_, _| {}),
    attack("/proc is a link", |root, out| link(root, "proc", out.join("dir")))
        .refused(LINK),
    attack("/proc is a relative link", |root, _| {
        link(root, "proc", "../outside/dir")
    })
    .refused(LINK),
    attack("/proc is a link to itself", |root, _| link(root, "proc", "proc"))
        .refused(LINK),
    attack("/proc is a file", |root, _| file(root, "proc")),
    attack("/proc is a FIFO", |root, _| fifo(root, "proc")),
    attack("/sys is a link", |root, out| link(root, "sys", out.join("dir")))
        .refused(LINK),
    attack("/dev is a link", |root, out| link(root, "dev", out.join("dir")))
        .refused(LINK),
    attack("/dev is a link to the host's", |root, _| {
        link(root, "dev", "/proc/1/root/dev")
    })
    .refused(LINK),
    attack("/dev/null is a link", |root, out| {
        link(root, "dev/null", out.join("file"))
    }),
    attack("/dev/pts is a link", |root, out| {
        link(root, "dev/pts", out.join("dir"))
    }),
    attack("/dev/shm is a link", |root, out| {
        link(root, "dev/shm", out.join("dir"))
    }),
    attack("/dev/console is a link", |root, out| {
        link(root, "dev/console", out.join("file"))
    })
    .in_terminal(),
    attack("/dev/ptmx is a link", |root, out| {
        link(root, "dev/ptmx", out.join("file"))
    })
    .in_terminal(),
    attack("/etc/hosts is a link", |root, out| {
        link(root, "etc/hosts", out.join("file"))
    }),
    attack("/etc/hosts is a relative link", |root, _| {
        link(root, "etc/hosts", "../../outside/file");
    }),
    attack("/etc/resolv.conf is a link", |root, out| {
        link(root, "etc/resolv.conf", out.join("new"));
    }),
    attack("/etc/resolv.conf is a long chain of links", |root, out| {
        (0..60).for_each(|n| {
            link(root, &format!("etc/l{n}"), format!("l{}", n + 1))
        });
        link(root, "etc/l60", out.join("new"));
        link(root, "etc/resolv.conf", "l0");
    }),
    attack("/etc/hosts is a magic link", |root, _| {
        link(root, "etc/hosts", "/proc/self/exe")
    }),
    attack("/etc/hosts leads through the host's proc", |root, out| {
        let path = format!("/proc/1/root{}", out.join("file").display());
        link(root, "etc/hosts", path);
    }),
    attack("/etc/hosts and /etc/resolv.conf are a loop", |root, _| {
        link(root, "etc/hosts", "resolv.conf");
        link(root, "etc/resolv.conf", "hosts");
    }),
    attack("/etc/hosts is a FIFO", |root, _| fifo(root, "etc/hosts")),
    attack("/etc/resolv.conf is a FIFO", |root, _| {
        fifo(root, "etc/resolv.conf")
    }),
    attack("/etc/hosts is a directory", |root, _| {
        file(root, "etc/hosts");
        fs::remove_file(root.join("etc/hosts")).expect("rm");
        fs::create_dir(root.join("etc/hosts")).expect("mkdir");
    }),
    attack("/etc is a link", |root, out| link(root, "etc", out.join("dir"))),
    attack("/etc is a relative link", |root, _| {
        link(root, "etc", "../outside/dir")
    }),
    attack("/etc is a FIFO", |root, _| fifo(root, "etc")),
    attack("names with line feeds", |root, out| {
        link(root, "etc/ho\nsts", out.join("file"));
        link(root, "pro\nc", out.join("dir"));
        fs::create_dir(root.join("\x1b[2J\n04-mount-namespace: all is well"))
            .expect("mkdir");
    })
    .with(&["-w", "/etc/ho\nsts"])
    .refused("chdir("),
    attack("the way to a volume is a link", |root, out| {
        link(root, "mnt", out.join("dir"))
    })
    .with(&["-v", "/etc/passwd:/mnt/x:ro"]),
    attack("the way to a volume is a relative link", |root, _| {
        link(root, "mnt", "../outside/dir");
    })
    .with(&["-v", "/etc/passwd:/mnt/new/x"]),
    attack("a volume lies over a FIFO", |root, _| fifo(root, "etc/passwd"))
        .with(&["-v", "/etc/passwd:/etc/passwd:ro"]),
    attack("the working directory is a link", |root, out| {
        link(root, "w", out.join("dir"))
    })
    .with(&["-w", "/w"])
    .refused("chdir("),
    attack("the way to the working directory is a link", |root, out| {
        link(root, "w", out.join("dir"))
    })
    .with(&["-w", "/w/new"])
    .refused("mkdir("),
    attack("/bin/sh is a FIFO", |root, _| fifo(root, "bin/sh"))
        .refused("/bin/sh"),
];

/// Whatever lay there becomes a link.
fn link(root: &Path, name: &str, target: impl AsRef<Path>) {
    let path = take_away(root, name);
    symlink(target, path).expect("symlink");
}

fn file(root: &Path, name: &str) {
    fs::write(take_away(root, name), "the enemy's").expect("write");
}

fn fifo(root: &Path, name: &str) {
    mkfifo(&take_away(root, name), Mode::S_IRWXU).expect("mkfifo");
}

fn take_away(root: &Path, name: &str) -> PathBuf {
    let path = root.join(name);
    let _ = fs::remove_file(&path);
    let _ = fs::remove_dir_all(&path);
    path
}

fn nest(root: &Path, depth: usize) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut here = openat(AT_FDCWD, root, flags, Mode::empty()).expect("open");
    for _ in 0..depth {
        mkdirat(&here, "d", Mode::S_IRWXU).expect("mkdir");
        here = openat(&here, "d", flags, Mode::empty()).expect("open");
    }
}

fn leads_nowhere(step: &str, options: &[&str]) {
    let place = a_place_in_memory();
    let model = make_root(step, place.path());
    // Also the root's own name is the enemy's.
    let (root, outside) =
        (place.path().join("a:b,c\nd e"), place.path().join("outside"));
    let mut results = BTreeMap::new();
    for attack in &ATTACKS {
        let name = attack.name;
        make_outside(&outside);
        remove(&root);
        run("cp", &["-a".as_ref(), model.as_os_str(), root.as_os_str()]);
        (attack.prepare)(&root, &outside);
        let before = contents(&outside);
        let watch = Watch::begin();
        let word = token();
        // Field 5 of mountinfo is the place, and the kind follows the dash.
        let script = format!(
            "while read l; do echo \"$l\"; done </proc/self/mountinfo; echo {word}"
        );
        let started =
            watch.over(Step::new(step)).args(options).arg("--rootfs", &root);
        let started = started.args(attack.options).sh(&script);
        let (status, text) =
            finish(started.in_shell(PATIENT), attack.in_terminal);
        let context = format!("{step}, {name}: status {status}: {text}");
        watch.assert_nothing_left(&context);
        assert_eq!(contents(&outside), before, "{context}");
        match status {
            0 => {
                assert!(attack.refused.is_none(), "{context}");
                assert!(
                    text.lines().any(|line| line.trim_end() == word),
                    "{context}"
                );
                assert_all_is_mounted(&text, &context);
            }
            125..=127 => {
                assert_eq!(text.lines().count(), 1, "{context}");
                let is_one_line =
                    |c: char| c == '\n' || c == '\r' || !c.is_control();
                assert!(text.chars().all(is_one_line), "{context}");
                assert!(
                    text.contains(attack.refused.unwrap_or("E")),
                    "{context}"
                );
                assert!(name != "nothing", "{context}");
            }
            _ => panic!("{context}"),
        }
        *results
            .entry(if status == 0 { "works" } else { "refused" })
            .or_insert(0) += 1;
    }
    remove(&root);
    println!("{step:20} {} roots of an enemy: {results:?}", ATTACKS.len());
}

fn finish(step: Step, in_terminal: bool) -> (i32, String) {
    if in_terminal {
        return step.on_terminal().finish();
    }
    let output = step.output();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap_or(-1),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// What was mounted is where it belongs: so it is not elsewhere.
fn assert_all_is_mounted(mountinfo: &str, context: &str) {
    let mounts: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| {
            let kind = line.split_once(" - ")?.1.split(' ').next()?;
            Some((line.split(' ').nth(4)?, kind))
        })
        .collect();
    for expected in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
    ] {
        assert!(mounts.contains(&expected), "{expected:?} {context}");
    }
}

/// On a disk it takes longer to make these roots than to meet them.
fn a_place_in_memory() -> TempDir {
    let memory = Some(PathBuf::from("/dev/shm")).filter(|path| path.is_dir());
    let place = tempfile::tempdir_in(memory.unwrap_or_else(std::env::temp_dir));
    let place = place.expect("a directory");
    open_to_all(place.path(), 0o755);
    place
}

/// A root directory whose owner is root inside.
/// That of step 10 has nothing but the host's programs: there, an enemy begins
/// with the usual one, too.
fn make_root(step: &str, place: &Path) -> PathBuf {
    let step = if step < "10" { step } else { "09-least-privilege" };
    let cache = place.join("cache");
    fs::create_dir(&cache).expect("mkdir");
    let mut make = Step::new(step).args(["true"]);
    make.command().env("XDG_CACHE_HOME", &cache);
    let output = make.output();
    if output.status.code() != Some(0) {
        skip(format!("it does not start here: {output:?}"));
    }
    let names = fs::read_dir(cache.join("container-workshop"))
        .expect("the cache")
        .flatten();
    let root = names.map(|entry| entry.path()).find(|path| path.is_dir());
    let root = root.expect("a root directory");
    // Large, and not needed here.
    let _ = fs::remove_file(root.join("bin/attack"));
    root
}

fn make_outside(outside: &Path) {
    remove(outside);
    fs::create_dir_all(outside.join("dir/new")).expect("mkdir");
    for (name, mode) in [(".", 0o777), ("dir", 0o777), ("dir/new", 0o777)] {
        open_to_all(&outside.join(name), mode);
    }
    for name in ["file", "dir/hosts", "dir/resolv.conf"] {
        fs::write(outside.join(name), token()).expect("write");
        open_to_all(&outside.join(name), 0o666);
    }
}

fn open_to_all(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// All that is there: owner, mode, time of the last change, and text.
fn contents(directory: &Path) -> BTreeMap<PathBuf, (u32, u32, i64, String)> {
    let mut found = BTreeMap::new();
    let mut to_look_at = vec![directory.to_owned()];
    while let Some(path) = to_look_at.pop() {
        let meta = fs::symlink_metadata(&path).expect("metadata");
        let text = match meta.is_file() {
            true => fs::read_to_string(&path).expect("read"),
            false => String::new(),
        };
        if meta.is_dir() {
            let entries = fs::read_dir(&path).expect("read").flatten();
            to_look_at.extend(entries.map(|entry| entry.path()));
        }
        found.insert(path, (meta.uid(), meta.mode(), meta.ctime_nsec(), text));
    }
    found
}

/// Not by the standard library: it opens all of 10,000 directories at once.
fn remove(path: &Path) {
    run("rm", &["-rf".as_ref(), path.as_os_str()]);
}

fn run(program: &str, arguments: &[&std::ffi::OsStr]) {
    let status = Command::new(program).args(arguments).status();
    assert!(status.expect(program).success(), "{program}");
}
