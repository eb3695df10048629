//! What every step stops, because the runtime does: these work in a container
//! made with chroot(1), and in no step.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::pty::openpty;
use testbed::{binary, needs, token};

use crate::places::{
    Mount, Place, Root, STEPS, Secret, Verdict, copy_program, impossible,
    judge, judge_words, need_command, run, stdout, text,
};

/// Starts a program with the host's root directory open as descriptor 7.
fn with_open_root(program: &[&str]) -> Output {
    let start = ["-c", "exec 7</; exec \"$@\"", "sh"];
    run("sh", start.iter().chain(program))
}

/// What starts a program in this root directory.
fn start(place: Place, root: &Path) -> Vec<String> {
    match place.step {
        0 => vec!["chroot".into(), text(root)],
        step => {
            let step = text(binary(STEPS[step - 1]));
            vec![step, "-q".into(), "--rootfs".into(), text(root), "--".into()]
        }
    }
}

pub fn leaked_directory(place: Place) -> Verdict {
    let (secret, root) = (Secret::new(), Root::new());
    let start = start(place, &root.path());
    let mut program: Vec<_> = start.iter().map(String::as_str).collect();
    program.extend(["/bin/attack", "leaked-directory", &secret.file]);
    let output = with_open_root(&program);
    judge(&output, secret.is_told_by(&output))
}

/// With a /proc in the root directory, so that the path is there to be tried.
pub fn leaked_workdir(place: Place) -> Verdict {
    let (secret, root) = (Secret::new(), Root::new());
    // From step 04 on there is one anyway.
    let _proc = (place.step < 4)
        .then(|| Mount::bind("/proc", root.path().join("proc")));
    let root = root.text();
    if place.step == 0 {
        let script = format!(
            "cd /proc/self/fd/7 && exec /bin/attack leaked-workdir {}",
            secret.file
        );
        let output =
            with_open_root(&["chroot", &root, "/bin/sh", "-c", &script]);
        return judge(&output, secret.is_told_by(&output));
    }
    let step = text(binary(STEPS[place.step - 1]));
    let mut seen = false;
    // The runtime's own are among them: its root directory, say.
    for descriptor in 3..10 {
        let workdir = format!("/proc/self/fd/{descriptor}");
        let options = ["-q", "--rootfs", &root, "--workdir", &workdir, "--"];
        let attack = ["attack", "leaked-workdir", &secret.file];
        let output =
            with_open_root(&[&[&*step], &options[..], &attack].concat());
        seen |= secret.is_told_by(&output);
        // It is refused, or the attack has run and found itself below /.
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = match error.contains(&workdir) {
            true => 125,
            false => 1,
        };
        let tells = seen || output.status.code() == Some(status);
        assert!(
            tells && (seen || descriptor != 7 || status == 125),
            "{output:?}"
        );
    }
    Ok(seen)
}

/// A shell in a terminal starts the container. What it reads afterwards from
/// that terminal, nobody has typed.
pub fn type_into_terminal(place: Place) -> Verdict {
    let setsid = need_command("setsid")?;
    let perl = need_command("perl")?;
    let legacy = fs::read_to_string("/proc/sys/dev/tty/legacy_tiocsti");
    if legacy.is_ok_and(|on| on.trim() == "0")
        && !needs::in_first_user_namespace()
    {
        return impossible(
            "the kernel itself refuses TIOCSTI (dev.tty.legacy_tiocsti is 0)",
        );
    }
    let root = Root::new();
    add_program(&root.path(), &perl);
    // perl wants a /dev/null, and no step has one below 04.
    let _dev =
        (place.step < 4).then(|| Mount::bind("/dev", root.path().join("dev")));
    let typed = token();
    let lines = in_a_terminal(
        &setsid,
        &start(place, &root.path()),
        &format!(
            "\"$@\" /bin/attack type-into-terminal {typed}
             IFS= read -r -t 0.3 typed
             echo \"typed $typed\""
        ),
    );
    let said = lines.join("\n");
    let seen = said.ends_with(&format!("\ntyped {typed}"));
    assert!(seen || said.ends_with("\ntyped "), "{said}");
    judge_words(&said, seen)
}

/// Copies a program, and the libraries that it names, to where they are here.
fn add_program(root: &Path, program: &Path) {
    let libraries = stdout(&run("ldd", [program]));
    let libraries = libraries
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(PathBuf::from);
    for file in libraries.chain([program.to_owned()]) {
        let place = root.join(file.strip_prefix("/").expect("a full path"));
        fs::create_dir_all(place.parent().expect("a parent"))
            .expect("make a directory");
        if !place.exists() {
            copy_program(&file, &place);
        }
    }
}

/// Runs a script in a session of its own, with a new terminal as its stdin.
/// `words` are its arguments.
fn in_a_terminal(setsid: &Path, words: &[String], script: &str) -> Vec<String> {
    let terminal = openpty(None, None).expect("a terminal");
    let mut session = Command::new(setsid)
        .args(["--ctty", "--wait", "bash", "-c", script, "bash"])
        .args(words)
        .stdin(terminal.slave)
        .stdout(Stdio::piped())
        .spawn()
        .expect("start setsid");
    let stdout = BufReader::new(session.stdout.take().expect("stdout"));
    let lines = stdout.lines().map(|line| line.expect("a line")).collect();
    session.wait().expect("wait for setsid");
    lines
}
