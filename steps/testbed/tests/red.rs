#![forbid(unsafe_code)]
//! Whatever judges is shown to be able to fail: here the test command, on a
//! project of one small crate, with one fault at a time. The scripts are ours,
//! except those whose own work is not the question here (setup, the lab's
//! machine, demos, slides): those succeed, or have the fault.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use testbed::{checkout, eventually, needs, proc, token};

testbed::main!(
    each_stage_can_be_red,
    a_claim_can_be_red_in_every_environment,
    a_test_binary_that_dies_hangs_or_lies_is_red,
    a_whole_run_is_green_until_the_readme_is_stale_or_a_claim_judged_nowhere,
    without_its_lab_a_server_is_red_and_a_person_is_told,
    without_a_library_of_another_architecture_a_server_is_red,
    where_unstable_is_broken_nobody_is_red_and_everybody_is_told,
    what_continuous_integration_runs_passes_it_on,
    what_makes_others_write_in_colour_reaches_no_stage,
    a_run_that_is_stopped_leaves_nothing,
);

/// A claim that holds, until the file `fault` names its environment and how it
/// is to fail there.
const CLAIMS: &str = r##"//! Claims.

fn main() {
    if std::env::args().any(|word| word == "--list") {
        println!("holds: test");
        return;
    }
    let environment = std::env::var("TEST_ENVIRONMENT").expect("it");
    let faults = std::fs::read_to_string("fault").unwrap_or_default();
    let fault = faults.lines().find_map(|line| {
        let (place, fault) = line.split_once(' ')?;
        environment.starts_with(place).then_some(fault)
    });
    let record = format!("#record\t{environment}\tclaims\tholds");
    let tell = |result| println!("{record}\t{result}\tits words");
    println!("#begun\tholds");
    match fault {
        None => tell("pass"),
        Some("is-red") => {
            tell("fail");
            std::process::exit(101)
        }
        Some("is-skipped") => tell("skip"),
        Some("dies") => std::process::abort(),
        Some("ends-early") => {}
        Some("lies") => tell("fail"),
        _ => std::thread::sleep(std::time::Duration::from_secs(1000)),
    }
}
"##;

const TABLE: &str = "<!-- generated: environments -->\n<!-- end -->\n";

const FILES: &[(&str, &str)] = &[
    ("Cargo.toml", "[workspace]\nmembers = [\"mini\"]\nresolver = \"3\"\n"),
    (
        "mini/Cargo.toml",
        "[package]\nname = \"mini\"\nedition = \"2024\"\n\n\
         [[test]]\nname = \"claims\"\nharness = false\n",
    ),
    (
        "mini/src/lib.rs",
        "//! Small.\n\n/// One.\npub fn one() -> u8 {\n    1\n}\n\n\
         #[test]\nfn one_is_one() {\n    assert_eq!(one(), 1);\n}\n",
    ),
    ("mini/tests/claims.rs", CLAIMS),
    ("slides/package.json", "{\"scripts\": {\"test\": \"exit 0\"}}\n"),
    ("README.md", TABLE),
    (".gitignore", "/target\n"),
    ("scripts/setup.sh", SUCCEEDS),
    ("scripts/demo.sh", SUCCEEDS),
    ("scripts/record.sh", SUCCEEDS),
    ("scripts/lib/demo-test.sh", SUCCEEDS),
    ("scripts/lib/demo-real-test.sh", SUCCEEDS),
    // The machine is this one.
    (
        "scripts/lab.sh",
        "#!/usr/bin/env bash\nwhile [[ $# -gt 0 && $1 != -- ]]; do\n\
         [[ $1 != --cargo ]] || { shift; exec cargo \"$@\"; }\nshift\ndone\n\
         shift || exit 0\nexec \"$@\"\n",
    ),
];

const SUCCEEDS: &str = "#!/usr/bin/env bash\nexit 0\n";
const FAILS: &str = "#!/usr/bin/env bash\necho 'FAIL  its own words'\nexit 1\n";

/// A project like this one, but small.
struct Project(TempDir);

/// What the test command came to.
struct Verdict {
    status: Option<i32>,
    said: String,
}

impl Project {
    fn new() -> Project {
        for program in ["cargo", "git", "shellcheck", "npm"] {
            needs::command(program);
        }
        let project = Project(tempfile::tempdir().expect("a directory"));
        project.run("cp", &["-a", &ours("scripts"), &ours(".ci"), "."]);
        for (file, text) in FILES {
            project.write(file, text);
        }
        fs::create_dir_all(project.path("target/debug")).expect("mkdir");
        for program in ["test-suite", "playground"] {
            let program = testbed::binary(program).display().to_string();
            project.run("cp", &[&program, "target/debug"]);
        }
        project.run("git", &["init", "--quiet"]);
        // Of the scripts, one is checked: is a finding reported?
        let checked = ["mini", "slides", ".ci", "scripts/demo.sh"];
        project.run("git", &[&["add"], &checked[..]].concat());
        project
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    fn run(&self, program: &str, words: &[&str]) {
        let done = Command::new(program)
            .args(words)
            .current_dir(self.0.path())
            .status();
        assert!(done.expect(program).success(), "{program} {words:?}");
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.path(file);
        fs::create_dir_all(path.parent().expect("it")).expect("mkdir");
        fs::write(&path, text).expect("write");
        if file.ends_with(".sh") {
            let mode = fs::Permissions::from_mode(0o755);
            fs::set_permissions(path, mode).expect("chmod");
        }
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(self.path(program));
        command.args(words).current_dir(self.0.path());
        for name in ["WORKSHOP_BIN", "CARGO_TARGET_DIR", "CI"] {
            command.env_remove(name);
        }
        command.env_remove("TEST_ENVIRONMENT").stdin(Stdio::null());
        command
    }

    fn test(&self, words: &[&str]) -> Verdict {
        verdict(self.command("scripts/test.sh", words))
    }

    /// Tests with other text in a file, which then gets its own text back.
    fn with(&self, file: &str, text: &str, words: &[&str]) -> Verdict {
        let own = fs::read_to_string(self.path(file));
        self.write(file, text);
        let verdict = self.test(words);
        match own {
            Ok(own) => self.write(file, &own),
            Err(_) => fs::remove_file(self.path(file)).expect("remove"),
        }
        verdict
    }
}

fn ours(name: &str) -> String {
    checkout().join(name).display().to_string()
}

fn verdict(mut command: Command) -> Verdict {
    let output = command.output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    Verdict { status: output.status.code(), said }
}

impl Verdict {
    fn is_green(&self) {
        assert_eq!(self.status, Some(0), "{}", self.said);
        assert!(!self.said.contains("failed: "), "{}", self.said);
    }

    /// 1, and the closing line names these and no others.
    fn is_red(&self, names: &str) {
        assert_eq!(self.status, Some(1), "{names}: {}", self.said);
        let closing = self.said.lines().find_map(|line| {
            line.contains(" s in all").then(|| line.split("failed: ").nth(1))
        });
        assert_eq!(closing.flatten(), Some(names), "{}", self.said);
    }

    fn says(&self, words: &str) {
        assert!(self.said.contains(words), "{words}: {}", self.said);
    }
}

/// The host's environment for the user who runs this test.
fn host() -> &'static str {
    if needs::is_root() { "host-root" } else { "host-learner" }
}

fn each_stage_can_be_red() {
    let project = Project::new();
    let lib = fs::read_to_string(project.path("mini/src/lib.rs")).expect("it");
    let lib_with = |from: &str, to: &str| lib.replacen(from, to, 1);
    let source = "mini/src/lib.rs";
    for (stage, file, text) in [
        ("setup", "scripts/setup.sh", FAILS.to_owned()),
        ("build", "mini/tests/claims.rs", "fn main() { no }".to_owned()),
        ("format", source, lib_with("    1", "1")),
        ("clippy", source, lib_with("    1", "    return 1;")),
        ("shellcheck", "scripts/demo.sh", format!("{SUCCEEDS}echo $1\n")),
        ("units", source, lib_with("one(), 1", "one(), 2")),
        ("documentation", source, lib_with("/// One", "/// [`Gone`]")),
        ("slides", "slides/package.json", slides("echo not ok 1; exit 1")),
        ("oldest-rust", "scripts/lib/oldest-rust.sh", FAILS.to_owned()),
        ("recordings", "scripts/record.sh", FAILS.to_owned()),
        ("demo-language", "scripts/lib/demo-test.sh", FAILS.to_owned()),
        ("demos-real", "scripts/lib/demo-real-test.sh", FAILS.to_owned()),
        ("demos", "scripts/demo.sh", FAILS.to_owned()),
    ] {
        if stage == "demos" && !needs::is_root() {
            continue; // there is no other user to play them
        }
        let verdict = project.with(file, &text, &["--stage", stage]);
        verdict.is_red(stage);
        if text == FAILS {
            verdict.says("its own words");
        }
        if stage == "slides" {
            // Once more at the end, below the matrix.
            verdict.says("\nslides FAILED\n    not ok 1\n");
        }
    }
    // Then nothing can list the exercises.
    fs::rename(project.path(".git"), project.path("gone")).expect("rename");
    project.test(&["--stage", "format"]).is_red("format");
}

fn slides(test: &str) -> String {
    format!("{{\"scripts\": {{\"test\": \"{test}\"}}}}\n")
}

fn a_claim_can_be_red_in_every_environment() {
    let project = Project::new();
    let playground = match needs::is_root() {
        true => "playground-root",
        false => "playground-learner",
    };
    for stage in [host(), playground, "lab-6.1", "lab-unstable", "lab-arm64"] {
        let fault = format!("{stage} is-red\n");
        let words = ["--everything", "--stage", stage];
        let verdict = project.with("fault", &fault, &words);
        verdict.is_red(&format!("{stage} matrix"));
        verdict.says("claims: holds: its words");
    }
}

fn a_test_binary_that_dies_hangs_or_lies_is_red() {
    let project = Project::new();
    for (fault, words) in [
        ("dies", "claims: holds: was running when claims ended: signal: 6"),
        ("ends-early", "claims: holds: was running when claims ended: exit"),
        ("lies", "its claims say otherwise: exit status: 0"),
        (
            "hangs",
            "claims: holds: was running when claims ended: it was silent",
        ),
    ] {
        let text = format!("{} {fault}\n", host());
        let words_of_it = ["--stage", host(), "--limit", "3"];
        let verdict = project.with("fault", &text, &words_of_it);
        verdict.is_red(&format!("{} matrix", host()));
        verdict.says(words);
    }
}

fn a_whole_run_is_green_until_the_readme_is_stale_or_a_claim_judged_nowhere() {
    let project = Project::new();
    project.test(&["--write-readme"]).is_green();
    let table = fs::read_to_string(project.path("README.md")).expect("it");
    // Only root sees all environments.
    assert_eq!(table.contains("| `lab-6.1-"), needs::is_root(), "{table}");
    let skips = "host is-skipped\nplayground is-skipped\nlab is-skipped\n";
    let nowhere = project.with("fault", skips, &[]);
    let words = "claims: holds: judged in no environment";
    nowhere.says(words);
    if needs::is_root() {
        nowhere.is_red("judged-nowhere README");
        let stale = table.replace("lab-6.1-root", "lab-5.0-root");
        let verdict = project.with("README.md", &stale, &[]);
        verdict.is_red("README");
        verdict.says("lab-5.0-root: nothing was judged there");
        project.test(&[]).is_green();
    } else {
        nowhere.is_red("judged-nowhere");
    }
}

fn without_its_lab_a_server_is_red_and_a_person_is_told() {
    let project = Project::new();
    let lab =
        "#!/usr/bin/env bash\necho 'lab: no machine here' >&2\nexit 125\n";
    project.write("scripts/lab.sh", lab);
    let words = ["--stage", "lab-6.1"];
    let person = project.test(&words);
    person.is_green();
    person.says("SKIP  lab: no machine here");
    let mut server = project.command("scripts/test.sh", &words);
    server.env("CI", "true");
    verdict(server).is_red("lab-6.1-image");
}

/// As without its lab, unless Rust is there and finds a mistake.
fn without_a_library_of_another_architecture_a_server_is_red() {
    let project = Project::new();
    let words = ["--everything", "--stage", "lab-arm64"];
    let lab = |status: u8| {
        let text = format!(
            "#!/usr/bin/env bash\n[[ $* == *--cargo* ]] || exit 0\n\
             echo 'lab: no library here' >&2\nexit {status}\n"
        );
        project.write("scripts/lab.sh", &text);
    };
    lab(125);
    let person = project.test(&words);
    person.is_green();
    person.says("SKIP  lab: no library here");
    let mut server = project.command("scripts/test.sh", &words);
    server.env("CI", "true");
    verdict(server).is_red("lab-arm64-build");
    lab(101);
    project.test(&words).is_red("lab-arm64-build");
}

/// Whether there is a last good one, or none.
fn where_unstable_is_broken_nobody_is_red_and_everybody_is_told() {
    let project = Project::new();
    let lab = project.path("scripts/lab.sh");
    let machine = fs::read_to_string(lab).expect("it");
    let machine = machine.strip_prefix("#!/usr/bin/env bash\n").expect("it");
    for (told, status) in
        [("goes on with the last good one", 0), ("is broken today", 125)]
    {
        let broken = format!(
            "#!/usr/bin/env bash\n[[ $* != *--image* ]] || \
             {{ echo 'lab: unstable {told}' >&2; exit {status}; }}\n{machine}"
        );
        project.write("scripts/lab.sh", &broken);
        let words = ["--everything", "--stage", "lab-unstable"];
        let mut server = project.command("scripts/test.sh", &words);
        server.env("CI", "true");
        let verdict = verdict(server);
        verdict.is_green();
        verdict.says(&format!("SKIP  lab: unstable {told}"));
        assert_eq!(verdict.said.contains("\nlab-unstable "), status == 0);
    }
}

fn what_continuous_integration_runs_passes_it_on() {
    let project = Project::new();
    let ci = |project: &Project| {
        verdict(project.command(".ci/run", &["--stage", "format"]))
    };
    ci(&project).is_green();
    project.write("mini/src/lib.rs", "//! Small.\n  fn  one() {}\n");
    ci(&project).is_red("format");
}

fn what_makes_others_write_in_colour_reaches_no_stage() {
    let project = Project::new();
    project.write("slides/package.json", &slides("test -z $CI$FORCE_COLOR"));
    let words = ["--stage", "slides"];
    let mut server = project.command("scripts/test.sh", &words);
    server.env("CI", "true").env("FORCE_COLOR", "1");
    verdict(server).is_green();
}

fn a_run_that_is_stopped_leaves_nothing() {
    let project = Project::new();
    project.write("fault", &format!("{} hangs\n", host()));
    let mark = token();
    let mut command = project.command("scripts/test.sh", &["--stage", host()]);
    command.env("MARK", &mark).stdout(Stdio::null()).stderr(Stdio::null());
    let mut run = command.spawn().expect("it starts");
    let is_claims = |pid: &i32| {
        let link = fs::read_link(format!("/proc/{pid}/exe"));
        link.is_ok_and(|exe| exe.display().to_string().contains("claims-"))
    };
    eventually("the binary that hangs", || {
        proc::marked(&mark).iter().any(is_claims).then_some(())
    });
    let begin = Instant::now();
    kill(Pid::from_raw(run.id() as i32), Signal::SIGINT).expect("it runs");
    let status = run.wait().expect("it ends");
    assert_eq!(status.code(), Some(130));
    assert!(begin.elapsed() < Duration::from_secs(20));
    eventually("all has ended", || {
        proc::marked(&mark).is_empty().then_some(())
    });
}
