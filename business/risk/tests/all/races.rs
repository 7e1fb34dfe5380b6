//! Two at once: what shares a limit is decided one after the other, what does not is not held up.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kernel::WorkspaceId;
use risk::{Activity, AppliesTo, NewRule, Outcome, RiskError, RuleEdit, Scope, Verdict, VerdictWord};
use store::{Engine, Reads, Sql, Store};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinHandle;

use crate::world::{CALLER, World, attempt, by, count, eur, of, payout, rule, sum};

/// Sessions that wait for a lock in this database.
static WAITING: Sql =
    Sql::per_engine("select 0", "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");

/// What never ends is a failure and not a test that hangs.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(9), future).await.expect("it waits for somebody who does not come")
}

fn spawn(world: &World, activity: Activity) -> JoinHandle<Result<Verdict, RiskError>> {
    let (store, own): (Store, WorkspaceId) = ((*world.store).clone(), world.workspace);
    tokio::spawn(async move {
        store.write(&CALLER, activity, move |tx, activity| Box::pin(async move { risk::decide(tx, own, &activity).await })).await
    })
}

/// A unit that decides and then stays open until it is told to end.
struct Open {
    go: Arc<Notify>,
    task: JoinHandle<Result<Verdict, RiskError>>,
}

impl Open {
    async fn begin(world: &World, activity: Activity) -> Self {
        let (decided, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (store, own): (Store, WorkspaceId) = ((*world.store).clone(), world.workspace);
        let input = (activity, decided.clone(), go.clone());
        let task = tokio::spawn(async move {
            let unit = store.write(&CALLER, input, move |tx, (activity, decided, go): (Activity, Arc<Notify>, Arc<Notify>)| {
                Box::pin(async move {
                    let verdict = risk::decide(tx, own, &activity).await?;
                    decided.notify_one();
                    go.notified().await;
                    Ok(verdict)
                })
            });
            unit.await
        });
        in_time(decided.notified()).await;
        Self { go, task }
    }

    async fn end(self) -> Verdict {
        self.go.notify_one();
        in_time(self.task).await.unwrap().unwrap()
    }
}

/// Until somebody waits for a lock.
async fn until_one_waits(world: &World) {
    in_time(async {
        while world.store.read().row(&WAITING, &[], |row| row.get::<i64>(0)).await.unwrap() != Some(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// How many of `many` that are asked at the same moment are let through.
async fn let_through(world: &World, many: impl IntoIterator<Item = Activity>) -> usize {
    let many: Vec<Activity> = many.into_iter().collect();
    let barrier = Arc::new(Barrier::new(many.len()));
    let tasks: Vec<_> = many
        .into_iter()
        .map(|activity| {
            let (store, own, barrier): (Store, WorkspaceId, _) = ((*world.store).clone(), world.workspace, barrier.clone());
            tokio::spawn(async move {
                barrier.wait().await;
                store.write(&CALLER, activity, move |tx, activity| Box::pin(async move { risk::decide(tx, own, &activity).await })).await
            })
        })
        .collect();
    let mut through = 0;
    for task in tasks {
        through += usize::from(task.await.unwrap().unwrap() == Verdict::Allow);
    }
    through
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_at_once_exactly_the_limit_is_let_through() {
    let world = World::new().await;
    world.block(count(5, 3_600, Scope::Party)).await;
    assert_eq!(let_through(&world, (0..24).map(|n| by("a", attempt(&n.to_string())))).await, 5);

    let world = World::new().await;
    world.block(sum(eur(7_000), 3_600, Scope::Workspace)).await;
    assert_eq!(let_through(&world, (0..24).map(|n| of(eur(1_000), by(&format!("p{n}"), payout(&n.to_string()))))).await, 7);

    // Both kinds of limit at once, and many parties: nobody waits for anybody in a circle.
    let world = World::new().await;
    world.block(count(3, 3_600, Scope::Party)).await;
    world.block(count(9, 3_600, Scope::Workspace)).await;
    assert_eq!(let_through(&world, (0..24).map(|n| by(&format!("p{}", n % 4), attempt(&n.to_string())))).await, 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_the_same_subject_many_times_at_once_one_is_decided_and_counted() {
    let world = World::new().await;
    world.block(count(1, 3_600, Scope::Party)).await;
    assert_eq!(let_through(&world, (0..16).map(|_| by("a", attempt("the same")))).await, 16, "each hears what was decided once");
    assert_eq!(world.decisions().await.len(), 1);
    let without_a_party = World::new().await;
    assert_eq!(let_through(&without_a_party, (0..16).map(|_| attempt("the same"))).await, 16);
    assert_eq!(without_a_party.decisions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_of_a_party_waits_for_the_firsts_end() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    world.block(count(1, 3_600, Scope::Party)).await;
    let first = Open::begin(&world, by("a", attempt("1"))).await;
    let second = spawn(&world, by("a", attempt("2")));
    until_one_waits(&world).await;
    assert_eq!(first.end().await, Verdict::Allow);
    assert_eq!(in_time(second).await.unwrap().unwrap().word(), VerdictWord::Block);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_shares_no_limit_is_not_held_up() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    world.add(NewRule { applies_to: AppliesTo::PaymentAttempt, ..rule(Outcome::Block, count(1, 3_600, Scope::Party)) }).await;
    let open = Open::begin(&world, by("a", attempt("1"))).await;
    // Were it to wait for the open one, it would never end. It is of the other kind, so that they do not meet in a counter's row.
    assert_eq!(in_time(spawn(&world, by("a", payout("2")))).await.unwrap().unwrap(), Verdict::Allow);
    assert_eq!(open.end().await, Verdict::Allow);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_rules_waits_for_the_decisions_that_run() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let open = Open::begin(&world, by("a", attempt("1"))).await;
    let ended = async {
        until_one_waits(&world).await;
        assert_eq!(world.decisions().await.len(), 0, "the open one is not committed");
        open.end().await
    };
    let (_, verdict) = in_time(async { tokio::join!(world.block(count(0, 60, Scope::Party)), ended) }).await;
    assert_eq!(verdict, Verdict::Allow, "it was decided by the rules before");
    assert_eq!(world.decide(by("b", attempt("2"))).await.word(), VerdictWord::Block);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_changes_of_a_rule_at_once_one_wins() {
    let world = World::new().await;
    let made = world.block(count(1, 60, Scope::Party)).await;
    let change = |priority: i64| {
        let (store, caller): (Store, _) = ((*world.store).clone(), world.manager());
        tokio::spawn(async move {
            let edit = RuleEdit { priority: Some(priority), ..RuleEdit::default() };
            store.write(&caller, edit, move |tx, edit| Box::pin(async move { risk::commands::change(tx, made.id, 1, edit).await })).await
        })
    };
    let (first, second) = (change(1), change(2));
    let both = [first.await.unwrap(), second.await.unwrap()];
    assert_eq!(both.iter().filter(|done| done.is_ok()).count(), 1);
    assert!(both.iter().any(|done| matches!(done, Err(RiskError::Stale { actual: 2 }))), "{both:?}");
}
