//! Printed codes and the cards they lead to.

use codes::{Destination, PublicCode};
use serde_json::{Value, json};

use crate::world::{World, profile, workspace};

async fn destination(world: &World, code: &str) -> Option<Destination> {
    let code = PublicCode::parse(code.as_bytes()).unwrap();
    let found = codes::queries::find(&mut world.store.read(), workspace(&world.ada), code).await.unwrap();
    found.unwrap().state.destination().cloned()
}

fn card(id: &str) -> Option<Destination> {
    Destination::thing("card", id)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_comes_with_its_code_in_one_step() {
    let world = World::new().await;
    let made = world.ask("ada", "POST", "/v1/cards", json!({ "code": "new", "profile": profile("Ada") })).await.json();
    let (id, code) = (made["id"].as_str().unwrap(), made["codes"][0]["code"].as_str().unwrap());
    assert_eq!(made["codes"][0]["url"], format!("https://t.example/{code}"));
    assert_eq!(destination(&world, code).await, card(id));
    let id = id.parse().unwrap();
    let scanned = cards::queries::card_for_scan_everywhere(&mut world.store.read(), id).await.unwrap().unwrap();
    assert_eq!((scanned.id, scanned.workspace), (id, workspace(&world.ada)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_code_is_refused_leaves_no_card() {
    let world = World::new().await;
    let theirs = world.ask("bob", "POST", "/v1/cards", json!({ "code": "new", "profile": profile("Bob") })).await.json();
    let reply = world.ask("ada", "POST", "/v1/cards", json!({ "code": theirs["codes"][0]["code"], "profile": profile("Ada") })).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "code_not_found"), "another workspace's code");
    assert_eq!(world.ask("ada", "GET", "/v1/cards", Value::Null).await.json()["items"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_a_leaver_is_handed_on_without_printing() {
    let world = World::new().await;
    let leaver = world.card("ada", "Ada").await;
    let minted = world.ask("ada", "POST", &format!("/v1/cards/{leaver}/codes"), Value::Null).await;
    assert_eq!(minted.status, 201);
    let code = minted.json()["code"].as_str().unwrap().to_owned();
    let heir = world.card("ada", "Grace").await;

    let reply = world.ask("ada", "POST", &format!("/v1/cards/{leaver}/retire"), json!({ "successor": heir })).await.json();
    assert_eq!((reply["card"]["state"].as_str(), &reply["moved"]), (Some("retired"), &json!([code])));
    assert_eq!(destination(&world, &code).await, card(&heir));

    let reply =
        world.ask("ada", "POST", &format!("/v1/cards/{heir}/retire"), json!({ "redirect_url": "https://engines.example/team" })).await;
    assert_eq!(reply.json()["moved"], json!([code]));
    assert_eq!(destination(&world, &code).await.unwrap().location().as_deref(), Some("https://engines.example/team"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_left_with_a_retired_card_can_be_handed_on_later() {
    let world = World::new().await;
    let made = world.ask("ada", "POST", "/v1/cards", json!({ "code": "new", "profile": profile("Ada") })).await.json();
    let (id, code) = (made["id"].as_str().unwrap(), made["codes"][0]["code"].as_str().unwrap());
    let path = format!("/v1/cards/{id}/retire");
    assert_eq!(world.ask("ada", "POST", &path, json!({})).await.json()["moved"], json!([]));
    assert_eq!(destination(&world, code).await, card(id), "a scan finds the notice");
    let heir = world.card("ada", "Grace").await;
    assert_eq!(world.ask("ada", "POST", &path, json!({ "successor": heir })).await.json()["moved"], json!([code]));
    for (bad, field) in [
        (json!({ "successor": id }), "successor"),
        (json!({ "successor": world.card("bob", "Bob").await }), "successor"),
        (json!({ "redirect_url": "https://t.example/" }), ""),
        (json!({ "redirect_url": "javascript:alert(1)" }), "redirect_url"),
        (json!({ "successor": heir, "redirect_url": "https://e.example" }), "redirect_url"),
    ] {
        let reply = world.ask("ada", "POST", &path, bad.clone()).await;
        if !field.is_empty() {
            assert_eq!((reply.status.as_u16(), reply.json()["errors"][0]["field"].as_str()), (422, Some(field)), "{bad}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_bound_and_released_by_way_of_its_card() {
    let world = World::new().await;
    let (one, two) = (world.card("ada", "Ada").await, world.card("ada", "Grace").await);
    let code = world.ask("ada", "POST", &format!("/v1/cards/{one}/codes"), Value::Null).await.json()["code"].as_str().unwrap().to_owned();
    assert_eq!(world.ask("ada", "PUT", &format!("/v1/cards/{two}/codes/{code}"), Value::Null).await.status, 200);
    assert_eq!(destination(&world, &code).await, card(&two));
    let wrong = world.ask("ada", "DELETE", &format!("/v1/cards/{one}/codes/{code}"), Value::Null).await;
    assert_eq!((wrong.status.as_u16(), wrong.code().as_str()), (409, "code_leads_elsewhere"));
    assert_eq!(world.ask("ada", "DELETE", &format!("/v1/cards/{two}/codes/{code}"), Value::Null).await.status, 204);
    assert_eq!(destination(&world, &code).await, None);
    assert_eq!(world.ask("ada", "PUT", &format!("/v1/cards/{two}/codes/nonsense"), Value::Null).await.status, 404);
    world.ask("ada", "POST", &format!("/v1/cards/{two}/retire"), json!({})).await;
    let retired = world.ask("ada", "PUT", &format!("/v1/cards/{two}/codes/{code}"), Value::Null).await;
    assert_eq!(retired.code(), "card_retired");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_change_codes_hands_none_on_by_way_of_a_card() {
    let world = World::new().await;
    let made = world.ask("ada", "POST", "/v1/cards", json!({ "code": "new", "profile": profile("Ada") })).await.json();
    let (id, code) = (made["id"].as_str().unwrap(), made["codes"][0]["code"].as_str().unwrap());
    let heir = world.card("ada", "Grace").await;
    let path = format!("/v1/cards/{id}/retire");
    for body in [json!({ "redirect_url": "https://evil.example/" }), json!({ "successor": heir })] {
        assert_eq!(world.ask("editor", "POST", &path, body.clone()).await.status, 403, "{body}");
        assert_eq!(destination(&world, code).await, card(id), "{body}");
    }
    assert_eq!(world.ask("editor", "POST", &path, json!({})).await.status, 200, "a card may be retired without touching a code");
    assert_eq!(destination(&world, code).await, card(id));
}
