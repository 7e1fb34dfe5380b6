//! Authorisations, captures and refunds.

use serde_json::{Value, json};

use super::{Ask, Done, Fail, amount, event, instant, money_of, public, report, text, transaction_id, units};
use crate::bank::{Books, Moved, MovementKind};
use crate::call::Twist;
use crate::money::fee_half_up;

/// 3.49 %, half a unit rounded up, and 49 units.
const FEE_BASIS_POINTS: i64 = 349;
const FEE_FIXED: i64 = 49;
const DAY_MS: i64 = 86_400_000;

fn moved(books: &mut Books, kind: MovementKind, reference: &str, provider_id: &str, amount_minor: i64, currency: &str, key: Option<&str>) {
    books.moved(Moved { kind, reference, provider_id, amount_minor, currency, idempotency_key: key });
}

/// The merchant's fields of the order go with everything that comes of it.
fn copied(order: &Value, mut document: Value) -> Value {
    for field in ["custom_id", "invoice_id"] {
        if order["purchase_units"][0][field].is_string() {
            document[field] = order["purchase_units"][0][field].clone();
        }
    }
    document
}

/// Holds an approved order's amount.
pub(super) fn hold(books: &mut Books, order: &Value, twist: &Twist, key: Option<&str>) -> Value {
    let (held, currency) = super::moved(twist, units(&order["_sim"], "amount_minor"), text(&order["_sim"], "currency"));
    let (id, now_ms, reference) = (transaction_id(books), books.now_ms(), text(&order["_sim"], "reference").to_owned());
    let api = format!("{}/paypal/v2/payments/authorizations/{id}", books.url());
    let authorization = copied(
        order,
        json!({"id": id, "status": "CREATED", "amount": money_of(held, &currency), "create_time": instant(now_ms),
        "update_time": instant(now_ms), "expiration_time": instant(now_ms + 29 * DAY_MS),
        "supplementary_data": {"related_ids": {"order_id": order["id"]}},
        "links": [{"href": api, "rel": "self", "method": "GET"}, {"href": format!("{api}/capture"), "rel": "capture", "method": "POST"},
            {"href": format!("{api}/void"), "rel": "void", "method": "POST"}],
        "_sim": {"amount_minor": held, "currency": currency, "captured_minor": 0, "order": order["id"], "reference": reference,
            "ends_ms": now_ms + 29 * DAY_MS}}),
    );
    books.put("authorization", &id, authorization.clone());
    moved(books, MovementKind::Authorized, &reference, &id, held, &currency, key);
    event(books, "PAYMENT.AUTHORIZATION.CREATED", "authorization", &public(&authorization));
    authorization
}

/// Takes money for an order, under an authorisation or at once.
pub(super) fn charge(
    books: &mut Books,
    order: &Value,
    authorization: Option<&str>,
    taken: i64,
    currency: &str,
    is_final: bool,
    key: Option<&str>,
) -> Value {
    let capture = draft(books, order, authorization, taken, currency, is_final);
    complete(books, capture, key)
}

/// A capture before the money came.
fn draft(books: &Books, order: &Value, authorization: Option<&str>, taken: i64, currency: &str, is_final: bool) -> Value {
    let (id, now_ms) = (transaction_id(books), books.now_ms());
    let api = format!("{}/paypal/v2/payments", books.url());
    let mut related = json!({"order_id": order["id"]});
    if let Some(authorization) = authorization {
        related["authorization_id"] = json!(authorization);
    }
    copied(
        order,
        json!({"id": id, "status": "PENDING", "amount": money_of(taken, currency), "final_capture": is_final,
        "create_time": instant(now_ms), "update_time": instant(now_ms), "supplementary_data": {"related_ids": related},
        "links": [{"href": format!("{api}/captures/{id}"), "rel": "self", "method": "GET"},
            {"href": format!("{api}/captures/{id}/refund"), "rel": "refund", "method": "POST"}],
        "_sim": {"amount_minor": taken, "currency": currency, "refunded_minor": 0, "reference": order["_sim"]["reference"]}}),
    )
}

/// The money comes.
fn complete(books: &mut Books, mut capture: Value, key: Option<&str>) -> Value {
    let (id, own) = (text(&capture, "id").to_owned(), capture["_sim"].clone());
    let (taken, currency) = (units(&own, "amount_minor"), text(&own, "currency"));
    let step = super::step(currency);
    let fee = fee_half_up(taken / step, FEE_BASIS_POINTS, FEE_FIXED) * step;
    capture["status"] = json!("COMPLETED");
    capture["update_time"] = json!(instant(books.now_ms()));
    capture["seller_receivable_breakdown"] = json!({"gross_amount": money_of(taken, currency), "paypal_fee": money_of(fee, currency),
        "net_amount": money_of(taken - fee, currency)});
    books.put("capture", &id, capture.clone());
    let invoice = text(&capture, "invoice_id").to_owned();
    if !invoice.is_empty() {
        books.link("capture_by_invoice", &invoice, &id);
    }
    moved(books, MovementKind::Charged, text(&own, "reference"), &id, taken, currency, key);
    report::line(books, "T0006", &capture, None, taken, -fee);
    event(books, "PAYMENT.CAPTURE.COMPLETED", "capture", &public(&capture));
    capture
}

/// How long a capture is under review, by the simulator's clock.
const REVIEW_MS: i64 = 60_000;

/// A capture that PayPal looks at first; it completes by itself.
pub(super) fn pending_capture(books: &mut Books, order: &Value, taken: i64, currency: &str) -> Value {
    let mut capture = draft(books, order, None, taken, currency, true);
    capture["status_details"] = json!({"reason": "PENDING_REVIEW"});
    let id = text(&capture, "id").to_owned();
    books.put("capture", &id, capture.clone());
    let due_ms = books.now_ms() + REVIEW_MS;
    books.put("review", &id, json!(due_ms));
    event(books, "PAYMENT.CAPTURE.PENDING", "capture", &public(&capture));
    capture
}

/// Ends the review of a capture, if it is due.
pub(super) fn finish(books: &mut Books, id: &str) {
    let is_due = books.get("review", id).and_then(Value::as_i64).is_some_and(|due_ms| due_ms <= books.now_ms());
    let Some(mut capture) = books.get("capture", id).filter(|_| is_due).cloned() else { return };
    books.put("review", id, Value::Null);
    if let Some(fields) = capture.as_object_mut() {
        fields.remove("status_details");
    }
    let capture = complete(books, capture, None);
    let order = capture["supplementary_data"]["related_ids"]["order_id"].as_str().and_then(|id| books.get("order", id)).cloned();
    if let Some(mut order) = order {
        order["purchase_units"][0]["payments"]["captures"] = json!([public(&capture)]);
        super::order::keep(books, &order);
    }
}

/// Ends all reviews that are due.
pub(super) fn wake(books: &mut Books) {
    let ids: Vec<_> = books.all("review").filter(|(_, due_ms)| due_ms.is_i64()).map(|(id, _)| id.to_owned()).collect();
    ids.iter().for_each(|id| finish(books, id));
}

pub(super) fn retrieve(books: &mut Books, id: &str) -> Result<Done, Fail> {
    finish(books, id);
    load(books, "capture", id).map(|capture| Done::shown(public(&capture)))
}

/// A capture that the bank refused.
pub(super) fn declined_capture(books: &mut Books, order: &Value) -> Value {
    let (id, now_ms) = (transaction_id(books), books.now_ms());
    let capture = copied(
        order,
        json!({"id": id, "status": "DECLINED", "amount": order["purchase_units"][0]["amount"], "final_capture": true,
        "processor_response": {"response_code": "5120", "avs_code": "Y"}, "create_time": instant(now_ms), "update_time": instant(now_ms),
        "supplementary_data": {"related_ids": {"order_id": order["id"]}}, "links": []}),
    );
    books.put("capture", &id, capture.clone());
    event(books, "PAYMENT.CAPTURE.DECLINED", "capture", &capture);
    capture
}

fn load(books: &Books, kind: &str, id: &str) -> Result<Value, Fail> {
    books.get(kind, id).cloned().ok_or_else(|| Fail::missing(id))
}

fn check_currency(asked: &str, own: &str) -> Result<(), Fail> {
    if asked == own {
        return Ok(());
    }
    Err(Fail::issue("CURRENCY_MISMATCH", "The currency of the amount is not that of the transaction."))
}

pub(super) fn capture(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Done, Fail> {
    let mut authorization = load(books, "authorization", id)?;
    match text(&authorization, "status") {
        "VOIDED" => return Err(Fail::issue("AUTHORIZATION_VOIDED", "A voided authorization cannot be captured or reauthorized.")),
        "CAPTURED" => return Err(Fail::issue("AUTHORIZATION_ALREADY_CAPTURED", "Authorization has already been captured.")),
        _ => {}
    }
    let own = authorization["_sim"].clone();
    if units(&own, "ends_ms") <= books.now_ms() {
        return Err(Fail::issue("AUTHORIZATION_EXPIRED", "An expired authorization cannot be captured."));
    }
    let (held, captured, currency) = (units(&own, "amount_minor"), units(&own, "captured_minor"), text(&own, "currency").to_owned());
    let asked = if ask.body["amount"].is_object() {
        let (asked, asked_currency) = amount(&ask.body["amount"], "currency_code", "/amount")?;
        check_currency(&asked_currency, &currency)?;
        asked
    } else {
        held - captured
    };
    // PayPal lets a merchant take 15 % more than was authorised.
    if captured + asked > held + held * 15 / 100 {
        return Err(Fail::issue("MAX_CAPTURE_AMOUNT_EXCEEDED", "Capture amount exceeds allowable limit."));
    }
    let invoice = text(&authorization, "invoice_id");
    if captured == 0 && !invoice.is_empty() && !books.linked("capture_by_invoice", invoice).is_empty() {
        return Err(Fail::issue("DUPLICATE_INVOICE_ID", "Requested invoice number has been previously captured."));
    }
    if let Some(code) = &ask.twist.decline {
        let code = if code.is_empty() { "INSTRUMENT_DECLINED" } else { code };
        return Err(Fail::issue(
            code,
            "The instrument presented was either declined by the processor or bank, or it can't be used for this payment.",
        ));
    }
    let order = load(books, "order", text(&own, "order"))?;
    let (moved_amount, moved_currency) = super::moved(&ask.twist, asked, &currency);
    // Not final unless it is said, or nothing is left.
    let is_final = ask.body["final_capture"] == true || captured + asked >= held;
    // A capture has an invoice of its own where the merchant names one.
    let mut named = order.clone();
    if ask.body["invoice_id"].is_string() {
        named["purchase_units"][0]["invoice_id"] = ask.body["invoice_id"].clone();
    }
    let capture = charge(books, &named, Some(id), moved_amount, &moved_currency, is_final, ask.key);
    authorization["_sim"]["captured_minor"] = json!(captured + asked);
    authorization["status"] = json!(if is_final { "CAPTURED" } else { "PARTIALLY_CAPTURED" });
    authorization["update_time"] = json!(instant(books.now_ms()));
    books.put("authorization", id, authorization.clone());
    let rest = held - captured - asked;
    if is_final && rest > 0 {
        moved(books, MovementKind::Voided, text(&own, "reference"), id, rest, &currency, ask.key);
    }
    let capture_id = text(&capture, "id").to_owned();
    let mut order = order;
    order["purchase_units"][0]["payments"]["authorizations"] = json!([public(&authorization)]);
    match order["purchase_units"][0]["payments"]["captures"].as_array_mut() {
        Some(captures) => captures.push(public(&capture)),
        None => order["purchase_units"][0]["payments"]["captures"] = json!([public(&capture)]),
    }
    super::order::keep(books, &order);
    Ok(Done { status: 201, body: public(&capture), made: Some(("capture", capture_id)) })
}

pub(super) fn void(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Done, Fail> {
    let mut authorization = load(books, "authorization", id)?;
    match text(&authorization, "status") {
        "VOIDED" => {
            return Err(Fail::issue("PREVIOUSLY_VOIDED", "Authorization has been previously voided and hence cannot be voided again."));
        }
        "CAPTURED" => {
            return Err(Fail::issue("PREVIOUSLY_CAPTURED", "Authorization has been previously captured and hence cannot be voided."));
        }
        _ => {}
    }
    let own = authorization["_sim"].clone();
    authorization["status"] = json!("VOIDED");
    authorization["update_time"] = json!(instant(books.now_ms()));
    books.put("authorization", id, authorization.clone());
    let rest = units(&own, "amount_minor") - units(&own, "captured_minor");
    if rest > 0 {
        moved(books, MovementKind::Voided, text(&own, "reference"), id, rest, text(&own, "currency"), ask.key);
    }
    event(books, "PAYMENT.AUTHORIZATION.VOIDED", "authorization", &public(&authorization));
    if ask.is_whole {
        return Ok(Done { status: 200, body: public(&authorization), made: Some(("authorization", id.to_owned())) });
    }
    Ok(Done { status: 204, body: Value::Null, made: None })
}

pub(super) fn refund(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Done, Fail> {
    finish(books, id);
    let mut capture = load(books, "capture", id)?;
    if ["DECLINED", "PENDING"].contains(&text(&capture, "status")) {
        return Err(Fail::issue("INVALID_TRANSACTION", "The capture did not complete; there is nothing to refund."));
    }
    let own = capture["_sim"].clone();
    let (taken, refunded, currency) = (units(&own, "amount_minor"), units(&own, "refunded_minor"), text(&own, "currency").to_owned());
    if refunded >= taken {
        return Err(Fail::issue("CAPTURE_FULLY_REFUNDED", "The capture has already been fully refunded."));
    }
    let asked = if ask.body["amount"].is_object() {
        let (asked, asked_currency) = amount(&ask.body["amount"], "currency_code", "/amount")?;
        check_currency(&asked_currency, &currency)?;
        asked
    } else {
        taken - refunded
    };
    if asked > taken - refunded {
        return Err(Fail::issue(
            "REFUND_AMOUNT_EXCEEDED",
            "The refund amount must be less than or equal to the capture amount that has not yet been refunded.",
        ));
    }
    if let Some(code) = &ask.twist.decline {
        let code = if code.is_empty() { "REFUND_FAILED_INSUFFICIENT_FUNDS" } else { code };
        return Err(Fail::issue(code, "Capture could not be refunded."));
    }
    let (back, back_currency) = super::moved(&ask.twist, asked, &currency);
    let (refund_id, now_ms) = (transaction_id(books), books.now_ms());
    let api = format!("{}/paypal/v2/payments", books.url());
    let total = refunded + back;
    let mut refund = json!({"id": refund_id, "status": "COMPLETED", "amount": money_of(back, &back_currency),
        "seller_payable_breakdown": {"gross_amount": money_of(back, &back_currency), "paypal_fee": money_of(0, &back_currency),
            "net_amount": money_of(back, &back_currency), "total_refunded_amount": money_of(total, &currency)},
        "create_time": instant(now_ms), "update_time": instant(now_ms),
        "links": [{"href": format!("{api}/refunds/{refund_id}"), "rel": "self", "method": "GET"}, {"href": format!("{api}/captures/{id}"), "rel": "up", "method": "GET"}]});
    for field in ["invoice_id", "custom_id", "note_to_payer"] {
        let value = if ask.body[field].is_string() { &ask.body[field] } else { &capture[field] };
        if value.is_string() {
            refund[field] = value.clone();
        }
    }
    books.put("refund", &refund_id, refund.clone());
    capture["_sim"]["refunded_minor"] = json!(total);
    capture["status"] = json!(if total >= taken { "REFUNDED" } else { "PARTIALLY_REFUNDED" });
    capture["update_time"] = json!(instant(now_ms));
    books.put("capture", id, capture.clone());
    // The order shows what became of it.
    if let Ok(mut order) = load(books, "order", text(&capture["supplementary_data"]["related_ids"], "order_id")) {
        let payments = &mut order["purchase_units"][0]["payments"];
        for known in payments["captures"].as_array_mut().into_iter().flatten().filter(|known| known["id"] == *id) {
            *known = public(&capture);
        }
        match payments["refunds"].as_array_mut() {
            Some(refunds) => refunds.push(refund.clone()),
            None => payments["refunds"] = json!([refund]),
        }
        super::order::keep(books, &order);
    }
    moved(books, MovementKind::Refunded, text(&own, "reference"), &refund_id, back, &back_currency, ask.key);
    report::line(books, "T1107", &refund, Some(id), -back, 0);
    event(books, "PAYMENT.CAPTURE.REFUNDED", "refund", &refund);
    let body = if ask.is_whole { refund } else { json!({"id": refund_id, "status": "COMPLETED", "links": refund["links"]}) };
    Ok(Done { status: 201, body, made: Some(("refund", refund_id)) })
}
