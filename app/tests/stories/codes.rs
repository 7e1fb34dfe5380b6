//! A printed code stays as it is; where it leads changes.

use serde_json::json;
use std::time::Duration;

use crate::client::PHONE;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_code_expires_pauses_runs_out_and_falls_back() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let mut phone = world.stranger().with_agent(PHONE);
    let menu = json!({ "destination": { "kind": "url", "url": "https://example.com/menu?table=4" } });
    let code = ada.post("/v1/codes", menu).await.expect(201).at("/code");
    let scan = format!("/{code}");
    world.drain().await;
    let open = phone.page(&format!("{scan}?utm_source=poster")).await.expect(302);
    assert_eq!(open.header("location"), "https://example.com/menu?table=4&utm_source=poster");
    assert_eq!(open.header("cache-control"), "no-store");

    ada.post(&format!("/v1/codes/{code}/pause"), json!(null)).await.expect(200);
    world.drain().await;
    world.until(&mut phone, &scan, |reply| reply.status == 404).await;
    ada.patch(&format!("/v1/codes/{code}"), json!({ "fallback_url": "https://example.com/closed" })).await.expect(200);
    world.drain().await;
    world.until(&mut phone, &scan, |reply| reply.header("location") == "https://example.com/closed").await;
    ada.post(&format!("/v1/codes/{code}/resume"), json!(null)).await.expect(200);
    world.drain().await;
    world.until(&mut phone, &scan, |reply| reply.header("location").starts_with("https://example.com/menu")).await;

    let ends = world.store().clock().now().plus(Duration::from_secs(600));
    ada.patch(&format!("/v1/codes/{code}"), json!({ "expires_at": ends, "fallback_url": null })).await.expect(200);
    world.drain().await;
    world.until(&mut phone, &scan, |reply| reply.status == 302).await;
    world.pass(Duration::from_secs(601));
    assert!(phone.page(&scan).await.expect(410).text().contains("<html"));
    ada.post(&format!("/v1/codes/{code}/retire"), json!(null)).await.expect(200);
    assert_eq!(ada.post(&format!("/v1/codes/{code}/resume"), json!(null)).await.expect(409).problem(), "code_retired");

    // Exactly so many scans, whoever comes at once.
    let coupon = json!({ "scan_limit": 5, "destination": { "kind": "url", "url": "https://example.com/coupon" } });
    let coupon = ada.post("/v1/codes", coupon).await.expect(201).at("/code");
    let mut racing = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = world.stranger().with_agent(PHONE);
        let path = format!("/{coupon}");
        racing.spawn(async move { client.page(&path).await.status.as_u16() });
    }
    let answers = racing.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 302).count(), 5, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 410).count(), 15);
    assert_eq!(ada.get(&format!("/v1/codes/{coupon}")).await.expect(200).at("/scans_left"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_code_of_somebody_who_left_leads_to_the_successor_without_reprinting() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let mut grace = world.join(&mut ada, "grace@engines.example", "member").await;
    let leaver = world.card(&mut grace, "Grace Hopper", "grace@engines.example").await;
    let successor = world.card(&mut ada, "Ada Lovelace", "ada@engines.example").await;
    let second = grace.post(&format!("/v1/cards/{}/codes", leaver.card), json!(null)).await.expect(201).at("/code");
    world.drain().await;
    let mut phone = world.stranger().with_agent(PHONE);
    assert!(phone.page(&format!("/{}", leaver.code)).await.expect(200).text().contains("Grace Hopper"));

    let grace_id = grace.get("/v1/session").await.expect(200).at("/workspace/member");
    ada.delete(&format!("/v1/members/{grace_id}")).await.expect(204);
    let retired = ada.post(&format!("/v1/cards/{}/retire", leaver.card), json!({ "successor": successor.card })).await.expect(200);
    assert_eq!(retired.json()["moved"].as_array().unwrap().len(), 2);
    world.drain().await;
    for code in [&leaver.code, &second] {
        let page = world.until(&mut phone, &format!("/{code}"), |reply| !reply.text().contains("Grace Hopper")).await.expect(200);
        assert!(page.text().contains("Ada Lovelace"));
    }
    // The card's own address says that it is over.
    world.until(&mut phone, &format!("/c/{}/page", leaver.card), |reply| reply.status == 410).await;

    // Or the code is sent to the firm's site.
    ada.post(&format!("/v1/cards/{}/retire", successor.card), json!({ "redirect_url": "https://example.com/team" })).await.expect(200);
    world.drain().await;
    world.until(&mut phone, &format!("/{}", leaver.code), |reply| reply.header("location") == "https://example.com/team").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_asks_for_the_parameters_that_are_bound_to_the_scanned_code() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let page = |table: i64| {
        let parameters = json!({ "table": table, "note": "ä".repeat(10_000) });
        json!({ "destination": { "kind": "page", "url": "https://example.com/app", "parameters": parameters } })
    };
    let code = ada.post("/v1/codes", page(4)).await.expect(201).at("/code");
    let symbol = ada.get(&format!("/v1/codes/{code}/symbol.svg")).await.expect(200).bytes;
    world.drain().await;
    let mut phone = world.stranger().with_agent(PHONE);
    let location = phone.page(&format!("/{code}")).await.expect(302).header("location").to_owned();
    let request = location.strip_prefix("https://example.com/app?request_id=").unwrap().to_owned();
    let answer = phone.get(&format!("/v1/public/requests/{request}")).await.expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), "*");
    assert_eq!((answer.at("/parameters/table"), answer.at("/code")), ("4".into(), code.clone()));

    ada.post(&format!("/v1/codes/{code}/bind"), page(5)).await.expect(200);
    assert_eq!(ada.get(&format!("/v1/codes/{code}/symbol.svg")).await.expect(200).bytes, symbol, "the symbol stays");
    world.drain().await;
    let moved = world.until(&mut phone, &format!("/{code}"), |reply| reply.header("location") != location).await;
    let request = moved.header("location").rsplit('=').next().unwrap().to_owned();
    assert_eq!(phone.get(&format!("/v1/public/requests/{request}")).await.expect(200).at("/parameters/table"), "5");
    phone.get("/v1/public/requests/req_00000000000000000000000000000000").await.expect(404);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_codes_are_minted_searched_and_exported_and_a_mistyped_one_is_refused() {
    let world = World::new().await;
    let (_, mut ada) = world.founded("Analytical Engines", "ada@engines.example", "Ada Lovelace").await;
    let body = json!({ "count": 1200, "code": { "name": "=cmd()", "tags": ["flyer"], "destination": { "kind": "url", "url": "https://example.com/f" } } });
    let batch = ada.ask_once("POST", "/v1/codes/batch", body.clone(), Some("batch-1")).await.expect(201).json();
    let codes: Vec<&str> = batch["codes"].as_array().unwrap().iter().map(|code| code.as_str().unwrap()).collect();
    let different: std::collections::BTreeSet<&str> = codes.iter().copied().collect();
    assert_eq!((codes.len(), different.len()), (1200, 1200));
    let again = ada.ask_once("POST", "/v1/codes/batch", body, Some("batch-1")).await.expect(201).json();
    assert_eq!(again["codes"], batch["codes"], "a repetition mints nothing");
    ada.post("/v1/codes/batch", json!({ "count": 10_001 })).await.expect(422);
    world.drain().await;

    let mut found = 0;
    let mut after = String::new();
    loop {
        let page = ada.get(&format!("/v1/codes?tag=flyer&limit=200{after}")).await.expect(200).json();
        found += page["items"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, 1200);
    let table = ada.get("/v1/codes.csv?tag=flyer").await.expect(200).text();
    assert_eq!(table.lines().count(), 1201);
    assert!(table.contains("\"'=cmd()\""), "a formula is text: {}", table.lines().nth(1).unwrap());

    let mut phone = world.stranger().with_agent(PHONE);
    phone.page(&format!("/{}", codes[1199])).await.expect(302);
    let mut wrong = codes[0].as_bytes().to_vec();
    wrong[0] = if wrong[0] == b'7' { b'8' } else { b'7' };
    phone.page(&format!("/{}", String::from_utf8(wrong).unwrap())).await.expect(404);
}
