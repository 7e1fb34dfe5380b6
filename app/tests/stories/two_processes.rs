//! Two processes on one PostgreSQL: what one changes the other follows, and what one leaves lying the other does.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::dump::Database;
use crate::node::Node;
use crate::parties::Receiver;

impl Node {
    /// Where a scan is sent.
    async fn scan(&self, code: &str) -> String {
        let (_, head, _) = self.ask("GET", &format!("/{code}"), &Value::Null).await;
        head.lines().find_map(|line| line.strip_prefix("location: ")).unwrap_or_default().to_owned()
    }

    async fn lead(&self, number: usize) {
        let body = json!({ "name": format!("Visitor {number}"), "email": format!("v{number}@example.com") });
        self.json("POST", "/v1/leads", body).await;
    }
}

/// Waits until as many different leads were told of; says how long it took.
async fn told(receiver: &Receiver, leads: usize, at_most: Duration) -> Duration {
    let began = Instant::now();
    loop {
        let hits = receiver.hits("lead.captured");
        let different: std::collections::BTreeSet<String> = hits.iter().map(|hit| hit.header("webhook-id").to_owned()).collect();
        if different.len() == leads {
            return began.elapsed();
        }
        assert!(began.elapsed() < at_most, "{} of {leads} were told of after {at_most:?}", different.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until each of the two holds a share of the log.
async fn both_work(database: &Database) {
    let began = Instant::now();
    while database.numbers("select count(distinct holder) from outbox_shards").await != [2] {
        assert!(began.elapsed() < Duration::from_secs(30), "one of the two works alone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_processes_each_follows_the_other_and_finishes_what_it_leaves() {
    let place = store::testing::fresh_place().await;
    let Some(database) = place.config().database_url else {
        println!("skipped: two processes need TESSERA_TEST_DATABASE");
        return;
    };
    std::fs::create_dir_all(place.folder()).unwrap();
    let folder = |name: &str| place.folder().join(name);
    let a = Node::start(Some(&database), &folder("a"), &folder("secret.key"));
    let b = Node::start(Some(&database), &folder("b"), &folder("secret.key"));
    let receiver = Receiver::start().await;
    let hook = a.json("POST", "/v1/webhooks", json!({ "url": receiver.url(), "event_types": ["lead.captured"] })).await;
    let hook = hook["endpoint"]["id"].as_str().unwrap().to_owned();

    // A code that is led elsewhere through one process is seen by scans at the other within a second.
    let to = |page: usize| json!({ "kind": "url", "url": format!("https://example.com/{page}") });
    let code = a.json("POST", "/v1/codes", json!({ "destination": to(0) })).await["code"].as_str().unwrap().to_owned();
    assert_eq!(b.scan(&code).await, "https://example.com/0");
    let mut waits = Vec::new();
    for page in 1..=3 {
        a.json("POST", &format!("/v1/codes/{code}/bind"), json!({ "destination": to(page) })).await;
        let began = Instant::now();
        while b.scan(&code).await != format!("https://example.com/{page}") {
            assert!(began.elapsed() < Duration::from_secs(5), "the other process still sends scans to the old page");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        waits.push(began.elapsed());
    }
    assert!(waits.iter().min().unwrap() < &Duration::from_secs(1), "{waits:?}");

    for number in 0..20 {
        if number % 2 == 0 { a.lead(number).await } else { b.lead(number).await }
    }
    told(&receiver, 20, Duration::from_secs(20)).await;

    let database = Database::Postgres(database);
    both_work(&database).await;
    // One is frozen for longer than its leases last, and goes on: nothing is recorded twice.
    a.signal("STOP");
    for number in 20..40 {
        b.lead(number).await;
    }
    let frozen = told(&receiver, 40, Duration::from_secs(30)).await;
    a.signal("CONT");
    for number in 40..60 {
        if number % 2 == 0 { a.lead(number).await } else { b.lead(number).await }
    }
    told(&receiver, 60, Duration::from_secs(30)).await;

    // One is killed with work in hand: the other does it.
    both_work(&database).await;
    for number in 60..80 {
        a.lead(number).await;
    }
    a.signal("KILL");
    for number in 80..100 {
        b.lead(number).await;
    }
    let killed = told(&receiver, 100, Duration::from_secs(30)).await;
    println!("codes followed after {waits:?}; told of all after a freeze {frozen:?}, after a kill {killed:?}");

    // Each delivery is recorded once, whoever made it, and however often the receiver may have seen it.
    let recorded = format!("select count(*) from notifications_attempts where endpoint = '{hook}' and outcome = 'delivered'");
    let began = Instant::now();
    while database.numbers(&recorded).await != [100] {
        assert!(began.elapsed() < Duration::from_secs(15), "{:?} deliveries are recorded", database.numbers(&recorded).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let twice = "select event from notifications_attempts where outcome = 'delivered' group by event having count(*) > 1";
    assert!(database.texts(twice).await.is_empty());
    assert_eq!(database.numbers("select count(*) from leads").await, [100]);
    assert_eq!(database.numbers("select count(*) from outbox_dead").await, [0]);
}
