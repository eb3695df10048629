//! Mounts something where the host can see it. A mount made inside shows
//! outside when the mount table is the host's own, or a copy of it whose
//! mounts still tell each other (shared propagation).

use nix::mount::{MsFlags, mount};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};
use crate::{outside, procfs};

pub const ATTACK: Attack = Attack {
    name: "leak-mount",
    tries: "mount a tmpfs that appears on the host",
    stopped: StoppedBy::Step(4),
    rule: "the mount table is our own, and private mounts tell nobody",
    source: "mount_namespaces(7), SHARED SUBTREES",
    arguments: &[
        Argument::new("DIR", "/mnt", "where; undo it by umount"),
        Argument::new(
            "NAME",
            "leak",
            "its source in mountinfo: findmnt -S NAME",
        ),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let (place, name) = (arguments.text("DIR")?, arguments.text("NAME")?);
    mount(Some(name), place, Some("tmpfs"), MsFlags::empty(), Some("size=64k"))
        .or_stopped(format!("mount({name:?}, {place:?}, \"tmpfs\")"))?;
    // Whoever climbs out of / was only in a chroot, in the host's own table.
    if outside::second_chroot()? {
        return Ok(Outcome::Worked(format!(
            "{place} is mounted in the host's own table"
        )));
    }
    let table = procfs::read("self/mountinfo")
        .or_stopped("open(\"/proc/self/mountinfo\")")?;
    let ours = format!("- tmpfs {name} ");
    let ours = table.lines().filter(|line| line.contains(&ours));
    Ok(match ours.clone().any(|line| line.contains(" shared:")) {
        true => Outcome::Worked(format!(
            "{place} is mounted, and shared with the host"
        )),
        false => Outcome::Stopped(format!(
            "{place} is mounted in a table of our own, privately"
        )),
    })
}
