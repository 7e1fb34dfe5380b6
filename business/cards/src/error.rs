//! What may go wrong with cards.

use codes::CodeError;
use kernel::{Fault, FieldFault, Kind, NotAllowed};
use leads::LeadError;
use people::PeopleError;
use store::StoreError;

use crate::card::{CARDS_PER_OWNER_MAX, CardId, Refused};
use crate::commands::CODES_MOVED_MAX;
use crate::photo::PhotoError;

/// Why something about cards was refused.
#[derive(Debug, thiserror::Error)]
pub enum CardError {
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// It is not there, or not for this caller.
    #[error("there is no such card")]
    NotFound {
        /// Which was looked for.
        id: CardId,
    },
    /// The card does not change like this.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// Fields cannot be right.
    #[error("{} fields were refused", fields.len())]
    Invalid {
        /// Which, and what would be right.
        fields: Vec<FieldFault>,
    },
    /// The photo is not taken.
    #[error(transparent)]
    Photo(#[from] PhotoError),
    /// One member has only so many cards.
    #[error("a member has at most {CARDS_PER_OWNER_MAX} cards in use")]
    TooMany,
    /// More codes lead to the card than one unit of work moves.
    #[error("more than {CODES_MOVED_MAX} codes lead to the card: bind some of them elsewhere first")]
    TooManyCodes,
    /// The code leads elsewhere, so that it is not the card's to let go.
    #[error("the code does not lead to this card")]
    NotItsCode,
    /// Cards are exchanged by people only.
    #[error("only a person who is signed in exchanges cards")]
    PersonOnly,
    /// One's own card.
    #[error("this card is your own")]
    OwnCard,
    /// The caller has no card to give.
    #[error("you have no card in use to share: make one first")]
    NoCardToGive,
    /// The caller's card has neither a mail address nor a telephone number.
    #[error("your card has neither a mail address nor a telephone number to be reached under")]
    NothingToGive,
    /// The code was refused.
    #[error("the code could not be changed")]
    Code(#[from] CodeError),
    /// The lead was refused.
    #[error("the details could not be handed over")]
    Lead(#[from] LeadError),
    /// Looking up a member was refused.
    #[error("the member could not be looked up")]
    People(#[from] PeopleError),
}

impl CardError {
    /// A refusal of one field with its fix.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid { fields: vec![FieldFault::new(field, message)] }
    }
}

impl Fault for CardError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Photo(error) => error.kind(),
            Self::Code(error) => error.kind(),
            Self::Lead(error) => error.kind(),
            Self::People(error) => error.kind(),
            Self::NotAllowed(_) | Self::PersonOnly => Kind::Forbidden,
            Self::NotFound { .. } => Kind::NotFound,
            Self::Invalid { .. } => Kind::Invalid,
            Self::Refused(_) | Self::TooMany | Self::TooManyCodes | Self::NotItsCode => Kind::Conflict,
            Self::OwnCard | Self::NoCardToGive | Self::NothingToGive => Kind::Conflict,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Photo(error) => error.code(),
            Self::Code(error) => error.code(),
            Self::Lead(error) => error.code(),
            Self::People(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::NotFound { .. } => "card_not_found",
            Self::Refused(Refused::Changed { .. }) => "version_conflict",
            Self::Refused(Refused::Retired) => "card_retired",
            Self::Invalid { .. } => "invalid",
            Self::TooMany => "too_many_cards",
            Self::TooManyCodes => "too_many_codes",
            Self::NotItsCode => "code_leads_elsewhere",
            Self::PersonOnly => "person_only",
            Self::OwnCard => "own_card",
            Self::NoCardToGive => "no_card_to_give",
            Self::NothingToGive => "nothing_to_give",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Invalid { fields } => fields.clone(),
            Self::Photo(error) => error.fields(),
            Self::Code(error) => error.fields(),
            Self::Lead(error) => error.fields(),
            Self::People(error) => error.fields(),
            _ => Vec::new(),
        }
    }
}
