//! Looks into the command's own /proc from outside, through /proc/PID/root.

use std::fs;

use nix::errno::Errno;
use testbed::proc;

use crate::judge::look::{all_mounts, ensure};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "fresh-proc",
    formerly: &[],
    step: "04-mount-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "outside() has unshared the PID namespace, but is not in it.",
        "Move the mount of /proc to inside(), before the exec.",
    ],
    needs: &[],
    errors: &[(Errno::ENOMEM, FIRST_HAS_ENDED)],
    wrong: &[
        Wrong {
            name: "not-mounted",
            change: &[(
                "    mount(Some(\"proc\"), \"/proc\", Some(\"proc\"), MsFlags::empty(), none)\n        \
                 .context(\"mount /proc\")?;\n",
                "",
            )],
            hint: OLD_PROC,
        },
        Wrong {
            name: "no-pid-namespace",
            change: &[(
                "CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS",
                "CloneFlags::CLONE_NEWNS",
            )],
            hint: NO_PID_NAMESPACE,
        },
        Wrong {
            name: "no-mount-namespace",
            change: &[(
                "CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS",
                "CloneFlags::CLONE_NEWPID",
            )],
            hint: ON_THE_HOST,
        },
        Wrong {
            name: "mounted-by-a-child",
            change: &[
                (
                    "    mount(Some(\"proc\"), \"/proc\", Some(\"proc\"), MsFlags::empty(), none)\n        \
                     .context(\"mount /proc\")?;\n",
                    "    let _ = none;\n",
                ),
                (
                    "    let mut again =",
                    "    Command::new(\"mount\").args([\"-t\", \"proc\", \"proc\", \
                     \"/proc\"]).status()?;\n    let mut again =",
                ),
            ],
            hint: FIRST_HAS_ENDED,
        },
    ],
    check,
};

const OLD_PROC: &str = "What /proc shows is the PID namespace of the process \
                        that mounted it. It must be one in the new namespace: \
                        the child, in inside(), before it becomes COMMAND.";
const NO_PID_NAMESPACE: &str = "The command is in the host's PID namespace. \
                                The flag for a new one is CLONE_NEWPID.";
const ON_THE_HOST: &str = "The new /proc was mounted over the host's own, \
                           where nobody sees the host's processes any more. \
                           CLONE_NEWNS and private mounts keep it inside.";
const FIRST_HAS_ENDED: &str = "ENOMEM: number 1 of the new namespace has \
                               ended, so the namespace takes no new process. \
                               Whoever mounts /proc has to stay: mount it in \
                               inside().";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let command = waiting();
    let before = all_mounts(judge.host()).len();
    let mut run = judge.program().args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "pid", NO_PID_NAMESPACE)?;
    let more = all_mounts(judge.host()).len() - before;
    ensure(
        more == 0,
        format!("the host has {more} more mounts"),
        "the host's mounts as they were",
        ON_THE_HOST,
    )?;
    let shown = fs::read_dir(format!("/proc/{pid}/root/proc"));
    let shown = shown.into_iter().flatten().flatten();
    let numbers = shown.filter_map(|it| it.file_name().to_str()?.parse().ok());
    let mut numbers: Vec<i32> = numbers.collect();
    numbers.sort_unstable();
    let same_place = |it: &&proc::MountInfo| it.place == "/proc";
    let mounts = proc::mounts(pid);
    let count = mounts.iter().filter(same_place).count();
    ensure(
        numbers == [1],
        format!(
            "{count} mounts on /proc; the last shows processes {numbers:?}"
        ),
        "[1]: the command, and nobody else",
        OLD_PROC,
    )?;
    Ok("the command's /proc shows one process: itself, as 1".into())
}
