//! Simulators of payment providers that speak their real wire formats, with faults on demand: for development and tests only.
//!
//! - Each dialect answers below its word: `/stripe /paypal /monnify /zenith /ramp-network /ramp`, then the provider's real paths. A file
//!   `providers/*.rs` fills [`providers::Provider`]: `answer` gets a [`call::Call`] and the dialect's [`bank::Books`], locked for it, and
//!   answers a [`call::Reply`] at once; the frame reads, waits, hangs, cuts and delivers. A new one is named in `providers()` below.
//! - `Books` is all the memory: documents as JSON (`put`, `get`, `all`), look-ups (`link`, `linked`), ids, time, and the truth of money:
//!   `moved(Moved { kind, reference, … })` in the same call as the effect, with what was *really* moved: `call.twist.moved(amount,
//!   currency)`. Amounts are minor units ([`money`] reads and writes decimals). `call.twist.decline` declines what moves money. Idempotency is the dialect's, as its
//!   provider does it; keep its answers as documents. `--data` keeps documents, links and movements in one file per dialect.
//! - Webhooks: `books.notify(Outgoing { id, event, body })`; `sign` signs each attempt. They go to `{tessera}/v1/payments/webhooks/demo-{word}`
//!   or where `Options`, [`Simulator::webhook_to`] or `PUT /sim/{word}/webhook` say, in the background, over a bounded queue, again as
//!   `retries_s` says (divided by `Options::retry_shrink`) unless the answer is 2xx.
//! - Hosted pages: `books.open_page(&Page { … })` answers the address for the provider's checkout field; the payer's click comes as `decide`,
//!   which charges, notifies, calls `set_page` and answers where to send the payer.
//! - Faults: `X-Sim-Fault: a, b:1` on a request, or rules ([`faults::Rule`]) by library call, `POST /sim/faults` or the form on `/`.
//! - Control, JSON: `GET /sim/movements?dialect&kind&reference&idempotency_key`, `GET|POST|DELETE /sim/faults[/{id}]`, `GET /sim/pages`, `GET /sim/webhooks`,
//!   `POST /sim/pay|decline|abandon {"reference", "dialect"?, "code"?}`, `POST /sim/{word}/settle {"missing_lines", "extra_lines",
//!   "wrong_amounts"}`, `PUT /sim/{word}/webhook {"url", "secret"?}`, `POST /sim/advance {"seconds"}`. Errors: `{"error": "sentence"}`.
//!
//! It knows nothing of Tessera but where webhooks go, so that a mistake of one side is not repeated by the other.

pub mod bank;
pub mod call;
pub mod faults;
pub mod money;
pub mod pages;
pub mod providers;

/// Stripe's secret key.
pub const STRIPE_KEY: &str = "sk_test_simulator";
/// The secret that signs Stripe's webhooks.
pub const STRIPE_WEBHOOK_SECRET: &str = "whsec_simulator";
/// PayPal's client id.
pub const PAYPAL_CLIENT: &str = "simulator-client";
/// PayPal's client secret.
pub const PAYPAL_SECRET: &str = "simulator-secret";
/// The id of PayPal's webhook, which its signature covers.
pub const PAYPAL_WEBHOOK_ID: &str = "WH-SIMULATOR";
/// Monnify's API key.
pub const MONNIFY_KEY: &str = "MK_TEST_SIMULATOR";
/// Monnify's secret key, which also signs its webhooks.
pub const MONNIFY_SECRET: &str = "SK_TEST_SIMULATOR";
/// Monnify's contract.
pub const MONNIFY_CONTRACT: &str = "1000000000";
/// The Monnify wallet that payouts come from.
pub const MONNIFY_SOURCE_ACCOUNT: &str = "8000000001";
/// Zenith GlobalPay's `apiKey`.
pub const ZENITH_KEY: &str = "zenith-simulator";
/// Ramp Network's `hostApiKey`.
pub const RAMP_NETWORK_KEY: &str = "ramp-simulator";
/// Ramp (corporate): client id.
pub const RAMP_CLIENT: &str = "ramp-client";
/// Ramp (corporate): client secret.
pub const RAMP_SECRET: &str = "ramp-secret";
/// The secret that signs Ramp's (corporate) webhooks.
pub const RAMP_WEBHOOK_SECRET: &str = "ramp-webhook-secret";

/// The dialects; the word is the prefix of its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Stripe.
    Stripe,
    /// PayPal.
    Paypal,
    /// Monnify.
    Monnify,
    /// Zenith Bank GlobalPay.
    Zenith,
    /// Ramp Network: on and off ramps.
    RampNetwork,
    /// Ramp: corporate cards.
    Ramp,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Stripe, Self::Paypal, Self::Monnify, Self::Zenith, Self::RampNetwork, Self::Ramp];

    /// `stripe`, `paypal`, `monnify`, `zenith`, `ramp-network`, `ramp`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Paypal => "paypal",
            Self::Monnify => "monnify",
            Self::Zenith => "zenith",
            Self::RampNetwork => "ramp-network",
            Self::Ramp => "ramp",
        }
    }

    /// The dialect of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.word() == word)
    }
}
