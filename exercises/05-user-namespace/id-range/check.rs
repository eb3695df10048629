//! Reads the command's id maps, and its ids outside.

use nix::errno::Errno;
use testbed::proc;

use crate::judge::look::{arguments, ensure, soon, who_executes, words};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "id-range",
    formerly: &[],
    step: "05-user-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The child unshares before it says \"unshared\". The parent writes both \
         maps before it says \"go\".",
        "After \"go\" the child is nobody, but has all capabilities of its \
         namespace: setgroups(&[]), setresgid, setresuid, in this order.",
        "At the end of the pipe, read_line returns an empty text: only \
         \"go\\n\" means go.",
    ],
    needs: &[Need::Ids],
    errors: &[(Errno::EINVAL, NOT_MAPPED_YET), (Errno::EPERM, REFUSED)],
    wrong: &[
        Wrong {
            name: "stays-who-it-was",
            change: &[
                (
                    "    setresgid(group, group, group).context(\"setresgid\")?;\n",
                    "",
                ),
                (
                    "    setresuid(user, user, user).context(\"setresuid\")?;\n",
                    "let _ = (user, group);",
                ),
            ],
            hint: STAYS,
        },
        Wrong {
            name: "keeps-groups",
            change: &[("    setgroups(&[]).context(\"setgroups\")?;\n", "")],
            hint: GROUPS,
        },
        Wrong {
            name: "end-of-file-is-go",
            change: &[
                (
                    "    if go != \"go\\n\" {\n        exit(1); // the parent has failed, and has said why\n    }\n",
                    "",
                ),
                (".context(\"setgroups\")?", ".ok()"),
                (".context(\"setresgid\")?", ".ok()"),
                (".context(\"setresuid\")?", ".ok()"),
            ],
            hint: END_OF_FILE,
        },
        Wrong {
            name: "only-users",
            change: &[("[\"uid_map\", \"gid_map\"]", "[\"uid_map\"]")],
            hint: REFUSED,
        },
        Wrong {
            name: "one-id-only",
            change: &[("\"0 {first} {count}\"", "\"0 {first} 1\"")],
            hint: MAP,
        },
        Wrong {
            name: "begins-at-one",
            change: &[("\"0 {first} {count}\"", "\"1 {first} {count}\"")],
            hint: NOT_MAPPED_YET,
        },
    ],
    check,
};

const NO_NAMESPACE: &str = "The child has to unshare CLONE_NEWUSER before it \
                            says that it has.";
const MAP: &str = "A line of a map is: first id inside, first id outside, how \
                   many. Here: 0, FIRST, COUNT; the same for users and groups.";
const STAYS: &str = "A map changes nobody's id. Outside, the command still has \
                     the id of whoever started it, and that id has no place in \
                     the map. Once the maps are there, the child calls \
                     setresgid and setresuid with 0.";
const GROUPS: &str = "The command still has groups of the host. setgroups(&[]) \
                      comes before setresuid.";
const NOT_MAPPED_YET: &str = "EINVAL from setresuid, setresgid or setgroups: \
                              0 has no place in the map (first inside, first \
                              outside, how many), or there is no map yet. The child must wait for the parent's \"go\".";
const REFUSED: &str = "EPERM: a map can be written once, after the child has \
                       unshared, by somebody outside; setgroups works only \
                       once the map of groups is there.";
const END_OF_FILE: &str = "The parent could not write a map and died; the \
                           child read an end of file and went on. Check what \
                           was read: only \"go\" means go.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (first, count) = (number(5000, 1000), number(10, 900));
    let (numbers, command) =
        (|first: u32| [first, count].map(|it| it.to_string()), waiting());
    let groups = ["setpriv", "--groups", "4711"];
    let mut run =
        judge.program_by(&groups).args(numbers(first)).args(&command).start();
    let pid = run.reaches(&command)?;
    judge.namespace(pid, "user", NO_NAMESPACE)?;
    let map = format!("0 {first} {count}");
    for file in ["uid_map", "gid_map"] {
        let is = words(pid, file);
        let (observed, expected) =
            (format!("{file} is \"{is}\""), format!("\"{map}\""));
        ensure(is == map, observed, expected, MAP)?;
    }
    for key in ["Uid", "Gid"] {
        let is = proc::status(pid, key).unwrap_or_default();
        let all = is.split_whitespace().all(|id| id == first.to_string());
        let observed = format!(
            "outside, {key} of the command is {}",
            is.replace('\t', " ")
        );
        ensure(all, observed, format!("{first} (inside: 0)"), STAYS)?;
    }
    let is = proc::status(pid, "Groups").unwrap_or_default();
    let none = is.split_whitespace().all(|id| id == first.to_string());
    ensure(none, format!("it is in the host's groups {is}"), "none", GROUPS)?;
    drop(run);

    // Ids that nobody has: now the parent fails between its two words.
    let command = waiting();
    let mut run =
        judge.program().args(numbers(4_000_000_000)).args(&command).start();
    run.until("the end of a program that can't write a map", |run| {
        run.stderr().contains("map").then_some(())
    })
    .or_else(|failure| {
        if who_executes(&command).is_some() { Ok(()) } else { Err(failure) }
    })?;
    // Until all of it is gone, or the child has become COMMAND. In the middle
    // of an execve(2) a process has a program, and no arguments.
    let is_there = |pid: &i32| {
        let words = arguments(*pid);
        let in_exec = words.is_empty() && proc::exe(*pid).is_some();
        in_exec || words.ends_with(&command)
    };
    soon(|| {
        who_executes(&command).is_some() || !proc::all().iter().any(is_there)
    });
    ensure(
        who_executes(&command).is_none(),
        "a map could not be written, but COMMAND runs all the same",
        "no COMMAND without its map",
        END_OF_FILE,
    )?;
    Ok(format!("both maps are \"{map}\", and 0 inside is {first} outside"))
}
