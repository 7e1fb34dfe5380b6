//! Card numbers: found, refused at the door, or taken out, so that none is ever stored or logged.
//!
//! A card number here is 14 to 19 digits that fit a known issuer's range and length and Luhn's check digit
//! (`issuers`), and that touch no further letter or digit, so that the digits of a hexadecimal id are none. Inside it
//! spaces, dashes and dots may stand; groups of any size with the same separator, or the groups that are printed on cards
//! whatever separates them. Digits of other scripts count as digits. A UUID's groups are none, unless it is digits alone.
//!
//! **Refused** is a request whose address, headers or body holds one: before anything is stored, with 422 `card_number`
//! and the field's name, never its value. Looked through is what the field *means*: JSON and percent escapes are undone,
//! also one within the other, and names count as much as values. Free text is never exempt.
//!
//! **Declared** numbers are exempt: a route's field that [`CardNumberRules`] declares as a [`Declared`] form. Such a form
//! proves itself (a GTIN by its length and check digit), and what does not prove itself is looked at as free text; so a
//! declaration opens no door for anything else, and there is no list of names that are trusted. Timestamps of seconds to
//! nanoseconds, RFC 3339, UUIDs, our ids, references and codes need no declaration: none of them can look like a card
//! number before 2039. A phone number needs one only for the sake of odd spacing.
//!
//! **Redacted** are the bodies of routes that [`CardNumberRules`] names, such as providers' webhooks: they are never
//! refused, and their handler stores what [`redact_body`] leaves of them. Signatures are checked over the bytes as they came.
//!
//! Not looked at are a few headers of which nothing is kept, and pictures, which are decoded and written anew. Nothing here
//! can find a number that somebody hides on purpose (in words, in several fields, encrypted); it is for accidents.

mod content;
mod declared;
mod encoded;
mod filter;
mod issuers;
mod json;

use std::borrow::Cow;
use std::ops::Range;

pub use content::redact_body;
pub use declared::Declared;
pub use filter::CardNumberRules;
pub(crate) use filter::{refuse_body, refuse_head};

use issuers::{DIGITS_MAX, DIGITS_MIN, is_card};

/// What stands where a card number was.
pub const REMOVED: &str = "[card number removed]";
/// The most characters between two groups of digits.
const GAP_MAX: usize = 3;

/// Where the first card number of a text stands, in bytes. Escapes are not undone.
pub fn find(text: &str) -> Option<Range<usize>> {
    find_from(text.as_bytes(), 0)
}

/// The text with [`REMOVED`] in place of every card number. Escapes are not undone.
pub fn redact(text: &str) -> Cow<'_, str> {
    match redact_bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn redact_bytes(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(mut found) = find_from(text, 0) else { return Cow::Borrowed(text) };
    let (mut out, mut done) = (Vec::with_capacity(text.len()), 0);
    loop {
        out.extend_from_slice(&text[done..found.start]);
        out.extend_from_slice(REMOVED.as_bytes());
        done = found.end;
        match find_from(text, done) {
            Some(next) => found = next,
            None => break,
        }
    }
    out.extend_from_slice(&text[done..]);
    Cow::Owned(out)
}

/// What a character is to a card number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Digit(u8),
    Gap(Gap),
    Other,
}

/// What may stand between two groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    Space,
    Dash,
    Dot,
}

/// The character at `at` and its length in bytes; what is not UTF-8 is one odd byte.
fn unit(text: &[u8], at: usize) -> (Unit, usize) {
    let byte = text[at];
    let ascii = match byte {
        b'0'..=b'9' => Unit::Digit(byte - b'0'),
        b' ' => Unit::Gap(Gap::Space),
        b'-' => Unit::Gap(Gap::Dash),
        b'.' => Unit::Gap(Gap::Dot),
        _ => Unit::Other,
    };
    if byte < 0x80 {
        return (ascii, 1);
    }
    let part = |offset: usize| text.get(at + offset).filter(|byte| **byte & 0xC0 == 0x80).map(|byte| u32::from(byte & 0x3F));
    let (code, length) = match (byte, part(1), part(2)) {
        (0xC2..=0xDF, Some(second), _) => (u32::from(byte & 0x1F) << 6 | second, 2),
        (0xE0..=0xEF, Some(second), Some(third)) => (u32::from(byte & 0x0F) << 12 | second << 6 | third, 3),
        _ => return (Unit::Other, 1),
    };
    // Full-width, Arabic, Persian and Devanagari digits, as keyboards of those scripts write them.
    let zero = [0xFF10, 0x0660, 0x06F0, 0x0966].into_iter().find(|zero| (*zero..=zero + 9).contains(&code));
    let unit = match (zero, code) {
        (Some(zero), _) => Unit::Digit((code - zero) as u8),
        // No-break, thin, ideographic and invisible spaces, and the soft hyphen.
        (_, 0x00A0 | 0x00AD | 0x2000..=0x200F | 0x202F | 0x205F | 0x2060 | 0x3000 | 0xFEFF) => Unit::Gap(Gap::Space),
        (_, 0x2010..=0x2015 | 0x2212 | 0xFE58 | 0xFE63 | 0xFF0D) => Unit::Gap(Gap::Dash),
        (_, 0x00B7 | 0x2022 | 0xFF0E) => Unit::Gap(Gap::Dot),
        _ => Unit::Other,
    };
    (unit, length)
}

/// Digits without anything between them.
#[derive(Debug, Clone, Copy)]
struct Group {
    start: usize,
    digits: usize,
    /// What stands before it; nothing before the first of a chain.
    gap: Option<Gap>,
    /// Whether that is one dot and nothing else, as in a decimal fraction.
    is_fraction: bool,
}

/// The last groups that follow one another with gaps only between them, and the last digits of them.
struct Chain {
    groups: [Group; DIGITS_MAX],
    length: usize,
    digits: [u8; DIGITS_MAX],
}

impl Chain {
    fn new() -> Self {
        let nothing = Group { start: 0, digits: 0, gap: None, is_fraction: false };
        Self { groups: [nothing; DIGITS_MAX], length: 0, digits: [0; DIGITS_MAX] }
    }

    /// Adds a group whose digits these are, the last one last; only so many are kept as a card number may have.
    fn push(&mut self, group: Group, digits: &[u8; DIGITS_MAX]) {
        if self.length == DIGITS_MAX {
            self.groups.copy_within(1.., 0);
            self.length -= 1;
        }
        self.groups[self.length] = group;
        self.length += 1;
        self.digits.copy_within(group.digits.., 0);
        self.digits[DIGITS_MAX - group.digits..].copy_from_slice(&digits[..group.digits]);
    }

    /// Where the longest card number begins that ends with the last group.
    fn found(&self, text: &[u8], end: usize) -> Option<usize> {
        let groups = &self.groups[..self.length];
        let (mut digits, mut longest) = (0, None);
        // What all gaps of the window are, and whether its groups are fours with a shorter rest.
        let (mut gap, mut is_uniform, mut is_fours) = (None, true, true);
        for (at, first) in groups.iter().enumerate().rev() {
            digits += first.digits;
            if digits > DIGITS_MAX {
                break;
            }
            match groups.get(at + 1) {
                Some(second) => {
                    is_uniform &= second.gap != Some(Gap::Dot) && (gap.is_none() || gap == second.gap);
                    gap = second.gap;
                    is_fours &= first.digits == 4;
                }
                None => is_fours = first.digits <= 4,
            }
            let is_written = match &groups[at..] {
                [only] => !only.is_fraction,
                [one, two] => is_uniform || is_fours || matches!((one.digits, two.digits), (6, 13) | (8, 8)),
                [one, two, three] => is_uniform || is_fours || (one.digits, two.digits) == (4, 6) && matches!(three.digits, 4 | 5),
                _ => is_uniform || is_fours,
            };
            if digits >= DIGITS_MIN && is_written && is_card(&self.digits[DIGITS_MAX - digits..]) && !is_in_uuid(text, &(first.start..end))
            {
                longest = Some(first.start);
            }
        }
        longest
    }
}

/// Whether the range stands within a UUID that has letters too, as all but one in a million have.
fn is_in_uuid(text: &[u8], range: &Range<usize>) -> bool {
    let is_uuid = |text: &[u8]| {
        let is_shaped = text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
        is_shaped && text.iter().any(u8::is_ascii_alphabetic)
    };
    (range.end.saturating_sub(36)..=range.start).any(|start| text.get(start..start + 36).is_some_and(is_uuid))
}

/// How many bytes from `at` on are neither a digit nor beyond ASCII, eight at a time.
fn plain_bytes(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let mut at = 0;
    while let Some(eight) = text.get(at..at + 8).and_then(|eight| <[u8; 8]>::try_from(eight).ok()) {
        let eight = u64::from_le_bytes(eight);
        // Digits become 0 to 9; subtracting ten carries into the highest bit of those.
        let digits = eight ^ (ONES * 0x30);
        if (digits.wrapping_sub(ONES * 10) & !digits | eight) & (ONES * 0x80) != 0 {
            break;
        }
        at += 8;
    }
    let rest = &text[at..];
    at + rest.iter().position(|byte| byte.is_ascii_digit() || *byte >= 0x80).unwrap_or(rest.len())
}

/// One pass over the text from `from` on: each group of digits is looked at with those before it.
fn find_from(text: &[u8], from: usize) -> Option<Range<usize>> {
    let mut chain = Chain::new();
    let (mut at, mut gap, mut is_fraction) = (from, None, false);
    loop {
        if chain.length == 0 {
            at += plain_bytes(&text[at..]);
        }
        if at >= text.len() {
            return None;
        }
        let (start, mut digits, mut count) = (at, [0; DIGITS_MAX], 0);
        while at < text.len() {
            let (Unit::Digit(digit), length) = unit(text, at) else { break };
            if let Some(place) = digits.get_mut(count) {
                *place = digit;
            }
            (at, count) = (at + length, count + 1);
        }
        if count == 0 {
            at += unit(text, at).1;
            continue;
        }
        let is_touched = text[..start].last().is_some_and(u8::is_ascii_alphabetic) || text.get(at).is_some_and(u8::is_ascii_alphabetic);
        if is_touched || count > DIGITS_MAX {
            chain.length = 0;
            continue;
        }
        let is_first = chain.length == 0;
        chain.push(Group { start, digits: count, gap: gap.filter(|_| !is_first), is_fraction: is_fraction && !is_first }, &digits);
        if let Some(start) = chain.found(text, at) {
            return Some(start..at);
        }
        // What stands between this group and the next, if a next one follows.
        let (mut end, mut characters, mut kind) = (at, 0, None);
        while end < text.len() && characters < GAP_MAX {
            let (Unit::Gap(next), length) = unit(text, end) else { break };
            (end, characters, kind) = (end + length, characters + 1, kind.max(Some(next)));
        }
        if kind.is_some() && end < text.len() && matches!(unit(text, end).0, Unit::Digit(_)) {
            (gap, is_fraction) = (kind, kind == Some(Gap::Dot) && characters == 1);
            at = end;
        } else {
            chain.length = 0;
        }
    }
}
