//! An account through time: its statement, and what stood on it at a past instant. Only what is booked counts, and it never
//! changes, so that pages stay as they are while others post.

use kernel::{Timestamp, WorkspaceId};
use store::{P, Reads};

use crate::account::{Account, AccountId, Side, Totals};
use crate::error::LedgerError;
use crate::keeper::EPOCH;
use crate::sql::{self, history};
use crate::transfer::Transfer;

/// By which of its two times a transfer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Dating {
    /// When it was booked.
    #[default]
    Booked,
    /// The day that it counts from.
    Effective,
}

/// One line of an account's statement.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Its place in the books of the workspace.
    pub position: i64,
    /// The account's side of it.
    pub side: Side,
    /// When it was booked.
    pub booked_at: Timestamp,
    /// What was posted.
    pub transfer: Transfer,
    /// What stood on the account after it.
    pub after: Totals,
}

/// A span of time by when something was booked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Period {
    /// The first instant in it.
    pub from: Option<Timestamp>,
    /// The first instant after it.
    pub until: Option<Timestamp>,
}

impl Period {
    fn low_micros(&self) -> i64 {
        self.from.map_or(i64::MIN, Timestamp::as_micros)
    }

    fn high_micros(&self) -> i64 {
        self.until.map_or(i64::MAX, Timestamp::as_micros)
    }
}

/// The lines of an account in `period`, the newest first, those below the position `before`.
pub async fn statement(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    period: &Period,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Line>, LedgerError> {
    let bound = before.map_or(i64::MAX, |before| before.saturating_sub(1));
    let Some((newest, _)) = latest(reads, workspace, account, bound, period.high_micros()).await? else { return Ok(Vec::new()) };
    let [epoch, newest, from, limit] = [newest / EPOCH, newest, period.low_micros(), i64::from(limit)].map(P::Int);
    let params = [sql::raw_p(workspace), sql::raw_p(account), epoch, newest, from, limit];
    Ok(reads.rows(&history::LINES_BACK, &params, history::line).await?)
}

/// The lines of an account in `period`, the oldest first, those above the position `after`.
pub async fn statement_forward(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    period: &Period,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<Line>, LedgerError> {
    let (from, until) = (period.low_micros(), period.high_micros());
    let mut low = after.unwrap_or(0).saturating_add(1).max(1);
    if let Some(from) = period.from {
        let Some((first, _)) = block_from(reads, workspace, from.as_micros()).await? else { return Ok(Vec::new()) };
        low = low.max(first);
    }
    let high = match period.until {
        Some(until) => block_from(reads, workspace, until.as_micros()).await?.map_or(i64::MAX, |(_, last)| last),
        None => i64::MAX,
    };
    let mut lines = lines_of_epoch(reads, workspace, account, low / EPOCH, (low, from, until, limit)).await?;
    if lines.len() >= limit as usize {
        return Ok(lines);
    }
    // The epochs after this one in which the account moved; within one, a page needs no more than the statement above.
    let params = [sql::raw_p(workspace), sql::raw_p(account), P::Int(low / EPOCH)];
    let mut epochs = reads.rows(&history::EPOCHS_BACK, &params, history::position).await?;
    epochs.reverse();
    for epoch in epochs.into_iter().map(|position| position / EPOCH).filter(|epoch| (low / EPOCH + 1..=high / EPOCH).contains(epoch)) {
        let left = limit.saturating_sub(u32::try_from(lines.len()).unwrap_or(u32::MAX));
        if left == 0 {
            break;
        }
        lines.extend(lines_of_epoch(reads, workspace, account, epoch, (low, from, until, left)).await?);
    }
    Ok(lines)
}

async fn lines_of_epoch(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    epoch: i64,
    (low, from, until, limit): (i64, i64, i64, u32),
) -> Result<Vec<Line>, LedgerError> {
    let [epoch, low, from, until, limit] = [epoch, low, from, until, i64::from(limit)].map(P::Int);
    let params = [sql::raw_p(workspace), sql::raw_p(account), epoch, low, from, until, limit];
    Ok(reads.rows(&history::LINES_FORWARD, &params, history::line).await?)
}

/// What stood on the account at the end of the instant `at`, as far as it is booked.
pub async fn totals_at(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: &Account,
    at: Timestamp,
    dating: Dating,
) -> Result<Totals, LedgerError> {
    let own = [sql::raw_p(workspace), sql::raw_p(account.id)];
    // What is booked from here on is above this position, and left out of both statements alike.
    let Some(newest) = reads.row(&history::LAST_POSITION, &own, history::position).await? else { return Ok(Totals::default()) };
    let found = latest(reads, workspace, account.id, newest, at.as_micros().saturating_add(1)).await?;
    let (position, totals) = found.unwrap_or_default();
    if dating == Dating::Booked {
        return Ok(totals);
    }
    let [own, raw] = own;
    let params = [own, raw, P::Int(newest), P::Int(position), P::Int(at.as_micros())];
    let dated = reads.row(&history::DATED, &params, history::dated).await?.unwrap_or_default();
    Ok(totals.plus(&dated))
}

/// The account's last row at or below a position that was booked before `until`, by a seek or two where the account moved
/// in the epoch of that position, and else by one for each epoch after it in which it moved.
async fn latest(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: AccountId,
    bound: i64,
    until: i64,
) -> Result<Option<(i64, Totals)>, LedgerError> {
    let (own, raw) = (sql::raw_p(workspace), sql::raw_p(account));
    let mut bound = bound;
    if until != i64::MAX
        && let Some((_, last)) = block_from(reads, workspace, until).await?
    {
        bound = bound.min(last);
    }
    while bound > 0 {
        let epoch = bound / EPOCH;
        let params = [own.clone(), P::Int(epoch), raw.clone(), P::Int(bound), P::Int(until)];
        if let Some(found) = reads.row(&history::LAST_IN_EPOCH, &params, history::position_and_totals).await? {
            return Ok(Some(found));
        }
        let params = [own.clone(), P::Int(epoch), raw.clone()];
        if let Some(previous) = reads.row(&history::BEFORE_EPOCH, &params, history::position).await? {
            bound = previous;
            continue;
        }
        let params = [own.clone(), raw.clone(), P::Int(epoch)];
        match reads.rows(&history::EPOCHS_BACK, &params, history::position).await?.pop() {
            // Nothing is at or below it but what was booked since, which the next round passes by.
            Some(found) => bound = bound.min(found),
            None => return Ok(None),
        }
    }
    Ok(None)
}

/// The first and the last position of the first block whose last transfer was booked at `instant` or later.
async fn block_from(reads: &mut impl Reads, workspace: WorkspaceId, instant: i64) -> Result<Option<(i64, i64)>, LedgerError> {
    Ok(reads.row(&history::BLOCK_FROM, &[sql::raw_p(workspace), P::Int(instant)], history::positions).await?)
}
