//! People: workspaces, the persons who work in them, and how a person or a program proves who it is.
//!
//! Invariants: a workspace has at least one owner; a person is in a workspace once; only an owner makes or unmakes an owner;
//! a sign-in link and an invitation work once; nobody hands out a right that they do not hold; no secret is kept here, only its
//! hash (argon2id for passwords, SHA-256 for tokens and keys of 256 random bits); a refused sign-in says nothing about
//! whether the address is known; whoever leaves is out within a second on every node, and at once on the node that did it.
//!
//! Persons and their sessions span workspaces: the statements that look across end in `_everywhere`. The column `workspace`
//! of a person only says where they were first entered.
//!
//! Deliberately does not know what a right means (each module names its own, and the table of roles is handed over), which
//! pages there are, or what becomes of the things of somebody who leaves: `people.member_removed` tells whoever minds.

pub mod commands;
mod door;
mod error;
pub mod events;
pub mod grants;
pub mod http;
mod invitation;
mod key;
mod member;
mod password;
mod person;
pub mod queries;
mod role;
mod session;
mod sign_in;
mod sql;
mod token;
mod workspace;

pub use door::Door;
pub use error::PeopleError;
pub use http::{Deps, routes};
pub use invitation::{Invitation, InvitationId};
pub use key::{Key, KeyDraft, NewKey};
pub use member::{Member, Membership};
pub use password::Passwords;
pub use person::{Email, Locale, Person, PersonId, PersonName, Zone};
pub use queries::{member_behind, owners, recipient};
pub use role::{Role, Roles};
pub use session::{AgentClass, SESSION_LIFE, Session, SessionId, SignedIn, Via};
pub use sign_in::{Links, accept_invitation, change_password, redeem_sign_in_link, request_sign_in_link, sign_in_with_password};
pub use sql::STATEMENTS;
pub use workspace::{Workspace, WorkspaceName};
