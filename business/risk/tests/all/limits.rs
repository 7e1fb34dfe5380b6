//! Limits over time: at the limit, at the edges of the window, and against a plain count of everything that happened.

use std::time::Duration;

use kernel::Timestamp;
use risk::{AMOUNT_MINOR_MAX, ActivityKind, AppliesTo, NewRule, Outcome, Scope};

use crate::world::{World, after, attempt, by, count, eur, money, of, payout, rule, sum, workspace};

const MICRO: Duration = Duration::from_micros(1);
const DAY_S: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_count_lets_exactly_its_limit_through_for_each_party() {
    let world = World::new().await;
    world.block(count(2, 3_600, Scope::Party)).await;
    for party in ["a", "b"] {
        let mut said = Vec::new();
        for n in 0..4 {
            said.push(world.ask(by(party, attempt(&format!("{party}{n}")))).await);
        }
        assert_eq!(said, ["allow", "allow", "block", "block"], "{party}");
    }
    for n in 0..4 {
        assert_eq!(world.ask(attempt(&format!("nobody{n}"))).await, "allow", "an activity without a party is of no party");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_the_workspace_puts_all_parties_together() {
    let world = World::new().await;
    world.block(count(3, 3_600, Scope::Workspace)).await;
    assert_eq!(world.ask(by("a", attempt("1"))).await, "allow");
    assert_eq!(world.ask(by("b", payout("2"))).await, "allow");
    assert_eq!(world.ask(of(money(5, "JPY"), attempt("3"))).await, "allow");
    assert_eq!(world.ask(by("c", attempt("4"))).await, "block");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_attempts_of_one_payment_count_once_at_the_time_of_the_last() {
    for per in [Scope::Party, Scope::Workspace] {
        for limit in [count(2, 3_600, per), sum(eur(2_000), 3_600, per)] {
            let world = World::new().await;
            world.block(limit).await;
            let ask = |earlier: &'static [&'static str], id| world.ask(after(earlier, by("a", attempt(id))));
            assert_eq!(ask(&[], "a1").await, "allow");
            assert_eq!(ask(&["a1"], "a2").await, "allow", "one payment that falls back");
            assert_eq!(ask(&["a2", "a1"], "a3").await, "allow", "and again");
            assert_eq!(ask(&[], "b1").await, "allow", "the second payment");
            assert_eq!(ask(&[], "c1").await, "block", "the third one is too much");
            assert_eq!(ask(&["b1"], "b2").await, "allow", "those that were let through may fall back");
            assert_eq!(ask(&["c1"], "c2").await, "block", "and the one that was not may not");
            world.later(Duration::from_secs(3_000));
            assert_eq!(ask(&["a3", "a2", "a1"], "a4").await, "allow");
            // An hour after the first attempts: the one payment counts by its last attempt, the other no more.
            world.later(Duration::from_secs(601));
            assert_eq!(ask(&["c2", "c1"], "c3").await, "allow");
            assert_eq!(ask(&[], "d1").await, "block");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_one_kind_counts_that_kind_alone() {
    for per in [Scope::Party, Scope::Workspace] {
        let world = World::new().await;
        world.add(NewRule { applies_to: AppliesTo::Payout, ..rule(Outcome::Block, count(1, 3_600, per)) }).await;
        for n in 0..3 {
            assert_eq!(world.ask(by("a", attempt(&n.to_string()))).await, "allow");
        }
        assert_eq!(world.ask(by("a", payout("1"))).await, "allow");
        assert_eq!(world.ask(by("a", payout("2"))).await, "block");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sum_lets_exactly_its_limit_through_in_its_currency() {
    for per in [Scope::Party, Scope::Workspace] {
        let world = World::new().await;
        world.block(sum(eur(1_000), 3_600, per)).await;
        assert_eq!(world.ask(of(eur(999), by("a", attempt("1")))).await, "allow");
        assert_eq!(world.ask(of(money(50_000, "USD"), by("a", attempt("2")))).await, "allow", "another currency is not limited");
        assert_eq!(world.ask(of(eur(2), by("a", attempt("3")))).await, "block");
        assert_eq!(world.ask(of(eur(1), by("a", attempt("4")))).await, "allow", "exactly at the limit");
        assert_eq!(world.ask(of(eur(0), by("a", attempt("5")))).await, "allow", "nothing more is not over it");
        assert_eq!(world.ask(of(eur(1), by("a", attempt("6")))).await, "block");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_nothing_lets_nothing_through() {
    let world = World::new().await;
    world.add(NewRule { applies_to: AppliesTo::Payout, ..rule(Outcome::Block, count(0, 60, Scope::Workspace)) }).await;
    world.add(NewRule { applies_to: AppliesTo::PaymentAttempt, ..rule(Outcome::Block, sum(eur(0), 60, Scope::Workspace)) }).await;
    assert_eq!((world.ask(payout("1")).await, world.ask(attempt("1")).await), ("block", "block"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_exactly_as_old_as_the_window_has_left_it() {
    // From a minute to 30 days, each in a workspace of its own; at an edge of everything and in the middle of everything.
    for now in ["2026-03-10T12:34:56.789Z", "2026-03-01T00:00:00Z"] {
        let mut world = World::at(now).await;
        let began = world.clock.now();
        let seconds = [60, 61, 3_600, 5_400, DAY_S, 7 * DAY_S + 3_661, 30 * DAY_S];
        let cases: Vec<_> = seconds.into_iter().flat_map(|seconds| [(seconds, Scope::Party), (seconds, Scope::Workspace)]).collect();
        for (number, (seconds, per)) in (1..).zip(&cases) {
            world.workspace = workspace(number);
            world.block(count(1, *seconds, *per)).await;
            assert_eq!(world.ask(by("a", attempt("1"))).await, "allow");
        }
        for (number, (seconds, per)) in (1..).zip(&cases) {
            let case = format!("{now} {seconds} {per:?}");
            world.workspace = workspace(number);
            if *per == Scope::Party {
                let gone = world.clock.now().since(began);
                world.later(Duration::from_secs(seconds.cast_unsigned()) - MICRO - gone);
                assert_eq!(world.ask(by("a", attempt("2"))).await, "block", "{case}: a moment before");
                world.workspace = workspace(number + 1);
                assert_eq!(world.ask(by("b", attempt("2"))).await, "block", "{now} {seconds} workspace: a moment before");
                world.workspace = workspace(number);
                world.later(MICRO);
            }
            assert_eq!(world.ask(by("a", attempt("3"))).await, "allow", "{case}: to the moment");
            assert_eq!(world.ask(by("a", attempt("4"))).await, "block", "{case}: the next window has begun");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_amounts_are_summed_up_without_an_overflow() {
    for per in [Scope::Party, Scope::Workspace] {
        let world = World::new().await;
        world.add(rule(Outcome::Hold, sum(eur(AMOUNT_MINOR_MAX), 3_600, per))).await;
        assert_eq!(world.ask(of(eur(AMOUNT_MINOR_MAX), by("a", attempt("0")))).await, "allow");
        // 1,030 of them are more than 64 bits hold.
        let own = world.workspace;
        let many = world.store.write(&crate::world::CALLER, (), move |tx, ()| {
            Box::pin(async move {
                let mut held = 0;
                for n in 1..=1_030 {
                    let activity = of(eur(AMOUNT_MINOR_MAX), by("a", attempt(&n.to_string())));
                    held += i32::from(risk::decide(tx, own, &activity).await?.word() == risk::VerdictWord::Hold);
                }
                Ok::<_, risk::RiskError>(held)
            })
        });
        assert_eq!(many.await.unwrap(), 1_030, "{per:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_say_what_a_plain_count_of_everything_says() {
    // A fixed walk through several weeks: steps from a microsecond to half a day, three parties, two currencies, both kinds.
    let world = World::at("2026-02-27T23:59:59.999999Z").await;
    let windows = [60_i64, 4_000, 100_000, 30 * DAY_S];
    let limits = [
        (count(3, windows[0], Scope::Workspace), AppliesTo::Any),
        (sum(eur(9_000), windows[1], Scope::Party), AppliesTo::Payout),
        (sum(eur(30_000), windows[2], Scope::Workspace), AppliesTo::PaymentAttempt),
        (count(40, windows[3], Scope::Party), AppliesTo::Any),
    ];
    for (condition, applies_to) in limits.clone() {
        world.add(NewRule { applies_to, ..rule(Outcome::Block, condition) }).await;
    }
    let mut seed = 7_u64;
    let mut next = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    struct Seen {
        at: Timestamp,
        kind: ActivityKind,
        party: &'static str,
        is_euro: bool,
        amount: i64,
    }
    let (mut counted, mut blocked): (Vec<Seen>, usize) = (Vec::new(), 0);
    for n in 0..400 {
        let step = [1, 1_000_000, 60_000_000, 3_600_000_000, 43_200_000_000][usize::try_from(next(5)).unwrap()];
        world.later(Duration::from_micros(next(step) + u64::from(next(3) == 0)));
        let now = world.clock.now();
        let seen = Seen {
            at: now,
            kind: if next(2) == 0 { ActivityKind::Payout } else { ActivityKind::PaymentAttempt },
            party: ["a", "b", "c"][usize::try_from(next(3)).unwrap()],
            is_euro: next(4) > 0,
            amount: i64::try_from(next(5_000)).unwrap(),
        };
        let within = |seconds: i64, of: &Seen| now.as_micros() - of.at.as_micros() < seconds * 1_000_000;
        let recent: Vec<&Seen> = counted.iter().collect();
        let payout_sum: i64 = recent
            .iter()
            .filter(|s| within(windows[1], s) && s.kind == ActivityKind::Payout && s.party == seen.party && s.is_euro)
            .map(|s| s.amount)
            .sum();
        let attempt_sum: i64 =
            recent.iter().filter(|s| within(windows[2], s) && s.kind == ActivityKind::PaymentAttempt && s.is_euro).map(|s| s.amount).sum();
        let is_over = recent.iter().filter(|s| within(windows[0], s)).count() >= 3
            || (seen.is_euro && seen.kind == ActivityKind::Payout && payout_sum + seen.amount > 9_000)
            || (seen.is_euro && seen.kind == ActivityKind::PaymentAttempt && attempt_sum + seen.amount > 30_000)
            || recent.iter().filter(|s| within(windows[3], s) && s.party == seen.party).count() >= 40;
        let plain = if seen.kind == ActivityKind::Payout { payout(&n.to_string()) } else { attempt(&n.to_string()) };
        let asked = of(money(seen.amount, if seen.is_euro { "EUR" } else { "USD" }), by(seen.party, plain));
        assert_eq!(world.ask(asked).await, if is_over { "block" } else { "allow" }, "step {n} at {now}");
        blocked += usize::from(is_over);
        if !is_over {
            counted.push(seen);
        }
    }
    assert!(blocked > 20 && counted.len() > 100, "the walk meets limits and passes them: {blocked} blocked");
}
