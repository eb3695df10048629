//! Reads a file of the host by its path. Without a root directory of its own,
//! a process can name every file that there is (chroot(2)).

use crate::attack::{Arguments, Attack, FILE, StoppedBy, Try};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "read-host-file",
    tries: "read a file of the host by its path",
    stopped: StoppedBy::Step(1),
    rule: "an absolute path begins at the process's own root directory",
    source: "chroot(2)",
    arguments: &[FILE],
    run,
};

fn run(arguments: &Arguments) -> Try {
    outside::read(arguments.text("FILE")?)
}
