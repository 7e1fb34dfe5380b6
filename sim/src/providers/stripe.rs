//! Stripe: form-encoded requests, `Idempotency-Key`, errors in an envelope, events signed with `Stripe-Signature`
//! (docs.stripe.com/api, docs.stripe.com/webhooks). Test payment methods are `pm_card_…` as in docs.stripe.com/testing.

mod checkout;
mod intent;
mod payout;
mod refund;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Map, Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::STRIPE_KEY;
use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::{Plant, Provider};

/// How long Stripe keeps an idempotency key.
const KEY_MS: i64 = 24 * 60 * 60 * 1_000;

/// The dialect.
#[derive(Debug, Default)]
pub struct Stripe;

/// A refusal: the HTTP status and the `error` of the envelope.
struct Fail {
    status: u16,
    error: Value,
}

impl Fail {
    fn invalid(code: &str, param: &str, message: impl Into<String>) -> Self {
        let message: String = message.into();
        let mut error = json!({"type": "invalid_request_error", "code": code, "message": message,
            "doc_url": format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-"))});
        if !param.is_empty() {
            error["param"] = json!(param);
        }
        Self { status: 400, error }
    }

    fn missing(kind: &str, id: &str) -> Self {
        let error = Self::invalid("resource_missing", "id", format!("No such {kind}: '{id}'")).error;
        Self { status: 404, error }
    }

    /// Validation fails before the endpoint runs; such an answer is not kept under the idempotency key.
    fn is_before_execution(&self) -> bool {
        let code = self.error["code"].as_str().unwrap_or_default();
        self.status == 401 || self.status == 404 || code.starts_with("parameter_") || code == "url_invalid"
    }
}

/// One request: its parameters and what goes along with its effects.
struct Ask<'a> {
    params: Vec<(String, String)>,
    twist: &'a Twist,
    key: Option<&'a str>,
    request: String,
}

impl Ask<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn need(&self, name: &str) -> Result<&str, Fail> {
        self.get(name).ok_or_else(|| Fail::invalid("parameter_missing", name, format!("Missing required param: {name}.")))
    }

    /// `metadata[a]=b` as an object; at most 50 keys of 40 characters with values of 500.
    fn metadata(&self, name: &str) -> Result<Value, Fail> {
        let mut map = Map::new();
        for (key, value) in &self.params {
            let Some(inner) = key.strip_prefix(name).and_then(|rest| rest.strip_prefix('[')?.strip_suffix(']')) else { continue };
            if inner.chars().count() > 40 || value.chars().count() > 500 || map.len() >= 50 {
                return Err(Fail::invalid("parameter_invalid", key, "Metadata has at most 50 keys of 40 characters with values of 500."));
            }
            map.insert(inner.to_owned(), json!(value));
        }
        Ok(Value::Object(map))
    }

    /// Refuses what Stripe does not know, as it does; `metadata` stands for `metadata[…]` too.
    fn only(&self, known: &[&str]) -> Result<(), Fail> {
        let is_known = |key: &str| known.contains(&key.split('[').next().unwrap_or_default()) || key.starts_with("expand");
        match self.params.iter().find(|(key, _)| !is_known(key)) {
            Some((key, _)) => Err(Fail::invalid("parameter_unknown", key, format!("Received unknown parameter: {key}"))),
            None => Ok(()),
        }
    }

    fn integer(&self, name: &str) -> Result<Option<i64>, Fail> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Fail::invalid("parameter_invalid_integer", name, format!("Invalid integer: {text}")))
    }

    /// An amount in Stripe's units of a currency.
    fn amount(&self, name: &str, currency: &str) -> Result<Option<i64>, Fail> {
        let Some(amount) = self.integer(name)? else { return Ok(None) };
        check_amount(amount, name, currency)?;
        Ok(Some(amount))
    }

    fn currency(&self, name: &str) -> Result<String, Fail> {
        let currency = self.need(name)?.to_ascii_lowercase();
        if crate::money::is_currency(&currency.to_ascii_uppercase()) {
            return Ok(currency);
        }
        Err(Fail::invalid("parameter_invalid", name, format!("Invalid currency: {currency}.")))
    }

    /// The answer of a list: newest first, `limit` 1 to 100 (10), `starting_after` an id.
    fn page(&self, url: &str, items: impl Iterator<Item = Value>) -> Result<Value, Fail> {
        let limit = self.integer("limit")?.unwrap_or(10);
        if !(1..=100).contains(&limit) {
            return Err(Fail::invalid("parameter_invalid_integer", "limit", "This value must be between 1 and 100."));
        }
        let limit = usize::try_from(limit).unwrap_or(10);
        let after = self.get("starting_after");
        let mut is_begun = after.is_none();
        let mut data = Vec::new();
        let mut has_more = false;
        for item in items {
            if is_begun {
                if data.len() == limit {
                    has_more = true;
                    break;
                }
                data.push(item);
            } else {
                is_begun = item["id"].as_str() == after;
            }
        }
        if !is_begun {
            return Err(Fail::invalid("resource_missing", "starting_after", format!("No such object: '{}'", after.unwrap_or_default())));
        }
        Ok(json!({"object": "list", "url": url, "has_more": has_more, "data": data}))
    }
}

/// Decimal places of Stripe's amounts, which are not always those of ISO 4217 (docs.stripe.com/currencies).
fn places(currency: &str) -> u32 {
    match currency.to_ascii_uppercase().as_str() {
        "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// Stripe's units in the minor units of ISO 4217.
fn iso_minor(amount: i64, currency: &str) -> i64 {
    let (own, iso) = (places(currency), crate::money::exponent(currency));
    if iso >= own { amount.saturating_mul(10_i64.pow(iso - own)) } else { amount / 10_i64.pow(own - iso) }
}

fn check_amount(amount: i64, name: &str, currency: &str) -> Result<(), Fail> {
    if amount < 1 {
        return Err(Fail::invalid("parameter_invalid_integer", name, "This value must be greater than or equal to 1."));
    }
    if amount > 99_999_999 && places(currency) != 0 {
        return Err(Fail::invalid("amount_too_large", name, "Amount must be no more than 99999999."));
    }
    // Cards take two of the three places; and some whole currencies are written with two.
    if places(currency) == 3 && amount % 10 != 0 {
        return Err(Fail::invalid("parameter_invalid_integer", name, format!("Invalid {currency} amount: the last digit must be 0.")));
    }
    if places(currency) > crate::money::exponent(currency) && amount % 10_i64.pow(places(currency) - crate::money::exponent(currency)) != 0
    {
        return Err(Fail::invalid("parameter_invalid_integer", name, format!("Invalid {currency} amount: it has no smaller units.")));
    }
    Ok(())
}

/// The merchant's reference among the metadata.
fn reference(metadata: &Value) -> String {
    let fields = metadata.as_object();
    let named = ["reference", "order_id"].iter().find_map(|name| metadata[*name].as_str());
    named.or_else(|| fields.and_then(|fields| fields.values().find_map(Value::as_str))).unwrap_or_default().to_owned()
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field].as_str().unwrap_or_default()
}

fn units(document: &Value, field: &str) -> i64 {
    document[field].as_i64().unwrap_or_default()
}

fn now_s(books: &Books) -> i64 {
    books.now_ms() / 1_000
}

/// Writes an event down and sends it.
fn event(books: &mut Books, ask: Option<&Ask<'_>>, kind: &str, object: &Value) {
    let id = books.new_id("evt_1", 23);
    let request = ask.map_or(json!({"id": null, "idempotency_key": null}), |ask| json!({"id": ask.request, "idempotency_key": ask.key}));
    let body = json!({"id": id, "object": "event", "api_version": "2025-06-30.basil", "created": now_s(books), "data": {"object": object},
        "livemode": false, "pending_webhooks": 1, "request": request, "type": kind});
    // As text, which takes a fifth of the room: there are several events for each payment.
    books.put("event", &id, json!(body.to_string()));
    books.notify(Outgoing { id, event: kind.to_owned(), body });
}

/// Writes a line of the balance: `amount` and `fee` in Stripe's units, negative amounts leave.
fn balance_line(books: &mut Books, kind: &str, source: &str, amount: i64, fee: i64, currency: &str) -> String {
    let id = books.new_id("txn_1", 23);
    let fees = if fee == 0 {
        json!([])
    } else {
        json!([{"amount": fee, "application": null, "currency": currency, "description": "Stripe processing fees", "type": "stripe_fee"}])
    };
    let line = json!({"id": id, "object": "balance_transaction", "amount": amount, "available_on": now_s(books) + 2 * 86_400,
        "created": now_s(books), "currency": currency, "description": null, "exchange_rate": null, "fee": fee, "fee_details": fees,
        "net": amount - fee, "reporting_category": kind, "source": source, "status": "available", "type": kind});
    books.put("txn", &id, line);
    // The balance itself is a document, so that it need not be summed up.
    let known = books.get("balance", currency).and_then(Value::as_i64).unwrap_or(payout::FLOAT_MINOR);
    books.put("balance", currency, json!(known + amount - fee));
    id
}

impl Provider for Stripe {
    fn operation(&self, call: &Call) -> &'static str {
        let is_post = call.method == Method::POST;
        match call.parts().iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["v1", "payment_intents", _, "confirm"] => "confirm",
            ["v1", "payment_intents", _, "capture"] => "capture",
            ["v1", "payment_intents", _, "cancel"] => "void",
            ["v1", "checkout", "sessions", _, "expire"] => "expire",
            ["v1", "payment_intents" | "checkout", ..] if is_post => "create",
            ["v1", "refunds", ..] => {
                if is_post {
                    "refund"
                } else {
                    "refund_query"
                }
            }
            ["v1", "payouts", ..] => {
                if is_post {
                    "payout"
                } else {
                    "payout_query"
                }
            }
            ["v1", "balance"] => "balance",
            ["v1", "balance_transactions", ..] => "report",
            _ => "query",
        }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        let request = books.new_id("req_", 14);
        let reply = match authorize(call) {
            Err(fail) => failed(&fail),
            Ok(()) => keyed(books, call, &request),
        };
        reply.with("request-id", &request).with("stripe-version", "2025-06-30.basil")
    }

    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
        if page.id.starts_with("cs_") {
            checkout::decide(books, page, decision, twist)
        } else {
            intent::decide(books, page, decision, twist)
        }
    }

    fn return_refund(&self, books: &mut Books, reference: &str) -> Result<(), String> {
        refund::come_back(books, reference)
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &[
            "generic_decline",
            "insufficient_funds",
            "do_not_honor",
            "lost_card",
            "stolen_card",
            "fraudulent",
            "expired_card",
            "incorrect_cvc",
            "processing_error",
        ]
    }

    fn sign(&self, secret: &str, _webhook: &Outgoing, body: &[u8], now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)> {
        let secret = if is_forged { "whsec_of_somebody_else" } else { secret };
        vec![("stripe-signature", signature(secret, body, now_ms / 1_000))]
    }

    fn retries_s(&self) -> &'static [u32] {
        // Up to three days, further and further apart (docs.stripe.com/webhooks).
        &[300, 1_800, 7_200, 18_000, 36_000, 43_200, 43_200, 43_200, 43_200]
    }

    fn broken(&self) -> Reply {
        Reply::json(500, &json!({"error": {"type": "api_error", "message": "An unknown error occurred."}}))
    }

    fn wake(&self, books: &mut Books) {
        intent::wake(books);
        checkout::wake(books);
    }

    fn not_found(&self, call: &Call) -> Reply {
        let parts = call.parts();
        match parts.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            // The search is some seconds to a minute behind (docs.stripe.com/search).
            ["v1", "payment_intents", "search"] => {
                Reply::json(200, &json!({"object": "search_result", "url": call.path, "has_more": false, "next_page": null, "data": []}))
            }
            ["v1", _] | ["v1", "checkout", "sessions"] if call.method == Method::GET => {
                Reply::json(200, &json!({"object": "list", "url": call.path, "has_more": false, "data": []}))
            }
            parts => failed(&Fail::missing("object", parts.last().copied().unwrap_or_default())),
        }
    }

    fn settle(&self, books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
        payout::settle(books, plant)
    }
}

/// `t=…,v1=…`: HMAC-SHA256 over time, a full stop and the body.
pub fn signature(secret: &str, body: &[u8], at_s: i64) -> String {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return String::new() };
    mac.update(format!("{at_s}.").as_bytes());
    mac.update(body);
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={at_s},v1={hex}")
}

fn authorize(call: &Call) -> Result<(), Fail> {
    let given = call.bearer().map(str::to_owned).or_else(|| call.basic().map(|(user, _)| user)).unwrap_or_default();
    if bool::from(given.as_bytes().ct_eq(STRIPE_KEY.as_bytes())) {
        return Ok(());
    }
    let message = if given.is_empty() { "You did not provide an API key." } else { "Invalid API Key provided." };
    Err(Fail { status: 401, error: json!({"type": "invalid_request_error", "message": message}) })
}

fn failed(fail: &Fail) -> Reply {
    Reply::json(fail.status, &json!({"error": fail.error}))
}

/// Runs a request under its idempotency key: the first answer is kept for a day, whatever it was.
fn keyed(books: &mut Books, call: &Call, request: &str) -> Reply {
    let params = if call.method == Method::POST { call.form() } else { call.query.clone() };
    let key = call.header("idempotency-key").filter(|_| call.method == Method::POST);
    if let Some(key) = key {
        if key.is_empty() || key.len() > 255 {
            return failed(&Fail {
                status: 400,
                error: json!({"type": "invalid_request_error", "message": "Idempotency keys have 1 to 255 characters."}),
            });
        }
        if let Some(kept) = books.get("idempotency", key)
            && units(kept, "at_ms") + KEY_MS > books.now_ms()
        {
            let told = |message: String| failed(&Fail { status: 400, error: json!({"type": "idempotency_error", "message": message}) });
            if text(kept, "path") != call.path {
                return told(format!(
                    "Keys for idempotent requests can only be used for the same endpoint they were first used for ('{}' vs '{}'). Try using a key other than '{key}' if you meant to execute a different request.",
                    call.path,
                    text(kept, "path")
                ));
            }
            if kept["params"] != json!(json!(params).to_string()) {
                return told(format!(
                    "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}' if you meant to execute a different request."
                ));
            }
            return Reply::text(u16::try_from(units(kept, "status")).unwrap_or(500), "application/json", text(kept, "body").to_owned())
                .with("idempotent-replayed", "true")
                .with("original-request", text(kept, "request"));
        }
    }
    let ask = Ask { params, twist: &call.twist, key, request: request.to_owned() };
    let result = handle(books, call, &ask);
    let is_kept = result.as_ref().err().is_none_or(|fail| !fail.is_before_execution());
    let (status, body) = match result {
        Ok(body) => (200, body),
        Err(fail) => (fail.status, json!({"error": fail.error})),
    };
    if let Some(key) = key.filter(|_| is_kept) {
        let kept = json!({"path": call.path, "params": json!(ask.params).to_string(), "status": status, "body": body.to_string(), "request": request, "at_ms": books.now_ms()});
        books.put("idempotency", key, kept);
    }
    Reply::json(status, &body)
}

fn handle(books: &mut Books, call: &Call, ask: &Ask<'_>) -> Result<Value, Fail> {
    let parts = call.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    let fetch = |books: &Books, kind: &str, id: &str, name: &str| books.get(kind, id).cloned().ok_or_else(|| Fail::missing(name, id));
    match (call.method.as_str(), parts.as_slice()) {
        ("POST", ["v1", "payment_intents"]) => intent::create(books, ask),
        ("GET", ["v1", "payment_intents"]) => ask.page(&call.path, books.all("intent").rev().map(|(_, intent)| intent.clone())),
        ("GET", ["v1", "payment_intents", "search"]) => intent::search(books, ask),
        ("GET", ["v1", "payment_intents", id]) => intent::retrieve(books, id),
        ("POST", ["v1", "payment_intents", id, "confirm"]) => intent::confirm(books, ask, id),
        ("POST", ["v1", "payment_intents", id, "capture"]) => intent::capture(books, ask, id),
        ("POST", ["v1", "payment_intents", id, "cancel"]) => intent::cancel(books, ask, id),
        ("GET", ["v1", "charges", id]) => fetch(books, "charge", id, "charge"),
        ("POST", ["v1", "checkout", "sessions"]) => checkout::create(books, ask),
        ("GET", ["v1", "checkout", "sessions"]) => checkout::list(books, ask),
        ("GET", ["v1", "checkout", "sessions", id]) => checkout::retrieve(books, ask, id),
        ("POST", ["v1", "checkout", "sessions", id, "expire"]) => checkout::expire(books, ask, id),
        ("POST", ["v1", "refunds"]) => refund::create(books, ask),
        ("GET", ["v1", "refunds"]) => refund::list(books, ask),
        ("GET", ["v1", "refunds", id]) => fetch(books, "refund", id, "refund"),
        ("POST", ["v1", "payouts"]) => payout::create(books, ask),
        ("GET", ["v1", "payouts"]) => payout::list(books, ask),
        ("GET", ["v1", "payouts", id]) => fetch(books, "payout", id, "payout"),
        ("GET", ["v1", "balance"]) => Ok(payout::balance(books)),
        ("GET", ["v1", "balance_transactions"]) => payout::lines(books, ask),
        ("GET", ["v1", "balance_transactions", id]) => fetch(books, "txn", id, "balance_transaction"),
        ("GET", ["v1", "events"]) => {
            let kind = ask.get("type");
            let events = books.all("event").rev().filter_map(|(_, event)| serde_json::from_str::<Value>(event.as_str()?).ok());
            ask.page(&call.path, events.filter(|event| kind.is_none_or(|kind| event["type"] == kind)))
        }
        ("GET", ["v1", "events", id]) => {
            let event = books.get("event", id).and_then(|event| serde_json::from_str(event.as_str()?).ok());
            event.ok_or_else(|| Fail::missing("event", id))
        }
        (method, _) => {
            let message = format!("Unrecognized request URL ({method}: {}).", call.path);
            Err(Fail { status: 404, error: json!({"type": "invalid_request_error", "message": message}) })
        }
    }
}
