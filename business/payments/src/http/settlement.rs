//! Settlement over HTTP: reports and bank lines go in, exceptions are worked off. While a report is being booked, writes of its
//! provider are answered 503 `settlement_running` with `Retry-After`; reads go on.

mod views;

use std::sync::Arc;

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, RawBody, body_limit, effect, effect_created};
use kernel::{Id as _, Timestamp};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt as _};
use utoipa_axum::routes;

use super::{Deps, allowed};
use crate::commands::settlement::{self as commands, NewSettlement};
use crate::error::PaymentError;
use crate::grants;
use crate::provider::ProviderId;
use crate::queries::settlement as queries;
use crate::settlement::{self, ExceptionId, Format, SettlementId};
use views::{
    ActionBody, AgeingView, BankLinesView, ExceptionQuery, ExceptionView, LineView, LinesQuery, SettlementView, TakeQuery, WorkedView,
};

/// The largest report that is uploaded, in bytes; larger ones are taken in from the command line.
const UPLOAD_BYTES_MAX: usize = 4 << 20;
/// The largest bank statement, in bytes: its lines are kept in one unit.
const STATEMENT_BYTES_MAX: usize = 256 << 10;
/// The most lines of one bank statement.
const STATEMENT_LINES_MAX: usize = 2_000;

pub(super) fn routes() -> OpenApiRouter<Deps> {
    OpenApiRouter::new()
        .routes(routes!(list, take).layer(body_limit(UPLOAD_BYTES_MAX)))
        .routes(routes!(get))
        .routes(routes!(lines))
        .routes(routes!(exceptions))
        .routes(routes!(exception))
        .routes(routes!(act))
        .routes(routes!(ageing))
        .routes(routes!(take_bank_lines).layer(body_limit(STATEMENT_BYTES_MAX)))
}

/// Lists settlements, the newest first.
#[utoipa::path(get, path = "/v1/settlements", tag = "payments", params(PageQuery),
    responses((status = 200, body = List<SettlementView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<PageQuery>) -> Result<Answer<List<SettlementView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = query.limit()?;
    let before = query.after.as_deref().map(SettlementId::parse).transpose();
    let before = before.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let found = queries::list(&mut deps.store.read(), workspace, before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |one| one.id.to_string()).map(|one| SettlementView::of(&one, &[]))))
}

/// Takes a provider's report in: as the provider writes it, or as CSV with the columns
/// `kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at`. The same bytes again are the same
/// settlement. A job books it within moments: get the settlement to see how far it is.
#[utoipa::path(post, path = "/v1/settlements", tag = "payments", params(TakeQuery), request_body = String,
    responses((status = 201, body = SettlementView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn take(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<TakeQuery>,
    RawBody(body): RawBody,
) -> Result<Answer<SettlementView>, Problem> {
    let workspace = allowed(&call, grants::SETTLE)?;
    let provider = ProviderId::parse(query.provider.as_deref().unwrap_or_default())
        .map_err(|error| PaymentError::field("provider", error.to_string()))?;
    let covers_until = query.covers_until.as_deref().map(Timestamp::parse).transpose();
    let covers_until = covers_until.map_err(|_| PaymentError::field("covers_until", "must be a time such as 2026-01-31T00:00:00Z"))?;
    let record = crate::queries::provider(&mut deps.store.read(), workspace, provider).await?;
    let account = record.open(deps.store.vault())?;
    let format = Format::of(&body);
    let counted = settlement::count(format, record.dialect.provider(), &account, &body);
    let new = NewSettlement {
        provider,
        digest: settlement::digest(&body),
        name: query.name.unwrap_or_else(|| "upload".to_owned()),
        format,
        covers_until,
        bytes: i64::try_from(body.len()).unwrap_or(i64::MAX),
        lines: counted.map_err(|words| PaymentError::field("body", words))?.lines,
    };
    effect_created(&deps.store, &call, (new, body), |tx, (new, body)| {
        Box::pin(async move { Ok(SettlementView::of(&commands::take(tx, new, &body).await?, &[])) })
    })
    .await
}

/// Gets a settlement with its sums by currency.
#[utoipa::path(get, path = "/v1/settlements/{id}", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = SettlementView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<SettlementId>) -> Result<Answer<SettlementView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let mut reads = deps.store.read();
    let found = queries::get(&mut reads, workspace, id).await?;
    let totals = queries::totals(&mut reads, workspace, id).await?;
    Ok(Answer::ok(SettlementView::of(&found, &totals)))
}

/// Lists the lines of a settlement in their order.
#[utoipa::path(get, path = "/v1/settlements/{id}/lines", tag = "payments", params(("id" = String, Path), LinesQuery),
    responses((status = 200, body = List<LineView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn lines(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<SettlementId>,
    Query(query): Query<LinesQuery>,
) -> Result<Answer<List<LineView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let after = query.after.as_deref().unwrap_or("0").parse::<i64>();
    let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let mut reads = deps.store.read();
    queries::get(&mut reads, workspace, id).await?;
    let at_most = i64::from(limit) + 1;
    let found = match query.outcome.as_deref() {
        None => queries::lines(&mut reads, workspace, id, after, at_most).await?,
        Some("unmatched") => queries::unmatched_lines(&mut reads, workspace, id, after, at_most).await?,
        Some(_) => return Err(PaymentError::field("outcome", "must be unmatched, or absent").into()),
    };
    Ok(Answer::ok(List::page(found, limit as usize, |line| line.number.to_string()).map(|line| LineView::from(&line))))
}

/// Lists exceptions, the newest first.
#[utoipa::path(get, path = "/v1/settlement-exceptions", tag = "payments", params(ExceptionQuery),
    responses((status = 200, body = List<ExceptionView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn exceptions(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<ExceptionQuery>,
) -> Result<Answer<List<ExceptionView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (filter, before) = query.filter()?;
    let found = queries::exceptions(&mut deps.store.read(), workspace, &filter, before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |one| one.id.to_string()).map(|one| ExceptionView::from(&one))))
}

/// Gets an exception with what was done about it.
#[utoipa::path(get, path = "/v1/settlement-exceptions/{id}", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = WorkedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn exception(State(deps): State<Deps>, call: Call, Path(id): Path<ExceptionId>) -> Result<Answer<WorkedView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let mut reads = deps.store.read();
    let found = queries::exception(&mut reads, workspace, id).await?;
    let done = queries::actions(&mut reads, workspace, id).await?;
    Ok(Answer::ok(WorkedView::of(&found, &done)))
}

/// Works on an exception: `edit` (map the line to another payment), `create` (the money is real and nobody's), `replace` (the
/// provider corrected the line), `mark_received` or `write_off`. A large write-off takes a second person who asks for the same.
#[utoipa::path(post, path = "/v1/settlement-exceptions/{id}/actions", tag = "payments", params(("id" = String, Path)),
    request_body = ActionBody,
    responses((status = 200, body = ExceptionView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn act(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<ExceptionId>,
    Json(body): Json<ActionBody>,
) -> Result<Answer<ExceptionView>, Problem> {
    effect(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move {
            // Whoever may not is told so before the body is looked at.
            tx.caller().may(grants::SETTLE).map_err(PaymentError::from)?;
            let (version, action, reason) = body.parse()?;
            Ok(ExceptionView::from(&commands::act(tx, id, version, action, reason).await?))
        })
    })
    .await
}

/// Counts open exceptions by provider and age.
#[utoipa::path(get, path = "/v1/settlement-ageing", tag = "payments",
    responses((status = 200, body = AgeingView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn ageing(State(deps): State<Deps>, call: Call) -> Result<Answer<AgeingView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let now = deps.store.clock().now();
    let found = queries::ageing(&mut deps.store.read(), workspace, now).await?;
    Ok(Answer::ok(AgeingView::of(&found)))
}

/// Takes lines of a bank statement in: CSV with the columns `date,amount_minor,currency,reference`. A line that came before is
/// kept once. A job matches them with batches of the same name.
#[utoipa::path(post, path = "/v1/bank-lines", tag = "payments", request_body = String,
    responses((status = 201, body = BankLinesView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn take_bank_lines(State(deps): State<Deps>, call: Call, RawBody(body): RawBody) -> Result<Answer<BankLinesView>, Problem> {
    allowed(&call, grants::SETTLE)?;
    let lines = settlement::read_bank_lines(&body).map_err(|words| PaymentError::field("body", words))?;
    if lines.is_empty() || lines.len() > STATEMENT_LINES_MAX {
        return Err(
            PaymentError::field("body", format!("must be a statement of 1 to {STATEMENT_LINES_MAX} lines: send it in parts")).into()
        );
    }
    effect_created(&deps.store, &call, Arc::new(lines), |tx, lines| {
        Box::pin(async move {
            let count = lines.len() as u64;
            Ok(BankLinesView { lines: count, new: commands::take_bank_lines(tx, lines).await? })
        })
    })
    .await
}
