//! What must always hold, and which test shows it. The numbers and words are those of the list of invariants that all modules that
//! touch money share; what it says of stock, orders and receipts is for the modules that have them.
//!
//! | what must always hold | shown by |
//! |---|---|
//! | 1. Per currency debits = credits; every balance recomputes from its entries | `Till::close` verifies the books at the end of every test here; `business/ledger/tests/all/invariants.rs` |
//! | 2. No balance below its floor, pending included; a pending resolves once | `payouts::of_two_payouts_of_the_whole_float_one_waits_until_there_is_more`, `payouts::funds_are_kept_released_or_compensated_once_whatever_the_provider_says_and_however_often` |
//! | 3. Same key, same body: one effect | `app/tests/stories/payments.rs`: `a_hundred_at_once_with_one_key_make_one_payment_and_hear_the_same`; at the providers `contract/pages.rs`: `the_same_reference_twice_is_one_page_and_one_charge`, `contract/later.rs`: `the_same_refund_many_times_at_once_is_one`, `contract/payouts.rs`: `money_is_paid_out_once` |
//! | 3. Captured <= authorized; refunded <= captured | [`captured_is_at_most_authorized_and_refunded_at_most_captured_however_many_ask_at_once`], `properties.rs` and `lives.rs` after each case |
//! | 3. At most one success kept per intent (a second is a surplus, refunded once) | `engine::of_two_pages_that_were_paid_one_counts_and_the_other_is_given_back_once`, `properties.rs`, `lives.rs` |
//! | 4. Kill the process between any two writes or provider bytes and start again: one charge, one entry | `bench/run payments-crash`, `properties.rs` (jobs that end half-way), [`a_step_that_is_run_again_and_again_moves_money_once_and_is_entered_once`] |
//! | 5. Duplicate, reordered or late webhooks converge to the same state | `engine::webhooks_that_come_twice_late_or_never_come_to_the_same`, `contract/webhooks.rs`: `a_webhook_that_came_twice_says_the_same_twice`, `properties.rs`, `lives.rs` |
//! | 5. A wrong amount or currency is quarantined, never credited | `engine::another_amount_than_was_asked_for_is_kept_apart`, `attacks::a_webhook_alone_that_names_another_amount_moves_nothing_by_itself` |
//! | 6. Gross = fee + net per line; nothing is matched twice | `settlement::gross_is_fee_and_net_and_nothing_is_matched_twice` |
//! | 7. A late payment is refunded once | [`what_is_paid_after_the_payment_was_called_off_is_given_back_once`]; after its time was over: `properties.rs` |
//! | 9. No card number in a database, log, trace or backup; free text that holds one is refused at the door | `app/tests/stories/card_numbers.rs`, `plumbing/gateway/tests/all/card_filter.rs` and `card_numbers.rs` |
//! | 9. Webhooks of providers are redacted, never refused | [`a_card_number_in_a_providers_webhook_is_taken_out_and_the_webhook_is_not_refused`] |

use std::time::Duration;

use payments::commands::{self, Taken};
use payments::{AttemptState, CaptureMethod, Conduct, Intent, IntentState, Step, StepState, queries};
use sim::Dialect;
use sim::bank::MovementKind;
use sim::faults::{Fault, Rule};

use crate::till::Till;

fn reference(intent: &Intent) -> String {
    intent.attempts.last().unwrap().id.to_string()
}

fn moved(till: &Till, kind: MovementKind) -> Vec<i64> {
    till.sim.movements().iter().filter(|movement| movement.kind == kind).map(|movement| movement.amount_minor).collect()
}

/// Has a job run for a step that may be done already.
async fn run_again(till: &Till, intent: &Intent, step: Step) {
    for is_extra in [false, true] {
        let again = Conduct { intent: intent.id, step, times: 0, is_extra, charge: None };
        let input = (till.workspace, again);
        till.write(input, |tx, (workspace, job)| Box::pin(async move { Ok(outbox::enqueue(tx, workspace, &job).await?) })).await.unwrap();
    }
}

/// 3. "Captured <= authorized; refunded <= captured."
#[tokio::test]
async fn captured_is_at_most_authorized_and_refunded_at_most_captured_however_many_ask_at_once() {
    let till = Till::new(&[Dialect::Paypal]).await;
    let intent = till.begin(10_000, "USD", CaptureMethod::Manual).await;
    till.sim.pay(&reference(&intent)).unwrap();
    till.settle().await;
    let capture = || {
        till.write(intent.id, |tx, id| {
            Box::pin(async move { commands::capture(tx, id, Some(3_000), false).await.map(|(intent, _)| intent) })
        })
    };
    let asked = tokio::join!(capture(), capture(), capture(), capture(), capture(), capture());
    let asked = [asked.0, asked.1, asked.2, asked.3, asked.4, asked.5];
    assert_eq!(asked.iter().filter(|one| one.is_ok()).count(), 3, "a fourth would be more than was authorized: {asked:?}");
    till.settle().await;
    assert_eq!(till.intent(intent.id).await.captured_minor(), 9_000);
    assert_eq!(moved(&till, MovementKind::Charged), [3_000, 3_000, 3_000]);
    let refund = || {
        till.write(intent.id, |tx, id| {
            Box::pin(async move { commands::refund(tx, id, None, Some(2_500), None).await.map(|(intent, _)| intent) })
        })
    };
    let asked = tokio::join!(refund(), refund(), refund(), refund(), refund(), refund());
    let asked = [asked.0, asked.1, asked.2, asked.3, asked.4, asked.5];
    assert_eq!(asked.iter().filter(|one| one.is_ok()).count(), 3, "a fourth would be more than was captured: {asked:?}");
    till.pass(Duration::from_secs(60)).await;
    let intent = till.intent(intent.id).await;
    assert!(intent.refunds.iter().all(|refund| refund.state == StepState::Succeeded), "{intent:?}");
    assert_eq!((intent.refunded_minor(), moved(&till, MovementKind::Refunded)), (7_500, vec![2_500, 2_500, 2_500]));
    assert_eq!((till.balance("payments.clearing.paypal.usd").await, till.truth()), (1_500, 1_500));
    till.close().await;
}

/// 4. "Kill the process between any two writes or provider bytes and start again: one charge, one entry." What a start finds is a
/// step that was, or was not, sent before; its job is run again.
#[tokio::test]
async fn a_step_that_is_run_again_and_again_moves_money_once_and_is_entered_once() {
    for fault in [None, Some(Fault::Error500After), Some(Fault::TimeoutAfter), Some(Fault::TimeoutBefore)] {
        let till = Till::new(&[Dialect::Stripe]).await;
        let intent = till.begin(2_000, "EUR", CaptureMethod::Manual).await;
        till.sim.pay(&reference(&intent)).unwrap();
        till.settle().await;
        for operation in ["capture", "refund"] {
            if let Some(fault) = fault.clone() {
                till.sim.add_fault(Rule::always(Dialect::Stripe, operation, fault).times(1)).unwrap();
            }
        }
        let asked = till.write(intent.id, |tx, id| Box::pin(async move { commands::capture(tx, id, None, false).await }));
        let (intent, capture) = asked.await.unwrap();
        run_again(&till, &intent, Step::Capture(intent.attempts[0].id, capture)).await;
        till.settle().await;
        till.pass(Duration::from_secs(60)).await;
        let asked = till.write(intent.id, |tx, id| Box::pin(async move { commands::refund(tx, id, None, Some(700), None).await }));
        let (intent, refund) = asked.await.unwrap();
        run_again(&till, &intent, Step::Refund(refund)).await;
        till.settle().await;
        till.pass(Duration::from_secs(60)).await;
        run_again(&till, &intent, Step::Refund(refund)).await;
        till.settle().await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.captured_minor(), intent.refunded_minor()), (2_000, 700), "{fault:?}: {intent:?}");
        assert_eq!((moved(&till, MovementKind::Charged), moved(&till, MovementKind::Refunded)), (vec![2_000], vec![700]), "{fault:?}");
        assert_eq!(till.balance("payments.clearing.stripe.eur").await, 1_300, "{fault:?}");
        till.close().await;
    }
}

/// 7. "A late payment is refunded once."
#[tokio::test]
async fn what_is_paid_after_the_payment_was_called_off_is_given_back_once() {
    for fault in [None, Some(Fault::DuplicateWebhook), Some(Fault::NoWebhook)] {
        // Monnify has no way to close a page.
        let till = Till::new(&[Dialect::Monnify]).await;
        let intent = till.begin(4_000, "NGN", CaptureMethod::Automatic).await;
        let ended = till.cancel(intent.id).await.unwrap();
        assert_eq!(ended.state(), IntentState::Canceled, "{ended:?}");
        if let Some(fault) = fault.clone() {
            till.sim.add_fault(Rule::always(Dialect::Monnify, "pay", fault)).unwrap();
        }
        till.sim.pay(&reference(&ended)).unwrap();
        till.settle().await;
        till.pass(Duration::from_secs(120)).await;
        run_again(&till, &ended, Step::Attempt(ended.attempts[0].id)).await;
        till.settle().await;
        let intent = till.intent(intent.id).await;
        assert_eq!((intent.state(), intent.kept, intent.refunds.len()), (IntentState::Canceled, None, 1), "{fault:?}: {intent:?}");
        assert_eq!(intent.refunds[0].state, StepState::Succeeded, "{fault:?}: {intent:?}");
        assert_eq!(intent.attempts[0].state, AttemptState::Charged, "{fault:?}: {intent:?}");
        assert_eq!((till.truth(), moved(&till, MovementKind::Refunded)), (0, vec![4_000]), "{fault:?}: {intent:?}");
        assert_eq!((till.balance("payments.surplus.ngn").await, till.balance("payments.received.ngn").await), (0, 0));
        till.close().await;
    }
}

/// 9. "No card number in a database, log, trace or backup. … Webhooks of providers are redacted, never refused."
#[tokio::test]
async fn a_card_number_in_a_providers_webhook_is_taken_out_and_the_webhook_is_not_refused() {
    let till = Till::new(&[Dialect::Zenith]).await;
    let intent = till.begin(1_000, "NGN", CaptureMethod::Automatic).await;
    till.sim.add_fault(Rule::always(Dialect::Zenith, "pay", Fault::NoWebhook)).unwrap();
    till.sim.pay(&reference(&intent)).unwrap();
    let body = serde_json::json!({
        "merchantTxnref": reference(&intent), "transactionStatus": "Successful", "narration": "card 4242 4242 4242 4242", "pan": 5_555_555_555_554_444_i64,
    });
    let headers = vec![("x-note".to_owned(), "4111-1111-1111-1111".to_owned())];
    let taken = commands::take_webhook(&till.store, "demo-zenith", headers, body.to_string().into_bytes()).await.unwrap();
    assert_eq!(taken, Taken::Kept);
    till.pass(Duration::from_secs(30)).await;
    assert_eq!(till.intent(intent.id).await.captured_minor(), 1_000, "it caused the question that told so");
    let kept = queries::webhooks(&mut till.store.read(), till.workspace, "", None, 10).await.unwrap();
    let [kept] = &kept[..] else { panic!("{kept:?}") };
    let text = format!("{:?}{}", kept.stored.headers, String::from_utf8_lossy(&kept.stored.body));
    let digits: String = text.chars().filter(|c| !matches!(c, ' ' | '-')).collect();
    for number in ["4242424242424242", "5555555555554444", "4111111111111111"] {
        assert!(!digits.contains(number), "{text}");
    }
    assert!(text.contains(&reference(&intent)), "the rest stays as it was: {text}");
    till.close().await;
}
