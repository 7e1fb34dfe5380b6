//! The noun: a person, their address, name, language and time zone. No I/O.

use kernel::Timestamp;
use serde::Serialize;

use crate::PeopleError;

kernel::id!(
    /// A person, in however many workspaces.
    pub struct PersonId = "psn"
);

/// Somebody who can sign in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Who.
    pub id: PersonId,
    /// Their address, which is how they are known.
    pub email: Email,
    /// Their name; empty after an erasure.
    pub name: String,
    /// The language that they are written to in.
    pub locale: Locale,
    /// The time zone that their times are shown in.
    pub zone: Zone,
    /// argon2id in PHC form; none when they sign in by link only.
    pub(crate) password_hash: Option<String>,
    /// Counts changes of password, so that a slow check of an old one cannot win.
    pub(crate) version: i64,
    /// When they were entered.
    pub created_at: Timestamp,
}

impl Person {
    /// Whether they have a password.
    pub fn has_password(&self) -> bool {
        self.password_hash.is_some()
    }
}

/// An address of electronic mail in lower case, at most 254 bytes, with a mailbox and a domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Email(String);

impl Email {
    /// Reads an address as a person types it: spaces around are dropped, capitals made small.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        let wrong = || PeopleError::field("email", "must be an email address such as ada@example.com");
        let text = text.trim().to_lowercase();
        let (mailbox, domain) = text.rsplit_once('@').ok_or_else(wrong)?;
        let bad = |c: char| {
            c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '(' | ')' | '[' | ']' | '\\' | ',' | ';' | ':' | '"' | '@')
        };
        let label = |l: &str| !l.is_empty() && l.len() <= 63 && !l.starts_with('-') && !l.ends_with('-');
        let fine = text.len() <= 254
            && (1..=64).contains(&mailbox.len())
            && !mailbox.contains(bad)
            && !mailbox.starts_with('.')
            && !mailbox.ends_with('.')
            && !mailbox.contains("..")
            && domain.split('.').all(label)
            && domain.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-'));
        if fine { Ok(Self(text)) } else { Err(wrong()) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands in the place of the address of a person who was erased: it can receive nothing and names nobody.
    pub(crate) fn erased(person: PersonId) -> Self {
        Self(format!("{person}@erased.invalid"))
    }

    /// From our own table, where only parsed addresses are.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

/// A name as a person writes it, 1 to 120 characters in one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonName(String);

impl PersonName {
    /// Reads a name; spaces around are dropped.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        one_line("name", text, 120).map(Self)
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One line of 1 to `max` characters without control characters, trimmed.
pub(crate) fn one_line(field: &str, text: &str, max: usize) -> Result<String, PeopleError> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > max || text.chars().any(char::is_control) {
        return Err(PeopleError::field(field, format!("must be one line of 1 to {max} characters")));
    }
    Ok(text.to_owned())
}

/// A language tag (BCP 47) such as `en` or `pt-BR`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Locale(String);

impl Locale {
    /// Reads a tag of 2 to 35 letters, digits and hyphens.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        let mut parts = text.split('-');
        let language = parts.next().unwrap_or_default();
        let fine = text.len() <= 35
            && (2..=3).contains(&language.len())
            && language.bytes().all(|b| b.is_ascii_alphabetic())
            && parts.all(|p| (1..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if fine { Ok(Self(text.to_owned())) } else { Err(PeopleError::field("locale", "must be a language tag such as en or pt-BR")) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From our own table.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl Default for Locale {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

/// The name of a time zone (IANA) such as `Europe/Lisbon`. Only its form is checked: what a zone means is looked up where
/// times are shown, and an unknown one is shown as UTC there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Zone(String);

impl Zone {
    /// Reads a name of 1 to 64 letters, digits, `/`, `_`, `+` and `-`.
    pub fn parse(text: &str) -> Result<Self, PeopleError> {
        let fine = (1..=64).contains(&text.len())
            && text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.split('/').all(|p| !p.is_empty())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'/' | b'_' | b'+' | b'-'));
        if fine { Ok(Self(text.to_owned())) } else { Err(PeopleError::field("zone", "must be a time zone such as Europe/Lisbon")) }
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// From our own table.
    pub(crate) fn stored(text: String) -> Self {
        Self(text)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_the_same_however_it_is_typed() {
        assert_eq!(Email::parse("  Ada@Example.COM ").unwrap().as_str(), "ada@example.com");
        assert_eq!(Email::parse("o'brien+news@mail.example.com").unwrap().as_str(), "o'brien+news@mail.example.com");
        assert!(Email::parse("owner@localhost").is_ok(), "an own mail server needs no dot");
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(65));
        for bad in [
            "",
            "ada",
            "@example.com",
            "ada@",
            "a b@example.com",
            "ada@exa mple.com",
            "ada@-x.com",
            "ada@x..com",
            "a\r\nBcc: b@x.com",
            "<a@x.com>",
            "a,b@x.com",
            "a@b@x.com",
            ".a@x.com",
            "a\0@x.com",
            &long,
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn languages_and_zones_are_names_and_nothing_else() {
        assert!(Locale::parse("pt-BR").is_ok() && Locale::parse("zh-Hant-TW").is_ok());
        assert!(["", "e", "en_US", "en-", "../en", "english-language-that-is-much-too-long"].iter().all(|t| Locale::parse(t).is_err()));
        assert!(["UTC", "Europe/Lisbon", "America/Argentina/Buenos_Aires", "Etc/GMT+3"].iter().all(|t| Zone::parse(t).is_ok()));
        assert!(["", "../etc", "Europe//Lisbon", "/x", "Europe/Lisbon\n"].iter().all(|t| Zone::parse(t).is_err()));
    }

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(PersonName::parse("  Ada Lovelace ").unwrap().as_str(), "Ada Lovelace");
        assert!(["", "  ", "a\nb", &"x".repeat(121)].iter().all(|t| PersonName::parse(t).is_err()));
    }

    proptest! {
        #[test]
        fn an_accepted_address_is_stable_and_cannot_break_a_mail_header(text in "\\PC{0,80}@\\PC{1,40}|[a-z\r\n@.<>, ]{0,60}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(&Email::parse(email.as_str()).unwrap(), &email);
                prop_assert!(!email.as_str().contains(['\r', '\n', '\0', '<', '>', ',', ' ']));
            }
        }
    }
}
