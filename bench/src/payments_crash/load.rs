//! Callers that have payments made, captured, refunded and money paid out, and that repeat what was not answered under the same
//! key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use kernel::Entropy;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::scene::{Desk, LIMIT_MINOR, OTP, PAYS_OUT};
use crate::client::Client;

const CALLERS: u64 = 8;
/// Currencies by the word of the provider.
const WAYS: [(&str, &str); 3] = [("stripe", "EUR"), ("paypal", "USD"), ("monnify", "NGN")];

/// What was begun.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) payments: AtomicU64,
    pub(super) payouts: AtomicU64,
}

/// What runs until it is stopped.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    made: Arc<Made>,
    callers: Vec<JoinHandle<Result<(), String>>>,
}

struct Caller {
    number: u64,
    client: Arc<Client>,
    bank: Arc<Client>,
    desk: Arc<Desk>,
    entropy: Entropy,
    is_over: Arc<AtomicBool>,
}

/// Who calls.
#[derive(Clone, Copy)]
enum By {
    /// A program, with its key.
    Key,
    /// One of the people who decide.
    Person(usize),
}

impl Load {
    pub(super) fn start(client: &Arc<Client>, bank: &Arc<Client>, desk: &Arc<Desk>, seed: u64) -> Self {
        let (is_over, made) = (Arc::new(AtomicBool::new(false)), Arc::<Made>::default());
        let callers = (0..CALLERS).map(|number| {
            let caller = Caller {
                number,
                client: client.clone(),
                bank: bank.clone(),
                desk: desk.clone(),
                entropy: Entropy::seeded(seed.wrapping_add(number)),
                is_over: is_over.clone(),
            };
            let made = made.clone();
            tokio::spawn(async move {
                let mut turn = 0;
                while !caller.is_over.load(Ordering::Relaxed) {
                    if caller.entropy.below(3) == 0 {
                        caller.pay_out(turn).await?;
                        made.payouts.fetch_add(1, Ordering::Relaxed);
                    } else {
                        caller.take_payment(turn).await?;
                        made.payments.fetch_add(1, Ordering::Relaxed);
                    }
                    turn += 1;
                }
                Ok(())
            })
        });
        Self { callers: callers.collect(), is_over, made }
    }

    /// Ends what is under way; what was begun.
    pub(super) async fn stop(self) -> Result<Arc<Made>, String> {
        self.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.map_err(|error| error.to_string())??;
        }
        Ok(self.made)
    }
}

impl Caller {
    /// A call that is repeated with its key until it is answered; refusals are answers.
    async fn call(&self, by: By, method: Method, path: &str, body: Option<&Value>, key: &str) -> Result<Option<Value>, String> {
        for _ in 0..600 {
            let key = (method != Method::GET).then_some(key);
            let answered = match by {
                By::Key => self.client.call(method.clone(), path, body, key).await,
                By::Person(number) => self.desk.people[number].call(path, body, key.unwrap_or_default()).await,
            };
            match answered {
                Ok((status, answer)) if status.is_success() => return Ok(Some(answer)),
                Ok((_, answer)) if is_refused(&answer) => return Ok(None),
                Ok((status, _)) if status.is_client_error() && !matches!(status.as_u16(), 409 | 429) => return Ok(None),
                // It is down, or starts, or somebody else is at it.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(format!("{method} {path}: not answered in a minute"))
    }

    async fn post(&self, path: &str, body: Option<&Value>, key: &str) -> Result<Option<Value>, String> {
        self.call(By::Key, Method::POST, path, body, key).await
    }

    async fn until(&self, path: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>, String> {
        for _ in 0..40 {
            let seen = self.call(By::Key, Method::GET, path, None, "").await?;
            if seen.as_ref().is_some_and(&is_wanted) {
                return Ok(seen);
            }
            if self.is_over.load(Ordering::Relaxed) {
                return Ok(None);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(None)
    }

    async fn take_payment(&self, turn: u64) -> Result<(), String> {
        let (word, currency) = WAYS[self.entropy.below(WAYS.len() as u64) as usize];
        let is_manual = word != "monnify" && self.entropy.below(2) == 0;
        let amount = 1_000 + self.entropy.below(9_000);
        let key = |what: &str| format!("crash-{}-{turn}-{what}", self.number);
        let body = json!({
            "amount_minor": amount, "currency": currency, "method": word, "capture_method": if is_manual { "manual" } else { "automatic" },
            "payer_name": "Ada Obi", "payer_email": "ada@example.org",
        });
        let made = self.post("/v1/payments", Some(&body), &key("pay")).await?;
        let made = made.ok_or("a payment was refused")?;
        let id = made["id"].as_str().ok_or("a payment without an identifier")?.to_owned();
        let own = format!("/v1/payments/{id}");
        self.post(&format!("/v1/payments/{id}/attempts"), None, &key("try")).await?;
        let Some(seen) = self.until(&own, |seen| seen["page_url"].is_string()).await? else { return Ok(()) };
        let last = seen["attempts"].as_array().and_then(|attempts| attempts.last()).cloned().unwrap_or_default();
        let _ = self.bank.call(Method::POST, "/sim/pay", Some(&json!({ "reference": last["id"] })), None).await;
        if is_manual {
            let Some(_) = self.until(&own, |seen| seen["state"] == "requires_capture").await? else { return Ok(()) };
            let part = 1 + self.entropy.below(amount);
            let path = format!("/v1/payments/{id}/captures");
            let is_last = self.entropy.below(2) == 0;
            self.post(&path, Some(&json!({ "amount_minor": part, "is_last": is_last })), &key("take")).await?;
        }
        let is_taken = |seen: &Value| matches!(seen["state"].as_str(), Some("succeeded" | "partially_captured"));
        let Some(seen) = self.until(&own, is_taken).await? else { return Ok(()) };
        let taken = seen["captured_minor"].as_u64().unwrap_or(0);
        if taken > 1 && self.entropy.below(2) == 0 {
            let path = format!("/v1/payments/{id}/refunds");
            for part in ["one", "two"] {
                let back = json!({ "amount_minor": 1 + self.entropy.below(taken / 2) });
                self.post(&path, Some(&back), &key(part)).await?;
            }
        }
        Ok(())
    }

    /// Money that goes out: to an account of its own, so that its bank is asked whose it is. Some are held until a person
    /// decides, some need two of them, some are called off at once.
    async fn pay_out(&self, turn: u64) -> Result<(), String> {
        let (word, currency) = PAYS_OUT[self.entropy.below(PAYS_OUT.len() as u64) as usize];
        let key = |what: &str| format!("crash-{}-{turn}-{what}", self.number);
        if self.entropy.below(2) == 0 {
            let amount = 1_000 + self.entropy.below(50_000) as i64;
            let body = self.desk.top_up_body(word, currency, amount);
            self.post("/v1/payment-float/top-ups", Some(&body), &key("float")).await?.ok_or("a top-up was refused")?;
            self.desk.brought(word, currency, amount);
        }
        let account_number = match word {
            "paypal" => format!("jide-{}-{turn}@example.org", self.number),
            _ => format!("{:09}9", self.entropy.below(1_000_000_000)),
        };
        // The bank of the simulator says that the account is Jide's.
        let name = if self.entropy.below(5) == 0 { "Ada Obi" } else { "Jide Balogun" };
        let body = json!({ "account_name": name, "bank_code": "058", "account_number": account_number, "country": "NG" });
        let beneficiary = self.post("/v1/beneficiaries", Some(&body), &key("whose")).await?.ok_or("a beneficiary was refused")?;
        let is_large = self.entropy.below(6) == 0;
        let amount = self.entropy.below(9_000) + if is_large { LIMIT_MINOR + 1 } else { 1_000 };
        let body = json!({
            "beneficiary": beneficiary["id"], "amount_minor": amount, "currency": currency, "provider": self.desk.providers.get(word),
            "narration": "Week 12",
        });
        let asked = self.post("/v1/payouts", Some(&body), &key("out")).await?.ok_or("a payout was refused")?;
        let own = format!("/v1/payouts/{}", asked["id"].as_str().ok_or("a payout without an identifier")?);
        if self.entropy.below(10) == 0 {
            self.post(&format!("{own}/cancel"), None, &key("off")).await?;
        }
        let Some(seen) = self.until(&own, |seen| seen["state"] != "requested").await? else { return Ok(()) };
        if seen["state"] != "risk_review" {
            return self.confirm(word, &own, &key("otp")).await;
        }
        if self.entropy.below(5) == 0 {
            let reason = json!({ "reason": "nobody knows them" });
            self.call(By::Person(0), Method::POST, &format!("{own}/refuse"), Some(&reason), &key("refuse")).await?;
            return Ok(());
        }
        for number in 0..self.desk.people.len() {
            self.call(By::Person(number), Method::POST, &format!("{own}/approve"), None, &key(&format!("approve-{number}"))).await?;
        }
        self.confirm(word, &own, &key("otp")).await
    }

    /// Gives the password where one is asked for; again where it is asked for again, as after a kill it may be.
    async fn confirm(&self, word: &str, own: &str, key: &str) -> Result<(), String> {
        for time in 0..3 {
            let is_asked = |seen: &Value| seen["state"] == "otp_required" || seen["waits_for"].is_string();
            let seen = if word == OTP { self.until(own, is_asked).await? } else { None };
            if seen.is_none_or(|seen| seen["state"] != "otp_required") {
                break;
            }
            let otp = json!({ "otp": sim::providers::monnify::OTP });
            self.post(&format!("{own}/confirm"), Some(&otp), &format!("{key}-{time}")).await?;
        }
        Ok(())
    }
}

/// Whether an answer of 409 is one about the payout, which will not change.
fn is_refused(answer: &Value) -> bool {
    matches!(answer["code"].as_str(), Some("payout_state" | "approved_already" | "own_request"))
}
