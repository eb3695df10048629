//! Connects to an abstract unix socket of the host: it has a name but no file,
//! so no root directory hides it.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::Duration;

use anyhow::Context;

use crate::attack::{Argument, Arguments, Attack, OrStopped, StoppedBy, Try};
use crate::service;

pub const ATTACK: Attack = Attack {
    name: "abstract-socket",
    tries: "connect to an abstract unix socket of the host",
    stopped: StoppedBy::Step(8),
    rule: "abstract names belong to the network namespace",
    source: "unix(7), network_namespaces(7), CVE-2020-15257",
    arguments: &[Argument::new("NAME", "host", "its name, without the @")],
    run,
};

fn run(arguments: &Arguments) -> Try {
    let name = arguments.text("NAME")?;
    let address =
        SocketAddr::from_abstract_name(name).context("no name for a socket")?;
    let stream = UnixStream::connect_addr(&address)
        .or_stopped(format!("connect(\"@{name}\")"))?;
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .context("setsockopt(SO_RCVTIMEO)")?;
    service::greet(&stream, &stream, &format!("@{name}"))
}
