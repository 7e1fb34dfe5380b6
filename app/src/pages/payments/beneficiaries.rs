//! Beneficiaries: whom money is paid out to, what their bank said, and how long a change of an account is watched. The number of an
//! account goes in and never comes out.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, RawId, Timestamp};
use payments::commands::{self, SealedBeneficiary};
use payments::{Beneficiary, BeneficiaryId, Destination, NameCheck, PaymentError, grants, queries};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, Refusal, When, mendable, page_with, query, sentence};
use super::super::session::NoFields;
use super::float::cool_off;
use super::payouts::Row as PayoutRow;
use super::words::State as Words;
use super::{SHOWN, TABS};
use crate::installation::Parts;

/// Payouts that the page of a beneficiary shows.
const PAYOUTS_SHOWN: i64 = 10;

/// What the bank said of the name that was entered.
const fn name_check(check: Option<NameCheck>) -> Words {
    let (label, pill) = match check {
        None => ("Bank not asked yet", ""),
        Some(NameCheck::Matches) => ("Name is right", "on"),
        Some(NameCheck::Differs) => ("Bank has another name", "off"),
        Some(NameCheck::NotFound) => ("Bank knows no such account", "off"),
        Some(NameCheck::NotTold) => ("Bank did not answer", "paused"),
        Some(NameCheck::NotOffered) => ("Nobody to ask", ""),
    };
    Words { label, pill }
}

/// A beneficiary in the list.
struct Row {
    id: String,
    name: String,
    account: String,
    check: Words,
    at: When,
}

/// Its bank, the end of its number, and its country.
fn account_of(known: &Beneficiary) -> String {
    let ending = if known.ending.is_empty() { String::new() } else { format!("…{}", known.ending) };
    let parts = [known.bank_code.clone(), ending, known.country.clone().unwrap_or_default()];
    parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" · ")
}

impl Row {
    fn new(known: &Beneficiary) -> Self {
        Self {
            id: known.id.to_string(),
            name: known.name.clone().unwrap_or_default(),
            account: account_of(known),
            check: name_check(known.name_check),
            at: When(known.changed_at),
        }
    }
}

/// What was typed about an account. Its number is typed again rather than sent back.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct AccountForm {
    #[serde(default)]
    version: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    bank: String,
    #[serde(default)]
    number: String,
    #[serde(default)]
    country: String,
    once: Option<String>,
}

#[derive(Default)]
struct AccountErrors {
    name: String,
    bank: String,
    number: String,
    country: String,
}

impl AccountErrors {
    fn of(refusal: &Refusal) -> Self {
        let message = |field: &str| match refusal.of(field) {
            empty if empty.is_empty() => empty,
            message => sentence(&format!("it {message}")),
        };
        let [name, bank, number, country] = ["account_name", "bank_code", "account_number", "country"].map(message);
        Self { name, bank, number, country }
    }
}

impl AccountForm {
    /// Seals the number, outside of any unit.
    fn sealed(&self, parts: &Parts, id: BeneficiaryId) -> Result<SealedBeneficiary, PaymentError> {
        let destination = Destination {
            bank_code: self.bank.trim().to_owned(),
            // People group the digits; banks do not.
            account_number: self.number.split_whitespace().collect(),
            account_name: self.name.trim().to_owned(),
        };
        let country = Some(self.country.trim().to_ascii_uppercase()).filter(|text| !text.is_empty());
        commands::seal_beneficiary(parts.store.vault(), id, &destination, country)
    }
}

#[derive(Template)]
#[template(path = "payments_beneficiaries.html")]
struct ListPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    rows: Vec<Row>,
    is_first: bool,
    next_href: String,
    can_pay_out: bool,
    once: String,
    typed: AccountForm,
    errors: AccountErrors,
}

#[derive(Default, Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

async fn compose_list(parts: &Parts, owner: &Owner, asked: After) -> Result<ListPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let before = asked.after.as_deref().and_then(|text| BeneficiaryId::parse(text).ok());
    let mut found = queries::beneficiaries(&mut parts.store.read(), workspace, before, SHOWN as i64 + 1).await?;
    let has_more = found.len() > SHOWN;
    found.truncate(SHOWN);
    let next = found.last().filter(|_| has_more).map(|last| last.id.to_string()).unwrap_or_default();
    Ok(ListPage {
        frame: owner.frame("payments", "Beneficiaries").shaped(""),
        tabs: TABS,
        here: "/payouts",
        rows: found.iter().map(Row::new).collect(),
        is_first: before.is_none(),
        next_href: if next.is_empty() { next } else { format!("/payments/beneficiaries?{}", query(&[("after", &next)])) },
        can_pay_out: owner.can(grants::PAY_OUT),
        once: owner.once(parts),
        typed: AccountForm::default(),
        errors: AccountErrors::default(),
    })
}

/// `GET /payments/beneficiaries`
pub(super) async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<After>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose_list(&parts, &owner, asked).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// `POST /payments/beneficiaries`: adds one.
pub(super) async fn add(State(parts): State<Parts>, owner: Owner, Form(form): Form<AccountForm>) -> Result<Response, Problem> {
    owner.may(grants::PAY_OUT)?;
    let id = BeneficiaryId::from_raw(RawId::generate(parts.store.clock().now(), parts.store.entropy()));
    let added = match form.sealed(&parts, id) {
        Err(error) => Err(error.into()),
        Ok(sealed) => {
            let call = owner.once_by(form.once.as_deref());
            let added = gateway::effect_created(&parts.store, &call, sealed, |tx, sealed| {
                Box::pin(async move { Ok(commands::add_beneficiary(tx, sealed).await?.id.to_string()) })
            });
            added.await.and_then(|added| added.into_value())
        }
    };
    match added {
        Ok(id) => Ok(see_other(&format!("/payments/beneficiaries/{id}?done=beneficiary"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut page = compose_list(&parts, &owner, After::default()).await?;
            page.frame.alert = refusal.sentence();
            page.errors = AccountErrors::of(&refusal);
            page.typed = form;
            page_with(&page, refusal.status())
        }
    }
}

#[derive(Template)]
#[template(path = "payments_beneficiary.html")]
struct BeneficiaryPage {
    frame: Frame,
    row: Row,
    what_bank_said: &'static str,
    watched: String,
    created: When,
    payouts: Vec<PayoutRow>,
    is_there: bool,
    can_pay_out: bool,
    typed: AccountForm,
    errors: AccountErrors,
}

/// What a name enquiry means for payouts.
const fn said(check: Option<NameCheck>) -> &'static str {
    match check {
        None => "Its bank is asked whose the account is before the first payout, where the provider can ask.",
        Some(NameCheck::Matches) => "Its bank says that the account is theirs.",
        Some(NameCheck::Differs) => "Its bank says that the account has another name: payouts to it wait for somebody to decide.",
        Some(NameCheck::NotFound) => "Its bank knows no such account: payouts to it wait for somebody to decide.",
        Some(NameCheck::NotTold) => "Its bank was asked and did not answer: payouts to it wait for somebody to decide.",
        Some(NameCheck::NotOffered) => "The provider that pays out asks no bank for names.",
    }
}

/// How long payouts to it are watched because it changed, in a sentence; empty where no rule says so.
fn watched(hours: Option<i64>, changed_at: Timestamp, now: Timestamp) -> String {
    let Some(hours) = hours else { return String::new() };
    let span = if hours == 1 { "1 hour".to_owned() } else { format!("{hours} hours") };
    let end = changed_at.plus(Duration::from_secs(hours.unsigned_abs().saturating_mul(3_600)));
    if end > now {
        format!(
            "Cool-off: it changed less than {span} ago, so that payouts to it are stopped by a rule until {}.",
            super::super::frame::plain_time(end)
        )
    } else {
        format!("Cool-off: after a change of the account payouts to it are stopped by a rule for {span}.")
    }
}

async fn compose(parts: &Parts, owner: &Owner, id: BeneficiaryId) -> Result<BeneficiaryPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let mut reads = parts.store.read();
    let known = queries::beneficiary(&mut reads, workspace, id).await?;
    let payouts = queries::payouts(&mut reads, workspace, None, Some(id), None, PAYOUTS_SHOWN).await?;
    let rule = cool_off(&mut reads, workspace).await?;
    drop(reads);
    let is_there = known.erased_at.is_none();
    let name = known.name.clone().unwrap_or_else(|| "Somebody who was erased".to_owned());
    let hours = rule.filter(|rule| rule.is_in_force).map(|rule| rule.hours);
    Ok(BeneficiaryPage {
        frame: owner.frame("payments", "Beneficiary").shaped(""),
        what_bank_said: said(known.name_check),
        watched: if is_there { watched(hours, known.changed_at, parts.store.clock().now()) } else { String::new() },
        created: When(known.created_at),
        payouts: payouts.iter().map(|payout| PayoutRow::new(payout, name.clone())).collect(),
        is_there,
        can_pay_out: owner.can(grants::PAY_OUT),
        typed: AccountForm {
            version: known.version,
            name: known.name.clone().unwrap_or_default(),
            bank: known.bank_code.clone(),
            number: String::new(),
            country: known.country.clone().unwrap_or_default(),
            once: None,
        },
        errors: AccountErrors::default(),
        row: Row { name, ..Row::new(&known) },
    })
}

fn beneficiary_id(text: &str) -> Result<BeneficiaryId, Problem> {
    BeneficiaryId::parse(text).map_err(|_| Problem::not_found())
}

/// `GET /payments/beneficiaries/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, beneficiary_id(&id)?).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// `POST /payments/beneficiaries/{id}`: another account or name. Payouts that were asked for before do not go any more.
pub(super) async fn change(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<AccountForm>,
) -> Result<Response, Problem> {
    let workspace = owner.may(grants::PAY_OUT)?;
    let id = beneficiary_id(&id)?;
    // Somebody else's is not there, whatever is typed.
    queries::beneficiary(&mut parts.store.read(), workspace, id).await?;
    let changed = match form.sealed(&parts, id) {
        Err(error) => Err(error.into()),
        Ok(sealed) => {
            let changed = gateway::effect_done(&parts.store, &owner.call, (form.version, sealed), |tx, (version, sealed)| {
                Box::pin(async move {
                    commands::change_beneficiary(tx, version, sealed).await?;
                    Ok(())
                })
            });
            changed.await
        }
    };
    match changed {
        Ok(_) => Ok(see_other(&format!("/payments/beneficiaries/{id}?done=beneficiary_changed"))),
        Err(problem) => {
            let is_stale = problem.code() == "version_conflict";
            let refusal = mendable(problem)?;
            let mut page = compose(&parts, &owner, id).await?;
            page.frame.alert = refusal.sentence();
            page.errors = AccountErrors::of(&refusal);
            if !is_stale {
                page.typed = form;
            }
            page_with(&page, refusal.status())
        }
    }
}

/// `POST /payments/beneficiaries/{id}/remove`: forgets the name and the number.
pub(super) async fn remove(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    owner.may(grants::PAY_OUT)?;
    let id = beneficiary_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move { Ok(commands::erase_beneficiary(tx, id).await?) })
    });
    done.await?;
    Ok(see_other("/payments/beneficiaries?done=beneficiary_removed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cool_off_is_told_while_it_lasts_and_afterwards() {
        let changed = Timestamp::parse("2026-02-03T14:00:00Z").unwrap();
        let hour = |n: u64| changed.plus(Duration::from_secs(n * 3_600));
        assert_eq!(watched(None, changed, changed), "");
        assert!(watched(Some(24), changed, hour(23)).contains("until 4 Feb 2026, 14:00 UTC"));
        assert!(watched(Some(24), changed, hour(24)).contains("for 24 hours"));
        assert!(watched(Some(1), changed, hour(1)).contains("for 1 hour."));
    }
}
