//! `kill -9` at random moments during a mixed load, on both engines: what was answered is there once, whoever was to be told
//! was told, and the books of the outbox close.

mod load;
mod proof;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use kernel::Entropy;
use serde_json::{Value, json};
use store::testing::{TestPlace, fresh_place};

use crate::Options;
use crate::client::Client;
use crate::process::{Server, free_port};
use crate::receivers::{Endpoint, MailServer};
use load::Load;
use proof::Proof;

/// One engine's run.
struct Plan<'a> {
    engine: &'a str,
    database: Option<String>,
    kills: u64,
    /// The longest that a process lives, in milliseconds.
    life_ms: u64,
    entropy: Entropy,
}

struct Ran {
    proof: Proof,
    kills: u64,
    slowest_start_ms: f64,
}

async fn one(options: &Options, plan: &Plan<'_>) -> Result<Ran, String> {
    let work = options.folder(&format!("crash-{}", plan.engine))?;
    let (data, listen) = (work.join("data"), format!("127.0.0.1:{}", free_port()?));
    let mails = MailServer::start(&work.join("mails")).await?;
    let endpoint = Endpoint::start().await?;
    let smtp = format!("smtp://{}?tls=none", mails.address);
    let many = "4000000000";
    let mut settings = vec!["--smtp", &smtp, "--webhook-allow", "127.0.0.1/32", "--trusted-proxy", "127.0.0.1"];
    settings.extend(["--rate-form", many, "--rate-address", many, "--rate-caller", many]);
    settings.extend(plan.database.iter().flat_map(|url| ["--database", url.as_str()]));

    let mut server = Server::tessera_at(&listen, &data, &settings).await?;
    let client = Arc::new(Client::new(&server.url, &server.told("api_key")?));
    client.must(Method::POST, "/v1/webhooks", Some(&json!({ "url": endpoint.url }))).await?;
    let load = Load::start(Arc::clone(&client), plan.entropy.below(u64::MAX)).await?;
    let mut slowest_start_ms = 0_f64;
    let mut kills = 0;
    while kills < plan.kills {
        tokio::time::sleep(Duration::from_millis(100 + plan.entropy.below(plan.life_ms))).await;
        server.kill().await;
        kills += 1;
        // Every fourth one is killed again before it has started.
        if kills % 4 == 0 && kills < plan.kills {
            let mut unborn = Server::spawn(&listen, &data, &settings)?;
            tokio::time::sleep(Duration::from_millis(plan.entropy.below(400))).await;
            unborn.kill().await;
            kills += 1;
        }
        let begun = Instant::now();
        server = Server::tessera_at(&listen, &data, &settings).await?;
        slowest_start_ms = slowest_start_ms.max(begun.elapsed().as_secs_f64() * 1000.0);
    }
    let book = load.stop().await?;
    let settled_after = proof::settle(&server).await;
    let mut proof = proof::through_the_door(&client, &book, &endpoint, &mails.mails()).await?;
    server.stop().await?;
    mails.stop().await;
    proof::in_the_database(&mut proof, &data, plan.database.clone(), &book).await?;
    if let Err(words) = settled_after {
        proof.odd.push(words);
    }
    if proof.is_sound() {
        let _ = std::fs::remove_dir_all(&work);
    } else if std::env::var_os("BENCH_KEEP").is_some() {
        println!("kept: {}", work.display());
    }
    Ok(Ran { proof, kills, slowest_start_ms })
}

/// The power is cut under the SQLite store, on a recording of what its disk was told.
async fn power_cut(options: &Options, seed: u64) -> Value {
    let cuts = options.number("--cuts").unwrap_or(if options.quick { 100 } else { 2_000 });
    let found = store::testing::power_cut::power_cut(cuts as usize, seed).await;
    println!(
        "{:>9} power cuts between {} operations of the disk, after {} answered units",
        found.cuts, found.operations, found.acknowledged
    );
    println!("{:>9} answered units lost, {} half there, {} databases damaged", found.lost, found.halves, found.damaged);
    json!({
        "cuts": found.cuts,
        "acknowledged": found.acknowledged,
        "acknowledged_lost": found.lost,
        "halves": found.halves,
        "damaged": found.damaged,
        "seed": seed,
        "sound": found.lost + found.halves + found.damaged == 0,
    })
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let seed = options.number("--seed").unwrap_or_else(|| Entropy::system().below(1 << 32));
    if options.has("--power-cut") {
        return Ok(power_cut(options, seed).await);
    }
    let kills = options.number("--kills").unwrap_or(if options.quick { 5 } else { 50 });
    let wanted = options.text("--engine");
    if let Some(other) = wanted.filter(|engine| !matches!(*engine, "sqlite" | "postgres")) {
        return Err(format!("--engine {other}: write sqlite or postgres, or leave it out for both"));
    }
    let mut figures =
        json!({ "kills": 0, "leads_lost": 0, "leads_doubled": 0, "scans_lost": 0, "told_lost": 0, "seed": seed, "engines": {} });
    let mut is_sound = true;
    for engine in ["sqlite", "postgres"].into_iter().filter(|engine| wanted.is_none_or(|wanted| wanted == *engine)) {
        let place: Option<TestPlace> = if engine == "postgres" { Some(fresh_place().await) } else { None };
        let database = place.as_ref().and_then(|place| place.config().database_url.clone());
        if engine == "postgres" && database.is_none() {
            return Err("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run".into());
        }
        let entropy = Entropy::seeded(seed);
        let plan = Plan { engine, database, kills, life_ms: if options.quick { 1_500 } else { 2_500 }, entropy };
        let ran = one(options, &plan).await?;
        println!("{engine}: {} kills, slowest restart {:.0} ms", ran.kills, ran.slowest_start_ms);
        ran.proof.print();
        is_sound &= ran.proof.is_sound();
        let engine_figures = ran.proof.figures(ran.kills, ran.slowest_start_ms);
        for name in ["kills", "leads_lost", "leads_doubled", "scans_lost", "told_lost"] {
            figures[name] = json!(figures[name].as_u64().unwrap_or(0) + engine_figures[name].as_u64().unwrap_or(0));
        }
        figures["engines"][engine] = engine_figures;
    }
    figures["sound"] = json!(is_sound);
    Ok(figures)
}
