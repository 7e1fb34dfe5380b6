//! The pages of the ledger: a shopkeeper opens accounts, looks at what was posted, and prints a statement; others see nothing
//! of it, and who may only look changes nothing.

use std::time::Duration;

use serde_json::json;

use crate::client::Client;
use crate::world::World;

struct Books {
    world: World,
    ada: Client,
    cash: String,
    sales: String,
    entry: String,
    hold: String,
}

/// An account opened by the form; its page.
async fn opened(ada: &mut Client, code: &str, name: &str, kind: &str) -> String {
    let fields = [("code", code), ("name", name), ("kind", kind), ("unit", "eur"), ("limits", "none")];
    let reply = ada.form("/ledger", &fields).await.expect(303);
    reply.header("location").split('?').next().unwrap().to_owned()
}

fn id(page: &str) -> &str {
    page.rsplit('/').next().unwrap()
}

impl Books {
    async fn new() -> Self {
        let world = World::new().await;
        let (_, mut ada) = world.founded("Corner Grocery", "ada@grocery.example", "Ada Lovelace").await;
        let cash = opened(&mut ada, "cash.till.eur", "Cash in the till <b>", "asset").await;
        let sales = opened(&mut ada, "sales.eur", "Sales مبيعات", "income").await;
        let last_month = world.store().clock().now().minus(Duration::from_secs(40 * 86_400)).to_string();
        let line =
            |amount: i64| json!({ "debit": id(&cash), "credit": id(&sales), "unit": "EUR", "amount": amount, "memo": "Bread & milk" });
        let mut late = line(12_345);
        late["effective_at"] = json!(last_month);
        let body = json!({ "source": "order:17", "lines": [line(100_005), late] });
        let entry = ada.post("/v1/ledger/entries", body).await.expect(201);
        let hold = format!("trf_{:032x}", 9);
        let mut held = line(700);
        held["id"] = json!(hold);
        held["kind"] = json!("pending");
        let posted = ada.post("/v1/ledger/transfers", json!({ "transfers": [held] })).await.expect(200);
        world.book(&posted.at("/version")).await;
        Self { entry: entry.at("/id"), world, ada, cash, sales, hold }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_shows_what_stands_on_it_by_the_day_that_it_counts_from() {
    let mut books = Books::new().await;
    let list = books.ada.page("/ledger").await.expect(200).text();
    assert!(list.contains("Cash in the till &#60;b&#62;") && list.contains("1123.50") && list.contains("7.00 coming"), "{list}");
    let filtered = books.ada.page("/ledger?kind=income&prefix=sal&unit=eur&state=open").await.expect(200).text();
    assert!(filtered.contains("مبيعات") && !filtered.contains(">cash.till.eur<"));
    assert!(books.ada.page("/ledger?prefix=nothing").await.expect(200).text().contains("Nothing found"));

    let month = books.ada.page(&format!("{}?range=30d", books.cash)).await.expect(200).text();
    assert!(month.contains(">1000.05</td>") && !month.contains("Debit\">123.45</td>"), "{month}");
    assert!(month.contains("role=\"img\" aria-label=\"The balance from "));
    let all = books.ada.page(&format!("{}?range=all", books.cash)).await.expect(200).text();
    assert!(all.contains("Debit\">123.45</td>") && all.contains("entered "), "{all}");
    let (newest, oldest) = (all.find("Balance\">1123.50</td>").unwrap(), all.find("Balance\">123.45</td>").unwrap());
    assert!(newest < oldest, "the newest stands on top");
    let elsewhere = books.ada.page(&format!("{}?from=2001-01-01&to=2001-01-31", books.cash)).await.expect(200).text();
    assert!(elsewhere.contains("Nothing counts from these days"));

    let trial = books.ada.page("/ledger/trial-balance").await.expect(200).text();
    assert_eq!(trial.matches("1123.50").count(), 4, "two rows and two sums");
    let past = books.world.store().clock().now().minus(Duration::from_secs(20 * 86_400)).to_string();
    let past = books.ada.page(&format!("/ledger/trial-balance?at={}", &past[..10])).await.expect(200).text();
    assert_eq!((past.matches(">123.45<").count(), past.matches("1123.50").count()), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_and_an_entry_say_all_that_is_known_of_them() {
    let mut books = Books::new().await;
    let entry = books.ada.page(&format!("/ledger/entries/{}", books.entry)).await.expect(200).text();
    for part in ["Bread &#38; milk", "order:17", "Ada Lovelace", "1000.05", "123.45", "1123.50", "<dt>Block</dt>"] {
        assert!(entry.contains(part), "{part} is missing: {entry}");
    }
    let pending = books.ada.page(&format!("/ledger/transfers/{}", books.hold)).await.expect(200).text();
    assert!(pending.contains("Pending transfer: 7.00 EUR") && !pending.contains("Resolved by"));
    let post = json!({ "id": format!("trf_{:032x}", 10), "kind": "post", "pending": books.hold, "amount": 500 });
    let posted = books.ada.post("/v1/ledger/transfers", json!({ "transfers": [post] })).await.expect(200);
    books.world.book(&posted.at("/version")).await;
    let resolved = books.ada.page(&format!("/ledger/transfers/{}", books.hold)).await.expect(200).text();
    assert!(resolved.contains("Resolved by") && resolved.contains("5.00 EUR") && resolved.contains("Posted since"), "{resolved}");
    let posting = books.ada.page(&format!("/ledger/transfers/trf_{:032x}", 10)).await.expect(200).text();
    assert!(posting.contains("Resolves the pending transfer") && posting.contains("7.00 EUR are no longer pending"), "{posting}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_is_printed_for_the_days_that_are_asked_for() {
    let mut books = Books::new().await;
    let path = format!("/v1{}/statement.pdf", books.cash);
    let paper = books.ada.get(&path).await.expect(200);
    assert_eq!(paper.header("content-type"), "application/pdf");
    assert_eq!(paper.header("content-disposition"), "attachment; filename=\"statement-cash.till.eur.pdf\"");
    assert!(paper.bytes.starts_with(b"%PDF-1.7"));
    let nothing = books.ada.get(&format!("{path}?until=2001-01-01T00:00:00Z")).await.expect(200);
    assert!(nothing.bytes.len() < paper.bytes.len());
    assert!(books.ada.get(&format!("{path}?from=yesterday")).await.expect(422).text().contains("RFC 3339"));

    // More lines than anybody reads on paper.
    let (cash, sales) = (id(&books.cash), id(&books.sales));
    let line = |n: usize| json!({ "id": format!("trf_{:032x}", 1_000 + n), "debit": cash, "credit": sales, "unit": "EUR", "amount": 1 });
    let lines: Vec<_> = (0..4_000).map(line).collect();
    let posted = books.ada.post("/v1/ledger/transfers", json!({ "transfers": lines })).await.expect(200);
    books.world.book(&posted.at("/version")).await;
    assert!(books.ada.get(&path).await.expect(422).text().contains("statement.csv"));
    let page = books.ada.page(&books.cash).await.expect(200).text();
    let older = page.split("href=\"").filter_map(|part| part.split('"').next()).find(|href| href.contains("before=")).unwrap();
    let older = books.ada.page(&older.replace("&#38;", "&")).await.expect(200).text();
    assert!(older.contains("To the newest") && older.contains("before="));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_opened_and_closed_by_who_may_and_by_nobody_else() {
    let mut books = Books::new().await;
    let wrong = [("code", "no good"), ("name", ""), ("kind", "asset"), ("unit", "euro"), ("limits", "none")];
    let told = books.ada.form("/ledger", &wrong).await.expect(422).text();
    assert!(told.contains("The code must be") && told.contains("The name must be") && told.contains("no good"), "{told}");
    let taken = [("code", "sales.eur"), ("name", "Again"), ("kind", "income"), ("unit", "EUR"), ("limits", "none")];
    assert!(books.ada.form("/ledger", &taken).await.expect(409).text().contains("hoose another one"));

    let spare = opened(&mut books.ada, "spare", "Spare", "expense").await;
    books.ada.form(&format!("{spare}/close"), &[]).await.expect(303);
    let closed = books.ada.page(&spare).await.expect(200).text();
    assert!(closed.contains("Open it again") && !closed.contains("Close the account"));
    books.ada.form(&format!("{spare}/reopen"), &[]).await.expect(303);
    let holding = books.ada.form(&format!("{}/close", books.cash), &[]).await.expect(409).text();
    assert!(holding.contains("bring it to zero first"));

    let mut viewer = books.world.join(&mut books.ada, "vera@grocery.example", "viewer").await;
    let seen = viewer.page("/ledger").await.expect(200).text();
    assert!(seen.contains("cash.till.eur") && !seen.contains("A new account"));
    assert!(!viewer.page(&spare).await.expect(200).text().contains("Close the account"));
    viewer.form("/ledger", &taken).await.expect(403);
    viewer.form(&format!("{spare}/close"), &[]).await.expect(403);

    let (_, mut bob) = books.world.founded("Bobbins", "bob@bobbins.example", "Bob Bobbin").await;
    let (cash, entry, hold) = (&books.cash, &books.entry, &books.hold);
    for path in [cash.clone(), format!("/ledger/entries/{entry}"), format!("/ledger/transfers/{hold}")] {
        bob.page(&path).await.expect(404);
    }
    bob.get(&format!("/v1{cash}/statement.pdf")).await.expect(404);
    let empty = bob.page("/ledger").await.expect(200).text();
    assert!(empty.contains("No accounts yet") && !empty.contains(">cash.till.eur<"));
    assert!(bob.page("/ledger/trial-balance").await.expect(200).text().contains("Nothing stands in the books"));
    assert!(bob.page("/ledger/wallets").await.expect(200).text().contains("No wallets yet"));
}

#[tokio::test(flavor = "multi_thread")]
async fn wallets_stand_by_their_owners() {
    let mut books = Books::new().await;
    for (kind, owner, unit) in [("customer", "c42", "EUR"), ("customer", "c42", "points.grocery"), ("merchant", "m7", "EUR")] {
        let wallet = json!({ "owner_kind": kind, "owner_id": owner, "unit": unit, "name": format!("{owner} in {unit}") });
        books.ada.post("/v1/ledger/wallets", wallet).await.expect(200);
    }
    let page = books.ada.page("/ledger/wallets").await.expect(200).text();
    assert_eq!((page.matches(">c42</b>").count(), page.matches(">m7</b>").count()), (1, 1), "{page}");
    assert!(page.contains("c42 in points.grocery"));
    let found = books.ada.page("/ledger/wallets?q=merchant.m7").await.expect(200).text();
    assert!(found.contains("m7 in EUR") && !found.contains("c42 in"));
    assert!(books.ada.page("/ledger/wallets?q=%3Cb%3E").await.expect(200).text().contains("Nothing found"));
}
