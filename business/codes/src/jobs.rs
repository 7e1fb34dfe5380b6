//! What codes has done later.

use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};

use crate::code::BatchId;
use crate::error::CodeError;
use crate::{batch, commands};

/// Writes what is left of a large batch, should whoever minted it not have come to the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillBatch {
    /// Which.
    pub batch: BatchId,
}

impl Job for FillBatch {
    const NAME: &'static str = "codes.fill_batch";
    const LANE: &'static str = "upkeep";

    fn key(&self) -> String {
        self.batch.to_string()
    }
}

impl FillBatch {
    /// Runs the job.
    pub async fn run(self, context: &JobContext) -> Result<(), JobError> {
        let caller = kernel::Caller::system("codes.fill_batch");
        for _ in 0..batch::BATCH_MAX {
            let left = context
                .store()
                .write_bulk(&caller, (context.workspace(), self.batch), |tx, (workspace, batch)| {
                    Box::pin(async move { commands::fill_batch(tx, workspace, batch).await })
                })
                .await
                .map_err(|error: CodeError| JobError::from(error))?;
            if left == 0 {
                return Ok(());
            }
        }
        Err(JobError::retry("the batch was not finished in as many steps as it has codes"))
    }
}
