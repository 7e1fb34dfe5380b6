//! The process that is killed: callers that post through the crate, and say what they were answered once they know it.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use kernel::{Caller, Id, WorkspaceId};
use ledger::{LedgerError, NewTransfer, Outcome, Unit, keeper};
use store::{Config, P, Reads, Store, StoreError};

use super::script::{self, Accounts, CALLERS};
use crate::Options;
use crate::ledger_bench::scene::chain;

static SYSTEM: Caller = Caller::system("bench");

store::statements! {
    BOOKED = "select cast(coalesce(max(last_position), 0) as bigint) from ledger_blocks where workspace = $1";
    RECORDED = "select cast(count(*) as bigint) from ledger_transfers where workspace = $1";
}

/// One line to whoever started this process, in one piece.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(format!("{line}\n").as_bytes()).and_then(|()| out.flush());
}

/// What became of a turn, in a letter: it was created, it existed, it was refused as a whole; `x` is none of these.
fn letter(outcomes: &[Outcome]) -> char {
    let all = |outcome| outcomes.iter().all(|known| *known == outcome);
    match outcomes {
        _ if all(Outcome::Created) => 'c',
        _ if all(Outcome::Exists) => 'e',
        _ if outcomes.iter().any(|outcome| outcome.stands()) => 'x',
        _ => 'r',
    }
}

/// Posts in a unit of work, again and again while the store asks to come back later.
async fn post(store: &Store, batch: Vec<NewTransfer>) -> Result<Vec<Outcome>, String> {
    loop {
        let unit = store.write(&SYSTEM, (script::workspace(), batch.clone()), |tx, (workspace, batch)| {
            Box::pin(async move { ledger::post_batch(tx, workspace, batch).await })
        });
        match unit.await {
            Ok(rows) => return Ok(rows.into_iter().map(|row| row.outcome).collect()),
            Err(LedgerError::Store(StoreError::Busy)) => {}
            Err(error) => return Err(chain(&error)),
        }
    }
}

async fn accounts(store: &Store) -> Result<Accounts, String> {
    let unit = Unit::parse("EUR").map_err(|e| e.to_string())?;
    let opened = store.write(&SYSTEM, (script::workspace(), script::new_accounts(&unit)?), |tx, (workspace, all)| {
        Box::pin(async move {
            let mut ids = Vec::with_capacity(all.len());
            for new in all {
                ids.push(ledger::ensure(tx, workspace, new).await?.id);
            }
            Ok::<_, LedgerError>(ids)
        })
    });
    Ok(Accounts { unit, ids: opened.await.map_err(|e| chain(&e))? })
}

fn own(workspace: WorkspaceId) -> P<'static> {
    P::Bytes(workspace.raw().bits().to_be_bytes().to_vec().into())
}

async fn number(store: &Store, sql: &'static store::Sql) -> Result<i64, String> {
    let found = store.read().row(sql, &[own(script::workspace())], |row| row.get::<i64>(0)).await;
    Ok(found.map_err(|e| chain(&e))?.unwrap_or(0))
}

/// Posts until it is killed, or with `--turns N` that many times a caller, waiting for the keeper in the end. Each caller
/// begins with its last answered turn, which must be there, and goes on with the one that it was not answered.
pub(super) async fn run(options: &Options) -> Result<(), String> {
    let folder = options.text("--folder").ok_or("--folder is missing")?;
    let from: Vec<u64> = options.text("--from").unwrap_or_default().split(',').filter_map(|word| word.parse().ok()).collect();
    let turns = options.number("--turns").unwrap_or(u64::MAX);
    let store = Store::open(Config::new(folder, options.text("--database").map(str::to_owned))).await.map_err(|e| chain(&e))?;
    keeper::settle(&store).await.map_err(|e| chain(&e))?;
    let keeping = tokio::spawn(keeper::keep(store.clone()));
    let accounts = Arc::new(accounts(&store).await?);
    say("ready");
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let (store, accounts) = (store.clone(), accounts.clone());
            let next = from.get(caller as usize).copied().unwrap_or(0);
            tokio::spawn(async move {
                for turn in next.saturating_sub(1)..next.saturating_add(turns) {
                    let outcomes = post(&store, script::batch(&accounts, caller, turn)).await?;
                    say(&format!("{caller} {turn} {}", letter(&outcomes)));
                }
                Ok::<_, String>(())
            })
        })
        .collect();
    let told = store.clone();
    let telling = tokio::spawn(async move {
        loop {
            if let Ok(booked) = number(&told, &BOOKED).await {
                say(&format!("booked {booked}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    for caller in callers {
        caller.await.map_err(|e| e.to_string())??;
    }
    let recorded = number(&store, &RECORDED).await?;
    while number(&store, &BOOKED).await? < recorded {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    telling.abort();
    keeping.abort();
    store.close().await;
    say("done");
    Ok(())
}
