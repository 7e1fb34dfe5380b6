//! `kill -9` at random moments, and at every fail point, while payments are made, captured, refunded, paid out and told by
//! webhooks over simulated providers that fail now and then: in the end the providers' movements, the ledger, the payments and
//! the payouts agree to the unit.

mod load;
mod paid_out;
mod people;
mod proof;
mod scene;
mod settled;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use kernel::Entropy;
use serde_json::{Value, json};
use store::testing::{TestPlace, fresh_place};

use crate::Options;
use crate::client::Client;
use crate::process::{Server, free_port};
use load::Load;
use proof::Proof;
use scene::House;
use settled::Settled;

/// Where the process can be made to end itself, between two steps each: docs/payments.md says where they stand.
const FAIL_POINTS: [&str; 28] = [
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
    "payout.named",
    "payout.reserving",
    "payout.reserved",
    "payout.marked",
    "payout.answered",
    "payout.recording",
    "payout.recorded",
    "otp.marked",
    "otp.answered",
    "otp.recorded",
    "webhook.checked",
    "webhook.keeping",
    "webhook.kept",
    "webhook.read",
    "webhook.applying",
    "webhook.applied",
];

/// How long the installation has to learn what it does not know, once nothing fails any more.
const SETTLES_WITHIN: Duration = Duration::from_secs(300);

/// What one engine's run showed.
struct Shown {
    proof: Proof,
    settled: Settled,
    killed: u64,
    hit: u64,
    slowest: Duration,
}

impl Shown {
    fn is_sound(&self) -> bool {
        self.proof.is_sound() && self.settled.is_sound()
    }
}

/// One engine's run.
async fn one(options: &Options, engine: &str, kills: u64, entropy: &Entropy) -> Result<Shown, String> {
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
    let desk = Arc::new(scene::furnish(&client, &bank, &sim, &house).await?);
    scene::misbehave(&bank).await?;
    let load = Load::start(&client, &bank, &desk, entropy.below(u64::MAX));
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
    scene::behave(&bank).await?;
    let proof = proof::settle(&client, &bank, &desk, SETTLES_WITHIN).await?;
    println!(
        "{engine}: {killed} kills, {hit} fail points hit, {} payments and {} payouts begun, slowest start {:.0} ms",
        made.payments.load(Ordering::Relaxed),
        made.payouts.load(Ordering::Relaxed),
        slowest.as_secs_f64() * 1000.0
    );
    proof.print();
    proof.explain(&client).await?;
    // What did not agree before would show again.
    let settled = if proof.is_sound() { settled::settle(&house, &mut server, &client, &bank, &desk).await? } else { Settled::default() };
    settled.print();
    server.stop().await?;
    sim.stop().await?;
    let shown = Shown { proof, settled, killed, hit, slowest };
    keep(&work, shown.is_sound());
    Ok(shown)
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
        let shown = one(options, engine, kills, &Entropy::seeded(seed)).await?;
        is_sound &= shown.is_sound();
        let mut of_engine = shown.proof.figures();
        of_engine["settlement"] = shown.settled.figures();
        of_engine["kills"] = json!(shown.killed);
        of_engine["fail_points_hit"] = json!(shown.hit);
        of_engine["slowest_start_ms"] = json!((shown.slowest.as_secs_f64() * 1000.0).round());
        for name in ["kills", "charged_without_entry", "entry_without_charge", "doubled", "difference_minor"] {
            figures[name] = json!(figures[name].as_u64().unwrap_or(0) + of_engine[name].as_u64().unwrap_or(0));
        }
        figures["engines"][engine] = of_engine;
    }
    figures["sound"] = json!(is_sound);
    Ok(figures)
}
