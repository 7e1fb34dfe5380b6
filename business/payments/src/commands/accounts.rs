//! The books' accounts that payments use, opened when they are first needed.

use kernel::{Currency, WorkspaceId};
use ledger::{AccountCode, AccountId, AccountKind, Limits, NewAccount, Unit};
use store::Tx;

use crate::books::Place;
use crate::error::PaymentError;
use crate::provider::ProviderId;
use crate::queries;

/// A currency as the books count it.
pub(crate) fn unit(currency: Currency) -> Result<Unit, PaymentError> {
    Unit::parse(&currency.to_string()).map_err(|error| PaymentError::field("currency", error.to_string()))
}

/// The account of a place in one currency.
pub(crate) async fn account(tx: &mut Tx, workspace: WorkspaceId, place: &Place, unit: &Unit) -> Result<AccountId, PaymentError> {
    let currency = unit.as_str().to_ascii_lowercase();
    let (code, name, kind, limits) = match place {
        Place::Clearing(provider) => {
            let named = provider_name(tx, workspace, *provider).await?;
            (format!("payments.clearing.{named}.{currency}"), format!("Clearing {named}"), AccountKind::Asset, Limits::None)
        }
        Place::Float(provider) => {
            let named = provider_name(tx, workspace, *provider).await?;
            (format!("payments.float.{named}.{currency}"), format!("Float {named}"), AccountKind::Asset, Limits::CreditsWithinDebits)
        }
        Place::Bank => (format!("payments.bank.{currency}"), "Bank".to_owned(), AccountKind::Asset, Limits::None),
        Place::Credit(base) => (format!("{base}.{currency}"), "Payments received".to_owned(), AccountKind::Income, Limits::None),
        Place::Surplus => (format!("payments.surplus.{currency}"), "Paid too much".to_owned(), AccountKind::Liability, Limits::None),
        Place::Quarantine => {
            (format!("payments.quarantine.{currency}"), "Payments to be looked at".to_owned(), AccountKind::Liability, Limits::None)
        }
        Place::Fees => (format!("payments.fees.{currency}"), "Fees of providers".to_owned(), AccountKind::Expense, Limits::None),
        Place::Payouts => (format!("payments.payouts.{currency}"), "Payouts".to_owned(), AccountKind::Expense, Limits::None),
        Place::Chargebacks => (format!("payments.chargebacks.{currency}"), "Charged back".to_owned(), AccountKind::Expense, Limits::None),
        Place::Differences => {
            (format!("payments.differences.{currency}"), "Differences written off".to_owned(), AccountKind::Expense, Limits::None)
        }
    };
    let code = AccountCode::parse(&code).map_err(|error| PaymentError::field("credit_account", error.to_string()))?;
    let new = NewAccount { code, name, kind, unit: unit.clone(), limits, metadata: None };
    Ok(ledger::ensure(tx, workspace, new).await?.id)
}

async fn provider_name(tx: &mut Tx, workspace: WorkspaceId, id: ProviderId) -> Result<String, PaymentError> {
    Ok(queries::provider(tx, workspace, id).await?.name)
}
