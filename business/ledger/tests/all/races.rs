//! Two at once. Where a test holds a unit open in the middle it runs on PostgreSQL alone: on SQLite units run one after the other.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kernel::WorkspaceId;
use ledger::queries::{self, Period};
use ledger::{AccountId, AccountKind, Action, Ask, LedgerError, Limits, NewTransfer, Outcome, commands, keeper};
use store::{Engine, Reads, Sql, Store, Tx};
use tokio::sync::{Barrier, Notify};
use tokio::task::JoinHandle;

use crate::invariants::book_up_to;
use crate::world::{CALLER, World, trf, unit};

/// Sessions that wait for an advisory lock or for another transaction's end, in this database.
static WAITING: Sql =
    Sql::per_engine("select 0", "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'");

fn post(id: u128, debit: AccountId, credit: AccountId, amount: i64) -> NewTransfer {
    NewTransfer::exactly(trf(id), debit, credit, unit("EUR"), amount)
}

fn in_full(id: u128, pending: u128) -> NewTransfer {
    NewTransfer::new(trf(id), Action::PostPending { pending: trf(pending), amount: None })
}

fn void(id: u128, pending: u128) -> NewTransfer {
    NewTransfer::new(trf(id), Action::VoidPending { pending: trf(pending) })
}

/// A unit that posts and then stays open until it is told to end, well or not.
struct Open {
    go: Arc<Notify>,
    task: JoinHandle<Result<Vec<Outcome>, LedgerError>>,
}

impl Open {
    async fn begin(world: &World, batch: Vec<NewTransfer>, ends_well: bool) -> Self {
        let (posted, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (store, own): (Store, WorkspaceId) = ((*world.store).clone(), world.workspace);
        let input = (batch, posted.clone(), go.clone());
        let task = tokio::spawn(async move {
            let unit = store.write(&CALLER, input, move |tx, (batch, posted, go): (Vec<NewTransfer>, Arc<Notify>, Arc<Notify>)| {
                Box::pin(async move {
                    let codes = codes(tx, own, batch).await?;
                    posted.notify_one();
                    go.notified().await;
                    if ends_well { Ok(codes) } else { Err(LedgerError::Behind) }
                })
            });
            unit.await
        });
        in_time(posted.notified()).await;
        Self { go, task }
    }

    async fn end(self) -> Result<Vec<Outcome>, LedgerError> {
        self.go.notify_one();
        in_time(self.task).await.unwrap()
    }
}

async fn codes(tx: &mut Tx, own: WorkspaceId, batch: Vec<NewTransfer>) -> Result<Vec<Outcome>, LedgerError> {
    Ok(ledger::post_batch(tx, own, batch).await?.into_iter().map(|row| row.outcome).collect())
}

/// What never ends is a failure and not a test that hangs.
async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(9), future).await.expect("it waits for somebody who does not come")
}

/// Posts in a task of its own.
fn spawn(world: &World, batch: Vec<NewTransfer>) -> JoinHandle<Result<Vec<Outcome>, LedgerError>> {
    let (store, own): (Store, WorkspaceId) = ((*world.store).clone(), world.workspace);
    tokio::spawn(async move { store.write(&CALLER, batch, move |tx, batch| Box::pin(codes(tx, own, batch))).await })
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

async fn accounts(world: &World) -> (AccountId, AccountId, AccountId) {
    let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
    let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let other = world.open("wallet.other", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    (cash, wallet, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_account_without_a_limit_is_not_locked_by_a_callers_open_unit() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, ..) = accounts(&world).await;
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    let first = Open::begin(&world, vec![post(1, cash, sales, 10)], true).await;
    // Were the account locked, these would wait for the first, which ends last.
    let second = Open::begin(&world, vec![post(2, cash, sales, 20)], true).await;
    assert_eq!(in_time(spawn(&world, vec![post(3, sales, cash, 5)])).await.unwrap().unwrap(), [Outcome::Created]);
    assert_eq!(world.totals(cash).await.debits_posted, 0, "what is not committed is not seen");
    assert_eq!(second.end().await.unwrap(), [Outcome::Created]);
    assert_eq!(first.end().await.unwrap(), [Outcome::Created]);
    let totals = world.totals(cash).await;
    assert_eq!((totals.debits_posted, totals.credits_posted), (30, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_a_limit_is_spent_once_by_two_units_at_once() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    assert_eq!(world.codes(vec![post(1, cash, wallet, 100)]).await, [Outcome::Created]);
    for (ends_well, second) in [(false, Outcome::Created), (true, Outcome::ExceedsCredits)] {
        let number = if ends_well { 10 } else { 20 };
        let open = Open::begin(&world, vec![post(number, wallet, cash, if ends_well { 20 } else { 80 })], ends_well).await;
        let waiting = spawn(&world, vec![post(number + 1, wallet, cash, if ends_well { 1 } else { 80 })]);
        until_one_waits(&world).await;
        assert_eq!(open.end().await.is_ok(), ends_well);
        assert_eq!(in_time(waiting).await.unwrap().unwrap(), [second], "the first one ends well: {ends_well}");
    }
    assert_eq!(world.totals(wallet).await.debits_left(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn units_that_lock_the_same_accounts_in_opposite_orders_never_wait_in_a_ring() {
    let world = World::new().await;
    let (cash, one, other) = accounts(&world).await;
    assert_eq!(world.codes(vec![post(1, cash, one, 10_000), post(2, cash, other, 10_000)]).await, [Outcome::Created; 2]);
    let (runs, start) = (Arc::new(AtomicUsize::new(0)), Arc::new(Barrier::new(8)));
    let tasks: Vec<JoinHandle<()>> = (0..8_u128)
        .map(|task| {
            let (store, own, runs, start): (Store, _, _, _) = ((*world.store).clone(), world.workspace, runs.clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                for round in 0..25 {
                    let id = 1_000 + task * 100 + round * 2;
                    let mut batch = vec![post(id, one, cash, 1), post(id + 1, other, cash, 1)];
                    if task % 2 == 1 {
                        batch.reverse();
                    }
                    let unit = store.write(&CALLER, (batch, runs.clone()), move |tx, (batch, runs): (_, Arc<AtomicUsize>)| {
                        runs.fetch_add(1, Ordering::SeqCst);
                        Box::pin(codes(tx, own, batch))
                    });
                    assert_eq!(unit.await.unwrap(), [Outcome::Created; 2]);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(runs.load(Ordering::SeqCst), 200, "a unit that was run again had been chosen to break a deadlock");
    for account in [one, other] {
        assert_eq!(world.totals(account).await.debits_posted, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_that_resolve_one_pending_transfer_at_once_one_wins() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    let hold = |id, debit, credit| {
        let action = Action::Hold { debit, credit, unit: unit("EUR"), ask: Ask::Exactly(50), expires_at: None };
        NewTransfer::new(trf(id), action)
    };
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    assert_eq!(world.codes(vec![post(1, cash, wallet, 500)]).await, [Outcome::Created]);
    // With an account that is locked and without one; and the first one comes to nothing.
    for (number, debit, ends_well) in [(100, wallet, true), (200, cash, true), (300, wallet, false), (400, cash, false)] {
        assert_eq!(world.codes(vec![hold(number, debit, sales)]).await, [Outcome::Created]);
        let open = Open::begin(&world, vec![in_full(number + 1, number)], ends_well).await;
        let waiting = spawn(&world, vec![void(number + 2, number)]);
        until_one_waits(&world).await;
        assert_eq!(open.end().await.is_ok(), ends_well);
        let expected = if ends_well { Outcome::PendingAlreadyPosted } else { Outcome::Created };
        assert_eq!(in_time(waiting).await.unwrap().unwrap(), [expected], "{number}");
    }
    for account in [cash, wallet, sales] {
        let totals = world.totals(account).await;
        assert_eq!((totals.debits_pending, totals.credits_pending), (0, 0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_resolve_one_pending_transfer_one_wins_on_either_engine() {
    let world = World::new().await;
    let (cash, wallet, _) = accounts(&world).await;
    assert_eq!(world.codes(vec![post(1, cash, wallet, 500)]).await, [Outcome::Created]);
    for round in 0..10_u128 {
        let pending = 1_000 * (round + 1);
        let action = Action::Hold { debit: wallet, credit: cash, unit: unit("EUR"), ask: Ask::Exactly(10), expires_at: None };
        assert_eq!(world.codes(vec![NewTransfer::new(trf(pending), action)]).await, [Outcome::Created]);
        let tasks: Vec<_> = (1..=6)
            .map(|n| spawn(&world, vec![if n % 2 == 0 { void(pending + n, pending) } else { in_full(pending + n, pending) }]))
            .collect();
        let mut created = 0;
        for task in tasks {
            match task.await.unwrap().unwrap()[..] {
                [Outcome::Created] => created += 1,
                [Outcome::PendingAlreadyPosted | Outcome::PendingAlreadyVoided] => {}
                ref other => panic!("{other:?}"),
            }
        }
        assert_eq!(created, 1);
    }
    assert_eq!(world.totals(wallet).await.debits_pending, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identifier_that_two_units_post_at_once_stands_once() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    for (number, credit, amount, ends_well, expected) in [
        (1, sales, 10, true, Outcome::Exists),
        (2, wallet, 10, true, Outcome::Exists),
        (3, sales, 11, true, Outcome::ExistsWithDifferentAmount),
        (4, sales, 11, false, Outcome::Created),
    ] {
        let open = Open::begin(&world, vec![post(number, cash, credit, 10)], ends_well).await;
        // The other one also posts something of its own, which must not be lost or doubled when it runs again.
        let waiting = spawn(&world, vec![post(100 + number, cash, sales, 1_000), post(number, cash, credit, amount)]);
        until_one_waits(&world).await;
        assert_eq!(open.end().await.is_ok(), ends_well);
        assert_eq!(in_time(waiting).await.unwrap().unwrap(), [Outcome::Created, expected], "{number}");
    }
    assert_eq!(world.totals(cash).await.debits_posted, 4_000 + 10 + 10 + 10 + 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_many_send_at_once_stands_once_on_either_engine() {
    let world = World::new().await;
    let (cash, wallet, other) = accounts(&world).await;
    let batch: Vec<NewTransfer> = (1..=40).map(|n| post(n, cash, if n % 2 == 0 { wallet } else { other }, n as i64)).collect();
    let tasks: Vec<_> = (0..6).map(|_| spawn(&world, batch.clone())).collect();
    let mut created = 0;
    for task in tasks {
        let codes = task.await.unwrap().unwrap();
        assert!(codes.iter().all(|code| code.stands()), "{codes:?}");
        created += codes.iter().filter(|code| **code == Outcome::Created).count();
    }
    assert_eq!(created, 40);
    assert_eq!(world.totals(cash).await.debits_posted, 820);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_is_not_posted_to_by_a_unit_that_began_before() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (store, own): (Store, _) = ((*world.store).clone(), world.workspace);
    let input = (began.clone(), go.clone());
    let early = tokio::spawn(async move {
        let unit = store.write(&CALLER, input, move |tx, (began, go): (Arc<Notify>, Arc<Notify>)| {
            Box::pin(async move {
                // It has seen the account open.
                assert!(queries::account(tx, own, cash).await?.closed_at.is_none());
                began.notify_one();
                go.notified().await;
                codes(tx, own, vec![post(1, cash, wallet, 10)]).await
            })
        });
        unit.await
    });
    in_time(began.notified()).await;
    let closed = world.store.write(&CALLER, cash, move |tx, id| Box::pin(async move { commands::close(tx, own, id).await }));
    assert!(closed.await.unwrap().closed_at.is_some());
    go.notify_one();
    assert_eq!(in_time(early).await.unwrap().unwrap(), [Outcome::DebitAccountClosed]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_not_closed_over_what_another_unit_has_posted_and_not_committed() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    let own = world.workspace;
    for ends_well in [false, true] {
        let open = Open::begin(&world, vec![post(1, cash, wallet, 10)], ends_well).await;
        let store: Store = (*world.store).clone();
        let closing = tokio::spawn(async move {
            let unit = store.write(&CALLER, cash, move |tx, id| {
                Box::pin(async move {
                    let closed = commands::close(tx, own, id).await?;
                    commands::reopen(tx, own, id).await?;
                    Ok::<_, LedgerError>(closed)
                })
            });
            unit.await
        });
        until_one_waits(&world).await;
        assert_eq!(open.end().await.is_ok(), ends_well);
        match in_time(closing).await.unwrap() {
            Ok(closed) => assert!(!ends_well && closed.closed_at.is_some()),
            Err(error) => assert!(ends_well && matches!(error, LedgerError::NotEmpty), "{error:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_unit_is_not_passed_by_the_keeper() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, ..) = accounts(&world).await;
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    let slow = Open::begin(&world, vec![post(1, cash, sales, 10)], true).await;
    assert_eq!(world.codes(vec![post(2, cash, sales, 20)]).await, [Outcome::Created]);
    assert_eq!(keeper::catch_up(&world.store).await.unwrap(), 0, "a keeper that took the second now would pass the first for ever");
    assert_eq!(world.totals(cash).await.debits_posted, 20, "what is not booked yet counts all the same");
    assert_eq!(slow.end().await.unwrap(), [Outcome::Created]);
    assert_eq!(world.totals(cash).await.debits_posted, 30);
    book_up_to(&world, trf(2)).await;
    let lines = queries::statement_forward(&mut world.store.read(), world.workspace, cash, &Period::default(), None, 10).await.unwrap();
    let places: Vec<_> = lines.iter().map(|line| (line.position, line.transfer.id, line.after.debits_posted)).collect();
    assert_eq!(places, [(1, trf(1), 10), (2, trf(2), 30)]);
    assert_eq!(world.totals(cash).await.debits_posted, 30);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_keepers_at_once_book_everything_once() {
    let world = World::new().await;
    let (cash, wallet, _) = accounts(&world).await;
    let is_done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let keepers: Vec<JoinHandle<()>> = (0..3)
        .map(|_| {
            let (store, is_done): (Store, _) = ((*world.store).clone(), is_done.clone());
            tokio::spawn(async move {
                while !is_done.load(Ordering::SeqCst) {
                    keeper::catch_up(&store).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut sum = 0;
    for round in 0..60_u128 {
        let batch: Vec<NewTransfer> = (1..=5).map(|n| post(round * 5 + n, cash, wallet, n as i64)).collect();
        assert_eq!(world.codes(batch).await, [Outcome::Created; 5]);
        sum += 15;
        // In the middle of whatever the keepers are doing, nothing counts twice and nothing is left out.
        assert_eq!(world.totals(cash).await.debits_posted, sum);
    }
    book_up_to(&world, trf(300)).await;
    is_done.store(true, Ordering::SeqCst);
    for task in keepers {
        task.await.unwrap();
    }
    let lines = queries::statement_forward(&mut world.store.read(), world.workspace, cash, &Period::default(), None, 1_000).await.unwrap();
    let places: Vec<(i64, u128)> = lines.iter().map(|line| (line.position, kernel::Id::raw(line.transfer.id).bits())).collect();
    assert_eq!(places, (1..=300).zip(1..=300).collect::<Vec<(i64, u128)>>());
    assert_eq!(lines.last().unwrap().after.debits_posted, sum);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_that_wrote_before_what_it_depends_on_is_judged_by_what_stands_when_it_posts() {
    let world = World::new().await;
    if world.store.engine() == Engine::Sqlite {
        return;
    }
    let (cash, wallet, _) = accounts(&world).await;
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    let (wrote, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (store, own): (Store, _) = ((*world.store).clone(), world.workspace);
    let input = (wrote.clone(), go.clone());
    let early = tokio::spawn(async move {
        let unit = store.write(&CALLER, input, move |tx, (wrote, go): (Arc<Notify>, Arc<Notify>)| {
            Box::pin(async move {
                // From here on it has its place in the log, before that of the one it will spend from.
                let mut told = codes(tx, own, vec![post(1, cash, sales, 1)]).await?;
                wrote.notify_one();
                go.notified().await;
                told.extend(codes(tx, own, vec![post(2, wallet, sales, 100), in_full(4, 3)]).await?);
                Ok::<_, LedgerError>(told)
            })
        });
        unit.await
    });
    in_time(wrote.notified()).await;
    let action = Action::Hold { debit: cash, credit: sales, unit: unit("EUR"), ask: Ask::Exactly(7), expires_at: None };
    let filled = vec![post(5, cash, wallet, 100), NewTransfer::new(trf(3), action)];
    assert_eq!(world.codes(filled).await, [Outcome::Created; 2]);
    go.notify_one();
    assert_eq!(in_time(early).await.unwrap().unwrap(), [Outcome::Created; 3]);
    for last in [trf(3), trf(5), trf(2)] {
        book_up_to(&world, last).await;
    }
    assert_eq!(world.totals(wallet).await.debits_left(), 0);
    assert_eq!(world.totals(cash).await.debits_posted, 108);
    let lines = queries::statement_forward(&mut world.store.read(), own, sales, &Period::default(), None, 10).await.unwrap();
    assert_eq!(lines.len(), 4);
    assert_eq!(lines.last().unwrap().after, world.totals(sales).await);
    ledger::verify::assert_sound(&world.store).await;
}

/// A random unit of one caller: a batch with transfers, promises and their resolutions, some of them somebody else's.
fn random_batch(entropy: &kernel::Entropy, of: &[AccountId], caller: u128, round: u128) -> Vec<NewTransfer> {
    let below = |bound: usize| entropy.below(bound as u64) as usize;
    (0..1 + below(6) as u128)
        .map(|n| {
            let id = (caller + 1) * 1_000_000 + round * 100 + n;
            let (debit, credit, amount) = (of[below(of.len())], of[below(of.len())], below(200) as i64 + 1);
            let pending = trf((below(6) as u128 + 1) * 1_000_000 + below(round as usize + 1) as u128 * 100 + below(6) as u128);
            let action = match below(10) {
                0..5 => Action::Post { debit, credit, unit: unit("EUR"), ask: Ask::Exactly(amount) },
                5..7 => Action::Hold { debit, credit, unit: unit("EUR"), ask: Ask::Exactly(amount), expires_at: None },
                7 => Action::PostPending { pending, amount: Some(amount) },
                8 => Action::PostPending { pending, amount: None },
                _ => Action::VoidPending { pending },
            };
            NewTransfer { linked: below(8) == 0, ..NewTransfer::new(trf(id), action) }
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_at_random_leave_books_that_are_sound_and_within_their_limits() {
    let world = World::new().await;
    let (cash, one, other) = accounts(&world).await;
    let till = world.open("till", AccountKind::Asset, Limits::CreditsWithinDebits).await;
    let sales = world.open("sales", AccountKind::Income, Limits::None).await;
    let filled = vec![post(1, cash, one, 500), post(2, cash, other, 500), post(3, till, cash, 500)];
    assert_eq!(world.codes(filled).await, [Outcome::Created; 3]);
    let keeping = tokio::spawn(keeper::keep((*world.store).clone()));
    let callers: Vec<JoinHandle<usize>> = (0..6_u128)
        .map(|caller| {
            let (store, own): (Store, _) = ((*world.store).clone(), world.workspace);
            tokio::spawn(async move {
                let (entropy, of, mut stand) = (kernel::Entropy::seeded(caller as u64), [cash, one, other, till, sales], 0);
                for round in 0..40 {
                    let batch = random_batch(&entropy, &of, caller, round);
                    let told = store.write(&CALLER, batch, move |tx, batch| Box::pin(codes(tx, own, batch))).await.unwrap();
                    stand += told.iter().filter(|code| **code == Outcome::Created).count();
                }
                stand
            })
        })
        .collect();
    let mut stand = 3;
    for caller in callers {
        stand += caller.await.unwrap();
    }
    keeping.abort();
    let _ = keeping.await;
    let last = vec![post(9_000_000_000, cash, sales, 1)];
    assert_eq!(world.codes(last).await, [Outcome::Created]);
    book_up_to(&world, trf(9_000_000_000)).await;
    let mut reads = world.store.read();
    let mut lines = 0;
    for id in [cash, one, other, till, sales] {
        let account = queries::account(&mut reads, world.workspace, id).await.unwrap();
        let statement = queries::statement_forward(&mut reads, world.workspace, id, &Period::default(), None, 10_000).await.unwrap();
        lines += statement.len();
        let totals = world.totals(id).await;
        assert_eq!(statement.last().unwrap().after, totals);
        assert!(totals.are_within(account.limits), "{totals:?}");
    }
    assert_eq!(lines, 2 * (stand + 1), "what was answered stands, and nothing else");
    ledger::verify::assert_sound(&world.store).await;
}
