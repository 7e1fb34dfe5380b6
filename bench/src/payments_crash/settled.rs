//! The end of it: what each simulator moved is taken in as its report and booked, with a kill in between. Then nothing is left on
//! the clearing accounts, and nobody has anything to work off.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};

use super::proof::{clearing, movements, number};
use super::scene::{Desk, House};
use crate::client::Client;
use crate::process::Server;

/// What the providers of a report keep of a payment, in basis points.
const FEE_BASIS_POINTS: i64 = 150;

/// What came of the reports.
#[derive(Debug, Default)]
pub(super) struct Settled {
    lines: i64,
    matched: i64,
    exceptions: i64,
    /// What is left on the clearing accounts, in minor units without a sign.
    clearing_minor: u64,
}

impl Settled {
    pub(super) fn is_sound(&self) -> bool {
        self.exceptions == 0 && self.clearing_minor == 0 && self.lines == self.matched
    }

    pub(super) fn print(&self) {
        let Self { lines, matched, exceptions, clearing_minor } = self;
        println!("  {lines} lines of reports, {matched} matched, {exceptions} exceptions, {clearing_minor} left in clearing");
    }

    pub(super) fn figures(&self) -> Value {
        json!({
            "lines": self.lines, "matched": self.matched, "exceptions": self.exceptions, "clearing_minor": self.clearing_minor,
        })
    }
}

/// What one provider moved, as the neutral report that any can be converted to.
fn report(word: &str, movements: &[Value]) -> Option<(String, i64)> {
    let (mut text, mut lines) = ("kind,reference,provider_ref,batch,currency,gross_minor,fee_minor,net_minor,at\n".to_owned(), 0);
    for movement in movements.iter().filter(|movement| movement["dialect"] == word) {
        let said = |name: &str| movement[name].as_str().unwrap_or_default();
        let amount = number(&movement["amount_minor"]);
        let (kind, gross, fee) = match said("kind") {
            "charged" => ("payment", amount, amount * FEE_BASIS_POINTS / 10_000),
            "refunded" => ("refund", -amount, 0),
            // Monnify's reports do not list payouts.
            "paid_out" if word != "monnify" => ("payout", -amount, 0),
            _ => continue,
        };
        // PayPal tells a refund by the payment's name; ours is the key that it was asked for under.
        let name = [said("reference"), said("idempotency_key")].into_iter().find(|name| kind != "refund" || name.starts_with("prf_"));
        let (name, currency) = (name.unwrap_or_default(), said("currency"));
        let _ = writeln!(text, "{kind},{name},,crash-{word},{currency},{gross},{fee},{},", gross - fee);
        lines += 1;
    }
    (lines > 0).then_some((text, lines))
}

/// Takes the reports in and has them booked.
pub(super) async fn settle(house: &House, server: &mut Server, client: &Client, bank: &Client, desk: &Desk) -> Result<Settled, String> {
    let mut settled = Settled::default();
    let (moved, key) = (movements(bank).await?, client.authorization().to_owned());
    let mut taken = Vec::new();
    for (word, provider) in &desk.providers {
        let Some((text, lines)) = report(word, &moved) else { continue };
        let headers = [("authorization", key.as_str()), ("content-type", "text/csv")];
        let until = kernel::Clock::system().now().plus(Duration::from_secs(3_600));
        let path = format!("/v1/settlements?provider={provider}&name={word}.csv&covers_until={until}");
        let answer = client.send(Method::POST, &path, &headers, Bytes::from(text)).await?;
        if !answer.status.is_success() {
            return Err(format!("the report of {word} was answered {}: {}", answer.status, String::from_utf8_lossy(&answer.body)));
        }
        let answer: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
        taken.push(answer["id"].as_str().unwrap_or_default().to_owned());
        settled.lines += lines;
    }
    // Whatever is half-way in the books by now is gone on with.
    server.kill().await;
    *server = house.start().await?;
    for id in &taken {
        let path = format!("/v1/settlements/{id}");
        let mut looked = 0;
        let done = loop {
            let seen = client.must(Method::GET, &path, None).await?;
            match seen["state"].as_str() {
                Some("done") => break seen,
                Some("booking") if looked < 600 => tokio::time::sleep(Duration::from_millis(100)).await,
                state => return Err(format!("the settlement {id} is {state:?} after a minute: {}", seen["note"])),
            }
            looked += 1;
        };
        settled.matched += number(&done["matched"]);
        settled.exceptions += number(&done["exceptions"]);
    }
    settled.clearing_minor = clearing(client).await?.values().map(|left| left.unsigned_abs()).sum();
    if settled.exceptions != 0 {
        for exception in client.all("/v1/settlement-exceptions").await?.iter().take(10) {
            println!("  exception: {exception}");
        }
    }
    Ok(settled)
}
