//! What follows a payment: captures, releases, refunds.

use payments::{CaptureMethod, Done, Failure, Observation, Order, Question, Seen, Told};
use sim::bank::MovementKind;
use sim::faults::Fault;

use super::Promise;
use super::world::{Opened, World, succeeded};

const MANUAL: CaptureMethod = CaptureMethod::Manual;

/// Theirs, for what is done next: what was learned last counts.
fn name_of(opened: &Opened, seen: &Observation) -> String {
    seen.provider_ref.clone().or_else(|| opened.provider_ref.clone()).unwrap()
}

async fn authorized<'a>(promise: &'a Promise, amount_minor: i64) -> (World<'a>, Opened, String) {
    let world = World::new(promise).await;
    let amount = world.money(amount_minor);
    let (opened, seen) = world.paid(amount, MANUAL).await;
    assert_eq!(seen.seen, Seen::Authorized { amount });
    assert!(world.moved(MovementKind::Charged).is_empty());
    let name = name_of(&opened, &seen);
    (world, opened, name)
}

pub async fn an_authorization_is_captured_in_parts(promise: &Promise) {
    if !promise.abilities.captures_later {
        return;
    }
    let (world, opened, provider_ref) = authorized(promise, 10_000).await;
    let parts: &[(i64, bool)] = if promise.abilities.captures_in_parts { &[(2_500, false), (4_000, true)] } else { &[(6_500, true)] };
    for (amount_minor, is_last) in parts {
        let (reference, amount) = (world.capture(), world.money(*amount_minor));
        let order = Order::Capture { reference: reference.clone(), provider_ref: provider_ref.clone(), amount, is_last: *is_last };
        let seen = world.observe(&order).await;
        assert!(succeeded(amount)(&seen.seen), "{seen:?}");
        // The same again is the same.
        assert!(succeeded(amount)(&world.observe(&order).await.seen));
        let question = Question::Capture { reference, provider_ref: provider_ref.clone() };
        assert!(succeeded(amount)(&world.known(&question).await.seen));
    }
    assert_eq!(world.moved_minor(MovementKind::Charged), 6_500);
    // How the payment stands never says that less was paid than was asked for.
    let seen = world.known(&World::question(&opened)).await;
    assert!(matches!(seen.seen, Seen::Authorized { amount } if amount == opened.amount), "{seen:?}");
    let unknown = Question::Capture { reference: world.capture(), provider_ref: provider_ref.clone() };
    assert_eq!(world.ask(&unknown).await, Ok(Told::NotFound));
    let more = Order::Capture { reference: world.capture(), provider_ref, amount: world.money(1), is_last: true };
    assert!(matches!(world.send(&more).await, Err(Failure::Refused { .. })), "the rest was released with the last");
    assert_eq!(world.moved_minor(MovementKind::Charged), 6_500);
}

pub async fn an_authorization_is_released(promise: &Promise) {
    if !promise.abilities.captures_later {
        return;
    }
    let (world, opened, provider_ref) = authorized(promise, 10_000).await;
    let order = Order::Void { reference: opened.reference.clone(), provider_ref: provider_ref.clone() };
    assert_eq!(world.observe(&order).await.seen, Seen::Voided);
    assert_eq!(world.observe(&order).await.seen, Seen::Voided, "releasing it again says so");
    assert_eq!(world.known(&World::question(&opened)).await.seen, Seen::Voided);
    let capture = Order::Capture { reference: world.capture(), provider_ref, amount: world.money(1), is_last: true };
    assert!(matches!(world.send(&capture).await, Err(Failure::Refused { .. })));
    assert!(world.moved(MovementKind::Charged).is_empty());
}

pub async fn a_lost_capture_is_found_and_not_done_twice(promise: &Promise) {
    if !promise.abilities.captures_later {
        return;
    }
    let (world, _, provider_ref) = authorized(promise, 10_000).await;
    let (reference, amount) = (world.capture(), world.money(10_000));
    let order = Order::Capture { reference: reference.clone(), provider_ref: provider_ref.clone(), amount, is_last: true };
    let question = Question::Capture { reference, provider_ref };
    world.fault("capture", Fault::TimeoutBefore);
    assert!(matches!(world.send(&order).await, Err(Failure::Unknown { .. })));
    assert_eq!(world.ask(&question).await, Ok(Told::NotFound));
    world.fault("capture", Fault::TimeoutAfter);
    assert!(matches!(world.send(&order).await, Err(Failure::Unknown { .. })));
    assert!(succeeded(amount)(&world.known(&question).await.seen));
    assert!(succeeded(amount)(&world.observe(&order).await.seen), "sent again under its key it is the same");
    assert_eq!(world.moved_minor(MovementKind::Charged), 10_000);
}

struct Refunding {
    reference: String,
    order: Order,
}

impl Refunding {
    fn new(world: &World<'_>, opened: &Opened, seen: &Observation, amount_minor: i64) -> Self {
        let reference = world.refund();
        let order = Order::Refund {
            reference: reference.clone(),
            attempt: opened.reference.clone(),
            provider_ref: name_of(opened, seen),
            charge_ref: seen.charge_ref.clone(),
            amount: world.money(amount_minor),
            reason: Some("does not fit".to_owned()),
        };
        Self { reference, order }
    }

    fn question(&self, opened: &Opened, seen: &Observation, provider_ref: Option<String>) -> Question {
        Question::Refund {
            reference: self.reference.clone(),
            attempt: opened.reference.clone(),
            provider_ref,
            charge_ref: seen.charge_ref.clone(),
        }
    }
}

pub async fn money_is_given_back_in_parts_and_each_part_once(promise: &Promise) {
    if !promise.abilities.refunds {
        return;
    }
    let world = World::new(promise).await;
    let (opened, paid) = world.paid(world.money(10_000), CaptureMethod::Automatic).await;
    let parts: &[i64] = if promise.abilities.refunds_in_parts { &[2_500, 7_500] } else { &[10_000] };
    for part in parts {
        let refunding = Refunding::new(&world, &opened, &paid, *part);
        let first = world.observe(&refunding.order).await;
        assert!(matches!(first.seen, Seen::Succeeded { .. } | Seen::Pending), "{first:?}");
        match world.send(&refunding.order).await {
            Ok(Done::Observed(again)) => assert_eq!(again.provider_ref, first.provider_ref),
            other => assert!(promise.abilities.keeps_keys_for.is_none() && other.is_err(), "{other:?}"),
        }
        world.sim.advance(promise.is_done_after);
        for name in [first.provider_ref.clone(), None] {
            let known = world.known(&refunding.question(&opened, &paid, name)).await;
            assert!(succeeded(world.money(*part))(&known.seen), "{known:?}");
        }
    }
    assert_eq!(world.moved_minor(MovementKind::Refunded), 10_000);
    let more = Refunding::new(&world, &opened, &paid, 100);
    let refused = world.send(&more.order).await;
    assert!(matches!(refused, Err(Failure::Refused { .. })), "{refused:?}");
    let seen = world.known(&World::question(&opened)).await;
    assert!(matches!(seen.seen, Seen::Succeeded { .. }), "what was paid was paid: {seen:?}");
    assert_eq!(world.ask(&Refunding::new(&world, &opened, &paid, 1).question(&opened, &paid, None)).await, Ok(Told::NotFound));
}

pub async fn a_lost_refund_is_found_and_not_done_twice(promise: &Promise) {
    if !promise.abilities.refunds {
        return;
    }
    let world = World::new(promise).await;
    let amount = world.money(10_000);
    let (opened, paid) = world.paid(amount, CaptureMethod::Automatic).await;
    let refunding = Refunding::new(&world, &opened, &paid, 10_000);
    world.fault("refund", Fault::TimeoutBefore);
    assert!(matches!(world.send(&refunding.order).await, Err(Failure::Unknown { .. })));
    let question = refunding.question(&opened, &paid, None);
    assert_eq!(world.ask(&question).await, Ok(Told::NotFound));
    world.fault("refund", Fault::Cut);
    assert!(matches!(world.send(&refunding.order).await, Err(Failure::Unknown { .. })));
    world.sim.advance(promise.is_done_after);
    assert!(succeeded(amount)(&world.known(&question).await.seen));
    let again = world.send(&refunding.order).await;
    assert!(promise.abilities.keeps_keys_for.is_none() || again.is_ok(), "{again:?}");
    assert_eq!(world.moved_minor(MovementKind::Refunded), 10_000);
}

pub async fn the_same_refund_many_times_at_once_is_one(promise: &Promise) {
    if !promise.abilities.refunds || !promise.abilities.refunds_in_parts {
        return;
    }
    let world = World::new(promise).await;
    let (opened, paid) = world.paid(world.money(10_000), CaptureMethod::Automatic).await;
    let refunding = Refunding::new(&world, &opened, &paid, 1_000);
    let ended = futures_util::future::join_all((0..8).map(|_| world.send(&refunding.order))).await;
    assert!(ended.iter().any(Result::is_ok), "{ended:?}");
    let surely_not =
        |end: &Result<Done, Failure>| matches!(end, Err(Failure::Refused { class, .. }) if *class != payments::ErrorClass::InvalidRequest);
    assert!(!ended.iter().any(surely_not), "{ended:?}");
    assert_eq!(world.moved_minor(MovementKind::Refunded), 1_000);
}

pub async fn a_refund_that_the_provider_refuses_says_so(promise: &Promise) {
    if !promise.abilities.refunds {
        return;
    }
    let world = World::new(promise).await;
    let (opened, paid) = world.paid(world.money(10_000), CaptureMethod::Automatic).await;
    let refunding = Refunding::new(&world, &opened, &paid, 10_000);
    world.fault("refund", Fault::Decline("FAILED".to_owned()));
    let seen = match world.send(&refunding.order).await {
        Ok(Done::Observed(first)) if first.seen == Seen::Pending => {
            world.sim.advance(promise.is_done_after);
            world.known(&refunding.question(&opened, &paid, first.provider_ref)).await.seen
        }
        Ok(Done::Observed(first)) => first.seen,
        Err(Failure::Refused { class, code }) => Seen::Declined { class, code },
        other => panic!("{other:?}"),
    };
    assert!(matches!(seen, Seen::Declined { .. }), "{seen:?}");
    assert_eq!(world.moved_minor(MovementKind::Refunded), 0);
}

pub async fn another_amount_given_back_is_observed_as_such(promise: &Promise) {
    if !promise.abilities.refunds || !promise.takes_other_amounts {
        return;
    }
    let world = World::new(promise).await;
    let (opened, paid) = world.paid(world.money(10_000), CaptureMethod::Automatic).await;
    let refunding = Refunding::new(&world, &opened, &paid, 5_000);
    world.fault("refund", Fault::WrongAmount);
    let first = world.observe(&refunding.order).await;
    world.sim.advance(promise.is_done_after);
    let known = world.known(&refunding.question(&opened, &paid, first.provider_ref)).await;
    let moved = world.moved_minor(MovementKind::Refunded);
    assert_ne!(moved, 5_000);
    assert!(succeeded(world.money(moved))(&known.seen), "{known:?}");
}
