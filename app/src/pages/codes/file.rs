//! The page of one code: its scans, where it leads, and what its owner changes.

use std::time::Duration;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use cards::CardId;
use codes::commands::Edit;
use codes::commands::asked;
use codes::label::{Name, Tags};
use codes::scan::{By, Counts, Span};
use codes::{CodeError, PublicCode, text_of_code};
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use kernel::{FieldFault, Id, Timestamp};
use serde::Deserialize;

use super::super::cards::named;
use super::super::chart::{Chart, step_name};
use super::super::frame::{Done, Frame, Owner, Refusal, When, mendable, page_with, query, sentence};
use super::super::session::NoFields;
use super::{leads_to, state_label, url_error, wanted};
use crate::installation::Parts;

/// The stretches of time to choose from: word, label, the same in a sentence, how fine, how many hours back.
const RANGES: [(&str, &str, &str, By, u64); 5] = [
    ("24h", "24 hours", "In the last 24 hours", By::Hour, 24),
    ("7d", "7 days", "In the last 7 days", By::Hour, 7 * 24),
    ("30d", "30 days", "In the last 30 days", By::Day, 30 * 24),
    ("90d", "90 days", "In the last 90 days", By::Day, 90 * 24),
    ("1y", "A year", "In the last year", By::Day, 365 * 24),
];
/// How often somebody may be told: minutes and words.
const INTERVALS: [(i64, &str); 5] = [
    (10, "At most every 10 minutes"),
    (60, "At most every hour"),
    (6 * 60, "At most every 6 hours"),
    (24 * 60, "At most once a day"),
    (7 * 24 * 60, "At most once a week"),
];
/// Lines of a breakdown that are shown.
const LINES_SHOWN: usize = 8;

struct Line {
    name: String,
    scans: i64,
    percent: i64,
}

struct Part {
    label: &'static str,
    lines: Vec<Line>,
}

#[derive(Template)]
#[template(path = "code.html")]
struct FilePage {
    frame: Frame,
    code: PublicCode,
    name: String,
    version: i64,
    state: &'static str,
    state_label: &'static str,
    total: i64,
    bots: i64,
    doubles: i64,
    in_range: i64,
    visitors: u64,
    last: Option<When>,
    range: &'static str,
    range_label: &'static str,
    ranges: Vec<(&'static str, &'static str, String)>,
    by_hour: bool,
    chart: Chart,
    table: Vec<(String, i64, u64)>,
    csv_query: String,
    breakdowns: Vec<Part>,
    to: String,
    to_href: String,
    is_local: bool,
    can_write: bool,
    cards: Vec<(String, String)>,
    typed_url: String,
    url_error: String,
    typed_name: String,
    name_error: String,
    typed_tags: String,
    tags_error: String,
    told_minutes: Option<i64>,
    intervals: Vec<(i64, &'static str)>,
    url: String,
}

/// A code from an address; what does not look like one is none.
fn printed(text: &str) -> Result<PublicCode, Problem> {
    PublicCode::parse(text.as_bytes()).map_err(|_| Problem::not_found())
}

fn part(label: &'static str, counts: &Counts) -> Part {
    let ranked = counts.ranked();
    let all: i64 = ranked.iter().map(|(_, scans)| scans).sum();
    let lines = ranked.iter().take(LINES_SHOWN).map(|(name, scans)| Line {
        name: if name.is_empty() { "unknown".to_owned() } else { (*name).to_owned() },
        scans: *scans,
        percent: (scans * 100).checked_div(all).unwrap_or(0),
    });
    Part { label, lines: lines.collect() }
}

async fn compose(parts: &Parts, owner: &Owner, code: PublicCode, range: &str) -> Result<FilePage, Problem> {
    let workspace = owner.may(codes::grants::READ)?;
    let now = parts.store.clock().now();
    let (range, _, range_label, by, hours) = *RANGES.iter().find(|(word, ..)| *word == range).unwrap_or(&RANGES[2]);
    // The step that is now is one of them.
    let step = if by == By::Hour { 1 } else { 24 };
    let span = Span::new(by, Some(now.minus(Duration::from_secs((hours - step) * 3600))), None, now)?;
    let mut reads = parts.store.read();
    let found = codes::queries::get(&mut reads, workspace, code).await?;
    let series = codes::scan::series(&mut reads, workspace, code, span).await?;
    let totals = codes::scan::totals(&mut reads, workspace, code).await?;
    let by_day = codes::scan::visitors(&mut reads, workspace, code, span).await?;
    let breakdown = codes::scan::breakdown(&mut reads, workspace, code, span).await?;
    let alert = codes::scan::alert_of(&mut reads, workspace, code, owner.me.id).await?;
    let (to, to_href) = leads_to(&mut reads, workspace, &found).await?;
    let live = cards::queries::Filter { is_live: Some(true), ..Default::default() };
    let cards = cards::queries::list(&mut reads, workspace, &live, None, 200).await?;
    let visitors_on = |at: Timestamp| by_day.iter().find(|day| day.at == at).map_or(0, |day| day.visitors);
    let breakdowns = [
        part("Device", &breakdown.device),
        part("Came from", &breakdown.referrer),
        part("Language", &breakdown.language),
        part("Country", &breakdown.place),
        part("System", &breakdown.system),
        part("Browser", &breakdown.browser),
    ];
    let name = found.name.as_str().to_owned();
    let mut intervals = INTERVALS.to_vec();
    let told_minutes = alert.map(|alert| alert.interval_seconds / 60);
    if let Some(minutes) = told_minutes.filter(|minutes| !INTERVALS.iter().any(|(known, _)| known == minutes)) {
        intervals.push((minutes, "As it is now"));
    }
    Ok(FilePage {
        frame: owner.frame("codes", if name.is_empty() { code.to_string() } else { name.clone() }).shaped(""),
        code,
        version: found.version,
        state: found.state.word(),
        state_label: state_label(found.state.word()),
        total: totals.total,
        bots: totals.bots,
        doubles: totals.doubles,
        in_range: series.scans,
        visitors: by_day.iter().map(|day| day.visitors).sum(),
        last: (totals.last_at > 0).then(|| When(Timestamp::from_micros(totals.last_at))),
        range,
        range_label,
        ranges: RANGES.iter().map(|(word, label, ..)| (*word, *label, format!("/codes/{code}?range={word}"))).collect(),
        by_hour: by == By::Hour,
        chart: Chart::of(&series, by),
        table: series.points.iter().rev().map(|point| (step_name(by, point.at), point.scans, visitors_on(point.at))).collect(),
        csv_query: query(&[
            ("by", if by == By::Hour { "hour" } else { "day" }),
            ("from", &span.from().to_string()),
            ("to", &span.to().to_string()),
        ]),
        breakdowns: breakdowns.into_iter().filter(|part| !part.lines.is_empty()).collect(),
        is_local: to_href.starts_with('/'),
        to,
        to_href,
        can_write: owner.can(codes::grants::WRITE),
        cards: cards.iter().map(|card| (card.id.to_string(), named(card))).collect(),
        typed_url: String::new(),
        url_error: String::new(),
        typed_name: name.clone(),
        name_error: String::new(),
        typed_tags: found.tags.as_slice().join(", "),
        tags_error: String::new(),
        told_minutes,
        intervals,
        url: text_of_code(&parts.public_url, code),
        name,
    })
}

#[derive(Deserialize)]
pub(super) struct ShowQuery {
    range: Option<String>,
}

/// `GET /codes/{code}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Query(asked): Query<ShowQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut file = compose(&parts, &owner, printed(&code)?, asked.range.as_deref().unwrap_or_default()).await?;
    file.frame.done = done.sentence();
    page_with(&file, http::StatusCode::OK)
}

/// On to the page of the code, or the page again with what was refused.
async fn ended<T>(
    parts: &Parts,
    owner: &Owner,
    code: PublicCode,
    done: Result<T, Problem>,
    word: &str,
    mend: impl FnOnce(&mut FilePage, &Refusal),
) -> Result<Response, Problem> {
    match done {
        Ok(_) => Ok(see_other(&format!("/codes/{code}?done={word}"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut file = compose(parts, owner, code, "").await?;
            file.frame.alert = refusal.sentence();
            mend(&mut file, &refusal);
            page_with(&file, refusal.status())
        }
    }
}

#[derive(Deserialize)]
pub(super) struct EditForm {
    version: i64,
    #[serde(default)]
    name: String,
    #[serde(default)]
    tags: String,
}

impl EditForm {
    fn parsed(&self) -> Result<Edit, CodeError> {
        let tags: Vec<&str> = self.tags.split(',').filter(|tag| !tag.trim().is_empty()).collect();
        match (Name::parse(&self.name), Tags::parse(&tags)) {
            (Ok(name), Ok(tags)) => Ok(Edit { version: Some(self.version), name: Some(name), tags: Some(tags), ..Edit::default() }),
            (name, tags) => {
                let fault = |field: &str, error: Option<String>| error.map(|message| FieldFault::new(field, message));
                let name = fault("name", name.err().map(|error| error.to_string()));
                let tags = fault("tags", tags.err().map(|error| error.to_string()));
                Err(CodeError::Invalid { fields: name.into_iter().chain(tags).collect() })
            }
        }
    }
}

/// `POST /codes/{code}`: its name and tags.
pub(super) async fn edit(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Form(form): Form<EditForm>,
) -> Result<Response, Problem> {
    let code = printed(&code)?;
    let done = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok(edit) => {
            let done = gateway::effect_done(&parts.store, &owner.call, (code, edit), |tx, (code, edit)| {
                Box::pin(async move {
                    asked::edit(tx, code, edit).await?;
                    Ok(())
                })
            });
            done.await
        }
    };
    ended(&parts, &owner, code, done, "saved", |file, refusal| {
        if refusal.is_about_fields() {
            let message =
                |field: &str| Some(refusal.of(field)).filter(|text| !text.is_empty()).map(|text| sentence(&text)).unwrap_or_default();
            (file.name_error, file.tags_error) = (message("name"), message("tags"));
            (file.typed_name, file.typed_tags) = (form.name, form.tags);
        }
    })
    .await
}

#[derive(Deserialize)]
pub(super) struct BindForm {
    card: Option<String>,
    #[serde(default)]
    url: String,
}

/// `POST /codes/{code}/bind`: leads it to a card or to an address on the web.
pub(super) async fn bind(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Form(form): Form<BindForm>,
) -> Result<Response, Problem> {
    let code = printed(&code)?;
    let done = match form.card.as_deref() {
        Some(card) => {
            let card = CardId::parse(card).map_err(|_| Problem::not_found())?;
            let done = gateway::effect_done(&parts.store, &owner.call, (card, code), |tx, (card, code)| {
                Box::pin(async move {
                    cards::commands::bind_code(tx, card, code).await?;
                    Ok(())
                })
            });
            done.await
        }
        None => match wanted(&form.url, &parts.public_url) {
            Err(error) => Err(error.into()),
            Ok(wanted) => {
                let done = gateway::effect_done(&parts.store, &owner.call, (code, wanted), |tx, (code, wanted)| {
                    Box::pin(async move {
                        asked::bind(tx, code, wanted).await?;
                        Ok(())
                    })
                });
                done.await
            }
        },
    };
    ended(&parts, &owner, code, done, "bound", |file, refusal| {
        (file.url_error, file.typed_url) = (url_error(refusal), form.url);
    })
    .await
}

/// `POST /codes/{code}/pause`
pub(super) async fn pause(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let code = printed(&code)?;
    let done = gateway::effect_done(&parts.store, &owner.call, code, |tx, code| {
        Box::pin(async move {
            asked::pause(tx, code).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, code, done.await, "paused", |_, _| {}).await
}

/// `POST /codes/{code}/resume`
pub(super) async fn resume(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let code = printed(&code)?;
    let done = gateway::effect_done(&parts.store, &owner.call, code, |tx, code| {
        Box::pin(async move {
            asked::resume(tx, code).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, code, done.await, "resumed", |_, _| {}).await
}

#[derive(Deserialize)]
pub(super) struct AlertForm {
    minutes: Option<i64>,
}

/// `POST /codes/{code}/alert`: how often the member wants to be told of scans, if at all.
pub(super) async fn alert(
    State(parts): State<Parts>,
    owner: Owner,
    Path(code): Path<String>,
    Form(form): Form<AlertForm>,
) -> Result<Response, Problem> {
    let code = printed(&code)?;
    let seconds = form.minutes.map(|minutes| minutes.saturating_mul(60));
    let done = gateway::effect_done(&parts.store, &owner.call, (code, seconds), |tx, (code, seconds)| {
        Box::pin(async move {
            codes::scan::set_alert(tx, code, seconds).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, code, done.await, "alert", |file, refusal| file.frame.alert = refusal.all()).await
}
