//! The books: accounts, one account through time, the trial balance, wallets, and everything about one transfer or entry.
//!
//! A period here is days of UTC by which transfers count, as people mean it; what was entered on another day says so.

mod account;
mod chart;
pub mod paper;
mod period;
mod transfer;
mod trial;
mod wallets;

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use kernel::{FieldFault, Id, WorkspaceId};
use ledger::commands::asked;
use ledger::queries::AccountFilter;
use ledger::{Account, AccountCode, AccountId, AccountKind, LedgerError, Limits, NewAccount, Side, Totals, Unit, parse_name};
use serde::Deserialize;
use store::Reads;

use super::frame::{Done, Frame, Owner, mendable, page_with, query, sentence};
use crate::installation::Parts;

/// How many accounts a page of the list shows.
const SHOWN: usize = 50;
/// The pages of the section: address and label.
const TABS: [(&str, &str); 3] = [("", "Accounts"), ("/wallets", "Wallets"), ("/trial-balance", "Trial balance")];
/// The kinds to choose from: word, label for several.
const KINDS: [(&str, &str); 6] =
    [("", "All"), ("asset", "Assets"), ("liability", "Liabilities"), ("equity", "Equity"), ("income", "Income"), ("expense", "Expenses")];
/// The limits to choose from.
const LIMITS: [(&str, &str); 3] = [
    ("none", "None"),
    ("debits_within_credits", "Debits never more than credits: a wallet"),
    ("credits_within_debits", "Credits never more than debits: a till"),
];

/// The addresses of the books.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/ledger", get(list).post(open))
        .route("/ledger/wallets", get(wallets::list))
        .route("/ledger/trial-balance", get(trial::show))
        .route("/ledger/accounts/{id}", get(account::show))
        .route("/ledger/accounts/{id}/close", post(account::close))
        .route("/ledger/accounts/{id}/reopen", post(account::reopen))
        .route("/ledger/transfers/{id}", get(transfer::show))
        .route("/ledger/entries/{id}", get(transfer::show_entry))
}

/// An amount with its unit.
struct Money {
    figure: String,
    unit: String,
}

impl Money {
    fn of(minor: i128, unit: &Unit) -> Self {
        Self { figure: unit.major(minor), unit: unit.to_string() }
    }

    /// Whether it needs smaller letters.
    fn is_long(&self) -> bool {
        self.figure.len() + self.unit.len() > 10
    }
}

/// What is pending on an account: what would add to its balance, and what would take away from it.
fn pending(account: &Account, totals: &Totals) -> (i128, i128) {
    let (debits, credits) = (totals.debits_pending, totals.credits_pending);
    if account.kind.grows_by_debits() { (debits, credits) } else { (credits, debits) }
}

/// A kind as a word for people.
fn kind_label(kind: AccountKind) -> &'static str {
    match kind {
        AccountKind::Asset => "Asset",
        AccountKind::Liability => "Liability",
        AccountKind::Equity => "Equity",
        AccountKind::Income => "Income",
        AccountKind::Expense => "Expense",
    }
}

/// The accounts that transfers name, each read once.
#[derive(Default)]
struct Known(HashMap<AccountId, Account>);

impl Known {
    async fn learn(&mut self, reads: &mut impl Reads, workspace: WorkspaceId, id: AccountId) -> Result<(), Problem> {
        if let Entry::Vacant(place) = self.0.entry(id) {
            place.insert(ledger::queries::account(reads, workspace, id).await?);
        }
        Ok(())
    }

    fn name(&self, id: AccountId) -> String {
        self.0.get(&id).map_or_else(String::new, |account| account.name.clone())
    }

    fn code(&self, id: AccountId) -> String {
        self.0.get(&id).map_or_else(String::new, |account| account.code.to_string())
    }
}

/// An account from an address; what does not look like one is none.
fn account_id(text: &str) -> Result<AccountId, Problem> {
    AccountId::parse(text).map_err(|_| Problem::not_found())
}

/// An account in the list.
struct Row {
    id: String,
    name: String,
    code: String,
    kind: &'static str,
    is_closed: bool,
    balance: Money,
    is_negative: bool,
    pending: String,
}

impl Row {
    fn new(account: &Account, totals: &Totals) -> Self {
        let balance = account.balance(totals);
        let (more, less) = pending(account, totals);
        let told = |label: &str, sum: i128| (sum != 0).then(|| format!("{} {label}", account.unit.major(sum)));
        let pending: Vec<String> = told("coming", more).into_iter().chain(told("held", less)).collect();
        Self {
            id: account.id.to_string(),
            name: account.name.clone(),
            code: account.code.to_string(),
            kind: kind_label(account.kind),
            is_closed: account.closed_at.is_some(),
            balance: Money::of(balance, &account.unit),
            is_negative: balance < 0,
            pending: pending.join(", "),
        }
    }
}

/// What was typed into the form of a new account, and what was wrong with it.
#[derive(Default, Deserialize)]
struct OpenForm {
    #[serde(default)]
    code: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    unit: String,
    #[serde(default)]
    limits: String,
    once: Option<String>,
}

#[derive(Default)]
struct OpenErrors {
    code: String,
    name: String,
    unit: String,
}

#[derive(Template)]
#[template(path = "ledger_accounts.html")]
struct ListPage {
    frame: Frame,
    tabs: [(&'static str, &'static str); 3],
    here: &'static str,
    kinds: Vec<(&'static str, &'static str, String)>,
    kind: &'static str,
    prefix: String,
    unit: String,
    state: String,
    rows: Vec<Row>,
    is_filtered: bool,
    is_first: bool,
    first_href: String,
    next_href: String,
    can_post: bool,
    once: String,
    typed: OpenForm,
    errors: OpenErrors,
    limits: [(&'static str, &'static str); 3],
}

/// Which accounts are looked at; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
struct ListQuery {
    kind: Option<String>,
    unit: Option<String>,
    prefix: Option<String>,
    state: Option<String>,
    after: Option<String>,
}

impl ListQuery {
    fn kind(&self) -> &'static str {
        let wanted = self.kind.as_deref().unwrap_or_default();
        KINDS.iter().find(|(word, _)| *word == wanted).map_or("", |(word, _)| word)
    }

    fn filter(&self) -> AccountFilter {
        AccountFilter {
            kind: self.kind().parse().ok(),
            unit: self.unit.as_deref().and_then(|text| Unit::parse(&unit_typed(text)).ok()),
            code_prefix: self.prefix.as_deref().map(str::trim).and_then(|text| AccountCode::parse(text).ok()).map(|code| code.to_string()),
            is_open: match self.state.as_deref() {
                Some("open") => Some(true),
                Some("closed") => Some(false),
                _ => None,
            },
        }
    }

    fn href(&self, kind: &str, after: &str) -> String {
        let text = |value: &Option<String>| value.as_deref().unwrap_or_default().trim().to_owned();
        let (unit, prefix, state) = (text(&self.unit), text(&self.prefix), text(&self.state));
        match query(&[("kind", kind), ("unit", &unit), ("prefix", &prefix), ("state", &state), ("after", after)]) {
            empty if empty.is_empty() => "/ledger".to_owned(),
            query => format!("/ledger?{query}"),
        }
    }
}

/// A unit as people type it: `eur` is EUR, and points keep their small letters.
fn unit_typed(text: &str) -> String {
    let text = text.trim();
    if text.len() == 3 { text.to_ascii_uppercase() } else { text.to_owned() }
}

async fn compose(parts: &Parts, owner: &Owner, asked: ListQuery) -> Result<ListPage, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let (filter, after) = (asked.filter(), asked.after.as_deref().and_then(|code| AccountCode::parse(code).ok()));
    let mut reads = parts.store.read();
    let mut accounts = ledger::queries::accounts(&mut reads, workspace, &filter, after.as_ref(), SHOWN as u32 + 1).await?;
    let has_more = accounts.len() > SHOWN;
    accounts.truncate(SHOWN);
    let totals = ledger::queries::totals_of(&mut reads, workspace, &accounts).await?;
    let kind = asked.kind();
    Ok(ListPage {
        frame: owner.frame("ledger", "Accounts").shaped(""),
        tabs: TABS,
        here: "",
        kinds: KINDS.iter().map(|(word, label)| (*word, *label, asked.href(word, ""))).collect(),
        kind,
        rows: accounts.iter().map(|account| Row::new(account, &totals.get(&account.id).copied().unwrap_or_default())).collect(),
        is_filtered: filter != AccountFilter::default() || after.is_some(),
        is_first: after.is_none(),
        first_href: asked.href(kind, ""),
        next_href: accounts.last().filter(|_| has_more).map(|last| asked.href(kind, last.code.as_str())).unwrap_or_default(),
        prefix: asked.prefix.unwrap_or_default(),
        unit: asked.unit.unwrap_or_default(),
        state: asked.state.unwrap_or_default(),
        can_post: owner.can(ledger::grants::POST),
        once: owner.once(parts),
        typed: OpenForm::default(),
        errors: OpenErrors::default(),
        limits: LIMITS,
    })
}

/// `GET /ledger`
async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<ListQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut list = compose(&parts, &owner, asked).await?;
    list.frame.done = done.sentence();
    page_with(&list, http::StatusCode::OK)
}

impl OpenForm {
    fn parsed(&self) -> Result<NewAccount, LedgerError> {
        let mut fields = Vec::new();
        let mut fault = |field: &str, message: &'static str| fields.push(FieldFault::new(field, message));
        let code = AccountCode::parse(self.code.trim()).map_err(|error| fault("code", error.0)).ok();
        let name = parse_name(&self.name).map_err(|error| fault("name", error.0)).ok();
        let kind: Option<AccountKind> = self.kind.parse().map_err(|_| fault("kind", "must be chosen")).ok();
        let unit = Unit::parse(&unit_typed(&self.unit)).map_err(|error| fault("unit", error.0)).ok();
        let limits: Option<Limits> = self.limits.parse().map_err(|_| fault("limits", "must be chosen")).ok();
        match (code, name, kind, unit, limits) {
            (Some(code), Some(name), Some(kind), Some(unit), Some(limits)) => {
                Ok(NewAccount { code, name, kind, unit, limits, metadata: None })
            }
            _ => Err(LedgerError::Invalid { fields }),
        }
    }
}

/// `POST /ledger`: opens an account.
async fn open(State(parts): State<Parts>, owner: Owner, Form(form): Form<OpenForm>) -> Result<Response, Problem> {
    owner.may(ledger::grants::POST)?;
    let done = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok(new) => {
            let call = owner.once_by(form.once.as_deref());
            let opened = gateway::effect_created(&parts.store, &call, new, |tx, new| {
                Box::pin(async move { Ok(asked::open(tx, new).await?.id.to_string()) })
            });
            opened.await
        }
    };
    match done {
        Ok(answer) => Ok(see_other(&format!("/ledger/accounts/{}?done=opened", answer.into_value()?))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut list = compose(&parts, &owner, ListQuery::default()).await?;
            let message = |field: &str, what: &str| match refusal.of(field) {
                empty if empty.is_empty() => String::new(),
                message if message.starts_with("must") => sentence(&format!("{what} {message}")),
                message => sentence(&message),
            };
            list.frame.alert = refusal.sentence();
            list.errors = OpenErrors { code: message("code", "the code"), name: message("name", "the name"), unit: message("unit", "it") };
            list.typed = form;
            page_with(&list, refusal.status())
        }
    }
}

/// The words of a side, for headings.
const fn side_label(side: Side) -> &'static str {
    match side {
        Side::Debit => "Debit",
        Side::Credit => "Credit",
    }
}
