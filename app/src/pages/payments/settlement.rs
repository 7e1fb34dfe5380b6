//! Settlement: the reports that providers sent, what they come to, what is open by age, and forms to hand a report or a bank's
//! statement in.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Problem, Query};
use http::{HeaderValue, StatusCode, header};
use kernel::{Id, Timestamp};
use payments::commands::settlement::{self as commands, NewSettlement};
use payments::queries::settlement as queries;
use payments::settlement::{Ageing, Batch, COLUMNS, Format, Settlement, SettlementId, count, digest};
use payments::{PaymentError, ProviderId, ProviderRecord, grants};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Owner, When, mendable, page_with, query, sentence};
use super::super::upload::{File, Upload};
use super::bank::{StatementErrors, StatementForm};
use super::words::State as Words;
use super::{TABS, amount};
use crate::installation::Parts;

/// How many reports a page of the list shows; each asks for its sums.
const REPORTS_SHOWN: usize = 20;
/// The largest form with a report in it, in bytes; larger reports are taken in from the command line.
pub(super) const FORM_BYTES_MAX: usize = 4 << 20;
/// While a report that was just handed in is being booked, its page looks again after so many seconds.
const LOOK_AGAIN: HeaderValue = HeaderValue::from_static("2");
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

/// What was sent with the form of a report: a file, or the text that was pasted instead.
#[derive(Default)]
struct ReportForm {
    provider: String,
    name: String,
    until: String,
    report: String,
    file: Option<File>,
}

impl From<Upload> for ReportForm {
    fn from(mut sent: Upload) -> Self {
        let [provider, name, until, report] = ["provider", "name", "until", "report"].map(|field| sent.take(field));
        Self { provider, name, until, report, file: sent.file }
    }
}

#[derive(Default)]
struct ReportErrors {
    provider: String,
    name: String,
    until: String,
    file: String,
    report: String,
}

/// What a form hands in: the file to the byte, or else what was pasted. Browsers end the lines of a text with CR LF whatever was
/// pasted; without it the same text is the same bytes.
pub(super) fn handed_in(file: Option<&File>, text: &str) -> Arc<[u8]> {
    match file {
        Some(file) => file.bytes.as_slice().into(),
        None => text.replace("\r\n", "\n").trim_start().as_bytes().into(),
    }
}

/// A message about what was handed in: about a line it names the line itself.
pub(super) fn told_of_file(message: String) -> String {
    match message {
        empty if empty.is_empty() => empty,
        message if ["line ", "the ", "it ", "choose "].iter().any(|begin| message.starts_with(begin)) => sentence(&message),
        message => sentence(&format!("it {message}")),
    }
}

/// What cannot be read, and that spreadsheets write something else than UTF-8 unless they are asked for it.
pub(super) fn unreadable(bytes: &[u8], words: String) -> PaymentError {
    let is_text = !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok();
    match (bytes.is_empty(), is_text) {
        (true, _) => PaymentError::field("body", "choose a file, or paste what is in it"),
        (false, false) => PaymentError::field("body", "must be text in UTF-8: save the sheet as \"CSV UTF-8\""),
        (false, true) => PaymentError::field("body", words),
    }
}

#[derive(Template)]
#[template(path = "payments_settlement.html")]
pub(super) struct SettlementPage {
    pub(super) frame: Frame,
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
    is_booking: bool,
    typed: ReportForm,
    errors: ReportErrors,
    pub(super) statement: StatementForm,
    pub(super) statement_errors: StatementErrors,
}

#[derive(Default, Deserialize)]
pub(super) struct After {
    after: Option<String>,
}

pub(super) async fn compose(parts: &Parts, owner: &Owner, asked: After) -> Result<SettlementPage, Problem> {
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
        is_booking: found.iter().any(|settlement| settlement.state == "booking"),
        typed: ReportForm::default(),
        errors: ReportErrors::default(),
        statement: StatementForm::default(),
        statement_errors: StatementErrors::default(),
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
    let mut response = page_with(&page, StatusCode::OK)?;
    if page.is_booking && !page.frame.done.is_empty() {
        response.headers_mut().insert(header::REFRESH, LOOK_AGAIN);
    }
    Ok(response)
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
    let bytes = handed_in(form.file.as_ref(), &form.report);
    let record = payments::queries::provider(&mut parts.store.read(), owner.workspace, provider).await?;
    let account = record.open(parts.store.vault())?;
    let format = Format::of(&bytes);
    let counted = match count(format, record.dialect.provider(), &account, &bytes) {
        Ok(counted) if counted.lines > 0 => counted,
        Ok(_) => return Err(unreadable(&bytes, "must be a report with at least one line".to_owned()).into()),
        Err(words) => return Err(unreadable(&bytes, words).into()),
    };
    let names = [form.name.trim(), form.file.as_ref().map_or("", |file| &file.name), UNNAMED];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or(UNNAMED);
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
        let alert = "A report of this provider is being booked. Send this again in a moment.".to_owned();
        return Ok((problem.status(), alert, None));
    }
    let refusal = mendable(problem)?;
    Ok((refusal.status(), refusal.sentence(), Some(refusal)))
}

/// `POST /payments/settlement`
pub(super) async fn take(State(parts): State<Parts>, owner: Owner, sent: Upload) -> Result<Response, Problem> {
    owner.may(grants::SETTLE)?;
    let form = ReportForm::from(sent);
    let taken = match read(&parts, &owner, &form).await {
        Err(problem) => Err(problem),
        Ok(input) => {
            // The same bytes again are the same report, so that the form needs no key of its own.
            let taken = gateway::effect_done(&parts.store, &owner.call, input, |tx, (new, bytes)| {
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
    let about = |field: &str| refusal.as_ref().map(|refusal| refusal.of(field)).unwrap_or_default();
    let message = |field: &str| match about(field) {
        empty if empty.is_empty() => empty,
        message => sentence(&format!("it {message}")),
    };
    let body = told_of_file(about("body"));
    let (of_file, of_text) = if form.file.is_some() || form.report.is_empty() { (body, String::new()) } else { (String::new(), body) };
    page.frame.alert = alert;
    page.errors = ReportErrors {
        provider: message("provider"),
        name: message("name"),
        until: message("covers_until"),
        file: of_file,
        report: of_text,
    };
    page.typed = form;
    page_with(&page, status)
}
