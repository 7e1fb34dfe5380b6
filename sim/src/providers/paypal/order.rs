//! Orders v2: created by the merchant, approved by the payer, captured or authorised by the merchant.

use serde_json::{Value, json};

use super::{Ask, Done, Fail, HOUR_MS, amount, event, instant, money_of, payment, public, text, transaction_id, units};
use crate::Dialect;
use crate::bank::Books;
use crate::call::Twist;
use crate::pages::{Decision, Page, PageState};

/// An order that nobody approved is gone after three hours, an approved one after 72.
pub(super) fn load(books: &Books, id: &str) -> Result<Value, Fail> {
    let order = books.get("order", id).ok_or_else(|| Fail::missing(id))?;
    let lives_ms = match text(order, "status") {
        "CREATED" | "PAYER_ACTION_REQUIRED" => 3 * HOUR_MS,
        "APPROVED" => 72 * HOUR_MS,
        _ => i64::MAX / 2,
    };
    if units(&order["_sim"], "at_ms") + lives_ms <= books.now_ms() {
        return Err(Fail::missing(id));
    }
    Ok(order.clone())
}

pub(super) fn retrieve(books: &mut Books, id: &str) -> Result<Done, Fail> {
    let order = load(books, id)?;
    for capture in order["purchase_units"][0]["payments"]["captures"].as_array().into_iter().flatten() {
        payment::finish(books, text(capture, "id"));
    }
    load(books, id).map(|order| Done::shown(public(&order)))
}

pub(super) fn keep(books: &mut Books, order: &Value) {
    let id = text(order, "id").to_owned();
    books.put("order", &id, order.clone());
}

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Done, Fail> {
    let body = &ask.body;
    let intent = text(body, "intent");
    if !["CAPTURE", "AUTHORIZE"].contains(&intent) {
        return Err(Fail::field("/intent", "INVALID_PARAMETER_VALUE", "The value of a field is invalid: CAPTURE or AUTHORIZE."));
    }
    let wanted = body["purchase_units"].as_array().filter(|units| !units.is_empty());
    let wanted = wanted.ok_or_else(|| Fail::field("/purchase_units", "MISSING_REQUIRED_PARAMETER", "A required field is missing."))?;
    let [unit] = wanted.as_slice() else {
        return Err(Fail::issue("UNSUPPORTED_INTENT", "The simulator takes one purchase unit per order."));
    };
    let (amount_minor, currency) = amount(&unit["amount"], "currency_code", "/purchase_units/@reference_id=='default'/amount")?;
    for (field, length) in [("reference_id", 256), ("custom_id", 255), ("invoice_id", 127), ("description", 127)] {
        if text(unit, field).chars().count() > length {
            let place = format!("/purchase_units/0/{field}");
            return Err(Fail::field(&place, "INVALID_STRING_LENGTH", "The value of a field is either too short or too long."));
        }
    }
    let context = if body["payment_source"]["paypal"]["experience_context"].is_object() {
        &body["payment_source"]["paypal"]["experience_context"]
    } else {
        &body["application_context"]
    };
    let has_source = body["payment_source"].is_object();
    let id = transaction_id(books);
    let reference = ["custom_id", "invoice_id", "reference_id"]
        .into_iter()
        .map(|field| text(unit, field))
        .find(|value| !value.is_empty())
        .unwrap_or_default();
    let now_ms = books.now_ms();
    let page = Page {
        id: id.clone(),
        dialect: Dialect::Paypal,
        reference: reference.to_owned(),
        description: text(unit, "description").to_owned(),
        amount_minor,
        currency: currency.clone(),
        state: PageState::Open,
        expires_at_ms: Some(now_ms + 3 * HOUR_MS),
    };
    let approve = books.open_page(&page);
    let mut shown_unit = json!({"reference_id": if text(unit, "reference_id").is_empty() { "default" } else { text(unit, "reference_id") },
        "amount": money_of(amount_minor, &currency), "payee": {"email_address": "merchant@simulator.example", "merchant_id": "SIMULATORMERC"}});
    for field in ["custom_id", "invoice_id", "description"] {
        if unit[field].is_string() {
            shown_unit[field] = unit[field].clone();
        }
    }
    let api = format!("{}/paypal/v2/checkout/orders/{id}", books.url());
    let verb = if intent == "CAPTURE" { "capture" } else { "authorize" };
    let links = json!([
        {"href": api, "rel": "self", "method": "GET"},
        {"href": approve, "rel": if has_source { "payer-action" } else { "approve" }, "method": "GET"},
        {"href": format!("{api}/{verb}"), "rel": verb, "method": "POST"},
    ]);
    let is_auto = text(body, "processing_instruction") == "ORDER_COMPLETE_ON_PAYMENT_APPROVAL";
    let order = json!({"id": id, "intent": intent, "status": if has_source { "PAYER_ACTION_REQUIRED" } else { "CREATED" },
        "purchase_units": [shown_unit], "create_time": instant(now_ms), "links": links,
        "_sim": {"at_ms": now_ms, "amount_minor": amount_minor, "currency": currency, "reference": reference, "is_auto": is_auto,
            "return_url": context["return_url"], "cancel_url": context["cancel_url"]}});
    keep(books, &order);
    let body = if ask.is_whole { public(&order) } else { json!({"id": id, "status": order["status"], "links": order["links"]}) };
    // With a payment source the answer is 200, without one 201.
    Ok(Done { status: if has_source { 200 } else { 201 }, body, made: Some(("order", id)) })
}

fn check(order: &Value, intent: &str) -> Result<(), Fail> {
    if text(order, "intent") != intent {
        return Err(Fail::issue("ACTION_DOES_NOT_MATCH_INTENT", "Order was created with an intent that does not match this action."));
    }
    match text(order, "status") {
        "APPROVED" => Ok(()),
        "COMPLETED" if intent == "CAPTURE" => {
            Err(Fail::issue("ORDER_ALREADY_CAPTURED", "Order already captured. If 'intent=CAPTURE' only one capture per order is allowed."))
        }
        "COMPLETED" => Err(Fail::issue(
            "ORDER_ALREADY_AUTHORIZED",
            "Order already authorized. If 'intent=AUTHORIZE' only one authorization per order is allowed.",
        )),
        _ => Err(Fail::issue(
            "ORDER_NOT_APPROVED",
            "Payer has not yet approved the Order for payment. Please redirect the payer to the 'rel':'approve' url returned as part of the HATEOAS links within the Create Order call.",
        )),
    }
}

/// The payer's bank says no when the merchant takes the money; the payer must choose again on the same page.
fn refuse(books: &mut Books, mut order: Value, code: &str) -> Fail {
    let code = if code.is_empty() { "INSTRUMENT_DECLINED" } else { code };
    let id = text(&order, "id").to_owned();
    order["status"] = json!("PAYER_ACTION_REQUIRED");
    order["_sim"]["decline"] = Value::Null;
    keep(books, &order);
    books.set_page(&id, PageState::Open);
    let mut fail =
        Fail::issue(code, "The instrument presented was either declined by the processor or bank, or it can't be used for this payment.");
    if let Some(page) = books.page(&id) {
        fail.body["links"] = json!([{"href": page.url(books.url()), "rel": "redirect", "method": "GET"}]);
    }
    fail
}

fn check_invoice(books: &Books, order: &Value) -> Result<(), Fail> {
    let invoice = text(&order["purchase_units"][0], "invoice_id");
    if !invoice.is_empty() && !books.linked("capture_by_invoice", invoice).is_empty() {
        let description = "Duplicate Invoice ID detected. To avoid a potential duplicate transaction your account setting requires that Invoice Id be unique for each transaction.";
        return Err(Fail::issue("DUPLICATE_INVOICE_ID", description));
    }
    Ok(())
}

fn declined<'a>(order: &'a Value, twist: &'a Twist) -> Option<&'a str> {
    twist.decline.as_deref().or_else(|| order["_sim"]["decline"].as_str())
}

pub(super) fn capture(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Done, Fail> {
    let order = load(books, id)?;
    check(&order, "CAPTURE")?;
    check_invoice(books, &order)?;
    take(books, order, &ask.twist, ask.key)
}

/// Charges an approved order.
fn take(books: &mut Books, mut order: Value, twist: &Twist, key: Option<&str>) -> Result<Done, Fail> {
    let code = declined(&order, twist).map(str::to_owned);
    let id = text(&order, "id").to_owned();
    // The code DECLINED makes a capture that failed, PENDING one that takes a minute; others refuse the call.
    match code.as_deref() {
        Some("DECLINED") => {
            let capture = payment::declined_capture(books, &order);
            order["status"] = json!("COMPLETED");
            order["purchase_units"][0]["payments"]["captures"] = json!([capture]);
        }
        Some("PENDING") => {
            let (moved, currency) = super::moved(twist, units(&order["_sim"], "amount_minor"), text(&order["_sim"], "currency"));
            let capture = payment::pending_capture(books, &order, moved, &currency);
            order["status"] = json!("COMPLETED");
            order["purchase_units"][0]["payments"]["captures"] = json!([public(&capture)]);
        }
        Some(code) => return Err(refuse(books, order, code)),
        None => {
            let (moved, currency) = super::moved(twist, units(&order["_sim"], "amount_minor"), text(&order["_sim"], "currency"));
            let capture = payment::charge(books, &order, None, moved, &currency, true, key);
            order["status"] = json!("COMPLETED");
            order["purchase_units"][0]["payments"]["captures"] = json!([public(&capture)]);
        }
    }
    keep(books, &order);
    Ok(Done { status: 201, body: public(&order), made: Some(("order", id)) })
}

pub(super) fn authorize(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Done, Fail> {
    let mut order = load(books, id)?;
    check(&order, "AUTHORIZE")?;
    check_invoice(books, &order)?;
    if let Some(code) = declined(&order, &ask.twist).map(str::to_owned) {
        return Err(refuse(books, order, &code));
    }
    let authorization = payment::hold(books, &order, &ask.twist, ask.key);
    order["status"] = json!("COMPLETED");
    order["purchase_units"][0]["payments"]["authorizations"] = json!([public(&authorization)]);
    keep(books, &order);
    Ok(Done { status: 201, body: public(&order), made: Some(("order", id.to_owned())) })
}

/// The payer approves; no money moves before the merchant captures, unless the order says so. Who leaves may come back.
pub(super) fn decide(books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
    let mut order = load(books, &page.id).map_err(|_| "the order's time is over".to_owned())?;
    if !["CREATED", "PAYER_ACTION_REQUIRED"].contains(&text(&order, "status")) {
        return Err(format!("the order is {} by now", text(&order, "status")));
    }
    let with_token = |url: &Value, rest: &str| {
        let url = url.as_str()?;
        let join = if url.contains('?') { '&' } else { '?' };
        Some(format!("{url}{join}token={}{rest}", page.id))
    };
    if *decision == Decision::Abandon {
        return Ok(with_token(&order["_sim"]["cancel_url"], ""));
    }
    if let Decision::Decline { code } = decision {
        // Nobody knows before the merchant tries to take the money.
        order["_sim"]["decline"] = json!(code);
    }
    order["status"] = json!("APPROVED");
    order["payer"] = json!({"name": {"given_name": "Pat", "surname": "Payer"}, "email_address": "payer@simulator.example", "payer_id": "SIMULATORPAYR",
        "address": {"country_code": "US"}});
    keep(books, &order);
    books.set_page(&page.id, PageState::Paid);
    let back = with_token(&order["_sim"]["return_url"], "&PayerID=SIMULATORPAYR");
    event(books, "CHECKOUT.ORDER.APPROVED", "checkout-order", &public(&order));
    if order["_sim"]["is_auto"] == true && text(&order, "intent") == "CAPTURE" {
        take(books, order, twist, None).map_err(|_| "the bank declined".to_owned())?;
    }
    Ok(back)
}
