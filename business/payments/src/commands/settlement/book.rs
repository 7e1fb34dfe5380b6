//! Booking a report: each chunk of lines is matched, posted, kept and counted in one unit.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use kernel::{Currency, WorkspaceId};
use store::{P, Reads, Tx, params, row_params};

use super::{expected, list, post};
use crate::books::Place;
use crate::error::PaymentError;
use crate::provider::{LineKind, ProviderId, ReportLine};
use crate::settlement::{
    ExceptionId, ExceptionKind, Expected, Finding, Known, Rules, Settlement, SettlementId, Sum, add, find, kind_word, transfers,
};
use crate::sql::settlement as sql;

/// Expectations that are looked at in one unit for being missing.
const MISSING_AT_ONCE: i64 = 500;

/// What became of a chunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Booked {
    /// Lines that matched.
    pub matched: i64,
    /// Lines that did not.
    pub exceptions: i64,
    /// Somebody else is at this report, or it is finished: nothing was done.
    pub is_overtaken: bool,
}

/// Books the lines behind line `before`; at most 500. They count once, whoever asks how often.
pub async fn book_chunk(
    tx: &mut Tx,
    workspace: WorkspaceId,
    settlement: SettlementId,
    provider: ProviderId,
    rules: Rules,
    before: i64,
    lines: &[ReportLine],
) -> Result<Booked, PaymentError> {
    let known = known(tx, workspace, provider, lines).await?;
    let all: Vec<&ReportLine> = lines.iter().collect();
    let findings = find(&all, &known, &rules);
    let is_good = |finding: &&Finding| !matches!(finding, Finding::Exception { .. });
    let matched = i64::try_from(findings.iter().filter(is_good).count()).unwrap_or(i64::MAX);
    let count = i64::try_from(lines.len()).unwrap_or(i64::MAX);
    let exceptions = count - matched;
    // First of all, so that of two that are at it one does nothing.
    if tx.execute(&sql::ADVANCE_SETTLEMENT, params![&workspace, &settlement, before, count, matched, exceptions]).await? == 0 {
        return Ok(Booked { is_overtaken: true, ..Booked::default() });
    }
    let mut sums: BTreeMap<(&str, Currency), Sum> = BTreeMap::new();
    let mut batches: BTreeMap<(&str, Currency), [i64; 3]> = BTreeMap::new();
    let (mut kept, mut taken, mut found_after_all) = (Vec::with_capacity(lines.len()), Vec::with_capacity(lines.len()), Vec::new());
    let mut parts = HashSet::new();
    for (number, (line, finding)) in (before + 1..).zip(lines.iter().zip(&findings)) {
        let key = (line.batch.as_deref().unwrap_or_default(), line.gross.currency);
        let (outcome, subject) = match finding {
            Finding::Fee => {
                add(sums.entry(key).or_default(), line, 0).ok_or_else(too_large)?;
                ("matched", None)
            }
            Finding::Matched(found) => {
                add(sums.entry(key).or_default(), line, found.difference_minor).ok_or_else(too_large)?;
                taken.push(row_params![workspace, found.subject, settlement, number]);
                if known.expected.get(&found.subject).is_some_and(|expected| expected.is_missing) {
                    found_after_all.push(found.subject.as_str());
                }
                ("matched", Some(found.subject.as_str()))
            }
            Finding::Exception { kind, subject } => {
                let about = subject.as_deref().and_then(|subject| known.expected.get(subject));
                let kind = several(tx, workspace, *kind, subject.as_deref(), &mut parts).await?;
                let opened = Opened { provider, kind, settlement: Some(settlement), line: Some((number, line)), about, note: None };
                open(tx, workspace, &opened).await?;
                (kind.as_str(), subject.as_deref())
            }
        };
        // What was paid out to others is not on its way to our bank.
        if line.kind != LineKind::Payout {
            let sum = batches.entry(key).or_default();
            for (sum, amount) in sum.iter_mut().zip([line.gross.amount_minor, line.fee_minor, line.net_minor]) {
                *sum = sum.checked_add(amount).ok_or_else(too_large)?;
            }
        }
        kept.push(line_row(workspace, settlement, number, line, outcome, subject));
    }
    tx.execute_columns(&sql::INSERT_LINE, &kept).await?;
    if tx.execute_columns(&sql::MATCH_EXPECTED, &taken).await? != taken.len() as u64 {
        // Another unit matched one of them in between.
        return Err(tx.overtaken().into());
    }
    let now = tx.now();
    for subject in found_after_all {
        let words = format!("found in {settlement}");
        tx.execute(&sql::FOUND_AFTER_ALL, params![&workspace, subject, &words, now]).await?;
    }
    for ((batch, currency), [gross, fee, net]) in batches {
        let currency = currency.to_string();
        tx.execute(&sql::ADD_BATCH, params![&workspace, &settlement, batch, &currency, &provider, gross, fee, net]).await?;
    }
    for ((batch, currency), sum) in sums {
        let cause = format!("{settlement}\n{before}\n{batch}");
        let moved = transfers(&cause, provider, currency, &sum, &Place::Differences);
        post(tx, workspace, &format!("settlement:{settlement}"), moved).await?;
    }
    Ok(Booked { matched, exceptions, is_overtaken: false })
}

fn too_large() -> PaymentError {
    PaymentError::field("body", "holds amounts that no sum can hold")
}

/// Several lines that each say less than was expected of one thing are one thing in several parts.
async fn several(
    tx: &mut Tx,
    workspace: WorkspaceId,
    kind: ExceptionKind,
    subject: Option<&str>,
    parts: &mut HashSet<String>,
) -> Result<ExceptionKind, PaymentError> {
    let (ExceptionKind::Under, Some(subject)) = (kind, subject) else { return Ok(kind) };
    let is_known = !parts.insert(subject.to_owned());
    let under = ExceptionKind::Under.as_str();
    let before = tx.row(&sql::OPEN_OF_SUBJECT, params![&workspace, subject, under], |row| row.id::<ExceptionId>("id")).await?;
    Ok(if is_known || before.is_some() { ExceptionKind::Split } else { kind })
}

fn line_row(
    workspace: WorkspaceId,
    settlement: SettlementId,
    number: i64,
    line: &ReportLine,
    outcome: &str,
    subject: Option<&str>,
) -> Vec<P<'static>> {
    let (currency, batch) = (line.gross.currency.to_string(), line.batch.as_deref().unwrap_or_default());
    let subject = subject.map(str::to_owned);
    row_params![
        workspace,
        settlement,
        number,
        kind_word(line.kind),
        line.reference,
        line.provider_ref,
        batch,
        currency,
        line.gross.amount_minor,
        line.fee_minor,
        line.net_minor,
        line.at,
        outcome,
        subject
    ]
}

/// What is known of the names in these lines: our own first, and what is left by the attempt, then by the provider's names.
pub(super) async fn known(
    tx: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    lines: &[ReportLine],
) -> Result<Known, PaymentError> {
    let mut known = Known::default();
    let names: HashSet<&str> = lines.iter().filter_map(|line| line.reference.as_deref()).collect();
    learn(tx, workspace, provider, &mut known, &names, lines).await?;
    let theirs: HashSet<&str> = unknown(&known, lines).filter_map(|line| line.provider_ref.as_deref()).collect();
    if theirs.is_empty() {
        return Ok(known);
    }
    let named = tx
        .rows(&sql::KNOW_NAMES, params![&workspace, &provider, list(theirs)], |row| {
            Ok((row.get::<String>("reference")?, row.get::<String>("subject")?))
        })
        .await?;
    known.named = named.into_iter().collect::<HashMap<_, _>>();
    let ours: Vec<String> = known.named.values().cloned().collect();
    let ours: HashSet<&str> = ours.iter().map(String::as_str).collect();
    learn(tx, workspace, provider, &mut known, &ours, lines).await?;
    Ok(known)
}

async fn learn(
    tx: &mut impl Reads,
    workspace: WorkspaceId,
    provider: ProviderId,
    known: &mut Known,
    names: &HashSet<&str>,
    lines: &[ReportLine],
) -> Result<(), PaymentError> {
    if names.is_empty() {
        return Ok(());
    }
    for found in expected(tx, workspace, provider, list(names.iter().copied())).await? {
        known.expected.insert(found.subject.clone(), found);
    }
    // A line may name the attempt where a capture or a refund of it is meant.
    let whole: HashSet<&str> = unknown(known, lines).filter_map(|line| line.reference.as_deref()).collect();
    let named = known.named.values().map(String::as_str);
    // What was told before, or is told otherwise or twice here, may be told again where it came back, or where more came.
    let mut told: HashMap<(&str, LineKind), usize> = HashMap::new();
    for line in lines {
        *told.entry((line.reference.as_deref().unwrap_or_default(), line.kind)).or_default() += 1;
    }
    let again = lines.iter().filter_map(|line| line.reference.as_deref().map(|name| (line, name))).filter(|(line, name)| {
        line.kind == LineKind::Refund && line.gross.amount_minor > 0
            || told.get(&(*name, line.kind)).is_some_and(|times| *times > 1)
            || known.expected.get(*name).is_some_and(|expected| expected.is_matched || expected.amount != line.gross)
    });
    let again: Vec<&str> = again.map(|(_, name)| name).collect();
    let attempts: HashSet<&str> = whole.into_iter().chain(named).chain(again).filter(|name| names.contains(name)).collect();
    if attempts.is_empty() {
        return Ok(());
    }
    for found in tx.rows(&sql::KNOW_PARTS, params![&workspace, &provider, list(attempts)], sql::expected).await? {
        if let Some(attempt) = &found.attempt {
            known.of_attempt.entry(attempt.clone()).or_default().push(found.subject.clone());
        }
        known.expected.insert(found.subject.clone(), found);
    }
    Ok(())
}

/// Lines of which nothing of their kind is known yet.
fn unknown<'l>(known: &Known, lines: &'l [ReportLine]) -> impl Iterator<Item = &'l ReportLine> {
    let is_known = |name: &str, kind: LineKind| {
        let of_kind = |subject: &str| known.expected.get(subject).is_some_and(|expected| expected.kind == kind);
        of_kind(name) || known.of_attempt.get(name).is_some_and(|parts| parts.iter().any(|part| of_kind(part)))
    };
    let missing: Vec<&ReportLine> = lines
        .iter()
        .filter(|line| line.kind != LineKind::Fee && !line.reference.as_deref().is_some_and(|name| is_known(name, line.kind)))
        .collect();
    missing.into_iter()
}

/// An exception that is opened.
pub(super) struct Opened<'a> {
    pub(super) provider: ProviderId,
    pub(super) kind: ExceptionKind,
    pub(super) settlement: Option<SettlementId>,
    pub(super) line: Option<(i64, &'a ReportLine)>,
    pub(super) about: Option<&'a Expected>,
    pub(super) note: Option<&'a str>,
}

pub(super) async fn open(tx: &mut Tx, workspace: WorkspaceId, new: &Opened<'_>) -> Result<ExceptionId, PaymentError> {
    let (id, now) = (tx.new_id::<ExceptionId>(), tx.now());
    let line = new.line.map(|(_, line)| line);
    let currency = line.map(|line| line.gross.currency).or(new.about.map(|about| about.amount.currency));
    let currency = currency.map(|currency| currency.to_string()).unwrap_or_default();
    tx.execute(
        &sql::INSERT_EXCEPTION,
        params![
            &workspace,
            &id,
            &new.provider,
            new.kind.as_str(),
            new.settlement,
            new.line.map(|(number, _)| number),
            new.about.map(|about| about.subject.as_str()),
            new.about.map(|about| about.owner.as_str()),
            line.and_then(|line| line.reference.as_deref()),
            line.and_then(|line| line.provider_ref.as_deref()),
            line.and_then(|line| line.batch.as_deref()),
            &currency,
            new.about.map(|about| about.amount.amount_minor),
            line.map(|line| line.gross.amount_minor),
            new.note,
            now
        ],
    )
    .await?;
    Ok(id)
}

/// Opens an exception for each expectation that is past its date and was in no report; says how many it looked at, at most
/// 500, so that whoever asks knows whether there are more. `settlement` is the report that should have said it, if one did.
pub(crate) async fn look_for_missing(
    tx: &mut Tx,
    workspace: WorkspaceId,
    provider: ProviderId,
    rules: Rules,
    settlement: Option<&Settlement>,
) -> Result<i64, PaymentError> {
    let days = u64::try_from(rules.settles_within_days).unwrap_or_default();
    let usual = tx.now().minus(Duration::from_secs(days.saturating_mul(86_400)));
    let until = settlement.and_then(|settlement| settlement.covers_until).map_or(usual, |covered| covered.max(usual));
    let due = tx.rows(&sql::DUE_EXPECTED, params![&workspace, &provider, until, MISSING_AT_ONCE], sql::expected).await?;
    let mut opened = 0_i64;
    for expected in &due {
        // Something that is not right is said of it in a report already: nobody needs to be told twice.
        let marked = tx.execute(&sql::MARK_MISSING, params![&workspace, &expected.subject]).await?;
        if marked == 1 && !is_in_a_report(tx, workspace, expected).await? {
            let of = settlement.map(|settlement| settlement.id);
            let new = Opened { provider, kind: ExceptionKind::Missing, settlement: of, line: None, about: Some(expected), note: None };
            open(tx, workspace, &new).await?;
            opened += 1;
        }
    }
    if let Some(settlement) = settlement.filter(|_| opened > 0) {
        tx.execute(&sql::COUNT_MISSING, params![&workspace, &settlement.id, opened]).await?;
    }
    Ok(i64::try_from(due.len()).unwrap_or(i64::MAX))
}

async fn is_in_a_report(tx: &mut Tx, workspace: WorkspaceId, expected: &Expected) -> Result<bool, PaymentError> {
    let kinds = [ExceptionKind::Under, ExceptionKind::Over, ExceptionKind::CurrencyMismatch, ExceptionKind::FeeMismatch];
    for kind in kinds.into_iter().chain([ExceptionKind::Split, ExceptionKind::Unbalanced]) {
        if tx
            .row(&sql::OPEN_OF_SUBJECT, params![&workspace, &expected.subject, kind.as_str()], |row| row.id::<ExceptionId>("id"))
            .await?
            .is_some()
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Every line of the report is booked.
pub(crate) async fn finish(tx: &mut Tx, workspace: WorkspaceId, id: SettlementId) -> Result<(), PaymentError> {
    let (now, note) = (tx.now(), None::<&str>);
    tx.execute(&sql::FINISH_SETTLEMENT, params![&workspace, &id, "done", note, now]).await?;
    Ok(())
}

/// The report cannot be booked any further; what is booked stays.
pub(crate) async fn fail(tx: &mut Tx, workspace: WorkspaceId, id: SettlementId, why: &str) -> Result<(), PaymentError> {
    let now = tx.now();
    tx.execute(&sql::FINISH_SETTLEMENT, params![&workspace, &id, "failed", why, now]).await?;
    Ok(())
}
