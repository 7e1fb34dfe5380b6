//! Ramp Network's quirks over literal messages.

use super::*;
use k256::ecdsa::SigningKey;
use k256::ecdsa::signature::Signer as _;
use kernel::{Currency, Money};
use proptest::prelude::*;
use serde_json::json;

/// The pair of keys of the published simulator: nothing secret.
const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEkpCqPgKoKZ8FiFuXeR0h93iDEBC0M+5Q
M57asbYiuMJx6l8/eGfBiHADaJ+EnToVWOondf3QZwR3LIW5xCStVw==
-----END PUBLIC KEY-----
";
const PRIVATE: [u8; 32] = [
    0x78, 0xa5, 0xe1, 0x01, 0x37, 0xbd, 0xe3, 0x61, 0xb7, 0x62, 0x07, 0x53, 0x78, 0xd3, 0xc1, 0x38, 0x72, 0x45, 0x42, 0x56, 0x8d, 0xf4,
    0x32, 0xe2, 0x56, 0x47, 0xb7, 0xae, 0x3e, 0x4d, 0x16, 0x46,
];
const WALLET: &str = "0x71C7656EC7ab88b098defB751B7401B5f6d8976F";

fn account(settings: Value) -> Account {
    Account {
        id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
        base_url: "https://app.rampnetwork.com".to_owned(),
        settings,
        secrets: json!({}),
    }
}

fn settings() -> Value {
    json!({"host_api_key": "key", "swap_asset": "ETH_USDC", "user_address": WALLET, "public_key_pem": PUBLIC})
}

fn euro(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("EUR").unwrap())
}

fn order() -> Order {
    Order::OpenPage {
        reference: "pat_1".to_owned(),
        amount: euro(1_234),
        capture_method: CaptureMethod::Automatic,
        description: String::new(),
        payer: crate::provider::Payer { name: None, email: Some("ada+1@example.org".to_owned()), phone: None },
        return_url: "https://shop.example/back?a=1&b=2".to_owned(),
        webhook_url: "https://pay.example/v1/payments/webhooks/t".to_owned(),
        expires_at: None,
        extra: json!({"user_address": "0xsomebody"}),
    }
}

fn query_of(settings: Value) -> Vec<(String, String)> {
    let Ok(Done::Page { url, provider_ref: None, .. }) = widget(&account(settings), &order()) else { panic!("no page") };
    assert!(url.starts_with("https://app.rampnetwork.com/?"), "{url}");
    Url::parse(&url).unwrap().query_pairs().into_owned().collect()
}

fn field<'a>(query: &'a [(String, String)], name: &str) -> Option<&'a str> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[test]
fn the_widgets_address_carries_the_amount_the_wallet_and_where_this_is_heard_of() {
    let query = query_of(settings());
    assert_eq!(field(&query, "fiatValue"), Some("12.34"));
    assert_eq!(field(&query, "fiatCurrency"), Some("EUR"));
    assert_eq!(field(&query, "hostApiKey"), Some("key"));
    assert_eq!(field(&query, "finalUrl"), Some("https://shop.example/back?a=1&b=2"));
    assert_eq!(field(&query, "webhookStatusUrl"), Some("https://pay.example/v1/payments/webhooks/t?reference=pat_1"));
    assert_eq!(field(&query, "userEmailAddress"), Some("ada+1@example.org"));
    assert_eq!(field(&query, "userAddress"), Some(WALLET), "the caller's own does not go before the account's");
    let mut settings = settings();
    settings.as_object_mut().unwrap().remove("user_address");
    assert_eq!(field(&query_of(settings), "userAddress"), Some("0xsomebody"));
}

#[test]
fn what_it_cannot_do_is_refused_and_a_missing_setting_is_named() {
    let Order::OpenPage { reference, amount, description, payer, return_url, webhook_url, expires_at, extra, .. } = order() else { return };
    let capture_method = CaptureMethod::Manual;
    let manual = Order::OpenPage { reference, amount, capture_method, description, payer, return_url, webhook_url, expires_at, extra };
    assert!(matches!(widget(&account(settings()), &manual), Err(Failure::Refused { class: ErrorClass::NotSupported, .. })));
    let missing = widget(&account(json!({"host_api_key": "key"})), &order());
    assert_eq!(missing.map(|_| ()).map_err(|failure| failure.to_string()), Err("refused: the setting swap_asset is missing".to_owned()));
}

fn event(kind: &str, status: &str) -> Value {
    json!({"type": kind, "purchase": {"id": "p-1", "purchaseViewToken": "tok", "asset": {"symbol": "USDC", "chain": "ETH", "decimals": 6},
        "cryptoAmount": "340282366920938463463374607431768211456", "fiatCurrency": "EUR", "fiatValue": 12.34, "networkFee": 1e-7,
        "receiverAddress": WALLET.to_lowercase(), "status": status, "reference": "pat_1"}})
}

fn signed(body: &[u8], is_high: bool) -> String {
    let key = SigningKey::from_slice(&PRIVATE).unwrap();
    let signature: Signature = key.sign(stable::stringify(body).unwrap().as_bytes());
    let signature = signature.normalize_s();
    let signature = if is_high { Signature::from_scalars(signature.r(), -signature.s()).unwrap() } else { signature };
    STANDARD.encode(signature.to_der())
}

fn checked(settings: Value, header: Option<String>, body: &[u8]) -> Result<(), WebhookError> {
    let headers: Vec<_> = header.into_iter().map(|value| ("x-body-signature".to_owned(), value)).collect();
    RampNetwork.check(&account(settings), Webhook { headers: &headers, body }, Timestamp::from_seconds(0))
}

#[test]
fn the_signature_covers_the_stable_form_whatever_was_sent_and_from_either_half_of_the_curve() {
    let body = event("RELEASED", "RELEASED").to_string();
    let spread = format!(" {} ", serde_json::to_string_pretty(&event("RELEASED", "RELEASED")).unwrap().replace("12.34", "12.340"));
    for is_high in [false, true] {
        let signature = signed(body.as_bytes(), is_high);
        assert_eq!(checked(settings(), Some(signature.clone()), body.as_bytes()), Ok(()));
        assert_eq!(checked(settings(), Some(signature.clone()), spread.as_bytes()), Ok(()));
        let more = body.replace("12.34", "12.35");
        assert_eq!(checked(settings(), Some(signature), more.as_bytes()), Err(WebhookError::Forged));
    }
}

#[test]
fn a_signature_that_is_missing_broken_or_somebody_elses_is_forged_and_a_key_that_is_none_is_our_set_up() {
    let body = event("RELEASED", "RELEASED").to_string();
    let good = signed(body.as_bytes(), false);
    for header in
        [None, Some(String::new()), Some("not base64!".to_owned()), Some(STANDARD.encode([0x30, 0])), Some(good.replace('M', "N"))]
    {
        assert_eq!(checked(settings(), header.clone(), body.as_bytes()), Err(WebhookError::Forged), "{header:?}");
    }
    assert_eq!(checked(settings(), Some(good.clone()), b"{"), Err(WebhookError::Forged));
    for key in [json!(null), json!(""), json!("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")] {
        let mut settings = settings();
        settings["public_key_pem"] = key;
        assert_eq!(checked(settings, Some(good.clone()), body.as_bytes()), Err(WebhookError::SetUp));
    }
}

#[test]
fn the_key_that_ramp_network_publishes_is_read() {
    let key = "-----BEGIN PUBLIC KEY-----\nMFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAElvxpYOhgdAmI+7oL4mABRAfM5CwLkCbZ\n\
        m64ERVKAisSulWFC3oRZom/PeyE2iXPX1ekp9UD1r+51c9TiuIHU4w==\n-----END PUBLIC KEY-----";
    let body = event("RELEASED", "RELEASED").to_string();
    let mut settings = settings();
    settings["public_key_pem"] = json!(key);
    assert_eq!(checked(settings, Some(signed(body.as_bytes(), false)), body.as_bytes()), Err(WebhookError::Forged));
}

fn said(settings: Value, event: &Value) -> Result<Vec<Notice>, WebhookError> {
    RampNetwork.read(&account(settings), Webhook { headers: &[], body: event.to_string().as_bytes() })
}

#[test]
fn the_books_take_the_fiat_side_and_the_crypto_amount_stays_a_text_of_any_length() {
    let notices = said(settings(), &event("RELEASED", "RELEASED")).unwrap();
    let [notice] = &notices[..] else { panic!("one notice") };
    assert_eq!((notice.reference.as_deref(), notice.provider_ref.as_deref()), (Some("pat_1"), Some("p-1:tok")));
    assert_eq!(notice.observation.charge_ref.as_deref(), Some("p-1"));
    let crypto_amount = Some("340282366920938463463374607431768211456".to_owned());
    assert_eq!(notice.observation.seen, Seen::Succeeded { amount: Some(euro(1_234)), crypto_amount });
}

#[test]
fn a_purchase_that_was_begun_is_polled_and_one_that_was_returned_took_nothing() {
    let seen = |kind: &str, status: &str| said(settings(), &event(kind, status)).unwrap()[0].observation.seen.clone();
    assert_eq!(seen("CREATED", "INITIALIZED"), Seen::Pending);
    assert_eq!(seen("RETURNED", "RETURNED"), Seen::Declined { class: ErrorClass::DeclinedSoft, code: "RETURNED".to_owned() });
    assert_eq!(seen("ERROR", "PAYMENT_FAILED"), Seen::Declined { class: ErrorClass::DeclinedSoft, code: "PAYMENT_FAILED".to_owned() });
    assert_eq!(seen("A_NEW_ONE", "A_NEW_ONE"), Seen::Pending);
    let polled = |status: &str| observed(&event("", status)["purchase"], None).seen;
    assert_eq!(polled("INITIALIZED"), Seen::WaitsForPerson);
    assert_eq!(polled("FIAT_RECEIVED"), Seen::Pending);
    assert_eq!(polled("EXPIRED"), Seen::Expired);
    assert!(matches!(polled("CANCELLED"), Seen::Declined { class: ErrorClass::PayerAction, .. }));
    assert!(matches!(polled("REVIEW_REJECTED"), Seen::Declined { class: ErrorClass::Fraud, .. }));
}

#[test]
fn a_purchase_into_another_wallet_or_of_another_asset_credits_nothing_though_it_is_signed() {
    let mut elsewhere = event("RELEASED", "RELEASED");
    elsewhere["purchase"]["receiverAddress"] = json!("0x0000000000000000000000000000000000000bad");
    assert!(matches!(said(settings(), &elsewhere), Err(WebhookError::Unreadable(_))));
    let mut nowhere = event("RELEASED", "RELEASED");
    nowhere["purchase"].as_object_mut().unwrap().remove("receiverAddress");
    assert!(said(settings(), &nowhere).is_err());
    let mut asset = event("RELEASED", "RELEASED");
    asset["purchase"]["asset"]["symbol"] = json!("SHIB");
    assert!(said(settings(), &asset).is_err());
    for (wanted, is_good) in [("USDC", true), ("ETH_*", true), ("BTC, ETH_USDC", true), ("MATIC_USDC", false), ("ETH_DAI", false)] {
        let mut settings = settings();
        settings["swap_asset"] = json!(wanted);
        assert_eq!(said(settings, &event("RELEASED", "RELEASED")).is_ok(), is_good, "{wanted}");
    }
}

#[test]
fn a_purchase_that_does_not_repeat_our_reference_is_known_by_its_own_name_only_whatever_stands_around_it() {
    let mut event = event("RELEASED", "RELEASED");
    event["purchase"].as_object_mut().unwrap().remove("reference");
    let headers = [("reference".to_owned(), "pat_2".to_owned())];
    let notices = RampNetwork.read(&account(settings()), Webhook { headers: &headers, body: event.to_string().as_bytes() }).unwrap();
    assert_eq!((notices[0].reference.as_deref(), notices[0].provider_ref.as_deref()), (None, Some("p-1:tok")));
}

#[test]
fn a_sale_is_about_nothing_of_ours() {
    assert_eq!(said(settings(), &json!({"id": "1", "type": "RELEASED", "mode": "OFFRAMP", "payload": {"id": "s-1"}})), Ok(Vec::new()));
    for event in [json!({}), json!([]), json!({"type": "RELEASED"}), json!({"type": "RELEASED", "purchase": 7})] {
        assert!(said(settings(), &event).is_err(), "{event}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused_and_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        name in "id|fiatValue|fiatCurrency|cryptoAmount|status|purchaseViewToken|asset|receiverAddress",
        value in "\"\\PC{0,20}\"|-?[1-9][0-9]{0,25}(\\.[0-9]{1,5})?|null|\\{\\}|\\[\\]",
    ) {
        let account = account(json!({"public_key_pem": PUBLIC}));
        let _ = RampNetwork.read(&account, Webhook { headers: &[], body: &bytes });
        let _ = RampNetwork.report(&account, &bytes);
        let body = format!("{{\"type\":\"RELEASED\",\"purchase\":{{\"{name}\":{value}}}}}");
        let headers = [("x-body-signature".to_owned(), String::from_utf8_lossy(&bytes).into_owned())];
        let webhook = Webhook { headers: &headers, body: body.as_bytes() };
        let _ = RampNetwork.read(&account, webhook);
        prop_assert!(RampNetwork.check(&account, webhook, Timestamp::from_seconds(0)).is_err());
    }
}
