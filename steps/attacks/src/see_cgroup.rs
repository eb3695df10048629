//! Sees where on the host its cgroup lies. A path that is known can be named:
//! in a mount of the cgroup tree, or to somebody outside.

use crate::attack::{Arguments, Attack, OrStopped, Outcome, StoppedBy, Try};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "see-cgroup",
    tries: "see the host's cgroup tree",
    stopped: StoppedBy::Step(6),
    rule: "in a cgroup namespace, paths begin at the cgroup where it was made",
    source: "cgroup_namespaces(7)",
    arguments: &[],
    run,
};

fn run(_: &Arguments) -> Try {
    let own = procfs::read("self/cgroup")
        .or_stopped("open(\"/proc/self/cgroup\")")?;
    let paths = own.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    Ok(match paths.clone().find(|path| *path != "/") {
        Some(path) => {
            Outcome::Worked(format!("our cgroup is {path} on the host"))
        }
        None => Outcome::Stopped("our cgroup is / in every hierarchy".into()),
    })
}
