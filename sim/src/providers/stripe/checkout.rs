//! Checkout Sessions: Stripe's hosted payment page.

use serde_json::{Value, json};

use super::{Ask, Fail, check_amount, event, intent, iso_minor, now_s, reference, text, units};
use crate::Dialect;
use crate::bank::Books;
use crate::call::Twist;
use crate::pages::{Decision, Page, PageState};

fn fetch(books: &Books, id: &str) -> Result<Value, Fail> {
    books.get("session", id).cloned().ok_or_else(|| Fail::missing("checkout.session", id))
}

/// Ends a session whose time is over; Stripe does so by itself.
fn lapse(books: &mut Books, mut session: Value) -> Value {
    if text(&session, "status") == "open" && units(&session, "expires_at") <= now_s(books) {
        session["status"] = json!("expired");
        session["url"] = Value::Null;
        let id = text(&session, "id").to_owned();
        books.put("session", &id, session.clone());
        books.set_page(&id, PageState::Expired);
        event(books, None, "checkout.session.expired", &session);
    }
    session
}

/// Ends all sessions whose time is over.
pub(super) fn wake(books: &mut Books) {
    let open: Vec<_> =
        books.all("session").filter(|(_, session)| text(session, "status") == "open").map(|(_, session)| session.clone()).collect();
    for session in open {
        lapse(books, session);
    }
}

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    ask.only(&[
        "mode",
        "line_items",
        "client_reference_id",
        "metadata",
        "payment_intent_data",
        "success_url",
        "cancel_url",
        "expires_at",
        "customer_email",
        "customer",
        "payment_method_types",
        "locale",
        "submit_type",
        "billing_address_collection",
        "ui_mode",
    ])?;
    match ask.need("mode")? {
        "payment" => {}
        other => return Err(Fail::invalid("parameter_invalid", "mode", format!("The simulator knows mode=payment, not {other}."))),
    }
    let success_url = ask.need("success_url")?;
    for name in ["success_url", "cancel_url"] {
        if ask.get(name).is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://")) {
            return Err(Fail::invalid("url_invalid", name, "Not a valid URL"));
        }
    }
    if ask.get("client_reference_id").is_some_and(|id| id.len() > 200) {
        return Err(Fail::invalid("parameter_invalid", "client_reference_id", "It has at most 200 characters."));
    }
    let now = now_s(books);
    let expires_at = ask.integer("expires_at")?.unwrap_or(now + 86_400);
    if expires_at < now + 1_790 || expires_at > now + 86_410 {
        let message = "The `expires_at` timestamp must be at least 30 minutes and less than 24 hours from Checkout Session creation.";
        return Err(Fail::invalid("parameter_invalid_integer", "expires_at", message));
    }
    let (amount, currency, name) = total(ask)?;
    let capture_method = ask.get("payment_intent_data[capture_method]").unwrap_or("automatic");
    if !["automatic", "automatic_async", "manual"].contains(&capture_method) {
        return Err(Fail::invalid(
            "parameter_invalid",
            "payment_intent_data[capture_method]",
            format!("Invalid capture_method: {capture_method}"),
        ));
    }
    let (metadata, intent_metadata) = (ask.metadata("metadata")?, ask.metadata("payment_intent_data[metadata]")?);
    let id = books.new_id("cs_test_a1", 48);
    let own = ask.get("client_reference_id").map(str::to_owned);
    let merchant =
        own.clone().unwrap_or_else(|| if reference(&metadata).is_empty() { reference(&intent_metadata) } else { reference(&metadata) });
    let page = Page {
        id: id.clone(),
        dialect: Dialect::Stripe,
        reference: merchant,
        description: ask.get("payment_intent_data[description]").unwrap_or(&name).to_owned(),
        amount_minor: iso_minor(amount, &currency),
        currency: currency.to_ascii_uppercase(),
        state: PageState::Open,
        expires_at_ms: Some(expires_at * 1_000),
    };
    let url = books.open_page(&page);
    let session = json!({"id": id, "object": "checkout.session", "amount_subtotal": amount, "amount_total": amount,
        "cancel_url": ask.get("cancel_url"), "client_reference_id": own, "created": now, "currency": currency,
        "customer_email": ask.get("customer_email"), "expires_at": expires_at, "livemode": false, "metadata": metadata, "mode": "payment",
        // Since 2022-08-01 the intent is made when the payer tries to pay.
        "payment_intent": null, "payment_method_types": ["card"], "payment_status": "unpaid", "status": "open", "success_url": success_url, "url": url});
    books.put("session", &id, session.clone());
    let plan =
        json!({"capture_method": capture_method, "metadata": intent_metadata, "description": ask.get("payment_intent_data[description]")});
    books.put("session_plan", &id, plan);
    Ok(session)
}

/// The sum of the lines, their currency, and the name of the first.
fn total(ask: &Ask<'_>) -> Result<(i64, String, String), Fail> {
    let (mut sum, mut currency, mut name) = (0_i64, None::<String>, String::new());
    for line in 0..100 {
        let field = |rest: &str| format!("line_items[{line}]{rest}");
        if !ask.params.iter().any(|(key, _)| key.starts_with(&field("["))) {
            break;
        }
        let own = ask.currency(&field("[price_data][currency]"))?;
        if currency.as_ref().is_some_and(|known| *known != own) {
            return Err(Fail::invalid("parameter_invalid", "line_items", "All line items must have the same currency."));
        }
        let unit = field("[price_data][unit_amount]");
        let amount = ask
            .amount(&unit, &own)?
            .ok_or_else(|| Fail::invalid("parameter_missing", &unit, format!("Missing required param: {unit}.")))?;
        let quantity = field("[quantity]");
        let count = ask
            .integer(&quantity)?
            .filter(|count| *count > 0)
            .ok_or_else(|| Fail::invalid("parameter_missing", &quantity, format!("Missing required param: {quantity}.")))?;
        if name.is_empty() {
            name = ask.need(&field("[price_data][product_data][name]"))?.to_owned();
        }
        sum = amount
            .checked_mul(count)
            .and_then(|line| sum.checked_add(line))
            .ok_or_else(|| Fail::invalid("amount_too_large", "line_items", "Amount must be no more than 99999999."))?;
        currency = Some(own);
    }
    let Some(currency) = currency else {
        return Err(Fail::invalid("parameter_missing", "line_items", "Missing required param: line_items."));
    };
    check_amount(sum, "line_items", &currency)?;
    Ok((sum, currency, name))
}

pub(super) fn retrieve(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Value, Fail> {
    let session = fetch(books, id)?;
    let mut session = lapse(books, session);
    let is_expanded = ask.params.iter().any(|(key, value)| key.starts_with("expand") && value == "payment_intent");
    if let Some(intent) = session["payment_intent"].as_str().filter(|_| is_expanded).and_then(|id| books.get("intent", id)) {
        session["payment_intent"] = intent.clone();
    }
    Ok(session)
}

pub(super) fn list(books: &Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    let url = "/v1/checkout/sessions";
    if let Some(wanted) = ask.get("payment_intent") {
        let sessions = books.linked("session_by_intent", wanted).iter().rev().filter_map(|id| books.get("session", id).cloned());
        return ask.page(url, sessions);
    }
    let status = ask.get("status");
    let sessions = books
        .all("session")
        .rev()
        .map(|(_, session)| session)
        .filter(|session| status.is_none_or(|status| text(session, "status") == status));
    ask.page(url, sessions.cloned())
}

pub(super) fn expire(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Value, Fail> {
    let session = fetch(books, id)?;
    let mut session = lapse(books, session);
    if text(&session, "status") != "open" {
        let message = format!(
            "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {}.",
            text(&session, "status")
        );
        return Err(Fail::invalid("", "", message));
    }
    session["status"] = json!("expired");
    session["url"] = Value::Null;
    books.put("session", id, session.clone());
    books.set_page(id, PageState::Expired);
    event(books, Some(ask), "checkout.session.expired", &session);
    Ok(session)
}

/// What the payer does. After a decline the session stays open for another try; who leaves may come back to it.
pub(super) fn decide(books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
    let session = books.get("session", &page.id).cloned().ok_or("there is no such session")?;
    let mut session = lapse(books, session);
    if text(&session, "status") != "open" {
        return Err(format!("the session is {} by now", text(&session, "status")));
    }
    if *decision == Decision::Abandon {
        return Ok(session["cancel_url"].as_str().map(str::to_owned));
    }
    let intent = match session["payment_intent"].as_str().and_then(|id| books.get("intent", id)).cloned() {
        Some(intent) => intent,
        None => {
            let plan = books.get("session_plan", &page.id).cloned().unwrap_or_default();
            let intent = intent::open(
                books,
                units(&session, "amount_total"),
                text(&session, "currency"),
                text(&plan, "capture_method"),
                &plan["metadata"],
                plan["description"].as_str(),
            );
            books.link("session_by_intent", text(&intent, "id"), &page.id);
            // The movements name the merchant's reference, which may stand at the session alone.
            books.put("intent_reference", text(&intent, "id"), json!(page.reference));
            session["payment_intent"] = intent["id"].clone();
            intent
        }
    };
    books.put("session", &page.id, session.clone());
    match decision {
        Decision::Decline { code } => {
            intent::decline(books, None, intent, code);
            Ok(None)
        }
        _ => {
            let mut intent = intent;
            intent["payment_method"] = json!(books.new_id("pm_1", 23));
            let intent = intent::succeed(books, None, intent, twist);
            session["status"] = json!("complete");
            session["url"] = Value::Null;
            session["amount_total"] = intent["amount"].clone();
            session["amount_subtotal"] = intent["amount"].clone();
            session["currency"] = intent["currency"].clone();
            // A held amount is not paid yet.
            session["payment_status"] = json!(if text(&intent, "status") == "succeeded" { "paid" } else { "unpaid" });
            books.put("session", &page.id, session.clone());
            books.set_page(&page.id, PageState::Paid);
            event(books, None, "checkout.session.completed", &session);
            Ok(Some(text(&session, "success_url").replace("{CHECKOUT_SESSION_ID}", &page.id)))
        }
    }
}
