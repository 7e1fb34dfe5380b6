//! The port to a payment provider: what one can be asked, how that may end, and what it may say by itself.

mod notice;

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::time::Duration;

use kernel::{Currency, Money, Timestamp};
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::intent::{CaptureMethod, Observation};

pub use notice::{LineKind, Notice, ReportLine, Webhook, WebhookError};

kernel::id!(
    /// A provider that a workspace has an account with.
    pub struct ProviderId = "prv"
);

/// What a provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// Stripe.
    Stripe,
    /// PayPal.
    Paypal,
    /// Monnify.
    Monnify,
    /// Zenith Bank's GlobalPay.
    Zenith,
    /// Ramp Network: crypto on-ramp.
    RampNetwork,
    /// Ramp: corporate cards and payouts.
    Ramp,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Stripe, Self::Paypal, Self::Monnify, Self::Zenith, Self::RampNetwork, Self::Ramp];

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Paypal => "paypal",
            Self::Monnify => "monnify",
            Self::Zenith => "zenith",
            Self::RampNetwork => "ramp_network",
            Self::Ramp => "ramp",
        }
    }

    /// Whether several payments of one page have names of their own: a second transfer to the same account, a second purchase.
    /// That Monnify calls one transaction by one name wherever it tells of it is UNVERIFIED, but what its own queries need.
    pub const fn tells_charges_apart(self) -> bool {
        matches!(self, Self::Monnify | Self::RampNetwork)
    }

    /// The adapter that speaks it.
    pub fn provider(self) -> &'static dyn Provider {
        crate::providers::of(self)
    }
}

impl FromStr for Dialect {
    type Err = UnknownDialect;
    fn from_str(text: &str) -> Result<Self, UnknownDialect> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == text).ok_or(UnknownDialect)
    }
}

/// A word that is no dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be stripe, paypal, monnify, zenith, ramp_network or ramp")]
pub struct UnknownDialect;

/// What a dialect can do; what it cannot is refused before anything is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Has pages where people pay.
    pub has_pages: bool,
    /// Authorizes now and captures later.
    pub captures_later: bool,
    /// Several captures of one authorization.
    pub captures_in_parts: bool,
    /// Gives money back by itself.
    pub refunds: bool,
    /// Gives a part of the money back.
    pub refunds_in_parts: bool,
    /// Closes a page that nobody has paid at.
    pub closes_pages: bool,
    /// Pays money out.
    pub pays_out: bool,
    /// Says whose an account is before money goes there.
    pub enquires_names: bool,
    /// Says how much money we have there.
    pub tells_float: bool,
    /// Gives reports of what was settled.
    pub reports: bool,
    /// How long the same key has the same effect; without it nothing is ever sent again.
    pub keeps_keys_for: Option<Duration>,
    /// How far its webhooks are trusted.
    pub trust: Trust,
}

/// How far a webhook is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// It is signed, and the signature is checked at the door.
    Signed,
    /// Whether it is genuine is asked in a job.
    CheckedLater,
    /// Nothing about it can be checked: it only causes a query.
    Hint,
}

/// A workspace's account with a provider, opened for one conversation.
#[derive(Clone)]
pub struct Account {
    /// Its identifier.
    pub id: ProviderId,
    /// Where the provider is reached, without a slash at the end.
    pub base_url: String,
    /// What is not secret: contract codes, source accounts, webhook identifiers; a JSON object.
    pub settings: serde_json::Value,
    /// What is: keys and secrets; a JSON object. Never shown, never logged.
    pub secrets: serde_json::Value,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account").field("id", &self.id).field("base_url", &self.base_url).finish_non_exhaustive()
    }
}

impl Account {
    /// A setting; a failure that names it where it is missing.
    pub fn setting(&self, name: &'static str) -> Result<&str, Failure> {
        self.settings.get(name).and_then(serde_json::Value::as_str).ok_or_else(|| Failure::setup(format!("the setting {name} is missing")))
    }

    /// A secret; a failure that names it where it is missing.
    pub fn secret(&self, name: &'static str) -> Result<&str, Failure> {
        self.secrets.get(name).and_then(serde_json::Value::as_str).ok_or_else(|| Failure::setup(format!("the secret {name} is missing")))
    }
}

/// Who pays, as far as a provider insists on knowing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payer {
    /// Their name.
    pub name: Option<String>,
    /// Their email address.
    pub email: Option<String>,
    /// Their phone number (E.164).
    pub phone: Option<String>,
}

/// Where money is paid out to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The bank, by the code that the provider knows.
    pub bank_code: String,
    /// The account there: digits or letters, as the bank writes it.
    pub account_number: String,
    /// Whose it is.
    pub account_name: String,
}

/// What a provider is asked to do. A reference is ours, unique, and the key where the dialect has keys.
#[derive(Debug, Clone)]
pub enum Order {
    /// A page where somebody can pay.
    OpenPage {
        /// Ours: the attempt.
        reference: String,
        /// How much.
        amount: Money,
        /// When the money is taken.
        capture_method: CaptureMethod,
        /// What for, as the payer reads it.
        description: String,
        /// Who pays.
        payer: Payer,
        /// Where the payer comes back to.
        return_url: String,
        /// Where this installation hears of it, for dialects whose pages are told.
        webhook_url: String,
        /// When it should close.
        expires_at: Option<Timestamp>,
        /// The dialect's own parameters, such as a wallet address.
        extra: serde_json::Value,
    },
    /// Close a page that nobody has paid at.
    ClosePage {
        /// Theirs.
        provider_ref: String,
    },
    /// Finish what the payer agreed to on the page, where the dialect leaves that to us.
    Complete {
        /// Ours: the attempt.
        reference: String,
        /// Theirs.
        provider_ref: String,
        /// When the money is taken.
        capture_method: CaptureMethod,
    },
    /// Take what was authorized, or a part.
    Capture {
        /// Ours: the capture.
        reference: String,
        /// Theirs.
        provider_ref: String,
        /// How much.
        amount: Money,
        /// The rest is released with it.
        is_last: bool,
    },
    /// Release what was authorized.
    Void {
        /// Ours.
        reference: String,
        /// Theirs.
        provider_ref: String,
    },
    /// Give money back.
    Refund {
        /// Ours: the refund.
        reference: String,
        /// Ours: the attempt that brought the money.
        attempt: String,
        /// Theirs, for the page or authorization.
        provider_ref: String,
        /// Theirs, for the charge, where that is another one.
        charge_ref: Option<String>,
        /// How much.
        amount: Money,
        /// Why.
        reason: Option<String>,
    },
    /// Pay money out.
    Payout {
        /// Ours: the payout.
        reference: String,
        /// How much.
        amount: Money,
        /// Where to.
        destination: Destination,
        /// What the receiver reads.
        narration: String,
    },
    /// Go on with a payout that waits for a one-time password.
    ConfirmPayout {
        /// Ours: the payout.
        reference: String,
        /// What the operator was sent.
        otp: String,
    },
}

/// How an order ended, as far as the provider said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The page is there.
    Page {
        /// Theirs.
        provider_ref: Option<String>,
        /// Where the payer goes.
        url: String,
        /// When it closes by itself.
        expires_at: Option<Timestamp>,
    },
    /// What the provider says of the thing now.
    Observed(Observation),
}

/// Why an order did not end well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The provider surely did nothing.
    #[error("refused: {code}")]
    Refused {
        /// What sort of refusal.
        class: ErrorClass,
        /// The provider's word for it.
        code: String,
    },
    /// Not one byte of it left, or the provider says that it was not looked at: may be sent again anywhere.
    #[error("not sent: {reason}")]
    NotSent {
        /// Why, for operators.
        reason: String,
    },
    /// It may have been done.
    #[error("outcome unknown: {reason}")]
    Unknown {
        /// Why, for operators.
        reason: String,
    },
}

impl Failure {
    /// Our own set-up with the provider is not complete or not right.
    pub fn setup(reason: impl Into<String>) -> Self {
        Self::Refused { class: ErrorClass::SetUp, code: reason.into() }
    }

    /// It may have been done.
    pub fn unknown(reason: impl Into<String>) -> Self {
        Self::Unknown { reason: reason.into() }
    }
}

/// What sort of refusal: it decides whether another provider is tried, and what the payer is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// The payer's bank said no, and would again: not enough money, lost card.
    DeclinedHard,
    /// The payer's bank said no, and may say yes elsewhere or later.
    DeclinedSoft,
    /// The payer gave up or was not who they said.
    PayerAction,
    /// The provider takes it for fraud: nobody else is asked.
    Fraud,
    /// The amount, the currency or the country is not taken there.
    NotSupported,
    /// Our request cannot be right.
    InvalidRequest,
    /// Our keys or contract with the provider are not right.
    SetUp,
    /// Too many requests; surely nothing was done.
    RateLimited,
    /// The provider is out of order and says that nothing was done.
    ProviderDown,
}

impl ErrorClass {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::DeclinedHard,
        Self::DeclinedSoft,
        Self::PayerAction,
        Self::Fraud,
        Self::NotSupported,
        Self::InvalidRequest,
        Self::SetUp,
        Self::RateLimited,
        Self::ProviderDown,
    ];

    /// Whether it says nothing of the payment, only that nobody looked at it now.
    pub const fn is_passing(self) -> bool {
        matches!(self, Self::RateLimited | Self::ProviderDown | Self::SetUp)
    }

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DeclinedHard => "declined_hard",
            Self::DeclinedSoft => "declined_soft",
            Self::PayerAction => "payer_action",
            Self::Fraud => "fraud",
            Self::NotSupported => "not_supported",
            Self::InvalidRequest => "invalid_request",
            Self::SetUp => "set_up",
            Self::RateLimited => "rate_limited",
            Self::ProviderDown => "provider_down",
        }
    }
}

/// What a provider is asked to tell.
#[derive(Debug, Clone)]
pub enum Question {
    /// How a payment stands.
    Payment {
        /// Ours: the attempt.
        reference: String,
        /// Theirs, if it is known.
        provider_ref: Option<String>,
    },
    /// How one charge stands, by the provider's own name, where a page may bring several of them.
    Charge {
        /// Theirs.
        provider_ref: String,
    },
    /// How a capture stands.
    Capture {
        /// Ours: the capture.
        reference: String,
        /// Theirs: the authorization.
        provider_ref: String,
    },
    /// How a refund stands.
    Refund {
        /// Ours: the refund.
        reference: String,
        /// Ours: the attempt that brought the money.
        attempt: String,
        /// Theirs, if it is known.
        provider_ref: Option<String>,
        /// Theirs, for the charge.
        charge_ref: Option<String>,
    },
    /// How a payout stands.
    Payout {
        /// Ours: the payout.
        reference: String,
        /// Theirs, if it is known.
        provider_ref: Option<String>,
    },
    /// Whose an account is.
    AccountName {
        /// The bank.
        bank_code: String,
        /// The account there.
        account_number: String,
    },
    /// How much money we have there.
    Float {
        /// In this currency.
        currency: Currency,
    },
    /// What was settled.
    Settled {
        /// From then, inclusive.
        from: Timestamp,
        /// Until then, exclusive.
        until: Timestamp,
    },
    /// Whether a webhook is genuine, where the dialect leaves that to a job ([`Trust::CheckedLater`]).
    Genuine {
        /// Its headers: names in small letters and values.
        headers: Vec<(String, String)>,
        /// Its body, byte for byte.
        body: Vec<u8>,
    },
}

/// What a provider tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It knows nothing of it. Right after a time-out that proves nothing.
    NotFound,
    /// How the thing stands.
    Observed(Observation),
    /// Whose an account is.
    AccountName(String),
    /// How much money we have there.
    Float(Money),
    /// A report of what was settled, as it came, to be read by [`Provider::report`].
    Report(Vec<u8>),
    /// Whether the webhook is genuine.
    Genuine(bool),
}

/// What an adapter's conversations answer.
pub type Conversation<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// One provider's wire format. What the abilities deny is never asked.
pub trait Provider: Send + Sync {
    /// What it can do.
    fn abilities(&self) -> Abilities;
    /// Asks for something to be done.
    fn send<'a>(&'a self, client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done>;
    /// Asks how something stands.
    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told>;
    /// Checks a webhook as far as that can be done without asking anybody. Comparisons take the same time however they end.
    fn check(&self, account: &Account, webhook: Webhook<'_>, now: Timestamp) -> Result<(), WebhookError>;
    /// Reads what a webhook says, whoever wrote it; nothing where it is about something else.
    fn read(&self, account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError>;
    /// Reads a report.
    fn report(&self, account: &Account, bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError>;
}
