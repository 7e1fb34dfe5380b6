//! The document is generated from the code, complete and true.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use gateway::openapi::{ErrorResponses, check, openapi_routes, to_json};
use gateway::{Answer, Door, DoorSettings, Json, List, NobodyKnown, PageQuery, Path, Problem, Query, ShutdownSignal};
use http::Request;
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tower::ServiceExt;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A tile.
#[derive(Serialize, ToSchema)]
struct TileView {
    /// Its name.
    #[schema(example = "corner")]
    name: String,
    /// How wide it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    width_mm: Option<u32>,
}

#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TileBody {
    name: String,
}

/// Makes a tile.
#[utoipa::path(post, path = "/v1/tiles", tag = "tiles", request_body = TileBody, responses((status = 201, body = TileView), ErrorResponses))]
async fn make(Json(body): Json<TileBody>) -> Result<Answer<TileView>, Problem> {
    Ok(Answer::created(TileView { name: body.name, width_mm: None }))
}

/// Lists tiles.
#[utoipa::path(get, path = "/v1/tiles", tag = "tiles", params(PageQuery), responses((status = 200, body = List<TileView>), ErrorResponses))]
async fn list(Query(page): Query<PageQuery>) -> Result<List<TileView>, Problem> {
    let names = ["a", "b", "c"].map(|name| TileView { name: name.to_owned(), width_mm: Some(3) });
    Ok(List::page(Vec::from(names), page.limit()? as usize, |tile| tile.name.clone()))
}

/// Reads one tile, and lies about it: `width_mm` is said to be a number.
#[utoipa::path(get, path = "/v1/tiles/{name}", tag = "tiles", params(("name" = String, Path)), responses((status = 200, body = TileView), ErrorResponses))]
async fn read(Path(name): Path<String>) -> Json<Value> {
    Json(serde_json::json!({"name": name, "width_mm": "wide"}))
}

#[derive(OpenApi)]
#[openapi(info(title = "Tiles", version = "1"))]
struct Tiles;

fn house() -> (Router, Value) {
    let (router, document) =
        OpenApiRouter::with_openapi(Tiles::openapi()).routes(routes!(make, list)).routes(routes!(read)).split_for_parts();
    let json = serde_json::from_str(&to_json(document.clone()).unwrap()).unwrap();
    let door = Door::new(DoorSettings::default(), Arc::new(NobodyKnown), &kernel::Entropy::seeded(1), ShutdownSignal::never());
    (door.around(router.merge(openapi_routes(document))), json)
}

/// Sends a request and checks the answer against the document.
async fn send(method: &str, path: &str, body: &str) -> (u16, Result<(), String>) {
    let (router, document) = house();
    let request =
        Request::builder().method(method).uri(path).header("content-type", "application/json").body(Body::from(body.to_owned())).unwrap();
    let (parts, body) = router.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let kind = parts.headers.get("content-type").map(|kind| kind.to_str().unwrap().to_owned());
    let status = parts.status.as_u16();
    (status, check(&document, method, path, status, kind.as_deref(), &bytes))
}

#[tokio::test]
async fn what_is_answered_is_what_is_declared() {
    for (method, path, body, status) in [
        ("POST", "/v1/tiles", r#"{"name": "a"}"#, 201),
        ("POST", "/v1/tiles", r#"{"name": 5}"#, 422),
        ("POST", "/v1/tiles", "{", 400),
        ("GET", "/v1/tiles?limit=2", "", 200),
        ("GET", "/v1/tiles", "", 200),
        ("GET", "/v1/tiles?limit=0", "", 422),
    ] {
        assert_eq!(send(method, path, body).await, (status, Ok(())), "{method} {path} {body}");
    }
    let (status, told) = send("GET", "/v1/tiles/a", "").await;
    assert!(status == 200 && told.as_ref().unwrap_err().contains("$.width_mm"), "a lie is found out: {told:?}");
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let (router, document) = house();
    let get = async |path: &str| {
        let (parts, body) = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap().into_parts();
        assert_eq!(parts.status, 200);
        (parts.headers, String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap())
    };
    let (headers, text) = get("/openapi.json").await;
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let (headers, html) = get("/docs").await;
    assert!(headers["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'; style-src 'unsafe-inline'"));
    for wanted in
        ["POST", "/v1/tiles/{name}", "Makes a tile.", "id=\"schema-Problem\"", "tiles", "&quot;corner&quot;", "Authorization: bearer"]
    {
        assert!(html.contains(wanted), "{wanted} is missing");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn walk(document: &Value, node: &Value) {
        match node {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference} leads nowhere");
                }
                fields.values().for_each(|field| walk(document, field));
            }
            Value::Array(items) => items.iter().for_each(|item| walk(document, item)),
            _ => {}
        }
    }
    let (_, document) = house();
    walk(&document, &document);
}
