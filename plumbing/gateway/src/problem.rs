//! Problems: every refusal as RFC 9457 `application/problem+json`, and the one place that turns kinds of faults into statuses.

use std::borrow::Cow;
use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use kernel::{Fault, FieldFault, Kind};
use serde::Serialize;

/// Why a request was refused. Handlers return it; the door adds the request's id, logs what is ours, and writes it.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: Option<String>,
    errors: Vec<FieldFault>,
    retry_after_s: Option<u64>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a program reads of a problem (RFC 9457, section 3.1).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct ProblemView<'a> {
    /// A name of this sort of problem: `urn:tessera:problem:` and the code.
    #[schema(example = "urn:tessera:problem:invalid")]
    r#type: String,
    /// The status in words.
    #[schema(example = "Unprocessable Content")]
    title: &'a str,
    /// The HTTP status once more.
    #[schema(example = 422)]
    status: u16,
    /// A stable word for programs.
    #[schema(example = "invalid")]
    code: &'a str,
    /// What happened and what to do, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
    /// The id of the request, to be named to support.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
    /// The fields that were refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    errors: Vec<FieldView<'a>>,
}

/// One refused field.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FieldProblem)]
pub struct FieldView<'a> {
    /// Its path as the caller wrote it.
    #[schema(example = "destination.url")]
    field: &'a str,
    /// What is wrong and what would be right.
    #[schema(example = "must be an https address")]
    message: &'a str,
}

/// Turns a problem into a page for people, if it wants to; `app` hands one to the door for requests that ask for HTML first.
pub type ProblemPage = fn(&Problem, request_id: &str) -> Option<String>;

impl Problem {
    /// A problem with this status and stable code.
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts { status, code: code.into(), detail: None, errors: Vec::new(), retry_after_s: None, source: None }))
    }

    /// 422: one field cannot be right; `message` says what would be.
    pub fn invalid_field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid").with_field(field, message)
    }

    /// 401: nobody is signed in and no key was sent.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized").with_detail("sign in, or send an API key as `Authorization: Bearer tsk_…`")
    }

    /// 404: there is nothing at this address, or nothing that the caller may see.
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found").with_detail("there is nothing here")
    }

    /// 500: a defect of ours. The source is logged and never shown.
    pub fn internal(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut problem = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal");
        problem.0.source = Some(Arc::from(source.into()));
        problem
    }

    /// The same with a sentence for people.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// The same with one more refused field.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>, message: impl Into<String>) -> Self {
        self.0.errors.push(FieldFault::new(field, message));
        self
    }

    /// The same, asking the caller to wait this many seconds before the next try.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after_s = Some(seconds);
        self
    }

    /// Its HTTP status.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    /// Its stable word for programs.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What happened, in a sentence that may be shown; a defect of ours never shows more than that.
    pub fn detail(&self) -> Option<&str> {
        match self.0.status {
            StatusCode::INTERNAL_SERVER_ERROR => Some("something went wrong on our side; it has been noted under this request's id"),
            _ => self.0.detail.as_deref(),
        }
    }

    /// The refused fields.
    pub fn fields(&self) -> &[FieldFault] {
        &self.0.errors
    }

    /// The status in words.
    pub fn title(&self) -> &'static str {
        match self.0.status {
            StatusCode::UNPROCESSABLE_ENTITY => "Unprocessable Content",
            status => status.canonical_reason().unwrap_or("Error"),
        }
    }

    /// The error behind it and that one's sources, for the log; `None` when the caller alone is to blame.
    pub(crate) fn chain(&self) -> Option<String> {
        let mut text = String::new();
        let mut next: Option<&dyn Error> = self.0.source.as_deref().map(|source| source as &dyn Error);
        while let Some(error) = next {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&error.to_string());
            next = error.source();
        }
        (!text.is_empty()).then_some(text)
    }

    /// The answer as JSON, with the request's id when it is known.
    pub(crate) fn json(&self, request_id: Option<&str>) -> String {
        let view = ProblemView {
            r#type: format!("urn:tessera:problem:{}", self.code()),
            title: self.title(),
            status: self.0.status.as_u16(),
            code: self.code(),
            detail: self.detail(),
            request_id,
            errors: self.0.errors.iter().map(|e| FieldView { field: &e.field, message: &e.message }).collect(),
        };
        serde_json::to_string(&view).unwrap_or_else(|_| "{}".to_owned())
    }

    /// The headers that belong to this problem whatever its body is.
    pub(crate) fn headers(&self, headers: &mut http::HeaderMap) {
        if let Some(seconds) = self.0.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tessera\""));
        }
    }
}

/// Kinds of faults become statuses here and nowhere else. 401, 413, 415 and 429 are the gateway's own.
impl<E: Fault> From<E> for Problem {
    fn from(fault: E) -> Self {
        let status = match fault.kind() {
            Kind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let mut problem = Self::new(status, fault.code());
        problem.0.errors = fault.fields();
        match fault.kind() {
            Kind::Internal => {
                // The word for programs would tell a stranger where we break.
                problem.0.code = Cow::Borrowed("internal");
                problem.0.errors.clear();
                problem.0.source = Some(Arc::new(fault));
            }
            Kind::Unavailable => {
                problem.0.detail = Some(fault.to_string());
                problem.0.retry_after_s = Some(1);
                problem.0.source = Some(Arc::new(fault));
            }
            _ => problem.0.detail = Some(fault.to_string()),
        }
        problem
    }
}

/// Writes the problem without a request id; the door, when there is one, finds the problem in the answer's extensions and
/// writes it again with all that it knows.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::from(self.json(None)));
        *response.status_mut() = self.0.status;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        self.headers(response.headers_mut());
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the table is on fire")]
    struct Cause;

    #[derive(Debug, thiserror::Error)]
    enum Sample {
        #[error("the row of customer 42 cannot be read")]
        Broken(#[source] Cause),
        #[error("the code is paused")]
        Paused,
        #[error("two fields are wrong")]
        Fields,
    }

    impl Fault for Sample {
        fn kind(&self) -> Kind {
            match self {
                Self::Broken(_) => Kind::Internal,
                Self::Paused => Kind::Conflict,
                Self::Fields => Kind::Invalid,
            }
        }
        fn code(&self) -> &'static str {
            match self {
                Self::Broken(_) => "row_broken",
                Self::Paused => "code_paused",
                Self::Fields => "invalid",
            }
        }
        fn fields(&self) -> Vec<FieldFault> {
            match self {
                Self::Fields => vec![FieldFault::new("name", "must not be empty"), FieldFault::new("size", "must be at least 1")],
                _ => Vec::new(),
            }
        }
    }

    #[test]
    fn a_defect_of_ours_is_logged_with_its_chain_and_never_shown() {
        let problem = Problem::from(Sample::Broken(Cause));
        let shown = problem.json(Some("r-1"));
        assert!(!shown.contains("42") && !shown.contains("fire") && !shown.contains("row_broken"), "{shown}");
        assert!(shown.contains("\"request_id\":\"r-1\""));
        assert_eq!(problem.chain().unwrap(), "the row of customer 42 cannot be read: the table is on fire");
    }

    #[test]
    fn a_fault_becomes_its_status_and_names_its_fields() {
        let problem = Problem::from(Sample::Paused);
        assert_eq!((problem.status(), problem.code()), (StatusCode::CONFLICT, "code_paused"));
        let shown: serde_json::Value = serde_json::from_str(&Problem::from(Sample::Fields).json(None)).unwrap();
        assert_eq!(shown["status"], 422);
        assert_eq!(shown["type"], "urn:tessera:problem:invalid");
        assert_eq!(shown["errors"][1], serde_json::json!({"field": "size", "message": "must be at least 1"}));
    }
}
