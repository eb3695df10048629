//! Reads the command's id maps.

use nix::errno::Errno;
use testbed::proc;

use crate::judge::look::{ensure, words};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "one-id",
    formerly: &[],
    step: "05-user-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The line for the groups, a few lines below, has the same shape.",
        "write(\"/proc/self/uid_map\", format!(\"0 {uid} 1\"))?;",
    ],
    needs: &[],
    errors: &[(Errno::EPERM, REFUSED)],
    wrong: &[
        Wrong {
            name: "swapped",
            change: &[("\"0 {uid} 1\"", "\"{uid} 0 1\"")],
            hint: REFUSED,
        },
        Wrong {
            name: "too-many",
            change: &[("\"0 {uid} 1\"", "\"0 {uid} 1000\"")],
            hint: REFUSED,
        },
        Wrong {
            name: "another-id-inside",
            change: &[("\"0 {uid} 1\"", "\"7 {uid} 1\"")],
            hint: NOT_ROOT,
        },
        Wrong {
            name: "no-namespace",
            change: &[
                (
                    "    unshare(CloneFlags::CLONE_NEWUSER).context(\"unshare\")?;\n",
                    "",
                ),
                (".context(\"write uid_map\")?;", ".ok();"),
                (".context(\"write setgroups\")?;", ".ok();"),
                (".context(\"write gid_map\")?;", ".ok();"),
            ],
            hint: NO_NAMESPACE,
        },
        Wrong {
            name: "no-groups",
            change: &[(
                "    write(\"/proc/self/gid_map\", format!(\"0 {gid} 1\"))\n        \
                 .context(\"write gid_map\")?;\n",
                "",
            )],
            hint: NO_GROUPS,
        },
    ],
    check,
};

const NO_MAP: &str = "Nobody has written uid_map, so the command's user has no \
                      id inside: it is nobody.";
const REFUSED: &str = "EPERM from a map: without privileges you can map only \
                       one id, your own. The order is inside, outside, count: \
                       0, then {uid}, then 1.";
const NOT_ROOT: &str = "The first number is the id inside. Root is 0.";
const NO_NAMESPACE: &str = "The line with unshare has to stay.";
const NO_GROUPS: &str = "The two lines for the groups have to stay.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (uid, gid, somebody) = judge.somebody();
    let command = waiting();
    let mut run = judge.program_by(&somebody).args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "user", NO_NAMESPACE)?;
    let (users, groups) = (words(pid, "uid_map"), words(pid, "gid_map"));
    let observed = format!("uid_map of {pid} is \"{users}\"");
    let expected = format!("\"0 {uid} 1\"");
    let hint = if users.is_empty() { NO_MAP } else { NOT_ROOT };
    ensure(users == format!("0 {uid} 1"), &observed, expected, hint)?;
    let outside = proc::status(pid, "Uid").unwrap_or_default();
    let outside = outside.split_whitespace().next().unwrap_or_default();
    ensure(
        groups == format!("0 {gid} 1"),
        format!("gid_map is \"{groups}\""),
        format!("\"0 {gid} 1\""),
        NO_GROUPS,
    )?;
    Ok(format!("{observed}: 0 inside, {outside} outside"))
}
