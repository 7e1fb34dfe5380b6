//! The door: what a scan is answered with, and what of it is written down.

use std::time::Duration;

use codes::commands::{self, Edit};
use codes::scan::{By, Span, recorded_everywhere};
use codes::scan::{Outcome, ScanRequest, Scanner, Setup, backup_journal, breakdown, due_alerts, set_alert, start, totals};
use codes::{Closed, CodeError, Destination, NewCode, PublicCode, Recording, RecordingChoice, TargetUrl, grants};
use http::{HeaderMap, HeaderValue};
use kernel::{Caller, Grants, Id, MemberId, RawId};
use store::Store;
use store::testing::{TestStore, store};

use super::{BOT, PHONE, SYSTEM, Scratch, facts, workspace};

fn url(text: &str) -> TargetUrl {
    TargetUrl::parse(text, "https://go.acme.io").unwrap()
}

fn menu() -> NewCode {
    NewCode { destination: Some(Destination::Url(url("https://example.com/menu?table=4"))), ..NewCode::default() }
}

async fn mint(store: &Store, new: NewCode) -> PublicCode {
    let unit =
        store.write(&SYSTEM, new, |tx, new| Box::pin(async move { Ok::<_, CodeError>(commands::mint(tx, workspace(1), new).await?.code) }));
    unit.await.unwrap()
}

async fn open(store: &TestStore, folder: &Scratch) -> Scanner {
    let setup = Setup { segment_bytes: 1 << 20, ..Setup::new((*store).clone(), folder.path()) };
    start(setup).await.unwrap()
}

/// A visitor, changed by what a test is about.
#[derive(Clone)]
struct Visitor {
    headers: HeaderMap,
    address: [u8; 4],
    is_get: bool,
    query: Option<&'static str>,
    place: Option<&'static [u8]>,
}

impl Visitor {
    fn new(agent: &'static str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert("user-agent", HeaderValue::from_static(agent));
        headers.insert("accept-language", HeaderValue::from_static("de-AT,de;q=0.9"));
        headers.insert("referer", HeaderValue::from_static("https://www.shop.example/page"));
        Self { headers, address: [203, 0, 113, 9], is_get: true, query: None, place: Some(b"AT") }
    }

    fn at(self, last: u8) -> Self {
        Self { address: [203, 0, 113, last], ..self }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(name, HeaderValue::from_static(value));
        self
    }

    async fn scan(&self, scanner: &Scanner, code: &str) -> Outcome {
        let request = ScanRequest {
            code,
            query: self.query,
            is_get: self.is_get,
            headers: &self.headers,
            address: self.address.into(),
            place: self.place,
        };
        match scanner.scan(&request) {
            Some(outcome) => outcome,
            None => scanner.scan_slowly(&request).await,
        }
    }

    async fn location(&self, scanner: &Scanner, code: PublicCode) -> String {
        match self.scan(scanner, &code.to_string()).await {
            Outcome::Redirect(location) => location.to_str().unwrap().to_owned(),
            other => panic!("{other:?}"),
        }
    }
}

async fn counted(store: &TestStore, scanner: &Scanner, code: PublicCode) -> (i64, i64, i64) {
    scanner.settle().await.unwrap();
    let totals = totals(&mut store.read(), workspace(1), code).await.unwrap();
    (totals.total, totals.bots, totals.doubles)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_is_sent_on_with_its_query_and_counted_and_a_head_or_a_preview_is_not() {
    let (store, folder) = (store().await, Scratch::new());
    let scanner = open(&store, &folder).await;
    let code = mint(&store, menu()).await;
    let phone = Visitor::new(PHONE);
    assert_eq!(phone.location(&scanner, code).await, "https://example.com/menu?table=4");
    let queried = Visitor { query: Some("utm_source=qr&table=9"), ..phone.clone().at(10) };
    assert_eq!(queried.location(&scanner, code).await, "https://example.com/menu?table=4&utm_source=qr");
    assert!(matches!(phone.clone().at(11).scan(&scanner, &code.to_string().to_lowercase()).await, Outcome::Redirect(_)));
    for unseen in [
        Visitor { is_get: false, ..phone.clone().at(12) },
        Visitor::new("WhatsApp/2.24.15 A").at(13),
        Visitor::new("facebookexternalhit/1.1").at(14),
        phone.clone().at(15).with("purpose", "prefetch"),
        phone.clone().at(16).with("sec-purpose", "prefetch;prerender"),
    ] {
        assert_eq!(unseen.location(&scanner, code).await, "https://example.com/menu?table=4", "it is answered all the same");
    }
    phone.location(&scanner, code).await;
    Visitor::new(BOT).location(&scanner, code).await;
    assert_eq!(counted(&store, &scanner, code).await, (3, 1, 1));
    assert_eq!(scanner.stats().recorded, 5);
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_or_unknown_code_is_not_found_and_a_new_one_is_seen_soon() {
    let (store, folder) = (store().await, Scratch::new());
    let scanner = open(&store, &folder).await;
    let phone = Visitor::new(PHONE);
    let code = mint(&store, NewCode::default()).await;
    let mut mistyped = code.to_string().into_bytes();
    mistyped.swap(2, 3);
    if mistyped == code.to_string().into_bytes() {
        mistyped[2] = if mistyped[2] == b'A' { b'B' } else { b'A' };
    }
    for unknown in ["", "favicon.ico", "ABC", std::str::from_utf8(&mistyped).unwrap(), &PublicCode::from_number(3).unwrap().to_string()] {
        assert!(matches!(phone.scan(&scanner, unknown).await, Outcome::NotFound), "{unknown}");
    }
    assert!(matches!(phone.scan(&scanner, &code.to_string()).await, Outcome::Closed(_, Closed::Unbound)));
    assert_eq!(scanner.stats().recorded, 0, "what leads nowhere is no scan");
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_seen_as_soon_as_its_fact_is_heard() {
    let (store, folder) = (store().await, Scratch::new());
    let scanner = open(&store, &folder).await;
    let code = mint(&store, menu()).await;
    let phone = Visitor::new(PHONE);
    phone.location(&scanner, code).await;
    let expires = store.clock().now().plus(Duration::from_secs(60));
    let edit = Edit { fallback: Some(Some(url("https://example.com/over"))), expires_at: Some(Some(expires)), ..Edit::default() };
    let unit = store.write(&SYSTEM, (code, edit), |tx, (code, edit)| {
        Box::pin(async move { commands::edit(tx, workspace(1), code, edit).await.map(|_| ()) })
    });
    unit.await.unwrap();
    for entry in facts(&store, "codes.changed", 1).await {
        scanner.hear(&entry);
    }
    assert_eq!(phone.location(&scanner, code).await, "https://example.com/menu?table=4");
    store.clock().advance(Duration::from_secs(60));
    assert_eq!(phone.location(&scanner, code).await, "https://example.com/over", "it expires in memory too");
    let unit = store.write(&SYSTEM, code, |tx, code| Box::pin(async move { commands::retire(tx, workspace(1), code).await.map(|_| ()) }));
    unit.await.unwrap();
    scanner.forget(code, 99);
    assert_eq!(phone.location(&scanner, code).await, "https://example.com/over", "a retired code keeps its fallback");
    assert_eq!(counted(&store, &scanner, code).await, (2, 0, 2), "scans of the fallback are scans");
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thing_is_opened_and_a_limited_code_opens_exactly_as_often_as_it_may() {
    let (store, folder) = (store().await, Scratch::new());
    let scanner = open(&store, &folder).await;
    let card = Destination::thing("card", "card_1").unwrap();
    let code = mint(&store, NewCode { destination: Some(card), scan_limit: Some(20), ..NewCode::default() }).await;
    let text = code.to_string();
    for _ in 0..3 {
        let head = Visitor { is_get: false, ..Visitor::new(PHONE) };
        assert!(matches!(head.scan(&scanner, &text).await, Outcome::Open(target) if target.thing().unwrap().id() == "card_1"));
    }
    let scans = (0..50_u8).map(|n| {
        let (scanner, text) = (scanner.clone(), text.clone());
        tokio::spawn(async move {
            let visitor = Visitor::new(PHONE).at(n);
            let first = matches!(visitor.scan(&scanner, &text).await, Outcome::Open(_));
            // The same phone again within five seconds does not use up another.
            (first, matches!(visitor.scan(&scanner, &text).await, Outcome::Open(_)))
        })
    });
    let (mut opened, mut again) = (0, 0);
    for scan in scans.collect::<Vec<_>>() {
        let (first, second) = scan.await.unwrap();
        opened += i32::from(first);
        again += i32::from(second);
    }
    assert_eq!((opened, again), (20, 20));
    assert!(matches!(Visitor::new(PHONE).at(99).scan(&scanner, &text).await, Outcome::Closed(_, Closed::UsedUp)));
    assert!(matches!(Visitor { is_get: false, ..Visitor::new(PHONE) }.scan(&scanner, &text).await, Outcome::Closed(_, Closed::UsedUp)));
    assert_eq!(counted(&store, &scanner, code).await, (20, 0, 20));
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn address_place_and_device_are_switched_each_on_its_own() {
    let (store, folder) = (store().await, Scratch::new());
    let scanner = open(&store, &folder).await;
    let day = Span::new(By::Day, None, None, store.clock().now()).unwrap();
    for Recording { address, place, device } in
        [(true, false, false), (false, true, false), (false, false, true), (true, true, true), (false, false, false)]
            .map(|(address, place, device)| Recording { address, place, device })
    {
        let recording = RecordingChoice { address: Some(address), place: Some(place), device: Some(device) };
        let code = mint(&store, NewCode { recording, ..menu() }).await;
        Visitor::new(PHONE).location(&scanner, code).await;
        Visitor::new(PHONE).location(&scanner, code).await;
        let doubles = i64::from(device);
        assert_eq!(counted(&store, &scanner, code).await, (2 - doubles, 0, doubles));
        let parts = breakdown(&mut store.read(), workspace(1), code, day).await.unwrap();
        let ranked = |counts: &codes::scan::Counts| counts.ranked().first().map(|(word, _)| (*word).to_owned());
        assert_eq!(ranked(&parts.network).is_some_and(|network| network == "203.0.113.0/24"), address);
        assert_eq!(ranked(&parts.place).is_some(), place);
        assert_eq!(ranked(&parts.device).unwrap(), if device { "phone" } else { "unknown" });
        assert_eq!(ranked(&parts.language).is_some(), device);
        assert_eq!(ranked(&parts.referrer).unwrap(), "shop.example", "a page is nobody's address");
    }
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_scanner_has_counted_everything_and_a_killed_one_counts_at_its_next_start() {
    let (store, folder, copy) = (store().await, Scratch::new(), Scratch::new());
    let scanner = open(&store, &folder).await;
    let code = mint(&store, menu()).await;
    for n in 0..100 {
        Visitor::new(PHONE).at(n).location(&scanner, code).await;
    }
    scanner.stop().await.unwrap();
    assert_eq!(recorded_everywhere(&mut store.read()).await.unwrap(), 100);
    drop(scanner);
    let scanner = open(&store, &folder).await;
    for n in 100..150 {
        Visitor::new(PHONE).at(n).location(&scanner, code).await;
    }
    // What the folder holds now is what a killed process leaves behind.
    backup_journal(folder.path(), copy.path()).unwrap();
    scanner.stop().await.unwrap();
    drop(scanner);
    let scanner = open(&store, &copy).await;
    assert_eq!(counted(&store, &scanner, code).await, (150, 0, 0), "and what was counted before is not counted again");
    scanner.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_is_told_of_scans_at_most_once_in_the_time_that_they_asked_for() {
    let store = store().await;
    let code = mint(&store, menu()).await;
    let member = MemberId::from_raw(RawId::from_bits(5));
    let person = Caller::Person { workspace: workspace(1), member, grants: Grants::of([grants::READ]) };
    let stranger = Caller::Person { workspace: workspace(2), member, grants: Grants::of([grants::READ]) };
    let set = async |caller: &Caller, seconds| {
        store.write(caller, (code, seconds), |tx, (code, seconds)| Box::pin(set_alert(tx, code, seconds))).await
    };
    let due = async || {
        let unit = store.write(&SYSTEM, code, |tx, code| Box::pin(due_alerts(tx, workspace(1), code)));
        unit.await.unwrap()
    };
    assert!(due().await.is_empty());
    assert!(set(&stranger, Some(600)).await.is_err(), "the code of another workspace is not there");
    assert!(set(&person, Some(5)).await.is_err(), "every five seconds is too often");
    assert_eq!(set(&person, Some(600)).await.unwrap().unwrap().interval_seconds, 600);
    assert_eq!(due().await, [member]);
    assert!(due().await.is_empty());
    store.clock().advance(Duration::from_secs(600));
    assert_eq!(due().await, [member]);
    assert_eq!(set(&person, None).await.unwrap(), None);
    store.clock().advance(Duration::from_secs(600));
    assert!(due().await.is_empty());
}
