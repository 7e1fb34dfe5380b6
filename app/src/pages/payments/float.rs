//! The money for payouts at the providers, what arrived there, and what the workspace says about payouts: limits, weekends, cool-off.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::page::see_other;
use gateway::{Form, Problem, Query};
use http::StatusCode;
use kernel::{Currency, FieldFault, Id, Money, WorkspaceId};
use payments::{Float, PaymentError, PayoutSettings, ProviderId, ProviderRecord, commands, grants, queries};
use risk::{AppliesTo, Condition, NewRule, Outcome, RULES_MAX, RuleEdit, RuleId};
use serde::Deserialize;
use store::{Reads, StoreError, Tx};

use super::super::frame::{Done, Frame, Owner, Refusal, When, mendable, page_with, sentence};
use super::settlement::name_of;
use super::{TABS, amount};
use crate::installation::Parts;

/// Empty lines for limits that the form offers.
const SPARE_LINES: usize = 2;
/// What the rule of the cool-off is called, and where it stands among others.
const RULE_NAME: &str = "Cool-off after a change of a beneficiary's account";
const RULE_PRIORITY: i64 = 100;

/// The rule that watches payouts to accounts that changed.
pub(super) struct CoolOff {
    id: RuleId,
    version: i64,
    /// For how many hours.
    pub hours: i64,
    /// Whether it is in force.
    pub is_in_force: bool,
}

/// The cool-off of a workspace: of several rules the longest that is in force.
pub(super) async fn cool_off(reads: &mut impl Reads, workspace: WorkspaceId) -> Result<Option<CoolOff>, StoreError> {
    let rules = risk::queries::rules(reads, workspace, None, RULES_MAX).await?;
    let found = rules.into_iter().filter(|rule| rule.terms.applies_to != AppliesTo::PaymentAttempt).filter_map(|rule| {
        let Condition::CoolOff { hours } = rule.terms.condition else { return None };
        Some(CoolOff { id: rule.id, version: rule.version, hours, is_in_force: rule.terms.is_enabled })
    });
    Ok(found.max_by_key(|rule| (rule.is_in_force, rule.hours)))
}

/// The money at one provider in one currency.
struct Row {
    provider_id: String,
    provider: String,
    currency: String,
    ours: String,
    reserved: String,
    free: String,
    theirs: String,
    difference: String,
    at: Option<When>,
    can_ask: bool,
}

impl Row {
    fn new(float: &Float, providers: &[ProviderRecord]) -> Self {
        let figure = |minor: i64| amount::figure(minor, float.currency);
        let provider = providers.iter().find(|known| known.id == float.provider);
        Self {
            provider_id: float.provider.to_string(),
            provider: name_of(providers, float.provider),
            currency: float.currency.to_string(),
            ours: figure(float.ours_minor),
            reserved: figure(float.reserved_minor),
            free: figure(float.ours_minor.saturating_sub(float.reserved_minor)),
            theirs: float.check.map(|check| figure(check.theirs_minor)).unwrap_or_default(),
            difference: match float.check.map(|check| check.difference_minor()) {
                None | Some(0) => String::new(),
                Some(minor) if minor > 0 => format!("+{}", figure(minor)),
                Some(minor) => figure(minor),
            },
            at: float.check.map(|check| When(check.checked_at)),
            can_ask: provider.is_some_and(|known| known.dialect.provider().abilities().tells_float),
        }
    }
}

/// What was typed about money that arrived at a provider.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct TopUpForm {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    amount: String,
    #[serde(default)]
    currency: String,
    once: Option<String>,
}

#[derive(Default)]
struct TopUpErrors {
    provider: String,
    amount: String,
    currency: String,
}

/// What was typed about payouts.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct SettingsForm {
    #[serde(default)]
    version: i64,
    /// A currency and its limit in each line.
    #[serde(default)]
    currency: Vec<String>,
    #[serde(default)]
    limit: Vec<String>,
    #[serde(default)]
    weekends: Option<String>,
    #[serde(default)]
    offset: String,
    #[serde(default)]
    hours: String,
}

#[derive(Default)]
struct SettingsErrors {
    limits: String,
    offset: String,
    hours: String,
}

#[derive(Template)]
#[template(path = "payments_float.html")]
struct FloatPage {
    frame: Frame,
    tabs: &'static [(&'static str, &'static str)],
    here: &'static str,
    rows: Vec<Row>,
    providers: Vec<(String, String)>,
    can_manage: bool,
    can_rule: bool,
    once: String,
    top_up: TopUpForm,
    top_up_errors: TopUpErrors,
    settings: SettingsForm,
    lines: Vec<(String, String)>,
    errors: SettingsErrors,
}

/// By how much the days of the workspace begin before those of UTC, as `+01:00`.
fn offset_of(minutes: i64) -> String {
    let sign = if minutes < 0 { '-' } else { '+' };
    format!("{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
}

/// Reads `+01:00`, `-3:30` or nothing, which is UTC.
fn parse_offset(text: &str) -> Result<i64, FieldFault> {
    let wrong = || FieldFault::new("utc_offset_min", "must be such as +01:00, between -12:00 and +14:00");
    let text = text.trim().replace('−', "-");
    if text.is_empty() {
        return Ok(0);
    }
    let (sign, rest) = match (text.strip_prefix('-'), text.strip_prefix('+')) {
        (Some(rest), _) => (-1, rest),
        (None, Some(rest)) => (1, rest),
        (None, None) => (1, text.as_str()),
    };
    let (hours, minutes) = rest.split_once(':').ok_or_else(wrong)?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let is_number = digits.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<i64>().ok().filter(|_| is_number).ok_or_else(wrong)
    };
    let (hours, minutes) = (number(hours, 1..=2)?, number(minutes, 2..=2)?);
    let offset = sign * (hours * 60 + minutes);
    if minutes < 60 && (-720..=840).contains(&offset) { Ok(offset) } else { Err(wrong()) }
}

impl SettingsForm {
    fn of(settings: &PayoutSettings, rule: Option<&CoolOff>) -> Self {
        let limit = |(code, minor): (&String, &i64)| {
            let currency = Currency::parse(code).ok()?;
            Some((code.clone(), amount::figure(*minor, currency)))
        };
        let (currency, limit) = settings.limits.iter().filter_map(limit).unzip();
        Self {
            version: settings.version,
            currency,
            limit,
            weekends: settings.runs_on_weekends.then(|| "on".to_owned()),
            offset: offset_of(settings.utc_offset_min),
            hours: rule.filter(|rule| rule.is_in_force).map(|rule| rule.hours.to_string()).unwrap_or_default(),
        }
    }

    /// The lines of the form, with empty ones to write in.
    fn lines(&self) -> Vec<(String, String)> {
        let typed = self.currency.iter().zip(&self.limit).filter(|(currency, limit)| !(currency.is_empty() && limit.is_empty()));
        let typed = typed.map(|(currency, limit)| (currency.clone(), limit.clone()));
        typed.chain(std::iter::repeat_n((String::new(), String::new()), SPARE_LINES)).collect()
    }

    /// What it says, with the hours of the cool-off; names every field that cannot be right.
    fn parsed(&self) -> Result<(PayoutSettings, Option<i64>), PaymentError> {
        let (mut fields, mut limits) = (Vec::new(), BTreeMap::new());
        for (code, limit) in self.lines().into_iter().filter(|(currency, limit)| !(currency.is_empty() && limit.is_empty())) {
            match limit_of(&code, &limit) {
                Err(message) => fields.push(FieldFault::new("limits", message)),
                Ok((currency, minor)) => match limits.insert(currency.to_string(), minor) {
                    None => {}
                    Some(_) => fields.push(FieldFault::new("limits", format!("must name {currency} once"))),
                },
            }
        }
        let utc_offset_min = parse_offset(&self.offset).map_err(|fault| fields.push(fault)).unwrap_or_default();
        let hours = match self.hours.trim() {
            "" | "0" => None,
            text => match text.parse::<i64>().ok().filter(|hours| (1..=720).contains(hours)) {
                None => {
                    fields.push(FieldFault::new("hours", "must be a whole number of hours from 1 to 720, or empty for none"));
                    None
                }
                hours => hours,
            },
        };
        if !fields.is_empty() {
            return Err(PaymentError::Invalid { fields });
        }
        let settings = PayoutSettings { version: self.version, limits, runs_on_weekends: self.weekends.is_some(), utc_offset_min };
        Ok((settings, hours))
    }
}

/// A currency and the limit in it; zero is a limit too: then everything takes two people.
fn limit_of(code: &str, limit: &str) -> Result<(Currency, i64), String> {
    let currency = Currency::parse(&code.trim().to_ascii_uppercase());
    let currency = currency.map_err(|_| "must name currencies by three letters, such as EUR".to_owned())?;
    let is_zero = limit.contains('0') && limit.trim().bytes().all(|byte| matches!(byte, b'0' | b'.' | b','));
    let minor = if is_zero { Ok(0) } else { amount::parse(limit, currency) };
    minor.map(|minor| (currency, minor)).map_err(|message| message.replacen("must be", &format!("in {currency} must be"), 1))
}

async fn compose(parts: &Parts, owner: &Owner) -> Result<FloatPage, Problem> {
    let workspace = owner.may(grants::READ)?;
    let mut reads = parts.store.read();
    let providers = queries::providers(&mut reads, workspace).await?;
    let floats = queries::floats(&mut reads, workspace).await?;
    let settings = queries::payout_settings(&mut reads, workspace).await?;
    let rule = cool_off(&mut reads, workspace).await?;
    drop(reads);
    let rows = floats.iter().map(|float| Row::new(float, &providers)).collect();
    let paying = providers.into_iter().filter(|provider| provider.dialect.provider().abilities().pays_out);
    let settings = SettingsForm::of(&settings, rule.as_ref());
    Ok(FloatPage {
        frame: owner.frame("payments", "Float and limits").shaped(""),
        tabs: TABS,
        here: "/payouts",
        rows,
        providers: paying.map(|provider| (provider.id.to_string(), provider.name)).collect(),
        can_manage: owner.can(grants::MANAGE),
        can_rule: owner.can(risk::grants::MANAGE),
        once: owner.once(parts),
        top_up: TopUpForm::default(),
        top_up_errors: TopUpErrors::default(),
        lines: settings.lines(),
        settings,
        errors: SettingsErrors::default(),
    })
}

/// `GET /payments/float`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Query(done): Query<Done>) -> Result<Response, Problem> {
    let mut page = compose(&parts, &owner).await?;
    page.frame.done = done.sentence();
    page_with(&page, StatusCode::OK)
}

fn message(refusal: &Refusal, field: &str) -> String {
    match refusal.of(field) {
        empty if empty.is_empty() => empty,
        message => sentence(&format!("it {message}")),
    }
}

fn provider_and_currency(provider: &str, currency: &str) -> Result<(ProviderId, Currency), PaymentError> {
    let provider = ProviderId::parse(provider).map_err(|_| PaymentError::field("provider", "must be chosen"))?;
    let currency = Currency::parse(&currency.trim().to_ascii_uppercase());
    Ok((provider, currency.map_err(|_| PaymentError::field("currency", "must be three letters, such as EUR"))?))
}

impl TopUpForm {
    fn parsed(&self) -> Result<(ProviderId, Money), PaymentError> {
        let (provider, currency) = provider_and_currency(&self.provider, &self.currency)?;
        let minor = amount::parse(&self.amount, currency).map_err(|message| PaymentError::field("amount", message))?;
        Ok((provider, Money::new(minor, currency)))
    }
}

/// `POST /payments/float/top-up`: enters that the bank sent money to a provider; payouts that wait for it are tried again.
pub(super) async fn top_up(State(parts): State<Parts>, owner: Owner, Form(form): Form<TopUpForm>) -> Result<Response, Problem> {
    owner.may(grants::MANAGE)?;
    let done = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok(input) => {
            let call = owner.once_by(form.once.as_deref());
            let done = gateway::effect_done(&parts.store, &call, input, |tx, (provider, amount)| {
                Box::pin(async move {
                    commands::top_up_float(tx, provider, amount).await?;
                    Ok(())
                })
            });
            done.await
        }
    };
    let Err(problem) = done else { return Ok(see_other("/payments/float?done=topped_up")) };
    let refusal = mendable(problem)?;
    let mut page = compose(&parts, &owner).await?;
    page.frame.alert = refusal.sentence();
    let amount = Some(message(&refusal, "amount")).filter(|text| !text.is_empty()).unwrap_or_else(|| message(&refusal, "amount_minor"));
    page.top_up_errors = TopUpErrors { provider: message(&refusal, "provider"), amount, currency: message(&refusal, "currency") };
    page.top_up = form;
    page_with(&page, refusal.status())
}

/// Which float is asked about.
#[derive(Deserialize)]
pub(super) struct AskForm {
    #[serde(default)]
    provider: String,
    #[serde(default)]
    currency: String,
}

/// `POST /payments/float/ask`: has the provider asked how much is there; its word stands beside the books', and nothing is posted.
pub(super) async fn ask(State(parts): State<Parts>, owner: Owner, Form(form): Form<AskForm>) -> Result<Response, Problem> {
    owner.may(grants::MANAGE)?;
    let done = match provider_and_currency(&form.provider, &form.currency) {
        Err(error) => Err(error.into()),
        Ok(input) => {
            let done = gateway::effect_done(&parts.store, &owner.call, input, |tx, (provider, currency)| {
                Box::pin(async move { Ok(commands::compare_float(tx, provider, currency).await?) })
            });
            done.await
        }
    };
    let Err(problem) = done else { return Ok(see_other("/payments/float?done=asked")) };
    let refusal = mendable(problem)?;
    let mut page = compose(&parts, &owner).await?;
    page.frame.alert = refusal.all();
    page_with(&page, refusal.status())
}

/// Brings the rule of the cool-off to so many hours, or out of force.
async fn put_cool_off(tx: &mut Tx, workspace: WorkspaceId, hours: Option<i64>) -> Result<(), Problem> {
    match (cool_off(tx, workspace).await?, hours) {
        (None, None) => {}
        (None, Some(hours)) => {
            let rule = NewRule {
                name: RULE_NAME.to_owned(),
                applies_to: AppliesTo::Payout,
                condition: Condition::CoolOff { hours },
                outcome: Outcome::Hold,
                priority: RULE_PRIORITY,
                is_enabled: true,
            };
            risk::commands::add(tx, rule).await?;
        }
        (Some(known), hours) if hours != known.is_in_force.then_some(known.hours) => {
            let condition = hours.map(|hours| Condition::CoolOff { hours });
            let edit = RuleEdit { condition, is_enabled: Some(hours.is_some()), ..RuleEdit::default() };
            risk::commands::change(tx, known.id, known.version, edit).await?;
        }
        (Some(_), _) => {}
    }
    Ok(())
}

/// `POST /payments/float/settings`: what the workspace says about payouts, all of it.
pub(super) async fn settings(State(parts): State<Parts>, owner: Owner, Form(form): Form<SettingsForm>) -> Result<Response, Problem> {
    let workspace = owner.may(grants::MANAGE)?;
    let can_rule = owner.can(risk::grants::MANAGE);
    let done = match form.parsed() {
        Err(error) => Err(error.into()),
        Ok((settings, hours)) => {
            let input = (workspace, settings, hours, can_rule);
            let done = gateway::effect_done(&parts.store, &owner.call, input, |tx, (workspace, settings, hours, can_rule)| {
                Box::pin(async move {
                    commands::set_payout_settings(tx, settings).await?;
                    if can_rule {
                        put_cool_off(tx, workspace, hours).await?;
                    }
                    Ok(())
                })
            });
            done.await
        }
    };
    let Err(problem) = done else { return Ok(see_other("/payments/float?done=saved")) };
    let is_stale = problem.code() == "version_conflict";
    let refusal = mendable(problem)?;
    let mut page = compose(&parts, &owner).await?;
    page.frame.alert = refusal.sentence();
    if !is_stale {
        page.errors = SettingsErrors {
            limits: message(&refusal, "limits"),
            offset: message(&refusal, "utc_offset_min"),
            hours: message(&refusal, "hours"),
        };
        page.lines = form.lines();
        page.settings = form;
    }
    page_with(&page, refusal.status())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_as_it_is_written() {
        for (text, minutes) in [("+01:00", 60), ("-3:30", -210), ("", 0), (" 05:45 ", 345), ("+14:00", 840), ("-12:00", -720)] {
            assert_eq!(parse_offset(text), Ok(minutes), "{text}");
            assert_eq!(parse_offset(&offset_of(minutes)), Ok(minutes));
        }
        for text in ["1", "+15:00", "-12:01", "+1:5", "+1:60", "UTC", "+99999999999999999999:00", ":"] {
            assert!(parse_offset(text).is_err(), "{text}");
        }
    }

    #[test]
    fn limits_are_read_line_by_line_and_what_is_wrong_is_named() {
        let form = |lines: &[(&str, &str)], hours: &str| SettingsForm {
            currency: lines.iter().map(|(currency, _)| (*currency).to_owned()).collect(),
            limit: lines.iter().map(|(_, limit)| (*limit).to_owned()).collect(),
            hours: hours.to_owned(),
            ..SettingsForm::default()
        };
        let (settings, hours) = form(&[("ngn", "500000"), ("", ""), ("EUR", "12,5"), ("JPY", "0")], "24").parsed().unwrap();
        let wanted = BTreeMap::from([("EUR".to_owned(), 1_250), ("JPY".to_owned(), 0), ("NGN".to_owned(), 50_000_000)]);
        assert_eq!((settings.limits, hours), (wanted, Some(24)));
        assert_eq!(form(&[], "").parsed().unwrap().1, None);
        let wrong: [(&[(&str, &str)], &str); 6] = [
            (&[("EU", "1")], ""),
            (&[("EUR", "-1")], ""),
            (&[("EUR", "")], ""),
            (&[("EUR", "1"), ("eur", "2")], ""),
            (&[], "721"),
            (&[], "a day"),
        ];
        for (lines, hours) in wrong {
            assert!(form(lines, hours).parsed().is_err(), "{lines:?} {hours}");
        }
    }
}
