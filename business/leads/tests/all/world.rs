//! What the tests share: a workspace, its callers and a form to fill.

use std::time::Duration;

use kernel::{Caller, Entropy, Grants, Id, KeyId, MemberId, RawId, WorkspaceId};
use leads::commands::{self, Captured};
use leads::{Form, FormKey, Lead, LeadError, LeadId, Source, parse_form};
use people::{Locale, PersonName, WorkspaceName, Zone};
use store::testing::TestStore;

/// A workspace on a fresh database.
pub struct World {
    pub store: TestStore,
    pub workspace: WorkspaceId,
    /// The owner of the workspace, who owns the card too.
    pub owner: MemberId,
    pub key: FormKey,
    pub source: Source,
    tokens: Entropy,
}

/// A form as a visitor fills it; empty fields are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Filled {
    pub name: &'static str,
    pub email: &'static str,
    pub phone: &'static str,
    pub company: &'static str,
    pub message: &'static str,
    pub trap: &'static str,
}

pub const ADA: Filled = Filled { name: "Ada Lovelace", email: "ada@example.com", phone: "", company: "", message: "Call me", trap: "" };

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

/// A member of nothing here.
pub fn stranger() -> MemberId {
    MemberId::from_raw(RawId::from_bits(77))
}

impl World {
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let source = Source::new("card", "card_1").by_code("7K3P9");
        let (workspace, owner) = store
            .write(&Caller::system("test"), (), |tx, ()| {
                Box::pin(async move {
                    let (name, locale, zone) = (WorkspaceName::parse("Engines")?, Locale::parse("en")?, Zone::parse("Europe/London")?);
                    let (email, person) = (people::Email::parse("owner@example.com")?, PersonName::parse("Charles Babbage")?);
                    let (workspace, owner) = people::commands::create_workspace(tx, &name, &locale, &zone, &email, &person).await?;
                    Ok::<_, people::PeopleError>((workspace.id, owner.id))
                })
            })
            .await
            .unwrap();
        Self { store, workspace, owner, key: FormKey::derived_from(b"test"), source, tokens: Entropy::seeded(3) }
    }

    /// A member with every right over leads.
    pub fn member(&self) -> Caller {
        Caller::Person { workspace: self.workspace, member: self.owner, grants: Grants::of(leads::grants::ALL) }
    }

    /// Another member of the workspace.
    pub async fn colleague(&self) -> MemberId {
        self.store
            .write(&Caller::system("test"), self.workspace, |tx, workspace| {
                Box::pin(async move {
                    let (email, name) = (people::Email::parse("grace@engines.example")?, PersonName::parse("Grace Hopper")?);
                    let member = people::commands::add_member(tx, workspace, &email, &name, people::Role::Member).await?;
                    Ok::<_, people::PeopleError>(member.id)
                })
            })
            .await
            .unwrap()
    }

    /// A program that may only see leads.
    pub fn reader(&self) -> Caller {
        let key = KeyId::from_raw(RawId::from_bits(20));
        Caller::Key { workspace: self.workspace, key, grants: Grants::of([leads::grants::READ]) }
    }

    /// The form filled, with a token of its own that is old enough.
    pub fn form(&self, filled: Filled) -> Form {
        let issued = self.store.clock().now().minus(Duration::from_secs(30));
        let token = self.key.issue(self.workspace, &self.source, 0, issued, &self.tokens);
        let fields = [
            ("name", filled.name),
            ("email", filled.email),
            ("phone", filled.phone),
            ("company", filled.company),
            ("message", filled.message),
            (leads::TRAP_FIELD, filled.trap),
            (leads::CONSENT_FIELD, "on"),
            (leads::TOKEN_FIELD, token.as_str()),
        ];
        parse_form(fields).expect("the form is well filled")
    }

    /// What the page does with a form that came in.
    pub async fn send(&self, form: Form) -> Result<Captured, LeadError> {
        self.send_for(form, Some(self.owner)).await
    }

    /// The same for another owner of the card.
    pub async fn send_for(&self, form: Form, owner: Option<MemberId>) -> Result<Captured, LeadError> {
        let proof = self.key.check(self.workspace, &self.source, &form.token, self.store.clock().now())?;
        let input = (self.workspace, self.source.clone(), owner, form.details, proof);
        let visitor = Caller::Visitor { workspace: self.workspace };
        self.store
            .write(&visitor, input, |tx, (workspace, source, owner, new, proof)| {
                Box::pin(async move { commands::capture(tx, workspace, source, owner, new, proof).await })
            })
            .await
    }

    /// Fills a form and sends it.
    pub async fn leave(&self, filled: Filled) -> Captured {
        self.send(self.form(filled)).await.expect("the form is taken")
    }

    pub async fn lead(&self, id: LeadId) -> Lead {
        leads::queries::get(&mut self.store.read(), self.workspace, id).await.expect("the lead is there")
    }

    pub async fn all(&self) -> Vec<Lead> {
        leads::queries::list(&mut self.store.read(), self.workspace, &leads::queries::Filter::default(), None, 1000).await.unwrap()
    }
}

/// Every statement of the module runs on this engine.
#[tokio::test(flavor = "multi_thread")]
async fn every_statement_can_be_prepared() {
    let world = World::new().await;
    let refused = world.store.prepare_all(leads::STATEMENTS).await;
    assert!(refused.is_empty(), "{refused:#?}");
}
