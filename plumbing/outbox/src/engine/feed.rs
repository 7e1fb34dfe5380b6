//! The feed of committed facts, for what a process keeps in memory and for live streams.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use crate::Entry;

/// How many facts a slow listener may fall behind before it is told that it missed some.
const FACTS_BEHIND_MAX: usize = 4_096;

/// Tells every committed fact, of this process and of others, within a second of its commit. Cheap to clone.
#[derive(Clone)]
pub struct Feed {
    facts: broadcast::Sender<Arc<Entry>>,
    following: watch::Sender<bool>,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { facts: broadcast::channel(FACTS_BEHIND_MAX).0, following: watch::channel(false).0 }
    }

    /// The facts from now on. A listener that is told `Lagged` has missed some: it forgets what it keeps, or reads them with
    /// [`facts_after`](crate::facts_after).
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Entry>> {
        self.facts.subscribe()
    }

    /// Whether the log can be followed: while it cannot (the database has not answered for a second), what is kept in memory
    /// is in doubt. Nothing is skipped: when it can again, the feed goes on where it stood.
    pub fn following(&self) -> watch::Receiver<bool> {
        self.following.subscribe()
    }

    pub(crate) fn tell(&self, fact: &Entry) {
        if self.facts.receiver_count() > 0 {
            let _ = self.facts.send(Arc::new(fact.clone()));
        }
    }

    pub(crate) fn set_following(&self, is_following: bool) {
        self.following.send_if_modified(|was| std::mem::replace(was, is_following) != is_following);
    }
}
