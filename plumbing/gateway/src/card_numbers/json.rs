//! The texts and numbers of a JSON document, one after the other, each with its path. It passes over what is malformed.

use std::ops::Range;

use super::encoded::unescaped;
use super::{REMOVED, redact};

/// Deeper levels are passed over without a path; the extractors refuse such documents anyway.
const LEVELS_MAX: usize = 128;
/// The most characters of a path that are shown.
const PATH_MAX: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Name,
    Text,
    Number,
}

/// Where a text stands, without its quotes, or a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) at: Range<usize>,
}

enum Level {
    List(usize),
    /// The last name, and whether a name comes next.
    Fields(Range<usize>, bool),
}

pub(super) struct Tokens<'a> {
    json: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    levels_beyond: usize,
}

impl<'a> Tokens<'a> {
    pub(super) fn of(json: &'a [u8]) -> Self {
        Self { json, at: 0, levels: Vec::new(), levels_beyond: 0 }
    }

    /// The path of the last token, as problems write it. A name that is itself the matter is not repeated.
    pub(super) fn path(&self, kind: Kind) -> String {
        let mut path = String::new();
        for (depth, level) in self.levels.iter().enumerate() {
            let is_last = depth + 1 == self.levels.len();
            match level {
                Level::List(index) => path.push_str(&format!("[{index}]")),
                Level::Fields(name, _) => {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    let raw = &self.json[name.clone()];
                    match kind {
                        Kind::Name if is_last => path.push_str(REMOVED),
                        _ => path.push_str(&String::from_utf8_lossy(&unescaped(raw).unwrap_or_else(|| raw.to_vec()))),
                    }
                }
            }
        }
        redact(&path).chars().filter(|letter| *letter != '\0').take(PATH_MAX).collect()
    }

    fn open(&mut self, level: Level) {
        if self.levels.len() < LEVELS_MAX {
            self.levels.push(level);
        } else {
            self.levels_beyond += 1;
        }
    }

    fn close(&mut self) {
        if self.levels_beyond > 0 {
            self.levels_beyond -= 1;
        } else {
            self.levels.pop();
        }
    }

    /// From after the opening quote to the closing one, or the end.
    fn text(&mut self) -> Range<usize> {
        let start = self.at;
        while let Some(byte) = self.json.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return start..self.at - 1;
                }
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at = self.json.len();
        start..self.at
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        while let Some(byte) = self.json.get(self.at) {
            let start = self.at;
            self.at += 1;
            let is_shallow = self.levels_beyond == 0;
            match byte {
                b'{' => self.open(Level::Fields(start..start, true)),
                b'[' => self.open(Level::List(0)),
                b'}' | b']' => self.close(),
                b',' | b':' if is_shallow => match self.levels.last_mut() {
                    Some(Level::List(index)) if *byte == b',' => *index += 1,
                    Some(Level::Fields(_, is_name_next)) => *is_name_next = *byte == b',',
                    _ => {}
                },
                b'"' => {
                    let at = self.text();
                    let kind = match self.levels.last_mut() {
                        Some(Level::Fields(name, true)) if is_shallow => {
                            *name = at.clone();
                            Kind::Name
                        }
                        _ => Kind::Text,
                    };
                    return Some(Token { kind, at });
                }
                b'0'..=b'9' => {
                    while self.json.get(self.at).is_some_and(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-')) {
                        self.at += 1;
                    }
                    return Some(Token { kind: Kind::Number, at: start..self.at });
                }
                _ => {}
            }
        }
        None
    }
}

/// The digits before the decimal point of a number without sign, each 0 to 9; an exponent moves the point.
pub(super) fn whole_digits(number: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(number).unwrap_or_default();
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('0');
    let length = exponent.parse::<i64>().ok().and_then(|exponent| i64::try_from(whole.len()).ok()?.checked_add(exponent));
    // Twenty digits are one too many already.
    let length = length.and_then(|length| usize::try_from(length).ok()).map_or(0, |length| length.min(20));
    let all = whole.bytes().chain(fraction.bytes()).chain(std::iter::repeat(b'0'));
    all.take(length).map(|digit| digit.wrapping_sub(b'0') % 10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(json: &str) -> Vec<(String, Kind, String)> {
        let mut tokens = Tokens::of(json.as_bytes());
        let mut all = Vec::new();
        while let Some(token) = tokens.next() {
            all.push((tokens.path(token.kind), token.kind, json[token.at].to_owned()));
        }
        all
    }

    #[test]
    fn every_text_and_number_has_its_path() {
        let found = tokens(r#"{"a": {"b": ["x", {"c\"d": 1.5e3}]}, "e": true, "f": "}", "g": -7}"#);
        let values: Vec<(&str, &str)> =
            found.iter().filter(|(_, kind, _)| *kind != Kind::Name).map(|(path, _, text)| (path.as_str(), text.as_str())).collect();
        assert_eq!(values, [("a.b[0]", "x"), ("a.b[1].c\"d", "1.5e3"), ("f", "}"), ("g", "7")]);
        assert_eq!(found[0], (REMOVED.to_owned(), Kind::Name, "a".to_owned()));
        assert_eq!(tokens(r#"[1,[2,3],"x"]"#).last().unwrap().0, "[2]");
    }

    #[test]
    fn what_is_malformed_is_passed_over_to_its_end() {
        assert_eq!(tokens(r#"{"a": "b"#).last().unwrap().2, "b");
        assert_eq!(tokens(r#"]]}{"a"}, 5 "\"#).len(), 3);
        let deep = "[".repeat(1_000) + "7" + &"]".repeat(1_000) + r#",{"a": 1}"#;
        assert_eq!(tokens(&deep).len(), 3);
    }

    #[test]
    fn a_number_has_the_same_whole_digits_however_it_is_written() {
        let digits = |text: &str| whole_digits(text.as_bytes()).iter().map(|digit| char::from(b'0' + digit)).collect::<String>();
        for same in ["4242424242424242", "4242424242424242.5", "4.242424242424242e15", "424242424242424200E-2", "0.4242424242424242e16"] {
            assert_eq!(digits(same), "4242424242424242", "{same}");
        }
        assert_eq!(digits("6.5243793123456789"), "6");
        assert_eq!(digits("1e999999999999999999999"), "");
        assert_eq!(digits("1e400").len(), 20);
    }
}
