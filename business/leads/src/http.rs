//! Leads over HTTP. Answers of changes name what changed and hold no personal data, because they may be recorded under an
//! idempotency key.

mod views;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, effect, effect_created};
use http::{HeaderValue, header};
use kernel::{Grant, WorkspaceId};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::{self, Change};
use crate::contact::Person;
use crate::lead::{Lead, LeadId, Source};
use crate::queries::{self, Filter};
use crate::{Email, LeadError, Phone, form, grants, sheet};
pub use views::{
    ChangedView, ConsentTextView, ConsentView, CreatedView, ErasedView, LeadFileView, LeadView, NoteAddedView, PersonFileView,
};
use views::{ConsentBody, CreateBody, LeadQuery, NoteBody, PatchBody, PersonBody};

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where leads are kept.
    pub store: Store,
}

/// The routes of leads.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, patch))
        .routes(routes!(add_note))
        .routes(routes!(table))
        .routes(routes!(export_person))
        .routes(routes!(erase_person))
        .routes(routes!(consent, put_consent))
        .with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(LeadError::from)?)
}

/// Lists leads, the newest first.
#[utoipa::path(get, path = "/v1/leads", tag = "leads", params(LeadQuery),
    responses((status = 200, body = List<LeadView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<LeadQuery>) -> Result<Answer<List<LeadView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (filter, after) = query.filter()?;
    let leads = queries::list(&mut deps.store.read(), workspace, &filter, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(leads, limit as usize, |lead| lead.id.to_string()).map(|lead| LeadView::from(&lead))))
}

/// Gets a lead with its submissions, notes and history.
#[utoipa::path(get, path = "/v1/leads/{id}", tag = "leads", params(("id" = String, Path)),
    responses((status = 200, body = LeadFileView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<LeadId>) -> Result<Answer<LeadFileView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let file = queries::file(&mut deps.store.read(), workspace, id).await?;
    Ok(Answer::ok(LeadFileView::from(&file)))
}

/// Enters a lead. Somebody who is known by email, else by phone, keeps their lead, and what it lacks is filled.
#[utoipa::path(post, path = "/v1/leads", tag = "leads", request_body = CreateBody,
    responses((status = 201, body = CreatedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn create(State(deps): State<Deps>, call: Call, Json(body): Json<CreateBody>) -> Result<Answer<CreatedView>, Problem> {
    effect_created(&deps.store, &call, body, |tx, body| {
        Box::pin(async move {
            let mut faults = Vec::new();
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            let (email, phone, company, message) = (text(&body.email), text(&body.phone), text(&body.company), text(&body.message));
            let Some(new) = form::parse_details(&body.name, &email, &phone, &company, &message, &mut faults) else {
                return Err(LeadError::Invalid { fields: faults }.into());
            };
            let source = match body.source {
                Some(source) => Source { kind: source.kind, id: source.id, code: source.code },
                None => Source::new("api", tx.caller().actor()),
            };
            let given = body.consent.map(|consent| commands::Given { version: consent.version, at: consent.at });
            let captured = commands::create(tx, source, body.assigned_to, new, given).await?;
            Ok(CreatedView::from(captured))
        })
    })
    .await
}

/// Changes the status, the assignment, the tags or the suspicion of a lead.
#[utoipa::path(patch, path = "/v1/leads/{id}", tag = "leads", params(("id" = String, Path)), request_body = PatchBody,
    responses((status = 200, body = ChangedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn patch(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<LeadId>,
    Json(body): Json<PatchBody>,
) -> Result<Answer<ChangedView>, Problem> {
    effect(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move {
            let PatchBody { version, status, assigned_to, tags, suspected_spam } = body;
            let status =
                status.map(|word| word.parse()).transpose().map_err(|e: crate::StatusError| LeadError::field("status", e.to_string()))?;
            let lead = commands::change(tx, id, version, Change { status, assigned_to, tags, suspected_spam }).await?;
            Ok(ChangedView::from(&lead))
        })
    })
    .await
}

/// Writes a note about a lead.
#[utoipa::path(post, path = "/v1/leads/{id}/notes", tag = "leads", params(("id" = String, Path)), request_body = NoteBody,
    responses((status = 201, body = NoteAddedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn add_note(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<LeadId>,
    Json(body): Json<NoteBody>,
) -> Result<Answer<NoteAddedView>, Problem> {
    effect_created(&deps.store, &call, (id, body.body), |tx, (id, body)| {
        Box::pin(async move {
            let added = commands::add_note(tx, id, &body).await?;
            Ok(NoteAddedView { id: added.note, lead: id, lead_version: added.version })
        })
    })
    .await
}

/// How many leads one step of the table holds in memory.
const TABLE_STEP: i64 = 500;

/// All leads that the filter lets through as a table, sent while it is read. It opens safely in a spreadsheet.
#[utoipa::path(get, path = "/v1/leads.csv", tag = "leads", params(LeadQuery),
    responses((status = 200, content_type = "text/csv", body = String), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn table(State(deps): State<Deps>, call: Call, Query(query): Query<LeadQuery>) -> Result<Response, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (filter, after) = query.filter()?;
    let caller = call.caller()?.clone();
    deps.store.write(&caller, (), |tx, ()| Box::pin(async move { commands::note_export(tx, "lead.table_exported").await })).await?;
    let body = stream::try_unfold(Step::Head { filter, after }, move |step| next_step(deps.store.clone(), workspace, step));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"leads.csv\"")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

enum Step {
    Head { filter: Filter, after: Option<LeadId> },
    Rows { filter: Filter, after: Option<LeadId> },
    Done,
}

/// The next piece of the table. A failure cuts the answer off, so that half a table is not taken for the whole.
async fn next_step(store: Store, workspace: WorkspaceId, step: Step) -> Result<Option<(Vec<u8>, Step)>, store::StoreError> {
    match step {
        Step::Head { filter, after } => Ok(Some((sheet::header(), Step::Rows { filter, after }))),
        Step::Rows { filter, after } => {
            let leads: Vec<Lead> = queries::list(&mut store.read(), workspace, &filter, after, TABLE_STEP).await?;
            let next = match leads.last() {
                Some(last) if leads.len() as i64 == TABLE_STEP => Step::Rows { filter, after: Some(last.id) },
                _ => Step::Done,
            };
            Ok(Some((sheet::rows(&leads), next)))
        }
        Step::Done => Ok(None),
    }
}

/// Everything that is kept about a person, found by their email or phone.
#[utoipa::path(post, path = "/v1/leads/export-person", tag = "leads", request_body = PersonBody,
    responses((status = 200, body = PersonFileView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn export_person(State(deps): State<Deps>, call: Call, Json(body): Json<PersonBody>) -> Result<Answer<PersonFileView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let person = person(&body)?;
    let caller = call.caller()?.clone();
    // Not an effect: its answer is personal through and through and must not be recorded.
    deps.store.write(&caller, (), |tx, ()| Box::pin(async move { commands::note_export(tx, "lead.person_exported").await })).await?;
    let files = queries::export_person(&mut deps.store.read(), workspace, &person).await?;
    Ok(Answer::ok(PersonFileView { leads: files.iter().map(LeadFileView::from).collect() }))
}

/// Erases a person for ever, found by their email or phone. Counters and statuses remain.
#[utoipa::path(post, path = "/v1/leads/erase-person", tag = "leads", request_body = PersonBody,
    responses((status = 200, body = ErasedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn erase_person(State(deps): State<Deps>, call: Call, Json(body): Json<PersonBody>) -> Result<Answer<ErasedView>, Problem> {
    let person = person(&body)?;
    effect(&deps.store, &call, person, |tx, person| {
        Box::pin(async move {
            let erased = commands::erase_person(tx, &person).await?;
            Ok(ErasedView { leads: erased.leads })
        })
    })
    .await
}

fn person(body: &PersonBody) -> Result<Person, LeadError> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let email = given(&body.email).map(|text| Email::parse(&text)).transpose().map_err(|e| LeadError::field("email", e.to_string()))?;
    let phone = given(&body.phone).map(|text| Phone::parse(&text)).transpose().map_err(|e| LeadError::field("phone", e.to_string()))?;
    if email.is_none() && phone.is_none() {
        return Err(LeadError::field("email", "must be given, or phone"));
    }
    Ok(Person { email, phone })
}

/// The consent text in force.
#[utoipa::path(get, path = "/v1/leads/consent", tag = "leads",
    responses((status = 200, body = ConsentTextView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn consent(State(deps): State<Deps>, call: Call) -> Result<Answer<ConsentTextView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let text = queries::current_consent(&mut deps.store.read(), workspace).await?;
    Ok(Answer::ok(ConsentTextView::from(text)))
}

/// Puts a new consent text in force; what was agreed to before stays on record as it was.
#[utoipa::path(put, path = "/v1/leads/consent", tag = "leads", request_body = ConsentBody,
    responses((status = 200, body = ConsentTextView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn put_consent(State(deps): State<Deps>, call: Call, Json(body): Json<ConsentBody>) -> Result<Answer<ConsentTextView>, Problem> {
    effect(&deps.store, &call, body.text, |tx, text| {
        Box::pin(async move { Ok(ConsentTextView::from(commands::put_consent(tx, &text).await?)) })
    })
    .await
}
