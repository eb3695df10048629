//! Looks at everything that leads to a file: root, working directory,
//! descriptors.

use std::fs;
use std::path::Path;

use nix::errno::Errno;

use crate::judge::look::{ensure, link, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "chroot-hole",
    formerly: &[],
    step: "01-chroot",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Where does the process stand after chroot? The call did not move it.",
        "execve(2) closes the descriptors that have the flag O_CLOEXEC. Rust's \
         own files have it. nix's open does what you tell it.",
    ],
    needs: &[],
    errors: &[(Errno::ENOENT, ORDER)],
    wrong: &[
        Wrong {
            name: "no-chdir",
            change: &[("chdir(\"/\").context(\"chdir\")?;", "")],
            hint: STANDS_OUTSIDE,
        },
        Wrong {
            name: "chdir-too-early",
            change: &[
                ("chdir(\"/\").context(\"chdir\")?;", ""),
                (
                    "chroot(&*root).context",
                    "chdir(\"/\")?; chroot(&*root).context",
                ),
            ],
            hint: STANDS_OUTSIDE,
        },
        Wrong {
            name: "descriptor-left-open",
            change: &[(" | OFlag::O_CLOEXEC", "")],
            hint: LEFT_OPEN,
        },
        Wrong {
            name: "names-after-chroot",
            change: &[(
                "chdir(\"/\").context(\"chdir\")?;",
                "chdir(&*root).context(\"chdir\")?;",
            )],
            hint: ORDER,
        },
        Wrong {
            name: "no-chroot",
            change: &[("chroot(&*root).context(\"chroot\")?;", "")],
            hint: NO_CHROOT,
        },
    ],
    check,
};

const NO_CHROOT: &str = "The command's / is the host's / again. chroot must \
                         stay; something has to come after it.";
const STANDS_OUTSIDE: &str = "The working directory is outside the root, and \
                              from there .. leads to the host's /. chroot(2) \
                              does not move it: a chdir(\"/\") has to follow, \
                              after chroot, not before.";
const LEFT_OPEN: &str = "A directory of the host is open, and fchdir(2) goes \
                         there whatever the root is. execve(2) closes what has \
                         O_CLOEXEC; or close it before.";
const ORDER: &str = "After chroot, ROOT's path leads nowhere any more: the new \
                     root is called /.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let root = judge.root();
    let command = waiting();
    let mut run = judge.program().args([&root]).args(&command).start();
    let pid = run.reaches(&command)?;

    let is = link(pid, "root");
    let observed = format!("/proc/{pid}/root is {}", show(&is));
    let expected = format!("it is {}", show(&root));
    ensure(is == root, observed, expected, NO_CHROOT)?;

    let stands = link(pid, "cwd");
    let observed = format!("/proc/{pid}/cwd is {}", show(&stands));
    let expected = "a working directory inside ROOT";
    ensure(stands.starts_with(&root), observed, expected, STANDS_OUTSIDE)?;

    for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten() {
        let Ok(entry) = entry else { continue };
        let open = fs::read_link(entry.path()).unwrap_or_default();
        let leads_out = Path::new(&open).is_dir() && !open.starts_with(&root);
        let observed = format!(
            "{} is {}: a directory of the host",
            show(&entry.path()),
            show(&open)
        );
        ensure(
            !leads_out,
            observed,
            "no open directory outside ROOT",
            LEFT_OPEN,
        )?;
    }
    Ok(format!(
        "root and working directory are {}, and nothing else is open",
        show(&root)
    ))
}
