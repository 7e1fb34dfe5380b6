//! What can be done with codes, by other modules in their own units of work.
//!
//! These verbs trust their caller and name the workspace; the ones that a door faces stand in [`asked`] and ask for the right first.

pub mod asked;
mod mint;

use kernel::{Timestamp, WorkspaceId};
use serde_json::json;
use store::{Reads, Tx, params};

use crate::code::{Code, CodeState, Recording, RecordingChoice};
use crate::destination::{Destination, RequestId, TargetUrl};
use crate::error::CodeError;
use crate::events::{Bound, Change, CodeChanged, RecordingChanged};
use crate::label::{Name, Tags};
use crate::parameters::Parameters;
use crate::public_code::PublicCode;
use crate::{queries, sql};

pub use mint::{fill_batch, mint, mint_many, skip_numbers_everywhere};

/// Leads a code to `destination`, whatever it led to before; the printed code stays. The calling module has made sure that the
/// thing is the workspace's own.
pub async fn bind(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode, destination: Destination) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    bind_found(tx, code, destination).await
}

async fn bind_found(tx: &mut Tx, code: Code, destination: Destination) -> Result<Code, CodeError> {
    let state = code.state.clone().bind(destination)?;
    change(tx, &code, Change::Bound, Code { state, ..code.clone() }).await
}

/// Leads a code from one destination to another, unless it leads elsewhere by now: for the card of somebody who left.
pub async fn reassign(
    tx: &mut Tx,
    workspace: WorkspaceId,
    code: PublicCode,
    from: &Destination,
    to: Destination,
) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    if code.state.destination() != Some(from) {
        return Err(CodeError::LeadsElsewhere);
    }
    bind_found(tx, code, to).await
}

/// Leads a code to a page that asks for `parameters` after the scan. The symbol and its size do not depend on them.
pub async fn bind_page(
    tx: &mut Tx,
    workspace: WorkspaceId,
    code: PublicCode,
    page: TargetUrl,
    parameters: &Parameters,
) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    let (request, now) = (tx.new_id::<RequestId>(), tx.now());
    tx.execute(&sql::INSERT_PARAMETERS, params![&request, &workspace, sql::key(code.code), parameters.as_str(), now]).await?;
    tx.execute(&sql::PRUNE_PARAMETERS, params![&workspace, sql::key(code.code)]).await?;
    bind_found(tx, code, Destination::Page { page, request }).await
}

/// Takes a code off its destination; it may be bound again.
pub async fn release(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    let state = code.state.clone().release()?;
    change(tx, &code, Change::Released, Code { state, ..code.clone() }).await
}

/// Stops a code for a while.
pub async fn pause(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    let state = code.state.clone().pause()?;
    change(tx, &code, Change::Paused, Code { state, ..code.clone() }).await
}

/// Opens a paused code again.
pub async fn resume(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    let state = code.state.clone().resume()?;
    change(tx, &code, Change::Resumed, Code { state, ..code.clone() }).await
}

/// Ends a code for good. Its fallback, if it has one, still gets its scans.
pub async fn retire(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    change(tx, &code, Change::Retired, Code { state: code.state.clone().retire(), ..code.clone() }).await
}

/// What shall be different about a code; `None` leaves it as it is, `Some(None)` takes it away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edit {
    /// Refused unless the code is at this version.
    pub version: Option<i64>,
    /// The name.
    pub name: Option<Name>,
    /// All tags.
    pub tags: Option<Tags>,
    /// The end of its time.
    pub expires_at: Option<Option<Timestamp>>,
    /// The fallback.
    pub fallback: Option<Option<TargetUrl>>,
    /// The limit of scans, 1 to 1,000,000,000; what was used of the old limit counts towards the new one.
    pub scan_limit: Option<Option<i64>>,
    /// Whether addresses are recorded.
    pub record_address: Option<Option<bool>>,
    /// Whether places are recorded.
    pub record_place: Option<Option<bool>>,
    /// Whether devices are recorded.
    pub record_device: Option<Option<bool>>,
}

/// Changes what is not a matter of state.
pub async fn edit(tx: &mut Tx, workspace: WorkspaceId, code: PublicCode, edit: Edit) -> Result<Code, CodeError> {
    let code = queries::get(tx, workspace, code).await?;
    if edit.version.is_some_and(|version| version != code.version) {
        return Err(CodeError::Changed);
    }
    let recording = RecordingChoice {
        address: edit.record_address.unwrap_or(code.recording.address),
        place: edit.record_place.unwrap_or(code.recording.place),
        device: edit.record_device.unwrap_or(code.recording.device),
    };
    let edited = Code {
        name: edit.name.unwrap_or_else(|| code.name.clone()),
        tags: edit.tags.unwrap_or_else(|| code.tags.clone()),
        expires_at: edit.expires_at.unwrap_or(code.expires_at),
        fallback: edit.fallback.unwrap_or_else(|| code.fallback.clone()),
        scan_limit: edit.scan_limit.unwrap_or(code.scan_limit),
        recording,
        ..code.clone()
    };
    change(tx, &code, Change::Edited, edited).await
}

/// Sets what may be recorded of the scans of a workspace, where a code says nothing else.
pub async fn set_recording(tx: &mut Tx, workspace: WorkspaceId, recording: Recording) -> Result<(), CodeError> {
    let Recording { address, place, device } = recording;
    let now = tx.now();
    let version = tx.row(&sql::SET_RECORDING, params![&workspace, address, place, device, now], |row| row.get(0)).await?.unwrap_or(1);
    outbox::publish(tx, workspace, &RecordingChanged { workspace, version }).await?;
    let details = json!({ "address": address, "place": place, "device": device });
    outbox::audit(tx, workspace, "codes.recording_changed", &workspace.to_string(), &details).await?;
    Ok(())
}

/// Writes `after` in place of `before`, with its fact and its line in the audit trail. Nothing is written where nothing changed.
async fn change(tx: &mut Tx, before: &Code, change: Change, after: Code) -> Result<Code, CodeError> {
    if *before == after {
        return Ok(after);
    }
    let workspace = before.workspace;
    let after = Code { updated_at: tx.now(), ..after };
    if tx.execute(&sql::UPDATE_CODE, &sql::updated(&after)).await? == 0 {
        return Err(CodeError::Changed);
    }
    if before.scan_limit != after.scan_limit {
        tx.execute(&sql::LIMIT_CODE, params![&workspace, sql::key(after.code), after.scan_limit]).await?;
    }
    if before.tags != after.tags {
        tx.execute_many(&sql::DELETE_TAG, &sql::tagged(before).collect::<Vec<_>>()).await?;
        tx.execute_many(&sql::INSERT_TAG, &sql::tagged(&after).collect::<Vec<_>>()).await?;
    }
    let after = queries::get(tx, workspace, after.code).await?;
    let (was, is) = (before.state.destination(), after.state.destination());
    let fact = CodeChanged {
        code: after.code,
        version: after.version,
        change,
        destination: is.map(Bound::from),
        before: was.filter(|_| was != is).map(Bound::from),
    };
    outbox::publish(tx, workspace, &fact).await?;
    outbox::audit(tx, workspace, change.action(), &after.code.to_string(), &details(before, &after)).await?;
    Ok(after)
}

/// What the audit trail keeps of a change: names of fields, and where the code led, without what an address may tell of a person.
fn details(before: &Code, after: &Code) -> serde_json::Value {
    let fields: Vec<&str> = [
        ("name", before.name != after.name),
        ("tags", before.tags != after.tags),
        ("expires_at", before.expires_at != after.expires_at),
        ("fallback_url", before.fallback != after.fallback),
        ("scan_limit", before.scan_limit != after.scan_limit),
        ("recording", before.recording != after.recording),
    ]
    .iter()
    .filter_map(|(field, is_changed)| is_changed.then_some(*field))
    .collect();
    let led = |state: &CodeState| {
        state.destination().map(|destination| {
            let (kind, id, url) = destination.columns();
            let host = url.and_then(|url| url::Url::parse(url).ok()?.host_str().map(str::to_owned));
            json!({ "kind": kind, "id": id, "host": host })
        })
    };
    json!({
        "version": after.version,
        "state": after.state.word(),
        "fields": fields,
        "destination": led(&after.state),
        "before": if before.state.destination() == after.state.destination() { None } else { led(&before.state) },
    })
}
