//! rtnetlink: how one asks the kernel about its network, and changes it
//! ([rtnetlink(7)](https://man7.org/linux/man-pages/man7/rtnetlink.7.html)).
//! It is what ip(8) speaks. A socket speaks of the network namespace in which
//! it was opened.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::{Context, Result};
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_REPLACE,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NetlinkBuffer, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage::{self as Message, *};
use netlink_packet_route::address::{
    AddressAttribute, AddressMessage, AddressScope,
};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol,
    RouteScope, RouteType,
};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily as Family, MsgFlags, SockFlag, SockProtocol, SockType, recv,
    send, socket,
};

use crate::subnet::Network;

/// How often a list is asked for that changes while it is told.
const PATIENCE: usize = 100;
/// It keeps so many bytes of an alias.
pub const LONGEST_ALIAS: usize = 255;

/// A line to the kernel's network.
#[derive(Debug)]
pub struct Netlink(OwnedFd);

/// What matters here of a network device.
#[derive(Debug, Clone, Default)]
pub struct Link {
    /// Its number, which no later device gets.
    pub index: u32,
    /// Its name, as `eth0`.
    pub name: String,
    /// A text that its maker left with it.
    pub alias: String,
    /// The bridge that it is plugged into.
    pub bridge: Option<u32>,
    /// What kind of virtual device it is, if it is one.
    pub kind: Option<InfoKind>,
    /// Its hardware address.
    pub mac: Vec<u8>,
}

/// What matters here of a route.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Where it leads: 0.0.0.0/0 is the default route.
    pub to: Network,
    /// The device through which it leads, or 0.
    pub device: u32,
    /// Whether a packet that goes there would be lost for a network of ours.
    pub takes: bool,
}

impl Netlink {
    /// Opens it.
    pub fn open() -> nix::Result<Netlink> {
        let close_on_exec = SockFlag::SOCK_CLOEXEC;
        let route = SockProtocol::NetlinkRoute;
        socket(Family::Netlink, SockType::Raw, close_on_exec, route)
            .map(Netlink)
    }

    /// The same, with the loopback switched on: in a new namespace it is not.
    pub fn with_loopback() -> Result<Netlink> {
        let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
        let switched = kernel.change(up(named("lo", &[])));
        switched.context("RTM_SETLINK { lo, flags: IFF_UP }")?;
        Ok(kernel)
    }

    /// Asks for a change, and waits until it is made. What is there already
    /// is brought to what is asked for.
    pub fn change(&self, message: Message) -> io::Result<()> {
        // REPLACE is for addresses and routes; a device refuses it.
        let flags = match &message {
            NewLink(_) => NLM_F_ACK | NLM_F_CREATE,
            NewAddress(_) | NewRoute(_) => {
                NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE
            }
            _ => NLM_F_ACK,
        };
        self.ask(message, flags).map(drop)
    }

    /// Gives an address to a device that is there, and switches it on.
    pub fn give_address(&self, device: &str, own: Network) -> Result<()> {
        let call = || format!("RTM_NEWADDR {{ {device}, {own} }}");
        let there = self.link(device).with_context(call)?;
        let index = there.with_context(call)?.index;
        self.change(has_address(index, own)).with_context(call)?;
        let switched = self.change(up(numbered(index, &[])));
        switched.context(format!("RTM_SETLINK {{ {device}, flags: IFF_UP }}"))
    }

    /// Leaves a text with a device.
    pub fn write_alias(&self, index: u32, alias: &str) -> io::Result<()> {
        let alias = LinkAttribute::IfAlias(alias.to_owned());
        self.change(SetLink(numbered(index, &[alias])))
    }

    /// All network devices.
    pub fn links(&self) -> io::Result<Vec<Link>> {
        let told = self.list(GetLink(LinkMessage::default()))?;
        Ok(told.into_iter().filter_map(link).collect())
    }

    /// The network device of this name, if there is one.
    pub fn link(&self, name: &str) -> io::Result<Option<Link>> {
        match self.ask(GetLink(named(name, &[])), NLM_F_ACK) {
            Err(error) if is(&error, Errno::ENODEV) => Ok(None),
            told => Ok(told?.into_iter().find_map(link)),
        }
    }

    /// All IPv4 addresses, with the number of the device that has them.
    pub fn addresses(&self) -> io::Result<Vec<(u32, Network)>> {
        let mut message = AddressMessage::default();
        message.header.family = AddressFamily::Inet;
        let told = self.list(GetAddress(message))?;
        Ok(told.into_iter().filter_map(address).collect())
    }

    /// All IPv4 routes, of all tables.
    pub fn routes(&self) -> io::Result<Vec<Route>> {
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        let told = self.list(GetRoute(message))?;
        Ok(told.into_iter().filter_map(route).collect())
    }

    /// The device through which a packet of ours would go there, by all rules
    /// and tables. They may lead nowhere, or forbid it (ip-route(8)).
    pub fn way_to(&self, address: Ipv4Addr) -> io::Result<Option<u32>> {
        const NO_WAY: [Errno; 4] = [
            Errno::ENETUNREACH,
            Errno::EHOSTUNREACH,
            Errno::EACCES,
            Errno::EINVAL,
        ];
        let mut message = RouteMessage::default();
        message.header.address_family = AddressFamily::Inet;
        message.header.destination_prefix_length = 32;
        let to = RouteAttribute::Destination(RouteAddress::Inet(address));
        message.attributes.push(to);
        match self.ask(GetRoute(message), NLM_F_ACK) {
            Err(error) if NO_WAY.iter().any(|errno| is(&error, *errno)) => {
                Ok(None)
            }
            told => Ok(told?.into_iter().find_map(route).map(|it| it.device)),
        }
    }

    /// A list that changed while it was told may lack something, and is asked
    /// for again: who misses a container takes its address, or its bridge.
    fn list(&self, message: Message) -> io::Result<Vec<Message>> {
        for _ in 0..PATIENCE {
            match self.ask(message.clone(), NLM_F_DUMP) {
                Err(error) if is(&error, Errno::EINTR) => {}
                told => return told,
            }
        }
        Err(Errno::EINTR.into())
    }

    fn ask(&self, message: Message, flags: u16) -> io::Result<Vec<Message>> {
        let mut request = NetlinkMessage::from(message);
        request.header.flags = NLM_F_REQUEST | flags;
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        send(self.0.as_raw_fd(), &bytes, MsgFlags::empty())?;

        let (mut told, mut interrupted) = (Vec::new(), false);
        loop {
            // First only how long the answer is.
            let look = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
            let mut answer = vec![0; recv(self.0.as_raw_fd(), &mut [], look)?];
            recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
            let mut rest = &answer[..];
            while !rest.is_empty() {
                let head = NetlinkBuffer::new_checked(rest)
                    .map_err(|_| Errno::EBADMSG)?;
                interrupted |= head.flags() & NLM_F_DUMP_INTR != 0;
                let last =
                    matches!(head.message_type(), NLMSG_DONE | NLMSG_ERROR);
                let end = head.length() as usize;
                match NetlinkMessage::deserialize(&rest[..end])
                    .map(|message| message.payload)
                {
                    Ok(NetlinkPayload::InnerMessage(message)) => {
                        told.push(message);
                    }
                    Ok(NetlinkPayload::Error(error))
                        if error.raw_code() != 0 =>
                    {
                        return Err(error.to_io());
                    }
                    Ok(NetlinkPayload::Done(done)) if done.code != 0 => {
                        return Err(Errno::from_raw(-done.code).into());
                    }
                    // A device of a kind that the library does not know is
                    // none of ours.
                    _ => {}
                }
                if last && interrupted {
                    return Err(Errno::EINTR.into());
                }
                if last {
                    return Ok(told);
                }
                rest = rest.get(end.next_multiple_of(4)..).unwrap_or_default();
            }
        }
    }
}

/// Whether the kernel's answer was this errno.
pub fn is(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno as i32)
}

/// A device by its name, with what shall be so of it.
pub fn named(name: &str, attributes: &[LinkAttribute]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes.push(LinkAttribute::IfName(name.to_owned()));
    message.attributes.extend_from_slice(attributes);
    message
}

/// A virtual device of a kind.
pub fn kind(kind: InfoKind) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(kind)])
}

/// A cable: its other end is `device` in the network of the process `pid`, with
/// what shall be so of that end.
pub fn cable(
    pid: u32,
    device: &str,
    far_end: &[LinkAttribute],
) -> LinkAttribute {
    let mut inner = named(device, far_end);
    inner.attributes.push(LinkAttribute::NetNsPid(pid));
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
    ])
}

/// A device that is to be there.
pub fn there(message: LinkMessage) -> Message {
    NewLink(message)
}

/// A device by its number.
pub fn numbered(index: u32, attributes: &[LinkAttribute]) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes.extend_from_slice(attributes);
    message
}

/// The same, switched on.
pub fn up(mut message: LinkMessage) -> Message {
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    SetLink(message)
}

/// An address for a device.
pub fn has_address(index: u32, address: Network) -> Message {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = address.length;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    let own = IpAddr::V4(address.address);
    message.attributes =
        vec![AddressAttribute::Local(own), AddressAttribute::Address(own)];
    NewAddress(message)
}

/// The way to all that has no route of its own.
pub fn default_route(gateway: Ipv4Addr) -> Message {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Boot;
    message.header.scope = RouteScope::Universe;
    message.header.kind = RouteType::Unicast;
    message.attributes =
        vec![RouteAttribute::Gateway(RouteAddress::Inet(gateway))];
    NewRoute(message)
}

fn link(message: Message) -> Option<Link> {
    let NewLink(message) = message else { return None };
    let mut link = Link { index: message.header.index, ..Link::default() };
    for attribute in message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => link.name = name,
            LinkAttribute::IfAlias(alias) => link.alias = alias,
            LinkAttribute::Controller(bridge) => link.bridge = Some(bridge),
            LinkAttribute::Address(mac) => link.mac = mac,
            LinkAttribute::LinkInfo(info) => {
                link.kind = info.into_iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    Some(link)
}

fn address(message: Message) -> Option<(u32, Network)> {
    let NewAddress(message) = message else { return None };
    let address = message.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(address)) => Some(*address),
        _ => None,
    })?;
    let length = message.header.prefix_len;
    Some((message.header.index, Network { address, length }))
}

fn route(message: Message) -> Option<Route> {
    let NewRoute(message) = message else { return None };
    let header = message.header;
    let takes = match header.kind {
        RouteType::Unicast | RouteType::Local => true,
        // In our own table, the more exact route goes before it.
        RouteType::BlackHole | RouteType::Unreachable | RouteType::Prohibit => {
            header.table != RouteHeader::RT_TABLE_MAIN
        }
        _ => false,
    };
    let mut route = Route {
        to: Network {
            address: Ipv4Addr::UNSPECIFIED,
            length: header.destination_prefix_length,
        },
        device: 0,
        takes,
    };
    for attribute in message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(address)) => {
                route.to.address = address;
            }
            RouteAttribute::Oif(device) => route.device = device,
            _ => {}
        }
    }
    Some(route)
}
