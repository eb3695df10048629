//! Addresses: which network is the containers' own, and which number in it is
//! free.

use std::fmt;
use std::net::Ipv4Addr;

/// An address, with how many of its bits name the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// An address in it, or its first.
    pub address: Ipv4Addr,
    /// How many bits of it are the network's.
    pub length: u8,
}

impl Network {
    fn mask(length: u8) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0)
    }

    /// Whether some address is in both.
    pub fn overlaps(&self, other: &Network) -> bool {
        let mask = Network::mask(self.length.min(other.length));
        u32::from(self.address) & mask == u32::from(other.address) & mask
    }

    /// A route to half of all addresses is a default route in disguise (VPNs
    /// do that): a more exact one of ours goes before it and takes nothing.
    pub fn is_nearly_everything(&self) -> bool {
        self.length < 8
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// The containers' network: 10.77.0.0/24, say. The bridge is 1 in it, the
/// containers 2 to 254.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet([u8; 3]);

impl Subnet {
    /// How many bits are the network's.
    pub const LENGTH: u8 = 24;
    /// The bridge's own number.
    pub const BRIDGE: u8 = 1;

    /// The subnet that an address is in.
    pub fn of(address: Ipv4Addr) -> Subnet {
        let [a, b, c, _] = address.octets();
        Subnet([a, b, c])
    }

    /// The first one that shares no address with what the host knows a way to.
    /// One from each of the three private ranges (RFC 1918), since a company's
    /// VPN often takes a whole range.
    pub fn free(known: &[Network]) -> Option<Subnet> {
        let candidates = [[10, 77], [172, 29], [192, 168]];
        let mut subnets = candidates
            .into_iter()
            .flat_map(|[a, b]| (0..=255).map(move |c| Subnet([a, b, c])));
        subnets.find(|subnet| {
            !known.iter().any(|known| known.overlaps(&subnet.network(0)))
        })
    }

    /// One of its addresses.
    pub fn network(&self, number: u8) -> Network {
        let Subnet([a, b, c]) = *self;
        let address = Ipv4Addr::new(a, b, c, number);
        Network { address, length: Subnet::LENGTH }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.network(0).fmt(f)
    }
}

/// Locally administered (RFC 7042), and the rest our own choice.
const PREFIX: [u8; 2] = [0x02, 0x77];

/// A hardware address that carries the IPv4 address. So the container reads
/// its address off its own device, and whoever remembers which hardware had an
/// address (ARP) stays right when a new container gets it.
pub fn mac_of(address: Ipv4Addr) -> Vec<u8> {
    [&PREFIX[..], &address.octets()].concat()
}

/// The IPv4 address that a hardware address carries.
pub fn address_in(mac: &[u8]) -> Option<Ipv4Addr> {
    let octets: [u8; 4] = mac.strip_prefix(&PREFIX)?.try_into().ok()?;
    Some(octets.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, length) = text.split_once('/').unwrap();
        Network {
            address: address.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    }

    fn free(known: &[&str]) -> Option<String> {
        let known: Vec<_> = known.iter().map(|text| network(text)).collect();
        Subnet::free(&known).map(|subnet| subnet.to_string())
    }

    #[test]
    fn a_subnet_avoids_what_the_host_knows() {
        assert_eq!(free(&[]).unwrap(), "10.77.0.0/24");
        assert_eq!(free(&["10.77.0.7/32"]).unwrap(), "10.77.1.0/24");
        assert_eq!(free(&["10.76.0.0/15"]).unwrap(), "172.29.0.0/24");
        assert_eq!(
            free(&["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/17"]).unwrap(),
            "192.168.128.0/24"
        );
        let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"];
        assert_eq!(free(&all), None);
    }

    #[test]
    fn everything_overlaps_the_default_route() {
        assert!(network("0.0.0.0/0").overlaps(&network("10.77.0.0/24")));
        assert!(network("0.0.0.0/1").is_nearly_everything());
        assert!(!network("10.0.0.0/8").is_nearly_everything());
    }

    #[test]
    fn a_hardware_address_carries_the_address() {
        let address = Ipv4Addr::new(10, 77, 0, 254);
        assert_eq!(address_in(&mac_of(address)), Some(address));
        assert_eq!(address_in(&[0x02, 0x42, 10, 77, 0, 2]), None);
        assert_eq!(address_in(&[]), None);
    }
}
