//! A replica of the PostgreSQL database, for plain reads that may be a moment old.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::{Fault, Kind};

use crate::postgres::Postgres;
use crate::tx::{Map, pg};
use crate::{Limits, P, Sql, StoreError};

/// How long a replica that cannot be reached is left alone: nobody waits for it again and again.
const REST: Duration = Duration::from_secs(5);

pub(crate) struct Replica {
    postgres: Postgres,
    rests_until: Mutex<Option<Instant>>,
}

impl Replica {
    pub(crate) fn start(url: &str, authorities_pem: Option<&[u8]>, limits: &Limits) -> Result<Self, StoreError> {
        Ok(Self { postgres: Postgres::start(url, authorities_pem, limits)?, rests_until: Mutex::new(None) })
    }

    /// The rows of the answer, or nothing where the replica cannot give one: then the primary is to be asked.
    pub(crate) async fn rows<T: Send + 'static>(&self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Option<Vec<T>> {
        if self.is_resting() {
            return None;
        }
        match self.ask(sql, params, map).await {
            Ok(rows) => Some(rows),
            Err(error) => {
                tracing::warn!(%error, "the replica did not answer; the database itself is asked");
                metrics::counter!("store_replica_failures_total").increment(1);
                if error.kind() == Kind::Unavailable {
                    *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + REST);
                }
                None
            }
        }
    }

    async fn ask<T>(&self, sql: &'static Sql, params: &[P<'_>], map: Map<T>) -> Result<Vec<T>, StoreError> {
        let client = self.postgres.reader().await?;
        pg::rows(&client, sql, params, map).await.map_err(|failure| failure.error)
    }

    fn is_resting(&self) -> bool {
        self.rests_until.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|end| Instant::now() < end)
    }

    pub(crate) fn close(&self) {
        self.postgres.close();
    }
}
