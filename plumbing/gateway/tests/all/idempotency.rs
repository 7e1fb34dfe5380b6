//! One effect per key, and its answer again for everybody who repeats the request.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kernel::Caller;

use super::world::{World, workspace};

const BODY: &str = r#"{"name": "a"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_twice_is_one_effect_and_the_same_answer() {
    let world = World::new().await;
    let first = world.post("/v1/things", BODY, &[("idempotency-key", "k-1")]).await;
    assert_eq!((first.status.as_u16(), first.header("idempotent-replayed")), (201, ""));
    // The quoted form of the IETF draft is the same key.
    for key in ["k-1", "\"k-1\""] {
        let again = world.post("/v1/things", BODY, &[("idempotency-key", key)]).await;
        assert_eq!((again.status.as_u16(), again.header("idempotent-replayed")), (201, "true"));
        assert_eq!(again.text, first.text);
    }
    assert_eq!(world.things(1).await, 1);
    let without = world.post("/v1/things", BODY, &[]).await;
    assert_ne!(without.text, first.text);
    assert_eq!(world.things(1).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_request_under_the_same_key_is_refused() {
    let world = World::new().await;
    let key = ("idempotency-key", "k-1");
    assert_eq!(world.post("/v1/things/1", BODY, &[key]).await.status, 200);
    for (path, body) in [("/v1/things/1", r#"{"name": "b"}"#), ("/v1/things/2", BODY), ("/v1/things/1?x=1", BODY)] {
        let refused = world.post(path, body, &[key]).await;
        assert_eq!((refused.status.as_u16(), refused.code().as_str()), (422, "idempotency_key_reused"), "{path} {body}");
    }
    assert_eq!(world.things(1).await, 1);
    // Another route and another workspace have keys of their own.
    assert_eq!(world.post("/v1/things", BODY, &[key]).await.status, 201);
    let bearer = http::Request::post("/v1/things/1").header("authorization", "Bearer tsk_2").header("content-type", "application/json");
    let other = world.send(bearer.header("idempotency-key", "k-1").body(BODY.into()).unwrap()).await;
    assert_eq!((other.status.as_u16(), other.header("idempotent-replayed")), (200, ""));
    assert_eq!((world.things(1).await, world.things(2).await), (2, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_colleague_never_sees_the_answer_recorded_for_another() {
    let world = World::new().await;
    assert_eq!(world.post("/v1/things", BODY, &[("idempotency-key", "k-1")]).await.status, 201);
    let cookie = [("cookie", "tessera_session=session-1"), ("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    let request = super::world::with_headers(http::Request::post("/v1/things"), &cookie).header("idempotency-key", "k-1");
    let colleague = world.send(request.body(BODY.into()).unwrap()).await;
    assert_eq!(colleague.code(), "idempotency_key_reused");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_at_once_one_does_it_and_nineteen_replay() {
    let world = Arc::new(World::new().await);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.post("/v1/things", BODY, &[("idempotency-key", "k-1")]).await })
        })
        .collect();
    let (mut texts, mut replayed) = (HashSet::new(), 0);
    for task in tasks {
        let reply = task.await.unwrap();
        assert_eq!(reply.status, 201, "{}", reply.text);
        replayed += usize::from(reply.header("idempotent-replayed") == "true");
        texts.insert(reply.text);
    }
    assert_eq!((texts.len(), replayed), (1, 19));
    assert_eq!(world.things(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_inside_the_unit_is_not_recorded() {
    let world = World::new().await;
    let key = ("idempotency-key", "k-1");
    let failed = world.post("/v1/things", r#"{"name": "a", "fail": true}"#, &[key]).await;
    assert_eq!((failed.status.as_u16(), failed.json()["errors"][0]["field"].as_str()), (422, Some("fail")));
    assert_eq!(world.things(1).await, 0);
    // The key is free again, also for the mended body.
    assert_eq!(world.post("/v1/things", BODY, &[key]).await.status, 201);
    assert_eq!(world.things(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_with_a_secret_is_never_kept() {
    let world = World::new().await;
    let key = ("idempotency-key", "k-1");
    assert_eq!(world.post("/v1/secrets", r#"{"name": "hush"}"#, &[key]).await.status, 201);
    let again = world.post("/v1/secrets", r#"{"name": "hush"}"#, &[key]).await;
    assert_eq!((again.status.as_u16(), again.code().as_str()), (409, "answer_not_kept"));
    assert!(!again.text.contains("hush"));
    assert_eq!(world.things(1).await, 1, "and it is done only once");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_body_is_replayed_too() {
    let world = World::new().await;
    for replayed in ["", "true"] {
        let reply = world.post("/v1/done", "", &[("idempotency-key", "k-1")]).await;
        assert_eq!((reply.status.as_u16(), reply.text.as_str(), reply.header("idempotent-replayed")), (204, "", replayed));
    }
    assert_eq!(world.things(1).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_kept_for_a_day_and_then_its_key_is_free() {
    let world = World::new().await;
    let key = ("idempotency-key", "k-1");
    world.post("/v1/things", BODY, &[key]).await;
    world.store.clock().advance(Duration::from_secs(24 * 3600 - 1));
    assert_eq!(world.post("/v1/things", BODY, &[key]).await.header("idempotent-replayed"), "true");
    world.store.clock().advance(Duration::from_secs(1));
    // Free even before a sweep has been there, and for another body.
    let later = world.post("/v1/things", r#"{"name": "later"}"#, &[key]).await;
    assert_eq!((later.status.as_u16(), later.header("idempotent-replayed")), (201, ""));
    assert_eq!(world.things(1).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_forgets_what_is_over_in_bounded_steps() {
    let world = World::new().await;
    for number in 0..3 {
        world.post("/v1/things", BODY, &[("idempotency-key", &format!("old-{number}"))]).await;
    }
    world.store.clock().advance(Duration::from_secs(24 * 3600));
    world.post("/v1/things", BODY, &[("idempotency-key", "new")]).await;
    let system = Caller::system("sweep");
    let sweep = || world.store.write(&system, (), |tx, ()| Box::pin(async move { gateway::sweep_expired(tx).await }));
    assert_eq!(sweep().await.unwrap(), 3);
    assert_eq!(sweep().await.unwrap(), 0);
    assert_eq!(world.post("/v1/things", BODY, &[("idempotency-key", "new")]).await.header("idempotent-replayed"), "true");
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_takes_the_words_out_of_recorded_answers_and_keeps_the_effect_once() {
    let world = World::new().await;
    let key = ("idempotency-key", "k-1");
    let made = world.post("/v1/things", BODY, &[key]).await;
    let other = world.post("/v1/things", BODY, &[("idempotency-key", "k-2")]).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let system = Caller::system("erasure");
    let erase = world.store.write(&system, id, |tx, id| Box::pin(async move { gateway::erase_answers(tx, workspace(1), &id).await }));
    assert_eq!(erase.await.unwrap(), 1);
    assert_eq!(world.post("/v1/things", BODY, &[key]).await.code(), "answer_not_kept");
    assert_eq!(world.post("/v1/things", BODY, &[("idempotency-key", "k-2")]).await.text, other.text);
    assert_eq!(world.things(1).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_key_is_refused_before_anything_is_done() {
    let world = World::new().await;
    for key in ["", "\"", "a\u{e9}", &"k".repeat(300)] {
        let reply = world.post("/v1/things", BODY, &[("idempotency-key", key)]).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (400, "idempotency_key_invalid"), "{key:?}");
    }
    assert_eq!(world.things(1).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let world = World::new().await;
    assert_eq!(world.store.prepare_all(gateway::STATEMENTS).await, Vec::<String>::new());
}
