//! What the tests share: a workspace, its callers and a form to fill.

use std::time::Duration;

use kernel::{Caller, Entropy, Grants, Id, KeyId, MemberId, RawId, WorkspaceId};
use leads::commands::{self, Captured};
use leads::{Form, FormKey, Lead, LeadError, LeadId, Source, parse_form};
use store::testing::TestStore;

/// A workspace on a fresh database.
pub struct World {
    pub store: TestStore,
    pub workspace: WorkspaceId,
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

pub fn member_id(number: u128) -> MemberId {
    MemberId::from_raw(RawId::from_bits(number))
}

impl World {
    pub async fn new() -> Self {
        let store = store::testing::store().await;
        let source = Source::new("card", "card_1").by_code("7K3P9");
        Self { store, workspace: workspace(1), key: FormKey::derived_from(b"test"), source, tokens: Entropy::seeded(3) }
    }

    /// A member with every right over leads.
    pub fn member(&self) -> Caller {
        Caller::Person { workspace: self.workspace, member: member_id(10), grants: Grants::of(leads::grants::ALL) }
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
        self.send_for(form, Some(member_id(10))).await
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
