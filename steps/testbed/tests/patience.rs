#![forbid(unsafe_code)]
//! What a test binary does with claims that hang, and with signals that its
//! caller ignores. It judges itself: it contains such claims, for a second
//! process.

use std::process::{Command, ExitCode, Output, Stdio};

use testbed::{Step, Terminal, needs, token};

fn main() -> ExitCode {
    if std::env::var_os("JUDGED").is_some() {
        return testbed::run(&[
            ("waits_for_a_line", waits_for_a_line),
            ("waits_for_an_end", waits_for_an_end),
            ("waits_for_a_terminal", waits_for_a_terminal),
            ("waits_for_a_grandchild", waits_for_a_grandchild),
            ("hangs_alone", hangs_alone),
            ("waits_for_a_moment", waits_for_a_moment),
            ("can_be_interrupted", can_be_interrupted),
        ]);
    }
    testbed::run(&[
        (
            "a_claim_that_hangs_fails_by_its_name",
            a_claim_that_hangs_fails_by_its_name,
        ),
        ("one_that_nothing_ends_is_told", one_that_nothing_ends_is_told),
        ("claims_have_the_signals_defaults", claims_have_the_signals_defaults),
    ])
}

// ── the claims that are judged ──────────────────────────────────────────────

fn said() -> String {
    std::env::var("JUDGED").expect("a word")
}

fn waits_for_a_line() {
    let script = format!("echo {}; printf {}; sleep 1000", said(), said());
    let mut running = Step::shell(&script).start();
    assert_eq!(running.line(), said());
    running.line();
}

fn waits_for_an_end() {
    let script = format!("echo {}; sleep 1000", said());
    let _ = Step::shell(&script).output();
}

fn waits_for_a_terminal() {
    let mut shell = Command::new("bash");
    shell.args(["-c", &format!("echo {}; sleep 1000", said())]);
    Terminal::start(shell).shows("never");
}

/// With a call that has no time limit.
fn waits_for_a_grandchild() {
    let waiting = Command::new("sh")
        .args(["-c", "echo; (sleep 1000; true); true"])
        .output();
    assert!(waiting.is_ok());
}

fn hangs_alone() {
    loop {
        std::thread::park();
    }
}

fn waits_for_a_moment() {}

fn can_be_interrupted() {
    let output =
        Step::program("grep").args(["SigIgn", "/proc/self/status"]).stdout();
    let ignored = output.split_whitespace().last().expect("a set");
    let ignored = u64::from_str_radix(ignored, 16).expect("a set");
    assert_eq!(ignored & 0b111, 0, "HUP, INT and QUIT");
}

// ── and what is said of them ────────────────────────────────────────────────

/// Has the claims of this name judged: the result, and the word that they say.
fn judge(name: &str, before: &str) -> (Output, String) {
    let word = token();
    let exe = std::env::current_exe().expect("our own path");
    let exe = exe.to_str().expect("UTF-8");
    let mut step = Step::program(exe).args([name]);
    step.command()
        .env("JUDGED", &word)
        .env("CLAIM_SECONDS", "6")
        .env("TEST_ENVIRONMENT", "here")
        .stderr(Stdio::null());
    (step.in_shell(before).output(), word)
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn record(output: &Output, claim: &str) -> String {
    let told = told(output);
    let mark = format!("\t{claim}\t");
    let line = told.lines().find(|line| line.contains(&mark));
    line.unwrap_or_else(|| panic!("no {claim}: {told}")).to_owned()
}

fn a_claim_that_hangs_fails_by_its_name() {
    needs::real_processor();
    let hang = [
        "waits_for_a_line",
        "waits_for_an_end",
        "waits_for_a_terminal",
        "waits_for_a_grandchild",
    ];
    let (output, word) = judge("waits_for_a", "exec \"$@\"");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    for claim in &hang[..3] {
        let line = record(&output, claim);
        assert!(line.contains("\tfail\t"), "{line}");
        assert!(line.contains(&word), "not what it had said: {line}");
    }
    let line = record(&output, hang[3]);
    assert!(line.contains("\tfail\tit hung, "), "{line}");
    assert!(record(&output, "waits_for_a_moment").contains("\tpass\t"));
}

fn one_that_nothing_ends_is_told() {
    needs::real_processor();
    let (output, _) = judge("hangs_alone", "exec \"$@\"");
    assert_eq!(output.status.code(), Some(101), "{output:?}");
    let line = record(&output, "hangs_alone");
    assert!(line.contains("\tfail\tit hangs"), "{line}");
}

fn claims_have_the_signals_defaults() {
    if !needs::env_resets_signals() {
        testbed::skip("needs env of coreutils 8.31 or newer");
    }
    let (output, _) =
        judge("can_be_interrupted", "trap '' HUP INT QUIT; exec \"$@\"");
    assert!(output.status.success(), "{output:?}");
}
