#![forbid(unsafe_code)]
//! The default root directory: made without a download, fast, once, and whole.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use testbed::{Step, needs, proc, skip, token};

testbed::main!(
    a_static_busybox_is_all_it_needs,
    without_busybox_it_has_the_hosts_own_tools,
    nobody_asks_ldd,
    it_is_made_in_less_than_a_second,
    eight_at_once_make_one,
    what_a_killed_maker_left_goes_away,
    an_older_one_goes_away_unless_somebody_lives_in_it,
    what_is_being_taken_away_is_nobodys_any_more,
    a_changed_program_makes_a_new_one,
    every_user_may_enter_it_whatever_the_umask,
    a_cache_that_can_not_be_written_is_told,
    a_cache_that_somebody_keeps_locked_is_waited_for_with_an_end_and_a_word,
    an_ordinary_users_cache_is_their_own,
    a_root_that_can_not_be_opened_is_told,
    with_a_root_directory_of_your_own_none_is_made,
);

/// A cache of its own.
struct Cache(tempfile::TempDir);

impl Cache {
    fn empty() -> Cache {
        needs::root();
        Cache(tempfile::tempdir().expect("a directory"))
    }

    fn step(&self, name: &str) -> Step {
        let mut step = Step::new(name);
        step.command().env("XDG_CACHE_HOME", self.0.path());
        step
    }

    fn directory(&self) -> PathBuf {
        self.0.path().join("container-workshop")
    }

    /// What is in it, but for the lock that makers take.
    fn roots(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.directory()).expect("the cache");
        let names = entries.flatten().map(|entry| entry.file_name());
        let mut names: BTreeSet<_> =
            names.map(|name| name.to_string_lossy().into_owned()).collect();
        names.remove("lock");
        names
    }

    fn only_root(&self) -> String {
        let roots: Vec<_> = self.roots().into_iter().collect();
        let [root] = &roots[..] else { panic!("{roots:?}") };
        assert!(root.starts_with("root."), "{root}");
        root.clone()
    }
}

fn static_busybox() -> PathBuf {
    let busybox = needs::command("busybox");
    let works = Command::new("ldd").arg(&busybox).output();
    if works.is_ok_and(|ldd| ldd.status.success()) {
        skip("needs a static busybox");
    }
    busybox
}

/// In a private copy of the mounts, something without use lies over busybox.
fn without_busybox(step: Step) -> Step {
    step.in_shell(
        r#"exec unshare --mount bash -c '
            for program in $(type -ap busybox busybox.static) \
                {/usr,}/{s,}bin/busybox{,.static}; do
                [[ ! -f $program ]] || mount --bind /dev/null "$program"
            done; exec "$@"' bash "$@""#,
    )
}

fn a_static_busybox_is_all_it_needs() {
    let cache = Cache::empty();
    let busybox = fs::read(static_busybox()).expect("read busybox");
    let mut container = cache
        .step("04-mount-namespace")
        .sh("ls / >/dev/null && ps >/dev/null && grep -q root /etc/passwd && echo ready; read x")
        .start();
    assert_eq!(container.line(), "ready");
    let exe = fs::read(format!("/proc/{}/exe", container.pid())).expect("exe");
    assert!(exe == busybox, "the shell is not the host's busybox");
    cache.only_root();
}

/// The tools of the host that every container shall have.
const TOOLS: [&str; 14] = [
    "sh", "ls", "ps", "cat", "grep", "sed", "id", "env", "mount", "sleep",
    "stat", "head", "mkdir", "chmod",
];

fn without_busybox_it_has_the_hosts_own_tools() {
    let cache = Cache::empty();
    let word = token();
    let inside = format!(
        "for tool in {}; do p=$(command -v $tool) || exit 9; $tool --version </dev/null \
         >/dev/null 2>&1; [ $? -lt 126 ] || exit 8; done; \
         ls -d /root && ps -o pid,comm && id -u && echo {word} | sed s/^/x/ | grep x; read x",
        TOOLS.join(" ")
    );
    let at_work = cache.step("04-mount-namespace").sh(&inside);
    let mut container = without_busybox(at_work).start();
    let mut lines = Vec::new();
    while lines.last() != Some(&format!("x{word}")) {
        lines.push(container.line());
        assert!(lines.len() < 20 && lines[0] == "/root", "{lines:?}");
    }
    assert!(lines.contains(&"0".to_owned()), "{lines:?}");
    let exe = proc::exe(container.pid()).expect("exe");
    assert!(!exe.ends_with("busybox"), "{exe:?}");
    let shell = fs::canonicalize("/bin/sh").expect("a shell");
    let same = fs::read(format!("/proc/{}/exe", container.pid())).expect("exe")
        == fs::read(shell).expect("the host's");
    assert!(same, "the shell is not the host's");
}

/// ldd executes what it is asked about.
fn nobody_asks_ldd() {
    let cache = Cache::empty();
    let strace = needs::tracer();
    let log = tempfile::NamedTempFile::new().expect("a file");
    for hidden in [false, true] {
        let script = format!(
            "exec {} -f -qq -e trace=execve -o {} \"$@\"",
            strace.display(),
            log.path().display()
        );
        let traced = cache.step("01-chroot").args(["true"]).in_shell(&script);
        let traced = if hidden { without_busybox(traced) } else { traced };
        let output = traced.output();
        assert!(output.status.success(), "{output:?}");
        let log = fs::read_to_string(log.path()).expect("the log");
        let executed: Vec<_> = log
            .lines()
            .filter(|line| line.contains("execve(") && line.ends_with("= 0"))
            .filter_map(|line| line.split('"').nth(1))
            .collect();
        assert!(executed[0].ends_with("01-chroot"), "{executed:?}");
        assert!(
            executed.last().is_some_and(|e| e.ends_with("/true")),
            "{executed:?}"
        );
        // In between at most busybox, which is asked for its list.
        for program in &executed[1..executed.len() - 1] {
            assert!(!hidden && program.contains("busybox"), "{executed:?}");
        }
    }
}

/// Of the processor's time: what others do meanwhile does not count.
fn it_is_made_in_less_than_a_second() {
    let limit = testbed::slowness();
    for hidden in [false, true] {
        let cache = Cache::empty();
        let script = r#"TIMEFORMAT='%U %S'; time "$@""#;
        let step = cache.step("01-chroot").args(["true"]).in_shell(script);
        let step = if hidden { without_busybox(step) } else { step };
        let output = step.output();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let seconds = |word: &str| word.parse::<f64>().expect("seconds");
        let sum: f64 = text.split_whitespace().map(seconds).sum();
        assert!(output.status.success() && sum < limit, "{hidden}: {output:?}");
        cache.only_root();
    }
}

fn eight_at_once_make_one() {
    for hidden in [false, true] {
        let cache = Cache::empty();
        let inside = "test -d /tmp && ls / | sort | tr '\\n' ' '";
        let start = || {
            let step = cache.step("01-chroot").sh(inside);
            let mut step = if hidden { without_busybox(step) } else { step };
            let command =
                step.command().stdin(Stdio::null()).stdout(Stdio::piped());
            command.spawn().expect("start")
        };
        let makers: Vec<_> = (0..8).map(|_| start()).collect();
        for maker in makers {
            let output = maker.wait_with_output().expect("wait");
            assert!(output.status.success(), "{output:?}");
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                listed.contains("bin ") && listed.contains("var"),
                "{listed}"
            );
        }
        cache.only_root();
    }
}

fn what_a_killed_maker_left_goes_away() {
    let cache = Cache::empty();
    let strace = needs::tracer();
    // Complete, and not yet renamed: the worst moment.
    let script = format!(
        "exec {} -qq -o /dev/null -e inject=/^rename.*:signal=KILL:when=1 \"$@\"",
        strace.display()
    );
    let killed =
        cache.step("01-chroot").args(["true"]).in_shell(&script).output();
    assert!(!killed.status.success(), "{killed:?}");
    let left = cache.roots();
    assert_eq!(left.len(), 1, "{left:?}");
    assert!(left.iter().all(|name| name.starts_with("new-")), "{left:?}");
    assert_eq!(
        cache.step("01-chroot").args(["true"]).output().status.code(),
        Some(0)
    );
    cache.only_root();
}

fn an_older_one_goes_away_unless_somebody_lives_in_it() {
    let cache = Cache::empty();
    static_busybox();
    let own = cache.step("01-chroot").start_waiting();
    let first = cache.only_root();
    // Another recipe: without busybox.
    let run = |hidden: bool| {
        let step = cache.step("01-chroot").args(["true"]);
        let step = if hidden { without_busybox(step) } else { step };
        assert_eq!(step.output().status.code(), Some(0));
    };
    run(true);
    let both = cache.roots();
    assert!(both.contains(&first) && both.len() == 2, "{both:?}");
    drop(own);
    fs::remove_dir_all(
        cache.directory().join(
            both.iter().find(|name| **name != first).expect("the second"),
        ),
    )
    .expect("remove");
    run(true);
    assert_ne!(cache.only_root(), first, "nobody lives in the first any more");
    run(false);
    assert_eq!(cache.only_root(), first);
}

/// Whoever got the lock of a root directory that is half gone would start
/// without its commands.
fn what_is_being_taken_away_is_nobodys_any_more() {
    let cache = Cache::empty();
    assert!(cache.step("01-chroot").args(["true"]).output().status.success());
    let root = cache.only_root();
    let (family, _) = root.split_once('.').expect("a version");
    let old = cache.directory().join(format!("{family}.0"));
    fs::create_dir(&old).expect("mkdir");
    for file in 0..20_000 {
        fs::write(old.join(format!("f{file}")), "").expect("write");
    }
    let directory = File::open(&old).expect("open");
    fs::remove_dir_all(cache.directory().join(root)).expect("remove");
    let mut step = cache.step("01-chroot").args(["true"]);
    let mut maker = step.command().spawn().expect("start the step");
    let is_half_gone =
        || !old.join("f0").exists() || !old.join("f19999").exists();
    while old.exists() && !is_half_gone() {}
    let lock = Flock::lock(directory, FlockArg::LockSharedNonblock);
    let still_there = old.exists();
    assert!(lock.is_err() || !still_there, "half of it is gone");
    assert!(maker.wait().expect("wait").success());
    assert!(!old.exists());
}

fn a_changed_program_makes_a_new_one() {
    let cache = Cache::empty();
    let directory = tempfile::tempdir().expect("a directory");
    // The programs that attack lie beside the step's.
    let step = directory.path().join("01-chroot");
    fs::copy(testbed::binary("01-chroot"), &step).expect("copy");
    let run = || {
        let mut command = Command::new(&step);
        command.args(["-q", "--", "sh", "-c", "cat /bin/attack; true"]);
        command.env("XDG_CACHE_HOME", cache.0.path()).stdin(Stdio::null());
        let output = command.output().expect("run");
        assert!(output.status.success(), "{output:?}");
        (cache.only_root(), output.stdout)
    };
    let (first, _) = run();
    assert_eq!(run().0, first);
    let companion = directory.path().join("attack");
    fs::copy(testbed::binary("01-chroot"), &companion).expect("copy");
    let (second, attack) = run();
    assert_ne!(second, first);
    assert!(attack == fs::read(&companion).expect("read"));
}

fn every_user_may_enter_it_whatever_the_umask() {
    let cache = Cache::empty();
    let step = cache.step("01-chroot").args(["true"]);
    let output = step.in_shell(r#"umask 077; exec "$@""#).output();
    assert!(output.status.success(), "{output:?}");
    let root = cache.directory().join(cache.only_root());
    let mode = |name: &str| {
        fs::metadata(root.join(name)).expect(name).permissions().mode() & 0o7777
    };
    for name in ["", "usr", "usr/bin", "etc", "dev", "proc"] {
        assert_eq!(mode(name), 0o755, "{name}");
    }
    assert_eq!(mode("etc/passwd"), 0o644);
    assert_eq!(mode("tmp"), 0o1777);
}

/// Judges the one line that a step says when it can't make a root directory.
fn refuses(step: Step, parts: &[&str]) {
    let output = step.args(["true"]).output();
    let line = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{line}");
    assert_eq!(line.matches('\n').count(), 1, "{line}");
    for part in parts {
        assert!(line.contains(part), "no {part:?} in {line}");
    }
}

fn a_cache_that_can_not_be_written_is_told() {
    let cache = Cache::empty();
    let way_out = ["XDG_CACHE_HOME", "--rootfs", "container-workshop"];
    let at = |place: &Path| {
        let mut step = Step::new("01-chroot");
        step.command().env("XDG_CACHE_HOME", place);
        step
    };
    let file = cache.0.path().join("file");
    fs::write(&file, "").expect("write");
    refuses(at(&file), &[&way_out[..], &["ENOTDIR"]].concat());
    let read_only = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs -o ro x {} && exec "$@"' bash "$@""#,
        cache.0.path().display()
    );
    let step = at(cache.0.path()).in_shell(&read_only);
    refuses(step, &[&way_out[..], &["EROFS"]].concat());
    let full = format!(
        r#"exec unshare --mount bash -c 'mount -t tmpfs -o size=64k x {} && exec "$@"' bash "$@""#,
        cache.0.path().display()
    );
    let step = at(cache.0.path()).in_shell(&full);
    refuses(step, &[&way_out[..], &["ENOSPC"]].concat());
}

fn an_ordinary_users_cache_is_their_own() {
    let home = tempfile::tempdir().expect("a directory");
    let mut step = Step::new("01-chroot").as_somebody(home.path());
    step.command().env_remove("XDG_CACHE_HOME").env_remove("HOME");
    refuses(step, &["HOME", "XDG_CACHE_HOME"]);
    let mut step = Step::new("01-chroot").as_somebody(home.path());
    step.command().env("XDG_CACHE_HOME", "/var");
    refuses(step, &["EACCES", "XDG_CACHE_HOME", "--rootfs"]);
    let mut step = Step::new("01-chroot").as_somebody(home.path());
    step.command().env_remove("XDG_CACHE_HOME").env("HOME", home.path());
    refuses(step, &["EPERM"]);
    let cache = home.path().join(".cache/container-workshop");
    assert!(cache.join("lock").is_file(), "{cache:?}");
}

fn a_root_that_can_not_be_opened_is_told() {
    needs::root();
    let home = tempfile::tempdir().expect("a directory");
    // Fails for want of privilege, after it has made the directory.
    refuses(Step::new("01-chroot").as_somebody(home.path()), &["EPERM"]);
    let cache = Cache(home);
    let root = cache.directory().join(cache.only_root());
    let allow = |mode| {
        fs::set_permissions(&root, fs::Permissions::from_mode(mode))
            .expect("chmod");
    };
    allow(0o000);
    refuses(Step::new("01-chroot").as_somebody(cache.0.path()), &["EACCES"]);
    allow(0o755);
}

fn with_a_root_directory_of_your_own_none_is_made() {
    let cache = Cache::empty();
    let root = tempfile::tempdir().expect("a directory");
    testbed::copy_default_root(root.path());
    let step = cache.step("01-chroot").arg("--rootfs", &root).args(["true"]);
    assert_eq!(step.output().status.code(), Some(0));
    assert!(!cache.directory().exists());
}

/// Any user may lock what everybody may read.
fn a_cache_that_somebody_keeps_locked_is_waited_for_with_an_end_and_a_word() {
    let cache = Cache::empty();
    let lock = |path: &Path| {
        let file = fs::File::open(path).expect("open");
        Flock::lock(file, FlockArg::LockExclusive).expect("flock")
    };
    let telling = || {
        let mut step = Step::telling("01-chroot").args(["true"]);
        step.command().env("XDG_CACHE_HOME", cache.0.path());
        step
    };
    let waits = || {
        let mut waiting = telling().in_shell(r#"exec "$@" 2>&1"#).start();
        while !waiting.line().contains("waiting: another process") {}
        waiting.signal(Signal::SIGTERM);
        assert_eq!(waiting.ended(), 143);
    };
    fs::create_dir(cache.directory()).expect("mkdir");
    let file = cache.directory().join("lock");
    fs::write(&file, "").expect("write");
    let kept = lock(&file);
    waits();
    drop(kept);
    assert!(telling().output().status.success());
    let kept = lock(&cache.directory().join(cache.only_root()));
    waits();
    let output = telling().output();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(125), "{told}");
    for word in ["flock(", "EAGAIN", "lslocks"] {
        assert!(told.contains(word), "{told}");
    }
    drop(kept);
    assert!(telling().output().status.success());
}
