//! The audit trail.

use store::testing::store;
use store::{StoreError, params};

use crate::world::*;

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_is_paged_newest_first_and_belongs_to_one_workspace() {
    let store = store().await;
    for n in 0..5 {
        let line = store.write(&CALLER, n, |tx, n: i32| {
            Box::pin(async move {
                let details = serde_json::json!({ "fields": ["name"], "n": n });
                outbox::audit(tx, workspace(), "card.changed", &format!("card {}", n % 2), &details).await
            })
        });
        line.await.map_err(|e: StoreError| e).unwrap();
        store.clock().advance(std::time::Duration::from_millis(1));
    }
    let first = outbox::audit_list(&mut store.read(), workspace(), None, 3).await.unwrap();
    assert_eq!(first.iter().map(|line| line.details["n"].as_i64().unwrap()).collect::<Vec<_>>(), [4, 3, 2]);
    assert_eq!((first[0].actor.as_str(), first[0].action.as_str()), ("system:test", "card.changed"));
    let rest = outbox::audit_list(&mut store.read(), workspace(), Some(first[2].id), 3).await.unwrap();
    assert_eq!(rest.len(), 2);
    assert_eq!(outbox::audit_of_subject(&mut store.read(), workspace(), "card 1", None, 10).await.unwrap().len(), 2);
    assert!(outbox::audit_list(&mut store.read(), other_workspace(), None, 3).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trail_can_be_neither_changed_nor_shortened() {
    let store = store().await;
    write(&store, |tx, ()| Box::pin(async move { outbox::audit(tx, workspace(), "card.created", "card", &serde_json::Value::Null).await }))
        .await;
    for sql in [&CHANGE_TRAIL, &SHORTEN_TRAIL, &REPLACE_TRAIL, &TRUNCATE_TRAIL] {
        let sql: &'static store::Sql = sql;
        let done = store.write(&CALLER, (), move |tx, ()| Box::pin(async move { tx.execute(sql, params![]).await }));
        assert!(done.await.map_err(|e: StoreError| e).is_err(), "{}", sql.text(store.engine()));
    }
    assert_eq!(outbox::audit_list(&mut store.read(), workspace(), None, 3).await.unwrap().len(), 1);
}
