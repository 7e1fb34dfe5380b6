//! Monnify over HTTP: envelopes, forms, statuses, payouts, refunds, settlements.

use std::collections::BTreeSet;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use serde_json::{Value, json};
use sha2::Sha512;
use sim::bank::MovementKind;
use sim::client::Answer;
use sim::faults::{Fault, Rule};
use sim::money::minor_of;
use sim::providers::Plant;
use sim::providers::monnify::{OTP, OTP_WALLET, POOR_WALLET};
use sim::{Dialect, MONNIFY_CONTRACT, MONNIFY_KEY, MONNIFY_SECRET, MONNIFY_SOURCE_ACCOUNT};

use crate::world::{Arrived, World};

struct Merchant {
    world: World,
    bearer: String,
}

async fn login(world: &World, key: &str, secret: &str) -> Answer {
    let basic = format!("Basic {}", STANDARD.encode(format!("{key}:{secret}")));
    world.send(Dialect::Monnify, Method::POST, "/api/v1/auth/login", &[("authorization", &basic)], "").await
}

impl Merchant {
    async fn new() -> Self {
        let world = World::new().await;
        let bearer = Self::bearer(&world).await;
        Self { world, bearer }
    }

    async fn bearer(world: &World) -> String {
        let answer = login(world, MONNIFY_KEY, MONNIFY_SECRET).await;
        format!("Bearer {}", answer.json()["responseBody"]["accessToken"].as_str().unwrap())
    }

    async fn raw(&self, method: Method, path: &str, headers: &[(&str, &str)], body: String) -> Answer {
        let mut all = vec![("authorization", self.bearer.as_str()), ("content-type", "application/json")];
        all.extend(headers);
        self.world.send(Dialect::Monnify, method, path, &all, body).await
    }

    /// What a successful query says.
    async fn get(&self, path: &str) -> Value {
        let answer = self.raw(Method::GET, path, &[], String::new()).await.json();
        assert_eq!((&answer["requestSuccessful"], &answer["responseCode"]), (&json!(true), &json!("0")), "{path}: {answer}");
        answer["responseBody"].clone()
    }

    async fn post(&self, path: &str, body: &Value, fault: &str) -> Value {
        let answer = self.raw(Method::POST, path, &[("x-sim-fault", fault)], body.to_string()).await.json();
        assert_eq!(answer["requestSuccessful"], json!(true), "{path}: {answer}");
        answer["responseBody"].clone()
    }

    /// The message of a refusal, which comes with HTTP 200.
    async fn refused(&self, method: Method, path: &str, body: &Value) -> String {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.raw(method, path, &[], body).await;
        assert_eq!(answer.status, 200);
        let envelope = answer.json();
        assert_eq!(envelope["requestSuccessful"], json!(false), "{path}: {envelope}");
        assert_ne!(envelope["responseCode"], json!("0"));
        assert!(envelope.get("responseBody").is_none());
        envelope["responseMessage"].as_str().unwrap().to_owned()
    }

    async fn open(&self, reference: &str, amount: Value) -> Value {
        let mut body = order(reference);
        body["amount"] = amount;
        self.post("/api/v1/merchant/transactions/init-transaction", &body, "").await
    }

    /// A payment that was paid, and the webhook of it.
    async fn paid(&self, reference: &str, amount: Value) -> (Value, Arrived) {
        let opened = self.open(reference, amount).await;
        self.world.sim.pay(reference).unwrap();
        (opened, self.world.receiver.next().await)
    }

    async fn payment(&self, reference: &str) -> Value {
        self.get(&format!("/api/v2/merchant/transactions/query?paymentReference={reference}")).await
    }

    fn moved(&self, reference: &str) -> Vec<(MovementKind, i64, String)> {
        let all = self.world.sim.movements().into_iter().filter(|movement| movement.reference == reference);
        all.map(|movement| (movement.kind, movement.amount_minor, movement.currency)).collect()
    }
}

fn order(reference: &str) -> Value {
    json!({"amount": 100, "customerName": "Ada Obi", "customerEmail": "ada@example.ng", "paymentReference": reference, "paymentDescription": "Shoes",
        "contractCode": MONNIFY_CONTRACT, "currencyCode": "NGN", "redirectUrl": "https://shop.example/back?x=1",
        "paymentMethods": ["ACCOUNT_TRANSFER"], "metaData": {"order": "7"}})
}

fn payout(reference: &str, amount: Value) -> Value {
    json!({"amount": amount, "reference": reference, "narration": "Wages", "destinationBankCode": "058", "destinationAccountNumber": "0123456789",
        "destinationAccountName": "JIDE BALOGUN", "currency": "NGN", "sourceAccountNumber": MONNIFY_SOURCE_ACCOUNT, "async": false})
}

fn signature(key: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha512>::new_from_slice(key.as_bytes()).unwrap().chain_update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

const SINGLE: &str = "/api/v2/disbursements/single";
const REFUND: &str = "/api/v1/refunds/initiate-refund";

#[tokio::test]
async fn a_wrong_secret_gets_no_token_and_a_token_ends_with_its_time() {
    let merchant = Merchant::new().await;
    for (key, secret) in [("", ""), (MONNIFY_KEY, ""), (MONNIFY_KEY, "wrong"), ("wrong", MONNIFY_SECRET)] {
        let answer = login(&merchant.world, key, secret).await;
        assert_eq!((answer.status, answer.json()["requestSuccessful"].clone()), (401, json!(false)));
    }
    let expires_s = login(&merchant.world, MONNIFY_KEY, MONNIFY_SECRET).await.json()["responseBody"]["expiresIn"].as_u64().unwrap();
    let balance = "/api/v2/disbursements/wallet-balance?accountNumber=8000000001";
    merchant.get(balance).await;
    merchant.world.sim.advance(Duration::from_secs(expires_s));
    let late = merchant.raw(Method::GET, balance, &[], String::new()).await;
    assert_eq!((late.status, late.json()["requestSuccessful"].clone()), (401, json!(false)));
    let again = Merchant { bearer: Merchant::bearer(&merchant.world).await, world: merchant.world };
    again.get(balance).await;
}

#[tokio::test]
async fn a_payment_is_opened_paid_and_read_back_by_either_reference() {
    let merchant = Merchant::new().await;
    let opened = merchant.open("order/1 a", json!("1250.50")).await;
    let theirs = opened["transactionReference"].as_str().unwrap();
    assert!(theirs.starts_with("MNFY|"), "{theirs}");
    assert_eq!(merchant.payment("order%2F1%20a").await["paymentStatus"], "PENDING");
    assert!(merchant.moved("order/1 a").is_empty());

    let decided = merchant.world.sim.pay("order/1 a").unwrap();
    assert_eq!(decided.redirect.unwrap(), "https://shop.example/back?x=1&paymentReference=order%2F1+a");
    assert_eq!(decided.page.url(merchant.world.sim.url()), opened["checkoutUrl"].as_str().unwrap());
    assert_eq!(merchant.moved("order/1 a"), [(MovementKind::Charged, 125_050, "NGN".to_owned())]);
    let mine = merchant.payment("order%2F1%20a").await;
    let yours = merchant.get(&format!("/api/v2/transactions/{}", theirs.replace('|', "%7C"))).await;
    for view in [&mine, &yours] {
        assert_eq!((&view["paymentStatus"], &view["paymentReference"]), (&json!("PAID"), &json!("order/1 a")));
        assert_eq!((minor_of(&view["amountPaid"], 2), minor_of(&view["totalPayable"], 2)), (Some(125_050), Some(125_050)));
        assert_eq!(minor_of(&view["settlementAmount"], 2), Some(125_050 - 1_876));
        assert_eq!(view["currency"], "NGN");
    }
    assert!(merchant.world.sim.pay("order/1 a").unwrap_err().contains("paid already"));
    assert_eq!(merchant.moved("order/1 a").len(), 1);
}

#[tokio::test]
async fn a_reference_opens_one_payment_and_never_a_second() {
    let merchant = Merchant::new().await;
    merchant.open("twice", json!(100)).await;
    let path = "/api/v1/merchant/transactions/init-transaction";
    assert!(merchant.refused(Method::POST, path, &order("twice")).await.contains("Duplicate"));
    assert_eq!(merchant.world.sim.pages("twice").len(), 1);
}

#[tokio::test]
async fn a_bad_request_is_refused_under_http_200_and_the_field_is_named() {
    let merchant = Merchant::new().await;
    let path = "/api/v1/merchant/transactions/init-transaction";
    for (field, value) in [
        ("amount", json!(0)),
        ("amount", json!("-5")),
        ("amount", json!("1.005")),
        ("amount", json!("ten")),
        ("amount", Value::Null),
        ("customerName", json!(" ")),
        ("customerEmail", json!("nobody")),
        ("paymentReference", json!("")),
        ("currencyCode", json!("USD")),
    ] {
        let mut body = order("bad");
        body[field] = value;
        assert!(merchant.refused(Method::POST, path, &body).await.contains(field), "{field}");
    }
    let mut body = order("bad");
    body["contractCode"] = json!("1");
    assert!(merchant.refused(Method::POST, path, &body).await.contains("contract"));
    assert!(
        merchant
            .refused(Method::GET, "/api/v2/merchant/transactions/query?paymentReference=none", &Value::Null)
            .await
            .contains("no transaction")
    );
    assert!(merchant.refused(Method::GET, "/api/v2/transactions/MNFY%7Cnone", &Value::Null).await.contains("no transaction"));
    assert_eq!(merchant.raw(Method::POST, path, &[], "{".to_owned()).await.status, 400);
    assert!(merchant.world.sim.page("bad").is_none());
}

#[tokio::test]
async fn cards_are_never_charged_here() {
    let merchant = Merchant::new().await;
    let answer = merchant.raw(Method::POST, "/api/v1/merchant/cards/charge", &[], "{}".to_owned()).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn amounts_dates_sources_and_metadata_come_in_all_their_forms() {
    let merchant = Merchant::new().await;
    let (mut amounts, mut dates, mut sources, mut metadata) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for number in 0..6 {
        let reference = format!("form-{number}");
        let (_, webhook) = merchant.paid(&reference, json!(100.5)).await;
        let view = merchant.payment(&reference).await;
        for data in [&webhook.json()["eventData"], &view] {
            for name in ["amountPaid", "settlementAmount"] {
                amounts.insert((name, data[name].is_string()));
            }
            assert_eq!(minor_of(&data["amountPaid"], 2), Some(10_050), "{data}");
            let date = data["paidOn"].as_str().unwrap();
            dates.insert(if date.contains('/') {
                "slashes"
            } else if date.contains('T') {
                "iso"
            } else {
                "plain"
            });
            let kept = &data["metaData"];
            metadata.insert(kept.is_string());
            let kept = kept.as_str().map_or_else(|| kept.clone(), |text| serde_json::from_str(text).unwrap());
            assert_eq!(kept, json!({"order": "7"}));
        }
        sources.insert(webhook.json()["eventData"]["paymentSourceInformation"].is_array());
    }
    assert_eq!((amounts.len(), dates.len(), sources.len(), metadata.len()), (4, 3, 2, 2));
}

#[tokio::test]
async fn every_status_can_be_had_and_moves_what_it_says() {
    let merchant = Merchant::new().await;
    let charged = |amount| (MovementKind::Charged, amount, "NGN".to_owned());
    let cases = [
        ("FAILED", vec![]),
        ("CANCELLED", vec![]),
        ("EXPIRED", vec![]),
        ("ABANDONED", vec![]),
        ("PARTIALLY_PAID", vec![charged(5_000)]),
        ("OVERPAID", vec![charged(10_100)]),
        ("REVERSED", vec![charged(10_000), (MovementKind::Refunded, 10_000, "NGN".to_owned())]),
    ];
    for (status, moved) in cases {
        merchant.open(status, json!(100)).await;
        merchant.world.sim.decline(status, status).unwrap();
        let view = merchant.payment(status).await;
        assert_eq!(view["paymentStatus"], status);
        assert_eq!(merchant.moved(status), moved, "{status}");
    }
    merchant.open("gone", json!(100)).await;
    merchant.world.sim.abandon("gone").unwrap();
    assert_eq!(merchant.payment("gone").await["paymentStatus"], "ABANDONED");
    // One that nobody touched ends by itself, and cannot be paid any more.
    merchant.open("late", json!(100)).await;
    merchant.world.sim.advance(Duration::from_secs(40 * 60));
    assert_eq!(merchant.payment("late").await["paymentStatus"], "EXPIRED");
    assert!(merchant.world.sim.pay("late").is_err());
    assert!(merchant.moved("late").is_empty());
}

#[tokio::test]
async fn a_fault_takes_another_amount_or_currency_and_says_so_everywhere() {
    let merchant = Merchant::new().await;
    merchant.world.sim.add_fault(Rule::always(Dialect::Monnify, "pay", Fault::WrongAmount).times(1)).unwrap();
    let (_, webhook) = merchant.paid("less", json!(100)).await;
    assert_eq!(merchant.moved("less"), [(MovementKind::Charged, 9_999, "NGN".to_owned())]);
    for view in [webhook.json()["eventData"].clone(), merchant.payment("less").await] {
        assert_eq!((minor_of(&view["amountPaid"], 2), &view["paymentStatus"]), (Some(9_999), &json!("PARTIALLY_PAID")));
    }
    merchant.world.sim.add_fault(Rule::always(Dialect::Monnify, "pay", Fault::WrongCurrency).times(1)).unwrap();
    let (_, webhook) = merchant.paid("foreign", json!(100)).await;
    assert_eq!(merchant.moved("foreign"), [(MovementKind::Charged, 10_000, "USD".to_owned())]);
    assert_eq!(webhook.json()["eventData"]["currency"], "USD");
    assert_eq!(merchant.payment("foreign").await["currency"], "USD");
}

#[tokio::test]
async fn a_webhook_is_signed_over_its_bytes_and_a_forged_one_is_not() {
    let merchant = Merchant::new().await;
    let (_, genuine) = merchant.paid("signed", json!(100)).await;
    assert_eq!(genuine.json()["eventType"], "SUCCESSFUL_TRANSACTION");
    assert_eq!(genuine.header("monnify-signature"), signature(MONNIFY_SECRET, &genuine.body));
    merchant.world.sim.add_fault(Rule::always(Dialect::Monnify, "pay", Fault::ForgedWebhook).times(1)).unwrap();
    let (_, forged) = merchant.paid("forged", json!(100)).await;
    assert_eq!(forged.header("monnify-signature").len(), 128);
    assert_ne!(forged.header("monnify-signature"), signature(MONNIFY_SECRET, &forged.body));
    merchant.open("no", json!(100)).await;
    merchant.world.sim.decline("no", "FAILED").unwrap();
    assert_eq!(merchant.world.receiver.next().await.json()["eventType"], "REJECTED_PAYMENT");
}

#[tokio::test]
async fn refunds_never_give_back_more_than_was_paid_and_each_reference_once() {
    let merchant = Merchant::new().await;
    let (opened, _) = merchant.paid("bought", json!(100)).await;
    let refund = |reference: &str, amount: Value| {
        json!({"transactionReference": opened["transactionReference"], "refundReference": reference, "refundAmount": amount,
            "refundReason": "Returned", "customerNote": "Sorry"})
    };
    let first = merchant.post(REFUND, &refund("back-1", json!("40.00")), "").await;
    assert_eq!((&first["refundStatus"], &first["refundType"]), (&json!("COMPLETED"), &json!("PARTIAL_REFUND")));
    let event = merchant.world.receiver.next().await.json();
    assert_eq!((&event["eventType"], &event["eventData"]["refundReference"]), (&json!("SUCCESSFUL_REFUND"), &json!("back-1")));
    assert_eq!(minor_of(&event["eventData"]["refundAmount"], 2), Some(4_000));
    assert!(merchant.refused(Method::POST, REFUND, &refund("back-1", json!(40))).await.contains("exists already"));
    assert!(merchant.refused(Method::POST, REFUND, &refund("back-2", json!("60.01"))).await.contains("more than what is left"));

    // A failed one gives its amount free again.
    let failed = merchant.post(REFUND, &refund("back-3", json!(60)), "decline:FAILED").await;
    assert_eq!(merchant.world.receiver.next().await.json()["eventType"], "FAILED_REFUND");
    assert_eq!(merchant.get("/api/v1/refunds/back-3").await["refundStatus"], "FAILED", "{failed}");
    // One under way is not paid before its time.
    assert_eq!(merchant.post(REFUND, &refund("back-4", json!(60)), "decline:IN_PROGRESS").await["refundStatus"], "IN_PROGRESS");
    assert_eq!(merchant.get("/api/v1/refunds/back-4").await["refundStatus"], "IN_PROGRESS");
    assert!(merchant.moved("back-4").is_empty());
    assert!(merchant.refused(Method::POST, REFUND, &refund("back-5", json!(1))).await.contains("more than what is left"));
    merchant.world.sim.advance(Duration::from_secs(60));
    assert_eq!(merchant.get("/api/v1/refunds/back-4").await["refundStatus"], "COMPLETED");
    assert_eq!(merchant.moved("back-4"), [(MovementKind::Refunded, 6_000, "NGN".to_owned())]);
    assert!(merchant.moved("back-3").is_empty());
    assert_eq!(merchant.get("/api/v1/refunds?page=0&size=2").await["totalElements"], 3);

    merchant.open("unpaid", json!(100)).await;
    let unpaid = merchant.payment("unpaid").await;
    let body =
        json!({"transactionReference": unpaid["transactionReference"], "refundReference": "r", "refundAmount": 1, "refundReason": "x"});
    assert!(merchant.refused(Method::POST, REFUND, &body).await.contains("not paid"));
}

#[tokio::test]
async fn an_account_has_a_name_or_is_refused() {
    let merchant = Merchant::new().await;
    let path = |number: &str, bank: &str| format!("/api/v1/disbursements/account/validate?accountNumber={number}&bankCode={bank}");
    assert_eq!(merchant.get(&path("0123456789", "058")).await["accountName"], "JIDE BALOGUN");
    for (number, bank) in [("0000000000", "058"), ("0123456789", "999"), ("123", "058"), ("012345678x", "058")] {
        merchant.refused(Method::GET, &path(number, bank), &Value::Null).await;
    }
}

#[tokio::test]
async fn a_payout_is_told_as_pending_paid_once_and_found_by_our_reference() {
    let merchant = Merchant::new().await;
    let mut body = payout("wage-1", json!("2500.75"));
    body["async"] = json!(true);
    assert_eq!(merchant.post(SINGLE, &body, "").await["status"], "PENDING");
    let event = merchant.world.receiver.next().await.json();
    assert_eq!((&event["eventType"], &event["eventData"]["reference"]), (&json!("SUCCESSFUL_DISBURSEMENT"), &json!("wage-1")));
    let summary = merchant.get(&format!("{SINGLE}/summary?reference=wage-1")).await;
    assert_eq!((&summary["status"], minor_of(&summary["amount"], 2)), (&json!("SUCCESS"), Some(250_075)));
    assert!(merchant.refused(Method::POST, SINGLE, &body).await.contains("exists already"));
    assert_eq!(merchant.moved("wage-1"), [(MovementKind::PaidOut, 250_075, "NGN".to_owned())]);
    assert!(merchant.refused(Method::GET, &format!("{SINGLE}/summary?reference=none"), &Value::Null).await.contains("Could not find"));
    assert_eq!(merchant.post(SINGLE, &payout("wage-2", json!(1)), "").await["status"], "COMPLETED");
    for (field, value) in [
        ("narration", json!("x".repeat(101))),
        ("narration", json!("")),
        ("amount", json!(0)),
        ("destinationBankCode", json!("999")),
        ("destinationAccountNumber", json!("1")),
        ("currency", json!("USD")),
        ("sourceAccountNumber", json!("1")),
    ] {
        let mut bad = payout("wage-3", json!(1));
        bad[field] = value;
        merchant.refused(Method::POST, SINGLE, &bad).await;
    }
    assert!(merchant.moved("wage-3").is_empty());
}

#[tokio::test]
async fn a_payout_that_waits_for_an_otp_goes_with_the_right_one_or_expires() {
    let merchant = Merchant::new().await;
    for reference in ["otp-1", "otp-2"] {
        let mut body = payout(reference, json!(10));
        body["sourceAccountNumber"] = json!(OTP_WALLET);
        assert_eq!(merchant.post(SINGLE, &body, "").await["status"], "PENDING_AUTHORIZATION");
    }
    assert!(merchant.moved("otp-1").is_empty());
    let validate = format!("{SINGLE}/validate-otp");
    let with = |code: &str| json!({"reference": "otp-1", "authorizationCode": code});
    assert!(merchant.refused(Method::POST, &validate, &with("000000")).await.contains("not right"));
    merchant.post(&format!("{SINGLE}/resend-otp"), &json!({"reference": "otp-1"}), "").await;
    merchant.post(&validate, &with(OTP), "").await;
    assert_eq!(merchant.moved("otp-1").len(), 1);
    assert!(merchant.refused(Method::POST, &validate, &with(OTP)).await.contains("waits for no authorization"));
    merchant.world.sim.advance(Duration::from_secs(30 * 60));
    assert_eq!(merchant.get(&format!("{SINGLE}/summary?reference=otp-2")).await["status"], "EXPIRED");
    assert!(merchant.moved("otp-2").is_empty());
}

#[tokio::test]
async fn a_payout_takes_every_status_and_a_wallet_never_pays_what_it_lacks() {
    let merchant = Merchant::new().await;
    let paid = || (MovementKind::PaidOut, 10_000, "NGN".to_owned());
    for (status, moved, events) in [
        ("FAILED", vec![], vec!["FAILED_DISBURSEMENT"]),
        ("EXPIRED", vec![], vec!["FAILED_DISBURSEMENT"]),
        (
            "REVERSED",
            vec![paid(), (MovementKind::Returned, 10_000, "NGN".to_owned())],
            vec!["SUCCESSFUL_DISBURSEMENT", "REVERSED_DISBURSEMENT"],
        ),
    ] {
        merchant.post(SINGLE, &payout(status, json!(100)), &format!("decline:{status}")).await;
        assert_eq!(merchant.get(&format!("{SINGLE}/summary?reference={status}")).await["status"], status);
        assert_eq!(merchant.moved(status), moved);
        let told: BTreeSet<_> = merchant
            .world
            .receiver
            .take(events.len())
            .await
            .iter()
            .map(|webhook| webhook.json()["eventType"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, events.into_iter().map(str::to_owned).collect());
    }
    for status in ["PENDING", "AWAITING_PROCESSING", "IN_PROGRESS"] {
        assert_eq!(merchant.post(SINGLE, &payout(status, json!(100)), &format!("decline:{status}")).await["status"], status);
        assert!(merchant.moved(status).is_empty());
    }
    merchant.world.sim.advance(Duration::from_secs(60));
    // The clock alone ends them and tells; nobody has to ask.
    for webhook in merchant.world.receiver.take(3).await {
        assert_eq!(webhook.json()["eventType"], "SUCCESSFUL_DISBURSEMENT");
    }
    for status in ["PENDING", "AWAITING_PROCESSING", "IN_PROGRESS"] {
        assert_eq!(merchant.get(&format!("{SINGLE}/summary?reference={status}")).await["status"], "SUCCESS");
        assert_eq!(merchant.moved(status), [paid()]);
    }
    let poor = |reference: &str, amount: Value| {
        let mut body = payout(reference, amount);
        body["sourceAccountNumber"] = json!(POOR_WALLET);
        body
    };
    assert!(merchant.refused(Method::POST, SINGLE, &poor("rich", json!("980.01"))).await.contains("does not hold enough"));
    merchant.post(SINGLE, &poor("all", json!(980)), "").await;
    let balance = merchant.get(&format!("/api/v2/disbursements/wallet-balance?accountNumber={POOR_WALLET}")).await;
    assert_eq!(minor_of(&balance["availableBalance"], 2), Some(0));
    assert!(merchant.refused(Method::POST, SINGLE, &poor("more", json!("0.01"))).await.contains("does not hold enough"));
}

#[tokio::test]
async fn a_settlement_pays_gross_less_fee_and_its_report_has_exactly_the_planted_faults() {
    let merchant = Merchant::new().await;
    let mut truth = Vec::new();
    for number in 0..12_i64 {
        let reference = format!("sold-{number}");
        merchant.paid(&reference, json!(100 + number)).await;
        truth.push((reference, (100 + number) * 100));
    }
    let net = |gross: i64| gross - (gross * 150 + 5_000) / 10_000;
    let references = merchant.world.sim.settle(Dialect::Monnify, Plant { missing_lines: 1, extra_lines: 2, wrong_amounts: 1 }).unwrap();
    assert_eq!(references.len(), 1);
    let reference = &references[0];
    let net_minor: i64 = truth.iter().map(|(_, gross)| net(*gross)).sum();
    let settled: Vec<_> = merchant.world.sim.movements().into_iter().filter(|moved| moved.kind == MovementKind::Settled).collect();
    assert_eq!(settled.iter().map(|moved| (&moved.provider_id, moved.amount_minor)).collect::<Vec<_>>(), [(reference, net_minor)]);
    let event = merchant.world.receiver.next().await.json();
    assert_eq!((&event["eventType"], minor_of(&event["eventData"]["amount"], 2)), (&json!("SETTLEMENT"), Some(net_minor)));

    let list = merchant.get("/api/v1/settlements?from=2020-01-01&to=2999-12-31").await;
    let settlement = &list["content"][0];
    assert_eq!(settlement["settlementReference"], json!(reference));
    let sum = |name: &str| minor_of(&settlement[name], 2).unwrap();
    assert_eq!((sum("amount") - sum("fee"), sum("netAmount")), (net_minor, net_minor));
    assert_eq!(merchant.get("/api/v1/settlements?from=2999-01-01").await["totalElements"], 0);

    let mut lines = Vec::new();
    for page in 0..5 {
        let path = format!("/api/v1/transactions/find-by-settlement-reference?reference={reference}&page={page}&size=3");
        let page = merchant.get(&path).await;
        assert_eq!(page["totalElements"], 13);
        lines.extend(page["content"].as_array().unwrap().clone());
    }
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let amount = |name: &str| minor_of(&line[name], 2).unwrap();
            assert_eq!(amount("amount"), amount("fee") + amount("netAmount"), "{line}");
            (line["paymentReference"].as_str().unwrap().to_owned(), amount("amount"))
        })
        .collect();
    assert_eq!(truth.iter().filter(|(reference, _)| told.iter().all(|(known, _)| known != reference)).count(), 1);
    assert_eq!(told.iter().filter(|(reference, _)| truth.iter().all(|(known, _)| known != reference)).count(), 2);
    let off: Vec<_> =
        told.iter().filter(|(reference, amount)| truth.iter().any(|(known, gross)| known == reference && gross != amount)).collect();
    assert_eq!(off.len(), 1);
    assert!(merchant.world.sim.settle(Dialect::Monnify, Plant::default()).unwrap_err().contains("nothing to settle"));
    let path = format!(
        "/api/v1/settlement-detail?transactionReference={}",
        merchant.payment("sold-3").await["transactionReference"].as_str().unwrap()
    );
    assert_eq!(merchant.get(&path.replace('|', "%7C")).await["settlementReference"], json!(reference));
}
