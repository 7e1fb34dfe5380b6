//! The main job: a code is printed, a phone scans it, a card opens, the visitor leaves their details, the owner hears of it.

use serde_json::json;

use crate::client::PHONE;
use crate::parties::Receiver;
use crate::world::{World, form_of, leave_details};

const VISITOR: [(&str, &str); 5] = [
    ("name", "Charles Babbage"),
    ("email", "charles@difference.example"),
    ("phone", "+44 20 7946 0999"),
    ("company", "Difference Engines"),
    ("message", "Shall we meet?"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_printed_scanned_and_answered_and_its_owner_hears_of_it_by_mail_webhook_and_live() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let receiver = Receiver::start().await;
    let hook = json!({ "url": receiver.url(), "description": "CRM", "event_types": ["lead.*"] });
    let secret = ada.post("/v1/webhooks", hook).await.expect(201).at("/secret");
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;

    // The code is minted apart and led to the card, as a printed one from a pool would be.
    let code = ada.post("/v1/codes", json!({ "name": "Fair, hall 4", "tags": ["fair"] })).await.expect(201).at("/code");
    ada.put(&format!("/v1/cards/{}/codes/{code}", made.card), json!(null)).await.expect(200);
    let symbol = ada.get(&format!("/v1/codes/{code}/symbol.svg")).await.expect(200);
    assert!(symbol.text().starts_with("<svg") || symbol.text().starts_with("<?xml"), "{}", symbol.text());
    world.drain().await;
    let mut live = ada.live(None).await;

    let mut visitor = world.stranger().with_agent(PHONE);
    let page = visitor.page(&format!("/{}", code.to_lowercase())).await.expect(200);
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(page.text().contains("Ada Lovelace") && page.text().contains("Analytical Engines Ltd"));
    let thanks = leave_details(&world, &mut visitor, &code, &VISITOR).await.expect(303).header("location").to_owned();
    assert!(visitor.page(&thanks).await.expect(200).text().contains("Ada Lovelace"));

    let drained = world.drain().await;
    assert_eq!((drained.retried, drained.dead), (0, 0));
    let heard = live.until("leads.captured").await;
    assert!(!heard.data.contains("Babbage"), "facts carry ids: {}", heard.data);
    let lead = serde_json::from_str::<serde_json::Value>(&heard.data).unwrap()["lead"].as_str().unwrap().to_owned();

    let mails = world.told("ada@engines.example");
    let mail = mails.iter().find(|mail| mail.text.contains("Charles Babbage")).expect("the owner is told by mail");
    assert!(mail.text.contains("charles@difference.example") && mail.text.contains("Shall we meet?"), "{}", mail.text);
    assert_eq!(mail.link(), format!("{}/leads/{lead}", crate::client::PUBLIC_URL));
    assert!(mail.raw.contains("Reply-To: charles@difference.example"), "{}", mail.raw);

    let hits = receiver.hits("lead.captured");
    assert_eq!(hits.len(), 1);
    assert!(hits[0].is_signed_with(&secret));
    assert_eq!(hits[0].json()["data"]["email"], "charles@difference.example");
    assert_eq!(hits[0].json()["data"]["source"]["code"], code.as_str());

    let file = ada.get(&format!("/v1/leads/{lead}")).await.expect(200).json();
    assert_eq!(file["lead"]["status"], "new");
    assert_eq!(file["lead"]["consent"]["version"], 0);
    assert_eq!(file["submissions"].as_array().unwrap().len(), 1);

    let back = world.told("charles@difference.example");
    assert_eq!(back.len(), 1, "the visitor gets the card once");
    assert!(back[0].raw.contains("text/vcard") && back[0].raw.contains(".vcf"), "{}", back[0].raw);
    assert!(back[0].text.contains(&code));

    // What happens next is told to the webhook too.
    ada.patch(&format!("/v1/leads/{lead}"), json!({ "version": 1, "status": "contacted", "tags": ["fair"] })).await.expect(200);
    world.drain().await;
    let changed = receiver.hits("lead.changed");
    assert_eq!((changed.len(), changed[0].json()["data"]["status"].clone()), (1, json!("contacted")));
    assert!(changed[0].is_signed_with(&secret));

    let table = ada.get("/v1/leads.csv").await.expect(200);
    assert_eq!(table.header("content-type"), "text/csv; charset=utf-8; header=present");
    let text = table.text();
    let rows: Vec<&str> = text.trim_end().lines().collect();
    assert_eq!(rows.len(), 2, "{text}");
    assert!(rows[1].contains("Charles Babbage") && rows[1].contains("contacted") && rows[1].contains(&code), "{text}");

    let attempts = ada.get(&format!("/v1/webhooks/{}/attempts", ada_hook(&mut ada.clone()).await)).await.expect(200).json();
    assert_eq!(attempts["items"].as_array().unwrap().len(), 2);
    let messages = ada.get("/v1/messages").await.expect(200).json();
    assert!(messages["items"].as_array().unwrap().iter().all(|message| message["state"] == "sent"), "{messages}");
}

async fn ada_hook(ada: &mut crate::client::Client) -> String {
    ada.get("/v1/webhooks").await.expect(200).at("/items/0/id")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_is_sent_twice_makes_one_lead_and_one_mail() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let mut visitor = world.stranger().with_agent(PHONE);
    let page = visitor.page(&format!("/{}", made.code)).await.expect(200).text();
    let (action, token) = form_of(&page);
    world.pass(crate::world::A_MOMENT);
    let mut fields = vec![("consent", "yes"), ("subject_line", ""), ("form_token", token.as_str())];
    fields.extend_from_slice(&VISITOR);
    let (mut first, mut second) = (visitor.clone(), visitor.clone());
    let (first, second) = tokio::join!(first.form(&action, &fields), second.form(&action, &fields));
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (303, 303));
    visitor.form(&action, &fields).await.expect(303);
    let known = world.told("ada@engines.example").len();
    world.drain().await;
    assert_eq!(ada.get("/v1/leads").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(world.told("ada@engines.example").len(), known + 1);
    assert_eq!(world.told("charles@difference.example").len(), 1);

    // The same form with other words is refused on the page, with what was typed.
    let mut others = fields.clone();
    others.retain(|(name, _)| *name != "message");
    others.push(("message", "Something else"));
    let again = visitor.form(&action, &others).await;
    assert_ne!(again.status, 303);
    assert_eq!(ada.get("/v1/leads").await.expect(200).json()["items"][0]["submissions"], 1);

    // Too fast, without consent, without an address: shown again with what was typed.
    let (action, token) = form_of(&visitor.page(&format!("/{}", made.code)).await.text());
    let fast = [("name", "Robot"), ("email", "robot@example.com"), ("consent", "yes"), ("form_token", token.as_str())];
    assert!(visitor.form(&action, &fast).await.expect(422).text().contains("Robot"));
    world.pass(crate::world::A_MOMENT);
    let bare = [("name", "Some <b>one</b>"), ("form_token", token.as_str())];
    let page = visitor.form(&action, &bare).await.expect(422).text();
    assert!(page.contains("Some &#60;b&#62;one") || page.contains("Some &lt;b&gt;one"), "{page}");
    assert_eq!(ada.get("/v1/leads").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_looks_like_a_program_is_kept_and_flagged_and_nobody_is_told() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let known = world.mails().len();
    let mut program = world.stranger();
    let page = program.page(&format!("/{}", made.code)).await.expect(200).text();
    let (action, token) = form_of(&page);
    world.pass(crate::world::A_MOMENT);
    let fields =
        [("name", "Deal"), ("email", "deal@spam.example"), ("subject_line", "buy"), ("consent", "yes"), ("form_token", token.as_str())];
    program.form(&action, &fields).await.expect(303);
    world.drain().await;
    assert_eq!(world.mails().len(), known);
    assert_eq!(ada.get("/v1/leads").await.expect(200).json()["items"].as_array().unwrap().len(), 0);
    let suspects = ada.get("/v1/leads?suspected_spam=true").await.expect(200).json();
    assert_eq!(suspects["items"][0]["email"], "deal@spam.example");
}
