//! Cards: digital business cards, their page, their vCard, their photo, and the exchange of contacts.
//!
//! Invariants: a page is one answer, under 30 kB without its photo, and needs no script; whatever colour a brand has, what is
//! written on it can be read; a vCard never has a line beyond 75 octets nor a character cut in two; a photo carries nothing of
//! the file it was made from but its pixels; a change names the version that it saw; a retired card is never shown, and its
//! printed codes can be handed on without printing; facts and the audit trail carry identifiers only.
//!
//! Knows of codes that they lead to a card, and of leads that a card is their source. Does not know how a scan is counted, when a
//! page is cached or how the form on it is guarded: `app` joins the page with the form that leads will check.

mod card;
mod colour;
pub mod commands;
mod contact;
mod error;
pub mod events;
pub mod grants;
pub mod http;
mod language;
pub mod page;
mod photo;
pub mod queries;
mod sql;
mod symbol;
mod text;
pub mod vcard;
mod words;

pub use card::{CARDS_PER_OWNER_MAX, Card, CardId, CardState, ENTRIES_MAX, Name, Profile, ProfileDraft, Refused};
pub use colour::{Colour, Shades, contrast};
pub use contact::{Address, AddressDraft, Email, Label, Labelled, LabelledDraft, Link, LinkDraft, Phone, WebAddress};
pub use error::CardError;
pub use http::{Deps, routes};
pub use language::{Direction, Language};
pub use photo::{Photo, PhotoError, PhotoHash, UPLOAD_BYTES_MAX, prepare};
pub use sql::STATEMENTS;
pub use symbol::OfflineSymbol;
pub use words::Words;
