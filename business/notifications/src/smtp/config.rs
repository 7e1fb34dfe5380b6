//! Where mail goes: `smtp://user:password@host:port?tls=starttls`.

use std::fmt;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use rustls_pki_types::CertificateDer;
use url::{Host, Url};

/// How a connection to the mail server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protection {
    /// Not at all; refused with a password unless the server is on this machine.
    None,
    /// In the clear until STARTTLS, which must succeed.
    StartTls,
    /// TLS from the first byte.
    Implicit,
}

/// How long each phase of a conversation may take.
#[derive(Debug, Clone)]
pub struct SmtpTimeouts {
    /// The TCP connection, and the TLS handshake on it.
    pub connect: Duration,
    /// The server's greeting.
    pub greeting: Duration,
    /// Each command and its reply.
    pub command: Duration,
    /// Writing the message.
    pub body: Duration,
    /// The server's verdict after the message's last byte.
    pub verdict: Duration,
}

impl Default for SmtpTimeouts {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { connect: seconds(10), greeting: seconds(15), command: seconds(15), body: seconds(60), verdict: seconds(60) }
    }
}

/// A mail server and how to speak to it.
#[derive(Clone)]
pub struct SmtpConfig {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) protection: Protection,
    pub(crate) credentials: Option<(String, String)>,
    /// The name given in EHLO.
    pub hello_name: String,
    /// How long each phase may take.
    pub timeouts: SmtpTimeouts,
    /// Connections kept open while idle.
    pub idle_max: usize,
    /// How long one stays open while idle.
    pub idle_for: Duration,
    /// Messages on one connection before it is closed.
    pub messages_per_connection: u32,
    /// Certificate authorities trusted besides the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
}

impl fmt::Debug for SmtpConfig {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpConfig({}:{}, {:?}", self.host, self.port, self.protection)?;
        f.write_str(if self.credentials.is_some() { ", with password)" } else { ")" })
    }
}

/// Why a mail server's URL was refused. Never repeats the URL, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SmtpConfigError {
    /// Not of the form.
    #[error("the mail server must be given as smtp://user:password@host:port?tls=starttls (or none, implicit)")]
    Form,
    /// `tls=` has another value.
    #[error("tls= must be starttls, implicit or none")]
    Tls,
    /// A password would travel in the clear.
    #[error("a password is sent over TLS only: use tls=starttls or tls=implicit (tls=none works without a password, or to this machine)")]
    PasswordInTheClear,
}

impl SmtpConfig {
    /// Reads the URL of a mail server. `smtp://` means STARTTLS on port 587, `smtps://` TLS on port 465; `tls=` overrides.
    pub fn parse(text: &str) -> Result<Self, SmtpConfigError> {
        let url = Url::parse(text.trim()).map_err(|_| SmtpConfigError::Form)?;
        let mut protection = match url.scheme() {
            "smtp" => Protection::StartTls,
            "smtps" => Protection::Implicit,
            _ => return Err(SmtpConfigError::Form),
        };
        for (name, value) in url.query_pairs() {
            protection = match (&*name, &*value) {
                ("tls", "none") => Protection::None,
                ("tls", "starttls") => Protection::StartTls,
                ("tls", "implicit") => Protection::Implicit,
                ("tls", _) => return Err(SmtpConfigError::Tls),
                _ => return Err(SmtpConfigError::Form),
            };
        }
        let host = match url.host().ok_or(SmtpConfigError::Form)? {
            Host::Domain(name) => name.to_owned(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        if host.is_empty() || !matches!(url.path(), "" | "/") || url.fragment().is_some() {
            return Err(SmtpConfigError::Form);
        }
        let decode = |part: &str| percent_decode_str(part).decode_utf8().map(|text| text.into_owned()).map_err(|_| SmtpConfigError::Form);
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, Some(password)) if !user.is_empty() => Some((decode(user)?, decode(password)?)),
            _ => return Err(SmtpConfigError::Form),
        };
        let is_local = matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1");
        if credentials.is_some() && protection == Protection::None && !is_local {
            return Err(SmtpConfigError::PasswordInTheClear);
        }
        let port = url.port().unwrap_or(match protection {
            Protection::Implicit => 465,
            Protection::StartTls => 587,
            Protection::None => 25,
        });
        Ok(Self {
            host,
            port,
            protection,
            credentials,
            hello_name: "localhost".to_owned(),
            timeouts: SmtpTimeouts::default(),
            idle_max: 32,
            idle_for: Duration::from_secs(20),
            messages_per_connection: 100,
            extra_roots: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_and_how() {
        let config = SmtpConfig::parse("smtp://me%40example.org:p%40ss%3A@mail.example.org").unwrap();
        assert_eq!((config.host.as_str(), config.port, config.protection), ("mail.example.org", 587, Protection::StartTls));
        assert_eq!(config.credentials, Some(("me@example.org".to_owned(), "p@ss:".to_owned())));
        assert!(!format!("{config:?}").contains("p@ss"));
        assert_eq!(SmtpConfig::parse("smtps://mail.example.org").unwrap().port, 465);
        assert_eq!(SmtpConfig::parse("smtp://127.0.0.1:2525?tls=none").unwrap().protection, Protection::None);
    }

    #[test]
    fn a_wrong_url_is_refused_and_a_password_never_travels_in_the_clear() {
        for (bad, why) in [
            ("mail.example.org", SmtpConfigError::Form),
            ("http://mail.example.org", SmtpConfigError::Form),
            ("smtp://user@mail.example.org", SmtpConfigError::Form),
            ("smtp://mail.example.org/path", SmtpConfigError::Form),
            ("smtp://mail.example.org?tsl=none", SmtpConfigError::Form),
            ("smtp://mail.example.org?tls=maybe", SmtpConfigError::Tls),
            ("smtp://user:pass@mail.example.org?tls=none", SmtpConfigError::PasswordInTheClear),
        ] {
            assert_eq!(SmtpConfig::parse(bad).err(), Some(why), "{bad}");
        }
        assert!(SmtpConfig::parse("smtp://user:pass@127.0.0.1?tls=none").is_ok());
    }
}
