//! Reading the books from a real PostgreSQL replica, also while it stands still and after it is gone.

use std::time::Duration;

use kernel::Entropy;
use ledger::queries::Version;
use serde_json::Value;
use tokio_postgres::NoTls;

use crate::cluster::Cluster;
use crate::http::{House, text, transfer};
use crate::world::{World, workspace};

/// Says something to a server itself.
async fn say(url: &str, words: &str) {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    let task = tokio::spawn(connection);
    client.batch_execute(words).await.unwrap();
    task.abort();
}

fn version(answer: &Value) -> Version {
    text(&answer["version"]).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_with_the_version_it_saw_and_at_least_the_one_that_is_asked_for() {
    // The tests that need a server run where one is named, and this one has servers of its own.
    if std::env::var("TESSERA_TEST_DATABASE").is_ok_and(|url| !url.is_empty())
        && let Some(primary) = Cluster::start("primary")
    {
        let mut replica = primary.replica("replica");
        let (of_primary, of_replica) = (primary.url(), replica.url());
        let store = store::testing::store_with(|config| {
            config.database_url = Some(of_primary);
            config.replica_url = Some(of_replica.clone());
        });
        let house = House::over(World { store: store.await, workspace: workspace(1) });
        let (cash, sales) = (house.open("cash", "asset").await, house.open("sales", "income").await);
        let balance = format!("/v1/ledger/accounts/{cash}/balance");
        let statement = format!("/v1/ledger/accounts/{cash}/statement");
        let first = version(&house.post(vec![transfer(1, &cash, &sales, 5)]).await);
        assert_eq!(house.get(&format!("{balance}?at_least={first}")).await["totals"]["balance"], "5");
        // The replica may still be on its way; once it has come so far it is asked without being told to.
        while version(&house.get(&balance).await) < first {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }

        say(&of_replica, "select pg_wal_replay_pause()").await;
        let second = version(&house.post(vec![transfer(2, &cash, &sales, 7)]).await);
        let primary_has_it = async || {
            let mut reads = house.world.store.read();
            ledger::queries::version(&mut reads).await.unwrap() >= second
        };
        while !primary_has_it().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let old = house.get(&balance).await;
        assert_eq!((version(&old), &old["totals"]["balance"]), (first, &Value::from("5")), "what the replica has, and it says so");
        assert_eq!(house.get(&statement).await["items"].as_array().unwrap().len(), 1);
        let trial = house.get("/v1/ledger/trial-balance").await;
        assert_eq!((version(&trial), &trial["units"][0]["debits"]), (first, &Value::from("5")));
        let new = house.get(&format!("{balance}?at_least={second}")).await;
        assert!(version(&new) >= second);
        assert_eq!(new["totals"]["balance"], "12", "the database itself answers in place of a replica that is behind");
        let lines = house.get(&format!("{statement}?at_least={second}")).await;
        assert_eq!(lines["items"][0]["after"]["balance"], "12");
        // What is asked for by name is never denied for being new.
        let bank = house.open("bank", "asset").await;
        assert_eq!(house.get(&format!("/v1/ledger/accounts/{bank}/statement")).await["items"], Value::Array(Vec::new()));

        say(&of_replica, "select pg_wal_replay_resume()").await;
        while version(&house.get(&balance).await) < second {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(house.get(&balance).await["totals"]["balance"], "12");

        say(&of_replica, "select pg_wal_replay_pause()").await;
        replica.kill();
        let third = version(&house.post(vec![transfer(3, &cash, &sales, 1)]).await);
        let last = house.get(&format!("{balance}?at_least={third}")).await;
        assert_eq!(last["totals"]["balance"], "13", "without a replica the database itself answers");
        assert!(version(&house.get(&statement).await) >= third);
    } else {
        println!("skipped: TESSERA_TEST_DATABASE names no server, or none is installed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_database_is_not_taken_for_a_replica() {
    if std::env::var("TESSERA_TEST_DATABASE").is_ok_and(|url| !url.is_empty()) {
        let other = store::testing::store().await;
        let place = store::testing::fresh_place().await;
        // Other randomness than the first one's, as any two installations have.
        let entropy = Entropy::seeded(8);
        let config = store::Config { replica_url: other.config().database_url, entropy, ..place.config() };
        let Err(refused) = store::Store::open(config).await else { panic!("it was taken for a replica") };
        assert!(refused.to_string().contains("--read-database"), "{refused}");
    }
    let place = store::testing::fresh_place().await;
    let without = store::Config { database_url: None, replica_url: Some("postgres://127.0.0.1:1/x".into()), ..place.config() };
    let Err(refused) = store::Store::open(without).await else { panic!("SQLite has no replica") };
    assert!(refused.to_string().contains("--database"), "{refused}");
}
