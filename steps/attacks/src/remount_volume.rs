//! Makes a read-only volume (`:ro`) writable again. Whoever owns the mount
//! namespace may change the mounts that were made in it. From step 05 on they
//! were made in another one, and copied across a user namespace.

use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "remount-volume",
    tries: "remount a read-only volume read-write (-v DIR:/mnt:ro)",
    stopped: StoppedBy::Step(5),
    rule: "a mount that was copied for another user namespace is locked",
    source: "mount_namespaces(7), Restrictions on mount namespaces",
    arguments: &[
        Argument::new("DIR", "/mnt", "the volume"),
        Argument::new(
            "TEXT",
            "pwned",
            "what to write then, to a file called attack",
        ),
    ],
    run,
};

pub fn run(arguments: &Arguments) -> Try {
    let (place, text) = (arguments.text("DIR")?, arguments.text("TEXT")?);
    let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | other_flags(place)?;
    mount(None::<&str>, place, None::<&str>, flags, None::<&str>)
        .or_stopped(format!("mount({place:?}, MS_REMOUNT | MS_BIND)"))?;
    let file = Path::new(place).join("attack");
    fs::write(&file, text).or_stopped(format!("open({file:?}, O_WRONLY)"))?;
    Ok(Outcome::Worked(format!("{text:?} is in {}", file.display())))
}

/// Taking one of these away as well would be another attack, which might be
/// refused where this one is not.
fn other_flags(place: &str) -> Result<MsFlags, Ended> {
    let now = statvfs(place).or_stopped(format!("statvfs({place:?})"))?.flags();
    let known = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ];
    let kept = known.iter().filter(|(flag, _)| now.contains(*flag));
    Ok(kept.map(|(_, flag)| *flag).collect())
}
