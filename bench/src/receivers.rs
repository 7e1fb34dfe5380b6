//! Who is told: a mail server that nobody here wrote, an endpoint of webhooks, a program on the live stream. Each notes when.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::process::free_port;

type Noted<T> = Arc<Mutex<Vec<(Instant, T)>>>;

fn note<T>(noted: &Noted<T>, what: T) {
    noted.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), what));
}

/// An endpoint of webhooks on loopback that answers at once.
pub(crate) struct Endpoint {
    /// Where it is.
    pub(crate) url: String,
    heard: Noted<(String, Value)>,
    task: JoinHandle<()>,
}

impl Endpoint {
    pub(crate) async fn start() -> Result<Self, String> {
        let heard: Noted<(String, Value)> = Noted::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let url = format!("http://{}/hook", listener.local_addr().map_err(|e| e.to_string())?);
        let router = Router::new().fallback(hear).with_state(Arc::clone(&heard));
        let task = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, heard, task })
    }

    /// One that accepts connections, reads, and never answers.
    pub(crate) async fn hanging() -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let url = format!("http://{}/hook", listener.local_addr().map_err(|e| e.to_string())?);
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Ok(Self { url, heard: Noted::default(), task })
    }

    /// What came: when, the `webhook-id` and the body.
    pub(crate) fn heard(&self) -> Vec<(Instant, (String, Value))> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn hear(State(heard): State<Noted<(String, Value)>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let id = headers.get("webhook-id").and_then(|id| id.to_str().ok()).unwrap_or_default().to_owned();
    note(&heard, (id, serde_json::from_slice(&body).unwrap_or(Value::Null)));
    StatusCode::NO_CONTENT
}

/// A program on the live stream.
pub(crate) struct Live {
    heard: Noted<(String, Value)>,
    task: JoinHandle<()>,
}

impl Live {
    /// Opens the stream and waits until it is ready.
    pub(crate) async fn open(url: &str, key: &str) -> Result<Self, String> {
        let heard: Noted<(String, Value)> = Noted::default();
        let host = url.trim_start_matches("http://").to_owned();
        let stream = TcpStream::connect(&host).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let connection = tokio::spawn(connection);
        let request = Request::builder().method(Method::GET).uri("/v1/live").header(header::HOST, host);
        let request =
            request.header(header::AUTHORIZATION, format!("Bearer {key}")).body(Empty::<Bytes>::new()).map_err(|e| e.to_string())?;
        let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("/v1/live: {}", response.status()));
        }
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let noted = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            let (mut body, mut text, mut ready, _connection) = (response.into_body(), String::new(), Some(ready), connection);
            // The sender is kept: without it the connection would end.
            let _sender = sender;
            while let Some(Ok(frame)) = body.frame().await {
                let Ok(bytes) = frame.into_data() else { continue };
                text.push_str(&String::from_utf8_lossy(&bytes));
                while let Some(end) = text.find("\n\n") {
                    let event: String = text.drain(..end + 2).collect();
                    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|rest| rest.trim().to_owned());
                    let (Some(name), Some(data)) = (field("event:"), field("data:")) else { continue };
                    if name == "ready" {
                        ready.take().map(|ready| ready.send(()));
                    }
                    note(&noted, (name, serde_json::from_str(&data).unwrap_or(Value::Null)));
                }
            }
        });
        tokio::time::timeout(Duration::from_secs(10), is_ready)
            .await
            .map_err(|_| "/v1/live is not ready")?
            .map_err(|_| "/v1/live ended")?;
        Ok(Self { heard, task })
    }

    /// What came: when, the event's name and its data.
    pub(crate) fn heard(&self) -> Vec<(Instant, (String, Value))> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// postfix's smtp-sink, which keeps each mail in a file; when a file was closed is when the mail was received.
pub(crate) struct MailServer {
    child: Child,
    /// `host:port`.
    pub(crate) address: String,
    closed: Noted<PathBuf>,
    is_over: Arc<AtomicBool>,
}

/// A mail as it was received.
pub(crate) struct Mail {
    pub(crate) at: Instant,
    pub(crate) to: String,
    pub(crate) reply_to: String,
}

impl MailServer {
    pub(crate) async fn start(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        let (closed, is_over) = (Noted::default(), Arc::new(AtomicBool::new(false)));
        watch(folder, Arc::clone(&closed), Arc::clone(&is_over))?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new("/usr/sbin/smtp-sink");
        if is_root() {
            // It insists on a user of its own then, who must be able to write here.
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).map_err(|e| e.to_string())?;
            command.args(["-u", "nobody"]);
        }
        let child = command
            .arg("-d")
            .arg(folder.join("mail."))
            .args([address.as_str(), "256"])
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("smtp-sink does not start: {e}"))?;
        for _ in 0..100 {
            if TcpStream::connect(&address).await.is_ok() {
                return Ok(Self { child, address, closed, is_over });
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("smtp-sink does not listen".into())
    }

    /// Every mail that came.
    pub(crate) fn mails(&self) -> Vec<Mail> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let read = closed.into_iter().filter_map(|(at, path)| {
            let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned();
            let head = text.split("\n\n").next().unwrap_or_default().to_owned();
            let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            let inner =
                |text: &str| text.split_once('<').map_or(text, |(_, rest)| rest).split('>').next().unwrap_or_default().trim().to_owned();
            let to = inner(field("X-Rcpt-Args:"));
            // A conversation that broke off leaves a file without a message.
            (!to.is_empty() && text.contains("Subject:")).then(|| Mail { at, to, reply_to: inner(field("Reply-To:")) })
        });
        read.collect()
    }

    /// How many came.
    pub(crate) fn count(&self) -> usize {
        self.closed.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    pub(crate) async fn stop(mut self) {
        let _ = self.child.kill().await;
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

/// Notes each file of a folder when whoever writes it closes it.
#[expect(unsafe_code, reason = "inotify, which the standard library does not have")]
fn watch(folder: &Path, closed: Noted<PathBuf>, is_over: Arc<AtomicBool>) -> Result<(), String> {
    let path = std::ffi::CString::new(folder.as_os_str().as_bytes()).map_err(|e| e.to_string())?;
    // SAFETY: the descriptor is new and owned here alone; the path outlives the call.
    let watcher = unsafe {
        let descriptor = libc::inotify_init1(libc::IN_CLOEXEC);
        if descriptor < 0 || libc::inotify_add_watch(descriptor, path.as_ptr(), libc::IN_CLOSE_WRITE) < 0 {
            return Err(format!("inotify: {}", std::io::Error::last_os_error()));
        }
        OwnedFd::from_raw_fd(descriptor)
    };
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        let mut buffer = [0_u8; 16 * 1024];
        let mut ready = libc::pollfd { fd: watcher.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        while !is_over.load(Ordering::Relaxed) {
            // SAFETY: one descriptor that is open, and a buffer of the length that is given.
            let length = unsafe {
                if libc::poll(&mut ready, 1, 200) < 1 {
                    continue;
                }
                libc::read(watcher.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len())
            };
            let Some(mut events) = usize::try_from(length).ok().and_then(|length| buffer.get(..length)) else { return };
            // Four numbers, the last of them the length of the name that follows, padded with zeros (inotify(7)).
            while let Some((head, rest)) = events.split_at_checked(16) {
                let length = u32::from_ne_bytes([head[12], head[13], head[14], head[15]]) as usize;
                let Some((name, after)) = rest.split_at_checked(length) else { break };
                let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
                note(&closed, folder.join(std::ffi::OsStr::from_bytes(name)));
                events = after;
            }
        }
    });
    Ok(())
}

/// A slow way to a server: every piece that it says arrives `delay` later.
pub(crate) struct SlowWay {
    /// `host:port`.
    pub(crate) address: String,
    task: JoinHandle<()>,
}

impl SlowWay {
    pub(crate) async fn to(server: &str, delay: Duration) -> Result<Self, String> {
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(|e| e.to_string())?;
        let address = listener.local_addr().map_err(|e| e.to_string())?.to_string();
        let server = server.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) = (client.into_split(), server.into_split());
                    let there = async move {
                        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
                        let _ = to_server.shutdown().await;
                    };
                    let back = async move {
                        let mut buffer = [0_u8; 4096];
                        while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                            tokio::time::sleep(delay).await;
                            if to_client.write_all(&buffer[..length]).await.is_err() {
                                return;
                            }
                        }
                    };
                    tokio::join!(there, back);
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for SlowWay {
    fn drop(&mut self) {
        self.task.abort();
    }
}
