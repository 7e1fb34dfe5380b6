//! The door's memory: who stands behind a session's token or a key, asked for with every request.
//!
//! What was found is believed for a second, and only as long as this process has not taken anything away since: each verb
//! that ends a session, revokes a key or changes a role calls [`forget`], which after the commit makes every memory void.
//! So on this node a revocation holds at once, and on others within a second. Only what opens is remembered: guesses cost
//! their look-up, and cannot fill the memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use gateway::{Doorkeeper, Problem, Resolving};
use kernel::{Caller, Timestamp};
use store::{Store, Tx};

use crate::key::USED_EVERY;
use crate::token::{self, Hash};
use crate::{PeopleError, Roles, commands, queries};

/// Counts what was taken away. One for all stores of a process: forgetting too much only costs a look-up.
static TAKEN_AWAY: AtomicU64 = AtomicU64::new(0);

/// After the commit nothing that was found before is believed any more.
pub(crate) fn forget(tx: &mut Tx) {
    tx.after_commit(|| {
        TAKEN_AWAY.fetch_add(1, Ordering::SeqCst);
    });
}

/// How long a finding is believed, on the machine's monotonic clock.
const BELIEVED: Duration = Duration::from_secs(1);
/// How many findings are kept; beyond, all are dropped and found again.
const KEPT_MAX: usize = 10_000;

/// Knows callers by their session or key.
pub struct Door {
    store: Store,
    roles: Arc<Roles>,
    found: RwLock<HashMap<Hash, Finding>>,
}

#[derive(Clone)]
struct Finding {
    caller: Caller,
    /// Until when the session or key lives.
    ends_at: Option<Timestamp>,
    at: Instant,
    taken_away: u64,
}

impl Door {
    /// A door over this store with this table of rights.
    pub fn new(store: Store, roles: Arc<Roles>) -> Self {
        Self { store, roles, found: RwLock::default() }
    }

    fn remembered(&self, hash: &Hash, now: Timestamp) -> Option<Caller> {
        let found = self.found.read().unwrap_or_else(PoisonError::into_inner);
        let finding = found.get(hash)?;
        let is_good = finding.taken_away == TAKEN_AWAY.load(Ordering::SeqCst)
            && finding.at.elapsed() < BELIEVED
            && finding.ends_at.is_none_or(|end| now < end);
        is_good.then(|| finding.caller.clone())
    }

    fn remember(&self, hash: Hash, finding: Finding) {
        let mut found = self.found.write().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= KEPT_MAX && !found.contains_key(&hash) {
            found.clear();
        }
        found.insert(hash, finding);
    }

    async fn session(&self, shown: &str) -> Result<Option<Caller>, PeopleError> {
        let Some(hash) = token::hash_of_token(shown) else { return Ok(None) };
        let now = self.store.clock().now();
        if let Some(caller) = self.remembered(&hash, now) {
            return Ok(Some(caller));
        }
        // Both are taken before the look-up, so that what is taken away meanwhile makes the finding void.
        let (at, taken_away) = (Instant::now(), TAKEN_AWAY.load(Ordering::SeqCst));
        let Some(session) = queries::session_by_hash_everywhere(&mut self.store.read(), &hash).await? else { return Ok(None) };
        let grants = self.roles.of(session.role).clone();
        let caller = Caller::Person { workspace: session.workspace, member: session.member, grants };
        self.remember(hash, Finding { caller: caller.clone(), ends_at: Some(session.expires_at), at, taken_away });
        if session.is_due_to_be_seen(now) {
            let store = self.store.clone();
            // On the side: a request does not wait for a note about itself, and a lost one is made again by the next.
            tokio::spawn(async move {
                let noted = store
                    .write(&Caller::system("session-seen"), session.id, |tx, id| {
                        Box::pin(async move { commands::touch_session(tx, id).await })
                    })
                    .await;
                log_note(noted);
            });
        }
        Ok(Some(caller))
    }

    async fn key(&self, shown: &str) -> Result<Option<Caller>, PeopleError> {
        if shown.len() != token::KEY_LENGTH {
            return Ok(None);
        }
        let (whole_hash, now) = (token::hash(shown), self.store.clock().now());
        if let Some(caller) = self.remembered(&whole_hash, now) {
            return Ok(Some(caller));
        }
        let Some((id, secret_hash)) = token::parse_key(shown) else { return Ok(None) };
        let (at, taken_away) = (Instant::now(), TAKEN_AWAY.load(Ordering::SeqCst));
        let Some((key, kept_hash)) = queries::key_and_hash_everywhere(&mut self.store.read(), id).await? else { return Ok(None) };
        if !token::same(&kept_hash, &secret_hash) || key.expires_at.is_some_and(|end| end <= now) {
            return Ok(None);
        }
        let caller = Caller::Key { workspace: key.workspace, key: id, grants: self.roles.of_scopes(&key.scopes) };
        self.remember(whole_hash, Finding { caller: caller.clone(), ends_at: key.expires_at, at, taken_away });
        if key.used_at.is_none_or(|used| now.since(used) >= USED_EVERY) {
            let store = self.store.clone();
            tokio::spawn(async move {
                let noted = store
                    .write(&Caller::system("key-used"), (key.workspace, id), |tx, (workspace, id)| {
                        Box::pin(async move { commands::touch_key(tx, workspace, id).await })
                    })
                    .await;
                log_note(noted);
            });
        }
        Ok(Some(caller))
    }
}

fn log_note(noted: Result<(), PeopleError>) {
    if let Err(error) = noted {
        tracing::debug!(%error, "that a session or key is used was not noted");
    }
}

impl Doorkeeper for Door {
    fn by_session<'a>(&'a self, token: &'a str) -> Resolving<'a> {
        Box::pin(async move { self.session(token).await.map_err(Problem::from) })
    }

    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move { self.key(bearer).await.map_err(Problem::from) })
    }
}
