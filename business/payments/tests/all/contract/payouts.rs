//! Money that goes out: once, by name, with its password, and back where it did not arrive.

use payments::{Destination, Done, ErrorClass, Failure, Observation, Order, Question, Seen, Told};
use sim::bank::MovementKind;
use sim::faults::Fault;

use super::world::{World, succeeded};
use super::{Payouts, Promise};

fn order(world: &World<'_>, reference: &str, destination: Destination, amount_minor: i64) -> Order {
    Order::Payout { reference: reference.to_owned(), amount: world.money(amount_minor), destination, narration: "Week 12".to_owned() }
}

/// How a payout stands when the provider had its time.
async fn ended(world: &World<'_>, reference: &str, provider_ref: Option<String>) -> Observation {
    world.sim.advance(std::time::Duration::from_secs(86_400 * 7));
    world.known(&Question::Payout { reference: reference.to_owned(), provider_ref }).await
}

fn tried(promise: &Promise) -> Option<&Payouts> {
    assert_eq!(promise.payouts.is_some(), promise.abilities.pays_out);
    promise.payouts.as_ref()
}

pub async fn money_is_paid_out_once(promise: &Promise) {
    let Some(payouts) = tried(promise) else { return };
    for fault in [None, Some(Fault::TimeoutAfter), Some(Fault::TimeoutBefore)] {
        let world = World::new(promise).await;
        fund(&world).await;
        let (reference, amount) = (world.payout(), world.money(5_000));
        let order = order(&world, &reference, (payouts.to)(), 5_000);
        let mut provider_ref = None;
        match &fault {
            None => {
                let first = world.observe(&order).await;
                assert!(matches!(first.seen, Seen::Pending | Seen::Succeeded { .. }), "{first:?}");
                provider_ref = first.provider_ref;
            }
            Some(fault) => {
                world.fault("payout", fault.clone());
                let lost = world.send(&order).await;
                assert!(matches!(lost, Err(Failure::Unknown { .. })), "{lost:?}");
            }
        }
        let known = world.ask(&Question::Payout { reference: reference.clone(), provider_ref: provider_ref.clone() }).await.unwrap();
        if fault == Some(Fault::TimeoutBefore) {
            assert_eq!(known, Told::NotFound);
        }
        if promise.abilities.keeps_keys_for.is_some() {
            let again = world.observe(&order).await;
            assert!(provider_ref.is_none() || again.provider_ref == provider_ref, "{again:?}");
            provider_ref = again.provider_ref;
        } else if fault == Some(Fault::TimeoutBefore) {
            world.observe(&order).await;
        }
        let seen = ended(&world, &reference, provider_ref).await;
        assert!(succeeded(amount)(&seen.seen), "{fault:?}: {seen:?}");
        assert_eq!(world.moved_minor(MovementKind::PaidOut), 5_000, "{fault:?}");
    }
}

/// Somebody has paid before money goes out: some providers pay out of that alone.
async fn fund(world: &World<'_>) {
    if world.promise.abilities.has_pages {
        world.paid(world.money(1_000_000), payments::CaptureMethod::Automatic).await;
    }
}

pub async fn a_payout_that_fails_or_comes_back_says_so(promise: &Promise) {
    let Some(payouts) = tried(promise) else { return };
    for (word, comes_back) in [(payouts.failed, false), (payouts.reversed, true)] {
        let Some(word) = word else { continue };
        let world = World::new(promise).await;
        fund(&world).await;
        let reference = world.payout();
        world.fault("payout", Fault::Decline(word.to_owned()));
        let seen = match world.send(&order(&world, &reference, (payouts.to)(), 5_000)).await {
            Ok(Done::Observed(first)) => ended(&world, &reference, first.provider_ref).await.seen,
            Err(Failure::Refused { class, code }) => Seen::Declined { class, code },
            other => panic!("{other:?}"),
        };
        let is_right = if comes_back { matches!(seen, Seen::Reversed) } else { matches!(seen, Seen::Declined { .. }) };
        assert!(is_right, "{word}: {seen:?}");
        let (out, back) = (world.moved_minor(MovementKind::PaidOut), world.moved_minor(MovementKind::Returned));
        assert_eq!(out, back, "nothing stays out");
    }
}

pub async fn a_payout_waits_for_its_password(promise: &Promise) {
    let Some((settings, password)) = tried(promise).and_then(|payouts| payouts.password) else { return };
    let mut world = World::new(promise).await;
    world.account.settings = settings();
    fund(&world).await;
    let reference = world.payout();
    let to = (tried(promise).unwrap().to)();
    let first = world.observe(&order(&world, &reference, to, 5_000)).await;
    assert_eq!(first.seen, Seen::WaitsForPerson);
    let wrong = world.send(&Order::ConfirmPayout { reference: reference.clone(), otp: "000000".to_owned() }).await;
    assert!(!matches!(&wrong, Ok(Done::Observed(seen)) if matches!(seen.seen, Seen::Succeeded { .. })), "{wrong:?}");
    assert_eq!(world.moved_minor(MovementKind::PaidOut), 0);
    world.observe(&Order::ConfirmPayout { reference: reference.clone(), otp: password.to_owned() }).await;
    assert!(succeeded(world.money(5_000))(&ended(&world, &reference, first.provider_ref).await.seen));
    assert_eq!(world.moved_minor(MovementKind::PaidOut), 5_000);
}

pub async fn an_account_has_a_name_and_we_have_a_float(promise: &Promise) {
    let world = World::new(promise).await;
    if let (true, Some(payouts)) = (promise.abilities.enquires_names, tried(promise)) {
        let ask = |to: Destination| Question::AccountName { bank_code: to.bank_code, account_number: to.account_number };
        let told = world.ask(&ask((payouts.to)())).await;
        assert!(matches!(&told, Ok(Told::AccountName(name)) if !name.is_empty()), "{told:?}");
        let nobody = world.ask(&ask((payouts.nobody.unwrap())())).await;
        let is_nobody = matches!(&nobody, Ok(Told::NotFound) | Err(Failure::Refused { class: ErrorClass::InvalidRequest, .. }));
        assert!(is_nobody, "{nobody:?}");
    }
    if promise.abilities.tells_float {
        fund(&world).await;
        let currency = world.money(0).currency;
        let told = world.ask(&Question::Float { currency }).await;
        assert!(matches!(&told, Ok(Told::Float(float)) if float.currency == currency && float.amount_minor >= 0), "{told:?}");
    }
}
