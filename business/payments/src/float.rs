//! The money that we have at providers for payouts, and what a workspace says about payouts. No input or output.

use std::collections::BTreeMap;

use kernel::{Currency, FieldFault, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::intent::AMOUNT_MAX_MINOR;
use crate::provider::ProviderId;

kernel::id!(
    /// Money that was brought to a provider.
    pub struct TopUpId = "ptu"
);
kernel::id!(
    /// A comparison of a provider's word about our money with the books.
    pub struct FloatCheckId = "pfc"
);

/// Currencies that a workspace may set a limit for.
const LIMITS_MAX: usize = 200;
const DAY_S: i64 = 86_400;

/// What a workspace says about payouts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayoutSettings {
    /// How often it was set; 0 where it never was.
    pub version: i64,
    /// Up to which amount, in minor units by currency, a payout that no gate holds goes without anybody's approval. What is
    /// above it needs two people; a currency that is not named always does.
    pub limits: BTreeMap<String, i64>,
    /// Whether payouts are begun on Saturdays and Sundays.
    pub runs_on_weekends: bool,
    /// By how many minutes the workspace's days begin before those of UTC, -720 to 840.
    pub utc_offset_min: i64,
}

impl Default for PayoutSettings {
    fn default() -> Self {
        Self { version: 0, limits: BTreeMap::new(), runs_on_weekends: true, utc_offset_min: 0 }
    }
}

impl PayoutSettings {
    /// Whether a payout of this much needs two people.
    pub fn is_above_limit(&self, amount: Money) -> bool {
        self.limits.get(&amount.currency.to_string()).is_none_or(|limit| amount.amount_minor > *limit)
    }

    /// When the next working day begins, where `now` is at a weekend and payouts are not begun then.
    pub fn weekend_ends(&self, now: Timestamp) -> Option<Timestamp> {
        let here_s = now.as_seconds() + self.utc_offset_min * 60;
        let day = here_s.div_euclid(DAY_S);
        // The first day of 1970 was a Thursday: Monday is 0.
        let weekday = (day + 3).rem_euclid(7);
        let days = match weekday {
            5 => 2,
            6 => 1,
            _ => return None,
        };
        let begins_s = (day + days) * DAY_S - self.utc_offset_min * 60;
        (!self.runs_on_weekends).then(|| Timestamp::from_seconds(begins_s))
    }

    /// Checks what was asked for; names every field that cannot be right.
    pub fn check(&self) -> Result<(), Vec<FieldFault>> {
        let mut faults = Vec::new();
        if self.limits.len() > LIMITS_MAX {
            faults.push(FieldFault::new("limits", "must name at most 200 currencies"));
        }
        for (currency, limit) in self.limits.iter().take(LIMITS_MAX) {
            // What is written back is compared too, so that no other spelling passes for the same currency.
            if kernel::Currency::parse(currency).map(|known| known.to_string()).as_ref() != Ok(currency) {
                faults.push(FieldFault::new("limits", format!("{currency:.10} is not a currency of ISO 4217 in capitals, such as NGN")));
            }
            if !(0..=AMOUNT_MAX_MINOR).contains(limit) {
                faults.push(FieldFault::new("limits", "must be whole numbers of minor units, from 0 to 9007199254740991"));
            }
        }
        if !(-720..=840).contains(&self.utc_offset_min) {
            faults.push(FieldFault::new("utc_offset_min", "must be from -720 to 840 minutes"));
        }
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// The money for payouts at a provider, in one currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Float {
    /// At this provider.
    pub provider: ProviderId,
    /// In this currency.
    pub currency: Currency,
    /// What the books have there, in minor units.
    pub ours_minor: i64,
    /// How much of that is promised to payouts that have not ended, in minor units.
    pub reserved_minor: i64,
    /// What the provider said last.
    pub check: Option<FloatCheck>,
}

/// What a provider said that we have there, beside what the books said at that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FloatCheck {
    /// The provider's word, in minor units.
    pub theirs_minor: i64,
    /// What the books have there, in minor units.
    pub ours_minor: i64,
    /// How much of that is promised to payouts that have not ended, in minor units.
    pub reserved_minor: i64,
    /// When.
    pub checked_at: Timestamp,
}

impl FloatCheck {
    /// What the provider has more than the books say is free, in minor units. Promises that the provider has not been asked
    /// for yet, and its fees until they are settled, show here too.
    pub const fn difference_minor(&self) -> i64 {
        self.theirs_minor - (self.ours_minor - self.reserved_minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    #[test]
    fn a_weekend_ends_with_the_monday_of_the_workspace() {
        let settings = PayoutSettings { runs_on_weekends: false, ..PayoutSettings::default() };
        assert_eq!(settings.weekend_ends(at("2026-11-20T23:59:59Z")), None);
        assert_eq!(settings.weekend_ends(at("2026-11-21T00:00:00Z")), Some(at("2026-11-23T00:00:00Z")));
        assert_eq!(settings.weekend_ends(at("2026-11-22T23:59:59Z")), Some(at("2026-11-23T00:00:00Z")));
        assert_eq!(settings.weekend_ends(at("2026-11-23T00:00:00Z")), None);
        let lagos = PayoutSettings { utc_offset_min: 60, ..settings.clone() };
        assert_eq!(lagos.weekend_ends(at("2026-11-20T23:30:00Z")), Some(at("2026-11-22T23:00:00Z")));
        assert_eq!(lagos.weekend_ends(at("2026-11-22T23:00:00Z")), None);
        let always = PayoutSettings { runs_on_weekends: true, ..settings };
        assert_eq!(always.weekend_ends(at("2026-11-21T12:00:00Z")), None);
    }

    #[test]
    fn a_currency_that_nobody_spoke_of_needs_two_people() {
        let mut settings = PayoutSettings::default();
        settings.limits.insert("NGN".to_owned(), 500);
        let money = |amount, currency| Money::new(amount, Currency::parse(currency).unwrap());
        assert!(!settings.is_above_limit(money(500, "NGN")));
        assert!(settings.is_above_limit(money(501, "NGN")));
        assert!(settings.is_above_limit(money(1, "USD")));
        assert!(settings.check().is_ok());
        for (currency, limit) in [("ngn", 1), ("XXQ9", 1), ("NGN", -1), ("NGN", i64::MAX)] {
            let wrong = PayoutSettings { limits: BTreeMap::from([(currency.to_owned(), limit)]), ..PayoutSettings::default() };
            assert!(wrong.check().is_err(), "{currency} {limit}");
        }
        assert!(PayoutSettings { utc_offset_min: 900, ..PayoutSettings::default() }.check().is_err());
    }
}
