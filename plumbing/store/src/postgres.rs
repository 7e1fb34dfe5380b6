//! PostgreSQL: every unit is a transaction of its own; plain reads share a few pipelined connections.

mod line;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use kernel::{Caller, Clock, Entropy};
use tokio_postgres::config::{Host, SslMode};

use crate::tx::{On, Tx, Unit, run_hooks};
use crate::{Limits, StoreError};

pub(crate) use line::Line;
use line::{Uncommitted, is_refusal};

/// Connections for units.
const WRITERS_MAX: usize = 16;
/// Pipelined connections for plain reads.
const READERS: usize = 3;
/// A unit that collides is run this often at most.
const RUNS_MAX: u32 = 8;

/// Sessions give up rather than hold others: a cursor over the log cannot pass an open transaction.
const SESSION: &str = "set lock_timeout = '10s'; set idle_in_transaction_session_timeout = '10s'; \
                       set default_transaction_isolation = 'read committed'; set synchronous_commit = on; set client_min_messages = warning";
/// What a caller left behind who hung up in the middle of a statement must not hold its locks until the statement ends.
const WATCH: &str = "set client_connection_check_interval = '1s'";

pub(crate) struct Postgres {
    pool: Pool,
    readers: [tokio::sync::Mutex<Option<Arc<Object>>>; READERS],
    next_reader: AtomicUsize,
    reader_pool: Pool,
}

/// What a connection needs, from the URL and an optional file of certificate authorities. Statements end after
/// `statement_time_max` (zero: never).
pub(crate) fn pool(url: &str, authorities_pem: Option<&[u8]>, size: usize, statement_time_max: Duration) -> Result<Pool, StoreError> {
    let mut config: tokio_postgres::Config = url
        .parse()
        .map_err(|e| StoreError::setup(format!("the database URL cannot be read ({e}): write postgres://user:password@host:port/name")))?;
    let is_local = config.get_hosts().iter().all(|host| match host {
        Host::Tcp(name) => name == "localhost" || name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        Host::Unix(_) => true,
    });
    // Off this machine a connection is encrypted and its certificate checked, unless the URL says `sslmode=disable`.
    if config.get_ssl_mode() == SslMode::Prefer {
        config.ssl_mode(if is_local { SslMode::Disable } else { SslMode::Require });
    }
    config.connect_timeout(Duration::from_secs(5)).keepalives_idle(Duration::from_secs(30)).application_name("tessera");
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = authorities_pem {
        use rustls::pki_types::pem::PemObject;
        for certificate in rustls::pki_types::CertificateDer::pem_slice_iter(pem) {
            let added = certificate.map_err(|e| e.to_string()).and_then(|c| roots.add(c).map_err(|e| e.to_string()));
            added.map_err(|e| StoreError::setup(format!("the database's certificate authorities cannot be read: {e}")))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| StoreError::setup(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let manager = Manager::from_config(
        config,
        tokio_postgres_rustls::MakeRustlsConnect::new(tls),
        ManagerConfig { recycling_method: RecyclingMethod::Fast },
    );
    let timeout = Some(Duration::from_secs(10));
    let session = format!("set statement_timeout = {}; {SESSION}", statement_time_max.as_millis());
    Pool::builder(manager)
        .max_size(size)
        .wait_timeout(timeout)
        .create_timeout(timeout)
        .recycle_timeout(timeout)
        .runtime(Runtime::Tokio1)
        .post_create(deadpool_postgres::Hook::async_fn(move |client, _| {
            let session = session.clone();
            Box::pin(async move {
                // A server that cannot watch its clients (Windows) goes without.
                let _ = client.batch_execute(WATCH).await;
                client.batch_execute(&session).await.map_err(deadpool_postgres::HookError::Backend)
            })
        }))
        .build()
        .map_err(|e| StoreError::setup(e.to_string()))
}

pub(crate) fn pool_error(error: deadpool_postgres::PoolError) -> StoreError {
    match error {
        deadpool_postgres::PoolError::Timeout(_) => StoreError::Busy,
        deadpool_postgres::PoolError::Backend(error) => {
            tracing::warn!(%error, "no connection to the database");
            StoreError::not_committed("the database cannot be reached")
        }
        _ => StoreError::not_committed("the database cannot be reached"),
    }
}

impl Postgres {
    pub(crate) fn start(url: &str, authorities_pem: Option<&[u8]>, limits: &Limits) -> Result<Self, StoreError> {
        Ok(Self {
            pool: pool(url, authorities_pem, WRITERS_MAX, limits.unit_time_max)?,
            reader_pool: pool(url, authorities_pem, READERS, limits.read_time_max)?,
            readers: std::array::from_fn(|_| tokio::sync::Mutex::new(None)),
            next_reader: AtomicUsize::new(0),
        })
    }

    pub(crate) async fn write<I, T, E, F>(&self, caller: &Caller, input: I, unit: F, clock: &Clock, entropy: &Entropy) -> Result<T, E>
    where
        F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, E> + Send + Sync + 'static,
        I: Clone + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        for run in 1.. {
            let mut open = self.begin(caller, clock, entropy).await?;
            let Some(tx) = open.0.as_mut() else { break };
            let result = unit(tx, input.clone()).await;
            let result = tx.verdict(result);
            let (collided, poisoned) = (tx.collided, tx.poisoned);
            let Ok(value) = result else {
                if open.end("rollback").await.is_ok() && collided && run < RUNS_MAX {
                    pause(run, entropy).await;
                    continue;
                }
                if collided {
                    metrics::counter!("store_collisions_total").increment(1);
                }
                return result;
            };
            debug_assert!(!poisoned, "a poisoned unit has no value");
            let hooks = std::mem::take(&mut tx.hooks);
            match open.commit().await {
                Ok(()) => {
                    metrics::counter!("store_units_total").increment(1);
                    run_hooks(hooks);
                    return Ok(value);
                }
                Err(Uncommitted::Statement(failure)) => {
                    if open.end("rollback").await.is_ok() && failure.collided && run < RUNS_MAX {
                        pause(run, entropy).await;
                        continue;
                    }
                    if failure.collided {
                        metrics::counter!("store_collisions_total").increment(1);
                    }
                    return Err(E::from(failure.error));
                }
                Err(Uncommitted::Commit(error))
                    if error.code().is_some_and(|s| matches!(s.code(), "40001" | "40P01")) && run < RUNS_MAX =>
                {
                    pause(run, entropy).await
                }
                // The server refused the commit: it did not happen.
                Err(Uncommitted::Commit(error)) if is_refusal(&error) => return Err(E::from(StoreError::postgres(error))),
                // No answer: it may have happened. It is never blindly tried again.
                Err(Uncommitted::Commit(error)) => {
                    tracing::error!(%error, "the answer to a commit never came");
                    return Err(E::from(StoreError::OutcomeUnknown));
                }
            }
        }
        Err(E::from(StoreError::Busy))
    }

    /// A connection with an open transaction. One that died in the pool is replaced: nothing was done on it yet.
    async fn begin(&self, caller: &Caller, clock: &Clock, entropy: &Entropy) -> Result<OpenTransaction, StoreError> {
        let mut error = StoreError::Busy;
        for _ in 0..=WRITERS_MAX {
            let client = self.pool.get().await.map_err(pool_error)?;
            // Guarded before it begins: a caller may hang up while the answer is on its way.
            let mut open = OpenTransaction(Some(Tx::new(On::Postgres(Line::new(client)), caller.clone(), clock, entropy)));
            match open.say("begin").await {
                Ok(()) => return Ok(open),
                Err(failed) => error = StoreError::postgres(failed),
            }
        }
        Err(error)
    }

    /// One of the shared connections for reads; they answer many questions at once, in order.
    pub(crate) async fn reader(&self) -> Result<Arc<Object>, StoreError> {
        // Held while the connection is made: whoever else wants this slot takes the same one, rather than wait for one more
        // than the pool may have.
        let mut slot = self.readers[self.next_reader.fetch_add(1, Ordering::Relaxed) % READERS].lock().await;
        if let Some(client) = slot.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        if let Some(dead) = slot.take()
            && let Ok(dead) = Arc::try_unwrap(dead)
        {
            drop(Object::take(dead));
        }
        let client = Arc::new(self.reader_pool.get().await.map_err(pool_error)?);
        *slot = Some(client.clone());
        Ok(client)
    }

    /// A connection that no other read shares.
    pub(crate) async fn connection(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(pool_error)
    }

    pub(crate) fn close(&self) {
        self.pool.close();
        self.reader_pool.close();
    }
}

/// A transaction that is still open. Dropped before its end (the caller hung up), it closes its connection, so that the
/// next caller of the pool cannot find themselves inside it.
struct OpenTransaction(Option<Tx>);

impl OpenTransaction {
    async fn say(&mut self, words: &'static str) -> Result<(), tokio_postgres::Error> {
        match &mut self.0 {
            Some(Tx { on: On::Postgres(line), .. }) => line.say(words).await,
            _ => Ok(()),
        }
    }

    async fn commit(&mut self) -> Result<(), Uncommitted> {
        if let Some(Tx { on: On::Postgres(line), .. }) = &mut self.0 {
            line.commit().await?;
        }
        // Ended: the connection goes back to the pool.
        self.0 = None;
        Ok(())
    }

    async fn end(&mut self, how: &'static str) -> Result<(), tokio_postgres::Error> {
        self.say(how).await?;
        // Ended: the connection goes back to the pool.
        self.0 = None;
        Ok(())
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(Tx { on: On::Postgres(line), .. }) = self.0.take() {
            line.hang_up();
        }
    }
}

async fn pause(run: u32, entropy: &Entropy) {
    let bound = 2_u64 << run.min(7);
    tokio::time::sleep(Duration::from_millis(1 + entropy.below(bound))).await;
}
