//! Matching a chunk of a report's lines with what was expected. Pure; the same chunk finds the same.

use std::collections::{HashMap, HashSet};

use super::{ExceptionKind, Expected, Rules};
use crate::provider::{LineKind, ReportLine};

/// What is known of the names in a chunk.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Expectations by their subject.
    pub expected: HashMap<String, Expected>,
    /// Subjects of captures and refunds by the attempt that brought the money.
    pub of_attempt: HashMap<String, Vec<String>>,
    /// What we call what the provider calls so.
    pub named: HashMap<String, String>,
}

/// What was found for one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It is what was expected.
    Matched(Matched),
    /// A fee of its own: nothing is expected of it.
    Fee,
    /// It is not.
    Exception {
        /// What sort.
        kind: ExceptionKind,
        /// What of ours it is about, if that is known.
        subject: Option<String>,
    },
}

/// A line and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Matched {
    /// What was expected.
    pub subject: String,
    /// What is missing of it, in minor units: within the tolerance.
    pub difference_minor: i64,
}

/// Finds what each line is, in their order. What one line took no later line gets.
pub fn find(lines: &[&ReportLine], known: &Known, rules: &Rules) -> Vec<Finding> {
    let mut taken = HashSet::new();
    lines.iter().map(|line| one(line, known, rules, &mut taken)).collect()
}

/// Everything that a line may be about, the surest first: our name before the provider's.
fn candidates<'k>(line: &ReportLine, known: &'k Known) -> Vec<&'k Expected> {
    let theirs = line.provider_ref.as_deref().and_then(|reference| known.named.get(reference)).map(String::as_str);
    for name in [line.reference.as_deref(), theirs].into_iter().flatten() {
        let itself = known.expected.get(name).into_iter();
        let parts = known.of_attempt.get(name).into_iter().flatten().filter_map(|subject| known.expected.get(subject));
        let found: Vec<&Expected> = itself.chain(parts).filter(|expected| expected.kind == line.kind).collect();
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn one(line: &ReportLine, known: &Known, rules: &Rules, taken: &mut HashSet<String>) -> Finding {
    let exception =
        |kind, subject: Option<&Expected>| Finding::Exception { kind, subject: subject.map(|expected| expected.subject.clone()) };
    let (gross, fee) = (line.gross.amount_minor, line.fee_minor);
    if fee.checked_add(line.net_minor) != Some(gross) {
        let found = candidates(line, known);
        return exception(ExceptionKind::Unbalanced, found.first().copied().filter(|_| found.len() == 1));
    }
    if line.kind == LineKind::Fee {
        return Finding::Fee;
    }
    let found = candidates(line, known);
    let open: Vec<&Expected> =
        found.iter().copied().filter(|expected| !expected.is_matched && !taken.contains(&expected.subject)).collect();
    let within = |expected: &&Expected| {
        expected.amount.currency == line.gross.currency
            && expected
                .amount
                .amount_minor
                .checked_sub(gross)
                .is_some_and(|difference| difference.saturating_abs() <= rules.tolerance_minor)
    };
    // Of several captures of one attempt the one of exactly this amount comes first.
    let exact = open.iter().copied().find(|expected| expected.amount == line.gross);
    let Some(expected) = exact.or_else(|| open.iter().copied().find(within)) else {
        return match (open.as_slice(), found.as_slice()) {
            ([], []) => exception(ExceptionKind::Extra, None),
            ([], [matched, ..]) => exception(ExceptionKind::Duplicate, Some(matched)),
            ([only], _) if only.amount.currency != line.gross.currency => exception(ExceptionKind::CurrencyMismatch, Some(only)),
            ([only], _) if gross.unsigned_abs() > only.amount.amount_minor.unsigned_abs() => exception(ExceptionKind::Over, Some(only)),
            ([only], _) => exception(ExceptionKind::Under, Some(only)),
            // One line for several things: a person says which.
            _ => exception(ExceptionKind::Split, None),
        };
    };
    let fee_most = rules.fee_max_basis_points.map(|most| i128::from(gross).abs() * i128::from(most));
    if fee_most.is_some_and(|most| i128::from(fee).abs() * 10_000 > most) {
        return exception(ExceptionKind::FeeMismatch, Some(expected));
    }
    taken.insert(expected.subject.clone());
    Finding::Matched(Matched { subject: expected.subject.clone(), difference_minor: expected.amount.amount_minor - gross })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Currency, Money};

    fn euros(amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse("EUR").unwrap())
    }

    fn expected(subject: &str, attempt: Option<&str>, kind: LineKind, amount_minor: i64) -> Expected {
        Expected {
            subject: subject.to_owned(),
            attempt: attempt.map(str::to_owned),
            owner: "pay_1".to_owned(),
            kind,
            amount: euros(amount_minor),
            is_missing: false,
            is_matched: false,
        }
    }

    fn line(reference: Option<&str>, provider_ref: Option<&str>, gross: i64) -> ReportLine {
        ReportLine {
            kind: if gross < 0 { LineKind::Refund } else { LineKind::Payment },
            reference: reference.map(str::to_owned),
            provider_ref: provider_ref.map(str::to_owned),
            batch: None,
            gross: euros(gross),
            fee_minor: 0,
            net_minor: gross,
            at: None,
        }
    }

    fn known(all: Vec<Expected>) -> Known {
        let mut known = Known::default();
        for expected in all {
            if let Some(attempt) = &expected.attempt {
                known.of_attempt.entry(attempt.clone()).or_default().push(expected.subject.clone());
            }
            known.expected.insert(expected.subject.clone(), expected);
        }
        known.named.insert("pi_1".to_owned(), "pat_1".to_owned());
        known
    }

    fn kinds(lines: &[ReportLine], known: &Known, rules: &Rules) -> Vec<&'static str> {
        let lines: Vec<&ReportLine> = lines.iter().collect();
        let word = |finding: &Finding| match finding {
            Finding::Matched(_) => "matched",
            Finding::Fee => "fee",
            Finding::Exception { kind, .. } => kind.as_str(),
        };
        find(&lines, known, rules).iter().map(word).collect()
    }

    #[test]
    fn our_name_comes_before_the_providers_and_nothing_is_taken_twice() {
        let known = known(vec![expected("pat_1", None, LineKind::Payment, 500), expected("pat_2", None, LineKind::Payment, 700)]);
        let lines = [
            line(Some("pat_2"), Some("pi_1"), 700),
            line(None, Some("pi_1"), 500),
            line(Some("pat_1"), None, 500),
            line(Some("x"), None, 1),
        ];
        assert_eq!(kinds(&lines, &known, &Rules::default()), ["matched", "matched", "duplicate", "extra"]);
    }

    #[test]
    fn a_line_that_names_the_attempt_finds_the_capture_or_refund_of_its_amount() {
        let known = known(vec![
            expected("pcp_1", Some("pat_1"), LineKind::Payment, 500),
            expected("pcp_2", Some("pat_1"), LineKind::Payment, 700),
            expected("prf_1", Some("pat_1"), LineKind::Refund, -100),
        ]);
        let lines = [line(Some("pat_1"), None, 700), line(Some("pat_1"), None, -100), line(None, Some("pi_1"), 500)];
        assert_eq!(kinds(&lines, &known, &Rules::default()), ["matched", "matched", "matched"]);
        assert_eq!(kinds(&[line(Some("pat_1"), None, 1_200)], &known, &Rules::default()), ["split"], "one line for two captures");
    }

    #[test]
    fn other_amounts_and_currencies_are_exceptions_beyond_the_tolerance() {
        let known = known(vec![expected("pat_1", None, LineKind::Payment, 500)]);
        let strict = Rules::default();
        assert_eq!(kinds(&[line(Some("pat_1"), None, 501)], &known, &strict), ["over"]);
        assert_eq!(kinds(&[line(Some("pat_1"), None, 499)], &known, &strict), ["under"]);
        let lenient = Rules { tolerance_minor: 1, ..strict };
        assert_eq!(kinds(&[line(Some("pat_1"), None, 499)], &known, &lenient), ["matched"]);
        assert_eq!(kinds(&[line(Some("pat_1"), None, 498)], &known, &lenient), ["under"]);
        let mut dollars = line(Some("pat_1"), None, 500);
        dollars.gross.currency = Currency::parse("USD").unwrap();
        assert_eq!(kinds(&[dollars], &known, &strict), ["currency_mismatch"]);
        let mut broken = line(Some("pat_1"), None, 500);
        broken.fee_minor = 1;
        assert_eq!(kinds(&[broken], &known, &strict), ["unbalanced"]);
        let mut dear = line(Some("pat_1"), None, 500);
        (dear.fee_minor, dear.net_minor) = (26, 474);
        assert_eq!(kinds(std::slice::from_ref(&dear), &known, &Rules { fee_max_basis_points: Some(519), ..strict }), ["fee_mismatch"]);
        assert_eq!(kinds(&[dear], &known, &Rules { fee_max_basis_points: Some(520), ..strict }), ["matched"]);
    }
}
