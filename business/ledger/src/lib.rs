//! Ledger: the books. Double entry, wallets, statements; nothing that stands in them is ever edited or deleted.
//!
//! Invariants: a transfer names its debit account, its credit account and one amount, so that debits equal credits by
//! construction; an identifier is posted once; a pending transfer is resolved once; a chain is all or nothing; no limit is
//! passed, pending amounts included; totals are 128 bits wide and never wrap. Posting is an append, so that no account
//! without a limit is ever locked; a limit is guarded by a row of its own. The [`keeper`] books what was appended: each
//! transfer gets one position, each account its totals after it, each block a seal that covers everything before it.
//! Every balance can be recomputed from the log, and [`verify`] does.
//!
//! Deliberately does not know what is sold, who pays, or which provider moved the money: a source is a kind and an
//! identifier that the module above understands.

mod account;
pub mod commands;
mod error;
pub mod grants;
mod http;
mod jobs;
pub mod judge;
pub mod keeper;
pub mod pdf;
pub mod queries;
pub mod seal;
pub mod seals;
mod sql;
mod transfer;
pub mod verify;

pub use account::{
    Account, AccountCode, AccountId, AccountKind, KEPT_BY_MODULES, Limits, NewAccount, Side, Totals, Unit, WordError, parse_name,
};
pub use commands::{Owner, ensure, open, post, post_batch, wallet};
pub use error::LedgerError;
pub use http::{Deps, routes};
pub use jobs::ExpirePending;
pub use transfer::{AMOUNT_MAX, Action, Ask, EntryId, NewTransfer, Outcome, Transfer, TransferId, TransferKind};

/// Every statement of the ledger.
pub fn statements() -> impl Iterator<Item = &'static store::Sql> {
    [
        sql::STATEMENTS,
        sql::keep::STATEMENTS,
        sql::read::STATEMENTS,
        sql::history::STATEMENTS,
        sql::by_day::STATEMENTS,
        sql::check::STATEMENTS,
    ]
    .into_iter()
    .flatten()
    .copied()
}
