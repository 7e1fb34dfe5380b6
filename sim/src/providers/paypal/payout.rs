//! Payouts: batches of items, unique by `sender_batch_id` for thirty days.

use serde_json::{Value, json};

use super::{Ask, Done, Fail, amount, event, instant, money_of, public, report, text, transaction_id, units};
use crate::bank::{Books, Moved, MovementKind};

const BATCH_ID_MS: i64 = 30 * 86_400_000;

/// Payouts write `currency` where all else writes `currency_code`.
fn payout_money(amount_minor: i64, currency: &str) -> Value {
    let mut money = money_of(amount_minor, currency);
    json!({"currency": currency, "value": money["value"].take()})
}

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Done, Fail> {
    let header = &ask.body["sender_batch_header"];
    let sender_batch_id = text(header, "sender_batch_id");
    if sender_batch_id.is_empty() || sender_batch_id.len() > 256 {
        return Err(Fail::field("sender_batch_header.sender_batch_id", "MISSING_REQUIRED_PARAMETER", "It has 1 to 256 characters."));
    }
    let known = books.linked("batch_by_sender", sender_batch_id).last().and_then(|id| books.get("batch", id));
    if let Some(known) = known
        && units(&known["_sim"], "at_ms") + BATCH_ID_MS > books.now_ms()
    {
        let details = json!([{"field": "SENDER_BATCH_ID", "issue": "Batch with given sender_batch_id already exists"}]);
        let mut fail = Fail::new(400, "USER_BUSINESS_ERROR", "User business error.", details);
        fail.body["links"] = known["links"].clone();
        return Err(fail);
    }
    let wanted = ask.body["items"].as_array().filter(|items| !items.is_empty() && items.len() <= 15_000);
    let wanted = wanted.ok_or_else(|| Fail::field("items", "MISSING_REQUIRED_PARAMETER", "A batch has 1 to 15,000 items."))?;
    let mut items = Vec::new();
    let (mut total, mut batch_currency) = (0_i64, String::new());
    for (place, item) in wanted.iter().enumerate() {
        let (asked, currency) = amount(&item["amount"], "currency", &format!("items[{place}].amount"))?;
        if text(item, "receiver").is_empty() {
            return Err(Fail::field(&format!("items[{place}].receiver"), "MISSING_REQUIRED_PARAMETER", "A required field is missing."));
        }
        if !batch_currency.is_empty() && batch_currency != currency {
            return Err(Fail::field(
                &format!("items[{place}].amount.currency"),
                "INVALID_PARAMETER_VALUE",
                "All items of a batch have one currency.",
            ));
        }
        total = total.saturating_add(asked);
        batch_currency = currency;
        items.push((item, asked));
    }
    if total > report::held(books, &batch_currency) {
        let message = "Sender does not have sufficient funds.";
        return Err(Fail::new(422, "INSUFFICIENT_FUNDS", message, json!([{"issue": "INSUFFICIENT_FUNDS", "description": message}])));
    }
    let (id, now_ms) = (books.new_id("", 13), books.now_ms());
    let href = format!("{}/paypal/v1/payments/payouts/{id}", books.url());
    let links = json!([{"href": href, "rel": "self", "method": "GET"}]);
    let mut ids = Vec::new();
    for (item, asked) in items {
        ids.push(pay(books, ask, &id, sender_batch_id, item, asked, &batch_currency));
    }
    let batch = json!({"batch_header": {"payout_batch_id": id, "batch_status": "SUCCESS", "time_created": instant(now_ms),
            "time_completed": instant(now_ms), "sender_batch_header": header, "amount": payout_money(total, &batch_currency),
            "fees": payout_money(0, &batch_currency)},
        "links": links, "_sim": {"at_ms": now_ms, "items": ids}});
    books.link("batch_by_sender", sender_batch_id, &id);
    books.put("batch", &id, batch.clone());
    event(books, "PAYMENT.PAYOUTSBATCH.SUCCESS", "payouts", &public(&batch));
    let body =
        json!({"batch_header": {"payout_batch_id": id, "batch_status": "PENDING", "sender_batch_header": header}, "links": batch["links"]});
    Ok(Done { status: 201, body, made: Some(("batch", id)) })
}

/// Pays one item. `decline:UNCLAIMED` leaves the money with PayPal until somebody cancels, `decline:RETURNED` sends it back, and any
/// other code is the error of an item that failed.
fn pay(books: &mut Books, ask: &Ask<'_>, batch: &str, sender_batch_id: &str, item: &Value, asked: i64, currency: &str) -> String {
    let (id, transaction, now_ms) = (books.new_id("", 13), transaction_id(books), books.now_ms());
    let (paid, paid_currency) = super::moved(&ask.twist, asked, currency);
    let reference = if text(item, "sender_item_id").is_empty() { sender_batch_id } else { text(item, "sender_item_id") }.to_owned();
    let (status, kind) = match ask.twist.decline.as_deref() {
        None => ("SUCCESS", "SUCCEEDED"),
        Some("UNCLAIMED") => ("UNCLAIMED", "UNCLAIMED"),
        Some("RETURNED") => ("RETURNED", "RETURNED"),
        Some(_) => ("FAILED", "FAILED"),
    };
    let mut sent = item.clone();
    sent["amount"] = payout_money(paid, &paid_currency);
    let mut document = json!({"payout_item_id": id, "transaction_id": transaction, "transaction_status": status, "payout_batch_id": batch,
        "sender_batch_id": sender_batch_id, "payout_item_fee": payout_money(0, &paid_currency), "payout_item": sent,
        "time_processed": instant(now_ms),
        "links": [{"href": format!("{}/paypal/v1/payments/payouts-item/{id}", books.url()), "rel": "item", "method": "GET"}],
        "_sim": {"amount_minor": paid, "currency": paid_currency, "reference": reference}});
    if let Some(code) = ask.twist.decline.as_deref().filter(|_| status != "RETURNED") {
        let code = match code {
            "" => "RECEIVER_ACCOUNT_LOCKED",
            "UNCLAIMED" => "RECEIVER_UNREGISTERED",
            other => other,
        };
        document["errors"] = json!({"name": code, "message": "The receiver cannot be paid.", "information_link": ""});
    }
    if status != "FAILED" {
        moved(books, MovementKind::PaidOut, &document, ask.key);
        report::line(books, "T0001", &document, None, -paid, 0);
    }
    if status == "RETURNED" {
        moved(books, MovementKind::Returned, &document, ask.key);
        report::line(books, "T1114", &document, None, paid, 0);
    }
    books.put("payout_item", &id, document.clone());
    event(books, &format!("PAYMENT.PAYOUTS-ITEM.{kind}"), "payouts_item", &public(&document));
    id
}

fn moved(books: &mut Books, kind: MovementKind, item: &Value, key: Option<&str>) {
    let own = &item["_sim"];
    books.moved(Moved {
        kind,
        reference: text(own, "reference"),
        provider_id: text(item, "payout_item_id"),
        amount_minor: units(own, "amount_minor"),
        currency: text(own, "currency"),
        idempotency_key: key,
    });
}

pub(super) fn batch(books: &Books, id: &str) -> Result<Done, Fail> {
    let batch = books.get("batch", id).ok_or_else(|| Fail::missing(id))?;
    let ids = batch["_sim"]["items"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let items: Vec<_> = ids.filter_map(|id| books.get("payout_item", id)).map(public).collect();
    let mut shown = public(batch);
    shown["items"] = json!(items);
    Ok(Done::shown(shown))
}

/// Takes an unclaimed item back.
pub(super) fn cancel(books: &mut Books, id: &str) -> Result<Done, Fail> {
    let mut item = books.get("payout_item", id).cloned().ok_or_else(|| Fail::missing(id))?;
    if text(&item, "transaction_status") != "UNCLAIMED" {
        let details = json!([{"field": "transaction_status", "issue": "Only an unclaimed item can be cancelled."}]);
        return Err(Fail::new(400, "ITEM_INCORRECT_STATUS", "Item status is not UNCLAIMED.", details));
    }
    item["transaction_status"] = json!("RETURNED");
    moved(books, MovementKind::Returned, &item, None);
    let amount_minor = units(&item["_sim"], "amount_minor");
    report::line(books, "T1114", &item, None, amount_minor, 0);
    books.put("payout_item", id, item.clone());
    event(books, "PAYMENT.PAYOUTS-ITEM.RETURNED", "payouts_item", &public(&item));
    Ok(Done::shown(public(&item)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payouts_money_has_the_places_of_paypal() {
        assert_eq!(payout_money(1_200, "HUF"), json!({"currency": "HUF", "value": "12"}));
        assert_eq!(payout_money(1_200, "USD"), json!({"currency": "USD", "value": "12.00"}));
    }
}
