//! Mounts a proc of one's own: whatever lies over files of the container's, in
//! a new one nothing does. It is mounted nowhere, and gone with us.

use std::fs::File;
use std::io;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use crate::attack::{Argument, Arguments, Attack, OrStopped, StoppedBy, Try};
use crate::{procfs, read_interrupts};

pub const ATTACK: Attack = Attack {
    name: "mount-proc",
    tries: "mount a proc of its own, over which nothing lies",
    stopped: StoppedBy::Step(9),
    rule: "fsopen and mount need CAP_SYS_ADMIN",
    source: "mount(2), fsopen(2), capabilities(7)",
    arguments: &[Argument::new("FILE", "interrupts", "read in it")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let file = arguments.text("FILE")?;
    let proc = procfs::mount().or_stopped("fsopen(\"proc\")")?;
    let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
    let opened = openat(proc, file, flags, Mode::empty())
        .or_stopped(format!("openat(proc, {file:?})"))?;
    let text = io::read_to_string(File::from(opened)).or_stopped("read()")?;
    Ok(read_interrupts::tell(&format!("{file} of a new proc"), &text))
}
