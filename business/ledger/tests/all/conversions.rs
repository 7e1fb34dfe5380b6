//! Conversions: two units, one entry, exact rates.

use kernel::{Id, Rounding};
use ledger::commands::{self, Conversion, Converted, Rate};
use ledger::{AMOUNT_MAX, AccountCode, AccountId, AccountKind, EntryId, LedgerError, Limits, NewTransfer, Outcome, queries};
use serde_json::json;

use crate::world::{CALLER, World, trf, unit};

async fn account(world: &World, code: &str, unit_text: &str) -> AccountId {
    world.try_open(code, AccountKind::Asset, unit_text, Limits::None).await.unwrap().id
}

fn conversion(ids: [u128; 2], from: AccountId, to: AccountId, amount: i64, rate: &str) -> Conversion {
    Conversion {
        ids: ids.map(trf),
        from,
        to,
        amount,
        rate: Rate::parse(rate).unwrap(),
        rounding: Rounding::HalfEven,
        effective_at: None,
        source: "exchange:1".to_owned(),
        memo: None,
    }
}

async fn convert(world: &World, asked: Conversion) -> Result<Converted, LedgerError> {
    let own = world.workspace;
    world.store.write(&CALLER, asked, move |tx, asked| Box::pin(async move { commands::convert(tx, own, asked).await })).await
}

/// What stands on an exchange account, if it is open: positive where it took more than it gave.
async fn exchanged(world: &World, code: &str) -> Option<i128> {
    let code = AccountCode::parse(code).unwrap();
    let found = queries::account_by_code(&mut world.store.read(), world.workspace, &code).await.unwrap()?;
    assert_eq!((found.kind, found.limits), (AccountKind::Equity, Limits::None));
    Some(found.balance(&world.totals(found.id).await))
}

#[tokio::test]
async fn a_conversion_is_one_entry_that_balances_in_both_units() {
    let world = World::new().await;
    let (euros, yens) = (account(&world, "euros", "EUR").await, account(&world, "yens", "JPY").await);
    assert_eq!(exchanged(&world, "exchange.eur").await, None, "nothing is opened before it is needed");
    let converted = convert(&world, conversion([1, 2], euros, yens, 10_000, "162.35")).await.unwrap();
    let entry = EntryId::from_raw(trf(1).raw());
    assert_eq!(converted, Converted { entry, amount_from: 10_000, amount_to: 16_235, outcome: Outcome::Created });
    let transfers = queries::entry(&mut world.store.read(), world.workspace, entry).await.unwrap();
    let words = json!({ "conversion": {
        "from_unit": "EUR", "from_minor": 10_000, "to_unit": "JPY", "to_minor": 16_235, "rate": "162.35", "rounding": "half_even",
    } });
    assert_eq!(transfers.iter().map(|t| (t.unit.as_str(), t.amount)).collect::<Vec<_>>(), [("EUR", 10_000), ("JPY", 16_235)]);
    assert!(transfers.iter().all(|t| t.metadata.as_ref() == Some(&words) && t.source.as_deref() == Some("exchange:1")));
    assert_eq!((transfers[0].debit, transfers[1].credit), (euros, yens));
    assert_eq!((exchanged(&world, "exchange.eur").await, exchanged(&world, "exchange.jpy").await), (Some(10_000), Some(-16_235)));
    super::invariants::book_up_to(&world, trf(2)).await;
    let trial = queries::trial_balance(&mut world.store.read(), world.workspace, None).await.unwrap();
    assert_eq!(trial.units.len(), 2);
    assert!(trial.units.iter().all(|of_unit| of_unit.debits == of_unit.credits));
}

#[tokio::test]
async fn a_conversion_that_is_asked_for_again_happens_once() {
    let world = World::new().await;
    let (euros, dinars) = (account(&world, "euros", "EUR").await, account(&world, "dinars", "KWD").await);
    let asked = conversion([1, 2], euros, dinars, 10_000, "0.3312");
    let first = convert(&world, asked.clone()).await.unwrap();
    assert_eq!((first.amount_to, first.outcome), (33_120, Outcome::Created));
    let again = convert(&world, asked.clone()).await.unwrap();
    assert_eq!(again, Converted { outcome: Outcome::Exists, ..first });
    assert_eq!(exchanged(&world, "exchange.kwd").await, Some(-33_120));
    // The same identifiers with something else are refused, and which of the two it was is told.
    for (other, index, outcome) in [
        (Conversion { rate: Rate::parse("0.3313").unwrap(), ..asked.clone() }, 0, Outcome::ExistsWithDifferentDetails),
        (Conversion { amount: 20_000, ..asked.clone() }, 0, Outcome::ExistsWithDifferentAmount),
        (Conversion { memo: Some("x".into()), ..asked.clone() }, 0, Outcome::ExistsWithDifferentDetails),
        (Conversion { ids: [trf(3), trf(2)], ..asked.clone() }, 1, Outcome::ExistsWithDifferentDetails),
        (Conversion { ids: [trf(1), trf(4)], ..asked }, 1, Outcome::LinkedEventFailed),
    ] {
        let refused = convert(&world, other).await.unwrap_err();
        assert!(matches!(refused, LedgerError::Refused { index: i, outcome: o } if (i, o) == (index, outcome)), "{refused:?}");
    }
    assert_eq!(exchanged(&world, "exchange.eur").await, Some(10_000));
}

#[tokio::test]
async fn points_become_money_and_money_points() {
    let world = World::new().await;
    let (points, euros) = (account(&world, "points", "points.bakery").await, account(&world, "euros", "EUR").await);
    // A point is a cent, at a rate between major units.
    assert_eq!(convert(&world, conversion([1, 2], points, euros, 250, "0.01")).await.unwrap().amount_to, 250);
    // Ten points for each euro.
    let earned = Conversion { rounding: Rounding::Down, ..conversion([3, 4], euros, points, 1_999, "10") };
    assert_eq!(convert(&world, earned).await.unwrap().amount_to, 199);
    assert_eq!(exchanged(&world, "exchange.points.bakery").await, Some(51));
}

#[tokio::test]
async fn what_converts_to_nothing_or_to_too_much_is_refused_and_opens_nothing() {
    let world = World::new().await;
    let (euros, yens) = (account(&world, "euros", "EUR").await, account(&world, "yens", "JPY").await);
    let more_euros = account(&world, "euros.more", "EUR").await;
    let unknown = AccountId::from_raw(trf(77).raw());
    for (asked, field) in [
        (conversion([1, 2], euros, yens, 0, "1"), "amount"),
        (conversion([1, 2], euros, yens, -5, "1"), "amount"),
        (conversion([1, 2], euros, yens, AMOUNT_MAX + 1, "1"), "amount"),
        (conversion([1, 2], euros, yens, 50, "1"), "amount"),
        (conversion([1, 2], yens, euros, AMOUNT_MAX, "1"), "rate"),
        (conversion([1, 2], euros, yens, AMOUNT_MAX, "999999999999999999"), "rate"),
        (conversion([1, 1], euros, yens, 100, "1"), "ids"),
        (conversion([1, 2], euros, more_euros, 100, "1"), "to"),
    ] {
        match convert(&world, asked.clone()).await {
            Err(LedgerError::Invalid { fields }) => assert_eq!(fields[0].field, field, "{asked:?}"),
            other => panic!("{asked:?}: {other:?}"),
        }
    }
    let missing = convert(&world, conversion([1, 2], euros, unknown, 100, "1")).await;
    assert!(matches!(missing, Err(LedgerError::NotFound { what: "account" })), "{missing:?}");
    assert_eq!(exchanged(&world, "exchange.eur").await, None);
    assert_eq!(world.book().await, 0);
}

#[tokio::test]
async fn a_conversion_keeps_to_limits_and_leaves_the_callers_unit_good() {
    let world = World::new().await;
    let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let (cash, yens) = (account(&world, "cash", "EUR").await, account(&world, "yens", "JPY").await);
    assert_eq!(world.codes(vec![NewTransfer::exactly(trf(9), cash, wallet, unit("EUR"), 500)]).await, [Outcome::Created]);
    let own = world.workspace;
    let asked = [conversion([1, 2], wallet, yens, 501, "160"), conversion([3, 4], wallet, yens, 500, "160")];
    let unit_of_work = world.store.write(&CALLER, asked, move |tx, [too_much, enough]| {
        Box::pin(async move {
            let refused = commands::convert(tx, own, too_much).await;
            assert!(matches!(refused, Err(LedgerError::Refused { index: 0, outcome: Outcome::ExceedsCredits })), "{refused:?}");
            commands::convert(tx, own, enough).await
        })
    });
    assert_eq!(unit_of_work.await.unwrap().amount_to, 800);
    assert_eq!(world.totals(wallet).await.debits_left(), 0);
}
