//! Ramp's wire format (corporate cards): transfers out of the business's account, and transactions as a report.
//! <https://docs.ramp.com/developer-api/v1>
//!
//! Secrets: `client_id`, `client_secret`, and `webhook_secret`, a text or, while it is rotated, an array of texts. Ramp has no page
//! where somebody pays us, and takes nothing back: it only pays out. Publicly known are the token, reading transfers and transactions,
//! and the words of a transfer's status; asking for a transfer, `reference` and the balance are UNVERIFIED.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderName;
use kernel::{Currency, Money, Timestamp};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use crate::client::{Answer, Client, Request};
use crate::intent::{Observation, Seen};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, LineKind, Notice, Order, Provider, Question, ReportLine, Told, Trust,
    Webhook, WebhookError,
};
use crate::providers::answers::{self, at_most, cut, one_or_many, owned, part, text};
use crate::units;

/// What the token is asked to allow (UNVERIFIED beside the two that read).
const SCOPE: &str = "transfers:read transfers:write transactions:read business:read";
/// A token that Ramp does not say the lifetime of is used so long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Keys are kept for a day (UNVERIFIED); an hour is left for clocks that differ.
const KEYS_KEPT: Duration = Duration::from_secs(23 * 3_600);
/// Bytes of what the receiver reads.
const MEMO_BYTES_MAX: usize = 140;
/// Things of one page of a list, which is the most that Ramp gives; and pages of one report.
const LIST_MAX: usize = 100;
const PAGES_MAX: usize = 20_000;
/// Bytes of one report.
const REPORT_BYTES_MAX: usize = 512 << 20;
/// Secrets of one account that are tried.
const TRIES_MAX: usize = 10;

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Paid,
    Works,
    Not(ErrorClass),
    Back,
}

/// Words of a transfer's `status`. What is not listed means that Ramp is at it.
const STATUSES: &[(&str, Meaning)] = &[
    ("COMPLETED", Meaning::Paid),
    ("INITIATED", Meaning::Works),
    ("PROCESSING", Meaning::Works),
    ("SUBMITTED_TO_FRB", Meaning::Works),
    ("SUBMITTED_TO_RDFI", Meaning::Works),
    ("UPLOADED", Meaning::Works),
    ("ERROR", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("CANCELED", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("NOT_ENOUGH_FUNDS", Meaning::Not(ErrorClass::SetUp)),
    ("REJECTED_BY_ODFI", Meaning::Not(ErrorClass::DeclinedHard)),
    ("RETURNED_BY_RDFI", Meaning::Back),
];

/// Ramp.
pub(crate) struct Ramp;

fn refused(class: ErrorClass, code: &str) -> Failure {
    Failure::Refused { class, code: code.to_owned() }
}

/// Minor units and a currency as money.
fn money(value: &Value) -> Option<Money> {
    Some(Money::new(units::minor_of(&value["amount"], 0)?, units::currency_of(&value["currency_code"])?))
}

/// How a transfer stands.
fn transfer(transfer: &Value) -> Observation {
    let word = text(transfer, "/status").unwrap_or_default();
    let seen = match STATUSES.iter().find(|(known, _)| *known == word).map_or(Meaning::Works, |(_, meaning)| *meaning) {
        Meaning::Paid => Seen::Succeeded { amount: money(&transfer["amount"]), crypto_amount: None },
        Meaning::Works => Seen::Pending,
        Meaning::Not(class) => Seen::Declined { class, code: cut(word) },
        Meaning::Back => Seen::Reversed,
    };
    Observation { seen, provider_ref: owned(transfer, "/id"), charge_ref: None }
}

/// A refusal in our words. Only what Ramp says itself in its own envelope is one.
fn failure(answer: &Answer) -> Failure {
    let body = units::exact(&answer.body).unwrap_or(Value::Null);
    let code = text(&body, "/error_v2/error_code").or_else(|| text(&body, "/error")).map(cut);
    let words = cut(text(&body, "/error_v2/message").unwrap_or_default());
    match (answer.status, code) {
        (429, _) => refused(ErrorClass::RateLimited, "429"),
        (401 | 403, code) => refused(ErrorClass::SetUp, &code.unwrap_or_else(|| "credentials_refused".to_owned())),
        // The first request of this key may have been done, with another body or a moment ago.
        (409, _) => Failure::unknown("status 409: the key is in use"),
        (_, Some(_)) if words.to_ascii_lowercase().contains("idempotency") => Failure::unknown(words),
        (400 | 404 | 422, Some(code)) => refused(ErrorClass::InvalidRequest, &cut(&format!("{code}: {words}"))),
        (status, _) => Failure::unknown(format!("status {status}")),
    }
}

struct Line<'a> {
    client: &'a Client,
    account: &'a Account,
}

impl Line<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}/developer/v1{path}", self.account.base_url)
    }

    /// A token, kept or fresh. Where that fails nothing of the order itself was sent.
    async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = self.client.token(self.account) {
            return Ok(token);
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", SCOPE)
            .finish();
        let request = Request::post(self.url("/token"), "application/x-www-form-urlencoded", form)
            .basic(self.account.secret("client_id")?, self.account.secret("client_secret")?);
        let not_sent = |reason: String| Failure::NotSent { reason: format!("no token: {reason}") };
        let answer = match self.client.call(request).await {
            Err(Failure::Unknown { reason }) => return Err(not_sent(reason)),
            other => other?,
        };
        match answer.status {
            200..=299 => {}
            400 | 401 | 403 => return Err(refused(ErrorClass::SetUp, "credentials_refused")),
            status => return Err(not_sent(format!("status {status}"))),
        }
        let body = units::exact(&answer.body).unwrap_or(Value::Null);
        let token = text(&body, "/access_token").ok_or_else(|| not_sent("the answer holds none".to_owned()))?;
        let lifetime = units::minor_of(&body["expires_in"], 0).and_then(|seconds| u64::try_from(seconds).ok());
        self.client.keep_token(self.account, token, lifetime.map_or(TOKEN_LIFETIME, Duration::from_secs));
        Ok(token.to_owned())
    }

    /// One request under a token; where that one is not taken any more, once more under a fresh one.
    async fn call(&self, request: Request) -> Result<Answer, Failure> {
        let token = self.token().await?;
        let answer = self.client.call(request.clone().bearer(&token)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.client.forget_token(self.account);
        let token = self.token().await?;
        self.client.call(request.bearer(&token)).await
    }

    /// Looks at something; None where Ramp says that it is not there.
    async fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        let answer = self.call(Request::get(self.url(path))).await?;
        match answer.status {
            200..=299 => answers::body(&answer).map(Some),
            404 if units::exact(&answer.body).is_some_and(|body| body["error_v2"].is_object()) => Ok(None),
            _ => Err(failure(&answer)),
        }
    }

    async fn payout(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Payout { reference, amount, destination, narration } = order else { return Err(Failure::setup("not a payout")) };
        let body = json!({
            "amount": {"amount": amount.amount_minor, "currency_code": amount.currency.to_string()},
            "reference": reference,
            "memo": if narration.is_empty() { reference } else { at_most(narration, MEMO_BYTES_MAX) },
            "recipient": {"bank_code": destination.bank_code, "account_number": destination.account_number,
                "account_name": destination.account_name},
        });
        let request = Request::post_json(self.url("/transfers"), &body);
        let answer = self.call(request.header(HeaderName::from_static("idempotency-key"), reference)).await?;
        if !answer.is_success() {
            return Err(failure(&answer));
        }
        let body = answers::body(&answer)?;
        if text(&body, "/id").is_none() {
            return Err(Failure::unknown("a transfer without an identifier"));
        }
        Ok(transfer(&body))
    }

    async fn ask_payout(&self, reference: &str, provider_ref: Option<&str>) -> Result<Told, Failure> {
        let found = match provider_ref {
            Some(id) => match self.get(&format!("/transfers/{}", part(id))).await? {
                // The answer is about what was asked for, or it is none.
                Some(known) if text(&known, "/id") != Some(id) => return Err(Failure::unknown("an answer about another transfer")),
                found => found,
            },
            None => {
                let list =
                    self.get(&format!("/transfers?reference={}&page_size={LIST_MAX}", part(reference))).await?.unwrap_or(Value::Null);
                // A list that is not cut down to ours must not say anything about another one.
                one_or_many(&list["data"]).iter().find(|known| text(known, "/reference") == Some(reference)).cloned()
            }
        };
        Ok(found.map_or(Told::NotFound, |found| Told::Observed(transfer(&found))))
    }

    async fn float(&self, currency: Currency) -> Result<Told, Failure> {
        let balance = self.get("/business/balance").await?.ok_or_else(|| Failure::unknown("no balance"))?;
        let known = one_or_many(&balance["available_balances"]).iter().filter_map(money).find(|known| known.currency == currency);
        Ok(Told::Float(known.unwrap_or_else(|| Money::new(0, currency))))
    }

    /// Transactions of a time, one array of all pages.
    async fn settled(&self, from: Timestamp, until: Timestamp) -> Result<Told, Failure> {
        // Both days are meant whole: what is outside of the time is left out here.
        let days = format!("from_date={}&to_date={}", part(&from.to_string()), part(&until.to_string()));
        let is_meant = |line: &Value| {
            let at = text(line, "/user_transaction_time").and_then(|at| Timestamp::parse(at).ok());
            at.is_none_or(|at| (from..until).contains(&at))
        };
        let mut report = vec![b'['];
        let mut after = String::new();
        for _ in 0..PAGES_MAX {
            if report.len() > REPORT_BYTES_MAX {
                break;
            }
            let path = format!("/transactions?{days}&page_size={LIST_MAX}{after}");
            let page = self.get(&path).await?.ok_or_else(|| Failure::unknown("no list"))?;
            let lines = page.get("data").and_then(Value::as_array).ok_or_else(|| Failure::unknown("a list without lines"))?;
            for line in lines.iter().filter(|line| is_meant(line)) {
                if report.len() > 1 {
                    report.extend_from_slice(b",\n");
                }
                serde_json::to_writer(&mut report, line).map_err(|_| Failure::unknown("a line that cannot be kept"))?;
            }
            // The next page is asked for here and not at the address that an answer names.
            match lines.last().and_then(|line| owned(line, "/id")) {
                Some(last) if text(&page, "/page/next").is_some() => after = format!("&start={}", part(&last)),
                _ => {
                    report.push(b']');
                    return Ok(Told::Report(report));
                }
            }
        }
        Err(Failure::setup("the time has too many transactions for one report: ask for a shorter one"))
    }
}

/// A list as it comes from Ramp itself.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
}

fn unreadable(line: usize, what: &str) -> WebhookError {
    WebhookError::Unreadable(format!("line {line}: {what}"))
}

/// One transaction: what left us is above zero there and below zero here, with its fee on top.
fn report_line(at: usize, line: &Value) -> Result<ReportLine, WebhookError> {
    let out = money(&line["amount"]).ok_or_else(|| unreadable(at, "no amount"))?;
    let fee = match &line["fee"] {
        Value::Null => Money::new(0, out.currency),
        fee => money(fee).filter(|fee| fee.currency == out.currency).ok_or_else(|| unreadable(at, "the fee is no amount"))?,
    };
    let too_large = || unreadable(at, "the amount is too large");
    let gross_minor = out.amount_minor.checked_neg().ok_or_else(too_large)?;
    Ok(ReportLine {
        kind: LineKind::Payout,
        reference: owned(line, "/reference"),
        provider_ref: owned(line, "/transfer_id").or_else(|| owned(line, "/id")),
        batch: owned(line, "/statement_id"),
        gross: Money::new(gross_minor, out.currency),
        fee_minor: fee.amount_minor,
        net_minor: gross_minor.checked_sub(fee.amount_minor).ok_or_else(too_large)?,
        at: text(line, "/user_transaction_time").and_then(|at| Timestamp::parse(at).ok()),
    })
}

impl Provider for Ramp {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: false,
            captures_later: false,
            captures_in_parts: false,
            refunds: false,
            refunds_in_parts: false,
            closes_pages: false,
            pays_out: true,
            enquires_names: false,
            tells_float: true,
            reports: true,
            keeps_keys_for: Some(KEYS_KEPT),
            trust: Trust::Signed,
        }
    }

    fn send<'a>(&'a self, client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done> {
        let line = Line { client, account };
        Box::pin(async move {
            match order {
                Order::Payout { .. } => line.payout(order).await.map(Done::Observed),
                _ => Err(refused(ErrorClass::NotSupported, "not_with_ramp")),
            }
        })
    }

    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told> {
        let line = Line { client, account };
        Box::pin(async move {
            match question {
                Question::Payout { reference, provider_ref } => line.ask_payout(reference, provider_ref.as_deref()).await,
                Question::Float { currency } => line.float(*currency).await,
                Question::Settled { from, until } => line.settled(*from, *until).await,
                _ => Err(refused(ErrorClass::NotSupported, "not_with_ramp")),
            }
        })
    }

    /// The signature holds no time, so that an old webhook is as good as a new one: it is applied once however often it comes.
    fn check(&self, account: &Account, webhook: Webhook<'_>, _now: Timestamp) -> Result<(), WebhookError> {
        let secrets = account.secrets.get("webhook_secret").map(one_or_many).unwrap_or_default();
        let secrets: Vec<&str> = secrets.iter().filter_map(Value::as_str).filter(|secret| !secret.is_empty()).take(TRIES_MAX).collect();
        if secrets.is_empty() {
            return Err(WebhookError::SetUp);
        }
        // Every delivery has its name, the same over all its repetitions.
        webhook.header("x-ramp-webhook-id").filter(|id| !id.is_empty()).ok_or(WebhookError::Forged)?;
        let theirs = webhook.header("x-ramp-signature").ok_or(WebhookError::Forged)?.trim().to_ascii_lowercase();
        let theirs = theirs.strip_prefix("sha256=").unwrap_or(&theirs);
        let mut is_genuine = subtle::Choice::from(0);
        for secret in secrets {
            let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| WebhookError::SetUp)?;
            let digest = mac.chain_update(webhook.body).finalize().into_bytes();
            let ours: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            is_genuine |= ours.as_bytes().ct_eq(theirs.as_bytes());
        }
        if bool::from(is_genuine) { Ok(()) } else { Err(WebhookError::Forged) }
    }

    fn read(&self, _account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError> {
        let event = answers::webhook_body(webhook.body)?;
        text(&event, "/type").ok_or_else(|| WebhookError::Unreadable("the event has no type".to_owned()))?;
        let object = &event["object"];
        let (Some("transfer"), Some(reference)) = (text(object, "/object_type"), owned(object, "/reference")) else {
            return Ok(Vec::new());
        };
        let observation = transfer(object);
        Ok(vec![Notice { reference: Some(reference), provider_ref: observation.provider_ref.clone(), observation }])
    }

    fn report(&self, _account: &Account, bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        // Line by line: a report of a million lines is not held as a million trees.
        let list: Vec<&RawValue> = serde_json::from_slice(bytes)
            .or_else(|_| serde_json::from_slice(bytes).map(|page: Page| page.data))
            .map_err(|_| WebhookError::Unreadable("it is not a list of transactions".to_owned()))?;
        let mut lines = Vec::with_capacity(list.len());
        for (place, line) in list.into_iter().enumerate() {
            let line = units::exact(line.get().as_bytes()).ok_or_else(|| unreadable(place + 1, "it cannot be read"))?;
            // Only what Ramp calls cleared has moved; where it says nothing of that, it has.
            if text(&line, "/state").is_none_or(|state| state == "CLEARED") {
                lines.push(report_line(place + 1, &line)?);
            }
        }
        Ok(lines)
    }
}

#[cfg(test)]
mod tests;
