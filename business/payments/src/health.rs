//! How providers do, as this process sees it: who may be called now, who is left alone, and how often payers paid there.
//!
//! A breaker for each provider and operation counts what says that the provider is in trouble: no connection, no answer, an
//! answer of trouble. A refusal is none, however many there are. All of it is in memory: after a start everybody is well,
//! and each process learns by its own calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Clock, Currency, Timestamp};
use outbox::{Gate, GateLimits, Slot, Went};
use serde_json::Value;

use crate::account::ProviderRecord;
use crate::provider::{Dialect, ErrorClass, Failure, Order, ProviderId, Question};
use crate::routing::Candidate;

/// Providers and operations whose figures are kept; beyond it those that were quiet longest are forgotten.
const REMEMBERED_MAX: usize = 10_000;
/// Buckets of the last hour.
const BUCKETS: usize = 12;
/// Seconds of one bucket.
const BUCKET_S: i64 = 300;

/// What a provider is called for. Each has a breaker of its own: where refunds fail, payments may still go well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// A page for a new payment.
    Open,
    /// Closing a page.
    Close,
    /// Finishing what the payer agreed to.
    Complete,
    /// A capture.
    Capture,
    /// A release.
    Void,
    /// A refund.
    Refund,
    /// A payout.
    Payout,
    /// How something stands.
    Ask,
    /// A report of what was settled: large and slow.
    Report,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 9] =
        [Self::Open, Self::Close, Self::Complete, Self::Capture, Self::Void, Self::Refund, Self::Payout, Self::Ask, Self::Report];

    /// Its word in metrics and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Close => "close",
            Self::Complete => "complete",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
            Self::Payout => "payout",
            Self::Ask => "ask",
            Self::Report => "report",
        }
    }

    /// What an order is a call for.
    pub const fn of(order: &Order) -> Self {
        match order {
            Order::OpenPage { .. } => Self::Open,
            Order::ClosePage { .. } => Self::Close,
            Order::Complete { .. } => Self::Complete,
            Order::Capture { .. } => Self::Capture,
            Order::Void { .. } => Self::Void,
            Order::Refund { .. } => Self::Refund,
            Order::Payout { .. } | Order::ConfirmPayout { .. } => Self::Payout,
        }
    }

    /// What a question is a call for.
    pub const fn of_question(question: &Question) -> Self {
        match question {
            Question::Settled { .. } => Self::Report,
            _ => Self::Ask,
        }
    }
}

/// How a call failed, as far as the provider's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection, or the provider says that it did not look at it.
    Connection,
    /// No answer in time, a 5xx, or an answer that broke off or cannot be read.
    Unclear,
    /// The provider says that it is out of order.
    Down,
    /// A proper refusal: a decline, a limit, a wrong key. It counts for no breaker.
    Refused,
}

impl FailureKind {
    /// What a failure says of the provider's health.
    pub const fn of(failure: &Failure) -> Self {
        match failure {
            Failure::NotSent { .. } => Self::Connection,
            Failure::Unknown { .. } => Self::Unclear,
            Failure::Refused { class: ErrorClass::ProviderDown, .. } => Self::Down,
            Failure::Refused { .. } => Self::Refused,
        }
    }

    /// Its word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Unclear => "unclear",
            Self::Down => "down",
            Self::Refused => "refused",
        }
    }
}

/// The provider is not to be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the provider is left alone for a while, or has enough to do")]
pub struct Busy {
    /// How long to wait before asking again. Waiting is no attempt: whoever counts attempts does not count it.
    pub retry_after: Duration,
}

/// How one operation of a provider went in the last hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Which provider.
    pub provider: ProviderId,
    /// Which operation; none for attempts, where success means that the payer paid.
    pub operation: Option<Operation>,
    /// How often it went well.
    pub successes: u32,
    /// How often it ended, one way or the other.
    pub tries: u32,
    /// Whether new calls go there now: the breaker is closed, and it does not hold calls without a word.
    pub is_well: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    number: i64,
    successes: u32,
    tries: u32,
}

/// What happened in the last hour, in steps of five minutes.
#[derive(Debug, Clone, Copy, Default)]
struct Window {
    buckets: [Bucket; BUCKETS],
    touched: i64,
}

impl Window {
    fn number(now: Timestamp) -> i64 {
        now.as_seconds().div_euclid(BUCKET_S)
    }

    fn add(&mut self, now: Timestamp, is_success: bool) {
        let number = Self::number(now);
        let place = usize::try_from(number.rem_euclid(BUCKETS as i64)).unwrap_or_default();
        let bucket = &mut self.buckets[place];
        if bucket.number != number {
            *bucket = Bucket { number, ..Bucket::default() };
        }
        bucket.tries = bucket.tries.saturating_add(1);
        bucket.successes = bucket.successes.saturating_add(u32::from(is_success));
        self.touched = number;
    }

    /// Successes and tries.
    fn totals(&self, now: Timestamp) -> (u32, u32) {
        let last = Self::number(now);
        let lately = self.buckets.iter().filter(|bucket| bucket.number <= last && last - bucket.number < BUCKETS as i64);
        lately.fold((0, 0), |(successes, tries), bucket| (bucket.successes.saturating_add(successes), bucket.tries.saturating_add(tries)))
    }
}

type Windows = HashMap<(ProviderId, Option<Operation>), Window>;

struct Inside {
    gate: Gate,
    windows: Mutex<Windows>,
    clock: Clock,
}

/// What is known of the providers' health; clones share it.
#[derive(Clone)]
pub struct Health(Arc<Inside>);

/// Leave to make one call; to be given back with how it went. Dropping it says nothing about the provider.
pub struct Permit {
    health: Health,
    slot: Option<Slot>,
    provider: ProviderId,
    operation: Operation,
    began: Timestamp,
}

fn destination(provider: ProviderId, operation: Operation) -> String {
    format!("{provider}/{}", operation.as_str())
}

impl Health {
    /// Nothing is known against anybody. The bounds are [`Health::limits`].
    pub fn new(clock: Clock) -> Self {
        Self::with_limits(Self::limits(), clock)
    }

    /// The same with other bounds.
    pub fn with_limits(limits: GateLimits, clock: Clock) -> Self {
        let gate = Gate::new("payments_breaker_opened_total", limits, clock.clone());
        Self(Arc::new(Inside { gate, windows: Mutex::default(), clock }))
    }

    /// The bounds: made for lanes of 256 jobs at once, which wait more than they work. One provider's operation holds an
    /// eighth of it at most; from three quarters on each holds no more than eight.
    pub fn limits() -> GateLimits {
        GateLimits {
            per_destination: 32,
            per_suspect: 8,
            suspects_max: 64,
            crowded_at: 192,
            per_crowded: 8,
            suspect_failures: 3,
            failures_max: 5,
            open_first: Duration::from_secs(5),
            open_max: Duration::from_secs(120),
            slow: Duration::from_secs(3),
            spacing: Duration::from_millis(10),
            remembered_max: REMEMBERED_MAX,
        }
    }

    fn windows(&self) -> MutexGuard<'_, Windows> {
        self.0.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, key: (ProviderId, Option<Operation>), is_success: bool) {
        let now = self.0.clock.now();
        let mut windows = self.windows();
        if windows.len() >= REMEMBERED_MAX && !windows.contains_key(&key) {
            let last = Window::number(now);
            windows.retain(|_, window| last - window.touched < BUCKETS as i64);
            if windows.len() >= REMEMBERED_MAX {
                let mut touched: Vec<_> = windows.values().map(|window| window.touched).collect();
                let middle = touched.len() / 2;
                let median = *touched.select_nth_unstable(middle).1;
                windows.retain(|_, window| window.touched > median);
            }
        }
        windows.entry(key).or_default().add(now, is_success);
    }

    /// Leave to call `provider` for `operation`, or how long to wait before asking again.
    pub fn enter(&self, provider: ProviderId, operation: Operation) -> Result<Permit, Busy> {
        match self.0.gate.enter(&destination(provider, operation)) {
            Ok(slot) => {
                metrics::gauge!("payments_calls_running", "operation" => operation.as_str()).increment(1);
                Ok(Permit { health: self.clone(), slot: Some(slot), provider, operation, began: self.0.clock.now() })
            }
            Err(retry_after) => {
                metrics::counter!("payments_calls_total", "operation" => operation.as_str(), "outcome" => "put_off").increment(1);
                Err(Busy { retry_after })
            }
        }
    }

    /// Whether new payments are to go to `provider`. One whose time alone is over is healthy again: a payment is the probe.
    pub fn is_healthy(&self, provider: ProviderId) -> bool {
        self.is_well(provider, Operation::Open)
    }

    /// Whether `provider` does well at `operation`, as [`Health::is_healthy`] for other operations.
    pub fn is_well(&self, provider: ProviderId, operation: Operation) -> bool {
        self.0.gate.is_well(&destination(provider, operation))
    }

    /// An attempt brought money, or the leave to take it; told after the commit that says so.
    pub fn paid(&self, provider: ProviderId) {
        self.count((provider, None), true);
    }

    /// An attempt surely brought none. What the payer or we ourselves did wrong is no mark against the provider.
    pub fn declined(&self, provider: ProviderId, class: ErrorClass) {
        if !matches!(class, ErrorClass::PayerAction | ErrorClass::InvalidRequest) {
            self.count((provider, None), false);
        }
    }

    /// Of the attempts at `provider` that ended within the last hour: how many were paid, and how many there were.
    pub fn attempts(&self, provider: ProviderId) -> (u32, u32) {
        self.windows().get(&(provider, None)).map_or((0, 0), |window| window.totals(self.0.clock.now()))
    }

    /// What is known of each provider and operation in the last hour, in their order.
    pub fn rates(&self) -> Vec<Rate> {
        let now = self.0.clock.now();
        let known: Vec<_> = self.windows().iter().map(|(key, window)| (*key, window.totals(now))).collect();
        let lately = known.into_iter().filter(|(_, (_, tries))| *tries > 0);
        let mut rates: Vec<_> = lately
            .map(|((provider, operation), (successes, tries))| {
                let is_well = self.is_well(provider, operation.unwrap_or(Operation::Open));
                Rate { provider, operation, successes, tries, is_well }
            })
            .collect();
        rates.sort_unstable_by_key(|rate| (rate.provider, rate.operation));
        rates
    }

    /// A provider as routing weighs it.
    pub fn candidate(&self, provider: &ProviderRecord) -> Candidate {
        let (successes, tries) = self.attempts(provider.id);
        let currencies = currencies(provider.dialect, &provider.settings);
        let (id, dialect, is_healthy) = (provider.id, provider.dialect, self.is_healthy(provider.id));
        Candidate { id, dialect, abilities: dialect.provider().abilities(), currencies, is_healthy, successes, tries }
    }
}

/// The currencies that a provider takes: what its setting `currencies` lists, none for any. Monnify takes naira only.
fn currencies(dialect: Dialect, settings: &Value) -> Option<Vec<Currency>> {
    let listed = settings.get("currencies").and_then(Value::as_array);
    let listed = listed.map(|list| list.iter().filter_map(|one| Currency::parse(one.as_str()?).ok()).collect());
    listed.or_else(|| (dialect == Dialect::Monnify).then(|| Currency::parse("NGN").into_iter().collect()))
}

impl Permit {
    fn end(&mut self, went: Went, is_success: bool, outcome: &'static str, took: Duration) {
        let Some(slot) = self.slot.take() else { return };
        let operation = self.operation.as_str();
        if slot.done(went, took) {
            metrics::gauge!("payments_breakers_open").set(self.health.0.gate.broken_count() as f64);
        }
        self.health.count((self.provider, Some(self.operation)), is_success);
        metrics::gauge!("payments_calls_running", "operation" => operation).decrement(1);
        metrics::counter!("payments_calls_total", "operation" => operation, "outcome" => outcome).increment(1);
        metrics::histogram!("payments_call_seconds", "operation" => operation).record(took.as_secs_f64());
    }

    /// The provider did, or told, what it was asked, and took so long over it.
    pub fn succeeded(mut self, took: Duration) {
        self.end(Went::Well, true, "succeeded", took);
    }

    /// It did not.
    pub fn failed(mut self, kind: FailureKind) {
        let took = self.health.0.clock.now().since(self.began);
        let went = if kind == FailureKind::Refused { Went::Well } else { Went::Ill };
        self.end(went, false, kind.as_str(), took);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.slot.take().is_some() {
            metrics::gauge!("payments_calls_running", "operation" => self.operation.as_str()).decrement(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id as _, RawId};
    use serde_json::json;

    fn provider(number: u128) -> ProviderId {
        ProviderId::from_raw(RawId::from_bits(number))
    }

    fn health() -> (Health, Clock) {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000_000));
        (Health::new(clock.clone()), clock)
    }

    fn call(health: &Health, number: u128, kind: FailureKind) {
        health.enter(provider(number), Operation::Open).ok().unwrap().failed(kind);
    }

    #[test]
    fn silence_trouble_and_lost_connections_open_the_breaker_and_refusals_never_do() {
        for kind in [FailureKind::Connection, FailureKind::Unclear, FailureKind::Down] {
            let (health, _) = health();
            (0..5).for_each(|_| call(&health, 1, kind));
            assert!(!health.is_healthy(provider(1)), "{kind:?}");
            let busy = health.enter(provider(1), Operation::Open).err().unwrap();
            assert!(busy.retry_after >= Duration::from_secs(5));
        }
        let (health, _) = health();
        (0..1_000).for_each(|_| call(&health, 1, FailureKind::Refused));
        assert!(health.is_healthy(provider(1)));
    }

    #[test]
    fn every_failure_of_the_port_is_weighed() {
        for class in ErrorClass::ALL {
            let kind = FailureKind::of(&Failure::Refused { class, code: String::new() });
            assert_eq!(kind == FailureKind::Refused, class != ErrorClass::ProviderDown, "{class:?}");
        }
        assert_eq!(FailureKind::of(&Failure::unknown("late")), FailureKind::Unclear);
        assert_eq!(FailureKind::of(&Failure::NotSent { reason: String::new() }), FailureKind::Connection);
    }

    #[test]
    fn a_breaker_is_of_one_provider_and_one_operation() {
        let (health, _) = health();
        (0..5).for_each(|_| call(&health, 1, FailureKind::Unclear));
        assert!(health.enter(provider(1), Operation::Refund).is_ok());
        assert!(health.enter(provider(2), Operation::Open).is_ok());
        assert!(health.is_well(provider(1), Operation::Ask));
    }

    #[test]
    fn once_its_time_is_over_a_payment_is_the_probe_and_its_time_doubles_if_that_fails() {
        let (health, clock) = health();
        (0..5).for_each(|_| call(&health, 1, FailureKind::Connection));
        clock.advance(Duration::from_secs(5));
        assert!(health.is_healthy(provider(1)));
        let probe = health.enter(provider(1), Operation::Open).ok().unwrap();
        assert!(!health.is_healthy(provider(1)), "one probe is enough");
        probe.failed(FailureKind::Connection);
        clock.advance(Duration::from_secs(9));
        assert!(!health.is_healthy(provider(1)));
        clock.advance(Duration::from_secs(1));
        health.enter(provider(1), Operation::Open).ok().unwrap().succeeded(Duration::ZERO);
        let held: Vec<_> = (0..32).map(|_| health.enter(provider(1), Operation::Open).ok().unwrap()).collect();
        assert_eq!(held.len(), 32, "it is as if nothing had been");
    }

    #[test]
    fn a_provider_that_hangs_is_avoided_before_its_first_call_has_timed_out() {
        let (health, clock) = health();
        let _hanging: Vec<_> = (0..10).map(|_| health.enter(provider(1), Operation::Open).ok().unwrap()).collect();
        assert!(health.is_healthy(provider(1)));
        clock.advance(Duration::from_secs(4));
        assert!(!health.is_healthy(provider(1)));
        assert!(health.enter(provider(1), Operation::Open).is_err());
    }

    #[test]
    fn providers_that_hang_never_fill_the_lane() {
        let (health, clock) = health();
        let mut hanging = Vec::new();
        // Ten of them, each asked as long as it lets anybody in, for a minute.
        for _ in 0..60 {
            for number in 0..10 {
                while let Ok(permit) = health.enter(provider(number), Operation::Open) {
                    hanging.push(permit);
                    assert!(hanging.len() < 256, "the lane is full");
                }
            }
            assert!(health.enter(provider(99), Operation::Open).is_ok(), "the healthy one passes");
            clock.advance(Duration::from_secs(1));
        }
        assert!(hanging.len() >= 32);
    }

    #[test]
    fn the_rate_is_of_the_last_hour() {
        let (health, clock) = health();
        (0..3).for_each(|_| health.paid(provider(1)));
        clock.advance(Duration::from_secs(1_800));
        health.declined(provider(1), ErrorClass::DeclinedSoft);
        health.declined(provider(1), ErrorClass::PayerAction);
        assert_eq!(health.attempts(provider(1)), (3, 4), "a payer who leaves is no mark against the provider");
        clock.advance(Duration::from_secs(1_860));
        assert_eq!(health.attempts(provider(1)), (0, 1));
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(health.attempts(provider(1)), (0, 0));
        assert_eq!(health.attempts(provider(2)), (0, 0));
        assert!(health.rates().is_empty());
    }

    #[test]
    fn what_is_known_is_told_by_provider_and_operation() {
        let (health, _) = health();
        health.enter(provider(1), Operation::Refund).ok().unwrap().succeeded(Duration::ZERO);
        health.enter(provider(1), Operation::Refund).ok().unwrap().failed(FailureKind::Refused);
        drop(health.enter(provider(1), Operation::Capture));
        health.paid(provider(1));
        let expected = [(None, 1, 1), (Some(Operation::Refund), 1, 2)];
        let told: Vec<_> = health.rates().iter().map(|rate| (rate.operation, rate.successes, rate.tries)).collect();
        assert_eq!(told, expected, "a call without a verdict says nothing");
        assert!(health.rates().iter().all(|rate| rate.is_well && rate.provider == provider(1)));
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (health, clock) = health();
        for number in 0..25_000 {
            health.paid(provider(number));
            if number % 1_000 == 0 {
                clock.advance(Duration::from_secs(60));
            }
            assert!(health.windows().len() <= REMEMBERED_MAX);
        }
        assert_eq!(health.attempts(provider(24_999)), (1, 1), "those of late are kept");
        let (health, _) = self::health();
        for number in 0..REMEMBERED_MAX as u128 + 10 {
            health.paid(provider(number));
        }
        assert!(health.windows().len() <= REMEMBERED_MAX, "all at the same moment");
    }

    #[test]
    fn a_provider_takes_the_currencies_of_its_settings() {
        let taken = |dialect, settings| currencies(dialect, &settings).map(|list| list.iter().map(Currency::to_string).collect::<Vec<_>>());
        assert_eq!(taken(Dialect::Stripe, json!({})), None);
        assert_eq!(taken(Dialect::Stripe, json!({"currencies": ["EUR", "USD"]})).unwrap(), ["EUR", "USD"]);
        assert_eq!(taken(Dialect::Stripe, json!({"currencies": []})).unwrap(), Vec::<String>::new());
        assert_eq!(taken(Dialect::Monnify, json!({})).unwrap(), ["NGN"]);
        assert_eq!(taken(Dialect::Monnify, json!({"currencies": ["NGN", "USD"]})).unwrap(), ["NGN", "USD"]);
    }
}
