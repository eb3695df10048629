//! Step 03: processes, and the duties of PID 1.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command};
use std::time::Duration;

use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Running, eventually, host, proc, token};

use crate::places::{
    Place, Secret, Verdict, judge, judge_words, stays, stdout,
};

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

pub fn kill_host(place: Place) -> Verdict {
    let mut victim = Victim::new();
    let pid = victim.0.id() as i32;
    let output = place.attack("kill-host", &[&victim.pid()]);
    // A signal that was sent arrives, however busy the machine is.
    let sent = stdout(&output).contains("\nWORKED: ");
    let patience = Duration::from_millis(if sent { 5000 } else { 200 });
    let survives = stays(|| proc::runs(pid), patience);
    let end = victim.0.try_wait().expect("look at the victim");
    let seen = end.is_some_and(|end| end.signal() == Some(9));
    assert_ne!(seen, survives);
    judge(&output, seen)
}

/// Whoever has not stopped the victim does not know where its stack is
/// (proc_pid_syscall(5)).
pub fn trace_host(place: Place) -> Verdict {
    let victim = Victim::new();
    let stack_pointer = eventually("the victim's sleep", || {
        let now = fs::read_to_string(format!("/proc/{}/syscall", victim.pid()));
        let now = now.expect("look at the victim");
        let fields: Vec<_> = now.split_whitespace().collect();
        // Before, while it starts, its stack is elsewhere.
        let call = fields.first().and_then(|number| number.parse().ok());
        let sleeps = [libc::SYS_clock_nanosleep, libc::SYS_nanosleep]
            .map(Some)
            .contains(&call);
        (sleeps && fields.len() == 9).then(|| fields[7].to_owned())
    });
    let output = place.attack("trace-host", &[&victim.pid()]);
    let seen = stdout(&output).trim_end().ends_with(&stack_pointer);
    judge(&output, seen)
}

pub fn enter_host(place: Place) -> Verdict {
    let (victim, secret) = (Victim::new(), Secret::new());
    let output = place.attack("enter-host", &[&victim.pid(), &secret.file]);
    judge(&output, secret.is_told_by(&output))
}

/// Both when the command ends, and when the runtime is killed.
pub fn outlive(place: Place) -> Verdict {
    let after_end = outlives(place, |container, runtime| {
        container.say("the end");
        host::assert_gone(runtime);
    })?;
    let after_kill =
        outlives(place, |container, _| container.signal(Signal::SIGKILL))?;
    assert_eq!(after_end, after_kill, "after the end, after SIGKILL");
    Ok(after_end)
}

fn outlives(place: Place, end: impl Fn(&mut Running, i32)) -> Verdict {
    let text = token();
    let script = format!("attack outlive {text} 30 && echo over && read line");
    let mut container = place.step().sh(&script).start();
    let said: Vec<_> = (0..3).map(|_| container.line()).collect();
    assert_eq!(said[2], "over", "{said:?}");
    // A parent goes on before its child's new arguments are in place.
    let pid = eventually("a straggler", || straggler(&text));
    let (first, runtime) = (container.pid(), container.runtime());
    end(&mut container, runtime);
    host::assert_gone(first);
    let seen = stays(|| proc::runs(pid), Duration::from_millis(500));
    if seen {
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("end it");
        host::assert_gone(pid);
    }
    judge_words(&said.join("\n"), seen)
}

/// It is found by its arguments.
fn straggler(text: &str) -> Option<i32> {
    proc::all().into_iter().find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline"));
        let line = line.unwrap_or_default();
        let words: Vec<_> = line.split('\0').collect();
        words.get(1..3) == Some(&["outlive", text]) && proc::runs(*pid)
    })
}

pub fn zombies(place: Place) -> Verdict {
    let step = place.with_init().args(["--", "attack", "zombies", "7", "30"]);
    let mut container = step.start();
    let said = [container.line(), container.line()].join("\n");
    let left = zombies_of(container.pid());
    assert!(left == 0 || left == 7, "{left} zombies; it says {said}");
    judge_words(&said, left > 0)
}

fn zombies_of(pid: i32) -> usize {
    let is_zombie = |pid: &i32| {
        proc::status(*pid, "State").is_some_and(|s| s.starts_with('Z'))
    };
    proc::children(pid).iter().filter(|pid| is_zombie(pid)).count()
}

pub fn ignore_term(place: Place) -> Verdict {
    let step = place.with_init().args(["--", "attack", "ignore-term", "30"]);
    let mut container = step.start();
    let said = [container.line(), container.line()].join("\n");
    let first = container.pid();
    container.signal(Signal::SIGTERM);
    let patience =
        Duration::from_millis(if place.with_option { 5000 } else { 400 });
    let seen = stays(|| proc::runs(first), patience);
    if !seen {
        assert_eq!(container.finish().0, 143, "{place:?}");
    }
    judge_words(&said, seen)
}
