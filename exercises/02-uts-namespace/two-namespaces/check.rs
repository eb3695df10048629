//! Looks for a shared memory segment of the host in the command's IPC namespace.

use testbed::token;

use crate::judge::look::{ensure, output, within};
use crate::judge::{Failure, Judge, number, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "two-namespaces",
    formerly: &[],
    step: "02-uts-namespace",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "Print the flags that you pass to unshare.",
        "CLONE_NEWUTS is one bit, CLONE_NEWIPC another. Which bits do both \
         have? And which has one or the other?",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "only-uts",
            change: &[(
                "CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC",
                "CLONE_NEWUTS",
            )],
            hint: NO_IPC,
        },
        Wrong {
            name: "only-ipc",
            change: &[(
                "CLONE_NEWUTS | CloneFlags::CLONE_NEWIPC",
                "CLONE_NEWIPC",
            )],
            hint: NO_UTS,
        },
        Wrong {
            name: "and",
            change: &[("CLONE_NEWUTS | ", "CLONE_NEWUTS & ")],
            hint: NEITHER,
        },
    ],
    check,
};

const NEITHER: &str = "unshare was given no bit at all. `a & b` keeps the bits \
                       that both have; two different flags have none in common.";
const NO_UTS: &str = "The UTS namespace is the host's: CLONE_NEWUTS is not \
                      among the flags.";
const NO_IPC: &str = "The IPC namespace is the host's: CLONE_NEWIPC is not \
                      among the flags.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let size = number(100_000, 900_000).to_string();
    let _ = output("ipcmk", &["--shmem", &size]);
    let (name, command) = (token(), waiting());
    let mut run = judge.program().args([&name]).args(&command).start();
    let pid = run.reaches(&command)?;
    let sees = |pid| {
        let table = within(pid, "ipc", &["cat", "/proc/sysvipc/shm"]);
        table.split_whitespace().any(|word| word == size)
    };
    assert!(sees(judge.host()), "the host's own segment");

    let uts = judge.namespace(pid, "uts", NO_UTS);
    let ipc = judge.namespace(pid, "ipc", NO_IPC);
    if let (Err(uts), Err(ipc)) = (&uts, &ipc) {
        let observed = format!("{}; {}", uts.observed, ipc.observed);
        return Err(Failure::new(
            observed,
            "two namespaces that are not the host's",
            NEITHER,
        ));
    }
    let (uts, _) = (uts?, ipc?);
    ensure(
        !sees(pid),
        format!("the command sees the host's segment of {size} bytes"),
        "it sees none of the host's shared memory",
        NO_IPC,
    )?;
    let its = within(pid, "uts", &["uname", "-n"]);
    ensure(
        its == name,
        format!("the command's host is called {its}"),
        format!("it is called {name}"),
        NO_UTS,
    )?;
    Ok(format!("{uts}; it sees nothing of the host's shared memory"))
}
