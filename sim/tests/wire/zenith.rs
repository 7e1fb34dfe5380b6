//! Zenith's GlobalPay over HTTP: the link, the query, the two names of one field, and webhooks that nothing signs.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::{Fault, Rule};
use sim::money::minor_of;
use sim::{Dialect, ZENITH_KEY};

use crate::world::World;

const LINK: &str = "/paymentgateway/generate-payment-link";
const HEADERS: [(&str, &str); 3] = [("apiKey", ZENITH_KEY), ("language", "en"), ("content-type", "application/json")];

fn order(reference: &str) -> Value {
    json!({"amount": 1250.5, "merchantTransactionReference": reference, "redirectUrl": "https://shop.example/back", "customer": {"firstName": "Ada",
        "lastName": "Obi", "currency": "NGN", "phoneNumber": "+2348012345678", "address": "Lagos", "emailAddress": "ada@example.ng"}})
}

async fn generate(world: &World, body: &Value) -> Answer {
    world.send(Dialect::Zenith, Method::POST, LINK, &HEADERS, body.to_string()).await
}

async fn query(world: &World, reference: &str) -> Answer {
    let path = format!("/paymentgateway/query-single-transaction-by-merchant-reference/{reference}");
    world.send(Dialect::Zenith, Method::GET, &path, &HEADERS, "").await
}

/// The payload of an answer under whichever name, and the name; a list of one is that one.
fn payload(answer: &Answer) -> (Value, &'static str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["isSuccessful"], &body["error"]), (200, &json!(true), &Value::Null), "{body}");
    let name = if body.get("data").is_some() { "data" } else { "Data" };
    let data = &body[name];
    (data.as_array().map_or_else(|| data.clone(), |list| list[0].clone()), name)
}

fn status(view: &Value) -> String {
    view["transactionStatus"].as_str().or_else(|| view["paymentStatus"].as_str()).unwrap().to_owned()
}

#[tokio::test]
async fn nobody_gets_in_without_the_key_and_the_language() {
    let world = World::new().await;
    for (headers, wanted) in [(vec![], 401), (vec![("apiKey", "wrong"), ("language", "en")], 401), (vec![("apikey", ZENITH_KEY)], 400)] {
        let answer = world.send(Dialect::Zenith, Method::POST, LINK, &headers, order("in").to_string()).await;
        assert_eq!((answer.status, &answer.json()["isSuccessful"]), (wanted, &json!(false)));
    }
    assert!(world.sim.page("in").is_none());
}

#[tokio::test]
async fn a_link_is_paid_and_the_query_says_how_much() {
    let world = World::new().await;
    let (link, _) = payload(&generate(&world, &order("z-1")).await);
    assert!(link["checkoutUrl"].as_str().unwrap().starts_with(world.sim.url()));
    let (view, _) = payload(&query(&world, "z-1").await);
    assert_eq!((status(&view).as_str(), minor_of(&view["amountPaid"], 2)), ("Pending", Some(0)));
    let decided = world.sim.pay("z-1").unwrap();
    let theirs = link["transactionReference"].as_str().unwrap();
    assert_eq!(
        decided.redirect.unwrap(),
        format!("https://shop.example/back?transactionReference={theirs}&merchantTransactionReference=z-1")
    );
    let (view, _) = payload(&query(&world, "z-1").await);
    assert_eq!((status(&view).as_str(), &view["merchantTxnref"]), ("Successful", &json!("z-1")));
    assert_eq!((minor_of(&view["amountFromMerchant"], 2), minor_of(&view["amountPaid"], 2)), (Some(125_050), Some(125_050)));
    let moved: Vec<_> =
        world.sim.movements().into_iter().map(|moved| (moved.kind, moved.reference, moved.amount_minor, moved.currency)).collect();
    assert_eq!(moved, [(MovementKind::Charged, "z-1".to_owned(), 125_050, "NGN".to_owned())]);
    let path = format!("/globalpay-paymentgateway/api/paymentgateway/query-single-transaction/{theirs}");
    assert_eq!(payload(&world.send(Dialect::Zenith, Method::GET, &path, &HEADERS, "").await).0, view);
}

#[tokio::test]
async fn one_payment_shows_both_names_of_the_payload_and_some_come_as_a_list() {
    let world = World::new().await;
    let (mut names, mut words, mut lists) = (BTreeSet::new(), BTreeSet::new(), 0);
    for number in 0..4 {
        let reference = format!("shape-{number}");
        let (_, one) = payload(&generate(&world, &order(&reference)).await);
        let answer = query(&world, &reference).await;
        let (view, other) = payload(&answer);
        assert_ne!(one, other);
        names.insert(other);
        words.insert(view.get("transactionStatus").is_some());
        lists += usize::from(answer.json()[other].is_array());
    }
    assert_eq!((names.len(), words.len(), lists), (2, 2, 1));
}

#[tokio::test]
async fn a_bad_request_and_a_used_reference_are_refused_under_http_200() {
    let world = World::new().await;
    generate(&world, &order("used")).await;
    let mut bad = vec![(order("used"), "merchantTransactionReference")];
    for (pointer, value, field) in [
        ("/amount", json!(0), "amount"),
        ("/amount", json!("1.001"), "amount"),
        ("/merchantTransactionReference", json!(" "), "merchantTransactionReference"),
        ("/customer/currency", json!("naira"), "customer.currency"),
        ("/customer/emailAddress", json!(""), "customer.emailAddress"),
        ("/customer/lastName", Value::Null, "customer.lastName"),
    ] {
        let mut body = order("bad");
        *body.pointer_mut(pointer).unwrap() = value;
        bad.push((body, field));
    }
    for (body, field) in bad {
        let answer = generate(&world, &body).await;
        assert_eq!((answer.status, &answer.json()["isSuccessful"]), (200, &json!(false)));
        assert!(answer.json()["error"].as_str().unwrap().contains(field), "{field}");
    }
    assert_eq!((world.sim.pages("used").len(), world.sim.pages("bad").len()), (1, 0));
    let unknown = query(&world, "none").await.json();
    assert_eq!((&unknown["isSuccessful"], &unknown["error"]), (&json!(false), &json!("Transaction not found")));
}

#[tokio::test]
async fn a_webhook_carries_no_signature_and_goes_where_the_request_said() {
    let world = World::new().await;
    generate(&world, &order("hook-1")).await;
    world.sim.pay("hook-1").unwrap();
    let plain = world.receiver.next().await;
    assert_eq!(plain.path, "/v1/payments/webhooks/demo-zenith");
    assert!(plain.headers.keys().all(|name| !name.as_str().contains("signature")));
    assert_eq!(status(&plain.json()), "Successful");
    let mut body = order("hook-2");
    body["webhookUrl"] = json!(format!("{}/elsewhere", world.receiver.url));
    generate(&world, &body).await;
    world.sim.decline("hook-2", "Insufficient Funds").unwrap();
    let aimed = world.receiver.next().await;
    assert_eq!((aimed.path.as_str(), status(&aimed.json()).as_str()), ("/elsewhere", "Insufficient Funds"));
    assert_eq!(status(&payload(&query(&world, "hook-2").await).0), "Insufficient Funds");
    assert_eq!(world.sim.movements().len(), 1);
}

#[tokio::test]
async fn a_webhook_may_name_another_amount_than_the_query() {
    let world = World::new().await;
    world.sim.add_fault(Rule::always(Dialect::Zenith, "pay", Fault::WrongAmountWebhook)).unwrap();
    generate(&world, &order("lie")).await;
    world.sim.pay("lie").unwrap();
    assert_ne!(minor_of(&world.receiver.next().await.json()["amountPaid"], 2), Some(125_050));
    assert_eq!(minor_of(&payload(&query(&world, "lie").await).0["amountPaid"], 2), Some(125_050));
}
