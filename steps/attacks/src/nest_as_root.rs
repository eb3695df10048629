//! Makes a user namespace in this one. Whoever makes one has all capabilities
//! in it, also those that were dropped before: the kernel's code for mounts,
//! networks and firewalls is open again.

use nix::sched::{CloneFlags, unshare};

use crate::attack::{
    Arguments, Attack, Ended, OrStopped, Outcome, STAY, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "nest-as-root",
    tries: "make a user namespace inside, and have all capabilities again",
    stopped: StoppedBy::Step(9),
    rule: "unshare and clone are refused for CLONE_NEWUSER, clone3 altogether",
    source: "user_namespaces(7), CVE-2022-0185, seccomp(2)",
    arguments: &[STAY],
    run,
};

pub fn run(_: &Arguments) -> Try {
    unshare(CloneFlags::CLONE_NEWUSER).or_stopped("unshare(CLONE_NEWUSER)")?;
    let number = capabilities()?.count_ones();
    Ok(match number {
        0 => Outcome::Stopped("the new namespace gives no capability".into()),
        _ => Outcome::Worked(format!("{number} capabilities in a new one")),
    })
}

/// Those that are in effect, as a mask.
pub fn capabilities() -> Result<u64, Ended> {
    let status = procfs::read("self/status")
        .or_stopped("open(\"/proc/self/status\")")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:\t"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask, 16).ok());
    Ok(mask.unwrap_or(0))
}
