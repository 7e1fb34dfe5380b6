//! Callers that have payments made, captured and refunded, and that repeat what was not answered under the same key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use kernel::Entropy;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::Client;

const CALLERS: u64 = 8;
/// Currencies by the word of the provider.
const WAYS: [(&str, &str); 3] = [("stripe", "EUR"), ("paypal", "USD"), ("monnify", "NGN")];

/// What runs until it is stopped.
pub(super) struct Load {
    is_over: Arc<AtomicBool>,
    made: Arc<AtomicU64>,
    callers: Vec<JoinHandle<Result<(), String>>>,
}

struct Caller {
    number: u64,
    client: Arc<Client>,
    bank: Arc<Client>,
    entropy: Entropy,
    is_over: Arc<AtomicBool>,
}

impl Load {
    pub(super) fn start(client: &Arc<Client>, bank: &Arc<Client>, seed: u64) -> Self {
        let (is_over, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let callers = (0..CALLERS).map(|number| {
            let caller = Caller {
                number,
                client: client.clone(),
                bank: bank.clone(),
                entropy: Entropy::seeded(seed.wrapping_add(number)),
                is_over: is_over.clone(),
            };
            let made = made.clone();
            tokio::spawn(async move {
                let mut turn = 0;
                while !caller.is_over.load(Ordering::Relaxed) {
                    caller.turn(turn).await?;
                    made.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
                Ok(())
            })
        });
        Self { callers: callers.collect(), is_over, made }
    }

    /// Ends what is under way; how many payments were begun.
    pub(super) async fn stop(self) -> Result<u64, String> {
        self.is_over.store(true, Ordering::Relaxed);
        for caller in self.callers {
            caller.await.map_err(|error| error.to_string())??;
        }
        Ok(self.made.load(Ordering::Relaxed))
    }
}

impl Caller {
    /// A call that is repeated with its key until it is answered; refusals are answers.
    async fn call(&self, method: Method, path: &str, body: Option<&Value>, key: &str) -> Result<Option<Value>, String> {
        for _ in 0..600 {
            let key = (method != Method::GET).then_some(key);
            match self.client.call(method.clone(), path, body, key).await {
                Ok((status, answer)) if status.is_success() => return Ok(Some(answer)),
                Ok((status, _)) if status.is_client_error() && !matches!(status.as_u16(), 409 | 429) => return Ok(None),
                // It is down, or starts, or somebody else is at it.
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(format!("{method} {path}: not answered in a minute"))
    }

    async fn until(&self, id: &str, is_wanted: impl Fn(&Value) -> bool) -> Result<Option<Value>, String> {
        for _ in 0..40 {
            let seen = self.call(Method::GET, &format!("/v1/payments/{id}"), None, "").await?;
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

    async fn turn(&self, turn: u64) -> Result<(), String> {
        let (word, currency) = WAYS[self.entropy.below(WAYS.len() as u64) as usize];
        let is_manual = word != "monnify" && self.entropy.below(2) == 0;
        let amount = 1_000 + self.entropy.below(9_000);
        let key = |what: &str| format!("crash-{}-{turn}-{what}", self.number);
        let body = json!({
            "amount_minor": amount, "currency": currency, "method": word, "capture_method": if is_manual { "manual" } else { "automatic" },
            "payer_name": "Ada Obi", "payer_email": "ada@example.org",
        });
        let made = self.call(Method::POST, "/v1/payments", Some(&body), &key("pay")).await?;
        let made = made.ok_or("a payment was refused")?;
        let id = made["id"].as_str().ok_or("a payment without an identifier")?.to_owned();
        self.call(Method::POST, &format!("/v1/payments/{id}/attempts"), None, &key("try")).await?;
        let Some(seen) = self.until(&id, |seen| seen["page_url"].is_string()).await? else { return Ok(()) };
        let last = seen["attempts"].as_array().and_then(|attempts| attempts.last()).cloned().unwrap_or_default();
        let _ = self.bank.call(Method::POST, "/sim/pay", Some(&json!({ "reference": last["id"] })), None).await;
        if is_manual {
            let Some(_) = self.until(&id, |seen| seen["state"] == "requires_capture").await? else { return Ok(()) };
            let part = 1 + self.entropy.below(amount);
            let path = format!("/v1/payments/{id}/captures");
            let is_last = self.entropy.below(2) == 0;
            self.call(Method::POST, &path, Some(&json!({ "amount_minor": part, "is_last": is_last })), &key("take")).await?;
        }
        let is_taken = |seen: &Value| matches!(seen["state"].as_str(), Some("succeeded" | "partially_captured"));
        let Some(seen) = self.until(&id, is_taken).await? else { return Ok(()) };
        let taken = seen["captured_minor"].as_u64().unwrap_or(0);
        if taken > 1 && self.entropy.below(2) == 0 {
            let path = format!("/v1/payments/{id}/refunds");
            for part in ["one", "two"] {
                let back = json!({ "amount_minor": 1 + self.entropy.below(taken / 2) });
                self.call(Method::POST, &path, Some(&back), &key(part)).await?;
            }
        }
        Ok(())
    }
}
