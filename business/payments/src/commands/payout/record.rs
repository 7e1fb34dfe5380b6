//! Recording what happened to a payout: its history, what it is now, the books, the names, the facts and what follows, in one
//! unit of work.

use kernel::WorkspaceId;
use ledger::{Action, Ask, LedgerError, NewTransfer, Outcome, TransferId};
use store::{Tx, params};

use crate::books::Place;
use crate::commands::accounts;
use crate::error::PaymentError;
use crate::events::PayoutChanged;
use crate::jobs::ConductPayout;
use crate::names::payout_names;
use crate::payout::{Payout, PayoutEvent, PayoutId, PayoutState, Posting, posting};
use crate::{queries, sql};

/// The payout as it is now; nobody else changes it until this unit ends.
pub(crate) async fn locked_payout(tx: &mut Tx, workspace: WorkspaceId, id: PayoutId) -> Result<Payout, PaymentError> {
    tx.lock("payout", &id.to_string()).await?;
    queries::payout(tx, workspace, id).await
}

/// Makes the payout that a first event begins, with what followed at once.
pub(super) async fn begin(tx: &mut Tx, workspace: WorkspaceId, events: Vec<PayoutEvent>) -> Result<Payout, PaymentError> {
    let now = tx.now();
    let mut events = events.into_iter();
    let first = events.next().and_then(|event| Payout::begin(&event, now).map(|payout| (event, payout)));
    let Some((event, mut payout)) = first else { return Err(PaymentError::NotFound { what: "payout" }) };
    keep_event(tx, workspace, &payout, &event).await?;
    keep_names(tx, workspace, &payout, &event).await?;
    for event in events {
        payout = happen(tx, workspace, payout, &event).await?;
    }
    tx.execute_later(&sql::payout::INSERT_PAYOUT, &sql::payout::payout_row(workspace, &payout)?).await?;
    follow(tx, workspace, None, &payout).await?;
    Ok(payout)
}

/// Records `events` of the payout that was `before` and says what it is now.
pub(crate) async fn record_payout(
    tx: &mut Tx,
    workspace: WorkspaceId,
    before: Payout,
    events: Vec<PayoutEvent>,
) -> Result<Payout, PaymentError> {
    if events.is_empty() {
        return Ok(before);
    }
    let (read_version, state_before, now) = (before.version, before.state, tx.now());
    let mut payout = before;
    for event in &events {
        payout = happen(tx, workspace, payout, event).await?;
    }
    let body = serde_json::to_string(&payout).map_err(store::StoreError::decode)?;
    if tx
        .execute(
            &sql::payout::UPDATE_PAYOUT,
            params![&workspace, &payout.id, payout.version, payout.state.as_str(), now, &body, read_version],
        )
        .await?
        == 0
    {
        return Err(tx.overtaken().into());
    }
    follow(tx, workspace, Some(state_before), &payout).await?;
    Ok(payout)
}

async fn happen(tx: &mut Tx, workspace: WorkspaceId, before: Payout, event: &PayoutEvent) -> Result<Payout, PaymentError> {
    if let Some(posting) = posting(&before, event) {
        let is_paid = matches!(posting, Posting::Post(..));
        post(tx, workspace, &before, posting).await?;
        if let Some(expected) = crate::settlement::expected_payout(&before).filter(|_| is_paid) {
            crate::commands::settlement::expect(tx, workspace, before.provider, &expected).await?;
        }
    }
    let now = tx.now();
    let payout = before.after(event, now);
    keep_event(tx, workspace, &payout, event).await?;
    keep_names(tx, workspace, &payout, event).await?;
    Ok(payout)
}

async fn keep_event(tx: &mut Tx, workspace: WorkspaceId, payout: &Payout, event: &PayoutEvent) -> Result<(), PaymentError> {
    let (now, actor) = (tx.now(), tx.caller().actor());
    let body = serde_json::to_string(event).map_err(store::StoreError::decode)?;
    let row = sql::event_row(workspace, &payout.id.to_string(), payout.version, event.name(), &actor, now, &body);
    tx.execute_later(&sql::INSERT_EVENT, &row).await?;
    Ok(())
}

async fn keep_names(tx: &mut Tx, workspace: WorkspaceId, payout: &Payout, event: &PayoutEvent) -> Result<(), PaymentError> {
    let owner = payout.id.to_string();
    for name in payout_names(payout, event) {
        tx.execute_later(&sql::INSERT_REFERENCE, &sql::reference_row(workspace, &owner, &name)).await?;
    }
    Ok(())
}

/// What follows from the state that a payout is in now.
async fn follow(tx: &mut Tx, workspace: WorkspaceId, before: Option<PayoutState>, payout: &Payout) -> Result<(), PaymentError> {
    if before == Some(payout.state) {
        return Ok(());
    }
    // What could not be sent is sent again in its time, by the job that tried.
    let goes_on = matches!(payout.state, PayoutState::Requested | PayoutState::Approved)
        || payout.state == PayoutState::FundsReserved && before == Some(PayoutState::Approved);
    if goes_on {
        outbox::enqueue(tx, workspace, &ConductPayout { payout: payout.id, times: 0, is_extra: false }).await?;
    }
    let fact = PayoutChanged { payout: payout.id, version: payout.version, state: payout.state };
    outbox::publish(tx, workspace, &fact).await?;
    let id = payout.id;
    tx.after_commit(move || crate::bell::ring(id));
    Ok(())
}

/// Promises the payout's funds in the books, in the caller's unit; false where there is not enough at the provider.
pub(crate) async fn reserve(tx: &mut Tx, workspace: WorkspaceId, payout: Payout) -> Result<Option<Payout>, PaymentError> {
    match record_payout(tx, workspace, payout, vec![PayoutEvent::Reserved]).await {
        Ok(payout) => Ok(Some(payout)),
        // The books are asked first: nothing of the event has been written then.
        Err(PaymentError::Ledger(LedgerError::Refused { outcome: Outcome::ExceedsDebits | Outcome::ExceedsCredits, .. })) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn post(tx: &mut Tx, workspace: WorkspaceId, payout: &Payout, posting: Posting) -> Result<(), PaymentError> {
    let unit = accounts::unit(payout.amount.currency)?;
    let amount = payout.amount.amount_minor;
    let float = Place::Float(payout.provider);
    let (id, action, memo) = match posting {
        Posting::Hold(id) => {
            let debit = accounts::account(tx, workspace, &Place::Payouts, &unit).await?;
            let credit = accounts::account(tx, workspace, &float, &unit).await?;
            (id, Action::Hold { debit, credit, unit, ask: Ask::Exactly(amount), expires_at: None }, "payout: funds promised")
        }
        Posting::Post(id, hold) => (id, Action::PostPending { pending: transfer(hold), amount: None }, "payout: paid"),
        Posting::Void(id, hold) => (id, Action::VoidPending { pending: transfer(hold) }, "payout: funds released"),
        Posting::Compensate(id) => {
            let debit = accounts::account(tx, workspace, &float, &unit).await?;
            let credit = accounts::account(tx, workspace, &Place::Payouts, &unit).await?;
            (id, Action::Post { debit, credit, unit, ask: Ask::Exactly(amount) }, "payout: came back")
        }
    };
    let mut new = NewTransfer::new(transfer(id), action);
    new.memo = Some(memo.to_owned());
    ledger::post(tx, workspace, &format!("payout:{}", payout.id), vec![new]).await?;
    Ok(())
}

fn transfer(raw: kernel::RawId) -> TransferId {
    kernel::Id::from_raw(raw)
}
