//! What would lose, double or misbook money, or give it or a secret to somebody else.

use std::time::Duration;

use kernel::{Currency, Money};
use ledger::{AccountCode, AccountKind, Limits, NewAccount, NewTransfer, Unit};
use payments::commands::{self, NewPayment, ProviderEdit};
use payments::{AttemptState, CaptureMethod, Intent, IntentState, Observation, PaymentError, Seen, StepState};
use sim::Dialect;
use sim::faults::{Fault, Rule};

use crate::till::Till;

fn reference(intent: &Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

fn euros(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").unwrap())
}

/// Opens an account of the books.
async fn opened(till: &Till, code: &str, kind: AccountKind, limits: Limits) -> ledger::Account {
    let unit = Unit::parse("EUR").unwrap();
    let new = NewAccount { code: AccountCode::parse(code).unwrap(), name: "Sales".to_owned(), kind, unit, limits, metadata: None };
    let input = (till.workspace, new);
    till.write(input, |tx, (workspace, new)| Box::pin(async move { Ok(ledger::open(tx, workspace, new).await?) })).await.unwrap()
}

/// A payment of ten euros for an account, with a page that waits.
async fn begun_for(till: &Till, account: &str) -> Intent {
    let new = NewPayment { credit_account: Some(account.to_owned()), ..NewPayment::of(euros(1_000)) };
    let made = till.write(new, |tx, new| Box::pin(async move { commands::create(tx, new).await })).await.unwrap();
    till.start(made.id).await.unwrap();
    till.settle().await;
    till.intent(made.id).await
}

#[tokio::test]
async fn a_payment_whose_account_is_closed_stands_in_the_books_all_the_same() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let account = opened(&till, "shop.sales.eur", AccountKind::Income, Limits::None).await;
    let input = (till.workspace, account.id);
    let closing = till.write(input, |tx, (workspace, id)| Box::pin(async move { Ok(ledger::commands::close(tx, workspace, id).await?) }));
    closing.await.unwrap();
    let intent = begun_for(&till, "shop.sales").await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.pass(Duration::from_secs(90)).await;
    let intent = till.intent(intent.id).await;
    assert_eq!((intent.state(), intent.captured_minor()), (IntentState::Succeeded, 1_000), "{intent:?}");
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 1_000);
    assert_eq!(till.balance("payments.quarantine.eur").await, -1_000, "it waits for a person");
    let intent = till.refund(intent.id, None).await.unwrap();
    assert_eq!((intent.refunded_minor(), till.truth()), (1_000, 0), "{intent:?}");
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 0);
    assert_eq!(till.balance("payments.quarantine.eur").await, 0);
    till.close().await;
}

#[tokio::test]
async fn a_refund_out_of_a_wallet_that_was_spent_meanwhile_stands_in_the_books_all_the_same() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let wallet = opened(&till, "wallet.customer.ada.eur", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let sales = opened(&till, "shop.sales.eur", AccountKind::Income, Limits::None).await;
    let intent = begun_for(&till, "wallet.customer.ada").await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    assert_eq!(till.balance("wallet.customer.ada.eur").await, -1_000);
    till.write((till.workspace, wallet.id, sales.id), |tx, (workspace, wallet, sales)| {
        Box::pin(async move {
            let transfer = NewTransfer::exactly(tx.new_id(), wallet, sales, Unit::parse("EUR").unwrap(), 700);
            Ok(ledger::post(tx, workspace, "test", vec![transfer]).await?)
        })
    })
    .await
    .unwrap();
    let intent = till.refund(intent.id, None).await.unwrap();
    assert_eq!((intent.refunds[0].state.clone(), till.truth()), (StepState::Succeeded, 0), "{intent:?}");
    assert_eq!(till.balance("payments.clearing.stripe.eur").await, 0);
    assert_eq!(till.balance("payments.quarantine.eur").await, 1_000, "the business is owed it");
    assert_eq!(till.balance("wallet.customer.ada.eur").await, -300, "a wallet never goes below zero");
    till.close().await;
}

#[tokio::test]
async fn who_moves_a_providers_address_must_know_its_secrets() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let id = till.providers[&Dialect::Stripe];
    let edited = |edit: ProviderEdit| till.write(edit, move |tx, edit| Box::pin(commands::edit_provider(tx, id, 1, edit)));
    let moved = ProviderEdit { base_url: Some("https://api.stripe.example".to_owned()), ..ProviderEdit::default() };
    let refused = edited(moved.clone()).await;
    assert!(matches!(&refused, Err(PaymentError::Invalid { fields }) if fields[0].field == "secrets"), "{refused:?}");
    let same = ProviderEdit { base_url: Some(till.sim.at(Dialect::Stripe)), is_enabled: Some(false), ..ProviderEdit::default() };
    assert!(!edited(same).await.unwrap().is_enabled, "the same address moves nothing");
    let sealed = commands::seal(till.store.vault(), id, &serde_json::json!({ "api_key": "sk_new" })).unwrap();
    let known = till.write(moved, move |tx, edit| {
        let edit = ProviderEdit { sealed: Some(sealed.clone()), ..edit };
        Box::pin(commands::edit_provider(tx, id, 2, edit))
    });
    assert_eq!(known.await.unwrap().base_url, "https://api.stripe.example");
    till.close().await;
}

#[tokio::test]
async fn a_payment_of_nothing_or_of_more_than_the_books_hold_is_none() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    let attempt = intent.attempts[0].id;
    for amount_minor in [0, -1_000, i64::MIN, i64::MAX] {
        let seen = Seen::Succeeded { amount: Some(euros(amount_minor)), crypto_amount: None };
        assert_eq!(intent.observe_attempt(attempt, &Observation::of(seen)), Vec::new(), "{amount_minor}");
    }
    let seen = Seen::Succeeded { amount: Some(euros(999)), crypto_amount: None };
    assert_eq!(intent.observe_attempt(attempt, &Observation::of(seen)).len(), 1, "a cent less is kept apart");
    till.close().await;
}

#[tokio::test]
async fn a_webhook_alone_that_names_another_amount_moves_nothing_by_itself() {
    for fault in [Fault::WrongAmountWebhook, Fault::WrongCurrencyWebhook] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "pay", fault.clone())).unwrap();
        till.sim.pay(&reference(&intent)).unwrap();
        till.pass(Duration::from_secs(90)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!(intent.attempts[0].state, AttemptState::Charged, "{fault:?}: {intent:?}");
        assert_eq!((intent.captured_minor(), till.truth()), (1_000, 1_000), "{fault:?}");
        assert_eq!(till.balance("payments.clearing.stripe.eur").await, 1_000, "{fault:?}");
        till.close().await;
    }
}

#[tokio::test]
async fn what_a_payer_agreed_to_after_it_was_called_off_is_not_taken() {
    let till = Till::new(&[Dialect::Paypal]).await;
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    let intent = till.cancel(intent.id).await.unwrap();
    // The page may be closed by then: either way no money moves.
    let _ = till.sim.pay(&reference(&intent));
    till.pass(Duration::from_secs(120)).await;
    let intent = till.intent(intent.id).await;
    assert_eq!((intent.state(), intent.refunds.len(), till.sim.movements().len()), (IntentState::Canceled, 0, 0), "{intent:?}");
    till.close().await;
}

#[tokio::test]
async fn a_release_that_never_arrived_is_asked_for_again() {
    for fault in [Fault::TimeoutBefore, Fault::TimeoutAfter, Fault::Error500] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(1_000, "EUR", CaptureMethod::Manual).await;
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        till.sim.add_fault(Rule::always(Dialect::Stripe, "void", fault.clone()).times(1)).unwrap();
        till.cancel(intent.id).await.unwrap();
        till.pass(Duration::from_secs(60)).await;
        let intent = till.intent(intent.id).await;
        assert_eq!(intent.attempts[0].state, AttemptState::Voided, "{fault:?}: {intent:?}");
        till.close().await;
    }
}

#[tokio::test]
async fn a_webhook_at_another_account_says_nothing_of_this_ones_payments() {
    let till = Till::new(&[Dialect::Stripe, Dialect::Zenith]).await;
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    let before = till.intent(intent.id).await;
    let body = serde_json::json!({ "merchantTxnref": reference(&intent), "transactionStatus": "Successful", "amountPaid": 10 });
    for _ in 0..3 {
        commands::take_webhook(&till.store, "demo-zenith", Vec::new(), body.to_string().into_bytes()).await.unwrap();
        till.settle().await;
    }
    assert_eq!(till.intent(intent.id).await, before, "neither an event nor a look");
    till.close().await;
}

#[tokio::test]
async fn a_refund_that_came_back_is_with_the_provider_again_and_late_word_of_it_changes_nothing() {
    let till = Till::new(&[Dialect::Stripe]).await;
    let intent = till.begin(1_000, "EUR", CaptureMethod::Automatic).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let intent = till.refund(intent.id, Some(400)).await.unwrap();
    let refund = intent.refunds[0].id;
    let given = Observation::of(Seen::Succeeded { amount: Some(euros(400)), crypto_amount: None });
    let back = Observation::of(Seen::Declined { class: payments::ErrorClass::DeclinedHard, code: "lost_or_stolen_card".to_owned() });
    assert_eq!(intent.observe_refund(refund, &given), Vec::new());
    let [came_back] = &intent.observe_refund(refund, &back)[..] else { panic!("{intent:?}") };
    let after = intent.clone().after(came_back, till.store.clock().now());
    let (gave, took) = (payments::moves(&intent, &given_back(refund)).unwrap(), payments::moves(&after, came_back).unwrap());
    assert_eq!((&took.debit, &took.credit, took.amount), (&gave.credit, &gave.debit, gave.amount));
    assert_ne!(took.id, gave.id);
    assert_eq!(after.refunded_minor(), 0);
    for observation in [given, back] {
        assert_eq!(after.observe_refund(refund, &observation), Vec::new(), "{observation:?}");
    }
    till.close().await;
}

fn given_back(refund: payments::RefundId) -> payments::Event {
    payments::Event::RefundMoved { refund, to: StepState::Succeeded, provider_ref: None }
}
