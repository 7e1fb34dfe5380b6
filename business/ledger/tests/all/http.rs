//! The ledger through the door: who may, what goes in, what comes out, and that the document is true.

use std::sync::Arc;
use std::time::Duration;

use ::http::{Request, StatusCode};
use axum::Router;
use axum::body::Body;
use gateway::{Door, DoorSettings, Doorkeeper, Resolving, ShutdownSignal};
use http_body_util::BodyExt;
use kernel::{Caller, Entropy, Grants, Id, KeyId, RawId};
use ledger::{grants, keeper};
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::world::{World, trf, workspace};

/// `all-<n>`, `read-<n>` and `none-<n>` are keys of workspace n with those rights.
struct Keeper;

impl Doorkeeper for Keeper {
    fn by_session<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        Box::pin(async { Ok(None) })
    }
    fn by_key<'a>(&'a self, bearer: &'a str) -> Resolving<'a> {
        Box::pin(async move {
            let Some((rights, number)) = bearer.split_once('-') else { return Ok(None) };
            let grants = match rights {
                "all" => Grants::of([grants::READ, grants::POST]),
                "read" => Grants::of([grants::READ]),
                _ => Grants::default(),
            };
            Ok(number.parse().ok().map(|n| Caller::Key { workspace: workspace(n), key: KeyId::from_raw(RawId::from_bits(n)), grants }))
        })
    }
}

pub struct House {
    pub world: World,
    router: Router,
    document: Value,
    books: tokio::task::JoinHandle<()>,
}

impl Drop for House {
    fn drop(&mut self) {
        self.books.abort();
    }
}

struct Reply {
    status: StatusCode,
    text: String,
    is_replayed: bool,
    retry_after: Option<String>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no JSON: {}", self.text))
    }
    fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        self.json()
    }
    /// The first refused field and what is said about it.
    fn field(&self) -> (String, String) {
        let error = &self.json()["errors"][0];
        let word = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        (word("field"), word("message"))
    }
}

impl House {
    async fn new() -> Self {
        Self::over(World::new().await)
    }

    pub fn over(world: World) -> Self {
        let door = Door::new(DoorSettings::default(), Arc::new(Keeper), &Entropy::seeded(1), ShutdownSignal::never());
        let (routes, document) = ledger::routes(ledger::Deps { store: world.store.clone() }).split_for_parts();
        let document = serde_json::from_str(&gateway::openapi::to_json(document).unwrap()).unwrap();
        let books = tokio::spawn(keeper::keep(world.store.clone()));
        Self { router: door.around(routes), world, document, books }
    }

    async fn send(&self, key: &str, method: &str, path: &str, body: Option<String>, once: Option<&str>) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        if let Some(once) = once {
            request = request.header("idempotency-key", once);
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(Body::from(body)),
            None => request.body(Body::empty()),
        };
        let response = self.router.clone().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let content_type = parts.headers.get("content-type").map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default();
        let known_path = path.split('?').next().unwrap();
        gateway::openapi::check(&self.document, method, known_path, parts.status.as_u16(), Some(&content_type), &bytes).unwrap();
        let is_replayed = parts.headers.contains_key("idempotent-replayed");
        let retry_after = parts.headers.get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        Reply { status: parts.status, text: String::from_utf8(bytes.to_vec()).unwrap(), is_replayed, retry_after }
    }

    async fn ask(&self, key: &str, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.send(key, method, path, body.map(|body| body.to_string()), None).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.ask("all-1", "GET", path, None).await.expect(200)
    }

    pub async fn open(&self, code: &str, kind: &str) -> String {
        let body = json!({ "code": code, "name": code, "kind": kind, "unit": "EUR" });
        text(&self.ask("all-1", "POST", "/v1/ledger/accounts", Some(body)).await.expect(201)["id"])
    }

    async fn wallet(&self, id: &str) -> String {
        let body = json!({ "owner_kind": "customer", "owner_id": id, "unit": "EUR" });
        text(&self.ask("all-1", "POST", "/v1/ledger/wallets", Some(body)).await.expect(200)["id"])
    }

    pub async fn post(&self, transfers: Vec<Value>) -> Value {
        self.ask("all-1", "POST", "/v1/ledger/transfers", Some(json!({ "transfers": transfers }))).await.expect(200)
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

pub fn transfer(number: u128, debit: &str, credit: &str, amount: i64) -> Value {
    json!({ "id": trf(number).to_string(), "debit": debit, "credit": credit, "unit": "EUR", "amount": amount })
}

fn results(answer: &Value) -> Vec<&str> {
    answer["results"].as_array().unwrap().iter().map(|row| row["result"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_opens_accounts_posts_and_reads_what_it_wrote() {
    let house = House::new().await;
    let cash = house.open("cash", "asset").await;
    let wallet = house.wallet("c42").await;
    assert_eq!(house.wallet("c42").await, wallet, "opened once");
    let promise = json!({ "id": trf(4).to_string(), "kind": "pending", "debit": wallet, "credit": cash, "unit": "EUR", "amount": 900,
        "up_to": "debit_limit", "expires_at": "2026-02-01T00:00:00Z" });
    let post = json!({ "id": trf(5).to_string(), "kind": "post", "pending": trf(4).to_string(), "amount": 100, "memo": "=1+1; lunch" });
    let batch = vec![
        transfer(1, &cash, &wallet, 500),
        transfer(1, &cash, &wallet, 501),
        transfer(2, &wallet, &cash, 501),
        transfer(3, &cash, &cash, 1),
        promise,
        post,
    ];
    let answer = house.post(batch).await;
    let expected = ["created", "exists_with_different_amount", "exceeds_credits", "accounts_must_differ", "created", "created"];
    assert_eq!(results(&answer), expected);
    let amounts: Vec<i64> = answer["results"].as_array().unwrap().iter().map(|row| row["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [500, 0, 0, 0, 500, 100]);
    let version = text(&answer["version"]);

    let balance = house.get(&format!("/v1/ledger/accounts/{wallet}/balance?at_least={version}")).await;
    assert_eq!(
        balance["totals"],
        json!({ "balance": "400", "debits_posted": "100", "credits_posted": "500", "debits_pending": "0",
        "credits_pending": "0", "available": "400" })
    );
    let first = house.get(&format!("/v1/ledger/accounts/{wallet}/statement?limit=2&at_least={version}")).await;
    assert_eq!(first["version"], version);
    let rest = house.get(&format!("/v1/ledger/accounts/{wallet}/statement?limit=2&after={}", text(&first["next"]))).await;
    let lines: Vec<(&str, &str)> = [&first, &rest]
        .iter()
        .flat_map(|page| page["items"].as_array().unwrap())
        .map(|line| (line["transfer"]["kind"].as_str().unwrap(), line["after"]["balance"].as_str().unwrap()))
        .collect();
    assert_eq!((lines, rest.get("next")), (vec![("post", "400"), ("pending", "500"), ("transfer", "500")], None));

    let table = house.ask("all-1", "GET", &format!("/v1/ledger/accounts/{wallet}/statement.csv"), None).await;
    let mut reader = csv::Reader::from_reader(table.text.trim_start_matches('\u{FEFF}').as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let cells: Vec<[&str; 5]> = rows.iter().map(|row| [&row[10], &row[11], &row[12], &row[14], &row[7]]).collect();
    let expected = [["", "5.00", "", "5.00", ""], ["", "", "5.00", "5.00", ""], ["1.00", "", "-5.00", "4.00", "'=1+1; lunch"]];
    assert_eq!(cells, expected);

    let trial = house.get("/v1/ledger/trial-balance").await;
    assert_eq!((&trial["units"][0]["debits"], &trial["units"][0]["credits"]), (&json!("400"), &json!("400")));
    assert_eq!(trial["units"][0]["rows"][1]["side"], "credit");
    assert_eq!(house.get("/v1/ledger/trial-balance?detail=sums").await["units"][0]["rows"], json!([]));
    let before = house.get("/v1/ledger/trial-balance?at=2026-01-31T09:29:59Z").await;
    assert_eq!(before["units"], json!([]));
    let seal = house.get("/v1/ledger/seal").await;
    assert_eq!((seal["position"].as_i64(), text(&seal["hash"]).len()), (Some(3), 64));
    let held = house.get(&format!("/v1/ledger/transfers/{}", trf(4))).await;
    assert_eq!(held["resolved_by"], trf(5).to_string());
    let owned = house.get("/v1/ledger/wallets?owner_kind=customer&owner_id=c42").await;
    assert_eq!((owned["items"].as_array().unwrap().len(), &owned["items"][0]["totals"]["balance"]), (1, &json!("400")));
    let of_another = house.get("/v1/ledger/wallets?owner_kind=customer&owner_id=c4").await;
    assert_eq!(of_another["items"], json!([]));
    house.wallet("c43").await;
    let page = house.get("/v1/ledger/wallets?owner_kind=customer&limit=1").await;
    let rest = house.get(&format!("/v1/ledger/wallets?limit=1&after={}", text(&page["next"]))).await;
    assert_eq!((&rest["items"][0]["code"], rest.get("next")), (&json!("wallet.customer.c43.eur"), None));
    assert_eq!(house.ask("all-1", "GET", "/v1/ledger/wallets?owner_id=c42", None).await.field().0, "owner_kind");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_listed_renamed_closed_and_opened_again() {
    let house = House::new().await;
    let ids = [house.open("a", "asset").await, house.open("b", "income").await, house.open("c", "asset").await];
    let page = house.get("/v1/ledger/accounts?limit=2").await;
    assert_eq!((&page["items"][1]["id"], &page["next"]), (&json!(ids[1]), &json!("b")));
    assert_eq!(house.get("/v1/ledger/accounts?after=b").await["items"][0]["id"], ids[2]);
    assert_eq!(house.get("/v1/ledger/accounts?kind=income").await["items"].as_array().unwrap().len(), 1);
    let path = format!("/v1/ledger/accounts/{}", ids[0]);
    let patch = json!({ "name": "Till", "metadata": { "shop": 7 } });
    let changed = house.ask("all-1", "PATCH", &path, Some(patch)).await.expect(200);
    assert_eq!((&changed["name"], &changed["metadata"]["shop"]), (&json!("Till"), &json!(7)));
    let changed = house.ask("all-1", "PATCH", &path, Some(json!({ "metadata": null }))).await.expect(200);
    assert_eq!((&changed["name"], changed.get("metadata")), (&json!("Till"), None));
    house.post(vec![transfer(1, &ids[0], &ids[1], 5)]).await;
    assert_eq!(house.ask("all-1", "POST", &format!("{path}/close"), None).await.expect(409)["code"], "account_not_empty");
    house.post(vec![transfer(2, &ids[1], &ids[0], 5)]).await;
    assert!(house.ask("all-1", "POST", &format!("{path}/close"), None).await.expect(200).get("closed_at").is_some());
    assert_eq!(house.get("/v1/ledger/accounts?state=closed").await["items"][0]["id"], ids[0]);
    assert_eq!(results(&house.post(vec![transfer(3, &ids[0], &ids[1], 5)]).await), ["debit_account_closed"]);
    house.ask("all-1", "POST", &format!("{path}/reopen"), None).await.expect(200);
    assert_eq!(results(&house.post(vec![transfer(3, &ids[0], &ids[1], 5)]).await), ["created"]);
    let taken = json!({ "code": "a", "name": "Again", "kind": "asset", "unit": "EUR" });
    let refused = house.ask("all-1", "POST", "/v1/ledger/accounts", Some(taken)).await;
    assert_eq!((refused.status.as_u16(), refused.field().0.as_str()), (409, "code"));
    let by = |query: &str| format!("{path}/balance?{query}");
    assert_eq!(house.get(&by("at=2026-01-31T09:30:00Z&by=effective")).await["totals"]["available"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_lets_others_pass_and_answers_the_same_under_its_key() {
    let house = House::new().await;
    let (cash, fees) = (house.open("cash", "asset").await, house.open("fees", "income").await);
    let wallet = house.wallet("c1").await;
    let mut transfers: Vec<Value> = (1..=1_800).map(|number| transfer(number, &cash, &fees, 1)).collect();
    // Refused for want of money in each of the chunks, and in a chain that would lie across two of them.
    for at in [3, 700, 1_799] {
        transfers[at] = transfer(10_000 + at as u128, &wallet, &cash, 5);
    }
    for linked in &mut transfers[495..505] {
        linked["linked"] = json!(true);
    }
    transfers[502] = transfer(20_000, &wallet, &cash, 5);
    transfers[502]["linked"] = json!(true);
    let body = json!({ "transfers": transfers }).to_string();
    let batch = house.send("all-1", "POST", "/v1/ledger/transfers", Some(body.clone()), Some("b1"));
    let (answer, single) = tokio::join!(batch, house.post(vec![transfer(30_000, &cash, &fees, 1)]));
    assert!(!answer.is_replayed);
    let first = answer.expect(200);
    let version = |answer: &Value| text(&answer["version"]).parse::<ledger::queries::Version>().unwrap();
    assert!(version(&single) < version(&first), "a single transfer does not wait for the whole batch");
    let rows = results(&first);
    let indexes: Vec<u64> = first["results"].as_array().unwrap().iter().map(|row| row["index"].as_u64().unwrap()).collect();
    assert_eq!(indexes, (0..1_800).collect::<Vec<u64>>());
    let refused: Vec<usize> = (0..rows.len()).filter(|at| rows[*at] != "created").collect();
    let expected: Vec<usize> = [3].into_iter().chain(495..506).chain([700, 1_799]).collect();
    assert_eq!(refused, expected);
    assert_eq!((rows[502], rows[505], rows[700]), ("exceeds_credits", "linked_event_failed", "exceeds_credits"));

    // There is money now, and the answer under the key stays what it was.
    house.post(vec![transfer(40_000, &cash, &wallet, 100)]).await;
    let again = house.send("all-1", "POST", "/v1/ledger/transfers", Some(body.clone()), Some("b1")).await;
    assert!(again.is_replayed);
    assert_eq!(again.expect(200), first);
    let other = json!({ "transfers": transfers[..700] }).to_string();
    let reused = house.send("all-1", "POST", "/v1/ledger/transfers", Some(other), Some("b1")).await;
    assert_eq!(reused.expect(422)["code"], "idempotency_key_reused");
    // Without the key what stands exists, and what was refused is judged anew.
    let anew = house.send("all-1", "POST", "/v1/ledger/transfers", Some(body), None).await.expect(200);
    let rows = results(&anew);
    assert_eq!((rows[0], rows[3], rows[495], rows[505], rows[1_799]), ("exists", "created", "created", "created", "created"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_stands_as_a_whole_or_names_the_line_that_was_refused() {
    let house = House::new().await;
    let (cash, sales, tax) = (house.open("cash", "asset").await, house.open("sales", "income").await, house.open("tax", "liability").await);
    let wallet = house.wallet("c1").await;
    let line = |debit: &str, credit: &str, amount: i64| json!({ "debit": debit, "credit": credit, "unit": "EUR", "amount": amount });
    let body = json!({ "source": "order:1", "memo": "Lunch", "lines": [line(&cash, &sales, 84), line(&cash, &tax, 16)] });
    let post =
        async |body: &Value, once: Option<&str>| house.send("all-1", "POST", "/v1/ledger/entries", Some(body.to_string()), once).await;
    let entry = post(&body, Some("e1")).await.expect(201);
    let again = post(&body, Some("e1")).await;
    assert!(again.is_replayed);
    assert_eq!(again.expect(201), entry, "lines without a name are posted once under a key");
    let found = house.get(&format!("/v1/ledger/entries/{}", text(&entry["id"]))).await;
    assert_eq!(found, entry);
    assert_eq!((found["transfers"].as_array().unwrap().len(), &found["transfers"][1]["memo"]), (2, &json!("Lunch")));
    let refused = json!({ "source": "order:2", "lines": [line(&cash, &sales, 5), line(&wallet, &sales, 5), line(&cash, &tax, 5)] });
    let refused = post(&refused, Some("e2")).await;
    assert_eq!(refused.field().0, "lines[1]");
    assert_eq!(refused.expect(409)["code"], "exceeds_credits");
    let named = format!("ent_{:032x}", 77);
    let body = json!({ "id": named, "source": "order:3", "lines": [line(&cash, &sales, 1), line(&sales, &cash, 1)] });
    assert_eq!(post(&body, None).await.expect(201)["id"], named);
    let balance = house.get(&format!("/v1/ledger/accounts/{sales}/balance")).await;
    assert_eq!(balance["totals"]["balance"], "84");
    for (lines, field) in [
        (json!([line(&cash, &sales, 1)]), "lines"),
        (
            json!([line(&cash, &sales, 1), { "linked": true, "debit": cash, "credit": sales, "unit": "EUR", "amount": 1 }]),
            "lines[1].linked",
        ),
        (json!([line(&cash, &sales, 1), { "kind": "void" }]), "lines[1].pending"),
    ] {
        let reply = post(&json!({ "source": "x", "lines": lines }), None).await;
        assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, field), "{}", reply.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_row_gets_its_code_or_names_its_field() {
    let house = House::new().await;
    let (cash, sales) = (house.open("cash", "asset").await, house.open("sales", "income").await);
    let good = transfer(1, &cash, &sales, 1);
    // What can be read is judged.
    for (amount, code) in [
        (0, "amount_must_be_positive"),
        (-5, "amount_must_be_positive"),
        (ledger::AMOUNT_MAX + 1, "amount_too_large"),
        (i64::MAX, "amount_too_large"),
    ] {
        assert_eq!(results(&house.post(vec![transfer(9, &cash, &sales, amount)]).await), [code], "{amount}");
    }
    // What cannot be read is refused with the whole batch, and says where.
    let with = |name: &str, value: Value| {
        let mut row = good.clone();
        row[name] = value;
        row
    };
    let long = |letters: usize| Value::String("x".repeat(letters));
    for (row, field) in [
        (with("amount", json!(1.0)), "amount"),
        (with("amount", json!(1.5)), "amount"),
        (with("amount", json!("1")), "amount"),
        (with("amount", json!(u64::MAX)), "amount"),
        (with("amount", json!(null)), "amount"),
        (with("amount", json!([1])), "amount"),
        (with("id", json!("trf_1")), "id"),
        (with("id", json!(null)), "id"),
        (with("debit", json!(sales.replace("acc", "trf"))), "debit"),
        (with("debit", json!(null)), "debit"),
        (with("unit", json!("euro")), "unit"),
        (with("kind", json!("expire")), "kind"),
        (with("up_to", json!("heaven")), "up_to"),
        (with("expires_at", json!("2026-02-01T00:00:00Z")), "expires_at"),
        (with("pending", json!(trf(1).to_string())), "pending"),
        (with("effective_at", json!("yesterday")), "effective_at"),
        (with("source", json!("")), "source"),
        (with("source", long(121)), "source"),
        (with("memo", long(501)), "memo"),
        (with("memo", json!("two\nlines")), "memo"),
        (with("metadata", json!("words")), "metadata"),
        (with("metadata", json!({ "a": "x".repeat(2_050) })), "metadata"),
        (with("colour", json!("red")), "colour"),
        (with("linked", json!("yes")), "linked"),
    ] {
        let body = json!({ "transfers": [good, row] });
        let reply = house.ask("all-1", "POST", "/v1/ledger/transfers", Some(body)).await;
        assert_eq!((reply.status.as_u16(), reply.field().0), (422, format!("transfers[1].{field}")), "{row} {}", reply.text);
    }
    for body in [json!({ "transfers": [] }), json!({ "transfers": vec![good.clone(); 8_001] })] {
        let reply = house.ask("all-1", "POST", "/v1/ledger/transfers", Some(body)).await;
        assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, "transfers"));
    }
    let chain: Vec<Value> = (0..501)
        .map(|number| {
            let mut row = transfer(number, &cash, &sales, 1);
            row["linked"] = json!(true);
            row
        })
        .collect();
    let reply = house.ask("all-1", "POST", "/v1/ledger/transfers", Some(json!({ "transfers": chain }))).await;
    assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, "transfers[500]"));
    let nothing = house.get(&format!("/v1/ledger/accounts/{cash}/balance")).await;
    assert_eq!(nothing["totals"]["debits_posted"], "0", "no batch was posted in part");

    let account = |name: &str, value: Value| {
        let mut body = json!({ "code": "x", "name": "X", "kind": "asset", "unit": "EUR" });
        body[name] = value;
        body
    };
    for (field, value) in [
        ("code", json!("two words")),
        ("code", long(121)),
        ("name", json!(" ")),
        ("kind", json!("thing")),
        ("unit", json!("points.")),
        ("limits", json!("some")),
        ("metadata", json!([])),
        ("owner", json!("me")),
    ] {
        let reply = house.ask("all-1", "POST", "/v1/ledger/accounts", Some(account(field, value))).await;
        assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, field), "{}", reply.text);
    }
    let reply = house.ask("all-1", "PATCH", &format!("/v1/ledger/accounts/{cash}"), Some(json!({ "kind": "income" }))).await;
    assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, "kind"));
    for (field, body) in [
        ("owner_id", json!({ "owner_kind": "customer", "owner_id": "a.eur", "unit": "EUR" })),
        ("owner_kind", json!({ "owner_kind": "Customer", "owner_id": "a", "unit": "EUR" })),
    ] {
        let reply = house.ask("all-1", "POST", "/v1/ledger/wallets", Some(body)).await;
        assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, field));
    }
    for (query, field) in [
        ("statement?after=x", "after"),
        ("statement?after=-1", "after"),
        ("statement?limit=201", "limit"),
        ("statement?at_least=1", "at_least"),
        ("statement?from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "until"),
        ("statement.csv?after=1", "after"),
        ("balance?by=effective", "by"),
        ("balance?at=today", "at"),
        ("balance?at=2026-01-01T00:00:00Z&by=mood", "by"),
    ] {
        let reply = house.ask("all-1", "GET", &format!("/v1/ledger/accounts/{cash}/{query}"), None).await;
        assert_eq!((reply.status.as_u16(), reply.field().0.as_str()), (422, field), "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_gets_nothing_and_another_workspace_finds_nothing() {
    let house = House::new().await;
    let (cash, sales) = (house.open("cash", "asset").await, house.open("sales", "income").await);
    let line = json!({ "debit": cash, "credit": sales, "unit": "EUR", "amount": 7 });
    let entry = json!({ "source": "order:1", "lines": [line, line] });
    let made = house.ask("all-1", "POST", "/v1/ledger/entries", Some(entry.clone())).await.expect(201);
    let (entry_id, transfer_id) = (text(&made["id"]), text(&made["transfers"][0]["id"]));
    let path = format!("/v1/ledger/accounts/{cash}");
    let reads = [
        path.clone(),
        format!("{path}/balance"),
        format!("{path}/statement"),
        format!("{path}/statement.csv"),
        format!("/v1/ledger/transfers/{transfer_id}"),
        format!("/v1/ledger/entries/{entry_id}"),
    ];
    let lists = ["/v1/ledger/accounts", "/v1/ledger/trial-balance", "/v1/ledger/seal", "/v1/ledger/wallets?owner_kind=a&owner_id=b"];
    for path in reads.iter().map(String::as_str).chain(lists) {
        assert_eq!(house.ask("", "GET", path, None).await.status, 401, "{path}");
        assert_eq!(house.ask("none-1", "GET", path, None).await.status, 403, "{path}");
    }
    for path in &reads {
        assert_eq!(house.ask("all-2", "GET", path, None).await.status, 404, "{path}");
        assert_eq!(house.ask("read-1", "GET", path, None).await.status, 200, "{path}");
    }
    let writes = [
        ("POST", "/v1/ledger/accounts".to_owned(), json!({ "code": "x", "name": "X", "kind": "asset", "unit": "EUR" })),
        ("PATCH", path.clone(), json!({ "name": "mine" })),
        ("POST", format!("{path}/close"), Value::Null),
        ("POST", format!("{path}/reopen"), Value::Null),
        ("POST", "/v1/ledger/wallets".to_owned(), json!({ "owner_kind": "customer", "owner_id": "x", "unit": "EUR" })),
        ("POST", "/v1/ledger/transfers".to_owned(), json!({ "transfers": [transfer(1, &cash, &sales, 1)] })),
        ("POST", "/v1/ledger/entries".to_owned(), entry.clone()),
    ];
    for (method, path, body) in &writes {
        let body = (!body.is_null()).then(|| body.clone());
        assert_eq!(house.ask("", method, path, body.clone()).await.status, 401, "{path}");
        assert_eq!(house.ask("read-1", method, path, body.clone()).await.status, 403, "{path}");
        if path.contains(&cash) {
            assert_eq!(house.ask("all-2", method, path, body).await.status, 404, "{path}");
        }
    }
    let foreign = json!({ "transfers": [transfer(1, &cash, &sales, 1)] });
    let answer = house.ask("all-2", "POST", "/v1/ledger/transfers", Some(foreign)).await.expect(200);
    assert_eq!(results(&answer), ["debit_account_not_found"]);
    let refused = house.ask("all-2", "POST", "/v1/ledger/entries", Some(entry)).await.expect(409);
    assert_eq!(refused["code"], "debit_account_not_found");
}

#[tokio::test]
async fn a_conversion_is_asked_for_once_and_refused_with_its_reason() {
    let house = House::new().await;
    let (euros, wallet) = (house.open("euros", "asset").await, house.wallet("c1").await);
    let yens = json!({ "code": "yens", "name": "Yens", "kind": "asset", "unit": "JPY" });
    let yens = text(&house.ask("all-1", "POST", "/v1/ledger/accounts", Some(yens)).await.expect(201)["id"]);
    let body = json!({
        "ids": [trf(1).to_string(), trf(2).to_string()], "from": euros, "to": yens, "amount": 10_000, "rate": "162.35",
        "rounding": "half_even", "source": "exchange:1",
    });
    let convert = |key: &'static str, body: Value| house.ask(key, "POST", "/v1/ledger/conversions", Some(body));
    for result in ["created", "exists"] {
        let answer = convert("all-1", body.clone()).await.expect(201);
        assert_eq!((text(&answer["result"]).as_str(), &answer["amount_to"]), (result, &json!(16_235)));
        let entry = house.get(&format!("/v1/ledger/entries/{}", text(&answer["entry"]))).await;
        assert_eq!(entry["transfers"].as_array().unwrap().len(), 2);
    }
    convert("read-1", body.clone()).await.expect(403);
    let changed = |name: &str, value: Value| {
        let mut changed = body.clone();
        changed[name] = value;
        changed
    };
    let wrong = [("rate", json!("1,5")), ("rounding", json!("nearest")), ("source", json!("")), ("amount", json!(0)), ("to", json!(euros))];
    for (name, value) in wrong {
        assert_eq!(convert("all-1", changed(name, value)).await.field().0, name);
    }
    let mut poor = changed("from", json!(wallet));
    poor["ids"] = Value::Null;
    assert_eq!(convert("all-1", poor).await.expect(409)["code"], json!("exceeds_credits"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_batch_waits_for_books_that_are_far_behind_and_a_small_one_does_not() {
    let mut house = House::new().await;
    let (cash, sales) = (house.open("cash", "asset").await, house.open("sales", "income").await);
    house.world.book().await;
    // The keeper rests, and what was posted grows old.
    house.books.abort();
    let _ = (&mut house.books).await;
    house.post(vec![transfer(1, &cash, &sales, 1)]).await;
    assert_eq!(keeper::behind(&house.world.store).await.unwrap(), Duration::ZERO);
    house.world.store.clock().advance(Duration::from_secs(6));
    let behind = async || keeper::behind(&house.world.store).await.unwrap();
    while behind().await == Duration::ZERO {
        // On a server that others use too, their open transactions may hide it for a moment.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(behind().await, Duration::from_secs(6));
    let large = |from: u128| json!({ "transfers": (from..from + 100).map(|n| transfer(n, &cash, &sales, 1)).collect::<Vec<_>>() });
    let post = |key: &'static str, body: Value| house.ask(key, "POST", "/v1/ledger/transfers", Some(body));
    let refused = post("all-1", large(100)).await;
    assert_eq!((refused.status.as_u16(), refused.retry_after.as_deref()), (503, Some("2")), "{}", refused.text);
    assert_eq!(refused.json()["code"], "books_behind");
    assert_eq!(house.ask("all-1", "GET", &format!("/v1/ledger/transfers/{}", trf(100)), None).await.status, 404, "nothing of it stands");
    assert_eq!(post("read-1", large(100)).await.status, 403, "who may not post is not told how the books are");
    house.post((200..299).map(|n| transfer(n, &cash, &sales, 1)).collect()).await;
    // A module's own posting is never held.
    let ids = [&cash, &sales].map(|id| id.parse().unwrap());
    let new = ledger::NewTransfer::exactly(trf(300), ids[0], ids[1], crate::world::unit("EUR"), 1);
    assert_eq!(house.world.codes(vec![new]).await, [ledger::Outcome::Created]);

    // While one waits the keeper goes on, and the batch is posted.
    let (answer, _) = tokio::join!(post("all-1", large(400)), house.world.book());
    assert_eq!(results(&answer.expect(200)), ["created"; 100]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_a_module_keeps_is_neither_opened_nor_closed_by_hand() {
    let house = House::new().await;
    let asked = json!({ "code": "payments.clearing.stripe.eur", "name": "Mine", "kind": "asset", "unit": "EUR" });
    assert_eq!(house.ask("all-1", "POST", "/v1/ledger/accounts", Some(asked)).await.field().0, "code");
    let code = ledger::AccountCode::parse("payments.clearing.stripe.eur").unwrap();
    let unit = ledger::Unit::parse("EUR").unwrap();
    let limits = ledger::Limits::None;
    let new = ledger::NewAccount { code, name: "Clearing".to_owned(), kind: ledger::AccountKind::Asset, unit, limits, metadata: None };
    let caller = Caller::system("test");
    let opened = house.world.store.write(&caller, new, |tx, new| Box::pin(ledger::ensure(tx, workspace(1), new))).await.unwrap();
    let path = format!("/v1/ledger/accounts/{}/close", opened.id);
    assert_eq!(house.ask("all-1", "POST", &path, None).await.expect(409)["code"], "account_kept_by_module");
}
