//! The commands that look at the books from outside, each a process of its own beside one that serves.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::node::{Node, tessera};

/// A bakery's loyalty points, which nobody else in the installation counts, in a file.
struct Bakery {
    node: Node,
    data: PathBuf,
    given: String,
    owed: String,
}

/// What a command answered: its exit code and what it printed.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Bakery {
    async fn open(data: &Path) -> Self {
        std::fs::create_dir_all(data).unwrap();
        let node = Node::start(None, data, &data.join("secret.key"));
        let open = async |code: &str, kind: &str| {
            let new = json!({ "code": code, "name": code, "kind": kind, "unit": "points.crumbs" });
            node.json("POST", "/v1/ledger/accounts", new).await["id"].as_str().unwrap().to_owned()
        };
        let (given, owed) = (open("given.crumbs", "expense").await, open("owed.crumbs", "liability").await);
        Self { node, data: data.to_owned(), given, owed }
    }

    /// Gives points away, and waits until they are in the books.
    async fn give(&self, number: u32, amount: u32) {
        let transfer = json!({ "id": trf(number), "debit": self.given, "credit": self.owed, "unit": "points.crumbs", "amount": amount });
        let answer = self.node.json("POST", "/v1/ledger/transfers", json!({ "transfers": [transfer] })).await;
        assert_eq!(answer["results"][0]["result"], "created", "{answer}");
        let version = answer["version"].as_str().unwrap();
        let booked = format!("/v1/ledger/accounts/{}/statement?at_least={version}&limit=1", self.owed);
        let lines = self.node.json("GET", &booked, Value::Null).await;
        assert_eq!(lines["items"][0]["transfer"]["id"], trf(number).as_str(), "{lines}");
    }

    fn ledger(&self, arguments: &[&str]) -> Said {
        let done = tessera().arg("--data").arg(&self.data).arg("ledger").args(arguments).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        Said { code: done.status.code(), text }
    }

    fn verify(&self, seals: &Path) -> Said {
        self.ledger(&["verify", "--seals", seals.to_str().unwrap()])
    }

    /// Keeps what `ledger seals` prints.
    fn seals(&self, name: &str) -> PathBuf {
        let said = self.ledger(&["seals"]);
        assert_eq!((said.code, said.text.lines().count()), (Some(0), 1), "one workspace has one newest seal: {}", said.text);
        let path = self.data.join(name);
        std::fs::write(&path, said.text).unwrap();
        path
    }

    /// Writes to the database as somebody who knows nothing of the ledger, and whom its rules do not hold.
    fn tamper(&self, statements: &str) {
        let connection = rusqlite::Connection::open(store::Config::new(&self.data, None).sqlite_path()).unwrap();
        connection.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
        let mut rules = connection.prepare("select name from sqlite_schema where type = 'trigger' and name like 'ledger_%'").unwrap();
        let names: Vec<String> = rules.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let dropped: String = names.iter().map(|name| format!("drop trigger {name};")).collect();
        connection.execute_batch(&format!("begin immediate; {dropped} {statements}; commit")).unwrap();
    }

    fn number(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(store::Config::new(&self.data, None).sqlite_path()).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

fn trf(number: u32) -> String {
    format!("trf_{number:032x}")
}

impl Said {
    #[track_caller]
    fn is_sound(&self) {
        assert!(self.code == Some(0) && self.text.contains("The books are sound."), "{:?}: {}", self.code, self.text);
    }

    /// The books are not sound, and one line has all these words.
    #[track_caller]
    fn names(&self, words: &[&str]) {
        assert!(self.code == Some(1) && !self.text.contains("The books are sound."), "{:?}: {}", self.code, self.text);
        assert!(self.text.lines().any(|line| words.iter().all(|word| line.contains(word))), "no line has {words:?}:\n{}", self.text);
    }
}

const TABLES: [&str; 7] =
    ["ledger_transfers", "ledger_history", "ledger_blocks", "ledger_balances", "ledger_dated", "ledger_guarded", "ledger_keeper"];

#[tokio::test(flavor = "multi_thread")]
async fn beside_a_running_process_the_books_are_verified_and_what_was_done_to_them_is_found() {
    let place = store::testing::fresh_place().await;
    let bakery = Bakery::open(&place.folder().join("bakery")).await;
    for (number, amount) in [(1, 30), (2, 7), (3, 5)] {
        bakery.give(number, amount).await;
    }
    let sound = bakery.ledger(&["verify"]);
    sound.is_sound();
    let balance = sound.text.lines().find(|line| line.starts_with("points.crumbs")).unwrap_or_else(|| panic!("{}", sound.text));
    assert_eq!(balance.split_whitespace().collect::<Vec<_>>(), ["points.crumbs", "2", "42", "42"]);

    // An amount is changed while the process runs, and put back.
    let second = format!("x'{:032x}'", 2);
    let position = bakery.number(&format!("select min(position) from ledger_history where transfer = {second}"));
    bakery.tamper(&format!("update ledger_transfers set amount = 8 where id = {second}"));
    bakery.ledger(&["verify"]).names(&["changed", &format!("at position {position}"), &trf(2)]);
    bakery.tamper(&format!("update ledger_transfers set amount = 7 where id = {second}"));
    bakery.ledger(&["verify"]).is_sound();

    // The end is cut off with everything that speaks of it: only a seal from outside that covers it knows.
    let before = bakery.seals("before.seals");
    let kept: String = TABLES.iter().map(|table| format!("create table kept_{table} as select * from {table};")).collect();
    bakery.tamper(&kept);
    bakery.give(4, 100).await;
    let after = bakery.seals("after.seals");
    assert_ne!(std::fs::read(&before).unwrap(), std::fs::read(&after).unwrap());
    bakery.verify(&after).is_sound();
    let end = bakery.number("select max(last_position) from ledger_blocks");
    let back: String = TABLES.iter().map(|table| format!("delete from {table}; insert into {table} select * from kept_{table};")).collect();
    bakery.tamper(&back);
    bakery.verify(&before).is_sound();
    bakery.verify(&after).names(&["seal", &format!("at position {end}")]);

    // A file that is not there, or that holds no seals, is no proof of anything.
    assert!(bakery.verify(&place.folder().join("nowhere")).text.contains("is not there"));
    std::fs::write(&before, "not a seal\n").unwrap();
    let refused = bakery.verify(&before);
    assert!(refused.code != Some(0) && refused.text.contains("line 1"), "{}", refused.text);
}
