//! The noun: a password, and the bounded place where passwords are hashed and checked.
//!
//! Hashing takes some 30 ms and 19 MiB, on purpose. So it happens outside of every unit of work, on blocking threads, two
//! at a time, with a short queue in front; beyond that a sign-in is told to come back rather than the machine stopping.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use argon2::{Algorithm, Argon2, Params, Version};
use kernel::Entropy;
use tokio::sync::Semaphore;

use crate::{Email, PeopleError};

/// Shortest password, in characters.
const CHARACTERS_MIN: usize = 10;
/// Longest password, in characters.
const CHARACTERS_MAX: usize = 200;
/// How many passwords are worked on at once.
const AT_ONCE: usize = 2;
/// How many more may wait.
const WAITING_MAX: usize = 64;

/// A password that may be set: 10 to 200 characters and not the address.
#[derive(Clone)]
pub(crate) struct NewPassword(String);

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewPassword")
    }
}

impl NewPassword {
    /// Reads a password for the person with this address.
    pub(crate) fn parse(field: &str, text: &str, email: &Email) -> Result<Self, PeopleError> {
        let characters = text.chars().count();
        if !(CHARACTERS_MIN..=CHARACTERS_MAX).contains(&characters) {
            return Err(PeopleError::field(field, format!("must have {CHARACTERS_MIN} to {CHARACTERS_MAX} characters")));
        }
        let lower = text.trim().to_lowercase();
        let mailbox = email.as_str().split('@').next().unwrap_or_default();
        if lower == email.as_str() || lower == mailbox {
            return Err(PeopleError::field(field, "must not be the email address"));
        }
        if text.chars().skip(1).zip(text.chars()).all(|(a, b)| a == b) {
            return Err(PeopleError::field(field, "must not be one character over and over"));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Hashes and checks passwords with argon2id (OWASP's parameters: 19 MiB, two passes, one lane). Cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    entropy: Entropy,
    /// The hash of nothing anybody knows, checked for unknown addresses so that they take as long as known ones. Made by the
    /// first check of all, so that a start neither waits for it nor pays its memory.
    dummy: Arc<OnceLock<String>>,
}

impl Passwords {
    /// A place for passwords, whose salts come from `entropy`.
    pub fn new(entropy: &Entropy) -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::default(), entropy: entropy.clone(), dummy: Arc::default() }
    }

    /// The PHC text of a password to keep.
    pub(crate) async fn hash(&self, password: NewPassword) -> Result<String, PeopleError> {
        let salt = self.entropy.bytes::<16>();
        self.in_turn(move || derive(password.0.as_bytes(), &salt)).await?.ok_or(PeopleError::Busy)
    }

    /// Whether `password` is the one behind `hash`; without a hash it takes as long and says no.
    pub(crate) async fn check(&self, password: &str, hash: Option<String>) -> Result<bool, PeopleError> {
        if password.len() > CHARACTERS_MAX * 4 {
            // Nobody has such a password; hashing a novel would be a gift to whoever sends it. Its length is the sender's
            // own secret, so an early answer tells nothing about the address.
            return Ok(false);
        }
        let known = hash.is_some();
        let (secret, salt) = (self.entropy.bytes::<32>(), self.entropy.bytes::<16>());
        let (password, dummy) = (password.to_owned(), self.dummy.clone());
        let work = move || {
            let dummy = dummy.get_or_init(|| derive(&secret, &salt).unwrap_or_default());
            verify(password.as_bytes(), hash.as_deref().unwrap_or(dummy))
        };
        let right = self.in_turn(work).await?;
        Ok(right && known)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, PeopleError> {
        let place = Place::take(&self.waiting).ok_or(PeopleError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| PeopleError::Busy)?;
        drop(place);
        // The turn goes along, so that a caller who hangs up does not let a third one in while the work still runs.
        let done = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(turn);
            answer
        });
        done.await.map_err(|_| PeopleError::Busy)
    }
}

/// One place in the queue, given back when it is dropped.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(waiting: &Arc<AtomicUsize>) -> Option<Self> {
        let place = Self(waiting.clone());
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX + AT_ONCE).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn argon2id() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

fn derive(password: &[u8], salt: &[u8]) -> Option<String> {
    let hash: Result<PasswordHash, _> = argon2id().hash_password_with_salt(password, salt);
    hash.ok().map(|hash| hash.to_string())
}

/// The parameters come from the kept hash, so that those of an older release still open.
fn verify(password: &[u8], hash: &str) -> bool {
    PasswordHash::new(hash).is_ok_and(|hash| argon2id().verify_password(password, &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn email() -> Email {
        Email::parse("ada.lovelace@example.com").unwrap()
    }

    #[test]
    fn a_password_is_long_enough_and_not_the_address() {
        assert!(NewPassword::parse("password", "correct horse", &email()).is_ok());
        assert!(NewPassword::parse("password", "пароль-из-слов", &email()).is_ok());
        for bad in ["", "ninechars", "Ada.Lovelace@example.com", "ada.lovelace", "aaaaaaaaaaaaaaaa", &"ab".repeat(101)] {
            assert!(NewPassword::parse("password", bad, &email()).is_err(), "{bad}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_right_password_opens_and_nothing_else_does() {
        let passwords = Passwords::new(&Entropy::seeded(1));
        let hash = passwords.hash(NewPassword::parse("password", "correct horse", &email()).unwrap()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(passwords.check("correct horse", Some(hash.clone())).await.unwrap());
        assert!(!passwords.check("correct horsf", Some(hash.clone())).await.unwrap());
        assert!(!passwords.check("correct horse", None).await.unwrap());
        assert!(!passwords.check("correct horse", Some("$argon2id$broken".into())).await.unwrap());
        assert!(!passwords.check(&"x".repeat(10_000), Some(hash)).await.unwrap());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_flood_is_told_to_come_back() {
        let passwords = Passwords::new(&Entropy::seeded(1));
        let places: Vec<_> = (0..WAITING_MAX + AT_ONCE).map(|_| Place::take(&passwords.waiting).unwrap()).collect();
        assert!(matches!(passwords.check("correct horse", None).await, Err(PeopleError::Busy)));
        drop(places);
        assert!(!passwords.check("correct horse", None).await.unwrap());
    }
}
