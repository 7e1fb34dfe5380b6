//! Webhooks: genuine, forged, late, twice, about something else, and broken.

use std::time::Duration;

use kernel::Clock;
use payments::{CaptureMethod, Notice, Seen, Trust, WebhookError};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sim::faults::Fault;

use super::Promise;
use super::world::{Came, Opened, World};

/// A payment, and the webhooks that it caused.
async fn told<'a>(promise: &'a Promise, fault: Option<Fault>) -> (World<'a>, Opened, Vec<Came>) {
    let world = World::new(promise).await;
    if let Some(fault) = fault {
        world
            .sim
            .add_fault(sim::faults::Rule {
                dialect: Some(promise.sim),
                operation: None,
                contains: None,
                fault,
                rate_percent: 100,
                times: None,
            })
            .unwrap();
    }
    let (opened, _) = world.paid(world.money(10_001), CaptureMethod::Automatic).await;
    let came = world.webhooks().await;
    assert!(!came.is_empty(), "the simulator told nothing");
    (world, opened, came)
}

fn about<'a>(notices: &'a [Notice], opened: &Opened) -> Vec<&'a Notice> {
    let is_theirs = |notice: &Notice| opened.provider_ref.is_some() && notice.provider_ref == opened.provider_ref;
    notices.iter().filter(|notice| notice.reference.as_deref() == Some(&opened.reference) || is_theirs(notice)).collect()
}

pub async fn a_genuine_webhook_is_taken_and_says_what_was_paid(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let (world, opened, came) = told(promise, None).await;
    let mut notices = Vec::new();
    for webhook in &came {
        assert_eq!(world.check(webhook).await, Ok(()));
        notices.extend(world.read(webhook));
    }
    let about = about(&notices, &opened);
    let says = |notice: &&Notice| match &notice.observation.seen {
        Seen::Succeeded { amount, .. } => promise.abilities.trust != Trust::Hint && *amount == Some(opened.amount),
        Seen::Changed => promise.abilities.trust == Trust::Hint || promise.abilities.has_pages,
        _ => false,
    };
    assert!(about.iter().any(says), "{notices:?}");
    // What is only a hint never says that money came.
    let is_believed = about.iter().any(|notice| !matches!(notice.observation.seen, Seen::Changed));
    assert!(promise.abilities.trust != Trust::Hint || !is_believed, "{notices:?}");
}

pub async fn a_forged_webhook_or_another_secret_is_refused(promise: &Promise) {
    if promise.abilities.trust == Trust::Hint || !promise.abilities.has_pages {
        return;
    }
    let (world, _, came) = told(promise, Some(Fault::ForgedWebhook)).await;
    for webhook in &came {
        assert_eq!(world.check(webhook).await, Err(WebhookError::Forged));
    }
    let (mut world, _, came) = told(promise, None).await;
    let mut changed = came[0].clone();
    changed.body.extend_from_slice(b" ");
    let with_a_blank = world.check(&changed).await;
    let mut changed = came[0].clone();
    let text = String::from_utf8(changed.body).unwrap();
    // The amount, in whichever way it is written.
    let other = text.replace("10001", "90001").replace("100.01", "900.01");
    changed.body = other.clone().into_bytes();
    if other != text {
        assert_eq!(world.check(&changed).await, Err(WebhookError::Forged));
    }
    // Over the bytes themselves, or over what they say.
    assert!(matches!(with_a_blank, Err(WebhookError::Forged) | Ok(())));
    let bare = Came { headers: Vec::new(), body: came[0].body.clone() };
    let missing = world.check(&bare).await;
    assert!(matches!(missing, Err(WebhookError::Forged)), "{missing:?}");
    if let Some(other) = promise.other_secrets {
        world.account.secrets = other();
        assert_eq!(world.check(&came[0]).await, Err(WebhookError::Forged));
    }
}

pub async fn a_webhook_from_another_time_is_stale(promise: &Promise) {
    if promise.abilities.trust == Trust::Hint || !promise.abilities.has_pages {
        return;
    }
    let (world, _, came) = told(promise, None).await;
    let at = |clock: Clock| world.provider().check(&world.account, came[0].as_webhook(), clock.now());
    let now = world.clock.now();
    let long = Duration::from_secs(86_400 * 30);
    // Where a signature has no time in it, the event is told apart by what it says.
    let has_time = at(Clock::stopped(now.plus(long))).is_err();
    if has_time {
        assert_eq!(at(Clock::stopped(now.plus(long))), Err(WebhookError::Stale));
        assert_eq!(at(Clock::stopped(now.minus(long))), Err(WebhookError::Stale));
    }
    assert_eq!(at(Clock::stopped(now)), Ok(()));
    assert_eq!(has_time, matches!(promise.dialect, payments::Dialect::Stripe | payments::Dialect::Paypal));
}

pub async fn a_webhook_that_came_twice_says_the_same_twice(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let (world, opened, came) = told(promise, Some(Fault::DuplicateWebhook)).await;
    let mut bodies: Vec<_> = came.iter().map(|webhook| webhook.body.clone()).collect();
    let all = bodies.len();
    bodies.sort();
    bodies.dedup();
    assert!(bodies.len() < all, "none came twice");
    let mut said: Vec<_> = Vec::new();
    for webhook in &came {
        let notices = world.read(webhook);
        let same = came.iter().filter(|other| other.body == webhook.body).all(|other| world.read(other) == notices);
        assert!(same);
        said.extend(notices);
    }
    assert!(!about(&said, &opened).is_empty());
}

pub async fn a_webhook_about_something_else_says_nothing(promise: &Promise) {
    let world = World::new(promise).await;
    let webhook = Came { headers: Vec::new(), body: promise.something_else.to_vec() };
    assert_eq!(world.provider().read(&world.account, webhook.as_webhook()), Ok(Vec::new()));
    for broken in [&b""[..], b"{", b"[]", b"null", b"<html>", b"\xff\xfe", b"5"] {
        let webhook = Came { headers: Vec::new(), body: broken.to_vec() };
        let read = world.provider().read(&world.account, webhook.as_webhook());
        assert!(matches!(read, Err(WebhookError::Unreadable(_))), "{broken:?}: {read:?}");
    }
}

pub async fn a_signed_webhook_with_another_amount_says_that_amount(promise: &Promise) {
    if promise.abilities.trust == Trust::Hint || !promise.abilities.has_pages {
        return;
    }
    for fault in [Fault::WrongAmountWebhook, Fault::WrongCurrencyWebhook] {
        let (world, opened, came) = told(promise, Some(fault.clone())).await;
        let mut notices = Vec::new();
        for webhook in &came {
            assert_eq!(world.check(webhook).await, Ok(()));
            notices.extend(world.read(webhook));
        }
        let other = |notice: &&Notice| match &notice.observation.seen {
            Seen::Succeeded { amount: Some(amount), .. } => *amount != opened.amount,
            _ => false,
        };
        let same = |notice: &&Notice| match &notice.observation.seen {
            Seen::Succeeded { amount: Some(amount), .. } => *amount == opened.amount,
            _ => false,
        };
        let about = about(&notices, &opened);
        assert!(!about.iter().any(same), "{fault:?}: {about:?}");
        // A webhook without an amount that can be read causes a question instead.
        let asks = about.iter().any(|notice| matches!(notice.observation.seen, Seen::Changed | Seen::Pending));
        assert!(about.iter().any(other) || asks, "{fault:?}: {about:?}");
    }
}

/// Bytes like `real` ones: cut, with parts put in, changed or taken out.
pub fn alike(real: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        Just(b"null".to_vec()),
        Just(b"{}".to_vec()),
        Just(b"[]".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"1e999".to_vec()),
        Just(b"\"\"".to_vec()),
        Just(b"99999999999999999999999".to_vec()),
        Just("\u{e9}".as_bytes().to_vec()),
        Just(b"\"\\u0000\"".to_vec()),
        proptest::collection::vec(any::<u8>(), 0..8),
    ];
    let changes = proptest::collection::vec((any::<proptest::sample::Index>(), 0_usize..12, part), 0..4);
    (proptest::sample::select(real), changes, any::<proptest::sample::Index>(), any::<bool>()).prop_map(
        |(mut bytes, changes, end, is_cut)| {
            for (at, taken, put) in changes {
                // After a colon, so that whole values change more often than their letters.
                let at = at.index(bytes.len() + 1);
                let at = bytes[at..].iter().position(|byte| *byte == b':').map_or(at, |colon| at + colon + 1);
                let end = (at + taken).min(bytes.len());
                bytes.splice(at..end, put);
            }
            if is_cut {
                bytes.truncate(end.index(bytes.len() + 1));
            }
            bytes
        },
    )
}

pub async fn whatever_a_webhook_holds_reading_it_never_panics(promise: &Promise) {
    let world = World::new(promise).await;
    let mut real = vec![promise.something_else.to_vec(), b"{}".to_vec()];
    let mut headers = Vec::new();
    if promise.abilities.has_pages {
        let (_, _, came) = told(promise, None).await;
        headers = came[0].headers.clone();
        real.extend(came.into_iter().map(|webhook| webhook.body));
    }
    let (provider, account, now) = (world.provider(), &world.account, world.clock.now());
    let junk = proptest::collection::vec(("[a-z-]{1,24}", "[ -~]{0,80}"), 0..4);
    TestRunner::new(Config { cases: 3_000, failure_persistence: None, ..Config::default() })
        .run(&(alike(real), junk, any::<bool>()), |(body, junk, is_signed)| {
            let headers = if is_signed { headers.clone() } else { junk };
            let webhook = Came { headers, body };
            let _ = provider.read(account, webhook.as_webhook());
            let _ = provider.check(account, webhook.as_webhook(), now);
            Ok(())
        })
        .unwrap();
}
