//! Going through the history of all workspaces, and looking up the rows beside it.

use std::collections::{HashMap, VecDeque};

use kernel::WorkspaceId;
use store::{P, Reads, Sql, StoreError, params};

use crate::account::ProviderRecord;
use crate::replay::{EVENTS_OF_ONE_MAX, Kept};
use crate::sql::replay as sql;

/// Events that are read at once.
const PAGE: i64 = 2_000;

/// A walk through the history, one intent or payout after the other, in the order of workspaces and identifiers.
#[derive(Default)]
pub(crate) struct Walk {
    page: VecDeque<Kept>,
    after: (String, String, i64),
    is_at_end: bool,
}

impl Walk {
    async fn event(&mut self, reads: &mut impl Reads) -> Result<Option<Kept>, StoreError> {
        if self.page.is_empty() && !self.is_at_end {
            let (workspace, subject, version) = &self.after;
            let page = reads.rows(&sql::EVENTS_EVERYWHERE, params![workspace, subject, *version, PAGE], sql::kept).await?;
            self.is_at_end = page.len() < PAGE as usize;
            if let Some(last) = page.last() {
                self.after = (last.workspace.to_string(), last.subject.clone(), last.version);
            }
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }

    /// The whole history of the next intent or payout; none behind the last.
    pub(crate) async fn next_everywhere(&mut self, reads: &mut impl Reads) -> Result<Option<Vec<Kept>>, StoreError> {
        let mut history: Vec<Kept> = Vec::new();
        while let Some(kept) = self.event(reads).await? {
            let is_another = history.last().is_some_and(|last| (last.workspace, &last.subject) != (kept.workspace, &kept.subject));
            // A history that nobody can have written is given in parts, which then make no row.
            if is_another || history.len() == EVENTS_OF_ONE_MAX {
                self.page.push_front(kept);
                return Ok(Some(history));
            }
            history.push(kept);
        }
        Ok((!history.is_empty()).then_some(history))
    }
}

/// The whole history of one intent or payout; empty where there is none.
pub(crate) async fn history_of(reads: &mut impl Reads, workspace: &str, subject: &str) -> Result<Vec<Kept>, StoreError> {
    reads.rows(&sql::HISTORY_OF, params![workspace, subject, 0_i64, EVENTS_OF_ONE_MAX as i64], sql::kept).await
}

/// How many intents, payouts, references and expectations there are.
pub(crate) async fn count_everywhere(reads: &mut impl Reads) -> Result<[i64; 4], StoreError> {
    let mut counts = [0; 4];
    let statements = [
        &sql::COUNT_INTENTS_EVERYWHERE,
        &sql::COUNT_PAYOUTS_EVERYWHERE,
        &sql::COUNT_REFERENCES_EVERYWHERE,
        &sql::COUNT_EXPECTED_EVERYWHERE,
    ];
    for (count, statement) in counts.iter_mut().zip(statements) {
        *count = reads.row(statement, &[], |row| row.get(0)).await?.unwrap_or_default();
    }
    Ok(counts)
}

type Columns = Vec<P<'static>>;

fn list<'t>(texts: impl IntoIterator<Item = &'t str>) -> P<'static> {
    P::List(texts.into_iter().map(|text| P::Text(text.to_owned().into())).collect())
}

/// The rows of these keys, by their first column.
async fn by_first(
    reads: &mut impl Reads,
    statement: &'static Sql,
    workspace: WorkspaceId,
    keys: &[&str],
    map: store::Map<Columns>,
) -> Result<HashMap<String, Columns>, StoreError> {
    if keys.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = reads.rows(statement, &[P::Text(workspace.to_string().into()), list(keys.iter().copied())], map).await?;
    Ok(rows.into_iter().map(|row| (word(&row[0]).to_owned(), row)).collect())
}

/// A column's text; empty where it is none.
pub(crate) fn word<'p>(value: &'p P<'_>) -> &'p str {
    if let P::Text(text) = value { text } else { "" }
}

/// Intents of a workspace, or its payouts, by identifier.
pub(crate) async fn states(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    ids: &[&str],
    are_payouts: bool,
) -> Result<HashMap<String, Columns>, StoreError> {
    if are_payouts {
        by_first(reads, &sql::PAYOUTS_OF, workspace, ids, sql::payout_columns).await
    } else {
        by_first(reads, &sql::INTENTS_OF, workspace, ids, sql::intent_columns).await
    }
}

/// Expectations of a workspace by subject.
pub(crate) async fn expected(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    subjects: &[&str],
) -> Result<HashMap<String, Columns>, StoreError> {
    by_first(reads, &sql::EXPECTED_OF, workspace, subjects, sql::expected_columns).await
}

/// References of a workspace at one provider (none: our own), by name.
pub(crate) async fn references(
    reads: &mut impl Reads,
    workspace: WorkspaceId,
    provider: &str,
    names: &[&str],
) -> Result<HashMap<String, Columns>, StoreError> {
    let parameters = [P::Text(workspace.to_string().into()), P::Text(provider.to_owned().into()), list(names.iter().copied())];
    let rows = reads.rows(&sql::REFERENCES_OF, &parameters, sql::reference_columns).await?;
    Ok(rows.into_iter().map(|row| (word(&row[1]).to_owned(), row)).collect())
}

/// Rows that are looked at once when those are looked for that no event explains.
const LOOK: i64 = 500;

/// The next intents, or payouts, behind this one: workspace and identifier.
pub(crate) async fn states_after_everywhere(
    reads: &mut impl Reads,
    after: &[String; 2],
    are_payouts: bool,
) -> Result<Vec<[String; 2]>, StoreError> {
    let statement = if are_payouts { &sql::NEXT_PAYOUTS_EVERYWHERE } else { &sql::NEXT_INTENTS_EVERYWHERE };
    reads.rows(statement, params![&after[0], &after[1], LOOK], sql::keys).await
}

/// The next references behind this one: workspace, provider, name and owner.
pub(crate) async fn references_after_everywhere(reads: &mut impl Reads, after: &[String; 4]) -> Result<Vec<[String; 4]>, StoreError> {
    reads.rows(&sql::NEXT_REFERENCES_EVERYWHERE, params![&after[0], &after[1], &after[2], LOOK], sql::reference_keys).await
}

/// The next expectations behind this one: workspace, subject and owner.
pub(crate) async fn expected_after_everywhere(reads: &mut impl Reads, after: &[String; 3]) -> Result<Vec<[String; 3]>, StoreError> {
    reads.rows(&sql::NEXT_EXPECTED_EVERYWHERE, params![&after[0], &after[1], LOOK], sql::expected_keys).await
}

/// Providers that have this name or identifier, in this workspace or in all; at most 20.
pub async fn providers_called_everywhere(
    reads: &mut impl Reads,
    name_or_id: &str,
    workspace: Option<WorkspaceId>,
) -> Result<Vec<ProviderRecord>, StoreError> {
    let workspace = workspace.map(|id| id.to_string()).unwrap_or_default();
    reads.rows(&sql::PROVIDERS_CALLED_EVERYWHERE, params![name_or_id, &workspace, 20_i64], crate::sql::provider).await
}
