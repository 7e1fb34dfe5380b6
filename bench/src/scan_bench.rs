//! Scans a CPU second with recording on, against nginx `return 302` in the same run; latency at half load; nothing lost.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use codes::{Destination, NewCode, PublicCode, TargetUrl};
use kernel::{Caller, Entropy, Id, RawId, WorkspaceId};
use serde_json::{Value, json};
use store::{Config, Store};

use crate::process::{Server, cpu_seconds, peak_rss_mb, wrk};
use crate::{Options, paced};

static SYSTEM: Caller = Caller::system("bench");
/// Distinct requests that wrk goes through, over and over.
const REQUESTS: usize = 200_000;

/// Fills a new installation with codes that lead elsewhere, and answers them.
async fn mint(folder: &Path, count: u64) -> Result<Vec<PublicCode>, String> {
    let store = Store::open(Config::new(folder, None)).await.map_err(|e| e.to_string())?;
    let workspace = WorkspaceId::from_raw(RawId::from_bits(1));
    let url = TargetUrl::parse("https://example.com/landing?campaign=autumn", "http://127.0.0.1").map_err(|e| e.to_string())?;
    let new = NewCode { destination: Some(Destination::Url(url)), ..NewCode::default() };
    let mut minted = Vec::with_capacity(count as usize);
    let started = Instant::now();
    while (minted.len() as u64) < count {
        let wanted = 10_000.min(count - minted.len() as u64) as u32;
        let batch = store
            .write_bulk(&SYSTEM, (workspace, wanted, new.clone()), |tx, (workspace, wanted, new)| {
                Box::pin(async move { codes::commands::mint_many(tx, workspace, wanted, new).await })
            })
            .await
            .map_err(|e| e.to_string())?;
        let id = batch.batch;
        minted.extend(batch.codes);
        loop {
            let unit = store.write_bulk(&SYSTEM, (workspace, id), |tx, (workspace, id)| {
                Box::pin(async move { codes::commands::fill_batch(tx, workspace, id).await })
            });
            if unit.await.map_err(|e| e.to_string())? == 0 {
                break;
            }
        }
    }
    println!("{} codes minted in {:.1} s", minted.len(), started.elapsed().as_secs_f64());
    store.close().await;
    Ok(minted)
}

/// Ranks drawn by Zipf's law with exponent 1 over `count` items: rank `n` in proportion to `1 / n`.
fn zipf(entropy: &Entropy, count: u64) -> usize {
    // The inverse of the continuous law, exact enough for a load.
    let u = entropy.below(1 << 53) as f64 / (1_u64 << 53) as f64;
    let rank = ((count as f64 + 1.0).ln() * u).exp();
    (rank as usize).clamp(1, count as usize) - 1
}

/// A wrk script that goes through the paths of a file, each thread from another place.
fn script(folder: &Path, name: &str, paths: &[String]) -> Result<std::path::PathBuf, String> {
    let list = folder.join(format!("{name}.txt"));
    std::fs::write(&list, paths.join("\n")).map_err(|e| e.to_string())?;
    let mut lua = String::new();
    let _ = write!(
        lua,
        r#"
local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args)
  requests = {{}}
  local headers = {{ ["User-Agent"] = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", ["Accept-Language"] = "en-GB,en;q=0.9", ["Accept"] = "text/html,*/*;q=0.8" }}
  local all = {{}}
  for path in io.lines("{}") do all[#all + 1] = path end
  local share = math.floor(#all / 2)
  for i = id * share + 1, (id + 1) * share do requests[#requests + 1] = wrk.format("GET", all[i], headers) end
  at = 0
end
function request() at = at + 1; if at > #requests then at = 1 end; return requests[at] end
"#,
        list.display()
    );
    let path = folder.join(format!("{name}.lua"));
    std::fs::write(&path, lua).map_err(|e| e.to_string())?;
    Ok(path)
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let count = options.number("--codes").unwrap_or(if options.quick { 100_000 } else { 1_000_000 });
    let seconds = options.number("--seconds").unwrap_or(if options.quick { 4 } else { 15 });
    let rounds = if options.quick { 2 } else { 3 };
    let work = options.folder("scan")?;
    let data = work.join("data");
    let minted = mint(&data, count).await?;
    let entropy = Entropy::seeded(5);
    let hot: Vec<String> = (0..REQUESTS).map(|_| format!("/{}", minted[zipf(&entropy, count)])).collect();
    // Codes that no scan has touched: taken from the end of a walk through all of them, each once.
    let cold_count = (count as usize / 2).min(400_000);
    let cold: Vec<String> = (0..cold_count).map(|i| format!("/{}", minted[minted.len() - 1 - i])).collect();
    let (hot, cold) = (script(&work, "hot", &hot)?, script(&work, "cold", &cold)?);

    let nginx = Server::nginx(&work).await?;
    let tessera = Server::tessera(&data, &["--rate-address", "4000000000"]).await?;
    let mut table = String::new();
    let (mut best_nginx, mut best_hot, mut client) = (Vec::new(), Vec::new(), 0);
    let mut rate = 0.0;
    // Warm up both: the first scans are a test of their own.
    client += wrk(&tessera.url, &hot, 1, 32)?.requests;
    wrk(&nginx.url, &hot, 1, 32)?;
    for round in 1..=rounds {
        let before = cpu_seconds(&nginx.pids());
        let done = wrk(&nginx.url, &hot, seconds, 32)?;
        let per_cpu = done.requests as f64 / (cpu_seconds(&nginx.pids()) - before);
        let _ = writeln!(table, "round {round}  nginx return 302     {per_cpu:>9.0} a CPU second  {:>8.0} /s", done.rate);
        best_nginx.push(per_cpu);
        let before = cpu_seconds(&tessera.pids());
        let done = wrk(&tessera.url, &hot, seconds, 32)?;
        client += done.requests;
        rate = done.rate;
        // The count goes on after the last answer: it belongs to the cost.
        settle(&tessera).await?;
        let per_cpu = done.requests as f64 / (cpu_seconds(&tessera.pids()) - before);
        let _ = writeln!(table, "round {round}  scan, recorded       {per_cpu:>9.0} a CPU second  {:>8.0} /s", done.rate);
        best_hot.push(per_cpu);
    }
    let before = cpu_seconds(&tessera.pids());
    let done = wrk(&tessera.url, &cold, if options.quick { 2 } else { 4 }, 32)?;
    client += done.requests;
    settle(&tessera).await?;
    let cold_per_cpu = done.requests as f64 / (cpu_seconds(&tessera.pids()) - before);
    let _ = writeln!(table, "         a cold code          {cold_per_cpu:>9.0} a CPU second  {:>8.0} /s", done.rate);

    let half = options.number("--rate").map_or(rate / 2.0, |rate| rate as f64);
    let paths: Vec<String> = (0..20_000).map(|_| format!("/{}", minted[zipf(&entropy, count)])).collect();
    let latency = paced::gets(&tessera.url, &paths, half, Duration::from_secs(seconds.min(10)), 64).await?;
    client += latency.answered;
    let (p50, p99) = (latency.quantile_ms(0.50), latency.quantile_ms(0.99));
    let _ = writeln!(table, "half load {half:.0} /s: p50 {p50:.2} ms, p99 {p99:.2} ms ({} failed)", latency.failed);
    settle(&tessera).await?;
    let answered = tessera.metric("scans_recorded_total").await? as u64;
    let peak = peak_rss_mb(&tessera.pids());
    tessera.stop().await?;
    nginx.stop().await?;

    let store = Store::open(Config::new(&data, None)).await.map_err(|e| e.to_string())?;
    let recorded = codes::scan::recorded_everywhere(&mut store.read()).await.map_err(|e| e.to_string())?;
    store.close().await;
    let _ = std::fs::remove_dir_all(&work);
    let median = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let (nginx, hot) = (median(best_nginx), median(best_hot));
    print!("{table}");
    println!("peak memory {peak} MB; the client counted {client}, the server answered {answered}, the database has {recorded}");
    let round = |x: f64| (x * 1000.0).round() / 1000.0;
    Ok(json!({
        "codes": count,
        "ratio_to_nginx": round(hot / nginx),
        "cold_ratio_to_nginx": round(cold_per_cpu / nginx),
        "scans_per_cpu_s": hot.round(),
        "nginx_per_cpu_s": nginx.round(),
        "p50_ms": round(p50),
        "p99_ms": round(p99),
        "client": client,
        "answered": answered,
        "recorded": recorded,
        "peak_mb": peak,
    }))
}

/// Waits until everything that was answered is counted.
async fn settle(server: &Server) -> Result<(), String> {
    for _ in 0..1_200 {
        if server.metric("scans_waiting").await? == 0.0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err("the scans were not counted within two minutes".into())
}
