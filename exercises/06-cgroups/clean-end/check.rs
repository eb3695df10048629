//! Looks at the cgroups below the given one, before and after.

use nix::errno::Errno;
use testbed::token;

use crate::judge::cgroup::{below, count, hand_on, has, words};
use crate::judge::look::{ensure, show, soon, who_executes};
use crate::judge::{Failure, Judge, how, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "clean-end",
    formerly: &[],
    step: "06-cgroups",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "cgroup.procs has one number a line. Kill each, then try rmdir.",
        "EBUSY from rmdir means that a process is still there, or still dying. \
         Wait a few milliseconds, and begin again.",
        "COMMAND's status was there before the cleanup. Keep it.",
    ],
    needs: &[Need::Cgroup],
    errors: &[(Errno::EBUSY, BUSY)],
    wrong: &[
        Wrong {
            name: "no-kill",
            change: &[
                (
                    "            kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL).ok();\n",
                    "            let _ = (pid, Pid::from_raw(1), kill::<Signal>);\n",
                ),
                (
                    "                sleep(Duration::from_millis(5));\n",
                    "                sleep(Duration::from_millis(5)); return Ok(());\n",
                ),
            ],
            hint: LEFT,
        },
        Wrong {
            name: "before-the-kill",
            change: &[(
                "    loop {\n        let members",
                "    remove_dir(place).context(\"rmdir\")?;\n    loop {\n        let members",
            )],
            hint: BUSY,
        },
        Wrong {
            name: "status-lost",
            change: &[(
                "    remove(&place)?;\n    exit(status.code().unwrap_or(1));",
                "    let _ = (status, exit as fn(i32) -> !); remove(&place)",
            )],
            hint: STATUS,
        },
        Wrong {
            name: "no-limit",
            change: &[(
                "    write(place.join(\"pids.max\"), max).context(\"limit\")?;\n",
                "    let _ = max;\n",
            )],
            hint: NO_LIMIT,
        },
        Wrong {
            name: "not-joined",
            change: &[(
                "    write(procs, id().to_string()).context(\"join\")?;\n",
                "    let _ = (procs, id());\n",
            )],
            hint: NOT_BELOW,
        },
        Wrong {
            name: "removes-its-files",
            change: &[("match remove_dir(", "match std::fs::remove_dir_all(")],
            hint: NOT_REMOVED,
        },
    ],
    check,
};

const NOT_BELOW: &str = "COMMAND has to run in a cgroup that your program makes \
                         below CGROUP.";
const NO_LIMIT: &str = "MAX goes into the new cgroup's pids.max, before COMMAND \
                        is executed there.";
const LEFT: &str = "COMMAND has ended, but its children have not. Everything \
                    in cgroup.procs has to be killed.";
const BUSY: &str = "EBUSY from rmdir: a process is in the cgroup, or still \
                    dying. Kill, wait a few milliseconds, try again, until it \
                    works.";
const NOT_REMOVED: &str = "A cgroup stays until somebody removes it: \
                           remove_dir, once nobody is in it.";
const STATUS: &str = "Keep COMMAND's exit status, and end with it after the \
                      cleanup.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let cgroup = judge.cgroup("pids");
    hand_on(&cgroup, "pids");
    let (max, code, ready, straggler) =
        (number(15, 10), number(10, 90), token(), waiting());
    let script = format!(
        "for i in 1 2 3; do {} & done; echo {ready}; read line; exit {code}",
        straggler.join(" ")
    );
    let args = [&*show(&cgroup), &max.to_string(), "/bin/sh", "-c", &script];
    let mut run = judge.program().args(args).start();
    let left = run.until("a command that reads a line", |run| {
        let ready = run.stdout().contains(&ready);
        who_executes(&straggler).filter(|_| ready)
    })?;
    let made = below(&cgroup);
    let place = made.iter().find(|place| has(place, left));
    let Some(place) = place else {
        let names: Vec<_> = made.iter().map(|it| show(it)).collect();
        return Err(Failure::new(
            format!("{left} is in none of [{}]", names.join(", ")),
            format!("a cgroup below {}", show(&cgroup)),
            NOT_BELOW,
        ));
    };
    let limit = words(place, "pids.max");
    let inside = count(place, "pids.events", "max");
    ensure(
        limit == max.to_string(),
        format!("pids.max of {} is {limit}, {inside} refused", show(place)),
        format!("it is {max}"),
        NO_LIMIT,
    )?;
    run.close_stdin();
    let ended = run.ends()?;
    let there = below(&cgroup).len();
    if there > 0 && run.stderr().contains("(os error 16)") {
        return Err(run.ended_early(ended.status, "no cgroup is left"));
    }
    // Whatever was killed may still be on its way out.
    let members = || words(place, "cgroup.procs").lines().count();
    soon(|| members() == 0);
    let left = members();
    ensure(
        left == 0 && who_executes(&straggler).is_none(),
        format!(
            "COMMAND has ended, but {left} processes are in {}",
            show(place)
        ),
        "nobody is left",
        LEFT,
    )?;
    ensure(
        there == 0,
        format!("{} is still there, empty", show(place)),
        "no cgroup is left",
        NOT_REMOVED,
    )?;
    ensure(
        ended.status.code() == Some(code as i32),
        how(ended.status),
        format!("COMMAND's exit status, {code}"),
        STATUS,
    )?;
    Ok(format!(
        "3 stragglers killed, {} removed, exit status {code}",
        show(place)
    ))
}
