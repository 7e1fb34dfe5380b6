//! The trial balance: every account that holds something, by unit, debits against credits.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use gateway::{Problem, Query};
use kernel::Timestamp;
use ledger::queries::TrialUnit;
use ledger::queries::{self, by_day};
use serde::Deserialize;

use super::super::frame::{Frame, Owner, page, plain_day};
use super::period::{DAY, parse_day, typed_day};
use super::{TABS, kind_label};
use crate::installation::Parts;

struct Row {
    id: String,
    name: String,
    code: String,
    kind: &'static str,
    debit: String,
    credit: String,
}

struct UnitTable {
    unit: String,
    rows: Vec<Row>,
    debits: String,
    credits: String,
    is_equal: bool,
}

#[derive(Template)]
#[template(path = "ledger_trial.html")]
struct TrialPage {
    frame: Frame,
    tabs: [(&'static str, &'static str); 3],
    here: &'static str,
    at: String,
    today: String,
    words: String,
    units: Vec<UnitTable>,
    version: String,
}

#[derive(Default, Deserialize)]
pub(super) struct TrialQuery {
    at: Option<String>,
}

fn table(TrialUnit { unit, rows, debits, credits }: TrialUnit) -> UnitTable {
    let row = |row: &queries::TrialRow| {
        let net = row.totals.debits_posted - row.totals.credits_posted;
        let (debit, credit) = if net >= 0 { (unit.major(net), String::new()) } else { (String::new(), unit.major(-net)) };
        Row {
            id: row.account.id.to_string(),
            name: row.account.name.clone(),
            code: row.account.code.to_string(),
            kind: kind_label(row.account.kind),
            debit,
            credit,
        }
    };
    UnitTable {
        unit: unit.to_string(),
        rows: rows.iter().map(row).collect(),
        debits: unit.major(debits),
        credits: unit.major(credits),
        is_equal: debits == credits,
    }
}

/// `GET /ledger/trial-balance`
pub(super) async fn show(State(parts): State<Parts>, owner: Owner, Query(asked): Query<TrialQuery>) -> Result<Response, Problem> {
    let workspace = owner.may(ledger::grants::READ)?;
    let day = asked.at.as_deref().and_then(parse_day);
    let mut reads = parts.store.snapshot().await?;
    let (trial, words) = match day {
        Some(day) => {
            let end = Timestamp::from_micros(day.plus(DAY).as_micros() - 1);
            let trial = by_day::trial_balance_by_day(&mut reads, workspace, end).await?;
            (trial, format!("At the end of {}, by the day that transfers count from", plain_day(day)))
        }
        None => (queries::trial_balance(&mut reads, workspace, None).await?, "Now, everything that is booked".to_owned()),
    };
    page(&TrialPage {
        frame: owner.frame("ledger", "Trial balance").shaped(""),
        tabs: TABS,
        here: "/trial-balance",
        at: day.map(typed_day).unwrap_or_default(),
        today: typed_day(parts.store.clock().now()),
        words,
        version: trial.version.to_string(),
        units: trial.units.into_iter().map(table).collect(),
    })
}
