//! Load generators and benchmarks. `bench/run NAME` builds and calls this; each prints a table and, last, one JSON object.

mod client;
mod crash_bench;
mod hostile_bench;
mod ledger_bench;
mod ledger_crash;
mod paced;
mod payments_bench;
mod payments_crash;
mod process;
mod receivers;
mod reconcile_bench;
mod request_bench;
mod scan_bench;
mod start_bench;
mod store_bench;
mod told_bench;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A benchmark's options, as `bench/run` hands them over.
pub(crate) struct Options {
    /// Ends within a minute.
    pub(crate) quick: bool,
    words: Vec<String>,
}

impl Options {
    /// The value after `--name`, as a number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name).and_then(|value| value.parse().ok())
    }

    /// The value after `--name`.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        let at = self.words.iter().position(|word| word == name)?;
        self.words.get(at + 1).map(String::as_str)
    }

    /// A new folder for a run, removed by the benchmark at its end.
    pub(crate) fn folder(&self, name: &str) -> Result<std::path::PathBuf, String> {
        let parent = std::env::var_os("BENCH_WORK").map_or_else(std::env::temp_dir, std::path::PathBuf::from);
        let folder = parent.join(format!("tessera-bench-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        Ok(folder)
    }

    /// Whether `--name` is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.words.iter().any(|word| word == name)
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = words.split_first() else {
        eprintln!("name a benchmark; bench/run alone lists them");
        return ExitCode::from(2);
    };
    let options = Options { quick: rest.iter().any(|word| word == "--quick"), words: rest.to_vec() };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime starts");
    let figures = runtime.block_on(async {
        match name.as_str() {
            "scan" => scan_bench::run(&options).await,
            "store" => Ok(store_bench::run(&options).await),
            "told" => told_bench::run(&options).await,
            "request" => request_bench::run(&options).await,
            "crash" => crash_bench::run(&options).await,
            "hostile" => hostile_bench::run(&options).await,
            "ledger" => ledger_bench::run(&options).await,
            "ledger-crash" => ledger_crash::run(&options).await,
            "ledger-crash-child" => ledger_crash::child(&options).await,
            "payments" => payments_bench::run(&options).await,
            "payments-crash" => payments_crash::run(&options).await,
            "hang" => payments_bench::hang(&options).await,
            "simulator" => payments_bench::simulator().await.map(|()| serde_json::Value::Null),
            "reconcile" => reconcile_bench::run(&options).await,
            "start" => start_bench::run(&options).await,
            "bare-axum" => request_bench::bare_axum().await.map(|()| serde_json::Value::Null),
            other => Err(format!("no benchmark is called {other}")),
        }
    });
    match figures {
        Ok(figures) => {
            // Another process's part has none.
            if !figures.is_null() {
                println!("{figures}");
            }
            // Figures that are a verdict too.
            if figures["sound"] == false { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(words) => {
            eprintln!("{words}");
            ExitCode::FAILURE
        }
    }
}
