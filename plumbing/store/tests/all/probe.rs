//! What the tests of hazards share: a table without a business, and units that run in one group.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};

use kernel::Caller;
use store::{Reads, Store, StoreError, params};

pub static SYSTEM: Caller = Caller::system("test");

store::statements! {
    INSERT = "insert into store_probe (id, number) values ($1, $2)";
    INSERT_ONCE = "insert into store_probe (id, number) values ($1, $2) on conflict (id) do nothing";
    INSERT_BODY = "insert into store_probe (id, number, body) values ($1, 0, $2)";
    NUMBER = "select number from store_probe where id = $1";
    ALL = "select id from store_probe order by id";
}

/// Inserts one row in a unit of its own.
pub async fn insert(store: &Store, id: &str) -> Result<u64, StoreError> {
    let row = (id.to_owned(), 1_i64);
    store.write(&SYSTEM, row, |tx, (id, number)| Box::pin(async move { tx.execute(&INSERT, params![id, number]).await })).await
}

/// Every row there is.
pub async fn ids(store: &Store) -> Vec<String> {
    store.read().rows(&ALL, &[], |row| row.get(0)).await.unwrap()
}

/// A unit that was called and not waited for yet.
pub type Called<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Lets units of SQLite run in one group, in this order: they queue while another unit holds the writer.
pub async fn in_one_group<T>(store: &Store, mut units: Vec<Called<'_, T>>) -> Vec<Result<T, StoreError>> {
    let (open, holder) = hold(store).await;
    for unit in &mut units {
        assert!(futures_util::poll!(unit.as_mut()).is_pending());
    }
    drop(open);
    holder.await.unwrap();
    futures_util::future::join_all(units).await
}

/// A unit that holds the writer until what is returned first is dropped.
pub async fn hold(store: &Store) -> (mpsc::Sender<()>, Called<'_, ()>) {
    let (open, gate) = mpsc::channel::<()>();
    let is_held = Arc::new(AtomicBool::new(false));
    let input = (Arc::new(Mutex::new(gate)), is_held.clone());
    let mut holder: Called<'_, ()> = Box::pin(store.write(&SYSTEM, input, |_, (gate, is_held)| {
        Box::pin(async move {
            is_held.store(true, Ordering::SeqCst);
            let _ = gate.lock().unwrap().recv();
            Ok(())
        })
    }));
    assert!(futures_util::poll!(holder.as_mut()).is_pending());
    while !is_held.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    (open, holder)
}

/// Whether an error says that nobody knows.
pub fn is_unknown<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::OutcomeUnknown))
}

/// Whether an error says that nothing was kept.
pub fn is_refused<T>(result: &Result<T, StoreError>) -> bool {
    matches!(result, Err(StoreError::NotCommitted { .. }))
}
