//! A look at the whole database: one instant of it, beside whoever writes, and without a hand on anything.

use store::testing::{fresh_place, store_with};
use store::{Engine, Reads, Store, StoreError, params};

use crate::probe::{ALL, INSERT, NUMBER, SYSTEM, ids, insert};

#[tokio::test]
async fn a_snapshot_sees_what_was_committed_when_it_was_taken_and_nothing_else() {
    let store = store_with(|_| {}).await;
    insert(&store, "before").await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    insert(&store, "after").await.unwrap();
    for _ in 0..2 {
        let seen: Vec<String> = snapshot.rows(&ALL, &[], |row| row.get(0)).await.unwrap();
        assert_eq!(seen, ["before"]);
        let row = snapshot.row(&NUMBER, params!["after"], |row| row.get::<i64>(0)).await.unwrap();
        assert_eq!(row, None);
    }
    assert_eq!(ids(&store).await, ["after", "before"]);
    drop(snapshot);
    // Nobody finds themselves in a connection that a snapshot has left.
    for round in 0..40 {
        insert(&store, &format!("later {round:02}")).await.unwrap();
    }
    let mut snapshot = store.snapshot().await.unwrap();
    assert_eq!(snapshot.rows(&ALL, &[], |row| row.get::<String>(0)).await.unwrap().len(), 42);
}

#[tokio::test]
async fn a_read_of_a_snapshot_that_is_given_up_leaves_it_refusing_and_the_store_whole() {
    let store = store_with(|_| {}).await;
    insert(&store, "a").await.unwrap();
    let mut snapshot = store.snapshot().await.unwrap();
    {
        let mut reading = std::pin::pin!(snapshot.rows(&ALL, &[], |row| row.get::<String>(0)));
        assert!(futures_util::poll!(reading.as_mut()).is_pending());
    }
    let again = snapshot.rows(&ALL, &[], |row| row.get::<String>(0)).await;
    match store.engine() {
        Engine::Sqlite => assert!(matches!(again, Err(StoreError::Stopped { .. })), "{again:?}"),
        Engine::Postgres => assert_eq!(again.unwrap(), ["a"]),
    }
    insert(&store, "b").await.unwrap();
    assert_eq!(ids(&store).await, ["a", "b"]);
}

#[tokio::test]
async fn an_opening_that_only_reads_stands_beside_the_one_that_writes_and_refuses_units() {
    let store = store_with(|_| {}).await;
    insert(&store, "a").await.unwrap();
    let beside = Store::open_read_only(store.config()).await.unwrap();
    assert_eq!(ids(&beside).await, ["a"]);
    insert(&store, "b").await.unwrap();
    assert_eq!(ids(&beside).await, ["a", "b"]);
    let refused = beside
        .write(&SYSTEM, (), |tx, ()| Box::pin(async move { tx.execute(&INSERT, params!["c", 1_i64]).await }))
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("for reading only"), "{refused}");
    beside.close().await;
    drop(beside);
    insert(&store, "d").await.unwrap();
    assert_eq!(ids(&store).await, ["a", "b", "d"]);
}

#[tokio::test]
async fn an_opening_that_only_reads_makes_nothing_where_there_is_nothing() {
    let place = fresh_place().await;
    if place.config().database_url.is_some() {
        // An empty database of PostgreSQL is not migrated by it.
        let store = Store::open_read_only(place.config()).await.unwrap();
        assert_eq!(store.migrations_run(), 0);
    } else {
        let words = Store::open_read_only(place.config()).await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(words.contains("holds no database") && words.contains("--data"), "{words}");
    }
    assert!(!place.folder().exists(), "no folder, no key, no lock");
}
