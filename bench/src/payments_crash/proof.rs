//! Three books laid side by side: what the simulators moved, what the payments say, what the ledger says.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::paid_out;
use super::scene::{Desk, Sums};
use crate::client::Client;

/// What does not agree, and how much there was of it.
#[derive(Debug, Default)]
pub(super) struct Proof {
    charged: u64,
    refunded: u64,
    pub(super) payouts: u64,
    pub(super) payouts_returned: u64,
    pub(super) payouts_open: u64,
    pub(super) charged_without_entry: u64,
    pub(super) entry_without_charge: u64,
    pub(super) doubled: u64,
    pub(super) difference_minor: u64,
    pub(super) odd: Vec<String>,
    /// The payments and payouts that are not as they should be, by their addresses.
    pub(super) suspects: Vec<String>,
    settled_s: u64,
}

pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok())).unwrap_or(0)
}

/// Every movement of the simulator.
pub(super) async fn movements(bank: &Client) -> Result<Vec<Value>, String> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().map_or(0, |last| number(&last["sequence"]));
        let mut page = bank.must(Method::GET, &format!("/sim/movements?after={after}&limit=1000"), None).await?;
        match page["movements"].as_array_mut() {
            Some(some) if !some.is_empty() => all.append(some),
            _ => return Ok(all),
        }
    }
}

/// What the clearing accounts say.
pub(super) async fn clearing(client: &Client) -> Result<Sums, String> {
    let mut sums = Sums::new();
    for account in client.all("/v1/ledger/accounts").await? {
        let code = account["code"].as_str().unwrap_or_default();
        let Some(rest) = code.strip_prefix("payments.clearing.crash-") else { continue };
        let path = format!("/v1/ledger/accounts/{}/balance", account["id"].as_str().unwrap_or_default());
        let balance = client.must(Method::GET, &path, None).await?;
        *sums.entry(rest.replace('.', " ")).or_default() += number(&balance["totals"]["balance"]);
    }
    Ok(sums)
}

/// Compares the three; what is still on its way shows as a difference.
async fn compare(client: &Client, desk: &Desk, movements: &[Value]) -> Result<Proof, String> {
    let mut proof = Proof::default();
    // What was taken and given back there, by whose reference it was.
    let (mut truth, mut taken, mut given) = (Sums::new(), BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    for movement in movements {
        let text = |name: &str| movement[name].as_str().unwrap_or_default().to_owned();
        let (amount, reference) = (number(&movement["amount_minor"]), text("reference"));
        let place = format!("{} {}", text("dialect"), text("currency").to_lowercase());
        match text("kind").as_str() {
            "charged" => {
                proof.charged += 1;
                *truth.entry(place).or_default() += amount;
                *taken.entry(reference).or_default() += amount;
            }
            "refunded" => {
                proof.refunded += 1;
                *truth.entry(place).or_default() -= amount;
                // PayPal tells a refund by the payment's name; ours is the key that it was asked for under.
                let name = [reference, text("idempotency_key")].into_iter().find(|name| name.starts_with("prf_"));
                *given.entry(name.unwrap_or_default()).or_default() += amount;
            }
            _ => {}
        }
    }
    let mut said = Sums::new();
    let (mut all_taken, mut all_given) = (0, 0);
    for payment in client.all("/v1/payments").await? {
        let currency = payment["currency"].as_str().unwrap_or_default().to_lowercase();
        let own = format!("/v1/payments/{}", payment["id"].as_str().unwrap_or_default());
        for attempt in payment["attempts"].as_array().into_iter().flatten() {
            let id = attempt["id"].as_str().unwrap_or_default();
            let word = desk.word(&attempt["provider"]);
            let ours = number(&attempt["captured_minor"]);
            let captures: Vec<&str> =
                attempt["captures"].as_array().into_iter().flatten().filter_map(|capture| capture["id"].as_str()).collect();
            let theirs: i64 = std::iter::once(id).chain(captures).filter_map(|name| taken.get(name)).sum();
            all_taken += theirs;
            *said.entry(format!("{word} {currency}")).or_default() += ours;
            proof.weigh(ours, theirs, &own, &format!("{word} {id} ({})", attempt["state"]));
        }
        for refund in payment["refunds"].as_array().into_iter().flatten() {
            let id = refund["id"].as_str().unwrap_or_default();
            let ours = if refund["state"] == "succeeded" { number(&refund["amount_minor"]) } else { 0 };
            let theirs = given.get(id).copied().unwrap_or(0);
            all_given += theirs;
            let owner = payment["attempts"].as_array().into_iter().flatten().find(|attempt| attempt["id"] == refund["attempt"]);
            let word = owner.map_or("", |owner| desk.word(&owner["provider"]));
            *said.entry(format!("{word} {currency}")).or_default() -= ours;
            proof.weigh(ours, theirs, &own, &format!("{word} {id} ({})", refund["state"]));
        }
    }
    // Money that moved under a name that no payment knows.
    let unnamed = (taken.values().sum::<i64>() - all_taken).abs() + (given.values().sum::<i64>() - all_given).abs();
    if unnamed != 0 {
        proof.charged_without_entry += 1;
        proof.odd.push(format!("{unnamed} moved under names that no payment has"));
    }
    let booked = clearing(client).await?;
    let places: std::collections::BTreeSet<&String> = truth.keys().chain(said.keys()).chain(booked.keys()).collect();
    for place in places {
        let of = |sums: &Sums| sums.get(place).copied().unwrap_or(0);
        let (truth, said, booked) = (of(&truth), of(&said), of(&booked));
        let difference = truth.abs_diff(booked) + said.abs_diff(booked);
        proof.difference_minor += difference;
        if difference != 0 {
            proof.odd.push(format!("{place}: {truth} there, {said} by the payments, {booked} in the ledger"));
        }
    }
    paid_out::compare(&mut proof, client, desk, movements).await?;
    Ok(proof)
}

/// Compares until all agree and every payout has ended, and once more a while later; or until the time is over.
pub(super) async fn settle(client: &Client, bank: &Client, desk: &Desk, within: Duration) -> Result<Proof, String> {
    let began = Instant::now();
    paid_out::fill(client, desk).await?;
    let mut round = 0;
    loop {
        // What moves while the others are read shows as a difference, and not in the next round any more.
        let mut proof = compare(client, desk, &movements(bank).await?).await?;
        proof.settled_s = began.elapsed().as_secs();
        if began.elapsed() > within {
            return Ok(proof);
        }
        if proof.is_sound() {
            // What is late must not move it any more.
            tokio::time::sleep(Duration::from_secs(3)).await;
            let mut later = compare(client, desk, &movements(bank).await?).await?;
            later.settled_s = proof.settled_s;
            if later.is_sound() {
                return Ok(later);
            }
        }
        paid_out::work_off(client, bank, desk, round).await?;
        round += 1;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
}

impl Proof {
    /// Compares what one thing moved, here and there; `own` is the address of the payment or payout.
    pub(super) fn weigh(&mut self, ours: i64, theirs: i64, own: &str, what: &str) {
        match (ours, theirs) {
            (ours, theirs) if ours == theirs => return,
            (0, _) => self.charged_without_entry += 1,
            (_, 0) => self.entry_without_charge += 1,
            _ => self.doubled += 1,
        }
        self.odd.push(format!("{what}, {own}: {theirs} there, {ours} here"));
        self.suspects.push(own.to_owned());
    }

    /// Prints what is known of the first few that are not as they should be.
    pub(super) async fn explain(&self, client: &Client) -> Result<(), String> {
        for own in self.suspects.iter().take(3) {
            println!("  {own}: {}", client.must(Method::GET, own, None).await?);
            for event in client.all(&format!("{own}/events")).await? {
                println!("    {event}");
            }
        }
        Ok(())
    }

    pub(super) fn is_sound(&self) -> bool {
        self.charged_without_entry + self.entry_without_charge + self.doubled + self.difference_minor + self.payouts_open == 0
    }

    pub(super) fn print(&self) {
        println!(
            "  {} charges, {} refunds and {} payouts there, {} of which came back; charged without entry {}, entry without charge {}, \
             doubled {}, difference {}, payouts open {}; settled in {} s",
            self.charged,
            self.refunded,
            self.payouts,
            self.payouts_returned,
            self.charged_without_entry,
            self.entry_without_charge,
            self.doubled,
            self.difference_minor,
            self.payouts_open,
            self.settled_s
        );
        for odd in self.odd.iter().take(20) {
            println!("  {odd}");
        }
    }

    pub(super) fn figures(&self) -> Value {
        json!({
            "charges": self.charged, "refunds": self.refunded, "payouts": self.payouts, "payouts_returned": self.payouts_returned,
            "payouts_open": self.payouts_open, "charged_without_entry": self.charged_without_entry,
            "entry_without_charge": self.entry_without_charge, "doubled": self.doubled, "difference_minor": self.difference_minor,
            "settled_s": self.settled_s,
        })
    }
}
