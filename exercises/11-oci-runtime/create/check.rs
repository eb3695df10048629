//! Waits for the program's end, and looks at what it has left: before somebody
//! opens the door, and after that.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use testbed::{proc, token};

use crate::judge::look::{arguments, ensure, show, soon, who_executes, within};
use crate::judge::{Failure, Judge, how, waiting};
use crate::{Exercise, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "create",
    formerly: &[],
    step: "11-oci-runtime",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "The program is two programs: with `wait` as its first argument, it is \
         the one that waits. match on the list of arguments.",
        "In the first, Command::new(\"/proc/self/exe\").arg(\"wait\") with the \
         door's path and COMMAND, spawn, write child.id() to pid, return.",
        "In the second, File::open(door), and then exec: COMMAND takes the \
         place of the process that waited.",
    ],
    needs: &[],
    errors: &[],
    wrong: &[
        Wrong {
            name: "waits-for-its-end",
            change: &[
                ("    let child = child.arg", "    let mut child = child.arg"),
                (
                    ".context(\"write pid\")\n}",
                    ".context(\"write pid\")?;\n    child.wait()?;\n    Ok(())\n}",
                ),
            ],
            hint: RETURNS,
        },
        Wrong {
            name: "begins-at-once",
            change: &[(
                "    File::open(door).context(\"open the door\")?;",
                "    let _ = File::open(door.join(\"pid\"));",
            )],
            hint: DOOR,
        },
        Wrong {
            name: "both-ends",
            change: &[(
                "File::open(door)",
                "File::options().read(true).write(true).open(door)",
            )],
            hint: DOOR,
        },
        Wrong {
            name: "its-own-number",
            change: &[(
                "child.id().to_string()",
                "(child.id() - 1).to_string()",
            )],
            hint: NUMBER,
        },
        Wrong {
            name: "no-number",
            change: &[("join(\"pid\")", "join(\"number\")")],
            hint: NUMBER,
        },
        Wrong {
            name: "one-more-process",
            change: &[(
                "    Err(Command::new(command).args(args).exec().into())",
                "    let _ = <Command as CommandExt>::exec;\n    \
                 Command::new(command).args(args).status()?;\n    Ok(())",
            )],
            hint: BECOMES,
        },
        Wrong {
            name: "dies-with-its-parent",
            change: &[
                (
                    "    // Returns when",
                    "    let signal = nix::sys::signal::Signal::SIGKILL;\n    \
                     nix::sys::prctl::set_pdeathsig(signal)?;\n    \
                     // Returns when",
                ),
                // Before its parent ends.
                (
                    "    write(directory",
                    "    let moment = std::time::Duration::from_millis(200);\n    \
                     std::thread::sleep(moment);\n    write(directory",
                ),
            ],
            hint: STAYS,
        },
        Wrong {
            name: "no-namespace",
            change: &[(
                "    unshare(CloneFlags::CLONE_NEWUTS).context(\"unshare\")?;\n    \
                 sethostname(name).context(\"sethostname\")?;\n",
                "    let _ = (unshare(CloneFlags::empty()), sethostname::<&OsString>, name);\n",
            )],
            hint: NAME,
        },
    ],
    check,
};

const RETURNS: &str = "create ends, and the container stays: whoever called it \
                       waits for create, and then plugs the network in. So \
                       nothing waits for the child, or for the door, but the \
                       child.";
const DOOR: &str = "Nobody has opened the door, and COMMAND has begun. The \
                    process has to wait first: to open a FIFO for reading, \
                    and only for that, takes until somebody opens it for \
                    writing.";
const NUMBER: &str = "DIRECTORY/pid has the number of the process that waits, \
                      in digits: child.id(). It is written before create ends.";
const BECOMES: &str = "COMMAND is to have the number that was written down: \
                       others hold on to it. A process keeps its number when \
                       it executes another program: exec, not spawn.";
const STAYS: &str = "The process is gone as soon as create has ended. So far a \
                     container died with its runtime, by PR_SET_PDEATHSIG: \
                     not here.";
const NAME: &str = "All of the container is made by create, but its command: \
                    a UTS namespace, and the name in it. A child inherits \
                    both.";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let (name, command, directory) = (token(), waiting(), judge.directory());
    let mut run = judge.program();
    run = run.args([&show(&directory), &name]).args(&command).start();
    let begun = format!("`{}` has begun", command.join(" "));
    let has_ended = soon(|| run.has_ended());
    ensure(has_ended, "create does not end", "it ends", RETURNS)?;
    let ended = run.ends()?;
    ensure(
        ended.status.success(),
        format!("create: {}: {}", how(ended.status), ended.stderr),
        "exit status 0",
        RETURNS,
    )?;
    // Time enough for whoever does not wait.
    sleep(Duration::from_millis(200));
    ensure(who_executes(&command).is_none(), begun, "it waits", DOOR)?;
    let text = fs::read_to_string(directory.join("pid")).unwrap_or_default();
    let left: Vec<_> =
        proc::all().into_iter().filter(|it| is_it(judge, *it)).collect();
    ensure(!left.is_empty(), "it left no process", "one that waits", STAYS)?;
    let pid = text.trim().parse().unwrap_or(0);
    ensure(
        left == [pid],
        format!("in DIRECTORY/pid is \"{}\"", text.trim()),
        "the number of the process that it left",
        NUMBER,
    )?;
    let hostname = within(pid, "uts", &["hostname"]);
    let hosts = proc::namespace(judge.host(), "uts");
    ensure(
        hostname == name && proc::namespace(pid, "uts") != hosts,
        format!("its hostname is {hostname}"),
        format!("{name}, in a UTS namespace of its own"),
        NAME,
    )?;
    let door = directory.join("door");
    let is_fifo = fs::metadata(&door).is_ok_and(|it| it.file_type().is_fifo());
    // ENXIO: nobody reads from it.
    let opened =
        File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&door);
    ensure(
        is_fifo && opened.is_ok(),
        "nobody waits at DIRECTORY/door",
        "a FIFO, that somebody has opened for reading",
        DOOR,
    )?;
    drop(opened);
    soon(|| who_executes(&command).is_some());
    let executes = arguments(pid) == command;
    ensure(
        executes,
        format!(
            "the door is open; process {pid}: {}",
            arguments(pid).join(" ")
        ),
        command.join(" "),
        BECOMES,
    )?;
    Ok(format!("process {pid} of {name} waited, and became the command"))
}

/// Whether a process is one of the learner's program.
fn is_it(judge: &Judge, pid: i32) -> bool {
    proc::exe(pid)
        .is_some_and(|exe| exe.file_name() == judge.path().file_name())
}
