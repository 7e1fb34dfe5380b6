//! Every code that a transfer can get, and which one it gets when several would fit. `docs/ledger.md` says the same, word for word.

use std::time::Duration;

use kernel::{Id, RawId};
use ledger::{
    AMOUNT_MAX, AccountId, AccountKind, Action, Ask, EntryId, LedgerError, Limits, NewTransfer, Outcome, commands, judge::Judged,
};
use serde_json::json;
use store::StoreError;

use crate::world::{CALLER, World, trf, unit};

const DOCS: &str = include_str!("../../../../docs/ledger.md");

/// Books with something of everything.
struct Stage {
    world: World,
    cash: AccountId,
    bank: AccountId,
    /// Debits within credits; 500 stand on it, of which 100 are promised twice.
    wallet: AccountId,
    /// Credits within debits; 300 stand on it.
    till: AccountId,
    yen: AccountId,
    closed: AccountId,
    also_closed: AccountId,
}

/// Plain transfer, 40 from cash to bank.
const PLAIN: u128 = 1;
/// Pending, 100 from wallet to bank, without an end.
const HELD: u128 = 2;
/// Pending with an end that is over by now; nothing has released it yet.
const OVER: u128 = 3;
/// Pending that was posted, voided, expired, in this order, each resolved by the identifier ten higher.
const POSTED: u128 = 4;
const VOIDED: u128 = 5;
const EXPIRED: u128 = 6;
/// Pending whose end is over, and which was posted in time.
const POSTED_IN_TIME: u128 = 7;
/// Pending with an end that is not over.
const LATER: u128 = 8;
const NEW: u128 = 100;

fn post(id: u128, debit: AccountId, credit: AccountId, ask: Ask) -> NewTransfer {
    NewTransfer::new(trf(id), Action::Post { debit, credit, unit: unit("EUR"), ask })
}

fn in_full(id: u128, pending: u128) -> NewTransfer {
    NewTransfer::new(trf(id), Action::PostPending { pending: trf(pending), amount: None })
}

fn in_part(id: u128, pending: u128, amount: i64) -> NewTransfer {
    NewTransfer::new(trf(id), Action::PostPending { pending: trf(pending), amount: Some(amount) })
}

fn void(id: u128, pending: u128) -> NewTransfer {
    NewTransfer::new(trf(id), Action::VoidPending { pending: trf(pending) })
}

fn linked(new: NewTransfer) -> NewTransfer {
    NewTransfer { linked: true, ..new }
}

fn nobody() -> AccountId {
    AccountId::from_raw(RawId::from_bits(1))
}

/// What was told before everything was taken back.
enum Told {
    Rows(Vec<Judged>),
    Failed(LedgerError),
}

impl From<StoreError> for Told {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<LedgerError> for Told {
    fn from(error: LedgerError) -> Self {
        Self::Failed(error)
    }
}

impl Stage {
    async fn new() -> Self {
        let world = World::new().await;
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        let bank = world.open("bank", AccountKind::Asset, Limits::None).await;
        let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
        let till = world.open("till", AccountKind::Asset, Limits::CreditsWithinDebits).await;
        let yen = world.try_open("yen", AccountKind::Asset, "JPY", Limits::None).await.unwrap().id;
        let closed = world.open("closed", AccountKind::Asset, Limits::None).await;
        let also_closed = world.open("closed.too", AccountKind::Asset, Limits::None).await;
        let stage = Self { world, cash, bank, wallet, till, yen, closed, also_closed };
        let now = stage.world.store.clock().now();
        let soon = Some(now.plus(Duration::from_secs(60)));
        let exactly = Ask::Exactly;
        let batch = vec![
            post(50, cash, wallet, exactly(500)),
            post(51, till, cash, exactly(300)),
            post(PLAIN, cash, bank, exactly(40)),
            stage.hold(HELD, wallet, bank, exactly(100)),
            stage.hold_until(OVER, cash, bank, exactly(100), soon),
            stage.hold(POSTED, cash, bank, exactly(100)),
            stage.hold(VOIDED, cash, bank, exactly(100)),
            stage.hold_until(EXPIRED, cash, bank, exactly(100), soon),
            stage.hold_until(POSTED_IN_TIME, cash, bank, exactly(100), soon),
            stage.hold_until(LATER, wallet, bank, exactly(100), Some(now.plus(Duration::from_secs(3_600)))),
            in_part(POSTED + 10, POSTED, 30),
            void(VOIDED + 10, VOIDED),
            in_full(POSTED_IN_TIME + 10, POSTED_IN_TIME),
        ];
        assert_eq!(stage.world.codes(batch).await, [Outcome::Created; 13]);
        stage.world.store.clock().advance(Duration::from_secs(60));
        let own = stage.world.workspace;
        let end = stage.world.store.write(&CALLER, (own, closed, also_closed), |tx, (own, closed, also_closed)| {
            Box::pin(async move {
                commands::expire(tx, own, trf(EXPIRED)).await?;
                commands::close(tx, own, closed).await?;
                commands::close(tx, own, also_closed).await.map(|_| ())
            })
        });
        end.await.unwrap();
        stage
    }

    fn hold(&self, id: u128, debit: AccountId, credit: AccountId, ask: Ask) -> NewTransfer {
        self.hold_until(id, debit, credit, ask, None)
    }

    fn hold_until(&self, id: u128, debit: AccountId, credit: AccountId, ask: Ask, end: Option<kernel::Timestamp>) -> NewTransfer {
        NewTransfer::new(trf(id), Action::Hold { debit, credit, unit: unit("EUR"), ask, expires_at: end })
    }

    /// What a batch is told, which leaves no trace.
    async fn told(&self, batch: Vec<NewTransfer>) -> Vec<Outcome> {
        let own = self.world.workspace;
        let unit = self.world.store.write(&CALLER, batch, move |tx, batch| {
            Box::pin(async move { Err::<(), _>(Told::Rows(ledger::post_batch(tx, own, batch).await?)) })
        });
        match unit.await {
            Err(Told::Rows(rows)) => rows.into_iter().map(|row| row.outcome).collect(),
            Err(Told::Failed(error)) => panic!("{error:?}"),
            Ok(()) => unreachable!("the unit always fails"),
        }
    }

    /// One row for each situation of `docs/ledger.md`.
    fn situations(&self) -> Vec<(&'static str, Vec<NewTransfer>, Vec<Outcome>)> {
        use Ask::{Exactly, UpToCreditLimit, UpToDebitLimit};
        let Self { cash, bank, wallet, till, yen, closed, .. } = *self;
        let now = self.world.store.clock().now();
        let plain = || post(PLAIN, cash, bank, Exactly(40));
        let fine = |id| post(id, cash, bank, Exactly(1));
        let yens = |id, debit, credit| NewTransfer::new(trf(id), Action::Post { debit, credit, unit: unit("JPY"), ask: Exactly(1) });
        let other_unit = NewTransfer::new(trf(PLAIN), Action::Post { debit: cash, credit: bank, unit: unit("JPY"), ask: Exactly(40) });
        let day = Some(now.minus(Duration::from_secs(9)));
        let entry = Some(EntryId::from_raw(RawId::from_bits(1)));
        use Outcome as O;
        vec![
            ("A new transfer", vec![fine(NEW)], vec![O::Created]),
            ("The largest amount, 9007199254740991", vec![post(NEW, cash, bank, Exactly(AMOUNT_MAX))], vec![O::Created]),
            ("The same transfer again, in another call", vec![plain()], vec![O::Exists]),
            ("The same transfer twice in one batch", vec![fine(NEW), fine(NEW)], vec![O::Created, O::Exists]),
            (
                "Two of one identifier and different amounts in one batch",
                vec![fine(NEW), post(NEW, cash, bank, Exactly(2))],
                vec![O::Created, O::ExistsWithDifferentAmount],
            ),
            (
                "A balancing transfer again, which moved no more than is asked for",
                vec![post(PLAIN, cash, bank, UpToDebitLimit(40))],
                vec![O::Exists],
            ),
            (
                "A taken identifier: a transfer before, a pending one now",
                vec![self.hold(PLAIN, cash, bank, Exactly(40))],
                vec![O::ExistsWithDifferentAction],
            ),
            ("A taken identifier: other accounts", vec![post(PLAIN, bank, cash, Exactly(40))], vec![O::ExistsWithDifferentAccounts]),
            ("A taken identifier: another amount", vec![post(PLAIN, cash, bank, Exactly(41))], vec![O::ExistsWithDifferentAmount]),
            ("A taken identifier: another unit", vec![other_unit], vec![O::ExistsWithDifferentUnit]),
            (
                "A taken identifier: another pending transfer is resolved",
                vec![in_part(POSTED + 10, HELD, 30)],
                vec![O::ExistsWithDifferentPending],
            ),
            (
                "A taken identifier: another end",
                vec![self.hold_until(HELD, wallet, bank, Exactly(100), day)],
                vec![O::ExistsWithDifferentExpiry],
            ),
            ("A taken identifier: another day", vec![NewTransfer { effective_at: day, ..plain() }], vec![O::ExistsWithDifferentDetails]),
            ("A taken identifier: another entry", vec![NewTransfer { entry, ..plain() }], vec![O::ExistsWithDifferentDetails]),
            (
                "A taken identifier: another source",
                vec![NewTransfer { source: Some("order:1".into()), ..plain() }],
                vec![O::ExistsWithDifferentDetails],
            ),
            (
                "A taken identifier: another memo",
                vec![NewTransfer { memo: Some("x".into()), ..plain() }],
                vec![O::ExistsWithDifferentDetails],
            ),
            (
                "A taken identifier: other metadata",
                vec![NewTransfer { metadata: Some(json!({ "a": 1 })), ..plain() }],
                vec![O::ExistsWithDifferentDetails],
            ),
            (
                "A chain of which one is refused",
                vec![linked(fine(NEW)), linked(post(NEW + 1, cash, bank, Exactly(0))), fine(NEW + 2)],
                vec![O::LinkedEventFailed, O::AmountMustBePositive, O::LinkedEventFailed],
            ),
            ("A chain of which a part stood before", vec![linked(plain()), fine(NEW)], vec![O::Exists, O::LinkedEventFailed]),
            (
                "A refused chain that names a transfer twice",
                vec![linked(fine(NEW)), linked(fine(NEW)), post(NEW + 1, cash, cash, Exactly(1))],
                vec![O::LinkedEventFailed, O::LinkedEventFailed, O::AccountsMustDiffer],
            ),
            (
                "A transfer after a refused chain",
                vec![linked(post(NEW, cash, cash, Exactly(1))), fine(NEW + 1), fine(NEW + 1)],
                vec![O::AccountsMustDiffer, O::LinkedEventFailed, O::Created],
            ),
            (
                "The last of a batch is linked",
                vec![linked(fine(NEW)), linked(fine(NEW + 1))],
                vec![O::LinkedEventFailed, O::LinkedEventChainOpen],
            ),
            ("An amount of zero", vec![post(NEW, cash, bank, Exactly(0))], vec![O::AmountMustBePositive]),
            ("A negative amount", vec![post(NEW, cash, bank, Exactly(-1))], vec![O::AmountMustBePositive]),
            ("An amount of 9007199254740992 or more", vec![post(NEW, cash, bank, Exactly(AMOUNT_MAX + 1))], vec![O::AmountTooLarge]),
            ("The largest number of 64 bits", vec![post(NEW, cash, bank, Exactly(i64::MAX))], vec![O::AmountTooLarge]),
            ("Both accounts are the same", vec![post(NEW, cash, cash, Exactly(1))], vec![O::AccountsMustDiffer]),
            (
                "A pending transfer that ends at this instant or earlier",
                vec![self.hold_until(NEW, cash, bank, Exactly(1), Some(now))],
                vec![O::ExpiryInThePast],
            ),
            (
                "An account to debit that the workspace does not have",
                vec![post(NEW, nobody(), bank, Exactly(1))],
                vec![O::DebitAccountNotFound],
            ),
            (
                "An account to credit that the workspace does not have",
                vec![post(NEW, cash, nobody(), Exactly(1))],
                vec![O::CreditAccountNotFound],
            ),
            ("Accounts of two units", vec![post(NEW, cash, yen, Exactly(1))], vec![O::AccountsHaveDifferentUnits]),
            ("A transfer in another unit than its accounts", vec![yens(NEW, cash, bank)], vec![O::TransferHasDifferentUnit]),
            ("The account to debit is closed", vec![post(NEW, closed, bank, Exactly(1))], vec![O::DebitAccountClosed]),
            ("The account to credit is closed", vec![post(NEW, cash, closed, Exactly(1))], vec![O::CreditAccountClosed]),
            (
                "A balancing transfer up to a limit that the account has not",
                vec![post(NEW, cash, bank, UpToDebitLimit(1))],
                vec![O::AccountHasNoLimit],
            ),
            ("More than a limit on debits leaves", vec![post(NEW, wallet, bank, Exactly(301))], vec![O::ExceedsCredits]),
            ("As much as a limit on debits leaves, pending amounts counted", vec![post(NEW, wallet, bank, Exactly(300))], vec![O::Created]),
            (
                "A balancing transfer when nothing is left",
                vec![post(NEW, wallet, bank, UpToDebitLimit(AMOUNT_MAX)), post(NEW + 1, wallet, bank, UpToDebitLimit(1))],
                vec![O::Created, O::ExceedsCredits],
            ),
            ("More than a limit on credits leaves", vec![post(NEW, cash, till, Exactly(301))], vec![O::ExceedsDebits]),
            (
                "A balancing transfer to an account that can take no more",
                vec![post(NEW, cash, till, UpToCreditLimit(400)), post(NEW + 1, cash, till, UpToCreditLimit(1))],
                vec![O::Created, O::ExceedsDebits],
            ),
            ("A pending transfer is posted in full, in part, voided", vec![in_full(NEW, HELD)], vec![O::Created]),
            ("No such pending transfer", vec![void(NEW, 99)], vec![O::PendingNotFound]),
            ("What is to be resolved is no pending transfer", vec![in_full(NEW, PLAIN)], vec![O::PendingNotPending]),
            ("A pending transfer that was posted before, in full or in part", vec![in_full(NEW, POSTED)], vec![O::PendingAlreadyPosted]),
            ("A pending transfer that was voided before", vec![in_full(NEW, VOIDED)], vec![O::PendingAlreadyVoided]),
            ("A pending transfer that was ended by the timer", vec![void(NEW, EXPIRED)], vec![O::PendingExpired]),
            ("A pending transfer whose end is over, before the timer came", vec![in_full(NEW, OVER)], vec![O::PendingExpired]),
            (
                "Two in one batch that resolve the same pending transfer",
                vec![void(NEW, HELD), in_full(NEW + 1, HELD)],
                vec![O::Created, O::PendingAlreadyVoided],
            ),
            ("More is to be posted than was pending", vec![in_part(NEW, HELD, 101)], vec![O::ExceedsPendingAmount]),
        ]
    }

    /// Transfers with two faults each, and the code of the one that is looked at first.
    fn with_two_faults(&self) -> Vec<(Vec<NewTransfer>, Vec<Outcome>)> {
        use Ask::{Exactly, UpToDebitLimit};
        use Outcome as O;
        let Self { cash, bank, wallet, till, yen, closed, also_closed, .. } = *self;
        let now = Some(self.world.store.clock().now());
        let yens = |debit, credit| NewTransfer::new(trf(NEW), Action::Post { debit, credit, unit: unit("JPY"), ask: Exactly(1) });
        let one = |new, code| (vec![new], vec![code]);
        vec![
            // The identifier comes before everything else, and its differences in the order of the table.
            one(post(PLAIN, cash, bank, Exactly(-1)), O::ExistsWithDifferentAmount),
            one(post(PLAIN, cash, cash, Exactly(-1)), O::ExistsWithDifferentAccounts),
            one(self.hold(PLAIN, bank, cash, Exactly(41)), O::ExistsWithDifferentAction),
            one(NewTransfer { memo: Some("x".into()), ..post(PLAIN, cash, bank, Exactly(41)) }, O::ExistsWithDifferentAmount),
            one(
                NewTransfer { memo: Some("x".into()), ..self.hold_until(HELD, wallet, bank, Exactly(100), now) },
                O::ExistsWithDifferentExpiry,
            ),
            one(in_part(POSTED + 10, HELD, 31), O::ExistsWithDifferentPending),
            one(void(POSTED + 10, HELD), O::ExistsWithDifferentAction),
            // Then what can be seen without the books.
            one(self.hold_until(NEW, cash, cash, Exactly(0), now), O::AmountMustBePositive),
            one(self.hold_until(NEW, cash, cash, Exactly(AMOUNT_MAX + 1), now), O::AmountTooLarge),
            one(self.hold_until(NEW, nobody(), nobody(), Exactly(1), now), O::AccountsMustDiffer),
            one(self.hold_until(NEW, nobody(), bank, Exactly(1), now), O::ExpiryInThePast),
            // Then the accounts.
            one(post(NEW, nobody(), AccountId::from_raw(RawId::from_bits(2)), Exactly(1)), O::DebitAccountNotFound),
            one(yens(closed, nobody()), O::CreditAccountNotFound),
            one(post(NEW, closed, yen, Exactly(1)), O::AccountsHaveDifferentUnits),
            one(yens(cash, yen), O::AccountsHaveDifferentUnits),
            one(yens(closed, bank), O::TransferHasDifferentUnit),
            one(post(NEW, closed, also_closed, Exactly(1)), O::DebitAccountClosed),
            one(post(NEW, wallet, closed, Exactly(9_999)), O::CreditAccountClosed),
            one(post(NEW, cash, closed, UpToDebitLimit(1)), O::CreditAccountClosed),
            // Then the limits, the debit account's first.
            one(post(NEW, cash, till, UpToDebitLimit(9_999)), O::AccountHasNoLimit),
            one(post(NEW, wallet, till, Exactly(9_999)), O::ExceedsCredits),
            // A resolution: its amount, the pending transfer, what became of that, its end, how much it holds.
            one(in_part(NEW, 99, 0), O::AmountMustBePositive),
            one(in_part(NEW, 99, AMOUNT_MAX + 1), O::AmountTooLarge),
            one(in_part(NEW, PLAIN, 9_999), O::PendingNotPending),
            one(in_part(NEW, POSTED_IN_TIME, 9_999), O::PendingAlreadyPosted),
            one(in_part(NEW, OVER, 9_999), O::PendingExpired),
            // A chain that is left open says so at its end, whatever else is wrong with it.
            (
                vec![
                    linked(post(NEW, cash, cash, Exactly(1))),
                    linked(post(NEW + 1, cash, cash, Exactly(1))),
                    linked(post(NEW + 2, cash, cash, Exactly(1))),
                ],
                vec![O::AccountsMustDiffer, O::LinkedEventFailed, O::LinkedEventChainOpen],
            ),
            // What comes after the refused one of a chain is not looked at, even where it stood before.
            (
                vec![linked(post(NEW, cash, cash, Exactly(1))), post(PLAIN, cash, bank, Exactly(40))],
                vec![O::AccountsMustDiffer, O::LinkedEventFailed],
            ),
        ]
    }
}

#[tokio::test]
async fn every_situation_has_its_code_and_every_code_its_situation() {
    let stage = Stage::new().await;
    let situations = stage.situations();
    for (situation, batch, codes) in &situations {
        assert_eq!(&stage.told(batch.clone()).await, codes, "{situation}");
    }
    let is_shown = |outcome: &Outcome| situations.iter().any(|(_, _, codes)| codes.contains(outcome));
    let missing: Vec<&str> = Outcome::ALL.iter().filter(|outcome| !is_shown(outcome)).map(|outcome| outcome.as_str()).collect();
    assert_eq!(missing, Vec::<&str>::new(), "codes without a situation");
}

#[tokio::test]
async fn the_documentation_has_the_same_table() {
    let stage = Stage::new().await;
    let rows = stage.situations().into_iter().map(|(situation, _, codes)| {
        let codes: Vec<String> = codes.iter().map(|code| format!("`{}`", code.as_str())).collect();
        format!("| {situation} | {} |", codes.join(", "))
    });
    let expected: Vec<String> = rows.collect();
    let documented = DOCS.split("| situation | code |").nth(1).unwrap_or_default().lines().skip(2);
    let documented: Vec<&str> = documented.take_while(|line| line.starts_with('|')).collect();
    assert_eq!(documented, expected, "docs/ledger.md, the table of codes; it should be:\n{}", expected.join("\n"));
}

#[tokio::test]
async fn of_two_faults_the_one_that_is_looked_at_first_is_told() {
    let stage = Stage::new().await;
    for (batch, codes) in stage.with_two_faults() {
        assert_eq!(stage.told(batch.clone()).await, codes, "{batch:?}");
    }
}

#[tokio::test]
async fn a_pending_transfer_can_be_posted_in_full_or_in_part_or_voided() {
    let stage = Stage::new().await;
    for resolution in [in_full(NEW, HELD), in_part(NEW, HELD, 1), in_part(NEW, HELD, 100), void(NEW, HELD), void(NEW, LATER)] {
        assert_eq!(stage.told(vec![resolution.clone()]).await, [Outcome::Created], "{resolution:?}");
    }
}

#[tokio::test]
async fn the_words_of_the_codes_are_all_different() {
    let words: std::collections::BTreeSet<&str> = Outcome::ALL.iter().map(|outcome| outcome.as_str()).collect();
    assert_eq!(words.len(), Outcome::ALL.len());
}
