//! A file of comma-separated values with names in its first line (RFC 4180), as people download it from a provider.

use std::collections::HashMap;

/// The file, read line by line.
pub(crate) struct Table<'a> {
    columns: HashMap<String, usize>,
    reader: csv::Reader<&'a [u8]>,
}

/// One line of it.
pub(crate) struct Row<'a> {
    columns: &'a HashMap<String, usize>,
    record: csv::StringRecord,
}

/// Begins to read a file; a sentence about what is wrong where it is none.
pub(crate) fn read(bytes: &[u8]) -> Result<Table<'_>, String> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let columns = reader.headers().map_err(|_| "the first line cannot be read".to_owned())?;
    let columns = columns.iter().enumerate().map(|(place, name)| (name.to_owned(), place)).collect();
    Ok(Table { columns, reader })
}

impl Table<'_> {
    /// Whether there is a column of this name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.columns.contains_key(name)
    }

    /// The lines after the first, with their places in the file. A line must be as long as the first.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = Result<(usize, Row<'_>), String>> {
        let columns = &self.columns;
        (2..).zip(self.reader.records()).map(move |(place, record)| {
            let record = record.map_err(|_| format!("line {place} cannot be read"))?;
            Ok((place, Row { columns, record }))
        })
    }
}

impl Row<'_> {
    /// What stands in a column, if it is there and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.record.get(*self.columns.get(name)?).filter(|text| !text.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_by_the_names_of_its_columns() {
        let mut table = read("\u{feff}a,\"b, c\"\r\n1,\"x \"\"y\"\"\"\r\n,2\r\n".as_bytes()).unwrap();
        assert!(table.has("a") && !table.has("z"));
        let rows: Vec<_> = table.rows().map(Result::unwrap).collect();
        assert_eq!((rows[0].0, rows[0].1.get("b, c")), (2, Some("x \"y\"")));
        assert_eq!((rows[1].0, rows[1].1.get("a"), rows[1].1.get("z")), (3, None, None));
        for broken in [&b"a,b\n1\n"[..], b"a\n\xff\n"] {
            let ended = read(broken).unwrap().rows().next().map(|row| row.map(|_| ()));
            assert_eq!(ended, Some(Err("line 2 cannot be read".to_owned())));
        }
    }
}
