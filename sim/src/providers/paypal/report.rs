//! The transaction report, the balance, and the withdrawal that settles it.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Done, Fail, instant, money_of, text, transaction_id, units};
use crate::bank::{Books, Moved, MovementKind, other_amount};
use crate::call::Call;
use crate::providers::Plant;

/// What the account has of every currency before anything happened, so that payouts can be tried at once.
const FLOAT_MINOR: i64 = 1_000_000_000;

/// Writes a line of the report: a capture (T0006), a refund (T1107), a payout (T0001), its return (T1114), a withdrawal (T0400). Amount
/// and fee are signed as PayPal signs them: what leaves the account is negative.
pub(super) fn line(books: &mut Books, code: &str, document: &Value, source: Option<&str>, amount_minor: i64, fee_minor: i64) {
    let id = ["transaction_id", "id"].into_iter().map(|field| text(document, field)).find(|id| !id.is_empty()).unwrap_or_default();
    let (money, now_ms) =
        (if document["payout_item"].is_object() { &document["payout_item"]["amount"] } else { &document["amount"] }, books.now_ms());
    let currency = if text(money, "currency_code").is_empty() { text(money, "currency") } else { text(money, "currency_code") }.to_owned();
    let mut info = json!({"paypal_account_id": "SIMULATORPAYR", "transaction_id": id, "transaction_event_code": code,
        "transaction_initiation_date": instant(now_ms), "transaction_updated_date": instant(now_ms),
        "transaction_amount": money_of(amount_minor, &currency), "transaction_status": "S"});
    if fee_minor != 0 {
        info["fee_amount"] = money_of(fee_minor, &currency);
    }
    if let Some(source) = source {
        info["paypal_reference_id"] = json!(source);
        info["paypal_reference_id_type"] = json!("TXN");
    }
    for (from, to) in [("invoice_id", "invoice_id"), ("custom_id", "custom_field")] {
        if document[from].is_string() {
            info[to] = document[from].clone();
        }
    }
    if document["payout_item"]["sender_item_id"].is_string() {
        info["custom_field"] = document["payout_item"]["sender_item_id"].clone();
    }
    // A return has the id of what it returns; its line is another one.
    let key = format!("{code}/{id}");
    let line =
        json!({"info": info, "at_ms": now_ms, "amount_minor": amount_minor, "fee_minor": fee_minor, "currency": currency, "code": code});
    books.put("line", &key, line);
    let sum = held(books, &currency) + amount_minor + fee_minor;
    books.put("balance", &currency, json!(sum));
}

/// What the account has of a currency.
pub(super) fn held(books: &Books, currency: &str) -> i64 {
    books.get("balance", currency).and_then(Value::as_i64).unwrap_or(FLOAT_MINOR)
}

/// `GET /v1/reporting/balances?currency_code`, of one currency or of all.
pub(super) fn balances(books: &Books, call: &Call) -> Value {
    let mut sums: BTreeMap<&str, i64> = ["EUR", "GBP", "USD"].into_iter().map(|currency| (currency, FLOAT_MINOR)).collect();
    sums.extend(books.all("balance").map(|(currency, sum)| (currency, sum.as_i64().unwrap_or_default())));
    if let Some(wanted) = call.query("currency_code").filter(|code| *code != "ALL") {
        sums.retain(|currency, _| *currency == wanted);
        sums.entry(wanted).or_insert(FLOAT_MINOR);
    }
    let shown = |(currency, sum): (&&str, &i64)| {
        json!({"currency": currency, "primary": *currency == "USD", "total_balance": money_of(*sum, currency),
            "available_balance": money_of(*sum, currency), "withheld_balance": money_of(0, currency)})
    };
    json!({"balances": sums.iter().map(shown).collect::<Vec<_>>(), "account_id": "SIMULATORMERC", "as_of_time": instant(books.now_ms()),
        "last_refresh_time": instant(books.now_ms())})
}

fn date(call: &Call, name: &str) -> Result<i64, Fail> {
    let text = call.query(name).ok_or_else(|| Fail::field(name, "MISSING_REQUIRED_PARAMETER", "A required field is missing."))?;
    // A plus sign in a query is a space.
    let at = OffsetDateTime::parse(&text.replace(' ', "+"), &Rfc3339);
    let at = at.map_err(|_| Fail::field(name, "INVALID_PARAMETER_SYNTAX", "A date is written as 2026-11-21T00:00:00Z."))?;
    Ok(at.unix_timestamp() * 1_000)
}

/// `GET /v1/reporting/transactions?start_date&end_date&page&page_size`, at most 31 days and 500 lines a page, oldest first.
pub(super) fn transactions(books: &Books, call: &Call) -> Result<Done, Fail> {
    let (from, to) = (date(call, "start_date")?, date(call, "end_date")?);
    if to - from > 31 * 86_400_000 || to < from {
        return Err(Fail::field("end_date", "INVALID_DATE_RANGE", "Date range is greater than 31 days."));
    }
    let number = |name: &str, usual: usize, most: usize| match call.query(name) {
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|number| (1..=most).contains(number))
            .ok_or_else(|| Fail::field(name, "INVALID_PARAMETER_VALUE", "It is out of its range.")),
        None => Ok(usual),
    };
    let (page, size) = (number("page", 1, usize::MAX / 1_000)?, number("page_size", 100, 500)?);
    let wanted: Vec<_> = books
        .all("line")
        .map(|(_, line)| line)
        .filter(|line| line["is_hidden"].is_null() && (from..to + 1_000).contains(&units(line, "at_ms")))
        .filter(|line| call.query("transaction_id").is_none_or(|id| text(&line["info"], "transaction_id") == id))
        .collect();
    let details: Vec<_> = wanted.iter().skip((page - 1) * size).take(size).map(|line| json!({"transaction_info": line["info"]})).collect();
    Ok(Done::shown(
        json!({"transaction_details": details, "account_number": "SIMULATORMERC", "start_date": instant(from), "end_date": instant(to),
        "last_refreshed_datetime": instant(books.now_ms()), "page": page, "total_items": wanted.len(),
        "total_pages": wanted.len().div_ceil(size), "links": []}),
    ))
}

/// Withdraws what came in since the last time to the merchant's bank, per currency, and plants faults in the lines.
pub(super) fn settle(books: &mut Books, mut plant: Plant) -> Result<Vec<String>, String> {
    let mut batches: BTreeMap<String, (i64, Vec<String>)> = BTreeMap::new();
    for (key, line) in books.all("line").filter(|(_, line)| line["settled"].is_null() && matches!(text(line, "code"), "T0006" | "T1107")) {
        let batch = batches.entry(text(line, "currency").to_owned()).or_default();
        batch.0 += units(line, "amount_minor") + units(line, "fee_minor");
        batch.1.push(key.to_owned());
    }
    // What is below zero waits until more came in.
    batches.retain(|_, batch| batch.0 > 0);
    if batches.is_empty() {
        return Err("there is nothing to settle".to_owned());
    }
    let mut ids = Vec::new();
    for (currency, (net, keys)) in batches {
        let id = transaction_id(books);
        for key in keys {
            let Some(mut line) = books.get("line", &key).cloned() else { continue };
            line["settled"] = json!(id);
            if plant.missing_lines > 0 {
                plant.missing_lines -= 1;
                line["is_hidden"] = json!(true);
            } else if plant.wrong_amounts > 0 && units(&line, "amount_minor") > 0 {
                plant.wrong_amounts -= 1;
                let step = super::step(&currency);
                let wrong = other_amount(units(&line, "amount_minor") / step) * step;
                line["info"]["transaction_amount"] = money_of(wrong, &currency);
            }
            books.put("line", &key, line);
        }
        for _ in 0..std::mem::take(&mut plant.extra_lines) {
            let invented = json!({"id": transaction_id(books), "amount": money_of(1_000, &currency)});
            line(books, "T0006", &invented, None, 1_000, -84);
            let key = format!("T0006/{}", text(&invented, "id"));
            if let Some(mut line) = books.get("line", &key).cloned() {
                line["settled"] = json!(id);
                books.put("line", &key, line);
            }
        }
        line(books, "T0400", &json!({"id": id, "amount": money_of(net, &currency)}), None, -net, 0);
        books.moved(Moved {
            kind: MovementKind::Settled,
            reference: "",
            provider_id: &id,
            amount_minor: net,
            currency: &currency,
            idempotency_key: None,
        });
        ids.push(id);
    }
    Ok(ids)
}
