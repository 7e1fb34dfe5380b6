//! Minting: numbers from the counter, codes from the numbers, rows in steps.

use std::time::Duration;

use kernel::WorkspaceId;
use serde_json::json;
use store::{P, Reads, Tx, params};

use crate::batch::{BATCH_MAX, Batch, Minted, NewCode, Template};
use crate::code::{BatchId, Code};
use crate::error::CodeError;
use crate::events::CodesMinted;
use crate::jobs::FillBatch;
use crate::permutation::{CODES_MAX, Permutation};
use crate::sql;

/// When a batch that its caller did not see through is taken up by a job.
const FILL_AFTER: Duration = Duration::from_secs(5);

/// Mints one code.
pub async fn mint(tx: &mut Tx, workspace: WorkspaceId, new: NewCode) -> Result<Code, CodeError> {
    let (permutation, first) = take_numbers(tx, 1).await?;
    let code = new.code(permutation.code(first).ok_or(CodeError::UsedUp)?, workspace, None, tx.now());
    insert(tx, std::slice::from_ref(&code)).await?;
    outbox::publish(tx, workspace, &CodesMinted { first: code.code, count: 1, batch: None }).await?;
    outbox::audit(tx, workspace, "code.minted", &code.code.to_string(), &json!({ "state": code.state.word() })).await?;
    Ok(code)
}

/// Mints 1 to 10,000 codes alike. All of them are known at once and none can be given to anybody else; the rows beyond the first
/// step are written by [`fill_batch`], which the caller repeats until nothing is left, or else a job does.
pub async fn mint_many(tx: &mut Tx, workspace: WorkspaceId, count: u32, new: NewCode) -> Result<Minted, CodeError> {
    if !(1..=BATCH_MAX).contains(&count) {
        return Err(CodeError::Count);
    }
    let (permutation, first) = take_numbers(tx, count).await?;
    let numbers = first..first + u64::from(count);
    let codes = numbers.map(|number| permutation.code(number).ok_or(CodeError::UsedUp)).collect::<Result<Vec<_>, _>>()?;
    let id = tx.new_id::<BatchId>();
    let made = (count as usize).min(new.step());
    let batch = Batch { id, workspace, first, asked: count, made: made as u32, new, created_at: tx.now() };
    let template = serde_json::to_string(&Template::from(&batch.new)).map_err(store::StoreError::decode)?;
    tx.execute(&sql::INSERT_BATCH, params![&id, &workspace, first as i64, count, batch.made, &template, batch.created_at]).await?;
    let rows: Vec<Code> = codes[..made].iter().map(|code| batch.new.code(*code, workspace, Some(id), batch.created_at)).collect();
    insert(tx, &rows).await?;
    let left = count - batch.made;
    if left > 0 {
        let due = tx.now().plus(FILL_AFTER);
        outbox::enqueue_at(tx, workspace, due, &FillBatch { batch: id }).await?;
    }
    outbox::publish(tx, workspace, &CodesMinted { first: codes[0], count, batch: Some(id) }).await?;
    outbox::audit(tx, workspace, "codes.minted", &id.to_string(), &json!({ "count": count })).await?;
    Ok(Minted { batch: id, codes, left })
}

/// Writes the next step of a batch and answers how many codes are left. It may be repeated, and by several at once.
pub async fn fill_batch(tx: &mut Tx, workspace: WorkspaceId, id: BatchId) -> Result<u32, CodeError> {
    let Some(batch) = tx.row(&sql::FIND_BATCH, params![&workspace, &id], sql::batch).await? else { return Err(CodeError::NotFound) };
    let step = batch.new.step() as u32;
    let made = batch.asked.min(batch.made + step);
    if made == batch.made {
        return Ok(0);
    }
    if tx.execute(&sql::ADVANCE_BATCH, params![&workspace, &id, batch.made, made]).await? == 0 {
        // Somebody else wrote this step.
        return Ok(batch.asked - batch.made);
    }
    let permutation = tx.row(&sql::PERMUTATION_EVERYWHERE, &[], |row| permutation(row.get(0)?)).await?.ok_or(CodeError::NotFound)?;
    let numbers = batch.first + u64::from(batch.made)..batch.first + u64::from(made);
    let rows = numbers
        .map(|number| {
            Ok(batch.new.code(permutation.code(number).ok_or(CodeError::UsedUp)?, batch.workspace, Some(batch.id), batch.created_at))
        })
        .collect::<Result<Vec<Code>, CodeError>>()?;
    insert(tx, &rows).await?;
    Ok(batch.asked - made)
}

/// Numbers that are left out after a restore: far more than are minted between two backups.
const SKIPPED: u32 = 16_000_000;

/// Leaves numbers out, after a backup was restored: codes that were minted after that backup may be printed, and must never be
/// minted a second time for somebody else. Sixteen million of a million million are given up.
pub async fn skip_numbers_everywhere(tx: &mut Tx) -> Result<(), CodeError> {
    take_numbers(tx, SKIPPED).await.map(|_| ())
}

/// Takes a range of numbers out of the counter, for ever. Units that mint at once wait for each other here, and no longer.
async fn take_numbers(tx: &mut Tx, count: u32) -> Result<(Permutation, u64), CodeError> {
    // The first mint of an installation makes its key; of two first ones at once one wins and both use its key.
    for _ in 0..2 {
        let taken = tx
            .row(&sql::TAKE_NUMBERS_EVERYWHERE, params![count], |row| {
                Ok((row.get::<i64>("next_number")?, permutation(row.get("permutation_key")?)?))
            })
            .await?;
        if let Some((next, permutation)) = taken {
            let next = u64::try_from(next).unwrap_or(u64::MAX);
            return if next > CODES_MAX { Err(CodeError::UsedUp) } else { Ok((permutation, next - u64::from(count))) };
        }
        let key: [u8; 16] = tx.entropy().bytes();
        tx.execute(&sql::BEGIN_NUMBERS_EVERYWHERE, params![&key]).await?;
    }
    Err(CodeError::UsedUp)
}

/// The stored key has another length than sixteen bytes.
#[derive(Debug, thiserror::Error)]
#[error("the key of the codes' permutation is damaged")]
struct DamagedKey;

fn permutation(key: Vec<u8>) -> Result<Permutation, store::StoreError> {
    let key: [u8; 16] = key.try_into().map_err(|_| store::StoreError::decode(DamagedKey))?;
    Ok(Permutation::new(&key))
}

async fn insert(tx: &mut Tx, codes: &[Code]) -> Result<(), CodeError> {
    for some in codes.chunks(500) {
        tx.execute_many(&sql::INSERT_CODE, &some.iter().map(sql::inserted).collect::<Vec<_>>()).await?;
    }
    let tags: Vec<Vec<P<'static>>> = codes.iter().flat_map(sql::tagged).collect();
    for some in tags.chunks(500) {
        tx.execute_many(&sql::INSERT_TAG, some).await?;
    }
    Ok(())
}
