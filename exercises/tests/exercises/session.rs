//! A learner at work: the program `exercise`, as it is typed, outside any
//! playground, in a directory of its own.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use exercise::{ALL, Exercise, find};
use tempfile::TempDir;
use testbed::{Terminal, binary, checkout, needs, skip};

use crate::programs::program;

/// A learner's directory, gone with it.
struct Learner(TempDir);

/// The crates that `exercise compile` has compiled, if we may write there.
fn shared_target() -> Option<PathBuf> {
    let shared = binary("exercise").with_file_name("../exercises/target");
    tempfile::tempfile_in(&shared).is_ok().then_some(shared)
}

impl Learner {
    fn new() -> Learner {
        needs::command("cargo");
        if std::env::var_os("PLAYGROUND").is_some() {
            skip("is judged outside of the playground");
        }
        let learner = Learner(tempfile::tempdir().expect("a directory"));
        let list = learner.types(&["list"]);
        assert!(list.status.success(), "{list:?}");
        let probe = Command::new("cargo")
            .args(["metadata", "--offline", "--format-version", "1"])
            .current_dir(learner.0.path())
            .output();
        if !probe.is_ok_and(|probe| probe.status.success()) {
            skip(
                "this user has no crates to compile offline: ./scripts/setup.sh",
            );
        }
        learner
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(binary("exercise"));
        command.args(words).env("EXERCISES", self.0.path());
        if let Some(target) = shared_target() {
            command.env("CARGO_TARGET_DIR", target);
        }
        command.current_dir(checkout()).stdin(Stdio::null());
        command
    }

    fn types(&self, words: &[&str]) -> Output {
        self.command(words).output().expect("start exercise")
    }

    fn says(&self, words: &[&str], status: i32) -> String {
        let output = self.types(words);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
        // It is not a terminal, so there is no colour. But it fits one.
        assert!(!said.contains('\x1b'), "{said:?}");
        for line in said.lines() {
            assert!(line.chars().count() <= 80, "too wide: {line}");
        }
        said
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join("01-chroot").join(name).with_extension("rs")
    }

    fn progress(&self) -> String {
        let file = self.0.path().join("progress.txt");
        fs::read_to_string(file).unwrap_or_default()
    }
}

pub fn a_learner_goes_from_start_to_pass() {
    let learner = Learner::new();
    let chroot = find("chroot").expect("an exercise");
    let said = learner.says(&["check", "chroot"], 1);
    assert!(said.starts_with("FAIL chroot\n observed  /proc/"), "{said}");
    assert!(said.contains("\n expected  it is /"), "{said}");
    assert!(said.contains("\n     hint  Nobody has called"), "{said}");

    fs::write(learner.file("chroot"), "fn main() { chroot() }").expect("write");
    let said = learner.says(&["check"], 1);
    assert!(said.starts_with("DOES NOT COMPILE chroot\n"), "{said}");
    assert!(said.contains("cannot find function `chroot`"), "{said}");

    fs::write(learner.file("chroot"), chroot.solution).expect("write");
    let said = learner.says(&["check", "chroot"], 0);
    assert!(said.starts_with("PASS chroot\n observed  /proc/"), "{said}");
    assert!(learner.progress().contains("\nchroot passed 0 0\n"));
    let said = learner.says(&["list"], 0);
    assert!(said.contains("01 ✓ chroot "), "{said}");
    let sum =
        format!("1 of {} passed, 0 skipped; next: chroot-hole\n", ALL.len());
    assert!(said.contains(&sum), "{said}");
}

pub fn hints_and_solutions_are_counted() {
    let learner = Learner::new();
    let exercise = find("chroot-hole").expect("an exercise");
    for number in ["1 of 2", "2 of 2", "1 of 2"] {
        let said = learner.says(&["hint", "chroot-hole"], 0);
        assert!(said.trim_start().starts_with(number), "{said}");
    }
    let said = learner.says(&["solution", "chroot-hole"], 0);
    assert!(said.contains("Ask once more"), "{said}");
    let said = learner.says(&["solution", "chroot-hole"], 0);
    assert_eq!(said.trim_end(), exercise.solution.trim_end());
    assert!(learner.progress().contains("\nchroot-hole open 3 2\n"));
}

pub fn reset_keeps_what_was_there() {
    let learner = Learner::new();
    let file = learner.file("chroot");
    fs::write(&file, "// my work").expect("write");
    learner.says(&["skip", "chroot"], 0);
    assert!(learner.progress().contains("\nchroot skipped 0 0\n"));
    learner.says(&["reset", "chroot"], 0);
    let text = |file: &Path| fs::read_to_string(file).expect("a file");
    assert_eq!(text(&file), find("chroot").expect("an exercise").start);
    assert_eq!(text(&file.with_extension("rs.before")), "// my work");
    assert!(learner.progress().contains("\nchroot open 0 0\n"));
}

/// An update of the workshop brings another start: the copy stays.
pub fn a_copy_is_never_overwritten() {
    let names = |place: &Path| {
        let entries = fs::read_dir(place).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).collect::<BTreeSet<_>>()
    };
    let mine = checkout().join("exercises/mine");
    let before = names(&mine);
    let learner = Learner::new();
    let files = ["progress.txt", "01-chroot/chroot.rs"];
    let file = |name| learner.0.path().join(name);
    fs::write(file(files[0]), "chroot passed\n").expect("write");
    fs::write(file(files[1]), "// my work").expect("write");
    for words in [&["list"][..], &["task"], &["check", "chroot"]] {
        learner.types(words);
    }
    let text = |name| fs::read_to_string(file(name)).expect("a file");
    assert_eq!(text(files[0]), "chroot passed\n");
    assert_eq!(text(files[1]), "// my work");
    assert_eq!(names(&mine), before, "somebody else's copies");
}

pub fn what_is_wrong_is_no_verdict() {
    let learner = Learner::new();
    for wrong in [&["check", "no-such"][..], &["chekc"], &["judge", "chroot"]] {
        let output = learner.types(wrong);
        assert_eq!(output.status.code(), Some(125), "{wrong:?}: {output:?}");
        assert!(!output.stderr.is_empty(), "{wrong:?}: {output:?}");
    }
    let progress = learner.0.path().join("progress.txt");
    fs::write(progress, "chroot solved\n").expect("write");
    let output = learner.types(&["list"]);
    assert_eq!(output.status.code(), Some(125), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("\"chroot solved\""), "{said}");
}

/// In a terminal of 80 columns, with an editor that writes the file anew.
pub fn each_save_is_checked() {
    let learner = Learner::new();
    let chroot = find("chroot").expect("an exercise");
    let mut terminal = Terminal::start(learner.command(&[]));
    terminal.shows("Another root directory");
    terminal.shows("FAIL");
    let new = learner.file("new");
    fs::write(&new, chroot.solution).expect("write");
    fs::rename(new, learner.file("chroot")).expect("rename");
    let before = terminal.shows("PASS");
    assert!(before.contains("quit"), "{before}");
    terminal.shows("Enter: the next one");
    terminal.types("\n");
    terminal.shows("A chroot without its holes");
    terminal.shows("FAIL");
    terminal.types("h\n");
    terminal.shows("1 of 2");
    terminal.types("s\n");
    terminal.shows("Out of a chroot");
    terminal.types("q\n");
    assert_eq!(terminal.finish().0, 0);
    assert!(learner.progress().contains("\nchroot-hole skipped 1 0\n"));
}

/// In the playground, with programs that are compiled already, and a cargo that
/// has nothing to do: how `exercise` ends, and what it says. One answer is wrong.
fn with_one_wrong_answer(wrong: &str, words: &[&str]) -> (i32, String) {
    needs::playground();
    let place = tempfile::tempdir().expect("a directory");
    let made = place.path().join("target/debug");
    let bin = place.path().join("bin");
    fs::create_dir_all(&made).expect("mkdir");
    fs::create_dir(&bin).expect("mkdir");
    symlink("/bin/true", bin.join("cargo")).expect("link");
    for Exercise { name, .. } in ALL {
        let answer = if *name == wrong { "start" } else { "solution" };
        symlink(program(name, answer), made.join(name)).expect("link");
    }
    let path = std::env::var("PATH").expect("a PATH");
    let output = Command::new(binary("exercise"))
        .args(words)
        .env("EXERCISES", place.path())
        .env("PATH", format!("{}:{path}", bin.display()))
        .env_remove("CARGO_TARGET_DIR")
        .current_dir(checkout())
        .stdin(Stdio::null())
        .output()
        .expect("start exercise");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

/// What the container lacks here.
fn lack() -> Option<&'static str> {
    let container = find("container").expect("an exercise");
    container.needs.iter().find_map(|need| need.lacks())
}

/// The wrong one is the one that takes longest.
pub fn one_wrong_solution_makes_all_of_them_fail() {
    needs::playground();
    if let Some(lack) = lack() {
        skip(lack);
    }
    let (status, said) =
        with_one_wrong_answer("container", &["check", "--all"]);
    assert_eq!(status, 1, "{said}");
    assert!(said.contains("FAIL container\n"), "{said}");
    let sum = format!("\n{} passed, 1 failed, 0 skipped", ALL.len() - 1);
    assert!(said.contains(&sum), "{said}");
}

pub fn what_cannot_be_checked_here_is_told_with_a_way_out() {
    needs::playground();
    let Some(lack) = lack() else { skip("this host has all that it takes") };
    let (status, said) = with_one_wrong_answer("", &["check", "container"]);
    assert_eq!(status, 3, "{said}");
    assert!(said.starts_with("SKIPPED container\n      why  "), "{said}");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains(lack), "{said}");
    assert!(said.contains("cargo exercise check container --lab"), "{said}");
}

pub fn a_check_that_takes_long_moves() {
    let learner = Learner::new();
    let slow =
        "fn main() { std::thread::sleep(std::time::Duration::from_secs(5)) }";
    fs::write(learner.file("chroot"), slow).expect("write");
    let mut terminal = Terminal::start(learner.command(&["check", "chroot"]));
    terminal.shows("the judge is at work: 2 s");
    terminal.shows("the judge is at work: 3 s");
    let (status, said) = terminal.finish();
    assert_eq!(status, 1, "{said}");
    let output = learner.types(&["check", "chroot"]);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("at work"));
}

pub fn without_utf8_there_is_ascii_alone() {
    let learner = Learner::new();
    let says = |words: &[&str], locale| {
        let mut command = learner.command(words);
        command.env("LC_ALL", locale).output().expect("start exercise").stdout
    };
    for exercise in ALL {
        let task = says(&["task", exercise.name], "C");
        assert!(task.is_ascii(), "{}", String::from_utf8_lossy(&task));
        assert!(!task.is_empty());
    }
    assert!(says(&["list"], "C").is_ascii());
    assert!(!says(&["task", "chroot"], "C.UTF-8").is_ascii());
}

pub fn a_task_is_shown_as_text() {
    let learner = Learner::new();
    let said = learner.says(&["task", "chroot"], 0);
    let (title, text) = said.trim_start().split_once('\n').expect("lines");
    assert_eq!(title, "Another root directory");
    assert!(!text.contains(title), "{said}");
    assert!(!text.contains("](") && !text.contains("```"), "{said}");
    assert!(text.contains("\n    nix::unistd::chroot"), "{said}");
    assert!(text.contains("chroot.rs\n"), "{said}");
}
