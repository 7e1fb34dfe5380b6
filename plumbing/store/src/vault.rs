//! The vault: secrets that are stored are encrypted under a key that is neither in the database nor in a backup.

use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use kernel::Entropy;
use sha2::{Digest, Sha256};

use crate::StoreError;

const VERSION: u8 = 1;
const NONCE_BYTES: usize = 24;

/// Seals and opens stored secrets (XChaCha20-Poly1305).
#[derive(Clone)]
pub struct Vault {
    cipher: XChaCha20Poly1305,
    key: [u8; 32],
    entropy: Entropy,
}

impl Vault {
    /// With a key of 32 bytes.
    pub fn new(key: &[u8; 32], entropy: Entropy) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.into()), key: *key, entropy }
    }

    /// With the key in a file, which is made where it is missing, readable by its owner alone.
    pub fn in_file(path: &Path, entropy: Entropy) -> Result<Self, StoreError> {
        Ok(Self::new(&key_file(path, &entropy)?, entropy))
    }

    /// A key for another purpose that follows from the vault's own, the same after every start. `purpose` is a fixed text of
    /// the program, so that no two uses share a key.
    pub fn derive(&self, purpose: &'static str) -> [u8; 32] {
        Sha256::new().chain_update(b"tessera derived key").chain_update(self.key).chain_update(purpose).finalize().into()
    }

    /// Encrypts `plain`; `purpose` (a row's id, say) must be the same when it is opened, so that a sealed secret that was
    /// moved to another row does not open.
    pub fn seal(&self, plain: &[u8], purpose: &str) -> Vec<u8> {
        let nonce = self.entropy.bytes::<NONCE_BYTES>();
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(&nonce);
        let payload = Payload { msg: plain, aad: purpose.as_bytes() };
        sealed.extend(self.cipher.encrypt(&XNonce::from(nonce), payload).expect("a secret is far below the cipher's limit of length"));
        sealed
    }

    /// Decrypts what [`seal`](Self::seal) made.
    pub fn open(&self, sealed: &[u8], purpose: &str) -> Result<Vec<u8>, StoreError> {
        let refused = || StoreError::setup("a stored secret does not open: was the file secret.key replaced? Put the old one back");
        let (version, rest) = sealed.split_first().ok_or_else(refused)?;
        let (nonce, body) = rest.split_first_chunk::<NONCE_BYTES>().ok_or_else(refused)?;
        if *version != VERSION {
            return Err(refused());
        }
        self.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: body, aad: purpose.as_bytes() }).map_err(|_| refused())
    }
}

/// Reads a key of 64 hexadecimal digits, or makes one.
pub fn key_file(path: &Path, entropy: &Entropy) -> Result<[u8; 32], StoreError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let refused = |what: &str| StoreError::setup(format!("the key file {} {what}", path.display()));
    match std::fs::read_to_string(path) {
        Ok(text) => decode(text.trim())
            .ok_or_else(|| refused("must hold 64 hexadecimal digits: put the right one back, or what was sealed with it is lost")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let key = entropy.bytes::<32>();
            let text: String = key.iter().map(|byte| format!("{byte:02x}")).chain(["\n".into()]).collect();
            let written = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            });
            written.map_err(|error| refused(&format!("cannot be made: {error}")))?;
            if let Some(folder) = path.parent() {
                let _ = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
            }
            Ok(key)
        }
        Err(error) => Err(refused(&format!("cannot be read: {error}"))),
    }
}

fn decode(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_only_whole_and_for_its_own_purpose() {
        let vault = Vault::new(&[7; 32], Entropy::seeded(1));
        let sealed = vault.seal(b"whsec_x", "endpoint 1");
        assert_eq!(vault.open(&sealed, "endpoint 1").unwrap(), b"whsec_x");
        assert!(vault.open(&sealed, "endpoint 2").is_err());
        assert!(vault.open(&sealed[..sealed.len() - 1], "endpoint 1").is_err());
        assert!(vault.open(&[], "endpoint 1").is_err());
        assert!(Vault::new(&[8; 32], Entropy::seeded(1)).open(&sealed, "endpoint 1").is_err());
        assert_ne!(sealed, vault.seal(b"whsec_x", "endpoint 1"), "every sealing has a nonce of its own");
    }
}
