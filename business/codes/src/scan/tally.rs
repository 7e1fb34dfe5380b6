//! The noun: what one code's scans of one day add up to, on one node. Pure.

use std::collections::BTreeMap;

use kernel::Timestamp;
use serde::{Deserialize, Serialize};

use super::record::{Network, Record};
use super::sketch::Sketch;

/// How many different words each part of a breakdown keeps; the rest is counted under [`OTHER`].
pub const WORDS_MAX: usize = 50;
/// What the words beyond the bound are counted under.
pub const OTHER: &str = "other";
const MINUTE_MICROS: i64 = 60_000_000;
const MINUTES_OF_DAY: i64 = 1_440;

/// Scans of one code on one day. Bots and double scans are counted apart from people's scans and in none of the rest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Day {
    /// Scans by people, doubles left out.
    pub total: i64,
    /// Scans by programs.
    pub bots: i64,
    /// Scans by the same device within five seconds of the one before.
    pub doubles: i64,
    /// Scans by minute of the day.
    pub minutes: Minutes,
    /// Different devices.
    pub visitors: Sketch,
    /// Scans by kind of device and the like.
    pub breakdown: Breakdown,
}

impl Day {
    /// Adds a scan of this day.
    pub fn add(&mut self, record: &Record, is_double: bool) {
        if record.agent.is_bot() {
            self.bots += 1;
        } else if is_double {
            self.doubles += 1;
        } else {
            self.total += 1;
            self.minutes.add(minute_of_day(record.at), 1);
            if record.device != 0 {
                self.visitors.insert(record.device);
            }
            self.breakdown.add(record);
        }
    }

    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + self.minutes.0.capacity() * 8 + self.visitors.weight() + self.breakdown.weight()
    }
}

/// The minute of the day, from 0.
pub fn minute_of_day(at: Timestamp) -> u16 {
    at.as_micros().div_euclid(MINUTE_MICROS).rem_euclid(MINUTES_OF_DAY) as u16
}

/// Scans by minute of the day, sorted; minutes without scans take no room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Minutes(Vec<(u16, u32)>);

impl Minutes {
    /// Counts `scans` in a minute.
    pub fn add(&mut self, minute: u16, scans: u32) {
        // Scans come nearly in order, so it is nearly always the last minute.
        if let Some(last) = self.0.last_mut().filter(|last| last.0 == minute) {
            last.1 = last.1.saturating_add(scans);
            return;
        }
        match self.0.binary_search_by_key(&minute, |entry| entry.0) {
            Ok(at) => self.0[at].1 = self.0[at].1.saturating_add(scans),
            Err(at) => self.0.insert(at, (minute, scans)),
        }
    }

    /// Minutes with their scans, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u32)> + '_ {
        self.0.iter().copied()
    }

    /// As it is stored: for each minute the distance from the one before and the count, as variable-length numbers.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.0.len() * 3);
        let mut before = 0;
        for (minute, scans) in &self.0 {
            put_number(&mut bytes, u32::from(minute - before));
            put_number(&mut bytes, *scans);
            before = *minute;
        }
        bytes
    }

    /// Back from its bytes; `None` when they are none of ours.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        let mut minutes = Self::default();
        let mut before = 0_u32;
        while !bytes.is_empty() {
            let distance = take_number(&mut bytes)?;
            let scans = take_number(&mut bytes)?;
            before = before.checked_add(distance)?;
            let minute = u16::try_from(before).ok().filter(|minute| i64::from(*minute) < MINUTES_OF_DAY)?;
            minutes.add(minute, scans);
        }
        Some(minutes)
    }
}

fn put_number(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_number(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0_u32;
    for shift in [0, 7, 14, 21, 28] {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u32::from(first & 0x7F).checked_shl(shift)?;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// A short word that is kept in a breakdown.
type Word = Box<str>;

/// Words with their counts, at most [`WORDS_MAX`] and [`OTHER`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<Word, i64>", into = "BTreeMap<Word, i64>")]
pub struct Counts(Vec<(Word, i64)>);

impl From<BTreeMap<Word, i64>> for Counts {
    fn from(map: BTreeMap<Word, i64>) -> Self {
        Self(map.into_iter().collect())
    }
}

impl From<Counts> for BTreeMap<Word, i64> {
    fn from(counts: Counts) -> Self {
        counts.0.into_iter().collect()
    }
}

impl Counts {
    /// Counts `scans` under `word`.
    pub fn add(&mut self, word: &str, scans: i64) {
        if let Some(known) = self.0.iter_mut().find(|known| &*known.0 == word) {
            known.1 += scans;
        } else if self.0.len() < WORDS_MAX || word == OTHER {
            if self.0.is_empty() {
                // Most lists of most codes keep one word.
                self.0.reserve_exact(1);
            }
            self.0.push((word.into(), scans));
        } else {
            self.add(OTHER, scans);
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        for (word, scans) in &other.0 {
            self.add(word, *scans);
        }
    }

    /// The words with their counts, most first, equal ones by word.
    pub fn ranked(&self) -> Vec<(&str, i64)> {
        let mut ranked: Vec<_> = self.0.iter().map(|(word, scans)| (&**word, *scans)).collect();
        ranked.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        ranked
    }

    fn weight(&self) -> usize {
        self.0.capacity() * size_of::<(Word, i64)>() + self.0.iter().map(|(word, _)| word.len() + 16).sum::<usize>()
    }

    fn write(&self, name: &str, json: &mut String) {
        if self.0.is_empty() {
            return;
        }
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push('"');
        json.push_str(name);
        json.push_str("\":{");
        for (at, (word, scans)) in self.0.iter().enumerate() {
            if at > 0 {
                json.push(',');
            }
            json.push('"');
            // Words are made by us of letters, digits and `.-_:/`: none needs escaping.
            json.push_str(word);
            json.push_str("\":");
            let _ = std::fmt::Write::write_fmt(json, format_args!("{scans}"));
        }
        json.push('}');
    }
}

/// Scans by kind of device, system, browser, referring host, language, place and network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Breakdown {
    /// Kinds of device.
    pub device: Counts,
    /// Systems.
    pub system: Counts,
    /// Browsers.
    pub browser: Counts,
    /// Hosts of the pages that led here.
    pub referrer: Counts,
    /// First languages of the browsers.
    pub language: Counts,
    /// Countries.
    pub place: Counts,
    /// Networks without their hosts; recorded only where the owner switched addresses on.
    pub network: Counts,
}

impl Breakdown {
    fn add(&mut self, record: &Record) {
        let agent = record.agent;
        for (counts, word) in [(&mut self.device, agent.device()), (&mut self.system, agent.system()), (&mut self.browser, agent.browser())]
        {
            counts.add(word, 1);
        }
        let referrer = record.referrer();
        if !referrer.is_empty() {
            self.referrer.add(referrer, 1);
        }
        for (counts, letters) in [(&mut self.language, &record.language), (&mut self.place, &record.place)] {
            if let Some(word) = std::str::from_utf8(letters).ok().filter(|_| letters[0] != 0) {
                counts.add(word, 1);
            }
        }
        if let Some(network) = record.network {
            self.network.add(&Network::to_string(&network), 1);
        }
    }

    /// Adds what another one counted.
    pub fn merge(&mut self, other: &Self) {
        self.device.merge(&other.device);
        self.system.merge(&other.system);
        self.browser.merge(&other.browser);
        self.referrer.merge(&other.referrer);
        self.language.merge(&other.language);
        self.place.merge(&other.place);
        self.network.merge(&other.network);
    }

    /// As it is stored: a JSON object of objects.
    pub fn to_json(&self) -> String {
        let mut json = String::with_capacity(160);
        self.device.write("device", &mut json);
        self.system.write("system", &mut json);
        self.browser.write("browser", &mut json);
        self.referrer.write("referrer", &mut json);
        self.language.write("language", &mut json);
        self.place.write("place", &mut json);
        self.network.write("network", &mut json);
        json.push_str(if json.is_empty() { "{}" } else { "}" });
        json
    }

    fn weight(&self) -> usize {
        let parts = [&self.device, &self.system, &self.browser, &self.referrer, &self.language, &self.place, &self.network];
        parts.into_iter().map(Counts::weight).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::super::agent;
    use super::super::record::referrer_host;
    use super::*;
    use kernel::{Id, RawId, WorkspaceId};
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn record(agent: &[u8], device: u64, minute: i64) -> Record {
        Record {
            code: 7,
            at: Timestamp::from_seconds(minute * 60 + 59),
            device,
            workspace: WorkspaceId::from_raw(RawId::from_bits(1)),
            agent: agent::classify(agent),
            is_limited: false,
            language: *b"de",
            place: *b"AT",
            network: Some(Network::of(IpAddr::from([203, 0, 113, 9]))),
            referrer: referrer_host(b"https://shop.example/x"),
        }
    }

    #[test]
    fn people_bots_and_doubles_are_counted_apart() {
        let mut day = Day::default();
        let phone = b"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1";
        day.add(&record(phone, 1 << 40, 61), false);
        day.add(&record(phone, 1 << 40, 61), true);
        day.add(&record(phone, 2 << 40, 61), false);
        day.add(&record(b"curl/8", 3, 62), false);
        assert_eq!((day.total, day.doubles, day.bots, day.visitors.count()), (2, 1, 1, 2));
        assert_eq!(day.minutes.iter().collect::<Vec<_>>(), [(61, 2)]);
        let json = day.breakdown.to_json();
        let expected = r#"{"device":{"phone":2},"system":{"ios":2},"browser":{"safari":2},"referrer":{"shop.example":2},"language":{"de":2},"place":{"AT":2},"network":{"203.0.113.0/24":2}}"#;
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Breakdown>(&json).unwrap(), day.breakdown);
        assert_eq!(serde_json::from_str::<Breakdown>(&Breakdown::default().to_json()).unwrap(), Breakdown::default());
    }

    #[test]
    fn words_beyond_the_bound_are_counted_under_other() {
        let mut counts = Counts::default();
        for n in 0..80 {
            counts.add(&format!("host{n}.example"), 1);
        }
        counts.add("host3.example", 4);
        let ranked = counts.ranked();
        assert_eq!(ranked.len(), WORDS_MAX + 1);
        assert_eq!(ranked[0], (OTHER, 30));
        assert_eq!(ranked[1], ("host3.example", 5));
    }

    proptest! {
        #[test]
        fn minutes_are_read_back_from_their_bytes(entries in proptest::collection::vec((0_u16..1_440, 1_u32..100_000), 0..200)) {
            let mut minutes = Minutes::default();
            for (minute, scans) in &entries {
                minutes.add(*minute, *scans);
            }
            prop_assert_eq!(minutes.iter().map(|(_, scans)| u64::from(scans)).sum::<u64>(), entries.iter().map(|(_, scans)| u64::from(*scans)).sum::<u64>());
            prop_assert_eq!(Minutes::from_bytes(&minutes.to_bytes()), Some(minutes));
        }

        #[test]
        fn foreign_bytes_are_refused_or_read_but_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = Minutes::from_bytes(&bytes);
        }
    }
}
