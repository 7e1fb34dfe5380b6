//! The live stream over Server-Sent Events: what happens in the caller's workspace, as it happens, resumed from the last id.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse as _;
use axum::response::Response;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{self, Stream};
use gateway::{Call, Problem, ShutdownSignal};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use kernel::{NotAllowed, WorkspaceId};
use outbox::{Entry, EntryKind, Position};
use store::Store;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use super::Deps;
use crate::live::Place;
use crate::{NotificationError, grants};

/// Facts that one query brings when a client comes back.
const RESUME_PAGE: u32 = 200;

/// Streams what happens in the workspace, as far as the caller may see it. Each event is named after a fact and carries its
/// ids as JSON. A client that comes back with `Last-Event-ID` gets what it missed; an event `reset` says that it missed too
/// much and should load afresh.
#[utoipa::path(get, path = "/v1/live", tag = "notifications", params(("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen.")),
    security(("session" = []), ("key" = [])),
    responses((status = 200, content_type = "text/event-stream", body = String), gateway::openapi::ErrorResponses))]
pub(super) async fn stream(State(deps): State<Deps>, call: Call, headers: HeaderMap) -> Result<Response, Problem> {
    let caller = call.caller()?;
    let names = deps.live.visible(caller);
    let workspace = caller.workspace().filter(|_| !names.is_empty());
    let workspace = workspace.ok_or(NotificationError::NotAllowed(NotAllowed { grant: grants::READ }))?;
    let last_seen = match headers.get("last-event-id") {
        None => None,
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            Some(text.parse::<Position>().map_err(|_| Problem::invalid_field("Last-Event-ID", "must be the id of an earlier event"))?)
        }
    };
    let place = deps.live.place(workspace).ok_or_else(|| {
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_streams")
            .with_detail("this workspace has as many live streams as it may; close one or come back later")
            .with_retry_after(10)
    })?;
    // Subscribed before the past is read, so that nothing falls between the two.
    let feed = deps.live.feed.subscribe();
    let limits = &deps.live.limits;
    let jitter_ms = deps.store.entropy().below(4_000);
    let retry = Duration::from_millis(1_000 + jitter_ms);
    let mut ahead = VecDeque::new();
    let mut last;
    let mut hello = Event::default().event("ready").data("{}").retry(retry);
    match last_seen {
        Some(position) => {
            last = position;
            let (missed, is_whole) = missed(&deps.store, workspace, position, limits.resume_max).await?;
            if is_whole {
                ahead = missed;
            } else {
                last = outbox::log_end(&mut deps.store.read()).await?;
                hello = Event::default().event("reset").data("{}").retry(retry).id(last.to_string());
            }
        }
        None => {
            last = outbox::log_end(&mut deps.store.read()).await?;
            hello = hello.id(last.to_string());
        }
    }
    let ends_at = Instant::now() + limits.lasts + Duration::from_millis(jitter_ms * 10);
    let watch = Watch { feed, ahead, last, workspace, names, ends_at, shutdown: call.shutdown(), hello: Some(hello), _place: place };
    let mut response = Sse::new(events(watch)).keep_alive(KeepAlive::new().interval(limits.heartbeat)).into_response();
    // Proxies that collect an answer before they pass it on would make it anything but live.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// What a client missed since `after`, and whether that is all of it.
async fn missed(store: &Store, workspace: WorkspaceId, after: Position, max: usize) -> Result<(VecDeque<Arc<Entry>>, bool), Problem> {
    let (mut found, mut at) = (VecDeque::new(), after);
    loop {
        let part = outbox::facts_after(&mut store.read(), workspace, at, "", RESUME_PAGE).await?;
        let is_last = part.len() < RESUME_PAGE as usize;
        at = part.last().map_or(at, |entry| entry.position);
        found.extend(part.into_iter().map(Arc::new));
        if is_last {
            return Ok((found, true));
        }
        if found.len() >= max {
            return Ok((VecDeque::new(), false));
        }
    }
}

/// One open stream.
struct Watch {
    feed: Receiver<Arc<Entry>>,
    /// What was missed, before what happens now.
    ahead: VecDeque<Arc<Entry>>,
    last: Position,
    workspace: WorkspaceId,
    names: Vec<&'static str>,
    ends_at: Instant,
    shutdown: ShutdownSignal,
    hello: Option<Event>,
    _place: Place,
}

impl Watch {
    /// The next event; none when the stream ends, after which the client comes back by itself.
    async fn next(&mut self) -> Option<Event> {
        if let Some(hello) = self.hello.take() {
            return Some(hello);
        }
        loop {
            let entry = match self.ahead.pop_front() {
                Some(entry) => entry,
                None => tokio::select! {
                    biased;
                    () = self.shutdown.begun() => return None,
                    () = tokio::time::sleep_until(self.ends_at) => return None,
                    heard = self.feed.recv() => match heard {
                        Ok(entry) => entry,
                        // Too slow to follow: the client resumes from its last id instead of holding memory here.
                        Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                    },
                },
            };
            let is_wanted = entry.workspace == self.workspace && entry.kind == EntryKind::Fact && entry.position > self.last;
            if !is_wanted {
                continue;
            }
            self.last = entry.position;
            if self.names.contains(&entry.name.as_str()) {
                return Some(Event::default().id(entry.position.to_string()).event(&entry.name).data(&entry.payload));
            }
        }
    }
}

fn events(watch: Watch) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(watch, |mut watch| async move { watch.next().await.map(|event| (Ok(event), watch)) })
}
