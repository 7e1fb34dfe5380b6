//! Payouts: the list, and the form that asks for one.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use http::StatusCode;
use kernel::{Currency, Id, Money, WorkspaceId};
use payments::commands::{self, PayoutWanted};
use payments::{BeneficiaryId, PaymentError, Payout, PayoutId, PayoutState, ProviderId, Wait, grants, queries};
use serde::Deserialize;

use super::super::frame::{Frame, Owner, Refusal, When, mendable, page_with, query, sentence};
use super::words::State as Words;
use super::{SHOWN, TABS, amount, payout};
use crate::installation::Parts;

/// Beneficiaries that the form offers; of more than these the one that the address names is offered too.
const OFFERED: i64 = 200;
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
pub(super) struct Row {
    pub(super) id: String,
    pub(super) to: String,
    pub(super) narration: String,
    pub(super) figure: String,
    pub(super) currency: String,
    pub(super) state: Words,
    pub(super) at: When,
}

impl Row {
    pub(super) fn new(payout: &Payout, to: String) -> Self {
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
pub(super) async fn receiver(
    reads: &mut impl store::Reads,
    workspace: WorkspaceId,
    id: BeneficiaryId,
) -> Result<(String, String), Problem> {
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

/// Which payouts are looked at, and whom the form is for; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    after: Option<String>,
    to: Option<String>,
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

/// What was typed into the form that asks for a payout.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct PayoutForm {
    #[serde(default)]
    beneficiary: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    currency: String,
    #[serde(default)]
    provider: String,
    #[serde(default)]
    narration: String,
    once: Option<String>,
}

#[derive(Default)]
struct PayoutErrors {
    beneficiary: String,
    amount: String,
    currency: String,
    provider: String,
    narration: String,
}

impl PayoutErrors {
    fn of(refusal: &Refusal) -> Self {
        let message = |field: &str| match refusal.of(field) {
            empty if empty.is_empty() => empty,
            message => sentence(&format!("it {message}")),
        };
        let amount = Some(message("amount")).filter(|text| !text.is_empty()).unwrap_or_else(|| message("amount_minor"));
        let [beneficiary, currency, provider, narration] = ["beneficiary", "currency", "provider", "narration"].map(message);
        Self { beneficiary, amount, currency, provider, narration }
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
    can_pay_out: bool,
    beneficiaries: Vec<(String, String)>,
    providers: Vec<(String, String)>,
    once: String,
    typed: PayoutForm,
    errors: PayoutErrors,
}

async fn compose(parts: &Parts, owner: &Owner, asked: &Asked, typed: PayoutForm) -> Result<PayoutsPage, Problem> {
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
    let mut offered = queries::beneficiaries(&mut reads, workspace, None, OFFERED).await?;
    if let Ok(id) = BeneficiaryId::parse(&typed.beneficiary)
        && !offered.iter().any(|known| known.id == id)
    {
        offered.extend(queries::find_beneficiary(&mut reads, workspace, id).await?.filter(|known| known.erased_at.is_none()));
    }
    let mut providers = queries::providers(&mut reads, workspace).await?;
    drop(reads);
    providers.retain(|provider| provider.dialect.provider().abilities().pays_out);
    let label = |name: Option<String>, ending: &str| match ending {
        "" => name.unwrap_or_default(),
        ending => format!("{} · …{ending}", name.unwrap_or_default()),
    };
    Ok(PayoutsPage {
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
        can_pay_out: owner.can(grants::PAY_OUT),
        beneficiaries: offered.into_iter().map(|known| (known.id.to_string(), label(known.name, &known.ending))).collect(),
        providers: providers.into_iter().map(|provider| (provider.id.to_string(), provider.name)).collect(),
        once: owner.once(parts),
        typed,
        errors: PayoutErrors::default(),
    })
}

/// `GET /payments/payouts`
pub(super) async fn list(State(parts): State<Parts>, owner: Owner, Query(asked): Query<Asked>) -> Result<Response, Problem> {
    let typed = PayoutForm { beneficiary: asked.to.clone().unwrap_or_default(), ..PayoutForm::default() };
    page_with(&compose(&parts, &owner, &asked, typed).await?, StatusCode::OK)
}

impl PayoutForm {
    fn parsed(&self) -> Result<PayoutWanted, PaymentError> {
        let beneficiary = BeneficiaryId::parse(&self.beneficiary).map_err(|_| PaymentError::field("beneficiary", "must be chosen"))?;
        let currency = Currency::parse(&self.currency.trim().to_ascii_uppercase());
        let currency = currency.map_err(|_| PaymentError::field("currency", "must be three letters, such as EUR"))?;
        let amount_minor = amount::parse(&self.amount, currency).map_err(|message| PaymentError::field("amount", message))?;
        let provider = match self.provider.as_str() {
            "" => None,
            text => Some(ProviderId::parse(text).map_err(|_| PaymentError::field("provider", "must be one of yours"))?),
        };
        let narration = Some(self.narration.trim().to_owned()).filter(|text| !text.is_empty());
        Ok(PayoutWanted { beneficiary, amount: Money::new(amount_minor, currency), provider, narration })
    }
}

/// `POST /payments/payouts`: asks for one. Rules and people decide first; its page says who has to.
pub(super) async fn request(State(parts): State<Parts>, owner: Owner, Form(form): Form<PayoutForm>) -> Result<Response, Problem> {
    owner.may(grants::PAY_OUT)?;
    let made = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok(wanted) => {
            let call = owner.once_by(form.once.as_deref());
            let made = gateway::effect_created(&parts.store, &call, wanted, |tx, wanted| {
                Box::pin(async move { Ok(commands::request_payout(tx, wanted).await?.id.to_string()) })
            });
            made.await.and_then(|made| made.into_value())
        }
    };
    match made {
        Ok(text) => {
            let id = PayoutId::parse(&text).map_err(Problem::internal)?;
            payout::settled(&parts, &owner, id, 0).await?;
            Ok(see_other(&format!("/payments/payouts/{id}?done=payout")))
        }
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner, &Asked::default(), form).await?;
            page.frame.alert = refusal.sentence();
            page.errors = PayoutErrors::of(&refusal);
            page_with(&page, refusal.status())
        }
    }
}
