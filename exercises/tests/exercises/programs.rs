//! What the judge says of each program of each exercise.

use std::path::PathBuf;

use exercise::judge::{Told, Verdict};
use exercise::{ALL, Exercise, Level, check, find};
use testbed::{binary, checkout, needs, skip};

macro_rules! proven {
    ($($claim:ident: $name:literal,)+) => {
        $(pub fn $claim() { proven($name) })+

        const PROVEN: &[&str] = &[$($name),+];
    };
}

proven! {
    chroot: "chroot",
    chroot_hole: "chroot-hole",
    break_out: "break-out",
    hostname: "hostname",
    two_namespaces: "two-namespaces",
    first_process: "first-process",
    reaper: "reaper",
    init: "init",
    private_mounts: "private-mounts",
    fresh_proc: "fresh-proc",
    pivot_root: "pivot-root",
    one_id: "one-id",
    denied_groups: "denied-groups",
    id_range: "id-range",
    pids_limit: "pids-limit",
    too_late: "too-late",
    clean_end: "clean-end",
    upper_layer: "upper-layer",
    layer_order: "layer-order",
    whiteout: "whiteout",
    loopback: "loopback",
    veth: "veth",
    nat: "nat",
    container: "container",
}

/// A program that `exercise compile` has made.
pub fn program(exercise: &Exercise, name: &str) -> PathBuf {
    let made = binary("exercise").with_file_name("../exercises/target/debug");
    let path = made.join(format!("{}--{name}", exercise.name));
    if !path.exists() {
        skip("needs the programs of `exercise compile target/exercises`");
    }
    path
}

pub fn judged(exercise: &Exercise, name: &str) -> Told {
    let program = program(exercise, name);
    let told =
        check::check(&checkout(), &binary("exercise"), exercise, &program);
    let told = told.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    if let Verdict::Skip(reason) = &told.verdict {
        skip(reason);
    }
    told
}

fn proven(name: &str) {
    needs::playground();
    let exercise = find(name).expect("an exercise of this name");
    let told = judged(exercise, "start");
    assert!(matches!(told.verdict, Verdict::Fail(_)), "start: {told:?}");
    let told = judged(exercise, "solution");
    assert!(matches!(told.verdict, Verdict::Pass(_)), "solution: {told:?}");
    for wrong in exercise.wrong {
        match judged(exercise, wrong.name).verdict {
            Verdict::Fail(failure) => {
                assert_eq!(
                    failure.hint, wrong.hint,
                    "{}: {failure:?}",
                    wrong.name
                )
            }
            verdict => panic!("{}: {verdict:?}", wrong.name),
        }
    }
}

pub fn every_exercise_is_proven() {
    let all: Vec<_> = ALL.iter().map(|exercise| exercise.name).collect();
    assert_eq!(PROVEN, all);
}

pub fn every_exercise_is_whole() {
    for exercise in ALL {
        let name = exercise.name;
        assert!(exercise.start.contains("// TODO"), "{name}: no TODO");
        assert!(exercise.level().is_some(), "{name}: no level");
        assert!(exercise.minutes().is_some(), "{name}: no minutes");
        assert!(!exercise.hints.is_empty(), "{name}: no hint");
        assert!(exercise.wrong.len() >= 2, "{name}: too few wrong answers");
        let lesson = format!("(../../../steps/{}/README.md)", exercise.step);
        assert!(exercise.task.contains(&lesson), "{name}: no lesson");
        assert!(
            exercise.task.contains("(https://man7.org/"),
            "{name}: no page"
        );
        if exercise.level() == Some(Level::FillIn) {
            assert!(exercise.task.contains("```rust"), "{name}: no syntax");
        }
        for wrong in exercise.wrong {
            let _ = wrong.program(exercise);
        }
    }
}
