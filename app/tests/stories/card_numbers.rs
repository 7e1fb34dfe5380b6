//! Somebody writes a card number where it does not belong: it is refused by the door, and nothing of it is kept anywhere.

use axum::body::Body;
use http::{Request, header};
use serde_json::{Value, json};

use crate::client::{Client, PHONE, Reply};
use crate::dump::rows_with;
use crate::world::{World, leave_details};

const CARD: &str = "4242 4242 4242 4242";
const DIGITS: &str = "4242424242424242";

/// The field that the refusal names.
#[track_caller]
fn refused(reply: Reply) -> String {
    let reply = reply.expect(422);
    assert_eq!(reply.problem(), "card_number", "{}", reply.text());
    assert!(!reply.text().contains("4242"), "{}", reply.text());
    reply.at("/errors/0/field")
}

/// No table and no mail holds the number, however it is written.
async fn assert_nothing_is_kept(world: &World) {
    world.drain().await;
    let dump = world.database().dump().await;
    for text in [DIGITS, "4242 4242", "4242-4242", "4242%20", "4242+4242", "[card number"] {
        assert!(rows_with(&dump, text).is_empty(), "{text}: {:?}", rows_with(&dump, text));
        assert!(world.mails().iter().all(|mail| !mail.raw.contains(text)), "{text}");
    }
}

async fn page_of(client: &mut Client, request: Request<Body>) -> String {
    let page = client.send(request).await.expect(422);
    assert!(page.header("content-type").starts_with("text/html"), "{}", page.text());
    let text = page.text();
    assert!(text.contains("card number") && !text.contains("4242"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn no_free_text_of_the_api_takes_a_card_number() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Bakery", "ada@bakery.example", "Ada Lovelace").await;
    let printed = world.card(&mut ada, "Ada Lovelace", "ada@bakery.example").await;
    let mut open = async |code: &str, kind: &str| {
        let new = json!({ "code": code, "name": code, "kind": kind, "unit": "EUR" });
        ada.post("/v1/ledger/accounts", new).await.expect(201).at("/id")
    };
    let (cash, sales) = (open("cash", "asset").await, open("sales", "income").await);
    let lead = ada.post("/v1/leads", json!({ "name": "Grace", "email": "grace@x.example" })).await.expect(201).at("/id");
    let transfer = |field: &str, value: Value| {
        let mut transfer = json!({ "id": format!("trf_{:032x}", 1), "debit": cash, "credit": sales, "unit": "EUR", "amount": 100 });
        transfer[field] = value;
        json!({ "transfers": [transfer] })
    };
    let notes = format!("/v1/leads/{lead}/notes");
    let profile = |field: &str, value: Value| {
        let mut profile = json!({ "display_name": "Ada" });
        profile[field] = value;
        json!({ "profile": profile })
    };
    let nested = format!("{{\"pan\": \"{DIGITS}\"}}");
    for (path, body, field) in [
        ("/v1/ledger/transfers", transfer("memo", json!(format!("paid with {CARD}"))), "transfers[0].memo"),
        ("/v1/ledger/transfers", transfer("source", json!(format!("card:{DIGITS}"))), "transfers[0].source"),
        ("/v1/ledger/transfers", transfer("metadata", json!({ "card": { "number": DIGITS } })), "transfers[0].metadata.card.number"),
        ("/v1/ledger/transfers", transfer("metadata", json!({ "n": 4_242_424_242_424_242_i64 })), "transfers[0].metadata.n"),
        ("/v1/ledger/transfers", transfer("metadata", json!({ "raw": nested })), "transfers[0].metadata.raw"),
        ("/v1/ledger/transfers", transfer("metadata", json!({ DIGITS: 1 })), "transfers[0].metadata.[card number removed]"),
        ("/v1/ledger/accounts", json!({ "code": "x", "name": CARD, "kind": "asset", "unit": "EUR" }), "name"),
        ("/v1/codes", json!({ "name": "4242-4242-4242-4242" }), "name"),
        ("/v1/codes", json!({ "name": "a", "tags": ["b", CARD] }), "tags[1]"),
        ("/v1/cards", profile("note", json!(format!("IBAN no, card yes: {CARD}"))), "profile.note"),
        ("/v1/cards", profile("phones", json!([{ "label": "work", "value": CARD }])), "profile.phones[0].value"),
        ("/v1/leads", json!({ "name": CARD, "email": "a@b.example" }), "name"),
        (notes.as_str(), json!({ "body": format!("She pays with {DIGITS}.") }), "body"),
        ("/v1/session/link", json!({ "email": DIGITS }), "email"),
    ] {
        let reply = ada.ask_once("POST", path, body, Some("one-key")).await;
        assert_eq!(refused(reply), field, "{path}");
    }
    assert_eq!(refused(ada.get(&format!("/v1/leads?after={DIGITS}")).await), "after");
    assert_eq!(refused(ada.get(&format!("/v1/leads/{DIGITS}")).await), "id");
    assert_eq!(refused(ada.ask_once("POST", "/v1/codes", json!({ "name": "a" }), Some(CARD)).await), "idempotency-key");
    let agent = ada.clone().with_agent(DIGITS).get("/v1/leads").await;
    assert_eq!(refused(agent), "user-agent");
    assert_nothing_is_kept(&world).await;

    // The key that came with the refusals is still free, and the same requests without the number pass.
    let made = ada.ask_once("POST", "/v1/ledger/transfers", transfer("memo", json!("paid")), Some("one-key")).await.expect(200);
    assert_eq!((made.at("/results/0/result").as_str(), made.header("idempotent-replayed")), ("created", ""));
    ada.get(&format!("/v1/cards/{}", printed.card)).await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_with_a_card_number_answers_with_a_page_that_does_not_repeat_it() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Bakery", "ada@bakery.example", "Ada Lovelace").await;
    let printed = world.card(&mut ada, "Ada Lovelace", "ada@bakery.example").await;
    let mut visitor = world.stranger().with_agent(PHONE);
    for (field, text) in
        [("message", format!("Please charge {CARD}, 12/30, 123")), ("phone", DIGITS.to_owned()), ("company", CARD.to_owned())]
    {
        let mut fields = vec![("name", "Zebedee"), ("email", "zebedee@x.example"), (field, text.as_str())];
        fields.sort_unstable();
        let page = leave_details(&world, &mut visitor, &printed.code, &fields).await.expect(422);
        assert!(page.header("content-type").starts_with("text/html"), "{}", page.text());
        assert!(page.text().contains("card number") && page.text().to_lowercase().contains(field), "{}", page.text());
        assert!(!page.text().contains("4242"), "{}", page.text());
    }
    let mint = ada.request("POST", "/codes").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    let mint = mint.header(header::ACCEPT, "text/html").body(Body::from("url=&name=4242+4242%204242+4242")).unwrap();
    page_of(&mut ada, mint).await;
    assert_nothing_is_kept(&world).await;
    assert_eq!(ada.get("/v1/leads").await.expect(200).json()["items"], json!([]));
    let fields = [("name", "Zebedee"), ("email", "zebedee@x.example"), ("phone", "+44 20 7946 0777"), ("message", "Call me")];
    leave_details(&world, &mut visitor, &printed.code, &fields).await.expect(303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_with_a_card_number_in_its_query_is_answered_and_keeps_nothing_of_it() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Bakery", "ada@bakery.example", "Ada Lovelace").await;
    let printed = world.card(&mut ada, "Ada Lovelace", "ada@bakery.example").await;
    let mut visitor = world.stranger().with_agent(DIGITS);
    let scan = visitor.request("GET", &format!("/{}?n={DIGITS}", printed.code)).header("x-note", CARD);
    visitor.send(scan.body(Body::empty()).unwrap()).await.expect(200);
    assert_nothing_is_kept(&world).await;
}
