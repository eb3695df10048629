//! Asks to handle its own page faults. Whoever may handle those of the kernel's
//! code as well decides how long the kernel stands still between two of its
//! steps, and so wins every race against it.

use runtime::process::userfaultfd;

use crate::attack::{Arguments, Attack, Outcome, STAY, StoppedBy, Try};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "reach-userfaultfd",
    tries: "become the handler of its own page faults",
    stopped: StoppedBy::Step(9),
    rule: "userfaultfd is refused: it stops the kernel halfway",
    source: "userfaultfd(2), CVE-2019-18683, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let call = "userfaultfd(UFFD_USER_MODE_ONLY)";
    let handler = door::open(call, "userfaultfd", userfaultfd())?;
    // It stays open as long as we do: somebody may want to look.
    std::mem::forget(handler);
    Ok(Outcome::Worked(
        "its page faults are ours: /proc/PID/fd shows it".into(),
    ))
}
