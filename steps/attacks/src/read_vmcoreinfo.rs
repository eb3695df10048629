//! Reads in /sys where in the machine's memory the kernel keeps the map of
//! itself that a crash dump is read by.

use std::fs;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "read-vmcoreinfo",
    tries: "read in /sys where the kernel's map of itself lies in memory",
    stopped: StoppedBy::Step(9),
    rule: "what belongs to no namespace is covered by /dev/null",
    source: "sysfs(5), the kernel's sysfs-kernel-vmcoreinfo",
    arguments: &[Argument::new("FILE", "kernel/vmcoreinfo", "below /sys")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let file = format!("/sys/{}", arguments.text("FILE")?);
    let text =
        fs::read_to_string(&file).or_stopped(format!("open({file:?})"))?;
    Ok(match text.trim() {
        "" => Outcome::Stopped(format!("{file} is empty")),
        text => Outcome::Worked(format!("{file}: {}", text.escape_debug())),
    })
}
