//! The language of a card, and the direction that follows from it. No I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A language tag (BCP 47) in its usual case, for example `de`, `pt-BR` or `zh-Hant-TW`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Language(String);

/// Which way a script runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From left to right.
    Ltr,
    /// From right to left.
    Rtl,
}

impl Language {
    /// English.
    pub fn english() -> Self {
        Self("en".to_owned())
    }

    /// Reads a tag: a language of 2 or 3 letters, then at most three subtags (script, region, variant).
    pub fn parse(text: &str) -> Option<Self> {
        let mut tag = String::with_capacity(text.len());
        for (at, part) in text.trim().split(['-', '_']).enumerate() {
            let fits = match at {
                0 => (2..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphabetic()),
                1..=3 => (2..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()),
                _ => false,
            };
            if !fits {
                return None;
            }
            if at > 0 {
                tag.push('-');
            }
            match (at, part.len()) {
                (1.., 2) => tag.push_str(&part.to_ascii_uppercase()),
                (1.., 4) => {
                    tag.push_str(&part[..1].to_ascii_uppercase());
                    tag.push_str(&part[1..].to_ascii_lowercase());
                }
                _ => tag.push_str(&part.to_ascii_lowercase()),
            }
        }
        Some(Self(tag))
    }

    /// The first of an `Accept-Language` header that can be read, English otherwise. Weights are ignored: browsers list
    /// the languages in the order of preference.
    pub fn accepted(header: &str) -> Self {
        header.split(',').take(8).find_map(|part| Self::parse(part.split(';').next().unwrap_or(""))).unwrap_or_else(Self::english)
    }

    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language without script and region.
    pub fn primary(&self) -> &str {
        self.0.split('-').next().unwrap_or("")
    }

    /// Which way it is written: by its script where the tag names one, by the language otherwise.
    pub fn direction(&self) -> Direction {
        let script = self.0.split('-').nth(1).filter(|part| part.len() == 4 && part.bytes().all(|b| b.is_ascii_alphabetic()));
        let is_rtl = match script {
            Some(script) => matches!(script, "Arab" | "Hebr" | "Thaa" | "Syrc" | "Nkoo" | "Adlm" | "Rohg"),
            None => matches!(self.primary(), "ar" | "he" | "iw" | "fa" | "ur" | "ps" | "sd" | "ug" | "yi" | "dv" | "ckb" | "arz" | "nqo"),
        };
        if is_rtl { Direction::Rtl } else { Direction::Ltr }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Direction {
    /// As HTML's `dir` has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ltr => "ltr",
            Self::Rtl => "rtl",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_in_any_case_and_nonsense_is_refused() {
        assert_eq!(Language::parse("PT-br").unwrap().as_str(), "pt-BR");
        assert_eq!(Language::parse("zh_hant_TW").unwrap().as_str(), "zh-Hant-TW");
        for bad in ["", "e", "english", "de-", "de--DE", "de\"", "en-a-b-c-d", "é"] {
            assert_eq!(Language::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_direction_follows_the_script_then_the_language() {
        let of = |tag: &str| Language::parse(tag).unwrap().direction();
        assert_eq!((of("ar"), of("he-IL"), of("fa"), of("az-Arab")), (Direction::Rtl, Direction::Rtl, Direction::Rtl, Direction::Rtl));
        assert_eq!((of("en"), of("ur-Latn"), of("ms")), (Direction::Ltr, Direction::Ltr, Direction::Ltr));
    }

    #[test]
    fn the_first_readable_language_of_a_browser_is_taken() {
        assert_eq!(Language::accepted("*, de-AT;q=0.9, en").as_str(), "de-AT");
        assert_eq!(Language::accepted("").as_str(), "en");
    }
}
