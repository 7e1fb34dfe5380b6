//! Durable transfers a second through the ledger, the keeper beside it as in production; what each costs, how long a caller
//! waits, and what becomes of both when the books have grown.

mod cost;
mod load;
pub(crate) mod scene;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use store::Engine;

use crate::Options;
use cost::{Meter, sync_time};
use load::{Measured, Plan, beside_a_large_batch, measure, phases};
use scene::{Books, Shape};

/// Accounts of each kind in new books, and in grown ones.
const ACCOUNTS: usize = 10_000;
const GROWN_ACCOUNTS: usize = 100_000;
/// Transfers in grown books.
const GROWN: u64 = 10_000_000;

/// The rows that have names of their own, and their plans.
fn named(engine: Engine) -> Vec<(&'static str, Plan)> {
    let mut rows = vec![("uniform_1000", Plan::new(Shape::Uniform, 1_000, 16)), ("hot_1000", Plan::new(Shape::Hot, 1_000, 16))];
    rows.push(match engine {
        Engine::Sqlite => ("singles_256", Plan::new(Shape::Uniform, 1, 256)),
        Engine::Postgres => ("posts_hot_16", Plan { posts: true, ..Plan::new(Shape::Hot, 1, 16) }),
    });
    rows
}

/// Every other row of the table.
fn others(engine: Engine, quick: bool) -> Vec<Plan> {
    let wallets = |plan| Plan { limits: true, ..plan };
    if quick {
        return vec![Plan::new(Shape::Zipf, 1_000, 16), wallets(Plan::new(Shape::Uniform, 1_000, 16))];
    }
    let mut plans = Vec::new();
    for shape in [Shape::Uniform, Shape::Zipf, Shape::Hot] {
        for batch in [1, 10, 100, 1_000] {
            plans.extend([1, 16, 256].map(|callers| Plan::new(shape, batch, callers)));
        }
    }
    for shape in [Shape::Uniform, Shape::Hot] {
        plans.extend([1, 10, 100, 1_000].map(|batch| wallets(Plan::new(shape, batch, 16))));
    }
    let known = |plan: &Plan| named(engine).iter().any(|(_, named)| !named.posts && named.is_like(plan));
    plans.retain(|plan| !known(plan));
    plans
}

const fn word(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => "sqlite",
        Engine::Postgres => "postgres",
    }
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

fn print_head() {
    println!(
        "{:<9}{:<9}{:<8}{:>6}{:>8} {:>11} {:>11} {:>9} {:>8} {:>9} {:>9} {:>8} {:>9} {:>9}",
        "engine",
        "accounts",
        "limits",
        "batch",
        "callers",
        "durable/s",
        "booked/s",
        "behind",
        "cpu us",
        "writer us",
        "server us",
        "bytes",
        "p50 ms",
        "p99 ms"
    );
}

fn print_row(engine: Engine, plan: &Plan, row: &Measured) {
    println!(
        "{:<9}{:<9}{:<8}{:>6}{:>8} {:>11.0} {:>11.0} {:>9} {:>8.1} {:>9.1} {:>9.1} {:>8.0} {:>9.2} {:>9.2}{}{}",
        word(engine),
        plan.shape.as_str(),
        if plan.limits { "wallets" } else { "none" },
        plan.batch,
        plan.callers,
        row.per_s,
        row.booked_per_s,
        row.behind,
        row.own_us,
        row.writer_us,
        row.server_us,
        row.bytes,
        ms(row.p50),
        ms(row.p99),
        if plan.posts { "  posts in units of their own" } else { "" },
        if row.refused > 0 { format!("  {} units turned away", row.refused) } else { String::new() }
    );
}

fn in_json(engine: Engine, plan: &Plan, row: &Measured) -> Value {
    json!({
        "engine": word(engine), "accounts": plan.shape.as_str(), "limits": plan.limits, "batch": plan.batch, "callers": plan.callers,
        "posts": plan.posts, "per_s": row.per_s.round(), "booked_per_s": row.booked_per_s.round(), "behind": row.behind,
        "cpu_us": tenths(row.own_us), "writer_us": tenths(row.writer_us), "server_us": tenths(row.server_us), "bytes": row.bytes.round(),
        "p50_ms": ms(row.p50), "p99_ms": ms(row.p99), "refused": row.refused,
    })
}

/// Measures one engine in new books; the figures that have names, and the rate of each named row.
async fn in_new_books(options: &Options, engine: Engine, time: Duration, figures: &mut Value) -> Result<(), String> {
    let books = Arc::new(Books::open(options, engine, ACCOUNTS, ACCOUNTS).await?);
    let meter = Meter::new(&books.store).await?;
    let sync = sync_time(&books.folder)?;
    // What is prepared, mapped and planned once is not to be charged to the first row.
    measure(&books, &meter, Plan::new(Shape::Uniform, 100, 4), Duration::from_millis(300)).await?;
    for (name, plan) in named(engine) {
        let row = measure(&books, &meter, plan, time).await?;
        print_row(engine, &plan, &row);
        figures[format!("{}_{name}", word(engine))] = json!(row.per_s.round());
        push(figures, in_json(engine, &plan, &row));
    }
    for plan in others(engine, options.quick) {
        let row = measure(&books, &meter, plan, time).await?;
        print_row(engine, &plan, &row);
        push(figures, in_json(engine, &plan, &row));
    }
    let plan = Plan::new(Shape::Uniform, 1, 1);
    let row = measure(&books, &meter, plan, time).await?;
    let syncs = row.p50.as_secs_f64() / sync.as_secs_f64();
    println!(
        "{}: a single caller waits {:.2} ms (median), {:.1} times as long as this disk syncs ({:.2} ms); 99 of 100 within {:.2} ms",
        word(engine),
        ms(row.p50),
        syncs,
        ms(sync),
        ms(row.p99)
    );
    let beside = beside_a_large_batch(&books, time).await?;
    println!(
        "{}: beside batches of 8,000 rows in chunks of 250 ({} of {:.0} ms each) one transfer waits {:.2} ms (median), {:.2} ms (99 of 100), {:.2} ms (at most)",
        word(engine),
        beside.batches,
        ms(beside.batch),
        ms(beside.p50),
        ms(beside.p99),
        ms(beside.most)
    );
    figures[format!("{}_single", word(engine))] = json!({ "p50_ms": ms(row.p50), "p99_ms": ms(row.p99), "sync_ms": ms(sync) });
    figures[format!("{}_beside_8000", word(engine))] = json!({
        "p50_ms": ms(beside.p50), "p99_ms": ms(beside.p99), "max_ms": ms(beside.most), "batch_ms": ms(beside.batch)
    });
    for (name, phase) in ["posting", "booking"].into_iter().zip(phases(&books, &meter, time).await?) {
        println!(
            "{}: {name} alone takes {:.1} us of processor time a transfer ({:.1} of them SQLite's writer), {:.1} us of the server's: {:.0} a second",
            word(engine),
            phase.own_us,
            phase.writer_us,
            phase.server_us,
            phase.per_s
        );
        figures[format!("{}_{name}", word(engine))] = json!({
            "per_s": phase.per_s.round(), "cpu_us": tenths(phase.own_us), "writer_us": tenths(phase.writer_us),
            "server_us": tenths(phase.server_us)
        });
    }
    closed(books).await
}

/// The named rows again once the books have grown.
async fn in_grown_books(options: &Options, engine: Engine, time: Duration, figures: &mut Value) -> Result<(), String> {
    let entries = options.number("--entries").unwrap_or(GROWN);
    let books = Arc::new(Books::open(options, engine, GROWN_ACCOUNTS, 0).await?);
    let meter = Meter::new(&books.store).await?;
    let started = Instant::now();
    books.fill(entries).await?;
    println!(
        "{}: {entries} transfers between {GROWN_ACCOUNTS} accounts posted and booked in {:.0} s",
        word(engine),
        started.elapsed().as_secs_f64()
    );
    for (name, plan) in named(engine) {
        let row = measure(&books, &meter, plan, time).await?;
        print_row(engine, &plan, &row);
        let full_name = format!("{}_{name}", word(engine));
        let ratio = figures[&full_name].as_f64().unwrap_or(0.0) / row.per_s.max(1.0);
        println!("{}: {name} in new books is {ratio:.2} times as fast as in grown ones", word(engine));
        figures["grown"][&full_name] = json!({ "per_s": row.per_s.round(), "times_slower": (ratio * 100.0).round() / 100.0 });
        push(figures, in_json(engine, &plan, &row));
    }
    let started = Instant::now();
    let snapshot = books.store.snapshot().await.map_err(|e| e.to_string())?;
    let report = verified(snapshot).await?;
    let took = started.elapsed().as_secs_f64();
    println!("{}: all of it verified in {took:.1} s, {:.0} transfers a second", word(engine), report as f64 / took);
    figures["grown"][format!("{}_verified", word(engine))] = json!({ "transfers": report, "s": tenths(took) });
    closed(books).await
}

/// Verifies everything; how many transfers there were.
async fn verified(mut snapshot: store::Snapshot) -> Result<u64, String> {
    let report = ledger::verify::verify(&mut snapshot, &ledger::verify::Options::default()).await.map_err(|e| e.to_string())?;
    if report.is_sound() { Ok(report.transfers) } else { Err(report.to_string()) }
}

fn push(figures: &mut Value, row: Value) {
    if let Some(rows) = figures["rows"].as_array_mut() {
        rows.push(row);
    }
}

async fn closed(books: Arc<Books>) -> Result<(), String> {
    let books = Arc::into_inner(books).ok_or("somebody still posts")?;
    books.close().await;
    Ok(())
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let seconds = options.number("--seconds").map_or(if options.quick { 1.0 } else { 5.0 }, |seconds| seconds as f64);
    let time = Duration::from_secs_f64(seconds);
    let mut figures = json!({ "rows": [] });
    print_head();
    for engine in engines(options)? {
        in_new_books(options, engine, time, &mut figures).await?;
        if options.has("--growth") {
            in_grown_books(options, engine, time, &mut figures).await?;
        }
    }
    Ok(figures)
}

/// The engines that a run is for.
pub(crate) fn engines(options: &Options) -> Result<Vec<Engine>, String> {
    match options.text("--engine") {
        None => Ok(vec![Engine::Sqlite, Engine::Postgres]),
        Some("sqlite") => Ok(vec![Engine::Sqlite]),
        Some("postgres") => Ok(vec![Engine::Postgres]),
        Some(other) => Err(format!("--engine {other}: write sqlite or postgres, or leave it out for both")),
    }
}
