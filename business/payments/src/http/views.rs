//! What goes in and out of the routes of payments.

use gateway::Problem;
use kernel::{Currency, Id as _, Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::commands::{NewPayment, Unknown};
use crate::error::PaymentError;
use crate::intent::{Attempt, AttemptId, AttemptState, CaptureMethod, Intent, IntentId, IntentState, LinkId, Refund, RefundId, StepState};
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
    /// The attempt or refund that is unknown.
    subject: String,
    /// Whether it was done after all. An attempt can only be found not paid.
    is_done: bool,
    /// How you know; kept in the audit trail.
    reason: String,
}

impl ResolveBody {
    pub(super) fn parse(self) -> Result<(Unknown, String), PaymentError> {
        let unknown = match (AttemptId::parse(&self.subject), RefundId::parse(&self.subject)) {
            (Ok(attempt), _) if !self.is_done => Unknown::Attempt(attempt),
            (Ok(_), _) => {
                return Err(PaymentError::field("is_done", "must be false for an attempt: that it was paid is for the provider to say"));
            }
            (_, Ok(refund)) => Unknown::Refund(refund, self.is_done),
            _ => return Err(PaymentError::field("subject", "must be the identifier of an attempt or a refund")),
        };
        Ok((unknown, self.reason))
    }
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

/// One try at one provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PaymentAttemptView {
    /// Its identifier, and the reference that the provider was given.
    pub id: String,
    /// At this provider.
    pub provider: String,
    /// created, held, sending, unknown, requires_action, pending, authorized, charged, declined, expired, voided or quarantined.
    pub state: String,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// What sort of refusal, where it was declined.
    pub error_class: Option<String>,
    /// The provider's word for the refusal.
    pub error_code: Option<String>,
    /// What was paid where that is not what was asked for, in minor units.
    pub quarantined_minor: Option<i64>,
    /// In which currency.
    pub quarantined_currency: Option<String>,
    /// How much was authorized, in minor units.
    pub authorized_minor: i64,
    /// How much was taken, in minor units.
    pub captured_minor: i64,
    /// It brought money that another attempt brought too: it is given back.
    pub is_surplus: bool,
    /// The exact crypto amount in its smallest unit.
    pub crypto_amount: Option<String>,
    /// Captures, the oldest first.
    pub captures: Vec<CaptureView>,
    /// When it began.
    #[schema(value_type = String)]
    pub started_at: Timestamp,
}

/// A capture of what was authorized.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CaptureView {
    /// Its identifier.
    pub id: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// requested, sending, pending, unknown, succeeded or failed.
    pub state: String,
    /// The provider's word, where it failed.
    pub error_code: Option<String>,
}

/// Money that is given back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RefundView {
    /// Its identifier.
    pub id: String,
    /// Whose money.
    pub attempt: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// requested, sending, pending, unknown, succeeded or failed.
    pub state: String,
    /// The provider's word, where it failed.
    pub error_code: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub requested_at: Timestamp,
}

fn error_code(state: &StepState) -> Option<String> {
    match state {
        StepState::Failed { code } => Some(code.clone()),
        _ => None,
    }
}

impl From<&Attempt> for PaymentAttemptView {
    fn from(attempt: &Attempt) -> Self {
        let (error_class, error_code_word) = match &attempt.state {
            AttemptState::Declined { class, code } => (Some(class.as_str().to_owned()), Some(code.clone())),
            _ => (None, None),
        };
        let quarantined = match attempt.state {
            AttemptState::Quarantined { paid } => Some(paid),
            _ => None,
        };
        Self {
            id: attempt.id.to_string(),
            provider: attempt.provider.to_string(),
            state: attempt.state.as_str().to_owned(),
            provider_ref: attempt.provider_ref.clone(),
            error_class,
            error_code: error_code_word,
            quarantined_minor: quarantined.map(|paid| paid.amount_minor),
            quarantined_currency: quarantined.map(|paid| paid.currency.to_string()),
            authorized_minor: attempt.authorized_minor,
            captured_minor: attempt.captured_minor,
            is_surplus: attempt.is_surplus,
            crypto_amount: attempt.crypto_amount.clone(),
            captures: attempt
                .captures
                .iter()
                .map(|capture| CaptureView {
                    id: capture.id.to_string(),
                    amount_minor: capture.amount_minor,
                    state: capture.state.as_str().to_owned(),
                    error_code: error_code(&capture.state),
                })
                .collect(),
            started_at: attempt.started_at,
        }
    }
}

impl From<&Refund> for RefundView {
    fn from(refund: &Refund) -> Self {
        Self {
            id: refund.id.to_string(),
            attempt: refund.attempt.to_string(),
            amount_minor: refund.amount_minor,
            currency: refund.currency.to_string(),
            state: refund.state.as_str().to_owned(),
            error_code: error_code(&refund.state),
            reason: refund.reason.clone(),
            requested_at: refund.requested_at,
        }
    }
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
