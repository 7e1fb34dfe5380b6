//! Payments as people live them: a link is opened, paid at the simulator of a provider, and a half of it is given back.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use kernel::Clock;
use serde_json::{Value, json};

use crate::client::{Client, PHONE, PUBLIC_URL, Reply};
use crate::world::World;

/// A workspace with an account at the simulator, whose webhooks come through the door.
pub struct Till {
    pub world: World,
    pub sim: sim::Simulator,
    pub ada: Client,
}

/// Hands what the simulator delivers to the door, which listens on no socket here.
async fn deliver(State(door): State<Client>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut client = door;
    let mut request = client.request(method.as_str(), uri.path());
    for (name, value) in headers.iter().filter(|(name, _)| !matches!(name.as_str(), "host" | "content-length" | "user-agent")) {
        request = request.header(name, value);
    }
    client.send(request.body(Body::from(body)).unwrap()).await.status
}

impl Till {
    pub async fn open(dialect: sim::Dialect) -> Self {
        let world = World::new().await;
        // Signatures carry the simulator's time, which nobody can stop.
        let (now, here) = (Clock::system().now(), world.store().clock().now());
        let sim = sim::start(sim::Options::default()).await.unwrap();
        if now > here {
            world.pass(now.since(here));
        } else {
            sim.advance(here.since(now));
        }
        let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
        let booth = tessera::till::booths().into_iter().find(|booth| booth.word == dialect.word()).unwrap();
        let provider = json!({
            "name": booth.word,
            "dialect": booth.dialect.as_str(),
            "base_url": sim.at(dialect),
            "settings": booth.settings,
            "secrets": booth.secrets,
        });
        let added = ada.post("/v1/payment-providers", provider).await.expect(201);
        let hook = added.at("/webhook_url");
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let path = hook.strip_prefix(PUBLIC_URL).unwrap();
        sim.webhook_to(dialect, &format!("http://{}{path}", listener.local_addr().unwrap()), None);
        let router = Router::new().fallback(deliver).with_state(world.stranger());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { world, sim, ada }
    }

    pub async fn link(&mut self, link: Value) -> String {
        let url = self.ada.post("/v1/payment-links", link).await.expect(201).at("/url");
        url.strip_prefix(PUBLIC_URL).unwrap().to_owned()
    }

    /// Sends a form, and runs jobs until it is answered: it waits for what they do.
    pub async fn form(&self, who: &Client, path: &str, fields: &[(&str, &str)]) -> Reply {
        let mut who = who.clone();
        let (path, fields): (String, Vec<(String, String)>) =
            (path.to_owned(), fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect());
        self.answered(async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            who.form(&path, &fields).await
        })
        .await
    }

    /// Sends a form with a file in it, as a browser does, and runs jobs until it is answered.
    pub async fn upload(&self, who: &Client, path: &str, fields: &[(&str, &str)], file: (&str, &[u8])) -> Reply {
        let mut who = who.clone();
        let limit = "----WebKitFormBoundaryq3F1xAeT5kJ7";
        let mut body = Vec::new();
        for (name, value) in fields {
            body.extend_from_slice(format!("--{limit}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").as_bytes());
        }
        let head = format!(
            "--{limit}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\nContent-Type: text/csv\r\n\r\n",
            file.0
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(file.1);
        body.extend_from_slice(format!("\r\n--{limit}--\r\n").as_bytes());
        let request = who.request("POST", path).header(header::ACCEPT, "text/html");
        let request = request.header(header::CONTENT_TYPE, format!("multipart/form-data; boundary={limit}"));
        let request = request.body(Body::from(body)).unwrap();
        self.answered(async move { who.send(request).await }).await
    }

    /// Runs jobs until a request is answered that waits for what they do.
    async fn answered(&self, sending: impl Future<Output = Reply> + Send + 'static) -> Reply {
        let sent = tokio::spawn(sending);
        while !sent.is_finished() {
            self.world.drain().await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        sent.await.unwrap()
    }

    /// Runs jobs and waits for webhooks until nothing happens any more.
    pub async fn settle(&self) {
        for _ in 0..4 {
            self.world.drain().await;
            self.sim.quiet().await;
        }
        self.world.drain().await;
    }

    pub async fn newest(&mut self) -> Reply {
        let id = self.ada.get("/v1/payments").await.expect(200).at("/items/0/id");
        self.ada.get(&format!("/v1/payments/{id}")).await.expect(200)
    }

    /// The books, computed anew from their entries.
    pub async fn assert_books(&self) {
        ledger::verify::assert_sound(self.world.store()).await;
    }
}

/// The word that makes the first form of a page count once.
pub fn once(page: &str) -> String {
    let at = page.find("name=\"once\" value=\"").unwrap_or_else(|| panic!("no form in {page}"));
    page[at + 19..].split('"').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_opened_and_paid_and_a_half_is_given_back() {
    let mut till = Till::open(sim::Dialect::Stripe).await;
    let link = till.link(json!({ "amount_minor": 1_250, "currency": "EUR", "description": "A table by the window" })).await;
    let visitor = till.world.stranger().with_agent(PHONE);
    let page = visitor.clone().page(&link).await.expect(200).text();
    assert!(page.contains("A table by the window") && page.contains("Pay 12.50 EUR"), "{page}");
    assert!(!page.contains("cc-") && !page.contains("Analytical"), "no field for a card, and nothing else of the workspace");
    let word = once(&page);
    let fields = [("once", word.as_str()), ("email", "grace@navy.example")];
    let sent = till.form(&visitor, &link, &fields).await.expect(303);
    assert!(sent.header("location").starts_with(till.sim.url()), "{}", sent.header("location"));
    let again = till.form(&visitor, &link, &fields).await.expect(303);
    assert_eq!(again.header("location"), sent.header("location"), "a second press leads to the same page");

    let waiting = till.newest().await;
    let (id, attempt) = (waiting.at("/id"), waiting.at("/attempts/0/id"));
    assert_eq!(waiting.at("/state"), "requires_action");
    assert_eq!(till.ada.get("/v1/payments").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    till.sim.pay(&attempt).unwrap();
    till.settle().await;
    let back = visitor.clone().page(&format!("/pay/{id}/back")).await.expect(200).text();
    assert!(back.contains("<h1>Paid</h1>"), "{back}");
    let paid = till.newest().await;
    assert_eq!((paid.at("/state"), paid.at("/captured_minor")), ("succeeded".into(), "1250".into()));
    let charged: i64 = till.sim.movements().iter().map(|movement| movement.amount_minor).sum();
    assert_eq!(charged, 1_250);
    till.assert_books().await;
    let receipts = till.world.told("grace@navy.example");
    assert_eq!(receipts.len(), 1);
    assert!(receipts[0].subject.contains("12.50 EUR") && receipts[0].text.contains(&id), "{}", receipts[0].text);

    let shown = till.ada.clone().page(&format!("/payments/{id}")).await.expect(200).text();
    for told in ["12.50 EUR", ">Paid<", "were paid at stripe", "/ledger/transfers/", "grace@navy.example"] {
        assert!(shown.contains(told), "{told} is not in {shown}");
    }
    let word = format!("{}-r", once(&shown).trim_end_matches("-r").trim_end_matches("-c"));
    let path = format!("/payments/{id}/refund");
    let owner = till.ada.clone();
    let wrong = till.form(&owner, &path, &[("amount", "12.51")]).await.expect(409);
    assert!(wrong.text().contains("more than is left: 12.50 EUR at most"), "{}", wrong.text());
    till.form(&owner, &path, &[("amount", "a half")]).await.expect(422);
    let fields = [("once", word.as_str()), ("amount", "6.25"), ("reason", "Half the table")];
    till.form(&owner, &path, &fields).await.expect(303);
    till.form(&owner, &path, &fields).await.expect(303);
    till.settle().await;
    let refunded = till.newest().await;
    assert_eq!((refunded.at("/state"), refunded.at("/refunded_minor")), ("succeeded".into(), "625".into()));
    let shown = till.ada.clone().page(&format!("/payments/{id}")).await.expect(200).text();
    assert!(shown.contains("Refunded in part") && shown.contains("Half the table"), "{shown}");
    assert_eq!(till.world.told("grace@navy.example").len(), 1, "a refund is no second receipt");
    till.assert_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_declined_tries_again_and_pays() {
    let mut till = Till::open(sim::Dialect::Monnify).await;
    let link = till.link(json!({ "currency": "NGN", "description": "Whatever you give" })).await;
    let visitor = till.world.stranger().with_agent(PHONE);
    let page = visitor.clone().page(&link).await.expect(200).text();
    let word = once(&page);
    for (amount, told) in [("", "must be above zero"), ("0", "must be above zero"), ("1.234", "at most 2 decimal places")] {
        let refused = till.form(&visitor, &link, &[("once", &word), ("amount", amount)]).await.expect(422);
        assert!(refused.text().contains(told), "{amount}: {}", refused.text());
    }
    let fields = [("once", word.as_str()), ("amount", "2500,5"), ("email", "payer@lagos.example")];
    till.form(&visitor, &link, &fields).await.expect(303);
    let waiting = till.newest().await;
    let id = waiting.at("/id");
    assert_eq!(waiting.at("/amount_minor"), "250050");
    till.sim.decline(&waiting.at("/attempts/0/id"), "").unwrap();
    till.settle().await;
    let back = visitor.clone().page(&format!("/pay/{id}/back")).await.expect(200).text();
    assert!(back.contains("Declined") && back.contains("Try again"), "{back}");
    let word = once(&back);
    let again = till.form(&visitor, &format!("/pay/{id}"), &[("once", &word)]).await.expect(303);
    assert!(again.header("location").starts_with(till.sim.url()), "{}", again.header("location"));
    let second = till.newest().await.at("/attempts/1/id");
    till.sim.pay(&second).unwrap();
    till.settle().await;
    assert_eq!(till.newest().await.at("/state"), "succeeded");
    let back = visitor.clone().page(&format!("/pay/{id}/back")).await.expect(200).text();
    assert!(back.contains("<h1>Paid</h1>"), "{back}");
    assert_eq!(till.world.told("payer@lagos.example").len(), 1);
    till.assert_books().await;
}

/// A payer approves at PayPal, whose bank says no only when the money is to be taken. Whether the webhook comes or the payer is
/// faster back than it, they are told, and can try again.
async fn declined_at_paypal(is_told: bool) {
    let mut till = Till::open(sim::Dialect::Paypal).await;
    if !is_told {
        till.sim.webhook_to(sim::Dialect::Paypal, "", None);
    }
    let link = till.link(json!({ "amount_minor": 1_250, "currency": "EUR", "description": "A table by the window" })).await;
    let visitor = till.world.stranger().with_agent(PHONE);
    let page = visitor.clone().page(&link).await.expect(200).text();
    till.form(&visitor, &link, &[("once", &once(&page)), ("email", "payer@paypal.example")]).await.expect(303);
    let waiting = till.newest().await;
    let id = waiting.at("/id");
    till.sim.decline(&waiting.at("/attempts/0/id"), "INSTRUMENT_DECLINED").unwrap();
    till.settle().await;
    // What is looked at for the case that no webhook comes.
    till.world.pass(Duration::from_secs(61));
    till.settle().await;
    let back = visitor.clone().page(&format!("/pay/{id}/back?look=1")).await.expect(200).text();
    assert!(back.contains("<h1>Declined</h1>") && back.contains("Try again") && back.contains("nothing was taken"), "{back}");
    let again = till.form(&visitor, &format!("/pay/{id}"), &[("once", &once(&back))]).await.expect(303);
    assert!(again.header("location").starts_with(till.sim.url()), "{}", again.header("location"));
    let second = till.newest().await.at("/attempts/1/id");
    till.sim.pay(&second).unwrap();
    till.settle().await;
    till.world.pass(Duration::from_secs(61));
    till.settle().await;
    assert_eq!(till.newest().await.at("/state"), "succeeded");
    let charged: i64 = till.sim.movements().iter().map(|movement| movement.amount_minor).sum();
    assert_eq!(charged, 1_250);
    till.assert_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_declined_after_they_approved_at_paypal_tries_again_and_pays() {
    declined_at_paypal(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_declined_at_paypal_of_which_no_webhook_comes_tries_again_and_pays() {
    declined_at_paypal(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn money_that_is_not_what_was_asked_for_is_taken_as_paid_or_given_back_with_a_reason() {
    for way in ["accept", "return"] {
        let mut till = Till::open(sim::Dialect::Stripe).await;
        let link = till.link(json!({ "amount_minor": 1_250, "currency": "EUR", "description": "A table by the window" })).await;
        let visitor = till.world.stranger().with_agent(PHONE);
        let page = visitor.clone().page(&link).await.expect(200).text();
        till.form(&visitor, &link, &[("once", &once(&page))]).await.expect(303);
        let waiting = till.newest().await;
        let (id, attempt) = (waiting.at("/id"), waiting.at("/attempts/0/id"));
        till.sim.add_fault(sim::faults::Rule::always(sim::Dialect::Stripe, "pay", sim::faults::Fault::WrongAmount)).unwrap();
        till.sim.pay(&attempt).unwrap();
        till.settle().await;
        let owner = till.ada.clone();
        let shown = owner.clone().page(&format!("/payments/{id}")).await.expect(200).text();
        assert!(shown.contains("Waits for a person") && shown.contains("Take it as paid") && shown.contains("Give it back"), "{shown}");
        let path = format!("/payments/{id}/decide");
        let form = |way: &'static str, reason: &'static str| [("subject", attempt.as_str()), ("way", way), ("reason", reason)];
        let silent = till.form(&owner, &path, &form(way, " ")).await.expect(422).text();
        assert!(silent.contains("Reason must"), "{silent}");
        till.form(&owner, &path, &form("perhaps", "Because")).await.expect(422);
        till.form(&owner, &path, &form("done", "An attempt is no refund")).await.expect(404);
        till.form(&owner, &path, &form("not_paid", "It was paid")).await.expect(409);
        let nobodys = [("subject", "pat_00000000000000000000000000000000"), ("way", way), ("reason", "Whose?")];
        till.form(&owner, &path, &nobodys).await.expect(404);
        let viewer = till.world.join(&mut till.ada, "viewer@engines.example", "viewer").await;
        till.form(&viewer, &path, &form(way, "I only look")).await.expect(403);
        assert!(!viewer.clone().page(&format!("/payments/{id}")).await.expect(200).text().contains("id=\"matters\""));
        till.form(&owner, &path, &form(way, "They told me on the phone")).await.expect(303);
        till.settle().await;
        let shown = owner.clone().page(&format!("/payments/{id}")).await.expect(200).text();
        assert!(!shown.contains("id=\"matters\""), "{shown}");
        let after = till.newest().await;
        if way == "accept" {
            assert_eq!(after.at("/state"), "succeeded");
        } else {
            assert_eq!(after.at("/refunds/0/state"), "succeeded");
        }
        till.form(&owner, &path, &form(way, "Once more")).await.expect(409);
        till.assert_books().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_edited_and_its_secrets_are_neither_shown_nor_lost() {
    let till = Till::open(sim::Dialect::Stripe).await;
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let known = ada.get("/v1/payment-providers").await.expect(200).json()["items"][0].clone();
    let (id, base_url) = (known["id"].as_str().unwrap(), known["base_url"].as_str().unwrap());
    let path = format!("/settings/providers/{id}");
    let shown = ada.page(&path).await.expect(200).text();
    assert!(shown.contains(base_url) && !shown.contains(sim::STRIPE_KEY) && !shown.contains(sim::STRIPE_WEBHOOK_SECRET), "{shown}");
    let form = |pairs: &[(&'static str, &'static str)]| -> Vec<(&'static str, String)> {
        let mut all = vec![("version", "1".to_owned()), ("base_url", base_url.to_owned())];
        all.retain(|(name, _)| !pairs.iter().any(|(other, _)| other == name));
        all.extend(pairs.iter().map(|(name, value)| (*name, (*value).to_owned())));
        all
    };
    for (pairs, told) in [
        (&[("base_url", "https://elsewhere.example")] as &[_], "id=\"secrets-error\""),
        (&[("base_url", "ftp://elsewhere.example")], "id=\"provider-url-error\""),
        (&[("base_url", "https://169.254.169.254/latest")], "id=\"provider-url-error\""),
        (&[("more", "[]")], "id=\"more-error\""),
        (&[("api_key", "sk_half")], "id=\"e-webhook_secret\""),
    ] {
        let fields = form(pairs);
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let refused = till.form(&owner, &path, &fields).await.expect(422).text();
        assert!(refused.contains(told) && !refused.contains("sk_half"), "{told}: {refused}");
    }
    let fields = form(&[("more", "{\"settlement\": {\"tolerance_minor\": 5}}")]);
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    till.form(&owner, &path, &fields).await.expect(303);
    till.form(&owner, &path, &fields).await.expect(409);
    let after = ada.get("/v1/payment-providers").await.expect(200).json()["items"][0].clone();
    assert_eq!(after["settings"]["settlement"]["tolerance_minor"], 5);
    let mut other = till.world.founded("Bobbins", "bob@bobbins.example", "Bob Bobbin").await.1;
    other.page(&path).await.expect(404);
    till.form(&other, &path, &fields).await.expect(404);
    let viewer = till.world.join(&mut ada, "viewer@engines.example", "viewer").await;
    till.form(&viewer, &path, &fields).await.expect(403);
    viewer.clone().page(&path).await.expect(403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_in_a_report_is_seen_written_off_and_stays_on_record() {
    let mut till = Till::open(sim::Dialect::Stripe).await;
    let link = till.link(json!({ "amount_minor": 1_250, "currency": "EUR", "description": "A table by the window" })).await;
    let visitor = till.world.stranger().with_agent(PHONE);
    let page = visitor.clone().page(&link).await.expect(200).text();
    till.form(&visitor, &link, &[("once", &once(&page))]).await.expect(303);
    let attempt = till.newest().await.at("/attempts/0/id");
    till.sim.pay(&attempt).unwrap();
    till.settle().await;
    let provider = till.ada.get("/v1/payment-providers").await.expect(200).at("/items/0/id");
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let empty = ada.page("/payments/settlement").await.expect(200).text();
    assert!(empty.contains("No reports yet") && empty.contains("Hand it in") && !empty.contains("name=\"once\""), "{empty}");

    // Ten cents less than the payer paid.
    let line = format!("payment,{attempt},,po_1,EUR,1240,40,1200,2026-01-31T09:30:00Z");
    let report = format!("{}\r\n{line}\r\n", payments::settlement::COLUMNS);
    let broken = report.replace(",1240,", ",a lot,");
    let fields = [("provider", provider.as_str()), ("name", "January"), ("report", &broken)];
    let refused = till.form(&owner, "/payments/settlement", &fields).await.expect(422).text();
    assert!(refused.contains(">Line 2: ") && refused.contains("a lot"), "what was typed is still there: {refused}");
    let chosen = [("provider", provider.as_str()), ("report", "")];
    let path = "/payments/settlement";
    let of_file = till.upload(&owner, path, &chosen, ("January.csv", broken.as_bytes())).await.expect(422).text();
    assert!(of_file.contains("id=\"file-error\">Line 2: "), "{of_file}");
    let none = till.upload(&owner, path, &chosen, ("", b"")).await.expect(422).text();
    assert!(none.contains("Choose a file"), "{none}");
    let wide: Vec<u8> = report.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let wide = till.upload(&owner, path, &chosen, ("January.csv", &wide)).await.expect(422).text();
    assert!(wide.contains("UTF-8"), "{wide}");
    let card = report.replace("po_1", "4242 4242 4242 4242");
    till.upload(&owner, path, &chosen, ("January.csv", card.as_bytes())).await.expect(422);
    let mut elsewhere = owner.clone();
    elsewhere.cookie = None;
    let away = till.upload(&elsewhere, path, &chosen, ("January.csv", report.as_bytes())).await.expect(303);
    assert!(away.header("location").starts_with("/sign-in"));
    let theirs =
        Request::builder().method("POST").uri(path).header(header::HOST, "t.example").header(header::ORIGIN, "https://evil.example");
    let theirs =
        theirs.header(header::COOKIE, owner.cookie.clone().unwrap()).header(header::CONTENT_TYPE, "multipart/form-data; boundary=x");
    let body = format!("--x\r\nContent-Disposition: form-data; name=\"provider\"\r\n\r\n{provider}\r\n--x--");
    assert_eq!(owner.clone().send(theirs.body(Body::from(body)).unwrap()).await.expect(403).problem(), "csrf");
    assert!(ada.get("/v1/settlements").await.expect(200).json()["items"].as_array().unwrap().is_empty());
    // The same bytes by the page, again, and by a program are one report.
    till.upload(&owner, path, &chosen, ("January.csv", report.as_bytes())).await.expect(303);
    till.upload(&owner, path, &chosen, ("January.csv", report.as_bytes())).await.expect(303);
    let sent = ada.request("POST", &format!("/v1/settlements?provider={provider}")).header(header::CONTENT_TYPE, "text/csv");
    ada.send(sent.body(Body::from(report)).unwrap()).await;
    till.settle().await;
    assert_eq!(ada.get("/v1/settlements").await.expect(200).json()["items"].as_array().unwrap().len(), 1);
    let shown = ada.page("/payments/settlement").await.expect(200).text();
    for told in ["January.csv", "Booked, with differences", "1 line, 0 matched", "1 difference<", "12.40", "Open differences by age"] {
        assert!(shown.contains(told), "{told} is not in {shown}");
    }

    let exceptions = "/payments/settlement/exceptions";
    let open = ada.page(exceptions).await.expect(200).text();
    for told in ["Less than expected", "12.50 EUR", "12.40 EUR", "Write it off", "Its payment"] {
        assert!(open.contains(told), "{told} is not in {open}");
    }
    let id = ada.get("/v1/settlement-exceptions").await.expect(200).at("/items/0/id");
    let path = format!("{exceptions}/{id}");
    let form = |reason: &'static str| [("version", "1"), ("action", "write_off"), ("reason", reason)];
    let silent = till.form(&owner, &path, &form(" ")).await.expect(422).text();
    assert!(silent.contains("Reason must say why"), "{silent}");
    let unnamed = till.form(&owner, &path, &[("version", "1"), ("action", "edit"), ("reason", "Another one")]).await.expect(422).text();
    assert!(unnamed.contains("Subject must name"), "{unnamed}");
    let sent = till.form(&owner, &path, &form("The bank of the payer kept ten cents")).await.expect(303);
    assert!(sent.header("location").ends_with("done=worked_off"), "{}", sent.header("location"));
    let late = till.form(&owner, &path, &form("The bank of the payer kept ten cents")).await.expect(409).text();
    assert!(late.contains("Somebody changed this"), "{late}");
    assert!(ada.page(exceptions).await.expect(200).text().contains("Nothing is open"));
    assert!(ada.page("/payments/settlement").await.expect(200).text().contains("0 are open"));
    let closed = ada.page(&format!("{exceptions}?state=resolved")).await.expect(200).text();
    for told in ["Worked off", "written off", "The bank of the payer kept ten cents", "Ada Lovelace"] {
        assert!(closed.contains(told), "{told} is not in {closed}");
    }
    till.assert_books().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_the_bank_is_taken_in_line_by_line_and_once() {
    let till = Till::open(sim::Dialect::Stripe).await;
    let (owner, mut ada) = (till.ada.clone(), till.ada.clone());
    let path = "/payments/settlement/bank-lines";
    let statement = "date,amount_minor,currency,reference\r\n2026-01-31,1912,USD,STRIPE po_1\r\n";
    for (wrong, told) in [
        ("", "Choose a file"),
        ("date,amount\r\n2026-01-31,1", "first line must be date,amount_minor,currency,reference"),
        (&statement.replace("1912", "19.12"), "Line 2: amount_minor"),
        (&statement.replace("2026-01-31", "31/01/2026"), "Line 2: date"),
        ("date,amount_minor,currency,reference\r\n", "1 to 2000 lines"),
    ] {
        let refused = till.upload(&owner, path, &[("lines", "")], ("bank.csv", wrong.as_bytes())).await.expect(422).text();
        assert!(refused.contains(told) && refused.contains("statement-file-error"), "{told}: {refused}");
        let refused = till.form(&owner, path, &[("lines", wrong)]).await.expect(422).text();
        assert!(refused.contains(told), "{told}: {refused}");
    }
    till.upload(&owner, path, &[("lines", "")], ("bank.csv", statement.as_bytes())).await.expect(303);
    let sent = till.form(&owner, path, &[("lines", statement)]).await.expect(303);
    assert!(ada.page(sent.header("location")).await.expect(200).text().contains("The statement is taken in"));
    let lines = till.world.database().numbers("select count(*) from payments_bank_lines").await;
    assert_eq!(lines, [1], "the same line of two statements is one");
    let mut stranger = till.world.stranger();
    stranger.form(path, &[("lines", statement)]).await.expect(303);
    let viewer = till.world.join(&mut ada, "viewer@engines.example", "viewer").await;
    till.form(&viewer, path, &[("lines", statement)]).await.expect(403);
    assert!(!viewer.clone().page("/payments/settlement").await.expect(200).text().contains("type=\"file\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_at_once_with_one_key_make_one_payment_and_hear_the_same() {
    let world = World::new().await;
    let (_, ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let asked = json!({ "amount_minor": 999, "currency": "EUR", "description": "Once" });
    let sent: Vec<_> = (0..100)
        .map(|_| {
            let (mut ada, asked) = (ada.clone(), asked.clone());
            tokio::spawn(async move { ada.ask_once("POST", "/v1/payments", asked, Some("the-same-key")).await })
        })
        .collect();
    let mut answers = Vec::new();
    for reply in sent {
        let reply = reply.await.unwrap().expect(201);
        answers.push(reply.json());
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let all = ada.clone().get("/v1/payments").await.expect(200).json();
    assert_eq!(all["items"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payer_is_told_honestly_why_nothing_can_be_paid() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let made = ada.post("/v1/payment-links", json!({ "amount_minor": 100, "currency": "EUR", "description": "A leaf" })).await.expect(201);
    let (id, path) = (made.at("/id"), format!("/pay/{}", made.at("/id")));
    let mut visitor = world.stranger();
    for unknown in ["/pay/nothing", "/pay/plk_00000000000000000000000000000000", "/pay/pay_00000000000000000000000000000000/back"] {
        assert!(visitor.page(unknown).await.expect(404).text().contains("leads nowhere"), "{unknown}");
    }
    let nobody = visitor.form(&path, &[("once", "a")]).await.expect(409).text();
    assert!(nobody.contains("no payment provider") && nobody.contains("Nothing was taken"), "{nobody}");
    assert_eq!(ada.get("/v1/payments").await.expect(200).json()["items"], json!([]), "a payment that nobody takes is not made");

    // Nobody listens at this address of the machine itself.
    let dead = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let provider = json!({ "name": "stripe", "dialect": "stripe", "base_url": format!("http://{dead}"), "secrets": { "api_key": "k" } });
    ada.post("/v1/payment-providers", provider).await.expect(201);
    let mut payer = visitor.clone();
    let (pressed, at) = (path.clone(), header::LOCATION);
    let sent = tokio::spawn(async move { payer.form(&pressed, &[("once", "b")]).await });
    while !sent.is_finished() {
        world.drain().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let sent = sent.await.unwrap().expect(303);
    let back = visitor.page(sent.header(at.as_str())).await.expect(200).text();
    assert!(back.contains("cargo run --release -p sim") && back.contains("Try again"), "{back}");

    ada.patch(&format!("/v1/payment-links/{id}"), json!({ "is_active": false })).await.expect(200);
    assert!(visitor.page(&path).await.expect(410).text().contains("closed"));
    visitor.form(&path, &[("once", "c")]).await.expect(410);
}

#[test]
fn the_demonstration_has_the_keys_that_the_simulators_know() {
    let told = |word: &str| match word {
        "stripe" => (json!({}), json!({ "api_key": sim::STRIPE_KEY, "webhook_secret": sim::STRIPE_WEBHOOK_SECRET })),
        "paypal" => (
            json!({ "webhook_id": sim::PAYPAL_WEBHOOK_ID }),
            json!({ "client_id": sim::PAYPAL_CLIENT, "client_secret": sim::PAYPAL_SECRET }),
        ),
        "monnify" => (
            json!({ "contract_code": sim::MONNIFY_CONTRACT, "source_account": sim::MONNIFY_SOURCE_ACCOUNT }),
            json!({ "api_key": sim::MONNIFY_KEY, "secret_key": sim::MONNIFY_SECRET }),
        ),
        "zenith" => (json!({}), json!({ "api_key": sim::ZENITH_KEY })),
        "ramp-network" => {
            (json!({ "host_api_key": sim::RAMP_NETWORK_KEY, "public_key_pem": sim::providers::ramp_network::PUBLIC_KEY }), json!({}))
        }
        "ramp" => (
            json!({}),
            json!({ "client_id": sim::RAMP_CLIENT, "client_secret": sim::RAMP_SECRET, "webhook_secret": sim::RAMP_WEBHOOK_SECRET }),
        ),
        other => panic!("{other} is no simulator"),
    };
    let booths = tessera::till::booths();
    assert_eq!(booths.iter().map(|booth| booth.word).collect::<Vec<_>>(), sim::Dialect::ALL.map(sim::Dialect::word));
    for booth in &booths {
        let (settings, secrets) = told(booth.word);
        assert_eq!(booth.secrets, secrets, "{}", booth.word);
        for (name, value) in settings.as_object().unwrap() {
            assert_eq!(&booth.settings[name], value, "{}: {name}", booth.word);
        }
        assert_eq!(booth.token(), format!("demo-{}", booth.word));
    }
}
