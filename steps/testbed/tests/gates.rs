#![forbid(unsafe_code)]
//! Whatever judges can say no. Each of these scripts is given something that is
//! wrong, names it, and ends with exit status 1. The doctor's sick machines are
//! in doctor.rs, and wrong solutions are in the tests of the exercises.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use testbed::{Terminal, binary, checkout, needs, skip};

testbed::main!(
    attacks_sh_is_red_when_a_cell_differs,
    record_sh_is_red_when_a_cast_or_the_picture_is_stale,
    demo_sh_is_red_when_a_demo_does_not_show_what_it_should,
    npm_test_is_red_when_a_claim_is_or_there_is_no_browser,
    a_deck_that_is_older_than_its_sources_is_built_anew,
    the_learner_is_an_ordinary_user,
);

/// A directory of ours beside the programs: the playground shows it.
fn place() -> TempDir {
    if std::env::var_os("PLAYGROUND").is_some() || needs::in_the_lab() {
        skip("a script says the same everywhere: judged outside");
    }
    let programs = binary("01-chroot").with_file_name("");
    let made = tempfile::Builder::new().prefix("gates-").tempdir_in(programs);
    let place = made.unwrap_or_else(|_| skip("needs programs of ours"));
    let everyone = Permissions::from_mode(0o755);
    fs::set_permissions(&place, everyone).expect("chmod");
    place
}

/// Runs a script: its exit status, and everything that it said.
fn runs(script: &Path, words: &[&str], programs: &Path) -> (i32, String) {
    let output = Command::new("bash")
        .args(["-c", r#"exec "$0" "$@" 2>&1"#])
        .arg(script)
        .args(words)
        .env("WORKSHOP_BIN", programs)
        .stdin(Stdio::null())
        .output()
        .expect("start bash");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code().unwrap_or(-1), said)
}

fn programs() -> PathBuf {
    binary("01-chroot").parent().expect("a directory").to_owned()
}

#[track_caller]
fn is_green((status, said): (i32, String)) {
    assert_eq!(status, 0, "{said}");
}

#[track_caller]
fn is_red((status, said): (i32, String), name: &str) {
    assert_eq!(status, 1, "{said}");
    assert!(said.contains(name), "no word of {name}: {said}");
}

fn write_script(file: &Path, text: &str) {
    fs::write(file, text).expect("write a script");
    fs::set_permissions(file, Permissions::from_mode(0o755)).expect("chmod");
}

/// A step 01 that forgets its chroot, in the playground.
fn attacks_sh_is_red_when_a_cell_differs() {
    let place = place();
    // Not beside the real steps, which would come first.
    let bin = place.path().join("bin");
    fs::create_dir(&bin).expect("mkdir");
    for program in ["attack", "attack-matrix", "01-chroot"] {
        fs::hard_link(binary(program), bin.join(program)).expect("link");
    }
    let attacks = || {
        let words = ["--step", "1", "--attack", "read-host-file"];
        runs(&checkout().join("scripts/attacks.sh"), &words, &bin)
    };
    is_green(attacks());
    let step = bin.join("01-chroot");
    fs::remove_file(&step).expect("remove a link");
    let forgets =
        "#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nexec \"$@\"\n";
    write_script(&step, forgets);
    is_red(attacks(), "read-host-file at 01: works");
}

/// A checkout with one small demo.
struct Stage(TempDir);

const DEMO: &str = "04-mount-namespace";

impl Stage {
    fn new() -> Stage {
        let stage = Stage(place());
        let scripts = stage.path("scripts");
        let copied = Command::new("cp")
            .args(["-r", "--"])
            .args([checkout().join("scripts"), scripts.clone()])
            .status();
        assert!(copied.is_ok_and(|status| status.success()), "copy scripts");
        for entry in fs::read_dir(scripts).expect("read").flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(|c: char| c.is_ascii_digit())
            {
                fs::remove_file(entry.path()).expect("remove a demo");
            }
        }
        stage.plays("apple", "apple");
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The demo's one command says `says`, and should say `expected`.
    fn plays(&self, says: &str, expected: &str) {
        let demo = format!(
            "#!/usr/bin/env bash\nset -euo pipefail\n\
             source \"${{BASH_SOURCE[0]%/*}}/lib/demo.sh\"\ndemo 'A test'\n\
             scene 'The attacks' 0:10\nrun 'echo {says}'\n\
             expect text {expected}\n\
             scene 'The step' 0:10\nrun 'echo the end'\nplay \"$@\"\n"
        );
        write_script(&self.path(&format!("scripts/{DEMO}.sh")), &demo);
    }

    fn runs(&self, script: &str, words: &[&str]) -> (i32, String) {
        runs(&self.path(&format!("scripts/{script}")), words, &programs())
    }
}

fn record_sh_is_red_when_a_cast_or_the_picture_is_stale() {
    let stage = Stage::new();
    let check = || stage.runs("record.sh", &["--check"]);
    let (status, said) = stage.runs("record.sh", &[]);
    if said.contains("Record as root") {
        skip("needs a cgroup of ours");
    }
    is_green((status, said));
    is_green(check());
    stage.plays("pear", "pear");
    is_red(check(), "\n-apple\n+playground# echo pear\n+pear\n");
    stage.plays("apple", "pear");
    is_red(check(), &format!("{DEMO}       FAIL  the demo fails"));
    stage.plays("$(uname -r)", ".");
    is_red(check(), "FAIL  it shows a path or the kernel of this machine");
    stage.plays("apple", "apple");
    let picture = stage.path("slides/casts/attack.svg");
    let drawn = fs::read_to_string(&picture).expect("a picture");
    fs::write(&picture, drawn.replace("apple", "pear")).expect("write");
    is_red(check(), "attack.svg");
    fs::write(&picture, drawn).expect("write");
    let casts = stage.path("slides/casts");
    let cast = casts.join(format!("{DEMO}.cast"));
    fs::copy(cast, casts.join("05-gone.cast")).expect("copy a cast");
    is_red(check(), "05-gone");
}

fn demo_sh_is_red_when_a_demo_does_not_show_what_it_should() {
    let stage = Stage::new();
    let play = || stage.runs("demo.sh", &["--auto"]);
    is_green(play());
    // All demos are played: the last one counts, too.
    let demo = |name| stage.path(&format!("scripts/{name}.sh"));
    fs::copy(demo(DEMO), demo("03-pid-namespace")).expect("copy a demo");
    stage.plays("apple", "pear");
    let name = format!("demo: scripts/{DEMO}.sh");
    is_red(play(), &name);
    // Nor does it wait for a person at a terminal.
    let mut command = Command::new(stage.path("scripts/demo.sh"));
    command.args(["--auto", "--speed", "0"]).env("WORKSHOP_BIN", programs());
    is_red(Terminal::start(command).finish(), &name);
}

/// A copy of the slides, with a deck that is up to date.
struct Slides(TempDir);

impl Slides {
    fn new() -> Slides {
        let slides = Slides(place());
        needs::command("npm");
        let ours = checkout().join("slides");
        let browser = "node_modules/playwright-core";
        if !ours.join(browser).exists() {
            skip("needs the slides' packages (./scripts/present.sh --build)");
        }
        for name in ["steps", "scripts"] {
            let copy = slides.0.path().join(name);
            symlink(checkout().join(name), copy).expect("link");
        }
        for directory in ["tests", "dist", "node_modules"] {
            fs::create_dir_all(slides.path(directory)).expect("mkdir");
        }
        for name in [browser, "build", "package-lock.json"] {
            symlink(ours.join(name), slides.path(name)).expect("link");
        }
        for name in ["package.json", "tests/browser.js", "tests/failures.js"] {
            fs::copy(ours.join(name), slides.path(name)).expect("copy");
        }
        // Installed after the list of packages was written.
        let installed = slides.path("node_modules/.package-lock.json");
        fs::write(installed, "{}").expect("write");
        slides
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("slides").join(name)
    }

    /// Makes the deck the newest file. It is cloned from nowhere.
    fn is_built(&self) {
        let deck = "a deck, data-address=\"\"";
        fs::write(self.path("dist/index.html"), deck).expect("write");
    }

    fn runs(&self, command: &str) -> (i32, String) {
        let slides = self.path("").to_string_lossy().into_owned();
        let command = format!("cd \"$0\" && export WORKSHOP_URL= && {command}");
        let bash = Path::new("/bin/bash");
        runs(bash, &["-c", &command, &slides], &programs())
    }
}

/// Two small claims.
fn npm_test_is_red_when_a_claim_is_or_there_is_no_browser() {
    let slides = Slides::new();
    let write = |claim: &str| {
        let claims = "import { test } from 'node:test';\n\
                      import { open } from './browser.js';\n";
        let file = slides.path("tests/one.test.js");
        fs::write(file, claims.to_owned() + claim).expect("write");
    };
    let test = |claim: &str| {
        write(claim);
        slides.is_built();
        slides.runs("CHROMIUM=/bin/false npm test")
    };
    let green = "test('one is one', () => {});";
    is_green(test(green));
    let red = "test('one is two', () => { throw new Error('its words'); });";
    is_red(test(red), "\nFAILED  one is two\n        its words\n");
    let blind = "test('a browser', async () => { await open(); });";
    is_red(test(blind), "\nFAILED  a browser\n");
    // Without vite, the deck can't be brought up to date.
    write(green);
    fs::write(slides.path("new.html"), "a slide").expect("write");
    is_red(slides.runs("npm test"), "The deck was not built");
}

/// With a vite that only says so.
fn a_deck_that_is_older_than_its_sources_is_built_anew() {
    let slides = Slides::new();
    let vite = r#"{"type":"module","scripts":{"build":"echo built #"}}"#;
    fs::write(slides.path("package.json"), vite).expect("write");
    slides.is_built();
    let build = || slides.runs("../scripts/present.sh --build");
    assert_eq!(build(), (0, String::new()));
    fs::write(slides.path("tests/new.js"), "no part of it").expect("write");
    assert_eq!(build(), (0, String::new()));
    fs::write(slides.path("new.html"), "a slide").expect("write");
    assert_eq!(build(), (0, "building ...\nbuilt\n".into()));
}

/// Otherwise what is judged as the learner would be judged as root.
fn the_learner_is_an_ordinary_user() {
    if !needs::is_root() || !needs::in_first_user_namespace() {
        skip("needs root: nobody else could become another user");
    }
    let script = checkout().join("scripts/as-learner.sh");
    let tell = "id -un; id -Gn; grep -hE '^Cap(Inh|Prm|Eff|Amb)' \
                /proc/self/status | cut -f2 | sort -u; \
                grep -h ^learner: /etc/subuid /etc/subgid | cut -d: -f3";
    let said = |options: &[&str]| {
        // Root has a group that no learner should have.
        let root = ["--groups", "4711", "--", &*script.to_string_lossy()];
        let words = [&root, options, &["--", "bash", "-c", tell]].concat();
        let setpriv = needs::command("setpriv");
        let (status, said) = runs(&setpriv, &words, &programs());
        assert_eq!(status, 0, "{said}");
        said
    };
    let nobody = "learner\nlearner\n0000000000000000\n";
    assert_eq!(said(&[]), format!("{nobody}65536\n65536\n"));
    assert_eq!(said(&["--no-subuid"]), nobody);
}
