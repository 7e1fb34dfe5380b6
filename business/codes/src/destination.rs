//! The noun: where a code leads. Pure.

use std::fmt;

use url::{Host, Url};

use crate::public_code::PublicCode;

kernel::id!(
    /// One binding of parameters to a code: what a page asks for after the scan.
    pub struct RequestId = "req"
);

/// The longest address a code may lead to, in bytes as it is stored.
pub const URL_BYTES_MAX: usize = 2_048;
/// The longest kind and the longest id of another module's thing, in bytes.
const THING_BYTES_MAX: usize = 64;

/// An address on the web that a scan may be sent to: http or https, with a host, without credentials, at most 2,048 bytes,
/// and not a code of this installation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TargetUrl(String);

/// Why an address was refused as a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not parse.
    #[error("must be a full address such as https://example.com/menu")]
    Malformed,
    /// It is not http or https.
    #[error("must start with https:// or http://")]
    Scheme,
    /// It is too long.
    #[error("must be at most 2,048 bytes long")]
    TooLong,
    /// It carries a user name or a password.
    #[error("must not carry a user name or a password")]
    Credentials,
    /// It holds white space or control characters.
    #[error("must not hold spaces, line breaks or control characters")]
    Control,
    /// It is one of this installation's own codes, so that a scan could go round in a circle.
    #[error("must not be the address of another code, because a scan could go round in a circle")]
    Loop,
    /// A page's address has a query or a fragment.
    #[error("must not have a query or a fragment: parameters belong into `parameters`")]
    Query,
}

impl TargetUrl {
    /// Reads an address that somebody gave. `public_url` is where this installation's codes are scanned.
    pub fn parse(text: &str, public_url: &str) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        // The parser below would drop line breaks and tabs silently, and a header must never see one.
        if text.chars().any(|c| c.is_control() || c.is_whitespace() || is_invisible(c)) {
            return Err(TargetError::Control);
        }
        let url = Url::parse(text).map_err(|_| TargetError::Malformed)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(TargetError::Scheme);
        }
        if url.host().is_none_or(|host| matches!(host, Host::Domain(""))) {
            return Err(TargetError::Malformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if leads_to_a_code(&url, public_url) {
            return Err(TargetError::Loop);
        }
        let stored = String::from(url);
        if stored.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        Ok(Self(stored))
    }

    /// Reads the address of a page that gets its parameters by request id: without a query of its own.
    pub fn parse_page(text: &str, public_url: &str) -> Result<Self, TargetError> {
        let page = Self::parse(text, public_url)?;
        if page.0.contains(['?', '#']) { Err(TargetError::Query) } else { Ok(page) }
    }

    /// As it was stored by us.
    pub(crate) fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The address, normalised, ASCII only.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Characters that change how an address looks without being seen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

fn leads_to_a_code(url: &Url, public_url: &str) -> bool {
    let Ok(own) = Url::parse(public_url) else { return false };
    let is_own_host = match (url.host_str(), own.host_str()) {
        (Some(host), Some(own)) => host.trim_end_matches('.').eq_ignore_ascii_case(own.trim_end_matches('.')),
        _ => false,
    };
    // Any port and either scheme: the door behind the other one is likely this installation's too.
    is_own_host && url.path_segments().is_some_and(|mut parts| parts.find(|part| !part.is_empty()).is_some_and(is_code_segment))
}

fn is_code_segment(part: &str) -> bool {
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
    PublicCode::parse(&decoded).is_ok()
}

impl fmt::Display for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TargetUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a code leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// An address on the web.
    Url(TargetUrl),
    /// A page that fetches the parameters bound under `request` after the scan.
    Page {
        /// The page, without parameters.
        page: TargetUrl,
        /// What it asks for.
        request: RequestId,
    },
    /// A thing of another module, which codes knows by kind and id only.
    Thing(Thing),
}

/// A thing of another module: `card` and `card_0198…`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Thing {
    kind: String,
    id: String,
}

impl Thing {
    /// Its kind, for example `card`.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Its id, as its module writes it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Destination {
    /// A thing of the calling module. `kind` is a lower-case word other than `url` and `page`, both at most 64 bytes; what is not
    /// so is refused by `None`.
    pub fn thing(kind: &str, id: impl fmt::Display) -> Option<Self> {
        let id = id.to_string();
        let is_word = !kind.is_empty() && kind.len() <= THING_BYTES_MAX && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let is_id = !id.is_empty() && id.len() <= THING_BYTES_MAX && id.bytes().all(|b| b.is_ascii_graphic());
        (is_word && is_id && !matches!(kind, "url" | "page")).then(|| Self::Thing(Thing { kind: kind.to_owned(), id }))
    }

    /// `url`, `page` or the kind of the other module's thing.
    pub fn kind(&self) -> &str {
        match self {
            Self::Url(_) => "url",
            Self::Page { .. } => "page",
            Self::Thing(thing) => &thing.kind,
        }
    }

    /// Where a scan is redirected, before the scan's own query is merged in; `None` for a thing, which the application opens.
    pub fn location(&self) -> Option<String> {
        match self {
            Self::Url(url) => Some(url.0.clone()),
            Self::Page { page, request } => Some(format!("{page}?request_id={request}")),
            Self::Thing(_) => None,
        }
    }

    /// The three columns that hold it: kind, id, address.
    pub(crate) fn columns(&self) -> (&str, Option<String>, Option<&str>) {
        match self {
            Self::Url(url) => ("url", None, Some(url.as_str())),
            Self::Page { page, request } => ("page", Some(request.to_string()), Some(page.as_str())),
            Self::Thing(thing) => (&thing.kind, Some(thing.id.clone()), None),
        }
    }

    /// Back from its three columns; `None` when they contradict each other.
    pub(crate) fn from_columns(kind: String, id: Option<String>, url: Option<String>) -> Option<Self> {
        match (kind.as_str(), id, url) {
            ("url", None, Some(url)) => Some(Self::Url(TargetUrl(url))),
            ("page", Some(id), Some(url)) => Some(Self::Page { page: TargetUrl(url), request: id.parse().ok()? }),
            ("url" | "page", ..) => None,
            (_, Some(id), None) => Some(Self::Thing(Thing { kind, id })),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const OWN: &str = "https://go.acme.io";

    #[test]
    fn an_ordinary_address_is_kept_in_its_normal_form() {
        for (given, kept) in [
            ("https://example.com", "https://example.com/"),
            ("HTTP://Example.COM/Menu?a=1#b", "http://example.com/Menu?a=1#b"),
            ("https://bücher.example/ä", "https://xn--bcher-kva.example/%C3%A4"),
            ("https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443/x"),
            ("https://go.acme.io/pricing", "https://go.acme.io/pricing"),
        ] {
            assert_eq!(TargetUrl::parse(given, OWN).map(|url| url.0), Ok(kept.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_could_harm_whoever_scans_is_refused_with_its_reason() {
        let code = PublicCode::from_number(4711).unwrap();
        let long = format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX));
        let long_once_encoded = format!("https://example.com/{}", "ä".repeat(URL_BYTES_MAX / 4));
        for (given, reason) in [
            ("", TargetError::Malformed),
            ("example.com", TargetError::Malformed),
            ("//example.com", TargetError::Malformed),
            ("https://", TargetError::Malformed),
            ("javascript:alert(1)", TargetError::Scheme),
            ("data:text/html,x", TargetError::Scheme),
            ("file:///etc/passwd", TargetError::Scheme),
            ("intent://x#Intent;end", TargetError::Scheme),
            ("https://user@example.com/", TargetError::Credentials),
            ("https://user:secret@example.com/", TargetError::Credentials),
            ("https://exam\nple.com/", TargetError::Control),
            ("java\tscript:alert(1)", TargetError::Control),
            ("https://example.com/a b", TargetError::Control),
            ("https://example.com/\u{202E}gpj.exe", TargetError::Control),
            ("https://example.com/\0", TargetError::Control),
            (long.as_str(), TargetError::TooLong),
            (long_once_encoded.as_str(), TargetError::TooLong),
            (&format!("https://go.acme.io/{code}"), TargetError::Loop),
            (&format!("http://GO.acme.io.:8080/{}/?x=1", code.to_string().to_lowercase()), TargetError::Loop),
            (&format!("https://go.acme.io/%{:02x}{}", code.letters()[0], &code.to_string()[1..]), TargetError::Loop),
        ] {
            assert_eq!(TargetUrl::parse(given, OWN).map(|url| url.0), Err(reason), "{given}");
        }
        assert_eq!(TargetUrl::parse_page("https://example.com/p?a=1", OWN), Err(TargetError::Query));
    }

    #[test]
    fn a_page_is_asked_for_by_its_request_and_a_thing_has_no_address() {
        let request: RequestId = "req_0198c2f6a1b27cc08a6f3d2e1f00ab12".parse().unwrap();
        let page = Destination::Page { page: TargetUrl::parse_page("https://acme.io/p", OWN).unwrap(), request };
        assert_eq!(page.location().unwrap(), format!("https://acme.io/p?request_id={request}"));
        let thing = Destination::thing("card", "card_1").unwrap();
        assert_eq!((thing.kind(), thing.location()), ("card", None));
        assert_eq!(Destination::thing("url", "https://x.example"), None);
        assert_eq!(Destination::thing("Card", "1"), None);
        assert_eq!(Destination::thing("card", "a b"), None);
        for destination in [page, thing, Destination::Url(TargetUrl("https://x.example/".to_owned()))] {
            let (kind, id, url) = destination.columns();
            let back = Destination::from_columns(kind.to_owned(), id, url.map(str::to_owned));
            assert_eq!(back, Some(destination));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_safe_in_a_header_and_stays_the_same_when_read_again(text in "(https?://)?[ -~ä\\r\\n@:/?#%]{0,60}") {
            if let Ok(url) = TargetUrl::parse(&text, OWN) {
                prop_assert!(url.as_str().bytes().all(|b| (0x21..0x7F).contains(&b)), "{url}");
                prop_assert_eq!(TargetUrl::parse(url.as_str(), OWN), Ok(url));
            }
        }
    }
}
