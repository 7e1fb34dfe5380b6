//! Bank lines: the third leg. A batch's net is what the bank line that names it brought.

use std::sync::Arc;

use kernel::{Currency, Money, WorkspaceId};
use store::{Reads, Tx, params};

use crate::error::PaymentError;
use crate::provider::ProviderId;
use crate::settlement::{BankLine, BankLineId, ExceptionId, ExceptionKind};
use crate::sql::settlement as sql;
use crate::{grants, settlement};

/// Bank lines that are looked at in one unit.
const LINES_AT_ONCE: i64 = 200;

/// Keeps lines of a statement, each once, and says how many were new.
pub async fn take_bank_lines(tx: &mut Tx, lines: Arc<Vec<BankLine>>) -> Result<u64, PaymentError> {
    let workspace = tx.caller().may(grants::SETTLE)?;
    let now = tx.now();
    let mut new = 0;
    for line in lines.iter() {
        let (id, currency) = (tx.new_id::<BankLineId>(), line.amount.currency.to_string());
        new += tx
            .execute(
                &sql::INSERT_BANK_LINE,
                params![&workspace, &id, &line.digest, &line.booked_on, line.amount.amount_minor, &currency, &line.reference, now],
            )
            .await?;
    }
    outbox::enqueue(tx, workspace, &crate::jobs::settlement::MatchBankLines {}).await?;
    Ok(new)
}

struct Found {
    batch: String,
    provider: ProviderId,
    net: Money,
}

/// Matches open bank lines behind `after` with batches of the same name and says where to go on; none at the end.
pub(crate) async fn match_bank_lines(
    tx: &mut Tx,
    workspace: WorkspaceId,
    after: Option<BankLineId>,
) -> Result<Option<BankLineId>, PaymentError> {
    let after = after.map(|id| id.to_string()).unwrap_or_default();
    let open = tx.rows(&sql::OPEN_BANK_LINES, params![&workspace, &after, LINES_AT_ONCE], sql::bank_line).await?;
    for (id, amount, reference) in &open {
        match_one(tx, workspace, *id, *amount, reference).await?;
    }
    Ok(open.last().map(|(id, ..)| *id))
}

async fn match_one(tx: &mut Tx, workspace: WorkspaceId, id: BankLineId, amount: Money, reference: &str) -> Result<(), PaymentError> {
    let mut all = Vec::new();
    for name in settlement::names(reference) {
        let found = tx
            .rows(&sql::KNOW_BATCH, params![&workspace, &name], |row| {
                let currency = Currency::parse(&row.get::<String>("currency")?).map_err(store::StoreError::decode)?;
                let net = Money::new(row.get("net_minor")?, currency);
                Ok(Found { batch: row.get("batch")?, provider: row.id("provider")?, net })
            })
            .await?;
        all.extend(found);
    }
    let Some(best) = all.iter().find(|found| found.net == amount).or(all.first()) else { return Ok(()) };
    let currency = best.net.currency.to_string();
    let state = if best.net == amount { "matched" } else { "exception" };
    if tx.execute(&sql::MOVE_BANK_LINE, params![&workspace, &id, state]).await? == 0 {
        return Ok(());
    }
    tx.execute(&sql::MATCH_BATCH, params![&workspace, &best.batch, &best.provider, &currency, &id]).await?;
    if best.net == amount {
        return Ok(());
    }
    let kind = if best.net.currency != amount.currency {
        ExceptionKind::CurrencyMismatch
    } else if amount.amount_minor > best.net.amount_minor {
        ExceptionKind::Over
    } else {
        ExceptionKind::Under
    };
    let (exception, now, none) = (tx.new_id::<ExceptionId>(), tx.now(), None::<&str>);
    let currency = amount.currency.to_string();
    let note = format!("the bank brought {amount} for a batch of {}", best.net);
    tx.execute(
        &sql::INSERT_EXCEPTION,
        params![
            &workspace,
            &exception,
            &best.provider,
            kind.as_str(),
            none,
            none,
            none,
            none,
            reference,
            none,
            &best.batch,
            &currency,
            best.net.amount_minor,
            amount.amount_minor,
            &note,
            now
        ],
    )
    .await?;
    Ok(())
}
