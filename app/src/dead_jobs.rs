//! Jobs that were given up, over HTTP: listed, looked at, run again, thrown away.

use axum::extract::State;
use gateway::{Answer, Call, List, PageQuery, Path, Problem, Query, effect_done};
use kernel::Grant;
use outbox::{DeadJob, JobId};
use serde::Serialize;
use store::Store;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See and run again what was given up: for those who look after the workspace.
pub const MANAGE: Grant = Grant("jobs:manage");

/// A job that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadJobView {
    /// Which.
    id: String,
    /// What it was to do, for example `notifications.send_email`.
    name: String,
    /// What it was about: identifiers, no personal data.
    payload: serde_json::Value,
    /// How often it was tried.
    attempts: i64,
    /// Why it was given up.
    reason: String,
    /// When.
    died_at: String,
}

impl From<DeadJob> for DeadJobView {
    fn from(job: DeadJob) -> Self {
        Self {
            id: job.id.to_string(),
            payload: serde_json::from_str(&job.payload).unwrap_or(serde_json::Value::String(job.payload)),
            name: job.name,
            attempts: job.attempts,
            reason: job.reason,
            died_at: job.died_at.to_string(),
        }
    }
}

/// The routes.
pub fn routes(store: Store) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(get, discard)).routes(routes!(replay)).with_state(store)
}

/// Lists jobs that were given up, the newest first.
#[utoipa::path(get, path = "/v1/dead-jobs", tag = "jobs", params(PageQuery),
    responses((status = 200, body = List<DeadJobView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(store): State<Store>, call: Call, Query(page): Query<PageQuery>) -> Result<Answer<List<DeadJobView>>, Problem> {
    let workspace = call.caller()?.may(MANAGE)?;
    let limit = page.limit()?;
    let before =
        page.after.as_deref().map(str::parse::<JobId>).transpose().map_err(|error| Problem::invalid_field("after", error.to_string()))?;
    let jobs = outbox::dead_list(&mut store.read(), workspace, before, limit + 1).await?;
    Ok(Answer::ok(List::page(jobs, limit as usize, |job| job.id.to_string()).map(DeadJobView::from)))
}

/// Gets one job that was given up.
#[utoipa::path(get, path = "/v1/dead-jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 200, body = DeadJobView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(store): State<Store>, call: Call, Path(id): Path<JobId>) -> Result<Answer<DeadJobView>, Problem> {
    let workspace = call.caller()?.may(MANAGE)?;
    let job = outbox::dead_find(&mut store.read(), workspace, id).await?.ok_or_else(Problem::not_found)?;
    Ok(Answer::ok(job.into()))
}

/// Runs a job again that was given up.
#[utoipa::path(post, path = "/v1/dead-jobs/{id}/replay", tag = "jobs", params(("id" = String, Path)),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn replay(State(store): State<Store>, call: Call, Path(id): Path<JobId>) -> Result<Answer<()>, Problem> {
    call.caller()?;
    effect_done(&store, &call, id, |tx, id| {
        Box::pin(async move {
            let workspace = tx.caller().may(MANAGE)?;
            outbox::replay(tx, workspace, id).await?;
            Ok(())
        })
    })
    .await
}

/// Throws a job away that was given up.
#[utoipa::path(delete, path = "/v1/dead-jobs/{id}", tag = "jobs", params(("id" = String, Path)),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn discard(State(store): State<Store>, call: Call, Path(id): Path<JobId>) -> Result<Answer<()>, Problem> {
    call.caller()?;
    effect_done(&store, &call, id, |tx, id| {
        Box::pin(async move {
            let workspace = tx.caller().may(MANAGE)?;
            outbox::discard(tx, workspace, id).await?;
            Ok::<_, Problem>(())
        })
    })
    .await
}
