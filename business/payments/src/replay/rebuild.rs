//! What the rows of one intent or payout are, from its history. Pure; with the functions that recorded them the first time.

use kernel::{Id as _, WorkspaceId};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};
use store::{P, StoreError};

use super::Kept;
use crate::commands::settlement::expected_row;
use crate::intent::{Event, Intent, IntentId};
use crate::names::{Name, names, payout_names};
use crate::payout::{Payout, PayoutEvent, PayoutId, Posting, posting};
use crate::{books, settlement, sql};

/// A row as its columns are written.
pub(crate) type Row = Vec<P<'static>>;

/// Why a history makes no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct Unbuildable {
    /// Which of its events, from 0.
    pub event: usize,
    /// What is in the way.
    pub why: String,
}

/// The rows of one intent or payout.
#[derive(Debug, Clone, PartialEq)]
pub struct Rebuilt {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The intent or payout.
    pub subject: String,
    /// It is a payout, and no intent.
    pub is_payout: bool,
    pub(crate) state: Row,
    pub(crate) names: Vec<Name>,
    pub(crate) expected: Vec<Row>,
}

impl Rebuilt {
    /// Keeps the first of each name, as the table does.
    fn name(&mut self, names: Vec<Name>) {
        for name in names {
            if !self.names.iter().any(|known| (&known.provider, &known.reference) == (&name.provider, &name.reference)) {
                self.names.push(name);
            }
        }
    }

    /// Keeps the first of each subject, as the table does.
    fn expect(&mut self, row: Row) {
        if !self.expected.iter().any(|known| known[EXPECTED_SUBJECT] == row[EXPECTED_SUBJECT]) {
            self.expected.push(row);
        }
    }

    pub(crate) fn references(&self) -> impl Iterator<Item = Row> + '_ {
        self.names.iter().map(|name| sql::reference_row(self.workspace, &self.subject, name))
    }

    /// Adds every column of every row to a digest.
    pub(crate) fn digest(&self, digest: &mut Sha256) {
        let state = std::iter::once(self.state.clone());
        for (table, row) in state
            .map(|row| (if self.is_payout { 1_u8 } else { 0 }, row))
            .chain(self.references().map(|row| (2_u8, row)).chain(self.expected.iter().cloned().map(|row| (3_u8, row))))
        {
            digest.update([table]);
            for column in &row {
                // The length tells two columns from one that holds both.
                match column {
                    P::Text(text) => {
                        digest.update([1]);
                        digest.update((text.len() as u64).to_be_bytes());
                        digest.update(text.as_bytes());
                    }
                    P::Int(number) => {
                        digest.update([2]);
                        digest.update(number.to_be_bytes());
                    }
                    _ => digest.update([0]),
                }
            }
        }
    }
}

/// Where the subject stands in a row of what is expected.
const EXPECTED_SUBJECT: usize = 1;

/// Rebuilds the rows of the intent or payout whose whole history `events` is, the oldest first.
pub fn rebuild(events: &[Kept]) -> Result<Rebuilt, Unbuildable> {
    let Some(first) = events.first() else { return Err(wrong(0, "there is no event")) };
    if let Ok(id) = IntentId::parse(&first.subject) {
        return intent(id, events);
    }
    match PayoutId::parse(&first.subject) {
        Ok(id) => payout(id, events),
        Err(_) => Err(wrong(0, format!("{} is neither a payment nor a payout", first.subject))),
    }
}

fn wrong(event: usize, why: impl Into<String>) -> Unbuildable {
    Unbuildable { event, why: why.into() }
}

fn unwritten(event: usize) -> impl Fn(StoreError) -> Unbuildable {
    move |error| wrong(event, error.to_string())
}

/// The event of a line, whose word has to be its own.
fn read<E: DeserializeOwned>(number: usize, kept: &Kept, word: impl Fn(&E) -> &'static str) -> Result<E, Unbuildable> {
    let event: E =
        serde_json::from_str(&kept.body).map_err(|error| wrong(number, format!("the event {} cannot be read: {error}", kept.name)))?;
    if word(&event) == kept.name { Ok(event) } else { Err(wrong(number, format!("the event {} is called {}", word(&event), kept.name))) }
}

fn checked(number: usize, version: i64, kept: &Kept) -> Result<(), Unbuildable> {
    if version == kept.version { Ok(()) } else { Err(wrong(number, format!("event {version} is missing before {}", kept.version))) }
}

fn begun(first: &Kept) -> Rebuilt {
    let (workspace, subject) = (first.workspace, first.subject.clone());
    Rebuilt { workspace, subject, is_payout: false, state: Row::new(), names: Vec::new(), expected: Vec::new() }
}

fn intent(id: IntentId, events: &[Kept]) -> Result<Rebuilt, Unbuildable> {
    let (mut rebuilt, mut before) = (begun(&events[0]), None::<Intent>);
    for (number, kept) in events.iter().enumerate() {
        let event = read(number, kept, Event::name)?;
        let after = match before.take() {
            None => Intent::begin(&event, kept.at).filter(|intent| intent.id == id),
            Some(intent) => Some(intent.after(&event, kept.at)),
        };
        let after = after.ok_or_else(|| wrong(number, format!("the history of {id} does not begin with its creation")))?;
        checked(number, after.version, kept)?;
        rebuilt.name(names(&after, &event));
        if let Some(moved) = books::moves(&after, &event)
            && let Some((provider, expected)) = settlement::expected(&after, &event, &moved)
        {
            rebuilt.expect(expected_row(kept.workspace, provider, &expected, kept.at));
        }
        before = Some(after);
    }
    if let Some(intent) = before {
        rebuilt.state = sql::intent_row(rebuilt.workspace, &intent).map_err(unwritten(events.len() - 1))?;
    }
    Ok(rebuilt)
}

fn payout(id: PayoutId, events: &[Kept]) -> Result<Rebuilt, Unbuildable> {
    let (mut rebuilt, mut before) = (begun(&events[0]), None::<Payout>);
    rebuilt.is_payout = true;
    for (number, kept) in events.iter().enumerate() {
        let event = read(number, kept, PayoutEvent::name)?;
        let after = match before.take() {
            None => Payout::begin(&event, kept.at).filter(|payout| payout.id == id),
            Some(payout) => {
                if let Some(Posting::Post(..)) = posting(&payout, &event)
                    && let Some(expected) = settlement::expected_payout(&payout)
                {
                    rebuilt.expect(expected_row(kept.workspace, payout.provider, &expected, kept.at));
                }
                Some(payout.after(&event, kept.at))
            }
        };
        let after = after.ok_or_else(|| wrong(number, format!("the history of {id} does not begin with its request")))?;
        checked(number, after.version, kept)?;
        rebuilt.name(payout_names(&after, &event));
        before = Some(after);
    }
    if let Some(payout) = before {
        rebuilt.state = sql::payout::payout_row(rebuilt.workspace, &payout).map_err(unwritten(events.len() - 1))?;
    }
    Ok(rebuilt)
}
