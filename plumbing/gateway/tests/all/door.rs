//! What the door does for every request.

use std::time::Duration;

use axum::body::Body;
use gateway::{DoorSettings, LimitSettings, Peer, Proxies, Rate};
use http::Request;

use super::world::{Reply, World, with_headers};

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_a_request_id_and_the_security_headers() {
    let world = World::new().await;
    for path in ["/v1/lines", "/nowhere", "/v1/panic"] {
        let reply = world.get(path, &[]).await;
        assert!(reply.header("x-request-id").len() > 10, "{path}");
        assert_eq!(reply.header("x-content-type-options"), "nosniff");
        assert!(reply.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(reply.header("referrer-policy"), "same-origin");
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(reply.header("strict-transport-security"), "", "not on plain http");
        assert!(reply.header("ratelimit").starts_with("\"address\";r="));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_addresses_and_methods_are_problems() {
    let world = World::new().await;
    let reply = world.get("/nowhere", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (404, "not_found"));
    assert_eq!(reply.header("content-type"), "application/problem+json");
    assert_eq!(reply.json()["request_id"].as_str().unwrap(), reply.header("x-request-id"));
    let reply = world.send(Request::delete("/v1/things").body(Body::empty()).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (405, "method_not_allowed"));
    let mut allowed: Vec<&str> = reply.header("allow").split(',').collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["GET", "HEAD", "POST"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_and_a_slow_handler_are_problems_that_show_nothing() {
    let world = World::with(DoorSettings { deadline: Duration::from_millis(500), ..DoorSettings::default() }).await;
    let reply = world.get("/v1/panic", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (500, "internal"));
    assert!(!reply.text.contains("secret words"));
    let reply = world.get("/v1/slow", &[]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str(), reply.header("retry-after")), (503, "deadline", "1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_are_known_by_session_or_by_key() {
    let world = World::new().await;
    let me = async |headers: &[(&str, &str)]| world.get("/v1/me", headers).await;
    assert_eq!(me(&[]).await.status, 401);
    assert_eq!(me(&[]).await.header("www-authenticate"), "Bearer realm=\"tessera\"");
    assert!(me(&[("authorization", "Bearer tsk_5")]).await.text.starts_with("key_"));
    assert!(me(&[("cookie", "a=b; tessera_session=session-5")]).await.text.starts_with("mem_"));
    assert_eq!(me(&[("cookie", "tessera_session=over")]).await.status, 401);
    assert_eq!(me(&[("cookie", "__Host-tessera_session=session-5")]).await.status, 401, "that name is for https");
    for wrong in ["Bearer tsk_wrong", "Basic dXNlcjpwYXNz", "Bearer"] {
        assert_eq!(me(&[("authorization", wrong), ("cookie", "tessera_session=session-5")]).await.status, 401, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_acts_only_from_our_own_pages() {
    let world = World::new().await;
    let post = async |headers: &[(&str, &str)]| -> Reply {
        let basic = [("cookie", "tessera_session=session-1"), ("content-type", "application/json"), ("host", "tessera.example")];
        let request = with_headers(with_headers(Request::post("/v1/things"), &basic), headers);
        world.send(request.body(Body::from(r#"{"name": "a"}"#)).unwrap()).await
    };
    for good in [("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none"), ("origin", "http://tessera.example")] {
        assert_eq!(post(&[good]).await.status, 201, "{good:?}");
    }
    for bad in [
        ("accept", "*/*"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "http://evil.example"),
        ("origin", "null"),
    ] {
        let reply = post(&[bad]).await;
        assert_eq!((reply.status.as_u16(), reply.code().as_str()), (403, "csrf"), "{bad:?}");
    }
    assert_eq!(post(&[("authorization", "Bearer tsk_1"), ("sec-fetch-site", "cross-site")]).await.status, 201, "a key needs no such care");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_of_another_site_cannot_sign_a_visitor_in() {
    let world = World::new().await;
    let post = async |headers: &[(&str, &str)]| {
        let request = with_headers(Request::post("/form").header("host", "a.example"), headers);
        world.send(request.header("content-type", "application/x-www-form-urlencoded").body(Body::from("name=J%C3%B6rg")).unwrap()).await
    };
    assert_eq!(post(&[]).await.text, "Jörg", "a program that is no browser");
    assert_eq!(post(&[("sec-fetch-site", "same-origin")]).await.status, 200);
    assert_eq!(post(&[("origin", "https://evil.example")]).await.code(), "csrf");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_limited_and_their_type_is_checked() {
    let world = World::new().await;
    let long = format!(r#"{{"name": "{}"}}"#, "x".repeat(70_000));
    let reply = world.post("/v1/things", &long, &[]).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (413, "body_too_large"));
    // Without a length beforehand it is found out while reading.
    let chunks = futures_util::stream::iter((0..70).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_000])));
    let request = Request::post("/v1/things").header("content-type", "application/json").header("authorization", "Bearer tsk_1");
    assert_eq!(world.send(request.body(Body::from_stream(chunks)).unwrap()).await.status, 413);
    let raw = Request::post("/v1/raw").body(Body::from(vec![0; 150_000])).unwrap();
    assert_eq!(world.send(raw).await.text, "150000", "a route may ask for more");
    let request = Request::post("/v1/things").header("content-type", "text/plain").header("authorization", "Bearer tsk_1");
    let reply = world.send(request.body(Body::from("{}")).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (415, "unsupported_media_type"));
    assert_eq!(world.get(&format!("/v1/lines?{}", "a".repeat(9_000)), &[]).await.status, 414);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_dribbles_is_not_waited_for() {
    let world = World::with(DoorSettings { body_time: std::time::Duration::from_millis(100), ..DoorSettings::default() }).await;
    let request = Request::post("/v1/things").header("content-type", "application/json").header("authorization", "Bearer tsk_1");
    let never = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
    let reply = world.send(request.body(Body::from_stream(never)).unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str()), (408, "body_too_slow"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_fields_are_named_wherever_they_stand() {
    let world = World::new().await;
    let field = |reply: &Reply| (reply.status.as_u16(), reply.json()["errors"][0]["field"].as_str().unwrap_or_default().to_owned());
    for (body, name) in [
        (r#"{"name": 1}"#, "name"),
        (r#"{}"#, "name"),
        (r#"{"name": "a\u0000"}"#, "name"),
        (r#"{"name": "a", "name": "b"}"#, "name"),
        (r#"{"name": "a", "size": 1}"#, "size"),
    ] {
        assert_eq!(field(&world.post("/v1/things", body, &[]).await), (422, name.to_owned()), "{body}");
    }
    assert_eq!(field(&world.get("/v1/lines?size=many", &[]).await), (422, "size".to_owned()));
    assert_eq!(field(&world.get("/v1/lines?size=%00", &[]).await), (422, "size".to_owned()));
    assert_eq!(field(&world.get("/v1/lines?size=%ff", &[]).await), (422, "size".to_owned()));
    assert_eq!(field(&world.get("/v1/things?limit=201", &[]).await), (422, "limit".to_owned()));
    assert_eq!(field(&world.get("/v1/things/many", &[]).await), (422, "size".to_owned()));
    assert_eq!(field(&world.get("/v1/members/mem_1", &[]).await), (422, "member".to_owned()));
    assert_eq!(field(&world.get("/v1/members/a%00b", &[]).await), (422, "member".to_owned()));
    assert_eq!(field(&world.get("/v1/members/a%ffb", &[]).await).0, 422);
    assert_eq!(world.post("/v1/things", "{", &[]).await.code(), "malformed_json");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_and_a_caller_have_their_allowances() {
    let limits =
        LimitSettings { address: Rate { requests: 5, per_s: 60 }, caller: Rate { requests: 2, per_s: 60 }, ..LimitSettings::default() };
    let world = World::with(DoorSettings { limits, ..DoorSettings::default() }).await;
    let key = [("authorization", "Bearer tsk_1")];
    assert_eq!(world.get("/v1/me", &key).await.header("ratelimit"), "\"caller\";r=1;t=30");
    assert_eq!(world.get("/v1/me", &key).await.header("ratelimit-policy"), "\"caller\";q=2;w=60");
    let reply = world.get("/v1/me", &key).await;
    assert_eq!((reply.status.as_u16(), reply.code().as_str(), reply.header("retry-after")), (429, "too_many_requests", "30"));
    assert_eq!(world.get("/v1/me", &[("authorization", "Bearer tsk_2")]).await.status, 200, "another caller");
    assert_eq!(world.get("/v1/lines", &[]).await.status, 200);
    assert_eq!(world.get("/v1/lines", &[]).await.status, 429, "the address has used its own up");
    let mut elsewhere = Request::get("/v1/lines").body(Body::empty()).unwrap();
    Peer { address: "203.0.113.9:1".parse().unwrap(), is_tls: false }.mark(&mut elsewhere);
    assert_eq!(world.send(elsewhere).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_of_machines_takes_as_much_from_an_address_as_from_a_caller() {
    let limits =
        LimitSettings { address: Rate { requests: 1, per_s: 60 }, caller: Rate { requests: 3, per_s: 60 }, ..LimitSettings::default() };
    let world = World::with(DoorSettings { limits, machine_routes: vec!["/v1/lines"], ..DoorSettings::default() }).await;
    for _ in 0..3 {
        assert_eq!(world.get("/v1/lines", &[]).await.status, 200);
    }
    assert_eq!(world.get("/v1/lines", &[]).await.status, 429);
    let form = || {
        with_headers(Request::post("/form"), &[("content-type", "application/x-www-form-urlencoded")]).body(Body::from("name=a")).unwrap()
    };
    assert_eq!(world.send(form()).await.status, 200, "other routes keep their own count");
    assert_eq!(world.send(form()).await.status, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessing_keys_is_slow() {
    let limits = LimitSettings { sign_in: Rate { requests: 3, per_s: 60 }, ..LimitSettings::default() };
    let world = World::with(DoorSettings { limits, ..DoorSettings::default() }).await;
    for _ in 0..3 {
        assert_eq!(world.get("/v1/me", &[("authorization", "Bearer tsk_wrong")]).await.status, 401);
    }
    assert_eq!(world.get("/v1/me", &[("authorization", "Bearer tsk_wrong")]).await.status, 429);
    assert_eq!(world.get("/v1/me", &[("authorization", "Bearer tsk_1")]).await.status, 200, "the right one still opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_proxy_gives_request_ids_and_https() {
    let proxies = Proxies::of(["10.0.0.0/8".parse().unwrap()]);
    let world = World::with(DoorSettings { proxies, ..DoorSettings::default() }).await;
    let send = async |from: &str| {
        let said = [("x-request-id", "trace-1"), ("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.9")];
        let mut request = with_headers(Request::get("/v1/lines"), &said).body(Body::empty()).unwrap();
        Peer { address: from.parse().unwrap(), is_tls: false }.mark(&mut request);
        world.send(request).await
    };
    let trusted = send("10.1.2.3:1").await;
    assert_eq!((trusted.header("x-request-id"), trusted.header("strict-transport-security")), ("trace-1", "max-age=31536000"));
    let stranger = send("192.0.2.3:1").await;
    assert_ne!(stranger.header("x-request-id"), "trace-1");
    assert_eq!(stranger.header("strict-transport-security"), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_gets_a_page_where_there_is_one() {
    let settings =
        DoorSettings { problem_page: Some(|problem, _| Some(format!("<h1>{}</h1>", problem.title()))), ..DoorSettings::default() };
    let world = World::with(settings).await;
    let page = world.get("/nowhere", &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")]).await;
    assert_eq!(
        (page.status.as_u16(), page.text.as_str(), page.header("content-type")),
        (404, "<h1>Not Found</h1>", "text/html; charset=utf-8")
    );
    let program = world.get("/nowhere", &[("accept", "application/json, text/html")]).await;
    assert_eq!(program.header("content-type"), "application/problem+json");
}
