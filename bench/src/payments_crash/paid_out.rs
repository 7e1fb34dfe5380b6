//! Money that went out, laid side by side: what the simulators paid, what the payouts say, what the float accounts say.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Value, json};

use super::proof::{Proof, movements, number};
use super::scene::{Desk, OTP, PAYS_OUT, Sums};
use crate::client::Client;

/// Enough for everything that waits for money.
const LAST_FLOAT_MINOR: i64 = 1_000_000_000;

/// In so many rounds everything is asked for first: what is under way at a provider has not moved money yet.
const ROUNDS_OF_QUESTIONS: u64 = 5;

/// What the simulators did under the name of one payout.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct There {
    times: u64,
    paid_minor: i64,
    returned_minor: i64,
}

/// What the transfers of one payout on the float account are.
#[derive(Debug, Clone, Copy, Default)]
struct Entered {
    promised: u64,
    posted: u64,
    released: u64,
    brought_back: u64,
}

fn there(movements: &[Value]) -> BTreeMap<String, There> {
    let mut all = BTreeMap::<String, There>::new();
    for movement in movements {
        let reference = movement["reference"].as_str().unwrap_or_default().to_owned();
        let amount = number(&movement["amount_minor"]);
        match movement["kind"].as_str() {
            Some("paid_out") => {
                let known = all.entry(reference).or_default();
                known.times += 1;
                known.paid_minor += amount;
            }
            Some("returned") => all.entry(reference).or_default().returned_minor += amount,
            _ => {}
        }
    }
    all
}

/// What each payout entered on the accounts of the float, by its name, and what stands on them: posted and promised.
async fn entered(client: &Client) -> Result<(BTreeMap<String, Entered>, Sums, Sums), String> {
    let (mut all, mut posted, mut promised) = (BTreeMap::<String, Entered>::new(), Sums::new(), Sums::new());
    for account in client.all("/v1/ledger/accounts").await? {
        let code = account["code"].as_str().unwrap_or_default();
        let Some(rest) = code.strip_prefix("payments.float.crash-") else { continue };
        let own = format!("/v1/ledger/accounts/{}", account["id"].as_str().unwrap_or_default());
        let balance = client.must(Method::GET, &format!("{own}/balance"), None).await?;
        let totals = &balance["totals"];
        posted.insert(rest.replace('.', " "), number(&totals["debits_posted"]) - number(&totals["credits_posted"]));
        promised.insert(rest.replace('.', " "), number(&totals["credits_pending"]) - number(&totals["debits_pending"]));
        // The statement shows what is booked: it follows the balance.
        let seen = client.all(&format!("{own}/statement?at_least={}", balance["version"].as_str().unwrap_or_default())).await?;
        for line in seen {
            let transfer = &line["transfer"];
            let Some(payout) = transfer["source"].as_str().and_then(|source| source.strip_prefix("payout:")) else { continue };
            let known = all.entry(payout.to_owned()).or_default();
            match transfer["kind"].as_str() {
                Some("pending") => known.promised += 1,
                Some("post") => known.posted += 1,
                Some("void" | "expire") => known.released += 1,
                _ => known.brought_back += 1,
            }
        }
    }
    Ok((all, posted, promised))
}

/// Adds to `proof` what does not agree about payouts; those that have not ended count as open.
pub(super) async fn compare(proof: &mut Proof, client: &Client, desk: &Desk, movements: &[Value]) -> Result<(), String> {
    let mut there = there(movements);
    let payouts = client.all("/v1/payouts").await?;
    let (entered, posted, promised) = entered(client).await?;
    let (mut said, mut kept) = (desk.topped().clone(), Sums::new());
    let mut expected = said.clone();
    for payout in payouts {
        let (id, state) = (payout["id"].as_str().unwrap_or_default(), payout["state"].as_str().unwrap_or_default());
        let (amount, what) = (number(&payout["amount_minor"]), format!("{id} ({state})"));
        let place = format!("{} {}", desk.word(&payout["provider"]), payout["currency"].as_str().unwrap_or_default().to_lowercase());
        let theirs = there.remove(id).unwrap_or_default();
        let is_out = matches!(state, "paid" | "reversed");
        let back = if state == "reversed" { amount } else { 0 };
        let ours = if is_out { amount } else { 0 };
        proof.payouts += u64::from(is_out);
        proof.payouts_returned += u64::from(back > 0);
        if theirs.times > 1 {
            proof.doubled += 1;
            proof.odd.push(format!("{what}: paid {} times there", theirs.times));
        } else {
            let own = format!("/v1/payouts/{id}");
            proof.weigh(ours, theirs.paid_minor, &own, &what);
            proof.weigh(back, theirs.returned_minor, &own, &format!("{what}, what came back"));
        }
        *said.entry(place.clone()).or_default() -= ours - back;
        *expected.entry(place.clone()).or_default() -= theirs.paid_minor - theirs.returned_minor;
        let is_promised = matches!(state, "funds_reserved" | "submitted" | "otp_required" | "pending" | "unknown");
        *kept.entry(place).or_default() += if is_promised { amount } else { 0 };
        if is_promised || matches!(state, "requested" | "risk_review" | "approved") {
            proof.payouts_open += 1;
        }
        // Promised once at most; kept or released once, and nothing else.
        let books = entered.get(id).copied().unwrap_or_default();
        let is_kept_once = books.posted == u64::from(is_out) && books.brought_back == u64::from(back > 0);
        let is_resolved_once = books.posted + books.released + u64::from(is_promised) == books.promised && books.promised <= 1;
        if !(is_kept_once && is_resolved_once) {
            proof.doubled += 1;
            proof.odd.push(format!("{what}: {books:?} in the ledger"));
        }
    }
    for (name, theirs) in there {
        proof.charged_without_entry += 1;
        proof.odd.push(format!("{} paid out under the name {name:?}, which no payout has", theirs.paid_minor));
    }
    for (place, what) in said {
        let of = |sums: &Sums| sums.get(&place).copied().unwrap_or(0);
        let (there, booked, pending, kept) = (of(&expected), of(&posted), of(&promised), of(&kept));
        let difference = there.abs_diff(booked) + what.abs_diff(booked) + pending.abs_diff(kept);
        proof.difference_minor += difference;
        if difference != 0 {
            let words = format!("float {place}: {there} there, {what} by the payouts, {booked} in the ledger");
            proof.odd.push(format!("{words}; promised {kept} by the payouts, {pending} in the ledger"));
        }
    }
    Ok(())
}

/// Brings so much money to the providers that no payout waits for it any more.
pub(super) async fn fill(client: &Client, desk: &Desk) -> Result<(), String> {
    for (word, currency) in PAYS_OUT {
        desk.top_up(client, word, currency, LAST_FLOAT_MINOR).await?;
    }
    Ok(())
}

/// What people do in the end: approve what is held, give passwords that are asked for, have looked at what is not known; and where
/// the provider keeps no keys, so
/// that nobody sends it again, they see there that nothing was paid, and say so.
pub(super) async fn work_off(client: &Client, bank: &Client, desk: &Desk, round: u64) -> Result<(), String> {
    for state in ["risk_review", "otp_required", "submitted", "unknown"] {
        let payouts = client.all(&format!("/v1/payouts?state={state}")).await?;
        // Looked at afterwards: what is not known by then was sent before.
        let there = there(&movements(bank).await?);
        for payout in payouts {
            let id = payout["id"].as_str().unwrap_or_default();
            let own = format!("/v1/payouts/{id}");
            if state == "risk_review" {
                for (number, person) in desk.people.iter().enumerate() {
                    person.call(&format!("{own}/approve"), None, &format!("last-{id}-{number}-{round}")).await?;
                }
            } else if state == "otp_required" {
                let otp = json!({ "otp": sim::providers::monnify::OTP });
                client.call(Method::POST, &format!("{own}/confirm"), Some(&otp), Some(&format!("last-{id}-{round}"))).await?;
            } else if state == "unknown"
                && round >= ROUNDS_OF_QUESTIONS
                && ["monnify", OTP].contains(&desk.word(&payout["provider"]))
                && !there.contains_key(id)
            {
                let body = json!({ "was_paid": false, "reason": "Monnify has nothing of it" });
                desk.people[0].call(&format!("{own}/resolve"), Some(&body), &format!("last-{id}-{round}")).await?;
            } else {
                client.call(Method::POST, &format!("{own}/retry"), None, Some(&format!("look-{id}-{round}"))).await?;
            }
        }
    }
    Ok(())
}
