//! Whether the books hold what a payment moved: looked at within seconds of each event, and once more a day later.

use kernel::{Id as _, WorkspaceId};
use ledger::TransferId;
use store::{Reads, Tx, params};

use super::super::accounts;
use super::book::{Opened, open};
use crate::books::{self, Place};
use crate::error::PaymentError;
use crate::intent::{Intent, IntentId};
use crate::settlement::{ExceptionId, ExceptionKind, Expected, expected};
use crate::sql::settlement as sql;

/// Events of an intent that are read at once.
const EVENTS_AT_ONCE: i64 = 1_000;

/// Compares each transfer that should follow from the history of an intent with the ledger, and opens an exception for one that
/// is not there, or is not what it should be; says how many it opened.
pub(crate) async fn check_postings(tx: &mut Tx, workspace: WorkspaceId, id: IntentId) -> Result<u64, PaymentError> {
    let history = crate::queries::history(tx, workspace, id, 0, EVENTS_AT_ONCE).await?;
    let (mut at, mut opened): (Option<Intent>, u64) = (None, 0);
    for recorded in &history {
        at = match at {
            None => Intent::begin(&recorded.event, recorded.at),
            Some(intent) => Some(intent.after(&recorded.event, recorded.at)),
        };
        let Some(intent) = &at else { return Ok(opened) };
        let Some(moved) = books::moves(intent, &recorded.event) else { continue };
        let Some(wrong) = wrong(tx, workspace, &moved).await? else { continue };
        let Some((provider, about)) = expected(intent, &recorded.event, &moved) else { continue };
        if is_told(tx, workspace, &about).await? {
            continue;
        }
        let new = Opened { provider, kind: ExceptionKind::Posting, settlement: None, line: None, about: Some(&about), note: Some(wrong) };
        open(tx, workspace, &new).await?;
        tracing::error!(%workspace, payment = %id, subject = about.subject, "the books do not hold what a payment moved");
        opened += 1;
    }
    Ok(opened)
}

async fn is_told(tx: &mut Tx, workspace: WorkspaceId, about: &Expected) -> Result<bool, PaymentError> {
    Ok(tx
        .row(&sql::OPEN_OF_SUBJECT, params![&workspace, &about.subject, ExceptionKind::Posting.as_str()], |row| row.id::<ExceptionId>("id"))
        .await?
        .is_some())
}

/// What is wrong with a transfer in the ledger; nothing where it is as it should be.
async fn wrong(tx: &mut Tx, workspace: WorkspaceId, moved: &books::Move) -> Result<Option<&'static str>, PaymentError> {
    let Some(posted) = ledger::queries::transfer(tx, workspace, TransferId::from_raw(moved.id)).await? else {
        return Ok(Some("the ledger has no transfer for it"));
    };
    let unit = accounts::unit(moved.amount.currency)?;
    if posted.amount != moved.amount.amount_minor || posted.unit != unit {
        return Ok(Some("the ledger's transfer has another amount"));
    }
    for (place, account) in [(&moved.debit, posted.debit), (&moved.credit, posted.credit)] {
        if accounts::account(tx, workspace, place, &unit).await? == account {
            continue;
        }
        // An account that refused the money was passed by, and the money kept apart.
        let is_apart = matches!(place, Place::Credit(_)) && accounts::account(tx, workspace, &Place::Quarantine, &unit).await? == account;
        if !is_apart {
            return Ok(Some("the ledger's transfer is between other accounts"));
        }
    }
    Ok(None)
}
