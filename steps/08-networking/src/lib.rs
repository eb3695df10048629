#![forbid(unsafe_code)]
//! A network of its own.
//!
//! A network namespace
//! ([network_namespaces(7)](https://man7.org/linux/man-pages/man7/network_namespaces.7.html))
//! holds devices, addresses, routes, firewall rules, ports, and the names of
//! abstract unix sockets. A new one has nothing but a loopback device that is
//! off. Before it, a container reaches what listens on the host's 127.0.0.1,
//! takes the host's ports and changes its firewall.
//!
//! So that a container can talk, the wall gets a door: a
//! [veth(4)](https://man7.org/linux/man-pages/man4/veth.4.html) pair is a cable
//! with two ends. One lies inside, the other in a bridge, which is a switch. The
//! host is plugged in too, and is the containers' router: it hides them behind
//! its own address (NAT), and lets in what `--publish` asks for.

mod bridge;
mod firewall;
mod forwarding;
mod inside;
pub mod kernel_defaults;
mod lock;
mod mode;
pub mod netlink;
mod pasta;
mod port;
pub mod subnet;
mod view;

use anyhow::{Context, Result};
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use runtime::{Feature, Host, Inside, Narrator};

use bridge::Place;
use forwarding::Note;
use mode::{Device, Mode};
use netlink::Netlink;
use pasta::Pasta;
use port::{Published, Reserved};
use view::View;

/// A network of its own, or the host's.
#[derive(Debug, clap::Args)]
pub struct Network {
    /// Network inside [default: bridge; for an ordinary user pasta, or none without pasta]
    #[arg(long, value_name = "bridge|none|host", hide_possible_values = true)]
    network: Option<Mode>,

    /// Lead a port of the host to one of the container: [IP:]HOST:CONTAINER[/tcp|/udp]
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    publish: Vec<Published>,

    #[arg(skip)]
    device: Device,
    #[arg(skip)]
    reserved: Reserved,
    #[arg(skip)]
    place: Option<Place>,
    #[arg(skip)]
    pasta: Option<Pasta>,
}

impl Feature for Network {
    fn namespaces(&self) -> CloneFlags {
        match self.network {
            Some(Mode::Host) => CloneFlags::empty(),
            _ => CloneFlags::CLONE_NEWNET,
        }
    }

    fn before(&mut self, _: &Narrator, _: Option<(Uid, Gid)>) -> Result<()> {
        mode::must_fit(self.network, &self.publish)
    }

    // Only this network's root gets the lock: so it is the kernel that says no.
    fn on_host(&mut self, container: &Host) -> Result<()> {
        // Not before the clone(2): the child would hold the sockets, too.
        self.reserved = Reserved::take(&self.publish, container)?;
        let plugged_in = self.plug_in(container);
        if self.network.is_none() && mode::is_refused(&plugged_in) {
            self.reserved = Reserved::default();
            self.pasta = Pasta::start(container, &self.publish, self.device.0)?;
            return Ok(());
        }
        plugged_in
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        inside::set_up(container, self.network, self.device.0)
    }
}

impl Network {
    fn plug_in(&mut self, container: &Host) -> Result<()> {
        if let Some(Mode::Host | Mode::None) = self.network {
            return Ok(());
        }
        let _held = container.routine(|| lock::take(container))?;
        let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
        bridge::make(container, &kernel)?;
        let place = self.place.insert(Place::default());
        let view = View::of(&kernel)?;
        container.routine(|| bridge::prepare(container, &kernel, &view))?;
        place.plug_in(container, &kernel, &view, self.device.0)?;
        place.note(container, &kernel, &self.publish)?;
        let view = View::of(&kernel)?;
        let note = Note::on(&view).with_ways_out(container, &view)?;
        // The rules before the switch: no packet passes unguarded.
        firewall::load(container, &view, &note)?;
        container.routine(|| note.write_on(container, &kernel, &view))?;
        container.routine(|| note.allow_forwarding(container, &view))?;
        container.routine(|| place.switch_on(container, &kernel, &view))?;
        self.reserved.send_early_clients_away()
    }
}
