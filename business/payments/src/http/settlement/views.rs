//! What goes in and out of the routes of settlement.

use gateway::Problem;
use kernel::{Id as _, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::commands::settlement::Action;
use crate::error::PaymentError;
use crate::provider::ProviderId;
use crate::queries::settlement::ExceptionFilter;
use crate::settlement::{Ageing, Batch, Done, Exception, ExceptionId, ExceptionKind, Line, Settlement, SettlementId, kind_word};

/// Whose report it is, and what is known of it.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TakeQuery {
    /// The provider whose report it is; it must be given.
    pub(super) provider: Option<String>,
    /// What the file is called; `upload` when absent.
    pub(super) name: Option<String>,
    /// Everything that happened before is in the report: what is not is missing. Without, things are missing after the days
    /// that the provider's settings say under `settlement.settles_within_days`; 3 unless they do.
    pub(super) covers_until: Option<String>,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct LinesQuery {
    /// The `next` of the page before.
    pub(super) after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// `unmatched`: only lines that are, or were, exceptions.
    pub(super) outcome: Option<String>,
}

/// Which exceptions are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExceptionQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only `open` or only `resolved` ones.
    state: Option<String>,
    /// Only those at this provider.
    provider: Option<String>,
    /// Only those of this kind, such as `missing`.
    kind: Option<String>,
    /// Only those of this settlement.
    settlement: Option<String>,
}

impl ExceptionQuery {
    pub(super) fn filter(self) -> Result<(ExceptionFilter, Option<ExceptionId>), Problem> {
        let is_open = match self.state.as_deref() {
            None => None,
            Some("open") => Some(true),
            Some("resolved") => Some(false),
            Some(_) => return Err(PaymentError::field("state", "must be open or resolved").into()),
        };
        let provider = self.provider.map(|text| ProviderId::parse(&text)).transpose();
        let provider = provider.map_err(|error| PaymentError::field("provider", error.to_string()))?;
        let kind = self.kind.map(|word| word.parse::<ExceptionKind>()).transpose();
        let kind = kind.map_err(|_| PaymentError::field("kind", "must be a kind of an exception, such as missing"))?;
        let settlement = self.settlement.map(|text| SettlementId::parse(&text)).transpose();
        let settlement = settlement.map_err(|error| PaymentError::field("settlement", error.to_string()))?;
        let after = self.after.map(|text| ExceptionId::parse(&text)).transpose();
        let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
        Ok((ExceptionFilter { is_open, provider, kind, settlement }, after))
    }
}

/// What is done about an exception.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ActionBody {
    /// The version that you saw.
    version: i64,
    /// edit, create, replace, mark_received or write_off.
    #[schema(example = "write_off")]
    action: String,
    /// Why: 3 to 500 bytes, kept for ever.
    reason: String,
    /// With `edit`: the payment, attempt, capture, refund or payout that the line is about.
    subject: Option<String>,
    /// With `replace`: what the payer paid, in minor units.
    gross_minor: Option<i64>,
    /// With `replace` and `mark_received`: what the provider kept; 0 when absent.
    fee_minor: Option<i64>,
    /// With `replace`: what reaches the bank.
    net_minor: Option<i64>,
}

impl ActionBody {
    pub(super) fn parse(self) -> Result<(i64, Action, String), PaymentError> {
        let wanted = |field: &str, value: Option<i64>| value.ok_or_else(|| PaymentError::field(field, "must be given with replace"));
        let action = match self.action.as_str() {
            "edit" => {
                let subject = self.subject.filter(|text| !text.is_empty() && text.len() <= 200);
                Action::Edit { subject: subject.ok_or_else(|| PaymentError::field("subject", "must name what the line is about"))? }
            }
            "create" => Action::Create,
            "replace" => Action::Replace {
                gross_minor: wanted("gross_minor", self.gross_minor)?,
                fee_minor: self.fee_minor.unwrap_or_default(),
                net_minor: wanted("net_minor", self.net_minor)?,
            },
            "mark_received" => Action::MarkReceived { fee_minor: self.fee_minor.unwrap_or_default() },
            "write_off" => Action::WriteOff,
            _ => return Err(PaymentError::field("action", "must be edit, create, replace, mark_received or write_off")),
        };
        Ok((self.version, action, self.reason))
    }
}

/// What a report comes to in one currency.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SettlementTotalView {
    /// ISO 4217.
    pub currency: String,
    /// What payers paid less what was given back.
    pub gross_minor: i64,
    /// What the provider kept.
    pub fee_minor: i64,
    /// What reaches the bank.
    pub net_minor: i64,
}

/// A report of a provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SettlementView {
    /// Its identifier.
    pub id: String,
    /// Whose report it is.
    pub provider: String,
    /// How it was called where it came from.
    pub name: String,
    /// SHA-256 of its bytes.
    pub digest: String,
    /// receiving, booking, done or failed. While it is booking, writes of this provider's settlement wait.
    pub state: String,
    /// Why it failed.
    pub note: Option<String>,
    /// How many lines it has.
    pub lines: i64,
    /// How many of them are in the books.
    pub booked: i64,
    /// How many matched.
    pub matched: i64,
    /// How many exceptions it made.
    pub exceptions: i64,
    /// What it comes to by currency; empty in lists.
    pub totals: Vec<SettlementTotalView>,
    /// When it came.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When its last line was booked.
    #[schema(value_type = Option<String>)]
    pub finished_at: Option<Timestamp>,
}

impl SettlementView {
    pub(super) fn of(settlement: &Settlement, totals: &[Batch]) -> Self {
        let total = |batch: &Batch| SettlementTotalView {
            currency: batch.currency.to_string(),
            gross_minor: batch.gross_minor,
            fee_minor: batch.fee_minor,
            net_minor: batch.net_minor,
        };
        Self {
            id: settlement.id.to_string(),
            provider: settlement.provider.to_string(),
            name: settlement.name.clone(),
            digest: settlement.digest.clone(),
            state: settlement.state.clone(),
            note: settlement.note.clone(),
            lines: settlement.lines,
            booked: settlement.booked,
            matched: settlement.matched,
            exceptions: settlement.exceptions,
            totals: totals.iter().map(total).collect(),
            created_at: settlement.created_at,
            finished_at: settlement.finished_at,
        }
    }
}

/// A line of a report.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SettlementLineView)]
pub struct LineView {
    /// Its place, from 1.
    pub number: i64,
    /// payment, refund, payout or fee.
    pub kind: String,
    /// Our reference, where the line repeats it.
    pub reference: Option<String>,
    /// The provider's own.
    pub provider_ref: Option<String>,
    /// The batch that it is a part of.
    pub batch: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// What the payer paid; below zero for what was given back.
    pub gross_minor: i64,
    /// What the provider kept.
    pub fee_minor: i64,
    /// What reaches the bank.
    pub net_minor: i64,
    /// matched, worked_off, or the kind of its exception.
    pub outcome: String,
    /// What it was matched with.
    pub subject: Option<String>,
}

impl From<&Line> for LineView {
    fn from(line: &Line) -> Self {
        let said = &line.line;
        Self {
            number: line.number,
            kind: kind_word(said.kind).to_owned(),
            reference: said.reference.clone(),
            provider_ref: said.provider_ref.clone(),
            batch: said.batch.clone(),
            currency: said.gross.currency.to_string(),
            gross_minor: said.gross.amount_minor,
            fee_minor: said.fee_minor,
            net_minor: said.net_minor,
            outcome: line.outcome.clone(),
            subject: line.subject.clone(),
        }
    }
}

/// Something that did not match.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SettlementExceptionView)]
pub struct ExceptionView {
    /// Its identifier.
    pub id: String,
    /// At which provider.
    pub provider: String,
    /// missing, extra, over, under, currency_mismatch, fee_mismatch, duplicate, split, unbalanced or posting.
    pub kind: String,
    /// open or resolved.
    pub state: String,
    /// The report that it stands in.
    pub settlement: Option<String>,
    /// The line there.
    pub line: Option<i64>,
    /// What of ours it is about: an attempt, capture, refund or payout.
    pub subject: Option<String>,
    /// The payment or payout that this belongs to.
    pub owner: Option<String>,
    /// The reference that the line names.
    pub reference: Option<String>,
    /// The provider's own.
    pub provider_ref: Option<String>,
    /// The batch that the line names.
    pub batch: Option<String>,
    /// ISO 4217.
    pub currency: String,
    /// What was expected.
    pub expected_minor: Option<i64>,
    /// What the report says.
    pub got_minor: Option<i64>,
    /// A line for people.
    pub note: Option<String>,
    /// What one person wants to do and a second has to ask for too.
    pub proposed: Option<String>,
    /// How it was worked off.
    pub resolution: Option<String>,
    /// How often it changed; send it with an action.
    pub version: i64,
    /// When it was found.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it was worked off.
    #[schema(value_type = Option<String>)]
    pub resolved_at: Option<Timestamp>,
}

impl From<&Exception> for ExceptionView {
    fn from(exception: &Exception) -> Self {
        Self {
            id: exception.id.to_string(),
            provider: exception.provider.to_string(),
            kind: exception.kind.as_str().to_owned(),
            state: if exception.is_open { "open" } else { "resolved" }.to_owned(),
            settlement: exception.settlement.map(|id| id.to_string()),
            line: exception.line,
            subject: exception.subject.clone(),
            owner: exception.owner.clone(),
            reference: exception.reference.clone(),
            provider_ref: exception.provider_ref.clone(),
            batch: exception.batch.clone(),
            currency: exception.currency.to_string(),
            expected_minor: exception.expected_minor,
            got_minor: exception.got_minor,
            note: exception.note.clone(),
            proposed: exception.proposed.clone(),
            resolution: exception.resolution.clone(),
            version: exception.version,
            created_at: exception.created_at,
            resolved_at: exception.resolved_at,
        }
    }
}

/// One thing that was done about an exception.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ExceptionActionView {
    /// The version that it made.
    pub version: i64,
    /// What.
    pub action: String,
    /// Why.
    pub reason: String,
    /// Who: an identifier.
    pub actor: String,
    /// With these values.
    #[schema(value_type = Object)]
    pub values: Value,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// An exception and what was done about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = WorkedExceptionView)]
pub struct WorkedView {
    /// The exception.
    pub exception: ExceptionView,
    /// What was done about it, the oldest first.
    pub actions: Vec<ExceptionActionView>,
}

impl WorkedView {
    pub(super) fn of(exception: &Exception, done: &[Done]) -> Self {
        let action = |done: &Done| ExceptionActionView {
            version: done.version,
            action: done.action.clone(),
            reason: done.reason.clone(),
            actor: done.actor.clone(),
            values: serde_json::from_str(&done.body).unwrap_or_default(),
            at: done.at,
        };
        Self { exception: ExceptionView::from(exception), actions: done.iter().map(action).collect() }
    }
}

/// Open exceptions of one provider by age.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProviderAgeingView {
    /// Which provider.
    pub provider: String,
    /// Less than two days old.
    pub days_0_to_1: i64,
    /// Two to seven days.
    pub days_2_to_7: i64,
    /// Eight to thirty days.
    pub days_8_to_30: i64,
    /// Older.
    pub days_over_30: i64,
}

/// Open exceptions by provider and age.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = SettlementAgeingView)]
pub struct AgeingView {
    /// One for each provider that has any.
    pub items: Vec<ProviderAgeingView>,
}

impl AgeingView {
    pub(super) fn of(found: &[Ageing]) -> Self {
        let item = |ageing: &Ageing| ProviderAgeingView {
            provider: ageing.provider.to_string(),
            days_0_to_1: ageing.to_1_day,
            days_2_to_7: ageing.to_7_days,
            days_8_to_30: ageing.to_30_days,
            days_over_30: ageing.older,
        };
        Self { items: found.iter().map(item).collect() }
    }
}

/// What became of a statement.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BankLinesView {
    /// How many lines it has.
    pub lines: u64,
    /// How many of them were not there before.
    pub new: u64,
}
