//! The dialect of Zenith Bank's GlobalPay: a hosted payment link and a query. All of it is UNVERIFIED: it comes from public client code.
//!
//! - `apiKey` and `language` are checked. Failures come with HTTP 200 and `isSuccessful: false`, but for a wrong key.
//! - The same field is called `data` in one answer and `Data` in another, and the status `transactionStatus` or `paymentStatus`; every
//!   fourth payment is told as a list of one. Which one depends on the payment's number.
//! - Nothing is signed, so a webhook proves nothing: whoever knows the address can send one. It goes to `webhookUrl` of the request where
//!   there is one. No refund, payout or report is publicly known, so there is none.

use form_urlencoded::byte_serialize;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::format_description;

use crate::ZENITH_KEY;
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::money::{exponent, is_currency, minor_of, number};
use crate::pages::{Decision, Page, PageState};
use crate::providers::Provider;

/// How long a link can be paid.
const LINK_MS: i64 = 24 * 3_600_000;

/// The dialect.
#[derive(Debug, Default)]
pub struct Zenith;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Payment {
    number: u64,
    id: String,
    reference: String,
    payable_minor: i64,
    paid_minor: i64,
    currency: String,
    status: String,
    redirect_url: Option<String>,
    webhook_url: Option<String>,
    opened_ms: i64,
    decided_ms: Option<i64>,
}

/// What the real one answers: the payload under a name that is not always the same.
fn envelope(number: u64, data: &Value, message: &str) -> Reply {
    let name = if number.is_multiple_of(2) { "data" } else { "Data" };
    Reply::json(200, &json!({name: data, "successMessage": message, "responseCode": "0000", "isSuccessful": true, "error": null}))
}

fn failed(status: u16, code: &str, error: &str) -> Reply {
    Reply::json(status, &json!({"data": null, "successMessage": null, "responseCode": code, "isSuccessful": false, "error": error}))
}

impl Payment {
    fn status(&self, now_ms: i64) -> &str {
        if self.status == "Pending" && now_ms >= self.opened_ms + LINK_MS { "Expired" } else { &self.status }
    }

    fn view(&self, now_ms: i64) -> Value {
        let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
        let at_ms = self.decided_ms.unwrap_or(self.opened_ms);
        let at = OffsetDateTime::from_unix_timestamp(at_ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let places = exponent(&self.currency);
        let status = if self.number.is_multiple_of(2) { "transactionStatus" } else { "paymentStatus" };
        json!({
            "txnref": self.id,
            "merchantTxnref": self.reference,
            "amountFromMerchant": number(self.payable_minor, places),
            "amountPaid": number(self.paid_minor, places),
            "currency": self.currency,
            status: self.status(now_ms),
            "transactionDate": at.format(form).unwrap_or_default(),
            "transactionSource": "Web",
            "channel": "Bank Transfer",
        })
    }
}

fn generate(books: &mut Books, call: &Call) -> Reply {
    let body = call.json();
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let customer = &body["customer"];
    for name in ["firstName", "lastName", "emailAddress"] {
        if text(&customer[name]).is_none() {
            return failed(200, "0400", &format!("customer.{name} is required"));
        }
    }
    let Some(currency) = text(&customer["currency"]).filter(|currency| is_currency(currency)) else {
        return failed(200, "0400", "customer.currency must be three capital letters");
    };
    let Some(reference) = text(&body["merchantTransactionReference"]) else {
        return failed(200, "0400", "merchantTransactionReference is required");
    };
    let Some(payable_minor) = minor_of(&body["amount"], exponent(&currency)).filter(|amount| *amount > 0) else {
        return failed(200, "0400", "amount must be above zero, in major units");
    };
    if !books.linked("payment", &reference).is_empty() {
        return failed(200, "0409", "merchantTransactionReference was used before");
    }
    let opened_ms = books.now_ms();
    let payment = Payment {
        number: books.count("payment") as u64,
        id: books.new_id("GP", 16),
        reference: reference.clone(),
        payable_minor,
        paid_minor: 0,
        currency: currency.clone(),
        status: "Pending".to_owned(),
        redirect_url: text(&body["redirectUrl"]).or_else(|| text(&body["redirectURL"])),
        webhook_url: text(&body["webhookUrl"]),
        opened_ms,
        decided_ms: None,
    };
    let url = books.open_page(&Page {
        id: payment.id.clone(),
        dialect: books.dialect(),
        reference: reference.clone(),
        description: format!("Payment {reference}"),
        amount_minor: payable_minor,
        currency,
        state: PageState::Open,
        expires_at_ms: Some(opened_ms + LINK_MS),
    });
    books.link("payment", &reference, &payment.id);
    books.keep("payment", &payment.id, &payment);
    let data = json!({"checkoutUrl": url, "accessCode": books.new_id("", 12), "transactionReference": payment.id, "merchantMode": "TEST"});
    envelope(payment.number, &data, "Payment link generated successfully")
}

fn query(books: &Books, id: Option<&str>) -> Reply {
    let Some(payment) = id.and_then(|id| books.find::<Payment>("payment", id)) else {
        return failed(200, "0404", "Transaction not found");
    };
    let view = payment.view(books.now_ms());
    // The other name than that of the link's answer, so that one payment shows both.
    envelope(payment.number + 1, &if payment.number % 4 == 3 { json!([view]) } else { view }, "Transaction retrieved successfully")
}

impl Provider for Zenith {
    fn operation(&self, call: &Call) -> &'static str {
        if call.method == http::Method::POST { "create" } else { "query" }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        if call.header("apikey") != Some(ZENITH_KEY) {
            return failed(401, "0401", "apiKey is missing or wrong");
        }
        if call.header("language").is_none() {
            return failed(400, "0400", "the header language is required, as in language: en");
        }
        let parts = call.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let parts = parts.strip_prefix(&["globalpay-paymentgateway", "api"]).unwrap_or(&parts);
        match (call.method.as_str(), parts) {
            ("POST", ["paymentgateway", "generate-payment-link"]) => generate(books, call),
            ("GET", ["paymentgateway", "query-single-transaction-by-merchant-reference", reference]) => {
                query(books, books.linked("payment", reference).first().map(String::as_str))
            }
            ("GET", ["paymentgateway", "query-single-transaction", id]) => query(books, Some(id)),
            _ => failed(404, "0404", "there is nothing at this address"),
        }
    }

    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
        let mut payment: Payment = books.find("payment", &page.id).ok_or("this page belongs to no payment")?;
        payment.decided_ms = Some(books.now_ms());
        let state = match decision {
            Decision::Pay => {
                let (paid_minor, currency) = twist.moved(payment.payable_minor, &payment.currency);
                payment.paid_minor = paid_minor;
                payment.currency = currency;
                payment.status = "Successful".to_owned();
                books.moved(Moved {
                    kind: MovementKind::Charged,
                    reference: &payment.reference,
                    provider_id: &payment.id,
                    amount_minor: payment.paid_minor,
                    currency: &payment.currency,
                    idempotency_key: None,
                });
                PageState::Paid
            }
            Decision::Decline { code } => {
                payment.status = if self.decline_codes().contains(&code.as_str()) { code.clone() } else { "Failed".to_owned() };
                PageState::Declined
            }
            Decision::Abandon => {
                payment.status = "Abandoned".to_owned();
                PageState::Abandoned
            }
        };
        books.set_page(&page.id, state);
        books.keep("payment", &payment.id, &payment);
        if state != PageState::Abandoned {
            let event = payment.status.clone();
            let body = json!({"to": payment.webhook_url, "event": payment.view(books.now_ms())});
            books.notify(Outgoing { id: format!("{}:{event}", payment.id), event, body });
        }
        Ok(payment.redirect_url.map(|url| {
            let mark = if url.contains('?') { '&' } else { '?' };
            let reference: String = byte_serialize(payment.reference.as_bytes()).collect();
            format!("{url}{mark}transactionReference={}&merchantTransactionReference={reference}", payment.id)
        }))
    }

    /// They are the status that the payment ends in; all but the first are words that a reader may not know.
    fn decline_codes(&self) -> &'static [&'static str] {
        &["Failed", "Declined", "Insufficient Funds", "Cancelled"]
    }

    fn sign(&self, _secret: &str, _webhook: &Outgoing, _body: &[u8], _now_ms: i64, _is_forged: bool) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    fn body(&self, webhook: &Outgoing) -> Vec<u8> {
        webhook.body["event"].to_string().into_bytes()
    }

    fn target(&self, webhook: &Outgoing) -> Option<String> {
        webhook.body["to"].as_str().map(str::to_owned)
    }

    fn retries_s(&self) -> &'static [u32] {
        &[60, 300]
    }

    fn broken(&self) -> Reply {
        failed(500, "0500", "System malfunction")
    }
}
