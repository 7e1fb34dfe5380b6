//! Who may do what: the table of roles over the rights that the modules name, and the scopes that an API key can have.

use kernel::{Grant, Grants};
use people::Roles;

/// Rights to look on.
const READ: [Grant; 8] = [
    codes::grants::READ,
    cards::grants::READ,
    leads::grants::READ,
    ledger::grants::READ,
    risk::grants::READ,
    payments::grants::READ,
    notifications::grants::READ,
    people::grants::READ,
];
/// Rights to work with codes, cards and leads.
const WORK: [Grant; 4] = [payments::grants::WRITE, codes::grants::WRITE, cards::grants::WRITE, leads::grants::WRITE];
/// Rights to look after the workspace, to enter something in its books, and to say what is held.
const MANAGE: [Grant; 15] = [
    ledger::grants::POST,
    risk::grants::MANAGE,
    payments::grants::CAPTURE,
    payments::grants::REFUND,
    payments::grants::PAY_OUT,
    payments::grants::APPROVE,
    payments::grants::SETTLE,
    payments::grants::MANAGE,
    crate::dead_jobs::MANAGE,
    leads::grants::ERASE,
    notifications::grants::WRITE,
    people::grants::WRITE,
    people::grants::KEYS_READ,
    people::grants::KEYS_WRITE,
    people::grants::AUDIT_READ,
];

/// The table.
pub fn roles() -> Roles {
    let all = || READ.into_iter().chain(WORK).chain(MANAGE);
    Roles {
        owner: Grants::of(all()),
        admin: Grants::of(all()),
        member: Grants::of(READ.into_iter().chain(WORK)),
        viewer: Grants::of(READ),
        scopes: all().collect(),
    }
}

/// Every right of the table, for a key of the demonstration workspace.
pub fn every_scope() -> Vec<Grant> {
    roles().scopes
}
