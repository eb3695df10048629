//! What the judge says about each program of each exercise.

use std::fs;
use std::path::{Path, PathBuf};

use exercise::check::Place;
use exercise::judge::{Failure, Told, Verdict};
use exercise::{ALL, Exercise, Level, check, find};
use nix::mount::{MsFlags, mount, umount};
use regex_lite::Regex;
use similar::TextDiff;
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
    bounding_set: "bounding-set",
    second_door: "second-door",
    allow_list: "allow-list",
    first_boot: "first-boot",
    nested_ids: "nested-ids",
    halt: "halt",
    config_json: "config-json",
    create: "create",
    three_tars: "three-tars",
}

/// A program that `exercise compile` has made. The lab has them beside the
/// others.
pub fn program(of: &str, name: &str) -> PathBuf {
    let places = ["../exercises/target/debug", "exercises"].map(|place| {
        let made = binary("exercise").with_file_name(place);
        made.join(format!("{of}--{name}"))
    });
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| {
        skip("needs the programs of `exercise compile target/exercises`")
    })
}

/// The verdict on a program, with what was cleaned up after it.
pub fn told_of(exercise: &Exercise, program: &Path) -> Told {
    let exe = binary("exercise");
    let told =
        check::check(&checkout(), &exe, Place::Playground, exercise, program);
    let told = told.unwrap_or_else(|e| panic!("{}: {e:#}", program.display()));
    if let Verdict::Skip(reason) = &told.verdict {
        skip(reason);
    }
    told
}

fn judged(exercise: &Exercise, name: &str) -> Told {
    told_of(exercise, &program(exercise.name, name))
}

/// Every program of the exercise: whether it gets the verdict that is meant for
/// it, and whether `verdicts.txt` has the same. LESSONS=overwrite puts in
/// today's.
fn proven(name: &str) {
    // Outside, each check has a playground of its own. That takes longer, but
    // what it writes stays.
    if !overwrite() {
        needs::playground();
    }
    let exercise = find(name).expect("an exercise of this name");
    if std::env::var("PLAYGROUND_IDS").is_ok_and(|ids| ids == "1") {
        skip("is judged where there is more than one user id");
    }
    let mut all = String::new();
    let mut judge = |name: &str| {
        let told = judged(exercise, name);
        all += &kept(name, &told);
        told.verdict
    };
    let verdict = judge("start");
    assert!(matches!(verdict, Verdict::Fail(_)), "start: {verdict:?}");
    let verdict = judge("solution");
    assert!(matches!(verdict, Verdict::Pass(_)), "solution: {verdict:?}");
    for wrong in exercise.wrong {
        let Verdict::Fail(failure) = judge(wrong.name) else {
            panic!("{}: passes", wrong.name);
        };
        assert_eq!(failure.hint, wrong.hint, "{}: {failure:?}", wrong.name);
    }
    settle(exercise, &all);
}

/// A verdict with what differs from run to run taken out.
fn kept(name: &str, told: &Told) -> String {
    let (what, hint) = match &told.verdict {
        Verdict::Pass(observed) => (format!("observed: {observed}"), ""),
        Verdict::Skip(reason) => (reason.clone(), ""),
        Verdict::Fail(Failure { observed, expected, hint }) => (
            format!("observed: {observed}\nexpected: {expected}"),
            hint.as_str(),
        ),
    };
    let hint = match hint {
        "" => String::new(),
        hint => format!("\nhint: {hint}"),
    };
    let cleaned = told.cleaned.iter().map(|it| format!("\ncleaned: {it}"));
    let what = what.replace("\n  |", "\n|");
    let mut all = [what, cleaned.collect()];
    for (varies, word) in [
        (r"sha256:[0-9a-f]{64}", "sha256:…"),
        (r"mounts( inside)?: /.*", "mounts${1}: …"),
        // On a busy machine, others do not end in time either.
        (r"(nor working: [a-z-]+)(, [a-z-]+)+", "$1"),
        (r"\d+ mounts", "… mounts"),
        (r"\d+ are still zombies", "… are still zombies"),
        (r"\^+", "^"),
        (r"(capabilities|CapInh): CAP_[A-Z_]+(\.|\n|$)", "$1: CAP_…$2"),
        (r"call \d+ \([a-z]+\)", "call … (…)"),
        // Each architecture numbers them its own way.
        (r#"call "\d+": did you mean \w+"#, r#"call "…": did you mean …"#),
        (r"these calls: .*", "these calls: …"),
        (r"(runs in: |expected: |\| )(lxc|docker|podman)\b", "${1}NAME"),
        // Its words change from one version to the next.
        (r"(\| |!\] )Failed to (mount|allocate) .*", "${1}Failed to …"),
        (r"t[0-9a-f]{16}", "RANDOM"),
        (r"root\.[0-9a-f]{8}", "root.…"),
        (r"cgroup/\S+", "cgroup/…"),
        (r"memory\.(max|limit_in_bytes)", "memory.LIMIT"),
        // Without a limit, it is a word in cgroup v2, and a number in v1.
        (r"memory\.LIMIT is max", "memory.LIMIT is …"),
        (r"\d\d+", "…"),
    ] {
        let varies = Regex::new(varies).expect("a regex");
        all = all.map(|it| varies.replace_all(&it, word).into_owned());
    }
    let [what, cleaned] = all;
    format!("## {name}\n{what}{hint}{cleaned}\n\n")
}

fn overwrite() -> bool {
    std::env::var_os("LESSONS").is_some_and(|value| value == "overwrite")
}

fn verdicts(of: &Exercise) -> PathBuf {
    let place = format!("exercises/{}/{}/verdicts.txt", of.step, of.name);
    checkout().join(place)
}

fn settle(exercise: &Exercise, today: &str) {
    let file = verdicts(exercise);
    if overwrite() {
        fs::write(&file, today).expect("write what is told today");
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    let diff = TextDiff::from_lines(&*there, today);
    assert!(
        there == today,
        "{}: not what is told today. LESSONS=overwrite puts it in.\n{}",
        file.display(),
        diff.unified_diff().context_radius(2)
    );
}

/// Stands for a checkout below /tmp: a mount that other machines do not have.
pub fn a_verdict_that_is_kept_names_no_mount_of_the_machine() {
    needs::playground();
    let directory = tempfile::tempdir().expect("a directory");
    let (none, flags) = (None::<&str>, MsFlags::empty());
    mount(Some("none"), directory.path(), Some("tmpfs"), flags, none)
        .expect("mount a tmpfs");
    let name = directory.path().display().to_string();
    for (exercise, program) in
        [("pivot-root", "chroot-instead"), ("container", "old-root-stays")]
    {
        let exercise = find(exercise).expect("an exercise");
        let told = judged(exercise, program);
        assert!(format!("{told:?}").contains(&name), "{told:?}");
        let today = kept(program, &told);
        let there = fs::read_to_string(verdicts(exercise)).expect("read");
        assert!(there.contains(&today), "{today}");
    }
    umount(directory.path()).expect("umount");
}

pub fn every_exercise_is_proven() {
    let all: Vec<_> = ALL.iter().map(|exercise| exercise.name).collect();
    assert_eq!(PROVEN, all);
}

/// A hint that no kept answer gets could say anything. `verdicts.txt` has the
/// hints that they get: the claims above see to that.
pub fn every_hint_is_told_to_somebody() {
    let regex = |text| Regex::new(text).expect("a regex");
    let constant = regex(r#"(?ms)^const \w+: &str =\s*"((?:[^"\\]|\\.)*)";"#);
    let (goes_on, bare) = (regex(r"\\\n\s*"), regex(r#""[,\s]*\)\?"#));
    let mut never = Vec::new();
    for exercise in ALL {
        let place = format!("exercises/{}/{}", exercise.step, exercise.name);
        let read =
            |name| fs::read_to_string(checkout().join(&place).join(name));
        let check = read("check.rs").expect("the check");
        let told = read("verdicts.txt").expect("what is told");
        let hints = constant.captures_iter(&check).map(|found| {
            goes_on.replace_all(&found[1], "").replace("\\\"", "\"")
        });
        // An address is no hint: those have words.
        let hints: Vec<_> = hints.filter(|text| text.contains(' ')).collect();
        assert!(!hints.is_empty(), "{place}: no hints");
        let untold =
            |hint: &String| !told.contains(&format!("\nhint: {hint}\n"));
        never.extend(hints.into_iter().filter(untold));
        let (_, looks) = check.split_once("\nfn check").expect("a check");
        let bare =
            bare.find(looks).and_then(|it| looks[..it.end()].lines().last());
        assert_eq!(bare, None, "{place}: give this hint a name");
    }
    assert!(never.is_empty(), "a wrong answer for: {never:#?}");
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
            assert!(
                exercise.task.contains("```rust,ignore"),
                "{name}: no syntax"
            );
        }
        for wrong in exercise.wrong {
            let _ = wrong.program(exercise);
        }
        let place = format!("{}/{name}/task.md", exercise.step);
        let lesson = format!("steps/{}/README.md", exercise.step);
        for (page, link) in [
            ("exercises/README.md", format!("]({place})")),
            (&lesson, format!("](../../exercises/{place})")),
        ] {
            let page = checkout().join(page);
            let text = fs::read_to_string(&page).expect("a page");
            assert!(text.contains(&link), "{}: no {link}", page.display());
        }
    }
}
