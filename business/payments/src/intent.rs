//! An intent: what somebody is to pay, the attempts at it, and what was given back. No input or output.
//!
//! An intent changes only by events of its history: a decision reads it and says which events follow, applying them in order
//! rebuilds it from nothing. What an amount was captured from, or refunded to, is always the attempt that brought it.

mod decide;
mod event;
mod history;
mod more;
mod observe;

use kernel::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use decide::step_failed;
pub use decide::{AMOUNT_MAX_MINOR, NewIntent, Refusal};
pub use event::Event;
pub(crate) use more::derived;
pub use more::{DISPUTES_MAX, Dispute, DisputeState, More};
pub use observe::{Observation, Seen};

use crate::provider::{Dialect, ErrorClass, ProviderId};

kernel::id!(
    /// An intent.
    pub struct IntentId = "pay"
);
kernel::id!(
    /// One try to have an intent paid at one provider; also the reference that the provider is given.
    pub struct AttemptId = "pat"
);
kernel::id!(
    /// A capture of what was authorized.
    pub struct CaptureId = "pcp"
);
kernel::id!(
    /// Money given back.
    pub struct RefundId = "prf"
);
kernel::id!(
    /// A link that anybody may pay with.
    pub struct LinkId = "plk"
);

/// Attempts of one intent: a payer who still has none that works is to ask for a new intent.
pub const ATTEMPTS_MAX: usize = 20;
/// Captures of one attempt.
pub const CAPTURES_MAX: usize = 50;
/// Refunds of one intent.
pub const REFUNDS_MAX: usize = 200;

/// When the money is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CaptureMethod {
    /// As soon as the payer agreed.
    Automatic,
    /// When the merchant says so, and as much as they say.
    Manual,
}

/// How far along an intent is; follows from its attempts and captures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Nobody tries to pay it.
    RequiresPaymentMethod,
    /// A provider's page waits for the payer.
    RequiresAction,
    /// A provider is at it, or its answer is not known yet.
    Processing,
    /// The money is authorized and waits for the merchant.
    RequiresCapture,
    /// A part was captured, and more can be.
    PartiallyCaptured,
    /// The money is here.
    Succeeded,
    /// The merchant called it off.
    Canceled,
    /// It cannot be paid any more: too many attempts failed.
    Failed,
    /// Its time was over before it was paid.
    Expired,
}

impl IntentState {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::RequiresPaymentMethod,
        Self::RequiresAction,
        Self::Processing,
        Self::RequiresCapture,
        Self::PartiallyCaptured,
        Self::Succeeded,
        Self::Canceled,
        Self::Failed,
        Self::Expired,
    ];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresAction => "requires_action",
            Self::Processing => "processing",
            Self::RequiresCapture => "requires_capture",
            Self::PartiallyCaptured => "partially_captured",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
            Self::Failed => "failed",
            Self::Expired => "expired",
        }
    }
}

/// How far along one thing is that a provider was asked to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum StepState {
    /// It is to be asked for; nothing was sent.
    Requested,
    /// It is being sent; stored before the first byte leaves.
    Sending,
    /// The provider has taken it and is not done.
    Pending,
    /// It was sent and how that ended is not known: never repeated under another key, never taken for failed.
    Unknown,
    /// Done.
    Succeeded,
    /// The provider surely did not do it.
    Failed {
        /// The provider's word for it.
        code: String,
    },
}

impl StepState {
    /// Whether it may still take effect, or has.
    pub const fn may_count(&self) -> bool {
        !matches!(self, Self::Failed { .. })
    }

    /// Whether nothing will change it any more.
    pub const fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed { .. })
    }

    /// Its word in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Sending => "sending",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Succeeded => "succeeded",
            Self::Failed { .. } => "failed",
        }
    }
}

/// How far along an attempt is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum AttemptState {
    /// Decided; nothing was sent.
    Created,
    /// Monitoring holds it back until a person decides; nothing was sent.
    Held {
        /// The rule's words.
        reason: String,
    },
    /// The provider is being asked for a page; stored before the first byte leaves.
    Sending,
    /// Sent, and how that ended is not known. Never retried at another provider, never reported as failed.
    Unknown,
    /// The provider's page waits for the payer.
    RequiresAction {
        /// Where the payer goes.
        url: String,
        /// When the page closes by itself.
        expires_at: Option<Timestamp>,
    },
    /// The payer agreed, the provider is not done.
    Pending,
    /// The money is set aside for us.
    Authorized,
    /// The money, or a part of it, was taken.
    Charged,
    /// The provider surely did not take money.
    Declined {
        /// What sort of refusal.
        class: ErrorClass,
        /// The provider's word for it.
        code: String,
    },
    /// The page was closed before anybody paid.
    Expired,
    /// What was authorized was released.
    Voided,
    /// Another amount or currency was paid than was asked for: kept apart until a person decides.
    Quarantined {
        /// What was paid.
        paid: Money,
    },
}

impl AttemptState {
    /// Its word in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Held { .. } => "held",
            Self::Sending => "sending",
            Self::Unknown => "unknown",
            Self::RequiresAction { .. } => "requires_action",
            Self::Pending => "pending",
            Self::Authorized => "authorized",
            Self::Charged => "charged",
            Self::Declined { .. } => "declined",
            Self::Expired => "expired",
            Self::Voided => "voided",
            Self::Quarantined { .. } => "quarantined",
        }
    }
}

/// A capture of a part, or all, of what was authorized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// Its identifier, and the key that the provider is given.
    pub id: CaptureId,
    /// How much, in minor units of the intent's currency.
    pub amount_minor: i64,
    /// The rest is released with it.
    pub is_last: bool,
    /// How far along it is.
    pub state: StepState,
    /// When its first byte was about to leave: from then on the provider keeps its key.
    #[serde(default)]
    pub sent_at: Option<Timestamp>,
    /// What the provider says that it took, where that is not what was asked for: a person looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Money>,
    /// Who says that it was done, where a second person has to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_said_by: Option<String>,
}

/// One try to have an intent paid at one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// Its identifier, and the reference and key that the provider is given.
    pub id: AttemptId,
    /// At which of the workspace's providers.
    pub provider: ProviderId,
    /// What that one speaks.
    pub dialect: Dialect,
    /// How far along it is.
    pub state: AttemptState,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// The provider's name for the charge itself, where that is another one.
    pub charge_ref: Option<String>,
    /// How much was authorized, in minor units.
    pub authorized_minor: i64,
    /// How much was taken, in minor units.
    pub captured_minor: i64,
    /// It brought money that another attempt, or nobody, was to bring: to be given back.
    pub is_surplus: bool,
    /// Captures, the oldest first.
    pub captures: Vec<Capture>,
    /// The release of what was authorized, once asked for.
    pub void: Option<StepState>,
    /// The exact crypto amount in its smallest unit, where that was paid with.
    pub crypto_amount: Option<String>,
    /// Money that came beyond the first payment, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<More>,
    /// Disputes of the payer, the oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub disputes: Vec<Dispute>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Attempt {
    /// What could still be captured, in minor units: nothing in flight counts as free.
    pub fn capturable_minor(&self) -> i64 {
        let spoken_for: i64 = self.captures.iter().filter(|capture| capture.state.may_count()).map(|capture| capture.amount_minor).sum();
        let is_closed = self.void.as_ref().is_some_and(StepState::may_count)
            || self.captures.iter().any(|capture| capture.is_last && capture.state.may_count());
        if is_closed || !matches!(self.state, AttemptState::Authorized | AttemptState::Charged) {
            0
        } else {
            (self.authorized_minor - spoken_for.max(self.captured_minor)).max(0)
        }
    }

    /// Whether it was paid, with what was asked for or with something else.
    pub const fn has_brought_money(&self) -> bool {
        matches!(self.state, AttemptState::Charged | AttemptState::Quarantined { .. })
    }

    /// Whether money may still come of it, as far as anybody knows.
    pub const fn is_open(&self) -> bool {
        matches!(
            self.state,
            AttemptState::Created
                | AttemptState::Held { .. }
                | AttemptState::Sending
                | AttemptState::Unknown
                | AttemptState::RequiresAction { .. }
                | AttemptState::Pending
                | AttemptState::Authorized
        )
    }
}

/// Money that is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refund {
    /// Its identifier, and the key that the provider is given.
    pub id: RefundId,
    /// Whose money it gives back.
    pub attempt: AttemptId,
    /// How much, in minor units of what was paid.
    pub amount_minor: i64,
    /// In this currency.
    pub currency: Currency,
    /// Why, in the merchant's words; at most 200 bytes.
    pub reason: Option<String>,
    /// How far along it is.
    pub state: StepState,
    /// It was given back once, whatever was heard of it since.
    #[serde(default)]
    pub was_given: bool,
    /// It gives back this one of the payments beyond the first, counted from 0, and nothing of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more: Option<usize>,
    /// What the provider says that it gave back, where that is not what was asked for: a person looks at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Money>,
    /// Who says that it was done, where a second person has to agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub done_said_by: Option<String>,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// What somebody is to pay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// Its identifier.
    pub id: IntentId,
    /// How many events made it what it is.
    pub version: i64,
    /// How much.
    pub amount: Money,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Who pays, by an identifier that the module above understands.
    pub customer: Option<String>,
    /// What for, as the payer reads it; at most 200 bytes.
    pub description: Option<String>,
    /// Where the payer is (ISO 3166-1 alpha-2), if that is known.
    pub country: Option<String>,
    /// How they want to pay, such as `card` or `bank_transfer`.
    pub method: Option<String>,
    /// The link that it came from.
    pub link: Option<LinkId>,
    /// The ledger account that the money is for.
    pub credit_account: String,
    /// Where the payer goes afterwards.
    pub return_url: Option<String>,
    /// The caller's own words: a JSON object of at most 2 KiB.
    pub metadata: Option<Value>,
    /// When it can no longer be begun to pay.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub changed_at: Timestamp,
    /// When the merchant called it off.
    pub canceled_at: Option<Timestamp>,
    /// When its time was over.
    pub expired_at: Option<Timestamp>,
    /// The attempt whose money counts.
    pub kept: Option<AttemptId>,
    /// Every attempt, the oldest first.
    pub attempts: Vec<Attempt>,
    /// Every refund, the oldest first.
    pub refunds: Vec<Refund>,
}

impl Intent {
    /// The attempt of this identifier.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    /// The refund of this identifier.
    pub fn refund(&self, id: RefundId) -> Option<&Refund> {
        self.refunds.iter().find(|refund| refund.id == id)
    }

    /// The capture of this identifier, with the attempt that it takes from.
    pub fn capture(&self, id: CaptureId) -> Option<(&Attempt, &Capture)> {
        let all = self.attempts.iter().flat_map(|attempt| attempt.captures.iter().map(move |capture| (attempt, capture)));
        all.into_iter().find(|(_, capture)| capture.id == id)
    }

    /// The attempt whose money counts.
    pub fn kept(&self) -> Option<&Attempt> {
        self.kept.and_then(|id| self.attempt(id))
    }

    /// Whether money for it is still waited for: nobody has paid, nobody called it off, its time is not over.
    pub const fn is_wanted(&self) -> bool {
        self.kept.is_none() && self.canceled_at.is_none() && self.expired_at.is_none()
    }

    /// The attempt that is under way.
    pub fn open_attempt(&self) -> Option<&Attempt> {
        self.attempts.iter().rev().find(|attempt| attempt.is_open())
    }

    /// How much of it was taken and counts, in minor units.
    pub fn captured_minor(&self) -> i64 {
        self.kept().map_or(0, |attempt| attempt.captured_minor)
    }

    /// How much of the first payment of `attempt` was given back or is on its way back, in minor units.
    pub fn refunding_minor(&self, attempt: AttemptId) -> i64 {
        let own = self.refunds.iter().filter(|refund| refund.attempt == attempt && refund.more.is_none() && refund.state.may_count());
        own.map(|refund| refund.amount_minor).sum()
    }

    /// How much of what counts was given back, in minor units.
    pub fn refunded_minor(&self) -> i64 {
        let of_kept = self.refunds.iter().filter(|refund| Some(refund.attempt) == self.kept && refund.more.is_none());
        of_kept.filter(|refund| refund.state == StepState::Succeeded).map(|refund| refund.amount_minor).sum()
    }

    /// How far along it is.
    pub fn state(&self) -> IntentState {
        if let Some(kept) = self.kept() {
            let capturing = kept.captures.iter().any(|capture| !capture.state.is_final());
            return match kept.state {
                _ if capturing => IntentState::Processing,
                AttemptState::Authorized => IntentState::RequiresCapture,
                AttemptState::Charged if kept.capturable_minor() > 0 => IntentState::PartiallyCaptured,
                AttemptState::Charged => IntentState::Succeeded,
                _ => IntentState::Canceled,
            };
        }
        if self.canceled_at.is_some() {
            return IntentState::Canceled;
        }
        match self.open_attempt().map(|attempt| &attempt.state) {
            Some(AttemptState::RequiresAction { .. }) => IntentState::RequiresAction,
            Some(_) => IntentState::Processing,
            None if self.expired_at.is_some() => IntentState::Expired,
            None if self.attempts.len() >= ATTEMPTS_MAX => IntentState::Failed,
            None => IntentState::RequiresPaymentMethod,
        }
    }
}
