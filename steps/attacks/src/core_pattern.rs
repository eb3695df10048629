//! Tells the kernel what to do with the next process that crashes. With
//! `|PROGRAM` it would start that program as the host's root, outside every
//! container.

use std::fs::File;
use std::io::Write;

use nix::fcntl::OFlag;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::{lab, procfs};

pub const ATTACK: Attack = Attack {
    name: "core-pattern",
    tries: "set what the kernel does when a process crashes",
    stopped: StoppedBy::Step(5),
    rule: "only the first user namespace's root may write /proc/sys/kernel",
    source: "core(5), user_namespaces(7)",
    arguments: &[Argument::new("PATTERN", "core", "what is written")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    lab::require()?;
    let pattern = arguments.text("PATTERN")?;
    let file = procfs::open("sys/kernel/core_pattern", OFlag::O_WRONLY)
        .or_stopped("open(\"/proc/sys/kernel/core_pattern\", O_WRONLY)")?;
    File::from(file)
        .write_all(pattern.as_bytes())
        .or_stopped(format!("write({pattern:?})"))?;
    Ok(Outcome::Worked(format!("core_pattern is now {pattern}")))
}
