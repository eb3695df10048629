//! Reads the command's map of groups, and its setgroups file.

use nix::errno::Errno;

use crate::judge::look::{ensure, words};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "denied-groups",
    formerly: &[],
    step: "05-user-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Replace .ok() by .context(\"write gid_map\")? and read what it says.",
        "The word for /proc/self/setgroups is deny. It comes before gid_map.",
    ],
    needs: &[],
    errors: &[(Errno::EPERM, NOT_DENIED)],
    wrong: &[
        Wrong {
            name: "not-denied",
            change: &[(
                "    write(\"/proc/self/setgroups\", \"deny\").context(\"write setgroups\")?;\n",
                "",
            )],
            hint: NOT_DENIED,
        },
        Wrong {
            name: "denied-too-late",
            change: &[
                (
                    "    write(\"/proc/self/setgroups\", \"deny\").context(\"write setgroups\")?;\n",
                    "",
                ),
                (
                    ".context(\"write gid_map\")?;",
                    ".ok(); write(\"/proc/self/setgroups\", \"deny\")?;",
                ),
            ],
            hint: ORDER,
        },
        Wrong {
            name: "still-hidden",
            change: &[
                (
                    "    write(\"/proc/self/setgroups\", \"deny\").context(\"write setgroups\")?;\n",
                    "",
                ),
                (".context(\"write gid_map\")?;", ".ok();"),
            ],
            hint: HIDDEN,
        },
        Wrong {
            name: "users-instead",
            change: &[(
                "format!(\"0 {gid} 1\")",
                "format!(\"0 {} 1\", gid.as_raw() + 1)",
            )],
            hint: NOT_DENIED,
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
            name: "no-users",
            change: &[(
                "    write(\"/proc/self/uid_map\", format!(\"0 {uid} 1\"))\n        \
                 .context(\"write uid_map\")?;\n",
                "    let _ = uid;\n",
            )],
            hint: NO_USERS,
        },
    ],
    check,
};

const HIDDEN: &str = "The write to gid_map failed, and .ok() threw the error \
                      away. Put .context(\"write gid_map\")? there, and read \
                      what the kernel says.";
const NOT_DENIED: &str = "EPERM from gid_map: without privileges you can map \
                          only one group, your own, and only after you have \
                          written deny to /proc/self/setgroups.";
const ORDER: &str = "setgroups is denied now, but too late: the write to \
                     gid_map had already failed. deny comes first.";
const NO_NAMESPACE: &str = "The line with unshare has to stay.";
const NO_USERS: &str = "The line for uid_map has to stay.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (uid, gid, somebody) = judge.somebody();
    let command = waiting();
    let mut run = judge.program_by(&somebody).args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "user", NO_NAMESPACE)?;
    let (groups, denied) = (words(pid, "gid_map"), words(pid, "setgroups"));
    let observed = format!("gid_map is \"{groups}\", setgroups: {denied}");
    let expected = format!("gid_map is \"0 {gid} 1\", setgroups: deny");
    let hint = if denied == "deny" { ORDER } else { HIDDEN };
    ensure(observed == expected, &observed, expected, hint)?;
    let users = words(pid, "uid_map");
    ensure(
        users == format!("0 {uid} 1"),
        format!("uid_map is \"{users}\""),
        format!("\"0 {uid} 1\""),
        NO_USERS,
    )?;
    Ok(observed)
}
