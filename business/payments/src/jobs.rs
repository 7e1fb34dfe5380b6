//! The jobs that speak to providers: mark, ask or send, record. Safe to run twice: what was sent before is asked for first.

pub mod settlement;

mod payout;

use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Caller, Id as _, WorkspaceId};
use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};
use store::Tx;

use crate::client::Client;
use crate::commands::{self, Applied, locked, record};
use crate::error::PaymentError;
use crate::health::{FailureKind, Health, Operation, Permit};
use crate::intent::{Event, Intent, IntentId, Observation, Seen, StepState};
use crate::looks::{self, Leave};
use crate::provider::{Account, Done, ErrorClass, Failure, Order, Payer, Provider, ProviderId, Question, Told};
use crate::steps::{DAILY_FROM, Need, Step, Surroundings, pause};
use crate::webhook::WebhookId;
use crate::{fail, queries, steps};

pub use payout::{CompareFloat, ConductPayout, ConfirmPayout, compare_float, conduct_payout, confirm_payout};

static SENDER: Caller = Caller::system("payments.send");

/// What the jobs need.
#[derive(Clone)]
pub struct Engine {
    /// Conversations with providers.
    pub client: Client,
    /// How the providers do.
    pub health: Health,
    /// Where this installation is reached, without a slash at the end.
    pub public_url: Arc<str>,
}

/// Does one thing at a provider, or learns how it stands, until nothing is left to be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conduct {
    /// Of this intent.
    pub intent: IntentId,
    /// The thing.
    pub step: Step,
    /// How often it was looked at before.
    pub times: u32,
    /// Somebody hinted that it changed: one more look, beside those that follow each other.
    #[serde(default)]
    pub is_extra: bool,
    /// The provider's name for the charge that was hinted at, where it is not the attempt's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charge: Option<String>,
}

impl Job for Conduct {
    const NAME: &'static str = "payments.conduct";
    const LANE: &'static str = "payments";
    const TIMEOUT: Duration = Duration::from_secs(90);
    // Waiting for a provider that has enough to do is no attempt.
    const ATTEMPTS_MAX: u32 = 1_000_000;
    // Whatever it is about is not to be forgotten for hours because the database did not answer once.
    const PAUSE_MAX: Duration = Duration::from_secs(60);

    fn key(&self) -> String {
        self.intent.to_string()
    }
}

/// Ends an intent whose time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpireIntent {
    /// Which.
    pub intent: IntentId,
}

impl Job for ExpireIntent {
    const NAME: &'static str = "payments.expire_intent";
    const LANE: &'static str = "payments_local";

    fn key(&self) -> String {
        self.intent.to_string()
    }
}

/// Works a webhook off.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkWebhook {
    /// Which.
    pub webhook: WebhookId,
}

impl Job for WorkWebhook {
    const NAME: &'static str = "payments.work_webhook";
    const LANE: &'static str = "payments_webhooks";

    fn key(&self) -> String {
        self.webhook.to_string()
    }
}

/// How a conversation ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The provider answered.
    Done(Done),
    /// It says that it knows nothing of it.
    NotFound,
    /// It did not end well.
    Failed(Failure),
}

impl Outcome {
    /// Whether the provider says that a step which was sent has had no effect.
    const fn was_not_done(&self, step: Step) -> bool {
        match self {
            Self::NotFound => true,
            Self::Done(Done::Observed(Observation { seen: Seen::Authorized { .. }, .. })) => matches!(step, Step::Void(_)),
            _ => false,
        }
    }
}

/// The adapter and the account of a provider, opened for a conversation.
pub(crate) async fn opened(context: &JobContext, id: ProviderId) -> Result<(&'static dyn Provider, Account, String), JobError> {
    let provider = queries::find_provider(&mut context.store().read(), context.workspace(), id).await?;
    let provider = provider.ok_or_else(|| JobError::give_up("the provider is not there"))?;
    let account = provider.open(context.store().vault())?;
    Ok((provider.dialect.provider(), account, provider.token))
}

/// Runs [`Conduct`].
pub async fn conduct(engine: Engine, job: Conduct, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    let mut reads = context.store().read();
    let Some(intent) = queries::find(&mut reads, workspace, job.intent).await? else { return Ok(()) };
    let Some(attempt) = job.step.attempt(&intent).and_then(|id| intent.attempt(id)) else { return Ok(()) };
    let now = context.store().clock().now();
    if job.is_extra {
        match looks::leave((job.intent, job.step, job.charge.clone()), context.attempt() > 1, now) {
            Leave::Go => {}
            Leave::Wait(pause) => return Err(JobError::retry_after("it was looked at a moment ago", pause)),
            Leave::Drop => return Ok(()),
        }
    }
    let (adapter, account, token) = opened(&context, attempt.provider).await?;
    let abilities = adapter.abilities();
    let around = Surroundings {
        payer: match job.step {
            Step::Attempt(_) => queries::payer(&mut reads, workspace, job.intent).await?,
            _ => Payer::default(),
        },
        return_url: format!("{}/pay/{}/back", engine.public_url, intent.id),
        webhook_url: format!("{}/v1/payments/webhooks/{token}", engine.public_url),
    };
    let need = match job.step.need(&intent, &around, &abilities, false, now) {
        Need::Nothing if job.is_extra => job.step.look(&intent, job.charge.as_deref()).map_or(Need::Nothing, Need::Ask),
        need => need,
    };
    let outcome = match need {
        Need::Nothing => return Ok(()),
        Need::Send(order) => match engine.health.enter(account.id, Operation::of(&order)) {
            Ok(permit) => {
                if !mark(&context, &job).await? {
                    return Err(JobError::retry_after("it changed meanwhile", Duration::from_millis(200)));
                }
                fail::at(fail::word(job.step), "marked");
                through(permit, send(&engine, adapter, &account, &order)).await
            }
            // Nothing was sent, so that another provider may be tried; who only has much to do is waited for.
            Err(_) if matches!(job.step, Step::Attempt(_)) && !engine.health.is_healthy(account.id) => {
                Outcome::Failed(Failure::Refused { class: ErrorClass::ProviderDown, code: "left_alone".to_owned() })
            }
            Err(busy) => return Err(JobError::retry_after(busy.to_string(), busy.retry_after)),
        },
        Need::SendAgain(order) => again(&engine, adapter, &account, &order).await?,
        Need::Ask(question) => {
            match through(entered(&engine, account.id, Operation::Ask)?, ask(&engine, adapter, &account, &question)).await {
                // What is still authorized was not released: that bears repeating, too.
                outcome if outcome.was_not_done(job.step) => match job.step.need(&intent, &around, &abilities, true, now) {
                    Need::SendAgain(order) => again(&engine, adapter, &account, &order).await?,
                    _ => Outcome::NotFound,
                },
                // The payer agreed to what nobody waits for any more: it is not taken.
                Outcome::Done(Done::Observed(Observation { seen: Seen::Approved, .. }))
                    if !intent.is_wanted() || attempt.has_brought_money() =>
                {
                    Outcome::NotFound
                }
                // The payer agreed on the provider's page; the rest is for us to do, and bears repeating.
                Outcome::Done(Done::Observed(Observation { seen: Seen::Approved, provider_ref, .. })) => {
                    let provider_ref = provider_ref.or_else(|| attempt.provider_ref.clone()).unwrap_or_default();
                    let reference = attempt.id.to_string();
                    let order = Order::Complete { reference, provider_ref, capture_method: intent.capture_method };
                    again(&engine, adapter, &account, &order).await?
                }
                outcome => outcome,
            }
        }
    };
    let point = fail::word(job.step);
    fail::at(point, "answered");
    let health = engine.health.clone();
    let events = context
        .write((workspace, job, outcome, health), |tx, (workspace, job, outcome, health)| {
            Box::pin(async move { finish(tx, workspace, &job, outcome, &health).await })
        })
        .await?;
    fail::at(point, "recorded");
    engine.learn(account.id, &events);
    Ok(())
}

impl Engine {
    /// Takes what happened at a provider into account when the next payment is routed.
    fn learn(&self, provider: ProviderId, events: &[Event]) {
        for event in events {
            match event {
                Event::Charged { .. } | Event::Authorized { .. } => self.health.paid(provider),
                Event::AttemptDeclined { class, .. } => self.health.declined(provider, *class),
                _ => {}
            }
        }
    }
}

/// Leave to call, or the pause until it may be asked for again.
fn entered(engine: &Engine, provider: ProviderId, operation: Operation) -> Result<Permit, JobError> {
    engine.health.enter(provider, operation).map_err(|busy| JobError::retry_after(busy.to_string(), busy.retry_after))
}

/// A conversation under a permit, which learns how it went.
async fn through(permit: Permit, conversation: impl Future<Output = Outcome>) -> Outcome {
    let began = Instant::now();
    let outcome = conversation.await;
    match &outcome {
        Outcome::Failed(failure) => permit.failed(FailureKind::of(failure)),
        _ => permit.succeeded(began.elapsed()),
    }
    outcome
}

async fn send(engine: &Engine, adapter: &dyn Provider, account: &Account, order: &Order) -> Outcome {
    match adapter.send(&engine.client, account, order).await {
        Ok(done) => Outcome::Done(done),
        Err(failure) => {
            tracing::info!(provider = %account.id, reason = %failure, "an order to a provider did not end well");
            Outcome::Failed(failure)
        }
    }
}

/// Sends what may have been sent before: that nothing came of it now proves nothing about then.
async fn again(engine: &Engine, adapter: &dyn Provider, account: &Account, order: &Order) -> Result<Outcome, JobError> {
    let permit = entered(engine, account.id, Operation::of(order))?;
    Ok(match through(permit, send(engine, adapter, account, order)).await {
        Outcome::Failed(Failure::NotSent { reason }) => Outcome::Failed(Failure::Unknown { reason }),
        Outcome::Failed(Failure::Refused { class, code }) if class.is_passing() => Outcome::Failed(Failure::Unknown { reason: code }),
        outcome => outcome,
    })
}

async fn ask(engine: &Engine, adapter: &dyn Provider, account: &Account, question: &Question) -> Outcome {
    match adapter.ask(&engine.client, account, question).await {
        Ok(Told::Observed(observation)) => Outcome::Done(Done::Observed(observation)),
        Ok(_) => Outcome::NotFound,
        // A question that was not answered says nothing about the thing.
        Err(failure) => {
            tracing::info!(provider = %account.id, reason = %failure, "a question to a provider was not answered");
            Outcome::Failed(Failure::unknown(failure.to_string()))
        }
    }
}

/// Marks the step as being sent, before the first byte leaves; false where another run was faster.
async fn mark(context: &JobContext, job: &Conduct) -> Result<bool, JobError> {
    let input = (context.workspace(), job.intent, job.step);
    let marked = context.store().write(&SENDER, input, |tx, (workspace, id, step)| {
        Box::pin(async move {
            let intent = locked(tx, workspace, id).await?;
            let Some(event) = step.sending(&intent) else { return Ok::<_, PaymentError>(false) };
            // What nobody waits for any more ends here instead.
            let is_sending = !matches!(event, Event::AttemptExpired { .. });
            record(tx, workspace, Some(intent), vec![event]).await?;
            Ok(is_sending)
        })
    });
    Ok(marked.await?)
}

/// How often what has ended here is asked about once more because a webhook was not explained: for some four hours.
const EXTRA_LOOKS_MAX: u32 = 12;

/// Records how a conversation ended, and says what that means of the attempt that it was about.
async fn finish(tx: &mut Tx, workspace: WorkspaceId, job: &Conduct, outcome: Outcome, health: &Health) -> Result<Vec<Event>, PaymentError> {
    let before = locked(tx, workspace, job.intent).await?;
    let is_told = matches!(outcome, Outcome::Done(_));
    let told = follows(&before, job.step, outcome);
    let mut events = told.clone();
    // What surely was not taken there is tried at the next provider, before the payer has seen anything.
    if let Some(class) = events.iter().find_map(|event| match event {
        Event::AttemptDeclined { class, .. } => Some(*class),
        _ => None,
    }) {
        let after = events.iter().fold(before.clone(), |intent, event| intent.after(event, tx.now()));
        // The payer who has begun elsewhere meanwhile stays there.
        if after.open_attempt().is_none() {
            events.extend(commands::next_attempt(tx, workspace, &after, class, health).await?);
        }
    }
    let after = record(tx, workspace, Some(before), events).await?;
    match after {
        Some(intent) if !job.is_extra => look_again(tx, workspace, &intent, job.step, job.times).await?,
        // Something has happened there, and it was not told what: nobody else would ask about what has ended here.
        Some(intent) if !is_told && !job.step.is_open(&intent) && job.times < EXTRA_LOOKS_MAX => {
            if let Some(wait) = pause(job.times, false) {
                let again = Conduct { times: job.times + 1, ..job.clone() };
                outbox::enqueue_at(tx, workspace, tx.now().plus(wait), &again).await?;
            }
        }
        _ => {}
    }
    fail::at(fail::word(job.step), "recording");
    Ok(told)
}

/// The events that follow from how a conversation ended.
pub fn follows(intent: &Intent, step: Step, outcome: Outcome) -> Vec<Event> {
    let observed = match outcome {
        // That proves nothing; but what was being sent when a process ended is not being sent any more.
        Outcome::NotFound => return failed(intent, step, &Failure::unknown("it is not known there")),
        Outcome::Failed(failure) => return failed(intent, step, &failure),
        Outcome::Done(Done::Page { provider_ref, url, expires_at }) => {
            let Step::Attempt(id) = step else { return Vec::new() };
            return intent.page_opened(id, provider_ref, url, expires_at);
        }
        Outcome::Done(Done::Observed(observed)) => observed,
    };
    match step {
        Step::Attempt(id) | Step::Close(id) => intent.observe_attempt(id, &observed),
        Step::Capture(attempt, id) => intent.observe_capture(attempt, id, &observed),
        Step::Void(id) => intent.observe_void(id, &observed),
        Step::Refund(id) => intent.observe_refund(id, &observed),
    }
}

fn failed(intent: &Intent, step: Step, failure: &Failure) -> Vec<Event> {
    let next = |state: &StepState| crate::intent::step_failed(state, failure).filter(|to| to != state);
    let attempt = step.attempt(intent).and_then(|id| intent.attempt(id));
    let event = match step {
        Step::Attempt(id) => return intent.attempt_failed(id, failure),
        // A page that could not be closed may still be paid: that is a surplus then.
        Step::Close(_) => None,
        Step::Capture(id, capture_id) => {
            let capture = attempt.and_then(|attempt| attempt.captures.iter().find(|capture| capture.id == capture_id));
            let to = capture.and_then(|capture| next(&capture.state));
            to.map(|to| Event::CaptureMoved { attempt: id, capture: capture_id, to, charge_ref: None })
        }
        Step::Void(id) => attempt.and_then(|attempt| next(attempt.void.as_ref()?)).map(|to| Event::VoidMoved { attempt: id, to }),
        Step::Refund(id) => {
            let to = intent.refund(id).and_then(|refund| next(&refund.state));
            to.map(|to| Event::RefundMoved { refund: id, to, provider_ref: None })
        }
    };
    event.into_iter().collect()
}

/// Has a step looked at again while something is to be learned about it.
pub(crate) async fn look_again(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, step: Step, times: u32) -> Result<(), PaymentError> {
    let is_open = step.is_open(intent) || times < DAILY_FROM && (step.is_declined_page(intent) || step.is_short(intent));
    if let Some(wait) = pause(times, step.waits_for_payer(intent)).filter(|_| is_open) {
        let due = tx.now().plus(wait);
        outbox::enqueue_at(tx, workspace, due, &Conduct { intent: intent.id, step, times: times + 1, is_extra: false, charge: None })
            .await?;
    }
    Ok(())
}

/// Runs [`ExpireIntent`].
pub async fn expire_intent(job: ExpireIntent, context: JobContext) -> Result<(), JobError> {
    let input = (context.workspace(), job.intent);
    context.write(input, |tx, (workspace, intent)| Box::pin(commands::expire(tx, workspace, intent))).await
}

/// Runs [`WorkWebhook`].
pub async fn work_webhook(engine: Engine, job: WorkWebhook, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    let Some(webhook) = queries::webhook(&mut context.store().read(), workspace, job.webhook).await? else { return Ok(()) };
    if webhook.settled_at.is_some() && webhook.trust == "signed" {
        return Ok(());
    }
    let (adapter, account, _) = opened(&context, webhook.provider).await?;
    let is_trusted = match adapter.abilities().trust {
        crate::Trust::Signed => true,
        crate::Trust::Hint => false,
        crate::Trust::CheckedLater => {
            let question = Question::Genuine { headers: webhook.stored.headers.clone(), body: webhook.stored.body.clone() };
            match adapter.ask(&engine.client, &account, &question).await {
                Ok(Told::Genuine(is_genuine)) => is_genuine,
                Ok(_) => false,
                Err(failure) => return Err(JobError::retry(failure.to_string())),
            }
        }
    };
    fail::at("webhook", "read");
    let read = adapter.read(&account, webhook.stored.as_webhook());
    let input = (workspace, job.webhook, webhook.provider, read, is_trusted);
    let events = context
        .write(input, |tx, (workspace, webhook, provider, read, is_trusted)| {
            Box::pin(async move {
                let mut happened = Vec::new();
                let (state, note) = match read {
                    Err(error) => ("unreadable", Some(error.to_string())),
                    Ok(notices) => {
                        let (mut found, mut contradiction) = (0, None);
                        for notice in &notices {
                            match commands::apply(tx, workspace, provider, notice, is_trusted).await? {
                                Applied::Nothing => {}
                                Applied::Contradicts { why } => contradiction = Some(why),
                                Applied::Events(events) => {
                                    found += 1;
                                    happened.extend(events);
                                }
                            }
                        }
                        match (found, notices.len()) {
                            _ if contradiction.is_some() => ("refused", contradiction),
                            (0, 0) => ("ignored", Some("it is about nothing of ours".to_owned())),
                            (0, _) => ("ignored", Some("what it is about is not known here".to_owned())),
                            _ if is_trusted => ("applied", None),
                            _ => ("applied", Some("it could not be checked: the provider was asked instead".to_owned())),
                        }
                    }
                };
                commands::settle_webhook(tx, workspace, webhook, state, note).await?;
                fail::at("webhook", "applying");
                Ok::<_, PaymentError>(happened)
            })
        })
        .await?;
    fail::at("webhook", "applied");
    engine.learn(webhook.provider, &events);
    Ok(())
}

/// The step that a name of ours is about.
pub(crate) fn step_of(intent: &Intent, subject: &str) -> Option<steps::Step> {
    use crate::intent::{AttemptId, CaptureId, RefundId};
    if let Ok(id) = AttemptId::parse(subject) {
        return intent.attempt(id).map(|attempt| Step::Attempt(attempt.id));
    }
    if let Ok(id) = RefundId::parse(subject) {
        return intent.refund(id).map(|refund| Step::Refund(refund.id));
    }
    let id = CaptureId::parse(subject).ok()?;
    let attempt = intent.attempts.iter().find(|attempt| attempt.captures.iter().any(|capture| capture.id == id))?;
    Some(Step::Capture(attempt.id, id))
}

/// What follows from an observation of a step.
pub(crate) fn observed(intent: &Intent, step: Step, observation: &Observation) -> Vec<Event> {
    follows(intent, step, Outcome::Done(Done::Observed(observation.clone())))
}
