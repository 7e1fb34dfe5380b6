//! The truth of one dialect: its documents, what was really moved, and the file that keeps both over a restart.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Dialect;
use crate::faults::roll;
use crate::pages::{Page, PageState};

/// What happened to money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MovementKind {
    /// The payer's bank holds the amount; no money moved.
    Authorized,
    /// A hold, or the rest of it, was let go; no money moved.
    Voided,
    /// The payer's money was taken.
    Charged,
    /// Money went back to the payer.
    Refunded,
    /// Money went out to a beneficiary.
    PaidOut,
    /// A payout came back.
    Returned,
    /// The provider paid a settlement to the merchant's bank: the net amount.
    Settled,
}

/// One movement of money as it really happened, whatever was answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Movement {
    /// Order of all movements of the simulator.
    pub sequence: u64,
    /// Whose it is.
    pub dialect: Dialect,
    /// What happened.
    pub kind: MovementKind,
    /// The merchant's reference; empty where it gave none.
    pub reference: String,
    /// The provider's id of what moved the money.
    pub provider_id: String,
    /// Minor units of the currency, always positive.
    pub amount_minor: i64,
    /// ISO 4217 in capitals.
    pub currency: String,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The idempotency key that came with the request.
    pub idempotency_key: Option<String>,
}

/// What a movement says, before it has its place and time.
#[derive(Debug, Clone)]
pub struct Moved<'a> {
    /// What happened.
    pub kind: MovementKind,
    /// The merchant's reference.
    pub reference: &'a str,
    /// The provider's id.
    pub provider_id: &'a str,
    /// Minor units, positive.
    pub amount_minor: i64,
    /// ISO 4217, any case.
    pub currency: &'a str,
    /// The idempotency key of the request.
    pub idempotency_key: Option<&'a str>,
}

/// A webhook that a dialect wants delivered. It is signed at each attempt by [`crate::providers::Provider::sign`].
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// The event's id, or what stands for it; constant over retries.
    pub id: String,
    /// The event's type, for people and filters.
    pub event: String,
    /// The body.
    pub body: Value,
}

/// An amount that is not this one: one unit less, or two for one.
pub fn other_amount(amount_minor: i64) -> i64 {
    if amount_minor > 1 { amount_minor - 1 } else { 2 }
}

/// A currency of as many places that is not this one.
pub fn other_currency(currency: &str) -> &'static str {
    match (crate::money::exponent(currency), currency.to_ascii_uppercase().as_str()) {
        (0, "JPY") => "KRW",
        (0, _) => "JPY",
        (3, "KWD") => "BHD",
        (3, _) => "KWD",
        (_, "USD") => "EUR",
        _ => "USD",
    }
}

/// The simulator's clock and counters, shared by the books of all dialects.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) ahead_ms: AtomicI64,
    pub(crate) sequence: AtomicU64,
    pub(crate) ids: AtomicU64,
    /// Differs from start to start, so that an id is never given twice.
    pub(crate) salt: u64,
}

#[allow(clippy::disallowed_methods, reason = "an outside party has a clock of its own; this is the only place that reads it")]
pub(crate) fn clock_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[derive(Debug, Default)]
struct Shelf {
    order: Vec<String>,
    documents: HashMap<String, Value>,
}

/// The books of one dialect. Whoever holds them holds its lock: read, decide and write without waiting for anything.
#[derive(Debug)]
pub struct Books {
    dialect: Dialect,
    shelves: HashMap<String, Shelf>,
    links: HashMap<(String, String), Vec<String>>,
    movements: Vec<Movement>,
    journal: Option<File>,
    lines: String,
    pub(crate) outgoing: Vec<Outgoing>,
    shared: Arc<Shared>,
    url: String,
}

#[derive(Serialize, Deserialize)]
enum Line {
    Put(String, String, Value),
    Link(String, String, String),
    Moved(Movement),
}

impl Books {
    pub(crate) fn open(dialect: Dialect, url: &str, folder: Option<&Path>, shared: Arc<Shared>) -> std::io::Result<Self> {
        let mut books = Self {
            dialect,
            shelves: HashMap::new(),
            links: HashMap::new(),
            movements: Vec::new(),
            journal: None,
            lines: String::new(),
            outgoing: Vec::new(),
            shared,
            url: url.to_owned(),
        };
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder)?;
            let path = folder.join(format!("{}.jsonl", dialect.word()));
            if path.exists() {
                books.load(&path)?;
            }
            // Written anew, so that it holds each document once.
            let fresh = folder.join(format!("{}.jsonl.new", dialect.word()));
            let mut file = File::create(&fresh)?;
            books.dump(&mut file)?;
            file.sync_all()?;
            std::fs::rename(&fresh, &path)?;
            books.journal = Some(File::options().append(true).open(&path)?);
        }
        Ok(books)
    }

    fn load(&mut self, path: &Path) -> std::io::Result<()> {
        let mut lines = BufReader::new(File::open(path)?).lines().enumerate().peekable();
        while let Some((place, line)) = lines.next() {
            let line = match serde_json::from_str(&line?) {
                Ok(line) => line,
                // The last line may be torn by a kill; nothing was answered for it.
                Err(_) if lines.peek().is_none() => break,
                Err(error) => return Err(std::io::Error::other(format!("line {} of {} is broken: {error}", place + 1, path.display()))),
            };
            match line {
                Line::Put(kind, id, document) => self.shelve(&kind, &id, document),
                Line::Link(index, key, id) => self.links.entry((index, key)).or_default().push(id),
                Line::Moved(movement) => {
                    self.shared.sequence.fetch_max(movement.sequence, Ordering::Relaxed);
                    self.movements.push(movement);
                }
            }
        }
        Ok(())
    }

    fn dump(&self, file: &mut File) -> std::io::Result<()> {
        let mut out = std::io::BufWriter::new(file);
        let mut write = |line: &Line| -> std::io::Result<()> {
            serde_json::to_writer(&mut out, line)?;
            out.write_all(b"\n")
        };
        for (kind, shelf) in &self.shelves {
            for id in &shelf.order {
                write(&Line::Put(kind.clone(), id.clone(), shelf.documents[id].clone()))?;
            }
        }
        for ((index, key), ids) in &self.links {
            for id in ids {
                write(&Line::Link(index.clone(), key.clone(), id.clone()))?;
            }
        }
        for movement in &self.movements {
            write(&Line::Moved(movement.clone()))?;
        }
        out.flush()
    }

    /// Writes what changed to the file, before anybody hears of it.
    pub(crate) fn flush(&mut self) {
        if let Some(file) = &mut self.journal
            && !self.lines.is_empty()
            && let Err(error) = file.write_all(self.lines.as_bytes())
        {
            eprintln!("sim: the store of {} cannot be written: {error}", self.dialect.word());
        }
        self.lines.clear();
    }

    fn note(&mut self, line: &Line) {
        if self.journal.is_some()
            && let Ok(text) = serde_json::to_string(line)
        {
            self.lines.push_str(&text);
            self.lines.push('\n');
        }
    }

    fn shelve(&mut self, kind: &str, id: &str, document: Value) {
        if !self.shelves.contains_key(kind) {
            self.shelves.insert(kind.to_owned(), Shelf::default());
        }
        let Some(shelf) = self.shelves.get_mut(kind) else { return };
        if let Some(known) = shelf.documents.get_mut(id) {
            *known = document;
        } else {
            shelf.order.push(id.to_owned());
            shelf.documents.insert(id.to_owned(), document);
        }
    }

    /// Which dialect's books these are.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The simulator's time in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        clock_ms() + self.shared.ahead_ms.load(Ordering::Relaxed)
    }

    /// Where the simulator listens, `http://127.0.0.1:4100`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A fresh id: the prefix and `length` letters and digits; never given twice, over restarts too.
    pub fn new_id(&self, prefix: &str, length: usize) -> String {
        const LETTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let count = self.shared.ids.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        let mut state = roll(self.shared.salt, count);
        for place in 0..length {
            if place % 8 == 7 {
                state = roll(state, place as u64);
            }
            id.push(char::from(LETTERS[(state % 36) as usize]));
            state /= 36;
        }
        id
    }

    /// A fresh id in the form of a random UUID.
    pub fn new_uuid(&self) -> String {
        let hex: String = self.new_id("", 32).bytes().map(|byte| char::from(b"0123456789abcdef"[usize::from(byte % 16)])).collect();
        format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..])
    }

    /// Writes a document, new or changed.
    pub fn put(&mut self, kind: &str, id: &str, document: Value) {
        if self.journal.is_some() {
            self.note(&Line::Put(kind.to_owned(), id.to_owned(), document.clone()));
        }
        self.shelve(kind, id, document);
    }

    /// A document.
    pub fn get(&self, kind: &str, id: &str) -> Option<&Value> {
        self.shelves.get(kind)?.documents.get(id)
    }

    /// Writes a document of a type.
    pub fn keep<T: Serialize>(&mut self, kind: &str, id: &str, document: &T) {
        self.put(kind, id, json!(document));
    }

    /// A document of a type; none where there is none or it is of another form.
    pub fn find<T: for<'de> Deserialize<'de>>(&self, kind: &str, id: &str) -> Option<T> {
        T::deserialize(self.get(kind, id)?).ok()
    }

    /// All documents of a kind, oldest first; turn it round for the newest.
    pub fn all(&self, kind: &str) -> impl DoubleEndedIterator<Item = (&str, &Value)> {
        let shelf = self.shelves.get(kind);
        shelf.into_iter().flat_map(|shelf| shelf.order.iter().map(|id| (id.as_str(), &shelf.documents[id])))
    }

    /// How many documents of a kind there are.
    pub fn count(&self, kind: &str) -> usize {
        self.shelves.get(kind).map_or(0, |shelf| shelf.order.len())
    }

    /// Remembers an id under a key of an index, for look-ups other than by id.
    pub fn link(&mut self, index: &str, key: &str, id: &str) {
        self.note(&Line::Link(index.to_owned(), key.to_owned(), id.to_owned()));
        self.links.entry((index.to_owned(), key.to_owned())).or_default().push(id.to_owned());
    }

    /// The ids under a key of an index, oldest first.
    pub fn linked(&self, index: &str, key: &str) -> &[String] {
        self.links.get(&(index.to_owned(), key.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Writes down a movement of money.
    pub fn moved(&mut self, moved: Moved<'_>) {
        let movement = Movement {
            sequence: self.shared.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            dialect: self.dialect,
            kind: moved.kind,
            reference: moved.reference.to_owned(),
            provider_id: moved.provider_id.to_owned(),
            amount_minor: moved.amount_minor,
            currency: moved.currency.to_ascii_uppercase(),
            at_ms: self.now_ms(),
            idempotency_key: moved.idempotency_key.map(str::to_owned),
        };
        self.note(&Line::Moved(movement.clone()));
        self.movements.push(movement);
    }

    /// What was moved, oldest first.
    pub fn movements(&self) -> &[Movement] {
        &self.movements
    }

    /// Hands a webhook over; it leaves after the answer to the call that caused it was made.
    pub fn notify(&mut self, outgoing: Outgoing) {
        self.outgoing.push(outgoing);
    }

    /// Opens a hosted page and answers its address. Its id must be fit for a path or it is percent-encoded.
    pub fn open_page(&mut self, page: &Page) -> String {
        self.put("page", &page.id, json!(page));
        self.link("page_by_reference", &page.reference, &page.id);
        page.url(&self.url)
    }

    /// A hosted page; one whose time is over is expired, whether or not its dialect has noticed.
    pub fn page(&self, id: &str) -> Option<Page> {
        let mut page: Page = self.find("page", id)?;
        if page.state == PageState::Open && page.expires_at_ms.is_some_and(|end| end <= self.now_ms()) {
            page.state = PageState::Expired;
        }
        Some(page)
    }

    /// Says how a hosted page ended.
    pub fn set_page(&mut self, id: &str, state: PageState) {
        if let Some(mut page) = self.page(id) {
            page.state = state;
            self.put("page", id, json!(page));
        }
    }
}
