//! Payments end to end through the real binary and the simulator in a process of its own: how many a second, at what cost, and
//! what a provider that hangs does to the payments at another.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use store::testing::{TestPlace, fresh_place};

use crate::Options;
use crate::client::Client;
use crate::paced::Latency;
use crate::process::{Server, cpu_seconds};

/// Runs the simulator until it is ended; prints where it listens.
pub(crate) async fn simulator() -> Result<(), String> {
    let simulator = sim::start(sim::Options::default()).await.map_err(|error| error.to_string())?;
    println!("{}", simulator.address());
    std::future::pending::<()>().await;
    Ok(())
}

/// The product and the simulator, with accounts at it.
pub(crate) struct Shop {
    pub(crate) server: Server,
    pub(crate) sim: Server,
    pub(crate) client: Arc<Client>,
    pub(crate) bank: Arc<Client>,
    place: Option<TestPlace>,
}

/// An account with the simulator: its word, settings and secrets.
pub(crate) type Account = (&'static str, Value, Value);

pub(crate) fn stripe() -> Account {
    ("stripe", json!({}), json!({ "api_key": sim::STRIPE_KEY, "webhook_secret": sim::STRIPE_WEBHOOK_SECRET }))
}

pub(crate) fn monnify() -> Account {
    (
        "monnify",
        json!({ "contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::MONNIFY_SOURCE_ACCOUNT }),
        json!({ "api_key": sim::MONNIFY_KEY, "secret_key": sim::MONNIFY_SECRET }),
    )
}

impl Shop {
    pub(crate) async fn open(work: &Path, engine: &str, accounts: &[Account]) -> Result<Self, String> {
        let place = if engine == "postgres" { Some(fresh_place().await) } else { None };
        let many = "4000000000";
        let mut settings = vec!["--rate-form", many, "--rate-address", many, "--rate-caller", many];
        let database = place.as_ref().and_then(|place| place.config().database_url.clone());
        if engine == "postgres" && database.is_none() {
            return Err("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run".into());
        }
        if let Some(database) = &database {
            settings.extend(["--database", database]);
        }
        let server = Server::tessera(&work.join("data"), &settings).await?;
        let sim = Server::myself("simulator").await?;
        let client = Arc::new(Client::new(&server.url, &server.told("api_key")?));
        let bank = Arc::new(Client::new(&sim.url, ""));
        for provider in client.must(Method::GET, "/v1/payment-providers", None).await?["items"].as_array().into_iter().flatten() {
            let path = format!("/v1/payment-providers/{}", provider["id"].as_str().unwrap_or_default());
            client.must(Method::PATCH, &path, Some(&json!({ "version": provider["version"], "is_enabled": false }))).await?;
        }
        for (word, settings, secrets) in accounts {
            let body = json!({
                "name": format!("bench-{word}"), "dialect": word, "base_url": format!("{}/{word}", sim.url), "settings": settings, "secrets": secrets,
            });
            let added = client.must(Method::POST, "/v1/payment-providers", Some(&body)).await?;
            let url = added["webhook_url"].as_str().unwrap_or_default();
            let path = url.split_once("/v1/").map_or(url, |(_, path)| path);
            let target = json!({ "url": format!("{}/v1/{path}", server.url) });
            bank.must(Method::PUT, &format!("/sim/{word}/webhook"), Some(&target)).await?;
        }
        Ok(Self { server, sim, client, bank, place })
    }

    /// The identifiers of the enabled providers by the word of their dialect.
    async fn provider(&self, word: &str) -> Result<String, String> {
        let listed = self.client.must(Method::GET, "/v1/payment-providers", None).await?;
        let wanted = format!("bench-{word}");
        let found = listed["items"].as_array().into_iter().flatten().find(|provider| provider["name"] == wanted.as_str());
        found.and_then(|provider| provider["id"].as_str()).map(str::to_owned).ok_or_else(|| format!("there is no {wanted}"))
    }

    pub(crate) async fn close(self) -> Result<(), String> {
        self.server.stop().await?;
        self.sim.stop().await?;
        drop(self.place);
        Ok(())
    }
}

/// One payment: asked for, begun, and its page there. Answers the attempt's reference.
async fn begin(client: &Client, currency: &str, method: &str) -> Result<(String, String), String> {
    let asked =
        json!({ "amount_minor": 1250, "currency": currency, "method": method, "payer_name": "Ada Obi", "payer_email": "ada@example.org" });
    let made = client.must(Method::POST, "/v1/payments", Some(&asked)).await?;
    let id = made["id"].as_str().ok_or("a payment without an identifier")?.to_owned();
    client.must(Method::POST, &format!("/v1/payments/{id}/attempts"), None).await?;
    let seen = client.must(Method::GET, &format!("/v1/payments/{id}?wait_s=10"), None).await?;
    let last = seen["attempts"].as_array().and_then(|attempts| attempts.last()).cloned().unwrap_or_default();
    if seen["page_url"].is_null() {
        return Err(format!("no page: {}", last["state"]));
    }
    Ok((id, last["id"].as_str().unwrap_or_default().to_owned()))
}

/// `bench/run payments`
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let wanted = options.text("--engine");
    let time = Duration::from_secs(options.number("--seconds").unwrap_or(if options.quick { 5 } else { 20 }));
    let callers = options.number("--callers").unwrap_or(64);
    let mut figures = json!({ "callers": callers });
    println!(
        "payments from the call to the webhook that says paid, {callers} callers, {} s; the simulator answers at once",
        time.as_secs()
    );
    println!("{:<10} {:>12} {:>14} {:>16} {:>12}", "", "payments/s", "CPU ms each", "page p50 ms", "p99 ms");
    for engine in ["sqlite", "postgres"].into_iter().filter(|engine| wanted.is_none_or(|wanted| wanted == *engine)) {
        let work = options.folder(&format!("payments-{engine}"))?;
        let shop = Shop::open(&work, engine, &[stripe()]).await?;
        let pids = shop.server.pids();
        let (cpu, began) = (cpu_seconds(&pids), Instant::now());
        let failed = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..callers {
            let (client, bank, failed) = (shop.client.clone(), shop.bank.clone(), failed.clone());
            tasks.push(tokio::spawn(async move {
                let mut micros = Vec::new();
                while began.elapsed() < time {
                    let from = Instant::now();
                    let paid = async {
                        let (_, reference) = begin(&client, "EUR", "card").await?;
                        let page = from.elapsed().as_micros() as u64;
                        bank.must(Method::POST, "/sim/pay", Some(&json!({ "reference": reference }))).await?;
                        Ok::<_, String>(page)
                    };
                    match paid.await {
                        Ok(page) => micros.push(page),
                        Err(error) => {
                            if failed.fetch_add(1, Ordering::Relaxed) < 3 {
                                eprintln!("a payment failed: {error}");
                            }
                        }
                    }
                }
                micros
            }));
        }
        let mut micros = Vec::new();
        for task in tasks {
            micros.extend(task.await.map_err(|error| error.to_string())?);
        }
        let count = micros.len() as u64;
        // Paid is paid when the webhook was worked off, and everything that follows was done.
        let deadline = Instant::now() + Duration::from_secs(120);
        let mut open = count;
        while open > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let left = shop.client.must(Method::GET, "/v1/payments?state=requires_action&limit=1", None).await?;
            open = left["items"].as_array().map_or(0, Vec::len) as u64;
        }
        let seconds = began.elapsed().as_secs_f64();
        let rate = (count as f64 / seconds).round();
        let each = ((cpu_seconds(&pids) - cpu) * 1_000.0 / count.max(1) as f64 * 100.0).round() / 100.0;
        let latency = Latency::of(micros, failed.load(Ordering::Relaxed));
        let (p50, p99) = (latency.quantile_ms(0.5), latency.quantile_ms(0.99));
        println!("{engine:<10} {rate:>12} {each:>14} {p50:>16.1} {p99:>12.1}");
        figures[format!("{engine}_per_s")] = json!(rate);
        figures[format!("{engine}_cpu_ms")] = json!(each);
        figures[format!("{engine}_failed")] = json!(latency.failed);
        figures[format!("{engine}_not_paid")] = json!(open);
        shop.close().await?;
        let _ = std::fs::remove_dir_all(&work);
    }
    Ok(figures)
}

/// Payments at a rate over two providers in turn; the times until the page was there at the first of them.
async fn paced(shop: &Shop, rate: u64, time: Duration) -> Result<Latency, String> {
    let start = Instant::now() + Duration::from_millis(100);
    let mut tasks = Vec::new();
    for number in 0..rate * time.as_secs() {
        let due = start + Duration::from_secs_f64(number as f64 / rate as f64);
        let client = shop.client.clone();
        tokio::time::sleep_until(due.into()).await;
        let is_other = number % 2 == 1;
        let task = tokio::spawn(async move {
            let begun = begin(&client, "NGN", if is_other { "bank_transfer" } else { "card" }).await;
            (is_other, begun.is_ok(), due.elapsed().as_micros() as u64)
        });
        tasks.push(task);
    }
    let (mut micros, mut failed) = (Vec::new(), 0);
    for task in tasks {
        match task.await.map_err(|error| error.to_string())? {
            (true, ..) => {}
            (false, true, took) => micros.push(took),
            (false, false, _) => failed += 1,
        }
    }
    Ok(Latency::of(micros, failed))
}

/// `bench/run hang`
pub(crate) async fn hang(options: &Options) -> Result<Value, String> {
    let engine = options.text("--engine").unwrap_or("sqlite");
    let rate = options.number("--rate").unwrap_or(200);
    let time = Duration::from_secs(options.number("--seconds").unwrap_or(if options.quick { 10 } else { 60 }));
    let work = options.folder("hang")?;
    let shop = Shop::open(&work, engine, &[stripe(), monnify()]).await?;
    let (first, second) = (shop.provider("stripe").await?, shop.provider("monnify").await?);
    let rules = json!([
        { "name": "transfers", "when": { "methods": ["bank_transfer"] }, "then": { "chain": [second] } },
        { "name": "cards", "then": { "chain": [first] } },
    ]);
    shop.client.must(Method::PUT, "/v1/payment-routes", Some(&json!({ "version": 0, "rules": rules }))).await?;
    let before = paced(&shop, rate, time).await?;
    let rule = json!({ "dialect": "monnify", "operation": "create", "fault": "timeout_before", "rate_percent": 100, "times": null });
    shop.bank.must(Method::POST, "/sim/faults", Some(&rule)).await?;
    let during = paced(&shop, rate, time).await?;
    println!(
        "{rate} payments a second, half of them at a provider that hangs for {} s; until the page of the other half was there",
        time.as_secs()
    );
    println!("{:<10} {:>10} {:>10} {:>10} {:>8}", "", "p50 ms", "p99 ms", "answered", "failed");
    for (name, latency) in [("before", &before), ("during", &during)] {
        let (p50, p99) = (latency.quantile_ms(0.5), latency.quantile_ms(0.99));
        println!("{name:<10} {p50:>10.1} {p99:>10.1} {:>10} {:>8}", latency.answered, latency.failed);
    }
    let round = |value: f64| (value * 10.0).round() / 10.0;
    let figures = json!({
        "engine": engine, "rate": rate, "seconds": time.as_secs(),
        "p99_before_ms": round(before.quantile_ms(0.99)), "p99_during_ms": round(during.quantile_ms(0.99)),
        "failed_before": before.failed, "failed_during": during.failed,
    });
    let Shop { mut server, mut sim, .. } = shop;
    // What hangs is not waited for.
    server.kill().await;
    sim.kill().await;
    let _ = std::fs::remove_dir_all(&work);
    Ok(figures)
}
