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
//! A container that can talk to nobody is of little use. So the wall gets a
//! door: a [veth(4)](https://man7.org/linux/man-pages/man4/veth.4.html) pair is
//! a cable with two ends. One lies inside, the other in a bridge, which is a
//! switch. The host is plugged into that switch too, and does for the containers
//! what the router at home does for it: it hides them behind its own address
//! (NAT), and lets in what was asked for (`--publish`).

mod bridge;
mod firewall;
mod forwarding;
mod inside;
mod legacy;
mod lock;
mod netlink;
mod pasta;
mod port;
mod subnet;

use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::unistd::{Gid, Uid};
use runtime::{Failure, Feature, Host, Inside, Narrator};

use bridge::{Place, View};
use forwarding::Note;
use netlink::Netlink;
use pasta::Pasta;
use port::Published;

/// A network of its own, or the host's.
#[derive(Debug, clap::Args)]
pub struct Network {
    /// Network inside [default: bridge; for an ordinary user pasta, or none where that lacks]
    #[arg(
        long,
        value_enum,
        value_name = "bridge|none|host",
        hide_possible_values = true
    )]
    network: Option<Mode>,

    /// Let the host's port lead to the container's: [IP:]HOST:CONTAINER[/tcp|/udp]
    #[arg(short, long, value_name = "HOST:CONTAINER")]
    publish: Vec<Published>,

    #[arg(skip)]
    reserved: Vec<OwnedFd>,
    #[arg(skip)]
    place: Option<Place>,
    #[arg(skip)]
    pasta: Option<Pasta>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// An address behind the host, on a switch that all containers share.
    Bridge,
    /// The loopback, and nothing else.
    None,
    /// No namespace: the host's own network.
    Host,
}

impl Feature for Network {
    fn namespaces(&self) -> CloneFlags {
        match self.network {
            Some(Mode::Host) => CloneFlags::empty(),
            _ => CloneFlags::CLONE_NEWNET,
        }
    }

    fn before(
        &mut self,
        _runtime: &Narrator,
        _owner: Option<(Uid, Gid)>,
    ) -> Result<()> {
        match (self.network, self.publish.first()) {
            (Some(Mode::Host | Mode::None), Some(port)) => {
                bail!("-p {port}: needs --network bridge")
            }
            _ => port::each_once(&self.publish),
        }
    }

    // Asking the kernel is better than guessing who we are: the lock is for this
    // network's root alone, and so is the first change.
    fn on_host(&mut self, container: &Host) -> Result<()> {
        // Not before the clone(2): the child would hold the sockets, too.
        for port in &self.publish {
            self.reserved.push(port.reserve(container)?);
        }
        match (self.network, self.plug_in(container)) {
            (None, Err(error)) if is_refused(&error) => {
                self.reserved.clear();
                self.pasta = Pasta::start(container, &self.publish)?;
                Ok(())
            }
            (_, connected) => {
                connected?;
                port::send_early_clients_away(&self.reserved)
                    .context("accept() at a published port")
            }
        }
    }

    fn inside(&self, container: &mut Inside) -> Result<()> {
        let (own, servers) = match self.network {
            Some(Mode::Host) => (None, inside::host_name_servers()),
            _ => (inside::switch_on(container)?, inside::name_servers()),
        };
        inside::write_names(container, own, &servers)
    }
}

impl Network {
    fn plug_in(&mut self, container: &Host) -> Result<()> {
        if let Some(Mode::Host | Mode::None) = self.network {
            return Ok(());
        }
        let _held = lock::take(container)?;
        let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
        bridge::make(container, &kernel)?;
        let place = self.place.insert(Place::default());
        let view = View::of(&kernel)?;
        bridge::prepare(container, &kernel, &view)?;
        place.plug_in(container, &kernel, &view)?;
        place.note(container, &kernel, &self.publish)?;
        let view = View::of(&kernel)?;
        let note = Note::on(&view).with_ways_out(container, &view)?;
        // The rules before the switch: no packet passes unguarded.
        firewall::load(container, &view, &note)?;
        note.write_on(container, &kernel, &view.bridge)?;
        note.allow_forwarding(container, &view)?;
        place.switch_on(container, &kernel, &view)?;
        view.warn_of_a_detour(container, &kernel)
    }
}

fn is_refused(error: &anyhow::Error) -> bool {
    let refused = error.downcast_ref();
    matches!(
        refused,
        Some(Failure::Call { errno: Errno::EPERM | Errno::EACCES, .. })
    )
}
