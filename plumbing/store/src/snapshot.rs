//! A snapshot: one consistent view of the whole database for as long as it is kept, beside whoever writes.

use deadpool_postgres::Object;
use kernel::Timestamp;
use rusqlite::Connection;

use crate::tx::{Failure, Map, Reads, pg, sqlite_row, sqlite_rows};
use crate::value::check;
use crate::{Engine, P, Sql, StoreError};

/// PostgreSQL's own words for it; the statements of a long look are not bounded as those of a caller who waits, and each is
/// planned for the part of a table that it reads.
const BEGIN: &str = "begin isolation level repeatable read read only; set local statement_timeout = 0; \
                     set local idle_in_transaction_session_timeout = 0; set local plan_cache_mode = force_custom_plan; \
                     select 1";

/// Every read sees what was committed when the snapshot was taken. While it is kept, SQLite's log cannot be emptied and
/// PostgreSQL cannot clear up behind it: for what must be looked at as a whole, such as a verification, and not for requests.
pub struct Snapshot {
    on: View,
    now: Timestamp,
}

enum View {
    /// None while another thread reads with it.
    Sqlite(Option<Connection>),
    /// None once it is closed: a connection inside a transaction never goes back to its pool.
    Postgres(Option<Object>),
}

impl Snapshot {
    pub(crate) fn of_sqlite(connection: Connection, now: Timestamp) -> Result<Self, StoreError> {
        // The view begins with the first read, and not with `begin`.
        let begun = connection.execute_batch("begin; select count(*) from sqlite_schema");
        begun.map_err(StoreError::sqlite)?;
        Ok(Self { on: View::Sqlite(Some(connection)), now })
    }

    pub(crate) async fn of_postgres(client: Object, now: Timestamp) -> Result<Self, StoreError> {
        let snapshot = Self { on: View::Postgres(Some(client)), now };
        if let View::Postgres(Some(client)) = &snapshot.on {
            client.batch_execute(BEGIN).await.map_err(StoreError::postgres)?;
        }
        Ok(snapshot)
    }

    /// Runs `work` on a thread that may block, as a page of many rows takes a while.
    async fn on_sqlite<R: Send + 'static>(
        slot: &mut Option<Connection>,
        work: impl FnOnce(&Connection) -> Result<R, Failure> + Send + 'static,
    ) -> Result<R, StoreError> {
        let gone = || StoreError::Stopped { reason: "a read of this snapshot was given up".into() };
        let connection = slot.take().ok_or_else(gone)?;
        let read = tokio::task::spawn_blocking(move || (work(&connection), connection));
        let (result, connection) = read.await.map_err(|_| gone())?;
        *slot = Some(connection);
        result.map_err(|failure| failure.error)
    }
}

impl Reads for Snapshot {
    fn engine(&self) -> Engine {
        match self.on {
            View::Sqlite(_) => Engine::Sqlite,
            View::Postgres(_) => Engine::Postgres,
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn row<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Option<T>, StoreError> {
        check(params)?;
        match &mut self.on {
            View::Sqlite(Some(connection)) => sqlite_row(connection, sql, params, map).map_err(|failure| failure.error),
            View::Postgres(Some(client)) => Ok(pg::rows(client, sql, params, map).await.map_err(|f| f.error)?.into_iter().next()),
            _ => Err(StoreError::Stopped { reason: "a read of this snapshot was given up".into() }),
        }
    }

    async fn rows<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Vec<T>, StoreError> {
        check(params)?;
        match &mut self.on {
            View::Sqlite(slot) => {
                let params: Vec<P<'static>> = params.iter().map(|p| p.clone().into_owned()).collect();
                Self::on_sqlite(slot, move |connection| sqlite_rows(connection, sql, &params, map)).await
            }
            View::Postgres(Some(client)) => pg::rows(client, sql, params, map).await.map_err(|f| f.error),
            View::Postgres(None) => Err(StoreError::Stopped { reason: "a read of this snapshot was given up".into() }),
        }
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        if let View::Postgres(client) = &mut self.on
            && let Some(client) = client.take()
        {
            drop(Object::take(client));
        }
    }
}
