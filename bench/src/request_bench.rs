//! An API request through all layers, in processor time, against bare axum that answers with the same JSON.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use axum::routing::{get, post};
use axum::{Json, Router};
use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::Options;
use crate::client::Client;
use crate::process::{Server, cpu_seconds, wrk};

/// What one code is as JSON; bare axum serialises the same.
const LIKE_A_CODE: &str = r#"{"code":"W1CJWW939","address":"http://127.0.0.1:18091/W1CJWW939","state":"live","name":"a","tags":[],"destination":{"kind":"url","url":"https://example.com/"},"expires_at":null,"fallback_url":null,"scan_limit":null,"scans_left":null,"recording":{"address":null,"place":null,"device":null},"batch":null,"version":1,"created_at":"2026-11-20T22:18:27.022203Z","updated_at":"2026-11-20T22:18:27.022203Z"}"#;

/// The other side of the comparison, in a process of its own: no caller, no limits, no database.
pub(crate) async fn bare_axum() -> Result<(), String> {
    let value: Value = serde_json::from_str(LIKE_A_CODE).map_err(|e| e.to_string())?;
    let answered = value.clone();
    let router = Router::new()
        .route("/v1/codes/{code}", get(move || async move { Json(answered) }))
        .route("/v1/leads", post(move |Json(_): Json<Value>| async move { (StatusCode::CREATED, Json(value)) }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
    println!("{}", listener.local_addr().map_err(|e| e.to_string())?);
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    axum::serve(listener, router).await.map_err(|e| e.to_string())
}

/// A wrk script that sends one request, or a POST of its own each time.
fn script(folder: &Path, name: &str, lua: &str) -> Result<PathBuf, String> {
    let path = folder.join(format!("{name}.lua"));
    std::fs::write(&path, lua).map_err(|e| e.to_string())?;
    Ok(path)
}

fn get_script(folder: &Path, name: &str, path: &str, key: &str) -> Result<PathBuf, String> {
    script(
        folder,
        name,
        &format!(
            "local asked = nil\nfunction init(args) asked = wrk.format(\"GET\", \"{path}\", {{ [\"Authorization\"] = \"Bearer {key}\" }}) end\nfunction request() return asked end\n"
        ),
    )
}

fn post_script(folder: &Path, name: &str, key: &str, is_new: bool) -> Result<PathBuf, String> {
    let number = if is_new { "at = at + 1" } else { "at = 1" };
    script(
        folder,
        name,
        &format!(
            r#"local threads = 0
function setup(thread) thread:set("id", threads); threads = threads + 1 end
function init(args) at = 0; run = "{name}" .. os.time() end
function request()
  {number}
  local one = id .. "x" .. at
  local headers = {{ ["Authorization"] = "Bearer {key}", ["Content-Type"] = "application/json", ["Idempotency-Key"] = run .. one }}
  return wrk.format("POST", "/v1/leads", headers, '{{"name":"Visitor ' .. one .. '","email":"' .. run .. one .. '@example.net"}}')
end
"#
        ),
    )
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let seconds = options.number("--seconds").unwrap_or(if options.quick { 3 } else { 10 });
    let rounds = if options.quick { 2 } else { 5 };
    let work = options.folder("request")?;
    let many = "4000000000";
    let server = Server::tessera(&work.join("data"), &["--rate-address", many, "--rate-caller", many]).await?;
    let bare = Server::myself("bare-axum").await?;
    let key = server.told("api_key")?;
    let client = Client::new(&server.url, &key);
    let code = client
        .must(Method::POST, "/v1/codes", Some(&json!({ "name": "a", "destination": { "kind": "url", "url": "https://example.com/" } })))
        .await?;
    client.must(Method::POST, "/v1/leads", Some(&json!({ "name": "Grace Hopper", "email": "grace@example.net" }))).await?;
    let code = code["code"].as_str().ok_or("no code")?;

    let one_code = get_script(&work, "code", &format!("/v1/codes/{code}"), &key)?;
    let one_lead = get_script(&work, "lead", "/v1/leads?limit=1", &key)?;
    let (fresh, repeated) = (post_script(&work, "fresh", &key, true)?, post_script(&work, "repeated", &key, false)?);
    // Name, whose, script, connections.
    let kinds = [
        ("bare axum, GET of equal JSON", &bare, &one_code, 32),
        ("GET /v1/codes/{code}", &server, &one_code, 32),
        ("GET /v1/leads?limit=1", &server, &one_lead, 32),
        ("bare axum, POST of equal JSON", &bare, &fresh, 64),
        ("POST /v1/leads, idempotent, new", &server, &fresh, 64),
        ("POST /v1/leads, idempotent, repeated", &server, &repeated, 64),
    ];
    let mut micros = vec![Vec::new(); kinds.len()];
    for round in 0..=rounds {
        for ((_, process, script, connections), micros) in kinds.iter().zip(&mut micros) {
            // The first round warms up; the writes get one round only, because what follows each goes on after it.
            if round == 0 || round == 1 || script != &&fresh {
                let time = if round == 0 { 1 } else { seconds };
                let before = cpu_seconds(&process.pids());
                let done = wrk(&process.url, script, time, *connections)?;
                if round > 0 {
                    micros.push(((cpu_seconds(&process.pids()) - before) / done.requests as f64 * 1e6, done.rate));
                }
            }
        }
    }
    let median = |mut all: Vec<(f64, f64)>| {
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        all[all.len() / 2]
    };
    println!("{:<38} {:>18} {:>12}", "", "CPU us a request", "a second");
    let mut cpu = Vec::new();
    for ((name, ..), micros) in kinds.iter().zip(micros) {
        let (micros, rate) = median(micros);
        println!("{name:<38} {micros:>18.1} {rate:>12.0}");
        cpu.push(micros);
    }
    println!("ratio_to_axum is requests a CPU second through all layers over those of bare axum: 1 would be equal, more is better");
    server.stop().await?;
    bare.stop().await?;
    let _ = std::fs::remove_dir_all(&work);
    let round = |x: f64| (x * 1000.0).round() / 1000.0;
    Ok(json!({
        "ratio_to_axum": round(cpu[0] / cpu[1]),
        "ratio_to_axum_leads": round(cpu[0] / cpu[2]),
        "ratio_to_axum_post": round(cpu[3] / cpu[4]),
        "ratio_to_axum_repeated": round(cpu[3] / cpu[5]),
        "axum_cpu_us": round(cpu[0]),
        "code_cpu_us": round(cpu[1]),
        "leads_cpu_us": round(cpu[2]),
        "axum_post_cpu_us": round(cpu[3]),
        "post_cpu_us": round(cpu[4]),
        "repeated_cpu_us": round(cpu[5]),
    }))
}
