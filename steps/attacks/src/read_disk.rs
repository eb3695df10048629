//! Reads the host's disk below its filesystem: a device is its two numbers,
//! and whoever may make a node has the device. Nothing is written.

use std::fs::{self, File};
use std::io::Read;

use anyhow::Context;
use nix::sys::stat::{Mode, SFlag, makedev, mknod, stat};

use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "read-disk",
    tries: "make a node of the host's disk, and read its first bytes",
    stopped: StoppedBy::Step(5),
    rule: "mknod of a device needs CAP_MKNOD in the first user namespace",
    source: "mknod(2), user_namespaces(7)",
    arguments: &[
        Argument::new(
            "DEVICE",
            "",
            "MAJOR:MINOR [default: that of /, else the first disk]",
        ),
        Argument::new(
            "NODE",
            "/tmp/disk",
            "the node that is made, and removed again",
        ),
    ],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let device = match arguments.text("DEVICE")? {
        "" => find_disk()?,
        device => device.to_owned(),
    };
    let numbers = device.split_once(':').and_then(|(major, minor)| {
        Some((major.parse().ok()?, minor.parse().ok()?))
    });
    let (major, minor) =
        numbers.with_context(|| format!("{device:?} is not MAJOR:MINOR"))?;
    let node = arguments.text("NODE")?;
    let owner_only = Mode::S_IRUSR | Mode::S_IWUSR;
    mknod(node, SFlag::S_IFBLK, owner_only, makedev(major, minor))
        .or_stopped(format!("mknod({node:?}, S_IFBLK, {device})"))?;
    let mut bytes = [0; 512];
    let read =
        File::open(node).and_then(|mut disk| disk.read_exact(&mut bytes));
    fs::remove_file(node).context("remove the node")?;
    // Whoever may make the node may use it, by the rule above. Other refusals
    // are not the container's: nodev where it lies, a device cgroup around us.
    Ok(match read {
        Ok(()) => {
            Outcome::Worked(format!("read 512 bytes of the disk {device}"))
        }
        Err(error) => Outcome::CannotTry(format!(
            "{node} was made, and can't be read: {error}"
        )),
    })
}

/// A filesystem on no disk has the major number 0.
fn find_disk() -> Result<String, Ended> {
    let root = stat("/").or_stopped("stat(\"/\")")?.st_dev;
    let (major, minor) =
        (nix::sys::stat::major(root), nix::sys::stat::minor(root));
    if major != 0 {
        return Ok(format!("{major}:{minor}"));
    }
    let table =
        procfs::read("partitions").or_stopped("open(\"/proc/partitions\")")?;
    let disk = table.lines().skip(2).find_map(|line| {
        let mut words = line.split_whitespace();
        Some(format!("{}:{}", words.next()?, words.next()?))
    });
    disk.ok_or_else(|| {
        Outcome::CannotTry("this machine has no disk".into()).into()
    })
}
