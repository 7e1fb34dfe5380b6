//! A workspace with accounts, and short words for what is done with them.

use kernel::{Caller, Id, RawId, WorkspaceId};
use ledger::judge::Judged;
use ledger::{
    Account, AccountCode, AccountId, AccountKind, LedgerError, Limits, NewAccount, NewTransfer, Outcome, Totals, TransferId, Unit, keeper,
    queries,
};
use store::testing::TestStore;

pub static CALLER: Caller = Caller::system("tests");

pub struct World {
    pub store: TestStore,
    pub workspace: WorkspaceId,
}

/// A file in the folder of a world whose books were damaged on purpose.
const DAMAGED: &str = "damaged";

impl World {
    /// Books that are not damaged are verified when the world ends.
    pub fn is_damaged(&self, is_damaged: bool) {
        let marker = self.store.folder().join(DAMAGED);
        if is_damaged { std::fs::write(marker, "").unwrap() } else { std::fs::remove_file(marker).unwrap() }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.store.folder().join(DAMAGED).exists() {
            ledger::verify::assert_sound_at_end(self.store.config());
        }
    }
}

pub fn workspace(number: u128) -> WorkspaceId {
    WorkspaceId::from_raw(RawId::from_bits(number))
}

pub fn trf(number: u128) -> TransferId {
    TransferId::from_raw(RawId::from_bits(number))
}

pub fn unit(text: &str) -> Unit {
    Unit::parse(text).unwrap()
}

impl World {
    pub async fn new() -> Self {
        Self { store: store::testing::store().await, workspace: workspace(1) }
    }

    pub async fn try_open(&self, code: &str, kind: AccountKind, unit_text: &str, limits: Limits) -> Result<Account, LedgerError> {
        let new = NewAccount {
            code: AccountCode::parse(code).unwrap(),
            name: code.to_owned(),
            kind,
            unit: unit(unit_text),
            limits,
            metadata: None,
        };
        let workspace = self.workspace;
        self.store
            .write(&CALLER, (workspace, new), |tx, (workspace, new)| Box::pin(async move { ledger::open(tx, workspace, new).await }))
            .await
    }

    pub async fn open(&self, code: &str, kind: AccountKind, limits: Limits) -> AccountId {
        self.try_open(code, kind, "EUR", limits).await.unwrap().id
    }

    pub async fn post(&self, batch: Vec<NewTransfer>) -> Vec<Judged> {
        self.try_post(batch).await.unwrap()
    }

    pub async fn try_post(&self, batch: Vec<NewTransfer>) -> Result<Vec<Judged>, LedgerError> {
        self.store
            .write(&CALLER, (self.workspace, batch), |tx, (workspace, batch)| {
                Box::pin(async move { ledger::post_batch(tx, workspace, batch).await })
            })
            .await
    }

    pub async fn codes(&self, batch: Vec<NewTransfer>) -> Vec<Outcome> {
        self.post(batch).await.into_iter().map(|row| row.outcome).collect()
    }

    /// Books everything that is committed. On a server that others use too, their open transactions may hold the keeper up.
    pub async fn book(&self) -> usize {
        let mut booked = keeper::catch_up(&self.store).await.unwrap();
        while !keeper::has_caught_up(&self.store).await.unwrap() {
            booked += keeper::catch_up(&self.store).await.unwrap();
        }
        booked
    }

    pub async fn totals(&self, id: AccountId) -> Totals {
        let mut reads = self.store.read();
        let account = queries::account(&mut reads, self.workspace, id).await.unwrap();
        queries::totals(&mut reads, self.workspace, &account).await.unwrap()
    }
}
