//! Who can write to the database by other means than the ledger: refused by the database, or found at the exact entry.
//!
//! Each attempt is a row of the table in `docs/ledger.md`, which is compared with what happened here.

use kernel::Timestamp;
use ledger::seal::{self, Hash, Place, Seal};
use ledger::verify::{Options, Report, Trouble, verify};
use ledger::{AccountId, AccountKind, Action, Ask, Limits, NewTransfer, Outcome, queries, seals};
use serde_json::json;
use store::Engine;

use crate::world::{World, trf, unit};

/// A connection that knows nothing of the ledger.
pub enum Raw {
    Sqlite(rusqlite::Connection),
    Postgres(tokio_postgres::Client),
}

impl Raw {
    pub async fn open(world: &World) -> Self {
        match world.store.config().database_url {
            None => Self::Sqlite(rusqlite::Connection::open(world.store.sqlite_path()).unwrap()),
            Some(url) => {
                let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                Self::Postgres(client)
            }
        }
    }

    /// Runs statements; says what the database said where it refused one.
    pub async fn run(&self, sql: &str) -> Result<(), String> {
        match self {
            Self::Sqlite(connection) => connection.execute_batch(sql).map_err(|error| error.to_string()),
            Self::Postgres(client) => {
                let done = client.batch_execute(sql).await;
                done.map_err(|error| error.as_db_error().map_or_else(|| error.to_string(), |error| error.message().to_owned()))
            }
        }
    }

    /// A literal of bytes.
    pub fn bytes(&self, bytes: &[u8]) -> String {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match self {
            Self::Sqlite(_) => format!("x'{hex}'"),
            Self::Postgres(_) => format!("'\\x{hex}'::bytea"),
        }
    }

    pub fn id(&self, id: impl kernel::Id) -> String {
        self.bytes(&id.raw().bits().to_be_bytes())
    }

    /// Takes the rules of the database away, as whoever owns it can.
    pub async fn unchain(&self) {
        match self {
            Self::Sqlite(connection) => {
                let mut triggers =
                    connection.prepare("select name from sqlite_schema where type = 'trigger' and name like 'ledger_%'").unwrap();
                let names: Vec<String> = triggers.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
                assert!(names.len() >= 8, "{names:?}");
                for name in names {
                    connection.execute_batch(&format!("drop trigger {name}")).unwrap();
                }
            }
            Self::Postgres(client) => client.batch_execute("set session_replication_role = replica").await.unwrap(),
        }
    }
}

/// Twelve transfers between three accounts, of which the first ten are booked, in three blocks.
pub struct Scene {
    pub world: World,
    pub raw: Raw,
    pub cash: AccountId,
    pub wallet: AccountId,
    pub fees: AccountId,
}

const COLUMNS: &str = "workspace, id, kind, debit, credit, unit, amount, released, pending, expires_at, effective_at, recorded_at, \
                       entry, source, memo, metadata, actor";

impl Scene {
    pub async fn new() -> Self {
        let world = World::new().await;
        world.is_damaged(true);
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
        let fees = world.open("fees", AccountKind::Income, Limits::None).await;
        let raw = Raw::open(&world).await;
        let scene = Self { world, raw, cash, wallet, fees };
        let hold = Action::Hold { debit: wallet, credit: cash, unit: unit("EUR"), ask: Ask::Exactly(200), expires_at: None };
        let held = NewTransfer::new(trf(3), hold);
        let posted = NewTransfer::new(trf(4), Action::PostPending { pending: trf(3), amount: Some(150) });
        scene.post(vec![scene.pay_in(1, 1_000), scene.fee(2, 100), held, posted]).await;
        scene.book(4).await;
        let dated = NewTransfer {
            effective_at: Some(Timestamp::parse("2026-01-15T00:00:00Z").unwrap()),
            memo: Some("a memo to be found in the file".into()),
            metadata: Some(json!({ "order": 7 })),
            source: Some("order:ord_7".into()),
            ..scene.pay_in(5, 500)
        };
        scene.post(vec![dated, scene.fee(6, 50), scene.pay_in(7, 70), scene.fee(8, 30)]).await;
        scene.book(4).await;
        scene.post(vec![scene.pay_in(9, 9), scene.fee(10, 10)]).await;
        scene.book(2).await;
        scene.post(vec![scene.pay_in(11, 11), scene.fee(12, 12)]).await;
        scene
    }

    pub fn pay_in(&self, number: u128, amount: i64) -> NewTransfer {
        NewTransfer::exactly(trf(number), self.cash, self.wallet, unit("EUR"), amount)
    }

    pub fn fee(&self, number: u128, amount: i64) -> NewTransfer {
        NewTransfer::exactly(trf(number), self.wallet, self.fees, unit("EUR"), amount)
    }

    /// Books what was posted. On PostgreSQL a transaction that is open anywhere on the server keeps the keeper waiting.
    pub async fn book(&self, mut count: usize) {
        for _ in 0..2_000 {
            count -= self.world.book().await;
            if count == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("{count} transfers are not booked");
    }

    pub async fn post(&self, batch: Vec<NewTransfer>) {
        let codes = self.world.codes(batch).await;
        assert!(codes.iter().all(|code| *code == Outcome::Created), "{codes:?}");
    }

    pub async fn report(&self, seals: Vec<Seal>) -> Report {
        let mut snapshot = self.world.store.snapshot().await.unwrap();
        verify(&mut snapshot, &Options { seals, ..Options::default() }).await.unwrap()
    }

    /// Words of an attempt with identifiers put in: `{6}` is the sixth transfer, `{new}` values of a row at the end.
    fn sql(&self, text: &str) -> String {
        let mut text = text.to_owned();
        let id = |number: u128| self.raw.id(trf(number));
        let row = |number: u128, debit, credit, amount: i64| {
            let (debit, credit) = (self.raw.id(debit), self.raw.id(credit));
            let own = self.raw.id(self.world.workspace);
            format!(
                "{own}, {}, 'transfer', {debit}, {credit}, 'EUR', {amount}, 0, null, null, 1, 1, null, null, null, null, 'x'",
                id(number)
            )
        };
        for (mark, value) in [
            ("{columns}", COLUMNS.to_owned()),
            ("{too much}", row(90, self.wallet, self.fees, 100_000)),
            ("{guarded}", row(90, self.cash, self.wallet, 5)),
            ("{plain}", row(90, self.cash, self.fees, 5)),
            ("{unknown}", row(90, self.cash, AccountId::from_raw_bits(77), 5)),
            ("{own}", self.raw.id(self.world.workspace)),
            ("{cash}", self.raw.id(self.cash)),
            ("{wallet}", self.raw.id(self.wallet)),
            ("{fees}", self.raw.id(self.fees)),
            ("{zeros}", self.raw.bytes(&[0; 32])),
        ] {
            text = text.replace(mark, &value);
        }
        for number in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 90, 91] {
            text = text.replace(&format!("{{{number}}}"), &id(number));
        }
        text
    }
}

trait Bits {
    fn from_raw_bits(bits: u128) -> Self;
}

impl<I: kernel::Id> Bits for I {
    fn from_raw_bits(bits: u128) -> Self {
        I::from_raw(kernel::RawId::from_bits(bits))
    }
}

/// What is tried, on each engine; and which transfer a finding has to name, where one is to blame.
struct Attempt {
    name: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
    is_unchained: bool,
}

const fn with_rules(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Attempt {
    Attempt { name, sqlite, postgres, is_unchained: false }
}

const fn without_rules(name: &'static str, sqlite: &'static str, postgres: &'static str) -> Attempt {
    Attempt { name, sqlite, postgres, is_unchained: true }
}

const REPLACE_BY_ID: &str = "insert or replace into ledger_transfers ({columns}) select workspace, id, kind, debit, credit, unit, 51, released, pending, \
     expires_at, effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where id = {6}";
const UPSERT_BY_ID: &str = "insert into ledger_transfers ({columns}) select {columns} from ledger_transfers where id = {6} \
     on conflict (workspace, id) do update set amount = 51";
const ONE: &str = "insert into ledger_history select workspace, epoch, {fees}, position, previous, transfer, side, booked_at, \
     debits_posted, credits_posted, debits_pending, credits_pending from ledger_history where position = 3 and side = 'debit'";

const ATTEMPTS: &[Attempt] = &[
    with_rules(
        "update an amount",
        "update ledger_transfers set amount = 51 where id = {6}",
        "update ledger_transfers set amount = 51 where id = {6}",
    ),
    with_rules(
        "update an account",
        "update ledger_transfers set credit = {cash} where id = {6}",
        "update ledger_transfers set credit = {cash} where id = {6}",
    ),
    with_rules(
        "update metadata",
        "update ledger_transfers set metadata = '{}' where id = {5}",
        "update ledger_transfers set metadata = '{}' where id = {5}",
    ),
    with_rules("delete one", "delete from ledger_transfers where id = {6}", "delete from ledger_transfers where id = {6}"),
    with_rules("delete all", "delete from ledger_transfers", "delete from ledger_transfers"),
    with_rules("truncate", "delete from ledger_transfers where true", "truncate ledger_transfers"),
    with_rules("truncate the history", "delete from ledger_history", "truncate ledger_history"),
    with_rules("replace by identifier", REPLACE_BY_ID, UPSERT_BY_ID),
    with_rules(
        "replace by place",
        "insert or replace into ledger_transfers (seq, {columns}) select seq, workspace, id, kind, debit, credit, unit, 51, released, \
         pending, expires_at, effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where id = {6}",
        "insert into ledger_transfers (xid, seq, {columns}) overriding system value select xid, seq, {columns} from ledger_transfers where id = {6} \
         on conflict (xid, seq) do update set amount = 51",
    ),
    with_rules(
        "insert at a chosen place in the middle",
        "insert into ledger_transfers (seq, {columns}) values (0, {plain})",
        "insert into ledger_transfers (xid, seq, {columns}) overriding system value values (7, 3, {plain})",
    ),
    with_rules(
        "insert at the place -1",
        "insert into ledger_transfers (seq, {columns}) values (-1, {plain})",
        "insert into ledger_transfers (seq, {columns}) overriding system value values (-1, {plain})",
    ),
    with_rules(
        "insert with the number of another transaction",
        "insert into ledger_transfers (xid, {columns}) values (9, {plain})",
        "insert into ledger_transfers (xid, {columns}) values (9, {plain})",
    ),
    with_rules(
        "insert at the end beyond a limit",
        "insert into ledger_transfers ({columns}) values ({too much})",
        "insert into ledger_transfers ({columns}) values ({too much})",
    ),
    with_rules(
        "insert at the end between accounts with a limit",
        "insert into ledger_transfers ({columns}) values ({guarded})",
        "insert into ledger_transfers ({columns}) values ({guarded})",
    ),
    with_rules(
        "insert at the end between accounts without a limit",
        "insert into ledger_transfers ({columns}) values ({plain})",
        "insert into ledger_transfers ({columns}) values ({plain})",
    ),
    with_rules(
        "insert at the end with an account that is not there",
        "insert into ledger_transfers ({columns}) values ({unknown})",
        "insert into ledger_transfers ({columns}) values ({unknown})",
    ),
    with_rules(
        "resolve a promise twice",
        "insert into ledger_transfers ({columns}) select workspace, {90}, kind, debit, credit, unit, amount, released, pending, expires_at, \
         effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where id = {4}",
        "insert into ledger_transfers ({columns}) select workspace, {90}, kind, debit, credit, unit, amount, released, pending, expires_at, \
         effective_at, recorded_at, entry, source, memo, metadata, actor from ledger_transfers where id = {4}",
    ),
    with_rules("insert into the history", ONE, ONE),
    with_rules("update the history", "update ledger_history set debits_posted = '0'", "update ledger_history set debits_posted = '0'"),
    with_rules(
        "insert a block",
        "insert into ledger_blocks select workspace, 4, 11, 12, era, first_xid, first_seq, last_xid, last_seq, booked_at, leaves, hash \
         from ledger_blocks where number = 3",
        "insert into ledger_blocks select workspace, 4, 11, 12, era, first_xid, first_seq, last_xid, last_seq, booked_at, leaves, hash \
         from ledger_blocks where number = 3",
    ),
    with_rules("update a block", "update ledger_blocks set hash = {zeros}", "update ledger_blocks set hash = {zeros}"),
    with_rules(
        "update a balance",
        "update ledger_balances set credits_posted = '1' where account = {fees}",
        "update ledger_balances set credits_posted = '1' where account = {fees}",
    ),
    with_rules(
        "delete a balance",
        "delete from ledger_balances where account = {fees}",
        "delete from ledger_balances where account = {fees}",
    ),
    with_rules(
        "insert a balance",
        "insert into ledger_balances select workspace, {90}, position, booked_at, '0', '0', '0', '0' from ledger_balances where account = {fees}",
        "insert into ledger_balances select workspace, {90}, position, booked_at, '0', '0', '0', '0' from ledger_balances where account = {fees}",
    ),
    with_rules(
        "update the totals that guard a limit",
        "update ledger_guarded set credits_posted = '999999' where account = {wallet}",
        "update ledger_guarded set credits_posted = '999999' where account = {wallet}",
    ),
    with_rules("delete the totals that guard a limit", "delete from ledger_guarded", "delete from ledger_guarded"),
    with_rules("update an account's limits", "update ledger_accounts set limits = 'none'", "update ledger_accounts set limits = 'none'"),
    with_rules("delete an account", "delete from ledger_accounts where id = {fees}", "delete from ledger_accounts where id = {fees}"),
    with_rules(
        "replace an account",
        "insert or replace into ledger_accounts select workspace, id, code, name, kind, 'USD', limits, metadata, created_at, closed_at \
         from ledger_accounts where id = {fees}",
        "insert into ledger_accounts select workspace, id, code, name, kind, 'USD', limits, metadata, created_at, closed_at \
         from ledger_accounts where id = {fees} on conflict (workspace, id) do update set unit = 'USD'",
    ),
    with_rules(
        "insert an account with a limit",
        "insert into ledger_accounts select workspace, {90}, 'x', name, kind, unit, limits, metadata, created_at, closed_at \
         from ledger_accounts where id = {wallet}",
        "insert into ledger_accounts select workspace, {90}, 'x', name, kind, unit, limits, metadata, created_at, closed_at \
         from ledger_accounts where id = {wallet}",
    ),
    with_rules(
        "close an account that holds something",
        "update ledger_accounts set closed_at = 1 where id = {wallet}",
        "update ledger_accounts set closed_at = 1 where id = {wallet}",
    ),
    with_rules("move the keeper", "update ledger_keeper set seq = seq - 1", "update ledger_keeper set seq = seq - 1"),
    with_rules(
        "change the day that a transfer counts from",
        "update ledger_dated set effective_at = 1 where account = {cash}",
        "update ledger_dated set effective_at = 1 where account = {cash}",
    ),
    without_rules(
        "change an amount",
        "update ledger_transfers set amount = 51 where id = {6}",
        "update ledger_transfers set amount = 51 where id = {6}",
    ),
    without_rules(
        "change an account",
        "update ledger_transfers set credit = {cash} where id = {6}",
        "update ledger_transfers set credit = {cash} where id = {6}",
    ),
    without_rules(
        "change metadata",
        "update ledger_transfers set metadata = '{\"order\":8}' where id = {5}",
        "update ledger_transfers set metadata = '{\"order\":8}' where id = {5}",
    ),
    without_rules(
        "write the same metadata otherwise",
        "update ledger_transfers set metadata = '{\"order\": 7}' where id = {5}",
        "update ledger_transfers set metadata = '{\"order\": 7}' where id = {5}",
    ),
    without_rules(
        "change a unit into none",
        "update ledger_transfers set unit = '???' where id = {6}",
        "update ledger_transfers set unit = '???' where id = {6}",
    ),
    without_rules("remove one", "delete from ledger_transfers where id = {6}", "delete from ledger_transfers where id = {6}"),
    without_rules("remove all", "delete from ledger_transfers", "delete from ledger_transfers"),
    without_rules(
        "remove the last that is sealed",
        "delete from ledger_transfers where id = {10}",
        "delete from ledger_transfers where id = {10}",
    ),
    without_rules(
        "remove one that is not sealed yet",
        "delete from ledger_transfers where id = {12}",
        "delete from ledger_transfers where id = {12}",
    ),
    without_rules(
        "put one in before the first",
        "insert into ledger_transfers (seq, {columns}) values (0, {plain})",
        "insert into ledger_transfers (xid, seq, {columns}) overriding system value values (3, 3, {plain})",
    ),
    without_rules(
        "put one in that nobody will book",
        "insert into ledger_transfers (seq, {columns}) values (-13, {plain})",
        "insert into ledger_transfers (seq, {columns}) overriding system value values (-3, {plain})",
    ),
    without_rules(
        "exchange two",
        "update ledger_transfers set seq = 1000 where id = {6}; update ledger_transfers set seq = 6 where id = {8}; \
         update ledger_transfers set seq = 8 where id = {6}",
        "alter table ledger_transfers alter column seq drop identity; update ledger_transfers set seq = 1000 where id = {6}; \
         update ledger_transfers set seq = (select seq + 1 from ledger_transfers where id = {5}) where id = {8}; \
         update ledger_transfers set seq = (select seq + 3 from ledger_transfers where id = {5}) where id = {6}",
    ),
    without_rules(
        "change a row of the history",
        "update ledger_history set credits_posted = '1' where account = {fees} and position = 6",
        "update ledger_history set credits_posted = '1' where account = {fees} and position = 6",
    ),
    without_rules(
        "change a number of the history into a word",
        "update ledger_history set credits_posted = 'much' where account = {fees} and position = 6",
        "update ledger_history set credits_posted = 'much' where account = {fees} and position = 6",
    ),
    without_rules(
        "remove a row of the history",
        "delete from ledger_history where account = {fees} and position = 6",
        "delete from ledger_history where account = {fees} and position = 6",
    ),
    without_rules(
        "remove a transfer and its history",
        "delete from ledger_history where position = 6; delete from ledger_transfers where id = {6}",
        "delete from ledger_history where position = 6; delete from ledger_transfers where id = {6}",
    ),
    without_rules(
        "remove a block in the middle",
        "delete from ledger_blocks where number = 2",
        "delete from ledger_blocks where number = 2",
    ),
    without_rules("remove the newest block", "delete from ledger_blocks where number = 3", "delete from ledger_blocks where number = 3"),
    without_rules(
        "change a block's leaves",
        "update ledger_blocks set leaves = {zeros} where number = 2",
        "update ledger_blocks set leaves = {zeros} where number = 2",
    ),
    without_rules(
        "change a block's hash",
        "update ledger_blocks set hash = {zeros} where number = 2",
        "update ledger_blocks set hash = {zeros} where number = 2",
    ),
    without_rules(
        "change a block's time",
        "update ledger_blocks set booked_at = booked_at + 1 where number = 2",
        "update ledger_blocks set booked_at = booked_at + 1 where number = 2",
    ),
    without_rules(
        "take a limit away",
        "update ledger_accounts set limits = 'none' where id = {wallet}",
        "update ledger_accounts set limits = 'none' where id = {wallet}",
    ),
    without_rules(
        "change what an account counts",
        "update ledger_accounts set unit = 'USD' where id = {fees}",
        "update ledger_accounts set unit = 'USD' where id = {fees}",
    ),
    without_rules("remove an account", "delete from ledger_accounts where id = {fees}", "delete from ledger_accounts where id = {fees}"),
];

/// The first finding, as the table has it.
fn in_the_table(scene: &Scene, report: &Report) -> String {
    let Some(finding) = report.findings.iter().min_by_key(|finding| (finding.trouble, finding.transfer.is_none())) else {
        return "NOT FOUND".into();
    };
    let mut words = format!("found: {}", finding.trouble.as_str());
    let number = finding.transfer.map(|id| kernel::Id::raw(id).bits());
    match (finding.position, number) {
        (Some(position), Some(number)) => words += &format!(", transfer {number} at position {position}"),
        (Some(position), None) => words += &format!(", position {position}"),
        (None, Some(number)) => words += &format!(", transfer {number}"),
        (None, None) => {}
    }
    if finding.trouble == Trouble::Block {
        let of = finding.words.split("block ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_default();
        words += &format!(" {of}");
    }
    for (account, name) in [(scene.cash, "cash"), (scene.wallet, "wallet"), (scene.fees, "fees")] {
        if finding.account == Some(account) && finding.transfer.is_none() {
            words += &format!(", account {name}");
        }
    }
    words
}

/// Compares outcomes with their rows in `docs/ledger.md`.
fn compare_with_the_table(engine: Engine, outcomes: Vec<(String, String)>) {
    let docs = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/ledger.md")).unwrap_or_default();
    let docs = docs.split("\n## Tampering").nth(1).unwrap_or_default();
    let mut wrong = Vec::new();
    for (name, outcome) in outcomes {
        let row = docs.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap_or_default();
        let said = row.split('|').map(str::trim).nth(if engine == Engine::Sqlite { 2 } else { 3 }).unwrap_or_default();
        if said != outcome {
            wrong.push(format!("| {name} | {outcome} |   ({engine:?}; the table says {said:?})"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn whatever_is_tried_past_the_ledger_is_refused_or_found_at_the_exact_entry() {
    let (mut outcomes, mut unharmed) = (Vec::new(), Some(Scene::new().await));
    let engine = unharmed.as_ref().unwrap().world.store.engine();
    for attempt in ATTEMPTS {
        let scene = match unharmed.take() {
            Some(scene) => scene,
            None => Scene::new().await,
        };
        if attempt.is_unchained {
            scene.raw.unchain().await;
        }
        let sql = scene.sql(if engine == Engine::Sqlite { attempt.sqlite } else { attempt.postgres });
        let outcome = match scene.raw.run(&sql).await {
            Err(words) => {
                let rules =
                    ["never change", "gives each transfer", "never deleted", "UNIQUE", "duplicate key", "CHECK", "check constraint"];
                assert!(rules.iter().any(|rule| words.contains(rule)), "{}: {words}", attempt.name);
                assert!(scene.report(Vec::new()).await.is_sound(), "{}", attempt.name);
                unharmed = Some(scene).filter(|_| !attempt.is_unchained);
                "refused".to_owned()
            }
            Ok(()) => in_the_table(&scene, &scene.report(Vec::new()).await),
        };
        let name = if attempt.is_unchained { format!("{} (rules taken away)", attempt.name) } else { attempt.name.to_owned() };
        outcomes.push((name, outcome));
    }
    compare_with_the_table(engine, outcomes);
}

/// The transfer at `position` as the log has it, and the leaves and the place of the block that ends with `number`.
async fn rewrite_newest_block(scene: &Scene, change: &str, number: u128) {
    scene.raw.unchain().await;
    scene.raw.run(&scene.sql(change)).await.unwrap();
    let mut reads = scene.world.store.read();
    let own = scene.world.workspace;
    let mut leaves: Vec<Hash> = Vec::new();
    for number in [number - 1, number] {
        leaves.push(seal::leaf(own, &queries::transfer(&mut reads, own, trf(number)).await.unwrap().unwrap()));
    }
    let sealed = seals::newest(&mut reads).await.unwrap()[0];
    assert_eq!((sealed.number, sealed.last_position), (3, number as i64));
    let before = hash_of(scene, 2).await;
    let place = Place { number: 3, first_position: 9, last_position: 10, booked_at: sealed.booked_at };
    let hash = seal::block(own, &place, &before, &leaves.concat());
    let (leaves, hash) = (scene.raw.bytes(&leaves.concat()), scene.raw.bytes(&hash));
    scene.raw.run(&format!("update ledger_blocks set leaves = {leaves}, hash = {hash} where number = 3")).await.unwrap();
}

async fn hash_of(scene: &Scene, number: i64) -> Hash {
    let bytes: Vec<u8> = match &scene.raw {
        Raw::Sqlite(connection) => {
            connection.query_row("select hash from ledger_blocks where number = ?1", [number], |row| row.get(0)).unwrap()
        }
        Raw::Postgres(client) => client.query_one("select hash from ledger_blocks where number = $1", &[&number]).await.unwrap().get(0),
    };
    bytes.try_into().unwrap()
}

#[tokio::test]
async fn a_block_that_is_written_anew_is_found_by_what_it_does_not_cover_or_by_its_seal_outside() {
    let mut outcomes = Vec::new();
    let scene = Scene::new().await;
    let engine = scene.world.store.engine();
    rewrite_newest_block(&scene, "update ledger_transfers set amount = 1010 where id = {10}", 10).await;
    outcomes.push(("change an amount and seal its block anew".to_owned(), in_the_table(&scene, &scene.report(Vec::new()).await)));

    let scene = Scene::new().await;
    let kept = seals::newest(&mut scene.world.store.read()).await.unwrap();
    rewrite_newest_block(&scene, "update ledger_transfers set memo = 'another' where id = {10}", 10).await;
    outcomes.push(("change a memo and seal its block anew".to_owned(), in_the_table(&scene, &scene.report(kept).await)));
    assert!(scene.report(Vec::new()).await.is_sound(), "only a seal from outside can tell");

    let scene = Scene::new().await;
    rewrite_newest_block(&scene, "update ledger_transfers set memo = 'another' where id = {10}", 10).await;
    // As soon as another block stands on it, whoever sealed it anew has to do so with all that follow.
    scene.book(2).await;
    assert!(scene.report(Vec::new()).await.is_sound());
    let (leaves, hash) = (scene.raw.bytes(&[1; 64]), scene.raw.bytes(&[2; 32]));
    scene.raw.run(&format!("update ledger_blocks set leaves = {leaves}, hash = {hash} where number = 3")).await.unwrap();
    let report = scene.report(Vec::new()).await;
    let of_blocks: Vec<&str> = report.findings.iter().filter(|f| f.trouble == Trouble::Block).map(|f| f.words.as_str()).collect();
    assert!(of_blocks.iter().any(|words| words.starts_with("block 4 ")), "{of_blocks:?}");
    compare_with_the_table(engine, outcomes);
}

const TABLES: [&str; 7] =
    ["ledger_transfers", "ledger_history", "ledger_blocks", "ledger_balances", "ledger_dated", "ledger_guarded", "ledger_keeper"];

#[tokio::test]
async fn an_end_that_is_cut_off_without_a_trace_is_found_by_a_seal_from_outside() {
    let scene = Scene::new().await;
    let engine = scene.world.store.engine();
    scene.book(2).await;
    for table in TABLES {
        scene.raw.run(&format!("create table kept_{table} as select * from {table}")).await.unwrap();
    }
    scene.post(vec![scene.pay_in(13, 13), scene.fee(14, 14)]).await;
    scene.book(2).await;
    let kept = seals::newest(&mut scene.world.store.read()).await.unwrap();
    assert!(scene.report(kept.clone()).await.is_sound());
    scene.raw.unchain().await;
    for table in TABLES {
        let overriding = if engine == Engine::Postgres && table == "ledger_transfers" { "overriding system value" } else { "" };
        scene.raw.run(&format!("delete from {table}; insert into {table} {overriding} select * from kept_{table}")).await.unwrap();
    }
    let without = scene.report(Vec::new()).await;
    assert!(without.is_sound() && without.transfers == 12, "everything that is left fits: {without}");
    let report = scene.report(kept).await;
    assert!(report.findings[0].words.contains("2 transfers up to position 14"), "{report}");
    compare_with_the_table(engine, vec![("cut off the end, and everything that speaks of it".into(), in_the_table(&scene, &report))]);
}

#[tokio::test]
async fn two_that_changed_places_are_both_named() {
    let scene = Scene::new().await;
    scene.raw.unchain().await;
    let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == "exchange two").unwrap();
    let sql = if scene.world.store.engine() == Engine::Sqlite { attempt.sqlite } else { attempt.postgres };
    scene.raw.run(&scene.sql(sql)).await.unwrap();
    let report = scene.report(Vec::new()).await;
    let mut named: Vec<_> = report.findings.iter().filter(|f| f.trouble == Trouble::Exchanged).map(|f| (f.transfer, f.position)).collect();
    named.sort();
    assert_eq!(named, [(Some(trf(6)), Some(6)), (Some(trf(8)), Some(8))], "{report}");
}

#[tokio::test]
async fn whatever_is_changed_at_once_is_found_all_of_it_and_the_list_is_bounded() {
    let scene = Scene::new().await;
    scene.raw.unchain().await;
    scene
        .raw
        .run(&scene.sql("update ledger_transfers set memo = 'x' where id = {1} or id = {5}; delete from ledger_transfers where id = {8}"))
        .await
        .unwrap();
    let named = |report: &Report| -> Vec<_> {
        let sealed = report.findings.iter().filter(|f| matches!(f.trouble, Trouble::Changed | Trouble::Removed));
        sealed.map(|f| (f.trouble, f.position.unwrap(), f.transfer.unwrap())).collect()
    };
    let report = scene.report(Vec::new()).await;
    assert_eq!(named(&report), [(Trouble::Changed, 1, trf(1)), (Trouble::Changed, 5, trf(5)), (Trouble::Removed, 8, trf(8))]);
    let mut snapshot = scene.world.store.snapshot().await.unwrap();
    let short = verify(&mut snapshot, &Options { findings_max: 1, ..Options::default() }).await.unwrap();
    assert!(short.findings.len() == 1 && short.findings_left_out >= report.findings.len() as u64 - 1, "{short}");
    let printed = report.to_string();
    for words in ["THE BOOKS ARE NOT SOUND", "changed in ws_", "at position 5, trf_", "What to do", "newest backup"] {
        assert!(printed.contains(words), "{words:?} is not in\n{printed}");
    }
}

#[tokio::test]
async fn a_byte_of_the_file_that_is_changed_is_found_at_its_transfer() {
    let mut scene = Scene::new().await;
    if scene.world.store.engine() != Engine::Sqlite {
        return; // The server's files are not ours.
    }
    scene.world.store.reopen().await;
    scene.world.store.close().await;
    scene.raw = Raw::Sqlite(rusqlite::Connection::open_in_memory().unwrap());
    let path = scene.world.store.sqlite_path();
    let mut bytes = std::fs::read(&path).unwrap();
    let memo = b"a memo to be found in the file";
    let at: Vec<usize> = bytes.windows(memo.len()).enumerate().filter(|(_, window)| window == memo).map(|(at, _)| at).collect();
    assert!(!at.is_empty());
    for at in at {
        bytes[at] ^= 1;
    }
    std::fs::write(&path, bytes).unwrap();
    let opened = store::Store::open_read_only(scene.world.store.config()).await.unwrap();
    let report = verify(&mut opened.snapshot().await.unwrap(), &Options::default()).await.unwrap();
    assert_eq!(report.findings.len(), 1, "{report}");
    compare_with_the_table(Engine::Sqlite, vec![("edit a byte of the file".into(), in_the_table(&scene, &report))]);
}
