//! What the ledger has done later.

use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};

use crate::commands;
use crate::transfer::TransferId;

/// Releases a pending transfer when its time is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExpirePending {
    /// Which.
    pub pending: TransferId,
}

impl Job for ExpirePending {
    const NAME: &'static str = "ledger.expire_pending";
    const LANE: &'static str = "ledger";

    fn key(&self) -> String {
        self.pending.to_string()
    }
}

impl ExpirePending {
    /// Runs the job.
    pub async fn run(self, context: &JobContext) -> Result<(), JobError> {
        let input = (context.workspace(), self.pending);
        context.write(input, |tx, (workspace, pending)| Box::pin(commands::expire(tx, workspace, pending))).await
    }
}
