//! Posts one webhook by the way out, which judges each address that it connects to; no redirects, one
//! deadline for the whole conversation, a cap on what is read of the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway::{Exit, Refused};
use http_body_util::{BodyExt as _, Full};
use hyper::header::{HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper_util::rt::TokioIo;
use kernel::Timestamp;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// The bounds of one delivery.
#[derive(Debug, Clone)]
pub struct WebhookLimits {
    /// For the whole conversation, from the look-up to the last byte read.
    pub timeout: Duration,
    /// For the connection to one address.
    pub connect_timeout: Duration,
    /// For the answer's body, whose status is known by then: it is cut, not waited for.
    pub body_timeout: Duration,
    /// Bytes of the answer's body that are read; what is beyond it is left.
    pub response_bytes_max: usize,
    /// Bytes of the answer that are kept with the attempt.
    pub snippet_bytes_max: usize,
}

impl Default for WebhookLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(2),
            response_bytes_max: 16_384,
            snippet_bytes_max: 500,
        }
    }
}

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// How long it asks us to wait, at most a day.
        retry_after: Option<Duration>,
        /// The beginning of its answer.
        snippet: String,
    },
    /// No answer. Whether the endpoint has seen the webhook is unknown; it is repeated under the same id.
    Failed {
        /// Why, for the owner of the endpoint.
        reason: String,
        /// The guard refused the address, so that no connection was tried.
        is_refused: bool,
    },
}

/// Connects endpoints; clones share the TLS configuration.
#[derive(Clone)]
pub struct WebhookClient {
    exit: Exit,
    tls: TlsConnector,
    limits: WebhookLimits,
}

/// TLS with the public roots and `extra` ones.
pub(crate) fn tls_connector(extra: &[rustls_pki_types::CertificateDer<'static>]) -> TlsConnector {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra.iter().cloned());
    #[expect(clippy::expect_used, reason = "ring offers the default versions")]
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}

/// The longest that Retry-After is honoured.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3600);

impl WebhookClient {
    /// A client that goes out by `exit` and trusts the public roots and `extra_roots`.
    pub fn new(exit: Exit, extra_roots: &[rustls_pki_types::CertificateDer<'static>], limits: WebhookLimits) -> Self {
        Self { exit, tls: tls_connector(extra_roots), limits }
    }

    /// Posts `body` to `url`; never waits longer than the limit.
    pub async fn post(&self, url: &str, headers: &[(&'static str, String)], body: Bytes, now: Timestamp) -> Outcome {
        match tokio::time::timeout(self.limits.timeout, self.converse(url, headers, body, now)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(failure)) => failure,
            Err(_) => failed(format!("no answer within {} s", self.limits.timeout.as_secs_f32())),
        }
    }

    async fn converse(&self, url: &str, headers: &[(&'static str, String)], body: Bytes, now: Timestamp) -> Result<Outcome, Outcome> {
        let url = Url::parse(url).map_err(|_| failed("the address is not a URL"))?;
        let port = url.port_or_known_default().ok_or_else(|| failed("the address has no port"))?;
        let host = url.host().ok_or_else(|| failed("the address has no host"))?.to_owned();
        let name = match &host {
            Host::Ipv4(ip) => ServerName::from(std::net::IpAddr::V4(*ip)),
            Host::Ipv6(ip) => ServerName::from(std::net::IpAddr::V6(*ip)),
            Host::Domain(name) => ServerName::try_from(name.clone()).map_err(|_| failed("the host is not a valid name"))?,
        };
        let addresses = self
            .exit
            .addresses(&host, port)
            .await
            .map_err(|refused| Outcome::Failed { reason: refused.to_string(), is_refused: refused == Refused::Inside })?;
        let stream = gateway::connect(&addresses, self.limits.connect_timeout).await;
        let stream = stream.map_err(|error| failed(format!("no connection: {}", error.kind())))?;
        if url.scheme() == "https" {
            let stream = self.tls.connect(name, stream).await.map_err(|e| failed(format!("TLS: {e}")))?;
            self.exchange(stream, &url, headers, body, now).await
        } else {
            self.exchange(stream, &url, headers, body, now).await
        }
    }

    async fn exchange<S>(
        &self,
        stream: S,
        url: &Url,
        headers: &[(&'static str, String)],
        body: Bytes,
        now: Timestamp,
    ) -> Result<Outcome, Outcome>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(self.limits.response_bytes_max.max(8_192))
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed(format!("HTTP: {e}")))?;
        let _driver = AbortOnDrop(tokio::spawn(async move {
            let _ = connection.await;
        }));
        let target = match url.query() {
            Some(query) => format!("{}?{query}", url.path()),
            None => url.path().to_owned(),
        };
        let host = match (url.host_str(), url.port()) {
            (Some(host), Some(port)) => format!("{host}:{port}"),
            (host, _) => host.unwrap_or_default().to_owned(),
        };
        let mut request = hyper::Request::post(target)
            .header(HOST, host)
            .header(USER_AGENT, concat!("Tessera/", env!("CARGO_PKG_VERSION")))
            .header(hyper::header::CONTENT_TYPE, "application/json")
            .header(hyper::header::CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_str(value).map_err(|_| failed("a header could not be written"))?);
        }
        let request = request.body(Full::new(body)).map_err(|_| failed("the request could not be written"))?;
        let response = sender.send_request(request).await.map_err(|e| failed(format!("no answer: {e}")))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| parse_retry_after(value.to_str().ok()?, now));
        // The status decides; a body that breaks off or never ends is cut.
        let mut body = response.into_body();
        let mut read = Vec::new();
        let reading = async {
            while read.len() < self.limits.response_bytes_max {
                let Some(Ok(frame)) = body.frame().await else { break };
                if let Ok(part) = frame.into_data() {
                    let room = self.limits.response_bytes_max - read.len();
                    read.extend_from_slice(&part[..part.len().min(room)]);
                }
            }
        };
        let _ = tokio::time::timeout(self.limits.body_timeout, reading).await;
        Ok(Outcome::Answered { status, retry_after, snippet: snippet(&read, self.limits.snippet_bytes_max) })
    }
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed(reason: impl Into<String>) -> Outcome {
    Outcome::Failed { reason: reason.into(), is_refused: false }
}

/// The beginning of `bytes` as text of at most `bytes_max` bytes, without control characters.
fn snippet(bytes: &[u8], bytes_max: usize) -> String {
    let text: String = String::from_utf8_lossy(bytes).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].trim().to_owned()
}

/// Reads Retry-After, seconds or an HTTP date (RFC 9110, section 10.2.3), and bounds it.
fn parse_retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    let text = text.trim();
    let wait = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => parse_http_date(text)?.since(now),
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

/// Reads the one form of HTTP dates that is still written: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn parse_http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let (day, month, year, clock, zone) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    if zone != "GMT" {
        return None;
    }
    Timestamp::parse(&format!("{year}-{month:02}-{day}T{clock}Z")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_both_forms_and_ends_at_a_day() {
        let now = Timestamp::parse("1994-11-06T08:49:07Z").unwrap();
        assert_eq!(parse_retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(parse_retry_after("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(parse_retry_after("99999999", now), Some(RETRY_AFTER_MAX));
        for bad in ["-1", "soon", "Sunday, 06-Nov-94 08:49:37 GMT", ""] {
            assert_eq!(parse_retry_after(bad, now), None, "{bad}");
        }
    }

    #[test]
    fn a_snippet_is_short_whole_characters_and_no_control_codes() {
        assert_eq!(snippet("äöü".as_bytes(), 5), "äö");
        assert_eq!(snippet(b"a\0b\r\nc\xff", 100), "a b  c\u{fffd}");
    }
}
