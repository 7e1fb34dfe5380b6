//! Reports of what was settled.

use std::time::Duration;

use payments::{CaptureMethod, LineKind, Question, Told, WebhookError};
use proptest::test_runner::{Config, TestRunner};
use sim::providers::Plant;

use super::Promise;
use super::webhooks::alike;
use super::world::World;

async fn settled<'a>(promise: &'a Promise) -> (World<'a>, String, Vec<u8>) {
    let world = World::new(promise).await;
    let mut first = None;
    for amount in [10_001, 25_000, 1_000_000] {
        let (opened, _) = world.paid(world.money(amount), CaptureMethod::Automatic).await;
        first.get_or_insert(opened.reference);
    }
    world.sim.settle(promise.sim, Plant::default()).unwrap();
    let now = world.clock.now();
    let day = Duration::from_secs(86_400);
    let told = world.ask(&Question::Settled { from: now.minus(day), until: now.plus(day) }).await;
    let Ok(Told::Report(bytes)) = told else { panic!("{told:?}") };
    (world, first.unwrap(), bytes)
}

pub async fn each_line_of_a_report_adds_up_and_names_the_payment(promise: &Promise) {
    // Where nobody pays us there is no payment in it.
    if !promise.abilities.reports || !promise.abilities.has_pages {
        return;
    }
    let (world, reference, bytes) = settled(promise).await;
    let lines = world.provider().report(&world.account, &bytes).unwrap();
    for line in &lines {
        assert_eq!(line.gross.amount_minor, line.fee_minor + line.net_minor, "{line:?}");
    }
    let of_kind: Vec<_> = lines.iter().filter(|line| line.kind == LineKind::Payment).collect();
    assert_eq!(of_kind.iter().map(|line| line.gross.amount_minor).sum::<i64>(), 1_035_001, "{lines:?}");
    let named: Vec<_> = of_kind.iter().filter(|line| line.reference.as_deref() == Some(&reference)).collect();
    assert_eq!(named.len(), 1, "{lines:?}");
    assert_eq!(named[0].gross, world.money(10_001));
    assert!(named[0].provider_ref.is_some());
}

pub async fn whatever_a_report_holds_reading_it_never_panics(promise: &Promise) {
    let mut real = vec![b"[]".to_vec(), b"a,b\n1,2\n".to_vec(), b"{}".to_vec()];
    let world = World::new(promise).await;
    if promise.abilities.reports {
        if promise.abilities.has_pages {
            real.push(settled(promise).await.2);
        }
        for broken in [&b""[..], b"{", b"<html></html>", b"\xff\xfe"] {
            let read = world.provider().report(&world.account, broken);
            assert!(matches!(read, Err(WebhookError::Unreadable(_))), "{broken:?}: {read:?}");
        }
    }
    let (provider, account) = (world.provider(), &world.account);
    TestRunner::new(Config { cases: 1_000, failure_persistence: None, ..Config::default() })
        .run(&alike(real), |bytes| {
            if let Ok(lines) = provider.report(account, &bytes) {
                for line in lines {
                    assert_eq!(line.fee_minor.checked_add(line.net_minor), Some(line.gross.amount_minor));
                }
            }
            Ok(())
        })
        .unwrap();
}
