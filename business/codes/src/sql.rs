//! Every statement of codes but the scan's, and how its rows are read.
//!
//! Tables: `codes_counters`, `codes`, `codes_tags`, `codes_batches`, `codes_parameters`, `codes_workspaces`.

use store::{P, Row, StoreError, row_params};

use crate::batch::{Batch, Template};
use crate::code::{Code, CodeState, Recording, RecordingChoice, Resolved};
use crate::destination::{Destination, TargetUrl};
use crate::label::{Name, Tags};
use crate::public_code::PublicCode;

store::statements! {
    TAKE_NUMBERS_EVERYWHERE = "update codes_counters set next_number = next_number + $1 where name = 'codes' returning next_number, permutation_key";
    BEGIN_NUMBERS_EVERYWHERE = "insert into codes_counters (name, next_number, permutation_key) values ('codes', 0, $1) on conflict (name) do nothing";
    PERMUTATION_EVERYWHERE = "select permutation_key from codes_counters where name = 'codes'";

    INSERT_CODE = "insert into codes (code, workspace, batch, state, destination_kind, destination_id, destination_url, name, name_search, tags,
        expires_at, fallback_url, scan_limit, scans_left, record_address, record_place, record_device, version, created_at, updated_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) on conflict (code) do nothing";
    INSERT_TAG = "insert into codes_tags (workspace, tag, created_at, code) values ($1, $2, $3, $4) on conflict (workspace, tag, created_at, code) do nothing";
    DELETE_TAG = "delete from codes_tags where workspace = $1 and tag = $2 and created_at = $3 and code = $4";
    UPDATE_CODE = "update codes set state = $4, destination_kind = $5, destination_id = $6, destination_url = $7, name = $8, name_search = $9, tags = $10,
        expires_at = $11, fallback_url = $12, record_address = $13, record_place = $14, record_device = $15, updated_at = $16, version = version + 1
        where workspace = $1 and code = $2 and version = $3";
    // What was used of the old limit counts towards the new one. Scans change `scans_left` meanwhile, so that it is computed here.
    LIMIT_CODE = "update codes set scan_limit = cast($3 as bigint), scans_left = case
        when cast($3 as bigint) is null then null
        when scan_limit is null then cast($3 as bigint)
        when cast($3 as bigint) < scan_limit - scans_left then 0
        else cast($3 as bigint) - scan_limit + scans_left end
        where workspace = $1 and code = $2";
    FIND_CODE = "select code, workspace, batch, state, destination_kind, destination_id, destination_url, name, tags, expires_at, fallback_url, scan_limit,
        scans_left, record_address, record_place, record_device, version, created_at, updated_at from codes where workspace = $1 and code = $2";
    RESOLVE_CODE_EVERYWHERE = "select c.code, c.workspace, c.state, c.destination_kind, c.destination_id, c.destination_url, c.expires_at, c.fallback_url,
        c.scans_left, c.record_address, c.record_place, c.record_device, c.version, w.record_address as all_address, w.record_place as all_place,
        w.record_device as all_device from codes c left join codes_workspaces w on w.workspace = c.workspace where c.code = $1";

    // A search matches the name, or the beginning of the code, which is a range of numbers.
    LIST_CODES = r"select c.code, c.workspace, c.batch, c.state, c.destination_kind, c.destination_id, c.destination_url, c.name, c.tags, c.expires_at,
        c.fallback_url, c.scan_limit, c.scans_left, c.record_address, c.record_place, c.record_device, c.version, c.created_at, c.updated_at
        from codes c where c.workspace = $1 and (c.created_at, c.code) < ($2, $3) and ($4 = '' or c.state = $4)
        and ($5 = '' or c.name_search like $5 escape '\' or (c.code >= $6 and c.code < $7))
        order by c.created_at desc, c.code desc limit $8";
    LIST_TAGGED_CODES = r"select c.code, c.workspace, c.batch, c.state, c.destination_kind, c.destination_id, c.destination_url, c.name, c.tags, c.expires_at,
        c.fallback_url, c.scan_limit, c.scans_left, c.record_address, c.record_place, c.record_device, c.version, c.created_at, c.updated_at
        from codes_tags t join codes c on c.code = t.code
        where t.workspace = $1 and t.tag = $9 and (t.created_at, t.code) < ($2, $3) and c.workspace = $1 and ($4 = '' or c.state = $4)
        and ($5 = '' or c.name_search like $5 escape '\' or (c.code >= $6 and c.code < $7))
        order by t.created_at desc, t.code desc limit $8";
    LIST_CODES_OF_BATCH = r"select c.code, c.workspace, c.batch, c.state, c.destination_kind, c.destination_id, c.destination_url, c.name, c.tags, c.expires_at,
        c.fallback_url, c.scan_limit, c.scans_left, c.record_address, c.record_place, c.record_device, c.version, c.created_at, c.updated_at
        from codes c where c.workspace = $1 and c.batch = $9 and (c.created_at, c.code) < ($2, $3) and ($4 = '' or c.state = $4)
        and ($5 = '' or c.name_search like $5 escape '\' or (c.code >= $6 and c.code < $7))
        order by c.created_at desc, c.code desc limit $8";
    LIST_CODES_OF_THING = "select code, workspace, batch, state, destination_kind, destination_id, destination_url, name, tags, expires_at, fallback_url,
        scan_limit, scans_left, record_address, record_place, record_device, version, created_at, updated_at from codes
        where workspace = $1 and destination_kind = $2 and destination_id = $3 order by code limit $4";

    INSERT_BATCH = "insert into codes_batches (id, workspace, first_number, asked, made, template, created_at) values ($1, $2, $3, $4, $5, $6, $7)";
    FIND_BATCH = "select id, workspace, first_number, asked, made, template, created_at from codes_batches where workspace = $1 and id = $2";
    ADVANCE_BATCH = "update codes_batches set made = $4 where workspace = $1 and id = $2 and made = $3";

    INSERT_PARAMETERS = "insert into codes_parameters (request, workspace, code, parameters, created_at) values ($1, $2, $3, $4, $5)";
    // A phone may still hold an earlier request; ten of them are plenty.
    PRUNE_PARAMETERS = "delete from codes_parameters where workspace = $1 and code = $2 and request not in
        (select request from codes_parameters where workspace = $1 and code = $2 order by request desc limit 10)";
    FIND_PARAMETERS_EVERYWHERE = "select p.code, p.parameters from codes_parameters p join codes c on c.code = p.code
        where p.request = $1 and c.workspace = p.workspace and c.state = 'live' and (c.expires_at is null or c.expires_at > $2)";

    FIND_RECORDING = "select record_address, record_place, record_device, version from codes_workspaces where workspace = $1";
    SET_RECORDING = "insert into codes_workspaces (workspace, record_address, record_place, record_device, version, updated_at) values ($1, $2, $3, $4, 1, $5)
        on conflict (workspace) do update set record_address = excluded.record_address, record_place = excluded.record_place,
        record_device = excluded.record_device, version = codes_workspaces.version + 1, updated_at = excluded.updated_at returning version";
}

/// What a row says that no code can be.
#[derive(Debug, thiserror::Error)]
#[error("the row of code {0} contradicts itself")]
struct Contradiction(i64);

/// The key of a code's row.
pub(crate) fn key(code: PublicCode) -> i64 {
    // Forty bits fit.
    code.number() as i64
}

fn state(row: &Row<'_>) -> Result<(PublicCode, CodeState), StoreError> {
    let number: i64 = row.get("code")?;
    let contradiction = || StoreError::decode(Contradiction(number));
    let code = u64::try_from(number).ok().and_then(PublicCode::from_number).ok_or_else(contradiction)?;
    let destination = match row.get::<Option<String>>("destination_kind")? {
        Some(kind) => {
            Some(Destination::from_columns(kind, row.get("destination_id")?, row.get("destination_url")?).ok_or_else(contradiction)?)
        }
        None => None,
    };
    let state = CodeState::from_columns(&row.get::<String>("state")?, destination).ok_or_else(contradiction)?;
    Ok((code, state))
}

fn recording(row: &Row<'_>) -> Result<RecordingChoice, StoreError> {
    Ok(RecordingChoice { address: row.get("record_address")?, place: row.get("record_place")?, device: row.get("record_device")? })
}

pub(crate) fn code(row: &Row<'_>) -> Result<Code, StoreError> {
    let (code, state) = state(row)?;
    Ok(Code {
        code,
        workspace: row.id("workspace")?,
        batch: row.opt_id("batch")?,
        state,
        name: Name::from_stored(row.get("name")?),
        tags: Tags::from_stored(row.json("tags")?),
        expires_at: row.opt_time("expires_at")?,
        fallback: row.get::<Option<String>>("fallback_url")?.map(TargetUrl::from_stored),
        scan_limit: row.get("scan_limit")?,
        scans_left: row.get("scans_left")?,
        recording: recording(row)?,
        version: row.get("version")?,
        created_at: row.time("created_at")?,
        updated_at: row.time("updated_at")?,
    })
}

pub(crate) fn resolved(row: &Row<'_>) -> Result<Resolved, StoreError> {
    let (code, state) = state(row)?;
    let usual = Recording::default();
    let workspace = Recording {
        address: row.get::<Option<bool>>("all_address")?.unwrap_or(usual.address),
        place: row.get::<Option<bool>>("all_place")?.unwrap_or(usual.place),
        device: row.get::<Option<bool>>("all_device")?.unwrap_or(usual.device),
    };
    Ok(Resolved {
        code,
        workspace: row.id("workspace")?,
        state,
        expires_at: row.opt_time("expires_at")?,
        fallback: row.get::<Option<String>>("fallback_url")?.map(TargetUrl::from_stored),
        scans_left: row.get("scans_left")?,
        recording: recording(row)?.over(workspace),
        version: row.get("version")?,
    })
}

pub(crate) fn batch(row: &Row<'_>) -> Result<Batch, StoreError> {
    let number = |column: &str| row.get::<i64>(column).map(|number| number.max(0));
    Ok(Batch {
        id: row.id("id")?,
        workspace: row.id("workspace")?,
        first: number("first_number")? as u64,
        asked: number("asked")? as u32,
        made: number("made")? as u32,
        new: row.json::<Template>("template")?.into(),
        created_at: row.time("created_at")?,
    })
}

fn tags_json(tags: &Tags) -> String {
    serde_json::Value::from(tags.as_slice()).to_string()
}

/// The parameters of [`INSERT_CODE`].
pub(crate) fn inserted(code: &Code) -> Vec<P<'static>> {
    let (kind, id, url) = columns(code);
    let name = code.name.as_str();
    owned(row_params![
        key(code.code),
        code.workspace.to_string(),
        code.batch.map(|batch| batch.to_string()),
        code.state.word(),
        kind,
        id,
        url,
        name,
        name.to_lowercase(),
        tags_json(&code.tags),
        code.expires_at,
        code.fallback.as_ref().map(TargetUrl::as_str),
        code.scan_limit,
        code.scans_left,
        code.recording.address,
        code.recording.place,
        code.recording.device,
        code.version,
        code.created_at,
        code.updated_at
    ])
}

/// The parameters of [`UPDATE_CODE`]: `code` as it shall be, at the version that it has.
pub(crate) fn updated(code: &Code) -> Vec<P<'static>> {
    let (kind, id, url) = columns(code);
    let name = code.name.as_str();
    owned(row_params![
        code.workspace.to_string(),
        key(code.code),
        code.version,
        code.state.word(),
        kind,
        id,
        url,
        name,
        name.to_lowercase(),
        tags_json(&code.tags),
        code.expires_at,
        code.fallback.as_ref().map(TargetUrl::as_str),
        code.recording.address,
        code.recording.place,
        code.recording.device,
        code.updated_at
    ])
}

/// The parameters of [`INSERT_TAG`] and [`DELETE_TAG`], one row a tag.
pub(crate) fn tagged(code: &Code) -> impl Iterator<Item = Vec<P<'static>>> {
    code.tags.as_slice().iter().map(|tag| owned(row_params![code.workspace.to_string(), tag, code.created_at, key(code.code)]))
}

fn columns(code: &Code) -> (Option<String>, Option<String>, Option<String>) {
    match code.state.destination().map(Destination::columns) {
        Some((kind, id, url)) => (Some(kind.to_owned()), id, url.map(str::to_owned)),
        None => (None, None, None),
    }
}

fn owned(row: Vec<P<'_>>) -> Vec<P<'static>> {
    row.into_iter().map(P::into_owned).collect()
}
