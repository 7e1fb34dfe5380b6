//! What a scan's page links to, open to everybody who knows the card: its vCard, its offline symbol and its photo.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::{Call, Path, Problem, Query};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::Id;
use serde::Deserialize;
use utoipa::IntoParams;

use super::Deps;
use crate::card::{Card, CardId};
use crate::error::CardError;
use crate::photo::PhotoHash;
use crate::symbol::OfflineSymbol;
use crate::{queries, vcard};

/// Which vCard.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct VcardQuery {
    /// `3` (3.0, as when absent) or `4` (4.0).
    version: Option<String>,
    /// The printed code that led here: the vCard then names the page as its source.
    code: Option<String>,
}

/// Where the symbol was asked for.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct SymbolQuery {
    /// The printed code that led here: the contact in the symbol then has the page's address.
    code: Option<String>,
}

/// Downloads a card as a vCard, with its photo.
#[utoipa::path(get, path = "/c/{file}", tag = "cards", params(("file" = String, Path, description = "The card's id and `.vcf`"), VcardQuery),
    responses((status = 200, content_type = "text/vcard", body = String), (status = 304, description = "Not changed"), gateway::openapi::ErrorResponses))]
pub(super) async fn vcard(
    State(deps): State<Deps>,
    call: Call,
    Path(file): Path<String>,
    Query(query): Query<VcardQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = file.strip_suffix(".vcf").and_then(|id| CardId::parse(id).ok()).ok_or_else(Problem::not_found)?;
    let version = match query.version.as_deref() {
        None => vcard::Version::V3,
        Some(text) => vcard::Version::parse(text).ok_or_else(|| Problem::invalid_field("version", "must be 3 or 4"))?,
    };
    let page_url = page_url(&deps, query.code.as_deref());
    let mut reads = deps.store.read();
    let card = live(&mut reads, id).await?;
    let tag =
        format!("\"{}-{}{}\"", card.version, if version == vcard::Version::V3 { 3 } else { 4 }, if page_url.is_some() { "s" } else { "" });
    if is_known(&headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let photo = queries::vcard_photo(&mut reads, &card).await?;
    let text = vcard::write(&card, version, photo.as_deref(), page_url.as_deref());
    // iPhones open the contact at once where it is not called an attachment; others save the file either way.
    let user_agent = call.user_agent();
    let manner = if user_agent.contains("iPhone") || user_agent.contains("iPad") { "inline" } else { "attachment" };
    let name = vcard::file_name(&card.profile);
    let full_name = crate::page::percent(&format!("{}.vcf", card.profile.name.display.replace(['/', '\\'], " ")));
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(vcard::MEDIA_TYPE)),
        (header::CONTENT_DISPOSITION, value(&format!("{manner}; filename=\"{name}\"; filename*=UTF-8''{full_name}"))?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::VARY, HeaderValue::from_static("User-Agent")),
        (header::ETAG, value(&tag)?),
    ];
    Ok((headers, text).into_response())
}

/// Draws the QR code that holds the contact itself, to be read without a network.
#[utoipa::path(get, path = "/c/{id}/qr.svg", tag = "cards", params(("id" = String, Path), SymbolQuery),
    responses((status = 200, content_type = "image/svg+xml", body = String), (status = 304, description = "Not changed"), gateway::openapi::ErrorResponses))]
pub(super) async fn symbol(
    State(deps): State<Deps>,
    Path(id): Path<CardId>,
    Query(query): Query<SymbolQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let page_url = page_url(&deps, query.code.as_deref());
    let card = live(&mut deps.store.read(), id).await?;
    let tag = format!("\"{}-q{}\"", card.version, if page_url.is_some() { "s" } else { "" });
    if is_known(&headers, &tag) {
        return Ok(not_modified(&tag));
    }
    // A name that no symbol can hold has none.
    let symbol = OfflineSymbol::of(&card.profile, page_url.as_deref()).ok_or_else(Problem::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/svg+xml")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, value(&tag)?),
    ];
    Ok((headers, symbol.svg()).into_response())
}

/// Shows a photo. Its name is the hash of its content, so it may be kept for ever.
#[utoipa::path(get, path = "/photos/{file}", tag = "cards", params(("file" = String, Path, description = "The photo's hash and `.jpg`")),
    responses((status = 200, content_type = "image/jpeg", body = Vec<u8>), gateway::openapi::ErrorResponses))]
pub(super) async fn photo(State(deps): State<Deps>, Path(file): Path<String>, headers: HeaderMap) -> Result<Response, Problem> {
    let hash = file.strip_suffix(".jpg").and_then(PhotoHash::parse).ok_or_else(Problem::not_found)?;
    let tag = format!("\"{hash}\"");
    if is_known(&headers, &tag) {
        return Ok(not_modified(&tag));
    }
    let jpeg = queries::photo_everywhere(&mut deps.store.read(), hash).await?.ok_or_else(Problem::not_found)?;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg")),
        (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
        (header::ETAG, value(&tag)?),
    ];
    Ok((headers, jpeg).into_response())
}

/// A retired card is to a stranger as if it had never been.
async fn live(reads: &mut impl store::Reads, id: CardId) -> Result<Card, CardError> {
    queries::card_for_scan_everywhere(reads, id).await?.filter(Card::is_live).ok_or(CardError::NotFound { id })
}

/// The address of the page that a code opens; none for what is no code, so that nobody makes our vCards name other addresses.
fn page_url(deps: &Deps, code: Option<&str>) -> Option<String> {
    let code = codes::PublicCode::parse(code?.as_bytes()).ok()?;
    Some(format!("{}/{code}", deps.public_url))
}

fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag)
}

fn not_modified(tag: &str) -> Response {
    let tag = HeaderValue::from_str(tag).unwrap_or_else(|_| HeaderValue::from_static("\"\""));
    (StatusCode::NOT_MODIFIED, [(header::ETAG, tag)]).into_response()
}

fn value(text: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(text).map_err(Problem::internal)
}
