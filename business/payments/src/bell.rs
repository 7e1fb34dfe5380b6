//! Rings when a payment or payout changed in this process, for those who wait for that one.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use kernel::{Id, RawId, WorkspaceId};
use store::Store;
use tokio::sync::Notify;

use crate::error::PaymentError;
use crate::intent::{Intent, IntentId};
use crate::payout::{Payout, PayoutId};
use crate::queries;

/// How often a waiter looks by itself: for what other processes changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What is waited for, by how many.
static WAITED_FOR: LazyLock<Mutex<HashMap<RawId, (usize, Arc<Notify>)>>> = LazyLock::new(Mutex::default);

fn waited_for<T>(with: impl FnOnce(&mut HashMap<RawId, (usize, Arc<Notify>)>) -> T) -> T {
    with(&mut WAITED_FOR.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Wakes those who wait for `id`, and nobody else: a till has as many waiters as open pages.
pub(crate) fn ring(id: impl Id) {
    if let Some(bell) = waited_for(|all| all.get(&id.raw()).map(|(_, bell)| bell.clone())) {
        bell.notify_waiters();
    }
}

/// Somebody who waits, until dropped.
struct Waiter {
    id: RawId,
    bell: Arc<Notify>,
}

impl Waiter {
    fn for_one(id: impl Id) -> Self {
        let id = id.raw();
        let bell = waited_for(|all| {
            let (waiters, bell) = all.entry(id).or_default();
            *waiters += 1;
            bell.clone()
        });
        Self { id, bell }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        waited_for(|all| {
            if let Some((waiters, _)) = all.get_mut(&self.id) {
                *waiters -= 1;
                if *waiters == 0 {
                    all.remove(&self.id);
                }
            }
        });
    }
}

/// What `look` finds as soon as `is_ready` says so of it, or as it is after `within`.
async fn wait_for<T, L: Future<Output = Result<T, PaymentError>>>(
    id: impl Id,
    within: Duration,
    look: impl Fn() -> L,
    is_ready: impl Fn(&T) -> bool,
) -> Result<T, PaymentError> {
    let waiter = Waiter::for_one(id);
    let looking = async {
        loop {
            // Before the look, so that what rings during it is heard.
            let mut rung = std::pin::pin!(waiter.bell.notified());
            rung.as_mut().enable();
            let found = look().await?;
            if is_ready(&found) {
                return Ok(found);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, rung).await;
        }
    };
    match tokio::time::timeout(within, looking).await {
        Ok(found) => found,
        Err(_) => look().await,
    }
}

/// The intent as soon as `is_ready` says so, or as it is after `within`.
pub async fn wait(
    store: &Store,
    workspace: WorkspaceId,
    id: IntentId,
    within: Duration,
    is_ready: impl Fn(&Intent) -> bool + Send,
) -> Result<Intent, PaymentError> {
    wait_for(id, within, || async move { queries::get(&mut store.read(), workspace, id).await }, is_ready).await
}

/// The same for a payout.
pub async fn wait_for_payout(
    store: &Store,
    workspace: WorkspaceId,
    id: PayoutId,
    within: Duration,
    is_ready: impl Fn(&Payout) -> bool + Send,
) -> Result<Payout, PaymentError> {
    wait_for(id, within, || async move { queries::payout(&mut store.read(), workspace, id).await }, is_ready).await
}
