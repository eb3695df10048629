//! Sets up an io_uring: a queue by which the kernel takes system calls that no
//! filter of system calls ever sees.

use io_uring::IoUring;

use crate::attack::{Arguments, Attack, Outcome, STAY, StoppedBy, Try};
use crate::door;

pub const ATTACK: Attack = Attack {
    name: "reach-io-uring",
    tries: "set up an io_uring, whose calls no filter sees",
    stopped: StoppedBy::Step(9),
    rule: "io_uring_setup is refused: its calls come past seccomp",
    source: "io_uring_setup(2), CVE-2022-29582, seccomp(2)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let ring = door::open("io_uring_setup(2)", "io_uring", IoUring::new(2))?;
    // It stays open as long as we do: somebody may want to look.
    std::mem::forget(ring);
    Ok(Outcome::Worked("an io_uring is ours: /proc/PID/fd shows it".into()))
}
