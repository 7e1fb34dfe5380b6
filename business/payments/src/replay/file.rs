//! The file of payment events: JSON lines, of which each carries the SHA-256 of all before it.
//!
//! The first line says what the file is, the last one how many events it has. Events stand in the order of their workspaces,
//! subjects and versions, so that those of one payment follow each other. A line's `chain` is the SHA-256 of the chain before it
//! and of the line's own bytes up to its chain: a line that was changed, moved, put in or taken out shows at its place. It proves
//! that the file is whole; it is no signature.

use std::io::{self, BufRead, Write};

use kernel::{Id as _, Timestamp, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use super::{Kept, ReplayError};
use crate::settlement::hexadecimal;

/// What the first line says; another format has another number.
const HEAD: &str = r#"{"file":"tessera payment events","format":1"#;
/// What stands between a line's own words and its chain.
const LINK: &[u8] = br#","chain":""#;
/// The end of a line behind its chain.
const END: &[u8] = b"\"}\n";
/// Digits of a chain.
const DIGITS: usize = 64;
/// The longest line, in bytes.
const LINE_MAX: u64 = 4 << 20;

/// Why a file is refused, with the line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}. Nothing was taken from the file; write it anew with `tessera payments events FILE` and leave it as it is")]
pub struct FileFault {
    /// Which line, from 1.
    pub line: u64,
    /// What is wrong with it.
    pub why: String,
}

/// The digest of everything up to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chain([u8; 32]);

impl Chain {
    /// The chain of the first line.
    pub fn begin() -> Self {
        Self([0; 32]).with(HEAD.as_bytes())
    }

    fn with(self, words: &[u8]) -> Self {
        Self(Sha256::new().chain_update(self.0).chain_update(words).finalize().into())
    }

    /// The chain behind `event`, with its line up to the chain.
    fn over(self, event: &Kept) -> Result<(Self, Vec<u8>), ReplayError> {
        let faulty = |why: &dyn std::fmt::Display| ReplayError::Unbuildable { subject: event.subject.clone(), why: why.to_string() };
        let body: &RawValue = serde_json::from_str(&event.body).map_err(|error| faulty(&error))?;
        // Only what the engine wrote goes from here to there byte by byte.
        if body.get() != event.body || event.body.contains('\n') {
            return Err(faulty(&"an event is not written as the engine writes it"));
        }
        let line = Line {
            workspace: event.workspace.to_string().into(),
            subject: event.subject.as_str().into(),
            version: event.version,
            name: event.name.as_str().into(),
            actor: event.actor.as_str().into(),
            recorded_at: event.at,
            body,
        };
        let mut words = serde_json::to_vec(&line).map_err(|error| faulty(&error))?;
        words.pop();
        Ok((self.with(&words), words))
    }

    /// The chain behind `event`.
    pub fn after(self, event: &Kept) -> Result<Self, ReplayError> {
        Ok(self.over(event)?.0)
    }

    /// In hexadecimal.
    pub fn digits(&self) -> String {
        hexadecimal(&self.0)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'l> {
    #[serde(borrow)]
    workspace: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    subject: std::borrow::Cow<'l, str>,
    version: i64,
    #[serde(borrow)]
    name: std::borrow::Cow<'l, str>,
    #[serde(borrow)]
    actor: std::borrow::Cow<'l, str>,
    recorded_at: Timestamp,
    #[serde(borrow)]
    body: &'l RawValue,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    events: u64,
    taken_at: Timestamp,
}

/// Writes a file.
pub struct Writer<W> {
    out: W,
    chain: Chain,
    events: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the first line.
    pub fn begin(out: W) -> io::Result<Self> {
        let mut writer = Self { out, chain: Chain::begin(), events: 0 };
        writer.put(HEAD.as_bytes())?;
        Ok(writer)
    }

    fn put(&mut self, words: &[u8]) -> io::Result<()> {
        self.out.write_all(words)?;
        self.out.write_all(LINK)?;
        self.out.write_all(self.chain.digits().as_bytes())?;
        self.out.write_all(END)
    }

    /// Writes an event.
    pub fn add(&mut self, event: &Kept) -> Result<(), ReplayError> {
        let (chain, words) = self.chain.over(event)?;
        self.chain = chain;
        self.events += 1;
        Ok(self.put(&words)?)
    }

    /// Writes the last line and says how many events there are, and the chain of the last of them.
    pub fn end(mut self, taken_at: Timestamp) -> Result<(u64, Chain, W), ReplayError> {
        let (events, of_events) = (self.events, self.chain);
        let mut words = serde_json::to_vec(&Last { events, taken_at }).map_err(io::Error::from)?;
        words.pop();
        self.chain = self.chain.with(&words);
        self.put(&words)?;
        self.out.flush()?;
        Ok((events, of_events, self.out))
    }
}

/// Reads a file, and refuses it at the first line that is not as it was written.
pub struct Reader<R> {
    input: R,
    line: u64,
    chain: Chain,
    events: u64,
    last: Option<(WorkspaceId, String, i64)>,
    is_at_end: bool,
    buffer: Vec<u8>,
}

impl<R: BufRead> Reader<R> {
    /// Reads the first line.
    pub fn begin(input: R) -> Result<Self, ReplayError> {
        let mut reader = Self { input, line: 0, chain: Chain([0; 32]), events: 0, last: None, is_at_end: false, buffer: Vec::new() };
        let is_head = reader.words().is_ok_and(|words| words == HEAD.as_bytes());
        if is_head { Ok(reader) } else { Err(reader.fault("is not the beginning of a file of payment events in format 1").into()) }
    }

    /// Which line was read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// How many events were read.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The chain of the last event.
    pub fn chain(&self) -> Chain {
        self.chain
    }

    fn fault(&self, why: impl Into<String>) -> FileFault {
        FileFault { line: self.line, why: why.into() }
    }

    /// The next line up to its chain, which is right.
    fn words(&mut self) -> Result<Vec<u8>, ReplayError> {
        self.line += 1;
        self.buffer.clear();
        io::Read::take(&mut self.input, LINE_MAX).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Err(self.fault("is missing: the file was cut off").into());
        }
        let cut = "is not whole: the file was cut off there, or something else stands in it";
        let rest = self.buffer.strip_suffix(END).and_then(|rest| rest.split_last_chunk::<DIGITS>());
        let Some((words, digits)) = rest.and_then(|(words, digits)| Some((words.strip_suffix(LINK)?, digits))) else {
            return Err(self.fault(cut).into());
        };
        let chain = self.chain.with(words);
        if chain.digits().as_bytes() != digits {
            return Err(self
                .fault("is not as it was written: it was changed or moved, or lines before it were put in or taken out")
                .into());
        }
        let words = words.to_vec();
        self.chain = chain;
        Ok(words)
    }

    /// The next event; none behind the last line, which has to be right and the last.
    pub fn event(&mut self) -> Result<Option<Kept>, ReplayError> {
        if self.is_at_end {
            return Ok(None);
        }
        let of_events = self.chain;
        let mut words = self.words()?;
        words.push(b'}');
        if words.starts_with(br#"{"events":"#) {
            let last: Last = serde_json::from_slice(&words).map_err(|error| self.fault(format!("cannot be read: {error}")))?;
            if last.events != self.events {
                return Err(self.fault(format!("speaks of {} events where there are {}", last.events, self.events)).into());
            }
            if !self.input.fill_buf()?.is_empty() {
                self.line += 1;
                return Err(self.fault("stands behind the last line").into());
            }
            (self.chain, self.is_at_end) = (of_events, true);
            return Ok(None);
        }
        let kept = self.read(&words)?;
        self.events += 1;
        self.last = Some((kept.workspace, kept.subject.clone(), kept.version));
        Ok(Some(kept))
    }

    fn read(&self, words: &[u8]) -> Result<Kept, FileFault> {
        let line: Line<'_> = serde_json::from_slice(words).map_err(|error| self.fault(format!("cannot be read: {error}")))?;
        let workspace = WorkspaceId::parse(&line.workspace).map_err(|error| self.fault(format!("workspace {error}")))?;
        let is_next = match &self.last {
            Some((known, subject, version)) if (*known, subject.as_str()) == (workspace, &*line.subject) => line.version == version + 1,
            Some((known, subject, _)) => (*known, subject.as_str()) < (workspace, &*line.subject) && line.version == 1,
            None => line.version == 1,
        };
        if !is_next {
            return Err(
                self.fault(format!("event {} of {} is not the next one: events are out of order or missing", line.version, line.subject))
            );
        }
        Ok(Kept {
            workspace,
            subject: line.subject.into_owned(),
            version: line.version,
            name: line.name.into_owned(),
            actor: line.actor.into_owned(),
            at: line.recorded_at,
            body: line.body.get().to_owned(),
        })
    }
}
