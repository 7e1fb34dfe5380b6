//! Payments over HTTP. Whatever is done at a provider follows in a job: `GET /v1/payments/{id}?wait_s=10` waits for it.

mod attempt_views;
mod link_views;
mod payouts;
mod providers;
mod settlement;
mod views;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use gateway::{AllowedNetworks, Answer, Call, Json, List, PageQuery, Path, Problem, Query, RawBody, effect, effect_created};
use http::{HeaderMap, StatusCode};
use kernel::{Grant, Id as _, WorkspaceId};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::commands::{self, Taken};
use crate::error::PaymentError;
use crate::health::Health;
use crate::intent::{IntentId, IntentState, LinkId};
use crate::{grants, queries};
use link_views::{LinkEditBody, PaymentLinkBody, PaymentLinkView, ProviderWebhookView};
use views::{
    CaptureBody, NewPaymentBody, PayerBody, PayerErasedView, PaymentEventView, PaymentQuery, PaymentView, ReasonBody, RefundBody,
    ResolveBody, ReviewBody, WaitQuery,
};

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where payments are kept.
    pub store: Store,
    /// Where this installation is reached, without a slash at the end.
    pub public_url: Arc<str>,
    /// How the providers do.
    pub health: Health,
    /// The places inside that providers may be reached at.
    pub allowed: AllowedNetworks,
}

/// The address of providers' webhooks: the door redacts it where it refuses others.
pub const WEBHOOK_ROUTE: &str = "/v1/payments/webhooks/{token}";
/// The longest that an answer is waited for.
const WAIT_MAX_S: u64 = 20;

/// The routes of payments.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get))
        .routes(routes!(events))
        .routes(routes!(start))
        .routes(routes!(review))
        .routes(routes!(resolve))
        .routes(routes!(accept))
        .routes(routes!(give_back))
        .routes(routes!(capture))
        .routes(routes!(refund))
        .routes(routes!(cancel))
        .routes(routes!(erase_payer))
        .routes(routes!(links, make_link))
        .routes(routes!(edit_link))
        .routes(routes!(webhooks))
        .routes(routes!(take_webhook))
        .merge(providers::routes())
        .merge(settlement::routes())
        .merge(payouts::routes())
        .with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(PaymentError::from)?)
}

/// Lists payments, the newest first.
#[utoipa::path(get, path = "/v1/payments", tag = "payments", params(PaymentQuery),
    responses((status = 200, body = List<PaymentView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<PaymentQuery>) -> Result<Answer<List<PaymentView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (filter, before) = query.filter()?;
    let found = queries::list(&mut deps.store.read(), workspace, &filter, before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |intent| intent.id.to_string()).map(|intent| PaymentView::from(&intent))))
}

/// Asks for a payment. Nothing is sent to a provider yet.
#[utoipa::path(post, path = "/v1/payments", tag = "payments", request_body = NewPaymentBody,
    responses((status = 201, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn create(State(deps): State<Deps>, call: Call, Json(body): Json<NewPaymentBody>) -> Result<Answer<PaymentView>, Problem> {
    effect_created(&deps.store, &call, body, |tx, body| {
        Box::pin(async move { Ok(PaymentView::from(&commands::create(tx, body.parse()?).await?)) })
    })
    .await
}

/// Gets a payment with its attempts and refunds. With `wait_s` the answer comes as soon as no provider is at it.
#[utoipa::path(get, path = "/v1/payments/{id}", tag = "payments", params(("id" = String, Path), WaitQuery),
    responses((status = 200, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<IntentId>,
    Query(query): Query<WaitQuery>,
) -> Result<Answer<PaymentView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let within = Duration::from_secs(query.wait_s.unwrap_or(0).min(WAIT_MAX_S));
    let is_settled = |intent: &crate::Intent| intent.state() != IntentState::Processing;
    let intent = crate::bell::wait(&deps.store, workspace, id, within, is_settled).await?;
    Ok(Answer::ok(PaymentView::from(&intent)))
}

/// Lists what happened to a payment, the oldest first.
#[utoipa::path(get, path = "/v1/payments/{id}/events", tag = "payments", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = List<PaymentEventView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn events(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<IntentId>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<PaymentEventView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = query.limit()?;
    let after = query.after.as_deref().unwrap_or("0").parse::<i64>();
    let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let mut reads = deps.store.read();
    queries::get(&mut reads, workspace, id).await?;
    let found = queries::history(&mut reads, workspace, id, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(
        List::page(found, limit as usize, |recorded| recorded.version.to_string()).map(|recorded| PaymentEventView::from(&recorded)),
    ))
}

/// Begins an attempt at the provider that the routes choose. The page's address is there within moments: get the payment with
/// `wait_s`.
#[utoipa::path(post, path = "/v1/payments/{id}/attempts", tag = "payments", params(("id" = String, Path)),
    responses((status = 201, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn start(State(deps): State<Deps>, call: Call, Path(id): Path<IntentId>) -> Result<Answer<PaymentView>, Problem> {
    effect_created(&deps.store, &call, (id, deps.health.clone()), |tx, (id, health)| {
        Box::pin(async move {
            let workspace = tx.caller().may(grants::WRITE).map_err(PaymentError::from)?;
            Ok(PaymentView::from(&commands::start(tx, workspace, id, &health).await?))
        })
    })
    .await
}

/// Lets an attempt that monitoring held back go on, or ends it.
#[utoipa::path(post, path = "/v1/payments/{id}/attempts/{attempt}/review", tag = "payments",
    params(("id" = String, Path), ("attempt" = String, Path)), request_body = ReviewBody,
    responses((status = 200, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn review(
    State(deps): State<Deps>,
    call: Call,
    Path((id, attempt)): Path<(IntentId, crate::AttemptId)>,
    Json(body): Json<ReviewBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect(&deps.store, &call, (id, attempt, body), |tx, (id, attempt, body)| {
        Box::pin(async move { Ok(PaymentView::from(&commands::review(tx, id, attempt, body.is_released).await?)) })
    })
    .await
}

/// Says how something ended that stays unknown: a person found out elsewhere, for example in the provider's dashboard.
#[utoipa::path(post, path = "/v1/payments/{id}/resolve", tag = "payments", params(("id" = String, Path)), request_body = ResolveBody,
    responses((status = 200, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn resolve(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<IntentId>,
    Json(body): Json<ResolveBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move {
            let (unknown, reason) = body.parse()?;
            Ok(PaymentView::from(&commands::resolve(tx, id, unknown, &reason).await?))
        })
    })
    .await
}

/// Takes what an attempt brought that was not what was asked for as paid: all of it, whatever was asked for.
#[utoipa::path(post, path = "/v1/payments/{id}/attempts/{attempt}/accept", tag = "payments",
    params(("id" = String, Path), ("attempt" = String, Path)), request_body = ReasonBody,
    responses((status = 200, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn accept(
    State(deps): State<Deps>,
    call: Call,
    Path((id, attempt)): Path<(IntentId, crate::AttemptId)>,
    Json(body): Json<ReasonBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect(&deps.store, &call, (id, attempt, body), |tx, (id, attempt, body)| {
        Box::pin(async move { Ok(PaymentView::from(&commands::accept(tx, id, attempt, &body.reason).await?)) })
    })
    .await
}

/// Gives back what an attempt brought and nobody counts: what is kept apart, or what came beyond its first payment.
#[utoipa::path(post, path = "/v1/payments/{id}/attempts/{attempt}/return", tag = "payments",
    params(("id" = String, Path), ("attempt" = String, Path)), request_body = ReasonBody,
    responses((status = 201, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn give_back(
    State(deps): State<Deps>,
    call: Call,
    Path((id, attempt)): Path<(IntentId, crate::AttemptId)>,
    Json(body): Json<ReasonBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect_created(&deps.store, &call, (id, attempt, body), |tx, (id, attempt, body)| {
        Box::pin(async move { Ok(PaymentView::from(&commands::give_back(tx, id, attempt, &body.reason).await?.0)) })
    })
    .await
}

/// Takes what was authorized, or a part of it.
#[utoipa::path(post, path = "/v1/payments/{id}/captures", tag = "payments", params(("id" = String, Path)), request_body = CaptureBody,
    responses((status = 201, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn capture(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<IntentId>,
    Json(body): Json<CaptureBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect_created(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move {
            let (intent, _) = commands::capture(tx, id, body.amount_minor, body.is_last.unwrap_or_default()).await?;
            Ok(PaymentView::from(&intent))
        })
    })
    .await
}

/// Gives money back, all that is left or a part.
#[utoipa::path(post, path = "/v1/payments/{id}/refunds", tag = "payments", params(("id" = String, Path)), request_body = RefundBody,
    responses((status = 201, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn refund(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<IntentId>,
    Json(body): Json<RefundBody>,
) -> Result<Answer<PaymentView>, Problem> {
    effect_created(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move {
            let attempt = body.attempt.as_deref().map(crate::AttemptId::parse).transpose();
            let attempt = attempt.map_err(|error| PaymentError::field("attempt", error.to_string()))?;
            let (intent, _) = commands::refund(tx, id, attempt, body.amount_minor, body.reason).await?;
            Ok(PaymentView::from(&intent))
        })
    })
    .await
}

/// Calls a payment off. What was authorized is released; what was captured is refunded instead.
#[utoipa::path(post, path = "/v1/payments/{id}/cancel", tag = "payments", params(("id" = String, Path)),
    responses((status = 200, body = PaymentView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn cancel(State(deps): State<Deps>, call: Call, Path(id): Path<IntentId>) -> Result<Answer<PaymentView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(PaymentView::from(&commands::cancel(tx, id).await?)) })).await
}

/// Forgets what the payers with an email address told us. Amounts and identifiers stay: the books need them.
#[utoipa::path(post, path = "/v1/payments/erase-payer", tag = "payments", request_body = PayerBody,
    responses((status = 200, body = PayerErasedView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn erase_payer(State(deps): State<Deps>, call: Call, Json(body): Json<PayerBody>) -> Result<Answer<PayerErasedView>, Problem> {
    let email = body.email()?;
    effect(&deps.store, &call, email, |tx, email| {
        Box::pin(async move { Ok(PayerErasedView { payments: commands::erase_payer(tx, &email).await? }) })
    })
    .await
}

/// Lists payment links, the newest first.
#[utoipa::path(get, path = "/v1/payment-links", tag = "payments", params(PageQuery),
    responses((status = 200, body = List<PaymentLinkView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn links(State(deps): State<Deps>, call: Call, Query(query): Query<PageQuery>) -> Result<Answer<List<PaymentLinkView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = query.limit()?;
    let before = query.after.as_deref().map(LinkId::parse).transpose();
    let before = before.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let found = queries::links(&mut deps.store.read(), workspace, before, i64::from(limit) + 1).await?;
    let url = deps.public_url.clone();
    Ok(Answer::ok(List::page(found, limit as usize, |link| link.id.to_string()).map(|link| PaymentLinkView::of(&link, &url))))
}

/// Makes a link that anybody may pay with.
#[utoipa::path(post, path = "/v1/payment-links", tag = "payments", request_body = PaymentLinkBody,
    responses((status = 201, body = PaymentLinkView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn make_link(State(deps): State<Deps>, call: Call, Json(body): Json<PaymentLinkBody>) -> Result<Answer<PaymentLinkView>, Problem> {
    effect_created(&deps.store, &call, (body, deps.public_url.clone()), |tx, (body, url)| {
        Box::pin(async move { Ok(PaymentLinkView::of(&commands::make_link(tx, body.parse()?).await?, &url)) })
    })
    .await
}

/// Opens a link or closes it.
#[utoipa::path(patch, path = "/v1/payment-links/{id}", tag = "payments", params(("id" = String, Path)), request_body = LinkEditBody,
    responses((status = 200, body = PaymentLinkView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn edit_link(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<LinkId>,
    Json(body): Json<LinkEditBody>,
) -> Result<Answer<PaymentLinkView>, Problem> {
    effect(&deps.store, &call, (id, body, deps.public_url.clone()), |tx, (id, body, url)| {
        Box::pin(async move { Ok(PaymentLinkView::of(&commands::switch_link(tx, id, body.is_active).await?, &url)) })
    })
    .await
}

/// Lists webhooks of providers, the newest first, with what became of them.
#[utoipa::path(get, path = "/v1/payment-webhooks", tag = "payments", params(PageQuery),
    responses((status = 200, body = List<ProviderWebhookView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn webhooks(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<ProviderWebhookView>>, Problem> {
    let workspace = allowed(&call, grants::MANAGE)?;
    let limit = query.limit()?;
    let before = query.after.as_deref().map(crate::WebhookId::parse).transpose();
    let before = before.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let found = queries::webhooks(&mut deps.store.read(), workspace, "", before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |row| row.id.to_string()).map(|row| ProviderWebhookView::from(&row))))
}

/// Takes a provider's webhook. The address holds what only the provider knows; what it says is checked by its signature, or
/// only causes a query.
#[utoipa::path(post, path = "/v1/payments/webhooks/{token}", tag = "payments", params(("token" = String, Path)), request_body = String,
    responses((status = 200, description = "It is kept and will be worked off."), gateway::openapi::ErrorResponses))]
async fn take_webhook(
    State(deps): State<Deps>,
    Path(token): Path<String>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<StatusCode, Problem> {
    let headers = headers.iter().filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))).collect();
    match commands::take_webhook(&deps.store, &token, headers, body.to_vec()).await? {
        Taken::Kept => Ok(StatusCode::OK),
        Taken::Unknown => Err(PaymentError::NotFound { what: "webhook address" }.into()),
        Taken::Refused(error) => Err(Problem::new(StatusCode::UNAUTHORIZED, "webhook_refused").with_detail(error.to_string())),
    }
}
