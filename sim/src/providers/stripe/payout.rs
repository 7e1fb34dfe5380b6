//! Payouts, the balance, its lines, and the automatic payout that settles them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Ask, Fail, balance_line, event, iso_minor, now_s, reference, text, units};
use crate::bank::{Books, Moved, MovementKind, other_amount};
use crate::providers::Plant;

/// What the account has of every currency before anything happened, in Stripe's units, so that payouts can be tried at once.
pub(super) const FLOAT_MINOR: i64 = 1_000_000_000;

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    ask.only(&["amount", "currency", "metadata", "description", "destination", "method", "statement_descriptor", "source_type"])?;
    let currency = ask.currency("currency")?;
    let amount =
        ask.amount("amount", &currency)?.ok_or_else(|| Fail::invalid("parameter_missing", "amount", "Missing required param: amount."))?;
    if amount > held(books, &currency) {
        let message = "You have insufficient funds in your Stripe account for this transfer.";
        return Err(Fail::invalid("balance_insufficient", "amount", message));
    }
    let metadata = ask.metadata("metadata")?;
    let (moved_amount, moved_currency) = ask.twist.moved(amount, &currency);
    let id = books.new_id("po_1", 23);
    let mut payout = json!({"id": id, "object": "payout", "amount": moved_amount, "arrival_date": now_s(books) + 86_400, "automatic": false,
        "balance_transaction": null, "created": now_s(books), "currency": moved_currency.to_ascii_lowercase(),
        "description": ask.get("description"), "destination": ask.get("destination").unwrap_or("ba_simulator"), "failure_code": null,
        "failure_message": null, "livemode": false, "metadata": metadata, "method": ask.get("method").unwrap_or("standard"),
        "reconciliation_status": "not_applicable", "status": "pending", "type": "bank_account"});
    let answer = payout.clone();
    event(books, Some(ask), "payout.created", &payout);
    let moved = |books: &mut Books, kind| {
        let reference = reference(&metadata);
        let (amount_minor, currency) = (iso_minor(moved_amount, &moved_currency), moved_currency.as_str());
        books.moved(Moved { kind, reference: &reference, provider_id: &id, amount_minor, currency, idempotency_key: ask.key });
    };
    let code = ask.twist.decline.as_deref();
    // `decline:returned` is the payout that the bank sends back after it was paid.
    if code.is_none_or(|code| code == "returned") {
        let line = balance_line(books, "payout", &id, -moved_amount, 0, &moved_currency.to_ascii_lowercase());
        payout["balance_transaction"] = json!(line);
        payout["status"] = json!("paid");
        moved(books, MovementKind::PaidOut);
        event(books, Some(ask), "payout.paid", &payout);
    }
    if let Some(code) = code {
        if code == "returned" {
            balance_line(books, "payout_failure", &id, moved_amount, 0, &moved_currency.to_ascii_lowercase());
            moved(books, MovementKind::Returned);
        }
        payout["status"] = json!("failed");
        payout["failure_code"] = json!(if code == "returned" || code.is_empty() { "account_closed" } else { code });
        payout["failure_message"] = json!("The bank could not process this payout.");
        event(books, Some(ask), "payout.failed", &payout);
    }
    books.put("payout", &id, payout);
    Ok(answer)
}

pub(super) fn list(books: &Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    let status = ask.get("status");
    let payouts =
        books.all("payout").rev().map(|(_, payout)| payout).filter(|payout| status.is_none_or(|status| text(payout, "status") == status));
    ask.page("/v1/payouts", payouts.cloned())
}

fn held(books: &Books, currency: &str) -> i64 {
    books.get("balance", currency).and_then(Value::as_i64).unwrap_or(FLOAT_MINOR)
}

pub(super) fn balance(books: &Books) -> Value {
    let mut sums: BTreeMap<&str, i64> = ["eur", "gbp", "jpy", "kwd", "usd"].into_iter().map(|currency| (currency, FLOAT_MINOR)).collect();
    sums.extend(books.all("balance").map(|(currency, sum)| (currency, sum.as_i64().unwrap_or_default())));
    let available: Vec<_> =
        sums.iter().map(|(currency, sum)| json!({"amount": sum, "currency": currency, "source_types": {"card": sum}})).collect();
    let pending: Vec<_> = sums.keys().map(|currency| json!({"amount": 0, "currency": currency, "source_types": {"card": 0}})).collect();
    json!({"object": "balance", "available": available, "livemode": false, "pending": pending})
}

/// The lines of the balance, newest first; `payout`, `type`, `source` and `created[gte|lt]` filter, `expand[]=data.source` shows sources.
pub(super) fn lines(books: &Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    let is_expanded = ask.params.iter().any(|(key, value)| key.starts_with("expand") && value == "data.source");
    let (kind, source) = (ask.get("type"), ask.get("source"));
    let (from, before) = (ask.integer("created[gte]")?, ask.integer("created[lt]")?);
    let is_wanted = |line: &Value| {
        kind.is_none_or(|kind| text(line, "type") == kind)
            && source.is_none_or(|source| text(line, "source") == source)
            && from.is_none_or(|from| units(line, "created") >= from)
            && before.is_none_or(|before| units(line, "created") < before)
            && line["is_hidden"].is_null()
    };
    let shown = |line: &Value| {
        let mut line = line.clone();
        if is_expanded {
            let id = text(&line, "source").to_owned();
            let found = ["charge", "refund", "payout"].iter().find_map(|kind| books.get(kind, &id)).cloned();
            line["source"] = found.unwrap_or(Value::String(id));
        }
        line
    };
    let url = "/v1/balance_transactions";
    match ask.get("payout") {
        Some(payout) => {
            books.get("payout", payout).ok_or_else(|| Fail::missing("payout", payout))?;
            let lines = books.linked("line_by_payout", payout).iter().rev().filter_map(|id| books.get("txn", id));
            ask.page(url, lines.filter(|line| is_wanted(line)).map(shown))
        }
        None => ask.page(url, books.all("txn").rev().map(|(_, line)| line).filter(|line| is_wanted(line)).map(shown)),
    }
}

/// Pays what came in since the last time to the merchant's bank, one payout per currency, and plants faults in its lines.
pub(super) fn settle(books: &mut Books, mut plant: Plant) -> Result<Vec<String>, String> {
    let mut batches: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
    let done = |books: &Books, currency: &str| books.get("settled", currency).and_then(Value::as_u64).unwrap_or_default();
    for (_, (id, line)) in (0_u64..)
        .zip(books.all("txn"))
        .filter(|(place, (_, line))| matches!(text(line, "type"), "charge" | "refund") && *place >= done(books, text(line, "currency")))
    {
        let batch = batches.entry(text(line, "currency").to_owned()).or_default();
        batch.0 += units(line, "net");
        batch.1.push(id.to_owned());
    }
    // What is below zero waits until more came in.
    batches.retain(|_, batch| batch.0 > 0);
    if batches.is_empty() {
        return Err("there is nothing to settle".to_owned());
    }
    let mut payouts = Vec::new();
    for (currency, (net, ids)) in batches {
        let id = books.new_id("po_1", 23);
        for line_id in ids {
            let Some(mut line) = books.get("txn", &line_id).cloned() else { continue };
            if plant.missing_lines > 0 {
                plant.missing_lines -= 1;
                line["is_hidden"] = json!(true);
                books.put("txn", &line_id, line);
                continue;
            }
            if plant.wrong_amounts > 0 && units(&line, "amount") > 0 {
                plant.wrong_amounts -= 1;
                let (was, is) = (units(&line, "amount"), other_amount(units(&line, "amount")));
                line["amount"] = json!(is);
                line["net"] = json!(units(&line, "net") + is - was);
                books.put("txn", &line_id, line);
            }
            books.link("line_by_payout", &id, &line_id);
        }
        for _ in 0..std::mem::take(&mut plant.extra_lines) {
            let source = books.new_id("ch_3", 23);
            let line_id = balance_line(books, "charge", &source, 1_000, 59, &currency);
            books.link("line_by_payout", &id, &line_id);
        }
        let line = balance_line(books, "payout", &id, -net, 0, &currency);
        books.link("line_by_payout", &id, &line);
        let payout = json!({"id": id, "object": "payout", "amount": net, "arrival_date": now_s(books), "automatic": true,
            "balance_transaction": line, "created": now_s(books), "currency": currency, "description": "STRIPE PAYOUT",
            "destination": "ba_simulator", "failure_code": null, "failure_message": null, "livemode": false, "metadata": {},
            "method": "standard", "reconciliation_status": "completed", "status": "paid", "type": "bank_account"});
        books.put("payout", &id, payout.clone());
        books.moved(Moved {
            kind: MovementKind::Settled,
            reference: "",
            provider_id: &id,
            amount_minor: iso_minor(net, &currency),
            currency: &currency,
            idempotency_key: None,
        });
        event(books, None, "payout.created", &payout);
        event(books, None, "payout.paid", &payout);
        event(books, None, "payout.reconciliation_completed", &payout);
        let lines = books.count("txn");
        books.put("settled", &currency, json!(lines));
        payouts.push(id);
    }
    Ok(payouts)
}
