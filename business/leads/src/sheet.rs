//! Leads as a table (CSV, RFC 4180) that a spreadsheet opens without running anything. Pure.

use crate::contact::{Email, Phone};
use crate::lead::Lead;

/// What the table starts with: a mark that makes Excel read UTF-8.
pub const BYTE_ORDER_MARK: &str = "\u{FEFF}";

const COLUMNS: [&str; 17] = [
    "id",
    "created_at",
    "status",
    "name",
    "email",
    "phone",
    "company",
    "message",
    "tags",
    "assigned_to",
    "source_kind",
    "source_id",
    "source_code",
    "consent_version",
    "consent_at",
    "submissions",
    "updated_at",
];

/// The first line.
pub fn header() -> Vec<u8> {
    let mut head = BYTE_ORDER_MARK.as_bytes().to_vec();
    head.extend(lines([COLUMNS.map(str::to_owned).to_vec()]));
    head
}

/// One line for each lead, every cell quoted and guarded.
pub fn rows(leads: &[Lead]) -> Vec<u8> {
    lines(leads.iter().map(|lead| cells(lead).into_iter().map(|cell| guarded(&cell)).collect()))
}

fn cells(lead: &Lead) -> [String; 17] {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    [
        lead.id.to_string(),
        lead.created_at.to_string(),
        lead.status.to_string(),
        lead.name.clone(),
        text(lead.email.as_ref().map(Email::as_str)),
        text(lead.phone.as_ref().map(Phone::as_str)),
        text(lead.company.as_deref()),
        text(lead.message.as_deref()),
        lead.tags.join(", "),
        lead.assigned_to.map(|member| member.to_string()).unwrap_or_default(),
        lead.source.kind.clone(),
        lead.source.id.clone(),
        text(lead.source.code.as_deref()),
        lead.consent.as_ref().map(|consent| consent.version.to_string()).unwrap_or_default(),
        lead.consent.as_ref().map(|consent| consent.at.to_string()).unwrap_or_default(),
        lead.submissions.to_string(),
        lead.updated_at.to_string(),
    ]
}

fn lines(rows: impl IntoIterator<Item = Vec<String>>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    for row in rows {
        // Writing to memory cannot fail, and every row has the same length.
        let _ = writer.write_record(&row);
    }
    writer.into_inner().unwrap_or_default()
}

/// A cell that no spreadsheet takes for a formula: an apostrophe goes before `= + - @`, their full-width forms and a
/// leading tab or carriage return (OWASP, "CSV injection"). The same after a `;`, a tab or a line break inside the cell,
/// because a spreadsheet whose separator is not the comma starts a cell there.
pub fn guarded(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len() + 1);
    let mut starts = true;
    for c in cell.chars() {
        match c {
            '=' | '+' | '-' | '@' | '\u{FF1D}' | '\u{FF0B}' | '\u{FF0D}' | '\u{FF20}' if starts => {
                out.push('\'');
                starts = false;
            }
            '\t' | '\r' if out.is_empty() => {
                out.push('\'');
                starts = true;
            }
            ';' | '\t' | '\n' | '\r' => starts = true,
            // A cell still starts after these, because an opening quote or a space is dropped by the reader.
            ' ' | '"' | '\u{A0}' => {}
            _ => starts = false,
        }
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for (cell, safe) in [
            ("", ""),
            ("Ada", "Ada"),
            ("=1+1", "'=1+1"),
            ("+4930123456", "'+4930123456"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1", " '=1"),
            ("\"=1", "\"'=1"),
            ("\t=1", "'\t'=1"),
            ("\rx", "'\rx"),
            ("＝1", "'＝1"),
            ("a;=1", "a;'=1"),
            ("a\n=HYPERLINK(\"http://x\")", "a\n'=HYPERLINK(\"http://x\")"),
            ("a\t\"@x", "a\t\"'@x"),
            ("1-2", "1-2"),
            ("ada@example.com", "ada@example.com"),
            ("a, -b", "a, -b"),
        ] {
            assert_eq!(guarded(cell), safe, "{cell:?}");
        }
    }

    #[test]
    fn a_line_is_quoted_and_ends_as_the_standard_says() {
        let line = lines([vec!["a\"b".to_owned(), "c,d".to_owned(), "e\nf".to_owned()]]);
        assert_eq!(String::from_utf8(line).unwrap(), "\"a\"\"b\",\"c,d\",\"e\nf\"\r\n");
        let head = String::from_utf8(header()).unwrap();
        assert!(head.starts_with("\u{FEFF}\"id\",\"created_at\"") && head.ends_with("\"updated_at\"\r\n"));
    }
}
