#![forbid(unsafe_code)]
//! What takes longer than two seconds in a script says what it does, and moves.
//! `Moving` does the same for programs: see the exercises.

use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{Terminal, checkout, eventually};

testbed::main!(
    on_a_terminal_the_seconds_count,
    elsewhere_one_line_is_enough,
    whatever_counts_ends_with_the_script,
);

/// With what scripts say while they wait.
fn script(text: &str) -> Command {
    let mut bash = Command::new("bash");
    let script = format!("set -euo pipefail; . scripts/lib/moving.sh; {text}");
    bash.args(["-c", &script]).current_dir(checkout());
    bash
}

const SLOW: &str = "begin_moving 'it works'; sleep 4; end_moving; echo over";

fn on_a_terminal_the_seconds_count() {
    let mut terminal = Terminal::start(script(SLOW));
    let begin = terminal.shows(" s ");
    assert!(begin.contains("it works ..."), "{begin:?}");
    let (status, rest) = terminal.finish();
    assert_eq!(status, 0, "{rest}");
    // A busy machine leaves one out.
    let said = begin + &rest;
    let number = |it: &str| it.split_whitespace().last()?.parse::<u32>().ok();
    let seconds: Vec<_> = said.split(" s ").filter_map(number).collect();
    assert!(seconds.len() > 1 && seconds[0] > 0, "{said:?}");
    assert!(seconds.is_sorted_by(|one, next| one < next), "{said:?}");
    // What was counted is gone before anything else is said.
    let mut end = rest.split('\r').rev().skip_while(|it| !it.contains("over"));
    let erased = end.nth(1).unwrap_or_default();
    assert!(!erased.is_empty() && erased.trim().is_empty(), "{rest:?}");
}

fn elsewhere_one_line_is_enough() {
    let output = script(SLOW).stdin(Stdio::null()).output().expect("bash");
    assert_eq!(output.stdout, b"over\n");
    assert_eq!(output.stderr, b"it works ...\n");
}

/// However it ends: the terminal stays, and would show seconds for ever.
fn whatever_counts_ends_with_the_script() {
    let inner = ". scripts/lib/moving.sh; begin_moving 'it works'; \
                 echo \"$$ $moving.\"; sleep 1000";
    let mut outer = Command::new("bash");
    outer.args(["-c", "bash -c \"$INNER\"; read -r _"]).env("INNER", inner);
    outer.current_dir(checkout());
    let mut terminal = Terminal::start(outer);
    let said = terminal.shows("1 s");
    let pids = said.split(['\n', '.']).find_map(|line| {
        let (script, counter) = line.trim().split_once(' ')?;
        Some((script.parse().ok()?, counter.parse().ok()?))
    });
    let (script, counter): (i32, i32) = pids.expect("their pids");
    let there = || Path::new(&format!("/proc/{counter}")).exists();
    assert!(there(), "{said}");
    let children = testbed::proc::children(script);
    let end = |pid| kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill");
    end(script);
    children.into_iter().filter(|pid| *pid != counter).for_each(end);
    eventually("the counter ends", || (!there()).then_some(()));
    terminal.types("\n");
    terminal.finish();
}
