//! The connection of a unit on PostgreSQL, and what was said on it that has not been answered yet.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use deadpool_postgres::{ClientWrapper, Object};
use futures_util::{join, poll};

use crate::tx::Failure;
use crate::value::Bound;
use crate::{Engine, P, Sql};

/// So many statements are under way at once.
const SENT_MAX: usize = 64;
/// Ends a unit. In a transaction that the server gave up, `commit` alone answers without an error and keeps nothing; the
/// statement before it is refused there, and `commit` with it.
const COMMIT: &str = "select; commit";

type Answer = Pin<Box<dyn Future<Output = Result<u64, tokio_postgres::Error>> + Send>>;

/// The server answers in the order in which it was asked, and refuses what follows a failure: statements that nobody waits for
/// need no way there and back of their own.
pub(crate) struct Line {
    client: Arc<Object>,
    sent: VecDeque<Answer>,
}

/// How a commit failed.
pub(crate) enum Uncommitted {
    /// A statement before it did: nothing was kept.
    Statement(Failure),
    /// The commit itself.
    Commit(tokio_postgres::Error),
}

impl Line {
    pub(crate) fn new(client: Object) -> Self {
        Self { client: Arc::new(client), sent: VecDeque::new() }
    }

    /// Says something outside of the unit's statements: how it begins, or that nothing of it counts.
    pub(crate) async fn say(&mut self, words: &'static str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(words).await
    }

    /// Sends a statement and does not wait for its answer.
    pub(crate) async fn send(&mut self, sql: &'static Sql, params: &[P<'_>]) -> Result<(), Failure> {
        if self.sent.len() >= SENT_MAX {
            settle(&mut self.sent).await?;
        }
        let statement = self.ask(async |client| Ok(client.prepare_cached(sql.text(Engine::Postgres)).await?)).await?;
        let (client, params) = (self.client.clone(), params.iter().map(|value| value.clone().into_owned()).collect::<Vec<_>>());
        let mut answer: Answer = Box::pin(async move { client.execute_raw(&statement, params.iter().map(Bound)).await });
        // The first look at a question is what sends it.
        match poll!(&mut answer) {
            Poll::Ready(done) => done.map(|_| ()).map_err(Failure::from),
            Poll::Pending => {
                self.sent.push_back(answer);
                Ok(())
            }
        }
    }

    /// Asks something behind all that was sent, and waits for the answers. Of several failures the first one counts.
    pub(crate) async fn ask<T>(&mut self, question: impl AsyncFnOnce(&ClientWrapper) -> Result<T, Failure>) -> Result<T, Failure> {
        let client = self.client.clone();
        let (before, answer) = join!(settle(&mut self.sent), question(&client));
        before.and(answer)
    }

    /// Ends the unit; all that was sent counts with it.
    pub(crate) async fn commit(&mut self) -> Result<(), Uncommitted> {
        let (before, ended) = join!(settle(&mut self.sent), self.client.batch_execute(COMMIT));
        match (before, ended) {
            (_, Ok(())) => Ok(()),
            // The server gave the transaction up before it came to the commit.
            (Err(failure), Err(error)) if is_refusal(&error) => Err(Uncommitted::Statement(failure)),
            (_, Err(error)) => Err(Uncommitted::Commit(error)),
        }
    }

    /// Closes the connection: whoever gets the next one of the pool cannot find themselves in an open transaction.
    pub(crate) fn hang_up(self) {
        drop(self.sent);
        match Arc::try_unwrap(self.client) {
            Ok(client) => drop(Object::take(client)),
            // Somebody still speaks on it: it must not go back to the pool, and the server ends what idles in a transaction.
            Err(shared) => std::mem::forget(shared),
        }
    }
}

/// Whether the server answered, and says no: the commit did not happen.
pub(crate) fn is_refusal(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|state| !state.code().starts_with("57P") && !state.code().starts_with("08"))
}

async fn settle(sent: &mut VecDeque<Answer>) -> Result<(), Failure> {
    while let Some(answer) = sent.front_mut() {
        let done = answer.await;
        sent.pop_front();
        done?;
    }
    Ok(())
}
