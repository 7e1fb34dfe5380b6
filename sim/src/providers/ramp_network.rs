//! The dialect of Ramp Network: a widget where people buy crypto (a purchase) or sell it (a sale), webhooks, and two addresses to poll.
//!
//! - The widget is opened by a browser: `GET /?hostApiKey&swapAsset&fiatValue&fiatCurrency&userAddress&finalUrl&webhookStatusUrl`, for a sale
//!   with `defaultFlow=OFFRAMP&offrampAsset&offrampWebhookV3Url`. Each opening is a purchase of its own, as in reality: a page opened
//!   twice can be paid twice. Nothing else creates one, and nothing cancels, captures or refunds one.
//! - The merchant's reference is `reference`, or `reference` in the query of the webhook's address, which is what Ramp Network really
//!   leaves to merchants. It comes back as `reference` of the purchase (UNVERIFIED; the published object has no such field).
//! - Polling: `GET /api/host-api/purchase/{id}?secret={purchaseViewToken}` and `/api/host-api/offramp/sale/{id}?secret={saleViewToken}`.
//!   Both tokens come with the first webhook; whoever missed it and its four repetitions cannot poll.
//! - A payer's decline names what follows: CANCELLED, EXPIRED, PAYMENT_FAILED and REVIEW_REJECTED take nothing and tell nobody, as there is
//!   no webhook for them; RETURNED takes the money, gives it back and says so.
//! - Webhooks are sent with their fields in another order, and with blanks, than the form that the signature covers. The signature of a
//!   RELEASED has the high one of the two values of `s`, as half of the real ones do (the published example among them): whoever takes only
//!   the low one, as wallets do, must normalise first. The words of `status` are published in parts only (UNVERIFIED).

mod javascript;
mod ramps;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k256::ecdsa::signature::Signer as _;
use k256::ecdsa::{Signature, SigningKey};
use serde_json::json;

use crate::bank::{Books, Outgoing};
use crate::call::{Call, Reply, Twist};
use crate::pages::{Decision, Page};
use crate::providers::Provider;
use javascript::Order;

/// The public key of the simulator's signatures (secp256k1), as Ramp Network publishes its own: in PEM.
pub const PUBLIC_KEY: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEkpCqPgKoKZ8FiFuXeR0h93iDEBC0M+5Q
M57asbYiuMJx6l8/eGfBiHADaJ+EnToVWOondf3QZwR3LIW5xCStVw==
-----END PUBLIC KEY-----
";
/// Its private half, known to everybody: this is a simulator.
const PRIVATE_KEY: [u8; 32] = [
    0x78, 0xa5, 0xe1, 0x01, 0x37, 0xbd, 0xe3, 0x61, 0xb7, 0x62, 0x07, 0x53, 0x78, 0xd3, 0xc1, 0x38, 0x72, 0x45, 0x42, 0x56, 0x8d, 0xf4,
    0x32, 0xe2, 0x56, 0x47, 0xb7, 0xae, 0x3e, 0x4d, 0x16, 0x46,
];

/// The dialect.
#[derive(Debug, Default)]
pub struct RampNetwork;

fn refused(status: u16, message: &str) -> Reply {
    Reply::json(status, &json!({"statusCode": status, "error": message}))
}

impl Provider for RampNetwork {
    fn operation(&self, call: &Call) -> &'static str {
        if call.parts().is_empty() { "create" } else { "query" }
    }

    fn answer(&self, books: &mut Books, call: &Call) -> Reply {
        let parts = call.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        match (call.method.as_str(), parts.as_slice()) {
            ("GET", []) => ramps::open(books, call)
                .map_or_else(|(status, message)| refused(status, &message), |url| Reply::empty(303).with("location", &url)),
            ("GET", ["api", "host-api", "purchase", id]) => ramps::poll(books, call, "purchase", id),
            ("GET", ["api", "host-api", "offramp", "sale", id]) => ramps::poll(books, call, "sale", id),
            _ => refused(404, "there is nothing at this address"),
        }
    }

    fn decide(&self, books: &mut Books, page: &Page, decision: &Decision, twist: &Twist) -> Result<Option<String>, String> {
        ramps::decide(books, page, decision, twist)
    }

    fn decline_codes(&self) -> &'static [&'static str] {
        &["PAYMENT_FAILED", "CANCELLED", "EXPIRED", "REVIEW_REJECTED", "RETURNED"]
    }

    /// Over the form with sorted fields and no blanks, whatever was sent; the key is the simulator's own.
    fn sign(&self, _secret: &str, webhook: &Outgoing, _body: &[u8], _now_ms: i64, is_forged: bool) -> Vec<(&'static str, String)> {
        let mut key = PRIVATE_KEY;
        if is_forged {
            key[0] ^= 1;
        }
        let Ok(key) = SigningKey::from_slice(&key) else { return Vec::new() };
        let mut signed = String::new();
        javascript::write(&webhook.body["event"], Order::Sorted, &mut signed);
        let mut signature: Signature = key.sign(signed.as_bytes());
        if webhook.event == "RELEASED" {
            let (r, s) = signature.split_scalars();
            signature = Signature::from_scalars(r, -s).unwrap_or(signature);
        }
        vec![("x-body-signature", STANDARD.encode(signature.to_der()))]
    }

    fn body(&self, webhook: &Outgoing) -> Vec<u8> {
        let mut sent = String::new();
        javascript::write(&webhook.body["event"], Order::Reversed, &mut sent);
        sent.into_bytes()
    }

    fn target(&self, webhook: &Outgoing) -> Option<String> {
        webhook.body["to"].as_str().map(str::to_owned)
    }

    /// Four times, three minutes apart, then never.
    fn retries_s(&self) -> &'static [u32] {
        &[180, 180, 180, 180]
    }
}
