//! Hosted pages: what a provider's checkout address points to. No card field anywhere.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::Dialect;

/// How a hosted page stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageState {
    /// It can be paid.
    Open,
    /// It was paid.
    Paid,
    /// The payer's bank said no, and the provider takes no other try on this page.
    Declined,
    /// The payer went away.
    Abandoned,
    /// Its time is over, or the merchant ended it.
    Expired,
}

/// What a person does on a hosted page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Pays it.
    Pay,
    /// The bank declines, with a code of the provider.
    Decline {
        /// The code.
        code: String,
    },
    /// Goes away.
    Abandon,
}

/// One hosted page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// The page's id, unique in its dialect: the provider's id of the checkout or session.
    pub id: String,
    /// Whose page it is.
    pub dialect: Dialect,
    /// The merchant's reference, by which [`crate::Simulator::pay`] finds it.
    pub reference: String,
    /// What is bought, in the merchant's words.
    pub description: String,
    /// Minor units.
    pub amount_minor: i64,
    /// ISO 4217 in capitals.
    pub currency: String,
    /// How it stands.
    pub state: PageState,
    /// Milliseconds since 1970 after which it cannot be paid.
    pub expires_at_ms: Option<i64>,
}

impl Page {
    /// Where it is shown: `{url}/pay/{dialect}/{id}`.
    pub fn url(&self, url: &str) -> String {
        format!("{url}/pay/{}/{}", self.dialect.word(), utf8_percent_encode(&self.id, NON_ALPHANUMERIC))
    }
}
