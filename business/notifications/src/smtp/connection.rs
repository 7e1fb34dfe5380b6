//! One conversation with a mail server (RFC 5321), with a deadline for each phase.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::config::{Protection, SmtpConfig};
use super::{Envelope, Phase, SmtpError};

/// Bytes of one reply, all lines together.
const REPLY_BYTES_MAX: usize = 16_384;

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A reply of the server: its code and its text on one line.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) code: u16,
    pub(super) lines: Vec<String>,
}

impl Reply {
    fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// The reply as the error that it means for the message on its way.
    fn refusal(&self, phase: Phase) -> SmtpError {
        let text: String = self.lines.join(" ").chars().filter(|c| !c.is_control()).take(300).collect();
        match self.code {
            500..600 if phase.is_about_the_message() => SmtpError::Rejected { code: self.code, text },
            _ => SmtpError::NotNow { phase, code: self.code, text },
        }
    }
}

/// What the server says that it can do.
#[derive(Debug, Clone, Copy, Default)]
struct Abilities {
    starttls: bool,
    auth_plain: bool,
    auth_login: bool,
    smtputf8: bool,
    size: bool,
    eight_bit: bool,
    pipelining: bool,
}

/// An open connection, greeted and signed in.
pub(super) struct Connection {
    wire: Box<dyn Wire>,
    buffer: Vec<u8>,
    abilities: Abilities,
    config: Arc<SmtpConfig>,
    messages: u32,
    used_at: Instant,
}

impl Connection {
    /// Connects, greets, protects and signs in.
    pub(super) async fn open(config: &Arc<SmtpConfig>, tls: &TlsConnector) -> Result<Self, SmtpError> {
        let times = &config.timeouts;
        let stream = within(times.connect, Phase::Connect, TcpStream::connect((config.host.as_str(), config.port))).await?;
        stream.set_nodelay(true).map_err(|e| SmtpError::lost(Phase::Connect, &e))?;
        let server =
            ServerName::try_from(config.host.clone()).map_err(|_| SmtpError::Unusable("the server's name cannot be checked".into()))?;
        let mut connection = match config.protection {
            Protection::Implicit => {
                let stream = within(times.connect, Phase::Tls, tls.connect(server, stream)).await?;
                let mut connection = Self::over(Box::new(stream), config);
                connection.greeting().await?;
                connection.hello().await?;
                connection
            }
            Protection::None => {
                let mut connection = Self::over(Box::new(stream), config);
                connection.greeting().await?;
                connection.hello().await?;
                connection
            }
            Protection::StartTls => {
                let mut plain = Plain { stream, buffer: Vec::new() };
                plain.converse(config).await?;
                let stream = within(times.connect, Phase::Tls, tls.connect(server, plain.stream)).await?;
                let mut connection = Self::over(Box::new(stream), config);
                connection.hello().await?;
                connection
            }
        };
        connection.sign_in().await?;
        Ok(connection)
    }

    fn over(wire: Box<dyn Wire>, config: &Arc<SmtpConfig>) -> Self {
        let config = Arc::clone(config);
        Self { wire, buffer: Vec::new(), abilities: Abilities::default(), config, messages: 0, used_at: Instant::now() }
    }

    async fn greeting(&mut self) -> Result<(), SmtpError> {
        let reply = timed(self.config.timeouts.greeting, Phase::Greeting, read_reply(&mut self.wire, &mut self.buffer)).await?;
        if reply.code == 220 { Ok(()) } else { Err(reply.refusal(Phase::Greeting)) }
    }

    async fn hello(&mut self) -> Result<(), SmtpError> {
        let line = format!("EHLO {}", self.config.hello_name);
        let reply = self.command(Phase::Hello, &line).await?;
        if reply.code == 250 {
            self.abilities = abilities(&reply);
            return Ok(());
        }
        let reply = self.command(Phase::Hello, &format!("HELO {}", self.config.hello_name)).await?;
        if reply.code == 250 { Ok(()) } else { Err(reply.refusal(Phase::Hello)) }
    }

    async fn sign_in(&mut self) -> Result<(), SmtpError> {
        let Some((user, password)) = self.config.credentials.clone() else { return Ok(()) };
        let reply = if self.abilities.auth_plain {
            let token = BASE64.encode(format!("\0{user}\0{password}"));
            self.command(Phase::SignIn, &format!("AUTH PLAIN {token}")).await?
        } else if self.abilities.auth_login {
            let mut reply = self.command(Phase::SignIn, "AUTH LOGIN").await?;
            for part in [user, password] {
                if reply.code != 334 {
                    return Err(reply.refusal(Phase::SignIn));
                }
                reply = self.command(Phase::SignIn, &BASE64.encode(part)).await?;
            }
            reply
        } else {
            return Err(SmtpError::Unusable("the server offers neither AUTH PLAIN nor AUTH LOGIN".into()));
        };
        if reply.code == 235 { Ok(()) } else { Err(reply.refusal(Phase::SignIn)) }
    }

    async fn command(&mut self, phase: Phase, line: &str) -> Result<Reply, SmtpError> {
        timed(self.config.timeouts.command, phase, command(&mut self.wire, &mut self.buffer, line)).await
    }

    /// Hands over one message; `body` is dot-stuffed and ends with CRLF.
    pub(super) async fn send(&mut self, envelope: &Envelope, body: &[u8]) -> Result<(), SmtpError> {
        let mut line = format!("MAIL FROM:<{}>", envelope.from);
        if self.abilities.size {
            line.push_str(&format!(" SIZE={}", body.len()));
        }
        if !envelope.is_ascii() {
            if !self.abilities.smtputf8 {
                return Err(SmtpError::Rejected { code: 553, text: "the mail server does not take addresses beyond ASCII".into() });
            }
            line.push_str(if self.abilities.eight_bit { " BODY=8BITMIME SMTPUTF8" } else { " SMTPUTF8" });
        }
        self.begin(&line, &format!("RCPT TO:<{}>", envelope.to)).await?;
        let times = self.config.timeouts.clone();
        within(times.body, Phase::Body, async {
            self.wire.write_all(body).await?;
            self.wire.flush().await
        })
        .await?;
        // From the first byte of the end mark on, the server may have taken the message without our hearing of it.
        let verdict = timeout(times.verdict, command(&mut self.wire, &mut self.buffer, ".")).await;
        let reply = match verdict {
            Err(_) => return Err(SmtpError::Unknown(format!("no verdict within {} s", times.verdict.as_secs_f32()))),
            Ok(Err(error)) => return Err(SmtpError::Unknown(format!("the connection was lost before the verdict: {error}"))),
            Ok(Ok(reply)) => reply,
        };
        self.messages += 1;
        self.used_at = Instant::now();
        if reply.is_positive() { Ok(()) } else { Err(reply.refusal(Phase::Verdict)) }
    }

    /// The commands before a message. To a server that takes them all at once (RFC 2920) they go in one piece: far from a
    /// slow server two turns saved are half of the time that a message takes.
    async fn begin(&mut self, from: &str, to: &str) -> Result<(), SmtpError> {
        if !self.abilities.pipelining {
            self.expect(Phase::From, from).await?;
            self.expect(Phase::To, to).await?;
            let reply = self.command(Phase::Data, "DATA").await?;
            return if reply.code == 354 { Ok(()) } else { Err(reply.refusal(Phase::Data)) };
        }
        let limit = self.config.timeouts.command;
        let first = async {
            write_lines(&mut self.wire, &[from, to, "DATA"]).await?;
            read_reply(&mut self.wire, &mut self.buffer).await
        };
        let reply = timed(limit, Phase::From, first).await?;
        let mut refused = (!reply.is_positive()).then(|| reply.refusal(Phase::From));
        for phase in [Phase::To, Phase::Data] {
            let reply = match timed(limit, phase, read_reply(&mut self.wire, &mut self.buffer)).await {
                Ok(reply) => reply,
                // Whoever closes the connection behind a refusal has refused.
                Err(error) => return Err(refused.unwrap_or(error)),
            };
            let is_accepted = if phase == Phase::Data { reply.code == 354 } else { reply.is_positive() };
            // Only a message that a refused sender or recipient leaves without one is ended unsaid.
            if phase == Phase::Data && is_accepted && refused.is_some() {
                self.command(Phase::Data, ".").await?;
            }
            if !is_accepted {
                refused = refused.or_else(|| Some(reply.refusal(phase)));
            }
        }
        refused.map_or(Ok(()), Err)
    }

    async fn expect(&mut self, phase: Phase, line: &str) -> Result<(), SmtpError> {
        let reply = self.command(phase, line).await?;
        if reply.is_positive() { Ok(()) } else { Err(reply.refusal(phase)) }
    }

    /// Clears what an earlier message left, before the next one on this connection.
    pub(super) async fn reset(&mut self) -> Result<(), SmtpError> {
        self.expect(Phase::Reset, "RSET").await
    }

    /// Whether another message may go over it.
    pub(super) fn is_fresh(&self) -> bool {
        self.messages < self.config.messages_per_connection && self.used_at.elapsed() < self.config.idle_for
    }

    /// Says goodbye without waiting for long.
    pub(super) async fn quit(mut self) {
        let _ = timeout(Duration::from_secs(1), command(&mut self.wire, &mut self.buffer, "QUIT")).await;
    }
}

/// The part of a conversation before STARTTLS; what the server says here is believed only as far as to begin TLS.
struct Plain {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Plain {
    async fn converse(&mut self, config: &SmtpConfig) -> Result<(), SmtpError> {
        let times = &config.timeouts;
        let reply = timed(times.greeting, Phase::Greeting, read_reply(&mut self.stream, &mut self.buffer)).await?;
        if reply.code != 220 {
            return Err(reply.refusal(Phase::Greeting));
        }
        let hello = format!("EHLO {}", config.hello_name);
        let reply = timed(times.command, Phase::Hello, command(&mut self.stream, &mut self.buffer, &hello)).await?;
        if reply.code != 250 {
            return Err(reply.refusal(Phase::Hello));
        }
        if !abilities(&reply).starttls {
            return Err(SmtpError::Unusable("the server does not offer STARTTLS".into()));
        }
        let reply = timed(times.command, Phase::Tls, command(&mut self.stream, &mut self.buffer, "STARTTLS")).await?;
        if reply.code != 220 {
            return Err(reply.refusal(Phase::Tls));
        }
        // Bytes that came with the answer are in the clear, and would be taken for the server's words inside TLS.
        if self.buffer.is_empty() { Ok(()) } else { Err(SmtpError::Unusable("the server spoke out of turn before TLS".into())) }
    }
}

fn abilities(reply: &Reply) -> Abilities {
    let mut abilities = Abilities::default();
    for line in reply.lines.iter().skip(1) {
        let line = line.to_ascii_uppercase().replace("AUTH=", "AUTH ");
        let mut words = line.split_whitespace();
        match words.next() {
            Some("STARTTLS") => abilities.starttls = true,
            Some("SMTPUTF8") => abilities.smtputf8 = true,
            Some("SIZE") => abilities.size = true,
            Some("8BITMIME") => abilities.eight_bit = true,
            Some("PIPELINING") => abilities.pipelining = true,
            Some("AUTH") => {
                for word in words {
                    abilities.auth_plain |= word == "PLAIN";
                    abilities.auth_login |= word == "LOGIN";
                }
            }
            _ => {}
        }
    }
    abilities
}

async fn within<T>(limit: Duration, phase: Phase, work: impl Future<Output = std::io::Result<T>>) -> Result<T, SmtpError> {
    timed(limit, phase, work).await
}

async fn timed<T>(limit: Duration, phase: Phase, work: impl Future<Output = std::io::Result<T>>) -> Result<T, SmtpError> {
    match timeout(limit, work).await {
        Err(_) => Err(SmtpError::TooSlow { phase }),
        Ok(Err(error)) => Err(SmtpError::lost(phase, &error)),
        Ok(Ok(value)) => Ok(value),
    }
}

async fn command(wire: &mut (impl AsyncRead + AsyncWrite + Unpin + ?Sized), buffer: &mut Vec<u8>, line: &str) -> std::io::Result<Reply> {
    write_lines(wire, &[line]).await?;
    read_reply(wire, buffer).await
}

/// Sends commands in one piece.
async fn write_lines(wire: &mut (impl AsyncWrite + Unpin + ?Sized), lines: &[&str]) -> std::io::Result<()> {
    if lines.iter().any(|line| line.bytes().any(|b| b == b'\r' || b == b'\n' || b == 0)) {
        return Err(std::io::Error::other("a command of more than one line"));
    }
    wire.write_all(format!("{}\r\n", lines.join("\r\n")).as_bytes()).await?;
    wire.flush().await
}

async fn read_reply(wire: &mut (impl AsyncRead + Unpin + ?Sized), buffer: &mut Vec<u8>) -> std::io::Result<Reply> {
    let broken = || std::io::Error::new(std::io::ErrorKind::InvalidData, "not a reply of a mail server");
    let mut lines = Vec::new();
    let mut bytes = 0;
    loop {
        let end = loop {
            if let Some(at) = buffer.iter().position(|b| *b == b'\n') {
                break at;
            }
            let mut part = [0; 1024];
            let count = wire.read(&mut part).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            buffer.extend_from_slice(&part[..count]);
            if bytes + buffer.len() > REPLY_BYTES_MAX {
                return Err(broken());
            }
        };
        let line: Vec<u8> = buffer.drain(..=end).collect();
        bytes += line.len();
        if bytes > REPLY_BYTES_MAX {
            return Err(broken());
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        let code: u16 = line.get(..3).and_then(|code| code.parse().ok()).filter(|code| (200..600).contains(code)).ok_or_else(broken)?;
        lines.push(line.get(4..).unwrap_or_default().to_owned());
        match line.as_bytes().get(3) {
            Some(b'-') => {}
            Some(b' ') | None => return Ok(Reply { code, lines }),
            Some(_) => return Err(broken()),
        }
    }
}
