#![forbid(unsafe_code)]
//! Claims of step 03, judged from outside.

use std::fs;

use nix::sys::signal::Signal;
use testbed::{
    Running, Step, copy_default_root, eventually, host, needs, proc, token,
};

testbed::main!(
    uts_ipc_and_pid_namespaces_are_new_and_no_others,
    numbers_begin_at_1,
    with_an_init_the_command_is_its_child,
    a_process_of_the_host_has_no_number_inside,
    pid_1_gets_no_signal_that_it_does_not_handle,
    an_init_forwards_signals,
    an_init_passes_the_commands_end_on,
    an_init_reaps_a_burst_of_a_thousand_orphans,
    when_pid_1_ends_all_end,
    when_the_command_of_an_init_ends_all_end,
    orphans_die_with_a_killed_runtime,
);

fn step() -> Step {
    Step::new("03-pid-namespace")
}

fn with_init() -> Step {
    step().args(["--init"])
}

fn uts_ipc_and_pid_namespaces_are_new_and_no_others() {
    needs::root();
    for container in [step().start_waiting(), with_init().start_waiting()] {
        let is_new = |kind: &&str| {
            proc::namespace(container.pid(), kind) != proc::own_namespace(kind)
        };
        let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];
        let new: Vec<_> = kinds.into_iter().filter(is_new).collect();
        assert_eq!(new, ["ipc", "pid", "uts"]);
    }
}

/// A root directory where `&` works: a shell without job control gives such a
/// command /dev/null as its input, and this step has no /dev yet.
fn root_with_null() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a directory");
    copy_default_root(root.path());
    fs::write(root.path().join("dev/null"), "").expect("write");
    root
}

/// In the innermost namespace, the last number (proc_pid_status(5)).
fn number_inside(pid: i32) -> i32 {
    let numbers = proc::status(pid, "NSpid").expect("its numbers");
    let last = numbers.split_whitespace().last().expect("a number");
    last.parse().expect("a number")
}

fn numbers_begin_at_1() {
    needs::root();
    let mut container = step().sh("echo $$; read line").start();
    assert_eq!(container.line(), "1");
    assert_eq!(number_inside(container.pid()), 1);
}

fn the_command_of(init: &Running) -> i32 {
    let children = proc::children(init.pid());
    assert_eq!(children.len(), 1, "{children:?}");
    children[0]
}

fn with_an_init_the_command_is_its_child() {
    needs::root();
    let mut container = with_init().sh("echo $$ $PPID; read line").start();
    assert_eq!(container.line(), "2 1");
    assert_eq!(number_inside(container.pid()), 1);
    assert_eq!(number_inside(the_command_of(&container)), 2);
}

fn a_process_of_the_host_has_no_number_inside() {
    needs::root();
    let us = std::process::id();
    let inside = format!("kill -0 $$ && ! kill -0 {us}");
    assert_eq!(step().sh(&inside).output().status.code(), Some(0));
    let inside = format!("kill -0 {us}");
    let before = Step::new("02-uts-namespace").sh(&inside);
    assert_eq!(before.output().status.code(), Some(0), "step 02 reaches us");
}

fn pid_1_gets_no_signal_that_it_does_not_handle() {
    needs::root();
    let mut container = step().args(["cat"]).start();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGUSR1] {
        let word = token();
        container.say(&word);
        assert_eq!(container.line(), word);
        container.signal(signal);
    }
    let word = token();
    container.say(&word);
    assert_eq!(container.line(), word);
    assert_eq!(container.finish(), (0, String::new()));
}

fn an_init_forwards_signals() {
    needs::root();
    for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"] {
        let word = token();
        let inside = format!(
            "trap 'echo {word}; exit 3' {name}; echo ready; while sleep 0.1; do :; done"
        );
        let mut container = with_init().sh(&inside).start();
        assert_eq!(container.line(), "ready");
        container.signal(format!("SIG{name}").parse().expect("a signal"));
        assert_eq!(container.line(), word, "{name}");
        assert_eq!(container.ended(), 3, "{name}");
    }
}

fn an_init_passes_the_commands_end_on() {
    needs::root();
    let status = |step: Step| step.output().status.code();
    assert_eq!(status(with_init().sh("exit 77")), Some(77));
    assert_eq!(status(with_init().sh("kill -KILL $$")), Some(128 + 9));
    assert_eq!(status(with_init().sh("kill -SEGV $$")), Some(128 + 11));
    assert_eq!(status(with_init().args([token()])), Some(127));
    assert_eq!(status(with_init().args(["/tmp"])), Some(126));
    let mut container = with_init().args(["sleep", "1000"]).start();
    let pid = container.pid();
    let name = || proc::children(pid).first().and_then(|&pid| proc::exe(pid));
    let own = proc::exe(container.runtime());
    eventually("the exec", || (name()? != own.clone()?).then_some(()));
    container.signal(Signal::SIGTERM);
    assert_eq!(container.ended(), 128 + 15);
}

fn zombies_of(pid: i32) -> usize {
    let is_zombie = |&pid: &i32| {
        proc::status(pid, "State").is_some_and(|state| state.starts_with('Z'))
    };
    proc::children(pid).iter().filter(|pid| is_zombie(pid)).count()
}

/// All die in the same moment: `kill -1` spares PID 1 and the one who asks.
fn an_init_reaps_a_burst_of_a_thousand_orphans() {
    needs::real_processor();
    needs::root();
    let inside = "i=0; while [ $i -lt 1000 ]; do (sleep 1000 &); i=$((i+1)); \
                  done; echo ready; read line; kill -9 -1; echo gone; read line";
    let root = root_with_null();
    let mut container = with_init().arg("--rootfs", &root).sh(inside).start();
    assert_eq!(container.line(), "ready");
    let init = container.pid();
    eventually("1,000 orphans and the command", || {
        (proc::children(init).len() == 1001).then_some(())
    });
    container.say("");
    assert_eq!(container.line(), "gone");
    eventually("the last zombie reaped", || {
        (proc::children(init).len() == 1 && zombies_of(init) == 0).then_some(())
    });
    container.say("");
    assert_eq!(container.finish().0, 0);
}

/// The first of them, by what it does, among all that live in its namespace.
fn all_in_the_namespace_of(pid: i32) -> Vec<i32> {
    let namespace = proc::namespace(pid, "pid");
    let link = |pid: &i32| fs::read_link(format!("/proc/{pid}/ns/pid"));
    let is_in = |pid: &i32| {
        link(pid).is_ok_and(|link| link.display().to_string() == namespace)
    };
    proc::all().into_iter().filter(is_in).collect()
}

fn dies_altogether(step: Step, end: impl Fn(&mut Running)) {
    let inside = "(sleep 1000 &); sleep 1000 & echo ready; read line; exit 0";
    let root = root_with_null();
    let mut container = step.arg("--rootfs", &root).sh(inside).start();
    assert_eq!(container.line(), "ready");
    let all = all_in_the_namespace_of(container.pid());
    assert!(all.len() >= 3, "{all:?}");
    end(&mut container);
    all.into_iter().for_each(host::assert_gone);
}

fn when_pid_1_ends_all_end() {
    needs::root();
    dies_altogether(step(), |container| container.say(""));
}

fn when_the_command_of_an_init_ends_all_end() {
    needs::root();
    dies_altogether(with_init(), |container| container.say(""));
}

fn orphans_die_with_a_killed_runtime() {
    needs::root();
    for step in [step(), with_init()] {
        dies_altogether(step, |container| container.signal(Signal::SIGKILL));
    }
}
