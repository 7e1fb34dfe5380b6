//! Rate limits: how often one caller, one address or one account may knock.
//!
//! Generic cell rate (governor) over keyed hashes, so that neither addresses nor accounts are kept. Memory is bounded: idle
//! keys are dropped, and beyond [`KEYS_MAX`] busy keys of one class new ones share a few thousand buckets.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::Problem;

/// The most keys of one class that have a bucket of their own.
const KEYS_MAX: usize = 100_000;
/// How many buckets the rest share.
const SHARED: u64 = 4_096;
/// After how many draws idle keys are dropped.
const SWEEP_EVERY: u32 = 8_192;

/// What is being limited; each class has its own allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Everything that comes from one address.
    Address,
    /// Everything that one known caller does.
    Caller,
    /// Attempts to sign in, by address and by account; wrong API keys count too.
    SignIn,
    /// Forms that anybody may fill in.
    PublicForm,
}

/// So many requests at once, filled up again over a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many requests a full allowance has.
    pub requests: u32,
    /// How long an empty allowance takes to fill up, in seconds.
    pub per_s: u32,
}

/// The allowances of the classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// See [`Class::Address`].
    pub address: Rate,
    /// See [`Class::Caller`].
    pub caller: Rate,
    /// See [`Class::SignIn`].
    pub sign_in: Rate,
    /// See [`Class::PublicForm`].
    pub public_form: Rate,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            address: Rate { requests: 1_200, per_s: 60 },
            caller: Rate { requests: 3_000, per_s: 60 },
            sign_in: Rate { requests: 10, per_s: 300 },
            public_form: Rate { requests: 20, per_s: 60 },
        }
    }
}

/// What is left of an allowance after a draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    class: Class,
    rate: Rate,
    left: u32,
}

impl Allowance {
    /// Writes the headers of draft-ietf-httpapi-ratelimit-headers: the policy, and what is left until when.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let name = match self.class {
            Class::Address => "address",
            Class::Caller => "caller",
            Class::SignIn => "sign-in",
            Class::PublicForm => "public-form",
        };
        let Rate { requests, per_s } = self.rate;
        // The time until the allowance is full again.
        let full_in_s = u64::from(requests.saturating_sub(self.left)) * u64::from(per_s) / u64::from(requests.max(1));
        let policy = format!("\"{name}\";q={requests};w={per_s}");
        let state = format!("\"{name}\";r={};t={full_in_s}", self.left);
        for (name, text) in [("ratelimit-policy", policy), ("ratelimit", state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

struct Buckets<C: Clock> {
    class: Class,
    rate: Rate,
    limiter: RateLimiter<u64, DashMapStateStore<u64>, C, StateInformationMiddleware>,
    draws: AtomicU32,
    crowded: AtomicBool,
}

impl<C: Clock> Buckets<C> {
    fn new(class: Class, rate: Rate, clock: C) -> Self {
        let burst = NonZeroU32::new(rate.requests).unwrap_or(NonZeroU32::MIN);
        let period = Duration::from_secs(u64::from(rate.per_s.max(1))) / burst.get();
        let quota = Quota::with_period(period).unwrap_or_else(|| Quota::per_second(burst)).allow_burst(burst);
        let limiter = RateLimiter::new(quota, DashMapStateStore::default(), clock);
        Self { class, rate, limiter, draws: AtomicU32::new(0), crowded: AtomicBool::new(false) }
    }

    fn draw(&self, hash: u64) -> Result<Allowance, Problem> {
        if self.draws.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.limiter.retain_recent();
            self.crowded.store(self.limiter.len() > KEYS_MAX, Ordering::Relaxed);
        }
        let key = if self.crowded.load(Ordering::Relaxed) { hash % SHARED } else { hash };
        match self.limiter.check_key(&key) {
            Ok(state) => Ok(Allowance { class: self.class, rate: self.rate, left: state.remaining_burst_capacity() }),
            Err(not_until) => {
                let wait = not_until.wait_time_from(self.limiter.clock().now());
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                Err(too_many(seconds.max(1)))
            }
        }
    }
}

/// 429: come back in so many seconds.
fn too_many(seconds: u64) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests")
        .with_detail(format!("too many requests: try again in {seconds} s"))
        .with_retry_after(seconds)
}

/// The allowances of all classes.
pub struct Limits<C: Clock = DefaultClock> {
    hasher: RandomState,
    classes: [Buckets<C>; 4],
}

impl Limits {
    /// With these allowances, on the machine's monotonic clock.
    pub fn new(settings: LimitSettings) -> Self {
        Self::with_clock(settings, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Limits<C> {
    fn with_clock(settings: LimitSettings, clock: C) -> Self {
        let buckets = |class, rate| Buckets::new(class, rate, clock.clone());
        let classes = [
            buckets(Class::Address, settings.address),
            buckets(Class::Caller, settings.caller),
            buckets(Class::SignIn, settings.sign_in),
            buckets(Class::PublicForm, settings.public_form),
        ];
        Self { hasher: RandomState::new(), classes }
    }

    fn buckets(&self, class: Class) -> &Buckets<C> {
        let [address, caller, sign_in, public_form] = &self.classes;
        match class {
            Class::Address => address,
            Class::Caller => caller,
            Class::SignIn => sign_in,
            Class::PublicForm => public_form,
        }
    }

    /// Draws once on the allowance of `class` for `key`; 429 when it is used up.
    pub fn limit(&self, class: Class, key: &str) -> Result<Allowance, Problem> {
        self.buckets(class).draw(self.hasher.hash_one(key))
    }

    /// Draws once on the allowance of `class` for an address; of an IPv6 address the /64 counts, which one household has.
    pub fn limit_address(&self, class: Class, address: IpAddr) -> Result<Allowance, Problem> {
        let hash = match address.to_canonical() {
            IpAddr::V4(v4) => self.hasher.hash_one((4_u8, u64::from(v4.to_bits()))),
            IpAddr::V6(v6) => self.hasher.hash_one((6_u8, (v6.to_bits() >> 64) as u64)),
        };
        self.buckets(class).draw(hash)
    }

    /// Draws and notes what is left for the answer's headers.
    pub(crate) fn draw(&self, noted: &OnceLock<Allowance>, class: Class, key: &str) -> Result<(), Problem> {
        let allowance = self.limit(class, key)?;
        let _ = noted.set(allowance);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn limits(clock: &FakeRelativeClock) -> Limits<FakeRelativeClock> {
        let settings = LimitSettings { sign_in: Rate { requests: 3, per_s: 60 }, ..LimitSettings::default() };
        Limits::with_clock(settings, clock.clone())
    }

    #[test]
    fn an_allowance_is_used_up_and_fills_up_again() {
        let clock = FakeRelativeClock::default();
        let limits = limits(&clock);
        let left: Vec<u32> = (0..3).map(|_| limits.limit(Class::SignIn, "a").unwrap().left).collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = limits.limit(Class::SignIn, "a").unwrap_err();
        assert_eq!((refused.status(), refused.code()), (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"));
        let mut headers = HeaderMap::new();
        refused.headers(&mut headers);
        assert_eq!(headers["retry-after"], "20");
        assert!(limits.limit(Class::SignIn, "b").is_ok(), "another key has its own");
        assert!(limits.limit(Class::PublicForm, "a").is_ok(), "another class has its own");
        clock.advance(Duration::from_secs(20));
        assert!(limits.limit(Class::SignIn, "a").is_ok());
        assert!(limits.limit(Class::SignIn, "a").is_err());
    }

    #[test]
    fn a_household_of_ipv6_addresses_shares_one_allowance() {
        let limits = limits(&FakeRelativeClock::default());
        let draw = |text: &str| limits.limit_address(Class::SignIn, text.parse().unwrap());
        for address in ["2001:db8:1:2::1", "2001:db8:1:2:ffff::2", "2001:db8:1:2::3"] {
            assert!(draw(address).is_ok());
        }
        assert!(draw("2001:db8:1:2::4").is_err());
        assert!(draw("2001:db8:1:3::1").is_ok());
        for _ in 0..3 {
            assert!(draw("192.0.2.1").is_ok());
        }
        assert!(draw("::ffff:192.0.2.1").is_err(), "a mapped address is the IPv4 address");
    }

    #[test]
    fn memory_stays_bounded_when_every_request_has_a_new_key() {
        let limits = limits(&FakeRelativeClock::default());
        for n in 0..300_000_u32 {
            let _ = limits.limit(Class::SignIn, &n.to_string());
        }
        let kept = limits.buckets(Class::SignIn).limiter.len();
        assert!(kept <= KEYS_MAX + SWEEP_EVERY as usize + SHARED as usize, "{kept} keys are kept");
    }

    #[test]
    fn the_headers_say_the_policy_and_what_is_left() {
        let limits = limits(&FakeRelativeClock::default());
        let mut headers = HeaderMap::new();
        limits.limit(Class::SignIn, "a").unwrap().write(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"sign-in\";q=3;w=60");
        assert_eq!(headers["ratelimit"], "\"sign-in\";r=2;t=20");
    }
}
