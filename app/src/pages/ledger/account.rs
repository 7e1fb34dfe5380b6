//! The page of one account: what stands on it, how that came about over the chosen days, and its statement.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use kernel::{Timestamp, WorkspaceId};
use ledger::commands::asked;
use ledger::queries::by_day::{self, DayLine, Place};
use ledger::{Account, AccountId, Limits, Side, Totals, TransferKind};
use serde::Deserialize;
use store::Reads;

use super::super::frame::{Done, Frame, Owner, mendable, page_with, plain_day, query};
use super::super::session::NoFields;
use super::chart::BalanceChart;
use super::period::{Asked, Days};
use super::{Known, Money, account_id, kind_label, pending};
use crate::installation::Parts;

/// Lines of a statement on one page.
const SHOWN: usize = 50;

/// A line of the statement.
pub struct Row {
    transfer: String,
    day: String,
    entered: String,
    what: String,
    state: &'static str,
    counter: String,
    counter_id: String,
    source: String,
    debit: String,
    credit: String,
    balance: String,
}

#[derive(Template)]
#[template(path = "ledger_account.html")]
struct AccountPage {
    frame: Frame,
    id: String,
    name: String,
    code: String,
    kind: &'static str,
    is_closed: bool,
    opened: String,
    balance: Money,
    pending_in: Option<Money>,
    pending_out: Option<Money>,
    limit: String,
    days: Days,
    words: String,
    ranges: Vec<(&'static str, &'static str)>,
    chart: BalanceChart,
    rows: Vec<Row>,
    is_first: bool,
    first_href: String,
    next_href: String,
    api_query: String,
    can_post: bool,
    can_close: bool,
    metadata: String,
}

#[derive(Default, Deserialize)]
pub(super) struct ShowQuery {
    before: Option<String>,
}

/// What a limit lets through still, in a sentence.
fn limit_words(account: &Account, totals: &Totals) -> String {
    let left = |minor: i128| format!("{} {}", account.unit.major(minor), account.unit);
    match account.limits {
        Limits::None => "None".to_owned(),
        Limits::DebitsWithinCredits => format!("{} may still be debited", left(totals.debits_left())),
        Limits::CreditsWithinDebits => format!("{} may still be credited", left(totals.credits_left())),
    }
}

/// What a transfer was, in a word, and the class of its mark.
pub fn kind_words(kind: TransferKind) -> (&'static str, &'static str) {
    match kind {
        TransferKind::Transfer => ("Transfer", ""),
        TransferKind::Pending => ("Pending", "paused"),
        TransferKind::Post => ("Posted", "on"),
        TransferKind::Void => ("Voided", "retired"),
        TransferKind::Expire => ("Expired", "retired"),
    }
}

fn row(account: &Account, known: &Known, DayLine { place, line, balance }: &DayLine) -> Row {
    let transfer = &line.transfer;
    let (word, state) = kind_words(transfer.kind);
    let counter = match line.side {
        Side::Debit => transfer.credit,
        Side::Credit => transfer.debit,
    };
    // What was only promised, or released, moves nothing: its amount is told beside the word for it.
    let (posted, pending) = transfer.adds();
    let amount = if posted > 0 { account.unit.major(i128::from(posted)) } else { String::new() };
    let (debit, credit) = if line.side == Side::Debit { (amount, String::new()) } else { (String::new(), amount) };
    let moved = if posted == 0 { format!(" {}", account.unit.major(i128::from(pending.abs()))) } else { String::new() };
    let is_late = place.at.day() != transfer.recorded_at.day();
    Row {
        transfer: transfer.id.to_string(),
        day: plain_day(place.at),
        entered: if is_late { plain_day(transfer.recorded_at) } else { String::new() },
        what: transfer.memo.clone().unwrap_or_else(|| format!("{word}{moved}")),
        state,
        counter: known.name(counter),
        counter_id: counter.to_string(),
        source: transfer.source.clone().unwrap_or_default(),
        debit,
        credit,
        balance: account.unit.major(*balance),
    }
}

impl Row {
    /// The word for what did not simply move an amount, where the memo does not say it.
    fn mark(&self) -> &'static str {
        match self.state {
            "paused" => "Pending",
            "on" => "Was pending",
            "retired" => "Released",
            _ => "",
        }
    }
}

async fn compose(parts: &Parts, owner: &Owner, id: AccountId, days: Days, before: Option<Place>) -> Result<AccountPage, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let now = parts.store.clock().now();
    // One view of the books, so that the lines, their balances and the chart agree while others post.
    let mut reads = parts.store.snapshot().await?;
    let account = ledger::queries::account(&mut reads, workspace, id).await?;
    let totals = ledger::queries::totals(&mut reads, workspace, &account).await?;
    let page = by_day::lines_by_day(&mut reads, workspace, &account, &days.period(), before, SHOWN).await?;
    let chart = chart(&mut reads, workspace, &account, &days, now).await?;
    let mut known = Known::default();
    for line in &page.lines {
        known.learn(&mut reads, workspace, line.line.transfer.debit).await?;
        known.learn(&mut reads, workspace, line.line.transfer.credit).await?;
    }
    let (more, less) = pending(&account, &totals);
    let is_empty = account.balance(&totals) == 0 && more == 0 && less == 0;
    let can_post = owner.can(ledger::grants::POST);
    let here = |before: &str| format!("/ledger/accounts/{id}?{}", days.query(before));
    Ok(AccountPage {
        frame: owner.frame("ledger", account.name.clone()).shaped(""),
        id: id.to_string(),
        name: account.name.clone(),
        code: account.code.to_string(),
        kind: kind_label(account.kind),
        is_closed: account.closed_at.is_some(),
        opened: plain_day(account.created_at),
        balance: Money::of(account.balance(&totals), &account.unit),
        pending_in: (more != 0).then(|| Money::of(more, &account.unit)),
        pending_out: (less != 0).then(|| Money::of(less, &account.unit)),
        limit: limit_words(&account, &totals),
        words: days.words(),
        ranges: Days::choice(),
        chart,
        rows: page.lines.iter().map(|line| row(&account, &known, line)).collect(),
        is_first: before.is_none(),
        first_href: here(""),
        next_href: page.next.map(|next| here(&next.to_string())).unwrap_or_default(),
        api_query: days.api_query(),
        can_post,
        can_close: can_post && is_empty,
        metadata: account.metadata.as_ref().map(pretty).unwrap_or_default(),
        days,
    })
}

/// JSON with a line for each of its parts.
pub fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

async fn chart(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: &Account,
    days: &Days,
    now: Timestamp,
) -> Result<BalanceChart, Problem> {
    let first = if days.from.is_none() { by_day::first_day(reads, workspace, account.id).await? } else { None };
    let (from, width, steps) = days.steps(first, now);
    let balances = by_day::balances_by_day(reads, workspace, account, from, width, steps).await?;
    Ok(BalanceChart::of(&balances, from, width, &account.unit))
}

/// `GET /ledger/accounts/{id}`
pub(super) async fn show(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Query(days): Query<Asked>,
    Query(asked): Query<ShowQuery>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let days = Days::of(&days, parts.store.clock().now());
    let before = asked.before.as_deref().and_then(|text| text.parse().ok());
    let mut page = compose(&parts, &owner, account_id(&id)?, days, before).await?;
    page.frame.done = done.sentence();
    page_with(&page, http::StatusCode::OK)
}

/// On to the page of the account, or the page again with what was refused.
async fn ended<T>(parts: &Parts, owner: &Owner, id: AccountId, done: Result<T, Problem>, word: &str) -> Result<Response, Problem> {
    match done {
        Ok(_) => Ok(see_other(&format!("/ledger/accounts/{id}?{}", query(&[("done", word)])))),
        Err(problem) => {
            let refusal = mendable(problem)?;
            let days = Days::of(&Asked::default(), parts.store.clock().now());
            let mut page = compose(parts, owner, id, days, None).await?;
            page.frame.alert = refusal.sentence();
            page_with(&page, refusal.status())
        }
    }
}

/// `POST /ledger/accounts/{id}/close`
pub(super) async fn close(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = account_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            asked::close(tx, id).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, id, done.await, "closed").await
}

/// `POST /ledger/accounts/{id}/reopen`
pub(super) async fn reopen(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(_): Form<NoFields>,
) -> Result<Response, Problem> {
    let id = account_id(&id)?;
    let done = gateway::effect_done(&parts.store, &owner.call, id, |tx, id| {
        Box::pin(async move {
            asked::reopen(tx, id).await?;
            Ok(())
        })
    });
    ended(&parts, &owner, id, done.await, "reopened").await
}
