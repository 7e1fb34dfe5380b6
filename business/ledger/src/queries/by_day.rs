//! The books as people look at them: by the day that transfers count from, which is the day they are recorded on unless the
//! caller said another one.
//!
//! The order of the books never changes, so that programs page by it. People ask for March and mean what counts in March,
//! whenever it was entered: balances here are sums over that day, and a line that is entered late takes its place among the
//! others. What is only promised counts from when it was booked.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use kernel::{Timestamp, WorkspaceId};
use store::{P, Reads};

use super::trial::by_unit;
use crate::account::{Account, AccountId, AccountKind, Side, Totals};
use crate::error::LedgerError;
use crate::keeper::Sealed;
use crate::queries::{self, Dating, Line, Period, TrialBalance, TrialRow};
use crate::sql::{self, by_day, keep};
use crate::transfer::{Transfer, TransferId};

/// Lines that are read at once.
const CHUNK: u32 = 500;
/// Lines that are passed by for one page because they count elsewhere: an import of years. The page ends there, and goes on.
const PASSED_MAX: usize = 10_000;

/// Where a line stands in an account by day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The instant that it counts from.
    pub at: Timestamp,
    /// Its position in the books.
    pub position: i64,
}

/// A text that is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be a place as a page named it")]
pub struct PlaceError;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.at.as_micros(), self.position)
    }
}

impl FromStr for Place {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (at, position) = text.rsplit_once('-').ok_or(PlaceError)?;
        let at = at.parse().map_err(|_| PlaceError)?;
        Ok(Self { at: Timestamp::from_micros(at), position: position.parse().map_err(|_| PlaceError)? })
    }
}

/// A line of an account by day.
#[derive(Debug, Clone, PartialEq)]
pub struct DayLine {
    /// Where it stands.
    pub place: Place,
    /// The line as it stands in the books.
    pub line: Line,
    /// The balance after it, with everything that counts before it; positive on the side that the account grows by.
    pub balance: i128,
}

/// Some lines, the newest first.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DayLines {
    /// They.
    pub lines: Vec<DayLine>,
    /// Where the next ones begin, if there may be any.
    pub next: Option<Place>,
}

/// As the keeper decides it.
fn is_dated(line: &Line) -> bool {
    line.transfer.effective_at != line.transfer.recorded_at && line.transfer.adds().0 > 0
}

/// What a line adds to the balance of an account of this kind.
pub fn adds(kind: AccountKind, line: &Line) -> i128 {
    let (posted, _) = line.transfer.adds();
    let is_growth = kind.grows_by_debits() == (line.side == Side::Debit);
    if is_growth { i128::from(posted) } else { -i128::from(posted) }
}

fn just_after(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_add(1))
}

fn just_before(at: Timestamp) -> Timestamp {
    Timestamp::from_micros(at.as_micros().saturating_sub(1))
}

/// The balance of what counts before `at`, as far as it is booked.
pub async fn balance_before(reads: &mut impl Reads, workspace: WorkspaceId, account: &Account, at: Timestamp) -> Result<i128, LedgerError> {
    balance_at(reads, workspace, account, just_before(at)).await
}

/// The balance of what counts up to `at`, that instant included, as far as it is booked.
pub async fn balance_at(reads: &mut impl Reads, workspace: WorkspaceId, account: &Account, at: Timestamp) -> Result<i128, LedgerError> {
    Ok(account.balance(&queries::totals_at(reads, workspace, account, at, Dating::Effective).await?))
}

/// The lines of an account that count in `period`, the newest first, those below `before`, each with the balance after it.
pub async fn lines_by_day(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: &Account,
    period: &Period,
    before: Option<Place>,
    limit: usize,
) -> Result<DayLines, LedgerError> {
    let (found, next) = merged(reads, workspace, account.id, period, before, limit).await?;
    let Some((first, _)) = found.first() else { return Ok(DayLines { lines: Vec::new(), next }) };
    let first = *first;
    let mut balance = balance_at(reads, workspace, account, first.at).await?;
    if before.is_some_and(|before| before.at == first.at) {
        balance -= above(reads, workspace, account, first).await?;
    }
    let with_balance = |(place, line): (Place, Line)| {
        let after = balance;
        balance -= adds(account.kind, &line);
        DayLine { place, line, balance: after }
    };
    Ok(DayLines { lines: found.into_iter().map(with_balance).collect(), next })
}

/// What is added by lines that count from the same instant as `place` and stand above it.
async fn above(reads: &mut impl Reads, workspace: WorkspaceId, account: &Account, place: Place) -> Result<i128, LedgerError> {
    let instant = Period { from: Some(place.at), until: Some(just_after(place.at)) };
    let (mut sum, mut from) = (0, None);
    loop {
        let (found, next) = merged(reads, workspace, account.id, &instant, from, CHUNK as usize).await?;
        sum += found.iter().filter(|(at, _)| *at > place).map(|(_, line)| adds(account.kind, line)).sum::<i128>();
        match next {
            Some(next) if next > place => from = Some(next),
            _ => return Ok(sum),
        }
    }
}

/// Lines by day, the newest first, and where the next ones begin.
async fn merged(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    period: &Period,
    before: Option<Place>,
    limit: usize,
) -> Result<(Vec<(Place, Line)>, Option<Place>), LedgerError> {
    let before = before.unwrap_or(Place { at: Timestamp::from_micros(i64::MAX), position: i64::MAX });
    let wanted = limit + 1;
    let (mut found, reached) = undated(reads, workspace, account, period, before, wanted).await?;
    let (from, until) = (period.from.map_or(i64::MIN, Timestamp::as_micros), period.until.map_or(i64::MAX, Timestamp::as_micros));
    let [from, until, at, position, count] = [from, until, before.at.as_micros(), before.position, wanted as i64].map(P::Int);
    let params = [sql::raw_p(workspace), sql::raw_p(account), from, until, at, position, count];
    let dated = reads.rows(&by_day::DATED_BACK, &params, by_day::dated_line).await?;
    found.extend(dated.into_iter().map(|(at, line)| (Place { at: Timestamp::from_micros(at), position: line.position }, line)));
    // What was not looked at yet may stand among what lies further back.
    found.retain(|(place, _)| reached.is_none_or(|reached| *place >= reached));
    found.sort_unstable_by_key(|(place, _)| std::cmp::Reverse(*place));
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = if has_more { found.last().map(|(place, _)| *place) } else { reached };
    Ok((found, next))
}

/// Lines that count from when they were booked, and how far was looked if that was not to the end.
async fn undated(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    period: &Period,
    before: Place,
    wanted: usize,
) -> Result<(Vec<(Place, Line)>, Option<Place>), LedgerError> {
    let until = just_after(before.at);
    let span = Period { from: period.from, until: Some(period.until.map_or(until, |end| end.min(until))) };
    let (mut found, mut below, mut passed) = (Vec::new(), None, 0);
    loop {
        let lines = queries::statement(reads, workspace, account, &span, below, CHUNK).await?;
        let is_last = lines.len() < CHUNK as usize;
        below = lines.last().map(|line| line.position);
        for line in lines {
            let place = Place { at: line.booked_at, position: line.position };
            if is_dated(&line) || place >= before {
                passed += 1;
                if passed >= PASSED_MAX && place < before {
                    return Ok((found, Some(place)));
                }
                continue;
            }
            found.push((place, line));
            if found.len() == wanted {
                return Ok((found, None));
            }
        }
        if is_last {
            return Ok((found, None));
        }
    }
}

/// The first instant from which something counts on the account.
pub async fn first_day(reads: &mut impl Reads, workspace: WorkspaceId, account: AccountId) -> Result<Option<Timestamp>, LedgerError> {
    let params = [sql::raw_p(workspace), sql::raw_p(account)];
    let dated = reads.row(&by_day::FIRST_DATED, &params, by_day::first).await?.flatten().map(Timestamp::from_micros);
    let booked = queries::statement_forward(reads, workspace, account, &Period::default(), None, 1).await?;
    Ok(dated.into_iter().chain(booked.first().map(|line| line.booked_at)).min())
}

/// The balance by day at the end of each of `steps` steps of `width_micros` from `from` on.
pub async fn balances_by_day(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: &Account,
    from: Timestamp,
    width_micros: i64,
    steps: usize,
) -> Result<Vec<i128>, LedgerError> {
    let edge = |step: usize| Timestamp::from_micros(from.as_micros().saturating_add(width_micros.saturating_mul(step as i64)));
    let opening = balance_before(reads, workspace, account, from).await?;
    let [start, end, width] = [from.as_micros(), edge(steps).as_micros(), width_micros.max(1)].map(P::Int);
    let params = [sql::raw_p(workspace), sql::raw_p(account.id), start, end, width];
    let dated: HashMap<i64, Totals> = reads.rows(&by_day::DATED_STEPS, &params, by_day::step).await?.into_iter().collect();
    let before = queries::totals_at(reads, workspace, account, just_before(from), Dating::Booked).await?;
    let start = account.balance(&before);
    let (mut balances, mut moved) = (Vec::with_capacity(steps), 0);
    for step in 0..steps {
        let booked = queries::totals_at(reads, workspace, account, just_before(edge(step + 1)), Dating::Booked).await?;
        moved += dated.get(&(step as i64)).map_or(0, |totals| account.balance(totals));
        balances.push(opening + account.balance(&booked) - start + moved);
    }
    Ok(balances)
}

/// The trial balance of what counts up to `at`, as far as it is booked.
pub async fn trial_balance_by_day(reads: &mut impl Reads, workspace: WorkspaceId, at: Timestamp) -> Result<TrialBalance, LedgerError> {
    let booked = queries::trial_balance(reads, workspace, Some(at)).await?;
    let params = [sql::raw_p(workspace), P::Int(at.as_micros())];
    let mut dated: HashMap<AccountId, Totals> =
        reads.rows(&by_day::DATED_ACCOUNTS, &params, by_day::of_account).await?.into_iter().collect();
    if dated.is_empty() {
        return Ok(booked);
    }
    let mut rows: Vec<TrialRow> = booked.units.into_iter().flat_map(|unit| unit.rows).collect();
    for row in &mut rows {
        if let Some(more) = dated.remove(&row.account.id) {
            row.totals = row.totals.plus(&more);
        }
    }
    for (id, totals) in dated {
        rows.push(TrialRow { account: queries::account(reads, workspace, id).await?, totals });
    }
    rows.retain(|row| row.totals.debits_posted != 0 || row.totals.credits_posted != 0);
    Ok(TrialBalance { version: booked.version, units: by_unit(rows) })
}

/// The block that seals a transfer; none as long as it is not booked.
pub async fn seal_of(reads: &mut impl Reads, workspace: WorkspaceId, transfer: &Transfer) -> Result<Option<Sealed>, LedgerError> {
    let id: TransferId = transfer.id;
    let (place, books) = (queries::version_of(reads, workspace, id).await?, queries::version(reads).await?);
    if books < place {
        return Ok(None);
    }
    let [at, era, xid, seq] = [transfer.recorded_at.as_micros(), place.era, place.xid, place.seq].map(P::Int);
    Ok(reads.row(&by_day::BLOCK_OVER, &[sql::raw_p(workspace), at, era, xid, seq], keep::last_block).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for at in [-5, 0, 1_795_000_000_000_000] {
            let place = Place { at: Timestamp::from_micros(at), position: 42 };
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for wrong in ["", "-", "1", "x-1", "1-x", "1-2-x"] {
            assert_eq!(wrong.parse::<Place>(), Err(PlaceError), "{wrong}");
        }
    }
}
