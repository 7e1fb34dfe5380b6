//! Risk over HTTP: the rules, and what was decided by them.

mod bodies;
mod views;

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, effect, effect_created, effect_done};
use kernel::{Grant, Id, WorkspaceId};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::error::RiskError;
use crate::rule::RuleId;
use crate::{commands, grants, queries};
use bodies::{DecisionQuery, RuleBody, RulePatch};
use views::{DecisionView, RuleView};

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where rules and decisions are kept.
    pub store: Store,
}

/// The routes of risk.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(get, patch, delete)).routes(routes!(decisions)).with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(RiskError::from)?)
}

/// After which one a page begins.
fn after<I: Id>(text: Option<&str>) -> Result<Option<I>, Problem> {
    text.map(I::parse).transpose().map_err(|_| Problem::invalid_field("after", "must be the `next` of the page before"))
}

/// Lists the rules, the oldest first.
#[utoipa::path(get, path = "/v1/risk/rules", tag = "risk", params(PageQuery),
    responses((status = 200, body = List<RuleView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<PageQuery>) -> Result<Answer<List<RuleView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let (after, limit) = (after(query.after.as_deref())?, query.limit()?);
    let rules = queries::rules(&mut deps.store.read(), workspace, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(rules, limit as usize, |rule| rule.id.to_string()).map(|rule| RuleView::from(&rule))))
}

/// Gets a rule.
#[utoipa::path(get, path = "/v1/risk/rules/{id}", tag = "risk", params(("id" = String, Path)),
    responses((status = 200, body = RuleView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<RuleId>) -> Result<Answer<RuleView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let rule = queries::get_rule(&mut deps.store.read(), workspace, id).await?;
    Ok(Answer::ok(RuleView::from(&rule)))
}

/// Makes a rule. It is in force for every decision that begins after the answer, and counts what was decided before.
#[utoipa::path(post, path = "/v1/risk/rules", tag = "risk", request_body = RuleBody,
    responses((status = 201, body = RuleView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn create(State(deps): State<Deps>, call: Call, Json(body): Json<RuleBody>) -> Result<Answer<RuleView>, Problem> {
    effect_created(&deps.store, &call, body.parse()?, |tx, terms| {
        Box::pin(async move { Ok(RuleView::from(&commands::add(tx, terms).await?)) })
    })
    .await
}

/// Changes a rule. No decision by the rule as it was follows the answer.
#[utoipa::path(patch, path = "/v1/risk/rules/{id}", tag = "risk", params(("id" = String, Path)),
    request_body = RulePatch,
    responses((status = 200, body = RuleView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn patch(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<RuleId>,
    Json(body): Json<RulePatch>,
) -> Result<Answer<RuleView>, Problem> {
    effect(&deps.store, &call, (id, body.parse()?), |tx, (id, (version, edit))| {
        Box::pin(async move { Ok(RuleView::from(&commands::change(tx, id, version, edit).await?)) })
    })
    .await
}

/// Deletes a rule. What was decided by it stays decided.
#[utoipa::path(delete, path = "/v1/risk/rules/{id}", tag = "risk", params(("id" = String, Path)),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn delete(State(deps): State<Deps>, call: Call, Path(id): Path<RuleId>) -> Result<Answer<()>, Problem> {
    effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::delete(tx, id).await?) })).await
}

/// Lists decisions, the latest first.
#[utoipa::path(get, path = "/v1/risk/decisions", tag = "risk", params(DecisionQuery),
    responses((status = 200, body = List<DecisionView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn decisions(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<DecisionQuery>,
) -> Result<Answer<List<DecisionView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (filter, after) = (query.filter()?, after(query.after.as_deref())?);
    let found = queries::decisions(&mut deps.store.read(), workspace, &filter, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |decision| decision.id.to_string()).map(|decision| DecisionView::from(&decision))))
}
