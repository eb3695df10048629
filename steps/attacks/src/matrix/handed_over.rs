//! Step 10: what a whole machine is given to divide, and which devices. By hand,
//! the cgroup is given with a mistake: with its limits in it, or with the tree
//! above it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::sys::statvfs::FsFlags;
use testbed::{Step, binary, proc, token};

use crate::doors::descriptors;
use crate::limits::{Made, of_its_cgroup};
use crate::places::{
    Impossible, Place, STAY, Staying, Verdict, directory_without, impossible,
    need_command, need_other_ids, need_root, text,
};
use crate::users::need_the_machines_root;

const LIMIT: &str = "20";

/// In a cgroup of ours with that limit, whose whole tree is shown.
struct ByHand {
    made: Made,
    limit: PathBuf,
}

impl ByHand {
    fn new(name: &str) -> Result<ByHand, Impossible> {
        need_command("unshare")?;
        let made = Made::in_all_hierarchies(name);
        let limits = made.directories().iter().map(|it| it.join("pids.max"));
        let set = limits.clone().find(|it| fs::write(it, LIMIT).is_ok());
        match set {
            Some(limit) => Ok(ByHand { made, limit }),
            None => impossible("no limit is ours to set by hand here"),
        }
    }

    fn attack(&self, name: &str, given: &[&str]) -> Staying {
        let script = format!("{}exec \"$@\"", self.made.joins());
        let step = Step::program("unshare").args(["--mount"]);
        let step = step.arg("--", binary("attack")).args([name]).args(given);
        Staying::of(step.args([STAY]).in_shell(&script))
    }
}

/// The attack in a machine that has a limit.
fn limited(
    place: Place,
    name: &str,
    given: &[&str],
) -> Result<Staying, Impossible> {
    let step = || place.step().args(["--pids-limit", LIMIT, "--"]);
    match step().args(["true"]).output().status.success() {
        true => {
            let attack = step().args(["attack", name]).args(given);
            Ok(Staying::of(attack.args([STAY])))
        }
        false => impossible("no cgroup is ours to hand on here"),
    }
}

/// It says on the host what the limit is.
pub fn raise_limit(place: Place) -> Verdict {
    let is_lifted = |limit: Option<String>| {
        let limit = limit.expect("a limit");
        assert!(["max", LIMIT].contains(&limit.trim()), "{limit}");
        limit.trim() == "max"
    };
    if place.step == 0 {
        let hand = ByHand::new(&token())?;
        let attack = hand.attack("raise-limit", &[]);
        return attack.judge(is_lifted(fs::read_to_string(&hand.limit).ok()));
    }
    let attack = limited(place, "raise-limit", &[])?;
    let limit = of_its_cgroup(&attack.container, "pids.max");
    attack.judge(is_lifted(limit))
}

/// The host counts its processes.
pub fn outgrow_limit(place: Place) -> Verdict {
    let (own, name) = (token(), token());
    let many = |attack: &Staying| attack.processes().len() >= 40;
    if place.step == 0 {
        let hand = ByHand::new(&own)?;
        let _beside = hand.made.beside(&name);
        let attack = hand.attack("outgrow-limit", &[&name]);
        return attack.judge(many(&attack));
    }
    let attack = limited(place, "outgrow-limit", &[&name])?;
    attack.judge(many(&attack))
}

/// The host sees where each process is.
pub fn leave_cgroup(place: Place) -> Verdict {
    let is_out = |attack: &Staying, own: &str| {
        let gone = |pid: i32| {
            let table = fs::read_to_string(format!("/proc/{pid}/cgroup"));
            let table = table.expect("its cgroups");
            let pids = table.lines().find(|line| line.contains(":pids:"));
            let v2 = || table.lines().find(|line| line.starts_with("0::"));
            !pids.or_else(v2).expect("its cgroup").contains(own)
        };
        attack.processes().into_iter().any(gone)
    };
    if place.step == 0 {
        let own = token();
        let hand = ByHand::new(&own)?;
        let attack = hand.attack("leave-cgroup", &[]);
        return attack.judge(is_out(&attack, &own));
    }
    let attack = limited(place, "leave-cgroup", &[])?;
    let own = format!("/container-{}/", attack.container.runtime());
    attack.judge(is_out(&attack, &own))
}

/// Devices that no container needs: a disk, or what a module brings.
fn devices() -> Vec<(SFlag, u64)> {
    let table = fs::read_to_string("/proc/partitions").unwrap_or_default();
    let disk = table.lines().skip(2).filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = (words.next()?, words.next()?);
        let number = makedev(major.parse().ok()?, minor.parse().ok()?);
        Some((SFlag::S_IFBLK, number))
    });
    let others = ["fuse", "net/tun", "loop-control"].into_iter();
    let others = others.filter_map(|name| {
        let number = fs::metadata(Path::new("/dev").join(name)).ok()?.rdev();
        Some((SFlag::S_IFCHR, number))
    });
    disk.chain(others).collect()
}

/// On the host, root has made it, and anybody may open it. The host sees which
/// device somebody has open.
pub fn planted_node(place: Place) -> Verdict {
    need_the_machines_root()?;
    let volume = directory_without(FsFlags::ST_NODEV)?;
    let node = volume.path().join("node");
    let planted = devices().into_iter().find(|(kind, number)| {
        let _ = fs::remove_file(&node);
        mknod(&node, *kind, Mode::empty(), *number).is_ok()
            && fs::File::open(&node).is_ok()
    });
    let Some((_, number)) = planted else {
        return impossible("this machine has no device that can be opened");
    };
    for (path, mode) in [(volume.path(), 0o755), (&node, 0o444)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
    }
    let attack = match place.step {
        0 => Staying::begin(place, "planted-node", &[&text(&node)]),
        _ => {
            let rules = ["--device", "/dev/null:/dev/a-device:r"];
            let step = || {
                place.step().args(rules.iter().filter(|_| place.with_option))
            };
            let probe = step().args(["--", "true"]).output();
            if !probe.status.success() {
                return impossible(
                    "no rules for devices are ours to make here",
                );
            }
            let shown = format!("{}:/mnt", text(volume.path()));
            let step = step().args(["-v", &shown]);
            Staying::of(
                step.args(["--", "attack", "planted-node"])
                    .args(["/mnt/node", STAY]),
            )
        }
    };
    let is_it =
        |file: &PathBuf| fs::metadata(file).is_ok_and(|it| it.rdev() == number);
    let seen = descriptors(&attack).iter().any(is_it);
    attack.judge(seen)
}

/// One that the host has, and none of its containers. Who somebody is says the
/// kernel, on the host.
pub fn map_outer_id(place: Place) -> Verdict {
    need_root()?;
    need_other_ids()?;
    let map = fs::read_to_string("/proc/self/uid_map").expect("our map");
    let last = map.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let first: u32 = words.next()?.parse().ok()?;
        Some(first + (words.nth(1)?.parse::<u32>().ok()? - 1))
    });
    let id = last.max().expect("an id").to_string();
    let attack = Staying::begin(place, "map-outer-id", &[&id]);
    let is_so = |pid: i32| {
        let ids = proc::status(pid, "Uid").expect("its ids");
        ids.split_whitespace().any(|it| it == id)
    };
    let seen = attack.processes().into_iter().any(is_so);
    attack.judge(seen)
}
