//! One running installation: opened from its configuration, put together, and closed in the right order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use codes::scan::{Scanner, Setup};
use gateway::card_numbers::{CardNumberRules, Declared};
use gateway::{AllowedNetworks, Door, DoorSettings, Exit, LimitSettings, Proxies, Rate, ShutdownSignal, TlsSetup, TlsSource};
use http::HeaderName;
use kernel::Caller;
use leads::FormKey;
use metrics_exporter_prometheus::PrometheusHandle;
use notifications::{Channels, Live, LiveLimits, MailSetup, MailTransport, Sender, SmtpConfig, SmtpPool, WebhookClient, WebhookLimits};
use outbox::{Feed, GateLimits, Outbox};
use people::{Links, Passwords, Roles};
use store::{Reads, Store};
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinHandle;

use crate::config::{Config, Tls};
use crate::pages::scan::ScanPages;
use crate::scan_door::ScanDoor;
use crate::{roles, router, worker};

/// How often what has had its time is deleted.
const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// How long running jobs are waited for at the end.
const JOBS_GRACE: Duration = Duration::from_secs(10);

/// Why an installation does not start; says what to do.
#[derive(Debug, thiserror::Error)]
pub enum InstallationError {
    /// The database.
    #[error("{0}")]
    Store(#[from] store::StoreError),
    /// The journal of scans.
    #[error("{0}")]
    Scans(#[from] codes::scan::ScanError),
    /// The outbox.
    #[error("{0}")]
    Outbox(#[from] outbox::OutboxError),
    /// The books.
    #[error("{0}")]
    Ledger(#[from] ledger::LedgerError),
    /// The certificate.
    #[error("tls: {0}")]
    Tls(#[from] gateway::TlsError),
    /// A value of the configuration that only its module can judge.
    #[error("{0}")]
    Setting(String),
}

/// Which part of the work this process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Serves and works off jobs.
    Both,
    /// Serves; jobs are left to others.
    ServeOnly,
    /// Works off jobs; serves nothing but the operator's addresses.
    JobsOnly,
    /// Serves, and runs jobs when a test says so.
    ByHand,
}

/// What handlers and pages share.
#[derive(Clone)]
pub struct Parts {
    /// The store.
    pub store: Store,
    /// Where this installation is reached, without a slash at the end.
    pub public_url: Arc<str>,
    /// What each role may do.
    pub roles: Arc<Roles>,
    /// Where passwords are checked.
    pub passwords: Passwords,
    /// Where the links of mails lead.
    pub links: Links,
    /// Signs the forms on card pages.
    pub form_key: FormKey,
    /// Answers scans.
    pub scanner: Scanner,
    /// The live stream.
    pub live: Live,
    /// Places inside that webhooks may reach.
    pub allowed: AllowedNetworks,
    /// Places inside that payment providers may be reached at.
    pub payments_allowed: AllowedNetworks,
    /// The folder of kept mails, where no mail server is configured.
    pub mail_folder: Option<std::path::PathBuf>,
    /// How the payment providers do.
    pub payments_health: payments::Health,
    /// Card pages, kept ready.
    pub scan_pages: ScanPages,
}

/// A running installation.
pub struct Installation {
    /// What handlers and pages share.
    pub parts: Parts,
    /// Facts, jobs and timers.
    pub outbox: Outbox,
    /// The door that every connection goes through.
    pub door: Arc<ScanDoor>,
    tasks: Vec<JoinHandle<()>>,
}

impl Installation {
    /// Opens everything. `public_url` is what codes and mails carry; `metrics` renders `/metrics`.
    pub async fn open(
        config: &Config,
        store_config: store::Config,
        public_url: &str,
        work: Work,
        metrics: Option<PrometheusHandle>,
        shutdown: ShutdownSignal,
    ) -> Result<Self, InstallationError> {
        let store = Store::open(store_config).await?;
        after_restore(config, &store).await?;
        if let Err(error) = payments::replay::enter_kept(&store, &config.data).await {
            tracing::warn!(%error, "replays that ran beside this installation are not in the audit trail yet");
        }
        ledger::keeper::settle(&store).await?;
        let public_url: Arc<str> = public_url.trim_end_matches('/').into();
        let channels = channels(config, &store, &public_url)?;
        let payments_health = payments::Health::new(store.clock().clone());
        let needs = worker::Needs {
            channels,
            payments: payments::Client::new(Exit::by_system(config.provider_allow.clone()), &[], store.clock()),
            payments_health: payments_health.clone(),
            public_url: public_url.clone(),
        };
        let builder = worker::outbox(store.clone(), &needs);
        let outbox = match work {
            Work::ServeOnly => builder.follow_only().start().await?,
            Work::ByHand => builder.by_hand().start().await?,
            Work::Both | Work::JobsOnly => builder.start().await?,
        };
        // A process that works off jobs beside one that serves, on the same data folder, keeps its hands off that one's journal.
        let journal = if work == Work::JobsOnly { "journal-work" } else { "journal" };
        let scanner = codes::scan::start(Setup::new(store.clone(), config.data.join(journal))).await?;
        let scan_pages = ScanPages::new(store.clone(), public_url.clone(), FormKey::derived_from(&store.vault().derive("form token")));
        let facts = router::live_facts();
        let mail_folder = config.smtp.is_none().then(|| config.data.join("mail"));
        let parts = Parts {
            payments_health,
            live: Live::new(outbox.feed(), &facts, LiveLimits::default()),
            roles: Arc::new(roles::roles()),
            passwords: Passwords::new(store.entropy()),
            links: Links { sign_in: format!("{public_url}/sign-in/"), invitation: format!("{public_url}/join/") },
            form_key: FormKey::derived_from(&store.vault().derive("form token")),
            store,
            public_url,
            scanner: scanner.clone(),
            allowed: config.webhook_allow.clone(),
            payments_allowed: config.provider_allow.clone(),
            mail_folder,
            scan_pages: scan_pages.clone(),
        };
        let proxies = Proxies::of(config.trusted_proxies.iter().copied());
        let door = Door::new(
            DoorSettings {
                proxies: proxies.clone(),
                limits: limits(config),
                machine_routes: vec![payments::WEBHOOK_ROUTE],
                card_numbers: card_numbers(),
                problem_page: Some(crate::pages::problem_page),
                ..DoorSettings::default()
            },
            Arc::new(people::Door::new(parts.store.clone(), parts.roles.clone())),
            parts.store.entropy(),
            shutdown.clone(),
        );
        let router = router::router(&parts, &door, work, metrics, shutdown);
        let country_header = config.country_header.as_deref().map(|name| {
            HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| InstallationError::Setting(format!("country_header = {name:?} is not a header's name")))
        });
        let door = Arc::new(ScanDoor {
            scanner: scanner.clone(),
            proxies,
            country_header: country_header.transpose()?,
            pages: scan_pages.clone(),
            router,
        });
        let mut tasks = follow(outbox.feed(), scanner, scan_pages);
        if matches!(work, Work::Both | Work::JobsOnly) {
            tasks.push(tokio::spawn(ledger::keeper::keep(parts.store.clone())));
        }
        if work != Work::ByHand {
            let store = parts.store.clone();
            tasks.push(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(SWEEP_EVERY).await;
                    if let Err(error) = worker::sweep(&store).await {
                        tracing::warn!(%error, "what has had its time was not swept");
                    }
                }
            }));
        }
        Ok(Self { parts, outbox, door, tasks })
    }

    /// Ends everything that was begun: jobs first, then the count of scans, then the database.
    pub async fn close(self) {
        self.outbox.stop(JOBS_GRACE).await;
        if let Err(error) = self.parts.scanner.stop().await {
            tracing::warn!(%error, "scans stay in the journal and are counted at the next start");
        }
        for task in &self.tasks {
            task.abort();
        }
        self.parts.store.close().await;
    }
}

/// The first start after a restore: codes that were minted after the backup are on paper, and are not minted again.
async fn after_restore(config: &Config, store: &Store) -> Result<(), InstallationError> {
    static CALLER: Caller = Caller::system("restore");
    let marker = config.data.join(store::backup::RESTORED);
    if !marker.exists() {
        return Ok(());
    }
    let skipped = store.write(&CALLER, (), |tx, ()| Box::pin(async move { codes::commands::skip_numbers_everywhere(tx).await }));
    skipped.await.map_err(|error| InstallationError::Setting(error.to_string()))?;
    std::fs::remove_file(&marker).map_err(|error| InstallationError::Setting(format!("{} cannot be removed: {error}", marker.display())))
}

/// Keeps what is in memory in step with the log: codes, card pages.
fn follow(feed: Feed, scanner: Scanner, pages: ScanPages) -> Vec<JoinHandle<()>> {
    let mut facts = feed.subscribe();
    let mut following = feed.following();
    let (hearing, hearing_pages) = (scanner.clone(), pages.clone());
    let heard = tokio::spawn(async move {
        loop {
            match facts.recv().await {
                Ok(fact) => {
                    hearing.hear(&fact);
                    hearing_pages.hear(&fact);
                }
                // Some were missed: what they would have changed is not known, so everything is asked for again.
                Err(RecvError::Lagged(_)) => {
                    hearing.doubt();
                    hearing.trust();
                    hearing_pages.forget_all();
                }
                Err(RecvError::Closed) => return,
            }
        }
    });
    let watched = tokio::spawn(async move {
        while following.changed().await.is_ok() {
            if *following.borrow_and_update() {
                scanner.trust();
            } else {
                scanner.doubt();
            }
            pages.forget_all();
        }
    });
    vec![heard, watched]
}

/// What the filter of card numbers at the door is told by the modules: all exceptions in one place.
fn card_numbers() -> CardNumberRules {
    CardNumberRules::default().redacting(payments::WEBHOOK_ROUTE).declaring("/v1/payments", "payer_phone", Declared::Phone)
}

fn limits(config: &Config) -> LimitSettings {
    let a_minute = |requests| Rate { requests, per_s: 60 };
    LimitSettings {
        address: a_minute(config.rates.address),
        caller: a_minute(config.rates.caller),
        public_form: a_minute(config.rates.form),
        ..LimitSettings::default()
    }
}

fn channels(config: &Config, store: &Store, public_url: &str) -> Result<Channels, InstallationError> {
    let sender = sender(&config.mail_from)?;
    let transport = match &config.smtp {
        Some(url) => {
            let mut smtp = SmtpConfig::parse(url).map_err(|error| InstallationError::Setting(format!("smtp: {error}")))?;
            if let Some(host) = url::Url::parse(public_url).ok().and_then(|url| url.host_str().map(str::to_owned)) {
                smtp.hello_name = host;
            }
            MailTransport::Smtp(SmtpPool::new(smtp))
        }
        None => MailTransport::Folder(config.data.join("mail")),
    };
    let client = WebhookClient::new(Exit::by_system(config.webhook_allow.clone()), &[], WebhookLimits::default());
    Ok(Channels::new(MailSetup { sender, transport }, client, GateLimits { suspects_max: 32, ..GateLimits::default() }, store.clock()))
}

/// `Name <address>`, or an address alone.
fn sender(text: &str) -> Result<Sender, InstallationError> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text.trim()),
    };
    Sender::new(name, address).map_err(|error| InstallationError::Setting(format!("mail_from = {text:?}: {error}")))
}

/// The certificate of our own door, if it has one.
pub fn tls(config: &Config, listen: SocketAddr, store: &store::Config) -> Result<Option<TlsSetup>, InstallationError> {
    let source = match &config.tls {
        Tls::Off => return Ok(None),
        Tls::Files { certificate, key } => TlsSource::Files { certificate: certificate.clone(), key: key.clone() },
        Tls::Local => {
            let mut names = vec!["localhost".to_owned(), listen.ip().to_string()];
            names.extend(crate::greeting::local_network_address().map(|address| address.to_string()));
            names.extend(config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok()?.host_str().map(str::to_owned)));
            names.retain(|name| name != "0.0.0.0" && name != "::");
            names.push("127.0.0.1".to_owned());
            names.sort();
            names.dedup();
            TlsSource::MadeOnTheSpot { folder: config.data.join("tls"), names }
        }
    };
    Ok(Some(TlsSetup::open(&source, &store.clock)?))
}

/// Whether requests can be served, in words for the operator where not.
pub async fn readiness(store: Store, scanner: Scanner) -> Result<(), String> {
    store.read().horizon().await.map_err(|error| error.to_string())?;
    match scanner.health() {
        codes::scan::Health::Good => Ok(()),
        health => Err(format!("the journal of scans: {health:?}")),
    }
}
