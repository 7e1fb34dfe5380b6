//! What no window reaches any more is forgotten, in small steps; decisions stay.

use std::time::Duration;

use risk::{Scope, Verdict};
use store::Reads;

use crate::world::{CALLER, World, attempt, by, count, workspace};

const DAY: Duration = Duration::from_secs(86_400);

static ROWS: store::Sql = store::Sql::new("select (select count(*) from risk_activities) + (select count(*) from risk_counters)");

impl World {
    async fn sweep(&self) -> u64 {
        self.store.write_bulk(&CALLER, (), |tx, ()| Box::pin(risk::sweep_everywhere(tx))).await.unwrap()
    }

    async fn rows(&self) -> i64 {
        self.store.read().row(&ROWS, &[], |row| row.get(0)).await.unwrap().unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_what_is_older_than_the_longest_window_and_a_day_in_steps() {
    let world = World::new().await;
    let own = [world.workspace, workspace(2)];
    let old = world.store.write(&CALLER, (), move |tx, ()| {
        Box::pin(async move {
            for n in 0..1_200 {
                risk::decide(tx, own[n % 2], &by("fp", attempt(&n.to_string()))).await?;
            }
            Ok::<_, risk::RiskError>(())
        })
    });
    old.await.unwrap();
    world.later(30 * DAY);
    assert_eq!(world.ask(by("fp", attempt("young"))).await, "allow");
    let all = world.rows().await;
    // The counter of the day began before the first activity did.
    world.later(DAY - Duration::from_secs(13 * 3_600));
    assert_eq!(world.sweep().await, 0, "nothing is older than 31 days yet");
    assert_eq!(world.rows().await, all);
    world.later(Duration::from_secs(13 * 3_600) + Duration::from_micros(1));
    let mut steps = Vec::new();
    loop {
        match world.sweep().await {
            0 => break,
            swept => steps.push(swept),
        }
    }
    assert!(steps.len() >= 3 && steps.iter().all(|swept| *swept <= 1_000), "{steps:?}");
    assert_eq!(world.rows().await, 4, "the young one, and its minute, hour and day");
    assert_eq!(world.decisions().await.len(), 601, "decisions are kept");
    assert_eq!(world.decide(by("fp", attempt("0"))).await, Verdict::Allow, "and answer as they did");
    assert_eq!(world.rows().await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_takes_nothing_that_a_window_still_holds() {
    let world = World::new().await;
    world.block(count(1, 30 * 86_400, Scope::Workspace)).await;
    world.block(count(1, 30 * 86_400, Scope::Party)).await;
    assert_eq!(world.ask(by("fp", attempt("1"))).await, "allow");
    world.later(30 * DAY - Duration::from_micros(1));
    world.sweep().await;
    assert_eq!(world.ask(by("fp", attempt("2"))).await, "block");
    assert_eq!(world.ask(attempt("3")).await, "block");
}
