//! What a verification found, in words for whoever has to act on it. No I/O.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use kernel::WorkspaceId;

use crate::account::{AccountId, Unit};
use crate::seal::Seal;
use crate::transfer::TransferId;

/// What is wrong with the books; what tells most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trouble {
    /// A block that does not follow from what it covers, or from the block before it.
    Block,
    /// A seal that was kept outside of the database, and that the database does not have.
    Seal,
    /// A transfer is not what it was when it was sealed.
    Changed,
    /// A transfer that was sealed is gone.
    Removed,
    /// A transfer stands in the midst of what was sealed, and was not there then.
    Inserted,
    /// A transfer stands at another place than when it was sealed.
    Exchanged,
    /// A row that no build of the ledger has written.
    Unreadable,
    /// A transfer below the keeper's place that it never booked.
    NotBooked,
    /// A transfer beyond an account's limit.
    Limit,
    /// A pending transfer that was resolved twice, by other amounts, or that never was.
    Pending,
    /// An account that is missing, or is not what its transfers say.
    Account,
    /// A row of an account's history, or of its transfers by day.
    History,
    /// Totals that are not what the log adds up to.
    Totals,
    /// The keeper's place is not the end of the newest block.
    Cursor,
}

impl Trouble {
    /// Its word for programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Inserted => "inserted",
            Self::Exchanged => "exchanged",
            Self::Unreadable => "unreadable",
            Self::NotBooked => "not_booked",
            Self::Block => "block",
            Self::Seal => "seal",
            Self::History => "history",
            Self::Totals => "totals",
            Self::Account => "account",
            Self::Limit => "limit",
            Self::Pending => "pending",
            Self::Cursor => "cursor",
        }
    }

    /// What to do about it.
    const fn advice(self) -> &'static str {
        match self {
            Self::Changed | Self::Exchanged | Self::Unreadable => {
                "compare the transfer with the newest backup: what was sealed is what stands there"
            }
            Self::Removed => "take the transfer from the newest backup: what its accounts hold since then is in their history",
            Self::Inserted => "it was not posted through the ledger: it counts for nothing; find out who writes to the database",
            Self::NotBooked => "it was written past the ledger, or the keeper's tables were changed",
            Self::Block | Self::Seal => {
                "what is older than the last seal that agrees is as it was; restore a backup that has the seal, and post again what came later"
            }
            Self::History | Self::Totals => {
                "the log is what counts; if no transfer is named as well, these rows alone were changed: take them from a backup"
            }
            Self::Account => "take the account's row from the newest backup",
            Self::Limit | Self::Pending => "it was not judged by the ledger: find out who wrote it, and correct it by a new entry",
            Self::Cursor => "stop the process and ask for help before anything else is posted: the keeper may book twice or not at all",
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub trouble: Trouble,
    /// In whose books.
    pub workspace: Option<WorkspaceId>,
    /// At which position of those.
    pub position: Option<i64>,
    /// Which transfer.
    pub transfer: Option<TransferId>,
    /// Which account.
    pub account: Option<AccountId>,
    /// What is there and what should be.
    pub words: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.trouble.as_str())?;
        if let Some(workspace) = self.workspace {
            write!(f, " in {workspace}")?;
        }
        if let Some(position) = self.position {
            write!(f, " at position {position}")?;
        }
        if let Some(transfer) = self.transfer {
            write!(f, ", {transfer}")?;
        }
        if let Some(account) = self.account {
            write!(f, ", {account}")?;
        }
        write!(f, ": {}", self.words)
    }
}

/// The sums of one unit, in minor units.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UnitSums {
    /// Accounts that count it.
    pub accounts: u64,
    /// Posted debits of all of them.
    pub debits_posted: i128,
    /// Posted credits of all of them: the same.
    pub credits_posted: i128,
    /// Balances that are on the debit side.
    pub debit_balances: i128,
    /// Balances that are on the credit side: the same.
    pub credit_balances: i128,
}

/// What was looked at, and what was wrong.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong; empty where the books are sound.
    pub findings: Vec<Finding>,
    /// How many more there were than the report has room for.
    pub findings_left_out: u64,
    /// Workspaces with accounts, transfers or blocks.
    pub workspaces: u64,
    /// Their accounts.
    pub accounts: u64,
    /// Transfers in the log.
    pub transfers: u64,
    /// How many of those the keeper has not booked yet.
    pub waiting: u64,
    /// Blocks.
    pub blocks: u64,
    /// Rows of the accounts' histories.
    pub history_rows: u64,
    /// Seals from outside that were compared.
    pub seals: u64,
    /// How far the books had come: era, transaction and place, as in [`crate::keeper::Cursor`].
    pub version: String,
    /// The trial balance of each unit, everything that is posted included.
    pub units: BTreeMap<Unit, UnitSums>,
    /// The newest seal of each workspace.
    pub newest: Vec<Seal>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Lines of the report that list one thing each, at most.
const LINES_MAX: usize = 20;

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} transfers ({} not booked yet), {} blocks, {} rows of history, {} accounts, {} workspaces; version {}",
            self.transfers, self.waiting, self.blocks, self.history_rows, self.accounts, self.workspaces, self.version
        )?;
        if !self.units.is_empty() {
            writeln!(f, "\nTrial balance\n{:<28} {:>9} {:>26} {:>26}", "unit", "accounts", "debit balances", "credit balances")?;
            for (unit, sums) in &self.units {
                let (debits, credits) = (unit.major(sums.debit_balances), unit.major(sums.credit_balances));
                let words = if sums.debit_balances == sums.credit_balances { "" } else { "  NOT EQUAL" };
                writeln!(f, "{:<28} {:>9} {debits:>26} {credits:>26}{words}", unit.as_str(), sums.accounts)?;
            }
        }
        if !self.newest.is_empty() {
            writeln!(f, "\nNewest seals ({} from outside compared)", self.seals)?;
            for seal in self.newest.iter().take(LINES_MAX) {
                let hash: String = seal.hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
                writeln!(f, "{}  block {}, position {}, {}, {hash}…", seal.workspace, seal.number, seal.last_position, seal.booked_at)?;
            }
            if self.newest.len() > LINES_MAX {
                writeln!(f, "… and of {} more workspaces: see `tessera ledger seals`", self.newest.len() - LINES_MAX)?;
            }
        }
        if self.is_sound() {
            return write!(f, "\nThe books are sound.");
        }
        writeln!(f, "\nTHE BOOKS ARE NOT SOUND: {} findings", self.findings.len() as u64 + self.findings_left_out)?;
        for finding in &self.findings {
            writeln!(f, "- {finding}")?;
        }
        if self.findings_left_out > 0 {
            writeln!(f, "… and {} more", self.findings_left_out)?;
        }
        writeln!(f, "\nWhat to do: keep a copy of the database as it is now. Then, for what is")?;
        let troubles: BTreeSet<Trouble> = self.findings.iter().map(|finding| finding.trouble).collect();
        let lines: Vec<String> = troubles.iter().map(|trouble| format!("- {}: {}", trouble.as_str(), trouble.advice())).collect();
        write!(f, "{}", lines.join("\n"))
    }
}

/// Findings as they come up: a bounded list, one for each transfer.
#[derive(Debug)]
pub(crate) struct Findings {
    list: Vec<Finding>,
    left_out: u64,
    max: usize,
    at: HashMap<(WorkspaceId, i64), usize>,
}

impl Findings {
    pub(crate) fn new(max: usize) -> Self {
        Self { list: Vec::new(), left_out: 0, max, at: HashMap::new() }
    }

    /// What is said of a position that has a finding already is added to that.
    pub(crate) fn add(&mut self, finding: Finding) {
        let key = finding.workspace.zip(finding.position);
        if let Some(index) = key.and_then(|key| self.at.get(&key)) {
            let known = &mut self.list[*index];
            known.transfer = known.transfer.or(finding.transfer);
            known.account = known.account.or(finding.account);
            if known.words.len() < 1_000 && !known.words.contains(&finding.words) {
                known.words.push_str("; ");
                known.words.push_str(&finding.words);
            }
            return;
        }
        if self.list.len() >= self.max {
            self.left_out += 1;
            return;
        }
        if let Some(key) = key {
            self.at.insert(key, self.list.len());
        }
        self.list.push(finding);
    }

    pub(crate) fn into_parts(self) -> (Vec<Finding>, u64) {
        (self.list, self.left_out)
    }
}
