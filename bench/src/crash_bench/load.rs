//! The mixed load: scans by distinct devices, forms, leads and codes through the API, by clients who remember what they were
//! answered. Most repeat what was not answered, as programs with an idempotency key do; some give up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::client::{BROWSER, Client, address};

/// How long a client repeats what was not answered.
const REPEATS_FOR: Duration = Duration::from_secs(60);

/// A lead that was sent, and what came of it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) email: String,
    pub(super) by_form: bool,
    pub(super) answered: bool,
}

/// A code that was asked for, and the answer.
#[derive(Debug, Clone)]
pub(super) struct Minted {
    pub(super) name: String,
    pub(super) code: Option<String>,
}

/// What the clients remember.
#[derive(Default)]
pub(super) struct Book {
    pub(super) leads: Mutex<Vec<Sent>>,
    pub(super) codes: Mutex<Vec<Minted>>,
    pub(super) scans_sent: AtomicU64,
    pub(super) scans_answered: AtomicU64,
    /// Answers that nobody should get, in words.
    pub(super) odd: Mutex<Vec<String>>,
}

pub(super) fn held<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The clients at work.
pub(super) struct Load {
    book: Arc<Book>,
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What every client knows.
#[derive(Clone)]
struct Scene {
    client: Arc<Client>,
    book: Arc<Book>,
    is_over: Arc<AtomicBool>,
    /// Tells this run from others in keys and names.
    run: u64,
    codes: Arc<[String]>,
    page: Arc<str>,
}

impl Load {
    pub(super) async fn start(client: Arc<Client>, run: u64) -> Result<Self, String> {
        let mut codes = Vec::new();
        for number in 0..5 {
            let body = json!({ "name": format!("scanned {number}"), "destination": { "kind": "url", "url": "https://example.com/menu" } });
            let code = client.must(Method::POST, "/v1/codes", Some(&body)).await?;
            codes.push(code["code"].as_str().ok_or("a code has no code")?.to_owned());
        }
        let cards = client.all("/v1/cards").await?;
        let page = format!("/c/{}/page", cards[0]["id"].as_str().ok_or("there is no card")?);
        let (book, is_over) = (Arc::<Book>::default(), Arc::new(AtomicBool::new(false)));
        let scene = Scene { client, book: Arc::clone(&book), is_over: Arc::clone(&is_over), run, codes: codes.into(), page: page.into() };
        let mut tasks: Vec<_> = (0..4).map(|lane| tokio::spawn(scans(scene.clone(), lane))).collect();
        tasks
            .push(tokio::spawn(one_after_another(scene.clone(), Duration::from_millis(50), |scene, number| Box::pin(form(scene, number)))));
        tasks.push(tokio::spawn(one_after_another(scene.clone(), Duration::from_millis(70), |scene, number| {
            Box::pin(api_lead(scene, number))
        })));
        tasks.push(tokio::spawn(one_after_another(scene, Duration::from_millis(60), |scene, number| Box::pin(code(scene, number)))));
        Ok(Self { book, is_over, tasks })
    }

    /// Lets everybody finish what they began.
    pub(super) async fn stop(self) -> Result<Arc<Book>, String> {
        self.is_over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.map_err(|e| e.to_string())?;
        }
        Ok(self.book)
    }
}

type Doing = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Begins a client every so often, whether or not the ones before are done.
async fn one_after_another(scene: Scene, every: Duration, client: fn(Scene, u64) -> Doing) {
    let (mut begun, mut number) = (Vec::new(), 0);
    while !scene.is_over.load(Ordering::Relaxed) {
        begun.push(tokio::spawn(client(scene.clone(), number)));
        number += 1;
        tokio::time::sleep(every).await;
    }
    for client in begun {
        let _ = client.await;
    }
}

/// Scans without a pause worth the name, each by a device of its own; one that was not answered is not repeated.
async fn scans(scene: Scene, lane: u64) {
    let mut number = 0;
    while !scene.is_over.load(Ordering::Relaxed) {
        let path = format!("/{}", scene.codes[(number % scene.codes.len() as u64) as usize]);
        let from = address(lane << 24 | number);
        number += 1;
        scene.book.scans_sent.fetch_add(1, Ordering::Relaxed);
        match scene.client.send(Method::GET, &path, &[("user-agent", BROWSER), ("x-forwarded-for", &from)], Bytes::new()).await {
            Ok(answer) if answer.status.as_u16() == 302 => {
                scene.book.scans_answered.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) if answer.status.as_u16() != 503 => held(&scene.book.odd).push(format!("a scan was answered {}", answer.status)),
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(25)).await,
        }
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

/// Repeats until there is an answer that says what came of it: not when there is none, and not when the outcome is unknown.
async fn repeated<F, R>(book: &Book, what: &str, gives_up: bool, expected: u16, send: F) -> Option<Value>
where
    F: Fn() -> R,
    R: Future<Output = Result<(u16, Value), String>>,
{
    let until = Instant::now() + REPEATS_FOR;
    while Instant::now() < until {
        match send().await {
            Ok((status, answer)) if status == expected => return Some(answer),
            Ok((status, answer)) if status != 503 => {
                held(&book.odd).push(format!("{what} was answered {status} {answer}"));
                return None;
            }
            Ok(_) | Err(_) if gives_up => return None,
            Ok(_) | Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
    held(&book.odd).push(format!("{what} was not answered for a minute"));
    None
}

async fn form(scene: Scene, number: u64) {
    let Scene { client, book, run, page, .. } = scene;
    let (from, email) = (address(0x5000_0000 + number), format!("form{number}.{run:x}@example.net"));
    let until = Instant::now() + REPEATS_FOR;
    let shown = loop {
        match client.form(&page, &from).await {
            Ok(shown) => break shown,
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(words) => {
                held(&book.odd).push(words);
                return;
            }
        }
    };
    let answer = repeated(&book, "a form", number.is_multiple_of(5), 303, || async {
        Ok((client.submit(&shown, &from, &format!("Visitor+{number}"), &email).await?.as_u16(), Value::Null))
    });
    let answered = answer.await.is_some();
    held(&book.leads).push(Sent { email, by_form: true, answered });
}

async fn api_lead(scene: Scene, number: u64) {
    let Scene { client, book, run, .. } = scene;
    let (email, key) = (format!("api{number}.{run:x}@example.net"), format!("lead-{run:x}-{number}"));
    let body = json!({ "name": format!("Program {number}"), "email": email });
    let answer = repeated(&book, "a lead", number.is_multiple_of(5), 201, || async {
        let (status, answer) = client.call(Method::POST, "/v1/leads", Some(&body), Some(&key)).await?;
        Ok((status.as_u16(), answer))
    });
    let answered = answer.await.is_some();
    held(&book.leads).push(Sent { email, by_form: false, answered });
}

async fn code(scene: Scene, number: u64) {
    let Scene { client, book, run, .. } = scene;
    let (name, key) = (format!("minted {run:x} {number}"), format!("code-{run:x}-{number}"));
    let body = json!({ "name": name, "destination": { "kind": "url", "url": "https://example.com/" } });
    let answer = repeated(&book, "a code", number.is_multiple_of(5), 201, || async {
        let (status, answer) = client.call(Method::POST, "/v1/codes", Some(&body), Some(&key)).await?;
        Ok((status.as_u16(), answer))
    });
    let code = answer.await.and_then(|code| code["code"].as_str().map(str::to_owned));
    held(&book.codes).push(Minted { name, code });
}
