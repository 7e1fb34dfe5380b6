//! Money at providers for payouts: brought there, compared with the provider's word; and what a workspace says about payouts.

use kernel::{Currency, Money, WorkspaceId};
use ledger::{NewTransfer, TransferId};
use serde_json::json;
use store::{Tx, params};

use super::accounts;
use crate::books::Place;
use crate::error::PaymentError;
use crate::float::{FloatCheck, FloatCheckId, PayoutSettings, TopUpId};
use crate::intent::AMOUNT_MAX_MINOR;
use crate::jobs::{CompareFloat, ConductPayout};
use crate::provider::ProviderId;
use crate::{grants, queries, sql};

/// Payouts that are tried again at once when money came.
const WOKEN_MAX: i64 = 500;

/// Enters in the books that our bank sent money to a provider for payouts, and tries those again that wait for it.
pub async fn top_up_float(tx: &mut Tx, provider: ProviderId, amount: Money) -> Result<TopUpId, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    if !(1..=AMOUNT_MAX_MINOR).contains(&amount.amount_minor) {
        let message = "must be a whole number of minor units, from 1 to 9007199254740991";
        return Err(PaymentError::field("amount_minor", message));
    }
    let found = queries::find_provider(tx, workspace, provider).await?;
    let found = found.filter(|provider| provider.dialect.provider().abilities().pays_out);
    found.ok_or_else(|| PaymentError::field("provider", "must be one of yours that pays out"))?;
    let unit = accounts::unit(amount.currency)?;
    let debit = accounts::account(tx, workspace, &Place::Float(provider), &unit).await?;
    let credit = accounts::account(tx, workspace, &Place::Bank, &unit).await?;
    let id: TopUpId = tx.new_id();
    let transfer: TransferId = kernel::Id::from_raw(kernel::Id::raw(id));
    let mut transfer = NewTransfer::exactly(transfer, debit, credit, unit, amount.amount_minor);
    transfer.memo = Some("money for payouts".to_owned());
    ledger::post(tx, workspace, &format!("top_up:{id}"), vec![transfer]).await?;
    let what = json!({ "provider": provider.to_string(), "amount_minor": amount.amount_minor, "currency": amount.currency.to_string() });
    outbox::audit(tx, workspace, "payments.float_topped_up", &id.to_string(), &what).await?;
    for payout in queries::waiting_payouts(tx, workspace, provider, WOKEN_MAX).await? {
        outbox::enqueue(tx, workspace, &ConductPayout { payout: payout.id, times: 0, is_extra: true }).await?;
    }
    Ok(id)
}

/// Has a provider asked how much money we have there; what it says is kept beside what the books say, and nothing is posted.
pub async fn compare_float(tx: &mut Tx, provider: ProviderId, currency: Currency) -> Result<(), PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    let found = queries::find_provider(tx, workspace, provider).await?;
    let found = found.filter(|provider| provider.dialect.provider().abilities().tells_float);
    found.ok_or_else(|| PaymentError::field("provider", "must be one of yours that tells how much money is there"))?;
    outbox::enqueue(tx, workspace, &CompareFloat { provider, currency: currency.to_string() }).await?;
    Ok(())
}

/// Keeps a provider's word beside the books'.
pub(crate) async fn keep_float_check(
    tx: &mut Tx,
    workspace: WorkspaceId,
    provider: ProviderId,
    theirs: Money,
) -> Result<FloatCheck, PaymentError> {
    let (ours_minor, reserved_minor) = queries::float(tx, workspace, provider, theirs.currency).await?;
    let (id, now): (FloatCheckId, _) = (tx.new_id(), tx.now());
    let currency = theirs.currency.to_string();
    tx.execute(
        &sql::payout::INSERT_FLOAT_CHECK,
        params![&workspace, &id, &provider, &currency, theirs.amount_minor, ours_minor, reserved_minor, now],
    )
    .await?;
    Ok(FloatCheck { theirs_minor: theirs.amount_minor, ours_minor, reserved_minor, checked_at: now })
}

/// Sets what the workspace says about payouts, seen at its version. Payouts that were asked for before keep their gates.
pub async fn set_payout_settings(tx: &mut Tx, settings: PayoutSettings) -> Result<PayoutSettings, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    settings.check().map_err(|fields| PaymentError::Invalid { fields })?;
    let limits = serde_json::to_string(&settings.limits).map_err(store::StoreError::decode)?;
    let now = tx.now();
    if tx
        .execute(
            &sql::payout::KEEP_PAYOUT_SETTINGS,
            params![&workspace, settings.version, &limits, settings.runs_on_weekends, settings.utc_offset_min, now],
        )
        .await?
        == 0
    {
        return Err(PaymentError::Stale);
    }
    let what =
        json!({ "limits": settings.limits, "runs_on_weekends": settings.runs_on_weekends, "utc_offset_min": settings.utc_offset_min });
    outbox::audit(tx, workspace, "payments.payout_settings_set", &workspace.to_string(), &what).await?;
    Ok(PayoutSettings { version: settings.version + 1, ..settings })
}
