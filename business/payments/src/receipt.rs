//! The receipt: whoever paid and left an address is told by mail, once for each time that money came in.

use std::sync::Arc;

use kernel::{Money, WorkspaceId};
use ledger::Unit;
use notifications::{Message, Recipient, TemplateKey};
use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Tx;

use crate::error::PaymentError;
use crate::events::PaymentCaptured;
use crate::intent::IntentId;
use crate::queries;

/// Mails a payer what they paid. It carries identifiers; what the payer told us is looked up when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SendReceipt {
    /// For this payment.
    pub intent: IntentId,
    /// Its version after the money came in.
    pub version: i64,
    /// How much came in with that.
    pub amount: Money,
}

impl Job for SendReceipt {
    const NAME: &'static str = "payments.send_receipt";
    const LANE: &'static str = "payments_local";

    fn key(&self) -> String {
        self.intent.to_string()
    }
}

impl SendReceipt {
    /// What follows when money came in.
    pub const fn after(fact: &PaymentCaptured) -> Self {
        Self { intent: fact.intent, version: fact.version, amount: fact.amount }
    }
}

/// Runs [`SendReceipt`]; `public_url` is where this installation is reached, without a slash at the end.
pub async fn send_receipt(public_url: Arc<str>, job: SendReceipt, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    context
        .write((workspace, job, public_url), |tx, (workspace, job, url)| Box::pin(async move { tell(tx, workspace, &job, &url).await }))
        .await
}

/// Hands the receipt to notifications, in the unit of the caller; nothing where the payer left no address that every mail server
/// takes. Telling it a second time changes nothing.
async fn tell(tx: &mut Tx, workspace: WorkspaceId, job: &SendReceipt, public_url: &str) -> Result<(), PaymentError> {
    let Some(intent) = queries::find(tx, workspace, job.intent).await? else { return Ok(()) };
    let payer = queries::payer(tx, workspace, job.intent).await?;
    let Some(address) = payer.email.filter(|email| email.is_ascii()) else { return Ok(()) };
    let Some(merchant) = people::queries::workspace(tx, workspace).await? else { return Ok(()) };
    let unit = Unit::from(job.amount.currency);
    let at = intent.changed_at.to_utc();
    let (day, time) = (at.date(), at.time());
    let variables = json!({
        "link": format!("{public_url}/pay/{}/back", intent.id),
        "amount": format!("{} {unit}", unit.major(i128::from(job.amount.amount_minor))),
        "description": intent.description,
        "merchant": merchant.name,
        "at": format!("{day} {:02}:{:02} UTC", time.hour(), time.minute()),
        "reference": intent.id.to_string(),
    });
    let (locale, zone) = (merchant.locale.as_str().to_owned(), merchant.zone.as_str().to_owned());
    let recipient = Recipient { id: intent.id.to_string(), address, locale, zone };
    let message = Message::email(TemplateKey::PaymentReceipt, recipient, variables).once(format!("receipt:{}:{}", job.intent, job.version));
    notifications::send(tx, workspace, message).await?;
    Ok(())
}
