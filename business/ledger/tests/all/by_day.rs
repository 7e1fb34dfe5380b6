//! An account by the day that its transfers count from, and the seal over a transfer.

use std::time::Duration;

use kernel::Timestamp;
use ledger::queries::by_day::{self, DayLine, Place};
use ledger::queries::{self, Period};
use ledger::{Account, AccountId, AccountKind, Action, Ask, Limits, NewTransfer};

use crate::world::{World, trf, unit};

const HOUR: Duration = Duration::from_secs(3_600);

/// Cash and sales, entered over four days, some of it for other days, some of it only promised.
struct Shop {
    world: World,
    cash: AccountId,
    sales: AccountId,
    start: Timestamp,
}

impl Shop {
    async fn new(seed: u64, count: u64) -> Self {
        let world = World::new().await;
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        let sales = world.open("sales", AccountKind::Income, Limits::None).await;
        let start = world.store.clock().now();
        let mut word = seed;
        let mut draw = |below: u64| {
            word = word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (word >> 33) % below
        };
        let mut posted = 0;
        while posted < count {
            world.store.clock().advance(HOUR / 8 * (1 + draw(8) as u32));
            let batch: Vec<NewTransfer> = (0..=draw(5))
                .map(|_| {
                    posted += 1;
                    let amount = 1 + draw(1_000) as i64;
                    let (debit, credit) = if draw(4) == 0 { (sales, cash) } else { (cash, sales) };
                    let ask = Ask::Exactly(amount);
                    let action = match draw(8) {
                        0 => Action::Hold { debit, credit, unit: unit("EUR"), ask, expires_at: None },
                        _ => Action::Post { debit, credit, unit: unit("EUR"), ask },
                    };
                    // Few instants, so that many lines count from the same one.
                    let effective_at = (draw(2) == 0).then(|| start.plus(HOUR * (6 * draw(16)) as u32));
                    NewTransfer { effective_at, ..NewTransfer::new(trf(u128::from(posted)), action) }
                })
                .collect();
            assert!(world.post(batch).await.iter().all(|row| row.outcome.stands()));
        }
        world.book().await;
        Self { world, cash, sales, start }
    }

    async fn account(&self, id: AccountId) -> Account {
        queries::account(&mut self.world.store.read(), self.world.workspace, id).await.unwrap()
    }

    /// Every line with where it stands by day and the balance after it, oldest first: sorted and added up here.
    async fn expected(&self, account: &Account) -> Vec<(Place, i128)> {
        let mut reads = self.world.store.read();
        let lines =
            queries::statement_forward(&mut reads, self.world.workspace, account.id, &Period::default(), None, 10_000).await.unwrap();
        let mut placed: Vec<(Place, i128)> = lines
            .iter()
            .map(|line| {
                let adds = by_day::adds(account.kind, line);
                let is_dated = adds != 0 && line.transfer.effective_at != line.transfer.recorded_at;
                let at = if is_dated { line.transfer.effective_at } else { line.booked_at };
                (Place { at, position: line.position }, adds)
            })
            .collect();
        placed.sort_unstable_by_key(|(place, _)| *place);
        let mut balance = 0;
        for (_, sum) in &mut placed {
            balance += *sum;
            *sum = balance;
        }
        placed
    }

    async fn paged(&self, account: &Account, period: &Period, size: usize) -> Vec<DayLine> {
        let (mut reads, mut all, mut before) = (self.world.store.read(), Vec::new(), None);
        loop {
            let page = by_day::lines_by_day(&mut reads, self.world.workspace, account, period, before, size).await.unwrap();
            assert!(page.lines.len() <= size);
            all.extend(page.lines);
            before = page.next;
            if before.is_none() {
                all.reverse();
                return all;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_stand_by_the_day_they_count_from_with_the_balance_of_that_day_whatever_the_size_of_a_page() {
    for seed in 0..6 {
        let shop = Shop::new(seed, 90).await;
        for id in [shop.cash, shop.sales] {
            let account = shop.account(id).await;
            let expected = shop.expected(&account).await;
            for size in [1, 3, 7, 50, 1_000] {
                let lines = shop.paged(&account, &Period::default(), size).await;
                let shown: Vec<(Place, i128)> = lines.iter().map(|line| (line.place, line.balance)).collect();
                assert_eq!(shown, expected, "seed {seed}, pages of {size}");
            }
            let (from, until) = (shop.start.plus(HOUR * 12), shop.start.plus(HOUR * 48));
            let period = Period { from: Some(from), until: Some(until) };
            let within: Vec<_> = expected.iter().copied().filter(|(place, _)| (from..until).contains(&place.at)).collect();
            let shown: Vec<_> = shop.paged(&account, &period, 4).await.iter().map(|line| (line.place, line.balance)).collect();
            assert_eq!(shown, within, "seed {seed}");
            assert!(!within.is_empty() && within.len() < expected.len());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_by_day_goes_through_the_balances_of_the_lines() {
    let shop = Shop::new(7, 120).await;
    let account = shop.account(shop.cash).await;
    let expected = shop.expected(&account).await;
    let mut reads = shop.world.store.read();
    assert_eq!(by_day::first_day(&mut reads, shop.world.workspace, shop.cash).await.unwrap(), Some(expected[0].0.at));
    let unmoved = shop.world.open("unmoved", AccountKind::Asset, Limits::None).await;
    assert_eq!(by_day::first_day(&mut reads, shop.world.workspace, unmoved).await.unwrap(), None);
    for (from, width, steps) in
        [(shop.start, HOUR * 24, 5), (shop.start.minus(HOUR * 48), HOUR * 5, 40), (shop.start.plus(HOUR * 30), HOUR, 9)]
    {
        let width_micros = width.as_micros() as i64;
        let chart = by_day::balances_by_day(&mut reads, shop.world.workspace, &account, from, width_micros, steps).await.unwrap();
        let at_end = |step: usize| {
            let end = from.plus(width * (step as u32 + 1));
            expected.iter().rev().find(|(place, _)| place.at < end).map_or(0, |(_, balance)| *balance)
        };
        assert_eq!(chart, (0..steps).map(at_end).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trial_balance_by_day_balances_at_every_instant_and_agrees_with_the_accounts() {
    let shop = Shop::new(11, 80).await;
    let mut reads = shop.world.store.read();
    for hours in 0..100 {
        let at = shop.start.plus(HOUR * hours);
        let trial = by_day::trial_balance_by_day(&mut reads, shop.world.workspace, at).await.unwrap();
        for unit in &trial.units {
            assert_eq!(unit.debits, unit.credits, "after {hours} hours");
            for row in &unit.rows {
                let balance = by_day::balance_at(&mut reads, shop.world.workspace, &row.account, at).await.unwrap();
                assert_eq!(row.account.balance(&row.totals), balance, "{} after {hours} hours", row.account.code);
            }
        }
        let counted = shop.expected(&shop.account(shop.cash).await).await.iter().any(|(place, balance)| place.at <= at && *balance != 0);
        assert!(trial.units.len() == 1 || !counted, "after {hours} hours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_is_sealed_by_the_block_that_its_position_lies_in() {
    let shop = Shop::new(3, 10).await;
    let mut reads = shop.world.store.read();
    let workspace = shop.world.workspace;
    let early = queries::transfer(&mut reads, workspace, trf(1)).await.unwrap().unwrap();
    let first = by_day::seal_of(&mut reads, workspace, &early).await.unwrap().expect("it is booked");
    assert_eq!(first.number, 1);
    let late = NewTransfer::exactly(trf(9_999), shop.cash, shop.sales, unit("EUR"), 5);
    shop.world.post(vec![late]).await;
    let late = queries::transfer(&mut reads, workspace, trf(9_999)).await.unwrap().unwrap();
    assert_eq!(by_day::seal_of(&mut reads, workspace, &late).await.unwrap(), None, "nothing has sealed it yet");
    shop.world.book().await;
    let second = by_day::seal_of(&mut reads, workspace, &late).await.unwrap().expect("it is booked");
    assert_eq!((second.number, second.last_position), (2, first.last_position + 1));
    assert_eq!(by_day::seal_of(&mut reads, workspace, &early).await.unwrap(), Some(first));
}
