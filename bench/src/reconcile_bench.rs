//! Reconciliation: a report of many lines with a few planted errors is taken in, matched and booked; exactly the planted ones
//! may be found, in little time and memory.

use std::collections::BTreeSet;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use kernel::{Caller, Currency, Id, Money, RawId, WorkspaceId};
use payments::commands::settlement::{self as commands, PIECE_BYTES};
use payments::commands::{self as providers, NewProvider};
use payments::jobs::settlement::{ReportFile, book, take_file};
use payments::queries::settlement::{self as queries, ExceptionFilter};
use payments::settlement::{COLUMNS, Expected, SettlementId};
use payments::{Dialect, LineKind, PaymentError, ProviderId};
use serde_json::{Value, json};
use store::testing::fresh_place;
use store::{Config, Engine, Store};

use crate::Options;

static SYSTEM: Caller = Caller::system("bench");
/// The memory above which a run counts as unbounded, in MB: far below what the lines of a million would take together.
const PEAK_MAX_MB: u64 = 512;

/// What one run showed.
struct Figures {
    lines: u64,
    planted: u64,
    found: u64,
    wrong: u64,
    seconds: f64,
    peak_mb: u64,
}

/// Where the errors of each kind are planted: every `step` lines one, the kinds by turns.
struct Plan {
    lines: u64,
    planted: u64,
}

impl Plan {
    /// Whether line `number` is planted, and with what: 0 leaves it out, 1 puts a stranger beside it, 2 changes its amount.
    fn error(&self, number: u64) -> Option<u64> {
        let step = self.lines / (self.planted + 1);
        (number != 0 && number.is_multiple_of(step) && number / step <= self.planted).then_some(number / step % 3)
    }

    fn subject(number: u64) -> String {
        format!("pat_{:032x}", (u128::from(number) << 64) | 7)
    }

    const fn amount(number: u64) -> i64 {
        500 + (number % 100_000) as i64
    }

    /// Writes the report and says what has to be found: a word and the name that it is about.
    fn write(&self, path: &Path) -> std::io::Result<BTreeSet<(String, String)>> {
        let mut file = BufWriter::new(std::fs::File::create(path)?);
        let mut wanted = BTreeSet::new();
        writeln!(file, "{COLUMNS}")?;
        let mut line = |subject: &str, number: u64, gross: i64| {
            let (fee, batch) = (1 + gross / 50, number / 20_000);
            writeln!(file, "payment,{subject},ref{number},po_{batch},EUR,{gross},{fee},{},2026-01-31T09:30:00Z", gross - fee)
        };
        for number in 0..self.lines {
            let (subject, amount) = (Self::subject(number), Self::amount(number));
            match self.error(number) {
                None => line(&subject, number, amount)?,
                Some(0) => drop(wanted.insert(("missing".to_owned(), subject))),
                Some(1) => {
                    let stranger = format!("stranger{number}");
                    line(&subject, number, amount)?;
                    line(&stranger, number, amount)?;
                    wanted.insert(("extra".to_owned(), stranger));
                }
                Some(_) => {
                    line(&subject, number, amount + 1)?;
                    wanted.insert(("over".to_owned(), subject));
                }
            }
        }
        Ok(wanted)
    }
}

/// The most memory that this process has held since the mark was cleared, in MB.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or_default() / 1_024
}

/// Forgets the highest mark, so that the next one is that of what follows (proc(5), clear_refs).
fn clear_peak() {
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// A workspace with one provider and what is expected of it.
async fn prepare(store: &Store, plan: &Plan) -> Result<(WorkspaceId, ProviderId), String> {
    let id = || RawId::generate(store.clock().now(), store.entropy());
    let (workspace, provider) = (WorkspaceId::from_raw(id()), ProviderId::from_raw(id()));
    let new = NewProvider {
        name: "stripe".to_owned(),
        dialect: Dialect::Stripe,
        base_url: "http://127.0.0.1:1".to_owned(),
        settings: json!({}),
        sealed: providers::seal(store.vault(), provider, &json!({})).map_err(|e| e.to_string())?,
        id: provider,
        token: None,
    };
    let added = store.write(&SYSTEM, (workspace, new), |tx, (workspace, new)| {
        Box::pin(async move { providers::add_provider_in(tx, workspace, new).await.map(|_| ()) })
    });
    added.await.map_err(|e| e.to_string())?;
    let currency = Currency::parse("EUR").map_err(|e| e.to_string())?;
    for first in (0..plan.lines).step_by(500) {
        let expected = |number| Expected {
            subject: Plan::subject(number),
            attempt: None,
            owner: format!("pay_{number:032x}"),
            kind: LineKind::Payment,
            amount: Money::new(Plan::amount(number), currency),
            is_missing: false,
            is_matched: false,
        };
        let chunk: Vec<Expected> = (first..plan.lines.min(first + 500)).map(expected).collect();
        let kept = store.write(&SYSTEM, (workspace, provider, Arc::new(chunk)), |tx, (workspace, provider, chunk)| {
            Box::pin(async move { commands::expect_many(tx, workspace, provider, &chunk).await })
        });
        kept.await.map_err(|e: PaymentError| e.to_string())?;
    }
    Ok((workspace, provider))
}

async fn found(store: &Store, workspace: WorkspaceId) -> Result<BTreeSet<(String, String)>, String> {
    let mut all = BTreeSet::new();
    let filter = ExceptionFilter { is_open: Some(true), ..ExceptionFilter::default() };
    let mut before = None;
    loop {
        let page = queries::exceptions(&mut store.read(), workspace, &filter, before, 200).await.map_err(|e| e.to_string())?;
        let Some(last) = page.last() else { return Ok(all) };
        before = Some(last.id);
        all.extend(page.into_iter().map(|exception| {
            let about = exception.subject.or(exception.reference).unwrap_or_else(|| exception.id.to_string());
            (exception.kind.as_str().to_owned(), about)
        }));
    }
}

async fn measure(options: &Options, engine: Engine, plan: Plan) -> Result<Figures, String> {
    let folder = options.folder("reconcile")?;
    let result = measured(&folder, engine, &plan).await;
    let _ = std::fs::remove_dir_all(&folder);
    result
}

async fn measured(folder: &Path, engine: Engine, plan: &Plan) -> Result<Figures, String> {
    let mut place = None;
    let url = match engine {
        Engine::Sqlite => None,
        Engine::Postgres => {
            let fresh = place.insert(fresh_place().await).config().database_url;
            Some(fresh.ok_or("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run")?)
        }
    };
    let store = Store::open(Config::new(folder.join("data"), url)).await.map_err(|e| e.to_string())?;
    let (workspace, provider) = prepare(&store, plan).await?;
    let path = folder.join("report.csv");
    let wanted = plan.write(&path).map_err(|e| e.to_string())?;
    clear_peak();
    let start = Instant::now();
    let until = store.clock().now().plus(Duration::from_secs(1));
    let file = ReportFile { provider, name: "report.csv".to_owned(), covers_until: Some(until) };
    let taken = take_file(&store, &SYSTEM, workspace, file, || std::fs::File::open(&path)).await.map_err(|e| e.to_string())?;
    let id: SettlementId = taken.id;
    book(&store, workspace, &taken).await.map_err(|e| e.to_string())?;
    let seconds = start.elapsed().as_secs_f64();
    let peak_mb = peak_mb();
    let booked = queries::get(&mut store.read(), workspace, id).await.map_err(|e| e.to_string())?;
    if booked.state != "done" || booked.booked != booked.lines {
        return Err(format!("the report was not booked to its end: {booked:?}"));
    }
    let found = found(&store, workspace).await?;
    let figures = Figures {
        lines: booked.lines.unsigned_abs(),
        planted: wanted.len() as u64,
        found: found.intersection(&wanted).count() as u64,
        wrong: found.difference(&wanted).count() as u64,
        seconds: (seconds * 100.0).round() / 100.0,
        peak_mb,
    };
    store.close().await;
    Ok(figures)
}

/// Runs both sizes, or that of `--lines`.
pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let engine = match options.text("--engine") {
        None | Some("sqlite") => Engine::Sqlite,
        Some("postgres") => Engine::Postgres,
        Some(other) => return Err(format!("no engine is called {other}")),
    };
    let plans = match options.number("--lines") {
        Some(lines) => vec![Plan { lines: lines.max(100), planted: 30 }],
        None if options.quick => vec![Plan { lines: 10_000, planted: 3 }],
        None => vec![Plan { lines: 10_000, planted: 3 }, Plan { lines: 1_000_000, planted: 30 }],
    };
    println!("pieces of {PIECE_BYTES} bytes, on {engine:?}");
    println!("{:>10}{:>10}{:>8}{:>8}{:>10}{:>10}", "lines", "planted", "found", "false", "seconds", "peak MB");
    let mut rows = Vec::new();
    for plan in plans {
        let row = measure(options, engine, plan).await?;
        println!("{:>10}{:>10}{:>8}{:>8}{:>10}{:>10}", row.lines, row.planted, row.found, row.wrong, row.seconds, row.peak_mb);
        rows.push(row);
    }
    let sound = rows.iter().all(|row| row.found == row.planted && row.wrong == 0 && row.peak_mb <= PEAK_MAX_MB);
    let Some(last) = rows.last() else { return Err("there was nothing to measure".to_owned()) };
    let json = |row: &Figures| json!({ "lines": row.lines, "planted": row.planted, "found": row.found, "false": row.wrong, "seconds": row.seconds, "peak_mb": row.peak_mb });
    let mut figures = json(last);
    figures["runs"] = rows.iter().map(json).collect();
    figures["sound"] = sound.into();
    Ok(figures)
}
