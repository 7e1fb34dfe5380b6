//! A payout: money that goes out to a beneficiary, the gates that it passes, and what became of it. No input or output.
//!
//! A payout changes only by events of its history, as an intent does. Money is promised in the books before anything is sent,
//! and that promise is kept, released or compensated exactly once.

mod books;
mod decide;
mod history;
mod observe;

use kernel::{MemberId, Money, Timestamp};
use serde::{Deserialize, Serialize};

pub(crate) use books::{Posting, posting};
pub use decide::{NARRATION_MAX, NewPayout, PayoutRefusal};
pub use history::PayoutEvent;

use crate::beneficiary::{BeneficiaryId, NameCheck};
use crate::provider::{Dialect, ProviderId};

kernel::id!(
    /// A payout; also the reference and key that the provider is given.
    pub struct PayoutId = "pyo"
);

/// How far along a payout is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayoutState {
    /// The beneficiary's bank is being asked whose the account is.
    Requested,
    /// People have to look at it: a gate holds it, or it is above the limit.
    RiskReview,
    /// It may go, and waits for its funds or for a working day.
    Approved,
    /// Its funds are promised; nothing was sent.
    FundsReserved,
    /// It is being sent; stored before the first byte leaves.
    Submitted,
    /// The provider waits for a one-time password.
    OtpRequired,
    /// The provider has taken it and is not done.
    Pending,
    /// It was sent and how that ended is not known: never sent under another key, never taken for failed.
    Unknown,
    /// The money is out.
    Paid,
    /// The provider surely did not pay; the funds are free again.
    Failed,
    /// It was paid and came back.
    Reversed,
    /// A rule or a person refused it.
    Refused,
    /// It was called off before anything was sent.
    Canceled,
}

impl PayoutState {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Requested,
        Self::RiskReview,
        Self::Approved,
        Self::FundsReserved,
        Self::Submitted,
        Self::OtpRequired,
        Self::Pending,
        Self::Unknown,
        Self::Paid,
        Self::Failed,
        Self::Reversed,
        Self::Refused,
        Self::Canceled,
    ];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::RiskReview => "risk_review",
            Self::Approved => "approved",
            Self::FundsReserved => "funds_reserved",
            Self::Submitted => "submitted",
            Self::OtpRequired => "otp_required",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::Paid => "paid",
            Self::Failed => "failed",
            Self::Reversed => "reversed",
            Self::Refused => "refused",
            Self::Canceled => "canceled",
        }
    }

    /// Whether nothing has been sent yet, so that it can still be called off.
    pub const fn is_before_sending(self) -> bool {
        matches!(self, Self::Requested | Self::RiskReview | Self::Approved | Self::FundsReserved)
    }

    /// Whether the provider may have it, or is to be given it now.
    pub const fn is_at_provider(self) -> bool {
        matches!(self, Self::FundsReserved | Self::Submitted | Self::OtpRequired | Self::Pending | Self::Unknown)
    }

    /// Whether it has ended; a paid one may still come back.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Paid | Self::Failed | Self::Reversed | Self::Refused | Self::Canceled)
    }
}

/// Why people have to look at a payout, beside its amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "is")]
pub enum Hold {
    /// A rule of monitoring holds it.
    Rule {
        /// The rule's words.
        reason: String,
    },
    /// The bank says that the account has another name than was entered.
    NameDiffers,
    /// The bank knows no such account.
    AccountNotFound,
    /// The bank did not say whose the account is.
    NameNotTold,
}

impl Hold {
    /// Its word in JSON.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Rule { .. } => "rule",
            Self::NameDiffers => "name_differs",
            Self::AccountNotFound => "account_not_found",
            Self::NameNotTold => "name_not_told",
        }
    }
}

/// What an approved payout waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// There is not enough money at the provider.
    InsufficientFloat,
    /// A working day: the workspace does not pay out at weekends.
    Weekend,
}

impl Wait {
    /// Its word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InsufficientFloat => "insufficient_float",
            Self::Weekend => "weekend",
        }
    }
}

/// Somebody's word that a payout may go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// Whose.
    pub by: MemberId,
    /// When.
    pub at: Timestamp,
}

/// Money that goes out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Payout {
    /// Its identifier.
    pub id: PayoutId,
    /// How many events made it what it is.
    pub version: i64,
    /// How far along it is.
    pub state: PayoutState,
    /// Through this provider.
    pub provider: ProviderId,
    /// That speaks so.
    pub dialect: Dialect,
    /// To this beneficiary.
    pub beneficiary: BeneficiaryId,
    /// As the beneficiary was at this version; another one is another destination, which nobody approved.
    pub beneficiary_version: i64,
    /// How much: more than nothing.
    pub amount: Money,
    /// What the receiver reads; at most [`NARRATION_MAX`] bytes.
    pub narration: Option<String>,
    /// Who asked for it: a member, a key or a reason of our own.
    pub requester: String,
    /// The member behind who asked: themselves, or who made the key. Never decides about it.
    #[serde(default)]
    pub behind: Option<MemberId>,
    /// The member behind the beneficiary's account, where that was fresh when the payout was asked for. Never approves alone.
    #[serde(default)]
    pub account_by: Option<MemberId>,
    /// Whether the amount is above the limit that one person may decide about, when it was asked for.
    pub is_above_limit: bool,
    /// Whether the bank is still to be asked whose the account is.
    pub awaits_name: bool,
    /// Why people have to look at it, beside its amount.
    pub holds: Vec<Hold>,
    /// Who said that it may go, the first first.
    pub approvals: Vec<Approval>,
    /// What it waits for while it is approved.
    pub waits_for: Option<Wait>,
    /// Its funds are promised in the books and not yet paid or released.
    pub is_reserved: bool,
    /// Why it failed or was refused: the provider's or the rule's word, or ours.
    pub reason: Option<String>,
    /// What a person has to look at: what the provider said contradicts what it had said before.
    pub attention: Option<String>,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it was first sent.
    pub submitted_at: Option<Timestamp>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Payout {
    /// How many people have to say that it may go.
    pub const fn approvals_needed(&self) -> usize {
        match (self.is_above_limit, self.holds.is_empty()) {
            (true, _) => 2,
            (false, false) => 1,
            (false, true) => 0,
        }
    }

    /// Where the gates leave it while nothing was sent.
    const fn at_the_gates(&self) -> PayoutState {
        if self.awaits_name {
            PayoutState::Requested
        } else if self.approvals.len() < self.approvals_needed() {
            PayoutState::RiskReview
        } else {
            PayoutState::Approved
        }
    }
}

/// What a name enquiry holds a payout for; nothing where the names are the same, or nobody can be asked.
pub(crate) const fn hold_for(check: NameCheck) -> Option<Hold> {
    match check {
        NameCheck::Matches | NameCheck::NotOffered => None,
        NameCheck::Differs => Some(Hold::NameDiffers),
        NameCheck::NotFound => Some(Hold::AccountNotFound),
        NameCheck::NotTold => Some(Hold::NameNotTold),
    }
}
