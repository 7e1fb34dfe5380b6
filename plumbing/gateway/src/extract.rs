//! Extractors: what a request says, turned into types, or a problem that names the field.
//!
//! Behind them there is no NUL character, no text that is not UTF-8, no JSON key twice in one object, and no body longer
//! than its route allows. An empty value of a query or a form is an absent one.

mod body;
mod pairs;
mod strict;

use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, header};
use serde::de::DeserializeOwned;

pub use body::{BODY_MAX, BodyLimit, RawBody, body_limit};

use crate::Problem;
use crate::call::{csrf, is_same_origin, is_unsafe, media_type};

/// A JSON body as `T`.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE).map(media_type).unwrap_or_default();
        if kind != "application/json" && !(kind.starts_with("application/") && kind.ends_with("+json")) {
            return Err(unsupported("application/json"));
        }
        let bytes = body::read(request).await?;
        from_json(&bytes).map(Self)
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        crate::Answer::ok(self.0).into_response()
    }
}

/// Reads JSON as strictly as a body is read: no NUL, no key twice, nothing after the end; problems name the field.
pub fn from_json<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    strict::check(bytes)?;
    let mut json = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let message = error.into_inner().to_string();
        let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(before, _)| before);
        wrong_field(&path, message)
    })
}

fn unsupported(wanted: &str) -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type").with_detail(format!("send the body as {wanted}"))
}

/// A problem with the field that a deserializer stumbled over. Where the field itself is the matter (unknown, missing,
/// twice) its name stands only in the message.
fn wrong_field(path: &str, message: &str) -> Problem {
    let path = if path == "." || path == "?" { "" } else { path };
    let named = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start))
        .and_then(|rest| rest.split_once('`'))
        .map(|(name, _)| name)
        .filter(|name| path != *name && !path.ends_with(&format!(".{name}")));
    let field = match (path, named) {
        (path, None) => path.to_owned(),
        ("", Some(name)) => name.to_owned(),
        (path, Some(name)) => format!("{path}.{name}"),
    };
    let message = match message {
        text if text.starts_with("missing field") => "is missing".to_owned(),
        text if text.starts_with("duplicate field") => "was given more than once".to_owned(),
        text => text.to_owned(),
    };
    Problem::invalid_field(field, message)
}

/// The parameters of the path as `T`.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // Where a parameter is not UTF-8 there are no raw ones, and axum's own extractor below names the one.
        let raw = RawPathParams::from_request_parts(parts, state).await.ok();
        let raw: Vec<(&str, &str)> = raw.iter().flatten().collect();
        for (name, value) in &raw {
            refuse_nul(name, value)?;
        }
        let names: Vec<String> = raw.iter().map(|(name, _)| (*name).to_owned()).collect();
        let only = if let [name] = names.as_slice() { name.as_str() } else { "" };
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                use axum::extract::path::ErrorKind as E;
                let expected = |wanted: &str| format!("must be {}", article(wanted));
                Err(match error.into_kind() {
                    E::ParseErrorAtKey { key, expected_type, .. } => Problem::invalid_field(key, expected(expected_type)),
                    E::ParseErrorAtIndex { index, expected_type, .. } => {
                        Problem::invalid_field(names.get(index).map_or("", String::as_str), expected(expected_type))
                    }
                    E::ParseError { expected_type, .. } => Problem::invalid_field(only, expected(expected_type)),
                    E::InvalidUtf8InPathParam { key } => Problem::invalid_field(key, "must be UTF-8"),
                    E::DeserializeError { key, message, .. } => Problem::invalid_field(key, message),
                    E::Message(message) => Problem::invalid_field(only, message),
                    other => Problem::internal(other.to_string()),
                })
            }
            Err(other) => Err(Problem::internal(other)),
        }
    }
}

/// A type's name as a person would say it.
fn article(rust: &str) -> &str {
    match rust {
        "u8" | "u16" | "u32" | "u64" | "usize" | "u128" => "a whole number that is not negative",
        "i8" | "i16" | "i32" | "i64" | "isize" | "i128" => "a whole number",
        "bool" => "true or false",
        other => other,
    }
}

pub(crate) fn refuse_nul(field: &str, text: &str) -> Result<(), Problem> {
    if text.contains('\0') { Err(Problem::invalid_field(field, "must not contain the NUL character")) } else { Ok(()) }
}

/// The query string as `T`.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        pairs::from_pairs(parts.uri.query().unwrap_or_default().as_bytes()).map(Self)
    }
}

/// A form from one of our pages as `T`. A browser that says the page is another site's is refused even when nobody is
/// signed in yet: a stranger's page must not sign a visitor in.
#[derive(Debug, Clone)]
pub struct Form<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Form<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let headers = request.headers();
        if headers.get(header::CONTENT_TYPE).map(media_type).as_deref() != Some("application/x-www-form-urlencoded") {
            return Err(unsupported("application/x-www-form-urlencoded"));
        }
        let is_browser = headers.contains_key("sec-fetch-site") || headers.contains_key(header::ORIGIN);
        if let Some(entry) = request.extensions().get::<std::sync::Arc<crate::call::Entry>>()
            && is_browser
            && is_unsafe(request.method())
            && !is_same_origin(headers, entry.host(), entry.is_https)
        {
            return Err(csrf());
        }
        let bytes = body::read(request).await?;
        pairs::from_pairs(&bytes).map(Self)
    }
}

/// Refuses a request for what is not there.
pub(crate) async fn not_found() -> Problem {
    Problem::not_found()
}

/// Refuses a method that this address does not have; axum adds `Allow`.
pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed")
        .with_detail("this address does not have this method; Allow lists those it has")
}

/// A value that is always a correct header.
pub(crate) fn text_header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Outer {
        name: String,
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Inner {
        size: u8,
    }

    fn refused(json: &str) -> (u16, String, String) {
        let problem = from_json::<Outer>(json.as_bytes()).unwrap_err();
        let (field, message) = problem.fields().first().map(|f| (f.field.clone(), f.message.clone())).unwrap_or_default();
        (problem.status().as_u16(), field, message)
    }

    #[test]
    fn a_refused_body_names_the_field_by_its_path() {
        assert_eq!(refused(r#"{"name": "a", "inner": [{"size": 1}, {"size": 300}]}"#).1, "inner[1].size");
        assert_eq!(refused(r#"{"name": "a", "inner": [{"size": 1, "colour": 2}]}"#).1, "inner[0].colour");
        assert_eq!(refused(r#"{"name": "a"}"#), (422, "inner".to_owned(), "is missing".to_owned()));
        assert_eq!(refused(r#"{"name": 5, "inner": []}"#).1, "name");
        assert_eq!(refused(r#"{"name": 5, "inner": []}"#).2, "invalid type: integer `5`, expected a string");
    }

    #[test]
    fn a_body_that_is_not_json_is_400() {
        for broken in ["", "{", "{\"name\": }", "[1,2", "{} {}", "\u{feff}{}"] {
            assert_eq!(refused(broken).0, 400, "{broken:?}");
        }
        assert_eq!(from_json::<Outer>(b"{\"name\": \"\xff\"}").unwrap_err().status(), 400);
    }
}
