//! Looks where the command's `/` is.

use nix::errno::Errno;

use crate::judge::look::{ensure, link, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "chroot",
    formerly: &[],
    step: "01-chroot",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The call belongs where the TODO is: before the command takes over.",
        "nix::unistd::chroot(&*root)?;",
    ],
    needs: &[],
    errors: &[(Errno::ENOENT, NOT_FOUND)],
    wrong: &[
        Wrong {
            name: "only-chdir",
            change: &[(
                "nix::unistd::chroot(&*root).context(\"chroot\")?;\n\n    \
                 std::env::set_current_dir(\"/\")?;",
                "std::env::set_current_dir(&root)?;",
            )],
            hint: ONLY_CHDIR,
        },
        Wrong {
            name: "here-instead-of-root",
            change: &[("chroot(&*root)", "chroot(\".\")")],
            hint: NOT_FOUND,
        },
    ],
    check,
};

const NO_CHROOT: &str = "Nobody has called chroot(2) yet. It goes where the \
                         TODO is, before the command is executed.";
const ONLY_CHDIR: &str = "You stand in ROOT (chdir), but paths still begin at \
                          the host's /. The call that moves / is chroot(2).";
const NOT_FOUND: &str = "After chroot, paths begin at the new root, and \
                         COMMAND is looked up there. Did you give ROOT (the \
                         variable root) to chroot? Do you use a path of the \
                         host after the call?";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let root = judge.root();
    let command = waiting();
    let mut run = judge.program().args([&root]).args(&command).start();
    let pid = run.reaches(&command)?;
    let (is, stands) = (link(pid, "root"), link(pid, "cwd"));
    let observed = format!("/proc/{pid}/root of the command is {}", show(&is));
    let expected = format!("it is {}", show(&root));
    let hint = match () {
        () if is != link(1, "root") => NOT_FOUND,
        () if stands.starts_with(&root) => ONLY_CHDIR,
        () => NO_CHROOT,
    };
    ensure(is == root, &observed, expected, hint)?;
    Ok(observed)
}
