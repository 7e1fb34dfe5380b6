//! The door: reads a request, does the faults of the frame, and hands it to a dialect, a page or the controls.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::Dialect;
use crate::call::{Call, Reply, Twist};
use crate::faults::Plan;
use crate::house::House;
use crate::{control, pages};

/// Bytes of a request's body.
const BODY_BYTES_MAX: usize = 1_024 * 1_024;
/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4_096;

/// The connection is closed without an answer.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("closed without an answer")
    }
}

impl std::error::Error for Cut {}

/// Accepts connections until it is aborted, and they with it.
pub(crate) async fn open(listener: TcpListener, house: Arc<House>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, house.clone()));
                }
                // Out of descriptors, say; the connections that end make room.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn converse(stream: TcpStream, house: Arc<House>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| serve(house.clone(), request));
    // An error here is the other side's, or a cut that was asked for.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn serve(house: Arc<House>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let reply = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Err(_) => control::refusal(413, "a body has at most 1,048,576 bytes"),
        Ok(body) => {
            let path = head.uri.path().to_owned();
            let query = form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
            let call = Call { method: head.method, path, query, headers: head.headers, body: body.to_bytes(), twist: Twist::default() };
            route(&house, call).await?
        }
    };
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = reply.status;
    response.headers_mut().extend(reply.headers);
    Ok(response)
}

async fn route(house: &House, mut call: Call) -> Result<Reply, Cut> {
    let (first, rest) = call.path[1..].split_once('/').unwrap_or((&call.path[1..], ""));
    if let Some(dialect) = Dialect::from_word(first) {
        call.path = format!("/{rest}");
        return at_dialect(house, dialect, call).await;
    }
    if call.method != Method::GET && is_from_elsewhere(&call) {
        return Ok(control::refusal(403, "this page belongs to another site than the one that sends it"));
    }
    let reply = match first {
        "" => pages::desk(house),
        "pay" => pages::answer(house, &call),
        "sim" => control::answer(house, &call),
        _ => control::refusal(404, "there are the dialects /stripe /paypal /monnify /zenith /ramp-network /ramp, and / for people"),
    };
    Ok(reply)
}

/// A form of another site could otherwise pay and set faults through a person's browser.
fn is_from_elsewhere(call: &Call) -> bool {
    let Some(origin) = call.header("origin") else { return false };
    let host = origin.split_once("://").map_or(origin, |(_, host)| host);
    call.header("host").is_none_or(|own| own != host)
}

async fn at_dialect(house: &House, dialect: Dialect, mut call: Call) -> Result<Reply, Cut> {
    let provider = &house.providers[&dialect];
    let operation = provider.operation(&call);
    let mut faults = match Plan::asked(&call) {
        Ok(faults) => faults,
        Err(error) => return Ok(control::refusal(400, &format!("X-Sim-Fault: {error}"))),
    };
    {
        let mut rules = house.rules();
        if !rules.list().is_empty() {
            let body = String::from_utf8_lossy(&call.body);
            faults.extend(rules.bite(dialect, operation, |text| call.path.contains(text) || body.contains(text)));
        }
    }
    let plan = Plan::of(faults);
    if let Some(time) = plan.hang {
        house.hang(dialect, time);
    }
    hung(house, dialect).await?;
    if plan.is_lost_before {
        tokio::time::sleep(house.hang).await;
        return Err(Cut);
    }
    if plan.is_error_before {
        return Ok(provider.broken());
    }
    if plan.is_not_found {
        return Ok(provider.not_found(&call));
    }
    call.twist = plan.twist.clone();
    // From here to the end of `act` nothing waits: a caller that goes away does not leave half an effect.
    let reply = house.act(dialect, &plan.webhook, |provider, books| provider.answer(books, &call));
    if plan.is_cut {
        return Err(Cut);
    }
    if plan.is_lost_after {
        tokio::time::sleep(house.hang).await;
        return Err(Cut);
    }
    if !plan.slow.is_zero() {
        tokio::time::sleep(plan.slow).await;
    }
    Ok(if plan.is_error_after { provider.broken() } else { reply })
}

/// Waits while the dialect hangs; who waited gets no answer and has no effect.
async fn hung(house: &House, dialect: Dialect) -> Result<(), Cut> {
    let booth = &house.booths[&dialect];
    if house.hangs_ms(dialect) == 0 {
        return Ok(());
    }
    let mut hung = booth.hung.subscribe();
    loop {
        let until = *hung.borrow_and_update();
        let Some(until) = until.filter(|until| *until > tokio::time::Instant::now()) else { return Err(Cut) };
        tokio::select! {
            () = tokio::time::sleep_until(until) => {}
            changed = hung.changed() => if changed.is_err() { return Err(Cut) },
        }
    }
}

/// What a person's browser is sent to.
pub(crate) fn see_other(url: &str) -> Reply {
    Reply { status: StatusCode::SEE_OTHER, ..Reply::empty(303).with("location", url) }
}
