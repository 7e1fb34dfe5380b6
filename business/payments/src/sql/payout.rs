//! Every statement of payouts, beneficiaries, their settings and the float, and how their rows are read.
//!
//! Tables: `payments_beneficiaries`, `payments_payouts`, `payments_payout_settings`, `payments_float_checks`; the events and
//! references of payouts stand with those of intents.

use kernel::{Id as _, MemberId, WorkspaceId};
use store::{P, Row, StoreError, row_params};

use crate::beneficiary::Beneficiary;
use crate::float::{FloatCheck, PayoutSettings};
use crate::payout::{Payout, PayoutEvent};
use crate::sql::Recorded;

store::statements! {
    INSERT_PAYOUT = "insert into payments_payouts (workspace, id, version, state, provider, beneficiary, amount_minor, currency, created_at,
        changed_at, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    UPDATE_PAYOUT = "update payments_payouts set version = $3, state = $4, changed_at = $5, body = $6
        where workspace = $1 and id = $2 and version = $7";
    FIND_PAYOUT = "select body from payments_payouts where workspace = $1 and id = $2";
    LIST_PAYOUTS = "select body from payments_payouts where workspace = $1 and id < $2
        and ($3 = '' or state = $3) and ($4 = '' or beneficiary = $4) order by id desc limit $5";
    WAITING_PAYOUTS = "select body from payments_payouts where workspace = $1 and state = 'approved' and provider = $2 order by id limit $3";

    INSERT_BENEFICIARY = "insert into payments_beneficiaries (workspace, id, version, name, bank_code, ending, country, sealed, fingerprint,
        name_check, created_at, changed_at, erased_at, changed_by) values ($1, $2, 1, $3, $4, $5, $6, $7, $8, null, $9, $9, null, $10)";
    UPDATE_BENEFICIARY = "update payments_beneficiaries set version = version + 1, name = $4, bank_code = $5, ending = $6, country = $7,
        sealed = $8, fingerprint = $9, name_check = null, changed_at = $10, changed_by = $11
        where workspace = $1 and id = $2 and version = $3 and erased_at is null";
    ERASE_BENEFICIARY = "update payments_beneficiaries set version = version + 1, name = null, bank_code = '', ending = '', sealed = $3,
        fingerprint = '', name_check = null, changed_at = $4, erased_at = $4 where workspace = $1 and id = $2 and erased_at is null";
    KEEP_NAME_CHECK = "update payments_beneficiaries set name_check = $4 where workspace = $1 and id = $2 and version = $3";
    FIND_BENEFICIARY = "select id, version, name, bank_code, ending, country, sealed, fingerprint, name_check, created_at, changed_at, erased_at,
        changed_by from payments_beneficiaries where workspace = $1 and id = $2";
    LIST_BENEFICIARIES = "select id, version, name, bank_code, ending, country, sealed, fingerprint, name_check, created_at, changed_at,
        erased_at, changed_by from payments_beneficiaries where workspace = $1 and id < $2 and erased_at is null order by id desc limit $3";

    FIND_PAYOUT_SETTINGS = "select version, limits, runs_on_weekends, utc_offset_min from payments_payout_settings where workspace = $1";
    KEEP_PAYOUT_SETTINGS = "insert into payments_payout_settings (workspace, version, limits, runs_on_weekends, utc_offset_min, changed_at)
        values ($1, $2 + 1, $3, $4, $5, $6) on conflict (workspace) do update set version = payments_payout_settings.version + 1,
          limits = excluded.limits, runs_on_weekends = excluded.runs_on_weekends, utc_offset_min = excluded.utc_offset_min,
          changed_at = excluded.changed_at where payments_payout_settings.version = $2";

    INSERT_FLOAT_CHECK = "insert into payments_float_checks (workspace, id, provider, currency, theirs_minor, ours_minor, reserved_minor,
        checked_at) values ($1, $2, $3, $4, $5, $6, $7, $8)";
    LAST_FLOAT_CHECK = "select theirs_minor, ours_minor, reserved_minor, checked_at from payments_float_checks
        where workspace = $1 and provider = $2 and currency = $3 order by id desc limit 1";
}

pub(crate) fn payout(row: &Row<'_>) -> Result<Payout, StoreError> {
    row.json("body")
}

/// The row of a payout, as `INSERT_PAYOUT` takes it.
pub(crate) fn payout_row(workspace: WorkspaceId, payout: &Payout) -> Result<Vec<P<'static>>, StoreError> {
    let currency = payout.amount.currency.to_string();
    let body = serde_json::to_string(payout).map_err(StoreError::decode)?;
    Ok(row_params![
        workspace,
        payout.id,
        payout.version,
        payout.state.as_str(),
        payout.provider,
        payout.beneficiary,
        payout.amount.amount_minor,
        currency,
        payout.requested_at,
        payout.changed_at,
        body
    ])
}

pub(crate) fn payout_event(row: &Row<'_>) -> Result<Recorded<PayoutEvent>, StoreError> {
    Ok(Recorded { version: row.get("version")?, event: row.json("body")?, actor: row.get("actor")?, at: row.time("recorded_at")? })
}

pub(crate) fn beneficiary(row: &Row<'_>) -> Result<Beneficiary, StoreError> {
    let name_check = row.get::<Option<String>>("name_check")?.map(|word| word.parse()).transpose();
    Ok(Beneficiary {
        id: row.id("id")?,
        version: row.get("version")?,
        name: row.get("name")?,
        bank_code: row.get("bank_code")?,
        ending: row.get("ending")?,
        country: row.get("country")?,
        sealed: row.get("sealed")?,
        fingerprint: row.get("fingerprint")?,
        name_check: name_check.map_err(StoreError::decode)?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
        changed_by: row.get::<Option<String>>("changed_by")?.map(|id| MemberId::parse(&id)).transpose().map_err(StoreError::decode)?,
        erased_at: row.opt_time("erased_at")?,
    })
}

pub(crate) fn payout_settings(row: &Row<'_>) -> Result<PayoutSettings, StoreError> {
    Ok(PayoutSettings {
        version: row.get("version")?,
        limits: row.json("limits")?,
        runs_on_weekends: row.get("runs_on_weekends")?,
        utc_offset_min: row.get("utc_offset_min")?,
    })
}

pub(crate) fn float_check(row: &Row<'_>) -> Result<FloatCheck, StoreError> {
    Ok(FloatCheck {
        theirs_minor: row.get("theirs_minor")?,
        ours_minor: row.get("ours_minor")?,
        reserved_minor: row.get("reserved_minor")?,
        checked_at: row.time("checked_at")?,
    })
}
