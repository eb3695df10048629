//! Reads the numbers that the command has: NSpid in /proc/PID/status.

use nix::errno::Errno;
use testbed::proc;

use crate::judge::look::{ensure, soon};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "first-process",
    formerly: &[],
    step: "03-pid-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "exec keeps the process. status() makes a new one, and waits for it.",
        "let status = Command::new(command).args(args).status()?;",
    ],
    needs: &[],
    errors: &[(Errno::ENOMEM, FIRST_HAS_ENDED)],
    wrong: &[
        Wrong {
            name: "exec",
            change: &[(
                "    let status = Command::new(command).args(args).status()?;\n    \
                 std::process::exit(status.code().unwrap_or(1));",
                "    use std::os::unix::process::CommandExt;\n    \
                 Err(Command::new(command).args(args).exec().into())",
            )],
            hint: NO_CHILD,
        },
        Wrong {
            name: "unshared-too-late",
            change: &[
                (
                    "    unshare(CloneFlags::CLONE_NEWPID).context(\"unshare\")?;\n",
                    "",
                ),
                (
                    "let status = Command::new(command).args(args).status()?;",
                    "let mut child = Command::new(command).args(args).spawn()?;\
                     unshare(CloneFlags::CLONE_NEWPID).context(\"unshare\")?;\
                     let status = child.wait()?;",
                ),
            ],
            hint: TOO_LATE,
        },
        Wrong {
            name: "another-namespace",
            change: &[("CLONE_NEWPID", "CLONE_NEWNS")],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "another-child-first",
            change: &[(
                ".context(\"unshare\")?;",
                ".context(\"unshare\")?; Command::new(\"true\").status()?;",
            )],
            hint: FIRST_HAS_ENDED,
        },
    ],
    check,
};

const NO_CHILD: &str = "The new namespace waits for its first process, but \
                        your program itself became the command: no child, no \
                        first process. Start it with status() instead of \
                        exec().";
const TOO_LATE: &str = "Your program did unshare, but only after it had \
                        started the command. Order: unshare, then start the \
                        command.";
const NO_NAMESPACE: &str = "No PID namespace was unshared. The flag is \
                            CLONE_NEWPID.";
const FIRST_HAS_ENDED: &str = "Here, ENOMEM from fork means that the \
                               namespace's first process has ended: a \
                               namespace without its number 1 takes no new \
                               process. The command must be the first child \
                               after unshare.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let command = waiting();
    let mut run = judge.program().args(&command).start();
    let pid = run.reaches(&command)?;
    let later = |pid| {
        std::fs::read_link(format!("/proc/{pid}/ns/pid_for_children")).ok()
    };
    // An unshare that came too late is a moment after the child.
    if proc::status(pid, "NSpid").is_none_or(|it| !it.ends_with("\t1")) {
        soon(|| later(run.pid()) != later(judge.host()));
    }
    let hint = match () {
        () if pid == run.pid() && later(pid) != later(judge.host()) => NO_CHILD,
        () if later(run.pid()) != later(judge.host()) => TOO_LATE,
        () if pid == run.pid() && later(pid).is_none() => NO_CHILD,
        () => NO_NAMESPACE,
    };
    let numbers = proc::status(pid, "NSpid").unwrap_or_default();
    let numbers = numbers.split_whitespace().collect::<Vec<_>>().join(", ");
    ensure(
        numbers == format!("{pid}, 1"),
        format!("the command's numbers, from the host inwards: {numbers}"),
        format!("{pid}, 1"),
        hint,
    )?;
    Ok(format!("the command is {pid} on the host, and 1 inside (NSpid)"))
}
