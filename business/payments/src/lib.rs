//! Payments: money in and out through providers; intents, attempts, refunds, payouts, settlement, reconciliation.
//!
//! Invariants: what is sent to a provider is stored before its first byte leaves; an outcome that is not known is never
//! tried elsewhere and never taken for a failure; captured is at most what was authorized, refunded at most what was captured;
//! of two payments of one intent one counts and the other is given back once; another amount or currency than was asked for
//! is kept apart; what moved is in the ledger with the same commit. State changes only by events, which are kept for ever.
//!
//! Deliberately does not know what is sold, or to whom: a customer is an identifier, the books' account a code. Card numbers
//! never come here: people pay on the provider's page.

mod account;
mod bell;
mod beneficiary;
mod books;
mod client;
pub mod commands;
mod error;
pub mod events;
mod fail;
mod float;
pub mod grants;
pub mod health;
mod http;
mod intent;
pub mod jobs;
mod link;
mod looks;
mod names;
mod payout;
mod provider;
mod providers;
pub mod queries;
mod receipt;
pub mod replay;
pub mod routing;
pub mod settlement;
mod sql;
mod steps;
mod text;
mod units;
mod webhook;

pub use account::{ProviderRecord, Ties};
pub use bell::{wait, wait_for_payout};
pub use beneficiary::{Beneficiary, BeneficiaryId, NameCheck, UnknownNameCheck};
pub use books::{Move, Place, moves};
pub use client::Client;
pub use error::PaymentError;
pub use float::{Float, FloatCheck, FloatCheckId, PayoutSettings, TopUpId};
pub use health::Health;
pub use http::{Deps, WEBHOOK_ROUTE, routes};
pub use intent::{
    AMOUNT_MAX_MINOR, Attempt, AttemptId, AttemptState, Capture, CaptureId, CaptureMethod, DISPUTES_MAX, Dispute, DisputeState, Event,
    Intent, IntentId, IntentState, LinkId, More, NewIntent, Observation, Refund, RefundId, Refusal, Seen, StepState,
};
pub use jobs::{CompareFloat, Conduct, ConductPayout, ConfirmPayout, Engine, ExpireIntent, WorkWebhook};
pub use link::Link;
pub use payout::{Approval, Hold, NARRATION_MAX, NewPayout, Payout, PayoutEvent, PayoutId, PayoutRefusal, PayoutState, Wait};
pub use provider::{
    Abilities, Account, Destination, Dialect, Done, ErrorClass, Failure, LineKind, Notice, Order, Payer, Provider, ProviderId, Question,
    ReportLine, Told, Trust, UnknownDialect, Webhook, WebhookError,
};
pub use receipt::{SendReceipt, send_receipt};
pub use sql::payout::STATEMENTS as PAYOUT_STATEMENTS;
pub use sql::replay::STATEMENTS as REPLAY_STATEMENTS;
pub use sql::settlement::STATEMENTS as SETTLEMENT_STATEMENTS;
pub use sql::{Recorded, STATEMENTS};
pub use steps::{Need, Step, Surroundings, follow};
pub use webhook::{Stored, WebhookId, WebhookRow};
