//! Mail over SMTP: connections of our own (no delay, a deadline for each phase) that are kept for the next message.

mod config;
mod connection;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::TlsConnector;

pub use config::{SmtpConfig, SmtpConfigError, SmtpTimeouts};
use connection::Connection;

/// Who a message is from and for, as the server hears it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The sender's address.
    pub from: String,
    /// The receiver's address.
    pub to: String,
}

impl Envelope {
    fn is_ascii(&self) -> bool {
        self.from.is_ascii() && self.to.is_ascii()
    }

    /// Whether neither address can end its command and begin another.
    fn is_safe(&self) -> bool {
        [&self.from, &self.to]
            .iter()
            .all(|a| !a.is_empty() && a.len() <= 320 && !a.chars().any(|c| c.is_control() || c.is_whitespace() || "<>".contains(c)))
    }
}

/// Where in the conversation something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the word of RFC 5321")]
pub enum Phase {
    Connect,
    Tls,
    Greeting,
    Hello,
    SignIn,
    Reset,
    From,
    To,
    Data,
    Body,
    Verdict,
}

impl Phase {
    /// Whether a refusal here is about this message, rather than about us or the server's day.
    fn is_about_the_message(self) -> bool {
        matches!(self, Self::From | Self::To | Self::Data | Self::Verdict)
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connecting",
            Self::Tls => "starting TLS",
            Self::Greeting => "the greeting",
            Self::Hello => "EHLO",
            Self::SignIn => "AUTH",
            Self::Reset => "RSET",
            Self::From => "MAIL FROM",
            Self::To => "RCPT TO",
            Self::Data => "DATA",
            Self::Body => "writing the message",
            Self::Verdict => "the verdict",
        })
    }
}

/// Why a message was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SmtpError {
    /// A phase took longer than its limit.
    #[error("the mail server was too slow at {phase}")]
    TooSlow {
        /// Which one.
        phase: Phase,
    },
    /// The connection failed or broke off; nothing was taken.
    #[error("the connection to the mail server failed at {phase}: {reason}")]
    Lost {
        /// When.
        phase: Phase,
        /// How.
        reason: String,
    },
    /// The server asks to come again later, or refuses us rather than the message.
    #[error("the mail server answered {code} at {phase}: {text}")]
    NotNow {
        /// To what.
        phase: Phase,
        /// Its code.
        code: u16,
        /// Its words.
        text: String,
    },
    /// The server will never take this message.
    #[error("the mail server refused the message with {code}: {text}")]
    Rejected {
        /// Its code, 5xx.
        code: u16,
        /// Its words.
        text: String,
    },
    /// The message was sent whole and the verdict did not arrive: it may be delivered. Repeated under the same Message-ID.
    #[error("whether the mail server took the message is unknown: {0}")]
    Unknown(String),
    /// The server lacks what the configuration asks for.
    #[error("the mail server cannot be used: {0}")]
    Unusable(String),
}

impl SmtpError {
    fn lost(phase: Phase, error: &std::io::Error) -> Self {
        Self::Lost { phase, reason: error.to_string() }
    }

    /// Whether repeating is pointless.
    pub fn is_permanent(&self) -> bool {
        matches!(self, Self::Rejected { .. })
    }

    /// Whether the server is in trouble, rather than unhappy with one message.
    pub(crate) fn is_ill(&self) -> bool {
        match self {
            Self::Rejected { .. } => false,
            Self::NotNow { phase, .. } => !phase.is_about_the_message(),
            _ => true,
        }
    }
}

/// Hands messages to one mail server over connections that are kept for the next ones. Clones share them.
#[derive(Clone)]
pub struct SmtpPool {
    config: Arc<SmtpConfig>,
    tls: TlsConnector,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl SmtpPool {
    /// A pool without connections yet.
    pub fn new(config: SmtpConfig) -> Self {
        let tls = crate::http_client::tls_connector(&config.extra_roots);
        Self { config: Arc::new(config), tls, idle: Arc::default() }
    }

    fn take(&self) -> Option<Connection> {
        let mut stale = Vec::new();
        let found = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            stale.extend(idle.extract_if(.., |connection| !connection.is_fresh()));
            idle.pop()
        };
        for connection in stale {
            tokio::spawn(connection.quit());
        }
        found
    }

    fn keep(&self, connection: Connection) {
        if connection.is_fresh() {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < self.config.idle_max {
                idle.push(connection);
                return;
            }
        }
        tokio::spawn(connection.quit());
    }

    /// Hands over one message in its final form.
    pub async fn send(&self, envelope: &Envelope, message: &[u8]) -> Result<(), SmtpError> {
        if !envelope.is_safe() {
            return Err(SmtpError::Rejected { code: 553, text: "an address with a character that no address has".into() });
        }
        let mut connection = match self.reuse().await {
            Some(connection) => connection,
            None => Connection::open(&self.config, &self.tls).await?,
        };
        let sent = connection.send(envelope, &stuffed(message)).await;
        match &sent {
            // After a reply, whatever it was, both sides know where they stand.
            Ok(()) | Err(SmtpError::Rejected { .. }) => self.keep(connection),
            Err(SmtpError::NotNow { code, .. }) if *code != 421 => self.keep(connection),
            Err(_) => drop(connection),
        }
        sent
    }

    /// A kept connection that still answers. The server may have closed it meanwhile, which is nobody's failure.
    async fn reuse(&self) -> Option<Connection> {
        while let Some(mut connection) = self.take() {
            match connection.reset().await {
                Ok(()) => return Some(connection),
                // A server that hangs does so on every connection: waiting for each in turn would cost minutes.
                Err(SmtpError::TooSlow { .. }) => self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear(),
                Err(_) => {}
            }
        }
        None
    }
}

/// The message with CRLF at every line end and a second dot where a line begins with one (RFC 5321, section 4.5.2). A bare
/// CR or LF becomes a whole line end, so that no server can see an end mark where we see none.
fn stuffed(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 32 + 8);
    let mut is_line_start = true;
    let mut bytes = message.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\r' | b'\n' => {
                if byte == b'\r' && bytes.peek() == Some(&b'\n') {
                    bytes.next();
                }
                out.extend_from_slice(b"\r\n");
                is_line_start = true;
            }
            _ => {
                if is_line_start && byte == b'.' {
                    out.push(b'.');
                }
                out.push(byte);
                is_line_start = false;
            }
        }
    }
    if !is_line_start {
        out.extend_from_slice(b"\r\n");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_doubled_and_no_line_end_is_half() {
        assert_eq!(stuffed(b".a\r\n..\r\nb.\r\n.\r\n"), b"..a\r\n...\r\nb.\r\n..\r\n");
        assert_eq!(stuffed(b"a\n.\nb\r.\rc"), b"a\r\n..\r\nb\r\n..\r\nc\r\n");
        assert_eq!(stuffed(b""), b"");
    }

    #[test]
    fn an_address_that_would_end_its_command_is_refused() {
        let envelope = |to: &str| Envelope { from: "a@b.c".into(), to: to.into() };
        assert!(envelope("d@e.f").is_safe());
        for bad in ["d@e.f>\r\nRCPT TO:<x@y.z", "d@e.f>", "d e@f.g", "", "d@e.f\0"] {
            assert!(!envelope(bad).is_safe(), "{bad}");
        }
    }
}
