//! Two people exchange cards by one tap.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{World, member, workspace};

async fn leads(world: &World, of: &kernel::Caller) -> Vec<leads::Lead> {
    leads::queries::list(&mut world.store.read(), workspace(of), &leads::queries::Filter::default(), None, 50).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tap_leaves_the_scanners_card_with_the_owner_of_the_other() {
    let world = World::new().await;
    let adas = world.card("ada", "Ada Lovelace").await;
    let bobs = world.card("bob", "Bob Hopper").await;
    let reply = world.ask("bob", "POST", &format!("/v1/cards/{adas}/exchange"), Value::Null).await;
    assert_eq!(reply.json(), json!({ "card": adas, "own_card": bobs }));
    let found = leads(&world, &world.ada).await;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].name.as_str(), found[0].email.as_ref().unwrap().as_str()), ("Bob Hopper", "bob@engines.example"));
    assert_eq!((found[0].source.kind.as_str(), found[0].source.id.as_str()), ("card", adas.as_str()));
    assert_eq!(found[0].assigned_to, Some(member(&world.ada)));
    assert!(leads(&world, &world.bob).await.is_empty(), "nothing comes into the scanner's own workspace");
    world.ask("bob", "POST", &format!("/v1/cards/{adas}/exchange"), json!({ "own_card": bobs })).await;
    assert_eq!(leads(&world, &world.ada).await.len(), 1, "the same person is the same lead");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_goes_back_to_its_page_and_counts_once() {
    let world = World::new().await;
    let adas = world.card("ada", "Ada").await;
    world.card("bob", "Bob").await;
    let send = |back: &'static str| {
        let request = Request::post(format!("/v1/cards/{adas}/exchange")).header("authorization", "Bearer tsk_bob");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        world.send(request.body(Body::from(format!("back={back}&once=tap-1"))).unwrap())
    };
    let reply = send("/K7QW2XR9?shared").await;
    assert_eq!((reply.status.as_u16(), reply.header("location")), (303, "/K7QW2XR9?shared"));
    assert_eq!(send("/K7QW2XR9?shared").await.status, 303);
    let found = leads(&world, &world.ada).await;
    let file = leads::queries::file(&mut world.store.read(), workspace(&world.ada), found[0].id).await.unwrap();
    assert_eq!(file.submissions.len(), 1);
    assert_eq!(send("//evil.example").await.status, 422, "the key belongs to another body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_never_leads_away_from_here() {
    let world = World::new().await;
    let adas = world.card("ada", "Ada").await;
    world.card("bob", "Bob").await;
    for back in ["//evil.example", "https://evil.example", "/\\evil.example", "evil"] {
        let request = Request::post(format!("/v1/cards/{adas}/exchange")).header("authorization", "Bearer tsk_bob");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let reply = world.send(request.body(Body::from(format!("back={back}"))).unwrap()).await;
        assert_eq!((reply.status.as_u16(), reply.header("location")), (200, ""), "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_exchanged_is_refused() {
    let world = World::new().await;
    let adas = world.card("ada", "Ada").await;
    let path = format!("/v1/cards/{adas}/exchange");
    let code = |reply: crate::world::Reply| reply.code();
    assert_eq!(code(world.ask("ada", "POST", &path, Value::Null).await), "own_card");
    assert_eq!(code(world.ask("bob", "POST", &path, Value::Null).await), "no_card_to_give");
    assert_eq!(code(world.ask("bob", "POST", &path, json!({ "own_card": adas })).await), "no_card_to_give", "another's card is not theirs");
    let bare = json!({ "profile": { "display_name": "Bob" } });
    world.ask("bob", "POST", "/v1/cards", bare).await;
    assert_eq!(code(world.ask("bob", "POST", &path, Value::Null).await), "nothing_to_give");
    assert_eq!(world.send(Request::post(&path).body(Body::empty()).unwrap()).await.status, 401);
    world.ask("ada", "POST", &format!("/v1/cards/{adas}/retire"), json!({})).await;
    assert_eq!(code(world.ask("bob", "POST", &path, Value::Null).await), "card_not_found");
    assert!(leads(&world, &world.ada).await.is_empty());
}
