//! Settlement on a real database: reports are taken in once, matched, booked and worked off; the books verify at the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Currency, Grants, Id as _, Money, RawId};
use outbox::Job as _;
use payments::commands::settlement::{self as commands, Action, NewSettlement};
use payments::jobs::settlement::{self as jobs, SettleDaily};
use payments::queries::settlement::{self as queries, ExceptionFilter};
use payments::settlement::{
    COLUMNS, Exception, ExceptionId, ExceptionKind, Expected, Format, Settlement, SettlementId, digest, read_bank_lines,
};
use payments::{CaptureMethod, LineKind, PaymentError, ProviderId};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use sim::Dialect;
use sim::providers::Plant;
use store::{Reads as _, row_params};

use crate::till::Till;

store::statements! {
    BREAK_HISTORY = "insert into payments_events (workspace, subject, version, name, actor, recorded_at, body) values ($1, $2, $3, $4, 'test', 0, $5)";
    MATCHED_LINES = "select count(settlement) as matched, count(distinct settlement || ':' || line) as lines from payments_expected where workspace = $1";
}

/// A desk where reports of one provider are worked on.
struct Office {
    till: Till,
    provider: ProviderId,
    first: Caller,
    second: Caller,
}

fn euros(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").unwrap())
}

impl Office {
    async fn new() -> Self {
        let till = Till::new(&[Dialect::Stripe]).await;
        let provider = till.providers[&Dialect::Stripe];
        let person = || {
            let member = kernel::MemberId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
            let grants = Grants::of([payments::grants::READ, payments::grants::SETTLE]);
            Caller::Person { workspace: till.workspace, member, grants }
        };
        let (first, second) = (person(), person());
        Self { till, provider, first, second }
    }

    /// Payments that were charged, named `pat_…0`, `pat_…1` and so on, with the money in clearing.
    async fn expect(&self, amounts: &[i64]) {
        for (index, chunk) in amounts.chunks(500).enumerate() {
            let all: Vec<Expected> = chunk
                .iter()
                .enumerate()
                .map(|(place, amount)| Expected {
                    subject: subject(index * 500 + place),
                    attempt: None,
                    owner: "pay_test".to_owned(),
                    kind: if *amount < 0 { LineKind::Refund } else { LineKind::Payment },
                    amount: euros(*amount),
                    is_missing: false,
                    is_matched: false,
                })
                .collect();
            let input = (self.till.workspace, self.provider, Arc::new(all));
            self.till
                .write(input, |tx, (workspace, provider, all)| {
                    Box::pin(async move { commands::expect_many(tx, workspace, provider, &all).await })
                })
                .await
                .unwrap();
        }
    }

    async fn take(&self, file: &str) -> Result<Settlement, PaymentError> {
        let new = NewSettlement {
            provider: self.provider,
            digest: digest(file.as_bytes()),
            name: "report.csv".to_owned(),
            format: Format::Neutral,
            covers_until: Some(self.till.store.clock().now().plus(Duration::from_secs(1))),
            bytes: file.len() as i64,
            lines: file.lines().count() as i64 - 1,
        };
        let input = (new, Arc::new(file.to_owned()));
        let store = &self.till.store;
        store.write(&self.first, input, |tx, (new, file)| Box::pin(async move { commands::take(tx, new, file.as_bytes()).await })).await
    }

    async fn book(&self, id: SettlementId) -> Settlement {
        let store = &self.till.store;
        let settlement = queries::get(&mut store.read(), self.till.workspace, id).await.unwrap();
        jobs::book(store, self.till.workspace, &settlement).await.unwrap();
        queries::get(&mut store.read(), self.till.workspace, id).await.unwrap()
    }

    /// Takes a report in and books it.
    async fn settle(&self, file: &str) -> Settlement {
        let taken = self.take(file).await.unwrap();
        let booked = self.book(taken.id).await;
        assert_eq!((booked.state.as_str(), booked.booked), ("done", booked.lines), "{booked:?}");
        booked
    }

    async fn open(&self) -> Vec<Exception> {
        let filter = ExceptionFilter { is_open: Some(true), ..ExceptionFilter::default() };
        queries::exceptions(&mut self.till.store.read(), self.till.workspace, &filter, None, 100).await.unwrap()
    }

    async fn kinds(&self) -> Vec<&'static str> {
        let mut kinds: Vec<_> = self.open().await.iter().map(|exception| exception.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds
    }

    async fn only(&self, kind: ExceptionKind) -> Exception {
        let mut of_kind: Vec<_> = self.open().await.into_iter().filter(|exception| exception.kind == kind).collect();
        assert_eq!(of_kind.len(), 1, "{kind:?}: {of_kind:?}");
        of_kind.remove(0)
    }

    async fn act_as(&self, caller: &Caller, id: ExceptionId, version: i64, action: Action) -> Result<Exception, PaymentError> {
        let input = (id, version, action);
        let store = &self.till.store;
        store
            .write(caller, input, |tx, (id, version, action)| {
                Box::pin(async move { commands::act(tx, id, version, action, "the provider said so".to_owned()).await })
            })
            .await
    }

    async fn act(&self, exception: &Exception, action: Action) -> Result<Exception, PaymentError> {
        self.act_as(&self.first, exception.id, exception.version, action).await
    }

    async fn balance(&self, account: &str) -> i128 {
        self.till.balance(&format!("payments.{account}.eur")).await
    }
}

fn subject(number: usize) -> String {
    format!("pat_{number:032x}")
}

/// A line of the neutral file about payment `number`.
fn line(number: usize, gross: i64, fee: i64) -> String {
    let kind = if gross < 0 { "refund" } else { "payment" };
    format!("{kind},{},,po_1,EUR,{gross},{fee},{},\n", subject(number), gross - fee)
}

fn file(lines: &[String]) -> String {
    format!("{COLUMNS}\n{}", lines.concat())
}

fn fields(error: &PaymentError) -> Vec<String> {
    kernel::Fault::fields(error).iter().map(|fault| format!("{} {}", fault.field, fault.message)).collect()
}

#[tokio::test]
async fn a_day_of_real_payments_is_fetched_matched_and_leaves_clearing_empty() {
    let office = Office::new().await;
    for amount in [1_250, 80_000, 333] {
        let intent = office.till.begin(amount, "EUR", CaptureMethod::Automatic).await;
        office.till.sim.pay(&intent.attempts[0].id.to_string()).unwrap();
        office.till.settle().await;
        if amount == 80_000 {
            office.till.refund(intent.id, Some(5_000)).await.unwrap();
        }
    }
    assert_eq!(office.balance("clearing.stripe").await, 76_583);
    office.till.sim.settle(Dialect::Stripe, Plant::default()).unwrap();
    let daily = SettleDaily { provider: office.provider, until: office.till.store.clock().now().plus(Duration::from_secs(3_600)) };
    let input = (office.till.workspace, daily);
    office
        .till
        .write(input, |tx, (workspace, daily)| {
            Box::pin(async move { outbox::enqueue(tx, workspace, &daily).await.map(|_| ()).map_err(PaymentError::from) })
        })
        .await
        .unwrap();
    office.till.settle().await;
    let settled = queries::list(&mut office.till.store.read(), office.till.workspace, None, 10).await.unwrap();
    assert_eq!(settled.len(), 1, "{settled:?}");
    assert_eq!((settled[0].state.as_str(), settled[0].exceptions), ("done", 0), "{:?}: {:?}", settled[0], office.open().await);
    assert_eq!(office.balance("clearing.stripe").await, 0, "all of it is settled");
    let (bank, fees) = (office.balance("bank").await, office.balance("fees").await);
    assert_eq!(bank + fees, 76_583, "gross is fees and what reached the bank");
    assert!(fees > 0, "{fees}");
    office.till.close_books().await;
}

#[tokio::test]
async fn one_missing_one_extra_and_one_wrong_amount_are_found_and_nothing_else() {
    let office = Office::new().await;
    let amounts: Vec<i64> = (0..1_200).map(|number| 1_000 + number).collect();
    office.expect(&amounts).await;
    let mut lines: Vec<String> = amounts.iter().enumerate().map(|(number, amount)| line(number, *amount, 30)).collect();
    lines[777] = line(777, amounts[777] - 1, 30);
    lines[900] = line(9_999, 4_242, 30);
    let booked = office.settle(&file(&lines)).await;
    assert_eq!((booked.matched, booked.exceptions), (1_198, 3), "{booked:?}");
    assert_eq!(office.kinds().await, ["extra", "missing", "under"]);
    assert_eq!(office.only(ExceptionKind::Missing).await.subject, Some(subject(900)));
    assert_eq!(office.only(ExceptionKind::Under).await.subject, Some(subject(777)));
    office.till.close_books().await;
}

#[tokio::test]
async fn the_same_bytes_are_one_settlement_and_a_run_that_was_cut_short_goes_on() {
    let office = Office::new().await;
    let amounts: Vec<i64> = (0..1_100).map(|number| 500 + number).collect();
    office.expect(&amounts).await;
    let lines: Vec<String> = amounts.iter().enumerate().map(|(number, amount)| line(number, *amount, 3)).collect();
    let report = file(&lines);
    let taken = office.take(&report).await.unwrap();
    // The first chunk, and then the process ends.
    let mut reader = payments::settlement::Reader::default();
    let mut chunk = reader.take(report.as_bytes()).unwrap();
    chunk.truncate(500);
    let rules = payments::settlement::Rules::default();
    for is_second in [false, true] {
        let input = (office.till.workspace, taken.id, office.provider, rules, Arc::new(chunk.clone()));
        let booked = office.till.write(input, |tx, (workspace, id, provider, rules, lines)| {
            Box::pin(async move { commands::book_chunk(tx, workspace, id, provider, rules, 0, &lines).await })
        });
        assert_eq!(booked.await.unwrap().is_overtaken, is_second, "a chunk counts once");
    }
    assert_eq!(office.take(&report).await.unwrap().id, taken.id);
    let booked = office.book(taken.id).await;
    assert_eq!((booked.matched, booked.exceptions, booked.state.as_str()), (1_100, 0, "done"), "{booked:?}");
    office.book(taken.id).await;
    let total: i64 = amounts.iter().sum();
    assert_eq!(office.balance("bank").await, i128::from(total - 3_300));
    assert_eq!(office.balance("clearing.stripe").await, -i128::from(total));
    assert_eq!(office.take(&report).await.unwrap().id, taken.id);
    office.till.close_books().await;
}

#[tokio::test]
async fn while_a_report_is_booked_what_settles_waits_and_reads_go_on() {
    let office = Office::new().await;
    office.expect(&[100, 200]).await;
    let first = office.settle(&file(&[line(0, 99, 0)])).await;
    let under = office.only(ExceptionKind::Under).await;
    let running = office.take(&file(&[line(1, 200, 0)])).await.unwrap();
    assert_eq!(running.state, "booking");
    let refused = office.take(&file(&[line(7, 1, 0)])).await.unwrap_err();
    assert!(matches!(refused, PaymentError::SettlementRunning), "{refused:?}");
    let refused = office.act(&under, Action::WriteOff).await.unwrap_err();
    assert!(matches!(refused, PaymentError::SettlementRunning), "{refused:?}");
    assert_eq!(office.take(&file(&[line(0, 99, 0)])).await.unwrap().id, first.id, "what is there already can be read");
    office.book(running.id).await;
    assert!(!office.act(&under, Action::WriteOff).await.unwrap().is_open);
    office.till.close_books().await;
}

#[tokio::test]
async fn a_difference_is_written_off_by_one_person_and_a_large_one_by_two() {
    let office = Office::new().await;
    office.expect(&[100_000, 50_000]).await;
    office.settle(&file(&[line(0, 99_990, 10)])).await;
    assert_eq!(office.kinds().await, ["missing", "under"]);
    let under = office.only(ExceptionKind::Under).await;
    let done = office.act(&under, Action::WriteOff).await.unwrap();
    assert_eq!((done.is_open, done.resolution.as_deref(), done.version), (false, Some("written off"), 2));
    assert_eq!((office.balance("clearing.stripe").await, office.balance("differences").await), (-100_000, 10));
    assert_eq!((office.balance("bank").await, office.balance("fees").await), (99_980, 10));
    let again = office.act_as(&office.first, under.id, 2, Action::WriteOff).await.unwrap_err();
    assert_eq!(fields(&again), ["action cannot be done: this exception is worked off"]);
    let missing = office.only(ExceptionKind::Missing).await;
    let asked = office.act(&missing, Action::WriteOff).await.unwrap();
    assert!(asked.is_open && asked.proposed.is_some(), "{asked:?}");
    assert!(matches!(office.act(&missing, Action::WriteOff).await, Err(PaymentError::Stale)));
    let alone = office.act(&asked, Action::WriteOff).await.unwrap_err();
    assert_eq!(fields(&alone), ["action needs a second person: you have asked for it already"]);
    assert_eq!(office.balance("differences").await, 10);
    let done = office.act_as(&office.second, asked.id, asked.version, Action::WriteOff).await.unwrap();
    assert!(!done.is_open);
    assert_eq!((office.balance("clearing.stripe").await, office.balance("differences").await), (-150_000, 50_010));
    let kept = queries::actions(&mut office.till.store.read(), office.till.workspace, missing.id).await.unwrap();
    assert_eq!(kept.iter().map(|done| done.version).collect::<Vec<_>>(), [2, 3]);
    assert_ne!(kept[0].actor, kept[1].actor);
    office.till.close_books().await;
}

#[tokio::test]
async fn a_line_is_mapped_replaced_created_and_what_is_missing_is_received() {
    let office = Office::new().await;
    office.expect(&[1_000, 2_000, 3_000]).await;
    let unknown = "payment,their-own-name,,po_1,EUR,1000,10,990,\n".to_owned();
    let strange = "payment,nobody,,po_1,EUR,777,7,770,\n".to_owned();
    office.settle(&file(&[unknown, strange, line(1, 1_900, 10)])).await;
    assert_eq!(office.kinds().await, ["extra", "extra", "missing", "missing", "under"]);
    let all = office.open().await;
    let of = |reference: &str| all.iter().find(|exception| exception.reference.as_deref() == Some(reference)).unwrap();
    let nobody = office.act(of("their-own-name"), Action::Edit { subject: subject(55) }).await.unwrap_err();
    assert_eq!(fields(&nobody), ["subject is nothing of this kind that this provider was expected to report"]);
    let mapped = office.act(of("their-own-name"), Action::Edit { subject: subject(0) }).await.unwrap();
    assert_eq!((mapped.is_open, mapped.subject), (false, Some(subject(0))));
    let missing = office.only(ExceptionKind::Missing).await;
    assert_eq!(missing.subject, Some(subject(2)), "what was mapped is not missing any more");
    let created = office.act(of("nobody"), Action::Create).await.unwrap();
    assert!(!created.is_open);
    assert_eq!(office.balance("quarantine").await, -777);
    let under = office.only(ExceptionKind::Under).await;
    let wrong = Action::Replace { gross_minor: 2_000, fee_minor: 10, net_minor: 1_991 };
    assert_eq!(fields(&office.act(&under, wrong).await.unwrap_err()), ["net_minor must be gross_minor less fee_minor"]);
    let other = office.act(&under, Action::Replace { gross_minor: 2_100, fee_minor: 10, net_minor: 2_090 }).await.unwrap();
    assert_eq!((other.is_open, other.kind), (true, ExceptionKind::Over));
    assert!(!office.act(&other, Action::Replace { gross_minor: 2_000, fee_minor: 10, net_minor: 1_990 }).await.unwrap().is_open);
    assert!(!office.act(&missing, Action::MarkReceived { fee_minor: 30 }).await.unwrap().is_open);
    assert_eq!(office.kinds().await, Vec::<&str>::new());
    assert_eq!(office.balance("clearing.stripe").await, -6_000, "exactly what was expected, and nothing of the stranger's");
    assert_eq!((office.balance("bank").await, office.balance("fees").await), (990 + 770 + 1_990 + 2_970, 10 + 7 + 10 + 30));
    assert_eq!(office.balance("differences").await, 0);
    office.till.close_books().await;
}

#[tokio::test]
async fn what_was_missing_is_found_when_a_later_report_says_it() {
    let office = Office::new().await;
    office.expect(&[1_000, 2_000]).await;
    office.settle(&file(&[line(0, 1_000, 10)])).await;
    assert_eq!(office.kinds().await, ["missing"]);
    office.settle(&file(&[line(1, 2_000, 10)])).await;
    assert_eq!(office.kinds().await, Vec::<&str>::new());
    office.settle(&file(&[line(1, 2_000, 11)])).await;
    assert_eq!(office.kinds().await, ["duplicate"]);
    let ageing = queries::ageing(&mut office.till.store.read(), office.till.workspace, office.till.store.clock().now()).await.unwrap();
    assert_eq!((ageing.len(), ageing[0].to_1_day, ageing[0].older), (1, 1, 0));
    let later = office.till.store.clock().now().plus(Duration::from_secs(40 * 86_400));
    let ageing = queries::ageing(&mut office.till.store.read(), office.till.workspace, later).await.unwrap();
    assert_eq!((ageing[0].to_1_day, ageing[0].older), (0, 1));
    office.till.close_books().await;
}

#[tokio::test]
async fn a_bank_line_is_matched_with_its_batch_and_another_amount_is_an_exception() {
    let office = Office::new().await;
    office.expect(&[1_000, 2_000]).await;
    office.settle(&file(&[line(0, 1_000, 10), line(1, 2_000, 20)])).await;
    let second = "payment,x,,po_2,EUR,500,0,500,\n".to_owned();
    office.settle(&file(&[second])).await;
    let statement =
        "date,amount_minor,currency,reference\n2026-01-31,2970,EUR,STRIPE po_1\n2026-01-31,499,EUR,po_2\n2026-01-31,1,EUR,rent\n";
    for new in [3, 0] {
        let lines = Arc::new(read_bank_lines(statement.as_bytes()).unwrap());
        let store = &office.till.store;
        let kept = store.write(&office.first, lines, |tx, lines| Box::pin(async move { commands::take_bank_lines(tx, lines).await }));
        assert_eq!(kept.await.unwrap(), new, "a line is kept once");
    }
    office.till.settle().await;
    assert_eq!(office.kinds().await, ["extra", "under"]);
    let under = office.only(ExceptionKind::Under).await;
    assert_eq!((under.batch.as_deref(), under.expected_minor, under.got_minor), (Some("po_2"), Some(500), Some(499)));
    assert!(!office.act(&under, Action::WriteOff).await.unwrap().is_open);
    assert_eq!(office.balance("differences").await, 1);
    office.till.close_books().await;
}

#[tokio::test]
async fn a_posting_that_is_not_in_the_ledger_is_found() {
    let office = Office::new().await;
    let good = office.till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    office.till.sim.pay(&good.attempts[0].id.to_string()).unwrap();
    office.till.settle().await;
    let broken = office.till.begin(2_000, "EUR", CaptureMethod::Automatic).await;
    let event = payments::Event::Charged {
        attempt: broken.attempts[0].id,
        amount_minor: 2_000,
        charge_ref: None,
        is_surplus: false,
        crypto_amount: None,
    };
    let body = serde_json::to_string(&event).unwrap();
    let row = row_params![office.till.workspace, broken.id, broken.version + 1, event.name(), body];
    office.till.write(row, |tx, row| Box::pin(async move { Ok(tx.execute(&BREAK_HISTORY, &row).await?) })).await.unwrap();
    for id in [good.id, broken.id, broken.id] {
        let input = (office.till.workspace, jobs::CheckPostings { intent: id });
        office
            .till
            .write(input, |tx, (workspace, job)| {
                Box::pin(async move { outbox::enqueue(tx, workspace, &job).await.map(|_| ()).map_err(PaymentError::from) })
            })
            .await
            .unwrap();
    }
    office.till.settle().await;
    let found = office.only(ExceptionKind::Posting).await;
    assert_eq!((found.subject, found.owner), (Some(broken.attempts[0].id.to_string()), Some(broken.id.to_string())));
    assert_eq!(office.kinds().await, ["posting"]);
    office.till.close_books().await;
}

#[tokio::test]
async fn a_report_that_cannot_be_settled_in_whole_says_so_and_a_stranger_may_not() {
    let office = Office::new().await;
    let refused = office.take(&format!("{COLUMNS}\n")).await.unwrap_err();
    assert_eq!(fields(&refused), ["body must be a report with at least one line"]);
    let nobody = Caller::Person {
        workspace: office.till.workspace,
        member: kernel::MemberId::from_raw(RawId::from_bits(1)),
        grants: Grants::of([payments::grants::READ]),
    };
    let asked = office.act_as(&nobody, ExceptionId::from_raw(RawId::from_bits(1)), 1, Action::WriteOff).await;
    assert!(matches!(asked, Err(PaymentError::NotAllowed(_))), "{asked:?}");
    let asked = office.act_as(&office.first, ExceptionId::from_raw(RawId::from_bits(1)), 1, Action::WriteOff).await;
    assert!(matches!(asked, Err(PaymentError::NotFound { .. })), "{asked:?}");
    office.till.close_books().await;
}

#[tokio::test]
async fn gross_is_fee_and_net_and_nothing_is_matched_twice() {
    // Reports of any lines about twelve payments, some twice, some wrong, some not adding up, in several files.
    let lines = prop::collection::vec((0_usize..14, -2_i64..3, -2_i64..50, 0_u8..12), 1..40);
    let strategy = prop::collection::vec(lines, 1..4);
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    for _ in 0..8 {
        let reports = strategy.new_tree(&mut runner).unwrap().current();
        let office = Office::new().await;
        let amounts: Vec<i64> = (0..12).map(|number| if number % 4 == 3 { -700 - number } else { 1_000 + number }).collect();
        office.expect(&amounts).await;
        let (mut taken, mut first): (BTreeMap<usize, ()>, i128) = (BTreeMap::new(), 0);
        let mut not_matched = 0_i64;
        for (round, report) in reports.iter().enumerate() {
            let written = report.iter().map(|(number, off, fee, unbalanced)| {
                let gross = amounts.get(*number).copied().unwrap_or(5_000) + if *off < 0 { 0 } else { *off / 2 };
                let net = gross - fee + i64::from(*unbalanced == 0);
                let kind = if gross < 0 { "refund" } else { "payment" };
                let is_good = *unbalanced != 0 && amounts.get(*number) == Some(&gross) && taken.insert(*number, ()).is_none();
                if is_good {
                    first += i128::from(gross);
                } else {
                    not_matched += 1;
                }
                format!("{kind},{},ref-{round},po_{round},EUR,{gross},{fee},{net},\n", subject(*number))
            });
            let written: Vec<String> = written.collect();
            office.settle(&file(&written)).await;
        }
        let mut reads = office.till.store.read();
        let workspace = office.till.workspace;
        let (matched, distinct) = reads
            .row(&MATCHED_LINES, store::params![&workspace], |row| Ok((row.get::<i64>("matched")?, row.get::<i64>("lines")?)))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(matched, distinct, "a line is matched with one thing");
        assert_eq!(matched, taken.len() as i64, "{reports:?}");
        assert_eq!(office.balance("clearing.stripe").await, -first, "only what matched is settled: {reports:?}");
        assert_eq!(office.balance("bank").await + office.balance("fees").await, first, "gross = fee + net: {reports:?}");
        let of_lines = office.open().await.iter().filter(|exception| exception.line.is_some()).count() as i64;
        assert_eq!(of_lines.min(100), not_matched.min(100), "{reports:?}");
        office.till.close_books().await;
    }
}

#[tokio::test]
async fn every_statement_is_understood_by_the_engine() {
    let till = store::testing::store().await;
    assert_eq!(till.prepare_all(payments::SETTLEMENT_STATEMENTS).await, Vec::<String>::new());
    assert_eq!(jobs::BookSettlement::LANE, SettleDaily::LANE, "reports of one installation are booked one after the other");
}
