//! Asks for the devices in the command's network namespace (netlink, by ip).

use crate::judge::look::{ensure, within};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "loopback",
    formerly: &[],
    step: "08-networking",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The device is called lo.",
        "Command::new(\"ip\").args([\"link\", \"set\", \"lo\", \"up\"]).status()?",
    ],
    needs: &[Need::Internet],
    errors: &[],
    wrong: &[
        Wrong {
            name: "too-early",
            change: &[
                (
                    "    unshare(CloneFlags::CLONE_NEWNET).context(\"unshare\")?;\n",
                    "",
                ),
                (
                    "    ensure!(up.success(), \"ip link set up: {up}\");\n",
                    "    ensure!(up.success(), \"ip link set up: {up}\");\n    \
                     unshare(CloneFlags::CLONE_NEWNET)?;\n",
                ),
            ],
            hint: DOWN,
        },
        Wrong {
            name: "no-namespace",
            change: &[("CLONE_NEWNET", "CLONE_NEWUTS")],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "set-down",
            change: &[("\"lo\", \"up\"", "\"lo\", \"down\"")],
            hint: DOWN,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "The command is in the host's network namespace. The \
                            line with CLONE_NEWNET has to stay.";
const DOWN: &str = "lo is down in the command's namespace. ip link set lo up \
                    belongs after the unshare: before that, it sets the host's \
                    lo.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let command = waiting();
    let mut run = judge.program().args(&command).start();
    let pid = run.reaches(&command)?;
    let seen = judge.namespace(pid, "net", NO_NAMESPACE)?;
    let flags = within(pid, "net", &["ip", "-o", "link", "show", "lo"]);
    let flags = flags.split(['<', '>']).nth(1).unwrap_or_default();
    let up = flags.split(',').any(|flag| flag == "UP");
    ensure(
        up,
        format!("{seen}; lo there: {flags}"),
        "lo there: LOOPBACK,UP,LOWER_UP",
        DOWN,
    )?;
    Ok(format!("{seen}; lo there: {flags}"))
}
