//! Zenith Bank's GlobalPay: a link where somebody pays, and a query. All of it is UNVERIFIED: it comes from public client code, for
//! the bank publishes nothing; words and codes that are not listed here change no payment.
//!
//! Settings: `payer_email`, which is given where a payer gave none, and `currency`, which is that of answers that name none; without it
//! such an answer credits nothing. Secrets: `api_key`. Nothing is known of refunds, captures, payouts
//! or reports, so none of them is offered. Webhooks are not signed: one is a hint to ask, and what is asked for is compared.

use http::HeaderName;
use kernel::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::client::{Client, Request};
use crate::intent::{CaptureMethod, Observation, Seen};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, Notice, Order, Provider, Question, ReportLine, Told, Trust, Webhook,
    WebhookError,
};
use crate::providers::answers::{self, cut, one_or_many, owned, part, text};
use crate::units::{self, Exact};

/// The code of success.
const DONE: &str = "0000";

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Paid,
    Waits,
    Not(ErrorClass),
    Over,
}

/// Words of payments, in small letters: the capitals differ from answer to answer. What is not listed means that the bank is at it.
const WORDS: &[(&str, Meaning)] = &[
    ("successful", Meaning::Paid),
    ("success", Meaning::Paid),
    ("pending", Meaning::Waits),
    ("initiated", Meaning::Waits),
    ("failed", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("declined", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("insufficient funds", Meaning::Not(ErrorClass::DeclinedHard)),
    ("cancelled", Meaning::Not(ErrorClass::PayerAction)),
    ("abandoned", Meaning::Over),
    ("expired", Meaning::Over),
];

/// Zenith Bank's GlobalPay.
pub(crate) struct Zenith;

fn refused(class: ErrorClass, code: &str) -> Failure {
    Failure::Refused { class, code: code.to_owned() }
}

/// How a payment stands, as a query tells it; in the currency of the account where it names none.
fn payment(account: &Account, payment: &Value) -> Observation {
    let word = text(payment, "/transactionStatus").or_else(|| text(payment, "/paymentStatus")).unwrap_or_default();
    let meaning = WORDS.iter().find(|(known, _)| *known == word.trim().to_lowercase()).map(|(_, meaning)| *meaning);
    let named = [&payment["currency"], &payment["currencyCode"], &account.settings["currency"]].into_iter().find(|name| name.is_string());
    let amount = named.and_then(|currency| units::money(&payment["amountPaid"], currency));
    let seen = match meaning {
        // A payment that does not say how much of what was paid proves nothing: it stays open for a person to look at.
        Some(Meaning::Paid) => Seen::Succeeded { amount, crypto_amount: None },
        Some(Meaning::Waits) => Seen::WaitsForPerson,
        Some(Meaning::Not(class)) => Seen::Declined { class, code: cut(word) },
        Some(Meaning::Over) => Seen::Expired,
        None => Seen::Pending,
    };
    let theirs = owned(payment, "/txnref").or_else(|| owned(payment, "/transactionReference"));
    Observation { seen, provider_ref: theirs.clone(), charge_ref: theirs }
}

/// The payload of an answer: `data` or `Data`, itself or a list of one.
fn payload(body: &Value) -> Option<&Value> {
    let data = ["data", "Data"].into_iter().map(|name| &body[name]).find(|data| !data.is_null())?;
    one_or_many(data).first().filter(|data| data.is_object())
}

/// What was answered.
enum Said {
    Yes(Value),
    No(String),
}

/// Reads an answer: a refusal may come with a status of success.
fn said(status: u16, bytes: &[u8]) -> Result<Said, Failure> {
    match status {
        401 | 403 => return Err(refused(ErrorClass::SetUp, "api_key_refused")),
        429 => return Err(refused(ErrorClass::RateLimited, "429")),
        500.. => return Err(Failure::unknown(format!("status {status}"))),
        _ => {}
    }
    let body = units::exact(bytes).filter(|body| body["isSuccessful"].is_boolean());
    let body = body.ok_or_else(|| Failure::unknown(format!("an answer with status {status} that is not GlobalPay's")))?;
    let code = text(&body, "/responseCode").unwrap_or("no_code");
    if body["isSuccessful"] == Value::Bool(false) {
        let words = text(&body, "/error").or_else(|| text(&body, "/successMessage")).unwrap_or_default();
        return Ok(Said::No(cut(&format!("{code}: {words}"))));
    }
    match payload(&body) {
        Some(data) if status < 300 && code == DONE => Ok(Said::Yes(data.clone())),
        _ => Err(Failure::unknown(format!("an answer with status {status} and the code {} that contradicts itself", cut(code)))),
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Customer<'a> {
    first_name: &'a str,
    last_name: &'a str,
    currency: String,
    phone_number: &'a str,
    address: &'a str,
    email_address: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkBody<'a> {
    amount: Exact,
    merchant_transaction_reference: &'a str,
    redirect_url: &'a str,
    customer: Customer<'a>,
}

struct Line<'a> {
    client: &'a Client,
    account: &'a Account,
}

impl Line<'_> {
    async fn call(&self, request: Request) -> Result<Said, Failure> {
        let request = request.header(HeaderName::from_static("apikey"), self.account.secret("api_key")?);
        let answer = self.client.call(request.header(HeaderName::from_static("language"), "en")).await?;
        said(answer.status, &answer.body)
    }

    /// A payment by our reference; None where the bank refuses to know it.
    async fn find(&self, reference: &str) -> Result<Option<Value>, Failure> {
        let path = "paymentgateway/query-single-transaction-by-merchant-reference";
        Ok(match self.call(Request::get(format!("{}/{path}/{}", self.account.base_url, part(reference)))).await? {
            // The answer is about what was asked for, or it is none.
            Said::Yes(payment) if text(&payment, "/merchantTxnref").is_none_or(|named| named == reference) => Some(payment),
            Said::Yes(_) => return Err(Failure::unknown("an answer about another payment")),
            Said::No(_) => None,
        })
    }

    async fn open_page(&self, order: &Order) -> Result<Done, Failure> {
        let Order::OpenPage { reference, amount, capture_method, payer, return_url, .. } = order else {
            return Err(Failure::setup("not a page"));
        };
        if *capture_method == CaptureMethod::Manual {
            return Err(refused(ErrorClass::NotSupported, "captures_at_once_only"));
        }
        let email = payer.email.as_deref().or_else(|| self.account.setting("payer_email").ok());
        let email = email.ok_or_else(|| refused(ErrorClass::NotSupported, "payer_email_needed"))?;
        let name = payer.name.as_deref().map(str::trim).filter(|name| !name.is_empty()).unwrap_or("Customer");
        let (first_name, last_name) = name.rsplit_once(' ').unwrap_or((name, name));
        let body = LinkBody {
            amount: Exact(units::major(*amount)),
            merchant_transaction_reference: reference,
            redirect_url: return_url,
            customer: Customer {
                first_name: first_name.trim(),
                last_name,
                currency: amount.currency.to_string(),
                phone_number: payer.phone.as_deref().unwrap_or_default(),
                address: "",
                email_address: email,
            },
        };
        let body = serde_json::to_vec(&body).map_err(|_| Failure::setup("the order could not be written"))?;
        let url = format!("{}/paymentgateway/generate-payment-link", self.account.base_url);
        match self.call(Request::post(url, "application/json", body)).await? {
            Said::Yes(link) => match text(&link, "/checkoutUrl") {
                Some(url) => Ok(Done::Page { provider_ref: owned(&link, "/transactionReference"), url: url.to_owned(), expires_at: None }),
                None => Err(Failure::unknown("a link without an address")),
            },
            // A reference that was used before is refused like anything else; whether it is known says which it was.
            Said::No(code) => match self.find(reference).await {
                Ok(Some(known)) => match payment(self.account, &known) {
                    Observation { seen: Seen::WaitsForPerson, .. } => {
                        Err(Failure::unknown("the link exists, and its address was told before"))
                    }
                    known => Ok(Done::Observed(known)),
                },
                Ok(None) => Err(Failure::Refused { class: ErrorClass::InvalidRequest, code }),
                Err(failure) => Err(Failure::unknown(failure.to_string())),
            },
        }
    }
}

impl Provider for Zenith {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: true,
            captures_later: false,
            captures_in_parts: false,
            refunds: false,
            refunds_in_parts: false,
            closes_pages: false,
            pays_out: false,
            enquires_names: false,
            tells_float: false,
            reports: false,
            keeps_keys_for: None,
            trust: Trust::Hint,
        }
    }

    fn send<'a>(&'a self, client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done> {
        let line = Line { client, account };
        Box::pin(async move {
            match order {
                Order::OpenPage { .. } => line.open_page(order).await,
                _ => Err(refused(ErrorClass::NotSupported, "not_with_globalpay")),
            }
        })
    }

    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told> {
        let line = Line { client, account };
        Box::pin(async move {
            match question {
                Question::Payment { reference, .. } => {
                    Ok(line.find(reference).await?.map_or(Told::NotFound, |known| Told::Observed(payment(account, &known))))
                }
                _ => Err(refused(ErrorClass::NotSupported, "not_with_globalpay")),
            }
        })
    }

    /// Nothing is signed, so that nothing can be checked.
    fn check(&self, _account: &Account, _webhook: Webhook<'_>, _now: Timestamp) -> Result<(), WebhookError> {
        Ok(())
    }

    /// Whatever it says, it only says that something changed.
    fn read(&self, _account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError> {
        let body = answers::webhook_body(webhook.body)?;
        let said = payload(&body).unwrap_or(&body);
        let reference = ["/merchantTxnref", "/merchantTransactionReference"].into_iter().find_map(|name| owned(said, name));
        let Some(reference) = reference else { return Ok(Vec::new()) };
        Ok(vec![Notice { reference: Some(reference), provider_ref: None, observation: Observation::of(Seen::Changed) }])
    }

    fn report(&self, _account: &Account, _bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        Err(WebhookError::Unreadable("GlobalPay has no reports that could be read".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Currency, Money};
    use proptest::prelude::*;
    use serde_json::json;

    fn account() -> Account {
        Account {
            id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            base_url: String::new(),
            settings: json!({}),
            secrets: json!({"api_key": "secret"}),
        }
    }

    fn yes(body: &str) -> Option<Value> {
        match said(200, body.as_bytes()) {
            Ok(Said::Yes(data)) => Some(data),
            _ => None,
        }
    }

    #[test]
    fn the_payload_is_found_under_both_its_names_and_in_a_list_of_one() {
        for data in [r#""data":{"a":"1"}"#, r#""Data":{"a":1}"#, r#""data":null,"Data":[{"a":1}]"#, r#""data":[{"a":"1"}]"#] {
            let body = format!("{{{data},\"responseCode\":\"0000\",\"isSuccessful\":true,\"error\":null}}");
            assert_eq!(yes(&body), Some(json!({"a": "1"})), "{data}");
        }
        for data in [r#""data":[]"#, r#""data":"x""#, r#""other":{}"#] {
            assert_eq!(yes(&format!("{{{data},\"responseCode\":\"0000\",\"isSuccessful\":true}}")), None, "{data}");
        }
        assert_eq!(yes(r#"{"data":{"a":1},"responseCode":"0001","isSuccessful":true}"#), None);
    }

    #[test]
    fn a_refusal_with_a_status_of_success_is_one_and_a_broken_answer_is_unknown() {
        let no = br#"{"data":null,"responseCode":"0400","isSuccessful":false,"error":"amount is wrong"}"#;
        for status in [200, 400] {
            assert!(matches!(said(status, no), Ok(Said::No(code)) if code == "0400: amount is wrong"));
        }
        assert!(matches!(said(401, no), Err(Failure::Refused { class: ErrorClass::SetUp, .. })));
        assert!(matches!(said(429, b""), Err(Failure::Refused { class: ErrorClass::RateLimited, .. })));
        for (status, body) in [(500, &no[..]), (200, b"<html>"), (200, b"{}"), (404, b"[]")] {
            assert!(matches!(said(status, body), Err(Failure::Unknown { .. })), "{status}");
        }
    }

    #[test]
    fn every_word_has_its_meaning_under_both_names_and_a_new_one_means_pending() {
        let seen = |name: &str, word: &str| {
            payment(&account(), &json!({name: word, "amountPaid": "100.5", "amountFromMerchant": "200", "currency": "NGN"})).seen
        };
        let amount = Money::new(10_050, Currency::parse("NGN").unwrap());
        for name in ["transactionStatus", "paymentStatus"] {
            assert_eq!(seen(name, "Successful"), Seen::Succeeded { amount: Some(amount), crypto_amount: None });
            assert_eq!(seen(name, "Pending"), Seen::WaitsForPerson);
            assert_eq!(seen(name, "Expired"), Seen::Expired);
            assert_eq!(seen(name, "Abandoned"), Seen::Expired);
            assert_eq!(seen(name, "FAILED"), Seen::Declined { class: ErrorClass::DeclinedSoft, code: "FAILED".to_owned() });
            assert!(matches!(seen(name, "Insufficient Funds"), Seen::Declined { class: ErrorClass::DeclinedHard, .. }));
            assert!(matches!(seen(name, "Cancelled"), Seen::Declined { class: ErrorClass::PayerAction, .. }));
            assert_eq!(seen(name, "Unsuccessful"), Seen::Pending);
        }
    }

    #[test]
    fn a_payment_whose_currency_or_amount_is_not_told_credits_nothing() {
        let nothing = Seen::Succeeded { amount: None, crypto_amount: None };
        for told in [json!({"amountPaid": "100"}), json!({"currency": "NGN"}), json!({"amountPaid": "1.005", "currency": "NGN"})] {
            let mut told = told;
            told["transactionStatus"] = json!("Successful");
            assert_eq!(payment(&account(), &told).seen, nothing, "{told}");
        }
    }

    #[test]
    fn the_accounts_currency_counts_where_an_answer_names_none_and_never_goes_before_one() {
        let account = Account { settings: json!({"currency": "NGN"}), ..account() };
        let paid = |told: Value| match payment(&account, &told).seen {
            Seen::Succeeded { amount, .. } => amount.map(|amount| amount.to_string()),
            _ => None,
        };
        assert_eq!(
            paid(json!({"paymentStatus": "Successful", "amountPaid": "1"})),
            Some(Money::new(100, Currency::parse("NGN").unwrap()).to_string())
        );
        let other = Money::new(100, Currency::parse("USD").unwrap()).to_string();
        assert_eq!(paid(json!({"paymentStatus": "Successful", "amountPaid": "1", "currency": "USD"})), Some(other));
    }

    #[test]
    fn a_webhook_is_a_hint_whatever_it_says() {
        for body in [
            r#"{"merchantTxnref":"pat_1","transactionStatus":"Successful","amountPaid":100,"currency":"NGN"}"#,
            r#"{"Data":{"merchantTransactionReference":"pat_1","paymentStatus":"Successful"}}"#,
        ] {
            let notices = Zenith.read(&account(), Webhook { headers: &[], body: body.as_bytes() }).unwrap();
            let [notice] = &notices[..] else { panic!("one notice") };
            assert_eq!((notice.reference.as_deref(), &notice.observation.seen), (Some("pat_1"), &Seen::Changed));
        }
        assert_eq!(Zenith.read(&account(), Webhook { headers: &[], body: b"{}" }), Ok(Vec::new()));
        assert!(Zenith.read(&account(), Webhook { headers: &[], body: b"paid!" }).is_err());
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), status in 0_u16..700,
            value in "\"\\PC{0,20}\"|-?[0-9]{1,25}(\\.[0-9]{1,5})?|null|\\{\\}|\\[\\]") {
            let _ = Zenith.read(&account(), Webhook { headers: &[], body: &bytes });
            let _ = Zenith.report(&account(), &bytes);
            let _ = said(status, &bytes);
            let body = format!("{{\"data\":{{\"merchantTxnref\":{value},\"amountPaid\":{value},\"currency\":{value}}}}}");
            let _ = Zenith.read(&account(), Webhook { headers: &[], body: body.as_bytes() });
            let _ = units::exact(body.as_bytes()).map(|body| payment(&account(), &body["data"]));
        }
    }
}
