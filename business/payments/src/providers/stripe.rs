//! Stripe's wire format: Checkout for pages, payment intents behind them, refunds, payouts, balance transactions.
//! <https://docs.stripe.com/api>
//!
//! Secrets: `api_key`, and `webhook_secret`, a text or, while it is rotated, an array of texts. Money is paid out to bank accounts that are
//! registered with Stripe: the destination's account number is its identifier there (`ba_…`), or `default`.

mod errors;
mod objects;
mod report;
mod webhook;

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderName;
use kernel::{Id as _, Money, Timestamp};
use serde_json::Value;

use crate::client::{Client, Request};
use crate::intent::{AttemptId, CaptureMethod, Observation};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, Notice, Order, Provider, Question, ReportLine, Told, Trust, Webhook,
    WebhookError,
};
use crate::providers::answers::{self, at_most, one_or_many, owned, part, text};
use crate::units;

/// The version of the interface that this file speaks.
const VERSION: &str = "2024-06-20";
/// Keys are kept for at least 24 hours (<https://docs.stripe.com/api/idempotent_requests>); an hour is left for clocks that differ.
const KEYS_KEPT: Duration = Duration::from_secs(23 * 3_600);
/// A session lives at least 30 minutes and at most 24 hours from its creation; counted from when the attempt began, with some room.
const PAGE_LEAST: Duration = Duration::from_secs(40 * 60);
const PAGE_MOST: Duration = Duration::from_secs(23 * 3_600);
/// Things of one page of a list.
const LIST_MAX: usize = 100;
/// Pages of one report: a hundred thousand balance transactions.
const PAGES_MAX: usize = 1_000;

/// Stripe.
pub(crate) struct Stripe;

/// A form, field by field.
type Form = Vec<(String, String)>;

fn field(name: impl Into<String>, value: impl Into<String>) -> (String, String) {
    (name.into(), value.into())
}

struct Line<'a> {
    client: &'a Client,
    account: &'a Account,
}

impl Line<'_> {
    async fn call(&self, request: Request) -> Result<(u16, Option<Value>), Failure> {
        let version = HeaderName::from_static("stripe-version");
        let answer = self.client.call(request.bearer(self.account.secret("api_key")?).header(version, VERSION)).await?;
        let body = answers::body(&answer);
        if answer.is_success() { body.map(|body| (answer.status, Some(body))) } else { Ok((answer.status, body.ok())) }
    }

    /// Does something, under a key where there is one.
    async fn post(&self, path: &str, key: Option<String>, form: Form) -> Result<Value, Failure> {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = Request::post(format!("{}{path}", self.account.base_url), "application/x-www-form-urlencoded", form);
        if let Some(key) = key {
            request = request.header(HeaderName::from_static("idempotency-key"), key);
        }
        match self.call(request).await? {
            (200..=299, Some(body)) => Ok(body),
            (status, body) => Err(errors::failure(status, body.as_ref())),
        }
    }

    /// Looks at something; None where Stripe says that it is not there.
    async fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        self.look(Request::get(format!("{}{path}", self.account.base_url))).await
    }

    async fn look(&self, request: Request) -> Result<Option<Value>, Failure> {
        match self.call(request).await? {
            (200..=299, body) => Ok(body),
            (404, Some(body)) if body.get("error").is_some() => Ok(None),
            (status, body) => Err(errors::failure(status, body.as_ref())),
        }
    }

    /// The payment intent behind a page, or the one that is named.
    async fn payment_intent(&self, provider_ref: &str) -> Result<Option<Value>, Failure> {
        if !provider_ref.starts_with("cs_") {
            return self.get(&format!("/v1/payment_intents/{}", part(provider_ref))).await;
        }
        let session = self.session(provider_ref).await?;
        Ok(session.map(|session| session["payment_intent"].clone()).filter(Value::is_object))
    }

    /// A page with the payment intent behind it, which is asked for by itself where the page names it only.
    async fn session(&self, id: &str) -> Result<Option<Value>, Failure> {
        let session = self.get(&format!("/v1/checkout/sessions/{}?expand%5B%5D=payment_intent", part(id))).await?;
        let Some(mut session) = session else { return Ok(None) };
        if let Some(name) = owned(&session, "/payment_intent") {
            let intent = self.get(&format!("/v1/payment_intents/{}", part(&name))).await?;
            session["payment_intent"] = intent.ok_or_else(|| Failure::unknown("a page whose payment is not there"))?;
        }
        Ok(Some(session))
    }

    /// The name of a payment intent, for something that is to be done with it; nothing of that has been sent so far.
    async fn intent_name(&self, provider_ref: &str) -> Result<String, Failure> {
        if !provider_ref.starts_with("cs_") {
            return Ok(provider_ref.to_owned());
        }
        let session = match self.session(provider_ref).await {
            Err(Failure::Unknown { reason }) => return Err(Failure::NotSent { reason }),
            other => other?,
        };
        let name = session.as_ref().and_then(|session| objects::id_at(session, "payment_intent"));
        name.ok_or_else(|| Failure::Refused { class: ErrorClass::InvalidRequest, code: "nothing_was_paid".to_owned() })
    }

    async fn open_page(&self, order: &Order) -> Result<Done, Failure> {
        let Order::OpenPage { reference, amount, capture_method, description, payer, return_url, expires_at, .. } = order else {
            return Err(Failure::setup("not a page"));
        };
        let price = "line_items[0][price_data]";
        let mut form = vec![
            field("mode", "payment"),
            field("client_reference_id", reference),
            field("metadata[reference]", reference),
            field("payment_intent_data[metadata][reference]", reference),
            field("line_items[0][quantity]", "1"),
            field(format!("{price}[currency]"), amount.currency.to_string().to_ascii_lowercase()),
            field(format!("{price}[unit_amount]"), objects::units_of(*amount)?.to_string()),
            field(format!("{price}[product_data][name]"), if description.is_empty() { "Payment" } else { at_most(description, 200) }),
            field("success_url", return_url),
            field("cancel_url", return_url),
        ];
        if *capture_method == CaptureMethod::Manual {
            form.push(field("payment_intent_data[capture_method]", "manual"));
        }
        if let Some(email) = payer.email.as_deref() {
            form.push(field("customer_email", email));
        }
        // Counted from when the attempt began, not from now: sent again under its key, the order must be the same.
        if let (Some(end), Some(began)) = (*expires_at, AttemptId::parse(reference).ok().map(began)) {
            form.push(field("expires_at", end.clamp(began.plus(PAGE_LEAST), began.plus(PAGE_MOST)).as_seconds().to_string()));
        }
        let session = self.post("/v1/checkout/sessions", Some(reference.clone()), form).await?;
        match (owned(&session, "/id"), owned(&session, "/url")) {
            (Some(id), Some(url)) => Ok(Done::Page {
                provider_ref: Some(id),
                url,
                expires_at: units::minor_of(&session["expires_at"], 0).map(Timestamp::from_seconds),
            }),
            // Sent again after it had ended: it has no address any more.
            (Some(_), None) => Ok(Done::Observed(objects::session(&session))),
            _ => Err(Failure::unknown("a page without an identifier")),
        }
    }

    async fn close_page(&self, id: &str) -> Result<Observation, Failure> {
        match self.post(&format!("/v1/checkout/sessions/{}/expire", part(id)), None, Form::new()).await {
            Ok(session) => Ok(objects::session(&session)),
            // It is not open any more: what became of it counts.
            Err(Failure::Refused { class: ErrorClass::InvalidRequest, code }) => match self.session(id).await? {
                Some(session) => Ok(objects::session(&session)),
                None => Err(Failure::Refused { class: ErrorClass::InvalidRequest, code }),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn capture(&self, reference: &str, provider_ref: &str, amount: Money, is_last: bool) -> Result<Observation, Failure> {
        let units = objects::units_of(amount)?.to_string();
        let name = self.intent_name(provider_ref).await?;
        // Written at the intent with the effect, so that it can be found there again.
        let mut form = vec![field("amount_to_capture", &units), field(format!("metadata[{reference}]"), &units)];
        if !is_last {
            form.push(field("final_capture", "false"));
        }
        let intent = self.post(&format!("/v1/payment_intents/{}/capture", part(&name)), Some(reference.to_owned()), form).await?;
        objects::capture(&intent, reference).ok_or_else(|| Failure::unknown("an answer that does not know the capture"))
    }

    async fn void(&self, reference: &str, provider_ref: &str) -> Result<Observation, Failure> {
        let name = self.intent_name(provider_ref).await?;
        let path = format!("/v1/payment_intents/{}/cancel", part(&name));
        match self.post(&path, Some(format!("{reference}-void")), Form::new()).await {
            Ok(intent) => Ok(objects::payment_intent(&intent)),
            Err(Failure::Refused { class: ErrorClass::InvalidRequest, code }) => {
                let intent = self.payment_intent(&name).await?.unwrap_or(Value::Null);
                let is_voided = text(&intent, "/status") == Some("canceled");
                if is_voided {
                    Ok(objects::payment_intent(&intent))
                } else {
                    Err(Failure::Refused { class: ErrorClass::InvalidRequest, code })
                }
            }
            Err(failure) => Err(failure),
        }
    }

    async fn refund(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Refund { reference, attempt, provider_ref, charge_ref, amount, reason } = order else {
            return Err(Failure::setup("not a refund"));
        };
        let units = objects::units_of(*amount)?.to_string();
        let charge = match charge_ref.as_deref().unwrap_or(provider_ref) {
            page if page.starts_with("cs_") => self.intent_name(page).await?,
            charge => charge.to_owned(),
        };
        let kind = if charge.starts_with("pi_") { "payment_intent" } else { "charge" };
        let mut form =
            vec![field(kind, charge), field("amount", units), field("metadata[reference]", reference), field("metadata[attempt]", attempt)];
        if let Some(reason) = reason.as_deref().filter(|reason| !reason.is_empty()) {
            form.push(field("metadata[reason]", at_most(reason, 400)));
        }
        Ok(objects::refund(&self.post("/v1/refunds", Some(reference.clone()), form).await?))
    }

    async fn payout(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Payout { reference, amount, destination, narration } = order else { return Err(Failure::setup("not a payout")) };
        let mut form = vec![
            field("amount", objects::units_of(*amount)?.to_string()),
            field("currency", amount.currency.to_string().to_ascii_lowercase()),
            field("description", at_most(narration, 400)),
            field("metadata[reference]", reference),
        ];
        match destination.account_number.as_str() {
            "default" => {}
            account if account.starts_with("ba_") || account.starts_with("card_") => form.push(field("destination", account)),
            _ => return Err(Failure::Refused { class: ErrorClass::NotSupported, code: "account_not_registered_with_stripe".to_owned() }),
        }
        Ok(objects::payout(&self.post("/v1/payouts", Some(reference.clone()), form).await?))
    }

    /// The thing of a list whose reference is ours.
    async fn find(&self, path: &str, reference: &str) -> Result<Option<Value>, Failure> {
        let list = self.get(path).await?.unwrap_or(Value::Null);
        Ok(one_or_many(&list["data"]).iter().find(|thing| text(thing, "/metadata/reference") == Some(reference)).cloned())
    }

    async fn ask_payment(&self, reference: &str, provider_ref: Option<&str>) -> Result<Told, Failure> {
        let told = match provider_ref {
            Some(id) if id.starts_with("cs_") => self.session(id).await?.map(|session| objects::session(&session)),
            Some(id) => self.payment_intent(id).await?.map(|intent| objects::payment_intent(&intent)),
            None => {
                // The search lags behind by up to a minute: not found proves nothing.
                let query = part(&format!("metadata[\"reference\"]:\"{}\"", reference.replace(['"', '\\'], "")));
                let path = format!("/v1/payment_intents/search?query={query}&limit=10");
                self.find(&path, reference).await?.map(|intent| objects::payment_intent(&intent))
            }
        };
        Ok(told.map_or(Told::NotFound, Told::Observed))
    }

    async fn ask_refund(&self, reference: &str, provider_ref: Option<&str>, charge_ref: Option<&str>) -> Result<Told, Failure> {
        let refund = match (provider_ref, charge_ref) {
            (Some(id), _) => self.get(&format!("/v1/refunds/{}", part(id))).await?,
            (None, Some(charge)) => {
                let kind = if charge.starts_with("pi_") { "payment_intent" } else { "charge" };
                self.find(&format!("/v1/refunds?{kind}={}&limit={LIST_MAX}", part(charge)), reference).await?
            }
            (None, None) => self.find(&format!("/v1/refunds?limit={LIST_MAX}"), reference).await?,
        };
        Ok(refund.map_or(Told::NotFound, |refund| Told::Observed(objects::refund(&refund))))
    }

    async fn float(&self, currency: kernel::Currency) -> Result<Told, Failure> {
        let balance = self.get("/v1/balance").await?.ok_or_else(|| Failure::unknown("no balance"))?;
        let mut float = Money::new(0, currency);
        let parts = balance.get("available").and_then(Value::as_array).ok_or_else(|| Failure::unknown("a balance without amounts"))?;
        for entry in parts.iter().filter(|entry| units::currency_of(&entry["currency"]) == Some(currency)) {
            let amount =
                objects::money(&entry["amount"], &entry["currency"]).ok_or_else(|| Failure::unknown("a balance that is no amount"))?;
            float = float.plus(amount).map_err(|_| Failure::unknown("a balance beyond all bounds"))?;
        }
        Ok(Told::Float(float))
    }

    /// Every page of a list of balance transactions, one after the other.
    async fn balance_transactions(&self, filter: &str) -> Result<Vec<Value>, Failure> {
        let (mut all, mut after) = (Vec::new(), String::new());
        for _ in 0..PAGES_MAX {
            let path = format!("/v1/balance_transactions?{filter}&limit={LIST_MAX}{after}");
            let request = Request::get(format!("{}{path}", self.account.base_url)).for_report();
            let mut page = self.look(request).await?.ok_or_else(|| Failure::unknown("no list"))?;
            let lines = page.get_mut("data").and_then(Value::as_array_mut).ok_or_else(|| Failure::unknown("a list without lines"))?;
            let last = lines.last().and_then(|line| owned(line, "/id"));
            all.append(lines);
            match last {
                Some(last) if page["has_more"] == Value::Bool(true) => after = format!("&starting_after={}", part(&last)),
                _ => return Ok(all),
            }
        }
        Err(Failure::Refused { class: ErrorClass::InvalidRequest, code: "the time has more than 100000 balance transactions".to_owned() })
    }

    /// Balance transactions of a time, one array of all pages; each names the automatic payout that settled it, where that is of
    /// this time too. Of a payout that was asked for by hand Stripe does not say what it settles.
    async fn settled(&self, from: Timestamp, until: Timestamp) -> Result<Told, Failure> {
        let time = format!("created%5Bgte%5D={}&created%5Blt%5D={}", from.as_seconds(), until.as_seconds());
        let mut all = self.balance_transactions(&format!("{time}&expand%5B%5D=data.source")).await?;
        let payouts = all.iter().filter(|line| line.pointer("/source/automatic") == Some(&Value::Bool(true)));
        let payouts: Vec<String> = payouts.filter_map(|line| owned(line, "/source/id")).collect();
        let mut settled_by = HashMap::new();
        for payout in payouts {
            for line in self.balance_transactions(&format!("payout={}", part(&payout))).await? {
                settled_by.extend(owned(&line, "/id").map(|line| (line, payout.clone())));
            }
        }
        for line in &mut all {
            if let Some(payout) = owned(line, "/id").and_then(|id| settled_by.remove(&id)) {
                line["payout"] = Value::String(payout);
            }
        }
        serde_json::to_vec(&all).map(Told::Report).map_err(|_| Failure::unknown("a list that cannot be kept"))
    }
}

/// When an attempt began: its identifier says so.
fn began(attempt: AttemptId) -> Timestamp {
    Timestamp::from_millis(i64::try_from(attempt.raw().bits() >> 80).unwrap_or_default())
}

impl Provider for Stripe {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: true,
            captures_later: true,
            captures_in_parts: true,
            refunds: true,
            refunds_in_parts: true,
            closes_pages: true,
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
            let observation = match order {
                Order::OpenPage { .. } => return line.open_page(order).await,
                Order::ClosePage { provider_ref } => line.close_page(provider_ref).await?,
                // Nothing is left to us: what became of it counts.
                Order::Complete { reference, provider_ref, .. } => match line.ask_payment(reference, Some(provider_ref)).await? {
                    Told::Observed(observation) => observation,
                    _ => return Err(Failure::unknown("a page that is not there")),
                },
                Order::Capture { reference, provider_ref, amount, is_last } => {
                    line.capture(reference, provider_ref, *amount, *is_last).await?
                }
                Order::Void { reference, provider_ref } => line.void(reference, provider_ref).await?,
                Order::Refund { .. } => line.refund(order).await?,
                Order::Payout { .. } => line.payout(order).await?,
                Order::ConfirmPayout { .. } => {
                    return Err(Failure::Refused { class: ErrorClass::NotSupported, code: "no_passwords".to_owned() });
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
                    let intent = line.payment_intent(provider_ref).await?.unwrap_or(Value::Null);
                    Ok(objects::capture(&intent, reference).map_or(Told::NotFound, Told::Observed))
                }
                Question::Refund { reference, provider_ref, charge_ref, .. } => {
                    line.ask_refund(reference, provider_ref.as_deref(), charge_ref.as_deref()).await
                }
                Question::Payout { reference, provider_ref } => {
                    let payout = match provider_ref {
                        Some(id) => line.get(&format!("/v1/payouts/{}", part(id))).await?,
                        None => line.find(&format!("/v1/payouts?limit={LIST_MAX}"), reference).await?,
                    };
                    Ok(payout.map_or(Told::NotFound, |payout| Told::Observed(objects::payout(&payout))))
                }
                Question::Float { currency } => line.float(*currency).await,
                Question::Settled { from, until } => line.settled(*from, *until).await,
                Question::AccountName { .. } | Question::Genuine { .. } | Question::Charge { .. } => {
                    Err(Failure::Refused { class: ErrorClass::NotSupported, code: "not_asked_of_stripe".to_owned() })
                }
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
