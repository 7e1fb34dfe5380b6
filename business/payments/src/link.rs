//! A link that anybody may pay with: each visitor gets an intent of their own.

use kernel::{Currency, Money, Timestamp, WorkspaceId};

use crate::intent::LinkId;

/// A payment link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its identifier, a part of its address.
    pub id: LinkId,
    /// How much; without it the payer says so.
    pub amount: Option<Money>,
    /// In this currency.
    pub currency: Currency,
    /// What for, as the payer reads it; at most 200 bytes.
    pub description: String,
    /// The ledger account that the money is for.
    pub credit_account: String,
    /// Whether it can be paid with.
    pub is_active: bool,
    /// How often it changed, from 1.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
}
