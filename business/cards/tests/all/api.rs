//! Cards as their owners make and change them.

use serde_json::{Value, json};
use store::Sql;

use crate::world::{World, member, picture, profile};

static FACTS: Sql = Sql::new("select payload from outbox_log where name = 'cards.changed' order by payload");
static PHOTOS: Sql = Sql::new("select count(*) from cards_photos");

#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_made_read_changed_and_listed() {
    let world = World::new().await;
    let made = world.ask("ada", "POST", "/v1/cards", json!({ "profile": profile("Ada Lovelace") })).await.json();
    assert_eq!((made["version"].as_i64(), made["state"].as_str()), (Some(1), Some("live")));
    assert_eq!(made["owner"], member(&world.ada).to_string());
    assert_eq!(made["codes"], json!([]));
    let id = made["id"].as_str().unwrap();
    let path = format!("/v1/cards/{id}");

    let mut changed = profile("Ada King");
    changed["note"] = json!("Countess");
    let reply = world.ask("ada", "PUT", &path, json!({ "version": 1, "profile": changed })).await;
    assert_eq!(reply.json()["version"], 2);
    let stale = world.ask("ada", "PUT", &path, json!({ "version": 1, "profile": profile("Ada Byron") })).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (409, "version_conflict"));
    let read = world.ask("reader", "GET", &path, Value::Null).await.json();
    assert_eq!((read["profile"]["display_name"].as_str(), read["profile"]["note"].as_str()), (Some("Ada King"), Some("Countess")));

    let second = world.card("ada", "Charles Babbage").await;
    let list = |query: &'static str| world.ask("ada", "GET", query, Value::Null);
    let names = |reply: Value| -> Vec<String> {
        reply["items"].as_array().unwrap().iter().map(|card| card["profile"]["display_name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(list("/v1/cards").await.json()), ["Charles Babbage", "Ada King"]);
    assert_eq!(names(list("/v1/cards?q=BABB&owner=me&state=live").await.json()), ["Charles Babbage"]);
    assert_eq!(names(list("/v1/cards?state=retired").await.json()), Vec::<String>::new());
    let first = list("/v1/cards?limit=1").await.json();
    assert_eq!(first["next"], second.as_str());
    let reply = world.ask("ada", "GET", &format!("/v1/cards?limit=1&after={second}"), Value::Null).await.json();
    assert_eq!((names(reply.clone()), reply.get("next")), (vec!["Ada King".to_owned()], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_cannot_be_right_are_named() {
    let world = World::new().await;
    let fields = |reply: Value| -> Vec<String> {
        reply["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    };
    let bad = json!({ "profile": { "emails": [{ "value": "nobody" }], "links": [{ "url": "javascript:alert(1)" }], "colour": "red" } });
    let reply = world.ask("ada", "POST", "/v1/cards", bad).await;
    assert_eq!(reply.status, 422);
    assert_eq!(fields(reply.json()), ["display_name", "emails[0].value", "links[0].url", "colour"]);
    let unknown = world.ask("ada", "POST", "/v1/cards", json!({ "profile": { "display_name": "A", "nickname": "B" } })).await;
    assert_eq!((unknown.status.as_u16(), fields(unknown.json())), (422, vec!["profile.nickname".to_owned()]));
    let code = world.ask("ada", "POST", "/v1/cards", json!({ "code": "ABC", "profile": profile("Ada") })).await;
    assert_eq!(fields(code.json()), ["code"]);
    let owner = json!({ "owner": member(&world.bob), "profile": profile("Ada") });
    assert_eq!(fields(world.ask("ada", "POST", "/v1/cards", owner).await.json()), ["owner"], "not a member of this workspace");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_changes_a_card_and_another_workspace_does_not_see_it() {
    let world = World::new().await;
    let id = world.card("ada", "Ada Lovelace").await;
    let body = || json!({ "profile": profile("Eve") });
    assert_eq!(world.ask("reader", "PUT", &format!("/v1/cards/{id}"), body()).await.status, 403);
    assert_eq!(world.ask("nobody", "GET", "/v1/cards", Value::Null).await.status, 401);
    for (method, path, body) in [
        ("GET", String::new(), Value::Null),
        ("PUT", String::new(), body()),
        ("PUT", "/owner".to_owned(), json!({ "owner": "none" })),
        ("POST", "/retire".to_owned(), json!({})),
        ("DELETE", "/photo".to_owned(), Value::Null),
        ("POST", "/codes".to_owned(), Value::Null),
    ] {
        let reply = world.ask("bob", method, &format!("/v1/cards/{id}{path}"), body).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "card_not_found"), "{method} {path}");
    }
    assert_eq!(world.upload("bob", &id, picture(1)).await.code(), "card_not_found");
    assert_eq!(world.ask("bob", "GET", "/v1/cards", Value::Null).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_photo_is_cut_shared_and_forgotten_with_its_last_card() {
    let world = World::new().await;
    let (one, two) = (world.card("ada", "Ada").await, world.card("ada", "Charles").await);
    let path = world.upload("ada", &one, picture(1)).await.json()["photo"].as_str().unwrap().to_owned();
    let photo = world.get(&path, &[]).await;
    assert_eq!((photo.status.as_u16(), photo.header("content-type")), (200, "image/jpeg"));
    assert_eq!(photo.header("cache-control"), "public, max-age=31536000, immutable");
    let image = image::load_from_memory(&photo.bytes).unwrap();
    assert_eq!((image.width(), image.height()), (200, 200));
    assert_eq!(world.get(&path, &[("if-none-match", photo.header("etag"))]).await.status, 304);

    assert_eq!(world.upload("ada", &two, picture(1)).await.json()["photo"], path.as_str(), "the same content has the same address");
    assert_eq!(world.ask("ada", "DELETE", &format!("/v1/cards/{one}/photo"), Value::Null).await.status, 200);
    assert_eq!(world.get(&path, &[]).await.status, 200, "the other card shows it");
    world.upload("ada", &two, picture(200)).await;
    assert_eq!(world.get(&path, &[]).await.status, 404);
    assert_eq!(world.count(&PHOTOS).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_photo_is_refused_by_name() {
    let world = World::new().await;
    let id = world.card("ada", "Ada").await;
    let reply = world.upload("ada", &id, b"<svg onload=alert(1)>".to_vec()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (422, "photo_format_unknown"));
    assert_eq!(reply.json()["errors"][0]["field"], "photo");
    assert_eq!(world.upload("ada", &id, vec![0; cards::UPLOAD_BYTES_MAX + 1]).await.status, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_creation_makes_one_card() {
    let world = World::new().await;
    let send = || {
        let request = http::Request::post("/v1/cards").header("authorization", "Bearer tsk_ada").header("content-type", "application/json");
        let body = json!({ "code": "new", "profile": profile("Ada") }).to_string();
        world.send(request.header("idempotency-key", "k1").body(axum::body::Body::from(body)).unwrap())
    };
    let (first, second) = (send().await.json(), send().await.json());
    assert_eq!(first, second);
    assert_eq!(first["codes"].as_array().unwrap().len(), 1);
    assert_eq!(world.ask("ada", "GET", "/v1/cards", Value::Null).await.json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_told_with_identifiers_only() {
    let world = World::new().await;
    let id = world.card("ada", "Ada Lovelace").await;
    world.ask("ada", "PUT", &format!("/v1/cards/{id}"), json!({ "profile": profile("Ada King") })).await;
    world.ask("ada", "PUT", &format!("/v1/cards/{id}"), json!({ "profile": profile("Ada King") })).await;
    world.ask("ada", "POST", &format!("/v1/cards/{id}/retire"), json!({})).await;
    let facts: Vec<Value> = world.column(&FACTS).await.iter().map(|fact| serde_json::from_str(fact).unwrap()).collect();
    let told = |version: i64, is_live: bool| json!({ "card": id, "version": version, "is_live": is_live });
    assert_eq!(facts.len(), 3, "what changes nothing is not told: {facts:?}");
    for fact in [told(1, true), told(2, true), told(3, false)] {
        assert!(facts.contains(&fact), "{facts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_has_a_bounded_number_of_cards() {
    let world = World::new().await;
    for _ in 1..cards::CARDS_PER_OWNER_MAX {
        world.card("ada", "Ada").await;
    }
    let last = || world.ask("ada", "POST", "/v1/cards", json!({ "profile": profile("Ada") }));
    let (one, two) = tokio::join!(last(), last());
    let mut statuses = [one.status.as_u16(), two.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "of two at once for the last place one gets it");
    let reply = world.ask("ada", "POST", "/v1/cards", json!({ "profile": profile("Ada") })).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (409, "too_many_cards"));
    let nobodys = world.ask("ada", "POST", "/v1/cards", json!({ "owner": "none", "profile": profile("Reception") })).await;
    assert_eq!((nobodys.status.as_u16(), nobodys.json().get("owner")), (201, None));
}
