//! A webhook as it is kept: card numbers taken out, and what became of it.

use kernel::Timestamp;

use crate::provider::{ProviderId, Webhook};

kernel::id!(
    /// A webhook that came.
    pub struct WebhookId = "pwh"
);

/// Its headers and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Names in small letters and values.
    pub headers: Vec<(String, String)>,
    /// The body, card numbers taken out.
    pub body: Vec<u8>,
}

impl Stored {
    /// As an adapter reads it.
    pub fn as_webhook(&self) -> Webhook<'_> {
        Webhook { headers: &self.headers, body: &self.body }
    }
}

/// A webhook that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookRow {
    /// Its identifier.
    pub id: WebhookId,
    /// From this provider, if it is to be believed.
    pub provider: ProviderId,
    /// What it was.
    pub stored: Stored,
    /// `signed`, `checked_later` or `hint`; a forged one is kept nowhere.
    pub trust: String,
    /// `received`, `applied`, `ignored`, `unreadable`, or `refused` where it names two payments at once.
    pub state: String,
    /// Why, for operators.
    pub note: Option<String>,
    /// How often it came.
    pub times: i64,
    /// When it came first.
    pub received_at: Timestamp,
    /// When it was worked off.
    pub settled_at: Option<Timestamp>,
}
