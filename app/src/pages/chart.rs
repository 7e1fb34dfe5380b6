//! The chart of a series: bars in a drawing that stretches to any width, so that all words stand outside of it.

use codes::scan::{By, Series};
use kernel::Timestamp;

use super::frame::plain_day;

/// Units of the drawing that one step takes, its gap included.
const STEP: usize = 10;

/// A bar of 0 to 100 units.
pub struct Bar {
    /// Where its step begins.
    pub left: usize,
    /// Where the bar begins.
    pub x: usize,
    /// How wide it is.
    pub width: usize,
    /// Its upper end, counted from the top.
    pub y: i64,
    /// How high it is.
    pub height: i64,
    /// What is said when it is pointed at.
    pub title: String,
}

/// A series, ready to be drawn.
pub struct Chart {
    /// Units of the drawing.
    pub width: usize,
    /// The bars, in order.
    pub bars: Vec<Bar>,
    /// What the upper end stands for.
    pub top: i64,
    /// What the middle stands for, where that is a whole number.
    pub half: String,
    /// When it begins.
    pub first: String,
    /// When it ends.
    pub last: String,
    /// The chart in a sentence, for who cannot see it.
    pub summary: String,
}

/// When a step is, in words.
pub fn step_name(by: By, at: Timestamp) -> String {
    match by {
        By::Day => plain_day(at),
        By::Hour | By::Minute => format!("{}, {:02}:{:02}", plain_day(at), at.to_utc().hour(), at.to_utc().minute()),
    }
}

/// The smallest of 2, 4, 6, 8 and 10 times a power of ten that holds `most`.
fn upper_end(most: i64) -> i64 {
    let mut unit = 1_i64;
    loop {
        for step in [2, 4, 6, 8, 10] {
            if let Some(end) = unit.checked_mul(step).filter(|end| *end >= most) {
                return end;
            }
        }
        match unit.checked_mul(10) {
            Some(next) => unit = next,
            None => return i64::MAX,
        }
    }
}

impl Chart {
    /// The chart of a series.
    pub fn of(series: &Series, by: By) -> Self {
        let most = series.points.iter().max_by_key(|point| point.scans);
        let top = upper_end(most.map_or(0, |point| point.scans));
        let gap = if series.points.len() > 60 { 1 } else { 2 };
        let bar = |(index, point): (usize, &codes::scan::Point)| {
            // What is not nothing is seen, however small it is beside the largest.
            let height = if point.scans == 0 { 0 } else { (i128::from(point.scans) * 100 / i128::from(top)).max(1) as i64 };
            let scans = if point.scans == 1 { "scan" } else { "scans" };
            Bar {
                left: index * STEP,
                x: index * STEP + gap / 2,
                width: STEP - gap,
                y: 100 - height,
                height,
                title: format!("{}: {} {scans}", step_name(by, point.at), point.scans),
            }
        };
        let name = |point: Option<&codes::scan::Point>| point.map(|point| step_name(by, point.at)).unwrap_or_default();
        let (first, last) = (name(series.points.first()), name(series.points.last()));
        let peak = match most.filter(|point| point.scans > 0) {
            Some(point) => format!(", at most {} on {}", point.scans, step_name(by, point.at)),
            None => String::new(),
        };
        Self {
            width: series.points.len() * STEP,
            bars: series.points.iter().enumerate().map(bar).collect(),
            top,
            half: (top / 2).to_string(),
            summary: format!("{} scans from {first} to {last}{peak}", series.scans),
            first,
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codes::scan::Point;

    #[test]
    fn the_upper_end_holds_the_most_and_halves_evenly() {
        for (most, end) in [(0, 2), (1, 2), (3, 4), (9, 10), (10, 10), (11, 20), (81, 100), (101, 200)] {
            assert_eq!(upper_end(most), end, "{most}");
        }
        assert_eq!(upper_end(i64::MAX), i64::MAX);
    }

    #[test]
    fn every_scan_is_seen_and_nothing_is_nothing() {
        let at = Timestamp::parse("2026-02-03T00:00:00Z").unwrap();
        let points = [0, 1, 5_000].map(|scans| Point { at, scans }).to_vec();
        let chart = Chart::of(&Series { points, scans: 5_001 }, By::Day);
        assert_eq!(chart.bars.iter().map(|bar| bar.height).collect::<Vec<_>>(), [0, 1, 83]);
        assert_eq!((chart.width, chart.top), (30, 6_000));
        assert_eq!(chart.bars[1].title, "3 Feb 2026: 1 scan");
    }
}
