//! The gate in front of destinations: how many deliveries one may hold, and when it is left alone.
//!
//! A destination holds at most `per_destination` slots. One that failed or was slow lately is a suspect: it holds one slot,
//! and all suspects together at most half of the lane, so that healthy ones always find room. After `failures_max` failures
//! in a row the destination is left alone for a while that doubles, and then a single probe decides.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Clock, Timestamp};

/// The bounds of a gate.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// Deliveries to one destination at once.
    pub per_destination: usize,
    /// Deliveries to one suspect at once.
    pub per_suspect: usize,
    /// Deliveries to all suspects at once; half of the lane's concurrency.
    pub suspects_max: usize,
    /// Failures in a row that open the breaker.
    pub failures_max: u32,
    /// How long it stays open the first time; doubles up to `open_max`.
    pub open_first: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
    /// A delivery that took longer makes its destination a suspect.
    pub slow: Duration,
    /// Between the turns of deliveries that found no slot, so that a long queue does not come back all at once.
    pub spacing: Duration,
    /// Destinations remembered; beyond it, idle healthy ones are forgotten.
    pub remembered_max: usize,
}

impl Default for GateLimits {
    fn default() -> Self {
        Self {
            per_destination: 4,
            per_suspect: 1,
            suspects_max: 16,
            failures_max: 5,
            open_first: Duration::from_secs(5),
            open_max: Duration::from_secs(300),
            slow: Duration::from_secs(3),
            spacing: Duration::from_millis(250),
            remembered_max: 10_000,
        }
    }
}

#[derive(Debug, Default)]
struct Destination {
    in_flight: usize,
    failures: u32,
    is_slow: bool,
    open_until: Option<Timestamp>,
    opened: u32,
    /// The next turn to be given to a delivery that finds no slot.
    turn_at: Timestamp,
    /// When it last answered, or was first asked while idle: one that holds deliveries and says nothing is a suspect
    /// before the first of them times out.
    progress_at: Timestamp,
}

/// The longest that a delivery is told to wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(900);

impl Destination {
    /// How long the next delivery waits that finds no slot: at least `base`, each one `spacing` longer than the one before.
    fn turn(&mut self, now: Timestamp, base: Duration, spacing: Duration) -> Duration {
        let turn = self.turn_at.max(now.plus(base));
        if turn.since(now) > TURN_MAX.max(base) {
            return TURN_MAX.max(base);
        }
        self.turn_at = turn.plus(spacing);
        turn.since(now)
    }

    fn is_suspect(&self, now: Timestamp, slow: Duration) -> bool {
        self.failures > 0 || self.is_slow || (self.in_flight > 0 && now.since(self.progress_at) > slow)
    }
}

#[derive(Debug, Default)]
struct Inside {
    destinations: HashMap<String, Destination>,
    suspects_in_flight: usize,
}

impl GateLimits {
    /// For a mail server: there is one, so that nobody shares its slots and being slow is no offence; only a server that does
    /// not answer at all is left alone for a while.
    pub fn for_mail() -> Self {
        let many = usize::MAX;
        let (slow, open_max, spacing) = (Duration::MAX, Duration::from_secs(60), Duration::from_millis(20));
        Self { per_destination: many, per_suspect: many, suspects_max: many, slow, open_max, spacing, ..Self::default() }
    }
}

/// Lets deliveries through to their destinations; clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    inside: Arc<Mutex<Inside>>,
    limits: Arc<GateLimits>,
    clock: Clock,
}

/// How a delivery went, as far as its destination's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answered, and not with a sign of trouble of its own.
    Well,
    /// It did not answer, or said that it is in trouble.
    Ill,
}

/// A slot at a destination; give it back with how the delivery went. Dropping it gives the slot back without a verdict.
pub(crate) struct Slot {
    gate: Gate,
    destination: String,
    is_suspect: bool,
    is_open: bool,
}

impl Gate {
    /// A gate with these bounds.
    pub fn new(limits: GateLimits, clock: Clock) -> Self {
        Self { inside: Arc::default(), limits: Arc::new(limits), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot at `destination`, or how long to wait before asking again.
    pub(crate) fn enter(&self, destination: &str) -> Result<Slot, Duration> {
        let now = self.clock.now();
        let mut inside = self.lock();
        if inside.destinations.len() >= self.limits.remembered_max && !inside.destinations.contains_key(destination) {
            inside.destinations.retain(|_, d| d.in_flight > 0 || d.is_suspect(now, self.limits.slow));
        }
        let suspects_in_flight = inside.suspects_in_flight;
        let entry = inside.destinations.entry(destination.to_owned()).or_default();
        let spacing = self.limits.spacing;
        if let Some(until) = entry.open_until.filter(|until| now < *until) {
            return Err(entry.turn(now, until.since(now), spacing));
        }
        let is_suspect = entry.is_suspect(now, self.limits.slow);
        // An open breaker whose time is over lets one probe through.
        let cap = match (entry.open_until, is_suspect) {
            (Some(_), _) => 1,
            (None, true) => self.limits.per_suspect,
            (None, false) => self.limits.per_destination,
        };
        if entry.in_flight >= cap || (is_suspect && suspects_in_flight >= self.limits.suspects_max) {
            return Err(entry.turn(now, if is_suspect { Duration::from_secs(1) } else { spacing }, spacing));
        }
        if entry.in_flight == 0 {
            entry.progress_at = now;
        }
        entry.in_flight += 1;
        if is_suspect {
            inside.suspects_in_flight += 1;
        }
        Ok(Slot { gate: self.clone(), destination: destination.to_owned(), is_suspect, is_open: true })
    }

    /// Destinations whose breaker is open now.
    pub fn open_count(&self) -> usize {
        let now = self.clock.now();
        self.lock().destinations.values().filter(|d| d.open_until.is_some_and(|until| now < until)).count()
    }

    fn give_back(&self, slot: &mut Slot, verdict: Option<(Health, Duration)>) {
        if !std::mem::replace(&mut slot.is_open, false) {
            return;
        }
        let now = self.clock.now();
        let mut inside = self.lock();
        if slot.is_suspect {
            inside.suspects_in_flight = inside.suspects_in_flight.saturating_sub(1);
        }
        let Some(entry) = inside.destinations.get_mut(&slot.destination) else { return };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        match verdict {
            None => {}
            Some((Health::Well, took)) => {
                let is_slow = took > self.limits.slow;
                *entry = Destination { in_flight: entry.in_flight, is_slow, progress_at: now, ..Destination::default() };
            }
            Some((Health::Ill, _)) => {
                entry.failures = entry.failures.saturating_add(1);
                // Verdicts of deliveries that began before the breaker opened do not open it once more.
                let opens = match entry.open_until {
                    Some(until) => now >= until,
                    None => entry.failures >= self.limits.failures_max,
                };
                if opens {
                    let wait = self.limits.open_first.saturating_mul(1 << entry.opened.min(16)).min(self.limits.open_max);
                    entry.opened = entry.opened.saturating_add(1);
                    entry.open_until = Some(now.plus(wait));
                    metrics::counter!("notifications_breaker_opened_total").increment(1);
                }
            }
        }
    }
}

impl Slot {
    /// Gives the slot back with how the delivery went and how long it took.
    pub(crate) fn done(mut self, health: Health, took: Duration) {
        let gate = self.gate.clone();
        gate.give_back(&mut self, Some((health, took)));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let gate = self.gate.clone();
        gate.give_back(self, None);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate() -> (Gate, Clock) {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000));
        (Gate::new(GateLimits { suspects_max: 2, failures_max: 2, ..GateLimits::default() }, clock.clone()), clock)
    }

    #[test]
    fn one_destination_holds_no_more_than_its_cap_and_others_pass() {
        let (gate, clock) = gate();
        let held: Vec<_> = (0..4).map(|_| gate.enter("a").ok().unwrap()).collect();
        assert!(gate.enter("a").is_err());
        assert!(gate.enter("b").is_ok());
        drop(held);
        let _held = gate.enter("a").ok().unwrap();
        clock.advance(Duration::from_secs(4));
        assert!(gate.enter("a").is_err(), "one that holds a delivery and says nothing gets no more");
        drop(_held);
        assert!(gate.enter("a").is_ok());
    }

    #[test]
    fn suspects_share_a_part_of_the_lane_and_the_healthy_always_pass() {
        let (gate, _) = gate();
        for name in ["a", "b", "c"] {
            gate.enter(name).ok().unwrap().done(Health::Well, Duration::from_secs(10));
        }
        let _a = gate.enter("a").ok().unwrap();
        assert!(gate.enter("a").is_err(), "a suspect holds one slot");
        let _b = gate.enter("b").ok().unwrap();
        assert!(gate.enter("c").is_err(), "the suspects' part is full");
        assert!(gate.enter("healthy").is_ok());
    }

    #[test]
    fn after_failures_in_a_row_it_is_left_alone_then_one_probe_decides() {
        let (gate, clock) = gate();
        for _ in 0..2 {
            gate.enter("a").ok().unwrap().done(Health::Ill, Duration::ZERO);
        }
        assert_eq!(gate.enter("a").err(), Some(Duration::from_secs(5)));
        assert_eq!(gate.enter("a").err(), Some(Duration::from_millis(5_250)), "each waits a little longer than the one before");
        assert_eq!(gate.open_count(), 1);
        clock.advance(Duration::from_secs(5));
        let probe = gate.enter("a").ok().unwrap();
        assert!(gate.enter("a").is_err(), "a single probe");
        probe.done(Health::Ill, Duration::ZERO);
        assert!(gate.enter("a").is_err_and(|wait| wait >= Duration::from_secs(10)), "twice as long");
        clock.advance(Duration::from_secs(10));
        gate.enter("a").ok().unwrap().done(Health::Well, Duration::ZERO);
        let slots: Vec<_> = (0..4).map(|_| gate.enter("a").is_ok()).collect();
        assert!(slots.iter().all(|ok| *ok));
    }

    #[test]
    fn no_turn_is_further_away_than_a_quarter_of_an_hour() {
        let (gate, _) = gate();
        let _held: Vec<_> = (0..4).map(|_| gate.enter("a").ok().unwrap()).collect();
        let waits: Vec<_> = (0..10_000).map(|_| gate.enter("a").err().unwrap()).collect();
        assert_eq!(waits[0], Duration::from_millis(250));
        assert!(waits.is_sorted() && waits[9_999] <= TURN_MAX);
    }

    #[test]
    fn a_slot_that_is_dropped_is_given_back() {
        let (gate, _) = gate();
        for _ in 0..100 {
            drop(gate.enter("a").ok().unwrap());
        }
        assert!(gate.enter("a").is_ok());
    }
}
