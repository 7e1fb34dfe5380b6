//! What the first lines of a start say: where to look, how to sign in, and the code to scan.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};

use serde::Serialize;

use crate::config::{Config, Tls};

/// What a start tells, for people or, as one line of JSON, for scripts.
#[derive(Debug, Clone, Serialize)]
pub struct Greeting {
    /// The address that is listened on.
    pub listen: SocketAddr,
    /// The address that codes and mails carry.
    pub public_url: String,
    /// Signs in once, within fifteen minutes; only where the installation has a demonstration workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sign_in_url: Option<String>,
    /// What the demonstration card's code says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_url: Option<String>,
    /// The demonstration's payment link; it is paid at the simulators of payment providers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_url: Option<String>,
    /// The API's page, where one is served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_url: Option<String>,
    /// An API key of the demonstration workspace; made anew with `--json` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// The development mailbox, where no mail server is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mailbox_url: Option<String>,
    /// SHA-256 of the certificate that was made on the spot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

/// The address by which this installation is reached: the configured one, or the one that a phone on the same network can
/// use, or loopback.
pub fn reachable_url(config: &Config, listen: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.clone();
    }
    let scheme = if config.tls == Tls::Off { "http" } else { "https" };
    let host = match listen.ip() {
        ip if ip.is_unspecified() => local_network_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(host, listen.port()))
}

/// The machine's own address on the network that it would use for others. Connecting a datagram socket sends nothing.
pub fn local_network_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(10, 255, 255, 255), 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

impl Greeting {
    /// For people, with the code to scan drawn in the terminal's own characters.
    pub fn text(&self) -> String {
        let mut text = String::new();
        if let Some(card) = &self.card_url {
            let _ = write!(text, "\n{}\n  The demonstration card: {card}\n", terminal_symbol(card));
        }
        if let Some(sign_in) = &self.sign_in_url {
            let _ = writeln!(text, "  Sign in (once, within 15 minutes): {sign_in}");
        }
        if let Some(payment) = &self.payment_url {
            let _ = writeln!(
                text,
                "  A payment link: {payment}\n    pays at the simulators of payment providers; start them with: {}",
                simulators_command(&self.public_url)
            );
        }
        if let Some(api) = &self.api_url {
            let _ = writeln!(text, "  API: {api}");
        }
        if let Some(mailbox) = &self.mailbox_url {
            let _ = writeln!(text, "  No mail server is configured; mails are kept and shown at {mailbox}");
        }
        if let Some(fingerprint) = &self.certificate_sha256 {
            let _ = writeln!(
                text,
                "  The certificate was made here, so browsers ask once. Its SHA-256 begins with {}",
                &fingerprint[..16.min(fingerprint.len())]
            );
        }
        if self.listen.ip().is_loopback() {
            let port = self.listen.port();
            let _ = writeln!(
                text,
                "\n  Only this machine can open it. For a phone on the same network start with\n    --listen 0.0.0.0:{port} --tls local\n  and for a domain of your own with --public-url https://your.domain"
            );
        }
        let _ = writeln!(text, "\n  Listening on {}. Ctrl-C ends it; what was accepted is finished first.", self.listen);
        text
    }
}

/// The one command that starts the simulators of payment providers, so that their webhooks come to `public_url`. They speak
/// plain http only: on https an outcome is asked for instead, and takes up to a minute.
pub fn simulators_command(public_url: &str) -> String {
    match public_url {
        "http://127.0.0.1:8080" => "cargo run --release -p sim".to_owned(),
        https if https.starts_with("https://") => "cargo run --release -p sim".to_owned(),
        url => format!("cargo run --release -p sim -- --tessera {url}"),
    }
}

/// A QR symbol in half blocks, dark on light whatever the terminal's colours are.
fn terminal_symbol(text: &str) -> String {
    let Ok(symbol) = qrcodegen::QrCode::encode_text(&text.to_uppercase(), qrcodegen::QrCodeEcc::Medium)
        .or_else(|_| qrcodegen::QrCode::encode_text(text, qrcodegen::QrCodeEcc::Low))
    else {
        return String::new();
    };
    let (quiet, size) = (2, symbol.size());
    let mut out = String::new();
    for y in (-quiet..size + quiet).step_by(2) {
        out.push_str("  \x1b[30;47m");
        for x in -quiet..size + quiet {
            let lower = y + 1 < size + quiet && symbol.get_module(x, y + 1);
            out.push(match (symbol.get_module(x, y), lower) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        out.push_str("\x1b[0m\n");
    }
    out
}
