//! What stands in the books afterwards, against what the callers were answered.

use std::collections::{BTreeMap, HashMap};

use kernel::{Id, RawId};
use ledger::{AccountId, LedgerError, Side, Totals, TransferId, TransferKind, keeper, verify};
use serde_json::{Value, json};
use store::{Config, P, Reads, Row, Store, StoreError};

use super::script;
use crate::ledger_bench::scene::chain;

store::statements! {
    TRANSFERS = "select id, kind, debit, credit, amount, released from ledger_transfers where workspace = $1 and id > $2
        order by workspace, id limit 5000";
    HISTORY = "select epoch, account, position, transfer, side from ledger_history
        where workspace = $1 and (epoch, account, position) > ($2, $3, $4) order by workspace, epoch, account, position limit 5000";
    BALANCES = "select account, debits_posted, credits_posted, debits_pending, credits_pending from ledger_balances where workspace = $1";
    GUARDED = "select account, debits_posted, credits_posted, debits_pending, credits_pending from ledger_guarded where workspace = $1";
}

/// What each caller was answered, newest answer first to be believed.
#[derive(Default)]
pub(super) struct Book {
    /// Whether the turn of a caller stands.
    pub(super) stands: BTreeMap<(u64, u64), bool>,
    /// Turns that stood before and were recorded again.
    pub(super) doubled: u64,
    /// Turns that stood before and do not any more.
    pub(super) lost: u64,
    /// How many turns of each caller were answered.
    pub(super) answered: HashMap<u64, u64>,
    /// Turns that existed when they were asked for again without having been answered.
    pub(super) in_doubt_and_there: u64,
    /// How far the keeper had come, as the processes said.
    pub(super) booked: i64,
    /// Answers that nobody should get, in words.
    pub(super) odd: Vec<String>,
}

impl Book {
    /// Takes note of an answer: the caller, its turn, and a letter for what became of it.
    pub(super) fn answered(&mut self, caller: u64, turn: u64, letter: &str) {
        let before = self.stands.get(&(caller, turn)).copied();
        match (before, letter) {
            (Some(true), "c") => self.doubled += 1,
            (Some(true), "r") => self.lost += 1,
            (None, "e") => self.in_doubt_and_there += 1,
            (None | Some(false), "c" | "r") | (Some(true), "e") => {}
            (before, letter) => self.odd.push(format!("turn {turn} of caller {caller} was {before:?} and then answered {letter}")),
        }
        self.stands.insert((caller, turn), letter != "r");
        let next = self.answered.entry(caller).or_default();
        *next = (*next).max(turn + 1);
    }
}

/// What was found.
#[derive(Default)]
pub(super) struct Proof {
    pub(super) answered: u64,
    pub(super) transfers: u64,
    pub(super) in_doubt_and_there: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    pub(super) halves: u64,
    pub(super) unbalanced: u64,
    /// Whether the ledger's own verification found nothing.
    is_verified: bool,
    pub(super) odd: Vec<String>,
}

fn raw(row: &Row<'_>, column: &'static str) -> Result<RawId, StoreError> {
    let bytes: Vec<u8> = row.get(column)?;
    let bytes: [u8; 16] = bytes.try_into().unwrap_or_default();
    Ok(RawId::from_bits(u128::from_be_bytes(bytes)))
}

fn bytes(raw: RawId) -> P<'static> {
    P::Bytes(raw.bits().to_be_bytes().to_vec().into())
}

fn totals(row: &Row<'_>) -> Result<(AccountId, Totals), StoreError> {
    let totals = Totals {
        debits_posted: row.parsed("debits_posted")?,
        credits_posted: row.parsed("credits_posted")?,
        debits_pending: row.parsed("debits_pending")?,
        credits_pending: row.parsed("credits_pending")?,
    };
    Ok((AccountId::from_raw(raw(row, "account")?), totals))
}

/// A transfer of the log, as far as it matters here.
struct Logged {
    id: TransferId,
    kind: TransferKind,
    debit: AccountId,
    credit: AccountId,
    amount: i64,
    released: i64,
}

fn logged(row: &Row<'_>) -> Result<Logged, StoreError> {
    Ok(Logged {
        id: TransferId::from_raw(raw(row, "id")?),
        kind: row.parsed("kind")?,
        debit: AccountId::from_raw(raw(row, "debit")?),
        credit: AccountId::from_raw(raw(row, "credit")?),
        amount: row.get("amount")?,
        released: row.get("released")?,
    })
}

/// Where a row of the history stands, and which side of which transfer it is.
type Entered = (i64, RawId, i64, TransferId, Side);

fn entered(row: &Row<'_>) -> Result<Entered, StoreError> {
    let transfer = TransferId::from_raw(raw(row, "transfer")?);
    Ok((row.get("epoch")?, raw(row, "account")?, row.get("position")?, transfer, row.parsed("side")?))
}

impl Proof {
    /// Opens the books as a start does, brings them up to date, and compares.
    pub(super) async fn of(config: Config, book: &Book) -> Result<Self, String> {
        let store = Store::open(config).await.map_err(|e| chain(&e))?;
        keeper::settle(&store).await.map_err(|e| chain(&e))?;
        keeper::catch_up(&store).await.map_err(|e| chain(&e))?;
        let mut proof = Self {
            answered: book.stands.len() as u64,
            in_doubt_and_there: book.in_doubt_and_there,
            lost: book.lost,
            doubled: book.doubled,
            odd: book.odd.clone(),
            ..Self::default()
        };
        let found = proof.compare(&store, book).await.map_err(|e| chain(&e));
        let verified = proof.verify(&store).await.map_err(|e| chain(&e));
        store.close().await;
        found.and(verified).map(|()| proof)
    }

    /// The chain of seals, and every balance from the log, as `tessera ledger verify` does it.
    async fn verify(&mut self, store: &Store) -> Result<(), LedgerError> {
        let report = verify::verify(&mut store.snapshot().await?, &verify::Options::default()).await?;
        self.is_verified = report.is_sound();
        if !self.is_verified {
            self.odd.push(report.to_string());
        }
        Ok(())
    }

    async fn compare(&mut self, store: &Store, book: &Book) -> Result<(), StoreError> {
        let own = bytes(script::workspace().raw());
        let mut reads = store.read();
        // The log: what each turn left, and what each account must hold.
        let mut turns: HashMap<(u64, u64), u64> = HashMap::new();
        let mut wanted: HashMap<AccountId, Totals> = HashMap::new();
        let mut sides: HashMap<TransferId, (u64, u64)> = HashMap::new();
        let mut after = RawId::from_bits(0);
        loop {
            let page = reads.rows(&TRANSFERS, &[own.clone(), bytes(after)], logged).await?;
            let Some(last) = page.last() else { break };
            after = last.id.raw();
            for transfer in page {
                *turns.entry(script::owner(transfer.id)).or_default() += 1;
                let (posted, pending) = transfer.kind.adds(transfer.amount, transfer.released);
                wanted.entry(transfer.debit).or_default().add(Side::Debit, posted, pending);
                wanted.entry(transfer.credit).or_default().add(Side::Credit, posted, pending);
                sides.insert(transfer.id, (0, 0));
                self.transfers += 1;
            }
        }
        self.compare_turns(&turns, book);
        // The history: each transfer once on each side.
        let mut place = (-1, RawId::from_bits(0), 0);
        loop {
            let params = [own.clone(), P::Int(place.0), bytes(place.1), P::Int(place.2)];
            let page = reads.rows(&HISTORY, &params, entered).await?;
            let Some((epoch, account, position, ..)) = page.last() else { break };
            place = (*epoch, *account, *position);
            for (.., transfer, side) in page {
                match (sides.get_mut(&transfer), side) {
                    (Some((debits, _)), Side::Debit) => *debits += 1,
                    (Some((_, credits)), Side::Credit) => *credits += 1,
                    (None, _) => self.odd.push(format!("{transfer} is booked and not in the log")),
                }
            }
        }
        for (transfer, (debits, credits)) in sides {
            match (debits, credits) {
                (1, 1) => {}
                (0, 0) => self.odd.push(format!("{transfer} is not booked")),
                (0, _) | (_, 0) => self.halves += 1,
                _ => self.doubled += 1,
            }
        }
        // Balances: each as the log says, and all of them together nothing.
        let booked: HashMap<_, _> = reads.rows(&BALANCES, std::slice::from_ref(&own), totals).await?.into_iter().collect();
        let guarded = reads.rows(&GUARDED, std::slice::from_ref(&own), totals).await?;
        let of_log = |account: &AccountId| wanted.get(account).copied().unwrap_or_default();
        self.unbalanced += booked.iter().filter(|(account, totals)| of_log(account) != **totals).count() as u64;
        self.unbalanced += wanted.keys().filter(|account| !booked.contains_key(account)).count() as u64;
        self.unbalanced += guarded.iter().filter(|(account, totals)| of_log(account) != *totals).count() as u64;
        self.unbalanced += guarded.iter().filter(|(_, totals)| totals.debits_left() < 0).count() as u64;
        let all = booked.values().fold(Totals::default(), |sum, totals| sum.plus(totals));
        self.unbalanced += u64::from(all.debits_posted != all.credits_posted) + u64::from(all.debits_pending != all.credits_pending);
        Ok(())
    }

    fn compare_turns(&mut self, turns: &HashMap<(u64, u64), u64>, book: &Book) {
        for ((caller, turn), count) in turns {
            if *count != script::length(*caller, *turn) {
                self.halves += 1;
            }
        }
        for (turn, stands) in &book.stands {
            match (stands, turns.contains_key(turn)) {
                (true, false) => self.lost += 1,
                (false, true) => self.odd.push(format!("turn {} of caller {} was refused and is there", turn.1, turn.0)),
                _ => {}
            }
        }
        // Every caller was answered its last turn, so that nothing may be there of which nobody knows.
        let unknown = turns.keys().filter(|turn| !book.stands.contains_key(turn)).count();
        if unknown > 0 {
            self.odd.push(format!("{unknown} turns are there that nobody was answered"));
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.lost + self.doubled + self.halves + self.unbalanced == 0 && self.is_verified && self.odd.is_empty() && self.transfers > 0
    }

    pub(super) fn print(&self) {
        println!("{:>9} turns answered, {:>9} transfers in the books", self.answered, self.transfers);
        println!("{:>9} turns were in doubt after a kill and are there", self.in_doubt_and_there);
        let verdict = if self.is_verified { "verified" } else { "not verified" };
        println!("{:>9} lost, {} doubled, {} half there, {} unbalanced; {verdict}", self.lost, self.doubled, self.halves, self.unbalanced);
        for words in self.odd.iter().take(20) {
            println!("          {words}");
        }
    }

    pub(super) fn figures(&self) -> Value {
        json!({
            "answered": self.answered, "transfers": self.transfers, "in_doubt_and_there": self.in_doubt_and_there,
            "lost": self.lost, "doubled": self.doubled, "halves": self.halves, "unbalanced": self.unbalanced, "verified": self.is_verified, "odd": self.odd.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A book of one caller's turns, each answered with a letter.
    fn book(answers: &[(u64, &str)]) -> Book {
        let mut book = Book::default();
        answers.iter().for_each(|(turn, letter)| book.answered(0, *turn, letter));
        book
    }

    /// What is found where the log holds so many transfers of each turn.
    fn found(book: &Book, turns: &[(u64, u64)]) -> (u64, u64, usize) {
        let mut proof = Proof::default();
        proof.compare_turns(&turns.iter().map(|(turn, count)| ((0, *turn), *count)).collect(), book);
        (proof.lost, proof.halves, proof.odd.len())
    }

    #[test]
    fn an_answered_turn_that_is_not_there_is_lost() {
        let book = book(&[(0, "c"), (1, "r"), (3, "c")]);
        assert_eq!(found(&book, &[(0, 1), (3, 1)]), (0, 0, 0));
        assert_eq!(found(&book, &[(0, 1)]), (1, 0, 0));
    }

    #[test]
    fn a_part_of_a_chain_is_half() {
        let book = book(&[(2, "c")]);
        assert_eq!(found(&book, &[(2, script::length(0, 2))]), (0, 0, 0));
        assert_eq!(found(&book, &[(2, script::length(0, 2) - 1)]), (0, 1, 0));
    }

    #[test]
    fn what_was_refused_or_never_answered_must_not_be_there() {
        assert_eq!(found(&book(&[(1, "r")]), &[(1, 1)]), (0, 0, 1));
        assert_eq!(found(&book(&[]), &[(1, 1)]), (0, 0, 1));
    }

    #[test]
    fn a_turn_that_is_recorded_a_second_time_is_doubled_and_one_that_is_gone_is_lost() {
        let again = |first, second| {
            let book = book(&[(0, first), (0, second)]);
            (book.doubled, book.lost, book.in_doubt_and_there, book.odd.len())
        };
        assert_eq!(again("c", "e"), (0, 0, 0, 0));
        assert_eq!(again("e", "e"), (0, 0, 1, 0));
        assert_eq!(again("c", "c"), (1, 0, 0, 0));
        assert_eq!(again("c", "r"), (0, 1, 0, 0));
        assert_eq!(again("r", "c"), (0, 0, 0, 0));
        assert_eq!(again("c", "x"), (0, 0, 0, 1));
    }
}
