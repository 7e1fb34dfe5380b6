//! Rules are made, changed and deleted, by those who may, with a trail; and what cannot be read stops everything.

use std::time::Duration;

use risk::{AppliesTo, Condition, NewRule, Outcome, RULES_MAX, RiskError, RuleEdit, Scope};

use crate::world::{CALLER, World, attempt, by, count, eur, rule, workspace};

static DAMAGE: store::Sql = store::Sql::new("update risk_rules set condition = $1");

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_is_kept_as_it_was_made() {
    let world = World::new().await;
    for condition in [
        Condition::Amount { limit: eur(5) },
        count(5, 60, Scope::Party),
        crate::world::sum(eur(5), 2_592_000, Scope::Workspace),
        Condition::Country { countries: [risk::Country::parse("KP").unwrap()].into() },
        Condition::Party { parties: ["a".to_owned()].into() },
        Condition::CoolOff { hours: 720 },
    ] {
        let made = world.add(NewRule { applies_to: AppliesTo::Payout, priority: 7, ..rule(Outcome::Hold, condition) }).await;
        let kept = risk::queries::get_rule(&mut world.store.read(), world.workspace, made.id).await.unwrap();
        assert_eq!(kept, made);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_the_trail_by_the_names_of_its_fields_and_a_change_of_nothing_is_none() {
    let world = World::new().await;
    let made = world.block(Condition::Amount { limit: eur(5) }).await;
    let change = |version: i64, edit: RuleEdit| {
        let (world, id) = (&world, made.id);
        async move {
            let caller = world.manager();
            world
                .store
                .write(&caller, edit, move |tx, edit| Box::pin(async move { risk::commands::change(tx, id, version, edit).await }))
                .await
        }
    };
    let edit = RuleEdit { condition: Some(Condition::Amount { limit: eur(6) }), is_enabled: Some(false), ..RuleEdit::default() };
    world.later(Duration::from_millis(1));
    let changed = change(1, edit.clone()).await.unwrap();
    assert_eq!((changed.version, changed.terms.is_enabled), (2, false));
    assert_eq!(change(2, edit).await.unwrap().version, 2, "nothing is different");
    assert!(matches!(change(1, RuleEdit::default()).await, Err(RiskError::Stale { actual: 2 })));
    world.later(Duration::from_millis(1));
    let id = made.id;
    world.store.write(&world.manager(), (), move |tx, ()| Box::pin(risk::commands::delete(tx, id))).await.unwrap();
    let trail = outbox::audit_of_subject(&mut world.store.read(), world.workspace, &id.to_string(), None, 10).await.unwrap();
    let said: Vec<_> = trail.iter().map(|line| (line.action.as_str(), line.details.to_string())).collect();
    assert_eq!(
        said,
        [
            ("risk_rule.deleted", "{}".to_owned()),
            ("risk_rule.changed", r#"{"changed":["condition","is_enabled"],"version":2}"#.to_owned()),
            ("risk_rule.created", r#"{"condition":"amount","outcome":"block","version":1}"#.to_owned()),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workspace_has_so_many_rules_and_no_more() {
    let world = World::new().await;
    for _ in 0..RULES_MAX {
        world.block(Condition::Amount { limit: eur(5) }).await;
    }
    let one_more = rule(Outcome::Block, Condition::Amount { limit: eur(5) });
    let refused = world.store.write(&world.manager(), one_more.clone(), |tx, terms| Box::pin(risk::commands::add(tx, terms))).await;
    assert!(matches!(refused, Err(RiskError::TooMany)));
    let other = World::manager_of(workspace(2));
    assert!(world.store.write(&other, one_more, |tx, terms| Box::pin(risk::commands::add(tx, terms))).await.is_ok(), "theirs are theirs");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_lacks_the_right_changes_nothing() {
    let world = World::new().await;
    let made = world.block(Condition::Amount { limit: eur(5) }).await;
    let terms = rule(Outcome::Hold, Condition::Amount { limit: eur(5) });
    let id = made.id;
    let added = world.store.write(&CALLER, terms, |tx, terms| Box::pin(risk::commands::add(tx, terms))).await;
    let changed = world.store.write(&CALLER, (), move |tx, ()| Box::pin(risk::commands::change(tx, id, 1, RuleEdit::default()))).await;
    let deleted = world.store.write(&CALLER, (), move |tx, ()| Box::pin(risk::commands::delete(tx, id))).await;
    assert!(matches!(
        (added, changed, deleted),
        (Err(RiskError::NotAllowed(_)), Err(RiskError::NotAllowed(_)), Err(RiskError::NotAllowed(_)))
    ));
    let other = World::manager_of(workspace(2));
    let theirs = world.store.write(&other, (), move |tx, ()| Box::pin(risk::commands::delete(tx, id))).await;
    assert!(matches!(theirs, Err(RiskError::NotFound)));
    assert_eq!(risk::queries::get_rule(&mut world.store.read(), world.workspace, id).await.unwrap(), made);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_cannot_be_read_stops_the_decision_and_lets_nothing_pass() {
    let world = World::new().await;
    world.block(Condition::Amount { limit: eur(1_000_000) }).await;
    for damaged in [r#"{"kind":"of a later release"}"#, r#"{"kind":"amount","currency":"EUR","amount_minor":-1}"#, "{", "null"] {
        let damage =
            world.store.write(&CALLER, damaged, |tx, text| Box::pin(async move { tx.execute(&DAMAGE, store::params![text]).await }));
        damage.await.unwrap();
        assert!(matches!(world.try_decide_in(world.workspace, by("a", attempt("1"))).await, Err(RiskError::Store(_))), "{damaged}");
    }
    assert!(world.decisions().await.is_empty());
}
