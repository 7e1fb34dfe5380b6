//! Leads are worked, exchanged and forgotten; every change is on record, and a request that is repeated is done once.

use serde_json::{Value, json};

use crate::client::{Client, PHONE};
use crate::dump::rows_with;
use crate::parties::Receiver;
use crate::world::{World, leave_details};

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_found_in_no_table_and_no_kept_mail() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let receiver = Receiver::start().await;
    ada.post("/v1/webhooks", json!({ "url": receiver.url() })).await.expect(201);
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let mut visitor = world.stranger().with_agent(PHONE);
    let fields = [
        ("name", "Zebedee Quillfeather"),
        ("email", "zebedee@quillfeather.example"),
        ("phone", "+44 20 7946 0777"),
        ("company", "Quillfeather Pens"),
        ("message", "Inkwells by the gross"),
    ];
    leave_details(&world, &mut visitor, &made.code, &fields).await.expect(303);
    // Known again under another address, by phone.
    let again = [("name", "Z. Quillfeather"), ("email", "other@quillfeather.example"), ("phone", "+442079460777")];
    leave_details(&world, &mut visitor, &made.code, &again).await.expect(303);
    world.drain().await;
    let list = ada.get("/v1/leads").await.expect(200).json();
    assert_eq!((list["items"].as_array().unwrap().len(), &list["items"][0]["submissions"]), (1, &json!(2)));
    let lead = list["items"][0]["id"].as_str().unwrap().to_owned();
    let note = json!({ "body": "Quillfeather wants a demonstration" });
    ada.ask_once("POST", &format!("/v1/leads/{lead}/notes"), note, Some("note-1")).await.expect(201);
    let version = ada.get(&format!("/v1/leads/{lead}")).await.expect(200).json()["lead"]["version"].clone();
    ada.patch(&format!("/v1/leads/{lead}"), json!({ "version": version, "tags": ["quillfeather"], "status": "qualified" }))
        .await
        .expect(200);
    let body = json!({ "name": "Zebedee Quillfeather", "email": "zebedee@quillfeather.example" });
    ada.ask_once("POST", "/v1/leads", body, Some("lead-1")).await.expect(201);
    world.drain().await;
    let export = ada.post("/v1/leads/export-person", json!({ "email": "zebedee@quillfeather.example" })).await.expect(200).json();
    assert_eq!(export["leads"][0]["submissions"].as_array().unwrap().len(), 3);

    let traces = ["quillfeather", "2079460777", "Inkwells"];
    let before = world.database().dump().await;
    for trace in traces {
        assert!(!rows_with(&before, trace).is_empty(), "{trace} is kept somewhere, or this test proves nothing");
    }
    assert!(world.mails().iter().any(|mail| mail.text.contains("Quillfeather")));

    let erased = ada.post("/v1/leads/erase-person", json!({ "email": "zebedee@quillfeather.example" })).await.expect(200).json();
    assert_eq!(erased["leads"], json!([lead]));
    world.drain().await;
    let after = world.database().dump().await;
    for trace in traces {
        let left = rows_with(&after, trace);
        assert!(left.is_empty(), "{trace} is left: {left:#?}");
    }
    for mail in world.mails() {
        for text in [&mail.to, &mail.subject, &mail.text, &mail.html, &mail.raw] {
            assert!(!text.to_lowercase().contains("quillfeather"), "a kept mail speaks of the person: {text}");
        }
    }
    let file = ada.get(&format!("/v1/leads/{lead}")).await.expect(200).json();
    assert_eq!((&file["lead"]["name"], &file["lead"]["status"]), (&json!(""), &json!("qualified")), "a counter remains");
    ada.get("/v1/leads?q=quillfeather").await.expect(200);
    assert_eq!(ada.post("/v1/leads/export-person", json!({ "phone": "+44 20 7946 0777" })).await.expect(200).json()["leads"], json!([]));
    // The same form again, the same key again: nothing comes back.
    let body = json!({ "name": "Zebedee Quillfeather", "email": "zebedee@quillfeather.example" });
    ada.ask_once("POST", "/v1/leads", body, Some("lead-1")).await.expect(409);
    assert!(rows_with(&world.database().dump().await, "quillfeather").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_people_who_are_signed_in_exchange_cards_by_one_tap() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let (_, mut bob) = world.founded("Bobbins", "bob@bobbins.example", "Bob Bobbin").await;
    let hers = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let his = world.card(&mut bob, "Bob Bobbin", "bob@bobbins.example").await;
    bob.page(&format!("/{}", hers.code)).await.expect(200);
    let tap = [("code", hers.code.as_str()), ("back", &format!("/{}", hers.code)), ("once", "tap-1")];
    let action = format!("/v1/cards/{}/exchange", hers.card);
    assert_eq!(bob.form(&action, &tap).await.expect(303).header("location"), format!("/{}", hers.code));
    bob.form(&action, &tap).await.expect(303);
    world.drain().await;
    let leads = ada.get("/v1/leads").await.expect(200).json();
    assert_eq!(leads["items"].as_array().unwrap().len(), 1);
    let lead = &leads["items"][0];
    assert_eq!(
        (&lead["email"], &lead["source"]["id"], &lead["submissions"]),
        (&json!("bob@bobbins.example"), &json!(hers.card), &json!(1))
    );
    assert!(world.told("ada@engines.example").iter().any(|mail| mail.text.contains("Bob Bobbin")));
    assert_eq!(bob.get("/v1/leads").await.expect(200).json()["items"], json!([]), "the lead is hers, not his");
    // Nobody exchanges cards with themselves, and a stranger has none.
    bob.post(&format!("/v1/cards/{}/exchange", his.card), json!({})).await.expect(409);
    world.stranger().post(&action, json!({})).await.expect(401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_request_is_answered_alike_and_done_once() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let count = async |ada: &mut Client| ada.get("/v1/codes?limit=200").await.expect(200).json()["items"].as_array().unwrap().len();
    let first = ada.ask_once("POST", "/v1/codes", json!({ "name": "once" }), Some("k-1")).await.expect(201);
    let replay = ada.ask_once("POST", "/v1/codes", json!({ "name": "once" }), Some("k-1")).await.expect(201);
    assert_eq!(first.bytes, replay.bytes);
    let reused = ada.ask_once("POST", "/v1/codes", json!({ "name": "twice" }), Some("k-1")).await.expect(422);
    assert_eq!(reused.problem(), "idempotency_key_reused");
    assert_eq!(count(&mut ada).await, 1);
    // A refusal is not recorded: the same key may carry the mended request.
    ada.ask_once("POST", "/v1/codes", json!({ "scan_limit": 0 }), Some("k-2")).await;
    let racing: Vec<_> = (0..8)
        .map(|_| {
            let mut client = ada.clone();
            tokio::spawn(
                async move { client.ask_once("POST", "/v1/codes", json!({ "name": "race" }), Some("k-3")).await.expect(201).bytes },
            )
        })
        .collect();
    let mut answers = std::collections::BTreeSet::new();
    for answer in racing {
        answers.insert(answer.await.unwrap());
    }
    assert_eq!((answers.len(), count(&mut ada).await), (1, 2));
    // A secret is shown once and not again.
    ada.ask_once("POST", "/v1/keys", json!({ "name": "k", "scopes": ["codes:read"] }), Some("k-4")).await.expect(201);
    let again = ada.ask_once("POST", "/v1/keys", json!({ "name": "k", "scopes": ["codes:read"] }), Some("k-4")).await.expect(409);
    assert_eq!(again.problem(), "answer_not_kept");
    assert_eq!(ada.get("/v1/keys").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_change_is_in_the_audit_trail_with_who_did_it_and_no_personal_data() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let me = ada.get("/v1/session").await.expect(200).at("/workspace/member");
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let other = world.card(&mut ada, "Ada Byron", "byron@engines.example").await;
    let grace = world.join(&mut ada, "grace@engines.example", "member").await.get("/v1/session").await.expect(200).at("/workspace/member");
    let lead =
        ada.post("/v1/leads", json!({ "name": "Charles Babbage", "email": "charles@difference.example" })).await.expect(201).at("/id");
    let key = ada.post("/v1/keys", json!({ "name": "k", "scopes": ["codes:read"] })).await.expect(201).at("/id");
    let hook = ada.post("/v1/webhooks", json!({ "url": "https://example.com/hook" })).await.expect(201).at("/endpoint/id");
    let open = ada.post("/v1/invitations", json!({ "email": "x@example.com", "role": "viewer" })).await.expect(201).at("/id");
    let wording = ada.get("/v1/templates/lead_captured/en").await.expect(200).json()["wording"].clone();
    let (card, code) = (format!("/v1/cards/{}", made.card), format!("/v1/codes/{}", made.code));
    let profile = json!({ "profile": { "display_name": "Ada King" } });
    let url = json!({ "destination": { "kind": "url", "url": "https://example.com/" } });
    let changes: Vec<(&str, String, Value)> = vec![
        ("POST", "/v1/codes".into(), json!({ "name": "a" })),
        ("POST", "/v1/codes/batch".into(), json!({ "count": 3 })),
        ("PATCH", code.clone(), json!({ "name": "b" })),
        ("PUT", "/v1/codes/recording".into(), json!({ "address": true, "place": true, "device": true })),
        ("PUT", format!("{code}/alerts"), json!({ "told": true })),
        ("POST", format!("{code}/pause"), json!(null)),
        ("POST", format!("{code}/resume"), json!(null)),
        ("POST", format!("{code}/bind"), url),
        ("POST", format!("{code}/release"), json!(null)),
        ("PUT", format!("{card}/codes/{}", made.code), json!(null)),
        ("DELETE", format!("{card}/codes/{}", made.code), json!(null)),
        ("POST", format!("{code}/retire"), json!(null)),
        ("PUT", card.clone(), profile),
        ("PUT", format!("{card}/owner"), json!({ "owner": "none" })),
        ("POST", format!("{card}/codes"), json!(null)),
        ("POST", format!("{card}/retire"), json!({ "successor": other.card })),
        ("PATCH", format!("/v1/leads/{lead}"), json!({ "version": 1, "status": "contacted" })),
        ("POST", format!("/v1/leads/{lead}/notes"), json!({ "body": "Charles called" })),
        ("PUT", "/v1/leads/consent".into(), json!({ "text": "I agree." })),
        ("POST", "/v1/leads/export-person".into(), json!({ "email": "charles@difference.example" })),
        ("GET", "/v1/leads.csv".into(), json!(null)),
        ("POST", "/v1/leads/erase-person".into(), json!({ "email": "charles@difference.example" })),
        ("PATCH", format!("/v1/webhooks/{hook}"), json!({ "description": "d" })),
        ("POST", format!("/v1/webhooks/{hook}/rotate"), json!({})),
        ("DELETE", format!("/v1/webhooks/{hook}"), json!(null)),
        ("PUT", "/v1/templates/lead_captured/en".into(), wording),
        ("DELETE", "/v1/templates/lead_captured/en".into(), json!(null)),
        ("PATCH", "/v1/workspace".into(), json!({ "name": "Engines" })),
        ("PATCH", format!("/v1/members/{grace}"), json!({ "role": "viewer" })),
        ("DELETE", format!("/v1/members/{grace}"), json!(null)),
        ("DELETE", format!("/v1/invitations/{open}"), json!(null)),
        ("DELETE", format!("/v1/keys/{key}"), json!(null)),
        ("PATCH", "/v1/session".into(), json!({ "name": "Ada King" })),
        ("POST", "/v1/session/password".into(), json!({ "new": "correct horse battery" })),
    ];
    for (method, path, body) in changes {
        let before = ada.get("/v1/audit?limit=1").await.expect(200).at("/items/0/id");
        world.pass(std::time::Duration::from_millis(2));
        let reply = ada.ask(method, &path, body).await;
        assert!(reply.status.is_success(), "{method} {path}: {} {}", reply.status, reply.text());
        let trail = ada.get("/v1/audit?limit=10").await.expect(200).json();
        let line = trail["items"]
            .as_array()
            .unwrap()
            .iter()
            .take_while(|line| line["id"] != before.as_str())
            .find(|line| line["actor"] == me.as_str());
        assert!(line.is_some(), "{method} {path} left no trace: {trail}");
    }
    let trail = world.database().texts("select details from audit_log").await.join("\n");
    for personal in ["Charles", "charles", "grace@", "x@example.com", "Lovelace", "battery"] {
        assert!(!trail.contains(personal), "{personal} is in the trail, which is kept for ever");
    }
}
