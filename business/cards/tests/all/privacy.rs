//! What is kept of a person, and that it goes.

use serde_json::{Value, json};
use store::Sql;

use crate::world::{SYSTEM, World, member, picture, profile, workspace};

static PHOTOS: Sql = Sql::new("select count(*) from cards_photos");
static CARDS: Sql = Sql::new("select profile from cards order by id");
static SEARCHED: Sql = Sql::new("select search_text from cards order by id");
static FACTS: Sql = Sql::new("select payload from outbox_log order by payload");
static AUDIT: Sql = Sql::new("select details from audit_log order by details");
static ANSWERS: Sql = Sql::new("select coalesce(body, '') from gateway_answers");

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_members_cards_are_empty_and_their_codes_find_a_notice() {
    let world = World::new().await;
    let request = http::Request::post("/v1/cards").header("authorization", "Bearer tsk_ada").header("content-type", "application/json");
    let body = json!({ "code": "new", "profile": profile("Ada Lovelace") }).to_string();
    let made = world.send(request.header("idempotency-key", "k1").body(axum::body::Body::from(body)).unwrap()).await.json();
    let id = made["id"].as_str().unwrap();
    world.upload("ada", id, picture(1)).await;
    let others = world.card("bob", "Bob Hopper").await;

    let input = (workspace(&world.ada), member(&world.ada));
    let erased = world
        .store
        .write(&SYSTEM, input, |tx, (workspace, member)| Box::pin(async move { cards::commands::erase(tx, workspace, member).await }));
    assert_eq!(erased.await.unwrap(), 1);

    let read = world.ask("ada", "GET", &format!("/v1/cards/{id}"), Value::Null).await.json();
    assert_eq!((read["state"].as_str(), read["profile"]["display_name"].as_str()), (Some("retired"), Some("—")));
    assert_eq!(read["codes"], made["codes"], "the code still leads to the notice and may be handed on");
    assert_eq!(world.get(&format!("/c/{id}.vcf"), &[]).await.status, 404);
    assert_eq!(world.count(&PHOTOS).await, 0);
    for sql in [&CARDS, &SEARCHED, &FACTS, &AUDIT, &ANSWERS] {
        for text in world.column(sql).await {
            assert!(!text.to_lowercase().contains("ada lovelace") && !text.contains("ada@engines.example"), "{text}");
        }
    }
    let kept = world.ask("bob", "GET", &format!("/v1/cards/{others}"), Value::Null).await.json();
    assert_eq!(kept["profile"]["display_name"], "Bob Hopper");
}
