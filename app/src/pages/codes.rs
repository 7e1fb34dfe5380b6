//! The workspace's codes: the list, and the page of one with its scans.

mod file;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use cards::CardId;
use codes::commands::asked::{self, Wanted};
use codes::queries::{Cursor, Filter};
use codes::{Code, CodeError, CodeState, Destination, NewCode, PublicCode, TargetUrl, label};
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use kernel::{FieldFault, Id, WorkspaceId};
use serde::Deserialize;
use store::Reads;

use super::cards::named;
use super::frame::{Done, Frame, Owner, Refusal, mendable, page_with, query, sentence};
use crate::installation::Parts;

/// How many codes a page of the list shows.
const SHOWN: usize = 50;

/// The addresses of codes.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/codes", get(list).post(mint))
        .route("/codes/{code}", get(file::show).post(file::edit))
        .route("/codes/{code}/bind", post(file::bind))
        .route("/codes/{code}/pause", post(file::pause))
        .route("/codes/{code}/resume", post(file::resume))
        .route("/codes/{code}/alert", post(file::alert))
}

/// Where a code leads, in words and, where there is one, as an address to follow.
async fn leads_to(reads: &mut impl Reads, workspace: WorkspaceId, code: &Code) -> Result<(String, String), Problem> {
    let Some(destination) = code.state.destination() else {
        let words = if code.state == CodeState::Retired { "Nowhere any more: it is retired" } else { "Nowhere yet" };
        return Ok((words.to_owned(), String::new()));
    };
    Ok(match destination {
        Destination::Url(url) => (url.as_str().to_owned(), url.as_str().to_owned()),
        Destination::Page { page, .. } => (page.as_str().to_owned(), page.as_str().to_owned()),
        Destination::Thing(thing) => match CardId::parse(thing.id()) {
            Ok(id) => match cards::queries::find(reads, workspace, id).await? {
                Some(card) => (format!("Card {}", named(&card)), format!("/cards/{id}")),
                None => ("A card that is gone".to_owned(), String::new()),
            },
            Err(_) => (thing.kind().replace('_', " "), String::new()),
        },
    })
}

/// A code in the list.
struct Row {
    code: PublicCode,
    name: String,
    tags: Vec<(String, String)>,
    to: String,
    state: &'static str,
    state_label: &'static str,
    scans: i64,
}

#[derive(Template)]
#[template(path = "codes.html")]
struct ListPage {
    frame: Frame,
    states: Vec<(&'static str, &'static str, String)>,
    rows: Vec<Row>,
    state: String,
    q: String,
    tag: String,
    is_filtered: bool,
    is_first: bool,
    first_href: String,
    next_href: String,
    can_write: bool,
    once: String,
    typed_url: String,
    typed_name: String,
    url_error: String,
}

/// Which codes are looked at; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
struct ListQuery {
    state: Option<String>,
    q: Option<String>,
    tag: Option<String>,
    after: Option<String>,
}

const STATES: [(&str, &str); 5] = [("", "All"), ("live", "Live"), ("paused", "Paused"), ("minted", "Unbound"), ("retired", "Retired")];

/// A state as a word for people.
fn state_label(word: &str) -> &'static str {
    STATES.iter().find(|(known, _)| *known == word).map_or("", |(_, label)| label)
}

impl ListQuery {
    fn state(&self) -> &'static str {
        let wanted = self.state.as_deref().unwrap_or_default();
        STATES.iter().find(|(word, _)| *word == wanted).map_or("", |(word, _)| word)
    }

    fn href(&self, state: &str, after: &str) -> String {
        let (q, tag) = (self.q.as_deref().unwrap_or_default(), self.tag.as_deref().unwrap_or_default());
        match query(&[("state", state), ("q", q), ("tag", tag), ("after", after)]) {
            empty if empty.is_empty() => "/codes".to_owned(),
            query => format!("/codes?{query}"),
        }
    }
}

async fn compose(parts: &Parts, owner: &Owner, asked: ListQuery) -> Result<ListPage, Problem> {
    let workspace = owner.may(codes::grants::READ)?;
    let cursor = asked.after.as_deref().and_then(Cursor::parse);
    let filter = Filter {
        state: Some(asked.state().to_owned()).filter(|state| !state.is_empty()),
        search: asked.q.as_deref().map(|text| text.chars().take(100).collect()),
        tag: asked.tag.as_deref().and_then(|tag| label::tag(tag).ok()),
        batch: None,
    };
    let mut reads = parts.store.read();
    let mut codes = codes::queries::list(&mut reads, workspace, &filter, cursor, SHOWN as u32 + 1).await?;
    let has_more = codes.len() > SHOWN;
    codes.truncate(SHOWN);
    let printed: Vec<PublicCode> = codes.iter().map(|code| code.code).collect();
    let totals = codes::scan::totals_of(&mut reads, workspace, &printed).await?;
    let mut rows = Vec::with_capacity(codes.len());
    for code in &codes {
        rows.push(Row {
            code: code.code,
            name: code.name.as_str().to_owned(),
            tags: code.tags.as_slice().iter().map(|tag| (tag.clone(), format!("/codes?{}", query(&[("tag", tag)])))).collect(),
            to: leads_to(&mut reads, workspace, code).await?.0,
            state: code.state.word(),
            state_label: state_label(code.state.word()),
            scans: totals.get(&code.code).map_or(0, |totals| totals.total),
        });
    }
    let state = asked.state();
    Ok(ListPage {
        frame: owner.frame("codes", "Codes").shaped(""),
        states: STATES.iter().map(|(word, label)| (*word, *label, asked.href(word, ""))).collect(),
        rows,
        is_filtered: filter != Filter::default() || cursor.is_some(),
        is_first: cursor.is_none(),
        first_href: asked.href(state, ""),
        next_href: codes.last().filter(|_| has_more).map(|last| asked.href(state, &Cursor::after(last).to_string())).unwrap_or_default(),
        state: state.to_owned(),
        q: asked.q.unwrap_or_default(),
        tag: filter.tag.unwrap_or_default(),
        can_write: owner.can(codes::grants::WRITE),
        once: owner.once(parts),
        typed_url: String::new(),
        typed_name: String::new(),
        url_error: String::new(),
    })
}

/// `GET /codes`
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

#[derive(Deserialize)]
struct MintForm {
    #[serde(default)]
    url: String,
    #[serde(default)]
    name: String,
    once: Option<String>,
}

/// An address that a code is to lead to.
fn wanted(text: &str, public_url: &str) -> Result<Wanted, CodeError> {
    TargetUrl::parse(text, public_url).map(Wanted::Url).map_err(|error| CodeError::field("url", error))
}

/// What is wrong with the address, in a sentence.
fn url_error(refusal: &Refusal) -> String {
    match refusal.of("url") {
        empty if empty.is_empty() => String::new(),
        message => sentence(&format!("the address {message}")),
    }
}

/// `POST /codes`: mints a code that leads to an address on the web.
async fn mint(State(parts): State<Parts>, owner: Owner, Form(form): Form<MintForm>) -> Result<Response, Problem> {
    owner.may(codes::grants::WRITE)?;
    let parsed = || {
        let name = label::Name::parse(&form.name)
            .map_err(|error| CodeError::Invalid { fields: vec![FieldFault::new("name", error.to_string())] })?;
        Ok::<_, CodeError>((NewCode { name, ..NewCode::default() }, wanted(&form.url, &parts.public_url)?))
    };
    let done = match parsed() {
        Err(error) => Err(error.into()),
        Ok(input) => {
            let call = owner.once_by(form.once.as_deref());
            let minted = gateway::effect_created(&parts.store, &call, input, |tx, (new, wanted)| {
                Box::pin(async move { Ok(asked::mint(tx, new, Some(wanted)).await?.code.to_string()) })
            });
            minted.await
        }
    };
    match done {
        Ok(answer) => Ok(see_other(&format!("/codes/{}", answer.into_value()?))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let mut list = compose(&parts, &owner, ListQuery::default()).await?;
            list.frame.alert = refusal.all();
            (list.url_error, list.typed_url, list.typed_name) = (url_error(&refusal), form.url, form.name);
            page_with(&list, refusal.status())
        }
    }
}
