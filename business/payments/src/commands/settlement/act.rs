//! Working an exception off: each action has a reason, an actor and a version, and is kept for ever.

use kernel::{Id as _, Money, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{Reads, Tx, params};

use super::book::known;
use super::{LOCK, REASON_MAX, in_window, post};
use crate::books::Place;
use crate::error::PaymentError;
use crate::intent::IntentId;
use crate::provider::ReportLine;
use crate::queries::settlement as queries;
use crate::settlement::{
    Exception, ExceptionId, ExceptionKind, Expected, Finding, Known, LINE_AMOUNT_MAX, Line, Rules, Sum, Transfer, add, find, transfers,
};
use crate::sql::settlement as sql;
use crate::{grants, text};

/// What a person does about an exception.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "do")]
pub enum Action {
    /// The line is about this attempt, capture, refund, payout or payment of ours.
    Edit {
        /// Which, by our name.
        subject: String,
    },
    /// The money of the line is real and nobody knows whose: it goes to the quarantine account.
    Create,
    /// The provider corrected the line: these are its amounts.
    Replace {
        /// What the payer paid, in minor units.
        gross_minor: i64,
        /// What the provider kept.
        fee_minor: i64,
        /// What reaches the bank.
        net_minor: i64,
    },
    /// The money came although no report says so, or the fee is accepted.
    MarkReceived {
        /// What the provider kept of it, in minor units.
        fee_minor: i64,
    },
    /// What is missing or too much goes to the account of differences.
    WriteOff,
}

impl Action {
    /// Its word in JSON and in the history.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Edit { .. } => "edit",
            Self::Create => "create",
            Self::Replace { .. } => "replace",
            Self::MarkReceived { .. } => "mark_received",
            Self::WriteOff => "write_off",
        }
    }
}

/// What an exception is about, as it stands now.
struct Scene {
    exception: Exception,
    line: Option<Line>,
    expected: Option<Expected>,
    rules: Rules,
}

fn not_here(why: &str) -> PaymentError {
    PaymentError::field("action", why)
}

/// Does `action` about an exception that the caller saw at `version`. Writing off more than one person alone may takes a
/// second one, who asks for the same.
pub async fn act(tx: &mut Tx, id: ExceptionId, version: i64, action: Action, reason: String) -> Result<Exception, PaymentError> {
    let workspace = tx.caller().may(grants::SETTLE)?;
    let exception = queries::exception(tx, workspace, id).await?;
    in_window(tx, workspace, exception.provider, None).await?;
    // Read again behind the lock: whoever held it may have changed it.
    tx.lock(LOCK, &id.to_string()).await?;
    let exception = queries::exception(tx, workspace, id).await?;
    if exception.version != version {
        return Err(PaymentError::Stale);
    }
    if !exception.is_open {
        return Err(not_here("cannot be done: this exception is worked off"));
    }
    if let Err(message) = text::optional(Some(&reason), REASON_MAX) {
        return Err(PaymentError::field("reason", message));
    }
    if reason.trim().len() < 3 {
        return Err(PaymentError::field("reason", "must say why, in at least 3 characters"));
    }
    let provider = crate::queries::provider(tx, workspace, exception.provider).await?;
    let line = match (exception.settlement, exception.line) {
        (Some(settlement), Some(number)) => tx.row(&sql::FIND_LINE, params![&workspace, &settlement, number], sql::line).await?,
        _ => None,
    };
    let expected = match &exception.subject {
        Some(subject) => tx.row(&sql::FIND_EXPECTED, params![&workspace, &exception.provider, subject], sql::expected).await?,
        None => None,
    };
    let scene = Scene { rules: Rules::of(&provider), exception, line, expected };
    let body = serde_json::to_value(&action).map_err(store::StoreError::decode)?;
    let after = match &action {
        Action::WriteOff => write_off(tx, workspace, &scene).await?,
        Action::Create => create(tx, workspace, &scene).await?,
        Action::MarkReceived { fee_minor } => received(tx, workspace, &scene, *fee_minor).await?,
        Action::Edit { subject } => edit(tx, workspace, &scene, subject).await?,
        Action::Replace { gross_minor, fee_minor, net_minor } => {
            replace(tx, workspace, &scene, [*gross_minor, *fee_minor, *net_minor]).await?
        }
    };
    keep(tx, workspace, version, &after).await?;
    let (now, actor, made) = (tx.now(), tx.caller().actor(), version + 1);
    tx.execute(&sql::INSERT_ACTION, params![&workspace, &id, made, action.as_str(), &reason, &actor, now, &body.to_string()]).await?;
    let details = json!({ "action": body, "version": made, "is_open": after.is_open });
    outbox::audit(tx, workspace, "payments.exception_worked_on", &id.to_string(), &details).await?;
    queries::exception(tx, workspace, id).await
}

async fn keep(tx: &mut Tx, workspace: WorkspaceId, version: i64, after: &Exception) -> Result<(), PaymentError> {
    let now = tx.now();
    let (state, resolved_at) = if after.is_open { ("open", None) } else { ("resolved", Some(now)) };
    if tx
        .execute(
            &sql::CHANGE_EXCEPTION,
            params![
                &workspace,
                &after.id,
                version,
                after.kind.as_str(),
                state,
                after.subject,
                after.owner,
                after.expected_minor,
                after.got_minor,
                after.proposed,
                after.proposed_by,
                after.resolution,
                resolved_at,
                now
            ],
        )
        .await?
        == 0
    {
        Err(PaymentError::Stale)
    } else {
        Ok(())
    }
}

fn resolved(exception: &Exception, how: &str) -> Exception {
    Exception { is_open: false, resolution: Some(how.to_owned()), ..exception.clone() }
}

/// Takes the line and the expectation out of what is open, and books what they come to; what is left between them goes to `rest`.
async fn settle(
    tx: &mut Tx,
    workspace: WorkspaceId,
    scene: &Scene,
    line: Option<&ReportLine>,
    expected: Option<&Expected>,
    rest: &Place,
) -> Result<(), PaymentError> {
    let exception = &scene.exception;
    let large = || not_here("cannot be done: the amounts are larger than the books take");
    let mut moved: Vec<Transfer> = Vec::new();
    let cause = exception.id.to_string();
    let same = line.zip(expected).is_some_and(|(line, expected)| line.gross.currency == expected.amount.currency);
    if let Some(line) = line {
        let promised = expected.filter(|_| same).map_or(0, |expected| expected.amount.amount_minor);
        let difference = promised.checked_sub(line.gross.amount_minor).ok_or_else(large)?;
        let mut sum = Sum::default();
        add(&mut sum, line, difference).ok_or_else(large)?;
        moved.extend(transfers(&cause, exception.provider, line.gross.currency, &sum, rest));
    }
    if let Some(expected) = expected.filter(|_| !same) {
        let sum = Sum { difference_minor: expected.amount.amount_minor, ..Sum::default() };
        moved.extend(transfers(&format!("{cause}\nexpected"), exception.provider, expected.amount.currency, &sum, rest));
    }
    if let Some(expected) = expected {
        // The line that it is matched with, or the exception itself where no report says so.
        let by = exception.settlement.filter(|_| line.is_some()).map_or_else(|| exception.id.to_string(), |id| id.to_string());
        let number = exception.line.filter(|_| line.is_some()).unwrap_or_default();
        let row = store::row_params![workspace, expected.subject, by, number];
        if tx.execute_columns(&sql::MATCH_EXPECTED, &[row]).await? == 0 {
            return Err(PaymentError::field("subject", "is matched with another line already"));
        }
        let (now, words) = (tx.now(), format!("worked off with {}", exception.id));
        // Another exception about the same thing has nothing left to say; this one is closed by its own action.
        if exception.kind != ExceptionKind::Missing {
            tx.execute(&sql::FOUND_AFTER_ALL, params![&workspace, &expected.subject, &words, now]).await?;
        }
    }
    if let Some(line) = line {
        let subject = expected.map(|expected| expected.subject.as_str());
        write_line(tx, workspace, scene, line, "worked_off", subject).await?;
    }
    post(tx, workspace, &format!("exception:{}", exception.id), moved).await
}

async fn write_line(
    tx: &mut Tx,
    workspace: WorkspaceId,
    scene: &Scene,
    line: &ReportLine,
    outcome: &str,
    subject: Option<&str>,
) -> Result<(), PaymentError> {
    let (settlement, number) = (scene.exception.settlement, scene.exception.line);
    let amounts = (line.gross.amount_minor, line.fee_minor, line.net_minor);
    tx.execute(&sql::SETTLE_LINE, params![&workspace, settlement, number, outcome, subject, amounts.0, amounts.1, amounts.2]).await?;
    Ok(())
}

fn balanced(scene: &Scene) -> Result<Option<&ReportLine>, PaymentError> {
    let Some(line) = &scene.line else { return Ok(None) };
    let line = &line.line;
    if line.fee_minor.checked_add(line.net_minor) == Some(line.gross.amount_minor) {
        Ok(Some(line))
    } else {
        Err(not_here("cannot be done: gross is not fee and net; replace the line's amounts first"))
    }
}

async fn write_off(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene) -> Result<Exception, PaymentError> {
    let exception = &scene.exception;
    let line = balanced(scene)?;
    // What was matched since has its money: only the line is left.
    let expected = scene.expected.as_ref().filter(|expected| !expected.is_matched && exception.kind != ExceptionKind::Posting);
    let promised = expected.map_or(0, |expected| expected.amount.amount_minor);
    let at_stake = match (line, expected) {
        (Some(line), Some(expected)) if line.gross.currency != expected.amount.currency => {
            promised.abs().max(line.gross.amount_minor.abs())
        }
        (Some(line), _) => promised.saturating_sub(line.gross.amount_minor).saturating_abs(),
        (None, Some(_)) => promised.saturating_abs(),
        (None, None) => exception.expected_minor.unwrap_or(0).saturating_sub(exception.got_minor.unwrap_or(0)).saturating_abs(),
    };
    let actor = tx.caller().actor();
    if at_stake > scene.rules.write_off_alone_max_minor {
        let proposed = exception.proposed.as_deref() == Some(Action::WriteOff.as_str());
        if !proposed {
            let (proposed, proposed_by) = (Some(Action::WriteOff.as_str().to_owned()), Some(actor));
            return Ok(Exception { proposed, proposed_by, ..exception.clone() });
        }
        if exception.proposed_by.as_deref() == Some(actor.as_str()) {
            return Err(not_here("needs a second person: you have asked for it already"));
        }
    }
    match (line, expected, exception.kind) {
        (None, _, ExceptionKind::Posting) => {}
        (None, None, _) => of_bank(tx, workspace, exception).await?,
        (line, expected, _) => settle(tx, workspace, scene, line, expected, &Place::Differences).await?,
    }
    Ok(resolved(exception, "written off"))
}

/// What the bank brought less, or more, than the batch comes to.
async fn of_bank(tx: &mut Tx, workspace: WorkspaceId, exception: &Exception) -> Result<(), PaymentError> {
    let (Some(promised), Some(came)) = (exception.expected_minor, exception.got_minor) else { return Ok(()) };
    if exception.kind == ExceptionKind::CurrencyMismatch {
        return Err(not_here("cannot be done: the bank changed the currency; enter the exchange in the ledger, then mark it received"));
    }
    let missing = promised.checked_sub(came).ok_or_else(|| not_here("cannot be done: the amounts are too large"))?;
    let (debit, credit) = if missing > 0 { (Place::Differences, Place::Bank) } else { (Place::Bank, Place::Differences) };
    let amount = Money::new(missing.saturating_abs(), exception.currency);
    let transfer = Transfer { id: exception.id.raw(), debit, credit, amount, memo: "difference at the bank" };
    post(tx, workspace, &format!("exception:{}", exception.id), vec![transfer]).await
}

async fn create(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene) -> Result<Exception, PaymentError> {
    if !matches!(scene.exception.kind, ExceptionKind::Extra | ExceptionKind::Duplicate | ExceptionKind::Split) {
        return Err(not_here("cannot be done: only a line that is not known here can be created"));
    }
    let Some(line) = balanced(scene)? else { return Err(not_here("cannot be done: there is no line")) };
    settle(tx, workspace, scene, Some(line), None, &Place::Quarantine).await?;
    Ok(resolved(&scene.exception, "created: the money waits in the quarantine account"))
}

async fn received(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene, fee_minor: i64) -> Result<Exception, PaymentError> {
    let exception = &scene.exception;
    let open = scene.expected.as_ref().filter(|expected| !expected.is_matched);
    match (exception.kind, open, balanced(scene)?) {
        (ExceptionKind::Missing, Some(expected), None) => {
            let gross = expected.amount;
            if fee_minor.unsigned_abs() > gross.amount_minor.unsigned_abs() {
                return Err(PaymentError::field("fee_minor", "must be at most the amount"));
            }
            let net_minor = gross.amount_minor.checked_sub(fee_minor).ok_or_else(|| PaymentError::field("fee_minor", "is too large"))?;
            let line =
                ReportLine { kind: expected.kind, reference: None, provider_ref: None, batch: None, gross, fee_minor, net_minor, at: None };
            let mut sum = Sum::default();
            add(&mut sum, &line, 0).ok_or_else(|| PaymentError::field("fee_minor", "is too large"))?;
            let (row, cause) = (store::row_params![workspace, expected.subject, exception.id, 0_i64], exception.id.to_string());
            if tx.execute_columns(&sql::MATCH_EXPECTED, &[row]).await? == 0 {
                return Err(PaymentError::field("subject", "is matched with a line already"));
            }
            let moved = transfers(&cause, exception.provider, gross.currency, &sum, &Place::Differences);
            post(tx, workspace, &format!("exception:{}", exception.id), moved).await?;
        }
        (ExceptionKind::FeeMismatch, Some(expected), Some(line)) => {
            settle(tx, workspace, scene, Some(line), Some(expected), &Place::Differences).await?;
        }
        // The bank's own difference was entered elsewhere.
        (ExceptionKind::CurrencyMismatch, None, None) if exception.batch.is_some() => {}
        _ => return Err(not_here("cannot be done: only what is missing, or a fee, can be marked as received")),
    }
    Ok(resolved(exception, "marked as received"))
}

/// Judges the line again, now that something about it has changed.
async fn again(
    tx: &mut Tx,
    workspace: WorkspaceId,
    scene: &Scene,
    line: &ReportLine,
    known: &Known,
    how: &str,
) -> Result<Exception, PaymentError> {
    let exception = Exception { got_minor: Some(line.gross.amount_minor), proposed: None, proposed_by: None, ..scene.exception.clone() };
    match find(&[line], known, &scene.rules).into_iter().next() {
        Some(Finding::Matched(found)) => {
            let expected = known.expected.get(&found.subject);
            settle(tx, workspace, scene, Some(line), expected, &Place::Differences).await?;
            let owner = expected.map(|expected| expected.owner.clone());
            Ok(resolved(&Exception { subject: Some(found.subject), owner, ..exception }, how))
        }
        Some(Finding::Exception { kind, subject }) => {
            write_line(tx, workspace, scene, line, kind.as_str(), subject.as_deref()).await?;
            let about = subject.as_deref().and_then(|subject| known.expected.get(subject));
            let (owner, expected_minor) = (about.map(|about| about.owner.clone()), about.map(|about| about.amount.amount_minor));
            Ok(Exception { kind, subject, owner, expected_minor, ..exception })
        }
        Some(Finding::Fee) | None => {
            settle(tx, workspace, scene, Some(line), None, &Place::Differences).await?;
            Ok(resolved(&exception, how))
        }
    }
}

async fn edit(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene, subject: &str) -> Result<Exception, PaymentError> {
    let Some(line) = balanced(scene)? else { return Err(not_here("cannot be done: there is no line that could be about something else")) };
    let mut names = vec![subject.to_owned()];
    if let Ok(intent) = IntentId::parse(subject) {
        let intent = crate::queries::get(tx, workspace, intent).await?;
        names = intent.attempts.iter().map(|attempt| attempt.id.to_string()).collect();
        names.extend(intent.refunds.iter().map(|refund| refund.id.to_string()));
    }
    let named: Vec<ReportLine> =
        names.into_iter().map(|name| ReportLine { reference: Some(name), provider_ref: None, ..line.clone() }).collect();
    let known = known(tx, workspace, scene.exception.provider, &named).await?;
    let is_of = |named: &&ReportLine| {
        !matches!(find(&[named], &known, &scene.rules).first(), None | Some(Finding::Exception { kind: ExceptionKind::Extra, .. }))
    };
    let Some(line) = named.iter().find(is_of) else {
        return Err(PaymentError::field("subject", "is nothing of this kind that this provider was expected to report"));
    };
    if let Some(Finding::Exception { kind: ExceptionKind::Duplicate, .. }) = find(&[line], &known, &scene.rules).first() {
        return Err(PaymentError::field("subject", "is matched with another line already"));
    }
    again(tx, workspace, scene, line, &known, "mapped by hand").await
}

async fn replace(tx: &mut Tx, workspace: WorkspaceId, scene: &Scene, amounts: [i64; 3]) -> Result<Exception, PaymentError> {
    let [gross, fee_minor, net_minor] = amounts;
    let (Some(old), Some(settlement)) = (&scene.line, scene.exception.settlement) else {
        return Err(not_here("cannot be done: there is no line that could be replaced"));
    };
    for (field, amount) in [("gross_minor", gross), ("fee_minor", fee_minor), ("net_minor", net_minor)] {
        if amount.unsigned_abs() > LINE_AMOUNT_MAX.unsigned_abs() {
            return Err(PaymentError::field(field, format!("must be at most {LINE_AMOUNT_MAX}")));
        }
    }
    if fee_minor.checked_add(net_minor) != Some(gross) {
        return Err(PaymentError::field("net_minor", "must be gross_minor less fee_minor"));
    }
    let old = &old.line;
    let line = ReportLine { gross: Money::new(gross, old.gross.currency), fee_minor, net_minor, ..old.clone() };
    let (batch, currency) = (old.batch.as_deref().unwrap_or_default(), old.gross.currency.to_string());
    let by = [gross - old.gross.amount_minor, fee_minor - old.fee_minor, net_minor - old.net_minor];
    let provider = scene.exception.provider;
    tx.execute(&sql::ADD_BATCH, params![&workspace, &settlement, batch, &currency, &provider, by[0], by[1], by[2]]).await?;
    let mut named = line.clone();
    // What a person mapped it to stays.
    named.reference = scene.exception.subject.clone().or(named.reference);
    let known = known(tx, workspace, provider, std::slice::from_ref(&named)).await?;
    again(tx, workspace, scene, &named, &known, "replaced by the provider's correction").await
}
