//! When a rule fires: its condition as it is written, as a type that cannot be wrong, and what it says of an activity. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::{Currency, FieldFault, Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::activity::{AMOUNT_MINOR_MAX, Country, ID_BYTES_MAX, Known, WordError, is_opaque, words};
use crate::verdict::DecisionId;
use crate::window::Window;

/// The most activities that a rule may let through within its window.
const COUNT_MAX: i64 = 1_000_000;
/// The longest cool-off: 30 days.
const HOURS_MAX: i64 = 720;
const COUNTRIES_MAX: usize = 250;
const PARTIES_MAX: usize = 200;

words! {
    /// Whose activities are put together.
    pub enum Scope: "must be party or workspace" {
        /// Those of the same party; an activity without one is not counted and not limited.
        Party = "party",
        /// Those of the whole workspace.
        Workspace = "workspace",
    }
}

/// When a rule fires. What is exactly at a limit does not fire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// The amount is over the limit; in other currencies it says nothing.
    Amount {
        /// The most that is let through at once.
        limit: Money,
    },
    /// With this one, there are more activities within the window than the limit.
    Count {
        /// How many are let through.
        limit: i64,
        /// Within how long.
        window: Window,
        /// Whose are counted.
        per: Scope,
    },
    /// With this one, the amounts of one currency within the window are over the limit; in other currencies it says nothing.
    Sum {
        /// The most that is let through.
        limit: Money,
        /// Within how long.
        window: Window,
        /// Whose are summed up.
        per: Scope,
    },
    /// The party is in one of these countries.
    Country {
        /// Which.
        countries: BTreeSet<Country>,
    },
    /// The party is one of these.
    Party {
        /// Their fingerprints, as the caller hands them over.
        parties: BTreeSet<String>,
    },
    /// The beneficiary's details changed less than so many hours ago.
    CoolOff {
        /// How many hours.
        hours: i64,
    },
}

/// A condition as it stands in a body, in an answer and in the database: what its kind needs, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RiskCondition)]
pub struct WrittenCondition {
    /// `amount` (with `currency`, `amount_minor`), `count` (with `limit`, `window_s`, `per`), `sum` (with `currency`,
    /// `amount_minor`, `window_s`, `per`), `country` (with `countries`), `party` (with `parties`) or `cool_off` (with `hours`).
    #[schema(example = "sum")]
    pub kind: String,
    /// Three capital letters of ISO 4217; the rule says nothing about other currencies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "EUR", nullable = false)]
    pub currency: Option<String>,
    /// The most that is let through, in minor units: 0 to 2^53 - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 9007199254740991_i64, nullable = false)]
    pub amount_minor: Option<i64>,
    /// How many activities are let through within the window: 0 to 1,000,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1000000, nullable = false)]
    pub limit: Option<i64>,
    /// The length of the sliding window in seconds: 60 (a minute) to 2592000 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 2592000, nullable = false)]
    pub window_s: Option<i64>,
    /// Whose activities are put together: `party` or `workspace`. Those of the kinds that the rule applies to count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub per: Option<String>,
    /// Two letters of ISO 3166-1 each; 1 to 250.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub countries: Option<Vec<String>>,
    /// Opaque fingerprints of parties, as the caller hands them over; 1 to 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parties: Option<Vec<String>>,
    /// For how many hours after a change of the beneficiary's details: 1 to 720.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 720, nullable = false)]
    pub hours: Option<i64>,
}

/// Collects what is wrong with the fields of a condition.
struct Reader<'a>(&'a mut Vec<FieldFault>);

impl Reader<'_> {
    fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldFault::new(format!("condition.{field}"), message));
    }

    fn wanted<'g, T, U, E: ToString>(&mut self, field: &str, given: &'g Option<T>, parse: impl FnOnce(&'g T) -> Result<U, E>) -> Option<U> {
        let Some(given) = given else {
            self.refuse(field, "must be given for this kind of condition");
            return None;
        };
        parse(given).map_err(|error| self.refuse(field, error.to_string())).ok()
    }
}

fn within(from: i64, to: i64, message: &'static str) -> impl Fn(&i64) -> Result<i64, WordError> {
    move |number| if (from..=to).contains(number) { Ok(*number) } else { Err(WordError(message)) }
}

impl WrittenCondition {
    /// Which fields are given, beside the kind.
    fn given(&self) -> impl Iterator<Item = &'static str> {
        let fields = [
            ("currency", self.currency.is_some()),
            ("amount_minor", self.amount_minor.is_some()),
            ("limit", self.limit.is_some()),
            ("window_s", self.window_s.is_some()),
            ("per", self.per.is_some()),
            ("countries", self.countries.is_some()),
            ("parties", self.parties.is_some()),
            ("hours", self.hours.is_some()),
        ];
        fields.into_iter().filter(|(_, is_given)| *is_given).map(|(field, _)| field)
    }

    /// Reads the condition, or says of every field what is wrong with it.
    pub fn parse(&self, faults: &mut Vec<FieldFault>) -> Option<Condition> {
        let mut read = Reader(faults);
        let wanted: &[&str] = match self.kind.as_str() {
            "amount" => &["currency", "amount_minor"],
            "count" => &["limit", "window_s", "per"],
            "sum" => &["currency", "amount_minor", "window_s", "per"],
            "country" => &["countries"],
            "party" => &["parties"],
            "cool_off" => &["hours"],
            _ => {
                read.refuse("kind", "must be amount, count, sum, country, party or cool_off");
                return None;
            }
        };
        let mut is_clean = true;
        for field in self.given().filter(|field| !wanted.contains(field)) {
            read.refuse(field, format!("has no meaning for a condition of the kind {}: leave it out", self.kind));
            is_clean = false;
        }
        let read = &mut read;
        let condition = match self.kind.as_str() {
            "amount" => self.money(read).map(|limit| Condition::Amount { limit }),
            "count" => {
                let limit = read.wanted("limit", &self.limit, within(0, COUNT_MAX, "must be from 0 to 1000000"));
                let (window, per) = (self.window(read), self.per(read));
                (|| Some(Condition::Count { limit: limit?, window: window?, per: per? }))()
            }
            "sum" => {
                let (limit, window, per) = (self.money(read), self.window(read), self.per(read));
                (|| Some(Condition::Sum { limit: limit?, window: window?, per: per? }))()
            }
            "country" => {
                let all = read.wanted("countries", &self.countries, |all| counted(all, COUNTRIES_MAX, "must hold 1 to 250 countries"))?;
                let countries = each(read, "countries", all, |text| Country::parse(text));
                countries.map(|countries| Condition::Country { countries })
            }
            "party" => {
                let all = read.wanted("parties", &self.parties, |all| counted(all, PARTIES_MAX, "must hold 1 to 200 parties"))?;
                let good = |text: &String| {
                    let is_good = is_opaque(text, ID_BYTES_MAX);
                    if is_good { Ok(text.clone()) } else { Err(WordError("must have 1 to 500 bytes and no control characters")) }
                };
                each(read, "parties", all, good).map(|parties| Condition::Party { parties })
            }
            _ => {
                let hours = read.wanted("hours", &self.hours, within(1, HOURS_MAX, "must be from 1 to 720 (30 days)"));
                hours.map(|hours| Condition::CoolOff { hours })
            }
        };
        condition.filter(|_| is_clean)
    }

    fn money(&self, read: &mut Reader<'_>) -> Option<Money> {
        let currency = read.wanted("currency", &self.currency, |text| Currency::parse(text));
        let range = within(0, AMOUNT_MINOR_MAX, "must be from 0 to 9007199254740991 minor units");
        let amount_minor = read.wanted("amount_minor", &self.amount_minor, range);
        Some(Money::new(amount_minor?, currency?))
    }

    fn window(&self, read: &mut Reader<'_>) -> Option<Window> {
        read.wanted("window_s", &self.window_s, |seconds| Window::of_seconds(*seconds))
    }

    fn per(&self, read: &mut Reader<'_>) -> Option<Scope> {
        read.wanted("per", &self.per, |word| word.parse())
    }
}

fn counted<'a>(all: &'a Vec<String>, max: usize, message: &'static str) -> Result<&'a Vec<String>, WordError> {
    if (1..=max).contains(&all.len()) { Ok(all) } else { Err(WordError(message)) }
}

/// Reads every entry of a list; names the first that cannot be right by its place.
fn each<'a, T: Ord>(
    read: &mut Reader<'_>,
    field: &str,
    all: &'a [String],
    parse: impl Fn(&'a String) -> Result<T, WordError>,
) -> Option<BTreeSet<T>> {
    let mut parsed = BTreeSet::new();
    for (place, text) in all.iter().enumerate() {
        match parse(text) {
            Ok(entry) => parsed.insert(entry),
            Err(error) => {
                read.refuse(&format!("{field}[{place}]"), error.to_string());
                return None;
            }
        };
    }
    Some(parsed)
}

impl From<&Condition> for WrittenCondition {
    fn from(condition: &Condition) -> Self {
        let of = |kind: &str| Self { kind: kind.to_owned(), ..Self::default() };
        let money = |kind: &str, limit: &Money| Self {
            currency: Some(limit.currency.to_string()),
            amount_minor: Some(limit.amount_minor),
            ..of(kind)
        };
        match condition {
            Condition::Amount { limit } => money("amount", limit),
            Condition::Count { limit, window, per } => {
                Self { limit: Some(*limit), window_s: Some(window.seconds()), per: Some(per.word().to_owned()), ..of("count") }
            }
            Condition::Sum { limit, window, per } => {
                Self { window_s: Some(window.seconds()), per: Some(per.word().to_owned()), ..money("sum", limit) }
            }
            Condition::Country { countries } => {
                Self { countries: Some(countries.iter().map(Country::to_string).collect()), ..of("country") }
            }
            Condition::Party { parties } => Self { parties: Some(parties.iter().cloned().collect()), ..of("party") },
            Condition::CoolOff { hours } => Self { hours: Some(*hours), ..of("cool_off") },
        }
    }
}

/// What has to be counted before a rule over time can say anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counting {
    pub window: Window,
    pub per: Scope,
    /// Only amounts of this currency.
    pub currency: Option<Currency>,
}

/// An earlier activity of the same thing, which counts until the one that is asked about takes its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Counted {
    pub decision: DecisionId,
    pub party: Option<String>,
    pub amount: Money,
    pub at: Timestamp,
}

impl Tally {
    /// What happened before without `counted`, where that is among it.
    pub(crate) fn without(mut self, counted: &Counted, counting: Counting, known: &Known<'_>, now: Timestamp) -> Self {
        let is_of_currency = counting.currency.is_none_or(|currency| currency == counted.amount.currency);
        let is_of_party = counting.per == Scope::Workspace || counted.party == known.activity.party;
        if is_of_currency && is_of_party && counted.at > counting.window.edges(now).since {
            self.activities -= 1;
            self.amount_minor -= i128::from(counted.amount.amount_minor);
        }
        self
    }
}

/// What happened within a window before the activity that is asked about.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub activities: i64,
    /// Minor units of the currency that was asked for.
    pub amount_minor: i128,
}

impl Condition {
    /// What has to be counted for it, where it applies to this activity at all.
    pub(crate) fn counting(&self, known: &Known<'_>) -> Option<Counting> {
        let (window, per, currency) = match self {
            Self::Count { window, per, .. } => (*window, *per, None),
            Self::Sum { window, per, limit } if limit.currency == known.activity.amount.currency => (*window, *per, Some(limit.currency)),
            _ => return None,
        };
        let is_countable = per == Scope::Workspace || known.activity.party.is_some();
        is_countable.then_some(Counting { window, per, currency })
    }

    /// Why it fires for this activity, or `None` where it does not. `before` is what [`Condition::counting`] asked for.
    pub(crate) fn fires(&self, known: &Known<'_>, before: Option<Tally>, now: Timestamp) -> Option<String> {
        let Known { activity, country } = known;
        match self {
            Self::Amount { limit } => {
                let is_over = limit.currency == activity.amount.currency && activity.amount.amount_minor > limit.amount_minor;
                is_over.then(|| format!("the amount is over {limit}"))
            }
            Self::Count { limit, window, per } => {
                let is_over = before?.activities.saturating_add(1) > *limit;
                is_over.then(|| format!("more than {limit} of the {} within {window}", per.word()))
            }
            Self::Sum { limit, window, per } => {
                let sum = before?.amount_minor + i128::from(activity.amount.amount_minor);
                (sum > i128::from(limit.amount_minor)).then(|| format!("more than {limit} of the {} within {window}", per.word()))
            }
            Self::Country { countries } => {
                let country = country.filter(|country| countries.contains(country))?;
                Some(format!("the country {country} is on the list"))
            }
            Self::Party { parties } => {
                let is_listed = activity.party.as_ref().is_some_and(|party| parties.contains(party));
                is_listed.then(|| "the party is on the list".to_owned())
            }
            Self::CoolOff { hours } => {
                let cooled_at = activity.party_changed_at?.plus(Duration::from_secs(hours.unsigned_abs() * 3600));
                (now < cooled_at).then(|| format!("the beneficiary's details changed less than {hours} hours ago"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(written: Value) -> Result<Condition, Vec<FieldFault>> {
        let written: WrittenCondition = serde_json::from_value(written).unwrap();
        let mut faults = Vec::new();
        written.parse(&mut faults).ok_or(faults)
    }

    #[test]
    fn every_kind_is_read_back_as_it_was_written() {
        for written in [
            json!({"kind": "amount", "currency": "EUR", "amount_minor": 0}),
            json!({"kind": "count", "limit": 5, "window_s": 60, "per": "party"}),
            json!({"kind": "sum", "currency": "JPY", "amount_minor": 9_007_199_254_740_991_i64, "window_s": 2_592_000, "per": "workspace"}),
            json!({"kind": "country", "countries": ["IR", "KP"]}),
            json!({"kind": "party", "parties": ["fp_1", "fp_2"]}),
            json!({"kind": "cool_off", "hours": 24}),
        ] {
            let condition = parse(written.clone()).unwrap();
            assert_eq!(serde_json::to_value(WrittenCondition::from(&condition)).unwrap(), written);
        }
    }

    #[test]
    fn what_cannot_be_right_is_named_by_its_field() {
        for (written, fields) in [
            (json!({"kind": "velocity"}), &["condition.kind"][..]),
            (json!({"kind": "amount"}), &["condition.currency", "condition.amount_minor"]),
            (json!({"kind": "amount", "currency": "eur", "amount_minor": -1}), &["condition.currency", "condition.amount_minor"]),
            (json!({"kind": "amount", "currency": "EUR", "amount_minor": 1, "hours": 2}), &["condition.hours"]),
            (
                json!({"kind": "count", "limit": -1, "window_s": 59, "per": "card"}),
                &["condition.limit", "condition.window_s", "condition.per"],
            ),
            (json!({"kind": "sum", "currency": "EUR", "amount_minor": 1, "window_s": 2_592_001, "per": "party"}), &["condition.window_s"]),
            (json!({"kind": "country", "countries": []}), &["condition.countries"]),
            (json!({"kind": "country", "countries": ["DE", "Iran"]}), &["condition.countries[1]"]),
            (json!({"kind": "party", "parties": ["a", "b\0"]}), &["condition.parties[1]"]),
            (json!({"kind": "party", "parties": vec!["a"; 201]}), &["condition.parties"]),
            (json!({"kind": "cool_off", "hours": 0}), &["condition.hours"]),
            (json!({"kind": "cool_off", "hours": 721}), &["condition.hours"]),
        ] {
            let faults = parse(written.clone()).unwrap_err();
            let named: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
            assert_eq!(named, fields, "{written}");
        }
    }
}
