//! Boots this host's systemd in a machine of step 10, and reads what it says on
//! its console.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::judge::look::{ensure, show, soon};
use crate::judge::{Failure, Judge, Run, number};
use crate::need::SYSTEMD;
use crate::{Exercise, Need, Wrong};

pub const EXERCISE: Exercise = Exercise {
    name: "first-boot",
    formerly: &[],
    step: "10-system-container",
    task: include_str!("task.md"),
    start: include_str!("start.rs"),
    solution: include_str!("solution.rs"),
    hints: &[
        "In place of the first TODO, a tmpfs on /run: nix::mount::mount(\
         Some(\"tmpfs\"), \"/run\", …). It covers the one that is read-only.",
        "In place of the second, init.env(\"container\", name).",
    ],
    needs: &[Need::Ids, Need::Cgroup, Need::Systemd, Need::Programs],
    errors: &[],
    wrong: &[
        Wrong {
            name: "read-only-again",
            change: &[("MsFlags::MS_NODEV", "MsFlags::MS_RDONLY")],
            hint: RUN,
        },
        Wrong {
            name: "mounted-elsewhere",
            change: &[(
                "mount(Some(\"tmpfs\"), \"/run\"",
                "mount(Some(\"tmpfs\"), \"/mnt\"",
            )],
            hint: RUN,
        },
        Wrong {
            name: "without-a-name",
            change: &[("    init.env(\"container\", name);\n", "")],
            hint: NAME,
        },
        Wrong {
            name: "another-variable",
            change: &[("\"container\"", "\"CONTAINER\"")],
            hint: NAME,
        },
        Wrong {
            name: "as-a-child",
            change: &[(
                "    Err(init.args(args).exec().into())",
                "    init.args(args).status()?;\n    Ok(())",
            )],
            hint: FIRST,
        },
    ],
    check,
};

const RUN: &str = "It can't make what it needs in /run. Mount a tmpfs there, \
                   one that can be written to, before INIT begins: what is \
                   mounted last is what is seen.";
const NAME: &str = "systemd looks for a variable named container, in small \
                    letters, in its own environment. Command::env adds one to \
                    the program that is about to be executed.";
const FIRST: &str = "An init is number 1, or it is no init. Your program is \
                     number 1: so it has to become INIT, by exec, and not \
                     start it as a child.";

type Text = &'static str;

/// What covers /run, and takes the name away. It is called init: so a machine
/// boots, with a console.
const BREAKS: Text = "#!/bin/sh
mount -t tmpfs -o ro,mode=755 none /run
unset container
shift
exec /machine/first-boot \"$@\"
";

/// Names that systemd knows.
const NAMES: [&str; 3] = ["lxc", "docker", "podman"];

const BOOTS: Text = "Queued start job";
const RUNS_IN: Text = "Detected virtualization ";

fn check(judge: &mut Judge) -> Result<String, Failure> {
    let directory = judge.directory();
    let init = directory.join("init");
    fs::write(&init, BREAKS).expect("write a script");
    fs::copy(judge.path(), directory.join("first-boot")).expect("copy");
    for path in [&directory, &init] {
        fs::set_permissions(path, Permissions::from_mode(0o755))
            .expect("chmod");
    }
    let machine = std::env::current_exe().expect("our own path");
    let machine = show(&machine.with_file_name("10-system-container"));
    let volume = format!("{}:/machine", show(&directory));
    let name = NAMES[number(0, NAMES.len() as u32) as usize];
    let options = ["-q", "--network", "none", "-e", "TERM=dumb", "-v", &volume];
    let run = [&[&*machine], &options[..], &["--", "/machine/init"]].concat();
    let mut run = judge.program_by(&run).args([name, SYSTEMD]).start();
    let begun = run.until("an init that boots", |run| {
        let has_ended = run.has_ended();
        let boots = run.stdout().contains(BOOTS);
        (boots || has_ended).then_some(boots)
    });
    let console = without_colour(&run.stdout());
    let told = judged(begun, &console, name);
    halt(&mut run);
    told
}

fn judged(
    begun: Result<bool, Failure>,
    console: &str,
    name: &str,
) -> Result<String, Failure> {
    let last: Vec<_> =
        console.lines().map(str::trim).filter(|it| !it.is_empty()).collect();
    let last = last[last.len().saturating_sub(3)..].iter();
    let last: String = last.map(|it| format!("\n  | {it:.160}")).collect();
    let hint = match console.contains("--user") {
        true => FIRST,
        false => RUN,
    };
    ensure(
        begun?,
        format!("the machine ended. The last lines on its console:{last}"),
        "an init that boots",
        hint,
    )?;
    let said = console.lines().find_map(|it| it.trim().strip_prefix(RUNS_IN));
    let said = said.unwrap_or("nothing.").trim_end_matches('.');
    ensure(
        said == name,
        format!("it boots, and says that it runs in: {said}"),
        name,
        NAME,
    )?;
    Ok(format!("it boots, and says that it runs in: {name}"))
}

fn without_colour(console: &str) -> String {
    let mut parts = console.split("\x1b[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        text + part.split_once('m').map_or("", |(_, rest)| rest)
    })
}

/// As a person would; and once more, for one that does not listen.
fn halt(run: &mut Run) {
    for _ in 0..2 {
        if run.has_ended() {
            return;
        }
        let _ = kill(Pid::from_raw(run.pid()), Signal::SIGTERM);
        soon(|| run.has_ended());
    }
}
