//! Stripe's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Destination, Dialect, ErrorClass, Trust};
use serde_json::json;

use super::{Payouts, Promise};

const STRIPE: Promise = Promise {
    dialect: Dialect::Stripe,
    sim: sim::Dialect::Stripe,
    abilities: Abilities {
        has_pages: true,
        captures_later: true,
        captures_in_parts: true,
        refunds: true,
        refunds_in_parts: true,
        closes_pages: true,
        pays_out: true,
        enquires_names: false,
        tells_float: true,
        reports: true,
        keeps_keys_for: Some(Duration::from_secs(23 * 3_600)),
        trust: Trust::Signed,
    },
    settings: || json!({}),
    secrets: || json!({"api_key": sim::STRIPE_KEY, "webhook_secret": sim::STRIPE_WEBHOOK_SECRET}),
    currency: "USD",
    extra: || json!({}),
    declines: &[
        ("insufficient_funds", ErrorClass::DeclinedHard),
        ("lost_card", ErrorClass::DeclinedHard),
        ("generic_decline", ErrorClass::DeclinedSoft),
        ("do_not_honor", ErrorClass::DeclinedSoft),
        ("processing_error", ErrorClass::DeclinedSoft),
        ("expired_card", ErrorClass::DeclinedHard),
        ("incorrect_cvc", ErrorClass::PayerAction),
        ("stolen_card", ErrorClass::Fraud),
        ("fraudulent", ErrorClass::Fraud),
        ("a_code_of_next_year", ErrorClass::DeclinedSoft),
    ],
    is_completed_by_us: false,
    is_found_by_reference: false,
    payouts: Some(Payouts {
        to: || Destination { bank_code: String::new(), account_number: "default".to_owned(), account_name: "Ours".to_owned() },
        nobody: None,
        failed: Some("account_closed"),
        reversed: None,
        password: None,
    }),
    other_secrets: Some(|| json!({"api_key": sim::STRIPE_KEY, "webhook_secret": ["whsec_another", "whsec_third"]})),
    something_else: br#"{"id":"evt_1","object":"event","type":"customer.created","data":{"object":{"id":"cus_1","object":"customer"}}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(STRIPE);

/// One by one: what Stripe calls its smallest unit is not always that of ISO 4217.
#[tokio::test]
async fn each_currency_is_paid_and_given_back_to_the_unit() {
    for (currency, amount_minor) in [("JPY", 501), ("KWD", 5_120), ("ISK", 5), ("UGX", 7_000), ("MGA", 120_000), ("HUF", 1_234), ("EUR", 1)]
    {
        super::world::a_payment_in(&STRIPE, currency, amount_minor).await;
    }
}

/// What was settled names the payout that settled it.
#[tokio::test]
async fn each_line_of_a_report_names_its_payout() {
    let world = super::world::World::new(&STRIPE).await;
    world.paid(world.money(10_001), payments::CaptureMethod::Automatic).await;
    world.paid(world.money(500), payments::CaptureMethod::Automatic).await;
    let payouts = world.sim.settle(sim::Dialect::Stripe, sim::providers::Plant::default()).unwrap();
    world.paid(world.money(700), payments::CaptureMethod::Automatic).await;
    let (now, day) = (world.clock.now(), Duration::from_secs(86_400));
    let told = world.ask(&payments::Question::Settled { from: now.minus(day), until: now.plus(day) }).await;
    let Ok(payments::Told::Report(bytes)) = told else { panic!("{told:?}") };
    let lines = world.provider().report(&world.account, &bytes).unwrap();
    let batches: Vec<_> = lines.iter().map(|line| (line.gross.amount_minor, line.batch.as_deref())).collect();
    let payout = payouts.first().map(String::as_str);
    assert_eq!(batches, [(700, None), (500, payout), (10_001, payout)]);
}

/// While the secret is rotated, both sign.
#[tokio::test]
async fn a_webhook_is_genuine_by_the_old_secret_and_by_the_new() {
    let mut world = super::world::World::new(&STRIPE).await;
    world.account.secrets["webhook_secret"] = json!(["whsec_new", sim::STRIPE_WEBHOOK_SECRET]);
    world.sim.pay(&world.open(world.money(10_000), payments::CaptureMethod::Automatic).await.reference).unwrap();
    let old = world.webhooks().await;
    world.sim.webhook_to(sim::Dialect::Stripe, &world.webhook_url, Some("whsec_new"));
    world.sim.pay(&world.open(world.money(10_000), payments::CaptureMethod::Automatic).await.reference).unwrap();
    let both = world.webhooks().await;
    assert!(!old.is_empty() && both.len() > old.len());
    for webhook in &both {
        assert_eq!(world.check(webhook).await, Ok(()));
    }
    world.account.secrets["webhook_secret"] = json!("whsec_new");
    assert_eq!(world.check(&both[0]).await, Err(payments::WebhookError::Forged));
}

/// A payer whose card was declined may try another one on the same page.
#[tokio::test]
async fn a_page_can_be_paid_after_a_decline() {
    let world = super::world::World::new(&STRIPE).await;
    let amount = world.money(10_000);
    let opened = world.open(amount, payments::CaptureMethod::Automatic).await;
    world.sim.decline(&opened.reference, "insufficient_funds").unwrap();
    assert!(matches!(world.follow(&opened).await.unwrap().seen, payments::Seen::Declined { .. }));
    world.sim.pay(&opened.reference).unwrap();
    assert!(super::world::succeeded(amount)(&world.follow(&opened).await.unwrap().seen));
}
