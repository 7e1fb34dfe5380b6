//! Replay: a busy till's history makes the same rows on another database, on either engine; what is not the history's is found, and
//! a file that is not as it was written makes nothing.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::time::Duration;

use kernel::{Currency, Id as _, MemberId, Money, RawId};
use payments::commands::{self, NewPayment, PayoutWanted};
use payments::replay::{self, FileFault, ReplayError, Report, Source};
use payments::{BeneficiaryId, CaptureMethod, Destination, IntentState, PayoutSettings, PayoutState, queries};
use serde_json::json;
use sim::Dialect;
use sim::faults::{Fault, Rule};
use store::{Reads as _, Row, Sql, Store, StoreError};

use crate::till::Till;

/// Every column of every table that the history makes, as text.
static TABLES: [Sql; 5] = [
    Sql::new("select workspace, subject, cast(version as text), name, actor, cast(recorded_at as text), body from payments_events"),
    Sql::new(
        "select workspace, id, cast(version as text), state, cast(amount_minor as text), currency, customer, link,
         cast(created_at as text), cast(changed_at as text), body from payments_intents",
    ),
    Sql::new(
        "select workspace, id, cast(version as text), state, provider, beneficiary, cast(amount_minor as text), currency,
         cast(created_at as text), cast(changed_at as text), body from payments_payouts",
    ),
    Sql::new("select workspace, provider, reference, owner, subject from payments_references"),
    Sql::new(
        "select workspace, subject, attempt, owner, provider, kind, currency, cast(amount_minor as text), cast(expected_at as text),
         case when is_missing then 'missing' else '' end, settlement, cast(line as text) from payments_expected",
    ),
];

fn texts<const N: usize>(row: &Row<'_>) -> Result<Vec<Option<String>>, StoreError> {
    (0..N).map(|column| row.get(column)).collect()
}

/// All rows of the five tables, sorted.
async fn rows(store: &Store) -> Vec<Vec<Vec<Option<String>>>> {
    let mut reads = store.read();
    let mut all = vec![
        reads.rows(&TABLES[0], &[], texts::<7>).await.unwrap(),
        reads.rows(&TABLES[1], &[], texts::<11>).await.unwrap(),
        reads.rows(&TABLES[2], &[], texts::<11>).await.unwrap(),
        reads.rows(&TABLES[3], &[], texts::<5>).await.unwrap(),
        reads.rows(&TABLES[4], &[], texts::<12>).await.unwrap(),
    ];
    all.iter_mut().for_each(|rows| rows.sort());
    all
}

fn money(amount_minor: i64, currency: &str) -> Money {
    Money::new(amount_minor, Currency::parse(currency).unwrap())
}

fn reference(intent: &payments::Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

/// A payment that is paid.
async fn paid(till: &Till, amount_minor: i64, currency: &str, method: CaptureMethod) -> payments::Intent {
    let intent = till.begin(amount_minor, currency, method).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    till.intent(intent.id).await
}

async fn payout(till: &Till, dialect: Dialect, number: &str, amount: Money) -> payments::PayoutId {
    let id = BeneficiaryId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let (bank_code, account_number) = ("058".to_owned(), number.to_owned());
    let destination = Destination { bank_code, account_number, account_name: "Jide Balogun".to_owned() };
    let sealed = commands::seal_beneficiary(till.store.vault(), id, &destination, Some("NG".to_owned())).unwrap();
    let beneficiary = till.write(sealed, |tx, sealed| Box::pin(commands::add_beneficiary(tx, sealed))).await.unwrap();
    let provider = Some(till.providers[&dialect]);
    let wanted = PayoutWanted { beneficiary: beneficiary.id, amount, provider, narration: Some("Week \"12\"".to_owned()) };
    let asked = till.write(wanted, |tx, wanted| Box::pin(commands::request_payout(tx, wanted))).await.unwrap();
    till.settle().await;
    asked.id
}

/// Payments and payouts in every state that a day brings.
async fn busy() -> Till {
    let till = Till::new(&[Dialect::Stripe, Dialect::Monnify, Dialect::Paypal]).await;
    let euros = json!([{ "name": "Euros", "priority": 1, "when": { "currencies": ["EUR"] }, "then": { "chain": [till.providers[&Dialect::Stripe]] } },
        { "name": "All else", "priority": 9, "then": { "chain": [till.providers[&Dialect::Monnify], till.providers[&Dialect::Paypal]] } }]);
    till.write(euros, |tx, rules| Box::pin(async move { commands::set_routes(tx, 0, &rules).await })).await.unwrap();
    // Paid, and given back in two parts.
    let intent = paid(&till, 1_250, "EUR", CaptureMethod::Automatic).await;
    till.refund(intent.id, Some(500)).await.unwrap();
    till.store.clock().advance(Duration::from_micros(7));
    till.refund(intent.id, Some(250)).await.unwrap();
    // Captured in parts, the rest released; another one called off.
    let intent = paid(&till, 10_000, "USD", CaptureMethod::Manual).await;
    till.capture(intent.id, Some(4_000), false).await.unwrap();
    till.capture(intent.id, Some(1_000), true).await.unwrap();
    let intent = paid(&till, 900, "EUR", CaptureMethod::Manual).await;
    till.cancel(intent.id).await.unwrap();
    // Waiting for the payer; expired; with words of every sort.
    till.begin(77, "EUR", CaptureMethod::Automatic).await;
    let mut new = NewPayment::of(money(1, "JPY"));
    // Fractions that are read as their neighbours, numbers beyond what a fraction holds, and what has to be escaped.
    let numbers = json!([0.907_303_832_202_868_9, 0.481_837_925_201_105_24, 1e-7, 123_456_789.123_456_78, 9_007_199_254_740_993_i64]);
    new.metadata = Some(json!({ "b": 0.1, "a": numbers, "c": { "d": null, "": "ẞ \u{2028}\\\"" } }));
    new.description = Some("Zwei Lampen – 2 \"große\"".to_owned());
    new.customer = Some("mem_x".to_owned());
    new.expires_at = Some(till.store.clock().now().plus(Duration::from_secs(60)));
    till.write(new, |tx, new| Box::pin(async move { commands::create(tx, new).await })).await.unwrap();
    // Another amount than was asked for.
    let intent = till.begin(4_000, "EUR", CaptureMethod::Automatic).await;
    till.sim.add_fault(Rule::always(Dialect::Stripe, "pay", Fault::WrongAmount).times(1)).unwrap();
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    // Two pages of one payment are paid: one is a surplus.
    let intent = till.begin(5_000, "NGN", CaptureMethod::Automatic).await;
    till.sim.add_fault(Rule::always(Dialect::Monnify, "expire", Fault::Error500)).unwrap();
    let first = reference(&intent);
    till.start(intent.id).await.unwrap();
    till.settle().await;
    till.sim.pay(&reference(&till.intent(intent.id).await)).unwrap();
    till.settle().await;
    till.sim.pay(&first).unwrap();
    till.pass(Duration::from_secs(120)).await;
    // Declined; then one whose answer never comes.
    let intent = till.begin(600, "EUR", CaptureMethod::Automatic).await;
    till.sim.decline(&reference(&intent), "insufficient_funds").unwrap();
    till.settle().await;
    till.sim.add_fault(Rule::always(Dialect::Stripe, "create", Fault::TimeoutBefore)).unwrap();
    till.begin(601, "EUR", CaptureMethod::Automatic).await;
    till.sim.clear_faults();
    payouts(&till).await;
    till
}

async fn payouts(till: &Till) {
    let limits = BTreeMap::from([("NGN".to_owned(), 100_000), ("USD".to_owned(), 100_000)]);
    let settings = PayoutSettings { version: 0, limits, runs_on_weekends: true, utc_offset_min: 0 };
    till.write(settings, |tx, settings| Box::pin(commands::set_payout_settings(tx, settings))).await.unwrap();
    for (dialect, amount) in [(Dialect::Monnify, money(10_000, "NGN")), (Dialect::Paypal, money(9_000, "USD"))] {
        let input = (till.providers[&dialect], amount);
        till.write(input, |tx, (provider, amount)| Box::pin(commands::top_up_float(tx, provider, amount))).await.unwrap();
    }
    // Paid, paid where reports list it, waiting for the float, waiting for people, refused.
    payout(till, Dialect::Monnify, "0123456789", money(6_000, "NGN")).await;
    payout(till, Dialect::Paypal, "jide@example.org", money(2_000, "USD")).await;
    payout(till, Dialect::Monnify, "0123456789", money(50_000, "NGN")).await;
    payout(till, Dialect::Monnify, "0123456789", money(100_001, "NGN")).await;
    let refused = payout(till, Dialect::Monnify, "0123456789", money(100_002, "NGN")).await;
    let member = MemberId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let grants = kernel::Grants::of([payments::grants::APPROVE]);
    let other = kernel::Caller::Person { workspace: till.workspace, member, grants };
    let refusal = till
        .store
        .write(&other, refused, |tx, id| Box::pin(async move { commands::refuse_payout(tx, id, "not this week".to_owned()).await }));
    refusal.await.unwrap();
    till.settle().await;
}

async fn exported(store: &Store) -> (String, String) {
    let (written, bytes) = replay::export(store, Vec::new()).await.unwrap();
    (String::from_utf8(bytes).unwrap(), written.sha256)
}

async fn restored(store: &Store, file: &str) -> Result<Report, ReplayError> {
    replay::restore(store, || Ok(Cursor::new(file.as_bytes().to_vec()))).await
}

/// Everything that a till can come to is in the busy one, or the comparison says less than it seems to.
async fn is_busy(till: &Till) {
    let mut reads = till.store.read();
    let filter = queries::Filter::default();
    let intents = queries::list(&mut reads, till.workspace, &filter, None, 200).await.unwrap();
    let states: Vec<IntentState> = intents.iter().map(payments::Intent::state).collect();
    for state in [IntentState::Succeeded, IntentState::RequiresAction, IntentState::Canceled, IntentState::Expired, IntentState::Processing]
    {
        assert!(states.contains(&state), "{state:?} is missing: {states:?}");
    }
    let attempts: Vec<&str> = intents.iter().flat_map(|intent| &intent.attempts).map(|attempt| attempt.state.as_str()).collect();
    for state in ["quarantined", "unknown", "declined", "voided", "charged"] {
        assert!(attempts.contains(&state), "{state} is missing: {attempts:?}");
    }
    assert!(intents.iter().any(|intent| intent.refunds.iter().any(|refund| Some(refund.attempt) != intent.kept)), "no surplus");
    let payouts = queries::payouts(&mut reads, till.workspace, None, None, None, 200).await.unwrap();
    let states: Vec<PayoutState> = payouts.iter().map(|payout| payout.state).collect();
    for state in [PayoutState::Paid, PayoutState::Approved, PayoutState::RiskReview, PayoutState::Refused] {
        assert!(states.contains(&state), "{state:?} is missing: {states:?}");
    }
}

#[tokio::test]
async fn the_history_of_a_busy_till_makes_the_same_rows_on_an_empty_database() {
    let till = busy().await;
    is_busy(&till).await;
    let own = replay::check(&till.store).await.unwrap();
    assert!(own.is_same(), "{own}");
    let (file, sha256) = exported(&till.store).await;
    assert_eq!(own.events_sha256, sha256);
    let before = rows(&till.store).await;
    let log = |store: &Store| {
        static ENTRIES: Sql = Sql::new("select cast(count(*) as text) from outbox_log");
        static TRANSFERS: Sql = Sql::new("select cast(count(*) as text) from ledger_transfers");
        let mut reads = store.read();
        async move {
            let entries = reads.row(&ENTRIES, &[], texts::<1>).await.unwrap();
            (entries, reads.row(&TRANSFERS, &[], texts::<1>).await.unwrap())
        }
    };

    // On the same engine, and on SQLite, which is another one where the till's is PostgreSQL.
    let place = store::testing::fresh_place().await;
    let on_sqlite = Store::open(store::Config { database_url: None, ..place.config() }).await.unwrap();
    let again = store::testing::store().await;
    for target in [&*again, &on_sqlite] {
        let empty = log(target).await;
        let report = restored(target, &file).await.unwrap();
        assert!(report.is_same(), "{report}");
        assert_eq!((report.counts(), &report.events_sha256), (own.counts(), &sha256));
        assert_eq!(report.workspaces[0].rows_sha256, own.workspaces[0].rows_sha256);
        for (there, here) in rows(target).await.iter().zip(&before) {
            assert!(!here.is_empty());
            assert_eq!(there, here);
        }
        assert_eq!(log(target).await, empty, "nothing is posted, sent or begun");
        assert_eq!(exported(target).await.1, sha256);

        // Each replay is in the audit trail, by itself; the same file again makes nothing new.
        replay::record(target, &report, Source::File).await.unwrap();
        let trail = outbox::audit_list(&mut target.read(), till.workspace, None, 10).await.unwrap();
        assert_eq!(trail.len(), 1);
        assert_eq!((trail[0].action.as_str(), trail[0].actor.as_str()), ("payments.replayed", "system:payments.replay"));
        assert_eq!(trail[0].details["rows_sha256"], report.workspaces[0].rows_sha256.as_str());
        assert_eq!((&trail[0].details["differences"], &trail[0].details["source"]), (&json!(0), &json!("file")));
        assert!(restored(target, &file).await.unwrap().is_same());
        assert_eq!(rows(target).await, before);
    }
    on_sqlite.close().await;
    till.close().await;
}

#[tokio::test]
async fn a_file_that_is_not_as_it_was_written_is_refused_with_the_line_and_makes_nothing() {
    let till = Till::new(&[Dialect::Stripe]).await;
    for amount in [1_250, 2_500] {
        let intent = paid(&till, amount, "EUR", CaptureMethod::Automatic).await;
        till.refund(intent.id, Some(100)).await.unwrap();
    }
    let (file, _) = exported(&till.store).await;
    let lines: Vec<&str> = file.split_inclusive('\n').collect();
    let count = lines.len();
    assert!(count > 12, "{count}");
    let swapped: String = [&lines[..4], &[lines[5], lines[4]], &lines[6..]].concat().concat();
    let left_out: String = [&lines[..6], &lines[7..]].concat().concat();
    let put_in: String = [&lines[..6], &[lines[5]], &lines[6..]].concat().concat();
    let whole_history_left_out = {
        let second = lines.iter().skip(2).position(|line| line.contains(r#""version":1,"#)).unwrap() + 2;
        ([&lines[..1], &lines[second..]].concat().concat(), 2)
    };
    let bad = [
        (lines[..count - 1].concat(), count as u64),
        (lines[..count - 1].concat() + &lines[count - 1][..20], count as u64),
        (file.trim_end().to_owned(), count as u64),
        (lines[..7].concat() + &lines[7][..lines[7].len() / 2], 8),
        (file.replacen("2500", "2501", 1), 1 + lines.iter().position(|line| line.contains("2500")).unwrap() as u64),
        (swapped, 5),
        (left_out, 7),
        (put_in, 7),
        whole_history_left_out,
        (file.clone() + lines[3], count as u64 + 1),
        (file.clone() + "\n", count as u64 + 1),
        (lines[1..].concat(), 1),
        (String::new(), 1),
        ("kind,reference\n".to_owned(), 1),
        (lines[..5].concat() + "not JSON\n" + &lines[5..].concat(), 6),
        (file.replace("\"format\":1", "\"format\":2"), 1),
    ];
    let empty = store::testing::store().await;
    for (number, (text, line)) in bad.into_iter().enumerate() {
        let refused = restored(&empty, &text).await;
        assert!(matches!(&refused, Err(ReplayError::File(fault)) if fault.line == line), "case {number}, line {line}: {refused:?}");
        let words = refused.unwrap_err().to_string();
        assert!(words.starts_with(&format!("line {line}: ")) && words.contains("tessera payments events"), "{words}");
        assert!(rows(&empty).await.iter().all(Vec::is_empty), "case {number}");
    }
    assert!(restored(&empty, &file).await.unwrap().is_same());
    till.close().await;
}

/// The file with other words in it, and chains that fit them: what only the engine can judge.
fn forged(file: &str, change: impl Fn(usize, &str) -> Option<String>) -> String {
    use sha2::Digest as _;
    let (mut chain, mut out) = ([0_u8; 32], String::new());
    for (number, line) in file.lines().enumerate() {
        let words = line.rsplit_once(",\"chain\":").unwrap().0;
        let Some(words) = change(number + 1, words) else { continue };
        chain = sha2::Sha256::new().chain_update(chain).chain_update(&words).finalize().into();
        let digits: String = chain.iter().map(|byte| format!("{byte:02x}")).collect();
        out += &format!("{words},\"chain\":\"{digits}\"}}\n");
    }
    out
}

#[tokio::test]
async fn a_file_whose_digests_were_made_anew_is_refused_where_its_events_make_no_payment() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid(&till, 1_250, "EUR", CaptureMethod::Automatic).await;
    till.refund(intent.id, Some(100)).await.unwrap();
    let (file, _) = exported(&till.store).await;
    assert_eq!(forged(&file, |_, words| Some(words.to_owned())), file, "nothing was changed yet");
    let last = file.lines().count() as u64;
    let replaced = |line: usize, from: &'static str, to: &'static str| {
        forged(&file, move |number, words| {
            assert!(number != line || words.contains(from), "{words}");
            Some(if number == line { words.replacen(from, to, 1) } else { words.to_owned() })
        })
    };
    let bad = [
        (forged(&file, |number, words| (number != 4).then(|| words.to_owned())), 4, "out of order or missing"),
        (replaced(3, r#""name":"attempt_started""#, r#""name":"charged""#), 3, "is called"),
        (replaced(3, r#""event":"attempt_started""#, r#""event":"attempt_stolen""#), 3, "cannot be read"),
        (replaced(2, r#""amount_minor":1250"#, r#""amount_minor":12.5"#), 2, "cannot be read"),
        (replaced(2, r#"{"workspace":"ws_"#, r#"{"workspace":"we_"#), 2, "workspace"),
        (replaced(2, r#"{"workspace""#, r#"{"tenant":1,"workspace""#), 2, "unknown field"),
        (replaced(last as usize, r#"{"events":"#, r#"{"events":1"#), last, "events where there are"),
    ];
    let empty = store::testing::store().await;
    for (text, line, word) in bad {
        let refused = restored(&empty, &text).await;
        assert!(
            matches!(&refused, Err(ReplayError::File(FileFault { line: at, why })) if *at == line && why.contains(word)),
            "{word}: {refused:?}"
        );
        assert!(rows(&empty).await.iter().all(Vec::is_empty), "{word}");
    }
    till.close().await;
}

#[tokio::test]
async fn a_replay_that_was_stopped_goes_on_and_one_into_other_payments_is_refused() {
    let till = Till::new(&[Dialect::Stripe]).await;
    for amount in [1_250, 2_500] {
        paid(&till, amount, "EUR", CaptureMethod::Automatic).await;
    }
    let (beginning, _) = exported(&till.store).await;
    // Later payments sort behind: the first file is the beginning of the second.
    till.store.clock().advance(Duration::from_secs(5));
    paid(&till, 3_750, "EUR", CaptureMethod::Automatic).await;
    let (file, _) = exported(&till.store).await;
    let target = store::testing::store().await;
    assert!(restored(&target, &beginning).await.unwrap().is_same());
    let part = rows(&target).await;
    assert!(restored(&target, &file).await.unwrap().is_same());
    assert_eq!(rows(&target).await, rows(&till.store).await);
    assert_ne!(rows(&target).await, part);
    // What has gone on is no beginning of the older file any more, and what was never in it is not either.
    assert!(matches!(restored(&target, &beginning).await, Err(ReplayError::Occupied)));
    let stranger = Till::new(&[Dialect::Stripe]).await;
    paid(&stranger, 100, "EUR", CaptureMethod::Automatic).await;
    let theirs = rows(&stranger.store).await;
    assert!(matches!(restored(&stranger.store, &file).await, Err(ReplayError::Occupied)));
    assert_eq!(rows(&stranger.store).await, theirs);
    till.close().await;
    stranger.close().await;
}

#[tokio::test]
async fn each_row_that_its_events_do_not_make_is_named_and_nothing_is_changed() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid(&till, 1_250, "EUR", CaptureMethod::Automatic).await;
    let other = paid(&till, 900, "EUR", CaptureMethod::Automatic).await;
    till.refund(intent.id, Some(100)).await.unwrap();
    // As somebody with a raw connection may: each statement with what the report says of it.
    static WRONG: [(&str, Sql); 6] = [
        ("state is \"canceled\", its events make \"succeeded\"", Sql::new("update payments_intents set state = 'canceled' where id = $1")),
        (
            "body differs at /captured",
            Sql::new("update payments_intents set body = replace(body, '\"version\"', '\"captured\":1,\"version\"') where id = $1"),
        ),
        (
            "amount_minor is 1, its events make 1250",
            Sql::new("update payments_expected set amount_minor = 1 where owner = $1 and kind = 'payment'"),
        ),
        ("is missing", Sql::new("delete from payments_references where owner = $1 and reference like 'prf_%'")),
        (
            "no event of its owner",
            Sql::new(
                "insert into payments_references (workspace, provider, reference, owner, subject)
            select workspace, provider, 'made up', owner, subject from payments_references where owner = $1 and provider = ''",
            ),
        ),
        (
            "no event makes it",
            Sql::new(
                "insert into payments_intents (workspace, id, version, state, amount_minor, currency, created_at, changed_at, body)
            select workspace, 'pay_00000000000000000000000000000000', version, state, amount_minor, currency, created_at, changed_at, body
            from payments_intents where id = $1",
            ),
        ),
    ];
    for (number, (words, statement)) in WRONG.iter().enumerate() {
        let id = if number < 4 { intent.id } else { other.id };
        till.write(id, move |tx, id| {
            Box::pin(async move {
                tx.execute(statement, store::params![&id]).await?;
                Ok(())
            })
        })
        .await
        .unwrap();
        let before = rows(&till.store).await;
        let report = replay::check(&till.store).await.unwrap();
        assert!(!report.is_same() && report.to_string().contains(words), "{words}:\n{report}");
        assert_eq!(rows(&till.store).await, before);
        assert_eq!(report.workspaces[0].differences, report.differences_found);
    }
    till.settle().await;
    till.sim.stop().await;
}

#[tokio::test]
async fn every_statement_of_replays_is_understood() {
    let store = store::testing::store().await;
    let failed = store.prepare_all(payments::REPLAY_STATEMENTS).await;
    assert!(failed.is_empty(), "{failed:?}");
}
