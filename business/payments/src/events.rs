//! Facts about payments, for whoever minds. They carry identifiers and amounts, never personal data.

use kernel::Money;
use outbox::Fact;
use serde::{Deserialize, Serialize};

use crate::intent::{AttemptId, DisputeState, IntentId, IntentState, RefundId};
use crate::payout::{PayoutId, PayoutState};

/// Money came in: all of an intent's, or one capture of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentCaptured {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// Who paid, by an identifier that the module above understands.
    pub customer: Option<String>,
    /// How much came with this.
    pub amount: Money,
    /// How much came in all, in minor units.
    pub captured_minor: i64,
}

impl Fact for PaymentCaptured {
    const NAME: &'static str = "payments.captured";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// Money was given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefunded {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The refund.
    pub refund: RefundId,
    /// How much.
    pub amount: Money,
    /// It gives back what was paid too much, so that the intent stays paid.
    pub is_surplus: bool,
}

impl Fact for PaymentRefunded {
    const NAME: &'static str = "payments.refunded";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// Money that was given back came back: the payer's bank did not take it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentRefundReturned {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The refund.
    pub refund: RefundId,
    /// How much.
    pub amount: Money,
}

impl Fact for PaymentRefundReturned {
    const NAME: &'static str = "payments.refund_returned";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// A payer disputes a charge, or that went on: `withdrawn` says that the money was charged back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentDisputed {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The attempt that brought the money.
    pub attempt: AttemptId,
    /// The provider's name for the dispute.
    pub case: String,
    /// How much is at stake.
    pub amount: Money,
    /// How far along it is.
    pub state: DisputeState,
}

impl Fact for PaymentDisputed {
    const NAME: &'static str = "payments.disputed";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// More money came than was asked for, or after it was paid: it goes back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentPaidMore {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// How much more.
    pub amount: Money,
}

impl Fact for PaymentPaidMore {
    const NAME: &'static str = "payments.paid_more";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// An intent is in another state now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentChanged {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The state it is in.
    pub state: IntentState,
}

impl Fact for PaymentChanged {
    const NAME: &'static str = "payments.changed";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// Another amount or currency was paid than was asked for: somebody has to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentQuarantined {
    /// The intent.
    pub intent: IntentId,
    /// Its version after it.
    pub version: i64,
    /// The attempt that brought it.
    pub attempt: AttemptId,
    /// What was paid.
    pub paid: Money,
}

impl Fact for PaymentQuarantined {
    const NAME: &'static str = "payments.quarantined";
    fn subject(&self) -> String {
        self.intent.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}

/// A payout is in another state now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutChanged {
    /// The payout.
    pub payout: PayoutId,
    /// Its version after it.
    pub version: i64,
    /// The state it is in.
    pub state: PayoutState,
}

impl Fact for PayoutChanged {
    const NAME: &'static str = "payments.payout_changed";
    fn subject(&self) -> String {
        self.payout.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}
