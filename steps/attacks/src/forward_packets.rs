//! Turns the container into a router: packets that arrive at one of its devices
//! go on by another. The network is its own, so root inside may say so.

use std::fs::File;
use std::io::Write;

use nix::fcntl::OFlag;

use crate::attack::{
    Argument, Arguments, Attack, OrStopped, Outcome, STAY, StoppedBy, Try,
};
use crate::procfs;

pub const ATTACK: Attack = Attack {
    name: "forward-packets",
    tries: "have its own network forward what is not for it (ip_forward)",
    stopped: StoppedBy::Step(9),
    rule: "/proc/sys/net needs CAP_NET_ADMIN, and /proc/sys is read-only",
    source: "network_namespaces(7), ip(7) ip_forward, capabilities(7)",
    arguments: &[Argument::new("VALUE", "1", "0 or 1"), STAY],
    run,
};

const FILE: &str = "sys/net/ipv4/ip_forward";

fn run(arguments: &Arguments) -> Try {
    let value = arguments.text("VALUE")?;
    let file = procfs::open(FILE, OFlag::O_WRONLY)
        .or_stopped(format!("open(\"/proc/{FILE}\", O_WRONLY)"))?;
    File::from(file)
        .write_all(value.as_bytes())
        .or_stopped(format!("write({value:?})"))?;
    Ok(Outcome::Worked(format!("ip_forward is {value}")))
}
