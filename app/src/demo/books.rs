//! A year in the books of the demonstration workspace: a grocery that sells at the counter, pays its suppliers, owes tax, keeps
//! wallets and points for its customers, and changes a little money.
//!
//! It is recorded at the first start, because that is when it is recorded; it counts from the days of the year before.

use std::time::Duration;

use kernel::{Caller, Rounding, Timestamp, WorkspaceId};
use ledger::commands::{Conversion, Rate, convert};
use ledger::{
    Account, AccountCode, AccountId, AccountKind, Action, Ask, EntryId, Limits, NewAccount, NewTransfer, TransferId, Unit, ensure,
};
use store::{Store, Tx};

use super::{DemonstrationError, said};

static SEED: Caller = Caller::system("demonstration");
/// Weeks of the year.
const WEEKS: u32 = 52;
/// Transfers of one unit of work: it holds the writer for some milliseconds.
const BATCH: usize = 200;
/// Code, name, kind, unit.
const ACCOUNTS: &[(&str, &str, AccountKind, &str)] = &[
    ("bank.eur", "Bank account", AccountKind::Asset, "EUR"),
    ("bank.usd", "Dollar account", AccountKind::Asset, "USD"),
    ("cash.till.eur", "Cash in the till", AccountKind::Asset, "EUR"),
    ("clearing.cards.eur", "Card payments on their way", AccountKind::Asset, "EUR"),
    ("equity.owner.eur", "Owner's capital", AccountKind::Equity, "EUR"),
    ("expense.goods.eur", "Goods bought", AccountKind::Expense, "EUR"),
    ("expense.goods.usd", "Goods bought abroad", AccountKind::Expense, "USD"),
    ("expense.fees.eur", "Fees of card payments", AccountKind::Expense, "EUR"),
    ("expense.rent.eur", "Rent", AccountKind::Expense, "EUR"),
    ("loyalty.given", "Points given to customers", AccountKind::Expense, "points.grocery"),
    ("sales.bakery.eur", "Sales of the bakery counter", AccountKind::Income, "EUR"),
    ("sales.groceries.eur", "Sales of groceries", AccountKind::Income, "EUR"),
    ("vat.payable.eur", "Value added tax to be paid", AccountKind::Liability, "EUR"),
];
/// Whose wallets there are: kind, identifier, name.
const HOLDERS: [(&str, &str, &str); 3] =
    [("customer", "mara", "Mara Lindqvist"), ("customer", "jonas", "Jonas Achterberg"), ("merchant", "market-hall", "Νίκος, market hall")];

/// Something that happened: what is posted of it together.
struct Event {
    at: Timestamp,
    what: What,
}

enum What {
    Transfers(Vec<NewTransfer>),
    Conversion(Conversion),
}

/// The accounts and wallets, by their places in the tables above.
struct Books {
    accounts: Vec<Account>,
    wallets: Vec<Account>,
    points: Vec<Account>,
}

impl Books {
    fn of(&self, code: &str) -> Result<&Account, DemonstrationError> {
        let found = self.accounts.iter().find(|account| account.code.as_str() == code);
        found.ok_or_else(|| DemonstrationError(format!("there is no account {code}")))
    }
}

/// Opens the accounts and posts the year.
pub(super) async fn fill(store: &Store, workspace: WorkspaceId) -> Result<(), DemonstrationError> {
    let now = store.clock().now();
    let written = store.write(&SEED, (workspace, now), |tx, (workspace, now)| {
        Box::pin(async move {
            let books = open(tx, workspace).await?;
            Year { books: &books, tx, now, word: 2_026, events: Vec::new() }.written()
        })
    });
    let mut events = written.await?;
    events.sort_by_key(|event| event.at);
    let mut batch: Vec<NewTransfer> = Vec::new();
    for event in events {
        match event.what {
            What::Transfers(transfers) => batch.extend(transfers),
            What::Conversion(asked) => {
                let done = store.write(&SEED, (workspace, asked), |tx, (workspace, asked)| {
                    Box::pin(async move { convert(tx, workspace, asked).await.map_err(said) })
                });
                done.await?;
            }
        }
        if batch.len() >= BATCH {
            post(store, workspace, std::mem::take(&mut batch)).await?;
        }
    }
    post(store, workspace, batch).await
}

async fn post(store: &Store, workspace: WorkspaceId, batch: Vec<NewTransfer>) -> Result<(), DemonstrationError> {
    let posted = store.write(&SEED, (workspace, batch), |tx, (workspace, batch)| {
        Box::pin(async move { ledger::post_batch(tx, workspace, batch).await.map_err(said) })
    });
    match posted.await?.iter().find(|row| !row.outcome.stands()) {
        Some(row) => Err(DemonstrationError(format!("a transfer was refused: {}", row.outcome.as_str()))),
        None => Ok(()),
    }
}

async fn open(tx: &mut Tx, workspace: WorkspaceId) -> Result<Books, DemonstrationError> {
    let mut books = Books { accounts: Vec::new(), wallets: Vec::new(), points: Vec::new() };
    for (code, name, kind, unit) in ACCOUNTS {
        let new = NewAccount {
            code: AccountCode::parse(code).map_err(said)?,
            name: (*name).to_owned(),
            kind: *kind,
            unit: Unit::parse(unit).map_err(said)?,
            limits: Limits::None,
            metadata: None,
        };
        books.accounts.push(ensure(tx, workspace, new).await.map_err(said)?);
    }
    for (kind, id, name) in HOLDERS {
        let owner = ledger::Owner { kind: kind.to_owned(), id: id.to_owned() };
        let unit = |text: &str| Unit::parse(text).map_err(said);
        books.wallets.push(ledger::wallet(tx, workspace, &owner, unit("EUR")?, format!("Wallet of {name}")).await.map_err(said)?);
        if kind == "customer" {
            let named = format!("Points of {name}");
            books.points.push(ledger::wallet(tx, workspace, &owner, unit("points.grocery")?, named).await.map_err(said)?);
        }
    }
    Ok(books)
}

/// The year while it is written.
struct Year<'a> {
    books: &'a Books,
    tx: &'a mut Tx,
    now: Timestamp,
    word: u64,
    events: Vec<Event>,
}

impl Year<'_> {
    /// A number from `low` up to `high`, the same ones at every first start.
    fn draw(&mut self, low: i64, high: i64) -> i64 {
        self.word = self.word.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        low + (self.word >> 33) as i64 % (high - low + 1)
    }

    /// An hour of a day that is so many days ago.
    fn at(&self, days_ago: u32, hour: u64) -> Timestamp {
        let midnight = Timestamp::from_micros(self.now.day() * 86_400_000_000);
        midnight.minus(Duration::from_secs(u64::from(days_ago) * 86_400)).plus(Duration::from_secs(hour * 3_600))
    }

    fn transfer(&mut self, debit: AccountId, credit: AccountId, unit: &Unit, amount: i64) -> NewTransfer {
        NewTransfer::exactly(self.tx.new_id::<TransferId>(), debit, credit, unit.clone(), amount)
    }

    /// What belongs together: one source, one day, a memo, and an entry where there are several.
    fn happen(&mut self, at: Timestamp, source: &str, memo: &str, mut transfers: Vec<NewTransfer>) {
        let entry = (transfers.len() > 1).then(|| self.tx.new_id::<EntryId>());
        let last = transfers.len().saturating_sub(1);
        for (index, transfer) in transfers.iter_mut().enumerate() {
            transfer.effective_at = Some(at);
            transfer.source = Some(source.to_owned());
            transfer.memo = Some(memo.to_owned());
            transfer.entry = entry;
            transfer.linked = index < last;
        }
        self.events.push(Event { at, what: What::Transfers(transfers) });
    }

    fn simple(
        &mut self,
        at: Timestamp,
        (debit, credit): (&str, &str),
        amount: i64,
        source: &str,
        memo: &str,
    ) -> Result<(), DemonstrationError> {
        let (debit, credit) = (self.books.of(debit)?, self.books.of(credit)?);
        let transfer = self.transfer(debit.id, credit.id, &debit.unit, amount);
        self.happen(at, source, memo, vec![transfer]);
        Ok(())
    }

    /// A sale with its tax of seven per cent, as one entry.
    fn sale(&mut self, at: Timestamp, into: &str, of: &str, net: i64, source: &str, memo: &str) -> Result<i64, DemonstrationError> {
        let (into, of, tax) = (self.books.of(into)?, self.books.of(of)?, self.books.of("vat.payable.eur")?);
        let vat = net * 7 / 100;
        let transfers = vec![self.transfer(into.id, of.id, &into.unit, net), self.transfer(into.id, tax.id, &into.unit, vat)];
        self.happen(at, source, memo, transfers);
        Ok(net + vat)
    }

    fn written(mut self) -> Result<Vec<Event>, DemonstrationError> {
        self.simple(self.at(364, 8), ("bank.eur", "equity.owner.eur"), 2_500_000, "bank:opening", "Paid in by the owner")?;
        for week in 0..WEEKS {
            self.week(week)?;
            if week % 4 == 1 {
                self.month(week)?;
            }
        }
        self.once()?;
        Ok(self.events)
    }

    fn week(&mut self, week: u32) -> Result<(), DemonstrationError> {
        let days_ago = 7 * (WEEKS - week);
        let mut cards = 0;
        for (day, weight) in [(0, 9), (2, 10), (5, 16)] {
            let net = self.draw(52_000, 78_000) * weight / 10;
            let source = format!("till:z-{:04}", week * 10 + day);
            cards += self.sale(
                self.at(days_ago - day, 19),
                "clearing.cards.eur",
                "sales.groceries.eur",
                net,
                &source,
                "Groceries, paid by card",
            )?;
        }
        let net = self.draw(21_000, 34_000);
        let source = format!("till:z-{:04}", week * 10 + 6);
        let cash =
            self.sale(self.at(days_ago - 5, 20), "cash.till.eur", "sales.bakery.eur", net, &source, "Bread and cakes, paid in cash")?;
        let source = format!("settlement:{:03}", week + 1);
        let fee = cards * 14 / 1_000;
        let (bank, fees, clearing) = (self.books.of("bank.eur")?, self.books.of("expense.fees.eur")?, self.books.of("clearing.cards.eur")?);
        let (paid, kept) =
            (self.transfer(bank.id, clearing.id, &bank.unit, cards - fee), self.transfer(fees.id, clearing.id, &bank.unit, fee));
        // The cards of the last week are still on their way.
        if week + 1 < WEEKS {
            self.happen(self.at(days_ago - 6, 9), &source, "Card payments of the week, less fees", vec![paid, kept]);
        }
        let goods = self.draw(118_000, 152_000);
        let supplier = ["Dairy and eggs", "Fruit and vegetables", "Flour, yeast and salt", "Dry goods for the shelves"][week as usize % 4];
        self.simple(self.at(days_ago - 1, 7), ("expense.goods.eur", "bank.eur"), goods, &format!("invoice:{}", 4_100 + week), supplier)?;
        if week % 2 == 1 {
            self.simple(
                self.at(days_ago - 6, 17),
                ("bank.eur", "cash.till.eur"),
                cash / 100 * 100,
                &format!("deposit:{week:02}"),
                "Takings brought to the bank",
            )?;
        }
        Ok(())
    }

    fn month(&mut self, week: u32) -> Result<(), DemonstrationError> {
        let (days_ago, number) = (7 * (WEEKS - week) - 3, week / 4 + 1);
        self.simple(self.at(days_ago, 6), ("expense.rent.eur", "bank.eur"), 96_000, &format!("rent:{number:02}"), "Rent of the shop")?;
        if number % 3 == 0 {
            self.simple(
                self.at(days_ago, 10),
                ("vat.payable.eur", "bank.eur"),
                160_000,
                &format!("tax:q{}", number / 3),
                "Value added tax of the quarter",
            )?;
        }
        let (books, cash, sales, given) =
            (self.books, self.books.of("bank.eur")?, self.books.of("sales.groceries.eur")?, self.books.of("loyalty.given")?);
        for (index, wallet) in books.wallets.iter().enumerate() {
            let top_up = self.draw(30, 60) * 100;
            let (first, second) = (self.draw(800, 1_400), self.draw(600, 1_300));
            let load = self.transfer(cash.id, wallet.id, &wallet.unit, top_up);
            self.happen(self.at(days_ago, 11), &format!("top_up:{number:02}-{index}"), "Wallet topped up", vec![load]);
            for (day, spent) in [(1, first), (3, second)] {
                let order = format!("order:{}", 2_000 + week * 10 + day * 3 + index as u32);
                let mut parts = vec![self.transfer(wallet.id, sales.id, &wallet.unit, spent)];
                if let Some(points) = books.points.get(index) {
                    parts.push(self.transfer(given.id, points.id, &points.unit, spent / 100));
                }
                self.happen(self.at(days_ago - day, 15), &order, "Paid from the wallet", parts);
            }
        }
        Ok(())
    }

    /// What happens now and then.
    fn once(&mut self) -> Result<(), DemonstrationError> {
        self.simple(
            self.at(141, 16),
            ("sales.groceries.eur", "bank.eur"),
            2_380,
            "refund:1182",
            "Refund: the milk was sour, receipt 1182",
        )?;
        self.simple(
            self.at(77, 12),
            ("sales.bakery.eur", "cash.till.eur"),
            1_150,
            "refund:1460",
            "Refund: a birthday cake was not fetched",
        )?;
        let (dollars, euros) = (self.books.of("bank.usd")?.id, self.books.of("bank.eur")?.id);
        for (number, days_ago, amount, rate) in [(1, 250, 180_000, "0.9231"), (2, 66, 120_000, "0.9107")] {
            let asked = Conversion {
                ids: [self.tx.new_id(), self.tx.new_id()],
                from: dollars,
                to: euros,
                amount,
                rate: Rate::parse(rate).map_err(said)?,
                rounding: Rounding::HalfEven,
                effective_at: Some(self.at(days_ago, 13)),
                source: format!("exchange:{number}"),
                memo: Some("Dollars bought for olive oil".to_owned()),
            };
            self.events.push(Event { at: self.at(days_ago, 13), what: What::Conversion(asked) });
            let paid = amount - self.draw(10_000, 30_000);
            let source = format!("invoice:us-{number}");
            self.simple(self.at(days_ago - 4, 13), ("expense.goods.usd", "bank.usd"), paid, &source, "Olive oil, two pallets")?;
        }
        let spent = self.books.points.first().map(|points| points.id);
        if let Some(points) = spent {
            let given = self.books.of("loyalty.given")?;
            let used = self.transfer(points, given.id, &given.unit, 60);
            self.happen(self.at(30, 15), "reward:17", "Points for a loaf of bread", vec![used]);
        }
        self.promises()
    }

    /// What was promised: one kept in part, one let go, two still open.
    fn promises(&mut self) -> Result<(), DemonstrationError> {
        let sales = self.books.of("sales.groceries.eur")?;
        let deals = [
            (0, 40, 1_600, "Basket for Saturday"),
            (1, 33, 900, "Party platter"),
            (0, 0, 700, "Basket for this week"),
            (2, 0, 500, "Ten crates, back on Friday"),
        ];
        for (number, (holder, days_ago, amount, memo)) in deals.into_iter().enumerate() {
            let Some(wallet) = self.books.wallets.get(holder) else { continue };
            let source = format!("order:{}", 3_001 + number);
            let hold = self.tx.new_id::<TransferId>();
            let ask = Ask::Exactly(amount);
            let action = Action::Hold { debit: wallet.id, credit: sales.id, unit: wallet.unit.clone(), ask, expires_at: None };
            let at = self.at(days_ago, 8).min(self.now);
            self.happen(at, &source, memo, vec![NewTransfer::new(hold, action)]);
            let end = match number {
                0 => Action::PostPending { pending: hold, amount: Some(1_420) },
                1 => Action::VoidPending { pending: hold },
                _ => continue,
            };
            let (id, memo) = (self.tx.new_id::<TransferId>(), if number == 0 { "Basket fetched" } else { "Platter called off" });
            self.happen(self.at(days_ago - 3, 17), &source, memo, vec![NewTransfer::new(id, end)]);
        }
        Ok(())
    }
}
