//! Exceptions of settlement: what did not match, in plain words, and what can be done about it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Path, Problem, Query};
use http::StatusCode;
use kernel::{Currency, Id, Money, Timestamp};
use payments::commands::settlement::{self as commands, Action};
use payments::queries::settlement::{self as queries, ExceptionFilter};
use payments::settlement::{Done as Act, Exception, ExceptionId, ExceptionKind, SettlementId};
use payments::{IntentId, PaymentError, ProviderRecord, grants};
use serde::Deserialize;

use super::super::frame::{Done, Frame, Names, Owner, When, page_with, query};
use super::settlement::{name_of, refused};
use super::{TABS, amount};
use crate::installation::Parts;

/// How many exceptions a page shows; each has its history and its forms.
const EXCEPTIONS_SHOWN: usize = 20;
/// Which are looked at: word and label.
const STATES: [(&str, &str); 3] = [("", "Open"), ("resolved", "Worked off"), ("all", "All")];

/// What sort of difference it is: in a few words, and in a sentence.
const fn told(kind: ExceptionKind) -> (&'static str, &'static str) {
    match kind {
        ExceptionKind::Missing => ("Missing", "It was expected, its day has passed, and no report says it."),
        ExceptionKind::Extra => ("Not known here", "The report says it, and nothing of ours is like it."),
        ExceptionKind::Over => ("More than expected", "The report says more than was expected."),
        ExceptionKind::Under => ("Less than expected", "The report says less than was expected."),
        ExceptionKind::CurrencyMismatch => ("Another currency", "It came in another currency than was expected."),
        ExceptionKind::FeeMismatch => ("Fee too high", "The provider kept more than its rule allows."),
        ExceptionKind::Duplicate => ("Said twice", "The same thing stood in a report before."),
        ExceptionKind::Split => ("Split or put together", "One thing stands in several lines, or several things in one."),
        ExceptionKind::Unbalanced => ("Does not add up", "The gross amount is not the fee and the net amount."),
        ExceptionKind::Posting => ("Not in the books", "The ledger does not hold what the payment moved: correct the ledger first."),
    }
}

/// Something that can be done: word of the action, label, and what follows from it.
type Choice = (&'static str, &'static str, &'static str);

const EDIT: Choice = ("edit", "Say what it is about", "The line is about another payment, refund or payout of ours.");
const CREATE: Choice = ("create", "Set the money aside", "The money is real and nobody knows whose: it waits in the quarantine account.");
const REPLACE: Choice = ("replace", "Enter a correction", "The provider corrected the line: these are its amounts.");
const RECEIVED: Choice = ("mark_received", "Take it as received", "The money came although no report says so.");
const ACCEPTED: Choice = ("mark_received", "Accept it", "It is right as the provider says it.");
const WRITE_OFF: Choice = ("write_off", "Write it off", "The difference goes to the account of differences. A large one takes two people.");

/// What can be done about an exception; what cannot be is refused by the verb in any case.
fn choices(exception: &Exception) -> &'static [Choice] {
    match (exception.kind, exception.line.is_some()) {
        (ExceptionKind::Missing, _) => &[RECEIVED, WRITE_OFF],
        (ExceptionKind::Extra | ExceptionKind::Duplicate | ExceptionKind::Split, true) => &[EDIT, CREATE, REPLACE, WRITE_OFF],
        (ExceptionKind::Over | ExceptionKind::Under | ExceptionKind::CurrencyMismatch, true) => &[EDIT, REPLACE, WRITE_OFF],
        (ExceptionKind::CurrencyMismatch, false) => &[ACCEPTED],
        (ExceptionKind::FeeMismatch, _) => &[ACCEPTED, REPLACE, WRITE_OFF],
        (ExceptionKind::Unbalanced, _) => &[REPLACE],
        _ => &[WRITE_OFF],
    }
}

/// An action as its form shows it.
struct Way {
    word: &'static str,
    label: &'static str,
    what: &'static str,
    is_open: bool,
    has_fee: bool,
}

/// Something that was done about it.
struct Past {
    what: &'static str,
    reason: String,
    who: String,
    at: When,
}

impl Past {
    fn new(act: &Act, names: &Names) -> Self {
        let what = match act.action.as_str() {
            "edit" => "Said what it is about",
            "create" => "Set aside",
            "replace" => "Corrected",
            "mark_received" => "Taken as it is",
            _ => "Write-off asked for",
        };
        Self { what, reason: act.reason.clone(), who: names.actor(&act.actor), at: When(act.at) }
    }
}

/// An exception as it is shown.
struct Part {
    id: String,
    version: i64,
    label: &'static str,
    what: &'static str,
    note: String,
    provider: String,
    expected: String,
    found: String,
    currency: String,
    names: Vec<String>,
    payment: String,
    is_open: bool,
    resolution: String,
    age: String,
    at: When,
    ways: Vec<Way>,
    past: Vec<Past>,
    waits_for_second: String,
    /// What was typed into the form that was refused.
    typed: ActForm,
}

/// How old it is, in days.
fn age(since: Timestamp, now: Timestamp) -> String {
    match now.since(since).as_secs() / 86_400 {
        0 => "since today".to_owned(),
        1 => "for 1 day".to_owned(),
        days => format!("for {days} days"),
    }
}

/// What the exceptions of a page have in common.
struct Around<'a> {
    owner: &'a Owner,
    providers: &'a [ProviderRecord],
    names: &'a Names,
    now: Timestamp,
    refused: Option<&'a (ExceptionId, ActForm)>,
}

fn part(exception: &Exception, past: &[Act], around: &Around<'_>) -> Part {
    let (label, what) = told(exception.kind);
    let figure = |minor: i64| amount::told(Money::new(minor, exception.currency));
    // An amount that was expected in another currency would be shown in the wrong one; the payment says it.
    let expected = exception.expected_minor.filter(|_| exception.kind != ExceptionKind::CurrencyMismatch);
    let typed = around.refused.filter(|(id, _)| *id == exception.id).map(|(_, form)| form.clone()).unwrap_or_default();
    let is_mine = exception.proposed_by.as_deref() == Some(around.owner.caller.actor().as_str());
    let has_waited = exception.is_open && exception.proposed.is_some();
    let waits_for_second = match (&exception.proposed_by, has_waited) {
        (Some(_), true) if is_mine => "You asked to write it off: it takes a second person who asks for the same.".to_owned(),
        (Some(who), true) => format!("{} asked to write it off: if you ask for the same, it is done.", around.names.actor(who)),
        _ => String::new(),
    };
    let can_settle = exception.is_open && around.owner.can(grants::SETTLE);
    let ways = choices(exception).iter().filter(|(word, ..)| can_settle && !(*word == "write_off" && has_waited && is_mine));
    let ways = ways.map(|&(word, label, what)| Way {
        word,
        label,
        what,
        is_open: typed.action == word,
        has_fee: exception.kind == ExceptionKind::Missing && word == "mark_received",
    });
    let known = [&exception.reference, &exception.provider_ref, &exception.batch, &exception.subject];
    let mut names: Vec<String> = known.into_iter().flatten().filter(|name| !name.is_empty()).cloned().collect();
    names.sort_unstable();
    names.dedup();
    Part {
        id: exception.id.to_string(),
        version: exception.version,
        label,
        what,
        note: exception.note.clone().unwrap_or_default(),
        provider: name_of(around.providers, exception.provider),
        expected: expected.map(figure).unwrap_or_default(),
        found: exception.got_minor.map(figure).unwrap_or_default(),
        currency: exception.currency.to_string(),
        names,
        payment: exception.owner.clone().filter(|owner| IntentId::parse(owner).is_ok()).unwrap_or_default(),
        is_open: exception.is_open,
        resolution: exception.resolution.clone().unwrap_or_else(|| "worked off".to_owned()),
        age: age(exception.created_at, around.now),
        at: When(exception.resolved_at.unwrap_or(exception.created_at)),
        ways: ways.collect(),
        past: past.iter().map(|act| Past::new(act, around.names)).collect(),
        waits_for_second,
        typed,
    }
}

#[derive(Template)]
#[template(path = "payments_exceptions.html")]
struct ExceptionsPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    states: Vec<(&'static str, &'static str, String)>,
    state: &'static str,
    parts: Vec<Part>,
    after: String,
    settlement: String,
    first_href: String,
    next_href: String,
    once: String,
}

/// Which exceptions are looked at; words that mean nothing are as good as absent.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    state: Option<String>,
    settlement: Option<String>,
    after: Option<String>,
}

impl Asked {
    fn state(&self) -> &'static str {
        STATES.iter().find(|(word, _)| Some(*word) == self.state.as_deref()).map_or("", |(word, _)| word)
    }

    fn settlement(&self) -> Option<SettlementId> {
        self.settlement.as_deref().and_then(|text| SettlementId::parse(text).ok())
    }

    fn href(&self, state: &str, after: &str) -> String {
        let settlement = self.settlement().map(|id| id.to_string()).unwrap_or_default();
        match query(&[("state", state), ("settlement", &settlement), ("after", after)]) {
            empty if empty.is_empty() => "/payments/settlement/exceptions".to_owned(),
            query => format!("/payments/settlement/exceptions?{query}"),
        }
    }
}

async fn compose(parts: &Parts, owner: &Owner, asked: Asked, refused: Option<&(ExceptionId, ActForm)>) -> Result<ExceptionsPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let state = asked.state();
    let is_open = match state {
        "" => Some(true),
        "resolved" => Some(false),
        _ => None,
    };
    let filter = ExceptionFilter { is_open, settlement: asked.settlement(), ..ExceptionFilter::default() };
    let before = asked.after.as_deref().and_then(|text| ExceptionId::parse(text).ok());
    let mut reads = parts.store.read();
    let mut found = queries::exceptions(&mut reads, workspace, &filter, before, EXCEPTIONS_SHOWN as i64 + 1).await?;
    let has_more = found.len() > EXCEPTIONS_SHOWN;
    found.truncate(EXCEPTIONS_SHOWN);
    let providers = payments::queries::providers(&mut reads, workspace).await?;
    let mut pasts = Vec::with_capacity(found.len());
    for exception in &found {
        pasts.push(queries::actions(&mut reads, workspace, exception.id).await?);
    }
    drop(reads);
    let names = owner.names(parts).await?;
    let around = Around { owner, providers: &providers, names: &names, now: parts.store.clock().now(), refused };
    let next = found.last().filter(|_| has_more).map(|last| last.id.to_string());
    Ok(ExceptionsPage {
        frame: owner.frame("payments", "Differences").shaped(""),
        tabs: TABS,
        here: "/settlement",
        states: STATES.iter().map(|(word, label)| (*word, *label, asked.href(word, ""))).collect(),
        state,
        parts: found.iter().zip(&pasts).map(|(exception, past)| part(exception, past, &around)).collect(),
        after: before.map(|id| id.to_string()).unwrap_or_default(),
        settlement: asked.settlement().map(|id| id.to_string()).unwrap_or_default(),
        first_href: asked.href(state, ""),
        next_href: next.map(|next| asked.href(state, &next)).unwrap_or_default(),
        once: owner.once(parts),
    })
}

/// `GET /payments/settlement/exceptions`
pub(super) async fn list(
    State(parts): State<Parts>,
    owner: Owner,
    Query(asked): Query<Asked>,
    Query(done): Query<Done>,
) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner, asked, None).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

/// What was typed about an exception.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct ActForm {
    version: i64,
    #[serde(default)]
    action: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    subject: String,
    #[serde(default)]
    gross: String,
    #[serde(default)]
    fee: String,
    #[serde(default)]
    net: String,
    settlement: Option<String>,
    after: Option<String>,
    once: Option<String>,
}

/// Reads an amount that may be zero, or below zero for what was given back.
fn signed(field: &str, text: &str, currency: Currency) -> Result<i64, PaymentError> {
    let (sign, figure) = text.trim().strip_prefix(['-', '−']).map_or((1, text.trim()), |figure| (-1, figure));
    if !figure.is_empty() && figure.bytes().any(|byte| byte == b'0') && figure.bytes().all(|byte| matches!(byte, b'0' | b'.' | b',')) {
        return Ok(0);
    }
    let minor = amount::parse(figure, currency);
    minor.map(|minor| sign * minor).map_err(|_| {
        PaymentError::field(
            field,
            format!("must be an amount without separators of thousands, such as {}", amount::figure(1_250, currency)),
        )
    })
}

impl ActForm {
    fn parsed(&self, currency: Currency) -> Result<Action, PaymentError> {
        let fee = || if self.fee.trim().is_empty() { Ok(0) } else { signed("fee", &self.fee, currency) };
        match self.action.as_str() {
            "edit" => match self.subject.trim() {
                subject if !subject.is_empty() && subject.len() <= 200 => Ok(Action::Edit { subject: subject.to_owned() }),
                _ => Err(PaymentError::field("subject", "must name a payment, attempt, capture, refund or payout")),
            },
            "create" => Ok(Action::Create),
            "replace" => Ok(Action::Replace {
                gross_minor: signed("gross", &self.gross, currency)?,
                fee_minor: fee()?,
                net_minor: signed("net", &self.net, currency)?,
            }),
            "mark_received" => Ok(Action::MarkReceived { fee_minor: fee()? }),
            "write_off" => Ok(Action::WriteOff),
            _ => Err(PaymentError::field("action", "must be chosen")),
        }
    }
}

/// `POST /payments/settlement/exceptions/{id}`: works on an exception.
pub(super) async fn act(
    State(parts): State<Parts>,
    owner: Owner,
    Path(id): Path<String>,
    Form(form): Form<ActForm>,
) -> Result<Response, Problem> {
    let workspace = owner.may(grants::SETTLE)?;
    let id = ExceptionId::parse(&id).map_err(|_| Problem::not_found())?;
    let exception = queries::exception(&mut parts.store.read(), workspace, id).await?;
    let done = match form.parsed(exception.currency) {
        Err(error) => Err(error.into()),
        Ok(action) => {
            let call = owner.once_by(form.once.as_deref());
            let input = (id, form.version, action, form.reason.clone());
            let done = gateway::effect_done(&parts.store, &call, input, |tx, (id, version, action, reason)| {
                Box::pin(async move {
                    commands::act(tx, id, version, action, reason).await?;
                    Ok(())
                })
            });
            done.await
        }
    };
    let asked = Asked { state: None, settlement: form.settlement.clone(), after: form.after.clone() };
    match done {
        Ok(_) => {
            let after = queries::exception(&mut parts.store.read(), workspace, id).await?;
            let word = if after.is_open { "still_open" } else { "worked_off" };
            let href = asked.href("", "");
            let joint = if href.contains('?') { '&' } else { '?' };
            Ok(see_other(&format!("{href}{joint}done={word}")))
        }
        Err(problem) => {
            let (status, alert, refusal) = refused(problem)?;
            let mut page = compose(&parts, &owner, asked, Some(&(id, form))).await?;
            page.frame.alert = refusal.map_or(alert, |refusal| if refusal.is_about_fields() { refusal.all() } else { refusal.sentence() });
            page_with(&page, status)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_of_a_correction_may_be_zero_or_below() {
        let eur = Currency::parse("EUR").unwrap();
        for (text, minor) in [("12.50", 1_250), ("-12,5", -1_250), ("0", 0), ("0.00", 0), ("-0", 0), (" 3 ", 300)] {
            assert_eq!(signed("gross", text, eur).unwrap(), minor, "{text}");
        }
        for text in ["", "-", "--1", ".", "1.250", "a half"] {
            assert!(signed("gross", text, eur).is_err(), "{text}");
        }
    }
}
