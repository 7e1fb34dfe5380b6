//! The power is cut at many points of a recorded run.

use store::testing::disk::Disk;
use store::testing::power_cut::{PowerCut, Replay, Survives, power_cut, put_down};

#[tokio::test(flavor = "multi_thread")]
async fn every_answered_unit_is_there_after_a_power_cut_and_no_half_of_any() {
    let found = power_cut(300, 7).await;
    println!("{found:?}");
    let PowerCut { cuts, checkpoints, acknowledged, lost, halves, damaged, .. } = found;
    assert_eq!((cuts, lost, halves, damaged), (300, 0, 0, 0));
    assert!(acknowledged > 500 && checkpoints > 10);
}

/// Inserts rows one by one with a raw connection, and answers how many a power cut right after the last leaves.
fn rows_left(synchronous: &str) -> i64 {
    let folder = std::env::temp_dir().join(format!("tessera_test_replay_{}_{synchronous}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let disk = Disk::register();
    let open = |folder: &std::path::Path, vfs: &str| {
        rusqlite::Connection::open_with_flags_and_vfs(folder.join("probe.db"), rusqlite::OpenFlags::default(), vfs).unwrap()
    };
    let connection = open(&folder, &disk.name());
    connection.query_row("pragma journal_mode = wal", [], |_| Ok(())).unwrap();
    connection.execute_batch("create table t (i integer)").unwrap();
    connection.pragma_update(None, "synchronous", synchronous).unwrap();
    for i in 0..10 {
        connection.execute("insert into t values (?1)", [i]).unwrap();
    }
    let mut replay = Replay::default();
    let image = disk.look(|_, operations| {
        operations.iter().for_each(|operation| replay.apply(operation));
        replay.cut(Survives::Nothing, &kernel::Entropy::seeded(1))
    });
    let left = folder.join("left");
    put_down(&disk.take().0, &image, &left);
    let count = open(&left, "unix").query_row("select count(*) from t", [], |row| row.get(0)).unwrap();
    let _ = std::fs::remove_dir_all(&folder);
    count
}

#[test]
fn the_replayed_disk_forgets_what_was_not_synced_and_nothing_else() {
    assert_eq!(rows_left("full"), 10);
    assert_eq!(rows_left("normal"), 0, "that setting syncs at checkpoints only, so this is what the test must notice");
}
