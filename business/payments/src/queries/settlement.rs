//! Looking settlements, their lines, and exceptions up.

use kernel::{Timestamp, WorkspaceId};
use std::time::Duration;
use store::{Reads, StoreError, params};

use super::LAST;
use crate::error::PaymentError;
use crate::provider::ProviderId;
use crate::settlement::{Ageing, Batch, Done, Exception, ExceptionId, ExceptionKind, Line, Settlement, SettlementId};
use crate::sql::settlement as sql;

/// Which exceptions are looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExceptionFilter {
    /// Only those that are open, or only those that are not.
    pub is_open: Option<bool>,
    /// At this provider.
    pub provider: Option<ProviderId>,
    /// Of this kind.
    pub kind: Option<ExceptionKind>,
    /// Of this report.
    pub settlement: Option<SettlementId>,
}

/// A settlement.
pub async fn get(reads: &mut impl Reads, workspace: WorkspaceId, id: SettlementId) -> Result<Settlement, PaymentError> {
    let found = reads.row(&sql::FIND_SETTLEMENT, params![&workspace, &id], sql::settlement).await?;
    found.ok_or(PaymentError::NotFound { what: "settlement" })
}

/// The settlement of these very bytes, if they were taken in before.
pub async fn by_digest(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    digest: &str,
) -> Result<Option<Settlement>, StoreError> {
    reads.row(&sql::FIND_BY_DIGEST, params![&workspace, &provider, digest], sql::settlement).await
}

/// Settlements, the newest first, older than `before`.
pub async fn list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    before: Option<SettlementId>,
    limit: i64,
) -> Result<Vec<Settlement>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    reads.rows(&sql::LIST_SETTLEMENTS, params![&workspace, &before, limit], sql::settlement).await
}

/// Whether a report of this provider, other than `but`, is being booked: settlement writes wait until it is done.
pub async fn is_running(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    but: Option<SettlementId>,
) -> Result<bool, StoreError> {
    let but = but.map(|id| id.to_string()).unwrap_or_default();
    let found = reads.row(&sql::RUNNING_SETTLEMENT, params![&workspace, &provider, &but], |row| row.id::<SettlementId>("id")).await?;
    Ok(found.is_some())
}

/// Lines of a report behind line `after`, in their order.
pub async fn lines(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: SettlementId,
    after: i64,
    limit: i64,
) -> Result<Vec<Line>, StoreError> {
    reads.rows(&sql::LIST_LINES, params![&workspace, &id, after, limit], sql::line).await
}

/// Those of them that are, or were, exceptions.
pub async fn unmatched_lines(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    id: SettlementId,
    after: i64,
    limit: i64,
) -> Result<Vec<Line>, StoreError> {
    reads.rows(&sql::LIST_UNMATCHED, params![&workspace, &id, after, limit], sql::line).await
}

/// What a report says of its batches; at most 1,000 of them.
pub async fn batches(reads: &mut impl Reads, workspace: WorkspaceId, id: SettlementId) -> Result<Vec<Batch>, StoreError> {
    reads.rows(&sql::LIST_BATCHES, params![&workspace, &id], sql::batch).await
}

/// What a report comes to in each currency.
pub async fn totals(reads: &mut impl Reads, workspace: WorkspaceId, id: SettlementId) -> Result<Vec<Batch>, StoreError> {
    reads.rows(&sql::TOTALS, params![&workspace, &id], sql::batch).await
}

/// An exception.
pub async fn exception(reads: &mut impl Reads, workspace: WorkspaceId, id: ExceptionId) -> Result<Exception, PaymentError> {
    let found = reads.row(&sql::FIND_EXCEPTION, params![&workspace, &id], sql::exception).await?;
    found.ok_or(PaymentError::NotFound { what: "exception" })
}

/// Exceptions, the newest first, older than `before`.
pub async fn exceptions(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &ExceptionFilter,
    before: Option<ExceptionId>,
    limit: i64,
) -> Result<Vec<Exception>, StoreError> {
    let before = before.map_or_else(|| LAST.to_owned(), |id| id.to_string());
    let state = filter.is_open.map_or("", |is_open| if is_open { "open" } else { "resolved" });
    let provider = filter.provider.map(|id| id.to_string()).unwrap_or_default();
    let kind = filter.kind.map_or("", ExceptionKind::as_str);
    let settlement = filter.settlement.map(|id| id.to_string()).unwrap_or_default();
    reads.rows(&sql::LIST_EXCEPTIONS, params![&workspace, state, &provider, kind, &settlement, &before, limit], sql::exception).await
}

/// What was done about an exception, the oldest first; at most 200 things.
pub async fn actions(reads: &mut impl Reads, workspace: WorkspaceId, id: ExceptionId) -> Result<Vec<Done>, StoreError> {
    reads.rows(&sql::LIST_ACTIONS, params![&workspace, &id], sql::action).await
}

/// Open exceptions by provider and age, as of `now`.
pub async fn ageing(reads: &mut impl Reads, workspace: WorkspaceId, now: Timestamp) -> Result<Vec<Ageing>, StoreError> {
    let days = |count: u64| now.minus(Duration::from_secs(count * 86_400));
    // A thing of two days begins the second column, one of eight the third, one of thirty-one the last.
    reads.rows(&sql::AGEING, params![&workspace, days(2), days(8), days(31)], sql::ageing).await
}
