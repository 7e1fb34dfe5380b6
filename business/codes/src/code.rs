//! The noun: what a code is and how it may change. No I/O.

use kernel::{Timestamp, WorkspaceId};

use crate::destination::{Destination, TargetUrl};
use crate::label::{Name, Tags};
use crate::public_code::PublicCode;

kernel::id!(
    /// Codes that were minted by one call.
    pub struct BatchId = "batch"
);

/// How far along a code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeState {
    /// It exists, perhaps in print, and leads nowhere yet.
    Minted,
    /// It leads to its destination.
    Live(Destination),
    /// Its owner has stopped it for a while; it keeps its destination.
    Paused(Destination),
    /// It will never lead anywhere again.
    Retired,
}

/// A step that the code's state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// The code leads nowhere, so there is nothing to pause, resume or release.
    #[error("this code is not bound to anything yet")]
    NotBound,
    /// The code is retired for good.
    #[error("this code is retired and cannot be used again")]
    Retired,
}

impl CodeState {
    /// The word that is stored and shown.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Minted => "minted",
            Self::Live(_) => "live",
            Self::Paused(_) => "paused",
            Self::Retired => "retired",
        }
    }

    /// Where it leads, or would if it were not paused.
    pub fn destination(&self) -> Option<&Destination> {
        match self {
            Self::Live(destination) | Self::Paused(destination) => Some(destination),
            Self::Minted | Self::Retired => None,
        }
    }

    /// Back from its columns; `None` when they contradict each other.
    pub(crate) fn from_columns(word: &str, destination: Option<Destination>) -> Option<Self> {
        match (word, destination) {
            ("minted", None) => Some(Self::Minted),
            ("live", Some(destination)) => Some(Self::Live(destination)),
            ("paused", Some(destination)) => Some(Self::Paused(destination)),
            ("retired", None) => Some(Self::Retired),
            _ => None,
        }
    }

    /// Leads to `destination` from now on. A paused code stays paused, so that re-binding never opens what its owner closed.
    pub fn bind(self, destination: Destination) -> Result<Self, StepError> {
        match self {
            Self::Minted | Self::Live(_) => Ok(Self::Live(destination)),
            Self::Paused(_) => Ok(Self::Paused(destination)),
            Self::Retired => Err(StepError::Retired),
        }
    }

    /// Leads nowhere any more and may be bound again.
    pub fn release(self) -> Result<Self, StepError> {
        match self {
            Self::Live(_) | Self::Paused(_) => Ok(Self::Minted),
            Self::Minted => Err(StepError::NotBound),
            Self::Retired => Err(StepError::Retired),
        }
    }

    /// Stops for a while; pausing twice is no error.
    pub fn pause(self) -> Result<Self, StepError> {
        match self {
            Self::Live(destination) | Self::Paused(destination) => Ok(Self::Paused(destination)),
            Self::Minted => Err(StepError::NotBound),
            Self::Retired => Err(StepError::Retired),
        }
    }

    /// Leads to its destination again; resuming twice is no error.
    pub fn resume(self) -> Result<Self, StepError> {
        match self {
            Self::Live(destination) | Self::Paused(destination) => Ok(Self::Live(destination)),
            Self::Minted => Err(StepError::NotBound),
            Self::Retired => Err(StepError::Retired),
        }
    }

    /// Ends for good; retiring twice is no error.
    pub fn retire(self) -> Self {
        Self::Retired
    }
}

/// What may be recorded of a scan, each on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recording {
    /// The network address.
    pub address: bool,
    /// The place that is derived from it.
    pub place: bool,
    /// The device: kind, system, and the hash that tells visitors apart within one day.
    pub device: bool,
}

impl Default for Recording {
    /// What a workspace starts with: no addresses.
    fn default() -> Self {
        Self { address: false, place: true, device: true }
    }
}

/// A code's own switches; `None` follows its workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordingChoice {
    /// The network address.
    pub address: Option<bool>,
    /// The place.
    pub place: Option<bool>,
    /// The device.
    pub device: Option<bool>,
}

impl RecordingChoice {
    /// What holds for a code of a workspace with these switches.
    pub fn over(self, workspace: Recording) -> Recording {
        Recording {
            address: self.address.unwrap_or(workspace.address),
            place: self.place.unwrap_or(workspace.place),
            device: self.device.unwrap_or(workspace.device),
        }
    }
}

/// A code with everything its owner may see and change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// What is printed.
    pub code: PublicCode,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The call that minted it, if that minted several.
    pub batch: Option<BatchId>,
    /// How far along it is, and where it leads.
    pub state: CodeState,
    /// What its owner calls it; may be empty.
    pub name: Name,
    /// Labels, sorted, lower case.
    pub tags: Tags,
    /// From when it leads to the fallback, if ever.
    pub expires_at: Option<Timestamp>,
    /// Where scans go that find it paused, expired, used up, unbound or retired.
    pub fallback: Option<TargetUrl>,
    /// How many scans it allows in all, if that is limited.
    pub scan_limit: Option<i64>,
    /// How many of those are left.
    pub scans_left: Option<i64>,
    /// What may be recorded of its scans.
    pub recording: RecordingChoice,
    /// Raised by one with each change; scans of a limited code do not raise it.
    pub version: i64,
    /// When it was minted.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// What a scan needs to know of a code: one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// What was scanned.
    pub code: PublicCode,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// How far along it is, and where it leads.
    pub state: CodeState,
    /// From when it leads to the fallback, if ever.
    pub expires_at: Option<Timestamp>,
    /// Where scans go that it does not let through.
    pub fallback: Option<TargetUrl>,
    /// How many scans are left, if that is limited, at the moment of reading.
    pub scans_left: Option<i64>,
    /// What may be recorded, the workspace's switches included.
    pub recording: Recording,
    /// The version of the row: an older one never replaces a newer one in a cache.
    pub version: i64,
}

/// What a scan opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opens<'a> {
    /// The destination.
    Destination(&'a Destination),
    /// The fallback, and why.
    Fallback(&'a TargetUrl, Closed),
    /// Nothing but a page that says why.
    Nothing(Closed),
}

/// Why a code does not lead to its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// It is not bound yet.
    Unbound,
    /// Its owner stopped it for a while.
    Paused,
    /// Its time is over.
    Expired,
    /// Its scans are used up.
    UsedUp,
    /// It is retired.
    Retired,
}

impl Resolved {
    /// What a scan at `now` opens. Whoever counts the scans of a limited code exactly decides that part with fresher numbers than
    /// `scans_left` by setting it first.
    pub fn opens(&self, now: Timestamp) -> Opens<'_> {
        let closed = match &self.state {
            CodeState::Minted => Closed::Unbound,
            CodeState::Retired => Closed::Retired,
            CodeState::Paused(_) => Closed::Paused,
            CodeState::Live(_) if self.expires_at.is_some_and(|at| at <= now) => Closed::Expired,
            CodeState::Live(_) if self.scans_left.is_some_and(|left| left <= 0) => Closed::UsedUp,
            CodeState::Live(destination) => return Opens::Destination(destination),
        };
        self.fallback.as_ref().map_or(Opens::Nothing(closed), |fallback| Opens::Fallback(fallback, closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id, RawId};

    fn card(n: u8) -> Destination {
        Destination::thing("card", format!("card_{n}")).unwrap()
    }

    #[test]
    fn a_code_goes_from_minted_over_live_and_paused_to_retired_and_never_back() {
        let live = CodeState::Minted.bind(card(1)).unwrap();
        assert_eq!(live, CodeState::Live(card(1)));
        let paused = live.pause().unwrap();
        assert_eq!(paused.clone().bind(card(2)), Ok(CodeState::Paused(card(2))), "re-binding keeps it closed");
        assert_eq!(paused.clone().resume(), Ok(CodeState::Live(card(1))));
        assert_eq!(paused.clone().release(), Ok(CodeState::Minted));
        let retired = paused.retire();
        assert_eq!(retired.clone().bind(card(1)), Err(StepError::Retired));
        assert_eq!(retired.clone().resume(), Err(StepError::Retired));
        assert_eq!(retired.clone().release(), Err(StepError::Retired));
        assert_eq!(retired.pause(), Err(StepError::Retired));
        assert_eq!(CodeState::Minted.pause(), Err(StepError::NotBound));
        assert_eq!(CodeState::Minted.release(), Err(StepError::NotBound));
    }

    #[test]
    fn columns_that_contradict_each_other_are_not_a_state() {
        assert_eq!(CodeState::from_columns("live", None), None);
        assert_eq!(CodeState::from_columns("minted", Some(card(1))), None);
        assert_eq!(CodeState::from_columns("asleep", None), None);
        assert_eq!(CodeState::from_columns("paused", Some(card(1))), Some(CodeState::Paused(card(1))));
    }

    #[test]
    fn a_scan_opens_the_destination_or_the_fallback_or_says_why_not() {
        let now = Timestamp::from_seconds(100);
        let fallback = TargetUrl::parse("https://example.com/gone", "https://go.acme.io").unwrap();
        let row = Resolved {
            code: PublicCode::from_number(1).unwrap(),
            workspace: WorkspaceId::from_raw(RawId::from_bits(1)),
            state: CodeState::Live(card(1)),
            expires_at: Some(Timestamp::from_seconds(101)),
            fallback: None,
            scans_left: Some(1),
            recording: Recording::default(),
            version: 1,
        };
        assert_eq!(row.opens(now), Opens::Destination(&card(1)));
        let expired = Resolved { expires_at: Some(now), ..row.clone() };
        assert_eq!(expired.opens(now), Opens::Nothing(Closed::Expired));
        let used_up = Resolved { scans_left: Some(0), fallback: Some(fallback.clone()), ..row.clone() };
        assert_eq!(used_up.opens(now), Opens::Fallback(&fallback, Closed::UsedUp));
        for (state, why) in
            [(CodeState::Minted, Closed::Unbound), (CodeState::Paused(card(1)), Closed::Paused), (CodeState::Retired, Closed::Retired)]
        {
            assert_eq!(Resolved { state, ..row.clone() }.opens(now), Opens::Nothing(why));
        }
    }

    #[test]
    fn a_codes_own_switches_win_over_its_workspaces() {
        let own = RecordingChoice { address: Some(true), place: None, device: Some(false) };
        assert_eq!(
            own.over(Recording { address: false, place: true, device: true }),
            Recording { address: true, place: true, device: false }
        );
    }
}
