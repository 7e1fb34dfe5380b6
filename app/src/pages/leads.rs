//! The owner's leads: the list that new ones enter by themselves, and the page of one.

mod file;

use std::collections::HashMap;

use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use cards::CardId;
use gateway::{Path, Problem, Query};
use http::StatusCode;
use kernel::{Id, MemberId};
use leads::queries::{Assignee, Counts, Filter};
use leads::{Lead, LeadId, Source, Status};
use serde::Deserialize;

use super::frame::{Done, Frame, Owner, When, page, query};
use crate::installation::Parts;

/// How many leads a page of the list shows.
const SHOWN: usize = 50;
/// The longest search, in characters.
const SEARCH_MAX: usize = 100;

/// The addresses of leads.
pub fn routes() -> Router<Parts> {
    Router::new()
        .route("/leads", get(list))
        .route("/leads/counts", get(counts))
        .route("/leads/{id}", get(file::show))
        .route("/leads/{id}/row", get(row))
        .route("/leads/{id}/status", post(file::status))
        .route("/leads/{id}/assign", post(file::assign))
        .route("/leads/{id}/spam", post(file::spam))
        .route("/leads/{id}/tags", post(file::add_tag))
        .route("/leads/{id}/tags/remove", post(file::remove_tag))
        .route("/leads/{id}/notes", post(file::add_note))
        .route("/leads/{id}/erase", get(file::ask_erase).post(file::erase))
}

/// Which leads are looked at. Words that mean nothing are as good as absent: an address is typed by people.
#[derive(Debug, Clone, Default, Deserialize)]
struct ListQuery {
    status: Option<String>,
    q: Option<String>,
    assigned_to: Option<String>,
    tag: Option<String>,
    suspected_spam: Option<String>,
    after: Option<String>,
}

impl ListQuery {
    fn status(&self) -> Option<Status> {
        self.status.as_deref().and_then(|word| word.parse().ok())
    }

    fn is_spam(&self) -> bool {
        self.suspected_spam.as_deref() == Some("true")
    }

    fn after(&self) -> Option<LeadId> {
        self.after.as_deref().and_then(|text| LeadId::parse(text).ok())
    }

    fn filter(&self) -> Filter {
        let assigned_to = match self.assigned_to.as_deref() {
            Some("none") => Some(Assignee::Nobody),
            Some(text) => MemberId::parse(text).ok().map(Assignee::Member),
            None => None,
        };
        Filter {
            status: self.status().filter(|_| !self.is_spam()),
            assigned_to,
            tag: self.tag.clone(),
            search: self.q.as_deref().map(|text| text.chars().take(SEARCH_MAX).collect()),
            suspected_spam: self.is_spam(),
            ..Filter::default()
        }
    }

    /// The query of the same list at another status and place.
    fn with(&self, status: &str, is_spam: bool, after: &str) -> String {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let spam = if is_spam { "true" } else { "" };
        let pairs = [
            ("status", status),
            ("suspected_spam", spam),
            ("q", &text(&self.q)),
            ("assigned_to", &text(&self.assigned_to)),
            ("tag", &text(&self.tag)),
            ("after", after),
        ];
        match query(&pairs) {
            empty if empty.is_empty() => String::new(),
            query => format!("?{query}"),
        }
    }

    /// Whether a lead belongs to the list, decided as the query would.
    fn shows(&self, lead: &Lead) -> bool {
        let Filter { status, assigned_to, tag, search, suspected_spam, .. } = self.filter();
        let is_assigned = match assigned_to {
            None => true,
            Some(Assignee::Nobody) => lead.assigned_to.is_none(),
            Some(Assignee::Member(member)) => lead.assigned_to == Some(member),
        };
        is_assigned
            && lead.suspected_spam == suspected_spam
            && lead.erased_at.is_none()
            && status.is_none_or(|status| status == lead.status)
            && tag.is_none_or(|tag| lead.tags.contains(&tag.trim().to_lowercase()))
            && search.is_none_or(|search| lead.search_text().contains(&search.trim().to_lowercase()))
    }
}

/// One status to choose, with how many there are.
struct Tab {
    label: &'static str,
    href: String,
    is_here: bool,
    count: String,
}

/// A status as a word for people.
fn label(status: Status) -> &'static str {
    match status {
        Status::New => "New",
        Status::Contacted => "Contacted",
        Status::Qualified => "Qualified",
        Status::Won => "Won",
        Status::Lost => "Lost",
    }
}

fn tabs(asked: &ListQuery, counts: &Counts) -> Vec<Tab> {
    let (here, is_spam) = (asked.status(), asked.is_spam());
    let all: i64 = counts.by_status.iter().sum();
    let tab = |label, status: &str, is_here, count: String| Tab {
        label,
        href: format!("/leads{}", asked.with(status, false, "")),
        is_here,
        count,
    };
    let mut tabs = vec![tab("All", "", here.is_none() && !is_spam, all.to_string())];
    tabs.extend(
        Status::ALL.map(|status| tab(label(status), status.word(), here == Some(status) && !is_spam, counts.of(status).to_string())),
    );
    tabs.push(Tab { label: "Spam", href: format!("/leads{}", asked.with("", true, "")), is_here: is_spam, count: String::new() });
    tabs
}

/// A lead in one line.
struct Row {
    id: String,
    name: String,
    company: String,
    contact: String,
    from: String,
    state: &'static str,
    state_label: &'static str,
    at: When,
}

impl Row {
    fn new(lead: &Lead, cards: &CardNames) -> Self {
        let email = lead.email.as_ref().map(|email| email.as_str().to_owned());
        let phone = lead.phone.as_ref().map(|phone| phone.as_str().to_owned());
        let (state, state_label) = if lead.suspected_spam { ("spam", "Spam?") } else { (lead.status.word(), label(lead.status)) };
        let name = if lead.erased_at.is_some() { "Erased".to_owned() } else { lead.name.clone() };
        let again = if lead.submissions > 1 { format!(" · {} times", lead.submissions) } else { String::new() };
        Self {
            id: lead.id.to_string(),
            name,
            company: lead.company.clone().unwrap_or_default(),
            contact: email.or(phone).unwrap_or_default(),
            from: format!("{}{again}", cards.of(&lead.source)),
            state,
            state_label,
            at: When(lead.created_at),
        }
    }
}

/// What the cards are called that leads came from.
struct CardNames(HashMap<CardId, String>);

impl CardNames {
    async fn of_sources<'a>(parts: &Parts, owner: &Owner, sources: impl Iterator<Item = &'a Source>) -> Result<Self, Problem> {
        let mut names = HashMap::new();
        let mut reads = parts.store.read();
        for id in sources.filter(|source| source.kind == "card").filter_map(|source| CardId::parse(&source.id).ok()) {
            if names.contains_key(&id) {
                continue;
            }
            let card = cards::queries::find(&mut reads, owner.workspace, id).await?;
            let profile = card.map(|card| card.profile);
            names.insert(id, profile.map_or_else(String::new, |profile| profile.label.unwrap_or(profile.name.display)));
        }
        Ok(Self(names))
    }

    fn of(&self, source: &Source) -> String {
        let name = CardId::parse(&source.id).ok().and_then(|id| self.0.get(&id)).filter(|name| !name.is_empty());
        match (source.kind.as_str(), name) {
            ("card", Some(name)) => format!("Card {name}"),
            ("card", None) => "A card".to_owned(),
            ("exchange", _) => "Cards exchanged".to_owned(),
            ("api", _) => "Entered by a program".to_owned(),
            (kind, _) => kind.replace('_', " "),
        }
    }
}

#[derive(Template)]
#[template(path = "leads.html")]
struct ListPage {
    frame: Frame,
    tabs: Vec<Tab>,
    rows: Vec<Row>,
    members: Vec<(String, String)>,
    status: String,
    q: String,
    assigned: String,
    tag: String,
    csv_query: String,
    first_href: String,
    next_href: String,
    is_first: bool,
    is_filtered: bool,
}

/// `GET /leads`
async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<ListQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let workspace = owner.may(leads::grants::READ)?;
    let (filter, after) = (asked.filter(), asked.after());
    let mut reads = parts.store.read();
    let mut leads = leads::queries::list(&mut reads, workspace, &filter, after, SHOWN as i64 + 1).await?;
    let counts = leads::queries::count(&mut reads, workspace).await?;
    drop(reads);
    let has_more = leads.len() > SHOWN;
    leads.truncate(SHOWN);
    let cards = CardNames::of_sources(&parts, &owner, leads.iter().map(|lead| &lead.source)).await?;
    let status = filter.status.map_or("", Status::word);
    let here = |after: &str| format!("/leads{}", asked.with(status, asked.is_spam(), after));
    page(&ListPage {
        frame: owner.frame("leads", "Leads").shaped("").after(&done),
        tabs: tabs(&asked, &counts),
        rows: leads.iter().map(|lead| Row::new(lead, &cards)).collect(),
        members: owner.names(&parts).await?.choice(),
        csv_query: asked.with(status, asked.is_spam(), ""),
        first_href: here(""),
        next_href: leads.last().filter(|_| has_more).map(|last| here(&last.id.to_string())).unwrap_or_default(),
        is_first: after.is_none(),
        is_filtered: filter != Filter::default() || after.is_some(),
        status: status.to_owned(),
        q: filter.search.unwrap_or_default(),
        assigned: asked.assigned_to.unwrap_or_default(),
        tag: asked.tag.unwrap_or_default(),
    })
}

#[derive(Template)]
#[template(path = "leads_counts.html")]
struct CountsPart {
    tabs: Vec<Tab>,
}

/// `GET /leads/counts`: how many there are at each status, for the list that is open.
async fn counts(State(parts): State<Parts>, owner: Owner, Query(asked): Query<ListQuery>) -> Result<Response, Problem> {
    let workspace = owner.may(leads::grants::READ)?;
    let counts = leads::queries::count(&mut parts.store.read(), workspace).await?;
    page(&CountsPart { tabs: tabs(&asked, &counts) })
}

#[derive(Template)]
#[template(path = "leads_row.html")]
struct RowPart {
    row: Row,
}

/// `GET /leads/{id}/row`: one line of the list, for the list that is open; 204 when the lead does not belong to it.
async fn row(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(asked): Query<ListQuery>,
) -> Result<Response, Problem> {
    let workspace = owner.may(leads::grants::READ)?;
    let lead = leads::queries::get(&mut parts.store.read(), workspace, lead_id(&id)?).await?;
    if !asked.shows(&lead) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let cards = CardNames::of_sources(&parts, &owner, std::iter::once(&lead.source)).await?;
    page(&RowPart { row: Row::new(&lead, &cards) })
}

fn lead_id(text: &str) -> Result<LeadId, Problem> {
    LeadId::parse(text).map_err(|_| Problem::not_found())
}
