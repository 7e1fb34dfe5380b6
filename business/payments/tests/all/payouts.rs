//! Money that goes out: the gates, the funds, the sending, and what the books say at the end of each way.

use std::collections::BTreeMap;
use std::time::Duration;

use kernel::{Caller, Currency, Grants, Id as _, MemberId, Money, RawId};
use payments::commands::{self, PayoutWanted, ProviderEdit};
use payments::{
    Beneficiary, BeneficiaryId, CaptureMethod, ConductPayout, Destination, NameCheck, PaymentError, Payout, PayoutId, PayoutRefusal,
    PayoutSettings, PayoutState, Wait, queries,
};
use serde_json::json;
use sim::Dialect;
use sim::bank::MovementKind;
use sim::faults::{Fault, Rule};

use crate::till::Till;

const LIMIT_MINOR: i64 = 100_000;
const JIDE: &str = "0123456789";

fn ngn(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("NGN").unwrap())
}

fn usd(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("USD").unwrap())
}

/// Another person of the workspace, who may decide about payouts.
fn person(till: &Till) -> Caller {
    let member = MemberId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let grants = Grants::of([payments::grants::APPROVE, payments::grants::PAY_OUT, payments::grants::MANAGE]);
    Caller::Person { workspace: till.workspace, member, grants }
}

/// A workspace with providers where payouts up to the limit need nobody.
async fn till(dialects: &[Dialect]) -> Till {
    let till = Till::new(dialects).await;
    set(&till, true).await;
    till
}

async fn set(till: &Till, runs_on_weekends: bool) {
    let version = queries::payout_settings(&mut till.store.read(), till.workspace).await.unwrap().version;
    let limits = BTreeMap::from([("NGN".to_owned(), LIMIT_MINOR), ("USD".to_owned(), LIMIT_MINOR)]);
    let settings = PayoutSettings { version, limits, runs_on_weekends, utc_offset_min: 0 };
    till.write(settings, |tx, settings| Box::pin(commands::set_payout_settings(tx, settings))).await.unwrap();
}

fn bank(account_number: &str, account_name: &str) -> Destination {
    Destination { bank_code: "058".to_owned(), account_number: account_number.to_owned(), account_name: account_name.to_owned() }
}

async fn beneficiary(till: &Till, destination: &Destination) -> Beneficiary {
    let id = BeneficiaryId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let sealed = commands::seal_beneficiary(till.store.vault(), id, destination, Some("NG".to_owned())).unwrap();
    till.write(sealed, |tx, sealed| Box::pin(commands::add_beneficiary(tx, sealed))).await.unwrap()
}

async fn top_up(till: &Till, dialect: Dialect, amount: Money) {
    let input = (till.providers[&dialect], amount);
    till.write(input, |tx, (provider, amount)| Box::pin(commands::top_up_float(tx, provider, amount))).await.unwrap();
}

async fn ask(till: &Till, dialect: Dialect, beneficiary: BeneficiaryId, amount: Money) -> Result<Payout, PaymentError> {
    let wanted = PayoutWanted { beneficiary, amount, provider: Some(till.providers[&dialect]), narration: Some("Week 12".to_owned()) };
    till.write(wanted, |tx, wanted| Box::pin(commands::request_payout(tx, wanted))).await
}

/// A payout of this much to Jide at Monnify, as far as it goes by itself.
async fn to_jide(till: &Till, amount_minor: i64) -> Payout {
    let jide = beneficiary(till, &bank(JIDE, "Jide Balogun")).await;
    let asked = ask(till, Dialect::Monnify, jide.id, ngn(amount_minor)).await.unwrap();
    till.settle().await;
    now(till, asked.id).await
}

async fn now(till: &Till, id: PayoutId) -> Payout {
    queries::payout(&mut till.store.read(), till.workspace, id).await.unwrap()
}

async fn approve(till: &Till, caller: &Caller, id: PayoutId) -> Result<Payout, PaymentError> {
    till.store.write(caller, id, |tx, id| Box::pin(commands::approve_payout(tx, id))).await
}

fn out(till: &Till) -> i64 {
    let counted = till.sim.movements().into_iter().map(|movement| match movement.kind {
        MovementKind::PaidOut => movement.amount_minor,
        MovementKind::Returned => -movement.amount_minor,
        _ => 0,
    });
    counted.sum()
}

/// Posted and promised on the float of a provider, in minor units.
async fn float(till: &Till, dialect: Dialect, currency: &str) -> (i64, i64) {
    let currency = Currency::parse(currency).unwrap();
    queries::float(&mut till.store.read(), till.workspace, till.providers[&dialect], currency).await.unwrap()
}

/// The history gives the same payout again, and names no account; then the books verify.
async fn close(till: Till) {
    till.settle().await;
    let payouts = queries::payouts(&mut till.store.read(), till.workspace, None, None, None, 200).await.unwrap();
    for payout in payouts {
        let history = queries::payout_history(&mut till.store.read(), till.workspace, payout.id, 0, 500).await.unwrap();
        let mut again = Payout::begin(&history[0].event, history[0].at).unwrap();
        for recorded in &history[1..] {
            again = again.after(&recorded.event, recorded.at);
        }
        assert_eq!(again, payout, "{history:?}");
        let text = format!("{}{history:?}", serde_json::to_string(&payout).unwrap());
        assert!(!text.contains(JIDE) && !text.to_lowercase().contains("balogun"), "{text}");
        assert_eq!(payout.is_reserved, payout.state.is_at_provider(), "{payout:?}");
    }
    till.close().await;
}

#[tokio::test]
async fn a_payout_below_the_limit_goes_out_once_and_stands_in_the_books() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(10_000)).await;
    let payout = to_jide(&till, 6_000).await;
    assert_eq!((payout.state, payout.approvals.len(), payout.holds.len()), (PayoutState::Paid, 0, 0), "{payout:?}");
    assert_eq!((out(&till), float(&till, Dialect::Monnify, "NGN").await), (6_000, (4_000, 0)));
    assert_eq!(till.balance("payments.payouts.ngn").await, 6_000);
    assert_eq!(till.balance("payments.bank.ngn").await, -10_000);
    // What the bank said of the account is known now.
    let known = queries::beneficiary(&mut till.store.read(), till.workspace, payout.beneficiary).await.unwrap();
    assert_eq!((known.name_check, known.ending.as_str()), (Some(NameCheck::Matches), "6789"));
    close(till).await;
}

#[tokio::test]
async fn of_two_payouts_of_the_whole_float_one_waits_until_there_is_more() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    let jide = beneficiary(&till, &bank(JIDE, "Jide Balogun")).await;
    let (first, second) =
        tokio::join!(ask(&till, Dialect::Monnify, jide.id, ngn(5_000)), ask(&till, Dialect::Monnify, jide.id, ngn(5_000)));
    till.settle().await;
    let both = [now(&till, first.unwrap().id).await, now(&till, second.unwrap().id).await];
    let paid = both.iter().filter(|payout| payout.state == PayoutState::Paid).count();
    let waits = both.iter().find(|payout| payout.state == PayoutState::Approved).unwrap();
    assert_eq!((paid, waits.waits_for, out(&till)), (1, Some(Wait::InsufficientFloat), 5_000), "{both:?}");
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (0, 0));
    // Not enough is still not enough.
    top_up(&till, Dialect::Monnify, ngn(4_999)).await;
    till.settle().await;
    assert_eq!(now(&till, waits.id).await.state, PayoutState::Approved);
    top_up(&till, Dialect::Monnify, ngn(1)).await;
    till.settle().await;
    assert_eq!((now(&till, waits.id).await.state, out(&till)), (PayoutState::Paid, 10_000));
    close(till).await;
}

#[tokio::test]
async fn another_name_than_was_entered_or_no_account_at_all_waits_for_a_person() {
    for (number, name, hold) in [(JIDE, "Ada Obi", "name_differs"), ("0000000000", "Jide Balogun", "account_not_found")] {
        let till = till(&[Dialect::Monnify]).await;
        top_up(&till, Dialect::Monnify, ngn(10_000)).await;
        let other = beneficiary(&till, &bank(number, name)).await;
        let asked = ask(&till, Dialect::Monnify, other.id, ngn(100)).await.unwrap();
        assert_eq!(asked.state, PayoutState::Requested);
        till.settle().await;
        let held = now(&till, asked.id).await;
        assert_eq!((held.state, held.holds[0].as_str()), (PayoutState::RiskReview, hold), "{held:?}");
        assert_eq!((out(&till), float(&till, Dialect::Monnify, "NGN").await), (0, (10_000, 0)));
        // The next one to the same account is held at once, and whoever asked cannot let it go.
        let again = ask(&till, Dialect::Monnify, other.id, ngn(100)).await.unwrap();
        assert_eq!(again.state, PayoutState::RiskReview);
        let own = approve(&till, &till.caller, again.id).await;
        assert!(matches!(own, Err(PaymentError::Payout(PayoutRefusal::OwnRequest))), "{own:?}");
        let another = person(&till);
        let refused = till.store.write(&another, again.id, |tx, id| {
            Box::pin(async move { commands::refuse_payout(tx, id, "another person".to_owned()).await })
        });
        assert_eq!(refused.await.unwrap().state, PayoutState::Refused);
        approve(&till, &person(&till), held.id).await.unwrap();
        till.settle().await;
        let ended = now(&till, held.id).await.state;
        assert!(matches!(ended, PayoutState::Paid | PayoutState::Failed), "{ended:?}");
        close(till).await;
    }
}

#[tokio::test]
async fn above_the_limit_two_people_decide_and_never_a_program_or_who_asked() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(1_000_000)).await;
    let payout = to_jide(&till, LIMIT_MINOR + 1).await;
    assert_eq!((payout.state, payout.approvals_needed()), (PayoutState::RiskReview, 2), "{payout:?}");
    let key = kernel::KeyId::from_raw(RawId::generate(till.store.clock().now(), till.store.entropy()));
    let key = Caller::Key { workspace: till.workspace, key, grants: Grants::of([payments::grants::APPROVE]) };
    let program = approve(&till, &key, payout.id).await;
    assert!(matches!(program, Err(PaymentError::Payout(PayoutRefusal::NotAPerson))), "{program:?}");
    let own = approve(&till, &till.caller, payout.id).await;
    assert!(matches!(own, Err(PaymentError::Payout(PayoutRefusal::OwnRequest))), "{own:?}");
    // The same person at the same time twice is one person.
    let (ada, bola) = (person(&till), person(&till));
    let (first, second) = tokio::join!(approve(&till, &ada, payout.id), approve(&till, &ada, payout.id));
    assert_eq!([&first, &second].iter().filter(|approved| approved.is_ok()).count(), 1, "{first:?} {second:?}");
    assert!([first, second].iter().any(|one| matches!(one, Err(PaymentError::Payout(PayoutRefusal::ApprovedAlready)))));
    till.settle().await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::RiskReview, 0));
    approve(&till, &bola, payout.id).await.unwrap();
    till.settle().await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::Paid, LIMIT_MINOR + 1));
    let late = approve(&till, &person(&till), payout.id).await;
    assert!(matches!(late, Err(PaymentError::Payout(PayoutRefusal::State { .. }))), "{late:?}");
    close(till).await;
}

#[tokio::test]
async fn two_people_who_approve_at_once_let_it_go_once() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(1_000_000)).await;
    let payout = to_jide(&till, LIMIT_MINOR + 1).await;
    let (ada, bola, chidi) = (person(&till), person(&till), person(&till));
    let (a, b, c) = tokio::join!(approve(&till, &ada, payout.id), approve(&till, &bola, payout.id), approve(&till, &chidi, payout.id));
    assert_eq!([a, b, c].iter().filter(|approved| approved.is_ok()).count(), 2);
    till.settle().await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::Paid, LIMIT_MINOR + 1));
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (1_000_000 - LIMIT_MINOR - 1, 0));
    close(till).await;
}

#[tokio::test]
async fn funds_are_kept_released_or_compensated_once_whatever_the_provider_says_and_however_often() {
    let ways: [(&str, PayoutState, i64); 5] = [
        ("SUCCESS", PayoutState::Paid, 1_000),
        ("IN_PROGRESS", PayoutState::Paid, 1_000),
        ("FAILED", PayoutState::Failed, 0),
        ("EXPIRED", PayoutState::Failed, 0),
        ("REVERSED", PayoutState::Reversed, 0),
    ];
    let hooks = [None, Some(Fault::DuplicateWebhook), Some(Fault::ReorderedWebhook), Some(Fault::NoWebhook), Some(Fault::ForgedWebhook)];
    for (word, state, gone) in ways {
        for hook in &hooks {
            let till = till(&[Dialect::Monnify]).await;
            top_up(&till, Dialect::Monnify, ngn(5_000)).await;
            for fault in std::iter::once(Fault::Decline(word.to_owned())).chain(hook.clone()) {
                till.sim.add_fault(Rule::always(Dialect::Monnify, "payout", fault)).unwrap();
            }
            let payout = to_jide(&till, 1_000).await;
            till.pass(Duration::from_secs(120)).await;
            // A job that was run before finds nothing left to do.
            for is_extra in [false, true, true] {
                let again = ConductPayout { payout: payout.id, times: 0, is_extra };
                till.write((till.workspace, again), |tx, (workspace, job)| {
                    Box::pin(async move { Ok(outbox::enqueue(tx, workspace, &job).await?) })
                })
                .await
                .unwrap();
            }
            till.settle().await;
            let payout = now(&till, payout.id).await;
            assert_eq!((payout.state, payout.attention.as_ref()), (state, None), "{word} {hook:?}: {payout:?}");
            assert_eq!(out(&till), gone, "{word} {hook:?}");
            assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (5_000 - gone, 0), "{word} {hook:?}");
            assert_eq!(till.balance("payments.payouts.ngn").await, i128::from(gone), "{word} {hook:?}");
            close(till).await;
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_and_nothing_is_paid_twice() {
    for (dialect, amount) in [(Dialect::Monnify, ngn(1_000)), (Dialect::Ramp, usd(1_000)), (Dialect::Paypal, usd(1_000))] {
        for fault in [Fault::TimeoutAfter, Fault::Error500After, Fault::TimeoutBefore, Fault::Error500] {
            let till = till(&[dialect]).await;
            top_up(&till, dialect, Money::new(5_000, amount.currency)).await;
            till.sim.add_fault(Rule::always(dialect, "payout", fault.clone()).times(1)).unwrap();
            let number = if dialect == Dialect::Paypal { "jide@example.com" } else { JIDE };
            let to = beneficiary(&till, &bank(number, "Jide Balogun")).await;
            let id = ask(&till, dialect, to.id, amount).await.unwrap().id;
            till.settle().await;
            till.pass(Duration::from_secs(300)).await;
            let mut payout = now(&till, id).await;
            let was_lost = matches!(fault, Fault::TimeoutBefore | Fault::Error500) && dialect == Dialect::Monnify;
            let mut gone = 1_000;
            if was_lost {
                // Monnify keeps no keys: a person says how it ended, and nobody else.
                assert_eq!((payout.state, payout.is_reserved), (PayoutState::Unknown, true), "{fault:?}: {payout:?}");
                assert_eq!(float(&till, dialect, "NGN").await, (5_000, 1_000));
                let another = person(&till);
                let resolved = till.store.write(&another, id, |tx, id| {
                    Box::pin(async move { commands::resolve_payout(tx, id, false, "Monnify has nothing".to_owned()).await })
                });
                payout = resolved.await.unwrap();
                assert_eq!(payout.state, PayoutState::Failed);
                gone = 0;
            } else {
                till.pass(Duration::from_secs(86_400)).await;
                payout = now(&till, payout.id).await;
                assert_eq!(payout.state, PayoutState::Paid, "{dialect:?} {fault:?}: {payout:?}");
            }
            assert_eq!(out(&till), gone, "{dialect:?} {fault:?}: {payout:?}");
            assert_eq!(float(&till, dialect, &amount.currency.to_string()).await, (5_000 - gone, 0), "{dialect:?} {fault:?}");
            close(till).await;
        }
    }
}

#[tokio::test]
async fn another_amount_than_was_asked_for_is_not_believed_and_a_person_says_how_it_ended() {
    for (fault, was_paid) in [(Fault::WrongAmount, true), (Fault::WrongCurrency, false)] {
        let till = till(&[Dialect::Monnify]).await;
        top_up(&till, Dialect::Monnify, ngn(5_000)).await;
        till.sim.add_fault(Rule::always(Dialect::Monnify, "payout", fault.clone())).unwrap();
        let payout = to_jide(&till, 1_000).await;
        till.pass(Duration::from_secs(300)).await;
        let payout = now(&till, payout.id).await;
        assert!(payout.attention.is_some() && payout.state.is_at_provider(), "{fault:?}: {payout:?}");
        assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (5_000, 1_000), "{fault:?}");
        let another = person(&till);
        let input = (payout.id, was_paid);
        let resolved = till.store.write(&another, input, |tx, (id, was_paid)| {
            Box::pin(async move { commands::resolve_payout(tx, id, was_paid, "asked by telephone".to_owned()).await })
        });
        let state = resolved.await.unwrap().state;
        assert_eq!(state, if was_paid { PayoutState::Paid } else { PayoutState::Failed });
        assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (if was_paid { 4_000 } else { 5_000 }, 0));
        close(till).await;
    }
}

#[tokio::test]
async fn a_payout_by_stripe_goes_out_of_what_was_paid_there() {
    let till = till(&[Dialect::Stripe]).await;
    let intent = till.begin(50_000, "USD", CaptureMethod::Automatic).await;
    till.sim.pay(&intent.open_attempt().unwrap().id.to_string()).unwrap();
    till.settle().await;
    top_up(&till, Dialect::Stripe, usd(5_000)).await;
    let ours = beneficiary(&till, &Destination { bank_code: String::new(), ..bank("default", "Ours") }).await;
    let id = ask(&till, Dialect::Stripe, ours.id, usd(2_000)).await.unwrap().id;
    till.settle().await;
    till.pass(Duration::from_secs(7 * 86_400)).await;
    let payout = now(&till, id).await;
    assert_eq!((payout.state, out(&till)), (PayoutState::Paid, 2_000), "{payout:?}");
    assert_eq!(float(&till, Dialect::Stripe, "USD").await, (3_000, 0));
    close(till).await;
}

#[tokio::test]
async fn a_payout_waits_for_its_password_and_a_wrong_one_leaves_it() {
    let till = till(&[Dialect::Monnify]).await;
    let settings = json!({ "contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::providers::monnify::OTP_WALLET });
    let edit = (till.providers[&Dialect::Monnify], ProviderEdit { settings: Some(settings), ..ProviderEdit::default() });
    till.write(edit, |tx, (id, edit)| Box::pin(async move { commands::edit_provider(tx, id, 1, edit).await })).await.unwrap();
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    let payout = to_jide(&till, 1_000).await;
    assert_eq!((payout.state, out(&till)), (PayoutState::OtpRequired, 0), "{payout:?}");
    let canceled = till.write(payout.id, |tx, id| Box::pin(commands::cancel_payout(tx, id))).await;
    assert!(matches!(canceled, Err(PaymentError::Payout(PayoutRefusal::State { .. }))), "{canceled:?}");
    for (otp, state, gone) in [("000000", PayoutState::OtpRequired, 0), (sim::providers::monnify::OTP, PayoutState::Paid, 1_000)] {
        let sealed = commands::seal_otp(till.store.vault(), payout.id, otp).unwrap();
        let input = (payout.id, sealed);
        till.write(input, |tx, (id, sealed)| Box::pin(commands::confirm_payout(tx, id, sealed))).await.unwrap();
        till.settle().await;
        let payout = now(&till, payout.id).await;
        assert_eq!((payout.state, out(&till)), (state, gone), "{payout:?}");
    }
    for wrong in ["", "12 34", "123456789012345678901"] {
        assert!(commands::seal_otp(till.store.vault(), payout.id, wrong).is_err(), "{wrong}");
    }
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (4_000, 0));
    close(till).await;
}

#[tokio::test]
async fn where_weekends_are_free_a_payout_waits_for_monday() {
    let till = till(&[Dialect::Monnify]).await;
    set(&till, false).await;
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    let day = |till: &Till| till.store.clock().now().as_seconds().div_euclid(86_400);
    // The first day of 1970 was a Thursday, so that Saturday is 2 after it.
    let until_saturday = (2 - day(&till).rem_euclid(7)).rem_euclid(7);
    till.pass(Duration::from_secs(until_saturday.unsigned_abs() * 86_400)).await;
    let payout = to_jide(&till, 1_000).await;
    assert_eq!((payout.state, payout.waits_for), (PayoutState::Approved, Some(Wait::Weekend)), "{payout:?}");
    till.write(payout.id, |tx, id| Box::pin(commands::retry_payout(tx, id))).await.unwrap();
    till.pass(Duration::from_secs(3_600)).await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::Approved, 0));
    till.pass(Duration::from_secs(2 * 86_400)).await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::Paid, 1_000));
    close(till).await;
}

#[tokio::test]
async fn what_was_approved_for_one_account_never_goes_to_another() {
    let till = till(&[Dialect::Monnify]).await;
    let jide = beneficiary(&till, &bank(JIDE, "Jide Balogun")).await;
    let waiting = ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.unwrap();
    till.settle().await;
    assert_eq!(now(&till, waiting.id).await.waits_for, Some(Wait::InsufficientFloat));
    let other = commands::seal_beneficiary(till.store.vault(), jide.id, &bank("0123456781", "Bola Adeyemi"), None).unwrap();
    let stale = till.write(other.clone(), |tx, other| Box::pin(commands::change_beneficiary(tx, 7, other))).await;
    assert!(matches!(stale, Err(PaymentError::Stale)), "{stale:?}");
    let changed = till.write(other, |tx, other| Box::pin(commands::change_beneficiary(tx, 1, other))).await.unwrap();
    assert_eq!((changed.version, changed.name_check), (2, None));
    assert_ne!(changed.fingerprint, jide.fingerprint);
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    till.settle().await;
    let refused = now(&till, waiting.id).await;
    assert_eq!((refused.state, refused.reason.as_deref()), (PayoutState::Refused, Some("beneficiary_changed")), "{refused:?}");
    // The new account is asked about anew, and an erased one takes nothing.
    let fresh = ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.unwrap();
    till.write(jide.id, |tx, id| Box::pin(commands::erase_beneficiary(tx, id))).await.unwrap();
    till.settle().await;
    assert!(!matches!(now(&till, fresh.id).await.state, PayoutState::Paid), "{:?}", now(&till, fresh.id).await);
    assert!(ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.is_err());
    let erased = queries::beneficiary(&mut till.store.read(), till.workspace, jide.id).await.unwrap();
    assert_eq!((erased.name, erased.fingerprint.as_str(), erased.sealed.len()), (None, "", 0));
    assert_eq!((out(&till), float(&till, Dialect::Monnify, "NGN").await), (0, (5_000, 0)));
    close(till).await;
}

#[tokio::test]
async fn what_could_not_be_sent_keeps_its_funds_until_it_is_called_off() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    let jide = beneficiary(&till, &bank(JIDE, "Jide Balogun")).await;
    let known = ask(&till, Dialect::Monnify, jide.id, ngn(1)).await.unwrap();
    till.settle().await;
    assert_eq!(now(&till, known.id).await.state, PayoutState::Paid);
    // The keys are gone: nothing can be sent.
    let provider = till.providers[&Dialect::Monnify];
    let sealed = commands::seal(till.store.vault(), provider, &json!({})).unwrap();
    let edit = (provider, ProviderEdit { sealed: Some(sealed), ..ProviderEdit::default() });
    till.write(edit, |tx, (id, edit)| Box::pin(async move { commands::edit_provider(tx, id, 1, edit).await })).await.unwrap();
    let payout = ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.unwrap();
    till.settle().await;
    let waits = now(&till, payout.id).await;
    assert_eq!((waits.state, waits.is_reserved), (PayoutState::FundsReserved, true), "{waits:?}");
    assert!(waits.reason.as_deref().is_some_and(|reason| reason.contains("api_key")), "{waits:?}");
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (4_999, 1_000));
    let (one, two) = tokio::join!(
        till.write(payout.id, |tx, id| Box::pin(commands::cancel_payout(tx, id))),
        till.write(payout.id, |tx, id| Box::pin(commands::cancel_payout(tx, id)))
    );
    assert_eq!((one.unwrap().state, two.unwrap().state), (PayoutState::Canceled, PayoutState::Canceled));
    till.pass(Duration::from_secs(600)).await;
    assert_eq!((now(&till, payout.id).await.state, out(&till)), (PayoutState::Canceled, 1));
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (4_999, 0));
    close(till).await;
}

#[tokio::test]
async fn a_rule_holds_a_payout_or_ends_it() {
    use risk::{AppliesTo, Condition, NewRule, Outcome};
    for (outcome, state) in [(Outcome::Hold, PayoutState::RiskReview), (Outcome::Block, PayoutState::Refused)] {
        let till = till(&[Dialect::Monnify]).await;
        top_up(&till, Dialect::Monnify, ngn(5_000)).await;
        let rule = NewRule {
            name: "Cool-off".to_owned(),
            applies_to: AppliesTo::Payout,
            condition: Condition::CoolOff { hours: 24 },
            outcome,
            priority: 0,
            is_enabled: true,
        };
        till.write(rule, |tx, rule| Box::pin(async move { Ok(risk::commands::add(tx, rule).await?) })).await.unwrap();
        let jide = beneficiary(&till, &bank(JIDE, "Jide Balogun")).await;
        let fresh = ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.unwrap();
        till.settle().await;
        assert_eq!((now(&till, fresh.id).await.state, out(&till)), (state, 0));
        till.pass(Duration::from_secs(25 * 3_600)).await;
        let later = ask(&till, Dialect::Monnify, jide.id, ngn(1_000)).await.unwrap();
        till.settle().await;
        assert_eq!((now(&till, later.id).await.state, out(&till)), (PayoutState::Paid, 1_000));
        close(till).await;
    }
}

#[tokio::test]
async fn the_providers_word_about_the_float_is_kept_beside_the_books_and_posts_nothing() {
    let till = till(&[Dialect::Monnify]).await;
    top_up(&till, Dialect::Monnify, ngn(5_000)).await;
    let (provider, currency) = (till.providers[&Dialect::Monnify], ngn(1).currency);
    till.write((provider, currency), |tx, (provider, currency)| Box::pin(commands::compare_float(tx, provider, currency))).await.unwrap();
    till.settle().await;
    let check = queries::last_float_check(&mut till.store.read(), till.workspace, provider, currency).await.unwrap().unwrap();
    assert_eq!((check.ours_minor, check.reserved_minor), (5_000, 0));
    assert_eq!(check.difference_minor(), check.theirs_minor - 5_000);
    assert!(check.theirs_minor > 5_000, "the simulator's wallet is richer: {check:?}");
    assert_eq!(float(&till, Dialect::Monnify, "NGN").await, (5_000, 0));
    close(till).await;
}

#[tokio::test]
async fn a_payout_that_cannot_be_is_refused_with_the_field_that_is_wrong() {
    let till = till(&[Dialect::Monnify, Dialect::Zenith]).await;
    let jide = beneficiary(&till, &bank(JIDE, "Jide Balogun")).await;
    let wanted = PayoutWanted { beneficiary: jide.id, amount: ngn(1), provider: None, narration: None };
    let nobody = BeneficiaryId::from_raw(RawId::from_bits(1));
    let wrong = [
        ("amount_minor", PayoutWanted { amount: ngn(0), ..wanted.clone() }),
        ("amount_minor", PayoutWanted { amount: ngn(-5), ..wanted.clone() }),
        ("amount_minor", PayoutWanted { amount: ngn(i64::MAX), ..wanted.clone() }),
        ("beneficiary", PayoutWanted { beneficiary: nobody, ..wanted.clone() }),
        ("provider", PayoutWanted { provider: Some(till.providers[&Dialect::Zenith]), ..wanted.clone() }),
        ("narration", PayoutWanted { narration: Some("a\nb".to_owned()), ..wanted.clone() }),
        ("narration", PayoutWanted { narration: Some("x".repeat(101)), ..wanted.clone() }),
    ];
    for (field, wanted) in wrong {
        let refused = till.write(wanted, |tx, wanted| Box::pin(commands::request_payout(tx, wanted))).await.unwrap_err();
        assert_eq!(kernel::Fault::fields(&refused).first().map(|fault| fault.field.as_str()), Some(field), "{refused:?}");
    }
    let id = BeneficiaryId::from_raw(RawId::from_bits(2));
    let long = "1".repeat(300);
    let wrong = [
        ("account_number", bank("", "Ada")),
        ("account_number", bank("12 34", "Ada")),
        ("account_number", bank(&long, "Ada")),
        ("account_number", bank("4111111111111111", "Ada")),
        ("account_name", bank("0123456789", "")),
        ("account_name", bank("0123456789", "...")),
        ("bank_code", Destination { bank_code: "0 58".to_owned(), ..bank("0123456789", "Ada") }),
    ];
    for (field, destination) in wrong {
        let refused = commands::seal_beneficiary(till.store.vault(), id, &destination, None).unwrap_err();
        assert_eq!(kernel::Fault::fields(&refused).first().map(|fault| fault.field.as_str()), Some(field), "{refused:?}");
        assert!(!format!("{refused:?}").contains("4111"), "{refused:?}");
    }
    close(till).await;
}
