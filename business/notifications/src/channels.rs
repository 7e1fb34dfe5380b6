//! The ways out, made once by `app` and shared by all jobs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kernel::Clock;
use outbox::{Gate, GateLimits};

use crate::dev_mailbox;
use crate::http_client::WebhookClient;
use crate::mail::{Mail, Sender};
use crate::message::MessageId;
use crate::smtp::{SmtpError, SmtpPool};
use crate::template::Rendered;

/// Where mails go.
#[derive(Clone)]
pub enum MailTransport {
    /// To a mail server.
    Smtp(SmtpPool),
    /// Into a folder of the data folder, for set-ups without a mail server; read by [`dev_mailbox`].
    Folder(PathBuf),
}

/// How mails are sent.
#[derive(Clone)]
pub struct MailSetup {
    /// Who they are from.
    pub sender: Sender,
    /// Where they go.
    pub transport: MailTransport,
}

/// Counts destinations that are left alone for a while.
const OPENED: &str = "notifications_breaker_opened_total";

/// Bounds for a mail server: there is one, so that nobody shares its slots and being slow is no offence; only a server that
/// does not answer at all is left alone for a while.
fn mail_limits() -> GateLimits {
    let many = usize::MAX;
    let (slow, open_max, spacing) = (Duration::MAX, Duration::from_secs(60), Duration::from_millis(20));
    GateLimits { per_destination: many, per_suspect: many, suspects_max: many, slow, open_max, spacing, ..GateLimits::default() }
}

/// Everything that a delivery needs besides the store. Cheap to clone; clones share connections and breakers.
#[derive(Clone)]
pub struct Channels(Arc<Inside>);

struct Inside {
    mail: MailSetup,
    mail_gate: Gate,
    webhooks: WebhookClient,
    webhook_gate: Gate,
}

impl Channels {
    /// Channels with the mail set-up, a client for webhooks and the bounds of each endpoint.
    pub fn new(mail: MailSetup, webhooks: WebhookClient, limits: GateLimits, clock: &Clock) -> Self {
        let mail_gate = Gate::new(OPENED, mail_limits(), clock.clone());
        let webhook_gate = Gate::new(OPENED, limits, clock.clone());
        Self(Arc::new(Inside { mail, mail_gate, webhooks, webhook_gate }))
    }

    pub(crate) fn sender(&self) -> &Sender {
        &self.0.mail.sender
    }

    /// The gate in front of the mail server.
    pub fn mail_gate(&self) -> &Gate {
        &self.0.mail_gate
    }

    /// The gate in front of the endpoints.
    pub fn webhook_gate(&self) -> &Gate {
        &self.0.webhook_gate
    }

    pub(crate) fn webhooks(&self) -> &WebhookClient {
        &self.0.webhooks
    }

    /// Hands a mail over, or keeps it in the folder.
    pub(crate) async fn send_mail(&self, id: MessageId, mail: &Mail, rendered: &Rendered, names: Vec<String>) -> Result<(), SmtpError> {
        match &self.0.mail.transport {
            MailTransport::Smtp(pool) => pool.send(&mail.envelope, &mail.bytes).await,
            MailTransport::Folder(folder) => {
                let kept = dev_mailbox::keep(folder.clone(), id, mail.clone(), rendered.clone(), names).await;
                kept.map_err(|error| SmtpError::Unusable(format!("the folder of mails cannot be written: {error}")))
            }
        }
    }

    /// Removes kept mails from the folder, where there is one.
    pub(crate) async fn forget_kept(&self, messages: Vec<MessageId>) -> std::io::Result<()> {
        match &self.0.mail.transport {
            MailTransport::Smtp(_) => Ok(()),
            MailTransport::Folder(folder) => dev_mailbox::forget(folder.clone(), messages).await,
        }
    }
}
