//! The controls for tests and people, JSON below `/sim`: faults, movements, payers' clicks, settlements, webhooks, time.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::Dialect;
use crate::bank::MovementKind;
use crate::call::{Call, Reply};
use crate::door::see_other;
use crate::faults::Rule;
use crate::house::House;
use crate::pages::Decision;
use crate::providers::Plant;
use crate::webhooks::Target;

/// Movements of one answer unless `limit` says so; at most a hundred times as many.
const MOVEMENTS: usize = 1_000;

/// An error of the simulator itself, not of a dialect.
pub(crate) fn refusal(status: u16, error: &str) -> Reply {
    Reply::json(status, &json!({"error": error}))
}

fn is_form(call: &Call) -> bool {
    // What `curl -d '{…}'` sends says that it is a form.
    !call.body.starts_with(b"{") && call.header("content-type").is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"))
}

/// The body of JSON or of a form; empty fields of a form are left out and numbers are numbers.
fn body(call: &Call) -> Result<Value, Reply> {
    if is_form(call) {
        let fields = call.form().into_iter().filter(|(_, value)| !value.is_empty());
        let read = |value: String| value.parse::<u64>().map_or(Value::String(value), Value::from);
        return Ok(Value::Object(fields.map(|(key, value)| (key, read(value))).collect::<Map<_, _>>()));
    }
    if call.body.is_empty() {
        return Ok(json!({}));
    }
    serde_json::from_slice(&call.body).map_err(|error| refusal(400, &format!("the body is no JSON: {error}")))
}

fn read<T: for<'a> Deserialize<'a>>(call: &Call) -> Result<T, Reply> {
    serde_json::from_value(body(call)?).map_err(|error| refusal(422, &error.to_string()))
}

fn dialect(word: &str) -> Result<Dialect, Reply> {
    Dialect::from_word(word)
        .ok_or_else(|| refusal(404, &format!("{word:?} is no dialect; there are {}", Dialect::ALL.map(Dialect::word).join(", "))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClickBody {
    reference: String,
    dialect: Option<Dialect>,
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetBody {
    url: String,
    secret: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdvanceBody {
    seconds: u32,
}

pub(crate) fn answer(house: &House, call: &Call) -> Reply {
    let parts = call.parts();
    let parts: Vec<&str> = parts.iter().skip(1).map(String::as_str).collect();
    handle(house, call, &parts).unwrap_or_else(|refusal| refusal)
}

fn handle(house: &House, call: &Call, parts: &[&str]) -> Result<Reply, Reply> {
    match (&call.method, parts) {
        (&Method::GET, ["faults"]) => {
            let hangs: Map<_, _> = Dialect::ALL
                .into_iter()
                .map(|dialect| (dialect, house.hangs_ms(dialect)))
                .filter(|(_, ms)| *ms > 0)
                .map(|(dialect, ms)| (dialect.word().to_owned(), json!(u64::try_from(ms).unwrap_or(u64::MAX))))
                .collect();
            Ok(Reply::json(200, &json!({"rules": house.rules().list(), "hangs_ms": hangs})))
        }
        (&Method::POST, ["faults"]) => {
            let id = house.add_fault(read::<Rule>(call)?).map_err(|error| refusal(422, &error))?;
            Ok(if is_form(call) { see_other("/") } else { Reply::json(201, &json!({"id": id})) })
        }
        (&Method::DELETE, ["faults"]) | (&Method::POST, ["faults", "clear"]) => {
            house.clear_faults();
            Ok(if is_form(call) { see_other("/") } else { Reply::empty(204) })
        }
        (&Method::DELETE, ["faults", id]) | (&Method::POST, ["faults", id, "delete"]) => {
            let is_gone = id.parse().is_ok_and(|id| house.rules().remove(id));
            if !is_gone {
                return Err(refusal(404, &format!("there is no fault {id}")));
            }
            Ok(if is_form(call) { see_other("/") } else { Reply::empty(204) })
        }
        (&Method::GET, ["movements"]) => movements(house, call),
        (&Method::GET, ["pages"]) => {
            let pages = Dialect::ALL.into_iter().flat_map(|dialect| {
                let books = house.books(dialect);
                let pages: Vec<_> = books.all("page").rev().take(MOVEMENTS).map(|(_, page)| page.clone()).collect();
                pages
            });
            Ok(Reply::json(200, &json!({"pages": pages.collect::<Vec<_>>()})))
        }
        (&Method::GET, ["webhooks"]) => {
            let (waiting, dropped) = house.courier.waiting();
            Ok(Reply::json(200, &json!({"waiting": waiting, "dropped": dropped, "attempts": house.courier.log()})))
        }
        (&Method::POST, ["pay"]) => click(house, call, |_| Decision::Pay),
        (&Method::POST, ["decline"]) => click(house, call, |code| Decision::Decline { code }),
        (&Method::POST, ["abandon"]) => click(house, call, |_| Decision::Abandon),
        (&Method::POST, ["advance"]) => {
            let AdvanceBody { seconds } = read(call)?;
            house.advance(Duration::from_secs(seconds.into()));
            Ok(Reply::empty(204))
        }
        (&Method::POST, [word, "settle"]) => {
            let references = house.settle(dialect(word)?, read::<Plant>(call)?).map_err(|error| refusal(409, &error))?;
            Ok(Reply::json(200, &json!({"references": references})))
        }
        (&Method::PUT, [word, "webhook"]) => {
            let dialect = dialect(word)?;
            let TargetBody { url, secret } = read(call)?;
            if !url.is_empty() && !url.starts_with("http://") {
                return Err(refusal(422, "url: it begins with http://, or is empty for no webhooks"));
            }
            let known = house.courier.target(dialect).map(|target| target.secret).unwrap_or_default();
            house.courier.aim(dialect, Target { url, secret: secret.unwrap_or(known) });
            Ok(Reply::empty(204))
        }
        _ => Err(refusal(404, "there is no such control; the contract stands at the top of sim/src/lib.rs")),
    }
}

fn click(house: &House, call: &Call, decide: impl Fn(String) -> Decision) -> Result<Reply, Reply> {
    let ClickBody { reference, dialect, code } = read(call)?;
    let page =
        house.page_of(dialect, &reference).ok_or_else(|| refusal(404, &format!("there is no page with the reference {reference:?}")))?;
    let decided = house.decide(page.dialect, &page.id, &decide(code)).map_err(|error| refusal(409, &error))?;
    Ok(Reply::json(200, &json!({"page": decided.page, "redirect": decided.redirect})))
}

fn movements(house: &House, call: &Call) -> Result<Reply, Reply> {
    let wanted = call.query("dialect").map(dialect).transpose()?;
    let kind = call
        .query("kind")
        .map(|word| serde_json::from_value::<MovementKind>(json!(word)).map_err(|error| refusal(422, &format!("kind: {error}"))));
    let kind = kind.transpose()?;
    let number = |name: &str, usual: u64| match call.query(name) {
        Some(text) => text.parse::<u64>().map_err(|_| refusal(422, &format!("{name} is a number, not {text:?}"))),
        None => Ok(usual),
    };
    let (after, limit) = (number("after", 0)?, number("limit", MOVEMENTS as u64)?);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX).min(MOVEMENTS * 100);
    let found: Vec<_> = house
        .movements()
        .into_iter()
        .filter(|movement| movement.sequence > after && wanted.is_none_or(|dialect| movement.dialect == dialect))
        .filter(|movement| kind.is_none_or(|kind| movement.kind == kind))
        .filter(|movement| call.query("reference").is_none_or(|reference| movement.reference == reference))
        .filter(|movement| call.query("idempotency_key").is_none_or(|key| movement.idempotency_key.as_deref() == Some(key)))
        .take(limit)
        .collect();
    Ok(Reply::json(200, &json!({"movements": found})))
}
