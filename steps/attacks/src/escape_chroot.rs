//! Leaves a chroot by a second one: chroot(2) does not move the working
//! directory, and `..` stops only at the root that a process has *now*.

use crate::attack::{Arguments, Attack, FILE, Outcome, StoppedBy, Try};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "escape-chroot",
    tries: "chroot into a directory below, climb by `..`, chroot there",
    stopped: StoppedBy::Step(4),
    rule: "/ is the mount namespace's root after pivot_root: `..` ends there",
    source: "chroot(2) NOTES, pivot_root(2)",
    arguments: &[FILE],
    run,
};

fn run(arguments: &Arguments) -> Try {
    match outside::second_chroot()? {
        true => outside::read(arguments.text("FILE")?),
        false => Ok(Outcome::Stopped("`..` led to the same / again".into())),
    }
}
