//! Ramp Network's wire format: a widget where a payer buys crypto with fiat money, webhooks signed with ECDSA, purchases to poll.
//! <https://docs.rampnetwork.com/>
//!
//! Settings: `host_api_key`, `swap_asset` (as `ETH_USDC`, or several with commas), `user_address` (the wallet that the crypto goes to),
//! `public_key_pem` (Ramp Network's, which signs webhooks), `api_url` (where purchases are polled; the widget's address without it).
//! There are no secrets: the key is a part of every widget's address.
//!
//! The books take the fiat side; the crypto amount stays a text beside it. The widget's address is in the payer's hands, who may
//! change the wallet, the asset or the amount in it: a purchase that went to another wallet than `user_address`, or bought another
//! asset, is none of ours, and another amount is kept apart. Without `user_address` the payer chooses the wallet, and a purchase
//! proves only that they bought something for themselves.
//!
//! Our reference stands in the query of `webhookStatusUrl`, and is believed only where the purchase, which is signed, repeats it
//! (UNVERIFIED: the published object does not). The query of an address is signed by nobody: whoever holds one genuine purchase could
//! name any payment of ours in it.

mod stable;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k256::ecdsa::signature::Verifier as _;
use k256::ecdsa::{Signature, VerifyingKey};
use k256::pkcs8::DecodePublicKey as _;
use kernel::Timestamp;
use serde_json::Value;
use url::Url;

use crate::account::parse_base_url;
use crate::client::{Client, Request};
use crate::intent::{CaptureMethod, Observation, Seen};
use crate::provider::{
    Abilities, Account, Conversation, Done, ErrorClass, Failure, Notice, Order, Provider, Question, ReportLine, Told, Trust, Webhook,
    WebhookError,
};
use crate::providers::answers::{self, cut, owned, part, text};
use crate::units;

/// A widget's address is only written, never sent: writing it again has no effect however late.
const ADDRESS_GOOD_FOR: Duration = Duration::from_secs(365 * 86_400);
/// The name of our reference in the query of the address that a purchase's webhooks go to.
const REFERENCE: &str = "reference";

/// What a word means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Released,
    Waits,
    Works,
    Not(ErrorClass),
    Over,
}

/// Words of a purchase's `status`. What is not listed means that Ramp Network is at it.
const STATUSES: &[(&str, Meaning)] = &[
    ("INITIALIZED", Meaning::Waits),
    ("PAYMENT_STARTED", Meaning::Works),
    ("PAYMENT_IN_PROGRESS", Meaning::Works),
    ("PAYMENT_EXECUTED", Meaning::Works),
    ("FIAT_SENT", Meaning::Works),
    ("FIAT_RECEIVED", Meaning::Works),
    ("RELEASING", Meaning::Works),
    ("RELEASED", Meaning::Released),
    ("PAYMENT_FAILED", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("REVIEW_REJECTED", Meaning::Not(ErrorClass::Fraud)),
    ("CANCELLED", Meaning::Not(ErrorClass::PayerAction)),
    ("RETURNED", Meaning::Not(ErrorClass::DeclinedSoft)),
    ("EXPIRED", Meaning::Over),
];

/// Words of a webhook's `type`: what it says goes before `status`. A purchase that was begun is polled from then on.
const EVENTS: &[(&str, Meaning)] =
    &[("CREATED", Meaning::Works), ("RELEASED", Meaning::Released), ("RETURNED", Meaning::Not(ErrorClass::DeclinedSoft))];

/// Ramp Network.
pub(crate) struct RampNetwork;

fn refused(class: ErrorClass, code: &str) -> Failure {
    Failure::Refused { class, code: code.to_owned() }
}

/// A purchase in our words. Its name is its identifier and, after a colon, the token that it is polled with.
fn observed(purchase: &Value, event: Option<Meaning>) -> Observation {
    let status = text(purchase, "/status").unwrap_or_default();
    let of_status = || STATUSES.iter().find(|(known, _)| *known == status).map_or(Meaning::Works, |(_, meaning)| *meaning);
    let seen = match event.unwrap_or_else(of_status) {
        Meaning::Released => Seen::Succeeded {
            amount: units::money(&purchase["fiatValue"], &purchase["fiatCurrency"]),
            // The smallest units, which may be more than 64 bits hold.
            crypto_amount: text(purchase, "/cryptoAmount").filter(|units| units.bytes().all(|byte| byte.is_ascii_digit())).map(cut),
        },
        Meaning::Waits => Seen::WaitsForPerson,
        Meaning::Works => Seen::Pending,
        Meaning::Not(class) => Seen::Declined { class, code: cut(status) },
        Meaning::Over => Seen::Expired,
    };
    let id = owned(purchase, "/id");
    let name = id.as_ref().map(|id| match text(purchase, "/purchaseViewToken") {
        Some(token) => format!("{id}:{token}"),
        None => id.clone(),
    });
    Observation { seen, provider_ref: name, charge_ref: id }
}

/// Whether a purchase went to our wallet and bought what it was to buy; the payer may have changed both in the widget's address.
fn is_ours(account: &Account, purchase: &Value) -> Result<(), &'static str> {
    if let Ok(wallet) = account.setting("user_address") {
        let theirs = text(purchase, "/receiverAddress").unwrap_or_default();
        // Hexadecimal addresses carry a checksum in their capitals and are written without it too; others are not.
        let is_same = if wallet.starts_with("0x") { theirs.eq_ignore_ascii_case(wallet) } else { theirs == wallet };
        if !is_same {
            return Err("the purchase went to another wallet than user_address");
        }
    }
    if let (Ok(wanted), Some(symbol)) = (account.setting("swap_asset"), text(purchase, "/asset/symbol")) {
        let chain = text(purchase, "/asset/chain").unwrap_or_default();
        let is_wanted = wanted.split(',').map(str::trim).any(|asset| match asset.split_once('_') {
            Some((on, "*")) => on == chain,
            Some((on, what)) => what == symbol && on == chain,
            None => asset == symbol,
        });
        if !is_wanted {
            return Err("the purchase is of another asset than swap_asset");
        }
    }
    Ok(())
}

/// The widget's address.
fn widget(account: &Account, order: &Order) -> Result<Done, Failure> {
    let Order::OpenPage { reference, amount, capture_method, payer, return_url, webhook_url, extra, .. } = order else {
        return Err(Failure::setup("not a page"));
    };
    if *capture_method == CaptureMethod::Manual {
        return Err(refused(ErrorClass::NotSupported, "captures_at_once_only"));
    }
    let mut hears = Url::parse(webhook_url).map_err(|_| Failure::setup("the webhook's address is not a URL"))?;
    hears.query_pairs_mut().append_pair(REFERENCE, reference);
    let mut url = Url::parse(&format!("{}/", account.base_url)).map_err(|_| Failure::setup("the provider's address is not a URL"))?;
    url.query_pairs_mut()
        .append_pair("hostApiKey", account.setting("host_api_key")?)
        .append_pair("swapAsset", account.setting("swap_asset")?)
        .append_pair("fiatValue", &units::major(*amount))
        .append_pair("fiatCurrency", &amount.currency.to_string())
        .append_pair("finalUrl", return_url)
        .append_pair("webhookStatusUrl", hears.as_str());
    // The account's wallet goes before what a caller named.
    if let Some(wallet) = account.setting("user_address").ok().or_else(|| text(extra, "/user_address")) {
        url.query_pairs_mut().append_pair("userAddress", wallet);
    }
    if let Some(email) = payer.email.as_deref() {
        url.query_pairs_mut().append_pair("userEmailAddress", email);
    }
    Ok(Done::Page { provider_ref: None, url: url.into(), expires_at: None })
}

/// Asks how a purchase stands. Only its webhook tells its token: without it there is nothing to ask with.
async fn poll(client: &Client, account: &Account, provider_ref: Option<&str>) -> Result<Told, Failure> {
    let Some((id, token)) = provider_ref.and_then(|name| name.split_once(':')) else { return Ok(Told::NotFound) };
    let base = match account.setting("api_url") {
        Ok(url) => parse_base_url(url).map_err(|why| Failure::setup(format!("the setting api_url {why}")))?,
        Err(_) => account.base_url.clone(),
    };
    let answer = client.call(Request::get(format!("{base}/api/host-api/purchase/{}?secret={}", part(id), part(token)))).await?;
    match answer.status {
        200..=299 => {}
        404 => return Ok(Told::NotFound),
        429 => return Err(refused(ErrorClass::RateLimited, "429")),
        401 | 403 => return Err(refused(ErrorClass::SetUp, "credentials_refused")),
        status => return Err(Failure::unknown(format!("status {status}"))),
    }
    let purchase = answers::body(&answer)?;
    if text(&purchase, "/id") != Some(id) {
        return Err(Failure::unknown("an answer about another purchase"));
    }
    is_ours(account, &purchase).map_err(Failure::unknown)?;
    let mut observation = observed(&purchase, None);
    observation.provider_ref = provider_ref.map(str::to_owned);
    Ok(Told::Observed(observation))
}

impl Provider for RampNetwork {
    fn abilities(&self) -> Abilities {
        Abilities {
            has_pages: true,
            captures_later: false,
            captures_in_parts: false,
            refunds: false,
            refunds_in_parts: false,
            closes_pages: false,
            pays_out: false,
            enquires_names: false,
            tells_float: false,
            reports: false,
            keeps_keys_for: Some(ADDRESS_GOOD_FOR),
            trust: Trust::Signed,
        }
    }

    fn send<'a>(&'a self, _client: &'a Client, account: &'a Account, order: &'a Order) -> Conversation<'a, Done> {
        Box::pin(async move {
            match order {
                Order::OpenPage { .. } => widget(account, order),
                _ => Err(refused(ErrorClass::NotSupported, "not_with_ramp_network")),
            }
        })
    }

    fn ask<'a>(&'a self, client: &'a Client, account: &'a Account, question: &'a Question) -> Conversation<'a, Told> {
        Box::pin(async move {
            match question {
                Question::Payment { provider_ref, .. } => poll(client, account, provider_ref.as_deref()).await,
                Question::Charge { provider_ref } => poll(client, account, Some(provider_ref)).await,
                _ => Err(refused(ErrorClass::NotSupported, "not_with_ramp_network")),
            }
        })
    }

    /// The signature holds no time, so that an old webhook is as good as a new one: it is applied once however often it comes.
    fn check(&self, account: &Account, webhook: Webhook<'_>, _now: Timestamp) -> Result<(), WebhookError> {
        let key = account.setting("public_key_pem").map_err(|_| WebhookError::SetUp)?;
        let key = VerifyingKey::from_public_key_pem(key.trim()).map_err(|_| WebhookError::SetUp)?;
        let header = webhook.header("x-body-signature").ok_or(WebhookError::Forged)?;
        let der = STANDARD.decode(header.trim()).map_err(|_| WebhookError::Forged)?;
        let signature = Signature::from_der(&der).map_err(|_| WebhookError::Forged)?;
        let signed = stable::stringify(webhook.body).ok_or(WebhookError::Forged)?;
        // Both halves of the curve are signatures; the one that is signed with is not always the lower one that is verified.
        key.verify(signed.as_bytes(), &signature.normalize_s()).map_err(|_| WebhookError::Forged)
    }

    /// Reads what was signed, which is not the bytes that came: numbers are those that JavaScript would have read.
    fn read(&self, account: &Account, webhook: Webhook<'_>) -> Result<Vec<Notice>, WebhookError> {
        let signed = stable::stringify(webhook.body).ok_or_else(|| WebhookError::Unreadable("the body is not JSON".to_owned()))?;
        let event = answers::webhook_body(signed.as_bytes())?;
        // A sale of crypto pays a person, not us.
        if text(&event, "/mode") == Some("OFFRAMP") {
            return Ok(Vec::new());
        }
        let purchase = event.get("purchase").filter(|purchase| purchase.is_object());
        let purchase = purchase.ok_or_else(|| WebhookError::Unreadable("the event has no purchase".to_owned()))?;
        let kind = text(&event, "/type").ok_or_else(|| WebhookError::Unreadable("the event has no type".to_owned()))?;
        is_ours(account, purchase).map_err(|why| WebhookError::Unreadable(why.to_owned()))?;
        let meaning = EVENTS.iter().find(|(known, _)| *known == kind).map(|(_, meaning)| *meaning);
        let observation = observed(purchase, meaning);
        let (reference, provider_ref) = (owned(purchase, "/reference"), observation.provider_ref.clone());
        Ok(if provider_ref.is_none() { Vec::new() } else { vec![Notice { reference, provider_ref, observation }] })
    }

    fn report(&self, _account: &Account, _bytes: &[u8]) -> Result<Vec<ReportLine>, WebhookError> {
        Err(WebhookError::Unreadable("Ramp Network has no reports that could be read".to_owned()))
    }
}

#[cfg(test)]
mod tests;
