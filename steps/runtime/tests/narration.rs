//! What a step tells of itself can be read, and typed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use testbed::story::unfolded;
use testbed::{
    ALL_STEPS, STEPS, Step, binary, checkout, eventually, needs, proc, skip,
    token,
};

testbed::main!(
    a_step_fits_a_screen_of_24_lines,
    of_earlier_steps_the_calls_are_counted_in_their_order,
    what_is_told_does_not_depend_on_how_soon,
    pause_stops_at_what_is_told,
    nothing_is_longer_than_the_terminal_is_wide,
    a_narrow_line_is_cut_between_words_alone,
    a_terminal_without_a_width_has_80_columns,
    without_utf8_there_is_ascii_alone,
    without_utf8_the_views_have_ascii_alone,
    what_scripts_say_is_ascii,
    whoever_wants_no_colour_gets_none,
    a_closed_stderr_hurts_nobody,
    an_error_and_a_note_look_different_from_a_call,
    each_side_tells_a_call_with_one_write,
    a_root_directory_of_any_name_can_be_typed,
    what_is_told_can_be_typed_in_04,
    what_is_told_can_be_typed_in_05,
    what_is_told_can_be_typed_in_06,
    what_is_told_can_be_typed_in_07,
    what_is_told_can_be_typed_in_08,
    what_is_told_can_be_typed_in_09,
);

/// Those that need no more than root; in a playground, which has a pretend
/// network to change, all of them.
fn steps() -> &'static [&'static str] {
    needs::root();
    match in_a_playground() {
        true => &ALL_STEPS,
        false => &STEPS,
    }
}

fn in_a_playground() -> bool {
    std::env::var_os("PLAYGROUND").is_some_and(|value| !value.is_empty())
}

fn on_a_screen(step: Step, columns: u16) -> String {
    let (status, screen) = step.on_terminal_of(columns).finish();
    assert_eq!(status, 0, "{screen}");
    plain(&screen)
}

/// The last one out takes it away, and leaves it for a moment. Whoever comes
/// meanwhile has less to do.
fn the_bridge_is_gone() {
    eventually("the bridge is gone", || {
        let there = fs::exists("/sys/class/net/workshop0").ok()?;
        (!there).then_some(())
    });
}

/// Without colours.
fn plain(screen: &str) -> String {
    let colour = regex_lite::Regex::new("\x1b\\[[0-9;]*m").expect("a regex");
    colour.replace_all(screen, "").replace('\r', "")
}

/// In the lab, whose network is its own and whose cgroups are v2, all that
/// whoever judges there can start.
fn steps_to_measure() -> &'static [&'static str] {
    match needs::in_the_lab() {
        true if needs::is_root() => &ALL_STEPS,
        true => &ALL_STEPS[4..],
        false => steps(),
    }
}

/// What somebody may ask of a step at once: each flag of it and of those before.
fn flags(step: &str) -> Vec<&'static str> {
    let limited = |limit| {
        let mut step = Step::new("06-cgroups").args(["-m", limit, "true"]);
        step.command().status().expect("start the step").success()
    };
    let all: [(&str, &[&str]); 10] = [
        ("01", &["-e", "NAME=value", "-w", "/tmp"]),
        ("02", &["--hostname", "box"]),
        ("03", &["--init"]),
        (
            "04",
            &[
                "-v",
                "/etc:/mnt:ro",
                "-v",
                "/usr:/media",
                "-v",
                "/bin:/srv",
                "--read-only",
            ],
        ),
        ("05", &["-u", "0:0"]),
        ("06", &["-m", "64m", "--cpus", "0.5", "--pids-limit", "20"]),
        ("07", &["--layer", "/usr/bin", "--layer", "/usr/sbin"]),
        (
            "08",
            &["-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "5353:53/udp"],
        ),
        ("08", &["--network", "bridge"]),
        ("09", &["--cap-drop", "ALL", "--cap-add", "NET_RAW"]),
    ];
    let fits = |(since, words): &(&str, &[&str])| {
        *since <= &step[..2]
            && (*since != "06" || limited("64m"))
            && (words[0] != "--network" || needs::is_root())
    };
    all.into_iter().filter(fits).flat_map(|(_, words)| words).copied().collect()
}

fn a_step_fits_a_screen_of_24_lines() {
    for step in steps_to_measure() {
        let tell = |flags: &[&str], columns| {
            the_bridge_is_gone();
            let told = Step::telling(step).args(flags).args(["true"]);
            on_a_screen(told, columns)
        };
        let count = |flags: &[&str]| {
            let screen = tell(flags, 80);
            let count = screen.lines().count();
            assert!(count <= 24, "{step} {flags:?}: {count} lines\n{screen}");
            count
        };
        let flags = flags(step);
        let [plain, with_flags] = [count(&[]), count(&flags)];
        let widest = |screen: &str| {
            screen.lines().map(|it| it.chars().count()).max().unwrap_or(0)
        };
        let all = tell(&["--all"], 80);
        println!(
            "{step:<20} {plain:>3} lines, {with_flags:>3} with flags, \
             {:>3} with --all, of {} columns, and {} of 100",
            all.lines().count(),
            widest(&tell(&[], 80)).max(widest(&all)),
            widest(&tell(&["--all"], 100)),
        );
    }
}

fn side(line: &str) -> &str {
    line.split(' ').next().unwrap_or_default()
}

/// `04 mount namespace    20 calls, 2 notes`: the step, calls and notes.
fn count(line: &str) -> Option<(&str, usize, usize)> {
    let (step, told) = line.get(8..)?.split_once("  ")?;
    step.as_bytes()[..2].iter().all(u8::is_ascii_digit).then_some(())?;
    let number = |word: &str| {
        let words: Vec<_> = told.split_whitespace().collect();
        let at = words.iter().position(|it| it.starts_with(word))?;
        let number = words[..at].iter().rev().find_map(|it| it.parse().ok());
        number.map(|number: usize| number)
    };
    let numbers = [number("call"), number("note")];
    Some((step, numbers[0].unwrap_or(0), numbers[1].unwrap_or(0)))
}

fn of_earlier_steps_the_calls_are_counted_in_their_order() {
    for step in steps() {
        let [few, all] =
            [Step::telling(step), Step::telling_all(step)].map(|telling| {
                the_bridge_is_gone();
                let told = telling.args(["true"]).output();
                String::from_utf8(told.stderr).expect("UTF-8")
            });
        let is_told = |line: &&str| !line[8..].starts_with('$');
        let all: Vec<_> = all.lines().filter(is_told).collect();
        // What was counted since the last call that was told; routine of its
        // own, which is told of at the end; and where we are in the whole.
        let (mut due, mut routine, mut more, mut at) = (0, 0, 0, 0);
        for line in few.lines().filter(is_told) {
            match count(line) {
                Some((whose, calls, _)) if line.contains(" more call") => {
                    assert!(step.starts_with(&whose[..2]), "{step}: {line}");
                    more += calls;
                }
                Some((whose, calls, notes)) => {
                    assert!(whose[..2] < step[..2], "{step}: {line}");
                    due += calls + notes;
                }
                None => {
                    let same = |it: &&str| {
                        without_numbers(it) == without_numbers(line)
                            || it.contains("clone") && line.contains("clone")
                    };
                    let found = all[at..].iter().position(same);
                    let skipped = found.unwrap_or_else(|| {
                        panic!("{step}: {line} is not in {:#?}", &all[at..])
                    });
                    assert!(skipped >= due, "{step}: before {line}:\n{few}");
                    routine += skipped - due;
                    at += skipped + 1;
                    due = 0;
                }
            }
        }
        assert_eq!((at, more), (all.len(), routine), "{step}:\n{few}");
        let some = few.lines().any(|line| count(line).is_some());
        assert_eq!(some, step != &"01-chroot", "{step}:\n{few}");
    }
}

/// The runtime's pid, and what is numbered after it, differ from run to run.
/// Those of processes, and the ids of machines, which are never the same.
fn without_numbers(line: &str) -> String {
    let id = regex_lite::Regex::new("[0-9a-f]{32}").expect("a regex");
    let line = id.replace_all(line, "");
    line.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// Step 08's bridge stays for a moment, for whoever comes next.
fn what_is_told_does_not_depend_on_how_soon() {
    for step in steps() {
        let told = || {
            // A longer number moves the words of its line. Some are hexadecimal.
            let varies =
                |it: char| it.is_ascii_hexdigit() || it.is_whitespace();
            raw(step, &["--all", "true"]).replace(varies, "")
        };
        // Makes the root directory.
        told();
        let first = told();
        for milliseconds in [0, 1, 3, 10, 30, 100, 300] {
            sleep(Duration::from_millis(milliseconds));
            assert_eq!(told(), first, "{step}, after {milliseconds} ms");
        }
    }
}

fn pause_stops_at_what_is_told() {
    for step in steps() {
        let told = Step::telling(step).args(["true"]).output();
        let told = String::from_utf8(told.stderr).expect("UTF-8");
        let is_call = |line: &&str| line.contains("  – ");
        let calls = told.lines().filter(is_call).count();
        let mut terminal =
            Step::telling(step).args(["--pause", "true"]).on_terminal();
        let mut stops = 0;
        while terminal.shows_or_ends("⏎").is_some() {
            stops += 1;
            terminal.types("\n");
        }
        let (status, paused) = terminal.finish();
        assert_eq!(status, 0, "{step}");
        assert_eq!(stops, calls, "{step}: {told}\n{paused}");
    }
}

const WIDTHS: [u16; 7] = [20, 21, 40, 80, 100, 160, 200];

fn nothing_is_longer_than_the_terminal_is_wide() {
    let odd = "/tmp/ein Wort mit äöü, und ein sehr-langer-name-ohne-ende";
    for step in steps() {
        for columns in WIDTHS {
            let told = Step::telling_all(step).args(["true", odd]);
            let screen = on_a_screen(told, columns);
            let failed = Step::telling(step).args(["--rootfs", odd, "true"]);
            let (status, error) = failed.on_terminal_of(columns).finish();
            assert_eq!(status, 125, "{error}");
            for line in screen.lines().chain(plain(&error).lines()) {
                let width = line.chars().count();
                assert!(
                    width <= columns.into(),
                    "{step}, {columns}: {width}: {line:?}"
                );
            }
        }
        let told = raw(step, &["--all", "true", odd]);
        let longest = told.lines().map(|it| it.chars().count()).max();
        assert!(longest <= Some(100) && longest > Some(80), "{longest:?}");
    }
}

/// As it is told to no terminal.
fn raw(step: &str, options: &[&str]) -> String {
    let mut command = Command::new(binary(step));
    command.env("LC_ALL", "C.UTF-8").args(options).stdin(Stdio::null());
    let output = command.output().expect("start the step");
    String::from_utf8(output.stderr).expect("UTF-8")
}

fn a_narrow_line_is_cut_between_words_alone() {
    for step in steps() {
        let story = |columns| {
            the_bridge_is_gone();
            let told = Step::telling_all(step).args(["true"]);
            let story = unfolded(&on_a_screen(told, columns));
            // Where columns are aligned there are more spaces.
            let words = story.split_whitespace().collect::<Vec<_>>().join(" ");
            without_numbers(&words)
        };
        let wide = story(500);
        for columns in [80, 100, 200] {
            assert_eq!(story(columns), wide, "{step}: {columns}");
        }
    }
}

fn a_terminal_without_a_width_has_80_columns() {
    for step in steps() {
        let screen = on_a_screen(Step::telling(step).args(["true"]), 0);
        let widest = screen.lines().map(|it| it.chars().count()).max();
        assert!(widest <= Some(80) && widest > Some(60), "{screen}");
    }
}

fn without_utf8_there_is_ascii_alone() {
    for step in steps() {
        for (name, value) in
            [("LC_ALL", "C"), ("LC_CTYPE", "POSIX"), ("LANG", "de_DE")]
        {
            let mut telling = Step::telling_all(step).args(["true"]);
            for other in ["LC_ALL", "LC_CTYPE", "LANG"] {
                telling.command().env_remove(other);
            }
            telling.command().env(name, value);
            let told = telling.output().stderr;
            assert!(told.is_ascii(), "{step}: {name}={value}");
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(told.contains("$ exec true"), "{step}: {told}");
            let mut pausing = Step::telling(step).args(["--pause", "true"]);
            pausing.command().env("LC_ALL", "C");
            let mut terminal = pausing.on_terminal();
            terminal.shows("[Enter]");
        }
        let mut utf8 = Step::telling(step).args(["true"]);
        utf8.command().env_remove("LC_ALL").env("LANG", "de_DE.utf8");
        let told = utf8.output().stderr;
        assert!(String::from_utf8_lossy(&told).contains("≙ exec true"));
    }
}

fn without_utf8_the_views_have_ascii_alone() {
    if !in_a_playground() {
        skip("needs a playground to look at");
    }
    let view = |name: &str, locale| {
        let mut view = Step::script(name).args(["--once"]);
        view.command().env("LC_ALL", locale);
        view.stdout()
    };
    for name in ["watch-cgroup.sh", "watch-namespaces.sh"] {
        let ascii = view(name, "C");
        assert!(ascii.is_ascii(), "{name}: {ascii}");
    }
    let matrix = binary("attack-matrix");
    let mut matrix = Step::program(&matrix.to_string_lossy());
    matrix.command().args(["--attack", "read-host-file"]).env("LC_ALL", "C");
    let ascii = matrix.stdout();
    assert!(ascii.is_ascii() && ascii.contains(" o "), "{ascii}");
    // Without a cgroup there is nothing to draw.
    if std::env::var("PLAYGROUND_CGROUP").is_ok_and(|it| it != "none") {
        assert!(view("watch-cgroup.sh", "C.UTF-8").contains('·'));
    }
}

/// They are read before a locale is known to be one of UTF-8. Those that draw
/// have stand-ins, and claims of their own.
fn what_scripts_say_is_ascii() {
    let draws = |name: &str| {
        ["watch-", "live-view", "demo", "doctor"]
            .iter()
            .any(|it| name.starts_with(it))
    };
    for place in ["scripts", "scripts/lib"] {
        let scripts = fs::read_dir(checkout().join(place)).expect(place);
        for script in scripts.flatten() {
            let name = script.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".sh") || draws(&name) {
                continue;
            }
            let text = fs::read_to_string(script.path()).expect("a script");
            for line in text.lines() {
                let is_comment = line.trim_start().starts_with('#');
                assert!(is_comment || line.is_ascii(), "{name}: {line}");
            }
        }
    }
}

fn whoever_wants_no_colour_gets_none() {
    for step in steps() {
        for (name, value, colourful) in [
            ("TERM", "dumb", false),
            ("TERM", "xterm", true),
            ("NO_COLOR", "1", false),
            ("NO_COLOR", "", true),
        ] {
            let fine = Step::telling(step).args(["true"]);
            let failing = Step::telling(step).args(["--rootfs", "/no", "x"]);
            for (mut telling, status) in [(fine, 0), (failing, 125)] {
                let command = telling.command();
                command.env_remove("NO_COLOR").env("TERM", "xterm");
                command.env(name, value);
                let (ended, screen) = telling.on_terminal().finish();
                assert_eq!(ended, status, "{screen}");
                assert_eq!(screen.contains('\x1b'), colourful, "{screen:?}");
            }
        }
    }
}

fn a_closed_stderr_hurts_nobody() {
    for step in steps() {
        let word = token();
        let telling = Step::telling_all(step).args(["echo", &word]);
        let closed = telling.in_shell("exec \"$@\" 2>&-").output();
        assert_eq!(closed.status.code(), Some(0), "{step}");
        assert_eq!(closed.stdout, format!("{word}\n").as_bytes(), "{step}");
        let failing = Step::telling(step).args(["--rootfs", "/nowhere", "x"]);
        let closed = failing.in_shell("exec \"$@\" 2>&-").output();
        assert_eq!(closed.status.code(), Some(125), "{step}");
    }
}

fn an_error_and_a_note_look_different_from_a_call() {
    const RED: &str = "\x1b[31m";
    const YELLOW: &str = "\x1b[33m";
    needs::root();
    let screen = |step: Step| {
        let mut step = step;
        step.command().env_remove("NO_COLOR").env("TERM", "xterm");
        step.on_terminal().finish().1
    };
    let failed = Step::telling("04-mount-namespace")
        .args(["--rootfs", "/nowhere", "true"]);
    let error = screen(failed);
    assert!(error.starts_with(RED), "{error:?}");
    assert!(plain(&error).starts_with("04-mount-namespace: "), "{error}");
    let fine = screen(Step::telling_all("04-mount-namespace").args(["true"]));
    assert!(!fine.contains(RED), "{fine:?}");
    let note = |line: &&str| line.contains("note: ");
    for line in fine.lines().filter(note) {
        assert!(line.contains(YELLOW), "{line:?}");
    }
    let calls = fine.lines().filter(|line| !note(line));
    assert!(!calls.collect::<String>().contains(YELLOW), "{fine:?}");
    if in_a_playground() {
        assert!(fine.lines().any(|line| note(&line)), "{fine:?}");
    }
}

/// Both sides have the same stderr: one write(2) is not torn by another one.
fn each_side_tells_a_call_with_one_write() {
    let tracer = needs::tracer();
    for step in steps() {
        let log = tempfile::NamedTempFile::new().expect("a file");
        let script = format!(
            "exec {} -f -qq -s 9999 -e trace=write -e signal=none -o {} \"$@\" 2>/dev/null",
            tracer.display(),
            log.path().display()
        );
        let telling = Step::telling_all(step).args(["true"]);
        assert!(telling.in_shell(&script).output().status.success());
        let trace = fs::read_to_string(log.path()).expect("the trace");
        let told = trace.lines().filter_map(|line| {
            let (_, text) = line.split_once("write(")?.1.split_once(", \"")?;
            ["host  ", "inside  ", "     "]
                .iter()
                .any(|side| text.starts_with(side))
                .then_some(text)
        });
        let told: Vec<_> = told.collect();
        assert!(told.len() > 3, "{step}: {trace}");
        for text in told {
            let whole = text.rsplit_once("\", ").expect("its length").0;
            assert!(!whole.starts_with(' '), "{step}: torn: {whole}");
            assert!(whole.ends_with("\\n"), "{step}: torn: {whole}");
        }
    }
}

/// The commands that are shown, as they stand: with the side, and what follows.
fn commands(told: &str) -> Vec<(String, String, bool)> {
    let mut found: Vec<(String, String, bool)> = Vec::new();
    for line in told.lines() {
        if !line.starts_with(' ') {
            found.push((side(line).to_owned(), String::new(), false));
        }
        let is_note =
            line.get(8..).is_some_and(|text| text.starts_with("note: "));
        if let ([.., before, _], true) = (&mut found[..], is_note) {
            before.2 = true;
        }
        let command = &mut found.last_mut().expect("a side").1;
        match line.split_once("≙ ") {
            Some((_, shell)) => *command = shell.to_owned(),
            None if !command.is_empty() => {
                *command += "\n";
                *command += line;
            }
            None => {}
        }
    }
    found.retain(|(_, command, _)| !command.is_empty());
    found
}

fn a_root_directory_of_any_name_can_be_typed() {
    needs::root();
    let place = tempfile::tempdir().expect("a directory");
    let names: [&[u8]; 7] = [
        b"a name with spaces in it, quite long",
        b"line\nfeeds\n\tand tabs\x1b[31m in a name",
        b"'single' and \"double\" quotes, and ' more",
        b"no UTF-8: \xff\xfe\x80 but bytes that are none",
        b"$HOME `date` $(date) \\ and * and ? and ~ ;",
        "äöü ≙ and what else is no ASCII 漢字".as_bytes(),
        b"plain-but-very-very-very-long-without-any-space-in-its-name",
    ];
    for name in names {
        let name = OsString::from_vec(name.to_vec());
        let root = fs::canonicalize(place.path()).expect("its path").join(name);
        testbed::copy_default_root(&root);
        for step in &steps()[..4] {
            let mut command = Command::new(binary(step));
            command.env("LC_ALL", "C.UTF-8").arg("--all").arg("--rootfs");
            command.arg(&root);
            // A colon would end the name of a volume.
            let has_volume = *step == "04-mount-namespace"
                && !root.as_os_str().as_bytes().contains(&b':');
            if has_volume {
                let mut volume = root.clone().into_os_string();
                volume.push(":/mnt");
                command.arg("--volume").arg(volume);
            }
            let output = command.arg("true").output();
            let output = output.expect("start the step");
            assert!(output.status.success(), "{output:?}");
            let told = output.stderr;
            let told = String::from_utf8(told).expect("UTF-8");
            let mut script = String::new();
            for (_, command, _) in commands(&told) {
                // Where it goes, and not what it does there.
                let to = ["chroot ", "cd ", "ROOT=", "mount --rbind "];
                match to.iter().find(|it| command.starts_with(*it)) {
                    Some(&"ROOT=") => script += &format!("{command}\n"),
                    Some(call) if !command.ends_with("cd /") => {
                        let words = &command[call.len()..];
                        let words = words.trim_end_matches(" sh");
                        script += &format!("printf '%s\\0' {words}\n");
                    }
                    _ => {}
                }
            }
            let typed = Command::new("bash").args(["-c", &script]).output();
            let typed = typed.expect("bash").stdout;
            let words: Vec<_> =
                typed.split(|&b| b == 0).filter(|it| !it.is_empty()).collect();
            assert!(!words.is_empty(), "{step}: {told}");
            let volumes = words.iter().filter(|word| **word == b"mnt").count();
            assert_eq!(volumes, usize::from(has_volume), "{told}");
            for word in words.into_iter().filter(|word| *word != b"mnt") {
                assert_eq!(
                    String::from_utf8_lossy(word),
                    String::from_utf8_lossy(root.as_os_str().as_bytes()),
                    "{step}: {script}\n{told}"
                );
                assert_eq!(word, root.as_os_str().as_bytes());
            }
        }
    }
}

/// What the kernel shows of a container, as far as it is not numbered anew.
const LOOK: &str = "\
    hostname; cd /; ls; ls -ln dev | while read a b c d e f; do echo $a $c $d $e; done; \
    while read a b c d e f; do echo $d $e $f; done </proc/self/mountinfo; \
    cat /proc/self/uid_map /proc/self/gid_map /proc/self/cgroup; \
    cat /etc/hosts /etc/resolv.conf; echo pid $$; ls -d /proc/1; \
    while read a b; do case $a in Cap*|Groups*|NoNewPrivs*) echo $a $b; esac; done </proc/self/status; \
    ip -4 address 2>&1; ip route 2>&1; ls /sys /sys/fs/cgroup";

fn what_is_told_can_be_typed_in_04() {
    can_be_typed("04-mount-namespace");
}

fn what_is_told_can_be_typed_in_05() {
    can_be_typed("05-user-namespace");
}

fn what_is_told_can_be_typed_in_06() {
    can_be_typed("06-cgroups");
}

fn what_is_told_can_be_typed_in_07() {
    can_be_typed("07-overlayfs");
}

fn what_is_told_can_be_typed_in_08() {
    can_be_typed("08-networking");
}

/// But for the keyring and the filter, for which a shell has no words.
fn what_is_told_can_be_typed_in_09() {
    can_be_typed("09-least-privilege");
}

/// The default one. Busybox's unshare can't make a cgroup namespace, its setpriv
/// knows no bounding set, and its shell takes its own before any other: here are
/// the host's, with their libraries. They belong to whoever is root inside.
fn root_with_the_hosts_tools(step: &str, root: &Path) {
    testbed::copy_default_root(root);
    for name in ["bash", "setpriv", "unshare"] {
        let tool = needs::command(name);
        for directory in ["bin", "sbin", "usr/bin", "usr/sbin"] {
            let _ = fs::remove_file(root.join(directory).join(name));
        }
        fs::copy(&tool, root.join("bin").join(name)).expect("copy the host's");
        let list = Command::new("ldd").arg(&tool).output().expect("ldd").stdout;
        let list = String::from_utf8(list).expect("UTF-8");
        for library in list.split_whitespace().filter(|it| it.starts_with('/'))
        {
            let there = root.join(&library[1..]);
            if !there.exists() {
                let parent = there.parent().expect("a directory");
                fs::create_dir_all(parent).expect("mkdir");
                fs::copy(library, there).expect("copy a library");
            }
        }
    }
    fs::remove_file(root.join("bin/sh")).expect("remove busybox's");
    symlink("bash", root.join("bin/sh")).expect("a link");
    let map = Step::new(step).args(["cat", "/proc/self/uid_map"]).stdout();
    let owner = map.split_whitespace().nth(1).expect("an id").to_owned();
    let mut chown = Command::new("chown");
    let chown = chown.args(["-R", "-h", &format!("{owner}:{owner}")]);
    assert!(chown.arg(root).status().expect("chown").success());
}

/// Two shells: one becomes the container, in the other the host's lines are
/// typed. What a step's first process is, is there the shell that unshare starts.
fn can_be_typed(step: &str) {
    if !in_a_playground() || !needs::is_root() {
        skip("needs root of a playground: it is typed on the pretend host");
    }
    let one_id = std::env::var("PLAYGROUND_IDS").is_ok_and(|it| it == "1");
    if one_id && step != "04-mount-namespace" {
        skip("needs more than one id: setgroups(2) is denied to one alone");
    }
    let place = tempfile::tempdir().expect("a directory");
    let root = place.path().join("root");
    root_with_the_hosts_tools(step, &root);
    let look = format!("({LOOK}) 2>&1");
    let made = Command::new(binary(step))
        .arg("--all")
        .arg("--rootfs")
        .arg(&root)
        .args(["sh", "-c", &look])
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::null())
        .output()
        .expect("start the step");
    let told = String::from_utf8(made.stderr).expect("UTF-8");
    let pid = told.split("/proc/").find_map(|rest| {
        let (number, _) = rest.split_once("/uid_map")?;
        number.parse::<i32>().is_ok().then(|| number.to_owned())
    });
    the_bridge_is_gone();
    let shell = || {
        let mut shell = Step::program("bash").args(["--norc"]);
        shell.command().env_clear().env("SHELL", "/bin/bash");
        let path = std::env::var_os("PATH").unwrap_or_default();
        shell.command().env("PATH", path);
        let mut shell = shell.start();
        shell.say("exec 2>&1");
        shell
    };
    let (mut host, mut inside) = (shell(), shell());
    let (mut begun, mut typed) = (None::<i32>, 0);
    for (side, mut command, refused) in commands(&told) {
        // These two don't do what the call does, but show it, or end the talk.
        if command.contains("# shows them") || command.starts_with("exec sh ") {
            continue;
        }
        if let (Some(pid), Some(begun)) = (&pid, begun) {
            command =
                command.replace(&format!("/{pid}/"), &format!("/{begun}/"));
            command = command
                .replace(&format!("netns {pid}"), &format!("netns {begun}"));
        }
        let to = match side.as_str() {
            "host" if begun.is_some() => &mut host,
            _ => &mut inside,
        };
        let end = token();
        to.say(&format!("{command}\necho {end} $?"));
        let mut said = String::new();
        let answer = loop {
            let line = to.line();
            if let Some(status) = line.strip_prefix(&end) {
                break status.trim().to_owned();
            }
            said += &(line + "\n");
        };
        typed += 1;
        assert_eq!(answer != "0", refused, "{step}: {command}: {said}\n{told}");
        if command.contains("unshare") && begun.is_none() {
            let deepest = |mut pid: i32| {
                while let [child] = proc::children(pid)[..] {
                    pid = child;
                }
                pid
            };
            begun = Some(deepest(inside.runtime()));
        }
    }
    assert!(typed > 10, "{step}: {typed}");
    let end = token();
    inside.say(&format!("{look}; echo {end}"));
    let mut seen = String::new();
    loop {
        match inside.line() {
            line if line == end => break,
            line => seen += &(line + "\n"),
        }
    }
    // The kernel numbers devices anew, and tells of a carrier at its own pace.
    let varies = "(eth0@if)[0-9]+|NO-CARRIER,|,LOWER_UP|,M-DOWN";
    let varies = regex_lite::Regex::new(varies).expect("a regex");
    let made = String::from_utf8_lossy(&made.stdout).into_owned();
    let [made, seen] =
        [made, seen].map(|text| varies.replace_all(&text, "$1").into_owned());
    let difference: Vec<_> = similar::TextDiff::from_lines(&made, &seen)
        .iter_all_changes()
        .filter(|it| it.tag() != similar::ChangeTag::Equal)
        .map(|it| format!("{}{}", it.tag(), it.value()))
        .collect();
    assert_eq!(difference, [] as [String; 0], "{step}: made and typed");
}
