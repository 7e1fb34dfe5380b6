//! From a visitor's details to everybody who is told of them: owner by email, endpoint by webhook, portal by live stream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use crate::Options;
use crate::client::{Client, FILL_TIME, address};
use crate::paced::Latency;
use crate::process::Server;
use crate::receivers::{Endpoint, Live, MailServer, SlowWay};

/// A visitor opens the page this long before the form is sent.
const OPENED_BEFORE: Duration = Duration::from_secs(3);

/// How one channel did.
struct Channel {
    latency: Latency,
    doubled: u64,
}

/// How all of them did, for as many leads as were answered.
struct Told {
    answered: u64,
    refused: u64,
    email: Channel,
    webhook: Channel,
    live: Channel,
}

struct Load {
    rate: f64,
    time: Duration,
    /// How long the last ones may take.
    grace: Duration,
}

/// When each lead was due, by the visitor's address, once it was answered.
type Answered = HashMap<String, Instant>;

/// The latency of the first time that each lead was heard of, and how many were heard of again.
fn channel(answered: &Answered, heard: impl Iterator<Item = (Instant, String)>) -> Channel {
    let (mut first, mut doubled) = (HashMap::<String, Instant>::new(), 0);
    for (at, email) in heard.filter(|(_, email)| answered.contains_key(email)) {
        if let Some(earlier) = first.get_mut(&email) {
            doubled += 1;
            *earlier = at.min(*earlier);
        } else {
            first.insert(email, at);
        }
    }
    let micros = answered
        .iter()
        .filter_map(|(email, due)| Some(first.get(email)?.saturating_duration_since(*due).as_micros() as u64))
        .collect::<Vec<_>>();
    let lost = (answered.len() - micros.len()) as u64;
    Channel { latency: Latency::of(micros, lost), doubled }
}

/// One installation under load, with one endpoint hanging and the mail server's way slow if `is_hung`.
async fn measure(options: &Options, name: &str, load: &Load, is_hung: bool, delay: Duration) -> Result<Told, String> {
    let work = options.folder(name)?;
    let mails = MailServer::start(&work.join("mails")).await?;
    let way = if is_hung { Some(SlowWay::to(&mails.address, delay).await?) } else { None };
    let smtp = format!("smtp://{}?tls=none", way.as_ref().map_or(&mails.address, |way| &way.address));
    let many = "4000000000";
    let settings = ["--smtp", &smtp, "--webhook-allow", "127.0.0.1/32", "--rate-form", many, "--rate-address", many, "--rate-caller", many];
    let settings = [&settings[..], &["--trusted-proxy", "127.0.0.1"]].concat();
    let server = Server::tessera(&work.join("data"), &settings).await?;
    let key = server.told("api_key")?;
    let client = Arc::new(Client::new(&server.url, &key));
    let endpoint = Endpoint::start().await?;
    client.must(Method::POST, "/v1/webhooks", Some(&json!({ "url": endpoint.url }))).await?;
    let hanging = if is_hung { Some(Endpoint::hanging().await?) } else { None };
    if let Some(hanging) = &hanging {
        client.must(Method::POST, "/v1/webhooks", Some(&json!({ "url": hanging.url }))).await?;
    }
    let live = Live::open(&server.url, &key).await?;
    let card = client.all("/v1/cards").await?;
    let page = format!("/c/{}/page", card[0]["id"].as_str().ok_or("there is no card")?);

    let answered: Arc<Mutex<Answered>> = Arc::default();
    let refused = Arc::new(AtomicU64::new(0));
    let start = Instant::now() + OPENED_BEFORE + Duration::from_millis(200);
    let mut visitors = Vec::new();
    for number in 0..(load.rate * load.time.as_secs_f64()) as u64 {
        let due = start + Duration::from_secs_f64(number as f64 / load.rate);
        let (client, page, answered, refused) = (Arc::clone(&client), page.clone(), Arc::clone(&answered), Arc::clone(&refused));
        visitors.push(tokio::spawn(async move {
            tokio::time::sleep_until((due - OPENED_BEFORE).into()).await;
            let (from, email) = (address(number), format!("visitor{number}@example.net"));
            let Ok(form) = client.form(&page, &from).await else {
                refused.fetch_add(1, Ordering::Relaxed);
                return;
            };
            // A page that took long to open leaves no less time to fill it.
            let due = due.max(Instant::now() + FILL_TIME);
            tokio::time::sleep_until(due.into()).await;
            match client.submit(&form, &from, &format!("Visitor+{number}"), &email).await {
                Ok(status) if status.as_u16() == 303 => {
                    answered.lock().unwrap_or_else(PoisonError::into_inner).insert(email, due);
                }
                _ => {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }));
    }
    for visitor in visitors {
        visitor.await.map_err(|e| e.to_string())?;
    }
    let wanted = answered.lock().unwrap_or_else(PoisonError::into_inner).len();
    let until = Instant::now() + load.grace;
    // Each lead makes two mails: one to the owner, and the card to the visitor.
    while Instant::now() < until && (mails.count() < 2 * wanted || endpoint.heard().len() < wanted || live.heard().len() < wanted) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Whatever came twice comes within this time.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let by_lead: HashMap<String, String> = client
        .all("/v1/leads")
        .await?
        .iter()
        .filter_map(|lead| Some((lead["id"].as_str()?.to_owned(), lead["email"].as_str()?.to_owned())))
        .collect();
    let stored = by_lead.len();
    let owner = "ada@example.com";
    let told = Told {
        answered: answered.len() as u64,
        refused: refused.load(Ordering::Relaxed) + (answered.len().saturating_sub(stored)) as u64,
        email: channel(&answered, mails.mails().into_iter().filter(|mail| mail.to == owner).map(|mail| (mail.at, mail.reply_to))),
        webhook: channel(
            &answered,
            endpoint.heard().into_iter().filter_map(|(at, (_, body))| Some((at, body["data"]["email"].as_str()?.to_owned()))),
        ),
        live: channel(
            &answered,
            live.heard()
                .into_iter()
                .filter(|(_, (name, _))| name == "leads.captured")
                .filter_map(|(at, (_, fact))| Some((at, by_lead.get(fact["lead"].as_str()?)?.clone()))),
        ),
    };
    drop((live, way, hanging));
    server.stop().await?;
    mails.stop().await;
    let _ = std::fs::remove_dir_all(&work);
    Ok(told)
}

pub(crate) async fn run(options: &Options) -> Result<Value, String> {
    let load = Load {
        rate: options.number("--rate").unwrap_or(50) as f64,
        time: Duration::from_secs(options.number("--seconds").unwrap_or(if options.quick { 8 } else { 60 })),
        grace: Duration::from_secs(if options.quick { 6 } else { 60 }),
    };
    let delay = Duration::from_millis(options.number("--mail-delay-ms").unwrap_or(100));
    let plain = measure(options, "told", &load, false, delay).await?;
    let hung = measure(options, "told-hung", &load, true, delay).await?;
    let mut figures = json!({ "leads_per_s": load.rate, "mail_delay_ms": delay.as_millis() as u64 });
    println!(
        "{} leads a second for {} s; times are from when the form was sent until the other side had it",
        load.rate,
        load.time.as_secs()
    );
    println!("{:<34} {:>9} {:>9} {:>9} {:>9} {:>8}", "", "p50 ms", "p95 ms", "p99 ms", "not told", "doubled");
    let (mut lost, mut doubled) = (0, 0);
    for (told, suffix, words) in [(&plain, "", ""), (&hung, "_hung", ", one hung, mail slow")] {
        for (name, channel) in [("email", &told.email), ("webhook", &told.webhook), ("live", &told.live)] {
            let quantile = |share| (channel.latency.quantile_ms(share) * 10.0).round() / 10.0;
            let (p50, p95, p99, missing) = (quantile(0.50), quantile(0.95), quantile(0.99), channel.latency.failed);
            println!("{:<34} {p50:>9.1} {p95:>9.1} {p99:>9.1} {missing:>9} {:>8}", format!("{name}{words}"), channel.doubled);
            figures[format!("{name}_p50_ms{suffix}")] = json!(p50);
            figures[format!("{name}_p95_ms{suffix}")] = json!(p95);
            lost += missing;
            doubled += channel.doubled;
        }
        println!("{} leads answered, {} refused", told.answered, told.refused);
        figures[format!("answered{suffix}")] = json!(told.answered);
        figures[format!("refused{suffix}")] = json!(told.refused);
    }
    println!(
        "the slow mail server's every reply comes {} ms late; not told means not within {} s after the last lead",
        delay.as_millis(),
        load.grace.as_secs()
    );
    figures["lost"] = json!(lost);
    figures["doubled"] = json!(doubled);
    Ok(figures)
}
