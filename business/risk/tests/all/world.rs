//! What the tests share: a workspace, its callers, rules in a line and activities in a word.

use std::time::Duration;

use kernel::{Caller, Clock, Currency, Grants, Id, KeyId, Money, RawId, Timestamp, WorkspaceId};
use risk::{Activity, ActivityKind, AppliesTo, Condition, Decision, NewRule, Outcome, RiskError, Rule, Scope, Verdict, Window};
use store::testing::TestStore;

pub static CALLER: Caller = Caller::system("tests");

pub struct World {
    pub store: TestStore,
    pub clock: Clock,
    pub workspace: WorkspaceId,
}

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

pub fn money(amount_minor: i64, currency: &str) -> Money {
    Money::new(amount_minor, Currency::parse(currency).unwrap())
}

pub fn eur(amount_minor: i64) -> Money {
    money(amount_minor, "EUR")
}

pub fn window(seconds: i64) -> Window {
    Window::of_seconds(seconds).unwrap()
}

/// A payment attempt of 10 euros by nobody in particular.
pub fn attempt(id: &str) -> Activity {
    Activity {
        kind: ActivityKind::PaymentAttempt,
        id: id.to_owned(),
        earlier: Vec::new(),
        amount: eur(1_000),
        party: None,
        country: None,
        method: None,
        provider: None,
        party_changed_at: None,
    }
}

pub fn payout(id: &str) -> Activity {
    Activity { kind: ActivityKind::Payout, ..attempt(id) }
}

pub fn by(party: &str, activity: Activity) -> Activity {
    Activity { party: Some(party.to_owned()), ..activity }
}

pub fn of(amount: Money, activity: Activity) -> Activity {
    Activity { amount, ..activity }
}

/// One more attempt of what was tried before, the newest first.
pub fn after(earlier: &[&str], activity: Activity) -> Activity {
    Activity { earlier: earlier.iter().map(|id| (*id).to_owned()).collect(), ..activity }
}

/// A rule in force for every kind of activity.
pub fn rule(outcome: Outcome, condition: Condition) -> NewRule {
    NewRule { name: "A limit".to_owned(), applies_to: AppliesTo::Any, condition, outcome, priority: 100, is_enabled: true }
}

pub fn count(limit: i64, seconds: i64, per: Scope) -> Condition {
    Condition::Count { limit, window: window(seconds), per }
}

pub fn sum(limit: Money, seconds: i64, per: Scope) -> Condition {
    Condition::Sum { limit, window: window(seconds), per }
}

impl World {
    /// A stopped clock that stands within a minute, an hour and a day.
    pub async fn new() -> Self {
        Self::at("2026-03-10T12:34:56.789Z").await
    }

    pub async fn at(now: &str) -> Self {
        let clock = Clock::stopped(Timestamp::parse(now).unwrap());
        let hands = clock.clone();
        let store = store::testing::store_with(|config| config.clock = hands).await;
        Self { store, clock, workspace: workspace(1) }
    }

    pub fn manager_of(workspace: WorkspaceId) -> Caller {
        Caller::Key { workspace, key: KeyId::from_raw(RawId::from_bits(9)), grants: Grants::of(risk::grants::ALL) }
    }

    pub fn manager(&self) -> Caller {
        Self::manager_of(self.workspace)
    }

    pub fn later(&self, by: Duration) {
        self.clock.advance(by);
    }

    pub async fn add(&self, terms: NewRule) -> Rule {
        self.store.write(&self.manager(), terms, |tx, terms| Box::pin(risk::commands::add(tx, terms))).await.unwrap()
    }

    pub async fn block(&self, condition: Condition) -> Rule {
        self.add(rule(Outcome::Block, condition)).await
    }

    pub async fn try_decide_in(&self, workspace: WorkspaceId, activity: Activity) -> Result<Verdict, RiskError> {
        self.store.write(&CALLER, activity, move |tx, activity| Box::pin(async move { risk::decide(tx, workspace, &activity).await })).await
    }

    pub async fn decide(&self, activity: Activity) -> Verdict {
        self.try_decide_in(self.workspace, activity).await.unwrap()
    }

    /// The verdict in one word.
    pub async fn ask(&self, activity: Activity) -> &'static str {
        self.decide(activity).await.word().word()
    }

    pub async fn decisions(&self) -> Vec<Decision> {
        risk::queries::decisions(&mut self.store.read(), self.workspace, &Default::default(), None, 1_000).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let world = World::new().await;
    let refused = world.store.prepare_all(risk::STATEMENTS).await;
    assert!(refused.is_empty(), "{refused:#?}");
}
