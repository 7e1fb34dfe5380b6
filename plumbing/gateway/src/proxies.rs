//! Trusted proxies: whom we believe when it says who really asks.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::{HeaderMap, HeaderValue, header};

use crate::extract::text_header;

/// The connection that brought a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether our own door decrypted it.
    pub is_tls: bool,
}

impl Peer {
    /// Puts the peer where the door looks for it; whoever stands between server and router calls this for each request.
    pub fn mark<B>(self, request: &mut http::Request<B>) {
        request.extensions_mut().insert(self);
    }
}

/// A block of addresses such as `10.0.0.0/8` or `2001:db8::/32`; a single address is a block of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    network: IpAddr,
    bits: u8,
}

/// A text that is not a block of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a block of addresses such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct BlockError;

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let (address, bits) = text.trim().split_once('/').map_or((text.trim(), None), |(address, bits)| (address, Some(bits)));
        let network: IpAddr = address.parse().map_err(|_| BlockError)?;
        let most = if network.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), str::parse).map_err(|_| BlockError)?;
        if bits <= most { Ok(Self { network, bits }) } else { Err(BlockError) }
    }
}

impl From<IpAddr> for Block {
    /// The block of this one address.
    fn from(network: IpAddr) -> Self {
        Self { network, bits: if network.is_ipv4() { 32 } else { 128 } }
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.network, self.bits)
    }
}

impl Block {
    /// Whether `address` lies in this block.
    pub fn holds(&self, address: IpAddr) -> bool {
        let (a, b, width) = match (self.network, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        (a ^ b).checked_shr(width - u32::from(self.bits)).unwrap_or(0) == 0
    }
}

/// The proxies whose forwarding headers are believed; by default none.
#[derive(Debug, Clone, Default)]
pub struct Proxies(Vec<Block>);

/// Where a request really comes from and what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The address of whoever asks.
    pub address: IpAddr,
    /// Whether they asked over https.
    pub is_https: bool,
    /// The host they asked for, with its port.
    pub host: Option<HeaderValue>,
    /// Whether a trusted proxy brought it.
    pub is_forwarded: bool,
}

impl Proxies {
    /// These blocks and no other.
    pub fn of(blocks: impl IntoIterator<Item = Block>) -> Self {
        Self(blocks.into_iter().collect())
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|block| block.holds(address))
    }

    /// Reads the forwarding headers of a trusted proxy, and ignores those of anybody else. Of the addresses in
    /// `X-Forwarded-For` the last one counts that is not itself a trusted proxy: whatever stands before it may be invented.
    pub fn resolve(&self, peer: Peer, headers: &HeaderMap) -> Origin {
        let mut origin = Origin {
            address: peer.address.ip().to_canonical(),
            is_https: peer.is_tls,
            host: headers.get(header::HOST).cloned(),
            is_forwarded: false,
        };
        if self.0.is_empty() || !self.holds(origin.address) {
            return origin;
        }
        origin.is_forwarded = true;
        let hops = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
        for hop in hops.collect::<Vec<_>>().into_iter().rev() {
            let Some(address) = hop_address(hop.trim()) else { break };
            origin.address = address;
            if !self.holds(address) {
                break;
            }
        }
        if let Some(scheme) = last(headers, "x-forwarded-proto") {
            origin.is_https = scheme.eq_ignore_ascii_case("https");
        }
        if let Some(host) = last(headers, "x-forwarded-host") {
            origin.host = Some(text_header(host));
        }
        origin
    }
}

/// The last of a list of values: the one that the nearest proxy added.
fn last<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let text = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    text.rsplit(',').next().map(str::trim).filter(|value| !value.is_empty())
}

/// An address, with or without a port, in brackets or not.
fn hop_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
        .map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer { address: text.parse().unwrap(), is_tls: false }
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn a_block_holds_its_addresses_and_no_other() {
        let block = |text: &str| text.parse::<Block>();
        assert!(block("10.0.0.0/8").unwrap().holds("10.255.1.2".parse().unwrap()));
        assert!(!block("10.0.0.0/8").unwrap().holds("11.0.0.1".parse().unwrap()));
        assert!(block("10.0.0.0/8").unwrap().holds("::ffff:10.0.0.1".parse().unwrap()));
        assert!(block("0.0.0.0/0").unwrap().holds("203.0.113.9".parse().unwrap()));
        assert!(block("::/0").unwrap().holds("2001:db8::1".parse().unwrap()));
        assert!(!block("0.0.0.0/0").unwrap().holds("2001:db8::1".parse().unwrap()));
        assert!(block("192.0.2.7").unwrap().holds("192.0.2.7".parse().unwrap()));
        assert!(!block("192.0.2.7").unwrap().holds("192.0.2.6".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::1/129", "name/8", "10.0.0.0/-1"] {
            assert_eq!(block(wrong), Err(BlockError), "{wrong}");
        }
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let said = headers(&[
            ("host", "a.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "b.example"),
        ]);
        let origin = Proxies::of(["10.0.0.0/8".parse().unwrap()]).resolve(peer("203.0.113.5:9"), &said);
        assert_eq!(origin.address.to_string(), "203.0.113.5");
        assert!(!origin.is_https && !origin.is_forwarded);
        assert_eq!(origin.host.unwrap(), "a.example");
    }

    #[test]
    fn behind_proxies_the_last_address_that_is_none_of_them_counts() {
        let proxies = Proxies::of(["10.0.0.0/8".parse().unwrap()]);
        let resolve = |text: &str| proxies.resolve(peer("10.0.0.1:9"), &headers(&[("x-forwarded-for", text)])).address.to_string();
        assert_eq!(resolve("1.1.1.1, 192.0.2.1, 10.0.0.2"), "192.0.2.1");
        assert_eq!(resolve("192.0.2.1:4711"), "192.0.2.1");
        assert_eq!(resolve("[2001:db8::1]:4711"), "2001:db8::1");
        assert_eq!(resolve("192.0.2.1, rubbish, 10.0.0.2"), "10.0.0.2");
        assert_eq!(resolve(""), "10.0.0.1");
        let said = headers(&[("x-forwarded-proto", "http, https"), ("x-forwarded-host", "go.example")]);
        let origin = proxies.resolve(peer("10.0.0.1:9"), &said);
        assert!(origin.is_https && origin.is_forwarded);
        assert_eq!(origin.host.unwrap(), "go.example");
    }
}
