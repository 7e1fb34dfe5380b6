//! The binary: reads the command line and plays the role that it names.

use std::process::ExitCode;

use clap::Parser;
use gateway::{ServerLimits, ShutdownSignal, serve, shutdown};
use kernel::Caller;
use store::backup;
use tessera::config::{CommandLine, Config, LedgerRole, Role};
use tessera::{Greeting, Installation, Work, installation, reachable_url};
use tokio::net::TcpListener;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    log(line.options.log_json);
    let role = line.role.unwrap_or(Role::Run);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("tessera: no threads can be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = Config::load(line.options).map_err(Failure::from).and_then(|config| runtime.block_on(play(role, config)));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tessera: {error}");
            let mut cause = error.source();
            while let Some(why) = cause {
                eprintln!("  because: {why}");
                cause = why.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn log(is_json: bool) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TESSERA_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    if is_json { log.json().init() } else { log.init() }
}

async fn play(role: Role, config: Config) -> Result<ExitCode, Failure> {
    let only_reads = match &role {
        Role::Check | Role::Backup { .. } | Role::Ledger { .. } => true,
        Role::Payments { what } => what.only_reads(),
        _ => false,
    };
    if !only_reads {
        // Personal data is in it: a new folder is for its owner alone.
        use std::os::unix::fs::DirBuilderExt as _;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&config.data);
        made.map_err(|error| format!("the data folder {} cannot be made: {error}. Name another with --data", config.data.display()))?;
    }
    let done = match role {
        Role::Ledger { what: LedgerRole::Verify { workspace, seals } } => return verify(&config, workspace, seals).await,
        Role::Ledger { what: LedgerRole::Seals } => seals(&config).await,
        Role::Payments { what } => return tessera::payments_commands::play(what, &config).await,
        Role::Run => run(config, Work::Both).await,
        Role::Serve | Role::Work if config.database.is_none() => {
            Err("serve and work are two processes, which a SQLite file cannot have: use `run`, or name a PostgreSQL with --database".into())
        }
        Role::Serve => run(config, Work::ServeOnly).await,
        Role::Work => run(config, Work::JobsOnly).await,
        Role::Migrate => {
            let store = store::Store::open(config.store()).await?;
            println!("{} migrations were run; the database is up to date", store.migrations_run());
            store.close().await;
            Ok(())
        }
        Role::Link { email } => link(config, &email).await,
        Role::Workspace { name, email, owner } => workspace(config, &name, &email, &owner).await,
        Role::Backup { file } => {
            if config.database.is_some() {
                return Err("PostgreSQL is backed up with its own tools: pg_dump for a copy, WAL archiving for every moment; the journal of each node is in its data folder".into());
            }
            let key = backup_key(&config)?;
            let (data, now) = (config.data.clone(), kernel::Clock::system().now());
            let journal = config.data.join("journal");
            let folder = data.clone();
            let stage = move |stage: &std::path::Path| {
                ledger::seals::back_up(&folder, stage)?;
                if journal.exists() {
                    codes::scan::backup_journal(&journal, &stage.join("journal")).map(|_| ()).map_err(std::io::Error::other)
                } else {
                    Ok(())
                }
            };
            let made = backup::backup(&data, &file, key.as_ref(), now, &kernel::Entropy::system(), stage)?;
            let bytes: u64 = made.files.iter().map(|file| file.bytes).sum();
            let sealed = if key.is_some() { ", encrypted" } else { "" };
            println!(
                "{}: {} files, {bytes} bytes{sealed}. The file secret.key is not in it: keep a copy apart",
                file.display(),
                made.files.len()
            );
            Ok(())
        }
        Role::Restore { file } => {
            if let Some(missing) = config.backup_key.as_ref().filter(|path| !path.exists()) {
                return Err(format!("the key file {} is not there: name the one that the backup was made with", missing.display()).into());
            }
            let key = backup_key(&config)?;
            let restored = backup::restore(&file, &config.data, key.as_ref())?;
            println!(
                "{} holds the installation as it was at {}: {} files, each verified. Put its secret.key back beside it",
                config.data.display(),
                restored.created_at,
                restored.files.len()
            );
            Ok(())
        }
        Role::Check => check(config).await,
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The books as they are now, whoever runs on them; says by its code whether they are sound.
async fn verify(config: &Config, workspace: Option<kernel::WorkspaceId>, seals: Option<std::path::PathBuf>) -> Result<ExitCode, Failure> {
    if let Some(missing) = seals.as_ref().filter(|path| !path.exists()) {
        return Err(format!("the file of seals {} is not there", missing.display()).into());
    }
    // Read before the database: no seal is then newer than what the database is asked for.
    let seals = ledger::seals::read(&seals.unwrap_or_else(|| config.data.join(ledger::seals::FILE)))?;
    let store = store::Store::open_read_only(config.store()).await?;
    let options = ledger::verify::Options { workspace, seals, ..Default::default() };
    let report = ledger::verify::verify(&mut store.snapshot().await?, &options).await?;
    println!("{report}");
    Ok(if report.is_sound() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn seals(config: &Config) -> Result<(), Failure> {
    let store = store::Store::open_read_only(config.store()).await?;
    for seal in ledger::seals::newest(&mut store.read()).await? {
        println!("{}", seal.line());
    }
    Ok(())
}

fn backup_key(config: &Config) -> Result<Option<[u8; 32]>, Failure> {
    Ok(config.backup_key.as_ref().map(|path| store::key_file(path, &kernel::Entropy::system())).transpose()?)
}

async fn check(config: Config) -> Result<(), Failure> {
    println!("the configuration makes sense");
    match &config.database {
        None => {
            let bytes = backup::check(&config.data)?;
            println!("the database is sound: {bytes} bytes");
        }
        Some(_) => {
            let store = store::Store::open(config.store()).await?;
            println!("the database server answers and is up to date");
            store.close().await;
        }
    }
    Ok(())
}

async fn link(config: Config, email: &str) -> Result<(), Failure> {
    let store = store::Store::open(config.store()).await?;
    let email = people::Email::parse(email)?;
    let token = store
        .write(&Caller::system("link"), email, |tx, email| {
            Box::pin(async move {
                let person = people::queries::person_by_email_everywhere(tx, &email)
                    .await?
                    .ok_or(people::PeopleError::NotFound { what: "person" })?;
                people::commands::issue_sign_in_link_everywhere(tx, person.id).await
            })
        })
        .await?;
    println!("{}/sign-in/{token}", reachable_url(&config, config.listen));
    store.close().await;
    Ok(())
}

async fn workspace(config: Config, name: &str, email: &str, owner: &str) -> Result<(), Failure> {
    let store = store::Store::open(config.store()).await?;
    let input = (people::WorkspaceName::parse(name)?, people::Email::parse(email)?, people::PersonName::parse(owner)?);
    let token = store
        .write(&Caller::system("workspace"), input, |tx, (name, email, owner)| {
            Box::pin(async move {
                let (locale, zone) = (people::Locale::parse("en")?, people::Zone::parse("UTC")?);
                let (_, member) = people::commands::create_workspace(tx, &name, &locale, &zone, &email, &owner).await?;
                people::commands::issue_sign_in_link_everywhere(tx, member.person).await
            })
        })
        .await?;
    println!("{}/sign-in/{token}", reachable_url(&config, config.listen));
    store.close().await;
    Ok(())
}

async fn run(config: Config, work: Work) -> Result<(), Failure> {
    let listener = TcpListener::bind(config.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}. Choose another address with --listen, such as 127.0.0.1:0 for a free port", config.listen)
    })?;
    let listen = listener.local_addr()?;
    let store_config = config.store();
    let tls = installation::tls(&config, listen, &store_config)?;
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().ok();
    if let Some(metrics) = metrics.clone() {
        // What histograms have gathered is folded up even while nobody asks for it.
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(std::time::Duration::from_secs(5)).await;
                metrics.run_upkeep();
            }
        });
    }
    let (trigger, signal) = shutdown();
    let public_url = reachable_url(&config, listen);
    let installation = Installation::open(&config, store_config, &public_url, work, metrics, signal.clone()).await?;
    greet(&config, listen, &public_url, work, &installation, tls.as_ref()).await?;
    tokio::spawn(async move {
        ended().await;
        trigger.begin();
    });
    let (end, ended) = tokio::sync::oneshot::channel::<()>();
    let file = config.data.join(ledger::seals::FILE);
    let sealing = ledger::seals::keep(installation.parts.store.clone(), file, async move {
        let _ = ended.await;
    });
    // Of a process that serves and one that works on the same data folder, the one that works keeps the file.
    let sealing = (work != Work::ServeOnly).then(|| tokio::spawn(sealing));
    serve_until(listener, tls, &installation, signal).await;
    drop(end);
    if let Some(sealing) = sealing {
        let _ = sealing.await;
    }
    installation.close().await;
    Ok(())
}

async fn serve_until(listener: TcpListener, tls: Option<gateway::TlsSetup>, installation: &Installation, signal: ShutdownSignal) {
    let door = installation.door.clone();
    serve(listener, tls, move |peer| door.service(peer), signal, ServerLimits::default()).await;
}

async fn greet(
    config: &Config,
    listen: std::net::SocketAddr,
    public_url: &str,
    work: Work,
    installation: &Installation,
    tls: Option<&gateway::TlsSetup>,
) -> Result<(), Failure> {
    let demonstration = if work == Work::JobsOnly { None } else { tessera::seed(&installation.parts.store, config.json).await? };
    let made_here = config.tls == tessera::config::Tls::Local;
    let greeting = Greeting {
        listen,
        public_url: public_url.to_owned(),
        sign_in_url: demonstration.as_ref().map(|demo| format!("{public_url}/sign-in/{}", demo.sign_in_token)),
        card_url: demonstration.as_ref().map(|demo| format!("{public_url}/{}", demo.code)),
        payment_url: demonstration.as_ref().and_then(|demo| demo.payment_link).map(|link| format!("{public_url}/pay/{link}")),
        api_url: (work != Work::JobsOnly).then(|| format!("{public_url}/docs")),
        api_key: demonstration.and_then(|demo| demo.api_key),
        mailbox_url: installation
            .parts
            .mail_folder
            .as_ref()
            .filter(|_| work != Work::JobsOnly)
            .map(|_| format!("{public_url}/dev/mailbox")),
        certificate_sha256: tls.filter(|_| made_here).map(gateway::TlsSetup::fingerprint),
    };
    if config.json {
        println!("{}", serde_json::to_string(&greeting)?);
    } else {
        println!("{}", greeting.text());
    }
    Ok(())
}

/// Waits for Ctrl-C or the signal that service managers send.
async fn ended() {
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}
