//! From rules and candidates to the order in which providers are tried.

use std::fmt;

use super::{Best, Candidate, METHOD_CRYPTO, Rule, Share, Then, Wanted};
use crate::intent::CaptureMethod;
use crate::provider::{Dialect, ProviderId};

/// What a draw is for, so that one says nothing about another.
const SALT_SPLIT: u64 = 1;
const SALT_EXPLORE: u64 = 2;
const SALT_EXPLORED: u64 = 3;

/// Why a provider cannot take a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// It is not there any more, or not enabled.
    NotEnabled,
    /// It has no pages where people pay.
    NoPages,
    /// It takes the money at once, and it is to be captured later.
    CapturesAtOnce,
    /// It does not take the currency.
    Currency,
    /// It sells crypto currency, and nobody asked for that.
    CryptoOnly,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotEnabled => "is not enabled",
            Self::NoPages => "has no pages where people pay",
            Self::CapturesAtOnce => "cannot capture later",
            Self::Currency => "does not take the currency",
            Self::CryptoOnly => "sells crypto currency, and the method is another",
        })
    }
}

/// Why nobody takes a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nobody {
    /// The rule that decided; none where none fits the payment.
    pub rule: Option<String>,
    /// What is in the way at each provider that could have been tried; empty where no provider is enabled at all.
    pub because: Vec<(ProviderId, Unfit)>,
}

impl fmt::Display for Nobody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.rule {
            Some(rule) => write!(f, "the rule \"{rule}\" names nobody who takes it")?,
            None => f.write_str("no rule fits, and no enabled provider takes it")?,
        }
        for (nth, (provider, unfit)) in self.because.iter().enumerate() {
            write!(f, "{} {provider} {unfit}", if nth == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}

impl std::error::Error for Nobody {}

/// The providers that a payment is tried at, in this order; never empty.
///
/// `candidates` are the enabled ones, in the order in which they are tried where no rule fits. Who was tried already is for the
/// caller to leave out: the draws of a payment do not change from one plan to the next.
pub fn plan(rules: &[Rule], candidates: &[Candidate], wanted: &Wanted<'_>) -> Result<Vec<ProviderId>, Nobody> {
    // Of several with the same priority `min_by_key` takes the first.
    let rule = rules.iter().filter(|rule| rule.when.fits(wanted)).min_by_key(|rule| rule.priority);
    let named = rule.map_or_else(|| candidates.iter().map(|candidate| candidate.id).collect(), |rule| rule.then.providers());
    let mut because = Vec::new();
    let mut able: Vec<&Candidate> = Vec::with_capacity(named.len());
    for id in named {
        let found = candidates.iter().find(|candidate| candidate.id == id);
        match found.ok_or(Unfit::NotEnabled).and_then(|candidate| fit(candidate, wanted, rule.is_some()).map(|()| candidate)) {
            Ok(candidate) => able.push(candidate),
            Err(unfit) => because.push((id, unfit)),
        }
    }
    if able.is_empty() {
        return Err(Nobody { rule: rule.map(|rule| rule.name.clone()), because });
    }
    match rule.map(|rule| &rule.then) {
        None | Some(Then::Chain(_)) => {}
        Some(Then::Split(shares)) => {
            let drawn = split(shares, wanted.seed);
            able.sort_by_key(|candidate| drawn.iter().position(|id| *id == candidate.id));
        }
        Some(Then::Best(best)) => observe(&mut able, best, wanted.seed),
    }
    // A stable sort: among the well, and among the others, the order stays.
    able.sort_by_key(|candidate| !candidate.is_healthy);
    Ok(able.iter().map(|candidate| candidate.id).collect())
}

fn fit(candidate: &Candidate, wanted: &Wanted<'_>, is_named: bool) -> Result<(), Unfit> {
    if !candidate.abilities.has_pages {
        Err(Unfit::NoPages)
    } else if wanted.capture_method == CaptureMethod::Manual && !candidate.abilities.captures_later {
        Err(Unfit::CapturesAtOnce)
    } else if candidate.currencies.as_ref().is_some_and(|taken| !taken.contains(&wanted.amount.currency)) {
        Err(Unfit::Currency)
    } else if candidate.dialect == Dialect::RampNetwork && !is_named && wanted.method != Some(METHOD_CRYPTO) {
        Err(Unfit::CryptoOnly)
    } else {
        Ok(())
    }
}

/// A number below `below` that follows from the seed alone (splitmix64's finalizer; the bias is below one in 2^40).
fn draw(seed: u64, salt: u64, below: u64) -> u64 {
    let mut mixed = seed.wrapping_add(salt.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    for _ in 0..2 {
        mixed = mixed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
    }
    ((u128::from(mixed) * u128::from(below)) >> 64) as u64
}

/// All of them, one drawn after the other by the weights of those that are left; those without weight as they stand, at the
/// end. Who cannot take the payment is drawn too and left out later, so that the others' draws do not depend on it and the
/// share of one that is missing falls to the others by their weights.
fn split(shares: &[Share], seed: u64) -> Vec<ProviderId> {
    let mut left: Vec<&Share> = shares.iter().filter(|share| share.weight > 0).collect();
    let mut drawn = Vec::with_capacity(shares.len());
    while !left.is_empty() {
        let total: u64 = left.iter().map(|share| u64::from(share.weight)).sum();
        // Each round mixes in how many are left, so that no two rounds share a draw.
        let mut at = draw(seed, SALT_SPLIT.wrapping_add((left.len() as u64) << 8), total);
        let place = left.iter().position(|share| {
            let is_here = at < u64::from(share.weight);
            at = at.saturating_sub(u64::from(share.weight));
            is_here
        });
        drawn.push(left.remove(place.unwrap_or_default()).provider);
    }
    drawn.extend(shares.iter().filter(|share| share.weight == 0).map(|share| share.provider));
    drawn
}

/// The best rate first, those that were tried too seldom to be compared at the end; a part of the payments explores. Where
/// nobody was tried often enough, all take turns.
fn observe(able: &mut [&Candidate], best: &Best, seed: u64) {
    let is_known = |candidate: &Candidate| candidate.tries >= best.tries_min;
    let count = able.len() as u64;
    if !able.iter().any(|candidate| is_known(candidate)) {
        able.rotate_left(draw(seed, SALT_EXPLORED, count) as usize);
        return;
    }
    able.sort_by(|a, b| {
        // a/b > c/d as a*d > c*b: whole numbers, and who is not known goes last.
        let rates = || (u64::from(b.successes) * u64::from(a.tries)).cmp(&(u64::from(a.successes) * u64::from(b.tries)));
        is_known(b).cmp(&is_known(a)).then_with(|| if is_known(a) { rates() } else { std::cmp::Ordering::Equal })
    });
    if count > 1 && draw(seed, SALT_EXPLORE, 1_000) < u64::from(best.explore_per_mille) {
        let explored = 1 + draw(seed, SALT_EXPLORED, count - 1) as usize;
        able[..=explored].rotate_right(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::{Abilities, Trust};
    use crate::routing::{When, seed_of};
    use kernel::{Currency, Entropy, Id as _, Money, RawId, Timestamp};
    use proptest::prelude::*;
    use std::collections::HashMap;

    fn provider(number: u128) -> ProviderId {
        ProviderId::from_raw(RawId::from_bits(number))
    }

    fn providers(numbers: impl IntoIterator<Item = u128>) -> Vec<ProviderId> {
        numbers.into_iter().map(provider).collect()
    }

    fn currency(text: &str) -> Currency {
        Currency::parse(text).unwrap()
    }

    fn candidate(number: u128) -> Candidate {
        let abilities = Abilities {
            has_pages: true,
            captures_later: true,
            captures_in_parts: true,
            refunds: true,
            refunds_in_parts: true,
            closes_pages: true,
            pays_out: false,
            enquires_names: false,
            tells_float: false,
            reports: false,
            keeps_keys_for: None,
            trust: Trust::Signed,
        };
        Candidate { id: provider(number), dialect: Dialect::Stripe, abilities, currencies: None, is_healthy: true, successes: 0, tries: 0 }
    }

    fn rated(number: u128, successes: u32, tries: u32) -> Candidate {
        Candidate { successes, tries, ..candidate(number) }
    }

    fn wanted(seed: u64) -> Wanted<'static> {
        let amount = Money::new(5_000, currency("EUR"));
        Wanted { amount, country: None, method: None, capture_method: CaptureMethod::Automatic, seed }
    }

    fn rule(then: Then) -> Rule {
        Rule { name: "all".to_owned(), priority: 100, when: When::default(), then }
    }

    fn split_of(weights: &[u32]) -> Rule {
        let shares = weights.iter().enumerate().map(|(nth, weight)| Share { provider: provider(nth as u128 + 1), weight: *weight });
        rule(Then::Split(shares.collect()))
    }

    fn best_of(count: u128, tries_min: u32, explore_per_mille: u32) -> Rule {
        rule(Then::Best(Best { providers: providers(1..=count), tries_min, explore_per_mille }))
    }

    /// How often each provider came first.
    fn firsts(rules: &[Rule], candidates: &[Candidate], seeds: impl Iterator<Item = u64>) -> HashMap<ProviderId, u64> {
        let mut counts = HashMap::new();
        for seed in seeds {
            *counts.entry(plan(rules, candidates, &wanted(seed)).unwrap()[0]).or_default() += 1;
        }
        counts
    }

    /// Whether `found` of `count` draws are what a share of `weight` in `total` gives by chance: within six standard deviations,
    /// which is wrong once in five hundred million.
    fn is_by_chance(found: u64, count: u64, weight: u64, total: u64) -> bool {
        let [found, count, weight, total] = [found, count, weight, total].map(i128::from);
        (found * total - count * weight).pow(2) <= 36 * count * weight * (total - weight)
    }

    #[test]
    fn a_split_of_four_million_payments_is_within_a_per_mille_of_its_weights() {
        // At a hundred thousand payments chance alone moves an even split by 1.6 per mille, so that many are drawn here.
        const PAYMENTS: u64 = 4_000_000;
        let weights = [50, 30, 15, 5];
        let Then::Split(shares) = split_of(&weights).then else { unreachable!() };
        let mut counts = HashMap::new();
        for seed in 0..PAYMENTS {
            *counts.entry(split(&shares, seed)[0]).or_insert(0_u64) += 1;
        }
        for share in &shares {
            let per_million = counts[&share.provider] * 1_000_000 / PAYMENTS;
            let expected = u64::from(share.weight) * 10_000;
            assert!(per_million.abs_diff(expected) <= 1_000, "{per_million} of a million where {expected} were wanted");
        }
    }

    #[test]
    fn the_split_of_a_hundred_thousand_real_identifiers_is_what_chance_gives() {
        let (entropy, weights) = (Entropy::seeded(7), [70, 20, 10]);
        let candidates: Vec<_> = (1..=3).map(candidate).collect();
        let seeds = (0..100_000).map(|n| seed_of(crate::IntentId::from_raw(RawId::generate(Timestamp::from_millis(n / 50), &entropy))));
        let counts = firsts(&[split_of(&weights)], &candidates, seeds);
        for (nth, weight) in weights.iter().enumerate() {
            let found = counts[&provider(nth as u128 + 1)];
            assert!(is_by_chance(found, 100_000, u64::from(*weight), 100), "{found} for {weight} %");
        }
    }

    #[test]
    fn the_share_of_one_that_is_gone_falls_to_the_others_by_their_weights() {
        let candidates: Vec<_> = (2..=3).map(candidate).collect();
        let counts = firsts(&[split_of(&[70, 20, 10])], &candidates, 0..100_000);
        assert!(is_by_chance(counts[&provider(2)], 100_000, 20, 30), "{counts:?}");
    }

    #[test]
    fn without_weight_one_is_a_fallback_only() {
        let candidates: Vec<_> = (1..=2).map(candidate).collect();
        for seed in 0..1_000 {
            assert_eq!(plan(&[split_of(&[0, 5])], &candidates, &wanted(seed)).unwrap(), providers([2, 1]));
        }
    }

    #[test]
    fn the_first_rule_that_fits_decides_by_priority_then_by_place() {
        let candidates: Vec<_> = (1..=3).map(candidate).collect();
        let chain = |number, priority| Rule { priority, ..rule(Then::Chain(providers([number]))) };
        let first = |rules: &[Rule]| plan(rules, &candidates, &wanted(0)).unwrap();
        assert_eq!(first(&[chain(1, 50), chain(2, 10), chain(3, 10)]), providers([2]));
        let mut picky = chain(2, 10);
        picky.when.currencies = vec![currency("NGN")];
        assert_eq!(first(&[chain(1, 50), picky.clone()]), providers([1]));
        assert_eq!(first(&[picky]), providers([1, 2, 3]), "no rule fits: all, as they stand");
        assert_eq!(first(&[]), providers([1, 2, 3]));
    }

    #[test]
    fn every_condition_has_to_hold() {
        let when = When {
            currencies: vec![currency("EUR")],
            min_minor: Some(100),
            max_minor: Some(5_000),
            countries: vec!["DE".to_owned(), "FR".to_owned()],
            methods: vec!["card".to_owned()],
        };
        let good = Wanted { country: Some("FR"), method: Some("card"), ..wanted(0) };
        assert!(when.fits(&good));
        let other = |amount_minor, code| Money::new(amount_minor, currency(code));
        for bad in [
            Wanted { amount: other(99, "EUR"), ..good },
            Wanted { amount: other(5_001, "EUR"), ..good },
            Wanted { amount: other(500, "USD"), ..good },
            Wanted { country: None, ..good },
            Wanted { country: Some("NG"), ..good },
            Wanted { method: None, ..good },
            Wanted { method: Some("bank_transfer"), ..good },
        ] {
            assert!(!when.fits(&bad), "{bad:?}");
        }
        assert!(When::default().fits(&good));
    }

    #[test]
    fn what_nobody_takes_has_reasons() {
        assert_eq!(plan(&[], &[], &wanted(0)).unwrap_err().to_string(), "no rule fits, and no enabled provider takes it");
        let mut corporate = candidate(1);
        corporate.abilities.has_pages = false;
        let naira = Candidate { currencies: Some(vec![currency("NGN")]), ..candidate(2) };
        let crypto = Candidate { dialect: Dialect::RampNetwork, ..candidate(3) };
        let error = plan(&[], &[corporate.clone(), naira.clone(), crypto.clone()], &wanted(0)).unwrap_err();
        assert_eq!(error.because, [(provider(1), Unfit::NoPages), (provider(2), Unfit::Currency), (provider(3), Unfit::CryptoOnly)]);
        let error = plan(&[rule(Then::Chain(providers([1, 9])))], &[corporate], &wanted(0)).unwrap_err();
        assert_eq!(error.because, [(provider(1), Unfit::NoPages), (provider(9), Unfit::NotEnabled)]);
        assert!(error.to_string().starts_with("the rule \"all\" names nobody who takes it: prv_"), "{error}");
        let mut at_once = candidate(4);
        at_once.abilities.captures_later = false;
        let manual = Wanted { capture_method: CaptureMethod::Manual, ..wanted(0) };
        assert_eq!(plan(&[], &[at_once], &manual).unwrap_err().because, [(provider(4), Unfit::CapturesAtOnce)]);
    }

    #[test]
    fn a_crypto_on_ramp_is_tried_where_it_is_named_or_asked_for() {
        let crypto = Candidate { dialect: Dialect::RampNetwork, ..candidate(1) };
        assert!(plan(&[], std::slice::from_ref(&crypto), &wanted(0)).is_err());
        assert!(plan(&[rule(Then::Chain(providers([1])))], std::slice::from_ref(&crypto), &wanted(0)).is_ok());
        assert!(plan(&[], &[crypto], &Wanted { method: Some(METHOD_CRYPTO), ..wanted(0) }).is_ok());
    }

    #[test]
    fn the_best_rate_comes_first_but_for_those_that_explore() {
        let candidates = [rated(1, 80, 100), rated(2, 950, 1_000), rated(3, 9, 9)];
        let counts = firsts(&[best_of(3, 50, 100)], &candidates, 0..100_000);
        assert!(is_by_chance(counts[&provider(2)], 100_000, 900, 1_000), "{counts:?}");
        assert!(is_by_chance(counts[&provider(1)], 100_000, 50, 1_000), "{counts:?}");
        assert!(is_by_chance(counts[&provider(3)], 100_000, 50, 1_000), "nine of nine are too few to be the best: {counts:?}");
        let fixed = plan(&[best_of(3, 50, 0)], &candidates, &wanted(0)).unwrap();
        assert_eq!(fixed, providers([2, 1, 3]), "without exploring, by rate, and the unknown at the end");
    }

    #[test]
    fn where_nobody_was_tried_often_enough_all_take_turns() {
        let candidates = [rated(1, 49, 49), rated(2, 0, 49), rated(3, 0, 0)];
        let counts = firsts(&[best_of(3, 50, 0)], &candidates, 0..100_000);
        (1..=3).for_each(|number| assert!(is_by_chance(counts[&provider(number)], 100_000, 1, 3), "{counts:?}"));
    }

    #[test]
    fn rates_are_compared_without_overflow() {
        let candidates = [rated(1, u32::MAX - 1, u32::MAX), rated(2, u32::MAX, u32::MAX)];
        assert_eq!(plan(&[best_of(2, 1, 0)], &candidates, &wanted(0)).unwrap(), providers([2, 1]));
    }

    /// One provider as chance has it: what it can do and how it is.
    fn any_candidate(number: u128) -> impl Strategy<Value = Candidate> {
        let currencies = prop_oneof![Just(None), Just(Some(vec![currency("EUR")])), Just(Some(vec![currency("NGN")]))];
        (any::<[bool; 3]>(), currencies, 0_u32..200, 0_u32..200).prop_map(
            move |([has_pages, captures_later, is_healthy], currencies, one, two)| {
                let mut candidate = Candidate { currencies, is_healthy, successes: one.min(two), tries: one.max(two), ..candidate(number) };
                (candidate.abilities.has_pages, candidate.abilities.captures_later) = (has_pages, captures_later);
                candidate
            },
        )
    }

    fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
        (1..=5).map(any_candidate).collect::<Vec<_>>()
    }

    fn any_then() -> impl Strategy<Value = Then> {
        let chain = Just(providers(1..=5)).prop_shuffle().prop_map(Then::Chain);
        let split = prop::collection::vec(0_u32..100, 5).prop_map(|weights| split_of(&weights).then);
        let best = (1_u32..100, 0_u32..=500).prop_map(|(tries_min, explore)| best_of(5, tries_min, explore).then);
        prop_oneof![chain, split, best]
    }

    proptest! {
        #[test]
        fn whoever_takes_it_is_in_the_plan_once_and_the_unhealthy_are_at_its_end(
            candidates in any_candidates(), then in any_then(), seed: u64, is_manual: bool,
        ) {
            let capture_method = if is_manual { CaptureMethod::Manual } else { CaptureMethod::Automatic };
            let wanted = Wanted { capture_method, ..wanted(seed) };
            let takes = |candidate: &&Candidate| {
                candidate.abilities.has_pages
                    && (!is_manual || candidate.abilities.captures_later)
                    && candidate.currencies.as_ref().is_none_or(|taken| taken.contains(&currency("EUR")))
            };
            let mut expected: Vec<_> = candidates.iter().filter(takes).map(|candidate| candidate.id).collect();
            match plan(&[rule(then)], &candidates, &wanted) {
                Ok(mut planned) => {
                    let is_well = |id: &ProviderId| candidates.iter().any(|candidate| candidate.id == *id && candidate.is_healthy);
                    prop_assert!(planned.iter().map(is_well).is_sorted_by(|a, b| a >= b), "{:?}", planned);
                    planned.sort_unstable();
                    expected.sort_unstable();
                    prop_assert_eq!(planned, expected);
                }
                Err(nobody) => {
                    prop_assert!(expected.is_empty());
                    prop_assert_eq!(nobody.because.len(), 5);
                }
            }
        }

        #[test]
        fn the_same_payment_draws_the_same_and_health_only_moves_to_the_end(candidates in any_candidates(), then in any_then(), seed: u64) {
            let well: Vec<_> = candidates.iter().cloned().map(|candidate| Candidate { is_healthy: true, ..candidate }).collect();
            let rules = [rule(then)];
            let planned = plan(&rules, &candidates, &wanted(seed));
            prop_assert_eq!(&planned, &plan(&rules, &candidates, &wanted(seed)));
            if let (Ok(planned), Ok(all_well)) = (planned, plan(&rules, &well, &wanted(seed))) {
                let mut expected = all_well;
                expected.sort_by_key(|id| candidates.iter().any(|candidate| candidate.id == *id && !candidate.is_healthy));
                prop_assert_eq!(planned, expected);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn any_weights_are_kept_to(weights in prop::collection::vec(100_u32..1_000, 1..6), from: u64) {
            let total: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
            let Then::Split(shares) = split_of(&weights).then else { unreachable!() };
            let mut counts = HashMap::new();
            for seed in 0..20_000 {
                *counts.entry(split(&shares, from.wrapping_add(seed))[0]).or_insert(0_u64) += 1;
            }
            for share in shares {
                let found = counts.get(&share.provider).copied().unwrap_or_default();
                prop_assert!(is_by_chance(found, 20_000, u64::from(share.weight), total), "{} for {} of {}", found, share.weight, total);
            }
        }
    }
}
