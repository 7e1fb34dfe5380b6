//! Cards: digital business cards, their page, their vCard, their photo, and the exchange of contacts.
mod card;
mod colour;
mod contact;
mod language;
mod photo;
mod symbol;
mod text;
pub mod vcard;
pub use card::*;
pub use contact::*;
pub use language::*;
pub use photo::*;
pub use colour::*;
pub use symbol::*;
