//! The frame over HTTP: faults, webhooks, pages, controls, the store.

use std::io::ErrorKind;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use sim::bank::MovementKind;
use sim::client::{Answer, Client};
use sim::faults::Rule;
use sim::providers::stripe::signature;
use sim::{Dialect, Options, STRIPE_WEBHOOK_SECRET};

use crate::world::{PATIENCE, World};

const BEARER: (&str, &str) = ("authorization", "Bearer sk_test_simulator");
const CHARGE: &str = "amount=2000&currency=usd&confirm=true&payment_method=pm_card_visa&metadata[reference]=ref-1";
const SESSION: &str = "mode=payment&line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=2500\
    &line_items[0][price_data][product_data][name]=<b>Tea</b>&line_items[0][quantity]=1&client_reference_id=ref-1\
    &success_url=https://shop.example/thanks&cancel_url=https://shop.example/cart";
const INTENTS: &str = "/v1/payment_intents";
const SESSIONS: &str = "/v1/checkout/sessions";

/// A charge of Stripe under a fault, with little patience.
async fn charge(world: &World, fault: &str, patience: Duration) -> Result<Answer, std::io::Error> {
    let headers = [BEARER, ("x-sim-fault", fault), ("idempotency-key", "key-1")];
    world.try_send(Dialect::Stripe, Method::POST, INTENTS, &headers, CHARGE, patience).await
}

async fn session(world: &World) -> Value {
    world.send(Dialect::Stripe, Method::POST, SESSIONS, &[BEARER], SESSION).await.json()
}

fn charged(world: &World) -> usize {
    world.sim.movements().iter().filter(|moved| moved.kind == MovementKind::Charged).count()
}

fn is_true(webhook: &crate::world::Arrived) -> bool {
    let header = webhook.header("stripe-signature");
    let at: i64 = header.strip_prefix("t=").unwrap().split(',').next().unwrap().parse().unwrap();
    header == signature(STRIPE_WEBHOOK_SECRET, &webhook.body, at)
}

#[tokio::test]
async fn a_timeout_before_has_no_effect_and_one_after_has() {
    let world = World::with(Options { hang: Duration::from_millis(200), ..Options::default() }).await;
    for (fault, count) in [("timeout_before", 0), ("timeout_after", 1)] {
        // Who waits longer than the simulator sees the connection closed.
        let error = charge(&world, fault, PATIENCE).await.unwrap_err();
        assert_ne!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(charged(&world), count, "{fault}");
    }
    let again = charge(&world, "", PATIENCE).await.unwrap();
    assert_eq!((again.status, again.header("idempotent-replayed"), charged(&world)), (200, Some("true"), 1));
}

#[tokio::test]
async fn an_error_before_has_no_effect_and_one_after_has() {
    let world = World::new().await;
    for (fault, count) in [("error_500", 0), ("error_500_after", 1)] {
        let answer = charge(&world, fault, PATIENCE).await.unwrap();
        assert_eq!((answer.status, &answer.json()["error"]["type"], charged(&world)), (500, &"api_error".into(), count), "{fault}");
    }
}

#[tokio::test]
async fn a_cut_closes_the_connection_after_the_effect() {
    let world = World::new().await;
    let error = charge(&world, "cut", PATIENCE).await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(charged(&world), 1);
}

#[tokio::test]
async fn a_slow_answer_comes_and_one_with_a_false_fault_is_refused() {
    let world = World::new().await;
    let effect = async {
        while charged(&world) == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = charge(&world, "slow:60000", PATIENCE) => panic!("{answer:?}"),
        () = effect => {}
    }
    assert_eq!(charge(&world, "slow:5", PATIENCE).await.unwrap().status, 200);
    let refused = charge(&world, "explode", PATIENCE).await.unwrap();
    assert_eq!(refused.status, 400);
    assert!(refused.json()["error"].as_str().unwrap().contains("timeout_before"), "it names what there is");
}

#[tokio::test]
async fn a_dialect_that_hangs_leaves_the_others_alone() {
    let world = World::new().await;
    world.control(Method::POST, "/sim/faults", &json!({"dialect": "stripe", "fault": "hang:60"})).await;
    assert_eq!(charge(&world, "", Duration::from_millis(50)).await.unwrap_err().kind(), ErrorKind::TimedOut);
    let other = world.send(Dialect::Paypal, Method::POST, "/v1/oauth2/token", &[], "").await;
    assert_eq!(other.status, 401, "PayPal answers");
    world.control(Method::DELETE, "/sim/faults", &Value::Null).await;
    assert_eq!((charge(&world, "", PATIENCE).await.unwrap().status, charged(&world)), (200, 1));
}

#[tokio::test]
async fn rules_are_set_listed_and_deleted_over_http() {
    let world = World::new().await;
    let rule =
        json!({"dialect": "stripe", "operation": "create", "fault": "error_500", "rate_percent": 100, "times": 1, "contains": "ref-1"});
    let id = world.control(Method::POST, "/sim/faults", &rule).await.json()["id"].as_u64().unwrap();
    assert_eq!(charge(&world, "", PATIENCE).await.unwrap().status, 500);
    assert_eq!(charge(&world, "", PATIENCE).await.unwrap().status, 200, "once only");
    let list = world.control(Method::GET, "/sim/faults", &Value::Null).await.json();
    assert_eq!((&list["rules"][0]["id"], &list["rules"][0]["hit"]), (&id.into(), &1.into()));
    assert_eq!(world.control(Method::DELETE, &format!("/sim/faults/{id}"), &Value::Null).await.status, 204);
    assert_eq!(world.control(Method::DELETE, &format!("/sim/faults/{id}"), &Value::Null).await.status, 404);
    // `curl -d` says that JSON is a form.
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/sim/faults", world.sim.url());
    let set = Client::default().send(Method::POST, &url, &form, r#"{"fault":"cut","rate_percent":0}"#, PATIENCE).await.unwrap();
    assert_eq!(set.status, 201);
    for broken in
        [json!({"fault": "explode"}), json!({"fault": "cut", "rate_percent": 101}), json!({"dialect": "visa", "fault": "cut"}), json!({})]
    {
        assert_eq!(world.control(Method::POST, "/sim/faults", &broken).await.status, 422, "{broken}");
    }
}

#[tokio::test]
async fn a_rate_hits_the_same_calls_under_the_same_seed() {
    let mut patterns = Vec::new();
    for _ in 0..2 {
        let world = World::with(Options { seed: 42, ..Options::default() }).await;
        world.sim.add_fault(Rule::always(Dialect::Stripe, "balance", "error_500".parse().unwrap()).percent(30)).unwrap();
        let mut pattern = Vec::new();
        for _ in 0..40 {
            pattern.push(world.send(Dialect::Stripe, Method::GET, "/v1/balance", &[BEARER], "").await.status);
        }
        patterns.push(pattern);
    }
    assert_eq!(patterns[0], patterns[1]);
    assert!(patterns[0].contains(&500) && patterns[0].contains(&200));
}

#[tokio::test]
async fn webhooks_are_doubled_dropped_and_forged_on_demand() {
    let world = World::new().await;
    session(&world).await;
    let on_pay = |fault: &str| world.sim.add_fault(Rule::always(Dialect::Stripe, "pay", fault.parse().unwrap()).times(1)).unwrap();
    on_pay("duplicate_webhook");
    world.sim.pay("ref-1").unwrap();
    let mut ids: Vec<_> = world.receiver.take(6).await.iter().map(|webhook| webhook.json()["id"].as_str().unwrap().to_owned()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "three events, each twice");

    session(&world).await;
    on_pay("no_webhook");
    world.sim.pay("ref-1").unwrap();
    world.sim.quiet().await;
    assert_eq!((world.receiver.waiting(), charged(&world)), (0, 2));

    session(&world).await;
    on_pay("forged_webhook");
    world.sim.pay("ref-1").unwrap();
    assert!(world.receiver.take(3).await.iter().all(|webhook| !is_true(webhook)));
}

#[tokio::test]
async fn a_webhook_lies_about_amount_or_currency_and_the_books_do_not() {
    let world = World::new().await;
    for (fault, amount, currency) in [("wrong_amount_webhook", 1_999, "usd"), ("wrong_currency_webhook", 2_000, "eur")] {
        let headers = [BEARER, ("x-sim-fault", fault)];
        let intent = world.send(Dialect::Stripe, Method::POST, INTENTS, &headers, CHARGE).await.json();
        assert_eq!((&intent["amount"], &intent["currency"]), (&2000.into(), &"usd".into()));
        let told = world.receiver.take(3).await;
        let succeeded = told.iter().find(|webhook| webhook.json()["type"] == "payment_intent.succeeded").unwrap();
        assert!(is_true(succeeded), "a lie is signed");
        let object = &succeeded.json()["data"]["object"];
        assert_eq!((&object["amount_received"], &object["currency"]), (&amount.into(), &currency.into()));
        assert_eq!(object["metadata"]["reference"], "ref-1");
    }
    assert!(world.sim.movements().iter().all(|moved| (moved.amount_minor, moved.currency.as_str()) == (2_000, "USD")));
}

#[tokio::test]
async fn a_reordered_webhook_comes_after_the_next_one_and_a_late_one_later_still() {
    let world = World::new().await;
    let expire = async |fault: &str| {
        let id = session(&world).await["id"].as_str().unwrap().to_owned();
        let headers = [BEARER, ("x-sim-fault", fault)];
        world.send(Dialect::Stripe, Method::POST, &format!("{SESSIONS}/{id}/expire"), &headers, "").await;
        id
    };
    let late = expire("late_webhook:1500").await;
    let first = expire("reordered_webhook").await;
    let second = expire("").await;
    let ids: Vec<_> =
        world.receiver.take(3).await.iter().map(|webhook| webhook.json()["data"]["object"]["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [second, first, late]);
}

#[tokio::test]
async fn a_webhook_is_tried_again_under_its_id_until_it_is_taken() {
    let world = World::new().await;
    world.receiver.answer_with(&[500, 302, 404]);
    let id = session(&world).await["id"].as_str().unwrap().to_owned();
    world.send(Dialect::Stripe, Method::POST, &format!("{SESSIONS}/{id}/expire"), &[BEARER], "").await;
    let tries = world.receiver.take(4).await;
    assert!(tries.iter().all(|webhook| webhook.json()["id"] == tries[0].json()["id"] && is_true(webhook)));
    world.sim.quiet().await;
    // A further one comes right after the fourth: nothing was in between.
    let other = session(&world).await["id"].as_str().unwrap().to_owned();
    world.send(Dialect::Stripe, Method::POST, &format!("{SESSIONS}/{other}/expire"), &[BEARER], "").await;
    assert_eq!(world.receiver.next().await.json()["data"]["object"]["id"], other.as_str());
    let told = world.control(Method::GET, "/sim/webhooks", &Value::Null).await.json();
    let statuses: Vec<_> = told["attempts"].as_array().unwrap().iter().take(4).map(|attempt| attempt["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [500, 302, 404, 200]);
}

#[tokio::test]
async fn webhooks_go_where_a_dialect_is_told() {
    let world = World::new().await;
    let target = json!({"url": format!("{}/elsewhere", world.receiver.url), "secret": "whsec_new"});
    assert_eq!(world.control(Method::PUT, "/sim/stripe/webhook", &target).await.status, 204);
    charge(&world, "", PATIENCE).await.unwrap();
    let webhook = world.receiver.next().await;
    assert_eq!(webhook.path, "/elsewhere");
    assert!(!is_true(&webhook));
    assert_eq!(world.control(Method::PUT, "/sim/stripe/webhook", &json!({"url": "https://x.example"})).await.status, 422);
    assert_eq!(world.control(Method::PUT, "/sim/visa/webhook", &target).await.status, 404);
}

#[tokio::test]
async fn movements_are_filtered_over_http() {
    let world = World::new().await;
    charge(&world, "", PATIENCE).await.unwrap();
    for (query, count) in [
        ("", 1),
        ("?dialect=stripe", 1),
        ("?dialect=paypal", 0),
        ("?kind=charged&reference=ref-1", 1),
        ("?kind=refunded", 0),
        ("?idempotency_key=key-1", 1),
        ("?idempotency_key=key-2", 0),
        ("?after=1", 0),
        ("?limit=0", 0),
    ] {
        let found = world.control(Method::GET, &format!("/sim/movements{query}"), &Value::Null).await.json();
        assert_eq!(found["movements"].as_array().unwrap().len(), count, "{query}");
    }
    for query in ["?dialect=visa", "?kind=stolen", "?after=x"] {
        assert!(world.control(Method::GET, &format!("/sim/movements{query}"), &Value::Null).await.status >= 400, "{query}");
    }
}

#[tokio::test]
async fn a_person_pays_on_a_page_without_script_and_card_field() {
    let world = World::new().await;
    let url = session(&world).await["url"].as_str().unwrap().to_owned();
    let mut client = Client::default();
    let page = client.send(Method::GET, &url, &[], "", PATIENCE).await.unwrap();
    let text = String::from_utf8(page.body.to_vec()).unwrap();
    assert_eq!(page.status, 200);
    for wanted in ["25.00", "USD", "ref-1", "Pay", "Decline", "Abandon", "insufficient_funds", "never asks for a card", "&#60;b&#62;Tea"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains("<script") && !text.contains("<input type=\"text\"") && !text.contains("<b>Tea"));
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let declined = client.send(Method::POST, &url, &form, "decision=decline&code=lost_card", PATIENCE).await.unwrap();
    assert_eq!((declined.status, charged(&world)), (200, 0));
    let paid = client.send(Method::POST, &url, &form, "decision=pay", PATIENCE).await.unwrap();
    assert_eq!((paid.status, paid.header("location"), charged(&world)), (303, Some("https://shop.example/thanks"), 1));
    let again = client.send(Method::POST, &url, &form, "decision=pay", PATIENCE).await.unwrap();
    assert_eq!((again.status, charged(&world)), (409, 1));
    assert!(String::from_utf8(again.body.to_vec()).unwrap().contains("paid already"));
}

#[tokio::test]
async fn a_form_of_another_site_is_refused() {
    let world = World::new().await;
    let url = session(&world).await["url"].as_str().unwrap().to_owned();
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    for target in [url, format!("{}/sim/faults", world.sim.url())] {
        let answer = Client::default().send(Method::POST, &target, &headers, "decision=pay", PATIENCE).await.unwrap();
        assert_eq!((answer.status, charged(&world)), (403, 0));
    }
}

#[tokio::test]
async fn a_test_pays_declines_and_abandons_by_reference() {
    let world = World::new().await;
    session(&world).await;
    let click = async |verb: &str, body: Value| world.control(Method::POST, &format!("/sim/{verb}"), &body).await;
    assert_eq!(click("decline", json!({"reference": "ref-1", "code": "lost_card"})).await.status, 200);
    assert_eq!(click("abandon", json!({"reference": "ref-1"})).await.json()["redirect"], "https://shop.example/cart");
    assert_eq!(click("pay", json!({"reference": "ref-1", "dialect": "paypal"})).await.status, 404);
    assert_eq!(click("pay", json!({"reference": "ref-1"})).await.json()["page"]["state"], "paid");
    assert_eq!(click("pay", json!({"reference": "ref-1"})).await.status, 409);
    assert_eq!(click("pay", json!({})).await.status, 422);
    assert_eq!(charged(&world), 1);
}

#[tokio::test]
async fn a_payers_click_meets_faults_too() {
    let world = World::new().await;
    session(&world).await;
    world.sim.add_fault(Rule::always(Dialect::Stripe, "pay", "decline:lost_card".parse().unwrap()).times(1)).unwrap();
    world.sim.pay("ref-1").unwrap();
    assert_eq!(charged(&world), 0, "the bank said no");
    world.sim.add_fault(Rule::always(Dialect::Stripe, "pay", "wrong_amount".parse().unwrap())).unwrap();
    world.sim.pay("ref-1").unwrap();
    assert_eq!(world.sim.movements()[0].amount_minor, 2_499);
}

#[tokio::test]
async fn the_desk_shows_payments_movements_and_faults_and_sets_them() {
    let world = World::new().await;
    session(&world).await;
    charge(&world, "", PATIENCE).await.unwrap();
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let mut client = Client::default();
    let url = format!("{}/sim/faults", world.sim.url());
    let body = "dialect=&operation=capture&fault=timeout_after&rate_percent=10&times=";
    let set = client.send(Method::POST, &url, &form, body, PATIENCE).await.unwrap();
    assert_eq!((set.status, set.header("location")), (303, Some("/")));
    let desk = client.send(Method::GET, world.sim.url(), &[], "", PATIENCE).await.unwrap();
    let text = String::from_utf8(desk.body.to_vec()).unwrap();
    for wanted in ["ref-1", "25.00 USD", "20.00 USD", "charged", "timeout_after", "10 %", "/ramp-network", "no card field"] {
        assert!(text.contains(wanted), "{wanted}");
    }
    assert_eq!(client.send(Method::POST, &format!("{url}/1/delete"), &form, "", PATIENCE).await.unwrap().status, 303);
    assert!(world.sim.faults().is_empty());
}

#[tokio::test]
async fn what_was_charged_survives_a_restart() {
    let folder = std::env::temp_dir().join(format!("sim-{}-{}", std::process::id(), line!()));
    let options = Options { folder: Some(folder.clone()), ..Options::default() };
    let world = World::with(options.clone()).await;
    assert!(sim::start(options.clone()).await.is_err(), "a folder has one simulator");
    charge(&world, "", PATIENCE).await.unwrap();
    session(&world).await;
    let before = world.sim.movements();
    world.sim.stop().await;
    // A kill may tear the last line.
    let path = folder.join("stripe.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"Put\":[\"intent\",\"pi_torn");
    std::fs::write(&path, text).unwrap();

    let world = World::with(options.clone()).await;
    assert_eq!(world.sim.movements(), before);
    let replayed = charge(&world, "", PATIENCE).await.unwrap();
    assert_eq!((replayed.header("idempotent-replayed"), charged(&world)), (Some("true"), 1));
    world.sim.pay("ref-1").unwrap();
    assert_eq!(world.sim.movements()[1].sequence, 2);
    world.sim.stop().await;

    // What is broken further up is no torn line: it is not thrown away without a word.
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("broken\n{text}")).unwrap();
    let error = sim::start(options).await.err().unwrap();
    assert!(error.to_string().contains("line 1 of"), "{error}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn a_dropped_simulator_is_gone() {
    let world = World::new().await;
    let url = format!("{}/sim/faults", world.sim.url());
    world.sim.stop().await;
    assert!(Client::default().send(Method::GET, &url, &[], "", PATIENCE).await.is_err());
}

#[tokio::test]
async fn what_there_is_not_says_what_there_is() {
    let world = World::new().await;
    let answer = world.control(Method::GET, "/visa", &Value::Null).await;
    assert_eq!(answer.status, 404);
    assert!(answer.json()["error"].as_str().unwrap().contains("/ramp-network"));
    let much = vec![b'a'; 1_100_000];
    let answer = world.send(Dialect::Stripe, Method::POST, INTENTS, &[BEARER], much).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_provider_denies_on_demand_what_it_has_done() {
    let world = World::new().await;
    let intent = charge(&world, "", PATIENCE).await.unwrap().json()["id"].as_str().unwrap().to_owned();
    let search = format!("{INTENTS}/search?query=metadata['reference']:'ref-1'");
    world.sim.add_fault(Rule::always(Dialect::Stripe, "query", "not_found".parse().unwrap()).times(2)).unwrap();
    let get = async |path: &str| world.send(Dialect::Stripe, Method::GET, path, &[BEARER], "").await;
    let search = search.replace('\'', "%27");
    assert_eq!(get(&search).await.json()["data"], json!([]));
    assert_eq!(get(&format!("{INTENTS}/{intent}")).await.status, 404);
    assert_eq!(get(&search).await.json()["data"][0]["id"], intent.as_str());
    assert_eq!(get(&format!("{INTENTS}/{intent}")).await.status, 200);
    assert_eq!(charged(&world), 1);
}
