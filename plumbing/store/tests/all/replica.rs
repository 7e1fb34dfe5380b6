//! Reads on a real replica, and on the database itself where the replica does not answer.

use store::{Reads, Sql, StoreError};

use crate::cluster::Cluster;

static IS_REPLICA: Sql = Sql::new("select pg_is_in_recovery()");

async fn is_answered_by_replica(reads: &mut store::Read) -> bool {
    let answer: Result<Option<bool>, StoreError> = reads.row(&IS_REPLICA, &[], |row| row.get(0)).await;
    answer.unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_plain_reads_and_once_it_is_gone_the_database_itself_does() {
    // The tests that need a server run where one is named, and this one has servers of its own.
    if std::env::var("TESSERA_TEST_DATABASE").is_ok_and(|url| !url.is_empty())
        && let Some(primary) = Cluster::start("followed")
    {
        let mut replica = primary.replica("following");
        let (of_primary, of_replica) = (primary.url(), replica.url());
        let store = store::testing::store_with(|config| {
            config.database_url = Some(of_primary);
            config.replica_url = Some(of_replica);
        });
        let store = store.await;
        let mut reads = store.replica();
        assert!(is_answered_by_replica(&mut reads).await && reads.is_of_replica());
        assert!(!is_answered_by_replica(&mut store.read()).await);
        replica.kill();
        // One that began on the replica goes on where it is answered, and stays there.
        assert!(!is_answered_by_replica(&mut reads).await && !reads.is_of_replica());
        assert!(!is_answered_by_replica(&mut store.replica()).await);
    } else {
        println!("skipped: TESSERA_TEST_DATABASE names no server, or none is installed");
    }
}

#[tokio::test]
async fn where_there_is_no_replica_the_database_itself_answers() {
    let store = store::testing::store().await;
    let mut reads = store.replica();
    assert!(!reads.is_of_replica());
    reads.horizon().await.unwrap();
}
