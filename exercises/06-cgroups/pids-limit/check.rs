//! Lets the command start too many processes, and reads the cgroup's files.

use std::path::Path;

use nix::errno::Errno;
use testbed::token;

use crate::judge::cgroup::{count, has, words};
use crate::judge::look::{ensure, show};
use crate::judge::{Failure, Judge, number};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "pids-limit",
    formerly: &[],
    step: "06-cgroups",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Which files are there? ls /sys/fs/cgroup/… shows them. One begins with \
         the controller's name, pids, and ends with max.",
        "write(cgroup.join(\"pids.max\"), &max)?;",
    ],
    needs: &[Need::Cgroup],
    errors: &[
        (Errno::EACCES, NO_FILE),
        (Errno::EPERM, NO_FILE),
        (Errno::ENOENT, NO_FILE),
    ],
    wrong: &[
        Wrong {
            name: "not-joined",
            change: &[(
                "    write(cgroup.join(\"cgroup.procs\"), id().to_string()).context(\"join\")?;\n",
                "let _ = id();",
            )],
            hint: NOT_JOINED,
        },
        Wrong {
            name: "another-file",
            change: &[("\"pids.max\"", "\"processes.max\"")],
            hint: NO_FILE,
        },
        Wrong {
            name: "one-more",
            change: &[("&max)", "(max.parse::<u32>()? + 1).to_string())")],
            hint: ANOTHER_NUMBER,
        },
    ],
    check,
};

const NO_LIMIT: &str = "pids.max says max, which means none. The number goes \
                        into that file.";
const ANOTHER_NUMBER: &str = "The number for pids.max is the second argument of \
                              your program, the variable max, as it is.";
const NOT_JOINED: &str = "A limit holds for the processes in the cgroup. The \
                          line that writes our number to cgroup.procs has to \
                          stay, before the command.";
const NO_FILE: &str = "The kernel makes a cgroup's files: you can't add \
                       others. The one for processes is pids.max.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (cgroup, max, done) = (judge.cgroup("pids"), number(10, 9), token());
    // A shell that can't fork gives up, so this one does nothing else.
    let script = format!(
        "for i in $(seq 25); do sleep 100 & done 2>/dev/null; echo {done}; read line"
    );
    let (place, most) = (show(&cgroup), max.to_string());
    let args = [&*place, &most, "/bin/bash", "-c", &script];
    let mut run = judge.program().args(args).start();
    run.until("a command that starts processes", |run| {
        let all = count(&cgroup, "pids.events", "max") > 0;
        (all || run.stdout().contains(&done)).then_some(())
    })?;
    let limit = words(&cgroup, "pids.max");
    let inside = words(&cgroup, "cgroup.procs").lines().count();
    let refused = count(&cgroup, "pids.events", "max");
    let observed = format!(
        "pids.max is {limit}; {inside} processes in the cgroup, {refused} refused"
    );
    let expected = format!("pids.max is {max}, and the kernel refuses more");
    ensure(
        has(Path::new(&cgroup), run.pid()),
        &observed,
        &expected,
        NOT_JOINED,
    )?;
    let hint = if limit == "max" { NO_LIMIT } else { ANOTHER_NUMBER };
    ensure(limit == most, &observed, &expected, hint)?;
    ensure(refused > 0, &observed, &expected, NOT_JOINED)?;
    Ok(observed)
}
