//! The noun: what is written down of one scan. Pure.

use std::net::IpAddr;

use kernel::{Id, RawId, Timestamp, WorkspaceId};

use super::agent::Agent;

/// Words of eight bytes that a record takes.
pub const WORDS: usize = 11;
/// Bytes that are kept of a referrer's host; of a longer one its end, which tells more.
pub const REFERRER_BYTES: usize = 32;

const BOT: u16 = 1;
const LIMITED: u16 = 2;
const NETWORK_V4: u16 = 4;
const NETWORK_V6: u16 = 8;

/// One scan. Whatever its owner switched off is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The number of the public code.
    pub code: u64,
    /// When it was scanned.
    pub at: Timestamp,
    /// Tells devices apart within one day; 0 where that is switched off.
    pub device: u64,
    /// Whose code it is.
    pub workspace: WorkspaceId,
    /// What scanned it.
    pub agent: Agent,
    /// Whether the scan used up one of a limited number.
    pub is_limited: bool,
    /// The browser's first language, two lower-case letters.
    pub language: [u8; 2],
    /// The country, two upper-case letters.
    pub place: [u8; 2],
    /// The network it came from.
    pub network: Option<Network>,
    /// The host of the page that led here, zero-padded.
    pub referrer: [u8; REFERRER_BYTES],
}

/// The network of an address without its hosts: 24 bits of IPv4, 48 of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Network {
    /// The first three bytes.
    V4([u8; 3]),
    /// The first six bytes.
    V6([u8; 6]),
}

impl Network {
    /// The network of an address; an IPv4 address inside IPv6 counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Self::V4([a, b, c])
            }
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Self::V6([a, b, c, d, e, f])
            }
        }
    }
}

impl std::fmt::Display for Network {
    /// With its prefix length, for example `203.0.113.0/24`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::V4([a, b, c]) => write!(f, "{a}.{b}.{c}.0/24"),
            Self::V6([a, b, c, d, e, g]) => {
                let group = |high, low| u16::from_be_bytes([high, low]);
                write!(f, "{}/48", std::net::Ipv6Addr::new(group(a, b), group(c, d), group(e, g), 0, 0, 0, 0, 0))
            }
        }
    }
}

impl Record {
    /// The record as words.
    pub fn words(&self) -> [u64; WORDS] {
        let raw = self.workspace.raw().bits();
        let mut network = [0; 6];
        let mut flags = if self.agent.is_bot() { BOT } else { 0 } | if self.is_limited { LIMITED } else { 0 };
        match self.network {
            None => {}
            Some(Network::V4(three)) => {
                network[..3].copy_from_slice(&three);
                flags |= NETWORK_V4;
            }
            Some(Network::V6(six)) => {
                network = six;
                flags |= NETWORK_V6;
            }
        }
        let [f0, f1] = flags.to_le_bytes();
        let [class, os, browser] = self.agent.to_bytes();
        let [n0, n1, n2, n3, n4, n5] = network;
        let mut words = [0; WORDS];
        words[0] = self.code;
        words[1] = self.at.as_micros().cast_unsigned();
        words[2] = self.device;
        words[3] = raw as u64;
        words[4] = (raw >> 64) as u64;
        words[5] = u64::from_le_bytes([f0, f1, class, os, browser, 0, n0, n1]);
        words[6] = u64::from_le_bytes([self.language[0], self.language[1], self.place[0], self.place[1], n2, n3, n4, n5]);
        for (word, eight) in words[7..].iter_mut().zip(self.referrer.as_chunks::<8>().0) {
            *word = u64::from_le_bytes(*eight);
        }
        words
    }

    /// Back from its words, whose checksum the journal has checked.
    pub fn from_words(words: &[u64; WORDS]) -> Self {
        let [f0, f1, class, os, browser, _, n0, n1] = words[5].to_le_bytes();
        let [l0, l1, p0, p1, n2, n3, n4, n5] = words[6].to_le_bytes();
        let flags = u16::from_le_bytes([f0, f1]);
        let network = if flags & NETWORK_V4 != 0 {
            Some(Network::V4([n0, n1, n2]))
        } else if flags & NETWORK_V6 != 0 {
            Some(Network::V6([n0, n1, n2, n3, n4, n5]))
        } else {
            None
        };
        let mut referrer = [0; REFERRER_BYTES];
        for (eight, word) in referrer.as_chunks_mut::<8>().0.iter_mut().zip(&words[7..]) {
            *eight = word.to_le_bytes();
        }
        Self {
            code: words[0],
            at: Timestamp::from_micros(words[1].cast_signed()),
            device: words[2],
            workspace: WorkspaceId::from_raw(RawId::from_bits(u128::from(words[3]) | (u128::from(words[4]) << 64))),
            agent: Agent::from_bytes([class, os, browser], flags & BOT != 0),
            is_limited: flags & LIMITED != 0,
            language: [l0, l1],
            place: [p0, p1],
            network,
            referrer,
        }
    }

    /// The referrer's host, empty when there was none.
    pub fn referrer(&self) -> &str {
        let end = self.referrer.iter().position(|byte| *byte == 0).unwrap_or(REFERRER_BYTES);
        std::str::from_utf8(&self.referrer[..end]).unwrap_or_default()
    }
}

/// The host in a `Referer` header, lower case, as it is kept: the app name for `android-app://`, nothing for what is no host.
pub fn referrer_host(header: &[u8]) -> [u8; REFERRER_BYTES] {
    let mut kept = [0; REFERRER_BYTES];
    let Some(after) = header.windows(3).take(16).position(|three| three == b"://").map(|at| &header[at + 3..]) else { return kept };
    let host = after.split(|byte| matches!(byte, b'/' | b'?' | b'#')).next().unwrap_or_default();
    let host = host.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let host = host.strip_prefix(b"www.").unwrap_or(host);
    if host.is_empty() || !host.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')) {
        return kept;
    }
    let tail = match host.len().checked_sub(REFERRER_BYTES + 1) {
        None => host,
        // Cut at a dot, so that no half of a name is taken for a whole.
        Some(cut) => host[cut..].iter().position(|byte| *byte == b'.').map_or(&host[cut + 1..], |dot| &host[cut + dot + 1..]),
    };
    for (to, from) in kept.iter_mut().zip(tail) {
        *to = from.to_ascii_lowercase();
    }
    kept
}

/// The first language of an `Accept-Language` header, two lower-case letters; zeros when it names none.
pub fn language(header: &[u8]) -> [u8; 2] {
    match header {
        [a, b, rest @ ..] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && !rest.first().is_some_and(u8::is_ascii_alphabetic) => {
            [a.to_ascii_lowercase(), b.to_ascii_lowercase()]
        }
        _ => [0; 2],
    }
}

/// A country of two letters as a proxy's header names it; zeros for none, for `XX` (unknown) and `T1` (Tor).
pub fn place(header: &[u8]) -> [u8; 2] {
    match header {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && !header.eq_ignore_ascii_case(b"xx") => {
            [a.to_ascii_uppercase(), b.to_ascii_uppercase()]
        }
        _ => [0; 2],
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent;
    use super::*;

    #[test]
    fn a_record_is_read_back_from_its_words() {
        for network in [None, Some(Network::V4([203, 0, 113])), Some(Network::V6([0x20, 1, 0xd, 0xb8, 0, 7]))] {
            let record = Record {
                code: (1 << 40) - 1,
                at: Timestamp::parse("2026-01-31T09:30:00.123456Z").unwrap(),
                device: u64::MAX,
                workspace: WorkspaceId::from_raw(RawId::from_bits(u128::MAX - 5)),
                agent: agent::classify(
                    b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1",
                ),
                is_limited: true,
                language: *b"de",
                place: *b"AT",
                network,
                referrer: referrer_host(b"https://www.Example.com:8080/a?b"),
            };
            assert_eq!(Record::from_words(&record.words()), record);
            assert_eq!(record.referrer(), "example.com");
        }
    }

    #[test]
    fn of_a_referrer_only_the_host_is_kept() {
        let host = |text: &str| {
            let kept = referrer_host(text.as_bytes());
            String::from_utf8(kept.into_iter().take_while(|byte| *byte != 0).collect()).unwrap()
        };
        assert_eq!(host("https://user:secret@shop.example/path?token=1"), "shop.example");
        assert_eq!(host("android-app://com.instagram.android/"), "com.instagram.android");
        assert_eq!(host("https://a-very-long-subdomain-of-a-shop.customers.example.com"), "customers.example.com");
        for nothing in ["", "about:blank", "https://", "https://a b/", "https://<script>/", "javascript:alert(1)"] {
            assert_eq!(host(nothing), "", "{nothing}");
        }
    }

    #[test]
    fn language_and_place_are_two_letters_or_nothing() {
        assert_eq!(language(b"de-AT,de;q=0.9,en;q=0.8"), *b"de");
        assert_eq!(language(b"EN"), *b"en");
        assert_eq!(language(b"*"), [0; 2]);
        assert_eq!(language(b"fil-PH"), [0; 2], "a language of three letters is not cut to another of two");
        assert_eq!(place(b"at"), *b"AT");
        assert_eq!(place(b"XX"), [0; 2]);
        assert_eq!(place(b"T1"), [0; 2]);
    }

    #[test]
    fn a_network_names_no_host() {
        assert_eq!(Network::of("203.0.113.77".parse().unwrap()).to_string(), "203.0.113.0/24");
        assert_eq!(Network::of("::ffff:203.0.113.77".parse().unwrap()).to_string(), "203.0.113.0/24");
        assert_eq!(Network::of("2001:db8:7:1::9".parse().unwrap()).to_string(), "2001:db8:7::/48");
    }
}
