//! The jobs that deliver: load, hand over, record. Safe to run twice: a mail carries the same Message-ID and a webhook the
//! same webhook-id at every attempt, and the outcome is recorded in the commit that marks the job done.

use std::time::{Duration, Instant};

use kernel::{Caller, WorkspaceId};
use outbox::{Job, JobContext, JobError, Went};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Tx, params};

use crate::channels::Channels;
use crate::endpoint::{AttemptId, AttemptOutcome, EndpointId, FAILING_MAX, retry_wait};
use crate::error::NotificationError;
use crate::events::EndpointDisabled;
use crate::http_client::Outcome;
use crate::mail::{self, Draft, Mail};
use crate::message::{Attachment, Lane, MessageId, MessageState};
use crate::queries::{self, Delivery, Waiting};
use crate::signature::{Secret, sign};
use crate::smtp::SmtpError;
use crate::sql;
use crate::template::{Rendered, TemplateKey};

/// Our own schedules decide when to stop, because waiting for a free slot is not an attempt.
const ATTEMPTS_MAX: u32 = 1_000_000;

/// Sends a message by email.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendEmail {
    /// The message.
    pub message: MessageId,
}

impl Job for SendEmail {
    const NAME: &'static str = "notifications.send_email";
    const LANE: &'static str = "email";
    const ATTEMPTS_MAX: u32 = ATTEMPTS_MAX;
    const TIMEOUT: Duration = Duration::from_secs(240);

    fn key(&self) -> String {
        self.message.to_string()
    }
}

/// Sends a message by email, in a lane of its own: somebody waits for it at the screen.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SendUrgentEmail {
    /// The message.
    pub message: MessageId,
}

impl Job for SendUrgentEmail {
    const NAME: &'static str = "notifications.send_urgent_email";
    const LANE: &'static str = "email_urgent";
    const ATTEMPTS_MAX: u32 = ATTEMPTS_MAX;
    const TIMEOUT: Duration = Duration::from_secs(240);

    fn key(&self) -> String {
        self.message.to_string()
    }
}

/// Delivers an event to an endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliverWebhook {
    /// The event, which is the `webhook-id`.
    pub event: String,
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Makes a replay a job of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<MessageId>,
}

impl Job for DeliverWebhook {
    const NAME: &'static str = "notifications.deliver_webhook";
    const LANE: &'static str = "webhook";
    const ATTEMPTS_MAX: u32 = ATTEMPTS_MAX;
    const TIMEOUT: Duration = Duration::from_secs(30);
    const GROUP_RUNNING_MAX: usize = 4;

    fn key(&self) -> String {
        self.event.clone()
    }

    fn group(&self) -> Option<String> {
        Some(self.endpoint.to_string())
    }
}

/// Removes mails to and about an erased person that were kept in a folder, for want of a mail server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForgetKeptMails {
    /// Which.
    pub messages: Vec<MessageId>,
}

impl Job for ForgetKeptMails {
    const NAME: &'static str = "notifications.forget_kept_mails";
    const LANE: &'static str = "email";

    fn key(&self) -> String {
        self.messages.first().map(ToString::to_string).unwrap_or_default()
    }
}

/// Runs [`ForgetKeptMails`].
pub async fn forget_kept_mails(channels: Channels, job: ForgetKeptMails) -> Result<(), JobError> {
    channels.forget_kept(job.messages).await.map_err(|error| JobError::retry(format!("the folder of mails cannot be written: {error}")))
}

fn system() -> Caller {
    Caller::system("notifications")
}

/// Runs [`SendEmail`].
pub async fn send_email(channels: Channels, job: SendEmail, ctx: JobContext) -> Result<(), JobError> {
    run_email(&channels, job.message, Lane::Normal, ctx).await
}

/// Runs [`SendUrgentEmail`].
pub async fn send_urgent_email(channels: Channels, job: SendUrgentEmail, ctx: JobContext) -> Result<(), JobError> {
    run_email(&channels, job.message, Lane::Urgent, ctx).await
}

async fn run_email(channels: &Channels, id: MessageId, lane: Lane, ctx: JobContext) -> Result<(), JobError> {
    let workspace = ctx.workspace();
    let found = queries::waiting(&mut ctx.store().read(), workspace, id).await?;
    let Some((waiting, attachments)) = found else { return Ok(()) };
    let (rendered, mail) = match word(channels, &ctx, workspace, id, &waiting, &attachments).await {
        Ok(worded) => worded,
        Err(NotificationError::Store(error)) => return Err(error.into()),
        Err(error) => return finish_message(ctx, id, MessageState::Failed, Some(error.to_string())).await,
    };
    let name = crate::commands::lane_name(lane);
    let slot = channels.mail_gate().enter(name).map_err(|wait| JobError::retry_after("the mail server is left alone for a while", wait))?;
    let began = Instant::now();
    let names = attachments.iter().map(|a| a.name.clone()).collect();
    let sent = channels.send_mail(id, &mail, &rendered, names).await;
    let is_ill = sent.as_ref().is_err_and(SmtpError::is_ill);
    slot.done(if is_ill { Went::Ill } else { Went::Well }, began.elapsed());
    metrics::histogram!("notifications_email_seconds").record(began.elapsed().as_secs_f64());
    let error = match sent {
        Ok(()) => return finish_message(ctx, id, MessageState::Sent, None).await,
        Err(error) => error,
    };
    let age = ctx.store().clock().now().since(waiting.created_at);
    match email_wait(lane, waiting.attempts + 1, age) {
        Some(wait) if !error.is_permanent() => {
            put_message_off(&ctx, id, error.to_string()).await?;
            metrics::counter!("notifications_email_total", "outcome" => "retried").increment(1);
            // The server's words may repeat an address: they stay in the message's own row.
            Err(JobError::retry_after("the mail server did not take the message", wait))
        }
        _ => finish_message(ctx, id, MessageState::Failed, Some(error.to_string())).await,
    }
}

/// How long to wait after `made` attempts of a message of this age; none when it is given up. A sign-in link that is twenty
/// minutes late is of no use.
fn email_wait(lane: Lane, made: i64, age: Duration) -> Option<Duration> {
    const URGENT_S: [u64; 5] = [1, 3, 10, 20, 40];
    const NORMAL_S: [u64; 7] = [5, 30, 120, 600, 1_800, 7_200, 14_400];
    let (waits, age_max): (&[u64], _) = match lane {
        Lane::Urgent => (&URGENT_S, Duration::from_secs(20 * 60)),
        Lane::Normal => (&NORMAL_S, Duration::from_secs(3 * 24 * 3600)),
    };
    let index = usize::try_from(made.max(1) - 1).unwrap_or(usize::MAX).min(waits.len() - 1);
    (age < age_max).then(|| Duration::from_secs(waits[index]))
}

/// Words the mail: the workspace's own wording, or the built-in one should that fail with these variables.
async fn word(
    channels: &Channels,
    ctx: &JobContext,
    workspace: WorkspaceId,
    id: MessageId,
    waiting: &Waiting,
    attachments: &[Attachment],
) -> Result<(Rendered, Mail), NotificationError> {
    let key = TemplateKey::parse(&waiting.template).ok_or(NotificationError::NotFound { what: "template" })?;
    let (language, version, source) = queries::template(&mut ctx.store().read(), workspace, key, &waiting.locale).await?;
    let rendered = match source.render(key, language, &waiting.variables) {
        Err(error) if version > 0 => {
            tracing::warn!(%workspace, template = %key, version, %error, "a workspace's wording cannot be rendered; the built-in one is used");
            let (language, built_in) = key.built_in(&waiting.locale);
            built_in.render(key, language, &waiting.variables)?
        }
        rendered => rendered?,
    };
    let (to, reply_to) = (waiting.address.as_str(), waiting.reply_to.as_deref());
    let mail = mail::build(channels.sender(), &Draft { id, to, reply_to, rendered: &rendered, attachments, at: waiting.created_at })?;
    Ok((rendered, mail))
}

/// Records how a message ended, in the commit that marks the job done. What it said is not kept once it is sent.
async fn finish_message(ctx: JobContext, id: MessageId, state: MessageState, reason: Option<String>) -> Result<(), JobError> {
    let workspace = ctx.workspace();
    metrics::counter!("notifications_email_total", "outcome" => state.as_str()).increment(1);
    ctx.write((workspace, id, state, reason), |tx, (workspace, id, state, reason)| {
        Box::pin(async move {
            let now = tx.now();
            tx.execute(&sql::FINISH_MESSAGE, params![workspace, id, state.as_str(), reason, now]).await?;
            tx.execute(&sql::DELETE_ATTACHMENTS, params![workspace, id]).await?;
            Ok::<_, NotificationError>(())
        })
    })
    .await?;
    Ok(())
}

async fn put_message_off(ctx: &JobContext, id: MessageId, reason: String) -> Result<(), NotificationError> {
    let input = (ctx.workspace(), id, reason);
    let caller = system();
    let write = ctx.store().write(&caller, input, |tx, (workspace, id, reason)| {
        Box::pin(async move {
            tx.execute(&sql::PUT_MESSAGE_OFF, params![workspace, id, reason]).await?;
            Ok::<_, NotificationError>(())
        })
    });
    write.await
}

/// What an attempt came to, to be recorded.
#[derive(Debug, Clone)]
struct Made {
    workspace: WorkspaceId,
    endpoint: EndpointId,
    event: String,
    job: String,
    outcome: AttemptOutcome,
    status: Option<i64>,
    took_ms: i64,
    answer: String,
    /// The endpoint was failing when the attempt began.
    failing_since: Option<kernel::Timestamp>,
    is_gone: bool,
}

/// Runs [`DeliverWebhook`].
pub async fn deliver_webhook(channels: Channels, job: DeliverWebhook, ctx: JobContext) -> Result<(), JobError> {
    let workspace = ctx.workspace();
    // No delivery: the endpoint was removed or disabled, or the event erased, since this job was appended.
    let found = queries::delivery(&mut ctx.store().read(), workspace, job.endpoint, &job.event).await?;
    let Some(delivery) = found else { return Ok(()) };
    let secrets = secrets(&ctx, job.endpoint, &delivery)?;
    let name = job.endpoint.to_string();
    let slot = channels.webhook_gate().enter(&name).map_err(|wait| JobError::retry_after("the endpoint has no free slot", wait))?;
    let now = ctx.store().clock().now();
    let body = delivery.body.into_bytes();
    let headers = [
        ("webhook-id", job.event.clone()),
        ("webhook-timestamp", now.as_seconds().to_string()),
        ("webhook-signature", sign(&secrets, &job.event, now, &body)),
    ];
    let began = Instant::now();
    let outcome = channels.webhooks().post(&delivery.url, &headers, body.into(), now).await;
    let took = began.elapsed();
    slot.done(health(&outcome), took);
    metrics::histogram!("notifications_webhook_seconds").record(took.as_secs_f64());
    let verdict = judge(&outcome);
    let (status, answer) = match outcome {
        Outcome::Answered { status, snippet, .. } => (Some(i64::from(status)), snippet),
        Outcome::Failed { reason, .. } => (None, reason),
    };
    let job_id = ctx.job_id().to_string();
    let mut made = Made {
        workspace,
        endpoint: job.endpoint,
        event: job.event,
        job: job_id,
        outcome: AttemptOutcome::Delivered,
        status,
        took_ms: i64::try_from(took.as_millis()).unwrap_or(i64::MAX),
        answer,
        failing_since: delivery.failing_since,
        is_gone: matches!(verdict, Verdict::Gone),
    };
    let wait = match verdict {
        Verdict::Delivered => None,
        Verdict::Gone => {
            made.outcome = AttemptOutcome::GivenUp;
            None
        }
        Verdict::Failed { retry_after } => {
            let earlier = if ctx.attempt() > 1 { attempts_made(&ctx, &made).await? } else { 0 };
            let wait = retry_wait(earlier + 1).map(|wait| jittered(&ctx, wait).max(retry_after.unwrap_or_default()));
            made.outcome = if wait.is_some() { AttemptOutcome::Retried } else { AttemptOutcome::GivenUp };
            wait
        }
    };
    metrics::counter!("notifications_webhook_total", "outcome" => made.outcome.as_str()).increment(1);
    match wait {
        None => Ok(ctx.write(made, |tx, made| Box::pin(record(tx, made))).await?),
        Some(wait) => {
            let reason = format!("the endpoint answered {}", made.status.map_or_else(|| "nothing".to_owned(), |status| status.to_string()));
            ctx.store().write(&system(), made, |tx, made| Box::pin(record(tx, made))).await?;
            Err(JobError::retry_after(reason, wait))
        }
    }
}

/// The secrets that sign: the current one, and the one before while it is still valid.
fn secrets(ctx: &JobContext, endpoint: EndpointId, delivery: &Delivery) -> Result<Vec<Secret>, JobError> {
    let (vault, purpose) = (ctx.store().vault(), endpoint.to_string());
    let open = |sealed: &[u8]| -> Result<Secret, JobError> {
        let bytes = vault.open(sealed, &purpose)?;
        Secret::from_bytes(bytes).ok_or_else(|| JobError::give_up("the endpoint's secret has a wrong length"))
    };
    let mut secrets = vec![open(&delivery.secret)?];
    let is_valid = delivery.previous_until.is_some_and(|until| ctx.store().clock().now() < until);
    if let Some(previous) = delivery.previous_secret.as_ref().filter(|_| is_valid) {
        secrets.push(open(previous)?);
    }
    Ok(secrets)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Delivered,
    Failed { retry_after: Option<Duration> },
    Gone,
}

/// What an answer means by the specification: 2xx is success, 410 ends the endpoint, everything else (3xx too) is repeated.
fn judge(outcome: &Outcome) -> Verdict {
    match outcome {
        Outcome::Answered { status: 200..300, .. } => Verdict::Delivered,
        Outcome::Answered { status: 410, .. } => Verdict::Gone,
        Outcome::Answered { retry_after, .. } => Verdict::Failed { retry_after: *retry_after },
        Outcome::Failed { .. } => Verdict::Failed { retry_after: None },
    }
}

/// Whether the endpoint is in trouble: silent, or saying so. One that refuses quickly costs nobody a slot.
fn health(outcome: &Outcome) -> Went {
    match outcome {
        Outcome::Answered { status: 429 | 500.., .. } => Went::Ill,
        Outcome::Failed { is_refused: false, .. } => Went::Ill,
        _ => Went::Well,
    }
}

/// A tenth either way, so that what failed together does not come back together.
fn jittered(ctx: &JobContext, wait: Duration) -> Duration {
    let percent = 90 + ctx.store().entropy().below(21);
    wait * u32::try_from(percent).unwrap_or(100) / 100
}

async fn attempts_made(ctx: &JobContext, made: &Made) -> Result<u32, JobError> {
    use store::Reads as _;
    let count =
        ctx.store().read().row(&sql::COUNT_ATTEMPTS, params![made.workspace, made.event, made.job], |row| row.get::<i64>(0)).await?;
    Ok(u32::try_from(count.unwrap_or(0)).unwrap_or(u32::MAX))
}

/// Records an attempt and what it says about its endpoint.
async fn record(tx: &mut Tx, made: Made) -> Result<(), NotificationError> {
    let (id, now): (AttemptId, _) = (tx.new_id(), tx.now());
    let Made { workspace, endpoint, .. } = made;
    let (outcome, status, took_ms) = (made.outcome.as_str(), made.status, made.took_ms);
    tx.execute(&sql::INSERT_ATTEMPT, params![id, workspace, endpoint, made.event, made.job, outcome, status, took_ms, made.answer, now])
        .await?;
    match (made.outcome, made.failing_since) {
        (AttemptOutcome::Delivered, None) => {}
        (AttemptOutcome::Delivered, Some(_)) => {
            tx.execute(&sql::ENDPOINT_DID_WELL, params![workspace, endpoint]).await?;
        }
        _ if made.is_gone => disable(tx, workspace, endpoint, "gone").await?,
        (_, Some(since)) if now.since(since) >= FAILING_MAX => disable(tx, workspace, endpoint, "failing").await?,
        (_, Some(_)) => {}
        (_, None) => {
            tx.execute(&sql::ENDPOINT_FAILED, params![workspace, endpoint, now]).await?;
        }
    }
    Ok(())
}

async fn disable(tx: &mut Tx, workspace: WorkspaceId, endpoint: EndpointId, reason: &str) -> Result<(), NotificationError> {
    let at = tx.now();
    if tx.execute(&sql::DISABLE_ENDPOINT, params![workspace, endpoint, reason, at]).await? > 0 {
        outbox::publish(tx, workspace, &EndpointDisabled { endpoint, reason: reason.to_owned(), at }).await?;
        outbox::audit(tx, workspace, "webhook.disabled", &endpoint.to_string(), &json!({ "reason": reason })).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16) -> Outcome {
        Outcome::Answered { status, retry_after: None, snippet: String::new() }
    }

    #[test]
    fn an_answer_means_what_the_specification_says() {
        for status in [200, 201, 204, 299] {
            assert_eq!(judge(&answered(status)), Verdict::Delivered, "{status}");
        }
        for status in [301, 302, 307, 400, 404, 429, 500, 502, 503, 504] {
            assert_eq!(judge(&answered(status)), Verdict::Failed { retry_after: None }, "{status}");
        }
        assert_eq!(judge(&answered(410)), Verdict::Gone);
        assert_eq!(health(&answered(302)), Went::Well);
        assert_eq!(health(&answered(503)), Went::Ill);
    }

    #[test]
    fn a_sign_in_link_is_repeated_quickly_and_not_for_days() {
        assert_eq!(email_wait(Lane::Urgent, 1, Duration::ZERO), Some(Duration::from_secs(1)));
        assert_eq!(email_wait(Lane::Urgent, 9, Duration::from_secs(60)), Some(Duration::from_secs(40)));
        assert_eq!(email_wait(Lane::Urgent, 9, Duration::from_secs(1_200)), None);
        assert_eq!(email_wait(Lane::Normal, 99, Duration::from_secs(3_600)), Some(Duration::from_secs(14_400)));
        assert_eq!(email_wait(Lane::Normal, 99, Duration::from_secs(4 * 86_400)), None);
    }
}
