//! Has the kernel report the order in which the limit was written, the cgroup
//! joined, and the command's file opened to be executed.

use std::fs;

use crate::judge::cgroup::{has, words};
use crate::judge::look::{ensure, show};
use crate::judge::{Failure, Judge, Order, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "too-late",
    formerly: &[],
    step: "06-cgroups",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Three things happen: the limit is written, the cgroup joined, the \
         command executed. Which order closes the gap?",
        "Your program itself joins the cgroup, and then becomes the command: \
         std::process::id() is its number, exec() the end.",
    ],
    needs: &[Need::Cgroup],
    errors: &[],
    wrong: &[
        Wrong {
            name: "joined-after-the-start",
            change: &[
                (
                    "    write(cgroup.join(\"cgroup.procs\"), id().to_string()).context(\"join\")?;\n",
                    "",
                ),
                (
                    "    Err(Command::new(command).args(args).exec().into())",
                    "    let mut child = Command::new(command).args(args).spawn()?;\n\
                     let _ = id();\n\
                     write(cgroup.join(\"cgroup.procs\"), child.id().to_string())?;\n\
                     std::process::exit(child.wait()?.code().unwrap_or(1))",
                ),
            ],
            hint: JOINED_LATE,
        },
        Wrong {
            name: "limited-after-the-start",
            change: &[
                (
                    "    write(cgroup.join(file), limit).context(\"limit\")?;\n",
                    "",
                ),
                (
                    "    Err(Command::new(command).args(args).exec().into())",
                    "    let mut child = Command::new(command).args(args).spawn()?;\n\
                     write(cgroup.join(file), limit)?;\n\
                     std::process::exit(child.wait()?.code().unwrap_or(1))",
                ),
            ],
            hint: LIMITED_LATE,
        },
        Wrong {
            name: "no-limit",
            change: &[
                (
                    "    write(cgroup.join(file), limit).context(\"limit\")?;\n",
                    "",
                ),
                (
                    "    // Returns only",
                    "    let _ = (file, limit);\n    // Returns only",
                ),
            ],
            hint: NO_LIMIT,
        },
    ],
    check,
};

const JOINED_LATE: &str = "The command was executed first, and put into the \
                           cgroup later. Let your own program join, and then \
                           become the command, or start it: children are born \
                           into their parent's cgroup.";
const LIMITED_LATE: &str = "The command was executed before there was a limit. \
                            First the limit, then join, then the command.";
const NO_LIMIT: &str = "Nobody has written LIMIT to CGROUP/FILE.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let cgroup = judge.cgroup("memory");
    let files = ["memory.max", "memory.limit_in_bytes"];
    let file = files.into_iter().find(|file| cgroup.join(file).exists());
    let file = file.expect("a file for the limit");
    let limit = (number(4096, 4096) * 4096).to_string();
    // A copy of its own: whoever opens it executes it.
    let mut command = waiting();
    let program = judge.directory().join("sleep");
    fs::copy("/bin/sleep", &program).expect("copy a program");
    command[0] = show(&program);
    let (limits, procs) = (cgroup.join(file), cgroup.join("cgroup.procs"));
    let order = Order::of(&[&limits, &procs], &[&program]);

    let args = [&*show(&cgroup), file, &limit];
    let mut run = judge.program().args(args).args(&command).start();
    let pid = run.reaches(&command)?;
    let names = ["limit written", "cgroup joined", "command executed"];
    let seen = order.seen();
    let told: Vec<_> = seen.iter().map(|it| names[*it]).collect();
    let observed = format!(
        "{file} is {}; order: {}",
        words(&cgroup, file),
        told.join(", ")
    );
    let expected = format!("{file} is {limit}; order: {}", names.join(", "));
    let at = |which| seen.iter().position(|it| *it == which);
    let executed = at(2);
    ensure(words(&cgroup, file) == limit, &observed, &expected, NO_LIMIT)?;
    ensure(
        at(1) < executed && has(&cgroup, pid),
        &observed,
        &expected,
        JOINED_LATE,
    )?;
    ensure(at(0) < executed, &observed, &expected, LIMITED_LATE)?;
    Ok(observed)
}
