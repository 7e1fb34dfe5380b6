//! Transfers out of the business's account, the transactions that they become, and the statements that hold these.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use time::macros::format_description;
use time::{Date, OffsetDateTime};

use super::refused;
use crate::bank::{Books, Moved, MovementKind, Outgoing, other_amount};
use crate::call::{Call, Reply};
use crate::money::is_currency;
use crate::providers::Plant;

/// How long a transfer is under way that was asked to be.
const UNDER_WAY_MS: i64 = 60_000;
/// How long a key gives the same answer.
const KEY_MS: i64 = 24 * 3_600_000;
/// What the account holds of each currency before anything left it, in minor units.
const ACCOUNT_MINOR: i64 = 100_000_000_000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transfer {
    id: String,
    reference: String,
    memo: String,
    asked_minor: i64,
    /// What the receiver gets, which a fault may change.
    moved_minor: i64,
    asked_currency: String,
    currency: String,
    recipient: Value,
    status: String,
    key: String,
    created_ms: i64,
    done_ms: Option<i64>,
    /// Set while it is under way: when the money moves.
    due_ms: Option<i64>,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Transaction {
    id: String,
    transfer_id: Option<String>,
    reference: String,
    /// Below zero where a transfer came back.
    amount_minor: i64,
    currency: String,
    memo: String,
    at_ms: i64,
    statement: Option<String>,
    /// Left out of the report though the money moved.
    is_missing: bool,
}

fn iso(at_ms: i64) -> String {
    let form = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(form).unwrap_or_default()
}

/// A day or an instant of a query.
fn instant(text: &str) -> Option<i64> {
    if let Ok(day) = Date::parse(text, format_description!("[year]-[month]-[day]")) {
        return Some(day.midnight().assume_utc().unix_timestamp() * 1_000);
    }
    let at = OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339).ok()?;
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).ok()
}

impl Transfer {
    fn view(&self) -> Value {
        json!({
            "id": self.id,
            "amount": {"amount": self.moved_minor, "currency_code": self.currency},
            "reference": self.reference,
            "memo": self.memo,
            "recipient": self.recipient,
            "status": self.status,
            "created_at": iso(self.created_ms),
            "completed_at": self.done_ms.map(iso),
        })
    }

    fn keep(&self, books: &mut Books) {
        books.keep("transfer", &self.id, self);
    }

    /// Ends it: COMPLETED pays, RETURNED_BY_RDFI pays and comes back, the rest pays nothing. Each step is told.
    fn finish(&mut self, books: &mut Books, status: &str) {
        self.due_ms = None;
        self.done_ms = Some(books.now_ms());
        if matches!(status, "COMPLETED" | "RETURNED_BY_RDFI") {
            self.status = "COMPLETED".to_owned();
            self.moved(books, MovementKind::PaidOut);
            self.tell(books);
        } else {
            spend(books, &self.asked_currency, -self.asked_minor);
        }
        if status == "COMPLETED" {
            return;
        }
        self.status = status.to_owned();
        if status == "RETURNED_BY_RDFI" {
            self.moved(books, MovementKind::Returned);
            spend(books, &self.asked_currency, -self.asked_minor);
        }
        self.tell(books);
    }

    fn moved(&self, books: &mut Books, kind: MovementKind) {
        books.moved(Moved {
            kind,
            reference: &self.reference,
            provider_id: &self.id,
            amount_minor: self.moved_minor,
            currency: &self.currency,
            idempotency_key: Some(&self.key),
        });
        let line = Transaction {
            id: books.new_uuid(),
            transfer_id: Some(self.id.clone()),
            reference: self.reference.clone(),
            amount_minor: if kind == MovementKind::PaidOut { self.moved_minor } else { -self.moved_minor },
            currency: self.currency.clone(),
            memo: self.memo.clone(),
            at_ms: books.now_ms(),
            statement: None,
            is_missing: false,
        };
        books.keep("transaction", &line.id, &line);
    }

    fn tell(&self, books: &mut Books) {
        let id = books.new_uuid();
        let object = json!({"id": self.id, "object_type": "transfer", "reference": self.reference, "status": self.status,
            "amount": {"amount": self.moved_minor, "currency_code": self.currency}});
        let body = json!({"id": id, "type": "payments.updated", "created_at": iso(books.now_ms()),
            "business_id": "b0000000-0000-4000-b000-000000000001", "object": object});
        books.notify(Outgoing { id, event: "payments.updated".to_owned(), body });
    }
}

fn left_minor(books: &Books, currency: &str) -> i64 {
    ACCOUNT_MINOR - books.get("spent", currency).and_then(Value::as_i64).unwrap_or(0)
}

fn spend(books: &mut Books, currency: &str, amount_minor: i64) {
    let spent = books.get("spent", currency).and_then(Value::as_i64).unwrap_or(0);
    books.put("spent", currency, json!(spent + amount_minor));
}

/// `POST …/transfers`.
pub(super) fn start(books: &mut Books, call: &Call) -> Reply {
    let bad = |message: &str| refused(422, "DEVELOPER_7001", message);
    let Some(key) = call.header("idempotency-key").map(str::trim).filter(|key| !key.is_empty()) else {
        return bad("The header Idempotency-Key is required");
    };
    let sent = String::from_utf8_lossy(&call.body).into_owned();
    if let Some(kept) = books.get("key", key).filter(|kept| kept["until_ms"].as_i64().is_some_and(|until_ms| books.now_ms() < until_ms)) {
        if kept["sent"] != json!(sent) {
            return bad("The Idempotency-Key was used with another body");
        }
        return Reply::json(201, &kept["answer"]);
    }
    let body = call.json();
    let text = |value: &Value| value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    let Some(asked_minor) = body["amount"]["amount"].as_i64().filter(|amount| *amount > 0) else {
        return bad("amount.amount must be a whole number of minor units above zero");
    };
    let Some(currency) = text(&body["amount"]["currency_code"]).filter(|currency| is_currency(currency)) else {
        return bad("amount.currency_code must be three capital letters");
    };
    for name in ["bank_code", "account_number", "account_name"] {
        if text(&body["recipient"][name]).is_none() {
            return bad(&format!("recipient.{name} is required"));
        }
    }
    if asked_minor > left_minor(books, &currency) {
        return bad("The account does not hold enough for this transfer");
    }
    let (moved_minor, moved_currency) = call.twist.moved(asked_minor, &currency);
    let mut transfer = Transfer {
        id: books.new_uuid(),
        reference: text(&body["reference"]).unwrap_or_default(),
        memo: text(&body["memo"]).unwrap_or_default(),
        asked_minor,
        moved_minor,
        asked_currency: currency,
        currency: moved_currency,
        recipient: body["recipient"].clone(),
        status: "INITIATED".to_owned(),
        key: key.to_owned(),
        created_ms: books.now_ms(),
        done_ms: None,
        due_ms: None,
    };
    spend(books, &transfer.asked_currency, asked_minor);
    // It is told as it began, whatever has become of it by now.
    let answer = transfer.view();
    match call.twist.decline.as_deref() {
        None => transfer.finish(books, "COMPLETED"),
        Some(word @ ("INITIATED" | "SUBMITTED_TO_FRB" | "SUBMITTED_TO_RDFI" | "UPLOADED")) => {
            transfer.status = word.to_owned();
            transfer.due_ms = Some(transfer.created_ms + UNDER_WAY_MS);
        }
        Some(word @ ("CANCELED" | "NOT_ENOUGH_FUNDS" | "REJECTED_BY_ODFI" | "RETURNED_BY_RDFI")) => transfer.finish(books, word),
        Some(_) => transfer.finish(books, "ERROR"),
    }
    transfer.keep(books);
    books.link("transfer_by_reference", &transfer.reference, &transfer.id);
    books.put("key", key, json!({"sent": sent, "answer": answer, "until_ms": transfer.created_ms + KEY_MS}));
    Reply::json(201, &answer)
}

fn caught_up(books: &mut Books, id: &str) -> Option<Transfer> {
    let mut transfer: Transfer = books.find("transfer", id)?;
    if transfer.due_ms.is_some_and(|due_ms| due_ms <= books.now_ms()) {
        transfer.finish(books, "COMPLETED");
        transfer.keep(books);
    }
    Some(transfer)
}

/// Ends what has become due.
pub(super) fn wake(books: &mut Books) {
    let under_way = books.all("transfer").filter(|(_, transfer)| !transfer["due_ms"].is_null());
    let ids: Vec<String> = under_way.map(|(id, _)| id.to_owned()).collect();
    for id in ids {
        caught_up(books, &id);
    }
}

/// How a transfer stands.
pub(super) fn query(books: &mut Books, id: &str) -> Reply {
    match caught_up(books, id) {
        Some(transfer) => Reply::json(200, &transfer.view()),
        None => refused(404, "DEVELOPER_7004", "There is no such transfer"),
    }
}

/// What a list is cut down to: the bounds of its days, and a page after the id in `start`.
struct Cut<'a> {
    from_ms: i64,
    to_ms: i64,
    start: Option<&'a str>,
    size: usize,
}

impl<'a> Cut<'a> {
    fn of(call: &'a Call) -> Result<Self, Reply> {
        let bound = |name: &str, otherwise: i64| match call.query(name) {
            Some(text) => instant(text).ok_or_else(|| refused(422, "DEVELOPER_7001", &format!("{name} is no date"))),
            None => Ok(otherwise),
        };
        let size = call.query("page_size").and_then(|text| text.parse::<usize>().ok()).unwrap_or(20);
        if !(2..=100).contains(&size) {
            return Err(refused(422, "DEVELOPER_7001", "page_size is 2 to 100"));
        }
        Ok(Self { from_ms: bound("from_date", i64::MIN)?, to_ms: bound("to_date", i64::MAX)?, start: call.query("start"), size })
    }

    /// A page of `(id, view)`, and the address of the next one where there is one.
    fn page(&self, books: &Books, call: &Call, all: impl Iterator<Item = (String, Value)>) -> Reply {
        let mut is_open = self.start.is_none();
        let mut data = Vec::new();
        let (mut last, mut is_more) = (String::new(), false);
        for (id, view) in all {
            if !is_open {
                is_open = self.start == Some(id.as_str());
            } else if data.len() == self.size {
                is_more = true;
                break;
            } else {
                last = id;
                data.push(view);
            }
        }
        let next = is_more.then(|| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(call.query.iter().filter(|(name, _)| name != "start")).append_pair("start", &last);
            format!("{}/{}{}?{}", books.url(), books.dialect().word(), call.path, query.finish())
        });
        Reply::json(200, &json!({"data": data, "page": {"next": next}}))
    }
}

/// Transfers, oldest first.
pub(super) fn list(books: &mut Books, call: &Call) -> Reply {
    let cut = match Cut::of(call) {
        Ok(cut) => cut,
        Err(refusal) => return refusal,
    };
    let ids: Vec<String> = match call.query("reference") {
        Some(reference) => books.linked("transfer_by_reference", reference).to_vec(),
        None => books.all("transfer").map(|(id, _)| id.to_owned()).collect(),
    };
    let known: Vec<Transfer> = ids.iter().filter_map(|id| caught_up(books, id)).collect();
    let meant = known.into_iter().filter(|transfer| {
        (cut.from_ms..=cut.to_ms).contains(&transfer.created_ms) && call.query("status").is_none_or(|status| status == transfer.status)
    });
    cut.page(books, call, meant.map(|transfer| (transfer.id.clone(), transfer.view())))
}

/// What cleared, oldest first.
pub(super) fn transactions(books: &Books, call: &Call) -> Reply {
    let cut = match Cut::of(call) {
        Ok(cut) => cut,
        Err(refusal) => return refusal,
    };
    let known = books.all("transaction").filter_map(|(id, _)| books.find::<Transaction>("transaction", id));
    let meant = known.filter(|line| {
        !line.is_missing
            && (cut.from_ms..=cut.to_ms).contains(&line.at_ms)
            && call.query("statement_id").is_none_or(|wanted| line.statement.as_deref() == Some(wanted))
    });
    let view = |line: Transaction| {
        let view = json!({
            "id": line.id,
            "transfer_id": line.transfer_id,
            "reference": line.reference,
            "amount": {"amount": line.amount_minor, "currency_code": line.currency},
            "fee": {"amount": 0, "currency_code": line.currency},
            "memo": line.memo,
            "state": "CLEARED",
            "user_transaction_time": iso(line.at_ms),
            "statement_id": line.statement,
        });
        (line.id, view)
    };
    cut.page(books, call, meant.map(view))
}

/// What is left of each currency that was ever spent, and of US dollars.
pub(super) fn balance(books: &Books) -> Reply {
    let mut currencies: Vec<String> = books.all("spent").map(|(currency, _)| currency.to_owned()).collect();
    if !currencies.iter().any(|currency| currency == "USD") {
        currencies.push("USD".to_owned());
    }
    let all: Vec<_> = currencies.iter().map(|currency| json!({"amount": left_minor(books, currency), "currency_code": currency})).collect();
    Reply::json(200, &json!({"available_balances": all}))
}

/// Closes what cleared into a statement, with the faults planted into its lines; the oldest ones are left out, the next ones changed.
pub(super) fn close(books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
    let known = books.all("transaction").filter_map(|(id, _)| books.find::<Transaction>("transaction", id));
    let mut lines: Vec<Transaction> = known.filter(|line| line.statement.is_none()).collect();
    let Some(mould) = lines.first().cloned() else { return Err("there is nothing to close".to_owned()) };
    let statement = books.new_uuid();
    let (missing, wrong) = (plant.missing_lines as usize, plant.wrong_amounts as usize);
    for (place, line) in lines.iter_mut().enumerate() {
        line.statement = Some(statement.clone());
        line.is_missing = place < missing;
        if (missing..missing + wrong).contains(&place) {
            line.amount_minor = other_amount(line.amount_minor);
        }
    }
    for _ in 0..plant.extra_lines {
        let (id, reference) = (books.new_uuid(), books.new_id("extra-", 12));
        lines.push(Transaction {
            id,
            transfer_id: None,
            reference,
            statement: Some(statement.clone()),
            is_missing: false,
            ..mould.clone()
        });
    }
    for line in &lines {
        books.keep("transaction", &line.id, line);
    }
    Ok(vec![statement])
}
