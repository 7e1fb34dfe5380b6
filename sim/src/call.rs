//! What a dialect sees of a request and what it answers. The frame has read the body and taken the prefix off the path.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use serde_json::Value;

/// What a fault asks of the dialect itself; the frame does the other faults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Twist {
    /// Take another amount than was asked for ([`crate::bank::other_amount`]), and say so everywhere.
    pub is_wrong_amount: bool,
    /// Take another currency than was asked for ([`crate::bank::other_currency`]), and say so everywhere.
    pub is_wrong_currency: bool,
    /// Decline what moves money, with this code of the provider.
    pub decline: Option<String>,
}

impl Twist {
    /// The amount and currency that are really moved where these were asked for.
    pub fn moved(&self, amount_minor: i64, currency: &str) -> (i64, String) {
        let amount_minor = if self.is_wrong_amount { crate::bank::other_amount(amount_minor) } else { amount_minor };
        let currency = if self.is_wrong_currency { crate::bank::other_currency(currency) } else { currency };
        (amount_minor, currency.to_ascii_uppercase())
    }
}

/// One request to a dialect.
#[derive(Debug, Clone)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// The path below the dialect's prefix as it was sent, `/v1/payment_intents`; still percent-encoded.
    pub path: String,
    /// The query, decoded, in order.
    pub query: Vec<(String, String)>,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body, at most a megabyte.
    pub body: Bytes,
    /// What faults ask of the dialect.
    pub twist: Twist,
}

impl Call {
    /// The parts of the path, percent-decoded: `["v1", "payment_intents"]`.
    pub fn parts(&self) -> Vec<String> {
        let decoded = |part: &str| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned();
        self.path.split('/').filter(|part| !part.is_empty()).map(decoded).collect()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The first field of the query with this name.
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; `Null` where there is none or it is broken.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The body as form fields, decoded, in order.
    pub fn form(&self) -> Vec<(String, String)> {
        form_urlencoded::parse(&self.body).into_owned().collect()
    }

    /// User and password of `Authorization: Basic`.
    pub fn basic(&self) -> Option<(String, String)> {
        let text = String::from_utf8(STANDARD.decode(self.header("authorization")?.strip_prefix("Basic ")?.trim()).ok()?).ok()?;
        let (user, password) = text.split_once(':')?;
        Some((user.to_owned(), password.to_owned()))
    }

    /// The token of `Authorization: Bearer`.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ").map(str::trim)
    }
}

/// What a dialect answers.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The HTTP status.
    pub status: StatusCode,
    /// Headers beside the length.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Bytes,
}

impl Reply {
    /// JSON with a status; a number that is none becomes 500.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::text(status, "application/json", value.to_string())
    }

    /// Text of a content type.
    pub fn text(status: u16, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = vec![(http::header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        Self { status: StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), headers, body: body.into() }
    }

    /// No body.
    pub fn empty(status: u16) -> Self {
        Self { headers: Vec::new(), ..Self::text(status, "text/plain", "") }
    }

    /// The same with one more header; a value that no header can hold is left out.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.push((HeaderName::from_static(name), value));
        }
        self
    }
}
