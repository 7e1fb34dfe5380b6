//! Scans: written down, counted, answered.

mod scan_door;
mod scan_fold;
mod scan_http;
mod scan_journal;
mod scan_speed;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use codes::scan::{Record, classify};
use kernel::{Caller, Id, RawId, Timestamp, WorkspaceId};
use store::Store;

pub const PHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Version/18.1 Mobile/15E148 Safari/604.1";
pub const BOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

pub static SYSTEM: Caller = Caller::system("test");

/// A folder that is gone when it is dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("tessera_scans_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        Self(std::env::temp_dir().join(name))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn workspace(n: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(n))
}

pub fn time(text: &str) -> Timestamp {
    Timestamp::parse(text).unwrap()
}

/// A scan of `code` by the person with this device.
pub fn scan(code: u64, device: u64, at: Timestamp) -> Record {
    Record {
        code,
        at,
        device: device << 32,
        workspace: workspace(1),
        agent: classify(PHONE.as_bytes()),
        is_limited: false,
        language: *b"de",
        place: *b"AT",
        network: None,
        referrer: [0; 32],
    }
}

/// The facts whose names begin with `prefix`, as soon as there are `count`: on PostgreSQL they are seen once every older
/// transaction of the server has ended.
pub async fn facts(store: &Store, prefix: &str, count: usize) -> Vec<outbox::Entry> {
    loop {
        let found = outbox::facts_after(&mut store.read(), workspace(1), outbox::Position::default(), prefix, 100).await.unwrap();
        if found.len() >= count {
            return found;
        }
        tokio::task::yield_now().await;
    }
}
