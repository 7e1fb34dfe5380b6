//! OpenAPI: the answers that every address may give, who may ask, the document and its page.

use std::collections::BTreeMap;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema};

use crate::{FieldView, ProblemView};

/// The problems that any address may answer with: `responses((status = 200, body = CardView), gateway::openapi::ErrorResponses)`.
pub struct ErrorResponses;

/// Each status with what it means; one table, so that no address declares less than the door may answer.
const PROBLEMS: &[(&str, &str)] = &[
    ("400", "The request cannot be read: malformed JSON, an incomplete body, a bad header."),
    ("401", "Nobody is signed in, or the API key is unknown."),
    ("403", "The caller may not do this, or another site's page tried to."),
    ("404", "There is nothing here, or nothing that the caller may see."),
    ("405", "This address does not have this method."),
    ("409", "The state has moved on, or the thing exists already."),
    ("413", "The body is longer than this address allows."),
    ("414", "The address is too long."),
    ("415", "The body has another media type than this address reads."),
    ("422", "A field is wrong (`errors` names it), or the Idempotency-Key was used for another request."),
    ("429", "Too many requests: `Retry-After` says when to come back."),
    ("500", "Something went wrong on our side."),
    ("503", "Not now: repeat with the same Idempotency-Key."),
];

impl IntoResponses for ErrorResponses {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
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
