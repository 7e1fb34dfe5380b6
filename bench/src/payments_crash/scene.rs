//! The product at an address that it comes back to, its accounts at the simulator, and who decides about payouts there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use http::Method;
use serde_json::{Value, json};

use super::people::Person;
use crate::client::Client;
use crate::payments_bench::{Account, monnify, stripe};
use crate::process::Server;

/// Money by who has it (`stripe eur`), in minor units.
pub(super) type Sums = BTreeMap<String, i64>;

/// Up to this, in minor units, a payout that no gate holds needs nobody; above it two people approve.
pub(super) const LIMIT_MINOR: u64 = 50_000;
/// Who pays out, and in which currency.
pub(super) const PAYS_OUT: [(&str, &str); 4] = [("monnify", "NGN"), ("ramp", "USD"), ("paypal", "USD"), (OTP, "NGN")];
/// Another account at Monnify, whose wallet asks for a one-time password.
pub(super) const OTP: &str = "monnify-otp";
/// What is brought to each of them at first, in minor units: less than what is asked for, so that payouts wait for more.
const FIRST_FLOAT_MINOR: i64 = 500_000;

/// What goes wrong at the providers: at which of them (all, where that is empty), with which operation, and in how many of a
/// hundred calls. Together some ten of a hundred calls of an operation fail.
const FAULTS: [(&str, &str, &str, u64); 26] = [
    ("", "create", "error_500", 4),
    ("", "create", "cut", 4),
    ("", "create", "error_500_after", 4),
    ("", "capture", "error_500_after", 4),
    ("", "capture", "cut", 4),
    ("", "refund", "error_500_after", 4),
    ("", "refund", "cut", 4),
    ("", "query", "not_found", 4),
    ("", "pay", "duplicate_webhook", 4),
    ("", "pay", "no_webhook", 4),
    ("", "pay", "forged_webhook", 4),
    ("", "enquiry", "error_500", 4),
    ("", "authorize", "error_500_after", 4),
    ("", "authorize", "cut", 4),
    ("", "payout", "error_500", 4),
    ("", "payout", "error_500_after", 4),
    ("", "payout", "cut", 4),
    ("", "payout", "duplicate_webhook", 4),
    ("", "payout", "no_webhook", 4),
    ("", "payout_query", "not_found", 4),
    ("monnify", "payout", "decline:REVERSED", 4),
    ("monnify", "payout", "decline:FAILED", 4),
    ("monnify", "payout", "decline:IN_PROGRESS", 2),
    ("paypal", "payout", "decline:RETURNED", 4),
    ("ramp", "payout", "decline:RETURNED_BY_RDFI", 4),
    ("ramp", "payout", "decline:ERROR", 4),
];

fn paypal() -> Account {
    (
        "paypal",
        json!({ "webhook_id": sim::PAYPAL_WEBHOOK_ID }),
        json!({ "client_id": sim::PAYPAL_CLIENT, "client_secret": sim::PAYPAL_SECRET }),
    )
}

fn otp() -> Account {
    let (_, mut settings, secrets) = monnify();
    settings["source_account"] = json!(sim::providers::monnify::OTP_WALLET);
    (OTP, settings, secrets)
}

fn ramp() -> Account {
    (
        "ramp",
        json!({}),
        json!({ "client_id": sim::RAMP_CLIENT, "client_secret": sim::RAMP_SECRET, "webhook_secret": sim::RAMP_WEBHOOK_SECRET }),
    )
}

/// The product at an address that it comes back to, and how it is started.
pub(super) struct House {
    pub(super) listen: String,
    pub(super) data: PathBuf,
    pub(super) settings: Vec<String>,
}

impl House {
    fn settings(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    pub(super) async fn start(&self) -> Result<Server, String> {
        Server::tessera_at(&self.listen, &self.data, &self.settings()).await
    }

    /// Starts it so that it ends itself at a fail point: that may be before it greets.
    pub(super) fn start_to_fail(&self, point: &str) -> Result<Server, String> {
        Server::spawn_with(&self.listen, &self.data, &self.settings(), &[("TESSERA_FAIL_AT", point)])
    }
}

/// What the callers share: the accounts by the word of their provider, two people, and what was brought to the providers.
pub(super) struct Desk {
    pub(super) providers: BTreeMap<String, String>,
    pub(super) people: [Person; 2],
    topped: Mutex<Sums>,
}

impl Desk {
    /// What was brought to the providers for payouts, as far as that was answered.
    pub(super) fn topped(&self) -> MutexGuard<'_, Sums> {
        self.topped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The provider whose account this is.
    pub(super) fn word(&self, id: &Value) -> &str {
        let known = self.providers.iter().find(|(_, known)| id.as_str() == Some(known.as_str()));
        known.map_or("", |(word, _)| word.as_str())
    }

    /// Has money brought to a provider.
    pub(super) async fn top_up(&self, client: &Client, word: &str, currency: &str, amount_minor: i64) -> Result<(), String> {
        let body = self.top_up_body(word, currency, amount_minor);
        client.must(Method::POST, "/v1/payment-float/top-ups", Some(&body)).await?;
        self.brought(word, currency, amount_minor);
        Ok(())
    }

    pub(super) fn top_up_body(&self, word: &str, currency: &str, amount_minor: i64) -> Value {
        json!({ "provider": self.providers.get(word), "amount_minor": amount_minor, "currency": currency })
    }

    pub(super) fn brought(&self, word: &str, currency: &str, amount_minor: i64) {
        *self.topped().entry(format!("{word} {}", currency.to_lowercase())).or_default() += amount_minor;
    }
}

/// Accounts at the simulator, rules that send each method of paying to its own, people, and money for payouts.
pub(super) async fn furnish(client: &Arc<Client>, bank: &Client, sim: &Server, house: &House) -> Result<Desk, String> {
    for provider in client.must(Method::GET, "/v1/payment-providers", None).await?["items"].as_array().into_iter().flatten() {
        let path = format!("/v1/payment-providers/{}", provider["id"].as_str().unwrap_or_default());
        client.must(Method::PATCH, &path, Some(&json!({ "version": provider["version"], "is_enabled": false }))).await?;
    }
    let (mut rules, mut providers) = (Vec::new(), BTreeMap::new());
    for (word, settings, secrets) in [stripe(), paypal(), monnify(), ramp(), otp()] {
        let dialect = if word == OTP { "monnify" } else { word };
        let body = json!({
            "name": format!("crash-{word}"), "dialect": dialect, "base_url": format!("{}/{dialect}", sim.url), "settings": settings,
            "secrets": secrets,
        });
        let added = client.must(Method::POST, "/v1/payment-providers", Some(&body)).await?;
        // From these two money only goes out.
        if word != "ramp" && word != OTP {
            rules.push(json!({ "name": word, "when": { "methods": [word] }, "then": { "chain": [added["id"]] } }));
        }
        // The simulator has one address for the webhooks of a dialect: of the second account's payouts nobody is told.
        if word == dialect {
            let url = added["webhook_url"].as_str().unwrap_or_default();
            let path = url.split_once("/v1/").map_or(url, |(_, path)| path);
            let target = json!({ "url": format!("http://{}/v1/{path}", house.listen) });
            bank.must(Method::PUT, &format!("/sim/{word}/webhook"), Some(&target)).await?;
        }
        providers.insert(word.to_owned(), added["id"].as_str().unwrap_or_default().to_owned());
    }
    client.must(Method::PUT, "/v1/payment-routes", Some(&json!({ "version": 0, "rules": rules }))).await?;
    let known = client.must(Method::GET, "/v1/payout-settings", None).await?;
    let limits = json!({ "NGN": LIMIT_MINOR, "USD": LIMIT_MINOR });
    let settings = json!({ "version": known["version"], "limits": limits, "runs_on_weekends": true });
    client.must(Method::PUT, "/v1/payout-settings", Some(&settings)).await?;
    let people =
        [Person::invited(client, &house.data, "ada@example.org").await?, Person::invited(client, &house.data, "grace@example.org").await?];
    let desk = Desk { providers, people, topped: Mutex::default() };
    for (word, currency) in PAYS_OUT {
        desk.top_up(client, word, currency, FIRST_FLOAT_MINOR).await?;
    }
    Ok(desk)
}

pub(super) async fn misbehave(bank: &Client) -> Result<(), String> {
    for (word, operation, fault, percent) in FAULTS {
        let mut rule = json!({ "operation": operation, "fault": fault, "rate_percent": percent });
        if !word.is_empty() {
            rule["dialect"] = json!(word);
        }
        bank.must(Method::POST, "/sim/faults", Some(&rule)).await?;
    }
    Ok(())
}

pub(super) async fn behave(bank: &Client) -> Result<(), String> {
    bank.must(Method::DELETE, "/sim/faults", None).await.map(|_| ())
}
