//! One payment: how it stands, every attempt and refund, what happened, what stands in the books, and what can be done with it.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Call, Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Currency, Id, Money};
use ledger::Unit;
use payments::{
    Attempt, AttemptId, AttemptState, CaptureMethod, Event, Intent, IntentId, IntentState, PaymentError, ProviderRecord, StepState, grants,
};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, plain_day};
use super::super::session::NoFields;
use super::decide::{self, Matter};
use super::story::{self, Line};
use super::words::{self, State as Words};
use super::{amount, intent_id};
use crate::installation::Parts;

/// Events and transfers that are shown at most.
const HISTORY_SHOWN: i64 = 500;
const TRANSFERS_SHOWN: u32 = 100;
/// How long a button waits for what follows from it at the provider, before the page says that it is on its way.
const WAIT: Duration = Duration::from_secs(5);

/// A capture of an attempt.
struct CaptureLine {
    amount: String,
    state: Words,
    code: String,
}

/// An attempt as it is shown.
struct AttemptPart {
    id: String,
    provider: String,
    dialect: &'static str,
    state: Words,
    why: String,
    code: String,
    refs: Vec<String>,
    amounts: Vec<(&'static str, String)>,
    is_surplus: bool,
    is_held: bool,
    captures: Vec<CaptureLine>,
    at: When,
}

impl AttemptPart {
    fn new(attempt: &Attempt, intent: &Intent, providers: &[ProviderRecord]) -> Self {
        let currency = intent.amount.currency;
        let told = |minor: i64| amount::told(Money::new(minor, currency));
        let (why, code) = match &attempt.state {
            AttemptState::Declined { class, code } => (words::refusal(*class).to_owned(), code.clone()),
            AttemptState::Held { reason } => (reason.clone(), String::new()),
            AttemptState::Quarantined { paid } => {
                (format!("{} were paid, which is not what was asked for", amount::told(*paid)), String::new())
            }
            AttemptState::Unknown => ("it may have been paid: the provider is asked until it is known".to_owned(), String::new()),
            _ => (String::new(), String::new()),
        };
        let mut amounts = Vec::new();
        if attempt.authorized_minor > 0 && attempt.authorized_minor != attempt.captured_minor {
            amounts.push(("Authorized", told(attempt.authorized_minor)));
        }
        if attempt.captured_minor > 0 {
            amounts.push(("Taken", told(attempt.captured_minor)));
        }
        if let Some(void) = &attempt.void {
            amounts.push(("Release", words::step(void).label.to_owned()));
        }
        amounts.extend(attempt.more.iter().filter(|more| more.is_surplus).map(|more| ("Came too much", amount::told(more.amount))));
        amounts.extend(attempt.disputes.iter().map(|dispute| (words::dispute(dispute.state), amount::told(dispute.amount))));
        if let Some(exact) = &attempt.crypto_amount {
            amounts.push(("Crypto amount, smallest unit", exact.clone()));
        }
        Self {
            id: attempt.id.to_string(),
            provider: name_of(providers, attempt),
            dialect: words_of(attempt),
            state: words::attempt(&attempt.state),
            why,
            code,
            refs: attempt.provider_ref.iter().chain(attempt.charge_ref.iter()).cloned().collect(),
            amounts,
            is_surplus: attempt.is_surplus,
            is_held: matches!(attempt.state, AttemptState::Held { .. }),
            captures: attempt
                .captures
                .iter()
                .map(|capture| CaptureLine {
                    amount: told(capture.amount_minor),
                    state: words::step(&capture.state),
                    code: code_of(&capture.state),
                })
                .collect(),
            at: When(attempt.started_at),
        }
    }
}

fn name_of(providers: &[ProviderRecord], attempt: &Attempt) -> String {
    providers.iter().find(|known| known.id == attempt.provider).map_or_else(|| attempt.provider.to_string(), |known| known.name.clone())
}

const fn words_of(attempt: &Attempt) -> &'static str {
    super::super::settings::dialect_name(attempt.dialect)
}

fn code_of(state: &StepState) -> String {
    match state {
        StepState::Failed { code } => code.clone(),
        _ => String::new(),
    }
}

/// A refund as it is shown.
struct RefundPart {
    amount: String,
    reason: String,
    state: Words,
    code: String,
    at: When,
}

/// A transfer of the books.
struct Posting {
    id: String,
    what: String,
    day: String,
    amount: String,
}

#[derive(Template)]
#[template(path = "payment.html")]
struct PaymentPage {
    frame: Frame,
    id: String,
    heading: String,
    what: String,
    state: Words,
    numbers: [(&'static str, String); 4],
    attempts: Vec<AttemptPart>,
    refunds: Vec<RefundPart>,
    lines: Vec<Line>,
    postings: Vec<Posting>,
    is_booked: bool,
    customer: String,
    payer: Vec<String>,
    method: &'static str,
    link: String,
    credit_account: String,
    metadata: String,
    created: When,
    expires: Option<When>,
    page_url: String,
    pay_url: String,
    capturable: String,
    refundable: String,
    currency: String,
    can_capture: bool,
    can_refund: bool,
    can_cancel: bool,
    can_review: bool,
    matters: Vec<Matter>,
    once: String,
}

async fn compose(parts: &Parts, owner: &Owner, id: IntentId) -> Result<PaymentPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let mut reads = parts.store.read();
    let intent = payments::queries::get(&mut reads, workspace, id).await?;
    let providers = payments::queries::providers(&mut reads, workspace).await?;
    let history = payments::queries::history(&mut reads, workspace, id, 0, HISTORY_SHOWN).await?;
    let payer = payments::queries::payer(&mut reads, workspace, id).await?;
    let transfers = match owner.can(ledger::grants::READ) {
        true => ledger::queries::transfers_of_source(&mut reads, workspace, &format!("payment:{id}"), TRANSFERS_SHOWN).await?,
        false => Vec::new(),
    };
    drop(reads);
    let names = owner.names(parts).await?;
    let currency: Currency = intent.amount.currency;
    let told = |minor: i64| amount::told(Money::new(minor, currency));
    let captured = intent.captured_minor();
    let capturable = intent.kept().map_or(0, Attempt::capturable_minor);
    let refundable = intent.kept().map_or(0, |kept| kept.captured_minor - intent.refunding_minor(kept.id));
    let refunded = intent.refunded_minor();
    let rest = if capturable > 0 { ("Can be captured", capturable) } else { ("Kept", captured - refunded) };
    let numbers = [("Asked for", intent.amount.amount_minor), ("Paid", captured), ("Given back", refunded), rest];
    let numbers = numbers.map(|(label, minor)| (label, amount::figure(minor, currency)));
    let provider =
        |id| providers.iter().find(|known| known.id == id).map_or_else(|| id.to_string(), |known: &ProviderRecord| known.name.clone());
    let page_url = super::pay::page_of(&intent).unwrap_or_default();
    let is_payable = matches!(intent.state(), IntentState::RequiresPaymentMethod | IntentState::RequiresAction);
    Ok(PaymentPage {
        frame: owner.frame("payments", "Payment").shaped(""),
        heading: told(intent.amount.amount_minor),
        what: intent.description.clone().unwrap_or_default(),
        state: words::state(&intent),
        numbers,
        attempts: intent.attempts.iter().rev().map(|attempt| AttemptPart::new(attempt, &intent, &providers)).collect(),
        refunds: intent.refunds.iter().rev().map(refund_part).collect(),
        is_booked: history.iter().any(|recorded| is_booked(&recorded.event)),
        lines: story::tell(&intent, &history, &names, provider),
        postings: transfers.iter().map(posting).collect(),
        customer: intent.customer.clone().unwrap_or_default(),
        payer: [payer.name, payer.email, payer.phone].into_iter().flatten().collect(),
        method: match intent.capture_method {
            CaptureMethod::Automatic => "As soon as the payer agrees",
            CaptureMethod::Manual => "When you capture it",
        },
        link: intent.link.map(|link| link.to_string()).unwrap_or_default(),
        credit_account: intent.credit_account.clone(),
        metadata: intent.metadata.as_ref().and_then(|value| serde_json::to_string_pretty(value).ok()).unwrap_or_default(),
        created: When(intent.created_at),
        expires: intent.expires_at.map(When),
        pay_url: if is_payable { format!("{}/pay/{id}", parts.public_url) } else { String::new() },
        page_url,
        capturable: if capturable > 0 { amount::figure(capturable, currency) } else { String::new() },
        refundable: if refundable > 0 { amount::figure(refundable, currency) } else { String::new() },
        currency: currency.to_string(),
        can_capture: capturable > 0 && owner.can(grants::CAPTURE),
        can_refund: refundable > 0 && owner.can(grants::REFUND),
        can_cancel: may_cancel(&intent) && owner.can(grants::CAPTURE),
        can_review: owner.can(grants::APPROVE),
        matters: decide::matters(&intent, owner),
        once: owner.once(parts),
        id: id.to_string(),
    })
}

fn refund_part(refund: &payments::Refund) -> RefundPart {
    RefundPart {
        amount: amount::told(Money::new(refund.amount_minor, refund.currency)),
        reason: refund.reason.clone().unwrap_or_default(),
        state: words::step(&refund.state),
        code: code_of(&refund.state),
        at: When(refund.requested_at),
    }
}

fn posting(transfer: &ledger::Transfer) -> Posting {
    let unit: &Unit = &transfer.unit;
    Posting {
        id: transfer.id.to_string(),
        what: super::super::frame::sentence(transfer.memo.as_deref().unwrap_or("transfer")).trim_end_matches('.').to_owned(),
        day: plain_day(transfer.effective_at),
        amount: format!("{} {unit}", unit.major(i128::from(transfer.amount))),
    }
}

/// Whether an event has moved something in the books.
const fn is_booked(event: &Event) -> bool {
    matches!(
        event,
        Event::Charged { .. }
            | Event::Quarantined { .. }
            | Event::CaptureMoved { to: StepState::Succeeded, .. }
            | Event::CaptureTook { .. }
            | Event::RefundMoved { to: StepState::Succeeded, .. }
    )
}

/// Whether it can be called off, decided as the verb would.
fn may_cancel(intent: &Intent) -> bool {
    intent.cancel().is_ok()
}

/// `GET /payments/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, intent_id(&id)?).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// On to the payment once the provider has answered, or its page again with what was refused.
async fn answered<T>(parts: &Parts, owner: &Owner, id: IntentId, done: Result<T, Problem>, word: &str) -> Result<Response, Problem> {
    match done {
        Ok(_) => has_ended(parts, owner, id, word).await,
        Err(problem) => ended(parts, owner, id, problem, None).await,
    }
}

/// On to the payment once the provider has answered.
pub(super) async fn has_ended(parts: &Parts, owner: &Owner, id: IntentId, word: &str) -> Result<Response, Problem> {
    payments::wait(&parts.store, owner.workspace, id, WAIT, is_quiet).await?;
    Ok(see_other(&format!("/payments/{id}?done={word}")))
}

/// The page of the payment with what was refused, and the reason that was typed about something of it.
pub(super) async fn ended(
    parts: &Parts,
    owner: &Owner,
    id: IntentId,
    problem: Problem,
    typed: Option<(&str, &str)>,
) -> Result<Response, Problem> {
    let is_too_much = problem.code() == "amount_too_large";
    let refusal = mendable(problem)?;
    let mut page = compose(parts, owner, id).await?;
    page.frame.alert = match [&page.capturable, &page.refundable].into_iter().find(|left| is_too_much && !left.is_empty()) {
        Some(left) => format!("That is more than is left: {left} {} at most.", page.currency),
        None => refusal.all(),
    };
    if let Some((subject, reason)) = typed
        && let Some(matter) = page.matters.iter_mut().find(|matter| matter.subject == subject)
    {
        reason.clone_into(&mut matter.reason);
    }
    page_with(&page, refusal.status())
}

/// Whether nothing is on its way to a provider.
fn is_quiet(intent: &Intent) -> bool {
    let is_on_its_way = |state: &StepState| matches!(state, StepState::Requested | StepState::Sending);
    let captures =
        intent.attempts.iter().flat_map(|attempt| attempt.captures.iter().map(|capture| &capture.state).chain(attempt.void.iter()));
    !captures.chain(intent.refunds.iter().map(|refund| &refund.state)).any(is_on_its_way)
}

/// The amount of a form in the payment's currency: all of it where nothing is typed.
async fn typed(parts: &Parts, owner: &Owner, id: IntentId, text: &str) -> Result<Option<i64>, Problem> {
    let intent = payments::queries::get(&mut parts.store.read(), owner.workspace, id).await?;
    match text.trim() {
        "" => Ok(None),
        text => {
            let minor = amount::parse(text, intent.amount.currency);
            Ok(Some(minor.map_err(|message| Problem::from(PaymentError::field("amount", message)))?))
        }
    }
}

fn once(owner: &Owner, word: Option<&str>) -> Call {
    owner.once_by(word)
}

#[derive(Deserialize)]
pub(super) struct CaptureForm {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    last: Option<String>,
    once: Option<String>,
}

/// `POST /payments/{id}/capture`
pub(super) async fn capture(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<CaptureForm>,
) -> Result<Response, Problem> {
    owner.may(grants::CAPTURE)?;
    let id = intent_id(&id)?;
    let done = match typed(&parts, &owner, id, &form.amount).await {
        Err(problem) => Err(problem),
        Ok(amount) => {
            let input = (id, amount, form.last.is_some());
            gateway::effect_done(&parts.store, &once(&owner, form.once.as_deref()), input, |tx, (id, amount, is_last)| {
                Box::pin(async move {
                    payments::commands::capture(tx, id, amount, is_last).await?;
                    Ok(())
                })
            })
            .await
        }
    };
    answered(&parts, &owner, id, done, "captured").await
}

/// `POST /payments/{id}/cancel`
pub(super) async fn cancel(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    owner.may(grants::CAPTURE)?;
    let id = intent_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            payments::commands::cancel(tx, id).await?;
            Ok(())
        })
    });
    answered(&parts, &owner, id, done.await, "canceled").await
}

#[derive(Deserialize)]
pub(super) struct RefundForm {
    #[serde(default)]
    amount: String,
    reason: Option<String>,
    attempt: Option<String>,
    once: Option<String>,
}

/// `POST /payments/{id}/refund`
pub(super) async fn refund(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<RefundForm>,
) -> Result<Response, Problem> {
    owner.may(grants::REFUND)?;
    let id = intent_id(&id)?;
    let attempt = form.attempt.as_deref().map(AttemptId::parse).transpose().map_err(|_| Problem::not_found())?;
    let done = match typed(&parts, &owner, id, &form.amount).await {
        Err(problem) => Err(problem),
        Ok(amount) => {
            let input = (id, attempt, amount, form.reason);
            gateway::effect_done(&parts.store, &once(&owner, form.once.as_deref()), input, |tx, (id, attempt, amount, reason)| {
                Box::pin(async move {
                    payments::commands::refund(tx, id, attempt, amount, reason).await?;
                    Ok(())
                })
            })
            .await
        }
    };
    answered(&parts, &owner, id, done, "refund").await
}

#[derive(Deserialize)]
pub(super) struct ReviewForm {
    attempt: String,
    released: bool,
}

/// `POST /payments/{id}/review`: lets an attempt that monitoring held back go on, or ends it.
pub(super) async fn review(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<ReviewForm>,
) -> Result<Response, Problem> {
    owner.may(grants::APPROVE)?;
    let id = intent_id(&id)?;
    let attempt = AttemptId::parse(&form.attempt).map_err(|_| Problem::not_found())?;
    let done = gateway::effect_done(&parts.store, &owner.call, (id, attempt, form.released), |tx, (id, attempt, is_released)| {
        Box::pin(async move {
            payments::commands::review(tx, id, attempt, is_released).await?;
            Ok(())
        })
    });
    answered(&parts, &owner, id, done.await, "reviewed").await
}
