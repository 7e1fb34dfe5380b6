//! The chart of a balance: a line with steps over days, in a drawing that stretches to any width, so that all words stand
//! outside of it. Zero is always in sight. Whole numbers only.

use kernel::Timestamp;
use ledger::Unit;

use super::super::frame::plain_day;

/// Units of the drawing that one step takes.
const STEP: usize = 10;
/// How high the drawing is.
const HIGH: i128 = 1_000;

/// A step that says what it is when it is pointed at.
pub struct Step {
    /// Where it begins.
    pub left: usize,
    /// The day and the balance at its end.
    pub title: String,
}

/// A balance over days, ready to be drawn.
pub struct BalanceChart {
    /// Units of the drawing.
    pub width: usize,
    /// The line.
    pub line: String,
    /// The same, closed along zero.
    pub area: String,
    /// The lines of the grid.
    pub grid: String,
    /// Where zero is.
    pub zero: i128,
    /// What the lines of the grid stand for, from the top.
    pub labels: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// When it begins.
    pub first: String,
    /// When it ends.
    pub last: String,
    /// The chart in a sentence, for who cannot see it.
    pub summary: String,
    /// Each step's last day with its balance, the newest first.
    pub table: Vec<(String, String)>,
}

/// The distance of the lines of a grid that holds `span` between a few of them: 1, 2 or 5 times a power of ten.
fn tick(span: i128) -> i128 {
    let mut power = 1_i128;
    loop {
        for step in [1, 2, 5] {
            let tick = step * power;
            if tick.saturating_mul(4) >= span {
                return tick;
            }
        }
        match power.checked_mul(10) {
            Some(next) => power = next,
            None => return span.max(1),
        }
    }
}

/// An amount on the grid: without decimals where they are zeros.
fn label(unit: &Unit, minor: i128) -> String {
    let text = unit.major(minor);
    match text.split_once('.') {
        Some((whole, part)) if part.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => text,
    }
}

impl BalanceChart {
    /// The chart of balances at the ends of steps of `width_micros` from `from` on.
    pub fn of(balances: &[i128], from: Timestamp, width_micros: i64, unit: &Unit) -> Self {
        let low = balances.iter().copied().fold(0, i128::min);
        let high = balances.iter().copied().fold(0, i128::max);
        let tick = if high == low { 10_i128.pow(unit.exponent()) } else { tick(high - low) };
        let bottom = low.div_euclid(tick) * tick;
        let top = (high.div_euclid(tick) + i128::from(high.rem_euclid(tick) > 0 || high == bottom)) * tick;
        let y = |minor: i128| (top - minor) * HIGH / (top - bottom).max(1);
        let width = balances.len() * STEP;
        let mut line = String::new();
        for (index, balance) in balances.iter().enumerate() {
            let verb = if index == 0 { format!("M0 {}", y(*balance)) } else { format!("V{}", y(*balance)) };
            line.push_str(&format!("{verb}H{}", (index + 1) * STEP));
        }
        let zero = y(0);
        let area = format!("{line}V{zero}H0Z");
        let marks: Vec<i128> = (0..=(top - bottom) / tick).map(|n| top - n * tick).collect();
        let last_day = |index: usize| {
            let end = from.as_micros().saturating_add(width_micros.saturating_mul(index as i64 + 1));
            plain_day(Timestamp::from_micros(end - 1))
        };
        let said = |index: usize| (last_day(index), format!("{} {unit}", unit.major(balances[index])));
        let (first, last) = (plain_day(from), last_day(balances.len().saturating_sub(1)));
        let extreme = |wanted: i128| balances.iter().position(|balance| *balance == wanted);
        let told = |word: &str, found: Option<usize>| match found {
            Some(index) => format!(", {word} {} on {}", said(index).1, said(index).0),
            None => String::new(),
        };
        let most = told("at most", balances.iter().max().copied().and_then(extreme));
        let least = told("at least", balances.iter().min().copied().and_then(extreme));
        let end = balances.last().map(|balance| format!(", {} {unit} at the end", unit.major(*balance))).unwrap_or_default();
        Self {
            width,
            grid: marks.iter().map(|mark| format!("M0 {}H{width}", y(*mark))).collect(),
            labels: marks.iter().map(|mark| label(unit, *mark)).collect(),
            zero,
            summary: format!("The balance from {first} to {last}{most}{least}{end}"),
            steps: (0..balances.len())
                .map(|index| {
                    let (day, balance) = said(index);
                    Step { left: index * STEP, title: format!("{day}: {balance}") }
                })
                .collect(),
            table: (0..balances.len()).rev().map(said).collect(),
            line,
            area,
            first,
            last,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000_000;

    fn chart(balances: &[i128]) -> BalanceChart {
        let from = Timestamp::parse("2026-02-03T00:00:00Z").unwrap();
        BalanceChart::of(balances, from, DAY, &Unit::parse("EUR").unwrap())
    }

    #[test]
    fn a_balance_is_drawn_in_steps_between_round_amounts_with_zero_in_sight() {
        let chart = chart(&[0, 50_000, 100_000, 75_000]);
        assert_eq!(chart.labels, ["1000", "500", "0"]);
        assert_eq!(chart.line, "M0 1000H10V500H20V0H30V250H40");
        assert_eq!((chart.zero, chart.width, chart.first.as_str(), chart.last.as_str()), (1_000, 40, "3 Feb 2026", "6 Feb 2026"));
        assert_eq!(chart.steps[1].title, "4 Feb 2026: 500.00 EUR");
        assert_eq!(
            chart.summary,
            "The balance from 3 Feb 2026 to 6 Feb 2026, at most 1000.00 EUR on 5 Feb 2026, at least 0.00 EUR on 3 Feb 2026, 750.00 EUR at the end"
        );
    }

    #[test]
    fn what_is_owed_hangs_below_zero_and_nothing_is_a_line() {
        let below = chart(&[-30, -120]);
        assert_eq!(below.labels, ["0", "-0.50", "-1", "-1.50"]);
        assert_eq!(below.zero, 0);
        let both = chart(&[-1_000, 3_000]);
        assert_eq!(both.labels, ["30", "20", "10", "0", "-10"]);
        assert_eq!(both.zero, 750);
        let nothing = chart(&[0, 0]);
        assert_eq!((nothing.labels.join(" "), nothing.zero), ("1 0".into(), 1_000));
    }

    #[test]
    fn no_balance_is_too_large_to_be_drawn() {
        for most in [i128::from(i64::MAX), 10_i128.pow(30), -(10_i128.pow(30))] {
            let chart = chart(&[0, most]);
            assert!((2..=7).contains(&chart.labels.len()), "{:?}", chart.labels);
        }
    }
}
