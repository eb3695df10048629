//! Lifts one's own limit. Inside, the cgroups are shown read-only; but whoever
//! may mount them anew has files to write, if these belong to root inside.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;

use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create,
    fsconfig_set_flag, fsmount, fsopen,
};

use crate::attack::{
    Arguments, Attack, Ended, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "lift-limit",
    tries: "mount the cgroups anew, and lift its own limit (--pids-limit 20)",
    stopped: StoppedBy::Step(9),
    rule: "mount needs CAP_SYS_ADMIN, even where the cgroup is one's own",
    source: "cgroups(7), cgroup_namespaces(7), nsdelegate",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let limit = match limit_of("cgroup2", None)? {
        Some(limit) => limit,
        None => limit_of("cgroup", Some("pids"))?.ok_or_else(|| {
            Outcome::CannotTry("no cgroup has a pids.max".into())
        })?,
    };
    let (mut limit, mut before) = (File::from(limit), String::new());
    limit.read_to_string(&mut before).or_stopped("read(\"pids.max\")")?;
    if before.trim() == "max" {
        return Ok(Outcome::Stopped(
            "the cgroups that can be mounted have no limit: it is that of one \
             above them"
                .into(),
        ));
    }
    limit.write_all(b"max").or_stopped("write(\"pids.max\", \"max\")")?;
    Ok(Outcome::Worked("pids.max is max now".into()))
}

/// The file that holds it, in a mount whose root is our own cgroup. `None`: the
/// limit is another hierarchy's.
fn limit_of(kind: &str, only: Option<&str>) -> Result<Option<OwnedFd>, Ended> {
    let tree = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .or_stopped(format!("fsopen({kind:?})"))?;
    if let Some(controller) = only {
        fsconfig_set_flag(&tree, controller)
            .or_stopped(format!("fsconfig({controller:?})"))?;
    }
    let quiet = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mounted = fsconfig_create(&tree)
        .and_then(|()| fsmount(&tree, FsMountFlags::FSMOUNT_CLOEXEC, quiet));
    let mounted = mounted.or_stopped(format!("mount({kind:?})"))?;
    let file = openat(
        mounted,
        "pids.max",
        OFlag::O_RDWR | OFlag::O_CLOEXEC,
        Mode::empty(),
    );
    match file {
        Err(nix::errno::Errno::ENOENT) => Ok(None),
        file => Ok(Some(file.or_stopped("open(\"pids.max\", O_RDWR)")?)),
    }
}
