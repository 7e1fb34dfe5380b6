//! Payment links.

use kernel::{Currency, Money};
use serde_json::json;
use store::{Tx, params};

use crate::commands::CREDIT_ACCOUNT;
use crate::error::PaymentError;
use crate::intent::LinkId;
use crate::link::Link;
use crate::{grants, queries, sql, text};

/// A link that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLink {
    /// How much; without it the payer says so.
    pub amount_minor: Option<i64>,
    /// In this currency.
    pub currency: Currency,
    /// What for, as the payer reads it; at most 200 bytes.
    pub description: String,
    /// The beginning of the ledger account's code that the money is for.
    pub credit_account: Option<String>,
}

/// Makes a link.
pub async fn make_link(tx: &mut Tx, new: NewLink) -> Result<Link, PaymentError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    if new.amount_minor.is_some_and(|amount| !(1..=crate::AMOUNT_MAX_MINOR).contains(&amount)) {
        return Err(PaymentError::field("amount_minor", "must be a whole number of minor units, from 1 to 9007199254740991"));
    }
    text::optional(Some(&new.description), 200).map_err(|message| PaymentError::field("description", message))?;
    text::account(new.credit_account.as_deref()).map_err(|message| PaymentError::field("credit_account", message))?;
    // 74 of its bits are random: who has one link cannot guess the next.
    let id: LinkId = tx.new_id();
    let credit_account = new.credit_account.unwrap_or_else(|| CREDIT_ACCOUNT.to_owned());
    let (currency, now) = (new.currency.to_string(), tx.now());
    tx.execute(&sql::INSERT_LINK, params![&workspace, &id, new.amount_minor, &currency, &new.description, &credit_account, now]).await?;
    outbox::audit(tx, workspace, "payments.link_made", &id.to_string(), &json!({ "amount_minor": new.amount_minor, "currency": currency }))
        .await?;
    Ok(Link {
        workspace,
        id,
        amount: new.amount_minor.map(|amount_minor| Money::new(amount_minor, new.currency)),
        currency: new.currency,
        description: new.description,
        credit_account,
        is_active: true,
        version: 1,
        created_at: now,
    })
}

/// Opens a link or closes it: nobody begins to pay with a closed one.
pub async fn switch_link(tx: &mut Tx, id: LinkId, is_active: bool) -> Result<Link, PaymentError> {
    let workspace = tx.caller().may(grants::WRITE)?;
    let now = tx.now();
    if tx.execute(&sql::SWITCH_LINK, params![&workspace, &id, is_active, now]).await? == 0 {
        return Err(PaymentError::NotFound { what: "link" });
    }
    outbox::audit(tx, workspace, "payments.link_switched", &id.to_string(), &json!({ "is_active": is_active })).await?;
    queries::link_everywhere(tx, id).await?.ok_or(PaymentError::NotFound { what: "link" })
}
