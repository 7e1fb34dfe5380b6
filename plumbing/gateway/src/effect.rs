//! Effects: one unit of work, and its answer recorded under the caller's `Idempotency-Key` in that same unit.
//!
//! Because record and effect commit together, an effect without its record, or a record without its effect, cannot exist.
//! A second request with the key waits for the first one's commit and then replays its answer; if the first one failed,
//! nothing was recorded and the second does the work. Nothing of this spans several units, so there is no 409 "in progress".

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::Serialize;
use store::{Reads, Store, StoreError, Tx, Unit};

use crate::sql::{BEGIN_ANSWER, ERASE_ANSWERS, FIND_ANSWER, FINISH_ANSWER, SWEEP_ANSWERS_EVERYWHERE};
use crate::{Answer, Call, Problem};

/// How long an answer is kept.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// The most records that one sweep forgets.
pub const SWEEP_MAX: i64 = 500;
/// The workspace of records that belong to none, such as a sign-up.
const NO_WORKSPACE: &str = "-";

/// Where an answer is recorded: workspace, method and route, key; and what the request was.
#[derive(Clone)]
struct Slot {
    workspace: String,
    route: String,
    key: String,
    fingerprint: [u8; 32],
    status: StatusCode,
    is_secret: bool,
}

/// What came out of the unit.
enum Outcome<T> {
    Fresh(T, Option<String>),
    Recorded { status: i64, body: Option<String> },
}

/// Does the unit and answers 200 with what it gives; under an `Idempotency-Key` it is done once and its answer recorded.
pub async fn effect<I, T, F>(store: &Store, call: &Call, input: I, unit: F) -> Result<Answer<T>, Problem>
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    perform(store, call, StatusCode::OK, false, input, unit).await
}

/// As [`effect`], for one of many units that stand behind what others wait for (see [`Store::write_bulk`]). A request that
/// takes several gives each a key of its own that nobody can send, so that each is done once and replayed.
pub async fn effect_bulk<I, T, F>(store: &Store, call: &Call, input: I, unit: F) -> Result<Answer<T>, Problem>
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    let (caller, slot) = (call.caller()?, slot(call, StatusCode::OK, false)?);
    let outcome = store.write_bulk(caller, (slot, input), recorded(unit)).await?;
    answered(StatusCode::OK, outcome)
}

/// As [`effect`], answering 201.
pub async fn effect_created<I, T, F>(store: &Store, call: &Call, input: I, unit: F) -> Result<Answer<T>, Problem>
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    perform(store, call, StatusCode::CREATED, false, input, unit).await
}

/// As [`effect`], answering 204 without a body.
pub async fn effect_done<I, F>(store: &Store, call: &Call, input: I, unit: F) -> Result<Answer<()>, Problem>
where
    I: Clone + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, (), Problem> + Send + Sync + 'static,
{
    perform(store, call, StatusCode::NO_CONTENT, false, input, unit).await
}

/// As [`effect`], answering 201 with a secret that is shown this once. That it was done is recorded, the answer never is: a
/// repetition does nothing and gets 409 `answer_not_kept`.
pub async fn effect_secret<I, T, F>(store: &Store, call: &Call, input: I, unit: F) -> Result<Answer<T>, Problem>
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    perform(store, call, StatusCode::CREATED, true, input, unit).await
}

async fn perform<I, T, F>(store: &Store, call: &Call, status: StatusCode, is_secret: bool, input: I, unit: F) -> Result<Answer<T>, Problem>
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    let (caller, slot) = (call.caller()?, slot(call, status, is_secret)?);
    let outcome = store.write(caller, (slot, input), recorded(unit)).await?;
    answered(status, outcome)
}

fn slot(call: &Call, status: StatusCode, is_secret: bool) -> Result<Option<Slot>, Problem> {
    let caller = call.caller()?;
    Ok(call.idempotency_key().map(|key| Slot {
        workspace: caller.workspace().map_or_else(|| NO_WORKSPACE.to_owned(), |id| id.to_string()),
        route: format!("{} {}", call.method(), call.route()),
        key: key.to_owned(),
        fingerprint: call.fingerprint(&caller.actor()),
        status,
        is_secret,
    }))
}

/// `unit` with its answer recorded in the slot, or what stands there.
fn recorded<I, T, F>(unit: F) -> impl for<'a> Fn(&'a mut Tx, (Option<Slot>, I)) -> Unit<'a, Outcome<T>, Problem> + Send + Sync + 'static
where
    I: Clone + Send + 'static,
    T: Serialize + Send + 'static,
    F: for<'a> Fn(&'a mut Tx, I) -> Unit<'a, T, Problem> + Send + Sync + 'static,
{
    let unit = Arc::new(unit);
    move |tx, (slot, input)| {
        let unit = Arc::clone(&unit);
        Box::pin(async move {
            let Some(slot) = slot else { return Ok(Outcome::Fresh(unit(tx, input).await?, None)) };
            if let Some(recorded) = begin(tx, &slot).await? {
                return Ok(recorded);
            }
            let value = unit(tx, input).await?;
            let text = serde_json::to_string(&value).map_err(Problem::internal)?;
            finish(tx, &slot, &text).await?;
            Ok(Outcome::Fresh(value, Some(text)))
        })
    }
}

fn answered<T>(status: StatusCode, outcome: Outcome<T>) -> Result<Answer<T>, Problem> {
    match outcome {
        Outcome::Fresh(value, text) => Ok(Answer::fresh(status, value, text)),
        Outcome::Recorded { status, body } => replay(status, body),
    }
}

fn replay<T>(status: i64, body: Option<String>) -> Result<Answer<T>, Problem> {
    let status = u16::try_from(status).ok().and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::OK);
    match body {
        Some(text) => Ok(Answer::recorded(status, text)),
        None => Err(Problem::new(StatusCode::CONFLICT, "answer_not_kept").with_detail(
            "this request was done under the same Idempotency-Key; its answer is not kept, because it held a secret or was erased",
        )),
    }
}

/// Takes the slot, or gives what stands in it.
async fn begin<T>(tx: &mut Tx, slot: &Slot) -> Result<Option<Outcome<T>>, Problem> {
    let now = tx.now();
    let begun = tx
        .execute(&BEGIN_ANSWER, store::params![&slot.workspace, &slot.route, &slot.key, &slot.fingerprint[..], now, now.plus(KEPT)])
        .await?;
    if begun > 0 {
        return Ok(None);
    }
    let found = tx
        .row(&FIND_ANSWER, store::params![&slot.workspace, &slot.route, &slot.key], |row| {
            Ok((row.get::<Vec<u8>>("fingerprint")?, row.get::<Option<i64>>("status")?, row.get::<Option<String>>("body")?))
        })
        .await?;
    // A sweep may have taken the record between the two statements; the caller repeats with the same key.
    let Some((fingerprint, Some(status), body)) = found else { return Err(Problem::from(StoreError::Busy)) };
    if fingerprint != slot.fingerprint {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
            .with_detail("this Idempotency-Key was used for another request: another body, address or caller; take a new key"));
    }
    Ok(Some(Outcome::Recorded { status, body }))
}

async fn finish(tx: &mut Tx, slot: &Slot, text: &str) -> Result<(), StoreError> {
    let body = (!slot.is_secret).then_some(text);
    let status = i64::from(slot.status.as_u16());
    tx.execute_later(&FINISH_ANSWER, store::params![&slot.workspace, &slot.route, &slot.key, status, body]).await?;
    Ok(())
}

/// Forgets at most [`SWEEP_MAX`] records whose 24 hours are over and says how many; call it again while it says that many.
pub async fn sweep_expired(tx: &mut Tx) -> Result<u64, StoreError> {
    let now = tx.now();
    tx.execute(&SWEEP_ANSWERS_EVERYWHERE, store::params![now, SWEEP_MAX]).await
}

/// Takes the words out of every recorded answer of the workspace that mentions `subject`, for example a lead's id. The
/// records themselves stay until they expire, so that a late repetition does not bring the erased thing back.
pub async fn erase_answers(tx: &mut Tx, workspace: kernel::WorkspaceId, subject: &str) -> Result<u64, StoreError> {
    let mut pattern = String::from("%");
    for letter in subject.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    tx.execute(&ERASE_ANSWERS, store::params![&workspace, &pattern]).await
}
