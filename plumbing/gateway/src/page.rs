//! Pages: HTML answers for people.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

use crate::extract::text_header;

/// What a page may load and do unless it says otherwise: our own scripts, styles and pictures, forms to ourselves, no frames.
pub const POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'; script-src 'self'; connect-src 'self'";

/// An HTML page.
#[derive(Debug, Clone)]
pub struct Page {
    status: StatusCode,
    html: String,
    policy: Option<String>,
    cache_control: &'static str,
}

impl Page {
    /// A page with 200 that nobody keeps.
    pub fn new(html: impl Into<String>) -> Self {
        Self { status: StatusCode::OK, html: html.into(), policy: None, cache_control: "no-store" }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// The same with another `Content-Security-Policy` than [`POLICY`].
    #[must_use]
    pub fn with_policy(self, policy: impl Into<String>) -> Self {
        Self { policy: Some(policy.into()), ..self }
    }

    /// The same with another `Cache-Control` than `no-store`.
    #[must_use]
    pub fn with_cache_control(self, cache_control: &'static str) -> Self {
        Self { cache_control, ..self }
    }
}

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.html));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(self.cache_control));
        if let Some(policy) = self.policy {
            headers.insert(header::CONTENT_SECURITY_POLICY, text_header(&policy));
        }
        response
    }
}

/// 303 to one of our own pages: what a form answers, so that reloading does not send it again.
pub fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    response.headers_mut().insert(header::LOCATION, text_header(path));
    response
}

/// 303 that also begins or ends a session with a cookie of [`session_cookie`](crate::session_cookie).
pub fn see_other_with_cookie(path: &str, cookie: HeaderValue) -> Response {
    let mut response = see_other(path);
    response.headers_mut().append(header::SET_COOKIE, cookie);
    response
}

/// `text` with the letters that mean something in HTML replaced, fit for text and quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}
