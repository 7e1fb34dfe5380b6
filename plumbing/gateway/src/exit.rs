//! The way out: which addresses a connection may go to whose destination somebody else chose, and that connection.
//!
//! It judges resolved addresses, so that every spelling of a host (decimal, hexadecimal, octal, a name that points inside)
//! comes to the same test, and the connection goes to the very address that was judged.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use url::{Host, Url};

use crate::proxies::Block;

/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Looks names up. A trait because a test must be able to change its answer between two look-ups.
pub trait Resolve: Send + Sync + 'static {
    /// Every address of `host`, asked for at most once per connection.
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

/// A block of addresses, and one port of them or all, that the operator permits although the guard would not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    block: Block,
    port: Option<u16>,
}

/// A text that names no place such as `127.0.0.1:4100`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be an address or a block, such as 127.0.0.1, 127.0.0.1:4100 or 10.0.0.0/8, not {0:?}")]
pub struct PlaceError(pub String);

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        if let Ok(address) = text.trim().parse::<SocketAddr>() {
            return Ok(Self { block: Block::from(address.ip()), port: Some(address.port()) });
        }
        let block = text.parse().map_err(|_| PlaceError(text.to_owned()))?;
        Ok(Self { block, port: None })
    }
}

/// The places inside that may be connected to all the same; none by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedNetworks(Vec<Place>);

impl AllowedNetworks {
    /// Reads addresses and blocks, each with one port (`127.0.0.1:4100`) or with all of them (`10.0.0.0/8`).
    pub fn parse<'a>(places: impl IntoIterator<Item = &'a str>) -> Result<Self, PlaceError> {
        places.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the operator named this address.
    pub fn names(&self, address: SocketAddr) -> bool {
        self.0.iter().any(|place| place.block.holds(address.ip()) && place.port.is_none_or(|port| port == address.port()))
    }

    /// Whether a connection may go to `address`: it is public, or the operator named it.
    pub fn permits(&self, address: SocketAddr) -> bool {
        is_public(address.ip()) || self.names(address)
    }

    /// Whether a URL that is entered may be right: its address is permitted, or is a name that is looked up later. What a
    /// name points to is judged at each connection, because it may change.
    pub fn permits_url(&self, url: &Url) -> bool {
        self.address_in(url).is_some_and(|address| address.is_none_or(|address| self.permits(address)))
    }

    /// Whether the operator named the address that stands in a URL.
    pub fn names_url(&self, url: &Url) -> bool {
        self.address_in(url).flatten().is_some_and(|address| self.names(address))
    }

    /// The address that a URL names without a look-up: some other name has none yet, and without a host or port there is nothing.
    fn address_in(&self, url: &Url) -> Option<Option<SocketAddr>> {
        let port = url.port_or_known_default()?;
        Some(match url.host()? {
            Host::Ipv4(ip) => Some(SocketAddr::new(ip.into(), port)),
            Host::Ipv6(ip) => Some(SocketAddr::new(ip.into(), port)),
            Host::Domain(name) => is_inside(name).then(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)),
        })
    }

    /// The addresses of `found` that may be connected to, in their order; an error when a name leads nowhere permitted.
    fn filter(&self, found: &[IpAddr], port: u16) -> Result<Vec<SocketAddr>, Refused> {
        if found.is_empty() {
            return Err(Refused::Unknown);
        }
        let found = found.iter().map(|ip| SocketAddr::new(*ip, port));
        let permitted: Vec<_> = found.filter(|address| self.permits(*address)).collect();
        if permitted.is_empty() { Err(Refused::Inside) } else { Ok(permitted) }
    }
}

/// Whether a name is one of this machine or of the network around it.
fn is_inside(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name == "localhost" || [".localhost", ".internal", ".local"].iter().any(|ending| name.ends_with(ending))
}

/// Why no address of a host may be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The name could not be looked up now.
    #[error("the host name could not be looked up")]
    NotLookedUp,
    /// The name has no address.
    #[error("the host name has no address")]
    Unknown,
    /// Every address is inside or reserved.
    #[error("the host's address is private or reserved, and only the operator can permit it")]
    Inside,
    /// What is sent would be open to whoever is on the way, and the operator has not named the address.
    #[error("the address is reached without encryption, and only the operator can permit it")]
    Plain,
}

/// The way out; clones share the resolver.
#[derive(Clone)]
pub struct Exit {
    resolver: Arc<dyn Resolve>,
    allowed: AllowedNetworks,
}

impl Exit {
    /// A way out that looks names up with `resolver` and may reach the `allowed` places inside.
    pub fn new(resolver: Arc<dyn Resolve>, allowed: AllowedNetworks) -> Self {
        Self { resolver, allowed }
    }

    /// The same with the operating system's resolver.
    pub fn by_system(allowed: AllowedNetworks) -> Self {
        Self::new(Arc::new(SystemResolver), allowed)
    }

    /// The places inside that it may reach.
    pub fn allowed(&self) -> &AllowedNetworks {
        &self.allowed
    }

    /// The addresses of `host` that may be connected to; a name is looked up once.
    pub async fn addresses(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Refused> {
        match host {
            Host::Ipv4(ip) => self.allowed.filter(&[IpAddr::V4(*ip)], port),
            Host::Ipv6(ip) => self.allowed.filter(&[IpAddr::V6(*ip)], port),
            Host::Domain(name) => {
                let found = self.resolver.resolve(name, port).await.map_err(|_| Refused::NotLookedUp)?;
                self.allowed.filter(&found, port)
            }
        }
    }

    /// The same for what nobody on the way may read or change and that goes without encryption: only to addresses that the
    /// operator named.
    pub async fn named_addresses(&self, host: &Host<String>, port: u16) -> Result<Vec<SocketAddr>, Refused> {
        let mut found = self.addresses(host, port).await?;
        found.retain(|address| self.allowed.names(*address));
        if found.is_empty() { Err(Refused::Plain) } else { Ok(found) }
    }
}

/// Connects to the first of `addresses`, as [`Exit::addresses`] judged them, that answers within `each`; at most four are tried.
pub async fn connect(addresses: &[SocketAddr], each: Duration) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Only a delay is lost where that is not to be had.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::from(io::ErrorKind::TimedOut),
        }
    }
    Err(last)
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

    fn at(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 443)
    }

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
            assert!(!guard.permits(at(inside)), "{inside}");
        }
    }

    #[test]
    fn public_addresses_are_permitted() {
        let guard = AllowedNetworks::default();
        for outside in
            ["1.1.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.15.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1111", "2a00:1450::1"]
        {
            assert!(guard.permits(at(outside)), "{outside}");
        }
    }

    #[test]
    fn an_operator_permits_a_network_or_one_port_and_nothing_beside_it() {
        let guard = AllowedNetworks::parse(["127.0.0.1/32", "fd00::/8", "10.1.2.3", "192.168.1.1:4100", "[fc00::1]:443"]).unwrap();
        for named in ["127.0.0.1:1", "[fd00::1]:1", "10.1.2.3:1", "192.168.1.1:4100", "[fc00::1]:443", "[::ffff:127.0.0.1]:1"] {
            assert!(guard.permits(named.parse().unwrap()) && guard.names(named.parse().unwrap()), "{named}");
        }
        for beside in ["127.0.0.2:1", "[fc00::1]:1", "10.1.2.4:1", "192.168.1.1:4101"] {
            assert!(!guard.permits(beside.parse().unwrap()), "{beside}");
        }
        assert!(guard.permits(at("1.1.1.1")) && !guard.names(at("1.1.1.1")), "what is public needs no name and has none");
        assert!(AllowedNetworks::parse(["0.0.0.0/0"]).unwrap().permits(at("10.0.0.1")));
        for bad in ["", "127.0.0.1/33", "x/8", "::/129", "10.0.0.0/-1", "10.0.0.0/8:80", "localhost", "127.0.0.1:65536"] {
            assert!(AllowedNetworks::parse([bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_url_is_judged_by_the_address_that_stands_in_it() {
        let guard = AllowedNetworks::parse(["127.0.0.1:4100"]).unwrap();
        let url = |text: &str| Url::parse(text).unwrap();
        for good in
            ["https://api.stripe.com", "http://127.0.0.1:4100/stripe", "http://localhost:4100", "https://1.1.1.1", "http://127.1:4100"]
        {
            assert!(guard.permits_url(&url(good)), "{good}");
        }
        for bad in
            ["http://127.0.0.1:4101", "https://localhost", "https://169.254.169.254", "https://[::1]:4100", "https://db.internal", "data:x"]
        {
            assert!(!guard.permits_url(&url(bad)), "{bad}");
        }
        assert!(guard.names_url(&url("http://127.0.0.1:4100")) && guard.names_url(&url("http://localhost:4100")));
        assert!(!guard.names_url(&url("https://api.stripe.com")) && !guard.names_url(&url("https://1.1.1.1")));
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
