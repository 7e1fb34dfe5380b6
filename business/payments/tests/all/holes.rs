//! Money that came twice, came back, or moved otherwise than was asked for: it stands in the books, and a person hears of it.

use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use kernel::{Currency, Id as _, Money, RawId, Timestamp};
use outbox::Fact as _;
use payments::commands::settlement::NewSettlement;
use payments::commands::{self, Unknown};
use payments::queries::settlement::ExceptionFilter;
use payments::{
    AttemptId, AttemptState, CaptureId, CaptureMethod, DisputeState, Event, Intent, IntentState, NewIntent, Observation, PaymentError,
    Seen, StepState,
};
use serde_json::{Value, json};
use sim::Dialect;
use sim::faults::{Fault, Rule};

use crate::till::Till;

fn reference(intent: &Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

fn money(amount_minor: i64, currency: &str) -> Money {
    Money::new(amount_minor, Currency::parse(currency).unwrap())
}

fn succeeded(amount: Money, charge_ref: &str) -> Observation {
    let seen = Seen::Succeeded { amount: Some(amount), crypto_amount: None };
    Observation { seen, provider_ref: None, charge_ref: Some(charge_ref.to_owned()) }
}

/// An intent with one attempt at a dialect, whose page waits.
fn waiting(asked: Money, dialect: payments::Dialect) -> Intent {
    let at = Timestamp::from_seconds(1_769_851_800);
    let new = NewIntent {
        id: payments::IntentId::from_raw(RawId::from_bits(1)),
        amount: asked,
        capture_method: CaptureMethod::Automatic,
        customer: None,
        description: None,
        country: None,
        method: None,
        link: None,
        credit_account: "payments.received".to_owned(),
        return_url: None,
        metadata: None,
        expires_at: None,
    };
    let attempt = AttemptId::from_raw(RawId::from_bits(2));
    let provider = payments::ProviderId::from_raw(RawId::from_bits(3));
    let page = Event::PageOpened { attempt, provider_ref: None, url: "https://example.org".to_owned(), expires_at: None };
    let intent = Intent::begin(&new.decide(at).unwrap(), at).unwrap();
    intent.after(&Event::AttemptStarted { attempt, provider, dialect }, at).after(&page, at)
}

fn after(intent: Intent, events: &[Event]) -> Intent {
    events.iter().fold(intent, |intent, event| intent.after(event, Timestamp::from_seconds(1_769_851_900)))
}

async fn open_exceptions(till: &Till) -> Vec<payments::settlement::Exception> {
    let filter = ExceptionFilter { is_open: Some(true), ..ExceptionFilter::default() };
    payments::queries::settlement::exceptions(&mut till.store.read(), till.workspace, &filter, None, 100).await.unwrap()
}

async fn facts(till: &Till, name: &str) -> usize {
    let start = outbox::Position::default();
    outbox::facts_after(&mut till.store.read(), till.workspace, start, name, 100).await.unwrap().len()
}

async fn resolved(till: &Till, intent: &Intent, unknown: Unknown) -> Result<Intent, PaymentError> {
    let id = intent.id;
    till.write(unknown, move |tx, unknown| Box::pin(commands::resolve(tx, id, unknown, "seen at the provider"))).await
}

/// The same by another member.
async fn resolved_by_another(till: &Till, intent: &Intent, unknown: Unknown) -> Result<Intent, PaymentError> {
    let kernel::Caller::Person { workspace, grants, .. } = till.caller.clone() else { panic!("a person") };
    let other = kernel::Caller::Person { workspace, member: kernel::MemberId::from_raw(RawId::from_bits(77)), grants };
    let id = intent.id;
    let asked = till.store.write(&other, unknown, move |tx, unknown| Box::pin(commands::resolve(tx, id, unknown, "seen there too")));
    asked.await
}

/// A webhook that Stripe signed.
async fn stripe_says(till: &Till, kind: &str, object: &Value) {
    let body = json!({ "id": format!("evt_{kind}_{}", object["status"]), "type": kind, "data": { "object": object } }).to_string();
    let time = till.store.clock().now().as_seconds();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(sim::STRIPE_WEBHOOK_SECRET.as_bytes()).unwrap();
    mac.update(format!("{time}.{body}").as_bytes());
    let signature: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let headers = vec![("stripe-signature".to_owned(), format!("t={time},v1={signature}"))];
    let taken = commands::take_webhook(&till.store, "demo-stripe", headers, body.into_bytes()).await.unwrap();
    assert_eq!(taken, commands::Taken::Kept);
    till.settle().await;
}

async fn paid_at_stripe(till: &Till, amount_minor: i64) -> Intent {
    let intent = till.begin(amount_minor, "EUR", CaptureMethod::Automatic).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    till.intent(intent.id).await
}

#[tokio::test]
async fn what_is_paid_in_two_parts_is_charged_with_exactly_what_was_asked_for() {
    for tells in [true, false] {
        let till = Till::new(&[Dialect::Monnify]).await;
        let intent = till.begin(10_000, "NGN", CaptureMethod::Automatic).await;
        till.sim.decline(&reference(&intent), "PARTIALLY_PAID").unwrap();
        till.settle().await;
        let half = till.intent(intent.id).await;
        assert_eq!(half.attempts[0].state, AttemptState::Quarantined { paid: money(5_000, "NGN") });
        assert_eq!(till.balance("payments.quarantine.ngn").await, -5_000);
        if !tells {
            till.sim.webhook_to(Dialect::Monnify, "", None);
        }
        till.sim.pay_more(&reference(&intent), 5_000, false).unwrap();
        till.pass(Duration::from_secs(60)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 10_000), "{tells}: {intent:?}");
        assert_eq!((till.balance("payments.quarantine.ngn").await, till.balance("payments.received.ngn").await), (0, -10_000));
        assert_eq!((till.balance("payments.clearing.monnify.ngn").await, till.truth(), intent.refunds.len()), (10_000, 10_000, 0));
        assert_eq!(facts(&till, payments::events::PaymentCaptured::NAME).await, 1);
        till.close().await;
    }
}

#[tokio::test]
async fn what_comes_beyond_a_payment_stands_in_the_books_and_goes_back_once() {
    for is_apart in [false, true] {
        let till = Till::new(&[Dialect::Monnify]).await;
        let intent = till.begin(10_000, "NGN", CaptureMethod::Automatic).await;
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        // Under a name of its own it may be the very same amount.
        till.sim.pay_more(&reference(&intent), 10_000, is_apart).unwrap();
        till.settle().await;
        let paid = till.intent(intent.id).await;
        assert_eq!(paid.attempts[0].more.len(), 1, "{is_apart}: {paid:?}");
        assert_eq!((paid.captured_minor(), till.balance("payments.received.ngn").await), (10_000, -10_000));
        till.pass(Duration::from_secs(600)).await;
        let paid = till.intent(intent.id).await;
        assert_eq!((paid.refunds.len(), &paid.refunds[0].state), (1, &StepState::Succeeded), "{is_apart}: {paid:?}");
        assert_eq!((till.truth(), till.balance("payments.surplus.ngn").await), (10_000, 0), "{is_apart}");
        assert_eq!((paid.state(), paid.refunded_minor()), (IntentState::Succeeded, 0));
        assert_eq!(facts(&till, payments::events::PaymentPaidMore::NAME).await, 1);
        // What counts can still be given back, all of it.
        assert_eq!(till.refund(paid.id, None).await.unwrap().refunds[1].amount_minor, 10_000);
        till.close().await;
    }
}

#[test]
fn a_second_purchase_with_the_same_reference_is_too_much_whatever_it_comes_to() {
    let asked = money(1_000, "EUR");
    let intent = waiting(asked, payments::Dialect::RampNetwork);
    let attempt = intent.attempts[0].id;
    let first = intent.observe_attempt(attempt, &succeeded(asked, "purchase-1"));
    let intent = after(intent, &first);
    assert_eq!(intent.observe_attempt(attempt, &succeeded(asked, "purchase-1")), Vec::new(), "the same one again");
    let second = intent.observe_attempt(attempt, &succeeded(asked, "purchase-2"));
    assert!(matches!(&second[..], [Event::PaidMore { is_surplus: true, .. }, Event::MoreRefundRequested { .. }]), "{second:?}");
    let intent = after(intent, &second);
    assert_eq!(intent.observe_attempt(attempt, &succeeded(asked, "purchase-2")), Vec::new());
    assert_eq!((intent.captured_minor(), intent.refunding_minor(attempt)), (1_000, 0));
    let third = intent.observe_attempt(attempt, &succeeded(money(1_001, "EUR"), "purchase-2"));
    assert!(matches!(&third[..], [Event::PaidMore { amount, .. }, _] if amount.amount_minor == 1), "{third:?}");
    // Where charges have no names of their own, the same total again is the same money.
    let other = waiting(asked, payments::Dialect::Stripe);
    let other = after(other.clone(), &other.observe_attempt(attempt, &succeeded(asked, "cs_1")));
    assert_eq!(other.observe_attempt(attempt, &succeeded(asked, "pi_1")), Vec::new());
}

#[test]
fn what_is_completed_after_another_page_was_paid_is_a_surplus() {
    let asked = money(1_000, "NGN");
    let intent = waiting(asked, payments::Dialect::Monnify);
    let attempt = intent.attempts[0].id;
    let intent = after(intent.clone(), &intent.observe_attempt(attempt, &succeeded(money(400, "NGN"), "T1")));
    let intent = after(intent, &[Event::Canceled]);
    let events = intent.observe_attempt(attempt, &succeeded(asked, "T1"));
    let [Event::PaidMore { is_surplus: false, .. }, Event::Accepted { is_surplus: true, .. }, Event::RefundRequested { amount, .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*amount, asked);
    assert_eq!(after(intent, &events).state(), IntentState::Canceled);
}

#[tokio::test]
async fn a_capture_that_took_something_else_waits_for_a_person_and_is_booked_as_it_was() {
    for (fault, is_same) in [(Fault::WrongAmount, true), (Fault::WrongCurrency, false)] {
        let till = Till::new(&[Dialect::Paypal]).await;
        let intent = till.begin(5_000, "USD", CaptureMethod::Manual).await;
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        till.sim.add_fault(Rule::always(Dialect::Paypal, "capture", fault.clone())).unwrap();
        let intent = till.capture(intent.id, Some(4_000), true).await.unwrap();
        till.pass(Duration::from_secs(60)).await;
        let intent = till.intent(intent.id).await;
        let capture = intent.attempts[0].captures[0].clone();
        let said = capture.said.unwrap_or_else(|| panic!("{fault:?}: {intent:?}"));
        assert_eq!((&capture.state, open_exceptions(&till).await.len()), (&StepState::Unknown, 1), "{fault:?}");
        assert_eq!(till.balance("payments.clearing.paypal.usd").await, 0);
        till.sim.clear_faults();
        let intent = resolved(&till, &intent, Unknown::Capture(capture.id, true)).await.unwrap();
        let currency = said.currency.to_string().to_lowercase();
        assert_eq!(till.balance(&format!("payments.clearing.paypal.{currency}")).await, i128::from(said.amount_minor), "{fault:?}");
        let place = if is_same { "payments.received" } else { "payments.quarantine" };
        assert_eq!(till.balance(&format!("{place}.{currency}")).await, -i128::from(said.amount_minor), "{fault:?}");
        assert_eq!(intent.captured_minor(), if is_same { said.amount_minor } else { 0 });
        till.close().await;
    }
}

#[tokio::test]
async fn a_refund_that_gave_something_else_back_waits_for_a_person_and_is_booked_as_it_was() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid_at_stripe(&till, 5_000).await;
    till.sim.add_fault(Rule::always(Dialect::Stripe, "refund", Fault::WrongAmount)).unwrap();
    let intent = till.refund(intent.id, Some(3_000)).await.unwrap();
    till.pass(Duration::from_secs(60)).await;
    let intent = till.intent(intent.id).await;
    let refund = intent.refunds[0].clone();
    assert_eq!((&refund.state, refund.said), (&StepState::Unknown, Some(money(2_999, "EUR"))), "{intent:?}");
    let exceptions = open_exceptions(&till).await;
    assert_eq!((exceptions.len(), exceptions[0].subject.clone()), (1, Some(refund.id.to_string())));
    let intent = resolved(&till, &intent, Unknown::Refund(refund.id, true)).await.unwrap();
    assert_eq!((intent.refunded_minor(), till.truth()), (2_999, 2_001));
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 2_001);
    till.close().await;
}

#[tokio::test]
async fn that_much_money_moved_is_said_by_two_people() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid_at_stripe(&till, 50_000).await;
    till.sim.add_fault(Rule::always(Dialect::Stripe, "refund", Fault::WrongAmount)).unwrap();
    let intent = till.refund(intent.id, Some(30_000)).await.unwrap();
    let unknown = Unknown::Refund(intent.refunds[0].id, true);
    let proposed = resolved(&till, &intent, unknown).await.unwrap();
    assert_eq!((&proposed.refunds[0].state, till.balance("payments.clearing.stripe.eur").await), (&StepState::Unknown, 50_000));
    let again = resolved(&till, &intent, unknown).await;
    assert!(matches!(&again, Err(PaymentError::Invalid { fields }) if fields[0].field == "is_done"), "{again:?}");
    let kernel::Caller::Person { workspace, grants, .. } = till.caller.clone() else { panic!("a person") };
    let key = kernel::Caller::Key { workspace, key: kernel::KeyId::from_raw(RawId::from_bits(5)), grants };
    let id = intent.id;
    let by_key = till.store.write(&key, unknown, move |tx, unknown| Box::pin(commands::resolve(tx, id, unknown, "by a program"))).await;
    assert!(matches!(&by_key, Err(PaymentError::Invalid { .. })), "{by_key:?}");
    let done = resolved_by_another(&till, &intent, unknown).await.unwrap();
    assert_eq!((done.refunded_minor(), till.balance("payments.clearing.stripe.eur").await), (29_999, 20_001));
    till.close().await;
}

#[tokio::test]
async fn a_refund_that_came_back_is_told_and_expected_in_a_report() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid_at_stripe(&till, 5_000).await;
    let intent = till.refund(intent.id, Some(2_000)).await.unwrap();
    let refund = intent.refunds[0].id;
    till.sim.return_refund(Dialect::Stripe, &refund.to_string()).unwrap();
    till.settle().await;
    let intent = till.intent(intent.id).await;
    assert!(matches!(intent.refunds[0].state, StepState::Failed { .. }), "{intent:?}");
    assert_eq!((till.balance("payments.clearing.stripe.eur").await, till.truth()), (5_000, 5_000));
    assert_eq!(facts(&till, payments::events::PaymentRefundReturned::NAME).await, 1);
    let back = Event::RefundMoved { refund, to: StepState::Failed { code: "x".to_owned() }, provider_ref: None };
    let moved = payments::moves(&intent, &back).unwrap();
    let (_, expected) = payments::settlement::expected(&intent, &back, &moved).unwrap();
    assert_eq!((expected.amount, expected.attempt), (money(2_000, "EUR"), Some(refund.to_string())));
    assert_ne!(expected.subject, refund.to_string(), "the refund itself is expected as well");
    till.close().await;
}

/// A report in the neutral form, taken in and booked.
async fn reported(till: &Till, file: String) {
    let kernel::Caller::Person { workspace, member, .. } = till.caller.clone() else { panic!("a person") };
    let caller = kernel::Caller::Person { workspace, member, grants: kernel::Grants::of([payments::grants::SETTLE]) };
    let new = NewSettlement {
        provider: till.providers[&Dialect::Stripe],
        digest: payments::settlement::digest(file.as_bytes()),
        name: "report.csv".to_owned(),
        format: payments::settlement::Format::Neutral,
        covers_until: Some(till.store.clock().now().plus(Duration::from_secs(1))),
        bytes: file.len() as i64,
        lines: file.lines().count() as i64 - 1,
    };
    let take = till
        .store
        .write(&caller, (new, file), |tx, (new, file)| Box::pin(async move { commands::settlement::take(tx, new, file.as_bytes()).await }));
    take.await.unwrap();
    till.settle().await;
}

#[tokio::test]
async fn what_went_and_came_back_is_matched_line_by_line_in_one_report_or_in_several() {
    for is_one in [true, false] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = paid_at_stripe(&till, 5_000).await;
        let intent = till.refund(intent.id, Some(2_000)).await.unwrap();
        let refund = intent.refunds[0].id;
        till.sim.return_refund(Dialect::Stripe, &refund.to_string()).unwrap();
        till.settle().await;
        stripe_says(&till, "charge.dispute.funds_withdrawn", &dispute(&intent, "lost")).await;
        let attempt = intent.attempts[0].id;
        let lines = [
            format!("payment,{attempt},,,EUR,5000,0,5000,"),
            format!("refund,{refund},,,EUR,-2000,0,-2000,"),
            format!("refund,{refund},,,EUR,2000,0,2000,"),
            format!("refund,{attempt},,,EUR,-5000,0,-5000,"),
        ];
        let columns = payments::settlement::COLUMNS;
        if is_one {
            reported(&till, format!("{columns}\n{}\n", lines.join("\n"))).await;
        } else {
            for line in &lines {
                reported(&till, format!("{columns}\n{line}\n")).await;
            }
        }
        let open = open_exceptions(&till).await;
        let left: Vec<_> = open.iter().map(|exception| (exception.kind, exception.subject.clone())).collect();
        let is_early =
            |(kind, _): &&(payments::settlement::ExceptionKind, Option<String>)| *kind != payments::settlement::ExceptionKind::Missing;
        assert_eq!(left.iter().find(is_early), None, "{is_one}: {left:?}");
        assert_eq!(till.balance("payments.clearing.stripe.eur").await, 0, "{is_one}");
        till.close().await;
    }
}

fn dispute(intent: &Intent, status: &str) -> Value {
    json!({ "object": "dispute", "id": "du_1", "amount": intent.amount.amount_minor, "currency": "eur", "status": status,
        "payment_intent": intent.attempts[0].charge_ref })
}

#[tokio::test]
async fn what_is_charged_back_leaves_the_books_and_comes_back_when_the_dispute_is_won() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = paid_at_stripe(&till, 5_000).await;
    stripe_says(&till, "charge.dispute.created", &dispute(&intent, "needs_response")).await;
    assert_eq!(till.intent(intent.id).await.attempts[0].disputes[0].state, DisputeState::Open);
    assert_eq!(till.balance("payments.chargebacks.eur").await, 0);
    for status in ["needs_response", "under_review"] {
        stripe_says(&till, "charge.dispute.funds_withdrawn", &dispute(&intent, status)).await;
    }
    let lost = till.intent(intent.id).await;
    assert_eq!(lost.attempts[0].disputes[0].state, DisputeState::Withdrawn, "{lost:?}");
    assert_eq!((till.balance("payments.chargebacks.eur").await, till.balance("payments.clearing.stripe.eur").await), (5_000, 0));
    assert!(till.refund(intent.id, Some(1)).await.is_err(), "what is gone is not given back a second time");
    stripe_says(&till, "charge.dispute.funds_reinstated", &dispute(&intent, "won")).await;
    // Late word of what happened before.
    stripe_says(&till, "charge.dispute.funds_withdrawn", &dispute(&intent, "won")).await;
    let won = till.intent(intent.id).await;
    assert_eq!(won.attempts[0].disputes[0].state, DisputeState::Returned, "{won:?}");
    assert_eq!((till.balance("payments.chargebacks.eur").await, till.balance("payments.clearing.stripe.eur").await), (0, 5_000));
    assert_eq!(facts(&till, payments::events::PaymentDisputed::NAME).await, 3);
    till.close().await;
}

#[test]
fn words_of_a_dispute_in_any_order_come_to_the_same_books() {
    let asked = money(1_000, "EUR");
    let start = waiting(asked, payments::Dialect::Stripe);
    let attempt = start.attempts[0].id;
    let start = after(start.clone(), &start.observe_attempt(attempt, &succeeded(asked, "pi_1")));
    let word = |to| Observation::of(Seen::Disputed { case: "du_1".to_owned(), amount: Some(asked), to });
    let words = [word(DisputeState::Open), word(DisputeState::Withdrawn), word(DisputeState::Returned)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let (mut intent, mut gone) = (start.clone(), 0);
        for place in order.into_iter().chain(order) {
            for event in intent.observe_attempt(attempt, &words[place]) {
                intent = intent.after(&event, Timestamp::from_seconds(1_769_851_900));
                if let Some(moved) = payments::moves(&intent, &event) {
                    let is_out = moved.debit == payments::Place::Chargebacks;
                    gone += if is_out { moved.amount.amount_minor } else { -moved.amount.amount_minor };
                }
            }
        }
        assert_eq!((gone, intent.attempts[0].withdrawn_minor(asked.currency)), (0, 0), "{order:?}");
    }
}

#[tokio::test]
async fn a_payment_that_went_back_to_the_payer_afterwards_is_charged_back() {
    let intent = waiting(money(1_000, "NGN"), payments::Dialect::Monnify);
    let attempt = intent.attempts[0].id;
    let intent = after(intent.clone(), &intent.observe_attempt(attempt, &succeeded(intent.amount, "T1")));
    let back = Observation { charge_ref: Some("T1".to_owned()), ..Observation::of(Seen::Reversed) };
    let events = intent.observe_attempt(attempt, &back);
    assert!(matches!(&events[..], [Event::DisputeMoved { amount, to: DisputeState::Withdrawn, .. }] if amount.amount_minor == 1_000));
    assert_eq!(after(intent, &events).observe_attempt(attempt, &back), Vec::new());
}

#[tokio::test]
async fn what_was_kept_apart_is_taken_as_paid_or_given_back() {
    for takes in [true, false] {
        let till = Till::new(&[Dialect::Stripe]).await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "pay", Fault::WrongAmount)).unwrap();
        let intent = paid_at_stripe(&till, 4_000).await;
        let attempt = intent.attempts[0].id;
        assert_eq!(till.balance("payments.quarantine.eur").await, -3_999);
        let id = intent.id;
        if takes {
            let accept = || till.write((), move |tx, ()| Box::pin(commands::accept(tx, id, attempt, "a cent less is fine")));
            let intent = accept().await.unwrap();
            assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 3_999));
            assert_eq!((till.balance("payments.quarantine.eur").await, till.balance("payments.received.eur").await), (0, -3_999));
            assert!(accept().await.is_err(), "once");
            assert_eq!(till.refund(id, None).await.unwrap().refunded_minor(), 3_999);
        } else {
            till.write((), move |tx, ()| Box::pin(commands::give_back(tx, id, attempt, "not what was asked for"))).await.unwrap();
            till.settle().await;
            assert_eq!((till.balance("payments.quarantine.eur").await, till.truth()), (0, 0));
            let accepted = till.write((), move |tx, ()| Box::pin(commands::accept(tx, id, attempt, "after all"))).await;
            assert!(accepted.is_err(), "what went back is not here");
        }
        till.close().await;
    }
}

#[test]
fn captures_and_releases_that_stay_unknown_are_resolved_by_a_person() {
    let asked = money(1_000, "EUR");
    let intent = waiting(asked, payments::Dialect::Stripe);
    let (attempt, capture) = (intent.attempts[0].id, CaptureId::from_raw(RawId::from_bits(9)));
    let held = after(intent.clone(), &intent.observe_attempt(attempt, &Observation::of(Seen::Authorized { amount: asked })));
    let requested = Event::CaptureRequested { attempt, capture, amount_minor: 1_000, is_last: true };
    let unknown = Event::CaptureMoved { attempt, capture, to: StepState::Unknown, charge_ref: None };
    let taking = after(held.clone(), &[requested, unknown]);
    let done = after(taking.clone(), &taking.resolve_capture(capture, true).unwrap());
    assert_eq!((done.state(), done.captured_minor()), (IntentState::Succeeded, 1_000));
    assert!(done.resolve_capture(capture, false).is_err(), "once");
    let not = after(taking.clone(), &taking.resolve_capture(capture, false).unwrap());
    assert_eq!((not.state(), not.captured_minor()), (IntentState::RequiresCapture, 0));
    let releasing = after(held, &[Event::VoidMoved { attempt, to: StepState::Unknown }]);
    let released = after(releasing.clone(), &releasing.resolve_void(attempt, true).unwrap());
    assert_eq!(released.attempts[0].state, AttemptState::Voided);
    let kept = after(releasing.clone(), &releasing.resolve_void(attempt, false).unwrap());
    assert_eq!(kept.state(), IntentState::RequiresCapture);
}

#[tokio::test]
async fn a_webhook_that_names_two_payments_is_applied_to_neither() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let paid = paid_at_stripe(&till, 1_000).await;
    let other = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    let object = json!({ "object": "payment_intent", "id": paid.attempts[0].charge_ref, "status": "succeeded", "amount": 1_000,
        "amount_received": 1_000, "currency": "eur", "metadata": { "reference": reference(&other) } });
    stripe_says(&till, "payment_intent.succeeded", &object).await;
    till.pass(Duration::from_secs(10)).await;
    assert_eq!(till.intent(other.id).await.state(), IntentState::RequiresAction);
    assert_eq!(till.intent(paid.id).await, paid);
    let kept = payments::queries::webhooks(&mut till.store.read(), till.workspace, "refused", None, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert!(kept[0].note.as_ref().is_some_and(|note| note.contains(&paid.id.to_string()) && note.contains(&other.id.to_string())));
    till.close().await;
}

#[tokio::test]
async fn a_hundred_hints_ask_the_provider_once_and_once_more_later() {
    let till = Till::new(&[Dialect::Zenith]).await;
    let intent = till.begin(1_000, "NGN", CaptureMethod::Automatic).await;
    till.sim.add_fault(Rule::always(Dialect::Zenith, "query", Fault::Slow(Duration::ZERO))).unwrap();
    let asked = || till.sim.faults()[0].hit;
    for number in 0..100 {
        let body = json!({ "merchantTxnref": reference(&intent), "transactionStatus": "Successful", "number": number });
        commands::take_webhook(&till.store, "demo-zenith", Vec::new(), body.to_string().into_bytes()).await.unwrap();
    }
    till.settle().await;
    assert_eq!(asked(), 1, "the others wait for what this one sees to grow old");
    till.sim.pay(&reference(&intent)).unwrap();
    till.pass(Duration::from_secs(6)).await;
    assert_eq!(till.intent(intent.id).await.state(), IntentState::Succeeded);
    assert!(asked() <= 3, "one hint that waited, and the look that follows by itself: {}", asked());
    till.close().await;
}
