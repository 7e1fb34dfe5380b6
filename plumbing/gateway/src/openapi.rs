//! OpenAPI: the answers that every address may give, who may ask, the document and its page.

mod conform;
mod reference;

use std::collections::BTreeMap;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderValue, header};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema};

use crate::{FieldView, Problem, ProblemView};

pub use conform::check;
pub use reference::page as reference_page;

/// The problems that any address may answer with: `responses((status = 200, body = CardView), gateway::openapi::ErrorResponses)`.
pub struct ErrorResponses;

/// Each status with what it means; one table, so that no address declares less than the door may answer.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "The request cannot be read: malformed JSON, an incomplete body, a bad header."),
    ("401", "Nobody is signed in, or the API key is unknown."),
    ("403", "The caller may not do this, or another site's page tried to."),
    ("404", "There is nothing here, or nothing that the caller may see."),
    ("405", "This address does not have this method."),
    ("408", "The body took too long to arrive."),
    ("409", "The state has moved on, or the thing exists already."),
    ("413", "The body is longer than this address allows."),
    ("414", "The address is too long."),
    ("415", "The body has another media type than this address reads."),
    ("422", "A field is wrong or holds a card number (`errors` names it), or the Idempotency-Key was used for another request."),
    ("429", "Too many requests: `Retry-After` says when to come back."),
    ("500", "Something went wrong on our side."),
    ("503", "Not now: repeat with the same Idempotency-Key."),
];

impl IntoResponses for ErrorResponses {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        PROBLEMS
            .iter()
            .map(|(status, description)| {
                let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
                let response = ResponseBuilder::new().description(*description).content("application/problem+json", content).build();
                ((*status).to_owned(), RefOr::T(response))
            })
            .collect()
    }
}

/// Adds to a document what all addresses share: the schema of problems and the two ways to say who asks. Addresses name
/// them by `security(("session" = []), ("key" = []))`.
pub fn complete(mut document: OpenApi) -> OpenApi {
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".to_owned(), ProblemView::schema());
    components.schemas.insert("FieldProblem".to_owned(), FieldView::schema());
    let session = ApiKeyValue::with_description(
        "__Host-tessera_session",
        "The session cookie of a person who signed in; `tessera_session` on plain http.",
    );
    components.add_security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    let key =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("tsk_…").description(Some("An API key of a workspace.")).build();
    components.add_security_scheme("key", SecurityScheme::Http(key));
    document
}

/// The document completed and written as JSON, indented and with a stable order, fit for a snapshot.
pub fn to_json(document: OpenApi) -> Result<String, Problem> {
    let value = serde_json::to_value(complete(document)).map_err(Problem::internal)?;
    serde_json::to_string_pretty(&value).map_err(Problem::internal)
}

/// `/openapi.json` and `/docs`: the document for programs and as a page for people, both made once.
pub fn openapi_routes(document: OpenApi) -> Router {
    let json = to_json(document).unwrap_or_else(|_| "{}".to_owned());
    let html = reference_page(&serde_json::from_str(&json).unwrap_or_default());
    let (json, html) = (Bytes::from(json), Bytes::from(html));
    Router::new()
        .route("/openapi.json", get(move || async move { file("application/json", json) }))
        .route("/docs", get(move || async move { with_policy(file("text/html; charset=utf-8", html)) }))
}

fn file(kind: &'static str, bytes: Bytes) -> Response {
    let mut response = bytes.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The reference loads and sends nothing at all.
fn with_policy(mut response: Response) -> Response {
    const NOTHING: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(NOTHING));
    response
}
