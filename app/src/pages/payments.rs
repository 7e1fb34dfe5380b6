//! Payments: the list, one payment with everything about it, the links that anybody may pay with, payouts, settlement, and the payer's own pages.
//!
//! No page has a field for a card: people pay on the provider's page.

mod amount;
mod bank;
mod beneficiaries;
mod decide;
mod exceptions;
mod file;
mod float;
mod links;
mod pay;
mod payout;
mod payouts;
mod settlement;
mod story;
mod words;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use gateway::{Problem, Query};
use kernel::Id;
use payments::queries::Filter;
use payments::{Intent, IntentId, IntentState, LinkId};
use serde::Deserialize;

use super::frame::{Done, Frame, Owner, When, page, query};
use crate::installation::Parts;

/// How many payments a page of the list shows.
const SHOWN: usize = 50;
/// The pages of the section: address behind `/payments` and label.
const TABS: &[(&str, &str)] = &[("", "Payments"), ("/links", "Links"), ("/payouts", "Payouts"), ("/settlement", "Settlement")];
/// The states to choose from: word and label.
const STATES: [(&str, &str); 8] = [
    ("", "All"),
    ("succeeded", "Paid"),
    ("requires_action", "Waiting"),
    ("processing", "In progress"),
    ("requires_capture", "To capture"),
    ("partially_captured", "Captured in part"),
    ("requires_payment_method", "Not paid"),
    ("canceled", "Canceled"),
];

/// The addresses of payments.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/pay/{id}", get(pay::show).post(pay::begin))
        .route("/pay/{id}/back", get(pay::back))
        .route("/payments", get(list))
        .route("/payments/links", get(links::list).post(links::make))
        .route("/payments/links/{id}/switch", post(links::switch))
        .route("/payments/payouts", get(payouts::list).post(payouts::request))
        .route("/payments/payouts/{id}", get(payout::show))
        .route("/payments/payouts/{id}/approve", post(payout::approve))
        .route("/payments/payouts/{id}/refuse", post(payout::refuse))
        .route("/payments/payouts/{id}/cancel", post(payout::cancel))
        .route("/payments/payouts/{id}/retry", post(payout::retry))
        .route("/payments/payouts/{id}/confirm", post(payout::confirm))
        .route("/payments/payouts/{id}/resolve", post(payout::resolve))
        .route("/payments/beneficiaries", get(beneficiaries::list).post(beneficiaries::add))
        .route("/payments/beneficiaries/{id}", get(beneficiaries::show).post(beneficiaries::change))
        .route("/payments/beneficiaries/{id}/remove", post(beneficiaries::remove))
        .route("/payments/float", get(float::show))
        .route("/payments/float/top-up", post(float::top_up))
        .route("/payments/float/ask", post(float::ask))
        .route("/payments/float/settings", post(float::settings))
        .route("/payments/settlement", get(settlement::list).post(settlement::take).layer(gateway::body_limit(settlement::FORM_BYTES_MAX)))
        .route("/payments/settlement/bank-lines", post(bank::take).layer(gateway::body_limit(bank::FORM_BYTES_MAX)))
        .route("/payments/settlement/exceptions", get(exceptions::list))
        .route("/payments/settlement/exceptions/{id}", post(exceptions::act))
        .route("/payments/{id}", get(file::show))
        .route("/payments/{id}/capture", post(file::capture))
        .route("/payments/{id}/cancel", post(file::cancel))
        .route("/payments/{id}/refund", post(file::refund))
        .route("/payments/{id}/review", post(file::review))
        .route("/payments/{id}/decide", post(decide::decide))
}

/// A payment from an address; what does not look like one is none.
fn intent_id(text: &str) -> Result<IntentId, Problem> {
    IntentId::parse(text).map_err(|_| Problem::not_found())
}

/// Which payments are looked at; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
struct ListQuery {
    state: Option<String>,
    link: Option<String>,
    after: Option<String>,
}

impl ListQuery {
    fn state(&self) -> Option<IntentState> {
        let word = self.state.as_deref()?;
        IntentState::ALL.into_iter().find(|state| state.as_str() == word)
    }

    fn link(&self) -> Option<LinkId> {
        self.link.as_deref().and_then(|text| LinkId::parse(text).ok())
    }

    fn href(&self, state: &str, after: &str) -> String {
        let link = self.link().map(|id| id.to_string()).unwrap_or_default();
        match query(&[("state", state), ("link", &link), ("after", after)]) {
            empty if empty.is_empty() => "/payments".to_owned(),
            query => format!("/payments?{query}"),
        }
    }
}

/// A payment in the list.
struct Row {
    id: String,
    what: String,
    customer: String,
    figure: String,
    currency: String,
    refunded: String,
    state: words::State,
    at: When,
}

impl Row {
    fn new(intent: &Intent) -> Self {
        let refunded = intent.refunded_minor();
        Self {
            id: intent.id.to_string(),
            what: intent.description.clone().unwrap_or_else(|| "Payment".to_owned()),
            customer: intent.customer.clone().unwrap_or_default(),
            figure: amount::figure(intent.amount.amount_minor, intent.amount.currency),
            currency: intent.amount.currency.to_string(),
            refunded: if refunded > 0 { amount::figure(refunded, intent.amount.currency) } else { String::new() },
            state: words::state(intent),
            at: When(intent.created_at),
        }
    }
}

#[derive(Template)]
#[template(path = "payments.html")]
struct ListPage {
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
    has_provider: bool,
    can_manage: bool,
}

/// `GET /payments`
async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<ListQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let workspace = owner.may(payments::grants::READ)?;
    let filter = Filter { state: asked.state(), customer: None, link: asked.link() };
    let before = asked.after.as_deref().and_then(|text| IntentId::parse(text).ok());
    let mut reads = parts.store.read();
    let mut found = payments::queries::list(&mut reads, workspace, &filter, before, SHOWN as i64 + 1).await?;
    let has_provider = payments::queries::providers(&mut reads, workspace).await?.iter().any(|provider| provider.is_enabled);
    drop(reads);
    let has_more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let state = asked.state().map_or("", IntentState::as_str);
    page(&ListPage {
        frame: owner.frame("payments", "Payments").shaped("").after(&done),
        tabs: TABS,
        here: "",
        states: STATES.iter().map(|(word, label)| (*word, *label, asked.href(word, ""))).collect(),
        state,
        rows: found.iter().map(Row::new).collect(),
        is_filtered: filter != Filter::default() || before.is_some(),
        is_first: before.is_none(),
        first_href: asked.href(state, ""),
        next_href: found.last().filter(|_| has_more).map(|last| asked.href(state, &last.id.to_string())).unwrap_or_default(),
        has_provider,
        can_manage: owner.can(payments::grants::MANAGE),
    })
}
