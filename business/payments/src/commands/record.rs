//! Recording what happened to an intent: its history, what it is now, the books, the names, the facts and what follows, in one
//! unit of work.

use std::collections::VecDeque;

use kernel::{Timestamp, WorkspaceId};
use ledger::{LedgerError, NewTransfer, Outcome, TransferId};
use store::{Tx, params};

use super::accounts;
use crate::books::{self, Move, Place};
use crate::error::PaymentError;
use crate::events::{
    PaymentCaptured, PaymentChanged, PaymentDisputed, PaymentPaidMore, PaymentQuarantined, PaymentRefundReturned, PaymentRefunded,
};
use crate::intent::{AttemptState, Event, Intent, IntentId, StepState};
use crate::jobs::{Conduct, ExpireIntent};
use crate::names::names;
use crate::{queries, sql, steps};

/// The intent as it is now; nobody else changes it until this unit ends.
pub(crate) async fn locked(tx: &mut Tx, workspace: WorkspaceId, id: IntentId) -> Result<Intent, PaymentError> {
    tx.lock("payment", &id.to_string()).await?;
    queries::get(tx, workspace, id).await
}

/// Records `events` of the intent that was `before` (none: the first one makes it) and says what it is now.
pub(crate) async fn record(
    tx: &mut Tx,
    workspace: WorkspaceId,
    before: Option<Intent>,
    events: Vec<Event>,
) -> Result<Option<Intent>, PaymentError> {
    let (now, actor) = (tx.now(), tx.caller().actor());
    let read_version = before.as_ref().map(|intent| intent.version);
    let state_before = before.as_ref().map(Intent::state);
    let mut at = before;
    let mut coming: VecDeque<Event> = events.into();
    let is_quiet = coming.is_empty();
    while let Some(event) = coming.pop_front() {
        let after = match at {
            None => Intent::begin(&event, now),
            Some(intent) => Some(intent.after(&event, now)),
        };
        let Some(intent) = after else { return Ok(None) };
        keep_event(tx, workspace, &intent, &event, &actor, now).await?;
        keep_names(tx, workspace, &intent, &event).await?;
        if let Some(moved) = books::moves(&intent, &event) {
            post(tx, workspace, &intent, &moved).await?;
            if let Some((provider, expected)) = crate::settlement::expected(&intent, &event, &moved) {
                super::settlement::expect(tx, workspace, provider, &expected).await?;
            }
        }
        tell(tx, workspace, &intent, &event).await?;
        super::settlement::tell_of_difference(tx, workspace, &intent, &event).await?;
        for step in steps::follow(&intent, &event) {
            outbox::enqueue(tx, workspace, &Conduct { intent: intent.id, step, times: 0, is_extra: false, charge: None }).await?;
        }
        // Its time was over while a provider was at it: now that nobody is, it ends.
        if coming.is_empty() {
            coming.extend(intent.expire(now));
        }
        at = Some(intent);
    }
    let Some(intent) = at else { return Ok(None) };
    if is_quiet {
        return Ok(Some(intent));
    }
    let state = intent.state();
    match read_version {
        None => {
            tx.execute_later(&sql::INSERT_INTENT, &sql::intent_row(workspace, &intent)?).await?;
            if let Some(end) = intent.expires_at {
                outbox::enqueue_at(tx, workspace, end, &ExpireIntent { intent: intent.id }).await?;
            }
        }
        Some(read_version) => {
            let body = serde_json::to_string(&intent).map_err(store::StoreError::decode)?;
            let changed = tx
                .execute(&sql::UPDATE_INTENT, params![&workspace, &intent.id, intent.version, state.as_str(), now, &body, read_version])
                .await?;
            if changed == 0 {
                return Err(tx.overtaken().into());
            }
        }
    }
    if state_before != Some(state) {
        outbox::publish(tx, workspace, &PaymentChanged { intent: intent.id, version: intent.version, state }).await?;
    }
    let id = intent.id;
    tx.after_commit(move || crate::bell::ring(id));
    Ok(Some(intent))
}

async fn keep_event(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    event: &Event,
    actor: &str,
    now: Timestamp,
) -> Result<(), PaymentError> {
    let body = serde_json::to_string(event).map_err(store::StoreError::decode)?;
    let row = sql::event_row(workspace, &intent.id.to_string(), intent.version, event.name(), actor, now, &body);
    tx.execute_later(&sql::INSERT_EVENT, &row).await?;
    Ok(())
}

/// Keeps under which names the provider and we may speak of what an event brought.
async fn keep_names(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, event: &Event) -> Result<(), PaymentError> {
    let owner = intent.id.to_string();
    for name in names(intent, event) {
        tx.execute_later(&sql::INSERT_REFERENCE, &sql::reference_row(workspace, &owner, &name)).await?;
    }
    Ok(())
}

/// Posts what was moved. Money that has moved stands in the books whatever the account that it is for says to it: one that is
/// closed, has reached its limit or counts something else is passed by, and the money is kept apart until a person decides.
async fn post(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, moved: &Move) -> Result<(), PaymentError> {
    match post_between(tx, workspace, intent, moved, [&moved.debit, &moved.credit], moved.memo).await {
        Err(PaymentError::Ledger(LedgerError::Refused { outcome, .. })) if is_about_accounts(outcome) => {
            let apart = |place| if matches!(place, &Place::Credit(_)) { &Place::Quarantine } else { place };
            let between = [apart(&moved.debit), apart(&moved.credit)];
            // It is kept apart already, and stays there.
            if between[0] == between[1] {
                return Ok(());
            }
            if between == [&moved.debit, &moved.credit] {
                return Err(LedgerError::Refused { index: 0, outcome }.into());
            }
            tracing::warn!(payment = %intent.id, reason = outcome.as_str(), "the account of a payment was passed by");
            metrics::counter!("payments_accounts_passed_by_total").increment(1);
            let memo = if between[0] == &Place::Quarantine { "refund: its account refused it" } else { "payment: its account refused it" };
            post_between(tx, workspace, intent, moved, between, memo).await
        }
        posted => posted,
    }
}

/// Whether a refusal of the books comes from the accounts, and not from what was to be posted.
const fn is_about_accounts(outcome: Outcome) -> bool {
    matches!(
        outcome,
        Outcome::DebitAccountClosed
            | Outcome::CreditAccountClosed
            | Outcome::ExceedsCredits
            | Outcome::ExceedsDebits
            | Outcome::AccountsHaveDifferentUnits
            | Outcome::TransferHasDifferentUnit
    )
}

async fn post_between(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    moved: &Move,
    [debit, credit]: [&Place; 2],
    memo: &str,
) -> Result<(), PaymentError> {
    let unit = accounts::unit(moved.amount.currency)?;
    let debit = accounts::account(tx, workspace, debit, &unit).await?;
    let credit = accounts::account(tx, workspace, credit, &unit).await?;
    let id: TransferId = kernel::Id::from_raw(moved.id);
    let mut transfer = NewTransfer::exactly(id, debit, credit, unit, moved.amount.amount_minor);
    transfer.memo = Some(memo.to_owned());
    ledger::post(tx, workspace, &format!("payment:{}", intent.id), vec![transfer]).await?;
    Ok(())
}

async fn tell(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, event: &Event) -> Result<(), PaymentError> {
    let currency = intent.amount.currency;
    let captured = match event {
        Event::Charged { amount_minor, is_surplus: false, .. } | Event::Accepted { amount_minor, is_surplus: false, .. } => {
            Some(*amount_minor)
        }
        Event::CaptureTook { attempt, took, .. } if took.currency == currency => {
            intent.attempt(*attempt).filter(|attempt| !attempt.is_surplus).map(|_| took.amount_minor)
        }
        Event::CaptureMoved { attempt, capture, to: StepState::Succeeded, .. } => {
            let attempt = intent.attempt(*attempt).filter(|attempt| !attempt.is_surplus);
            attempt.and_then(|attempt| attempt.captures.iter().find(|known| known.id == *capture)).map(|capture| capture.amount_minor)
        }
        _ => None,
    };
    if let Some(amount_minor) = captured {
        let fact = PaymentCaptured {
            intent: intent.id,
            version: intent.version,
            customer: intent.customer.clone(),
            amount: kernel::Money::new(amount_minor, currency),
            captured_minor: intent.captured_minor(),
        };
        outbox::publish(tx, workspace, &fact).await?;
    }
    match event {
        Event::Quarantined { attempt, paid, .. } => {
            let fact = PaymentQuarantined { intent: intent.id, version: intent.version, attempt: *attempt, paid: *paid };
            outbox::publish(tx, workspace, &fact).await?;
        }
        Event::PaidMore { attempt, is_surplus: false, .. } => {
            let Some(AttemptState::Quarantined { paid }) = intent.attempt(*attempt).map(|attempt| &attempt.state) else { return Ok(()) };
            let fact = PaymentQuarantined { intent: intent.id, version: intent.version, attempt: *attempt, paid: *paid };
            outbox::publish(tx, workspace, &fact).await?;
        }
        Event::PaidMore { attempt, amount, .. } => {
            let fact = PaymentPaidMore { intent: intent.id, version: intent.version, attempt: *attempt, amount: *amount };
            outbox::publish(tx, workspace, &fact).await?;
        }
        Event::DisputeMoved { attempt, case, amount, to } => {
            let (case, version) = (case.clone(), intent.version);
            let fact = PaymentDisputed { intent: intent.id, version, attempt: *attempt, case, amount: *amount, state: *to };
            outbox::publish(tx, workspace, &fact).await?;
        }
        Event::RefundMoved { refund, to: StepState::Failed { .. }, .. } => {
            let Some(refund) = intent.refund(*refund).filter(|refund| refund.was_given) else { return Ok(()) };
            let amount = kernel::Money::new(refund.amount_minor, refund.currency);
            let fact = PaymentRefundReturned { intent: intent.id, version: intent.version, refund: refund.id, amount };
            outbox::publish(tx, workspace, &fact).await?;
        }
        Event::RefundMoved { refund, to: StepState::Succeeded, .. } | Event::RefundTook { refund, .. } => {
            let Some(refund) = intent.refund(*refund) else { return Ok(()) };
            let fact = PaymentRefunded {
                intent: intent.id,
                version: intent.version,
                refund: refund.id,
                amount: kernel::Money::new(refund.amount_minor, refund.currency),
                is_surplus: Some(refund.attempt) != intent.kept || refund.more.is_some(),
            };
            outbox::publish(tx, workspace, &fact).await?;
        }
        _ => {}
    }
    Ok(())
}
