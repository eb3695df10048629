//! Finds the old root below the new one. pivot_root(2) only moves it: until it
//! is unmounted it lies on top of the new one (`/..` leads there), or where
//! the runtime put it.

use std::path::Path;

use nix::unistd::chdir;

use crate::attack::{
    Argument, Arguments, Attack, FILE, OrStopped, Outcome, StoppedBy, Try,
};
use crate::outside;

pub const ATTACK: Attack = Attack {
    name: "old-root",
    tries: "find the host's root directory where pivot_root left it",
    stopped: StoppedBy::Step(4),
    rule: "after umount2(MNT_DETACH) the old root has no name here",
    source: "pivot_root(2) NOTES, umount2(2)",
    arguments: &[FILE, Argument::new("DIR", "/..", "where it may lie")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (file, directory) = (arguments.text("FILE")?, arguments.text("DIR")?);
    let root = outside::look("/")?;
    chdir(directory).or_stopped(format!("chdir({directory:?})"))?;
    if outside::look(".")? != root {
        return outside::read(
            Path::new(file).strip_prefix("/").unwrap_or(file.as_ref()),
        );
    }
    if outside::second_chroot()? {
        return Ok(Outcome::CannotTry(
            "/ is a chroot, there was no pivot_root (try escape-chroot)".into(),
        ));
    }
    Ok(Outcome::Stopped(format!("{directory} is / itself")))
}
