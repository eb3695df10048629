//! Starts two services that take leave, and one that does not listen; asks
//! number 1 to halt, and looks who had the time.

use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use testbed::token;

use crate::judge::look::{ensure, output, soon};
use crate::judge::{AS_NUMBER_ONE, Failure, Judge, how};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "halt",
    formerly: &[],
    step: "10-system-container",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "First SigSet::all().thread_block() and the SignalFd, then the \
         command, then a loop: read_signal, and leave it at SIGRTMIN() + 3.",
        "After the loop: kill(Pid::from_raw(-1), SIGTERM). Then go round: \
         waitpid with WNOHANG until it says StillAlive, sleep for a moment. \
         ECHILD is the end.",
        "In that round, look at the clock: std::time::Instant. After a second, \
         the same kill with SIGKILL.",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "sigterm-halts",
            change: &[(
                "number == libc::SIGRTMIN() + 3",
                "number == libc::SIGTERM",
            )],
            hint: SIGTERM,
        },
        Wrong {
            name: "any-signal-halts",
            change: &[(
                "number == libc::SIGRTMIN() + 3",
                "number != libc::SIGCHLD && libc::SIGRTMIN() > 0",
            )],
            hint: SIGTERM,
        },
        Wrong {
            name: "kills-at-once",
            change: &[(
                "kill(EVERYBODY, Signal::SIGTERM)",
                "kill(EVERYBODY, Signal::SIGKILL)",
            )],
            hint: IN_PEACE,
        },
        Wrong {
            name: "waits-for-nobody",
            change: &[(
                "while somebody_is_left() {",
                "while end < Instant::now() {",
            )],
            hint: IN_PEACE,
        },
        Wrong {
            name: "asks-its-command-only",
            change: &[
                (
                    "    Command::new(command)",
                    "    let child = Command::new(command)",
                ),
                (
                    "    kill(EVERYBODY, Signal::SIGTERM).ok();",
                    "    kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).ok();",
                ),
            ],
            hint: EVERYBODY,
        },
        Wrong {
            name: "waits-for-ever",
            change: &[(
                "            kill(EVERYBODY, Signal::SIGKILL).ok();\n",
                "",
            )],
            hint: STUBBORN,
        },
        Wrong {
            name: "ends-with-an-error",
            change: &[(
                "        sleep(Duration::from_millis(10));\n    }\n    Ok(())",
                "        sleep(Duration::from_millis(10));\n    }\n    \
                 waitpid(None, None).context(\"wait\")?;\n    Ok(())",
            )],
            hint: STATUS,
        },
    ],
    check,
};

const DEAF: &str = "The kernel drops what number 1 neither handles nor blocks. \
                    Block all signals, before the command is started, and read \
                    them one by one from a SignalFd. SIGRTMIN+3 comes as a \
                    number.";
const SIGTERM: &str = "SIGTERM ended the machine. It is what everybody sends \
                       by mistake, and to an init it means something else: \
                       halt at SIGRTMIN() + 3, and only there.";
const IN_PEACE: &str = "A service that needs a moment for its end had none. \
                        Ask by SIGTERM, and wait until nobody is left: when \
                        number 1 ends, the kernel kills all others.";
const EVERYBODY: &str = "A machine has more processes than the one that you \
                         have started, and these start more. kill with -1 \
                         reaches all of them.";
const STUBBORN: &str = "One of the services ignores SIGTERM, and the machine \
                        never goes down. A second after SIGTERM, SIGKILL is \
                        for whoever is left.";
const STATUS: &str = "All are gone, and that is no error: ECHILD from waitpid \
                      says that nobody is left. A machine that went down in \
                      good order ends with 0.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let [ready, first, second] = [(); 3].map(|()| token());
    let waits = "while :; do sleep 0.05; done";
    let leaves = |word: &str| {
        format!("trap 'sleep 0.2; echo {word}; exit' TERM; {waits}")
    };
    let services = format!(
        "( trap '' TERM; {waits} ) & ( {} ) & echo {ready}; {}",
        leaves(&second),
        leaves(&first)
    );
    let mut run = judge.program_by(AS_NUMBER_ONE);
    run = run.args(["/bin/sh", "-c", &services]).start();
    run.until("three services", |run| {
        run.stdout().contains(&ready).then_some(())
    })?;
    // Each has its trap by then.
    sleep(Duration::from_millis(100));
    let one = run.child()?.to_string();
    let signal = |number: i32| {
        let words = format!("kill -{number} {one}");
        let _ = output("sh", &["-c", &words]);
    };
    signal(libc::SIGTERM);
    sleep(Duration::from_millis(400));
    let said = run.stdout();
    ensure(
        !run.has_ended() && !said.contains(&first) && !said.contains(&second),
        "SIGTERM was sent to number 1, and the machine went down",
        "it runs on",
        SIGTERM,
    )?;
    signal(libc::SIGRTMIN() + 3);
    let was_sent = "SIGRTMIN+3 was sent to number 1";
    soon(|| run.stdout().contains(&first) || run.has_ended());
    // On a busy machine the last second takes longer.
    let has_ended = soon(|| run.has_ended()) || soon(|| run.has_ended());
    let said = run.stdout();
    let [first, second] = [first, second].map(|it| said.contains(&it));
    if !has_ended {
        let (observed, hint) = match (first, second) {
            (true, true) => ("two services end, and one never does", STUBBORN),
            (true, false) => ("one service ends, and two run on", EVERYBODY),
            _ => ("all services run on", DEAF),
        };
        let observed = format!("{was_sent}: {observed}");
        return Err(Failure::new(observed, "the end of all", hint));
    }
    let ended = run.ends()?;
    let count = [first, second].iter().filter(|it| **it).count();
    let hint = if first { EVERYBODY } else { IN_PEACE };
    ensure(
        count == 2,
        format!("{was_sent}: {count} of 2 services ended in peace"),
        "both had the 0.2 seconds that they need",
        hint,
    )?;
    ensure(
        ended.status.code() == Some(0),
        format!("{was_sent}: all have ended; number 1: {}", how(ended.status)),
        "exit status 0",
        STATUS,
    )?;
    Ok("after SIGTERM, nothing; after SIGRTMIN+3, two services ended in peace, \
        one was killed, and number 1 ended with 0"
        .into())
}
