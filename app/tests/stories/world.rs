//! A whole installation in one place: the clock stands still, randomness has a seed, and jobs run when the story says so.
//! Dropping it asserts that nothing is left to do and nothing was given up.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use gateway::ShutdownSignal;
use kernel::{Caller, WorkspaceId};
use outbox::testing::Drained;
use people::{Email, Locale, PersonName, WorkspaceName, Zone};
use serde_json::{Value, json};
use store::Store;
use store::testing::TestPlace;
use tessera::config::{Config, Options};
use tessera::{Installation, Work};

use crate::client::{Answering, Client, PUBLIC_URL, Reply};
use crate::dump::Database;

static SYSTEM: Caller = Caller::system("story");

pub struct World {
    installation: Option<Installation>,
    pub place: TestPlace,
    pub config: Config,
    door: Answering,
    document: Arc<Value>,
    clients: AtomicU32,
    may_give_up: AtomicBool,
}

/// A mail that was kept in the data folder.
#[derive(Debug, Clone)]
pub struct Told {
    pub to: String,
    pub subject: String,
    pub text: String,
    pub html: String,
    /// The mail as it would be sent.
    pub raw: String,
}

impl Told {
    /// The first link of the text.
    pub fn link(&self) -> String {
        let at = self.text.find(PUBLIC_URL).unwrap_or_else(|| panic!("no link in {}", self.text));
        self.text[at..].split_whitespace().next().unwrap().to_owned()
    }

    /// What stands after the last slash of the first link.
    pub fn token(&self) -> String {
        self.link().rsplit('/').next().unwrap().to_owned()
    }
}

/// A card with the code that leads to it.
pub struct Printed {
    pub card: String,
    pub code: String,
}

async fn open(config: &Config, store: store::Config) -> Installation {
    for _ in 0..200 {
        match Installation::open(config, store.clone(), PUBLIC_URL, Work::ByHand, None, ShutdownSignal::never()).await {
            Ok(installation) => return installation,
            // What the last process held is let go of in a moment.
            Err(error) if error.to_string().contains("another tessera") => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the data folder stays locked")
}

impl World {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With other options.
    pub async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let place = store::testing::fresh_place().await;
        let many = Some(1_000_000);
        let mut options = Options {
            data: place.folder().to_owned(),
            webhook_allow: vec!["127.0.0.1/32".into()],
            provider_allow: vec!["127.0.0.1".into()],
            rate_address: many,
            rate_caller: many,
            rate_form: many,
            ..Options::default()
        };
        change(&mut options);
        let config = Config::load(options).unwrap();
        let installation = open(&config, place.config()).await;
        let door: Answering = Arc::new(RwLock::new(Some(Arc::clone(&installation.door))));
        let mut world = Self {
            installation: Some(installation),
            place,
            config,
            door,
            document: Arc::new(json!({ "paths": {} })),
            clients: AtomicU32::new(1),
            may_give_up: AtomicBool::new(false),
        };
        world.document = Arc::new(world.stranger().get("/openapi.json").await.expect(200).json());
        world
    }

    pub fn installation(&self) -> &Installation {
        self.installation.as_ref().expect("it is open")
    }

    pub fn store(&self) -> &Store {
        &self.installation().parts.store
    }

    pub fn document(&self) -> &Value {
        &self.document
    }

    pub fn database(&self) -> Database {
        Database::of(&self.place.config())
    }

    /// Jobs may be given up in this story.
    pub fn giving_up_is_fine(&self) {
        self.may_give_up.store(true, Ordering::Relaxed);
    }

    pub fn pass(&self, time: Duration) {
        self.store().clock().advance(time);
    }

    /// Closes the installation and opens it again on what it left.
    pub async fn restart(&mut self) {
        self.reopen_at(None).await;
    }

    /// The same in another data folder, with what lies there.
    pub async fn reopen_at(&mut self, folder: Option<PathBuf>) {
        // Whoever holds the door holds the store, and with it the data folder.
        *self.door.write().unwrap() = None;
        self.installation.take().expect("it is open").close().await;
        let mut store = self.place.config();
        if let Some(folder) = folder {
            store.folder.clone_from(&folder);
            self.config.data = folder;
        }
        let installation = open(&self.config, store).await;
        *self.door.write().unwrap() = Some(Arc::clone(&installation.door));
        self.installation = Some(installation);
        self.drain().await;
    }

    /// Runs everything that is due, scans included, until nothing is left.
    pub async fn drain(&self) -> Drained {
        let installation = self.installation();
        installation.parts.scanner.settle().await.unwrap();
        ledger::keeper::catch_up(self.store()).await.unwrap();
        outbox::testing::drain(&installation.outbox).await.unwrap()
    }

    /// Brings the books up to a version. On a server that others use too their open transactions may hold them up.
    pub async fn book(&self, version: &str) {
        let version: ledger::queries::Version = version.parse().unwrap();
        while ledger::queries::version(&mut self.store().read()).await.unwrap() < version {
            ledger::keeper::catch_up(self.store()).await.unwrap();
        }
    }

    /// Asks again until the answer is as wanted: what memory holds follows the log in a moment, not at once.
    pub async fn until(&self, client: &mut Client, path: &str, is_wanted: impl Fn(&Reply) -> bool) -> Reply {
        for _ in 0..400 {
            let reply = client.page(path).await;
            if is_wanted(&reply) {
                return reply;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let reply = client.page(path).await;
        panic!("{path} still answers {} {}", reply.status, reply.header("location"));
    }

    /// Somebody nobody knows, at an address of their own.
    pub fn stranger(&self) -> Client {
        Client::new(Arc::clone(&self.door), Arc::clone(&self.document), self.clients.fetch_add(1, Ordering::Relaxed))
    }

    /// A workspace with its owner, as the first start makes one.
    pub async fn found(&self, workspace: &str, owner: &str, name: &str) -> WorkspaceId {
        let input = (WorkspaceName::parse(workspace).unwrap(), Email::parse(owner).unwrap(), PersonName::parse(name).unwrap());
        let made = self.store().write(&SYSTEM, input, |tx, (workspace, owner, name)| {
            Box::pin(async move {
                people::commands::create_workspace(tx, &workspace, &Locale::default(), &Zone::default(), &owner, &name).await
            })
        });
        made.await.unwrap().0.id
    }

    /// Somebody who signed in by the link that was mailed to them.
    pub async fn sign_in(&self, email: &str) -> Client {
        let mut client = self.stranger();
        client.post("/v1/session/link", json!({ "email": email })).await.expect(202);
        self.drain().await;
        let token = self.told(email).pop().expect("a link was mailed").token();
        client.post("/v1/session/link/redeem", json!({ "token": token })).await.expect(201);
        client
    }

    /// A workspace with its owner signed in.
    pub async fn founded(&self, workspace: &str, owner: &str, name: &str) -> (WorkspaceId, Client) {
        let id = self.found(workspace, owner, name).await;
        (id, self.sign_in(owner).await)
    }

    /// Somebody who accepted an invitation.
    pub async fn join(&self, host: &mut Client, email: &str, role: &str) -> Client {
        host.post("/v1/invitations", json!({ "email": email, "role": role })).await.expect(201);
        self.drain().await;
        let token = self.told(email).pop().expect("an invitation was mailed").token();
        let mut client = self.stranger();
        client.post("/v1/invitations/accept", json!({ "token": token, "name": "Grace Hopper" })).await.expect(201);
        client
    }

    /// A card with its printed code.
    pub async fn card(&self, owner: &mut Client, name: &str, email: &str) -> Printed {
        let body = json!({ "code": "new", "profile": {
            "display_name": name,
            "organisation": "Analytical Engines Ltd",
            "emails": [{ "label": "work", "value": email }],
            "phones": [{ "label": "work", "value": "+44 20 7946 0018" }],
        }});
        let made = owner.post("/v1/cards", body).await.expect(201);
        Printed { card: made.at("/id"), code: made.at("/codes/0/code") }
    }

    /// Every mail that was kept, the oldest first.
    pub fn mails(&self) -> Vec<Told> {
        let folder = self.config.data.join("mail");
        let Ok(entries) = std::fs::read_dir(&folder) else { return Vec::new() };
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths.sort();
        paths.iter().map(|path| mail(path)).collect()
    }

    /// The mails to somebody, the oldest first.
    pub fn told(&self, address: &str) -> Vec<Told> {
        self.mails().into_iter().filter(|mail| mail.to == address).collect()
    }

    async fn assert_nothing_is_left(&self) {
        self.drain().await;
        let database = self.database();
        let now = self.store().clock().now().as_micros();
        let due = database.numbers(&format!("select count(*) from outbox_waiting where due_at <= {now}")).await;
        assert_eq!(due, [0], "jobs are due and were not run");
        if !self.may_give_up.load(Ordering::Relaxed) {
            let dead = database.texts("select name || ': ' || last_error from outbox_dead").await;
            assert!(dead.is_empty(), "jobs were given up: {dead:?}");
        }
    }
}

fn mail(path: &Path) -> Told {
    let view: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let text = |name: &str| view[name].as_str().unwrap_or_default().to_owned();
    let raw = String::from_utf8(std::fs::read(path.with_extension("eml")).unwrap()).unwrap();
    Told { to: text("to"), subject: text("subject"), text: text("text"), html: text("html"), raw }
}

impl Drop for World {
    fn drop(&mut self) {
        let is_failing = std::thread::panicking();
        tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                if !is_failing {
                    self.assert_nothing_is_left().await;
                }
                if let Some(installation) = self.installation.take() {
                    installation.close().await;
                }
            });
        });
    }
}

/// What the page's form holds: its action and its token.
pub fn form_of(page: &str) -> (String, String) {
    let between = |text: &str, before: &str| -> String {
        let at = text.find(before).unwrap_or_else(|| panic!("no {before} in {text}"));
        text[at + before.len()..].split('"').next().unwrap().to_owned()
    };
    let form = &page[page.find("id=\"exchange\"").unwrap_or_else(|| panic!("no form in {page}"))..];
    (between(form, "action=\"").replace("&amp;", "&"), between(form, "name=\"form_token\" value=\""))
}

/// How long a person takes to fill the form.
pub const A_MOMENT: Duration = Duration::from_secs(20);

/// A visitor scans a code and leaves these details.
pub async fn leave_details(world: &World, visitor: &mut Client, code: &str, fields: &[(&str, &str)]) -> Reply {
    let page = visitor.page(&format!("/{code}")).await.expect(200).text();
    let (action, token) = form_of(&page);
    world.pass(A_MOMENT);
    let mut all = vec![("consent", "yes"), ("subject_line", ""), ("form_token", token.as_str())];
    all.extend_from_slice(fields);
    visitor.form(&action, &all).await
}
