//! Taking what was authorized, and giving money back.

use serde_json::json;
use store::{Tx, params};

use super::record::{locked, record};
use crate::error::PaymentError;
use crate::intent::{AttemptId, CaptureId, Intent, IntentId, RefundId};
use crate::{grants, sql, text};

/// Takes what was authorized: `amount_minor` of it, or all that is left. With `is_last` the rest is released.
pub async fn capture(tx: &mut Tx, id: IntentId, amount_minor: Option<i64>, is_last: bool) -> Result<(Intent, CaptureId), PaymentError> {
    let workspace = tx.caller().may(grants::CAPTURE)?;
    let intent = locked(tx, workspace, id).await?;
    let capture: CaptureId = tx.new_id();
    let kept = intent.kept().map(|attempt| attempt.dialect.provider().abilities());
    if kept.is_some_and(|abilities| !abilities.captures_in_parts)
        && amount_minor.is_some_and(|amount| amount < intent.amount.amount_minor)
        && !is_last
    {
        return Err(PaymentError::field("is_last", "must be true: this provider captures once, and releases the rest"));
    }
    let events = intent.request_capture(capture, amount_minor, is_last)?;
    let intent = record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })?;
    Ok((intent, capture))
}

/// Gives money back: `amount_minor` of what `attempt` (or the one that counts) brought, or all that is left.
pub async fn refund(
    tx: &mut Tx,
    id: IntentId,
    attempt: Option<AttemptId>,
    amount_minor: Option<i64>,
    reason: Option<String>,
) -> Result<(Intent, RefundId), PaymentError> {
    let workspace = tx.caller().may(grants::REFUND)?;
    if let Err(message) = text::optional(reason.as_deref(), 200) {
        return Err(PaymentError::field("reason", message));
    }
    let intent = locked(tx, workspace, id).await?;
    let refund: RefundId = tx.new_id();
    let events = intent.request_refund(refund, attempt, amount_minor, reason)?;
    let of = attempt.or(intent.kept).and_then(|id| intent.attempt(id));
    let abilities = of.map(|attempt| attempt.dialect.provider().abilities());
    if abilities.is_some_and(|abilities| !abilities.refunds) {
        return Err(PaymentError::field("attempt", "was paid at a provider that gives no money back by itself: refund it by a payout"));
    }
    let is_part = of.zip(amount_minor).is_some_and(|(attempt, amount)| amount < attempt.captured_minor);
    if is_part && abilities.is_some_and(|abilities| !abilities.refunds_in_parts) {
        return Err(PaymentError::field("amount_minor", "must be all of it: this provider gives no part back"));
    }
    let intent = record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })?;
    Ok((intent, refund))
}

/// Gives back what `attempt` brought and nobody counts: what is kept apart, or what came beyond its first payment and could not be
/// given back so far. `reason` is kept with the refund and in the audit trail.
pub async fn give_back(tx: &mut Tx, id: IntentId, attempt: AttemptId, reason: &str) -> Result<(Intent, RefundId), PaymentError> {
    let workspace = tx.caller().may(grants::REFUND)?;
    text::optional(Some(reason), 200).map_err(|message| PaymentError::field("reason", message))?;
    let intent = locked(tx, workspace, id).await?;
    let refund: RefundId = tx.new_id();
    let events = intent.give_back(refund, attempt, reason)?;
    if intent.attempt(attempt).is_some_and(|attempt| !attempt.dialect.provider().abilities().refunds) {
        return Err(PaymentError::field("attempt", "was paid at a provider that gives no money back by itself: refund it by a payout"));
    }
    outbox::audit(tx, workspace, "payments.given_back", &attempt.to_string(), &json!({ "reason": reason, "refund": refund })).await?;
    let intent = record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })?;
    Ok((intent, refund))
}

/// Forgets what the payers with this email address told us, and says of how many payments. Amounts and identifiers stay: the books
/// need them.
pub async fn erase_payer(tx: &mut Tx, email: &people::Email) -> Result<u64, PaymentError> {
    let workspace = tx.caller().may(grants::MANAGE)?;
    let forgotten = tx.execute(&sql::ERASE_PAYERS, params![&workspace, email.as_str()]).await?;
    // Whom it was about is not written down once more.
    outbox::audit(tx, workspace, "payments.payer_erased", &workspace.to_string(), &json!({ "payments": forgotten })).await?;
    Ok(forgotten)
}
