//! The container's side of the wall: its devices, its address, and the names
//! that it knows.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use netlink_packet_route::link::InfoKind;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2, readlinkat};
use nix::sys::stat::Mode;
use nix::unistd::gethostname;
use runtime::{Failure, Inside, shell};

use crate::mode;
use crate::netlink::{self, Netlink};
use crate::subnet::{Subnet, address_in};

/// As many as the kernel follows (path_resolution(7)).
const MOST_LINKS: usize = 40;

/// The host's own network is on, and has its name servers.
pub fn set_up(
    container: &mut Inside,
    network: Option<mode::Mode>,
    device: &str,
) -> Result<()> {
    let (own, servers) = match network {
        Some(mode::Mode::Host) => (None, host_name_servers()),
        _ => (switch_on(container, device)?, name_servers()),
    };
    write_names(container, own, &servers)
}

/// Switches on what is there. A new network namespace has one device, the
/// loopback, and even that is off.
fn switch_on(container: &Inside, device: &str) -> Result<Option<Ipv4Addr>> {
    let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
    let why = "without it not even 127.0.0.1 answers";
    container.routine(|| up(container, &kernel, "lo", why))?;
    // The address that the host chose is in the hardware address.
    let there = kernel
        .link(device)
        .with_context(|| format!("RTM_GETLINK {{ {device} }}"))?;
    let cable = there.filter(|it| it.kind == Some(InfoKind::Veth));
    match cable.and_then(|it| Some((it.index, address_in(&it.mac)?))) {
        Some((index, address)) => {
            connect(container, &kernel, (device, index), address)?;
            Ok(Some(address))
        }
        None => Ok(None),
    }
}

fn connect(
    container: &Inside,
    kernel: &Netlink,
    (device, index): (&str, u32),
    address: Ipv4Addr,
) -> Result<(), Failure> {
    let subnet = Subnet::of(address);
    let own = subnet.network(address.octets()[3]);
    let gateway = subnet.network(Subnet::BRIDGE).address;
    container.routine(|| {
        container.call(
            format!("RTM_NEWADDR {{ {device}, {own} }}"),
            "an address of our own",
            format!("ip address add {own} dev {device}"),
            || kernel.change(netlink::has_address(index, own)),
        )?;
        up(container, kernel, device, "a new device is switched off")
    })?;
    container.call(
        format!("RTM_NEWROUTE {{ default, via: {gateway} }}"),
        "the way out is the bridge",
        format!("ip route add default via {gateway}"),
        || kernel.change(netlink::default_route(gateway)),
    )
}

fn up(
    container: &Inside,
    kernel: &Netlink,
    name: &str,
    why: &str,
) -> Result<(), Failure> {
    container.call(
        format!("RTM_SETLINK {{ {name}, flags: IFF_UP }}"),
        why,
        format!("ip link set {name} up"),
        || kernel.change(netlink::up(netlink::named(name, &[]))),
    )
}

/// Files about the network that belong to this container, not to its image:
/// they are laid over those of the root directory.
fn write_names(
    container: &mut Inside,
    own: Option<Ipv4Addr>,
    servers: &str,
) -> Result<()> {
    let Some(scratch) = container.scratch.clone() else {
        container.note("/etc/hosts and /etc/resolv.conf stay the image's: no tmpfs to write them to");
        return Ok(());
    };
    let name = gethostname().context("gethostname()")?;
    let hosts = format!(
        "127.0.0.1 localhost\n::1 localhost\n{} {}\n",
        own.unwrap_or(Ipv4Addr::LOCALHOST),
        name.to_string_lossy()
    );
    for (file, text) in [("hosts", &*hosts), ("resolv.conf", servers)] {
        let source = scratch.join(file);
        container.routine(|| {
            container.call(
                format!("write({source:?}, {text:?})"),
                "to be laid over the image's",
                format!("printf %s {} > {}", shell([text]), shell([&source])),
                || write(&source, text),
            )
        })?;
        let place = Path::new("/etc").join(file);
        let call = format!("openat2({place:?}, RESOLVE_IN_ROOT)");
        let place = follow(&container.rootfs, place)
            .map_err(|errno| Failure::of(call, errno))?;
        container.files.push((source, place));
    }
    Ok(())
}

/// Where a name ends in the root directory. On a machine with systemd-resolved
/// /etc/resolv.conf is a link, and in an image of such a machine it leads to a
/// file that is not there. Looked up as if the root were already the root.
fn follow(root: &Path, name: PathBuf) -> nix::Result<PathBuf> {
    let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let root = open(root, flags | OFlag::O_DIRECTORY, Mode::empty())?;
    let how = OpenHow::new()
        .flags(flags | OFlag::O_NOFOLLOW)
        .resolve(ResolveFlag::RESOLVE_IN_ROOT);
    let mut name = name;
    for _ in 0..MOST_LINKS {
        let link =
            openat2(&root, &name, how).and_then(|it| readlinkat(&it, ""));
        match (link, name.parent()) {
            (Ok(target), Some(directory)) => name = directory.join(target),
            _ => return Ok(name),
        }
    }
    Err(Errno::ELOOP)
}

/// The umask is empty here: who may write it is said.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut new = OpenOptions::new();
    new.write(true).create(true).truncate(true).mode(0o644);
    new.open(path)?.write_all(text.as_bytes())
}

/// The host's name servers, as the host has them.
fn host_name_servers() -> String {
    read("/etc/resolv.conf").unwrap_or_default()
}

/// A comment may be in the alphabet of another age.
fn read(file: &str) -> io::Result<String> {
    fs::read(file).map(|text| String::from_utf8_lossy(&text).into_owned())
}

/// The host's name servers, as far as a container can reach them. One on the
/// host's loopback it can't; where that is systemd-resolved, the servers that
/// it asks itself stand in a second file.
fn name_servers() -> String {
    let files = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];
    let texts = files.iter().flat_map(|file| read(file));
    let mut reachable = texts.map(|text| only_reachable(&text));
    reachable.find(|text| text.contains("nameserver")).unwrap_or_else(|| {
        "# None of the host's name servers can be reached from a container.\n".into()
    })
}

fn only_reachable(text: &str) -> String {
    let kept = |line: &str| {
        let mut words = line.split_whitespace();
        match (words.next()?, words.next()) {
            ("nameserver", server) => {
                let server: Ipv4Addr = server?.parse().ok()?;
                let reachable =
                    !server.is_loopback() && !server.is_unspecified();
                reachable.then(|| format!("nameserver {server}\n"))
            }
            (word, _) if word.starts_with(['#', ';']) => None,
            _ => Some(format!("{line}\n")),
        }
    };
    text.lines().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_server_on_the_hosts_loopback_is_left_out() {
        let host = "# a comment\nnameserver 127.0.0.53\nnameserver ::1\n\
                    nameserver\t192.0.2.53 # ours\nnameserver 2001:db8::53\n\
                    nameserver fe80::1%eth0\nnameserver 0.0.0.0\nnameserver\n\r\n\
                    nameserver 192.0.2.54\r\nsearch example.org\n";
        assert_eq!(
            only_reachable(host),
            "nameserver 192.0.2.53\nnameserver 192.0.2.54\n\
             search example.org\n"
        );
    }
}
