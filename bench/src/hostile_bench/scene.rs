//! Where it happens: an installation with two workspaces, each with things of its own, and servers inside that nobody may reach.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use kernel::{Caller, Grant};
use people::{Email, KeyDraft, Locale, PeopleError, PersonName, WorkspaceName, Zone};
use serde_json::{Value, json};
use store::{Config, Store};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::strangers::{Ours, Theirs};
use crate::client::{Client, FILL_TIME};
use crate::process::Server;
use crate::{Options, paced};

static SYSTEM: Caller = Caller::system("bench");
const SCOPES: [&str; 14] = [
    "codes:read",
    "codes:write",
    "cards:read",
    "cards:write",
    "leads:read",
    "leads:write",
    "leads:erase",
    "notifications:read",
    "notifications:write",
    "people:read",
    "people:write",
    "keys:read",
    "keys:write",
    "audit:read",
];

/// The one address inside that webhooks may reach here; every other one of loopback stays inside.
const ALLOWED: &str = "127.0.0.9";

/// A server that counts who reaches it.
pub(super) struct Counting {
    pub(super) port: u16,
    reached: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Counting {
    /// At this address; it answers with a redirect, if one is given.
    async fn start(address: &str, leads_to: Option<String>) -> Result<Self, String> {
        let listener = TcpListener::bind((address, 0)).await.map_err(|e| e.to_string())?;
        let port = listener.local_addr().map_err(|e| e.to_string())?.port();
        let reached = Arc::new(AtomicUsize::new(0));
        let answer = async |State((reached, leads_to)): State<(Arc<AtomicUsize>, Option<String>)>| {
            reached.fetch_add(1, Ordering::Relaxed);
            match leads_to {
                Some(leads_to) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, leads_to)]),
                None => (StatusCode::OK, [(header::LOCATION, String::new())]),
            }
        };
        let router = Router::new().fallback(answer).with_state((Arc::clone(&reached), leads_to));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { port, reached, task })
    }

    pub(super) fn reached(&self) -> usize {
        self.reached.load(Ordering::Relaxed)
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Everything on stage.
pub(super) struct Scene {
    work: PathBuf,
    server: Server,
    pub(super) us: Client,
    them: Client,
    pub(super) ours: Ours,
    pub(super) theirs: Theirs,
    /// A second card of ours, which the tries may change.
    pub(super) other_card: String,
    pub(super) other_action: String,
    /// Nobody may reach this one.
    pub(super) forbidden: Counting,
    /// This one may be reached, and leads to the forbidden one.
    pub(super) leading: Counting,
}

/// A second workspace, which no door makes: as an operator's own program would.
async fn second_workspace(data: &Path) -> Result<String, String> {
    let store = Store::open(Config::new(data, None)).await.map_err(|e| e.to_string())?;
    let unit = store.write(&SYSTEM, (), |tx, ()| {
        Box::pin(async move {
            let name = WorkspaceName::parse("Theirs Only")?;
            let (locale, zone) = (Locale::parse("en")?, Zone::parse("UTC")?);
            let (email, person) = (Email::parse("theirs@example.org")?, PersonName::parse("Theirs Only")?);
            let (workspace, _) = people::commands::create_workspace(tx, &name, &locale, &zone, &email, &person).await?;
            let draft = KeyDraft::parse("theirs only", SCOPES.map(Grant).to_vec(), None, tx.now())?;
            Ok::<_, PeopleError>(people::commands::issue_key(tx, workspace.id, draft).await?.text)
        })
    });
    let key = unit.await.map_err(|e| e.to_string())?;
    store.close().await;
    Ok(key)
}

fn id(value: &Value, name: &str) -> Result<String, String> {
    value[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name} in {value}"))
}

impl Scene {
    pub(super) async fn set(options: &Options) -> Result<Self, String> {
        let work = options.folder("hostile")?;
        let data = work.join("data");
        Server::tessera(&data, &[]).await?.stop().await?;
        let their_key = second_workspace(&data).await?;
        let many = "4000000000";
        let allow = format!("{ALLOWED}/32");
        let settings = ["--webhook-allow", &allow, "--rate-address", many, "--rate-caller", many, "--rate-form", many];
        let server = Server::tessera(&data, &settings).await?;
        let key = server.told("api_key")?;
        let (us, them) = (Client::new(&server.url, &key), Client::new(&server.url, &their_key));

        let lead = json!({ "name": "Theirs Only", "email": "theirs-only@example.org" });
        let code = json!({ "name": "theirs only", "destination": { "kind": "url", "url": "https://example.org/" } });
        let post = |path: &'static str, body: Value| {
            let them = &them;
            async move { them.must(Method::POST, path, Some(&body)).await }
        };
        let theirs = Theirs {
            lead: id(&post("/v1/leads", lead).await?, "id")?,
            card: id(&post("/v1/cards", json!({ "profile": { "given_name": "Theirs Only" } })).await?, "id")?,
            code: id(&post("/v1/codes", code).await?, "code")?,
            webhook: id(&post("/v1/webhooks", json!({ "url": "https://example.org/theirs-only" })).await?["endpoint"], "id")?,
            member: id(&them.all("/v1/members").await?[0], "id")?,
            key: id(&them.all("/v1/keys").await?[0], "id")?,
        };

        let post = |path: &'static str, body: Value| {
            let us = &us;
            async move { us.must(Method::POST, path, Some(&body)).await }
        };
        let lead = id(&post("/v1/leads", json!({ "name": "Ours", "email": "ours@example.net" })).await?, "id")?;
        let code = json!({ "name": "ours", "destination": { "kind": "url", "url": "https://example.com/" } });
        let code = id(&post("/v1/codes", code).await?, "code")?;
        let looker = id(&post("/v1/keys", json!({ "name": "looker", "scopes": ["leads:read", "codes:read"] })).await?, "key")?;
        let card = id(&us.all("/v1/cards").await?[0], "id")?;
        let other_card = id(&post("/v1/cards", json!({ "profile": { "given_name": "Other" } })).await?, "id")?;
        let other_action = us.form(&format!("/c/{other_card}/page"), "20.0.0.9").await?.action;
        let page = format!("/c/{card}/page");
        let (used, fresh) = (us.form(&page, "20.0.0.1").await?, us.form(&page, "20.0.0.2").await?);
        let status = us.submit(&used, "20.0.0.1", "Grace+Hopper", "grace@example.net").await?;
        if status != StatusCode::SEE_OTHER {
            return Err(format!("a good form was answered {status}"));
        }
        tokio::time::sleep(FILL_TIME).await;
        let cookie = sign_in(&us, &server).await?;
        let key = format!("Bearer {key}");
        let ours = Ours {
            key,
            looker: format!("Bearer {looker}"),
            card,
            code,
            lead,
            cookie,
            action: fresh.action,
            fresh_token: fresh.token,
            used_token: used.token,
        };

        let forbidden = Counting::start("127.0.0.1", None).await?;
        let leading = Counting::start(ALLOWED, Some(format!("http://127.0.0.1:{}/hook", forbidden.port))).await?;
        Ok(Self { work, server, us, them, ours, theirs, other_card, other_action, forbidden, leading })
    }

    /// `host:port` of the product.
    pub(super) fn host(&self) -> &str {
        self.server.url.trim_start_matches("http://")
    }

    pub(super) fn port_inside(&self) -> u16 {
        self.forbidden.port
    }

    /// Where webhooks may go, and are led on from.
    pub(super) fn leading_url(&self) -> String {
        format!("http://{ALLOWED}:{}/hook", self.leading.port)
    }

    pub(super) fn mail_folder(&self) -> PathBuf {
        self.work.join("data").join("mail")
    }

    /// What both workspaces have that no try may change.
    pub(super) async fn everything(&self) -> Result<BTreeMap<String, Value>, String> {
        let mut all = BTreeMap::new();
        for (whose, client) in [("ours", &self.us), ("theirs", &self.them)] {
            for list in ["leads", "cards", "codes", "webhooks", "members", "keys"] {
                for mut item in client.all(&format!("/v1/{list}")).await? {
                    let name = item["id"].as_str().or(item["code"].as_str()).unwrap_or_default().to_owned();
                    // When it was last used is meant to change.
                    if let Some(fields) = item.as_object_mut() {
                        fields.remove("used_at");
                        fields.remove("failing_since");
                    }
                    if name != self.other_card {
                        all.insert(format!("{whose} {list} {name}"), item);
                    }
                }
            }
        }
        Ok(all)
    }

    /// How many answers of 5xx the server itself has counted.
    pub(super) async fn answered_5xx(&self) -> Result<usize, String> {
        let (_, text) = paced::get(&self.server.url, "/metrics").await?;
        let counts = text.lines().filter(|line| line.starts_with("http_requests_total") && line.contains("status=\"5"));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as usize)
    }

    /// A page as its owner sees it.
    pub(super) async fn page(&self, path: &str) -> Result<(StatusCode, String), String> {
        let answer = self.us.send(Method::GET, path, &[("cookie", &self.ours.cookie), ("accept", "text/html")], Bytes::new()).await?;
        Ok((answer.status, String::from_utf8_lossy(&answer.body).into_owned()))
    }

    pub(super) async fn end(self) -> Result<(), String> {
        self.server.stop().await?;
        let _ = std::fs::remove_dir_all(&self.work);
        Ok(())
    }
}

/// Redeems the link of the greeting, as its page does.
async fn sign_in(client: &Client, server: &Server) -> Result<String, String> {
    let link = server.told("sign_in_url")?;
    let path = link.strip_prefix(&server.url).ok_or("the link is not ours")?.to_owned();
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("sec-fetch-site", "same-origin")];
    let answer = client.send(Method::POST, &path, &headers, Bytes::new()).await?;
    let cookie = answer.headers.get("set-cookie").and_then(|cookie| cookie.split(';').next());
    cookie.map(str::to_owned).ok_or_else(|| format!("signing in was answered {}", answer.status))
}
