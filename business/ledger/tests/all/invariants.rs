//! What must always hold, each under a test of its name, and the traps of the design that need only one caller.

use std::time::Duration;

use kernel::{Id, RawId, Timestamp};
use ledger::queries::{self, Dating, Line, Period};
use ledger::{
    AMOUNT_MAX, AccountId, AccountKind, Action, Ask, EntryId, LedgerError, Limits, NewTransfer, Outcome, TransferId, commands, keeper,
};
use serde_json::{Value, json};
use store::{P, Sql};

use crate::world::{CALLER, World, trf, unit};

struct Shop {
    world: World,
    cash: AccountId,
    sales: AccountId,
    wallet: AccountId,
}

impl Shop {
    async fn new() -> Self {
        let world = World::new().await;
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        let sales = world.open("sales", AccountKind::Income, Limits::None).await;
        let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
        Self { world, cash, sales, wallet }
    }

    fn post(&self, id: u128, debit: AccountId, credit: AccountId, amount: i64) -> NewTransfer {
        NewTransfer::exactly(trf(id), debit, credit, unit("EUR"), amount)
    }

    fn hold(&self, id: u128, debit: AccountId, credit: AccountId, amount: i64) -> NewTransfer {
        let action = Action::Hold { debit, credit, unit: unit("EUR"), ask: Ask::Exactly(amount), expires_at: None };
        NewTransfer::new(trf(id), action)
    }

    async fn statement(&self, account: AccountId) -> Vec<Line> {
        let mut reads = self.world.store.read();
        queries::statement_forward(&mut reads, self.world.workspace, account, &Period::default(), None, 10_000).await.unwrap()
    }
}

/// Books up to a transfer; on a server that others use too, their open transactions may hold the keeper up.
pub async fn book_up_to(world: &World, last: TransferId) {
    let mut reads = world.store.read();
    let wanted = queries::version_of(&mut reads, world.workspace, last).await.unwrap();
    while queries::version(&mut reads).await.unwrap() < wanted {
        keeper::catch_up(&world.store).await.unwrap();
    }
}

fn resolve(id: u128, pending: u128, amount: Option<i64>) -> NewTransfer {
    NewTransfer::new(trf(id), Action::PostPending { pending: trf(pending), amount })
}

fn void(id: u128, pending: u128) -> NewTransfer {
    NewTransfer::new(trf(id), Action::VoidPending { pending: trf(pending) })
}

#[tokio::test]
async fn in_each_unit_debits_equal_credits_and_every_balance_recomputes_from_its_entries() {
    let shop = Shop::new().await;
    let yen = shop.world.try_open("yen", AccountKind::Asset, "JPY", Limits::None).await.unwrap().id;
    let fees = shop.world.try_open("fees", AccountKind::Income, "JPY", Limits::None).await.unwrap().id;
    let mut instants: Vec<(Timestamp, i128)> = Vec::new();
    for n in 1..=20 {
        shop.world.store.clock().advance(Duration::from_secs(10));
        let yens = NewTransfer::exactly(trf(1_000 + n), yen, fees, unit("JPY"), n as i64);
        let batch = vec![shop.post(n, shop.cash, shop.sales, 100), yens, shop.hold(2_000 + n, shop.cash, shop.wallet, 7)];
        assert_eq!(shop.world.codes(batch).await, [Outcome::Created; 3]);
        instants.push((shop.world.store.clock().now(), 100 * n as i128));
    }
    book_up_to(&shop.world, trf(2_020)).await;
    let mut reads = shop.world.store.read();
    let trial = queries::trial_balance(&mut reads, shop.world.workspace, None).await.unwrap();
    let sums: Vec<(&str, i128, i128)> =
        trial.units.iter().map(|of_unit| (of_unit.unit.as_str(), of_unit.debits, of_unit.credits)).collect();
    assert_eq!(sums, [("EUR", 2_000, 2_000), ("JPY", 210, 210)]);
    for account in [shop.cash, shop.sales, shop.wallet, yen, fees] {
        let mut sum = ledger::Totals::default();
        for line in shop.statement(account).await {
            let (posted, pending) = line.transfer.adds();
            sum.add(line.side, posted, pending);
            assert_eq!(line.after, sum, "each line has the sum of those up to it");
        }
        assert_eq!(sum, shop.world.totals(account).await);
    }
    // Statements sum to the balances at past times.
    let cash = queries::account(&mut reads, shop.world.workspace, shop.cash).await.unwrap();
    for (instant, sum) in instants {
        for (at, expected) in [(instant, sum), (instant.minus(Duration::from_micros(1)), sum - 100)] {
            let totals = queries::totals_at(&mut reads, shop.world.workspace, &cash, at, Dating::Booked).await.unwrap();
            assert_eq!(totals.debits_posted, expected, "{at}");
            let period = Period { from: None, until: Some(at.plus(Duration::from_micros(1))) };
            let lines = queries::statement(&mut reads, shop.world.workspace, shop.cash, &period, None, 1).await.unwrap();
            assert_eq!(lines.first().map(|line| line.after).unwrap_or_default(), totals);
        }
    }
}

#[tokio::test]
async fn no_balance_is_below_its_floor_pending_included() {
    let shop = Shop::new().await;
    let codes = shop.world.codes(vec![
        shop.post(1, shop.cash, shop.wallet, 100),
        shop.hold(2, shop.wallet, shop.sales, 60),
        shop.post(3, shop.wallet, shop.sales, 41),
        shop.hold(4, shop.wallet, shop.sales, 41),
        // What is only promised to the wallet cannot be spent.
        shop.hold(5, shop.cash, shop.wallet, 1_000),
        shop.post(6, shop.wallet, shop.sales, 41),
        shop.post(7, shop.wallet, shop.sales, 40),
        // Posting a promise needs no new room, and releasing part of it gives room.
        resolve(8, 2, Some(50)),
        shop.post(9, shop.wallet, shop.sales, 11),
        shop.post(10, shop.wallet, shop.sales, 10),
    ]);
    use Outcome::{Created, ExceedsCredits};
    assert_eq!(
        codes.await,
        [Created, Created, ExceedsCredits, ExceedsCredits, Created, ExceedsCredits, Created, Created, ExceedsCredits, Created]
    );
    let totals = shop.world.totals(shop.wallet).await;
    assert_eq!((totals.debits_left(), totals.credits_pending), (0, 1_000));
}

#[tokio::test]
async fn a_pending_transfer_is_resolved_once_and_never_posted_beyond_its_amount() {
    let shop = Shop::new().await;
    let hold = shop.hold(1, shop.cash, shop.sales, 100);
    assert_eq!(shop.world.codes(vec![hold, resolve(2, 1, Some(101))]).await, [Outcome::Created, Outcome::ExceedsPendingAmount]);
    assert_eq!(shop.world.codes(vec![resolve(3, 1, Some(30))]).await, [Outcome::Created]);
    for late in [resolve(4, 1, None), resolve(5, 1, Some(70)), void(6, 1)] {
        assert_eq!(shop.world.codes(vec![late]).await, [Outcome::PendingAlreadyPosted]);
    }
    let totals = shop.world.totals(shop.cash).await;
    assert_eq!((totals.debits_posted, totals.debits_pending), (30, 0));
}

#[tokio::test]
async fn what_expires_is_released_once_and_not_before_its_time() {
    let shop = Shop::new().await;
    let end = shop.world.store.clock().now().plus(Duration::from_secs(60));
    let action = Action::Hold { debit: shop.cash, credit: shop.sales, unit: unit("EUR"), ask: Ask::Exactly(5), expires_at: Some(end) };
    assert_eq!(shop.world.codes(vec![NewTransfer::new(trf(1), action)]).await, [Outcome::Created]);
    let expire = || {
        let own = shop.world.workspace;
        shop.world.store.write(&CALLER, own, |tx, own| Box::pin(async move { commands::expire(tx, own, trf(1)).await }))
    };
    expire().await.unwrap();
    assert_eq!(shop.world.totals(shop.cash).await.debits_pending, 5, "its time is not over");
    shop.world.store.clock().advance(Duration::from_secs(60));
    assert_eq!(shop.world.codes(vec![resolve(2, 1, None)]).await, [Outcome::PendingExpired], "before the timer came");
    expire().await.unwrap();
    expire().await.unwrap();
    assert_eq!(shop.world.totals(shop.cash).await, ledger::Totals::default());
    let released = queries::resolution(&mut shop.world.store.read(), shop.world.workspace, trf(1)).await.unwrap().unwrap();
    assert_eq!((released.kind.as_str(), released.amount, released.released), ("expire", 0, 5));
}

#[tokio::test]
async fn a_chain_is_all_or_nothing() {
    let shop = Shop::new().await;
    let chain = |last: i64| {
        let mut chain: Vec<NewTransfer> = (1..=3).map(|n| shop.post(n, shop.cash, shop.wallet, 10)).collect();
        chain.push(shop.post(4, shop.wallet, shop.sales, last));
        chain.iter_mut().take(3).for_each(|new| new.linked = true);
        chain
    };
    let mut batch = chain(31);
    batch.push(shop.post(5, shop.wallet, shop.sales, 1));
    use Outcome::{Created, ExceedsCredits, Exists, LinkedEventFailed};
    assert_eq!(
        shop.world.codes(batch).await,
        [LinkedEventFailed, LinkedEventFailed, LinkedEventFailed, ExceedsCredits, ExceedsCredits],
        "what the chain would have brought is not there for the one after it"
    );
    assert_eq!(shop.world.totals(shop.wallet).await, ledger::Totals::default());
    assert_eq!(shop.world.codes(chain(30)).await, [Created; 4]);
    assert_eq!(shop.world.codes(chain(30)).await, [Exists; 4]);
    assert_eq!(shop.world.totals(shop.wallet).await.debits_posted, 30);
}

#[tokio::test]
async fn totals_beyond_64_bits_are_exact_and_nothing_wraps() {
    let shop = Shop::new().await;
    let till = shop.world.open("till", AccountKind::Asset, Limits::CreditsWithinDebits).await;
    for batch in 0..3 {
        let ids = batch * 500 + 1..=(batch + 1) * 500;
        let codes = shop.world.codes(ids.map(|n| shop.post(n, till, shop.wallet, AMOUNT_MAX)).collect()).await;
        assert_eq!(codes, [Outcome::Created; 500]);
    }
    let sum = 1_500 * i128::from(AMOUNT_MAX);
    assert!(sum > i128::from(i64::MAX));
    for booked in [false, true] {
        assert_eq!(shop.world.totals(shop.wallet).await.credits_posted, sum, "booked: {booked}");
        assert_eq!(shop.world.totals(till).await.debits_left(), -sum);
        book_up_to(&shop.world, trf(1_500)).await;
    }
    assert_eq!(shop.statement(till).await.last().unwrap().after.debits_posted, sum);
    let all = Action::Post { debit: shop.wallet, credit: till, unit: unit("EUR"), ask: Ask::UpToDebitLimit(AMOUNT_MAX) };
    assert_eq!(shop.world.post(vec![NewTransfer::new(trf(9_000), all)]).await[0].amount, AMOUNT_MAX);
    for amount in [AMOUNT_MAX + 1, i64::MAX] {
        assert_eq!(shop.world.codes(vec![shop.post(9_001, till, shop.wallet, amount)]).await, [Outcome::AmountTooLarge]);
    }
}

#[tokio::test]
async fn the_same_request_has_one_effect_and_the_same_answer() {
    let shop = Shop::new().await;
    let batch = vec![
        NewTransfer { memo: Some("coffee".into()), ..shop.post(1, shop.cash, shop.wallet, 100) },
        shop.hold(2, shop.wallet, shop.sales, 60),
        resolve(3, 2, Some(20)),
        shop.hold(4, shop.wallet, shop.sales, 10),
        void(5, 4),
        NewTransfer::new(
            trf(6),
            Action::Post { debit: shop.wallet, credit: shop.sales, unit: unit("EUR"), ask: Ask::UpToDebitLimit(1_000) },
        ),
    ];
    let first = shop.world.post(batch.clone()).await;
    let totals = shop.world.totals(shop.wallet).await;
    shop.world.store.clock().advance(Duration::from_secs(5));
    let again = shop.world.post(batch).await;
    assert_eq!(again.iter().map(|row| row.outcome).collect::<Vec<_>>(), [Outcome::Exists; 6]);
    assert_eq!(again.iter().map(|row| row.amount).collect::<Vec<_>>(), first.iter().map(|row| row.amount).collect::<Vec<_>>());
    assert_eq!(shop.world.totals(shop.wallet).await, totals);
}

#[tokio::test]
async fn a_repeated_entry_is_the_same_entry_and_a_part_of_it_is_refused() {
    let shop = Shop::new().await;
    let entry = || vec![shop.post(1, shop.cash, shop.wallet, 100), shop.post(2, shop.wallet, shop.sales, 40)];
    let post = |transfers: Vec<NewTransfer>| {
        let input = (shop.world.workspace, transfers);
        shop.world
            .store
            .write(&CALLER, input, |tx, (own, transfers)| Box::pin(async move { ledger::post(tx, own, "order:1", transfers).await }))
    };
    for outcome in [Outcome::Created, Outcome::Exists] {
        assert!(post(entry()).await.unwrap().iter().all(|row| row.outcome == outcome));
    }
    let found = queries::entry(&mut shop.world.store.read(), shop.world.workspace, EntryId::from_raw(trf(1).raw())).await.unwrap();
    assert_eq!(found.iter().map(|transfer| transfer.id).collect::<Vec<_>>(), [trf(1), trf(2)]);
    let of_source = queries::transfers_of_source(&mut shop.world.store.read(), shop.world.workspace, "order:1", 10).await.unwrap();
    assert_eq!(of_source, found);
    let mut larger = entry();
    larger.push(shop.post(3, shop.cash, shop.wallet, 1));
    let refused = post(larger).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Refused { index: 2, outcome: Outcome::LinkedEventFailed }), "{refused:?}");
    let refused = post(vec![shop.post(4, shop.cash, shop.wallet, 1), shop.post(5, shop.wallet, shop.sales, 9_999)]).await.unwrap_err();
    assert!(matches!(refused, LedgerError::Refused { index: 1, outcome: Outcome::ExceedsCredits }), "{refused:?}");
}

#[tokio::test]
async fn the_same_words_are_the_same_whatever_number_is_in_them() {
    let shop = Shop::new().await;
    // Decimal fractions that no binary one meets, of every length.
    let entropy = kernel::Entropy::seeded(3);
    let texts = (0..300).map(|n| format!("{{\"rate\":{}.{}e-{}}}", entropy.below(1_000), entropy.below(u64::MAX), n % 290));
    let metadata: Vec<Value> = texts.map(|text| serde_json::from_str(&text).unwrap()).collect();
    let batch: Vec<NewTransfer> = metadata
        .into_iter()
        .zip(1..)
        .map(|(words, n)| NewTransfer { metadata: Some(words), ..shop.post(n, shop.cash, shop.sales, 1) })
        .collect();
    assert_eq!(shop.world.codes(batch.clone()).await, [Outcome::Created; 300]);
    assert_eq!(shop.world.codes(batch).await, [Outcome::Exists; 300]);
}

#[tokio::test]
async fn a_unit_that_ends_in_the_middle_leaves_nothing_and_a_restart_loses_nothing() {
    let mut shop = Shop::new().await;
    let (own, first, second) = (shop.world.workspace, shop.post(1, shop.cash, shop.wallet, 100), shop.post(2, shop.cash, shop.wallet, 50));
    let unit_of_work = shop.world.store.write(&CALLER, (first.clone(), second.clone()), move |tx, (first, second)| {
        Box::pin(async move {
            ledger::post_batch(tx, own, vec![first]).await?;
            ledger::post_batch(tx, own, vec![second]).await?;
            Err::<(), _>(LedgerError::Behind)
        })
    });
    unit_of_work.await.unwrap_err();
    assert_eq!(shop.world.totals(shop.wallet).await, ledger::Totals::default());
    assert_eq!(shop.world.codes(vec![first.clone()]).await, [Outcome::Created]);
    shop.world.store.reopen().await;
    assert_eq!(shop.world.codes(vec![first, second]).await, [Outcome::Exists, Outcome::Created]);
    book_up_to(&shop.world, trf(2)).await;
    shop.world.store.reopen().await;
    assert_eq!(shop.world.book().await, 0, "what is booked is not booked again");
    let lines = shop.statement(shop.wallet).await;
    assert_eq!(lines.iter().map(|line| (line.position, line.after.credits_posted)).collect::<Vec<_>>(), [(1, 100), (2, 150)]);
}

#[tokio::test]
async fn a_refused_posting_leaves_the_callers_unit_good() {
    let shop = Shop::new().await;
    let own = shop.world.workspace;
    let asked = (shop.post(1, shop.wallet, shop.sales, 10), shop.post(2, shop.cash, shop.sales, 10));
    let unit_of_work = shop.world.store.write(&CALLER, asked, move |tx, (refused, instead)| {
        Box::pin(async move {
            let refusal = ledger::post(tx, own, "order:1", vec![refused]).await;
            assert!(matches!(refusal, Err(LedgerError::Refused { index: 0, outcome: Outcome::ExceedsCredits })), "{refusal:?}");
            ledger::post(tx, own, "order:1", vec![instead]).await
        })
    });
    assert_eq!(unit_of_work.await.unwrap()[0].outcome, Outcome::Created);
    assert_eq!(shop.world.totals(shop.sales).await.credits_posted, 10);
}

#[tokio::test]
async fn another_workspace_has_its_own_books_for_the_same_identifiers() {
    let mut shop = Shop::new().await;
    assert_eq!(shop.world.codes(vec![shop.post(1, shop.cash, shop.sales, 10)]).await, [Outcome::Created]);
    let (cash, sales) = (shop.cash, shop.sales);
    shop.world.workspace = crate::world::workspace(2);
    let foreign = NewTransfer::exactly(trf(1), cash, sales, unit("EUR"), 10);
    assert_eq!(shop.world.codes(vec![foreign]).await, [Outcome::DebitAccountNotFound], "accounts of another workspace are not there");
    assert_eq!(shop.world.codes(vec![void(2, 1)]).await, [Outcome::PendingNotFound], "nor are its transfers");
    let own = shop.world.open("cash", AccountKind::Asset, Limits::None).await;
    let other = shop.world.open("sales", AccountKind::Income, Limits::None).await;
    assert_eq!(shop.world.codes(vec![shop.post(1, own, other, 25)]).await, [Outcome::Created]);
    assert_eq!(shop.world.totals(own).await.debits_posted, 25);
}

#[tokio::test]
async fn a_closed_account_takes_nothing_until_it_is_opened_again_and_closes_only_empty() {
    let shop = Shop::new().await;
    let own = shop.world.workspace;
    let close = |id| shop.world.store.write(&CALLER, id, move |tx, id| Box::pin(async move { commands::close(tx, own, id).await }));
    assert_eq!(shop.world.codes(vec![shop.hold(1, shop.cash, shop.sales, 10)]).await, [Outcome::Created]);
    assert!(matches!(close(shop.cash).await, Err(LedgerError::NotEmpty)), "something is pending");
    assert_eq!(shop.world.codes(vec![resolve(2, 1, None)]).await, [Outcome::Created]);
    assert!(matches!(close(shop.cash).await, Err(LedgerError::NotEmpty)), "something stands on it");
    assert_eq!(shop.world.codes(vec![shop.post(3, shop.sales, shop.cash, 10)]).await, [Outcome::Created]);
    assert!(close(shop.cash).await.unwrap().closed_at.is_some());
    assert_eq!(shop.world.codes(vec![shop.post(4, shop.cash, shop.sales, 1)]).await, [Outcome::DebitAccountClosed]);
    let again = shop.world.store.write(&CALLER, shop.cash, move |tx, id| Box::pin(async move { commands::reopen(tx, own, id).await }));
    assert!(again.await.unwrap().closed_at.is_none());
    assert_eq!(shop.world.codes(vec![shop.post(4, shop.cash, shop.sales, 1)]).await, [Outcome::Created]);
}

/// A transfer with a side that is missing, or that is both sides at once.
static LONE_POSTING: Sql = Sql::new(
    "insert into ledger_transfers (workspace, id, kind, debit, credit, unit, amount, released, effective_at, recorded_at, actor)
     values ($1, $2, 'transfer', $3, $4, 'EUR', $5, 0, 0, 0, 'nobody')",
);

#[tokio::test]
async fn a_lone_posting_cannot_be_written_and_no_amount_beyond_the_largest() {
    let shop = Shop::new().await;
    let bytes = |id: RawId| P::Bytes(id.bits().to_be_bytes().to_vec().into());
    let (cash, sales) = (bytes(shop.cash.raw()), bytes(shop.sales.raw()));
    for (debit, credit, amount) in [
        (cash.clone(), P::Null, 1),
        (P::Null, sales.clone(), 1),
        (cash.clone(), cash.clone(), 1),
        (cash.clone(), sales.clone(), -1),
        (cash, sales, AMOUNT_MAX + 1),
    ] {
        let row = vec![bytes(shop.world.workspace.raw()), bytes(RawId::from_bits(7)), debit, credit, P::Int(amount)];
        let written = shop
            .world
            .store
            .write(&CALLER, row, |tx, row| Box::pin(async move { tx.execute(&LONE_POSTING, &row).await.map_err(LedgerError::from) }));
        assert!(matches!(written.await, Err(LedgerError::Store(_))), "{amount}");
    }
    assert_eq!(shop.world.book().await, 0);
}

#[tokio::test]
async fn amounts_of_eighteen_places_stand_beside_the_books_as_words() {
    let shop = Shop::new().await;
    let words = json!({ "crypto": { "asset": "ETH", "amount": "123456789012345678901234567890" } });
    let transfer = NewTransfer { metadata: Some(words.clone()), ..shop.post(1, shop.cash, shop.sales, 350_000) };
    assert_eq!(shop.world.codes(vec![transfer]).await, [Outcome::Created]);
    let kept = queries::transfer(&mut shop.world.store.read(), shop.world.workspace, trf(1)).await.unwrap().unwrap();
    assert_eq!((kept.metadata, kept.amount), (Some(words), 350_000));
}
