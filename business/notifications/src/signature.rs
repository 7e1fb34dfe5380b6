//! The signature of a webhook, by the Standard Webhooks specification: `v1,` and the base64 of HMAC-SHA256 over
//! `id.timestamp.body`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use kernel::{Entropy, Timestamp};
use sha2::Sha256;

/// Bytes of a secret that we make; the specification asks for 24 to 64.
const SECRET_BYTES: usize = 32;

/// The key that an endpoint checks our signatures with; written `whsec_` and base64. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// A new one.
    pub fn generate(entropy: &Entropy) -> Self {
        Self(entropy.bytes::<SECRET_BYTES>().to_vec())
    }

    /// Reads `whsec_…` of 24 to 64 bytes.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text.strip_prefix("whsec_")?).ok()?;
        Self::from_bytes(bytes)
    }

    /// From its 24 to 64 raw bytes.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Self> {
        (24..=64).contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The raw bytes, to be sealed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The form that is shown once to whoever made the endpoint.
    pub fn reveal(&self) -> String {
        format!("whsec_{}", BASE64.encode(&self.0))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(whsec_…)")
    }
}

/// The value of `webhook-signature`: one signature per secret, the current one first, divided by spaces.
pub fn sign(secrets: &[Secret], id: &str, at: Timestamp, body: &[u8]) -> String {
    let head = format!("{id}.{}.", at.as_seconds());
    let signatures = secrets.iter().map(|secret| {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).expect("any key");
        mac.update(head.as_bytes());
        mac.update(body);
        format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
    });
    signatures.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vector_of_the_specification_is_met() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(&[secret], "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp::from_seconds(1_614_265_330), br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn during_a_rotation_both_secrets_sign() {
        let (old, new) = (Secret::generate(&Entropy::seeded(1)), Secret::generate(&Entropy::seeded(2)));
        let at = Timestamp::from_seconds(1);
        let both = sign(&[new.clone(), old.clone()], "msg_1", at, b"{}");
        assert_eq!(both, format!("{} {}", sign(&[new], "msg_1", at, b"{}"), sign(&[old], "msg_1", at, b"{}")));
    }

    #[test]
    fn a_secret_has_at_least_24_bytes_is_read_back_and_does_not_show_in_logs() {
        let secret = Secret::generate(&Entropy::seeded(3));
        assert_eq!(Secret::parse(&secret.reveal()), Some(secret.clone()));
        assert!(!format!("{secret:?}").contains(&secret.reveal()[6..]));
        for bad in ["whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"] {
            assert_eq!(Secret::parse(bad), None, "{bad}");
        }
    }
}
