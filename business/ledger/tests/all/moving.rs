//! A database that is moved to another PostgreSQL server, whose transactions count anew.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use ledger::queries::{self, Version};
use ledger::verify::{Options, Report, Trouble, verify};
use ledger::{AccountId, AccountKind, Limits, NewTransfer, Outcome, keeper};
use store::{Engine, Store};

use crate::cluster::Cluster;
use crate::tampering::Scene;
use crate::world::{World, trf, unit, workspace};

async fn report(store: &Store) -> Report {
    verify(&mut store.snapshot().await.unwrap(), &Options::default()).await.unwrap()
}

/// Posts `count` transfers of 1 in batches, numbered from `first` on.
async fn post_many(scene: &Scene, first: u128, count: u128, batch: u128) {
    let numbers: Vec<u128> = (first..first + count).collect();
    for numbers in numbers.chunks(batch as usize) {
        scene.post(numbers.iter().map(|number| scene.pay_in(*number, 1)).collect()).await;
    }
}

/// As if the database had come from a server whose transactions counted a billion further.
async fn move_to_another_server(scene: &Scene) {
    let shift = "1000000000";
    scene
        .raw
        .run(&format!(
            "begin; set local session_replication_role = replica; \
             update ledger_transfers set xid = ledger_transfers.xid + {shift} from ledger_keeper k where ledger_transfers.seq >= k.first_seq; \
             update ledger_blocks b set first_xid = first_xid + {shift}, last_xid = last_xid + {shift} from ledger_keeper k where b.era = k.era; \
             update ledger_keeper set xid = xid + {shift}; commit"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_database_that_moves_to_another_server_books_everything_once() {
    let scene = Scene::new().await;
    if scene.world.store.engine() != Engine::Postgres {
        return; // A file takes its numbers with it.
    }
    scene.world.is_damaged(false);
    for round in 0..3 {
        // Two transfers are not booked when it moves.
        move_to_another_server(&scene).await;
        keeper::settle(&scene.world.store).await.unwrap();
        keeper::settle(&scene.world.store).await.unwrap();
        let moved = report(&scene.world.store).await;
        assert!(moved.is_sound() && moved.waiting == 0, "{moved}");
        assert!(moved.version.starts_with(&format!("{}-0-0", round + 1)), "{}", moved.version);
        post_many(&scene, 100 * (round + 1), 6, 3).await;
        scene.book(6).await;
        post_many(&scene, 100 * (round + 1) + 50, 2, 2).await;
        let after = report(&scene.world.store).await;
        let sums: u64 = 12 + 8 * (round as u64 + 1);
        assert!(after.is_sound() && after.waiting == 2 && after.transfers == sums, "{after}");
    }
    // What was there before all moves is still compared.
    scene.world.is_damaged(true);
    scene.raw.unchain().await;
    let id = scene.raw.id(trf(6));
    scene.raw.run(&format!("update ledger_transfers set amount = 51 where id = {id}")).await.unwrap();
    let found = report(&scene.world.store).await;
    assert!(found.findings.iter().any(|f| (f.trouble, f.position, f.transfer) == (Trouble::Changed, Some(6), Some(trf(6)))), "{found}");
}

#[tokio::test]
async fn a_database_that_moves_before_anything_of_its_last_hours_is_booked_does_not_wait_for_their_numbers() {
    let scene = Scene::new().await;
    if scene.world.store.engine() != Engine::Postgres {
        return; // A file takes its numbers with it.
    }
    scene.world.is_damaged(false);
    for round in 0..3_u128 {
        // What is booked has numbers that this server has reached, and what is not booked has numbers far beyond.
        scene
            .raw
            .run(
                "begin; set local session_replication_role = replica; \
                 update ledger_transfers set xid = ledger_transfers.xid + 1000000000 from ledger_keeper k \
                 where ledger_transfers.seq >= k.first_seq and (ledger_transfers.xid, ledger_transfers.seq) > (k.xid, k.seq); commit",
            )
            .await
            .unwrap();
        assert_eq!(keeper::catch_up(&scene.world.store).await.unwrap(), 0, "their numbers are still to come");
        keeper::settle(&scene.world.store).await.unwrap();
        let moved = report(&scene.world.store).await;
        assert!(moved.is_sound() && moved.waiting == 0, "{moved}");
        assert!(moved.version.starts_with(&format!("{}-0-0", round + 1)), "{}", moved.version);
        keeper::settle(&scene.world.store).await.unwrap();
        assert_eq!(report(&scene.world.store).await.version, moved.version, "a further start is no move");
        post_many(&scene, 100 * (round + 1), 4, 2).await;
        scene.book(4).await;
        keeper::settle(&scene.world.store).await.unwrap();
        post_many(&scene, 100 * (round + 1) + 50, 2, 2).await;
        let after = report(&scene.world.store).await;
        assert!(after.is_sound() && after.waiting == 2 && after.version.starts_with(&format!("{}-", round + 1)), "{after}");
    }
}

/// One of PostgreSQL's own programs, of its newest installed release.
fn program(name: &str) -> Command {
    let releases = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    let mut found: Vec<PathBuf> = releases.map(|release| release.path().join("bin").join(name)).filter(|path| path.exists()).collect();
    found.sort();
    let mut command = Command::new(found.pop().unwrap_or_else(|| panic!("{name} is installed beside the server")));
    command.stdin(Stdio::null());
    command
}

/// `pg_dump | psql`, as an operator does it.
fn copy(from: &Cluster, to: &Cluster) {
    let mut dump = program("pg_dump").args(["--dbname", &from.url()]).stdout(Stdio::piped()).spawn().unwrap();
    let restored = program("psql")
        .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--dbname", &to.url()])
        .stdin(dump.stdout.take().unwrap())
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(dump.wait().unwrap().success() && restored.success());
}

/// Lets a server's transactions count further.
async fn count_on(server: &Cluster, transactions: u32) {
    let (client, connection) = tokio_postgres::connect(&server.url(), tokio_postgres::NoTls).await.unwrap();
    let task = tokio::spawn(connection);
    let words = format!("do $$ begin for i in 1..{transactions} loop perform pg_current_xact_id(); commit; end loop; end $$");
    client.batch_execute(&words).await.unwrap();
    task.abort();
}

/// The installation on a server, as a start finds it: the first time, and after a move.
async fn started_on(server: &Cluster) -> World {
    let url = server.url();
    let store = store::testing::store_with(|config| config.database_url = Some(url)).await;
    keeper::settle(&store).await.unwrap();
    World { store, workspace: workspace(1) }
}

impl World {
    /// Posts transfers of 1 in one unit; the first version of the books that holds them.
    async fn pay(&self, accounts: [AccountId; 2], numbers: std::ops::Range<u128>) -> Version {
        let batch: Vec<NewTransfer> =
            numbers.clone().map(|number| NewTransfer::exactly(trf(number), accounts[0], accounts[1], unit("EUR"), 1)).collect();
        assert!(self.codes(batch).await.iter().all(|code| *code == Outcome::Created));
        let mut reads = self.store.read();
        queries::version_of_last(&mut reads, self.workspace, numbers.map(trf)).await.unwrap().unwrap()
    }

    async fn version(&self) -> Version {
        queries::version(&mut self.store.read()).await.unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dump_that_is_restored_on_a_fresh_server_is_booked_sealed_and_posted_to_as_before() {
    let Some(first) = Cluster::start("moved_from") else { return };
    let world = started_on(&first).await;
    let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
    let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let accounts = [cash, wallet];
    let booked = world.pay(accounts, 1..11).await;
    assert_eq!(world.book().await, 10);
    // What is booked has numbers that the next server has when it has restored them; what is not has others.
    count_on(&first, 20_000).await;
    let unbooked = world.pay(accounts, 11..16).await.max(world.pay(accounts, 16..17).await);
    let before = world.version().await;
    assert!(booked <= before && before < unbooked);
    let seals = ledger::seals::newest(&mut world.store.read()).await.unwrap();

    let second = Cluster::start("moved_to").unwrap();
    copy(&first, &second);
    count_on(&second, 2_000).await;
    let world = started_on(&second).await;
    let moved = world.version().await;
    assert!((moved.era, moved) > (before.era, unbooked), "{moved} is behind {unbooked}");
    let sound = report(&world.store).await;
    assert!(sound.is_sound() && (sound.transfers, sound.waiting, sound.accounts) == (16, 0, 2), "{sound}");
    // A start that is no move begins nothing.
    keeper::settle(&world.store).await.unwrap();
    assert_eq!(world.version().await, moved);
    let posted = world.pay(accounts, 17..20).await;
    assert!(moved < posted && unbooked < posted, "{posted}");
    assert_eq!(world.book().await, 3);
    assert_eq!(world.totals(wallet).await.credits_posted, 19);

    // Once more, to a server that has not come so far when everything was booked, with rows of an era before.
    count_on(&second, 8_000).await;
    let late = world.pay(accounts, 20..21).await;
    assert_eq!(world.book().await, 1);
    let waiting = world.pay(accounts, 21..23).await;
    let third = Cluster::start("moved_again").unwrap();
    copy(&second, &third);
    let world = started_on(&third).await;
    let again = world.version().await;
    assert!(late < waiting && waiting < again && again.era == moved.era + 1, "{again}");
    keeper::settle(&world.store).await.unwrap();
    assert_eq!(world.version().await, again);
    let last = world.pay(accounts, 23..24).await;
    assert!(again < last);
    assert_eq!(world.book().await, 1);
    let options = Options { seals, ..Options::default() };
    let report = verify(&mut world.store.snapshot().await.unwrap(), &options).await.unwrap();
    assert!(report.is_sound() && (report.transfers, report.waiting, report.seals) == (23, 0, 1), "{report}");
    assert_eq!(world.totals(wallet).await.credits_posted, 23);
    let period = queries::Period::default();
    let lines = queries::statement_forward(&mut world.store.read(), world.workspace, wallet, &period, None, 100).await.unwrap();
    assert_eq!(lines.len(), 23);
}
