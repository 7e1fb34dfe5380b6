//! Monnify's wire format: checkout pages in naira, payouts from a wallet, refunds, settlements.
//! <https://developers.monnify.com/api>
//!
//! Settings: `contract_code`, `source_account` (the wallet that payouts leave), and `payer_email`, which is given where a payer gave
//! none, for Monnify insists on one. Secrets: `api_key`, and `secret_key`, which also signs webhooks. Card numbers are never sent:
//! cards are charged on Monnify's page only.
//!
//! Monnify has no idempotency keys. Our reference is unique there: one that is refused as used already exists, and is asked for.

mod envelope;
mod objects;
mod report;
mod webhook;

use std::time::Duration;

use kernel::{Currency, Money, Timestamp};
use serde::Serialize;
use serde_json::{Value, json};

use crate::client::{Client, Request};
use crate::intent::{CaptureMethod, Observation, Seen};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, Notice, Order, Provider, Question, ReportLine, Told, Trust, Webhook,
    WebhookError,
};
use crate::providers::answers::{self, at_most, owned, part, text};
use crate::units::{self, Exact};
use envelope::{Said, envelope, refusal, refused};

/// A token that Monnify does not say the lifetime of is used so long.
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Lines of one page of a list.
const PAGE_SIZE: usize = 1_000;
/// Settlements of one report, and pages of the lines of one settlement.
const PAGES_MAX: usize = 2_000;
/// Bytes of one report.
const REPORT_BYTES_MAX: usize = 512 << 20;
/// Letters of a narration and of a refund's reason.
const NARRATION_MAX: usize = 100;
const REASON_MAX: usize = 64;
/// What the receiver of a refund reads: at most 16 letters.
const NOTE: &str = "Refund";

/// Monnify.
pub(crate) struct Monnify;

/// Naira, the only currency that Monnify speaks.
fn is_naira(currency: Currency) -> Result<(), Failure> {
    if currency.to_string() == "NGN" { Ok(()) } else { Err(refused(ErrorClass::NotSupported, "currency_not_supported")) }
}

/// At most so many letters, without what could break a line.
fn letters(text: &str, most: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(most).collect()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PageBody<'a> {
    amount: Exact,
    customer_name: &'a str,
    customer_email: &'a str,
    payment_reference: &'a str,
    payment_description: String,
    currency_code: &'static str,
    contract_code: &'a str,
    redirect_url: &'a str,
    meta_data: Value,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PayoutBody<'a> {
    amount: Exact,
    reference: &'a str,
    narration: String,
    destination_bank_code: &'a str,
    destination_account_number: &'a str,
    destination_account_name: &'a str,
    currency: &'static str,
    source_account_number: &'a str,
    #[serde(rename = "async")]
    is_async: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RefundBody<'a> {
    transaction_reference: &'a str,
    refund_reference: &'a str,
    refund_amount: Exact,
    refund_reason: String,
    customer_note: &'static str,
}

/// A conversation with one account.
struct Line<'a> {
    client: &'a Client,
    account: &'a Account,
}

impl Line<'_> {
    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.account.base_url)
    }

    /// A token, kept or fresh. Where that fails nothing of the order itself was sent.
    async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = self.client.token(self.account) {
            return Ok(token);
        }
        let login = Request::post_json(self.url("/api/v1/auth/login"), &json!({}))
            .basic(self.account.secret("api_key")?, self.account.secret("secret_key")?);
        let said = match self.client.call(login).await {
            Ok(answer) => envelope(answer.status, &answer.body),
            Err(failure) => Err(failure),
        };
        let body = match said {
            Ok(Said::Yes(body)) => body,
            Ok(Said::No { .. }) => return Err(refused(ErrorClass::SetUp, "credentials_refused")),
            Err(Failure::Unknown { reason }) => return Err(Failure::NotSent { reason: format!("no token: {reason}") }),
            Err(failure) => return Err(failure),
        };
        let Some(token) = text(&body, "/accessToken") else {
            return Err(Failure::NotSent { reason: "no token: the answer holds none".to_owned() });
        };
        let lifetime = units::minor_of(&body["expiresIn"], 0).and_then(|seconds| u64::try_from(seconds).ok());
        self.client.keep_token(self.account, token, lifetime.map_or(TOKEN_LIFETIME, Duration::from_secs));
        Ok(token.to_owned())
    }

    /// One request under a token; where that one is not taken any more, once more under a fresh one.
    async fn raw(&self, request: Request) -> Result<(u16, bytes::Bytes), Failure> {
        let token = self.token().await?;
        let mut answer = self.client.call(request.clone().bearer(&token)).await?;
        if answer.status == 401 {
            self.client.forget_token(self.account);
            let token = self.token().await?;
            answer = self.client.call(request.bearer(&token)).await?;
        }
        Ok((answer.status, answer.body))
    }

    async fn call(&self, request: Request) -> Result<Said, Failure> {
        let (status, body) = self.raw(request).await?;
        envelope(status, &body)
    }

    async fn post(&self, path: &str, body: &impl Serialize) -> Result<Said, Failure> {
        let body = serde_json::to_vec(body).map_err(|_| Failure::setup("the order could not be written"))?;
        self.call(Request::post(self.url(path), "application/json", body)).await
    }

    /// Looks at something; None where Monnify refuses to know it.
    async fn get(&self, path: &str) -> Result<Option<Value>, Failure> {
        Ok(match self.call(Request::get(self.url(path))).await? {
            Said::Yes(body) => Some(body),
            Said::No { .. } => None,
        })
    }

    /// What became of an order that was refused: the thing, where our reference is known there; else the refusal.
    async fn refused_or_known(&self, code: &str, words: &str, look: &str, read: fn(&Value) -> Observation) -> Result<Observation, Failure> {
        match self.get(look).await {
            Ok(Some(body)) => Ok(read(&body)),
            Ok(None) if Said::is_duplicate(words) => Err(Failure::unknown("the reference is used, and not to be found")),
            Ok(None) => Err(refusal(code, words)),
            Err(_) if !Said::is_duplicate(words) => Err(refusal(code, words)),
            Err(failure) => Err(Failure::unknown(failure.to_string())),
        }
    }

    async fn open_page(&self, order: &Order) -> Result<Done, Failure> {
        let Order::OpenPage { reference, amount, capture_method, description, payer, return_url, .. } = order else {
            return Err(Failure::setup("not a page"));
        };
        is_naira(amount.currency)?;
        if *capture_method == CaptureMethod::Manual {
            return Err(refused(ErrorClass::NotSupported, "captures_at_once_only"));
        }
        let email = payer.email.as_deref().or_else(|| self.account.setting("payer_email").ok());
        let email = email.ok_or_else(|| refused(ErrorClass::NotSupported, "payer_email_needed"))?;
        let body = PageBody {
            amount: Exact(units::major(*amount)),
            customer_name: payer.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(email),
            customer_email: email,
            payment_reference: reference,
            payment_description: if description.is_empty() { reference.clone() } else { letters(description, NARRATION_MAX) },
            currency_code: "NGN",
            contract_code: self.account.setting("contract_code")?,
            redirect_url: return_url,
            meta_data: json!({"reference": reference}),
        };
        match self.post("/api/v1/merchant/transactions/init-transaction", &body).await? {
            Said::Yes(body) => match text(&body, "/checkoutUrl") {
                Some(url) => Ok(Done::Page { provider_ref: owned(&body, "/transactionReference"), url: url.to_owned(), expires_at: None }),
                None => Err(Failure::unknown("a page without an address")),
            },
            Said::No { code, words } => {
                let known = self.refused_or_known(&code, &words, &payment_path(reference), objects::payment).await?;
                page_again(known)
            }
        }
    }

    async fn refund(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Refund { reference, attempt, provider_ref, charge_ref, amount, reason } = order else {
            return Err(Failure::setup("not a refund"));
        };
        is_naira(amount.currency)?;
        let transaction = match [provider_ref.as_str(), charge_ref.as_deref().unwrap_or_default()].into_iter().find(|name| !name.is_empty())
        {
            Some(known) => known.to_owned(),
            // It is looked up by our own; nothing of the refund itself has been sent so far.
            None => match self.get(&payment_path(attempt)).await {
                Err(Failure::Unknown { reason }) => return Err(Failure::NotSent { reason }),
                found => found?
                    .and_then(|payment| owned(&payment, "/transactionReference"))
                    .ok_or_else(|| refused(ErrorClass::InvalidRequest, "nothing_was_paid"))?,
            },
        };
        let reason = reason.as_deref().map(|reason| letters(reason, REASON_MAX)).filter(|reason| !reason.trim().is_empty());
        let body = RefundBody {
            transaction_reference: &transaction,
            refund_reference: reference,
            refund_amount: Exact(units::major(*amount)),
            refund_reason: reason.unwrap_or_else(|| "Refund".to_owned()),
            customer_note: NOTE,
        };
        match self.post("/api/v1/refunds/initiate-refund", &body).await? {
            Said::Yes(body) => Ok(objects::refund(&body)),
            Said::No { code, words } => self.refused_or_known(&code, &words, &refund_path(reference), objects::refund).await,
        }
    }

    async fn payout(&self, order: &Order) -> Result<Observation, Failure> {
        let Order::Payout { reference, amount, destination, narration } = order else { return Err(Failure::setup("not a payout")) };
        is_naira(amount.currency)?;
        let narration = letters(narration, NARRATION_MAX);
        let body = PayoutBody {
            amount: Exact(units::major(*amount)),
            reference,
            narration: if narration.trim().is_empty() { at_most(reference, NARRATION_MAX).to_owned() } else { narration },
            destination_bank_code: &destination.bank_code,
            destination_account_number: &destination.account_number,
            destination_account_name: &destination.account_name,
            currency: "NGN",
            source_account_number: self.account.setting("source_account")?,
            is_async: true,
        };
        match self.post("/api/v2/disbursements/single", &body).await? {
            Said::Yes(body) => Ok(objects::payout(&body)),
            Said::No { code, words } => self.refused_or_known(&code, &words, &payout_path(reference), objects::payout).await,
        }
    }

    /// A one-time password that is not taken leaves the payout as it was: it may still go, so that is never a refusal of it.
    async fn confirm_payout(&self, reference: &str, otp: &str) -> Result<Observation, Failure> {
        let body = json!({"reference": reference, "authorizationCode": otp});
        match self.post("/api/v2/disbursements/single/validate-otp", &body).await? {
            Said::Yes(body) => Ok(objects::payout(&body)),
            Said::No { .. } => match self.get(&payout_path(reference)).await? {
                Some(payout) => Ok(objects::payout(&payout)),
                None => Err(Failure::unknown("a payout that is not to be found")),
            },
        }
    }

    async fn ask_payment(&self, reference: &str, provider_ref: Option<&str>) -> Result<Told, Failure> {
        let mut found = self.get(&payment_path(reference)).await?;
        if let (None, Some(theirs)) = (&found, provider_ref.filter(|theirs| !theirs.is_empty())) {
            found = self.get(&format!("/api/v2/transactions/{}", part(theirs))).await?;
        }
        Ok(observed(found, objects::payment))
    }

    async fn account_name(&self, bank_code: &str, account_number: &str) -> Result<Told, Failure> {
        let (number, bank) = (part(account_number), part(bank_code));
        let found = self.get(&format!("/api/v1/disbursements/account/validate?accountNumber={number}&bankCode={bank}")).await?;
        let name = found.and_then(|account| owned(&account, "/accountName"));
        Ok(name.map_or(Told::NotFound, Told::AccountName))
    }

    async fn float(&self, currency: Currency) -> Result<Told, Failure> {
        is_naira(currency)?;
        let source = part(self.account.setting("source_account")?);
        let wallet = self.get(&format!("/api/v2/disbursements/wallet-balance?accountNumber={source}")).await?;
        let left = wallet.and_then(|wallet| units::minor_of(&wallet["availableBalance"], 2));
        left.map(|left| Told::Float(Money::new(left, currency))).ok_or_else(|| Failure::unknown("a wallet without a balance"))
    }

    /// A page of a list as it came, and how many pages there are.
    async fn page(&self, path: &str, page: usize) -> Result<(Value, bytes::Bytes), Failure> {
        let url = self.url(&format!("{path}&page={page}&size={PAGE_SIZE}"));
        let (status, bytes) = self.raw(Request::get(url).for_report()).await?;
        match envelope(status, &bytes)? {
            Said::Yes(body) => Ok((body, bytes)),
            Said::No { code, words } => Err(refusal(&code, &words)),
        }
    }

    /// The settlements of a time, each page of their lines as it came.
    async fn settled(&self, from: Timestamp, until: Timestamp) -> Result<Told, Failure> {
        let until = until.as_millis().saturating_sub(1);
        let list = format!("/api/v1/settlements?from={}&to={until}", from.as_millis());
        let mut settlements = Vec::new();
        for page in 0.. {
            if page >= PAGES_MAX || settlements.len() > PAGES_MAX {
                return Err(Failure::setup("the time has too many settlements for one report: ask for a shorter one"));
            }
            let (body, _) = self.page(&list, page).await?;
            settlements.extend(report::contents(&body).iter().filter_map(|batch| owned(batch, "/settlementReference")));
            if report::is_last(&body) {
                break;
            }
        }
        let mut report = report::Report::default();
        for settlement in settlements {
            let lines = format!("/api/v1/transactions/find-by-settlement-reference?reference={}", part(&settlement));
            for page in 0.. {
                if page >= PAGES_MAX || report.len() > REPORT_BYTES_MAX {
                    return Err(Failure::setup("the time has too many lines for one report: ask for a shorter one"));
                }
                let (body, raw) = self.page(&lines, page).await?;
                report.add(&settlement, &raw);
                if report::is_last(&body) {
                    break;
                }
            }
        }
        Ok(Told::Report(report.end()))
    }
}

/// A page that exists already: its address was told once, and only what became of it can still be learned.
fn page_again(known: Observation) -> Result<Done, Failure> {
    match known.seen {
        Seen::WaitsForPerson => Err(Failure::unknown("the page exists, and its address was told before")),
        _ => Ok(Done::Observed(known)),
    }
}

fn payment_path(reference: &str) -> String {
    format!("/api/v2/merchant/transactions/query?paymentReference={}", part(reference))
}

fn refund_path(reference: &str) -> String {
    format!("/api/v1/refunds/{}", part(reference))
}

fn payout_path(reference: &str) -> String {
    format!("/api/v2/disbursements/single/summary?reference={}", part(reference))
}

fn observed(found: Option<Value>, read: fn(&Value) -> Observation) -> Told {
    found.map_or(Told::NotFound, |found| Told::Observed(read(&found)))
}

impl Provider for Monnify {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: true,
            captures_later: false,
            captures_in_parts: false,
            refunds: true,
            refunds_in_parts: true,
            closes_pages: false,
            pays_out: true,
            enquires_names: true,
            tells_float: true,
            reports: true,
            keeps_keys_for: None,
            trust: Trust::Signed,
        }
    }

    fn send<'a>(&'a self, client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done> {
        let line = Line { client, account };
        Box::pin(async move {
            match order {
                Order::OpenPage { .. } => line.open_page(order).await,
                Order::Refund { .. } => line.refund(order).await.map(Done::Observed),
                Order::Payout { .. } => line.payout(order).await.map(Done::Observed),
                Order::ConfirmPayout { reference, otp } => line.confirm_payout(reference, otp).await.map(Done::Observed),
                Order::ClosePage { .. } | Order::Complete { .. } | Order::Capture { .. } | Order::Void { .. } => {
                    Err(refused(ErrorClass::NotSupported, "not_with_monnify"))
                }
            }
        })
    }

    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told> {
        let line = Line { client, account };
        Box::pin(async move {
            match question {
                Question::Payment { reference, provider_ref } => line.ask_payment(reference, provider_ref.as_deref()).await,
                Question::Charge { provider_ref } => {
                    let found = line.get(&format!("/api/v2/transactions/{}", part(provider_ref))).await?;
                    Ok(observed(found, objects::payment))
                }
                Question::Refund { reference, .. } => Ok(observed(line.get(&refund_path(reference)).await?, objects::refund)),
                Question::Payout { reference, .. } => Ok(observed(line.get(&payout_path(reference)).await?, objects::payout)),
                Question::AccountName { bank_code, account_number } => line.account_name(bank_code, account_number).await,
                Question::Float { currency } => line.float(*currency).await,
                Question::Settled { from, until } => line.settled(*from, *until).await,
                Question::Capture { .. } | Question::Genuine { .. } => Err(refused(ErrorClass::NotSupported, "not_with_monnify")),
            }
        })
    }

    fn check(&self, account: &Account, webhook: Webhook<'_>, _now: Timestamp) -> Result<(), WebhookError> {
        webhook::check(account, webhook)
    }

    fn read(&self, _account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError> {
        webhook::read(&answers::webhook_body(webhook.body)?)
    }

    fn report(&self, _account: &Account, bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        report::read(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_is_written_as_a_number_with_exactly_its_digits() {
        let body = PayoutBody {
            amount: Exact(units::major(Money::new(9_007_199_254_740_993, Currency::parse("NGN").unwrap()))),
            reference: "pyo_1",
            narration: letters("Rent\nof May", NARRATION_MAX),
            destination_bank_code: "058",
            destination_account_number: "0123456789",
            destination_account_name: "ADA",
            currency: "NGN",
            source_account_number: "8000000001",
            is_async: true,
        };
        let text = serde_json::to_string(&body).unwrap();
        assert!(text.contains("\"amount\":90071992547409.93,"), "{text}");
        assert!(text.contains("\"narration\":\"Rentof May\"") && text.contains("\"async\":true"), "{text}");
    }

    #[test]
    fn other_currencies_are_refused_before_anything_is_sent() {
        assert!(is_naira(Currency::parse("NGN").unwrap()).is_ok());
        assert_eq!(is_naira(Currency::parse("USD").unwrap()), Err(refused(ErrorClass::NotSupported, "currency_not_supported")));
    }
}
