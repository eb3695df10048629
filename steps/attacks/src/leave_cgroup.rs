//! Leaves the container's cgroup for the one above it: no limit counts there,
//! and whoever ends the container by its cgroup ends us no more.

use std::fs::File;
use std::io::Write;

use crate::attack::{
    Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};
use crate::cgroup::Own;

pub const ATTACK: Attack = Attack {
    name: "leave-cgroup",
    tries: "move to the cgroup above its own",
    stopped: StoppedBy::Step(10),
    rule: "only a part of the tree is shown, and its top is one's own cgroup",
    source: "cgroup_namespaces(7), cgroups(7)",
    arguments: &[STAY],
    run,
};

fn run(_: &Arguments) -> Try {
    let own = Own::find()?;
    let procs = own.above().join("cgroup.procs");
    // Not fs::write, which would make a file where there is none.
    let mut file = File::options()
        .write(true)
        .open(&procs)
        .or_stopped(format!("open({procs:?}, O_WRONLY)"))?;
    file.write_all(b"0").or_stopped(format!("write({procs:?}, \"0\")"))?;
    Ok(match own.is_the_top() {
        true => {
            Outcome::Done("there was one above the top: see outside".into())
        }
        false => Outcome::Worked(format!("our cgroup is {}", procs.display())),
    })
}
