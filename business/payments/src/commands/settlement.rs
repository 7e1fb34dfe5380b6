//! Settlement: reports are taken in once, booked in chunks that a kill cannot double, and exceptions are worked off.

mod act;
mod bank;
mod book;
mod check;

use kernel::{Id as _, Timestamp, WorkspaceId};
use ledger::{LedgerError, NewTransfer, TransferId};
use serde_json::json;
use store::{P, Reads, Tx, params, row_params};

use super::accounts;
use crate::books::Place;
use crate::error::PaymentError;
use crate::jobs::settlement::BookSettlement;
use crate::provider::ProviderId;
use crate::queries::settlement as queries;
use crate::settlement::{Expected, Format, Settlement, SettlementId, Transfer, kind_word};
use crate::sql::settlement as sql;
use crate::{grants, text};

pub use act::{Action, act};
pub(crate) use bank::match_bank_lines;
pub use bank::take_bank_lines;
pub use book::{Booked, book_chunk};
pub(crate) use book::{fail, finish, look_for_missing};
pub(crate) use check::{check_postings, tell_of_difference};

/// What keeps settlement writes of one provider apart.
const LOCK: &str = "settlement";
/// The largest piece that a report is kept in, in bytes.
pub const PIECE_BYTES: usize = 1 << 20;
/// The longest reason, in bytes.
const REASON_MAX: usize = 500;

/// Keeps what a provider's report is to say because of a transfer, in the unit that posts it.
pub(crate) async fn expect(tx: &mut Tx, workspace: WorkspaceId, provider: ProviderId, expected: &Expected) -> Result<(), PaymentError> {
    let row = expected_row(workspace, provider, expected, tx.now());
    tx.execute_columns(&sql::INSERT_EXPECTED, &[row]).await?;
    Ok(())
}

/// Keeps many expectations at once, such as those of a book that was kept elsewhere before; at most 500. Those that are there
/// already stay as they are.
pub async fn expect_many(tx: &mut Tx, workspace: WorkspaceId, provider: ProviderId, all: &[Expected]) -> Result<(), PaymentError> {
    let now = tx.now();
    let rows: Vec<Vec<P<'_>>> = all.iter().map(|expected| expected_row(workspace, provider, expected, now)).collect();
    tx.execute_columns(&sql::INSERT_EXPECTED, &rows).await?;
    Ok(())
}

/// The row of an expectation, as `INSERT_EXPECTED` takes it.
pub(crate) fn expected_row(workspace: WorkspaceId, provider: ProviderId, expected: &Expected, now: Timestamp) -> Vec<P<'static>> {
    let currency = expected.amount.currency.to_string();
    row_params![
        workspace,
        expected.subject,
        expected.attempt,
        expected.owner,
        provider,
        kind_word(expected.kind),
        currency,
        expected.amount.amount_minor,
        now
    ]
}

/// A report that is taken in.
#[derive(Debug, Clone)]
pub struct NewSettlement {
    /// Whose.
    pub provider: ProviderId,
    /// SHA-256 of its bytes in hexadecimal.
    pub digest: String,
    /// How it is called where it came from; at most 200 bytes.
    pub name: String,
    /// How it is written.
    pub format: Format,
    /// Everything that happened before is in it; what is not is missing. Without, an expectation is missing after the days
    /// that the provider's rules say.
    pub covers_until: Option<Timestamp>,
    /// How many bytes it has.
    pub bytes: i64,
    /// How many lines it has.
    pub lines: i64,
}

/// Takes a report in whose bytes are at hand; the same bytes again are the same settlement. A job books it.
pub async fn take(tx: &mut Tx, new: NewSettlement, bytes: &[u8]) -> Result<Settlement, PaymentError> {
    let workspace = tx.caller().may(grants::SETTLE)?;
    let id = begin(tx, workspace, new).await?;
    for (number, piece) in (0_i64..).zip(bytes.chunks(PIECE_BYTES)) {
        keep_piece(tx, workspace, id, number, piece).await?;
    }
    start(tx, workspace, id).await
}

/// Begins to take a report in, or finds the one of the same bytes.
pub async fn begin(tx: &mut Tx, workspace: WorkspaceId, new: NewSettlement) -> Result<SettlementId, PaymentError> {
    crate::queries::provider(tx, workspace, new.provider).await?;
    if let Err(message) = text::optional(Some(&new.name), 200) {
        return Err(PaymentError::field("name", message));
    }
    if new.lines == 0 {
        return Err(PaymentError::field("body", "must be a report with at least one line"));
    }
    let (id, now, actor) = (tx.new_id::<SettlementId>(), tx.now(), tx.caller().actor());
    if tx
        .execute(
            &sql::INSERT_SETTLEMENT,
            params![
                &workspace,
                &id,
                &new.provider,
                &new.digest,
                &new.name,
                new.format.as_str(),
                new.covers_until,
                new.bytes,
                new.lines,
                &actor,
                now
            ],
        )
        .await?
        == 1
    {
        let details = json!({ "provider": new.provider, "digest": new.digest, "lines": new.lines });
        outbox::audit(tx, workspace, "payments.settlement_taken", &id.to_string(), &details).await?;
        return Ok(id);
    }
    let known = queries::by_digest(tx, workspace, new.provider, &new.digest).await?;
    Ok(known.ok_or(PaymentError::NotFound { what: "settlement" })?.id)
}

/// Keeps one piece of a report, counted from 0, of at most [`PIECE_BYTES`].
pub async fn keep_piece(tx: &mut Tx, workspace: WorkspaceId, id: SettlementId, number: i64, piece: &[u8]) -> Result<(), PaymentError> {
    tx.execute(&sql::INSERT_PIECE, params![&workspace, &id, number, piece]).await?;
    Ok(())
}

/// All pieces are there: a job books the report. Nothing where it was started before; refused while another one of the same
/// provider is being booked.
pub async fn start(tx: &mut Tx, workspace: WorkspaceId, id: SettlementId) -> Result<Settlement, PaymentError> {
    let settlement = queries::get(tx, workspace, id).await?;
    if settlement.state != "receiving" {
        return Ok(settlement);
    }
    in_window(tx, workspace, settlement.provider, Some(id)).await?;
    tx.execute(&sql::START_SETTLEMENT, params![&workspace, &id]).await?;
    outbox::enqueue(tx, workspace, &BookSettlement { settlement: id }).await?;
    queries::get(tx, workspace, id).await
}

/// Makes sure that nothing of this provider, other than `but`, is being booked until this unit ends.
async fn in_window(tx: &mut Tx, workspace: WorkspaceId, provider: ProviderId, but: Option<SettlementId>) -> Result<(), PaymentError> {
    tx.lock(LOCK, &provider.to_string()).await?;
    if queries::is_running(tx, workspace, provider, but).await? { Err(PaymentError::SettlementRunning) } else { Ok(()) }
}

/// Posts what belongs together as one entry.
async fn post(tx: &mut Tx, workspace: WorkspaceId, source: &str, transfers: Vec<Transfer>) -> Result<(), PaymentError> {
    // A float that cannot pay a fee must not hold the rest up: it goes where a person sees it.
    let (of_float, together): (Vec<_>, Vec<_>) = transfers.into_iter().partition(is_of_float);
    let rows = wanted(tx, workspace, &together).await?;
    if !rows.is_empty() {
        ledger::post(tx, workspace, source, rows).await?;
    }
    for mut transfer in of_float {
        let rows = wanted(tx, workspace, std::slice::from_ref(&transfer)).await?;
        match ledger::post(tx, workspace, source, rows).await {
            Err(LedgerError::Refused { .. }) => {
                for place in [&mut transfer.debit, &mut transfer.credit] {
                    if matches!(place, Place::Float(_)) {
                        *place = Place::Differences;
                    }
                }
                let rows = wanted(tx, workspace, &[transfer]).await?;
                ledger::post(tx, workspace, source, rows).await?;
            }
            other => drop(other?),
        }
    }
    Ok(())
}

fn is_of_float(transfer: &Transfer) -> bool {
    matches!(transfer.debit, Place::Float(_)) || matches!(transfer.credit, Place::Float(_))
}

async fn wanted(tx: &mut Tx, workspace: WorkspaceId, transfers: &[Transfer]) -> Result<Vec<NewTransfer>, PaymentError> {
    let mut rows = Vec::with_capacity(transfers.len());
    for transfer in transfers {
        let unit = accounts::unit(transfer.amount.currency)?;
        let debit = accounts::account(tx, workspace, &transfer.debit, &unit).await?;
        let credit = accounts::account(tx, workspace, &transfer.credit, &unit).await?;
        let mut row = NewTransfer::exactly(TransferId::from_raw(transfer.id), debit, credit, unit, transfer.amount.amount_minor);
        row.memo = Some(transfer.memo.to_owned());
        rows.push(row);
    }
    Ok(rows)
}

/// A list of texts as one parameter.
fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> P<'static> {
    P::List(texts.into_iter().map(|text| P::Text(text.to_owned().into())).collect())
}

/// What is expected under these names.
async fn expected(tx: &mut impl Reads, workspace: WorkspaceId, provider: ProviderId, names: P<'_>) -> Result<Vec<Expected>, PaymentError> {
    Ok(tx.rows(&sql::KNOW_EXPECTED, params![&workspace, &provider, names], sql::expected).await?)
}
