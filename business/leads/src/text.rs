//! Text that a stranger typed: trimmed, bounded, without characters that control a terminal or turn a line around.

/// Whether a character has no place in a name or an address: control characters, marks that reverse or isolate the
/// direction of what follows, and the byte order mark. Joiners and plain direction marks stay, because Persian, Hindi,
/// emoji and mixed Hebrew or Arabic lines need them.
pub fn is_refused(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}' | '\u{2028}' | '\u{2029}')
}

/// One line: trimmed, runs of spaces made one, `min` to `max` characters. The error says what is wrong and what would be right.
pub fn line(input: &str, min: usize, max: usize) -> Result<String, String> {
    if input.trim().chars().any(is_refused) {
        return Err("must not contain control characters or line breaks".to_owned());
    }
    let line = input.split_whitespace().collect::<Vec<_>>().join(" ");
    bounded(line, min, max)
}

/// Several lines: line ends made `\n`, trimmed, up to `max` characters; tabs stay.
pub fn paragraphs(input: &str, min: usize, max: usize) -> Result<String, String> {
    let unified = input.replace("\r\n", "\n").replace('\r', "\n");
    if unified.chars().any(|c| is_refused(c) && !matches!(c, '\n' | '\t')) {
        return Err("must not contain control characters".to_owned());
    }
    bounded(unified.trim().to_owned(), min, max)
}

fn bounded(text: String, min: usize, max: usize) -> Result<String, String> {
    match text.chars().count() {
        0 if min > 0 => Err("must not be empty".to_owned()),
        count if count < min => Err(format!("must have at least {min} characters")),
        count if count > max => Err(format!("must have at most {max} characters, this has {count}")),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_bounded() {
        assert_eq!(line("  Ada \u{A0} Lovelace\n", 1, 20), Ok("Ada Lovelace".to_owned()));
        assert_eq!(line("نرگس\u{200C}زاده", 1, 20), Ok("نرگس\u{200C}زاده".to_owned()));
        for bad in ["", " ", "a\nb", "a\u{0}b", "a\u{202E}b", "a\u{1B}[31m", &"x".repeat(21)] {
            assert!(line(bad, 1, 20).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn paragraphs_keep_their_lines() {
        assert_eq!(paragraphs("\r\nHello\r\n\tyou\r", 0, 20), Ok("Hello\n\tyou".to_owned()));
        assert!(paragraphs("a\u{7}", 0, 20).is_err());
        assert_eq!(paragraphs("äöü", 0, 3), Ok("äöü".to_owned()));
        assert!(paragraphs("äöüß", 0, 3).is_err());
    }
}
