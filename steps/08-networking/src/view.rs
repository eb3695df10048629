//! The host's network as it is now: the bridge, and who is plugged into it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use anyhow::{Context, Result};
use netlink_packet_route::link::InfoKind;
use runtime::Host;

use crate::netlink::{Link, Netlink, Route};
use crate::subnet::{Network, Subnet};

/// The bridge's name, and the beginning of a cable's.
pub const BRIDGE: &str = "workshop0";
pub const CABLE: &str = "workshop-";

/// The host's network as it is now.
#[derive(Debug)]
pub struct View {
    /// The bridge.
    pub bridge: Link,
    links: Vec<Link>,
    addresses: Vec<(u32, Network)>,
    routes: Vec<Route>,
}

impl View {
    /// Looks at it. The bridge must be there; it may have no address yet.
    pub fn of(kernel: &Netlink) -> Result<View> {
        let links = kernel.links().context("RTM_GETLINK")?;
        let bridge = links.iter().find(|link| link.name == BRIDGE);
        Ok(View {
            bridge: bridge.context("the bridge is gone")?.clone(),
            links,
            addresses: kernel.addresses().context("RTM_GETADDR")?,
            routes: kernel.routes().context("RTM_GETROUTE")?,
        })
    }

    /// The containers' network: the one that the bridge has, or one of which
    /// the host knows nothing yet.
    pub fn subnet(&self) -> Result<Subnet> {
        let mut own = self.addresses.iter();
        if let Some((_, own)) = own.find(|(at, _)| *at == self.bridge.index) {
            return Ok(Subnet::of(own.address));
        }
        let routes = self.routes.iter().filter(|route| route.takes);
        let known: Vec<_> = routes
            .map(|route| route.to)
            .filter(|network| !network.is_nearly_everything())
            .chain(self.addresses.iter().map(|(_, network)| *network))
            .collect();
        Subnet::free(&known).context(
            "no private /24 network is free: this host has routes to all of \
             10.77.0.0/16, 172.29.0.0/16 and 192.168.0.0/16 (`ip route` shows them)",
        )
    }

    /// The devices through which a route leads, whichever table it is in: what
    /// is behind them may answer a container, or ask it.
    pub fn ways_out(&self) -> impl Iterator<Item = &Link> {
        self.links.iter().filter(|link| {
            let mut routes = self.routes.iter();
            routes.any(|route| route.device == link.index)
                && !["lo", BRIDGE].contains(&link.name.as_str())
        })
    }

    /// The name of a device, as long as it is there.
    pub fn name(&self, device: u32) -> Option<&str> {
        let mut links = self.links.iter();
        Some(&links.find(|link| link.index == device)?.name)
    }

    /// A rule of the host may send elsewhere what is for the containers,
    /// whatever network they have (ip-rule(8)). The kernel knows where.
    pub fn warn_of_a_detour(
        &self,
        container: &Host,
        kernel: &Netlink,
    ) -> Result<()> {
        let subnet = self.subnet()?;
        let first = subnet.network(Subnet::BRIDGE + 1).address;
        let way = kernel.way_to(first).context("RTM_GETROUTE")?;
        if way != Some(self.bridge.index) {
            let way = way.and_then(|way| self.name(way));
            container.note(format!(
                "a rule of this host (`ip rule`) sends what is for containers to {}: nothing \
                 reaches them, not even an answer; ip rule add to {subnet} lookup main pref 1",
                way.unwrap_or("nowhere")
            ));
        }
        Ok(())
    }

    /// The containers on the bridge: number, and cable.
    pub fn containers(&self) -> impl Iterator<Item = (u8, &Link)> {
        let plugged = Some(self.bridge.index);
        let links = self.links.iter().filter(move |l| l.bridge == plugged);
        let numbered = links.filter_map(|it| Some((number_of(it)?, it)));
        numbered.filter(|(_, cable)| hold(cable).is_err())
    }

    /// Cables whose runtime is dead.
    pub fn waste(&self) -> impl Iterator<Item = &Link> {
        let cables = self.links.iter().filter(|it| number_of(it).is_some());
        cables.filter(|cable| hold(cable).is_ok())
    }

    /// The lowest number that nobody has.
    pub fn free_number(&self) -> Result<u8> {
        let taken: Vec<_> = self.links.iter().filter_map(number_of).collect();
        let mut all = Subnet::BRIDGE + 1..=254;
        all.find(|it| !taken.contains(it))
            .with_context(|| format!("all 253 addresses on {BRIDGE} are taken"))
    }
}

/// Takes a name that one process at a time can have in this network namespace
/// (unix(7), abstract), or fails since somebody lives who has it.
pub fn hold(cable: &Link) -> io::Result<UnixDatagram> {
    let name = format!("{} {:x?}", cable.name, cable.mac);
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

fn number_of(link: &Link) -> Option<u8> {
    let cable = link.kind == Some(InfoKind::Veth);
    cable.then(|| link.name.strip_prefix(CABLE)?.parse().ok())?
}
