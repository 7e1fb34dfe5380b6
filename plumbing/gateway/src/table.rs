//! Tables: CSV (RFC 4180) that a spreadsheet opens without running anything. Pure.

/// What a table starts with: a mark that makes Excel read UTF-8.
const BYTE_ORDER_MARK: &str = "\u{FEFF}";

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Words from anywhere, guarded so that no spreadsheet takes them for a formula.
    Text(String),
    /// A number that we have written ourselves, left as it is, so that it can be added up.
    Number(String),
}

/// The first line.
pub fn head(columns: &[&str]) -> Vec<u8> {
    let mut head = BYTE_ORDER_MARK.as_bytes().to_vec();
    head.extend(lines([columns]));
    head
}

/// One line for each row, every cell quoted; all rows have the same number of cells.
pub fn rows<R: IntoIterator<Item = Cell>>(rows: impl IntoIterator<Item = R>) -> Vec<u8> {
    let written = |cell| match cell {
        Cell::Text(text) => guarded(&text),
        Cell::Number(number) => number,
    };
    lines(rows.into_iter().map(|row| row.into_iter().map(written).collect::<Vec<_>>()))
}

fn lines<R: IntoIterator<Item = C>, C: AsRef<[u8]>>(rows: impl IntoIterator<Item = R>) -> Vec<u8> {
    let mut writer =
        csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).quote_style(csv::QuoteStyle::Always).from_writer(Vec::new());
    for row in rows {
        // Writing to memory cannot fail, and every row has the same length.
        let _ = writer.write_record(row);
    }
    writer.into_inner().unwrap_or_default()
}

/// A cell that no spreadsheet takes for a formula: an apostrophe goes before `= + - @`, their full-width forms and a
/// leading tab or carriage return (OWASP, "CSV injection"). The same after a `;`, a tab or a line break inside the cell,
/// because a spreadsheet whose separator is not the comma starts a cell there.
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

    #[test]
    fn no_cell_is_taken_for_a_formula() {
        for (cell, safe) in [
            ("", ""),
            ("Shelf", "Shelf"),
            ("=1+1", "'=1+1"),
            ("+4930123456", "'+4930123456"),
            ("-1", "'-1"),
            ("-2+3+cmd|' /C calc'!A0", "'-2+3+cmd|' /C calc'!A0"),
            ("@SUM(1)", "'@SUM(1)"),
            (" =1", " '=1"),
            ("\"=1", "\"'=1"),
            ("\t=1", "'\t'=1"),
            ("\r=1", "'\r'=1"),
            ("\rx", "'\rx"),
            ("＝1", "'＝1"),
            ("a;=1", "a;'=1"),
            ("a\n=HYPERLINK(\"http://x\")", "a\n'=HYPERLINK(\"http://x\")"),
            ("a\t\"@x", "a\t\"'@x"),
            ("1-2", "1-2"),
            ("a-1", "a-1"),
            ("ada@example.com", "ada@example.com"),
            ("a, -b", "a, -b"),
            ("https://example.com/?a=-1", "https://example.com/?a=-1"),
        ] {
            assert_eq!(guarded(cell), safe, "{cell:?}");
        }
    }

    #[test]
    fn a_line_is_quoted_and_ends_as_the_standard_says() {
        let text = |text: &str| Cell::Text(text.to_owned());
        let line = rows([[text("a\"b"), text("c,d"), text("e\nf"), text("-1"), Cell::Number("-1.50".to_owned())]]);
        assert_eq!(String::from_utf8(line).unwrap(), "\"a\"\"b\",\"c,d\",\"e\nf\",\"'-1\",\"-1.50\"\r\n");
        assert_eq!(String::from_utf8(head(&["id", "name"])).unwrap(), "\u{FEFF}\"id\",\"name\"\r\n");
    }
}
