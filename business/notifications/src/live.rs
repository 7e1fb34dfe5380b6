//! The in-app live stream, apart from HTTP: which facts it shows to whom, and how many streams there may be.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Caller, Grant, WorkspaceId};
use outbox::Feed;

/// A fact that the stream shows, and the right that it takes to see it. `app` hands over the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveFact {
    /// The fact's name, for example `leads.captured`.
    pub name: &'static str,
    /// Who may see it.
    pub grant: Grant,
}

/// The bounds of the streams.
#[derive(Debug, Clone)]
pub struct LiveLimits {
    /// Open streams of one workspace.
    pub streams_per_workspace: usize,
    /// How long one stream lasts; the client comes back by itself, and its rights are looked at again.
    pub lasts: Duration,
    /// Between two signs of life.
    pub heartbeat: Duration,
    /// Facts that are told again to a client that comes back; who missed more is told to load afresh.
    pub resume_max: usize,
}

impl Default for LiveLimits {
    fn default() -> Self {
        let (lasts, heartbeat) = (Duration::from_secs(15 * 60), Duration::from_secs(15));
        Self { streams_per_workspace: 100, lasts, heartbeat, resume_max: 2_000 }
    }
}

/// The live stream's feed, table and counters. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    pub(crate) feed: Feed,
    pub(crate) limits: LiveLimits,
    facts: Arc<[LiveFact]>,
    open: Arc<Mutex<HashMap<WorkspaceId, usize>>>,
}

impl Live {
    /// A live stream of `facts` from `feed`.
    pub fn new(feed: Feed, facts: &[LiveFact], limits: LiveLimits) -> Self {
        Self { feed, limits, facts: facts.into(), open: Arc::default() }
    }

    /// The names of the facts that this caller may see.
    pub(crate) fn visible(&self, caller: &Caller) -> Vec<&'static str> {
        visible(&self.facts, caller)
    }

    /// A place for one more stream of the workspace, given back when it is dropped; none when all are taken.
    pub(crate) fn place(&self, workspace: WorkspaceId) -> Option<Place> {
        take_place(&self.open, workspace, self.limits.streams_per_workspace)
    }
}

fn visible(facts: &[LiveFact], caller: &Caller) -> Vec<&'static str> {
    facts.iter().filter(|fact| caller.may(fact.grant).is_ok()).map(|fact| fact.name).collect()
}

fn take_place(open: &Arc<Mutex<HashMap<WorkspaceId, usize>>>, workspace: WorkspaceId, max: usize) -> Option<Place> {
    let mut counts = open.lock().unwrap_or_else(PoisonError::into_inner);
    let count = counts.entry(workspace).or_default();
    if *count >= max {
        return None;
    }
    *count += 1;
    metrics::gauge!("notifications_live_streams").increment(1.0);
    Some(Place { open: Arc::clone(open), workspace })
}

/// One open stream.
pub(crate) struct Place {
    open: Arc<Mutex<HashMap<WorkspaceId, usize>>>,
    workspace: WorkspaceId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.workspace) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.workspace);
            }
        }
        metrics::gauge!("notifications_live_streams").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kernel::{Grants, Id, MemberId, RawId};

    #[test]
    fn a_workspace_has_so_many_streams_and_another_has_its_own() {
        let open = Arc::default();
        let [one, other] = [1, 2].map(|bits| WorkspaceId::from_raw(RawId::from_bits(bits)));
        let held: Vec<_> = (0..2).map(|_| take_place(&open, one, 2).unwrap()).collect();
        assert!(take_place(&open, one, 2).is_none());
        assert!(take_place(&open, other, 2).is_some());
        drop(held);
        assert!(take_place(&open, one, 2).is_some());
        assert!(open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_caller_sees_only_the_facts_of_its_rights() {
        const LEADS: Grant = Grant("leads:read");
        const SCANS: Grant = Grant("codes:read");
        let facts = [LiveFact { name: "leads.captured", grant: LEADS }, LiveFact { name: "codes.scanned", grant: SCANS }];
        let workspace = WorkspaceId::from_raw(RawId::from_bits(1));
        let caller = Caller::Person { workspace, member: MemberId::from_raw(RawId::from_bits(2)), grants: Grants::of([LEADS]) };
        assert_eq!(visible(&facts, &caller), ["leads.captured"]);
        assert!(visible(&facts, &Caller::Visitor { workspace }).is_empty());
    }
}
