//! Conversations with providers over HTTP: one deadline each, answers bounded, and it is known whether a byte may have left.
//!
//! Where a provider is reached is the word of a workspace's members. So every connection goes by the way out, to an address
//! that it has judged; without encryption only to one that the operator named; and no redirect is followed.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use gateway::{Exit, Refused};
use http::Uri;
use http::header::{ACCEPT, HeaderName, HeaderValue, USER_AGENT};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pooled;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use kernel::{Clock, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use url::Host;

use crate::provider::{Account, Failure, ProviderId};

/// One conversation, from the look-up of the name to the last byte of the answer.
const DEADLINE: Duration = Duration::from_secs(20);
/// The connection alone.
const CONNECT: Duration = Duration::from_secs(5);
/// Bytes of an answer; reports are larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// Bytes of a report.
const REPORT_BYTES_MAX: usize = 512 << 20;
/// An idle connection is kept so long: less than providers keep theirs.
const IDLE: Duration = Duration::from_secs(20);
/// Tokens kept in memory, at most one for each account.
const TOKENS_MAX: usize = 1_000;

/// Whose token it is: of this account at this address, for these secrets. Another address never gets it.
type TokenKey = (ProviderId, [u8; 32]);

fn token_key(account: &Account) -> TokenKey {
    (account.id, Sha256::digest(format!("{}\n{}", account.base_url, account.secrets)).into())
}

/// A client whose clones share connections and tokens.
#[derive(Clone)]
pub struct Client {
    http: Pooled<HttpsConnector<Connector>, Full<Bytes>>,
    tokens: Arc<Mutex<HashMap<TokenKey, (String, Timestamp)>>>,
    clock: Clock,
    deadline: Duration,
}

/// What is sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: http::Method,
    url: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
    is_report: bool,
}

impl Request {
    /// Asks for something without changing anything.
    pub fn get(url: impl Into<String>) -> Self {
        Self { method: http::Method::GET, url: url.into(), headers: Vec::new(), body: Bytes::new(), is_report: false }
    }

    /// Sends `body` of type `content_type`.
    pub fn post(url: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        Self { method: http::Method::POST, url: url.into(), headers: Vec::new(), body, is_report: false }
            .header(http::header::CONTENT_TYPE, content_type)
    }

    /// Sends a JSON value.
    pub fn post_json(url: impl Into<String>, body: &serde_json::Value) -> Self {
        Self::post(url, "application/json", body.to_string())
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// With a bearer token.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header(http::header::AUTHORIZATION, format!("Bearer {token}"))
    }

    /// With a name and a password (RFC 7617).
    #[must_use]
    pub fn basic(self, name: &str, password: &str) -> Self {
        use base64::Engine as _;
        let both = base64::engine::general_purpose::STANDARD.encode(format!("{name}:{password}"));
        self.header(http::header::AUTHORIZATION, format!("Basic {both}"))
    }

    /// The answer may be as large as a report.
    #[must_use]
    pub const fn for_report(mut self) -> Self {
        self.is_report = true;
        self
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// Whether the status is one of success.
    pub const fn is_success(&self) -> bool {
        matches!(self.status, 200..=299)
    }

    /// The body as JSON. What cannot be read leaves the outcome unknown.
    pub fn json(&self) -> Result<serde_json::Value, Failure> {
        serde_json::from_slice(&self.body).map_err(|_| Failure::unknown(format!("an answer with status {} that is not JSON", self.status)))
    }
}

impl Client {
    /// A client that goes out by `exit` and trusts the public roots and `extra_roots`.
    pub fn new(exit: Exit, extra_roots: &[rustls_pki_types::CertificateDer<'static>], clock: &Clock) -> Self {
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        roots.add_parsable_certificates(extra_roots.iter().cloned());
        #[expect(clippy::expect_used, reason = "ring offers the default versions")]
        let tls = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector =
            hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(Connector(exit));
        let http = Pooled::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).build(connector);
        Self { http, tokens: Arc::default(), clock: clock.clone(), deadline: DEADLINE }
    }

    /// The same connections with another deadline for each conversation.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The instant, for tokens and signatures.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// One request and its answer. [`Failure::NotSent`] only where no connection was made, and a failure of the set-up where
    /// none may be made there; everything else that breaks off is [`Failure::Unknown`].
    pub async fn call(&self, request: Request) -> Result<Answer, Failure> {
        let mut builder = http::Request::builder()
            .method(request.method)
            .uri(&request.url)
            .header(USER_AGENT, concat!("Tessera/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        for (name, value) in &request.headers {
            let value = HeaderValue::from_str(value).map_err(|_| Failure::setup(format!("the header {name} could not be written")))?;
            builder = builder.header(name, value);
        }
        let built = builder.body(Full::new(request.body)).map_err(|_| Failure::setup("the provider's address is not a URL"))?;
        let bytes_max = if request.is_report { REPORT_BYTES_MAX } else { ANSWER_BYTES_MAX };
        let conversation = async {
            let answer = self.http.request(built).await.map_err(|error| {
                let (why, refused) = innermost(&error);
                match (error.is_connect(), refused) {
                    (true, Some(Refused::Inside | Refused::Plain)) => Failure::setup(why),
                    (true, _) => Failure::NotSent { reason: format!("no connection: {why}") },
                    (false, _) => Failure::unknown(why),
                }
            })?;
            let status = answer.status().as_u16();
            let body = Limited::new(answer.into_body(), bytes_max).collect().await;
            let body = body.map_err(|_| Failure::unknown(format!("the answer with status {status} broke off")))?.to_bytes();
            Ok(Answer { status, body })
        };
        match tokio::time::timeout(self.deadline, conversation).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::unknown(format!("no answer within {} s", self.deadline.as_secs()))),
        }
    }

    /// The token that `account` was given last, while it is good for another minute.
    pub fn token(&self, account: &Account) -> Option<String> {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = self.clock.now().plus(Duration::from_secs(60));
        tokens.get(&token_key(account)).filter(|(_, until)| *until > soon).map(|(token, _)| token.clone())
    }

    /// Keeps a token that is good for `lifetime`.
    pub fn keep_token(&self, account: &Account, token: &str, lifetime: Duration) {
        let until = self.clock.now().plus(lifetime);
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        if tokens.len() >= TOKENS_MAX {
            tokens.clear();
        }
        tokens.insert(token_key(account), (token.to_owned(), until));
    }

    /// Forgets a token that was not taken.
    pub fn forget_token(&self, account: &Account) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&token_key(account));
    }
}

/// What lies at the bottom of an error: the reason without the layers above it, and whether the way out refused.
fn innermost(error: &hyper_util::client::legacy::Error) -> (String, Option<Refused>) {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    (at.to_string(), at.downcast_ref().copied())
}

/// Connects to providers by the way out.
#[derive(Clone)]
struct Connector(Exit);

/// A failure on the way to a connection, as `hyper` takes it.
type NoConnection = Box<dyn std::error::Error + Send + Sync>;

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = NoConnection;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, NoConnection>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NoConnection>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let exit = self.0.clone();
        Box::pin(async move {
            let host = Host::parse(uri.host().unwrap_or_default())?;
            let addresses = match uri.scheme_str() {
                Some("https") => exit.addresses(&host, uri.port_u16().unwrap_or(443)).await?,
                _ => exit.named_addresses(&host, uri.port_u16().unwrap_or(80)).await?,
            };
            Ok(TokioIo::new(gateway::connect(&addresses, CONNECT).await?))
        })
    }
}

#[cfg(test)]
mod tests {
    use gateway::AllowedNetworks;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;
    use crate::provider::ErrorClass;

    /// Somebody inside who answers every request with `answer` and says how many came.
    async fn neighbour(answer: &'static str) -> (std::net::SocketAddr, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
        let count = asked.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                *count.lock().unwrap() += 1;
                let mut request = [0; 4_096];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        (address, asked)
    }

    /// A name server that says this of every name.
    struct Says(&'static str);

    impl gateway::Resolve for Says {
        fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Pin<Box<dyn Future<Output = std::io::Result<Vec<std::net::IpAddr>>> + Send + 'a>> {
            Box::pin(async move { Ok(vec![self.0.parse().unwrap()]) })
        }
    }

    fn client(exit: Exit) -> Client {
        Client::new(exit, &[], &Clock::system()).with_deadline(Duration::from_secs(5))
    }

    fn is_setup(answered: &Result<Answer, Failure>) -> bool {
        matches!(answered, Err(Failure::Refused { class: ErrorClass::SetUp, .. }))
    }

    #[tokio::test]
    async fn no_spelling_of_an_address_inside_is_connected_to() {
        let (address, asked) = neighbour("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        let closed = client(Exit::by_system(AllowedNetworks::default()));
        for host in ["127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "0.0.0.0"] {
            let answered = closed.call(Request::get(format!("http://{host}:{}/v1/balance", address.port()))).await;
            assert!(is_setup(&answered), "{host}: {answered:?}");
            // What no certificate could name is not even looked up.
            assert!(closed.call(Request::get(format!("https://{host}:{}/v1/balance", address.port()))).await.is_err(), "{host}");
        }
        assert_eq!(*asked.lock().unwrap(), 0, "nobody was connected to");
        // The one port that the operator named is reached, and nothing beside it.
        let named = AllowedNetworks::parse([address.to_string().as_str()]).unwrap();
        assert_eq!(client(Exit::by_system(named)).call(Request::get(format!("http://{address}"))).await.unwrap().status, 200);
        let beside = AllowedNetworks::parse(["127.0.0.1:1"]).unwrap();
        assert!(is_setup(&client(Exit::by_system(beside)).call(Request::get(format!("http://{address}"))).await));
        assert_eq!(*asked.lock().unwrap(), 1);
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_points_to_when_it_is_called() {
        for inside in ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1"] {
            let lying = client(Exit::new(Arc::new(Says(inside)), AllowedNetworks::default()));
            let answered = lying.call(Request::get("https://api.stripe.com")).await;
            assert!(is_setup(&answered), "{inside}: {answered:?}");
        }
        // What may be reached is still not spoken to without encryption.
        let outside = client(Exit::new(Arc::new(Says("1.1.1.1")), AllowedNetworks::default()));
        assert!(is_setup(&outside.call(Request::get("http://api.stripe.com")).await));
    }

    #[tokio::test]
    async fn a_redirect_is_an_answer_and_nobody_follows_it() {
        let (inside, asked) = neighbour("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").await;
        let redirect: &'static str = Box::leak(
            format!("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{inside}/\r\ncontent-length: 0\r\n\r\n").into_boxed_str(),
        );
        let (address, _) = neighbour(redirect).await;
        let open = client(Exit::by_system(AllowedNetworks::parse(["127.0.0.1"]).unwrap()));
        assert_eq!(open.call(Request::get(format!("http://{address}"))).await.unwrap().status, 307);
        assert_eq!(*asked.lock().unwrap(), 0);
    }
}
