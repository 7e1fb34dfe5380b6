//! People come in: by a link, by a password, by an invitation; and go out again.

use axum::body::Body;
use http::header;
use serde_json::json;
use std::time::Duration;

use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_link_signs_in_once_and_signing_out_ends_the_session() {
    let world = World::new().await;
    world.found("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let mut ada = world.stranger();
    ada.get("/v1/session").await.expect(401);
    let known = ada.post("/v1/session/link", json!({ "email": "ADA@engines.example" })).await.expect(202);
    let unknown = ada.post("/v1/session/link", json!({ "email": "nobody@engines.example" })).await.expect(202);
    assert_eq!(known.bytes, unknown.bytes, "the answer does not tell who is known");
    world.drain().await;
    assert!(world.told("nobody@engines.example").is_empty());
    let token = world.told("ada@engines.example")[0].token();

    // The development mailbox shows it at the machine itself, and to nobody from elsewhere.
    let page = world.stranger().at_home().page("/dev/mailbox").await.expect(200).text();
    let mail =
        page.split("href=\"").skip(1).find_map(|part| part.split_once('"').map(|(link, _)| link)).filter(|link| link.starts_with("/dev/"));
    let mail = mail.unwrap_or_else(|| panic!("no mail in {page}"));
    assert!(world.stranger().at_home().page(mail).await.expect(200).text().contains(&token));
    for path in ["/dev/mailbox", mail, &format!("{mail}.eml")] {
        world.stranger().page(path).await.expect(404);
    }

    let redeemed = ada.post("/v1/session/link/redeem", json!({ "token": token })).await.expect(201);
    let cookie = redeemed.header("set-cookie");
    for part in ["__Host-tessera_session=", "HttpOnly", "Secure", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(part), "{part} is missing in {cookie}");
    }
    assert_eq!(ada.get("/v1/session").await.expect(200).at("/person/name"), "Ada Lovelace");
    assert_eq!(world.stranger().post("/v1/session/link/redeem", json!({ "token": token })).await.expect(409).problem(), "link_spent");

    // A page of another site cannot use the cookie.
    let foreign = ada.request("DELETE", "/v1/session").header(header::ORIGIN, "https://evil.example");
    let mut foreign = foreign.body(Body::empty()).unwrap();
    foreign.headers_mut().insert(header::ORIGIN, "https://evil.example".parse().unwrap());
    ada.send(foreign).await.expect(403);

    let old = ada.cookie.clone();
    ada.delete("/v1/session").await.expect(204);
    assert_eq!(ada.cookie, None, "the cookie is taken back");
    ada.cookie = old;
    ada.get("/v1/session").await.expect(401);

    // A link that lies about for too long opens nothing.
    ada.cookie = None;
    ada.post("/v1/session/link", json!({ "email": "ada@engines.example" })).await.expect(202);
    world.drain().await;
    world.pass(Duration::from_secs(16 * 60));
    let late = world.told("ada@engines.example")[1].token();
    ada.post("/v1/session/link/redeem", json!({ "token": late })).await.expect(409);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_signs_in_and_a_wrong_one_says_nothing() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    ada.post("/v1/session/password", json!({ "new": "correct horse battery" })).await.expect(204);
    ada.delete("/v1/session").await.expect(204);

    let mut phone = world.stranger();
    let wrong =
        phone.post("/v1/session", json!({ "email": "ada@engines.example", "password": "correct horse batterie" })).await.expect(401);
    let unknown =
        phone.post("/v1/session", json!({ "email": "eve@engines.example", "password": "correct horse battery" })).await.expect(401);
    assert_eq!((wrong.problem(), unknown.problem()), ("sign_in_refused".into(), "sign_in_refused".into()));
    assert!(wrong.header("set-cookie").is_empty());
    let session =
        phone.post("/v1/session", json!({ "email": "ada@engines.example", "password": "correct horse battery" })).await.expect(201);
    assert_eq!(session.at("/via"), "password");
    assert_eq!(session.at("/person/has_password"), "true");

    // Another place, and both ended from here.
    let mut laptop = world.sign_in("ada@engines.example").await;
    assert_eq!(laptop.get("/v1/sessions").await.expect(200).json()["items"].as_array().unwrap().len(), 2);
    laptop.delete("/v1/sessions").await.expect(204);
    phone.get("/v1/session").await.expect(401);
    laptop.get("/v1/session").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_accepted_once_and_each_role_does_what_it_may() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let mut viewer = world.join(&mut ada, "viewer@engines.example", "viewer").await;
    let token = world.told("viewer@engines.example")[0].token();
    let again = json!({ "token": token, "name": "Somebody Else" });
    assert_eq!(world.stranger().post("/v1/invitations/accept", again).await.expect(409).problem(), "invitation_spent");
    let mut member = world.join(&mut ada, "member@engines.example", "member").await;
    let mut admin = world.join(&mut ada, "admin@engines.example", "admin").await;

    for client in [&mut viewer, &mut member, &mut admin, &mut ada] {
        client.get(&format!("/v1/cards/{}", made.card)).await.expect(200);
        client.get("/v1/leads").await.expect(200);
        client.get(&format!("/v1/codes/{}/scans", made.code)).await.expect(200);
    }
    let pause = format!("/v1/codes/{}/pause", made.code);
    viewer.post(&pause, json!(null)).await.expect(403);
    viewer.post("/v1/codes", json!({})).await.expect(403);
    viewer.post("/v1/cards", json!({ "profile": { "display_name": "V" } })).await.expect(403);
    viewer.get("/v1/leads.csv").await.expect(200);
    member.post(&pause, json!(null)).await.expect(200);
    member.post("/v1/leads/erase-person", json!({ "email": "a@example.com" })).await.expect(403);
    for client in [&mut viewer, &mut member] {
        client.get("/v1/audit").await.expect(403);
        client.get("/v1/keys").await.expect(403);
        client.post("/v1/invitations", json!({ "email": "x@example.com", "role": "owner" })).await.expect(403);
        client.post("/v1/webhooks", json!({ "url": "https://example.com/" })).await.expect(403);
        client.patch("/v1/workspace", json!({ "name": "Ours" })).await.expect(403);
    }
    admin.get("/v1/audit").await.expect(200);
    assert_eq!(
        admin.post("/v1/invitations", json!({ "email": "x@example.com", "role": "owner" })).await.expect(403).problem(),
        "owners_only"
    );

    let members = ada.get("/v1/members").await.expect(200).json();
    let id = |email: &str| {
        let items = members["items"].as_array().unwrap();
        items.iter().find(|item| item["email"] == email).unwrap()["id"].as_str().unwrap().to_owned()
    };
    let (viewer_id, member_id, ada_id) = (id("viewer@engines.example"), id("member@engines.example"), id("ada@engines.example"));
    ada.patch(&format!("/v1/members/{viewer_id}"), json!({ "role": "member" })).await.expect(200);
    viewer.post(&format!("/v1/codes/{}/resume", made.code), json!(null)).await.expect(200);
    assert_eq!(ada.patch(&format!("/v1/members/{ada_id}"), json!({ "role": "viewer" })).await.expect(409).problem(), "last_owner");
    // Whoever is removed is out at once.
    ada.delete(&format!("/v1/members/{member_id}")).await.expect(204);
    member.get("/v1/cards").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_does_what_its_scopes_say_until_it_ends() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let ends = world.store().clock().now().plus(Duration::from_secs(3_600));
    let body = json!({ "name": "signage", "scopes": ["codes:read"], "expires_at": ends });
    let made = ada.post("/v1/keys", body).await.expect(201);
    let mut reader = ada.with_key(&made.at("/key"));
    reader.get("/v1/codes").await.expect(200);
    reader.post("/v1/codes", json!({})).await.expect(403);
    reader.get("/v1/leads").await.expect(403);
    reader.get("/v1/keys").await.expect(403);
    reader.get("/v1/session").await.expect(403);
    assert!(!ada.get("/v1/keys").await.expect(200).text().contains(&made.at("/key")), "a key is shown once");
    ada.post("/v1/keys", json!({ "name": "x", "scopes": ["codes:burn"] })).await.expect(422);
    world.pass(Duration::from_secs(3_700));
    reader.get("/v1/codes").await.expect(401);

    let writer = ada.post("/v1/keys", json!({ "name": "printer", "scopes": ["codes:read", "codes:write"] })).await.expect(201);
    let mut program = ada.with_key(&writer.at("/key"));
    program.post("/v1/codes", json!({})).await.expect(201);
    // A key cannot make a stronger one.
    program.post("/v1/keys", json!({ "name": "y", "scopes": ["codes:read"] })).await.expect(403);
    ada.delete(&format!("/v1/keys/{}", writer.at("/id"))).await.expect(204);
    program.get("/v1/codes").await.expect(401);
    program.key = Some("tsk_nonsense".into());
    program.get("/v1/codes").await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_start_gives_a_card_a_link_and_a_key_that_work() {
    let world = World::new().await;
    let demo = tessera::seed(world.store(), true).await.unwrap().expect("a fresh installation is seeded");
    let again = tessera::seed(world.store(), true).await.unwrap().expect("and gives a link at every start");
    assert_eq!(demo.code, again.code);
    let mut visitor = world.stranger().with_agent(crate::client::PHONE);
    assert!(visitor.page(&format!("/{}", demo.code)).await.expect(200).text().contains("Ada Lovelace"));
    let mut owner = world.stranger();
    owner.post("/v1/session/link/redeem", json!({ "token": again.sign_in_token })).await.expect(201);
    assert_eq!(owner.get("/v1/cards?owner=me").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    let mut program = owner.with_key(&again.api_key.unwrap());
    program.get("/v1/leads").await.expect(200);
    program.get("/docs").await.expect(200);
}
