//! Faults on demand: what may go wrong, the rules that say when, and the dice, which a seed decides.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Dialect;
use crate::call::{Call, Twist};

/// One thing that goes wrong, written as in `X-Sim-Fault`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Fault {
    /// `timeout_before`: no effect and no answer.
    TimeoutBefore,
    /// `timeout_after`: the effect, and no answer.
    TimeoutAfter,
    /// `error_500`: no effect, 500.
    Error500,
    /// `error_500_after`: the effect, and 500.
    Error500After,
    /// `slow:MS`: the answer comes that much later, after the effect.
    Slow(Duration),
    /// `cut`: the effect, and the connection is closed without an answer.
    Cut,
    /// `duplicate_webhook`: each webhook of this call is sent twice.
    DuplicateWebhook,
    /// `reordered_webhook`: it waits for the next webhook of the dialect, at most two seconds, and comes after it.
    ReorderedWebhook,
    /// `late_webhook:MS`: it comes that much later.
    LateWebhook(Duration),
    /// `no_webhook`: it never comes.
    NoWebhook,
    /// `forged_webhook`: it comes with a signature that does not verify.
    ForgedWebhook,
    /// `wrong_amount`: the provider really moves another amount, and says so everywhere.
    WrongAmount,
    /// `wrong_currency`: the provider really moves another currency, and says so everywhere.
    WrongCurrency,
    /// `wrong_amount_webhook`: the webhook alone names another amount, and is signed.
    WrongAmountWebhook,
    /// `wrong_currency_webhook`: the webhook alone names another currency, and is signed.
    WrongCurrencyWebhook,
    /// `not_found`: the provider says that it knows nothing of it, though it may; no effect. A query right after a payment meets this.
    NotFound,
    /// `decline:CODE`: what moves money is declined.
    Decline(String),
    /// `hang:SECONDS`: from now on the whole dialect hangs for so long; nothing that comes meanwhile has an effect or an answer.
    Hang(Duration),
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, argument) = text.trim().split_once(':').map_or((text.trim(), None), |(word, rest)| (word, Some(rest.trim())));
        let number = |unit: &str| -> Result<u64, String> {
            let text = argument.ok_or_else(|| format!("{word} needs {unit}, as in {word}:500"))?;
            text.parse::<u64>()
                .ok()
                .filter(|number| *number <= 86_400_000)
                .ok_or_else(|| format!("{word}: {text:?} is no number of {unit}"))
        };
        Ok(match word {
            "timeout_before" => Self::TimeoutBefore,
            "timeout_after" => Self::TimeoutAfter,
            "error_500" => Self::Error500,
            "error_500_after" => Self::Error500After,
            "slow" => Self::Slow(Duration::from_millis(number("milliseconds")?)),
            "cut" => Self::Cut,
            "duplicate_webhook" => Self::DuplicateWebhook,
            "reordered_webhook" => Self::ReorderedWebhook,
            "late_webhook" => Self::LateWebhook(Duration::from_millis(number("milliseconds")?)),
            "no_webhook" => Self::NoWebhook,
            "forged_webhook" => Self::ForgedWebhook,
            "wrong_amount" => Self::WrongAmount,
            "wrong_currency" => Self::WrongCurrency,
            "wrong_amount_webhook" => Self::WrongAmountWebhook,
            "wrong_currency_webhook" => Self::WrongCurrencyWebhook,
            "not_found" => Self::NotFound,
            "decline" => Self::Decline(argument.unwrap_or_default().to_owned()),
            "hang" => Self::Hang(Duration::from_secs(number("seconds")?)),
            _ => {
                return Err(format!(
                    "{word:?} is no fault; there are timeout_before, timeout_after, error_500, error_500_after, slow:MS, cut, \
                     duplicate_webhook, reordered_webhook, late_webhook:MS, no_webhook, forged_webhook, wrong_amount, wrong_currency, \
                     wrong_amount_webhook, wrong_currency_webhook, not_found, decline:CODE, hang:SECONDS"
                ));
            }
        })
    }
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::TimeoutBefore => "timeout_before".to_owned(),
            Fault::TimeoutAfter => "timeout_after".to_owned(),
            Fault::Error500 => "error_500".to_owned(),
            Fault::Error500After => "error_500_after".to_owned(),
            Fault::Slow(time) => format!("slow:{}", time.as_millis()),
            Fault::Cut => "cut".to_owned(),
            Fault::DuplicateWebhook => "duplicate_webhook".to_owned(),
            Fault::ReorderedWebhook => "reordered_webhook".to_owned(),
            Fault::LateWebhook(time) => format!("late_webhook:{}", time.as_millis()),
            Fault::NoWebhook => "no_webhook".to_owned(),
            Fault::ForgedWebhook => "forged_webhook".to_owned(),
            Fault::WrongAmount => "wrong_amount".to_owned(),
            Fault::WrongCurrency => "wrong_currency".to_owned(),
            Fault::WrongAmountWebhook => "wrong_amount_webhook".to_owned(),
            Fault::WrongCurrencyWebhook => "wrong_currency_webhook".to_owned(),
            Fault::NotFound => "not_found".to_owned(),
            Fault::Decline(code) => format!("decline:{code}"),
            Fault::Hang(time) => format!("hang:{}", time.as_secs()),
        }
    }
}

/// When a fault happens. What is left out does not restrict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The dialect.
    #[serde(default)]
    pub dialect: Option<Dialect>,
    /// The operation, as [`crate::providers::Provider::operation`] names it, or `pay` for a payer's click.
    #[serde(default)]
    pub operation: Option<String>,
    /// A text that path or body must contain; for a payer's click the merchant's reference.
    #[serde(default)]
    pub contains: Option<String>,
    /// What goes wrong.
    pub fault: Fault,
    /// How often, 0 to 100 of a hundred calls that match; the seed decides which.
    #[serde(default = "always")]
    pub rate_percent: u8,
    /// How many times at most.
    #[serde(default)]
    pub times: Option<u64>,
}

fn always() -> u8 {
    100
}

impl Rule {
    /// A rule that always bites, at one dialect and operation.
    pub fn always(dialect: Dialect, operation: &str, fault: Fault) -> Self {
        Self { dialect: Some(dialect), operation: Some(operation.to_owned()), contains: None, fault, rate_percent: 100, times: None }
    }

    /// The same, and only so many times.
    #[must_use]
    pub fn times(self, times: u64) -> Self {
        Self { times: Some(times), ..self }
    }

    /// The same, for so many of a hundred calls.
    #[must_use]
    pub fn percent(self, rate_percent: u8) -> Self {
        Self { rate_percent, ..self }
    }
}

/// A rule and how it went so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ActiveRule {
    /// Its number.
    pub id: u64,
    /// The rule.
    #[serde(flatten)]
    pub rule: Rule,
    /// Calls that matched.
    pub matched: u64,
    /// Calls that it hit.
    pub hit: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Rules {
    seed: u64,
    last_id: u64,
    active: Vec<ActiveRule>,
}

/// At most so many rules at once.
const RULES_MAX: usize = 1_000;

impl Rules {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    pub(crate) fn add(&mut self, rule: Rule) -> Result<u64, String> {
        if rule.rate_percent > 100 {
            return Err(format!("rate_percent is 0 to 100, not {}", rule.rate_percent));
        }
        if self.active.len() >= RULES_MAX {
            return Err(format!("there are {RULES_MAX} rules already; delete some"));
        }
        self.last_id += 1;
        self.active.push(ActiveRule { id: self.last_id, rule, matched: 0, hit: 0 });
        Ok(self.last_id)
    }

    pub(crate) fn remove(&mut self, id: u64) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() < before
    }

    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    pub(crate) fn list(&self) -> &[ActiveRule] {
        &self.active
    }

    pub(crate) fn bite(&mut self, dialect: Dialect, operation: &str, contains: impl Fn(&str) -> bool) -> Vec<Fault> {
        let mut faults = Vec::new();
        for active in &mut self.active {
            let rule = &active.rule;
            let is_meant = rule.dialect.is_none_or(|wanted| wanted == dialect)
                && rule.operation.as_deref().is_none_or(|wanted| wanted == operation)
                && rule.times.is_none_or(|times| active.hit < times)
                && rule.contains.as_deref().is_none_or(&contains);
            if is_meant {
                active.matched += 1;
                if roll(roll(self.seed, active.id), active.matched) % 100 < u64::from(rule.rate_percent) {
                    active.hit += 1;
                    faults.push(rule.fault.clone());
                }
            }
        }
        faults
    }
}

/// A throw of dice that depends on nothing but the two numbers (SplitMix64).
pub(crate) fn roll(seed: u64, count: u64) -> u64 {
    let mut z = seed.wrapping_add(count.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// The faults of one call, sorted by who does them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub(crate) is_lost_before: bool,
    pub(crate) is_lost_after: bool,
    pub(crate) is_error_before: bool,
    pub(crate) is_not_found: bool,
    pub(crate) is_error_after: bool,
    pub(crate) is_cut: bool,
    pub(crate) slow: Duration,
    pub(crate) hang: Option<Duration>,
    pub(crate) twist: Twist,
    pub(crate) webhook: WebhookPlan,
}

/// The faults of the webhooks that one call causes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct WebhookPlan {
    pub(crate) is_twice: bool,
    pub(crate) is_reordered: bool,
    pub(crate) is_none: bool,
    pub(crate) is_forged: bool,
    pub(crate) is_wrong_amount: bool,
    pub(crate) is_wrong_currency: bool,
    pub(crate) late: Duration,
}

impl Plan {
    pub(crate) fn of(faults: Vec<Fault>) -> Self {
        let mut plan = Self::default();
        for fault in faults {
            match fault {
                Fault::TimeoutBefore => plan.is_lost_before = true,
                Fault::TimeoutAfter => plan.is_lost_after = true,
                Fault::NotFound => plan.is_not_found = true,
                Fault::Error500 => plan.is_error_before = true,
                Fault::Error500After => plan.is_error_after = true,
                Fault::Slow(time) => plan.slow += time,
                Fault::Cut => plan.is_cut = true,
                Fault::DuplicateWebhook => plan.webhook.is_twice = true,
                Fault::ReorderedWebhook => plan.webhook.is_reordered = true,
                Fault::LateWebhook(time) => plan.webhook.late += time,
                Fault::NoWebhook => plan.webhook.is_none = true,
                Fault::ForgedWebhook => plan.webhook.is_forged = true,
                Fault::WrongAmount => plan.twist.is_wrong_amount = true,
                Fault::WrongCurrency => plan.twist.is_wrong_currency = true,
                Fault::WrongAmountWebhook => plan.webhook.is_wrong_amount = true,
                Fault::WrongCurrencyWebhook => plan.webhook.is_wrong_currency = true,
                Fault::Decline(code) => plan.twist.decline = Some(code),
                Fault::Hang(time) => plan.hang = Some(time),
            }
        }
        plan
    }

    /// The faults that a request itself asks for in `X-Sim-Fault`, separated by commas.
    pub(crate) fn asked(call: &Call) -> Result<Vec<Fault>, String> {
        let Some(text) = call.header("x-sim-fault") else { return Ok(Vec::new()) };
        text.split(',').filter(|part| !part.trim().is_empty()).map(str::parse).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_written_as_it_is_read() {
        for text in [
            "timeout_before",
            "timeout_after",
            "error_500",
            "error_500_after",
            "slow:20",
            "cut",
            "duplicate_webhook",
            "reordered_webhook",
            "late_webhook:7",
            "no_webhook",
            "forged_webhook",
            "wrong_amount",
            "wrong_currency",
            "wrong_amount_webhook",
            "wrong_currency_webhook",
            "not_found",
            "decline:card_declined",
            "hang:60",
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(String::from(fault), text);
        }
        for text in ["", "slow", "slow:", "slow:soon", "slow:-1", "hang", "timeout"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_rate_bites_as_often_as_it_says_and_the_same_calls_under_the_same_seed() {
        let hits = |seed| {
            let mut rules = Rules::seeded(seed);
            rules.add(Rule::always(Dialect::Stripe, "capture", Fault::Cut).percent(10)).unwrap();
            (0..10_000).map(|_| !rules.bite(Dialect::Stripe, "capture", |_| false).is_empty()).collect::<Vec<_>>()
        };
        let first = hits(7);
        assert_eq!(first, hits(7));
        assert_ne!(first, hits(8));
        let count = first.iter().filter(|is_hit| **is_hit).count();
        assert!((900..1_100).contains(&count), "{count}");
    }

    #[test]
    fn a_rule_bites_only_where_it_is_meant_and_as_often_as_it_may() {
        let mut rules = Rules::seeded(1);
        let rule = Rule { contains: Some("ref-1".to_owned()), ..Rule::always(Dialect::Paypal, "refund", Fault::Error500).times(2) };
        rules.add(rule).unwrap();
        assert!(rules.bite(Dialect::Stripe, "refund", |_| true).is_empty());
        assert!(rules.bite(Dialect::Paypal, "capture", |_| true).is_empty());
        assert!(rules.bite(Dialect::Paypal, "refund", |_| false).is_empty());
        let bitten = (0..5).filter(|_| !rules.bite(Dialect::Paypal, "refund", |_| true).is_empty()).count();
        assert_eq!(bitten, 2);
    }
}
