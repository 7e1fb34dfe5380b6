//! Rules as somebody wrote them: checked as a whole, with every fault named by its field.

use std::collections::BTreeSet;

use kernel::FieldFault;
use serde::Deserialize as _;
use serde_json::Value;

use super::{RULES_MAX, Rule, Then, When};
use crate::intent::AMOUNT_MAX_MINOR;
use crate::provider::ProviderId;
use crate::text;

const NAME_CHARS_MAX: usize = 120;
const PRIORITY_MAX: i64 = 1_000;
const LIST_MAX: usize = 200;
const PROVIDERS_MAX: usize = 50;
const WEIGHT_MAX: u32 = 1_000_000;
const TRIES_MIN_MAX: u32 = 100_000;
const EXPLORE_MAX: u32 = 500;
/// Faults that one answer names: whoever sends worse mends these first.
const FAULTS_MAX: usize = 50;

/// Reads rules from JSON, an array, and checks them as [`check`] does. The faults name fields such as `rules[2].when.max_minor`.
pub fn parse(rules: Value, known: &[ProviderId]) -> Result<Vec<Rule>, Vec<FieldFault>> {
    let Value::Array(rules) = rules else { return Err(vec![FieldFault::new("rules", "must be a list of rules")]) };
    if rules.len() > RULES_MAX {
        return Err(vec![too_many()]);
    }
    let mut read = Vec::with_capacity(rules.len());
    let mut faults = Vec::new();
    for (nth, rule) in rules.into_iter().enumerate() {
        match serde_path_to_error::deserialize::<_, Rule>(rule) {
            Ok(rule) => read.push(rule),
            Err(error) => {
                let path = error.path().to_string();
                let dot = if path == "." { "" } else { "." };
                let path = if path == "." { "" } else { path.as_str() };
                faults.push(FieldFault::new(format!("rules[{nth}]{dot}{path}"), error.into_inner().to_string()));
            }
        }
    }
    if faults.is_empty() { check(read, known) } else { Err(bounded(faults)) }
}

/// Rules as they were stored: they were checked then. A provider that is gone since is left out by every plan.
pub fn stored(rules: &Value) -> Result<Vec<Rule>, serde_json::Error> {
    Vec::<Rule>::deserialize(rules)
}

/// Checks rules as a whole: `known` are the workspace's providers. The rules that it answers stand in the order in which they
/// are asked.
pub fn check(mut rules: Vec<Rule>, known: &[ProviderId]) -> Result<Vec<Rule>, Vec<FieldFault>> {
    if rules.len() > RULES_MAX {
        return Err(vec![too_many()]);
    }
    let mut faults = Faults::default();
    for (nth, rule) in rules.iter_mut().enumerate() {
        rule.name = rule.name.trim().to_owned();
        faults.rule(&format!("rules[{nth}]"), rule, known);
    }
    if !faults.0.is_empty() {
        return Err(bounded(faults.0));
    }
    rules.sort_by_key(|rule| rule.priority);
    Ok(rules)
}

fn too_many() -> FieldFault {
    FieldFault::new("rules", format!("must be at most {RULES_MAX} rules"))
}

fn bounded(mut faults: Vec<FieldFault>) -> Vec<FieldFault> {
    faults.truncate(FAULTS_MAX);
    faults
}

#[derive(Default)]
struct Faults(Vec<FieldFault>);

impl Faults {
    fn unless(&mut self, is_good: bool, field: String, message: impl Into<String>) {
        if !is_good {
            self.0.push(FieldFault::new(field, message));
        }
    }

    fn rule(&mut self, at: &str, rule: &Rule, known: &[ProviderId]) {
        let is_name = (1..=NAME_CHARS_MAX).contains(&rule.name.chars().count()) && !rule.name.chars().any(char::is_control);
        self.unless(is_name, format!("{at}.name"), "must have 1 to 120 characters on one line");
        let is_priority = (0..=PRIORITY_MAX).contains(&rule.priority);
        self.unless(is_priority, format!("{at}.priority"), "must be from 0 to 1000; of two rules the lower decides");
        self.when(&format!("{at}.when"), &rule.when);
        let providers = rule.then.providers();
        match &rule.then {
            Then::Chain(_) => self.providers(&providers, known, |nth| format!("{at}.then.chain{nth}")),
            Then::Split(shares) => {
                self.providers(&providers, known, |nth| match nth.as_str() {
                    "" => format!("{at}.then.split"),
                    nth => format!("{at}.then.split{nth}.provider"),
                });
                for (nth, share) in shares.iter().enumerate() {
                    let is_weight = share.weight <= WEIGHT_MAX;
                    self.unless(is_weight, format!("{at}.then.split[{nth}].weight"), "must be a whole number from 0 to 1000000");
                }
                let has_weight = shares.is_empty() || shares.iter().any(|share| share.weight > 0);
                self.unless(has_weight, format!("{at}.then.split"), "must have a weight above 0 somewhere: the weights are all 0");
            }
            Then::Best(best) => {
                self.providers(&providers, known, |nth| format!("{at}.then.best.providers{nth}"));
                let is_tries = (1..=TRIES_MIN_MAX).contains(&best.tries_min);
                self.unless(is_tries, format!("{at}.then.best.tries_min"), "must be from 1 to 100000 attempts");
                let is_explore = best.explore_per_mille <= EXPLORE_MAX;
                self.unless(is_explore, format!("{at}.then.best.explore_per_mille"), "must be from 0 to 500 of a thousand payments");
            }
        }
    }

    fn when(&mut self, at: &str, when: &When) {
        for (name, count) in [("currencies", when.currencies.len()), ("countries", when.countries.len()), ("methods", when.methods.len())] {
            self.unless(count <= LIST_MAX, format!("{at}.{name}"), format!("must be at most {LIST_MAX}"));
        }
        // As they are read where a payment is asked for, so that no rule waits for a word that none can have.
        for (name, words, check) in [
            ("countries", &when.countries, text::country as fn(Option<&str>) -> Result<(), &'static str>),
            ("methods", &when.methods, text::word),
        ] {
            for (nth, word) in words.iter().take(LIST_MAX).enumerate() {
                if let Err(message) = check(Some(word)) {
                    self.0.push(FieldFault::new(format!("{at}.{name}[{nth}]"), message));
                }
            }
        }
        for (name, amount) in [("min_minor", when.min_minor), ("max_minor", when.max_minor)] {
            let is_amount = amount.is_none_or(|amount| (1..=AMOUNT_MAX_MINOR).contains(&amount));
            self.unless(is_amount, format!("{at}.{name}"), "must be a whole number of minor units, from 1 to 9007199254740991");
        }
        let is_range = when.min_minor.zip(when.max_minor).is_none_or(|(min, max)| min <= max);
        self.unless(is_range, format!("{at}.max_minor"), "must not be below min_minor");
        let has_amount = when.min_minor.is_some() || when.max_minor.is_some();
        let message = "must be exactly one currency beside an amount: minor units of two currencies cannot be compared";
        self.unless(!has_amount || when.currencies.len() == 1, format!("{at}.currencies"), message);
    }

    /// `field` makes the path of the whole list from an empty text, of one entry from `[nth]`.
    fn providers(&mut self, providers: &[ProviderId], known: &[ProviderId], field: impl Fn(String) -> String) {
        let is_count = (1..=PROVIDERS_MAX).contains(&providers.len());
        self.unless(is_count, field(String::new()), format!("must name 1 to {PROVIDERS_MAX} providers"));
        let mut seen = BTreeSet::new();
        for (nth, provider) in providers.iter().take(PROVIDERS_MAX).enumerate() {
            self.unless(known.contains(provider), field(format!("[{nth}]")), "is no provider of this workspace");
            self.unless(seen.insert(provider), field(format!("[{nth}]")), "is named twice: each provider stands once in a rule");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Id as _, RawId};
    use proptest::prelude::*;
    use serde_json::json;

    fn provider(number: u128) -> ProviderId {
        ProviderId::from_raw(RawId::from_bits(number))
    }

    fn known() -> Vec<ProviderId> {
        (1..=3).map(provider).collect()
    }

    /// A good rule with `value` at `pointer`.
    fn with(pointer: &str, value: Value) -> Value {
        let mut rule = json!({
            "name": "Naira",
            "priority": 10,
            "when": {"currencies": ["NGN"], "min_minor": 100, "max_minor": 5_000, "countries": ["NG"], "methods": ["bank_transfer"]},
            "then": {"chain": [provider(1), provider(2)]},
        });
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        rule.pointer_mut(parent).unwrap()[name] = value;
        rule
    }

    #[track_caller]
    fn refused(rule: Value, field: &str) {
        let faults = parse(json!([with("/priority", json!(5)), rule]), &known()).unwrap_err();
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, [format!("rules[1]{field}")], "{faults:?}");
    }

    #[test]
    fn rules_are_read_written_and_read_again_in_the_order_in_which_they_are_asked() {
        let split = json!({"split": [{"provider": provider(1), "weight": 70}, {"provider": provider(3), "weight": 0}]});
        let best = json!({"best": {"providers": [provider(2)]}});
        let written = json!([
            {"name": " the rest ", "priority": 900, "then": {"chain": [provider(3)]}},
            with("/then", split),
            {"name": "best", "then": best},
        ]);
        let rules = parse(written, &known()).unwrap();
        let names: Vec<_> = rules.iter().map(|rule| (rule.name.as_str(), rule.priority)).collect();
        assert_eq!(names, [("Naira", 10), ("best", 100), ("the rest", 900)]);
        let stored = serde_json::to_value(&rules).unwrap();
        assert_eq!(super::stored(&stored).unwrap(), rules);
        assert_eq!(parse(stored, &known()).unwrap(), rules);
        assert_eq!(parse(json!([]), &[]).unwrap(), []);
    }

    #[test]
    fn each_fault_names_its_field() {
        let stranger = json!("prv_000000000000000000000000000000ff");
        for (pointer, value, field) in [
            ("/name", json!(""), ".name"),
            ("/name", json!("two\nlines"), ".name"),
            ("/name", json!("x".repeat(121)), ".name"),
            ("/name", json!(null), ".name"),
            ("/priority", json!(-1), ".priority"),
            ("/priority", json!(1_001), ".priority"),
            ("/priority", json!(1.5), ".priority"),
            ("/when/currencies", json!(["ngn"]), ".when.currencies[0]"),
            ("/when/currencies", json!(["NGN", "EUR"]), ".when.currencies"),
            ("/when/currencies", json!([]), ".when.currencies"),
            ("/when/min_minor", json!(0), ".when.min_minor"),
            ("/when/min_minor", json!("100"), ".when.min_minor"),
            ("/when/min_minor", json!(5_001), ".when.max_minor"),
            ("/when/max_minor", json!(1_u64 << 53), ".when.max_minor"),
            ("/when/countries", json!(["NG", "ng"]), ".when.countries[1]"),
            ("/when/countries", json!(["NGA"]), ".when.countries[0]"),
            ("/when/methods", json!(["Bank Transfer"]), ".when.methods[0]"),
            ("/when/methods", json!([""]), ".when.methods[0]"),
            ("/when/methods", json!(vec!["card"; 201]), ".when.methods"),
            ("/when/customer", json!("x"), ".when.customer"),
            ("/then", json!({}), ".then"),
            ("/then", json!({"random": []}), ".then"),
            ("/then", json!({"chain": []}), ".then.chain"),
            ("/then", json!({"chain": [provider(1), stranger]}), ".then.chain[1]"),
            ("/then", json!({"chain": [provider(1), provider(1)]}), ".then.chain[1]"),
            ("/then", json!({"chain": ["stripe"]}), ".then.chain[0]"),
            ("/then", json!({"split": []}), ".then.split"),
            ("/then", json!({"split": [{"provider": provider(1), "weight": 0}]}), ".then.split"),
            ("/then", json!({"split": [{"provider": provider(1), "weight": -1}]}), ".then.split[0].weight"),
            ("/then", json!({"split": [{"provider": provider(1), "weight": 1_000_001}]}), ".then.split[0].weight"),
            ("/then", json!({"split": [{"provider": stranger, "weight": 1}]}), ".then.split[0].provider"),
            ("/then", json!({"best": {"providers": []}}), ".then.best.providers"),
            ("/then", json!({"best": {"providers": [stranger]}}), ".then.best.providers[0]"),
            ("/then", json!({"best": {"providers": [provider(1)], "tries_min": 0}}), ".then.best.tries_min"),
            ("/then", json!({"best": {"providers": [provider(1)], "explore_per_mille": 501}}), ".then.best.explore_per_mille"),
        ] {
            refused(with(pointer, value), field);
        }
        refused(json!("all to stripe"), "");
        assert_eq!(parse(json!({}), &known()).unwrap_err()[0].field, "rules");
        assert_eq!(parse(json!(vec![with("/priority", json!(1)); 101]), &known()).unwrap_err()[0].field, "rules");
    }

    #[test]
    fn several_faults_are_named_together_and_not_without_end() {
        let mut rule = with("/name", json!(""));
        rule["priority"] = json!(-1);
        assert_eq!(parse(json!([rule.clone()]), &known()).unwrap_err().len(), 2);
        assert_eq!(parse(json!(vec![rule; 100]), &known()).unwrap_err().len(), FAULTS_MAX);
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![Just(json!(null)), any::<i64>().prop_map(Value::from), "[a-z_]{0,8}".prop_map(Value::from)];
        leaf.prop_recursive(4, 32, 6, |inner| {
            let names = prop::sample::select(vec!["name", "when", "then", "chain", "split", "best", "providers", "weight", "currencies"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.prop_map(str::to_owned), inner, 0..4).prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_read_or_refused_with_a_field(sent in any_json()) {
            match parse(sent, &known()) {
                Ok(rules) => prop_assert!(rules.len() <= RULES_MAX),
                Err(faults) => prop_assert!(!faults.is_empty() && faults.iter().all(|fault| fault.field.starts_with("rules"))),
            }
        }
    }
}
