//! What may be done with a payout: each decision reads it and says which events follow, or why none do.

use kernel::{FieldFault, MemberId, Money};
use serde::{Deserialize, Serialize};

use super::{Payout, PayoutEvent, PayoutId, PayoutState, Wait};
use crate::beneficiary::{BeneficiaryId, NameCheck};
use crate::intent::AMOUNT_MAX_MINOR;
use crate::provider::{Dialect, ErrorClass, Failure, ProviderId};

/// Bytes of what the receiver reads: as much as the shortest of the dialects takes.
pub const NARRATION_MAX: usize = 100;

/// A payout as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewPayout {
    /// Its identifier.
    pub id: PayoutId,
    /// Through this provider.
    pub provider: ProviderId,
    /// That speaks so.
    pub dialect: Dialect,
    /// To this beneficiary.
    pub beneficiary: BeneficiaryId,
    /// As it was at this version.
    pub beneficiary_version: i64,
    /// How much: more than nothing.
    pub amount: Money,
    /// What the receiver reads.
    pub narration: Option<String>,
    /// Who asked for it.
    pub requester: String,
    /// The member behind who asked: themselves, or who made the key.
    #[serde(default)]
    pub behind: Option<MemberId>,
    /// The member behind the last change of the beneficiary's account, while that is fresh.
    #[serde(default)]
    pub account_by: Option<MemberId>,
    /// Whether the amount is above the limit that needs two people.
    pub is_above_limit: bool,
    /// What an earlier name enquiry said of this version of the beneficiary; without one it is asked for first.
    pub name_check: Option<NameCheck>,
}

/// Why a decision about a payout was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayoutRefusal {
    /// The payout is not in a state for it.
    #[error("a payout that is {} cannot {wanted}", .is.as_str())]
    State {
        /// What it is.
        is: PayoutState,
        /// What was wanted, such as `be approved`.
        wanted: &'static str,
    },
    /// A field cannot be right.
    #[error("{}", .0.message)]
    Field(FieldFault),
    /// Who asked for a payout does not decide about it.
    #[error("who asked for a payout cannot decide about it, nor can whose key asked: somebody else has to")]
    OwnRequest,
    /// The same person has approved it already.
    #[error("you have approved this payout already: another person has to")]
    ApprovedAlready,
    /// Who entered the account does not let money go there alone while that is fresh.
    #[error("you entered or changed this beneficiary's account lately: another person has to approve")]
    OwnAccount,
    /// A program does not decide.
    #[error("only a person can decide about a payout: sign in instead of using a key")]
    NotAPerson,
}

impl NewPayout {
    /// Checks what was asked for, and says which event follows.
    pub fn decide(self) -> Result<PayoutEvent, PayoutRefusal> {
        if !(1..=AMOUNT_MAX_MINOR).contains(&self.amount.amount_minor) {
            let message = "must be a whole number of minor units, from 1 to 9007199254740991";
            return Err(PayoutRefusal::Field(FieldFault::new("amount_minor", message)));
        }
        Ok(PayoutEvent::Requested(Box::new(self)))
    }
}

impl Payout {
    const fn refuse(&self, wanted: &'static str) -> PayoutRefusal {
        PayoutRefusal::State { is: self.state, wanted }
    }

    /// Whether `member` may decide about it: anybody but who asked for it, themselves or by a key of theirs.
    fn decided_by(&self, member: Option<MemberId>) -> Result<MemberId, PayoutRefusal> {
        let member = member.ok_or(PayoutRefusal::NotAPerson)?;
        let is_own = self.behind == Some(member) || member.to_string() == self.requester;
        if is_own { Err(PayoutRefusal::OwnRequest) } else { Ok(member) }
    }

    /// Somebody says that it may go.
    pub fn approve(&self, member: Option<MemberId>) -> Result<Vec<PayoutEvent>, PayoutRefusal> {
        let by = self.decided_by(member)?;
        if self.approvals.iter().any(|approval| approval.by == by) {
            return Err(PayoutRefusal::ApprovedAlready);
        }
        let is_alone = self.approvals.is_empty() && self.approvals_needed() < 2;
        match self.state {
            PayoutState::RiskReview if is_alone && self.account_by == Some(by) => Err(PayoutRefusal::OwnAccount),
            PayoutState::RiskReview => Ok(vec![PayoutEvent::Approved { by }]),
            _ => Err(self.refuse("be approved")),
        }
    }

    /// Somebody says that it must not go.
    pub fn refuse_it(&self, member: Option<MemberId>, reason: String) -> Result<Vec<PayoutEvent>, PayoutRefusal> {
        self.decided_by(member)?;
        if self.state.is_before_sending() { Ok(vec![PayoutEvent::Refused { reason }]) } else { Err(self.refuse("be refused")) }
    }

    /// Calls it off; nothing where that was done before.
    pub fn cancel(&self) -> Result<Vec<PayoutEvent>, PayoutRefusal> {
        match self.state {
            PayoutState::Canceled => Ok(Vec::new()),
            state if state.is_before_sending() => Ok(vec![PayoutEvent::Canceled]),
            _ => Err(self.refuse("be canceled")),
        }
    }

    /// A person says how one ended that nobody else tells about, or of which the provider said what cannot be.
    pub fn resolve(&self, member: Option<MemberId>, was_paid: bool) -> Result<Vec<PayoutEvent>, PayoutRefusal> {
        self.decided_by(member)?;
        let is_open = match self.state {
            PayoutState::Unknown => true,
            PayoutState::Submitted | PayoutState::OtpRequired | PayoutState::Pending => self.attention.is_some(),
            _ => false,
        };
        match is_open {
            true if was_paid => Ok(vec![PayoutEvent::Paid { provider_ref: None }]),
            true => Ok(vec![PayoutEvent::Failed { code: "resolved_by_person".to_owned() }]),
            false => Err(self.refuse("be resolved by hand")),
        }
    }

    /// Whether a one-time password is waited for.
    pub fn confirm(&self) -> Result<(), PayoutRefusal> {
        if self.state == PayoutState::OtpRequired { Ok(()) } else { Err(self.refuse("be confirmed")) }
    }

    /// Whether it may be tried again now.
    pub fn retry(&self) -> Result<(), PayoutRefusal> {
        match self.state {
            PayoutState::RiskReview | PayoutState::Failed | PayoutState::Reversed | PayoutState::Refused | PayoutState::Canceled => {
                Err(self.refuse("be tried again"))
            }
            _ => Ok(()),
        }
    }

    /// What a name enquiry brought.
    pub fn name_checked(&self, check: NameCheck) -> Vec<PayoutEvent> {
        if self.state == PayoutState::Requested && self.awaits_name { vec![PayoutEvent::NameChecked { check }] } else { Vec::new() }
    }

    /// It waits for `what`; nothing where that is known.
    pub fn waits(&self, what: Wait) -> Vec<PayoutEvent> {
        if self.waits_for == Some(what) { Vec::new() } else { vec![PayoutEvent::Waits { what }] }
    }

    /// The beneficiary is not what it was when the payout was asked for: it does not go.
    pub fn beneficiary_changed(&self) -> Vec<PayoutEvent> {
        if self.state.is_before_sending() { vec![PayoutEvent::Refused { reason: "beneficiary_changed".to_owned() }] } else { Vec::new() }
    }

    /// What follows from an order that did not end well. `is_first` says that nothing had been sent before it.
    pub fn failed(&self, failure: &Failure, is_first: bool) -> Vec<PayoutEvent> {
        // Something was heard of it meanwhile, and that counts more.
        if !matches!(self.state, PayoutState::Submitted | PayoutState::Unknown) {
            return Vec::new();
        }
        let unknown = || if self.state == PayoutState::Unknown { Vec::new() } else { vec![PayoutEvent::Unknown] };
        match failure {
            Failure::Refused { class: ErrorClass::RateLimited | ErrorClass::ProviderDown | ErrorClass::SetUp, code } if is_first => {
                vec![PayoutEvent::Unsent { code: code.clone() }]
            }
            // A refusal for want of room says nothing about what was sent before.
            Failure::Refused { class: ErrorClass::RateLimited | ErrorClass::ProviderDown | ErrorClass::SetUp, .. } => unknown(),
            Failure::Refused { code, .. } => vec![PayoutEvent::Failed { code: code.clone() }],
            Failure::NotSent { .. } if is_first => vec![PayoutEvent::Unsent { code: "not_sent".to_owned() }],
            Failure::NotSent { .. } | Failure::Unknown { .. } => unknown(),
        }
    }

    /// What follows from a provider that knows nothing of it: after it was sent that proves nothing.
    pub fn not_found(&self) -> Vec<PayoutEvent> {
        if self.state == PayoutState::Submitted { vec![PayoutEvent::Unknown] } else { Vec::new() }
    }
}
