#![forbid(unsafe_code)]
//! What a demo answers before it plays. How it plays is for
//! scripts/lib/demo-test.sh to judge, in terminals.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use testbed::{binary, checkout, needs, skip};

testbed::main!(
    every_demo_lists_scenes_whose_minutes_add_up,
    without_its_program_a_demo_says_how_to_build_it,
    an_option_that_there_is_not_is_told,
);

/// scripts/NN-name.sh
fn demos() -> Vec<PathBuf> {
    if needs::in_the_lab() {
        skip("a script says the same everywhere: judged outside");
    }
    let scripts = fs::read_dir(checkout().join("scripts")).expect("scripts");
    let mut demos: Vec<_> = scripts.flatten().map(|it| it.path()).collect();
    demos.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".sh") && name.starts_with(|c: char| c.is_ascii_digit())
    });
    assert!(demos.len() > 8, "{demos:?}");
    demos
}

fn asked(demo: &PathBuf, option: &str) -> Output {
    let programs = binary("demo-player");
    let programs = programs.parent().expect("a directory");
    let mut command = Command::new(demo);
    command.arg(option).env("WORKSHOP_BIN", programs);
    command.output().expect("start the demo")
}

/// The first line has the sum, the last word of each other line its part.
fn every_demo_lists_scenes_whose_minutes_add_up() {
    for demo in demos() {
        let output = asked(&demo, "--list");
        assert_eq!(output.status.code(), Some(0), "{demo:?}: {output:?}");
        let list = String::from_utf8(output.stdout).expect("UTF-8");
        let seconds = |line: &str| {
            let time = line.split_whitespace().last().expect("a time");
            let (minutes, seconds) = time.split_once(':').expect("m:ss");
            let number = |text: &str| text.parse::<u32>().expect("a number");
            number(minutes) * 60 + number(seconds)
        };
        let times: Vec<_> = list.lines().map(seconds).collect();
        let (sum, scenes) = times.split_first().expect("a title");
        assert!(scenes.len() > 2, "{list}");
        assert_eq!(*sum, scenes.iter().sum::<u32>(), "{list}");
    }
}

fn without_its_program_a_demo_says_how_to_build_it() {
    let nowhere = tempfile::tempdir().expect("a directory");
    for demo in demos() {
        let output = Command::new(&demo)
            .env("WORKSHOP_BIN", nowhere.path())
            .output()
            .expect("start the demo");
        assert_ne!(output.status.code(), Some(0), "{demo:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("cargo build --workspace"), "{demo:?}: {told}");
    }
}

fn an_option_that_there_is_not_is_told() {
    for demo in demos() {
        let output = asked(&demo, "--fast");
        assert_eq!(output.status.code(), Some(2), "{demo:?}: {output:?}");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("--fast"), "{demo:?}: {told}");
    }
}
