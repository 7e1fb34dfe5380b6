//! The engine as a merchant sees it: pages, captures, refunds, what goes wrong, and what the books say of it.

use std::time::Duration;

use payments::{AttemptState, CaptureMethod, IntentState, StepState, commands};
use sim::Dialect;
use sim::faults::{Fault, Rule};

use crate::till::Till;

fn reference(intent: &payments::Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

#[tokio::test]
async fn a_payment_is_paid_on_the_providers_page_and_stands_in_the_books() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = till.begin(1_250, "EUR", CaptureMethod::Automatic).await;
    assert_eq!(intent.state(), IntentState::RequiresAction, "{intent:?}");
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let intent = till.intent(intent.id).await;
    assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 1_250), "{intent:?}");
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 1_250);
    assert_eq!(till.balance("payments.received.eur").await, -1_250);
    let intent = till.refund(intent.id, Some(500)).await.unwrap();
    assert_eq!((intent.refunded_minor(), intent.refunds[0].state.clone()), (500, StepState::Succeeded), "{intent:?}");
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 750);
    assert!(till.refund(intent.id, Some(751)).await.is_err(), "no more is given back than was taken");
    assert_eq!(till.refund(intent.id, None).await.unwrap().refunded_minor(), 1_250);
    assert_eq!((till.balance("payments.clearing.stripe.eur").await, till.truth()), (0, 0));
    till.close().await;
}

#[tokio::test]
async fn a_payer_is_forgotten_and_the_payment_stays() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = till.begin(1_250, "EUR", CaptureMethod::Automatic).await;
    let payer = async || payments::queries::payer(&mut till.store.read(), till.workspace, intent.id).await.unwrap();
    assert_eq!(payer().await.email.as_deref(), Some("ada@example.org"));
    let email = people::Email::parse("Ada@Example.org").unwrap();
    let forget = || till.write(email.clone(), |tx, email| Box::pin(async move { commands::erase_payer(tx, &email).await }));
    assert_eq!((forget().await.unwrap(), forget().await.unwrap()), (1, 0));
    let payer = payer().await;
    assert_eq!((payer.name, payer.email, payer.phone), (None, None, None));
    assert_eq!(till.intent(intent.id).await.amount, intent.amount);
    till.close().await;
}

#[tokio::test]
async fn what_was_authorized_is_captured_in_parts_and_the_rest_is_released() {
    let till = Till::new(&[Dialect::Paypal]).await;
    let intent = till.begin(10_000, "USD", CaptureMethod::Manual).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let intent = till.intent(intent.id).await;
    assert_eq!(intent.state(), IntentState::RequiresCapture, "{intent:?}");
    let intent = till.capture(intent.id, Some(4_000), false).await.unwrap();
    assert_eq!((intent.state(), intent.captured_minor()), (IntentState::PartiallyCaptured, 4_000), "{intent:?}");
    assert!(till.capture(intent.id, Some(6_001), false).await.is_err());
    let intent = till.capture(intent.id, Some(1_000), true).await.unwrap();
    assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 5_000), "{intent:?}");
    assert_eq!((till.balance("payments.clearing.paypal.usd").await, till.truth()), (5_000, 5_000));
    till.close().await;
}

#[tokio::test]
async fn an_authorization_that_is_called_off_is_released() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = till.begin(900, "EUR", CaptureMethod::Manual).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let intent = till.cancel(intent.id).await.unwrap();
    assert_eq!((intent.state(), &intent.attempts[0].state), (IntentState::Canceled, &AttemptState::Voided), "{intent:?}");
    assert_eq!((till.balance("payments.clearing.stripe.eur").await, till.truth()), (0, 0));
    till.close().await;
}

#[tokio::test]
async fn a_page_that_was_opened_while_its_answer_was_lost_is_found_again_under_the_same_key() {
    for fault in [Fault::TimeoutBefore, Fault::TimeoutAfter, Fault::Cut, Fault::Error500, Fault::Error500After] {
        let till = Till::new(&[Dialect::Stripe]).await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "create", fault.clone()).times(1)).unwrap();
        let intent = till.begin(700, "EUR", CaptureMethod::Automatic).await;
        assert!(till.start(intent.id).await.is_err(), "{fault:?}: nobody else is asked while it is not known: {intent:?}");
        till.pass(Duration::from_secs(30)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.state(), intent.attempts.len()), (IntentState::RequiresAction, 1), "{fault:?}: {intent:?}");
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        assert_eq!((till.intent(intent.id).await.captured_minor(), till.truth()), (700, 700), "{fault:?}");
        till.close().await;
    }
}

#[tokio::test]
async fn a_refund_whose_answer_was_lost_is_done_once() {
    for fault in [Fault::TimeoutBefore, Fault::TimeoutAfter, Fault::Cut, Fault::Error500After] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(700, "EUR", CaptureMethod::Automatic).await;
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "refund", fault.clone()).times(1)).unwrap();
        let intent = till.refund(intent.id, Some(300)).await.unwrap();
        till.pass(Duration::from_secs(60)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.refunded_minor(), till.truth()), (300, 400), "{fault:?}: {intent:?}");
        assert_eq!(till.balance("payments.clearing.stripe.eur").await, 400, "{fault:?}");
        till.close().await;
    }
}

#[tokio::test]
async fn of_two_pages_that_were_paid_one_counts_and_the_other_is_given_back_once() {
    let till = Till::new(&[Dialect::Stripe, Dialect::Monnify]).await;
    let intent = till.begin(5_000, "NGN", CaptureMethod::Automatic).await;
    // The first page cannot be closed: its provider does not answer.
    till.sim.add_fault(Rule::always(Dialect::Stripe, "expire", Fault::Error500)).unwrap();
    let first = reference(&intent);
    till.start(intent.id).await.unwrap();
    till.settle().await;
    let intent = till.intent(intent.id).await;
    let second = reference(&intent);
    assert_ne!(first, second, "{intent:?}");
    till.sim.pay(&second).unwrap();
    till.settle().await;
    till.sim.pay(&first).unwrap();
    till.pass(Duration::from_secs(120)).await;
    let intent = till.intent(intent.id).await;
    assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 5_000), "{intent:?}");
    assert_eq!(intent.refunds.len(), 1, "{intent:?}");
    assert_eq!(intent.refunds[0].state, StepState::Succeeded, "{intent:?}");
    assert_eq!(till.truth(), 5_000);
    assert_eq!(till.balance("payments.received.ngn").await, -5_000);
    assert_eq!(till.balance("payments.surplus.ngn").await, 0);
    till.close().await;
}

#[tokio::test]
async fn another_amount_than_was_asked_for_is_kept_apart() {
    for fault in [Fault::WrongAmount, Fault::WrongCurrency] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(4_000, "EUR", CaptureMethod::Automatic).await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "pay", fault.clone())).unwrap();
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        let intent = till.intent(intent.id).await;
        assert_eq!(intent.captured_minor(), 0, "{fault:?}: {intent:?}");
        let AttemptState::Quarantined { paid } = intent.attempts[0].state else { panic!("{fault:?}: {intent:?}") };
        assert_eq!(till.balance("payments.received.eur").await, 0, "{fault:?}");
        let quarantine = format!("payments.quarantine.{}", paid.currency.to_string().to_lowercase());
        assert_eq!(till.balance(&quarantine).await, -i128::from(paid.amount_minor), "{fault:?}");
        till.close().await;
    }
}

#[tokio::test]
async fn a_provider_that_is_down_is_passed_by_before_the_payer_sees_anything() {
    let till = Till::new(&[Dialect::Monnify, Dialect::Stripe]).await;
    till.sim.add_fault(Rule::always(Dialect::Monnify, "create", Fault::Decline("99".to_owned()))).unwrap();
    let intent = till.begin(5_000, "NGN", CaptureMethod::Automatic).await;
    assert_eq!(intent.state(), IntentState::RequiresAction, "{intent:?}");
    till.close().await;
}

#[tokio::test]
async fn webhooks_that_come_twice_late_or_never_come_to_the_same() {
    for fault in [Fault::DuplicateWebhook, Fault::NoWebhook, Fault::ForgedWebhook, Fault::LateWebhook(Duration::from_millis(50))] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "pay", fault.clone())).unwrap();
        till.sim.pay(&reference(&intent)).unwrap();
        till.pass(Duration::from_secs(90)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 1_000), "{fault:?}: {intent:?}");
        assert_eq!(till.balance("payments.clearing.stripe.eur").await, 1_000, "{fault:?}");
        till.close().await;
    }
}
