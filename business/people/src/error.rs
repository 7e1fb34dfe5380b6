//! What may go wrong with people.

use kernel::{Fault, FieldFault, Kind, NotAllowed};
use store::StoreError;

/// Why something about people was refused.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The database did not do it.
    #[error("the database did not do it")]
    Store(#[from] StoreError),
    /// Telling somebody was refused.
    #[error("the message could not be prepared")]
    Notification(#[from] notifications::NotificationError),
    /// The caller lacks the right.
    #[error(transparent)]
    NotAllowed(#[from] NotAllowed),
    /// A field was refused.
    #[error("{} {}", .0.field, .0.message)]
    Field(FieldFault),
    /// It is not there, or not for this caller.
    #[error("there is no such {what}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
    },
    /// The workspace would be left without an owner.
    #[error("a workspace needs an owner: make somebody else an owner first")]
    LastOwner,
    /// Only an owner may make, change or remove an owner.
    #[error("only an owner may do this to or for an owner")]
    OwnersOnly,
    /// The address belongs to a member already.
    #[error("this address belongs to a member already")]
    AlreadyMember,
    /// A list is full.
    #[error("there may be at most {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: i64,
    },
    /// Address or password is wrong; which of them is not said.
    #[error("the address or the password is wrong")]
    SignInRefused,
    /// The link was used, has expired or never was.
    #[error("this link was used already or has expired: ask for a new one")]
    LinkSpent,
    /// The invitation was used, withdrawn, has expired or never was.
    #[error("this invitation was used already, was withdrawn or has expired: ask for a new one")]
    InvitationSpent,
    /// The current password was not given rightly, and the session is not fresh from a link.
    #[error("the current password is wrong; whoever forgot it signs in by a link and changes it within 15 minutes")]
    ProofNeeded,
    /// It needs a person who is signed in, not a program.
    #[error("this needs a person who is signed in")]
    PersonNeeded,
    /// Too many passwords are being checked at this moment.
    #[error("too many sign-ins at this moment: try again in a few seconds")]
    Busy,
}

impl PeopleError {
    /// A refusal of one field with its fix.
    pub fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Field(FieldFault::new(field, message))
    }
}

impl Fault for PeopleError {
    fn kind(&self) -> Kind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Notification(error) => error.kind(),
            Self::NotAllowed(_) | Self::OwnersOnly | Self::SignInRefused | Self::ProofNeeded | Self::PersonNeeded => Kind::Forbidden,
            Self::Field(_) => Kind::Invalid,
            Self::NotFound { .. } => Kind::NotFound,
            Self::LastOwner | Self::AlreadyMember | Self::TooMany { .. } | Self::LinkSpent | Self::InvitationSpent => Kind::Conflict,
            Self::Busy => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Store(error) => error.code(),
            Self::Notification(error) => error.code(),
            Self::NotAllowed(_) => "not_allowed",
            Self::Field(_) => "invalid_field",
            Self::NotFound { .. } => "not_found",
            Self::LastOwner => "last_owner",
            Self::OwnersOnly => "owners_only",
            Self::AlreadyMember => "already_member",
            Self::TooMany { .. } => "too_many",
            Self::SignInRefused => "sign_in_refused",
            Self::LinkSpent => "link_spent",
            Self::InvitationSpent => "invitation_spent",
            Self::ProofNeeded => "proof_needed",
            Self::PersonNeeded => "person_needed",
            Self::Busy => "busy",
        }
    }

    fn fields(&self) -> Vec<FieldFault> {
        match self {
            Self::Field(fault) => vec![fault.clone()],
            Self::Store(error) => error.fields(),
            Self::Notification(error) => error.fields(),
            _ => Vec::new(),
        }
    }
}
