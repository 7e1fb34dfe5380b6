//! Which rule decides, what is recorded, and that a subject is decided once.

use std::collections::BTreeSet;
use std::time::Duration;

use kernel::Timestamp;
use risk::{Activity, AppliesTo, Condition, Country, NewRule, Outcome, RiskError, Scope, Verdict, VerdictWord};

use crate::world::{CALLER, World, attempt, by, count, eur, money, of, payout, rule, workspace};

const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test(flavor = "multi_thread")]
async fn without_rules_everything_is_allowed_and_recorded() {
    let world = World::new().await;
    let asked = Activity {
        country: Some("de".to_owned()),
        method: Some("card".to_owned()),
        provider: Some("stripe".to_owned()),
        ..by("fp_1", attempt("pat_1"))
    };
    assert_eq!(world.decide(asked).await, Verdict::Allow);
    let decisions = world.decisions().await;
    let [decision] = decisions.as_slice() else { panic!("{decisions:?}") };
    assert_eq!((decision.activity.as_str(), decision.amount, &decision.verdict), ("pat_1", eur(1_000), &Verdict::Allow));
    assert_eq!((decision.party.as_deref(), decision.country.as_deref()), (Some("fp_1"), Some("DE")));
    assert_eq!((decision.method.as_deref(), decision.provider.as_deref()), (Some("card"), Some("stripe")));
    assert_eq!(decision.decided_at, world.clock.now());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_amount_fires_over_its_limit_and_only_in_its_currency() {
    let world = World::new().await;
    let made = world.add(NewRule { name: "Large".to_owned(), ..rule(Outcome::Hold, Condition::Amount { limit: eur(1_000) }) }).await;
    assert_eq!(world.ask(of(eur(1_000), attempt("at the limit"))).await, "allow");
    assert_eq!(world.ask(of(money(99_999, "USD"), attempt("another currency"))).await, "allow");
    let over = world.decide(of(eur(1_001), payout("over"))).await;
    assert_eq!(over, Verdict::Hold { rule: made.id, reason: "Large: the amount is over 10.00 EUR".to_owned() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_country_fires_however_it_is_spelled() {
    let world = World::new().await;
    let countries = BTreeSet::from([Country::parse("KP").unwrap(), Country::parse("IR").unwrap()]);
    world.block(Condition::Country { countries }).await;
    let from = |country: &str, id: &str| Activity { country: Some(country.to_owned()), ..attempt(id) };
    assert_eq!(world.ask(from("kp", "1")).await, "block");
    assert_eq!(world.ask(from("IR", "2")).await, "block");
    assert_eq!(world.ask(from("DE", "3")).await, "allow");
    assert_eq!(world.ask(attempt("from nowhere")).await, "allow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_party_fires() {
    let world = World::new().await;
    world.block(Condition::Party { parties: BTreeSet::from(["fp_bad".to_owned()]) }).await;
    assert_eq!(world.ask(by("fp_bad", payout("1"))).await, "block");
    assert_eq!(world.ask(by("fp_good", payout("2"))).await, "allow");
    assert_eq!(world.ask(payout("3")).await, "allow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_beneficiary_cools_off_for_exactly_so_many_hours() {
    let world = World::new().await;
    world.block(Condition::CoolOff { hours: 24 }).await;
    let now = world.clock.now();
    let changed = |at: Timestamp, id: &str| Activity { party_changed_at: Some(at), ..payout(id) };
    assert_eq!(world.ask(changed(now, "now")).await, "block");
    assert_eq!(world.ask(changed(now.minus(24 * HOUR - Duration::from_micros(1)), "not yet")).await, "block");
    assert_eq!(world.ask(changed(now.minus(24 * HOUR), "just")).await, "allow");
    assert_eq!(world.ask(changed(now.plus(HOUR), "by a clock that is ahead")).await, "block");
    assert_eq!(world.ask(payout("never changed")).await, "allow");
}

#[tokio::test(flavor = "multi_thread")]
async fn block_wins_over_hold_and_then_the_lower_priority() {
    let world = World::new().await;
    let over = |limit| Condition::Amount { limit: eur(limit) };
    let named = |name: &str, outcome, limit, priority| NewRule { name: name.to_owned(), priority, ..rule(outcome, over(limit)) };
    let first_hold = world.add(named("hold", Outcome::Hold, 1, 0)).await;
    world.add(named("late block", Outcome::Block, 100, 1_000)).await;
    let block = world.add(named("block", Outcome::Block, 100, 999)).await;
    let fired = |verdict: &Verdict| verdict.rule().map(|(rule, _)| rule);
    assert_eq!(fired(&world.decide(of(eur(100), attempt("1"))).await), Some(first_hold.id));
    let both = world.decide(of(eur(101), attempt("2"))).await;
    assert_eq!((both.word(), fired(&both)), (VerdictWord::Block, Some(block.id)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_switched_off_or_for_another_kind_says_nothing() {
    let world = World::new().await;
    let all = || rule(Outcome::Block, Condition::Amount { limit: eur(0) });
    world.add(NewRule { is_enabled: false, ..all() }).await;
    world.add(NewRule { applies_to: AppliesTo::Payout, ..all() }).await;
    assert_eq!((world.ask(attempt("1")).await, world.ask(payout("1")).await), ("allow", "block"));
    assert_eq!(world.ask(of(eur(0), payout("nothing"))).await, "allow", "an amount of nothing is not over nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_is_decided_once_whatever_the_rules_have_become() {
    let world = World::new().await;
    assert_eq!(world.ask(by("fp", attempt("pat_1"))).await, "allow");
    world.block(count(1, 3_600, Scope::Party)).await;
    for _ in 0..3 {
        assert_eq!(world.ask(by("fp", attempt("pat_1"))).await, "allow", "and it does not count twice");
    }
    let blocked = world.decide(by("fp", attempt("pat_2"))).await;
    assert_eq!(blocked.word(), VerdictWord::Block);
    world.later(Duration::from_secs(40 * 24 * 3_600));
    assert_eq!(world.decide(by("fp", attempt("pat_2"))).await, blocked, "with its rule and its reason");
    assert_eq!(world.ask(by("fp", payout("pat_1"))).await, "allow", "a payout of the same id is another subject");
    assert_eq!(world.decisions().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_that_changed_is_refused_and_not_answered_as_before() {
    let world = World::new().await;
    assert_eq!(world.ask(by("fp", payout("po_1"))).await, "allow");
    let refused = |what: &'static str, activity: Activity| {
        let world = &world;
        async move {
            let error = world.try_decide_in(world.workspace, activity).await.unwrap_err();
            assert!(matches!(error, RiskError::OtherSubject { what: found } if found == what), "{error:?}");
        }
    };
    refused("amount", of(eur(1_001), by("fp", payout("po_1")))).await;
    refused("amount", of(money(1_000, "USD"), by("fp", payout("po_1")))).await;
    refused("party", by("fp_2", payout("po_1"))).await;
    refused("party", payout("po_1")).await;
    assert_eq!(world.decisions().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_blocked_does_not_count_and_what_is_held_does() {
    let world = World::new().await;
    world.block(count(2, 3_600, Scope::Party)).await;
    world.add(NewRule { priority: 1, ..rule(Outcome::Hold, Condition::Amount { limit: eur(1_000) }) }).await;
    assert_eq!(world.ask(of(eur(2_000), by("fp", attempt("1")))).await, "hold");
    world.later(HOUR / 2);
    assert_eq!(world.ask(by("fp", attempt("2"))).await, "allow");
    for n in 3..6 {
        assert_eq!(world.ask(by("fp", attempt(&n.to_string()))).await, "block");
    }
    world.later(HOUR / 2);
    assert_eq!(world.ask(by("fp", attempt("6"))).await, "allow", "the held one has left the window, the blocked ones never were in it");
    assert_eq!(world.ask(by("fp", attempt("7"))).await, "block");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_unit_gives_up_is_neither_decided_nor_counted() {
    let world = World::new().await;
    world.block(count(1, 3_600, Scope::Workspace)).await;
    let own = world.workspace;
    let given_up = world.store.write(&CALLER, (), move |tx, ()| {
        Box::pin(async move {
            assert_eq!(risk::decide(tx, own, &attempt("1")).await?, Verdict::Allow);
            Err::<(), _>(RiskError::NotFound)
        })
    });
    assert!(given_up.await.is_err());
    assert!(world.decisions().await.is_empty());
    assert_eq!((world.ask(attempt("2")).await, world.ask(attempt("3")).await), ("allow", "block"));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspaces_rules_activities_and_subjects_are_not_there() {
    let world = World::new().await;
    world.block(count(1, 3_600, Scope::Workspace)).await;
    world.block(count(1, 3_600, Scope::Party)).await;
    let other = workspace(2);
    for n in 0..3 {
        let verdict = world.try_decide_in(other, by("fp", attempt(&n.to_string()))).await.unwrap();
        assert_eq!(verdict, Verdict::Allow, "their rules are none");
    }
    assert_eq!(world.ask(by("fp", attempt("0"))).await, "allow", "their subject of the same id, and their count, are theirs");
    assert_eq!(world.ask(by("fp", attempt("1"))).await, "block");
    assert_eq!(world.decisions().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_caller_hands_over_wrongly_is_named_by_its_field() {
    let world = World::new().await;
    let wrong = Activity { party: Some(String::new()), country: Some("DEU".to_owned()), ..of(eur(-1), attempt("")) };
    let Err(RiskError::Invalid { fields }) = world.try_decide_in(world.workspace, wrong).await else { panic!("it was taken") };
    assert_eq!(fields.iter().map(|fault| fault.field.as_str()).collect::<Vec<_>>(), ["id", "party", "amount", "country"]);
    assert!(world.decisions().await.is_empty());
}
