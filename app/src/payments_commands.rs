//! `tessera payments …`: the history of payments as a whole, and reports of any size, from the command line.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use kernel::{Caller, Fault as _, Timestamp, WorkspaceId};
use payments::jobs::settlement::{ReportFile, book, take_file};
use payments::replay::{self, Report, Source};
use payments::{PaymentError, ProviderRecord, queries};
use store::Store;

use crate::config::Config;

type Failure = Box<dyn std::error::Error + Send + Sync>;

static SETTLER: Caller = Caller::system("payments.settle");

/// What can be done with payments from outside.
#[derive(Debug, Clone, Subcommand)]
pub enum PaymentsRole {
    /// Writes every event of payments and payouts, of all workspaces, into a new file, beside a running process. It holds what was
    /// paid, by which identifiers, and no names or addresses of people.
    Events {
        /// The file to make; one that is there is not written over.
        file: PathBuf,
    },
    /// With FILE: makes the payments of an installation that has none from the events in it, row for row as they were. Without:
    /// replays the installation's own events beside it, says each row that is another than its events make, and changes nothing.
    /// The exit code is 0 only where every row is the same. Nothing is posted to the ledger and nothing is sent.
    Replay {
        /// What `payments events` wrote.
        file: Option<PathBuf>,
    },
    /// Takes a provider's settlement report of any size in and books it. Beside a running process it needs PostgreSQL.
    Settle {
        /// The provider, by its name or its identifier.
        #[arg(long, value_name = "NAME_OR_ID")]
        provider: String,
        /// The workspace, where several have a provider of this name: ws_….
        #[arg(long, value_name = "ID")]
        workspace: Option<WorkspaceId>,
        /// Everything that happened before this instant is in the report: what is expected from before and not in it is missing.
        #[arg(long, value_name = "TIME", value_parser = instant)]
        covers_until: Option<Timestamp>,
        /// The report, as the provider writes it or with the columns that docs/settlement.md names.
        file: PathBuf,
    },
}

impl PaymentsRole {
    /// Whether it only looks at what is there, so that no data folder is made for it.
    pub const fn only_reads(&self) -> bool {
        matches!(self, Self::Events { .. } | Self::Replay { file: None })
    }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|_| "write an instant such as 2026-01-31T00:00:00Z".to_owned())
}

/// Does it, and says by the code whether all is as it should be.
pub async fn play(what: PaymentsRole, config: &Config) -> Result<ExitCode, Failure> {
    match what {
        PaymentsRole::Events { file } => events(config, &file).await,
        PaymentsRole::Replay { file: Some(file) } => restore(config, &file).await,
        PaymentsRole::Replay { file: None } => check(config).await,
        PaymentsRole::Settle { provider, workspace, covers_until, file } => settle(config, &provider, workspace, covers_until, &file).await,
    }
}

async fn events(config: &Config, file: &Path) -> Result<ExitCode, Failure> {
    let store = Store::open_read_only(config.store()).await?;
    // What was paid is nobody else's business.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let made = made.map_err(|error| format!("{} cannot be made: {error}. Name a file that is not there yet", file.display()))?;
    let written = async {
        let (exported, out) = replay::export(&store, BufWriter::new(made)).await?;
        out.into_inner().map_err(|error| error.into_error())?.sync_all()?;
        Ok::<_, replay::ReplayError>(exported)
    };
    match written.await {
        Ok(exported) => {
            println!("{}: {} events\nevents {}", file.display(), exported.events, exported.sha256);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            let _ = fs::remove_file(file);
            Err(error.into())
        }
    }
}

async fn restore(config: &Config, file: &Path) -> Result<ExitCode, Failure> {
    let open = || File::open(file).map(BufReader::new);
    open().map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let store = Store::open(config.store()).await?;
    replay::enter_kept(&store, &config.data).await?;
    let report = replay::restore(&store, open).await.map_err(|error| -> Failure {
        match error {
            replay::ReplayError::File(fault) => format!("{}, {fault}", file.display()).into(),
            other => other.into(),
        }
    })?;
    replay::record(&store, &report, Source::File).await?;
    store.close().await;
    println!("The ledger, the outbox, providers, links and what people told us are not in the file: they come from a backup.");
    Ok(told(&report))
}

async fn check(config: &Config) -> Result<ExitCode, Failure> {
    let beside = Store::open_read_only(config.store()).await?;
    let report = replay::check(&beside).await?;
    beside.close().await;
    match Store::open(config.store()).await {
        Ok(store) => {
            replay::enter_kept(&store, &config.data).await?;
            replay::record(&store, &report, Source::History).await?;
            store.close().await;
        }
        // A process that runs on a SQLite folder has it for itself.
        Err(_) if config.database.is_none() && store::lock_folder(&config.data).is_err() => {
            replay::keep_for_later(&config.data, &report, Source::History)?;
            println!("Another process has the data folder: it enters this replay in the audit trail at its next start.");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(told(&report))
}

fn told(report: &Report) -> ExitCode {
    println!("{report}");
    if report.is_same() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

async fn settle(
    config: &Config,
    name_or_id: &str,
    workspace: Option<WorkspaceId>,
    covers_until: Option<Timestamp>,
    file: &Path,
) -> Result<ExitCode, Failure> {
    let open = || File::open(file);
    open().map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    let store = Store::open(config.store()).await?;
    let provider = provider(&store, name_or_id, workspace).await?;
    let name = file.file_name().map_or_else(|| "report".to_owned(), |name| name.to_string_lossy().into_owned());
    let report = ReportFile { provider: provider.id, name, covers_until };
    let taken = take_file(&store, &SETTLER, provider.workspace, report, open).await.map_err(words)?;
    if taken.state == "booking" {
        book(&store, provider.workspace, &taken)
            .await
            .map_err(|error| format!("the report is kept and not booked to its end: {error:?}"))?;
    }
    let booked = loop {
        let now = queries::settlement::get(&mut store.read(), provider.workspace, taken.id).await.map_err(words)?;
        // Where a worker books it too, what it has begun is waited for.
        if now.state != "booking" {
            break now;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    };
    store.close().await;
    println!("{} {}: {} lines, {} matched, {} exceptions", booked.id, booked.state, booked.booked, booked.matched, booked.exceptions);
    match booked.note {
        Some(note) if booked.state == "failed" => Err(format!("the report could not be booked: {note}").into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}

async fn provider(store: &Store, name_or_id: &str, workspace: Option<WorkspaceId>) -> Result<ProviderRecord, Failure> {
    let mut found = queries::providers_called_everywhere(&mut store.read(), name_or_id, workspace).await?;
    match found.len() {
        1 => Ok(found.remove(0)),
        0 => Err(format!("there is no provider {name_or_id:?}: name one of `GET /v1/payment-providers` with --provider").into()),
        _ => {
            let workspaces: Vec<String> = found.iter().map(|provider| provider.workspace.to_string()).collect();
            Err(format!("several workspaces have a provider {name_or_id:?}: name one with --workspace: {}", workspaces.join(", ")).into())
        }
    }
}

/// What is wrong, field by field, in one line.
fn words(error: PaymentError) -> String {
    match error.fields() {
        fields if fields.is_empty() => error.to_string(),
        fields => fields.iter().map(|field| format!("{}: {}", field.field, field.message)).collect::<Vec<_>>().join("; "),
    }
}
