//! The rows of a node in memory: loaded once, added to, and written as they are. This node alone writes its rows, so those in
//! memory are true, and a busy code is counted without reading.

use std::collections::BTreeMap;
use std::sync::Arc;

use kernel::Timestamp;
use store::{Reads, Store, StoreError, params};

use super::super::doubles::FastMap;
use super::super::error::ScanError;
use super::super::record::Record;
use super::super::sql::{self, Totals, WorkspaceText};
use super::super::tally::Day;

/// Bytes of rows that are kept in memory, in each of two halves.
const ROWS_BYTES_MAX: usize = 8 << 20;

/// One row of `codes_days` as it will be.
pub(super) struct DayRow {
    pub(super) code: i64,
    pub(super) day: i64,
    pub(super) workspace: Arc<str>,
    pub(super) total: i64,
    pub(super) bots: i64,
    pub(super) doubles: i64,
    pub(super) visitors: i64,
    pub(super) minutes: Vec<u8>,
    pub(super) sketch: Vec<u8>,
    pub(super) breakdown: String,
}

/// One row of `codes_totals` as it will be.
pub(super) struct TotalsRow {
    pub(super) code: i64,
    pub(super) workspace: Arc<str>,
    pub(super) totals: Totals,
}

/// What this node has counted of one code.
#[derive(Debug, Default)]
struct Kept {
    totals: Totals,
    /// The days that were touched last, at most two, the latest at the end; nearly always one.
    days: Vec<(i64, Day)>,
}

impl Kept {
    fn weight(&self) -> usize {
        let room = (self.days.capacity() - self.days.len()) * size_of::<(i64, Day)>();
        // A map has room for half as many again, and the heap rounds up.
        size_of::<Self>() * 3 / 2 + 32 + room + self.days.iter().map(|(_, day)| 8 + day.weight()).sum::<usize>()
    }

    /// Room for four, as a list takes by itself, would be most of the memory of codes that are scanned now and then.
    fn add_day(&mut self, number: i64) {
        self.days.reserve_exact(1);
        self.days.push((number, Day::default()));
    }

    fn has_day(&self, day: i64) -> bool {
        self.days.iter().any(|(known, _)| *known == day)
    }
}

/// Rows in memory: two halves, of which the older is dropped when the younger is full.
#[derive(Default)]
pub(super) struct Rows {
    young: FastMap<Kept>,
    old: FastMap<Kept>,
    young_bytes: usize,
    /// Where the node had no rows when the process began: the codes that have some now. The others need not be looked for.
    written: Option<Written>,
}

impl Rows {
    /// The rows of a node that has none in the database yet.
    pub(super) fn of_new_node() -> Self {
        Self { written: Some(Written::default()), ..Self::default() }
    }

    /// Forgets what may not be true; also which codes have no rows yet, unless the mark is where this process left it.
    pub(super) fn clear(&mut self, is_ours: bool) {
        *self = Self { written: self.written.take().filter(|_| is_ours), ..Self::default() };
    }

    /// The row of a code, moved into the younger half.
    fn get(&mut self, code: u64) -> Option<&mut Kept> {
        if let Some(kept) = self.old.remove(&code) {
            self.put(code, kept);
        }
        self.young.get_mut(&code)
    }

    fn put(&mut self, code: u64, kept: Kept) {
        self.young_bytes += kept.weight();
        self.young.insert(code, kept);
    }

    /// Between units: whatever a unit needs must stay while it is made.
    pub(super) fn trim(&mut self) {
        if self.young_bytes > ROWS_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }

    /// Adds the scans of some codes to their rows, which are loaded where they are not in memory.
    pub(super) async fn add(
        &mut self,
        store: &Store,
        node: i64,
        window: &[(Record, bool)],
        order: &[(u64, u32)],
    ) -> Result<(Vec<DayRow>, Vec<TotalsRow>), ScanError> {
        self.load(store, node, window, order).await?;
        let (mut days, mut totals) = (Vec::new(), Vec::new());
        let mut workspaces = WorkspaceText::default();
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            let code = group[0].0;
            if let Some(written) = &mut self.written {
                written.insert(code);
            }
            let Some(kept) = self.get(code) else { return Err(ScanError::Moved) };
            let before = kept.weight();
            let mut touched: Vec<i64> = Vec::with_capacity(1);
            let mut workspace = None;
            for (_, index) in group {
                let (record, is_double) = &window[*index as usize];
                workspace.get_or_insert(record.workspace);
                let number = record.at.day();
                let Some((_, day)) = kept.days.iter_mut().find(|(known, _)| *known == number) else { return Err(ScanError::Moved) };
                day.add(record, *is_double);
                if record.agent.is_bot() {
                    kept.totals.bots += 1;
                } else if *is_double {
                    kept.totals.doubles += 1;
                } else {
                    kept.totals.total += 1;
                }
                kept.totals.last_at = kept.totals.last_at.max(record.at.as_micros());
                if !touched.contains(&number) {
                    touched.push(number);
                }
            }
            let Some(workspace) = workspace else { continue };
            let workspace = workspaces.of(workspace);
            for (number, day) in kept.days.iter().filter(|(number, _)| touched.contains(number)) {
                days.push(DayRow {
                    code: code as i64,
                    day: *number,
                    workspace: workspace.clone(),
                    total: day.total,
                    bots: day.bots,
                    doubles: day.doubles,
                    visitors: day.visitors.count() as i64,
                    minutes: day.minutes.to_bytes(),
                    sketch: day.visitors.to_bytes(),
                    breakdown: day.breakdown.to_json(),
                });
            }
            totals.push(TotalsRow { code: code as i64, workspace, totals: kept.totals });
            kept.days.drain(..kept.days.len().saturating_sub(2));
            let grown = kept.weight().saturating_sub(before);
            self.young_bytes += grown;
        }
        Ok((days, totals))
    }

    /// Makes sure that every code of `order` has its row in memory, with the days its scans are of.
    async fn load(&mut self, store: &Store, node: i64, window: &[(Record, bool)], order: &[(u64, u32)]) -> Result<(), StoreError> {
        let mut unknown = Vec::new();
        let mut wanted: Vec<(u64, i64)> = Vec::new();
        for group in order.chunk_by(|a, b| a.0 == b.0) {
            let code = group[0].0;
            for (_, index) in group {
                let day = window[*index as usize].0.at.day();
                if wanted.last() != Some(&(code, day))
                    && !wanted.iter().rev().take_while(|(other, _)| *other == code).any(|(_, known)| *known == day)
                {
                    wanted.push((code, day));
                }
            }
            if self.get(code).is_none() {
                if self.written.as_ref().is_some_and(|written| !written.may_hold(code)) {
                    self.put(code, Kept::default());
                } else {
                    unknown.push(code);
                }
            }
        }
        let mut read = store.read();
        if !unknown.is_empty() {
            let list = json_list(&unknown);
            for code in unknown {
                self.put(code, Kept::default());
            }
            for (code, totals) in read.rows(&sql::TOTALS_OF_EVERYWHERE, params![node, &list], sql::totals_by_code).await? {
                if let Some(kept) = self.get(code) {
                    kept.totals = totals;
                }
            }
        }
        let mut missing: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
        for (code, day) in wanted {
            let Some(kept) = self.get(code) else { continue };
            if kept.has_day(day) {
                continue;
            }
            // A day after the last scan has no row yet.
            if kept.totals.last_at > 0 && day <= Timestamp::from_micros(kept.totals.last_at).day() {
                missing.entry(day).or_default().push(code);
            }
            kept.add_day(day);
        }
        for (number, codes) in missing {
            for (code, day) in read.rows(&sql::DAYS_OF_EVERYWHERE, params![node, number, &json_list(&codes)], sql::day_by_code).await? {
                let place = self.get(code).and_then(|kept| kept.days.iter_mut().find(|(known, _)| *known == number));
                if let Some(place) = place {
                    place.1 = day;
                }
            }
        }
        Ok(())
    }
}

fn json_list(codes: &[u64]) -> String {
    let mut list = String::with_capacity(codes.len() * 14 + 2);
    for code in codes {
        list.push(if list.is_empty() { '[' } else { ',' });
        let _ = std::fmt::Write::write_fmt(&mut list, format_args!("{code}"));
    }
    list.push_str(if list.is_empty() { "[]" } else { "]" });
    list
}

/// A Bloom filter of the codes that have rows: sixteen million bits and three places a code, 2 MB once there are any. At two
/// million codes one in thirty is looked up in vain.
#[derive(Default)]
struct Written(Vec<u64>);

const WRITTEN_BITS: u64 = 1 << 24;

impl Written {
    fn places(code: u64) -> [(usize, u64); 3] {
        let first = code.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let second = (code ^ 0x5851_F42D_4C95_7F2D).wrapping_mul(0xD6E8_FEB8_6659_FD93) | 1;
        [0, 1, 2].map(|n: u64| {
            let bit = (first.wrapping_add(second.wrapping_mul(n)) >> 20) % WRITTEN_BITS;
            ((bit / 64) as usize, 1 << (bit % 64))
        })
    }

    fn insert(&mut self, code: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; (WRITTEN_BITS / 64) as usize];
        }
        for (word, bit) in Self::places(code) {
            self.0[word] |= bit;
        }
    }

    fn may_hold(&self, code: u64) -> bool {
        !self.0.is_empty() && Self::places(code).into_iter().all(|(word, bit)| self.0[word] & bit != 0)
    }
}
