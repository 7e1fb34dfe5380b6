//! Stripe's webhooks: the signature, and what an event says. <https://docs.stripe.com/webhooks#verify-manually>

use hmac::{Hmac, KeyInit as _, Mac as _};
use kernel::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::objects;
use crate::intent::Observation;
use crate::provider::{Account, Notice, Webhook, WebhookError};
use crate::providers::answers::{self, owned, text};

/// Seconds that the time of a signature may lie in the past or in the future.
const WINDOW_S: u64 = 300;
/// Signatures of one header that are looked at, and secrets of one account: during a rotation there are two of each.
const TRIES_MAX: usize = 10;

/// Whether one of the account's secrets signed it, at about this time.
pub(super) fn check(account: &Account, webhook: Webhook<'_>, now: Timestamp) -> Result<(), WebhookError> {
    let secrets = account.secrets.get("webhook_secret").map(answers::one_or_many).unwrap_or_default();
    let secrets: Vec<&str> = secrets.iter().filter_map(Value::as_str).filter(|secret| !secret.is_empty()).take(TRIES_MAX).collect();
    if secrets.is_empty() {
        return Err(WebhookError::SetUp);
    }
    let header = webhook.header("stripe-signature").ok_or(WebhookError::Forged)?;
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let time = fields().find(|(name, _)| *name == "t").map(|(_, time)| time).ok_or(WebhookError::Forged)?;
    let seconds: i64 = time.parse().map_err(|_| WebhookError::Forged)?;
    let signatures: Vec<[u8; 32]> = fields().filter(|(name, _)| *name == "v1").filter_map(|(_, hex)| unhex(hex)).take(TRIES_MAX).collect();
    let mut is_genuine = subtle::Choice::from(0);
    for secret in secrets {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| WebhookError::SetUp)?;
        mac.update(time.as_bytes());
        mac.update(b".");
        mac.update(webhook.body);
        let ours: [u8; 32] = mac.finalize().into_bytes().into();
        for theirs in &signatures {
            is_genuine |= subtle::ConstantTimeEq::ct_eq(&ours[..], &theirs[..]);
        }
    }
    if !bool::from(is_genuine) {
        return Err(WebhookError::Forged);
    }
    if seconds.abs_diff(now.as_seconds()) > WINDOW_S { Err(WebhookError::Stale) } else { Ok(()) }
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

/// What an event says of things of ours: those that carry a reference of ours.
pub(super) fn read(body: &[u8]) -> Result<Vec<Notice>, WebhookError> {
    let event = answers::webhook_body(body)?;
    let kind = text(&event, "/type").ok_or_else(|| WebhookError::Unreadable("the event has no type".to_owned()))?;
    let object = event.pointer("/data/object").ok_or_else(|| WebhookError::Unreadable("the event has no object".to_owned()))?;
    // A dispute carries nothing of ours: it is known by the payment that it is about.
    if text(object, "/object") == Some("dispute") {
        let told = objects::dispute(object, kind).filter(|told| told.charge_ref.is_some());
        let notice = |told: Observation| Notice { reference: None, provider_ref: told.charge_ref.clone(), observation: told };
        return Ok(told.map(notice).into_iter().collect());
    }
    let Some(reference) = owned(object, "/metadata/reference").or_else(|| owned(object, "/client_reference_id")) else {
        return Ok(Vec::new());
    };
    let notice = |reference: String, observation: Observation| Notice {
        reference: Some(reference),
        provider_ref: owned(object, "/id"),
        observation,
    };
    Ok(match (text(object, "/object"), kind) {
        (Some("checkout.session"), _) => vec![notice(reference, objects::session(object))],
        (Some("payment_intent"), _) => {
            let captures = objects::all_captures(object).into_iter().map(|(capture, seen)| notice(capture, seen));
            let captures: Vec<Notice> = captures.collect();
            // The attempt first: a capture follows from it.
            std::iter::once(notice(reference, objects::payment_intent(object))).chain(captures).collect()
        }
        (Some("refund"), _) => vec![notice(reference, objects::refund(object))],
        (Some("payout"), _) => vec![notice(reference, objects::payout(object))],
        // Charges, customers: nothing of it is not told by one of the above.
        _ => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::{DisputeState, Seen};
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn sign(secret: &str, time: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{time}.").as_bytes());
        mac.update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn checked(secrets: &Value, header: Option<String>, body: &[u8]) -> Result<(), WebhookError> {
        let account = Account {
            id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            base_url: String::new(),
            settings: json!({}),
            secrets: json!({"webhook_secret": secrets}),
        };
        let headers: Vec<_> = header.into_iter().map(|value| ("stripe-signature".to_owned(), value)).collect();
        check(&account, Webhook { headers: &headers, body }, Timestamp::from_seconds(NOW))
    }

    #[test]
    fn a_signature_by_one_of_the_secrets_is_genuine_wherever_it_stands() {
        let body = br#"{"id":"evt_1"}"#;
        let (new, old) = (sign("new", NOW, body), sign("old", NOW, body));
        for header in
            [format!("t={NOW},v1={old}"), format!("t={NOW},v1={},v1={old}", sign("x", NOW, body)), format!("v0=1, t={NOW}, v1={new}")]
        {
            assert_eq!(checked(&json!(["new", "old"]), Some(header), body), Ok(()));
        }
        assert_eq!(checked(&json!("new"), Some(format!("t={NOW},v1={new}")), body), Ok(()));
        assert_eq!(checked(&json!("new"), Some(format!("t={NOW},v1={old}")), body), Err(WebhookError::Forged));
        assert_eq!(checked(&json!("new"), Some(format!("t={NOW},v1={new}")), b"{}"), Err(WebhookError::Forged));
        assert_eq!(checked(&json!([]), Some(format!("t={NOW},v1={new}")), body), Err(WebhookError::SetUp));
        assert_eq!(checked(&json!(""), Some(format!("t={NOW},v1={}", sign("", NOW, body))), body), Err(WebhookError::SetUp));
    }

    #[test]
    fn a_dispute_is_known_by_its_payment_and_says_what_the_money_did() {
        let told = |kind: &str, status: &str| {
            let dispute =
                json!({"object": "dispute", "id": "du_1", "payment_intent": "pi_1", "amount": 1_250, "currency": "eur", "status": status});
            let notices = read(json!({"type": kind, "data": {"object": dispute}}).to_string().as_bytes()).unwrap();
            notices.into_iter().next().map(|notice| (notice.provider_ref, notice.observation.seen))
        };
        let amount = Some(kernel::Money::new(1_250, kernel::Currency::parse("EUR").unwrap()));
        let seen = |to| Some((Some("pi_1".to_owned()), Seen::Disputed { case: "du_1".to_owned(), amount, to }));
        assert_eq!(told("charge.dispute.created", "needs_response"), seen(DisputeState::Open));
        assert_eq!(told("charge.dispute.funds_withdrawn", "needs_response"), seen(DisputeState::Withdrawn));
        assert_eq!(told("charge.dispute.closed", "lost"), seen(DisputeState::Withdrawn));
        assert_eq!(told("charge.dispute.funds_reinstated", "won"), seen(DisputeState::Returned));
        assert_eq!(told("charge.dispute.closed", "won"), seen(DisputeState::Returned));
        assert_eq!(told("charge.dispute.closed", "warning_closed"), seen(DisputeState::Closed));
        assert_eq!(told("charge.dispute.updated", "under_review"), None);
    }

    #[test]
    fn the_window_is_bounded_on_both_sides_and_a_broken_header_is_forged() {
        let body = b"{}";
        let at = |time: i64| checked(&json!("s"), Some(format!("t={time},v1={}", sign("s", time, body))), body);
        assert_eq!(at(NOW - 300), Ok(()));
        assert_eq!(at(NOW + 300), Ok(()));
        assert_eq!(at(NOW - 301), Err(WebhookError::Stale));
        assert_eq!(at(NOW + 301), Err(WebhookError::Stale));
        assert_eq!(at(i64::MIN), Err(WebhookError::Stale));
        let good = sign("s", NOW, body);
        for header in [
            "",
            "t=,v1=",
            "v1=00",
            &format!("t={NOW}"),
            &format!("t=x,v1={good}"),
            &format!("t={NOW},v1={good}00"),
            &format!("t={NOW},v0={good}"),
        ] {
            assert_eq!(checked(&json!("s"), Some(header.to_owned()), body), Err(WebhookError::Forged), "{header}");
        }
        assert_eq!(checked(&json!("s"), None, body), Err(WebhookError::Forged));
    }
}
