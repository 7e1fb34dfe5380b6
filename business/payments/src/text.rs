//! Reading what callers write: each says what would be right.

use serde_json::Value;
use url::Url;

type Checked = Result<(), &'static str>;

/// A text of at most `bytes_max` bytes without control characters, if there is one.
pub(crate) fn optional(text: Option<&str>, bytes_max: usize) -> Checked {
    let is_good = |text: &str| !text.is_empty() && text.len() <= bytes_max && !text.chars().any(char::is_control);
    match text {
        Some(text) if !is_good(text) => Err(match bytes_max {
            120 => "must be 1 to 120 bytes without control characters",
            _ => "must be 1 to 200 bytes without control characters",
        }),
        _ => Ok(()),
    }
}

/// A country's two capital letters (ISO 3166-1), as they are kept.
pub(crate) fn country(text: Option<&str>) -> Checked {
    let is_good = |text: &str| risk::Country::parse(text).is_ok_and(|country| country.to_string() == text);
    match text {
        Some(text) if !is_good(text) => Err("must be the two capital letters of a country (ISO 3166-1), such as NG"),
        _ => Ok(()),
    }
}

/// A word such as `bank_transfer`.
pub(crate) fn word(text: Option<&str>) -> Checked {
    let is_good = |text: &str| (1..=40).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    match text {
        Some(text) if !is_good(text) => Err("must be 1 to 40 small letters and underscores, such as bank_transfer"),
        _ => Ok(()),
    }
}

/// The beginning of an account's code.
pub(crate) fn account(text: Option<&str>) -> Checked {
    match text {
        Some(text) if text.len() > 60 || ledger::AccountCode::parse(text).is_err() => {
            Err("must be the beginning of an account's code: small letters, digits, hyphens and dots, at most 60 bytes")
        }
        // Accounts that payments keep for themselves would say something else than they are for.
        Some(text) if text.starts_with("payments.") && text != super::commands::CREDIT_ACCOUNT => {
            Err("must not begin with payments., whose accounts are kept by the engine")
        }
        _ => Ok(()),
    }
}

/// Where a payer is sent afterwards.
pub(crate) fn return_url(text: Option<&str>) -> Checked {
    let is_good = |text: &str| {
        text.len() <= 2_000
            && Url::parse(text).is_ok_and(|url| {
                let is_here = url.host_str().is_some_and(|host| host == "localhost" || host == "127.0.0.1");
                (url.scheme() == "https" || url.scheme() == "http" && is_here) && url.username().is_empty() && url.password().is_none()
            })
    };
    match text {
        Some(text) if !is_good(text) => Err("must be an https address of at most 2,000 bytes"),
        _ => Ok(()),
    }
}

/// A JSON object of at most 2 KiB.
pub(crate) fn metadata(value: Option<&Value>) -> Checked {
    match value {
        Some(value) if !value.is_object() || value.to_string().len() > 2_048 => Err("must be a JSON object of at most 2,048 bytes"),
        _ => Ok(()),
    }
}

/// The same JSON, with numbers that stay what they are however often they are written and read: one in ten fractions is read as its
/// neighbour. What is kept would change with each event, and its history would make something else.
pub(crate) fn settled(mut value: Value) -> Value {
    for _ in 0..8 {
        match serde_json::from_str::<Value>(&value.to_string()) {
            Ok(again) if again != value => value = again,
            _ => break,
        }
    }
    value
}

/// An email address.
pub(crate) fn email(text: Option<&str>) -> Checked {
    match text {
        Some(text) if people::Email::parse(text).is_err() => Err("must be an email address such as ada@example.org"),
        _ => Ok(()),
    }
}

/// A phone number as E.164 writes it.
pub(crate) fn phone(text: Option<&str>) -> Checked {
    let is_good = |text: &str| {
        text.strip_prefix('+').is_some_and(|digits| (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    match text {
        Some(text) if !is_good(text) => Err("must be a number with its country, such as +2348012345678"),
        _ => Ok(()),
    }
}
