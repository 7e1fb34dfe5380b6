//! The filter at the door: what is refused, what is let in, and that nothing of it stays anywhere.

use std::cell::RefCell;
use std::fmt::Write;
use std::sync::Once;

use axum::body::Body;
use gateway::card_numbers::{CardNumberRules, Declared};
use gateway::{DoorSettings, LimitSettings, Rate};
use http::Request;
use tracing::field::{Field, Visit};

use super::published_cards::published;
use super::world::{Reply, World, with_headers};

const CARD: &str = "4242 4242 4242 4242";
const DIGITS: &str = "4242424242424242";

/// The field that a refusal names; it must name nothing else.
#[track_caller]
fn refused(reply: &Reply) -> String {
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "card_number"), "{}", reply.text);
    assert!(!reply.text.contains("4242"), "{}", reply.text);
    let errors = reply.json()["errors"].clone();
    assert_eq!(errors.as_array().unwrap().len(), 1);
    errors[0]["field"].as_str().unwrap().to_owned()
}

async fn send(world: &World, kind: &str, path: &str, body: impl Into<Body>) -> Reply {
    world.send(Request::post(path).header("content-type", kind).header("authorization", "Bearer tsk_1").body(body.into()).unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_is_refused_wherever_it_stands_and_the_field_is_named() {
    let world = World::new().await;
    let json = async |body: &str| refused(&world.post("/v1/things", body, &[]).await);
    assert_eq!(json(&format!(r#"{{"name": "my card {CARD}"}}"#)).await, "name");
    assert_eq!(json(&format!(r#"{{"name": {{"a": [1, "{DIGITS}"]}}}}"#)).await, "name.a[1]");
    assert_eq!(json(&format!(r#"{{"unknown": {DIGITS}}}"#)).await, "unknown");
    assert_eq!(json(&format!(r#"{{"{DIGITS}": 1}}"#)).await, "[card number removed]");
    assert_eq!(json(r#"{"name": "\u0034242424242424242"}"#).await, "name");

    let form = "application/x-www-form-urlencoded";
    assert_eq!(refused(&send(&world, form, "/form", "fail=&name=4242+4242+4242+4242").await), "name");
    assert_eq!(refused(&send(&world, form, "/form", "name=%2534%25324242424242%2d4242").await), "name");
    assert_eq!(refused(&send(&world, form, "/form", "4242-4242-4242-4242").await), "[card number removed]");

    assert_eq!(refused(&send(&world, "text/plain", "/v1/raw", DIGITS).await), "body");
    assert_eq!(refused(&send(&world, "text/csv", "/v1/raw", format!("id,card\n1,{DIGITS}\n")).await), "body, line 2");
    assert_eq!(refused(&send(&world, "application/octet-stream", "/v1/raw", format!(r#"{{"a": {DIGITS}}}"#)).await), "a");
    let part = |head: &str, text: &[u8]| {
        [b"--x1\r\ncontent-disposition: form-data; ", head.as_bytes(), b"\r\n\r\n", text, b"\r\n--x1--\r\n"].concat()
    };
    let parts = "multipart/form-data; boundary=\"x1\"";
    assert_eq!(refused(&send(&world, parts, "/v1/raw", part("name=\"note\"", CARD.as_bytes())).await), "note");
    let named = part(&format!("name=\"file\"; filename=\"{DIGITS}.txt\""), b"x");
    assert_eq!(refused(&send(&world, parts, "/v1/raw", named).await), "file");
    let picture = part("name=\"photo\"\r\ncontent-type: image/jpeg", b"\xFF\xD8\xFF 4242424242424242");
    assert_eq!(send(&world, parts, "/v1/raw", picture).await.status, 200, "a picture is no text");

    let get = async |path: &str, headers: &[(&str, &str)]| refused(&world.get(path, headers).await);
    assert_eq!(get("/v1/lines?size=7&note=4242%204242%204242%204242", &[]).await, "note");
    assert_eq!(get("/v1/lines?note=4242+4242+4242+4242", &[]).await, "note");
    assert_eq!(get("/v1/lines?%34242424242424242", &[]).await, "[card number removed]");
    assert_eq!(get("/v1/things/4242-4242-4242-4242", &[]).await, "size");
    assert_eq!(get("/nowhere/4242%204242%204242%204242", &[]).await, "path");
    for name in ["user-agent", "idempotency-key", "x-note", "referer", "origin", "accept-language"] {
        assert_eq!(get("/v1/lines", &[(name, CARD)]).await, name);
    }
    assert_eq!(get("/v1/lines", &[("x-4242424242424242", "1")]).await, "[card number removed]");
    assert_eq!(world.things(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_published_test_card_is_refused_in_body_query_header_and_form() {
    let many = Rate { requests: 1_000_000, per_s: 60 };
    let limits = LimitSettings { address: many, caller: many, public_form: many, ..LimitSettings::default() };
    let world = World::with(DoorSettings { limits, ..DoorSettings::default() }).await;
    for number in published() {
        let dashed: Vec<String> = number.as_bytes().chunks(4).map(|group| String::from_utf8_lossy(group).into_owned()).collect();
        let (spaced, dashed) = (dashed.join(" "), dashed.join("-"));
        let mut replies = Vec::new();
        for text in [number, &spaced, &dashed] {
            replies.push(world.post("/v1/things", &format!(r#"{{"name": "{text}"}}"#), &[]).await);
            replies.push(world.get(&format!("/v1/lines?size={}", text.replace(' ', "%20")), &[]).await);
            replies.push(world.get("/v1/lines", &[("x-note", text)]).await);
            replies.push(send(&world, "application/x-www-form-urlencoded", "/form", format!("name={}", text.replace(' ', "+"))).await);
        }
        replies.push(world.post("/v1/things", &format!(r#"{{"name": {number}}}"#), &[]).await);
        replies.push(world.post("/v1/things", &format!(r#"{{"name": "{{\"pan\": {number}}}"}}"#), &[]).await);
        for reply in replies {
            assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "card_number"), "{number}");
            assert!([number, &spaced, &dashed].iter().all(|text| !reply.text.contains(text)), "{}", reply.text);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_requests_pass_and_secrets_and_traces_are_not_looked_at() {
    let world = World::new().await;
    for name in
        ["Ada", "+44 20 7946 0018", "1763697315123456", "0198a1b2-4242-7424-8242-424242424242", "978-3-16-148410-0", "4006381333931"]
    {
        assert_eq!(world.post("/v1/things", &format!(r#"{{"name": "{name}"}}"#), &[]).await.status, 201, "{name}");
    }
    for (name, value) in
        [("cookie", "a=4242424242424242"), ("x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/4242424242424242;o=1")]
    {
        assert_eq!(world.get("/v1/lines", &[(name, value)]).await.status, 200, "{name}");
    }
    let reply = world.get("/v1/lines", &[("x-request-id", DIGITS)]).await;
    assert_ne!(reply.header("x-request-id"), DIGITS);
    assert_eq!(world.get("/v1/me", &[("authorization", "Bearer 4242424242424242")]).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_leaves_no_record_under_its_key() {
    let world = World::new().await;
    let key = [("idempotency-key", "once-1")];
    refused(&world.post("/v1/things", &format!(r#"{{"name": "{CARD}"}}"#), &key).await);
    let made = world.post("/v1/things", r#"{"name": "Ada"}"#, &key).await;
    assert_eq!((made.status.as_u16(), made.header("idempotent-replayed")), (201, ""), "the key is still free");
    assert_eq!(world.things(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_field_takes_its_form_and_nothing_else() {
    // Luhn-valid, in Diners Club's range, and a GTIN-14 with its check digit.
    let gtin = (0_u64..)
        .map(|n| format!("{}", 36_000_000_000_000 + n))
        .find(|text| gateway::card_numbers::find(text).is_some() && Declared::Gtin.is_proved_by(text.as_bytes()));
    let gtin = gtin.unwrap();
    let rules = CardNumberRules::default()
        .declaring("/form", "name", Declared::Gtin)
        .declaring("/v1/things", "name", Declared::Gtin)
        .declaring("/v1/lines", "gtin", Declared::Gtin)
        .declaring("/v1/raw", "lines[].gtin", Declared::Gtin);
    let world = World::with(DoorSettings { card_numbers: rules, ..DoorSettings::default() }).await;
    let form = "application/x-www-form-urlencoded";
    let lines = |gtin: &str| format!(r#"{{"lines": [{{"gtin": "4006381333931"}}, {{"gtin": "{gtin}"}}]}}"#);
    assert_eq!(world.post("/v1/things", &format!(r#"{{"name": "{gtin}"}}"#), &[]).await.status, 201);
    assert_eq!(send(&world, form, "/form", format!("name={gtin}")).await.status, 200);
    assert_eq!(world.get(&format!("/v1/lines?gtin={gtin}"), &[]).await.status, 200);
    assert_eq!(send(&world, "application/json", "/v1/raw", lines(&gtin)).await.status, 200);

    assert_eq!(world.post("/v1/secrets", &format!(r#"{{"name": "{gtin}"}}"#), &[]).await.code(), "card_number", "declared elsewhere");
    assert_eq!(world.get(&format!("/v1/lines?note={gtin}"), &[]).await.code(), "card_number", "another field");
    for other in [DIGITS, "36227206271667", &format!("{gtin} {DIGITS}")] {
        assert_eq!(world.post("/v1/things", &format!(r#"{{"name": "{other}"}}"#), &[]).await.code(), "card_number", "{other}");
        assert_eq!(send(&world, "application/json", "/v1/raw", lines(other)).await.code(), "card_number", "{other}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_redacts_is_never_refused() {
    let rules = CardNumberRules::default().redacting("/v1/raw");
    let world = World::with(DoorSettings { card_numbers: rules, ..DoorSettings::default() }).await;
    let body = format!(r#"{{"event": "paid", "card": "{CARD}"}}"#);
    let request = with_headers(Request::post("/v1/raw?note=4242424242424242"), &[("content-type", "application/json"), ("x-note", CARD)]);
    let reply = world.send(request.body(Body::from(body.clone())).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text), (200, body.len().to_string()), "the bytes as they came, for the signature");
    let kept = gateway::card_numbers::redact_body("application/json", body.as_bytes());
    assert_eq!(&*kept, br#"{"event": "paid", "card": "[card number removed]"}"#);
    assert_eq!(world.post("/v1/things", &format!(r#"{{"name": "{CARD}"}}"#), &[]).await.code(), "card_number", "other routes refuse");
}

thread_local! {
    /// What this thread logs, once it wants to know.
    static HEARD: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Writes down every field of every event and span of the threads that listen. It is the listener of the whole process: whether a line of
/// the code is listened to is remembered for all threads, and asked of the thread that comes by first.
struct Listener;

impl Listener {
    fn note(line: &str) {
        HEARD.with_borrow_mut(|heard| heard.iter_mut().for_each(|heard| heard.push_str(line)));
    }

    /// What `work` logs on this thread.
    async fn hears(work: impl Future<Output = ()>) -> String {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            tracing::subscriber::set_global_default(Self).unwrap();
            tracing::callsite::rebuild_interest_cache();
        });
        HEARD.set(Some(String::new()));
        work.await;
        HEARD.take().unwrap()
    }
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Listener {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, span: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        let mut line = Line(String::new());
        span.record(&mut line);
        Self::note(&line.0);
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, values: &tracing::span::Record<'_>) {
        let mut line = Line(String::new());
        values.record(&mut line);
        Self::note(&line.0);
    }
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(format!("{} ", event.metadata().target()));
        event.record(&mut line);
        line.0.push('\n');
        Self::note(&line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn no_line_of_the_log_and_no_trace_holds_the_number() {
    let world = World::new().await;
    let heard = Listener::hears(async {
        refused(&world.post("/v1/things", &format!(r#"{{"name": "{CARD}"}}"#), &[]).await);
        refused(&world.get(&format!("/v1/things/{DIGITS}?note={DIGITS}"), &[("x-note", CARD), ("user-agent", DIGITS)]).await);
        refused(&world.get(&format!("/nowhere/{DIGITS}"), &[("x-request-id", DIGITS)]).await);
    });
    let heard = heard.await;
    assert_eq!(heard.matches("gateway::access").count(), 3, "{heard}");
    assert!(!heard.contains("4242"), "{heard}");
}
