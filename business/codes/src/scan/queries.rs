//! Questions about scans: series, totals, breakdowns, visitors. Rows of several nodes are added up.

use std::collections::{BTreeMap, HashMap};

use kernel::{FieldFault, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use store::{Reads, StoreError, params};

use super::error::ScanError;
use super::sketch::Sketch;
use super::sql::{self, Totals};
use super::tally::Breakdown;
use crate::PublicCode;

const DAY_MICROS: i64 = 86_400_000_000;
/// Times beyond, some 73,000 years from 1970, are taken for this one, so that no sum below overflows.
const TIME_MAX_MICROS: i64 = i64::MAX / 4;

/// How fine a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// A point a minute, for a day at most.
    Minute,
    /// A point an hour, for 31 days at most.
    Hour,
    /// A point a day of UTC, for 400 days at most.
    #[default]
    Day,
}

impl By {
    fn step_micros(self) -> i64 {
        match self {
            Self::Minute => 60_000_000,
            Self::Hour => 3_600_000_000,
            Self::Day => DAY_MICROS,
        }
    }

    fn points_max(self) -> i64 {
        match self {
            Self::Minute => 1_440,
            Self::Hour => 31 * 24,
            Self::Day => 400,
        }
    }

    fn points_usual(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 24,
            Self::Day => 30,
        }
    }
}

/// A stretch of time in whole steps of a series: from the beginning of the first step to the end of the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    by: By,
    from: i64,
    to: i64,
}

impl Span {
    /// From the step that holds `from` to the one that holds `to`; up to `now` and as long as usual where they are not given.
    pub fn new(by: By, from: Option<Timestamp>, to: Option<Timestamp>, now: Timestamp) -> Result<Self, ScanError> {
        let step = by.step_micros();
        // The end is open: a span up to midnight has no point of the next day.
        let in_range = |at: Timestamp| at.as_micros().clamp(-TIME_MAX_MICROS, TIME_MAX_MICROS);
        let to = in_range(to.unwrap_or(Timestamp::from_micros(now.as_micros() + 1)));
        let to = (to - 1).div_euclid(step).saturating_add(1).saturating_mul(step);
        let from = from.map_or(to.saturating_sub(by.points_usual() * step), |from| in_range(from).div_euclid(step) * step);
        if from >= to {
            return Err(ScanError::Invalid(FieldFault::new("from", "must be before `to`")));
        }
        if to.saturating_sub(from) / step > by.points_max() {
            let most = by.points_max();
            return Err(ScanError::Invalid(FieldFault::new("from", format!("must be at most {most} points before `to`"))));
        }
        Ok(Self { by, from, to })
    }

    /// How fine.
    pub fn by(&self) -> By {
        self.by
    }

    /// The beginning of its first step.
    pub fn from(&self) -> Timestamp {
        Timestamp::from_micros(self.from)
    }

    /// The end of its last step.
    pub fn to(&self) -> Timestamp {
        Timestamp::from_micros(self.to)
    }

    fn days(&self) -> (i64, i64) {
        (self.from.div_euclid(DAY_MICROS), (self.to - 1).div_euclid(DAY_MICROS))
    }
}

/// One step of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it begins.
    pub at: Timestamp,
    /// Scans by people, doubles left out.
    pub scans: i64,
}

/// Scans by step; steps without any are there too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Series {
    /// The steps, in order.
    pub points: Vec<Point>,
    /// All their scans.
    pub scans: i64,
}

/// The series of a code.
pub async fn series(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode, span: Span) -> Result<Series, StoreError> {
    let step = span.by.step_micros();
    let mut counts: BTreeMap<i64, i64> = (0..(span.to - span.from) / step).map(|n| (span.from + n * step, 0)).collect();
    let (first, last) = span.days();
    if span.by == By::Day {
        let numbers = |row: &store::Row<'_>| Ok((row.get::<i64>("day")?, row.get::<i64>("total")?));
        for (day, total) in reads.rows(&sql::DAY_NUMBERS, params![&workspace, code.number().cast_signed(), first, last], numbers).await? {
            counts.entry(day * DAY_MICROS).and_modify(|count| *count += total);
        }
    } else {
        for (day, rows) in days(reads, workspace, code, span).await? {
            for (minute, scans) in rows.minutes.iter() {
                let at = day * DAY_MICROS + i64::from(minute) * By::Minute.step_micros();
                counts.entry(at.div_euclid(step) * step).and_modify(|count| *count += i64::from(scans));
            }
        }
    }
    let points: Vec<Point> = counts.into_iter().map(|(at, scans)| Point { at: Timestamp::from_micros(at), scans }).collect();
    Ok(Series { scans: points.iter().map(|point| point.scans).sum(), points })
}

/// Everything that was ever counted of a code.
pub async fn totals(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode) -> Result<Totals, StoreError> {
    Ok(reads.row(&sql::TOTALS, params![&workspace, code.number().cast_signed()], sql::totals).await?.unwrap_or_default())
}

/// The same for the codes of a list, 200 at most; codes that were never scanned are absent.
pub async fn totals_of(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    codes: &[PublicCode],
) -> Result<HashMap<PublicCode, Totals>, StoreError> {
    let numbers: Vec<u64> = codes.iter().take(200).map(|code| code.number()).collect();
    let list = serde_json::to_string(&numbers).map_err(StoreError::decode)?;
    let found = reads.rows(&sql::TOTALS_OF, params![&workspace, &list], sql::totals_by_code).await?;
    Ok(found.into_iter().filter_map(|(number, totals)| Some((PublicCode::from_number(number)?, totals))).collect())
}

/// By what the scans of a stretch of days may be told apart. Days are taken whole.
pub async fn breakdown(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode, span: Span) -> Result<Breakdown, StoreError> {
    let mut all = Breakdown::default();
    for (_, day) in days(reads, workspace, code, span).await? {
        all.merge(&day.breakdown);
    }
    Ok(all)
}

/// The different devices of one day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayVisitors {
    /// When the day begins, in UTC.
    pub at: Timestamp,
    /// Different devices: exact up to 512, then within some percent.
    pub visitors: u64,
}

/// The visitors of each day that had any. A device has another hash each day, so that the sum over days is a sum of daily
/// visitors, and not the number of different visitors.
pub async fn visitors(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    code: PublicCode,
    span: Span,
) -> Result<Vec<DayVisitors>, StoreError> {
    let mut by_day: BTreeMap<i64, Sketch> = BTreeMap::new();
    for (number, day) in days(reads, workspace, code, span).await? {
        by_day.entry(number).or_default().merge(&day.visitors);
    }
    let visitors =
        by_day.into_iter().map(|(day, sketch)| DayVisitors { at: Timestamp::from_micros(day * DAY_MICROS), visitors: sketch.count() });
    Ok(visitors.filter(|day| day.visitors > 0).collect())
}

/// Every scan of every workspace that was ever counted, bots and doubles included: what a benchmark compares with what was answered.
pub async fn recorded_everywhere(reads: &mut impl Reads) -> Result<i64, StoreError> {
    Ok(reads.row(&sql::RECORDED_EVERYWHERE, &[], |row| row.get(0)).await?.unwrap_or_default())
}

/// The days of a span, by number; several rows of one day where several nodes counted.
pub(super) async fn days(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    code: PublicCode,
    span: Span,
) -> Result<Vec<(i64, super::tally::Day)>, StoreError> {
    let (first, last) = span.days();
    reads.rows(&sql::DAYS, params![&workspace, code.number().cast_signed(), first, last], sql::day_by_number).await
}

/// Whether the workspace has this code.
pub(super) async fn is_of_workspace(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode) -> Result<bool, StoreError> {
    Ok(reads.row(&sql::IS_OF_WORKSPACE, params![&workspace, code.number().cast_signed()], |_| Ok(())).await?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_whole_steps_up_to_now_and_bounded() {
        let time = |text| Timestamp::parse(text).unwrap();
        let now = time("2026-01-31T09:30:30Z");
        let hour = Span::new(By::Minute, None, None, now).unwrap();
        assert_eq!((hour.from(), hour.to()), (time("2026-01-31T08:31:00Z"), time("2026-01-31T09:31:00Z")));
        let month = Span::new(By::Day, None, None, now).unwrap();
        assert_eq!((month.from(), month.to()), (time("2026-01-02T00:00:00Z"), time("2026-02-01T00:00:00Z")));
        let day = Span::new(By::Hour, Some(time("2026-01-30T00:00:00Z")), Some(time("2026-01-31T00:00:00Z")), now).unwrap();
        assert_eq!((day.to(), day.days().0), (time("2026-01-31T00:00:00Z"), day.days().1), "an end at midnight belongs to the day before");
        assert!(Span::new(By::Minute, Some(time("2026-01-30T00:00:00Z")), Some(now), now).is_err());
        assert!(Span::new(By::Day, Some(now), Some(time("2026-01-01T00:00:00Z")), now).is_err());
        let (first, last) = (Timestamp::from_micros(i64::MIN), Timestamp::from_micros(i64::MAX));
        assert!(Span::new(By::Minute, Some(first), Some(last), now).is_err());
    }
}
