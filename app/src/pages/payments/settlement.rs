//! Settlement: the reports that providers sent, what they come to, what is open by age, and a form to hand a report in.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use http::StatusCode;
use kernel::{Id, Timestamp};
use payments::commands::settlement::{self as commands, NewSettlement};
use payments::queries::settlement as queries;
use payments::settlement::{Ageing, Batch, COLUMNS, Format, Settlement, SettlementId, count, digest};
use payments::{PaymentError, ProviderId, ProviderRecord, grants};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, query, sentence};
use super::words::State as Words;
use super::{TABS, amount};
use crate::installation::Parts;

/// How many reports a page of the list shows; each asks for its sums.
const REPORTS_SHOWN: usize = 20;
/// The largest form with a report in it, in bytes; larger reports go to `POST /v1/settlements`.
pub(super) const FORM_BYTES_MAX: usize = 4 << 20;
/// What a report is called that was given no name.
const UNNAMED: &str = "upload";

/// A report in the list.
struct Report {
    id: String,
    name: String,
    provider: String,
    state: Words,
    note: String,
    lines: i64,
    matched: i64,
    exceptions: i64,
    totals: Vec<Total>,
    at: When,
}

/// What a report comes to in one currency.
struct Total {
    currency: String,
    gross: String,
    fee: String,
    net: String,
}

impl Total {
    fn new(total: &Batch) -> Self {
        let figure = |minor| amount::figure(minor, total.currency);
        Self {
            currency: total.currency.to_string(),
            gross: figure(total.gross_minor),
            fee: figure(total.fee_minor),
            net: figure(total.net_minor),
        }
    }
}

fn state(settlement: &Settlement) -> Words {
    let (label, pill) = match settlement.state.as_str() {
        "done" if settlement.exceptions > 0 => ("Booked, with differences", "paused"),
        "done" => ("Booked", "on"),
        "booking" => ("Being booked", "new"),
        "failed" => ("Not booked", "off"),
        _ => ("Arriving", "new"),
    };
    Words { label, pill }
}

/// What a provider is called here.
pub(super) fn name_of(providers: &[ProviderRecord], id: ProviderId) -> String {
    providers.iter().find(|known| known.id == id).map_or_else(|| id.to_string(), |known| known.name.clone())
}

/// Open exceptions of one provider by age.
struct Age {
    provider: String,
    counts: [i64; 4],
}

impl Age {
    fn new(ageing: &Ageing, providers: &[ProviderRecord]) -> Self {
        let counts = [ageing.to_1_day, ageing.to_7_days, ageing.to_30_days, ageing.older];
        Self { provider: name_of(providers, ageing.provider), counts }
    }
}

/// What was typed into the form of a report.
#[derive(Default, Deserialize)]
pub(super) struct ReportForm {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    until: String,
    #[serde(default)]
    report: String,
    once: Option<String>,
}

#[derive(Default)]
struct ReportErrors {
    provider: String,
    name: String,
    until: String,
    report: String,
}

#[derive(Template)]
#[template(path = "payments_settlement.html")]
struct SettlementPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    reports: Vec<Report>,
    ages: Vec<Age>,
    is_first: bool,
    next_href: String,
    providers: Vec<(String, String)>,
    columns: &'static str,
    can_settle: bool,
    can_manage: bool,
    once: String,
    typed: ReportForm,
    errors: ReportErrors,
}

#[derive(Default, Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

async fn compose(parts: &Parts, owner: &Owner, asked: After) -> Result<SettlementPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let before = asked.after.as_deref().and_then(|text| SettlementId::parse(text).ok());
    let now = parts.store.clock().now();
    let mut reads = parts.store.read();
    let mut found = queries::list(&mut reads, workspace, before, REPORTS_SHOWN as i64 + 1).await?;
    let has_more = found.len() > REPORTS_SHOWN;
    found.truncate(REPORTS_SHOWN);
    let providers = payments::queries::providers(&mut reads, workspace).await?;
    let ageing = queries::ageing(&mut reads, workspace, now).await?;
    let mut reports = Vec::with_capacity(found.len());
    for settlement in &found {
        let totals = queries::totals(&mut reads, workspace, settlement.id).await?;
        reports.push(Report {
            id: settlement.id.to_string(),
            name: settlement.name.clone(),
            provider: name_of(&providers, settlement.provider),
            state: state(settlement),
            note: settlement.note.clone().unwrap_or_default(),
            lines: settlement.lines,
            matched: settlement.matched,
            exceptions: settlement.exceptions,
            totals: totals.iter().map(Total::new).collect(),
            at: When(settlement.created_at),
        });
    }
    drop(reads);
    let next = found.last().filter(|_| has_more).map(|last| last.id.to_string()).unwrap_or_default();
    Ok(SettlementPage {
        frame: owner.frame("payments", "Settlement").shaped(""),
        tabs: TABS,
        here: "/settlement",
        reports,
        ages: ageing.iter().map(|ageing| Age::new(ageing, &providers)).collect(),
        is_first: before.is_none(),
        next_href: if next.is_empty() { next } else { format!("/payments/settlement?{}", query(&[("after", &next)])) },
        providers: providers.into_iter().map(|provider| (provider.id.to_string(), provider.name)).collect(),
        columns: COLUMNS,
        can_settle: owner.can(grants::SETTLE),
        can_manage: owner.can(grants::MANAGE),
        once: owner.once(parts),
        typed: ReportForm::default(),
        errors: ReportErrors::default(),
    })
}

/// `GET /payments/settlement`
pub(super) async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<After>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, asked).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// The report of a form, checked line by line, and its bytes.
async fn read(parts: &Parts, owner: &Owner, form: &ReportForm) -> Result<(NewSettlement, Arc<[u8]>), Problem> {
    let provider = ProviderId::parse(&form.provider).map_err(|_| PaymentError::field("provider", "must be chosen"))?;
    let covers_until = match form.until.trim() {
        "" => None,
        day => Some(
            Timestamp::parse(&format!("{day}T00:00:00Z"))
                .map_err(|_| PaymentError::field("covers_until", "must be a day such as 2026-01-31"))?,
        ),
    };
    // Browsers end the lines of a text with CR LF whatever was pasted; without it the same report is the same bytes.
    let text = form.report.replace("\r\n", "\n");
    let bytes: Arc<[u8]> = text.trim_start().as_bytes().into();
    let record = payments::queries::provider(&mut parts.store.read(), owner.workspace, provider).await?;
    let account = record.open(parts.store.vault())?;
    let format = Format::of(&bytes);
    let counted = count(format, record.dialect.provider(), &account, &bytes).map_err(|words| PaymentError::field("body", words))?;
    let name = match form.name.trim() {
        "" => UNNAMED,
        name => name,
    };
    let new = NewSettlement {
        provider,
        digest: digest(&bytes),
        name: name.to_owned(),
        format,
        covers_until,
        bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        lines: counted.lines,
    };
    Ok((new, bytes))
}

/// A refusal that the page of its form says: what cannot be right, and that another report is being booked.
pub(super) fn refused(problem: Problem) -> Result<(StatusCode, String, Option<super::super::frame::Refusal>), Problem> {
    if problem.code() == "settlement_running" {
        let alert = "A report of this provider is being booked. Try again in a moment: what you typed is still here.".to_owned();
        return Ok((problem.status(), alert, None));
    }
    let refusal = mendable(problem)?;
    Ok((refusal.status(), refusal.sentence(), Some(refusal)))
}

/// `POST /payments/settlement`
pub(super) async fn take(State(parts): State<Parts>, owner: Owner, Form(form): Form<ReportForm>) -> Result<Response, Problem> {
    owner.may(grants::SETTLE)?;
    let taken = match read(&parts, &owner, &form).await {
        Err(problem) => Err(problem),
        Ok(input) => {
            let call = owner.once_by(form.once.as_deref());
            let taken = gateway::effect_done(&parts.store, &call, input, |tx, (new, bytes)| {
                Box::pin(async move {
                    commands::take(tx, new, &bytes).await?;
                    Ok(())
                })
            });
            taken.await
        }
    };
    let (status, alert, refusal) = match taken {
        Ok(_) => return Ok(see_other("/payments/settlement?done=report")),
        Err(problem) => refused(problem)?,
    };
    let mut page = compose(&parts, &owner, After::default()).await?;
    let message = |field: &str| match refusal.as_ref().map(|refusal| refusal.of(field)).unwrap_or_default() {
        empty if empty.is_empty() => empty,
        // A message about a line of the report names the line itself.
        message if message.starts_with("line ") => sentence(&message),
        message => sentence(&format!("it {message}")),
    };
    page.frame.alert = alert;
    page.errors =
        ReportErrors { provider: message("provider"), name: message("name"), until: message("covers_until"), report: message("body") };
    page.typed = form;
    page_with(&page, status)
}
