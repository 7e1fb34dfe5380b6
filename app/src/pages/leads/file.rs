//! The page of one lead, and what a member does with it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use kernel::{Id, MemberId};
use leads::commands::{self, Change};
use leads::{HistoryEntry, LeadError, LeadId, Person, Status};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Names, Owner, Refusal, When, mendable, page, page_with, query};
use super::super::session::NoFields;
use super::{CardNames, Row, label, lead_id};
use crate::installation::Parts;

struct Tag {
    name: String,
    query: String,
}

#[derive(Template)]
#[template(path = "lead.html")]
struct FilePage {
    frame: Frame,
    row: Row,
    version: i64,
    is_erased: bool,
    is_spam: bool,
    can_write: bool,
    can_erase: bool,
    email: String,
    phone: String,
    message: String,
    code: String,
    consent: Option<(String, When, i64)>,
    next_states: Vec<(&'static str, &'static str)>,
    members: Vec<(String, String)>,
    assigned: String,
    assigned_name: String,
    tags: Vec<Tag>,
    tag_typed: String,
    tag_error: String,
    submissions: Vec<(When, String, String)>,
    notes: Vec<(When, String, String)>,
    note: String,
    note_error: String,
    history: Vec<(When, String)>,
    once: String,
}

async fn compose(parts: &Parts, owner: &Owner, id: LeadId) -> Result<FilePage, Problem> {
    let workspace = owner.may(leads::grants::READ)?;
    let file = leads::queries::file(&mut parts.store.read(), workspace, id).await?;
    let lead = &file.lead;
    let sources = file.submissions.iter().map(|submission| &submission.source).chain([&lead.source]);
    let (cards, names) = (CardNames::of_sources(parts, owner, sources).await?, owner.names(parts).await?);
    let row = Row::new(lead, &cards);
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(FilePage {
        frame: owner.frame("leads", row.name.clone()).shaped(""),
        version: lead.version,
        is_erased: lead.erased_at.is_some(),
        is_spam: lead.suspected_spam,
        can_write: owner.can(leads::grants::WRITE),
        can_erase: owner.can(leads::grants::ERASE),
        email: lead.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        phone: lead.phone.as_ref().map(ToString::to_string).unwrap_or_default(),
        message: text(&lead.message),
        code: text(&lead.source.code),
        consent: lead.consent.as_ref().map(|consent| (consent.text.clone(), When(consent.at), consent.version)),
        next_states: lead.status.next().iter().map(|status| (status.word(), label(*status))).collect(),
        members: names.choice(),
        assigned: lead.assigned_to.map(|member| member.to_string()).unwrap_or_default(),
        assigned_name: lead.assigned_to.map_or_else(|| "Nobody".to_owned(), |member| names.of(member)),
        tags: lead.tags.iter().map(|tag| Tag { query: query(&[("tag", tag)]), name: tag.clone() }).collect(),
        tag_typed: String::new(),
        tag_error: String::new(),
        submissions: file
            .submissions
            .iter()
            .map(|one| {
                let lines = [&one.name, &one.company, &one.email, &one.phone, &one.message];
                let text = lines.into_iter().filter_map(|line| line.as_deref()).collect::<Vec<_>>().join("\n");
                (When(one.at), text, cards.of(&one.source))
            })
            .collect(),
        notes: file.notes.iter().map(|note| (When(note.at), names.actor(&note.author), note.body.clone())).collect(),
        note: String::new(),
        note_error: String::new(),
        history: file.history.iter().map(|entry| (When(entry.at), told(entry, &names))).collect(),
        once: owner.once(parts),
        row,
    })
}

/// A line of the history as a sentence.
fn told(entry: &HistoryEntry, names: &Names) -> String {
    let (who, to) = (names.actor(&entry.actor), entry.to.as_deref().unwrap_or_default());
    let from = entry.from.as_deref().unwrap_or_default();
    let status = |word: &str| word.parse::<Status>().map_or("?", label);
    let member = |word: &str| MemberId::parse(word).map_or_else(|_| "nobody".to_owned(), |id| names.of(id));
    match entry.what.as_str() {
        "captured" if entry.actor == "visitor" => "Left their details".to_owned(),
        "captured" => format!("Entered by {who}"),
        "submitted_again" => "Left their details again".to_owned(),
        "suspected" => "Looked like the work of a program".to_owned(),
        "status" => format!("{} → {}, by {who}", status(from), status(to)),
        "assigned" => format!("Given to {}, by {who}", member(to)),
        "tag_added" => format!("Tagged “{to}”, by {who}"),
        "tag_removed" => format!("Tag “{from}” removed, by {who}"),
        "noted" => format!("Note, by {who}"),
        "cleared_of_spam" => format!("No spam, says {who}"),
        "marked_as_spam" => format!("Spam, says {who}"),
        "erased" => format!("Erased, by {who}"),
        other => other.replace('_', " "),
    }
}

/// `GET /leads/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let file = compose(&parts, &owner, lead_id(&id)?).await?;
    page(&FilePage { frame: Frame { done: done.sentence(), ..file.frame }, ..file })
}

/// The page again, with what was refused.
async fn again(parts: &Parts, owner: &Owner, id: LeadId, refusal: &Refusal, mend: impl FnOnce(&mut FilePage)) -> Result<Response, Problem> {
    let mut file = compose(parts, owner, id).await?;
    file.frame.alert = refusal.sentence();
    mend(&mut file);
    page_with(&file, refusal.status())
}

async fn changed(parts: &Parts, owner: &Owner, id: LeadId, version: i64, change: Change) -> Result<Response, Problem> {
    let done = gateway::effect_done(&parts.store, &owner.call, (id, version, change), |tx, (id, version, change)| {
        Box::pin(async move {
            commands::change(tx, id, version, change).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => Ok(see_other(&format!("/leads/{id}?done=saved"))),
        Err(problem) => again(parts, owner, id, &mendable(problem)?, |_| {}).await,
    }
}

#[derive(Deserialize)]
pub(super) struct StatusForm {
    version: i64,
    status: String,
}

/// `POST /leads/{id}/status`
pub(super) async fn status(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<StatusForm>,
) -> Result<Response, Problem> {
    let status = form.status.parse().map_err(|error: leads::StatusError| LeadError::field("status", error.to_string()))?;
    changed(&parts, &owner, lead_id(&id)?, form.version, Change { status: Some(status), ..Change::default() }).await
}

#[derive(Deserialize)]
pub(super) struct AssignForm {
    version: i64,
    member: Option<MemberId>,
}

/// `POST /leads/{id}/assign`
pub(super) async fn assign(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<AssignForm>,
) -> Result<Response, Problem> {
    changed(&parts, &owner, lead_id(&id)?, form.version, Change { assigned_to: Some(form.member), ..Change::default() }).await
}

#[derive(Deserialize)]
pub(super) struct SpamForm {
    version: i64,
    spam: bool,
}

/// `POST /leads/{id}/spam`
pub(super) async fn spam(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<SpamForm>,
) -> Result<Response, Problem> {
    changed(&parts, &owner, lead_id(&id)?, form.version, Change { suspected_spam: Some(form.spam), ..Change::default() }).await
}

#[derive(Deserialize)]
pub(super) struct TagForm {
    #[serde(default)]
    tag: String,
}

/// `POST /leads/{id}/tags`
pub(super) async fn add_tag(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<TagForm>,
) -> Result<Response, Problem> {
    let id = lead_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, (id, form.tag.clone()), |tx, (id, tag)| {
        Box::pin(async move {
            commands::add_tag(tx, id, &tag).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => Ok(see_other(&format!("/leads/{id}"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            again(&parts, &owner, id, &refusal, |page| {
                page.tag_error = refusal.of("tags");
                page.tag_typed = form.tag;
            })
            .await
        }
    }
}

/// `POST /leads/{id}/tags/remove`
pub(super) async fn remove_tag(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<TagForm>,
) -> Result<Response, Problem> {
    let id = lead_id(&id)?;
    gateway::effect_done(&parts.store, &owner.call, (id, form.tag), |tx, (id, tag)| {
        Box::pin(async move {
            commands::remove_tag(tx, id, &tag).await?;
            Ok(())
        })
    })
    .await?;
    Ok(see_other(&format!("/leads/{id}")))
}

#[derive(Deserialize)]
pub(super) struct NoteForm {
    #[serde(default)]
    body: String,
    once: Option<String>,
}

/// `POST /leads/{id}/notes`
pub(super) async fn add_note(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<NoteForm>,
) -> Result<Response, Problem> {
    let id = lead_id(&id)?;
    let call = owner.once_by(form.once.as_deref());
    let done = gateway::effect_done(&parts.store, &call, (id, form.body.clone()), |tx, (id, body)| {
        Box::pin(async move {
            commands::add_note(tx, id, &body).await?;
            Ok(())
        })
    });
    match done.await {
        Ok(_) => Ok(see_other(&format!("/leads/{id}?done=note#notes"))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            again(&parts, &owner, id, &refusal, |page| {
                page.note_error = refusal.of("body");
                page.note = form.body;
            })
            .await
        }
    }
}

#[derive(Template)]
#[template(path = "lead_erase.html")]
struct ErasePage {
    frame: Frame,
    id: String,
    name: String,
    email: String,
    phone: String,
}

/// `GET /leads/{id}/erase`: asks first.
pub(super) async fn ask_erase(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>) -> Result<Response, Problem> {
    let workspace = owner.may(leads::grants::ERASE)?;
    let lead = leads::queries::get(&mut parts.store.read(), workspace, lead_id(&id)?).await?;
    if lead.erased_at.is_some() {
        return Err(LeadError::Erased.into());
    }
    page(&ErasePage {
        frame: owner.frame("leads", "Erase a person").shaped("middle"),
        id,
        name: lead.name,
        email: lead.email.as_ref().map(ToString::to_string).unwrap_or_default(),
        phone: lead.phone.as_ref().map(ToString::to_string).unwrap_or_default(),
    })
}

/// `POST /leads/{id}/erase`
pub(super) async fn erase(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let workspace = owner.may(leads::grants::ERASE)?;
    let lead = leads::queries::get(&mut parts.store.read(), workspace, lead_id(&id)?).await?;
    let person = Person { email: lead.email, phone: lead.phone };
    if person.email.is_none() && person.phone.is_none() {
        return Err(LeadError::Erased.into());
    }
    gateway::effect_done(&parts.store, &owner.call, person, |tx, person| {
        Box::pin(async move {
            commands::erase_person(tx, &person).await?;
            Ok(())
        })
    })
    .await?;
    Ok(see_other("/leads?done=erased"))
}
