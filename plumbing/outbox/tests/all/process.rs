//! With processes that are killed and frozen.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use store::{Config, Reads, Store, params};

use crate::world::*;

const FOLDER: &str = "OUTBOX_WORKER_FOLDER";
const DATABASE: &str = "OUTBOX_WORKER_DATABASE";
const ROUND: &str = "OUTBOX_WORKER_ROUND";

/// Not a test of its own: this binary as another process. It works, and where a round is named it also makes work, and says
/// after each commit what it was.
#[tokio::test(flavor = "multi_thread")]
async fn worker() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(Config::new(folder, std::env::var(DATABASE).ok())).await.unwrap();
    let _outbox = builder(&store).await.start().await.unwrap();
    println!("ready");
    let Ok(round) = std::env::var(ROUND) else { return std::future::pending().await };
    for n in 0.. {
        let lead = format!("{round}-{n}");
        publish(&store, Captured { lead: lead.clone(), told: 2 }).await;
        enqueue(&store, vec![flaky(&format!("flaky {lead}"), 0, "")]).await;
        println!("acknowledged {lead}");
    }
}

fn spawn(folder: &Path, database: Option<&str>, round: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["process::worker", "--exact", "--nocapture"]).env(FOLDER, folder).stdout(Stdio::piped()).stderr(Stdio::null());
    for (name, value) in [(DATABASE, database), (ROUND, round)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_was_acknowledged_before_kill_9_happens_exactly_once() {
    let folder = std::env::temp_dir().join(format!("outbox_kill_{}", std::process::id()));
    let mut acknowledged = Vec::new();
    for round in 0..6_u64 {
        let mut child = spawn(&folder, None, Some(&round.to_string()));
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let reader = std::thread::spawn(move || {
            lines.map_while(Result::ok).filter_map(|l| Some(l.split_once("acknowledged ")?.1.to_owned())).collect::<Vec<_>>()
        });
        tokio::time::sleep(Duration::from_millis(250 + 97 * round)).await;
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(reader.join().unwrap());
    }
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
    let store = Store::open(Config::new(&folder, None)).await.unwrap();
    let outbox = builder(&store).await.start().await.unwrap();
    until("all is done", || async { number(&store, &COUNT_OPEN).await == 0 }).await;
    outbox.stop(Duration::from_secs(5)).await;
    let effects =
        store.read().row(&COUNT_EFFECTS, params![], |row| Ok((row.get::<i64>("effects")?, row.get::<i64>("ids")?))).await.unwrap().unwrap();
    assert_eq!(effects.0, effects.1, "nothing happened twice");
    for lead in &acknowledged {
        for id in [format!("{lead}/0"), format!("{lead}/1"), format!("flaky {lead}")] {
            assert!(store.read().row(&FIND_EFFECT, params![&id], |_| Ok(())).await.unwrap().is_some(), "{id} is lost");
        }
    }
    store.close().await;
    std::fs::remove_dir_all(folder).unwrap();
}

async fn until_shared(store: &Store, holders: i64) {
    until("each has its share", || async {
        let now = kernel::Clock::system().now();
        let now = store.read().row(&HOLDERS, params![now], |row| Ok((row.get::<i64>("holders")?, row.get::<i64>("held")?))).await.unwrap();
        now == Some((holders, 16))
    })
    .await;
}

async fn all_happen_once(store: &Store, count: i64) {
    until("all has happened", || async { number(store, &COUNT_EFFECTS).await >= count }).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let effects =
        store.read().row(&COUNT_EFFECTS, params![], |row| Ok((row.get::<i64>("effects")?, row.get::<i64>("ids")?))).await.unwrap();
    assert_eq!(effects, Some((count, count)));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_process_that_is_killed_or_frozen_goes_on_within_seconds() {
    let store = live_store().await;
    let Some(url) = store.config().database_url else { return };
    builder(&store).await;
    let folders = [store.folder().join("one"), store.folder().join("two"), store.folder().join("three")];
    // Every node has the installation's key.
    for folder in &folders {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::copy(store.folder().join("secret.key"), folder.join("secret.key")).unwrap();
    }
    let (mut one, mut two) = (spawn(&folders[0], Some(&url), None), spawn(&folders[1], Some(&url), None));
    until_shared(&store, 2).await;

    // One is killed with jobs in its hands.
    enqueue(&store, (0..100).map(|n| Sleepy(format!("killed {n}"))).collect()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    one.kill().unwrap();
    one.wait().unwrap();
    all_happen_once(&store, 100).await;
    until_shared(&store, 1).await;

    // The other is frozen with jobs in its hands, and a third takes over; when it thaws it changes nothing.
    let mut three = spawn(&folders[2], Some(&url), None);
    until_shared(&store, 2).await;
    enqueue(&store, (0..100).map(|n| Sleepy(format!("frozen {n}"))).collect()).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    signal(&two, "-STOP");
    all_happen_once(&store, 200).await;
    signal(&two, "-CONT");
    tokio::time::sleep(Duration::from_secs(1)).await;
    all_happen_once(&store, 200).await;
    until_shared(&store, 2).await;
    enqueue(&store, (0..50).map(|n| Sleepy(format!("thawed {n}"))).collect()).await;
    all_happen_once(&store, 250).await;
    for child in [&mut two, &mut three] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
