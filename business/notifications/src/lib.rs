//! Notifications: telling people (email, in-app live stream) and programs (webhooks) what happened.
//!
//! Invariants: what `send` and `emit` accept is durable with the caller's unit of work and is delivered at least once, under
//! one Message-ID or webhook-id for all attempts; every delivery is recorded once; a mail server or an endpoint that hangs
//! holds a few slots of its own and nobody else's; a webhook connects only to an address that the guard has passed, and
//! looks a name up once; a template that lacks a variable is refused when it is saved, not when somebody waits for the mail.
//!
//! Personal data (addresses, variables, payloads) lives in this module's tables only and `erase` blanks it; facts, logs and
//! metrics carry ids. Secrets of endpoints are sealed by the store's vault.
//!
//! Deliberately knows no other business module: the caller hands over a whole [`Recipient`].

mod channels;
mod commands;
pub mod dev_mailbox;
mod endpoint;
mod error;
mod events;
pub mod grants;
mod http;
mod http_client;
mod jobs;
mod live;
mod mail;
mod message;
mod queries;
mod signature;
mod smtp;
mod sql;
mod template;

pub use channels::{Channels, MailSetup, MailTransport};
pub use commands::{
    EndpointChange, NewEndpoint, create_endpoint, delete_endpoint, emit, erase, replay, reset_template, rotate_secret, save_template, send,
    send_test_event, sweep, update_endpoint,
};
pub use endpoint::{Attempt, AttemptId, AttemptOutcome, Endpoint, EndpointId, EndpointState, EventTypes};
pub use error::NotificationError;
pub use events::EndpointDisabled;
pub use http::{Deps, mailbox_routes, routes};
pub use http_client::{Outcome, WebhookClient, WebhookLimits};
pub use jobs::{
    DeliverWebhook, ForgetKeptMails, SendEmail, SendUrgentEmail, deliver_webhook, forget_kept_mails, send_email, send_urgent_email,
};
pub use live::{Live, LiveFact, LiveLimits};
pub use mail::Sender;
pub use message::{Attachment, Channel, Lane, Message, MessageId, MessageState, MessageStatus, Recipient};
pub use queries::{attempts, endpoint, endpoints, messages, template, templates};
pub use signature::{Secret, sign};
pub use smtp::{Envelope, Phase, SmtpConfig, SmtpConfigError, SmtpError, SmtpPool, SmtpTimeouts};
pub use sql::STATEMENTS;
pub use template::{Rendered, TemplateKey, TemplateSource, Variable};
