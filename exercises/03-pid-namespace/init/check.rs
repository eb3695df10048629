//! Signals number 1 from outside, lets many orphans end at the same moment, and
//! compares exit statuses.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{proc, token};

use crate::judge::look::{ensure, soon};
use crate::judge::{AS_NUMBER_ONE, Failure, Judge, how, number};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "init",
    formerly: &[],
    step: "03-pid-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Block SIGTERM and SIGCHLD before the child is started. Then a loop: \
         signals.wait() returns the one that came.",
        "At SIGCHLD, call waitpid with WNOHANG until it returns StillAlive (or \
         ECHILD): one SIGCHLD may stand for many.",
        "WaitStatus::Signaled(pid, signal, _) means that a signal ended it: \
         exit with 128 + signal as i32.",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "signal-not-blocked",
            change: &[("    signals.add(Signal::SIGTERM);\n", "")],
            hint: IGNORED,
        },
        Wrong {
            name: "kills-instead",
            change: &[(
                "match kill(child, signal)",
                "match kill(child, Signal::SIGKILL)",
            )],
            hint: ANOTHER_SIGNAL,
        },
        Wrong {
            name: "one-wait-a-signal",
            change: &[(
                "            Ok(_) => {}\n            Err",
                "            Ok(_) => return Ok(()),\n            Err",
            )],
            hint: COALESCED,
        },
        Wrong {
            name: "status-of-a-signal-lost",
            change: &[(
                "exit(128 + signal as i32)",
                "{ let _ = signal; exit(1) }",
            )],
            hint: SIGNALED,
        },
    ],
    check,
};

const IGNORED: &str = "The kernel drops a signal that number 1 neither handles \
                       nor blocks. Add SIGTERM to the set that you block and \
                       wait for, and pass it on to the command with kill(2).";
const ANOTHER_SIGNAL: &str = "The command has a handler for SIGTERM, but never \
                              got to it. Pass on the signal that came, not \
                              SIGKILL, and don't end before the command does.";
const COALESCED: &str = "While one SIGCHLD is pending, others are lost. At \
                         each one, wait in a loop with WNOHANG until nobody is \
                         left.";
const SIGNALED: &str = "A command that a signal ended has no exit code. A \
                        shell reports 128 + the signal's number, and so does \
                        docker.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let orphans = buries_many_at_once(judge)?;
    let code = passes_sigterm_on(judge)?;
    let mut run = judge.program_by(AS_NUMBER_ONE);
    run = run.args(["/bin/sh", "-c", "kill -KILL $$"]).start();
    let ended = run.ends()?;
    ensure(
        ended.status.code() == Some(137),
        format!(
            "the command was killed by SIGKILL; your init: {}",
            how(ended.status)
        ),
        "exit status 137 (128 + 9)",
        SIGNALED,
    )?;
    Ok(format!(
        "{orphans} orphans that ended at once, no zombie; SIGTERM went to the \
         command, whose exit status {code} came back; 137 after SIGKILL"
    ))
}

/// While number 1 is stopped, all of them end.
fn buries_many_at_once(judge: &Judge) -> Result<u32, Failure> {
    let (orphans, ready) = (number(12, 10), token());
    let script = format!(
        "for i in $(seq {orphans}); do ( sleep 0.05 & ); done; \
         echo {ready}; read line"
    );
    let mut run = judge.program_by(AS_NUMBER_ONE);
    run = run.args(["/bin/sh", "-c", &script]).start();
    run.until("a command that reads a line", |run| {
        run.stdout().contains(&ready).then_some(())
    })?;
    let one = run.child()?;
    let signal = |signal| {
        let _ = kill(Pid::from_raw(one), signal);
    };
    let zombies = || {
        let children = proc::children(one);
        children.iter().filter(|&&pid| !proc::runs(pid)).count()
    };
    signal(Signal::SIGSTOP);
    let all =
        |_: &mut _| (proc::children(one).len() - zombies() == 1).then_some(());
    run.until("the end of all orphans", all)?;
    signal(Signal::SIGCONT);
    soon(|| zombies() == 0);
    let left = zombies();
    ensure(
        left == 0,
        format!(
            "{orphans} orphans ended at the same moment; {left} are still \
             zombies"
        ),
        "no zombie",
        COALESCED,
    )?;
    Ok(orphans)
}

fn passes_sigterm_on(judge: &Judge) -> Result<u32, Failure> {
    let (code, ready) = (number(10, 90), token());
    let script = format!(
        "trap 'exit {code}' TERM; echo {ready}; while :; do sleep 0.01; done"
    );
    let mut run = judge.program_by(AS_NUMBER_ONE);
    run = run.args(["/bin/sh", "-c", &script]).start();
    run.until("a command that waits", |run| {
        run.stdout().contains(&ready).then_some(())
    })?;
    let one = run.child()?;
    let _ = kill(Pid::from_raw(one), Signal::SIGTERM);
    soon(|| run.has_ended());
    ensure(
        run.has_ended(),
        "SIGTERM was sent to number 1, but the command runs on",
        "the command gets SIGTERM, and ends",
        IGNORED,
    )?;
    let ended = run.ends()?;
    ensure(
        ended.status.code() == Some(code as i32),
        format!(
            "SIGTERM was sent to number 1, which ended: {}",
            how(ended.status)
        ),
        format!("the status of the command's SIGTERM handler, {code}"),
        ANOTHER_SIGNAL,
    )?;
    Ok(code)
}
