//! The jobs of payouts: whose an account is, funds promised, sent, followed until it has ended. Safe to run twice: what was sent
//! before is asked for first.

use std::time::Duration;

use kernel::{Currency, WorkspaceId};
use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};
use store::Tx;

use super::{Engine, Outcome, SENDER, ask, entered, opened, send, through};
use crate::beneficiary::NameCheck;
use crate::commands::{self, locked_payout, record_payout};
use crate::error::PaymentError;
use crate::health::Operation;
use crate::intent::Observation;
use crate::payout::{Payout, PayoutEvent, PayoutId, PayoutState, Wait};
use crate::provider::{Abilities, Destination, Done, Failure, Order, ProviderId, Question, Told};
use crate::steps::pause;
use crate::{fail, queries};

/// How often a bank that does not answer is asked whose an account is, before people decide without it.
const NAME_TRIES_MAX: u32 = 8;

/// Does what a payout needs next, until nothing is left to be learned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConductPayout {
    /// Which.
    pub payout: PayoutId,
    /// How often it was looked at before.
    pub times: u32,
    /// Somebody asked for it, or hinted that it changed: one more look, beside those that follow each other.
    pub is_extra: bool,
}

impl Job for ConductPayout {
    const NAME: &'static str = "payments.conduct_payout";
    const LANE: &'static str = "payments_payouts";
    const TIMEOUT: Duration = Duration::from_secs(90);
    // Waiting for a provider that has enough to do is no attempt.
    const ATTEMPTS_MAX: u32 = 1_000_000;
    // Whatever it is about is not to be forgotten for hours because the database did not answer once.
    const PAUSE_MAX: Duration = Duration::from_secs(60);

    fn key(&self) -> String {
        self.payout.to_string()
    }
}

/// Gives a provider the one-time password that it waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmPayout {
    /// Of this payout.
    pub payout: PayoutId,
    /// The password, sealed by the vault for the payout.
    pub sealed: Vec<u8>,
}

impl Job for ConfirmPayout {
    const NAME: &'static str = "payments.confirm_payout";
    const LANE: &'static str = "payments_payouts";
    const TIMEOUT: Duration = Duration::from_secs(90);

    fn key(&self) -> String {
        self.payout.to_string()
    }
}

/// Asks a provider how much money we have there, and keeps that beside the books' word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompareFloat {
    /// Which provider.
    pub provider: ProviderId,
    /// ISO 4217.
    pub currency: String,
}

impl Job for CompareFloat {
    const NAME: &'static str = "payments.compare_float";
    const LANE: &'static str = "payments_payouts";
    const TIMEOUT: Duration = Duration::from_secs(90);

    fn key(&self) -> String {
        self.provider.to_string()
    }
}

/// Runs [`ConductPayout`].
pub async fn conduct_payout(engine: Engine, job: ConductPayout, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    let Some(payout) = queries::find_payout(&mut context.store().read(), workspace, job.payout).await? else { return Ok(()) };
    match payout.state {
        PayoutState::Requested => check_name(&engine, &payout, &job, &context).await,
        PayoutState::Approved => {
            let is_reserved = context
                .write((workspace, job), |tx, (workspace, job)| {
                    Box::pin(async move {
                        let payout = commands::try_reserve(tx, workspace, job.payout).await?;
                        if payout.is_reserved {
                            fail::at("payout", "reserving");
                        }
                        let waits = payout.state == PayoutState::Approved && payout.waits_for == Some(Wait::InsufficientFloat);
                        if waits && !job.is_extra {
                            look_again(tx, workspace, &payout, job.times).await?;
                        }
                        Ok::<_, PaymentError>(payout.is_reserved)
                    })
                })
                .await?;
            if is_reserved {
                fail::at("payout", "reserved");
            }
            Ok(())
        }
        PayoutState::FundsReserved
        | PayoutState::Submitted
        | PayoutState::OtpRequired
        | PayoutState::Pending
        | PayoutState::Unknown
        | PayoutState::Paid
        | PayoutState::Failed => at_provider(&engine, payout, job, &context).await,
        PayoutState::RiskReview | PayoutState::Reversed | PayoutState::Refused | PayoutState::Canceled => Ok(()),
    }
}

/// Where the money goes; none once that is not any more what the payout was asked for.
async fn destination(context: &JobContext, payout: &Payout) -> Result<Option<Destination>, JobError> {
    let found = queries::find_beneficiary(&mut context.store().read(), context.workspace(), payout.beneficiary).await?;
    let found = found.filter(|known| known.version == payout.beneficiary_version && known.erased_at.is_none());
    Ok(found.map(|known| commands::open_beneficiary(context.store().vault(), &known)).transpose()?)
}

/// Asks the beneficiary's bank whose the account is.
async fn check_name(engine: &Engine, payout: &Payout, job: &ConductPayout, context: &JobContext) -> Result<(), JobError> {
    let check = match destination(context, payout).await? {
        // The account has changed meanwhile: the next gate ends it.
        None => Some(NameCheck::NotTold),
        Some(to) => {
            let (adapter, account, _) = opened(context, payout.provider).await?;
            let question = Question::AccountName { bank_code: to.bank_code, account_number: to.account_number };
            let permit = entered(engine, account.id, Operation::Ask)?;
            let mut told = None;
            through(permit, async {
                match adapter.ask(&engine.client, &account, &question).await {
                    Ok(Told::AccountName(name)) => told = Some(NameCheck::compare(&to.account_name, &name)),
                    Ok(_) | Err(Failure::Refused { class: crate::ErrorClass::InvalidRequest, .. }) => told = Some(NameCheck::NotFound),
                    Err(failure) => return Outcome::Failed(failure),
                }
                Outcome::NotFound
            })
            .await;
            if told.is_some() {
                fail::at("payout", "named");
            }
            told.or_else(|| (job.times >= NAME_TRIES_MAX).then_some(NameCheck::NotTold))
        }
    };
    let input = (context.workspace(), job.clone(), check);
    context
        .write(input, |tx, (workspace, job, check)| {
            Box::pin(async move {
                let payout = locked_payout(tx, workspace, job.payout).await?;
                let Some(check) = check else {
                    return if job.is_extra { Ok(()) } else { look_again(tx, workspace, &payout, job.times).await };
                };
                if check != NameCheck::NotTold {
                    commands::keep_name_check(tx, workspace, payout.beneficiary, payout.beneficiary_version, check).await?;
                }
                let events = payout.name_checked(check);
                record_payout(tx, workspace, payout, events).await?;
                Ok::<_, PaymentError>(())
            })
        })
        .await
}

/// What a payout needs at its provider now.
enum Need {
    /// To be sent for the first time: first marked as being sent.
    Send(Order),
    /// To be asked for; where the provider knows nothing of it, to be sent again under the same key.
    Ask(Question, Option<Order>),
}

fn need(payout: &Payout, to: Option<Destination>, abilities: &Abilities, now: kernel::Timestamp) -> Need {
    let order = to.map(|destination| Order::Payout {
        reference: payout.id.to_string(),
        amount: payout.amount,
        destination,
        narration: payout.narration.clone().unwrap_or_else(|| payout.id.to_string()),
    });
    let question = || Question::Payout { reference: payout.id.to_string(), provider_ref: payout.provider_ref.clone() };
    let keeps_key = payout.submitted_at.zip(abilities.keeps_keys_for).is_some_and(|(since, kept)| now.since(since) < kept);
    match (payout.state, order) {
        (PayoutState::FundsReserved, Some(order)) => Need::Send(order),
        (PayoutState::Submitted | PayoutState::Unknown, order) => Need::Ask(question(), order.filter(|_| keeps_key)),
        _ => Need::Ask(question(), None),
    }
}

async fn at_provider(engine: &Engine, payout: Payout, job: ConductPayout, context: &JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    // An ended one is looked at again only where something came that contradicts it.
    if payout.state.is_final() && !job.is_extra {
        return Ok(());
    }
    let to = destination(context, &payout).await?;
    if payout.state == PayoutState::FundsReserved && to.is_none() {
        return context.write((workspace, job.payout), |tx, (workspace, id)| Box::pin(give_up(tx, workspace, id))).await;
    }
    let (adapter, account, _) = opened(context, payout.provider).await?;
    let mut is_first = false;
    let outcome = match need(&payout, to, &adapter.abilities(), context.store().clock().now()) {
        Need::Send(order) => {
            let permit = entered(engine, account.id, Operation::of(&order))?;
            let marking = context.store().write(&SENDER, (workspace, payout.id), |tx, (workspace, id)| {
                Box::pin(async move { commands::mark_sending(tx, workspace, id).await })
            });
            // Another run was faster, or it was called off: that one goes on with it.
            if marking.await?.is_none() {
                return Ok(());
            }
            fail::at("payout", "marked");
            is_first = true;
            through(permit, send(engine, adapter, &account, &order)).await
        }
        Need::Ask(question, again) => {
            match (through(entered(engine, account.id, Operation::Ask)?, ask(engine, adapter, &account, &question)).await, again) {
                (Outcome::NotFound, Some(order)) => {
                    let permit = entered(engine, account.id, Operation::of(&order))?;
                    through(permit, send(engine, adapter, &account, &order)).await
                }
                (outcome, _) => outcome,
            }
        }
    };
    fail::at("payout", "answered");
    let done = context
        .write((workspace, job, outcome, is_first), |tx, (workspace, job, outcome, is_first)| {
            Box::pin(async move { finish(tx, workspace, &job, outcome, is_first).await })
        })
        .await;
    fail::at("payout", "recorded");
    done
}

async fn give_up(tx: &mut Tx, workspace: WorkspaceId, id: PayoutId) -> Result<(), PaymentError> {
    let payout = locked_payout(tx, workspace, id).await?;
    let events = payout.beneficiary_changed();
    record_payout(tx, workspace, payout, events).await?;
    Ok(())
}

async fn finish(tx: &mut Tx, workspace: WorkspaceId, job: &ConductPayout, outcome: Outcome, is_first: bool) -> Result<(), PaymentError> {
    let before = locked_payout(tx, workspace, job.payout).await?;
    let events = match outcome {
        Outcome::NotFound => before.not_found(),
        Outcome::Failed(failure) => before.failed(&failure, is_first),
        Outcome::Done(Done::Observed(observation)) => before.observe(&observation),
        Outcome::Done(Done::Page { .. }) => Vec::new(),
    };
    let payout = record_payout(tx, workspace, before, events).await?;
    fail::at("payout", "recording");
    // Whoever has sent it follows it too.
    if is_first || !job.is_extra {
        look_again(tx, workspace, &payout, if is_first { 0 } else { job.times }).await?;
    }
    Ok(())
}

/// Has a payout looked at again while something is to be learned about it, or it waits.
async fn look_again(tx: &mut Tx, workspace: WorkspaceId, payout: &Payout, times: u32) -> Result<(), PaymentError> {
    let is_open = !payout.state.is_final() && payout.state != PayoutState::RiskReview;
    if let Some(wait) = pause(times, payout.state == PayoutState::OtpRequired).filter(|_| is_open) {
        let due = tx.now().plus(wait);
        outbox::enqueue_at(tx, workspace, due, &ConductPayout { payout: payout.id, times: times + 1, is_extra: false }).await?;
    }
    Ok(())
}

/// Runs [`ConfirmPayout`].
pub async fn confirm_payout(engine: Engine, job: ConfirmPayout, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    let Some(payout) = queries::find_payout(&mut context.store().read(), workspace, job.payout).await? else { return Ok(()) };
    if payout.state != PayoutState::OtpRequired {
        return Ok(());
    }
    let otp = context.store().vault().open(&job.sealed, &job.payout.to_string())?;
    let otp = String::from_utf8(otp).map_err(|_| JobError::give_up("the one-time password is no text"))?;
    let (adapter, account, _) = opened(&context, payout.provider).await?;
    let order = Order::ConfirmPayout { reference: payout.id.to_string(), otp };
    let permit = entered(&engine, account.id, Operation::of(&order))?;
    let marking = context.store().write(&SENDER, (workspace, payout.id), |tx, (workspace, id)| {
        Box::pin(async move {
            let payout = locked_payout(tx, workspace, id).await?;
            if payout.state != PayoutState::OtpRequired {
                return Ok::<_, PaymentError>(false);
            }
            record_payout(tx, workspace, payout, vec![PayoutEvent::Confirming]).await?;
            // Does this run end half-way, the provider is asked as soon as nobody can be at it any more.
            let due = tx.now().plus(ConfirmPayout::TIMEOUT);
            outbox::enqueue_at(tx, workspace, due, &ConductPayout { payout: id, times: 0, is_extra: true }).await?;
            Ok(true)
        })
    });
    if !marking.await? {
        return Ok(());
    }
    fail::at("otp", "marked");
    let outcome = through(permit, send(&engine, adapter, &account, &order)).await;
    let observation = match outcome {
        Outcome::Done(Done::Observed(observation)) => Some(observation),
        // A password that was not taken leaves the payout as it was: how that is, is asked.
        _ => None,
    };
    fail::at("otp", "answered");
    let done = context
        .write((workspace, job.payout, observation), |tx, (workspace, id, observation)| {
            Box::pin(async move { confirmed(tx, workspace, id, observation).await })
        })
        .await;
    fail::at("otp", "recorded");
    done
}

async fn confirmed(tx: &mut Tx, workspace: WorkspaceId, id: PayoutId, observation: Option<Observation>) -> Result<(), PaymentError> {
    let payout = locked_payout(tx, workspace, id).await?;
    let events = observation.map_or_else(|| payout.not_found(), |observation| payout.observe(&observation));
    let payout = record_payout(tx, workspace, payout, events).await?;
    if payout.state.is_at_provider() {
        outbox::enqueue(tx, workspace, &ConductPayout { payout: id, times: 0, is_extra: true }).await?;
    }
    Ok(())
}

/// Runs [`CompareFloat`].
pub async fn compare_float(engine: Engine, job: CompareFloat, context: JobContext) -> Result<(), JobError> {
    let currency = Currency::parse(&job.currency).map_err(|error| JobError::give_up(error.to_string()))?;
    let (adapter, account, _) = opened(&context, job.provider).await?;
    let permit = entered(&engine, account.id, Operation::Ask)?;
    let mut told = None;
    let outcome = through(permit, async {
        match adapter.ask(&engine.client, &account, &Question::Float { currency }).await {
            Ok(Told::Float(float)) => told = Some(float),
            Ok(_) => {}
            Err(failure) => return Outcome::Failed(failure),
        }
        Outcome::NotFound
    });
    match outcome.await {
        Outcome::Failed(Failure::Refused { code, .. }) => return Err(JobError::give_up(code)),
        Outcome::Failed(failure) => return Err(JobError::retry(failure.to_string())),
        _ => {}
    }
    let Some(theirs) = told.filter(|theirs| theirs.currency == currency) else {
        return Err(JobError::give_up("the provider did not say how much it has"));
    };
    let input = (context.workspace(), job.provider, theirs);
    context
        .write(input, |tx, (workspace, provider, theirs)| {
            Box::pin(async move { commands::keep_float_check(tx, workspace, provider, theirs).await.map(|_| ()) })
        })
        .await
}
