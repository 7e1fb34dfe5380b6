//! The fold: from the journal into the database, exactly once.
//!
//! A window of the journal is read, double scans are told apart, and what remains is added to the rows of its codes, in the
//! order of codes, some hundred codes to a unit of work. Each unit also moves the journal's mark by compare-and-set, so that
//! a window, or a part of it, is counted by one committed unit or by none. After any failure, an unknown outcome included,
//! everything in memory is thrown away and read back from the database and the journal.

mod heard;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Caller, WorkspaceId};
use store::{P, Reads, Store, params};

use self::heard::Heard;
use self::rows::{DayRow, Rows, TotalsRow};
use super::doubles::{Doubles, WINDOW_MICROS};
use super::error::ScanError;
use super::events::Scanned;
use super::journal::{Journal, Position};
use super::record::Record;
use super::sql::{self, Mark};
use crate::PublicCode;

/// Slots of one window at most: some 9 MB in memory.
const WINDOW_SLOTS: u64 = 65_536;
/// Codes of one unit at most: two rows each, well below 20 ms.
const CODES_PER_UNIT: usize = 250;
/// Facts of one window at most; beyond, one for each workspace.
const FACTS_MAX: usize = 100;
/// How often the codes whose owners want to be told are looked up.
const ALERTED_EVERY: Duration = Duration::from_secs(2);

/// Everything that one unit writes; the same however often it is run.
struct Part {
    node: i64,
    from: Mark,
    to: Mark,
    days: Vec<DayRow>,
    totals: Vec<TotalsRow>,
    facts: Vec<(WorkspaceId, Scanned)>,
}

/// What one call of [`Fold::step`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Scans that were counted.
    pub scans: u64,
    /// Everything before it is counted.
    pub at: Position,
}

/// Counts one journal.
pub struct Fold {
    store: Store,
    journal: Arc<Journal>,
    mark: Mark,
    rows: Rows,
    doubles: Doubles,
    window: Vec<(Record, bool)>,
    order: Vec<(u64, u32)>,
    /// When the last scan of each segment was that is still there, in microseconds.
    last_at: BTreeMap<u64, i64>,
    alerted: HashSet<u64>,
    alerted_at: Option<Instant>,
    is_lost: bool,
}

impl Fold {
    /// Where the node's journal is counted up to; makes its row if it has none.
    pub async fn mark_of(store: &Store, node: i64) -> Result<Position, ScanError> {
        let mark = store
            .write(&Caller::system("scans"), node, |tx, node| {
                Box::pin(async move {
                    tx.execute(&sql::JOURNAL_ADD_EVERYWHERE, params![node]).await?;
                    tx.row(&sql::JOURNAL_EVERYWHERE, params![node], sql::mark).await?.ok_or(ScanError::Moved)
                })
            })
            .await?;
        Ok(mark.upto.unwrap_or(mark.at).max(mark.at))
    }

    /// Takes up the counting of a journal where it was left.
    pub async fn begin(store: Store, journal: Arc<Journal>) -> Result<Self, ScanError> {
        let mark = Mark { at: Position::default(), upto: None, done_code: -1 };
        let mut fold = Self {
            store,
            journal,
            mark,
            rows: Rows::default(),
            doubles: Doubles::default(),
            window: Vec::new(),
            order: Vec::new(),
            last_at: BTreeMap::new(),
            alerted: HashSet::new(),
            alerted_at: None,
            is_lost: true,
        };
        fold.find_again().await?;
        if fold.mark.at == Position::default() && fold.mark.upto.is_none() {
            fold.rows = Rows::of_new_node();
        }
        Ok(fold)
    }

    /// Everything before it is counted.
    pub fn position(&self) -> Position {
        self.mark.at
    }

    /// Counts what is in the journal, one window of it at most. An error leaves nothing half counted; try again later.
    pub async fn step(&mut self) -> Result<Step, ScanError> {
        if self.is_lost {
            self.find_again().await?;
        }
        let done = self.window().await;
        // What is in memory may be ahead of what is committed, or behind it.
        self.is_lost = done.is_err();
        done
    }

    /// Reads everything back that a failure may have put in doubt.
    async fn find_again(&mut self) -> Result<(), ScanError> {
        let node = self.journal.node();
        let mark = self.store.read().row(&sql::JOURNAL_EVERYWHERE, params![node], sql::mark).await?.ok_or(ScanError::Moved)?;
        self.rows.clear(mark == self.mark);
        self.mark = mark;
        self.doubles = Doubles::default();
        let (doubles, last_at) = (&mut self.doubles, &mut self.last_at);
        let from = Position { segment: self.journal.oldest(), slot: 0 };
        self.journal.read_upto(from, self.mark.at, |position, record| {
            doubles.note(record.code, record.device, record.at.as_micros());
            let last = last_at.entry(position.segment).or_insert(i64::MIN);
            *last = record.at.as_micros().max(*last);
        })?;
        self.is_lost = false;
        Ok(())
    }

    async fn window(&mut self) -> Result<Step, ScanError> {
        self.window.clear();
        self.order.clear();
        let (window, order, doubles, last_at) = (&mut self.window, &mut self.order, &mut self.doubles, &mut self.last_at);
        let take = |position: Position, record: &Record| {
            let is_double = doubles.note(record.code, record.device, record.at.as_micros());
            let last = last_at.entry(position.segment).or_insert(i64::MIN);
            *last = record.at.as_micros().max(*last);
            order.push((record.code, window.len() as u32));
            window.push((*record, is_double));
        };
        // A window that was begun is finished as it was begun.
        let end = match self.mark.upto {
            Some(upto) => {
                self.journal.read_upto(self.mark.at, upto, take)?;
                upto
            }
            None => self.journal.read(self.mark.at, WINDOW_SLOTS, take)?,
        };
        if end == self.mark.at {
            return Ok(Step { scans: 0, at: end });
        }
        self.order.sort_unstable();
        let done_code = self.mark.done_code;
        let skip = self.order.partition_point(|(code, _)| *code as i64 <= done_code);
        let mut facts = self.facts(skip).await;
        let mut rest = std::mem::take(&mut self.order);
        let mut at = skip;
        let mut counted = 0;
        loop {
            let part_end = part_end(&rest, at);
            let is_last = part_end == rest.len();
            let to = if is_last {
                Mark { at: end, upto: None, done_code: -1 }
            } else {
                Mark { at: self.mark.at, upto: Some(end), done_code: rest[part_end - 1].0 as i64 }
            };
            let (days, totals) = self.rows.add(&self.store, self.journal.node(), &self.window, &rest[at..part_end]).await?;
            let facts = if is_last { std::mem::take(&mut facts) } else { Vec::new() };
            let part = Part { node: self.journal.node(), from: self.mark, to, days, totals, facts };
            self.store.write_bulk(&Caller::system("scans"), Arc::new(part), |tx, part| Box::pin(write(tx, part))).await?;
            self.mark = to;
            self.rows.trim();
            counted += (part_end - at) as u64;
            at = part_end;
            if is_last {
                break;
            }
        }
        rest.clear();
        self.order = rest;
        self.forget_segments();
        if self.window.capacity() > 16_384 && self.window.len() < 4_096 {
            // After a rush, its memory goes back.
            (self.window, self.order) = (Vec::new(), Vec::new());
        }
        Ok(Step { scans: counted, at: end })
    }

    /// What this window tells whoever listens; codes whose owners want to be told are told of in a rush too.
    async fn facts(&mut self, skip: usize) -> Vec<(WorkspaceId, Scanned)> {
        if self.alerted_at.is_none_or(|at| at.elapsed() >= ALERTED_EVERY) {
            self.alerted_at = Some(Instant::now());
            match self.store.read().rows(&sql::ALERTED_EVERYWHERE, &[], |row| row.get::<i64>(0)).await {
                Ok(codes) => self.alerted = codes.into_iter().map(i64::cast_unsigned).collect(),
                Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "the owners to be told of scans are not known"),
            }
        }
        let order = &self.order[skip..];
        let codes = order.chunk_by(|a, b| a.0 == b.0).take(FACTS_MAX + 1).count();
        let mut facts = Vec::new();
        for group in
            order.chunk_by(|a, b| a.0 == b.0).filter(|group| codes <= FACTS_MAX || self.alerted.contains(&group[0].0)).take(FACTS_MAX)
        {
            let mut heard = Heard::new(&self.window[group[0].1 as usize].0);
            for (_, index) in group {
                let (record, is_double) = &self.window[*index as usize];
                heard.add(record, *is_double);
            }
            facts.push(heard.fact(PublicCode::from_number(group[0].0)));
        }
        if codes > FACTS_MAX {
            let mut by_workspace: BTreeMap<WorkspaceId, Heard> = BTreeMap::new();
            for (_, index) in order {
                let (record, is_double) = &self.window[*index as usize];
                by_workspace.entry(record.workspace).or_insert_with(|| Heard::new(record)).add(record, *is_double);
            }
            let mut busiest: Vec<Heard> = by_workspace.into_values().collect();
            busiest.sort_by_key(|heard| std::cmp::Reverse(heard.scans + heard.bots));
            facts.extend(busiest.iter().take(FACTS_MAX).map(|heard| heard.fact(None)));
        }
        facts
    }

    /// Deletes the segments that are counted and too old to hold the first half of a double scan; the last one stays.
    fn forget_segments(&mut self) {
        let newest = self.last_at.values().copied().max().unwrap_or(i64::MIN);
        let needed = self.last_at.iter().find(|(_, last)| **last > newest.saturating_sub(WINDOW_MICROS)).map(|(segment, _)| *segment);
        let below = needed.unwrap_or(u64::MAX).min(self.mark.at.segment.saturating_sub(1));
        if self.journal.oldest() < below {
            self.journal.delete_below(below);
            self.last_at = self.last_at.split_off(&below);
        }
    }
}

/// One unit: moves the mark and writes the rows.
async fn write(tx: &mut store::Tx, part: Arc<Part>) -> Result<(), ScanError> {
    let number = |number: u64| number.cast_signed();
    let (from, to) = (&part.from, &part.to);
    let upto = to.upto;
    let moved = tx
        .execute(
            &sql::JOURNAL_MOVE_EVERYWHERE,
            params![
                part.node,
                number(from.at.segment),
                number(from.at.slot),
                from.done_code,
                number(to.at.segment),
                number(to.at.slot),
                upto.map(|upto| number(upto.segment)),
                upto.map(|upto| number(upto.slot)),
                to.done_code
            ],
        )
        .await?;
    if moved != 1 {
        return Err(ScanError::Moved);
    }
    let days: Vec<Vec<P<'_>>> = part
        .days
        .iter()
        .map(|row| {
            store::row_params![
                row.code,
                row.day,
                part.node,
                *row.workspace,
                row.total,
                row.bots,
                row.doubles,
                row.visitors,
                row.minutes,
                row.sketch,
                row.breakdown
            ]
        })
        .collect();
    tx.execute_many(&sql::DAY_PUT, &days).await?;
    let totals: Vec<Vec<P<'_>>> = part
        .totals
        .iter()
        .map(|row| {
            let totals = &row.totals;
            store::row_params![row.code, part.node, *row.workspace, totals.total, totals.bots, totals.doubles, totals.last_at]
        })
        .collect();
    tx.execute_many(&sql::TOTALS_PUT, &totals).await?;
    for (workspace, fact) in &part.facts {
        outbox::publish(tx, *workspace, fact).await?;
    }
    Ok(())
}

/// The end of a part that begins at `at`: behind the last scan of its last code.
fn part_end(order: &[(u64, u32)], at: usize) -> usize {
    order[at..].chunk_by(|a, b| a.0 == b.0).take(CODES_PER_UNIT).fold(at, |end, group| end + group.len())
}
