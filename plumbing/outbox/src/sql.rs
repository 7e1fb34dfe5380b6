//! Every statement of the outbox. Tables: outbox_log, outbox_shards, outbox_nodes, outbox_done, outbox_waiting, outbox_dead,
//! audit_log. What ends in `_EVERYWHERE` serves the log as a whole, whose entries belong to many workspaces.
//!
//! Visibility on PostgreSQL: neither the sequence nor the time of an entry is the order of commits, so a reader that went
//! by them would pass slower transactions for ever. Each entry carries its transaction's number, and readers go by (xid,
//! seq) and only below the oldest transaction that still runs, as the very statement that reads sees it: below it nothing
//! can be added any more. On SQLite the order of the log is the order of commits.

use store::{Row, StoreError};

use crate::audit::Audited;
use crate::dead::DeadJob;
use crate::{Entry, EntryKind, Position};

store::statements! {
    APPEND = "insert into outbox_log (id, shard, kind, name, lane, workspace, subject, version, payload, due_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    AUDIT = "insert into audit_log (id, workspace, happened_at, actor, action, subject, details) values ($1, $2, $3, $4, $5, $6, $7)";
    AUDIT_LIST = "select id, happened_at, actor, action, subject, details from audit_log
        where workspace = $1 and id < $2 order by id desc limit $3";
    AUDIT_OF_SUBJECT = "select id, happened_at, actor, action, subject, details from audit_log
        where workspace = $1 and subject = $2 and id < $3 order by id desc limit $4";

    // Reading the log.
    FACTS_AFTER = sqlite "select xid, seq, kind, name, workspace, subject, version, payload, created_at from outbox_log
        where workspace = $1 and kind = 'fact' and seq > $3 and xid >= $2 and substr(name, 1, length(cast($4 as text))) = cast($4 as text)
        order by seq limit $5"
      postgres "select xid, seq, kind, name, workspace, subject, version, payload, created_at from outbox_log
        where workspace = $1 and kind = 'fact' and (xid, seq) > ($2, $3) and substr(name, 1, length(cast($4 as text))) = cast($4 as text)
          and xid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
        order by xid, seq limit $5";
    TAIL_EVERYWHERE = sqlite "select xid, seq, id, shard, kind, name, workspace, subject, version, payload, due_at, created_at
        from outbox_log where seq > $2 and xid >= $1 order by seq limit $3"
      postgres "select xid, seq, id, shard, kind, name, workspace, subject, version, payload, due_at, created_at
        from outbox_log where (xid, seq) > ($1, $2)
          and xid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
        order by xid, seq limit $3";
    BACKLOG_EVERYWHERE = sqlite "select xid, seq, id, shard, kind, name, workspace, subject, version, payload, due_at, created_at
        from outbox_log where seq > $3 and seq <= $5 and xid >= $2 and xid <= $4 and shard = $1 order by seq limit $6"
      postgres "select xid, seq, id, shard, kind, name, workspace, subject, version, payload, due_at, created_at
        from outbox_log where (xid, seq) > ($2, $3) and (xid, seq) <= ($4, $5) and shard = $1 order by xid, seq limit $6";
    END_EVERYWHERE = sqlite "select xid, seq from outbox_log order by seq desc limit 1"
      postgres "select xid, seq from outbox_log where xid < cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
        order by xid desc, seq desc limit 1";
    FIRST_AFTER_EVERYWHERE = sqlite "select created_at from outbox_log where seq > $2 and xid >= $1 order by seq limit 1"
      postgres "select created_at from outbox_log where (xid, seq) > ($1, $2) order by xid, seq limit 1";

    // Leases.
    SEEN_EVERYWHERE = "insert into outbox_nodes (node, seen_at) values ($1, $2) on conflict (node) do update set seen_at = excluded.seen_at";
    FORGET_NODES_EVERYWHERE = "delete from outbox_nodes where seen_at < $1 or node = $2";
    COUNT_NODES_EVERYWHERE = "select count(*) as nodes from outbox_nodes where seen_at > $1";
    RENEW_EVERYWHERE = "update outbox_shards set lease_ends_at = $2 where holder = $1 returning shard, token, cursor_xid, cursor_seq";
    FREE_SHARDS_EVERYWHERE = sqlite "select shard, token, cursor_xid, cursor_seq from outbox_shards
        where holder is null or (holder <> $1 and lease_ends_at < $2) order by shard limit $3"
      postgres "select shard, token, cursor_xid, cursor_seq from outbox_shards
        where holder is null or (holder <> $1 and lease_ends_at < $2) order by shard limit $3 for update skip locked";
    LEASE_EVERYWHERE = "update outbox_shards set holder = $2, token = token + 1, lease_ends_at = $3 where shard = $1 and token = $4";
    // The one process that SQLite has loses a shard only to its successor, which takes a new token.
    HOLDS_EVERYWHERE = sqlite "select shard from outbox_shards where shard = $1 and token = $2 and holder = $3"
      postgres "select shard from outbox_shards where shard = $1 and token = $2 and holder = $3
        and lease_ends_at > cast(extract(epoch from clock_timestamp()) * 1000000 as bigint)";
    RELEASE_EVERYWHERE = "update outbox_shards set holder = null, lease_ends_at = 0 where shard = $1 and token = $2 and holder = $3";
    CURSOR_EVERYWHERE = "update outbox_shards set cursor_xid = $4, cursor_seq = $5
        where shard = $1 and token = $2 and holder = $3 and (cursor_xid < $4 or (cursor_xid = $4 and cursor_seq < $5))";

    // What is finished ahead of the cursor.
    FINISH_EVERYWHERE = "insert into outbox_done (shard, xid, seq) values ($1, $2, $3) on conflict (shard, xid, seq) do nothing";
    FINISHED_EVERYWHERE = "select xid, seq from outbox_done where shard = $1 and (xid, seq) > ($2, $3) order by xid, seq";
    PRUNE_EVERYWHERE = "delete from outbox_done where shard = $1 and (xid, seq) in
        (select xid, seq from outbox_done where shard = $1 and (xid, seq) > ($2, $3) and (xid, seq) <= ($4, $5) order by xid, seq limit 500)";

    // What waits.
    WAIT_EVERYWHERE = "insert into outbox_waiting (id, shard, name, lane, workspace, subject, payload, attempts, last_error, due_at, created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) on conflict (id) do nothing";
    WAIT_AGAIN_EVERYWHERE = "update outbox_waiting set attempts = attempts + 1, last_error = $3, due_at = $4 where id = $1 and attempts = $2";
    DEFER_EVERYWHERE = "update outbox_waiting set due_at = $3 where id = $1 and attempts = $2";
    TAKE_WAITING_EVERYWHERE = "delete from outbox_waiting where id = $1 and attempts = $2";
    WAITING_SOON_EVERYWHERE = "select id, shard, name, workspace, subject, payload, attempts, due_at, created_at from outbox_waiting
        where due_at < $1 and (due_at, id) > ($3, $4) and (cast($2 as bigint) >> cast(shard as integer)) & 1 = 1
        order by due_at, id limit $5";
    WAITING_BY_LANE_EVERYWHERE = "select lane, count(*) as waiting, min(due_at) as first_due_at from outbox_waiting group by lane";

    // What was given up.
    BURY_EVERYWHERE = "insert into outbox_dead (id, shard, kind, name, lane, workspace, subject, version, payload, attempts, last_error, created_at, died_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) on conflict (id) do nothing";
    COUNT_DEAD_EVERYWHERE = "select count(*) as dead from outbox_dead";
    DEAD_LIST = "select id, kind, name, subject, payload, attempts, last_error, created_at, died_at from outbox_dead
        where workspace = $1 and id < $2 order by id desc limit $3";
    DEAD_FIND = "select id, kind, name, subject, payload, attempts, last_error, created_at, died_at from outbox_dead
        where workspace = $1 and id = $2";
    DEAD_COUNT = "select count(*) as dead from outbox_dead where workspace = $1";
    DEAD_REPLAY = "insert into outbox_log (id, shard, kind, name, lane, workspace, subject, version, payload, created_at)
        select id, shard, kind, name, lane, workspace, subject, version, payload, cast($3 as bigint) from outbox_dead
        where workspace = $1 and id = $2";
    DEAD_DISCARD = "delete from outbox_dead where workspace = $1 and id = $2";

    // Age and restoring.
    DROP_OLD_EVERYWHERE = "delete from outbox_log where (xid, seq) in (
        select l.xid, l.seq from (select xid, seq, shard, created_at from outbox_log order by xid, seq limit $2) l
        join outbox_shards s on s.shard = l.shard
        where l.created_at < $1 and (l.xid < s.cursor_xid or (l.xid = s.cursor_xid and l.seq <= s.cursor_seq)))";
    IS_FOREIGN_EVERYWHERE = sqlite "select 1 where 1 = 0"
      postgres "select 1 from (select xid from outbox_log order by xid desc limit 1) l
        where l.xid >= cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint)
        union all select 1 from outbox_shards where cursor_xid >= cast(cast(pg_snapshot_xmax(pg_current_snapshot()) as text) as bigint)";
    REWRITE_OPEN_EVERYWHERE = "insert into outbox_log (id, shard, kind, name, lane, workspace, subject, version, payload, due_at, created_at)
        select l.id, l.shard, l.kind, l.name, l.lane, l.workspace, l.subject, l.version, l.payload, l.due_at, l.created_at
        from outbox_log l join outbox_shards s on s.shard = l.shard
        where (l.xid > s.cursor_xid or (l.xid = s.cursor_xid and l.seq > s.cursor_seq))
          and not exists (select 1 from outbox_done d where d.shard = l.shard and d.xid = l.xid and d.seq = l.seq)
        order by l.xid, l.seq";
    CURSORS_TO_END_EVERYWHERE = "update outbox_shards set cursor_xid = 9223372036854775807, token = token + 1, holder = null, lease_ends_at = 0";
    DROP_FOREIGN_EVERYWHERE = sqlite "delete from outbox_log where 1 = 0"
      postgres "delete from outbox_log where xid <> cast(cast(pg_current_xact_id() as text) as bigint)";
    FORGET_DONE_EVERYWHERE = "delete from outbox_done where shard >= 0";
    CURSORS_TO_START_EVERYWHERE = "update outbox_shards set cursor_xid = 0, cursor_seq = 0";
}

/// An entry of the log with what only the engine needs.
#[derive(Clone)]
pub(crate) struct LogRow {
    pub(crate) id: String,
    pub(crate) shard: usize,
    pub(crate) due_at: Option<kernel::Timestamp>,
    pub(crate) entry: Entry,
}

/// A job that waits.
#[derive(Clone)]
pub(crate) struct WaitingRow {
    pub(crate) id: String,
    pub(crate) shard: usize,
    pub(crate) name: String,
    pub(crate) workspace: kernel::WorkspaceId,
    pub(crate) subject: String,
    pub(crate) payload: String,
    pub(crate) attempts: i64,
    pub(crate) due_at: kernel::Timestamp,
    pub(crate) created_at: kernel::Timestamp,
}

pub(crate) fn position(row: &Row<'_>) -> Result<Position, StoreError> {
    Ok(Position { xid: row.get("xid")?, seq: row.get("seq")? })
}

pub(crate) fn entry(row: &Row<'_>) -> Result<Entry, StoreError> {
    Ok(Entry {
        position: position(row)?,
        kind: EntryKind::read(&row.get::<String>("kind")?),
        name: row.get("name")?,
        workspace: row.id("workspace")?,
        subject: row.get("subject")?,
        version: row.get("version")?,
        payload: row.get("payload")?,
        created_at: row.time("created_at")?,
    })
}

fn shard(row: &Row<'_>) -> Result<usize, StoreError> {
    usize::try_from(row.get::<i64>("shard")?).map_err(StoreError::decode)
}

pub(crate) fn log_row(row: &Row<'_>) -> Result<LogRow, StoreError> {
    Ok(LogRow { id: row.get("id")?, shard: shard(row)?, due_at: row.opt_time("due_at")?, entry: entry(row)? })
}

pub(crate) fn waiting_row(row: &Row<'_>) -> Result<WaitingRow, StoreError> {
    Ok(WaitingRow {
        id: row.get("id")?,
        shard: shard(row)?,
        name: row.get("name")?,
        workspace: row.id("workspace")?,
        subject: row.get("subject")?,
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        due_at: row.time("due_at")?,
        created_at: row.time("created_at")?,
    })
}

/// A shard, its token and its cursor.
pub(crate) fn shard_row(row: &Row<'_>) -> Result<(usize, i64, Position), StoreError> {
    Ok((shard(row)?, row.get("token")?, Position { xid: row.get("cursor_xid")?, seq: row.get("cursor_seq")? }))
}

pub(crate) fn audited(row: &Row<'_>) -> Result<Audited, StoreError> {
    Ok(Audited {
        id: row.id("id")?,
        at: row.time("happened_at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        details: row.json("details")?,
    })
}

pub(crate) fn dead(row: &Row<'_>) -> Result<DeadJob, StoreError> {
    Ok(DeadJob {
        id: row.id("id")?,
        kind: EntryKind::read(&row.get::<String>("kind")?),
        name: row.get("name")?,
        subject: row.get("subject")?,
        payload: row.get("payload")?,
        attempts: row.get("attempts")?,
        reason: row.get("last_error")?,
        created_at: row.time("created_at")?,
        died_at: row.time("died_at")?,
    })
}
