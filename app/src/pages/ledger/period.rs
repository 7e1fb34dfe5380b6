//! Which days are looked at: a stretch that ends today, everything, or from one day to another.

use std::time::Duration;

use kernel::Timestamp;
use ledger::queries::Period;
use serde::Deserialize;

use super::super::frame::{plain_day, query};

/// A day.
pub const DAY: Duration = Duration::from_secs(86_400);
const DAY_MICROS: i64 = 86_400_000_000;
/// The stretches to choose from: word, label, days. None is everything.
const RANGES: [(&str, &str, Option<u32>); 4] =
    [("30d", "30 days", Some(30)), ("90d", "90 days", Some(90)), ("1y", "A year", Some(365)), ("all", "All", None)];
/// Steps that a chart has at most.
const STEPS_MAX: i64 = 92;

/// What an address says of the days.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Asked {
    range: Option<String>,
    from: Option<String>,
    to: Option<String>,
}

/// The days that are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    /// The word of the stretch; empty for days of one's own.
    pub range: &'static str,
    /// The first instant, if there is one.
    pub from: Option<Timestamp>,
    /// The first instant after the last day, if there is one.
    pub until: Option<Timestamp>,
}

/// Midnight before an instant, in UTC.
pub fn day_of(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.day().saturating_mul(DAY_MICROS))
}

/// `2026-02-03`.
pub fn typed_day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// The first instant of a day that was typed as `2026-02-03`.
pub fn parse_day(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if text.len() == 10 { Timestamp::parse(&format!("{text}T00:00:00Z")).ok() } else { None }
}

impl Days {
    /// The days that an address asks for; a word that means nothing is as good as absent.
    pub fn of(asked: &Asked, now: Timestamp) -> Self {
        let tomorrow = day_of(now).plus(DAY);
        let day = |text: &Option<String>| text.as_deref().and_then(parse_day);
        let (from, to) = (day(&asked.from), day(&asked.to));
        if from.is_some() || to.is_some() {
            return Self { range: "", from, until: to.map(|to| to.plus(DAY)) };
        }
        let wanted = asked.range.as_deref().unwrap_or_default();
        let (range, _, days) = RANGES.iter().find(|(word, ..)| *word == wanted).unwrap_or(&RANGES[1]);
        match days {
            Some(days) => Self { range, from: Some(tomorrow.minus(DAY * *days)), until: Some(tomorrow) },
            None => Self { range, from: None, until: None },
        }
    }

    /// The stretches to choose from: word, label, query.
    pub fn choice() -> Vec<(&'static str, &'static str)> {
        RANGES.iter().map(|(word, label, _)| (*word, *label)).collect()
    }

    /// The same as a span of the ledger.
    pub const fn period(&self) -> Period {
        Period { from: self.from, until: self.until }
    }

    /// The same as a query for our own pages.
    pub fn query(&self, before: &str) -> String {
        let typed = |at: Option<Timestamp>| at.map(typed_day).unwrap_or_default();
        if self.range.is_empty() {
            query(&[("from", &typed(self.from)), ("to", &self.last_typed()), ("before", before)])
        } else {
            query(&[("range", self.range), ("before", before)])
        }
    }

    /// The same as a query of the API.
    pub fn api_query(&self) -> String {
        let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
        query(&[("from", &text(self.from)), ("until", &text(self.until))])
    }

    /// The first day as a form shows it.
    pub fn first_typed(&self) -> String {
        self.from.map(typed_day).unwrap_or_default()
    }

    /// The last day as a form shows it.
    pub fn last_typed(&self) -> String {
        self.until.map(|until| typed_day(until.minus(DAY))).unwrap_or_default()
    }

    /// The days in words.
    pub fn words(&self) -> String {
        words(&self.period())
    }

    /// Where a chart of these days begins, how long its steps are in microseconds, and how many there are. `first` is the
    /// first day on which something counts.
    pub fn steps(&self, first: Option<Timestamp>, now: Timestamp) -> (Timestamp, i64, usize) {
        let tomorrow = day_of(now).plus(DAY);
        let until = self.until.unwrap_or(tomorrow);
        let from = self.from.or(first.map(day_of)).unwrap_or_else(|| until.minus(DAY)).min(until.minus(DAY));
        let days = (until.as_micros() - from.as_micros()).div_euclid(DAY_MICROS).max(1);
        let width = (days + STEPS_MAX - 1) / STEPS_MAX;
        let steps = (days + width - 1) / width;
        // Steps of several days end with the last one.
        let start = Timestamp::from_micros(until.as_micros() - steps * width * DAY_MICROS);
        (start, width * DAY_MICROS, steps as usize)
    }
}

/// A span in words; its end is the last day in it where it ends with a day.
pub fn words(period: &Period) -> String {
    let last = |until: Timestamp| Timestamp::from_micros(until.as_micros().saturating_sub(1));
    match (period.from, period.until.map(last)) {
        (Some(from), Some(last)) if from.day() == last.day() => plain_day(from),
        (Some(from), Some(last)) => format!("{} to {}", plain_day(from), plain_day(last)),
        (Some(from), None) => format!("From {} on", plain_day(from)),
        (None, Some(last)) => format!("Up to {}", plain_day(last)),
        (None, None) => "From the beginning".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).unwrap()
    }

    fn asked(range: &str, from: &str, to: &str) -> Asked {
        let some = |text: &str| Some(text.to_owned());
        Asked { range: some(range), from: some(from), to: some(to) }
    }

    #[test]
    fn a_stretch_ends_with_today_and_days_of_ones_own_with_their_last_one() {
        let now = at("2026-03-31T14:00:00Z");
        let month = Days::of(&asked("30d", "", ""), now);
        assert_eq!((month.from, month.until), (Some(at("2026-03-02T00:00:00Z")), Some(at("2026-04-01T00:00:00Z"))));
        assert_eq!(month.words(), "2 Mar 2026 to 31 Mar 2026");
        let own = Days::of(&asked("30d", "2026-02-01", "2026-02-28"), now);
        assert_eq!((own.range, own.until), ("", Some(at("2026-03-01T00:00:00Z"))));
        assert_eq!((own.query(""), own.words()), ("from=2026-02-01&to=2026-02-28".into(), "1 Feb 2026 to 28 Feb 2026".into()));
        let wrong = Days::of(&asked("never", "yesterday", "2026-02-30"), now);
        assert_eq!(wrong.range, "90d");
        assert_eq!(Days::of(&asked("all", "", ""), now).words(), "From the beginning");
    }

    #[test]
    fn a_chart_has_few_steps_and_ends_with_the_last_day() {
        let now = at("2026-03-31T14:00:00Z");
        for (days, width, count) in [("30d", 1, 30), ("90d", 1, 90), ("1y", 4, 92)] {
            let days = Days::of(&asked(days, "", ""), now);
            let (from, micros, steps) = days.steps(None, now);
            assert_eq!((micros, steps), (width * DAY_MICROS, count));
            assert_eq!(from.as_micros() + micros * steps as i64, at("2026-04-01T00:00:00Z").as_micros());
        }
        let all = Days::of(&asked("all", "", ""), now);
        assert_eq!(all.steps(None, now).2, 1);
        let (from, _, steps) = all.steps(Some(at("2016-01-01T08:00:00Z")), now);
        assert!(steps <= 92 && from <= at("2016-01-01T00:00:00Z"));
    }
}
