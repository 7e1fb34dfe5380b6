//! What follows a captured lead: its owner is told, and so are the workspace's webhooks.

use std::sync::Arc;

use kernel::{MemberId, WorkspaceId};
use notifications::{Message, TemplateKey};
use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::Tx;

use crate::events::{LeadCaptured, LeadChanged};
use crate::lead::{Lead, LeadId, Submission, SubmissionId};
use crate::{LeadError, queries};

/// The webhook event of a captured lead.
pub const LEAD_CAPTURED_EVENT: &str = "lead.captured";
/// The webhook event of a changed lead.
pub const LEAD_CHANGED_EVENT: &str = "lead.changed";
/// How many owners of the workspace are told in place of a member who has left.
const OWNERS_TOLD_MAX: usize = 5;

/// Tells the owner and the webhooks of what was left. It carries identifiers; the details are loaded when it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellOwner {
    /// The lead.
    pub lead: LeadId,
    /// What was left this time.
    pub submission: SubmissionId,
    /// Whose card or page it was; without, whoever looks after the lead is told.
    pub owner: Option<MemberId>,
}

impl Job for TellOwner {
    const NAME: &'static str = "leads.tell_owner";
    const LANE: &'static str = "leads";
    fn key(&self) -> String {
        self.lead.to_string()
    }
}

impl TellOwner {
    /// What follows a captured lead; nothing when it looks like the work of a program.
    pub fn after(fact: &LeadCaptured) -> Option<Self> {
        (!fact.suspected_spam).then_some(Self { lead: fact.lead, submission: fact.submission, owner: fact.owner })
    }
}

/// What the telling needs to know of the installation.
#[derive(Debug, Clone)]
pub struct TellDeps {
    /// The address of a lead's page up to its identifier, for example `https://tessera.example/leads/`.
    pub lead_page_url: Arc<str>,
}

/// Runs [`TellOwner`]: one unit, so that the mail and the webhooks are accepted once or not at all.
pub async fn tell_owner(deps: TellDeps, job: TellOwner, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    context
        .write((workspace, job, deps.lead_page_url), |tx, (workspace, job, page)| {
            Box::pin(async move { tell(tx, workspace, &job, &page).await })
        })
        .await
}

/// Hands what was left to notifications, in the unit of the caller. When the owner has left the workspace its owners are
/// told, so that nobody's details go unheard; of a person who was erased meanwhile nobody is told, and telling one
/// submission a second time changes nothing.
pub async fn tell(tx: &mut Tx, workspace: WorkspaceId, job: &TellOwner, lead_page_url: &str) -> Result<(), LeadError> {
    let Some(lead) = queries::find(tx, workspace, job.lead).await?.filter(|lead| lead.erased_at.is_none()) else { return Ok(()) };
    let Some(submission) = queries::submission(tx, workspace, job.submission).await? else { return Ok(()) };
    // Receivers see the submission's own identifier as the event's.
    let event = job.submission.to_string();
    notifications::emit(tx, workspace, LEAD_CAPTURED_EVENT, payload(&lead, &submission), &event).await?;
    let Some(member) = job.owner.or(lead.assigned_to) else { return Ok(()) };
    let recipients = match people::recipient(tx, workspace, member).await? {
        Some(recipient) => vec![recipient],
        None => people::owners(tx, workspace).await?.iter().take(OWNERS_TOLD_MAX).map(people::Member::recipient).collect(),
    };
    let workspace_name = people::queries::workspace(tx, workspace).await?.map(|workspace| workspace.name).unwrap_or_default();
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let variables = json!({
        "link": format!("{lead_page_url}{}", lead.id),
        "lead_name": text(&submission.name),
        "lead_email": text(&submission.email),
        "lead_phone": text(&submission.phone),
        "lead_company": text(&submission.company),
        "lead_message": text(&submission.message),
        "workspace_name": workspace_name,
    });
    for recipient in recipients {
        let once = format!("lead_captured:{}:{}", job.submission, recipient.id);
        let mut message = Message::email(TemplateKey::LeadCaptured, recipient, variables.clone()).once(once);
        // An address in another script may not be one that every mail server takes in a header; the mail shows it anyway.
        message.reply_to = submission.email.clone().filter(|email| email.is_ascii());
        notifications::send(tx, workspace, message).await?;
    }
    Ok(())
}

/// Tells the webhooks that a lead changed; with its state when the job runs, which may be a later one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TellChanged {
    /// The lead.
    pub lead: LeadId,
    /// The version that the change made.
    pub version: i64,
}

impl Job for TellChanged {
    const NAME: &'static str = "leads.tell_changed";
    const LANE: &'static str = "leads";
    fn key(&self) -> String {
        self.lead.to_string()
    }
}

impl TellChanged {
    /// What follows a changed lead.
    pub fn after(fact: &LeadChanged) -> Self {
        Self { lead: fact.lead, version: fact.version }
    }
}

/// Runs [`TellChanged`].
pub async fn tell_changed(job: TellChanged, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    context
        .write((workspace, job), |tx, (workspace, job)| {
            Box::pin(async move {
                let lead = queries::find(tx, workspace, job.lead).await?;
                let Some(lead) = lead.filter(|lead| lead.erased_at.is_none() && !lead.suspected_spam) else { return Ok(()) };
                let event = format!("{}-v{}", job.lead, job.version);
                notifications::emit(tx, workspace, LEAD_CHANGED_EVENT, changed_payload(&lead), &event).await?;
                Ok::<_, LeadError>(())
            })
        })
        .await
}

/// What was left, as webhooks get it. The consent is named by its version, so that the whole stays far below 20 kB.
fn payload(lead: &Lead, submission: &Submission) -> Value {
    json!({
        "id": lead.id,
        "version": lead.version,
        "status": lead.status,
        "again": lead.submissions > 1,
        "name": submission.name,
        "email": submission.email,
        "phone": submission.phone,
        "company": submission.company,
        "message": submission.message,
        "source": submission.source,
        "consent": submission.consent_version.map(|version| json!({ "version": version, "at": submission.at })),
        "assigned_to": lead.assigned_to,
        "tags": lead.tags,
        "submission": submission.id,
        "captured_at": submission.at,
    })
}

/// A lead as it stands, as webhooks get it.
fn changed_payload(lead: &Lead) -> Value {
    json!({
        "id": lead.id,
        "version": lead.version,
        "status": lead.status,
        "name": lead.name,
        "email": lead.email,
        "phone": lead.phone,
        "company": lead.company,
        "source": lead.source,
        "assigned_to": lead.assigned_to,
        "tags": lead.tags,
        "updated_at": lead.updated_at,
    })
}
