//! The noun: a webhook endpoint, what it listens to, and how a delivery to it may end. No I/O.

use std::time::Duration;

use gateway::AllowedNetworks;
use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::NotificationError;

kernel::id!(
    /// A webhook endpoint.
    pub struct EndpointId = "whe"
);
kernel::id!(
    /// One attempt at a delivery.
    pub struct AttemptId = "wha"
);

/// Endpoints of a workspace.
pub(crate) const ENDPOINTS_MAX: usize = 50;
/// The body of a webhook, in bytes; the specification asks to stay below it.
pub(crate) const BODY_BYTES_MAX: usize = 20_000;
/// How long an endpoint may fail before it is switched off.
pub(crate) const FAILING_MAX: Duration = Duration::from_secs(5 * 24 * 3600);
/// The longest that an old secret stays valid after a rotation.
pub(crate) const OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// Which events an endpoint is told of: names such as `lead.captured`, or everything under one, `lead.*`; none means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTypes(Vec<String>);

impl EventTypes {
    /// At most 50 names of at most 100 letters, digits, `_`, `-` and `.`.
    pub fn new(names: Vec<String>) -> Result<Self, NotificationError> {
        let refuse = || NotificationError::field("event_types", "must be at most 50 names such as lead.captured or lead.*");
        if names.len() > 50 {
            return Err(refuse());
        }
        for name in &names {
            check_event_type(name.strip_suffix(".*").unwrap_or(name)).map_err(|_| refuse())?;
        }
        Ok(Self(names))
    }

    /// The names.
    pub fn names(&self) -> &[String] {
        &self.0
    }

    /// Whether an event of `name` is among them.
    pub fn include(&self, name: &str) -> bool {
        self.0.is_empty()
            || self.0.iter().any(|known| match known.strip_suffix(".*") {
                Some(group) => name.strip_prefix(group).is_some_and(|rest| rest.starts_with('.')),
                None => known == name,
            })
    }
}

/// Refuses what is not the name of an event.
pub(crate) fn check_event_type(name: &str) -> Result<(), NotificationError> {
    let is_name = !name.is_empty() && name.len() <= 100 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if is_name { Ok(()) } else { Err(NotificationError::field("event_type", "must be a name such as lead.captured")) }
}

/// Refuses what cannot be the id of an event: it is signed as `id.timestamp.body`, so it holds no full stop.
pub(crate) fn check_event_id(id: &str) -> Result<(), NotificationError> {
    let is_id = !id.is_empty() && id.len() <= 100 && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if is_id { Ok(()) } else { Err(NotificationError::field("event_id", "must be 1 to 100 letters, digits, _ and -")) }
}

/// Whether an endpoint gets deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndpointState {
    /// It does; `failing_since` tells since when every delivery has failed.
    Enabled {
        /// When the first failure after the last success was.
        failing_since: Option<Timestamp>,
    },
    /// It does not.
    Disabled {
        /// Why: `gone`, `failing` or `by_hand`.
        reason: String,
    },
}

/// A webhook endpoint of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its identifier.
    pub id: EndpointId,
    /// Where deliveries go.
    pub url: String,
    /// What it is for, in its owner's words.
    pub description: String,
    /// What it is told of.
    pub event_types: EventTypes,
    /// Whether it gets deliveries.
    pub state: EndpointState,
    /// Until when the secret before the current one signs too.
    pub previous_secret_until: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One attempt at a delivery, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its identifier.
    pub id: AttemptId,
    /// The event, which is the `webhook-id` of all its attempts.
    pub event: String,
    /// How it went.
    pub outcome: AttemptOutcome,
    /// The HTTP status, if there was an answer.
    pub status: Option<i64>,
    /// How long it took, in milliseconds.
    pub took_ms: i64,
    /// The beginning of the answer, or why there was none.
    pub answer: String,
    /// When.
    pub attempted_at: Timestamp,
}

/// How an attempt went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The endpoint has it.
    Delivered,
    /// It is tried again.
    Retried,
    /// It was the last one.
    GivenUp,
}

impl AttemptOutcome {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Retried => "retried",
            Self::GivenUp => "given_up",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Delivered, Self::Retried, Self::GivenUp].into_iter().find(|outcome| outcome.as_str() == text)
    }
}

/// Refuses a URL that could never be delivered to, or that already names an address inside. The guard judges the address
/// again at every delivery: what a name points to may change.
pub(crate) fn check_url(text: &str, allowed: &AllowedNetworks) -> Result<String, NotificationError> {
    let refuse = |message: &str| Err(NotificationError::field("url", message));
    if text.len() > 2_000 {
        return refuse("must be at most 2000 bytes");
    }
    let Ok(url) = Url::parse(text) else { return refuse("must be a URL such as https://example.org/hook") };
    if !matches!(url.scheme(), "https" | "http") {
        return refuse("must begin with https:// or http://");
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return refuse("must have no user name, password or fragment");
    }
    if url.host().is_none() {
        return refuse("must name a host");
    }
    if !allowed.permits_url(&url) {
        return refuse("must not point to a private or reserved address");
    }
    Ok(url.into())
}

/// How long to wait before the attempt after `made` failed ones; none when that was the last. Twelve attempts over three
/// days; an answer's Retry-After may put one off further.
pub(crate) fn retry_wait(made: u32) -> Option<Duration> {
    const WAITS_S: [u64; 11] = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400];
    let index = usize::try_from(made.saturating_sub(1)).ok()?;
    WAITS_S.get(index).copied().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_hears_of_what_it_listens_to() {
        let types = |names: &[&str]| EventTypes::new(names.iter().map(|n| (*n).to_owned()).collect()).unwrap();
        assert!(types(&[]).include("lead.captured"));
        assert!(types(&["lead.*"]).include("lead.captured"));
        assert!(!types(&["lead.*"]).include("leader.elected"));
        assert!(!types(&["lead.*"]).include("lead"));
        assert!(types(&["lead.captured"]).include("lead.captured"));
        assert!(!types(&["lead.captured"]).include("lead.captured.twice"));
        assert!(EventTypes::new(vec!["*".into()]).is_err() && EventTypes::new(vec!["a b".into()]).is_err());
    }

    #[test]
    fn a_url_that_points_inside_is_refused_however_it_is_spelled() {
        let guard = AllowedNetworks::default();
        for bad in [
            "ftp://example.org/",
            "example.org",
            "https://",
            "https://user:pass@example.org/",
            "https://example.org/#x",
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://[::1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://169.254.169.254/latest",
            "http://localhost:8080/",
            "http://a.localhost/",
            "http://LOCALHOST./",
            "http://10.0.0.1/",
            "http://１２７.0.0.1/",
            "http://0/",
            "http://metadata.google.internal/",
        ] {
            assert!(check_url(bad, &guard).is_err(), "{bad}");
        }
        assert!(check_url("https://example.org/hook?a=1", &guard).is_ok());
        let local = AllowedNetworks::parse(["127.0.0.1/32"]).unwrap();
        assert!(check_url("http://127.0.0.1:9000/", &local).is_ok());
        assert!(check_url("http://localhost:9000/", &local).is_ok());
    }

    #[test]
    fn twelve_attempts_take_some_three_days() {
        let waits: Vec<_> = (1..).map_while(retry_wait).collect();
        assert_eq!(waits.len(), 11);
        assert!((2..4).contains(&(waits.iter().sum::<Duration>().as_secs() / 86_400)));
    }

    #[test]
    fn an_event_id_holds_no_full_stop() {
        assert!(check_event_id("evt_0198").is_ok());
        for bad in ["", "a.b", "a b", "a\r\nb"] {
            assert!(check_event_id(bad).is_err(), "{bad}");
        }
    }
}
