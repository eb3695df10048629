//! A second terminal joins a playground that runs: a presenter looks at the
//! kernel between two calls, a learner looks at a container from its host.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use nix::sys::signal::Signal;
use testbed::watch::Watch;
use testbed::{Running, Step, checkout, eventually, host, needs, proc, token};

use crate::{
    LINGER, Who, assert_has_job_control, assert_no_cgroup, bash,
    in_a_playground, text,
};

/// A command in a playground that says `ready`, and goes on for long.
pub fn start(who: Who, script: &str) -> Running {
    let script = format!("{script}; echo ready; exec sleep 1000");
    let mut first = who.playground().args(["bash", "-c", &script]).start();
    assert_eq!(first.line(), "ready", "{who:?}");
    first
}

/// `playground.sh --join=PID`, started by them.
pub fn join(who: Who, playground: i32) -> Step {
    who.playground().args([format!("--join={playground}")])
}

/// What runs at the end of a chain: the command, below all that started it.
fn command_of(running: &Running) -> i32 {
    let mut pid = running.runtime();
    while let Some(&child) = proc::children(pid).last() {
        pid = child;
    }
    pid
}

/// All that makes two processes neighbours, as the kernel tells it.
fn place(pid: i32) -> Vec<String> {
    let link = |name| fs::read_link(format!("/proc/{pid}/{name}"));
    let file = |name| fs::read_to_string(format!("/proc/{pid}/{name}"));
    let mut place: Vec<_> =
        ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"]
            .map(|kind| proc::namespace(pid, kind))
            .into();
    place.extend(["root", "cwd"].map(|name| format!("{:?}", link(name))));
    place.extend(["Uid", "Gid", "Groups", "CapEff", "CapBnd"].map(|key| {
        proc::status(pid, key).unwrap_or_else(|| panic!("no {key}: {pid}"))
    }));
    place.push(file("cgroup").expect("its cgroups"));
    place
}

/// Without what every shell counts, and the kind of terminal.
fn environment(pid: i32) -> BTreeSet<String> {
    // Between the program's start and its first instruction it is empty.
    let all = eventually("an environment", || {
        let all = fs::read(format!("/proc/{pid}/environ")).expect("environ");
        (!all.is_empty()).then_some(all)
    });
    let is_same = |word: &&str| {
        !["SHLVL=", "OLDPWD=", "_=", "TERM="]
            .iter()
            .any(|name| word.starts_with(name))
    };
    text(&all).split('\0').filter(is_same).map(str::to_owned).collect()
}

pub fn a_second_terminal_is_in_the_same_place() {
    for who in Who::all() {
        let name = token();
        let first = start(who, &format!("hostname {name}"));
        let mut second = join(who, first.runtime());
        second.command().env("OF_THE_SECOND", "secret").env("TERM", "dumb");
        if who == Who::Me {
            second.command().current_dir("/");
        }
        let script = "hostname; echo $TERM; exec sleep 1000";
        let mut second = second.args(["--", "bash", "-c", script]).start();
        assert_eq!(second.line(), name, "{who:?}");
        assert_eq!(second.line(), "dumb", "{who:?}");

        let asleep = |running: &Running| {
            eventually("a sleep", || {
                let pid = command_of(running);
                let exe = proc::exe(pid).unwrap_or_default();
                exe.ends_with("sleep").then_some(pid)
            })
        };
        let (one, two) = (asleep(&first), asleep(&second));
        assert_ne!(one, two, "{who:?}");
        assert_eq!(place(one), place(two), "{who:?}");
        assert_eq!(environment(one), environment(two), "{who:?}");

        if who != Who::Me {
            let refused =
                join(Who::Me, first.runtime()).args(["true"]).output();
            assert_eq!(refused.status.code(), Some(125), "{refused:?}");
        }
    }
}

pub fn a_second_terminal_has_job_control() {
    needs::real_processor();
    for who in Who::all() {
        let first = start(who, "true");
        let mut shell =
            join(who, first.runtime()).args(["bash", "--norc", "-i"]);
        shell.command().env("TERM", "dumb");
        let mut terminal = shell.on_terminal();
        let before = terminal.settings();
        assert_has_job_control(who, &mut terminal);

        // A shell that is killed leaves its terminal as it was for editing.
        let editing = || (terminal.settings() != before).then_some(());
        eventually("a prompt", editing);
        first.signal(Signal::SIGKILL);
        terminal.shows("it has ended");
        eventually("the terminal as it was", || {
            (terminal.settings() == before).then_some(())
        });
        assert_eq!(terminal.finish().0, 137, "{who:?}");
    }
}

pub fn a_second_terminal_gets_a_shell_by_default() {
    needs::real_processor();
    let first = start(Who::Me, "export HISTFILE=/dev/null");
    let mut second = join(Who::Me, first.runtime());
    second.command().env("TERM", "dumb");
    let mut terminal = second.on_terminal();
    terminal.shows("You have joined the playground.");
    terminal.shows("root@playground:");
    terminal.types("unset HISTFILE; exit 5\n");
    assert_eq!(terminal.finish().0, 5);
}

/// With the command of the first lesson.
pub fn a_presenter_looks_between_two_calls() {
    needs::real_processor();
    needs::command("pgrep");
    let lesson = checkout().join("steps/01-chroot/README.md");
    let lesson = fs::read_to_string(lesson).expect("the lesson");
    let look = lesson
        .split('`')
        .find(|words| words.starts_with("readlink /proc/$(pgrep"))
        .expect("a look at the paused container");
    for who in Who::all() {
        let pausing = ["01-chroot", "--pause", "true"];
        let mut terminal = who.playground().args(pausing).on_terminal();
        let mut root_before = |call| {
            while !terminal.shows("⏎").contains(call) {
                terminal.types("\n");
            }
            let second = join(who, terminal.pid());
            let root = second.args(["bash", "-c", look]).stdout();
            terminal.types("\n");
            root
        };
        assert_eq!(root_before("chroot("), "/", "{who:?}");
        let after = root_before("chdir(");
        assert!(after.starts_with("/run/cache/"), "{who:?}: {after}");
    }
}

pub fn the_exit_status_of_a_second_command_is_its_own() {
    needs::real_processor();
    for who in Who::all() {
        let first = start(who, "true");
        for (script, expected) in
            [("exit 7", 7), ("kill -TERM $$", 128 + 15), ("no-such", 127)]
        {
            let second =
                join(who, first.runtime()).args(["sh", "-c", script]).output();
            assert_eq!(second.status.code(), Some(expected), "{second:?}");
        }
    }
}

pub fn who_joins_ends_with_the_playground() {
    needs::real_processor();
    for who in Who::all() {
        for kill in [false, true] {
            let watch = Watch::begin();
            let mut first = watch
                .over_script(who.playground())
                .args(["bash", "-c", "echo ready; read line; exit 5"])
                .start();
            assert_eq!(first.line(), "ready", "{who:?}");
            let pid = first.runtime();
            let script = format!("{LINGER}; echo ready; sleep 1000");
            let mut second = watch
                .over_script(join(who, first.runtime()))
                .args(["bash", "-c", &script]);
            second.command().stderr(Stdio::null());
            let mut second = second.start();
            assert_eq!(second.line(), "ready", "{who:?}");
            if kill {
                first.signal(Signal::SIGKILL);
            } else {
                assert_eq!(first.finish().0, 5, "{who:?}");
            }
            assert_eq!(second.ended(), 137, "{who:?}");
            watch.assert_nothing_left(&format!("{who:?}"));
            assert_no_cgroup(pid);
        }
    }
}

pub fn a_playground_outlives_who_joins() {
    needs::real_processor();
    for who in Who::all() {
        let first = start(who, "true");
        let mut second = join(who, first.runtime())
            .args(["bash", "-c", "echo ready; exec sleep 1000"])
            .start();
        assert_eq!(second.line(), "ready", "{who:?}");
        let command = command_of(&second);
        second.signal(Signal::SIGKILL);
        host::assert_gone(command);
        assert!(
            join(who, first.runtime()).args(["true"]).output().status.success()
        );
    }
}

/// In a playground, where nobody else starts one.
const SEVERAL: &str = r#"
start() {
    exec {said}< <(exec ./scripts/playground.sh bash -c 'hostname $0; echo ready; exec sleep 1000' "$1")
    pids+=($!)
    read -r -u "$said"
}
# One that was killed just now may still be on its way out.
for i in {1..50}; do ./scripts/playground.sh --join true 2>/dev/null || break; sleep 0.1; done
./scripts/playground.sh --join true || echo $?
start one
./scripts/playground.sh --join hostname
start two
./scripts/playground.sh --join hostname || echo $?
for pid in "${pids[@]}"; do ./scripts/playground.sh --join=$pid hostname; done
./scripts/playground.sh --join=$$ true || echo $?
kill "${pids[@]}"
"#;

pub fn of_several_one_is_joined_by_its_pid() {
    needs::real_processor();
    let several = match in_a_playground() {
        true => {
            let mut shell = Step::shell(SEVERAL);
            shell.command().current_dir(checkout());
            shell.output()
        }
        false => bash(Who::Me, SEVERAL),
    };
    let told = text(&several.stdout);
    assert_eq!(told, "125\none\n125\none\ntwo\n125\n", "{several:?}");
    let lessons = text(&several.stderr);
    for lesson in [
        "no playground of yours runs here",
        "2 playgrounds of yours run here",
        "runs bash -c hostname $0; echo ready; exec sleep 1000 two\n",
        "is not a playground of yours",
    ] {
        assert!(lessons.contains(lesson), "{lesson}: {lessons}");
    }
}
