//! A unit of work and what may be done inside it.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::time::Instant;

use kernel::{Caller, Clock, Entropy, Id, RawId, Timestamp};

use crate::postgres::Line;
use crate::value::{Bound, RowOf, Several, check};
use crate::{Engine, P, Row, Sql, StoreError};

/// The future of a unit of work, as its closure returns it: `Box::pin(async move { … })`.
pub type Unit<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// Turns a row into a value.
pub type Map<T> = fn(&Row<'_>) -> Result<T, StoreError>;

/// What can be read inside a unit of work ([`Tx`]) and outside of one ([`Read`](crate::Read)) alike.
pub trait Reads: Send {
    /// Which engine answers, for the few places where that matters.
    fn engine(&self) -> Engine;

    /// The instant of this unit or read.
    fn now(&self) -> Timestamp;

    /// The first row of the answer, if there is one.
    fn row<T: Send + 'static>(
        &mut self,
        sql: &'static Sql,
        params: &[P<'_>],
        map: Map<T>,
    ) -> impl Future<Output = Result<Option<T>, StoreError>> + Send;

    /// All rows of the answer; the statement bounds them by `limit`.
    fn rows<T: Send + 'static>(
        &mut self,
        sql: &'static Sql,
        params: &[P<'_>],
        map: Map<T>,
    ) -> impl Future<Output = Result<Vec<T>, StoreError>> + Send;

    /// The horizon of visibility: every row of an append-only table whose `xid` column is below it is visible from now on
    /// and none will appear below it any more. On SQLite, where order of commit is order of writing, that is everything.
    fn horizon(&mut self) -> impl Future<Output = Result<i64, StoreError>> + Send {
        async { Ok(self.row(&HORIZON, &[], |row| row.get(0)).await?.unwrap_or(i64::MAX)) }
    }

    /// The database's own clock, which several processes share: for leases only.
    fn database_now(&mut self) -> impl Future<Output = Result<Timestamp, StoreError>> + Send {
        async {
            match self.engine() {
                Engine::Sqlite => Ok(self.now()),
                Engine::Postgres => Ok(self.row(&DATABASE_NOW, &[], |row| row.time(0)).await?.unwrap_or_default()),
            }
        }
    }
}

static HORIZON: Sql = Sql::per_engine("select 9223372036854775807", "select pg_snapshot_xmin(pg_current_snapshot())::text::bigint");
static DATABASE_NOW: Sql = Sql::per_engine("select 0", "select (extract(epoch from clock_timestamp()) * 1000000)::bigint");
static SHARED_ADVISORY_LOCK: Sql = Sql::new("select pg_advisory_xact_lock_shared($1)");
static ADVISORY_LOCK: Sql = Sql::new("select pg_advisory_xact_lock($1)");

/// One unit of work. Verbs take `&mut Tx` and can neither begin nor commit; what the closure that got it returns decides.
pub struct Tx {
    pub(crate) on: On,
    pub(crate) now: Timestamp,
    pub(crate) caller: Caller,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) hooks: Vec<Box<dyn FnOnce() + Send>>,
    /// When a unit on SQLite has had its time: between two statements, as a write is never interrupted. PostgreSQL has its own.
    pub(crate) deadline: Option<Instant>,
    /// A statement failed, or its answer was not waited for: nothing of this unit may be kept, on either engine.
    pub(crate) poisoned: bool,
    /// PostgreSQL asked to run the unit again (40001, 40P01).
    pub(crate) collided: bool,
}

pub(crate) enum On {
    Sqlite(rusqlite::Connection),
    Postgres(Line),
}

impl Tx {
    pub(crate) fn new(on: On, caller: Caller, clock: &Clock, entropy: &Entropy) -> Self {
        Self {
            on,
            now: clock.now(),
            caller,
            clock: clock.clone(),
            entropy: entropy.clone(),
            hooks: Vec::new(),
            deadline: None,
            poisoned: false,
            collided: false,
        }
    }

    /// Makes it the next unit's, on a connection that serves one after the other.
    pub(crate) fn next_unit(&mut self, caller: Caller) {
        self.now = self.clock.now();
        self.caller = caller;
        self.hooks.clear();
        (self.poisoned, self.collided) = (false, false);
    }

    /// The one instant of this unit.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Who asked for this unit.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Where this unit takes random bytes from.
    pub fn entropy(&self) -> &Entropy {
        &self.entropy
    }

    /// A new identifier; later ones sort later.
    pub fn new_id<I: Id>(&mut self) -> I {
        I::from_raw(RawId::generate(self.now, &self.entropy))
    }

    /// Runs `hook` after the commit that covers this unit, and not at all if it is not committed: for what is kept in memory.
    pub fn after_commit(&mut self, hook: impl FnOnce() + Send + 'static) {
        self.hooks.push(Box::new(hook));
    }

    /// Runs a statement and says how many rows it changed.
    pub async fn execute(&mut self, sql: &'static Sql, params: &[P<'_>]) -> Result<u64, StoreError> {
        self.begin(params)?;
        let done = match &mut self.on {
            On::Sqlite(connection) => sqlite_execute(connection, sql, params),
            On::Postgres(line) => line.ask(async |client| pg::execute(client, sql, params).await).await,
        };
        self.end(done)
    }

    /// Runs a statement that nobody asks what it changed: on PostgreSQL it shares the way with those that follow, and where it fails,
    /// the next one that is waited for does, or the commit.
    pub async fn execute_later(&mut self, sql: &'static Sql, params: &[P<'_>]) -> Result<(), StoreError> {
        self.begin(params)?;
        let done = match &mut self.on {
            On::Sqlite(connection) => sqlite_execute(connection, sql, params).map(|_| ()),
            On::Postgres(line) => line.send(sql, params).await,
        };
        self.end(done)
    }

    /// Runs one statement for many rows (at most 500 are one bounded step on SQLite; on PostgreSQL they share the wire) and
    /// says how many rows changed in all.
    pub async fn execute_many(&mut self, sql: &'static Sql, rows: &[Vec<P<'_>>]) -> Result<u64, StoreError> {
        self.begin(&[])?;
        rows.iter().try_for_each(|row| check(row))?;
        let done = match &mut self.on {
            On::Sqlite(connection) => sqlite_execute_many(connection, sql, rows, self.deadline),
            On::Postgres(line) => line.ask(async |client| pg::execute_many(client, sql, rows).await).await,
        };
        self.end(done)
    }

    /// Runs one statement for many rows at once and says how many rows changed in all. For SQLite the text is that of one row
    /// (`values ($1, $2)`); for PostgreSQL it takes each column as an array (`select * from unnest($1::bytea[], $2::text[])`).
    /// All rows have the same number of values, and a column's are of one kind or null.
    pub async fn execute_columns(&mut self, sql: &'static Sql, rows: &[Vec<P<'_>>]) -> Result<u64, StoreError> {
        let Some(width) = rows.first().map(Vec::len) else { return Ok(0) };
        if self.engine() == Engine::Sqlite {
            return self.execute_many(sql, rows).await;
        }
        self.begin(&[])?;
        rows.iter().try_for_each(|row| check(row))?;
        let columns: Vec<_> = (0..width).map(|column| Several(rows.iter().filter_map(|row| row.get(column)).collect())).collect();
        let done = match &mut self.on {
            On::Sqlite(_) => Ok(0),
            On::Postgres(line) => line.ask(async |client| pg::execute_columns(client, sql, &columns).await).await,
        };
        self.end(done)
    }

    /// Whoever holds a parent in common with others keeps out only those who [`Tx::lock`] it.
    pub async fn lock_shared(&mut self, kind: &'static str, key: &str) -> Result<(), StoreError> {
        match self.engine() {
            Engine::Sqlite => Ok(()),
            Engine::Postgres => self.execute_later(&SHARED_ADVISORY_LOCK, &[P::Int(lock_number(kind, key))]).await,
        }
    }

    /// Gives this run of the unit up because another transaction got there first, as only a guarded insert or update could
    /// tell: on PostgreSQL the store runs the unit again. Return the error from the closure.
    pub fn overtaken(&mut self) -> StoreError {
        (self.poisoned, self.collided) = (true, true);
        StoreError::Busy
    }

    /// Makes units that name the same parent run one after the other until they commit; take several in the order of their
    /// keys. On SQLite they do so anyway. What follows in this unit sees what the others did; what is not of this unit may come
    /// before the lock is held.
    pub async fn lock(&mut self, kind: &'static str, key: &str) -> Result<(), StoreError> {
        match self.engine() {
            Engine::Sqlite => Ok(()),
            Engine::Postgres => self.execute_later(&ADVISORY_LOCK, &[P::Int(lock_number(kind, key))]).await,
        }
    }

    /// Before a statement. After a failed one there is no next: on SQLite the transaction itself may be gone, and the statement
    /// would commit by itself. The unit counts as poisoned until the answer is here: whoever does not wait for it cannot know
    /// whether PostgreSQL's transaction is still good.
    fn begin(&mut self, params: &[P<'_>]) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        self.poisoned = true;
        check(params)?;
        if self.deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(StoreError::TooSlow);
        }
        Ok(())
    }

    /// After its answer.
    fn end<T>(&mut self, done: Result<T, Failure>) -> Result<T, StoreError> {
        match done {
            Ok(value) => {
                self.poisoned = false;
                Ok(value)
            }
            Err(failure) => {
                self.collided |= failure.collided;
                Err(failure.error)
            }
        }
    }

    /// What the outcome of the unit's closure means once every statement is accounted for.
    pub(crate) fn verdict<T, E: From<StoreError>>(&self, result: Result<T, E>) -> Result<T, E> {
        match result {
            Ok(_) if self.poisoned => Err(E::from(StoreError::Poisoned)),
            other => other,
        }
    }
}

impl Reads for Tx {
    fn engine(&self) -> Engine {
        match self.on {
            On::Sqlite(_) => Engine::Sqlite,
            On::Postgres(_) => Engine::Postgres,
        }
    }

    fn now(&self) -> Timestamp {
        self.now
    }

    async fn row<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Option<T>, StoreError> {
        self.begin(params)?;
        let done = match &mut self.on {
            On::Sqlite(connection) => sqlite_row(connection, sql, params, map),
            On::Postgres(line) => {
                let rows = line.ask(async |client| pg::rows(client, sql, params, map).await).await;
                rows.map(|rows| rows.into_iter().next())
            }
        };
        self.end(done)
    }

    async fn rows<T: Send + 'static>(&mut self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Vec<T>, StoreError> {
        self.begin(params)?;
        let done = match &mut self.on {
            On::Sqlite(connection) => sqlite_rows(connection, sql, params, map),
            On::Postgres(line) => line.ask(async |client| pg::rows(client, sql, params, map).await).await,
        };
        self.end(done)
    }
}

/// Runs what was given to [`Tx::after_commit`]. What it guards is on the disk: a defect in it must not look like a failure.
pub(crate) fn run_hooks(hooks: Vec<Box<dyn FnOnce() + Send>>) {
    for hook in hooks {
        if catch_unwind(AssertUnwindSafe(hook)).is_err() {
            tracing::error!("a hook that ran after a commit panicked");
        }
    }
}

/// A statement that failed, and whether running the whole unit again may help.
pub(crate) struct Failure {
    pub(crate) error: StoreError,
    pub(crate) collided: bool,
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self { error: StoreError::sqlite(error), collided: false }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let collided = error.code().is_some_and(|state| matches!(state.code(), "40001" | "40P01"));
        Self { error: StoreError::postgres(error), collided }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, collided: false }
    }
}

fn sqlite_execute(connection: &rusqlite::Connection, sql: &'static Sql, params: &[P<'_>]) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(sql.text(Engine::Sqlite))?;
    // A statement that answers rows (returning, select) may be executed for its effect alone.
    if statement.column_count() > 0 {
        let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(Bound)))?;
        let mut count = 0;
        while rows.next()?.is_some() {
            count += 1;
        }
        return Ok(count);
    }
    Ok(statement.execute(rusqlite::params_from_iter(params.iter().map(Bound)))? as u64)
}

fn sqlite_execute_many(
    connection: &rusqlite::Connection,
    sql: &'static Sql,
    rows: &[Vec<P<'_>>],
    deadline: Option<Instant>,
) -> Result<u64, Failure> {
    let mut statement = connection.prepare_cached(sql.text(Engine::Sqlite))?;
    let mut changed = 0;
    for (index, row) in rows.iter().enumerate() {
        // Between two rows and never within one, as for single statements.
        if index % 64 == 63 && deadline.is_some_and(|deadline| Instant::now() > deadline) {
            return Err(StoreError::TooSlow.into());
        }
        changed += statement.execute(rusqlite::params_from_iter(row.iter().map(Bound)))? as u64;
    }
    Ok(changed)
}

pub(crate) fn sqlite_row<T>(
    connection: &rusqlite::Connection,
    sql: &'static Sql,
    params: &[P<'_>],
    map: Map<T>,
) -> Result<Option<T>, Failure> {
    let mut statement = connection.prepare_cached(sql.text(Engine::Sqlite))?;
    let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(Bound)))?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let value = map(&Row(RowOf::Sqlite(row)))?;
    // Runs the statement to its end: an `insert … returning` that is reset half-way would keep only part of its effect.
    while rows.next()?.is_some() {}
    Ok(Some(value))
}

pub(crate) fn sqlite_rows<T>(
    connection: &rusqlite::Connection,
    sql: &'static Sql,
    params: &[P<'_>],
    map: Map<T>,
) -> Result<Vec<T>, Failure> {
    let mut statement = connection.prepare_cached(sql.text(Engine::Sqlite))?;
    let mut rows = statement.query(rusqlite::params_from_iter(params.iter().map(Bound)))?;
    let mut values = Vec::new();
    while let Some(row) = rows.next()? {
        values.push(map(&Row(RowOf::Sqlite(row)))?);
    }
    Ok(values)
}

/// What a PostgreSQL connection is asked, inside and outside of units.
pub(crate) mod pg {
    use super::{Bound, Engine, Failure, Map, P, Row, RowOf, Several, Sql};
    use deadpool_postgres::ClientWrapper;
    use futures_util::TryStreamExt;
    use futures_util::stream::{FuturesOrdered, StreamExt};

    pub(crate) async fn execute(client: &ClientWrapper, sql: &'static Sql, params: &[P<'_>]) -> Result<u64, Failure> {
        let statement = client.prepare_cached(sql.text(Engine::Postgres)).await?;
        Ok(client.execute_raw(&statement, params.iter().map(Bound)).await?)
    }

    pub(crate) async fn execute_many(client: &ClientWrapper, sql: &'static Sql, rows: &[Vec<P<'_>>]) -> Result<u64, Failure> {
        let statement = client.prepare_cached(sql.text(Engine::Postgres)).await?;
        let mut changed = 0;
        for chunk in rows.chunks(500) {
            let mut answers: FuturesOrdered<_> = chunk.iter().map(|row| client.execute_raw(&statement, row.iter().map(Bound))).collect();
            while let Some(answer) = answers.next().await {
                changed += answer?;
            }
        }
        Ok(changed)
    }

    pub(crate) async fn execute_columns(client: &ClientWrapper, sql: &'static Sql, columns: &[Several<'_>]) -> Result<u64, Failure> {
        let statement = client.prepare_cached(sql.text(Engine::Postgres)).await?;
        Ok(client.execute_raw(&statement, columns).await?)
    }

    pub(crate) async fn rows<T>(client: &ClientWrapper, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Vec<T>, Failure> {
        let statement = client.prepare_cached(sql.text(Engine::Postgres)).await?;
        let stream = client.query_raw(&statement, params.iter().map(Bound)).await?;
        let mut stream = std::pin::pin!(stream);
        let mut values = Vec::new();
        while let Some(row) = stream.try_next().await? {
            values.push(map(&Row(RowOf::Postgres(&row)))?);
        }
        Ok(values)
    }
}

/// FNV-1a over both words: a 64-bit key for an advisory lock; two keys that meet only wait for each other.
fn lock_number(kind: &str, key: &str) -> i64 {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for byte in kind.bytes().chain([0]).chain(key.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    hash.cast_signed()
}
