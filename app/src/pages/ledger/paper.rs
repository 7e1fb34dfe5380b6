//! An account's statement on paper: the same days and lines as its page, as one PDF.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use gateway::{Call, Path, Problem, Query};
use http::{HeaderValue, header};
use kernel::{Timestamp, WorkspaceId};
use ledger::pdf::{self, ROWS_MAX, Sheet, SheetRow};
use ledger::queries::Period;
use ledger::queries::by_day::{self, DayLine, DayLines};
use ledger::{Account, AccountId, LedgerError, Side};
use serde::Deserialize;
use store::{Reads, Store};
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::frame::{plain_day, plain_time};
use super::account::kind_words;
use super::{Known, kind_label, period};

/// The routes.
pub fn routes(store: Store) -> OpenApiRouter {
    OpenApiRouter::new().routes(routes!(statement)).with_state(store)
}

/// Which time a statement covers.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct PaperQuery {
    /// The first instant that it covers, by RFC 3339; without it from the beginning.
    from: Option<String>,
    /// The first instant after it, by RFC 3339; without it to the end.
    until: Option<String>,
}

impl PaperQuery {
    fn period(&self) -> Result<Period, Problem> {
        let instant = |field: &str, text: &Option<String>| match text.as_deref() {
            None | Some("") => Ok(None),
            Some(text) => match Timestamp::parse(text) {
                Ok(at) => Ok(Some(at)),
                Err(_) => Err(Problem::invalid_field(field, "must be an instant by RFC 3339, such as 2026-02-03T00:00:00Z")),
            },
        };
        Ok(Period { from: instant("from", &self.from)?, until: instant("until", &self.until)? })
    }
}

/// Gets the statement of an account as a PDF, by the day that transfers count from, the oldest line first. It has at most 4,000
/// lines; what is longer is refused, and `statement.csv` has no such end.
#[utoipa::path(get, path = "/v1/ledger/accounts/{id}/statement.pdf", tag = "ledger", params(("id" = String, Path), PaperQuery),
    responses((status = 200, content_type = "application/pdf", body = Vec<u8>), gateway::openapi::ErrorResponses),
    security(("session" = []), ("key" = [])))]
async fn statement(
    State(store): State<Store>,
    call: Call,
    Path(id): Path<AccountId>,
    Query(asked): Query<PaperQuery>,
) -> Result<Response, Problem> {
    let workspace = call.caller()?.may(ledger::grants::READ).map_err(LedgerError::from)?;
    let period = asked.period()?;
    // One view of the books: what is booked meanwhile belongs on the next statement.
    let mut reads = store.snapshot().await?;
    let account = ledger::queries::account(&mut reads, workspace, id).await?;
    let sheet = sheet(&mut reads, workspace, &account, &period, store.clock().now()).await?;
    drop(reads);
    // Thousands of lines take their time: not on a thread that serves others.
    let printed = tokio::task::spawn_blocking(move || pdf::print(&sheet)).await.map_err(Problem::internal)?;
    let name = format!("attachment; filename=\"statement-{}.pdf\"", account.code);
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/pdf")),
        (header::CONTENT_DISPOSITION, HeaderValue::from_str(&name).map_err(Problem::internal)?),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    Ok((headers, printed.map_err(Problem::internal)?).into_response())
}

async fn sheet(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    account: &Account,
    period: &Period,
    now: Timestamp,
) -> Result<Sheet, Problem> {
    let lines = lines(reads, workspace, account, period).await?;
    let (opening, closing) = match (lines.first(), lines.last()) {
        (Some(oldest), Some(newest)) => (oldest.balance - by_day::adds(account.kind, &oldest.line), newest.balance),
        _ => {
            let still = match period.until.or(period.from) {
                Some(edge) => by_day::balance_before(reads, workspace, account, edge).await?,
                None => 0,
            };
            (still, still)
        }
    };
    let mut known = Known::default();
    let (mut debits, mut credits) = (0, 0);
    for DayLine { line, .. } in &lines {
        let posted = i128::from(line.transfer.adds().0);
        match line.side {
            Side::Debit => debits += posted,
            Side::Credit => credits += posted,
        }
        known.learn(reads, workspace, line.transfer.debit).await?;
        known.learn(reads, workspace, line.transfer.credit).await?;
    }
    let held = people::queries::workspace(reads, workspace).await?;
    let major = |minor: i128| account.unit.major(minor);
    Ok(Sheet {
        workspace: held.map(|workspace| workspace.name.as_str().to_owned()).unwrap_or_default(),
        account: account.name.clone(),
        about: format!("{} · {} · {}", account.code, kind_label(account.kind), account.unit),
        period: period::words(period),
        made: format!("Made on {}. Days are those of UTC from which transfers count.", plain_time(now)),
        opening: major(opening),
        sums: vec![("Debits".to_owned(), major(debits)), ("Credits".to_owned(), major(credits))],
        closing: major(closing),
        rows: lines.iter().map(|line| row(account, &known, line)).collect(),
    })
}

/// The lines of the period, the oldest first.
async fn lines(reads: &mut impl Reads, workspace: WorkspaceId, account: &Account, period: &Period) -> Result<Vec<DayLine>, Problem> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let left = ROWS_MAX + 1 - all.len();
        let DayLines { lines, next } = by_day::lines_by_day(reads, workspace, account, period, before, left).await?;
        all.extend(lines);
        if all.len() > ROWS_MAX {
            let told = format!("leaves more than {ROWS_MAX} lines, too many for paper: choose a shorter time, or take statement.csv");
            return Err(Problem::invalid_field("from", told));
        }
        before = next;
        if before.is_none() {
            all.reverse();
            return Ok(all);
        }
    }
}

fn row(account: &Account, known: &Known, DayLine { place, line, balance }: &DayLine) -> SheetRow {
    let transfer = &line.transfer;
    let (word, _) = kind_words(transfer.kind);
    let (posted, pending) = transfer.adds();
    let amount = if posted > 0 { account.unit.major(i128::from(posted)) } else { String::new() };
    let (debit, credit, counter) = match line.side {
        Side::Debit => (amount, String::new(), transfer.credit),
        Side::Credit => (String::new(), amount, transfer.debit),
    };
    let moved = format!("{word} {}", account.unit.major(i128::from(pending.abs())));
    let words = match (&transfer.memo, posted) {
        (Some(memo), 0) => format!("{memo} ({})", moved.to_lowercase()),
        (Some(memo), _) => memo.clone(),
        (None, 0) => moved,
        (None, _) => word.to_owned(),
    };
    let entered = (place.at.day() != transfer.recorded_at.day()).then(|| format!("entered {}", plain_day(transfer.recorded_at)));
    let under = [Some(known.name(counter)), transfer.source.clone(), entered];
    SheetRow {
        day: plain_day(place.at),
        words,
        under: under.into_iter().flatten().collect::<Vec<_>>().join(" · "),
        debit,
        credit,
        balance: account.unit.major(*balance),
    }
}
