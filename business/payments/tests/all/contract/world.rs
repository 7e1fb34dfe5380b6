//! A simulator, an account with it, somebody who listens to its webhooks, and the questions that every test asks.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use kernel::{Clock, Currency, Entropy, Id as _, Money, RawId};
use payments::{
    Account, AttemptId, CaptureId, CaptureMethod, Client, Dialect, Done, Failure, Notice, Observation, Order, Payer, Provider, ProviderId,
    Question, RefundId, Seen, Told, Trust, Webhook, WebhookError,
};
use serde_json::Value;
use sim::bank::{Movement, MovementKind};
use sim::faults::{Fault, Rule};

use super::Promise;

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Came {
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Came {
    pub fn as_webhook(&self) -> Webhook<'_> {
        Webhook { headers: &self.headers, body: &self.body }
    }
}

/// A page that was opened.
#[derive(Debug, Clone)]
pub struct Opened {
    pub reference: String,
    pub provider_ref: Option<String>,
    pub url: String,
    pub amount: Money,
    pub method: CaptureMethod,
}

pub struct World<'a> {
    pub promise: &'a Promise,
    pub sim: sim::Simulator,
    pub client: Client,
    pub clock: Clock,
    pub account: Account,
    pub webhook_url: String,
    came: Arc<Mutex<Vec<Came>>>,
}

/// Somebody who answers every webhook with 200 and keeps it.
async fn listener(came: Arc<Mutex<Vec<Came>>>) -> String {
    async fn take(State(came): State<Arc<Mutex<Vec<Came>>>>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
        came.lock().unwrap().push(Came { headers: headers.collect(), body: body.to_vec() });
        StatusCode::OK
    }
    let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = door.local_addr().unwrap();
    let router = Router::new().fallback(take).with_state(came);
    tokio::spawn(async move { axum::serve(door, router).await.unwrap() });
    format!("http://{address}/webhooks")
}

impl<'a> World<'a> {
    pub async fn new(promise: &'a Promise) -> Self {
        // A request that gets no answer ends by itself, so that no test waits for a deadline.
        let sim = sim::start(sim::Options { hang: Duration::from_millis(20), ..sim::Options::default() }).await.unwrap();
        let came = Arc::new(Mutex::new(Vec::new()));
        let webhook_url = listener(came.clone()).await;
        sim.webhook_to(promise.sim, &webhook_url, None);
        let clock = Clock::system();
        let account = Account {
            id: ProviderId::from_raw(RawId::generate(clock.now(), &Entropy::system())),
            base_url: sim.at(promise.sim),
            settings: (promise.settings)(),
            secrets: (promise.secrets)(),
        };
        Self { promise, client: Client::new(crate::loopback(), &[], &clock), sim, clock, account, webhook_url, came }
    }

    pub fn provider(&self) -> &'static dyn Provider {
        self.promise.dialect.provider()
    }

    pub fn money(&self, amount_minor: i64) -> Money {
        Money::new(amount_minor, Currency::parse(self.promise.currency).unwrap())
    }

    fn raw(&self) -> RawId {
        RawId::generate(self.clock.now(), &Entropy::system())
    }

    pub fn attempt(&self) -> String {
        AttemptId::from_raw(self.raw()).to_string()
    }

    pub fn capture(&self) -> String {
        CaptureId::from_raw(self.raw()).to_string()
    }

    pub fn refund(&self) -> String {
        RefundId::from_raw(self.raw()).to_string()
    }

    pub fn payout(&self) -> String {
        format!("pot_{:032x}", self.raw().bits())
    }

    pub fn page(&self, reference: &str, amount: Money, capture_method: CaptureMethod) -> Order {
        Order::OpenPage {
            reference: reference.to_owned(),
            amount,
            capture_method,
            description: "Two lamps & a chair".to_owned(),
            payer: Payer {
                name: Some("Ada Obi".to_owned()),
                email: Some("ada@example.com".to_owned()),
                phone: Some("+2348012345678".to_owned()),
            },
            return_url: "https://shop.example/back?order=1".to_owned(),
            webhook_url: self.webhook_url.clone(),
            expires_at: Some(self.clock.now().plus(Duration::from_secs(3_600))),
            extra: (self.promise.extra)(),
        }
    }

    pub async fn send(&self, order: &Order) -> Result<Done, Failure> {
        self.provider().send(&self.client, &self.account, order).await
    }

    /// Sends what is to be observed at once.
    pub async fn observe(&self, order: &Order) -> Observation {
        match self.send(order).await {
            Ok(Done::Observed(observation)) => observation,
            other => panic!("{order:?} ended with {other:?}"),
        }
    }

    pub async fn ask(&self, question: &Question) -> Result<Told, Failure> {
        self.provider().ask(&self.client, &self.account, question).await
    }

    /// Asks for what must be known.
    pub async fn known(&self, question: &Question) -> Observation {
        match self.ask(question).await {
            Ok(Told::Observed(observation)) => observation,
            other => panic!("{question:?} was answered with {other:?}"),
        }
    }

    pub async fn open(&self, amount: Money, method: CaptureMethod) -> Opened {
        let reference = self.attempt();
        match self.send(&self.page(&reference, amount, method)).await {
            Ok(Done::Page { provider_ref, url, .. }) => {
                let provider_ref = provider_ref.or(self.visit(&reference, &url).await);
                Opened { reference, provider_ref, url, amount, method }
            }
            other => panic!("no page but {other:?}"),
        }
    }

    /// The payer's browser, where a page is only an address until somebody looks at it; answers what the provider told of it.
    pub async fn visit(&self, reference: &str, url: &str) -> Option<String> {
        if self.promise.dialect != Dialect::RampNetwork {
            return None;
        }
        let mut browser = sim::client::Client::default();
        let answer = browser.send(http::Method::GET, url, &[], Bytes::new(), Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer.status, 303, "{:?}", answer.json());
        let came = self.webhooks().await;
        let notices = came.iter().flat_map(|came| self.read(came));
        notices.filter(|notice| notice.reference.as_deref() == Some(reference)).find_map(|notice| notice.provider_ref)
    }

    pub fn question(opened: &Opened) -> Question {
        Question::Payment { reference: opened.reference.clone(), provider_ref: opened.provider_ref.clone() }
    }

    /// Follows a page after the payer's click until nothing is left to us.
    pub async fn follow(&self, opened: &Opened) -> Result<Observation, Failure> {
        self.sim.advance(self.promise.is_done_after);
        let seen = self.known(&Self::question(opened)).await;
        if seen.seen != Seen::Approved {
            assert!(!self.promise.is_completed_by_us || !matches!(seen.seen, Seen::Succeeded { .. } | Seen::Authorized { .. }), "{seen:?}");
            return Ok(seen);
        }
        let provider_ref = seen.provider_ref.clone().or_else(|| opened.provider_ref.clone()).unwrap();
        let order = Order::Complete { reference: opened.reference.clone(), provider_ref, capture_method: opened.method };
        match self.send(&order).await? {
            Done::Observed(observation) => Ok(observation),
            Done::Page { .. } => panic!("a page came of completing"),
        }
    }

    /// A page that was paid: what was seen of it last.
    pub async fn paid(&self, amount: Money, method: CaptureMethod) -> (Opened, Observation) {
        let opened = self.open(amount, method).await;
        self.sim.pay(&opened.reference).unwrap();
        let seen = self.follow(&opened).await.unwrap();
        (opened, seen)
    }

    /// The next call of this operation goes wrong.
    pub fn fault(&self, operation: &str, fault: Fault) {
        self.sim.add_fault(Rule::always(self.promise.sim, operation, fault).times(1)).unwrap();
    }

    pub fn moved(&self, kind: MovementKind) -> Vec<Movement> {
        self.sim.movements().into_iter().filter(|moved| moved.kind == kind && moved.dialect == self.promise.sim).collect()
    }

    /// What was moved in all, in minor units.
    pub fn moved_minor(&self, kind: MovementKind) -> i64 {
        self.moved(kind).iter().map(|moved| moved.amount_minor).sum()
    }

    /// Webhooks that came so far, each tried at least once.
    pub async fn webhooks(&self) -> Vec<Came> {
        self.sim.quiet().await;
        self.came.lock().unwrap().clone()
    }

    /// Whether a webhook is genuine, by as much as the dialect can tell.
    pub async fn check(&self, came: &Came) -> Result<(), WebhookError> {
        self.provider().check(&self.account, came.as_webhook(), self.clock.now())?;
        if self.promise.abilities.trust != Trust::CheckedLater {
            return Ok(());
        }
        let question = Question::Genuine { headers: came.headers.clone(), body: came.body.clone() };
        match self.ask(&question).await {
            Ok(Told::Genuine(true)) => Ok(()),
            Ok(Told::Genuine(false)) => Err(WebhookError::Forged),
            other => panic!("whether it is genuine was answered with {other:?}"),
        }
    }

    pub fn read(&self, came: &Came) -> Vec<Notice> {
        self.provider().read(&self.account, came.as_webhook()).unwrap()
    }
}

pub fn succeeded(amount: Money) -> impl Fn(&Seen) -> bool {
    move |seen| matches!(seen, Seen::Succeeded { amount: Some(paid), .. } if *paid == amount)
}

/// Values that no answer, failure or log may show.
pub fn secrets(secrets: &Value) -> Vec<String> {
    let all = secrets.as_object().into_iter().flatten();
    all.filter_map(|(_, secret)| secret.as_str().filter(|text| text.len() > 3).map(str::to_owned)).collect()
}

/// A payment in another currency than the dialect's usual one, and its refund: each to the unit, on both sides.
pub async fn a_payment_in(promise: &Promise, currency: &str, amount_minor: i64) {
    let world = World::new(promise).await;
    let amount = Money::new(amount_minor, Currency::parse(currency).unwrap());
    let (opened, paid) = world.paid(amount, CaptureMethod::Automatic).await;
    assert!(succeeded(amount)(&paid.seen), "{paid:?}");
    let order = Order::Refund {
        reference: world.refund(),
        attempt: opened.reference,
        provider_ref: opened.provider_ref.unwrap(),
        charge_ref: paid.charge_ref,
        amount,
        reason: None,
    };
    let back = world.observe(&order).await;
    assert!(succeeded(amount)(&back.seen), "{back:?}");
    for kind in [MovementKind::Charged, MovementKind::Refunded] {
        let moved = world.moved(kind);
        assert_eq!((moved.len(), moved[0].amount_minor, moved[0].currency.as_str()), (1, amount_minor, currency));
    }
}
