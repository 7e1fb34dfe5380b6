//! Routing: which providers a payment is tried at, in which order, as rules that a workspace keeps. Pure.
//!
//! The first rule that fits a payment decides: by its priority, then by its place. Where none fits, every provider that takes
//! the payment is tried in the order of their names. What cannot take it is left out, what is not well goes to the end.

mod check;
mod plan;
mod retry;

use kernel::{Currency, Id as _, Money};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use check::{check, parse, stored};
pub use plan::{Nobody, Unfit, plan};
pub use retry::{NextStep, PROVIDERS_TRIED_MAX, next_step};

use crate::intent::{CaptureMethod, Intent, IntentId};
use crate::provider::{Abilities, Dialect, ProviderId};

/// Rules of one workspace: each plan reads all of them.
pub const RULES_MAX: usize = 100;
/// The word for paying with crypto currency: no other payment goes to a crypto on-ramp unless a rule names it.
pub const METHOD_CRYPTO: &str = "crypto";

/// A rule, as it stands in a body, in an answer and in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRule)]
pub struct Rule {
    /// What people call it: 1 to 120 characters on one line.
    #[schema(example = "Naira by bank transfer", max_length = 120)]
    pub name: String,
    /// From 0 to 1,000; of two rules that fit the lower decides, of two with the same the one that stands first.
    #[serde(default = "plain_priority")]
    #[schema(example = 100, minimum = 0, maximum = 1000)]
    pub priority: i64,
    /// Which payments it decides about: all conditions must hold, and without any it fits every payment.
    #[serde(default)]
    pub when: When,
    /// Where those go.
    pub then: Then,
}

const fn plain_priority() -> i64 {
    100
}

/// Conditions of a rule; an empty list is no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRuleConditions)]
pub struct When {
    /// One of these currencies: three capital letters of ISO 4217.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>, example = json!(["NGN"]), max_items = 200)]
    pub currencies: Vec<Currency>,
    /// At least so many minor units. A rule with an amount names exactly one currency: minor units of two say nothing to each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 10_000, minimum = 1, nullable = false)]
    pub min_minor: Option<i64>,
    /// At most so many minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = 5_000_000, minimum = 1, nullable = false)]
    pub max_minor: Option<i64>,
    /// The payer is in one of these countries: two capital letters of ISO 3166-1. A payment without a country does not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["NG"]), max_items = 200)]
    pub countries: Vec<String>,
    /// The payer wants to pay by one of these methods: small letters and underscores. A payment without one does not fit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(example = json!(["bank_transfer"]), max_items = 200)]
    pub methods: Vec<String>,
}

impl When {
    /// Whether every condition holds for a payment.
    pub fn fits(&self, wanted: &Wanted<'_>) -> bool {
        let holds =
            |list: &[String], word: Option<&str>| list.is_empty() || word.is_some_and(|word| list.iter().any(|known| known == word));
        let amount_minor = wanted.amount.amount_minor;
        (self.currencies.is_empty() || self.currencies.contains(&wanted.amount.currency))
            && self.min_minor.is_none_or(|min| amount_minor >= min)
            && self.max_minor.is_none_or(|max| amount_minor <= max)
            && holds(&self.countries, wanted.country)
            && holds(&self.methods, wanted.method)
    }
}

/// Where the payments of a rule go; the others of the list follow as a fallback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[schema(as = PaymentRuleOutcome)]
pub enum Then {
    /// To the first of these providers, then to the next.
    #[schema(value_type = Vec<String>)]
    Chain(Vec<ProviderId>),
    /// To each in proportion to its weight. The same payment always draws the same.
    Split(Vec<Share>),
    /// To the one where most attempts were paid within the last hour.
    Best(Best),
}

/// A provider's part of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRuleShare)]
pub struct Share {
    /// The provider.
    #[schema(value_type = String)]
    pub provider: ProviderId,
    /// Its weight beside the others', from 0 to 1,000,000; with 0 it is a fallback only.
    #[schema(example = 70, minimum = 0, maximum = 1_000_000)]
    pub weight: u32,
}

/// A choice by what was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PaymentRuleBest)]
pub struct Best {
    /// Among these providers.
    #[schema(value_type = Vec<String>)]
    pub providers: Vec<ProviderId>,
    /// A provider with fewer attempts within the last hour is not compared: 1 to 100,000.
    #[serde(default = "plain_tries_min")]
    #[schema(example = 50, minimum = 1, maximum = 100_000)]
    pub tries_min: u32,
    /// So many of a thousand payments go to one of the others, so that it is seen when they become better: 0 to 500.
    #[serde(default = "plain_explore")]
    #[schema(example = 50, minimum = 0, maximum = 500)]
    pub explore_per_mille: u32,
}

const fn plain_tries_min() -> u32 {
    50
}

const fn plain_explore() -> u32 {
    50
}

impl Then {
    /// The providers that it names, as they stand there.
    pub fn providers(&self) -> Vec<ProviderId> {
        match self {
            Self::Chain(providers) | Self::Best(Best { providers, .. }) => providers.clone(),
            Self::Split(shares) => shares.iter().map(|share| share.provider).collect(),
        }
    }
}

/// What a payment is, as far as routing asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// How much.
    pub amount: Money,
    /// Where the payer is (ISO 3166-1 alpha-2), if that is known.
    pub country: Option<&'a str>,
    /// How they want to pay, if they said.
    pub method: Option<&'a str>,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Every draw follows from it: the same payment draws the same. See [`seed_of`].
    pub seed: u64,
}

impl<'a> Wanted<'a> {
    /// What an intent is.
    pub fn of(intent: &'a Intent) -> Self {
        let (country, method) = (intent.country.as_deref(), intent.method.as_deref());
        Self { amount: intent.amount, country, method, capture_method: intent.capture_method, seed: seed_of(intent.id) }
    }
}

/// The seed of an intent's draws: both halves of its identifier.
pub fn seed_of(id: IntentId) -> u64 {
    let bits = id.raw().bits();
    (bits >> 64) as u64 ^ bits as u64
}

/// A provider that may be tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Which.
    pub id: ProviderId,
    /// What it speaks.
    pub dialect: Dialect,
    /// What that dialect can do.
    pub abilities: Abilities,
    /// The currencies that it takes; none for any.
    pub currencies: Option<Vec<Currency>>,
    /// Whether new payments are to go there, as [`Health::is_healthy`](crate::health::Health::is_healthy) says.
    pub is_healthy: bool,
    /// Of its attempts that ended within the last hour, those that were paid.
    pub successes: u32,
    /// Its attempts that ended within the last hour.
    pub tries: u32,
}
