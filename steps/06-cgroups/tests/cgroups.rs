#![forbid(unsafe_code)]
//! Claims of step 06, judged from outside.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use nix::sys::signal::Signal;
use testbed::watch::{
    Watch, cgroups_named, cgroups_of, strike_before_any_call,
};
use testbed::{Running, Step, eventually, needs, proc, skip, stand_in, token};

testbed::main!(
    the_limits_stand_in_the_containers_own_cgroup,
    the_process_is_in_its_cgroup_before_its_first_instruction,
    a_container_sees_its_own_cgroup_as_the_root,
    limits_can_be_looked_at_inside_and_not_changed,
    the_watcher_shows_the_limits_and_what_is_used,
    a_memory_hog_ends_its_whole_container,
    a_memory_hog_below_the_limit_is_left_alone,
    memory_that_runs_out_before_the_command_is_told_as_such,
    a_fork_bomb_is_bounded,
    a_limit_of_one_process_leaves_no_room_for_an_init,
    a_processor_hog_gets_its_share_and_no_more,
    a_limit_touches_no_other_container,
    a_container_that_is_being_made_keeps_no_other_waiting,
    a_cgroup_that_is_not_locked_yet_is_swept_away_by_nobody,
    a_lock_that_somebody_keeps_is_waited_for_with_an_end_and_a_word,
    runtimes_of_one_number_in_two_pid_namespaces_share_a_tree,
    in_a_container_it_starts_without_a_cgroup_and_refuses_a_limit,
    many_at_once_leave_nothing,
    nothing_is_left_after_success_error_and_signals,
    nothing_is_left_after_sigint_before_any_call,
    nothing_is_left_after_sigterm_before_any_call,
    a_killed_runtime_leaves_at_most_what_the_next_one_removes,
    an_ordinary_user_gets_a_part_of_the_tree_from_systemd,
    what_was_typed_is_not_for_systemd_run_to_read,
    a_limit_of_cgroup_namespaces_is_named,
    without_limits_no_cgroup_is_needed,
    limits_without_a_cgroup_of_ones_own_are_refused_with_a_way_out,
    bad_input_is_told_in_one_line,
);

const STEP: &str = "06-cgroups";
/// All three limits; the numbers are made to be recognised.
const ALL: [&str; 6] =
    ["--memory", "77m", "--cpus", "0.31", "--pids-limit", "37"];
const HOG: &str = "tail /dev/zero";

/// Where no cgroup is ours to make, limits can't be judged. Root of the
/// machine has no such excuse, and no other error is one.
fn needs_cgroups() {
    let output = Step::new(STEP).args(["-m", "64m", "true"]).output();
    let told = error(&output);
    let lacks = ["not ours to change", "none is mounted", "not delegated"]
        .iter()
        .any(|reason| told.contains(reason));
    let is_root = needs::is_root() && needs::in_first_user_namespace();
    if lacks && !is_root {
        skip("needs a cgroup of its own");
    }
    assert!(output.status.success(), "{told}");
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("a file of the cgroup").trim().to_owned()
}

/// A file of a container's cgroup: by its name in v2, or that in v1.
fn file(runtime: i32, v2: &str, v1: &str) -> PathBuf {
    let directories = cgroups_of(runtime);
    let mut files = directories
        .iter()
        .flat_map(|directory| [directory.join(v2), directory.join(v1)]);
    files.find(|file| file.is_file()).unwrap_or_else(|| panic!("{v2} or {v1}"))
}

fn memory_limit(runtime: i32) -> String {
    read(file(runtime, "memory.max", "memory.limit_in_bytes"))
}

fn the_limits_stand_in_the_containers_own_cgroup() {
    needs_cgroups();
    let container = Step::new(STEP).args(ALL).start_waiting();
    let runtime = container.runtime();
    assert_eq!(memory_limit(runtime), (77 << 20).to_string());
    // Where the kernel accounts it: no swap, said as such or as a sum.
    let memory = file(runtime, "memory.max", "memory.limit_in_bytes");
    for (swap, limit) in
        [("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", 77 << 20)]
    {
        let swap = memory.with_file_name(swap);
        assert!(!swap.exists() || read(&swap) == limit.to_string(), "{swap:?}");
    }
    assert_eq!(read(file(runtime, "pids.max", "pids.max")), "37");
    let quota = file(runtime, "cpu.max", "cpu.cfs_quota_us");
    let numbers = read(&quota);
    let numbers = match quota.ends_with("cpu.max") {
        true => numbers,
        false => {
            let period = quota.with_file_name("cpu.cfs_period_us");
            format!("{numbers} {}", read(period))
        }
    };
    assert_eq!(numbers, "31000 100000");
    for directory in cgroups_of(runtime) {
        let here = read(directory.join("cgroup.procs"));
        assert_eq!(here, container.pid().to_string(), "{directory:?}");
    }
    let (status, _) = container.finish();
    assert_eq!(status, 1, "of `read` without a line");
    assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0]);
}

/// It is looked at while its last call before the command has not been made.
fn the_process_is_in_its_cgroup_before_its_first_instruction() {
    needs_cgroups();
    let step = Step::telling_all(STEP).args(ALL).args(["--pause", "true"]);
    let mut terminal = step.on_terminal();
    // An ordinary user's runtime first becomes systemd-run, by an execve too:
    // that is the host's.
    let is_the_commands = |told: String| {
        told.lines()
            .any(|line| line.contains("inside") && line.contains("execve("))
    };
    while !is_the_commands(terminal.shows("⏎")) {
        terminal.types("\n");
    }
    let child = proc::children(terminal.pid())[0];
    let directories = cgroups_of(terminal.pid());
    assert!(!directories.is_empty());
    for directory in directories {
        assert_eq!(read(directory.join("cgroup.procs")), child.to_string());
    }
    terminal.types("\n");
    assert_eq!(terminal.finish().0, 0);
}

fn a_container_sees_its_own_cgroup_as_the_root() {
    needs_cgroups();
    let mut container =
        Step::new(STEP).args(ALL).sh("cat /proc/self/cgroup; read x").start();
    let count = fs::read_to_string("/proc/self/cgroup").expect("read");
    let lines: Vec<_> = count.lines().map(|_| container.line()).collect();
    let controllers: &[&str] = match cgroups_of(container.runtime()).len() {
        1 => &[""],
        _ => &["memory", "cpu", "pids"],
    };
    assert_ne!(
        proc::namespace(container.pid(), "cgroup"),
        proc::own_namespace("cgroup")
    );
    for controller in controllers {
        let ours = |line: &&String| {
            let field = line.split(':').nth(1).expect("a second field");
            field.split(',').any(|name| name == *controller)
        };
        let line = lines.iter().find(ours).expect("a line for it");
        assert!(line.ends_with(":/"), "{lines:?}");
    }
}

fn limits_can_be_looked_at_inside_and_not_changed() {
    needs_cgroups();
    let script = "cd /sys/fs/cgroup; cat memory.max \
        memory/memory.limit_in_bytes 2>/dev/null; \
        for f in $(find . -type f); do (echo 99999999 > $f) 2>/dev/null && \
        echo changed $f; done; for d in $(find . -type d) /sys; do \
        mkdir $d/x 2>/dev/null && echo made $d/x; \
        (: > $d/y) 2>/dev/null && echo wrote $d/y; done; true";
    let step = Step::new(STEP).args(ALL);
    assert_eq!(step.sh(script).stdout(), (77 << 20).to_string());
}

fn the_watcher_shows_the_limits_and_what_is_used() {
    needs_cgroups();
    let container = Step::new(STEP).args(ALL).start_waiting();
    let watcher = Step::script("watch-cgroup.sh").args(["--once"]);
    let shown = watcher.args([container.pid().to_string()]).stdout();
    for part in [
        " of 77.0MiB\n",
        "OOM kills: 0\n",
        " of 0.31 CPUs\n",
        "throttled: ",
        "   2% 1 of 37\n",
        "refused forks: 0",
    ] {
        assert!(shown.contains(part), "no {part:?}: {shown}");
    }
    container.finish();
}

/// What is left of a container must be ended, for it stays by itself.
fn hogs() -> [(&'static str, Option<&'static str>); 5] {
    let survivor = "tail /dev/zero; echo survived; sleep 1000";
    [
        (HOG, None),
        (survivor, None),
        (survivor, Some("--init")),
        ("tail /dev/zero & wait; echo survived; sleep 1000", None),
        ("dd if=/dev/zero of=/dev/shm/x bs=1M count=60; sleep 1000", None),
    ]
}

/// On v1 the kernel ends one process, and the runtime, as soon as it hears of
/// it, the others: time enough for a last word.
fn a_memory_hog_ends_its_whole_container() {
    needs_cgroups();
    let one = Step::new(STEP).start_waiting();
    let is_v2 = cgroups_of(one.runtime()).len() == 1;
    for (script, init) in hogs() {
        let watch = Watch::begin();
        let step = watch.over(Step::new(STEP)).args(["-m", "24M"]);
        let step = step.args(init).sh(script).in_shell(r#"exec "$@" 2>&1"#);
        let (status, told) = step.start().finish();
        assert_eq!(status, 137, "{script}: {told}");
        let expected = "the container reached its memory limit of 24M; \
                        exit 137\n";
        assert!(told.ends_with(expected), "{script}: {told}");
        if is_v2 {
            assert_eq!(told.lines().count(), 1, "{script}: {told}");
        }
        watch.assert_nothing_left(script);
    }
}

fn a_memory_hog_below_the_limit_is_left_alone() {
    needs_cgroups();
    let word = token();
    let script = format!(
        "dd if=/dev/zero of=/dev/shm/x bs=1M count=20 2>/dev/null; echo {word}"
    );
    let step = Step::new(STEP).args(["-m", "64m"]);
    assert_eq!(step.sh(&script).stdout(), word);
}

/// The limit is lowered, behind its back, below what the first process needs.
fn memory_that_runs_out_before_the_command_is_told_as_such() {
    needs_cgroups();
    needs::root();
    let step = Step::telling_all(STEP).args(["-m", "64m", "--pause", "true"]);
    let mut terminal = step.on_terminal();
    while !terminal.shows("⏎").contains("setgroups(") {
        terminal.types("\n");
    }
    let limit = file(terminal.pid(), "memory.max", "memory.limit_in_bytes");
    // What can be reclaimed is not always reclaimed at once.
    let lowers = |kib| {
        (0..10).any(|attempt| {
            std::thread::sleep(Duration::from_millis(10 * attempt));
            fs::write(&limit, format!("{kib}K")).is_ok()
        })
    };
    for kib in (0..4096).rev().step_by(4) {
        if !lowers(kib) {
            break;
        }
    }
    terminal.types("\n");
    let mut told = String::new();
    while let Some(text) = terminal.shows_or_ends("⏎") {
        told += &text;
        terminal.types("\n");
    }
    let (status, rest) = terminal.finish();
    assert_eq!(status, 137, "{told}{rest}");
    assert!(rest.contains("reached its memory limit of 64m"), "{told}{rest}");
}

fn a_fork_bomb_is_bounded() {
    needs_cgroups();
    let script = "i=0; while [ $i -lt 60 ]; do sleep 30 & i=$((i + 1)); done; \
        echo all";
    let output =
        Step::new(STEP).args(["--pids-limit", "37"]).sh(script).output();
    assert!(error(&output).contains("fork"), "{output:?}");
    assert_eq!(output.stdout, b"", "{output:?}");
    let unlimited = Step::new(STEP).sh(script).stdout();
    assert_eq!(unlimited, "all", "without a limit it forks");
    // As many as were granted, and not one more.
    let script = "i=0; while [ $i -lt 36 ]; do sleep 30 & i=$((i + 1)); done; \
        echo ready; read line; sleep 30 & echo one more";
    let mut container =
        Step::new(STEP).args(["--pids-limit", "37"]).sh(script).start();
    assert_eq!(container.line(), "ready");
    let here = file(container.runtime(), "pids.current", "pids.current");
    assert_eq!(read(&here), "37");
    let refusals = here.with_file_name("pids.events");
    assert_eq!(read(&refusals), "max 0");
    container.say("");
    assert_eq!(container.line(), "", "no line comes any more");
}

fn a_limit_of_one_process_leaves_no_room_for_an_init() {
    needs_cgroups();
    let one = || Step::new(STEP).args(["--pids-limit", "1"]);
    assert_eq!(one().args(["echo", "one"]).stdout(), "one");
    let output = one().args(["--init", "echo", "two"]).output();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    assert!(error(&output).contains("EAGAIN"), "{output:?}");
    assert!(error(&output).contains("--init"), "{output:?}");
}

/// Its own clock says how long it computed, however busy the machine is.
fn processor_seconds(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat");
    let fields: Vec<_> =
        stat.rsplit(')').next().expect("fields").split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().expect("ticks");
    (ticks(11) + ticks(12)) / 100.0
}

/// So little that one turn on a processor is more, however busy the machine is.
fn a_processor_hog_gets_its_share_and_no_more() {
    needs_cgroups();
    let limited = hog_of(Step::new(STEP).args(["--cpus", "0.02"]));
    let began = (Instant::now(), processor_seconds(limited.pid()));
    std::thread::sleep(Duration::from_secs(1));
    let statistics = file(limited.runtime(), "cpu.stat", "cpu.stat");
    eventually("a hog that is held back", || {
        let statistics = fs::read_to_string(&statistics).ok()?;
        let mut lines = statistics.lines();
        let count = lines.find_map(|it| it.strip_prefix("nr_throttled "))?;
        (count.parse::<u32>().ok()? >= 5).then_some(())
    });
    let used = processor_seconds(limited.pid()) - began.1;
    let share = used / began.0.elapsed().as_secs_f64();
    // An emulated processor comes late to take it back; a free hog takes all.
    let most = if needs::is_emulated() { 0.4 } else { 0.1 };
    assert!(share < most, "{share} of a processor");
}

fn hog_of(step: Step) -> Running {
    let mut running = step.sh("echo ready; while :; do :; done").start();
    assert_eq!(running.line(), "ready");
    running
}

fn a_limit_touches_no_other_container() {
    needs_cgroups();
    let one = Step::new(STEP).args(["-m", "48m"]).start_waiting();
    let other = Step::new(STEP).args(["-m", "96m"]).start_waiting();
    // Nobody's that we know, and empty: whoever sweeps leaves it alone.
    let of_others = cgroups_of(one.runtime())[0].with_file_name(token());
    fs::create_dir(&of_others).expect("mkdir");
    let hog = Step::new(STEP).args(["-m", "24m"]).sh(HOG).output();
    assert_eq!(hog.status.code(), Some(137));
    fs::remove_dir(&of_others).expect("it is still there");
    for (container, mib) in [(&one, 48), (&other, 96)] {
        let limit = memory_limit(container.runtime());
        assert_eq!(limit, (mib << 20).to_string());
        assert!(proc::runs(container.pid()));
    }
    let runtime = one.runtime();
    let _ = one.finish();
    assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0]);
    assert!(!cgroups_of(other.runtime()).is_empty());
}

/// Its cgroup is there and empty: whoever sweeps now must leave it alone. Who
/// had to wait for it would wait for ever: it is paused.
fn a_container_that_is_being_made_keeps_no_other_waiting() {
    needs_cgroups();
    let word = token();
    let step = Step::telling_all(STEP).args(["-m", "64m", "--pause"]);
    let mut terminal = step.args(["echo", &word]).on_terminal();
    while cgroups_of(terminal.pid()).is_empty() {
        terminal.shows("⏎");
        terminal.types("\n");
        terminal.shows("⏎");
        terminal.types("\n");
    }
    let there = cgroups_of(terminal.pid());
    assert_eq!(read(there[0].join("cgroup.procs")), "");
    for _ in 0..3 {
        let begin = Instant::now();
        let other = Step::new(STEP).args(["-m", "64m", "true"]).output();
        assert!(other.status.success(), "{other:?}");
        assert!(begin.elapsed() < testbed::patience());
    }
    assert_eq!(cgroups_of(terminal.pid()), there);
    terminal.types("\n");
    while terminal.shows_or_ends("⏎").is_some() {
        terminal.types("\n");
    }
    let (status, screen) = terminal.finish();
    assert_eq!(status, 0, "{screen}");
}

/// The first runtime is slow to lock what it has made.
fn a_cgroup_that_is_not_locked_yet_is_swept_away_by_nobody() {
    needs_cgroups();
    let slow = format!(
        "exec {} -qq -o /dev/null -e inject=flock:delay_enter=200000 \"$@\"",
        needs::tracer().display()
    );
    let limited = || Step::new(STEP).args(["-m", "64m", "true"]);
    let mut first = limited().in_shell(&slow).start();
    while proc::runs(first.runtime()) {
        let other = limited().output();
        assert!(other.status.success(), "{other:?}");
    }
    assert_eq!(first.ended(), 0);
}

/// Whoever may read a file may lock it.
fn a_lock_that_somebody_keeps_is_waited_for_with_an_end_and_a_word() {
    needs::real_processor();
    needs_cgroups();
    let one = Step::new(STEP).args(["-m", "64m"]).start_waiting();
    let parent =
        cgroups_of(one.runtime())[0].parent().expect("a parent").to_owned();
    if !needs::is_root() && parent.to_string_lossy().ends_with(".scope") {
        skip("each container has a scope of its own here, from systemd");
    }
    // What is locked for life is another file, as in a container's own cgroup.
    let open = |path: &Path| fs::File::open(path).expect("open");
    let lock = |file, how| Flock::lock(file, how).expect("flock");
    let shared = lock(open(&parent), FlockArg::LockShared);
    let limited = || Step::telling_all(STEP).args(["-m", "64m", "true"]);
    assert!(limited().output().status.success());
    drop(shared);

    let kept =
        lock(open(&parent.join("cgroup.procs")), FlockArg::LockExclusive);
    let begin = Instant::now();
    let output = limited().output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    assert!(begin.elapsed() >= Duration::from_secs(9), "{told}");
    for word in ["waiting: another process", "EAGAIN", "lslocks"] {
        assert!(told.contains(word), "{told}");
    }
    let mut waiting = limited().in_shell(r#"exec "$@" 2>&1"#).start();
    while !waiting.line().contains("waiting: another process") {}
    waiting.signal(Signal::SIGTERM);
    assert_eq!(waiting.ended(), 143);
    drop(kept);
    assert!(limited().output().status.success());
}

/// Both are number 1 there, and see the same tree.
fn runtimes_of_one_number_in_two_pid_namespaces_share_a_tree() {
    needs::root();
    needs_cgroups();
    let new = "exec unshare --pid --fork --kill-child --mount-proc -- \"$@\"";
    let script = "echo ready; read line";
    let start = |_| {
        let step = Step::new(STEP).args(ALL).sh(script).in_shell(new);
        let mut running = step.start();
        assert_eq!(running.line(), "ready");
        running
    };
    let before = cgroups_named("container-1").len();
    let all: Vec<Running> = (0..3).map(start).collect();
    // Somebody else may be a number 1, too.
    let numbers = (2..6).map(|n| cgroups_named(&format!("container-1-{n}")));
    let others: usize = numbers.map(|found| found.len()).sum();
    let trees = cgroups_named("container-1").len().max(1);
    assert!(before > 0 || others >= 2 * trees, "{others} of {trees} trees");
    all.into_iter().for_each(|running| drop(running.finish()));
}

fn in_a_container_it_starts_without_a_cgroup_and_refuses_a_limit() {
    needs_cgroups();
    // Where root inside may go: not every checkout is such a place.
    let place = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(&place, open).expect("chmod");
    fs::copy(testbed::binary(STEP), place.path().join(STEP)).expect("copy");
    let programs = place.path().display();
    let inner = |options: &str| {
        let command = format!("exec /b/{STEP} {options} 2>&1");
        let volume = format!("{programs}:/b:ro");
        let outer = Step::new(STEP).args(["-m", "200m", "-v", &volume]);
        outer.sh(&command).output()
    };
    let word = token();
    let output = inner(&format!("echo {word}"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.ends_with(&format!("{word}\n")), "{told}");
    assert!(told.contains("without a cgroup: mkdir("), "{told}");
    for limit in ["-m 64m", "--pids-limit 20", "--cpus 0.5"] {
        let output = inner(&format!("-q {limit} true"));
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        for part in ["EROFS", "inside a container", "whoever starts"] {
            assert!(told.contains(part), "{told}");
        }
    }
}

fn many_at_once_leave_nothing() {
    needs_cgroups();
    let watch = Watch::begin();
    let start = |_| watch.over(Step::new(STEP)).args(ALL).start_waiting();
    let running: Vec<Running> = (0..16).map(start).collect();
    let runtimes: Vec<i32> = running.iter().map(Running::runtime).collect();
    for container in &running {
        assert_eq!(memory_limit(container.runtime()), (77 << 20).to_string());
    }
    drop(running.into_iter().map(Running::finish).collect::<Vec<_>>());
    for runtime in runtimes {
        assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0]);
    }
    watch.assert_nothing_left("16 at once");
}

fn nothing_is_left_after_success_error_and_signals() {
    needs_cgroups();
    for (signal, status) in [
        (None, 9),
        (Some(Signal::SIGINT), 130),
        (Some(Signal::SIGTERM), 143),
        (Some(Signal::SIGHUP), 129),
    ] {
        let watch = Watch::begin();
        let step = watch.over(Step::new(STEP)).args(ALL).args(["--init"]);
        let mut container = step.sh("echo ready; read x; exit 9").start();
        assert_eq!(container.line(), "ready");
        let runtime = container.runtime();
        assert!(!cgroups_of(runtime).is_empty());
        match signal {
            Some(signal) => container.signal(signal),
            None => container.say(""),
        }
        assert_eq!(container.ended(), status);
        assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0], "{signal:?}");
        watch.assert_nothing_left(&format!("{signal:?}"));
    }
    let watch = Watch::begin();
    let step = watch.over(Step::new(STEP)).args(ALL);
    let mut container = step.args([token()]).start();
    let runtime = container.runtime();
    assert_eq!(container.ended(), 127);
    assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0]);
    watch.assert_nothing_left("a command that is not there");
}

fn paused(watch: &Watch, limits: &[&str]) -> Step {
    let step = watch.over(Step::telling_all(STEP)).args(limits);
    step.args(["--pause", "true"])
}

fn nothing_is_left_after_sigint_before_any_call() {
    struck(Signal::SIGINT, 130);
}

fn nothing_is_left_after_sigterm_before_any_call() {
    struck(Signal::SIGTERM, 143);
}

fn struck(signal: Signal, expected: i32) {
    needs_cgroups();
    let watch = Watch::begin();
    for (limits, least) in [(&ALL[..], 35), (&[], 30)] {
        let points = strike_before_any_call(
            || paused(&watch, limits),
            |terminal| terminal.signal(signal),
            |runtime, status, screen| {
                assert_eq!(status, expected, "{screen}");
                assert_eq!(cgroups_of(runtime), [] as [PathBuf; 0], "{screen}");
                watch.assert_nothing_left(&screen);
            },
        );
        assert!(points > least, "{points} points only");
    }
}

fn a_killed_runtime_leaves_at_most_what_the_next_one_removes() {
    needs_cgroups();
    let watch = Watch::begin();
    let left = std::cell::RefCell::new(vec![]);
    let points = strike_before_any_call(
        || paused(&watch, &ALL),
        |terminal| terminal.signal(Signal::SIGKILL),
        |runtime, status, screen| {
            assert_eq!(status, 137, "{screen}");
            watch.assert_nothing_left(&screen);
            for cgroup in cgroups_of(runtime) {
                eventually("an empty cgroup", || {
                    let here = fs::read_to_string(cgroup.join("cgroup.procs"));
                    // Somebody else's next run may have been faster.
                    here.map_or(true, |pids| pids.is_empty()).then_some(())
                });
                left.borrow_mut().push(runtime);
            }
        },
    );
    assert!(points > 35, "{points} points only");
    // Of some kills only, perhaps none has.
    let some = !left.borrow().is_empty() || needs::is_emulated();
    assert!(some, "no kill has left a cgroup");
    eventually("a next run that removes them", || {
        let next = Step::new(STEP).args(ALL).args(["true"]).output();
        assert!(next.status.success(), "{next:?}");
        let all_gone =
            left.borrow().iter().all(|&it| cgroups_of(it).is_empty());
        all_gone.then_some(())
    });
}

fn an_ordinary_user_gets_a_part_of_the_tree_from_systemd() {
    needs::ordinary_user();
    let uid = nix::unistd::getuid().as_raw();
    if !Path::new(&format!("/run/user/{uid}/bus")).exists() {
        skip("needs a user's own systemd, as in the lab");
    }
    let ours = read("/proc/self/cgroup");
    let container = Step::new(STEP).args(ALL).start_waiting();
    let all = cgroups_of(container.runtime());
    let [own] = &all[..] else { panic!("one tree: {all:?}") };
    let is_scope = |it: &&Path| it.extension().is_some_and(|e| e == "scope");
    let scope = own.ancestors().find(is_scope).expect("a scope").to_owned();
    let text = scope.display().to_string();
    assert!(text.contains(&format!("/user@{uid}.service/")), "{text}");
    assert!(!ours.contains(&*scope.file_name().unwrap().to_string_lossy()));
    assert_eq!(fs::metadata(&scope).expect("the scope").uid(), uid);
    let there = read(own.join("cgroup.controllers"));
    for controller in ["memory", "cpu", "pids"] {
        assert!(there.split(' ').any(|it| it == controller), "{there}");
    }
    let _ = container.finish();
    eventually("the end of the scope", || (!scope.exists()).then_some(()));
}

/// By an ordinary user on a host whose controllers are in one tree, with a
/// systemd to ask for a part of it: made up, for a mount namespace.
fn what_was_typed_is_not_for_systemd_run_to_read() {
    needs::root();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read");
    let tree = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let Some(tree) = tree.and_then(|line| line.split(' ').nth(4)) else {
        skip("needs a cgroup2 tree");
    };
    let words = ["echo $HOME", "$HOME", "$$", "${x}", "a  b"];
    for knows in [true, false] {
        let place = tempfile::tempdir().expect("a directory");
        let file = |name: &str| place.path().join(name);
        let _bus = UnixListener::bind(file("bus")).expect("a socket");
        fs::write(file("controllers"), "cpu memory pids").expect("write");
        stand_in::systemd_run(place.path(), knows);
        for (name, mode) in [("", 0o755), ("bus", 0o777)] {
            let mode = fs::Permissions::from_mode(mode);
            fs::set_permissions(file(name), mode).expect("chmod");
        }
        let directory = place.path().display();
        let host = format!(
            "export PATH={directory}:$PATH XDG_RUNTIME_DIR={directory}
             exec unshare --mount bash -c '
             mount --bind {directory}/controllers {tree}/cgroup.controllers &&
             exec setpriv --reuid 12345 --regid 12345 --clear-groups \"$@\"' \
             bash \"$@\""
        );
        let _skips_where_nobody_can = Step::new(STEP).as_somebody(place.path());
        let step = Step::new(STEP).args(["-m", "64m"]).args(words);
        let output = step.in_shell(&host).output();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let said: Vec<_> = said.lines().collect();
        assert!(said.ends_with(&words), "{knows}: {output:?}");
    }
}

fn a_limit_of_cgroup_namespaces_is_named() {
    needs::root();
    let none = "exec unshare --user --map-root-user --mount bash -c '
        echo 0 >/proc/sys/user/max_cgroup_namespaces && exec \"$@\"' bash \"$@\"";
    let output = Step::new(STEP).args(["true"]).in_shell(none).output();
    let told = error(&output);
    assert_eq!(output.status.code(), Some(125), "{told}");
    for word in ["CLONE_NEWCGROUP", "ENOSPC", "max_*_namespaces"] {
        assert!(told.contains(word), "{told}");
    }
}

fn without_limits_no_cgroup_is_needed() {
    let word = token();
    let output = Step::telling_all(STEP).args(["echo", &word]).output();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, format!("{word}\n").as_bytes());
    let container = Step::new(STEP).start_waiting();
    if cgroups_of(container.runtime()).is_empty() {
        let story = error(&output);
        assert!(story.contains("without a cgroup"), "{story}");
    }
    assert_ne!(
        proc::namespace(container.pid(), "cgroup"),
        proc::own_namespace("cgroup")
    );
}

fn limits_without_a_cgroup_of_ones_own_are_refused_with_a_way_out() {
    let works = Step::new(STEP).args(["-m", "64m", "true"]).output();
    if works.status.success() {
        skip("needs a user who has no cgroup");
    }
    for options in [&ALL[..2], &ALL[2..4], &ALL[4..]] {
        let watch = Watch::begin();
        let step = watch.over(Step::new(STEP)).args(options);
        let output = step.args(["true"]).output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        for word in ["systemd", "./scripts/playground.sh"] {
            assert!(told.contains(word), "{told}");
        }
        watch.assert_nothing_left(&told);
    }
}

fn bad_input_is_told_in_one_line() {
    let more = std::thread::available_parallelism().expect("a number");
    let more = format!("--cpus={}.5", more.get());
    let table: &[(&str, &str)] = &[
        ("--memory=", "a number and a unit"),
        ("--memory=0", "leave the option out"),
        ("--memory=-64m", "leave the option out"),
        ("--memory=1m", "6m"),
        ("--memory=6143k", "6m"),
        ("--memory=64x", "not a unit"),
        ("--memory=m", "a number and a unit"),
        ("--memory=64 m", "a number and a unit"),
        ("--memory=1,5g", "a number and a unit"),
        ("--memory=6.m.m", "not a unit"),
        ("--memory=nan", "not a unit"),
        ("--memory=1000000g", "the machine itself has"),
        ("--memory=1e30g", "not a unit"),
        ("--cpus=", "decimal number"),
        ("--cpus=0", "leave the option out"),
        ("--cpus=0.001", "0.01"),
        ("--cpus=-1", "leave the option out"),
        ("--cpus=nan", "leave the option out"),
        ("--cpus=inf", "this machine has"),
        ("--cpus=one", "decimal number"),
        ("--cpus=50%", "decimal number"),
        (&more, "this machine has"),
        ("--cpus=100000", "this machine has"),
        ("--pids-limit=0", "1.."),
        ("--pids-limit=-1", "1.."),
        ("--pids-limit=1.5", "invalid digit"),
        ("--pids-limit=many", "invalid digit"),
        ("--pids-limit=4294967296", "4294967295"),
        ("--pids-limit=", "'--pids-limit"),
    ];
    for (option, way_out) in table {
        let watch = Watch::begin();
        let output =
            watch.over(Step::new(STEP)).args([option, "true"]).output();
        let told = error(&output);
        assert_eq!(output.status.code(), Some(125), "{option}: {told}");
        assert_eq!(told.lines().count(), 1, "{option}: {told}");
        assert!(told.contains(way_out), "{option}: {told}");
        watch.assert_nothing_left(option);
    }
}
