//! Verification of books that are sound, and the seals outside of the database.

use std::path::Path;

use ledger::seals::{self, Outside};
use ledger::verify::{Options, Report, Trouble, assert_sound, verify};
use ledger::{AccountKind, Limits, NewTransfer, keeper};
use store::Store;

use crate::tampering::{Raw, Scene};
use crate::world::{World, trf, unit, workspace};

async fn report(store: &Store, options: Options) -> Report {
    verify(&mut store.snapshot().await.unwrap(), &options).await.unwrap()
}

#[tokio::test]
async fn books_that_were_never_opened_are_sound() {
    let world = World::new().await;
    let report = report(&world.store, Options::default()).await;
    assert!(report.is_sound() && report.transfers == 0 && report.units.is_empty(), "{report}");
}

#[tokio::test]
async fn sound_books_are_counted_and_their_trial_balance_is_printed() {
    let scene = Scene::new().await;
    let report = report(&scene.world.store, Options::default()).await;
    assert!(report.is_sound(), "{report}");
    assert_eq!((report.transfers, report.waiting, report.blocks, report.accounts, report.workspaces), (12, 2, 3, 3, 1));
    assert_eq!(report.history_rows, 20);
    let sums = report.units[&unit("EUR")];
    let paid_in = 1_000 + 500 + 70 + 9 + 11;
    let fees = 100 + 50 + 30 + 10 + 12;
    assert_eq!((sums.debits_posted, sums.credits_posted), (paid_in + fees + 150, paid_in + fees + 150));
    assert_eq!((sums.debit_balances, sums.credit_balances), (paid_in - 150, paid_in - 150));
    let printed = report.to_string();
    for words in ["The books are sound.", "14.40", "position 10", "12 transfers (2 not booked yet)"] {
        assert!(printed.contains(words), "{words:?} is not in\n{printed}");
    }
}

/// Posts `count` transfers of 1 in batches, numbered from `first` on.
async fn post_many(scene: &Scene, first: u128, count: u128, batch: u128) {
    let numbers: Vec<u128> = (first..first + count).collect();
    for numbers in numbers.chunks(batch as usize) {
        scene.post(numbers.iter().map(|number| scene.pay_in(*number, 1)).collect()).await;
    }
}

#[tokio::test]
async fn what_is_posted_and_booked_meanwhile_is_no_error() {
    let scene = Scene::new().await;
    let posting = async {
        for round in 0..40 {
            post_many(&scene, 100 + 10 * round, 10, 10).await;
            keeper::catch_up(&scene.world.store).await.unwrap();
        }
    };
    let verifying = async {
        let mut transfers = Vec::new();
        for _ in 0..20 {
            let report = report(&scene.world.store, Options::default()).await;
            assert!(report.is_sound(), "{report}");
            transfers.push(report.transfers);
        }
        transfers
    };
    let (_, transfers) = tokio::join!(posting, verifying);
    assert!(transfers.is_sorted() && transfers[0] < 400, "{transfers:?}");
    // One that began before sees nothing of what came later.
    let mut snapshot = scene.world.store.snapshot().await.unwrap();
    post_many(&scene, 1_000, 5, 5).await;
    let before = verify(&mut snapshot, &Options::default()).await.unwrap();
    assert!(before.is_sound() && before.transfers == 412, "{before}");
    assert_sound(&scene.world.store).await;
}

#[tokio::test]
async fn many_workspaces_are_verified_together_and_each_by_itself() {
    let mut world = World::new().await;
    let mut accounts = Vec::new();
    for number in 1..=30 {
        world.workspace = workspace(number);
        let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
        accounts.push((cash, world.open("till", AccountKind::Asset, Limits::CreditsWithinDebits).await));
    }
    for round in 0..4_u128 {
        for (number, (cash, till)) in (1..=30).zip(&accounts) {
            world.workspace = workspace(number);
            let id = trf(100 * round + number);
            let codes = world.codes(vec![NewTransfer::exactly(id, *till, *cash, unit("EUR"), 5)]).await;
            assert_eq!(codes.len(), 1);
        }
        if round < 3 {
            world.book().await;
        }
    }
    let all = report(&world.store, Options::default()).await;
    assert!(all.is_sound(), "{all}");
    assert_eq!((all.transfers, all.workspaces, all.accounts), (120, 30, 60));
    let one = report(&world.store, Options { workspace: Some(workspace(7)), ..Options::default() }).await;
    assert!(one.is_sound(), "{one}");
    assert_eq!((one.transfers, one.workspaces, one.accounts), (4, 1, 2));
    // What is wrong in one of them is said of that one.
    let raw = Raw::open(&world).await;
    raw.unchain().await;
    let id = raw.id(trf(107));
    let own = raw.id(workspace(7));
    raw.run(&format!("update ledger_transfers set amount = 6 where id = {id} and workspace = {own}")).await.unwrap();
    world.is_damaged(true);
    let all = report(&world.store, Options::default()).await;
    assert!(!all.is_sound() && all.findings.iter().all(|finding| finding.workspace == Some(workspace(7))), "{all}");
    assert!(!report(&world.store, Options { workspace: Some(workspace(7)), ..Options::default() }).await.is_sound());
    assert!(report(&world.store, Options { workspace: Some(workspace(8)), ..Options::default() }).await.is_sound());
}

#[tokio::test]
async fn a_history_of_several_epochs_is_compared_to_its_last_row() {
    let scene = Scene::new().await;
    scene.book(2).await;
    post_many(&scene, 1_000, 65_600, 2_000).await;
    scene.book(65_600).await;
    let sound = report(&scene.world.store, Options::default()).await;
    assert!(sound.is_sound() && sound.transfers == 65_612, "{sound}");
    scene.raw.unchain().await;
    scene.raw.run("update ledger_history set previous = 3 where position = 65540 and side = 'credit'").await.unwrap();
    scene.raw.run("delete from ledger_history where position = 70 and side = 'debit'").await.unwrap();
    let found = report(&scene.world.store, Options::default()).await;
    let named: Vec<_> = found.findings.iter().map(|f| (f.trouble, f.position, f.transfer)).collect();
    let history = Trouble::History;
    assert_eq!(named, [(history, Some(70), Some(trf(1_057))), (history, Some(65_540), Some(trf(66_527)))], "{found}");
}

fn seals_in(path: &Path) -> Vec<i64> {
    seals::read(path).unwrap().iter().map(|seal| seal.number).collect()
}

#[tokio::test]
async fn the_newest_seals_are_kept_outside_each_of_them_once() {
    let scene = Scene::new().await;
    let path = scene.world.store.folder().join(seals::FILE);
    assert!(seals_in(&path).is_empty());
    let mut file = Outside::open(&path).unwrap();
    assert_eq!(file.bring_up(&scene.world.store).await.unwrap(), 1);
    assert_eq!(file.bring_up(&scene.world.store).await.unwrap(), 0);
    scene.book(2).await;
    assert_eq!(file.bring_up(&scene.world.store).await.unwrap(), 1);
    assert_eq!(seals_in(&path), [3, 4]);
    // Another start goes on where the last one ended.
    assert_eq!(Outside::open(&path).unwrap().bring_up(&scene.world.store).await.unwrap(), 0);
    let report = report(&scene.world.store, Options { seals: seals::read(&path).unwrap(), ..Options::default() }).await;
    assert!(report.is_sound() && report.seals == 2, "{report}");
    // Half a line is what a crash leaves: it counts for nothing, and is mended.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}{}", &text[..40])).unwrap();
    assert_eq!(seals_in(&path), [3, 4]);
    assert_eq!(Outside::open(&path).unwrap().bring_up(&scene.world.store).await.unwrap(), 0);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    // What is no seal is never taken for one.
    std::fs::write(&path, format!("{}{text}", &text[1..])).unwrap();
    assert!(seals::read(&path).unwrap_err().to_string().contains("line 1"));
}

#[tokio::test]
async fn the_file_of_seals_stays_small_and_never_loses_one_that_the_database_has_lost() {
    let scene = Scene::new().await;
    let path = scene.world.store.folder().join(seals::FILE);
    let newest = seals::newest(&mut scene.world.store.read()).await.unwrap()[0];
    let lost = ledger::seal::Seal { number: 900, last_position: 9_000, ..newest };
    let lines = std::iter::once(lost).chain((0..1_200).map(|_| newest));
    std::fs::write(&path, lines.map(|seal| seal.line() + "\n").collect::<String>()).unwrap();
    scene.book(2).await;
    assert_eq!(Outside::open(&path).unwrap().bring_up(&scene.world.store).await.unwrap(), 1);
    assert_eq!(seals_in(&path), [900, 3, 3, 4]);
    let report = report(&scene.world.store, Options { seals: seals::read(&path).unwrap(), ..Options::default() }).await;
    assert_eq!(report.findings.len(), 1, "{report}");
    assert_eq!((report.findings[0].trouble, report.findings[0].position), (Trouble::Seal, Some(9_000)));
}
