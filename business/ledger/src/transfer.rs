//! Transfers: one debit account, one credit account, one amount; and what may become of one that was asked for.

use std::str::FromStr;

use kernel::Timestamp;
use serde_json::Value;

use crate::account::{AccountId, Side, Unit, WordError};

kernel::id!(
    /// A transfer between two accounts, chosen by the caller, so that it is posted once however often it is sent.
    pub struct TransferId = "trf"
);
kernel::id!(
    /// Several transfers that are one event of the business.
    pub struct EntryId = "ent"
);

/// The largest amount of one transfer, in minor units: what every JSON reader keeps exactly (RFC 8259, section 6).
pub const AMOUNT_MAX: i64 = (1 << 53) - 1;

/// How much is to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// This many minor units.
    Exactly(i64),
    /// At most this many: what the debit account's limit leaves.
    UpToDebitLimit(i64),
    /// At most this many: what the credit account's limit leaves.
    UpToCreditLimit(i64),
}

impl Ask {
    /// The amount that is asked for.
    pub const fn amount(self) -> i64 {
        match self {
            Self::Exactly(amount) | Self::UpToDebitLimit(amount) | Self::UpToCreditLimit(amount) => amount,
        }
    }
}

/// What a transfer is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Move an amount at once.
    Post {
        /// From here.
        debit: AccountId,
        /// To here.
        credit: AccountId,
        /// What the amount counts; both accounts count the same.
        unit: Unit,
        /// How much.
        ask: Ask,
    },
    /// Promise an amount: it is pending on both accounts until it is posted, voided or expires.
    Hold {
        /// From here.
        debit: AccountId,
        /// To here.
        credit: AccountId,
        /// What the amount counts.
        unit: Unit,
        /// How much.
        ask: Ask,
        /// When the promise ends by itself.
        expires_at: Option<Timestamp>,
    },
    /// Post what was promised, all of it or this much; the rest is released.
    PostPending {
        /// The promise.
        pending: TransferId,
        /// Less than promised; without it all of it.
        amount: Option<i64>,
    },
    /// Release what was promised.
    VoidPending {
        /// The promise.
        pending: TransferId,
    },
    /// Release what was promised, because its time is over. Only the ledger's own timer does so.
    ExpirePending {
        /// The promise.
        pending: TransferId,
    },
}

/// A transfer that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTransfer {
    /// Its identifier. Asked for again with the same content it exists already, and nothing happens.
    pub id: TransferId,
    /// What it is to do.
    pub action: Action,
    /// It stands or falls with the one after it.
    pub linked: bool,
    /// The event it is a part of, if that has several.
    pub entry: Option<EntryId>,
    /// The day that it counts from, where that is not the one it is recorded on.
    pub effective_at: Option<Timestamp>,
    /// What caused it: a kind and an identifier, such as `order:ord_…`; at most 120 bytes.
    pub source: Option<String>,
    /// A line for people; at most 500 bytes.
    pub memo: Option<String>,
    /// The caller's own words: a JSON object of at most 2 KiB.
    pub metadata: Option<Value>,
}

impl NewTransfer {
    /// A transfer of `amount` minor units from `debit` to `credit`, with nothing else to say.
    pub fn exactly(id: TransferId, debit: AccountId, credit: AccountId, unit: Unit, amount: i64) -> Self {
        Self::new(id, Action::Post { debit, credit, unit, ask: Ask::Exactly(amount) })
    }

    /// A transfer that does `action`, with nothing else to say.
    pub const fn new(id: TransferId, action: Action) -> Self {
        Self { id, action, linked: false, entry: None, effective_at: None, source: None, memo: None, metadata: None }
    }
}

/// What a recorded transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferKind {
    /// It moved its amount at once.
    Transfer,
    /// It made its amount pending.
    Pending,
    /// It posted a pending one, in full or in part.
    Post,
    /// It released a pending one.
    Void,
    /// The time of a pending one was over.
    Expire,
}

impl TransferKind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Transfer, Self::Pending, Self::Post, Self::Void, Self::Expire];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Pending => "pending",
            Self::Post => "post",
            Self::Void => "void",
            Self::Expire => "expire",
        }
    }

    /// What a transfer of this kind adds to each of its accounts, on its side: posted, and pending (below zero where it
    /// releases).
    pub const fn adds(self, amount: i64, released: i64) -> (i64, i64) {
        match self {
            Self::Transfer => (amount, 0),
            Self::Pending => (0, amount),
            Self::Post | Self::Void | Self::Expire => (amount, -released),
        }
    }
}

impl FromStr for TransferKind {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text).ok_or(WordError("must be transfer, pending, post, void or expire"))
    }
}

/// A transfer as it stands in the books, for ever.
#[derive(Debug, Clone, PartialEq)]
pub struct Transfer {
    /// Its identifier.
    pub id: TransferId,
    /// What it did.
    pub kind: TransferKind,
    /// From here.
    pub debit: AccountId,
    /// To here.
    pub credit: AccountId,
    /// What the amount counts.
    pub unit: Unit,
    /// What it posted or made pending; 0 where it only released.
    pub amount: i64,
    /// How much pending it took away.
    pub released: i64,
    /// The pending transfer that it resolved.
    pub pending: Option<TransferId>,
    /// When it ends by itself, if it is pending.
    pub expires_at: Option<Timestamp>,
    /// The day that it counts from.
    pub effective_at: Timestamp,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The event it is a part of.
    pub entry: Option<EntryId>,
    /// What caused it.
    pub source: Option<String>,
    /// A line for people.
    pub memo: Option<String>,
    /// The caller's own words.
    pub metadata: Option<Value>,
    /// Who asked for it: an identifier or a reason, never a name.
    pub actor: String,
}

impl Transfer {
    /// What it adds to each of its accounts, as [`TransferKind::adds`] says.
    pub const fn adds(&self) -> (i64, i64) {
        self.kind.adds(self.amount, self.released)
    }

    /// Its account on `side`.
    pub const fn account(&self, side: Side) -> AccountId {
        match side {
            Side::Debit => self.debit,
            Side::Credit => self.credit,
        }
    }
}

/// What became of a transfer that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Outcome {
    /// It stands in the books now.
    Created,
    /// It stood there before, with the same content.
    Exists,
    /// Its identifier is taken by a transfer that does something else.
    ExistsWithDifferentAction,
    /// … between other accounts.
    ExistsWithDifferentAccounts,
    /// … of another amount.
    ExistsWithDifferentAmount,
    /// … of another currency.
    ExistsWithDifferentUnit,
    /// … that resolves another pending one.
    ExistsWithDifferentPending,
    /// … that ends at another time.
    ExistsWithDifferentExpiry,
    /// … with another day, entry, source, memo or metadata.
    ExistsWithDifferentDetails,
    /// Another transfer of its chain was refused.
    LinkedEventFailed,
    /// The last one of the batch is linked to a next one that is not there.
    LinkedEventChainOpen,
    /// The amount is zero or negative.
    AmountMustBePositive,
    /// The amount is larger than [`AMOUNT_MAX`].
    AmountTooLarge,
    /// Both accounts are the same.
    AccountsMustDiffer,
    /// A pending transfer would end before it began.
    ExpiryInThePast,
    /// The workspace has no such account to debit.
    DebitAccountNotFound,
    /// The workspace has no such account to credit.
    CreditAccountNotFound,
    /// The accounts count different things; a conversion goes through exchange accounts.
    AccountsHaveDifferentUnits,
    /// The accounts count something else than the transfer says.
    TransferHasDifferentUnit,
    /// The account to debit is closed.
    DebitAccountClosed,
    /// The account to credit is closed.
    CreditAccountClosed,
    /// A balancing transfer needs a limit to go up to, and the account has none.
    AccountHasNoLimit,
    /// The account to debit would have more debits than credits.
    ExceedsCredits,
    /// The account to credit would have more credits than debits.
    ExceedsDebits,
    /// There is no such pending transfer.
    PendingNotFound,
    /// The transfer that is to be resolved is not a pending one.
    PendingNotPending,
    /// The pending transfer was posted before.
    PendingAlreadyPosted,
    /// The pending transfer was voided before.
    PendingAlreadyVoided,
    /// The pending transfer's time is over.
    PendingExpired,
    /// More was to be posted than was pending.
    ExceedsPendingAmount,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 30] = [
        Self::Created,
        Self::Exists,
        Self::ExistsWithDifferentAction,
        Self::ExistsWithDifferentAccounts,
        Self::ExistsWithDifferentAmount,
        Self::ExistsWithDifferentUnit,
        Self::ExistsWithDifferentPending,
        Self::ExistsWithDifferentExpiry,
        Self::ExistsWithDifferentDetails,
        Self::LinkedEventFailed,
        Self::LinkedEventChainOpen,
        Self::AmountMustBePositive,
        Self::AmountTooLarge,
        Self::AccountsMustDiffer,
        Self::ExpiryInThePast,
        Self::DebitAccountNotFound,
        Self::CreditAccountNotFound,
        Self::AccountsHaveDifferentUnits,
        Self::TransferHasDifferentUnit,
        Self::DebitAccountClosed,
        Self::CreditAccountClosed,
        Self::AccountHasNoLimit,
        Self::ExceedsCredits,
        Self::ExceedsDebits,
        Self::PendingNotFound,
        Self::PendingNotPending,
        Self::PendingAlreadyPosted,
        Self::PendingAlreadyVoided,
        Self::PendingExpired,
        Self::ExceedsPendingAmount,
    ];

    /// Whether the transfer stands in the books, from now on or from before.
    pub const fn stands(self) -> bool {
        matches!(self, Self::Created | Self::Exists)
    }

    /// Its word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Exists => "exists",
            Self::ExistsWithDifferentAction => "exists_with_different_action",
            Self::ExistsWithDifferentAccounts => "exists_with_different_accounts",
            Self::ExistsWithDifferentAmount => "exists_with_different_amount",
            Self::ExistsWithDifferentUnit => "exists_with_different_unit",
            Self::ExistsWithDifferentPending => "exists_with_different_pending",
            Self::ExistsWithDifferentExpiry => "exists_with_different_expiry",
            Self::ExistsWithDifferentDetails => "exists_with_different_details",
            Self::LinkedEventFailed => "linked_event_failed",
            Self::LinkedEventChainOpen => "linked_event_chain_open",
            Self::AmountMustBePositive => "amount_must_be_positive",
            Self::AmountTooLarge => "amount_too_large",
            Self::AccountsMustDiffer => "accounts_must_differ",
            Self::ExpiryInThePast => "expiry_in_the_past",
            Self::DebitAccountNotFound => "debit_account_not_found",
            Self::CreditAccountNotFound => "credit_account_not_found",
            Self::AccountsHaveDifferentUnits => "accounts_have_different_units",
            Self::TransferHasDifferentUnit => "transfer_has_different_unit",
            Self::DebitAccountClosed => "debit_account_closed",
            Self::CreditAccountClosed => "credit_account_closed",
            Self::AccountHasNoLimit => "account_has_no_limit",
            Self::ExceedsCredits => "exceeds_credits",
            Self::ExceedsDebits => "exceeds_debits",
            Self::PendingNotFound => "pending_not_found",
            Self::PendingNotPending => "pending_not_pending",
            Self::PendingAlreadyPosted => "pending_already_posted",
            Self::PendingAlreadyVoided => "pending_already_voided",
            Self::PendingExpired => "pending_expired",
            Self::ExceedsPendingAmount => "exceeds_pending_amount",
        }
    }
}
