//! Asking for a payment, trying it at a provider, calling it off.

use kernel::{FieldFault, Money, Timestamp, WorkspaceId};
use risk::{Activity, ActivityKind, Verdict};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{Tx, params};

use super::record::{locked, record};
use crate::account::ProviderRecord;
use crate::error::PaymentError;
use crate::health::Health;
use crate::intent::{AttemptId, CaptureId, CaptureMethod, Event, Intent, IntentId, LinkId, NewIntent, RefundId, StepState};
use crate::provider::{ErrorClass, Payer, ProviderId};
use crate::routing::{self, NextStep, Nobody, Wanted};
use crate::settlement::Rules;
use crate::text;
use crate::{grants, queries, sql};

/// The account that money is for where nothing else is said.
pub const CREDIT_ACCOUNT: &str = "payments.received";

/// A payment that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewPayment {
    /// How much.
    pub amount: Money,
    /// When the money is taken.
    pub capture_method: CaptureMethod,
    /// Who pays, by an identifier that the module above understands; at most 120 bytes.
    pub customer: Option<String>,
    /// What for, as the payer reads it; at most 200 bytes.
    pub description: Option<String>,
    /// Where the payer is (ISO 3166-1 alpha-2).
    pub country: Option<String>,
    /// How they want to pay: small letters and underscores; at most 40 bytes.
    pub method: Option<String>,
    /// The link that it came from.
    pub link: Option<LinkId>,
    /// The beginning of the ledger account's code that the money is for; the currency follows.
    pub credit_account: Option<String>,
    /// Where the payer goes afterwards: an https address.
    pub return_url: Option<String>,
    /// The caller's own words: a JSON object of at most 2 KiB.
    pub metadata: Option<Value>,
    /// When it can no longer be begun to pay.
    pub expires_at: Option<Timestamp>,
    /// The payer's name, for providers that insist on one.
    pub payer_name: Option<String>,
    /// The payer's email address, for the receipt.
    pub payer_email: Option<String>,
    /// The payer's phone number (E.164).
    pub payer_phone: Option<String>,
}

impl NewPayment {
    /// A payment of `amount` and nothing else to say.
    pub const fn of(amount: Money) -> Self {
        Self {
            amount,
            capture_method: CaptureMethod::Automatic,
            customer: None,
            description: None,
            country: None,
            method: None,
            link: None,
            credit_account: None,
            return_url: None,
            metadata: None,
            expires_at: None,
            payer_name: None,
            payer_email: None,
            payer_phone: None,
        }
    }

    fn check(&self) -> Result<(), PaymentError> {
        let mut fields = Vec::new();
        let mut refuse = |field: &str, message: Result<(), &'static str>| {
            if let Err(message) = message {
                fields.push(FieldFault::new(field, message));
            }
        };
        refuse("customer", text::optional(self.customer.as_deref(), 120));
        refuse("description", text::optional(self.description.as_deref(), 200));
        refuse("country", text::country(self.country.as_deref()));
        refuse("method", text::word(self.method.as_deref()));
        refuse("credit_account", text::account(self.credit_account.as_deref()));
        refuse("return_url", text::return_url(self.return_url.as_deref()));
        refuse("metadata", text::metadata(self.metadata.as_ref()));
        refuse("payer_name", text::optional(self.payer_name.as_deref(), 200));
        refuse("payer_email", text::email(self.payer_email.as_deref()));
        refuse("payer_phone", text::phone(self.payer_phone.as_deref()));
        if fields.is_empty() { Ok(()) } else { Err(PaymentError::Invalid { fields }) }
    }
}

/// Asks for a payment.
pub async fn create(tx: &mut Tx, new: NewPayment) -> Result<Intent, PaymentError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    create_in(tx, workspace, new).await
}

/// The same for a verb above, or for somebody who pays with a link.
pub async fn create_in(tx: &mut Tx, workspace: WorkspaceId, new: NewPayment) -> Result<Intent, PaymentError> {
    new.check()?;
    let id: IntentId = tx.new_id();
    // Written as it is looked for when somebody is to be forgotten.
    let email = new.payer_email.and_then(|email| people::Email::parse(&email).ok()).map(|email| email.as_str().to_owned());
    let payer = Payer { name: new.payer_name, email, phone: new.payer_phone };
    let asked = NewIntent {
        id,
        amount: new.amount,
        capture_method: new.capture_method,
        customer: new.customer,
        description: new.description,
        country: new.country,
        method: new.method,
        link: new.link,
        credit_account: new.credit_account.unwrap_or_else(|| CREDIT_ACCOUNT.to_owned()),
        return_url: new.return_url,
        metadata: new.metadata.map(text::settled),
        expires_at: new.expires_at,
    };
    let event = asked.decide(tx.now())?;
    keep_payer(tx, workspace, id, &payer).await?;
    let made = record(tx, workspace, None, vec![event]).await?;
    made.ok_or(PaymentError::NotFound { what: "payment" })
}

/// Keeps what a payer told us; what they told before stays where they say nothing new.
pub async fn keep_payer(tx: &mut Tx, workspace: WorkspaceId, id: IntentId, payer: &Payer) -> Result<(), PaymentError> {
    if *payer != Payer::default() {
        let now = tx.now();
        tx.execute_later(&sql::KEEP_PAYER, params![&workspace, &id, payer.name, payer.email, payer.phone, now]).await?;
    }
    Ok(())
}

/// Begins an attempt at the first provider of the plan; the others are tried when that one surely does not take it. Its caller
/// was checked, or pays for themselves.
pub async fn start(tx: &mut Tx, workspace: WorkspaceId, id: IntentId, health: &Health) -> Result<Intent, PaymentError> {
    let intent = locked(tx, workspace, id).await?;
    let provider = next_provider(tx, workspace, &intent, health, &[]).await?;
    let events = begin(tx, workspace, &intent, &provider).await?;
    record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

/// The events that begin an attempt of `intent` at `provider`.
async fn begin(tx: &mut Tx, workspace: WorkspaceId, intent: &Intent, provider: &ProviderRecord) -> Result<Vec<Event>, PaymentError> {
    let id: AttemptId = tx.new_id();
    let mut events = intent.start_attempt(id, provider.id, provider.dialect, tx.now())?;
    events.extend(watched(tx, workspace, intent, id, &provider.name).await?);
    Ok(events)
}

/// What monitoring says before a byte leaves: nothing where it allows the attempt.
async fn watched(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    id: AttemptId,
    provider: &str,
) -> Result<Option<Event>, PaymentError> {
    let activity = Activity {
        kind: ActivityKind::PaymentAttempt,
        id: id.to_string(),
        earlier: intent.attempts.iter().rev().map(|attempt| attempt.id.to_string()).collect(),
        amount: intent.amount,
        party: intent.customer.clone(),
        country: intent.country.clone(),
        method: intent.method.clone(),
        provider: Some(provider.to_owned()),
        party_changed_at: None,
    };
    Ok(match risk::decide(tx, workspace, &activity).await? {
        Verdict::Allow => None,
        Verdict::Hold { reason, .. } => Some(Event::AttemptHeld { attempt: id, reason }),
        Verdict::Block { .. } => Some(Event::AttemptDeclined { attempt: id, class: ErrorClass::Fraud, code: "blocked_by_rule".to_owned() }),
    })
}

/// Lets an attempt that monitoring held back go on, or ends it.
pub async fn review(tx: &mut Tx, id: IntentId, attempt: AttemptId, is_released: bool) -> Result<Intent, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    let intent = locked(tx, workspace, id).await?;
    let events = intent.review(attempt, is_released)?;
    outbox::audit(tx, workspace, "payments.attempt_reviewed", &attempt.to_string(), &serde_json::json!({ "is_released": is_released }))
        .await?;
    record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

/// What stays unknown here and was found out elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unknown {
    /// An attempt that was not paid, or an authorization that was not released.
    Attempt(AttemptId),
    /// An authorization that was released.
    Release(AttemptId),
    /// A capture that was done, or was not.
    Capture(CaptureId, bool),
    /// A refund that was given back, or was not.
    Refund(RefundId, bool),
}

/// A person says how something ended that the provider does not tell. `reason` is kept in the audit trail. That more money moved
/// than one person alone may write off takes a second one, who says the same.
pub async fn resolve(tx: &mut Tx, id: IntentId, unknown: Unknown, reason: &str) -> Result<Intent, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    check_reason(reason)?;
    let intent = locked(tx, workspace, id).await?;
    let is_void = |id| intent.attempt(id).is_some_and(|attempt| attempt.void == Some(StepState::Unknown));
    let (mut events, subject) = match unknown {
        Unknown::Attempt(attempt) if is_void(attempt) => (intent.resolve_void(attempt, false)?, attempt.to_string()),
        Unknown::Attempt(attempt) => (intent.resolve_attempt(attempt)?, attempt.to_string()),
        Unknown::Release(attempt) => (intent.resolve_void(attempt, true)?, attempt.to_string()),
        Unknown::Capture(capture, is_done) => (intent.resolve_capture(capture, is_done)?, capture.to_string()),
        Unknown::Refund(refund, is_done) => (intent.resolve_refund(refund, is_done)?, refund.to_string()),
    };
    let mut word = "payments.resolved_by_person";
    if let Some(proposed) = needs_a_second(tx, workspace, &intent, unknown, &subject).await? {
        (events, word) = (vec![proposed], "payments.resolution_proposed");
    }
    outbox::audit(tx, workspace, word, &subject, &serde_json::json!({ "reason": reason })).await?;
    record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

fn check_reason(reason: &str) -> Result<(), PaymentError> {
    text::optional(Some(reason), 200).map_err(|message| PaymentError::field("reason", message))
}

/// The proposal that is kept where a second person has to say the same; nothing where enough people have said it.
async fn needs_a_second(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    unknown: Unknown,
    subject: &str,
) -> Result<Option<Event>, PaymentError> {
    let (attempt, amount_minor, said_by) = match unknown {
        Unknown::Capture(id, true) => {
            let Some((attempt, capture)) = intent.capture(id) else { return Ok(None) };
            (Some(attempt), capture.said.map_or(capture.amount_minor, |said| said.amount_minor), &capture.done_said_by)
        }
        Unknown::Refund(id, true) => {
            let Some(refund) = intent.refund(id) else { return Ok(None) };
            (intent.attempt(refund.attempt), refund.said.map_or(refund.amount_minor, |said| said.amount_minor), &refund.done_said_by)
        }
        _ => return Ok(None),
    };
    let Some(attempt) = attempt else { return Ok(None) };
    let rules = Rules::of(&queries::provider(tx, workspace, attempt.provider).await?);
    if amount_minor <= rules.write_off_alone_max_minor {
        return Ok(None);
    }
    if tx.caller().member().is_none() {
        return Err(PaymentError::field("is_done", "must be said by people, two of them: so much money is not moved by a key"));
    }
    let by = tx.caller().actor();
    match said_by {
        None => Ok(Some(Event::DoneProposed { subject: subject.to_owned(), by })),
        Some(first) if *first == by => Err(PaymentError::field("is_done", "needs a second person: you have said it already")),
        Some(_) => Ok(None),
    }
}

/// Takes what an attempt brought that was not what was asked for as paid, all of it. `reason` is kept in the audit trail.
pub async fn accept(tx: &mut Tx, id: IntentId, attempt: AttemptId, reason: &str) -> Result<Intent, PaymentError> {
    let workspace = tx.caller().may(grants::APPROVE)?;
    check_reason(reason)?;
    let intent = locked(tx, workspace, id).await?;
    let events = intent.accept(attempt)?;
    outbox::audit(tx, workspace, "payments.quarantine_accepted", &attempt.to_string(), &serde_json::json!({ "reason": reason })).await?;
    record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

/// What follows a refusal: the next provider is tried where this one surely did not take it and another may.
pub(crate) async fn next_attempt(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    class: ErrorClass,
    health: &Health,
) -> Result<Vec<Event>, PaymentError> {
    let tried: Vec<ProviderId> = intent.attempts.iter().map(|attempt| attempt.provider).collect();
    if routing::next_step(class, tried.len()) != NextStep::TryNext {
        return Ok(Vec::new());
    }
    let provider = match next_provider(tx, workspace, intent, health, &tried).await {
        Err(PaymentError::NoProvider(_)) => return Ok(Vec::new()),
        provider => provider?,
    };
    match begin(tx, workspace, intent, &provider).await {
        Err(PaymentError::Refused(_)) => Ok(Vec::new()),
        begun => begun,
    }
}

/// The first provider of the plan for `intent` that was not `tried` before.
async fn next_provider(
    tx: &mut Tx,
    workspace: WorkspaceId,
    intent: &Intent,
    health: &Health,
    tried: &[ProviderId],
) -> Result<ProviderRecord, PaymentError> {
    let (_, rules) = queries::routes(tx, workspace).await?;
    let rules = routing::stored(&rules).map_err(store::StoreError::decode)?;
    let providers = queries::providers(tx, workspace).await?;
    let enabled = providers.iter().filter(|provider| provider.is_enabled);
    let candidates: Vec<_> = enabled.map(|provider| health.candidate(provider)).collect();
    let plan = routing::plan(&rules, &candidates, &Wanted::of(intent)).map_err(PaymentError::NoProvider)?;
    let next = plan.into_iter().find(|provider| !tried.contains(provider));
    let found = next.and_then(|id| providers.into_iter().find(|provider| provider.id == id));
    found.ok_or(PaymentError::NoProvider(Nobody { rule: None, because: Vec::new() }))
}

/// Calls a payment off: what was authorized is released. What was captured is refunded instead.
pub async fn cancel(tx: &mut Tx, id: IntentId) -> Result<Intent, PaymentError> {
    let workspace = tx.caller().may(grants::CAPTURE)?;
    let intent = locked(tx, workspace, id).await?;
    let events = intent.cancel()?;
    record(tx, workspace, Some(intent), events).await?.ok_or(PaymentError::NotFound { what: "payment" })
}

/// Its time is over; nothing where it is paid, or somebody is at it.
pub async fn expire(tx: &mut Tx, workspace: WorkspaceId, id: IntentId) -> Result<(), PaymentError> {
    let intent = locked(tx, workspace, id).await?;
    let events = intent.expire(tx.now());
    record(tx, workspace, Some(intent), events).await?;
    Ok(())
}
