//! What goes in and out of the routes of links and webhooks.

use kernel::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::views::currency;
use crate::commands::NewLink;
use crate::error::PaymentError;
use crate::link::Link;
use crate::webhook::WebhookRow;

/// A link that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentLinkBody {
    /// How much, in minor units; without it the payer says so.
    #[schema(minimum = 1)]
    amount_minor: Option<i64>,
    /// ISO 4217.
    currency: String,
    /// What for, as the payer reads it.
    description: String,
    /// The beginning of the ledger account's code that the money is for; the currency follows.
    credit_account: Option<String>,
}

impl PaymentLinkBody {
    pub(super) fn parse(self) -> Result<NewLink, PaymentError> {
        Ok(NewLink {
            amount_minor: self.amount_minor,
            currency: currency(&self.currency)?,
            description: self.description,
            credit_account: self.credit_account,
        })
    }
}

/// What of a link changes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LinkEditBody {
    /// Whether it can be paid with.
    pub(super) is_active: bool,
}

/// A payment link.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentLinkView {
    /// Its identifier.
    pub id: String,
    /// Where people pay.
    pub url: String,
    /// How much, in minor units; without it the payer says so.
    pub amount_minor: Option<i64>,
    /// ISO 4217.
    pub currency: String,
    /// What for.
    pub description: String,
    /// The beginning of the ledger account's code that the money is for.
    pub credit_account: String,
    /// Whether it can be paid with.
    pub is_active: bool,
    /// How often it changed.
    pub version: i64,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
}

impl PaymentLinkView {
    pub(super) fn of(link: &Link, public_url: &str) -> Self {
        Self {
            id: link.id.to_string(),
            url: format!("{public_url}/pay/{}", link.id),
            amount_minor: link.amount.map(|amount| amount.amount_minor),
            currency: link.currency.to_string(),
            description: link.description.clone(),
            credit_account: link.credit_account.clone(),
            is_active: link.is_active,
            version: link.version,
            created_at: link.created_at,
        }
    }
}

/// A webhook that came.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProviderWebhookView {
    /// Its identifier.
    pub id: String,
    /// From this provider.
    pub provider: String,
    /// `signed`, `checked_later` or `hint`.
    pub trust: String,
    /// received, applied, ignored or unreadable.
    pub state: String,
    /// Why.
    pub note: Option<String>,
    /// How often it came.
    pub times: i64,
    /// The body, card numbers taken out; at most 4 KiB of it.
    pub body: String,
    /// When it came first.
    #[schema(value_type = String)]
    pub received_at: Timestamp,
}

impl From<&WebhookRow> for ProviderWebhookView {
    fn from(row: &WebhookRow) -> Self {
        let body = String::from_utf8_lossy(&row.stored.body);
        Self {
            id: row.id.to_string(),
            provider: row.provider.to_string(),
            trust: row.trust.clone(),
            state: row.state.clone(),
            note: row.note.clone(),
            times: row.times,
            body: body.chars().take(4_096).collect(),
            received_at: row.received_at,
        }
    }
}
