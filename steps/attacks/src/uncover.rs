//! Takes away what was laid over a directory, and sees what lies below it.
//! Whoever mounts an empty directory over a secret has hidden it only from
//! those who can't unmount.

use std::path::Path;

use nix::mount::{MntFlags, umount2};

use crate::attack::{Argument, Arguments, Attack, OrStopped, StoppedBy, Try};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "uncover",
    tries: "unmount what lies over a directory (-v EMPTY:/mnt), and look",
    stopped: StoppedBy::Step(9),
    rule: "umount2 needs CAP_SYS_ADMIN",
    source: "umount2(2), capabilities(7)",
    arguments: &[
        Argument::new("DIR", "/mnt", "the directory"),
        Argument::new("FILE", "secret", "a file in it, below what covers it"),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let directory = arguments.text("DIR")?;
    umount2(directory, MntFlags::empty())
        .or_stopped(format!("umount2({directory:?})"))?;
    outside::read(Path::new(directory).join(arguments.text("FILE")?))
}
