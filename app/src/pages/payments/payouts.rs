//! Payouts: the list, and one with the gates that it passes, what happened, and what people decide about it.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, WorkspaceId};
use payments::{
    BeneficiaryId, Hold, NameCheck, Payout, PayoutEvent, PayoutId, PayoutState, ProviderId, ProviderRecord, Recorded, Wait, commands,
    grants, queries,
};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Names, Owner, When, mendable, page_with, query, sentence};
use super::super::session::NoFields;
use super::settlement::name_of;
use super::words::State as Words;
use super::{SHOWN, TABS, amount};
use crate::installation::Parts;

/// Events that are shown at most.
const HISTORY_SHOWN: i64 = 200;
/// How long a button waits for what follows from it, before the page says how it stands.
const WAIT: Duration = Duration::from_secs(5);
/// The states to choose from: word and label.
const STATES: [(&str, &str); 6] =
    [("", "All"), ("risk_review", "To decide"), ("approved", "Waiting"), ("paid", "Paid"), ("failed", "Failed"), ("reversed", "Came back")];

fn state(payout: &Payout) -> Words {
    let (label, pill) = match payout.state {
        PayoutState::Requested => ("Bank is asked", "new"),
        PayoutState::RiskReview => ("To decide", "paused"),
        PayoutState::Approved => match payout.waits_for {
            Some(Wait::InsufficientFloat) => ("Waits for funds", "paused"),
            Some(Wait::Weekend) => ("Waits for a working day", "paused"),
            None => ("Approved", "new"),
        },
        PayoutState::FundsReserved => ("About to be sent", "new"),
        PayoutState::Submitted => ("Being sent", "new"),
        PayoutState::OtpRequired => ("Needs a one-time password", "paused"),
        PayoutState::Pending => ("Provider is at it", "new"),
        PayoutState::Unknown => ("Outcome not known yet", "paused"),
        PayoutState::Paid => ("Paid", "on"),
        PayoutState::Failed => ("Failed", "off"),
        PayoutState::Reversed => ("Came back", "off"),
        PayoutState::Refused => ("Refused", "off"),
        PayoutState::Canceled => ("Canceled", "retired"),
    };
    Words { label, pill }
}

/// A payout in the list.
struct Row {
    id: String,
    to: String,
    narration: String,
    figure: String,
    currency: String,
    state: Words,
    at: When,
}

impl Row {
    fn new(payout: &Payout, to: String) -> Self {
        Self {
            id: payout.id.to_string(),
            to,
            narration: payout.narration.clone().unwrap_or_default(),
            figure: amount::figure(payout.amount.amount_minor, payout.amount.currency),
            currency: payout.amount.currency.to_string(),
            state: state(payout),
            at: When(payout.requested_at),
        }
    }
}

/// Whose account it is, and which: its bank and the end of its number.
async fn receiver(reads: &mut impl store::Reads, workspace: WorkspaceId, id: BeneficiaryId) -> Result<(String, String), Problem> {
    let found = queries::find_beneficiary(reads, workspace, id).await?;
    Ok(found.map_or_else(
        || ("somebody who was erased".to_owned(), String::new()),
        |known| {
            let account = [known.bank_code.clone(), format!("…{}", known.ending)];
            let account = account.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ");
            (known.name.unwrap_or_else(|| "somebody who was erased".to_owned()), account)
        },
    ))
}

/// Which payouts are looked at; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn state(&self) -> &'static str {
        STATES.iter().find(|(word, _)| Some(*word) == self.state.as_deref()).map_or("", |(word, _)| word)
    }
}

fn href(state: &str, after: &str) -> String {
    match query(&[("state", state), ("after", after)]) {
        empty if empty.is_empty() => "/payments/payouts".to_owned(),
        query => format!("/payments/payouts?{query}"),
    }
}

#[derive(Template)]
#[template(path = "payments_payouts.html")]
struct PayoutsPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    states: Vec<(&'static str, &'static str, String)>,
    state: &'static str,
    rows: Vec<Row>,
    is_filtered: bool,
    is_first: bool,
    first_href: String,
    next_href: String,
}

/// `GET /payments/payouts`
pub(super) async fn list(State(parts): State<Parts>, owner: Owner, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let workspace = owner.may(grants::READ)?;
    let word = asked.state();
    let wanted = PayoutState::ALL.into_iter().find(|state| state.as_str() == word);
    let before = asked.after.as_deref().and_then(|text| PayoutId::parse(text).ok());
    let mut reads = parts.store.read();
    let mut found = queries::payouts(&mut reads, workspace, wanted, None, before, SHOWN as i64 + 1).await?;
    let has_more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let mut rows = Vec::with_capacity(found.len());
    for payout in &found {
        rows.push(Row::new(payout, receiver(&mut reads, workspace, payout.beneficiary).await?.0));
    }
    drop(reads);
    let page = PayoutsPage {
        frame: owner.frame("payments", "Payouts").shaped(""),
        tabs: TABS,
        here: "/payouts",
        states: STATES.iter().map(|(word, label)| (*word, *label, href(word, ""))).collect(),
        state: word,
        rows,
        is_filtered: wanted.is_some() || before.is_some(),
        is_first: before.is_none(),
        first_href: href(word, ""),
        next_href: found.last().filter(|_| has_more).map(|last| href(word, &last.id.to_string())).unwrap_or_default(),
    };
    page_with(&page, StatusCode::OK)
}

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
    reason: String,
    can_approve: bool,
    can_refuse: bool,
    can_cancel: bool,
    is_own: bool,
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
        reason: String::new(),
        can_approve: may_go,
        can_refuse: payout.state.is_before_sending() && !is_mine && owner.can(grants::APPROVE),
        can_cancel: payout.state.is_before_sending() && owner.can(grants::PAY_OUT),
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

/// On to the payout, or its page again with what was refused and what was typed.
async fn ended<T>(
    parts: &Parts,
    owner: &Owner,
    id: PayoutId,
    done: Result<T, Problem>,
    word: &str,
    reason: String,
) -> Result<Response, Problem> {
    match done {
        Ok(_) => {
            payments::wait_for_payout(&parts.store, owner.workspace, id, WAIT, is_settled).await?;
            Ok(see_other(&format!("/payments/payouts/{id}?done={word}")))
        }
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(parts, owner, id).await?;
            page.frame.alert = sentence(&refusal.all());
            page.reason = reason;
            page_with(&page, refusal.status())
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
    ended(&parts, &owner, id, done.await, "approved", String::new()).await
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
    ended(&parts, &owner, id, done.await, "refused", form.reason).await
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
    ended(&parts, &owner, id, done.await, "payout_canceled", String::new()).await
}
