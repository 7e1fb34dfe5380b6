//! What goes in and out of the routes of payments.

use gateway::Problem;
use kernel::{Currency, Id as _, Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::attempt_views::{PaymentAttemptView, RefundView};
use crate::commands::{NewPayment, Unknown};
use crate::error::PaymentError;
use crate::intent::{Attempt, AttemptId, AttemptState, CaptureId, CaptureMethod, Intent, IntentId, IntentState, LinkId, RefundId};
use crate::queries::Filter;
use crate::sql::Recorded;

/// Which payments are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PaymentQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only those in this state, such as `succeeded`.
    state: Option<String>,
    /// Only those of this customer.
    customer: Option<String>,
    /// Only those that came from this link.
    link: Option<String>,
}

impl PaymentQuery {
    pub(super) fn filter(self) -> Result<(Filter, Option<IntentId>), Problem> {
        let state = self.state.map(|word| {
            let found = IntentState::ALL.into_iter().find(|state| state.as_str() == word);
            found.ok_or_else(|| PaymentError::field("state", "must be a state of a payment, such as succeeded"))
        });
        let link =
            self.link.map(|text| LinkId::parse(&text)).transpose().map_err(|error| PaymentError::field("link", error.to_string()))?;
        let after = self.after.map(|text| IntentId::parse(&text)).transpose();
        let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
        Ok((Filter { state: state.transpose()?, customer: self.customer, link }, after))
    }
}

/// How long an answer may be waited for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Seconds, at most 20, until the payment is as it is then.
    #[param(minimum = 0, maximum = 20)]
    pub(super) wait_s: Option<u64>,
}

/// Reads a currency of a field.
pub(super) fn currency(text: &str) -> Result<Currency, PaymentError> {
    Currency::parse(text).map_err(|error| PaymentError::field("currency", error.to_string()))
}

/// A payment that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPaymentBody {
    /// How much, in minor units: 1250 is 12.50 EUR, 1250 JPY, 1.250 KWD.
    #[schema(minimum = 1, example = 1250)]
    amount_minor: i64,
    /// ISO 4217.
    #[schema(example = "EUR")]
    currency: String,
    /// `automatic` (the default) takes the money as soon as the payer agreed, `manual` waits for a capture.
    capture_method: Option<CaptureMethodWord>,
    /// Who pays, by your identifier.
    customer: Option<String>,
    /// What for, as the payer reads it.
    description: Option<String>,
    /// Where the payer is: two capital letters (ISO 3166-1).
    country: Option<String>,
    /// How they want to pay, such as `card`.
    method: Option<String>,
    /// The beginning of the ledger account's code that the money is for; the currency follows.
    credit_account: Option<String>,
    /// Where the payer goes afterwards: an https address.
    return_url: Option<String>,
    /// Your own words: an object of at most 2 KiB.
    #[schema(value_type = Option<Object>)]
    metadata: Option<serde_json::Value>,
    /// When it can no longer be begun to pay (RFC 3339).
    #[schema(value_type = Option<String>)]
    expires_at: Option<Timestamp>,
    /// The payer's name, for providers that insist on one.
    payer_name: Option<String>,
    /// The payer's email address, for the receipt.
    payer_email: Option<String>,
    /// The payer's phone number (E.164).
    payer_phone: Option<String>,
}

/// When the money is taken.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMethodWord {
    /// As soon as the payer agreed.
    Automatic,
    /// When the merchant says so.
    Manual,
}

impl NewPaymentBody {
    pub(super) fn parse(self) -> Result<NewPayment, PaymentError> {
        let amount = Money::new(self.amount_minor, currency(&self.currency)?);
        Ok(NewPayment {
            capture_method: match self.capture_method {
                Some(CaptureMethodWord::Manual) => CaptureMethod::Manual,
                _ => CaptureMethod::Automatic,
            },
            customer: self.customer,
            description: self.description,
            country: self.country,
            method: self.method,
            link: None,
            credit_account: self.credit_account,
            return_url: self.return_url,
            metadata: self.metadata,
            expires_at: self.expires_at,
            payer_name: self.payer_name,
            payer_email: self.payer_email,
            payer_phone: self.payer_phone,
            ..NewPayment::of(amount)
        })
    }
}

/// How much is to be captured.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaptureBody {
    /// Minor units; all that is left when absent.
    #[schema(minimum = 1)]
    pub(super) amount_minor: Option<i64>,
    /// The rest is released with it.
    pub(super) is_last: Option<bool>,
}

/// What a person decided about an attempt that was held back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewBody {
    /// It goes on; otherwise it ends.
    pub(super) is_released: bool,
}

/// How something ended that stays unknown.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResolveBody {
    /// The attempt, capture or refund that is unknown; the attempt too where its release is.
    subject: String,
    /// Whether it was done after all: as much as the provider says, where that is not what was asked for. That an attempt was paid
    /// is for the provider to say. Large amounts take two people who say the same.
    is_done: bool,
    /// How you know; kept in the audit trail.
    reason: String,
}

impl ResolveBody {
    pub(super) fn parse(self) -> Result<(Unknown, String), PaymentError> {
        let subject = &self.subject;
        let unknown = match (AttemptId::parse(subject), RefundId::parse(subject), CaptureId::parse(subject)) {
            (Ok(attempt), ..) if self.is_done => Unknown::Release(attempt),
            (Ok(attempt), ..) => Unknown::Attempt(attempt),
            (_, Ok(refund), _) => Unknown::Refund(refund, self.is_done),
            (.., Ok(capture)) => Unknown::Capture(capture, self.is_done),
            _ => return Err(PaymentError::field("subject", "must be the identifier of an attempt, a capture or a refund")),
        };
        Ok((unknown, self.reason))
    }
}

/// Why somebody decides so.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReasonBody {
    /// Why; kept in the audit trail.
    pub(super) reason: String,
}

/// Who is to be forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayerBody {
    /// Their email address.
    #[schema(example = "ada@example.org")]
    email: String,
}

impl PayerBody {
    pub(super) fn email(&self) -> Result<people::Email, PaymentError> {
        people::Email::parse(&self.email).map_err(|_| PaymentError::field("email", "must be an email address such as ada@example.org"))
    }
}

/// What was forgotten.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayerErasedView {
    /// Of so many payments.
    pub payments: u64,
}

/// How much is to be given back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RefundBody {
    /// Minor units; all that is left when absent.
    #[schema(minimum = 1)]
    pub(super) amount_minor: Option<i64>,
    /// Why, in your words.
    pub(super) reason: Option<String>,
    /// Whose money, where that is not the attempt that counts: one that is quarantined.
    pub(super) attempt: Option<String>,
}

/// A payment: what is to be paid, the attempts at it, and what was given back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentView {
    /// Its identifier.
    pub id: String,
    /// requires_payment_method, requires_action, processing, requires_capture, partially_captured, succeeded, canceled, failed
    /// or expired.
    pub state: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// `automatic` or `manual`.
    pub capture_method: String,
    /// How much came in and counts, in minor units.
    pub captured_minor: i64,
    /// How much can still be captured, in minor units.
    pub capturable_minor: i64,
    /// How much of it was given back, in minor units.
    pub refunded_minor: i64,
    /// Where the payer goes now, if a page waits for them.
    pub page_url: Option<String>,
    /// Who pays.
    pub customer: Option<String>,
    /// What for.
    pub description: Option<String>,
    /// The link that it came from.
    pub link: Option<String>,
    /// The beginning of the ledger account's code that the money is for.
    pub credit_account: String,
    /// Your own words.
    #[schema(value_type = Option<Object>)]
    pub metadata: Option<serde_json::Value>,
    /// Every attempt, the oldest first.
    pub attempts: Vec<PaymentAttemptView>,
    /// Every refund, the oldest first.
    pub refunds: Vec<RefundView>,
    /// How often it changed.
    pub version: i64,
    /// When it can no longer be begun to pay.
    #[schema(value_type = Option<String>)]
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String)]
    pub changed_at: Timestamp,
}

impl From<&Intent> for PaymentView {
    fn from(intent: &Intent) -> Self {
        let page_url = match intent.open_attempt().map(|attempt| &attempt.state) {
            Some(AttemptState::RequiresAction { url, .. }) => Some(url.clone()),
            _ => None,
        };
        Self {
            id: intent.id.to_string(),
            state: intent.state().as_str().to_owned(),
            amount_minor: intent.amount.amount_minor,
            currency: intent.amount.currency.to_string(),
            capture_method: match intent.capture_method {
                CaptureMethod::Automatic => "automatic".to_owned(),
                CaptureMethod::Manual => "manual".to_owned(),
            },
            captured_minor: intent.captured_minor(),
            capturable_minor: intent.kept().map_or(0, Attempt::capturable_minor),
            refunded_minor: intent.refunded_minor(),
            page_url,
            customer: intent.customer.clone(),
            description: intent.description.clone(),
            link: intent.link.map(|link| link.to_string()),
            credit_account: intent.credit_account.clone(),
            metadata: intent.metadata.clone(),
            attempts: intent.attempts.iter().map(PaymentAttemptView::from).collect(),
            refunds: intent.refunds.iter().map(RefundView::from).collect(),
            version: intent.version,
            expires_at: intent.expires_at,
            created_at: intent.created_at,
            changed_at: intent.changed_at,
        }
    }
}

/// Something that happened to a payment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentEventView {
    /// Which one, from 1.
    pub version: i64,
    /// What happened.
    pub name: String,
    /// Who asked for it.
    pub actor: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The event as it is kept.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

impl From<&Recorded> for PaymentEventView {
    fn from(recorded: &Recorded) -> Self {
        Self {
            version: recorded.version,
            name: recorded.event.name().to_owned(),
            actor: recorded.actor.clone(),
            at: recorded.at,
            body: serde_json::to_value(&recorded.event).unwrap_or_default(),
        }
    }
}
