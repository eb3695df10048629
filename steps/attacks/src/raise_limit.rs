//! Raises one's own limit. An init divides its cgroup, so it may write there: if
//! the limit lies in what it was given, it is the init's to write, too.

use std::fs::File;
use std::io::Write;

use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};
use crate::cgroup::Own;

pub const ATTACK: Attack = Attack {
    name: "raise-limit",
    tries: "raise the limit of the cgroup that it divides (--pids-limit 20)",
    stopped: StoppedBy::Step(10),
    rule: "what is handed over begins below the cgroup that has the limits",
    source: "cgroups(7), delegation; cgroup-v2.rst: Delegation Containment",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let limit = Own::find()?.directory().join("pids.max");
    let mut file = File::options()
        .write(true)
        .open(&limit)
        .or_stopped(format!("open({limit:?}, O_WRONLY)"))?;
    file.write_all(b"max").or_stopped(format!("write({limit:?}, \"max\")"))?;
    Ok(Outcome::Worked(format!("{} is max now", limit.display())))
}
