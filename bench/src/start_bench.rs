//! What a start costs: time to the greeting and to the first answered scan, idle memory, the binary's size, a release build.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::process::Command;

use crate::process::{Server, binary, rss_mb};
use crate::{Options, paced};

struct Start {
    greeted_ms: f64,
    scanned_ms: f64,
    server: Server,
}

async fn start(data: &Path) -> Result<Start, String> {
    let begun = Instant::now();
    let server = Server::tessera(data, &[]).await?;
    let greeted_ms = begun.elapsed().as_secs_f64() * 1000.0;
    let card = server.told("card_url")?;
    let path = card.strip_prefix(&server.url).ok_or_else(|| format!("{card} is not at {}", server.url))?.to_owned();
    let (status, _) = paced::get(&server.url, &path).await?;
    let scanned_ms = begun.elapsed().as_secs_f64() * 1000.0;
    if !status.is_success() {
        return Err(format!("the first scan was answered {status}"));
    }
    Ok(Start { greeted_ms, scanned_ms, server })
}

/// Builds the binary from nothing, all dependencies included, in a folder of its own.
async fn build(work: &Path) -> Result<f64, String> {
    let begun = Instant::now();
    let built = Command::new("cargo")
        .args(["build", "--release", "--locked", "-q", "-p", "tessera"])
        .env("CARGO_TARGET_DIR", work.join("target"))
        .kill_on_drop(true)
        .status()
        .await
        .map_err(|e| format!("cargo: {e}"))?;
    if built.success() { Ok(begun.elapsed().as_secs_f64()) } else { Err("the release build failed".into()) }
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let rounds = if options.quick { 3 } else { 7 };
    let work = options.folder("start")?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let data = work.join(format!("data-{round}"));
        for starts in [&mut first, &mut second] {
            let start = start(&data).await?;
            starts.push((start.greeted_ms, start.scanned_ms));
            start.server.stop().await?;
        }
    }
    let idle = start(&work.join("data-0")).await?;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let idle_mb = rss_mb(&idle.server.pids());
    idle.server.stop().await?;
    let binary_mb = std::fs::metadata(binary()?).map_err(|e| e.to_string())?.len() as f64 / (1 << 20) as f64;
    let build_s = if options.has("--build") { Some(build(&work).await?.round()) } else { None };
    let _ = std::fs::remove_dir_all(&work);
    let median = |all: &[(f64, f64)], of: fn(&(f64, f64)) -> f64| {
        let mut all: Vec<f64> = all.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2].round()
    };
    let (first_ms, first_scan_ms) = (median(&first, |s| s.0), median(&first, |s| s.1));
    let (second_ms, second_scan_ms) = (median(&second, |s| s.0), median(&second, |s| s.1));
    println!("{:<34} {:>10} {:>18}", format!("median of {rounds}"), "greeting", "first scan");
    println!("{:<34} {first_ms:>7} ms {first_scan_ms:>15} ms", "first start, demonstration seeded");
    println!("{:<34} {second_ms:>7} ms {second_scan_ms:>15} ms", "second start, data kept");
    println!("idle memory after 5 s {idle_mb} MB; binary {binary_mb:.1} MB");
    match build_s {
        Some(seconds) => println!("clean release build {seconds:.0} s"),
        None => println!("the clean release build is measured with --build"),
    }
    Ok(json!({
        "first_ms": first_ms,
        "first_scan_ms": first_scan_ms,
        "second_ms": second_ms,
        "second_scan_ms": second_scan_ms,
        "idle_mb": idle_mb,
        "binary_mb": (binary_mb * 10.0).round() / 10.0,
        "build_s": build_s,
    }))
}
