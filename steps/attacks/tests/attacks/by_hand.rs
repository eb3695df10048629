//! What every step stops, because the runtime does: the attacks work in a
//! container that was made by chroot(1), and in no step.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use nix::pty::openpty;
use tempfile::TempDir;
use testbed::{binary, needs, skip, token};

use crate::places::{
    Mount, Place, Root, STEPS, Secret, judge, judge_output, record, run, steps,
};

/// Starts a program with the host's root directory open as descriptor 7.
fn with_open_root(program: &[&str]) -> Output {
    let start = ["-c", "exec 7</; exec \"$@\"", "sh"];
    run("sh", start.iter().chain(program))
}

fn path(step: usize) -> String {
    binary(STEPS[step - 1]).display().to_string()
}

pub fn a_leaked_directory_leads_out_by_hand_and_in_no_step() {
    needs::playground();
    let (secret, root) = (Secret::new(), Root::new());
    let root = root.text();
    let attack = ["attack", "leaked-directory", &secret.file];
    let by_hand = with_open_root(
        &[&["chroot", &root, "/bin/attack"], &attack[1..]].concat(),
    );
    let seen = secret.is_told_by(&by_hand);
    judge_output("leaked-directory", Place::ByHand, &by_hand, seen);
    for (place, step) in steps().zip((1..).map(path)) {
        let options = ["-q", "--rootfs", &root, "--"];
        let output =
            with_open_root(&[&[&*step], &options[..], &attack].concat());
        let seen = secret.is_told_by(&output);
        judge_output("leaked-directory", place, &output, seen);
    }
}

/// With a /proc in the root directory, so that the path is there to be tried.
pub fn a_working_directory_outside_leads_out_by_hand_and_in_no_step() {
    needs::playground();
    let (secret, root) = (Secret::new(), Root::new());
    let _proc = Mount::bind("/proc", root.path().join("proc"));
    let root = root.text();
    let script = format!(
        "cd /proc/self/fd/7 && exec /bin/attack leaked-workdir {}",
        secret.file
    );
    let by_hand = with_open_root(&["chroot", &root, "/bin/sh", "-c", &script]);
    let seen = secret.is_told_by(&by_hand);
    judge_output("leaked-workdir", Place::ByHand, &by_hand, seen);
    for (place, step) in steps().zip((1..).map(path)) {
        // The runtime's own are among them: its root directory, say.
        for descriptor in 3..16 {
            let workdir = format!("/proc/self/fd/{descriptor}");
            let output = with_open_root(&[
                &step,
                "-q",
                "--rootfs",
                &root,
                "--workdir",
                &workdir,
                "--",
                "attack",
                "leaked-workdir",
                &secret.file,
            ]);
            assert!(!secret.is_told_by(&output), "{step} {workdir}");
            let status = output.status.code();
            assert!([Some(125), Some(1)].contains(&status), "{output:?}");
            if descriptor == 7 {
                assert_eq!(status, Some(125), "{output:?}");
            }
        }
        record("leaked-workdir", &place.name(), false);
    }
}

/// A shell in a terminal starts the container. What it reads afterwards from
/// that terminal, nobody has typed.
pub fn the_hosts_terminal_is_typed_into_by_hand_and_in_no_step() {
    needs::playground();
    needs::command("perl");
    let setsid = needs::command("setsid");
    let legacy = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    if legacy.is_ok_and(|on| on.trim() == "0")
        && !needs::in_first_user_namespace()
    {
        skip("the kernel refuses TIOCSTI here (dev.tty.legacy_tiocsti is 0)");
    }
    // All of the host's files as root directory: there is a perl, and a place
    // for the attack.
    let directory = TempDir::new().expect("a directory");
    let _root = Mount::bind("/", directory.path().to_owned());
    let place = directory.path().display().to_string();
    // The kernel refuses to mount the same filesystem twice at one place.
    run("umount", ["-l", &format!("{place}/sys")]);
    let attack = binary("attack").display().to_string();
    let try_it = |place: Place, start: String| {
        let text = token();
        let lines = in_a_terminal(
            &setsid,
            &format!(
                "{start} {attack} type-into-terminal {text}
                 IFS= read -r -t 1 typed
                 echo \"typed $typed\""
            ),
        );
        let said = lines.join("\n");
        let seen = said.ends_with(&format!("\ntyped {text}"));
        assert!(seen || said.ends_with("\ntyped "), "{said}");
        judge("type-into-terminal", place, &said, seen);
    };
    try_it(Place::ByHand, format!("chroot {place}"));
    for (at, step) in steps().zip((1..).map(path)) {
        try_it(at, format!("{step} -q --rootfs {place} --"));
    }
}

/// Runs a script in a session of its own, with a new terminal as its stdin.
fn in_a_terminal(setsid: &Path, script: &str) -> Vec<String> {
    let terminal = openpty(None, None).expect("a terminal");
    let mut session = Command::new(setsid)
        .args(["--ctty", "--wait", "bash", "-c", script])
        .stdin(terminal.slave)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start setsid");
    let stdout = BufReader::new(session.stdout.take().expect("stdout"));
    let lines = stdout.lines().map(|line| line.expect("a line")).collect();
    session.wait().expect("wait for setsid");
    lines
}
