//! Ramp's quirks over literal messages.

use super::*;
use proptest::prelude::*;

fn account(secret: Value) -> Account {
    Account {
        id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
        base_url: String::new(),
        settings: json!({}),
        secrets: json!({"webhook_secret": secret}),
    }
}

fn dollars(amount_minor: i64) -> Money {
    Money::new(amount_minor, Currency::parse("USD").unwrap())
}

fn sign(secret: &str, body: &[u8]) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
    mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn checked(secret: Value, signature: Option<String>, id: Option<&str>, body: &[u8]) -> Result<(), WebhookError> {
    let signature = signature.map(|value| ("x-ramp-signature".to_owned(), value));
    let headers: Vec<_> = signature.into_iter().chain(id.map(|id| ("x-ramp-webhook-id".to_owned(), id.to_owned()))).collect();
    Ramp.check(&account(secret), Webhook { headers: &headers, body }, Timestamp::from_seconds(0))
}

#[test]
fn a_webhook_is_signed_over_its_raw_body_by_one_of_the_secrets_and_has_a_name() {
    let body = br#"{"id": "1"}"#;
    for secret in [json!("s"), json!(["new", "s"])] {
        assert_eq!(checked(secret.clone(), Some(sign("s", body)), Some("w-1"), body), Ok(()));
        assert_eq!(checked(secret.clone(), Some(format!("sha256={}", sign("s", body))), Some("w-1"), body), Ok(()));
        assert_eq!(checked(secret.clone(), Some(sign("s", body)), Some("w-1"), br#"{"id":"1"}"#), Err(WebhookError::Forged));
        assert_eq!(checked(secret.clone(), Some(sign("x", body)), Some("w-1"), body), Err(WebhookError::Forged));
        assert_eq!(checked(secret.clone(), Some(sign("s", body)), None, body), Err(WebhookError::Forged));
        assert_eq!(checked(secret, None, Some("w-1"), body), Err(WebhookError::Forged));
    }
    for secret in [json!(null), json!(""), json!([])] {
        assert_eq!(checked(secret, Some(sign("", body)), Some("w-1"), body), Err(WebhookError::SetUp));
    }
}

#[test]
fn every_word_of_a_transfer_has_its_meaning_and_a_new_one_means_pending() {
    let seen = |word: &str| transfer(&json!({"status": word, "amount": {"amount": "1050", "currency_code": "USD"}})).seen;
    assert_eq!(seen("COMPLETED"), Seen::Succeeded { amount: Some(dollars(1_050)), crypto_amount: None });
    assert_eq!(seen("RETURNED_BY_RDFI"), Seen::Reversed);
    for word in ["INITIATED", "PROCESSING", "SUBMITTED_TO_FRB", "SUBMITTED_TO_RDFI", "UPLOADED", "A_NEW_ONE", ""] {
        assert_eq!(seen(word), Seen::Pending, "{word}");
    }
    for word in ["ERROR", "CANCELED", "NOT_ENOUGH_FUNDS", "REJECTED_BY_ODFI"] {
        assert!(matches!(seen(word), Seen::Declined { .. }), "{word}");
    }
}

#[test]
fn a_refusal_is_what_ramp_says_itself_and_a_key_with_another_body_leaves_the_outcome_unknown() {
    let answer = |status: u16, body: &Value| failure(&Answer { status, body: body.to_string().into() });
    let envelope = |message: &str| json!({"error_v2": {"error_code": "DEVELOPER_7001", "message": message}});
    let class = |failure: Failure| match failure {
        Failure::Refused { class, .. } => Some(class),
        _ => None,
    };
    assert_eq!(class(answer(422, &envelope("amount.amount must be whole"))), Some(ErrorClass::InvalidRequest));
    assert_eq!(class(answer(403, &envelope("scope"))), Some(ErrorClass::SetUp));
    assert_eq!(class(answer(429, &json!(null))), Some(ErrorClass::RateLimited));
    assert_eq!(class(answer(422, &envelope("The Idempotency-Key was used with another body"))), None);
    for (status, body) in [(409, envelope("in use")), (422, json!("proxy")), (500, envelope("broken")), (302, json!(null))] {
        assert_eq!(class(answer(status, &body)), None, "{status}");
    }
}

fn said(event: &Value) -> Result<Vec<Notice>, WebhookError> {
    Ramp.read(&account(json!("s")), Webhook { headers: &[], body: event.to_string().as_bytes() })
}

#[test]
fn a_transfer_is_told_by_our_reference_and_everything_else_is_nothing_of_ours() {
    let object = json!({"object_type": "transfer", "id": "t-1", "reference": "pot_1", "status": "COMPLETED",
        "amount": {"amount": 1050, "currency_code": "USD"}});
    let notices = said(&json!({"type": "payments.updated", "object": object})).unwrap();
    let [notice] = &notices[..] else { panic!("one notice") };
    assert_eq!((notice.reference.as_deref(), notice.provider_ref.as_deref()), (Some("pot_1"), Some("t-1")));
    assert_eq!(notice.observation.seen, Seen::Succeeded { amount: Some(dollars(1_050)), crypto_amount: None });
    assert_eq!(said(&json!({"type": "transactions.cleared", "object": {"object_type": "transaction", "id": "1"}})), Ok(Vec::new()));
    assert_eq!(said(&json!({"type": "payments.updated"})), Ok(Vec::new()));
    for event in [json!({}), json!([]), json!({"object": {}})] {
        assert!(said(&event).is_err(), "{event}");
    }
}

#[test]
fn what_left_us_is_below_zero_and_its_fee_comes_on_top() {
    let line = |amount: &str, fee: &str| {
        let list = format!(
            "[{{\"id\":\"x\",\"transfer_id\":\"t-1\",\"reference\":\"pot_1\",\"amount\":{{\"amount\":{amount},\"currency_code\":\"USD\"}},{fee}
            \"state\":\"CLEARED\",\"user_transaction_time\":\"2026-01-31T09:30:00.000Z\",\"statement_id\":\"S\"}},
            {{\"state\":\"PENDING\"}}]"
        );
        Ramp.report(&account(json!("s")), list.as_bytes())
    };
    let lines = line("5000", "\"fee\":{\"amount\":25,\"currency_code\":\"USD\"},").unwrap();
    let [read] = &lines[..] else { panic!("one line") };
    assert_eq!((read.kind, read.gross, read.fee_minor, read.net_minor), (LineKind::Payout, dollars(-5_000), 25, -5_025));
    assert_eq!((read.reference.as_deref(), read.provider_ref.as_deref(), read.batch.as_deref()), (Some("pot_1"), Some("t-1"), Some("S")));
    assert_eq!(read.at, Timestamp::parse("2026-01-31T09:30:00Z").ok());
    assert_eq!(line("-5000", "").unwrap()[0].net_minor, 5_000, "it came back");
    for (amount, fee) in
        [("50.5", ""), ("null", ""), ("-9223372036854775808", ""), ("5", "\"fee\":{\"amount\":1,\"currency_code\":\"EUR\"},")]
    {
        assert!(matches!(line(amount, fee), Err(WebhookError::Unreadable(what)) if what.starts_with("line 1: ")), "{amount}");
    }
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused_and_never_panics(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        name in "reference|amount|status|id|fee|state|user_transaction_time",
        value in "\"\\PC{0,20}\"|-?[1-9][0-9]{0,25}(\\.[0-9]{1,5})?|null|\\{\\}|\\[\\]|\\{\"amount\":-?[0-9]{1,20},\"currency_code\":\"USD\"\\}",
    ) {
        let account = account(json!("s"));
        let _ = Ramp.read(&account, Webhook { headers: &[], body: &bytes });
        let _ = Ramp.report(&account, &bytes);
        let event = format!("{{\"type\":\"x\",\"object\":{{\"object_type\":\"transfer\",\"{name}\":{value}}}}}");
        let _ = Ramp.read(&account, Webhook { headers: &[], body: event.as_bytes() });
        let _ = Ramp.report(&account, format!("[{{\"{name}\":{value}}}]").as_bytes());
    }
}
