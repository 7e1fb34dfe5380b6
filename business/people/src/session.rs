//! The noun: a session, how long it lives and what it runs on. No I/O.

use std::str::FromStr;
use std::time::Duration;

use kernel::{MemberId, Timestamp, WorkspaceId};
use serde::Serialize;

use crate::{PeopleError, PersonId, Role};

kernel::id!(
    /// One place where a person is signed in.
    pub struct SessionId = "ses"
);

kernel::id!(
    /// A sign-in link that was asked for.
    pub(crate) struct LinkId = "lnk"
);

/// A session ends when it was not used for this long.
pub const SESSION_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// When a session was last seen is written down at most this often.
pub(crate) const SEEN_EVERY: Duration = Duration::from_secs(3600);
/// A sign-in link works this long.
pub(crate) const LINK_LIFE: Duration = Duration::from_secs(15 * 60);
/// How many links are mailed to one address in an hour.
pub(crate) const LINKS_PER_HOUR_MAX: i64 = 5;
/// How many sessions a person may have; the one that was used least recently makes room.
pub(crate) const SESSIONS_MAX: i64 = 50;
/// So long after a sign-in by link its session may set a password without the old one.
pub(crate) const PROOF_LIFE: Duration = Duration::from_secs(15 * 60);

/// How a session began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Via {
    /// With a password.
    Password,
    /// With a link that was mailed or printed on the terminal.
    Link,
    /// By accepting an invitation.
    Invitation,
}

impl Via {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Link => "link",
            Self::Invitation => "invitation",
        }
    }
}

impl FromStr for Via {
    type Err = PeopleError;
    fn from_str(text: &str) -> Result<Self, PeopleError> {
        match text {
            "password" => Ok(Self::Password),
            "link" => Ok(Self::Link),
            "invitation" => Ok(Self::Invitation),
            _ => Err(PeopleError::field("via", "must be password, link or invitation")),
        }
    }
}

/// A place where a person is signed in, working in one workspace at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub person: PersonId,
    /// The workspace that was chosen.
    pub workspace: WorkspaceId,
    /// The person's membership there.
    pub member: MemberId,
    /// The person's role there.
    pub role: Role,
    /// What it runs on.
    pub agent: String,
    /// How it began.
    pub via: Via,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was last used, to the hour.
    pub seen_at: Timestamp,
    /// When it ends if it is not used again.
    pub expires_at: Timestamp,
}

impl Session {
    /// Whether it may set a password without the old one: it began by a link a moment ago.
    pub(crate) fn is_fresh_from_link(&self, now: Timestamp) -> bool {
        matches!(self.via, Via::Link | Via::Invitation) && now.since(self.created_at) <= PROOF_LIFE
    }

    /// Whether it is time to write down that it is used.
    pub(crate) fn is_due_to_be_seen(&self, now: Timestamp) -> bool {
        now.since(self.seen_at) >= SEEN_EVERY
    }
}

/// A sign-in that worked. The token is the secret of the cookie and exists nowhere else.
#[derive(Clone)]
pub struct SignedIn {
    /// The cookie's value.
    pub token: String,
    /// The session.
    pub session: SessionId,
    /// The person.
    pub person: PersonId,
    /// The workspace that opens.
    pub workspace: WorkspaceId,
    /// The person's membership there.
    pub member: MemberId,
    /// When the session ends if it is not used.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for SignedIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignedIn").field("session", &self.session).finish_non_exhaustive()
    }
}

/// What somebody signs in with, coarse enough to recognise an own device by and too coarse to follow anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentClass(String);

impl AgentClass {
    /// Reads a `User-Agent` header.
    pub fn of(user_agent: Option<&str>) -> Self {
        let text = user_agent.unwrap_or_default();
        let first = |pairs: &[(&str, &'static str)]| pairs.iter().find(|(mark, _)| text.contains(mark)).map(|(_, name)| *name);
        // Order matters: Edge says Chrome, Chrome says Safari, everything says Mozilla; Android says Linux, iPhones say Mac.
        let browser = first(&[
            ("Edg", "Edge"),
            ("OPR/", "Opera"),
            ("Firefox/", "Firefox"),
            ("FxiOS/", "Firefox"),
            ("CriOS/", "Chrome"),
            ("Chrome/", "Chrome"),
            ("Safari/", "Safari"),
        ]);
        let system = first(&[
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Android", "Android"),
            ("Windows", "Windows"),
            ("Mac OS X", "Mac"),
            ("CrOS", "ChromeOS"),
            ("Linux", "Linux"),
        ]);
        Self(match (browser, system) {
            (Some(browser), Some(system)) => format!("{browser} on {system}"),
            (Some(browser), None) => browser.to_owned(),
            (None, Some(system)) => format!("a program on {system}"),
            (None, None) => "a program".to_owned(),
        })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_told_coarsely() {
        let of = |text| AgentClass::of(Some(text)).as_str().to_owned();
        assert_eq!(
            of(
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1"
            ),
            "Safari on iPhone"
        );
        assert_eq!(
            of("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Safari/537.36 Edg/130.0"),
            "Edge on Windows"
        );
        assert_eq!(
            of("Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0 Mobile Safari/537.36"),
            "Chrome on Android"
        );
        assert_eq!(of("curl/8.5"), "a program");
        assert_eq!(AgentClass::of(None).as_str(), "a program");
    }

    #[test]
    fn only_a_session_fresh_from_a_link_may_set_a_password_without_the_old_one() {
        let began = Timestamp::from_seconds(1_000);
        let session = |via| Session {
            id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            person: kernel::Id::from_raw(kernel::RawId::from_bits(2)),
            workspace: kernel::Id::from_raw(kernel::RawId::from_bits(3)),
            member: kernel::Id::from_raw(kernel::RawId::from_bits(4)),
            role: Role::Member,
            agent: String::new(),
            via,
            created_at: began,
            seen_at: began,
            expires_at: began.plus(SESSION_LIFE),
        };
        assert!(session(Via::Link).is_fresh_from_link(began.plus(PROOF_LIFE)));
        assert!(!session(Via::Link).is_fresh_from_link(began.plus(PROOF_LIFE + Duration::from_secs(1))));
        assert!(!session(Via::Password).is_fresh_from_link(began));
    }
}
