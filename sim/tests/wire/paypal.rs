//! PayPal over HTTP.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::Rule;
use sim::pages::Decision;
use sim::providers::Plant;
use sim::{Dialect, PAYPAL_CLIENT, PAYPAL_SECRET, PAYPAL_WEBHOOK_ID};

use crate::world::{Arrived, World};

/// A world and a token for it.
struct Shop {
    world: World,
    bearer: String,
}

impl Shop {
    async fn open() -> Self {
        let world = World::new().await;
        let mut shop = Self { world, bearer: String::new() };
        shop.renew().await;
        shop
    }

    async fn renew(&mut self) {
        let basic = format!("Basic {}", STANDARD.encode(format!("{PAYPAL_CLIENT}:{PAYPAL_SECRET}")));
        let headers = [("authorization", basic.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let answer =
            self.world.send(Dialect::Paypal, Method::POST, "/v1/oauth2/token", &headers, "grant_type=client_credentials").await.json();
        assert_eq!((&answer["token_type"], &answer["expires_in"]), (&"Bearer".into(), &32_400.into()));
        self.bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap());
    }

    async fn send(&self, method: Method, path: &str, more: &[(&str, &str)], body: &Value) -> Answer {
        let headers: Vec<_> = [("authorization", self.bearer.as_str()), ("content-type", "application/json")]
            .into_iter()
            .chain(more.iter().copied())
            .collect();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.world.send(Dialect::Paypal, method, path, &headers, body).await
    }

    async fn post(&self, key: &str, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, &[("paypal-request-id", key)], body).await
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.send(Method::GET, path, &[], &Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json());
        answer.json()
    }

    /// An order's id, created under a key of its own.
    async fn order(&self, intent: &str, value: &str, currency: &str) -> String {
        let reference = format!("ref-{}", self.world.sim.movements().len());
        let answer = self
            .post(
                &format!("create-{reference}-{value}{currency}{intent}"),
                "/v2/checkout/orders",
                &order(intent, value, currency, &reference),
            )
            .await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        let id = answer.json()["id"].as_str().unwrap().to_owned();
        assert_eq!(id.len(), 17);
        id
    }

    fn decide(&self, id: &str, decision: &Decision) -> Option<String> {
        self.world.sim.decide_page(Dialect::Paypal, id, decision).unwrap().redirect
    }

    /// An approved order's id.
    async fn approved(&self, intent: &str, value: &str, currency: &str) -> String {
        let id = self.order(intent, value, currency).await;
        self.decide(&id, &Decision::Pay);
        id
    }

    /// The id of a capture of an order.
    async fn captured(&self, value: &str, currency: &str) -> String {
        let id = self.approved("CAPTURE", value, currency).await;
        let answer = self.post(&format!("capture-{id}"), &format!("/v2/checkout/orders/{id}/capture"), &json!({})).await;
        assert_eq!(answer.status, 201, "{}", answer.json());
        answer.json()["purchase_units"][0]["payments"]["captures"][0]["id"].as_str().unwrap().to_owned()
    }

    fn kinds(&self) -> Vec<(MovementKind, i64)> {
        self.world.sim.movements().iter().map(|moved| (moved.kind, moved.amount_minor)).collect()
    }

    async fn verify(&self, webhook: &Arrived, webhook_id: &str) -> Value {
        let body = json!({"auth_algo": webhook.header("paypal-auth-algo"), "cert_url": webhook.header("paypal-cert-url"),
            "transmission_id": webhook.header("paypal-transmission-id"), "transmission_sig": webhook.header("paypal-transmission-sig"),
            "transmission_time": webhook.header("paypal-transmission-time"), "webhook_id": webhook_id, "webhook_event": webhook.json()});
        self.send(Method::POST, "/v1/notifications/verify-webhook-signature", &[], &body).await.json()["verification_status"].clone()
    }
}

fn order(intent: &str, value: &str, currency: &str, reference: &str) -> Value {
    json!({"intent": intent, "purchase_units": [{"reference_id": "unit", "custom_id": reference, "description": "Tea",
        "amount": {"currency_code": currency, "value": value}}],
        "application_context": {"return_url": "https://shop.example/back?order=7", "cancel_url": "https://shop.example/cart"}})
}

fn issue(answer: &Answer) -> (u16, Value) {
    (answer.status, answer.json()["details"][0]["issue"].clone())
}

#[tokio::test]
async fn a_token_is_needed_and_ends() {
    let mut shop = Shop::open().await;
    let wrong = shop
        .world
        .send(Dialect::Paypal, Method::POST, "/v1/oauth2/token", &[("authorization", "Basic eDp5")], "grant_type=client_credentials")
        .await;
    assert_eq!((wrong.status, &wrong.json()["error"]), (401, &"invalid_client".into()));
    shop.world.sim.advance(Duration::from_secs(32_401));
    let late = shop.send(Method::GET, "/v1/reporting/balances", &[], &Value::Null).await;
    assert_eq!((late.status, &late.json()["error"]), (401, &"invalid_token".into()));
    shop.renew().await;
    assert_eq!(shop.get("/v1/reporting/balances").await["balances"][0]["available_balance"]["value"], "10000000.00");
    let yen = shop.get("/v1/reporting/balances?currency_code=JPY").await;
    assert_eq!((yen["balances"].as_array().unwrap().len(), &yen["balances"][0]["currency"]), (1, &"JPY".into()));
}

#[tokio::test]
async fn an_order_is_approved_by_the_payer_and_charged_by_the_merchant() {
    let shop = Shop::open().await;
    let answer = shop.post("c-1", "/v2/checkout/orders", &order("CAPTURE", "12.34", "USD", "ref-1")).await.json();
    let id = answer["id"].as_str().unwrap().to_owned();
    assert_eq!(
        (&answer["status"], &answer["purchase_units"]),
        (&"CREATED".into(), &Value::Null),
        "minimal unless it is preferred otherwise"
    );
    let approve =
        answer["links"].as_array().unwrap().iter().find(|link| link["rel"] == "approve").unwrap()["href"].as_str().unwrap().to_owned();
    assert_eq!(approve, shop.world.sim.page("ref-1").unwrap().url(shop.world.sim.url()));

    let path = format!("/v2/checkout/orders/{id}/capture");
    assert_eq!(issue(&shop.post("k-1", &path, &json!({})).await), (422, "ORDER_NOT_APPROVED".into()));
    let back = shop.world.sim.pay("ref-1").unwrap().redirect.unwrap();
    assert_eq!(back, format!("https://shop.example/back?order=7&token={id}&PayerID=SIMULATORPAYR"));
    assert!(shop.kinds().is_empty(), "an approval moves nothing");
    assert_eq!(shop.get(&format!("/v2/checkout/orders/{id}")).await["status"], "APPROVED");

    let captured = shop.post("k-2", &path, &json!({})).await;
    let capture = &captured.json()["purchase_units"][0]["payments"]["captures"][0];
    assert_eq!(
        (captured.status, &capture["status"], &capture["amount"]),
        (201, &"COMPLETED".into(), &json!({"currency_code": "USD", "value": "12.34"}))
    );
    // 3.49 % of 12.34 is 0.430666, and 0.49.
    assert_eq!(capture["seller_receivable_breakdown"]["paypal_fee"]["value"], "0.92");
    assert_eq!(capture["seller_receivable_breakdown"]["net_amount"]["value"], "11.42");
    assert_eq!(capture["custom_id"], "ref-1");
    assert!(!captured.json().to_string().contains("_sim"), "what only the simulator knows stays inside");
    let moved = shop.world.sim.movements();
    assert_eq!((moved.len(), moved[0].kind, moved[0].amount_minor), (1, MovementKind::Charged, 1_234));
    assert_eq!((moved[0].reference.as_str(), moved[0].idempotency_key.as_deref()), ("ref-1", Some("k-2")));
    assert_eq!(issue(&shop.post("k-3", &path, &json!({})).await), (422, "ORDER_ALREADY_CAPTURED".into()));
    assert_eq!(shop.get(&format!("/v2/payments/captures/{}", capture["id"].as_str().unwrap())).await, *capture);
    let mut events: Vec<_> =
        shop.world.receiver.take(2).await.iter().map(|webhook| webhook.json()["event_type"].as_str().unwrap().to_owned()).collect();
    events.sort();
    assert_eq!(events, ["CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED"]);
}

#[tokio::test]
async fn the_whole_order_is_answered_where_it_is_preferred_and_a_source_asks_for_the_payer() {
    let shop = Shop::open().await;
    let prefer = [("prefer", "return=representation"), ("paypal-request-id", "c-1")];
    let whole = shop.send(Method::POST, "/v2/checkout/orders", &prefer, &order("CAPTURE", "1.00", "USD", "ref-1")).await.json();
    assert_eq!(whole["purchase_units"][0]["custom_id"], "ref-1");
    let mut body = order("CAPTURE", "1.00", "USD", "ref-2");
    body["payment_source"] =
        json!({"paypal": {"experience_context": {"return_url": "https://shop.example/own", "cancel_url": "https://shop.example/no"}}});
    let answer = shop.post("c-2", "/v2/checkout/orders", &body).await;
    assert_eq!(
        (answer.status, &answer.json()["status"], &answer.json()["links"][1]["rel"]),
        (200, &"PAYER_ACTION_REQUIRED".into(), &"payer-action".into())
    );
    assert!(shop.world.sim.abandon("ref-2").unwrap().redirect.unwrap().starts_with("https://shop.example/no?token="));
    assert!(
        shop.world.sim.pay("ref-2").unwrap().redirect.unwrap().starts_with("https://shop.example/own?token="),
        "who left may come back"
    );
}

#[tokio::test]
async fn an_order_may_be_charged_by_the_approval_itself() {
    let shop = Shop::open().await;
    let mut body = order("CAPTURE", "5.00", "EUR", "ref-1");
    body["processing_instruction"] = json!("ORDER_COMPLETE_ON_PAYMENT_APPROVAL");
    let id = shop.post("c-1", "/v2/checkout/orders", &body).await.json()["id"].as_str().unwrap().to_owned();
    shop.world.sim.pay("ref-1").unwrap();
    assert_eq!(shop.get(&format!("/v2/checkout/orders/{id}")).await["status"], "COMPLETED");
    assert_eq!(shop.kinds(), [(MovementKind::Charged, 500)]);
}

#[tokio::test]
async fn a_request_id_shows_what_it_made_as_it_is_by_now() {
    let shop = Shop::open().await;
    let first = shop.post("c-1", "/v2/checkout/orders", &order("CAPTURE", "1.00", "USD", "ref-1")).await;
    shop.world.sim.pay("ref-1").unwrap();
    // Another body under the same id is not noticed: PayPal answers the first order.
    let second = shop.post("c-1", "/v2/checkout/orders", &order("CAPTURE", "2.00", "USD", "ref-2")).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!((&second.json()["id"], &second.json()["status"]), (&first.json()["id"], &"APPROVED".into()));
    let path = format!("/v2/checkout/orders/{}/capture", first.json()["id"].as_str().unwrap());
    for status in [201, 200, 200] {
        let answer = shop.post("k-1", &path, &json!({})).await;
        assert_eq!((answer.status, &answer.json()["status"]), (status, &"COMPLETED".into()));
    }
    assert_eq!(shop.kinds(), [(MovementKind::Charged, 100)]);
}

#[tokio::test]
async fn a_request_id_of_an_order_is_forgotten_after_six_hours() {
    let shop = Shop::open().await;
    let create = async |reference: &str| {
        shop.post("c-1", "/v2/checkout/orders", &order("CAPTURE", "1.00", "USD", reference)).await.json()["id"].clone()
    };
    let first = create("ref-1").await;
    shop.world.sim.advance(Duration::from_secs(5 * 3_600));
    assert_eq!(create("ref-1").await, first);
    shop.world.sim.advance(Duration::from_secs(2 * 3_600));
    assert_ne!(create("ref-1").await, first);
}

#[tokio::test]
async fn an_order_that_nobody_approves_is_gone_after_three_hours() {
    let shop = Shop::open().await;
    let id = shop.order("CAPTURE", "1.00", "USD").await;
    let approved = shop.approved("CAPTURE", "2.00", "USD").await;
    shop.world.sim.advance(Duration::from_secs(3 * 3_600 + 1));
    let answer = shop.send(Method::GET, &format!("/v2/checkout/orders/{id}"), &[], &Value::Null).await;
    assert_eq!((answer.status, &answer.json()["name"]), (404, &"RESOURCE_NOT_FOUND".into()));
    assert!(shop.world.sim.decide_page(Dialect::Paypal, &id, &Decision::Pay).is_err());
    assert_eq!(shop.get(&format!("/v2/checkout/orders/{approved}")).await["status"], "APPROVED");
}

#[tokio::test]
async fn money_is_a_decimal_text_with_the_places_that_paypal_takes() {
    let shop = Shop::open().await;
    for (value, currency, minor) in [("500", "JPY", 500), ("1200", "HUF", 120_000), ("9.99", "USD", 999), ("7", "EUR", 700)] {
        shop.captured(value, currency).await;
        let moved = shop.world.sim.movements().pop().unwrap();
        assert_eq!((moved.amount_minor, moved.currency.as_str()), (minor, currency));
    }
    for (value, currency, wanted) in [
        (json!("5.5"), "JPY", "DECIMAL_PRECISION"),
        (json!("5.00"), "HUF", "DECIMAL_PRECISION"),
        (json!("1.999"), "USD", "DECIMAL_PRECISION"),
        (json!("1.000"), "KWD", "CURRENCY_NOT_SUPPORTED"),
        (json!("1.00"), "NGN", "CURRENCY_NOT_SUPPORTED"),
        (json!("0.00"), "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        (json!("-1.00"), "USD", "CANNOT_BE_ZERO_OR_NEGATIVE"),
        (json!(1.5), "USD", "INVALID_PARAMETER_SYNTAX"),
        (Value::Null, "USD", "MISSING_REQUIRED_PARAMETER"),
    ] {
        let mut body = order("CAPTURE", "1.00", currency, "ref-bad");
        body["purchase_units"][0]["amount"]["value"] = value.clone();
        let answer = shop.post(&format!("bad-{value}-{currency}"), "/v2/checkout/orders", &body).await;
        assert_eq!(issue(&answer).1, wanted, "{value} {currency}");
        assert!((400..=422).contains(&answer.status) && answer.json()["debug_id"].is_string());
    }
}

#[tokio::test]
async fn a_decline_shows_when_the_merchant_captures_and_the_payer_may_try_again() {
    let shop = Shop::open().await;
    let id = shop.order("CAPTURE", "1.00", "USD").await;
    shop.decide(&id, &Decision::Decline { code: "INSTRUMENT_DECLINED".to_owned() });
    let path = format!("/v2/checkout/orders/{id}/capture");
    let refused = shop.post("k-1", &path, &json!({})).await;
    assert_eq!(issue(&refused), (422, "INSTRUMENT_DECLINED".into()));
    assert_eq!(refused.json()["links"][0]["rel"], "redirect");
    shop.decide(&id, &Decision::Pay);
    assert_eq!(shop.post("k-2", &path, &json!({})).await.status, 201);
    assert_eq!(shop.kinds(), [(MovementKind::Charged, 100)]);
}

#[tokio::test]
async fn some_declines_are_captures_that_failed_and_the_sandboxs_own_header_asks_for_errors() {
    let shop = Shop::open().await;
    let id = shop.order("CAPTURE", "1.00", "USD").await;
    shop.decide(&id, &Decision::Decline { code: "DECLINED".to_owned() });
    let answer = shop.post("k-1", &format!("/v2/checkout/orders/{id}/capture"), &json!({})).await;
    assert_eq!((answer.status, &answer.json()["purchase_units"][0]["payments"]["captures"][0]["status"]), (201, &"DECLINED".into()));
    let other = shop.approved("CAPTURE", "2.00", "USD").await;
    let mock = [("paypal-mock-response", r#"{"mock_application_codes":"TRANSACTION_REFUSED"}"#)];
    let refused = shop.send(Method::POST, &format!("/v2/checkout/orders/{other}/capture"), &mock, &json!({})).await;
    assert_eq!(issue(&refused), (422, "TRANSACTION_REFUSED".into()));
    assert!(shop.kinds().is_empty());
}

#[tokio::test]
async fn an_invoice_is_paid_once() {
    let shop = Shop::open().await;
    for (place, status) in [(1, 201), (2, 422)] {
        let reference = format!("ref-{place}");
        let mut body = order("CAPTURE", "1.00", "USD", &reference);
        body["purchase_units"][0]["invoice_id"] = json!("INV-1");
        let id = shop.post(&reference, "/v2/checkout/orders", &body).await.json()["id"].as_str().unwrap().to_owned();
        shop.decide(&id, &Decision::Pay);
        let answer = shop.post(&format!("k-{place}"), &format!("/v2/checkout/orders/{id}/capture"), &json!({})).await;
        assert_eq!(answer.status, status);
        if status == 422 {
            assert_eq!(issue(&answer).1, "DUPLICATE_INVOICE_ID");
        }
    }
    assert_eq!(shop.kinds().len(), 1);
}

async fn authorized(shop: &Shop, value: &str) -> String {
    let id = shop.approved("AUTHORIZE", value, "USD").await;
    let wrong = shop.post(&format!("w-{id}"), &format!("/v2/checkout/orders/{id}/capture"), &json!({})).await;
    assert_eq!(issue(&wrong).1, "ACTION_DOES_NOT_MATCH_INTENT");
    let answer = shop.post(&format!("a-{id}"), &format!("/v2/checkout/orders/{id}/authorize"), &json!({})).await.json();
    answer["purchase_units"][0]["payments"]["authorizations"][0]["id"].as_str().unwrap().to_owned()
}

fn usd(value: &str) -> Value {
    json!({"currency_code": "USD", "value": value})
}

#[tokio::test]
async fn an_authorisation_is_captured_in_parts() {
    let shop = Shop::open().await;
    let id = authorized(&shop, "100.00").await;
    let path = format!("/v2/payments/authorizations/{id}/capture");
    let first = shop.post("k-1", &path, &json!({"amount": usd("40.00")})).await.json();
    assert_eq!((&first["status"], &first["final_capture"]), (&"COMPLETED".into(), &false.into()));
    assert_eq!(shop.get(&format!("/v2/payments/authorizations/{id}")).await["status"], "PARTIALLY_CAPTURED");
    // 15 % more than was held may be taken, and no more.
    assert_eq!(issue(&shop.post("k-2", &path, &json!({"amount": usd("75.01")})).await), (422, "MAX_CAPTURE_AMOUNT_EXCEEDED".into()));
    assert_eq!(issue(&shop.post("k-3", &path, &json!({"amount": {"currency_code": "EUR", "value": "1.00"}})).await).1, "CURRENCY_MISMATCH");
    shop.post("k-4", &path, &json!({"amount": usd("50.00"), "final_capture": true})).await;
    assert_eq!(issue(&shop.post("k-5", &path, &json!({"amount": usd("1.00")})).await), (422, "AUTHORIZATION_ALREADY_CAPTURED".into()));
    assert_eq!(
        shop.kinds(),
        [(MovementKind::Authorized, 10_000), (MovementKind::Charged, 4_000), (MovementKind::Charged, 5_000), (MovementKind::Voided, 1_000)]
    );
    let void = shop.send(Method::POST, &format!("/v2/payments/authorizations/{id}/void"), &[], &Value::Null).await;
    assert_eq!(issue(&void), (422, "PREVIOUSLY_CAPTURED".into()));
}

#[tokio::test]
async fn a_voided_authorisation_answers_nothing_and_takes_nothing() {
    let shop = Shop::open().await;
    let id = authorized(&shop, "10.00").await;
    let path = format!("/v2/payments/authorizations/{id}");
    for _ in 0..2 {
        let void = shop.post("v-1", &format!("{path}/void"), &Value::Null).await;
        assert_eq!((void.status, void.body.len()), (204, 0), "the same id twice is one void");
    }
    assert_eq!(issue(&shop.post("v-2", &format!("{path}/void"), &Value::Null).await), (422, "PREVIOUSLY_VOIDED".into()));
    assert_eq!(issue(&shop.post("k-1", &format!("{path}/capture"), &json!({})).await), (422, "AUTHORIZATION_VOIDED".into()));
    assert_eq!(shop.kinds(), [(MovementKind::Authorized, 1_000), (MovementKind::Voided, 1_000)]);
}

#[tokio::test]
async fn an_authorisation_ends_after_29_days() {
    let mut shop = Shop::open().await;
    let id = authorized(&shop, "10.00").await;
    shop.world.sim.advance(Duration::from_secs(29 * 86_400 + 1));
    shop.renew().await;
    assert_eq!(
        issue(&shop.post("k-1", &format!("/v2/payments/authorizations/{id}/capture"), &json!({})).await),
        (422, "AUTHORIZATION_EXPIRED".into())
    );
}

#[tokio::test]
async fn refunds_add_up_to_the_capture_and_no_further() {
    let shop = Shop::open().await;
    let capture = shop.captured("10.00", "USD").await;
    let path = format!("/v2/payments/captures/{capture}/refund");
    let first = shop.post("r-1", &path, &json!({"amount": usd("4.00"), "note_to_payer": "sorry"})).await;
    assert_eq!((first.status, &first.json()["status"]), (201, &"COMPLETED".into()));
    assert_eq!(shop.post("r-1", &path, &json!({"amount": usd("4.00")})).await.json()["id"], first.json()["id"]);
    let refund = shop.get(&format!("/v2/payments/refunds/{}", first.json()["id"].as_str().unwrap())).await;
    assert_eq!((&refund["amount"], &refund["seller_payable_breakdown"]["total_refunded_amount"]), (&usd("4.00"), &usd("4.00")));
    assert_eq!(shop.get(&format!("/v2/payments/captures/{capture}")).await["status"], "PARTIALLY_REFUNDED");
    assert_eq!(issue(&shop.post("r-2", &path, &json!({"amount": usd("6.01")})).await), (422, "REFUND_AMOUNT_EXCEEDED".into()));
    shop.post("r-3", &path, &json!({})).await;
    assert_eq!(issue(&shop.post("r-4", &path, &json!({})).await), (422, "CAPTURE_FULLY_REFUNDED".into()));
    assert_eq!(shop.get(&format!("/v2/payments/captures/{capture}")).await["status"], "REFUNDED");
    assert_eq!(shop.kinds(), [(MovementKind::Charged, 1_000), (MovementKind::Refunded, 400), (MovementKind::Refunded, 600)]);
}

fn batch(sender_batch_id: &str, value: &str) -> Value {
    json!({"sender_batch_header": {"sender_batch_id": sender_batch_id, "email_subject": "Money"},
        "items": [{"recipient_type": "EMAIL", "receiver": "b@example.com", "sender_item_id": format!("{sender_batch_id}-1"), "amount": {"value": value, "currency": "USD"}}]})
}

#[tokio::test]
async fn a_payout_batch_is_unique_by_the_merchants_id() {
    let shop = Shop::open().await;
    let made = shop.post("p-1", "/v1/payments/payouts", &batch("out-1", "7.50")).await;
    assert_eq!((made.status, &made.json()["batch_header"]["batch_status"]), (201, &"PENDING".into()));
    let id = made.json()["batch_header"]["payout_batch_id"].as_str().unwrap().to_owned();
    let twice = shop.post("p-2", "/v1/payments/payouts", &batch("out-1", "7.50")).await;
    assert_eq!(
        (twice.status, &twice.json()["name"], &twice.json()["details"][0]["field"]),
        (400, &"USER_BUSINESS_ERROR".into(), &"SENDER_BATCH_ID".into())
    );
    assert!(twice.json()["links"][0]["href"].as_str().unwrap().ends_with(&id), "it names the batch that there is");
    let stored = shop.get(&format!("/v1/payments/payouts/{id}")).await;
    assert_eq!(
        (&stored["batch_header"]["batch_status"], &stored["items"][0]["transaction_status"]),
        (&"SUCCESS".into(), &"SUCCESS".into())
    );
    let item = shop.get(&format!("/v1/payments/payouts-item/{}", stored["items"][0]["payout_item_id"].as_str().unwrap())).await;
    assert_eq!(item["payout_item"]["amount"], json!({"value": "7.50", "currency": "USD"}));
    let moved = shop.world.sim.movements();
    assert_eq!(
        (moved.len(), moved[0].kind, moved[0].amount_minor, moved[0].reference.as_str()),
        (1, MovementKind::PaidOut, 750, "out-1-1")
    );
    let poor = shop.post("p-3", "/v1/payments/payouts", &batch("out-2", "99999999.00")).await;
    assert_eq!((poor.status, &poor.json()["name"]), (422, &"INSUFFICIENT_FUNDS".into()));
    assert_eq!(shop.post("p-4", "/v1/payments/payouts", &json!({"items": []})).await.status, 400);
}

#[tokio::test]
async fn a_payout_fails_comes_back_or_waits_to_be_claimed() {
    let shop = Shop::open().await;
    for (code, status) in [("RECEIVER_ACCOUNT_LOCKED", "FAILED"), ("RETURNED", "RETURNED"), ("UNCLAIMED", "UNCLAIMED")] {
        shop.world.sim.add_fault(Rule::always(Dialect::Paypal, "payout", format!("decline:{code}").parse().unwrap()).times(1)).unwrap();
        let made = shop.post(code, "/v1/payments/payouts", &batch(code, "1.00")).await.json();
        let stored = shop.get(&format!("/v1/payments/payouts/{}", made["batch_header"]["payout_batch_id"].as_str().unwrap())).await;
        assert_eq!(stored["items"][0]["transaction_status"], status);
        if status == "UNCLAIMED" {
            let path = format!("/v1/payments/payouts-item/{}/cancel", stored["items"][0]["payout_item_id"].as_str().unwrap());
            assert_eq!(shop.send(Method::POST, &path, &[], &Value::Null).await.json()["transaction_status"], "RETURNED");
            assert_eq!(shop.send(Method::POST, &path, &[], &Value::Null).await.status, 400);
        }
    }
    let pair = [(MovementKind::PaidOut, 100), (MovementKind::Returned, 100)];
    assert_eq!(shop.kinds(), [pair, pair].concat());
}

#[tokio::test]
async fn a_webhook_is_verified_by_asking_and_a_forgery_fails() {
    let shop = Shop::open().await;
    shop.approved("CAPTURE", "1.00", "USD").await;
    let webhook = shop.world.receiver.next().await;
    assert_eq!(webhook.path, "/v1/payments/webhooks/demo-paypal");
    assert_eq!(shop.verify(&webhook, PAYPAL_WEBHOOK_ID).await, "SUCCESS");
    assert_eq!(shop.verify(&webhook, "WH-OTHER").await, "FAILURE");
    let changed = String::from_utf8(webhook.body.to_vec()).unwrap().replace("1.00", "9.00");
    assert_eq!(shop.verify(&Arrived { body: changed.into(), ..webhook }, PAYPAL_WEBHOOK_ID).await, "FAILURE");
    shop.world.sim.add_fault(Rule::always(Dialect::Paypal, "pay", "forged_webhook".parse().unwrap())).unwrap();
    shop.approved("CAPTURE", "2.00", "USD").await;
    let forged = shop.world.receiver.next().await;
    assert_eq!(shop.verify(&forged, PAYPAL_WEBHOOK_ID).await, "FAILURE");
    assert_eq!(shop.send(Method::POST, "/v1/notifications/verify-webhook-signature", &[], &json!({})).await.status, 400);
}

async fn report(shop: &Shop, more: &str) -> Value {
    shop.get(&format!("/v1/reporting/transactions?start_date=2026-01-01T00:00:00Z&end_date=2026-01-02T00:00:00Z{more}")).await
}

#[tokio::test]
async fn the_report_lists_captures_refunds_and_the_withdrawal_in_pages() {
    let shop = Shop::open().await;
    let capture = shop.captured("10.00", "USD").await;
    shop.post("r-1", &format!("/v2/payments/captures/{capture}/refund"), &json!({"amount": usd("4.00")})).await;
    assert_eq!(report(&shop, "").await["total_items"], 0, "not in that time");
    let settled = shop.world.sim.settle(Dialect::Paypal, Plant::default()).unwrap();
    // 10.00 less 0.84 of fee, less 4.00.
    let moved = shop.world.sim.movements().pop().unwrap();
    assert_eq!((moved.kind, moved.amount_minor, moved.provider_id.as_str()), (MovementKind::Settled, 516, settled[0].as_str()));
    let lines = everything(&shop).await;
    let codes: Vec<_> = lines
        .iter()
        .map(|line| (line["transaction_event_code"].as_str().unwrap(), line["transaction_amount"]["value"].as_str().unwrap()))
        .collect();
    assert_eq!(codes, [("T0006", "10.00"), ("T1107", "-4.00"), ("T0400", "-5.16")]);
    assert_eq!((&lines[0]["fee_amount"]["value"], &lines[1]["paypal_reference_id"]), (&"-0.84".into(), &capture.as_str().into()));
    let too_long = shop
        .send(Method::GET, "/v1/reporting/transactions?start_date=2026-01-01T00:00:00Z&end_date=2026-03-01T00:00:00Z", &[], &Value::Null)
        .await;
    assert_eq!(too_long.status, 400);
    assert!(shop.world.sim.settle(Dialect::Paypal, Plant::default()).is_err());
}

/// All lines around now, two a page.
async fn everything(shop: &Shop) -> Vec<Value> {
    let now = shop.world.sim.movements().last().unwrap().at_ms / 1_000;
    let date = |at: i64| {
        let at = time::OffsetDateTime::from_unix_timestamp(at).unwrap();
        at.format(&time::format_description::well_known::Rfc3339).unwrap()
    };
    let (mut lines, mut page) = (Vec::new(), 1);
    loop {
        let path = format!(
            "/v1/reporting/transactions?start_date={}&end_date={}&fields=all&page_size=2&page={page}",
            date(now - 600),
            date(now + 600)
        );
        let found = shop.get(&path).await;
        lines.extend(found["transaction_details"].as_array().unwrap().iter().map(|line| line["transaction_info"].clone()));
        if page >= found["total_pages"].as_i64().unwrap() {
            return lines;
        }
        page += 1;
    }
}

#[tokio::test]
async fn faults_planted_in_the_report_are_exactly_those() {
    let shop = Shop::open().await;
    let mut captures = Vec::new();
    for _ in 0..6 {
        captures.push(shop.captured("10.00", "USD").await);
    }
    shop.world.sim.settle(Dialect::Paypal, Plant { missing_lines: 1, extra_lines: 1, wrong_amounts: 1 }).unwrap();
    let lines: Vec<_> = everything(&shop).await.into_iter().filter(|line| line["transaction_event_code"] == "T0006").collect();
    let known = |line: &Value| captures.iter().any(|id| line["transaction_id"] == id.as_str());
    assert_eq!(lines.len(), 6);
    assert_eq!(lines.iter().filter(|line| !known(line)).count(), 1);
    assert_eq!(lines.iter().filter(|line| known(line) && line["transaction_amount"]["value"] != "10.00").count(), 1);
}

#[tokio::test]
async fn a_capture_under_review_is_pending_and_completes_by_itself() {
    let shop = Shop::open().await;
    let id = shop.order("CAPTURE", "3.00", "USD").await;
    shop.decide(&id, &Decision::Decline { code: "PENDING".to_owned() });
    let answer = shop.post("k-1", &format!("/v2/checkout/orders/{id}/capture"), &json!({})).await;
    let capture = answer.json()["purchase_units"][0]["payments"]["captures"][0].clone();
    assert_eq!(
        (answer.status, &capture["status"], &capture["status_details"]["reason"]),
        (201, &"PENDING".into(), &"PENDING_REVIEW".into())
    );
    let path = format!("/v2/payments/captures/{}", capture["id"].as_str().unwrap());
    assert_eq!(issue(&shop.post("r-1", &format!("{path}/refund"), &json!({})).await).1, "INVALID_TRANSACTION");
    assert!(shop.kinds().is_empty());
    shop.world.sim.advance(Duration::from_secs(61));
    assert_eq!(shop.kinds(), [(MovementKind::Charged, 300)]);
    assert_eq!(shop.get(&path).await["status"], "COMPLETED");
    let order = shop.get(&format!("/v2/checkout/orders/{id}")).await;
    assert_eq!(order["purchase_units"][0]["payments"]["captures"][0]["status"], "COMPLETED");
    let mut events: Vec<_> =
        shop.world.receiver.take(3).await.iter().map(|webhook| webhook.json()["event_type"].as_str().unwrap().to_owned()).collect();
    events.sort();
    assert_eq!(events, ["CHECKOUT.ORDER.APPROVED", "PAYMENT.CAPTURE.COMPLETED", "PAYMENT.CAPTURE.PENDING"]);
}
