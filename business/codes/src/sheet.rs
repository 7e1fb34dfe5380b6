//! Codes as a table (CSV, RFC 4180) that a spreadsheet opens without running anything. Pure.

use crate::code::Code;
use crate::destination::TargetUrl;

const COLUMNS: [&str; 14] = [
    "code",
    "address",
    "state",
    "name",
    "tags",
    "destination_kind",
    "destination",
    "fallback_url",
    "expires_at",
    "scan_limit",
    "scans_left",
    "batch",
    "created_at",
    "updated_at",
];

/// The first line, behind the mark that makes Excel read UTF-8.
pub(crate) fn header() -> Vec<u8> {
    let mut head = "\u{FEFF}".as_bytes().to_vec();
    head.extend(lines([COLUMNS.map(str::to_owned)]));
    head
}

/// One line for each code.
pub(crate) fn rows(codes: &[Code], public_url: &str) -> Vec<u8> {
    lines(codes.iter().map(|code| cells(code, public_url).map(|cell| guarded(&cell))))
}

fn cells(code: &Code, public_url: &str) -> [String; 14] {
    let text = |value: Option<String>| value.unwrap_or_default();
    let (kind, id, url) = code.state.destination().map_or(("", None, None), |destination| destination.columns());
    let destination = url.map(str::to_owned).or(id);
    [
        code.code.to_string(),
        format!("{}/{}", public_url.trim_end_matches('/'), code.code),
        code.state.word().to_owned(),
        code.name.as_str().to_owned(),
        code.tags.as_slice().join(", "),
        kind.to_owned(),
        text(destination),
        text(code.fallback.as_ref().map(TargetUrl::to_string)),
        text(code.expires_at.map(|at| at.to_string())),
        text(code.scan_limit.map(|limit| limit.to_string())),
        text(code.scans_left.map(|left| left.to_string())),
        text(code.batch.map(|batch| batch.to_string())),
        code.created_at.to_string(),
        code.updated_at.to_string(),
    ]
}

fn lines(rows: impl IntoIterator<Item = [String; 14]>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    for row in rows {
        // Writing to memory cannot fail, and every row has the same length.
        let _ = writer.write_record(&row);
    }
    writer.into_inner().unwrap_or_default()
}

/// A cell that no spreadsheet takes for a formula: an apostrophe goes before `= + - @`, their full-width forms, a tab and a
/// carriage return, at the cell's start and behind what another separator would make a cell's start (OWASP, "CSV injection").
fn guarded(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len() + 1);
    let mut is_start = true;
    for letter in cell.chars() {
        match letter {
            '=' | '+' | '-' | '@' | '\u{FF1D}' | '\u{FF0B}' | '\u{FF0D}' | '\u{FF20}' if is_start => {
                out.push('\'');
                is_start = false;
            }
            '\t' | '\r' if out.is_empty() => out.push('\''),
            ';' | '\t' | '\n' | '\r' => is_start = true,
            // The reader drops spaces and an opening quote, so that what follows still starts the cell.
            ' ' | '"' | '\u{A0}' => {}
            _ => is_start = false,
        }
        out.push(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::NewCode;
    use crate::destination::Destination;
    use crate::label::Name;
    use crate::public_code::PublicCode;
    use kernel::{Id, RawId, Timestamp, WorkspaceId};

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for (cell, safe) in [
            ("", ""),
            ("Shelf", "Shelf"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(1)", "'@SUM(1)"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\"=1", "\"'=1"),
            ("＝1", "'＝1"),
            ("a;=1", "a;'=1"),
            ("a-1", "a-1"),
            ("https://example.com/?a=-1", "https://example.com/?a=-1"),
        ] {
            assert_eq!(guarded(cell), safe, "{cell:?}");
        }
    }

    #[test]
    fn a_hostile_name_stays_one_guarded_cell_of_its_line() {
        let code = PublicCode::from_number(77).unwrap();
        let new = NewCode {
            name: Name::parse("=HYPERLINK(\"http://evil\"),x").unwrap(),
            destination: Destination::thing("card", "card_1"),
            ..NewCode::default()
        };
        let row = new.code(code, WorkspaceId::from_raw(RawId::from_bits(1)), None, Timestamp::from_seconds(0));
        let table = [header(), rows(&[row], "https://go.acme.io/")].concat();
        let text = String::from_utf8(table.clone()).unwrap();
        assert!(
            text.contains(&format!("\"{code}\",\"https://go.acme.io/{code}\",\"live\",\"'=HYPERLINK(\"\"http://evil\"\"),x\"")),
            "{text}"
        );
        let mut reader = csv::Reader::from_reader(&table["\u{FEFF}".len()..]);
        let record = reader.records().next().unwrap().unwrap();
        assert_eq!((record.len(), &record[5], &record[6], &record[11]), (14, "card", "card_1", ""));
    }
}
