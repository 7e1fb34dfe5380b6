//! `kill -9` at random moments, and at every fail point, while payments are made, captured, refunded and told by webhooks over
//! three simulated providers that fail now and then: in the end the providers' movements, the ledger and the payments agree to
//! the unit.

mod load;
mod proof;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use kernel::Entropy;
use serde_json::{Value, json};
use store::testing::{TestPlace, fresh_place};

use crate::Options;
use crate::client::Client;
use crate::payments_bench::{Account, monnify, stripe};
use crate::process::{Server, free_port};
use load::Load;
use proof::Proof;

/// What goes wrong at the providers in one of ten calls, each with the operation that it happens to.
const FAULTS: [(&str, &str); 11] = [
    ("create", "error_500"),
    ("create", "cut"),
    ("create", "error_500_after"),
    ("capture", "error_500_after"),
    ("capture", "cut"),
    ("refund", "error_500_after"),
    ("refund", "cut"),
    ("query", "not_found"),
    ("pay", "duplicate_webhook"),
    ("pay", "no_webhook"),
    ("pay", "forged_webhook"),
];

/// Where the process can be made to end itself, between two steps each: docs/payments.md says where they stand.
const FAIL_POINTS: [&str; 18] = [
    "attempt.marked",
    "attempt.answered",
    "attempt.recording",
    "attempt.recorded",
    "capture.marked",
    "capture.answered",
    "capture.recording",
    "capture.recorded",
    "refund.marked",
    "refund.answered",
    "refund.recording",
    "refund.recorded",
    "webhook.checked",
    "webhook.keeping",
    "webhook.kept",
    "webhook.read",
    "webhook.applying",
    "webhook.applied",
];

/// How long the installation has to learn what it does not know, once nothing fails any more.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

fn paypal() -> Account {
    (
        "paypal",
        json!({ "webhook_id": sim::PAYPAL_WEBHOOK_ID }),
        json!({ "client_id": sim::PAYPAL_CLIENT, "client_secret": sim::PAYPAL_SECRET }),
    )
}

/// The product at an address that it comes back to, and how it is started.
struct House {
    listen: String,
    data: std::path::PathBuf,
    settings: Vec<String>,
}

impl House {
    fn settings(&self) -> Vec<&str> {
        self.settings.iter().map(String::as_str).collect()
    }

    async fn start(&self) -> Result<Server, String> {
        Server::tessera_at(&self.listen, &self.data, &self.settings()).await
    }

    /// Starts it so that it ends itself at a fail point: that may be before it greets.
    fn start_to_fail(&self, point: &str) -> Result<Server, String> {
        Server::spawn_with(&self.listen, &self.data, &self.settings(), &[("TESSERA_FAIL_AT", point)])
    }
}

/// Accounts at the simulator, and rules that send each method of paying to its own.
async fn furnish(client: &Client, bank: &Client, sim: &Server, house: &str) -> Result<(), String> {
    for provider in client.must(Method::GET, "/v1/payment-providers", None).await?["items"].as_array().into_iter().flatten() {
        let path = format!("/v1/payment-providers/{}", provider["id"].as_str().unwrap_or_default());
        client.must(Method::PATCH, &path, Some(&json!({ "version": provider["version"], "is_enabled": false }))).await?;
    }
    let mut rules = Vec::new();
    for (word, settings, secrets) in [stripe(), paypal(), monnify()] {
        let body = json!({
            "name": format!("crash-{word}"), "dialect": word, "base_url": format!("{}/{word}", sim.url), "settings": settings,
            "secrets": secrets,
        });
        let added = client.must(Method::POST, "/v1/payment-providers", Some(&body)).await?;
        rules.push(json!({ "name": word, "when": { "methods": [word] }, "then": { "chain": [added["id"]] } }));
        let url = added["webhook_url"].as_str().unwrap_or_default();
        let path = url.split_once("/v1/").map_or(url, |(_, path)| path);
        bank.must(Method::PUT, &format!("/sim/{word}/webhook"), Some(&json!({ "url": format!("http://{house}/v1/{path}") }))).await?;
    }
    client.must(Method::PUT, "/v1/payment-routes", Some(&json!({ "version": 0, "rules": rules }))).await?;
    Ok(())
}

async fn misbehave(bank: &Client, percent: u64) -> Result<(), String> {
    for (operation, fault) in FAULTS {
        let rule = json!({ "operation": operation, "fault": fault, "rate_percent": percent });
        bank.must(Method::POST, "/sim/faults", Some(&rule)).await?;
    }
    Ok(())
}

async fn behave(bank: &Client) -> Result<(), String> {
    bank.must(Method::DELETE, "/sim/faults", None).await.map(|_| ())
}

/// One engine's run.
async fn one(options: &Options, engine: &str, kills: u64, entropy: &Entropy) -> Result<(Proof, u64, u64, Duration), String> {
    let place: Option<TestPlace> = if engine == "postgres" { Some(fresh_place().await) } else { None };
    let database = place.as_ref().and_then(|place| place.config().database_url);
    if engine == "postgres" && database.is_none() {
        return Err("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run".into());
    }
    let work = options.folder(&format!("payments-crash-{engine}"))?;
    let many = "4000000000".to_owned();
    let mut settings = Vec::new();
    for name in ["--rate-form", "--rate-address", "--rate-caller"] {
        settings.extend([name.to_owned(), many.clone()]);
    }
    settings.extend(database.iter().flat_map(|url| ["--database".to_owned(), url.clone()]));
    let house = House { listen: format!("127.0.0.1:{}", free_port()?), data: work.join("data"), settings };
    let mut server = house.start().await?;
    let sim = Server::myself("simulator").await?;
    let client = Arc::new(Client::new(&server.url, &server.told("api_key")?));
    let bank = Arc::new(Client::new(&sim.url, ""));
    furnish(&client, &bank, &sim, &house.listen).await?;
    misbehave(&bank, 4).await?;
    let load = Load::start(&client, &bank, entropy.below(u64::MAX));
    let life_ms = if options.quick { 1_500 } else { 2_500 };
    let (mut killed, mut slowest) = (0, Duration::ZERO);
    while killed < kills {
        tokio::time::sleep(Duration::from_millis(100 + entropy.below(life_ms))).await;
        server.kill().await;
        killed += 1;
        let begun = Instant::now();
        server = house.start().await?;
        slowest = slowest.max(begun.elapsed());
    }
    let hit = points(options, &house, &mut server).await?;
    let made = load.stop().await?;
    behave(&bank).await?;
    let proof = proof::settle(&client, &bank, SETTLES_WITHIN).await?;
    println!(
        "{engine}: {killed} kills, {hit} fail points hit, {made} payments begun, slowest start {:.0} ms",
        slowest.as_secs_f64() * 1000.0
    );
    server.stop().await?;
    sim.stop().await?;
    keep(&work, proof.is_sound());
    Ok((proof, killed, hit, slowest))
}

fn keep(work: &Path, is_sound: bool) {
    if is_sound || std::env::var_os("BENCH_KEEP").is_none() {
        let _ = std::fs::remove_dir_all(work);
    } else {
        println!("kept: {}", work.display());
    }
}

/// Lets the process end itself at each fail point once, under load. Without the feature `fail-points` there are none.
async fn points(options: &Options, house: &House, server: &mut Server) -> Result<u64, String> {
    let mut hit = 0;
    if options.has("--no-fail-points") {
        return Ok(0);
    }
    for point in FAIL_POINTS {
        server.kill().await;
        *server = house.start_to_fail(point)?;
        if !server.aborts_within(Duration::from_secs(60)).await {
            return Err(format!(
                "the process did not end itself at the fail point {point} within a minute: build it with --features fail-points"
            ));
        }
        hit += 1;
        *server = house.start().await?;
    }
    Ok(hit)
}

/// `bench/run payments-crash`
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let seed = options.number("--seed").unwrap_or_else(|| Entropy::system().below(1 << 32));
    let kills = options.number("--kills").unwrap_or(if options.quick { 5 } else { 100 });
    let wanted = options.text("--engine");
    let mut figures = json!({ "kills": 0, "seed": seed, "engines": {} });
    let mut is_sound = true;
    for engine in ["sqlite", "postgres"].into_iter().filter(|engine| wanted.is_none_or(|wanted| wanted == *engine)) {
        let (proof, killed, hit, slowest) = one(options, engine, kills, &Entropy::seeded(seed)).await?;
        proof.print();
        is_sound &= proof.is_sound();
        let mut of_engine = proof.figures();
        of_engine["kills"] = json!(killed);
        of_engine["fail_points_hit"] = json!(hit);
        of_engine["slowest_start_ms"] = json!((slowest.as_secs_f64() * 1000.0).round());
        for name in ["kills", "charged_without_entry", "entry_without_charge", "doubled", "difference_minor"] {
            figures[name] = json!(figures[name].as_u64().unwrap_or(0) + of_engine[name].as_u64().unwrap_or(0));
        }
        figures["engines"][engine] = of_engine;
    }
    figures["sound"] = json!(is_sound);
    Ok(figures)
}
