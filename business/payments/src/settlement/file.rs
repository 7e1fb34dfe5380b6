//! Reports as files: the neutral CSV, read piece by piece, and what each provider writes, read as a whole.
//!
//! The neutral file has the columns of [`COLUMNS`]; any report can be converted to it. Amounts are minor units, times are
//! RFC 3339, what is not known stays empty. A field holds no line break, so that a file of any length is read in little memory.

use kernel::{Currency, Money, Timestamp};

use super::{LINE_AMOUNT_MAX, parse_kind};
use crate::provider::{Account, Provider, ReportLine};

/// The columns of the neutral file.
pub const COLUMNS: &str = "kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at";
/// The longest reference or batch, in bytes.
const NAME_MAX: usize = 200;
/// The longest line of the neutral file, in bytes.
const LINE_BYTES_MAX: usize = 4_096;

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The neutral CSV.
    Neutral,
    /// As the provider writes it.
    Provider,
}

impl Format {
    /// What the beginning of a file says.
    pub fn of(beginning: &[u8]) -> Self {
        let beginning = beginning.strip_prefix(b"\xef\xbb\xbf").unwrap_or(beginning);
        if beginning.starts_with(COLUMNS.as_bytes()) { Self::Neutral } else { Self::Provider }
    }

    /// Its word in JSON and in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::Provider => "provider",
        }
    }
}

/// How many lines a report has, counted while they were checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counted {
    /// Lines, without the first.
    pub lines: i64,
}

/// Reads the neutral file piece by piece.
#[derive(Debug, Default)]
pub struct Reader {
    rest: Vec<u8>,
    lines: usize,
}

impl Reader {
    /// The lines that are whole with this piece; a refusal names the line and the column.
    pub fn take(&mut self, piece: &[u8]) -> Result<Vec<ReportLine>, String> {
        self.rest.extend_from_slice(piece);
        let whole = self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if self.rest.len() - whole > LINE_BYTES_MAX {
            return Err(format!("line {}: is longer than {LINE_BYTES_MAX} bytes", self.lines + 1));
        }
        let rest = self.rest.split_off(whole);
        let lines = std::mem::replace(&mut self.rest, rest);
        self.read(&lines)
    }

    /// What stands behind the last line break.
    pub fn end(&mut self) -> Result<Vec<ReportLine>, String> {
        let last = std::mem::take(&mut self.rest);
        self.read(&last)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Vec<ReportLine>, String> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).trim(csv::Trim::All).from_reader(bytes);
        let mut lines = Vec::with_capacity(bytes.len() / 100);
        let mut record = csv::StringRecord::new();
        loop {
            let at = self.lines + 1;
            match reader.read_record(&mut record) {
                Ok(false) => return Ok(lines),
                Ok(true) => {}
                Err(_) => return Err(format!("line {at}: is not UTF-8 text")),
            }
            self.lines += 1;
            // The first line names the columns; it was seen by whoever chose this reader.
            if at > 1 {
                lines.push(line(&record).map_err(|words| format!("line {at}: {words}"))?);
            }
        }
    }
}

fn line(record: &csv::StringRecord) -> Result<ReportLine, String> {
    if record.len() != 9 {
        return Err(format!("has {} columns where 9 are expected", record.len()));
    }
    let field = |place: usize| record.get(place).unwrap_or_default();
    let name = |place: usize, column: &str| match field(place) {
        "" => Ok(None),
        text if text.len() > NAME_MAX || text.contains(['\0', '\n']) => Err(format!("{column} must be at most {NAME_MAX} bytes of text")),
        text => Ok(Some(text.to_owned())),
    };
    let amount = |place: usize, column: &str| match field(place).parse::<i64>() {
        Ok(amount) if amount.unsigned_abs() <= LINE_AMOUNT_MAX.unsigned_abs() => Ok(amount),
        Ok(_) => Err(format!("{column} must be at most {LINE_AMOUNT_MAX}")),
        Err(_) => Err(format!("{column} must be a whole number of minor units, such as 1250")),
    };
    let currency = Currency::parse(field(4)).map_err(|error| format!("currency: {error}"))?;
    Ok(ReportLine {
        kind: parse_kind(field(0)).ok_or("kind must be payment, refund, payout or fee")?,
        reference: name(1, "reference")?,
        provider_ref: name(2, "provider_ref")?,
        batch: name(3, "batch")?,
        gross: Money::new(amount(5, "gross_minor")?, currency),
        fee_minor: amount(6, "fee_minor")?,
        net_minor: amount(7, "net_minor")?,
        at: match field(8) {
            "" => None,
            text => Some(Timestamp::parse(text).map_err(|_| "at must be a time such as 2026-01-31T09:30:00Z".to_owned())?),
        },
    })
}

/// Checks a whole report and counts its lines.
pub fn count(format: Format, provider: &dyn Provider, account: &Account, bytes: &[u8]) -> Result<Counted, String> {
    let lines = match format {
        Format::Neutral => {
            let mut reader = Reader::default();
            let mut lines = 0;
            for piece in bytes.chunks(1 << 16) {
                lines += reader.take(piece)?.len();
            }
            lines + reader.end()?.len()
        }
        Format::Provider => {
            let lines = provider.report(account, bytes).map_err(|error| error.to_string())?;
            let is_large = |amount: i64| amount.unsigned_abs() > LINE_AMOUNT_MAX.unsigned_abs();
            if lines.iter().any(|line| [line.gross.amount_minor, line.fee_minor, line.net_minor].into_iter().any(is_large)) {
                return Err(format!("an amount is larger than {LINE_AMOUNT_MAX} minor units"));
            }
            lines.len()
        }
    };
    Ok(Counted { lines: i64::try_from(lines).unwrap_or(i64::MAX) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, size: usize) -> Result<Vec<ReportLine>, String> {
        let mut reader = Reader::default();
        let mut lines = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            lines.extend(reader.take(piece)?);
        }
        lines.extend(reader.end()?);
        Ok(lines)
    }

    #[test]
    fn however_a_file_is_cut_into_pieces_its_lines_are_the_same() {
        let file = format!("{COLUMNS}\r\npayment,pat_1,pi_1,po_1,EUR,1250,50,1200,2026-01-31T09:30:00Z\r\nfee,,\"é,x\",,EUR,-10,0,-10,\n");
        let whole = read(&file, file.len()).unwrap();
        assert_eq!(whole.len(), 2);
        assert_eq!(whole[0].reference.as_deref(), Some("pat_1"));
        assert_eq!(whole[1].provider_ref.as_deref(), Some("é,x"));
        for size in 1..file.len() {
            assert_eq!(read(&file, size).unwrap(), whole, "{size}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named_with_its_column() {
        for (line, words) in [
            ("gift,,,,EUR,1,0,1,", "line 2: kind must be payment, refund, payout or fee"),
            ("payment,,,,EUR,1.5,0,1,", "line 2: gross_minor must be a whole number of minor units, such as 1250"),
            ("payment,,,,EUR,1,0,1,yesterday", "line 2: at must be a time such as 2026-01-31T09:30:00Z"),
            ("payment,EUR", "line 2: has 2 columns where 9 are expected"),
        ] {
            assert_eq!(read(&format!("{COLUMNS}\n{line}\n"), 7), Err(words.to_owned()));
        }
    }

    #[test]
    fn a_line_without_an_end_does_not_fill_the_memory() {
        let mut reader = Reader::default();
        assert!(reader.take(&vec![b'x'; 10_000]).is_err());
    }
}
