//! A pretended internet: a network namespace that is router and server in one.
//! It has no default route: an answer to a container's private address goes
//! nowhere.
//!
//! ```text
//!   this host 192.0.2.2 ── eth0 ── eth0 192.0.2.1, 203.0.113.10 the internet
//! ```

use std::cell::Cell;
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use networking::netlink::{self, Netlink};
use networking::subnet::Network;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use runtime::process::Child;
use runtime::{Channel, Message, leave_terminal};

/// The web server's address.
pub const SERVER: &str = "203.0.113.10";
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Where ip-netns(8) keeps the name of a network namespace.
const NAME: &str = "/run/netns/internet";

/// For the lab, whose machine is as known as it shall be.
pub fn begin() -> Result<()> {
    let programs = std::env::var_os("WORKSHOP_BIN").context("WORKSHOP_BIN")?;
    connect(Path::new(&programs))
}

/// Makes it, and the way to it.
pub fn connect(programs: &Path) -> Result<()> {
    let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
    kernel
        .change(netlink::up(netlink::named("lo", &[])))
        .context("RTM_SETLINK { lo }")?;
    fs::create_dir_all("/run/netns").context("mkdir(/run/netns)")?;
    File::create(NAME).context(NAME)?;
    let (ours, theirs) = Channel::pair().context("socketpair()")?;
    let ours = Cell::new(Some(ours));
    let internet = Child::start(CloneFlags::CLONE_NEWNET, || {
        drop(ours.take());
        serve(&theirs, programs).unwrap_or_else(|error| {
            let _ = theirs.send(&Message::Failed(1, runtime::told(&error)));
            1
        })
    })
    .context("clone(CLONE_NEWNET)")?;
    drop(theirs);
    let ours = ours.take().context("one end is ours")?;
    ensure!(ours.receive()? == Some(Message::Go), "the internet did not begin");

    let pid = internet.into_pid().as_raw().unsigned_abs();
    let cable = netlink::named("eth0", &[netlink::cable(pid, &[])]);
    kernel
        .change(netlink::there(cable))
        .context("RTM_NEWLINK { eth0, kind: veth }")?;
    give(&kernel, "eth0", HOST, 24)?;
    ours.send(&Message::Go)?;
    ensure!(
        ours.receive()? == Some(Message::Starting),
        "the internet did not begin"
    );
    kernel
        .change(netlink::default_route(ROUTER))
        .context("RTM_NEWROUTE { default }")?;
    let until = Instant::now() + Duration::from_secs(1);
    let listens = || TcpStream::connect((SERVER, 80)).is_ok();
    while programs.join("web-server").exists()
        && !listens()
        && Instant::now() < until
    {
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The internet itself. Its namespace has a name, and stays without us.
fn serve(host: &Channel, programs: &Path) -> Result<u8> {
    begin_as_known_network()?;
    let own = Path::new("/proc/self/ns/net");
    mount(Some(own), NAME, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context("mount(MS_BIND) of a network namespace")?;
    let kernel = Netlink::open().context("socket(AF_NETLINK)")?;
    kernel
        .change(netlink::up(netlink::named("lo", &[])))
        .context("RTM_SETLINK { lo }")?;
    give(&kernel, "lo", SERVER.parse()?, 32)?;
    host.send(&Message::Go)?;
    host.receive()?;
    give(&kernel, "eth0", ROUTER, 24)?;
    host.send(&Message::Starting)?;
    leave_terminal()?;
    let mut server = Command::new(programs.join("web-server"));
    server.args([&format!("{SERVER}:80"), "Hello from the internet."]);
    Err(server.exec()).context("execve(web-server)")
}

fn give(
    kernel: &Netlink,
    device: &str,
    address: Ipv4Addr,
    length: u8,
) -> Result<()> {
    let link = kernel.link(device)?.with_context(|| format!("no {device}"))?;
    let address = netlink::has_address(link.index, Network { address, length });
    kernel
        .change(address)
        .with_context(|| format!("RTM_NEWADDR {{ {device} }}"))?;
    kernel.change(netlink::up(netlink::numbered(link.index, &[])))?;
    Ok(())
}

/// A new network namespace takes over what the machine's first one was told: to
/// forward, say, as docker tells it. Back to the kernel's defaults, in the one
/// that we are in. What has no name here is 0.
pub fn begin_as_known_network() -> Result<()> {
    const CONF: &str = "/proc/sys/net/ipv4/conf";
    let set = |file: &Path, value: &str| {
        let _ = fs::write(file, value); // what is not there, or can't be set, is the kernel's
    };
    set(&Path::new(CONF).join("all/forwarding"), "0"); // first, since it changes others
    for_each_file(CONF, |file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let device =
            file.parent().and_then(Path::file_name).unwrap_or_default();
        let value = match &*name {
            _ if device == "lo" && name.starts_with("disable_") => return,
            "accept_source_route" => ["1", "0"][usize::from(device == "all")],
            "shared_media" | "arp_evict_nocarrier" => "1",
            _ if name.ends_with("_redirects") => "1",
            "igmpv2_unsolicited_report_interval" => "10000",
            "igmpv3_unsolicited_report_interval" => "1000",
            _ => "0",
        };
        set(file, value);
    })?;
    // And a bridge is a switch: whether what it passes on must please the rules
    // for what is routed depends on who has loaded br_netfilter.
    for name in ["arptables", "ip6tables", "iptables"] {
        set(
            &Path::new("/proc/sys/net/bridge")
                .join(format!("bridge-nf-call-{name}")),
            "0",
        );
    }
    for_each_file("/proc/sys/net/ipv6/conf", |file| {
        match file.file_name().and_then(|name| name.to_str()) {
            Some("forwarding" | "disable_ipv6" | "addr_gen_mode") => {
                set(file, "0")
            }
            Some("accept_ra" | "autoconf") => set(file, "1"),
            _ => {}
        }
    })
}

/// Of each device, and of all.
fn for_each_file(directory: &str, mut act: impl FnMut(&Path)) -> Result<()> {
    for device in fs::read_dir(directory).into_iter().flatten().flatten() {
        for file in fs::read_dir(device.path())?.flatten() {
            act(&file.path());
        }
    }
    Ok(())
}
