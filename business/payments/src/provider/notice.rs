//! What a provider says by itself: webhooks, and reports of what was settled.

use kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::intent::Observation;

/// A webhook as it came.
#[derive(Debug, Clone, Copy)]
pub struct Webhook<'a> {
    /// Names in small letters and values.
    pub headers: &'a [(String, String)],
    /// The body, byte for byte.
    pub body: &'a [u8],
}

impl Webhook<'_> {
    /// The first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// One thing that a webhook says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Ours, where it is repeated: an attempt, a refund, a payout.
    pub reference: Option<String>,
    /// Theirs.
    pub provider_ref: Option<String>,
    /// What it says of the thing.
    pub observation: Observation,
}

/// Why a webhook is not taken for what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// The signature is missing or wrong.
    #[error("the signature is missing or wrong")]
    Forged,
    /// It was signed too long ago, or for a time that has not come.
    #[error("it was signed at another time")]
    Stale,
    /// It is not what the provider's documents say.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// The account lacks what is needed to check it.
    #[error("the provider's account lacks what is needed to check it")]
    SetUp,
}

/// One line of a report: gross = fee + net, in minor units of one currency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportLine {
    /// What it is about.
    pub kind: LineKind,
    /// Ours, where it is repeated: an attempt, a capture, a refund, a payout.
    pub reference: Option<String>,
    /// Theirs, for the charge, refund or payout.
    pub provider_ref: Option<String>,
    /// The settlement that it is a part of.
    pub batch: Option<String>,
    /// What the payer paid; below zero for what was given back.
    pub gross: Money,
    /// What the provider kept.
    pub fee_minor: i64,
    /// What reaches the bank.
    pub net_minor: i64,
    /// When it happened.
    pub at: Option<Timestamp>,
}

/// What a line of a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LineKind {
    /// Money that came in.
    Payment,
    /// Money given back.
    Refund,
    /// Money paid out to somebody else.
    Payout,
    /// A fee of its own.
    Fee,
}
