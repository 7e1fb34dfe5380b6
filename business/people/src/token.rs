//! The noun: a secret that is shown once and kept as a hash only. No I/O.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kernel::{Entropy, Id, KeyId, RawId};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// SHA-256 of a secret. A fast hash is right here, because 256 random bits cannot be guessed.
pub(crate) type Hash = [u8; 32];

/// A token of 256 random bits in 43 characters of base64url, for cookies and links.
pub(crate) fn token(entropy: &Entropy) -> String {
    URL_SAFE_NO_PAD.encode(entropy.bytes::<32>())
}

/// What is kept of a secret.
pub(crate) fn hash(secret: &str) -> Hash {
    Sha256::digest(secret.as_bytes()).into()
}

/// The hash of what may be a token of ours; `None` for a text that cannot be one, which spares the look-up.
pub(crate) fn hash_of_token(text: &str) -> Option<Hash> {
    let fine = text.len() == 43 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    fine.then(|| hash(text))
}

/// Whether two hashes are the same, in a time that does not tell where they differ.
pub(crate) fn same(kept: &[u8], shown: &Hash) -> bool {
    kept.ct_eq(shown).into()
}

/// What an API key starts with, so that scanners of leaked secrets recognise it.
const KEY_PREFIX: &str = "tsk_";

/// How long the text of a key is, in bytes.
pub(crate) const KEY_LENGTH: usize = KEY_PREFIX.len() + 32 + 1 + SECRET_DIGITS;

/// The text of a key: `tsk_` and its id in 32 hexadecimal digits, a dot, its secret of 256 bits in base 62.
pub(crate) fn key_text(id: KeyId, secret: &str) -> String {
    format!("{KEY_PREFIX}{:032x}.{secret}", id.raw().bits())
}

/// A key's id and the hash of its secret; `None` for a text that cannot be a key.
pub(crate) fn parse_key(text: &str) -> Option<(KeyId, Hash)> {
    let (id, secret) = text.strip_prefix(KEY_PREFIX)?.split_once('.')?;
    let hex = id.len() == 32 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let base62 = secret.len() == SECRET_DIGITS && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    if !hex || !base62 {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok()?;
    Some((KeyId::from_raw(RawId::from_bits(id)), hash(secret)))
}

const SECRET_DIGITS: usize = 43;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The secret of a key: 256 random bits in 43 digits of base 62, so that a double click selects all of it.
pub(crate) fn key_secret(entropy: &Entropy) -> String {
    base62(entropy.bytes())
}

fn base62(mut number: [u8; 32]) -> String {
    let mut digits = [0_u8; SECRET_DIGITS];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0_u32;
        for byte in &mut number {
            let value = (rest << 8) | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = BASE62[rest as usize];
    }
    digits.iter().map(|b| char::from(*b)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_back_from_its_text() {
        let entropy = Entropy::seeded(7);
        let id = KeyId::from_raw(RawId::from_bits(0xABC));
        let secret = key_secret(&entropy);
        let text = key_text(id, &secret);
        assert_eq!((text.len(), KEY_LENGTH), (80, 80));
        let (found, shown) = parse_key(&text).unwrap();
        assert_eq!(found, id);
        assert!(same(&hash(&secret), &shown));
        assert!(!same(&hash("another"), &shown));
        assert!(!same(b"short", &shown));
    }

    #[test]
    fn what_is_not_a_key_is_refused_before_any_look_up() {
        let good = key_text(KeyId::from_raw(RawId::from_bits(1)), &key_secret(&Entropy::seeded(1)));
        for bad in [
            "",
            "tsk_",
            "tsk_1.2",
            &good[1..],
            &good[..good.len() - 1],
            &good.replace('.', "-"),
            &format!("{good}x"),
            &good.replace("tsk_0", "tsk_G"),
        ] {
            assert!(parse_key(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn base_62_counts_as_it_should() {
        let number = |n: u16| {
            let mut bytes = [0; 32];
            bytes[30..].copy_from_slice(&n.to_be_bytes());
            base62(bytes)
        };
        assert!(number(0).bytes().all(|b| b == b'0'));
        assert!(number(61).ends_with("0z") && number(62).ends_with("010"));
        assert_eq!(base62([255; 32]).len(), 43);
        assert!(!base62([255; 32]).starts_with('0'), "43 digits are needed for the largest");
    }

    #[test]
    fn a_token_is_not_mistaken() {
        let text = token(&Entropy::seeded(3));
        assert_eq!(hash_of_token(&text), Some(hash(&text)));
        assert!(
            ["", "x", &text[1..], &format!("{}=", &text[1..]), &format!("{}\u{e9}", &text[2..])].iter().all(|t| hash_of_token(t).is_none())
        );
    }
}
