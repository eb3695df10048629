//! Looks where the program's `/` and working directory are, and whether it
//! read a file whose content nobody can guess.

use std::fs;

use crate::judge::look::{ensure, link, same_file, show};
use crate::judge::{Failure, Judge};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "break-out",
    formerly: &[],
    step: "01-chroot",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Make a directory, and chroot into it. Where do you stand now?",
        "You stand outside your own root. `..` never meets it, so it leads up \
         to the host's /. More steps than needed do no harm there.",
        "The last call makes the place where you stand your root: chroot(\".\").",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "only-climbs",
            change: &[("chroot(\"below\").context(\"chroot below\")?;", "")],
            hint: ROOT_STOPS,
        },
        Wrong {
            name: "goes-in",
            change: &[(
                "chroot(\"below\").context(\"chroot below\")?;",
                "chroot(\"below\")?; chdir(\"/\")?;",
            )],
            hint: STANDS_INSIDE,
        },
        Wrong {
            name: "no-second-chroot",
            change: &[("chroot(\".\").context(\"chroot here\")?;", "")],
            hint: ALMOST,
        },
    ],
    check,
};

const ROOT_STOPS: &str = "The root is still the chroot's, so `..` stops there. \
                          Move the root below the place where you stand: a \
                          second chroot, into a directory, without going in.";
const STANDS_INSIDE: &str = "You stand in your root, and `..` stops there. \
                             After the second chroot, don't go in: stay \
                             outside, and climb.";
const ALMOST: &str = "You stand on the host, outside your own root. Absolute \
                      paths still begin at that root. One call makes the place \
                      where you stand the root.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (file, content) = judge.secret();
    let root = judge.root();
    judge.copy_program(&root);
    // That would be too easy.
    let _ = fs::remove_file(root.join("bin/attack"));
    let by = ["chroot", &*show(&root)];
    let mut run = judge.program_by(&by).args([&file]).start();
    let pid = run.pid();
    run.until("your program reads FILE, or says why not", |run| {
        (run.stdout() + &run.stderr()).contains(&show(&file)).then_some(())
    })?;

    let (is, stands) = (link(pid, "root"), link(pid, "cwd"));
    let out = same_file(format!("/proc/{pid}/root/."), "/");
    let hint = match () {
        () if is == root => ROOT_STOPS,
        () if stands.starts_with(&root) => STANDS_INSIDE,
        () => ALMOST,
    };
    ensure(
        out,
        format!("/ is {}, and you stand in {}", show(&is), show(&stands)),
        "/ is the host's /",
        hint,
    )?;
    ensure(
        run.stdout().contains(&content),
        "its / is the host's; it did not print what is in FILE",
        "what is in FILE",
        ALMOST,
    )?;
    Ok(format!("/proc/{pid}/root is /, and it read {}", show(&file)))
}
