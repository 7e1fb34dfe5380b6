//! Text that somebody typed: trimmed, bounded, and free of what only breaks or deceives. No I/O.

use kernel::FieldFault;

/// One line of at most `chars_max` characters; none when nothing but space is left.
pub(crate) fn line(value: Option<String>, field: &str, chars_max: usize, faults: &mut Vec<FieldFault>) -> Option<String> {
    let value = value?;
    // A line break that slipped in with a paste is a space; other control characters have no place in a name.
    let words: Vec<&str> = value.split_whitespace().collect();
    bounded(words.join(" "), field, chars_max, faults)
}

/// Several lines of at most `chars_max` characters together.
pub(crate) fn lines(value: Option<String>, field: &str, chars_max: usize, faults: &mut Vec<FieldFault>) -> Option<String> {
    let value = value?.replace("\r\n", "\n").replace('\r', "\n");
    bounded(value.trim().to_owned(), field, chars_max, faults)
}

fn bounded(value: String, field: &str, chars_max: usize, faults: &mut Vec<FieldFault>) -> Option<String> {
    let value: String = value.chars().filter(|c| !is_unwanted(*c)).collect();
    let value = value.trim();
    if value.chars().count() > chars_max {
        faults.push(FieldFault::new(field, format!("must have at most {chars_max} characters")));
        return None;
    }
    (!value.is_empty()).then(|| value.to_owned())
}

/// Control characters, and the marks that turn the direction of what follows: with them a name could dress up as another
/// one. The joiners that Persian, Indic scripts and emoji need stay.
fn is_unwanted(c: char) -> bool {
    (c.is_control() && c != '\n') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_trimmed_and_loses_what_would_deceive() {
        let mut faults = Vec::new();
        assert_eq!(line(Some("  Ada \r\n Lovelace\0 ".into()), "name", 20, &mut faults).as_deref(), Some("Ada Lovelace"));
        assert_eq!(line(Some("\u{202e}evil".into()), "name", 20, &mut faults).as_deref(), Some("evil"));
        assert_eq!(line(Some(" \u{202e} ".into()), "name", 20, &mut faults), None);
        assert!(faults.is_empty());
        assert_eq!(line(Some("é".repeat(21)), "name", 20, &mut faults), None);
        assert_eq!(faults[0].field, "name");
    }

    #[test]
    fn several_lines_keep_their_breaks() {
        assert_eq!(lines(Some("a\r\nb\rc\n".into()), "note", 9, &mut Vec::new()).as_deref(), Some("a\nb\nc"));
    }
}
