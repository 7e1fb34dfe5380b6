//! Monnify's refunds: asked for by the provider's reference, told by the merchant's own.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::payments::Payment;
use super::wire::{DateForm, amount as written, date};
use super::{Refusal, amount, page_of, text};
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::{Call, Twist};
use crate::money::exponent;

/// How long a refund is under way that was asked to be.
const UNDER_WAY_MS: i64 = 60_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Refund {
    number: u64,
    reference: String,
    transaction_reference: String,
    payment_reference: String,
    amount_minor: i64,
    /// What the payer gets, which a fault may change.
    moved_minor: i64,
    currency: String,
    is_full: bool,
    reason: String,
    note: String,
    status: String,
    created_ms: i64,
    done_ms: Option<i64>,
    /// Set while it is under way: when the money moves.
    due_ms: Option<i64>,
}

impl Refund {
    fn view(&self, seen: u64) -> Value {
        let form = DateForm::of(self.number + seen);
        json!({
            "refundReference": self.reference,
            "transactionReference": self.transaction_reference,
            "refundReason": self.reason,
            "customerNote": self.note,
            "refundAmount": written(self.moved_minor, exponent(&self.currency), self.number + seen),
            "currency": self.currency,
            "refundType": if self.is_full { "FULL_REFUND" } else { "PARTIAL_REFUND" },
            "refundStatus": self.status,
            "refundStrategy": "MERCHANT_WALLET",
            "comment": if self.status == "FAILED" { "Refund failed" } else { "Transaction refund has been logged" },
            "createdOn": date(self.created_ms, form),
            "completedOn": self.done_ms.map(|at_ms| date(at_ms, form)),
        })
    }

    /// Gives the money back, or not, and tells.
    fn finish(&mut self, books: &mut Books, status: &str) {
        self.status = status.to_owned();
        self.due_ms = None;
        self.done_ms = Some(books.now_ms());
        if status == "COMPLETED" {
            books.moved(Moved {
                kind: MovementKind::Refunded,
                reference: &self.reference,
                provider_id: &self.transaction_reference,
                amount_minor: self.moved_minor,
                currency: &self.currency,
                idempotency_key: None,
            });
        } else if let Some(mut payment) = Payment::find(books, &self.transaction_reference) {
            payment.refunded_minor -= self.amount_minor;
            payment.keep(books);
        }
        let event = if status == "COMPLETED" { "SUCCESSFUL_REFUND" } else { "FAILED_REFUND" };
        let body = json!({"eventType": event, "eventData": self.view(2)});
        books.notify(Outgoing { id: format!("{event}:{}", self.reference), event: event.to_owned(), body });
    }

    fn keep(&self, books: &mut Books) {
        books.keep("refund", &self.reference, self);
    }
}

/// `initiate-refund`.
pub(super) fn start(books: &mut Books, body: &Value, twist: &Twist) -> Result<Value, Refusal> {
    let reference = text(body, "refundReference")?;
    let transaction = text(body, "transactionReference")?;
    let reason = text(body, "refundReason")?;
    let note = body["customerNote"].as_str().unwrap_or_default();
    if reason.chars().count() > 64 {
        return Err(("99", "refundReason must not be longer than 64 characters".to_owned()));
    }
    if note.chars().count() > 16 {
        return Err(("99", "customerNote must not be longer than 16 characters".to_owned()));
    }
    let mut payment =
        Payment::find(books, transaction).ok_or_else(|| ("R1", "Transaction with specified reference does not exist".to_owned()))?;
    let left_minor = payment.paid_minor - payment.refunded_minor;
    let amount_minor = if body["refundAmount"].is_null() { left_minor } else { amount(body, "refundAmount")? };
    if books.get("refund", reference).is_some() {
        return Err(("R4", "Refund with the specified reference exists already".to_owned()));
    }
    if payment.paid_ms.is_none() {
        return Err(("R2", "Transaction is not paid and cannot be refunded".to_owned()));
    }
    if amount_minor <= 0 || amount_minor > left_minor {
        return Err(("R3", "Refund amount is more than what is left of the transaction".to_owned()));
    }
    let (moved_minor, currency) = twist.moved(amount_minor, &payment.currency);
    let now_ms = books.now_ms();
    let mut refund = Refund {
        number: books.count("refund") as u64,
        reference: reference.to_owned(),
        transaction_reference: payment.transaction_reference.clone(),
        payment_reference: payment.payment_reference.clone(),
        amount_minor,
        moved_minor,
        currency,
        is_full: amount_minor == payment.paid_minor,
        reason: reason.to_owned(),
        note: note.to_owned(),
        status: "PENDING".to_owned(),
        created_ms: now_ms,
        done_ms: None,
        due_ms: None,
    };
    payment.refunded_minor += amount_minor;
    payment.keep(books);
    // Every second refund is told as under way although it is done by the time of the next look, as a real one often is.
    let told = refund.view(0);
    match twist.decline.as_deref() {
        None => refund.finish(books, "COMPLETED"),
        Some(word @ ("PENDING" | "IN_PROGRESS")) => {
            refund.status = word.to_owned();
            refund.due_ms = Some(now_ms + UNDER_WAY_MS);
        }
        Some(_) => refund.finish(books, "FAILED"),
    }
    refund.keep(books);
    Ok(if refund.number.is_multiple_of(2) { refund.view(0) } else { told })
}

fn caught_up(books: &mut Books, reference: &str) -> Option<Refund> {
    let mut refund: Refund = books.find("refund", reference)?;
    if refund.due_ms.is_some_and(|due_ms| due_ms <= books.now_ms()) {
        refund.finish(books, "COMPLETED");
        refund.keep(books);
    }
    Some(refund)
}

/// Ends what has become due.
pub(super) fn wake(books: &mut Books) {
    let under_way = books.all("refund").filter(|(_, refund)| !refund["due_ms"].is_null());
    let references: Vec<String> = under_way.map(|(reference, _)| reference.to_owned()).collect();
    for reference in references {
        caught_up(books, &reference);
    }
}

/// How a refund stands.
pub(super) fn query(books: &mut Books, reference: &str) -> Result<Value, Refusal> {
    let refund = caught_up(books, reference);
    refund.map(|refund| refund.view(1)).ok_or_else(|| ("R5", "Refund with the specified reference does not exist".to_owned()))
}

/// All refunds, newest first.
pub(super) fn list(books: &mut Books, call: &Call) -> Value {
    let references: Vec<String> = books.all("refund").rev().map(|(reference, _)| reference.to_owned()).collect();
    page_of(call, references.len(), |places| {
        references[places].iter().filter_map(|reference| caught_up(books, reference)).map(|refund| refund.view(1)).collect()
    })
}
