//! Pages: opened, paid, declined, closed; and what is known after an answer was lost.

use payments::{CaptureMethod, Done, Failure, Order, Question, Seen, Told};
use sim::bank::MovementKind;
use sim::faults::Fault;

use super::Promise;
use super::world::{World, succeeded};

const AUTOMATIC: CaptureMethod = CaptureMethod::Automatic;

pub async fn its_abilities_are_what_the_contract_says(promise: &Promise) {
    assert_eq!(promise.dialect.provider().abilities(), promise.abilities);
}

pub async fn a_paid_page_is_observed_with_the_exact_amount(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let world = World::new(promise).await;
    for amount in [10_001, 1_000_000, 99_999_900] {
        let amount = world.money(amount);
        let opened = world.open(amount, AUTOMATIC).await;
        assert!(opened.url.starts_with("http"), "{}", opened.url);
        let before = world.ask(&World::question(&opened)).await.unwrap();
        let is_unpaid = matches!(&before, Told::NotFound)
            || matches!(&before, Told::Observed(seen) if matches!(seen.seen, Seen::WaitsForPerson | Seen::Pending));
        assert!(is_unpaid, "{before:?}");
        world.sim.pay(&opened.reference).unwrap();
        let seen = world.follow(&opened).await.unwrap();
        assert!(succeeded(amount)(&seen.seen), "{seen:?}");
        assert!(seen.charge_ref.is_some() || seen.provider_ref.is_some() || opened.provider_ref.is_some());
        let charged: Vec<_> = world.moved(MovementKind::Charged).into_iter().filter(|moved| moved.reference == opened.reference).collect();
        assert_eq!(charged.len(), 1);
        assert_eq!((charged[0].amount_minor, charged[0].currency.as_str()), (amount.amount_minor, promise.currency));
        // Said again, it is the same.
        assert!(succeeded(amount)(&world.known(&World::question(&opened)).await.seen));
    }
}

pub async fn a_decline_has_its_class(promise: &Promise) {
    for (code, expected) in promise.declines {
        let world = World::new(promise).await;
        let opened = world.open(world.money(10_000), AUTOMATIC).await;
        world.sim.decline(&opened.reference, code).unwrap();
        let seen = match world.follow(&opened).await {
            Ok(observation) => observation.seen,
            Err(Failure::Refused { class, code }) => Seen::Declined { class, code },
            Err(failure) => panic!("{code}: {failure:?}"),
        };
        assert!(matches!(&seen, Seen::Declined { class, .. } if class == expected), "{code}: {seen:?}");
        assert!(world.moved(MovementKind::Charged).is_empty(), "{code}");
    }
}

pub async fn a_closed_page_takes_no_money(promise: &Promise) {
    if !promise.abilities.closes_pages {
        return;
    }
    let world = World::new(promise).await;
    let opened = world.open(world.money(10_000), AUTOMATIC).await;
    let close = Order::ClosePage { provider_ref: opened.provider_ref.clone().unwrap() };
    assert_eq!(world.observe(&close).await.seen, Seen::Expired);
    assert!(world.sim.pay(&opened.reference).is_err());
    assert_eq!(world.known(&World::question(&opened)).await.seen, Seen::Expired);
    // Closing it again says what it is.
    assert_eq!(world.observe(&close).await.seen, Seen::Expired);
    // A page that was paid stays paid.
    let (opened, _) = world.paid(world.money(10_000), AUTOMATIC).await;
    let seen = world.observe(&Order::ClosePage { provider_ref: opened.provider_ref.unwrap() }).await;
    assert!(matches!(seen.seen, Seen::Succeeded { .. }), "{seen:?}");
}

pub async fn the_same_reference_twice_is_one_page_and_one_charge(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let world = World::new(promise).await;
    let (reference, amount) = (world.attempt(), world.money(10_000));
    let order = world.page(&reference, amount, AUTOMATIC);
    let Ok(Done::Page { provider_ref, url, .. }) = world.send(&order).await else { panic!("no page") };
    match world.send(&order).await {
        Ok(Done::Page { provider_ref: again, url: url_again, .. }) => assert_eq!((again, url_again), (provider_ref, url.clone())),
        // Without keys a reference is taken once.
        other => assert!(promise.abilities.keeps_keys_for.is_none() && other.is_err(), "{other:?}"),
    }
    world.visit(&reference, &url).await;
    world.sim.pay(&reference).unwrap();
    assert!(world.sim.pay(&reference).is_err());
    if promise.is_completed_by_us {
        let opened = super::world::Opened {
            reference: reference.clone(),
            provider_ref: world.sim.page(&reference).map(|page| page.id),
            url: String::new(),
            amount,
            method: AUTOMATIC,
        };
        world.follow(&opened).await.unwrap();
        let complete =
            Order::Complete { reference: reference.clone(), provider_ref: opened.provider_ref.unwrap(), capture_method: AUTOMATIC };
        assert!(succeeded(amount)(&world.observe(&complete).await.seen), "completing it twice is one charge");
    }
    assert_eq!(world.moved(MovementKind::Charged).len(), 1);
}

pub async fn an_answer_lost_after_the_effect_is_unknown_and_then_found(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    for fault in [Fault::TimeoutAfter, Fault::Cut, Fault::Error500After] {
        let world = World::new(promise).await;
        let (reference, amount) = (world.attempt(), world.money(10_000));
        let order = world.page(&reference, amount, AUTOMATIC);
        world.fault("create", fault.clone());
        match world.send(&order).await {
            Err(Failure::Unknown { .. }) => {}
            // A page that is only an address was never asked for.
            Ok(Done::Page { .. }) if world.sim.faults().iter().all(|rule| rule.hit == 0) => return,
            other => panic!("{fault:?}: {other:?}"),
        }
        let told = world.ask(&Question::Payment { reference: reference.clone(), provider_ref: None }).await.unwrap();
        assert_eq!(matches!(told, Told::Observed(_)), promise.is_found_by_reference, "{fault:?}: {told:?}");
        if promise.abilities.keeps_keys_for.is_some() {
            let again = world.send(&order).await;
            // A 500 may be what the key stands for from now on.
            let is_kept =
                matches!(again, Ok(Done::Page { .. })) || (fault == Fault::Error500After && matches!(again, Err(Failure::Unknown { .. })));
            assert!(is_kept, "{fault:?}: {again:?}");
        }
        assert_eq!(world.sim.pages(&reference).len(), 1, "{fault:?}");
    }
}

pub async fn what_was_lost_before_the_effect_is_unknown_and_not_found(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    for fault in [Fault::TimeoutBefore, Fault::Error500] {
        let world = World::new(promise).await;
        let reference = world.attempt();
        world.fault("create", fault.clone());
        match world.send(&world.page(&reference, world.money(10_000), AUTOMATIC)).await {
            Err(Failure::Unknown { .. }) => {}
            Ok(Done::Page { .. }) if world.sim.faults().iter().all(|rule| rule.hit == 0) => return,
            other => panic!("{fault:?}: {other:?}"),
        }
        let told = world.ask(&Question::Payment { reference, provider_ref: None }).await.unwrap();
        assert_eq!(told, Told::NotFound, "{fault:?}");
    }
}

pub async fn nobody_at_the_other_end_means_that_nothing_was_sent(promise: &Promise) {
    let mut world = World::new(promise).await;
    let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = door.local_addr().unwrap();
    drop(door);
    world.account.base_url = format!("http://{address}");
    let sent = world.send(&world.page(&world.attempt(), world.money(10_000), AUTOMATIC)).await;
    // A page that is only an address is made without asking anybody.
    assert!(matches!(sent, Err(Failure::NotSent { .. }) | Err(Failure::Refused { .. }) | Ok(Done::Page { .. })), "{sent:?}");
    if promise.abilities.has_pages {
        assert!(!matches!(sent, Err(Failure::Refused { .. })), "{sent:?}");
    }
}

pub async fn another_amount_or_currency_is_observed_as_such(promise: &Promise) {
    if !promise.takes_other_amounts {
        return;
    }
    for fault in [Fault::WrongAmount, Fault::WrongCurrency] {
        let world = World::new(promise).await;
        let amount = world.money(10_000);
        let opened = world.open(amount, AUTOMATIC).await;
        // At the payer's click, or where we complete it.
        world.fault("pay", fault.clone());
        if promise.is_completed_by_us {
            world.fault("capture", fault.clone());
        }
        world.sim.pay(&opened.reference).unwrap();
        let seen = world.follow(&opened).await.unwrap();
        let Seen::Succeeded { amount: Some(paid), .. } = seen.seen else { panic!("{fault:?}: {seen:?}") };
        let moved = world.moved(MovementKind::Charged);
        assert_eq!((paid.amount_minor, paid.currency.to_string()), (moved[0].amount_minor, moved[0].currency.clone()));
        assert_ne!(paid, amount, "{fault:?}");
    }
}

pub async fn who_leaves_the_page_has_paid_nothing(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let world = World::new(promise).await;
    let opened = world.open(world.money(10_000), AUTOMATIC).await;
    world.sim.abandon(&opened.reference).unwrap();
    let told = world.ask(&World::question(&opened)).await.unwrap();
    let is_paid = matches!(&told, Told::Observed(seen) if matches!(seen.seen, Seen::Succeeded { .. } | Seen::Authorized { .. }));
    assert!(!is_paid, "{told:?}");
    assert!(world.moved(MovementKind::Charged).is_empty());
}

pub async fn a_token_that_ran_out_is_replaced(promise: &Promise) {
    if !promise.abilities.has_pages {
        return;
    }
    let world = World::new(promise).await;
    let amount = world.money(10_000);
    let (opened, _) = world.paid(amount, AUTOMATIC).await;
    // By the provider's clock it ran out, by ours it did not.
    world.sim.advance(std::time::Duration::from_secs(2 * 86_400));
    assert!(succeeded(amount)(&world.known(&World::question(&opened)).await.seen));
}
