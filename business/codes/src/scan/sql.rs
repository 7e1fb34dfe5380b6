//! Every statement of the scan: tables `codes_journals`, `codes_salts`, `codes_days`, `codes_totals`, `codes_alerts`, and of
//! `codes` what a scan uses up.
//!
//! Those that end in `_EVERYWHERE` look across workspaces: a scan knows a code and no workspace, and a journal holds the scans
//! of all of them.

use kernel::{MemberId, WorkspaceId};
use store::{Row, StoreError};

use super::journal::Position;
use super::sketch::Sketch;
use super::tally::{Breakdown, Day, Minutes};

store::statements! {
    JOURNAL_ADD_EVERYWHERE = "insert into codes_journals (node, segment, slot, done_code) values ($1, 0, 0, -1) on conflict (node) do nothing";
    JOURNAL_EVERYWHERE = "select segment, slot, upto_segment, upto_slot, done_code from codes_journals where node = $1";
    JOURNAL_MOVE_EVERYWHERE = "update codes_journals set segment = $5, slot = $6, upto_segment = $7, upto_slot = $8, done_code = $9
        where node = $1 and segment = $2 and slot = $3 and done_code = $4";

    SALT_ADD_EVERYWHERE = "insert into codes_salts (day, salt) values ($1, $2) on conflict (day) do nothing";
    SALT_EVERYWHERE = "select salt from codes_salts where day = $1";
    SALT_FORGET_EVERYWHERE = "delete from codes_salts where day < $1";

    TOTALS_OF_EVERYWHERE = sqlite
        "select code, total, bots, doubles, last_at from codes_totals where node = $1 and code in (select value from json_each($2))"
        postgres
        "select code, total, bots, doubles, last_at from codes_totals where node = $1
         and code = any(array(select cast(v as bigint) from jsonb_array_elements_text(cast(cast($2 as text) as jsonb)) as t(v)))";
    DAYS_OF_EVERYWHERE = sqlite
        "select code, total, bots, doubles, minutes, sketch, breakdown from codes_days
         where node = $1 and day = $2 and code in (select value from json_each($3))"
        postgres
        "select code, total, bots, doubles, minutes, sketch, breakdown from codes_days where node = $1 and day = $2
         and code = any(array(select cast(v as bigint) from jsonb_array_elements_text(cast(cast($3 as text) as jsonb)) as t(v)))";
    RECORDED_EVERYWHERE = "select cast(coalesce(sum(total + bots + doubles), 0) as bigint) from codes_totals";
    DAY_PUT = "insert into codes_days (code, day, node, workspace, total, bots, doubles, visitors, minutes, sketch, breakdown)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
        on conflict (code, day, node) do update set total = excluded.total, bots = excluded.bots, doubles = excluded.doubles,
        visitors = excluded.visitors, minutes = excluded.minutes, sketch = excluded.sketch, breakdown = excluded.breakdown";
    TOTALS_PUT = "insert into codes_totals (code, node, workspace, total, bots, doubles, last_at) values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (code, node) do update set total = excluded.total, bots = excluded.bots, doubles = excluded.doubles,
        last_at = excluded.last_at";

    TAKE_ONE_EVERYWHERE = "update codes set scans_left = scans_left - 1 where code = $1 and scans_left > 0";

    DAYS = "select day, visitors, minutes, sketch, breakdown, total, bots, doubles from codes_days
        where workspace = $1 and code = $2 and day >= $3 and day <= $4 order by day, node";
    DAY_NUMBERS = "select day, cast(sum(total) as bigint) as total, cast(sum(bots) as bigint) as bots, cast(sum(doubles) as bigint) as doubles
        from codes_days where workspace = $1 and code = $2 and day >= $3 and day <= $4 group by day order by day";
    TOTALS = "select cast(coalesce(sum(total), 0) as bigint) as total, cast(coalesce(sum(bots), 0) as bigint) as bots,
        cast(coalesce(sum(doubles), 0) as bigint) as doubles, max(last_at) as last_at
        from codes_totals where workspace = $1 and code = $2";
    TOTALS_OF = sqlite
        "select code, cast(sum(total) as bigint) as total, cast(sum(bots) as bigint) as bots, cast(sum(doubles) as bigint) as doubles,
         max(last_at) as last_at from codes_totals where workspace = $1 and code in (select value from json_each($2)) group by code"
        postgres
        "select code, cast(sum(total) as bigint) as total, cast(sum(bots) as bigint) as bots, cast(sum(doubles) as bigint) as doubles,
         max(last_at) as last_at from codes_totals where workspace = $1
         and code = any(array(select cast(v as bigint) from jsonb_array_elements_text(cast(cast($2 as text) as jsonb)) as t(v))) group by code";

    IS_OF_WORKSPACE = "select 1 from codes where workspace = $1 and code = $2";

    ALERT_PUT = "insert into codes_alerts (workspace, code, member, interval_seconds, created_at) values ($1, $2, $3, $4, $5)
        on conflict (workspace, code, member) do update set interval_seconds = excluded.interval_seconds";
    ALERT_REMOVE = "delete from codes_alerts where workspace = $1 and code = $2 and member = $3";
    ALERT = "select interval_seconds, last_told_at from codes_alerts where workspace = $1 and code = $2 and member = $3";
    ALERTS_DUE = "select member from codes_alerts where workspace = $1 and code = $2
        and (last_told_at is null or last_told_at + interval_seconds * 1000000 <= $3) order by member limit 100";
    ALERT_TOLD = "update codes_alerts set last_told_at = $4 where workspace = $1 and code = $2 and member = $3
        and (last_told_at is null or last_told_at + interval_seconds * 1000000 <= $4)";
    ALERTS_FORGET_MEMBER = "delete from codes_alerts where workspace = $1 and member = $2";
    ALERTED_EVERYWHERE = "select distinct code from codes_alerts order by code limit 100000";
}

/// How far a journal is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// Everything before it is counted.
    pub at: Position,
    /// The end of the window that is being counted in several units.
    pub upto: Option<Position>,
    /// The codes of that window that are counted, up to this number; -1 for none.
    pub done_code: i64,
}

pub(super) fn mark(row: &Row<'_>) -> Result<Mark, StoreError> {
    let upto = row.get::<Option<i64>>("upto_segment")?.zip(row.get::<Option<i64>>("upto_slot")?);
    Ok(Mark {
        at: Position { segment: row.get::<i64>("segment")?.cast_unsigned(), slot: row.get::<i64>("slot")?.cast_unsigned() },
        upto: upto.map(|(segment, slot)| Position { segment: segment.cast_unsigned(), slot: slot.cast_unsigned() }),
        done_code: row.get("done_code")?,
    })
}

/// What one code's scans add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Scans by people, doubles left out.
    pub total: i64,
    /// Scans by programs.
    pub bots: i64,
    /// Double scans.
    pub doubles: i64,
    /// When the last of any kind was, in microseconds since 1970; 0 for never.
    pub last_at: i64,
}

pub(super) fn totals(row: &Row<'_>) -> Result<Totals, StoreError> {
    Ok(Totals {
        total: row.get("total")?,
        bots: row.get("bots")?,
        doubles: row.get("doubles")?,
        last_at: row.get::<Option<i64>>("last_at")?.unwrap_or_default(),
    })
}

pub(super) fn totals_by_code(row: &Row<'_>) -> Result<(u64, Totals), StoreError> {
    Ok((row.get::<i64>("code")?.cast_unsigned(), totals(row)?))
}

/// A day; what cannot be read of it (a damaged sketch, say) is empty rather than in the way of all that follows.
pub(super) fn day(row: &Row<'_>) -> Result<Day, StoreError> {
    Ok(Day {
        total: row.get("total")?,
        bots: row.get("bots")?,
        doubles: row.get("doubles")?,
        minutes: Minutes::from_bytes(&row.get::<Vec<u8>>("minutes")?).unwrap_or_default(),
        visitors: Sketch::from_bytes(&row.get::<Vec<u8>>("sketch")?).unwrap_or_default(),
        breakdown: row.json::<Breakdown>("breakdown").unwrap_or_default(),
    })
}

pub(super) fn day_by_code(row: &Row<'_>) -> Result<(u64, Day), StoreError> {
    Ok((row.get::<i64>("code")?.cast_unsigned(), day(row)?))
}

pub(super) fn day_by_number(row: &Row<'_>) -> Result<(i64, Day), StoreError> {
    Ok((row.get("day")?, day(row)?))
}

pub(super) fn member(row: &Row<'_>) -> Result<MemberId, StoreError> {
    row.id("member")
}

/// The text of a workspace's id, made once for many rows of the same workspace.
#[derive(Default)]
pub(super) struct WorkspaceText(Option<(WorkspaceId, std::sync::Arc<str>)>);

impl WorkspaceText {
    pub(super) fn of(&mut self, workspace: WorkspaceId) -> std::sync::Arc<str> {
        match &self.0 {
            Some((known, text)) if *known == workspace => text.clone(),
            _ => {
                let text: std::sync::Arc<str> = workspace.to_string().into();
                self.0 = Some((workspace, text.clone()));
                text
            }
        }
    }
}
