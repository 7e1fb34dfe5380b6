//! A sliding window, and how it is put together exactly from days, hours, minutes and single rows. Pure.
//!
//! A window of length `w` asked at `now` holds what happened after `now - w`: what is exactly `w` old has left it. Its start
//! stands somewhere within a minute, an hour and a day. The rest of that minute is counted row by row, the rest of that
//! hour by whole minutes, the rest of that day by whole hours, and what follows by whole days, so that there is no error to
//! bound: 30 days are at most 31 days, 23 hours, 59 minutes and the rows of a minute. What one party did is counted by its
//! rows alone, because most parties do little: 10,000 of them within the window take about two milliseconds.

use std::time::Duration;

use kernel::Timestamp;

use crate::activity::WordError;

/// The shortest window.
pub const WINDOW_MIN: Duration = Duration::from_secs(60);
/// The longest window.
pub const WINDOW_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Seconds of the grains that a workspace as a whole is counted by.
pub(crate) const GRAINS_S: [i64; 3] = [MINUTE_S, HOUR_S, DAY_S];
pub(crate) const MINUTE_S: i64 = 60;
pub(crate) const HOUR_S: i64 = 3_600;
pub(crate) const DAY_S: i64 = 86_400;

/// The length of a sliding window: whole seconds, from a minute to 30 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    seconds: i64,
}

impl Window {
    /// A window of so many seconds.
    pub fn of_seconds(seconds: i64) -> Result<Self, WordError> {
        let wanted = (WINDOW_MIN.as_secs().cast_signed())..=(WINDOW_MAX.as_secs().cast_signed());
        if wanted.contains(&seconds) { Ok(Self { seconds }) } else { Err(WordError("must be from 60 (a minute) to 2592000 (30 days)")) }
    }

    /// Its length in seconds.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Where a window that ends now begins, and the edges within it.
    pub(crate) fn edges(self, now: Timestamp) -> Edges {
        let since = now.minus(Duration::from_secs(self.seconds.cast_unsigned()));
        Edges { since, minutes: after(since, MINUTE_S), hours: after(since, HOUR_S), days: after(since, DAY_S) }
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (count, unit) = [(DAY_S, "day"), (HOUR_S, "hour"), (MINUTE_S, "minute")]
            .into_iter()
            .find(|(length, _)| self.seconds % length == 0)
            .map_or((self.seconds, "second"), |(length, unit)| (self.seconds / length, unit));
        write!(f, "{count} {unit}{}", if count == 1 { "" } else { "s" })
    }
}

/// Where a window begins. What happened after `since` and before `minutes` is counted by rows, from there to `hours` by
/// minutes, from there to `days` by hours, and from there on by days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Edges {
    pub since: Timestamp,
    pub minutes: Timestamp,
    pub hours: Timestamp,
    pub days: Timestamp,
}

/// The beginning of the bucket of `grain_s` seconds that `at` falls in.
pub(crate) fn bucket(at: Timestamp, grain_s: i64) -> Timestamp {
    Timestamp::from_seconds(at.as_seconds().div_euclid(grain_s) * grain_s)
}

/// The beginning of the next bucket after `at`.
fn after(at: Timestamp, grain_s: i64) -> Timestamp {
    Timestamp::from_seconds((at.as_seconds().div_euclid(grain_s) + 1) * grain_s)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_has_a_minute_at_least_and_30_days_at_most() {
        for (seconds, is_good) in [(59, false), (60, true), (2_592_000, true), (2_592_001, false), (-60, false), (i64::MAX, false)] {
            assert_eq!(Window::of_seconds(seconds).is_ok(), is_good, "{seconds}");
        }
        let said = |seconds| Window::of_seconds(seconds).unwrap().to_string();
        assert_eq!(
            [said(60), said(5_400), said(7_200), said(86_400), said(61)],
            ["1 minute", "90 minutes", "2 hours", "1 day", "61 seconds"]
        );
    }

    proptest! {
        #[test]
        fn rows_minutes_hours_and_days_hold_each_instant_of_the_window_once(
            now in 0_i64..4_000_000_000_000_000, seconds in 60_i64..=2_592_000, back in -2_i64..2_600_000_000_001, on_edge in 0_u8..3,
        ) {
            let now = Timestamp::from_micros(now);
            let window = Window::of_seconds(seconds).unwrap();
            let edges = window.edges(now);
            // Instants anywhere, and those on both sides of an edge.
            let at = match on_edge {
                0 => now.as_micros() - back,
                1 => edges.since.as_micros() + back.rem_euclid(5) - 2,
                _ => [edges.minutes, edges.hours, edges.days][usize::try_from(back.rem_euclid(3)).unwrap()].as_micros() + back.rem_euclid(5) - 2,
            };
            let at = Timestamp::from_micros(at);
            let by_row = at > edges.since && at < edges.minutes;
            let within = |grain, from: Timestamp, to: Option<Timestamp>| {
                let starts_at = bucket(at, grain);
                starts_at >= from && to.is_none_or(|to| starts_at < to)
            };
            let times = u8::from(by_row)
                + u8::from(within(MINUTE_S, edges.minutes, Some(edges.hours)))
                + u8::from(within(HOUR_S, edges.hours, Some(edges.days)))
                + u8::from(within(DAY_S, edges.days, None));
            prop_assert_eq!(times, u8::from(now.as_micros() - at.as_micros() < seconds * 1_000_000));
        }
    }
}
