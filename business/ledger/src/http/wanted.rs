//! Queries in: which accounts, lines and balances are wanted.

use gateway::{PageQuery, Problem};
use kernel::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use super::bodies::{Faults, owner};
use crate::account::{AccountCode, Unit};
use crate::error::LedgerError;
use crate::queries::{AccountFilter, Dating, Period, Version};

/// Which accounts are wanted; everything together.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct AccountQuery {
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// Only those of this kind.
    kind: Option<String>,
    /// Only those that count this.
    unit: Option<String>,
    /// Only those whose code begins so.
    #[param(max_length = 120)]
    code: Option<String>,
    /// `open` or `closed`.
    state: Option<String>,
    /// The answer sees at least this version of the books.
    #[param(value_type = Option<String>)]
    at_least: Option<String>,
}

impl AccountQuery {
    pub(super) fn parse(self) -> Result<(AccountFilter, Option<AccountCode>, u32, Option<Version>), Problem> {
        let is_open = match self.state.as_deref() {
            None => None,
            Some("open") => Some(true),
            Some("closed") => Some(false),
            Some(_) => return Err(LedgerError::field("state", "must be open or closed").into()),
        };
        let filter = AccountFilter {
            kind: self.kind.map(|word| word.parse()).transpose().map_err(|error| LedgerError::field("kind", error))?,
            unit: self.unit.map(|text| Unit::parse(&text)).transpose().map_err(|error| LedgerError::field("unit", error))?,
            code_prefix: self
                .code
                .map(|text| AccountCode::parse(&text))
                .transpose()
                .map_err(|error| LedgerError::field("code", error))?
                .map(|code| code.as_str().to_owned()),
            is_open,
        };
        let limit = PageQuery { after: None, limit: self.limit }.limit()?;
        Ok((filter, after(self.after)?, limit, at_least(self.at_least.as_deref())?))
    }
}

/// Whose wallets are wanted; nothing said lets all of them through.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct WalletQuery {
    /// The owner's kind.
    owner_kind: Option<String>,
    /// The owner, of that kind.
    owner_id: Option<String>,
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The answer sees at least this version of the books.
    #[param(value_type = Option<String>)]
    at_least: Option<String>,
}

impl WalletQuery {
    pub(super) fn parse(self) -> Result<(AccountFilter, Option<AccountCode>, u32, Option<Version>), Problem> {
        let mut faults = Faults::default();
        let prefix = match (self.owner_kind, self.owner_id) {
            (None, None) => Some("wallet.".to_owned()),
            (Some(kind), None) => owner(kind, "x".to_owned(), &mut faults).map(|owner| format!("wallet.{}.", owner.kind)),
            (kind, Some(id)) => {
                owner(kind.unwrap_or_default(), id, &mut faults).map(|owner| format!("wallet.{}.{}.", owner.kind, owner.id))
            }
        };
        let filter = AccountFilter { code_prefix: Some(faults.done(prefix)?), ..AccountFilter::default() };
        let limit = PageQuery { after: None, limit: self.limit }.limit()?;
        Ok((filter, after(self.after)?, limit, at_least(self.at_least.as_deref())?))
    }
}

/// When a balance is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct BalanceQuery {
    /// At the end of this instant, of what is booked; without it now, of everything that is posted.
    #[param(value_type = Option<String>, format = DateTime)]
    at: Option<Timestamp>,
    /// `booked` (which is meant when nothing is said), or `effective`: by the day that a transfer counts from.
    by: Option<String>,
    /// The answer sees at least this version of the books.
    #[param(value_type = Option<String>)]
    at_least: Option<String>,
}

impl BalanceQuery {
    pub(super) fn parse(self) -> Result<(Option<(Timestamp, Dating)>, Option<Version>), LedgerError> {
        let dating = match self.by.as_deref() {
            None | Some("booked") => Dating::Booked,
            Some("effective") => Dating::Effective,
            Some(_) => return Err(LedgerError::field("by", "must be booked or effective")),
        };
        if self.by.is_some() && self.at.is_none() {
            return Err(LedgerError::field("by", "goes with `at`"));
        }
        Ok((self.at.map(|at| (at, dating)), at_least(self.at_least.as_deref())?))
    }
}

/// Which lines of a statement are wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatementQuery {
    /// Booked at this instant or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Booked before this instant.
    #[param(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The `next` of the page before.
    after: Option<String>,
    /// How many at most, 1 to 200; 50 when absent.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
    /// The answer sees at least this version of the books.
    #[param(value_type = Option<String>)]
    at_least: Option<String>,
}

impl StatementQuery {
    pub(super) fn parse(self) -> Result<(Period, Option<i64>, u32, Option<Version>), Problem> {
        let period = Period { from: self.from, until: self.until };
        if period.from.zip(period.until).is_some_and(|(from, until)| until < from) {
            return Err(LedgerError::field("until", "must not be before `from`").into());
        }
        let position = |text: String| text.parse().ok().filter(|position| *position > 0);
        let before = match self.after.map(position) {
            Some(None) => return Err(LedgerError::field("after", "must be the `next` of a page of this statement").into()),
            before => before.flatten(),
        };
        let limit = PageQuery { after: None, limit: self.limit }.limit()?;
        Ok((period, before, limit, at_least(self.at_least.as_deref())?))
    }
}

/// Which trial balance is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrialQuery {
    /// At the end of this instant; without it now.
    #[param(value_type = Option<String>, format = DateTime)]
    pub(super) at: Option<Timestamp>,
    /// `accounts` (which is meant when nothing is said), or `sums` for the units' sums alone.
    detail: Option<String>,
    /// The answer sees at least this version of the books.
    #[param(value_type = Option<String>)]
    at_least: Option<String>,
}

/// How much of a trial balance is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Accounts,
    Sums,
}

impl TrialQuery {
    pub(super) fn parse(self) -> Result<(Option<Timestamp>, Detail, Option<Version>), LedgerError> {
        let detail = match self.detail.as_deref() {
            None | Some("accounts") => Detail::Accounts,
            Some("sums") => Detail::Sums,
            Some(_) => return Err(LedgerError::field("detail", "must be accounts or sums")),
        };
        Ok((self.at, detail, at_least(self.at_least.as_deref())?))
    }
}

fn at_least(text: Option<&str>) -> Result<Option<Version>, LedgerError> {
    text.map(str::parse).transpose().map_err(|error| LedgerError::field("at_least", error))
}

fn after(text: Option<String>) -> Result<Option<AccountCode>, LedgerError> {
    text.map(|text| AccountCode::parse(&text))
        .transpose()
        .map_err(|_| LedgerError::field("after", "must be the `next` of a page of this list"))
}
