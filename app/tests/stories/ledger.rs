//! The books: a shop sells on account, a customer pays from a wallet, and the owner looks at what became of it.

use std::time::Duration;

use serde_json::{Value, json};

use crate::client::Client;
use crate::world::World;

struct Shop {
    world: World,
    ada: Client,
    cash: String,
    sales: String,
    wallet: String,
}

fn trf(number: u32) -> String {
    format!("trf_{number:032x}")
}

impl Shop {
    async fn new() -> Self {
        let world = World::new().await;
        let (_, mut ada) = world.founded("Bakery", "ada@bakery.example", "Ada Lovelace").await;
        let mut open = async |code: &str, name: &str, kind: &str| {
            let new = json!({ "code": code, "name": name, "kind": kind, "unit": "EUR" });
            ada.post("/v1/ledger/accounts", new).await.expect(201).at("/id")
        };
        let (cash, sales) = (open("cash", "Till", "asset").await, open("sales", "Sales", "income").await);
        let owner = json!({ "owner_kind": "customer", "owner_id": "c42", "unit": "EUR", "name": "Grace's wallet" });
        let wallet = ada.post("/v1/ledger/wallets", owner.clone()).await.expect(200).at("/id");
        assert_eq!(ada.post("/v1/ledger/wallets", owner).await.expect(200).at("/id"), wallet);
        Self { world, ada, cash, sales, wallet }
    }

    fn transfer(&self, number: u32, debit: &str, credit: &str, amount: i64) -> Value {
        json!({ "id": trf(number), "debit": debit, "credit": credit, "unit": "EUR", "amount": amount })
    }

    async fn balance(&mut self, account: &str, query: &str) -> String {
        self.ada.get(&format!("/v1/ledger/accounts/{account}/balance{query}")).await.expect(200).at("/totals/balance")
    }
}

fn results(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_is_filled_spent_and_promised_and_every_statement_adds_up() {
    let mut shop = Shop::new().await;
    let (cash, sales, wallet) = (shop.cash.clone(), shop.sales.clone(), shop.wallet.clone());
    let filled = json!({ "transfers": [shop.transfer(1, &cash, &wallet, 5_000)] });
    let first = shop.ada.post("/v1/ledger/transfers", filled).await.expect(200);
    shop.world.book(&first.at("/version")).await;
    let yesterday = shop.world.store().clock().now();
    shop.world.pass(Duration::from_secs(86_400));

    let mut lunch = shop.transfer(2, &wallet, &sales, 1_200);
    lunch["source"] = json!("order:1");
    let mut hold = shop.transfer(3, &wallet, &sales, 3_000);
    hold["kind"] = json!("pending");
    let end = shop.world.store().clock().now().plus(Duration::from_secs(3_600));
    hold["expires_at"] = json!(end.to_string());
    let dear = shop.transfer(4, &wallet, &sales, 801);
    let batch = json!({ "transfers": [lunch, hold, dear] });
    let answer = shop.ada.ask_once("POST", "/v1/ledger/transfers", batch.clone(), Some("day-2")).await.expect(200);
    assert_eq!(results(&answer.json()), ["created", "created", "exceeds_credits"]);
    let again = shop.ada.ask_once("POST", "/v1/ledger/transfers", batch, Some("day-2")).await.expect(200);
    assert_eq!((again.json(), again.header("idempotent-replayed")), (answer.json(), "true"));
    let version = answer.at("/version");
    shop.world.book(&version).await;

    assert_eq!(shop.balance(&wallet, &format!("?at_least={version}")).await, "3800");
    assert_eq!(shop.balance(&wallet, &format!("?at={yesterday}")).await, "5000");
    let statement = shop.ada.get(&format!("/v1/ledger/accounts/{wallet}/statement?at_least={version}")).await.expect(200).json();
    let after: Vec<&str> = statement["items"].as_array().unwrap().iter().map(|line| line["after"]["balance"].as_str().unwrap()).collect();
    assert_eq!(after, ["3800", "3800", "5000"], "the newest first; a promise moves nothing");
    assert_eq!(statement["items"][1]["transfer"]["source"], "order:1");

    // The promise ends by itself, and what it held can be spent.
    shop.world.pass(Duration::from_secs(3_601));
    shop.world.drain().await;
    let held = shop.ada.get(&format!("/v1/ledger/transfers/{}", trf(3))).await.expect(200);
    let resolved = shop.ada.get(&format!("/v1/ledger/transfers/{}", held.at("/resolved_by"))).await.expect(200);
    assert_eq!(resolved.at("/kind"), "expire");
    let late = json!({ "transfers": [{ "id": trf(5), "kind": "post", "pending": trf(3) }, shop.transfer(6, &wallet, &sales, 3_800)] });
    let late = shop.ada.post("/v1/ledger/transfers", late).await.expect(200);
    assert_eq!(results(&late.json()), ["pending_expired", "created"]);
    shop.world.book(&late.at("/version")).await;

    for at in [String::new(), format!("?at={yesterday}")] {
        let trial = shop.ada.get(&format!("/v1/ledger/trial-balance{at}")).await.expect(200).json();
        assert_eq!(trial["units"][0]["debits"], "5000", "{trial}");
        assert_eq!(trial["units"][0]["debits"], trial["units"][0]["credits"]);
    }
    let table = shop.ada.get(&format!("/v1/ledger/accounts/{wallet}/statement.csv")).await.expect(200).text();
    assert_eq!(table.lines().count(), 6, "a head and five lines: {table}");
    assert!(table.lines().nth(2).unwrap().contains("\"12.00\""), "{table}");
    let seal = shop.ada.get("/v1/ledger/seal").await.expect(200);
    assert_eq!((seal.json()["position"].as_i64(), seal.at("/hash").len()), (Some(5), 64));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_of_one_workspace_are_nothing_to_another_even_inside_of_bodies() {
    let mut shop = Shop::new().await;
    let (_, mut bob) = shop.world.founded("Bobbins", "bob@bobbins.example", "Bob Bobbin").await;
    let his = bob.post("/v1/ledger/accounts", json!({ "code": "cash", "name": "Cash", "kind": "asset", "unit": "EUR" })).await;
    let his = his.expect(201).at("/id");
    let filled = json!({ "transfers": [shop.transfer(1, &shop.cash, &shop.wallet, 5_000)] });
    let filled = shop.ada.post("/v1/ledger/transfers", filled).await.expect(200);
    shop.world.book(&filled.at("/version")).await;
    let theft = json!({ "transfers": [
        shop.transfer(2, &shop.wallet, &his, 5_000),
        shop.transfer(3, &his, &shop.wallet, 5_000),
        { "id": trf(4), "kind": "void", "pending": trf(1) },
        shop.transfer(1, &shop.cash, &shop.wallet, 5_000),
    ] });
    let answer = bob.post("/v1/ledger/transfers", theft).await.expect(200);
    // Even the identifier of a transfer is free for him: he does not learn that it is taken elsewhere.
    assert_eq!(
        results(&answer.json()),
        ["debit_account_not_found", "credit_account_not_found", "pending_not_found", "debit_account_not_found"]
    );
    for path in ["", "/balance", "/statement", "/statement.csv"] {
        bob.get(&format!("/v1/ledger/accounts/{}{path}", shop.wallet)).await.expect(404);
    }
    bob.get(&format!("/v1/ledger/transfers/{}", trf(1))).await.expect(404);
    assert_eq!(bob.get("/v1/ledger/accounts").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    assert_eq!(bob.get("/v1/ledger/wallets").await.expect(200).json()["items"], json!([]));
    assert_eq!(bob.get("/v1/ledger/trial-balance").await.expect(200).json()["units"], json!([]));
    bob.get("/v1/ledger/seal").await.expect(404);
    assert_eq!(shop.balance(&shop.wallet.clone(), "").await, "5000");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_look_and_only_those_who_manage_post() {
    let mut shop = Shop::new().await;
    let new = json!({ "code": "bank", "name": "Bank", "kind": "asset", "unit": "EUR" });
    for (role, status) in [("admin", 201), ("member", 403), ("viewer", 403)] {
        let mut colleague = shop.world.join(&mut shop.ada, &format!("{role}@bakery.example"), role).await;
        colleague.post("/v1/ledger/accounts", new.clone()).await.expect(status);
        colleague.get(&format!("/v1/ledger/accounts/{}/statement", shop.wallet)).await.expect(200);
    }
    let key = |scopes: &[&str]| json!({ "name": "k", "scopes": scopes });
    let reading = shop.ada.post("/v1/keys", key(&["ledger:read"])).await.expect(201).at("/key");
    let posting = shop.ada.post("/v1/keys", key(&["ledger:post"])).await.expect(201).at("/key");
    let batch = json!({ "transfers": [shop.transfer(1, &shop.cash, &shop.wallet, 1)] });
    shop.world.stranger().with_key(&reading).post("/v1/ledger/transfers", batch.clone()).await.expect(403);
    shop.world.stranger().with_key(&posting).post("/v1/ledger/transfers", batch).await.expect(200);
    shop.world.stranger().with_key(&posting).get("/v1/ledger/trial-balance").await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_numbers_are_refused_in_words() {
    let mut shop = Shop::new().await;
    for (amount, wanted) in
        [("1.5", "amount"), ("\"5\"", "amount"), ("1e3", "amount"), ("18446744073709551616", "amount"), ("true", "amount")]
    {
        let row = format!(
            r#"{{"transfers":[{{"id":"{}","debit":"{}","credit":"{}","unit":"EUR","amount":{amount}}}]}}"#,
            trf(1),
            shop.cash,
            shop.sales
        );
        let request = shop.ada.request("POST", "/v1/ledger/transfers").header("content-type", "application/json");
        let reply = shop.ada.send(request.body(row.into()).unwrap()).await.expect(422);
        assert_eq!(reply.at("/errors/0/field"), format!("transfers[0].{wanted}"), "{amount}: {}", reply.text());
    }
    for (amount, result) in [(0, "amount_must_be_positive"), (-1, "amount_must_be_positive"), (1 << 53, "amount_too_large")] {
        let batch = json!({ "transfers": [shop.transfer(1, &shop.cash, &shop.sales, amount)] });
        assert_eq!(results(&shop.ada.post("/v1/ledger/transfers", batch).await.expect(200).json()), [result], "{amount}");
    }
    let cash = shop.cash.clone();
    assert_eq!(shop.balance(&cash, "").await, "0");
}
