//! PayPal: bearer tokens, Orders v2, `PayPal-Request-Id`, money as decimal text (developer.paypal.com/docs/api). A payer approves on
//! the hosted page; the merchant then captures or authorises. Webhooks carry the transmission headers, but their signature is no RSA: only
//! `POST /v1/notifications/verify-webhook-signature` can tell a true one.

mod order;
mod payment;
mod payout;
mod report;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::{Plant, Provider};
use crate::{PAYPAL_CLIENT, PAYPAL_SECRET, money};

const HOUR_MS: i64 = 60 * 60 * 1_000;
/// How long a request id is kept for orders, and for all else.
const ORDER_KEY_MS: i64 = 6 * HOUR_MS;
const KEY_MS: i64 = 45 * 24 * HOUR_MS;
/// Seconds that a token lives.
const TOKEN_S: i64 = 32_400;

/// The dialect.
#[derive(Debug, Default)]
pub struct Paypal;

/// A refusal: the HTTP status and the body.
struct Fail {
    status: u16,
    body: Value,
}

impl Fail {
    fn new(status: u16, name: &str, message: &str, details: Value) -> Self {
        Self { status, body: json!({"name": name, "message": message, "details": details, "links": []}) }
    }

    /// 422 with an issue.
    fn issue(issue: &str, description: &str) -> Self {
        let message = "The requested action could not be performed, semantically incorrect, or failed business validation.";
        Self::new(422, "UNPROCESSABLE_ENTITY", message, json!([{"issue": issue, "description": description}]))
    }

    /// 400 with the field that is wrong.
    fn field(field: &str, issue: &str, description: &str) -> Self {
        let message = "Request is not well-formed, syntactically incorrect, or violates schema.";
        Self::new(
            400,
            "INVALID_REQUEST",
            message,
            json!([{"field": field, "location": "body", "issue": issue, "description": description}]),
        )
    }

    fn missing(id: &str) -> Self {
        let description = format!("Specified resource ID does not exist: {id}. Please check the resource ID and try again.");
        Self::new(
            404,
            "RESOURCE_NOT_FOUND",
            "The specified resource does not exist.",
            json!([{"issue": "INVALID_RESOURCE_ID", "description": description}]),
        )
    }
}

/// What went well: the status, the body, and the document that a repetition of the request shows again, as it is by then.
struct Done {
    status: u16,
    body: Value,
    made: Option<(&'static str, String)>,
}

impl Done {
    fn shown(body: Value) -> Self {
        Self { status: 200, body, made: None }
    }
}

/// One request and what goes along with its effects.
struct Ask<'a> {
    body: Value,
    twist: Twist,
    key: Option<&'a str>,
    is_whole: bool,
}

fn text<'a>(document: &'a Value, field: &str) -> &'a str {
    document[field].as_str().unwrap_or_default()
}

fn units(document: &Value, field: &str) -> i64 {
    document[field].as_i64().unwrap_or_default()
}

/// An instant as PayPal writes it, `2026-11-21T04:00:00Z`.
fn instant(ms: i64) -> String {
    let at = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}

/// PayPal's currencies with the places that it takes, which are not always those of ISO 4217; none for those that it does not take.
fn places(currency: &str) -> Option<u32> {
    match currency {
        "HUF" | "JPY" | "TWD" => Some(0),
        "AUD" | "BRL" | "CAD" | "CHF" | "CNY" | "CZK" | "DKK" | "EUR" | "GBP" | "HKD" | "ILS" | "MXN" | "MYR" | "NOK" | "NZD" | "PHP"
        | "PLN" | "SEK" | "SGD" | "THB" | "USD" => Some(2),
        _ => None,
    }
}

/// Money in the minor units of ISO 4217, and its currency. Payouts name the field `currency`, all else `currency_code`.
fn amount(value: &Value, code_field: &str, field: &str) -> Result<(i64, String), Fail> {
    let currency = text(value, code_field);
    if value[code_field].is_null() || value["value"].is_null() {
        return Err(Fail::field(field, "MISSING_REQUIRED_PARAMETER", "A required field is missing."));
    }
    let own = places(currency).ok_or_else(|| Fail::issue("CURRENCY_NOT_SUPPORTED", "Currency code is not currently supported."))?;
    let digits = value["value"]
        .as_str()
        .ok_or_else(|| Fail::field(field, "INVALID_PARAMETER_SYNTAX", "The value is a text of a decimal number."))?;
    let is_finer = digits.split_once('.').is_some_and(|(_, part)| part.len() > own as usize);
    if is_finer {
        return Err(Fail::issue("DECIMAL_PRECISION", "If the currency supports decimals, only two decimal place precision is supported."));
    }
    let amount = money::minor(digits, own).filter(|amount| *amount > 0);
    let amount = amount.ok_or_else(|| Fail::issue("CANNOT_BE_ZERO_OR_NEGATIVE", "Must be greater than zero."))?;
    Ok((amount * 10_i64.pow(money::exponent(currency).saturating_sub(own)), currency.to_owned()))
}

/// How many minor units the smallest amount has that PayPal can write: HUF and TWD have no decimals there.
fn step(currency: &str) -> i64 {
    10_i64.pow(money::exponent(currency).saturating_sub(places(currency).unwrap_or(4)))
}

/// Money as PayPal writes it, of an amount that is a multiple of [`step`].
fn money_of(amount_minor: i64, currency: &str) -> Value {
    let places = places(currency).unwrap_or_else(|| money::exponent(currency));
    json!({"currency_code": currency, "value": money::decimal(amount_minor / step(currency), places)})
}

/// What is really moved, in amounts that PayPal can write.
fn moved(twist: &Twist, amount_minor: i64, currency: &str) -> (i64, String) {
    let (amount, other) = twist.moved(amount_minor / step(currency), currency);
    (amount * step(currency), other)
}

/// A transaction's id: seventeen letters and digits.
fn transaction_id(books: &Books) -> String {
    books.new_id("", 17)
}

fn event(books: &mut Books, kind: &str, resource_type: &str, resource: &Value) {
    let id = format!("WH-{}-{}", books.new_id("", 17), books.new_id("", 17));
    let version = if resource_type.starts_with("payouts") { "1.0" } else { "2.0" };
    let body = json!({"id": id, "event_version": "1.0", "create_time": instant(books.now_ms()), "resource_type": resource_type,
        "resource_version": version, "event_type": kind, "summary": kind, "resource": resource, "links": []});
    books.notify(Outgoing { id, event: kind.to_owned(), body });
}

/// The same JSON with sorted fields, so that what is signed can be compared after the merchant parsed it.
fn canonical(value: &Value) -> Vec<u8> {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(fields) => {
                let mut keys: Vec<_> = fields.iter().collect();
                keys.sort_by_key(|(key, _)| key.as_str());
                Value::Object(keys.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect::<Map<_, _>>())
            }
            Value::Array(items) => items.iter().map(sorted).collect(),
            other => other.clone(),
        }
    }
    sorted(value).to_string().into_bytes()
}

fn transmission_signature(webhook_id: &str, id: &str, at: &str, body: &[u8]) -> String {
    // HMAC takes keys of any length; this one stands for PayPal's private key.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(b"the simulator of PayPal signs this") else { return String::new() };
    mac.update(format!("{id}|{at}|{webhook_id}|{}", crc32fast::hash(body)).as_bytes());
    STANDARD.encode(mac.finalize().into_bytes())
}

impl Provider for Paypal {
    fn operation(&self, call: &Call) -> &'static str {
        let is_post = call.method == http::Method::POST;
        match call.parts().iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["v1", "oauth2", "token"] => "token",
            ["v2", "checkout", "orders"] => "create",
            ["v2", "checkout", "orders", _, "capture"] | ["v2", "payments", "authorizations", _, "capture"] => "capture",
            ["v2", "checkout", "orders", _, "authorize"] => "authorize",
            ["v2", "payments", "authorizations", _, "void"] => "void",
            ["v2", "payments", "captures", _, "refund"] => "refund",
            ["v2", "payments", "refunds", _] => "refund_query",
            ["v1", "payments", "payouts" | "payouts-item", ..] => {
                if is_post {
                    "payout"
                } else {
                    "payout_query"
                }
            }
            ["v1", "notifications", "verify-webhook-signature"] => "verify",
            ["v1", "reporting", "balances"] => "balance",
            ["v1", "reporting", ..] => "report",
            _ => "query",
        }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        let debug_id = books.new_id("", 13).to_ascii_lowercase();
        let reply = match keyed(books, call) {
            Ok(done) if done.status == 204 => Reply::empty(204),
            Ok(done) => Reply::json(done.status, &done.body),
            Err(mut fail) => {
                if fail.body["name"].is_string() {
                    fail.body["debug_id"] = json!(debug_id);
                }
                Reply::json(fail.status, &fail.body)
            }
        };
        reply.with("paypal-debug-id", &debug_id)
    }

    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
        order::decide(books, page, decision, twist)
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &["INSTRUMENT_DECLINED", "TRANSACTION_REFUSED", "PAYER_CANNOT_PAY", "PAYER_ACCOUNT_RESTRICTED", "DECLINED", "PENDING"]
    }

    fn sign(&self, secret: &str, webhook: &Outgoing, body: &[u8], now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)> {
        let at = instant(now_ms);
        // The transmission is the same over its attempts, as the event is.
        let id = webhook.id.to_ascii_lowercase();
        let webhook_id = if is_forged { "WH-OF-SOMEBODY-ELSE" } else { secret };
        let signature = transmission_signature(webhook_id, &id, &at, body);
        vec![
            ("paypal-transmission-id", id),
            ("paypal-transmission-time", at),
            ("paypal-transmission-sig", signature),
            ("paypal-cert-url", "https://api.sandbox.paypal.com/v1/notifications/certs/CERT-SIMULATOR".to_owned()),
            ("paypal-auth-algo", "SHA256withRSA".to_owned()),
        ]
    }

    fn body(&self, webhook: &Outgoing) -> Vec<u8> {
        canonical(&webhook.body)
    }

    fn retries_s(&self) -> &'static [u32] {
        // 25 times over three days.
        &[
            60, 300, 900, 1_800, 3_600, 7_200, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800, 10_800,
            10_800, 10_800, 10_800, 14_400, 14_400, 14_400, 14_400, 14_400,
        ]
    }

    fn broken(&self) -> Reply {
        let message = "An internal server error has occurred.";
        Reply::json(
            500,
            &json!({"name": "INTERNAL_SERVER_ERROR", "message": message, "debug_id": "0000000000000", "details": [], "links": []}),
        )
    }

    fn wake(&self, books: &mut Books) {
        payment::wake(books);
    }

    fn not_found(&self, call: &Call) -> Reply {
        let fail = Fail::missing(call.parts().last().map_or("", String::as_str));
        Reply::json(fail.status, &fail.body)
    }

    fn settle(&self, books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
        report::settle(books, plant)
    }
}

/// Runs a request under its request id. A repetition shows what the first one made, as it is by now, whatever its body says.
fn keyed(books: &mut Books, call: &Call) -> Result<Done, Fail> {
    let parts = call.parts();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    if parts == ["v1", "oauth2", "token"] {
        return token(books, call);
    }
    authorize(books, call)?;
    let key = call.header("paypal-request-id").filter(|_| call.method == http::Method::POST);
    if key.is_some_and(|key| key.is_empty() || key.len() > 108) {
        return Err(Fail::field("PayPal-Request-Id", "INVALID_STRING_LENGTH", "The value of a field is either too short or too long."));
    }
    // A request id belongs to one kind of call.
    let place = key.map(|key| format!("{}/{}", parts.last().copied().unwrap_or_default(), key));
    if let Some(kept) = place.as_deref().and_then(|place| books.get("request", place)) {
        let lives_ms = if text(kept, "kind") == "order" && parts.len() == 3 { ORDER_KEY_MS } else { KEY_MS };
        if units(kept, "at_ms") + lives_ms > books.now_ms() {
            if text(kept, "kind").is_empty() {
                return Ok(Done { status: 204, body: Value::Null, made: None });
            }
            let made = books.get(text(kept, "kind"), text(kept, "id")).cloned().unwrap_or_default();
            return Ok(Done::shown(public(&made)));
        }
    }
    let mut twist = call.twist.clone();
    // PayPal's own way to ask for an error in its sandbox.
    if let Some(mock) = call.header("paypal-mock-response").and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        twist.decline = mock["mock_application_codes"].as_str().map(str::to_owned).or(twist.decline);
    }
    let is_whole = call.header("prefer").is_some_and(|prefer| prefer.contains("return=representation"));
    let ask = Ask { body: call.json(), twist, key, is_whole };
    let done = handle(books, call, &parts, &ask)?;
    if let Some(place) = place.filter(|_| done.made.is_some() || done.status == 204) {
        let (kind, id) = done.made.clone().unwrap_or_default();
        let at_ms = books.now_ms();
        books.put("request", &place, json!({"kind": kind, "id": id, "at_ms": at_ms}));
    }
    Ok(done)
}

/// A document without what only the simulator knows, which stands under `_sim`.
fn public(document: &Value) -> Value {
    let mut shown = document.clone();
    if let Some(fields) = shown.as_object_mut() {
        fields.remove("_sim");
    }
    shown
}

fn token(books: &mut Books, call: &Call) -> Result<Done, Fail> {
    let told =
        |status, error: &str, description: &str| Err(Fail { status, body: json!({"error": error, "error_description": description}) });
    if call.basic() != Some((PAYPAL_CLIENT.to_owned(), PAYPAL_SECRET.to_owned())) {
        return told(401, "invalid_client", "Client Authentication failed");
    }
    if !call.form().iter().any(|(key, value)| key == "grant_type" && value == "client_credentials") {
        return told(400, "unsupported_grant_type", "Grant Type is NULL");
    }
    let token = books.new_id("A21AA", 60);
    let ends_ms = books.now_ms() + TOKEN_S * 1_000;
    books.put("token", &token, json!({"ends_ms": ends_ms}));
    let nonce = format!("{}{}", instant(books.now_ms()), books.new_id("", 20));
    Ok(Done::shown(json!({"scope": "https://uri.paypal.com/services/payments https://uri.paypal.com/services/reporting/search/read",
        "access_token": token, "token_type": "Bearer", "app_id": "APP-80W284485P519543T", "expires_in": TOKEN_S, "nonce": nonce})))
}

fn authorize(books: &Books, call: &Call) -> Result<(), Fail> {
    let is_known = call.bearer().and_then(|token| books.get("token", token)).is_some_and(|token| units(token, "ends_ms") > books.now_ms());
    if is_known {
        return Ok(());
    }
    Err(Fail { status: 401, body: json!({"error": "invalid_token", "error_description": "Access Token not found in cache"}) })
}

fn handle(books: &mut Books, call: &Call, parts: &[&str], ask: &Ask<'_>) -> Result<Done, Fail> {
    let fetch =
        |books: &Books, kind: &str, id: &str| books.get(kind, id).map(|found| Done::shown(public(found))).ok_or_else(|| Fail::missing(id));
    match (call.method.as_str(), parts) {
        ("POST", ["v2", "checkout", "orders"]) => order::create(books, ask),
        ("GET", ["v2", "checkout", "orders", id]) => order::retrieve(books, id),
        ("POST", ["v2", "checkout", "orders", id, "capture"]) => order::capture(books, ask, id),
        ("POST", ["v2", "checkout", "orders", id, "authorize"]) => order::authorize(books, ask, id),
        ("GET", ["v2", "payments", "authorizations", id]) => fetch(books, "authorization", id),
        ("POST", ["v2", "payments", "authorizations", id, "capture"]) => payment::capture(books, ask, id),
        ("POST", ["v2", "payments", "authorizations", id, "void"]) => payment::void(books, ask, id),
        ("GET", ["v2", "payments", "captures", id]) => payment::retrieve(books, id),
        ("POST", ["v2", "payments", "captures", id, "refund"]) => payment::refund(books, ask, id),
        ("GET", ["v2", "payments", "refunds", id]) => fetch(books, "refund", id),
        ("POST", ["v1", "payments", "payouts"]) => payout::create(books, ask),
        ("GET", ["v1", "payments", "payouts", id]) => payout::batch(books, id),
        ("GET", ["v1", "payments", "payouts-item", id]) => fetch(books, "payout_item", id),
        ("POST", ["v1", "payments", "payouts-item", id, "cancel"]) => payout::cancel(books, id),
        ("POST", ["v1", "notifications", "verify-webhook-signature"]) => verify(ask),
        ("GET", ["v1", "reporting", "transactions"]) => report::transactions(books, call),
        ("GET", ["v1", "reporting", "balances"]) => Ok(Done::shown(report::balances(books, call))),
        _ => Err(Fail::missing(&call.path)),
    }
}

fn verify(ask: &Ask<'_>) -> Result<Done, Fail> {
    for field in ["auth_algo", "cert_url", "transmission_id", "transmission_sig", "transmission_time", "webhook_id"] {
        if text(&ask.body, field).is_empty() {
            return Err(Fail::field(field, "MISSING_REQUIRED_PARAMETER", "A required field is missing."));
        }
    }
    let body = canonical(&ask.body["webhook_event"]);
    let due = transmission_signature(
        text(&ask.body, "webhook_id"),
        text(&ask.body, "transmission_id"),
        text(&ask.body, "transmission_time"),
        &body,
    );
    let is_true = subtle::ConstantTimeEq::ct_eq(due.as_bytes(), text(&ask.body, "transmission_sig").as_bytes());
    Ok(Done::shown(json!({"verification_status": if bool::from(is_true) { "SUCCESS" } else { "FAILURE" }})))
}
