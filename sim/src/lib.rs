//! Simulators of payment providers that speak their real wire formats, with faults on demand: for development and tests only.
//!
//! - Each dialect answers below its word: `/stripe /paypal /monnify /zenith /ramp-network /ramp`, then the provider's real paths, to the
//!   credentials below. A file `providers/*.rs` fills [`providers::Provider`]: `answer` gets a [`call::Call`] and the dialect's
//!   [`bank::Books`], locked for it, and answers a [`call::Reply`] at once; the frame reads, waits, hangs, cuts and delivers. A new one is
//!   named in `providers()` below.
//! - `Books` is all the memory: documents as JSON (`put`, `get`, `all`), look-ups (`link`, `linked`), ids, time, and the truth of money:
//!   `moved(Moved { kind, reference, … })` in the same call as the effect, with what was *really* moved: `call.twist.moved(amount,
//!   currency)`. Amounts are ISO 4217 minor units ([`money`] reads and writes decimals). `call.twist.decline` declines what moves money.
//!   Idempotency is the dialect's, as its provider does it; its answers are documents. `--data` keeps all of it over a restart.
//! - Webhooks: `books.notify(Outgoing { id, event, body })`; `sign` signs each attempt. They go to
//!   `{tessera}/v1/payments/webhooks/demo-{word}` or where `Options`, [`Simulator::webhook_to`] or `PUT /sim/{word}/webhook` say, in the
//!   background, over a bounded queue, again as `retries_s` says (divided by `Options::retry_shrink`) unless the answer is 2xx.
//! - Hosted pages: `books.open_page(&Page { … })` answers the address for the provider's checkout field; the payer's click comes as
//!   `decide`, which charges (PayPal: approves), notifies, calls `set_page` and answers where to send the payer.
//! - Faults ([`faults::Fault`]): `X-Sim-Fault: a, b:1` on a request, or rules ([`faults::Rule`]) by library call, `POST /sim/faults` or the
//!   form on `/`. `wrong_amount` is really moved and said everywhere; `wrong_amount_webhook` is a lie of the webhook alone.
//! - Control, JSON: `GET /sim/movements?dialect&kind&reference&idempotency_key&after&limit`, `GET|POST|DELETE /sim/faults[/{id}]`,
//!   `GET /sim/pages`, `GET /sim/webhooks`, `POST /sim/pay|decline|abandon {"reference", "dialect"?, "code"?}`,
//!   `POST /sim/{word}/settle {"missing_lines", "extra_lines", "wrong_amounts"}`, `PUT /sim/{word}/webhook {"url", "secret"?}`,
//!   `POST /sim/advance {"seconds"}`. Errors: `{"error": "sentence"}`. [`Simulator`] has the same as calls.
//!
//! It knows nothing of Tessera but where webhooks go, so that a mistake of one side is not repeated by the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub mod bank;
pub mod call;
pub mod client;
mod control;
mod door;
pub mod faults;
mod house;
pub mod money;
pub mod pages;
pub mod providers;
mod webhooks;

pub use house::Decided;
pub use webhooks::{Delivery, Target};

use bank::{Books, Movement, Shared};
use faults::{ActiveRule, Rule, Rules};
use house::{Booth, House};
use pages::{Decision, Page};
use providers::{Plant, Provider};
use webhooks::Courier;

/// Stripe's secret key.
pub const STRIPE_KEY: &str = "sk_test_simulator";
/// The secret that signs Stripe's webhooks.
pub const STRIPE_WEBHOOK_SECRET: &str = "whsec_simulator";
/// PayPal's client id.
pub const PAYPAL_CLIENT: &str = "simulator-client";
/// PayPal's client secret.
pub const PAYPAL_SECRET: &str = "simulator-secret";
/// The id of PayPal's webhook, which its signature covers.
pub const PAYPAL_WEBHOOK_ID: &str = "WH-SIMULATOR";
/// Monnify's API key.
pub const MONNIFY_KEY: &str = "MK_TEST_SIMULATOR";
/// Monnify's secret key, which also signs its webhooks.
pub const MONNIFY_SECRET: &str = "SK_TEST_SIMULATOR";
/// Monnify's contract.
pub const MONNIFY_CONTRACT: &str = "1000000000";
/// The Monnify wallet that payouts come from.
pub const MONNIFY_SOURCE_ACCOUNT: &str = "8000000001";
/// Zenith GlobalPay's `apiKey`.
pub const ZENITH_KEY: &str = "zenith-simulator";
/// Ramp Network's `hostApiKey`.
pub const RAMP_NETWORK_KEY: &str = "ramp-simulator";
/// Ramp (corporate): client id.
pub const RAMP_CLIENT: &str = "ramp-client";
/// Ramp (corporate): client secret.
pub const RAMP_SECRET: &str = "ramp-secret";
/// The secret that signs Ramp's (corporate) webhooks.
pub const RAMP_WEBHOOK_SECRET: &str = "ramp-webhook-secret";

/// The dialects; the word is the prefix of its paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dialect {
    /// Stripe.
    Stripe,
    /// PayPal.
    Paypal,
    /// Monnify.
    Monnify,
    /// Zenith Bank GlobalPay.
    Zenith,
    /// Ramp Network: on and off ramps.
    RampNetwork,
    /// Ramp: corporate cards.
    Ramp,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Stripe, Self::Paypal, Self::Monnify, Self::Zenith, Self::RampNetwork, Self::Ramp];

    /// `stripe`, `paypal`, `monnify`, `zenith`, `ramp-network`, `ramp`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Stripe => "stripe",
            Self::Paypal => "paypal",
            Self::Monnify => "monnify",
            Self::Zenith => "zenith",
            Self::RampNetwork => "ramp-network",
            Self::Ramp => "ramp",
        }
    }

    /// The dialect of a word.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dialect| dialect.word() == word)
    }
}

impl Dialect {
    /// The provider as people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stripe => "Stripe",
            Self::Paypal => "PayPal",
            Self::Monnify => "Monnify",
            Self::Zenith => "Zenith GlobalPay",
            Self::RampNetwork => "Ramp Network",
            Self::Ramp => "Ramp",
        }
    }

    const fn webhook_secret(self) -> &'static str {
        match self {
            Self::Stripe => STRIPE_WEBHOOK_SECRET,
            Self::Paypal => PAYPAL_WEBHOOK_ID,
            Self::Monnify => MONNIFY_SECRET,
            Self::Zenith | Self::RampNetwork => "",
            Self::Ramp => RAMP_WEBHOOK_SECRET,
        }
    }
}

fn providers() -> BTreeMap<Dialect, Box<dyn Provider>> {
    fn fresh<P: Provider + Default>() -> Box<dyn Provider> {
        Box::new(P::default())
    }
    BTreeMap::from([
        (Dialect::Stripe, fresh::<providers::stripe::Stripe>()),
        (Dialect::Paypal, fresh::<providers::paypal::Paypal>()),
        (Dialect::Monnify, fresh::<providers::monnify::Monnify>()),
        (Dialect::Zenith, fresh::<providers::zenith::Zenith>()),
        (Dialect::RampNetwork, fresh::<providers::ramp_network::RampNetwork>()),
        (Dialect::Ramp, fresh::<providers::ramp_corporate::RampCorporate>()),
    ])
}

/// How a simulator is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Webhooks go to `{tessera}/v1/payments/webhooks/demo-{dialect}`; none: nowhere, until [`Simulator::webhook_to`] says.
    pub tessera: Option<String>,
    /// Where to send webhooks of single dialects instead.
    pub webhooks: Vec<(Dialect, Target)>,
    /// A folder that keeps the books over a restart; none: memory. One simulator at a time may have it.
    pub folder: Option<PathBuf>,
    /// The address that hosted pages are given out with, if not that of the listener.
    pub public_url: Option<String>,
    /// Decides which calls a fault with a rate hits.
    pub seed: u64,
    /// The providers' waits between attempts of a webhook are divided by this.
    pub retry_shrink: u32,
    /// Webhooks waiting at once; more are dropped and counted.
    pub webhooks_max: usize,
    /// How long a request hangs that gets no answer, before its connection is closed.
    pub hang: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            tessera: None,
            webhooks: Vec::new(),
            folder: None,
            public_url: None,
            seed: 1,
            retry_shrink: 100,
            webhooks_max: 20_000,
            hang: Duration::from_secs(120),
        }
    }
}

/// How often the dialects look for what has become due by itself.
const WAKE: Duration = Duration::from_secs(5);

/// A running simulator. It ends when this is dropped.
pub struct Simulator {
    house: Arc<House>,
    address: SocketAddr,
    tasks: JoinSet<()>,
    /// Held as long as the folder is used.
    _lock: Option<File>,
}

/// Two simulators that write to one folder would mix their books.
fn lock(folder: &Path) -> std::io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    file.try_lock().map_err(|_| std::io::Error::other(format!("another simulator uses the folder {}", folder.display())))?;
    Ok(file)
}

/// Starts a simulator in the runtime of the caller.
///
/// # Errors
/// The address cannot be had, or the folder cannot be read or written.
pub async fn start(options: Options) -> std::io::Result<Simulator> {
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let url = options.public_url.unwrap_or_else(|| format!("http://{address}"));
    let url = url.trim_end_matches('/').to_owned();
    let lock = options.folder.as_deref().map(lock).transpose()?;
    let shared = Arc::new(Shared { salt: faults::roll(bank::clock_ms().unsigned_abs(), u64::from(address.port())), ..Shared::default() });
    let mut booths = BTreeMap::new();
    for dialect in Dialect::ALL {
        let books = Books::open(dialect, &url, options.folder.as_deref(), shared.clone())?;
        booths.insert(dialect, Booth { books: Mutex::new(books), hung: watch::Sender::new(None) });
    }
    let mut targets: BTreeMap<_, _> = Dialect::ALL
        .into_iter()
        .map(|dialect| {
            let path = |tessera: &String| format!("{}/v1/payments/webhooks/demo-{}", tessera.trim_end_matches('/'), dialect.word());
            let url = options.tessera.as_ref().filter(|tessera| !tessera.is_empty()).map(path).unwrap_or_default();
            (dialect, Target { url, secret: dialect.webhook_secret().to_owned() })
        })
        .collect();
    targets.extend(options.webhooks);
    let (providers, mut tasks) = (Arc::new(providers()), JoinSet::new());
    let courier = Courier::start(providers.clone(), targets, shared.clone(), options.webhooks_max, options.retry_shrink, &mut tasks);
    let rules = Mutex::new(Rules::seeded(options.seed));
    let house = Arc::new(House { booths, providers, rules, courier, shared, url, hang: options.hang });
    tasks.spawn(door::open(listener, house.clone()));
    let waker = house.clone();
    tasks.spawn(async move {
        let mut ticks = tokio::time::interval(WAKE);
        loop {
            ticks.tick().await;
            waker.wake();
        }
    });
    Ok(Simulator { house, address, tasks, _lock: lock })
}

impl Simulator {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address, `http://127.0.0.1:4100`, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.house.url
    }

    /// The address of a dialect, `http://127.0.0.1:4100/stripe`: what an adapter takes for the provider's.
    pub fn at(&self, dialect: Dialect) -> String {
        format!("{}/{}", self.house.url, dialect.word())
    }

    /// What was really moved, in order.
    pub fn movements(&self) -> Vec<Movement> {
        self.house.movements()
    }

    /// Sets a rule of faults and answers its number. `hang:N` hangs the dialect (or all) at once instead and answers 0.
    ///
    /// # Errors
    /// A rate above 100, or too many rules.
    pub fn add_fault(&self, rule: Rule) -> Result<u64, String> {
        self.house.add_fault(rule)
    }

    /// Takes a rule away; whether it was there.
    pub fn remove_fault(&self, id: u64) -> bool {
        self.house.rules().remove(id)
    }

    /// Takes all rules away and ends every hang.
    pub fn clear_faults(&self) {
        self.house.clear_faults();
    }

    /// The rules and how often they bit.
    pub fn faults(&self) -> Vec<ActiveRule> {
        self.house.rules().list().to_vec()
    }

    /// Lets a dialect hang from now on: no effect and no answer.
    pub fn hang(&self, dialect: Dialect, time: Duration) {
        self.house.hang(dialect, time);
    }

    /// The newest open hosted page with the merchant's reference, else the newest one.
    pub fn page(&self, reference: &str) -> Option<Page> {
        self.house.page_of(None, reference)
    }

    /// All hosted pages with the merchant's reference, oldest first in each dialect.
    pub fn pages(&self, reference: &str) -> Vec<Page> {
        let pages = Dialect::ALL.into_iter().flat_map(|dialect| {
            let books = self.house.books(dialect);
            books.linked("page_by_reference", reference).iter().filter_map(|id| books.page(id)).collect::<Vec<_>>()
        });
        pages.collect()
    }

    /// The payer pays the newest open page with a reference.
    ///
    /// # Errors
    /// A sentence: no such page, or why it cannot be paid.
    pub fn pay(&self, reference: &str) -> Result<Decided, String> {
        self.decide(reference, &Decision::Pay)
    }

    /// The payer's bank declines, with a code of the provider (empty: its usual one).
    ///
    /// # Errors
    /// As [`Self::pay`].
    pub fn decline(&self, reference: &str, code: &str) -> Result<Decided, String> {
        self.decide(reference, &Decision::Decline { code: code.to_owned() })
    }

    /// The payer leaves the page.
    ///
    /// # Errors
    /// As [`Self::pay`].
    pub fn abandon(&self, reference: &str) -> Result<Decided, String> {
        self.decide(reference, &Decision::Abandon)
    }

    fn decide(&self, reference: &str, decision: &Decision) -> Result<Decided, String> {
        let page = self.page(reference).ok_or_else(|| format!("there is no page with the reference {reference:?}"))?;
        self.house.decide(page.dialect, &page.id, decision)
    }

    /// The payer decides on one page, by its id: an older page of a reference, say.
    ///
    /// # Errors
    /// As [`Self::pay`].
    pub fn decide_page(&self, dialect: Dialect, id: &str, decision: &Decision) -> Result<Decided, String> {
        self.house.decide(dialect, id, decision)
    }

    /// The payer of the newest page with a reference sends money again, `is_apart` under a name of its own.
    ///
    /// # Errors
    /// A sentence: no such page, or a provider that takes one payment a page.
    pub fn pay_more(&self, reference: &str, amount_minor: i64, is_apart: bool) -> Result<(), String> {
        let page = self.page(reference).ok_or_else(|| format!("there is no page with the reference {reference:?}"))?;
        self.house.pay_more(&page, amount_minor, is_apart)
    }

    /// The refund with the merchant's reference comes back: the payer's bank did not take it.
    ///
    /// # Errors
    /// A sentence: no such refund, or a provider where none comes back.
    pub fn return_refund(&self, dialect: Dialect, reference: &str) -> Result<(), String> {
        self.house.return_refund(dialect, reference)
    }

    /// Closes what is unsettled into settlement reports, with faults planted, and answers the references of the batches.
    ///
    /// # Errors
    /// A sentence: nothing to settle, or a provider that settles nothing.
    pub fn settle(&self, dialect: Dialect, plant: Plant) -> Result<Vec<String>, String> {
        self.house.settle(dialect, plant)
    }

    /// Says where a dialect's webhooks go, and what signs them (none: as before).
    pub fn webhook_to(&self, dialect: Dialect, url: &str, secret: Option<&str>) {
        let known = self.house.courier.target(dialect).map(|target| target.secret).unwrap_or_default();
        self.house.courier.aim(dialect, Target { url: url.to_owned(), secret: secret.map_or(known, str::to_owned) });
    }

    /// The newest attempts to deliver webhooks, at most a thousand.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.house.courier.log()
    }

    /// Waits until every webhook was tried at least once; one that is late or held back counts.
    pub async fn quiet(&self) {
        self.house.courier.quiet().await;
    }

    /// Moves the simulator's clock forward: sessions expire, idempotency keys are forgotten, what was under way ends. Waiting webhooks stay.
    pub fn advance(&self, time: Duration) {
        self.house.advance(time);
    }

    /// Ends it; open connections are closed.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl House {
    fn advance(&self, time: Duration) {
        self.shared.ahead_ms.fetch_add(i64::try_from(time.as_millis()).unwrap_or(0), Ordering::Relaxed);
        self.wake();
    }

    /// Lets happen what has become due by itself.
    fn wake(&self) {
        for dialect in Dialect::ALL {
            self.act(dialect, &faults::WebhookPlan::default(), |provider, books| provider.wake(books));
        }
    }
}
