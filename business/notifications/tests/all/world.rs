//! A store, an outbox that runs by hand or by itself, and channels to the servers of a test.

use std::path::PathBuf;
use std::time::Duration;

use gateway::AllowedNetworks;
use kernel::{Caller, Grants, Id, MemberId, RawId, WorkspaceId};
use notifications::{
    Channels, DeliverWebhook, EndpointId, MailSetup, MailTransport, Message, MessageId, NewEndpoint, NotificationError, Recipient, Secret,
    SendEmail, SendUrgentEmail, Sender, TemplateKey, grants,
};
use outbox::testing::{Drained, drain};
use outbox::{Builder, GateLimits, Outbox};
use serde_json::{Value, json};
use store::testing::TestStore;

use super::webhooks::local_client;

pub struct World {
    // First, so that it ends before its store.
    pub outbox: Outbox,
    pub store: TestStore,
    pub workspace: WorkspaceId,
    pub owner: Caller,
    pub system: Caller,
}

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

pub fn owner(workspace: WorkspaceId) -> Caller {
    let member = MemberId::from_raw(RawId::from_bits(9));
    Caller::Person { workspace, member, grants: Grants::of([grants::READ, grants::WRITE]) }
}

pub fn local() -> AllowedNetworks {
    AllowedNetworks::parse(["127.0.0.1/32"]).unwrap()
}

pub fn jobs(builder: Builder, channels: &Channels) -> Builder {
    let [a, b, c] = [channels.clone(), channels.clone(), channels.clone()];
    builder
        .lane("email", 8)
        .lane("email_urgent", 2)
        .lane("webhook", 64)
        .job::<SendEmail, _>(move |job, ctx| Box::pin(notifications::send_email(a.clone(), job, ctx)))
        .job::<SendUrgentEmail, _>(move |job, ctx| Box::pin(notifications::send_urgent_email(b.clone(), job, ctx)))
        .job::<DeliverWebhook, _>(move |job, ctx| Box::pin(notifications::deliver_webhook(c.clone(), job, ctx)))
}

impl World {
    /// Mails go to a folder of the store's; jobs run by hand.
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let transport = MailTransport::Folder(store.folder().join("mail"));
        Self::with(store, transport, true).await
    }

    pub async fn by_itself(transport: Option<MailTransport>) -> Self {
        let store = store::testing::store_with(|config| config.clock = kernel::Clock::system()).await;
        let transport = transport.unwrap_or_else(|| MailTransport::Folder(store.folder().join("mail")));
        Self::with(store, transport, false).await
    }

    pub async fn with_mail(transport: MailTransport) -> Self {
        Self::with(store::testing::store().await, transport, true).await
    }

    async fn with(store: TestStore, transport: MailTransport, by_hand: bool) -> Self {
        let sender = Sender::new("Tessera", "hello@tessera.example").unwrap();
        let limits = GateLimits { suspects_max: 32, ..GateLimits::default() };
        let channels = Channels::new(MailSetup { sender, transport }, local_client(), limits, store.clock());
        let builder = jobs(Outbox::builder(store.clone()), &channels);
        let builder = if by_hand { builder.by_hand() } else { builder };
        let outbox = builder.start().await.unwrap();
        let (owner, system) = (owner(workspace(1)), Caller::system("test"));
        Self { outbox, store, workspace: workspace(1), owner, system }
    }

    pub fn mail_folder(&self) -> PathBuf {
        self.store.folder().join("mail")
    }

    pub async fn drain(&self) -> Drained {
        drain(&self.outbox).await.unwrap()
    }

    pub async fn send(&self, message: Message) -> Result<MessageId, NotificationError> {
        self.store.write(&self.system, (self.workspace, message), |tx, (w, m)| Box::pin(notifications::send(tx, w, m))).await
    }

    pub async fn emit(&self, event_type: &str, payload: Value, event: &str) -> Result<usize, NotificationError> {
        let input = (self.workspace, event_type.to_owned(), payload, event.to_owned());
        let unit =
            self.store.write(&self.system, input, |tx, (w, t, p, e)| Box::pin(async move { notifications::emit(tx, w, &t, p, &e).await }));
        unit.await
    }

    pub async fn endpoint(&self, url: &str) -> (EndpointId, Secret) {
        self.endpoint_for(url, &[]).await.unwrap()
    }

    pub async fn endpoint_for(&self, url: &str, types: &[&str]) -> Result<(EndpointId, Secret), NotificationError> {
        let id = EndpointId::from_raw(RawId::generate(self.store.clock().now(), self.store.entropy()));
        let secret = Secret::generate(self.store.entropy());
        let sealed_secret = self.store.vault().seal(secret.as_bytes(), &id.to_string());
        let event_types = types.iter().map(|name| (*name).to_owned()).collect();
        let new = NewEndpoint { id, url: url.to_owned(), description: "test".into(), event_types, sealed_secret };
        let unit =
            self.store.write(&self.owner, new, |tx, new| Box::pin(async move { notifications::create_endpoint(tx, &local(), new).await }));
        unit.await.map(|_| (id, secret))
    }

    pub async fn attempts(&self, endpoint: EndpointId) -> Vec<notifications::Attempt> {
        notifications::attempts(&mut self.store.read(), self.workspace, endpoint, None, 200).await.unwrap()
    }

    pub async fn messages(&self) -> Vec<notifications::MessageStatus> {
        notifications::messages(&mut self.store.read(), self.workspace, None, 200).await.unwrap()
    }
}

pub fn ada() -> Recipient {
    Recipient { id: "mem_ada".into(), address: "ada@example.org".into(), locale: "en-GB".into(), zone: "Europe/London".into() }
}

pub fn lead_mail(lead: &str) -> Message {
    Message::email(
        TemplateKey::LeadCaptured,
        ada(),
        json!({"lead_name": lead, "lead_email": "grace@example.org", "link": "https://tessera.example/l/1"}),
    )
}

/// Waits until `ready` is true, for at most ten seconds.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if ready().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("in vain waited for: {what}");
}
