//! What a rule is, how it is read, and which of two goes first. Pure.

use std::cmp::Ordering;

use kernel::{FieldFault, Timestamp, WorkspaceId};

use crate::activity::{ActivityKind, words};
use crate::condition::Condition;

/// The most rules of a workspace: each decision reads all of them.
pub const RULES_MAX: i64 = 50;
/// The priority of a rule that names none; of two, the lower number goes first.
pub(crate) const PRIORITY_PLAIN: i64 = 100;
const PRIORITY_MAX: i64 = 1_000;
const NAME_CHARS_MAX: usize = 120;

kernel::id!(
    /// A rule of a workspace.
    pub struct RuleId = "rule"
);

words! {
    /// What a rule does with an activity that it fires for.
    pub enum Outcome: "must be hold or block" {
        /// It waits for a person.
        Hold = "hold",
        /// It must not happen.
        Block = "block",
    }
}

words! {
    /// Which kinds of activity a rule looks at, and counts.
    pub enum AppliesTo: "must be payment_attempt, payout or any" {
        /// Payment attempts alone.
        PaymentAttempt = "payment_attempt",
        /// Payouts alone.
        Payout = "payout",
        /// Both, put together.
        Any = "any",
    }
}

impl AppliesTo {
    /// The kinds that it means.
    pub fn kinds(self) -> &'static [ActivityKind] {
        match self {
            Self::PaymentAttempt => &[ActivityKind::PaymentAttempt],
            Self::Payout => &[ActivityKind::Payout],
            Self::Any => &[ActivityKind::PaymentAttempt, ActivityKind::Payout],
        }
    }
}

/// What a rule is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// What people call it: 1 to 120 characters.
    pub name: String,
    /// Which kinds of activity it looks at.
    pub applies_to: AppliesTo,
    /// When it fires.
    pub condition: Condition,
    /// What it does then.
    pub outcome: Outcome,
    /// From 0 to 1,000; of two with the same outcome the lower goes first.
    pub priority: i64,
    /// Whether it is in force.
    pub is_enabled: bool,
}

/// What of a rule is to change; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RuleEdit {
    /// What people call it.
    pub name: Option<String>,
    /// Which kinds of activity it looks at.
    pub applies_to: Option<AppliesTo>,
    /// When it fires.
    pub condition: Option<Condition>,
    /// What it does then.
    pub outcome: Option<Outcome>,
    /// Which goes first.
    pub priority: Option<i64>,
    /// Whether it is in force.
    pub is_enabled: Option<bool>,
}

/// A rule of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its identifier.
    pub id: RuleId,
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Counts its changes, from 1.
    pub version: i64,
    /// What it says.
    pub terms: NewRule,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Reads a name: one line of 1 to 120 characters.
pub(crate) fn parse_name(text: &str, faults: &mut Vec<FieldFault>) -> Option<String> {
    let name = text.trim();
    let is_good = (1..=NAME_CHARS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    if !is_good {
        faults.push(FieldFault::new("name", "must have 1 to 120 characters on one line"));
    }
    is_good.then(|| name.to_owned())
}

/// Reads a priority.
pub(crate) fn parse_priority(priority: i64, faults: &mut Vec<FieldFault>) -> Option<i64> {
    let is_good = (0..=PRIORITY_MAX).contains(&priority);
    if !is_good {
        faults.push(FieldFault::new("priority", "must be from 0 to 1000; of two rules the lower goes first"));
    }
    is_good.then_some(priority)
}

impl Rule {
    /// Whether it is in force and looks at activities of this kind.
    pub(crate) fn applies_to(&self, kind: ActivityKind) -> bool {
        self.terms.is_enabled && self.terms.applies_to.kinds().contains(&kind)
    }

    /// The order in which rules are asked: what blocks before what holds, then the lower priority, then the older one.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        let rank = |rule: &Self| (rule.terms.outcome == Outcome::Hold, rule.terms.priority, rule.id);
        rank(self).cmp(&rank(other))
    }

    /// The rule after `edit`, and which of its fields it changes.
    pub(crate) fn edited(&self, edit: RuleEdit) -> (NewRule, Vec<&'static str>) {
        let mut terms = self.terms.clone();
        let mut changed = Vec::new();
        fn put<T: PartialEq>(old: &mut T, new: Option<T>, name: &'static str, changed: &mut Vec<&'static str>) {
            if let Some(new) = new.filter(|new| new != old) {
                *old = new;
                changed.push(name);
            }
        }
        put(&mut terms.name, edit.name, "name", &mut changed);
        put(&mut terms.applies_to, edit.applies_to, "applies_to", &mut changed);
        put(&mut terms.condition, edit.condition, "condition", &mut changed);
        put(&mut terms.outcome, edit.outcome, "outcome", &mut changed);
        put(&mut terms.priority, edit.priority, "priority", &mut changed);
        put(&mut terms.is_enabled, edit.is_enabled, "is_enabled", &mut changed);
        (terms, changed)
    }
}

#[cfg(test)]
mod tests {
    use kernel::{Id, RawId};

    use super::*;

    fn rule(number: u128, outcome: Outcome, priority: i64) -> Rule {
        let terms = NewRule {
            name: "A rule".to_owned(),
            applies_to: AppliesTo::Any,
            condition: Condition::CoolOff { hours: 1 },
            outcome,
            priority,
            is_enabled: true,
        };
        let (id, workspace) = (RuleId::from_raw(RawId::from_bits(number)), WorkspaceId::from_raw(RawId::from_bits(1)));
        Rule { id, workspace, version: 1, terms, created_at: Timestamp::default(), updated_at: Timestamp::default() }
    }

    #[test]
    fn what_blocks_goes_before_what_holds_then_the_lower_priority_then_the_older() {
        let mut rules = [
            rule(1, Outcome::Hold, 0),
            rule(4, Outcome::Block, 9),
            rule(3, Outcome::Block, 9),
            rule(2, Outcome::Hold, 9),
            rule(5, Outcome::Block, 1),
        ];
        rules.sort_by(Rule::order);
        assert_eq!(rules.map(|rule| rule.id.raw().bits()), [5, 3, 4, 1, 2]);
    }

    #[test]
    fn an_edit_names_what_it_changes_and_nothing_else() {
        let old = rule(1, Outcome::Hold, 5);
        let edit = RuleEdit { outcome: Some(Outcome::Block), priority: Some(5), is_enabled: Some(false), ..RuleEdit::default() };
        let (terms, changed) = old.edited(edit);
        assert_eq!(changed, ["outcome", "is_enabled"]);
        assert_eq!((terms.outcome, terms.priority, terms.is_enabled), (Outcome::Block, 5, false));
        assert!(!Rule { terms, ..old }.applies_to(ActivityKind::Payout), "one that is switched off applies to nothing");
    }

    #[test]
    fn a_name_is_one_line_and_a_priority_has_its_bounds() {
        let mut faults = Vec::new();
        assert_eq!(parse_name("  Large payouts ", &mut faults).as_deref(), Some("Large payouts"));
        assert_eq!((parse_priority(0, &mut faults), parse_priority(1_000, &mut faults)), (Some(0), Some(1_000)));
        assert!(faults.is_empty());
        for wrong in ["", "   ", "a\nb", &"x".repeat(121)] {
            assert_eq!(parse_name(wrong, &mut faults), None, "{wrong:?}");
        }
        assert_eq!((parse_priority(-1, &mut faults), parse_priority(1_001, &mut faults)), (None, None));
        assert_eq!(faults.len(), 6);
    }
}
