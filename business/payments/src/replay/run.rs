//! Writing the history into a file, and making an installation's payments from one.

use std::io::{self, BufRead, Write};
use std::sync::Arc;

use kernel::Caller;
use store::Store;

use super::{Chain, EVENTS_OF_ONE_MAX, FileFault, Kept, Reader, ReplayError, Report, Writer, check, rebuild};
use crate::commands::replay::{Chunk, put};
use crate::error::PaymentError;
use crate::queries::replay::{Walk, count_everywhere};

static REPLAYER: Caller = Caller::system("payments.replay");

/// Events from which a unit of work is full; one history is never cut.
const CHUNK_EVENTS: usize = 400;

/// What was written into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exported {
    /// How many events.
    pub events: u64,
    /// The digest of the last one, which covers all of them, in hexadecimal.
    pub sha256: String,
}

/// Writes the whole history of all workspaces, as it is committed now, into `out`. Beside whoever writes payments.
pub async fn export<W: Write>(store: &Store, out: W) -> Result<(Exported, W), ReplayError> {
    let mut snapshot = store.snapshot().await?;
    let (mut walk, mut writer) = (Walk::default(), Writer::begin(out)?);
    while let Some(history) = walk.next_everywhere(&mut snapshot).await? {
        for kept in &history {
            writer.add(kept)?;
        }
    }
    let (events, chain, out) = writer.end(store.clock().now())?;
    Ok((Exported { events, sha256: chain.digits() }, out))
}

/// Makes the payments of an installation that has none from a file whose bytes `open` gives, each time from their beginning:
/// the history, and each row as its events make it. The file is read as a whole before anything is written. Stopped half-way,
/// the same file goes on where it was. At the end everything is compared; the report says whether all rows are the same.
pub async fn restore<R: BufRead>(store: &Store, open: impl Fn() -> io::Result<R>) -> Result<Report, ReplayError> {
    let there = there(store).await?;
    let whole = read_through(open()?, &there)?;
    let mut histories = Histories::begin(open()?)?;
    let mut chunk = Chunk::default();
    while let Some(history) = histories.next()? {
        if history.first <= there.events {
            continue;
        }
        let rebuilt = rebuild(&history.events).map_err(|error| fault(history.first, error.event, error.why))?;
        chunk.add(&history.events, rebuilt);
        if chunk.events.len() >= CHUNK_EVENTS {
            write(store, std::mem::take(&mut chunk)).await?;
        }
    }
    write(store, chunk).await?;
    if histories.reader.chain() != whole {
        return Err(ReplayError::Disturbed { what: "the file was changed" });
    }
    let report = check(store).await?;
    if report.events_sha256 != whole.digits() {
        return Err(ReplayError::Disturbed { what: "other payments were written" });
    }
    Ok(report)
}

async fn write(store: &Store, chunk: Chunk) -> Result<(), ReplayError> {
    let written = store.write_bulk(&REPLAYER, Arc::new(chunk), |tx, chunk| Box::pin(put(tx, chunk)));
    written.await.map_err(|error| match error {
        PaymentError::Store(error) => ReplayError::Store(error),
        other => ReplayError::Io(io::Error::other(other)),
    })
}

/// What an installation has of payments.
struct There {
    events: u64,
    chain: Chain,
}

async fn there(store: &Store) -> Result<There, ReplayError> {
    let mut snapshot = store.snapshot().await?;
    let (mut walk, mut there) = (Walk::default(), There { events: 0, chain: Chain::begin() });
    while let Some(history) = walk.next_everywhere(&mut snapshot).await? {
        for kept in &history {
            there.chain = there.chain.after(kept)?;
        }
        there.events += history.len() as u64;
    }
    let is_empty = there.events > 0 || count_everywhere(&mut snapshot).await? == [0; 4];
    if is_empty { Ok(there) } else { Err(ReplayError::Occupied) }
}

/// Reads a file to its end without keeping any of it: every line is right, every history makes its rows, and what is there
/// already is its beginning. Says the chain of its last event.
fn read_through(input: impl BufRead, there: &There) -> Result<Chain, ReplayError> {
    let mut histories = Histories::begin(input)?;
    let mut is_beginning = there.events == 0;
    while let Some(history) = histories.next()? {
        rebuild(&history.events).map_err(|error| fault(history.first, error.event, error.why))?;
        let last = history.first + history.events.len() as u64 - 1;
        is_beginning |= last == there.events && history.chain == there.chain;
    }
    if is_beginning { Ok(histories.reader.chain()) } else { Err(ReplayError::Occupied) }
}

/// A fault in the event with this place in a history whose first event has this number, from 1; the first line is the file's.
fn fault(first: u64, event: usize, why: String) -> FileFault {
    FileFault { line: first + event as u64 + 1, why }
}

/// A history as it stands in a file.
struct History {
    /// The number of its first event, from 1.
    first: u64,
    events: Vec<Kept>,
    /// The chain of its last event.
    chain: Chain,
}

/// A file, one history after the other.
struct Histories<R> {
    reader: Reader<R>,
    waiting: Option<Kept>,
}

impl<R: BufRead> Histories<R> {
    fn begin(input: R) -> Result<Self, ReplayError> {
        Ok(Self { reader: Reader::begin(input)?, waiting: None })
    }

    fn next(&mut self) -> Result<Option<History>, ReplayError> {
        let next = match self.waiting.take() {
            Some(kept) => Some(kept),
            None => self.reader.event()?,
        };
        let Some(kept) = next else { return Ok(None) };
        let mut history = History { first: self.reader.events(), events: vec![kept], chain: self.reader.chain() };
        while let Some(kept) = self.reader.event()? {
            if (kept.workspace, &kept.subject) != (history.events[0].workspace, &history.events[0].subject) {
                self.waiting = Some(kept);
                break;
            }
            if history.events.len() == EVENTS_OF_ONE_MAX {
                let why = format!("{} has more than {EVENTS_OF_ONE_MAX} events", kept.subject);
                return Err(FileFault { line: self.reader.line(), why }.into());
            }
            history.chain = self.reader.chain();
            history.events.push(kept);
        }
        Ok(Some(history))
    }
}
