//! What the tests share: a fact, some jobs, and a table that jobs write to.

use std::time::Duration;

use kernel::{Caller, Id, RawId, Timestamp, WorkspaceId};
use outbox::{Builder, Entry, Fact, Job, JobContext, JobError, NewJob, Outbox};
use serde::{Deserialize, Serialize};
use store::{Reads, Store, StoreError, params};

store::statements! {
    MAKE_EFFECTS = "create table if not exists effects (id text not null, at bigint not null)";
    ADD_EFFECT = "insert into effects (id, at) values ($1, $2)";
    COUNT_EFFECTS = "select cast(count(*) as bigint) as effects, cast(count(distinct id) as bigint) as ids from effects";
    FIND_EFFECT = "select id from effects where id = $1";
    EFFECT_TIMES = "select at from effects order by at";
    COUNT_OPEN = "select (select count(*) from outbox_log l join outbox_shards s on s.shard = l.shard
        where l.xid > s.cursor_xid or (l.xid = s.cursor_xid and l.seq > s.cursor_seq))
        + (select count(*) from outbox_waiting) as open";
    HOLDERS = "select count(distinct holder) as holders, count(holder) as held from outbox_shards where holder is not null and lease_ends_at > $1";
    COUNT_BEHIND = "select count(*) as open from outbox_log l join outbox_shards s on s.shard = l.shard
        where l.xid > s.cursor_xid or (l.xid = s.cursor_xid and l.seq > s.cursor_seq)";
    COUNT_DONE = "select count(*) as done from outbox_done";
    COUNT_LOG = "select count(*) as entries from outbox_log";
    STEAL = "update outbox_shards set token = token + 1, holder = 'another', lease_ends_at = 9223372036854775807";
    CHANGE_LOG = "update outbox_log set payload = 'x'";
    EMPTY_LOG = "delete from outbox_log";
    CHANGE_TRAIL = "update audit_log set actor = 'x'";
    SHORTEN_TRAIL = "delete from audit_log";
    REPLACE_TRAIL = sqlite "insert or replace into audit_log select * from audit_log"
        postgres "insert into audit_log select * from audit_log on conflict (id) do update set actor = 'x'";
    TRUNCATE_TRAIL = sqlite "delete from audit_log" postgres "truncate audit_log";
    FROM_ANOTHER_SERVER = sqlite "select 1" postgres "insert into outbox_log
        (xid, id, shard, kind, name, lane, workspace, subject, version, payload, created_at)
        select xid + 1000000000000, replace(id, 'job_0', 'job_1'), shard, kind, name, lane, workspace, subject, version, payload, created_at from outbox_log";
}

pub static CALLER: Caller = Caller::system("test");

pub fn workspace() -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(1))
}

pub fn other_workspace() -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(2))
}

/// Somebody left their details.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    pub lead: String,
    pub told: usize,
}

impl Fact for Captured {
    const NAME: &'static str = "leads.captured";
    fn subject(&self) -> String {
        self.lead.clone()
    }
    fn version(&self) -> i64 {
        3
    }
}

/// Writes a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Write(pub String);

impl Job for Write {
    const NAME: &'static str = "test.write";
    const LANE: &'static str = "fast";
    fn key(&self) -> String {
        self.0.clone()
    }
}

/// Fails this many times, then writes a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Flaky {
    pub id: String,
    pub failures: u32,
    pub how: String,
}

impl Job for Flaky {
    const NAME: &'static str = "test.flaky";
    const LANE: &'static str = "fast";
    const ATTEMPTS_MAX: u32 = 4;
    const TIMEOUT: Duration = Duration::from_millis(50);
    fn key(&self) -> String {
        self.id.clone()
    }
}

/// Takes its time, then writes a row.
#[derive(Serialize, Deserialize, Clone)]
pub struct Sleepy(pub String);

impl Job for Sleepy {
    const NAME: &'static str = "test.sleepy";
    const LANE: &'static str = "fast";
    fn key(&self) -> String {
        self.0.clone()
    }
}

/// Never ends, until it is told to by time.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hang(pub String);

impl Job for Hang {
    const NAME: &'static str = "test.hang";
    const LANE: &'static str = "slow";
    fn key(&self) -> String {
        self.0.clone()
    }
}

/// Tells somebody outside, then writes a row.
#[derive(Clone, Serialize, Deserialize)]
pub struct Told(pub String);

impl Job for Told {
    const NAME: &'static str = "test.told";
    const LANE: &'static str = "slow";
    fn key(&self) -> String {
        self.0.clone()
    }
}

/// Is put off six times by somebody who has enough to do, then fails once.
#[derive(Clone, Serialize, Deserialize)]
pub struct Patient(pub String);

impl Job for Patient {
    const NAME: &'static str = "test.patient";
    const LANE: &'static str = "fast";
    const ATTEMPTS_MAX: u32 = 1_000;
    const PAUSE_MAX: Duration = Duration::from_secs(60);
    fn key(&self) -> String {
        self.0.clone()
    }
}

/// Written by a newer release: this one has no code for it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Newer;

impl Job for Newer {
    const NAME: &'static str = "test.newer";
    const LANE: &'static str = "fast";
    fn key(&self) -> String {
        "newer".to_owned()
    }
}

pub fn reactions(entry: &Entry) -> Vec<NewJob> {
    let Some(fact) = entry.decode::<Captured>() else { return Vec::new() };
    assert!(fact.lead != "poison", "this fact is poison");
    (0..fact.told).map(|n| NewJob::of(entry.workspace, &Write(format!("{}/{n}", fact.lead)))).collect()
}

pub async fn add_effect(context: &JobContext, id: String) -> Result<(), JobError> {
    context
        .write(id, |tx, id| {
            Box::pin(async move {
                let now = tx.now();
                tx.execute(&ADD_EFFECT, params![&id, now]).await?;
                Ok::<_, StoreError>(())
            })
        })
        .await
}

/// An outbox with the jobs above, to be started.
pub async fn builder(store: &Store) -> Builder {
    store
        .write(&CALLER, (), |tx, ()| Box::pin(async move { tx.execute(&MAKE_EFFECTS, params![]).await }))
        .await
        .map(|_: u64| ())
        .unwrap_or_else(|e: StoreError| panic!("{e:?}"));
    Outbox::builder(store.clone())
        .lane("fast", 8)
        .lane("slow", 2)
        .job::<Write, _>(|job, context| Box::pin(async move { add_effect(&context, job.0).await }))
        .job::<Flaky, _>(|job, context| {
            Box::pin(async move {
                if context.attempt() > job.failures {
                    return add_effect(&context, job.id).await;
                }
                match job.how.as_str() {
                    "panic" => panic!("a wrench in the works"),
                    "hang" => std::future::pending().await,
                    "after" => Err(JobError::retry_after("they asked for a pause", Duration::from_secs(3_600))),
                    "never" => Err(JobError::give_up("it is no use")),
                    _ => Err(JobError::retry("not yet")),
                }
            })
        })
        .job::<Sleepy, _>(|job, context| {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(200)).await;
                add_effect(&context, job.0).await
            })
        })
        .job::<Hang, _>(|_, _| Box::pin(std::future::pending()))
        .job::<Patient, _>(|job, context| {
            Box::pin(async move {
                match context.attempt() {
                    1..=6 => Err(JobError::retry_after("they have enough to do", Duration::from_secs(1))),
                    7 => Err(JobError::retry("the database did not answer")),
                    _ => add_effect(&context, job.0).await,
                }
            })
        })
        .reactions(reactions)
}

pub async fn write<T: Send + 'static>(
    store: &Store,
    unit: impl for<'a> Fn(&'a mut store::Tx, ()) -> store::Unit<'a, T, StoreError> + Send + Sync + 'static,
) -> T {
    store.write(&CALLER, (), unit).await.unwrap()
}

pub async fn enqueue<J: Job + Clone + Sync>(store: &Store, jobs: Vec<J>) {
    let done = store.write(&CALLER, jobs, |tx, jobs: Vec<J>| {
        Box::pin(async move {
            for job in &jobs {
                outbox::enqueue(tx, workspace(), job).await?;
            }
            Ok::<_, StoreError>(())
        })
    });
    done.await.unwrap();
}

pub async fn enqueue_at(store: &Store, due: Timestamp, id: &str) {
    let done = store.write(&CALLER, (due, id.to_owned()), |tx, (due, id)| {
        Box::pin(async move { outbox::enqueue_at(tx, workspace(), due, &Write(id)).await.map(|_| ()) })
    });
    done.await.map_err(|e: StoreError| e).unwrap();
}

pub async fn publish(store: &Store, fact: Captured) {
    let done = store.write(&CALLER, fact, |tx, fact: Captured| Box::pin(async move { outbox::publish(tx, workspace(), &fact).await }));
    done.await.map_err(|e: StoreError| e).unwrap();
}

pub async fn number(store: &Store, sql: &'static store::Sql) -> i64 {
    store.read().row(sql, params![], |row| row.get::<i64>(0)).await.unwrap().unwrap()
}

/// Waits until `what` is so, for ten seconds at most.
pub async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    let started = std::time::Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < Duration::from_secs(20), "it took too long until {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A store whose clock runs.
pub async fn live_store() -> store::testing::TestStore {
    store::testing::store_with(|config| config.clock = kernel::Clock::system()).await
}

pub fn flaky(id: &str, failures: u32, how: &str) -> Flaky {
    Flaky { id: id.to_owned(), failures, how: how.to_owned() }
}
