//! The page of a transfer, and that of an entry: every line, what caused it, what it resolved or what resolved it, and the
//! block that seals it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::{Path, Problem};
use kernel::{Id, WorkspaceId};
use ledger::keeper::Sealed;
use ledger::{EntryId, Side, Transfer, TransferId, TransferKind, Unit, queries};
use store::Reads;

use super::super::frame::{Frame, Names, Owner, When, page, plain_day};
use super::account::{kind_words, pretty};
use super::{Known, Money, side_label};
use crate::installation::Parts;

/// Transfers of the same source that are shown.
const SAME_SOURCE: u32 = 20;

/// One side of one transfer.
struct Line {
    account: String,
    name: String,
    code: String,
    transfer: String,
    side: &'static str,
    debit: String,
    credit: String,
    unit: String,
}

/// What one unit of the lines adds up to.
struct Sum {
    unit: String,
    debit: String,
    credit: String,
}

/// A transfer in a line.
struct Mention {
    id: String,
    label: String,
    day: String,
    amount: Money,
}

/// A block with its hash.
struct Seal {
    number: i64,
    hash: String,
    at: When,
}

#[derive(Template)]
#[template(path = "ledger_transfer.html")]
struct TransferPage {
    frame: Frame,
    heading: String,
    amount: Option<Money>,
    state: &'static str,
    state_label: &'static str,
    id: String,
    memo: String,
    lines: Vec<Line>,
    sums: Vec<Sum>,
    released: String,
    counts: String,
    recorded: When,
    expires: Option<When>,
    source: String,
    actor: String,
    entry: String,
    resolves: Option<Mention>,
    resolved_by: Option<Mention>,
    others: Vec<Mention>,
    others_label: &'static str,
    metadata: String,
    seal: Option<Seal>,
}

fn mention(transfer: &Transfer) -> Mention {
    let (word, _) = kind_words(transfer.kind);
    let minor = if transfer.amount > 0 { transfer.amount } else { transfer.released };
    Mention {
        id: transfer.id.to_string(),
        label: transfer.memo.clone().unwrap_or_else(|| word.to_owned()),
        day: plain_day(transfer.effective_at),
        amount: Money::of(i128::from(minor), &transfer.unit),
    }
}

/// Both sides of each transfer: first what is debited.
async fn lines(reads: &mut impl Reads, workspace: WorkspaceId, transfers: &[Transfer]) -> Result<Vec<Line>, Problem> {
    let mut known = Known::default();
    let mut lines = Vec::with_capacity(transfers.len() * 2);
    for transfer in transfers {
        for side in [Side::Debit, Side::Credit] {
            let id = transfer.account(side);
            known.learn(reads, workspace, id).await?;
            let amount = transfer.unit.major(i128::from(transfer.amount));
            let (debit, credit) = if side == Side::Debit { (amount, String::new()) } else { (String::new(), amount) };
            lines.push(Line {
                account: id.to_string(),
                name: known.name(id),
                code: known.code(id),
                transfer: transfer.id.to_string(),
                side: side_label(side),
                debit,
                credit,
                unit: transfer.unit.to_string(),
            });
        }
    }
    Ok(lines)
}

/// The sum of each unit; both sides are the same, because each transfer names both.
fn sums(transfers: &[Transfer]) -> Vec<Sum> {
    let mut units: Vec<(&Unit, i128)> = Vec::new();
    for transfer in transfers {
        let amount = i128::from(transfer.amount);
        match units.iter_mut().find(|(unit, _)| **unit == transfer.unit) {
            Some((_, sum)) => *sum += amount,
            None => units.push((&transfer.unit, amount)),
        }
    }
    units.iter().map(|(unit, sum)| Sum { unit: unit.to_string(), debit: unit.major(*sum), credit: unit.major(*sum) }).collect()
}

fn seal(sealed: Sealed) -> Seal {
    let hash = sealed.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    Seal { number: sealed.number, hash, at: When(sealed.booked_at) }
}

/// Who asked for it: an actor that is no member and no key is the installation itself, for a reason.
fn actor(names: &Names, word: &str) -> String {
    match names.actor(word) {
        told if told == "Tessera" => format!("Tessera ({})", word.trim_start_matches("system:")),
        told => told,
    }
}

async fn compose(parts: &Parts, owner: &Owner, frame: Frame, transfers: &[Transfer]) -> Result<TransferPage, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let first = transfers.first().ok_or_else(Problem::not_found)?;
    let mut reads = parts.store.read();
    let source = first.source.clone().unwrap_or_default();
    let same = match source.as_str() {
        "" => Vec::new(),
        source => queries::transfers_of_source(&mut reads, workspace, source, SAME_SOURCE).await?,
    };
    let last = transfers.last().unwrap_or(first);
    let sealed = queries::by_day::seal_of(&mut reads, workspace, last).await?;
    let names = owner.names(parts).await?;
    let (word, state) = kind_words(first.kind);
    Ok(TransferPage {
        heading: frame.title.clone(),
        frame,
        amount: None,
        state,
        state_label: word,
        id: String::new(),
        memo: first.memo.clone().unwrap_or_default(),
        lines: lines(&mut reads, workspace, transfers).await?,
        sums: sums(transfers),
        released: String::new(),
        counts: plain_day(first.effective_at),
        recorded: When(first.recorded_at),
        expires: first.expires_at.map(When),
        source,
        actor: actor(&names, &first.actor),
        entry: String::new(),
        resolves: None,
        resolved_by: None,
        others: same.iter().filter(|other| transfers.iter().all(|shown| shown.id != other.id)).map(mention).collect(),
        others_label: "The same cause",
        metadata: first.metadata.as_ref().map(pretty).unwrap_or_default(),
        seal: sealed.map(seal),
    })
}

/// `GET /ledger/transfers/{id}`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>) -> Result<Response, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let id = TransferId::parse(&id).map_err(|_| Problem::not_found())?;
    let transfer = queries::transfer(&mut parts.store.read(), workspace, id).await?.ok_or_else(Problem::not_found)?;
    let frame = owner.frame("ledger", heading(&transfer)).shaped("");
    let mut shown = compose(&parts, &owner, frame, std::slice::from_ref(&transfer)).await?;
    let mut reads = parts.store.read();
    shown.id = id.to_string();
    shown.amount = (transfer.amount > 0).then(|| Money::of(i128::from(transfer.amount), &transfer.unit));
    shown.entry = transfer.entry.map(|entry| entry.to_string()).unwrap_or_default();
    if transfer.released > 0 {
        shown.released = format!("{} {}", transfer.unit.major(i128::from(transfer.released)), transfer.unit);
    }
    if let Some(pending) = transfer.pending {
        shown.resolves = queries::transfer(&mut reads, workspace, pending).await?.as_ref().map(mention);
    }
    if transfer.kind == TransferKind::Pending {
        let resolution = queries::resolution(&mut reads, workspace, id).await?;
        if let Some(resolution) = &resolution {
            shown.state_label = match resolution.kind {
                TransferKind::Post => "Posted since",
                TransferKind::Expire => "Expired",
                _ => "Voided since",
            };
            shown.state = if resolution.kind == TransferKind::Post { "on" } else { "retired" };
        }
        shown.resolved_by = resolution.as_ref().map(mention);
    }
    let told: Vec<String> = [&shown.resolves, &shown.resolved_by].into_iter().flatten().map(|other| other.id.clone()).collect();
    shown.others.retain(|other| !told.contains(&other.id));
    page(&shown)
}

fn heading(transfer: &Transfer) -> String {
    match transfer.kind {
        TransferKind::Transfer => "Transfer",
        TransferKind::Pending => "Pending transfer",
        TransferKind::Post => "Posting of a pending transfer",
        TransferKind::Void => "Release of a pending transfer",
        TransferKind::Expire => "End of a pending transfer",
    }
    .to_owned()
}

/// `GET /ledger/entries/{id}`
pub(super) async fn show_entry(State(parts): State<Parts>, owner: Owner, Path(id): Path<String>) -> Result<Response, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let id = EntryId::parse(&id).map_err(|_| Problem::not_found())?;
    let transfers = queries::entry(&mut parts.store.read(), workspace, id).await?;
    let mut shown = compose(&parts, &owner, owner.frame("ledger", "Entry").shaped(""), &transfers).await?;
    shown.id = id.to_string();
    (shown.state, shown.state_label) = ("", "");
    page(&shown)
}
