//! Codes as a table. Pure.

use gateway::table::{self, Cell};

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

/// The first line.
pub(crate) fn header() -> Vec<u8> {
    table::head(&COLUMNS)
}

/// One line for each code.
pub(crate) fn rows(codes: &[Code], public_url: &str) -> Vec<u8> {
    table::rows(codes.iter().map(|code| cells(code, public_url).map(Cell::Text)))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::NewCode;
    use crate::destination::Destination;
    use crate::label::Name;
    use crate::public_code::PublicCode;
    use kernel::{Id, RawId, Timestamp, WorkspaceId};

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
