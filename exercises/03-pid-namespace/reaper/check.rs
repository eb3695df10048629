//! Counts the zombies below number 1, and looks at the exit status.

use testbed::{proc, token};

use crate::judge::look::{ensure, soon};
use crate::judge::{AS_NUMBER_ONE, Failure, Judge, how, number};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "reaper",
    formerly: &[],
    step: "03-pid-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "child.wait() waits for one child. wait(2) takes any.",
        "Wait in a loop. The loop ends when the one that ended is the command.",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "one-wait",
            change: &[
                (
                    "    loop {\n        match",
                    "    for _ in 0..2 {\n        match",
                ),
                (
                    "            _ => {}\n        }\n    }",
                    "            _ => {}\n        }\n    }\n    \
                     std::thread::sleep(std::time::Duration::from_secs(60));\n    Ok(())",
                ),
            ],
            hint: ZOMBIES,
        },
        Wrong {
            name: "ends-with-anyone",
            change: &[("Exited(pid, code) if pid == ours", "Exited(_, code)")],
            hint: TOO_EARLY,
        },
        Wrong {
            name: "status-lost",
            change: &[(
                "if pid == ours => exit(code)",
                "if pid == ours => exit(code & 0)",
            )],
            hint: STATUS,
        },
    ],
    check,
};

const ZOMBIES: &str = "Orphans that have ended are children of number 1, but \
                       it does not wait for them. Call wait() again and again, \
                       until the one that ended is the command.";
const TOO_EARLY: &str = "Number 1 ended when an orphan did, and took the \
                         command with it: when number 1 ends, the kernel kills \
                         everything in the namespace. Check whose end wait() \
                         reports.";
const STATUS: &str = "End with the exit status that wait() reports for the \
                      command: exit(code).";

fn too_early() -> Failure {
    let observed = "number 1 ended before the command";
    Failure::new(observed, "it ends with the command", TOO_EARLY)
}

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (orphans, code, ready) = (number(12, 10), number(10, 90), token());
    // ( : & ) leaves a process behind whose parent has ended.
    let script = format!(
        "for i in $(seq {orphans}); do ( : & ); done; echo {ready}; \
         read line; exit {code}"
    );
    let mut run = judge.program_by(AS_NUMBER_ONE);
    run = run.args(["/bin/sh", "-c", &script]).start();
    let expected = "a command that reads a line";
    let reads =
        run.until(expected, |run| run.stdout().contains(&ready).then_some(()));
    // Whoever ends with an orphan may just have let the command speak.
    let silent = run.has_ended() && run.stderr().is_empty();
    reads.map_err(|why| if silent { too_early() } else { why })?;
    let one = run.child().map_err(|_| too_early())?;
    // A moment for the last orphan to end, and to be buried.
    soon(|| proc::children(one).len() == 1);
    let children = proc::children(one);
    let zombies = children.iter().filter(|&&pid| !proc::runs(pid)).count();
    if !proc::runs(one) {
        return Err(too_early());
    }
    ensure(
        zombies == 0,
        format!("{zombies} zombies are children of number 1"),
        format!("none: it has waited for all {orphans} orphans"),
        ZOMBIES,
    )?;
    run.close_stdin();
    let ended = run.ends()?;
    ensure(
        ended.status.code() == Some(code as i32),
        format!(
            "{orphans} orphans, no zombie; at the end {}",
            how(ended.status)
        ),
        format!("the command's own, {code}"),
        STATUS,
    )?;
    Ok(format!("{orphans} orphans, no zombie, and exit status {code}"))
}
