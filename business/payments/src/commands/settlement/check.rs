//! Whether the books hold what a payment moved: looked at within seconds of each event, and once more a day later.

use kernel::{Id as _, Money, WorkspaceId};
use ledger::TransferId;
use store::{Reads, Tx, params};

use super::super::accounts;
use super::book::{Opened, open};
use crate::books::{self, Place};
use crate::error::PaymentError;
use crate::intent::{Event, Intent, IntentId};
use crate::provider::LineKind;
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

/// Has a person look where a provider says that a capture or a refund moved something else than was asked for.
pub(crate) async fn tell_of_difference(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, event: &Event) -> Result<(), PaymentError> {
    let (subject, of, kind, asked, said) = match event {
        Event::CaptureDiffers { attempt, capture, said } => {
            let Some((_, known)) = intent.capture(*capture) else { return Ok(()) };
            let asked = Money::new(known.amount_minor, intent.amount.currency);
            (capture.to_string(), *attempt, LineKind::Payment, asked, *said)
        }
        Event::RefundDiffers { refund, said } => {
            let Some(known) = intent.refund(*refund) else { return Ok(()) };
            (refund.to_string(), known.attempt, LineKind::Refund, Money::new(known.amount_minor, known.currency), *said)
        }
        _ => return Ok(()),
    };
    let Some(provider) = intent.attempt(of).map(|attempt| attempt.provider) else { return Ok(()) };
    let (attempt, owner) = (Some(of.to_string()), intent.id.to_string());
    let about = Expected { subject, attempt, owner, kind, amount: asked, is_missing: false, is_matched: false };
    if is_told(tx, workspace, &about).await? {
        return Ok(());
    }
    let note = format!("the provider says {said} where {asked} were asked for: say at the payment whether that is so");
    let (kind, note) = (ExceptionKind::Posting, Some(note.as_str()));
    open(tx, workspace, &Opened { provider, kind, settlement: None, line: None, about: Some(&about), note }).await?;
    Ok(())
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
