//! Has a program ask for the refused call by each door of the kernel, and looks
//! for what it would have made.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::errno::Errno;
use testbed::{proc, token};

use crate::judge::look::{ensure, show};
use crate::judge::machine::{Argument, Call, Door, program};
use crate::judge::{Failure, Judge, how, number, waiting};
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "second-door",
    formerly: &[],
    step: "09-least-privilege",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "What does the filter know of a call before it compares the number? \
         Which number has your call for a program of 32 bits?",
        "First load(ARCHITECTURE). If it is OURS, leave out one instruction: \
         the one that answers SECCOMP_RET_KILL_PROCESS. Then load(NUMBER), and \
         all the rest.",
    ],
    needs: &[Need::Bits32],
    errors: &[(Errno::EACCES, NO_NEW_PRIVS)],
    wrong: &[
        Wrong {
            name: "others-are-let-through",
            change: &[("SECCOMP_RET_KILL_PROCESS", "SECCOMP_RET_ALLOW")],
            hint: DOOR,
        },
        Wrong {
            name: "ours-is-enough",
            change: &[(
                "OURS, 1, 0),\n",
                "OURS, 0, 1),\n        answer(SECCOMP_RET_ALLOW),\n",
            )],
            hint: ANSWERED,
        },
        Wrong {
            name: "number-not-loaded-again",
            change: &[("        load(NUMBER),\n", "")],
            hint: OWN,
        },
        Wrong {
            name: "number-alone-is-loaded",
            change: &[("load(ARCHITECTURE)", "load(NUMBER)")],
            hint: OWN,
        },
        Wrong {
            name: "jumps-the-wrong-way",
            change: &[("OURS, 1, 0", "OURS, 0, 1")],
            hint: OWN,
        },
        Wrong {
            name: "before-no-new-privs",
            change: &[
                (
                    "    set_no_new_privs(true).context(\"no_new_privs\")?;\n",
                    "",
                ),
                (
                    "    // Returns only",
                    "    set_no_new_privs(true).context(\"no_new_privs\")?;\n    \
                     // Returns only",
                ),
            ],
            hint: NO_NEW_PRIVS,
        },
        Wrong {
            name: "no-filter",
            change: &[(
                "    filter_system_calls(&filter).context(\"seccomp\")?;\n",
                "    let _ = (filter, filter_system_calls);\n",
            )],
            hint: NO_FILTER,
        },
    ],
    check,
};

const DOOR: &str = "The same call has another number for programs of another \
                    architecture, and this one asked as they do. Load the \
                    architecture (at 4) before the number. What is not ours is \
                    not to be let through: its numbers mean other calls.";
const ANSWERED: &str = "An answer is the end: what stands below it is not \
                        looked at. The number is compared after the \
                        architecture, and only then a call of ours is allowed.";
const OWN: &str = "The filter refuses what it should let through. Follow your \
                   own calls from the top. What was loaded last, and is \
                   compared? Which instruction comes next when that holds, and \
                   which when it fails?";
const NO_NEW_PRIVS: &str = "EACCES: a filter could lie to a setuid program. So \
                            whoever is not root has to give those up first: \
                            set_no_new_privs comes before filter_system_calls.";
const NO_FILTER: &str = "The line with filter_system_calls has to stay.";

/// A call that makes a name in a directory.
struct Makes {
    call: &'static str,
    /// Its number, and the one for programs of 32 bits.
    number: u32,
    bits32: u32,
    /// What it takes besides the name, which is the first or the last.
    text: Option<&'static str>,
    mode: u32,
}

const REGULAR: u32 = 0o100_000;

const ALL: [Makes; 4] = [
    Makes { call: "mkdir", number: 83, bits32: 39, text: None, mode: 0o755 },
    Makes { call: "creat", number: 85, bits32: 8, text: None, mode: 0o644 },
    Makes { call: "mknod", number: 133, bits32: 14, text: None, mode: REGULAR },
    Makes { call: "symlink", number: 88, bits32: 83, text: Some("x"), mode: 0 },
];

impl Makes {
    fn name<'a>(&self, door: Door, number: u32, name: &'a str) -> Call<'a> {
        let mode = Argument::Is(self.mode);
        let text = self.text.map(Argument::At);
        let name = [Argument::At(name), mode, Argument::Is(0)];
        let arguments = text.into_iter().chain(name).collect();
        Call { door, number, arguments }
    }
}

const X32: u32 = 0x4000_0000;

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (first, second) = (number(0, 4), number(1, 3));
    let refused = &ALL[first as usize];
    let other = &ALL[((first + second) % 4) as usize];
    let by = without_powers(judge);
    let run = |command: &[String]| {
        let run = judge.program_by(&by).args([refused.number.to_string()]);
        run.args(command).start()
    };

    let command = waiting();
    let mut waits = run(&command);
    let pid = waits.reaches(&command).map_err(refuses_us)?;
    let filters = |pid| {
        let count = proc::status(pid, "Seccomp_filters");
        count.and_then(|it| it.parse().ok()).unwrap_or(0)
    };
    let (has, hosts): (u32, u32) = (filters(pid), filters(judge.host()));
    ensure(
        has > hosts,
        format!("/proc/{pid}/status counts no filter (Seccomp_filters)"),
        "one more than the host's processes have",
        NO_FILTER,
    )?;

    let directory = judge.directory();
    fs::set_permissions(&directory, Permissions::from_mode(0o777))
        .expect("chmod");
    // Asks for a name that nobody has. Whether it is there, and how it ended.
    let made = |call: &Makes, door, number| {
        let (file, name) = (directory.join(token()), directory.join(token()));
        let asks = program(&[call.name(door, number, &show(&name))], &[]);
        fs::write(&file, asks).expect("write a program");
        fs::set_permissions(&file, Permissions::from_mode(0o755))
            .expect("chmod");
        let ended = run(&[show(&file)]).ends()?;
        Ok((name.symlink_metadata().is_ok(), how(ended.status)))
    };
    let here = format!("call {} ({})", refused.number, refused.call);
    let expected = format!("{here} is not made, by whichever door");
    let (is_made, _) = made(refused, Door::Own, refused.number)?;
    ensure(!is_made, format!("{here} is made"), &expected, ANSWERED)?;

    let another = format!("call {} ({})", other.number, other.call);
    let (is_made, end) = made(other, Door::Own, other.number)?;
    ensure(
        is_made,
        format!("{another} is not made: {end}"),
        "it works, as all calls but the one do",
        OWN,
    )?;

    let there = format!("call {} ({})", refused.bits32, refused.call);
    let (is_made, _) = made(refused, Door::Bits32, refused.bits32)?;
    ensure(
        !is_made,
        format!(
            "{here} is refused. By int 0x80, as programs of 32 bits ask, \
             {there} is made"
        ),
        &expected,
        DOOR,
    )?;
    let (is_made, _) = made(refused, Door::Own, refused.number | X32)?;
    let observed = format!("{here} is refused. As x32 asks, it is made");
    ensure(!is_made, observed, &expected, DOOR)?;
    Ok(format!(
        "{here} is refused, and by int 0x80, too, as {there}. Another one \
         works: {another}"
    ))
}

/// What starts a program without the powers of root, even where there is only
/// root.
fn without_powers(judge: &Judge) -> Vec<String> {
    let (_, _, by) = judge.somebody();
    if !by.is_empty() {
        return by;
    }
    let none = "setpriv --bounding-set=-all --inh-caps=-all";
    none.split(' ').map(str::to_owned).collect()
}

/// It has a filter, and ends by a signal, or is not permitted what everybody is.
fn refuses_us(failure: Failure) -> Failure {
    let by_filter = ["killed by ", "Operation not permitted"];
    match by_filter.iter().any(|it| failure.observed.contains(it)) {
        true => Failure { hint: OWN.into(), ..failure },
        false => failure,
    }
}
