//! PayPal's webhooks: what can be seen to be wrong at the door, the question whether one is genuine, and what it says.
//! <https://developer.paypal.com/api/rest/webhooks/rest/>

use std::time::Duration;

use kernel::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::objects;
use crate::intent::{Observation, Seen};
use crate::provider::{Account, Failure, Notice, Webhook, WebhookError};
use crate::providers::answers::{self, owned, text};

/// A transmission is tried again for three days; a day is left for late ones.
const PAST: Duration = Duration::from_secs(4 * 86_400);
/// A clock may be ahead of ours by so much.
const AHEAD: Duration = Duration::from_secs(300);

/// What a webhook carries to be checked by.
struct Transmission<'a> {
    id: &'a str,
    time: &'a str,
    signature: &'a str,
    certificate: &'a str,
    algorithm: &'a str,
}

fn transmission<'a>(header: impl Fn(&str) -> Option<&'a str>) -> Option<Transmission<'a>> {
    let header = |name: &str| header(name).filter(|value| !value.is_empty());
    Some(Transmission {
        id: header("paypal-transmission-id")?,
        time: header("paypal-transmission-time")?,
        signature: header("paypal-transmission-sig")?,
        certificate: header("paypal-cert-url")?,
        algorithm: header("paypal-auth-algo")?,
    })
}

/// Whether a certificate lies where PayPal's do: at its own hosts, or at the one that the account is configured with.
fn is_theirs(certificate: &str, base_url: &str) -> bool {
    let Ok(url) = url::Url::parse(certificate) else { return false };
    let host = url.host_str().unwrap_or_default();
    let is_paypal = url.scheme() == "https" && (host == "paypal.com" || host.ends_with(".paypal.com"));
    let own = url::Url::parse(base_url).ok();
    let is_own = own.is_some_and(|own| own.host_str() == Some(host) && own.scheme() == url.scheme());
    (is_paypal || is_own) && url.username().is_empty() && url.password().is_none()
}

/// Refuses what cannot be genuine. Whether the rest is, is asked in a job.
pub(super) fn check(account: &Account, webhook: Webhook<'_>, now: Timestamp) -> Result<(), WebhookError> {
    account.setting("webhook_id").map_err(|_| WebhookError::SetUp)?;
    let sent = transmission(|name| webhook.header(name)).ok_or(WebhookError::Forged)?;
    if sent.algorithm != "SHA256withRSA" || !is_theirs(sent.certificate, &account.base_url) {
        return Err(WebhookError::Forged);
    }
    let time = Timestamp::parse(sent.time).map_err(|_| WebhookError::Forged)?;
    if time < now.minus(PAST) || time > now.plus(AHEAD) { Err(WebhookError::Stale) } else { Ok(()) }
}

/// The question whether a webhook is genuine, the event byte for byte as it came; None where it can be none.
pub(super) fn question(account: &Account, headers: &[(String, String)], body: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
    #[derive(Serialize)]
    struct Asked<'a> {
        auth_algo: &'a str,
        cert_url: &'a str,
        transmission_id: &'a str,
        transmission_sig: &'a str,
        transmission_time: &'a str,
        webhook_id: &'a str,
        webhook_event: &'a RawValue,
    }
    let webhook = Webhook { headers, body };
    let (Some(sent), Ok(event)) = (transmission(|name| webhook.header(name)), serde_json::from_slice::<&RawValue>(body)) else {
        return Ok(None);
    };
    let asked = Asked {
        auth_algo: sent.algorithm,
        cert_url: sent.certificate,
        transmission_id: sent.id,
        transmission_sig: sent.signature,
        transmission_time: sent.time,
        webhook_id: account.setting("webhook_id")?,
        webhook_event: event,
    };
    serde_json::to_vec(&asked).map(Some).map_err(|_| Failure::setup("the question could not be written"))
}

/// What an event says of things of ours: those that carry a reference of ours.
pub(super) fn read(body: &[u8]) -> Result<Vec<Notice>, WebhookError> {
    let event = answers::webhook_body(body)?;
    let kind = text(&event, "/event_type").ok_or_else(|| WebhookError::Unreadable("the event has no event_type".to_owned()))?;
    let resource = event.get("resource").ok_or_else(|| WebhookError::Unreadable("the event has no resource".to_owned()))?;
    let custom = || owned(resource, "/custom_id").or_else(|| owned(resource, "/invoice_id"));
    let told: Option<(String, Observation)> = match kind {
        "PAYMENT.CAPTURE.REFUNDED" => own(resource, "prf_").map(|reference| (reference, objects::refund(resource))),
        "PAYMENT.CAPTURE.REVERSED" => return Ok(objects::reversal(resource).map(disputed).into_iter().collect()),
        kind if kind.starts_with("CUSTOMER.DISPUTE.") => {
            return Ok(objects::dispute(resource, kind).map(disputed).into_iter().collect());
        }
        kind if kind.starts_with("PAYMENT.CAPTURE.") => {
            let reference = own(resource, "pcp_").or_else(custom);
            reference.map(|reference| (reference, objects::capture(resource)))
        }
        kind if kind.starts_with("PAYMENT.REFUND.") => own(resource, "prf_").map(|reference| (reference, objects::refund(resource))),
        kind if kind.starts_with("PAYMENT.AUTHORIZATION.") => custom().map(|reference| (reference, objects::authorization(resource))),
        kind if kind.starts_with("CHECKOUT.ORDER.") => {
            objects::reference_of(resource).map(|reference| (reference, objects::order(resource)))
        }
        kind if kind.starts_with("PAYMENT.PAYOUTS-ITEM.") => {
            owned(resource, "/payout_item/sender_item_id").map(|reference| (reference, objects::payout_item(resource)))
        }
        _ => None,
    };
    Ok(told.into_iter().map(|(reference, observation)| noticed(reference, observation)).collect())
}

/// The invoice, where it is a reference of ours of this kind.
fn own(resource: &serde_json::Value, prefix: &str) -> Option<String> {
    owned(resource, "/invoice_id").filter(|invoice| invoice.starts_with(prefix))
}

/// A dispute is known by the capture that it is about.
fn disputed(observation: Observation) -> Notice {
    Notice { reference: None, provider_ref: observation.charge_ref.clone(), observation }
}

fn noticed(reference: String, observation: Observation) -> Notice {
    // An order that is not read any further than its end: what was paid is asked for.
    let seen = match observation.seen {
        Seen::Pending if observation.charge_ref.is_none() && observation.provider_ref.is_some() => Seen::Changed,
        seen => seen,
    };
    Notice { reference: Some(reference), provider_ref: observation.provider_ref.clone(), observation: Observation { seen, ..observation } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intent::DisputeState;
    use serde_json::json;

    fn checked(change: (&str, Option<&str>)) -> Result<(), WebhookError> {
        let account = Account {
            id: kernel::Id::from_raw(kernel::RawId::from_bits(1)),
            base_url: "https://api-m.paypal.com".to_owned(),
            settings: json!({"webhook_id": "WH-1"}),
            secrets: json!({}),
        };
        let mut headers = vec![
            ("paypal-transmission-id", Some("1")),
            ("paypal-transmission-time", Some("2026-01-31T09:30:00Z")),
            ("paypal-transmission-sig", Some("c2ln")),
            ("paypal-cert-url", Some("https://api.paypal.com/v1/notifications/certs/CERT-1")),
            ("paypal-auth-algo", Some("SHA256withRSA")),
        ];
        for header in &mut headers {
            if header.0 == change.0 {
                header.1 = change.1;
            }
        }
        let headers: Vec<_> = headers.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        check(&account, Webhook { headers: &headers, body: b"{}" }, Timestamp::parse("2026-01-31T09:30:00Z").unwrap())
    }

    #[test]
    fn a_dispute_is_known_by_its_capture_and_says_what_the_money_did() {
        let told = |kind: &str, resource: serde_json::Value| {
            let notices = read(json!({"event_type": kind, "resource": resource}).to_string().as_bytes()).unwrap();
            notices.into_iter().next().map(|notice| (notice.provider_ref, notice.observation.seen))
        };
        let amount = Some(kernel::Money::new(1_250, kernel::Currency::parse("EUR").unwrap()));
        let seen = |to| Some((Some("CAP".to_owned()), Seen::Disputed { case: "CAP".to_owned(), amount, to }));
        let case = |outcome: &str| {
            json!({"dispute_id": "PP-D-1", "disputed_transactions": [{"seller_transaction_id": "CAP"}],
                "dispute_amount": {"currency_code": "EUR", "value": "12.50"}, "dispute_outcome": {"outcome_code": outcome}})
        };
        assert_eq!(told("CUSTOMER.DISPUTE.CREATED", case("")), seen(DisputeState::Open));
        assert_eq!(told("CUSTOMER.DISPUTE.RESOLVED", case("RESOLVED_SELLER_FAVOUR")), seen(DisputeState::Returned));
        assert_eq!(told("CUSTOMER.DISPUTE.RESOLVED", case("RESOLVED_BUYER_FAVOUR")), seen(DisputeState::Closed));
        assert_eq!(told("CUSTOMER.DISPUTE.UPDATED", case("")), None);
        let reversal = json!({"id": "REV", "amount": {"currency_code": "EUR", "value": "12.50"},
            "links": [{"rel": "self", "href": "https://x/v2/payments/refunds/REV"}, {"rel": "up", "href": "https://x/v2/payments/captures/CAP"}]});
        assert_eq!(told("PAYMENT.CAPTURE.REVERSED", reversal), seen(DisputeState::Withdrawn));
        let plain = json!({"id": "CAP", "amount": {"currency_code": "EUR", "value": "12.50"}});
        assert_eq!(told("PAYMENT.CAPTURE.REVERSED", plain), seen(DisputeState::Withdrawn));
    }

    #[test]
    fn what_cannot_be_genuine_is_refused_at_the_door() {
        assert_eq!(checked(("", None)), Ok(()));
        for name in ["paypal-transmission-id", "paypal-transmission-time", "paypal-transmission-sig", "paypal-cert-url", "paypal-auth-algo"]
        {
            assert_eq!(checked((name, None)), Err(WebhookError::Forged), "{name}");
            assert_eq!(checked((name, Some(""))), Err(WebhookError::Forged), "{name}");
        }
        for url in [
            "http://api.paypal.com/c",
            "https://paypal.com.evil.example/c",
            "https://evilpaypal.com/c",
            "https://evil.example/paypal.com",
            "https://api.paypal.com@evil.example/c",
            "https://a:b@api.paypal.com/c",
            "file:///c",
            "paypal",
        ] {
            assert_eq!(checked(("paypal-cert-url", Some(url))), Err(WebhookError::Forged), "{url}");
        }
        assert_eq!(checked(("paypal-cert-url", Some("https://api-m.paypal.com/c"))), Ok(()));
        assert_eq!(checked(("paypal-auth-algo", Some("none"))), Err(WebhookError::Forged));
        assert_eq!(checked(("paypal-transmission-time", Some("soon"))), Err(WebhookError::Forged));
        assert_eq!(checked(("paypal-transmission-time", Some("2026-01-27T09:29:59Z"))), Err(WebhookError::Stale));
        assert_eq!(checked(("paypal-transmission-time", Some("2026-01-31T09:35:01Z"))), Err(WebhookError::Stale));
    }
}
