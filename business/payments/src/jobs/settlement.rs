//! The jobs of settlement: booking a report, looking at postings, and what is done once a day.

mod file;

use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Timestamp, WorkspaceId};
use outbox::{Job, JobContext, JobError};
use serde::{Deserialize, Serialize};
use store::{Reads as _, params};

use super::{Engine, opened};
use crate::commands::settlement::{self as commands, NewSettlement, PIECE_BYTES};
use crate::error::PaymentError;
use crate::intent::IntentId;
use crate::provider::{ProviderId, Question, ReportLine, Told};
use crate::queries::settlement as queries;
use crate::settlement::{self, CHUNK_LINES, Format, Reader, Rules, Settlement, SettlementId};
use crate::sql::settlement as sql;

pub use file::{ReportFile, take_file};

static BOOKKEEPER: Caller = Caller::system("payments.settle");
const DAY: Duration = Duration::from_secs(86_400);
const HOUR: Duration = Duration::from_secs(3_600);

/// When the report of the day that ends at `until` is fetched.
pub fn due(until: Timestamp) -> Timestamp {
    until.plus(3 * HOUR)
}

/// Books a report, from where the last run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookSettlement {
    /// Which.
    pub settlement: SettlementId,
}

impl Job for BookSettlement {
    const NAME: &'static str = "payments.book_settlement";
    const LANE: &'static str = "payments_settlement";
    const TIMEOUT: Duration = Duration::from_secs(600);
    // Each attempt goes on where the last one ended.
    const ATTEMPTS_MAX: u32 = 50;

    fn key(&self) -> String {
        self.settlement.to_string()
    }
}

/// Matches bank lines with the batches that are booked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MatchBankLines {}

impl Job for MatchBankLines {
    const NAME: &'static str = "payments.match_bank_lines";
    const LANE: &'static str = "payments_settlement";

    fn key(&self) -> String {
        "bank".to_owned()
    }
}

/// Compares the ledger with what an intent's events should have moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckPostings {
    /// Of which intent.
    pub intent: IntentId,
}

impl Job for CheckPostings {
    const NAME: &'static str = "payments.check_postings";
    const LANE: &'static str = "payments_check";

    fn key(&self) -> String {
        self.intent.to_string()
    }
}

/// What is done once a day for one provider: its report of yesterday is fetched, what is missing is looked for, and every
/// posting of yesterday is looked at once more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleDaily {
    /// Which.
    pub provider: ProviderId,
    /// The day before this instant.
    pub until: Timestamp,
}

impl Job for SettleDaily {
    const NAME: &'static str = "payments.settle_daily";
    const LANE: &'static str = "payments_settlement";
    const TIMEOUT: Duration = Duration::from_secs(600);

    fn key(&self) -> String {
        self.provider.to_string()
    }
}

/// Runs [`BookSettlement`].
pub async fn book_settlement(engine: Engine, job: BookSettlement, context: JobContext) -> Result<(), JobError> {
    let _ = &engine;
    let workspace = context.workspace();
    let settlement = queries::get(&mut context.store().read(), workspace, job.settlement).await?;
    if settlement.state != "booking" {
        return Ok(());
    }
    book(context.store(), workspace, &settlement).await
}

/// Books all of a settlement that is not booked yet. What stops it half-way, it goes on from.
pub async fn book(store: &store::Store, workspace: WorkspaceId, settlement: &Settlement) -> Result<(), JobError> {
    let provider = crate::queries::provider(&mut store.read(), workspace, settlement.provider).await?;
    let rules = Rules::of(&provider);
    let mut desk = Desk { store, workspace, settlement, rules, seen: 0, waiting: Vec::with_capacity(CHUNK_LINES) };
    let read = if settlement.format == Format::Neutral.as_str() {
        desk.book_neutral().await
    } else {
        let account = provider.open(store.vault())?;
        let adapter = provider.dialect.provider();
        desk.book_whole(|bytes| adapter.report(&account, bytes).map_err(|error| error.to_string())).await
    };
    match read {
        Err(Stop::Unreadable(why)) => {
            let input = (workspace, settlement.id, why);
            store
                .write(&BOOKKEEPER, input, |tx, (workspace, id, why)| {
                    Box::pin(async move { commands::fail(tx, workspace, id, &why).await })
                })
                .await?;
            return Ok(());
        }
        Err(Stop::Overtaken) => return Ok(()),
        Err(Stop::Failed(error)) => return Err(error.into()),
        Ok(()) => {}
    }
    // Missing ones are looked for before the window ends, so that whoever reads sees all or nothing of a report.
    loop {
        let input = (workspace, settlement.clone(), rules);
        let looked = store.write_bulk(&BOOKKEEPER, input, |tx, (workspace, settlement, rules)| {
            Box::pin(async move { commands::look_for_missing(tx, workspace, settlement.provider, rules, Some(&settlement)).await })
        });
        if looked.await? < MISSING_AT_ONCE {
            break;
        }
    }
    let input = (workspace, settlement.id);
    store
        .write(&BOOKKEEPER, input, |tx, (workspace, id)| {
            Box::pin(async move {
                commands::finish(tx, workspace, id).await?;
                outbox::enqueue(tx, workspace, &MatchBankLines {}).await?;
                Ok::<_, PaymentError>(())
            })
        })
        .await?;
    Ok(())
}

/// As many as one unit looks at: fewer were the last.
const MISSING_AT_ONCE: i64 = 500;

/// Why booking stopped.
enum Stop {
    Unreadable(String),
    Overtaken,
    Failed(PaymentError),
}

impl From<PaymentError> for Stop {
    fn from(error: PaymentError) -> Self {
        Self::Failed(error)
    }
}

impl From<store::StoreError> for Stop {
    fn from(error: store::StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// A report on its way into the books.
struct Desk<'s> {
    store: &'s store::Store,
    workspace: WorkspaceId,
    settlement: &'s Settlement,
    rules: Rules,
    /// Lines that were read.
    seen: i64,
    /// Lines that wait until a chunk is full.
    waiting: Vec<ReportLine>,
}

impl Desk<'_> {
    async fn piece(&self, number: i64) -> Result<Option<Vec<u8>>, Stop> {
        Ok(self
            .store
            .read()
            .row(&sql::FIND_PIECE, params![&self.workspace, &self.settlement.id, number], |row| row.get::<Vec<u8>>("body"))
            .await?)
    }

    async fn book_neutral(&mut self) -> Result<(), Stop> {
        let mut reader = Reader::default();
        let mut number = 0;
        while let Some(piece) = self.piece(number).await? {
            self.take(reader.take(&piece).map_err(Stop::Unreadable)?).await?;
            number += 1;
        }
        self.take(reader.end().map_err(Stop::Unreadable)?).await?;
        self.write().await
    }

    async fn book_whole(&mut self, read: impl Fn(&[u8]) -> Result<Vec<ReportLine>, String>) -> Result<(), Stop> {
        let mut whole = Vec::with_capacity(usize::try_from(self.settlement.bytes).unwrap_or_default().min(64 * PIECE_BYTES));
        let mut number = 0;
        while let Some(piece) = self.piece(number).await? {
            whole.extend_from_slice(&piece);
            number += 1;
        }
        self.take(read(&whole).map_err(Stop::Unreadable)?).await?;
        self.write().await
    }

    async fn take(&mut self, lines: Vec<ReportLine>) -> Result<(), Stop> {
        for line in lines {
            self.seen += 1;
            // These were booked by a run that did not come to its end.
            if self.seen <= self.settlement.booked {
                continue;
            }
            self.waiting.push(line);
            if self.waiting.len() == CHUNK_LINES {
                self.write().await?;
            }
        }
        Ok(())
    }

    async fn write(&mut self) -> Result<(), Stop> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let lines = std::mem::replace(&mut self.waiting, Vec::with_capacity(CHUNK_LINES));
        let before = self.seen - i64::try_from(lines.len()).unwrap_or(i64::MAX);
        let input = (self.workspace, self.settlement.id, self.settlement.provider, self.rules, before, Arc::new(lines));
        let booked = self.store.write_bulk(&BOOKKEEPER, input, |tx, (workspace, settlement, provider, rules, before, lines)| {
            Box::pin(async move { commands::book_chunk(tx, workspace, settlement, provider, rules, before, &lines).await })
        });
        if booked.await?.is_overtaken { Err(Stop::Overtaken) } else { Ok(()) }
    }
}

/// Runs [`MatchBankLines`].
pub async fn match_bank_lines(_: MatchBankLines, context: JobContext) -> Result<(), JobError> {
    let mut after = None;
    loop {
        let input = (context.workspace(), after);
        let at = context.store().write_bulk(&BOOKKEEPER, input, |tx, (workspace, after)| {
            Box::pin(async move { commands::match_bank_lines(tx, workspace, after).await })
        });
        after = at.await?;
        if after.is_none() {
            return Ok(());
        }
    }
}

/// Runs [`CheckPostings`].
pub async fn check_postings(job: CheckPostings, context: JobContext) -> Result<(), JobError> {
    let input = (context.workspace(), job.intent);
    context
        .write(input, |tx, (workspace, intent)| Box::pin(async move { commands::check_postings(tx, workspace, intent).await.map(|_| ()) }))
        .await
}

/// Runs [`SettleDaily`] and asks for that of the next day.
pub async fn settle_daily(engine: Engine, job: SettleDaily, context: JobContext) -> Result<(), JobError> {
    let workspace = context.workspace();
    let (adapter, account, _) = opened(&context, job.provider).await?;
    let from = job.until.minus(DAY);
    let mut next = SettleDaily { until: job.until.plus(DAY), ..job.clone() };
    let mut at = due(next.until);
    if adapter.abilities().reports {
        match adapter.ask(&engine.client, &account, &Question::Settled { from, until: job.until }).await {
            Ok(Told::Report(bytes)) => {
                let lines = settlement::count(Format::Provider, adapter, &account, &bytes).map_err(JobError::give_up)?.lines;
                if lines > 0 {
                    fetched(&context, &job, bytes, lines).await?;
                }
            }
            Ok(_) => tracing::info!(provider = %job.provider, "a provider had no report"),
            // A day that was not fetched is asked for until it is: no day is passed by.
            Err(failure) => {
                tracing::warn!(provider = %job.provider, %failure, "a report could not be fetched");
                (next, at) = (job.clone(), context.store().clock().now().plus(HOUR));
            }
        }
    }
    let record = crate::queries::provider(&mut context.store().read(), workspace, job.provider).await?;
    let rules = Rules::of(&record);
    loop {
        let input = (workspace, job.provider, rules);
        let looked = context.store().write_bulk(&BOOKKEEPER, input, |tx, (workspace, provider, rules)| {
            Box::pin(async move { commands::look_for_missing(tx, workspace, provider, rules, None).await })
        });
        if looked.await? < MISSING_AT_ONCE {
            break;
        }
    }
    check_yesterday(&context, from, job.until).await?;
    context
        .write((workspace, next, at), |tx, (workspace, next, at)| {
            Box::pin(async move {
                outbox::enqueue_at(tx, workspace, at, &next).await?;
                Ok::<_, PaymentError>(())
            })
        })
        .await
}

async fn fetched(context: &JobContext, job: &SettleDaily, bytes: Vec<u8>, lines: i64) -> Result<(), JobError> {
    let new = NewSettlement {
        provider: job.provider,
        digest: settlement::digest(&bytes),
        name: format!("fetched for the day before {}", job.until),
        format: Format::Provider,
        covers_until: None,
        bytes: i64::try_from(bytes.len()).unwrap_or(i64::MAX),
        lines,
    };
    let input = (context.workspace(), new, Arc::new(bytes));
    let kept = context.store().write(&BOOKKEEPER, input, |tx, (workspace, new, bytes)| {
        Box::pin(async move {
            let id = commands::begin(tx, workspace, new).await?;
            for (number, piece) in (0_i64..).zip(bytes.chunks(PIECE_BYTES)) {
                commands::keep_piece(tx, workspace, id, number, piece).await?;
            }
            commands::start(tx, workspace, id).await.map(|_| ())
        })
    });
    Ok::<_, JobError>(kept.await?)
}

async fn check_yesterday(context: &JobContext, from: Timestamp, until: Timestamp) -> Result<(), JobError> {
    const AT_ONCE: i64 = 200;
    let workspace = context.workspace();
    let mut after = String::new();
    loop {
        let ids = context
            .store()
            .read()
            .rows(&sql::CHANGED_INTENTS, params![&workspace, from, until, &after, AT_ONCE], |row| row.id::<IntentId>("id"))
            .await?;
        for id in &ids {
            let check = context.store().write_bulk(&BOOKKEEPER, (workspace, *id), |tx, (workspace, id)| {
                Box::pin(async move { commands::check_postings(tx, workspace, id).await })
            });
            check.await?;
        }
        match ids.last() {
            Some(last) => after = last.to_string(),
            None => return Ok(()),
        }
    }
}
