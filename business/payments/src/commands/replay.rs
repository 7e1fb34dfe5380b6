//! Keeping what a replay rebuilt: the rows as the engine writes them, and nothing else.

use std::sync::Arc;

use serde_json::json;
use store::{P, Sql, Tx};

use crate::error::PaymentError;
use crate::replay::{Kept, OfWorkspace, Rebuilt, Source};
use crate::sql::{self, payout::INSERT_PAYOUT, settlement::INSERT_EXPECTED};

/// Rows of one statement.
const AT_ONCE: usize = 500;

/// Histories with what they make.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    pub events: Vec<Vec<P<'static>>>,
    pub intents: Vec<Vec<P<'static>>>,
    pub payouts: Vec<Vec<P<'static>>>,
    pub references: Vec<Vec<P<'static>>>,
    pub expected: Vec<Vec<P<'static>>>,
}

impl Chunk {
    /// Adds a whole history.
    pub(crate) fn add(&mut self, history: &[Kept], rebuilt: Rebuilt) {
        self.events.extend(
            history
                .iter()
                .map(|kept| sql::event_row(kept.workspace, &kept.subject, kept.version, &kept.name, &kept.actor, kept.at, &kept.body)),
        );
        self.references.extend(rebuilt.references());
        if rebuilt.is_payout {
            self.payouts.push(rebuilt.state)
        } else {
            self.intents.push(rebuilt.state)
        }
        self.expected.extend(rebuilt.expected);
    }
}

/// Writes histories with their rows, in one unit: none of them stands there without the others.
pub(crate) async fn put(tx: &mut Tx, chunk: Arc<Chunk>) -> Result<(), PaymentError> {
    tx.lock("payments_replay", "").await?;
    let tables: [(&'static Sql, &[Vec<P<'static>>]); 4] = [
        (&sql::INSERT_EVENT, &chunk.events),
        (&sql::INSERT_INTENT, &chunk.intents),
        (&INSERT_PAYOUT, &chunk.payouts),
        (&sql::INSERT_REFERENCE, &chunk.references),
    ];
    for (statement, rows) in tables {
        for rows in rows.chunks(AT_ONCE) {
            tx.execute_many(statement, rows).await?;
        }
    }
    for rows in chunk.expected.chunks(AT_ONCE) {
        tx.execute_columns(&INSERT_EXPECTED, rows).await?;
    }
    Ok(())
}

/// Says in the audit trail that the history of a workspace was replayed, and what came of it.
pub(crate) async fn audit(tx: &mut Tx, of: &OfWorkspace, source: Source) -> Result<(), PaymentError> {
    let counts = &of.counts;
    let details = json!({
        "source": source.as_str(),
        "ran_at": of.at,
        "events": counts.events,
        "payments": counts.intents,
        "payouts": counts.payouts,
        "references": counts.references,
        "expected": counts.expected,
        "differences": of.differences,
        "rows_sha256": of.rows_sha256,
    });
    outbox::audit(tx, of.workspace, "payments.replayed", &of.workspace.to_string(), &details).await?;
    Ok(())
}
