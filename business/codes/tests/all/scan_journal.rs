//! The journal: what was appended is there after any end of the process, once.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use codes::scan::{Folder, Health, Journal, JournalError, Position, SLOT_BYTES, backup_journal};
use kernel::{Entropy, Timestamp};

use super::{Scratch, scan};

/// A segment of this many slots.
const fn segment_of(slots: usize) -> usize {
    4096 + slots * SLOT_BYTES
}

fn open(path: &Path, slots: usize) -> Journal {
    Journal::open(Folder::open(path, &Entropy::seeded(1)).unwrap(), 0, segment_of(slots)).unwrap()
}

fn codes_from(journal: &Journal, from: Position) -> Vec<u64> {
    let mut codes = Vec::new();
    journal.read(from, u64::MAX, |_, record| codes.push(record.code)).unwrap();
    codes
}

fn append(journal: &Journal, codes: std::ops::Range<u64>) {
    for code in codes {
        assert!(journal.append(&scan(code, code, Timestamp::from_seconds(code as i64))));
    }
}

#[test]
fn what_was_appended_is_there_after_a_stop_without_farewell_whole_and_in_order() {
    let folder = Scratch::new();
    for round in 0..4 {
        let journal = open(folder.path(), 100);
        assert_eq!(codes_from(&journal, Position::default()), (0..round * 250).collect::<Vec<_>>());
        append(&journal, round * 250..(round + 1) * 250);
        assert_eq!(journal.appended(), 250);
    }
    let journal = open(folder.path(), 100);
    let mut at = Position::default();
    let mut codes = Vec::new();
    loop {
        let next = journal.read(at, 37, |_, record| codes.push(record.code)).unwrap();
        if next == at {
            break;
        }
        at = next;
    }
    assert_eq!(codes, (0..1000).collect::<Vec<_>>(), "in small bites it is the same");
}

#[test]
fn of_eight_threads_no_scan_is_lost_or_doubled_while_another_reads() {
    let folder = Scratch::new();
    let journal = Arc::new(open(folder.path(), 1000));
    let writers: Vec<_> = (0..8_u64)
        .map(|thread| {
            let journal = journal.clone();
            std::thread::spawn(move || append(&journal, thread * 10_000..(thread + 1) * 10_000))
        })
        .collect();
    let (mut seen, mut at) = (HashSet::new(), Position::default());
    while seen.len() < 80_000 {
        at = journal.read(at, 5_000, |_, record| assert!(seen.insert(record.code), "{} twice", record.code)).unwrap();
    }
    for writer in writers {
        writer.join().unwrap();
    }
    assert_eq!(journal.appended(), 80_000);
    assert_eq!(journal.waiting(at), 0);
    assert_eq!((journal.torn(), journal.refused()), (0, 0));
}

#[test]
fn a_torn_record_and_one_that_was_never_finished_are_skipped() {
    let folder = Scratch::new();
    drop({
        let journal = open(folder.path(), 100);
        append(&journal, 0..50);
        journal
    });
    let file = OpenOptions::new().write(true).open(folder.path().join("00000001.scans")).unwrap();
    let slot = |n: u64| 4096 + n * SLOT_BYTES as u64;
    file.write_all_at(&[0xAA; 8], slot(7) + 40).unwrap();
    file.write_all_at(&[0; 8], slot(9)).unwrap();
    let journal = open(folder.path(), 100);
    let expected: Vec<u64> = (0..50).filter(|n| ![7, 9].contains(n)).collect();
    assert_eq!(codes_from(&journal, Position::default()), expected);
    assert_eq!(journal.torn(), 1);
}

#[test]
fn a_file_that_a_power_cut_left_short_is_read_as_far_as_it_goes() {
    let folder = Scratch::new();
    drop({
        let journal = open(folder.path(), 100);
        append(&journal, 0..150);
        // The segment after the one in use is made ready in the background.
        wait(|| folder.path().join("00000003.scans").exists());
        journal
    });
    let first = OpenOptions::new().write(true).open(folder.path().join("00000001.scans")).unwrap();
    first.set_len(segment_of(60) as u64 + 17).unwrap();
    OpenOptions::new().write(true).open(folder.path().join("00000003.scans")).unwrap().set_len(12).unwrap();
    let journal = open(folder.path(), 100);
    assert_eq!(codes_from(&journal, Position::default()), (0..60).chain(100..150).collect::<Vec<_>>());
    append(&journal, 500..503);
    assert_eq!(codes_from(&journal, Position { segment: 2, slot: 49 }), [149, 500, 501, 502]);
}

#[test]
fn a_folder_is_held_by_one_process_and_keeps_its_name() {
    let folder = Scratch::new();
    let journal = open(folder.path(), 10);
    let node = journal.node();
    assert!(node > 0);
    assert!(matches!(Folder::open(folder.path(), &Entropy::seeded(2)), Err(JournalError::Held(_))));
    drop(journal);
    assert_eq!(Folder::open(folder.path(), &Entropy::seeded(2)).unwrap().node(), node);
    fs::write(folder.path().join("node"), "not a name").unwrap();
    assert!(matches!(Folder::open(folder.path(), &Entropy::seeded(2)), Err(JournalError::Node(_))));
}

#[test]
fn without_room_scans_are_refused_and_recorded_again_once_there_is_room() {
    let folder = Scratch::new();
    let journal = open(folder.path(), 10);
    // Files in the way of the next segments stand for a disk without room for them.
    let in_the_way: Vec<_> = (2..5).map(|n| folder.path().join(format!("{n:08}.scans"))).collect();
    wait(|| in_the_way[0].exists());
    fs::write(&in_the_way[1], "").unwrap();
    append(&journal, 0..20);
    assert_eq!(journal.health(), Health::Good);
    assert!(!journal.append(&scan(20, 1, Timestamp::from_seconds(20))));
    assert!(!journal.append(&scan(21, 1, Timestamp::from_seconds(21))));
    assert_eq!((journal.health(), journal.refused(), journal.appended()), (Health::Full, 2, 20));
    fs::remove_file(&in_the_way[1]).unwrap();
    wait(|| journal.health() == Health::Good);
    append(&journal, 30..33);
    assert_eq!(codes_from(&journal, Position::default()), (0..20).chain(30..33).collect::<Vec<_>>());
}

fn wait(until: impl Fn() -> bool) {
    let began = Instant::now();
    while !until() {
        assert!(began.elapsed() < Duration::from_secs(10), "it did not come");
        std::thread::yield_now();
    }
}

#[test]
fn a_number_that_was_counted_never_comes_back_even_when_the_files_are_lost() {
    let folder = Scratch::new();
    let journal = Journal::open(Folder::open(folder.path(), &Entropy::seeded(1)).unwrap(), 57, segment_of(10)).unwrap();
    append(&journal, 0..1);
    let mut at = Vec::new();
    journal.read(Position { segment: 57, slot: 9 }, 10, |position, _| at.push(position)).unwrap();
    assert_eq!(at, [Position { segment: 58, slot: 0 }]);
}

#[test]
fn a_backup_beside_a_running_journal_holds_every_scan_so_far() {
    let (folder, copy) = (Scratch::new(), Scratch::new());
    let journal = open(folder.path(), 100);
    append(&journal, 0..250);
    let written = backup_journal(folder.path(), copy.path()).unwrap();
    assert!(written < 4 * segment_of(100) as u64, "segments are copied as far as they are used");
    append(&journal, 250..400);
    let node = journal.node();
    let restored = open(copy.path(), 100);
    assert_eq!(restored.node(), node);
    assert_eq!(codes_from(&restored, Position::default()), (0..250).collect::<Vec<_>>());
    assert_eq!(codes_from(&restored, Position { segment: 2, slot: 10 }), (110..250).collect::<Vec<_>>(), "positions stay what they were");
    assert_eq!(backup_journal(&copy.path().join("none"), &copy.path().join("empty")).unwrap(), 0);
}

#[test]
fn counted_segments_are_deleted_and_the_rest_is_still_read() {
    let folder = Scratch::new();
    let journal = open(folder.path(), 100);
    append(&journal, 0..350);
    assert_eq!(journal.oldest(), 1);
    journal.delete_below(3);
    assert_eq!(journal.oldest(), 3);
    assert!(!folder.path().join("00000002.scans").exists());
    assert_eq!(codes_from(&journal, Position { segment: 1, slot: 5 }), (200..350).collect::<Vec<_>>());
    journal.sync().unwrap();
    journal.close().unwrap();
}

/// Runs as a process of its own that is killed: see below.
#[test]
#[ignore = "it runs until it is killed; the test below starts it"]
fn child_that_appends_until_it_is_killed() {
    let Ok(folder) = std::env::var("TESSERA_TEST_JOURNAL") else { return };
    let journal = open(Path::new(&folder), 5_000);
    for code in 0.. {
        append(&journal, code..code + 1);
        if code % 100 == 99 {
            println!("\nappended {}", code + 1);
        }
    }
}

#[test]
fn every_scan_that_was_acknowledged_survives_kill_9() {
    for round in 1..=3 {
        let folder = Scratch::new();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "scan::scan_journal::child_that_appends_until_it_is_killed", "--ignored", "--nocapture"])
            .env("TESSERA_TEST_JOURNAL", folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if let Some(count) = line.strip_prefix("appended ") {
                acknowledged = count.parse().unwrap();
                if acknowledged >= round * 7_000 {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();
        assert!(acknowledged >= round * 7_000, "the child wrote");
        let journal = open(folder.path(), 5_000);
        let codes = codes_from(&journal, Position::default());
        assert!(codes.len() as u64 >= acknowledged, "{} of {acknowledged}", codes.len());
        assert_eq!(codes, (0..codes.len() as u64).collect::<Vec<_>>());
        assert_eq!(journal.torn(), 0);
    }
}
