//! Ramp Network's entry in the contract.

use std::time::Duration;

use payments::{Abilities, CaptureMethod, Dialect, Done, ErrorClass, Question, Seen, Told, Trust, WebhookError};
use serde_json::json;

use super::Promise;
use super::world::World;

/// The merchant's own.
const RAMP_NETWORK_WALLET: &str = "0x71C7656EC7ab88b098defB751B7401B5f6d8976F";

const RAMP_NETWORK: Promise = Promise {
    dialect: Dialect::RampNetwork,
    sim: sim::Dialect::RampNetwork,
    abilities: Abilities {
        has_pages: true,
        captures_later: false,
        captures_in_parts: false,
        refunds: false,
        refunds_in_parts: false,
        closes_pages: false,
        pays_out: false,
        enquires_names: false,
        tells_float: false,
        reports: false,
        keeps_keys_for: Some(Duration::from_secs(365 * 86_400)),
        trust: Trust::Signed,
    },
    settings: || {
        json!({"host_api_key": sim::RAMP_NETWORK_KEY, "swap_asset": "ETH_USDC", "public_key_pem": sim::providers::ramp_network::PUBLIC_KEY,
            "user_address": RAMP_NETWORK_WALLET})
    },
    secrets: || json!({}),
    currency: "EUR",
    extra: || json!({}),
    declines: &[
        ("PAYMENT_FAILED", ErrorClass::DeclinedSoft),
        ("REVIEW_REJECTED", ErrorClass::Fraud),
        ("CANCELLED", ErrorClass::PayerAction),
    ],
    is_completed_by_us: false,
    is_found_by_reference: false,
    payouts: None,
    other_secrets: None,
    something_else: br#"{"id":"1","type":"RELEASED","mode":"OFFRAMP","payload":{"id":"s-1"}}"#,
    takes_other_amounts: true,
    is_done_after: Duration::ZERO,
};

super::contract!(RAMP_NETWORK);

#[tokio::test]
async fn every_signature_is_taken_from_either_half_of_the_curve() {
    let world = World::new(&RAMP_NETWORK).await;
    for number in 0..12 {
        world.paid(world.money(10_050 + number), CaptureMethod::Automatic).await;
    }
    let came = world.webhooks().await;
    assert_eq!(came.len(), 24, "each is told as created and as released");
    for came in &came {
        assert_eq!(world.check(came).await, Ok(()));
    }
}

#[tokio::test]
async fn the_crypto_amount_stays_a_text_beside_the_fiat_amount() {
    let mut world = World::new(&RAMP_NETWORK).await;
    world.account.settings["swap_asset"] = json!("ETH_DAI");
    let (_, seen) = world.paid(world.money(99_999_900), CaptureMethod::Automatic).await;
    let Seen::Succeeded { amount, crypto_amount: Some(units) } = seen.seen else { panic!("{seen:?}") };
    assert_eq!(amount, Some(world.money(99_999_900)));
    assert!(units.parse::<i64>().is_err() && units.parse::<u128>().is_ok(), "{units} has eighteen decimal places");
}

#[tokio::test]
async fn a_payer_who_changes_the_wallet_in_the_address_pays_nobody_of_ours() {
    let world = World::new(&RAMP_NETWORK).await;
    let reference = world.attempt();
    let Ok(Done::Page { url, .. }) = world.send(&world.page(&reference, world.money(10_000), CaptureMethod::Automatic)).await else {
        panic!("no page")
    };
    let wallet = RAMP_NETWORK_WALLET;
    let theirs = url.replace(wallet, "0x00000000000000000000000000000000000051f7");
    assert_ne!(theirs, url);
    let mut browser = sim::client::Client::default();
    browser.send(http::Method::GET, &theirs, &[], Vec::new(), Duration::from_secs(10)).await.unwrap();
    world.sim.pay(&reference).unwrap();
    for came in world.webhooks().await {
        assert_eq!(world.check(&came).await, Ok(()), "it is genuine");
        let read = world.provider().read(&world.account, came.as_webhook());
        assert!(matches!(read, Err(WebhookError::Unreadable(_))), "{read:?}");
    }
}

#[tokio::test]
async fn money_that_was_returned_took_nothing_and_a_purchase_without_its_token_cannot_be_asked_for() {
    let world = World::new(&RAMP_NETWORK).await;
    let opened = world.open(world.money(10_000), CaptureMethod::Automatic).await;
    world.sim.decline(&opened.reference, "RETURNED").unwrap();
    let seen = world.known(&World::question(&opened)).await.seen;
    assert!(matches!(&seen, Seen::Declined { code, .. } if code == "RETURNED"), "{seen:?}");
    let told = world.webhooks().await.iter().flat_map(|came| world.read(came)).any(|notice| notice.observation.seen == seen);
    assert!(told);
    let id = opened.provider_ref.as_deref().and_then(|name| name.split_once(':')).map(|(id, _)| id.to_owned()).unwrap();
    for name in [None, Some(id.clone()), Some(format!("{id}:wrong"))] {
        let question = Question::Payment { reference: opened.reference.clone(), provider_ref: name };
        assert_eq!(world.ask(&question).await, Ok(Told::NotFound));
    }
}
