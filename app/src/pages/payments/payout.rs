//! One payout: the gates that it passes, what happened, what people decide about it, and its one-time password.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::Id;
use payments::{
    Hold, NameCheck, Payout, PayoutEvent, PayoutId, PayoutState, ProviderId, ProviderRecord, Recorded, Wait, commands, grants, queries,
};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Names, Owner, When, mendable, page_with, sentence};
use super::super::session::NoFields;
use super::payouts::{Row, receiver};
use super::settlement::name_of;
use crate::installation::Parts;

/// Events that are shown at most.
const HISTORY_SHOWN: i64 = 200;
/// How long a button waits for what follows from it, before the page says how it stands.
const WAIT: Duration = Duration::from_secs(5);

#[derive(Template)]
#[template(path = "payments_payout.html")]
struct PayoutPage {
    frame: Frame,
    row: Row,
    gates: Vec<(String, bool)>,
    approvals: Vec<(String, When)>,
    lines: Vec<(&'static str, String, String, When)>,
    requester: String,
    provider: String,
    account: String,
    why: String,
    attention: String,
    provider_ref: String,
    beneficiary: String,
    reason: String,
    otp_error: String,
    can_approve: bool,
    can_refuse: bool,
    can_cancel: bool,
    can_confirm: bool,
    can_resolve: bool,
    retry: &'static str,
    is_own: bool,
}

/// What a button that has it tried now is called; nothing where there is nothing to try.
const fn retry_label(payout: &Payout) -> &'static str {
    match payout.state {
        PayoutState::Approved | PayoutState::FundsReserved => "Try it now",
        PayoutState::Requested => "Ask the bank now",
        PayoutState::Submitted | PayoutState::Pending | PayoutState::Unknown => "Ask the provider now",
        _ => "",
    }
}

/// What has to be decided or waited for before it goes, and whether it is behind that.
fn gates(payout: &Payout) -> Vec<(String, bool)> {
    let is_agreed = payout.approvals.len() >= payout.approvals_needed();
    let mut gates = Vec::new();
    if payout.awaits_name {
        gates.push(("The bank says whose the account is".to_owned(), false));
    }
    if payout.is_above_limit {
        gates.push(("It is above what one person decides: two have to agree".to_owned(), is_agreed));
    }
    for hold in &payout.holds {
        let what = match hold {
            Hold::Rule { reason } => format!("Monitoring holds it: {reason}"),
            Hold::NameDiffers => "The bank says that the account has another name".to_owned(),
            Hold::AccountNotFound => "The bank knows no such account".to_owned(),
            Hold::NameNotTold => "The bank did not say whose the account is".to_owned(),
        };
        gates.push((what, is_agreed));
    }
    match payout.waits_for {
        Some(Wait::InsufficientFloat) => gates.push(("There has to be enough money at the provider".to_owned(), false)),
        Some(Wait::Weekend) => gates.push(("It has to be a working day".to_owned(), false)),
        None => {}
    }
    gates
}

fn line(recorded: &Recorded<PayoutEvent>, names: &Names) -> (&'static str, String, String, When) {
    let (what, more) = match &recorded.event {
        PayoutEvent::Requested(_) => ("It was asked for", ""),
        PayoutEvent::Held { reason } => ("Monitoring held it back", reason.as_str()),
        PayoutEvent::NameChecked { check } => match check {
            NameCheck::Matches => ("The bank says that the name is right", ""),
            NameCheck::Differs => ("The bank says that the account has another name", ""),
            NameCheck::NotFound => ("The bank knows no such account", ""),
            NameCheck::NotTold => ("The bank did not say whose the account is", ""),
            NameCheck::NotOffered => ("Nobody can be asked whose the account is", ""),
        },
        PayoutEvent::Approved { .. } => ("It was approved", ""),
        PayoutEvent::Refused { reason } => ("It was refused", reason.as_str()),
        PayoutEvent::Waits { what: Wait::InsufficientFloat } => ("It waits for funds at the provider", ""),
        PayoutEvent::Waits { what: Wait::Weekend } => ("It waits for a working day", ""),
        PayoutEvent::Reserved => ("Its funds were promised", ""),
        PayoutEvent::Sending => ("It was sent", ""),
        PayoutEvent::Unsent { code } => ("It could not be sent, and is sent again later", code.as_str()),
        PayoutEvent::OtpAsked { .. } => ("The provider asked for a one-time password", ""),
        PayoutEvent::Confirming => ("The one-time password was sent", ""),
        PayoutEvent::Pending { .. } => ("The provider has taken it", ""),
        PayoutEvent::Unknown => ("How it ended is not known", "The provider is asked until it is."),
        PayoutEvent::Paid { .. } => ("It was paid", ""),
        PayoutEvent::Failed { code } => ("It failed", code.as_str()),
        PayoutEvent::Reversed => ("The money came back", ""),
        PayoutEvent::Canceled => ("It was called off", ""),
        PayoutEvent::Disputed { said } => ("The provider contradicts itself", said.as_str()),
    };
    (what, more.to_owned(), names.actor(&recorded.actor), When(recorded.at))
}

async fn compose(parts: &Parts, owner: &Owner, id: PayoutId) -> Result<PayoutPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let mut reads = parts.store.read();
    let payout = queries::payout(&mut reads, workspace, id).await?;
    let (to, account) = receiver(&mut reads, workspace, payout.beneficiary).await?;
    let providers: Vec<ProviderRecord> = queries::providers(&mut reads, workspace).await?;
    let history = queries::payout_history(&mut reads, workspace, id, 0, HISTORY_SHOWN).await?;
    drop(reads);
    let names = owner.names(parts).await?;
    let provider: ProviderId = payout.provider;
    let is_mine = payout.requester == owner.caller.actor();
    let may_go = commands::may_decide(&owner.caller, &payout);
    Ok(PayoutPage {
        frame: owner.frame("payments", "Payout").shaped(""),
        gates: gates(&payout),
        approvals: payout.approvals.iter().map(|approval| (names.of(approval.by), When(approval.at))).collect(),
        lines: history.iter().rev().map(|recorded| line(recorded, &names)).collect(),
        requester: names.actor(&payout.requester),
        provider: name_of(&providers, provider),
        account,
        why: payout.reason.clone().unwrap_or_default(),
        attention: payout.attention.clone().unwrap_or_default(),
        provider_ref: payout.provider_ref.clone().unwrap_or_default(),
        beneficiary: payout.beneficiary.to_string(),
        reason: String::new(),
        otp_error: String::new(),
        can_approve: may_go,
        can_refuse: payout.state.is_before_sending() && !is_mine && owner.can(grants::APPROVE),
        can_cancel: payout.state.is_before_sending() && owner.can(grants::PAY_OUT),
        can_confirm: payout.state == PayoutState::OtpRequired && owner.can(grants::PAY_OUT),
        can_resolve: owner.can(grants::APPROVE) && payout.resolve(owner.caller.member(), true).is_ok(),
        retry: if owner.can(grants::PAY_OUT) { retry_label(&payout) } else { "" },
        is_own: payout.state == PayoutState::RiskReview && is_mine,
        row: Row::new(&payout, to),
    })
}

fn payout_id(text: &str) -> Result<PayoutId, Problem> {
    PayoutId::parse(text).map_err(|_| Problem::not_found())
}

/// `GET /payments/payouts/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, payout_id(&id)?).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// Whether nothing follows any more without people, funds, a working day or the provider.
const fn is_settled(payout: &Payout) -> bool {
    payout.waits_for.is_some()
        || !matches!(payout.state, PayoutState::Requested | PayoutState::Approved | PayoutState::FundsReserved | PayoutState::Submitted)
}

/// Waits until nothing follows any more, and until something has happened since `version`.
pub(super) async fn settled(parts: &Parts, owner: &Owner, id: PayoutId, version: i64) -> Result<(), Problem> {
    let is_done = |payout: &Payout| payout.version > version && is_settled(payout);
    payments::wait_for_payout(&parts.store, owner.workspace, id, WAIT, is_done).await?;
    Ok(())
}

/// What a button did, and what its page says then.
struct Ended<'a> {
    parts: &'a Parts,
    owner: &'a Owner,
    id: PayoutId,
    word: &'static str,
    /// What was typed, to be shown again.
    reason: String,
    /// The page waits for what happens after this version.
    version: i64,
}

impl<'a> Ended<'a> {
    fn new(parts: &'a Parts, owner: &'a Owner, id: PayoutId, word: &'static str) -> Self {
        Self { parts, owner, id, word, reason: String::new(), version: 0 }
    }

    /// On to the payout, or its page again with what was refused and what was typed.
    async fn with<T>(self, done: Result<T, Problem>) -> Result<Response, Problem> {
        let Self { parts, owner, id, .. } = self;
        match done {
            Ok(_) => {
                settled(parts, owner, id, self.version).await?;
                Ok(see_other(&format!("/payments/payouts/{id}?done={}", self.word)))
            }
            Err(problem) => {
                let refusal = mendable(problem)?;
                let mut page = compose(parts, owner, id).await?;
                page.frame.alert = sentence(&refusal.all());
                page.otp_error = match refusal.of("otp") {
                    empty if empty.is_empty() => empty,
                    message => sentence(&format!("it {message}")),
                };
                page.reason = self.reason;
                page_with(&page, refusal.status())
            }
        }
    }
}

/// `POST /payments/payouts/{id}/approve`
pub(super) async fn approve(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    owner.may(grants::APPROVE)?;
    let id = payout_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            commands::approve_payout(tx, id).await?;
            Ok(())
        })
    });
    Ended::new(&parts, &owner, id, "approved").with(done.await).await
}

/// Why a payout is refused.
#[derive(Deserialize)]
pub(super) struct RefuseForm {
    #[serde(default)]
    reason: String,
}

/// `POST /payments/payouts/{id}/refuse`
pub(super) async fn refuse(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<RefuseForm>,
) -> Result<Response, Problem> {
    owner.may(grants::APPROVE)?;
    let id = payout_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, (id, form.reason.clone()), |tx, (id, reason)| {
        Box::pin(async move {
            commands::refuse_payout(tx, id, reason).await?;
            Ok(())
        })
    });
    Ended { reason: form.reason, ..Ended::new(&parts, &owner, id, "refused") }.with(done.await).await
}

/// `POST /payments/payouts/{id}/cancel`
pub(super) async fn cancel(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    owner.may(grants::PAY_OUT)?;
    let id = payout_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            commands::cancel_payout(tx, id).await?;
            Ok(())
        })
    });
    Ended::new(&parts, &owner, id, "payout_canceled").with(done.await).await
}

/// `POST /payments/payouts/{id}/retry`: has it tried, or looked at, now.
pub(super) async fn retry(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    owner.may(grants::PAY_OUT)?;
    let id = payout_id(&id)?;
    let version = queries::payout(&mut parts.store.read(), owner.workspace, id).await?.version;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            commands::retry_payout(tx, id).await?;
            Ok(())
        })
    });
    Ended { version, ..Ended::new(&parts, &owner, id, "retried") }.with(done.await).await
}

/// A one-time password; it is passed on, and neither shown again nor kept in the clear.
#[derive(Deserialize)]
pub(super) struct OtpForm {
    #[serde(default)]
    otp: String,
}

/// `POST /payments/payouts/{id}/confirm`: gives the provider the one-time password that it waits for.
pub(super) async fn confirm(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<OtpForm>,
) -> Result<Response, Problem> {
    let workspace = owner.may(grants::PAY_OUT)?;
    let id = payout_id(&id)?;
    let version = queries::payout(&mut parts.store.read(), workspace, id).await?.version;
    let done = match commands::seal_otp(parts.store.vault(), id, form.otp.trim()) {
        Err(error) => Err(error.into()),
        Ok(sealed) => {
            let done = gateway::effect_done(&parts.store, &owner.call, (id, sealed), |tx, (id, sealed)| {
                Box::pin(async move {
                    commands::confirm_payout(tx, id, sealed).await?;
                    Ok(())
                })
            });
            done.await
        }
    };
    Ended { version, ..Ended::new(&parts, &owner, id, "confirmed") }.with(done).await
}

/// How a payout ended that nobody else tells about.
#[derive(Deserialize)]
pub(super) struct ResolveForm {
    paid: bool,
    #[serde(default)]
    reason: String,
}

/// `POST /payments/payouts/{id}/resolve`: a person says how it ended, after they checked with the provider.
pub(super) async fn resolve(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<ResolveForm>,
) -> Result<Response, Problem> {
    owner.may(grants::APPROVE)?;
    let id = payout_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, (id, form.paid, form.reason.clone()), |tx, (id, was_paid, reason)| {
        Box::pin(async move {
            commands::resolve_payout(tx, id, was_paid, reason).await?;
            Ok(())
        })
    });
    Ended { reason: form.reason, ..Ended::new(&parts, &owner, id, "resolved") }.with(done.await).await
}
