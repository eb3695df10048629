//! Published ports: doors in the wall.

use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;
use std::str::FromStr;
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{fmt, io};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use runtime::{Because, Failure, Host};

/// How long a port may be that of somebody who dies: a tenth of it was seen on a
/// busy machine.
const MOMENT: Duration = Duration::from_secs(1);

/// What `-p [IP:]HOST:CONTAINER[/tcp|/udp]` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// The host's address, if not all of them.
    pub address: Option<Ipv4Addr>,
    /// The host's port.
    pub host: u16,
    /// The container's port.
    pub container: u16,
    /// tcp or udp.
    pub protocol: Protocol,
}

/// Fails if a packet could mean two of them.
pub fn each_once(ports: &[Published]) -> Result<()> {
    for (index, port) in ports.iter().enumerate() {
        if ports[..index].iter().any(|it| it.collides_with(port)) {
            bail!("-p {port}: this port of the host is published twice");
        }
    }
    Ok(())
}

/// Who speaks through a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Connections.
    Tcp,
    /// Single packets.
    Udp,
}

impl Published {
    fn collides_with(&self, other: &Published) -> bool {
        self.protocol == other.protocol
            && self.host == other.host
            && (self.address == other.address
                || self.address.is_none()
                || other.address.is_none())
    }

    /// Takes the port on the host, and keeps it: nobody else can, and if
    /// somebody has, we learn it here and not by silence. Once the rules are
    /// there, no packet comes to this socket: they send it on before.
    fn reserve(&self, container: &Host) -> Result<OwnedFd, Failure> {
        let Published { host, protocol, .. } = self;
        let address = self.address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let socket = SocketAddrV4::new(address, *host);
        let (options, call) = match protocol {
            Protocol::Tcp => ("-l", format!("bind({socket}), listen()")),
            Protocol::Udp => ("-lu", format!("bind({socket}/udp)")),
        };
        let why = "we get the published port, or learn that it is taken";
        let shell = format!("nc {options} {address} {host}");
        container
            .call(call, why, shell, || match protocol {
                Protocol::Tcp => soon(|| Ok(TcpListener::bind(socket)?.into())),
                Protocol::Udp => soon(|| Ok(UdpSocket::bind(socket)?.into())),
            })
            .because(
                Errno::EADDRINUSE,
                format!(
                    "port {host} is taken on the host; `ss -Hlnp sport = \
                     :{host}` shows who has it"
                ),
            )
            .because(
                Errno::EADDRNOTAVAIL,
                format!("{address} is not an address of this host"),
            )
            .because(
                Errno::EACCES,
                "ports below 1024 are root's; choose a higher one",
            )
    }
}

/// A runtime that is killed in the moment in which it starts nft leaves a copy
/// of itself, with its sockets, until that has become nft.
fn soon(bind: impl Fn() -> io::Result<OwnedFd>) -> io::Result<OwnedFd> {
    let end = Instant::now() + MOMENT;
    loop {
        match bind() {
            Err(error)
                if error.kind() == io::ErrorKind::AddrInUse
                    && Instant::now() < end =>
            {
                sleep(Duration::from_millis(10));
            }
            bound => return bound,
        }
    }
}

/// The host's ports, taken for a container.
#[derive(Debug, Default)]
pub struct Reserved(Vec<OwnedFd>);

impl Reserved {
    /// All of them, or none.
    pub fn take(
        ports: &[Published],
        container: &Host,
    ) -> Result<Reserved, Failure> {
        let taken = ports.iter().map(|port| port.reserve(container));
        container.routine(|| taken.collect::<Result<_, _>>()).map(Reserved)
    }

    /// Who connected before the rules were there would wait for ever: nobody
    /// answers at these sockets.
    pub fn send_early_clients_away(&self) -> Result<()> {
        send_away(&self.0).context("accept() at a published port")
    }
}

fn send_away(reserved: &[OwnedFd]) -> io::Result<()> {
    for socket in reserved {
        let listener = TcpListener::from(socket.try_clone()?);
        listener.set_nonblocking(true)?;
        // Until no more wait. One of UDP has no clients, and says so.
        while listener.accept().is_ok() {}
    }
    Ok(())
}

impl FromStr for Published {
    type Err = String;

    fn from_str(text: &str) -> Result<Published, String> {
        let (ports, protocol) = match text.split_once('/') {
            None => (text, Protocol::Tcp),
            Some((ports, "tcp")) => (ports, Protocol::Tcp),
            Some((ports, "udp")) => (ports, Protocol::Udp),
            Some((_, other)) => {
                return Err(format!("{other:?} is neither tcp nor udp"));
            }
        };
        let parts: Vec<_> = ports.split(':').collect();
        let (address, host, container) = match parts[..] {
            [host, container] => (None, host, container),
            [address, host, container] => {
                let parsed: Ipv4Addr = address.parse().map_err(|_| {
                    format!(
                        "{address:?} is not an IPv4 address such as 127.0.0.1"
                    )
                })?;
                (Some(parsed), host, container)
            }
            _ => {
                return Err("a published port is HOST:CONTAINER, such as \
                            8080:80, or IP:HOST:CONTAINER, with /udp if it is \
                            not tcp"
                    .into());
            }
        };
        // 0.0.0.0 is how others say: all of them.
        let address = address.filter(|address| !address.is_unspecified());
        let (host, container) = (port(host)?, port(container)?);
        Ok(Published { address, host, container, protocol })
    }
}

fn port(text: &str) -> Result<u16, String> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(port @ 1..) if digits => Ok(port),
        _ => Err(format!("{text:?} is not a port: ports go from 1 to 65535")),
    }
}

impl fmt::Display for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(address) = self.address {
            write!(f, "{address}:")?;
        }
        write!(f, "{}:{}/{}", self.host, self.container, self.protocol)
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_port_is_read_as_it_is_written() {
        for (text, written) in [
            ("8080:80", "8080:80/tcp"),
            ("53:5353/udp", "53:5353/udp"),
            ("127.0.0.1:1:65535/tcp", "127.0.0.1:1:65535/tcp"),
            ("0.0.0.0:8080:80", "8080:80/tcp"),
        ] {
            let port: Published = text.parse().unwrap();
            assert_eq!(port.to_string(), written);
            assert_eq!(written.parse(), Ok(port));
        }
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for text in [
            "",
            ":",
            "80",
            "80:",
            ":80",
            "0:80",
            "80:0",
            "65536:80",
            "80:65536",
            "+80:80",
            "-1:80",
            "80:80/sctp",
            "80:80/",
            "a:b",
            "1.2.3:80:80",
            "[::1]:80:80",
            "1:2:3:4",
            " 80:80",
            "80-81:80-81",
        ] {
            assert!(text.parse::<Published>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_address_collides_with_all_addresses_and_with_itself() {
        let port = |text: &str| text.parse::<Published>().unwrap();
        let all = port("80:80");
        assert!(all.collides_with(&port("80:81")));
        assert!(all.collides_with(&port("127.0.0.1:80:80")));
        assert!(!all.collides_with(&port("80:80/udp")));
        assert!(!all.collides_with(&port("81:80")));
        let one = port("127.0.0.1:80:80");
        assert!(!one.collides_with(&port("127.0.0.2:80:80")));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn a_port_that_is_taken_is_read_again_as_it_is_shown(
            text in prop_oneof![
                any::<String>(),
                "([0-9.]{0,16}:)?[0-9+-]{0,6}:[0-9]{0,6}(/(tcp|udp|sctp)?)?",
            ]
        ) {
            if let Ok(port) = text.parse::<Published>() {
                prop_assert!(port.host > 0 && port.container > 0);
                prop_assert_eq!(port.to_string().parse(), Ok(port));
            }
        }

        #[test]
        fn every_port_is_read(host in 1_u16.., container in 1_u16.., address: [u8; 4]) {
            let address = Ipv4Addr::from(address);
            let port: Published = format!("{address}:{host}:{container}/udp").parse().unwrap();
            let expected = Some(address).filter(|address| !address.is_unspecified());
            prop_assert_eq!(
                (port.address, port.host, port.container, port.protocol),
                (expected, host, container, Protocol::Udp)
            );
        }
    }
}
