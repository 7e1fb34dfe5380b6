//! A workspace with an owner, on a database of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use kernel::{Caller, Entropy, Grant, Grants, WorkspaceId};
use people::{AgentClass, Door, Email, Links, Locale, Member, Passwords, PeopleError, PersonName, Role, Roles, WorkspaceName, Zone};
use store::testing::TestStore;
use store::{Reads, Sql, Tx, params};

pub const CODES_READ: Grant = Grant("codes:read");
pub const CODES_WRITE: Grant = Grant("codes:write");
pub static SYSTEM: Caller = Caller::system("test");

/// Making the dummy hash costs as much as a sign-in, so all tests share one.
static PASSWORDS: LazyLock<Passwords> = LazyLock::new(|| Passwords::new(&Entropy::seeded(99)));

pub struct World {
    pub store: TestStore,
    pub roles: Arc<Roles>,
    pub passwords: Passwords,
    pub links: Links,
    pub workspace: WorkspaceId,
    pub owner: Member,
}

pub fn email(text: &str) -> Email {
    Email::parse(text).unwrap()
}

pub fn name(text: &str) -> PersonName {
    PersonName::parse(text).unwrap()
}

pub fn agent() -> AgentClass {
    AgentClass::of(None)
}

pub fn roles() -> Roles {
    use people::grants::{AUDIT_READ, KEYS_READ, KEYS_WRITE, READ, WRITE};
    let all = [READ, WRITE, KEYS_READ, KEYS_WRITE, AUDIT_READ, CODES_READ, CODES_WRITE];
    Roles {
        owner: Grants::of(all),
        admin: Grants::of(all),
        member: Grants::of([READ, CODES_READ, CODES_WRITE]),
        viewer: Grants::of([READ, CODES_READ]),
        scopes: vec![READ, WRITE, CODES_READ, CODES_WRITE],
    }
}

/// The future of a verb inside a unit.
pub type Doing<'a, T> = Pin<Box<dyn Future<Output = Result<T, PeopleError>> + Send + 'a>>;

impl World {
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let (workspace, owner) = found(&store, "Analytical Engines", "ada@example.com").await;
        let links = Links { sign_in: "https://t.example/sign-in/".into(), invitation: "https://t.example/join/".into() };
        Self { store, roles: Arc::new(roles()), passwords: PASSWORDS.clone(), links, workspace, owner }
    }

    /// Does a verb as `caller`.
    pub async fn as_caller<I, T, F>(&self, caller: &Caller, input: I, verb: F) -> Result<T, PeopleError>
    where
        I: Clone + Send + 'static,
        T: Send + 'static,
        F: for<'a> Fn(&'a mut Tx, I) -> Doing<'a, T> + Send + Sync + 'static,
    {
        // Ids made within one millisecond are in no order.
        self.store.clock().advance(Duration::from_millis(1));
        self.store.write(caller, input, verb).await
    }

    pub fn caller(&self, member: &Member) -> Caller {
        Caller::Person { workspace: member.workspace, member: member.id, grants: self.roles.of(member.role).clone() }
    }

    pub fn owner(&self) -> Caller {
        self.caller(&self.owner)
    }

    pub async fn add(&self, address: &str, role: Role) -> Member {
        let input = (self.workspace, email(address), name("Somebody"), role);
        self.as_caller(&SYSTEM, input, |tx, (workspace, email, name, role)| {
            Box::pin(async move { people::commands::add_member(tx, workspace, &email, &name, role).await })
        })
        .await
        .unwrap()
    }

    pub fn door(&self) -> Door {
        Door::new(self.store.clone(), self.roles.clone())
    }

    /// A sign-in link's token for a member, as the command line makes it.
    pub async fn link_for(&self, member: &Member) -> String {
        self.as_caller(&SYSTEM, member.person, |tx, person| {
            Box::pin(async move { people::commands::issue_sign_in_link_everywhere(tx, person).await })
        })
        .await
        .unwrap()
    }

    pub async fn sign_in(&self, member: &Member) -> people::SignedIn {
        let token = self.link_for(member).await;
        people::redeem_sign_in_link(&self.store, &token, agent()).await.unwrap()
    }

    /// The tokens at the ends of the links that were mailed to an address, oldest first.
    pub async fn mailed_tokens(&self, address: &str) -> Vec<String> {
        let variables = self.store.read().rows(&MAILED, params![address], |row| row.get::<String>("variables")).await.unwrap();
        let link = |text: &String| serde_json::from_str::<serde_json::Value>(text).unwrap()["link"].as_str().unwrap().to_owned();
        variables.iter().map(link).map(|link| link.rsplit('/').next().unwrap().to_owned()).collect()
    }

    pub async fn count(&self, sql: &'static Sql) -> i64 {
        self.store.read().row(sql, params![], |row| row.get(0)).await.unwrap().unwrap()
    }
}

static MAILED: Sql = Sql::new("select variables from notifications_messages where address = $1 order by id");

pub async fn found(store: &store::Store, workspace: &str, owner: &str) -> (WorkspaceId, Member) {
    store.clock().advance(Duration::from_millis(1));
    let input = (WorkspaceName::parse(workspace).unwrap(), email(owner), name("Ada Lovelace"));
    let made = store.write(&SYSTEM, input, |tx, (workspace, owner, name)| {
        Box::pin(
            async move { people::commands::create_workspace(tx, &workspace, &Locale::default(), &Zone::default(), &owner, &name).await },
        )
    });
    let (workspace, owner) = made.await.unwrap();
    (workspace.id, owner)
}
