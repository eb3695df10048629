//! Asks for the name in the command's UTS namespace, and on the host.

use testbed::token;

use crate::judge::look::{ensure, output, within};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "hostname",
    formerly: &[],
    step: "02-uts-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The new namespace comes first, then the name.",
        "nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "too-late",
            change: &[
                (
                    "    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)\n        \
                     .context(\"unshare\")?;\n",
                    "",
                ),
                (
                    ".context(\"sethostname\")?;",
                    "?; nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWUTS)?;",
                ),
            ],
            hint: TOO_LATE,
        },
        Wrong {
            name: "another-namespace",
            change: &[("CLONE_NEWUTS", "CLONE_NEWIPC")],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "no-name",
            change: &[(
                "nix::unistd::sethostname(&name).context(\"sethostname\")?;",
                "let _ = name;",
            )],
            hint: NO_NAME,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "The command is in the host's UTS namespace, so \
                            they share one name. unshare with CLONE_NEWUTS \
                            puts the caller into a new one.";
const TOO_LATE: &str = "There is a new namespace, but it came too late: the \
                        host had already been renamed. Order: unshare, then \
                        sethostname.";
const NO_NAME: &str = "A new UTS namespace begins as a copy, name included. \
                       sethostname(NAME) has to follow.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (name, command) = (token(), waiting());
    let mut run = judge.program().args([&name]).args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "uts", NO_NAMESPACE)?;
    let (its, hosts) =
        (within(pid, "uts", &["uname", "-n"]), output("uname", &["-n"]));
    let observed =
        format!("the command's host is called {its}, the host {hosts}");
    let expected = format!("{name} and {}", judge.hostname);
    ensure(hosts == judge.hostname, &observed, &expected, TOO_LATE)?;
    ensure(its == name, &observed, &expected, NO_NAME)?;
    Ok(observed)
}
