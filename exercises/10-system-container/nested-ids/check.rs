//! Starts the program in a machine of step 10, and reads the command's id maps,
//! which show the host's ids to us.

use nix::errno::Errno;

use crate::judge::look::{ensure, output, show, words};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "nested-ids",
    formerly: &[],
    step: "10-system-container",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Which ids are there in this machine? 0 to 65535. Is the sum that the \
         program calculates one of them?",
        "The three lines that calculate the sum can go: the map is \
         `0 FIRST COUNT`, as in step 05.",
    ],
    needs: &[Need::Ids, Need::Programs],
    errors: &[(Errno::EPERM, AROUND), (Errno::EINVAL, NO_ROOT)],
    wrong: &[
        Wrong {
            name: "more-than-there-are",
            change: &[("\"0 {first} {count}\"", "\"0 {first} 4000000\"")],
            hint: AROUND,
        },
        Wrong {
            name: "the-machines-own",
            change: &[("\"0 {first} {count}\"", "\"0 0 {count}\"")],
            hint: SAME,
        },
        Wrong {
            name: "one-to-one",
            change: &[("\"0 {first} {count}\"", "\"{first} {first} {count}\"")],
            hint: NO_ROOT,
        },
        Wrong {
            name: "one-id-only",
            change: &[("\"0 {first} {count}\"", "\"0 {first} 1\"")],
            hint: SAME,
        },
    ],
    check,
};

const AROUND: &str = "EPERM: the second number of a map names an id of the \
                      namespace around, here of the machine, and each id from \
                      there on has to exist in it. What it is on the host, \
                      the kernel works out by itself.";
const SAME: &str = "A map is: first id inside, first id in the machine, how \
                    many. Here: 0, FIRST, COUNT. With another one, the root of \
                    the inner container is somebody who was not lent to it: \
                    the machine's own root, say.";
const NO_ROOT: &str = "EINVAL: COMMAND is to be user 0, and 0 has no place in \
                       the map. Its first number is the first id inside.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let command = waiting();
    let machine = std::env::current_exe().expect("our own path");
    let machine = show(&machine.with_file_name("10-system-container"));
    let place = show(judge.path().parent().expect("a directory"));
    let volume = format!("{place}:{place}");
    let options = ["-q", "--network", "none", "-v", &volume, "--"];
    // The last ids that the machine has: whoever adds something leaves them.
    let look = [&options[..], &["cat", "/proc/self/uid_map"]].concat();
    let map = output(&machine, &look);
    let map: Vec<u32> =
        map.split_whitespace().filter_map(|it| it.parse().ok()).collect();
    let [_, begin, size] = map[..] else { panic!("no machine: {map:?}") };
    let count = number(100, 400);
    let first = size - count - number(1, begin.min(900));
    let run = [&[&*machine], &options[..]].concat();
    let run = judge.program_by(&run);
    let mut run = run
        .args([first, count].map(|it| it.to_string()))
        .args(&command)
        .start();
    let pid = run.reaches(&command)?;
    let map = format!("0 {} {count}", begin + first);
    for file in ["uid_map", "gid_map"] {
        let is = words(pid, file);
        ensure(
            is == map,
            format!("seen from the host, {file} is \"{is}\""),
            format!("\"{map}\""),
            SAME,
        )?;
    }
    Ok(format!(
        "the machine's root is {begin} on the host, that of the container in \
         it {}: \"{map}\"",
        begin + first
    ))
}
