//! The host's side of the wall: the bridge, and the cable to each container.
//!
//! There is no file that says who has which address. A cable's name has its
//! container's number (`workshop-7` has 10.77.0.7), its alias has the published
//! ports, and the bridge's alias says which rules are in force. All of that
//! dies with what it describes: a container that is killed takes its namespace
//! along, the namespace its end of the cable, and that the other end. So what
//! the kernel shows is the state, and it can't go stale.

use std::fs::{self, File};
use std::io;
use std::str::FromStr;

use anyhow::{Context, Result, bail};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, NewLink, SetLink};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo,
};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use runtime::{Because, Failure, Host};

use crate::firewall::{self, Rules};
use crate::netlink::{self, Link, Netlink};
use crate::port::Published;
use crate::subnet::{Subnet, mac_of};

/// The bridge's name, and the beginning of a cable's.
pub const BRIDGE: &str = "workshop0";
const CABLE: &str = "workshop-";
/// The kernel keeps so many bytes of an alias.
const LONGEST_ALIAS: usize = 255;
/// The switch of all interfaces together.
const ALL: &str = "all";

/// One at a time: held while the network is looked at and changed. No file is
/// needed for it, and none is left: what is locked is the network namespace
/// itself. With its holder it is gone.
pub fn lock() -> io::Result<Flock<File>> {
    let namespace = File::open("/proc/self/ns/net")?;
    Ok(Flock::lock(namespace, FlockArg::LockExclusive).map_err(|(_, e)| e)?)
}

/// The host's network as it is now.
#[derive(Debug)]
pub struct View {
    /// The bridge.
    pub bridge: Link,
    /// The containers' network.
    pub subnet: Subnet,
    links: Vec<Link>,
    /// The devices on which the default route leaves the host.
    pub uplinks: Vec<String>,
}

impl View {
    /// Looks at it. The bridge must be there; it may have no address yet.
    pub fn of(kernel: &Netlink) -> Result<View> {
        let links = kernel.links().context("RTM_GETLINK")?;
        let addresses = kernel.addresses().context("RTM_GETADDR")?;
        let routes = kernel.routes().context("RTM_GETROUTE")?;
        let bridge = links.iter().find(|link| link.name == BRIDGE);
        let Some(bridge) = bridge.cloned() else {
            bail!("{BRIDGE} was taken away under our hands");
        };
        let known = routes.iter().map(|route| route.to);
        let known: Vec<_> = known
            .filter(|network| !network.is_nearly_everything())
            .chain(addresses.iter().map(|(_, network)| *network))
            .collect();
        let own = addresses.iter().find(|(device, _)| *device == bridge.index);
        let subnet = own
            .map(|(_, own)| Subnet::of(own.address))
            .or_else(|| Subnet::free(&known))
            .context(
                "no private /24 network is free: this host has routes to all of \
                 10.77.0.0/16, 172.29.0.0/16 and 192.168.0.0/16 (`ip route` shows them)",
            )?;
        let is_uplink = |link: &&Link| {
            let default = routes.iter().filter(|route| route.to.length == 0);
            default.map(|route| route.device).any(|it| it == link.index)
        };
        let uplinks = links.iter().filter(is_uplink);
        let uplinks = uplinks.map(|link| link.name.clone()).collect();
        Ok(View { bridge, subnet, links, uplinks })
    }

    /// The containers on the bridge: number, and cable.
    pub fn containers(&self) -> impl Iterator<Item = (u8, &Link)> {
        let plugged = Some(self.bridge.index);
        let links = self.links.iter().filter(move |l| l.bridge == plugged);
        links.filter_map(|link| Some((number_of(link)?, link)))
    }

    /// The lowest number that no cable has, plugged in or not: a namespace
    /// that somebody still looks at keeps its cable after its container.
    fn free_number(&self) -> Result<u8> {
        let taken: Vec<_> = self.links.iter().filter_map(number_of).collect();
        let mut numbers = Subnet::BRIDGE + 1..=254;
        numbers.find(|number| !taken.contains(number)).with_context(|| {
            format!("no address is free in {}: 253 containers", self.subnet)
        })
    }
}

fn number_of(link: &Link) -> Option<u8> {
    link.name.strip_prefix(CABLE)?.parse().ok()
}

/// The bridge: a switch that is a network device of the host, too. If it is
/// there, it stays as it is.
pub fn make(container: &Host, kernel: &Netlink) -> Result<(), Failure> {
    let bridge = [netlink::kind(InfoKind::Bridge)];
    container
        .call(
            format!("RTM_NEWLINK {{ {BRIDGE}, kind: bridge }}"),
            "a switch that all containers share",
            format!("ip link add {BRIDGE} type bridge"),
            || kernel.change(NewLink(netlink::named(BRIDGE, &bridge))),
        )
        .because(
            Errno::EPERM,
            "to change this host's network is root's; without sudo, leave --network \
             out, or run it in the playground: ./scripts/playground.sh",
        )
        .because(
            Errno::EOPNOTSUPP,
            "this kernel has no bridge (CONFIG_BRIDGE); `modprobe bridge` loads it",
        )
}

/// A container's place on the bridge, and what it holds on the host.
#[derive(Debug)]
pub struct Place {
    /// Its number in the subnet.
    pub number: u8,
    /// The host's end of its cable.
    pub cable: u32,
}

/// A cable with one end in the bridge. The other is born inside, under its
/// final name: it was never the host's.
pub fn plug_in(
    container: &Host,
    kernel: &Netlink,
    view: &View,
) -> Result<Place> {
    let (number, pid) = (view.free_number()?, container.pid);
    let address = view.subnet.network(number).address;
    let (cable, mac) = (format!("{CABLE}{number}"), mac_of(address));
    let inner = netlink::named(
        "eth0",
        &[
            LinkAttribute::NetNsPid(pid.as_raw().unsigned_abs()),
            LinkAttribute::Address(mac),
        ],
    );
    let info = LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(inner))),
    ]);
    let plugged = LinkAttribute::Controller(view.bridge.index);
    container.call(
        format!(
            "RTM_NEWLINK {{ {cable}, master: {BRIDGE}, kind: veth, \
             peer: {{ eth0, pid: {pid}, for {address} }} }}"
        ),
        "a cable: one end in the bridge, one in the container",
        format!(
            "ip link add {cable} master {BRIDGE} type veth peer eth0 netns {pid}"
        ),
        || kernel.change(NewLink(netlink::named(&cable, &[info, plugged]))),
    )?;
    let links = kernel.links().context("RTM_GETLINK")?;
    let found = links.into_iter().find(|link| link.name == cable);
    let cable = found.context("the new cable is gone already")?.index;
    Ok(Place { number, cable })
}

/// Writes the published ports where they die with the container.
pub fn note_ports(
    container: &Host,
    kernel: &Netlink,
    place: &Place,
    ports: &[Published],
) -> Result<()> {
    let ports: Vec<_> = ports.iter().map(ToString::to_string).collect();
    let (cable, alias) = (format!("{CABLE}{}", place.number), ports.join(" "));
    if alias.len() > LONGEST_ALIAS {
        bail!("too many published ports: the kernel keeps {LONGEST_ALIAS} bytes of a note on them");
    }
    container.call(
        format!("RTM_SETLINK {{ {cable}, alias: {alias:?} }}"),
        "who has which port is noted where it dies with the container",
        format!("ip link set {cable} alias {alias:?}"),
        || note(kernel, place.cable, &alias),
    )?;
    Ok(())
}

fn note(kernel: &Netlink, index: u32, alias: &str) -> io::Result<()> {
    let alias = LinkAttribute::IfAlias(alias.to_owned());
    kernel.change(SetLink(netlink::numbered(index, &[alias])))
}

/// Gives the bridge its address, and switches the cable on.
pub fn switch_on(
    container: &Host,
    kernel: &Netlink,
    view: &View,
    place: &Place,
) -> Result<()> {
    let own = view.subnet.network(Subnet::BRIDGE);
    let cable = format!("{CABLE}{}", place.number);
    container.call(
        format!("RTM_NEWADDR {{ {BRIDGE}, {own} }}"),
        "the containers' way out leads through the host",
        format!("ip address replace {own} dev {BRIDGE}"),
        || kernel.change(netlink::has_address(view.bridge.index, own)),
    )?;
    for (name, index) in [(BRIDGE, view.bridge.index), (&cable, place.cable)] {
        container.call(
            format!("RTM_SETLINK {{ {name}, flags: IFF_UP }}"),
            "a new device is switched off",
            format!("ip link set {name} up"),
            || kernel.change(netlink::up(netlink::numbered(index, &[]))),
        )?;
    }
    Ok(())
}

/// What the bridge's alias says, for whoever comes next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Note {
    /// The rules in force.
    pub rules: Option<u64>,
    /// The devices on which we, and nobody before us, allowed forwarding.
    pub forwarding: Vec<String>,
    /// Who found nobody left, and will take the bridge away if so it stays.
    idle: Option<u32>,
}

impl FromStr for Note {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Note, Self::Err> {
        let mut note = Note::default();
        for word in text.split(' ') {
            match word.split_once('=') {
                Some(("rules", id)) => {
                    note.rules = u64::from_str_radix(id, 16).ok();
                }
                Some(("forwarding", name)) => {
                    note.forwarding.push(name.to_owned());
                }
                Some(("idle", pid)) => note.idle = pid.parse().ok(),
                _ => {}
            }
        }
        Ok(note)
    }
}

impl Note {
    /// Reads it off the bridge.
    pub fn on(bridge: &Link) -> Note {
        bridge.alias.parse().unwrap_or_default()
    }

    /// Writes it on the bridge.
    pub fn write(&self, kernel: &Netlink, bridge: &Link) -> io::Result<()> {
        let rules = self.rules.iter().map(|id| format!("rules={id:x}"));
        let forwarding = self.forwarding.iter();
        let forwarding = forwarding.map(|name| format!("forwarding={name}"));
        let idle = self.idle.iter().map(|pid| format!("idle={pid}"));
        let words: Vec<_> = rules.chain(forwarding).chain(idle).collect();
        note(kernel, bridge.index, &words.join(" "))
    }
}

/// A switch of a network device (Documentation/networking/ip-sysctl.rst).
pub fn switch(family: &str, device: &str, name: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{device}/{name}")
}

/// Whether it is on.
pub fn is_on(switch: &str) -> bool {
    fs::read_to_string(switch).is_ok_and(|value| value.trim() != "0")
}

/// Takes a container's cable away. The last one out takes the rest: `linger`
/// passes first, because a bridge costs more to make than to keep, and whoever
/// starts containers one after the other shall not pay each time.
pub fn leave(cable: Option<u32>, linger: impl FnOnce()) -> Result<()> {
    let kernel = Netlink::open()?;
    if let Some(cable) = cable {
        // ENODEV: the container's namespace was faster.
        let _ = kernel.change(DelLink(netlink::numbered(cable, &[])));
    }
    let me = std::process::id();
    {
        let _lock = lock()?;
        let view = View::of(&kernel)?;
        firewall::load_quietly(&kernel, &view)?;
        if view.containers().next().is_some() {
            return Ok(());
        }
        let view = View::of(&kernel)?;
        let idle = Note { idle: Some(me), ..Note::on(&view.bridge) };
        idle.write(&kernel, &view.bridge)?;
    }
    linger();
    let _lock = lock()?;
    let view = View::of(&kernel)?;
    let note = Note::on(&view.bridge);
    match note.idle == Some(me) {
        true => take_away(&kernel, &view, &note),
        false => Ok(()),
    }
}

/// Bridge first: the rules guard it as long as it is there.
fn take_away(kernel: &Netlink, view: &View, note: &Note) -> Result<()> {
    kernel.change(DelLink(netlink::numbered(view.bridge.index, &[])))?;
    // Who switched forwarding on for all meanwhile relies on it.
    if !is_on(&switch("ipv4", ALL, "forwarding")) {
        for device in &note.forwarding {
            let _ = fs::write(switch("ipv4", device, "forwarding"), "0");
        }
    }
    firewall::nft(&Rules::nothing())?;
    Ok(())
}
