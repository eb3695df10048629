#![forbid(unsafe_code)]
//! Whatever ends a container, and whenever: nothing of it is left.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::signal::Signal;
use testbed::{STEPS, Step, needs, proc, token};

testbed::main!(
    nothing_is_left_after_a_success,
    nothing_is_left_after_an_error,
    nothing_is_left_after_a_signal,
    nothing_is_left_after_ctrl_c_before_any_call,
    nothing_is_left_after_sigterm_before_any_call,
    nothing_is_left_after_a_hang_up_before_any_call,
    nothing_is_left_after_sigkill_before_any_call,
    nothing_is_left_after_sigkill_at_any_system_call,
    a_child_whose_runtime_died_before_it_looked_ends,
    nothing_is_left_when_the_first_process_is_killed,
);

/// All that a container could leave behind, seen from outside, a line each.
type Left = BTreeSet<String>;

/// A place of its own for temporary files, and a mark by which processes are
/// found: what others do on this machine meanwhile does not matter.
struct Watch {
    mark: String,
    directory: tempfile::TempDir,
    before: Left,
}

impl Watch {
    fn begin() -> Watch {
        let directory = tempfile::tempdir().expect("a directory");
        let mark = token();
        let before = look(&mark, &directory);
        Watch { mark, directory, before }
    }

    /// A step whose processes carry the mark before their exec and after.
    fn over(&self, mut step: Step) -> Step {
        let directory = self.directory.path();
        step.command().env("TMPDIR", directory).env("MARK", &self.mark);
        step.args(["-e", "MARK"])
    }

    /// Fails unless all is, within a moment, as it was.
    fn assert_nothing_left(self, of: &str) {
        let mut after = look(&self.mark, &self.directory);
        let end = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while after != self.before && std::time::Instant::now() < end {
            std::thread::sleep(std::time::Duration::from_millis(1));
            after = look(&self.mark, &self.directory);
        }
        let changed: Vec<_> =
            after.symmetric_difference(&self.before).collect();
        assert!(changed.is_empty(), "{of}: {changed:#?}");
    }
}

fn look(mark: &str, directory: &tempfile::TempDir) -> Left {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").expect("a name");
    let mounts = proc::mounts(std::process::id() as i32);
    let files = fs::read_dir(directory).expect("a directory").flatten();
    let mut left = Left::from([format!("hostname {name}")]);
    left.extend(proc::marked(mark).iter().map(|pid| format!("process {pid}")));
    left.extend(mounts.iter().map(|mount| format!("{mount:?}")));
    left.extend(files.map(|file| format!("{:?}", file.path())));
    left
}

/// The default root directory is there: a kill while it is made is another
/// claim's matter.
fn begin() {
    needs::root();
    assert_eq!(
        Step::new("01-chroot").args(["true"]).output().status.code(),
        Some(0)
    );
}

fn variants(step: &'static str) -> Vec<Vec<&'static str>> {
    match step {
        "01-chroot" | "02-uts-namespace" => vec![vec![]],
        "03-pid-namespace" => vec![vec![], vec!["--init"]],
        _ => vec![
            vec![],
            vec!["--init", "--read-only", "-v", "/etc/passwd:/mnt/x:ro"],
        ],
    }
}

fn nothing_is_left_after_a_success() {
    begin();
    for step in STEPS {
        for options in variants(step) {
            let watch = Watch::begin();
            let output = watch
                .over(Step::new(step))
                .args(options)
                .args(["true"])
                .output();
            assert!(output.status.success(), "{output:?}");
            watch.assert_nothing_left(step);
        }
    }
}

fn nothing_is_left_after_an_error() {
    begin();
    for step in STEPS {
        for bad in
            [["-w", "/no/such"], ["-e", "A=b"], ["--rootfs", "/dev/null"]]
        {
            let watch = Watch::begin();
            let output =
                watch.over(Step::new(step)).args(bad).args([token()]).output();
            assert!(output.status.code() >= Some(125), "{output:?}");
            watch.assert_nothing_left(step);
        }
    }
}

fn nothing_is_left_after_a_signal() {
    begin();
    for step in STEPS {
        let init = (step >= "03").then_some("--init");
        for (signal, status) in [
            (Signal::SIGINT, 130),
            (Signal::SIGTERM, 143),
            (Signal::SIGHUP, 129),
            (Signal::SIGKILL, 137),
        ] {
            let watch = Watch::begin();
            let waits = "echo ready; read line; exit 9";
            let at_work = watch.over(Step::new(step)).args(init);
            let mut container = at_work.sh(waits).start();
            assert_eq!(container.line(), "ready");
            assert!(proc::marked(&watch.mark).len() >= 2, "the mark finds it");
            container.signal(signal);
            assert_eq!(container.ended(), status, "{step}");
            watch.assert_nothing_left(&format!("{step} after {signal}"));
        }
    }
}

/// Steps through a container's story call by call, and strikes at each.
fn strike_before_any_call(
    strike: impl Fn(&mut testbed::Terminal),
    status: i32,
) {
    begin();
    for step in STEPS {
        for options in variants(step) {
            let mut points = 0;
            while strike_at(points, step, &options, &strike, status) {
                points += 1;
            }
            let least = if step < "04" { 3 } else { 20 };
            assert!(points >= least, "{step}: {points} points only");
        }
    }
}

/// Whether there was such a point.
fn strike_at(
    point: usize,
    step: &str,
    options: &[&str],
    strike: &impl Fn(&mut testbed::Terminal),
    status: i32,
) -> bool {
    let watch = Watch::begin();
    let telling = watch.over(Step::telling(step)).args(options);
    let mut terminal = telling.args(["--pause", "true"]).on_terminal();
    for _ in 0..point {
        terminal.shows("⏎");
        terminal.types("\n");
    }
    let there = terminal.shows_or_ends("⏎").is_some();
    if there {
        strike(&mut terminal);
        let (ended, screen) = terminal.finish();
        assert_eq!(ended, status, "{step} at {point}: {screen}");
    } else {
        assert_eq!(terminal.finish().0, 0, "{step}");
    }
    watch.assert_nothing_left(&format!("{step} {options:?} at {point}"));
    there
}

fn nothing_is_left_after_ctrl_c_before_any_call() {
    strike_before_any_call(|terminal| terminal.types(b"\x03"), 130);
}

fn nothing_is_left_after_sigterm_before_any_call() {
    strike_before_any_call(|terminal| terminal.signal(Signal::SIGTERM), 143);
}

fn nothing_is_left_after_a_hang_up_before_any_call() {
    strike_before_any_call(|terminal| terminal.signal(Signal::SIGHUP), 129);
}

fn nothing_is_left_after_sigkill_before_any_call() {
    strike_before_any_call(|terminal| terminal.signal(Signal::SIGKILL), 137);
}

/// The runtime alone is traced, and killed when it enters its n-th system
/// call: no pause stands between.
fn nothing_is_left_after_sigkill_at_any_system_call() {
    begin();
    let strace = needs::tracer();
    for step in STEPS {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let trace = format!(
            "{} -qq -o {} \"$@\"",
            strace.display(),
            log.path().display()
        );
        let status =
            Step::new(step).args(["true"]).in_shell(&trace).output().status;
        assert!(status.success(), "{step}: {status}");
        let log = fs::read_to_string(log.path()).expect("the log");
        let calls: Vec<_> =
            log.lines().filter(|line| line.contains('(')).collect();
        let first = calls.iter().position(|line| line.starts_with("clone("));
        let first = first.expect("a clone(2)");
        assert!(calls.len() > first + 4, "{step}: {calls:?}");
        for (point, call) in calls.iter().enumerate().skip(first) {
            let watch = Watch::begin();
            let kill = format!("inject=all:signal=KILL:when={}", point + 1);
            let script = format!(
                "{} -qq -o /dev/null -e {kill} \"$@\"",
                strace.display()
            );
            let _ = watch
                .over(Step::new(step))
                .args(["true"])
                .in_shell(&script)
                .output();
            watch.assert_nothing_left(&format!("{step} at {}", call));
        }
    }
}

/// The worst moment: the runtime is gone before its child has asked the kernel
/// to be told (PR_SET_PDEATHSIG).
fn a_child_whose_runtime_died_before_it_looked_ends() {
    begin();
    let strace = needs::tracer();
    for step in STEPS {
        let watch = Watch::begin();
        let script = format!(
            "exec {} -f -qq -o /dev/null -e inject=prctl:delay_enter=50000 \
             -e inject=sendmsg:signal=KILL:when=1 \"$@\"",
            strace.display()
        );
        let shell = watch.over(Step::new(step)).args(["true"]);
        // strace stays as long as anything that it traces.
        assert_eq!(shell.in_shell(&script).start().ended(), 137, "{step}");
        watch.assert_nothing_left(step);
    }
}

fn nothing_is_left_when_the_first_process_is_killed() {
    begin();
    for step in STEPS {
        let watch = Watch::begin();
        let telling = watch.over(Step::telling(step));
        let mut terminal = telling.args(["--pause", "true"]).on_terminal();
        terminal.shows("⏎");
        terminal.types("\n");
        terminal.shows("⏎");
        let child = proc::children(terminal.pid())[0];
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(child),
            Signal::SIGKILL,
        )
        .expect("kill");
        let (status, screen) = terminal.finish();
        assert_eq!(status, 125, "{step}: {screen}");
        assert!(screen.contains("killed by SIGKILL"), "{step}: {screen}");
        watch.assert_nothing_left(step);
    }
}
