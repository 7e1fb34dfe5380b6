//! What follows a refusal: another provider, the payer's turn, or nothing.

use crate::provider::ErrorClass;

/// Providers that one payment is tried at by itself, so that no fault of ours or of a card wanders through all of them.
pub const PROVIDERS_TRIED_MAX: usize = 4;
/// As [`PROVIDERS_TRIED_MAX`], after a refusal by the payer's bank: schemes fine merchants who try a card again and again.
const TRIED_AFTER_DECLINE_MAX: usize = 2;

/// What follows a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextStep {
    /// The next provider of the plan is tried; where there is none, it is the payer's turn.
    TryNext,
    /// The payer is asked to try again, perhaps in another way.
    AskPayer,
    /// Nothing happens by itself.
    Stop,
}

/// What follows a refusal of this class after `tried` providers, the one that refused included.
///
/// There is a class only where the provider surely did nothing. An outcome that is not known has none, and nobody else is ever
/// tried because of it.
pub fn next_step(class: ErrorClass, tried: usize) -> NextStep {
    let next_below = |max: usize| if tried < max { NextStep::TryNext } else { NextStep::AskPayer };
    match class {
        ErrorClass::NotSupported | ErrorClass::SetUp | ErrorClass::RateLimited | ErrorClass::ProviderDown => {
            next_below(PROVIDERS_TRIED_MAX)
        }
        ErrorClass::DeclinedSoft => next_below(TRIED_AFTER_DECLINE_MAX),
        ErrorClass::PayerAction => NextStep::AskPayer,
        ErrorClass::DeclinedHard | ErrorClass::Fraud | ErrorClass::InvalidRequest => NextStep::Stop,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_refusals_is_as_the_documentation_says() {
        use NextStep::{AskPayer, Stop, TryNext};
        let table = [
            (ErrorClass::NotSupported, [TryNext, TryNext, TryNext, AskPayer]),
            (ErrorClass::SetUp, [TryNext, TryNext, TryNext, AskPayer]),
            (ErrorClass::RateLimited, [TryNext, TryNext, TryNext, AskPayer]),
            (ErrorClass::ProviderDown, [TryNext, TryNext, TryNext, AskPayer]),
            (ErrorClass::DeclinedSoft, [TryNext, AskPayer, AskPayer, AskPayer]),
            (ErrorClass::PayerAction, [AskPayer; 4]),
            (ErrorClass::InvalidRequest, [Stop; 4]),
            (ErrorClass::DeclinedHard, [Stop; 4]),
            (ErrorClass::Fraud, [Stop; 4]),
        ];
        assert_eq!(table.len(), ErrorClass::ALL.len());
        for (class, steps) in table {
            let found = [1, 2, 3, 4].map(|tried| next_step(class, tried));
            assert_eq!(found, steps, "{class:?}");
        }
    }

    #[test]
    fn no_class_wanders_through_providers_for_ever() {
        for class in ErrorClass::ALL {
            assert_ne!(next_step(class, PROVIDERS_TRIED_MAX), NextStep::TryNext, "{class:?}");
            assert_ne!(next_step(class, usize::MAX), NextStep::TryNext, "{class:?}");
        }
    }
}
