//! Wallets: what the business owes to each of its customers and merchants, by owner.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::{Problem, Query};
use ledger::queries::AccountFilter;
use ledger::{Account, AccountCode, Totals};
use serde::Deserialize;

use super::super::frame::{Frame, Owner, page, query};
use super::{Row, TABS};
use crate::installation::Parts;

/// Wallets on one page.
const SHOWN: usize = 100;
/// How the codes of wallets begin.
const PREFIX: &str = "wallet.";

/// Somebody with their wallets.
struct Holder {
    kind: String,
    id: String,
    wallets: Vec<Row>,
}

#[derive(Template)]
#[template(path = "ledger_wallets.html")]
struct WalletsPage {
    frame: Frame,
    tabs: [(&'static str, &'static str); 3],
    here: &'static str,
    q: String,
    holders: Vec<Holder>,
    is_filtered: bool,
    is_first: bool,
    first_href: String,
    next_href: String,
}

#[derive(Default, Deserialize)]
pub(super) struct WalletsQuery {
    q: Option<String>,
    after: Option<String>,
}

/// Kind and identifier of whom a wallet belongs to, out of `wallet.<kind>.<id>.<unit>`.
fn owner_of(code: &AccountCode) -> (String, String) {
    let mut parts = code.as_str().trim_start_matches(PREFIX).splitn(3, '.');
    let kind = parts.next().unwrap_or_default().replace(['_', '-'], " ");
    (kind, parts.next().unwrap_or_default().to_owned())
}

fn by_owner(accounts: &[Account], totals: impl Fn(&Account) -> Totals) -> Vec<Holder> {
    let mut holders: Vec<Holder> = Vec::new();
    for account in accounts {
        let (kind, id) = owner_of(&account.code);
        if holders.last().is_none_or(|last| (&last.kind, &last.id) != (&kind, &id)) {
            holders.push(Holder { kind, id, wallets: Vec::new() });
        }
        if let Some(holder) = holders.last_mut() {
            holder.wallets.push(Row::new(account, &totals(account)));
        }
    }
    holders
}

/// `GET /ledger/wallets`
pub(super) async fn list(State(parts): State<Parts>, owner: Owner, Query(asked): Query<WalletsQuery>) -> Result<Response, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let q = asked.q.as_deref().unwrap_or_default().trim().to_owned();
    let after = asked.after.as_deref().and_then(|code| AccountCode::parse(code).ok());
    // What no code can hold finds nothing.
    let prefix = AccountCode::parse(&format!("{PREFIX}{q}")).ok();
    let filter = AccountFilter { code_prefix: prefix.as_ref().map(ToString::to_string), ..AccountFilter::default() };
    let mut reads = parts.store.read();
    let mut accounts = match prefix {
        Some(_) => ledger::queries::accounts(&mut reads, workspace, &filter, after.as_ref(), SHOWN as u32 + 1).await?,
        None => Vec::new(),
    };
    let has_more = accounts.len() > SHOWN;
    accounts.truncate(SHOWN);
    let totals = ledger::queries::totals_of(&mut reads, workspace, &accounts).await?;
    let here = |after: &str| match query(&[("q", &q), ("after", after)]) {
        empty if empty.is_empty() => "/ledger/wallets".to_owned(),
        query => format!("/ledger/wallets?{query}"),
    };
    page(&WalletsPage {
        frame: owner.frame("ledger", "Wallets").shaped(""),
        tabs: TABS,
        here: "/wallets",
        holders: by_owner(&accounts, |account| totals.get(&account.id).copied().unwrap_or_default()),
        is_filtered: !q.is_empty() || after.is_some(),
        is_first: after.is_none(),
        first_href: here(""),
        next_href: accounts.last().filter(|_| has_more).map(|last| here(last.code.as_str())).unwrap_or_default(),
        q,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_wallet_stands_in_its_code() {
        let of = |code: &str| owner_of(&AccountCode::parse(code).unwrap());
        assert_eq!(of("wallet.customer.c42.eur"), ("customer".into(), "c42".into()));
        assert_eq!(of("wallet.market_stall.m-1.points.bakery"), ("market stall".into(), "m-1".into()));
        assert_eq!(of("wallet.odd"), ("odd".into(), String::new()));
    }
}
