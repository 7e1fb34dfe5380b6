//! PayPal's wire format: orders v2, payments v2, payouts v1, transaction search. <https://developer.paypal.com/docs/api/>
//!
//! Settings: `webhook_id`, the identifier of the webhook at PayPal, which its signatures cover. Secrets: `client_id`, `client_secret`. A payment
//! is known by its order; what was authorized and captured under it is looked up there. Money is paid out to PayPal accounts: the
//! destination's account number is an email address, a phone number with its plus sign, or a payer's identifier.

mod errors;
mod objects;
mod report;
mod webhook;

use std::time::Duration;

use http::HeaderName;
use kernel::{Currency, Id as _, Money, Timestamp};
use serde_json::{Value, json};

use crate::client::{Answer, Client, Request};
use crate::intent::{AttemptId, CaptureMethod, Observation, Seen};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, Notice, Order, Provider, Question, ReportLine, Told, Trust, Webhook,
    WebhookError,
};
use crate::providers::answers::{self, at_most, one_or_many, owned, part, text};
use crate::units;

/// Request identifiers of orders are kept for six hours (others for 45 days); an hour is left for clocks that differ.
const KEYS_KEPT: Duration = Duration::from_secs(5 * 3_600);
/// An order that nobody approved is gone after three hours; one that is gone after a day was never paid.
const ORDER_KEPT: Duration = Duration::from_secs(86_400);
/// Days of one report of PayPal's.
const REPORT_SPAN: Duration = Duration::from_secs(31 * 86_400);
/// Transactions of one page of a report.
const REPORT_PAGE: usize = 500;
/// Pages of one report: half a million transactions.
const PAGES_MAX: usize = 1_000;

/// PayPal.
pub(crate) struct Paypal;

struct Line<'a> {
    client: &'a Client,
    account: &'a Account,
}

/// A look before anything was sent: where it does not end, nothing was done.
fn before<T>(looked: Result<T, Failure>) -> Result<T, Failure> {
    looked.map_err(|failure| match failure {
        Failure::Unknown { reason } => Failure::NotSent { reason },
        other => other,
    })
}

fn refused(class: ErrorClass, code: &str) -> Failure {
    Failure::Refused { class, code: code.to_owned() }
}

impl Line<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.account.base_url)
    }

    async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = self.client.token(self.account) {
            return Ok(token);
        }
        let form = "application/x-www-form-urlencoded";
        let request = Request::post(self.url("/v1/oauth2/token"), form, "grant_type=client_credentials")
            .basic(self.account.secret("client_id")?, self.account.secret("client_secret")?);
        // A token that is not given is an order that is not sent.
        let answer = before(self.client.call(request).await)?;
        let body = before(answers::body(&answer));
        if !answer.is_success() {
            return before(Err(errors::failure(answer.status, body.ok().as_ref())));
        }
        let body = body?;
        let token = owned(&body, "/access_token").ok_or_else(|| Failure::NotSent { reason: "a token that is none".to_owned() })?;
        let seconds = units::minor_of(&body["expires_in"], 0).and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
        self.client.keep_token(self.account, &token, Duration::from_secs(seconds));
        Ok(token)
    }

    /// One request with a token; where that is not taken any more, once more with a new one.
    async fn call(&self, request: Request) -> Result<Answer, Failure> {
        let answer = self.client.call(request.clone().bearer(&self.token().await?)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        self.client.forget_token(self.account);
        self.client.call(request.bearer(&self.token().await?)).await
    }

    /// Does something under a key.
    async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Value, Failure> {
        let request = Request::post_json(self.url(path), body)
            .header(HeaderName::from_static("paypal-request-id"), key)
            .header(HeaderName::from_static("prefer"), "return=representation");
        let answer = self.call(request).await?;
        if answer.is_success() { answers::body(&answer) } else { Err(errors::failure(answer.status, answers::body(&answer).ok().as_ref())) }
    }

    /// Looks at something; None where PayPal says that it is not there.
    async fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        self.look(Request::get(self.url(path))).await
    }

    async fn look(&self, request: Request) -> Result<Option<Value>, Failure> {
        let answer = self.call(request).await?;
        let body = answers::body(&answer);
        if answer.is_success() {
            return body.map(Some);
        }
        match (answer.status, body.ok()) {
            (404, Some(body)) if text(&body, "/name").is_some() => Ok(None),
            (status, body) => Err(errors::failure(status, body.as_ref())),
        }
    }

    async fn order(&self, id: &str) -> Result<Option<Value>, Failure> {
        self.get(&format!("/v2/checkout/orders/{}", part(id))).await
    }

    /// How the payment of an order stands. What an order shows of an authorization may be older than that itself.
    async fn observed(&self, order: &Value) -> Result<Observation, Failure> {
        let observation = objects::order(order);
        let Some(held) = objects::payments(order, "authorizations").last().and_then(|held| owned(held, "/id")) else {
            return Ok(observation);
        };
        let held = self.get(&format!("/v2/payments/authorizations/{}", part(&held))).await?;
        Ok(held.map_or(observation.clone(), |held| Observation { provider_ref: observation.provider_ref, ..objects::authorization(&held) }))
    }

    async fn open_page(&self, order: &Order) -> Result<Done, Failure> {
        let Order::OpenPage { reference, amount, capture_method, description, payer, return_url, .. } = order else {
            return Err(Failure::setup("not a page"));
        };
        let context =
            json!({"return_url": return_url, "cancel_url": return_url, "user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING"});
        let mut source = json!({"experience_context": context});
        if let Some(email) = payer.email.as_deref() {
            source["email_address"] = json!(email);
        }
        let mut unit = json!({"custom_id": reference, "invoice_id": reference, "amount": objects::money_of(*amount)?});
        if !description.is_empty() {
            unit["description"] = json!(at_most(description, 127));
        }
        let intent = match capture_method {
            CaptureMethod::Automatic => "CAPTURE",
            CaptureMethod::Manual => "AUTHORIZE",
        };
        let body = json!({"intent": intent, "purchase_units": [unit], "payment_source": {"paypal": source}});
        let order = self.post("/v2/checkout/orders", reference, &body).await?;
        let id = owned(&order, "/id").ok_or_else(|| Failure::unknown("an order without an identifier"))?;
        let is_page = |link: &&Value| matches!(text(link, "/rel"), Some("payer-action" | "approve"));
        match one_or_many(&order["links"]).iter().find(is_page).and_then(|link| owned(link, "/href")) {
            Some(url) => Ok(Done::Page { provider_ref: Some(id), url, expires_at: None }),
            // Sent again after the payer was there.
            None => match objects::order(&order) {
                Observation { seen: Seen::Pending | Seen::WaitsForPerson, .. } => Err(Failure::unknown("an order without a page")),
                observation => Ok(Done::Observed(observation)),
            },
        }
    }

    /// Takes or sets aside what the payer approved.
    async fn complete(&self, reference: &str, id: &str, method: CaptureMethod) -> Result<Observation, Failure> {
        let verb = match method {
            CaptureMethod::Automatic => "capture",
            CaptureMethod::Manual => "authorize",
        };
        let path = format!("/v2/checkout/orders/{}/{verb}", part(id));
        match self.post(&path, &format!("{reference}-{verb}"), &json!({})).await {
            Ok(order) => Ok(objects::order(&order)),
            // It was completed before, or is not approved: what it is counts.
            Err(Failure::Refused { code, class })
                if matches!(code.as_str(), "ORDER_ALREADY_CAPTURED" | "ORDER_ALREADY_AUTHORIZED" | "ORDER_NOT_APPROVED") =>
            {
                match self.order(id).await? {
                    Some(order) => self.observed(&order).await,
                    None => Err(Failure::Refused { class, code }),
                }
            }
            Err(failure) => Err(failure),
        }
    }

    /// The name of what an order has set aside, for something that is to be done with it; nothing of that has been sent so far.
    async fn held(&self, order: &str) -> Result<String, Failure> {
        let order = before(self.order(order).await)?.unwrap_or(Value::Null);
        let held = objects::payments(&order, "authorizations").last().and_then(|held| owned(held, "/id"));
        held.ok_or_else(|| refused(ErrorClass::InvalidRequest, "nothing_was_authorized"))
    }

    async fn capture(&self, reference: &str, order: &str, amount: Money, is_last: bool) -> Result<Observation, Failure> {
        let body = json!({"amount": objects::money_of(amount)?, "invoice_id": reference, "final_capture": is_last});
        let path = format!("/v2/payments/authorizations/{}/capture", part(&self.held(order).await?));
        Ok(objects::capture(&self.post(&path, reference, &body).await?))
    }

    async fn void(&self, reference: &str, order: &str) -> Result<Observation, Failure> {
        let held = self.held(order).await?;
        let path = format!("/v2/payments/authorizations/{}/void", part(&held));
        let voided = match self.post(&path, &format!("{reference}-void"), &json!({})).await {
            Err(Failure::Refused { code, .. }) if code == "PREVIOUSLY_VOIDED" => {
                self.get(&format!("/v2/payments/authorizations/{}", part(&held))).await?.unwrap_or(Value::Null)
            }
            other => other?,
        };
        Ok(Observation { provider_ref: Some(order.to_owned()), ..objects::authorization(&voided) })
    }

    async fn refund(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Refund { reference, provider_ref, charge_ref, amount, .. } = order else { return Err(Failure::setup("not a refund")) };
        let body = json!({"amount": objects::money_of(*amount)?, "invoice_id": reference});
        let whole = before(self.order(provider_ref).await)?.unwrap_or(Value::Null);
        if let Some(known) = refund_of(&whole, reference) {
            return Ok(objects::refund(known));
        }
        let capture = enough(&whole, charge_ref.as_deref(), *amount).or_else(|| charge_ref.clone());
        let capture = capture.ok_or_else(|| refused(ErrorClass::InvalidRequest, "nothing_was_captured"))?;
        let path = format!("/v2/payments/captures/{}/refund", part(&capture));
        Ok(objects::refund(&self.post(&path, reference, &body).await?))
    }

    async fn payout(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Payout { reference, amount, destination, narration } = order else { return Err(Failure::setup("not a payout")) };
        let receiver = destination.account_number.as_str();
        let kind = match receiver {
            email if email.contains('@') => "EMAIL",
            phone if phone.starts_with('+') => "PHONE",
            _ => "PAYPAL_ID",
        };
        let value = objects::value_of(*amount)?;
        let item = json!({"recipient_type": kind, "receiver": receiver, "sender_item_id": reference, "note": at_most(narration, 1_000),
            "amount": {"currency": amount.currency.to_string(), "value": value}});
        let header = json!({"sender_batch_id": reference, "email_subject": "You have a payout"});
        let body = json!({"sender_batch_header": header, "items": [item]});
        let request = Request::post_json(self.url("/v1/payments/payouts"), &body)
            .header(HeaderName::from_static("paypal-request-id"), reference.clone());
        let answer = self.call(request).await?;
        let told = answers::body(&answer);
        if answer.is_success() {
            let batch = told?;
            let is_known = text(&batch, "/batch_header/payout_batch_id").is_some();
            return if is_known { Ok(objects::payout(&batch)) } else { Err(Failure::unknown("a payout without an identifier")) };
        }
        let told = told.ok();
        // Its name was taken before: the link leads to what came of that.
        let known = told.as_ref().filter(|told| text(told, "/name") == Some("USER_BUSINESS_ERROR"));
        let known = known.and_then(|told| one_or_many(&told["links"]).iter().find_map(|link| text(link, "/href")));
        match known.and_then(|href| href.rsplit('/').next()) {
            Some(id) => self.batch(id).await?.ok_or_else(|| Failure::unknown("a payout that was sent before and is not there")),
            None => Err(errors::failure(answer.status, told.as_ref())),
        }
    }

    async fn batch(&self, id: &str) -> Result<Option<Observation>, Failure> {
        let batch = self.get(&format!("/v1/payments/payouts/{}", part(id))).await?;
        Ok(batch.map(|batch| objects::payout(&batch)))
    }

    async fn ask_payment(&self, reference: &str, provider_ref: Option<&str>) -> Result<Told, Failure> {
        // There is no way to ask for an order by our reference.
        let Some(id) = provider_ref else { return Ok(Told::NotFound) };
        if let Some(order) = self.order(id).await? {
            return Ok(Told::Observed(self.observed(&order).await?));
        }
        let began = AttemptId::parse(reference).ok().and_then(|attempt| i64::try_from(attempt.raw().bits() >> 80).ok());
        let is_old = began.is_some_and(|began| self.client.now().since(Timestamp::from_millis(began)) > ORDER_KEPT);
        Ok(if is_old { Told::Observed(Observation::of(Seen::Expired)) } else { Told::NotFound })
    }

    async fn ask_refund(&self, reference: &str, provider_ref: Option<&str>, charge_ref: Option<&str>) -> Result<Told, Failure> {
        if let Some(id) = provider_ref {
            let refund = self.get(&format!("/v2/payments/refunds/{}", part(id))).await?;
            return Ok(refund.map_or(Told::NotFound, |refund| Told::Observed(objects::refund(&refund))));
        }
        // Its capture names its order, and that lists every refund.
        let Some(capture) = charge_ref else { return Ok(Told::NotFound) };
        let capture = self.get(&format!("/v2/payments/captures/{}", part(capture))).await?.unwrap_or(Value::Null);
        let Some(order) = owned(&capture, "/supplementary_data/related_ids/order_id") else { return Ok(Told::NotFound) };
        let order = self.order(&order).await?.unwrap_or(Value::Null);
        Ok(refund_of(&order, reference).map_or(Told::NotFound, |refund| Told::Observed(objects::refund(refund))))
    }

    async fn float(&self, currency: Currency) -> Result<Told, Failure> {
        let told =
            self.get(&format!("/v1/reporting/balances?currency_code={currency}")).await?.ok_or_else(|| Failure::unknown("no balances"))?;
        let balances = told.get("balances").and_then(Value::as_array).ok_or_else(|| Failure::unknown("no balances"))?;
        let own = balances.iter().find(|balance| units::currency_of(&balance["currency"]) == Some(currency));
        let float = own.map_or(Some(Money::new(0, currency)), |own| objects::money(&own["available_balance"]));
        float.map(Told::Float).ok_or_else(|| Failure::unknown("a balance that is no amount"))
    }

    /// Transactions of a time, one array of all pages.
    async fn settled(&self, from: Timestamp, until: Timestamp) -> Result<Told, Failure> {
        let mut all = Vec::new();
        let (mut from, mut pages) = (from, 0);
        while from < until {
            let end = from.plus(REPORT_SPAN).min(until);
            // PayPal counts whole seconds and tells the last one too: each second belongs to the one time that it begins in.
            let first = Timestamp::from_seconds(from.plus(Duration::from_micros(999_999)).as_seconds());
            let last = Timestamp::from_seconds(end.minus(Duration::from_micros(1)).as_seconds());
            from = end;
            if first > last {
                continue;
            }
            let span = format!("start_date={}&end_date={}", part(&first.to_string()), part(&last.to_string()));
            for page in 1.. {
                pages += 1;
                if pages > PAGES_MAX {
                    return Err(refused(ErrorClass::InvalidRequest, "the time has more than 500000 transactions"));
                }
                let path = format!("/v1/reporting/transactions?{span}&fields=transaction_info&page_size={REPORT_PAGE}&page={page}");
                let mut told =
                    self.look(Request::get(self.url(&path)).for_report()).await?.ok_or_else(|| Failure::unknown("no transactions"))?;
                let lines = told.get_mut("transaction_details").and_then(Value::as_array_mut);
                all.append(lines.ok_or_else(|| Failure::unknown("no transactions"))?);
                if units::minor_of(&told["total_pages"], 0).unwrap_or_default() <= page {
                    break;
                }
            }
        }
        serde_json::to_vec(&all).map(Told::Report).map_err(|_| Failure::unknown("a list that cannot be kept"))
    }

    async fn genuine(&self, headers: &[(String, String)], body: &[u8]) -> Result<Told, Failure> {
        let Some(question) = webhook::question(self.account, headers, body)? else { return Ok(Told::Genuine(false)) };
        let path = "/v1/notifications/verify-webhook-signature";
        let answer = self.call(Request::post(self.url(path), "application/json", question)).await?;
        let told = answers::body(&answer);
        if !answer.is_success() {
            return Err(errors::failure(answer.status, told.ok().as_ref()));
        }
        match text(&told?, "/verification_status") {
            Some("SUCCESS") => Ok(Told::Genuine(true)),
            Some("FAILURE") => Ok(Told::Genuine(false)),
            _ => Err(Failure::unknown("neither genuine nor forged")),
        }
    }
}

/// The refund of ours that an order lists.
fn refund_of<'a>(order: &'a Value, reference: &str) -> Option<&'a Value> {
    objects::payments(order, "refunds").into_iter().find(|refund| text(refund, "/invoice_id") == Some(reference))
}

/// The capture of an order that still has `amount` to give back: the one that is named, if it has, else the first that does. A
/// refund of more than any one of them has is to be asked for in parts.
fn enough(order: &Value, named: Option<&str>, amount: Money) -> Option<String> {
    let refunds = objects::payments(order, "refunds");
    let is_of = |refund: &&&Value, id: &str| {
        one_or_many(&refund["links"])
            .iter()
            .any(|link| text(link, "/rel") == Some("up") && text(link, "/href").is_some_and(|href| href.ends_with(id)))
    };
    let left = |capture: &Value| -> Option<(String, i64)> {
        let (id, taken) = (owned(capture, "/id")?, objects::money(&capture["amount"])?);
        let back = refunds.iter().filter(|refund| is_of(refund, &id)).filter_map(|refund| objects::money(&refund["amount"]));
        let back = back.fold(0_i64, |sum, refund| sum.saturating_add(refund.amount_minor));
        (taken.currency == amount.currency).then_some((id, taken.amount_minor.saturating_sub(back)))
    };
    let mut fits: Vec<String> = objects::payments(order, "captures")
        .into_iter()
        .filter_map(left)
        .filter(|(_, left)| *left >= amount.amount_minor)
        .map(|(id, _)| id)
        .collect();
    let place = fits.iter().position(|id| Some(id.as_str()) == named).unwrap_or(0);
    (place < fits.len()).then(|| fits.swap_remove(place))
}

impl Provider for Paypal {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: true,
            captures_later: true,
            captures_in_parts: true,
            refunds: true,
            refunds_in_parts: true,
            closes_pages: false,
            pays_out: true,
            enquires_names: false,
            tells_float: true,
            reports: true,
            keeps_keys_for: Some(KEYS_KEPT),
            trust: Trust::CheckedLater,
        }
    }

    fn send<'a>(&'a self, client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done> {
        let line = Line { client, account };
        Box::pin(async move {
            let observation = match order {
                Order::OpenPage { .. } => return line.open_page(order).await,
                Order::Complete { reference, provider_ref, capture_method } => {
                    line.complete(reference, provider_ref, *capture_method).await?
                }
                Order::Capture { reference, provider_ref, amount, is_last } => {
                    line.capture(reference, provider_ref, *amount, *is_last).await?
                }
                Order::Void { reference, provider_ref } => line.void(reference, provider_ref).await?,
                Order::Refund { .. } => line.refund(order).await?,
                Order::Payout { .. } => line.payout(order).await?,
                Order::ClosePage { .. } | Order::ConfirmPayout { .. } => {
                    return Err(refused(ErrorClass::NotSupported, "not_done_by_paypal"));
                }
            };
            Ok(Done::Observed(observation))
        })
    }

    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told> {
        let line = Line { client, account };
        Box::pin(async move {
            match question {
                Question::Payment { reference, provider_ref } => line.ask_payment(reference, provider_ref.as_deref()).await,
                Question::Capture { reference, provider_ref } => {
                    let order = line.order(provider_ref).await?.unwrap_or(Value::Null);
                    let captures = objects::payments(&order, "captures");
                    let own = captures.into_iter().find(|capture| text(capture, "/invoice_id") == Some(reference));
                    Ok(own.map_or(Told::NotFound, |capture| Told::Observed(objects::capture(capture))))
                }
                Question::Refund { reference, provider_ref, charge_ref, .. } => {
                    line.ask_refund(reference, provider_ref.as_deref(), charge_ref.as_deref()).await
                }
                Question::Payout { provider_ref, .. } => {
                    // There is no way to ask for a batch by our reference.
                    let Some(id) = provider_ref else { return Ok(Told::NotFound) };
                    Ok(line.batch(id).await?.map_or(Told::NotFound, Told::Observed))
                }
                Question::Float { currency } => line.float(*currency).await,
                Question::Settled { from, until } => line.settled(*from, *until).await,
                Question::Genuine { headers, body } => line.genuine(headers, body).await,
                Question::AccountName { .. } | Question::Charge { .. } => Err(refused(ErrorClass::NotSupported, "not_asked_of_paypal")),
            }
        })
    }

    fn check(&self, account: &Account, webhook: Webhook<'_>, now: Timestamp) -> Result<(), WebhookError> {
        webhook::check(account, webhook, now)
    }

    fn read(&self, _account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError> {
        webhook::read(webhook.body)
    }

    fn report(&self, _account: &Account, bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        report::read(bytes)
    }
}
