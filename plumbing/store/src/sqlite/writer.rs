//! The writer thread: takes what is queued, runs each unit inside a savepoint, commits them together, answers them all.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use kernel::Caller;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::wal::Brake;
use super::{Shared, lock};
use crate::StoreError;
use crate::tx::{On, Tx, Unit, run_hooks};

/// At most this many units share one commit.
const GROUP_MAX: usize = 512;

/// A unit of work that waits for its turn.
pub(super) trait Waiting: Send {
    /// Whether anybody still wants the answer.
    fn wanted(&self) -> bool;
    /// Runs it; true means that its effect is to be kept.
    fn run(&mut self, tx: &mut Tx) -> bool;
    /// Answers, once the commit that covers the group has succeeded (or says why it did not).
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

type Outcome<T, E> = std::thread::Result<Result<T, E>>;

/// A unit, what it is given, and who waits for what it answers.
pub(super) struct Queued<I, T, E, F> {
    caller: Option<Caller>,
    input: Option<I>,
    unit: F,
    result: Option<Outcome<T, E>>,
    reply: oneshot::Sender<Outcome<T, E>>,
}

impl<I, T, E, F> Queued<I, T, E, F> {
    pub(super) fn new(caller: Caller, input: I, unit: F, reply: oneshot::Sender<Outcome<T, E>>) -> Self {
        Self { caller: Some(caller), input: Some(input), unit, result: None, reply }
    }
}

impl<I, T, E, F> Waiting for Queued<I, T, E, F>
where
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send,
    I: Send,
    T: Send,
    E: From<StoreError> + Send,
{
    fn wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx) -> bool {
        let Some((input, caller)) = self.input.take().zip(self.caller.take()) else { return false };
        tx.next_unit(caller);
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let mut future = (self.unit)(tx, input);
            match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result,
                Poll::Pending => Err(E::from(StoreError::WaitedForSomethingElse)),
            }
        }));
        let result = polled.map(|result| tx.verdict(result));
        let keep = matches!(result, Ok(Ok(_)));
        self.result = Some(result);
        keep
    }

    fn answer(mut self: Box<Self>, group: Result<(), StoreError>) {
        let answer = match (group, self.result.take()) {
            (Ok(()), Some(result)) => result,
            // An error may rest on a neighbour's row that was not kept either, so that nobody of the group gets their own.
            (Err(error), _) => Ok(Err(E::from(error))),
            (Ok(()), None) => return,
        };
        // The caller may have hung up; the effect stands all the same.
        let _ = self.reply.send(answer);
    }
}

type Units = VecDeque<Box<dyn Waiting>>;

/// What became of a group's transaction.
enum Ended {
    /// It is on the disk.
    Committed,
    /// Nothing of it was kept, for this reason.
    Refused(String),
    /// Nobody knows: the process must not go on.
    Unknown(&'static str),
}

/// Runs units until the store is closed or must not go on.
pub(super) fn run(mut tx: Tx, shared: &Shared) {
    let mut brake = Brake::new(shared);
    while let Some(group) = next_group(shared) {
        if let Err(fatal) = run_group(&mut tx, group, shared) {
            shared.stop(&fatal);
            return;
        }
        if let On::Sqlite(connection) = &tx.on {
            brake.pull(connection, shared);
        }
    }
    if let On::Sqlite(connection) = &tx.on {
        let _ = connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()));
    }
}

/// Waits for units, and takes those that are to share a commit; none when the store was closed and everything is done.
fn next_group(shared: &Shared) -> Option<Units> {
    let mut queues = lock(&shared.queues);
    while queues.interactive.is_empty() && queues.bulk.is_empty() {
        if queues.closed.is_some() {
            return None;
        }
        queues = shared.wake.wait(queues).unwrap_or_else(PoisonError::into_inner);
    }
    let take = queues.interactive.len().min(GROUP_MAX);
    let mut group: Units = queues.interactive.drain(..take).collect();
    // One bulk unit a group: they neither starve nor hold others for longer than one chunk.
    group.extend(queues.bulk.pop_front());
    Some(group)
}

/// Runs the units of a group and commits them together. An error means that the process must not go on.
fn run_group(tx: &mut Tx, mut pending: Units, shared: &Shared) -> Result<(), String> {
    let mut ran: Vec<Box<dyn Waiting>> = Vec::with_capacity(pending.len());
    let mut hooks: Vec<Box<dyn FnOnce() + Send>> = Vec::new();
    if let Err(error) = statement(tx, "begin immediate") {
        // The file is held by another process, or the disk does not answer: so say whoever waits, rather than try for ever.
        let reason = words(error);
        pending.into_iter().for_each(|unit| unit.answer(Err(StoreError::not_committed(reason.clone()))));
        return Ok(());
    }
    let ended = match run_units(tx, &mut pending, &mut ran, &mut hooks, shared) {
        Ok(true) => commit(tx),
        // Nothing to keep, and an answer may rest on no more than what the last commit made durable.
        Ok(false) => match statement(tx, "rollback") {
            Ok(()) => Ended::Committed,
            Err(_) => Ended::Unknown("a rollback failed"),
        },
        Err(error) => take_back(tx, words(error)),
    };
    // Whoever has not run yet gets another turn.
    requeue(shared, pending);
    match ended {
        Ended::Committed => {
            metrics::counter!("store_units_total").increment(ran.len() as u64);
            metrics::counter!("store_commits_total").increment(1);
            run_hooks(hooks);
            ran.into_iter().for_each(|unit| unit.answer(Ok(())));
            Ok(())
        }
        Ended::Refused(reason) => {
            ran.into_iter().for_each(|unit| unit.answer(Err(StoreError::not_committed(reason.clone()))));
            Ok(())
        }
        Ended::Unknown(what) => {
            ran.into_iter().for_each(|unit| unit.answer(Err(StoreError::OutcomeUnknown)));
            Err(format!(
                "{what}: what the disk holds is not known. The process ends so that a start can find out. Check the disk \
                 (space, `dmesg`), then start tessera again"
            ))
        }
    }
}

/// Runs units until there are no more or the group has had its time, and says whether anything is to be kept. An error means
/// that nothing of the group can be.
fn run_units(
    tx: &mut Tx,
    pending: &mut Units,
    ran: &mut Vec<Box<dyn Waiting>>,
    hooks: &mut Vec<Box<dyn FnOnce() + Send>>,
    shared: &Shared,
) -> Result<bool, StoreError> {
    let started = Instant::now();
    let (mut keeps_any, is_alone) = (false, pending.len() == 1);
    while let Some(mut unit) = pending.pop_front() {
        if !unit.wanted() {
            continue;
        }
        tx.deadline = Some(Instant::now() + shared.limits.unit_time_max);
        // A unit that has the transaction to itself needs no savepoint: taking it back takes back everything.
        let opened = if is_alone { Ok(()) } else { statement(tx, "savepoint unit") };
        let keep = opened.is_ok() && unit.run(tx);
        let own_hooks = std::mem::take(&mut tx.hooks);
        ran.push(unit);
        opened?;
        // After SQLITE_FULL, RAISE(ROLLBACK) and the like the whole transaction is gone, and the next savepoint would open
        // one of its own, which its release commits by itself.
        if is_autocommit(tx) {
            return Err(StoreError::not_committed("the database gave up the whole group of units"));
        }
        keeps_any |= keep;
        if keep {
            hooks.extend(own_hooks);
        } else if !is_alone {
            statement(tx, "rollback to unit")?;
        }
        if !is_alone {
            statement(tx, "release unit")?;
        }
        if started.elapsed() > shared.limits.group_time_max {
            break;
        }
    }
    Ok(keeps_any)
}

fn commit(tx: &Tx) -> Ended {
    let Err(error) = bare_statement(tx, "commit") else { return Ended::Committed };
    // A transaction that is still open has not begun to be written. A full disk is met while the log is written, before the
    // mark of the commit is whole; the sync, which comes last, never says it. After anything else the mark may be on its way.
    if !is_autocommit(tx) || error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull) {
        return take_back(tx, words(StoreError::sqlite(error)));
    }
    tracing::error!(%error, "a commit failed");
    Ended::Unknown("a commit failed")
}

fn take_back(tx: &Tx, reason: String) -> Ended {
    if is_autocommit(tx) || statement(tx, "rollback").is_ok() {
        return Ended::Refused(reason);
    }
    Ended::Unknown("a rollback failed")
}

fn requeue(shared: &Shared, pending: Units) {
    if !pending.is_empty() {
        let mut queues = lock(&shared.queues);
        for unit in pending.into_iter().rev() {
            queues.interactive.push_front(unit);
        }
    }
}

fn connection(tx: &Tx) -> Option<&Connection> {
    match &tx.on {
        On::Sqlite(connection) => Some(connection),
        On::Postgres(_) => None,
    }
}

fn statement(tx: &Tx, sql: &'static str) -> Result<(), StoreError> {
    bare_statement(tx, sql).map_err(StoreError::sqlite)
}

fn bare_statement(tx: &Tx, sql: &'static str) -> rusqlite::Result<()> {
    let Some(connection) = connection(tx) else { return Ok(()) };
    connection.prepare_cached(sql)?.execute([]).map(|_| ())
}

/// The reason of a refusal, without the advice that the next error gives again.
fn words(error: StoreError) -> String {
    match error {
        StoreError::NotCommitted { reason } => reason,
        other => other.to_string(),
    }
}

fn is_autocommit(tx: &Tx) -> bool {
    connection(tx).is_some_and(Connection::is_autocommit)
}
