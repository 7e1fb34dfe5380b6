//! Posting over HTTP: batches in chunks, entries, and conversions.

use std::time::Duration;

use axum::extract::State;
use gateway::{Answer, Call, Json, Problem, effect, effect_bulk, effect_created};
use http::StatusCode;
use kernel::{Fault, Id};
use serde::{Deserialize, Serialize};
use store::{Store, Tx, Unit};
use tokio::time::Instant;

use super::Deps;
use super::bodies::{ConversionBody, EntryBody, NewEntry, TransfersBody};
use super::views::{ConversionView, EntryView, ResultView, ResultsView, TransferView};
use crate::commands::asked;
use crate::error::LedgerError;
use crate::transfer::{EntryId, NewTransfer, TransferId};
use crate::{keeper, queries};

/// How many transfers one unit posts, unless a chain has more: it holds a writer for a few milliseconds. Half of this makes a
/// large batch noticeably slower, twice as many make whoever posts a single transfer beside it wait twice as long.
const CHUNK: usize = 250;
/// How many transfers a chain may have: it is never split.
const CHAIN_MAX: usize = 500;

/// Calls with so many transfers or more wait while the books are too far behind what was posted.
const PACED_MIN: usize = 100;
/// How far that is. What stands now is read from the books and from all that is not booked yet: reads get slower with it.
const BEHIND_MAX: Duration = Duration::from_secs(5);
/// How long a call waits for the keeper before it is turned away.
const PACE_MAX: Duration = Duration::from_secs(1);
/// How often it looks.
const PACE_EVERY: Duration = Duration::from_millis(50);
/// When a call that was turned away should come back.
const COME_BACK_S: u64 = 2;

/// What became of one chunk, as it is recorded under its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Chunk {
    results: Vec<ResultView>,
    /// The first version of the books that holds what stands, if anything does.
    version: Option<String>,
}

/// Posts 1 to 8,000 transfers and says what became of each: a refused one changes nothing, and the answer is 200 all the same.
/// They are judged in their order, some hundred in one transaction: linked ones together. Sent again, those that stand answer
/// `exists`; under the same `Idempotency-Key` the answer is the same, and what was cut off goes on where it ended. While the
/// books are more than 5 seconds behind what was posted, 100 transfers and more are answered 503 `books_behind`.
#[utoipa::path(post, path = "/v1/ledger/transfers", tag = "ledger", request_body = TransfersBody,
    responses((status = 200, body = ResultsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn transfers(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<TransfersBody>,
) -> Result<Answer<ResultsView>, Problem> {
    let batch = body.parse()?;
    call.caller()?.may(crate::grants::POST).map_err(LedgerError::from)?;
    if batch.len() >= PACED_MIN {
        keep_pace(&deps.store).await?;
    }
    let mut chunks = chunks(batch)?.into_iter();
    let Some(first) = chunks.next() else { return Err(LedgerError::field("transfers", "must be 1 to 8,000 transfers").into()) };
    let count = chunks.len();
    let answer = if count == 0 {
        effect(&deps.store, &call, first, post_chunk).await?
    } else {
        effect_bulk(&deps.store, &call, first, post_chunk).await?
    };
    let mut is_replayed = answer.is_replayed();
    let mut done = vec![answer.into_value()?];
    for (number, chunk) in chunks.enumerate() {
        // A chunk and its answer are kept together under a key of their own. No caller can send it: it has spaces.
        let call = call.idempotency_key().map(|key| call.idempotent_as(&format!("{key} chunk {}", number + 1))).unwrap_or(call.clone());
        let answer = effect_bulk(&deps.store, &call, chunk, post_chunk).await?;
        is_replayed &= answer.is_replayed();
        done.push(answer.into_value()?);
    }
    let mut view = ResultsView { results: Vec::new(), version: String::new() };
    let mut newest = None;
    for chunk in done {
        let from = view.results.len();
        view.results.extend(chunk.results.into_iter().map(|row| ResultView { index: from + row.index, ..row }));
        let version = chunk.version.map(|text| text.parse::<queries::Version>()).transpose().map_err(Problem::internal)?;
        newest = newest.max(version);
    }
    let version = match newest {
        Some(version) => version,
        None => queries::version(&mut deps.store.read()).await?,
    };
    view.version = version.to_string();
    Ok(if is_replayed { Answer::replayed(view) } else { Answer::ok(view) })
}

/// Waits a moment for the keeper where it is too far behind, before anything is posted, or turns the call away.
async fn keep_pace(store: &Store) -> Result<(), Problem> {
    let end = Instant::now() + PACE_MAX;
    while keeper::behind(store).await? > BEHIND_MAX {
        if Instant::now() >= end {
            return Err(Problem::from(LedgerError::TooFarBehind).with_retry_after(COME_BACK_S));
        }
        tokio::time::sleep(PACE_EVERY).await;
    }
    Ok(())
}

fn post_chunk(tx: &mut Tx, batch: Vec<NewTransfer>) -> Unit<'_, Chunk, Problem> {
    Box::pin(async move {
        let ids: Vec<TransferId> = batch.iter().map(|new| new.id).collect();
        let rows = asked::post_batch(tx, batch).await?;
        let stand: Vec<TransferId> = rows.iter().zip(&ids).filter(|(row, _)| row.outcome.stands()).map(|(_, id)| *id).collect();
        let workspace = tx.caller().may(crate::grants::POST).map_err(LedgerError::from)?;
        let version = if stand.is_empty() { None } else { queries::version_of_last(tx, workspace, stand).await? };
        let results = rows.iter().zip(ids).enumerate().map(|(index, (row, id))| ResultView::new(index, id, row)).collect();
        Ok(Chunk { results, version: version.map(|version| version.to_string()) })
    })
}

/// The batch in pieces of at most [`CHUNK`] transfers, or of one chain: it stays in one piece.
fn chunks(batch: Vec<NewTransfer>) -> Result<Vec<Vec<NewTransfer>>, LedgerError> {
    let mut chunks: Vec<Vec<NewTransfer>> = vec![Vec::new()];
    let mut chain: Vec<NewTransfer> = Vec::new();
    let last = batch.len().saturating_sub(1);
    for (index, new) in batch.into_iter().enumerate() {
        let is_linked = new.linked && index < last;
        chain.push(new);
        if chain.len() > CHAIN_MAX {
            let message = format!("is part of a chain of more than {CHAIN_MAX} transfers: a chain stands or falls in one transaction");
            return Err(LedgerError::field(format!("transfers[{index}]"), message));
        }
        if is_linked {
            continue;
        }
        if chunks.last().is_none_or(|chunk| chunk.len() + chain.len() > CHUNK) {
            chunks.push(Vec::new());
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.append(&mut chain);
        }
    }
    chunks.retain(|chunk| !chunk.is_empty());
    Ok(chunks)
}

/// Posts an entry: 2 to 100 transfers of which all stand or none does. A refusal names the line and why.
#[utoipa::path(post, path = "/v1/ledger/entries", tag = "ledger", request_body = EntryBody,
    responses((status = 201, body = EntryView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn entry(State(deps): State<Deps>, call: Call, Json(body): Json<EntryBody>) -> Result<Answer<EntryView>, Problem> {
    effect_created(&deps.store, &call, body.parse()?, |tx, NewEntry { source, lines }| {
        Box::pin(async move {
            let workspace = tx.caller().may(crate::grants::POST).map_err(LedgerError::from)?;
            let mut transfers = Vec::with_capacity(lines.len());
            for (is_named, mut line) in lines {
                if !is_named {
                    line.id = tx.new_id();
                }
                transfers.push(line);
            }
            let ids: Vec<TransferId> = transfers.iter().map(|line| line.id).collect();
            let named = transfers.first().map(|line| line.entry.unwrap_or_else(|| EntryId::from_raw(line.id.raw())));
            let entry = named.ok_or_else(|| LedgerError::field("lines", "must be 2 to 100 lines"))?;
            asked::post(tx, &source, transfers).await.map_err(refused)?;
            let version = queries::version_of_last(tx, workspace, ids).await?.unwrap_or_default();
            let transfers = queries::entry(tx, workspace, entry).await?;
            Ok(EntryView { id: entry, transfers: transfers.iter().map(TransferView::from).collect(), version: version.to_string() })
        })
    })
    .await
}

/// Converts one unit into another as one entry of two transfers, through the exchange accounts of both units.
#[utoipa::path(post, path = "/v1/ledger/conversions", tag = "ledger", request_body = ConversionBody,
    responses((status = 201, body = ConversionView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn conversion(
    State(deps): State<Deps>,
    call: Call,
    Json(body): Json<ConversionBody>,
) -> Result<Answer<ConversionView>, Problem> {
    effect_created(&deps.store, &call, body.parse()?, |tx, (is_named, mut asked)| {
        Box::pin(async move {
            let workspace = tx.caller().may(crate::grants::POST).map_err(LedgerError::from)?;
            if !is_named {
                asked.ids = [tx.new_id(), tx.new_id()];
            }
            let ids = asked.ids.to_vec();
            let converted = asked::convert(tx, asked).await?;
            let version = queries::version_of_last(tx, workspace, ids).await?.unwrap_or_default();
            Ok(ConversionView {
                entry: converted.entry,
                result: converted.outcome.as_str().to_owned(),
                amount_from: converted.amount_from,
                amount_to: converted.amount_to,
                version: version.to_string(),
            })
        })
    })
    .await
}

/// A refused entry: 409 with the line and its code.
fn refused(error: LedgerError) -> Problem {
    let LedgerError::Refused { index, outcome } = &error else { return error.into() };
    let message = format!("was refused: {}", outcome.as_str());
    Problem::new(StatusCode::CONFLICT, error.code())
        .with_detail(format!("line {index} {message}; nothing was posted"))
        .with_field(format!("lines[{index}]"), message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::Action;
    use kernel::RawId;

    fn batch(linked: &[bool]) -> Vec<NewTransfer> {
        let new = |linked: &bool| {
            let id = TransferId::from_raw(RawId::from_bits(1));
            NewTransfer { linked: *linked, ..NewTransfer::new(id, Action::VoidPending { pending: id }) }
        };
        linked.iter().map(new).collect()
    }

    #[test]
    fn a_chain_stays_in_one_chunk_and_nothing_is_lost() {
        let sizes = |linked: &[bool]| chunks(batch(linked)).unwrap().iter().map(Vec::len).collect::<Vec<_>>();
        assert_eq!(sizes(&[false; 250]), [250]);
        assert_eq!(sizes(&[false; 501]), [250, 250, 1]);
        let mut linked = vec![false; 249];
        linked.extend([true, true, false, false]);
        assert_eq!(sizes(&linked), [249, 4]);
        let mut chain = vec![true; 499];
        chain.push(false);
        assert_eq!(sizes(&[vec![false], chain.clone(), chain].concat()), [1, 500, 500]);
        // The last of a batch may be linked to nothing: it is judged where it stands.
        assert_eq!(sizes(&[vec![false; 248], vec![true; 3]].concat()), [248, 3]);
    }

    #[test]
    fn a_chain_that_is_too_long_is_refused_where_it_gets_so() {
        let refused = chunks(batch(&[vec![false; 3], vec![true; 501]].concat())).unwrap_err();
        assert_eq!(refused.fields()[0].field, "transfers[503]");
    }
}
