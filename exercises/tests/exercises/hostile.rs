//! Programs that no checker wants to meet: they are stopped and cleaned up
//! after, and the learner hears about it.

use exercise::judge::{Failure, Told, Verdict};
use exercise::{ALL, find};
use testbed::host::Host;
use testbed::needs;

use crate::programs::{program, told_of};

fn told(exercise: &str, hostile: &str) -> Told {
    needs::playground();
    let host = Host::now();
    let exercise = find(exercise).expect("an exercise of this name");
    let told = told_of(exercise, &program("hostile", hostile));
    host.assert_nothing_new();
    told
}

fn failure(told: Told) -> Failure {
    match told.verdict {
        Verdict::Fail(failure) => failure,
        verdict => panic!("{verdict:?}"),
    }
}

pub fn a_program_that_hangs_is_stopped() {
    let failure = failure(told("chroot", "hang"));
    assert!(failure.observed.contains("it hangs"), "{failure:?}");
    assert!(failure.hint.starts_with("What does it wait"), "{failure:?}");
}

pub fn a_fork_bomb_is_stopped() {
    let told = told("chroot", "fork-bomb");
    let cleaned = told.cleaned.join(", ");
    assert!(cleaned.contains(" processes"), "{cleaned}");
    let failure = failure(told);
    assert!(failure.observed.contains("a fork bomb"), "{failure:?}");
    assert!(failure.hint.starts_with("Something starts"), "{failure:?}");
}

pub fn what_a_program_leaves_is_told() {
    let told = told("chroot", "leaver");
    assert!(matches!(told.verdict, Verdict::Pass(_)), "{told:?}");
    let cleaned = told.cleaned.join("\n");
    assert!(cleaned.contains("mounts of the host: /mnt/left"), "{cleaned}");
    assert!(cleaned.contains("the host's name"), "{cleaned}");
}

pub fn a_file_without_end_is_not_read() {
    let failure = failure(told("allow-list", "endless"));
    assert_eq!(failure.observed, "PROFILE is no file", "{failure:?}");
}

/// Whatever it says, in any exercise.
pub fn a_liar_passes_nowhere() {
    needs::playground();
    let liar = program("hostile", "liar");
    for exercise in ALL {
        let lacks = exercise.needs.iter().find_map(|need| need.lacks());
        if lacks.is_none() {
            let told = told_of(exercise, &liar);
            let fails = matches!(told.verdict, Verdict::Fail(_));
            assert!(fails, "{}: {told:?}", exercise.name);
        }
    }
}
