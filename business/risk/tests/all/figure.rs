//! How many decisions a second there are with ten rules; a note of the run, which nothing is asserted about but that all are made.

use std::time::Instant;

use risk::{Condition, NewRule, Outcome, Scope};

use crate::world::{World, attempt, by, count, eur, rule, sum};

/// Decisions of this run: more are asked for by `TESSERA_RISK_DECISIONS`.
const DECISIONS: usize = 300;

#[tokio::test(flavor = "multi_thread")]
async fn ten_rules_decide_about_each_of_many() {
    let world = World::new().await;
    let wide = 30 * 86_400;
    let conditions = [
        Condition::Amount { limit: eur(1_000_000) },
        count(1_000_000, 60, Scope::Party),
        count(1_000_000, wide, Scope::Party),
        sum(eur(900_000_000_000), 3_600, Scope::Party),
        sum(eur(900_000_000_000), wide, Scope::Party),
        count(1_000_000, 3_600, Scope::Workspace),
        count(1_000_000, wide, Scope::Workspace),
        sum(eur(900_000_000_000), wide, Scope::Workspace),
        Condition::Party { parties: (0..200).map(|n| format!("listed {n}")).collect() },
        Condition::CoolOff { hours: 24 },
    ];
    for (number, condition) in conditions.into_iter().enumerate() {
        world.add(NewRule { name: format!("Rule {number}"), ..rule(Outcome::Hold, condition) }).await;
    }
    let decisions = std::env::var("TESSERA_RISK_DECISIONS").ok().and_then(|text| text.parse().ok()).unwrap_or(DECISIONS);
    let started = Instant::now();
    for n in 0..decisions {
        world.later(std::time::Duration::from_millis(700));
        assert_eq!(world.ask(by(&format!("party {}", n % 50), attempt(&n.to_string()))).await, "allow");
    }
    let took = started.elapsed();
    println!(
        "{decisions} decisions with 10 rules, a unit each, one after the other: {:.0} a second",
        decisions as f64 / took.as_secs_f64()
    );
    assert_eq!(world.decisions().await.len(), decisions.min(1_000));
}
