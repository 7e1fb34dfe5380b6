//! The dialect of Ramp (corporate cards): a token, transfers out of the business's account, transactions as a report.
//!
//! - `POST /developer/v1/token`, Basic, form `grant_type=client_credentials&scope=…`; then Bearer. Errors come as `error_v2`.
//! - `POST /developer/v1/transfers` with `Idempotency-Key` and `{amount: {amount, currency_code}, reference, memo, recipient: {bank_code,
//!   account_number, account_name}}`; `GET …/transfers/{id}`, `GET …/transfers?reference&status&from_date&to_date&start&page_size`.
//!   Publicly known are the two GETs and the words of `status`; the POST, its fields and `reference` are UNVERIFIED. The same key within 24
//!   hours gives the same answer, with another body 422 (UNVERIFIED).
//! - `GET /developer/v1/transactions?from_date&to_date&statement_id&start&page_size`: what cleared, amounts in minor units, oldest first.
//!   Closing a statement plants the faults into these lines. `GET /developer/v1/business/balance` says what is left (UNVERIFIED).
//! - Webhook `payments.updated`, `{id, type, created_at, business_id, object}`; `X-Ramp-Signature` is the hex HMAC-SHA256 of the raw body,
//!   `X-Ramp-Webhook-ID` the event's id, the same over all attempts (UNVERIFIED).
//! - `decline:STATUS` at a transfer: ERROR, CANCELED, NOT_ENOUGH_FUNDS and REJECTED_BY_ODFI pay nothing, RETURNED_BY_RDFI pays and comes back,
//!   INITIATED, SUBMITTED_TO_FRB, SUBMITTED_TO_RDFI and UPLOADED last a minute of the simulator's clock.

mod transfers;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::{Plant, Provider};
use crate::{RAMP_CLIENT, RAMP_SECRET};

/// How long a token lives.
const TOKEN_S: i64 = 864_000;

/// The dialect.
#[derive(Debug, Default)]
pub struct RampCorporate;

fn refused(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"error_v2": {"additional_info": {}, "error_code": code, "message": message, "notes": ""}}))
}

fn token(books: &mut Books, call: &Call) -> Reply {
    if call.basic() != Some((RAMP_CLIENT.to_owned(), RAMP_SECRET.to_owned())) {
        return Reply::json(401, &json!({"error": "invalid_client"}));
    }
    let form = call.form();
    let field = |name: &str| form.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
    if field("grant_type") != Some("client_credentials") {
        return Reply::json(400, &json!({"error": "unsupported_grant_type"}));
    }
    let Some(scope) = field("scope").filter(|scope| !scope.trim().is_empty()) else {
        return Reply::json(400, &json!({"error": "invalid_scope"}));
    };
    let token = books.new_id("ramp_business_tok_", 42);
    books.put("token", &token, json!(books.now_ms() + TOKEN_S * 1_000));
    Reply::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": TOKEN_S, "scope": scope}))
}

impl Provider for RampCorporate {
    fn operation(&self, call: &Call) -> &'static str {
        let parts = call.parts();
        match (call.method.as_str(), parts.get(2).map(String::as_str)) {
            ("POST", Some("token")) => "token",
            ("POST", Some("transfers")) => "payout",
            ("GET", Some("transfers")) => "payout_query",
            ("GET", Some("transactions" | "statements")) => "report",
            ("GET", Some("business")) => "balance",
            _ => "query",
        }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        let parts = call.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let Some(parts) = parts.strip_prefix(&["developer", "v1"]) else {
            return refused(404, "DEVELOPER_7002", "There is nothing at this address");
        };
        if (call.method.as_str(), parts) == ("POST", &["token"][..]) {
            return token(books, call);
        }
        let ends_ms = call.bearer().and_then(|token| books.get("token", token)).and_then(Value::as_i64);
        if ends_ms.is_none_or(|ends_ms| books.now_ms() >= ends_ms) {
            return refused(401, "DEVELOPER_7003", "The access token is missing, unknown or expired");
        }
        match (call.method.as_str(), parts) {
            ("POST", ["transfers"]) => transfers::start(books, call),
            ("GET", ["transfers"]) => transfers::list(books, call),
            ("GET", ["transfers", id]) => transfers::query(books, id),
            ("GET", ["transactions"]) => transfers::transactions(books, call),
            ("GET", ["business", "balance"]) => transfers::balance(books),
            _ => refused(404, "DEVELOPER_7002", "There is nothing at this address"),
        }
    }

    fn decide(&self, _books: &mut Books, _page: &Page, _decision: &Decision, _twist: &Twist) -> Result<Option<String>, String> {
        Err("Ramp has no page where somebody pays".to_owned())
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &["ERROR", "CANCELED", "NOT_ENOUGH_FUNDS", "REJECTED_BY_ODFI", "RETURNED_BY_RDFI"]
    }

    fn sign(&self, secret: &str, webhook: &Outgoing, body: &[u8], _now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)> {
        let secret = if is_forged { "not the secret" } else { secret };
        // A key of any length is taken.
        let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
        let digest = mac.chain_update(body).finalize().into_bytes();
        let hex = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        vec![("x-ramp-signature", hex), ("x-ramp-webhook-id", webhook.id.clone())]
    }

    /// Ten attempts, further and further apart.
    fn retries_s(&self) -> &'static [u32] {
        &[30, 60, 120, 240, 480, 960, 1_920, 3_840, 7_680]
    }

    fn broken(&self) -> Reply {
        refused(500, "DEVELOPER_7000", "Internal server error")
    }

    fn wake(&self, books: &mut Books) {
        transfers::wake(books);
    }

    fn settle(&self, books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
        transfers::close(books, plant)
    }
}
