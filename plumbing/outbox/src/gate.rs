//! The gate in front of the destinations of jobs: how many calls one may hold, and when it is left alone.
//!
//! A destination is a name that the caller gives: an endpoint, a mail server, one operation of a provider. It holds at most
//! `per_destination` slots, and fewer while the gate as a whole is crowded. One that failed, was slow lately or holds calls
//! and says nothing is a suspect: it holds few slots, and all suspects together a part of the lane, so that healthy ones
//! always find room. After `failures_max` failures in a row the destination is left alone for a while that doubles, and then
//! a single probe decides. What is a failure is the caller's word: a refusal is none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Clock, Timestamp};

/// The bounds of a gate.
#[derive(Debug, Clone)]
pub struct GateLimits {
    /// Calls to one destination at once.
    pub per_destination: usize,
    /// Calls to one suspect at once.
    pub per_suspect: usize,
    /// Calls to all suspects at once; half of the lane's concurrency.
    pub suspects_max: usize,
    /// From so many calls to all destinations on, each gets no more than `per_crowded`: many that hang at the same time,
    /// because they are one party behind many names, leave room for the others.
    pub crowded_at: usize,
    /// Calls to one destination at once while the gate is crowded.
    pub per_crowded: usize,
    /// Failures in a row that make a suspect, at least 1: more where single failures are no news.
    pub suspect_failures: u32,
    /// Failures in a row that open the breaker.
    pub failures_max: u32,
    /// How long it stays open the first time; doubles up to `open_max`.
    pub open_first: Duration,
    /// The longest that it stays open.
    pub open_max: Duration,
    /// A call that took longer makes its destination a suspect, and so does holding calls without a word for so long.
    pub slow: Duration,
    /// Between the turns of calls that found no slot, so that a long queue does not come back all at once.
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
            crowded_at: usize::MAX,
            per_crowded: usize::MAX,
            suspect_failures: 1,
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
    /// The next turn to be given to a call that finds no slot.
    turn_at: Timestamp,
    /// When it last answered, or was first asked while idle: one that holds calls and says nothing is a suspect before the
    /// first of them times out.
    progress_at: Timestamp,
}

/// The longest that a call is told to wait for its turn.
const TURN_MAX: Duration = Duration::from_secs(900);

impl Destination {
    /// How long the next call waits that finds no slot: at least `base`, each one `spacing` longer than the one before.
    fn turn(&mut self, now: Timestamp, base: Duration, spacing: Duration) -> Duration {
        let turn = self.turn_at.max(now.plus(base));
        if turn.since(now) > TURN_MAX.max(base) {
            return TURN_MAX.max(base);
        }
        self.turn_at = turn.plus(spacing);
        turn.since(now)
    }

    fn is_silent(&self, now: Timestamp, slow: Duration) -> bool {
        self.in_flight > 0 && now.since(self.progress_at) > slow
    }

    fn is_suspect(&self, now: Timestamp, limits: &GateLimits) -> bool {
        self.failures >= limits.suspect_failures || self.is_slow || self.is_silent(now, limits.slow)
    }
}

#[derive(Debug, Default)]
struct Inside {
    destinations: HashMap<String, Destination>,
    in_flight: usize,
    suspects_in_flight: usize,
}

impl Inside {
    /// Makes room for one more name: healthy ones without a call are forgotten first, then all without a call.
    fn forget(&mut self, now: Timestamp, limits: &GateLimits) {
        self.destinations.retain(|_, d| d.in_flight > 0 || d.is_suspect(now, limits));
        if self.destinations.len() >= limits.remembered_max {
            self.destinations.retain(|_, d| d.in_flight > 0);
        }
    }
}

/// Lets calls through to their destinations; clones are the same gate.
#[derive(Clone)]
pub struct Gate {
    opened_counter: &'static str,
    inside: Arc<Mutex<Inside>>,
    limits: Arc<GateLimits>,
    clock: Clock,
}

/// How a call went, as far as its destination's health is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Went {
    /// It answered, and not with a sign of trouble of its own.
    Well,
    /// It did not answer, or said that it is in trouble.
    Ill,
}

/// A slot at a destination; give it back with how the call went. Dropping it gives the slot back without a verdict.
pub struct Slot {
    gate: Gate,
    destination: String,
    is_suspect: bool,
    /// How often the breaker had opened when the call began.
    opened: u32,
    is_open: bool,
}

impl Gate {
    /// A gate with these bounds; `opened_counter` names the metric that counts how often one of its breakers opened.
    pub fn new(opened_counter: &'static str, limits: GateLimits, clock: Clock) -> Self {
        Self { opened_counter, inside: Arc::default(), limits: Arc::new(limits), clock }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A slot at `destination`, or how long to wait before asking again.
    pub fn enter(&self, destination: &str) -> Result<Slot, Duration> {
        let now = self.clock.now();
        let mut inside = self.lock();
        if inside.destinations.len() >= self.limits.remembered_max && !inside.destinations.contains_key(destination) {
            inside.forget(now, &self.limits);
        }
        let suspects_in_flight = inside.suspects_in_flight;
        let is_crowded = inside.in_flight >= self.limits.crowded_at;
        let entry = inside.destinations.entry(destination.to_owned()).or_default();
        let spacing = self.limits.spacing;
        if let Some(until) = entry.open_until.filter(|until| now < *until) {
            return Err(entry.turn(now, until.since(now), spacing));
        }
        let is_suspect = entry.is_suspect(now, &self.limits);
        // An open breaker whose time is over lets one probe through.
        let cap = match (entry.open_until, is_suspect) {
            (Some(_), _) => 1,
            (None, true) => self.limits.per_suspect,
            (None, false) => self.limits.per_destination,
        };
        let cap = if is_crowded { cap.min(self.limits.per_crowded) } else { cap };
        if entry.in_flight >= cap || (is_suspect && suspects_in_flight >= self.limits.suspects_max) {
            return Err(entry.turn(now, if is_suspect { Duration::from_secs(1) } else { spacing }, spacing));
        }
        if entry.in_flight == 0 {
            entry.progress_at = now;
        }
        entry.in_flight += 1;
        let opened = entry.opened;
        inside.in_flight += 1;
        if is_suspect {
            inside.suspects_in_flight += 1;
        }
        Ok(Slot { gate: self.clone(), destination: destination.to_owned(), is_suspect, opened, is_open: true })
    }

    /// Whether more may be sent to `destination` without likely waiting for nothing: it is not left alone, no probe is out
    /// to it, and it does not hold calls without a word. One whose time is over is well again, so that somebody probes it.
    pub fn is_well(&self, destination: &str) -> bool {
        let now = self.clock.now();
        let inside = self.lock();
        let Some(entry) = inside.destinations.get(destination) else { return true };
        let is_kept_away = entry.open_until.is_some_and(|until| now < until || entry.in_flight > 0);
        !is_kept_away && !entry.is_silent(now, self.limits.slow)
    }

    /// Destinations whose breaker opened and that have not answered well since.
    pub fn broken_count(&self) -> usize {
        self.lock().destinations.values().filter(|d| d.open_until.is_some()).count()
    }

    /// Destinations whose breaker is open now.
    pub fn open_count(&self) -> usize {
        let now = self.clock.now();
        self.lock().destinations.values().filter(|d| d.open_until.is_some_and(|until| now < until)).count()
    }

    /// Whether the breaker opened or closed with it.
    fn give_back(&self, slot: &mut Slot, verdict: Option<(Went, Duration)>) -> bool {
        if !std::mem::replace(&mut slot.is_open, false) {
            return false;
        }
        let now = self.clock.now();
        let mut inside = self.lock();
        inside.in_flight = inside.in_flight.saturating_sub(1);
        if slot.is_suspect {
            inside.suspects_in_flight = inside.suspects_in_flight.saturating_sub(1);
        }
        let Some(entry) = inside.destinations.get_mut(&slot.destination) else { return false };
        entry.in_flight = entry.in_flight.saturating_sub(1);
        match verdict {
            None => false,
            Some((Went::Well, took)) => {
                let (was_broken, is_slow) = (entry.open_until.is_some(), took > self.limits.slow);
                *entry = Destination { in_flight: entry.in_flight, is_slow, progress_at: now, ..Destination::default() };
                was_broken
            }
            Some((Went::Ill, _)) => {
                entry.failures = entry.failures.saturating_add(1);
                // Verdicts of calls that began before the breaker opened do not open it once more.
                let opens = match entry.open_until {
                    Some(until) => now >= until && slot.opened == entry.opened,
                    None => entry.failures >= self.limits.failures_max,
                };
                if opens {
                    let wait = self.limits.open_first.saturating_mul(1 << entry.opened.min(16)).min(self.limits.open_max);
                    entry.opened = entry.opened.saturating_add(1);
                    entry.open_until = Some(now.plus(wait));
                    metrics::counter!(self.opened_counter).increment(1);
                }
                opens
            }
        }
    }
}

impl Slot {
    /// Gives the slot back with how the call went and how long it took; says whether the breaker opened or closed with it.
    pub fn done(mut self, went: Went, took: Duration) -> bool {
        let gate = self.gate.clone();
        gate.give_back(&mut self, Some((went, took)))
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

    fn gate_with(limits: GateLimits, clock: &Clock) -> Gate {
        Gate::new("test_breaker_opened_total", GateLimits { suspects_max: 2, failures_max: 2, ..limits }, clock.clone())
    }

    fn gate() -> (Gate, Clock) {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000));
        (gate_with(GateLimits::default(), &clock), clock)
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
            gate.enter(name).ok().unwrap().done(Went::Well, Duration::from_secs(10));
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
            gate.enter("a").ok().unwrap().done(Went::Ill, Duration::ZERO);
        }
        assert_eq!(gate.enter("a").err(), Some(Duration::from_secs(5)));
        assert_eq!(gate.enter("a").err(), Some(Duration::from_millis(5_250)), "each waits a little longer than the one before");
        assert_eq!(gate.open_count(), 1);
        clock.advance(Duration::from_secs(5));
        let probe = gate.enter("a").ok().unwrap();
        assert!(gate.enter("a").is_err(), "a single probe");
        probe.done(Went::Ill, Duration::ZERO);
        assert!(gate.enter("a").is_err_and(|wait| wait >= Duration::from_secs(10)), "twice as long");
        clock.advance(Duration::from_secs(10));
        gate.enter("a").ok().unwrap().done(Went::Well, Duration::ZERO);
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

    #[test]
    fn whoever_began_before_the_breaker_opened_does_not_double_its_time() {
        let (gate, clock) = gate();
        let [late, first, second] = [(); 3].map(|()| gate.enter("a").ok().unwrap());
        first.done(Went::Ill, Duration::ZERO);
        second.done(Went::Ill, Duration::ZERO);
        clock.advance(Duration::from_secs(6));
        assert!(!late.done(Went::Ill, Duration::from_secs(6)), "it says nothing new");
        assert!(gate.is_well("a"), "the probe is still to be made");
        assert!(gate.enter("a").ok().unwrap().done(Went::Ill, Duration::ZERO), "the probe's word counts");
        assert!(!gate.is_well("a"));
    }

    #[test]
    fn one_is_well_unless_it_is_left_alone_probed_or_silent() {
        let (gate, clock) = gate();
        assert!(gate.is_well("a"), "nothing is known against it");
        let held = gate.enter("a").ok().unwrap();
        clock.advance(Duration::from_secs(4));
        assert!(!gate.is_well("a"), "it holds a call and says nothing");
        held.done(Went::Ill, Duration::from_secs(4));
        assert!(gate.is_well("a"), "one failure is not enough");
        gate.enter("a").ok().unwrap().done(Went::Ill, Duration::ZERO);
        assert!(!gate.is_well("a"), "it is left alone");
        clock.advance(Duration::from_secs(5));
        assert!(gate.is_well("a"), "somebody has to be the probe");
        let probe = gate.enter("a").ok().unwrap();
        assert!(!gate.is_well("a"), "the probe is out");
        assert_eq!((gate.open_count(), gate.broken_count()), (0, 1));
        assert!(probe.done(Went::Well, Duration::ZERO), "it closed");
        assert!(gate.is_well("a"));
        assert_eq!(gate.broken_count(), 0);
    }

    #[test]
    fn while_the_gate_is_crowded_each_destination_holds_fewer_slots() {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000));
        let gate = gate_with(GateLimits { crowded_at: 4, per_crowded: 1, ..GateLimits::default() }, &clock);
        let mut held: Vec<_> = (0..4).map(|_| gate.enter("a").ok().unwrap()).collect();
        held.push(gate.enter("b").ok().unwrap());
        assert!(gate.enter("b").is_err(), "it has one already");
        assert!(gate.enter("c").is_ok(), "who has none still gets one");
        held.drain(..2);
        assert!(gate.enter("b").is_ok(), "no longer crowded");
    }

    #[test]
    fn names_beyond_the_bound_push_out_idle_ones_even_where_they_failed() {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000));
        let gate = gate_with(GateLimits { remembered_max: 10, suspects_max: 100, ..GateLimits::default() }, &clock);
        let _held = gate.enter("held").ok().unwrap();
        for n in 0..1_000 {
            gate.enter(&format!("gone {n}")).ok().unwrap().done(Went::Ill, Duration::ZERO);
            assert!(gate.lock().destinations.len() <= 10);
        }
        assert!(gate.lock().destinations.contains_key("held"));
    }

    #[test]
    fn where_single_failures_are_no_news_one_of_them_makes_no_suspect() {
        let clock = Clock::stopped(Timestamp::from_seconds(1_000));
        let gate = Gate::new("x", GateLimits { suspect_failures: 2, failures_max: 9, ..GateLimits::default() }, clock);
        gate.enter("a").ok().unwrap().done(Went::Ill, Duration::ZERO);
        let both = [gate.enter("a").ok().unwrap(), gate.enter("a").ok().unwrap()];
        for slot in both {
            slot.done(Went::Ill, Duration::ZERO);
        }
        let _held = gate.enter("a").ok().unwrap();
        assert!(gate.enter("a").is_err(), "three in a row are news");
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_slots_are_counted_and_no_bound_is_passed(steps in proptest::collection::vec((0_u8..6, 0_u8..4, 0_u64..8), 0..400)) {
            let clock = Clock::stopped(Timestamp::from_seconds(1_000));
            let limits = GateLimits { crowded_at: 6, per_crowded: 2, remembered_max: 3, ..GateLimits::default() };
            let gate = gate_with(limits.clone(), &clock);
            let mut held: Vec<(u8, Slot)> = Vec::new();
            for (step, name, seconds) in steps {
                match step {
                    0..3 => {
                        let of_this = held.iter().filter(|(of, _)| *of == name).count();
                        match gate.enter(&name.to_string()) {
                            Ok(slot) => {
                                proptest::prop_assert!(of_this < limits.per_destination);
                                proptest::prop_assert!(held.len() < limits.crowded_at || of_this < limits.per_crowded);
                                held.push((name, slot));
                            }
                            Err(wait) => proptest::prop_assert!(!wait.is_zero() && wait <= TURN_MAX),
                        }
                    }
                    3 if !held.is_empty() => drop(held.swap_remove(usize::from(name) % held.len())),
                    4 if !held.is_empty() => {
                        let went = if seconds % 2 == 0 { Went::Well } else { Went::Ill };
                        held.swap_remove(usize::from(name) % held.len()).1.done(went, Duration::from_secs(seconds));
                    }
                    _ => clock.advance(Duration::from_secs(seconds)),
                }
                let inside = gate.lock();
                let counted: usize = inside.destinations.values().map(|destination| destination.in_flight).sum();
                proptest::prop_assert_eq!((counted, inside.in_flight), (held.len(), held.len()));
                let suspects = held.iter().filter(|(_, slot)| slot.is_suspect).count();
                proptest::prop_assert_eq!(inside.suspects_in_flight, suspects);
                proptest::prop_assert!(suspects <= limits.suspects_max.max(2) && inside.destinations.len() <= 4);
            }
            held.clear();
            let (in_flight, suspects) = {
                let inside = gate.lock();
                (inside.in_flight, inside.suspects_in_flight)
            };
            proptest::prop_assert_eq!((in_flight, suspects), (0, 0));
            clock.advance(limits.open_max);
            // However it went, everybody gets in again in the end.
            for name in 0..4_u8 {
                proptest::prop_assert!(gate.is_well(&name.to_string()) && gate.enter(&name.to_string()).is_ok());
            }
        }
    }
}
