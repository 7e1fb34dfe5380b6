//! What can happen to an intent. Kinds are added and never changed: the history is kept for ever.

use kernel::{Money, Timestamp};
use serde::{Deserialize, Serialize};

use super::{AttemptId, CaptureId, DisputeState, NewIntent, RefundId, StepState};
use crate::provider::{Dialect, ErrorClass, ProviderId};

/// Something that happened to an intent. Carries identifiers and amounts, never personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// Somebody is to pay.
    Created(Box<NewIntent>),
    /// A provider was chosen.
    AttemptStarted {
        /// The attempt.
        attempt: AttemptId,
        /// At this provider.
        provider: ProviderId,
        /// That speaks so.
        dialect: Dialect,
    },
    /// Monitoring holds it back until a person decides.
    AttemptHeld {
        /// The attempt.
        attempt: AttemptId,
        /// The rule's words.
        reason: String,
    },
    /// A person let it go on.
    AttemptReleased {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider is about to be asked.
    AttemptSending {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider's page is there.
    PageOpened {
        /// The attempt.
        attempt: AttemptId,
        /// The provider's name for it.
        provider_ref: Option<String>,
        /// Where the payer goes.
        url: String,
        /// When it closes by itself.
        expires_at: Option<Timestamp>,
    },
    /// The payer agreed, the provider is not done.
    AttemptPending {
        /// The attempt.
        attempt: AttemptId,
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// It was sent, and how that ended is not known.
    AttemptUnknown {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The provider surely did not take money.
    AttemptDeclined {
        /// The attempt.
        attempt: AttemptId,
        /// What sort of refusal.
        class: ErrorClass,
        /// The provider's word for it.
        code: String,
    },
    /// The page was closed before anybody paid.
    AttemptExpired {
        /// The attempt.
        attempt: AttemptId,
    },
    /// The money is set aside for us.
    Authorized {
        /// The attempt.
        attempt: AttemptId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The provider's name for the authorization.
        provider_ref: Option<String>,
        /// Another attempt brings the money, or nobody was to: it is released.
        is_surplus: bool,
    },
    /// The money was taken, all at once.
    Charged {
        /// The attempt.
        attempt: AttemptId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The provider's name for the charge.
        charge_ref: Option<String>,
        /// Another attempt brought the money, or nobody was to: it is given back.
        is_surplus: bool,
        /// The exact crypto amount in its smallest unit.
        crypto_amount: Option<String>,
    },
    /// Another amount or currency was paid than was asked for.
    Quarantined {
        /// The attempt.
        attempt: AttemptId,
        /// What was paid.
        paid: Money,
        /// The provider's name for the charge.
        charge_ref: Option<String>,
    },
    /// A part of what was authorized is to be taken.
    CaptureRequested {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// How much, in minor units.
        amount_minor: i64,
        /// The rest is released with it.
        is_last: bool,
    },
    /// A capture went on.
    CaptureMoved {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// To this.
        to: StepState,
        /// The provider's name for the charge, once it is there.
        charge_ref: Option<String>,
    },
    /// The release of what was authorized went on.
    VoidMoved {
        /// Of this attempt.
        attempt: AttemptId,
        /// To this.
        to: StepState,
    },
    /// Money is to be given back.
    RefundRequested {
        /// The refund.
        refund: RefundId,
        /// Whose money.
        attempt: AttemptId,
        /// How much.
        amount: Money,
        /// Why, in the merchant's words.
        reason: Option<String>,
    },
    /// A refund went on.
    RefundMoved {
        /// The refund.
        refund: RefundId,
        /// To this.
        to: StepState,
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// The merchant called it off.
    Canceled,
    /// Its time was over.
    Expired,
    /// More money came for an attempt that has brought money before.
    PaidMore {
        /// The attempt.
        attempt: AttemptId,
        /// How much more.
        amount: Money,
        /// The provider's name for the charge, where it is another one.
        charge_ref: Option<String>,
        /// It is too much and goes back; otherwise it joins what is kept apart.
        is_surplus: bool,
    },
    /// What was kept apart counts as paid: all of it came at last, or a person takes it for that.
    Accepted {
        /// The attempt.
        attempt: AttemptId,
        /// How much in all, in minor units of the intent's currency.
        amount_minor: i64,
        /// Another attempt brought the money, or nobody was to: it is given back.
        is_surplus: bool,
    },
    /// Money that came beyond the first payment is to be given back.
    MoreRefundRequested {
        /// The refund.
        refund: RefundId,
        /// Whose money.
        attempt: AttemptId,
        /// Which of the payments beyond the first, counted from 0.
        more: usize,
        /// How much.
        amount: Money,
        /// Why.
        reason: Option<String>,
    },
    /// The provider says that a capture took something else than was asked for.
    CaptureDiffers {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// What it says.
        said: Money,
    },
    /// A person found that a capture really took this much.
    CaptureTook {
        /// Of this attempt.
        attempt: AttemptId,
        /// The capture.
        capture: CaptureId,
        /// How much.
        took: Money,
    },
    /// The provider says that a refund gave something else back than was asked for.
    RefundDiffers {
        /// The refund.
        refund: RefundId,
        /// What it says.
        said: Money,
    },
    /// A person found that a refund really gave this much back.
    RefundTook {
        /// The refund.
        refund: RefundId,
        /// How much.
        took: Money,
    },
    /// A person says that a capture or a refund was done; a second one has to agree.
    DoneProposed {
        /// The capture or the refund.
        subject: String,
        /// Who says so.
        by: String,
    },
    /// A dispute about a charge went on.
    DisputeMoved {
        /// The attempt.
        attempt: AttemptId,
        /// The provider's name for the dispute.
        case: String,
        /// How much is at stake.
        amount: Money,
        /// To this.
        to: DisputeState,
    },
}

impl Event {
    /// Its word in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Created(_) => "created",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptHeld { .. } => "attempt_held",
            Self::AttemptReleased { .. } => "attempt_released",
            Self::AttemptSending { .. } => "attempt_sending",
            Self::PageOpened { .. } => "page_opened",
            Self::AttemptPending { .. } => "attempt_pending",
            Self::AttemptUnknown { .. } => "attempt_unknown",
            Self::AttemptDeclined { .. } => "attempt_declined",
            Self::AttemptExpired { .. } => "attempt_expired",
            Self::Authorized { .. } => "authorized",
            Self::Charged { .. } => "charged",
            Self::Quarantined { .. } => "quarantined",
            Self::CaptureRequested { .. } => "capture_requested",
            Self::CaptureMoved { .. } => "capture_moved",
            Self::VoidMoved { .. } => "void_moved",
            Self::RefundRequested { .. } => "refund_requested",
            Self::RefundMoved { .. } => "refund_moved",
            Self::Canceled => "canceled",
            Self::Expired => "expired",
            Self::PaidMore { .. } => "paid_more",
            Self::Accepted { .. } => "accepted",
            Self::MoreRefundRequested { .. } => "more_refund_requested",
            Self::CaptureDiffers { .. } => "capture_differs",
            Self::CaptureTook { .. } => "capture_took",
            Self::RefundDiffers { .. } => "refund_differs",
            Self::RefundTook { .. } => "refund_took",
            Self::DoneProposed { .. } => "done_proposed",
            Self::DisputeMoved { .. } => "dispute_moved",
        }
    }
}
