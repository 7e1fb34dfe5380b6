//! Lines of our bank's statements: date, amount_minor, currency, reference.

use kernel::{Currency, Money};
use sha2::{Digest, Sha256};

use super::LINE_AMOUNT_MAX;

kernel::id!(
    /// A line of a bank statement.
    pub struct BankLineId = "pbk"
);

/// A line of a bank statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BankLine {
    /// The day it was booked on, as `2026-01-31`.
    pub booked_on: String,
    /// How much; below zero for what left the bank.
    pub amount: Money,
    /// What the bank wrote beside it.
    pub reference: String,
    /// The same line in another statement has the same: SHA-256 of its values and of how many like it stood before it.
    pub digest: String,
}

impl BankLine {
    /// What of the reference may be the name of a batch: all of it, and each word.
    pub fn names(&self) -> Vec<String> {
        names(&self.reference)
    }
}

/// What of a bank's reference may be the name of a batch.
pub(crate) fn names(reference: &str) -> Vec<String> {
    let whole = reference.trim();
    let mut names: Vec<String> = vec![whole.to_owned()];
    names
        .extend(whole.split(|c: char| c.is_whitespace() || matches!(c, ',' | ';' | ':')).filter(|word| word.len() >= 4).map(str::to_owned));
    names.retain(|name| !name.is_empty());
    names.truncate(20);
    names
}

/// Reads a statement; a refusal names the line and the column.
pub fn read_bank_lines(bytes: &[u8]) -> Result<Vec<BankLine>, String> {
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let header = reader.headers().map_err(|_| "the first line must name the columns".to_owned())?;
    let columns: Vec<&str> = header.iter().map(|name| name.trim_start_matches('\u{feff}')).collect();
    if columns != ["date", "amount_minor", "currency", "reference"] {
        return Err("the first line must be date,amount_minor,currency,reference".to_owned());
    }
    let mut lines: Vec<BankLine> = Vec::new();
    let mut seen = std::collections::HashMap::<[u8; 32], u32>::new();
    for (index, record) in reader.records().enumerate() {
        let at = index + 2;
        let record = record.map_err(|_| format!("line {at}: is not four columns of a CSV file"))?;
        let field = |place: usize| record.get(place).unwrap_or_default();
        let booked_on = field(0).to_owned();
        let is_day = booked_on.len() == 10 && kernel::Timestamp::parse(&format!("{booked_on}T00:00:00Z")).is_ok();
        if !is_day {
            return Err(format!("line {at}: date must be a day such as 2026-01-31"));
        }
        let amount_minor: i64 = field(1).parse().map_err(|_| format!("line {at}: amount_minor must be a whole number of minor units"))?;
        if amount_minor.unsigned_abs() > LINE_AMOUNT_MAX.unsigned_abs() {
            return Err(format!("line {at}: amount_minor must be at most {LINE_AMOUNT_MAX}"));
        }
        let currency = Currency::parse(field(2)).map_err(|error| format!("line {at}: currency: {error}"))?;
        let reference = field(3).to_owned();
        if reference.len() > 200 || reference.contains('\0') {
            return Err(format!("line {at}: reference must be at most 200 bytes of text"));
        }
        // A statement may hold the same line twice, as two payments of the same day; two statements that overlap hold it as often.
        let values = Sha256::digest(format!("{booked_on}\n{amount_minor}\n{currency}\n{reference}"));
        let before = seen.entry(values.into()).or_default();
        let digest = super::digest(&[values.as_slice(), &before.to_be_bytes()].concat());
        *before += 1;
        lines.push(BankLine { booked_on, amount: Money::new(amount_minor, currency), reference, digest });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_read_and_its_repeated_lines_stay_apart() {
        let file = b"date,amount_minor,currency,reference\n2026-01-31,1912,USD,STRIPE po_1\n2026-01-31,1912,USD,STRIPE po_1\n";
        let lines = read_bank_lines(file).unwrap();
        assert_eq!(lines.len(), 2);
        assert_ne!(lines[0].digest, lines[1].digest);
        assert_eq!(lines, read_bank_lines(file).unwrap(), "the same file has the same lines");
        assert!(lines[0].names().contains(&"po_1".to_owned()));
    }

    #[test]
    fn a_statement_that_cannot_be_right_is_refused_with_its_line_and_column() {
        let refusals = [
            ("a,b\n", "the first line must be date,amount_minor,currency,reference"),
            ("date,amount_minor,currency,reference\n31.1.2026,1,USD,x\n", "line 2: date must be a day such as 2026-01-31"),
            ("date,amount_minor,currency,reference\n2026-01-31,1.5,USD,x\n", "line 2: amount_minor must be a whole number of minor units"),
        ];
        for (file, words) in refusals {
            assert_eq!(read_bank_lines(file.as_bytes()), Err(words.to_owned()));
        }
    }
}
