//! Cards over HTTP: `/v1/cards` for those who own them, `/c` and `/photos` for those who scan them.

mod bodies;
mod public;
mod views;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use codes::PublicCode;
use gateway::{Answer, Call, Json, List, PageQuery, Path, Problem, Query, RawBody, effect, effect_created, effect_done};
use kernel::{Grant, WorkspaceId};
use store::{Reads, Store};
use tokio::sync::Semaphore;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::card::{Card, CardId, Profile};
use crate::commands::{self, Successor};
use crate::error::CardError;
use crate::photo::{self, UPLOAD_BYTES_MAX};
use crate::{grants, queries};
use bodies::{CardBody, CardQuery, ExchangeBody, OwnerBody, RetireBody, wanted_code};
pub use views::{AddressView, CardView, CodeView, ContactView, ExchangedView, LinkView, ProfileView, RetiredView};

/// How many photos are decoded at once: each may take 128 MiB and a processor for some hundred milliseconds.
const DECODED_AT_ONCE: usize = 2;
/// The most codes that are shown with a card.
const CODES_SHOWN_MAX: u32 = 200;

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where cards are kept.
    pub store: Store,
    /// Where this installation is reached, without a slash at the end, for example `https://t.example`.
    pub public_url: Arc<str>,
    decoding: Arc<Semaphore>,
}

impl Deps {
    /// What the routes need.
    pub fn new(store: Store, public_url: &str) -> Self {
        Self { store, public_url: public_url.trim_end_matches('/').into(), decoding: Arc::new(Semaphore::new(DECODED_AT_ONCE)) }
    }
}

/// The routes of cards, for their owners and for everybody.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update))
        .routes(routes!(hand_to))
        .routes(routes!(retire))
        .routes(routes!(put_photo, delete_photo).layer(gateway::body_limit(UPLOAD_BYTES_MAX)))
        .routes(routes!(mint_code))
        .routes(routes!(bind_code, release_code))
        .routes(routes!(exchange))
        .routes(routes!(public::vcard))
        .routes(routes!(public::symbol))
        .routes(routes!(public::photo))
        .with_state(deps)
}

/// The workspace of a caller who may do this; the first line of every read.
fn allowed(call: &Call, grant: Grant) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grant).map_err(CardError::from)?)
}

fn parsed(profile: bodies::ProfileBody) -> Result<Profile, CardError> {
    Profile::parse(profile.into()).map_err(|fields| CardError::Invalid { fields })
}

/// A card with the codes that lead to it.
async fn with_codes(reads: &mut impl Reads, public_url: &str, card: &Card) -> Result<CardView, CardError> {
    let codes = codes::queries::of_thing(reads, card.workspace, "card", &card.id.to_string(), CODES_SHOWN_MAX).await?;
    let codes = codes.iter().map(|code| CodeView::of(code.code, public_url)).collect();
    Ok(CardView { codes: Some(codes), ..CardView::from(card) })
}

/// Lists cards, the newest first.
#[utoipa::path(get, path = "/v1/cards", tag = "cards", params(CardQuery), responses((status = 200, body = List<CardView>), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<CardQuery>) -> Result<Answer<List<CardView>>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let limit = PageQuery { after: None, limit: query.limit }.limit()?;
    let (filter, after) = query.filter(call.caller()?.member())?;
    let cards = queries::list(&mut deps.store.read(), workspace, &filter, after, i64::from(limit) + 1).await?;
    Ok(Answer::ok(List::page(cards, limit as usize, |card| card.id.to_string()).map(|card| CardView::from(&card))))
}

/// Makes a card, of the caller unless another owner is named. With `code` it gets its printed code in the same step: `new` mints
/// one, anything else is a code of the workspace that is to lead to the card.
#[utoipa::path(post, path = "/v1/cards", tag = "cards", request_body = CardBody, responses((status = 201, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn create(State(deps): State<Deps>, call: Call, Json(body): Json<CardBody>) -> Result<Answer<CardView>, Problem> {
    let CardBody { owner, code, version, profile } = body;
    if version.is_some() {
        return Err(CardError::field("version", "must be left out: a new card has none").into());
    }
    let (owner, code) = (bodies::owner(owner.as_ref(), call.caller()?.member())?, code.as_deref().map(wanted_code).transpose()?);
    let input = (owner, code, parsed(profile)?, deps.public_url.clone());
    effect_created(&deps.store, &call, input, |tx, (owner, code, profile, public_url)| {
        Box::pin(async move {
            let card = commands::create(tx, owner, profile).await?;
            match code {
                None => {}
                Some(None) => drop(commands::mint_code(tx, card.id).await?),
                Some(Some(code)) => drop(commands::bind_code(tx, card.id, code).await?),
            }
            Ok(with_codes(tx, &public_url, &card).await?)
        })
    })
    .await
}

/// Gets a card with the codes that lead to it.
#[utoipa::path(get, path = "/v1/cards/{id}", tag = "cards", params(("id" = String, Path)), responses((status = 200, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<CardId>) -> Result<Answer<CardView>, Problem> {
    let workspace = allowed(&call, grants::READ)?;
    let mut reads = deps.store.read();
    let card = queries::get(&mut reads, workspace, id).await?;
    Ok(Answer::ok(with_codes(&mut reads, &deps.public_url, &card).await?))
}

/// Replaces everything that stands on a card. With `version`, only if it is still at that version.
#[utoipa::path(put, path = "/v1/cards/{id}", tag = "cards", params(("id" = String, Path)), request_body = CardBody,
    responses((status = 200, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn update(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<CardId>,
    Json(body): Json<CardBody>,
) -> Result<Answer<CardView>, Problem> {
    let CardBody { owner, code, version, profile } = body;
    let named = [("owner", owner.is_some()), ("code", code.is_some())];
    if let Some((field, _)) = named.iter().find(|(_, is_named)| *is_named) {
        return Err(CardError::field(field, "must be left out: it has an address of its own").into());
    }
    effect(&deps.store, &call, (id, version, parsed(profile)?), |tx, (id, version, profile)| {
        Box::pin(async move { Ok(CardView::from(&commands::update(tx, id, profile, version).await?)) })
    })
    .await
}

/// Hands a card to another member; `none` makes it the organisation's.
#[utoipa::path(put, path = "/v1/cards/{id}/owner", tag = "cards", params(("id" = String, Path)), request_body = OwnerBody,
    responses((status = 200, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn hand_to(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<CardId>,
    Json(body): Json<OwnerBody>,
) -> Result<Answer<CardView>, Problem> {
    let owner = bodies::owner(Some(&body.owner), call.caller()?.member())?;
    effect(&deps.store, &call, (id, owner), |tx, (id, owner)| {
        Box::pin(async move { Ok(CardView::from(&commands::hand_to(tx, id, owner).await?)) })
    })
    .await
}

/// Takes a card out of use and hands its printed codes on: to another card, to an address on the web, or to nobody yet. Repeated on
/// a retired card it hands on the codes that still lead there.
#[utoipa::path(post, path = "/v1/cards/{id}/retire", tag = "cards", params(("id" = String, Path)), request_body = RetireBody,
    responses((status = 200, body = RetiredView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn retire(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<CardId>,
    Json(body): Json<RetireBody>,
) -> Result<Answer<RetiredView>, Problem> {
    let successor: Successor = body.successor(&deps.public_url)?;
    effect(&deps.store, &call, (id, successor), |tx, (id, successor)| {
        Box::pin(async move {
            let retired = commands::retire(tx, id, successor).await?;
            Ok(RetiredView { card: CardView::from(&retired.card), moved: retired.moved.iter().map(ToString::to_string).collect() })
        })
    })
    .await
}

/// Gives a card a photo: a JPEG, PNG or WebP file of at most 2 MiB as the body. It is turned upright, cut to a square and kept
/// without anything else that was in the file.
#[utoipa::path(put, path = "/v1/cards/{id}/photo", tag = "cards", params(("id" = String, Path)),
    request_body(content = Vec<u8>, content_type = "image/*"), responses((status = 200, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn put_photo(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<CardId>,
    RawBody(upload): RawBody,
) -> Result<Answer<CardView>, Problem> {
    // Before anything is decoded: a stranger's picture costs nothing.
    let workspace = allowed(&call, grants::WRITE)?;
    queries::get(&mut deps.store.read(), workspace, id).await?;
    let permit = deps.decoding.clone().acquire_owned().await.map_err(Problem::internal)?;
    let prepared = tokio::task::spawn_blocking(move || {
        let prepared = photo::prepare(&upload);
        drop(permit);
        prepared
    });
    let photo = Arc::new(prepared.await.map_err(Problem::internal)??);
    effect(&deps.store, &call, (id, photo), |tx, (id, photo)| {
        Box::pin(async move { Ok(CardView::from(&commands::picture(tx, id, Some(&photo)).await?)) })
    })
    .await
}

/// Takes the photo off a card.
#[utoipa::path(delete, path = "/v1/cards/{id}/photo", tag = "cards", params(("id" = String, Path)), responses((status = 200, body = CardView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn delete_photo(State(deps): State<Deps>, call: Call, Path(id): Path<CardId>) -> Result<Answer<CardView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| Box::pin(async move { Ok(CardView::from(&commands::picture(tx, id, None).await?)) })).await
}

/// Mints a code that leads to the card.
#[utoipa::path(post, path = "/v1/cards/{id}/codes", tag = "cards", params(("id" = String, Path)), responses((status = 201, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn mint_code(State(deps): State<Deps>, call: Call, Path(id): Path<CardId>) -> Result<Answer<CodeView>, Problem> {
    effect_created(&deps.store, &call, (id, deps.public_url.clone()), |tx, (id, public_url)| {
        Box::pin(async move { Ok(CodeView::of(commands::mint_code(tx, id).await?.code, &public_url)) })
    })
    .await
}

/// Leads a code of the workspace to the card, whatever it led to before.
#[utoipa::path(put, path = "/v1/cards/{id}/codes/{code}", tag = "cards", params(("id" = String, Path), ("code" = String, Path)),
    responses((status = 200, body = CodeView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn bind_code(State(deps): State<Deps>, call: Call, Path((id, code)): Path<(CardId, String)>) -> Result<Answer<CodeView>, Problem> {
    let code = printed(&code)?;
    effect(&deps.store, &call, (id, code, deps.public_url.clone()), |tx, (id, code, public_url)| {
        Box::pin(async move { Ok(CodeView::of(commands::bind_code(tx, id, code).await?.code, &public_url)) })
    })
    .await
}

/// Takes a code off the card; it may be bound again.
#[utoipa::path(delete, path = "/v1/cards/{id}/codes/{code}", tag = "cards", params(("id" = String, Path), ("code" = String, Path)),
    responses((status = 204), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn release_code(State(deps): State<Deps>, call: Call, Path((id, code)): Path<(CardId, String)>) -> Result<Answer<()>, Problem> {
    let code = printed(&code)?;
    effect_done(&deps.store, &call, (id, code), |tx, (id, code)| {
        Box::pin(async move {
            commands::release_code(tx, id, code).await?;
            Ok(())
        })
    })
    .await
}

/// What does not even look like a code is none.
fn printed(code: &str) -> Result<PublicCode, Problem> {
    PublicCode::parse(code.as_bytes()).map_err(|_| codes::CodeError::NotFound.into())
}

/// Leaves the caller's own card with the owner of this one, of whichever workspace. From a page's form it answers with the way back.
#[utoipa::path(post, path = "/v1/cards/{id}/exchange", tag = "cards", params(("id" = String, Path)), request_body = ExchangeBody,
    responses((status = 200, body = ExchangedView), (status = 303, description = "From a form: back to the page"), gateway::openapi::ErrorResponses),
    security(("session" = [])))]
async fn exchange(State(deps): State<Deps>, call: Call, Path(id): Path<CardId>, RawBody(body): RawBody) -> Result<Response, Problem> {
    call.caller()?;
    let body = ExchangeBody::read(&call, &body)?;
    let (own, code) = body.parsed()?;
    let call = match (call.idempotency_key(), &body.once) {
        (None, Some(once)) => call.idempotent_as(once),
        _ => call,
    };
    let answer = effect(&deps.store, &call, (id, own, code), |tx, (id, own, code)| {
        Box::pin(async move {
            let exchanged = commands::exchange(tx, id, own, code.as_deref()).await?;
            Ok(ExchangedView { card: exchanged.card.id.to_string(), own_card: exchanged.own.id.to_string() })
        })
    })
    .await?;
    match body.way_back() {
        Some(back) if call.is_form() => Ok(gateway::page::see_other(back)),
        _ => Ok(answer.into_response()),
    }
}
