//! The engine: built once, runs until it is stopped.

mod feed;
mod follow;
mod lease;
mod mark;
mod run;
mod state;
mod upkeep;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kernel::{Caller, Id, RawId, Timestamp, WorkspaceId};
use store::{Engine as Database, Store};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::{Entry, Job, JobContext, JobError, NewJob, OutboxError, commands};

pub use feed::Feed;
pub(crate) use mark::{Mark, Refused};
pub(crate) use run::Ran;
use state::{Lane, State, UNKNOWN_LANE};
pub(crate) use state::{Ready, Source};

static CALLER: Caller = Caller::system("outbox");

kernel::id!(
    /// One run of a process.
    struct NodeId = "node"
);

/// How patient an outbox is. The defaults are for production.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// After this time without a sign of life a process's shards go to others.
    pub lease: Duration,
    /// How often a process gives a sign of life.
    pub renew: Duration,
    /// How often the log is looked at without being told of a commit: the bound for commits of other processes.
    pub poll: Duration,
    /// How often cursors are brought to disk.
    pub checkpoint: Duration,
    /// How long finished entries are kept for readers of facts that come back.
    pub keep_log: Duration,
}

impl Tuning {
    /// What suits the engine: SQLite has one process, which hears of each of its commits.
    pub fn for_engine(engine: Database) -> Self {
        let (lease, poll) = match engine {
            Database::Sqlite => (Duration::from_secs(3_600 * 24 * 365), Duration::from_secs(1)),
            Database::Postgres => (Duration::from_secs(5), Duration::from_millis(100)),
        };
        Self {
            lease,
            renew: Duration::from_secs(1),
            poll,
            checkpoint: Duration::from_millis(100),
            keep_log: Duration::from_secs(24 * 3_600),
        }
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>>;

/// The code of one kind of job.
pub(crate) struct Handler {
    pub(crate) name: &'static str,
    pub(crate) lane: &'static str,
    pub(crate) attempts_max: i64,
    pub(crate) pause_max: Duration,
    pub(crate) timeout: Duration,
    pub(crate) group_running_max: usize,
    pub(crate) group: fn(&str) -> Option<String>,
    pub(crate) run: Box<dyn Fn(&str, JobContext) -> Running + Send + Sync>,
}

/// What an outbox is made of; see [`Outbox::builder`].
pub struct Builder {
    store: Store,
    lanes: HashMap<&'static str, Lane>,
    handlers: HashMap<&'static str, Arc<Handler>>,
    reactions: fn(&Entry) -> Vec<NewJob>,
    tuning: Tuning,
    is_by_hand: bool,
    is_follow_only: bool,
    fault: Option<String>,
}

impl Builder {
    /// A lane, with how many of its jobs may run at the same time in this process.
    #[must_use]
    pub fn lane(mut self, name: &'static str, concurrency: usize) -> Self {
        self.lanes.insert(name, Lane::new(concurrency.max(1)));
        self
    }

    /// The code of a job.
    #[must_use]
    pub fn job<J: Job, F>(mut self, run: F) -> Self
    where
        F: Fn(J, JobContext) -> Pin<Box<dyn Future<Output = Result<(), JobError>> + Send>> + Send + Sync + 'static,
    {
        let run = move |payload: &str, context: JobContext| -> Running {
            match serde_json::from_str::<J>(payload) {
                Ok(job) => run(job, context),
                Err(error) => Box::pin(async move { Err(JobError::give_up(format!("its payload cannot be read: {error}"))) }),
            }
        };
        let handler = Handler {
            name: J::NAME,
            lane: J::LANE,
            attempts_max: i64::from(J::ATTEMPTS_MAX.max(1)),
            pause_max: J::PAUSE_MAX,
            timeout: J::TIMEOUT,
            group_running_max: J::GROUP_RUNNING_MAX.max(1),
            group: |payload| serde_json::from_str::<J>(payload).ok()?.group(),
            run: Box::new(run),
        };
        if self.handlers.insert(J::NAME, Arc::new(handler)).is_some() {
            self.fault = Some(format!("two jobs are named {}: give one another name", J::NAME));
        }
        self
    }

    /// What follows from each fact: a pure function, called once for each committed fact.
    #[must_use]
    pub fn reactions(mut self, reactions: fn(&Entry) -> Vec<NewJob>) -> Self {
        self.reactions = reactions;
        self
    }

    /// Other times than the engine's own.
    #[must_use]
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// Nothing runs by itself, only when [`testing::drain`](crate::testing::drain) is called: for tests with a stopped clock.
    #[must_use]
    pub fn by_hand(mut self) -> Self {
        self.is_by_hand = true;
        self
    }

    /// Feeds this process with facts and leaves the work to others.
    #[must_use]
    pub fn follow_only(mut self) -> Self {
        self.is_follow_only = true;
        self
    }

    /// Starts it.
    pub async fn start(mut self) -> Result<Outbox, OutboxError> {
        let stray = self.handlers.values().find(|handler| !self.lanes.contains_key(handler.lane));
        if let Some(handler) = stray {
            self.fault = Some(format!("the job {} wants the lane {}: declare it", handler.name, handler.lane));
        }
        if let Some(advice) = self.fault {
            return Err(OutboxError::Setup { advice });
        }
        self.lanes.insert(UNKNOWN_LANE, Lane::new(1));
        let node = NodeId::from_raw(RawId::generate(self.store.clock().now(), self.store.entropy()));
        let engine = Arc::new(Engine {
            store: self.store,
            node: node.to_string().into(),
            handlers: self.handlers,
            reactions: self.reactions,
            tuning: self.tuning,
            is_by_hand: self.is_by_hand,
            is_follow_only: self.is_follow_only,
            feed: Feed::new(),
            state: Mutex::new(State::new(self.lanes)),
            shard_rows: tokio::sync::Mutex::new(()),
            attach_wanted: Notify::new(),
            timers_changed: Notify::new(),
            idle: Notify::new(),
            read_at: Mutex::new(Instant::now()),
            loops: Mutex::new(Some(JoinSet::new())),
            jobs: Mutex::new(Some(JoinSet::new())),
        });
        engine.adopt_foreign_log().await?;
        engine.begin_at_end().await?;
        let outbox = Outbox { engine: Arc::clone(&engine), _end: Arc::new(End(Arc::clone(&engine))) };
        if !engine.is_follow_only {
            engine.lease_round(true).await?;
        }
        if !engine.is_by_hand {
            engine.start_loops();
        }
        Ok(outbox)
    }
}

/// A running outbox. Cheap to clone; when the last clone is dropped it ends as a crash would end it, and loses nothing.
#[derive(Clone)]
pub struct Outbox {
    pub(crate) engine: Arc<Engine>,
    _end: Arc<End>,
}

/// Ends the engine's tasks, which hold the engine themselves.
struct End(Arc<Engine>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.state().is_stopping = true;
        for set in [&self.0.loops, &self.0.jobs] {
            drop(set.lock().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

impl Outbox {
    /// What an outbox over `store` is made of.
    pub fn builder(store: Store) -> Builder {
        let tuning = Tuning::for_engine(store.engine());
        Builder {
            store,
            lanes: HashMap::new(),
            handlers: HashMap::new(),
            reactions: |_| Vec::new(),
            tuning,
            is_by_hand: false,
            is_follow_only: false,
            fault: None,
        }
    }

    /// The committed facts, as they come.
    pub fn feed(&self) -> Feed {
        self.engine.feed.clone()
    }

    /// How many sixteenths of the log this process works on.
    pub fn shards_held(&self) -> usize {
        self.engine.state().shards.iter().flatten().count()
    }

    /// Starts nothing new, waits up to `grace` for what runs, and gives the shards back. What did not end in time is run again
    /// by whoever takes them.
    pub async fn stop(&self, grace: Duration) {
        let engine = &self.engine;
        {
            let mut state = engine.state();
            state.is_stopping = true;
            for n in 0..state.shards.len() {
                state.empty(n);
                if let Some(shard) = &mut state.shards[n] {
                    shard.is_draining = true;
                }
            }
        }
        drop(engine.loops.lock().unwrap_or_else(PoisonError::into_inner).take());
        let until = Instant::now() + grace;
        let mut renew_at = Instant::now() + engine.tuning.renew;
        while !engine.state().is_idle() && Instant::now() < until {
            let _ = tokio::time::timeout(Duration::from_millis(20), engine.idle.notified()).await;
            if Instant::now() >= renew_at && !engine.is_follow_only {
                renew_at = Instant::now() + engine.tuning.renew;
                report(engine.lease_round(false).await, "a lease could not be renewed");
            }
        }
        report(engine.checkpoint().await, "the cursors could not be stored");
        report(engine.leave().await, "this process could not sign off");
        drop(engine.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

/// What runs behind an [`Outbox`].
pub(crate) struct Engine {
    pub(crate) store: Store,
    pub(crate) node: Arc<str>,
    handlers: HashMap<&'static str, Arc<Handler>>,
    reactions: fn(&Entry) -> Vec<NewJob>,
    pub(crate) tuning: Tuning,
    pub(crate) is_by_hand: bool,
    pub(crate) is_follow_only: bool,
    pub(crate) feed: Feed,
    state: Mutex<State>,
    /// One unit of this process at a time touches the rows of the shards, so that two cannot wait for each other.
    shard_rows: tokio::sync::Mutex<()>,
    attach_wanted: Notify,
    timers_changed: Notify,
    idle: Notify,
    /// When the log was last read to its end.
    read_at: Mutex<Instant>,
    loops: Mutex<Option<JoinSet<()>>>,
    jobs: Mutex<Option<JoinSet<()>>>,
}

impl Engine {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A waiting job of no attempts yet, for the caller to complete.
    fn ready(&self, shard: usize, token: i64, name: String, workspace: WorkspaceId, payload: String) -> Ready {
        let handler = self.handlers.get(name.as_str()).cloned();
        let group = handler.as_ref().and_then(|handler| (handler.group)(&payload)).unwrap_or_else(|| workspace.to_string());
        Ready {
            id: "".into(),
            shard,
            token,
            position: None,
            source: tokio::sync::Mutex::new(Source::Waiting),
            attempts: 0,
            name,
            workspace,
            subject: String::new(),
            payload,
            created_at: Timestamp::default(),
            group,
            handler,
        }
    }

    /// Runs a job's task; it ends with the engine.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(jobs) = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            while jobs.try_join_next().is_some() {}
            jobs.spawn(task);
        }
    }

    fn start_loops(self: &Arc<Self>) {
        let mut loops = self.loops.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(loops) = loops.as_mut() else { return };
        loops.spawn(Arc::clone(self).follow_loop());
        loops.spawn(Arc::clone(self).watch_loop());
        if !self.is_follow_only {
            loops.spawn(Arc::clone(self).lease_loop());
            loops.spawn(Arc::clone(self).timer_loop());
            loops.spawn(Arc::clone(self).checkpoint_loop());
            loops.spawn(Arc::clone(self).upkeep_loop());
        }
    }

    async fn follow_loop(self: Arc<Self>) {
        let mut bell = commands::bell();
        loop {
            bell.mark_unchanged();
            let read = async {
                self.attach_new().await?;
                self.read_tail().await
            };
            match read.await {
                Ok(count) => {
                    *self.read_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                    self.feed.set_following(true);
                    if count > 0 {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "the outbox log could not be read; trying again");
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    continue;
                }
            }
            tokio::select! {
                _ = bell.changed() => {}
                () = self.attach_wanted.notified() => {}
                () = tokio::time::sleep(self.tuning.poll) => {}
            }
        }
    }

    /// Says when the log has not been read for a second more than it should.
    async fn watch_loop(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            let read_at = *self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
            if read_at.elapsed() > self.tuning.poll + Duration::from_secs(1) {
                self.feed.set_following(false);
            }
        }
    }

    async fn lease_loop(self: Arc<Self>) {
        loop {
            tokio::time::sleep(self.tuning.renew).await;
            // The one process of a SQLite file need not write every second that it lives.
            if self.store.engine() == Database::Postgres || self.misses_a_shard() {
                report(self.lease_round(false).await, "a lease could not be renewed");
            }
        }
    }

    async fn timer_loop(self: Arc<Self>) {
        let mut sweep_at = Instant::now();
        loop {
            if Instant::now() >= sweep_at {
                report(self.sweep().await, "the waiting jobs could not be read");
                sweep_at = Instant::now() + Duration::from_secs(1);
            }
            report(self.fire_due().await, "the timers could not be run");
            let until_next = self.next_due().map(|due| due.since(self.store.clock().now()));
            // A timer that is due already was put back; a stopped clock never gets to a later one.
            let until_next = until_next.map_or(sweep_at, |pause| Instant::now() + pause.max(Duration::from_millis(1))).min(sweep_at);
            tokio::select! {
                () = tokio::time::sleep_until(until_next) => {}
                () = self.timers_changed.notified() => {}
            }
        }
    }

    async fn checkpoint_loop(self: Arc<Self>) {
        for round in 1_u64.. {
            tokio::time::sleep(self.tuning.checkpoint).await;
            report(self.checkpoint().await, "the cursors could not be stored");
            if round % 5 == 0 {
                report(self.park_stragglers().await, "slow jobs could not be moved");
            }
        }
    }

    async fn upkeep_loop(self: Arc<Self>) {
        for round in 0_u64.. {
            self.measure_memory();
            if round % 15 == 0 {
                report(self.measure_database().await, "the outbox could not be measured");
            }
            if round % 60 == 30 {
                report(self.drop_old().await, "old entries of the log could not be deleted");
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

/// Loops go on after an error; the next round tries again.
fn report<T>(result: Result<T, store::StoreError>, what: &'static str) {
    if let Err(error) = result {
        tracing::warn!(%error, what);
    }
}
