//! What can be asked about codes.

use kernel::{Timestamp, WorkspaceId};
use store::{Reads, StoreError, params};

use crate::code::{BatchId, Code, Recording, Resolved};
use crate::destination::RequestId;
use crate::error::CodeError;
use crate::public_code::{BITS, LENGTH, PublicCode};
use crate::sql;

/// What a scan needs to know, whosever code it is: one row, found by its key.
pub async fn resolve_everywhere(reads: &mut impl Reads, code: PublicCode) -> Result<Option<Resolved>, StoreError> {
    reads.row(&sql::RESOLVE_CODE_EVERYWHERE, params![sql::key(code)], sql::resolved).await
}

/// The code, if the workspace has it.
pub async fn find(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode) -> Result<Option<Code>, StoreError> {
    reads.row(&sql::FIND_CODE, params![&workspace, sql::key(code)], sql::code).await
}

/// The code, or `NotFound`.
pub async fn get(reads: &mut impl Reads, workspace: WorkspaceId, code: PublicCode) -> Result<Code, CodeError> {
    find(reads, workspace, code).await?.ok_or(CodeError::NotFound)
}

/// The codes that lead to another module's thing, paused ones included; at most `limit`.
pub async fn of_thing(reads: &mut impl Reads, workspace: WorkspaceId, kind: &str, id: &str, limit: u32) -> Result<Vec<Code>, StoreError> {
    reads.rows(&sql::LIST_CODES_OF_THING, params![&workspace, kind, id, limit], sql::code).await
}

/// Which codes are wanted; everything together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// `minted`, `live`, `paused` or `retired`.
    pub state: Option<String>,
    /// Part of the name, in any case, or how the code begins.
    pub search: Option<String>,
    /// A tag, as [`label::tag`](crate::label::tag) reads it.
    pub tag: Option<String>,
    /// Minted by this call; stands above `tag`.
    pub batch: Option<BatchId>,
}

/// Where a page of the list begins: after this code, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    created_at: Timestamp,
    code: PublicCode,
}

impl Cursor {
    /// After `code`.
    pub fn after(code: &Code) -> Self {
        Self { created_at: code.created_at, code: code.code }
    }

    /// As it was handed out.
    pub fn parse(text: &str) -> Option<Self> {
        let (micros, code) = text.split_once('-')?;
        Some(Self { created_at: Timestamp::from_micros(micros.parse().ok()?), code: code.parse().ok()? })
    }
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.created_at.as_micros(), self.code)
    }
}

/// At most `limit` codes that match `filter`, newest first, after `cursor`.
pub async fn list(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    filter: &Filter,
    cursor: Option<Cursor>,
    limit: u32,
) -> Result<Vec<Code>, StoreError> {
    let (before, before_code) = cursor.map_or((i64::MAX, i64::MAX), |c| (c.created_at.as_micros(), sql::key(c.code)));
    let state = filter.state.as_deref().unwrap_or_default();
    let search = filter.search.as_deref().map(str::trim).unwrap_or_default();
    let pattern = if search.is_empty() { String::new() } else { pattern(search) };
    let (from, to) = code_range(search);
    match (&filter.batch, &filter.tag) {
        (Some(batch), tag) => {
            let mut codes = reads
                .rows(
                    &sql::LIST_CODES_OF_BATCH,
                    params![&workspace, before, before_code, state, &pattern, from, to, limit, batch],
                    sql::code,
                )
                .await?;
            if let Some(tag) = tag {
                codes.retain(|code| code.tags.as_slice().contains(tag));
            }
            Ok(codes)
        }
        (None, Some(tag)) => {
            reads
                .rows(&sql::LIST_TAGGED_CODES, params![&workspace, before, before_code, state, &pattern, from, to, limit, tag], sql::code)
                .await
        }
        (None, None) => {
            reads.rows(&sql::LIST_CODES, params![&workspace, before, before_code, state, &pattern, from, to, limit], sql::code).await
        }
    }
}

/// `like` for a part of a lower-case name.
fn pattern(search: &str) -> String {
    let mut pattern = String::from("%");
    for letter in search.to_lowercase().chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// The numbers of the codes that begin with `search`; none when it is no beginning of a code of at least three letters.
fn code_range(search: &str) -> (i64, i64) {
    let letters = search.as_bytes();
    if letters.len() >= LENGTH {
        return PublicCode::parse(letters).map_or((0, 0), |code| (sql::key(code), sql::key(code) + 1));
    }
    if letters.len() < 3 {
        return (0, 0);
    }
    let Some(values) = letters.iter().map(|letter| crate::public_code::value(*letter)).collect::<Option<Vec<u8>>>() else { return (0, 0) };
    let number = values.iter().fold(0_i64, |number, value| (number << 5) | i64::from(*value));
    let rest = BITS - 5 * values.len() as u32;
    (number << rest, (number + 1) << rest)
}

/// Parameters as a page gets them after a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The code that was scanned.
    pub code: PublicCode,
    /// A JSON object.
    pub parameters: String,
}

/// The parameters bound under `request`, whosever code they belong to, as long as that is live.
pub async fn parameters_everywhere(reads: &mut impl Reads, request: RequestId) -> Result<Option<Asked>, StoreError> {
    let now = reads.now();
    let found = reads
        .row(&sql::FIND_PARAMETERS_EVERYWHERE, params![&request, now], |row| {
            Ok((row.get::<i64>("code")?, row.get::<String>("parameters")?))
        })
        .await?;
    Ok(found.and_then(|(number, parameters)| {
        let code = u64::try_from(number).ok().and_then(PublicCode::from_number)?;
        Some(Asked { code, parameters })
    }))
}

/// What may be recorded of a workspace's scans where a code says nothing else.
pub async fn recording(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Recording, StoreError> {
    let found = reads
        .row(&sql::FIND_RECORDING, params![&workspace], |row| {
            Ok(Recording { address: row.get("record_address")?, place: row.get("record_place")?, device: row.get("record_device")? })
        })
        .await?;
    Ok(found.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_a_code_is_a_range_of_numbers() {
        let code = PublicCode::from_number(0x12_3456_789A).unwrap();
        let text = code.to_string();
        for length in 3..=LENGTH {
            let (from, to) = code_range(&text[..length].to_lowercase());
            assert!((from..to).contains(&sql::key(code)), "{length} letters");
        }
        assert_eq!(code_range(&text), (sql::key(code), sql::key(code) + 1));
        for none in ["", "AB", "AB-C", "ABU", "ABCDEFGHIJ"] {
            assert_eq!(code_range(none), (0, 0), "{none}");
        }
    }

    #[test]
    fn what_is_searched_is_taken_literally() {
        assert_eq!(pattern(r"50%_Off\"), r"%50\%\_off\\%");
    }
}
