//! Presses a key that the kernel itself listens to: `b` is a reboot, now and
//! without a word to anybody. Here it is `h`, for help, which the kernel writes
//! into its log.

use std::fs::File;
use std::io::Write;

use nix::fcntl::OFlag;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::{lab, procfs};

pub const ATTACK: Attack = Attack {
    name: "sysrq",
    tries: "press a key of the kernel's emergency keyboard",
    stopped: StoppedBy::Step(5),
    rule: "only the first user namespace's root may write /proc/sysrq-trigger",
    source: "proc_sysrq-trigger(5), user_namespaces(7)",
    arguments: &[Argument::new("KEY", "h", "h: help; b would be a reboot")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    lab::require()?;
    let key = arguments.text("KEY")?;
    let file = procfs::open("sysrq-trigger", OFlag::O_WRONLY)
        .or_stopped("open(\"/proc/sysrq-trigger\", O_WRONLY)")?;
    File::from(file)
        .write_all(key.as_bytes())
        .or_stopped(format!("write({key:?})"))?;
    Ok(Outcome::Done(format!("the key {key} is pressed: see dmesg")))
}
