//! What can be done: decide, keep the rules, and forget what no window reaches any more.

mod decide;
mod rules;
mod sweep;

pub use decide::decide;
pub use rules::{add, change, delete};
pub use sweep::sweep_everywhere;

/// Held in common by decisions and alone by changes of rules, for one workspace.
const RULES_LOCK: &str = "risk.rules";
