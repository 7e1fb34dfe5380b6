//! Monnify's entry in the contract.

use std::time::Duration;

use payments::{Abilities, CaptureMethod, Destination, Dialect, Done, ErrorClass, Failure, Order, Question, Seen, Told, Trust};
use serde_json::json;
use sim::bank::MovementKind;
use sim::faults::Fault;

use super::world::{World, succeeded};
use super::{Payouts, Promise};

const MONNIFY: Promise = Promise {
    dialect: Dialect::Monnify,
    sim: sim::Dialect::Monnify,
    abilities: Abilities {
        has_pages: true,
        captures_later: false,
        captures_in_parts: false,
        refunds: true,
        refunds_in_parts: true,
        closes_pages: false,
        pays_out: true,
        enquires_names: true,
        tells_float: true,
        reports: true,
        keeps_keys_for: None,
        trust: Trust::Signed,
    },
    settings: || json!({"contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::MONNIFY_SOURCE_ACCOUNT}),
    secrets: || json!({"api_key": sim::MONNIFY_KEY, "secret_key": sim::MONNIFY_SECRET}),
    currency: "NGN",
    extra: || json!({}),
    declines: &[("FAILED", ErrorClass::DeclinedSoft), ("CANCELLED", ErrorClass::PayerAction)],
    is_completed_by_us: false,
    is_found_by_reference: true,
    payouts: Some(Payouts {
        to: || Destination {
            bank_code: "058".to_owned(),
            account_number: "0123456789".to_owned(),
            account_name: "JIDE BALOGUN".to_owned(),
        },
        nobody: Some(|| Destination {
            bank_code: "058".to_owned(),
            account_number: "0000000000".to_owned(),
            account_name: "Nobody".to_owned(),
        }),
        failed: Some("FAILED"),
        reversed: Some("REVERSED"),
        password: Some((
            || json!({"contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::providers::monnify::OTP_WALLET}),
            sim::providers::monnify::OTP,
        )),
    }),
    other_secrets: Some(|| json!({"api_key": sim::MONNIFY_KEY, "secret_key": "another"})),
    something_else: br#"{"eventType":"SETTLEMENT","eventData":{"settlementReference":"SETT1","amount":"10.00"}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(MONNIFY);

#[tokio::test]
async fn a_token_that_is_not_taken_any_more_is_fetched_anew_and_the_order_is_done_once() {
    let world = World::new(&MONNIFY).await;
    world.client.keep_token(&world.account, "an old one", Duration::from_secs(3_600));
    let (_, seen) = world.paid(world.money(10_000), CaptureMethod::Automatic).await;
    assert!(succeeded(world.money(10_000))(&seen.seen));
    assert_ne!(world.client.token(&world.account).as_deref(), Some("an old one"));
    // Credentials that are not ours end it there.
    let mut world = World::new(&MONNIFY).await;
    world.account.secrets["secret_key"] = json!("another");
    let refused = world.send(&world.page(&world.attempt(), world.money(10_000), CaptureMethod::Automatic)).await;
    assert!(matches!(refused, Err(Failure::Refused { class: ErrorClass::SetUp, .. })), "{refused:?}");
}

#[tokio::test]
async fn no_token_means_that_nothing_of_the_order_was_sent() {
    for fault in [Fault::TimeoutBefore, Fault::Error500, Fault::Cut] {
        let world = World::new(&MONNIFY).await;
        world.fault("token", fault);
        let sent = world.send(&world.page(&world.attempt(), world.money(10_000), CaptureMethod::Automatic)).await;
        assert!(matches!(sent, Err(Failure::NotSent { .. })), "{sent:?}");
    }
}

#[tokio::test]
async fn too_much_and_too_little_are_told_with_what_was_really_paid() {
    for (word, paid_minor) in [("OVERPAID", 10_100), ("PARTIALLY_PAID", 5_000)] {
        let world = World::new(&MONNIFY).await;
        let opened = world.open(world.money(10_000), CaptureMethod::Automatic).await;
        world.sim.decline(&opened.reference, word).unwrap();
        let seen = world.known(&World::question(&opened)).await;
        assert!(succeeded(world.money(paid_minor))(&seen.seen), "{word}: {seen:?}");
        let notices: Vec<_> = world.webhooks().await.iter().flat_map(|came| world.read(came)).collect();
        assert!(notices.iter().any(|notice| succeeded(world.money(paid_minor))(&notice.observation.seen)), "{notices:?}");
    }
}

#[tokio::test]
async fn every_form_that_monnify_writes_is_read_alike() {
    // The forms of amounts, dates, sources and metadata turn with the number of the payment.
    let world = World::new(&MONNIFY).await;
    for number in 0..12 {
        let amount = world.money(10_050 + number);
        let (opened, seen) = world.paid(amount, CaptureMethod::Automatic).await;
        assert!(succeeded(amount)(&seen.seen), "{number}: {seen:?}");
        let told = world
            .webhooks()
            .await
            .iter()
            .flat_map(|came| world.read(came))
            .any(|notice| notice.reference.as_deref() == Some(&*opened.reference) && succeeded(amount)(&notice.observation.seen));
        assert!(told, "{number}");
    }
    world.sim.settle(MONNIFY.sim, sim::providers::Plant::default()).unwrap();
    let now = world.clock.now();
    let day = Duration::from_secs(86_400);
    let Ok(Told::Report(bytes)) = world.ask(&Question::Settled { from: now.minus(day), until: now.plus(day) }).await else {
        panic!("no report")
    };
    let lines = world.provider().report(&world.account, &bytes).unwrap();
    assert_eq!(lines.len(), 12);
    let near = |at: kernel::Timestamp| at > now.minus(Duration::from_secs(60)) && at < now.plus(Duration::from_secs(600));
    assert!(lines.iter().all(|line| line.at.is_some_and(near) && line.batch.is_some()), "{lines:?}");
}

#[tokio::test]
async fn a_payout_that_is_under_way_is_pending_and_one_with_a_wrong_password_still_waits() {
    for word in ["PENDING", "AWAITING_PROCESSING", "IN_PROGRESS"] {
        let world = World::new(&MONNIFY).await;
        let (reference, destination) = (world.payout(), (MONNIFY.payouts.unwrap().to)());
        world.fault("payout", Fault::Decline(word.to_owned()));
        let order = Order::Payout { reference: reference.clone(), amount: world.money(5_000), destination, narration: "n".repeat(500) };
        assert_eq!(world.observe(&order).await.seen, Seen::Pending, "{word}");
        world.sim.advance(Duration::from_secs(120));
        let seen = world.known(&Question::Payout { reference, provider_ref: None }).await.seen;
        assert!(succeeded(world.money(5_000))(&seen), "{seen:?}");
    }
    let mut world = World::new(&MONNIFY).await;
    world.account.settings["source_account"] = json!(sim::providers::monnify::OTP_WALLET);
    let (reference, destination) = (world.payout(), (MONNIFY.payouts.unwrap().to)());
    world
        .observe(&Order::Payout { reference: reference.clone(), amount: world.money(5_000), destination, narration: "n".to_owned() })
        .await;
    let wrong = world.observe(&Order::ConfirmPayout { reference, otp: "999999".to_owned() }).await;
    assert_eq!(wrong.seen, Seen::WaitsForPerson);
}

#[tokio::test]
async fn a_wallet_that_does_not_hold_enough_is_a_refusal_of_our_set_up_and_nothing_moves() {
    let mut world = World::new(&MONNIFY).await;
    world.account.settings["source_account"] = json!(sim::providers::monnify::POOR_WALLET);
    let (reference, destination) = (world.payout(), (MONNIFY.payouts.unwrap().to)());
    let order = Order::Payout { reference, amount: world.money(10_000_000), destination, narration: "n".to_owned() };
    let refused = world.send(&order).await;
    assert!(matches!(refused, Err(Failure::Refused { class: ErrorClass::SetUp, .. })), "{refused:?}");
    assert!(world.moved(MovementKind::PaidOut).is_empty());
}

#[tokio::test]
async fn a_payer_without_an_email_is_sent_elsewhere_unless_the_account_names_one() {
    let mut world = World::new(&MONNIFY).await;
    let bare = |world: &World<'_>| match world.page(&world.attempt(), world.money(10_000), CaptureMethod::Automatic) {
        Order::OpenPage { reference, amount, capture_method, description, return_url, webhook_url, expires_at, extra, .. } => {
            let payer = payments::Payer::default();
            Order::OpenPage { reference, amount, capture_method, description, payer, return_url, webhook_url, expires_at, extra }
        }
        other => other,
    };
    let refused = world.send(&bare(&world)).await;
    assert!(matches!(refused, Err(Failure::Refused { class: ErrorClass::NotSupported, .. })), "{refused:?}");
    world.account.settings["payer_email"] = json!("till@shop.example");
    assert!(matches!(world.send(&bare(&world)).await, Ok(Done::Page { .. })));
}

#[tokio::test]
async fn a_settlement_of_more_lines_than_a_page_is_fetched_whole_and_each_line_once() {
    let world = World::new(&MONNIFY).await;
    let mut references = Vec::new();
    for number in 0..1_005 {
        let opened = world.open(world.money(10_000 + number), CaptureMethod::Automatic).await;
        world.sim.pay(&opened.reference).unwrap();
        references.push(opened.reference);
    }
    // Two settlements of one time.
    let plant = sim::providers::Plant::default();
    world.sim.settle(MONNIFY.sim, plant).unwrap();
    references.push(world.paid(world.money(7_700), CaptureMethod::Automatic).await.0.reference);
    world.sim.settle(MONNIFY.sim, plant).unwrap();
    let now = world.clock.now();
    let hour = Duration::from_secs(3_600);
    let Ok(Told::Report(bytes)) = world.ask(&Question::Settled { from: now.minus(hour), until: now.plus(hour) }).await else {
        panic!("no report")
    };
    let lines = world.provider().report(&world.account, &bytes).unwrap();
    let mut named: Vec<_> = lines.iter().filter_map(|line| line.reference.clone()).collect();
    named.sort();
    references.sort();
    assert_eq!(named, references);
    assert_eq!(
        lines.iter().map(|line| line.gross.amount_minor).sum::<i64>(),
        (0..1_005).map(|number| 10_000 + number).sum::<i64>() + 7_700
    );
    let Ok(Told::Report(bytes)) = world.ask(&Question::Settled { from: now.minus(hour), until: now.minus(hour / 2) }).await else {
        panic!("no report")
    };
    assert_eq!(world.provider().report(&world.account, &bytes), Ok(Vec::new()), "nothing was settled then");
}
