#![forbid(unsafe_code)]
//! A container on a terminal, as the person in front of it finds it.

use std::fs;

use nix::sys::signal::{Signal, kill};
use nix::sys::termios::LocalFlags;
use nix::unistd::Pid;
use testbed::{ALL_STEPS, Step, Terminal, eventually, needs, proc, token};

testbed::main!(
    an_interactive_shell_answers,
    job_control_works,
    ctrl_c_ends_the_foreground_job_and_not_the_shell,
    the_window_has_the_size_of_the_hosts_and_follows_it,
    the_terminal_is_not_the_hosts,
    without_a_terminal_of_its_own_the_hosts_is_out_of_reach,
    from_step_04_the_terminal_has_a_name,
    the_hosts_terminal_is_set_as_before,
    ctrl_c_during_a_pause_ends_the_runtime,
    in_the_background_it_neither_stops_nor_takes_the_keyboard,
    brought_to_the_foreground_it_has_the_keyboard,
    input_from_a_pipe_and_output_to_a_terminal,
    input_from_a_terminal_and_output_to_a_pipe,
    a_megabyte_of_output_arrives_whole,
    the_last_words_arrive,
    a_big_paste_arrives_whole,
    a_hang_up_ends_the_container,
    a_terminal_that_controls_nobody_works,
);

/// A shell inside, with a prompt that nobody else has.
fn interactive(step: &str) -> (Terminal, String) {
    let prompt = format!("{}> ", token());
    let shell = Step::new(step).args(["-e", &format!("PS1={prompt}")]);
    let mut terminal = shell.args(["sh", "-i"]).on_terminal();
    terminal.shows(&prompt);
    (terminal, prompt)
}

/// Types a command, and returns when the shell has begun with it: what the
/// terminal echoes is no answer, and a shell that edits lines reads ahead.
fn ask(terminal: &mut Terminal, command: &str) {
    let word = token();
    let (start, end) = word.split_at(5);
    terminal.types(format!("echo {start}''{end}; {command}\r"));
    terminal.shows(&word);
}

fn an_interactive_shell_answers() {
    needs::root();
    for step in ALL_STEPS {
        let (mut terminal, _) = interactive(step);
        ask(&mut terminal, ":");
        terminal.types("exit 9\r");
        assert_eq!(terminal.finish().0, 9, "{step}");
    }
}

fn job_control_works() {
    needs::root();
    for step in ALL_STEPS {
        let (mut terminal, prompt) = interactive(step);
        ask(&mut terminal, "cat");
        let word = token();
        terminal.types(format!("{word}\r"));
        // Once as an echo, once from cat.
        terminal.shows(&word);
        terminal.shows(&word);
        terminal.types(b"\x1a");
        terminal.shows("Stopped");
        terminal.shows(&prompt);
        ask(&mut terminal, ":");
        terminal.types("fg\r");
        terminal.shows("cat");
        let word = token();
        terminal.types(format!("{word}\r"));
        terminal.shows(&word);
        terminal.shows(&word);
        terminal.types(b"\x04");
        ask(&mut terminal, ":");
    }
}

fn ctrl_c_ends_the_foreground_job_and_not_the_shell() {
    needs::root();
    for step in ALL_STEPS {
        let (mut terminal, _) = interactive(step);
        ask(&mut terminal, "sleep 1000");
        let pid = terminal.pid();
        eventually("sleep", || container_runs(pid, "sleep"));
        terminal.types(b"\x03");
        terminal.shows("^C");
        ask(&mut terminal, ":");
        assert!(proc::runs(terminal.pid()), "{step}");
    }
}

fn the_window_has_the_size_of_the_hosts_and_follows_it() {
    needs::root();
    for step in ALL_STEPS {
        let (mut terminal, _) = interactive(step);
        terminal.types("stty size\r");
        terminal.shows("24 80");
        terminal.types("trap 'stty size' WINCH\r");
        terminal.resize(33, 111);
        let mut tries = 0;
        eventually("the new size", || {
            tries += 1;
            terminal.types("stty size; echo asked''\r");
            terminal.shows("asked\r\n").contains("33 111").then_some(())
        });
        assert!(tries < 100, "{step}");
    }
}

fn the_terminal_is_not_the_hosts() {
    needs::root();
    for step in ALL_STEPS {
        let (terminal, _) = interactive(step);
        let read = |pid, fd| fs::read_link(format!("/proc/{pid}/fd/{fd}"));
        let child = proc::children(terminal.pid())[0];
        let host = read(terminal.pid(), 0).expect("a terminal");
        for fd in 0..3 {
            let inside = read(child, fd).expect("a terminal");
            assert!(inside.starts_with("/dev/pts"), "{step}: {inside:?}");
            assert_ne!(inside, host, "{step}");
        }
        let hosts = controlling_terminal(terminal.pid());
        assert_ne!(controlling_terminal(child), hosts, "{step}");
        assert_ne!(controlling_terminal(child), "0", "{step}");
    }
}

/// Field 7 of stat (proc_pid_stat(5)): "0" is none.
fn controlling_terminal(pid: i32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.expect("its stat");
    let after = stat.rsplit_once(") ").expect("a name").1;
    after.split(' ').nth(4).expect("a terminal").to_owned()
}

/// Else it could open /dev/tty, and type there. Input and output are pipes.
fn without_a_terminal_of_its_own_the_hosts_is_out_of_reach() {
    needs::root();
    for step in ALL_STEPS {
        for init in [None, (step >= "03").then_some("--init")] {
            let waits = Step::new(step).args(init).sh("echo ready; read x");
            let shell = waits.in_shell(r#"head -n 1 | "$@" 2>&1 | cat"#);
            let mut terminal = shell.on_terminal();
            terminal.shows("ready");
            assert_ne!(controlling_terminal(terminal.pid()), "0");
            let pipeline = proc::children(terminal.pid());
            let inside = pipeline.into_iter().flat_map(proc::children);
            let inside: Vec<_> = inside
                .flat_map(|pid| [vec![pid], proc::children(pid)].concat())
                .collect();
            assert!(!inside.is_empty(), "{step}");
            for pid in inside {
                assert_eq!(controlling_terminal(pid), "0", "{step} {init:?}");
            }
            terminal.types("\r");
            assert_eq!(terminal.finish().0, 0, "{step}");
        }
    }
}

fn from_step_04_the_terminal_has_a_name() {
    needs::root();
    for step in &ALL_STEPS[3..] {
        let (mut terminal, _) = interactive(step);
        terminal.types("tty\r");
        terminal.shows("/dev/console\r\n");
        terminal.types("echo to''the terminal >/dev/tty\r");
        terminal.shows("tothe terminal\r\n");
        let word = token();
        terminal.types(format!("echo {word} >/dev/console\r"));
        terminal.shows(&word);
        terminal.shows(&word);
    }
}

/// A shell of the host leads the session and sets nothing itself: what the
/// terminal is like afterwards is the step's doing.
fn before_and_after(step: Step, during: impl FnOnce(&mut Terminal)) -> i32 {
    let script = r#"echo begin; read x; "$@"; echo status=$?.; read x"#;
    let mut terminal = step.in_shell(script).on_terminal();
    terminal.shows("begin");
    let before = terminal.settings();
    terminal.types("\n");
    during(&mut terminal);
    terminal.shows("status=");
    let status = terminal.shows(".").parse().expect("a status");
    assert_eq!(terminal.settings(), before, "after status {status}");
    status
}

fn the_hosts_terminal_is_set_as_before() {
    needs::root();
    for step in ALL_STEPS {
        let missing = Step::new(step).args([token()]);
        assert_eq!(before_and_after(missing, |_| {}), 127, "{step}");
        let broken = Step::new(step).args(["--rootfs", "/dev/null", "true"]);
        assert_eq!(before_and_after(broken, |_| {}), 125, "{step}");
        let sane = "echo ready; read x; stty -echo -icanon";
        let status = before_and_after(Step::new(step).sh(sane), |terminal| {
            terminal.shows("ready");
            let raw = terminal.settings();
            assert!(!raw.local_flags.contains(LocalFlags::ICANON), "{step}");
            terminal.types("\r");
        });
        assert_eq!(status, 0, "{step}");
        for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
            let status = 128 + number;
            // A `read` that is about to begin would miss the signal.
            let traps = format!(
                "trap 'exit {status}' {name}; echo ready; \
                 while :; do sleep 0.01; done"
            );
            let ended =
                before_and_after(Step::new(step).sh(&traps), |terminal| {
                    terminal.shows("ready");
                    let runtime = proc::children(terminal.pid())[0];
                    let signal = Signal::try_from(number).expect("a signal");
                    kill(Pid::from_raw(runtime), signal).expect("kill");
                });
            assert_eq!(ended, status, "{step}");
        }
    }
}

fn ctrl_c_during_a_pause_ends_the_runtime() {
    needs::root();
    for step in ALL_STEPS {
        let mut terminal =
            Step::telling_all(step).args(["--pause", "true"]).on_terminal();
        terminal.shows("⏎");
        terminal.types(b"\x03");
        let (status, screen) = terminal.finish();
        assert_eq!(status, 130, "{step}: {screen}");
        assert!(screen.contains("interrupted by SIGINT"), "{step}: {screen}");
    }
}

/// A host's shell with job control, whose variable STEP starts the step.
fn host_shell(step: Step) -> (Terminal, String) {
    let prompt = format!("{}$ ", token());
    let script = r#"printf -v STEP '%q ' "$@"; export STEP PS1="$PROMPT"
                    exec bash --norc --noprofile --noediting -i"#;
    let mut shell = step.in_shell(script);
    shell.command().env("PROMPT", &prompt);
    let mut terminal = shell.on_terminal();
    terminal.shows(&prompt);
    (terminal, prompt)
}

fn in_the_background_it_neither_stops_nor_takes_the_keyboard() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let (mut terminal, _) =
            host_shell(Step::new(step).sh(&format!("echo {word}; exit 5")));
        let before = terminal.settings();
        terminal.types("eval \"$STEP\" &\r");
        terminal.shows(&word);
        terminal.types("wait $!; echo status=$?\r");
        terminal.shows("status=5");
        assert_eq!(terminal.settings(), before, "{step}");
        // One that reads does not take what is typed for the host's shell.
        let (mut terminal, _) = host_shell(Step::new(step).args(["cat"]));
        terminal.types("eval \"$STEP\" &\r");
        let shell = terminal.pid();
        let runtime = eventually("the runtime", || {
            proc::children(shell).first().copied()
        });
        eventually("cat", || container_runs(runtime, "cat"));
        for _ in 0..3 {
            ask(&mut terminal, ":");
        }
        let state = proc::status(runtime, "State").expect("its state");
        assert!(!state.starts_with('T'), "{step}: {state}");
        terminal.types("kill -9 %1; wait %1; echo status=$?\r");
        terminal.shows("status=137");
    }
}

/// `eval` in the background is a subshell of the host's, or the runtime itself.
fn container_runs(under: i32, name: &str) -> Option<()> {
    let mut to_look_at = vec![under];
    while let Some(pid) = to_look_at.pop() {
        if proc::status(pid, "Name").as_deref() == Some(name) {
            return Some(());
        }
        let busybox =
            fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if busybox.starts_with(name.as_bytes()) {
            return Some(());
        }
        to_look_at.extend(proc::children(pid));
    }
    None
}

fn brought_to_the_foreground_it_has_the_keyboard() {
    needs::root();
    for step in ALL_STEPS {
        let (mut terminal, prompt) = host_shell(Step::new(step).args(["cat"]));
        terminal.types("eval \"$STEP\" &\r");
        let shell = terminal.pid();
        let job =
            eventually("the job", || proc::children(shell).first().copied());
        eventually("cat", || container_runs(job, "cat"));
        terminal.types("fg\r");
        terminal.shows("fg");
        let word = token();
        terminal.types(format!("{word}\r"));
        terminal.shows(&word);
        terminal.shows(&word);
        terminal.types(b"\x04");
        terminal.shows(&prompt);
    }
}

fn input_from_a_pipe_and_output_to_a_terminal() {
    needs::root();
    for step in ALL_STEPS {
        let word = token();
        let script =
            format!(r#"printf 'x{word}' | "$@"; echo status=$?; read x"#);
        let script_inside = "cat; echo; test -t 1 && test ! -t 0; echo $?";
        let mut terminal =
            Step::new(step).sh(script_inside).in_shell(&script).on_terminal();
        terminal.shows(&format!("x{word}\r\n0\r\n"));
        terminal.shows("status=0");
    }
}

fn input_from_a_terminal_and_output_to_a_pipe() {
    needs::root();
    for step in ALL_STEPS {
        let script =
            r#""$@" | tr a-z A-Z; echo status=${PIPESTATUS[0]}; read x"#;
        let inside = "echo ready >&2; cat; test -t 0 && test ! -t 1; exit $?";
        let mut terminal =
            Step::new(step).sh(inside).in_shell(script).on_terminal();
        terminal.shows("ready");
        let word = token();
        terminal.types(format!("{word}\n"));
        terminal.shows(&word);
        terminal.types(b"\x04");
        let between = terminal.shows(&word.to_uppercase());
        assert!(
            !between.contains(&word),
            "{step}: it echoes twice: {between:?}"
        );
        terminal.shows("status=0");
    }
}

fn a_megabyte_of_output_arrives_whole() {
    needs::real_processor();
    needs::root();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("output");
    let lines: String = (0..60_000).map(|_| token() + "\n").collect();
    fs::write(&file, &lines).expect("write");
    for step in ALL_STEPS {
        // By stdin, and not from a terminal: no step 01 has volumes.
        let script = format!(r#""$@" <{}"#, file.display());
        let (status, screen) = Step::new(step)
            .args(["cat"])
            .in_shell(&script)
            .on_terminal()
            .finish();
        assert_eq!(status, 0, "{step}");
        let same = screen.replace("\r\n", "\n") == lines;
        assert!(same, "{step}: {} bytes of {}", screen.len(), lines.len());
    }
}

/// What the terminal still holds when the command is gone.
fn the_last_words_arrive() {
    needs::root();
    for step in ALL_STEPS {
        for _ in 0..10 {
            let word = token();
            let script = format!(
                "i=0; while [ $i -lt 700 ]; do echo $i; i=$((i+1)); done; echo {word}"
            );
            let (status, screen) =
                Step::new(step).sh(&script).on_terminal().finish();
            let expected: String =
                (0..700).map(|i| format!("{i}\r\n")).collect::<String>()
                    + &word
                    + "\r\n";
            assert_eq!((status, screen), (0, expected), "{step}");
        }
    }
}

fn a_big_paste_arrives_whole() {
    needs::real_processor();
    needs::root();
    let lines: String = (0..6_000).map(|_| token() + "\n").collect();
    for step in ALL_STEPS {
        let inside = "stty -echo; echo ready; n=0; while read line; \
                      do [ \"$line\" = end ] && break; echo $line; done; echo over";
        let mut terminal = Step::new(step).sh(inside).on_terminal();
        terminal.shows("ready\r\n");
        terminal.types(lines.replace('\n', "\r") + "end\r");
        let shown = terminal.shows("over").replace("\r\n", "\n");
        assert!(
            shown == lines,
            "{step}: {} bytes of {}",
            shown.len(),
            lines.len()
        );
    }
}

fn a_hang_up_ends_the_container() {
    needs::root();
    for step in ALL_STEPS {
        let (terminal, _) = interactive(step);
        let (runtime, child) =
            (terminal.pid(), proc::children(terminal.pid())[0]);
        terminal.hang_up();
        testbed::host::assert_gone(child);
        testbed::host::assert_gone(runtime);
    }
}

/// As /dev/console of a machine that boots is one.
fn a_terminal_that_controls_nobody_works() {
    needs::root();
    let setsid = needs::command("setsid");
    for step in ALL_STEPS {
        let script = format!("exec {} --wait \"$@\"", setsid.display());
        let shell = Step::new(step).args(["sh", "-i"]).in_shell(&script);
        let mut terminal = shell.on_terminal();
        terminal.shows("# ");
        ask(&mut terminal, "exit 9");
        assert_eq!(terminal.finish().0, 9, "{step}");
    }
}
