//! Rings when a payment changed in this process, for those who wait for one.

use std::sync::LazyLock;
use std::time::Duration;

use kernel::WorkspaceId;
use store::Store;
use tokio::sync::watch;

use crate::error::PaymentError;
use crate::intent::{Intent, IntentId};
use crate::payout::{Payout, PayoutId};
use crate::queries;

/// How often a waiter looks by itself: for what other processes changed.
const LOOK_EVERY: Duration = Duration::from_millis(200);

static BELL: LazyLock<watch::Sender<()>> = LazyLock::new(|| watch::channel(()).0);

pub(crate) fn ring() {
    BELL.send_replace(());
}

/// The intent as soon as `is_ready` says so, or as it is after `within`.
pub async fn wait(
    store: &Store,
    workspace: WorkspaceId,
    id: IntentId,
    within: Duration,
    is_ready: impl Fn(&Intent) -> bool + Send,
) -> Result<Intent, PaymentError> {
    let mut bell = BELL.subscribe();
    let looking = async {
        loop {
            let intent = queries::get(&mut store.read(), workspace, id).await?;
            if is_ready(&intent) {
                return Ok(intent);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, bell.changed()).await;
        }
    };
    match tokio::time::timeout(within, looking).await {
        Ok(found) => found,
        Err(_) => queries::get(&mut store.read(), workspace, id).await,
    }
}

/// The same for a payout.
pub async fn wait_for_payout(
    store: &Store,
    workspace: WorkspaceId,
    id: PayoutId,
    within: Duration,
    is_ready: impl Fn(&Payout) -> bool + Send,
) -> Result<Payout, PaymentError> {
    let mut bell = BELL.subscribe();
    let looking = async {
        loop {
            let payout = queries::payout(&mut store.read(), workspace, id).await?;
            if is_ready(&payout) {
                return Ok(payout);
            }
            let _ = tokio::time::timeout(LOOK_EVERY, bell.changed()).await;
        }
    };
    match tokio::time::timeout(within, looking).await {
        Ok(found) => found,
        Err(_) => queries::payout(&mut store.read(), workspace, id).await,
    }
}
