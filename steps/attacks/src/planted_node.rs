//! Opens a device by a node that somebody left where the container can see it:
//! in a volume, say. No mknod(2) is needed then, and the mode of the node is all
//! that is asked for.

use std::fs::File;
use std::mem::forget;
use std::os::unix::fs::MetadataExt;

use anyhow::Context;
use nix::sys::stat::{major, minor};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "planted-node",
    tries: "open a device of the host by a node that lies in a volume",
    stopped: StoppedBy::Option(10, "--device"),
    rule: "rules for devices count for each node, wherever it lies",
    source: "cgroup-v1/devices.rst, cgroup-v2.rst: Device controller",
    arguments: &[Argument::new("NODE", "/mnt/node", "the node"), STAY],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let node = arguments.text("NODE")?;
    let device = File::open(node).or_stopped(format!("open({node:?})"))?;
    let number = device.metadata().context("fstat")?.rdev();
    let (major, minor) = (major(number), minor(number));
    // It is open for as long as we are there.
    forget(device);
    Ok(Outcome::Worked(format!("the device {major}:{minor} is open")))
}
