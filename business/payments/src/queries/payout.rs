//! Looking payouts, beneficiaries and the money for them up.

use kernel::{Currency, WorkspaceId};
use store::{Reads, StoreError, params};

use super::LAST;
use crate::beneficiary::{Beneficiary, BeneficiaryId};
use crate::error::PaymentError;
use crate::float::{Float, FloatCheck, PayoutSettings};
use crate::payout::{Payout, PayoutEvent, PayoutId, PayoutState};
use crate::provider::ProviderId;
use crate::sql::{self, Recorded};

/// A payout, if it is there.
pub async fn find_payout(reads: &mut impl Reads, workspace: WorkspaceId, id: PayoutId) -> Result<Option<Payout>, StoreError> {
    reads.row(&sql::payout::FIND_PAYOUT, params![&workspace, &id], sql::payout::payout).await
}

/// A payout.
pub async fn payout(reads: &mut impl Reads, workspace: WorkspaceId, id: PayoutId) -> Result<Payout, PaymentError> {
    find_payout(reads, workspace, id).await?.ok_or(PaymentError::NotFound { what: "payout" })
}

/// Payouts, the newest first, older than `before`; in a state and to a beneficiary, where those are given.
pub async fn payouts(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    state: Option<PayoutState>,
    beneficiary: Option<BeneficiaryId>,
    before: Option<PayoutId>,
    limit: i64,
) -> Result<Vec<Payout>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    let beneficiary = beneficiary.map(|id| id.to_string()).unwrap_or_default();
    reads
        .rows(
            &sql::payout::LIST_PAYOUTS,
            params![&workspace, &before, state.map_or("", PayoutState::as_str), &beneficiary, limit],
            sql::payout::payout,
        )
        .await
}

/// Approved payouts through a provider that wait, the oldest first.
pub async fn waiting_payouts(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    limit: i64,
) -> Result<Vec<Payout>, StoreError> {
    reads.rows(&sql::payout::WAITING_PAYOUTS, params![&workspace, &provider, limit], sql::payout::payout).await
}

/// The history of a payout behind version `after`, the oldest first.
pub async fn payout_history(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: PayoutId,
    after: i64,
    limit: i64,
) -> Result<Vec<Recorded<PayoutEvent>>, StoreError> {
    reads.rows(&sql::EVENTS_OF, params![&workspace, &id, after, limit], sql::payout::payout_event).await
}

/// A beneficiary, if it is there; erased ones are, without a name.
pub async fn find_beneficiary(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: BeneficiaryId,
) -> Result<Option<Beneficiary>, StoreError> {
    reads.row(&sql::payout::FIND_BENEFICIARY, params![&workspace, &id], sql::payout::beneficiary).await
}

/// A beneficiary.
pub async fn beneficiary(reads: &mut impl Reads, workspace: WorkspaceId, id: BeneficiaryId) -> Result<Beneficiary, PaymentError> {
    find_beneficiary(reads, workspace, id).await?.ok_or(PaymentError::NotFound { what: "beneficiary" })
}

/// Beneficiaries that were not erased, the newest first, older than `before`.
pub async fn beneficiaries(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    before: Option<BeneficiaryId>,
    limit: i64,
) -> Result<Vec<Beneficiary>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    reads.rows(&sql::payout::LIST_BENEFICIARIES, params![&workspace, &before, limit], sql::payout::beneficiary).await
}

/// What a workspace says about payouts; the cautious defaults where it said nothing.
pub async fn payout_settings(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<PayoutSettings, StoreError> {
    let found = reads.row(&sql::payout::FIND_PAYOUT_SETTINGS, params![&workspace], sql::payout::payout_settings).await?;
    Ok(found.unwrap_or_default())
}

/// What the books have at a provider for payouts, and how much of it is promised, in minor units.
pub async fn float(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    currency: Currency,
) -> Result<(i64, i64), PaymentError> {
    let provider = super::provider(reads, workspace, provider).await?;
    let code = format!("payments.float.{}.{}", provider.name, currency.to_string().to_ascii_lowercase());
    let code = ledger::AccountCode::parse(&code).map_err(|error| PaymentError::field("currency", error.to_string()))?;
    let Some(account) = ledger::queries::account_by_code(reads, workspace, &code).await? else { return Ok((0, 0)) };
    let totals = ledger::queries::totals(reads, workspace, &account).await?;
    let minor = |amount: i128| i64::try_from(amount).map_err(StoreError::decode);
    Ok((minor(totals.debits_posted - totals.credits_posted)?, minor(totals.credits_pending)?))
}

/// What a provider said last about the money that we have there.
pub async fn last_float_check(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    currency: Currency,
) -> Result<Option<FloatCheck>, StoreError> {
    let currency = currency.to_string();
    reads.row(&sql::payout::LAST_FLOAT_CHECK, params![&workspace, &provider, &currency], sql::payout::float_check).await
}

/// Currencies of one provider that are listed.
const CURRENCIES_MAX: u32 = 50;

/// The money for payouts at all providers, by their names and currencies.
pub async fn floats(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Vec<Float>, PaymentError> {
    let mut found = Vec::new();
    for provider in super::providers(reads, workspace).await? {
        let code_prefix = Some(format!("payments.float.{}.", provider.name));
        let filter = ledger::queries::AccountFilter { code_prefix, ..ledger::queries::AccountFilter::default() };
        for account in ledger::queries::accounts(reads, workspace, &filter, None, CURRENCIES_MAX).await? {
            let Ok(currency) = Currency::parse(account.unit.as_str()) else { continue };
            let (ours_minor, reserved_minor) = float(reads, workspace, provider.id, currency).await?;
            let check = last_float_check(reads, workspace, provider.id, currency).await?;
            found.push(Float { provider: provider.id, currency, ours_minor, reserved_minor, check });
        }
    }
    Ok(found)
}
