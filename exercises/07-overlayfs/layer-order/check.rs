//! Reads what the command sees from outside, through /proc/PID/root.

use std::fs;

use nix::errno::Errno;
use testbed::token;

use crate::judge::look::{ensure, show};
use crate::judge::{Failure, Judge, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "layer-order",
    formerly: &[],
    step: "07-overlayfs",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The kernel's text says which end of the list is the top.",
        "layers.iter().rev() reads the list from its end.",
    ],
    needs: &[],
    errors: &[
        (Errno::EINVAL, COLON),
        (Errno::ENOENT, COLON),
        (Errno::ENOTDIR, COLON),
    ],
    wrong: &[
        Wrong { name: "as-named", change: &[(".rev()", "")], hint: ORDER },
        Wrong {
            name: "only-the-ends",
            change: &[(
                "    let options",
                "    let layers = [layers[0], layers[layers.len() - 1]];\n    let options",
            )],
            hint: MISSING,
        },
        Wrong {
            name: "with-commas",
            change: &[("layers.join(\":\")", "layers.join(\",\")")],
            hint: COLON,
        },
    ],
    check,
};

const ORDER: &str = "lowerdir=A:B:C reads A first: the leftmost is the top. The \
                     arguments name the lowest first.";
const MISSING: &str = "A layer is missing: all of them belong in lowerdir.";
const COLON: &str = "The directories of lowerdir have colons between them, and \
                     nothing else.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let count = 4;
    let layers: Vec<_> = (0..count).map(|_| judge.directory()).collect();
    let marks: Vec<_> = (0..count).map(|_| token()).collect();
    for (layer, mark) in layers.iter().zip(&marks) {
        fs::write(layer.join("which"), mark).expect("write");
        fs::write(layer.join(mark), mark).expect("write");
    }
    let (merged, command) = (judge.directory(), waiting());
    let run = judge.program().args([&merged]).args(&layers).args(["--"]);
    let mut run = run.args(&command).start();
    let pid = run.reaches(&command)?;

    let merged = format!("/proc/{pid}/root{}", show(&merged));
    let is = fs::read_to_string(format!("{merged}/which")).unwrap_or_default();
    let which = marks.iter().position(|mark| *mark == is);
    let which = which.map_or("none".into(), |it| (it + 1).to_string());
    let exists = |mark: &&String| {
        fs::exists(format!("{merged}/{mark}")).unwrap_or(false)
    };
    let seen = marks.iter().filter(exists).count();
    let observed =
        format!("{seen} of {count} layers are seen; number {which} is on top");
    let expected =
        format!("{count} of {count} layers are seen; number {count} is on top");
    let hint = if seen < count { MISSING } else { ORDER };
    ensure(observed == expected, &observed, expected, hint)?;
    Ok(observed)
}
