//! Reading the books: statements, balances at past times, the trial balance, versions.

use std::time::Duration;

use kernel::{Id, RawId, Timestamp};
use ledger::queries::{self, AccountFilter, Dating, Line, Period, Version};
use ledger::{
    Account, AccountCode, AccountId, AccountKind, Action, Ask, EntryId, LedgerError, Limits, NewTransfer, Outcome, Side, TransferId,
};
use store::Sql;

use crate::world::{CALLER, World, trf, unit, workspace};

/// Positions of an epoch.
const EPOCH: i64 = 1 << 12;

/// A block that ends at $2, as if everything before had been posted: what is posted next crosses into a new epoch.
static JUMP: Sql = Sql::new(
    "insert into ledger_blocks (workspace, number, first_position, last_position, era, first_xid, first_seq, last_xid, last_seq,
       booked_at, leaves, hash) select b.workspace, b.number + 1, b.last_position + 1, $2, b.era, b.last_xid, b.last_seq, b.last_xid,
       b.last_seq, b.booked_at, b.leaves, b.hash from ledger_blocks b where b.workspace = $1 order by b.number desc limit 1",
);

struct Books {
    world: World,
    cash: AccountId,
    sales: AccountId,
    next: u128,
}

impl Books {
    async fn new() -> Self {
        let world = World::new().await;
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        let sales = world.open("sales", AccountKind::Income, Limits::None).await;
        Self { world, cash, sales, next: 1 }
    }

    fn sale(&mut self, amount: i64) -> NewTransfer {
        self.next += 1;
        NewTransfer::exactly(trf(self.next), self.cash, self.sales, unit("EUR"), amount)
    }

    /// Sells a second after what was before, and books it.
    async fn sell(&mut self, amount: i64) -> Timestamp {
        self.world.store.clock().advance(Duration::from_secs(1));
        let sale = self.sale(amount);
        let id = sale.id;
        assert_eq!(self.world.codes(vec![sale]).await, [Outcome::Created]);
        self.book(id).await;
        self.world.store.clock().now()
    }

    /// Brings the books up to a transfer. On a server that others use too their open transactions may hold them up.
    async fn book(&self, last: TransferId) {
        let mut reads = self.world.store.read();
        let wanted = queries::version_of(&mut reads, self.world.workspace, last).await.unwrap();
        while queries::version(&mut reads).await.unwrap() < wanted {
            self.world.book().await;
        }
    }

    /// The next transfer is booked at `position`.
    async fn jump_to(&self, position: i64) {
        // Positions without transfers are what a verification would find.
        self.world.is_damaged(true);
        let own = self.world.workspace.raw().bits().to_be_bytes();
        let jumped = self.world.store.write(&CALLER, (own, position - 1), |tx, (own, last)| {
            Box::pin(async move { tx.execute(&JUMP, &[store::P::Bytes(own.to_vec().into()), store::P::Int(last)]).await })
        });
        assert_eq!(jumped.await.unwrap(), 1);
    }

    /// Sales at the ends and beginnings of epochs, of which one has none and one only sales of somebody else.
    async fn across_epochs(&mut self) -> Vec<(i64, Timestamp)> {
        let mut sold = vec![(1, self.sell(1).await), (2, self.sell(2).await)];
        for position in [EPOCH - 1, EPOCH, EPOCH + 1, 3 * EPOCH - 1, 3 * EPOCH, 5 * EPOCH + 7] {
            if position != sold.last().unwrap().0 + 1 {
                self.jump_to(position).await;
            }
            sold.push((position, self.sell(position).await));
        }
        self.jump_to(6 * EPOCH).await;
        let (fees, bank) = (
            self.world.open("fees", AccountKind::Expense, Limits::None).await,
            self.world.open("bank", AccountKind::Asset, Limits::None).await,
        );
        self.world.codes(vec![NewTransfer::exactly(trf(9_999), fees, bank, unit("EUR"), 3)]).await;
        self.book(trf(9_999)).await;
        self.jump_to(7 * EPOCH + 1).await;
        sold.push((7 * EPOCH + 1, self.sell(9).await));
        sold
    }

    async fn account(&self, id: AccountId) -> Account {
        queries::account(&mut self.world.store.read(), self.world.workspace, id).await.unwrap()
    }

    async fn back(&self, period: Period, before: Option<i64>, limit: u32) -> Vec<Line> {
        queries::statement(&mut self.world.store.read(), self.world.workspace, self.cash, &period, before, limit).await.unwrap()
    }

    async fn forward(&self, period: Period, after: Option<i64>, limit: u32) -> Vec<Line> {
        queries::statement_forward(&mut self.world.store.read(), self.world.workspace, self.cash, &period, after, limit).await.unwrap()
    }

    async fn debits_at(&self, at: Timestamp, dating: Dating) -> i128 {
        let cash = self.account(self.cash).await;
        queries::totals_at(&mut self.world.store.read(), self.world.workspace, &cash, at, dating).await.unwrap().debits_posted
    }

    async fn trial(&self, at: Option<Timestamp>) -> queries::TrialBalance {
        queries::trial_balance(&mut self.world.store.read(), self.world.workspace, at).await.unwrap()
    }
}

fn positions(lines: &[Line]) -> Vec<i64> {
    lines.iter().map(|line| line.position).collect()
}

#[tokio::test]
async fn a_statement_is_paged_both_ways_across_epochs_and_stays_while_others_post() {
    let mut books = Books::new().await;
    let sold: Vec<i64> = books.across_epochs().await.into_iter().map(|(position, _)| position).collect();
    for limit in [1, 2, 3, 100] {
        let (mut back, mut before) = (Vec::new(), None);
        loop {
            let page = books.back(Period::default(), before, limit).await;
            let Some(last) = page.last() else { break };
            before = Some(last.position);
            back.extend(page);
            // What is posted meanwhile comes above, and changes no page.
            books.sell(1).await;
        }
        let mut forward: Vec<Line> = Vec::new();
        loop {
            let page = books.forward(Period::default(), forward.last().map(|line| line.position), limit).await;
            if page.is_empty() {
                break;
            }
            forward.extend(page);
        }
        assert_eq!(positions(&forward[..sold.len()]), sold, "{limit}");
        back.reverse();
        assert_eq!(forward[..back.len()], back, "{limit}");
        let mut debits = 0;
        for line in forward {
            debits += i128::from(line.transfer.amount);
            assert_eq!((line.side, line.after.debits_posted), (Side::Debit, debits));
        }
    }
    let ids: Vec<_> = (1..=20).map(|before| (before, before - 1)).collect();
    for (before, newest) in ids {
        let expected: Vec<i64> = sold.iter().copied().filter(|position| *position <= newest).rev().take(1).collect();
        assert_eq!(positions(&books.back(Period::default(), Some(before), 1).await), expected, "any number may come as a cursor");
    }
}

#[tokio::test]
async fn a_period_begins_at_its_first_instant_and_ends_before_its_last() {
    let mut books = Books::new().await;
    let sold = books.across_epochs().await;
    for from in 0..sold.len() {
        for until in from..sold.len() {
            let period = Period { from: Some(sold[from].1), until: Some(sold[until].1) };
            let expected: Vec<i64> = sold[from..until].iter().map(|(position, _)| *position).collect();
            assert_eq!(positions(&books.forward(period, None, 100).await), expected, "{from} {until}");
            let mut back = positions(&books.back(period, None, 100).await);
            back.reverse();
            assert_eq!(back, expected, "{from} {until}");
        }
    }
    let later = Period { from: Some(books.world.store.clock().now().plus(Duration::from_secs(1))), until: None };
    assert_eq!(books.forward(later, None, 10).await, []);
    assert_eq!(books.back(later, None, 10).await, []);
}

#[tokio::test]
async fn several_transfers_of_one_block_are_told_apart_by_time() {
    let mut books = Books::new().await;
    books.sell(1).await;
    books.jump_to(EPOCH - 2).await;
    let mut sold = Vec::new();
    for amount in 10..15 {
        books.world.store.clock().advance(Duration::from_secs(1));
        let sale = books.sale(amount);
        books.world.codes(vec![sale]).await;
        sold.push(books.world.store.clock().now());
    }
    // On SQLite one block over two epochs.
    books.book(trf(books.next)).await;
    for (count, until) in sold.iter().enumerate() {
        let period = Period { from: Some(sold[0]), until: Some(*until) };
        assert_eq!(books.back(period, None, 10).await.len(), count);
        assert_eq!(books.forward(period, None, 10).await.len(), count);
        let sum: i64 = 1 + (10..15).take(count + 1).sum::<i64>();
        assert_eq!(books.debits_at(*until, Dating::Booked).await, i128::from(sum));
        assert_eq!(books.trial(Some(*until)).await.units[0].debits, i128::from(sum));
    }
}

#[tokio::test]
async fn a_balance_at_a_past_time_is_what_stood_there_then() {
    let mut books = Books::new().await;
    assert_eq!(books.debits_at(books.world.store.clock().now(), Dating::Booked).await, 0);
    let sold = books.across_epochs().await;
    let mut debits = 0;
    let tick = Duration::from_micros(1);
    for (position, at) in &sold {
        assert_eq!(books.debits_at(at.minus(tick), Dating::Booked).await, debits, "before {position}");
        let trial = books.trial(Some(at.minus(tick))).await;
        assert_eq!(trial.units.first().map_or(0, |unit| unit.rows.iter().map(|row| row.totals.debits_posted).max().unwrap()), debits);
        debits = books.back(Period::default(), Some(position + 1), 1).await[0].after.debits_posted;
        assert_eq!(books.debits_at(*at, Dating::Booked).await, debits, "at {position}");
        assert_eq!(books.debits_at(at.plus(tick), Dating::Effective).await, debits, "at {position}, by the day");
    }
}

#[tokio::test]
async fn a_transfer_counts_from_its_effective_day_for_whoever_asks_by_that() {
    let mut books = Books::new().await;
    let start = books.world.store.clock().now();
    let day = Duration::from_secs(86_400);
    for (number, (amount, shift)) in [(ledger::AMOUNT_MAX, 2), (ledger::AMOUNT_MAX, 2), (5, 1)].into_iter().enumerate() {
        books.world.store.clock().advance(day);
        let mut sale = books.sale(amount);
        // The first is booked on day 1 and counts from day 3, the second from day 2 on day 0, the third from day 3 on day 4.
        sale.effective_at = Some(match number {
            0 => start.plus(day * 3),
            1 => start,
            _ => start.plus(day * (3 + shift)),
        });
        let id = sale.id;
        books.world.codes(vec![sale]).await;
        books.book(id).await;
    }
    books.world.store.clock().advance(day * 2);
    let max = i128::from(ledger::AMOUNT_MAX);
    let expected = [(0, 0, max), (1, max, max), (2, 2 * max, max), (3, 2 * max + 5, 2 * max), (4, 2 * max + 5, 2 * max + 5)];
    for (after, booked, effective) in expected {
        let at = start.plus(day * after);
        assert_eq!(books.debits_at(at, Dating::Booked).await, booked, "day {after}");
        assert_eq!(books.debits_at(at, Dating::Effective).await, effective, "day {after}");
    }
}

#[tokio::test]
async fn the_trial_balance_is_zero_in_every_unit_and_at_every_time() {
    let mut books = Books::new().await;
    let sold = books.across_epochs().await;
    let points = books.world.try_open("points.pool", AccountKind::Equity, "points.bakery", Limits::None).await.unwrap().id;
    let wallet = books.world.try_open("points.c1", AccountKind::Liability, "points.bakery", Limits::DebitsWithinCredits).await.unwrap().id;
    books.world.codes(vec![NewTransfer::exactly(trf(70_000), points, wallet, unit("points.bakery"), 40)]).await;
    assert_eq!(books.trial(None).await.units.len(), 1, "what is not booked is not there");
    books.book(trf(70_000)).await;
    let trial = books.trial(None).await;
    let codes: Vec<Vec<&str>> = trial.units.iter().map(|unit| unit.rows.iter().map(|row| row.account.code.as_str()).collect()).collect();
    assert_eq!(codes, [vec!["bank", "cash", "sales", "fees"], vec!["points.c1", "points.pool"]]);
    let total = |unit: &queries::TrialUnit| unit.rows.iter().map(|row| row.totals.debits_posted - row.totals.credits_posted).sum::<i128>();
    for at in sold.iter().map(|(_, at)| Some(*at)).chain([None]) {
        for unit in books.trial(at).await.units {
            assert_eq!((unit.debits, total(&unit)), (unit.credits, 0));
            assert!(unit.debits > 0);
        }
    }
    assert_eq!(trial.version, queries::version(&mut books.world.store.read()).await.unwrap());
    let nobody = queries::trial_balance(&mut books.world.store.read(), workspace(2), None).await.unwrap();
    assert_eq!(nobody.units, []);
}

#[tokio::test]
async fn accounts_are_listed_by_code_with_what_stands_on_them_now() {
    let mut books = Books::new().await;
    let wallet = books.world.open("wallet.c1", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let other = books.world.open("wallet_c2", AccountKind::Liability, Limits::None).await;
    books.world.try_open("zloty", AccountKind::Asset, "PLN", Limits::None).await.unwrap();
    books.sell(10).await;
    let unbooked = vec![
        books.sale(5),
        NewTransfer::exactly(trf(500), books.cash, wallet, unit("EUR"), 7),
        NewTransfer::exactly(trf(501), books.cash, other, unit("EUR"), 8),
    ];
    books.world.codes(unbooked).await;
    let mut reads = books.world.store.read();
    let own = books.world.workspace;
    let list = async |filter: AccountFilter, after: Option<&str>, limit: u32| {
        let after = after.map(|code| AccountCode::parse(code).unwrap());
        queries::accounts(&mut books.world.store.read(), own, &filter, after.as_ref(), limit).await.unwrap()
    };
    let codes = |accounts: &[Account]| accounts.iter().map(|account| account.code.as_str().to_owned()).collect::<Vec<_>>();
    let all = list(AccountFilter::default(), None, 100).await;
    assert_eq!(codes(&all), ["cash", "sales", "wallet.c1", "wallet_c2", "zloty"]);
    assert_eq!(codes(&list(AccountFilter::default(), Some("sales"), 2).await), ["wallet.c1", "wallet_c2"]);
    let filter = |change: fn(&mut AccountFilter)| {
        let mut filter = AccountFilter::default();
        change(&mut filter);
        filter
    };
    assert_eq!(codes(&list(filter(|f| f.code_prefix = Some("wallet.".into())), None, 9).await), ["wallet.c1"]);
    assert_eq!(codes(&list(filter(|f| f.kind = Some(AccountKind::Liability)), None, 9).await), ["wallet.c1", "wallet_c2"]);
    assert_eq!(codes(&list(filter(|f| f.unit = Some(unit("PLN"))), None, 9).await), ["zloty"]);
    assert_eq!(list(filter(|f| f.is_open = Some(true)), None, 9).await.len(), 5);
    assert_eq!(list(filter(|f| f.is_open = Some(false)), None, 9).await, []);
    for _ in 0..2 {
        let totals = queries::totals_of(&mut reads, own, &all).await.unwrap();
        assert_eq!(totals.len(), all.len());
        for account in &all {
            assert_eq!(totals[&account.id], queries::totals(&mut reads, own, account).await.unwrap(), "{}", account.code);
        }
        assert_eq!((totals[&books.cash].debits_posted, totals[&wallet].credits_posted), (30, 7));
        books.book(trf(501)).await;
    }
}

#[tokio::test]
async fn an_entry_a_source_and_what_resolved_a_promise_are_found() {
    let mut books = Books::new().await;
    let entry = EntryId::from_raw(RawId::from_bits(5));
    let mut batch: Vec<NewTransfer> = (0..3).map(|_| books.sale(4)).collect();
    for new in &mut batch {
        new.entry = Some(entry);
        new.source = Some("order:ord_1".into());
    }
    let hold = Action::Hold { debit: books.cash, credit: books.sales, unit: unit("EUR"), ask: Ask::Exactly(9), expires_at: None };
    batch.push(NewTransfer::new(trf(800), hold));
    let ids: Vec<TransferId> = batch.iter().map(|new| new.id).collect();
    books.world.codes(batch).await;
    let (mut reads, own) = (books.world.store.read(), books.world.workspace);
    let found = queries::entry(&mut reads, own, entry).await.unwrap();
    assert_eq!(found.iter().map(|transfer| transfer.id).collect::<Vec<_>>(), ids[..3]);
    assert_eq!(queries::transfers_of_source(&mut reads, own, "order:ord_1", 2).await.unwrap(), found[..2]);
    assert!(matches!(queries::entry(&mut reads, workspace(2), entry).await, Err(LedgerError::NotFound { .. })));
    assert_eq!(queries::resolution(&mut reads, own, trf(800)).await.unwrap(), None);
    books.world.codes(vec![NewTransfer::new(trf(801), Action::VoidPending { pending: trf(800) })]).await;
    assert_eq!(queries::resolution(&mut reads, own, trf(800)).await.unwrap().map(|transfer| transfer.id), Some(trf(801)));
}

#[tokio::test]
async fn a_reader_waits_for_the_version_that_holds_what_it_wrote() {
    let mut books = Books::new().await;
    books.sell(1).await;
    let sale = books.sale(2);
    books.world.codes(vec![sale.clone()]).await;
    let mut reads = books.world.store.read();
    let written = queries::version_of(&mut reads, books.world.workspace, sale.id).await.unwrap();
    let seen = queries::version(&mut reads).await.unwrap();
    assert!(seen < written && written.to_string().parse::<Version>().unwrap() == written);
    let mut waiting = books.world.store.read();
    let (waited, _) = tokio::join!(queries::wait_for(&books.world.store, &mut waiting, written), books.book(sale.id));
    waited.unwrap();
    assert_eq!(queries::version(&mut reads).await.unwrap(), written);
    queries::wait_for(&books.world.store, &mut reads, seen).await.unwrap();
    let unknown = queries::version_of(&mut reads, workspace(2), sale.id).await;
    assert!(matches!(unknown, Err(LedgerError::NotFound { .. })));
}
