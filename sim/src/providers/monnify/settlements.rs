//! Monnify's settlements: what was collected goes to the merchant's bank in batches, fees taken off.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::payments::Payment;
use super::wire::{DateForm, amount as written, date, read_date};
use super::{Refusal, page_of};
use crate::bank::{Books, Moved, MovementKind, Outgoing};
use crate::call::Call;
use crate::money::exponent;
use crate::providers::Plant;

/// One batch. Its sums are what the bank really got; its lines are what the report says, faults and all.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Settlement {
    number: u64,
    reference: String,
    currency: String,
    gross_minor: i64,
    fee_minor: i64,
    /// How many lines the report has; each is a document of its own, so that a page of a long report is read alone.
    lines: usize,
    at_ms: i64,
}

impl Settlement {
    fn view(&self) -> Value {
        let amount = |minor: i64, field: u64| written(minor, exponent(&self.currency), self.number + field);
        json!({
            "settlementReference": self.reference,
            "amount": amount(self.gross_minor, 0),
            "fee": amount(self.fee_minor, 1),
            "netAmount": amount(self.gross_minor - self.fee_minor, 0),
            "currency": self.currency,
            "settlementDate": date(self.at_ms, DateForm::of(self.number)),
            "settlementTime": date(self.at_ms, DateForm::Slashes),
            "status": "COMPLETED",
            "destinationAccountNumber": "6000140770",
            "destinationAccountName": "Demonstration",
            "destinationBankCode": "232",
            "destinationBankName": "Sterling bank",
            "transactionsCount": self.lines,
        })
    }

    fn line(&self, books: &Books, line: &Payment) -> Value {
        let amount = |minor: i64, field: u64| written(minor, exponent(&self.currency), line.number + field);
        let mut view = line.view(books, 1);
        view["settlementReference"] = json!(self.reference);
        view["amount"] = amount(line.paid_minor, 0);
        view["fee"] = amount(line.fee_minor, 1);
        view["netAmount"] = amount(line.paid_minor - line.fee_minor, 0);
        view
    }
}

/// Closes what is not settled yet into one batch per currency.
pub(super) fn close(books: &mut Books, plant: Plant) -> Result<Vec<String>, String> {
    let ids: Vec<String> = books.all("transaction").map(|(id, _)| id.to_owned()).collect();
    let due = |payment: &Payment| payment.paid_ms.is_some() && payment.settlement.is_none() && payment.status != "REVERSED";
    let open: Vec<Payment> = ids.iter().filter_map(|id| Payment::find(books, id)).filter(due).collect();
    if open.is_empty() {
        return Err("there is nothing to settle".to_owned());
    }
    let mut currencies: Vec<String> = open.iter().map(|payment| payment.currency.clone()).collect();
    currencies.sort();
    currencies.dedup();
    // The faults are planted once, in the longest report.
    let length = |currency: &String| open.iter().filter(|payment| payment.currency == *currency).count();
    currencies.sort_by_key(|currency| std::cmp::Reverse(length(currency)));
    let mut references = Vec::new();
    for (place, currency) in currencies.into_iter().enumerate() {
        let lines = open.iter().filter(|payment| payment.currency == currency).cloned().collect();
        references.push(batch(books, currency, lines, if place == 0 { plant } else { Plant::default() }));
    }
    Ok(references)
}

fn batch(books: &mut Books, currency: String, mut lines: Vec<Payment>, plant: Plant) -> String {
    let reference = books.new_id("SETT", 16);
    for line in &mut lines {
        line.settlement = Some(reference.clone());
        line.keep(books);
    }
    let mut settlement = Settlement {
        number: books.count("settlement") as u64,
        reference: reference.clone(),
        gross_minor: lines.iter().map(|line| line.paid_minor).sum(),
        fee_minor: lines.iter().map(|line| line.fee_minor).sum(),
        currency,
        lines: 0,
        at_ms: books.now_ms(),
    };
    let net_minor = settlement.gross_minor - settlement.fee_minor;
    books.moved(Moved {
        kind: MovementKind::Settled,
        reference: "",
        provider_id: &reference,
        amount_minor: net_minor,
        currency: &settlement.currency,
        idempotency_key: None,
    });
    plant_faults(books, &mut lines, plant);
    settlement.lines = lines.len();
    for (place, line) in lines.iter().enumerate() {
        books.keep("settlement_line", &format!("{reference}/{place}"), line);
    }
    books.keep("settlement", &reference, &settlement);
    // The event names the net sum as its amount, and no more than the first lines.
    let mut data = settlement.view();
    data["amount"] = written(net_minor, exponent(&settlement.currency), settlement.number + 1);
    data["transactions"] = lines.iter().take(100).map(|line| settlement.line(books, line)).collect();
    books.notify(Outgoing {
        id: format!("SETTLEMENT:{reference}"),
        event: "SETTLEMENT".to_owned(),
        body: json!({"eventType": "SETTLEMENT", "eventData": data}),
    });
    reference
}

/// Leaves out the oldest lines, changes the next ones by one unit, and adds lines of payments that never were.
fn plant_faults(books: &Books, lines: &mut Vec<Payment>, plant: Plant) {
    let mould = lines.first().cloned();
    lines.drain(..lines.len().min(plant.missing_lines as usize));
    for line in lines.iter_mut().take(plant.wrong_amounts as usize) {
        line.paid_minor = crate::bank::other_amount(line.paid_minor);
        line.fee_minor = line.fee_minor.min(line.paid_minor);
    }
    for _ in 0..plant.extra_lines {
        let Some(mut extra) = mould.clone() else { return };
        extra.transaction_reference = books.new_id("MNFY|99|", 14);
        extra.payment_reference = books.new_id("extra-", 12);
        lines.push(extra);
    }
}

/// `GET …/settlements`, those from `from` to `to`, oldest first.
pub(super) fn list(books: &Books, call: &Call) -> Result<Value, Refusal> {
    let bound = |name: &str, otherwise: i64| match call.query(name) {
        Some(text) => read_date(text).ok_or_else(|| ("99", format!("{name} is no date"))),
        None => Ok(otherwise),
    };
    let (from, to) = (bound("from", i64::MIN)?, bound("to", i64::MAX)?);
    // A bound that is a day includes it whole.
    let to = if call.query("to").is_some_and(|text| text.len() == 10 && text.contains(['-', '/'])) { to + 86_399_999 } else { to };
    let all = books.all("settlement").filter_map(|(id, _)| books.find::<Settlement>("settlement", id));
    let meant: Vec<_> = all.filter(|settlement| (from..=to).contains(&settlement.at_ms)).map(|settlement| settlement.view()).collect();
    Ok(page_of(call, meant.len(), |places| meant[places].to_vec()))
}

/// The lines of one batch.
pub(super) fn lines(books: &Books, call: &Call) -> Result<Value, Refusal> {
    let reference = call.query("reference").ok_or_else(|| ("99", "reference is required".to_owned()))?;
    let settlement: Settlement = books.find("settlement", reference).ok_or_else(|| ("99", "There is no such settlement".to_owned()))?;
    let line = |place: usize| books.find::<Payment>("settlement_line", &format!("{reference}/{place}"));
    Ok(page_of(call, settlement.lines, |places| places.filter_map(line).map(|line| settlement.line(books, &line)).collect()))
}

/// How one payment was settled.
pub(super) fn detail(books: &Books, call: &Call) -> Result<Value, Refusal> {
    let payment = call.query("transactionReference").and_then(|reference| Payment::find(books, reference));
    let payment = payment.ok_or_else(|| ("99", "There is no transaction matching the supplied reference".to_owned()))?;
    let settlement = payment.settlement.as_deref().ok_or_else(|| ("99", "The transaction is not settled yet".to_owned()))?;
    let settlement: Settlement = books.find("settlement", settlement).ok_or_else(|| ("99", "There is no such settlement".to_owned()))?;
    Ok(json!({"transaction": settlement.line(books, &payment), "settlementReference": settlement.reference, "beneficiaries": []}))
}
