//! Reads the host's kernel log: /dev/kmsg is a device, and whoever may make its
//! node has what the kernel has logged since the machine came up.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};

use anyhow::Context;
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "read-kernel-log",
    tries: "make a node of the host's kernel log, and read it",
    stopped: StoppedBy::Step(5),
    rule: "mknod of a device needs CAP_MKNOD in the first user namespace",
    source: "mknod(2), user_namespaces(7)",
    arguments: &[Argument::new(
        "NODE",
        "/tmp/kmsg",
        "the node that is made, and removed again",
    )],
    run,
};

/// The kernel's Documentation/admin-guide/devices.txt.
const KMSG: (u64, u64) = (1, 11);
/// A read gets one record, or fails where there is no room for it.
const RECORD: usize = 8192;

fn run(arguments: &Arguments) -> Try {
    let node = arguments.text("NODE")?;
    let owner_only = Mode::S_IRUSR | Mode::S_IWUSR;
    mknod(node, SFlag::S_IFCHR, owner_only, makedev(KMSG.0, KMSG.1))
        .or_stopped(format!("mknod({node:?}, S_IFCHR, 1:11)"))?;
    let mut record = [0; RECORD];
    let read = File::open(node).and_then(|log| read_one(log, &mut record));
    fs::remove_file(node).context("remove the node")?;
    let length = read.or_stopped(format!("open({node:?})"))?;
    let text = String::from_utf8_lossy(&record[..length]);
    let text = text.lines().next().unwrap_or_default().escape_debug();
    Ok(Outcome::Worked(format!("the host's kernel says: {text}")))
}

/// The oldest one, or the next where that has made room for a new one meanwhile
/// (EPIPE).
fn read_one(mut log: File, record: &mut [u8]) -> io::Result<usize> {
    loop {
        match log.read(record) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            read => return read,
        }
    }
}
