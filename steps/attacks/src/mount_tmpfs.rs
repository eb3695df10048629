//! Mounts a filesystem inside: mount(2) is the door to every filesystem that
//! the kernel has, and to whatever is wrong with one of them.

use nix::mount::{MsFlags, mount};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "mount-tmpfs",
    tries: "mount a filesystem inside",
    stopped: StoppedBy::Step(9),
    rule: "mount needs CAP_SYS_ADMIN",
    source: "mount(2), capabilities(7), CVE-2022-0185",
    arguments: &[
        Argument::new("DIR", "/mnt", "where"),
        Argument::new("SOURCE", "attack", "a name, to find it by"),
        STAY,
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (place, source) = (arguments.text("DIR")?, arguments.text("SOURCE")?);
    let none = None::<&str>;
    mount(Some(source), place, Some("tmpfs"), MsFlags::empty(), none)
        .or_stopped(format!("mount(\"tmpfs\", {place:?})"))?;
    Ok(Outcome::Worked(format!("a tmpfs is mounted on {place}")))
}
