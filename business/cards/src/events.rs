//! Facts about cards, for whoever minds. They carry identifiers, never personal data.

use outbox::Fact;
use serde::{Deserialize, Serialize};

use crate::card::CardId;

/// A card was made, changed, retired or erased: whoever keeps its page lets go of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CardChanged {
    /// The card.
    pub card: CardId,
    /// Its version after it.
    pub version: i64,
    /// Whether a scan opens it.
    pub is_live: bool,
}

impl Fact for CardChanged {
    const NAME: &'static str = "cards.changed";
    fn subject(&self) -> String {
        self.card.to_string()
    }
    fn version(&self) -> i64 {
        self.version
    }
}
