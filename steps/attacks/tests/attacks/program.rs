//! The program itself: what it says and how it ends.

use std::process::{Command, Stdio};

use attacks::ALL;
use testbed::binary;

fn attack(arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = Command::new(binary("attack"));
    let output = program.args(arguments).stdin(Stdio::null()).output();
    let output = output.expect("start attack");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), said)
}

pub fn every_attack_is_listed_with_what_stops_it() {
    let (status, list) = attack(&["list"]);
    assert_eq!(status, Some(0));
    assert_eq!(list.lines().count(), ALL.len());
    for known in ALL {
        let line = list
            .lines()
            .find(|line| line.split_whitespace().next() == Some(known.name));
        let line = line.unwrap_or_else(|| panic!("{} is missing", known.name));
        assert!(line.contains(&known.stopped.to_string()), "{line}");
        assert!(line.contains(known.tries), "{line}");
        let (status, help) = attack(&[known.name, "--help"]);
        assert_eq!(status, Some(0));
        // Long lines are folded.
        let help = help.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(help.contains(known.rule), "{help}");
        assert!(help.contains(known.source), "{help}");
    }
}

pub fn a_command_line_that_is_wrong_is_no_verdict() {
    for wrong in [&[][..], &["no-such-attack"], &["list", "more"]] {
        assert_eq!(attack(wrong).0, Some(125), "{wrong:?}");
    }
    assert_eq!(attack(&["host-loopback", "seventy"]).0, Some(125));
}

pub fn a_fact_that_only_the_host_knows_is_asked_for() {
    for name in ["kill-host", "trace-host", "enter-host"] {
        let (status, said) = attack(&[name]);
        assert_eq!(status, Some(3), "{said}");
        assert!(said.contains("\nCAN'T BE TRIED: name a PID"), "{said}");
    }
}
