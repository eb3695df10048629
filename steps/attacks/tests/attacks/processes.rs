//! Step 03: processes, and the duties of PID 1.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Running, Step, eventually, host, needs, proc, token};

use crate::places::{Place, STEPS, Secret, judge, judge_output, stdout, steps};

/// Whether a process still runs when it had time enough to die.
fn survives(pid: i32) -> bool {
    let end = Instant::now() + Duration::from_millis(700);
    while proc::runs(pid) {
        if Instant::now() > end {
            return true;
        }
        sleep(Duration::from_millis(5));
    }
    false
}

/// A process of the host.
struct Victim(Child);

impl Victim {
    fn new() -> Victim {
        let victim = Command::new("sleep").arg("1000").spawn();
        Victim(victim.expect("start sleep"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn a_host_process_is_killed() {
    needs::playground();
    for place in [Place::Host].into_iter().chain(steps()) {
        let mut victim = Victim::new();
        let output = place.attack("kill-host", &[&victim.pid()]);
        let survives = survives(victim.0.id() as i32);
        let end = victim.0.try_wait().expect("look at the victim");
        let seen = end.is_some_and(|end| end.signal() == Some(9));
        assert_ne!(seen, survives);
        judge_output("kill-host", place, &output, seen);
    }
}

pub fn a_host_process_is_traced() {
    needs::playground();
    let victim = Victim::new();
    // Who has not stopped it does not know where its stack is
    // (proc_pid_syscall(5)).
    let stack_pointer = eventually("the victim's sleep", || {
        let now = fs::read_to_string(format!("/proc/{}/syscall", victim.pid()));
        let now = now.expect("look at the victim");
        let fields: Vec<_> = now.split_whitespace().collect();
        (fields.len() == 9).then(|| fields[7].to_owned())
    });
    for place in [Place::Host].into_iter().chain(steps()) {
        let output = place.attack("trace-host", &[&victim.pid()]);
        let seen = stdout(&output).trim_end().ends_with(&stack_pointer);
        judge_output("trace-host", place, &output, seen);
    }
}

pub fn a_host_process_is_entered() {
    needs::playground();
    let (victim, secret) = (Victim::new(), Secret::new());
    for place in steps() {
        let arguments = [&*victim.pid(), &secret.file];
        let output = place.attack("enter-host", &arguments);
        let seen = secret.is_told_by(&output);
        judge_output("enter-host", place, &output, seen);
    }
}

/// The straggler, found by its arguments.
fn straggler(text: &str) -> Option<i32> {
    proc::all().into_iter().find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let line = line.unwrap_or_default();
        let words: Vec<_> = line.split('\0').collect();
        words.get(1..3) == Some(&["outlive", text]) && proc::runs(*pid)
    })
}

fn outlives(end: impl Fn(Running, i32)) {
    for place in steps() {
        let Place::Step(number, _) = place else { unreachable!() };
        let text = token();
        let script =
            format!("attack outlive {text} 30 && echo over && read line");
        let mut container = Step::new(STEPS[number - 1]).sh(&script).start();
        let said: Vec<_> = (0..3).map(|_| container.line()).collect();
        assert_eq!(said[2], "over", "{said:?}");
        // A parent goes on before its child's new arguments are in place.
        let pid = eventually("a straggler", || straggler(&text));
        let first = container.pid();
        end(container, first);
        host::assert_gone(first);
        let seen = survives(pid);
        if seen {
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("end it");
            host::assert_gone(pid);
        }
        judge("outlive", place, &said.join("\n"), seen);
    }
}

pub fn a_straggler_outlives_the_command() {
    needs::playground();
    outlives(|mut container, _| {
        container.say("the end");
        host::assert_gone(container.runtime());
    });
}

pub fn a_straggler_outlives_a_killed_runtime() {
    needs::playground();
    outlives(|container, _| container.signal(Signal::SIGKILL));
}

/// Zombies among the children of a process.
fn zombies(pid: i32) -> usize {
    let is_zombie = |pid: &i32| {
        proc::status(*pid, "State").is_some_and(|s| s.starts_with('Z'))
    };
    proc::children(pid).iter().filter(|pid| is_zombie(pid)).count()
}

/// Without and with the option that stops it, where the step has it.
fn with_and_without_init() -> impl Iterator<Item = Place> {
    let with = (3..=STEPS.len()).map(|step| Place::Step(step, &["--init"]));
    steps().chain(with)
}

/// Below step 03 orphans are the host's: its own init waits for them.
pub fn zombies_pile_up_without_an_init() {
    needs::playground();
    for place in with_and_without_init() {
        let mut container = place.prepare("zombies", &["7", "30"]).start();
        let said = [container.line(), container.line()].join("\n");
        let first = container.pid();
        let left = zombies(first) + zombies(1);
        judge("zombies", place, &said, left > 0);
        assert!(left == 0 || left == 7, "{left} zombies; it says {said}");
    }
}

/// Below step 03 the command is a process like any other.
pub fn sigterm_is_ignored_without_an_init() {
    needs::playground();
    for place in with_and_without_init() {
        let mut container = place.prepare("ignore-term", &["30"]).start();
        let said = [container.line(), container.line()].join("\n");
        let first = container.pid();
        container.signal(Signal::SIGTERM);
        let seen = survives(first);
        judge("ignore-term", place, &said, seen);
        if !seen {
            assert_eq!(container.finish().0, 143, "{place:?}");
        }
    }
}
