//! Random operations on the ledger and on the model of it: equal codes, amounts and totals after each, equal history at the end.
//!
//! `TESSERA_TEST_OPERATIONS` says how many transfers are asked for, `TESSERA_TEST_SEED` where to begin. A failure prints the
//! seed of its case and the few steps that are left of it once those that it does not need are taken out.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

use kernel::{Entropy, Id, RawId, Rounding, Timestamp, WorkspaceId};
use ledger::commands::{self, Conversion, Rate};
use ledger::judge::Judged;
use ledger::queries::{self, Dating, Period};
use ledger::verify::{Options, verify};
use ledger::{
    AMOUNT_MAX, Account, AccountCode, AccountId, AccountKind, Action, Ask, EntryId, LedgerError, Limits, NewAccount, NewTransfer, Outcome,
    Side, Totals, TransferId, TransferKind, keeper,
};
use serde_json::json;
use store::StoreError;
use store::testing::TestStore;

use crate::model::{Books, Holder};
use crate::world::{CALLER, trf, unit, workspace};

/// Transfers that one case asks for.
const CASE: u64 = 3_000;
const WORKSPACES: usize = 3;
/// Seconds since 1970 at the beginning of each case: 2026-01-31T09:30:00Z.
const START: i64 = 1_769_851_800;

/// The accounts of each workspace; those of one unit stand together.
const ACCOUNTS: [(&str, AccountKind, &str, Limits); 16] = [
    ("cash", AccountKind::Asset, "EUR", Limits::None),
    ("clearing", AccountKind::Asset, "EUR", Limits::None),
    ("sales", AccountKind::Income, "EUR", Limits::None),
    ("wallet.a", AccountKind::Liability, "EUR", Limits::DebitsWithinCredits),
    ("wallet.b", AccountKind::Liability, "EUR", Limits::DebitsWithinCredits),
    ("till", AccountKind::Asset, "EUR", Limits::CreditsWithinDebits),
    ("quiet.a", AccountKind::Expense, "EUR", Limits::None),
    ("quiet.b", AccountKind::Liability, "EUR", Limits::DebitsWithinCredits),
    ("exchange.eur", AccountKind::Equity, "EUR", Limits::None),
    ("cash.yen", AccountKind::Asset, "JPY", Limits::None),
    ("wallet.yen", AccountKind::Liability, "JPY", Limits::DebitsWithinCredits),
    ("exchange.jpy", AccountKind::Equity, "JPY", Limits::None),
    ("given", AccountKind::Expense, "points.bakery", Limits::None),
    ("points.a", AccountKind::Liability, "points.bakery", Limits::DebitsWithinCredits),
    ("points.b", AccountKind::Asset, "points.bakery", Limits::CreditsWithinDebits),
    ("exchange.points.bakery", AccountKind::Equity, "points.bakery", Limits::None),
];
/// An account that nobody opened.
const UNKNOWN: usize = ACCOUNTS.len();
const GROUPS: [std::ops::Range<usize>; 3] = [0..9, 9..12, 12..16];
const UNITS: [&str; 4] = ["EUR", "JPY", "points.bakery", "USD"];
/// Minor units in a major one, as a power of ten.
const EXPONENTS: [u32; 3] = [2, 0, 0];
const RATES: [(&str, i128, i128); 5] =
    [("1.0834", 10_834, 10_000), ("162.35", 16_235, 100), ("0.0061", 61, 10_000), ("1/3", 1, 3), ("13/12", 13, 12)];

/// What a transfer is to do, with accounts by their place in [`ACCOUNTS`] and times in seconds after the start.
#[derive(Debug, Clone)]
enum Act {
    Post { debit: usize, credit: usize, unit: usize, ask: Ask },
    Hold { debit: usize, credit: usize, unit: usize, ask: Ask, end: Option<i64> },
    PostPending { pending: u128, amount: Option<i64> },
    VoidPending { pending: u128 },
}

#[derive(Debug, Clone)]
struct Op {
    id: u128,
    act: Act,
    linked: bool,
    entry: Option<u128>,
    day: Option<i64>,
    source: Option<u64>,
    memo: Option<u64>,
    metadata: Option<u64>,
}

#[derive(Debug, Clone)]
enum Step {
    /// Batches of one unit; one that fails takes back what it posted.
    Unit {
        workspace: usize,
        batches: Vec<Vec<Op>>,
        fails: bool,
    },
    Convert {
        workspace: usize,
        ids: [u128; 2],
        from: usize,
        to: usize,
        amount: i64,
        rate: usize,
        rounding: Rounding,
    },
    Wait {
        seconds: u64,
    },
    Expire {
        workspace: usize,
        pending: u128,
    },
    Close {
        workspace: usize,
        account: usize,
    },
    Reopen {
        workspace: usize,
        account: usize,
    },
    Book,
    Restart,
}

/// Where random steps come from.
struct Dice {
    entropy: Entropy,
    now: i64,
    next: [u128; WORKSPACES],
    said: [Vec<Op>; WORKSPACES],
    held: [Vec<u128>; WORKSPACES],
}

impl Dice {
    fn new(seed: u64) -> Self {
        let said = [const { Vec::new() }; WORKSPACES];
        Self { entropy: Entropy::seeded(seed), now: 0, next: [0; WORKSPACES], said, held: [const { Vec::new() }; WORKSPACES] }
    }

    fn below(&self, bound: usize) -> usize {
        self.entropy.below(bound as u64) as usize
    }

    fn percent(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn one_of<T: Clone>(&self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn amount(&self) -> i64 {
        match self.below(100) {
            0 => self.one_of(&[0, -1, i64::MIN]),
            1 => self.one_of(&[AMOUNT_MAX + 1, i64::MAX]),
            2 => AMOUNT_MAX,
            3..30 => self.below(10) as i64 + 1,
            _ => self.below(2_000) as i64 + 1,
        }
    }

    fn ask(&self, debit: usize, credit: usize) -> Ask {
        let is = |account: usize, limits| ACCOUNTS.get(account).is_some_and(|(.., of)| *of == limits);
        match self.below(10) {
            0 | 1 if is(debit, Limits::DebitsWithinCredits) || self.percent(10) => Ask::UpToDebitLimit(self.amount()),
            0 | 2 if is(credit, Limits::CreditsWithinDebits) || self.percent(10) => Ask::UpToCreditLimit(self.amount()),
            _ => Ask::Exactly(self.amount()),
        }
    }

    fn accounts(&self) -> (usize, usize, usize) {
        if self.percent(3) {
            return (self.below(UNKNOWN + 1), self.below(UNKNOWN + 1), self.below(UNITS.len()));
        }
        let group = self.one_of(&[0, 0, 0, 1, 2]);
        let of = GROUPS[group].clone();
        let pick = |other: usize| loop {
            let account = of.start + self.below(of.len());
            // Quiet accounts are used so seldom that they can be closed now and then.
            let is_quiet = ACCOUNTS[account].0.starts_with("quiet") && !self.percent(10);
            if !is_quiet && (account != other || self.percent(5)) {
                return account;
            }
        };
        let unit = if self.percent(1) { self.below(UNITS.len()) } else { group };
        let debit = pick(UNKNOWN);
        (debit, pick(debit), unit)
    }

    /// A pending transfer of the workspace, most often a late one, or something that is none.
    fn pending(&self, workspace: usize) -> u128 {
        let held = &self.held[workspace];
        if held.is_empty() || self.percent(5) {
            return self.below(self.next[workspace] as usize + 3) as u128;
        }
        let late = held.len().min(12);
        if self.percent(80) { held[held.len() - 1 - self.below(late)] } else { self.one_of(held) }
    }

    fn act(&self, workspace: usize) -> Act {
        match self.below(100) {
            0..50 => {
                let (debit, credit, unit) = self.accounts();
                Act::Post { debit, credit, unit, ask: self.ask(debit, credit) }
            }
            50..72 => {
                let (debit, credit, unit) = self.accounts();
                let end = self.percent(50).then(|| self.now + self.below(200) as i64 - 5);
                Act::Hold { debit, credit, unit, ask: self.ask(debit, credit), end }
            }
            72..88 => {
                let amount = self.percent(50).then(|| self.amount());
                Act::PostPending { pending: self.pending(workspace), amount }
            }
            _ => Act::VoidPending { pending: self.pending(workspace) },
        }
    }

    fn words(&self) -> [Option<u64>; 3] {
        [(); 3].map(|()| self.percent(10).then(|| self.below(3) as u64))
    }

    fn op(&mut self, workspace: usize) -> Op {
        if !self.said[workspace].is_empty() && self.percent(8) {
            return self.again(workspace);
        }
        self.next[workspace] += 1;
        let [source, memo, metadata] = self.words();
        let op = Op {
            id: self.next[workspace],
            act: self.act(workspace),
            linked: self.percent(15),
            entry: self.percent(10).then(|| self.below(20) as u128 + 1),
            day: self.percent(15).then(|| self.now + self.below(400) as i64 - 200),
            source,
            memo,
            metadata,
        };
        if matches!(op.act, Act::Hold { .. }) {
            self.held[workspace].push(op.id);
        }
        self.said[workspace].push(op.clone());
        op
    }

    /// What was asked for before: the same, or with one thing changed.
    fn again(&self, workspace: usize) -> Op {
        let mut op = self.one_of(&self.said[workspace]);
        match self.below(14) {
            0 => op.act = self.act(workspace),
            1 => op.day = Some(self.now),
            2 => op.entry = Some(21),
            3 => op.source = Some(9),
            4 => op.memo = Some(9),
            5 => op.metadata = Some(9),
            6 | 8 | 9 => match &mut op.act {
                Act::Post { unit, .. } | Act::Hold { unit, .. } => *unit = self.below(UNITS.len()),
                Act::PostPending { pending, .. } | Act::VoidPending { pending } => *pending = self.pending(workspace),
            },
            7 => match &mut op.act {
                Act::Post { debit, credit, ask, .. } => *ask = self.ask(*debit, *credit),
                Act::Hold { end, .. } => *end = Some(self.now + 1_000),
                Act::PostPending { amount, .. } => *amount = Some(self.amount()),
                Act::VoidPending { pending } => *pending = self.pending(workspace),
            },
            _ => {}
        }
        op
    }

    fn step(&mut self) -> Step {
        let workspace = self.below(WORKSPACES);
        match self.below(1_000) {
            0..100 => {
                let seconds = self.below(60) as u64;
                self.now += seconds as i64;
                Step::Wait { seconds }
            }
            100..200 => Step::Expire { workspace, pending: self.pending(workspace) },
            200..290 => Step::Book,
            290..330 => Step::Close { workspace, account: if self.percent(90) { 6 + self.below(2) } else { self.below(UNKNOWN) } },
            330..370 => Step::Reopen { workspace, account: if self.percent(90) { 6 + self.below(2) } else { self.below(UNKNOWN) } },
            370..372 => Step::Restart,
            372..440 => {
                let ids = if self.next[workspace] > 2 && self.percent(10) {
                    [self.below(self.next[workspace] as usize) as u128, self.below(self.next[workspace] as usize) as u128]
                } else {
                    self.next[workspace] += 2;
                    [self.next[workspace] - 1, self.next[workspace]]
                };
                let rounding = self.one_of(&[Rounding::Down, Rounding::Up, Rounding::HalfUp, Rounding::HalfEven]);
                let (from, to, rate) = (self.below(UNKNOWN), self.below(UNKNOWN), self.below(RATES.len()));
                Step::Convert { workspace, ids, from, to, amount: self.amount(), rate, rounding }
            }
            _ => {
                let batches = (0..1 + self.below(3))
                    .map(|_| {
                        let most = self.one_of(&[1, 5, 20, 50, 50]);
                        (0..1 + self.below(most)).map(|_| self.op(workspace)).collect()
                    })
                    .collect();
                Step::Unit { workspace, batches, fails: self.percent(8) }
            }
        }
    }
}

/// Transfers that a step asks for.
fn size(step: &Step) -> u64 {
    match step {
        Step::Unit { batches, .. } => batches.iter().map(|batch| batch.len() as u64).sum(),
        Step::Convert { .. } => 2,
        _ => 0,
    }
}

fn steps_of(seed: u64) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let (mut steps, mut count) = (Vec::new(), 0);
    while count < CASE {
        let step = dice.step();
        count += size(&step);
        steps.push(step);
    }
    steps
}

/// A unit that posts and then fails: what was told before, or what the ledger refused.
#[derive(Debug)]
enum Failed {
    OnPurpose(Vec<Vec<Judged>>),
    Ledger(LedgerError),
}

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self::Ledger(error.into())
    }
}

impl From<LedgerError> for Failed {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

/// The ledger and the model of it.
struct Pair {
    store: TestStore,
    workspaces: Vec<WorkspaceId>,
    accounts: Vec<Vec<Account>>,
    books: Vec<Books>,
    seen: BTreeMap<Outcome, u64>,
}

fn equal<T: PartialEq + Debug>(what: &str, ledger: &T, model: &T) -> Result<(), String> {
    if ledger == model { Ok(()) } else { Err(format!("{what}: the ledger says {ledger:?}, the model {model:?}")) }
}

fn told(rows: &[Judged]) -> Vec<(Outcome, i64)> {
    rows.iter().map(|row| (row.outcome, row.amount)).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(START + seconds)
}

impl Pair {
    async fn new() -> Self {
        let store = store::testing::store().await;
        assert_eq!(store.clock().now(), at(0));
        let workspaces: Vec<WorkspaceId> = (1..=WORKSPACES as u128).map(workspace).collect();
        let (mut accounts, mut books) = (Vec::new(), Vec::new());
        for own in &workspaces {
            let opened = store.write(&CALLER, *own, |tx, own| {
                Box::pin(async move {
                    let mut opened = Vec::new();
                    for (code, kind, unit_text, limits) in ACCOUNTS {
                        let code = AccountCode::parse(code).unwrap();
                        let name = code.to_string();
                        let new = NewAccount { code, name, kind, unit: unit(unit_text), limits, metadata: None };
                        opened.push(ledger::open(tx, own, new).await?);
                    }
                    Ok::<_, LedgerError>(opened)
                })
            });
            let opened: Vec<Account> = opened.await.unwrap();
            let holder = |account: &Account| Holder { unit: account.unit.clone(), limits: account.limits, is_closed: false };
            let holders = opened.iter().map(|account| (account.id, holder(account))).collect();
            books.push(Books { accounts: holders, log: Vec::new() });
            accounts.push(opened);
        }
        Self { store, workspaces, accounts, books, seen: BTreeMap::new() }
    }

    fn account(&self, workspace: usize, account: usize) -> AccountId {
        self.accounts[workspace].get(account).map_or(AccountId::from_raw(RawId::from_bits(99)), |account| account.id)
    }

    fn build(&self, workspace: usize, op: &Op) -> NewTransfer {
        let account = |index| self.account(workspace, index);
        let action = match op.act {
            Act::Post { debit, credit, unit: name, ask } => {
                Action::Post { debit: account(debit), credit: account(credit), unit: unit(UNITS[name]), ask }
            }
            Act::Hold { debit, credit, unit: name, ask, end } => {
                Action::Hold { debit: account(debit), credit: account(credit), unit: unit(UNITS[name]), ask, expires_at: end.map(at) }
            }
            Act::PostPending { pending, amount } => Action::PostPending { pending: trf(pending), amount },
            Act::VoidPending { pending } => Action::VoidPending { pending: trf(pending) },
        };
        NewTransfer {
            linked: op.linked,
            entry: op.entry.map(|entry| EntryId::from_raw(RawId::from_bits(entry))),
            effective_at: op.day.map(at),
            source: op.source.map(|number| format!("order:{number}")),
            memo: op.memo.map(|number| format!("memo {number}, „Brötchen“")),
            metadata: op.metadata.map(|number| json!({ "till": number, "tags": ["a", null, true], "rate": "1.50" })),
            ..NewTransfer::new(trf(op.id), action)
        }
    }

    async fn run(&mut self, steps: &[Step]) -> Result<(), String> {
        for (index, step) in steps.iter().enumerate() {
            self.step(step).await.map_err(|what| format!("step {index}, {what}"))?;
        }
        self.compare_history().await
    }

    async fn step(&mut self, step: &Step) -> Result<(), String> {
        let now = self.store.clock().now();
        match step {
            Step::Wait { seconds } => self.store.clock().advance(Duration::from_secs(*seconds)),
            Step::Book => {
                keeper::catch_up(&self.store).await.map_err(|error| format!("booking: {error:?}"))?;
                for workspace in 0..WORKSPACES {
                    self.compare_totals(workspace).await?;
                }
            }
            Step::Restart => self.store.reopen().await,
            Step::Unit { workspace, batches, fails } => {
                let built: Vec<Vec<NewTransfer>> =
                    batches.iter().map(|batch| batch.iter().map(|op| self.build(*workspace, op)).collect()).collect();
                let input = (self.workspaces[*workspace], built.clone(), *fails);
                let answer = self.store.write(&CALLER, input, |tx, (own, batches, fails)| {
                    Box::pin(async move {
                        let mut rows = Vec::new();
                        for batch in batches {
                            rows.push(ledger::post_batch(tx, own, batch).await?);
                        }
                        if fails { Err(Failed::OnPurpose(rows)) } else { Ok(rows) }
                    })
                });
                let rows = match answer.await {
                    Ok(rows) | Err(Failed::OnPurpose(rows)) => rows,
                    Err(Failed::Ledger(error)) => return Err(format!("posting: {error:?}")),
                };
                let books = &mut self.books[*workspace];
                let before = books.log.len();
                for (batch, rows) in built.iter().zip(&rows) {
                    let expected = books.post(batch, now);
                    equal("codes and amounts", &told(rows), &expected)?;
                    for (outcome, _) in expected {
                        *self.seen.entry(outcome).or_default() += 1;
                    }
                }
                if *fails {
                    books.log.truncate(before);
                }
                self.compare_totals(*workspace).await?;
            }
            Step::Convert { workspace, ids, from, to, amount, rate, rounding } => {
                self.convert(*workspace, *ids, (*from, *to), *amount, *rate, *rounding, now).await?;
                self.compare_totals(*workspace).await?;
            }
            Step::Expire { workspace, pending } => self.expire(*workspace, trf(*pending), now).await?,
            Step::Close { workspace, account } => {
                let (own, id) = (self.workspaces[*workspace], self.account(*workspace, *account));
                let closed =
                    self.store.write(&CALLER, (own, id), |tx, (own, id)| Box::pin(async move { commands::close(tx, own, id).await })).await;
                let books = &mut self.books[*workspace];
                match (closed, books.is_empty_account(id)) {
                    (Ok(account), true) if account.closed_at.is_some() => {
                        books.accounts.get_mut(&id).ok_or("no such account")?.is_closed = true;
                    }
                    (Err(LedgerError::NotEmpty), false) => {}
                    (answer, is_empty) => return Err(format!("closing an account, empty: {is_empty}: {answer:?}")),
                }
            }
            Step::Reopen { workspace, account } => {
                let (own, id) = (self.workspaces[*workspace], self.account(*workspace, *account));
                let opened = self
                    .store
                    .write(&CALLER, (own, id), |tx, (own, id)| Box::pin(async move { commands::reopen(tx, own, id).await }))
                    .await;
                let is_open = opened.is_ok_and(|account| account.closed_at.is_none());
                equal("opened again", &is_open, &true)?;
                self.books[*workspace].accounts.get_mut(&id).ok_or("no such account")?.is_closed = false;
            }
        }
        Ok(())
    }

    async fn convert(
        &mut self,
        workspace: usize,
        ids: [u128; 2],
        (from, to): (usize, usize),
        amount: i64,
        rate: usize,
        rounding: Rounding,
        now: Timestamp,
    ) -> Result<(), String> {
        let group = |account: usize| GROUPS.iter().position(|group| group.contains(&account)).unwrap();
        let (from_group, to_group) = (group(from), group(to));
        let (text, above, below) = RATES[rate];
        let (ids, from, to) = (ids.map(trf), self.account(workspace, from), self.account(workspace, to));
        let (source, memo) = ("order:7".to_owned(), None);
        let asked = Conversion { ids, from, to, amount, rate: Rate::parse(text).unwrap(), rounding, effective_at: None, source, memo };
        let input = (self.workspaces[workspace], asked);
        let answer =
            self.store.write(&CALLER, input, |tx, (own, asked)| Box::pin(async move { commands::convert(tx, own, asked).await })).await;
        // The exact amount lies between two whole ones; which of them is taken is what rounding says.
        let (above, below) = (above * 10_i128.pow(EXPONENTS[to_group]), below * 10_i128.pow(EXPONENTS[from_group]));
        let exact = i128::from(amount) * above;
        let (lower, rest) = (exact.div_euclid(below), exact.rem_euclid(below));
        let nearest = (2 * exact + below).div_euclid(2 * below);
        let made = match rounding {
            Rounding::Down => lower,
            Rounding::Up => lower + i128::from(rest != 0),
            Rounding::HalfUp => nearest,
            Rounding::HalfEven if 2 * rest == below => lower + lower % 2,
            Rounding::HalfEven => nearest,
        };
        let is_invalid = !(1..=AMOUNT_MAX).contains(&amount)
            || ids[0] == ids[1]
            || from_group == to_group
            || !(1..=i128::from(AMOUNT_MAX)).contains(&made);
        if is_invalid {
            let is_refused = matches!(answer, Err(LedgerError::Invalid { .. }));
            return equal(&format!("an impossible conversion is refused, {answer:?}"), &is_refused, &true);
        }
        let made = i64::try_from(made).unwrap();
        let exchange = |group: usize| {
            let code = ["exchange.eur", "exchange.jpy", "exchange.points.bakery"][group];
            ACCOUNTS.iter().position(|(name, ..)| *name == code).unwrap()
        };
        let through = [self.account(workspace, exchange(from_group)), self.account(workspace, exchange(to_group))];
        let word = ["down", "up", "half_up", "half_even"]
            [[Rounding::Down, Rounding::Up, Rounding::HalfUp, Rounding::HalfEven].iter().position(|r| *r == rounding).unwrap()];
        let metadata = json!({ "conversion": {
            "from_unit": UNITS[from_group], "from_minor": amount, "to_unit": UNITS[to_group], "to_minor": made, "rate": text, "rounding": word,
        } });
        let leg = |id, debit, credit, group: usize, amount, linked| NewTransfer {
            linked,
            entry: Some(EntryId::from_raw(ids[0].raw())),
            source: Some("order:7".to_owned()),
            metadata: Some(metadata.clone()),
            ..NewTransfer::exactly(id, debit, credit, unit(UNITS[group]), amount)
        };
        let legs = [leg(ids[0], from, through[0], from_group, amount, true), leg(ids[1], through[1], to, to_group, made, false)];
        let expected = self.books[workspace].post(&legs, now);
        let refusals = || expected.iter().enumerate().filter(|(_, row)| !row.0.stands());
        let refusal = refusals().find(|(_, row)| row.0 != Outcome::LinkedEventFailed).or_else(|| refusals().next());
        match (answer, refusal) {
            (Ok(converted), None) => {
                equal("a conversion", &(converted.outcome, converted.amount_from, converted.amount_to), &(expected[0].0, amount, made))
            }
            (Err(LedgerError::Refused { index, outcome }), Some((at, (refusal, _)))) => {
                equal("a refused conversion", &(index, outcome), &(at, *refusal))
            }
            (answer, _) => Err(format!("a conversion: the ledger says {answer:?}, the model {expected:?}")),
        }
    }

    async fn expire(&mut self, workspace: usize, pending: TransferId, now: Timestamp) -> Result<(), String> {
        let own = self.workspaces[workspace];
        let done = self
            .store
            .write(&CALLER, (own, pending), |tx, (own, pending)| Box::pin(async move { commands::expire(tx, own, pending).await }))
            .await;
        done.map_err(|error| format!("expiring: {error:?}"))?;
        let books = &mut self.books[workspace];
        let held = books.log.iter().find(|transfer| transfer.id == pending);
        let is_over = held.is_some_and(|held| held.kind == TransferKind::Pending && held.expires_at.is_some_and(|end| end <= now));
        let is_resolved = books.log.iter().any(|transfer| transfer.pending == Some(pending));
        let found = queries::resolution(&mut self.store.read(), own, pending).await.map_err(|error| format!("{error:?}"))?;
        if is_over && !is_resolved {
            // Its identifier is the ledger's own.
            let id = found.ok_or("what is over was not released")?.id;
            let rows = books.post(&[NewTransfer::new(id, Action::ExpirePending { pending })], now);
            equal("the model expires it", &rows[0].0, &Outcome::Created)?;
        } else {
            equal("resolved before and not now", &found.is_some(), &is_resolved)?;
        }
        self.compare_totals(workspace).await
    }

    async fn compare_totals(&self, workspace: usize) -> Result<(), String> {
        let (own, accounts, books) = (self.workspaces[workspace], &self.accounts[workspace], &self.books[workspace]);
        let mut reads = self.store.read();
        let all = queries::totals_of(&mut reads, own, accounts).await.map_err(|error| format!("reading totals: {error:?}"))?;
        for account in accounts {
            let model = books.totals(account.id);
            equal(&format!("totals of {}", account.code), &all.get(&account.id).copied().unwrap_or_default(), &model)?;
            equal(&format!("limits of {} hold", account.code), &model.are_within(account.limits), &true)?;
        }
        let one = &accounts[books.log.len() % accounts.len()];
        let alone = queries::totals(&mut reads, own, one).await.map_err(|error| format!("reading totals: {error:?}"))?;
        equal(&format!("totals of {} alone", one.code), &alone, &books.totals(one.id))
    }

    /// Everything that is in the books, at the end.
    async fn compare_history(&mut self) -> Result<(), String> {
        let words = |error: LedgerError| format!("reading history: {error:?}");
        for workspace in 0..WORKSPACES {
            let (own, accounts, books) = (self.workspaces[workspace], &self.accounts[workspace], &self.books[workspace]);
            let mut reads = self.store.read();
            if let Some(last) = books.log.last() {
                let wanted = queries::version_of(&mut reads, own, last.id).await.map_err(words)?;
                // On a server that others use too, their open transactions may hold the keeper up.
                while queries::version(&mut reads).await.map_err(words)? < wanted {
                    keeper::catch_up(&self.store).await.map_err(words)?;
                }
            }
            self.compare_totals(workspace).await?;
            for account in accounts {
                let model = books.statement(account.id);
                let whole = Period::default();
                let lines = queries::statement_forward(&mut reads, own, account.id, &whole, None, 10_000).await.map_err(words)?;
                let ledger: Vec<(TransferId, Totals)> = lines.iter().map(|line| (line.transfer.id, line.after)).collect();
                equal(&format!("the statement of {}", account.code), &ledger, &model)?;
                for line in &lines {
                    let known = books.log.iter().find(|transfer| transfer.id == line.transfer.id);
                    equal("a transfer as it was recorded", &Some(&line.transfer), &known)?;
                    equal("the side of a line", &line.transfer.account(line.side), &account.id)?;
                    equal("when a line was booked", &line.booked_at, &line.transfer.recorded_at)?;
                }
                let mut back = queries::statement(&mut reads, own, account.id, &whole, None, 10_000).await.map_err(words)?;
                back.reverse();
                equal(&format!("the statement of {} from its end", account.code), &back, &lines)?;
                self.compare_past(workspace, account).await?;
            }
            let trial = queries::trial_balance(&mut reads, own, None).await.map_err(words)?;
            for of_unit in &trial.units {
                equal(&format!("the trial balance of {}", of_unit.unit), &of_unit.debits, &of_unit.credits)?;
                for row in &of_unit.rows {
                    equal(&format!("{} in the trial balance", row.account.code), &row.totals, &books.totals(row.account.id))?;
                }
            }
            let has_moved = |totals: Totals| totals.debits_posted != 0 || totals.credits_posted != 0;
            let moved = accounts.iter().filter(|account| has_moved(books.totals(account.id))).count();
            equal("accounts in the trial balance", &trial.units.iter().map(|of_unit| of_unit.rows.len()).sum(), &moved)?;
        }
        let mut snapshot = self.store.snapshot().await.map_err(|error| format!("{error:?}"))?;
        let report = verify(&mut snapshot, &Options::default()).await.map_err(words)?;
        if report.is_sound() { Ok(()) } else { Err(format!("the books are not sound: {report}")) }
    }

    /// Balances at random past times, by both dates.
    async fn compare_past(&self, workspace: usize, account: &Account) -> Result<(), String> {
        let (own, books) = (self.workspaces[workspace], &self.books[workspace]);
        let mut reads = self.store.read();
        let end = self.store.clock().now().since(at(0)).as_secs() as i64;
        let dice = Entropy::seeded(books.log.len() as u64);
        for _ in 0..6 {
            let instant = at(dice.below(end as u64 + 500) as i64 - 250);
            let booked =
                queries::totals_at(&mut reads, own, account, instant, Dating::Booked).await.map_err(|error| format!("{error:?}"))?;
            equal(&format!("{} at {instant}", account.code), &booked, &books.totals_at(account.id, instant))?;
            let by_day =
                queries::totals_at(&mut reads, own, account, instant, Dating::Effective).await.map_err(|error| format!("{error:?}"))?;
            let by_day = (by_day.debits_posted, by_day.credits_posted);
            equal(&format!("{} by the day {instant}", account.code), &by_day, &books.posted_by_day(account.id, instant))?;
            let period = Period { from: Some(instant), until: Some(instant.plus(Duration::from_secs(100))) };
            let lines =
                queries::statement(&mut reads, own, account.id, &period, None, 10_000).await.map_err(|error| format!("{error:?}"))?;
            let is_in = |time: Timestamp| Some(time) >= period.from && Some(time) < period.until;
            let touching =
                |transfer: &&ledger::Transfer| [Side::Debit, Side::Credit].iter().any(|side| transfer.account(*side) == account.id);
            let expected = books.log.iter().filter(touching).filter(|transfer| is_in(transfer.recorded_at)).count();
            equal(&format!("lines of {} in a period", account.code), &lines.len(), &expected)?;
        }
        Ok(())
    }
}

async fn attempt(steps: &[Step]) -> (Result<(), String>, BTreeMap<Outcome, u64>) {
    let mut pair = Pair::new().await;
    let result = pair.run(steps).await;
    (result, pair.seen)
}

/// Takes out the steps that a failure does not need: halves first, then smaller parts, as long as it stays a failure.
async fn fewest(mut steps: Vec<Step>, mut reason: String) -> (Vec<Step>, String) {
    let (mut part, mut attempts) = (steps.len().div_ceil(2), 0);
    while part > 0 && attempts < 150 {
        let mut from = 0;
        while from < steps.len() && attempts < 150 {
            let mut fewer = steps.clone();
            fewer.drain(from..(from + part).min(steps.len()));
            attempts += 1;
            match attempt(&fewer).await.0 {
                Err(still) => (steps, reason) = (fewer, still),
                Ok(()) => from += part,
            }
        }
        part /= 2;
    }
    (steps, reason)
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.replace('_', "").parse().ok()).unwrap_or(otherwise)
}

#[tokio::test]
async fn random_operations_do_to_the_ledger_what_they_do_to_the_model() {
    let operations = from_environment("TESSERA_TEST_OPERATIONS", 4 * CASE);
    let first_seed = from_environment("TESSERA_TEST_SEED", 1);
    let began = Instant::now();
    let (mut done, mut seed, mut seen) = (0, first_seed, BTreeMap::<Outcome, u64>::new());
    while done < operations {
        let steps = steps_of(seed);
        let (result, of_case) = attempt(&steps).await;
        if let Err(reason) = result {
            eprintln!("seed {seed}, {} steps: {reason}", steps.len());
            let (steps, reason) = fewest(steps, reason).await;
            panic!("seed {seed}: {reason}\nthe steps that are needed: {steps:#?}");
        }
        for (outcome, count) in of_case {
            *seen.entry(outcome).or_default() += count;
        }
        done += steps.iter().map(size).sum::<u64>();
        seed += 1;
    }
    let never: Vec<&str> = Outcome::ALL.iter().filter(|outcome| !seen.contains_key(outcome)).map(|outcome| outcome.as_str()).collect();
    assert_eq!(never, Vec::<&str>::new(), "what was asked for is too tame to show these");
    println!("{done} operations in {:.1} s, seeds {first_seed} to {}, {seen:?}", began.elapsed().as_secs_f64(), seed - 1);
}
