//! Payment intents and their charges.

use serde_json::{Value, json};

use super::{Ask, Fail, balance_line, check_amount, event, iso_minor, now_s, reference, text, units};
use crate::Dialect;
use crate::bank::{Books, Moved, MovementKind};
use crate::call::Twist;
use crate::money::fee_half_up;
use crate::pages::{Decision, Page, PageState};

/// 2.9 %, half a unit rounded up, and thirty units.
const FEE_BASIS_POINTS: i64 = 290;
const FEE_FIXED: i64 = 30;

fn load(books: &Books, id: &str) -> Result<Value, Fail> {
    books.get("intent", id).cloned().ok_or_else(|| Fail::missing("payment_intent", id))
}

fn unexpected(intent: &Value, verb: &str, wanted: &str) -> Fail {
    let message = format!(
        "This PaymentIntent could not be {verb} because it has a status of {}. Only a PaymentIntent with one of the following statuses may be {verb}: {wanted}.",
        text(intent, "status")
    );
    let mut fail = Fail::invalid("payment_intent_unexpected_state", "", message);
    fail.error["payment_intent"] = intent.clone();
    fail
}

/// Writes a new intent down, as [`create`] and a checkout make it.
pub(super) fn open(
    books: &mut Books,
    amount: i64,
    currency: &str,
    capture_method: &str,
    metadata: &Value,
    description: Option<&str>,
) -> Value {
    let id = books.new_id("pi_3", 23);
    let intent = json!({"id": id, "object": "payment_intent", "amount": amount, "amount_capturable": 0, "amount_received": 0,
        "canceled_at": null, "cancellation_reason": null, "capture_method": capture_method, "client_secret": format!("{id}_secret_simulator"),
        "confirmation_method": "automatic", "created": now_s(books), "currency": currency, "customer": null, "description": description,
        "last_payment_error": null, "latest_charge": null, "livemode": false, "metadata": metadata, "next_action": null,
        "payment_method": null, "payment_method_types": ["card"], "receipt_email": null, "status": "requires_payment_method"});
    books.put("intent", &id, intent.clone());
    for (key, value) in metadata.as_object().into_iter().flatten() {
        books.link("intent_by_metadata", &format!("{key}={}", value.as_str().unwrap_or_default()), &id);
    }
    intent
}

pub(super) fn create(books: &mut Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    ask.only(&[
        "amount",
        "currency",
        "capture_method",
        "confirm",
        "payment_method",
        "payment_method_types",
        "automatic_payment_methods",
        "metadata",
        "description",
        "return_url",
        "customer",
        "receipt_email",
        "statement_descriptor",
        "statement_descriptor_suffix",
        "off_session",
        "confirmation_method",
        "error_on_requires_action",
    ])?;
    let currency = ask.currency("currency")?;
    let amount =
        ask.amount("amount", &currency)?.ok_or_else(|| Fail::invalid("parameter_missing", "amount", "Missing required param: amount."))?;
    let capture_method = ask.get("capture_method").unwrap_or("automatic");
    if !["automatic", "automatic_async", "manual"].contains(&capture_method) {
        return Err(Fail::invalid("parameter_invalid", "capture_method", format!("Invalid capture_method: {capture_method}")));
    }
    let metadata = ask.metadata("metadata")?;
    let is_confirmed = ask.get("confirm") == Some("true");
    if is_confirmed {
        ask.need("payment_method")?;
    }
    let mut intent = open(books, amount, &currency, capture_method, &metadata, ask.get("description"));
    if let Some(method) = ask.get("payment_method") {
        intent["payment_method"] = json!(method);
        intent["status"] = json!("requires_confirmation");
    }
    keep(books, &intent);
    event(books, Some(ask), "payment_intent.created", &intent);
    if is_confirmed { attempt(books, ask, intent) } else { Ok(intent) }
}

fn keep(books: &mut Books, intent: &Value) {
    books.put("intent", text(intent, "id"), intent.clone());
}

/// Ends what took its time, if it is due.
fn finish(books: &mut Books, id: &str) {
    let is_due = books.get("processing", id).and_then(Value::as_i64).is_some_and(|due_ms| due_ms <= books.now_ms());
    if let Some(intent) = books.get("intent", id).filter(|_| is_due).cloned() {
        books.put("processing", id, Value::Null);
        succeed(books, None, intent, &Twist::default());
    }
}

/// Ends all that is due.
pub(super) fn wake(books: &mut Books) {
    let ids: Vec<_> = books.all("processing").filter(|(_, due_ms)| due_ms.is_i64()).map(|(id, _)| id.to_owned()).collect();
    ids.iter().for_each(|id| finish(books, id));
}

pub(super) fn retrieve(books: &mut Books, id: &str) -> Result<Value, Fail> {
    finish(books, id);
    load(books, id)
}

pub(super) fn confirm(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Value, Fail> {
    let mut intent = load(books, id)?;
    if !["requires_payment_method", "requires_confirmation", "requires_action"].contains(&text(&intent, "status")) {
        return Err(unexpected(&intent, "confirmed", "requires_payment_method, requires_confirmation, requires_action"));
    }
    if let Some(method) = ask.get("payment_method") {
        intent["payment_method"] = json!(method);
    }
    if intent["payment_method"].is_null() {
        return Err(Fail::invalid(
            "parameter_missing",
            "payment_method",
            "You cannot confirm this PaymentIntent because it's missing a payment method.",
        ));
    }
    attempt(books, ask, intent)
}

/// How long a debit from a bank account is under way, by the simulator's clock.
const PROCESSING_MS: i64 = 60_000;

/// What a test payment method does when nobody declines it.
enum Fate {
    Charged,
    AsksTheBank,
    TakesTime,
}

/// What a test payment method does when it is charged: an error is the code of a decline.
fn fate<'a>(method: &'a str, twist: &'a Twist) -> Result<Fate, &'a str> {
    if let Some(code) = &twist.decline {
        return Err(code);
    }
    match method {
        "pm_card_chargeDeclined" | "pm_card_visa_chargeDeclined" => Err("generic_decline"),
        "pm_card_chargeDeclinedInsufficientFunds" | "pm_card_visa_chargeDeclinedInsufficientFunds" => Err("insufficient_funds"),
        "pm_card_chargeDeclinedLostCard" | "pm_card_visa_chargeDeclinedLostCard" => Err("lost_card"),
        "pm_card_chargeDeclinedStolenCard" | "pm_card_visa_chargeDeclinedStolenCard" => Err("stolen_card"),
        "pm_card_chargeDeclinedExpiredCard" => Err("expired_card"),
        "pm_card_chargeDeclinedIncorrectCvc" => Err("incorrect_cvc"),
        "pm_card_chargeDeclinedProcessingError" => Err("processing_error"),
        "pm_card_authenticationRequired" | "pm_card_threeDSecure2Required" => Ok(Fate::AsksTheBank),
        "pm_usBankAccount" | "pm_usBankAccount_success" => Ok(Fate::TakesTime),
        _ => Ok(Fate::Charged),
    }
}

fn attempt(books: &mut Books, ask: &Ask<'_>, mut intent: Value) -> Result<Value, Fail> {
    let method = text(&intent, "payment_method").to_owned();
    match fate(&method, ask.twist) {
        Err(code) => Err(decline(books, Some(ask), intent, code)),
        Ok(Fate::Charged) => Ok(succeed(books, Some(ask), intent, ask.twist)),
        Ok(Fate::TakesTime) => {
            intent["status"] = json!("processing");
            keep(books, &intent);
            let due_ms = books.now_ms() + PROCESSING_MS;
            books.put("processing", text(&intent, "id"), json!(due_ms));
            event(books, Some(ask), "payment_intent.processing", &intent);
            Ok(intent)
        }
        Ok(Fate::AsksTheBank) => {
            let back = ask.get("return_url").unwrap_or_default();
            let page = Page {
                id: text(&intent, "id").to_owned(),
                dialect: Dialect::Stripe,
                reference: reference(&intent["metadata"]),
                description: "Confirm this payment with your bank".to_owned(),
                amount_minor: iso_minor(units(&intent, "amount"), text(&intent, "currency")),
                currency: text(&intent, "currency").to_ascii_uppercase(),
                state: PageState::Open,
                expires_at_ms: None,
            };
            let url = books.open_page(&page);
            intent["status"] = json!("requires_action");
            intent["next_action"] = json!({"type": "redirect_to_url", "redirect_to_url": {"url": url, "return_url": back}});
            keep(books, &intent);
            event(books, Some(ask), "payment_intent.requires_action", &intent);
            Ok(intent)
        }
    }
}

fn charge_of(books: &Books, intent: &Value, id: &str) -> Value {
    json!({"id": id, "object": "charge", "amount": intent["amount"], "amount_captured": 0, "amount_refunded": 0, "balance_transaction": null,
        "captured": false, "created": now_s(books), "currency": intent["currency"], "description": intent["description"],
        "failure_code": null, "failure_message": null, "livemode": false, "metadata": intent["metadata"], "paid": true,
        "payment_intent": intent["id"], "payment_method": intent["payment_method"], "refunded": false, "status": "succeeded"})
}

/// Takes or holds the money.
pub(super) fn succeed(books: &mut Books, ask: Option<&Ask<'_>>, mut intent: Value, twist: &Twist) -> Value {
    let (amount, currency) = twist.moved(units(&intent, "amount"), text(&intent, "currency"));
    intent["amount"] = json!(amount);
    intent["currency"] = json!(currency.to_ascii_lowercase());
    intent["last_payment_error"] = Value::Null;
    intent["next_action"] = Value::Null;
    let charge_id = books.new_id("ch_3", 23);
    intent["latest_charge"] = json!(charge_id);
    let charge = charge_of(books, &intent, &charge_id);
    books.put("charge", &charge_id, charge);
    let key = ask.and_then(|ask| ask.key);
    if intent["capture_method"] == "manual" {
        intent["status"] = json!("requires_capture");
        intent["amount_capturable"] = json!(amount);
        keep(books, &intent);
        moved(books, MovementKind::Authorized, &intent, &charge_id, amount, key);
        let charge = books.get("charge", &charge_id).cloned().unwrap_or_default();
        event(books, ask, "charge.succeeded", &charge);
        event(books, ask, "payment_intent.amount_capturable_updated", &intent);
    } else {
        intent["status"] = json!("succeeded");
        intent["amount_received"] = json!(amount);
        keep(books, &intent);
        take(books, &intent, &charge_id, amount, key);
        let charge = books.get("charge", &charge_id).cloned().unwrap_or_default();
        event(books, ask, "charge.succeeded", &charge);
        event(books, ask, "payment_intent.succeeded", &intent);
    }
    intent
}

/// The merchant's reference: the session's, else the metadata's.
pub(super) fn merchant(books: &Books, intent: &Value) -> String {
    let known = books.get("intent_reference", text(intent, "id")).and_then(Value::as_str);
    known.map_or_else(|| reference(&intent["metadata"]), str::to_owned)
}

fn moved(books: &mut Books, kind: MovementKind, intent: &Value, provider_id: &str, amount: i64, idempotency_key: Option<&str>) {
    let (currency, reference) = (text(intent, "currency"), merchant(books, intent));
    books.moved(Moved { kind, reference: &reference, provider_id, amount_minor: iso_minor(amount, currency), currency, idempotency_key });
}

/// Moves the payer's money and writes its line of the balance.
fn take(books: &mut Books, intent: &Value, charge_id: &str, amount: i64, key: Option<&str>) {
    let currency = text(intent, "currency").to_owned();
    let fee = fee_half_up(amount, FEE_BASIS_POINTS, FEE_FIXED);
    let line = balance_line(books, "charge", charge_id, amount, fee, &currency);
    if let Some(mut charge) = books.get("charge", charge_id).cloned() {
        charge["captured"] = json!(true);
        charge["amount_captured"] = json!(units(&charge, "amount_captured") + amount);
        charge["balance_transaction"] = json!(line);
        books.put("charge", charge_id, charge);
    }
    moved(books, MovementKind::Charged, intent, charge_id, amount, key);
}

/// The bank says no: 402 with the error that also stays at the intent.
pub(super) fn decline(books: &mut Books, ask: Option<&Ask<'_>>, mut intent: Value, decline_code: &str) -> Fail {
    let (code, message) = match decline_code {
        "expired_card" => ("expired_card", "Your card has expired."),
        "incorrect_cvc" => ("incorrect_cvc", "Your card's security code is incorrect."),
        "processing_error" => ("processing_error", "An error occurred while processing your card. Try again in a little bit."),
        "insufficient_funds" => ("card_declined", "Your card has insufficient funds."),
        _ => ("card_declined", "Your card was declined."),
    };
    let decline_code = if decline_code.is_empty() { "generic_decline" } else { decline_code };
    let charge_id = books.new_id("ch_3", 23);
    let mut charge = charge_of(books, &intent, &charge_id);
    for (field, value) in
        [("status", json!("failed")), ("paid", json!(false)), ("failure_code", json!(code)), ("failure_message", json!(message))]
    {
        charge[field] = value;
    }
    books.put("charge", &charge_id, charge.clone());
    let mut error = json!({"type": "card_error", "code": code, "message": message, "charge": charge_id});
    if code == "card_declined" {
        error["decline_code"] = json!(decline_code);
    }
    intent["status"] = json!("requires_payment_method");
    intent["latest_charge"] = json!(charge_id);
    intent["payment_method"] = Value::Null;
    intent["next_action"] = Value::Null;
    intent["last_payment_error"] = error.clone();
    keep(books, &intent);
    event(books, ask, "charge.failed", &charge);
    event(books, ask, "payment_intent.payment_failed", &intent);
    error["payment_intent"] = intent;
    Fail { status: 402, error }
}

pub(super) fn capture(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Value, Fail> {
    ask.only(&["amount_to_capture", "final_capture", "metadata", "statement_descriptor", "statement_descriptor_suffix"])?;
    let mut intent = load(books, id)?;
    if text(&intent, "status") != "requires_capture" {
        return Err(unexpected(&intent, "captured", "requires_capture"));
    }
    let (held, currency) = (units(&intent, "amount_capturable"), text(&intent, "currency").to_owned());
    let amount = ask.integer("amount_to_capture")?.unwrap_or(held);
    if ask.get("amount_to_capture").is_some() {
        check_amount(amount, "amount_to_capture", &currency)?;
    }
    if amount > held {
        let message = "The amount you attempted to capture is greater than the amount that can be captured.";
        return Err(Fail::invalid("amount_too_large", "amount_to_capture", message));
    }
    if let Some(code) = &ask.twist.decline {
        // An authorisation that ran out: nothing can be taken any more.
        let fail = Fail::invalid("charge_expired_for_capture", "", format!("This charge cannot be captured: {code}."));
        return Err(fail);
    }
    let (moved_amount, moved_currency) = ask.twist.moved(amount, &currency);
    let is_final = ask.get("final_capture") != Some("false");
    let charge_id = text(&intent, "latest_charge").to_owned();
    let rest = held - amount;
    for (name, value) in ask.metadata("metadata")?.as_object().into_iter().flatten() {
        intent["metadata"][name] = value.clone();
    }
    intent["currency"] = json!(moved_currency.to_ascii_lowercase());
    intent["amount_received"] = json!(units(&intent, "amount_received") + moved_amount);
    intent["amount_capturable"] = json!(if is_final { 0 } else { rest });
    intent["status"] = json!(if is_final || rest == 0 { "succeeded" } else { "requires_capture" });
    keep(books, &intent);
    take(books, &intent, &charge_id, moved_amount, ask.key);
    if is_final && rest > 0 {
        moved(books, MovementKind::Voided, &intent, &charge_id, rest, ask.key);
    }
    let charge = books.get("charge", &charge_id).cloned().unwrap_or_default();
    event(books, Some(ask), "charge.captured", &charge);
    if text(&intent, "status") == "succeeded" {
        event(books, Some(ask), "payment_intent.succeeded", &intent);
    } else {
        event(books, Some(ask), "payment_intent.amount_capturable_updated", &intent);
    }
    Ok(intent)
}

pub(super) fn cancel(books: &mut Books, ask: &Ask<'_>, id: &str) -> Result<Value, Fail> {
    let mut intent = load(books, id)?;
    let wanted = ["requires_payment_method", "requires_capture", "requires_confirmation", "requires_action"];
    if !wanted.contains(&text(&intent, "status")) {
        return Err(unexpected(&intent, "canceled", &wanted.join(", ")));
    }
    let is_session_open = books
        .linked("session_by_intent", id)
        .iter()
        .any(|session| books.get("session", session).is_some_and(|session| text(session, "status") == "open"));
    if is_session_open {
        let message = "You cannot cancel this PaymentIntent because it was created by a Checkout Session. Expire the Session instead.";
        return Err(Fail::invalid("payment_intent_unexpected_state", "", message));
    }
    let held = units(&intent, "amount_capturable");
    intent["status"] = json!("canceled");
    intent["amount_capturable"] = json!(0);
    intent["canceled_at"] = json!(now_s(books));
    intent["cancellation_reason"] = ask.get("cancellation_reason").map_or(Value::Null, |reason| json!(reason));
    intent["next_action"] = Value::Null;
    keep(books, &intent);
    if held > 0 {
        let charge_id = text(&intent, "latest_charge").to_owned();
        moved(books, MovementKind::Voided, &intent, &charge_id, held, ask.key);
    }
    if books.page(id).is_some() {
        books.set_page(id, PageState::Expired);
    }
    event(books, Some(ask), "payment_intent.canceled", &intent);
    Ok(intent)
}

/// `metadata['key']:'value'`, and `status:'…'`, joined by AND.
pub(super) fn search(books: &Books, ask: &Ask<'_>) -> Result<Value, Fail> {
    let query = ask.need("query")?;
    let broken = || Fail::invalid("parameter_invalid", "query", format!("We were unable to parse your search query: {query}"));
    let unquoted = |text: &str| -> Option<String> {
        let text = text.trim();
        let quote = text.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
        Some(text.strip_prefix(quote)?.strip_suffix(quote)?.replace("\\'", "'").replace("\\\"", "\""))
    };
    let (mut ids, mut status): (Option<Vec<String>>, Option<String>) = (None, None);
    for clause in query.split(" AND ") {
        let (field, value) = clause
            .split_once("]:")
            .map(|(field, value)| (format!("{field}]"), value))
            .or_else(|| clause.split_once(':').map(|(field, value)| (field.to_owned(), value)))
            .ok_or_else(broken)?;
        let value = unquoted(value).ok_or_else(broken)?;
        if let Some(key) = field.trim().strip_prefix("metadata[").and_then(|rest| rest.strip_suffix(']')) {
            let found = books.linked("intent_by_metadata", &format!("{}={value}", unquoted(key).ok_or_else(broken)?)).to_vec();
            ids = Some(match ids {
                Some(known) => known.into_iter().filter(|id| found.contains(id)).collect(),
                None => found,
            });
        } else if field.trim() == "status" {
            status = Some(value);
        } else {
            return Err(broken());
        }
    }
    let found = ids.ok_or_else(broken)?;
    let data: Vec<_> = found
        .iter()
        .rev()
        .filter_map(|id| books.get("intent", id))
        .filter(|intent| status.as_deref().is_none_or(|status| text(intent, "status") == status))
        .collect();
    Ok(json!({"object": "search_result", "url": "/v1/payment_intents/search", "has_more": false, "next_page": null, "data": data}))
}

/// The page where the payer's bank asks for a confirmation.
pub(super) fn decide(books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
    let intent = books.get("intent", &page.id).cloned().ok_or("there is no such payment intent")?;
    if text(&intent, "status") != "requires_action" {
        return Err(format!("the payment intent is {} by now", text(&intent, "status")));
    }
    let back = intent["next_action"]["redirect_to_url"]["return_url"].as_str().unwrap_or_default().to_owned();
    match decision {
        Decision::Pay => {
            succeed(books, None, intent, twist);
            books.set_page(&page.id, PageState::Paid);
        }
        Decision::Decline { code } => {
            decline(books, None, intent, code);
            books.set_page(&page.id, PageState::Declined);
        }
        // The intent waits for the payer as long as the merchant lets it.
        Decision::Abandon => {}
    }
    let join = if back.contains('?') { '&' } else { '?' };
    Ok((!back.is_empty()).then(|| {
        format!(
            "{back}{join}payment_intent={}&redirect_status={}",
            page.id,
            if *decision == Decision::Pay { "succeeded" } else { "failed" }
        )
    }))
}
