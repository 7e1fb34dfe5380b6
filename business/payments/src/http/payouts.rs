//! Payouts, beneficiaries, their settings and the float over HTTP. Whatever is done at a provider follows in a job:
//! `GET /v1/payouts/{id}?wait_s=10` waits for it.

mod views;

use std::time::Duration;

use axum::extract::State;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, effect, effect_created, effect_done};
use kernel::{Id as _, RawId};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::views::WaitQuery;
use super::{Deps, WAIT_MAX_S, allowed};
use crate::beneficiary::BeneficiaryId;
use crate::commands;
use crate::error::PaymentError;
use crate::payout::{PayoutId, PayoutState};
use crate::provider::ProviderId;
use crate::{grants, queries};
use views::{
    BeneficiaryBody, BeneficiaryEditBody, BeneficiaryView, FloatBody, FloatView, FloatsView, OtpBody, PayoutBody, PayoutEventView,
    PayoutQuery, PayoutReasonBody, PayoutResolveBody, PayoutSettingsView, PayoutView, TopUpBody, TopUpView,
};

pub(super) fn routes() -> OpenApiRouter<Deps> {
    OpenApiRouter::new()
        .routes(routes!(beneficiaries, add_beneficiary))
        .routes(routes!(beneficiary, change_beneficiary, erase_beneficiary))
        .routes(routes!(list, request))
        .routes(routes!(get))
        .routes(routes!(events))
        .routes(routes!(approve))
        .routes(routes!(refuse))
        .routes(routes!(cancel))
        .routes(routes!(retry))
        .routes(routes!(confirm))
        .routes(routes!(resolve))
        .routes(routes!(settings, set_settings))
        .routes(routes!(float))
        .routes(routes!(top_up))
        .routes(routes!(compare))
}

/// Lists beneficiaries, the newest first. The numbers of their accounts are never shown again.
#[utoipa::path(get, path = "/v1/beneficiaries", tag = "payouts", params(PageQuery),
    responses((status = 200, body = List<BeneficiaryView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn beneficiaries(
    State(deps): State<Deps>,
    call: Call,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<BeneficiaryView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = query.limit()?;
    let before = query.after.as_deref().map(BeneficiaryId::parse).transpose();
    let before = before.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let found = queries::beneficiaries(&mut deps.store.read(), workspace, before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |one| one.id.to_string()).map(|one| BeneficiaryView::from(&one))))
}

/// Adds a beneficiary. The number of the account is stored sealed.
#[utoipa::path(post, path = "/v1/beneficiaries", tag = "payouts", request_body = BeneficiaryBody,
    responses((status = 201, body = BeneficiaryView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn add_beneficiary(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<BeneficiaryBody>,
) -> Result<Answer<BeneficiaryView>, Problem> {
    allowed(&call, grants::PAY_OUT)?;
    let id = BeneficiaryId::from_raw(RawId::generate(deps.store.clock().now(), deps.store.entropy()));
    let (destination, country) = body.parse();
    let sealed = commands::seal_beneficiary(deps.store.vault(), id, &destination, country)?;
    effect_created(&deps.store, &call, sealed, |tx, sealed| {
        Box::pin(async move { Ok(BeneficiaryView::from(&commands::add_beneficiary(tx, sealed).await?)) })
    })
    .await
}

/// Gets a beneficiary.
#[utoipa::path(get, path = "/v1/beneficiaries/{id}", tag = "payouts", params(("id" = String, Path)),
    responses((status = 200, body = BeneficiaryView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn beneficiary(State(deps): State<Deps>, call: Call, Path(id): Path<BeneficiaryId>) -> Result<Answer<BeneficiaryView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    Ok(Answer::ok(BeneficiaryView::from(&queries::beneficiary(&mut deps.store.read(), workspace, id).await?)))
}

/// Changes a beneficiary's account. Payouts that were asked for before and not sent yet do not go any more.
#[utoipa::path(put, path = "/v1/beneficiaries/{id}", tag = "payouts", params(("id" = String, Path)), request_body = BeneficiaryEditBody,
    responses((status = 200, body = BeneficiaryView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn change_beneficiary(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<BeneficiaryId>,
    Json(body): Json<BeneficiaryEditBody>,
) -> Result<Answer<BeneficiaryView>, Problem> {
    allowed(&call, grants::PAY_OUT)?;
    let (version, destination, country) = body.parse();
    let sealed = commands::seal_beneficiary(deps.store.vault(), id, &destination, country)?;
    effect(&deps.store, &call, (version, sealed), |tx, (version, sealed)| {
        Box::pin(async move { Ok(BeneficiaryView::from(&commands::change_beneficiary(tx, version, sealed).await?)) })
    })
    .await
}

/// Forgets whose account it was and its number. Payouts stay, without a name.
#[utoipa::path(delete, path = "/v1/beneficiaries/{id}", tag = "payouts", params(("id" = String, Path)),
    responses((status = 204, description = "It is forgotten."), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn erase_beneficiary(State(deps): State<Deps>, call: Call, Path(id): Path<BeneficiaryId>) -> Result<Answer<()>, Problem> {
    effect_done(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(commands::erase_beneficiary(tx, id).await?) })).await
}

/// Lists payouts, the newest first.
#[utoipa::path(get, path = "/v1/payouts", tag = "payouts", params(PayoutQuery),
    responses((status = 200, body = List<PayoutView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<PayoutQuery>) -> Result<Answer<List<PayoutView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (state, beneficiary, before) = query.filter()?;
    let found = queries::payouts(&mut deps.store.read(), workspace, state, beneficiary, before, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(found, limit as usize, |payout| payout.id.to_string()).map(|payout| PayoutView::from(&payout))))
}

/// Asks for a payout. Rules and people decide first; nothing is sent to a provider yet.
#[utoipa::path(post, path = "/v1/payouts", tag = "payouts", request_body = PayoutBody,
    responses((status = 201, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn request(State(deps): State<Deps>, call: Call, Json(body): Json<PayoutBody>) -> Result<Answer<PayoutView>, Problem> {
    effect_created(&deps.store, &call, body, |tx, body| {
        Box::pin(async move { Ok(PayoutView::from(&commands::request_payout(tx, body.parse()?).await?)) })
    })
    .await
}

/// Gets a payout. With `wait_s` the answer comes as soon as it has ended or waits for people, for funds or for a working day.
#[utoipa::path(get, path = "/v1/payouts/{id}", tag = "payouts", params(("id" = String, Path), WaitQuery),
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<PayoutId>,
    Query(query): Query<WaitQuery>,
) -> Result<Answer<PayoutView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let within = Duration::from_secs(query.wait_s.unwrap_or(0).min(WAIT_MAX_S));
    let is_settled = |payout: &crate::Payout| {
        payout.state.is_final()
            || payout.waits_for.is_some()
            || matches!(payout.state, PayoutState::RiskReview | PayoutState::OtpRequired | PayoutState::Unknown)
    };
    let payout = crate::bell::wait_for_payout(&deps.store, workspace, id, within, is_settled).await?;
    Ok(Answer::ok(PayoutView::from(&payout)))
}

/// Lists what happened to a payout, the oldest first.
#[utoipa::path(get, path = "/v1/payouts/{id}/events", tag = "payouts", params(("id" = String, Path), PageQuery),
    responses((status = 200, body = List<PayoutEventView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn events(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<PayoutId>,
    Query(query): Query<PageQuery>,
) -> Result<Answer<List<PayoutEventView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = query.limit()?;
    let after = query.after.as_deref().unwrap_or("0").parse::<i64>();
    let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
    let mut reads = deps.store.read();
    queries::payout(&mut reads, workspace, id).await?;
    let found = queries::payout_history(&mut reads, workspace, id, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(
        List::page(found, limit as usize, |recorded| recorded.version.to_string()).map(|recorded| PayoutEventView::from(&recorded)),
    ))
}

/// Says that a payout may go. Only a person can, and never the one who asked for it; above the limit two have to.
#[utoipa::path(post, path = "/v1/payouts/{id}/approve", tag = "payouts", params(("id" = String, Path)),
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn approve(State(deps): State<Deps>, call: Call, Path(id): Path<PayoutId>) -> Result<Answer<PayoutView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(PayoutView::from(&commands::approve_payout(tx, id).await?)) })).await
}

/// Says that a payout must not go, and why. Only a person can, and never the one who asked for it, who can cancel it.
#[utoipa::path(post, path = "/v1/payouts/{id}/refuse", tag = "payouts", params(("id" = String, Path)), request_body = PayoutReasonBody,
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn refuse(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<PayoutId>,
    Json(body): Json<PayoutReasonBody>,
) -> Result<Answer<PayoutView>, Problem> {
    effect(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move { Ok(PayoutView::from(&commands::refuse_payout(tx, id, body.reason).await?)) })
    })
    .await
}

/// Calls a payout off while nothing was sent.
#[utoipa::path(post, path = "/v1/payouts/{id}/cancel", tag = "payouts", params(("id" = String, Path)),
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn cancel(State(deps): State<Deps>, call: Call, Path(id): Path<PayoutId>) -> Result<Answer<PayoutView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(PayoutView::from(&commands::cancel_payout(tx, id).await?)) })).await
}

/// Has a payout tried, or looked at, now.
#[utoipa::path(post, path = "/v1/payouts/{id}/retry", tag = "payouts", params(("id" = String, Path)),
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn retry(State(deps): State<Deps>, call: Call, Path(id): Path<PayoutId>) -> Result<Answer<PayoutView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(PayoutView::from(&commands::retry_payout(tx, id).await?)) })).await
}

/// Gives the one-time password that the provider waits for. It is passed on and never kept in the clear.
#[utoipa::path(post, path = "/v1/payouts/{id}/confirm", tag = "payouts", params(("id" = String, Path)), request_body = OtpBody,
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn confirm(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<PayoutId>,
    Json(body): Json<OtpBody>,
) -> Result<Answer<PayoutView>, Problem> {
    allowed(&call, grants::PAY_OUT)?;
    let sealed = commands::seal_otp(deps.store.vault(), id, &body.otp)?;
    effect(&deps.store, &call, (id, sealed), |tx, (id, sealed)| {
        Box::pin(async move { Ok(PayoutView::from(&commands::confirm_payout(tx, id, sealed).await?)) })
    })
    .await
}

/// Says how a payout ended whose outcome is unknown, after a person has checked with the provider.
#[utoipa::path(post, path = "/v1/payouts/{id}/resolve", tag = "payouts", params(("id" = String, Path)), request_body = PayoutResolveBody,
    responses((status = 200, body = PayoutView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn resolve(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<PayoutId>,
    Json(body): Json<PayoutResolveBody>,
) -> Result<Answer<PayoutView>, Problem> {
    effect(&deps.store, &call, (id, body), |tx, (id, body)| {
        Box::pin(async move { Ok(PayoutView::from(&commands::resolve_payout(tx, id, body.was_paid, body.reason).await?)) })
    })
    .await
}

/// Gets what the workspace says about payouts.
#[utoipa::path(get, path = "/v1/payout-settings", tag = "payouts",
    responses((status = 200, body = PayoutSettingsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn settings(State(deps): State<Deps>, call: Call) -> Result<Answer<PayoutSettingsView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    Ok(Answer::ok(PayoutSettingsView::from(queries::payout_settings(&mut deps.store.read(), workspace).await?)))
}

/// Sets what the workspace says about payouts, all of it.
#[utoipa::path(put, path = "/v1/payout-settings", tag = "payouts", request_body = PayoutSettingsView,
    responses((status = 200, body = PayoutSettingsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn set_settings(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<PayoutSettingsView>,
) -> Result<Answer<PayoutSettingsView>, Problem> {
    effect(&deps.store, &call, body, |tx, body| {
        Box::pin(async move { Ok(PayoutSettingsView::from(commands::set_payout_settings(tx, body.into()).await?)) })
    })
    .await
}

/// Lists what the books have at the providers for payouts, and what those said last.
#[utoipa::path(get, path = "/v1/payment-float", tag = "payouts",
    responses((status = 200, body = FloatsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn float(State(deps): State<Deps>, call: Call) -> Result<Answer<FloatsView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let found = queries::floats(&mut deps.store.read(), workspace).await?;
    Ok(Answer::ok(FloatsView { items: found.iter().map(FloatView::from).collect() }))
}

/// Enters in the books that the bank sent money to a provider for payouts; those that wait for it are tried again.
#[utoipa::path(post, path = "/v1/payment-float/top-ups", tag = "payouts", request_body = TopUpBody,
    responses((status = 201, body = TopUpView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn top_up(State(deps): State<Deps>, call: Call, Json(body): Json<TopUpBody>) -> Result<Answer<TopUpView>, Problem> {
    effect_created(&deps.store, &call, body, |tx, body| {
        Box::pin(async move {
            let (provider, amount): (ProviderId, _) = body.parse()?;
            let id = commands::top_up_float(tx, provider, amount).await?;
            Ok(TopUpView { id: id.to_string() })
        })
    })
    .await
}

/// Has a provider asked how much money is there. What it says is kept beside what the books say; nothing is posted.
#[utoipa::path(post, path = "/v1/payment-float/comparisons", tag = "payouts", request_body = FloatBody,
    responses((status = 204, description = "The provider is being asked."), gateway::openapi::ErrorResponses),
    security(("session" = []), ("key" = [])))]
async fn compare(State(deps): State<Deps>, call: Call, Json(body): Json<FloatBody>) -> Result<Answer<()>, Problem> {
    effect_done(&deps.store, &call, body, |tx, body| {
        Box::pin(async move {
            let (provider, currency) = views::float_of(&body.provider, &body.currency)?;
            Ok(commands::compare_float(tx, provider, currency).await?)
        })
    })
    .await
}
