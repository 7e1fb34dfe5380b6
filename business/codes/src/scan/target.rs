//! The noun: what is kept in memory of a code, ready to answer a scan. Pure.

use http::HeaderValue;
use kernel::{Timestamp, WorkspaceId};

use super::merge;
use crate::{Closed, CodeState, Destination, PublicCode, Recording, Resolved, TargetUrl, Thing};

/// A code as a scan needs it, with its `Location` made beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    code: PublicCode,
    workspace: WorkspaceId,
    to: To,
    fallback: Option<HeaderValue>,
    expires_at: Option<Timestamp>,
    scans_left: Option<i64>,
    recording: Recording,
    version: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum To {
    Location(HeaderValue),
    Thing(Thing),
    Closed(Closed),
}

/// What a scan meets at its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way<'a> {
    /// An address to go to: the destination's or the fallback's.
    Location(&'a HeaderValue),
    /// A thing of another module to open.
    Thing(&'a Thing),
    /// Nothing, and why.
    Closed(Closed),
}

impl From<&Resolved> for Target {
    fn from(row: &Resolved) -> Self {
        let to = match &row.state {
            CodeState::Minted => To::Closed(Closed::Unbound),
            CodeState::Paused(_) => To::Closed(Closed::Paused),
            CodeState::Retired => To::Closed(Closed::Retired),
            CodeState::Live(destination) => match (destination, destination.location()) {
                (Destination::Thing(thing), _) => To::Thing(thing.clone()),
                // An address is ASCII by its type; should one not fit into a header all the same, it leads nowhere.
                (_, location) => {
                    location.and_then(|url| HeaderValue::from_str(&url).ok()).map_or(To::Closed(Closed::Unbound), To::Location)
                }
            },
        };
        Self {
            code: row.code,
            workspace: row.workspace,
            to,
            fallback: row.fallback.as_ref().and_then(|url: &TargetUrl| HeaderValue::from_str(url.as_str()).ok()),
            expires_at: row.expires_at,
            scans_left: row.scans_left,
            recording: row.recording,
            version: row.version,
        }
    }
}

impl Target {
    /// What was scanned.
    pub fn code(&self) -> PublicCode {
        self.code
    }

    /// Whose it is.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// The thing that a scan opens, if it is one of another module.
    pub fn thing(&self) -> Option<&Thing> {
        match &self.to {
            To::Thing(thing) => Some(thing),
            _ => None,
        }
    }

    /// What may be recorded.
    pub fn recording(&self) -> Recording {
        self.recording
    }

    /// The version of the row it was made from.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Whether its scans are numbered, so that each must ask the database.
    pub fn is_limited(&self) -> bool {
        self.scans_left.is_some()
    }

    /// What a scan at `now` meets. `has_left` says whether there was a scan left for it, where they are limited.
    pub fn way(&self, now: Timestamp, has_left: bool) -> Way<'_> {
        let closed = match &self.to {
            To::Closed(closed) => *closed,
            _ if self.expires_at.is_some_and(|at| at <= now) => Closed::Expired,
            _ if !has_left => Closed::UsedUp,
            To::Location(location) => return Way::Location(location),
            To::Thing(thing) => return Way::Thing(thing),
        };
        self.fallback.as_ref().map_or(Way::Closed(closed), Way::Location)
    }

    /// Whether a scan at `now` would use one up, if its number is limited.
    pub fn is_open(&self, now: Timestamp) -> bool {
        !matches!(self.to, To::Closed(_)) && self.expires_at.is_none_or(|at| at > now)
    }

    /// Whether there was a scan left when the row was read.
    pub fn has_left(&self) -> bool {
        self.scans_left.is_none_or(|left| left > 0)
    }

    /// Bytes behind it on the heap, about.
    pub fn weight(&self) -> usize {
        let to = match &self.to {
            To::Location(location) => location.len() + 48,
            To::Thing(thing) => thing.kind().len() + thing.id().len() + 32,
            To::Closed(_) => 0,
        };
        size_of::<Self>() + 16 + to + self.fallback.as_ref().map_or(0, |location| location.len() + 48)
    }
}

/// The `Location` of a scan with this query.
pub fn location_with(location: &HeaderValue, query: Option<&str>) -> HeaderValue {
    let merged = query.filter(|query| !query.is_empty()).and_then(|query| merge::merged(location.to_str().ok()?, query));
    merged.and_then(|merged| HeaderValue::try_from(merged).ok()).unwrap_or_else(|| location.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    use kernel::{Id, RawId};

    fn row(state: CodeState) -> Resolved {
        Resolved {
            code: PublicCode::from_number(7).unwrap(),
            workspace: WorkspaceId::from_raw(RawId::from_bits(1)),
            state,
            expires_at: Some(Timestamp::from_seconds(100)),
            fallback: None,
            scans_left: None,
            recording: Recording::default(),
            version: 3,
        }
    }

    fn url(text: &str) -> TargetUrl {
        TargetUrl::parse(text, "https://go.acme.io").unwrap()
    }

    #[test]
    fn a_target_leads_where_its_row_leads() {
        let (before, after) = (Timestamp::from_seconds(99), Timestamp::from_seconds(100));
        let live = row(CodeState::Live(Destination::Url(url("https://example.com/menu"))));
        let target = Target::from(&live);
        assert_eq!(target.way(before, true), Way::Location(&HeaderValue::from_static("https://example.com/menu")));
        assert_eq!(target.way(after, true), Way::Closed(Closed::Expired));
        assert_eq!(target.way(before, false), Way::Closed(Closed::UsedUp));
        let target = Target::from(&Resolved { fallback: Some(url("https://example.com/over")), ..live });
        assert_eq!(target.way(after, true), Way::Location(&HeaderValue::from_static("https://example.com/over")));
        let card = Target::from(&row(CodeState::Live(Destination::thing("card", "card_1").unwrap())));
        assert!(matches!(card.way(before, true), Way::Thing(thing) if thing.id() == "card_1"));
        for (state, why) in [(CodeState::Minted, Closed::Unbound), (CodeState::Retired, Closed::Retired)] {
            assert_eq!(Target::from(&row(state)).way(before, true), Way::Closed(why));
        }
    }

    #[test]
    fn a_query_is_merged_into_the_location_and_none_costs_nothing() {
        let location = HeaderValue::from_static("https://example.com/?a=1");
        assert_eq!(location_with(&location, Some("b=2")), "https://example.com/?a=1&b=2");
        assert_eq!(location_with(&location, Some("")), "https://example.com/?a=1");
        assert_eq!(location_with(&location, None), "https://example.com/?a=1");
    }
}
