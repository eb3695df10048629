//! Writes into the command's overlay from outside, through /proc/PID/root, and
//! looks where the text went.

use std::fs;

use nix::errno::Errno;
use testbed::{proc, token};

use crate::judge::look::{ensure, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "upper-layer",
    formerly: &[],
    step: "07-overlayfs",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The two names are upperdir and workdir.",
        "format!(\"lowerdir={lower},upperdir={upper},workdir={work}\")",
    ],
    needs: &[],
    errors: &[(Errno::EINVAL, OPTIONS), (Errno::ENOENT, NO_DIRECTORY)],
    wrong: &[
        Wrong {
            name: "swapped",
            change: &[(
                "lowerdir={lower},upperdir={upper}",
                "lowerdir={upper},upperdir={lower}",
            )],
            hint: SWAPPED,
        },
        Wrong {
            name: "no-work",
            change: &[
                (",workdir={work}", ""),
                ("let options =", "let _ = work; let options ="),
            ],
            hint: OPTIONS,
        },
        Wrong {
            name: "work-is-upper",
            change: &[
                ("workdir={work}", "workdir={upper}"),
                ("let options =", "let _ = work; let options ="),
            ],
            hint: OPTIONS,
        },
        Wrong {
            name: "with-spaces",
            change: &[(
                "{lower},upperdir={upper}",
                "{lower}, upperdir={upper}",
            )],
            hint: OPTIONS,
        },
        Wrong {
            name: "work-is-not-there",
            change: &[("workdir={work}", "workdir={work}/work")],
            hint: NO_DIRECTORY,
        },
        Wrong {
            name: "over-the-lower-one",
            change: &[(
                "mount(kind, &**merged",
                "let _ = merged; mount(kind, &**lower",
            )],
            hint: NO_OVERLAY,
        },
    ],
    check,
};

const READ_ONLY: &str = "An overlay without upperdir is read-only. It needs \
                         upperdir=UPPER and workdir=WORK.";
const SWAPPED: &str = "What was written went to a directory other than UPPER. \
                       lowerdir is read, upperdir takes the writes.";
const OPTIONS: &str = "EINVAL from an overlay: upperdir without workdir, a \
                       workdir that is not an empty directory beside it, a name \
                       that the kernel does not know, or a space.";
const NO_DIRECTORY: &str = "ENOENT from an overlay: one of the directories is \
                            not there. Is a name misspelled?";
const NO_OVERLAY: &str = "COMMAND has no overlay on MERGED.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let [lower, upper, work, merged] = [(); 4].map(|()| judge.directory());
    let (old, new, command) = (token(), token(), waiting());
    fs::write(lower.join("file"), &old).expect("write");
    let args = [&lower, &upper, &work, &merged];
    let mut run = judge.program().args(args).args(&command).start();
    let pid = run.reaches(&command)?;
    let place = show(&merged);
    let is = proc::mounts(pid)
        .iter()
        .any(|it| it.place == place && it.kind == "overlay");
    ensure(is, format!("no overlay on {place}"), "an overlay", NO_OVERLAY)?;

    let file = format!("/proc/{pid}/root{place}/file");
    let seen = fs::read_to_string(&file).unwrap_or_default();
    ensure(
        seen == old,
        "LOWER's file is not in MERGED",
        "the files of LOWER in MERGED",
        SWAPPED,
    )?;
    if let Err(error) = fs::write(&file, &new) {
        let observed = format!("writing a file in MERGED fails: {error}");
        return Err(Failure::new(observed, "it works", READ_ONLY));
    }
    let text = |path| fs::read_to_string(path).unwrap_or_default();
    let (up, low) = (text(upper.join("file")), text(lower.join("file")));
    let word = |is: bool| if is { "changed" } else { "as it was" };
    ensure(
        up == new && low == old,
        format!(
            "a file of MERGED was written: LOWER's is {}, UPPER {} it",
            word(low != old),
            if up == new { "has" } else { "does not have" }
        ),
        "LOWER's is as it was, UPPER has it",
        SWAPPED,
    )?;
    Ok("a file of MERGED was written: UPPER has it, LOWER is as it was".into())
}
