//! The history of an installation replayed beside its rows: what the events make is laid beside what is there, in one view of
//! the database. Memory is bounded by one history and some hundred rows, whatever the number of payments.

use std::collections::BTreeMap;

use kernel::WorkspaceId;
use sha2::{Digest as _, Sha256};
use store::{P, Snapshot, Store, StoreError};

use super::compare::{self, differences};
use super::report::{Counts, Difference, OfWorkspace, Report};
use super::{Chain, Kept, Rebuilt, ReplayError, rebuild};
use crate::queries::replay::{self as queries, Walk, word};
use crate::settlement::hexadecimal;

/// Histories whose rows are looked up at once.
const AT_ONCE: usize = 200;

/// The tables that hold what events make.
const TABLES: [&str; 4] = ["payments_intents", "payments_payouts", "payments_references", "payments_expected"];
const INTENTS: usize = 0;
const PAYOUTS: usize = 1;
const REFERENCES: usize = 2;
const EXPECTED: usize = 3;

/// Replays the history that an installation has, in memory, and compares each row with what its events make. Changes nothing.
pub async fn check(store: &Store) -> Result<Report, ReplayError> {
    let snapshot = store.snapshot().await?;
    let at = store.clock().now();
    let report = Report { at, workspaces: Vec::new(), differences: Vec::new(), differences_found: 0, events_sha256: String::new() };
    let checking = Checking { snapshot, report, found: [0; 4], batch: Vec::with_capacity(AT_ONCE), digest: Sha256::new() };
    checking.run().await
}

struct Checking {
    snapshot: Snapshot,
    report: Report,
    /// Rows of each table that are what some history makes of them, but for their columns.
    found: [u64; 4],
    batch: Vec<Rebuilt>,
    /// Of the rows of the workspace that is being looked at.
    digest: Sha256,
}

impl Checking {
    async fn run(mut self) -> Result<Report, ReplayError> {
        let (mut walk, mut chain) = (Walk::default(), Some(Chain::begin()));
        while let Some(history) = walk.next_everywhere(&mut self.snapshot).await? {
            chain = self.link(chain, &history);
            self.enter(history[0].workspace).await?;
            match rebuild(&history) {
                Ok(rebuilt) => self.take(history.len(), rebuilt).await?,
                Err(error) => {
                    let kept = &history[error.event.min(history.len() - 1)];
                    self.count(|counts| counts.events += history.len() as u64);
                    self.differ("payments_events", &kept.workspace.to_string(), format!("{} {}", kept.subject, kept.version), error.why);
                }
            }
        }
        self.look_up().await?;
        self.leave();
        self.unexplained().await?;
        self.report.events_sha256 = chain.map(|chain| chain.digits()).unwrap_or_default();
        Ok(self.report)
    }

    /// The digest of the history goes on, unless something in it is not written as events are.
    fn link(&mut self, chain: Option<Chain>, history: &[Kept]) -> Option<Chain> {
        let mut chain = chain?;
        for kept in history {
            match chain.after(kept) {
                Ok(next) => chain = next,
                Err(error) => {
                    let id = format!("{} {}", kept.subject, kept.version);
                    self.differ("payments_events", &kept.workspace.to_string(), id, error.to_string());
                    return None;
                }
            }
        }
        Some(chain)
    }

    fn differ(&mut self, table: &'static str, workspace: &str, id: String, what: String) {
        self.report.differ(Difference { workspace: workspace.to_owned(), table, id, what });
    }

    fn count(&mut self, add: impl FnOnce(&mut Counts)) {
        if let Some(of) = self.report.workspaces.last_mut() {
            add(&mut of.counts);
        }
    }

    async fn enter(&mut self, workspace: WorkspaceId) -> Result<(), StoreError> {
        if self.report.workspaces.last().is_none_or(|of| of.workspace != workspace) {
            self.look_up().await?;
            self.leave();
            self.report.workspaces.push(OfWorkspace {
                workspace,
                at: self.report.at,
                counts: Counts::default(),
                differences: 0,
                rows_sha256: String::new(),
            });
        }
        Ok(())
    }

    fn leave(&mut self) {
        let digest = std::mem::replace(&mut self.digest, Sha256::new()).finalize();
        if let Some(of) = self.report.workspaces.last_mut() {
            of.rows_sha256 = hexadecimal(&digest);
        }
    }

    async fn take(&mut self, events: usize, rebuilt: Rebuilt) -> Result<(), StoreError> {
        rebuilt.digest(&mut self.digest);
        self.count(|counts| {
            counts.events += events as u64;
            if rebuilt.is_payout {
                counts.payouts += 1
            } else {
                counts.intents += 1
            }
            counts.references += rebuilt.names.len() as u64;
            counts.expected += rebuilt.expected.len() as u64;
        });
        self.batch.push(rebuilt);
        if self.batch.len() == AT_ONCE { self.look_up().await } else { Ok(()) }
    }

    /// Lays what waits beside the rows that are there.
    async fn look_up(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        let Some(workspace) = batch.first().map(|rebuilt| rebuilt.workspace) else { return Ok(()) };
        for (table, columns, are_payouts) in [(INTENTS, compare::INTENT, false), (PAYOUTS, compare::PAYOUT, true)] {
            let of_table: Vec<&Rebuilt> = batch.iter().filter(|rebuilt| rebuilt.is_payout == are_payouts).collect();
            let ids: Vec<&str> = of_table.iter().map(|rebuilt| rebuilt.subject.as_str()).collect();
            let there = queries::states(&mut self.snapshot, workspace, &ids, are_payouts).await?;
            for rebuilt in of_table {
                self.lay(table, columns, &rebuilt.subject, there.get(&rebuilt.subject), &rebuilt.state);
            }
        }
        let rows: Vec<&Vec<P<'static>>> = batch.iter().flat_map(|rebuilt| &rebuilt.expected).collect();
        let subjects: Vec<&str> = rows.iter().map(|row| word(&row[1])).collect();
        let there = queries::expected(&mut self.snapshot, workspace, &subjects).await?;
        for row in rows {
            self.lay(EXPECTED, compare::EXPECTED, word(&row[1]), there.get(word(&row[1])), row);
        }
        self.look_names_up(workspace, &batch).await
    }

    async fn look_names_up(&mut self, workspace: WorkspaceId, batch: &[Rebuilt]) -> Result<(), StoreError> {
        let mut by_provider: BTreeMap<&str, Vec<(&str, &Rebuilt)>> = BTreeMap::new();
        for rebuilt in batch {
            for name in &rebuilt.names {
                by_provider.entry(&name.provider).or_default().push((&name.reference, rebuilt));
            }
        }
        for (provider, names) in by_provider {
            let keys: Vec<&str> = names.iter().map(|(reference, _)| *reference).collect();
            let there = queries::references(&mut self.snapshot, workspace, provider, &keys).await?;
            for (reference, rebuilt) in names {
                let row = there.get(reference);
                // Of two that a provider calls the same the older one keeps the name; its own history explains the row.
                if row.is_some_and(|row| word(&row[2]) < rebuilt.subject.as_str()) {
                    continue;
                }
                let made = rebuilt.references().find(|made| (word(&made[1]), word(&made[2])) == (provider, reference)).unwrap_or_default();
                self.lay(REFERENCES, compare::REFERENCE, &format!("{provider} {reference}"), row, &made);
            }
        }
        Ok(())
    }

    fn lay(&mut self, table: usize, columns: &[&'static str], id: &str, there: Option<&Vec<P<'static>>>, made: &[P<'static>]) {
        let workspace = made.first().map(word).unwrap_or_default().to_owned();
        match there {
            None => self.differ(TABLES[table], &workspace, id.to_owned(), "is missing".to_owned()),
            Some(there) => {
                self.found[table] += 1;
                let different = differences(columns, there, made);
                if !different.is_empty() {
                    self.differ(TABLES[table], &workspace, id.to_owned(), different.join("; "));
                }
            }
        }
    }

    /// Looks for rows that no event explains, where there are more rows than were found.
    async fn unexplained(&mut self) -> Result<(), StoreError> {
        let counts = queries::count_everywhere(&mut self.snapshot).await?;
        let is_more = |table: usize| u64::try_from(counts[table]).unwrap_or_default() > self.found[table];
        let [of_intents, of_payouts, of_references, of_expected] = [INTENTS, PAYOUTS, REFERENCES, EXPECTED].map(is_more);
        for (table, are_payouts) in [(INTENTS, false), (PAYOUTS, true)].into_iter().filter(|(table, _)| [of_intents, of_payouts][*table]) {
            let mut after = Default::default();
            loop {
                let rows = queries::states_after_everywhere(&mut self.snapshot, &after, are_payouts).await?;
                let Some(last) = rows.last() else { break };
                after = last.clone();
                for [workspace, id] in &rows {
                    if queries::history_of(&mut self.snapshot, workspace, id).await?.is_empty() {
                        self.differ(TABLES[table], workspace, id.clone(), "no event makes it".to_owned());
                    }
                }
            }
        }
        if of_references {
            let (mut after, mut owner) = (Default::default(), Owner::default());
            loop {
                let rows = queries::references_after_everywhere(&mut self.snapshot, &after).await?;
                let Some(last) = rows.last() else { break };
                after = last.clone();
                for [workspace, provider, reference, of] in &rows {
                    let brings =
                        |rebuilt: &Rebuilt| rebuilt.names.iter().any(|name| (&name.provider, &name.reference) == (provider, reference));
                    if !owner.history(&mut self.snapshot, workspace, of).await?.is_some_and(brings) {
                        let id = format!("{provider} {reference}");
                        self.differ(TABLES[REFERENCES], workspace, id, format!("no event of its owner {of} brings it"));
                    }
                }
            }
        }
        if of_expected {
            let (mut after, mut owner) = (Default::default(), Owner::default());
            loop {
                let rows = queries::expected_after_everywhere(&mut self.snapshot, &after).await?;
                let Some(last) = rows.last() else { break };
                after = last.clone();
                for [workspace, subject, of] in &rows {
                    let brings = |rebuilt: &Rebuilt| rebuilt.expected.iter().any(|row| word(&row[1]) == subject);
                    if !owner.history(&mut self.snapshot, workspace, of).await?.is_some_and(brings) {
                        self.differ(TABLES[EXPECTED], workspace, subject.clone(), format!("no event of its owner {of} brings it"));
                    }
                }
            }
        }
        Ok(())
    }
}

/// The owner whose history was read last: rows of one owner often follow each other.
#[derive(Default)]
struct Owner {
    key: (String, String),
    rebuilt: Option<Rebuilt>,
}

impl Owner {
    async fn history(&mut self, snapshot: &mut Snapshot, workspace: &str, owner: &str) -> Result<Option<&Rebuilt>, StoreError> {
        if (self.key.0.as_str(), self.key.1.as_str()) != (workspace, owner) {
            let history = queries::history_of(snapshot, workspace, owner).await?;
            self.rebuilt = rebuild(&history).ok();
            self.key = (workspace.to_owned(), owner.to_owned());
        }
        Ok(self.rebuilt.as_ref())
    }
}
