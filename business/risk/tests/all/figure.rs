//! How many decisions a second there are with ten rules; a note of the run, which nothing is asserted about but that all are made.

use std::time::{Duration, Instant};

use risk::{Condition, NewRule, Outcome, Scope};
use store::{Sql, params};

use crate::world::{CALLER, World, attempt, by, count, eur, rule, sum};

/// Activities of the last 30 days, one by one party of fifty, and their counters.
static FILL: Sql = Sql::new(
    "with recursive n (i) as (select cast(1 as bigint) union all select i + 1 from n where i < $2)
    insert into risk_activities (workspace, decision, kind, party, currency, amount_minor, occurred_at)
    select $1, 'dec_' || cast(i as text), 'payment_attempt', 'party ' || cast(i % $4 as text), 'EUR', 1000,
    cast($3 as bigint) - (i * (2591000000000 / cast($2 as bigint))) from n",
);
static FILL_COUNTERS: Sql = Sql::new(
    "insert into risk_counters (workspace, kind, grain_s, starts_at, currency, lane, activities, amount_high, amount_low)
    select workspace, kind, cast($2 as bigint), occurred_at - occurred_at % (cast($2 as bigint) * 1000000), currency, occurred_at / 1000 % 16, count(*), 0,
    cast(sum(amount_minor) as bigint) from risk_activities where workspace = $1 group by 1, 2, 3, 4, 5, 6",
);

/// A number of the run, where its environment names another than `plain`.
fn asked_for(name: &str, plain: i64) -> i64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(plain)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_rules_decide_about_each_of_many_with_many_behind_them() {
    let (decisions, behind, parties) =
        (asked_for("TESSERA_RISK_DECISIONS", 200), asked_for("TESSERA_RISK_BEHIND", 5_000), asked_for("TESSERA_RISK_PARTIES", 50));
    let world = World::new().await;
    let (own, now) = (world.workspace, world.clock.now());
    let filled = world.store.write_bulk(&CALLER, (), move |tx, ()| {
        Box::pin(async move {
            tx.execute(&FILL, params![own, behind, now, parties]).await?;
            for grain_s in [60_i64, 3_600, 86_400] {
                tx.execute(&FILL_COUNTERS, params![own, grain_s]).await?;
            }
            Ok::<_, store::StoreError>(())
        })
    });
    filled.await.unwrap();
    let wide = 29 * 86_400;
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
    let mut took: Vec<Duration> = Vec::new();
    for n in 0..decisions {
        world.later(Duration::from_millis(700));
        let started = Instant::now();
        assert_eq!(world.ask(by(&format!("party {}", n % parties), attempt(&n.to_string()))).await, "allow");
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let (whole, middle): (Duration, Duration) = (took.iter().sum(), took[took.len() / 2]);
    let a_second = decisions as f64 / whole.as_secs_f64();
    println!(
        "{decisions} decisions, 10 rules, {behind} activities of {parties} parties behind them, a unit each: {a_second:.0} a second, half within {middle:?}"
    );
    assert_eq!(world.decisions().await.len(), usize::try_from(decisions).unwrap().min(1_000));
}
