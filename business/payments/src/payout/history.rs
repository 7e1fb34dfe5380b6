//! The history of a payout: what happened, in order, kept for ever; and what each event makes of the payout.

use kernel::{MemberId, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Approval, Hold, NewPayout, Payout, PayoutState, Wait, hold_for};
use crate::beneficiary::NameCheck;

/// Something that happened to a payout. Carries identifiers and amounts, never personal data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum PayoutEvent {
    /// Somebody wants money to go out.
    Requested(Box<NewPayout>),
    /// Monitoring holds it until people decide.
    Held {
        /// The rule's words.
        reason: String,
    },
    /// The beneficiary's bank was asked whose the account is.
    NameChecked {
        /// What came of it.
        check: NameCheck,
    },
    /// Somebody says that it may go.
    Approved {
        /// Who.
        by: MemberId,
    },
    /// A rule or a person refused it.
    Refused {
        /// Why.
        reason: String,
    },
    /// It may go, and waits.
    Waits {
        /// For this.
        what: Wait,
    },
    /// Its funds are promised.
    Reserved,
    /// The provider is about to be asked.
    Sending,
    /// Surely not a byte of it was taken: it is sent again later.
    Unsent {
        /// The provider's word, or ours.
        code: String,
    },
    /// The provider waits for a one-time password.
    OtpAsked {
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// A one-time password is about to be sent.
    Confirming,
    /// The provider has taken it and is not done.
    Pending {
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// It was sent, and how that ended is not known.
    Unknown,
    /// The money is out.
    Paid {
        /// The provider's name for it.
        provider_ref: Option<String>,
    },
    /// The provider surely did not pay.
    Failed {
        /// The provider's word for it, or ours.
        code: String,
    },
    /// It was paid and came back.
    Reversed,
    /// It was called off before anything was sent.
    Canceled,
    /// What the provider said cannot be: a person has to look.
    Disputed {
        /// What it said, in our words.
        said: String,
    },
}

impl PayoutEvent {
    /// Its word in the database.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Requested(_) => "payout_requested",
            Self::Held { .. } => "payout_held",
            Self::NameChecked { .. } => "payout_name_checked",
            Self::Approved { .. } => "payout_approved",
            Self::Refused { .. } => "payout_refused",
            Self::Waits { .. } => "payout_waits",
            Self::Reserved => "payout_reserved",
            Self::Sending => "payout_sending",
            Self::Unsent { .. } => "payout_unsent",
            Self::OtpAsked { .. } => "payout_otp_asked",
            Self::Confirming => "payout_confirming",
            Self::Pending { .. } => "payout_pending",
            Self::Unknown => "payout_unknown",
            Self::Paid { .. } => "payout_paid",
            Self::Failed { .. } => "payout_failed",
            Self::Reversed => "payout_reversed",
            Self::Canceled => "payout_canceled",
            Self::Disputed { .. } => "payout_disputed",
        }
    }

    /// The provider's name for the payout, where the event brings it.
    pub(crate) const fn provider_ref(&self) -> Option<&String> {
        match self {
            Self::OtpAsked { provider_ref } | Self::Pending { provider_ref } | Self::Paid { provider_ref } => provider_ref.as_ref(),
            _ => None,
        }
    }
}

impl Payout {
    /// The payout that a first event makes; none where the history does not begin with one.
    pub fn begin(event: &PayoutEvent, at: Timestamp) -> Option<Self> {
        let PayoutEvent::Requested(new) = event else { return None };
        let new = (**new).clone();
        let mut payout = Self {
            id: new.id,
            version: 1,
            state: PayoutState::Requested,
            provider: new.provider,
            dialect: new.dialect,
            beneficiary: new.beneficiary,
            beneficiary_version: new.beneficiary_version,
            amount: new.amount,
            narration: new.narration,
            requester: new.requester,
            behind: new.behind,
            account_by: new.account_by,
            is_above_limit: new.is_above_limit,
            awaits_name: new.name_check.is_none(),
            holds: new.name_check.and_then(hold_for).into_iter().collect(),
            approvals: Vec::new(),
            waits_for: None,
            is_reserved: false,
            reason: None,
            attention: None,
            provider_ref: None,
            requested_at: at,
            submitted_at: None,
            changed_at: at,
        };
        payout.state = payout.at_the_gates();
        Some(payout)
    }

    /// What an event makes of it. Events are true: they were decided before, so that nothing is refused here.
    #[must_use]
    pub fn after(mut self, event: &PayoutEvent, at: Timestamp) -> Self {
        self.version += 1;
        self.changed_at = at;
        if let Some(provider_ref) = event.provider_ref() {
            self.provider_ref = Some(provider_ref.clone());
        }
        match event {
            PayoutEvent::Requested(_) => {}
            PayoutEvent::Held { reason } => {
                self.holds.push(Hold::Rule { reason: reason.clone() });
                self.state = self.at_the_gates();
            }
            PayoutEvent::NameChecked { check } => {
                self.awaits_name = false;
                self.holds.extend(hold_for(*check));
                self.state = self.at_the_gates();
            }
            PayoutEvent::Approved { by } => {
                self.approvals.push(Approval { by: *by, at });
                self.state = self.at_the_gates();
            }
            PayoutEvent::Waits { what } => self.waits_for = Some(*what),
            PayoutEvent::Reserved => {
                self.state = PayoutState::FundsReserved;
                self.waits_for = None;
                self.is_reserved = true;
            }
            PayoutEvent::Sending => {
                self.state = PayoutState::Submitted;
                self.submitted_at = self.submitted_at.or(Some(at));
                self.reason = None;
            }
            PayoutEvent::Unsent { code } => {
                self.state = PayoutState::FundsReserved;
                // Nothing was sent after all: the key is as good as new.
                self.submitted_at = None;
                self.reason = Some(code.clone());
            }
            PayoutEvent::OtpAsked { .. } => self.state = PayoutState::OtpRequired,
            PayoutEvent::Confirming => self.state = PayoutState::Submitted,
            PayoutEvent::Pending { .. } => self.state = PayoutState::Pending,
            PayoutEvent::Unknown => self.state = PayoutState::Unknown,
            PayoutEvent::Paid { .. } => self.end(PayoutState::Paid, None),
            PayoutEvent::Failed { code } => self.end(PayoutState::Failed, Some(code)),
            PayoutEvent::Refused { reason } => self.end(PayoutState::Refused, Some(reason)),
            PayoutEvent::Canceled => self.end(PayoutState::Canceled, None),
            PayoutEvent::Reversed => self.state = PayoutState::Reversed,
            PayoutEvent::Disputed { said } => self.attention = Some(said.clone()),
        }
        self
    }

    fn end(&mut self, state: PayoutState, reason: Option<&String>) {
        self.state = state;
        self.is_reserved = false;
        self.waits_for = None;
        self.awaits_name = false;
        self.reason = reason.cloned();
    }
}
