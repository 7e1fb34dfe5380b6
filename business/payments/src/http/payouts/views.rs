//! What goes in and out of the routes of payouts.

use std::collections::BTreeMap;

use kernel::{Currency, Id as _, Money, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::beneficiary::{Beneficiary, BeneficiaryId};
use crate::commands::PayoutWanted;
use crate::error::PaymentError;
use crate::float::{Float, PayoutSettings};
use crate::payout::{Hold, Payout, PayoutEvent, PayoutId, PayoutState};
use crate::provider::{Destination, ProviderId};
use crate::sql::Recorded;

fn currency_of(text: &str) -> Result<Currency, PaymentError> {
    Currency::parse(text).map_err(|error| PaymentError::field("currency", error.to_string()))
}

fn provider_of(text: &str) -> Result<ProviderId, PaymentError> {
    ProviderId::parse(text).map_err(|error| PaymentError::field("provider", error.to_string()))
}

pub(super) fn float_of(provider: &str, currency: &str) -> Result<(ProviderId, Currency), PaymentError> {
    Ok((provider_of(provider)?, currency_of(currency)?))
}

/// A beneficiary that is added.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeneficiaryBody {
    /// Whose the account is, as the bank writes it.
    #[schema(example = "Jide Balogun")]
    account_name: String,
    /// The bank, by the code that the provider knows; without one where it needs none.
    #[schema(example = "058")]
    bank_code: Option<String>,
    /// The account, as the provider knows it. Stored sealed, never shown again.
    #[schema(example = "0123456789")]
    account_number: String,
    /// Where the account is: two capital letters (ISO 3166-1).
    #[schema(example = "NG")]
    country: Option<String>,
}

impl BeneficiaryBody {
    pub(super) fn parse(self) -> (Destination, Option<String>) {
        let bank_code = self.bank_code.unwrap_or_default();
        (Destination { bank_code, account_number: self.account_number, account_name: self.account_name }, self.country)
    }
}

/// A beneficiary's other account.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BeneficiaryEditBody {
    /// The version that you saw.
    version: i64,
    /// Whose the account is, as the bank writes it.
    account_name: String,
    /// The bank, by the code that the provider knows.
    bank_code: Option<String>,
    /// The account, as the provider knows it.
    account_number: String,
    /// Where the account is: two capital letters (ISO 3166-1).
    country: Option<String>,
}

impl BeneficiaryEditBody {
    pub(super) fn parse(self) -> (i64, Destination, Option<String>) {
        let bank_code = self.bank_code.unwrap_or_default();
        (self.version, Destination { bank_code, account_number: self.account_number, account_name: self.account_name }, self.country)
    }
}

/// Somebody that money is paid out to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BeneficiaryView {
    /// Its identifier.
    pub id: String,
    /// How often it changed, from 1.
    pub version: i64,
    /// Whose the account is, as it was entered; nothing once it was erased.
    pub account_name: Option<String>,
    /// The bank.
    pub bank_code: String,
    /// The last characters of the account's number.
    pub ending: String,
    /// Where the account is.
    pub country: Option<String>,
    /// What the bank said of it: matches, differs, not_found; nothing before it was asked.
    pub name_check: Option<String>,
    /// When it was added.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When the account last changed.
    #[schema(value_type = String)]
    pub changed_at: Timestamp,
    /// When it was erased.
    #[schema(value_type = Option<String>)]
    pub erased_at: Option<Timestamp>,
}

impl From<&Beneficiary> for BeneficiaryView {
    fn from(known: &Beneficiary) -> Self {
        Self {
            id: known.id.to_string(),
            version: known.version,
            account_name: known.name.clone(),
            bank_code: known.bank_code.clone(),
            ending: known.ending.clone(),
            country: known.country.clone(),
            name_check: known.name_check.map(|check| check.as_str().to_owned()),
            created_at: known.created_at,
            changed_at: known.changed_at,
            erased_at: known.erased_at,
        }
    }
}

/// Which payouts are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PayoutQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<u32>,
    /// Only those in this state, such as `risk_review`.
    state: Option<String>,
    /// Only those to this beneficiary.
    beneficiary: Option<String>,
}

impl PayoutQuery {
    #[allow(clippy::type_complexity, reason = "three filters that are used once")]
    pub(super) fn filter(self) -> Result<(Option<PayoutState>, Option<BeneficiaryId>, Option<PayoutId>), PaymentError> {
        let state = self.state.map(|word| {
            let found = PayoutState::ALL.into_iter().find(|state| state.as_str() == word);
            found.ok_or_else(|| PaymentError::field("state", "must be a state of a payout, such as risk_review"))
        });
        let beneficiary = self.beneficiary.map(|text| BeneficiaryId::parse(&text)).transpose();
        let beneficiary = beneficiary.map_err(|error| PaymentError::field("beneficiary", error.to_string()))?;
        let after = self.after.map(|text| PayoutId::parse(&text)).transpose();
        let after = after.map_err(|_| PaymentError::field("after", "must be the next of a page"))?;
        Ok((state.transpose()?, beneficiary, after))
    }
}

/// A payout that is asked for.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutBody {
    /// To this beneficiary.
    beneficiary: String,
    /// How much, in minor units.
    #[schema(minimum = 1, example = 125_000)]
    amount_minor: i64,
    /// ISO 4217.
    #[schema(example = "NGN")]
    currency: String,
    /// Through this provider; may be left out where only one of yours pays out.
    provider: Option<String>,
    /// What the receiver reads; at most 100 bytes.
    narration: Option<String>,
}

impl PayoutBody {
    pub(super) fn parse(self) -> Result<PayoutWanted, PaymentError> {
        let beneficiary = BeneficiaryId::parse(&self.beneficiary);
        Ok(PayoutWanted {
            beneficiary: beneficiary.map_err(|error| PaymentError::field("beneficiary", error.to_string()))?,
            amount: Money::new(self.amount_minor, currency_of(&self.currency)?),
            provider: self.provider.as_deref().map(provider_of).transpose()?,
            narration: self.narration,
        })
    }
}

/// Why people have to look at a payout.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayoutHoldView {
    /// rule, name_differs, account_not_found or name_not_told.
    pub kind: String,
    /// The rule's words.
    pub reason: Option<String>,
}

/// Somebody's word that a payout may go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayoutApprovalView {
    /// The member.
    pub by: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

/// Money that goes out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayoutView {
    /// Its identifier, and the reference that the provider is given.
    pub id: String,
    /// How often it changed.
    pub version: i64,
    /// requested, risk_review, approved, funds_reserved, submitted, otp_required, pending, unknown, paid, failed, reversed,
    /// refused or canceled.
    pub state: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// ISO 4217.
    pub currency: String,
    /// To this beneficiary.
    pub beneficiary: String,
    /// Through this provider.
    pub provider: String,
    /// What the receiver reads.
    pub narration: Option<String>,
    /// Who asked for it.
    pub requester: String,
    /// How many people have to say that it may go.
    pub approvals_needed: i64,
    /// Who said so.
    pub approvals: Vec<PayoutApprovalView>,
    /// Why people have to look at it, beside its amount.
    pub holds: Vec<PayoutHoldView>,
    /// What it waits for while it is approved: insufficient_float or weekend.
    pub waits_for: Option<String>,
    /// Why it failed or was refused.
    pub reason: Option<String>,
    /// What a person has to look at.
    pub attention: Option<String>,
    /// The provider's name for it.
    pub provider_ref: Option<String>,
    /// When it was asked for.
    #[schema(value_type = String)]
    pub requested_at: Timestamp,
    /// When it last changed.
    #[schema(value_type = String)]
    pub changed_at: Timestamp,
}

impl From<&Payout> for PayoutView {
    fn from(payout: &Payout) -> Self {
        let hold = |hold: &Hold| PayoutHoldView {
            kind: hold.as_str().to_owned(),
            reason: if let Hold::Rule { reason } = hold { Some(reason.clone()) } else { None },
        };
        let approvals = payout.approvals.iter().map(|approval| PayoutApprovalView { by: approval.by.to_string(), at: approval.at });
        Self {
            id: payout.id.to_string(),
            version: payout.version,
            state: payout.state.as_str().to_owned(),
            amount_minor: payout.amount.amount_minor,
            currency: payout.amount.currency.to_string(),
            beneficiary: payout.beneficiary.to_string(),
            provider: payout.provider.to_string(),
            narration: payout.narration.clone(),
            requester: payout.requester.clone(),
            approvals_needed: payout.approvals_needed() as i64,
            approvals: approvals.collect(),
            holds: payout.holds.iter().map(hold).collect(),
            waits_for: payout.waits_for.map(|wait| wait.as_str().to_owned()),
            reason: payout.reason.clone(),
            attention: payout.attention.clone(),
            provider_ref: payout.provider_ref.clone(),
            requested_at: payout.requested_at,
            changed_at: payout.changed_at,
        }
    }
}

/// Something that happened to a payout.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PayoutEventView {
    /// Which one, from 1.
    pub version: i64,
    /// What happened.
    pub name: String,
    /// Who asked for it.
    pub actor: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The event as it is kept.
    #[schema(value_type = Object)]
    pub body: serde_json::Value,
}

impl From<&Recorded<PayoutEvent>> for PayoutEventView {
    fn from(recorded: &Recorded<PayoutEvent>) -> Self {
        Self {
            version: recorded.version,
            name: recorded.event.name().to_owned(),
            actor: recorded.actor.clone(),
            at: recorded.at,
            body: serde_json::to_value(&recorded.event).unwrap_or_default(),
        }
    }
}

/// Why.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutReasonBody {
    /// In your words; at most 200 bytes.
    pub(super) reason: String,
}

/// How a payout ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutResolveBody {
    /// Whether the provider paid.
    pub(super) was_paid: bool,
    /// How you know, in your words; at most 200 bytes.
    pub(super) reason: String,
}

/// A one-time password.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtpBody {
    /// 1 to 20 letters and digits.
    pub(super) otp: String,
}

/// What a workspace says about payouts.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PayoutSettingsView {
    /// The version that you saw; 0 where nothing was set.
    version: i64,
    /// Up to which amount, in minor units by currency, a payout that nothing holds goes without an approval. Above it, and in
    /// currencies that are not named, two people have to approve.
    limits: BTreeMap<String, i64>,
    /// Whether payouts are begun on Saturdays and Sundays.
    runs_on_weekends: bool,
    /// By how many minutes your days begin before those of UTC, -720 to 840.
    #[serde(default)]
    utc_offset_min: i64,
}

impl From<PayoutSettings> for PayoutSettingsView {
    fn from(settings: PayoutSettings) -> Self {
        let PayoutSettings { version, limits, runs_on_weekends, utc_offset_min } = settings;
        Self { version, limits, runs_on_weekends, utc_offset_min }
    }
}

impl From<PayoutSettingsView> for PayoutSettings {
    fn from(settings: PayoutSettingsView) -> Self {
        let PayoutSettingsView { version, limits, runs_on_weekends, utc_offset_min } = settings;
        Self { version, limits, runs_on_weekends, utc_offset_min }
    }
}

/// Which float is compared.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FloatBody {
    /// At this provider.
    pub(super) provider: String,
    /// ISO 4217.
    pub(super) currency: String,
}

/// Money that the bank sent to a provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TopUpBody {
    /// To this provider.
    provider: String,
    /// How much, in minor units.
    #[schema(minimum = 1)]
    amount_minor: i64,
    /// ISO 4217.
    currency: String,
}

impl TopUpBody {
    pub(super) fn parse(self) -> Result<(ProviderId, Money), PaymentError> {
        let (provider, currency) = float_of(&self.provider, &self.currency)?;
        Ok((provider, Money::new(self.amount_minor, currency)))
    }
}

/// A top-up that is in the books.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TopUpView {
    /// Its identifier.
    pub id: String,
}

/// The money for payouts at a provider.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FloatView {
    /// At this provider.
    pub provider: String,
    /// ISO 4217.
    pub currency: String,
    /// What the books have there, in minor units.
    pub ours_minor: i64,
    /// How much of that is promised to payouts that have not ended, in minor units.
    pub reserved_minor: i64,
    /// What the provider said last, in minor units.
    pub theirs_minor: Option<i64>,
    /// What the provider had more than the books said was free, in minor units, when it was asked last.
    pub difference_minor: Option<i64>,
    /// When the provider was asked last.
    #[schema(value_type = Option<String>)]
    pub checked_at: Option<Timestamp>,
}

impl From<&Float> for FloatView {
    fn from(float: &Float) -> Self {
        Self {
            provider: float.provider.to_string(),
            currency: float.currency.to_string(),
            ours_minor: float.ours_minor,
            reserved_minor: float.reserved_minor,
            theirs_minor: float.check.map(|check| check.theirs_minor),
            difference_minor: float.check.map(|check| check.difference_minor()),
            checked_at: float.check.map(|check| check.checked_at),
        }
    }
}

/// The money for payouts at all providers.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FloatsView {
    /// By provider and currency.
    pub items: Vec<FloatView>,
}
