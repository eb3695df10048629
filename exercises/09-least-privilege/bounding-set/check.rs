//! Reads the capabilities of a setuid program that the command is, from
//! /proc/PID/status.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use rustix::thread::CapabilitySet;
use testbed::proc;

use crate::judge::look::{ensure, show};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "bounding-set",
    formerly: &[],
    step: "09-least-privilege",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Which of the two parts needs a power that root loses when it becomes \
         another user? It has to come before that.",
        "The bounding set goes first, then root, then our own sets: the loop \
         with remove_capability_from_bounding_set in place of the first TODO, \
         the line with set_capabilities in place of the second.",
    ],
    needs: &[Need::Ids],
    errors: &[(Errno::EPERM, ORDER)],
    wrong: &[
        Wrong {
            name: "bounding-set-stays",
            change: &[(DROP, "")],
            hint: BOUNDING,
        },
        Wrong {
            name: "only-the-worst",
            change: &[(
                "CapabilitySet::all()",
                "(CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE)",
            )],
            hint: BOUNDING,
        },
        Wrong {
            name: "after-the-user",
            change: &[(DROP, ""), (EMPTY, DROP_AND_EMPTY)],
            hint: ORDER,
        },
        Wrong {
            name: "own-sets-before-the-user",
            change: &[(EMPTY, ""), (DROP, DROP_AND_EMPTY)],
            hint: ORDER,
        },
        Wrong {
            name: "own-sets-first",
            change: &[(EMPTY, ""), (DROP, EMPTY_AND_DROP)],
            hint: ORDER,
        },
        Wrong {
            name: "after-the-user-without-a-word",
            change: &[
                (DROP, ""),
                (EMPTY, DROP_AND_EMPTY),
                (".context(\"bounding set\")?;", ".ok();"),
            ],
            hint: BOUNDING,
        },
        Wrong {
            name: "inheritable-stays",
            change: &[(EMPTY, "")],
            hint: INHERITABLE,
        },
        Wrong {
            name: "still-root",
            change: &[(
                "    setresuid(user, user, user).context(\"setresuid\")?;\n",
                "    let _ = (user, setresuid);\n",
            )],
            hint: USER,
        },
    ],
    check,
};

const BOUNDING: &str = "What is in CapBnd, a program with the setuid bit gets. \
                        Take every capability out of the bounding set, while \
                        you are root: later the kernel refuses, and tells only \
                        who looks at the error.";
const ORDER: &str = "EPERM: a power is used after it has gone. The bounding \
                     set needs SETPCAP, the change of user SETUID and SETGID, \
                     and emptying your own sets takes all three away. So: the \
                     bounding set, the user, your own sets.";
const INHERITABLE: &str = "The bounding set is empty, but the inheritable set \
                           is not: your program was started with it, and a \
                           program of root's gets it back. set_capabilities \
                           with NONE empties it.";
const USER: &str = "The three lines that change the user and the groups have \
                    to stay.";

/// The two parts of the solution, one after the other and the other way round.
type Lines = &'static str;
const DROP: Lines = "    for (_, it) in CapabilitySet::all().iter_names() {
        remove_capability_from_bounding_set(it).context(\"bounding set\")?;
    }
";
const EMPTY: Lines = "    set_capabilities(None, NONE).context(\"own sets\")?;
";
const DROP_AND_EMPTY: Lines =
    "    for (_, it) in CapabilitySet::all().iter_names() {
        remove_capability_from_bounding_set(it).context(\"bounding set\")?;
    }
    set_capabilities(None, NONE).context(\"own sets\")?;
";
const EMPTY_AND_DROP: Lines =
    "    set_capabilities(None, NONE).context(\"own sets\")?;
    for (_, it) in CapabilitySet::all().iter_names() {
        remove_capability_from_bounding_set(it).context(\"bounding set\")?;
    }
";

/// One of these is in the inheritable set that the program begins with.
const INHERITED: [&str; 6] =
    ["chown", "net_raw", "mknod", "setgid", "sys_chroot", "kill"];

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (user, group) = (number(2000, 1000), number(4000, 1000));
    let mut command = waiting();
    // Of root's, and whoever executes it is root: the worst that a command can
    // start.
    let program = judge.directory().join("sleep");
    fs::copy("/bin/sleep", &program).expect("copy a program");
    fs::set_permissions(&program, Permissions::from_mode(0o4755))
        .expect("chmod u+s");
    command[0] = show(&program);
    let inherited = INHERITED[number(0, INHERITED.len() as u32) as usize];
    let inherits = format!("--inh-caps=-all,+{inherited}");
    let run = judge.program_by(&["setpriv", &*inherits]);
    let mut run =
        run.args([user, group].map(|it| it.to_string())).args(&command).start();
    let pid = run.reaches(&command)?;

    let ids = |key| {
        let ids = proc::status(pid, key).unwrap_or_default();
        ids.split_whitespace().next().unwrap_or_default().to_owned()
    };
    let (uid, gid) = (ids("Uid"), ids("Gid"));
    ensure(
        uid == user.to_string() && gid == group.to_string(),
        format!("the command's user is {uid}, its group {gid}"),
        format!("user {user}, group {group}"),
        USER,
    )?;
    let set = |key| {
        let mask = proc::status(pid, key).unwrap_or_default();
        let mask = u64::from_str_radix(&mask, 16).expect("a set");
        CapabilitySet::from_bits_retain(mask)
    };
    let has = set("CapEff") | set("CapPrm") | set("CapAmb");
    let bounding = set("CapBnd");
    let observed = format!(
        "the command is a setuid program of root's. Its capabilities: {}. \
         CapBnd: {}. CapInh: {}",
        names(has),
        names(bounding),
        names(set("CapInh"))
    );
    let expected = "it has none, and all sets are empty";
    ensure(bounding.is_empty(), &observed, expected, BOUNDING)?;
    let inheritable = set("CapInh");
    ensure((has | inheritable).is_empty(), &observed, expected, INHERITABLE)?;
    Ok(observed)
}

/// The first of them, and how many there are.
fn names(set: CapabilitySet) -> String {
    let all: Vec<_> =
        set.iter_names().map(|(name, _)| format!("CAP_{name}")).collect();
    match all.len() {
        0 => "none".into(),
        1..4 => all.join(", "),
        count => format!("{} and more, {count} in all", all[..2].join(", ")),
    }
}
