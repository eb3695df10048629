//! The host's side of the wall: the bridge, and the cable to each container.
//!
//! There is no file that says who has which address. A cable's name has its
//! container's number (`workshop-7` has 10.77.0.7), its alias has the published
//! ports, the bridge's alias says which rules are in force, and the runtime
//! holds an abstract unix socket of the cable's name. Nothing of that can go
//! stale: the kernel takes the socket away in the moment in which the runtime
//! dies, be it by SIGKILL. The cable stays until the container's namespace is
//! gone, which can take minutes: a connection that nobody closed keeps it. So a
//! cable without its socket is waste, and the next container clears it away.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::str::FromStr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, NewLink, SetLink};
use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo,
};
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};
use runtime::process::Child;
use runtime::{Because, Failure, Host};

use crate::firewall;
use crate::netlink::{self, Link, Netlink, Route};
use crate::port::Published;
use crate::subnet::{Network, Subnet, mac_of};

/// The bridge's name, and the beginning of a cable's.
pub const BRIDGE: &str = "workshop0";
const CABLE: &str = "workshop-";
/// The kernel keeps so many bytes of an alias.
const LONGEST_ALIAS: usize = 255;
/// How long the last one out keeps the bridge for the next one in.
const LINGER: Duration = Duration::from_millis(100);
/// The switch of all interfaces together.
pub const ALL: &str = "all";

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
        let routes = self.routes.iter().map(|route| route.to);
        let known: Vec<_> = routes
            .filter(|network| !network.is_nearly_everything())
            .chain(self.addresses.iter().map(|(_, network)| *network))
            .collect();
        Subnet::free(&known).context(
            "no private /24 network is free: this host has routes to all of \
             10.77.0.0/16, 172.29.0.0/16 and 192.168.0.0/16 (`ip route` shows them)",
        )
    }

    /// The devices on which the default route leaves the host.
    pub fn uplinks(&self) -> impl Iterator<Item = &str> {
        let leads_out = |link: &&Link| {
            let mut routes = self.routes.iter();
            routes.any(|it| it.to.length == 0 && it.device == link.index)
        };
        self.links.iter().filter(leads_out).map(|link| link.name.as_str())
    }

    /// The containers on the bridge: number, and cable.
    pub fn containers(&self) -> impl Iterator<Item = (u8, &Link)> {
        let plugged = Some(self.bridge.index);
        let links = self.links.iter().filter(move |l| l.bridge == plugged);
        let numbered = links.filter_map(|it| Some((number_of(it)?, it)));
        numbered.filter(|(_, cable)| hold(&cable.name).is_err())
    }

    /// Cables whose runtime is dead.
    fn waste(&self) -> impl Iterator<Item = &Link> {
        let cables = self.links.iter().filter(|it| number_of(it).is_some());
        cables.filter(|cable| hold(&cable.name).is_ok())
    }

    /// The lowest number that nobody has.
    fn free_name(&self) -> Result<(u8, UnixDatagram)> {
        let taken: Vec<_> = self.links.iter().filter_map(number_of).collect();
        let free = (Subnet::BRIDGE + 1..=254).filter(|it| !taken.contains(it));
        let mut held = free
            .filter_map(|it| Some((it, hold(&format!("{CABLE}{it}")).ok()?)));
        held.next()
            .with_context(|| format!("all 253 addresses on {BRIDGE} are taken"))
    }
}

/// Takes a name that one process at a time can have in this network namespace
/// (unix(7), abstract), or fails since somebody lives who has it.
fn hold(name: &str) -> io::Result<UnixDatagram> {
    UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

fn number_of(link: &Link) -> Option<u8> {
    let cable = link.kind == Some(InfoKind::Veth);
    cable.then(|| link.name.strip_prefix(CABLE)?.parse().ok())?
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

/// What every container finds there. IPv6 is left out, and so must be closed:
/// with a link-local address the bridge would be a second way to the host's
/// services. The devices make one for themselves when they are switched on.
pub fn prepare(container: &Host, kernel: &Netlink, view: &View) -> Result<()> {
    let own = view.subnet()?.network(Subnet::BRIDGE);
    no_ipv6(container, BRIDGE)?;
    container.call(
        format!("RTM_NEWADDR {{ {BRIDGE}, {own} }}"),
        "the containers' way out leads through the host",
        format!("ip address replace {own} dev {BRIDGE}"),
        || kernel.change(netlink::has_address(view.bridge.index, own)),
    )?;
    Ok(())
}

/// A container's place on the bridge. Dropped, it is cleared.
#[derive(Debug, Default)]
pub struct Place {
    name: String,
    /// Says that we live.
    life: Option<UnixDatagram>,
    /// The host's end of the cable.
    cable: Option<u32>,
}

impl Place {
    /// A cable with one end in the bridge. The other is born inside, under its
    /// final name: it was never the host's.
    pub fn plug_in(
        &mut self,
        container: &Host,
        kernel: &Netlink,
        view: &View,
    ) -> Result<()> {
        for Link { name, index, .. } in view.waste() {
            container.call(
                format!("RTM_DELLINK {{ {name} }}"),
                "its runtime was killed",
                format!("ip link del {name}"),
                || delete(kernel, *index),
            )?;
        }
        let (pid, (number, life)) = (container.pid, view.free_name()?);
        self.life = Some(life);
        let address = view.subnet()?.network(number).address;
        self.name = format!("{CABLE}{number}");
        let name = &self.name;
        let message = netlink::named(
            name,
            &[
                LinkAttribute::Controller(view.bridge.index),
                cable(pid.as_raw().unsigned_abs(), mac_of(address)),
            ],
        );
        container.call(
            format!(
                "RTM_NEWLINK {{ {name}, master: {BRIDGE}, kind: veth, \
                 peer: {{ eth0, pid: {pid}, for {address} }} }}"
            ),
            "a cable: one end in the bridge, one in the container",
            format!("ip link add {name} master {BRIDGE} type veth peer eth0 netns {pid}"),
            || kernel.change(NewLink(message)),
        )?;
        let links = kernel.links().context("RTM_GETLINK")?;
        let made = links.into_iter().find(|link| link.name == *name);
        self.cable = Some(made.context("the new cable is gone")?.index);
        Ok(no_ipv6(container, name)?)
    }

    /// Writes the published ports where they die with the container.
    pub fn note(
        &self,
        container: &Host,
        kernel: &Netlink,
        ports: &[Published],
    ) -> Result<()> {
        let alias: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let (name, alias) = (&self.name, alias.join(" "));
        if alias.len() > LONGEST_ALIAS {
            bail!(
                "too many published ports: the kernel keeps {LONGEST_ALIAS} bytes to note them"
            );
        }
        if let (Some(cable), false) = (self.cable, alias.is_empty()) {
            container.call(
                format!("RTM_SETLINK {{ {name}, alias: {alias:?} }}"),
                "a note of its ports, which dies with the container",
                format!("ip link set {name} alias {alias:?}"),
                || write_alias(kernel, cable, &alias),
            )?;
        }
        Ok(())
    }

    /// A new device is switched off.
    pub fn switch_on(
        &self,
        container: &Host,
        kernel: &Netlink,
        view: &View,
    ) -> Result<(), Failure> {
        let bridge = [(BRIDGE, view.bridge.index)];
        let own = self.cable.map(|cable| (self.name.as_str(), cable));
        for (name, index) in bridge.into_iter().chain(own) {
            container.call(
                format!("RTM_SETLINK {{ {name}, flags: IFF_UP }}"),
                "a new device is switched off",
                format!("ip link set {name} up"),
                || kernel.change(netlink::up(netlink::numbered(index, &[]))),
            )?;
        }
        Ok(())
    }
}

fn cable(pid: u32, mac: Vec<u8>) -> LinkAttribute {
    let inner = [LinkAttribute::NetNsPid(pid), LinkAttribute::Address(mac)];
    let inner = InfoVeth::Peer(netlink::named("eth0", &inner));
    LinkAttribute::LinkInfo(vec![
        LinkInfo::Kind(InfoKind::Veth),
        LinkInfo::Data(InfoData::Veth(inner)),
    ])
}

/// The kernel takes tens of milliseconds to take a device apart, and nobody
/// need wait for that: a process that is left behind does it.
impl Drop for Place {
    fn drop(&mut self) {
        self.life = None;
        let left_behind = Child::start(CloneFlags::empty(), || {
            let _ = leave_terminal();
            u8::from(clear(self.cable).is_err())
        });
        match left_behind {
            Ok(child) => drop(child.into_pid()),
            Err(_) => drop(clear(self.cable)),
        }
    }
}

/// Whoever reads our output waits for its end: it must not wait for us.
fn leave_terminal() -> nix::Result<()> {
    let null =
        open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC, Mode::empty())?;
    dup2_stdin(&null)?;
    dup2_stdout(&null)?;
    dup2_stderr(&null)?;
    setsid().map(drop)
}

/// Takes a container's cable away, and its rules. The last one out takes the
/// rest. It lingers before that: whoever starts containers one after the other
/// finds the bridge still there.
fn clear(cable: Option<u32>) -> Result<()> {
    let kernel = Netlink::open()?;
    if let Some(cable) = cable {
        delete(&kernel, cable)?;
    }
    let me = std::process::id();
    let held = lock()?;
    // Rules that can't be made anew go with the bridge.
    let _ = firewall::load_quietly(&kernel);
    let view = View::of(&kernel)?;
    for cable in view.waste() {
        delete(&kernel, cable.index)?;
    }
    if view.containers().next().is_some() {
        return Ok(());
    }
    let note = Note { idle: Some(me), ..Note::on(&view.bridge) };
    note.write(&kernel, &view.bridge)?;
    drop(held);

    sleep(LINGER);
    let _held = lock()?;
    let view = View::of(&kernel)?;
    let note = Note::on(&view.bridge);
    match note.idle == Some(me) {
        true => take_away(&kernel, &view, &note),
        false => Ok(()),
    }
}

/// The bridge comes before the rules, which guard it as long as it is there,
/// and after the switches, since its alias says which ones we turned.
fn take_away(kernel: &Netlink, view: &View, note: &Note) -> Result<()> {
    // Who switched forwarding on for all meanwhile relies on it.
    if !matches!(is_on(&switch("ipv4", ALL, "forwarding")), Ok(true)) {
        for device in &note.forwarding {
            let _ = fs::write(switch("ipv4", device, "forwarding"), "0");
        }
    }
    delete(kernel, view.bridge.index)?;
    firewall::remove()
}

/// What the bridge's alias says, for whoever comes next.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Note {
    /// The rules in force.
    pub rules: Option<u64>,
    /// The devices on which we, and nobody before us, allowed forwarding.
    pub forwarding: Vec<String>,
    /// Who found nobody left, and will take the bridge away if so it stays.
    pub idle: Option<u32>,
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
    /// With these rules in force.
    pub fn new(rules: u64, forwarding: Vec<String>) -> Note {
        Note { rules: Some(rules), forwarding, idle: None }
    }

    /// Reads it off the bridge.
    pub fn on(bridge: &Link) -> Note {
        bridge.alias.parse().unwrap_or_default()
    }

    /// Writes it on the bridge.
    pub fn write(&self, kernel: &Netlink, bridge: &Link) -> io::Result<()> {
        write_alias(kernel, bridge.index, &self.to_string())
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = self.rules.iter().map(|id| format!("rules={id:x}"));
        let forwarding = self.forwarding.iter();
        let forwarding = forwarding.map(|name| format!("forwarding={name}"));
        let idle = self.idle.iter().map(|pid| format!("idle={pid}"));
        let words: Vec<_> = rules.chain(forwarding).chain(idle).collect();
        f.write_str(&words.join(" "))
    }
}

/// Takes a device away, unless its namespace was faster.
fn delete(kernel: &Netlink, index: u32) -> io::Result<()> {
    match kernel.change(DelLink(netlink::numbered(index, &[]))) {
        Err(error) if netlink::is(&error, Errno::ENODEV) => Ok(()),
        deleted => deleted,
    }
}

fn write_alias(kernel: &Netlink, index: u32, alias: &str) -> io::Result<()> {
    let alias = LinkAttribute::IfAlias(alias.to_owned());
    kernel.change(SetLink(netlink::numbered(index, &[alias])))
}

/// What the kernel refuses unless it is told otherwise.
pub fn allow_forwarding(container: &Host, note: &Note) -> Result<(), Failure> {
    set(
        container,
        &switch("ipv4", BRIDGE, "route_localnet"),
        "published ports answer at the host's 127.0.0.1, too",
    )?;
    for device in
        [BRIDGE].into_iter().chain(note.forwarding.iter().map(String::as_str))
    {
        set(
            container,
            &switch("ipv4", device, "forwarding"),
            "pass on what is for others, on this device alone",
        )?;
    }
    Ok(())
}

fn no_ipv6(container: &Host, device: &str) -> Result<(), Failure> {
    let switch = switch("ipv6", device, "disable_ipv6");
    match Path::new(&switch).exists() {
        true => {
            set(container, &switch, "no second way in, by a link-local address")
        }
        false => Ok(()),
    }
}

fn set(container: &Host, switch: &str, why: &str) -> Result<(), Failure> {
    let key = switch.trim_start_matches("/proc/sys/");
    container
        .call(
            format!("write({switch:?}, \"1\")"),
            why,
            format!("sysctl {key}=1"),
            || fs::write(switch, "1"),
        )
        .because(
            Errno::EROFS,
            "/proc/sys is read-only here, as in docker: use docker run --privileged, or the lab",
        )
}

/// A switch of a network device (Documentation/networking/ip-sysctl.rst).
pub fn switch(family: &str, device: &str, name: &str) -> String {
    format!("/proc/sys/net/{family}/conf/{device}/{name}")
}

/// Whether it is on.
pub fn is_on(switch: &str) -> Result<bool, Failure> {
    match fs::read_to_string(switch) {
        Ok(value) => Ok(value.trim() != "0"),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Failure::of(format!("read({switch:?})"), error)),
    }
}
