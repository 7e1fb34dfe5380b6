//! What is written down about the whole: the document of the API, and every statement on the engine that runs it.

use std::path::Path;

use serde_json::Value;

use crate::world::World;

/// `docs/openapi.json` is what the code says. `TESSERA_BLESS=1` writes it anew.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_in_the_repository_is_the_one_that_is_served() {
    let world = World::new().await;
    let served = world.stranger().get("/openapi.json").await.expect(200).text();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("docs/openapi.json");
    if std::env::var("TESSERA_BLESS").is_ok_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("{served}\n")).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    let first = kept.lines().zip(served.lines()).position(|(kept, served)| kept != served);
    assert!(
        kept.trim_end() == served.trim_end(),
        "docs/openapi.json is not what the code says, from line {:?}: TESSERA_BLESS=1 cargo test -p tessera --test stories document writes it",
        first.map(|line| line + 1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_two_modules_name_a_schema_alike_and_every_address_says_who_may_ask() {
    let world = World::new().await;
    let parts = &world.installation().parts;
    let store = parts.store.clone();
    let people =
        people::Deps { store: store.clone(), roles: parts.roles.clone(), passwords: parts.passwords.clone(), links: parts.links.clone() };
    let notifications = notifications::Deps { store: store.clone(), allowed: parts.allowed.clone(), live: parts.live.clone() };
    let modules = [
        people::routes(people),
        codes::routes(codes::Deps { store: store.clone(), public_url: parts.public_url.clone() }),
        codes::scan::routes(codes::scan::Deps { store: store.clone() }),
        cards::routes(cards::Deps::new(store.clone(), &parts.public_url)),
        leads::routes(leads::Deps { store: store.clone() }),
        ledger::routes(ledger::Deps { store: store.clone() }),
        risk::routes(risk::Deps { store: store.clone() }),
        payments::routes(payments::Deps {
            store,
            public_url: parts.public_url.clone(),
            health: parts.payments_health.clone(),
            allowed: parts.payments_allowed.clone(),
        }),
        notifications::routes(notifications),
    ];
    let whole = world.document();
    let mut paths = std::collections::BTreeSet::new();
    for mut module in modules {
        let own = serde_json::to_value(gateway::openapi::complete(module.to_openapi())).unwrap();
        for (name, schema) in own["components"]["schemas"].as_object().unwrap() {
            assert_eq!(&whole["components"]["schemas"][name], schema, "two modules have a schema {name}: give one another name");
        }
        for path in own["paths"].as_object().unwrap().keys() {
            assert!(paths.insert(path.clone()), "two modules share the address {path}");
            assert!(whole["paths"].get(path).is_some(), "{path} is not in the whole document");
        }
    }
    let public = [
        "/v1/session",
        "/v1/session/link",
        "/v1/session/link/redeem",
        "/v1/invitations/accept",
        "/v1/public/requests/{request_id}",
        payments::WEBHOOK_ROUTE,
    ];
    for (path, item) in whole["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let is_public = !path.starts_with("/v1/") || (public.contains(&path.as_str()) && (method == "post" || path.contains("public")));
            let says = operation.get("security").and_then(Value::as_array).is_some_and(|ways| !ways.is_empty());
            assert_eq!(says, !is_public, "{method} {path}: who may ask");
            assert!(operation["responses"].get("422").is_some(), "{method} {path} declares no problems");
            assert!(operation["summary"].is_string() || operation["description"].is_string(), "{method} {path} is not described");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_statement_of_every_module_is_prepared_on_this_engine() {
    let store = store::testing::store().await;
    let of_ledger: Vec<_> = ledger::statements().collect();
    let modules = [
        ("outbox", outbox::STATEMENTS),
        ("gateway", gateway::STATEMENTS),
        ("people", people::STATEMENTS),
        ("notifications", notifications::STATEMENTS),
        ("codes", codes::STATEMENTS),
        ("codes::scan", codes::scan::STATEMENTS),
        ("leads", leads::STATEMENTS),
        ("cards", cards::STATEMENTS),
        ("ledger", of_ledger.as_slice()),
        ("risk", risk::STATEMENTS),
        ("payments", payments::STATEMENTS),
        ("payments::settlement", payments::SETTLEMENT_STATEMENTS),
        ("payments::payout", payments::PAYOUT_STATEMENTS),
    ];
    for (module, statements) in modules {
        assert!(!statements.is_empty(), "{module} has statements");
        let failed = store.prepare_all(statements).await;
        assert!(failed.is_empty(), "{module}: {failed:#?}");
    }
}
