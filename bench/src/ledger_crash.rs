//! `kill -9` at random moments while 16 callers post transfers, promises and chains, on both engines: what was answered
//! stands once, nothing is half there, the books balance, and every start goes on booking.

mod child;
mod proof;
mod script;

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kernel::Entropy;
use serde_json::{Value, json};
use store::testing::{TestPlace, fresh_place};
use store::{Config, Engine};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::Options;
use crate::ledger_bench::engines;
use proof::{Book, Proof};
use script::CALLERS;

/// Turns of each caller after the last kill, before everything must be booked.
const LAST_TURNS: u64 = 40;

/// One engine's books, and what is remembered of them.
struct Run {
    folder: PathBuf,
    database: Option<String>,
    book: Arc<Mutex<Book>>,
    entropy: Entropy,
    /// Processes that brought the books further than they were.
    starts_that_booked: u64,
}

/// What a process has said of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Said {
    Nothing,
    Ready,
    Done,
}

/// A process that posts, and whoever listens to it.
struct Poster {
    child: Child,
    said: watch::Receiver<Said>,
    listening: JoinHandle<()>,
}

impl Poster {
    /// Ends it without a word, and hears what it said until then.
    async fn kill(mut self) -> Result<(), String> {
        if let Some(status) = self.child.try_wait().map_err(|e| e.to_string())? {
            return Err(format!("a process ended by itself: {status}"));
        }
        self.child.kill().await.map_err(|e| e.to_string())?;
        self.listening.await.map_err(|e| e.to_string())
    }

    async fn until(&mut self, wanted: Said) -> Result<(), String> {
        let said = tokio::time::timeout(Duration::from_secs(60), self.said.wait_for(|said| *said >= wanted)).await;
        match said {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(format!("a process ended before it was {wanted:?}")),
            Err(_) => Err(format!("a process was not {wanted:?} within a minute")),
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes note of one whole line of a process.
fn note(book: &Mutex<Book>, line: &str, said: &watch::Sender<Said>) {
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["ready"] => drop(said.send_replace(Said::Ready)),
        ["done"] => drop(said.send_replace(Said::Done)),
        ["booked", count] => {
            let mut book = held(book);
            book.booked = book.booked.max(count.parse().unwrap_or(0));
        }
        [caller, turn, letter] => match (caller.parse(), turn.parse()) {
            (Ok(caller), Ok(turn)) => held(book).answered(caller, turn, letter),
            _ => held(book).odd.push(line.to_owned()),
        },
        _ => held(book).odd.push(line.to_owned()),
    }
}

impl Run {
    fn start(&self, turns: Option<u64>) -> Result<Poster, String> {
        let from: Vec<String> = {
            let book = held(&self.book);
            (0..CALLERS).map(|caller| book.answered.get(&caller).copied().unwrap_or(0).to_string()).collect()
        };
        let mut command = Command::new(std::env::current_exe().map_err(|e| e.to_string())?);
        command.arg("ledger-crash-child").arg("--folder").arg(&self.folder).arg("--from").arg(from.join(","));
        command.args(self.database.iter().flat_map(|url| ["--database", url.as_str()]));
        command.args(turns.iter().flat_map(|turns| ["--turns".to_owned(), turns.to_string()]));
        let mut child = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().map_err(|e| e.to_string())?;
        let output = child.stdout.take().ok_or("a process has no output")?;
        let (saying, said) = watch::channel(Said::Nothing);
        let book = self.book.clone();
        let listening = tokio::spawn(async move {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            while output.read_line(&mut line).await.is_ok_and(|length| length > 0) {
                // What the kill cut off was not said.
                if let Some(whole) = line.strip_suffix('\n') {
                    note(&book, whole, &saying);
                }
                line.clear();
            }
        });
        Ok(Poster { child, said, listening })
    }

    /// Kills `kills` processes, one after the other; how long the slowest took to be ready.
    async fn kill(&mut self, kills: u64, life_ms: u64) -> Result<Duration, String> {
        let mut slowest = Duration::ZERO;
        for killed in 1..=kills {
            let (begun, booked) = (Instant::now(), held(&self.book).booked);
            let mut poster = self.start(None)?;
            if killed % 4 == 0 {
                // Every fourth one may not even have started.
                tokio::time::sleep(Duration::from_millis(self.entropy.below(300))).await;
            } else {
                poster.until(Said::Ready).await?;
                slowest = slowest.max(begun.elapsed());
                tokio::time::sleep(Duration::from_millis(20 + self.entropy.below(life_ms))).await;
            }
            poster.kill().await?;
            self.starts_that_booked += u64::from(held(&self.book).booked > booked);
        }
        Ok(slowest)
    }

    /// Lets one process post to its end, and book everything.
    async fn finish(&self) -> Result<(), String> {
        let mut poster = self.start(Some(LAST_TURNS))?;
        poster.until(Said::Done).await?;
        let ended = tokio::time::timeout(Duration::from_secs(60), poster.child.wait()).await;
        ended.map_err(|_| "the last process does not end".to_owned())?.map_err(|e| e.to_string())?;
        poster.listening.await.map_err(|e| e.to_string())
    }
}

/// The process that is killed.
pub(crate) async fn child(options: &Options) -> Result<Value, String> {
    child::run(options).await.map(|()| Value::Null)
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let seed = options.number("--seed").unwrap_or_else(|| Entropy::system().below(1 << 32));
    let kills = options.number("--kills").unwrap_or(if options.quick { 5 } else { 100 });
    let mut figures = json!({ "kills": 0, "lost": 0, "doubled": 0, "unbalanced": 0, "seed": seed, "engines": {} });
    let mut is_sound = true;
    for engine in engines(options)? {
        let word = if engine == Engine::Sqlite { "sqlite" } else { "postgres" };
        let place: Option<TestPlace> = if engine == Engine::Postgres { Some(fresh_place().await) } else { None };
        let database = place.as_ref().and_then(|place| place.config().database_url);
        if engine == Engine::Postgres && database.is_none() {
            return Err("TESSERA_TEST_DATABASE names no PostgreSQL: start this with bench/run".into());
        }
        let folder = options.folder(&format!("ledger-crash-{word}"))?;
        let book = Arc::new(Mutex::new(Book::default()));
        let mut run =
            Run { folder: folder.clone(), database: database.clone(), book, entropy: Entropy::seeded(seed), starts_that_booked: 0 };
        let slowest = run.kill(kills, if options.quick { 700 } else { 1_200 }).await?;
        run.finish().await?;
        let book = std::mem::take(&mut *held(&run.book));
        let proof = Proof::of(Config::new(&folder, database), &book).await?;
        println!(
            "{word}: {kills} kills, {} of the killed processes had booked more, slowest start {:.0} ms",
            run.starts_that_booked,
            slowest.as_secs_f64() * 1000.0
        );
        proof.print();
        is_sound &= proof.is_sound();
        let mut of_engine = proof.figures();
        of_engine["kills"] = json!(kills);
        of_engine["starts_that_booked"] = json!(run.starts_that_booked);
        of_engine["slowest_start_ms"] = json!((slowest.as_secs_f64() * 1000.0).round());
        for name in ["kills", "lost", "doubled", "unbalanced"] {
            figures[name] = json!(figures[name].as_u64().unwrap_or(0) + of_engine[name].as_u64().unwrap_or(0));
        }
        figures["engines"][word] = of_engine;
        if proof.is_sound() || std::env::var_os("BENCH_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&folder);
        } else {
            println!("kept: {}", folder.display());
        }
    }
    figures["sound"] = json!(is_sound);
    Ok(figures)
}
