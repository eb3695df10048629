#![forbid(unsafe_code)]
//! The command line that all steps share, judged from outside.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use testbed::{
    ALL_STEPS, Running, Step, checkout, copy_default_root, host, needs, proc,
    token,
};

testbed::main!(
    the_exit_status_is_the_commands_own,
    a_command_that_a_signal_kills_ends_with_128_and_its_number,
    a_runtime_that_fails_says_125_a_command_that_fails_126_or_127,
    the_command_is_a_shell_unless_another_is_named,
    options_after_the_command_are_the_commands,
    help_leads_to_the_lesson,
    stdout_is_the_commands_alone,
    quiet_means_not_a_word,
    each_narrated_line_says_the_side_and_the_shells_command,
    there_is_colour_on_a_terminal_unless_no_color_is_set,
    pause_waits_for_enter_before_each_call,
    the_environment_is_path_home_and_term,
    home_is_what_the_containers_passwd_says,
    variables_are_set_and_passed_on,
    the_working_directory_is_the_root_unless_told,
    a_missing_working_directory_is_made,
    no_file_descriptor_above_2_comes_along,
    an_init_keeps_no_file_of_the_host,
    a_command_begins_when_its_init_has_closed_its_files,
    the_umask_is_not_the_callers,
    signals_that_the_caller_ignores_or_blocks_are_default_inside,
    signals_are_forwarded,
    all_signals_but_that_of_a_child_are_the_commands,
    a_signal_for_a_command_that_has_just_begun_is_the_commands,
    the_container_dies_with_a_killed_runtime,
    input_arrives_whole,
    closed_files_do_not_matter,
    names_need_not_be_utf_8,
    a_line_feed_in_a_name_forges_no_line_of_the_story,
);

/// It has an init, and variables for it.
const MACHINE: &str = "10-system-container";

/// `--init` where there is one: without it PID 1 gets no signal that it does
/// not handle (pid_namespaces(7)).
fn with_init(step: &str) -> Step {
    let init = (step >= "03").then_some("--init");
    Step::new(step).args(init)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(below: u8) -> u8 {
    let word = token();
    u8::from_str_radix(&word[1..3], 16).expect("a number") % below
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

fn the_exit_status_is_the_commands_own() {
    needs::root();
    for step in ALL_STEPS {
        for code in [0, 1 + number(124)] {
            let output = Step::new(step).sh(&format!("exit {code}")).output();
            assert_eq!(output.status.code(), Some(code.into()), "{step}");
        }
    }
}

fn a_command_that_a_signal_kills_ends_with_128_and_its_number() {
    needs::root();
    for step in ALL_STEPS {
        let container = Step::new(step).start_waiting();
        kill(Pid::from_raw(container.pid()), Signal::SIGKILL).expect("kill");
        assert_eq!(container.finish().0, 128 + 9, "{step}");
        for signal in ["TERM", "INT", "SEGV"] {
            let number =
                signal_of(signal).expect("a signal of that name") as i32;
            let script = format!("kill -{signal} $$");
            let output = with_init(step).sh(&script).output();
            assert_eq!(output.status.code(), Some(128 + number), "{step}");
        }
    }
}

fn signal_of(name: &str) -> Option<Signal> {
    format!("SIG{name}").parse().ok()
}

fn a_runtime_that_fails_says_125_a_command_that_fails_126_or_127() {
    needs::root();
    let status = |step: Step| step.output().status.code();
    for step in ALL_STEPS {
        let missing = format!("/{}", token());
        let no_root = Step::new(step).args(["--rootfs", &missing, "true"]);
        assert_eq!(status(no_root), Some(125), "{step}");
        assert_eq!(status(Step::new(step).args(["/tmp"])), Some(126), "{step}");
        assert_eq!(status(Step::new(step).args([&missing])), Some(127));
    }
}

fn the_command_is_a_shell_unless_another_is_named() {
    needs::root();
    // A machine's is an init.
    for step in ALL_STEPS.into_iter().filter(|step| *step != MACHINE) {
        let mut container = Step::new(step).start();
        let word = token();
        container.say(&format!("echo {word} $0"));
        assert_eq!(container.line(), format!("{word} /bin/sh"), "{step}");
        assert_eq!(container.finish(), (0, String::new()), "{step}");
    }
}

fn options_after_the_command_are_the_commands() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let output =
            Step::new(step).args(["echo", "-e", &word, "--", "--quiet"]);
        let expected = format!("{word} -- --quiet");
        assert!(output.stdout().ends_with(&expected), "{step}");
    }
}

fn help_leads_to_the_lesson() {
    for step in ALL_STEPS {
        let help = Step::new(step).args(["--help"]).stdout();
        let lesson = help.lines().find_map(|l| l.strip_prefix("The lesson: "));
        let lesson = lesson.unwrap_or_else(|| panic!("{step}: {help}"));
        assert!(checkout().join(lesson).is_file(), "{step}: {lesson}");
    }
}

fn stdout_is_the_commands_alone() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let output = Step::telling_all(step).args(["echo", &word]).output();
        assert_eq!(text(&output.stdout), format!("{word}\n"), "{step}");
        assert!(text(&output.stderr).contains("execve("), "{step}");
    }
}

fn quiet_means_not_a_word() {
    needs::root();
    for step in ALL_STEPS {
        for option in ["-q", "--quiet"] {
            let output = Step::telling(step).args([option, "true"]).output();
            assert_eq!(
                (text(&output.stdout), text(&output.stderr)),
                Default::default()
            );
            assert!(output.status.success(), "{step}");
        }
    }
}

/// No command of a usual shell does these for what comes after it, or one that
/// is longer than the story has room.
const NO_SHELL: [&str; 4] = ["keyctl(", "capset(", "seccomp(", "), chown("];

fn each_narrated_line_says_the_side_and_the_shells_command() {
    needs::root();
    for step in ALL_STEPS {
        let output = Step::telling_all(step).args(["true"]).output();
        let story = text(&output.stderr);
        for line in story.lines() {
            let told =
                line.starts_with("host    ") || line.starts_with("inside  ");
            assert!(told, "{step}: {line:?}");
            // What is no call is a note, which says why something is left out.
            let told = &line[8..];
            let may_lack = NO_SHELL.iter().any(|it| told.contains(it));
            let is_note = told.starts_with("note: ");
            let tells = line.contains("  ≙ ");
            assert!(tells != is_note || may_lack, "{step}: {line:?}");
            assert!(!line.contains('\x1b'), "{step}: {line:?}");
        }
        let clone = story.lines().find(|line| is_clone(line));
        let inside = story.lines().find(|line| line.starts_with("inside"));
        let at = |line: Option<&str>| story.find(line.expect("a line"));
        assert!(at(clone) < at(inside), "{step}: {story}");
        let last = story.lines().last().expect("a last line");
        assert!(last.contains("execve("), "{step}: {last}");
    }
}

fn there_is_colour_on_a_terminal_unless_no_color_is_set() {
    needs::root();
    for step in ALL_STEPS {
        for (no_color, colourful) in
            [(None, true), (Some(""), true), (Some("1"), false)]
        {
            let mut telling = Step::telling_all(step).args(["true"]);
            telling.command().env_remove("NO_COLOR");
            telling.command().envs(no_color.map(|value| ("NO_COLOR", value)));
            let (status, screen) = telling.on_terminal().finish();
            assert_eq!(
                (status, screen.contains('\x1b')),
                (0, colourful),
                "{step}: {no_color:?}"
            );
        }
    }
}

/// From step 06 on, what the process is born into is made before it.
fn is_clone(line: &str) -> bool {
    line.contains("host    clone(") || line.contains("host    clone3(")
}

fn pause_waits_for_enter_before_each_call() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let mut pausing =
            Step::telling_all(step).args(["--pause", "echo", &word]);
        pausing.command().env("NO_COLOR", "1");
        let mut terminal = pausing.on_terminal();
        let prompt = "⏎";
        let mut told = terminal.shows(prompt);
        while !told.lines().any(is_clone) {
            terminal.types("\n");
            told = terminal.shows(prompt);
        }
        assert_eq!(
            proc::children(terminal.pid()),
            [] as [i32; 0],
            "{step}: before clone(2)"
        );
        let mut calls = 0;
        while !told.contains("inside  execve(") {
            terminal.types("\n");
            told = terminal.shows(prompt);
            calls += 1;
            let child = proc::children(terminal.pid())[0];
            let root = fs::read_link(format!("/proc/{child}/root"));
            let root = root.expect("its root");
            if told.contains("chroot(\"") || told.contains("pivot_root(\"") {
                assert_eq!(root, own_root(), "{step}: before the call");
            }
            if told.contains("hostname(\"") {
                let names = |pid| {
                    fs::read_to_string(format!(
                        "/proc/{pid}/root/proc/sys/kernel/hostname"
                    ))
                };
                assert_eq!(names(child).ok(), names(terminal.pid()).ok());
            }
        }
        assert!(calls >= 2, "{step}: {calls}");
        terminal.types("\n");
        terminal.shows(&word);
        assert_eq!(terminal.finish().0, 0, "{step}");
    }
}

fn own_root() -> PathBuf {
    fs::read_link("/proc/self/root").expect("our own root")
}

/// What `env` says inside, sorted; without what only a machine has.
fn environment(mut step: Step, terminal: Option<&str>) -> BTreeSet<String> {
    step.command().env("SECRET", token()).env_remove("TERM");
    step.command().envs(terminal.map(|name| ("TERM", name)));
    let output = step.args(["env"]).stdout();
    let lines = output.lines().map(|it| it.replace(":/opt/workshop", ""));
    lines.filter(|it| !it.starts_with("container")).collect()
}

const PATH: &str =
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

fn set(lines: &[&str]) -> BTreeSet<String> {
    lines.iter().map(|&line| line.to_owned()).collect()
}

fn the_environment_is_path_home_and_term() {
    needs::root();
    for step in ALL_STEPS {
        let name = token();
        let expected = [PATH, "HOME=/root", &format!("TERM={name}")];
        assert_eq!(
            environment(Step::new(step), Some(&name)),
            set(&expected),
            "{step}"
        );
        assert_eq!(
            environment(Step::new(step), None),
            set(&expected[..2]),
            "{step}"
        );
    }
}

/// What lies there may be an enemy's.
fn home_is_what_the_containers_passwd_says() {
    needs::root();
    let place = temporary();
    let root = place.path().join("root");
    copy_default_root(&root);
    let passwd = root.join("etc/passwd");
    let home = |step: &str| {
        Step::new(step).arg("--rootfs", &root).sh("echo $HOME").stdout()
    };
    let make = |script: &str| {
        let script = format!("cd {} && {script}", root.join("etc").display());
        assert_eq!(Step::shell(&script).stdout(), "");
    };
    let word = token();
    for (script, expected) in [
        (
            format!("echo root:x:0:0::/{word}:/bin/sh >passwd"),
            &*format!("/{word}"),
        ),
        ("echo root:x:7:7::/x:/bin/sh >passwd".into(), "/"),
        ("rm passwd; mkfifo passwd".into(), "/"),
        ("rm passwd; mkdir passwd".into(), "/"),
        ("rmdir passwd; ln -s passwd passwd".into(), "/"),
        ("rm passwd; truncate -s 1T passwd".into(), "/"),
        ("rm passwd".into(), "/"),
    ] {
        make(&script);
        for step in ALL_STEPS {
            assert_eq!(home(step), expected, "{step}: {script}");
        }
    }
    assert!(!passwd.exists());
}

fn variables_are_set_and_passed_on() {
    needs::root();
    for step in ALL_STEPS {
        let (value, passed) = (token(), token());
        let mut given = Step::new(step).args([
            "-e",
            &format!("A={value}=x y"),
            "--env",
            "PASSED",
            "-e",
            "ABSENT",
            "-e",
            "EMPTY=",
            "-e",
            "HOME=/a",
            "-e",
            "HOME=/b",
        ]);
        given.command().env("PASSED", &passed).env_remove("ABSENT");
        let expected = [
            PATH,
            "HOME=/b",
            "EMPTY=",
            &format!("A={value}=x y"),
            &format!("PASSED={passed}"),
        ];
        assert_eq!(environment(given, None), set(&expected), "{step}");
    }
}

fn the_working_directory_is_the_root_unless_told() {
    needs::root();
    for step in ALL_STEPS {
        let at = |options: &[&str]| {
            let container = Step::new(step).args(options).start_waiting();
            let pid = container.pid();
            let read = |name| {
                fs::read_link(format!("/proc/{pid}/{name}")).expect("a link")
            };
            let (cwd, root) = (read("cwd"), read("root"));
            cwd.strip_prefix(root).expect("inside the root").to_owned()
        };
        assert_eq!(at(&[]), Path::new(""), "{step}");
        assert_eq!(at(&["-w", "/usr/bin"]), Path::new("usr/bin"), "{step}");
        assert_eq!(
            at(&["--workdir", "usr/lib"]),
            Path::new("usr/lib"),
            "{step}"
        );
    }
}

/// As docker does. For root alone to write, whatever the caller's umask.
fn a_missing_working_directory_is_made() {
    needs::root();
    let root = tempfile::tempdir().expect("a directory");
    copy_default_root(root.path());
    // From step 05 on, root inside is somebody else: a volume is open to all.
    let volume = tempfile::tempdir().expect("a directory");
    let open = fs::Permissions::from_mode(0o777);
    fs::set_permissions(&volume, open).expect("chmod");
    let shown = format!("{}:/tmp/volume", volume.path().display());
    for step in ALL_STEPS {
        for name in [format!("new/{step}/a b"), format!("tmp/{step}")] {
            let (name, made, step) = match step < "05" {
                true => {
                    let made = root.path().join(&name);
                    (name, made, Step::new(step).arg("--rootfs", &root))
                }
                false => {
                    let made = volume.path().join(&name);
                    let name = format!("tmp/volume/{name}");
                    (name, made, Step::new(step).args(["-v", &shown]))
                }
            };
            let place = format!("/{name}");
            let made_by = step.args(["-w", &place, "pwd"]);
            let open = made_by.in_shell(r#"umask 0; exec "$@""#);
            assert_eq!(open.stdout(), place);
            let there = fs::metadata(made).expect("made");
            assert_eq!(there.permissions().mode() & 0o7777, 0o755, "{place}");
        }
    }
}

fn descriptors(pid: i32) -> BTreeSet<(i32, OsString)> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("its files");
    let entries = entries.map(|entry| entry.expect("an entry").path());
    let describe = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.parse().ok()?;
        Some((number, fs::read_link(&path).ok()?.into()))
    };
    entries.filter_map(describe).collect()
}

/// A caller that left a directory and a file open, at low and high numbers.
fn careless(step: Step) -> Running {
    let script = r#"exec 3</ 9</etc/passwd 200</; exec "$@""#;
    step.sh("echo ready; read line").in_shell(script).start()
}

fn no_file_descriptor_above_2_comes_along() {
    needs::root();
    for step in ALL_STEPS {
        let mut container = careless(Step::new(step));
        assert_eq!(container.line(), "ready");
        let numbers: Vec<_> =
            descriptors(container.pid()).into_iter().map(|(n, _)| n).collect();
        assert_eq!(numbers, [0, 1, 2], "{step}");
    }
}

fn an_init_keeps_no_file_of_the_host() {
    needs::root();
    for step in &ALL_STEPS[2..] {
        let mut container = careless(with_init(step));
        assert_eq!(container.line(), "ready");
        let above: Vec<_> =
            descriptors(container.pid()).into_iter().skip(3).collect();
        let [(_, only)] = &above[..] else { panic!("{step}: {above:?}") };
        assert_eq!(only, "anon_inode:[signalfd]", "{step}");
        let command = proc::children(container.pid())[0];
        assert_eq!(descriptors(command).len(), 3, "{step}");
    }
}

/// Else it gets at them by /proc/1/fd. The init is held up when it closes them.
fn a_command_begins_when_its_init_has_closed_its_files() {
    needs::root();
    let slow = format!(
        "exec {} -f -qq -o /dev/null -e inject=close_range:delay_enter=300000 \
         \"$@\" 9</etc/passwd",
        needs::tracer().display()
    );
    let step = Step::new("04-mount-namespace").args(["--init"]);
    let output = step.sh("set -- /proc/1/fd/*; echo $#").in_shell(&slow);
    assert_eq!(output.stdout().trim_end(), "4", "0, 1, 2 and a signalfd");
}

fn the_umask_is_not_the_callers() {
    needs::root();
    for step in ALL_STEPS {
        let script = r#"umask 077; exec "$@""#;
        let mut container = Step::new(step)
            .sh("echo ready; read line")
            .in_shell(script)
            .start();
        assert_eq!(container.line(), "ready");
        assert_eq!(
            proc::status(container.pid(), "Umask").as_deref(),
            Some("0022"),
            "{step}"
        );
    }
}

/// `cat`, since a shell has habits of its own with signals.
fn signals_that_the_caller_ignores_or_blocks_are_default_inside() {
    needs::root();
    let script =
        r#"trap '' RTMIN+3; exec env --ignore-signal --block-signal "$@""#;
    for step in ALL_STEPS {
        let mut container =
            Step::new(step).args(["cat"]).in_shell(script).start();
        let word = token();
        container.say(&word);
        assert_eq!(container.line(), word, "{step}");
        for key in ["SigIgn", "SigBlk", "SigPnd", "ShdPnd"] {
            let set = proc::status(container.pid(), key);
            assert_eq!(
                set.as_deref(),
                Some("0000000000000000"),
                "{step}: {key}"
            );
        }
        assert_eq!(container.finish().0, 0, "{step}");
    }
}

fn signals_are_forwarded() {
    needs::root();
    for step in ALL_STEPS {
        for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"] {
            let word = token();
            let script = format!(
                "trap 'echo {word}; exit 3' {name}; echo ready; while sleep 0.1; do :; done"
            );
            let mut container = Step::new(step).sh(&script).start();
            assert_eq!(container.line(), "ready");
            container.signal(signal_of(name).expect("a signal"));
            assert_eq!(container.line(), word, "{step}: {name}");
            assert_eq!(container.finish().0, 3, "{step}: {name}");
        }
    }
}

/// Those that nobody can have are KILL, STOP, and two of the C library's own.
/// CHLD is about the runtime's child. PIPE is about what it writes: docker
/// keeps that one, too.
fn all_signals_but_that_of_a_child_are_the_commands() {
    needs::root();
    let all: Vec<_> =
        (1..=64).filter(|n| ![9, 13, 17, 19, 32, 33].contains(n)).collect();
    let traps: String =
        all.iter().map(|n| format!("trap 'echo {n}' {n}; ")).collect();
    let script = format!("{traps}echo ready; while :; do sleep 0.02; done");
    let inits = ALL_STEPS[2..].iter().map(|step| with_init(step));
    for step in ALL_STEPS.iter().map(|step| Step::new(step)).chain(inits) {
        // A shell's own children would be stopped by what it only passes on.
        let mut container = step.sh(&script).start();
        assert_eq!(container.line(), "ready");
        for number in &all {
            let runtime = container.runtime();
            let send = format!("kill -{number} {runtime}");
            assert_eq!(Step::shell(&send).stdout(), "");
            assert_eq!(container.line(), number.to_string());
        }
        for number in [13, 17] {
            let send = format!("kill -{number} {}", container.runtime());
            assert_eq!(Step::shell(&send).stdout(), "");
        }
        container.signal(Signal::SIGKILL);
        assert_eq!(container.ended(), 137);
    }
}

/// The runtime is slow (strace delays it), so that it hears of the command's
/// begin and of the signal at once; or of the signal while it looks at another
/// one, which came before that. (The first poll(2) is Rust's own.)
fn a_signal_for_a_command_that_has_just_begun_is_the_commands() {
    needs::root();
    let strace = needs::tracer();
    let inside = "trap 'echo mine; exit 3' TERM; echo ready; \
                  while sleep 0.1; do :; done";
    for slow in ["delay_enter=100000", "signal=CONT:delay_exit=100000"] {
        let script = format!(
            "exec {} -qq -o /dev/null -e inject=poll:{slow}:when=2 \"$@\"",
            strace.display()
        );
        for step in ALL_STEPS {
            let shell = Step::new(step).sh(inside).in_shell(&script);
            let mut container = shell.start();
            assert_eq!(container.line(), "ready");
            let runtime = proc::children(container.runtime())[0];
            kill(Pid::from_raw(runtime), Signal::SIGTERM).expect("kill");
            assert_eq!(container.line(), "mine", "{step}: {slow}");
            assert_eq!(container.ended(), 3, "{step}: {slow}");
        }
    }
}

fn the_container_dies_with_a_killed_runtime() {
    needs::root();
    for step in ALL_STEPS {
        for container in
            [Step::new(step).start_waiting(), with_init(step).start_waiting()]
        {
            let pid = container.pid();
            let all = [vec![pid], proc::children(pid)].concat();
            container.signal(Signal::SIGKILL);
            all.into_iter().for_each(host::assert_gone);
        }
    }
}

fn input_arrives_whole() {
    needs::root();
    let directory = temporary();
    let file = directory.path().join("input");
    let bytes: Vec<u8> =
        (0..30_000).flat_map(|_| token().into_bytes()).collect();
    fs::write(&file, &bytes).expect("write the input");
    for step in ALL_STEPS {
        let script = format!(r#"cat {} | "$@""#, file.display());
        let output = Step::new(step).args(["cat"]).in_shell(&script).output();
        assert!(
            output.stdout == bytes,
            "{step}: {} bytes",
            output.stdout.len()
        );
    }
}

fn closed_files_do_not_matter() {
    needs::root();
    for step in ALL_STEPS {
        for closing in ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"] {
            let script = format!(r#""$@" {closing}"#);
            let output =
                Step::telling_all(step).sh("exit 7").in_shell(&script).output();
            assert_eq!(output.status.code(), Some(7), "{step}: {closing}");
        }
    }
}

fn names_need_not_be_utf_8() {
    needs::root();
    let directory = temporary();
    let strange = OsStr::from_bytes(b"r\xff\xfe \t'\"x");
    let root = directory.path().join(strange);
    copy_default_root(&root);
    for step in ALL_STEPS {
        let options = [OsStr::new("--rootfs"), root.as_ref()];
        let command = ["printf", "%s"].map(OsStr::new);
        let words = options.into_iter().chain(command).chain([strange]);
        let output = Step::telling_all(step).args(words).output();
        assert_eq!(output.stdout, strange.as_bytes(), "{step}: {output:?}");
    }
    let (source, word) = (directory.path().join(b"s\xff".map_os()), token());
    fs::write(&source, &word).expect("write a file");
    let volume = [source.as_os_str().as_bytes(), b":/n/\xfd\n:ro"].concat();
    let words = [
        OsStr::new("--rootfs"),
        root.as_ref(),
        OsStr::new("-v"),
        &volume.map_os(),
    ];
    let shown = Step::new("04-mount-namespace")
        .args(words)
        .args([OsStr::new("cat"), &b"/n/\xfd\n".map_os()]);
    assert_eq!(shown.stdout(), word);
}

trait MapOs {
    fn map_os(&self) -> OsString;
}

impl<B: AsRef<[u8]>> MapOs for B {
    fn map_os(&self) -> OsString {
        OsString::from_vec(self.as_ref().to_vec())
    }
}

fn a_line_feed_in_a_name_forges_no_line_of_the_story() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let forged = format!("x\ninside  {word}\x1b[2J");
        let told = Step::telling_all(step).args(["true", &forged]).output();
        let failed = Step::telling_all(step)
            .args(["--rootfs", &forged, "true"])
            .output();
        let missing = Step::telling_all(step).args([&forged]).output();
        for stderr in [told.stderr, failed.stderr, missing.stderr]
            .map(|bytes| text(&bytes))
        {
            assert!(stderr.contains(&word), "{step}: {stderr}");
            assert!(!stderr.contains('\x1b'), "{step}: {stderr}");
            assert!(
                !stderr
                    .lines()
                    .any(|l| l.starts_with(&format!("inside  {word}"))),
                "{step}: {stderr}"
            );
        }
    }
}
