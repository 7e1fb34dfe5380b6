//! The guard between a webhook and our own network: which addresses a delivery may connect to.
//!
//! It judges resolved addresses, so that every spelling of a host (decimal, hexadecimal, octal, a name that points inside)
//! comes to the same test, and the connection goes to the very address that was judged.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;

/// Looks names up. A trait because a test must be able to change its answer between two look-ups.
pub trait Resolve: Send + Sync + 'static {
    /// Every address of `host`, at most once per delivery.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>>;
}

/// The operating system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send + 'a>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.map(|address| address.ip()).collect()) })
    }
}

/// A network in CIDR form that the operator permits although the guard would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

/// A text that is not a network such as `127.0.0.1/32`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a network such as 127.0.0.1/32 or fd00::/8, not {0:?}")]
pub struct NetworkError(pub String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let refuse = || NetworkError(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(refuse)?;
        let address: IpAddr = address.trim().parse().map_err(|_| refuse())?;
        let prefix: u32 = prefix.trim().parse().map_err(|_| refuse())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if prefix > width { Err(refuse()) } else { Ok(Self { address, prefix }) }
    }
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                self.prefix == 0 || (network.to_bits() ^ address.to_bits()) >> (32 - self.prefix) == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                self.prefix == 0 || (network.to_bits() ^ address.to_bits()) >> (128 - self.prefix) == 0
            }
            _ => false,
        }
    }
}

/// The networks inside that webhooks may reach all the same; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Network>);

impl AllowedNetworks {
    /// Reads networks in CIDR form.
    pub fn parse<'a>(networks: impl IntoIterator<Item = &'a str>) -> Result<Self, NetworkError> {
        networks.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether a delivery may connect to `address`: it is public, or the operator permits it.
    pub fn permits(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|network| network.contains(address))
    }

    /// The addresses of `found` that may be connected to, in their order; an error when a name leads nowhere permitted.
    pub(crate) fn filter(&self, found: &[IpAddr], port: u16) -> Result<Vec<SocketAddr>, Refused> {
        if found.is_empty() {
            return Err(Refused::Unknown);
        }
        let permitted: Vec<_> = found.iter().filter(|ip| self.permits(**ip)).map(|ip| SocketAddr::new(*ip, port)).collect();
        if permitted.is_empty() { Err(Refused::Inside) } else { Ok(permitted) }
    }
}

/// Why no address of a name may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The name has no address.
    #[error("the host name has no address")]
    Unknown,
    /// Every address is inside or reserved.
    #[error("the host's address is private or reserved, and webhooks go to public addresses only")]
    Inside,
}

/// Whether `address` is one of the public internet: none of the special-purpose ranges of RFC 6890 and its successors.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0, ..)                     // "this network", unspecified
            | (10, ..)              // private
            | (100, 64..=127, _)    // carrier-grade NAT
            | (127, ..)             // loopback
            | (169, 254, _)         // link-local, cloud metadata
            | (172, 16..=31, _)     // private
            | (192, 0, 0)           // protocol assignments
            | (192, 0, 2)           // documentation
            | (192, 31, 196)        // AS112
            | (192, 52, 193)        // AMT
            | (192, 88, 99)         // 6to4 relays
            | (192, 168, _)         // private
            | (192, 175, 48)        // AS112
            | (198, 18..=19, _)     // benchmarking
            | (198, 51, 100)        // documentation
            | (203, 0, 113)         // documentation
            | (224..=255, ..) // multicast, reserved, broadcast
    )
}

/// Only global unicast (2000::/3) is public, less what is carved out of it; that also refuses loopback, unspecified,
/// v4-mapped and v4-compatible addresses, both NAT64 prefixes, unique-local, link-local, site-local and multicast ones.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, ..] = address.segments();
    let is_special = matches!(
        (a, b, c),
        (0x2001, 0..0x0200, _)        // protocol assignments: Teredo, ORCHID, benchmarking
            | (0x2001, 0x0db8, _)     // documentation
            | (0x2002, ..)            // 6to4
            | (0x2620, 0x004f, 0x8000) // AS112
            | (0x3ffe, ..)            // the old 6bone
            | (0x3fff, 0..0x1000, _) // documentation
    );
    a & 0xe000 == 0x2000 && !is_special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_that_is_not_public_is_refused() {
        let guard = AllowedNetworks::default();
        for inside in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.19.255.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "239.1.1.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "5f00::1",
        ] {
            assert!(!guard.permits(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn public_addresses_are_permitted() {
        let guard = AllowedNetworks::default();
        for outside in
            ["1.1.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(guard.permits(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn an_operator_permits_a_network_and_nothing_beside_it() {
        let guard = AllowedNetworks::parse(["127.0.0.1/32", "fd00::/8"]).unwrap();
        assert!(guard.permits("127.0.0.1".parse().unwrap()));
        assert!(!guard.permits("127.0.0.2".parse().unwrap()));
        assert!(guard.permits("fd00::1".parse().unwrap()));
        assert!(!guard.permits("fc00::1".parse().unwrap()));
        assert!(AllowedNetworks::parse(["0.0.0.0/0"]).unwrap().permits("10.0.0.1".parse().unwrap()));
        for bad in ["127.0.0.1", "127.0.0.1/33", "x/8", "::/129", "10.0.0.0/-1"] {
            assert!(AllowedNetworks::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_with_one_public_address_keeps_only_that_one() {
        let guard = AllowedNetworks::default();
        let found = ["127.0.0.1".parse().unwrap(), "1.1.1.1".parse().unwrap()];
        assert_eq!(guard.filter(&found, 443).unwrap(), ["1.1.1.1:443".parse().unwrap()]);
        assert_eq!(guard.filter(&found[..1], 443), Err(Refused::Inside));
        assert_eq!(guard.filter(&[], 443), Err(Refused::Unknown));
    }
}
