//! Posting: what stands afterwards.

use ledger::{AccountKind, Action, Ask, Limits, NewTransfer, Outcome};

use crate::world::{World, trf, unit};

#[tokio::test]
async fn every_statement_is_understood_by_the_engine() {
    let world = World::new().await;
    let statements: Vec<_> = ledger::statements().collect();
    assert_eq!(world.store.prepare_all(&statements).await, Vec::<String>::new());
}

#[tokio::test]
async fn a_transfer_stands_on_both_accounts_before_and_after_it_is_booked() {
    let world = World::new().await;
    let cash = world.open("cash", AccountKind::Asset, Limits::None).await;
    let wallet = world.open("wallet", AccountKind::Liability, Limits::DebitsWithinCredits).await;
    let transfer = NewTransfer::exactly(trf(1), cash, wallet, unit("EUR"), 500);
    assert_eq!(world.codes(vec![transfer.clone()]).await, [Outcome::Created]);
    for booked in [0, 1] {
        assert_eq!(world.totals(cash).await.debits_posted, 500, "{booked}");
        assert_eq!(world.totals(wallet).await.credits_posted, 500, "{booked}");
        assert_eq!(world.codes(vec![transfer.clone()]).await, [Outcome::Exists]);
        assert_eq!(world.book().await, 1 - booked);
    }
    assert_eq!(world.codes(vec![NewTransfer::exactly(trf(1), cash, wallet, unit("EUR"), 501)]).await, [Outcome::ExistsWithDifferentAmount]);
    assert_eq!(world.codes(vec![NewTransfer::exactly(trf(2), wallet, cash, unit("EUR"), 501)]).await, [Outcome::ExceedsCredits]);
    let hold = Action::Hold { debit: wallet, credit: cash, unit: unit("EUR"), ask: Ask::UpToDebitLimit(9_999), expires_at: None };
    let rows = world
        .post(vec![NewTransfer::new(trf(3), hold), NewTransfer::new(trf(4), Action::PostPending { pending: trf(3), amount: Some(200) })])
        .await;
    assert_eq!(rows.iter().map(|row| (row.outcome, row.amount)).collect::<Vec<_>>(), [(Outcome::Created, 500), (Outcome::Created, 200)]);
    for _ in 0..2 {
        let totals = world.totals(wallet).await;
        assert_eq!((totals.debits_posted, totals.credits_posted, totals.debits_pending), (200, 500, 0));
        let totals = world.totals(cash).await;
        assert_eq!((totals.debits_posted, totals.credits_posted, totals.credits_pending), (500, 200, 0));
        world.book().await;
    }
}
