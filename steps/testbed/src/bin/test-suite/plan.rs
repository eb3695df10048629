//! Which claims are left out where, and why. Each is judged elsewhere.

use nix::unistd::geteuid;
use testbed::needs;

use crate::machines::BOOTS_DEBIAN;

/// The claim that does not hold in any environment.
pub const CANARY: &str = "the_canary_is_red";

/// These ask little of a kernel and much of a processor: without KVM, tracing
/// thousands of system calls one by one takes too long.
const NOT_IN_THE_LAB: &[&str] = &[
    "bad_input",
    "contract",
    "default_root",
    "enemy_root",
    "faults",
    "lab",
    "leaks",
    "pull",
    "setup",
];

/// What takes long is judged with one kernel of Debian 12: these with the older
/// one, those with the newer one, so that both machines have as much to do.
const WITH_THE_OLDER_KERNEL: &[&str] = &[
    "attacks",
    "least_privilege",
    "narration",
    "networking",
    "oci_runtime",
    "playground",
];
const WITH_THE_NEWER_KERNEL: &[&str] =
    &["cgroups", "doctor", "lessons", BOOTS_DEBIAN];

/// Nor do these ask much of a kernel; but another one could change a count, or
/// a call. System calls are judged on arm64, with the same kernel.
const WITH_TIME: &[&str] = &["least_privilege", "narration", "starts"];

/// For ordinary users above all: with time, root judges them, too.
const AS_LEARNER: &[&str] = &["lessons", "playground"];

/// The number of ids makes no difference to these.
const IDS_ARE_THE_SAME: &[&str] = &[
    "bad_input",
    "chroot",
    "default_root",
    "enemy_root",
    "faults",
    "lab",
    "leaks",
    "mount_namespace",
    "pid_namespace",
    "pull",
    "setup",
    "terminal",
    "uts_namespace",
];

/// When root runs the tests, these are judged as root on the host, and as the
/// learner in the playground.
const USER_IS_THE_SAME: &[&str] = &["enemy_root", "setup"];

/// These judge what judges, or a script, which is the same everywhere.
const ONCE: &[&str] =
    &["demo", "gates", "moving", "patience", "places", "red", "vm"];

/// This machine, as whoever runs the tests: here, the claims of `ONCE` are judged.
pub fn at_home() -> &'static str {
    if geteuid().is_root() { "host-root" } else { "host-learner" }
}

/// Why a binary is not judged in an environment; `None` where it is.
#[must_use]
pub fn left_out(environment: &str, binary: &str) -> Option<&'static str> {
    let is_one_of = |list: &[&str]| list.contains(&binary);
    if is_one_of(ONCE) && environment != at_home() {
        return Some("judges what judges, or a script: once is enough");
    }
    if environment.starts_with("lab-") {
        if is_one_of(NOT_IN_THE_LAB) {
            return Some(
                "asks little of a kernel and much of a processor: not in the lab",
            );
        }
        let is_in = |machine| environment.starts_with(machine);
        if is_in("lab-6.12-") && is_one_of(WITH_THE_OLDER_KERNEL) {
            return Some("is judged on the lab's older kernel");
        }
        if is_in("lab-6.1-") && is_one_of(WITH_THE_NEWER_KERNEL) {
            return Some("is judged on the lab's newer kernel");
        }
        let as_root = !environment.ends_with("-learner");
        let slow = binary == "terminal" || binary == "attacks" && !as_root;
        if slow && needs::is_emulated() {
            return Some("takes too long without KVM: judged elsewhere");
        }
        let left_to_others = is_one_of(WITH_TIME) && !is_in("lab-arm64-")
            || is_one_of(AS_LEARNER) && as_root;
        if left_to_others && needs::is_short_of_time() {
            return Some(
                "takes long without KVM: judged elsewhere, or with --everything",
            );
        }
    }
    if environment.ends_with("-one-id") && is_one_of(IDS_ARE_THE_SAME) {
        return Some(
            "judged as other users: the number of ids makes no difference",
        );
    }
    if environment == "host-learner"
        && geteuid().is_root()
        && is_one_of(USER_IS_THE_SAME)
    {
        return Some(
            "judged as the learner in the playground, and as root here",
        );
    }
    None
}
