//! Codes over HTTP.

mod symbols;
mod views;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use gateway::{Answer, Call, Json, List, Path, Problem, Query, body_limit, effect, effect_created};
use http::{HeaderName, HeaderValue, header};
use kernel::{Caller, Grant, WorkspaceId};
use store::{Store, Tx, Unit};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::code::{BatchId, Code};
use crate::commands::{self, asked};
use crate::destination::RequestId;
use crate::error::CodeError;
use crate::public_code::PublicCode;
use crate::queries::{self, Cursor, Filter};
use crate::{grants, sheet};

use views::{BatchBody, BindBody, CodeQuery, MintBody, PatchBody};
pub use views::{BatchView, CodeView, DestinationView, RecordingView, RequestView};

/// How many bytes a body with parameters may have: 64 KiB of parameters, written with room.
const PARAMETERS_BODY_MAX: usize = 160 * 1024;
/// How many codes one step of the table holds in memory.
const TABLE_STEP: u32 = 500;

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where codes are kept.
    pub store: Store,
    /// Where codes are scanned, for example `https://go.acme.io`.
    pub public_url: Arc<str>,
}

/// The routes of codes, without those of their scans.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, mint).layer(body_limit(PARAMETERS_BODY_MAX)))
        .routes(routes!(mint_many))
        .routes(routes!(get_recording, put_recording))
        .routes(routes!(get, patch))
        .routes(routes!(bind).layer(body_limit(PARAMETERS_BODY_MAX)))
        .routes(routes!(release))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retire))
        .routes(routes!(symbols::svg))
        .routes(routes!(symbols::png))
        .routes(routes!(table))
        .routes(routes!(request))
        .with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(CodeError::from)?)
}

/// Mints a code, and leads it somewhere if a destination is given.
#[utoipa::path(post, path = "/v1/codes", tag = "codes", request_body = MintBody,
    responses((status = 201, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn mint(State(deps): State<Deps>, call: Call, Json(body): Json<MintBody>) -> Result<Answer<CodeView>, Problem> {
    let (new, wanted) = body.parse(&deps.public_url)?;
    effect_created(&deps.store, &call, (new, wanted, deps.public_url.clone()), |tx, (new, wanted, public_url)| {
        Box::pin(async move { Ok(CodeView::new(&asked::mint(tx, new, wanted).await?, &public_url)) })
    })
    .await
}

/// Mints 1 to 10,000 codes alike.
#[utoipa::path(post, path = "/v1/codes/batch", tag = "codes", request_body = BatchBody,
    responses((status = 201, body = BatchView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn mint_many(State(deps): State<Deps>, call: Call, Json(body): Json<BatchBody>) -> Result<Answer<BatchView>, Problem> {
    let (count, new) = body.parse(&deps.public_url)?;
    let answer = effect_created(&deps.store, &call, (count, new), |tx, (count, new)| {
        Box::pin(async move { Ok(BatchView::from(asked::mint_many(tx, count, new).await?)) })
    })
    .await?;
    // The answer stands; the rows beyond the first step follow in steps that hold nobody up. A replayed request does so too,
    // in case the first one was cut off, and a job is the last resort.
    if let Some(workspace) = call.caller()?.workspace() {
        let batch = answer.clone().into_value()?.batch;
        if let Err(error) = fill(&deps.store, call.caller()?, workspace, batch).await {
            tracing::warn!(%batch, error = &error as &dyn std::error::Error, "the rest of a batch is left to its job");
        }
    }
    Ok(answer)
}

async fn fill(store: &Store, caller: &Caller, workspace: WorkspaceId, batch: BatchId) -> Result<(), CodeError> {
    let mut left = 1;
    while left > 0 {
        left = store
            .write_bulk(caller, (workspace, batch), |tx, (workspace, batch)| {
                Box::pin(async move { commands::fill_batch(tx, workspace, batch).await })
            })
            .await?;
    }
    Ok(())
}

/// Lists codes, the newest first.
#[utoipa::path(get, path = "/v1/codes", tag = "codes", params(CodeQuery),
    responses((status = 200, body = List<CodeView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<CodeQuery>) -> Result<Answer<List<CodeView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (filter, cursor, limit) = query.parse()?;
    let codes = queries::list(&mut deps.store.read(), workspace, &filter, cursor, limit + 1).await?;
    let page = List::page(codes, limit as usize, |code| Cursor::after(code).to_string());
    Ok(Answer::ok(page.map(|code| CodeView::new(&code, &deps.public_url))))
}

/// Gets a code.
#[utoipa::path(get, path = "/v1/codes/{code}", tag = "codes", params(("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<CodeView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let code = queries::get(&mut deps.store.read(), workspace, code).await?;
    Ok(Answer::ok(CodeView::new(&code, &deps.public_url)))
}

/// Changes the name, tags, expiry, fallback, limit or switches of a code. `null` takes a value away.
#[utoipa::path(patch, path = "/v1/codes/{code}", tag = "codes", params(("code" = String, Path)), request_body = PatchBody,
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn patch(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Json(body): Json<PatchBody>,
) -> Result<Answer<CodeView>, Problem> {
    let edit = body.parse(&deps.public_url)?;
    let changed = (code, edit, deps.public_url.clone());
    effect(&deps.store, &call, changed, |tx, (code, edit, public_url)| {
        Box::pin(async move { Ok(CodeView::new(&asked::edit(tx, code, edit).await?, &public_url)) })
    })
    .await
}

/// Leads a code to an address or to a page with parameters, whatever it led to before. What is printed stays.
#[utoipa::path(post, path = "/v1/codes/{code}/bind", tag = "codes", params(("code" = String, Path)), request_body = BindBody,
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn bind(
    State(deps): State<Deps>,
    call: Call,
    Path(code): Path<PublicCode>,
    Json(body): Json<BindBody>,
) -> Result<Answer<CodeView>, Problem> {
    let bound = (code, body.parse(&deps.public_url)?, deps.public_url.clone());
    effect(&deps.store, &call, bound, |tx, (code, wanted, public_url)| {
        Box::pin(async move { Ok(CodeView::new(&asked::bind(tx, code, wanted).await?, &public_url)) })
    })
    .await
}

/// One step of a code's state, with its answer.
async fn step<F>(deps: Deps, call: Call, code: PublicCode, verb: F) -> Result<Answer<CodeView>, Problem>
where
    F: for<'a> Fn(&'a mut Tx, PublicCode) -> Unit<'a, Code, CodeError> + Send + Sync + 'static,
{
    let verb = Arc::new(verb);
    effect(&deps.store, &call, (code, deps.public_url.clone()), move |tx, (code, public_url)| {
        let verb = Arc::clone(&verb);
        Box::pin(async move { Ok(CodeView::new(&verb(tx, code).await?, &public_url)) })
    })
    .await
}

/// Takes a code off its destination; it may be bound again.
#[utoipa::path(post, path = "/v1/codes/{code}/release", tag = "codes", params(("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn release(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<CodeView>, Problem> {
    step(deps, call, code, |tx, code| Box::pin(asked::release(tx, code))).await
}

/// Stops a code for a while: scans go to its fallback, or to a page that says so.
#[utoipa::path(post, path = "/v1/codes/{code}/pause", tag = "codes", params(("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn pause(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<CodeView>, Problem> {
    step(deps, call, code, |tx, code| Box::pin(asked::pause(tx, code))).await
}

/// Opens a paused code again.
#[utoipa::path(post, path = "/v1/codes/{code}/resume", tag = "codes", params(("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn resume(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<CodeView>, Problem> {
    step(deps, call, code, |tx, code| Box::pin(asked::resume(tx, code))).await
}

/// Ends a code for good; it cannot be used again.
#[utoipa::path(post, path = "/v1/codes/{code}/retire", tag = "codes", params(("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn retire(State(deps): State<Deps>, call: Call, Path(code): Path<PublicCode>) -> Result<Answer<CodeView>, Problem> {
    step(deps, call, code, |tx, code| Box::pin(asked::retire(tx, code))).await
}

/// What may be recorded of the workspace's scans, where a code says nothing else.
#[utoipa::path(get, path = "/v1/codes/recording", tag = "codes",
    responses((status = 200, body = RecordingView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get_recording(State(deps): State<Deps>, call: Call) -> Result<Answer<RecordingView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    Ok(Answer::ok(queries::recording(&mut deps.store.read(), workspace).await?.into()))
}

/// Sets what may be recorded of the workspace's scans, where a code says nothing else.
#[utoipa::path(put, path = "/v1/codes/recording", tag = "codes", request_body = RecordingView,
    responses((status = 200, body = RecordingView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn put_recording(State(deps): State<Deps>, call: Call, Json(body): Json<RecordingView>) -> Result<Answer<RecordingView>, Problem> {
    effect(&deps.store, &call, body, |tx, body| {
        Box::pin(async move {
            asked::set_recording(tx, body.into()).await?;
            Ok(body)
        })
    })
    .await
}

/// All codes that the filter lets through as a table, sent while it is read. It opens safely in a spreadsheet.
#[utoipa::path(get, path = "/v1/codes.csv", tag = "codes", params(CodeQuery),
    responses((status = 200, content_type = "text/csv", body = String), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn table(State(deps): State<Deps>, call: Call, Query(query): Query<CodeQuery>) -> Result<Response, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (filter, cursor, _) = query.parse()?;
    let body = stream::try_unfold(Step::Head(filter, cursor), move |step| next_step(deps.clone(), workspace, step));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment; filename=\"codes.csv\"")),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

enum Step {
    Head(Filter, Option<Cursor>),
    Rows(Filter, Option<Cursor>),
    Done,
}

/// The next piece of the table. A failure cuts the answer off, so that half a table is not taken for the whole.
async fn next_step(deps: Deps, workspace: WorkspaceId, step: Step) -> Result<Option<(Vec<u8>, Step)>, store::StoreError> {
    match step {
        Step::Head(filter, cursor) => Ok(Some((sheet::header(), Step::Rows(filter, cursor)))),
        Step::Rows(filter, cursor) => {
            let codes = queries::list(&mut deps.store.read(), workspace, &filter, cursor, TABLE_STEP).await?;
            let next = match codes.last() {
                Some(last) if codes.len() == TABLE_STEP as usize => Step::Rows(filter, Some(Cursor::after(last))),
                _ => Step::Done,
            };
            Ok(Some((sheet::rows(&codes, &deps.public_url), next)))
        }
        Step::Done => Ok(None),
    }
}

/// What a page asks for after a scan: the parameters that are bound to the scanned code. Any site may ask, with the id that the
/// scan gave it.
#[utoipa::path(get, path = "/v1/public/requests/{request_id}", tag = "codes", params(("request_id" = String, Path)),
    responses((status = 200, body = RequestView), gateway::openapi::ErrorResponses))]
async fn request(State(deps): State<Deps>, Path(request_id): Path<RequestId>) -> Result<Response, Problem> {
    let found = queries::parameters_everywhere(&mut deps.store.read(), request_id).await?.ok_or_else(Problem::not_found)?;
    let parameters = serde_json::from_str(&found.parameters).map_err(Problem::internal)?;
    let headers: [(HeaderName, HeaderValue); 2] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, Json(RequestView { request_id, code: found.code, parameters })).into_response())
}
