//! Ramp's entry in the contract.

use std::time::Duration;

use payments::{Abilities, Destination, Dialect, LineKind, Order, Question, Seen, Told, Trust, WebhookError};
use serde_json::json;
use sim::faults::Fault;

use super::world::{Came, World, succeeded};
use super::{Payouts, Promise};

const RAMP: Promise = Promise {
    dialect: Dialect::Ramp,
    sim: sim::Dialect::Ramp,
    abilities: Abilities {
        has_pages: false,
        captures_later: false,
        captures_in_parts: false,
        refunds: false,
        refunds_in_parts: false,
        closes_pages: false,
        pays_out: true,
        enquires_names: false,
        tells_float: true,
        reports: true,
        keeps_keys_for: Some(Duration::from_secs(23 * 3_600)),
        trust: Trust::Signed,
    },
    settings: || json!({}),
    secrets: || json!({"client_id": sim::RAMP_CLIENT, "client_secret": sim::RAMP_SECRET, "webhook_secret": sim::RAMP_WEBHOOK_SECRET}),
    currency: "USD",
    extra: || json!({}),
    declines: &[],
    is_completed_by_us: false,
    is_found_by_reference: false,
    payouts: Some(Payouts {
        to: || Destination { bank_code: "021000021".to_owned(), account_number: "000123".to_owned(), account_name: "Lamps Ltd".to_owned() },
        nobody: None,
        failed: Some("NOT_ENOUGH_FUNDS"),
        reversed: Some("RETURNED_BY_RDFI"),
        password: None,
    }),
    other_secrets: None,
    something_else: br#"{"id":"1","type":"transactions.cleared","object":{"object_type":"transaction","id":"t"}}"#,
    takes_other_amounts: false,
    is_done_after: Duration::ZERO,
};

super::contract!(RAMP);

/// A payout, paid at once, and the webhooks that it caused.
async fn paid_out(world: &World<'_>, word: Option<&str>) -> (String, Vec<Came>) {
    let reference = world.payout();
    if let Some(word) = word {
        world.fault("payout", Fault::Decline(word.to_owned()));
    }
    let destination = (RAMP.payouts.unwrap().to)();
    world
        .observe(&Order::Payout { reference: reference.clone(), amount: world.money(5_000), destination, narration: "n".to_owned() })
        .await;
    (reference, world.webhooks().await)
}

#[tokio::test]
async fn a_genuine_webhook_tells_of_the_payout_and_a_forged_or_changed_one_is_refused() {
    let mut world = World::new(&RAMP).await;
    let (reference, came) = paid_out(&world, None).await;
    assert_eq!(world.check(&came[0]).await, Ok(()));
    let notices = world.read(&came[0]);
    assert_eq!(notices[0].reference.as_deref(), Some(&*reference));
    assert!(succeeded(world.money(5_000))(&notices[0].observation.seen));
    let mut changed = came[0].clone();
    changed.body.push(b' ');
    assert_eq!(world.check(&changed).await, Err(WebhookError::Forged));
    let nameless = came[0].headers.iter().filter(|(name, _)| name != "x-ramp-webhook-id").cloned().collect();
    assert_eq!(world.check(&Came { headers: nameless, ..came[0].clone() }).await, Err(WebhookError::Forged));
    world.account.secrets["webhook_secret"] = json!("another");
    assert_eq!(world.check(&came[0]).await, Err(WebhookError::Forged));
    world.account.secrets["webhook_secret"] = json!(["another", sim::RAMP_WEBHOOK_SECRET]);
    assert_eq!(world.check(&came[0]).await, Ok(()), "while it is rotated both are good");
    let forged = World::new(&RAMP).await;
    forged.fault("payout", Fault::ForgedWebhook);
    let (_, came) = paid_out(&forged, None).await;
    assert_eq!(forged.check(&came[0]).await, Err(WebhookError::Forged));
}

#[tokio::test]
async fn a_payout_that_came_back_is_told_as_paid_and_then_as_reversed() {
    let world = World::new(&RAMP).await;
    let (_, came) = paid_out(&world, Some("RETURNED_BY_RDFI")).await;
    let seen: Vec<_> = came.iter().flat_map(|came| world.read(came)).map(|notice| notice.observation.seen).collect();
    assert!(seen.iter().any(succeeded(world.money(5_000))) && seen.contains(&Seen::Reversed), "{seen:?}");
}

#[tokio::test]
async fn a_report_of_many_pages_names_every_payout_once() {
    let world = World::new(&RAMP).await;
    let mut references = Vec::new();
    for _ in 0..205 {
        let destination = (RAMP.payouts.unwrap().to)();
        let reference = world.payout();
        world
            .observe(&Order::Payout { reference: reference.clone(), amount: world.money(5_000), destination, narration: String::new() })
            .await;
        references.push(reference);
    }
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
    assert!(lines.iter().all(|line| line.kind == LineKind::Payout && line.gross == world.money(-5_000)));
    let Ok(Told::Report(bytes)) = world.ask(&Question::Settled { from: now.minus(hour), until: now.minus(hour / 2) }).await else {
        panic!("no report")
    };
    assert_eq!(world.provider().report(&world.account, &bytes), Ok(Vec::new()), "what is outside of the time is not in it");
}
