//! An account's statement as a table, sent while it is read.

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use gateway::table::{self, Cell};
use gateway::{Call, Path, Problem, Query};
use http::{HeaderValue, header};
use kernel::WorkspaceId;
use store::Read;

use super::wanted::StatementQuery;
use super::{Deps, allowed, books};
use crate::account::{Account, AccountId, Side};
use crate::error::LedgerError;
use crate::queries::{self, Line, Period};
use crate::transfer::EntryId;

/// How many lines one step of the table holds in memory.
const STEP: u32 = 500;
const COLUMNS: [&str; 15] = [
    "position",
    "booked_at",
    "effective_at",
    "transfer",
    "kind",
    "entry",
    "source",
    "memo",
    "other_account",
    "unit",
    "debit",
    "credit",
    "debit_pending",
    "credit_pending",
    "balance",
];

/// The statement of an account as a table, the oldest line first. Amounts are in major units.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/statement.csv", tag = "ledger", params(("id" = String, Path), StatementQuery),
    responses((status = 200, content_type = "text/csv", body = String), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
pub(super) async fn statement(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<AccountId>,
    Query(query): Query<StatementQuery>,
) -> Result<Response, Problem> {
    let workspace = allowed(&call)?;
    let (period, after, _, at_least) = query.parse()?;
    if after.is_some() {
        return Err(LedgerError::field("after", "does not go with a table, which has no pages").into());
    }
    let account = queries::account(&mut deps.store.read(), workspace, id).await?;
    let (mut reads, version) = books(&deps, at_least).await?;
    // What is booked while the table is on its way belongs into the next one.
    let last = queries::statement(&mut reads, workspace, id, &period, None, 1).await?.first().map_or(0, |line| line.position);
    let state = Table { reads, workspace, account, period, last };
    let body = stream::try_unfold((state, None), |(state, after)| next_step(state, after));
    let name = format!("attachment; filename=\"statement-{}.csv\"", id);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/csv; charset=utf-8; header=present")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Problem::internal)?),
        (super::VERSION, HeaderValue::from_str(&version.to_string()).map_err(Problem::internal)?),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// What a step needs.
struct Table {
    reads: Read,
    workspace: WorkspaceId,
    account: Account,
    period: Period,
    /// The position at which the table ends.
    last: i64,
}

/// The next piece of the table, after a position; the first one begins with the head. A failure cuts the answer off, so that
/// half a table is not taken for the whole.
async fn next_step(mut state: Table, after: Option<i64>) -> Result<Option<(Vec<u8>, (Table, Option<i64>))>, LedgerError> {
    let mut piece = if after.is_none() { table::head(&COLUMNS) } else { Vec::new() };
    if after.is_some_and(|after| after >= state.last) {
        return Ok(None);
    }
    let mut lines = queries::statement_forward(&mut state.reads, state.workspace, state.account.id, &state.period, after, STEP).await?;
    lines.retain(|line| line.position <= state.last);
    let next = lines.last().map_or(i64::MAX, |line| line.position);
    piece.extend(table::rows(lines.iter().map(|line| cells(&state.account, line))));
    Ok(Some((piece, (state, Some(next)))))
}

fn cells(account: &Account, line: &Line) -> [Cell; 15] {
    let transfer = &line.transfer;
    let (posted, pending) = transfer.adds();
    let other = if line.side == Side::Debit { transfer.credit } else { transfer.debit };
    let text = |text: Option<&str>| Cell::Text(text.unwrap_or_default().to_owned());
    let amount = |side: Side, amount: i64| {
        let is_here = side == line.side && amount != 0;
        Cell::Number(if is_here { account.unit.major(i128::from(amount)) } else { String::new() })
    };
    [
        Cell::Number(line.position.to_string()),
        Cell::Text(line.booked_at.to_string()),
        Cell::Text(transfer.effective_at.to_string()),
        Cell::Text(transfer.id.to_string()),
        Cell::Text(transfer.kind.as_str().to_owned()),
        Cell::Text(transfer.entry.map(|entry: EntryId| entry.to_string()).unwrap_or_default()),
        text(transfer.source.as_deref()),
        text(transfer.memo.as_deref()),
        Cell::Text(other.to_string()),
        Cell::Text(account.unit.as_str().to_owned()),
        amount(Side::Debit, posted),
        amount(Side::Credit, posted),
        amount(Side::Debit, pending),
        amount(Side::Credit, pending),
        Cell::Number(account.unit.major(account.balance(&line.after))),
    ]
}
