//! The ledger over HTTP. What posts is answered by the database itself; what reads the books may be answered by a replica of
//! it, says which version it saw, and waits for one that the caller names.

mod batch;
mod bodies;
mod table;
mod views;
mod wanted;

use axum::extract::State;
use gateway::{Answer, Call, Json, Path, Problem, Query, body_limit, effect, effect_created};
use http::HeaderName;
use kernel::WorkspaceId;
use store::{Read, Store, Tx};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouterExt};
use utoipa_axum::routes;

use crate::account::{Account, AccountCode, AccountId};
use crate::commands::asked;
use crate::error::LedgerError;
use crate::queries::{self, AccountFilter, TrialUnit, Version};
use crate::transfer::{EntryId, TransferId};
use crate::{grants, keeper};

use bodies::{AccountBody, AccountPatchBody, WalletBody};
use views::{
    AccountView, AccountsView, BalanceView, EntryView, LineView, SealView, StatementView, TotalsView, TransferView, TrialBalanceView,
    TrialRowView,
};
use wanted::{AccountQuery, BalanceQuery, Detail, StatementQuery, TrialQuery, WalletQuery};

/// How many bytes a batch may have: 8,000 transfers, written with room.
const TRANSFERS_BODY_MAX: usize = 4 * 1024 * 1024;
/// How many bytes an entry may have: 100 lines with metadata.
const ENTRY_BODY_MAX: usize = 512 * 1024;
/// The version of the books that a table saw.
const VERSION: HeaderName = HeaderName::from_static("tessera-ledger-version");

/// What the routes need.
#[derive(Clone)]
pub struct Deps {
    /// Where the books are kept.
    pub store: Store,
}

/// The routes of the ledger.
pub fn routes(deps: Deps) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list, open))
        .routes(routes!(get, patch))
        .routes(routes!(close))
        .routes(routes!(reopen))
        .routes(routes!(balance))
        .routes(routes!(statement))
        .routes(routes!(table::statement))
        .routes(routes!(wallets, wallet))
        .routes(routes!(batch::transfers).layer(body_limit(TRANSFERS_BODY_MAX)))
        .routes(routes!(batch::entry).layer(body_limit(ENTRY_BODY_MAX)))
        .routes(routes!(batch::conversion))
        .routes(routes!(transfer))
        .routes(routes!(entry))
        .routes(routes!(trial_balance))
        .routes(routes!(seal))
        .with_state(deps)
}

/// The workspace of a caller who may read the books; the first line of every read.
fn allowed(call: &Call) -> Result<WorkspaceId, Problem> {
    Ok(call.caller()?.may(grants::READ).map_err(LedgerError::from)?)
}

/// Where the books are read, having come as far as the caller asked for, and how far that is.
async fn books(deps: &Deps, at_least: Option<Version>) -> Result<(Read, Version), LedgerError> {
    let mut reads = deps.store.replica();
    if let Some(version) = at_least {
        queries::wait_for(&deps.store, &mut reads, version).await?;
    }
    // Before everything else: what is read after it has come at least as far.
    let version = queries::version(&mut reads).await?;
    Ok((reads, version))
}

/// The account as it stands in the caller's unit.
async fn shown(tx: &mut Tx, account: Account) -> Result<AccountView, Problem> {
    let workspace = tx.caller().may(grants::POST).map_err(LedgerError::from)?;
    let totals = queries::totals(tx, workspace, &account).await?;
    Ok(AccountView::new(&account, &totals))
}

/// Opens an account.
#[utoipa::path(post, path = "/v1/ledger/accounts", tag = "ledger", request_body = AccountBody,
    responses((status = 201, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn open(State(deps): State<Deps>, call: Call, Json(body): Json<AccountBody>) -> Result<Answer<AccountView>, Problem> {
    effect_created(&deps.store, &call, body.parse()?, |tx, new| {
        Box::pin(async move {
            let account = asked::open(tx, new).await?;
            shown(tx, account).await
        })
    })
    .await
}

async fn page(
    reads: &mut Read,
    workspace: WorkspaceId,
    (filter, after, limit): (&AccountFilter, Option<&AccountCode>, u32),
    version: Version,
) -> Result<AccountsView, LedgerError> {
    let mut accounts = queries::accounts(reads, workspace, filter, after, limit + 1).await?;
    let has_more = accounts.len() > limit as usize;
    accounts.truncate(limit as usize);
    let totals = queries::totals_of(reads, workspace, &accounts).await?;
    let items = accounts.iter().map(|account| AccountView::new(account, &totals.get(&account.id).copied().unwrap_or_default())).collect();
    let next = accounts.last().filter(|_| has_more).map(|account| account.code.as_str().to_owned());
    Ok(AccountsView { items, next, version: version.to_string() })
}

/// Lists accounts by their codes, with what stands on them now.
#[utoipa::path(get, path = "/v1/ledger/accounts", tag = "ledger", params(AccountQuery),
    responses((status = 200, body = AccountsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn list(State(deps): State<Deps>, call: Call, Query(query): Query<AccountQuery>) -> Result<Answer<AccountsView>, Problem> {
    let workspace = allowed(&call)?;
    let (filter, after, limit, at_least) = query.parse()?;
    let (mut reads, version) = books(&deps, at_least).await?;
    Ok(Answer::ok(page(&mut reads, workspace, (&filter, after.as_ref(), limit), version).await?))
}

/// Gets an account, with what stands on it now.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}", tag = "ledger", params(("id" = String, Path)),
    responses((status = 200, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn get(State(deps): State<Deps>, call: Call, Path(id): Path<AccountId>) -> Result<Answer<AccountView>, Problem> {
    let workspace = allowed(&call)?;
    let mut reads = deps.store.read();
    let account = queries::account(&mut reads, workspace, id).await?;
    let totals = queries::totals(&mut reads, workspace, &account).await?;
    Ok(Answer::ok(AccountView::new(&account, &totals)))
}

/// Changes the name or the metadata of an account. What it is never changes.
#[utoipa::path(patch, path = "/v1/ledger/accounts/{id}", tag = "ledger", params(("id" = String, Path)), request_body = AccountPatchBody,
    responses((status = 200, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn patch(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<AccountId>,
    Json(body): Json<AccountPatchBody>,
) -> Result<Answer<AccountView>, Problem> {
    effect(&deps.store, &call, (id, body.parse()?), |tx, (id, edit)| {
        Box::pin(async move {
            let account = asked::edit(tx, id, edit).await?;
            shown(tx, account).await
        })
    })
    .await
}

/// Closes an account that holds nothing: nothing can be posted to it any more.
#[utoipa::path(post, path = "/v1/ledger/accounts/{id}/close", tag = "ledger", params(("id" = String, Path)),
    responses((status = 200, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn close(State(deps): State<Deps>, call: Call, Path(id): Path<AccountId>) -> Result<Answer<AccountView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| {
        Box::pin(async move {
            let account = asked::close(tx, id).await?;
            shown(tx, account).await
        })
    })
    .await
}

/// Opens a closed account again.
#[utoipa::path(post, path = "/v1/ledger/accounts/{id}/reopen", tag = "ledger", params(("id" = String, Path)),
    responses((status = 200, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn reopen(State(deps): State<Deps>, call: Call, Path(id): Path<AccountId>) -> Result<Answer<AccountView>, Problem> {
    effect(&deps.store, &call, id, |tx, id| {
        Box::pin(async move {
            let account = asked::reopen(tx, id).await?;
            shown(tx, account).await
        })
    })
    .await
}

/// The balance of an account, now or at a past time.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/balance", tag = "ledger", params(("id" = String, Path), BalanceQuery),
    responses((status = 200, body = BalanceView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn balance(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<AccountId>,
    Query(query): Query<BalanceQuery>,
) -> Result<Answer<BalanceView>, Problem> {
    let workspace = allowed(&call)?;
    let (at, at_least) = query.parse()?;
    let account = queries::account(&mut deps.store.read(), workspace, id).await?;
    let (mut reads, version) = books(&deps, at_least).await?;
    let totals = match at {
        Some((at, dating)) => queries::totals_at(&mut reads, workspace, &account, at, dating).await?,
        None => queries::totals(&mut reads, workspace, &account).await?,
    };
    Ok(Answer::ok(BalanceView {
        account: id,
        unit: account.unit.as_str().to_owned(),
        at: at.map(|(at, _)| at),
        totals: TotalsView::new(&account, &totals),
        version: version.to_string(),
    }))
}

/// The statement of an account, the newest line first.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/statement", tag = "ledger", params(("id" = String, Path), StatementQuery),
    responses((status = 200, body = StatementView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn statement(
    State(deps): State<Deps>,
    call: Call,
    Path(id): Path<AccountId>,
    Query(query): Query<StatementQuery>,
) -> Result<Answer<StatementView>, Problem> {
    let workspace = allowed(&call)?;
    let (period, before, limit, at_least) = query.parse()?;
    let account = queries::account(&mut deps.store.read(), workspace, id).await?;
    let (mut reads, version) = books(&deps, at_least).await?;
    let mut lines = queries::statement(&mut reads, workspace, id, &period, before, limit + 1).await?;
    let has_more = lines.len() > limit as usize;
    lines.truncate(limit as usize);
    let next = lines.last().filter(|_| has_more).map(|line| line.position.to_string());
    let items = lines.iter().map(|line| LineView::new(&account, line)).collect();
    Ok(Answer::ok(StatementView { account: id, items, next, version: version.to_string() }))
}

/// Gets the wallet of an owner for a unit, and opens it where there is none. It can never be overdrawn.
#[utoipa::path(post, path = "/v1/ledger/wallets", tag = "ledger", request_body = WalletBody,
    responses((status = 200, body = AccountView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn wallet(State(deps): State<Deps>, call: Call, Json(body): Json<WalletBody>) -> Result<Answer<AccountView>, Problem> {
    effect(&deps.store, &call, body.parse()?, |tx, (owner, unit, name)| {
        Box::pin(async move {
            let account = asked::wallet(tx, owner, unit, name).await?;
            shown(tx, account).await
        })
    })
    .await
}

/// Lists wallets by their owners, with what stands on them now.
#[utoipa::path(get, path = "/v1/ledger/wallets", tag = "ledger", params(WalletQuery),
    responses((status = 200, body = AccountsView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn wallets(State(deps): State<Deps>, call: Call, Query(query): Query<WalletQuery>) -> Result<Answer<AccountsView>, Problem> {
    let workspace = allowed(&call)?;
    let (filter, after, limit, at_least) = query.parse()?;
    let (mut reads, version) = books(&deps, at_least).await?;
    Ok(Answer::ok(page(&mut reads, workspace, (&filter, after.as_ref(), limit), version).await?))
}

/// Gets a transfer.
#[utoipa::path(get, path = "/v1/ledger/transfers/{id}", tag = "ledger", params(("id" = String, Path)),
    responses((status = 200, body = TransferView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn transfer(State(deps): State<Deps>, call: Call, Path(id): Path<TransferId>) -> Result<Answer<TransferView>, Problem> {
    let workspace = allowed(&call)?;
    let mut reads = deps.store.read();
    let found = queries::transfer(&mut reads, workspace, id).await?.ok_or(LedgerError::NotFound { what: "transfer" })?;
    let resolution = queries::resolution(&mut reads, workspace, id).await?;
    Ok(Answer::ok(TransferView { resolved_by: resolution.map(|transfer| transfer.id), ..TransferView::from(&found) }))
}

/// Gets an entry.
#[utoipa::path(get, path = "/v1/ledger/entries/{id}", tag = "ledger", params(("id" = String, Path)),
    responses((status = 200, body = EntryView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn entry(State(deps): State<Deps>, call: Call, Path(id): Path<EntryId>) -> Result<Answer<EntryView>, Problem> {
    let workspace = allowed(&call)?;
    let mut reads = deps.store.read();
    let found = queries::entry(&mut reads, workspace, id).await?;
    let ids = found.iter().map(|transfer| transfer.id);
    let version = queries::version_of_last(&mut reads, workspace, ids).await?.unwrap_or_default();
    Ok(Answer::ok(EntryView { id, transfers: found.iter().map(TransferView::from).collect(), version: version.to_string() }))
}

/// The trial balance, now or at a past time: in every unit debits and credits are the same.
#[utoipa::path(get, path = "/v1/ledger/trial-balance", tag = "ledger", params(TrialQuery),
    responses((status = 200, body = TrialBalanceView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn trial_balance(State(deps): State<Deps>, call: Call, Query(query): Query<TrialQuery>) -> Result<Answer<TrialBalanceView>, Problem> {
    let workspace = allowed(&call)?;
    let (at, detail, at_least) = query.parse()?;
    let (mut reads, _) = books(&deps, at_least).await?;
    let trial = queries::trial_balance(&mut reads, workspace, at).await?;
    let rows: fn(&TrialUnit) -> Vec<TrialRowView> = match detail {
        Detail::Accounts => |unit| unit.rows.iter().map(TrialRowView::from).collect(),
        Detail::Sums => |_| Vec::new(),
    };
    Ok(Answer::ok(TrialBalanceView::new(&trial, at, rows)))
}

/// The newest seal of the books, to be kept outside of them.
#[utoipa::path(get, path = "/v1/ledger/seal", tag = "ledger",
    responses((status = 200, body = SealView), gateway::openapi::ErrorResponses), security(("session" = []), ("key" = [])))]
async fn seal(State(deps): State<Deps>, call: Call) -> Result<Answer<SealView>, Problem> {
    let workspace = allowed(&call)?;
    let (mut reads, version) = books(&deps, None).await?;
    let sealed: keeper::Sealed = queries::seal(&mut reads, workspace).await?.ok_or(LedgerError::NotFound { what: "seal" })?;
    Ok(Answer::ok(SealView::new(&sealed, version)))
}
