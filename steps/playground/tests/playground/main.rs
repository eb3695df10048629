#![forbid(unsafe_code)]
//! The playground keeps what it promises, whoever starts it: root, an ordinary
//! user, and one without subordinate ids. Judged from outside.

mod outside;
mod second_terminal;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use linux_keyutils::{KeyRing, KeyRingIdentifier};
use nix::sys::signal::Signal;
use outside::Outside;
use second_terminal::*;
use testbed::watch::{Watch, cgroups_named};
use testbed::{
    Step, Terminal, binary, checkout, eventually, needs, proc, skip, stand_in,
};

testbed::main!(
    the_worst_inside_changes_nothing_outside,
    the_exit_status_is_the_commands_own,
    no_other_program_is_needed,
    where_it_is_not_built_and_cannot_be_it_says_so,
    it_starts_by_a_link_and_where_a_path_has_spaces,
    what_was_typed_is_not_for_systemd_run_to_read,
    an_empty_environment_is_enough,
    nothing_outlives_a_kill_at_any_moment,
    nothing_outlives_a_command_that_ends,
    signals_to_it_leave_nothing,
    ctrl_c_ends_the_command,
    ctrl_c_does_not_reach_who_tidies_up,
    a_terminal_has_job_control,
    a_shell_is_the_default_command,
    a_shell_without_programs_says_how_to_build_them,
    a_second_terminal_is_in_the_same_place,
    a_second_terminal_has_job_control,
    a_presenter_looks_between_two_calls,
    a_second_terminal_gets_a_shell_by_default,
    the_exit_status_of_a_second_command_is_its_own,
    who_joins_ends_with_the_playground,
    a_playground_outlives_who_joins,
    of_several_one_is_joined_by_its_pid,
    the_help_tells_the_truth_about_the_environment,
    the_steps_are_on_its_path,
    open_files_of_the_caller_stay_outside,
    keys_of_the_caller_stay_outside,
    signals_that_the_caller_ignores_are_default_inside,
    a_device_on_the_hosts_disk_does_not_open,
    a_setuid_program_of_the_host_gives_nothing,
    its_cgroups_limits_hold,
    two_of_one_number_in_two_pid_namespaces_share_a_tree,
    it_begins_as_a_known_host,
    a_caller_without_a_home_has_that_of_their_account,
    a_resolv_conf_of_any_kind_is_no_hindrance,
    what_vanishes_while_it_looks_is_no_error,
    the_demo_of_the_network_is_right_on_a_host_with_company,
    the_internet_is_reached_through_nat_only,
    the_second_playground_works_and_the_third_says_why_not,
    without_user_namespaces_it_says_so,
    newuidmap_without_rights_leaves_one_id,
);

/// Who starts the playground.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Whoever runs this test.
    Me,
    /// The ordinary user whom root can be, with subordinate ids.
    Learner,
    /// And without.
    LearnerOfOneId,
}

const PLAYGROUND: &str = "./scripts/playground.sh";

impl Who {
    /// All whom we can be. In a playground, one is enough; in the lab, where
    /// the learner has a turn of their own, too.
    fn all() -> Vec<Who> {
        let learner =
            || Step::script("as-learner.sh").args(["true"]).output().status;
        let one = in_a_playground() || needs::in_the_lab();
        if !one && needs::is_root() && learner().success() {
            vec![Who::Me, Who::Learner, Who::LearnerOfOneId]
        } else {
            vec![Who::Me]
        }
    }

    /// `playground.sh`, started by them.
    fn playground(self) -> Step {
        match self {
            Who::Me => Step::script("playground.sh"),
            Who::Learner => {
                Step::script("as-learner.sh").args(["--", PLAYGROUND])
            }
            Who::LearnerOfOneId => Step::script("as-learner.sh").args([
                "--no-subuid",
                "--",
                PLAYGROUND,
            ]),
        }
    }
}

fn in_a_playground() -> bool {
    std::env::var_os("PLAYGROUND").is_some()
}

/// Runs bash in a playground, to its end.
fn bash(who: Who, script: &str) -> Output {
    who.playground().args(["bash", "-c", script]).output()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What it says to stdout, after a success.
fn told(who: Who, script: &str) -> String {
    let output = bash(who, script);
    assert!(output.status.success(), "{who:?}: {output:?}");
    text(&output.stdout).trim_end().to_owned()
}

// ── the host ────────────────────────────────────────────────────────────────

fn the_worst_inside_changes_nothing_outside() {
    for who in Who::all() {
        let outside = Outside::now();
        let watch = Watch::begin();
        let survivor = outside.survivor().to_string();
        let worst = include_str!("worst.sh");
        let mut attack = watch
            .over_script(who.playground())
            .args(["bash", "-c", worst, "worst", &outside.token, &survivor])
            .args(&outside.places)
            .in_shell(&format!("exec {} \"$@\"", outside.enter_network()))
            .start();
        let marked = attack.line();
        for kind in ["ipc", "mnt", "net", "pid", "user", "uts"] {
            let namespace = attack.line();
            assert!(namespace.starts_with(kind), "{who:?}: {namespace:?}");
            for pid in [outside.survivor(), std::process::id() as i32] {
                assert_ne!(namespace, proc::namespace(pid, kind), "{who:?}");
            }
        }
        assert_eq!(attack.line(), "go?", "{who:?}");
        // Before anything is destroyed: is it the playground that it marks?
        outside.assert_unchanged();
        let mut ours = vec!["/etc", "/tmp", "/"];
        // Whose files these are may write them, and inside root is one.
        for place in [&outside.home, &outside.checkout] {
            let owner = fs::metadata(place).expect("stat").uid();
            let mine = owner == nix::unistd::geteuid().as_raw();
            let writable = !in_a_playground() || takes_an_overlay(place);
            if who == Who::Me && mine && writable {
                ours.push(place);
            }
        }
        for place in ours {
            let place = format!(" {place} ");
            assert!(marked.contains(&place), "{who:?} {place}: {marked}");
        }

        let pid = attack.runtime();
        attack.say("go");
        let (status, said) = attack.finish();
        assert_eq!(said, "destroyed\n", "{who:?}");
        assert_eq!(status, 42, "{who:?}");
        outside.assert_unchanged();
        watch.assert_nothing_left(&format!("{who:?}"));
        assert_no_cgroup(pid);
    }
}

/// Two overlays can lie on each other, not three: what is on an overlay of
/// the host's is for a playground in a playground to look at only.
fn takes_an_overlay(place: &str) -> bool {
    let overlay = r#"mount -t tmpfs none /dev/shm && cd /dev/shm && mkdir u w &&
        exec mount -t overlay -o userxattr,lowerdir="$0",upperdir=u,workdir=w none /mnt"#;
    Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", overlay])
        .arg(place)
        .stderr(Stdio::null())
        .status()
        .expect("unshare")
        .success()
}

/// The name of a playground's cgroups: whose numbers, and which.
fn cgroup_of(pid: i32) -> String {
    let numbers = fs::metadata("/proc/self/ns/pid").expect("a namespace");
    format!("playground-{}-{pid}", numbers.ino())
}

fn assert_no_cgroup(pid: i32) {
    let gone = || cgroups_named(&cgroup_of(pid)).is_empty();
    eventually("the end of its cgroups", || gone().then_some(()));
}

fn a_device_on_the_hosts_disk_does_not_open() {
    needs::real_processor();
    needs::host_root();
    let directory = tempfile::tempdir_in("/var/lib").expect("a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
        .expect("chmod");
    // It stands for /dev/sda: the kernel asks what it is only after the open.
    let node = directory.path().join("null");
    let made = Command::new("mknod")
        .args(["-m", "666"])
        .arg(&node)
        .args(["c", "1", "3"])
        .status();
    assert!(made.expect("mknod").success());
    let open = format!(
        "[[ -c {node} ]] && echo there; : <{node} && echo opened
         [[ ! ${{PLAYGROUND-}} ]] || for d in / /var /var/lib; do
             mount -o remount,dev $d; mount -o remount,bind,dev $d
             : <{node} && echo opened
         done; true",
        node = node.display()
    );
    let here = Command::new("bash").args(["-c", &open]).output().expect("bash");
    assert_eq!(text(&here.stdout), "there\nopened\n");
    for who in Who::all() {
        assert_eq!(told(who, &open), "there", "{who:?}");
    }
}

fn a_setuid_program_of_the_host_gives_nothing() {
    needs::host_root();
    let directory = tempfile::tempdir_in("/var/lib").expect("a directory");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755))
        .expect("chmod");
    let program = directory.path().join(testbed::token());
    fs::copy(needs::command("sleep"), &program).expect("copy");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755))
        .expect("chmod");
    for who in Who::all() {
        let _running =
            who.playground().args([program.as_path()]).args(["1000"]).start();
        let is_it = |pid: &i32| {
            let exe = proc::exe(*pid);
            exe.is_some_and(|exe| exe.file_name() == program.file_name())
        };
        let find = || proc::all().into_iter().find(is_it);
        let pid = eventually("the setuid program", find);
        let uids = proc::status(pid, "Uid").expect("its ids");
        let uids: Vec<_> = uids.split_whitespace().collect();
        assert!(uids.iter().all(|&uid| uid == uids[0]), "{who:?}: {uids:?}");
        assert_ne!(uids[0], "0", "{who:?}");
    }
}

/// As two containers have it that share a tree of cgroups.
fn two_of_one_number_in_two_pid_namespaces_share_a_tree() {
    needs::root();
    if Path::new("/run/systemd/system").exists() {
        skip("systemd gives no scope to those in another PID namespace");
    }
    let new = "exec unshare --pid --fork --kill-child --mount-proc -- \"$@\"";
    let script = "mkdir -p /run/x; echo ready; read line; exit 7";
    let start = || {
        let playground = Who::Me.playground().args(["bash", "-c", script]);
        playground.in_shell(new).start()
    };
    let (mut one, mut other) = (start(), start());
    assert_eq!([one.line(), other.line()], ["ready", "ready"]);
    one.say("");
    assert_eq!(one.ended(), 7);
    other.say("");
    assert_eq!(other.ended(), 7);
}

fn its_cgroups_limits_hold() {
    needs::host_root();
    let files = ["pids.max", "memory.max", "memory.limit_in_bytes"];
    let raise = "for f in $(find /sys/fs/cgroup -name pids.max -o \
        -name memory.max -o -name memory.limit_in_bytes); do \
        echo 9999999999 >$f; echo -1 >$f; echo max >$f; done 2>/dev/null; \
        echo ready; read line";
    let mut running = Who::Me.playground().args(["bash", "-c", raise]).start();
    assert_eq!(running.line(), "ready");
    let cgroups = cgroups_named(&cgroup_of(running.runtime()));
    let limits = cgroups.iter().flat_map(|dir| files.map(|f| dir.join(f)));
    let limits: Vec<_> =
        limits.filter_map(|file| fs::read_to_string(file).ok()).collect();
    if limits.is_empty() {
        skip("no cgroup here has the controllers memory and pids");
    }
    for limit in limits {
        let limit: u64 = limit.trim().parse().expect("a limit");
        assert!(limit < 1 << 45, "{limit} is none");
    }
}

// ── its end ─────────────────────────────────────────────────────────────────

fn the_exit_status_is_the_commands_own() {
    needs::real_processor();
    // Where the playground shows it: root's home may be closed to all others.
    let home = std::env::var("HOME").expect("HOME");
    let places = [checkout().join("target"), checkout(), home.into()];
    let plain = places
        .iter()
        .find_map(|place| tempfile::NamedTempFile::new_in(place).ok())
        .expect("a file that is no program");
    let run = |who: Who, command: &[&str], expected| {
        let output = who.playground().args(command).output();
        let told = format!("{who:?} {command:?}: {output:?}");
        assert_eq!(output.status.code(), Some(expected), "{told}");
        // What is not found or not executable, it says.
        let silent = !(126..128).contains(&expected);
        assert_eq!(silent, output.stderr.is_empty(), "{told}");
    };
    let cases = [
        (&["true"][..], 0),
        (&["sh", "-c", "exit 255"], 255),
        (&["--", "sh", "-c", "exit 3"], 3),
        (&["sh", "-c", "kill -TERM $$"], 128 + 15),
        (&["sh", "-c", "kill -KILL $$"], 128 + 9),
        (&[plain.path().to_str().expect("UTF-8")], 126),
        (&["no-such-program"], 127),
    ];
    for (command, expected) in cases {
        run(Who::Me, command, expected);
    }
    for who in Who::all() {
        run(who, &["sh", "-c", "exit 7"], 7);
        run(who, &["/nowhere/at/all"], 127);
    }
}

/// Whatever a system has of util-linux and coreutils, and whose they are.
fn no_other_program_is_needed() {
    needs::real_processor();
    let directory = tempfile::tempdir_in("/var/tmp").expect("a directory");
    let path = directory.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .expect("chmod");
    for program in ["bash", "dirname", "realpath"] {
        let place = path.join(program);
        symlink(needs::command(program), place).expect("a link");
    }
    let bash = fs::canonicalize(needs::command("bash")).expect("a path");
    let script = format!(
        "export PATH={}; exec scripts/playground.sh {} -c '
             echo $PLAYGROUND $HOSTNAME; exit 7'",
        path.display(),
        bash.display(),
    );
    for who in Who::all() {
        let mut step = match who {
            Who::Me => Step::shell(&script),
            Who::Learner => Step::script("as-learner.sh")
                .args(["--", "bash", "-c", &script]),
            Who::LearnerOfOneId => continue,
        };
        step.command().current_dir(checkout());
        let output = step.output();
        assert_eq!(output.status.code(), Some(7), "{output:?}");
        assert_eq!(text(&output.stdout), "1 playground\n", "{output:?}");
    }
}

/// As on a machine with this workshop, and without Rust.
fn where_it_is_not_built_and_cannot_be_it_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    for program in ["bash", "dirname", "realpath"] {
        let place = directory.path().join(program);
        symlink(needs::command(program), place).expect("a link");
    }
    let mut playground = Step::script("playground.sh").args(["true"]);
    for name in ["WORKSHOP_BIN", "CARGO_TARGET_DIR"] {
        playground.command().env(name, directory.path());
    }
    playground.command().env("PATH", directory.path());
    let output = playground.output();
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let lesson = text(&output.stderr);
    assert!(lesson.contains("it is not built yet"), "{lesson}");
    assert!(lesson.contains("cargo build --workspace"), "{lesson}");
}

fn it_starts_by_a_link_and_where_a_path_has_spaces() {
    let directory = tempfile::tempdir().expect("a directory");
    let scripts = directory.path().join("my work shop/scripts");
    fs::create_dir_all(&scripts).expect("mkdir");
    for above in scripts.ancestors().take(3) {
        fs::set_permissions(above, fs::Permissions::from_mode(0o755))
            .expect("chmod");
    }
    let door = scripts.join("playground.sh");
    fs::copy(checkout().join("scripts/playground.sh"), &door).expect("copy");
    let link = directory.path().join("a link");
    symlink(&door, &link).expect("a link");
    for who in Who::all() {
        let playground = match who {
            Who::Me => Step::program("bash").args([&link]),
            Who::Learner => {
                Step::script("as-learner.sh").args(["--", "bash"]).args([&link])
            }
            Who::LearnerOfOneId => continue,
        };
        let look = "echo \"$PLAYGROUND\"; ls \"$0\"";
        let mut playground =
            playground.args(["bash", "-c", look]).args([&scripts]);
        let programs = binary("01-chroot");
        let programs = programs.parent().expect("a directory");
        playground.command().env("WORKSHOP_BIN", programs).current_dir("/");
        assert_eq!(playground.stdout(), "1\nplayground.sh", "{who:?}");
    }
}

/// Processes that a shell doesn't take with it when it ends.
const LINGER: &str = "sleep 1000 & setsid sleep 1000 & (sleep 1000 &)";

fn nothing_outlives_a_kill_at_any_moment() {
    let script = format!("{LINGER}; echo ready; sleep 1000");
    for (delays, who) in [
        &[10, 60, 110, 160, 210, 260, 320, 400][..],
        &[90, 180, 300],
        &[140, 240],
    ]
    .iter()
    .zip(Who::all())
    {
        let strike = |moment: Option<u64>| {
            let watch = Watch::begin();
            let mut running = watch
                .over_script(who.playground())
                .args(["bash", "-c", &script])
                .start();
            if let Some(moment) = moment {
                std::thread::sleep(Duration::from_millis(moment));
            } else {
                assert_eq!(running.line(), "ready");
                assert!(watch.processes().len() > 5, "the mark finds none");
            }
            let pid = running.runtime();
            running.signal(Signal::SIGKILL);
            drop(running);
            watch.assert_nothing_left(&format!("{who:?}, {moment:?} ms"));
            assert_no_cgroup(pid);
        };
        delays.iter().for_each(|&moment| strike(Some(moment)));
        strike(None);
    }
}

fn nothing_outlives_a_command_that_ends() {
    needs::real_processor();
    for who in Who::all() {
        let watch = Watch::begin();
        let deep = "d=/sys/fs/cgroup; for d in $d $d/*; do \
            mkdir -p $d/a/b && echo 0 >$d/a/b/cgroup.procs; done 2>/dev/null; ";
        let script = format!("{deep} {LINGER}; exit 5");
        let running = watch
            .over_script(who.playground())
            .args(["bash", "-c", &script])
            .start();
        let pid = running.runtime();
        assert_eq!(running.finish().0, 5, "{who:?}");
        watch.assert_nothing_left(&format!("{who:?}"));
        assert_no_cgroup(pid);
    }
}

fn signals_to_it_leave_nothing() {
    needs::real_processor();
    for who in Who::all() {
        for signal in [Signal::SIGTERM, Signal::SIGHUP] {
            let watch = Watch::begin();
            let script = format!("{LINGER}; echo ready; sleep 1000");
            let mut running = watch
                .over_script(who.playground())
                .args(["bash", "-c", &script])
                .start();
            assert_eq!(running.line(), "ready");
            running.signal(signal);
            let pid = running.runtime();
            drop(running);
            watch.assert_nothing_left(&format!("{who:?}, {signal}"));
            assert_no_cgroup(pid);
        }
    }
}

// ── a terminal ──────────────────────────────────────────────────────────────

/// One process: a shell that is about to start another can lose a signal.
const WORKS: &str = "echo work''ing; exec sleep 1000";

fn an_empty_environment_is_enough() {
    let path = format!("PATH={}", std::env::var("PATH").expect("PATH"));
    let programs = binary("01-chroot");
    let programs = programs.parent().expect("a directory").display();
    let empty = ["env", "-i", &path, &format!("WORKSHOP_BIN={programs}")];
    for who in Who::all() {
        let playground = match who {
            Who::Me => Step::program("env").args(&empty[1..]),
            Who::Learner => {
                Step::script("as-learner.sh").args(["--"]).args(empty)
            }
            Who::LearnerOfOneId => Step::script("as-learner.sh")
                .args(["--no-subuid", "--"])
                .args(empty),
        };
        let script = [PLAYGROUND, "bash", "-c", "echo $HOME"];
        let mut playground = playground.args(script);
        playground.command().current_dir(checkout());
        assert!(playground.stdout().starts_with('/'), "{who:?}");
    }
    // The others at their least: no cargo is there.
    for script in [
        "setup.sh --check",
        "doctor.sh",
        "lab.sh --help",
        "record.sh --help",
        "demo.sh --help",
        "present.sh --help",
        "test.sh --help",
        "attacks.sh --help",
        "as-learner.sh --help",
        "watch-cgroup.sh --help",
        "watch-namespaces.sh --once",
    ] {
        let mut words = script.split(' ');
        let mut script = Step::script(words.next().expect("a name"));
        script.command().env_clear();
        script.command().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        let output = script.args(words).output();
        let told = text(&output.stderr);
        assert!(!told.contains("unbound variable"), "{told}");
    }
}

/// On a pretend host on which systemd has the cgroups.
fn what_was_typed_is_not_for_systemd_run_to_read() {
    needs::host_root();
    let words = ["echo $HOME", "$HOME", "$$", "${x}", "a  b"];
    for knows in [true, false] {
        let place = tempfile::tempdir().expect("a directory");
        stand_in::systemd_run(place.path(), knows);
        let host = format!(
            "PATH={}:$PATH exec unshare --mount bash -c '
             mount -t tmpfs none /sys/fs/cgroup && mount -t tmpfs none /run &&
             : >/sys/fs/cgroup/cgroup.controllers && mkdir -p /run/systemd/system &&
             exec \"$@\"' bash \"$@\"",
            place.path().display()
        );
        let step = Who::Me.playground().args(["bash", "-c"]).args(words);
        let said = step.in_shell(&host).stdout();
        let said: Vec<_> = said.lines().collect();
        assert!(said.ends_with(&words), "{knows}: {said:?}");
    }
}

fn ctrl_c_does_not_reach_who_tidies_up() {
    needs::real_processor();
    let mut terminal =
        Who::Me.playground().args(["bash", "-c", WORKS]).on_terminal();
    terminal.shows("working");
    let pid = terminal.pid();
    terminal.types("\x03");
    let (status, screen) = terminal.finish();
    assert_eq!(status, 130, "{screen}");
    assert_no_cgroup(pid);
}

fn ctrl_c_ends_the_command() {
    needs::real_processor();
    for who in Who::all() {
        let mut terminal =
            who.playground().args(["bash", "-c", WORKS]).on_terminal();
        terminal.shows("working");
        terminal.types("\x03");
        assert_eq!(terminal.finish().0, 130, "{who:?}");
    }
}

/// Types a line, and returns what is shown after it up to the mark.
fn ask(terminal: &mut Terminal, line: &str) -> String {
    let mark = testbed::token();
    let (left, right) = mark.split_at(6);
    terminal.types(format!("{line}; echo {left}''{right}\n"));
    terminal.shows(&mark)
}

fn assert_has_job_control(who: Who, terminal: &mut Terminal) {
    let size = ask(terminal, "stty size");
    assert!(size.contains("24 80"), "{who:?}: {size}");
    assert!(!size.contains("no job control"), "{who:?}: {size}");
    terminal.types(format!("bash -c \"{WORKS}\"\n"));
    terminal.shows("working");
    terminal.types("\x1a"); // Ctrl-Z
    terminal.shows("Stopped");
    let jobs = ask(terminal, "bg; jobs");
    assert!(jobs.contains("Running"), "{who:?}: {jobs}");
    ask(terminal, "kill %1; wait");
}

fn a_terminal_has_job_control() {
    needs::real_processor();
    for who in Who::all() {
        let mut shell = who.playground();
        shell.command().env("TERM", "dumb").env("HISTFILE", "/dev/null");
        let mut terminal = shell.args(["bash", "--norc", "-i"]).on_terminal();
        assert_has_job_control(who, &mut terminal);
        let tty = ask(&mut terminal, "tty");
        assert!(tty.contains("/dev/"), "{who:?}: {tty}");
        terminal.types("exit 6\n");
        assert_eq!(terminal.finish().0, 6, "{who:?}");
    }
}

fn a_shell_is_the_default_command() {
    needs::real_processor();
    let mut playground = Who::Me.playground();
    playground.command().env("TERM", "dumb").env("HISTFILE", "/dev/null");
    let mut terminal = playground.on_terminal();
    terminal.shows("What you break here stays here.");
    let name = ask(&mut terminal, "hostname; id -u");
    assert!(name.contains("playground\r\n0\r\n"), "{name}");
    terminal.types("exit 5\n");
    assert_eq!(terminal.finish().0, 5);
}

fn a_shell_without_programs_says_how_to_build_them() {
    needs::real_processor();
    let mut playground = Who::Me.playground();
    playground.command().env("WORKSHOP_BIN", "/nowhere");
    let mut terminal = playground.on_terminal();
    terminal.shows("cargo build --workspace");
    terminal.types("exit\n");
    assert_eq!(terminal.finish().0, 0);
}

// ── what is there ───────────────────────────────────────────────────────────

fn the_help_tells_the_truth_about_the_environment() {
    needs::real_processor();
    let help = Step::script("playground.sh").args(["--help"]).stdout();
    let promised = help.split("Inside\n").nth(1).expect("a chapter");
    let promised = promised.lines().take_while(|line| !line.is_empty());
    let names: Vec<_> = promised
        .filter_map(|line| line.strip_prefix("  ")?.split([' ', '=']).next())
        .filter(|name| !name.is_empty())
        .collect();
    assert!(names.len() >= 6, "{names:?}");
    for who in Who::all() {
        let mut playground = who.playground();
        for secret in ["SSH_AUTH_SOCK", "DBUS_SESSION_BUS_ADDRESS", "TMUX"] {
            playground.command().env(secret, "/of/the/host");
        }
        let environment = playground.args(["env"]).stdout();
        assert!(!environment.contains("/of/the/host"), "{environment}");
        let value = |name: &str| {
            let value = environment
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_default().to_owned()
        };
        for name in &names {
            let set = !value(name).is_empty();
            let may_lack = *name == "PLAYGROUND_INTERNET" && !has_ip();
            assert!(set || may_lack, "{who:?}: {name}: {environment}");
        }
        assert_eq!(value("PLAYGROUND"), "1");

        let facts = told(
            who,
            "awk '{ n += $3 } END { print n }' /proc/self/uid_map
             stat --file-system --format %T $XDG_CACHE_HOME
             findmnt --noheadings --output FSTYPE -T /sys/fs/cgroup || true
             grep -c ' - cgroup ' /proc/self/mountinfo || true
             grep -c ' - cgroup2 ' /proc/self/mountinfo || true
             hostname; id -u; cat /etc/hostname; ls /.host 2>&1 | tail -n1",
        );
        let facts: Vec<_> = facts.lines().collect();
        assert_eq!(value("PLAYGROUND_IDS"), facts[0], "{who:?}");
        assert_eq!(facts[1], "tmpfs", "{who:?}");
        let expected = match (facts[3], facts[4]) {
            ("0", "0") => "none",
            ("0", _) => "v2",
            (_, "0") => "v1",
            _ => "hybrid",
        };
        assert_eq!(value("PLAYGROUND_CGROUP"), expected, "{who:?}: {facts:?}");
        assert_eq!(facts[5..8], ["playground", "0", "playground"], "{who:?}");
    }
}

fn has_ip() -> bool {
    Command::new("ip").arg("-V").output().is_ok()
}

fn the_steps_are_on_its_path() {
    needs::real_processor();
    for who in Who::all() {
        let script = "echo ${PATH%%:*}; command -v 01-chroot; echo $PWD; \
            01-chroot --quiet -- /bin/sh -c 'exit 9'; echo $?";
        let told = told(who, script);
        let lines: Vec<_> = told.lines().collect();
        let [first, found, here, status] = lines[..] else {
            panic!("{who:?}: {told}")
        };
        assert_eq!(found, format!("{first}/01-chroot"), "{who:?}");
        assert!(Path::new(here).is_absolute(), "{who:?}: {told}");
        assert_eq!(status, "9", "{who:?}: {told}");
        // The binaries that we test, not others of the same name.
        let name = binary("01-chroot");
        let name = name.parent().and_then(Path::file_name).expect("a name");
        assert!(Path::new(first).ends_with(name), "{who:?}: {first}");
        // A login shell reads /etc/profile, which sets PATH anew.
        let login = who.playground().args(["bash", "-lc", "type -P 01-chroot"]);
        assert_eq!(login.stdout().trim_end(), found, "{who:?}");
    }
}

fn open_files_of_the_caller_stay_outside() {
    needs::real_processor();
    for who in Who::all() {
        let look = "for n in 7 8 9 11 200; do [[ -L /proc/self/fd/$n ]] && \
            echo $n; done; echo looked";
        let first = start(who, "true");
        for playground in [who.playground(), join(who, first.runtime())] {
            let found = playground
                .args(["bash", "-c", look])
                .in_shell("exec 7</ 8</etc 9</proc 11</ 200</; exec \"$@\"")
                .stdout();
            assert_eq!(found, "looked", "{who:?}");
        }
    }
}

/// No namespace divides them. Inside there are keys of its own, all the same.
fn keys_of_the_caller_stay_outside() {
    let session = KeyRing::from_special_id(KeyRingIdentifier::Session, true);
    let Ok(session) = session else { skip("needs keys") };
    let (name, secret) = (testbed::token(), testbed::token());
    let key = session.add_key(&name, &secret).expect("plant a secret");
    let read = format!("attack read-keyring {name}");
    let mut attack = Command::new(binary("attack"));
    let outside = attack.args(["read-keyring", &name]).output();
    let mut found = vec![text(&outside.expect("attack").stdout)];
    for who in Who::all() {
        let first = start(who, "true");
        for playground in [who.playground(), join(who, first.runtime())] {
            let own = format!("attack plant-key {name} own && {read}");
            let script = format!("{read}; {own}");
            let output = playground.args(["bash", "-c", &script]).output();
            found.push(text(&output.stdout));
        }
    }
    let _ = session.unlink_key(key);
    let (outside, inside) = found.split_first().expect("one at least");
    assert!(outside.contains(&secret), "the attack works: {outside}");
    for inside in inside {
        assert!(!inside.contains(&secret), "{inside}");
        assert!(inside.ends_with("holds: own\n"), "{inside}");
    }
}

fn signals_that_the_caller_ignores_are_default_inside() {
    if !needs::env_resets_signals() {
        skip("needs env of coreutils 8.31 or newer");
    }
    for who in Who::all() {
        let first = start(who, "true");
        for playground in [who.playground(), join(who, first.runtime())] {
            let ignored = playground
                .args(["bash", "-c", "trap -p; echo and no more"])
                .in_shell("trap '' HUP INT QUIT; exec \"$@\"")
                .stdout();
            assert_eq!(ignored, "and no more", "{who:?}");
        }
    }
}

// ── its network ─────────────────────────────────────────────────────────────

/// All that could show through: what a network namespace inherits, names,
/// limits, the environment.
const SHOWN: &str = r#"
networks() { grep -rs . /proc/sys/net/{ipv4/conf,ipv6/conf,bridge} | grep -v stable_secret; }
networks
if [[ ${PLAYGROUND_INTERNET-} ]]; then
    export -f networks
    nsenter --net=/run/netns/internet bash -c networks
fi
nft list ruleset; ip route; cat /etc/resolv.conf
umask; ulimit -Sa; locale 2>/dev/null
env | sort | grep -v -e ^_= -e ^PATH="#;

/// A caller whose settings are odd, as far as they are theirs to choose.
const ODD: &str = r#"
umask 077
ulimit -S -n 64 -c unlimited -f 99999 -u 3333 -s 4096
export LC_ALL=of_the.host LANG=of_the.host LANGUAGE=of_the.host
for name in TMPDIR TMP TEMP XDG_{RUNTIME_DIR,CACHE_HOME,CONFIG_HOME,DATA_DIRS} \
    DBUS_SESSION_BUS_ADDRESS SSH_AUTH_SOCK TMUX; do
    export $name=/of/the/host
done
unset HOME USER LOGNAME
exec "$@""#;

const COMPANY: &str = "./scripts/lib/company.sh";

/// What a new network namespace inherits from the machine's first one, told
/// otherwise in the lab, whose machine is ours. Dropped, it is as it was.
struct Odd(Vec<(PathBuf, String)>);

impl Odd {
    fn machine() -> Odd {
        let mut before = vec![];
        for (family, names) in [
            ("ipv4", &[][..]),
            ("ipv6", &["forwarding", "disable_ipv6", "accept_ra", "autoconf"]),
        ] {
            for device in ["all", "default"] {
                let conf = format!("/proc/sys/net/{family}/conf/{device}");
                for file in fs::read_dir(conf).expect("conf").flatten() {
                    let name = file.file_name().into_string().expect("UTF-8");
                    let text = fs::read_to_string(file.path());
                    let Ok(text) = text else { continue };
                    if names.is_empty() || names.contains(&&*name) {
                        before.push((file.path(), text.trim().to_owned()));
                    }
                }
            }
        }
        for (file, text) in &before {
            let other = if text == "0" { "1" } else { "0" };
            let _ = fs::write(file, other);
        }
        Odd(before)
    }
}

impl Drop for Odd {
    fn drop(&mut self) {
        for (file, text) in &self.0 {
            let _ = fs::write(file, text);
        }
    }
}

/// Whatever the real one has switched on, wherever docker runs.
fn it_begins_as_a_known_host() {
    needs::root();
    needs::command("ip");
    needs::command("nft");
    for who in Who::all() {
        let playground = || who.playground().args(["bash", "-c", SHOWN]);
        let alone = playground().stdout();
        for part in ["conf/all/forwarding:0", "LANG=C.UTF-8"] {
            assert!(alone.contains(part), "{who:?}: {alone}");
        }
        let _odd = needs::in_the_lab().then(Odd::machine);
        // The company first: bash warns of a locale that it can't find.
        let odd = playground().in_shell(ODD);
        let odd = odd.in_shell(&format!("exec {COMPANY} \"$@\"")).output();
        let shown = text(&odd.stdout);
        let (alone, shown) = (alone.lines(), shown.trim_end().lines());
        let other: Vec<_> = alone.clone().zip(shown.clone()).collect();
        let other = other.iter().find(|(one, other)| one != other);
        assert_eq!(other, None, "{who:?} {}", text(&odd.stderr));
        assert_eq!(alone.count(), shown.count(), "{who:?}");
    }
}

fn a_caller_without_a_home_has_that_of_their_account() {
    let script = "cd && echo \"$HOME\"";
    for who in Who::all() {
        let mut playground = match who {
            Who::Me => Step::script("playground.sh"),
            // They have one from as-learner.sh.
            _ => Step::script("as-learner.sh").args([
                "--",
                "env",
                "--unset=HOME",
                PLAYGROUND,
            ]),
        };
        playground.command().env_remove("HOME");
        let home = playground.args(["bash", "-c", script]).stdout();
        assert!(home.starts_with("/"), "{who:?}: {home}");
        assert!(who == Who::Me || home == "/home/learner", "{home}");
    }
}

/// The host's /etc, with another resolv.conf, in a mount namespace.
const WITH_RESOLV_CONF: &str = r#"
mount -t tmpfs etc /mnt && mkdir /mnt/{upper,work}
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work etc /etc
rm -f /etc/resolv.conf
eval "$MAKE"
exec "$@""#;

fn a_resolv_conf_of_any_kind_is_no_hindrance() {
    needs::real_processor();
    needs::host_root(); // a third overlay would lie on the playground's
    let kinds = [
        "true",
        ": >/etc/resolv.conf",
        "mkdir /etc/resolv.conf",
        "ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf",
        r"printf 'nameserver fe80::1%%eth0\r\n' >/etc/resolv.conf",
    ];
    for (kind, who) in kinds
        .iter()
        .flat_map(|kind| Who::all().into_iter().map(move |who| (kind, who)))
    {
        let playground = who.playground().args(["cat", "/etc/resolv.conf"]);
        let mut playground = playground
            .in_shell(WITH_RESOLV_CONF)
            .in_shell("exec unshare --mount -- \"$@\"");
        playground.command().env("MAKE", kind);
        let told = playground.stdout();
        assert!(told.starts_with("# no name server"), "{kind} {who:?}: {told}");
    }
}

/// A package that is being installed, an editor that saves a file.
fn what_vanishes_while_it_looks_is_no_error() {
    needs::real_processor();
    needs::root();
    let name = testbed::token();
    let ended = AtomicBool::new(false);
    let outputs: Vec<_> = thread::scope(|scope| {
        scope.spawn(|| {
            for number in 0.. {
                let place = |above| format!("{above}{name}-{number}");
                let [one, other] = [place("/"), place("/etc/")];
                fs::create_dir(&one).expect("mkdir");
                for more in 0..20 {
                    let other = format!("{other}-{more}");
                    fs::write(&other, "text").expect("a file");
                    fs::remove_file(&other).expect("remove");
                }
                fs::remove_dir(&one).expect("remove");
                symlink("nowhere", &one).expect("a link");
                fs::remove_file(&one).expect("remove");
                if ended.load(Ordering::Relaxed) {
                    break;
                }
            }
        });
        let all = Who::all();
        let start = |number: usize| {
            let who = all[number % all.len()];
            who.playground().args(["echo", "started"]).output()
        };
        let outputs = (0..20).map(start).collect();
        ended.store(true, Ordering::Relaxed);
        outputs
    });
    for output in outputs {
        assert!(output.status.success(), "{output:?}");
        assert_eq!(text(&output.stdout), "started\n");
        assert_eq!(text(&output.stderr), "");
    }
}

/// Docker, two uplinks, a host that forwards. What belongs to others is there
/// after it, too.
fn the_demo_of_the_network_is_right_on_a_host_with_company() {
    needs::real_processor();
    needs::root();
    needs::command("ip");
    needs::command("nft");
    let real = "network() { ip -brief link; ip -4 address; ip route; \
            nft list ruleset; sysctl -a -r forward 2>/dev/null; }
        before=$(network)
        env -u PLAYGROUND -u PLAYGROUND_INTERNET ./scripts/demo.sh --real --auto 8
        for i in {1..50}; do
            after=$(network)
            [[ $after != \"$before\" ]] || exit 0
            sleep 0.1
        done
        diff <(echo \"$before\") <(echo \"$after\")";
    // A host is disposable in the playground, and has a playground elsewhere.
    let script = if in_a_playground() {
        real
    } else {
        needs::host_root();
        "./scripts/record.sh --check 8"
    };
    let played = Step::script("lib/company.sh");
    let played = played.args(["bash", "-e", "-c", script]).output();
    let told = [played.stdout, played.stderr].map(|told| text(&told)).concat();
    assert!(played.status.success(), "{told}");
}

/// A container's network as step 08 makes it, by hand. The web page, with
/// NAT and without.
const NAT: &str = r#"
ip link add br0 type bridge && ip address add 10.9.0.1/24 dev br0
ip link set br0 up && ip netns add box
ip link add v0 type veth peer name v1 netns box && ip link set v0 master br0 up
nsenter --net=/run/netns/box ip -batch - <<'IP'
link set lo up
address add 10.9.0.2/24 dev v1
link set v1 up
route add default via 10.9.0.1
IP
echo 1 >/proc/sys/net/ipv4/ip_forward
nft 'add table ip t
    add chain ip t out { type nat hook postrouting priority 100; }
    add rule ip t out ip saddr 10.9.0.0/24 masquerade'
page='exec 3<>"/dev/tcp/$PLAYGROUND_INTERNET/80"
    printf "GET / HTTP/1.0\r\n\r\n" >&3; tail -n1 <&3'
nsenter --net=/run/netns/box timeout 20 bash -c "$page" || echo "no page: $?"
nft flush ruleset
nsenter --net=/run/netns/box timeout 1 bash -c "$page" || echo 'no NAT, no page'
timeout 20 bash -c "$page"
"#;

fn the_internet_is_reached_through_nat_only() {
    needs::command("ip");
    needs::command("nft");
    for who in Who::all() {
        let output = bash(who, NAT);
        assert_eq!(
            text(&output.stdout),
            "Hello from the internet.\nno NAT, no page\n\
             Hello from the internet.\n",
            "{who:?}: {output:?}"
        );
    }
}

// ── playgrounds in playgrounds, and where there can be none ─────────────────

fn the_second_playground_works_and_the_third_says_why_not() {
    needs::real_processor();
    let outer = usize::from(in_a_playground());
    let within = |who: Who, depth: usize| {
        let inner = std::iter::repeat_n(PLAYGROUND, depth - outer - 1);
        who.playground().args(inner).args(["hostname"]).output()
    };
    for who in Who::all() {
        let second = within(who, 2);
        assert!(second.status.success(), "{who:?}: {second:?}");
        assert_eq!(text(&second.stdout), "playground\n", "{who:?}");
    }
    let third = within(Who::Me, 3);
    assert_eq!(third.status.code(), Some(125), "{third:?}");
    let lesson = text(&third.stderr);
    assert!(lesson.contains("not three"), "{lesson}");
    assert!(lesson.starts_with("playground: "), "{lesson}");
}

fn without_user_namespaces_it_says_so() {
    // The limit belongs to a user namespace of our own: no other has it. In
    // there it is asked for by a root who may mount, and by one who may not.
    for rights in ["+sys_admin", "-sys_admin"] {
        let refused = Step::script("playground.sh")
            .args(["true"])
            .in_shell(&format!(
                "exec unshare --user --map-root-user bash -c '
                     echo 0 >/proc/sys/user/max_user_namespaces
                     exec setpriv --bounding-set {rights} -- \"$@\"' - \"$@\""
            ))
            .output();
        assert_eq!(refused.status.code(), Some(125), "{rights}: {refused:?}");
        let lesson = text(&refused.stderr);
        for part in ["limited to zero", "sysctl user.max_user_namespaces="] {
            assert!(lesson.contains(part), "{rights}: {lesson}");
        }
    }
}

fn newuidmap_without_rights_leaves_one_id() {
    needs::real_processor();
    needs::command("newuidmap");
    if in_a_playground() {
        skip("would need a third playground");
    }
    // The learner of a playground: there, newuidmap is ours to spoil.
    let output = bash(
        Who::Me,
        "((PLAYGROUND_IDS > 2000)) || { echo no learner; exit; }
         chmod u-s $(type -P newuidmap newgidmap)
         exec scripts/as-learner.sh ./scripts/playground.sh \
            bash -c 'echo $PLAYGROUND_IDS'",
    );
    if text(&output.stdout) == "no learner\n" {
        skip("needs subordinate ids");
    }
    assert_eq!(text(&output.stdout), "1\n", "{output:?}");
    // And newuidmap's own words, that nobody wonders why.
    assert!(text(&output.stderr).contains("newuidmap: "), "{output:?}");
}
