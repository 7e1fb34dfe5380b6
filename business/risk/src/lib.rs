//! Risk: the decision before money moves. A payment attempt or a payout is allowed, held or blocked by the rules of its
//! workspace, which are data.
//!
//! Invariants: a subject is decided once, and a repetition gets the same answer; block wins over hold, then the lower priority
//! number wins, then the older rule; what is allowed or held counts for limits over time with the unit that asked, what is
//! blocked does not; limits over time are exact, over a sliding window, also for two at once; a rule that cannot be read
//! stops the decision and never lets anything pass; once a change of a rule is answered, nothing is decided by the old one.
//!
//! Deliberately knows no other module: an [`Activity`] carries all that a rule may look at, and parties are opaque
//! fingerprints, never names or numbers of accounts. Knows no cases and no alerts: whoever asks acts on the [`Verdict`].

mod activity;
pub mod commands;
mod condition;
mod error;
pub mod grants;
pub mod http;
pub mod queries;
mod rule;
mod sql;
mod verdict;
mod window;

pub use activity::{AMOUNT_MINOR_MAX, Activity, ActivityKind, Country};
pub use commands::{decide, sweep_everywhere};
pub use condition::{Condition, Scope, WrittenCondition};
pub use error::RiskError;
pub use http::{Deps, routes};
pub use rule::{AppliesTo, NewRule, Outcome, RULES_MAX, Rule, RuleEdit, RuleId};
pub use sql::STATEMENTS;
pub use verdict::{Decision, DecisionId, Verdict, VerdictWord};
pub use window::{WINDOW_MAX, WINDOW_MIN, Window};
