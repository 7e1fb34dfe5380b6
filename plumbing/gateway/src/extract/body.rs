//! Bodies: read once, never longer than the route allows, without card numbers, their SHA-256 noted for the idempotency record.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use sha2::{Digest, Sha256};

use crate::Problem;
use crate::call::{Entry, media_type};
use crate::card_numbers::refuse_body;

/// How long a body may be where a route says nothing else: 64 KiB.
pub const BODY_MAX: usize = 64 * 1024;
/// How long a body may take where no door says otherwise.
const BODY_TIME: Duration = Duration::from_secs(20);
/// The most that a route may ask for: 4 MiB.
const ROUTE_MAX: usize = 4 * 1024 * 1024;

/// How many bytes the body of a route may have.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimit(usize);

/// Lets the bodies of a route have up to `bytes` (at most 4 MiB): `routes!(upload).layer(gateway::body_limit(1 << 20))`.
pub fn body_limit(bytes: usize) -> Extension<BodyLimit> {
    Extension(BodyLimit(bytes.min(ROUTE_MAX)))
}

/// A body as it came, for uploads and signed messages.
#[derive(Debug, Clone)]
pub struct RawBody(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        read(request).await.map(Self)
    }
}

/// Reads the whole body within the route's limit. One that says beforehand that it is too long is refused unread.
pub(super) async fn read(request: Request) -> Result<Bytes, Problem> {
    let limit = request.extensions().get::<BodyLimit>().map_or(BODY_MAX, |limit| limit.0);
    let entry = request.extensions().get::<Arc<Entry>>().cloned();
    // A form may carry its idempotency key in a hidden field.
    let content_type = request.headers().get(header::CONTENT_TYPE).cloned();
    let may_be_recorded = request.headers().contains_key("idempotency-key")
        || content_type.as_ref().is_some_and(|kind| media_type(kind) == "application/x-www-form-urlencoded");
    let said = request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > limit as u64) {
        return Err(too_large(limit));
    }
    // Nothing here unpacks; taking the packed bytes for the plain ones would be a misunderstanding.
    let is_packed = |value: &http::HeaderValue| !value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity");
    if request.headers().get_all(header::CONTENT_ENCODING).iter().any(is_packed) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding")
            .with_detail("the body must be sent without Content-Encoding"));
    }
    let body_time = entry.as_ref().map_or(BODY_TIME, |entry| entry.body_time);
    let bytes = match tokio::time::timeout(body_time, Limited::new(request.into_body(), limit).collect()).await {
        Ok(Ok(collected)) => collected.to_bytes(),
        Err(_) => return Err(Problem::new(StatusCode::REQUEST_TIMEOUT, "body_too_slow").with_detail("the body took too long to arrive")),
        Ok(Err(error)) if is_too_long(error.as_ref()) => return Err(too_large(limit)),
        Ok(Err(_)) => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "body_incomplete").with_detail("the body ended before it was complete"));
        }
    };
    let content_type = content_type.as_ref().and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    refuse_body(entry.as_deref(), content_type, &bytes)?;
    if may_be_recorded && let Some(entry) = entry {
        let _ = entry.body.set(Sha256::digest(&bytes).into());
    }
    Ok(bytes)
}

fn is_too_long(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<LengthLimitError>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn too_large(limit: usize) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large").with_detail(format!("the body may have at most {limit} bytes"))
}
