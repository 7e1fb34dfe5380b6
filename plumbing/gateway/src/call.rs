//! The call: what a handler may know about the request it answers, and who makes it.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::extract::{FromRequestParts, MatchedPath};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use kernel::{Caller, WorkspaceId};
use sha2::{Digest, Sha256};

use crate::card_numbers::CardNumberRules;
use crate::limits::{Allowance, Class, Limits};
use crate::shutdown::ShutdownSignal;
use crate::{Peer, Problem};

/// What a doorkeeper gives: the caller, nobody, or why it could not be found out.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = Result<Option<Caller>, Problem>> + Send + 'a>>;

/// Knows callers by what they show at the door. `people` implements it, `app` hands it to the door.
pub trait Doorkeeper: Send + Sync + 'static {
    /// The person whose session has this token; `None` when it is unknown, over or revoked.
    fn by_session<'a>(&'a self, token: &'a str) -> Resolving<'a>;
    /// The program that has this API key (`tsk_…`); `None` when it is unknown, expired or revoked.
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a>;
}

/// Knows nobody: for routers that face only visitors, and for tests.
pub struct NobodyKnown;

impl Doorkeeper for NobodyKnown {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
}

/// What the door found out about a request before it let it in; shared by all extractors of the request.
pub(crate) struct Entry {
    pub(crate) request_id: String,
    pub(crate) address: IpAddr,
    pub(crate) is_https: bool,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) method: Method,
    pub(crate) route: Option<MatchedPath>,
    pub(crate) uri: Uri,
    pub(crate) doorkeeper: Arc<dyn Doorkeeper>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) shutdown: ShutdownSignal,
    /// Where card numbers are redacted and where numbers are declared.
    pub(crate) card_numbers: CardNumberRules,
    /// How long the body may take.
    pub(crate) body_time: Duration,
    /// SHA-256 of the body, put here by the extractor that read it.
    pub(crate) body: OnceLock<[u8; 32]>,
    /// The tightest allowance that was drawn on, for the answer's headers.
    pub(crate) allowance: OnceLock<Allowance>,
}

impl Entry {
    /// The host with its port, as the caller wrote it; empty when it named none.
    pub(crate) fn host(&self) -> &str {
        self.host.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The route's template such as `/v1/cards/{id}`; empty when no route matched.
    pub(crate) fn route(&self) -> &str {
        self.route.as_ref().map_or("", MatchedPath::as_str)
    }
}

/// The request as a handler sees it: who calls, from where, under which id. An extractor that never refuses a stranger;
/// [`Call::caller`] does. A key that nobody knows is refused here, so that a mistyped one is not mistaken for no key.
#[derive(Clone)]
pub struct Call {
    entry: Arc<Entry>,
    caller: Option<Caller>,
    session: Option<Arc<str>>,
    user_agent: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    idempotency_key: Option<Arc<str>>,
}

impl Call {
    /// Who calls; 401 when nobody is signed in and no key was sent.
    pub fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(Problem::unauthorized)
    }

    /// Who calls, if anybody known does.
    pub fn known(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// The same call made as somebody else: a visitor of a public page, or the system for a sign-in.
    #[must_use]
    pub fn acting_as(&self, caller: Caller) -> Self {
        Self { caller: Some(caller), ..self.clone() }
    }

    /// The same call made as a visitor of `workspace`, whoever else the caller is.
    #[must_use]
    pub fn visiting(&self, workspace: WorkspaceId) -> Self {
        self.acting_as(Caller::Visitor { workspace })
    }

    /// The address the request came from, seen through trusted proxies. Personal data: never store it as it is.
    pub fn visitor_address(&self) -> IpAddr {
        self.entry.address
    }

    /// The request's id, as it stands in the log and in the answer's `X-Request-Id`.
    pub fn request_id(&self) -> &str {
        &self.entry.request_id
    }

    /// The key under which the answer is to be recorded, if one was sent.
    pub fn idempotency_key(&self) -> Option<&str> {
        self.idempotency_key.as_deref()
    }

    /// The same call under this idempotency key, for forms that carry one in a hidden field.
    #[must_use]
    pub fn idempotent_as(&self, key: &str) -> Self {
        Self { idempotency_key: Some(Arc::from(key)), ..self.clone() }
    }

    /// The token of the session cookie, for signing out; it may belong to no session any more.
    pub fn session_token(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Whether the body is a form from a page.
    pub fn is_form(&self) -> bool {
        self.content_type.as_ref().is_some_and(|value| media_type(value) == "application/x-www-form-urlencoded")
    }

    /// Whether the connection is encrypted, as far as trusted proxies and our own door know.
    pub fn is_https(&self) -> bool {
        self.entry.is_https
    }

    /// The host the caller asked for, with its port if it named one; empty if it named none.
    pub fn host(&self) -> &str {
        self.entry.host()
    }

    /// What the caller's program says it is; empty when it says nothing. Personal data together with the address.
    pub fn user_agent(&self) -> &str {
        self.user_agent.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Draws once on the allowance of `class` for the caller's address (for an IPv6 address, its /64).
    pub fn limit(&self, class: Class) -> Result<(), Problem> {
        self.entry.limits.limit_address(class, self.entry.address).map(|_| ())
    }

    /// Draws once on the allowance of `class` for `key`, for example the account that somebody tries to sign in to. Only a
    /// keyed hash of it is kept.
    pub fn limit_by(&self, class: Class, key: &str) -> Result<(), Problem> {
        self.entry.limits.limit(class, key).map(|_| ())
    }

    /// Tells streams that the server wants to end.
    pub fn shutdown(&self) -> ShutdownSignal {
        self.entry.shutdown.clone()
    }

    pub(crate) fn method(&self) -> &Method {
        &self.entry.method
    }

    pub(crate) fn route(&self) -> &str {
        self.entry.route()
    }

    /// SHA-256 over what makes this request itself: who asked, for what address, with what body. Another actor or address
    /// under the same key is another request and never sees the recorded answer.
    pub(crate) fn fingerprint(&self, actor: &str) -> [u8; 32] {
        let mut hash = Sha256::new();
        let address = self.entry.uri.path_and_query().map_or("", |path| path.as_str());
        for part in [actor, self.entry.method.as_str(), address] {
            hash.update(part.as_bytes());
            hash.update([0]);
        }
        hash.update(self.entry.body.get().copied().unwrap_or_else(|| Sha256::digest([]).into()));
        hash.finalize().into()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Call {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        if let Some(call) = parts.extensions.get::<Self>() {
            return Ok(call.clone());
        }
        let entry =
            parts.extensions.get::<Arc<Entry>>().cloned().ok_or_else(|| Problem::internal("the door does not stand around this router"))?;
        let session = cookie(&parts.headers, session_cookie_name(entry.is_https)).map(Arc::<str>::from);
        let caller = match (bearer(&parts.headers)?, session.as_deref()) {
            (Some(key), _) => Some(by_key(&entry, key).await?),
            (None, Some(token)) => entry.doorkeeper.by_session(token).await?,
            (None, None) => None,
        };
        if let Some(Caller::Key { .. } | Caller::Person { .. }) = &caller {
            let actor = caller.as_ref().map(Caller::actor).unwrap_or_default();
            entry.limits.draw(&entry.allowance, Class::Caller, &actor)?;
        }
        let call = Self {
            caller,
            session,
            user_agent: parts.headers.get(header::USER_AGENT).cloned(),
            content_type: parts.headers.get(header::CONTENT_TYPE).cloned(),
            idempotency_key: idempotency_key(&parts.headers)?.map(Arc::from),
            entry,
        };
        parts.extensions.insert(call.clone());
        Ok(call)
    }
}

/// A wrong key counts as an attempt to sign in, so that keys cannot be guessed at the speed of the door.
async fn by_key(entry: &Entry, key: &str) -> Result<Caller, Problem> {
    match entry.doorkeeper.by_key(key).await? {
        Some(caller) => Ok(caller),
        None => {
            entry.limits.limit_address(Class::SignIn, entry.address)?;
            Err(Problem::unauthorized().with_detail("this API key is unknown, expired or revoked"))
        }
    }
}

/// The key of an `Authorization: Bearer …` header. Another scheme is refused rather than ignored.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return if headers.contains_key(header::AUTHORIZATION) {
            Err(Problem::unauthorized().with_detail("send one Authorization header"))
        } else {
            Ok(None)
        };
    };
    let text = value.to_str().unwrap_or_default();
    match text.split_once(' ') {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case("bearer") && !key.trim().is_empty() => Ok(Some(key.trim())),
        _ => Err(Problem::unauthorized().with_detail("the Authorization header must be `Bearer tsk_…`")),
    }
}

/// What the session cookie is called. On https its `__Host-` prefix makes browsers refuse one that a neighbouring host or an
/// unencrypted page has planted.
pub fn session_cookie_name(is_https: bool) -> &'static str {
    if is_https { "__Host-tessera_session" } else { "tessera_session" }
}

/// The `Set-Cookie` value that begins a session of `max_age_s` seconds. The token must be of letters, digits, `-` and `_`.
pub fn session_cookie(token: &str, is_https: bool, max_age_s: u64) -> HeaderValue {
    let safe: String = token.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{}={safe}; Path=/; HttpOnly; SameSite=Lax; Max-Age={max_age_s}{secure}", session_cookie_name(is_https));
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The `Set-Cookie` value that ends a session in the browser.
pub fn session_cookie_cleared(is_https: bool) -> HeaderValue {
    session_cookie("", is_https, 0)
}

/// The session's token that a request shows, for whoever answers outside of the router.
pub fn session_token_in(headers: &HeaderMap, is_https: bool) -> Option<&str> {
    cookie(headers, session_cookie_name(is_https))
}

/// The value of one cookie; the first when a client sends several of that name.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|text| text.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find(|(key, value)| *key == name && !value.is_empty())
        .map(|(_, value)| value)
}

/// The media type without its parameters, in lower case.
pub(crate) fn media_type(value: &HeaderValue) -> String {
    value.to_str().unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The idempotency key, bare or as the quoted string of the IETF draft: 1 to 255 visible characters.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refused = || {
        Problem::new(http::StatusCode::BAD_REQUEST, "idempotency_key_invalid")
            .with_detail("send one Idempotency-Key of 1 to 255 visible ASCII characters, bare or in double quotes")
    };
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().map_err(|_| refused())?.trim();
    let key = match text.strip_prefix('"') {
        Some(rest) => unquote(rest).ok_or_else(refused)?,
        None => text.to_owned(),
    };
    let fits = (1..=255).contains(&key.len()) && key.bytes().all(|b| (0x20..0x7F).contains(&b));
    if fits && values.next().is_none() { Ok(Some(key)) } else { Err(refused()) }
}

/// What stands between quotes (RFC 8941, section 3.3.3), given all after the first one.
fn unquote(rest: &str) -> Option<String> {
    let inner = rest.strip_suffix('"')?;
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.push(letters.next().filter(|c| matches!(c, '"' | '\\'))?),
            '"' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// Whether a browser says that this request comes from one of our own pages: `Sec-Fetch-Site` where it is sent, else an
/// `Origin` that is this host. Neither of both is a refusal.
pub(crate) fn is_same_origin(headers: &HeaderMap, host: &str, is_https: bool) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return matches!(site.as_bytes(), b"same-origin" | b"none");
    }
    let Some(origin) = headers.get(header::ORIGIN).and_then(|value| value.to_str().ok()) else { return false };
    // An http page must not speak for the https site of the same name; the inverse is a proxy that we were not told of.
    let authority = match (origin.strip_prefix("https://"), origin.strip_prefix("http://")) {
        (Some(authority), _) => authority,
        (None, Some(authority)) if !is_https => authority,
        _ => return false,
    };
    !host.is_empty() && authority.eq_ignore_ascii_case(host)
}

/// Whether a request of this kind may change anything.
pub(crate) fn is_unsafe(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
}

/// 403: a page of another site tried to act with this browser's session.
pub(crate) fn csrf() -> Problem {
    Problem::new(http::StatusCode::FORBIDDEN, "csrf").with_detail(
        "a request with a session cookie must come from a page of this site: send it with Sec-Fetch-Site or Origin, or use an API key",
    )
}

/// The connection that brought a request, for our own use: the server puts it among the request's extensions.
impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().copied().ok_or_else(|| Problem::internal("the server does not say who is connected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn an_idempotency_key_may_be_bare_or_quoted() {
        let key = |text: &str| idempotency_key(&headers(&[("idempotency-key", text)]));
        assert_eq!(key("abc-1").unwrap().unwrap(), "abc-1");
        assert_eq!(key("\"abc-1\"").unwrap().unwrap(), "abc-1");
        assert_eq!(key(r#""a\"b\\c""#).unwrap().unwrap(), r#"a"b\c"#);
        for wrong in ["", "\"", "\"\"", "\"a", "\"a\"b\"", &"x".repeat(256), "käse"] {
            assert_eq!(key(wrong).unwrap_err().code(), "idempotency_key_invalid", "{wrong}");
        }
        let mut two = headers(&[("idempotency-key", "a")]);
        two.append("idempotency-key", HeaderValue::from_static("b"));
        assert!(idempotency_key(&two).is_err());
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
    }

    #[test]
    fn only_a_page_of_this_site_may_act_with_a_session() {
        let same = |pairs: &[(&'static str, &str)]| is_same_origin(&headers(pairs), "tessera.example", true);
        assert!(same(&[("sec-fetch-site", "same-origin")]));
        assert!(same(&[("sec-fetch-site", "none")]));
        assert!(same(&[("origin", "https://Tessera.example")]));
        assert!(!same(&[]));
        assert!(!same(&[("sec-fetch-site", "same-site")]));
        assert!(!same(&[("sec-fetch-site", "cross-site"), ("origin", "https://tessera.example")]));
        assert!(!same(&[("origin", "http://tessera.example")]), "an unencrypted page must not speak for the encrypted site");
        assert!(!same(&[("origin", "https://tessera.example.evil.example")]));
        assert!(!same(&[("origin", "null")]));
        assert!(!is_same_origin(&headers(&[("origin", "http://")]), "", false));
    }

    #[test]
    fn a_cookie_is_found_among_others_and_written_safely() {
        let found = headers(&[("cookie", "a=1; tessera_session=t-1; b=2")]);
        assert_eq!(cookie(&found, "tessera_session"), Some("t-1"));
        assert_eq!(cookie(&found, "session"), None);
        let written = session_cookie("tok; Domain=evil", true, 60);
        assert_eq!(written, "__Host-tessera_session=tokDomainevil; Path=/; HttpOnly; SameSite=Lax; Max-Age=60; Secure");
        assert_eq!(session_cookie_cleared(false), "tessera_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    }

    #[test]
    fn an_authorization_that_is_not_a_bearer_key_is_refused_not_ignored() {
        assert_eq!(bearer(&headers(&[("authorization", "bearer tsk_1")])).unwrap(), Some("tsk_1"));
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        assert!(bearer(&headers(&[("authorization", "Basic abc")])).is_err());
        assert!(bearer(&headers(&[("authorization", "Bearer ")])).is_err());
        let mut two = headers(&[("authorization", "Bearer a")]);
        two.append("authorization", HeaderValue::from_static("Bearer b"));
        assert!(bearer(&two).is_err());
    }
}
