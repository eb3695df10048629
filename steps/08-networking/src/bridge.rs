//! The host's side of the wall: the bridge, and the cable to each container.
//!
//! There is no file that says who has which address. A cable's name has its
//! container's number (`workshop-7` has 10.77.0.7), its alias has the published
//! ports, the bridge's alias says what we switched on, and the runtime
//! holds an abstract unix socket of the cable's name and hardware address: the
//! address is made up, or anybody could hold all names. Nothing of that can go
//! stale: the kernel takes the socket away in the moment in which the runtime
//! dies, be it by SIGKILL. The cable stays until the container's namespace is
//! gone, which can take minutes: a connection that nobody closed keeps it. So a
//! cable without its socket is waste, and the next container clears it away.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::net::UnixDatagram;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use netlink_packet_route::RouteNetlinkMessage::{DelLink, NewLink};
use netlink_packet_route::link::{
    InfoBridgePort, InfoKind, InfoPortData, InfoPortKind, LinkAttribute,
    LinkInfo,
};
use nix::errno::Errno;
use nix::sched::CloneFlags;
use runtime::process::Child;
use runtime::{Because, Failure, Host};

use crate::firewall;
use crate::forwarding::{Note, no_ipv6};
use crate::lock::{self, ROOTS};
use crate::netlink::{self, LONGEST_ALIAS, Link, Netlink};
use crate::port::Published;
use crate::subnet::{Subnet, mac_of};
use crate::view::{BRIDGE, CABLE, View, hold};

/// How long the last one out keeps the bridge for the next one in.
const LINGER: Duration = Duration::from_millis(100);

/// The bridge: a switch that is a network device of the host, too. If it is
/// there, it stays as it is.
pub fn make(container: &Host, kernel: &Netlink) -> Result<(), Failure> {
    let bridge = [netlink::kind(InfoKind::Bridge)];
    container
        .call(
            format!("RTM_NEWLINK {{ {BRIDGE}, kind: bridge }}"),
            "a switch for all containers",
            format!("ip link add {BRIDGE} type bridge"),
            || kernel.change(NewLink(netlink::named(BRIDGE, &bridge))),
        )
        .because(Errno::EPERM, ROOTS)
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
    /// Whether rules lead to it that nobody else has.
    is_published: bool,
}

impl Place {
    /// A cable with one end in the bridge. The other is born inside, under its
    /// final name: it was never the host's.
    pub fn plug_in(
        &mut self,
        container: &Host,
        kernel: &Netlink,
        view: &View,
        device: &str,
    ) -> Result<()> {
        // Of a runtime that was killed, or that ended a moment ago: who comes
        // later has nothing to do here, and so nobody is told.
        for Link { name, index, .. } in view.waste() {
            delete(kernel, *index)
                .with_context(|| format!("RTM_DELLINK {{ {name} }}"))?;
        }
        let (pid, number) = (container.pid, view.free_number()?);
        let address = view.subnet()?.network(number).address;
        self.name = format!("{CABLE}{number}");
        let name = &self.name;
        let mac = made_up_mac().context("open(/dev/urandom)")?;
        let own = Link { name: name.clone(), mac, ..Link::default() };
        self.life = Some(
            hold(&own)
                .context("socket(AF_UNIX), bind() of an abstract name")?,
        );
        let message = netlink::named(
            name,
            &[
                LinkAttribute::Controller(view.bridge.index),
                LinkAttribute::Address(own.mac),
                netlink::cable(
                    pid.as_raw().unsigned_abs(),
                    device,
                    &[LinkAttribute::Address(mac_of(address))],
                ),
            ],
        );
        container.call(
            format!(
                "RTM_NEWLINK {{ {name}, master: {BRIDGE}, kind: veth, \
                 peer: {{ {device}, pid: {pid}, for {address} }} }}"
            ),
            "a cable into the container",
            format!("ip link add {name} master {BRIDGE} type veth peer {device} netns {pid}"),
            || kernel.change(NewLink(message)),
        )?;
        let links = kernel.links().context("RTM_GETLINK")?;
        let made = links.into_iter().find(|link| link.name == *name);
        self.cable = Some(made.context("the new cable is gone")?.index);
        Ok(container.routine(|| no_ipv6(container, name))?)
    }

    /// Writes the published ports where they die with the container.
    pub fn note(
        &mut self,
        container: &Host,
        kernel: &Netlink,
        ports: &[Published],
    ) -> Result<()> {
        let alias: Vec<_> = ports.iter().map(ToString::to_string).collect();
        let (name, alias) = (&self.name, alias.join(" "));
        if alias.len() > LONGEST_ALIAS {
            bail!(
                "too many published ports: the kernel keeps only {LONGEST_ALIAS} bytes to note them in"
            );
        }
        self.is_published = !ports.is_empty();
        if let (Some(cable), false) = (self.cable, alias.is_empty()) {
            container.routine(|| {
                container.call(
                    format!("RTM_SETLINK {{ {name}, alias: {alias:?} }}"),
                    "a note of its ports that dies with the container",
                    format!("ip link set {name} alias {alias:?}"),
                    || kernel.write_alias(cable, &alias),
                )
            })?;
        }
        Ok(())
    }

    /// A new device is switched off. And a switch sends nothing back to where it
    /// came from, unless it is told to: a container asks for its own published
    /// port at the host's address, and where docker has loaded br_netfilter, it
    /// is the bridge that translates. From here on the kernel knows its way to
    /// the containers: it is told where that is not the bridge.
    pub fn switch_on(
        &self,
        container: &Host,
        kernel: &Netlink,
        view: &View,
    ) -> Result<()> {
        if let Some(cable) = self.cable {
            let name = &self.name;
            container.call(
                format!("RTM_NEWLINK {{ {name}, hairpin: on }}"),
                "to its own published port it goes out, and in again by the same cable",
                format!("ip link set {name} type bridge_slave hairpin on"),
                || {
                    kernel
                        .change(NewLink(netlink::numbered(cable, &[hairpin()])))
                },
            )?;
        }
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
        view.warn_of_a_detour(container, kernel)
    }
}

/// Locally administered, and none that a container has.
fn made_up_mac() -> io::Result<Vec<u8>> {
    let mut mac = [0x02, 0x78, 0, 0, 0, 0];
    File::open("/dev/urandom")?.read_exact(&mut mac[2..])?;
    Ok(mac.into())
}

fn hairpin() -> LinkAttribute {
    let on = vec![InfoBridgePort::HairpinMode(true)];
    LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(on)),
    ])
}

/// The kernel takes tens of milliseconds to take a device apart, and nobody
/// need wait for that: a process that is left behind does it.
impl Drop for Place {
    fn drop(&mut self) {
        self.life = None;
        let left_behind = Child::start(CloneFlags::empty(), || {
            let _ = runtime::leave_terminal();
            u8::from(self.clear().is_err())
        });
        match left_behind {
            Ok(child) => drop(child.into_pid()),
            Err(_) => drop(self.clear()),
        }
    }
}

impl Place {
    /// Takes a container's cable away, and its rules. The last one out takes
    /// the rest. It lingers before that: whoever starts containers one after the
    /// other finds the bridge still there.
    fn clear(&self) -> Result<()> {
        let kernel = Netlink::open()?;
        if let Some(cable) = self.cable {
            delete(&kernel, cable)?;
        }
        let me = std::process::id();
        let held = lock::take_quietly()?;
        let view = View::of(&kernel)?;
        for cable in view.waste() {
            delete(&kernel, cable.index)?;
        }
        if self.is_published {
            // Rules that can't be made anew go with the bridge.
            let _ = firewall::load_quietly(&view);
        }
        if view.containers().next().is_some() {
            return Ok(());
        }
        let note = Note { idle: Some(me), ..Note::on(&view) };
        note.write(&kernel, &view.bridge)?;
        drop(held);

        sleep(LINGER);
        let _held = lock::take_quietly()?;
        let view = View::of(&kernel)?;
        match Note::on(&view).idle == Some(me) {
            true => take_away(&kernel, &view),
            false => Ok(()),
        }
    }
}

/// The bridge comes before the rules, which guard it as long as it is there,
/// and after the switches, since its alias says which ones we turned.
fn take_away(kernel: &Netlink, view: &View) -> Result<()> {
    Note::on(view).forbid_forwarding(view);
    delete(kernel, view.bridge.index)?;
    firewall::remove()
}

/// Takes a device away, unless its namespace was faster.
fn delete(kernel: &Netlink, index: u32) -> io::Result<()> {
    match kernel.change(DelLink(netlink::numbered(index, &[]))) {
        Err(error) if netlink::is(&error, Errno::ENODEV) => Ok(()),
        deleted => deleted,
    }
}
