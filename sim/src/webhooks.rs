//! Webhooks on their way: a bounded queue, a timer for what is late, held back or tried again, and a few carriers.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Method;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Mutex as Turnstile, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Dialect;
use crate::bank::{Outgoing, Shared, clock_ms, other_amount, other_currency};
use crate::client::Client;
use crate::faults::WebhookPlan;
use crate::money;
use crate::providers::Provider;

/// Carriers at work at once.
const CARRIERS: usize = 16;
/// The time that a receiver has for its answer.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(10);
/// A webhook held back for another one leaves after this time at the latest.
const HELD_MAX: Duration = Duration::from_secs(2);
/// How long after that other one.
const HELD_AFTER: Duration = Duration::from_millis(100);
/// The newest attempts that are remembered.
const LOG_MAX: usize = 1_000;

/// Where a dialect's webhooks go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The address, `http://` only; empty for nowhere.
    pub url: String,
    /// What signs them; ignored by dialects that sign with a key of their own or not at all.
    pub secret: String,
}

/// One attempt to deliver a webhook, as it went.
#[derive(Debug, Clone, Serialize)]
pub struct Delivery {
    /// Whose webhook it was.
    pub dialect: Dialect,
    /// The event's id.
    pub id: String,
    /// The event's type.
    pub event: String,
    /// Where it went.
    pub url: String,
    /// The first attempt is 1.
    pub attempt: usize,
    /// The HTTP status of the receiver.
    pub status: Option<u16>,
    /// Why there was none.
    pub error: Option<String>,
    /// Milliseconds since 1970.
    pub at_ms: i64,
}

struct Letter {
    dialect: Dialect,
    outgoing: Outgoing,
    is_forged: bool,
    is_held: bool,
    attempts: usize,
    due: Instant,
    place: u64,
}

impl PartialEq for Letter {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Letter {}
impl PartialOrd for Letter {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Letter {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.place).cmp(&(other.due, other.place))
    }
}

/// How many letters there are: all of them, and those not tried yet or under way.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    all: usize,
    fresh: usize,
    places: u64,
    dropped: u64,
}

pub(crate) struct Courier {
    inbox: mpsc::Sender<Letter>,
    load: watch::Sender<Load>,
    letters_max: usize,
    targets: Mutex<BTreeMap<Dialect, Target>>,
    log: Mutex<VecDeque<Delivery>>,
    providers: Arc<BTreeMap<Dialect, Box<dyn Provider>>>,
    shared: Arc<Shared>,
    retry_shrink: u32,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Courier {
    pub(crate) fn start(
        providers: Arc<BTreeMap<Dialect, Box<dyn Provider>>>,
        targets: BTreeMap<Dialect, Target>,
        shared: Arc<Shared>,
        letters_max: usize,
        retry_shrink: u32,
        tasks: &mut JoinSet<()>,
    ) -> Arc<Self> {
        let (inbox, letters) = mpsc::channel(letters_max.max(1));
        let (out, carried) = mpsc::channel(CARRIERS);
        let courier = Arc::new(Self {
            inbox,
            load: watch::Sender::default(),
            letters_max,
            targets: Mutex::new(targets),
            log: Mutex::default(),
            providers,
            shared,
            retry_shrink: retry_shrink.max(1),
        });
        tasks.spawn(sort(letters, out));
        let carried = Arc::new(Turnstile::new(carried));
        for _ in 0..CARRIERS {
            tasks.spawn(carry(courier.clone(), carried.clone()));
        }
        courier
    }

    /// Takes webhooks over as the faults of their call want it. Where the queue is full they are dropped and counted.
    pub(crate) fn post(&self, dialect: Dialect, outgoing: Vec<Outgoing>, plan: &WebhookPlan) {
        if plan.is_none {
            return;
        }
        for mut outgoing in outgoing {
            if plan.is_wrong_amount {
                lie(&mut outgoing.body, &|_, value| wrong_amount(value), &is_amount);
            }
            if plan.is_wrong_currency {
                lie(&mut outgoing.body, &|_, value| wrong_currency(value), &is_currency);
            }
            for _ in 0..if plan.is_twice { 2 } else { 1 } {
                self.put(Letter {
                    dialect,
                    outgoing: outgoing.clone(),
                    is_forged: plan.is_forged,
                    is_held: plan.is_reordered,
                    attempts: 0,
                    due: Instant::now() + plan.late,
                    place: 0,
                });
            }
        }
    }

    fn put(&self, mut letter: Letter) {
        let is_fresh = letter.attempts == 0;
        let mut is_taken = false;
        self.load.send_modify(|load| {
            is_taken = load.all < self.letters_max;
            if is_taken {
                load.all += 1;
                load.fresh += usize::from(is_fresh);
                load.places += 1;
                letter.place = load.places;
            } else {
                load.dropped += 1;
            }
        });
        if is_taken && self.inbox.try_send(letter).is_err() {
            self.done(is_fresh);
        }
    }

    fn done(&self, is_fresh: bool) {
        self.load.send_modify(|load| {
            load.all -= 1;
            load.fresh -= usize::from(is_fresh);
        });
    }

    /// Waits until every webhook was tried at least once.
    pub(crate) async fn quiet(&self) {
        let mut load = self.load.subscribe();
        // The sender lives as long as `self`.
        let _ = load.wait_for(|load| load.fresh == 0).await;
    }

    pub(crate) fn waiting(&self) -> (usize, u64) {
        let load = *self.load.borrow();
        (load.all, load.dropped)
    }

    pub(crate) fn target(&self, dialect: Dialect) -> Option<Target> {
        locked(&self.targets).get(&dialect).cloned()
    }

    pub(crate) fn aim(&self, dialect: Dialect, target: Target) {
        locked(&self.targets).insert(dialect, target);
    }

    pub(crate) fn log(&self) -> Vec<Delivery> {
        locked(&self.log).iter().cloned().collect()
    }

    async fn deliver(&self, client: &mut Client, mut letter: Letter) {
        let is_fresh = letter.attempts == 0;
        letter.attempts += 1;
        let (Some(mut target), Some(provider)) = (self.target(letter.dialect), self.providers.get(&letter.dialect)) else {
            return self.done(is_fresh);
        };
        if let Some(url) = provider.target(&letter.outgoing) {
            target.url = url;
        }
        let url = provider.target(&letter.outgoing).unwrap_or(target.url);
        if url.is_empty() {
            return self.done(is_fresh);
        }
        let body = provider.body(&letter.outgoing);
        let now_ms = clock_ms() + self.shared.ahead_ms.load(std::sync::atomic::Ordering::Relaxed);
        let signed = provider.sign(&target.secret, &letter.outgoing, &body, now_ms, letter.is_forged);
        let mut headers = vec![("content-type", "application/json"), ("user-agent", "sim/1.0")];
        headers.extend(signed.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = client.send(Method::POST, &url, &headers, body, ATTEMPT_TIMEOUT).await;
        let delivery = Delivery {
            dialect: letter.dialect,
            id: letter.outgoing.id.clone(),
            event: letter.outgoing.event.clone(),
            url,
            attempt: letter.attempts,
            status: answer.as_ref().ok().map(|answer| answer.status),
            error: answer.as_ref().err().map(ToString::to_string),
            at_ms: now_ms,
        };
        {
            let mut log = locked(&self.log);
            if log.len() == LOG_MAX {
                log.pop_front();
            }
            log.push_back(delivery);
        }
        let is_taken = answer.is_ok_and(|answer| (200..300).contains(&answer.status));
        self.done(is_fresh);
        if !is_taken && let Some(seconds) = provider.retries_s().get(letter.attempts - 1) {
            letter.due = Instant::now() + Duration::from_secs(u64::from(*seconds)) / self.retry_shrink;
            self.put(letter);
        }
    }
}

/// Lets each letter go when it is due. What is held back goes right after the next one of its dialect.
async fn sort(mut inbox: mpsc::Receiver<Letter>, out: mpsc::Sender<Letter>) {
    let mut waiting: BinaryHeap<Reverse<Letter>> = BinaryHeap::new();
    let mut held: Vec<Letter> = Vec::new();
    loop {
        let next = waiting.peek().map(|Reverse(letter)| letter.due).into_iter().chain(held.iter().map(|letter| letter.due)).min();
        let alarm = async {
            match next {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            letter = inbox.recv() => {
                let Some(mut letter) = letter else { return };
                if letter.is_held && letter.attempts == 0 {
                    letter.due += HELD_MAX;
                    held.push(letter);
                    continue;
                }
                // Those held back leave a little later, so that this one arrives first.
                for mut other in held.extract_if(.., |other| other.dialect == letter.dialect) {
                    other.due = letter.due + HELD_AFTER;
                    waiting.push(Reverse(other));
                }
                waiting.push(Reverse(letter));
            }
            () = alarm => {
                let now = Instant::now();
                waiting.extend(held.extract_if(.., |letter| letter.due <= now).map(Reverse));
                if waiting.peek().is_some_and(|Reverse(letter)| letter.due <= now)
                    && let Some(Reverse(letter)) = waiting.pop()
                    && out.send(letter).await.is_err()
                {
                    return;
                }
            }
        }
    }
}

async fn carry(courier: Arc<Courier>, letters: Arc<Turnstile<mpsc::Receiver<Letter>>>) {
    let mut client = Client::default();
    loop {
        let letter = letters.lock().await.recv().await;
        let Some(letter) = letter else { return };
        courier.deliver(&mut client, letter).await;
    }
}

fn is_amount(key: &str) -> bool {
    key.starts_with("amount") || matches!(key, "value" | "fiatValue" | "total" | "totalPayable" | "settlementAmount")
}

fn is_currency(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key == "currency" || key.ends_with("currency") || key.starts_with("currency")
}

/// Changes every value under a key that is meant, but for the merchant's own metadata.
fn lie(value: &mut Value, change: &dyn Fn(&str, &Value) -> Option<Value>, is_meant: &dyn Fn(&str) -> bool) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut().filter(|(key, _)| !key.eq_ignore_ascii_case("metadata")) {
                match is_meant(key).then(|| change(key, field)).flatten() {
                    Some(changed) => *field = changed,
                    None => lie(field, change, is_meant),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| lie(item, change, is_meant)),
        _ => {}
    }
}

fn wrong_amount(value: &Value) -> Option<Value> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    let places = text.split_once('.').map_or(0, |(_, part)| part.len()) as u32;
    let amount = money::minor(&text, places).filter(|amount| *amount != 0)?;
    let other = money::decimal(other_amount(amount), places);
    if value.is_string() { Some(Value::String(other)) } else { serde_json::from_str(&other).ok() }
}

fn wrong_currency(value: &Value) -> Option<Value> {
    let text = value.as_str().filter(|text| text.len() == 3)?;
    let other = other_currency(text);
    let is_small = text.bytes().all(|byte| byte.is_ascii_lowercase());
    Some(Value::String(if is_small { other.to_ascii_lowercase() } else { other.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_lie_changes_amounts_of_every_shape_and_leaves_the_merchants_own_words() {
        let mut body = json!({"amount": 1_000, "metadata": {"amount": "1"}, "purchase": [{"amount": {"value": "10.00", "currency_code": "USD"}}],
            "amountPaid": 100.5, "currency": "usd"});
        lie(&mut body, &|_, value| wrong_amount(value), &is_amount);
        lie(&mut body, &|_, value| wrong_currency(value), &is_currency);
        assert_eq!(
            body,
            json!({"amount": 999, "metadata": {"amount": "1"}, "purchase": [{"amount": {"value": "9.99", "currency_code": "EUR"}}],
                "amountPaid": 100.4, "currency": "eur"})
        );
    }
}
