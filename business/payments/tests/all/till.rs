//! A workspace with providers at the simulator: the engine on a real database, its jobs run by hand, webhooks delivered over HTTP.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use kernel::{Caller, Clock, Currency, Grants, Id as _, Money, RawId, WorkspaceId};
use outbox::{Job as _, Outbox};
use payments::commands::{self, NewPayment, NewProvider, Taken};
use payments::{
    CaptureMethod, Client, CompareFloat, Conduct, ConductPayout, ConfirmPayout, Engine, ExpireIntent, Health, Intent, IntentId,
    PaymentError, ProviderId, WorkWebhook,
};
use serde_json::{Value, json};
use store::Store;

pub struct Till {
    _place: store::testing::TestStore,
    pub store: Store,
    pub outbox: Outbox,
    pub sim: sim::Simulator,
    pub workspace: WorkspaceId,
    pub caller: Caller,
    pub health: Health,
    pub providers: HashMap<sim::Dialect, ProviderId>,
}

/// Settings and secrets of an account with the simulator.
fn account(dialect: sim::Dialect) -> (payments::Dialect, Value, Value) {
    use payments::Dialect;
    match dialect {
        sim::Dialect::Stripe => {
            (Dialect::Stripe, json!({}), json!({ "api_key": sim::STRIPE_KEY, "webhook_secret": sim::STRIPE_WEBHOOK_SECRET }))
        }
        sim::Dialect::Paypal => (
            Dialect::Paypal,
            json!({ "webhook_id": sim::PAYPAL_WEBHOOK_ID }),
            json!({ "client_id": sim::PAYPAL_CLIENT, "client_secret": sim::PAYPAL_SECRET }),
        ),
        sim::Dialect::Monnify => (
            Dialect::Monnify,
            json!({ "contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::MONNIFY_SOURCE_ACCOUNT }),
            json!({ "api_key": sim::MONNIFY_KEY, "secret_key": sim::MONNIFY_SECRET }),
        ),
        sim::Dialect::Zenith => (Dialect::Zenith, json!({}), json!({ "api_key": sim::ZENITH_KEY })),
        sim::Dialect::RampNetwork => (Dialect::RampNetwork, json!({ "host_api_key": sim::RAMP_NETWORK_KEY }), json!({})),
        sim::Dialect::Ramp => (
            Dialect::Ramp,
            json!({}),
            json!({ "client_id": sim::RAMP_CLIENT, "client_secret": sim::RAMP_SECRET, "webhook_secret": sim::RAMP_WEBHOOK_SECRET }),
        ),
    }
}

/// The door of webhooks, without what stands in front of it in the application.
async fn door(store: Store) -> String {
    async fn take(State(store): State<Store>, Path(token): Path<String>, headers: HeaderMap, body: Bytes) -> StatusCode {
        let headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned()));
        match commands::take_webhook(&store, &token, headers.collect(), body.to_vec()).await {
            Ok(Taken::Kept) => StatusCode::OK,
            Ok(_) => StatusCode::UNAUTHORIZED,
            Err(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new().route("/v1/payments/webhooks/{token}", axum::routing::post(take)).with_state(store);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

/// The jobs of settlement.
fn settling(builder: outbox::Builder, engine: Engine) -> outbox::Builder {
    use payments::jobs::settlement::{self as jobs, BookSettlement, CheckPostings, MatchBankLines, SettleDaily};
    let daily = engine.clone();
    builder
        .lane(BookSettlement::LANE, 1)
        .lane(CheckPostings::LANE, 2)
        .job::<BookSettlement, _>(move |job, context| Box::pin(jobs::book_settlement(engine.clone(), job, context)))
        .job::<SettleDaily, _>(move |job, context| Box::pin(jobs::settle_daily(daily.clone(), job, context)))
        .job::<MatchBankLines, _>(|job, context| Box::pin(jobs::match_bank_lines(job, context)))
        .job::<CheckPostings, _>(|job, context| Box::pin(jobs::check_postings(job, context)))
}

impl Till {
    pub async fn new(dialects: &[sim::Dialect]) -> Self {
        // The simulator's signatures carry its own time, which begins at the same instant.
        let clock = Clock::stopped(Clock::system().now());
        let place = store::testing::store_with(|config| config.clock = clock).await;
        let store: Store = place.clone();
        let url = door(store.clone()).await;
        let options = sim::Options { tessera: Some(url.clone()), hang: Duration::from_millis(20), ..sim::Options::default() };
        let sim = sim::start(options).await.unwrap();
        let workspace = WorkspaceId::from_raw(RawId::generate(store.clock().now(), store.entropy()));
        let grants = Grants::of([
            payments::grants::READ,
            payments::grants::WRITE,
            payments::grants::CAPTURE,
            payments::grants::REFUND,
            payments::grants::PAY_OUT,
            risk::grants::MANAGE,
            payments::grants::APPROVE,
            payments::grants::MANAGE,
        ]);
        let member = kernel::MemberId::from_raw(RawId::generate(store.clock().now(), store.entropy()));
        let caller = Caller::Person { workspace, member, grants };
        let health = Health::new(store.clock().clone());
        // Signatures carry the simulator's time, which does not stand still.
        let engine = Engine {
            client: Client::new(crate::loopback(), &[], &Clock::system()),
            health: health.clone(),
            public_url: Arc::from(url.as_str()),
        };
        let (conducting, working) = (engine.clone(), engine.clone());
        let (paying, confirming, comparing) = (engine.clone(), engine.clone(), engine.clone());
        let outbox = settling(Outbox::builder(store.clone()), engine.clone())
            .lane(Conduct::LANE, 8)
            .lane(WorkWebhook::LANE, 8)
            .lane(ExpireIntent::LANE, 2)
            .lane(ConductPayout::LANE, 8)
            .job::<Conduct, _>(move |job, context| Box::pin(payments::jobs::conduct(conducting.clone(), job, context)))
            .job::<WorkWebhook, _>(move |job, context| Box::pin(payments::jobs::work_webhook(working.clone(), job, context)))
            .job::<ExpireIntent, _>(|job, context| Box::pin(payments::jobs::expire_intent(job, context)))
            .job::<ConductPayout, _>(move |job, context| Box::pin(payments::jobs::conduct_payout(paying.clone(), job, context)))
            .job::<ConfirmPayout, _>(move |job, context| Box::pin(payments::jobs::confirm_payout(confirming.clone(), job, context)))
            .job::<CompareFloat, _>(move |job, context| Box::pin(payments::jobs::compare_float(comparing.clone(), job, context)))
            .reactions(|_| Vec::new())
            .by_hand()
            .start()
            .await
            .unwrap();
        let mut till = Self { _place: place, store, outbox, sim, workspace, caller, health, providers: HashMap::new() };
        for dialect in dialects {
            till.add(*dialect).await;
        }
        till
    }

    async fn add(&mut self, dialect: sim::Dialect) {
        let (speaks, settings, secrets) = account(dialect);
        let id = ProviderId::from_raw(RawId::generate(self.store.clock().now(), self.store.entropy()));
        let sealed = commands::seal(self.store.vault(), id, &secrets).unwrap();
        let new = NewProvider {
            name: dialect.word().to_owned(),
            dialect: speaks,
            base_url: self.sim.at(dialect),
            settings,
            sealed,
            id,
            token: Some(format!("demo-{}", dialect.word())),
        };
        self.write(new, |tx, new| Box::pin(async move { commands::add_provider(tx, new).await })).await.unwrap();
        self.providers.insert(dialect, id);
    }

    pub async fn write<I, T, F>(&self, input: I, unit: F) -> Result<T, PaymentError>
    where
        F: for<'a> Fn(&'a mut store::Tx, I) -> store::Unit<'a, T, PaymentError> + Send + Sync + 'static,
        I: Clone + Send + 'static,
        T: Send + 'static,
    {
        self.store.write(&self.caller, input, unit).await
    }

    /// Runs every job that is due and waits for the simulator's webhooks, until nothing happens any more.
    pub async fn settle(&self) {
        loop {
            outbox::testing::drain(&self.outbox).await.unwrap();
            self.sim.quiet().await;
            let drained = outbox::testing::drain(&self.outbox).await.unwrap();
            if drained.finished + drained.retried + drained.dropped == 0 {
                return;
            }
        }
    }

    /// Lets time pass, and what is due then happen.
    pub async fn pass(&self, time: Duration) {
        self.store.clock().advance(time);
        self.sim.advance(time);
        self.settle().await;
    }

    pub async fn intent(&self, id: IntentId) -> Intent {
        payments::queries::get(&mut self.store.read(), self.workspace, id).await.unwrap()
    }

    /// A payment with an attempt whose page waits for the payer.
    pub async fn begin(&self, amount_minor: i64, currency: &str, capture_method: CaptureMethod) -> Intent {
        let amount = Money::new(amount_minor, Currency::parse(currency).unwrap());
        let mut new = NewPayment { capture_method, ..NewPayment::of(amount) };
        new.payer_name = Some("Ada Obi".to_owned());
        new.payer_email = Some("ada@example.org".to_owned());
        let made = self.write(new, |tx, new| Box::pin(async move { commands::create(tx, new).await })).await.unwrap();
        self.start(made.id).await.unwrap();
        self.settle().await;
        self.intent(made.id).await
    }

    pub async fn start(&self, id: IntentId) -> Result<Intent, PaymentError> {
        let input = (self.workspace, id, self.health.clone());
        self.write(input, |tx, (workspace, id, health)| Box::pin(async move { commands::start(tx, workspace, id, &health).await })).await
    }

    pub async fn refund(&self, id: IntentId, amount_minor: Option<i64>) -> Result<Intent, PaymentError> {
        let asked =
            self.write((id, amount_minor), |tx, (id, amount)| Box::pin(async move { commands::refund(tx, id, None, amount, None).await }));
        let (intent, _) = asked.await?;
        self.settle().await;
        Ok(self.intent(intent.id).await)
    }

    pub async fn capture(&self, id: IntentId, amount_minor: Option<i64>, is_last: bool) -> Result<Intent, PaymentError> {
        let asked = self.write((id, amount_minor, is_last), |tx, (id, amount, is_last)| {
            Box::pin(async move { commands::capture(tx, id, amount, is_last).await })
        });
        let (intent, _) = asked.await?;
        self.settle().await;
        Ok(self.intent(intent.id).await)
    }

    pub async fn cancel(&self, id: IntentId) -> Result<Intent, PaymentError> {
        let asked = self.write(id, |tx, id| Box::pin(async move { commands::cancel(tx, id).await })).await?;
        self.settle().await;
        Ok(self.intent(asked.id).await)
    }

    /// The balance of an account in minor units, debits less credits; 0 where it was never opened.
    pub async fn balance(&self, code: &str) -> i128 {
        let code = ledger::AccountCode::parse(code).unwrap();
        let mut reads = self.store.read();
        let Some(account) = ledger::queries::account_by_code(&mut reads, self.workspace, &code).await.unwrap() else { return 0 };
        let totals = ledger::queries::totals(&mut reads, self.workspace, &account).await.unwrap();
        totals.debits_posted - totals.credits_posted
    }

    /// What was really moved at a provider, in minor units: in less out.
    pub fn truth(&self) -> i64 {
        use sim::bank::MovementKind;
        let movements = self.sim.movements();
        let counted = movements.iter().map(|movement| match movement.kind {
            MovementKind::Charged => movement.amount_minor,
            MovementKind::Refunded => -movement.amount_minor,
            _ => 0,
        });
        counted.sum()
    }

    /// Rows that are what their history makes, and books that verify, at the end of every test.
    pub async fn close(self) {
        self.settle().await;
        let (store, runtime) = (self.store.clone(), tokio::runtime::Handle::current());
        let replayed = tokio::task::spawn_blocking(move || runtime.block_on(payments::replay::check(&store)));
        let replayed = replayed.await.unwrap().unwrap();
        assert!(replayed.is_same(), "{replayed}");
        self.close_books().await;
    }

    /// Books that verify, where a test has put rows in by hand.
    pub async fn close_books(self) {
        self.settle().await;
        ledger::keeper::catch_up(&self.store).await.unwrap();
        let options = ledger::verify::Options::default();
        let report = ledger::verify::verify(&mut self.store.snapshot().await.unwrap(), &options).await.unwrap();
        assert!(report.is_sound(), "{report}");
        self.sim.stop().await;
    }
}
