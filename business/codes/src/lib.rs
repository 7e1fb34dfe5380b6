//! Codes: QR codes that are minted, bound, printed, scanned and counted.
//!
//! Invariants: no two codes of an installation are alike and no code tells which was minted before it; a mistyped code is refused
//! before anything is looked up; a printed code never needs printing again, because only what it is bound to changes; no symbol is
//! handed out that an independent decoder did not read back.
//!
//! Knows where a code leads only by kind and id ([`Destination`]): what a card is, and whether it may be bound, is for the module
//! that owns the card, which calls [`commands::bind`].

mod batch;
mod code;
pub mod commands;
mod destination;
mod error;
pub mod events;
pub mod grants;
mod http;
pub mod jobs;
pub mod label;
mod parameters;
mod permutation;
mod public_code;
pub mod queries;
pub mod scan;
mod sheet;
mod sql;
mod symbol;

pub use batch::{BATCH_MAX, Minted, NewCode, SCAN_LIMIT_MAX};
pub use code::{BatchId, Closed, Code, CodeState, Opens, Recording, RecordingChoice, Resolved, StepError};
pub use destination::{Destination, RequestId, TargetError, TargetUrl, Thing, URL_BYTES_MAX};
pub use error::CodeError;
pub use http::{BatchView, CodeView, Deps, DestinationView, RecordingView, RequestView, routes};
pub use parameters::{PARAMETERS_BYTES_MAX, Parameters};
pub use permutation::{CODES_MAX, Permutation};
pub use public_code::{LENGTH, NotACode, PublicCode};
pub use sql::STATEMENTS;
pub use symbol::{
    Background, Colour, Level, MODULE_MAX, QUIET_ZONE_MAX, SIDE_MAX, Size, Style, Symbol, SymbolError, symbol_for_text, text_of_code,
};
