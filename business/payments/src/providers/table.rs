//! A file of comma-separated values with names in its first line (RFC 4180), as people download it from a provider.

use std::collections::HashMap;

/// The file, read.
pub(crate) struct Table {
    columns: HashMap<String, usize>,
    records: Vec<csv::StringRecord>,
}

/// One line of it.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    table: &'a Table,
    record: &'a csv::StringRecord,
}

/// Reads a file; a sentence about what is wrong where it is none. Lines must be as long as the first.
pub(crate) fn read(bytes: &[u8]) -> Result<Table, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let columns = reader.headers().map_err(|_| "the first line cannot be read".to_owned())?;
    let columns = columns.iter().enumerate().map(|(place, name)| (name.to_owned(), place)).collect();
    let mut records = Vec::new();
    for (place, record) in reader.records().enumerate() {
        records.push(record.map_err(|_| format!("line {} cannot be read", place + 2))?);
    }
    Ok(Table { columns, records })
}

impl Table {
    /// Whether there is a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.contains_key(name)
    }

    /// The lines after the first.
    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        self.records.iter().map(|record| Row { table: self, record })
    }
}

impl<'a> Row<'a> {
    /// What stands in a column, if it is there and not empty.
    pub(crate) fn get(self, name: &str) -> Option<&'a str> {
        self.record.get(*self.table.columns.get(name)?).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_by_the_names_of_its_columns() {
        let table = read("\u{feff}a,\"b, c\"\r\n1,\"x \"\"y\"\"\"\r\n,2\r\n".as_bytes()).unwrap();
        let rows: Vec<_> = table.rows().collect();
        assert_eq!(rows[0].get("b, c"), Some("x \"y\""));
        assert_eq!(rows[1].get("a"), None);
        assert_eq!(rows[1].get("z"), None);
        assert!(table.has("a") && !table.has("z"));
        assert!(read(b"a,b\n1\n").is_err());
        assert!(read(b"a\n\xff\n").is_err());
    }
}
