//! Verbs of the scan: being told of the scans of a code.

use kernel::{FieldFault, MemberId, Timestamp, WorkspaceId};
use store::{Reads, StoreError, Tx, params};

use super::error::ScanError;
use super::sql;
use crate::{PublicCode, grants};

/// The shortest time between two messages about one code, in seconds.
pub const INTERVAL_MIN_SECONDS: i64 = 60;
/// The longest, in seconds: a week.
pub const INTERVAL_MAX_SECONDS: i64 = 7 * 24 * 3600;

/// How often one member wants to be told of the scans of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertSetting {
    /// At most once in so many seconds.
    pub interval_seconds: i64,
    /// When they were told last.
    pub last_told_at: Option<Timestamp>,
}

/// The caller, a person, wants to be told of the scans of a code at most once in `interval_seconds`, or not any more.
pub async fn set_alert(tx: &mut Tx, code: PublicCode, interval_seconds: Option<i64>) -> Result<Option<AlertSetting>, ScanError> {
    let workspace = tx.caller().may(grants::READ)?;
    let member = tx.caller().member().ok_or(ScanError::NotAPerson)?;
    let number = code.number().cast_signed();
    tx.row(&sql::IS_OF_WORKSPACE, params![&workspace, number], |_| Ok(())).await?.ok_or(ScanError::NotFound)?;
    match interval_seconds {
        None => {
            tx.execute(&sql::ALERT_REMOVE, params![&workspace, number, &member]).await?;
        }
        Some(seconds) if (INTERVAL_MIN_SECONDS..=INTERVAL_MAX_SECONDS).contains(&seconds) => {
            tx.execute(&sql::ALERT_PUT, params![&workspace, number, &member, seconds, tx.now()]).await?;
        }
        Some(_) => {
            return Err(ScanError::Invalid(FieldFault::new("interval_minutes", "must be from 1 minute to 10,080, which is a week")));
        }
    }
    let change = serde_json::json!({ "interval_seconds": interval_seconds });
    outbox::audit(tx, workspace, "code.alert_set", &code.to_string(), &change).await?;
    Ok(alert_of(tx, workspace, code, member).await?)
}

/// What a member has asked for, if anything.
pub async fn alert_of(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    code: PublicCode,
    member: MemberId,
) -> Result<Option<AlertSetting>, StoreError> {
    let setting = |row: &store::Row<'_>| {
        Ok(AlertSetting { interval_seconds: row.get("interval_seconds")?, last_told_at: row.opt_time("last_told_at")? })
    };
    reads.row(&sql::ALERT, params![&workspace, code.number().cast_signed(), &member], setting).await
}

/// The members to be told of a scan of this code now; each is marked as told in this unit, so that of two units one tells. Called
/// by the job that follows [`Scanned`](super::Scanned) with at least one scan by a person; it hands the messages over in the same unit.
pub async fn due_alerts(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode) -> Result<Vec<MemberId>, StoreError> {
    let (number, now) = (code.number().cast_signed(), tx.now());
    let mut due = Vec::new();
    for member in tx.rows(&sql::ALERTS_DUE, params![&workspace, number, now], sql::member).await? {
        if tx.execute(&sql::ALERT_TOLD, params![&workspace, number, &member, now]).await? == 1 {
            due.push(member);
        }
    }
    Ok(due)
}

/// A member who left is told of nothing any more.
pub async fn forget_member(tx: &mut Tx, workspace: WorkspaceId, member: MemberId) -> Result<(), StoreError> {
    tx.execute(&sql::ALERTS_FORGET_MEMBER, params![&workspace, &member]).await?;
    Ok(())
}
