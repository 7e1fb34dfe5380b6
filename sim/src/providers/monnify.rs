//! The dialect of Monnify: a hosted checkout in naira, payouts from a wallet, refunds, settlements.
//!
//! - A failure of the business comes with HTTP 200 and `requestSuccessful: false`; only a wrong credential is 401 and a broken body 400.
//! - Amounts are naira in major units, sometimes a number and sometimes a text; dates come in three forms, `paymentSourceInformation` as
//!   an object or an array, `metaData` as an object or a text of JSON. Which one depends on the payment's number and on who asks, so that
//!   a reader meets all of them and the same run meets the same ones. Dates without a zone are UTC here (UNVERIFIED).
//! - A payer's decline names the status in which the payment ends: FAILED, EXPIRED, ABANDONED and CANCELLED take nothing; PARTIALLY_PAID
//!   takes half, OVERPAID a naira more, REVERSED takes and gives back. `decline:STATUS` at a payout or refund does the same there:
//!   PENDING, AWAITING_PROCESSING and IN_PROGRESS last a minute of the simulator's clock before the money moves, PENDING_AUTHORIZATION
//!   waits half an hour for the OTP 123456. A payout from the wallet 8000000002 always asks for it; 8000000003 holds a thousand naira.
//! - `responseCode` of failures, the fee of a payout and the fields of `/api/v1/settlements` are UNVERIFIED. Cards are never taken here.

mod payments;
mod payouts;
mod refunds;
mod settlements;
mod wire;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha512;

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::{Plant, Provider};
use crate::{MONNIFY_KEY, MONNIFY_SECRET};

/// A wallet whose payouts always wait for an OTP.
pub const OTP_WALLET: &str = "8000000002";
/// A wallet that holds no more than a thousand naira.
pub const POOR_WALLET: &str = "8000000003";
/// The OTP that lets a payout go.
pub const OTP: &str = "123456";
/// How long a token lives.
const TOKEN_S: i64 = 3_567;

/// The dialect.
#[derive(Debug, Default)]
pub struct Monnify;

/// A failure of the business: what it is, for people.
type Refusal = (&'static str, String);

fn done(body: &Value) -> Reply {
    Reply::json(200, &json!({"requestSuccessful": true, "responseMessage": "success", "responseCode": "0", "responseBody": body}))
}

fn failed(status: u16, code: &str, message: &str) -> Reply {
    Reply::json(status, &json!({"requestSuccessful": false, "responseMessage": message, "responseCode": code}))
}

fn answered(result: Result<Value, Refusal>) -> Reply {
    match result {
        Ok(body) => done(&body),
        Err((code, message)) => failed(200, code, &message),
    }
}

/// A text of the body that may not be missing or empty.
fn text<'a>(body: &'a Value, name: &str) -> Result<&'a str, Refusal> {
    body[name].as_str().map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| ("99", format!("{name} is required")))
}

/// An amount of the body in kobo, above zero.
fn amount(body: &Value, name: &str) -> Result<i64, Refusal> {
    crate::money::minor_of(&body[name], 2)
        .filter(|amount| *amount > 0)
        .ok_or_else(|| ("99", format!("{name} must be an amount above zero with at most two decimal places")))
}

/// One page of a list of `total`, as Monnify's lists are; `read` makes the items at these places.
fn page_of(call: &Call, total: usize, read: impl FnOnce(std::ops::Range<usize>) -> Vec<Value>) -> Value {
    let number = |name: &str| call.query(name).and_then(|text| text.parse::<usize>().ok());
    let page = number("page").unwrap_or(0);
    let size = number("size").unwrap_or(10).clamp(1, 1_000);
    let start = page.saturating_mul(size).min(total);
    let end = start.saturating_add(size).min(total);
    json!({"content": read(start..end), "pageable": {"pageNumber": page, "pageSize": size}, "number": page, "size": size,
        "totalElements": total, "totalPages": total.div_ceil(size), "last": end >= total})
}

impl Monnify {
    fn login(books: &mut Books, call: &Call) -> Reply {
        if call.basic() != Some((MONNIFY_KEY.to_owned(), MONNIFY_SECRET.to_owned())) {
            return failed(401, "99", "Invalid API key or secret key");
        }
        let token = books.new_id("mfy.", 40);
        let ends_ms = books.now_ms() + TOKEN_S * 1_000;
        books.put("token", &token, json!(ends_ms));
        done(&json!({"accessToken": token, "expiresIn": TOKEN_S}))
    }

    fn is_logged_in(books: &Books, call: &Call) -> bool {
        let ends_ms = call.bearer().and_then(|token| books.get("token", token)).and_then(Value::as_i64);
        ends_ms.is_some_and(|ends_ms| books.now_ms() < ends_ms)
    }
}

impl Provider for Monnify {
    fn operation(&self, call: &Call) -> &'static str {
        let parts = call.parts();
        let parts: Vec<_> = parts.iter().skip(2).map(String::as_str).collect();
        match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["auth", "login"]) => "token",
            ("POST", ["merchant", "transactions", "init-transaction"]) => "create",
            ("POST", ["refunds", ..]) => "refund",
            ("GET", ["refunds", ..]) => "refund_query",
            ("POST", ["disbursements", "single", "validate-otp" | "resend-otp"]) => "authorize",
            ("POST", ["disbursements", "single"]) => "payout",
            ("GET", ["disbursements", "single", ..]) => "payout_query",
            ("GET", ["disbursements", "account", "validate"]) => "enquiry",
            ("GET", ["disbursements", "wallet-balance"]) => "balance",
            ("GET", ["settlements" | "settlement-detail"] | ["transactions", "find-by-settlement-reference"]) => "report",
            _ => "query",
        }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        let parts = call.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        if (call.method.as_str(), parts.as_slice()) == ("POST", &["api", "v1", "auth", "login"][..]) {
            return Self::login(books, call);
        }
        if !Self::is_logged_in(books, call) {
            return failed(401, "99", "Access token is missing, unknown or expired; log in again");
        }
        let body = call.json();
        if call.method == http::Method::POST && !body.is_object() {
            return failed(400, "99", "The body must be a JSON object");
        }
        answered(match (call.method.as_str(), parts.as_slice()) {
            ("POST", ["api", "v1", "merchant", "transactions", "init-transaction"]) => payments::open(books, &body),
            ("GET", ["api", "v2", "merchant", "transactions", "query"]) => payments::by_merchant(books, call),
            ("GET", ["api", "v1", "transactions", "find-by-settlement-reference"]) => settlements::lines(books, call),
            ("GET", ["api", "v2", "transactions", reference]) => payments::by_provider(books, reference),
            ("POST", ["api", "v1", "refunds", "initiate-refund"]) => refunds::start(books, &body, &call.twist),
            ("GET", ["api", "v1", "refunds"]) => Ok(refunds::list(books, call)),
            ("GET", ["api", "v1", "refunds", reference]) => refunds::query(books, reference),
            ("GET", ["api", "v1" | "v2", "disbursements", "account", "validate"]) => payouts::name_of(call),
            ("POST", ["api", "v2", "disbursements", "single"]) => payouts::start(books, &body, &call.twist),
            ("POST", ["api", "v2", "disbursements", "single", "validate-otp"]) => payouts::authorize(books, &body),
            ("POST", ["api", "v2", "disbursements", "single", "resend-otp"]) => payouts::resend(books, &body),
            ("GET", ["api", "v2", "disbursements", "single", "summary"]) => payouts::summary(books, call),
            ("GET", ["api", "v1" | "v2", "disbursements", "wallet-balance"]) => payouts::balance(books, call),
            ("GET", ["api", "v1", "settlements"]) => settlements::list(books, call),
            ("GET", ["api", "v1", "settlement-detail"]) => settlements::detail(books, call),
            _ => return failed(404, "99", "There is nothing at this address"),
        })
    }

    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
        payments::decide(books, page, decision, twist)
    }

    fn pay_more(&self, books: &mut Books, page: &Page, amount_minor: i64, is_apart: bool) -> Result<(), String> {
        payments::pay_more(books, page, amount_minor, is_apart)
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &["FAILED", "CANCELLED", "EXPIRED", "ABANDONED", "PARTIALLY_PAID", "OVERPAID", "REVERSED"]
    }

    fn sign(&self, secret: &str, _webhook: &Outgoing, body: &[u8], _now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)> {
        let secret = if is_forged { "not the secret key" } else { secret };
        // A key of any length is taken.
        let Ok(mac) = Hmac::<Sha512>::new_from_slice(secret.as_bytes()) else { return Vec::new() };
        let digest = mac.chain_update(body).finalize().into_bytes();
        vec![("monnify-signature", digest.iter().map(|byte| format!("{byte:02x}")).collect())]
    }

    /// How often Monnify really tries is not published (UNVERIFIED).
    fn retries_s(&self) -> &'static [u32] {
        &[60, 300, 900, 3_600]
    }

    fn broken(&self) -> Reply {
        failed(500, "99", "An error occurred while processing your request")
    }

    fn wake(&self, books: &mut Books) {
        refunds::wake(books);
        payouts::wake(books);
    }

    fn settle(&self, books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
        settlements::close(books, plant)
    }
}
