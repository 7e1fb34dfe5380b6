//! Monnify's webhooks: the signature, and what an event says.
//! <https://developers.monnify.com/docs/webhooks>: the prose there hashes a concatenation; what is sent is an HMAC over the body.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::Value;
use sha2::Sha512;
use subtle::ConstantTimeEq as _;

use super::objects;
use crate::intent::{Observation, Seen};
use crate::provider::{Account, Notice, Webhook, WebhookError};
use crate::providers::answers::{owned, text};

/// Whether the account's secret key signed exactly these bytes. Monnify signs no time, so that an old one is as good as a new one:
/// what it says is applied once however often it comes.
pub(super) fn check(account: &Account, webhook: Webhook<'_>) -> Result<(), WebhookError> {
    let secret = account.secret("secret_key").ok().filter(|secret| !secret.is_empty()).ok_or(WebhookError::SetUp)?;
    let theirs = webhook.header("monnify-signature").ok_or(WebhookError::Forged)?.trim().to_ascii_lowercase();
    let mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).map_err(|_| WebhookError::SetUp)?;
    let digest = mac.chain_update(webhook.body).finalize().into_bytes();
    let ours: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    if bool::from(ours.as_bytes().ct_eq(theirs.as_bytes())) { Ok(()) } else { Err(WebhookError::Forged) }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// A payment: its status says how it stands.
    Payment,
    /// A payment that Monnify sent back to the payer, such as a transfer of a wrong amount; another may follow.
    Rejected,
    /// A payout.
    Payout,
    /// A refund.
    Refund,
}

/// The events. SETTLEMENT and whatever else there is say nothing of one payment.
const EVENTS: &[(&str, About)] = &[
    ("SUCCESSFUL_TRANSACTION", About::Payment),
    ("REJECTED_PAYMENT", About::Rejected),
    ("SUCCESSFUL_DISBURSEMENT", About::Payout),
    ("FAILED_DISBURSEMENT", About::Payout),
    ("REVERSED_DISBURSEMENT", About::Payout),
    ("SUCCESSFUL_REFUND", About::Refund),
    ("FAILED_REFUND", About::Refund),
];

/// What an event says.
pub(super) fn read(event: &Value) -> Result<Vec<Notice>, WebhookError> {
    let kind = text(event, "/eventType").ok_or_else(|| WebhookError::Unreadable("the event has no eventType".to_owned()))?;
    let data = event.get("eventData").filter(|data| data.is_object());
    let data = data.ok_or_else(|| WebhookError::Unreadable("the event has no eventData".to_owned()))?;
    let Some((_, about)) = EVENTS.iter().find(|(known, _)| *known == kind) else { return Ok(Vec::new()) };
    let (reference, observation) = match about {
        About::Payment => (objects::reference(data), objects::payment(data)),
        About::Rejected => {
            let observation = Observation { seen: Seen::Changed, ..objects::payment(data) };
            (objects::reference(data), observation)
        }
        About::Payout => (owned(data, "/reference"), objects::payout(data)),
        About::Refund => (owned(data, "/refundReference"), objects::refund(data)),
    };
    let provider_ref = observation.provider_ref.clone();
    if reference.is_none() && provider_ref.is_none() {
        return Err(WebhookError::Unreadable("the event has no reference".to_owned()));
    }
    Ok(vec![Notice { reference, provider_ref, observation }])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider as _;
    use crate::providers::monnify::Monnify;
    use kernel::{Currency, Money, Timestamp};
    use proptest::prelude::*;
    use serde_json::json;

    fn account(secret: &str) -> Account {
        Account {
            id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            base_url: String::new(),
            settings: json!({}),
            secrets: json!({"secret_key": secret}),
        }
    }

    fn sign(secret: &str, body: &[u8]) -> String {
        let mac = Hmac::<Sha512>::new_from_slice(secret.as_bytes()).unwrap().chain_update(body);
        mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn checked(secret: &str, header: Option<String>, body: &[u8]) -> Result<(), WebhookError> {
        let headers: Vec<_> = header.into_iter().map(|value| ("monnify-signature".to_owned(), value)).collect();
        Monnify.check(&account(secret), Webhook { headers: &headers, body }, Timestamp::from_seconds(0))
    }

    fn said(event: &Value) -> Vec<Notice> {
        Monnify.read(&account("s"), Webhook { headers: &[], body: event.to_string().as_bytes() }).unwrap()
    }

    #[test]
    fn the_signature_is_an_hmac_over_the_raw_body_whatever_stands_in_it() {
        // The blank after the colon is a part of what was signed.
        let body = br#"{"eventType": "SETTLEMENT" }"#;
        assert_eq!(checked("secret", Some(sign("secret", body)), body), Ok(()));
        assert_eq!(checked("secret", Some(sign("secret", body).to_uppercase()), body), Ok(()));
        assert_eq!(checked("secret", Some(sign("secret", body)), br#"{"eventType":"SETTLEMENT"}"#), Err(WebhookError::Forged));
        assert_eq!(checked("secret", Some(sign("other", body)), body), Err(WebhookError::Forged));
        for header in ["", "00", &sign("secret", body)[..127]] {
            assert_eq!(checked("secret", Some(header.to_owned()), body), Err(WebhookError::Forged));
        }
        assert_eq!(checked("secret", None, body), Err(WebhookError::Forged));
        assert_eq!(checked("", Some(sign("", body)), body), Err(WebhookError::SetUp));
    }

    #[test]
    fn a_payment_is_read_whether_its_sources_are_one_or_many_and_its_data_an_object_or_a_text() {
        let source = json!({"accountNumber": "******2190", "amountPaid": 3000});
        let forms =
            [(json!([source]), json!({"reference": "x"})), (source.clone(), json!("{\"reference\":\"x\"}")), (json!({}), json!({}))];
        for (sources, metadata) in forms {
            let notices = said(&json!({"eventType": "SUCCESSFUL_TRANSACTION", "eventData": {
                "transactionReference": "MNFY|1", "paymentReference": "pat_1", "amountPaid": "3000.00", "currency": "NGN",
                "paymentStatus": "PAID", "paidOn": "17/11/2021 3:48:10 PM", "paymentSourceInformation": sources, "metaData": metadata}}));
            let [notice] = &notices[..] else { panic!("one notice") };
            assert_eq!((notice.reference.as_deref(), notice.provider_ref.as_deref()), (Some("pat_1"), Some("MNFY|1")));
            let amount = Money::new(300_000, Currency::parse("NGN").unwrap());
            assert_eq!(notice.observation.seen, Seen::Succeeded { amount: Some(amount), crypto_amount: None });
        }
    }

    #[test]
    fn a_rejected_payment_only_says_that_something_changed() {
        let notices = said(&json!({"eventType": "REJECTED_PAYMENT", "eventData": {"paymentReference": "pat_1", "paymentStatus": "PAID"}}));
        assert_eq!(notices[0].observation.seen, Seen::Changed);
    }

    #[test]
    fn payouts_and_refunds_are_told_by_their_own_references() {
        let payout = said(&json!({"eventType": "REVERSED_DISBURSEMENT", "eventData": {"reference": "pyo_1", "status": "REVERSED"}}));
        assert_eq!((payout[0].reference.as_deref(), &payout[0].observation.seen), (Some("pyo_1"), &Seen::Reversed));
        let refund = said(&json!({"eventType": "SUCCESSFUL_REFUND", "eventData": {
            "refundReference": "prf_1", "refundStatus": "COMPLETED", "refundAmount": 10.5}}));
        let amount = Money::new(1_050, Currency::parse("NGN").unwrap());
        assert_eq!(refund[0].observation.seen, Seen::Succeeded { amount: Some(amount), crypto_amount: None });
        assert_eq!(refund[0].reference.as_deref(), Some("prf_1"));
    }

    #[test]
    fn settlements_and_new_events_are_about_nothing_of_ours_and_a_broken_one_is_unreadable() {
        for kind in ["SETTLEMENT", "A_NEW_ONE"] {
            assert!(said(&json!({"eventType": kind, "eventData": {"settlementReference": "S"}})).is_empty());
        }
        for body in ["[]", "{}", "x", r#"{"eventType":"SETTLEMENT"}"#, r#"{"eventType":"SUCCESSFUL_TRANSACTION","eventData":{}}"#] {
            assert!(Monnify.read(&account("s"), Webhook { headers: &[], body: body.as_bytes() }).is_err(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused_and_never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            kind in "SUCCESSFUL_TRANSACTION|REJECTED_PAYMENT|FAILED_DISBURSEMENT|SUCCESSFUL_REFUND|SETTLEMENT",
            field in "paymentReference|amountPaid|paymentStatus|metaData|reference|status|currency|refundAmount",
            value in "\"\\PC{0,20}\"|-?[0-9]{1,25}(\\.[0-9]{1,5})?|null|\\{\\}|\\[\\]",
        ) {
            let account = account("s");
            let _ = Monnify.read(&account, Webhook { headers: &[], body: &bytes });
            let body = format!("{{\"eventType\":\"{kind}\",\"eventData\":{{\"{field}\":{value},\"transactionReference\":\"t\"}}}}");
            let _ = Monnify.read(&account, Webhook { headers: &[], body: body.as_bytes() });
            let _ = Monnify.report(&account, &bytes);
            let _ = Monnify.report(&account, body.as_bytes());
        }
    }
}
