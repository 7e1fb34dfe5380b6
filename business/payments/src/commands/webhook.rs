//! Taking webhooks in, and applying what they say.

use std::fmt::Write as _;
use std::time::Duration;

use kernel::{Caller, Id as _, Money, WorkspaceId};
use sha2::{Digest as _, Sha256};
use store::{Reads as _, Store, Tx, params};

use super::record::{locked, record};
use crate::error::PaymentError;
use crate::intent::{AttemptState, Event, Intent, IntentId, Seen, StepState};
use crate::jobs::{Conduct, WorkWebhook, observed, step_of};
use crate::provider::{Notice, ProviderId, Trust, Webhook, WebhookError};
use crate::steps::Step;
use crate::webhook::WebhookId;
use crate::{fail, queries, sql};

static CALLER: Caller = Caller::system("payments.webhook");

/// Headers that are kept with a webhook.
const HEADERS_KEPT: usize = 60;

/// What became of a webhook at the door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is kept, and a job works it off.
    Kept,
    /// There is no such address.
    Unknown,
    /// It is not what it says it is.
    Refused(WebhookError),
}

/// Takes a webhook in: checked as far as that is possible without asking anybody, card numbers taken out, kept, answered.
pub async fn take_webhook(store: &Store, token: &str, headers: Vec<(String, String)>, body: Vec<u8>) -> Result<Taken, PaymentError> {
    let found = queries::provider_of_token_everywhere(&mut store.read(), token).await?;
    let Some(provider) = found else { return Ok(Taken::Unknown) };
    let trust = provider.dialect.provider().abilities().trust;
    if let Err(error) = provider.check(store.vault(), Webhook { headers: &headers, body: &body }, store.clock().now())? {
        metrics::counter!("payments_webhooks_refused_total", "provider" => provider.dialect.as_str()).increment(1);
        return Ok(Taken::Refused(error));
    }
    let digest = Sha256::digest(&body).iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    let headers: Vec<(String, String)> = headers
        .into_iter()
        .filter(|(name, _)| name != "authorization" && name != "cookie")
        .take(HEADERS_KEPT)
        .map(|(name, value)| (name, gateway::card_numbers::redact(&value).into_owned()))
        .collect();
    let content_type = headers.iter().find(|(name, _)| name == "content-type").map_or("application/json", |(_, value)| value.as_str());
    let body = gateway::card_numbers::redact_body(content_type, &body).into_owned();
    let headers = serde_json::to_string(&headers).map_err(store::StoreError::decode)?;
    fail::at("webhook", "checked");
    let input = (provider.workspace, provider.id, trust, digest, headers, body);
    store
        .write(&CALLER, input, |tx, (workspace, provider, trust, digest, headers, body)| {
            Box::pin(async move { keep(tx, workspace, provider, trust, &digest, &headers, &body).await })
        })
        .await?;
    fail::at("webhook", "kept");
    Ok(Taken::Kept)
}

async fn keep(
    tx: &mut Tx,
    workspace: WorkspaceId,
    provider: ProviderId,
    trust: Trust,
    digest: &str,
    headers: &str,
    body: &[u8],
) -> Result<(), PaymentError> {
    let (id, now): (WebhookId, _) = (tx.new_id(), tx.now());
    let word = match trust {
        Trust::Signed => "signed",
        Trust::CheckedLater => "checked_later",
        Trust::Hint => "hint",
    };
    if tx.execute(&sql::INSERT_WEBHOOK, params![&workspace, &id, &provider, digest, now, headers, body, word]).await? == 1 {
        outbox::enqueue(tx, workspace, &WorkWebhook { webhook: id }).await?;
        fail::at("webhook", "keeping");
        return Ok(());
    }
    // The same one again: counted. A hint only says that something changed, so that it causes another look.
    tx.execute_later(&sql::COUNT_WEBHOOK, params![&workspace, &provider, digest]).await?;
    if trust != Trust::Signed {
        let known = tx.row(&sql::FIND_WEBHOOK_ID, params![&workspace, &provider, digest], |row| row.id::<WebhookId>("id")).await?;
        if let Some(webhook) = known {
            outbox::enqueue(tx, workspace, &WorkWebhook { webhook }).await?;
        }
    }
    Ok(())
}

/// What became of one thing that a webhook says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Applied {
    /// Nothing here is meant.
    Nothing,
    /// It names two things at once, so that nobody knows which of them is meant: it is applied to neither.
    Contradicts {
        /// For operators.
        why: String,
    },
    /// This is what happened; nothing yet where the provider is asked.
    Events(Vec<Event>),
}

/// What a name of a notice is about: its owner, and what of it.
type Named = Option<(String, String)>;

/// Who is meant by our name and by the provider's; an error where they are not the same.
async fn meant(tx: &mut Tx, workspace: WorkspaceId, provider: ProviderId, notice: &Notice) -> Result<Result<Named, String>, PaymentError> {
    let (mut ours, mut theirs) = (None, None);
    if let Some(reference) = &notice.reference {
        ours = queries::by_reference(tx, workspace, None, reference).await?;
    }
    let names = [&notice.provider_ref, &notice.observation.charge_ref];
    for reference in names.into_iter().flatten() {
        theirs = match theirs {
            None => queries::by_reference(tx, workspace, Some(provider), reference).await?,
            known => known,
        };
    }
    Ok(match (ours, theirs) {
        (Some((owner, _)), Some((other, _))) if owner != other => {
            Err(format!("our reference is that of {owner}, the provider's is that of {other}: applied to neither"))
        }
        (ours, theirs) => Ok(ours.or(theirs)),
    })
}

/// Applies one thing that a webhook of `provider` says: at once where it is trusted, else by asking.
pub(crate) async fn apply(
    tx: &mut Tx,
    workspace: WorkspaceId,
    provider: ProviderId,
    notice: &Notice,
    is_trusted: bool,
) -> Result<Applied, PaymentError> {
    let (owner, subject) = match meant(tx, workspace, provider, notice).await? {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(Applied::Nothing),
        Err(why) => {
            metrics::counter!("payments_webhooks_contradictory_total").increment(1);
            tracing::warn!(%provider, why, "a webhook names two payments");
            return Ok(Applied::Contradicts { why });
        }
    };
    let Ok(id) = IntentId::parse(&owner) else {
        let is_ours = super::apply_to_payout(tx, workspace, provider, &owner, notice, is_trusted).await?;
        return Ok(if is_ours { Applied::Events(Vec::new()) } else { Applied::Nothing });
    };
    let intent = locked(tx, workspace, id).await?;
    let Some(mut step) = step_of(&intent, &subject) else { return Ok(Applied::Nothing) };
    let attempt = step.attempt(&intent).and_then(|id| intent.attempt(id));
    // One provider's word says nothing about what is at another.
    let Some(attempt) = attempt.filter(|attempt| attempt.provider == provider).cloned() else { return Ok(Applied::Nothing) };
    let seen = &notice.observation.seen;
    // A dispute is about the charge, whatever of it was named.
    let is_dispute = matches!(seen, Seen::Disputed { .. });
    if is_dispute {
        step = Step::Attempt(attempt.id);
    }
    let asks = !is_trusted
        || notice.observation.seen == Seen::Changed
        || matches!(notice.observation.seen, Seen::Approved | Seen::Succeeded { amount: None, .. })
            && !matches!(step, Step::Refund(_) | Step::Capture(..))
        // Word of its beginning that comes after its end: only the provider knows which of them counts.
        || matches!(notice.observation.seen, Seen::Authorized { .. })
            && matches!(attempt.state, AttemptState::Declined { .. } | AttemptState::Expired)
        // Word of a refund that is told otherwise here already: which of them came last is not to be seen.
        || matches!(step, Step::Refund(id) if intent.refund(id).is_some_and(|refund| refund.state.is_final()))
            && !observed(&intent, step, &notice.observation).is_empty()
        // What is not as it was asked for is kept apart, or released, for good: that takes the provider's answer.
        || amount_of(seen).is_some_and(|amount| asked(&intent, step).is_some_and(|asked| asked != amount))
        // So does more money for what was paid before.
        || matches!(step, Step::Attempt(_)) && attempt.has_brought_money() && !is_dispute
            && !observed(&intent, step, &notice.observation).is_empty();
    if asks {
        let charge = notice.provider_ref.clone().filter(|_| attempt.dialect.tells_charges_apart() && attempt.has_brought_money());
        let charge = charge.filter(|name| attempt.provider_ref.as_ref() != Some(name));
        outbox::enqueue(tx, workspace, &Conduct { intent: id, step, times: 0, is_extra: true, charge }).await?;
        return Ok(Applied::Events(Vec::new()));
    }
    let mut events = observed(&intent, step, &notice.observation);
    // Word of an authorization's release may come before the answer to our own request; late word of something else says nothing of it.
    let is_release = matches!(notice.observation.seen, Seen::Voided | Seen::Expired);
    if events.is_empty() && is_release && attempt.void.as_ref().is_some_and(|state| !state.is_final() && *state != StepState::Requested) {
        events = observed(&intent, Step::Void(attempt.id), &notice.observation);
    }
    record(tx, workspace, Some(intent), events.clone()).await?;
    Ok(Applied::Events(events))
}

/// How much a step is about.
fn asked(intent: &Intent, step: Step) -> Option<Money> {
    match step {
        Step::Capture(_, id) => intent.capture(id).map(|(_, capture)| Money::new(capture.amount_minor, intent.amount.currency)),
        Step::Refund(id) => intent.refund(id).map(|refund| Money::new(refund.amount_minor, refund.currency)),
        Step::Attempt(_) | Step::Close(_) | Step::Void(_) => Some(intent.amount),
    }
}

/// How much was paid or set aside, where that is said.
const fn amount_of(seen: &Seen) -> Option<Money> {
    match seen {
        Seen::Authorized { amount } => Some(*amount),
        Seen::Succeeded { amount, .. } => *amount,
        _ => None,
    }
}

/// How long webhooks are kept, for operators to look at.
const KEPT: Duration = Duration::from_secs(90 * 86_400);

/// Deletes up to 500 webhooks that have had their time; says how many.
pub async fn sweep_everywhere(tx: &mut Tx) -> Result<u64, PaymentError> {
    let before = tx.now().minus(KEPT);
    Ok(tx.execute(&sql::SWEEP_WEBHOOKS_EVERYWHERE, params![before]).await?)
}

/// Says what became of a webhook.
pub(crate) async fn settle_webhook(
    tx: &mut Tx,
    workspace: WorkspaceId,
    id: WebhookId,
    state: &str,
    note: Option<String>,
) -> Result<(), PaymentError> {
    let now = tx.now();
    tx.execute_later(&sql::SETTLE_WEBHOOK, params![&workspace, &id, state, note, now]).await?;
    Ok(())
}
