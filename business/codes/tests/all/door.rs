//! Codes through the door.

use codes::{Destination, NewCode, PublicCode};
use serde_json::{Value, json};

use crate::world::{PUBLIC_URL, World};

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_minted_shown_changed_and_retired() {
    let world = World::new().await;
    let body = json!({
        "name": "Menu", "tags": ["Table 4"], "destination": { "kind": "url", "url": "https://example.com/menu" },
        "expires_at": "2026-12-31T00:00:00Z", "fallback_url": "https://example.com/", "scan_limit": 100, "recording": { "address": false }
    });
    let minted = world.post("/v1/codes", body).await;
    assert_eq!(minted.status, 201, "{}", minted.text());
    let view = minted.json();
    let code = text(&view["code"]).to_owned();
    assert_eq!(view["address"], format!("{PUBLIC_URL}/{code}"));
    assert_eq!((&view["state"], &view["tags"][0], &view["scans_left"]), (&json!("live"), &json!("table 4"), &json!(100)));
    let path = format!("/v1/codes/{}", code.to_lowercase());
    assert_eq!(world.get(&path).await.json(), view);

    let edited = world.send("PATCH", &path, "tsk_1", Some(json!({ "version": 1, "name": "Wine", "expires_at": null })), &[]).await;
    assert_eq!(edited.status, 200, "{}", edited.text());
    assert_eq!((&edited.json()["name"], &edited.json()["expires_at"]), (&json!("Wine"), &Value::Null));
    assert_eq!(edited.json()["fallback_url"], "https://example.com/");
    let stale = world.send("PATCH", &path, "tsk_1", Some(json!({ "version": 1, "name": "Beer" })), &[]).await;
    assert_eq!((stale.status.as_u16(), stale.code().as_str()), (409, "version_conflict"));

    for (step, state) in [("pause", "paused"), ("resume", "live"), ("release", "minted"), ("retire", "retired")] {
        let stepped = world.send("POST", &format!("{path}/{step}"), "tsk_1", None, &[]).await;
        assert_eq!((stepped.status.as_u16(), text(&stepped.json()["state"])), (200, state), "{step}");
    }
    let refused = world.post(&format!("{path}/bind"), json!({ "destination": { "kind": "url", "url": "https://example.com" } })).await;
    assert_eq!((refused.status.as_u16(), refused.code().as_str()), (409, "code_retired"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_code_is_refused_before_anything_is_looked_up() {
    let world = World::new().await;
    let code = world.mint(NewCode::default()).await.code.to_string();
    let other = if code.starts_with('2') { '3' } else { '2' };
    let mistyped = format!("/v1/codes/{other}{}", &code[1..]);
    let refused = world.get(&mistyped).await;
    assert_eq!((refused.status.as_u16(), refused.fields()), (422, vec!["code".to_owned()]));
    let unknown = world.get(&format!("/v1/codes/{}", PublicCode::from_number(1).unwrap())).await;
    assert_eq!((unknown.status.as_u16(), unknown.code().as_str()), (404, "code_not_found"));
    assert_eq!(world.send("GET", &format!("/v1/codes/{code}"), "tsk_2", None, &[]).await.status, 404, "another workspace's");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_right_is_refused_by_field_all_at_once() {
    let world = World::new().await;
    let refused = world
        .post(
            "/v1/codes",
            json!({
                "name": "x".repeat(201), "tags": ["a,b"], "fallback_url": "ftp://example.com",
                "destination": { "kind": "url", "url": "javascript:alert(1)" }
            }),
        )
        .await;
    assert_eq!(refused.status, 422);
    let mut fields = refused.fields();
    fields.sort();
    assert_eq!(fields, ["destination.url", "fallback_url", "name", "tags"]);
    let printed = world.mint(NewCode::default()).await.code;
    for (body, field) in [
        (json!({ "scan_limit": 0 }), "scan_limit"),
        (json!({ "expires_at": "2020-01-01T00:00:00Z" }), "expires_at"),
        (json!({ "expires_at": "soon" }), "expires_at"),
        (json!({ "destination": { "kind": "card", "id": "card_1" } }), "destination.kind"),
        (json!({ "destination": { "kind": "url", "url": format!("https://GO.acme.io/{printed}") } }), "destination.url"),
        (json!({ "destination": { "kind": "page", "url": "https://example.com/?a", "parameters": {} } }), "destination.url"),
        (
            json!({ "destination": { "kind": "page", "url": "https://example.com", "parameters": { "a": "x".repeat(65_536) } } }),
            "destination.parameters",
        ),
        (json!({ "colour": "red" }), "colour"),
    ] {
        let refused = world.post("/v1/codes", body.clone()).await;
        assert_eq!((refused.status.as_u16(), refused.fields()), (422, vec![field.to_owned()]), "{}", refused.text());
    }
    for (body, field) in [
        (json!({ "count": 0 }), "count"),
        (json!({ "count": 10_001 }), "count"),
        (json!({ "count": 2, "code": { "tags": [""] } }), "code.tags"),
        (
            json!({ "count": 2, "code": { "destination": { "kind": "page", "url": "https://example.com", "parameters": {} } } }),
            "code.destination",
        ),
    ] {
        let refused = world.post("/v1/codes/batch", body).await;
        assert_eq!((refused.status.as_u16(), refused.fields()), (422, vec![field.to_owned()]), "{}", refused.text());
    }
    assert_eq!(world.get("/v1/codes?limit=201").await.fields(), ["limit"]);
    assert_eq!(world.get("/v1/codes?after=x").await.fields(), ["after"]);
    assert_eq!(world.get("/v1/codes?state=asleep").await.fields(), ["state"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_only_look_changes_nothing_and_a_stranger_sees_nothing() {
    let world = World::new().await;
    let code = world.mint(NewCode { destination: Destination::thing("card", "card_1"), ..NewCode::default() }).await.code;
    assert_eq!(world.send("GET", &format!("/v1/codes/{code}"), "tsk_reader", None, &[]).await.status, 200);
    for (method, path, body) in [
        ("POST", "/v1/codes".to_owned(), Some(json!({}))),
        ("POST", "/v1/codes/batch".to_owned(), Some(json!({ "count": 1 }))),
        ("PUT", "/v1/codes/recording".to_owned(), Some(json!({ "address": true, "place": true, "device": true }))),
        ("PATCH", format!("/v1/codes/{code}"), Some(json!({ "name": "x" }))),
        ("POST", format!("/v1/codes/{code}/bind"), Some(json!({ "destination": { "kind": "url", "url": "https://example.com" } }))),
        ("POST", format!("/v1/codes/{code}/release"), None),
        ("POST", format!("/v1/codes/{code}/pause"), None),
        ("POST", format!("/v1/codes/{code}/resume"), None),
        ("POST", format!("/v1/codes/{code}/retire"), None),
    ] {
        assert_eq!(world.send(method, &path, "tsk_reader", body.clone(), &[]).await.status, 403, "{method} {path}");
        assert_eq!(world.send(method, &path, "", body, &[]).await.status, 401, "{method} {path}");
    }
    for path in ["/v1/codes", "/v1/codes.csv", "/v1/codes/recording", &format!("/v1/codes/{code}/symbol.svg")] {
        assert_eq!(world.send("GET", path, "", None, &[]).await.status, 401, "{path}");
    }
    assert_eq!(world.get(&format!("/v1/codes/{code}")).await.json()["destination"], json!({ "kind": "card", "id": "card_1" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_codes_come_once_under_one_key_and_all_of_them_work() {
    let world = World::new().await;
    let body = json!({ "count": 10_000, "code": { "name": "Sticker", "destination": { "kind": "url", "url": "https://example.com/" } } });
    let send = || world.send("POST", "/v1/codes/batch", "tsk_1", Some(body.clone()), &[("idempotency-key", "once")]);
    let (first, second) = tokio::join!(send(), send());
    assert_eq!((first.status.as_u16(), second.status.as_u16()), (201, 201), "{}", first.text());
    assert_eq!(first.json(), second.json());
    let view = first.json();
    assert_eq!((view["count"].as_u64(), view["codes"].as_array().unwrap().len()), (Some(10_000), 10_000));
    for index in [0, 999, 1_000, 9_999] {
        let code = world.get(&format!("/v1/codes/{}", text(&view["codes"][index]))).await;
        assert_eq!((code.status.as_u16(), &code.json()["state"]), (200, &json!("live")), "the {index}th");
    }
    let table = world.get(&format!("/v1/codes.csv?batch={}", text(&view["batch"]))).await;
    assert_eq!(table.text().lines().count(), 10_001, "a header and every code once");
    assert_eq!(world.get("/v1/codes.csv").await.text().lines().count(), 10_001);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_paged_newest_first() {
    let world = World::new().await;
    let minted = world.post("/v1/codes/batch", json!({ "count": 7 })).await.json();
    let (mut found, mut path) = (Vec::new(), "/v1/codes?limit=3".to_owned());
    loop {
        let page = world.get(&path).await.json();
        found.extend(page["items"].as_array().unwrap().iter().map(|item| item["code"].clone()));
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/codes?limit=3&after={next}"),
            None => break,
        }
    }
    let mut wanted = minted["codes"].as_array().unwrap().clone();
    let by_text = |value: &Value| text(value).to_owned();
    found.sort_by_key(by_text);
    wanted.sort_by_key(by_text);
    assert_eq!(found, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_fetches_its_parameters_after_the_scan_whatever_their_size() {
    let world = World::new().await;
    let parameters = json!({ "listing": 7, "photos": ["x".repeat(60_000)], "nested": { "ä": null } });
    let destination = json!({ "kind": "page", "url": "https://example.com/app", "parameters": parameters });
    let minted = world.post("/v1/codes", json!({ "destination": destination })).await;
    assert_eq!(minted.status, 201, "{}", minted.text());
    let view = minted.json();
    assert_eq!(view["destination"]["url"], "https://example.com/app");
    let request = text(&view["destination"]["id"]);
    let asked = world.send("GET", &format!("/v1/public/requests/{request}"), "", None, &[]).await;
    assert_eq!((asked.status.as_u16(), asked.header("access-control-allow-origin")), (200, "*"));
    assert_eq!((&asked.json()["parameters"], &asked.json()["code"]), (&parameters, &view["code"]));
    world.send("POST", &format!("/v1/codes/{}/pause", text(&view["code"])), "tsk_1", None, &[]).await;
    assert_eq!(world.send("GET", &format!("/v1/public/requests/{request}"), "", None, &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_symbol_is_drawn_in_the_asked_style_or_refused_with_the_reason() {
    let world = World::new().await;
    let code = world.mint(NewCode::default()).await.code;
    let path = format!("/v1/codes/{code}/symbol");
    let svg = world.get(&format!("{path}.svg?size=512&quiet_zone=2&level=H&foreground=203060&background=transparent")).await;
    assert_eq!((svg.status.as_u16(), svg.header("content-type")), (200, "image/svg+xml"));
    assert!(svg.text().starts_with("<svg ") && svg.text().contains("width=\"512\"") && svg.text().contains("#203060"));
    let png = world.get(&format!("{path}.png?module=6")).await;
    assert_eq!((png.status.as_u16(), png.header("content-type")), (200, "image/png"));
    let picture = image::load_from_memory(&png.bytes).unwrap();
    assert_eq!((picture.width(), picture.height()), (6 * 33, 6 * 33), "version 2 with four modules of quiet zone");
    for (query, field) in [
        ("foreground=ffffff&background=000000", "foreground"),
        ("foreground=cccccc", "foreground"),
        ("foreground=red", "foreground"),
        ("background=12345", "background"),
        ("quiet_zone=17", "quiet_zone"),
        ("size=20", "size"),
        ("size=9999", "size"),
        ("module=0", "size"),
        ("size=300&module=3", "size"),
        ("level=X", "level"),
        ("colour=1", "colour"),
    ] {
        for kind in ["svg", "png"] {
            let refused = world.get(&format!("{path}.{kind}?{query}")).await;
            assert_eq!((refused.status.as_u16(), refused.fields()), (422, vec![field.to_owned()]), "{kind} {query}: {}", refused.text());
        }
    }
    assert_eq!(world.send("GET", &format!("{path}.png"), "tsk_2", None, &[]).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_switches_of_a_workspace_are_shown_and_set() {
    let world = World::new().await;
    assert_eq!(world.get("/v1/codes/recording").await.json(), json!({ "address": false, "place": true, "device": true }));
    let set = json!({ "address": true, "place": false, "device": true });
    assert_eq!(world.send("PUT", "/v1/codes/recording", "tsk_1", Some(set.clone()), &[]).await.status, 200);
    assert_eq!(world.get("/v1/codes/recording").await.json(), set);
    let other = world.send("GET", "/v1/codes/recording", "tsk_2", None, &[]).await;
    assert_eq!(other.json()["address"], false);
}
