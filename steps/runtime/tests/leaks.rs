#![forbid(unsafe_code)]
//! Whatever ends a container, and whenever: nothing of it is left.

use std::fs;

use nix::sys::signal::Signal;
use testbed::watch::{Watch, strike_before_any_call};
use testbed::{ALL_STEPS, STEPS, Step, needs, proc, token};

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
    for step in ALL_STEPS {
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
    for step in ALL_STEPS {
        for bad in
            [["-w", "/etc/passwd"], ["-e", "A=b"], ["--rootfs", "/dev/null"]]
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
    for step in ALL_STEPS {
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
            assert!(watch.processes().len() >= 2, "the mark finds it");
            container.signal(signal);
            assert_eq!(container.ended(), status, "{step}");
            watch.assert_nothing_left(&format!("{step} after {signal}"));
        }
    }
}

fn struck(
    steps: &[&'static str],
    strike: impl Fn(&mut testbed::Terminal),
    expected: i32,
) {
    begin();
    for step in steps {
        for options in variants(step) {
            let watch = Watch::begin();
            let paused = || {
                let step = watch.over(Step::telling_all(step)).args(&options);
                step.args(["--pause", "true"])
            };
            let points =
                strike_before_any_call(paused, &strike, |_, status, told| {
                    assert_eq!(status, expected, "{step} {options:?}: {told}");
                    watch.assert_nothing_left(&told);
                });
            let least = if *step < "04" { 3 } else { 20 };
            assert!(points >= least, "{step}: {points} points only");
        }
    }
}

fn nothing_is_left_after_ctrl_c_before_any_call() {
    struck(&STEPS, |terminal| terminal.types(b"\x03"), 130);
    // Steps 05 to 09 judge it where they judge themselves.
    struck(&ALL_STEPS[9..], |terminal| terminal.types(b"\x03"), 130);
}

fn nothing_is_left_after_sigterm_before_any_call() {
    struck(&STEPS, |terminal| terminal.signal(Signal::SIGTERM), 143);
}

fn nothing_is_left_after_a_hang_up_before_any_call() {
    struck(&STEPS, |terminal| terminal.signal(Signal::SIGHUP), 129);
}

fn nothing_is_left_after_sigkill_before_any_call() {
    struck(&STEPS, |terminal| terminal.signal(Signal::SIGKILL), 137);
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
        let first = calls.iter().position(|line| line.starts_with("clone"));
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
    // From step 08 on, the first message is for the kernel's network.
    for step in &ALL_STEPS[..7] {
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
        let telling = watch.over(Step::telling_all(step));
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
