//! Addresses of a person: email and telephone, in one normal form each, so that equal ones are found to be equal. Pure.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::text;

/// An email address in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Email(String);

/// A telephone number: digits, with a leading `+` when it is international; national ones stay as they were given.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Phone(String);

/// An address that cannot be one, with what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ContactError(pub &'static str);

const EMAIL_SHAPE: ContactError = ContactError("must be an email address such as ada@example.com");
const PHONE_SHAPE: ContactError = ContactError("must be a telephone number of 7 to 15 digits such as +49 30 123456");

impl Email {
    /// Reads an address: one `@`, a local part of up to 64 bytes, a domain name with a dot, 254 bytes in all (RFC 5321).
    /// Names in any script are allowed; quoted local parts, address literals and single-label domains are not.
    pub fn parse(input: &str) -> Result<Self, ContactError> {
        let email = input.trim().to_lowercase();
        let (local, domain) = email.split_once('@').ok_or(EMAIL_SHAPE)?;
        let local_fits = (1..=64).contains(&local.len()) && local.chars().all(is_local) && local.split('.').all(|part| !part.is_empty());
        if email.len() > 254 || !local_fits || !is_domain(domain) {
            return Err(EMAIL_SHAPE);
        }
        Ok(Self(email))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_local(c: char) -> bool {
    is_letter(c)
        || matches!(c, '.' | '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '/' | '=' | '?' | '^' | '_' | '`' | '{' | '|' | '}' | '~')
}

/// Letters, digits and hyphens; outside of ASCII everything that can be seen, because a combining mark (Hindi, Thai)
/// belongs to a name too.
fn is_letter(c: char) -> bool {
    let is_seen = |c: char| !c.is_whitespace() && !text::is_refused(c) && !matches!(c, '\u{200B}'..='\u{200F}' | '\u{2060}'..='\u{2064}');
    c.is_ascii_alphanumeric() || c == '-' || (!c.is_ascii() && is_seen(c))
}

fn is_domain(domain: &str) -> bool {
    let is_label =
        |label: &str| (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(is_letter);
    let Some((_, top)) = domain.rsplit_once('.') else { return false };
    domain.split('.').all(is_label) && !top.bytes().all(|b| b.is_ascii_digit())
}

impl Phone {
    /// Reads a number as people write it: spaces, dots, dashes, slashes and brackets are dropped, `00` at the start
    /// becomes `+`, `(0)` after a country code is dropped, Arabic and Persian digits become ours. 7 to 15 digits: E.164 has no
    /// more, and fewer could be part of anything.
    pub fn parse(input: &str) -> Result<Self, ContactError> {
        let mut written: String = input.trim().chars().map(western_digit).collect();
        if written.starts_with('+') || written.starts_with("00") {
            written = written.replacen("(0)", "", 1);
        }
        let mut phone = String::with_capacity(16);
        for c in written.chars() {
            match c {
                '0'..='9' => phone.push(c),
                '+' if phone.is_empty() => phone.push(c),
                ' ' | '\u{A0}' | '\u{202F}' | '.' | '-' | '\u{2010}'..='\u{2015}' | '/' | '(' | ')' => {}
                // Direction marks that come along when a number is copied out of a right-to-left page.
                '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => {}
                _ => return Err(PHONE_SHAPE),
            }
            if phone.len() > 18 {
                return Err(PHONE_SHAPE);
            }
        }
        if let Some(rest) = phone.strip_prefix("00") {
            phone = format!("+{rest}");
        }
        let digits = phone.trim_start_matches('+');
        if !(7..=15).contains(&digits.len()) || phone.starts_with("+0") {
            return Err(PHONE_SHAPE);
        }
        Ok(Self(phone))
    }

    /// The number.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn western_digit(c: char) -> char {
    let digit = match c {
        '\u{660}'..='\u{669}' => u32::from(c) - 0x660,
        '\u{6F0}'..='\u{6F9}' => u32::from(c) - 0x6F0,
        _ => return c,
    };
    char::from_digit(digit, 10).unwrap_or(c)
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = ContactError;
            fn from_str(text: &str) -> Result<Self, ContactError> {
                Self::parse(text)
            }
        }
    )*};
}
as_text!(Email, Phone);

/// Whom an export or an erasure is about, found by either address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Their address.
    pub email: Option<Email>,
    /// Their number.
    pub phone: Option<Phone>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_email_address_is_normalised() {
        for (given, kept) in [
            (" Ada@Example.COM ", "ada@example.com"),
            ("o'neil+fair@mail.example.co.uk", "o'neil+fair@mail.example.co.uk"),
            ("MÜLLER@Bücher.example", "müller@bücher.example"),
            ("उदाहरण@उदाहरण.भारत", "उदाहरण@उदाहरण.भारत"),
        ] {
            assert_eq!(Email::parse(given).map(|e| e.0), Ok(kept.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_an_email_address_is_refused() {
        for bad in [
            "",
            "@",
            "a@",
            "@b.com",
            "a@b",
            "a@localhost",
            "a@b@c.com",
            "a b@c.com",
            "a@b..com",
            "a@.com",
            "a@b.com.",
            ".a@b.com",
            "a.@b.com",
            "a..b@c.com",
            "a@-b.com",
            "a@b-.com",
            "a@127.0.0.1",
            "a@[127.0.0.1]",
            "\"a\"@b.com",
            "a\r\nBcc: x@y.com",
            "a@b.com\n,c@d.com",
            "a<b@c.com>",
            "a@b,c.com",
            "a@b.com;",
            "a\u{0}@b.com",
            "a@b\u{202E}.com",
            &format!("{}@b.com", "x".repeat(65)),
            &format!("a@{}.com", "x".repeat(64)),
            &format!("a@{}comm", "xxxxxxxxx.".repeat(25)),
            "a\u{200B}@b.com",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_telephone_number_is_normalised() {
        for (given, kept) in [
            ("+49 (0)30 123-456", "+4930123456"),
            ("0049 30 123456", "+4930123456"),
            ("030 / 123 456", "030123456"),
            ("(212) 555.0100", "2125550100"),
            ("\u{202A}+234\u{A0}803 555 0100\u{202C}", "+2348035550100"),
            ("+٩٧١ ٥٠ ١٢٣ ٤٥٦٧", "+971501234567"),
            ("۰۹۱۲۳۴۵۶۷۸۹", "09123456789"),
        ] {
            assert_eq!(Phone::parse(given).map(|p| p.0), Ok(kept.to_owned()), "{given}");
        }
    }

    #[test]
    fn what_cannot_be_a_telephone_number_is_refused() {
        for bad in [
            "",
            "+",
            "123456",
            "+1234567890123456",
            "12+34567",
            "ring me",
            "123456x5",
            "+0123456",
            "12345\n67",
            "=1+12345",
            &"1".repeat(10_000),
        ] {
            assert!(Phone::parse(bad).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(text in "\\PC{0,40}") {
            if let Ok(email) = Email::parse(&text) {
                prop_assert_eq!(Email::parse(email.as_str()), Ok(email));
            }
            if let Ok(phone) = Phone::parse(&text) {
                prop_assert_eq!(Phone::parse(phone.as_str()), Ok(phone));
            }
        }
    }
}
