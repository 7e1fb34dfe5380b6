//! The port that a dialect fills, and the list of dialects. One file per provider.

pub mod monnify;
pub mod paypal;
pub mod ramp_corporate;
pub mod ramp_network;
pub mod stripe;
pub mod zenith;

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};

/// Faults to plant in one settlement report. Lines are those of the batch, oldest first; each number counts lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Plant {
    /// Lines that the report leaves out though the money moved.
    pub missing_lines: u32,
    /// Lines that the report invents.
    pub extra_lines: u32,
    /// Lines whose amount is one unit off.
    pub wrong_amounts: u32,
}

/// One dialect. All of it runs under the lock of its [`Books`], so it computes and never waits.
pub trait Provider: Send + Sync + 'static {
    /// What a fault's `operation` is compared with; use the words `token`, `create`, `query`, `confirm`, `authorize`, `capture`, `void`,
    /// `expire`, `refund`, `refund_query`, `payout`, `payout_query`, `enquiry`, `balance`, `report`, `verify` where they fit. A payer's click is `pay`.
    fn operation(&self, call: &Call) -> &'static str;

    /// Answers a call: checks the credentials, does it, writes movements and webhooks down.
    fn answer(&self, books: &mut Books, call: &Call) -> Reply;

    /// What a person decided on the hosted page, `Ok` with the address to send the payer to (none: the simulator shows a last page), or a
    /// sentence why not. Sets the page's state itself: an answer may leave it open, as after a decline at most providers.
    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String>;

    /// The payer sends money again for what a page was paid for; `is_apart`: under a name of its own, as a second transfer to the same
    /// account has. A sentence where the provider takes one payment a page.
    fn pay_more(&self, books: &mut Books, page: &Page, amount_minor: i64, is_apart: bool) -> Result<(), String> {
        let _ = (books, page, amount_minor, is_apart);
        Err("this provider takes one payment a page".to_owned())
    }

    /// A refund that was given back comes back: the payer's bank did not take it. A sentence where that does not happen here.
    fn return_refund(&self, books: &mut Books, reference: &str) -> Result<(), String> {
        let _ = (books, reference);
        Err("refunds do not come back here".to_owned())
    }

    /// Codes that a payer's decline may carry, the usual one first.
    fn decline_codes(&self) -> &'static [&'static str];

    /// The headers that sign one attempt of a webhook over exactly these bytes, `now_ms` of the simulator's clock. A forged one carries
    /// headers of the right form that do not verify.
    fn sign(&self, secret: &str, webhook: &Outgoing, body: &[u8], now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)>;

    /// The bytes of a webhook's body; one that needs a certain order of fields or form of numbers writes it itself.
    fn body(&self, webhook: &Outgoing) -> Vec<u8> {
        webhook.body.to_string().into_bytes()
    }

    /// Where a webhook goes whose address the merchant named for the payment itself, as Ramp Network's `webhookStatusUrl`; it wins over
    /// the dialect's one address. None: that one.
    fn target(&self, webhook: &Outgoing) -> Option<String> {
        let _ = webhook;
        None
    }

    /// Seconds between the attempts of one webhook in the provider's real habit; after the last it gives up.
    fn retries_s(&self) -> &'static [u32];

    /// The provider's answer when it is broken.
    fn broken(&self) -> Reply {
        Reply::json(500, &serde_json::json!({"error": "internal server error"}))
    }

    /// Called every few seconds and when the clock was moved: what has become due by itself happens, and is told.
    fn wake(&self, books: &mut Books) {
        let _ = books;
    }

    /// The provider's answer when it knows nothing of what was asked for, or not yet.
    fn not_found(&self, call: &Call) -> Reply {
        let _ = call;
        Reply::json(404, &serde_json::json!({"error": "not found"}))
    }

    /// Closes what is not settled yet into one settlement report per currency, with the faults; answers the references of the batches.
    fn settle(&self, books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
        let _ = (books, plant);
        Err("this provider settles nothing".to_owned())
    }
}
