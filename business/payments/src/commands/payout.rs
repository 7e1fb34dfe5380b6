//! Payouts: asking for one, deciding about it, and what a job does with it in the books.

mod record;

use kernel::{Caller, FieldFault, Id as _, Money, WorkspaceId};
use risk::{Activity, ActivityKind, Verdict};
use serde_json::json;
use store::Tx;

use crate::beneficiary::{Beneficiary, BeneficiaryId, NameCheck};
use crate::error::PaymentError;
use crate::jobs::{ConductPayout, ConfirmPayout};
use crate::payout::{NARRATION_MAX, NewPayout, Payout, PayoutEvent, PayoutId, PayoutState, Wait};
use crate::provider::{Notice, ProviderId};
use crate::{account::ProviderRecord, grants, queries, text};

pub(crate) use record::{locked_payout, record_payout};

/// A payout that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct PayoutWanted {
    /// To this beneficiary.
    pub beneficiary: BeneficiaryId,
    /// How much.
    pub amount: Money,
    /// Through this provider; without one through the only one that pays out.
    pub provider: Option<ProviderId>,
    /// What the receiver reads; at most [`NARRATION_MAX`] bytes.
    pub narration: Option<String>,
}

/// Asks for a payout. Rules decide at once, people where they have to; nothing is sent in this unit.
pub async fn request_payout(tx: &mut Tx, wanted: PayoutWanted) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    let is_good = |text: &str| !text.trim().is_empty() && text.len() <= NARRATION_MAX && !text.chars().any(char::is_control);
    if wanted.narration.as_deref().is_some_and(|text| !is_good(text)) {
        return Err(PaymentError::field("narration", "must be 1 to 100 bytes without control characters"));
    }
    let beneficiary = queries::find_beneficiary(tx, workspace, wanted.beneficiary).await?.filter(|known| known.erased_at.is_none());
    let beneficiary = beneficiary.ok_or_else(|| PaymentError::field("beneficiary", "must be one of yours"))?;
    let provider = provider_for(tx, workspace, wanted.provider).await?;
    let asks_names = provider.dialect.provider().abilities().enquires_names;
    let settings = queries::payout_settings(tx, workspace).await?;
    let cool_off = risk::queries::cool_off(tx, workspace, ActivityKind::Payout).await?;
    let caller = tx.caller().clone();
    let behind = people::member_behind(tx, &caller).await?;
    let id: PayoutId = tx.new_id();
    let new = NewPayout {
        id,
        provider: provider.id,
        dialect: provider.dialect,
        beneficiary: beneficiary.id,
        beneficiary_version: beneficiary.version,
        amount: wanted.amount,
        narration: wanted.narration,
        requester: caller.actor(),
        behind,
        account_by: beneficiary.entered_by(cool_off, tx.now()),
        is_above_limit: settings.is_above_limit(wanted.amount),
        name_check: if asks_names { beneficiary.name_check } else { Some(NameCheck::NotOffered) },
    };
    let mut events = vec![new.decide()?];
    events.extend(watched(tx, workspace, id, wanted.amount, &beneficiary, &provider.name).await?);
    record::begin(tx, workspace, events).await
}

/// The provider that pays out: the one that was named, or the only one there is.
async fn provider_for(tx: &mut Tx, workspace: WorkspaceId, named: Option<ProviderId>) -> Result<ProviderRecord, PaymentError> {
    let pays_out = |provider: &ProviderRecord| provider.is_enabled && provider.dialect.provider().abilities().pays_out;
    let mut able: Vec<ProviderRecord> = queries::providers(tx, workspace).await?.into_iter().filter(pays_out).collect();
    if let Some(id) = named {
        let found = able.into_iter().find(|provider| provider.id == id);
        return found.ok_or_else(|| PaymentError::field("provider", "must be one of yours that is enabled and pays out"));
    }
    match able.len() {
        0 => Err(PaymentError::field("provider", "none of yours pays out: add one that does, such as monnify")),
        1 => Ok(able.remove(0)),
        _ => Err(PaymentError::field("provider", "must name one: several of yours pay out")),
    }
}

/// What monitoring says before anything happens: nothing where it allows the payout.
async fn watched(
    tx: &mut Tx,
    workspace: WorkspaceId,
    id: PayoutId,
    amount: Money,
    beneficiary: &Beneficiary,
    provider: &str,
) -> Result<Option<PayoutEvent>, PaymentError> {
    let activity = Activity {
        kind: ActivityKind::Payout,
        id: id.to_string(),
        earlier: Vec::new(),
        amount,
        party: Some(beneficiary.fingerprint.clone()),
        country: beneficiary.country.clone(),
        method: None,
        provider: Some(provider.to_owned()),
        party_changed_at: Some(beneficiary.changed_at),
    };
    Ok(match risk::decide(tx, workspace, &activity).await? {
        Verdict::Allow => None,
        Verdict::Hold { reason, .. } => Some(PayoutEvent::Held { reason }),
        Verdict::Block { reason, .. } => Some(PayoutEvent::Refused { reason }),
    })
}

/// Says that a payout may go. Above the limit two people have to, and never the one who asked for it.
pub async fn approve_payout(tx: &mut Tx, id: PayoutId) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    let payout = locked_payout(tx, workspace, id).await?;
    let events = payout.approve(tx.caller().member())?;
    let approvals = payout.approvals.len() + 1;
    let what = json!({ "approvals": approvals, "needed": payout.approvals_needed() });
    outbox::audit(tx, workspace, "payments.payout_approved", &id.to_string(), &what).await?;
    record_payout(tx, workspace, payout, events).await
}

/// Says that a payout must not go, and why; what was promised for it is free again.
pub async fn refuse_payout(tx: &mut Tx, id: PayoutId, reason: String) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    check_reason(&reason)?;
    let payout = locked_payout(tx, workspace, id).await?;
    let events = payout.refuse_it(tx.caller().member(), reason)?;
    outbox::audit(tx, workspace, "payments.payout_refused", &id.to_string(), &json!({})).await?;
    record_payout(tx, workspace, payout, events).await
}

/// Calls a payout off while nothing was sent; what was promised for it is free again.
pub async fn cancel_payout(tx: &mut Tx, id: PayoutId) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    let payout = locked_payout(tx, workspace, id).await?;
    let events = payout.cancel()?;
    if !events.is_empty() {
        outbox::audit(tx, workspace, "payments.payout_canceled", &id.to_string(), &json!({})).await?;
    }
    record_payout(tx, workspace, payout, events).await
}

/// Says how a payout ended whose outcome nobody else tells: checked by a person with the provider.
pub async fn resolve_payout(tx: &mut Tx, id: PayoutId, was_paid: bool, reason: String) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    check_reason(&reason)?;
    let payout = locked_payout(tx, workspace, id).await?;
    let events = payout.resolve(tx.caller().member(), was_paid)?;
    let what = json!({ "was_paid": was_paid, "reason": reason });
    outbox::audit(tx, workspace, "payments.payout_resolved", &id.to_string(), &what).await?;
    record_payout(tx, workspace, payout, events).await
}

fn check_reason(reason: &str) -> Result<(), PaymentError> {
    text::optional(Some(reason), 200).map_err(|message| PaymentError::field("reason", message))
}

/// Has a payout tried, or looked at, now.
pub async fn retry_payout(tx: &mut Tx, id: PayoutId) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    let payout = locked_payout(tx, workspace, id).await?;
    payout.retry()?;
    outbox::enqueue(tx, workspace, &ConductPayout { payout: id, times: 0, is_extra: true }).await?;
    Ok(payout)
}

/// Seals a one-time password on its way to the provider: it is never written down in the clear.
pub fn seal_otp(vault: &store::Vault, id: PayoutId, otp: &str) -> Result<Vec<u8>, PaymentError> {
    if !(1..=20).contains(&otp.len()) || !otp.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Err(PaymentError::Invalid { fields: vec![FieldFault::new("otp", "must be 1 to 20 letters and digits")] });
    }
    Ok(vault.seal(otp.as_bytes(), &id.to_string()))
}

/// Goes on with a payout that waits for its one-time password, sealed by [`seal_otp`].
pub async fn confirm_payout(tx: &mut Tx, id: PayoutId, sealed: Vec<u8>) -> Result<Payout, PaymentError> {
    let workspace = tx.caller().may(grants::PAY_OUT)?;
    let payout = locked_payout(tx, workspace, id).await?;
    payout.confirm()?;
    outbox::audit(tx, workspace, "payments.payout_confirmed", &id.to_string(), &json!({})).await?;
    outbox::enqueue(tx, workspace, &ConfirmPayout { payout: id, sealed }).await?;
    Ok(payout)
}

/// Promises the funds of an approved payout, unless it has to wait; says what it is then.
pub(crate) async fn try_reserve(tx: &mut Tx, workspace: WorkspaceId, id: PayoutId) -> Result<Payout, PaymentError> {
    let payout = locked_payout(tx, workspace, id).await?;
    if payout.state != PayoutState::Approved {
        return Ok(payout);
    }
    if is_changed(tx, workspace, &payout).await? {
        let events = payout.beneficiary_changed();
        return record_payout(tx, workspace, payout, events).await;
    }
    let settings = queries::payout_settings(tx, workspace).await?;
    if let Some(monday) = settings.weekend_ends(tx.now()) {
        if payout.waits_for != Some(Wait::Weekend) {
            outbox::enqueue_at(tx, workspace, monday, &ConductPayout { payout: id, times: 0, is_extra: false }).await?;
        }
        let events = payout.waits(Wait::Weekend);
        return record_payout(tx, workspace, payout, events).await;
    }
    match record::reserve(tx, workspace, payout.clone()).await? {
        Some(reserved) => Ok(reserved),
        None => {
            let events = payout.waits(Wait::InsufficientFloat);
            record_payout(tx, workspace, payout, events).await
        }
    }
}

/// Marks a payout as being sent, before the first byte leaves; none where it is not to be sent any more.
pub(crate) async fn mark_sending(tx: &mut Tx, workspace: WorkspaceId, id: PayoutId) -> Result<Option<Payout>, PaymentError> {
    let payout = locked_payout(tx, workspace, id).await?;
    if payout.state != PayoutState::FundsReserved {
        return Ok(None);
    }
    if is_changed(tx, workspace, &payout).await? {
        let events = payout.beneficiary_changed();
        record_payout(tx, workspace, payout, events).await?;
        return Ok(None);
    }
    record_payout(tx, workspace, payout, vec![PayoutEvent::Sending]).await.map(Some)
}

/// Whether the beneficiary is not any more what it was when the payout was asked for.
async fn is_changed(tx: &mut Tx, workspace: WorkspaceId, payout: &Payout) -> Result<bool, PaymentError> {
    // Held until this unit ends, so that nobody changes it in between.
    tx.lock("beneficiary", &payout.beneficiary.to_string()).await?;
    let found = queries::find_beneficiary(tx, workspace, payout.beneficiary).await?;
    Ok(found.is_none_or(|beneficiary| beneficiary.version != payout.beneficiary_version || beneficiary.erased_at.is_some()))
}

/// Applies one thing that a webhook of `provider` says about a payout: at once where it is trusted and fits, else by asking.
/// False where nothing here is meant.
pub(crate) async fn apply_to_payout(
    tx: &mut Tx,
    workspace: WorkspaceId,
    provider: ProviderId,
    owner: &str,
    notice: &Notice,
    is_trusted: bool,
) -> Result<bool, PaymentError> {
    let Ok(id) = PayoutId::parse(owner) else { return Ok(false) };
    let payout = locked_payout(tx, workspace, id).await?;
    // One provider's word says nothing about what is at another.
    if payout.provider != provider {
        return Ok(false);
    }
    let seen = &notice.observation.seen;
    if !is_trusted || *seen == crate::Seen::Changed || payout.is_contradicted_by(seen) {
        outbox::enqueue(tx, workspace, &ConductPayout { payout: id, times: 0, is_extra: true }).await?;
        return Ok(true);
    }
    let events = payout.observe(&notice.observation);
    record_payout(tx, workspace, payout, events).await?;
    Ok(true)
}

/// Whether this caller may decide about `payout` now: for pages that show what can be done.
pub fn may_decide(caller: &Caller, payout: &Payout) -> bool {
    caller.may(grants::APPROVE).is_ok() && payout.approve(caller.member()).is_ok()
}
