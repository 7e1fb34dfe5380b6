//! The commands about payments, each a process of its own: the history goes into a file and makes the same payments elsewhere, is
//! replayed beside a running process, and a report of any size is taken in.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::dump::{Database, Rows};
use crate::node::{Node, tessera};

/// An installation: where it is, and on which database.
struct Place {
    place: store::testing::TestPlace,
    data: PathBuf,
}

/// What a command answered: its exit code and what it printed.
struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    #[track_caller]
    fn done(self, words: &str) -> String {
        assert!(self.code == Some(0) && self.text.contains(words), "{words}: {:?}: {}", self.code, self.text);
        self.text
    }

    #[track_caller]
    fn refused(self, words: &[&str]) -> String {
        assert!(self.code == Some(1) && words.iter().all(|word| self.text.contains(word)), "{words:?}: {:?}: {}", self.code, self.text);
        self.text
    }
}

impl Place {
    async fn fresh() -> Self {
        let place = store::testing::fresh_place().await;
        let data = place.folder().join("data");
        std::fs::create_dir_all(place.folder()).unwrap();
        Self { place, data }
    }

    fn database_url(&self) -> Option<String> {
        self.place.config().database_url
    }

    fn database(&self) -> Database {
        Database::of(&store::Config { folder: self.data.clone(), ..self.place.config() })
    }

    fn start(&self) -> Node {
        Node::start(self.database_url().as_deref(), &self.data, &self.place.folder().join("secret.key"))
    }

    fn payments(&self, arguments: &[&str]) -> Said {
        let mut command = tessera();
        command.arg("--data").arg(&self.data).arg("--secret-key").arg(self.place.folder().join("secret.key"));
        if let Some(url) = self.database_url() {
            command.args(["--database", &url]);
        }
        let done = command.arg("payments").args(arguments).output().unwrap();
        let text = String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap();
        Said { code: done.status.code(), text }
    }

    /// What the history makes.
    async fn rows(&self) -> Rows {
        let tables = ["payments_events", "payments_intents", "payments_payouts", "payments_references", "payments_expected"];
        let mut dump = self.database().dump().await;
        dump.retain(|table, _| tables.contains(&table.as_str()));
        dump
    }

    async fn audited(&self) -> usize {
        self.database().numbers("select count(*) from audit_log where action = 'payments.replayed'").await[0] as usize
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn pay(node: &Node, amount_minor: i64) -> String {
    let new = json!({ "amount_minor": amount_minor, "currency": "EUR", "metadata": { "share": 0.1 } });
    node.json("POST", "/v1/payments", new).await["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_of_payments_makes_the_same_payments_elsewhere_and_each_replay_is_audited() {
    let first = Place::fresh().await;
    let node = first.start();
    let canceled = pay(&node, 1_250).await;
    pay(&node, 2_500).await;
    node.json("POST", &format!("/v1/payments/{canceled}/cancel"), Value::Null).await;
    let is_alone = first.database_url().is_none();

    // Beside the running process.
    let file = first.place.folder().join("payments.jsonl");
    first.payments(&["events", text(&file)]).done("3 events");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&file).unwrap();
    first.payments(&["events", text(&file)]).refused(&["not there yet"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), kept, "what is there is not written over");
    let before = first.rows().await;
    let same = first.payments(&["replay"]).done("Every row is what its events make of it.");
    assert!(same.contains("3 events make 2 payments"), "{same}");
    assert_eq!(same.contains("at its next start"), is_alone, "{same}");

    // A row that somebody changed by hand is named, and put back it is as it was.
    let database = first.database();
    database.texts(&format!("update payments_intents set state = 'succeeded' where id = '{canceled}'")).await;
    first.payments(&["replay"]).refused(&[&canceled, "state is \"succeeded\", its events make \"canceled\"", "One row is not"]);
    database.texts(&format!("update payments_intents set state = 'canceled' where id = '{canceled}'")).await;
    first.payments(&["replay"]).done("Every row");
    assert_eq!(first.rows().await, before);
    drop(node);
    let node = first.start();
    node.json("GET", "/v1/payments", Value::Null).await;
    assert_eq!(first.audited().await, 3, "those that ran beside it too");
    drop(node);

    // Elsewhere: a file that was changed makes nothing, the file as it was makes the very rows, and only once.
    let second = Place::fresh().await;
    let changed = second.place.folder().join("changed.jsonl");
    std::fs::write(&changed, kept.replacen("1250", "1260", 1)).unwrap();
    second.payments(&["replay", text(&changed)]).refused(&["changed.jsonl, line ", "tessera payments events"]);
    assert!(second.rows().await.values().all(Vec::is_empty));
    second.payments(&["replay", text(&file)]).done("Every row is what its events make of it.");
    assert_eq!(second.rows().await, before);
    assert_eq!(second.audited().await, 1);
    assert_eq!(second.database().numbers("select count(*) from outbox_log").await, [0], "nothing is begun");
    second.payments(&["replay", text(&file)]).done("Every row");
    assert_eq!(second.rows().await, before);

    // Where payments are that are not in the file, nothing is made.
    let node = first.start();
    pay(&node, 1).await;
    drop(node);
    let before = first.rows().await;
    first.payments(&["replay", text(&file)]).refused(&["payments of its own"]);
    assert_eq!(first.rows().await, before);
    first.payments(&["replay", "nowhere.jsonl"]).refused(&["nowhere.jsonl cannot be read"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_taken_in_from_the_command_line_and_booked_once() {
    let place = Place::fresh().await;
    let node = place.start();
    let report = place.place.folder().join("july.csv");
    let head = "kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at\n";
    let lines: String = (1..=700).map(|n| format!("payment,,pi_{n},po_1,EUR,1250,50,1200,2026-01-31T09:30:00Z\n")).collect();
    std::fs::write(&report, format!("{head}{lines}")).unwrap();
    if place.database_url().is_none() {
        place.payments(&["settle", "--provider", "stripe", text(&report)]).refused(&["another tessera is running"]);
        drop(node);
    }
    let booked = place.payments(&["settle", "--provider", "stripe", text(&report)]).done("done: 700 lines, 0 matched, 700 exceptions");
    let again = place.payments(&["settle", "--provider", "stripe", text(&report)]).done("700 exceptions");
    assert_eq!(booked, again, "the same bytes are the same settlement");
    let database = place.database();
    assert_eq!(database.numbers("select count(*) from payments_settlement_lines").await, [700]);

    // What cannot be read is refused with its line, and nothing is kept of it.
    let bad = place.place.folder().join("bad.csv");
    std::fs::write(&bad, format!("{head}{lines}payment,,pi_x,po_1,EUR,1250,50\n")).unwrap();
    place.payments(&["settle", "--provider", "stripe", text(&bad)]).refused(&["line 702"]);
    assert_eq!(database.numbers("select count(*) from payments_settlements").await, [1]);
    place.payments(&["settle", "--provider", "nobody", text(&report)]).refused(&["no provider \"nobody\"", "--provider"]);

    // Of several providers of one name the workspace says which.
    let other = "ws_00000000000070008000000000000001";
    let copied = format!(
        "insert into payments_providers (workspace, id, name, dialect, base_url, settings, sealed, token, is_enabled, version, created_at,
         changed_at) select '{other}', 'prv_00000000000070008000000000000001', name, dialect, base_url, settings, sealed, 'other', is_enabled,
         version, created_at, changed_at from payments_providers where name = 'stripe'"
    );
    database.texts(&copied).await;
    place.payments(&["settle", "--provider", "stripe", text(&report)]).refused(&["--workspace", other]);
    let own = database.texts(&format!("select workspace from payments_providers where name = 'stripe' and workspace <> '{other}'")).await;
    let named = place.payments(&["settle", "--provider", "stripe", "--workspace", &own[0], text(&report)]).done("700 exceptions");
    assert_eq!(named, booked);
}
