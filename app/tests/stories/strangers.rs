//! Every address tried without credentials, by a viewer, and by another workspace with the first one's ids. The table is
//! compared with the document and with the pages' source: an address that is not in it fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use crate::client::{Client, PHONE, Reply};
use crate::dump::{Rows, rows_with};
use crate::world::{World, leave_details};

/// Who may come to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Anybody.
    Everybody,
    /// Whoever is signed in; it names nothing of a workspace.
    Own,
    /// It names something of a workspace, which others do not even find.
    Theirs,
    /// Whoever is signed in, of any workspace, by design.
    Across,
}
use Whose::{Across, Everybody, Own, Theirs};

/// Whether somebody who may only look may change this: what is their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Looking {
    May,
    MayNot,
}
use Looking::{May, MayNot};

/// An address: method, template, who may come, whether a viewer may change what it changes, and what is sent. In the order
/// in which its owner can do all of it.
type Address = (&'static str, &'static str, Whose, Looking, fn(&Ids) -> Value);

/// What the first workspace has.
struct Ids {
    card: String,
    other_card: String,
    code: String,
    spare_code: String,
    lead: String,
    hook: String,
    event: String,
    member: String,
    invitation: String,
    key: String,
    session: String,
    request: String,
    workspace: String,
    dead: Vec<String>,
    account: String,
    other_account: String,
    dollars: String,
    transfer: String,
    entry: String,
    rule: String,
    payment: String,
    attempt: String,
    payment_link: String,
    provider: String,
    settlement: String,
    exception: String,
    beneficiary: String,
    payout: String,
}

/// A job whose words nobody understands, so that it is given up.
#[derive(serde::Serialize, serde::Deserialize)]
struct Garbled {}

impl outbox::Job for Garbled {
    const NAME: &'static str = <leads::TellOwner as outbox::Job>::NAME;
    const LANE: &'static str = <leads::TellOwner as outbox::Job>::LANE;
    fn key(&self) -> String {
        String::new()
    }
}

fn none(_: &Ids) -> Value {
    Value::Null
}

/// The API. A GET changes nothing, so that `May` says nothing there.
const API: &[Address] = &[
    ("POST", "/v1/session", Everybody, May, |_| json!({ "email": "nobody@example.com", "password": "wrong wrong wrong" })),
    ("POST", "/v1/session/link", Everybody, May, |_| json!({ "email": "nobody@example.com" })),
    ("POST", "/v1/session/link/redeem", Everybody, May, |_| json!({ "token": "wrong" })),
    ("POST", "/v1/invitations/accept", Everybody, May, |_| json!({ "token": "wrong", "name": "Nobody" })),
    ("GET", "/c/{file}", Everybody, May, none),
    ("GET", "/c/{id}/qr.svg", Everybody, May, none),
    ("GET", "/photos/{file}", Everybody, May, none),
    ("GET", "/v1/public/requests/{request_id}", Everybody, May, none),
    ("GET", "/v1/session", Own, May, none),
    ("PATCH", "/v1/session", Own, May, |_| json!({ "zone": "UTC" })),
    ("GET", "/v1/sessions", Own, May, none),
    ("GET", "/v1/workspace", Own, May, none),
    ("PATCH", "/v1/workspace", Own, MayNot, |_| json!({ "zone": "Europe/Lisbon" })),
    ("GET", "/v1/members", Own, May, none),
    ("GET", "/v1/members/{id}", Theirs, May, none),
    ("PATCH", "/v1/members/{id}", Theirs, MayNot, |_| json!({ "role": "admin" })),
    ("GET", "/v1/invitations", Own, MayNot, none),
    ("POST", "/v1/invitations", Own, MayNot, |_| json!({ "email": "stranger@example.com", "role": "viewer" })),
    ("GET", "/v1/keys", Own, MayNot, none),
    ("POST", "/v1/keys", Own, MayNot, |_| json!({ "name": "k", "scopes": ["codes:read"] })),
    ("GET", "/v1/audit", Own, MayNot, none),
    ("GET", "/v1/dead-jobs", Own, MayNot, none),
    ("GET", "/v1/dead-jobs/{id}", Theirs, MayNot, none),
    ("POST", "/v1/dead-jobs/{id}/replay", Theirs, MayNot, none),
    ("DELETE", "/v1/dead-jobs/{id}", Theirs, MayNot, none),
    ("GET", "/v1/messages", Own, May, none),
    ("GET", "/v1/live", Own, May, none),
    ("GET", "/v1/templates", Own, May, none),
    ("GET", "/v1/templates/{key}/{language}", Own, May, none),
    ("PUT", "/v1/templates/{key}/{language}", Own, MayNot, |_| wording()),
    ("POST", "/v1/templates/{key}/{language}/preview", Own, May, |_| wording()),
    ("DELETE", "/v1/templates/{key}/{language}", Own, MayNot, none),
    ("GET", "/v1/webhooks", Own, May, none),
    ("POST", "/v1/webhooks", Own, MayNot, |_| json!({ "url": "https://example.com/theirs" })),
    ("GET", "/v1/webhooks/{id}", Theirs, May, none),
    ("PATCH", "/v1/webhooks/{id}", Theirs, MayNot, |_| json!({ "description": "changed" })),
    ("POST", "/v1/webhooks/{id}/rotate", Theirs, MayNot, |_| json!({})),
    ("POST", "/v1/webhooks/{id}/test", Theirs, MayNot, none),
    ("POST", "/v1/webhooks/{id}/replay", Theirs, MayNot, |ids| json!({ "event": ids.event })),
    ("GET", "/v1/webhooks/{id}/attempts", Theirs, May, none),
    ("GET", "/v1/leads", Own, May, none),
    ("POST", "/v1/leads", Own, MayNot, |_| json!({ "name": "Nobody", "email": "nobody@example.com" })),
    ("GET", "/v1/leads.csv", Own, May, none),
    ("GET", "/v1/leads/consent", Own, May, none),
    ("PUT", "/v1/leads/consent", Own, MayNot, |_| json!({ "text": "Anything goes." })),
    ("GET", "/v1/leads/{id}", Theirs, May, none),
    ("PATCH", "/v1/leads/{id}", Theirs, MayNot, |_| json!({ "version": 1, "status": "lost" })),
    ("POST", "/v1/leads/{id}/notes", Theirs, MayNot, |_| json!({ "body": "A note" })),
    ("POST", "/v1/leads/export-person", Own, May, |_| json!({ "email": "charles@difference.example" })),
    ("POST", "/v1/leads/erase-person", Own, MayNot, |_| json!({ "email": "charles@difference.example" })),
    ("GET", "/v1/codes", Own, May, none),
    ("POST", "/v1/codes", Own, MayNot, |_| json!({})),
    ("POST", "/v1/codes/batch", Own, MayNot, |_| json!({ "count": 2 })),
    ("GET", "/v1/codes.csv", Own, May, none),
    ("GET", "/v1/codes/recording", Own, May, none),
    ("PUT", "/v1/codes/recording", Own, MayNot, |_| json!({ "address": false, "place": false, "device": false })),
    ("GET", "/v1/codes/{code}", Theirs, May, none),
    ("PATCH", "/v1/codes/{code}", Theirs, MayNot, |_| json!({ "name": "mine" })),
    ("GET", "/v1/codes/{code}/symbol.svg", Theirs, May, none),
    ("GET", "/v1/codes/{code}/symbol.png", Theirs, May, none),
    ("GET", "/v1/codes/{code}/scans", Theirs, May, none),
    ("GET", "/v1/codes/{code}/scans.csv", Theirs, May, none),
    ("GET", "/v1/codes/{code}/alerts", Theirs, May, none),
    ("PUT", "/v1/codes/{code}/alerts", Theirs, May, |_| json!({ "told": true })),
    ("POST", "/v1/codes/{code}/pause", Theirs, MayNot, none),
    ("POST", "/v1/codes/{code}/resume", Theirs, MayNot, none),
    ("POST", "/v1/codes/{code}/bind", Theirs, MayNot, |_| json!({ "destination": { "kind": "url", "url": "https://evil.example/" } })),
    ("POST", "/v1/codes/{code}/release", Theirs, MayNot, none),
    ("GET", "/v1/cards", Own, May, none),
    ("POST", "/v1/cards", Own, MayNot, |_| json!({ "profile": { "display_name": "Nobody" } })),
    ("GET", "/v1/cards/{id}", Theirs, May, none),
    ("PUT", "/v1/cards/{id}", Theirs, MayNot, |_| json!({ "profile": { "display_name": "Nobody" } })),
    ("PUT", "/v1/cards/{id}/owner", Theirs, MayNot, |_| json!({ "owner": "none" })),
    ("PUT", "/v1/cards/{id}/photo", Theirs, MayNot, none),
    ("DELETE", "/v1/cards/{id}/photo", Theirs, MayNot, none),
    ("POST", "/v1/cards/{id}/codes", Theirs, MayNot, none),
    ("PUT", "/v1/cards/{id}/codes/{code}", Theirs, MayNot, none),
    ("DELETE", "/v1/cards/{id}/codes/{code}", Theirs, MayNot, none),
    ("POST", "/v1/cards/{id}/exchange", Across, May, |_| json!({})),
    ("GET", "/v1/ledger/accounts", Own, May, none),
    ("POST", "/v1/ledger/accounts", Own, MayNot, |_| json!({ "code": "x", "name": "X", "kind": "asset", "unit": "EUR" })),
    ("GET", "/v1/ledger/accounts/{id}", Theirs, May, none),
    ("PATCH", "/v1/ledger/accounts/{id}", Theirs, MayNot, |_| json!({ "name": "Mine" })),
    ("GET", "/v1/ledger/accounts/{id}/balance", Theirs, May, none),
    ("GET", "/v1/ledger/accounts/{id}/statement", Theirs, May, none),
    ("GET", "/v1/ledger/accounts/{id}/statement.csv", Theirs, May, none),
    ("GET", "/v1/ledger/accounts/{id}/statement.pdf", Theirs, May, none),
    ("GET", "/v1/ledger/wallets", Own, May, none),
    ("POST", "/v1/ledger/wallets", Own, MayNot, |_| json!({ "owner_kind": "customer", "owner_id": "c1", "unit": "EUR" })),
    ("POST", "/v1/ledger/transfers", Own, MayNot, |ids| json!({ "transfers": [posting(ids)] })),
    ("POST", "/v1/ledger/entries", Own, MayNot, |ids| json!({ "source": "order:1", "lines": [line(ids), line(ids)] })),
    ("POST", "/v1/ledger/conversions", Own, MayNot, conversion),
    ("GET", "/v1/ledger/transfers/{id}", Theirs, May, none),
    ("GET", "/v1/ledger/entries/{id}", Theirs, May, none),
    ("GET", "/v1/ledger/trial-balance", Own, May, none),
    ("GET", "/v1/ledger/seal", Own, May, none),
    ("GET", "/v1/risk/rules", Own, May, none),
    ("POST", "/v1/risk/rules", Own, MayNot, |_| rule()),
    ("GET", "/v1/risk/rules/{id}", Theirs, May, none),
    ("PATCH", "/v1/risk/rules/{id}", Theirs, MayNot, |_| json!({ "version": 1, "is_enabled": false })),
    ("GET", "/v1/risk/decisions", Own, May, none),
    ("GET", "/v1/payments", Own, May, none),
    ("POST", "/v1/payments", Own, MayNot, |_| json!({ "amount_minor": 500, "currency": "EUR" })),
    ("GET", "/v1/payments/{id}", Theirs, May, none),
    ("GET", "/v1/payments/{id}/events", Theirs, May, none),
    ("POST", "/v1/payments/{id}/attempts", Theirs, MayNot, none),
    ("POST", "/v1/payments/{id}/captures", Theirs, MayNot, |_| json!({})),
    ("POST", "/v1/payments/{id}/refunds", Theirs, MayNot, |_| json!({})),
    ("POST", "/v1/payments/erase-payer", Own, MayNot, |_| json!({ "email": "charles@difference.example" })),
    ("POST", "/v1/payments/webhooks/{token}", Everybody, May, |_| json!({})),
    ("GET", "/v1/payment-links", Own, May, none),
    ("POST", "/v1/payment-links", Own, MayNot, |_| json!({ "currency": "EUR", "description": "A table" })),
    ("PATCH", "/v1/payment-links/{id}", Theirs, MayNot, |_| json!({ "is_active": false })),
    ("GET", "/v1/payment-webhooks", Own, MayNot, none),
    ("GET", "/v1/settlements", Own, May, none),
    ("POST", "/v1/settlements", Own, MayNot, none),
    ("GET", "/v1/settlements/{id}", Theirs, May, none),
    ("GET", "/v1/settlements/{id}/lines", Theirs, May, none),
    ("GET", "/v1/settlement-exceptions", Own, May, none),
    ("GET", "/v1/settlement-exceptions/{id}", Theirs, May, none),
    (
        "POST",
        "/v1/settlement-exceptions/{id}/actions",
        Theirs,
        MayNot,
        |_| json!({ "version": 1, "action": "write_off", "reason": "a gift" }),
    ),
    ("GET", "/v1/settlement-ageing", Own, May, none),
    ("POST", "/v1/bank-lines", Own, MayNot, none),
    ("GET", "/v1/payment-providers", Own, MayNot, none),
    ("POST", "/v1/payment-providers", Own, MayNot, |_| provider("mine")),
    ("PATCH", "/v1/payment-providers/{id}", Theirs, MayNot, |_| json!({ "version": 1, "is_enabled": false })),
    ("GET", "/v1/payment-routes", Own, MayNot, none),
    ("PUT", "/v1/payment-routes", Own, MayNot, |_| json!({ "version": 0, "rules": [] })),
    ("GET", "/v1/payment-float", Own, May, none),
    ("POST", "/v1/payment-float/top-ups", Own, MayNot, |ids| json!({ "provider": ids.provider, "amount_minor": 500, "currency": "EUR" })),
    ("POST", "/v1/payment-float/comparisons", Own, MayNot, |ids| json!({ "provider": ids.provider, "currency": "EUR" })),
    ("GET", "/v1/payout-settings", Own, May, none),
    ("PUT", "/v1/payout-settings", Own, MayNot, |_| json!({ "version": 0, "limits": { "EUR": 100 }, "runs_on_weekends": true })),
    ("GET", "/v1/beneficiaries", Own, May, none),
    ("POST", "/v1/beneficiaries", Own, MayNot, |_| beneficiary()),
    ("GET", "/v1/beneficiaries/{id}", Theirs, May, none),
    ("GET", "/v1/payouts", Own, May, none),
    ("POST", "/v1/payouts", Own, MayNot, |ids| json!({ "beneficiary": ids.beneficiary, "amount_minor": 500, "currency": "EUR" })),
    ("GET", "/v1/payouts/{id}", Theirs, May, none),
    ("GET", "/v1/payouts/{id}/events", Theirs, May, none),
    ("POST", "/v1/payouts/{id}/approve", Theirs, MayNot, none),
    ("POST", "/v1/payouts/{id}/refuse", Theirs, MayNot, |_| json!({ "reason": "no" })),
    ("POST", "/v1/payouts/{id}/retry", Theirs, MayNot, none),
    ("POST", "/v1/payouts/{id}/confirm", Theirs, MayNot, |_| json!({ "otp": "123456" })),
    ("POST", "/v1/payouts/{id}/resolve", Theirs, MayNot, |_| json!({ "was_paid": false, "reason": "seen" })),
    ("POST", "/v1/payouts/{id}/cancel", Theirs, MayNot, none),
    (
        "PUT",
        "/v1/beneficiaries/{id}",
        Theirs,
        MayNot,
        |_| json!({ "version": 1, "account_name": "Bola Adeyemi", "account_number": "other" }),
    ),
    ("DELETE", "/v1/beneficiaries/{id}", Theirs, MayNot, none),
    // What ends things comes last.
    ("POST", "/v1/payments/{id}/attempts/{attempt}/review", Theirs, MayNot, |_| json!({ "is_released": false })),
    ("POST", "/v1/payments/{id}/resolve", Theirs, MayNot, |ids| json!({ "subject": ids.attempt, "is_done": false, "reason": "seen" })),
    ("POST", "/v1/payments/{id}/attempts/{attempt}/accept", Theirs, MayNot, |_| json!({ "reason": "a cent less" })),
    ("POST", "/v1/payments/{id}/attempts/{attempt}/return", Theirs, MayNot, |_| json!({ "reason": "not what was asked for" })),
    ("POST", "/v1/payments/{id}/cancel", Theirs, MayNot, none),
    ("POST", "/v1/ledger/accounts/{id}/close", Theirs, MayNot, none),
    ("POST", "/v1/ledger/accounts/{id}/reopen", Theirs, MayNot, none),
    ("DELETE", "/v1/risk/rules/{id}", Theirs, MayNot, none),
    ("POST", "/v1/codes/{code}/retire", Theirs, MayNot, none),
    ("POST", "/v1/cards/{id}/retire", Theirs, MayNot, |ids| json!({ "successor": ids.other_card })),
    ("DELETE", "/v1/webhooks/{id}", Theirs, MayNot, none),
    ("DELETE", "/v1/invitations/{id}", Theirs, MayNot, none),
    ("DELETE", "/v1/keys/{id}", Theirs, MayNot, none),
    ("DELETE", "/v1/members/{id}", Theirs, MayNot, none),
    ("DELETE", "/v1/sessions/{id}", Theirs, May, none),
    ("POST", "/v1/session/password", Own, May, |_| json!({ "new": "correct horse battery", "current": "wrong" })),
    ("DELETE", "/v1/sessions", Own, May, none),
    ("DELETE", "/v1/session", Own, May, none),
];

/// The pages and what is no API. Forms are sent as pairs.
const PAGES: &[Address] = &[
    ("GET", "/", Everybody, May, none),
    ("GET", "/healthz", Everybody, May, none),
    ("GET", "/readyz", Everybody, May, none),
    ("GET", "/metrics", Everybody, May, none),
    ("GET", "/openapi.json", Everybody, May, none),
    ("GET", "/docs", Everybody, May, none),
    ("GET", "/dev/mailbox", Everybody, May, none),
    ("GET", "/dev/mailbox/{id}", Everybody, May, none),
    ("GET", "/assets/{content}/{file}", Everybody, May, none),
    ("GET", "/c/{id}/page", Everybody, May, none),
    ("POST", "/c/{id}/details", Everybody, May, none),
    ("GET", "/c/{id}/thanks", Everybody, May, none),
    ("GET", "/sign-in", Everybody, May, none),
    ("POST", "/sign-in", Everybody, May, |_| json!({ "email": "nobody@example.com", "password": "wrong wrong", "next": "" })),
    ("POST", "/sign-in/link", Everybody, May, |_| json!({ "email": "nobody@example.com", "next": "" })),
    ("GET", "/sign-in/{token}", Everybody, May, none),
    ("POST", "/sign-in/{token}", Everybody, May, none),
    ("GET", "/join/{token}", Everybody, May, none),
    ("POST", "/join/{token}", Everybody, May, |_| json!({ "name": "Nobody" })),
    ("GET", "/leads", Own, May, none),
    ("GET", "/leads/counts", Own, May, none),
    ("GET", "/leads/{id}", Theirs, May, none),
    ("GET", "/leads/{id}/row", Theirs, May, none),
    ("GET", "/leads/{id}/erase", Theirs, MayNot, none),
    ("POST", "/leads/{id}/status", Theirs, MayNot, |_| json!({ "version": "1", "status": "lost" })),
    ("POST", "/leads/{id}/assign", Theirs, MayNot, |_| json!({ "version": "1" })),
    ("POST", "/leads/{id}/spam", Theirs, MayNot, |_| json!({ "version": "1", "spam": "true" })),
    ("POST", "/leads/{id}/tags", Theirs, MayNot, |_| json!({ "tag": "mine" })),
    ("POST", "/leads/{id}/tags/remove", Theirs, MayNot, |_| json!({ "tag": "fair" })),
    ("POST", "/leads/{id}/notes", Theirs, MayNot, |_| json!({ "body": "A note" })),
    ("GET", "/cards", Own, May, none),
    ("GET", "/cards/new", Own, MayNot, none),
    ("POST", "/cards/new", Own, MayNot, |_| json!({ "display_name": "Nobody" })),
    ("GET", "/cards/{id}", Theirs, May, none),
    ("POST", "/cards/{id}", Theirs, MayNot, |_| json!({ "display_name": "Nobody" })),
    ("POST", "/cards/{id}/codes", Theirs, MayNot, none),
    ("POST", "/cards/{id}/photo/remove", Theirs, MayNot, none),
    ("GET", "/codes", Own, May, none),
    ("POST", "/codes", Own, MayNot, |_| json!({ "url": "https://example.com/", "name": "n" })),
    ("GET", "/codes/{code}", Theirs, May, none),
    ("POST", "/codes/{code}", Theirs, MayNot, |_| json!({ "version": "1", "name": "mine", "tags": "" })),
    ("POST", "/codes/{code}/alert", Theirs, May, |_| json!({ "minutes": "60" })),
    ("POST", "/codes/{code}/pause", Theirs, MayNot, none),
    ("POST", "/codes/{code}/resume", Theirs, MayNot, none),
    ("POST", "/codes/{code}/bind", Theirs, MayNot, |_| json!({ "url": "https://evil.example/" })),
    ("GET", "/ledger", Own, May, none),
    ("POST", "/ledger", Own, MayNot, |_| json!({ "code": "y", "name": "Y", "kind": "asset", "unit": "EUR", "limits": "none" })),
    ("GET", "/ledger/wallets", Own, May, none),
    ("GET", "/ledger/trial-balance", Own, May, none),
    ("GET", "/ledger/accounts/{id}", Theirs, May, none),
    ("GET", "/ledger/transfers/{id}", Theirs, May, none),
    ("GET", "/ledger/entries/{id}", Theirs, May, none),
    ("GET", "/pay/{id}", Everybody, May, none),
    ("POST", "/pay/{id}", Everybody, May, none),
    ("GET", "/pay/{id}/back", Everybody, May, none),
    ("GET", "/payments", Own, May, none),
    ("GET", "/payments/links", Own, May, none),
    ("POST", "/payments/links", Own, MayNot, |_| json!({ "description": "A table", "amount": "12.50", "currency": "EUR" })),
    ("POST", "/payments/links/{id}/switch", Theirs, MayNot, |_| json!({ "active": "false" })),
    ("GET", "/payments/payouts", Own, May, none),
    (
        "POST",
        "/payments/payouts",
        Own,
        MayNot,
        |ids| json!({ "beneficiary": ids.beneficiary, "amount": "5", "currency": "EUR", "provider": ids.provider }),
    ),
    ("GET", "/payments/payouts/{id}", Theirs, May, none),
    ("POST", "/payments/payouts/{id}/approve", Theirs, MayNot, none),
    ("POST", "/payments/payouts/{id}/refuse", Theirs, MayNot, |_| json!({ "reason": "Not this one" })),
    ("POST", "/payments/payouts/{id}/retry", Theirs, MayNot, none),
    ("POST", "/payments/payouts/{id}/confirm", Theirs, MayNot, |_| json!({ "otp": "123456" })),
    ("POST", "/payments/payouts/{id}/resolve", Theirs, MayNot, |_| json!({ "paid": "false", "reason": "The bank told me" })),
    ("POST", "/payments/payouts/{id}/cancel", Theirs, MayNot, none),
    ("GET", "/payments/beneficiaries", Own, May, none),
    ("POST", "/payments/beneficiaries", Own, MayNot, |_| json!({ "name": "Mary Somerville", "number": "0123456780" })),
    ("GET", "/payments/beneficiaries/{id}", Theirs, May, none),
    (
        "POST",
        "/payments/beneficiaries/{id}",
        Theirs,
        MayNot,
        |_| json!({ "version": "1", "name": "Mary Somerville", "number": "0123456781" }),
    ),
    ("POST", "/payments/beneficiaries/{id}/remove", Theirs, MayNot, none),
    ("GET", "/payments/float", Own, May, none),
    ("POST", "/payments/float/top-up", Own, MayNot, |ids| json!({ "provider": ids.provider, "amount": "5", "currency": "EUR" })),
    ("POST", "/payments/float/ask", Own, MayNot, |ids| json!({ "provider": ids.provider, "currency": "EUR" })),
    ("POST", "/payments/float/settings", Own, MayNot, |_| json!({ "version": "0", "currency": "EUR", "limit": "1" })),
    ("GET", "/payments/settlement", Own, May, none),
    (
        "POST",
        "/payments/settlement/bank-lines",
        Own,
        MayNot,
        |_| json!({ "lines": "date,amount_minor,currency,reference\n2026-01-31,5,EUR,po_1" }),
    ),
    ("GET", "/payments/settlement/exceptions", Own, May, none),
    (
        "POST",
        "/payments/settlement/exceptions/{id}",
        Theirs,
        MayNot,
        |_| json!({ "version": "1", "action": "write_off", "reason": "Nobody misses it" }),
    ),
    ("POST", "/payments/settlement", Own, MayNot, |ids| json!({ "provider": ids.provider, "report": report() })),
    ("GET", "/payments/{id}", Theirs, May, none),
    ("POST", "/payments/{id}/capture", Theirs, MayNot, none),
    ("POST", "/payments/{id}/refund", Theirs, MayNot, none),
    (
        "POST",
        "/payments/{id}/decide",
        Theirs,
        MayNot,
        |ids| json!({ "subject": ids.attempt, "way": "not_paid", "reason": "Nobody was there" }),
    ),
    ("GET", "/settings/providers", Own, MayNot, none),
    (
        "POST",
        "/settings/providers",
        Own,
        MayNot,
        |_| json!({ "dialect": "zenith", "name": "page", "base_url": "http://127.0.0.1:1", "api_key": "z" }),
    ),
    ("GET", "/settings/providers/{id}", Theirs, MayNot, none),
    ("POST", "/settings/providers/{id}", Theirs, MayNot, |_| json!({ "version": "1", "base_url": "http://127.0.0.1:1" })),
    ("POST", "/settings/providers/{id}/enable", Theirs, MayNot, |_| json!({ "enabled": "false", "version": "1" })),
    ("GET", "/settings", Own, May, none),
    ("POST", "/settings/profile", Own, May, |_| json!({ "name": "Grace", "locale": "en", "zone": "UTC" })),
    ("POST", "/settings/workspace", Own, May, |ids| json!({ "workspace": ids.workspace })),
    ("POST", "/settings/sessions/end", Own, May, |ids| json!({ "id": ids.session })),
    ("POST", "/settings/password", Own, May, |_| json!({ "new": "correct horse battery" })),
    ("POST", "/settings/sessions/end-others", Own, May, none),
    ("GET", "/settings/people", Own, May, none),
    ("POST", "/settings/people/invite", Own, MayNot, |_| json!({ "email": "stranger2@example.com", "role": "viewer" })),
    ("POST", "/settings/people/withdraw", Own, MayNot, |ids| json!({ "id": ids.invitation })),
    ("POST", "/settings/people/{id}/role", Theirs, MayNot, |_| json!({ "role": "admin" })),
    ("GET", "/settings/keys", Own, MayNot, none),
    ("POST", "/settings/keys", Own, MayNot, |_| json!({ "name": "k", "scopes": "codes:read" })),
    ("GET", "/settings/webhooks", Own, May, none),
    ("POST", "/settings/webhooks", Own, MayNot, |_| json!({ "url": "https://example.com/", "description": "" })),
    ("GET", "/settings/webhooks/{id}", Theirs, May, none),
    ("POST", "/settings/webhooks/{id}/test", Theirs, MayNot, none),
    ("POST", "/settings/webhooks/{id}/enable", Theirs, MayNot, |_| json!({ "enabled": "false" })),
    ("POST", "/settings/webhooks/{id}/rotate", Theirs, MayNot, none),
    ("GET", "/settings/consent", Own, May, none),
    ("POST", "/settings/consent", Own, MayNot, |_| json!({ "text": "Anything goes." })),
    ("GET", "/settings/audit", Own, MayNot, none),
    // What ends things comes last.
    ("POST", "/payments/{id}/review", Theirs, MayNot, |ids| json!({ "attempt": ids.attempt, "released": "false" })),
    ("POST", "/payments/{id}/cancel", Theirs, MayNot, none),
    ("POST", "/ledger/accounts/{id}/close", Theirs, MayNot, none),
    ("POST", "/ledger/accounts/{id}/reopen", Theirs, MayNot, none),
    ("POST", "/leads/{id}/erase", Theirs, MayNot, none),
    ("POST", "/cards/{id}/retire", Theirs, MayNot, |_| json!({ "to": "nobody", "url": "" })),
    ("POST", "/settings/keys/{id}/revoke", Theirs, MayNot, none),
    ("POST", "/settings/webhooks/{id}/delete", Theirs, MayNot, none),
    ("POST", "/settings/people/{id}/remove", Theirs, MayNot, none),
    ("POST", "/sign-out", Everybody, May, none),
];

fn wording() -> Value {
    json!({ "subject": "Hello", "text": "{{ lead_name }} {{ link }}", "html": "<p>{{ lead_name }} {{ link }}</p>" })
}

fn line(ids: &Ids) -> Value {
    json!({ "debit": ids.account, "credit": ids.other_account, "unit": "EUR", "amount": 1 })
}

fn conversion(ids: &Ids) -> Value {
    json!({ "from": ids.account, "to": ids.dollars, "amount": 100, "rate": "1.08", "rounding": "half_even", "source": "order:2" })
}

fn beneficiary() -> Value {
    json!({ "account_name": "Jide Balogun", "account_number": "default" })
}

fn rule() -> Value {
    let condition = json!({ "kind": "amount", "currency": "EUR", "amount_minor": 100_000 });
    json!({ "name": "Large", "applies_to": "payout", "outcome": "hold", "condition": condition })
}

/// A report that says one fee.
fn report() -> String {
    format!("{}\nfee,,,,EUR,-10,0,-10,\n", payments::settlement::COLUMNS)
}

fn provider(name: &str) -> Value {
    json!({ "name": name, "dialect": "stripe", "base_url": "http://127.0.0.1:1", "secrets": { "secret_key": "sk", "webhook_secret": "wh" } })
}

/// A payment with an attempt that monitoring holds back, so that nothing is sent: its address and the attempt.
async fn held_payment(ada: &mut Client) -> (String, String) {
    let condition = json!({ "kind": "amount", "currency": "EUR", "amount_minor": 1 });
    let all = json!({ "name": "All", "applies_to": "payment_attempt", "outcome": "hold", "condition": condition });
    ada.post("/v1/risk/rules", all).await.expect(201);
    let asked = json!({ "amount_minor": 1_250, "currency": "EUR", "payer_email": "charles@difference.example" });
    let payment = ada.post("/v1/payments", asked).await.expect(201).at("/id");
    let begun = ada.post(&format!("/v1/payments/{payment}/attempts"), json!(null)).await.expect(201);
    assert_eq!(begun.at("/attempts/0/state"), "held");
    (payment, begun.at("/attempts/0/id"))
}

fn posting(ids: &Ids) -> Value {
    let mut posting = line(ids);
    posting["id"] = json!(format!("trf_{:032x}", 7));
    posting
}

/// The two workspaces.
struct Neighbours {
    world: World,
    ids: Ids,
    ada: Client,
    viewer: Client,
    bob: Client,
}

impl Neighbours {
    async fn new() -> Self {
        let world = World::new().await;
        let (workspace, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
        let hook = ada.post("/v1/webhooks", json!({ "url": "https://127.0.0.1:1/hook" })).await.expect(201).at("/endpoint/id");
        // Nobody listens there: what would be delivered waits for its next attempt.
        let made = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
        let other = world.card(&mut ada, "Ada Byron", "byron@engines.example").await;
        let page = json!({ "destination": { "kind": "page", "url": "https://example.com/app", "parameters": { "a": 1 } } });
        let spare = ada.post("/v1/codes", page).await.expect(201);
        let mut visitor = world.stranger().with_agent(PHONE);
        let fields = [("name", "Charles Babbage"), ("email", "charles@difference.example")];
        leave_details(&world, &mut visitor, &made.code, &fields).await.expect(303);
        let event = ada.post(&format!("/v1/webhooks/{hook}/test"), json!(null)).await.expect(200).at("/event");
        world.drain().await;
        let viewer = world.join(&mut ada, "viewer@engines.example", "viewer").await;
        let mut member = world.join(&mut ada, "member@engines.example", "member").await;
        world.giving_up_is_fine();
        for _ in 0..2 {
            let caller = kernel::Caller::system("story");
            let garbled = world
                .store()
                .write(&caller, workspace, |tx, workspace| Box::pin(async move { outbox::enqueue(tx, workspace, &Garbled {}).await }));
            garbled.await.unwrap();
        }
        world.drain().await;
        let dead = ada.get("/v1/dead-jobs").await.expect(200).json();
        let dead: Vec<String> = dead["items"].as_array().unwrap().iter().map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(dead.len(), 2);
        let mut accounts = Vec::new();
        for (code, kind, unit) in [("cash", "asset", "EUR"), ("sales", "income", "EUR"), ("dollars", "asset", "USD")] {
            let new = json!({ "code": code, "name": code, "kind": kind, "unit": unit });
            accounts.push(ada.post("/v1/ledger/accounts", new).await.expect(201).at("/id"));
        }
        let line = json!({ "debit": accounts[0], "credit": accounts[1], "unit": "EUR", "amount": 5 });
        let entry = ada.post("/v1/ledger/entries", json!({ "source": "order:0", "lines": [line, line] })).await.expect(201);
        world.book(&entry.at("/version")).await;
        let invited = json!({ "email": "open@example.com", "role": "viewer" });
        let provider = ada.post("/v1/payment-providers", provider("stripe")).await.expect(201).at("/id");
        // Stripe's own form is JSON; nobody knows this charge.
        let line = json!({ "type": "charge", "amount": 2_000, "fee": 88, "net": 1_912, "currency": "eur", "source": "ch_1", "created": 1_769_850_000 });
        let settlement = ada.post(&format!("/v1/settlements?provider={provider}"), json!([line])).await.expect(201).at("/id");
        world.drain().await;
        let exception = ada.get("/v1/settlement-exceptions").await.expect(200).at("/items/0/id");
        let (payment, attempt) = held_payment(&mut ada).await;
        let link = json!({ "currency": "EUR", "description": "A table by the window" });
        let payee = ada.post("/v1/beneficiaries", beneficiary()).await.expect(201).at("/id");
        // Nobody has said up to which amount one person decides: it waits for two.
        let wanted = json!({ "beneficiary": payee, "amount_minor": 500, "currency": "EUR" });
        let payout = ada.post("/v1/payouts", wanted).await.expect(201).at("/id");
        let ids = Ids {
            card: made.card,
            other_card: other.card,
            code: made.code,
            spare_code: spare.at("/code"),
            lead: ada.get("/v1/leads").await.expect(200).at("/items/0/id"),
            hook,
            event,
            member: member.get("/v1/session").await.expect(200).at("/workspace/member"),
            invitation: ada.post("/v1/invitations", invited).await.expect(201).at("/id"),
            key: ada.post("/v1/keys", json!({ "name": "k", "scopes": ["codes:read"] })).await.expect(201).at("/id"),
            session: {
                let mut elsewhere = world.sign_in("ada@engines.example").await;
                elsewhere.get("/v1/session").await.expect(200).at("/id")
            },
            request: spare.at("/destination/id"),
            workspace: workspace.to_string(),
            dead,
            dollars: accounts.remove(2),
            other_account: accounts.remove(1),
            account: accounts.remove(0),
            transfer: entry.at("/transfers/0/id"),
            entry: entry.at("/id"),
            rule: ada.post("/v1/risk/rules", rule()).await.expect(201).at("/id"),
            payment,
            attempt,
            payment_link: ada.post("/v1/payment-links", link).await.expect(201).at("/id"),
            provider,
            settlement,
            exception,
            beneficiary: payee,
            payout,
        };
        let (_, mut bob) = world.founded("Bobbins", "bob@bobbins.example", "Bob Bobbin").await;
        world.card(&mut bob, "Bob Bobbin", "bob@bobbins.example").await;
        world.drain().await;
        Self { world, ids, ada, viewer, bob }
    }

    fn path(&self, template: &str) -> String {
        let ids = &self.ids;
        let id = match template.split('/').find(|part| !matches!(*part, "" | "v1" | "settings" | "ledger" | "risk")).unwrap_or_default() {
            "accounts" => &ids.account,
            "transfers" => &ids.transfer,
            "entries" => &ids.entry,
            "rules" => &ids.rule,
            "payments" if template.starts_with("/payments/links") => &ids.payment_link,
            "payments" if template.starts_with("/payments/payouts") => &ids.payout,
            "payments" if template.starts_with("/payments/beneficiaries") => &ids.beneficiary,
            "payments" if template.starts_with("/payments/settlement") => &ids.exception,
            "payments" => &ids.payment,
            "payment-links" | "pay" => &ids.payment_link,
            "beneficiaries" => &ids.beneficiary,
            "payouts" => &ids.payout,
            "payment-providers" | "providers" => &ids.provider,
            "settlements" => &ids.settlement,
            "settlement-exceptions" => &ids.exception,
            "leads" => &ids.lead,
            "webhooks" => &ids.hook,
            "members" | "people" => &ids.member,
            "invitations" => &ids.invitation,
            "keys" => &ids.key,
            "sessions" => &ids.session,
            "dead-jobs" => &ids.dead[usize::from(template.ends_with("replay"))],
            _ => &ids.card,
        };
        // A code that is led to a card is another one than the code that is asked about.
        let code = if template.starts_with("/v1/cards") { &ids.spare_code } else { &ids.code };
        let file = if template.starts_with("/c/") { format!("{}.vcf", ids.card) } else { format!("{}.jpg", "0".repeat(64)) };
        let path = template.replace("{id}", id).replace("{code}", code).replace("{file}", &file).replace("{request_id}", &ids.request);
        let path = path.replace("{attempt}", &ids.attempt);
        path.replace("{key}", "lead_captured").replace("{language}", "en").replace("{token}", "wrong").replace("{content}", "0")
    }

    async fn try_as(&self, client: &mut Client, address: &Address, is_page: bool) -> Reply {
        let (method, template, _, _, body) = address;
        let (path, body) = (self.path(template), body(&self.ids));
        match (*method, is_page) {
            ("GET", true) => client.page(&path).await,
            ("POST", true) => {
                let fields: Vec<(String, String)> = body
                    .as_object()
                    .map(|fields| fields.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect())
                    .unwrap_or_default();
                let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                client.form(&path, &fields).await
            }
            _ => client.ask(method, &path, body).await,
        }
    }

    /// Everything that is the first workspace's.
    async fn theirs(&self) -> Vec<String> {
        let dump: Rows = self.world.database().dump().await;
        // Some tables hold its identifier as text and some as bytes; the digits are the same.
        rows_with(&dump, self.ids.workspace.rsplit('_').next().unwrap())
    }
}

fn all() -> impl Iterator<Item = (&'static Address, bool)> {
    API.iter().map(|address| (address, false)).chain(PAGES.iter().map(|address| (address, true)))
}

/// `GET /leads/{id}` and so on, out of the pages' source: what stands in `.route("…", get(…).post(…))`.
fn routes_of_source(file: &Path, found: &mut BTreeSet<(String, String)>) {
    let text = std::fs::read_to_string(file).unwrap();
    for part in text.split(".route(").skip(1) {
        let Some(rest) = part.trim_start().strip_prefix('"') else { continue };
        let (path, handlers) = rest.split_once('"').unwrap();
        // Up to the bracket that closes the call.
        let mut depth = 1;
        let end = handlers.find(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        });
        let handlers = &handlers[..end.unwrap()];
        for (word, method) in
            [("get(", "GET"), ("post(", "POST"), ("put(", "PUT"), ("patch(", "PATCH"), ("delete(", "DELETE"), ("any(", "ANY")]
        {
            let is_there = handlers.match_indices(word).any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
            if is_there {
                found.insert((method.to_owned(), path.to_owned()));
            }
        }
    }
}

fn sources(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_table_holds_every_address_of_the_router() {
    let world = World::new().await;
    let mut routed = BTreeSet::new();
    for (path, item) in world.document()["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| matches!(key.as_str(), "get" | "post" | "put" | "patch" | "delete")) {
            routed.insert((method.to_uppercase(), path.clone()));
        }
    }
    let tried: BTreeSet<(String, String)> = API.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(routed, tried, "the API: left what is routed, right what is tried");
    assert_eq!(tried.len(), API.len(), "an address is there twice");

    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut files = Vec::new();
    for folder in ["app/src", "plumbing/gateway/src", "business/notifications/src"] {
        sources(&root.join(folder), &mut files);
    }
    let mut routed = BTreeSet::new();
    files.iter().for_each(|file| routes_of_source(file, &mut routed));
    // The mailbox names its address by a constant.
    routed.insert(("GET".into(), "/dev/mailbox".into()));
    routed.retain(|(_, path)| !API.iter().any(|(_, known, ..)| known == path));
    let tried: BTreeSet<(String, String)> = PAGES.iter().map(|(method, path, ..)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(routed, tried, "the pages: left what is routed, right what is tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_credentials_only_what_is_public_answers() {
    let there = Neighbours::new().await;
    let before = there.theirs().await;
    let mut wrong = Vec::new();
    for (address, is_page) in all() {
        let (method, template, whose, ..) = address;
        let mut strangers = vec![there.world.stranger()];
        if *whose != Everybody && !is_page {
            let mut guessing = there.world.stranger();
            guessing.cookie = Some("__Host-tessera_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".into());
            strangers.push(guessing);
        }
        for mut stranger in strangers {
            let reply = there.try_as(&mut stranger, address, is_page).await;
            let to_sign_in = reply.status == 303 && reply.header("location").starts_with("/sign-in");
            let is_right = match (whose, is_page) {
                (Everybody, _) => !reply.status.is_server_error(),
                (_, true) => to_sign_in || matches!(reply.status.as_u16(), 401 | 403 | 404),
                (_, false) => reply.status == 401,
            };
            if !is_right {
                wrong.push(format!("{method} {template}: {} {}", reply.status, reply.text().chars().take(200).collect::<String>()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(there.theirs().await, before, "something was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_workspace_finds_nothing_and_changes_nothing() {
    let there = Neighbours::new().await;
    let before = there.theirs().await;
    let mut bob = there.bob.clone();
    let mut wrong = Vec::new();
    for (address, is_page) in all().filter(|((_, _, whose, ..), _)| *whose == Theirs) {
        let (method, template, ..) = address;
        let reply = there.try_as(&mut bob, address, is_page).await;
        let is_right = if is_page { matches!(reply.status.as_u16(), 404 | 409 | 422) } else { reply.status == 404 };
        if !is_right {
            wrong.push(format!("{method} {template}: {} {}", reply.status, reply.text().chars().take(200).collect::<String>()));
        }
    }
    // Their ids inside of bodies.
    let ids = &there.ids;
    let his = bob.get("/v1/cards").await.expect(200).at("/items/0/id");
    let bodies = [
        ("PUT", format!("/v1/cards/{his}/owner"), json!({ "owner": ids.member })),
        ("PUT", format!("/v1/cards/{his}/codes/{}", ids.spare_code), json!(null)),
        ("POST", format!("/v1/cards/{his}/retire"), json!({ "successor": ids.card })),
        ("POST", "/v1/cards".to_owned(), json!({ "code": ids.spare_code, "profile": { "display_name": "Bob" } })),
        ("POST", "/v1/cards".to_owned(), json!({ "owner": ids.member, "profile": { "display_name": "Bob" } })),
        ("POST", "/v1/leads".to_owned(), json!({ "name": "B", "email": "b@example.com", "assigned_to": ids.member })),
        ("PATCH", "/v1/session".to_owned(), json!({ "workspace": ids.workspace })),
    ];
    for (method, path, body) in bodies {
        let reply = bob.ask(method, &path, body).await;
        if !matches!(reply.status.as_u16(), 404 | 409 | 422) {
            wrong.push(format!("{method} {path}: {} {}", reply.status, reply.text()));
        }
    }
    assert_eq!(
        bob.post("/v1/leads/export-person", json!({ "email": "charles@difference.example" })).await.expect(200).json()["leads"],
        json!([])
    );
    assert_eq!(
        bob.post("/v1/leads/erase-person", json!({ "email": "charles@difference.example" })).await.expect(200).json()["leads"],
        json!([])
    );
    bob.post("/settings/workspace", json!(null)).await;
    bob.form("/settings/workspace", &[("workspace", &ids.workspace)]).await;
    bob.form("/settings/people/withdraw", &[("id", &ids.invitation)]).await;
    bob.form("/settings/sessions/end", &[("id", &ids.session)]).await;
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(there.theirs().await, before, "something of the first workspace was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_changes_nothing() {
    let there = Neighbours::new().await;
    let before = there.theirs().await;
    let mut viewer = there.viewer.clone();
    let mut wrong = Vec::new();
    for (address, is_page) in all() {
        let (method, template, whose, looking, _) = address;
        if *looking == May && *method != "GET" || *whose == Everybody || *template == "/v1/live" || template.ends_with(".csv") {
            continue;
        }
        let reply = there.try_as(&mut viewer, address, is_page).await;
        let may = *looking == May;
        // A page that only offers what one may not do may also send one back.
        let is_right = match reply.status.as_u16() {
            200 | 204 | 303 if may => true,
            403 => !may || template.contains("sessions/{id}"),
            404 => template.contains("photo") || template.contains("sessions/{id}"),
            _ => false,
        };
        if !is_right {
            wrong.push(format!("{method} {template}: {} {}", reply.status, reply.text().chars().take(200).collect::<String>()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(there.theirs().await, before, "something was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_requests_work_for_their_owner() {
    for wanted in [false, true] {
        let there = Neighbours::new().await;
        let mut ada = there.ada.clone();
        let mut statuses = BTreeMap::new();
        for (address, is_page) in all().filter(|(_, is_page)| *is_page == wanted) {
            let (method, template, whose, ..) = address;
            if *whose == Everybody || *template == "/v1/live" {
                continue;
            }
            let reply = there.try_as(&mut ada, address, is_page).await;
            let allowed: &[u16] = match *template {
                // One's own card, a wrong current password, no picture: refused for what it is, not for who asks.
                "/v1/cards/{id}/exchange" => &[409, 200],
                "/v1/session/password" => &[403, 204],
                "/v1/cards/{id}/photo" if *method == "PUT" => &[422, 415, 400],
                // Files, not JSON: what came is no report and no statement.
                "/v1/settlements" if *method == "POST" => &[422],
                "/v1/bank-lines" => &[422],
                _ => &[200, 201, 202, 204, 303, 409],
            };
            if !allowed.contains(&reply.status.as_u16()) {
                statuses.insert(
                    format!("{method} {template}"),
                    format!("{} {}", reply.status, reply.text().chars().take(300).collect::<String>()),
                );
            }
        }
        assert!(statuses.is_empty(), "{statuses:#?}");
    }
}
