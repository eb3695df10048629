//! A pretend internet: a network namespace that is router and server in one.
//! It has no default route: an answer to a container's private address goes
//! nowhere.
//!
//! ```text
//!   this host 192.0.2.2 ── eth0 ── eth0 192.0.2.1, 203.0.113.10 the internet
//! ```

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use networking::kernel_defaults;
use networking::netlink::{self, Netlink};
use networking::subnet::Network;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use runtime::process::Child;
use runtime::{Line, Message, leave_terminal, told};

/// The web server's address.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
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
    let kernel = Netlink::with_loopback()?;
    fs::create_dir_all("/run/netns").context("mkdir(/run/netns)")?;
    File::create(NAME).context(NAME)?;
    let line = Line::new()?;
    let internet = Child::start(CloneFlags::CLONE_NEWNET, || {
        serve(&line, programs).unwrap_or_else(|error| {
            let failed = Message::Failed(1, told(&error));
            let _ = line.of_the_child().send(&failed);
            1
        })
    })
    .context("clone(CLONE_NEWNET)")?;
    let pid = internet.into_pid().as_raw().unsigned_abs();
    let internet = line.of_the_parent()?;
    // What a network tells new devices, the cable's far end is told.
    internet.heed()?;
    let cable = netlink::named("eth0", &[netlink::cable(pid, "eth0", &[])]);
    kernel
        .change(netlink::there(cable))
        .context("RTM_NEWLINK { eth0, kind: veth }")?;
    kernel.give_address("eth0", Network { address: HOST, length: 24 })?;
    internet.send(&Message::Go)?;
    internet.heed()?;
    kernel
        .change(netlink::default_route(ROUTER))
        .context("RTM_NEWROUTE { default }")?;
    let until = Instant::now() + Duration::from_secs(1);
    while programs.join("web-server").exists()
        && TcpStream::connect((SERVER, 80)).is_err()
        && Instant::now() < until
    {
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// The internet itself. Its namespace has a name, and stays without us. That
/// all is there, its line says: it ends at execve(2).
fn serve(line: &Line, programs: &Path) -> Result<u8> {
    let host = line.of_the_child();
    kernel_defaults::restore()?;
    let own = Path::new("/proc/self/ns/net");
    mount(Some(own), NAME, None::<&str>, MsFlags::MS_BIND, None::<&str>)
        .context("mount(MS_BIND) of a network namespace")?;
    let kernel = Netlink::with_loopback()?;
    kernel.give_address("lo", Network { address: SERVER, length: 32 })?;
    host.send(&Message::Starting)?;
    host.receive()?;
    kernel.give_address("eth0", Network { address: ROUTER, length: 24 })?;
    leave_terminal()?;
    let mut server = Command::new(programs.join("web-server"));
    server.args([&format!("{SERVER}:80"), "Hello from the internet."]);
    let _ = server.exec(); // where it is not built, there is none
    Ok(0)
}
